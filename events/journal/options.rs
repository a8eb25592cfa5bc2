//! How a journal is opened.
//!
//! Invariant: nothing here changes the bytes of a record, except the names and the identity that are part of it.

use std::path::PathBuf;
use std::sync::Arc;

use super::faults::Faults;
use super::leaf::Vocabulary;

/// Where a new journal's id, salts and signing key come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentitySource {
    /// From the operating system: for real journals.
    Random,
    /// From a seed: the same input then gives the same Merkle root and the same files. For simulations and tests.
    Derived {
        /// The seed.
        seed: [u8; 32],
    },
}

/// When the hot tail is sealed; whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealPolicy {
    /// At this many records.
    pub max_records: u64,
    /// At this many bytes of encoded records.
    pub max_bytes: u64,
    /// When its first record is this many microseconds old.
    pub max_age_us: i64,
}

impl Default for SealPolicy {
    fn default() -> Self {
        Self { max_records: 32_768, max_bytes: 16 * 1024 * 1024, max_age_us: 15 * 60 * 1_000_000 }
    }
}

/// The options of a writer.
#[derive(Clone)]
pub struct Options {
    /// The log's name: it is the first line of every checkpoint and the name of the signing key.
    pub origin: String,
    /// The name of this controller instance, written into each record.
    pub instance: String,
    /// The leader's term, written into each record.
    pub term: u64,
    /// Where the identity of a new journal comes from. Without meaning when an existing one is opened.
    pub identity: IdentitySource,
    /// The last checkpoint of the log that a new one follows. Without meaning when an existing one is opened.
    pub predecessor: Option<String>,
    /// A file with the signing key's seed (64 hex digits), if the key is not to be kept in the journal.
    pub signing_key: Option<PathBuf>,
    /// When to seal.
    pub seal: SealPolicy,
    /// Whether to sync. Without it a crash of the machine, not of the process, loses what was acknowledged.
    pub sync: bool,
    /// A folder that gets a copy of each sealed segment and its checkpoint.
    pub archive: Option<PathBuf>,
    /// The space to leave free on the file system: an append that would go below is refused.
    pub min_free_bytes: u64,
    /// Injected failures, for tests.
    pub faults: Option<Arc<dyn Faults>>,
    /// What the payloads mean.
    pub vocabulary: Arc<dyn Vocabulary>,
}

impl Options {
    /// The defaults of production: random identity, key inside the journal, synced, no archive, 64 MiB left free.
    pub fn new(origin: &str, instance: &str, term: u64, vocabulary: Arc<dyn Vocabulary>) -> Self {
        Self {
            origin: origin.to_owned(),
            instance: instance.to_owned(),
            term,
            identity: IdentitySource::Random,
            predecessor: None,
            signing_key: None,
            seal: SealPolicy::default(),
            sync: true,
            archive: None,
            min_free_bytes: 64 * 1024 * 1024,
            faults: None,
            vocabulary,
        }
    }
}
