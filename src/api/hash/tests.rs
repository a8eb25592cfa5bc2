//! Expected values were computed by Karpenter's own `NodePool.Hash` (sigs.k8s.io/karpenter v1.14.1) of the same documents,
//! after the API server's default for `expireAfter`.

use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn hash(metadata: Value, mut spec: Value) -> String {
    let reference = json!({"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"});
    let fields = spec.as_object_mut().unwrap();
    fields.insert("requirements".to_owned(), json!([]));
    fields.entry("nodeClassRef").or_insert(reference);
    node_pool_hash(&decode(&json!({"metadata": metadata, "spec": spec})).unwrap())
}

#[test]
fn hashes_are_those_of_karpenter() {
    let full = json!({
        "expireAfter": "1h30m", "terminationGracePeriod": "48h",
        "taints": [{"key": "a", "value": "1", "effect": "NoSchedule"}, {"key": "b", "effect": "NoExecute"}],
        "startupTaints": [{"key": "c", "effect": "NoExecute"}],
    });
    let labelled = json!({"labels": {"team": "a", "tier": "web"}, "annotations": {"example.com/x": "y"}});
    let added = json!([{"key": "a", "effect": "NoSchedule", "timeAdded": "2026-01-02T03:04:05Z"}]);
    let kwok = json!({"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"});
    for (metadata, spec, expected) in [
        (json!({}), json!({"expireAfter": "720h"}), "6821555240594823858"),
        (json!({}), json!({"expireAfter": "Never"}), "17369979337536258260"),
        (labelled, full, "11998550836225907048"),
        // Empty is not absent.
        (
            json!({"labels": {}, "annotations": {}}),
            json!({"taints": [], "startupTaints": []}),
            "1503777627493537235",
        ),
        // Nor is a zero duration.
        (
            json!({"labels": {"a": ""}}),
            json!({"expireAfter": "0s", "terminationGracePeriod": "0s"}),
            "7470402208723006743",
        ),
        (json!({}), json!({"taints": added}), "9359460079929171056"),
        (json!({}), json!({"nodeClassRef": kwok}), "12745407319442031341"),
    ] {
        assert_eq!(hash(metadata.clone(), spec.clone()), expected, "{metadata} {spec}");
    }
}

#[test]
fn neither_order_nor_requirements_nor_spelling_matter() {
    let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
    let a = hash(json!({}), json!({"taints": [taint("a"), taint("b")], "expireAfter": "90m"}));
    let b = hash(json!({}), json!({"taints": [taint("b"), taint("a")], "expireAfter": "1h30m"}));
    assert_eq!(a, b);
    assert_eq!(hash(json!({}), json!({})), hash(json!({}), json!({"expireAfter": "720h"})));
}

/// Templates made at random, each after its hash. They hold what Karpenter hashes without a look at whether it is valid.
#[test]
fn hashes_of_templates_made_at_random_are_those_of_karpenter() {
    let lines = include_str!("karpenter.tsv").lines();
    for line in lines {
        let (expected, template) = line.split_once('\t').unwrap();
        let template: Value = serde_json::from_str(template).unwrap();
        assert_eq!(node_pool_hash(&decode(&template).unwrap()), expected, "{template}");
    }
}
