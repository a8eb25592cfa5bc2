//! JSON values that know where they are, so that an error about one can say so.
//!
//! **Invariant:** a value's raw text is a part of the document's text; its line follows from that.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::CatalogueError;

/// A text and the name of what it came from.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Document<'_> {
    pub(super) fn malformed(self, error: &serde_json::Error) -> CatalogueError {
        CatalogueError {
            file: self.file.into(),
            line: u64::try_from(error.line()).ok(),
            object: "".into(),
            field: "".into(),
            problem: format!("this is not JSON: {error}").into(),
            remedy: "write a list of instance types, [{\"name\": …}, …]".into(),
        }
    }
}

/// A value, the object that it belongs to and its path within that.
#[derive(Clone)]
pub(super) struct Value<'a> {
    document: Document<'a>,
    raw: &'a RawValue,
    object: Rc<str>,
    path: String,
}

/// The fields of an object that are not taken yet.
pub(super) struct Fields<'a> {
    of: Value<'a>,
    left: BTreeMap<String, Value<'a>>,
}

/// An object's entries in order, names that occur twice included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Value<'a> {
    pub(super) fn root(document: Document<'a>, raw: &'a RawValue) -> Self {
        Self { document, raw, object: "".into(), path: String::new() }
    }

    /// The same value, as an object of its own.
    pub(super) fn named(self, object: &str) -> Self {
        Self { object: object.into(), path: String::new(), ..self }
    }

    /// The same place, with one more step in its path.
    pub(super) fn at(&self, step: &str) -> Self {
        let path = if self.path.is_empty() { step.to_owned() } else { format!("{}.{step}", self.path) };
        self.with(self.raw, path)
    }

    fn with(&self, raw: &'a RawValue, path: String) -> Self {
        Self { document: self.document, raw, object: Rc::clone(&self.object), path }
    }

    pub(super) fn error(&self, problem: impl Into<Box<str>>, remedy: impl Into<Box<str>>) -> CatalogueError {
        CatalogueError {
            file: self.document.file.into(),
            line: Some(self.line()),
            object: (*self.object).into(),
            field: self.path.as_str().into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn unsupported(&self, feature: &str) -> CatalogueError {
        self.error(format!("{feature}: not supported yet"), "remove the field, or the type that has it")
    }

    fn line(&self) -> u64 {
        let offset = self.raw.get().as_ptr().addr().saturating_sub(self.document.text.as_ptr().addr());
        let before = self.document.text.as_bytes().iter().take(offset);
        1 + before.map(|byte| u64::from(*byte == b'\n')).sum::<u64>()
    }

    fn is_null(&self) -> bool {
        self.raw.get() == "null"
    }

    fn read<T: Deserialize<'a>>(&self, what: &str) -> Result<T, CatalogueError> {
        serde_json::from_str(self.raw.get())
            .map_err(|_| self.error(format!("this is not {what}"), format!("write {what}")))
    }

    /// The entries of an object; null is an object without any.
    pub(super) fn entries(&self) -> Result<BTreeMap<String, Self>, CatalogueError> {
        let mut entries = BTreeMap::new();
        if self.is_null() {
            return Ok(entries);
        }
        for (name, raw) in self.read::<Entries<'a>>("an object")?.0 {
            let value = Self { raw, ..self.at(&name) };
            if let Some(twice) = entries.insert(name, value) {
                return Err(twice.error("the object has this field twice", "remove one of the two"));
            }
        }
        Ok(entries)
    }

    /// The fields of an object that may have these and no others. A field that is null counts as not there.
    pub(super) fn fields(&self, known: &[&str]) -> Result<Fields<'a>, CatalogueError> {
        let mut left = self.entries()?;
        if let Some((_, unknown)) = left.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            return Err(unknown.error("unknown field", format!("remove it; there are {}", known.join(", "))));
        }
        left.retain(|_, value| !value.is_null());
        Ok(Fields { of: self.clone(), left })
    }

    /// The items of a list; null is a list without any.
    pub(super) fn items(&self) -> Result<Vec<Self>, CatalogueError> {
        if self.is_null() {
            return Ok(Vec::new());
        }
        let items = self.read::<Vec<&'a RawValue>>("a list")?;
        let numbered = |(at, raw)| self.with(raw, format!("{}[{at}]", self.path));
        Ok(items.into_iter().enumerate().map(numbered).collect())
    }

    pub(super) fn text(&self) -> Result<String, CatalogueError> {
        self.read("a text in quotes")
    }

    pub(super) fn number(&self) -> Result<u32, CatalogueError> {
        self.read("a whole number from 0 to 4294967295")
    }

    pub(super) fn truth(&self) -> Result<bool, CatalogueError> {
        self.read("true or false")
    }

    /// A text, or the digits of a number.
    pub(super) fn text_or_number(&self) -> Result<String, CatalogueError> {
        match self.raw.get().as_bytes().first() {
            Some(b'-' | b'0'..=b'9') => Ok(self.raw.get().to_owned()),
            _ => self.read("a quantity, in quotes or as a number"),
        }
    }

    /// The text of the value as it is in the document.
    pub(super) fn raw_text(&self) -> &'a str {
        self.raw.get()
    }
}

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, name: &str) -> Option<Value<'a>> {
        self.left.remove(name)
    }

    pub(super) fn needed(&mut self, name: &str) -> Result<Value<'a>, CatalogueError> {
        self.take(name).ok_or_else(|| self.of.at(name).error("the field is missing", "add it"))
    }

    /// Calls the object by another name in errors about the fields that are left.
    pub(super) fn rename(&mut self, object: &str) {
        let object: Rc<str> = object.into();
        for value in self.left.values_mut().chain([&mut self.of]) {
            value.object = Rc::clone(&object);
        }
    }
}
