//! The journal's errors: each names the file or record and what to do.
//!
//! Invariant: an error that says "full" means that nothing was acknowledged and that the call can be repeated.

use std::path::PathBuf;

use super::disk::FileError;
use super::leaf::LeafError;
use super::record::LogId;

/// Why a journal cannot be created or opened. Nothing was written unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is already a journal, or parts of one.
    #[error("{}: there is already a journal, or parts of one: open it, or choose an empty folder", dir.display())]
    Exists {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no journal.
    #[error("{}: there is no journal here (no identity.json): check the path, or create one", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// The journal was written by a newer version.
    #[error("{}: journal of a newer version: its format is {found}, this version knows up to {supported}: use the newer version", file.display())]
    Newer {
        /// The identity file.
        file: PathBuf,
        /// Its format number.
        found: u64,
        /// The newest format that is known.
        supported: u64,
    },
    /// The identity file is damaged.
    #[error("{}: {reason}: restore this file from a backup or an archive of the journal", file.display())]
    Identity {
        /// The identity file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file with a secret is damaged.
    #[error("{}: {reason}", file.display())]
    Secret {
        /// The secret or key file.
        file: PathBuf,
        /// What is wrong with it, and the remedy.
        reason: String,
    },
    /// The verifier key is damaged.
    #[error("{}: {reason}: restore this file from a backup or an archive of the journal", file.display())]
    Key {
        /// The file `vkey`.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The signing key is not the one of this journal.
    #[error("{}: it holds the key {found}, and the journal belongs to the key {expected}: give the right key, or restore this file from a backup", file.display())]
    WrongKey {
        /// The file with the signing key: the one that was given, or the journal's `secret`.
        file: PathBuf,
        /// The verifier key of the journal.
        expected: String,
        /// The verifier key of the signing key in the file.
        found: String,
    },
    /// The journal has another name.
    #[error("{}: the journal's origin is {found}, not {expected}: check the path and the settings", dir.display())]
    WrongOrigin {
        /// The folder.
        dir: PathBuf,
        /// The origin in the options.
        expected: String,
        /// The origin in the identity file.
        found: String,
    },
    /// A name cannot be used.
    #[error(
        "the {what} {name:?} is empty, longer than 255 bytes, or has spaces or a plus sign: choose another"
    )]
    Name {
        /// Origin or instance.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The archive folder cannot be this journal's.
    #[error("{}: {reason}: give another folder as the archive", dir.display())]
    Archive {
        /// The archive folder.
        dir: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another process writes this journal.
    #[error("{}: the journal is in use by {holder}: a journal has one writer: stop the other, or take another folder", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// What the holder wrote into the lock file.
        holder: String,
    },
    /// The newest segment is missing or damaged, and there is no good copy in the archive.
    #[error("{}: {reason}: put back this segment from the archive or a backup, or begin a new journal that names this one's last checkpoint", file.display())]
    LastSegment {
        /// The segment.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is not enough space to recover the tail. What was recovered before stays.
    #[error("{file}: no space to recover the journal: free some and open it again")]
    Full {
        /// The file that could not be written.
        file: FileError,
    },
    /// The operating system refuses.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Why a batch was not appended. In no case was any record of it acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// No space. Retryable: append the same batch again when there is space.
    #[error(
        "the journal has no space ({reason}): free some; the batch was not acknowledged and can be appended again"
    )]
    Full {
        /// What was needed, or which file could not be written.
        reason: String,
    },
    /// A payload is larger than the limit.
    #[error("record {seq}: its payload of {len} bytes is larger than {max}: split it")]
    TooLarge {
        /// The sequence number the record would have had.
        seq: u64,
        /// The payload's length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// A cause is not earlier than the record.
    #[error("record {seq}: its cause {cause} is not an earlier record")]
    Cause {
        /// The sequence number the record would have had.
        seq: u64,
        /// The offending cause.
        cause: u64,
    },
    /// The time is before that of the last record.
    #[error("the time {given_us} us is before the last record's, {last_us} us: use the later of the two")]
    Time {
        /// The time of the last record.
        last_us: i64,
        /// The time that was given.
        given_us: i64,
    },
    /// The record cannot be made readable, so it cannot be part of the tree.
    #[error(transparent)]
    Leaf(#[from] LeafError),
    /// The writer has stopped for good.
    #[error("the journal has stopped: {reason}: restart, which recovers it")]
    Fatal {
        /// The failure that stopped it.
        reason: String,
    },
}

/// Why sealing, closing or retention did not work.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// No space. Retryable; everything is as it was before the call.
    #[error("the journal has no space ({reason}): free some and try again")]
    Full {
        /// Which file could not be written.
        reason: String,
    },
    /// The writer has stopped for good.
    #[error("the journal has stopped: {reason}: restart, which recovers it")]
    Fatal {
        /// The failure that stopped it.
        reason: String,
    },
}

impl From<WriteError> for AppendError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full { reason } => AppendError::Full { reason },
            WriteError::Fatal { reason } => AppendError::Fatal { reason },
        }
    }
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is damaged. `seq` is the first record that cannot be read, when it is known.
    #[error("{}: {reason}{}", file.display(), seq.map(|seq| format!(" (record {seq})")).unwrap_or_default())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The first record that is affected, when it is known.
        seq: Option<u64>,
        /// What is wrong.
        reason: String,
    },
    /// Records are neither in the journal nor in the archive.
    #[error(
        "records {from}..{to} are not here: retention or damage took their segment; read them through an archive folder"
    )]
    Missing {
        /// The first missing record.
        from: u64,
        /// The first record after them that is here.
        to: u64,
    },
    /// The archive, or a segment, belongs to another log: what would be read is a mixture of two.
    #[error("{}: {what} is of log {found}, the journal is {log}: {remedy}", file.display())]
    Foreign {
        /// The archive folder, or the segment.
        file: PathBuf,
        /// Which of the two it is.
        what: &'static str,
        /// The log that it belongs to.
        found: LogId,
        /// The journal's log.
        log: LogId,
        /// What to do.
        remedy: &'static str,
    },
    /// The identity or the keys cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The operating system refuses.
    #[error(transparent)]
    Io(#[from] FileError),
}
