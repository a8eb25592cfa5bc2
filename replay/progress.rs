//! Says on a terminal how far long work has come.
//!
//! **Invariant:** nothing is shown unless stderr is a terminal, and nothing that is answered depends on it.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar of records done.
pub struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    /// Begins to count; `what` says at what.
    pub fn new(what: &str, total: u64) -> Self {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_message(what.to_owned());
        let form = "{msg} {wide_bar} {human_pos}/{human_len} records, {per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        Self { bar, began: now() }
    }

    /// So many are done, of so many.
    pub fn at(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Takes the bar away; how long it took.
    pub fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.began.elapsed()
    }
}

#[expect(clippy::disallowed_methods, reason = "how long it took is told to people; no answer depends on it")]
fn now() -> Instant {
    Instant::now()
}
