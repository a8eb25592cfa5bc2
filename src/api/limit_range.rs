//! What LimitRanges give to containers that say nothing of their own.
//!
//! Source: the admission plugin LimitRanger of the API server (plugin/pkg/admission/limitranger/admission.go).
//!
//! **Invariant:** only what is missing is given: what a container says of a resource counts.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, LimitRange, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What the containers of a namespace have that say nothing of their own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContainerDefaults {
    requests: BTreeMap<String, Quantity>,
    limits: BTreeMap<String, Quantity>,
}

/// The defaults of a LimitRange, which the API server has completed.
pub fn container_defaults(range: &LimitRange) -> ContainerDefaults {
    let mut defaults = ContainerDefaults::default();
    let items = range.spec.iter().flat_map(|spec| &spec.limits);
    for item in items.filter(|item| item.type_ == "Container") {
        defaults.requests.extend(item.default_request.clone().unwrap_or_default());
        defaults.limits.extend(item.default.clone().unwrap_or_default());
    }
    defaults
}

/// Gives the containers of a template what they lack, as if a pod of it were created.
pub fn with_defaults(template: &mut PodTemplateSpec, defaults: &ContainerDefaults) {
    if let Some(spec) = &mut template.spec {
        let init = spec.init_containers.iter_mut().flatten();
        spec.containers.iter_mut().chain(init).for_each(|container| complete(container, defaults));
    }
}

fn complete(container: &mut Container, defaults: &ContainerDefaults) {
    let resources = container.resources.get_or_insert_default();
    let limits = resources.limits.get_or_insert_default();
    let requests = resources.requests.get_or_insert_default();
    // A limit stands in for a request that is missing before any LimitRange is asked.
    for given in [&*limits, &defaults.requests] {
        for (name, amount) in given {
            requests.entry(name.clone()).or_insert_with(|| amount.clone());
        }
    }
    for (name, amount) in &defaults.limits {
        limits.entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn completed(range: Value, resources: Value) -> Value {
        let range: LimitRange =
            serde_json::from_value(json!({"metadata": {}, "spec": {"limits": range}})).unwrap();
        let template = json!({"spec": {"containers": [{"name": "c", "resources": resources}]}});
        let mut template: PodTemplateSpec = serde_json::from_value(template).unwrap();
        with_defaults(&mut template, &container_defaults(&range));
        serde_json::to_value(template.spec.unwrap().containers.remove(0).resources.unwrap()).unwrap()
    }

    #[test]
    fn what_is_missing_is_given() {
        let range = json!([
            {"type": "Pod", "max": {"cpu": "8"}},
            {"type": "Container", "default": {"cpu": "2", "memory": "1Gi"}, "defaultRequest": {"cpu": "1", "memory": "1Gi"}},
        ]);
        let own = completed(range.clone(), json!({"limits": {"memory": "3Gi"}}));
        assert_eq!(
            own,
            json!({"limits": {"cpu": "2", "memory": "3Gi"}, "requests": {"cpu": "1", "memory": "3Gi"}})
        );
        let all = completed(range, json!({"requests": {"cpu": "3", "memory": "5Gi"}}));
        assert_eq!(all["requests"], json!({"cpu": "3", "memory": "5Gi"}));
        let none = completed(json!([]), json!({}));
        assert_eq!(none, json!({"limits": {}, "requests": {}}));
    }
}
