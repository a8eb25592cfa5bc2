//! The parts of schemas that several kinds share: patterns, rules in CEL, and types that Kubernetes itself defines.
//!
//! **Invariant:** rules and patterns are as Karpenter has them, also where they let pass what is refused later.

use std::convert::identity;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Condition, Requirement};
use crate::names::{AWS_LABELS, KWOK_LABELS};

pub(super) const DURATION: &str = "^([0-9]+(s|m|h))+$";
pub(super) const DURATION_OR_NEVER: &str = "^(([0-9]+(s|m|h))+|Never)$";
pub(super) const QUALIFIED_NAME: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*(\/))?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$";
const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";
const QUANTITY: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";
const CONDITION_TYPE: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";
const REASON: &str = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";
const REASON_OR_NONE: &str = "^([A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?|)$";

/// A rule in CEL: what is said where it does not hold, and the rule.
type Rule = (&'static str, &'static str);

/// Rules as a schema has them, under `x-kubernetes-validations`; each with what is said where it does not hold.
pub(super) fn rules(rules: &[(impl Serialize, impl Serialize)]) -> Value {
    rules.iter().map(|(message, rule)| json!({"message": message, "rule": rule})).collect()
}

/// No field of this name may be empty.
pub(super) fn not_empty(field: &str) -> Value {
    rules(&[(format!("{field} may not be empty"), "self != ''")])
}

// === Labels and requirements ===

/// A domain in which somebody else writes the labels, but for some.
#[derive(Clone, Copy)]
enum Domain {
    Karpenter,
    Aws,
    Kwok,
}

impl Domain {
    const ALL: [Self; 3] = [Self::Karpenter, Self::Aws, Self::Kwok];

    const fn name(self) -> &'static str {
        match self {
            Self::Karpenter => "karpenter.sh",
            Self::Aws => "karpenter.k8s.aws",
            Self::Kwok => "karpenter.kwok.sh",
        }
    }

    /// The labels that may be written all the same.
    fn allowed(self) -> Vec<&'static str> {
        match self {
            Self::Karpenter => vec!["capacity-type", "nodepool"],
            Self::Aws => AWS_LABELS.into_iter().chain(["ec2nodeclass"]).collect(),
            Self::Kwok => KWOK_LABELS.into_iter().chain(["kwoknodeclass"]).collect(),
        }
    }

    /// That `label`, an expression, is not in the domain, or is one of those allowed.
    fn rule(self, label: &str) -> String {
        let domain = self.name();
        let allowed: Vec<String> =
            self.allowed().into_iter().map(|name| format!("\"{domain}/{name}\"")).collect();
        format!("{label} in [{}] || !{label}.find(\"^([^/]+)\").endsWith(\"{domain}\")", allowed.join(", "))
    }
}

/// Rules that `label`, an expression, is neither one of `keys` nor somebody else's; `each` makes of such a condition the
/// rule for the place.
fn label_rules(label: &str, domains: &[Domain], keys: &[&str], each: impl Fn(String) -> String) -> Value {
    let domains = domains.iter().map(|domain| {
        (format!("label domain \"{}\" is restricted", domain.name()), each(domain.rule(label)))
    });
    let keys = keys
        .iter()
        .map(|key| (format!("label \"{key}\" is restricted"), each(format!("{label} != \"{key}\""))));
    rules(&domains.chain(keys).collect::<Vec<_>>())
}

const NODEPOOL: &str = "karpenter.sh/nodepool";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Labels of a pool's nodes.
pub(super) fn pool_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 100,
        "additionalProperties": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE},
        "x-kubernetes-map-type": "atomic",
        "x-kubernetes-validations":
            label_rules("x", &Domain::ALL, &[NODEPOOL, HOSTNAME], |rule| format!("self.all(x, {rule})")),
    })
}

