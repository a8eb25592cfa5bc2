//! What several tasks know together.
//!
//! **Invariant:** nothing panics while it is held, and nobody holds it while waiting: so it is never poisoned and never waited for long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A value that its clones share.
#[derive(Debug, Default)]
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Arc::new(Mutex::new(value)))
    }

    /// Holds it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
