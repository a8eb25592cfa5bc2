//! Named points at which tests make the disk fail or the process stop.
//!
//! Invariant: a point is passed *before* its step, so that the state after any step can be produced too.

use std::io;

/// A file that the journal writes under a temporary name, syncs and renames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Artifact {
    /// A sealed segment.
    Segment,
    /// A signed checkpoint.
    Checkpoint,
    /// A snapshot of the caller's state.
    Snapshot,
    /// The note that says where the kept history begins.
    Retained,
    /// A copy in the archive folder.
    Archive,
    /// The identity, written anew where the first record is later than the journal.
    Identity,
}

/// A step in writing an [`Artifact`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Before the temporary file is created.
    Create,
    /// When half of it is written.
    Half,
    /// Before it is synced.
    Sync,
    /// Before it gets its name.
    Rename,
    /// Before the folder is synced.
    SyncFolder,
    /// When all is done.
    Done,
}

/// A place in the code that a [`Faults`] implementation can make fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before a new hot tail is created.
    TailCreate,
    /// Before the new tail's folder is synced.
    TailSyncFolder,
    /// Before a batch is given to the tail.
    TailApply,
    /// Before the tail is flushed to its file.
    TailFlush,
    /// Before the tail's file is synced.
    TailSync,
    /// Before an anchor slot is written.
    AnchorWrite,
    /// Before the anchor is synced.
    AnchorSync,
    /// After the anchor is synced, before the append is acknowledged.
    Acknowledge,
    /// Before a step of writing a file.
    File(Artifact, Step),
    /// Before a sealed tail is deleted.
    TailDelete,
    /// After it is deleted.
    TailDeleted,
    /// Before a damaged tail is moved aside.
    Quarantine,
    /// Before an old segment is deleted by retention.
    RetainDelete,
}

impl Point {
    /// Every point there is.
    pub fn all() -> Vec<Point> {
        use Artifact as A;
        use Step as S;
        let mut points = vec![
            Point::TailCreate,
            Point::TailSyncFolder,
            Point::TailApply,
            Point::TailFlush,
            Point::TailSync,
            Point::AnchorWrite,
            Point::AnchorSync,
            Point::Acknowledge,
            Point::TailDelete,
            Point::TailDeleted,
            Point::Quarantine,
            Point::RetainDelete,
        ];
        for artifact in [A::Segment, A::Checkpoint, A::Snapshot, A::Retained, A::Archive, A::Identity] {
            for step in [S::Create, S::Half, S::Sync, S::Rename, S::SyncFolder, S::Done] {
                points.push(Point::File(artifact, step));
            }
        }
        points
    }
}

/// Injects failures. Production has none, and pays one branch a point.
pub trait Faults: Send + Sync {
    /// Called at each point; an error is treated as if the step itself had failed with it.
    fn at(&self, point: Point) -> io::Result<()>;
}

#[derive(Debug, thiserror::Error)]
#[error("simulated crash")]
struct Crash;

/// The error that simulates a crash of the process: the journal writes nothing after it, not even when dropped.
pub fn crash() -> io::Error {
    io::Error::other(Crash)
}

pub(super) fn is_crash(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Crash>())
}