const HAS_VALUE_IN: Rule = (
    "requirements with operator 'In' must have a value defined",
    "self.all(x, x.operator == 'In' ? x.values.size() != 0 : true)",
);
const HAS_VALUE_NOT_IN: Rule = (
    "requirements with operator 'NotIn' must have a value defined",
    "self.all(x, x.operator == 'NotIn' ? x.values.size() != 0 : true)",
);
const ONE_INTEGER: Rule = (
    "requirements operator 'Gt', 'Lt', 'Gte', or 'Lte' must have a single positive integer value",
    "self.all(x, x.operator in ['Gt', 'Lt', 'Gte', 'Lte'] ? (x.values.size() == 1 && int(x.values[0]) >= 0) : true)",
);
const ENOUGH_VALUES: Rule = (
    "requirements with 'minValues' must have at least that many values specified in the 'values' field",
    "self.all(x, (x.operator == 'In' && has(x.minValues)) ? x.values.size() >= x.minValues : true)",
);

/// Requirements of type `T`, each with rules on its key.
fn requirements<T: JsonSchema>(generator: &mut SchemaGenerator, key: Value, all: &[Rule]) -> Schema {
    let mut item = generator.subschema_for::<T>().to_value();
    item["properties"]["key"]["x-kubernetes-validations"] = key;
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "items": item,
        "x-kubernetes-list-type": "atomic",
        "x-kubernetes-validations": rules(all),
    })
}

/// Requirements of a pool.
pub(super) fn pool_requirements(generator: &mut SchemaGenerator) -> Schema {
    let key = label_rules("self", &Domain::ALL, &[NODEPOOL, HOSTNAME], identity);
    requirements::<Requirement>(generator, key, &[HAS_VALUE_IN, ONE_INTEGER, ENOUGH_VALUES])
}

/// Requirements of a claim, which has its pool among them.
pub(super) fn claim_requirements(generator: &mut SchemaGenerator) -> Schema {
    let key = label_rules("self", &[Domain::Karpenter, Domain::Aws], &[HOSTNAME], identity);
    requirements::<Requirement>(generator, key, &[HAS_VALUE_IN, ONE_INTEGER, ENOUGH_VALUES])
}

/// Requirements of an overlay.
pub(super) fn overlay_requirements(generator: &mut SchemaGenerator) -> Schema {
    let key = label_rules("self", &[Domain::Karpenter], &[HOSTNAME], identity);
    requirements::<super::OverlayRequirement>(generator, key, &[HAS_VALUE_NOT_IN, HAS_VALUE_IN, ONE_INTEGER])
}

// === Types of Kubernetes ===

/// Amounts by resource name.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY,
            "x-kubernetes-int-or-string": true,
        },
    })
}

/// A moment.
pub(super) fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// Conditions, one of each type.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = unkeyed_conditions(generator);
    schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(["type"]));
    schema
}

/// Conditions of a claim: the reason may be empty, and it and the message may be absent.
pub(super) fn claim_conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = conditions(generator);
    if let Some(item) = schema.get_mut("items") {
        item["properties"]["reason"] = json!({
            "type": "string", "description": "Why, in one word.", "maxLength": 1024, "pattern": REASON_OR_NONE,
        });
        item["required"] = json!(["lastTransitionTime", "status", "type"]);
    }
    schema
}

/// Conditions, of which the schema does not say that there is one of each type.
pub(super) fn unkeyed_conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut item = generator.subschema_for::<Condition>().to_value();
    item["description"] = json!("A condition.");
    let properties = &mut item["properties"];
    for (field, facets) in [
        ("type", json!({"maxLength": 316, "pattern": CONDITION_TYPE})),
        ("status", json!({"enum": ["True", "False", "Unknown"]})),
        ("reason", json!({"minLength": 1, "maxLength": 1024, "pattern": REASON})),
        ("message", json!({"maxLength": 32768})),
        ("observedGeneration", json!({"minimum": 0})),
    ] {
        for (name, value) in facets.as_object().into_iter().flatten() {
            properties[field][name] = value.clone();
        }
    }
    item["required"] = json!(["lastTransitionTime", "message", "reason", "status", "type"]);
    json_schema!({"type": "array", "items": item})
}
