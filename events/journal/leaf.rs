//! The readable lines of a record that the Merkle tree commits to.
//!
//! Invariant: the lines are a pure function of the log's identity, its salt secret, the record and the vocabulary; their
//! bytes never change once released.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat};
use sha2::{Digest, Sha256};

use super::bytes::hex;
use super::merkle::{Hash, leaf_hash};
use super::record::{LogId, Record};

/// The longest envelope line, in bytes.
pub const MAX_ENVELOPE_LEN: usize = 4096;

/// The last microsecond that RFC 3339 can write with four digits of year.
pub(super) const MAX_TIME_US: i64 = 253_402_300_799_999_999;

/// Knows what the payloads mean; the journal itself does not.
pub trait Vocabulary: Send + Sync {
    /// Renders a payload as readable JSON. It must be a pure function, the same for ever for a kind and schema.
    fn render(&self, kind: u16, schema: u16, payload: &[u8]) -> Result<Rendered, VocabularyError>;
}

/// A payload made readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// `observation`, `decision` or `control`.
    pub class: &'static str,
    /// The name of the kind, such as `pod-bound`.
    pub name: &'static str,
    /// The bytes of one JSON object, without line breaks.
    pub json: Vec<u8>,
}

/// Why a payload cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// The kind is not known to this version.
    #[error("kind {kind} is unknown: read it with the version that wrote it, or a newer one")]
    UnknownKind {
        /// The kind's number.
        kind: u16,
    },
    /// The kind is known, but not this schema.
    #[error("kind {kind} has schema {schema}, and this version knows up to {newest}: use a newer version")]
    NewerSchema {
        /// The kind's number.
        kind: u16,
        /// The schema of the record.
        schema: u16,
        /// The newest schema that is known.
        newest: u16,
    },
    /// The bytes are not what the kind and schema say.
    #[error("payload of kind {kind} schema {schema} is malformed: {reason}")]
    Malformed {
        /// The kind's number.
        kind: u16,
        /// The schema of the record.
        schema: u16,
        /// What is wrong with the bytes.
        reason: String,
    },
}

/// Why a record has no lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// The vocabulary refuses the payload.
    #[error("record {seq}: {source}")]
    Vocabulary {
        /// The record.
        seq: u64,
        /// The vocabulary's reason.
        source: VocabularyError,
    },
    /// The envelope would be too long, which is from too many causes.
    #[error(
        "record {seq}: its envelope of {len} bytes is longer than {MAX_ENVELOPE_LEN}: give it fewer causes"
    )]
    TooLong {
        /// The record.
        seq: u64,
        /// The length it would have.
        len: usize,
    },
    /// The time cannot be written as RFC 3339.
    #[error("record {seq}: its time {time_us} us is not within the years 1970 to 9999")]
    Time {
        /// The record.
        seq: u64,
        /// Its time.
        time_us: i64,
    },
}

/// The readable form of a record and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// The envelope: the leaf of the tree is the hash of exactly these bytes.
    pub envelope: Vec<u8>,
    /// The payload with its salt; the envelope carries the hash of exactly these bytes.
    pub payload: Vec<u8>,
    /// The hash of the envelope as a leaf.
    pub leaf: Hash,
}

/// The secret from which the salts of all payloads are derived.
#[derive(Clone, PartialEq, Eq)]
pub struct SaltSecret(pub(super) [u8; 32]);

impl SaltSecret {
    /// The salt of one record: the first 16 bytes of SHA-256 over the secret and the sequence number.
    pub fn salt(&self, seq: u64) -> [u8; 16] {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(seq.to_be_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let mut salt = [0; 16];
        salt.copy_from_slice(&digest[..16]);
        salt
    }
}

/// What the lines of a log's records have in common.
#[derive(Clone)]
pub struct LeafWriter {
    log: LogId,
    origin: Arc<str>,
    /// The origin as a JSON string, with its quotes.
    origin_json: String,
    salts: SaltSecret,
    vocabulary: Arc<dyn Vocabulary>,
}

impl LeafWriter {
    pub(super) fn new(log: LogId, origin: &str, salts: SaltSecret, vocabulary: Arc<dyn Vocabulary>) -> Self {
        Self { log, origin: Arc::from(origin), origin_json: json_string(origin), salts, vocabulary }
    }

    /// The log's id.
    pub fn log_id(&self) -> LogId {
        self.log
    }

    /// The log's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Renders a record.
    pub fn lines(&self, record: &Record) -> Result<Lines, LeafError> {
        let seq = record.seq;
        let rendered = self
            .vocabulary
            .render(record.kind, record.schema, &record.payload)
            .map_err(|source| LeafError::Vocabulary { seq, source })?;

        let mut payload = Vec::with_capacity(rendered.json.len() + 56);
        payload.extend_from_slice(b"{\"salt\":\"");
        payload.extend_from_slice(hex(&self.salts.salt(seq)).as_bytes());
        payload.extend_from_slice(b"\",\"data\":");
        payload.extend_from_slice(&rendered.json);
        payload.push(b'}');

        let time_us = record.time_us;
        let time = DateTime::from_timestamp_micros(time_us).filter(|_| (0..=MAX_TIME_US).contains(&time_us));
        let time = time.ok_or(LeafError::Time { seq, time_us })?;
        let causes: Vec<String> = record.causes.iter().map(u64::to_string).collect();
        let envelope = format!(
            concat!(
                "{{\"v\":1,\"seq\":{},\"ts\":\"{}\",\"rec\":\"{}\",\"kind\":\"{}\",\"type\":\"{}.v{}\",\"log\":{},\"term\":{},",
                "\"instance\":{},\"cause\":[{}],\"commit\":{},\"payload_sha256\":\"{}\",\"payload_len\":{}}}"
            ),
            seq,
            time.to_rfc3339_opts(SecondsFormat::Micros, true),
            self.log.record_id(seq, record.time_us),
            rendered.class,
            rendered.name,
            record.schema,
            self.origin_json,
            record.term,
            json_string(&record.instance),
            causes.join(","),
            record.commit,
            Hash::of(&payload),
            payload.len(),
        )
        .into_bytes();
        if envelope.len() > MAX_ENVELOPE_LEN {
            return Err(LeafError::TooLong { seq, len: envelope.len() });
        }
        let leaf = leaf_hash(&envelope);
        Ok(Lines { envelope, payload, leaf })
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
