use purser_engine::model::Labels;
use serde_json::{Value, json};

use crate::pod::{Origin, Priorities};
use crate::read::{Object, object};

use super::*;

fn read(version: &str, kind: &str, spec: Value) -> Result<Object, FieldError> {
    let value = json!({"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": spec});
    object(&value, &Priorities::default(), Origin::Manifest)
}

fn workload(version: &str, kind: &str, mut spec: Value) -> Workload {
    spec["template"] = template();
    match read(version, kind, spec) {
        Ok(Object::Workload(workload)) => workload,
        other => panic!("{other:?}"),
    }
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c"}]}})
}

#[test]
fn workloads_have_kubernetes_defaults() {
    for (version, kind, owner) in [
        ("apps/v1", "Deployment", OwnerKind::Controller),
        ("apps/v1", "ReplicaSet", OwnerKind::Controller),
        ("v1", "ReplicationController", OwnerKind::Controller),
        ("apps/v1", "StatefulSet", OwnerKind::StatefulSet),
    ] {
        let made = workload(version, kind, json!({}));
        assert_eq!((made.replicas, made.completions, made.template.owner), (1, None, owner), "{kind}");
        assert_eq!((&*made.namespace, &*made.name, made.owned), ("default", "w", false));
        assert_eq!(workload(version, kind, json!({"replicas": 0})).replicas, 0, "{kind}");
    }
}

#[test]
fn jobs_have_a_size() {
    for (spec, replicas, completions) in [
        (json!({}), 1, Some(1)),
        (json!({"parallelism": 5}), 5, None),
        (json!({"completions": 3}), 1, Some(3)),
        (json!({"completions": 3, "parallelism": 5}), 3, Some(3)),
        (json!({"parallelism": 5, "suspend": true}), 0, None),
    ] {
        let made = workload("batch/v1", "Job", spec.clone());
        assert_eq!((made.replicas, made.completions), (replicas, completions), "{spec}");
    }
    let run = json!({"spec": {"parallelism": 2, "template": template()}});
    let spec = json!({"schedule": "@daily", "jobTemplate": run});
    let Ok(Object::Workload(made)) = read("batch/v1", "CronJob", spec) else { panic!() };
    assert_eq!((made.kind, made.replicas), (WorkloadKind::CronJob, 2));
}

#[test]
fn errors_in_templates_name_the_whole_path() {
    let bad = json!({"spec": {"containers": [], "tolerations": [{"key": "a", "operator": "Some"}]}});
    let line = ".spec.tolerations[0].operator: \"Some\" is not an operator of a toleration: use one of Exists, Equal, Gt, Lt";
    let error = read("apps/v1", "DaemonSet", json!({"template": bad})).unwrap_err().to_string();
    assert_eq!(error, format!("spec.template{line}"));
    let job = json!({"jobTemplate": {"spec": {"template": bad}}});
    let error = read("batch/v1", "CronJob", job).unwrap_err().to_string();
    assert_eq!(error, format!("spec.jobTemplate.spec.template{line}"));
    for (version, kind, spec, line) in [
        (
            "apps/v1",
            "Deployment",
            json!({"replicas": -1, "template": {}}),
            "spec.replicas: -1 is negative: write 0 or more",
        ),
        ("apps/v1", "ReplicaSet", json!({}), "spec.template: is missing: it is required: add it"),
        ("apps/v1", "DaemonSet", json!({}), "spec.template.spec: is missing: it is required: add it"),
        ("batch/v1", "CronJob", json!({}), "spec.jobTemplate.spec: is missing: it is required: add it"),
    ] {
        assert_eq!(read(version, kind, spec).unwrap_err().to_string(), line);
    }
}

#[test]
fn daemon_sets_are_read() {
    let Ok(Object::DaemonSet(made)) = read("apps/v1", "DaemonSet", json!({"template": template()})) else {
        panic!()
    };
    assert!(made.spec.is_daemon());
    assert_eq!(made.spec.labels.len(), 1);
}

#[test]
fn disruption_budgets_are_read() {
    let budget = |spec: Value| match read("policy/v1", "PodDisruptionBudget", spec) {
        Ok(Object::Budget(budget)) => Ok(budget),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    };
    let made = budget(json!({"minAvailable": "50%", "selector": {}})).unwrap();
    assert_eq!((made.min_available, made.max_unavailable), (Some(CountOrPercent::Percent(50)), None));
    assert!(made.selector.matches(&Labels::new()) && made.disruptions_allowed.is_none());
    let made = budget(json!({"maxUnavailable": 0})).unwrap();
    assert_eq!(made.max_unavailable, Some(CountOrPercent::Count(0)));
    assert!(!made.selector.matches(&Labels::new()), "without a selector it protects nothing");
    for (spec, line) in [
        (
            json!({"minAvailable": 1, "maxUnavailable": 1}),
            "spec.maxUnavailable: does not go with minAvailable: remove one of the two",
        ),
        (json!({"minAvailable": -1}), "spec.minAvailable: -1 is negative: write 0 or more"),
        (
            json!({"minAvailable": "half"}),
            "spec.minAvailable: \"half\" is not a percentage: write a number without quotes, or a percentage from 0% to 100%",
        ),
    ] {
        assert_eq!(budget(spec).unwrap_err(), line);
    }
}
