//! What a pod asks of a node: containers, sidecars, init containers, overhead, pod-level resources, resizes in place.
//!
//! **Invariant:** the result is what kube-scheduler reserves for the pod, each amount rounded up to its unit.
//!
//! Source: `PodRequests` of k8s.io/component-helpers/resource/helpers.go with status resources on; the defaults that the
//! API server fills in (pkg/apis/core/v1/defaults.go) are applied too, for manifests on disk lack them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use purser_engine::model::{Resources, Rounding};

use crate::error::{At, FieldError};
use crate::quantity::resources;

/// Which requests and limits count, by field name.
type Amounts = Option<BTreeMap<String, Written>>;

/// The sum of what a pod asks for, itself counted under `pods`.
pub(super) fn requests(
    at: &At<'_>,
    spec: &PodSpec,
    status: Option<&PodStatus>,
) -> Result<Resources, FieldError> {
    let mut all = of_containers(at, spec, status)?;
    if let Some(of_pod) = &spec.resources {
        let at = at.field("resources");
        let aggregated = of_containers(&At::ROOT, spec, None)?;
        for (name, amount) in pod_level(&at, &of_pod.requests, &of_pod.limits, &aggregated, status)? {
            all.set(&name, amount);
        }
    }
    all.add(&resources(&at.field("overhead"), spec.overhead.as_ref(), Rounding::Up)?);
    all.pods = 1;
    Ok(all)
}

fn of_containers(at: &At<'_>, spec: &PodSpec, status: Option<&PodStatus>) -> Result<Resources, FieldError> {
    let infeasible = status.is_some_and(resize_is_infeasible);
    let statuses = |of: fn(&PodStatus) -> &Option<Vec<ContainerStatus>>, name: &str| {
        status.and_then(|status| of(status).as_ref()?.iter().find(|status| status.name == name))
    };
    let mut total = Resources::default();
    let list = at.field("containers");
    for (index, container) in spec.containers.iter().enumerate() {
        let status = statuses(|status| &status.container_statuses, &container.name);
        total.add(&of_container(&list.index(index), container, status, infeasible)?);
    }
    let (mut sidecars, mut peak) = (Resources::default(), Resources::default());
    let list = at.field("initContainers");
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let at = list.index(index);
        if container.restart_policy.as_deref() == Some("Always") {
            let status = statuses(|status| &status.init_container_statuses, &container.name);
            let sidecar = of_container(&at, container, status, infeasible)?;
            total.add(&sidecar);
            sidecars.add(&sidecar);
            peak = peak.elementwise_max(&sidecars);
        } else {
            peak = peak.elementwise_max(&of_container(&at, container, None, infeasible)?.plus(&sidecars));
        }
    }
    Ok(total.elementwise_max(&peak))
}

/// One container, its limits standing in for requests that are missing.
fn of_container(
    at: &At<'_>,
    container: &Container,
    status: Option<&ContainerStatus>,
    infeasible: bool,
) -> Result<Resources, FieldError> {
    let mut asked = Resources::default();
    if let Some(written) = &container.resources {
        let at = at.field("resources");
        let no_requests = BTreeMap::new();
        let requests = written.requests.as_ref().unwrap_or(&no_requests);
        asked = resources(&at.field("requests"), Some(requests), Rounding::Up)?;
        let limits = resources(&at.field("limits"), written.limits.as_ref(), Rounding::Up)?;
        for (name, amount) in limits.iter().filter(|(name, _)| !requests.contains_key(*name)) {
            asked.set(name, amount);
        }
    }
    // Without `resources` in the status there was no resize, and the specification alone counts.
    let Some(status) = status else { return Ok(asked) };
    let Some(actual) = &status.resources else { return Ok(asked) };
    let at = At::ROOT.field("status");
    let at = at.field("containerStatuses");
    let at = at.key(&status.name);
    let held = held(&at, &actual.requests, &status.allocated_resources)?;
    Ok(if infeasible { held } else { asked.elementwise_max(&held) })
}

/// What a container or pod holds on its node: the larger of what it was allotted and what it has.
fn held(at: &At<'_>, actual: &Amounts, allotted: &Amounts) -> Result<Resources, FieldError> {
    let actual = resources(&at.field("resources").field("requests"), actual.as_ref(), Rounding::Up)?;
    let allotted = resources(&at.field("allocatedResources"), allotted.as_ref(), Rounding::Up)?;
    Ok(actual.elementwise_max(&allotted))
}

/// Pod-level amounts, which take the place of those of the containers, one resource at a time.
fn pod_level(
    at: &At<'_>,
    requests: &Amounts,
    limits: &Amounts,
    aggregated: &Resources,
    status: Option<&PodStatus>,
) -> Result<Vec<(String, i64)>, FieldError> {
    let written = resources(&at.field("requests"), requests.as_ref(), Rounding::Up)?;
    let ceilings = resources(&at.field("limits"), limits.as_ref(), Rounding::Up)?;
    let held = match status {
        Some(status) => match &status.resources {
            Some(actual) => held(&At::ROOT.field("status"), &actual.requests, &status.allocated_resources)?,
            None => Resources::default(),
        },
        None => Resources::default(),
    };
    let resized = status.is_some_and(|status| status.resources.is_some());
    let infeasible = status.is_some_and(resize_is_infeasible);
    let has =
        |amounts: &Amounts, name: &str| amounts.as_ref().is_some_and(|amounts| amounts.contains_key(name));
    let names: Vec<&String> = requests.iter().chain(limits).flat_map(BTreeMap::keys).collect();
    let mut amounts = Vec::new();
    for name in names.into_iter().filter(|name| is_pod_level(name)) {
        if has(requests, name) {
            let amount = match (resized, infeasible) {
                (false, _) => written.get(name),
                (true, false) => written.get(name).max(held.get(name)),
                (true, true) => held.get(name),
            };
            amounts.push((name.clone(), amount));
        } else if !name.starts_with("hugepages-") && aggregated.get(name) > 0 {
            // A limit alone: what the containers ask for stands. See `defaultPodRequests` in the API server.
            amounts.push((name.clone(), aggregated.get(name)));
        } else {
            amounts.push((name.clone(), ceilings.get(name)));
        }
    }
    Ok(amounts)
}

/// Whether a resource can be set for a pod as a whole.
fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Whether kubelet has said that a resize cannot be done, so that what is asked does not count.
fn resize_is_infeasible(status: &PodStatus) -> bool {
    let pending = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodResizePending");
    pending.is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"))
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
