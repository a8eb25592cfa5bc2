//! NodePool.

use serde_json::{Map, Value, json};

use super::{Accepted, Refused, many, try_all, try_update};

pub(crate) fn pool() -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "pool"},
        "spec": {"template": {"spec": {
            "requirements": [],
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
        }}},
    })
}

/// Below the spec of the template.
fn template(fields: Value) -> Value {
    json!({"spec": {"template": {"spec": fields}}})
}

fn labels(labels: Value) -> Value {
    json!({"spec": {"template": {"metadata": {"labels": labels}}}})
}

fn label(key: &str) -> Value {
    labels(json!({key: "a"}))
}

fn disruption(fields: Value) -> Value {
    json!({"spec": {"disruption": fields}})
}

fn budget(fields: Value) -> Value {
    disruption(json!({"budgets": [fields]}))
}

fn requirement(fields: Value) -> Value {
    template(json!({"requirements": [fields]}))
}

fn key(key: &str) -> Value {
    requirement(json!({"key": key, "operator": "Exists"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_and_taints() {
    let some = |count| {
        Value::Object(many(count, |n| (format!("l{n}"), json!("x"))).into_iter().collect::<Map<_, _>>())
    };
    let taints = |list: &str, taint: Value| template(json!({list: [taint]}));
    let mut cases = vec![
        (labels(some(100)), Accepted),
        (labels(some(101)), Refused("must have at most 100 items")),
        (labels(json!({"a": "x".repeat(63)})), Accepted),
        (labels(json!({"a": ""})), Accepted),
        (labels(json!({"a": "x".repeat(64)})), Refused("Too long")),
        (labels(json!({"a": "-x"})), Refused("should match")),
        (label("karpenter.sh/capacity-type"), Accepted),
        (label("karpenter.sh/custom"), Refused("label domain \"karpenter.sh\" is restricted")),
        (label("sub.karpenter.sh/custom"), Refused("label domain \"karpenter.sh\" is restricted")),
        (label("karpenter.sh/nodepool"), Refused("label \"karpenter.sh/nodepool\" is restricted")),
        (label("kubernetes.io/hostname"), Refused("label \"kubernetes.io/hostname\" is restricted")),
        (label("kubernetes.io/custom"), Accepted),
        (label("karpenter.k8s.aws/instance-family"), Accepted),
        (label("karpenter.k8s.aws/ec2nodeclass"), Accepted),
        (label("karpenter.k8s.aws/custom"), Refused("label domain \"karpenter.k8s.aws\" is restricted")),
        (label("karpenter.kwok.sh/instance-size"), Accepted),
        (label("karpenter.kwok.sh/custom"), Refused("label domain \"karpenter.kwok.sh\" is restricted")),
        (json!({"spec": {"template": {"metadata": {"annotations": {"karpenter.sh/any": ""}}}}}), Accepted),
    ];
    for list in ["taints", "startupTaints"] {
        cases.extend([
            (taints(list, json!({"key": "a.b/c", "value": "d", "effect": "NoSchedule"})), Accepted),
            (taints(list, json!({"key": "a", "effect": "PreferNoSchedule"})), Accepted),
            (
                taints(list, json!({"key": "a", "effect": "NoExecute", "timeAdded": "2026-01-02T03:04:05Z"})),
                Accepted,
            ),
            (
                taints(list, json!({"key": "a", "effect": "NoExecute", "timeAdded": "today"})),
                Refused("must be of type date-time"),
            ),
            (taints(list, json!({"key": "a"})), Refused("effect: Required value")),
            (taints(list, json!({"effect": "NoSchedule"})), Refused("key: Required value")),
            (taints(list, json!({"key": "", "effect": "NoSchedule"})), Refused("at least 1 chars long")),
            (taints(list, json!({"key": "a b", "effect": "NoSchedule"})), Refused("should match")),
            (
                taints(list, json!({"key": "a", "value": "b c", "effect": "NoSchedule"})),
                Refused("should match"),
            ),
            (taints(list, json!({"key": "a", "effect": "Never"})), Refused("Unsupported value: \"Never\"")),
        ]);
    }
    try_all(pool(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requirements() {
    let exists = |n: usize| json!({"key": format!("k{n}"), "operator": "Exists"});
    let mut cases = vec![
        (template(json!({"requirements": null})), Refused("requirements: Required value")),
        (template(json!({"requirements": many(100, exists)})), Accepted),
        (template(json!({"requirements": many(101, exists)})), Refused("must have at most 100 items")),
        (key(&"k".repeat(317)), Refused("Too long")),
        (key("a b"), Refused("should match")),
        (key("team"), Accepted),
        (key("karpenter.sh/capacity-type"), Accepted),
        (key("karpenter.sh/custom"), Refused("label domain \"karpenter.sh\" is restricted")),
        (key("karpenter.sh/nodepool"), Refused("label \"karpenter.sh/nodepool\" is restricted")),
        (key("kubernetes.io/hostname"), Refused("label \"kubernetes.io/hostname\" is restricted")),
        (key("karpenter.k8s.aws/instance-cpu"), Accepted),
        (key("karpenter.k8s.aws/custom"), Refused("label domain \"karpenter.k8s.aws\" is restricted")),
        (key("karpenter.kwok.sh/instance-cpu"), Accepted),
        (key("karpenter.kwok.sh/custom"), Refused("label domain \"karpenter.kwok.sh\" is restricted")),
        (requirement(json!({"operator": "Exists"})), Refused("key: Required value")),
        (requirement(json!({"key": "a"})), Refused("operator: Required value")),
        (requirement(json!({"key": "a", "operator": "Is"})), Refused("Unsupported value: \"Is\"")),
        (requirement(json!({"key": "a", "operator": "DoesNotExist"})), Accepted),
        (requirement(json!({"key": "a", "operator": "In", "values": ["b"]})), Accepted),
        (
            requirement(json!({"key": "a", "operator": "In", "values": []})),
            Refused("must have a value defined"),
        ),
        (requirement(json!({"key": "a", "operator": "NotIn", "values": []})), Accepted),
        // What the schema says of values it says of their list, to which it does not apply.
        (requirement(json!({"key": "a", "operator": "In", "values": ["b c", "x".repeat(64)]})), Accepted),
        (requirement(json!({"key": "a", "operator": "In", "values": ["b", "c"], "minValues": 2})), Accepted),
        (
            requirement(json!({"key": "a", "operator": "In", "values": ["b"], "minValues": 2})),
            Refused("must have at least that many values"),
        ),
        (requirement(json!({"key": "a", "operator": "Exists", "minValues": 50})), Accepted),
        (
            requirement(json!({"key": "a", "operator": "Exists", "minValues": 51})),
            Refused("less than or equal to 50"),
        ),
        (
            requirement(json!({"key": "a", "operator": "Exists", "minValues": 0})),
            Refused("greater than or equal to 1"),
        ),
    ];
    for operator in ["Gt", "Lt", "Gte", "Lte"] {
        let one = "must have a single positive integer value";
        cases.extend([
            (requirement(json!({"key": "a", "operator": operator, "values": ["0"]})), Accepted),
            (requirement(json!({"key": "a", "operator": operator, "values": ["-1"]})), Refused(one)),
            (requirement(json!({"key": "a", "operator": operator, "values": ["1", "2"]})), Refused(one)),
            (
                requirement(json!({"key": "a", "operator": operator, "values": ["x"]})),
                Refused("spec.template.spec.requirements"),
            ),
            (
                requirement(json!({"key": "a", "operator": operator})),
                Refused("spec.template.spec.requirements"),
            ),
        ]);
    }
    try_all(pool(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn class_and_times() {
    let class = |fields: Value| template(json!({"nodeClassRef": fields}));
    let mut cases = vec![
        (json!({"spec": null}), Refused("spec: Required value")),
        (json!({"spec": {"template": null}}), Refused("template: Required value")),
        (json!({"spec": {"template": {"spec": null}}}), Refused("spec.template.spec: Required value")),
        (template(json!({"nodeClassRef": null})), Refused("nodeClassRef: Required value")),
        (class(json!({"group": null})), Refused("group: Required value")),
        (class(json!({"kind": null})), Refused("kind: Required value")),
        (class(json!({"name": null})), Refused("name: Required value")),
        (class(json!({"group": ""})), Refused("group may not be empty")),
        (class(json!({"kind": ""})), Refused("kind may not be empty")),
        (class(json!({"name": ""})), Refused("name may not be empty")),
        (class(json!({"group": "karpenter.k8s.aws/v1"})), Refused("should match")),
        (class(json!({"group": "a.b", "kind": "C"})), Accepted),
        (template(json!({"terminationGracePeriod": "1h30m"})), Accepted),
        (template(json!({"terminationGracePeriod": "Never"})), Refused("should match")),
        (template(json!({"terminationGracePeriod": "-1h"})), Refused("should match")),
        (template(json!({"terminationGracePeriod": "1.5h"})), Refused("should match")),
    ];
    let times = ["expireAfter", "consolidateAfter"];
    for field in times {
        let set = |value: &str| match field {
            "expireAfter" => template(json!({field: value})),
            _ => disruption(json!({field: value})),
        };
        cases.extend([
            (set("0s"), Accepted),
            (set("1h2m3s"), Accepted),
            (set("Never"), Accepted),
            (set("never"), Refused("should match")),
            (set("1d"), Refused("should match")),
            (set("-1s"), Refused("should match")),
            (set(""), Refused("should match")),
        ]);
    }
    try_all(pool(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disruption_budgets() {
    let policy = |policy: &str| disruption(json!({"consolidationPolicy": policy}));
    let both = "'schedule' must be set with 'duration'";
    let scheduled = |schedule: &str| budget(json!({"schedule": schedule, "duration": "1h"}));
    let lasting = |duration: &str| budget(json!({"schedule": "@daily", "duration": duration}));
    let cases = vec![
        (policy("WhenEmpty"), Accepted),
        (policy("WhenEmptyOrUnderutilized"), Accepted),
        (policy("Balanced"), Accepted),
        (policy("WhenUnderutilized"), Refused("Unsupported value")),
        (disruption(json!({"budgets": many(50, |_| json!({"nodes": "1"}))})), Accepted),
        (
            disruption(json!({"budgets": many(51, |_| json!({"nodes": "1"}))})),
            Refused("must have at most 50 items"),
        ),
        (budget(json!({"nodes": "0"})), Accepted),
        (budget(json!({"nodes": "1000"})), Accepted),
        (budget(json!({"nodes": "100%"})), Accepted),
        (budget(json!({"nodes": "101%"})), Refused("should match")),
        (budget(json!({"nodes": "-1"})), Refused("should match")),
        (budget(json!({"nodes": "1.5%"})), Refused("should match")),
        (budget(json!({"nodes": 10})), Refused("must be of type string")),
        (budget(json!({"reasons": ["Underutilized", "Empty", "Drifted"]})), Accepted),
        (budget(json!({"reasons": ["Expired"]})), Refused("Unsupported value")),
        (budget(json!({"reasons": ["Empty", "Empty"]})), Refused("Duplicate value")),
        (budget(json!({"schedule": "@daily"})), Refused(both)),
        (budget(json!({"duration": "1h"})), Refused(both)),
        (scheduled("@weekly"), Accepted),
        (scheduled("*/5 9-17 * * mon-fri"), Accepted),
        (scheduled("@noon"), Refused("should match")),
        (scheduled("* * * *"), Refused("should match")),
        (lasting("8h"), Accepted),
        (lasting("1h30m"), Accepted),
        (lasting("10m0s"), Accepted),
        (lasting("30s"), Refused("should match")),
        (lasting("1m1h"), Refused("should match")),
    ];
    try_all(pool(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_weight_and_replicas() {
    let spec = |fields: Value| json!({"spec": fields});
    let only_nodes = "only 'limits.nodes' is supported on static NodePools";
    let cases = vec![
        (
            spec(json!({"limits": {"cpu": "100", "memory": "1Gi", "nodes": 5, "example.com/x": "1e3"}})),
            Accepted,
        ),
        (spec(json!({"limits": {"cpu": "lots"}})), Refused("should match")),
        (spec(json!({"limits": {"cpu": {}}})), Refused("spec.limits.cpu")),
        (spec(json!({"weight": 1})), Accepted),
        (spec(json!({"weight": 100})), Accepted),
        (spec(json!({"weight": 0})), Refused("greater than or equal to 1")),
        (spec(json!({"weight": 101})), Refused("less than or equal to 100")),
        (spec(json!({"replicas": 0})), Accepted),
        (spec(json!({"replicas": -1})), Refused("greater than or equal to 0")),
        (spec(json!({"replicas": 1, "limits": {}})), Accepted),
        (spec(json!({"replicas": 1, "limits": {"nodes": "3"}})), Accepted),
        (spec(json!({"replicas": 1, "limits": {"cpu": "3"}})), Refused(only_nodes)),
        (spec(json!({"replicas": 1, "limits": {"nodes": "3", "cpu": "3"}})), Refused(only_nodes)),
        (spec(json!({"replicas": 1, "weight": 3})), Refused("'weight' is not supported on static NodePools")),
    ];
    try_all(pool(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pool_is_for_stays() {
    let named = |name: &str| {
        let mut pool = pool();
        pool["metadata"]["name"] = json!(name);
        pool
    };
    let class = |fields: Value| template(json!({"nodeClassRef": fields}));
    try_update(named("u1"), class(json!({"name": "other"})), Accepted).await;
    try_update(named("u2"), class(json!({"group": "other"})), Refused("nodeClassRef.group is immutable"))
        .await;
    try_update(named("u3"), class(json!({"kind": "Other"})), Refused("nodeClassRef.kind is immutable")).await;
    let words = "Cannot transition NodePool between static (replicas set) and dynamic";
    try_update(named("u4"), json!({"spec": {"replicas": 1}}), Refused(words)).await;
    let mut fixed = named("u5");
    fixed["spec"]["replicas"] = json!(1);
    try_update(fixed.clone(), json!({"spec": {"replicas": 2}}), Accepted).await;
    fixed["metadata"]["name"] = json!("u6");
    try_update(fixed, json!({"spec": {"replicas": null}}), Refused(words)).await;
}
