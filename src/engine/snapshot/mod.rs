//! State as bytes, so that a restart need not fold the whole log.
//!
//! The form is private to one build of the program: a snapshot is a cache, and one of another build is not read.
//!
//! **Invariant:** reading gives back an equal State or an error, never another State and never a panic.

mod codec;
mod forms;

use codec::{Persist, Reader};

use crate::state::State;

/// Changes whenever the form or the meaning of what is in it changes; part of the tag under which snapshots are kept.
pub const FORM: u32 = 10;

/// Why bytes are no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// They end too early, or hold what cannot be.
    #[error("the snapshot is damaged at byte {at}: {what}; delete it, it is rebuilt from the log")]
    Damaged {
        /// Where.
        at: usize,
        /// What was expected there.
        what: &'static str,
    },
}

/// State as bytes.
pub fn write(state: &State) -> Vec<u8> {
    let mut out = Vec::new();
    state.put(&mut out);
    out
}

/// State from bytes.
///
/// # Errors
/// If the bytes are not what [`write()`] gave.
pub fn read(bytes: &[u8]) -> Result<State, SnapshotError> {
    let mut reader = Reader::new(bytes);
    let state = State::get(&mut reader)?;
    reader.finish()?;
    Ok(state)
}

/// The tag under which snapshots of this build are kept: those of another are not read.
pub fn tag() -> String {
    format!("{}-{FORM}", env!("CARGO_PKG_VERSION"))
}
