//! From a JSON value to a typed object, with errors that say where and what.
//!
//! `serde_json::from_value` would do the decoding, but says neither where in the object it failed nor, for an unknown
//! field, which known one was meant. Fields that are null count as absent, as the API server has it.
//!
//! **Invariant:** an error names the field at which decoding failed, by the path that a person would write.

use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde_json::{Map, Value};

use crate::error::{At, FieldError};

/// What is wrong with a field that nobody knows.
pub(crate) const NO_SUCH_FIELD: &str = "there is no such field";

/// Decodes a value as `T`.
pub(crate) fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    T::deserialize(Node { value, at: At::ROOT }).map_err(|error| FieldError {
        path: error.path.unwrap_or_default(),
        problem: error.problem,
        remedy: error.remedy,
    })
}

/// The known name nearest to the one written, if it is near enough to be what was meant.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let (name, distance) = known
        .iter()
        .map(|name| (*name, edit_distance(written, name)))
        .min_by_key(|(_, distance)| *distance)?;
    (distance <= written.chars().count().max(3) / 2).then_some(name)
}

/// Levenshtein's distance, letters compared without case.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// "Did you mean" where something is near, else everything that is known.
pub(crate) fn suggestion(written: &str, known: &[&str]) -> String {
    match nearest(written, known) {
        Some(name) => format!("did you mean {name:?}?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("use one of {}", known.join(", ")),
    }
}

/// What a value is, for a person.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => format!("{value:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// What went wrong, at first without a place: the innermost [`Node`] that it passes adds that.
#[derive(Debug)]
struct DecodeError {
    path: Option<String>,
    child: Option<String>,
    problem: String,
    remedy: String,
}

impl DecodeError {
    fn new(problem: String, remedy: String) -> Self {
        Self { path: None, child: None, problem, remedy }
    }

    fn placed(mut self, at: &At<'_>) -> Self {
        if self.path.is_none() {
            self.path = Some(match self.child.take() {
                Some(child) => at.field(&child).to_string(),
                None => at.to_string(),
            });
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem, self.remedy)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), "correct the value".to_owned())
    }

    fn invalid_type(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(
            format!("{unexpected} where {expected} is expected"),
            "write a value of the type expected".to_owned(),
        )
    }

    fn invalid_value(unexpected: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(format!("{unexpected} where {expected} is expected"), "write a value in range".to_owned())
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("{variant:?} is not one of {}", expected.join(", ")), suggestion(variant, expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let child = Some(field.to_owned());
        Self { child, ..Self::new(NO_SUCH_FIELD.to_owned(), suggestion(field, expected)) }
    }

    fn missing_field(field: &'static str) -> Self {
        let child = Some(field.to_owned());
        Self { child, ..Self::new("is missing".to_owned(), "it is required: add it".to_owned()) }
    }
}

/// A value and where it is.
struct Node<'a, 'v> {
    value: &'v Value,
    at: At<'a>,
}

impl Node<'_, '_> {
    /// The value is not what the field takes.
    fn wrong(&self, expected: &str) -> DecodeError {
        let remedy = match (expected, self.value) {
            ("a string", Value::Bool(_) | Value::Number(_)) => "put it in quotes".to_owned(),
            ("an integer" | "a number" | "true or false", Value::String(_)) => {
                "write it without quotes".to_owned()
            }
            _ => format!("write {expected}"),
        };
        DecodeError::new(format!("{} where {expected} is expected", describe(self.value)), remedy)
            .placed(&self.at)
    }

    fn any<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => visitor.visit_u64(value),
                (_, Some(value), _) => visitor.visit_i64(value),
                (_, _, Some(value)) => visitor.visit_f64(value),
                _ => Err(de::Error::custom(format!("{number} is out of range"))),
            },
            Value::String(value) => visitor.visit_str(value),
            Value::Array(values) => visitor.visit_seq(Elements { values, next: 0, at: &self.at }),
            Value::Object(fields) => visitor.visit_map(Entries::new(fields, &self.at, false)),
        }
        .map_err(|error| error.placed(&self.at))
    }

    fn entries<'de, V: Visitor<'de>>(self, visitor: V, structure: bool) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Object(fields) => visitor
                .visit_map(Entries::new(fields, &self.at, structure))
                .map_err(|error| error.placed(&self.at)),
            _ => Err(self.wrong("an object")),
        }
    }
}

