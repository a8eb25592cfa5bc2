//! CapacityBuffers: the virtual pods that they stand for.
//!
//! Invariant: to all other rules a virtual pod is a pending pod like any other.

use serde_json::{Value, json};

use crate::quantity::Quantity;

/// The annotation of virtual pods.
pub(crate) const VIRTUAL: &str = "karpenter.sh/capacity-buffer-fake-pod";

/// The pods that the buffers among manifests stand for, as manifests.
pub(crate) fn virtual_pods(manifests: &[Value]) -> Vec<Value> {
    manifests
        .iter()
        .filter(|one| one["kind"] == "CapacityBuffer")
        .flat_map(|one| of(one, manifests))
        .collect()
}

fn of(buffer: &Value, manifests: &[Value]) -> Vec<Value> {
    let namespace = namespace(buffer);
    let find = |kind: &str, name: &Value| {
        manifests.iter().find(|one| {
            one["kind"] == kind && one["metadata"]["name"] == *name && self::namespace(one) == namespace
        })
    };
    let spec = &buffer["spec"];
    let scalable = &spec["scalableRef"];
    let (template, scale) = match find("PodTemplate", &spec["podTemplateRef"]["name"]) {
        Some(template) => (&template["template"], 0),
        None => {
            let kind = scalable["kind"].as_str().unwrap_or_default();
            let Some(workload) = find(kind, &scalable["name"]) else { return Vec::new() };
            (&workload["spec"]["template"], workload["spec"]["replicas"].as_u64().unwrap_or(1))
        }
    };
    let share = spec["percentage"].as_u64().map(|percent| (scale * percent).div_ceil(100));
    let limit = most_within(&spec["limits"], template);
    let replicas = match (spec["replicas"].as_u64().max(share), limit) {
        (Some(wanted), limit) => limit.map_or(wanted, |limit| wanted.min(limit)),
        (None, limit) => limit.unwrap_or(0),
    };
    let name = buffer["metadata"]["name"].as_str().unwrap_or_default();
    (0..replicas)
        .map(|number| pod(namespace, &format!("capacity-buffer-{name}-{number}"), template))
        .collect()
}

fn pod(namespace: &str, name: &str, template: &Value) -> Value {
    let mut spec = template["spec"].clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("volumes");
        spec.insert("priority".to_owned(), json!(i32::MIN));
    }
    json!({
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": template["metadata"]["labels"].as_object(),
            "annotations": {VIRTUAL: "true"}},
        "spec": spec,
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
    })
}

/// For how many pods the limits suffice; none if they limit nothing that a pod asks for.
fn most_within(limits: &Value, template: &Value) -> Option<u64> {
    let amount = |value: &Value| match value {
        Value::String(text) => Quantity::parse(text),
        Value::Number(number) => Quantity::parse(&number.to_string()),
        _ => None,
    };
    let containers = template["spec"]["containers"].as_array()?;
    let mut most = None;
    for (name, limit) in limits.as_object()? {
        let asked = containers.iter().filter_map(|one| amount(&one["resources"]["requests"][name]));
        let (asked, limit) = (asked.sum::<Quantity>(), amount(limit)?);
        let mut pods = 0;
        let mut sum = asked;
        while asked > Quantity::ZERO && sum <= limit {
            sum = sum + asked;
            pods += 1;
        }
        if asked > Quantity::ZERO {
            most = Some(most.map_or(pods, |known: u64| known.min(pods)));
        }
    }
    most
}

fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().filter(|one| !one.is_empty()).unwrap_or("default")
}
