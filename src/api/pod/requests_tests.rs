//! Sums were checked against `PodRequests` of k8s.io/component-helpers v0.35.

use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn of(pod: Value) -> Result<Resources, FieldError> {
    let pod: k8s_openapi::api::core::v1::Pod = decode(&pod).unwrap();
    requests(&At::ROOT.field("spec"), &pod.spec.unwrap(), pod.status.as_ref())
}

fn cpu(spec: Value) -> i64 {
    of(json!({"spec": spec})).unwrap().cpu_millis
}

/// A container that asks for so many millicores.
fn c(name: &str, millis: i64) -> Value {
    json!({"name": name, "resources": {"requests": {"cpu": format!("{millis}m")}}})
}

fn sidecar(name: &str, millis: i64) -> Value {
    let mut container = c(name, millis);
    container["restartPolicy"] = json!("Always");
    container
}

#[test]
fn sidecars_and_init_containers_count_as_in_kep_753() {
    for (spec, millis) in [
        (json!({"containers": [c("a", 100), c("b", 200)]}), 300),
        // The peak of an init container counts where it is above the sum.
        (json!({"containers": [c("a", 100)], "initContainers": [c("i", 500)]}), 500),
        (json!({"containers": [c("a", 100)], "initContainers": [c("i", 50)]}), 100),
        // Sidecars stay, and those started before an init container run beside it.
        (json!({"containers": [c("a", 100)], "initContainers": [sidecar("s", 200)]}), 300),
        (json!({"containers": [c("a", 100)], "initContainers": [sidecar("s", 200), c("i", 400)]}), 600),
        (json!({"containers": [c("a", 100)], "initContainers": [c("i", 400), sidecar("s", 200)]}), 400),
        (
            json!({"containers": [c("a", 100)], "initContainers": [sidecar("s", 200), c("i", 50), sidecar("t", 300)],
                "overhead": {"cpu": "10m"}}),
            610,
        ),
    ] {
        assert_eq!(cpu(spec.clone()), millis, "{spec}");
    }
    assert_eq!(of(json!({"spec": {"containers": []}})).unwrap().pods, 1);
}

#[test]
fn limits_stand_in_for_missing_requests_one_by_one() {
    let resources =
        json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": 1}});
    let asked = of(json!({"spec": {"containers": [{"name": "a", "resources": resources}]}})).unwrap();
    assert_eq!(asked.to_string(), "cpu=100m memory=1024Mi pods=1 nvidia.com/gpu=1");
    let zero = json!({"requests": {"cpu": "0"}, "limits": {"cpu": "1"}});
    assert_eq!(cpu(json!({"containers": [{"name": "a", "resources": zero}]})), 0);
}

#[test]
fn pod_level_amounts_take_the_place_of_the_sum() {
    let containers = json!([c("a", 100), c("b", 200)]);
    for (resources, millis) in [
        (json!({"requests": {"cpu": "1"}}), 1_000),
        (json!({"requests": {"memory": "1Gi"}}), 300),
        // With a limit alone, what the containers ask for stands ...
        (json!({"limits": {"cpu": "2"}}), 300),
    ] {
        assert_eq!(
            cpu(json!({"containers": containers, "resources": resources, "overhead": {}})),
            millis,
            "{resources}"
        );
    }
    // ... and the limit where they ask for nothing.
    assert_eq!(cpu(json!({"containers": [{"name": "a"}], "resources": {"limits": {"cpu": "2"}}})), 2_000);
    let with_overhead =
        json!({"containers": [], "resources": {"requests": {"cpu": "1"}}, "overhead": {"cpu": "50m"}});
    assert_eq!(cpu(with_overhead), 1_050);
    let unsupported = json!({"containers": [], "resources": {"requests": {"nvidia.com/gpu": "1"}}});
    assert_eq!(of(json!({"spec": unsupported})).unwrap().get("nvidia.com/gpu"), 0);
}

#[test]
fn a_resize_in_place_holds_the_larger() {
    let status = |allocated: &str, actual: Option<&str>| {
        let mut status = json!({"name": "a", "allocatedResources": {"cpu": allocated}});
        if let Some(actual) = actual {
            status["resources"] = json!({"requests": {"cpu": actual}});
        }
        json!([status])
    };
    let pod = |statuses: Value, reason: &str| {
        json!({"spec": {"containers": [c("a", 500)]}, "status": {"containerStatuses": statuses,
            "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}]}})
    };
    for (statuses, reason, millis) in [
        (status("800m", Some("700m")), "Deferred", 800),
        (status("200m", Some("300m")), "Deferred", 500),
        (status("200m", Some("300m")), "Infeasible", 300),
        // Without `resources` the status says nothing.
        (status("800m", None), "Deferred", 500),
    ] {
        assert_eq!(of(pod(statuses.clone(), reason)).unwrap().cpu_millis, millis, "{statuses} {reason}");
    }
}

#[test]
fn amounts_are_rounded_up_and_bad_ones_named() {
    assert_eq!(cpu(json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "100u"}}}]})), 1);
    let bad = |spec: Value| of(json!({"spec": spec})).unwrap_err().to_string();
    assert_eq!(
        bad(json!({"containers": [c("a", 1), {"name": "b", "resources": {"requests": {"memory": "-1Gi"}}}]})),
        "spec.containers[1].resources.requests[memory]: \"-1Gi\" is negative: write zero or more"
    );
    assert_eq!(
        bad(
            json!({"containers": [], "initContainers": [{"name": "b", "resources": {"limits": {"cpu": "1 core"}}}]})
        ),
        "spec.initContainers[0].resources.limits[cpu]: \"1 core\" is not a Kubernetes quantity: write a number with an \
         optional suffix, such as 500m, 2, 1.5Gi or 100M"
    );
    assert_eq!(
        bad(json!({"containers": [], "overhead": {"memory": "16Ei"}})),
        "spec.overhead[memory]: \"16Ei\" is too large to count: write at most 9223372036854775807 of the unit"
    );
}