macro_rules! numbers {
    ($($method:ident $expected:literal),* $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
            match self.value {
                Value::Number(number) if $expected == "a number" || !number.is_f64() => self.any(visitor),
                _ => Err(self.wrong($expected)),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Node<'_, '_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.any(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Bool(_) => self.any(visitor),
            _ => Err(self.wrong("true or false")),
        }
    }

    numbers!(
        deserialize_i8 "an integer", deserialize_i16 "an integer", deserialize_i32 "an integer",
        deserialize_i64 "an integer", deserialize_u8 "an integer", deserialize_u16 "an integer",
        deserialize_u32 "an integer", deserialize_u64 "an integer", deserialize_f32 "a number", deserialize_f64 "a number",
    );

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::String(_) => self.any(visitor),
            // A key without a value, as in `node-role.kubernetes.io/worker:`; Go's decoder has it so too.
            Value::Null => visitor.visit_str(""),
            _ => Err(self.wrong("a string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == "Quantity" {
            return match self.value {
                Value::String(_) | Value::Number(_) => self.any(visitor),
                // As k8s.io/apimachinery reads it: resource.Quantity.UnmarshalJSON.
                Value::Null => visitor.visit_str("0"),
                _ => Err(self.wrong("a quantity")),
            };
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::Array(_) => self.any(visitor),
            _ => Err(self.wrong("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.entries(visitor, false)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.entries(visitor, true)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match self.value {
            Value::String(variant) => {
                let variant: de::value::StrDeserializer<'_, DecodeError> =
                    variant.as_str().into_deserializer();
                visitor.visit_enum(variant).map_err(|error| error.placed(&self.at))
            }
            _ => Err(self.wrong("a string")),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { char bytes byte_buf unit unit_struct tuple tuple_struct identifier }
}

/// The elements of a list.
struct Elements<'a, 'v> {
    values: &'v [Value],
    next: usize,
    at: &'a At<'a>,
}

impl<'de> de::SeqAccess<'de> for Elements<'_, '_> {
    type Error = DecodeError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some(value) = self.values.get(self.next) else { return Ok(None) };
        let at = self.at.index(self.next);
        self.next += 1;
        seed.deserialize(Node { value, at }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len() - self.next)
    }
}

/// The fields of an object, or the entries of a map. Null fields are left out: null is how absent is written.
struct Entries<'a, 'v> {
    fields: serde_json::map::Iter<'v>,
    current: Option<(&'v str, &'v Value)>,
    at: &'a At<'a>,
    structure: bool,
}

impl<'a, 'v> Entries<'a, 'v> {
    fn new(fields: &'v Map<String, Value>, at: &'a At<'a>, structure: bool) -> Self {
        Self { fields: fields.iter(), current: None, at, structure }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_, '_> {
    type Error = DecodeError;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let structure = self.structure;
        let Some((key, value)) = self.fields.find(|(_, value)| !(structure && value.is_null())) else {
            return Ok(None);
        };
        self.current = Some((key, value));
        let key: de::value::StrDeserializer<'_, DecodeError> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let (key, value) = self.current.take().unwrap_or(("", &Value::Null));
        let at = if self.structure { self.at.field(key) } else { self.at.key(key) };
        seed.deserialize(Node { value, at })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    fn error(value: Value) -> String {
        decode::<Pod>(&value).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_field() {
        for (value, text) in [
            (
                json!({"metadata": {"labels": {"a.b/c": true}}}),
                r#"metadata.labels[a.b/c]: true where a string is expected: put it in quotes"#,
            ),
            (
                json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": "80"}]}]}}),
                r#"spec.containers[1].ports[0].containerPort: "80" where an integer is expected: write it without quotes"#,
            ),
            (
                json!({"spec": {"containers": {}}}),
                "spec.containers: an object where a list is expected: write a list",
            ),
            (
                json!({"spec": {"priority": 1.5}}),
                "spec.priority: 1.5 where an integer is expected: write an integer",
            ),
            (json!({"spec": []}), "spec: a list where an object is expected: write an object"),
        ] {
            assert_eq!(error(value), text);
        }
    }

    #[test]
    fn quantities_may_be_numbers_and_null_is_absent() {
        let value = json!({"metadata": {"labels": {"worker": null}, "annotations": null}, "spec": {"containers": [
            {"name": "a", "resources": {"requests": {"cpu": 0.5, "memory": 1024, "x/y": null}}}
        ]}});
        let pod: Pod = decode(&value).unwrap();
        let requests = pod.spec.unwrap().containers[0].resources.clone().unwrap().requests.unwrap();
        let requests: Vec<(&str, &str)> = requests.iter().map(|(k, v)| (k.as_str(), v.0.as_str())).collect();
        assert_eq!(requests, [("cpu", "0.5"), ("memory", "1024"), ("x/y", "0")]);
        assert_eq!(pod.metadata.labels.unwrap()["worker"], "");
        assert_eq!(pod.metadata.annotations, None);
    }

    #[test]
    fn near_names_are_suggested() {
        assert_eq!(nearest("requirments", &["requirements", "taints"]), Some("requirements"));
        assert_eq!(nearest("expireafter", &["expireAfter", "taints"]), Some("expireAfter"));
        assert_eq!(nearest("zzzzzz", &["requirements", "taints"]), None);
    }
}
