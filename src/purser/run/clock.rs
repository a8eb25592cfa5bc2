//! The real clock. This is the only place of `run` that reads it.
//!
//! **Invariant:** time goes on, at the pace of the machine's steady clock or a little slower, whatever is done to the machine's wall clock: a
//! step forward is believed, and after a step back the wall clock is waited for without standing still. So no timer that
//! runs is lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use purser_engine::model::{Span, Time};

use crate::runtime::Clock;

/// As long as the wall clock is behind, of so many microseconds one is left out.
const CATCH_UP: i64 = 10;

/// The time of everything in the process; its clones tell the same.
#[derive(Debug, Clone)]
pub(super) struct WallClock(Arc<Mutex<Hands>>);

/// What the clock showed last.
#[derive(Debug)]
struct Hands {
    shown: Time,
    /// By the steady clock.
    at: Instant,
}

impl WallClock {
    #[expect(clippy::disallowed_methods, reason = "the outermost driver of the controller in a cluster")]
    pub(super) fn start() -> Self {
        Self(Arc::new(Mutex::new(Hands { shown: wall(), at: Instant::now() })))
    }

    /// From now on it shows no less than this, which an earlier process has seen.
    pub(super) fn is_past(&self, time: Time) {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hands.shown = hands.shown.max(time);
    }
}

impl Hands {
    /// Moves on to a moment of the steady clock, at which the wall clock shows something.
    fn turn(&mut self, at: Instant, wall: Time) -> Time {
        let passed = at.saturating_duration_since(self.at).as_micros();
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        let steady = self.shown + Span(passed);
        self.shown = match wall < steady {
            true => (self.shown + Span(passed - passed / CATCH_UP)).max(wall),
            false => wall,
        };
        self.at = at;
        self.shown
    }
}

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the outermost driver of the controller in a cluster")]
    fn now(&self) -> Time {
        let mut hands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hands.turn(Instant::now(), wall())
    }

    fn wait(&self, ahead: Span) -> Duration {
        Duration::from_micros(ahead.0.max(0).unsigned_abs())
    }
}

/// What the machine's wall clock shows. One before 1970 is as good as none.
#[expect(clippy::disallowed_methods, reason = "the outermost driver of the controller in a cluster")]
fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// How long something takes; nothing is decided by it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "durations are told in metrics, and never reach the log")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown when the wall clock shows these seconds, one real second after the other.
    #[expect(clippy::disallowed_methods, reason = "only differences matter")]
    fn shown(start: i64, wall: &[i64]) -> Vec<f64> {
        let began = Instant::now();
        let mut hands = Hands { shown: secs(start), at: began };
        let turn = |(number, wall): (u64, &i64)| {
            hands.turn(began + Duration::from_secs(number), secs(*wall)).0 as f64 / 1e6
        };
        (1..).zip(wall).map(turn).collect()
    }

    fn secs(seconds: i64) -> Time {
        Time(0) + Span::secs(seconds)
    }

    #[test]
    fn a_wall_clock_that_goes_well_is_followed() {
        assert_eq!(shown(100, &[101, 102, 103]), [101.0, 102.0, 103.0]);
    }

    #[test]
    fn a_step_forward_is_believed() {
        assert_eq!(shown(100, &[101, 1_000, 1_001]), [101.0, 1_000.0, 1_001.0]);
    }

    #[test]
    fn after_a_step_back_time_goes_on_until_the_wall_clock_has_caught_up() {
        assert_eq!(shown(100, &[101, 52, 53]), [101.0, 101.9, 102.8]);
        let wall: Vec<i64> = (0..11).map(|second| 100 + second).collect();
        let shown = shown(100, &wall);
        assert_eq!(&shown[..2], [100.9, 101.8]);
        assert_eq!(shown[10], 110.0, "it has caught up");
    }
}
