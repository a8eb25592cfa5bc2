//! The real clock. This is the only place of `run` that reads it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use purser_engine::model::{Span, Time};

use crate::runtime::Clock;

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the outermost driver of the controller in a cluster")]
    fn now(&self) -> Time {
        // A clock before 1970 is as good as none; the log's own time never steps back.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn wait(&self, ahead: Span) -> Duration {
        Duration::from_micros(ahead.0.max(0).unsigned_abs())
    }
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
