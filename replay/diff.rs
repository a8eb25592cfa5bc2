//! Where two decisions differ.
//!
//! **Invariant:** two decisions that are not equal differ somewhere, and the first place in the order of the readable form's names is
//! told.

use purser_engine::event::{Decision, Event};
use purser_events::wire::{self, Kind};
use serde::Serialize;
use serde_json::Value;

/// A place at which two decisions differ, and what they have there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Such as `options[0].instance_type`.
    pub path: String,
    /// What the records lead to; `null` for nothing.
    pub expected: Value,
    /// What is recorded; `null` for nothing.
    pub got: Value,
}

/// A decision in readable form, with the name of its kind.
pub fn readable(decision: &Decision) -> Option<(&'static str, Value)> {
    let encoded = wire::encode(&Event::Decision(decision.clone())).ok()?;
    let json = wire::render(encoded.kind, encoded.schema, &encoded.payload).ok()?;
    Some((Kind::of(encoded.kind)?.name, serde_json::from_slice(&json).ok()?))
}

/// Where two decisions differ first, whether one of them is there or both.
pub fn decisions(expected: Option<&Decision>, got: Option<&Decision>) -> Difference {
    let (expected, got) = (expected.and_then(readable), got.and_then(readable));
    let whole = |value: Option<(&'static str, Value)>| match value {
        Some((kind, data)) => serde_json::json!({ kind: data }),
        None => Value::Null,
    };
    match (expected, got) {
        (Some((kind, expected)), Some((other, got))) if kind == other => {
            first(&expected, &got, "").unwrap_or(Difference { path: String::new(), expected, got })
        }
        (expected, got) => Difference { path: "kind".to_owned(), expected: whole(expected), got: whole(got) },
    }
}

/// The first place at which two values differ.
fn first(expected: &Value, got: &Value, path: &str) -> Option<Difference> {
    let difference = || Difference { path: path.to_owned(), expected: expected.clone(), got: got.clone() };
    match (expected, got) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            names.into_iter().find_map(|name| {
                let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let none = Value::Null;
                first(a.get(name).unwrap_or(&none), b.get(name).unwrap_or(&none), &below)
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            let none = Value::Null;
            (0..a.len().max(b.len())).find_map(|at| {
                first(a.get(at).unwrap_or(&none), b.get(at).unwrap_or(&none), &format!("{path}[{at}]"))
            })
        }
        _ => (expected != got).then(difference),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purser_engine::model::ClaimName;
    use serde_json::json;

    #[test]
    fn the_path_leads_to_the_first_difference() {
        for (expected, got, path) in [
            (json!({"a": 1}), json!({"a": 2}), "a"),
            (json!({"a": {"b": [1, {"c": 2}]}}), json!({"a": {"b": [1, {"c": 3}]}}), "a.b[1].c"),
            (json!({"a": [1, 2]}), json!({"a": [1]}), "a[1]"),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), "b"),
        ] {
            assert_eq!(first(&expected, &got, "").unwrap().path, path);
        }
        assert_eq!(first(&json!([1]), &json!([1]), ""), None);
    }

    #[test]
    fn decisions_of_two_kinds_differ_as_a_whole() {
        let claim = ClaimName::from("a-1");
        let taint = Decision::Taint { claim: claim.clone() };
        let difference = decisions(Some(&taint), Some(&Decision::Untaint { claim }));
        assert_eq!(difference.path, "kind");
        assert_eq!(difference.expected, json!({"taint": {"claim": "a-1"}}));
        assert_eq!(decisions(Some(&taint), None).got, Value::Null);
    }
}
