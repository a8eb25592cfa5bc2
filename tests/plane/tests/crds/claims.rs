//! NodeClaim.

use serde_json::{Value, json};

use super::{Accepted, Refused, many, try_all, try_update};

pub(crate) fn claim() -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": "claim"},
        "spec": {
            "requirements": [],
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn specs() {
    let spec = |fields: Value| json!({"spec": fields});
    let requirement = |fields: Value| json!({"spec": {"requirements": [fields]}});
    let key = |key: &str| requirement(json!({"key": key, "operator": "Exists"}));
    let exists = |n: usize| json!({"key": format!("k{n}"), "operator": "Exists"});
    let cases = vec![
        (json!({"spec": null}), Refused("spec: Required value")),
        (spec(json!({"requirements": null})), Refused("requirements: Required value")),
        (spec(json!({"requirements": many(101, exists)})), Refused("must have at most 100 items")),
        (spec(json!({"nodeClassRef": null})), Refused("nodeClassRef: Required value")),
        (spec(json!({"nodeClassRef": {"group": ""}})), Refused("group may not be empty")),
        (spec(json!({"nodeClassRef": {"kind": ""}})), Refused("kind may not be empty")),
        (spec(json!({"nodeClassRef": {"name": ""}})), Refused("name may not be empty")),
        (spec(json!({"nodeClassRef": {"group": "a/v1"}})), Refused("should match")),
        (key("karpenter.sh/nodepool"), Accepted),
        (key("karpenter.sh/capacity-type"), Accepted),
        (key("karpenter.sh/custom"), Refused("label domain \"karpenter.sh\" is restricted")),
        (key("kubernetes.io/hostname"), Refused("label \"kubernetes.io/hostname\" is restricted")),
        (key("karpenter.k8s.aws/instance-cpu"), Accepted),
        (key("karpenter.k8s.aws/custom"), Refused("label domain \"karpenter.k8s.aws\" is restricted")),
        // The schema of Karpenter's kwok provider restricts its domain in NodePools only.
        (key("karpenter.kwok.sh/custom"), Accepted),
        (key("a b"), Refused("should match")),
        (
            requirement(json!({"key": "a", "operator": "In", "values": []})),
            Refused("must have a value defined"),
        ),
        (requirement(json!({"key": "a", "operator": "Gte", "values": ["4"]})), Accepted),
        (
            requirement(json!({"key": "a", "operator": "Lte", "values": ["-4"]})),
            Refused("single positive integer"),
        ),
        (requirement(json!({"key": "a", "operator": "In", "values": ["b"], "minValues": 1})), Accepted),
        (
            requirement(json!({"key": "a", "operator": "In", "values": ["b"], "minValues": 2})),
            Refused("at least that many"),
        ),
        (requirement(json!({"key": "a", "operator": "Is"})), Refused("Unsupported value")),
        (spec(json!({"resources": {"requests": {"cpu": "100m", "memory": 5, "pods": "3"}}})), Accepted),
        (spec(json!({"resources": {"requests": {"cpu": "some"}}})), Refused("should match")),
        (spec(json!({"taints": [{"key": "a", "effect": "NoSchedule"}]})), Accepted),
        (spec(json!({"taints": [{"key": "a"}]})), Refused("effect: Required value")),
        (spec(json!({"startupTaints": [{"key": "a b", "effect": "NoSchedule"}]})), Refused("should match")),
        (spec(json!({"terminationGracePeriod": "30s"})), Accepted),
        (spec(json!({"terminationGracePeriod": "Never"})), Refused("should match")),
        (spec(json!({"expireAfter": "Never"})), Accepted),
        (spec(json!({"expireAfter": "1d"})), Refused("should match")),
    ];
    try_all(claim(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_never_changes() {
    let named = |name: &str| {
        let mut claim = claim();
        claim["metadata"]["name"] = json!(name);
        claim
    };
    try_update(named("u1"), json!({"spec": {"expireAfter": "1h"}}), Refused("spec is immutable")).await;
    try_update(named("u2"), json!({"metadata": {"labels": {"a": "b"}}}), Accepted).await;
}
