//! The Kubernetes objects of a scenario, by kind.
//!
//! **Invariant:** each object goes where its kind belongs, or there is a warning that it went nowhere.

use std::borrow::Borrow;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lenient::{Reading, decode_leniently, decode_noting};
use super::{Scenario, nodes, pods};
use crate::buffer::{capacity_buffer, pod_template};
use crate::crd;
use crate::default_spread::PodSelector;
use crate::devices::{DeviceObjects, as_v1};
use crate::error::{ApiError, FieldError};
use crate::node_overlay::node_overlay;
use crate::node_pool::node_pool;
use crate::pod::Priorities;
use crate::quantity::{object_key, object_name};
use crate::read::{describe, is_priority_class, namespace_labels, priority_class, text_field};
use crate::volume;
use crate::workload::{self, Workload};

/// The priorities that PriorityClasses among objects give. One that is not right is told when it is read itself.
pub(super) fn priorities(objects: impl Iterator<Item: Borrow<Value>>) -> Priorities {
    let mut priorities = Priorities::default();
    for class in objects.filter(|object| is_priority_class(object.borrow())) {
        if let Ok(class) = priority_class(class.borrow()) {
            priorities.insert(&class);
        }
    }
    priorities
}

/// Reads objects, each with its line, into a scenario. The priorities of their pods are known already.
pub(super) fn read(
    reading: &mut Reading<'_>,
    scenario: &mut Scenario,
    objects: impl Iterator<Item = (usize, Result<impl Borrow<Value>, FieldError>)>,
) -> Result<(), ApiError> {
    for (line, object) in objects {
        reading.line = line;
        let object = reading.object("scenario", |_| object)?;
        let object = object.borrow();
        let name = describe(object);
        let is_named = object.pointer("/metadata/name").is_some();
        reading.object(name.clone(), |reading| {
            if is_named && !reading.seen.insert(name) {
                return Err(FieldError::whole("the object is there twice", "remove one of the two"));
            }
            one(reading, scenario, object)
        })?;
    }
    Ok(())
}

fn one(reading: &mut Reading<'_>, scenario: &mut Scenario, value: &Value) -> Result<(), FieldError> {
    let remedy = "write an object with apiVersion, kind and metadata";
    if !value.is_object() {
        return Err(FieldError::whole("this is not a Kubernetes object", remedy));
    }
    let (api_version, kind) = (text_field(value, "apiVersion")?, text_field(value, "kind")?);
    scenario.selectors.extend(selector(reading, kind, value)?);
    match (api_version, kind) {
        ("v1", "Service") => {}
        ("karpenter.sh/v1", "NodePool") => {
            let pool: crd::NodePool = decode_leniently(reading, value)?;
            scenario.pools.push(node_pool(&pool)?);
        }
        ("karpenter.sh/v1", "NodeClaim") => scenario.claims.push(nodes::claim(reading, value)?),
        ("karpenter.sh/v1alpha1", "NodeOverlay") => {
            let overlay: crd::NodeOverlay = decode_leniently(reading, value)?;
            scenario.overlays.push(node_overlay(&overlay)?.exact());
        }
        ("autoscaling.x-k8s.io/v1beta1", "CapacityBuffer") => {
            let buffer: crd::CapacityBuffer = decode_leniently(reading, value)?;
            scenario.buffers.push(capacity_buffer(&buffer)?);
        }
        ("v1", "PodTemplate") => {
            let (key, spec) = pod_template(&decode_noting(reading, value)?, &reading.priorities)?;
            scenario.templates.insert(key, spec);
        }
        ("v1", "Node") => scenario.nodes.push(nodes::node(reading, value)?),
        ("v1", "Pod") => scenario.pods.push(pods::pod(reading, value)?),
        ("v1", "Namespace") => {
            let (name, labels) = namespace_labels(&decode_noting(reading, value)?)?;
            scenario.namespaces.insert(name, labels);
        }
        ("v1", "PersistentVolumeClaim") => {
            scenario.volume_claims.push(volume::volume_claim(&decode_noting(reading, value)?)?);
        }
        ("v1", "PersistentVolume") => {
            let volume = volume::volume(&decode_noting(reading, value)?)?;
            scenario.storage.volumes.insert(volume.name.clone(), volume);
        }
        ("storage.k8s.io/v1", "StorageClass") => {
            let class = volume::storage_class(&decode_noting(reading, value)?)?;
            scenario.storage.classes.insert(class.name.clone(), class);
        }
        ("storage.k8s.io/v1", "CSINode") => {
            scenario.csi_nodes.push(volume::csi_node(&decode_noting(reading, value)?)?);
        }
        ("storage.k8s.io/v1", "VolumeAttachment") => {
            scenario.attachments.push(volume::attachment(&decode_noting(reading, value)?));
        }
        ("apps/v1", "DaemonSet") => {
            let set: DaemonSet = decode_noting(reading, value)?;
            scenario.daemon_sets.push(workload::daemon_set(&set, &reading.priorities)?);
        }
        ("policy/v1", "PodDisruptionBudget") => {
            let budget: PodDisruptionBudget = decode_noting(reading, value)?;
            scenario.budgets.push(workload::disruption_budget(&budget)?);
        }
        ("scheduling.k8s.io/v1", "PriorityClass") => {
            priority_class(value)?;
        }
        ("apps/v1", "Deployment") => made::<Deployment>(reading, scenario, value, workload::deployment)?,
        ("apps/v1", "ReplicaSet") => made::<ReplicaSet>(reading, scenario, value, workload::replica_set)?,
        ("apps/v1", "StatefulSet") => {
            made::<StatefulSet>(reading, scenario, value, workload::stateful_set)?;
        }
        ("batch/v1", "Job") => made::<Job>(reading, scenario, value, workload::job)?,
        ("batch/v1", "CronJob") => made::<CronJob>(reading, scenario, value, workload::cron_job)?,
        ("v1", "ReplicationController") => {
            made::<ReplicationController>(reading, scenario, value, workload::replication_controller)?;
        }
        (version, kind) if version.starts_with("resource.k8s.io/") => match as_v1(version, value) {
            Some(value) => devices(reading, &mut scenario.devices, kind, &value)?,
            None => reading.warn(&format!("objects of {version} are not read, so it was passed over")),
        },
        _ => reading.warn(&format!("objects of {api_version} are not read, so it was passed over")),
    }
    Ok(())
}

