//! Dynamic resource allocation: ResourceClaims, ResourceClaimTemplates, DeviceClasses and ResourceSlices (`resource.k8s.io`), made facts for the
//! scheduler.
//!
//! Start at [`Asking`], which reads what claims ask for, and [`Answering`], which reads what of it there is. [`Book`] is both for a scenario: it takes
//! the claims of pods first, and then the devices of nodes and instance types. `selector` and `values` are about CEL.
//!
//! **Invariant:** an object that is wrong concerns the pods that rest on it and no others: they get a reason that names it.

mod asking;
mod capacity;
mod claims;
mod inventory;
mod selector;
mod values;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::api::resource::v1::{
    DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice, ResourceSliceSpec,
};
use purser_engine::model::{ClaimSource, PodKey, Str};
use serde_json::{Value, json};

pub use asking::{Asking, Question, holding};
pub use claims::Book;
pub use inventory::Answering;

/// The form in which instance types say what devices they have: a ResourceSlice without a node.
pub type SliceTemplate = ResourceSliceSpec;

/// The objects of dynamic resource allocation in a cluster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeviceObjects {
    /// ResourceClaims.
    pub claims: BTreeMap<PodKey, ResourceClaim>,
    /// ResourceClaimTemplates.
    pub templates: BTreeMap<PodKey, ResourceClaimTemplate>,
    /// DeviceClasses.
    pub classes: BTreeMap<Str, DeviceClass>,
    /// ResourceSlices by name.
    pub slices: BTreeMap<Str, ResourceSlice>,
}

/// A claim as a pod names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRef {
    /// What the pod calls it.
    pub name: Str,
    /// Where it comes from.
    pub source: ClaimSource,
}

/// The claims that a pod names.
pub fn claim_refs(pod: &Pod) -> Vec<ClaimRef> {
    let statuses = pod.status.iter().filter_map(|status| status.resource_claim_statuses.as_ref()).flatten();
    let made: BTreeMap<&str, Option<&str>> =
        statuses.map(|status| (status.name.as_str(), status.resource_claim_name.as_deref())).collect();
    let mut refs = pod.spec.as_ref().map(claim_refs_of_template).unwrap_or_default();
    for claim in &mut refs {
        if let (ClaimSource::Template(_), Some(name)) = (&claim.source, made.get(&*claim.name)) {
            claim.source = name.map_or(ClaimSource::NotNeeded, |name| ClaimSource::Made(name.into()));
        }
    }
    refs
}

/// The claims that pods of a template name.
pub(crate) fn claim_refs_of_template(spec: &PodSpec) -> Vec<ClaimRef> {
    let claims = spec.resource_claims.iter().flatten();
    claims
        .map(|claim| {
            let source = match (&claim.resource_claim_name, &claim.resource_claim_template_name) {
                (Some(name), _) => ClaimSource::Named(name.as_str().into()),
                (None, Some(template)) => ClaimSource::Template(template.as_str().into()),
                (None, None) => ClaimSource::NotNeeded,
            };
            ClaimRef { name: claim.name.as_str().into(), source }
        })
        .collect()
}

/// An object of `resource.k8s.io` in the form of its version 1; `None` for versions that are not read.
///
/// Version 1beta2 has that form already; 1beta1 says devices and requests in another way.
pub(crate) fn as_v1(api_version: &str, value: &Value) -> Option<Value> {
    let mut value = value.clone();
    match api_version {
        "resource.k8s.io/v1" | "resource.k8s.io/v1beta2" => {}
        "resource.k8s.io/v1beta1" => {
            let devices = value.pointer_mut("/spec/devices").and_then(Value::as_array_mut);
            for device in devices.into_iter().flatten().filter_map(Value::as_object_mut) {
                if let Some(Value::Object(basic)) = device.remove("basic") {
                    device.extend(basic);
                }
            }
            for path in ["/spec/devices/requests", "/spec/spec/devices/requests"] {
                let requests = value.pointer_mut(path).and_then(Value::as_array_mut);
                for request in requests.into_iter().flatten().filter_map(Value::as_object_mut) {
                    if !request.contains_key("firstAvailable") {
                        let name = request.remove("name").unwrap_or_default();
                        let exactly = std::mem::take(request);
                        request.extend([("name".to_owned(), name), ("exactly".to_owned(), json!(exactly))]);
                    }
                }
            }
        }
        _ => return None,
    }
    Some(value)
}

#[cfg(test)]
mod tests;
