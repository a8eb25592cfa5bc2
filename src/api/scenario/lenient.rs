//! Reading with warnings: what is not known is said and passed over.
//!
//! **Invariant:** a warning names the source, the object and the field. A field is passed over only because nobody knows it, never because
//! its value is wrong.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use purser_engine::model::{PodSpec, Requirements};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::decode::{NO_SUCH_FIELD, decode};
use crate::error::{ApiError, FieldError};
use crate::lenient::remove;
use crate::pod::{Origin, Priorities};

/// What is being read, and what was noticed on the way.
pub(super) struct Reading<'a> {
    source: &'a str,
    /// The line of the object that is being read; 0 if that is not known.
    pub(super) line: usize,
    object: String,
    pub(super) origin: Origin,
    pub(super) priorities: Priorities,
    pub(super) warnings: Vec<String>,
    /// Kind and name of the objects so far.
    pub(super) seen: BTreeSet<String>,
    /// What the pods so far ask for.
    pub(super) specs: Shared<PodSpec>,
    /// The labels of the offerings so far.
    pub(super) requirements: Shared<Requirements>,
}

/// Equal values are there once.
pub(super) struct Shared<T>(HashSet<Arc<T>>);

impl<T: Eq + Hash> Shared<T> {
    /// The one that is there of those equal to this.
    pub(super) fn shared(&mut self, one: impl Into<Arc<T>>) -> Arc<T> {
        let one = one.into();
        if let Some(known) = self.0.get(&one) {
            return Arc::clone(known);
        }
        self.0.insert(Arc::clone(&one));
        one
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<'a> Reading<'a> {
    pub(super) fn new(source: &'a str, origin: Origin) -> Self {
        Self {
            source,
            line: 0,
            object: String::new(),
            origin,
            priorities: Priorities::default(),
            warnings: Vec::new(),
            seen: BTreeSet::new(),
            specs: Shared::default(),
            requirements: Shared::default(),
        }
    }

    /// Reads an object; its errors and warnings bear its name.
    pub(super) fn object<T>(
        &mut self,
        name: impl Into<String>,
        read: impl FnOnce(&mut Self) -> Result<T, FieldError>,
    ) -> Result<T, ApiError> {
        self.object = name.into();
        read(self).map_err(|field| ApiError {
            source_name: self.source.to_owned(),
            line: self.line,
            object: self.object.clone(),
            field: Box::new(field),
        })
    }

    /// Says that a field is not known.
    pub(super) fn unknown_field(&mut self, path: &str) {
        self.warn(&format!("{path}: there is no such field, so it was passed over"));
    }

    /// Says something about the object that is being read.
    pub(super) fn warn(&mut self, what: &str) {
        let at = if self.line == 0 { String::new() } else { format!(":{}", self.line) };
        let warning = format!("{}{at}: {}: {what}", self.source, self.object);
        self.warnings.push(warning.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
    }
}

/// Decodes what refuses fields that it does not know, without those.
pub(super) fn decode_leniently<T: DeserializeOwned>(
    reading: &mut Reading<'_>,
    value: &Value,
) -> Result<T, FieldError> {
    let mut pruned: Option<Value> = None;
    loop {
        match decode(pruned.as_ref().unwrap_or(value)) {
            Err(error) if error.problem == NO_SUCH_FIELD => {
                let rest = pruned.get_or_insert_with(|| value.clone());
                if !remove(rest, &error.path) {
                    return Err(error);
                }
                reading.unknown_field(&error.path);
            }
            decoded => return decoded,
        }
    }
}

/// Decodes what passes over fields that it does not know, and says which those are.
pub(super) fn decode_noting<T: DeserializeOwned + Serialize>(
    reading: &mut Reading<'_>,
    value: &Value,
) -> Result<T, FieldError> {
    let decoded: T = decode(value)?;
    if let Ok(kept) = serde_json::to_value(&decoded) {
        note_lost(reading, "", value, &kept);
    }
    Ok(decoded)
}

/// Fields that were written and are not in what was kept of them.
fn note_lost(reading: &mut Reading<'_>, path: &str, written: &Value, kept: &Value) {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            for (field, value) in written.iter().filter(|(_, value)| !value.is_null()) {
                let at = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
                match kept.get(field) {
                    Some(kept) => note_lost(reading, &at, value, kept),
                    None if is_empty(value) || matches!(at.as_str(), "apiVersion" | "kind") => {}
                    None => reading.unknown_field(&at),
                }
            }
        }
        (Value::Array(written), Value::Array(kept)) => {
            for (index, (written, kept)) in written.iter().zip(kept).enumerate() {
                note_lost(reading, &format!("{path}[{index}]"), written, kept);
            }
        }
        _ => {}
    }
}

/// Whether a value says nothing, so that leaving it out on writing loses nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}