/// Reads which pods an object selects, if it is one whose selector counts for default spread constraints.
fn selector(reading: &mut Reading<'_>, kind: &str, value: &Value) -> Result<Option<PodSelector>, FieldError> {
    let read = match kind {
        "Service" => PodSelector::try_from(&decode_noting::<Service>(reading, value)?),
        "ReplicationController" => {
            PodSelector::try_from(&decode_noting::<ReplicationController>(reading, value)?)
        }
        "ReplicaSet" => PodSelector::try_from(&decode_noting::<ReplicaSet>(reading, value)?),
        "StatefulSet" => PodSelector::try_from(&decode_noting::<StatefulSet>(reading, value)?),
        _ => return Ok(None),
    };
    read.map(Some)
}

/// Reads an object of dynamic resource allocation.
fn devices(
    reading: &mut Reading<'_>,
    into: &mut DeviceObjects,
    kind: &str,
    value: &Value,
) -> Result<(), FieldError> {
    match kind {
        "ResourceClaim" => {
            let claim: ResourceClaim = decode_noting(reading, value)?;
            into.claims.insert(object_key(&claim.metadata)?, claim);
        }
        "ResourceClaimTemplate" => {
            let template: ResourceClaimTemplate = decode_noting(reading, value)?;
            into.templates.insert(object_key(&template.metadata)?, template);
        }
        "DeviceClass" => {
            let class: DeviceClass = decode_noting(reading, value)?;
            into.classes.insert(object_name(&class.metadata)?.into(), class);
        }
        "ResourceSlice" => {
            let slice: ResourceSlice = decode_noting(reading, value)?;
            into.slices.insert(object_name(&slice.metadata)?.into(), slice);
        }
        _ => reading.warn("objects of this kind are not read, so it was passed over"),
    }
    Ok(())
}

fn made<T: DeserializeOwned + Serialize>(
    reading: &mut Reading<'_>,
    scenario: &mut Scenario,
    value: &Value,
    make: fn(&T, &Priorities) -> Result<Workload, FieldError>,
) -> Result<(), FieldError> {
    let object: T = decode_noting(reading, value)?;
    scenario.workloads.push(make(&object, &reading.priorities)?);
    Ok(())
}
