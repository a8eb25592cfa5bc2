//! Ctrl-C while a journal is followed: the record under way is written out, and the program ends as an interrupted one.
//!
//! **Invariant:** the first signal asks to end, in between two records; the second ends the program where it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How soon a signal is noticed.
const NOTICE: Duration = Duration::from_millis(25);

/// Listens for Ctrl-C, and for the request to terminate.
pub struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// From now on the first of these signals does not end the program by itself.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn listen() -> io::Result<Self> {
        let first = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Whoever is stuck, as in a pipe that is full, does not come to look; so the second time ends it.
            flag::register_conditional_default(signal, Arc::clone(&seen))?;
            flag::register(signal, Arc::clone(&seen))?;
            flag::register_usize(signal, Arc::clone(&first), signal as usize)?;
        }
        Ok(Self { signal: first })
    }

    /// The signal that came, if one did.
    pub fn signal(&self) -> Option<i32> {
        let signal = self.signal.load(Ordering::Relaxed);
        i32::try_from(signal).ok().filter(|signal| *signal != 0)
    }

    /// Sleeps, but no longer than until a signal comes.
    pub fn sleep(&self, span: Duration) {
        let mut left = span;
        while !left.is_zero() && self.signal().is_none() {
            let slice = left.min(NOTICE);
            thread::sleep(slice);
            left -= slice;
        }
    }
}

/// Ends the program as the signal would have, so that a shell that runs it in a loop sees the loop interrupted too.
pub fn end_by(signal: i32) {
    // Should that fail, the exit code says the same.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}
