//! NodeOverlay.

use serde_json::{Value, json};

use super::{Accepted, Refused, many, try_all};

#[tokio::test(flavor = "multi_thread")]
async fn specs() {
    let base = json!({
        "apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlay", "metadata": {"name": "overlay"},
        "spec": {"requirements": []},
    });
    let spec = |fields: Value| json!({"spec": fields});
    let requirement = |fields: Value| json!({"spec": {"requirements": [fields]}});
    let key = |key: &str| requirement(json!({"key": key, "operator": "Exists"}));
    let exists = |n: usize| json!({"key": format!("k{n}"), "operator": "Exists"});
    let mut cases = vec![
        (json!({"spec": null}), Refused("spec: Required value")),
        (spec(json!({"requirements": null})), Refused("requirements: Required value")),
        (spec(json!({"requirements": many(101, exists)})), Refused("must have at most 100 items")),
        (key("karpenter.sh/nodepool"), Accepted),
        (key("karpenter.sh/custom"), Refused("label domain \"karpenter.sh\" is restricted")),
        (key("kubernetes.io/hostname"), Refused("label \"kubernetes.io/hostname\" is restricted")),
        (key("karpenter.k8s.aws/custom"), Accepted),
        (key("a b"), Refused("should match")),
        (
            requirement(json!({"key": "a", "operator": "In", "values": []})),
            Refused("operator 'In' must have a value"),
        ),
        (
            requirement(json!({"key": "a", "operator": "NotIn", "values": []})),
            Refused("operator 'NotIn' must have a value"),
        ),
        (requirement(json!({"key": "a", "operator": "NotIn", "values": ["b"]})), Accepted),
        (requirement(json!({"key": "a", "operator": "Gt", "values": ["4"]})), Accepted),
        (
            requirement(json!({"key": "a", "operator": "Gt", "values": ["-4"]})),
            Refused("single positive integer"),
        ),
        (requirement(json!({"key": "a", "operator": "Is"})), Refused("Unsupported value")),
        (spec(json!({"weight": 10000})), Accepted),
        (spec(json!({"weight": 10001})), Refused("less than or equal to 10000")),
        (spec(json!({"weight": 0})), Refused("greater than or equal to 1")),
        (spec(json!({"capacity": {"smarter-devices/fuse": 1, "example.com/gpu": "2"}})), Accepted),
        (spec(json!({"capacity": {"example.com/gpu": "some"}})), Refused("should match")),
        (
            spec(json!({"price": "1", "priceAdjustment": "+1"})),
            Refused("cannot set both 'price' and 'priceAdjustment'"),
        ),
    ];
    for resource in ["cpu", "memory", "ephemeral-storage", "pods"] {
        cases.push((spec(json!({"capacity": {resource: "1"}})), Refused("invalid resource restricted")));
    }
    for price in ["0", "12", "0.25"] {
        cases.push((spec(json!({"price": price})), Accepted));
    }
    for price in ["", "-1", "1.", ".5", "1e3", "a"] {
        cases.push((spec(json!({"price": price})), Refused("should match")));
    }
    for change in ["+1", "-1", "+0.5", "-.5", "+150%", "-99.9%", "-100%"] {
        cases.push((spec(json!({"priceAdjustment": change})), Accepted));
    }
    for change in ["1", "10%", "-101%", "+", "+a%", ""] {
        cases.push((spec(json!({"priceAdjustment": change})), Refused("should match")));
    }
    try_all(base, cases).await;
}
