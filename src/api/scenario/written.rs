//! A scenario as it is written: its text, found and taken apart, but not yet read.
//!
//! **Invariant:** objects and instance types stay text until each is read, since all at once they take ten times the room of their text.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::objects;
use crate::error::{At, FieldError};
use crate::pod::Priorities;

/// The text of a scenario.
#[derive(Debug)]
pub struct Written<'t> {
    /// All but the objects, and but those that are null.
    fields: Fields<'t>,
    objects: Vec<&'t RawValue>,
}

/// The fields of an object by name.
pub(super) type Fields<'t> = BTreeMap<String, &'t RawValue>;

impl<'t> Written<'t> {
    /// The scenario in a text, if it is one: the text itself, or what it has under `scenario`, as an entry of a corpus does.
    pub fn find(text: &'t str) -> Option<Self> {
        let mut fields: Fields<'t> = serde_json::from_str(text).ok()?;
        if let Some(inner) = fields.get("scenario") {
            fields = serde_json::from_str(inner.get()).ok()?;
        }
        let objects = fields.remove("objects").filter(|_| !fields.contains_key("kind"))?;
        fields.retain(|_, text| text.get() != "null");
        Some(Self { fields, objects: serde_json::from_str(objects.get()).ok()? })
    }

    /// Whether it says what instance types there are, be it that there are none.
    pub fn names_types(&self) -> bool {
        let fields =
            ["instanceTypes", "instanceTypesRef", "instanceTypesByNodePool", "instanceTypesByNodePoolRef"];
        fields.iter().any(|field| self.fields.contains_key(*field))
    }

    pub(super) fn fields(&self) -> &Fields<'t> {
        &self.fields
    }

    /// Its objects, in the order written.
    pub(super) fn objects(&self) -> impl Iterator<Item = Result<Value, FieldError>> {
        self.objects.iter().map(|text| value(&At::ROOT, text))
    }

    /// The priorities that its PriorityClasses give.
    pub(super) fn priorities(&self) -> Priorities {
        // The name may be written with escapes.
        let may_be_one = |text: &str| text.contains("PriorityClass") || text.contains("\\u");
        let objects = self.objects.iter().filter(|text| may_be_one(text.get()));
        // One that is not right is told when it is read itself.
        objects::priorities(objects.filter_map(|text| value(&At::ROOT, text).ok()))
    }
}

/// A text that is known to be JSON, as a value.
pub(super) fn value(at: &At<'_>, text: &RawValue) -> Result<Value, FieldError> {
    serde_json::from_str(text.get())
        .map_err(|error| at.error(format!("cannot be read: {error}"), "correct the text"))
}

/// The items of a list; null has none.
pub(super) fn items<'t>(at: &At<'_>, text: &'t RawValue) -> Result<Vec<&'t RawValue>, FieldError> {
    let items: Option<_> =
        serde_json::from_str(text.get()).map_err(|_| at.error("is not a list", "write a list"))?;
    Ok(items.unwrap_or_default())
}

/// The fields of an object.
pub(super) fn entries<'t>(at: &At<'_>, text: &'t RawValue) -> Result<Fields<'t>, FieldError> {
    serde_json::from_str(text.get()).map_err(|_| at.error("is not an object", "write names and values"))
}
