use purser_engine::model::{BudgetNodes, DisruptionReason, Span};
use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

/// A valid pool, with one field put in its place.
fn with(pointer: &str, value: Value) -> Value {
    let mut pool = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"},
        "spec": {"template": {"metadata": {}, "spec": {
            "requirements": [],
            "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
        }}},
    });
    let mut at = &mut pool;
    for step in pointer.split('/').filter(|step| !step.is_empty()) {
        at = at.as_object_mut().unwrap().entry(step).or_insert(json!({}));
    }
    *at = value;
    pool
}

fn read(value: &Value) -> Result<NodePool, FieldError> {
    node_pool(&decode(value)?)
}

fn good(pointer: &str, value: Value) -> NodePool {
    read(&with(pointer, value)).unwrap()
}

#[test]
fn defaults_are_karpenters() {
    let pool = read(&with("metadata/name", json!("p"))).unwrap();
    assert_eq!(pool.name, PoolName::new("p"));
    assert_eq!((pool.weight, pool.replicas, pool.ready), (0, None, true));
    assert_eq!(pool.template.expire_after, Some(Span::hours(720)));
    assert_eq!(pool.template.termination_grace, None);
    assert_eq!(pool.disruption, Disruption::default());
    assert_eq!(pool.limits, Limits::default());
    assert_eq!(pool.template.class, Some(("EC2NodeClass".into(), model::ClassName::new("default"))));
    assert_eq!(pool.hash, "6821555240594823858".into());
    let partly = good("spec/disruption", json!({"consolidationPolicy": "WhenEmpty"})).disruption;
    assert_eq!(partly.policy, ConsolidationPolicy::WhenEmpty);
    assert_eq!((partly.consolidate_after, partly.budgets.len()), (Some(Span::ZERO), 1));
}

#[test]
fn fields_are_read() {
    let never = good("spec/template/spec/expireAfter", json!("Never"));
    assert_eq!(never.template.expire_after, None);
    let limits = good("spec/limits", json!({"cpu": 10.5, "memory": "1Gi", "nodes": 3})).limits;
    assert_eq!(limits.resources, [("cpu".into(), 10_500), ("memory".into(), 1 << 30)]);
    assert_eq!(limits.nodes, Some(3));
    assert_eq!(good("spec/replicas", json!(3)).replicas, Some(3));
    assert!(good("spec/disruption/budgets", json!([])).disruption.budgets.is_empty());
    let budgets = good(
        "spec/disruption/budgets",
        json!([{"nodes": "5"}, {"reasons": ["Drifted"], "nodes": "100%", "schedule": "0 9 * * mon-fri", "duration": "8h"}, {}]),
    );
    let budgets = budgets.disruption.budgets;
    assert_eq!(budgets[0].nodes, BudgetNodes::Count(5));
    assert_eq!(budgets[1].nodes, BudgetNodes::Percent(100));
    assert_eq!(budgets[1].reasons, Some([DisruptionReason::Drifted].into()));
    assert_eq!(budgets[1].schedule.as_ref().unwrap().duration, Span::hours(8));
    assert_eq!(budgets[2].nodes, BudgetNodes::Percent(10));
    let not_ready = json!({"conditions": [{"type": "Ready", "status": "False"}]});
    assert!(!good("status", not_ready).ready);
    let mixed = json!([{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "lease"]}]);
    assert_eq!(good("spec/template/spec/requirements", mixed).template.requirements.iter().count(), 1);
    let alias = json!([{"key": "beta.kubernetes.io/arch", "operator": "In", "values": ["arm64"]}]);
    let alias = good("spec/template/spec/requirements", alias).template.requirements;
    assert!(alias.get("kubernetes.io/arch").is_some());
}

