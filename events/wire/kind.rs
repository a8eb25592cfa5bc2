//! What is known of a kind of record: its number, name, class and schemas, and how each schema is read.
//!
//! Invariant: a number and a name, once released, stand for the same kind for ever; a schema, once released, is read and
//! rendered the same for ever.

use std::fmt;

use purser_engine::event::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::convert::Reject;
use super::{WireError, control, decision, fact};
use crate::codec;

/// What sort of thing a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// About the log and the controller themselves. Numbers from 1.
    Control,
    /// About the world. Numbers from 100.
    Observation,
    /// What is to be done. Numbers from 200.
    Decision,
}

/// A kind of record.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The number, as records carry it.
    pub number: u16,
    /// The name, as people and programs outside read it.
    pub name: &'static str,
    /// What sort of thing it says.
    pub class: Class,
    pub(super) says: &'static str,
    /// By number; the last is the one that is written.
    pub(super) schemas: &'static [Schema],
}

/// One version of a kind's form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schema {
    pub(super) number: u16,
    decode: fn(&[u8]) -> Result<Event, String>,
    render: fn(&[u8]) -> Result<Vec<u8>, String>,
    /// From the rendered form back to the payload.
    #[cfg(test)]
    pub(super) parse: fn(&[u8]) -> Result<Vec<u8>, String>,
}

/// A frozen struct that a record's payload can be.
pub(super) trait Payload: Serialize + DeserializeOwned {
    /// The event that it stands for.
    fn into_event(self) -> Result<Event, Reject>;
}

// === impl Class ===

impl Class {
    /// As the envelope names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Observation => "observation",
            Self::Decision => "decision",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl Kind ===

impl Kind {
    /// All kinds, by number.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        control::KINDS.iter().chain(fact::KINDS).chain(decision::KINDS)
    }

    /// The kind with a number.
    pub fn of(number: u16) -> Option<&'static Self> {
        let of_class = match number {
            0..100 => control::KINDS,
            100..200 => fact::KINDS,
            200.. => decision::KINDS,
        };
        let at = of_class.binary_search_by_key(&number, |kind| kind.number).ok()?;
        Some(&of_class[at])
    }

    /// The kind with a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::all().find(|kind| kind.name == name)
    }

    /// What a record of the kind says, in a sentence.
    pub fn says(&self) -> &'static str {
        self.says.trim()
    }

    /// The newest schema, which is the one that is written.
    pub fn newest(&self) -> u16 {
        self.schemas.last().map_or(0, |schema| schema.number)
    }

    /// Reads a payload.
    pub(super) fn decode(&self, schema: u16, payload: &[u8]) -> Result<Event, WireError> {
        let found = self.schema(schema)?;
        (found.decode)(payload).map_err(|reason| WireError::Malformed { kind: self.name, schema, reason })
    }

    /// Makes a payload readable, in the fields of its own schema.
    pub(super) fn render(&self, schema: u16, payload: &[u8]) -> Result<Vec<u8>, WireError> {
        let found = self.schema(schema)?;
        (found.render)(payload).map_err(|reason| WireError::Malformed { kind: self.name, schema, reason })
    }

    fn schema(&self, number: u16) -> Result<&Schema, WireError> {
        let newest = self.newest();
        match self.schemas.iter().find(|schema| schema.number == number) {
            Some(schema) => Ok(schema),
            None if number > newest => {
                Err(WireError::NewerSchema { kind: self.number, name: self.name, schema: number, newest })
            }
            None => {
                let reason = "the kind never had this schema".to_owned();
                Err(WireError::Malformed { kind: self.name, schema: number, reason })
            }
        }
    }
}

// === impl Schema ===

impl Schema {
    /// The schema whose payload is this frozen struct.
    pub(super) const fn of<P: Payload>(number: u16) -> Self {
        Self {
            number,
            decode: decode::<P>,
            render: render::<P>,
            #[cfg(test)]
            parse: parse::<P>,
        }
    }
}

fn decode<P: Payload>(payload: &[u8]) -> Result<Event, String> {
    let frozen: P = codec::decode(payload).map_err(|error| error.reason)?;
    frozen.into_event().map_err(|reject| reject.to_string())
}

fn render<P: Payload>(payload: &[u8]) -> Result<Vec<u8>, String> {
    let frozen: P = codec::decode(payload).map_err(|error| error.reason)?;
    serde_json::to_vec(&frozen).map_err(|error| error.to_string())
}

#[cfg(test)]
fn parse<P: Payload>(json: &[u8]) -> Result<Vec<u8>, String> {
    let frozen: P = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    codec::encode(&frozen).map_err(|error| error.to_string())
}
