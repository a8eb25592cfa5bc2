//! The wire: what events look like in the log, in bytes and in readable form.
//!
//! [`encode`] gives an event its kind, schema and payload; [`decode`] reads them again, whichever schema it was; [`render`]
//! makes the JSON that the log's Merkle tree commits to. [`Purser`] is the vocabulary that a journal is opened with, and
//! [`EventLog`] the journal as the engine wants it.
//!
//! A payload is one *frozen struct*, the newest of its [`Kind`] when written. The kinds are in three tables, `control`,
//! `fact` and `decision`; each entry has a number, a name and the struct. To change what a kind says:
//!
//! 1. Never edit a frozen struct, a field's name or the order of fields: bytes and readable forms of old logs would change.
//!    Give the entry a struct of the next schema, and keep the old one with a `From` to it.
//! 2. `UPDATE_GOLDEN=1 cargo test -p purser-events golden` writes the golden files that are missing, and never one that is
//!    there. Those of released schemas are in `events/golden` and stay as they are.
//! 3. `UPDATE_DOCS=1 cargo test -p purser-events docs` rewrites docs/events.md.
//!
//! The codes of an enumeration may grow without a new schema: a program that does not know a code says so and reads no
//! further. A code is never removed or given to something else.
//!
//! Invariant: an event, encoded and decoded, is the same event; the readable form says all that the payload says; and what
//! one version of the program wrote, every later version reads and renders byte for byte the same.

#[macro_use]
mod macros;

mod claim;
mod cloud;
mod code;
mod control;
mod convert;
mod decision;
mod device;
mod fact;
mod kind;
mod log;
mod map;
mod plan;
mod pod;
mod pool;
mod requirement;
mod resources;
mod scalar;
mod settings;
mod taint;
#[cfg(test)]
mod tests;

pub use kind::{Class, Kind};
pub use log::{EventLog, Events, LogReadError, LoggedEvent};

use purser_engine::event::Event;
use serde::Serialize;

use crate::codec::{self, EncodeError};
use crate::journal::{Rendered, Vocabulary, VocabularyError};

/// An event in binary, with what is needed to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The number of its kind.
    pub kind: u16,
    /// The version of its form.
    pub schema: u16,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// Why an event cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The kind is not known to this version: a newer one wrote it.
    #[error("records of kind {kind} are unknown to this version: use a newer program")]
    UnknownKind {
        /// The kind's number.
        kind: u16,
    },
    /// The kind is known, but not in this form: a newer version wrote it.
    #[error(
        "{name} (kind {kind}) has schema {schema}, and this version knows up to {newest}: use a newer program"
    )]
    NewerSchema {
        /// The kind's number.
        kind: u16,
        /// The kind's name.
        name: &'static str,
        /// The schema of the record.
        schema: u16,
        /// The newest schema that is known.
        newest: u16,
    },
    /// The bytes are not what kind and schema say: they are damaged, or have a code that only a newer version knows.
    #[error("{kind} (schema {schema}) is malformed: {reason}")]
    Malformed {
        /// The kind's name.
        kind: &'static str,
        /// The schema of the record.
        schema: u16,
        /// What is wrong, and in which field where that is known.
        reason: String,
    },
    /// The event is too long for a record: split it, or refuse what it comes from.
    #[error("{kind} of {len} bytes is longer than a record can be, {} bytes: split it", codec::MAX_LEN)]
    TooLarge {
        /// The kind's name.
        kind: &'static str,
        /// How long it would be.
        len: u64,
    },
}

/// Encodes an event in the newest schema of its kind.
///
/// # Errors
/// [`WireError::TooLarge`] if it is longer than [`codec::MAX_LEN`].
pub fn encode(event: &Event) -> Result<Encoded, WireError> {
    match event {
        Event::Control(control) => control::encode(control),
        Event::Fact(fact) => fact::encode(fact),
        Event::Decision(decision) => decision::encode(decision),
    }
}

/// The name of an event's kind.
pub const fn name(event: &Event) -> &'static str {
    match event {
        Event::Control(control) => control::name(control),
        Event::Fact(fact) => fact::name(fact),
        Event::Decision(decision) => decision::name(decision),
    }
}

/// Reads the payload of a record, of whichever schema.
///
/// # Errors
/// If kind or schema are unknown, or the bytes are not what these say.
pub fn decode(kind: u16, schema: u16, payload: &[u8]) -> Result<Event, WireError> {
    Kind::of(kind).ok_or(WireError::UnknownKind { kind })?.decode(schema, payload)
}

/// The readable form of a payload: one JSON object without spaces or line breaks, its members the fields of the frozen
/// struct of just this schema, in their order.
///
/// # Errors
/// If kind or schema are unknown, or the bytes are not what these say.
pub fn render(kind: u16, schema: u16, payload: &[u8]) -> Result<Vec<u8>, WireError> {
    Kind::of(kind).ok_or(WireError::UnknownKind { kind })?.render(schema, payload)
}

/// The vocabulary of Purser's logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purser;

impl Vocabulary for Purser {
    fn render(&self, number: u16, schema: u16, payload: &[u8]) -> Result<Rendered, VocabularyError> {
        let kind = Kind::of(number).ok_or(VocabularyError::UnknownKind { kind: number })?;
        match kind.render(schema, payload) {
            Ok(json) => Ok(Rendered { class: kind.class.as_str(), name: kind.name, json }),
            Err(WireError::NewerSchema { kind, schema, newest, .. }) => {
                Err(VocabularyError::NewerSchema { kind, schema, newest })
            }
            Err(WireError::Malformed { reason, .. }) => {
                Err(VocabularyError::Malformed { kind: number, schema, reason })
            }
            Err(other) => Err(VocabularyError::Malformed { kind: number, schema, reason: other.to_string() }),
        }
    }
}

impl Encoded {
    fn of(kind: u16, name: &'static str, schema: u16, payload: &impl Serialize) -> Result<Self, WireError> {
        match codec::encode(payload) {
            Ok(payload) => Ok(Self { kind, schema, payload }),
            Err(EncodeError::TooLarge { len }) => Err(WireError::TooLarge { kind: name, len }),
            Err(EncodeError::Unsupported { reason }) => {
                Err(WireError::Malformed { kind: name, schema, reason })
            }
        }
    }
}