#[test]
fn errors_say_where_what_and_what_to_do() {
    let requirement = |key: &str, operator: &str, values: &[&str]| json!([{"key": key, "operator": operator, "values": values}]);
    let many: Vec<Value> = (0..101).map(|_| json!({"key": "a", "operator": "Exists"})).collect();
    for (pointer, value, line) in [
        ("metadata/name", json!(""), "metadata.name: is missing: give the object a name"),
        (
            "spec/template/spec/requirments",
            json!([]),
            "spec.template.spec.requirments: there is no such field: did you mean \"requirements\"?",
        ),
        ("spec/wieght", json!(1), "spec.wieght: there is no such field: did you mean \"weight\"?"),
        (
            "spec/weight",
            json!(0),
            "spec.weight: 0 is not from 1 to 100: write 1 to 100, or leave it out for the lowest weight",
        ),
        (
            "spec/template/spec/nodeClassRef",
            json!({"group": "a/v1", "kind": "K", "name": "n"}),
            "spec.template.spec.nodeClassRef.group: \"a/v1\" has a version in it: write the API group alone, such as \
             karpenter.k8s.aws",
        ),
        (
            "spec/template/spec/nodeClassRef",
            json!({"group": "a", "kind": "K"}),
            "spec.template.spec.nodeClassRef.name: is missing: it is required: add it",
        ),
        (
            "spec/template/spec/nodeClassRef/name",
            json!(""),
            "spec.template.spec.nodeClassRef.name: is empty: write the name of the node class",
        ),
        (
            "spec/template/spec/requirements",
            requirement("a", "in", &["x"]),
            "spec.template.spec.requirements[0].operator: \"in\" is not one of In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte, \
             Lte: did you mean \"In\"?",
        ),
        (
            "spec/template/spec/requirements",
            requirement("a", "In", &[]),
            "spec.template.spec.requirements[0].values: operator In needs at least one value: add one, or use operator Exists",
        ),
        (
            "spec/template/spec/requirements",
            requirement("a", "Gt", &["1", "2"]),
            "spec.template.spec.requirements[0].values: operator Gt needs exactly one value, an integer of at least 0, not \
             [1, 2]: write one integer, in quotes",
        ),
        (
            "spec/template/spec/requirements",
            json!([{"key": "a", "operator": "In", "values": ["x"], "minValues": 2}]),
            "spec.template.spec.requirements[0].minValues: 2 is more than the 1 values listed: list more values, or lower \
             minValues",
        ),
        (
            "spec/template/spec/requirements",
            json!([{"key": "a", "operator": "Exists", "minValues": 51}]),
            "spec.template.spec.requirements[0].minValues: 51 is not from 1 to 50: write 1 to 50",
        ),
        (
            "spec/template/spec/requirements",
            requirement("karpenter.sh/capacity-type", "In", &["ondemand"]),
            "spec.template.spec.requirements[0].values: none of ondemand is a capacity type: write on-demand, spot or reserved",
        ),
        (
            "spec/template/spec/requirements",
            requirement("karpenter.sh/nodepool", "Exists", &[]),
            "spec.template.spec.requirements[0].key: label \"karpenter.sh/nodepool\" is set by Karpenter: remove this \
             requirement",
        ),
        (
            "spec/template/spec/requirements",
            json!(many),
            "spec.template.spec.requirements: 101 requirements are more than the 100 allowed: merge or remove some",
        ),
        (
            "spec/template/spec/taints",
            json!([{"key": "a", "effect": "NoSchedule"}, {"key": "a", "value": "x", "effect": "NoSchedule"}]),
            "spec.template.spec.taints[1]: taint a:NoSchedule is there twice: remove one, in taints or startupTaints",
        ),
        (
            "spec/template/spec/taints",
            json!([{"key": "a"}]),
            "spec.template.spec.taints[0].effect: is missing: it is required: add it",
        ),
        (
            "spec/template/spec/expireAfter",
            json!("30d"),
            "spec.template.spec.expireAfter: \"30d\" is not a duration: write whole hours, minutes or seconds, such as 720h, \
             1h30m or 30s, or Never",
        ),
        (
            "spec/template/spec/terminationGracePeriod",
            json!("Never"),
            "spec.template.spec.terminationGracePeriod: \"Never\" is not a duration: write whole hours, minutes or seconds, \
             such as 720h, 1h30m or 30s",
        ),
        (
            "spec/template/metadata/labels",
            json!({"karpenter.sh/nodepool": "p"}),
            "spec.template.metadata.labels[karpenter.sh/nodepool]: label \"karpenter.sh/nodepool\" is set by Karpenter: \
             remove it",
        ),
        (
            "spec/disruption/budgets",
            json!([{"nodes": "101%"}]),
            "spec.disruption.budgets[0].nodes: \"101%\" is neither a number nor a percentage of nodes: write a number of \
             nodes, such as \"5\", or a percentage from 0% to 100%, in quotes",
        ),
        (
            "spec/disruption/budgets",
            json!([{"nodes": 5}]),
            "spec.disruption.budgets[0].nodes: 5 where a string is expected: put it in quotes",
        ),
        (
            "spec/disruption/budgets",
            json!([{"schedule": "@daily"}]),
            "spec.disruption.budgets[0].duration: is missing: schedule and duration go together",
        ),
        (
            "spec/disruption/budgets",
            json!([{"schedule": "@daily", "duration": "30s"}]),
            "spec.disruption.budgets[0].duration: \"30s\" is not a duration of whole minutes: write hours and minutes, such \
             as 8h, 90m or 1h30m",
        ),
        (
            "spec/disruption/budgets",
            json!([{"reasons": ["Expired"]}]),
            "spec.disruption.budgets[0].reasons[0]: \"Expired\" is not one of Underutilized, Empty, Drifted: use one of \
             Underutilized, Empty, Drifted",
        ),
        ("spec/limits", json!({"cpu": "-1"}), "spec.limits[cpu]: \"-1\" is negative: write zero or more"),
        (
            "spec/limits",
            json!({"cpu": "ten"}),
            "spec.limits[cpu]: \"ten\" is not a Kubernetes quantity: write a number with an optional suffix, such as 500m, \
             2, 1.5Gi or 100M",
        ),
        ("spec/replicas", json!(-1), "spec.replicas: -1 is no number of nodes: write 0 or more"),
    ] {
        assert_eq!(read(&with(pointer, value)).unwrap_err().to_string(), line);
    }
}

#[test]
fn a_static_pool_has_neither_weight_nor_other_limits() {
    let mut pool = with("spec/replicas", json!(2));
    pool["spec"]["weight"] = json!(5);
    let line = "spec.weight: a pool with replicas has no weight: remove weight, or replicas";
    assert_eq!(read(&pool).unwrap_err().to_string(), line);
    let mut pool = with("spec/replicas", json!(2));
    pool["spec"]["limits"] = json!({"cpu": "5", "nodes": "4"});
    let line =
        "spec.limits[cpu]: a pool with replicas is limited by nodes only: remove this limit, or replicas";
    assert_eq!(read(&pool).unwrap_err().to_string(), line);
    pool["spec"]["limits"] = json!({"nodes": "4"});
    assert_eq!(read(&pool).unwrap().limits.nodes, Some(4));
}

#[test]
fn a_bad_schedule_is_named() {
    let budgets = json!([{"schedule": "every day", "duration": "1h"}]);
    let line = read(&with("spec/disruption/budgets", budgets)).unwrap_err().to_string();
    assert!(
        line.starts_with("spec.disruption.budgets[0].schedule: \"every day\" is not a cron schedule"),
        "{line}"
    );
    assert!(
        line.ends_with("write five fields, such as \"0 9 * * mon-fri\", or a macro, such as \"@daily\""),
        "{line}"
    );
}
