//! The journal: a durable, tamper-evident, append-only log of records with opaque payloads.
//!
//! A [`Journal`] is the single writer of a folder: it appends batches to a hot tail, acknowledges them when they are on
//! disk, and seals the tail into compressed segments, each with a signed checkpoint. A [`Reader`] reads the folder in any
//! state without changing it, and [`verify`] recomputes everything that the checkpoints claim. What payloads mean is known
//! to a [`Vocabulary`] alone.
//!
//! Invariant: what [`Journal::append`] has returned is never lost or changed without [`Journal::open`] or [`verify`]
//! saying so.

mod anchor;
mod archive;
mod block;
mod bytes;
mod catalog;
mod disk;
mod error;
mod faults;
mod identity;
mod inspect;
mod layout;
mod leaf;
pub mod merkle;
mod note;
mod options;
mod reader;
mod record;
mod recovery;
mod retained;
mod seal;
mod segment;
mod segment_read;
mod sled_file;
mod snapshot;
mod tail;
mod tail_read;
mod verify;
mod verify_files;
mod verify_identity;
mod verify_view;
mod writer;

pub use anchor::{Anchor, AnchorSlots, Slot};
pub use archive::{ArchiveStatus, Retained, RetentionPolicy};
pub use bytes::Malformed;
pub use disk::FileError;
pub use error::{AppendError, OpenError, ReadError, WriteError};
pub use faults::{Artifact, Faults, Point, Step, crash};
pub use identity::{FORMAT, Identity};
pub use inspect::{FileInfo, Inspection, SectionBytes, SegmentInfo, SnapshotInfo, TailInfo, inspect};
pub use leaf::{
    LeafError, LeafWriter, Lines, MAX_ENVELOPE_LEN, Rendered, SaltSecret, Vocabulary, VocabularyError,
};
pub use merkle::{Frontier, Hash};
pub use note::{Checkpoint, NoteError, SigningKey, VerifierKey};
pub use options::{IdentitySource, Options, SealPolicy};
pub use reader::{Reader, Records, SegmentSummary};
pub use record::{Draft, LogId, MAX_NAME_LEN, MAX_PAYLOAD_LEN, Record};
pub use recovery::{Recovery, SealRecovery, SegmentDamage, TailRecovery};
pub use segment::{KindCount, SegmentHeader};
pub use snapshot::Snapshot;
pub use verify::{Finding, FindingKind, OlderCheckpoint, VerifyOptions, VerifyReport, verify};
pub use writer::Journal;
