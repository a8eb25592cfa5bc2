//! Objects as an API server gives them, which may be newer than what is known here.
//!
//! **Invariant:** a field is passed over only because nobody here knows it, never because its value is wrong; and whoever reads is told
//! which fields those were.

use serde_json::Value;

use crate::decode::NO_SUCH_FIELD;
use crate::error::FieldError;
use crate::pod::{Origin, Priorities};
use crate::read::{Object, object};

/// An object, and the paths of the fields that were passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lenient {
    /// The object without those fields.
    pub object: Object,
    /// Where they are, such as `spec.template.spec.novelty`.
    pub unknown: Vec<String>,
}

/// Reads an object of a cluster without the fields that are not known.
///
/// # Errors
/// If a field that is known is invalid.
pub fn lenient_object(mut value: Value, priorities: &Priorities) -> Result<Lenient, FieldError> {
    let mut unknown = Vec::new();
    loop {
        match object(&value, priorities, Origin::Cluster) {
            Err(error) if error.problem == NO_SUCH_FIELD => {
                if !remove(&mut value, &error.path) {
                    return Err(error);
                }
                unknown.push(error.path);
            }
            read => return Ok(Lenient { object: read?, unknown }),
        }
    }
}

/// Removes what is at a path as errors write it, such as `spec.template.x` or `offerings[3].x`.
pub(crate) fn remove(value: &mut Value, path: &str) -> bool {
    let (step, rest) = match path.strip_prefix('[') {
        Some(bracketed) => match bracketed.split_once(']') {
            Some((step, rest)) => (step, rest.strip_prefix('.').unwrap_or(rest)),
            None => return false,
        },
        None => {
            let end = path.find(['.', '[']).unwrap_or(path.len());
            let (step, rest) = path.split_at(end);
            (step, rest.strip_prefix('.').unwrap_or(rest))
        }
    };
    match value {
        // The field itself may have a dot in its name.
        Value::Object(fields) if fields.contains_key(path) => fields.remove(path).is_some(),
        Value::Object(fields) => fields.get_mut(step).is_some_and(|below| remove(below, rest)),
        Value::Array(items) => {
            let item = step.parse::<usize>().ok().and_then(|index| items.get_mut(index));
            item.is_some_and(|below| remove(below, rest))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool(more: &Value) -> Value {
        let mut pool = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"},
            "spec": {"template": {"spec": {
                "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "c"},
                "requirements": [],
            }}},
        });
        for (field, value) in more.as_object().unwrap() {
            pool["spec"]["template"]["spec"][field] = value.clone();
        }
        pool
    }

    #[test]
    fn fields_of_a_newer_version_are_passed_over_and_named() {
        let read = lenient_object(pool(&json!({"novelty": {"a": 1}})), &Priorities::default()).unwrap();
        assert!(matches!(read.object, Object::NodePool(pool) if pool.name.as_str() == "p"));
        assert_eq!(read.unknown, ["spec.template.spec.novelty"]);
    }

    #[test]
    fn a_wrong_value_is_an_error_all_the_same() {
        let error =
            lenient_object(pool(&json!({"expireAfter": "soon"})), &Priorities::default()).unwrap_err();
        assert!(error.path.contains("expireAfter"), "{error}");
    }
}
