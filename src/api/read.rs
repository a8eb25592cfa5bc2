//! Objects of any kind, from text.
//!
//! **Invariant:** every object of the text comes out, or the first that is wrong is named. What is not known is passed on
//! as [`Object::Other`], never dropped in silence.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use purser_engine::model::{Labels, NodeFacts, NodePool, PodFacts, PodKey, PodSpec, Str};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::buffer::{CapacityBufferFacts, capacity_buffer, pod_template};
use crate::decode::decode;
use crate::error::{ApiError, At, FieldError};
use crate::node_claim::NodeClaimFacts;
use crate::node_class::{NodeClass, ec2_node_class, kwok_node_class};
use crate::node_overlay::{NodeOverlayFacts, node_overlay};
use crate::pod::{Origin, Priorities, PriorityClass, pod_facts};
use crate::quantity::{labels, object_name};
use crate::text::{Document, documents};
use crate::volume::{self, CsiNode, StorageClass, Volume, VolumeClaimFacts};
use crate::workload::{self, DaemonSetFacts, DisruptionBudget, Workload};
use crate::{crd, node, node_claim, node_pool};

/// An object, as far as decisions depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A NodePool.
    NodePool(NodePool),
    /// A NodeOverlay.
    NodeOverlay(Box<NodeOverlayFacts>),
    /// An EC2NodeClass or KWOKNodeClass.
    NodeClass(NodeClass),
    /// A NodeClaim.
    NodeClaim(Box<NodeClaimFacts>),
    /// A Node.
    Node(NodeFacts),
    /// A Pod.
    Pod(PodFacts),
    /// A Deployment, ReplicaSet, ReplicationController, StatefulSet, Job or CronJob.
    Workload(Workload),
    /// A DaemonSet.
    DaemonSet(DaemonSetFacts),
    /// A PodDisruptionBudget.
    Budget(DisruptionBudget),
    /// A PriorityClass. Pods read together with it have their priority from it already.
    PriorityClass(PriorityClass),
    /// A PodTemplate: its namespace and name, and what its pods ask for.
    PodTemplate(PodKey, Arc<PodSpec>),
    /// A CapacityBuffer.
    CapacityBuffer(Box<CapacityBufferFacts>),
    /// A Namespace.
    Namespace {
        /// Its name.
        name: Str,
        /// Its labels, by which pod affinity may select it.
        labels: Labels,
    },
    /// A PersistentVolumeClaim; [`Storage`](crate::Storage) says where it can be used.
    VolumeClaim(VolumeClaimFacts),
    /// A PersistentVolume.
    Volume(Volume),
    /// A StorageClass.
    StorageClass(StorageClass),
    /// A CSINode.
    CsiNode(CsiNode),
    /// Anything else.
    Other {
        /// Group and version.
        api_version: Str,
        /// The kind.
        kind: Str,
        /// The name; empty if there is none.
        name: Str,
    },
}

/// Something, and where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The file, or whatever else the text came from.
    pub source: Str,
    /// The line at which its document starts; 0 if that is not known.
    pub line: usize,
    /// What was read.
    pub value: T,
}

/// Reads all objects of a text: YAML or JSON, several documents, lists as `kubectl get -o yaml` and `-o json` print them.
///
/// # Errors
/// The first thing that is wrong.
pub fn read(source: &str, text: &str) -> Result<Vec<Located<Object>>, ApiError> {
    read_all(&[(source.into(), text)])
}

/// As [`read`], from several texts at once: PriorityClasses in one count for pods in another.
///
/// # Errors
/// The first thing that is wrong.
pub fn read_all(texts: &[(Str, &str)]) -> Result<Vec<Located<Object>>, ApiError> {
    let mut all = Vec::new();
    for (source, text) in texts {
        let found = documents(text).map_err(|(line, field)| ApiError {
            source_name: source.to_string(),
            line,
            object: String::new(),
            field: Box::new(field),
        })?;
        all.extend(found.into_iter().map(|document| (source, document)));
    }
    let located = |source: &Str, document: &Document, field| ApiError {
        source_name: source.to_string(),
        line: document.line,
        object: describe(&document.value),
        field: Box::new(field),
    };
    let mut priorities = Priorities::default();
    for (source, document) in &all {
        if is_priority_class(&document.value) {
            let class = priority_class(&document.value).map_err(|field| located(source, document, field))?;
            priorities.insert(&class);
        }
    }
    all.iter()
        .map(|(source, document)| {
            let value = object(&document.value, &priorities, Origin::Manifest)
                .map_err(|field| located(source, document, field))?;
            Ok(Located { source: (*source).clone(), line: document.line, value })
        })
        .collect()
}

/// Reads one object.
///
/// # Errors
/// If a field is invalid.
pub fn object(value: &Value, priorities: &Priorities, origin: Origin) -> Result<Object, FieldError> {
    if !value.is_object() {
        let remedy = "write an object with apiVersion, kind and metadata";
        return Err(FieldError::whole("this is not a Kubernetes object", remedy));
    }
    let (api_version, kind) = (text_field(value, "apiVersion")?, text_field(value, "kind")?);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let known = match (group, kind) {
        ("karpenter.sh", "NodePool" | "NodeClaim") | ("karpenter.k8s.aws", "EC2NodeClass") => "v1",
        ("karpenter.kwok.sh", "KWOKNodeClass") | ("karpenter.sh", "NodeOverlay") => "v1alpha1",
        ("", "Node" | "Pod" | "Namespace" | "ReplicationController" | "PodTemplate") => "v1",
        ("autoscaling.x-k8s.io", "CapacityBuffer") => "v1beta1",
        ("", "PersistentVolumeClaim" | "PersistentVolume") => "v1",
        ("storage.k8s.io", "StorageClass" | "CSINode") => "v1",
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet") => "v1",
        ("batch", "Job" | "CronJob") | ("policy", "PodDisruptionBudget") => "v1",
        ("scheduling.k8s.io", "PriorityClass") => "v1",
        _ => {
            let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            return Ok(Object::Other {
                api_version: api_version.into(),
                kind: kind.into(),
                name: name.into(),
            });
        }
    };
    if version != known {
        let known = if group.is_empty() { known.to_owned() } else { format!("{group}/{known}") };
        let problem = format!("{api_version:?} is not the version of {kind} that is read");
        return Err(At::ROOT.field("apiVersion").error(problem, format!("convert the object to {known}")));
    }
    Ok(match kind {
        "NodePool" => Object::NodePool(node_pool::node_pool(&decode::<crd::NodePool>(value)?)?),
        "NodeOverlay" => Object::NodeOverlay(Box::new(node_overlay(&decode(value)?)?)),
        "NodeClaim" => Object::NodeClaim(Box::new(node_claim::node_claim(&decode(value)?)?)),
        "EC2NodeClass" => Object::NodeClass(ec2_node_class(&decode(value)?)?),
        "KWOKNodeClass" => Object::NodeClass(kwok_node_class(&decode(value)?)?),
        "Node" => Object::Node(node::node_facts(&decode(value)?)?),
        "Pod" => Object::Pod(pod_facts(&decode(value)?, priorities, origin)?),
        "DaemonSet" => Object::DaemonSet(workload::daemon_set(&decode(value)?, priorities)?),
        "PodDisruptionBudget" => Object::Budget(workload::disruption_budget(&decode(value)?)?),
        "PriorityClass" => Object::PriorityClass(priority_class(value)?),
        "Namespace" => {
            let (name, labels) = namespace_labels(&decode(value)?)?;
            Object::Namespace { name, labels }
        }
        "PersistentVolumeClaim" => Object::VolumeClaim(volume::volume_claim(&decode(value)?)?),
        "PodTemplate" => {
            let (key, spec) = pod_template(&decode(value)?, priorities)?;
            Object::PodTemplate(key, spec)
        }
        "CapacityBuffer" => Object::CapacityBuffer(Box::new(capacity_buffer(&decode(value)?)?)),
        "PersistentVolume" => Object::Volume(volume::volume(&decode(value)?)?),
        "StorageClass" => Object::StorageClass(volume::storage_class(&decode(value)?)?),
        "CSINode" => Object::CsiNode(volume::csi_node(&decode(value)?)?),
        "Deployment" => made(value, priorities, workload::deployment)?,
        "ReplicaSet" => made(value, priorities, workload::replica_set)?,
        "StatefulSet" => made(value, priorities, workload::stateful_set)?,
        "Job" => made(value, priorities, workload::job)?,
        "CronJob" => made(value, priorities, workload::cron_job)?,
        _ => made(value, priorities, workload::replication_controller)?,
    })
}

fn made<T: DeserializeOwned>(
    value: &Value,
    priorities: &Priorities,
    make: fn(&T, &Priorities) -> Result<Workload, FieldError>,
) -> Result<Object, FieldError> {
    make(&decode(value)?, priorities).map(Object::Workload)
}

/// Makes a Namespace a fact: its name, and its labels, by which pod affinity may select it.
///
/// # Errors
/// If a field is invalid.
pub fn namespace_labels(namespace: &Namespace) -> Result<(Str, Labels), FieldError> {
    let name = object_name(&namespace.metadata)?;
    let mut labels = labels(namespace.metadata.labels.as_ref());
    labels.extend(default_namespace_labels(name));
    Ok((name.into(), labels))
}

/// The labels that every namespace of a name has.
///
/// Source: `SetDefaults_Namespace` of the API server (pkg/apis/core/v1/defaults.go).
pub fn default_namespace_labels(name: &str) -> Labels {
    Labels::from([("kubernetes.io/metadata.name".into(), name.into())])
}

pub(crate) fn is_priority_class(value: &Value) -> bool {
    let is = |field, text: &str| value.get(field).and_then(Value::as_str) == Some(text);
    is("kind", "PriorityClass") && is("apiVersion", "scheduling.k8s.io/v1")
}

pub(crate) fn priority_class(value: &Value) -> Result<PriorityClass, FieldError> {
    let class: k8s_openapi::api::scheduling::v1::PriorityClass = decode(value)?;
    Ok(PriorityClass {
        name: object_name(&class.metadata)?.to_owned(),
        value: class.value.unwrap_or(0),
        global_default: class.global_default == Some(true),
    })
}

pub(crate) fn text_field<'a>(value: &'a Value, field: &str) -> Result<&'a str, FieldError> {
    match value.get(field) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text),
        None | Some(Value::Null) => {
            Err(At::ROOT.field(field).error("is missing", "every Kubernetes object has it: add it"))
        }
        Some(_) => Err(At::ROOT.field(field).error("is not a text", "write it as Kubernetes has it")),
    }
}

/// The object as `Kind namespace/name`, as far as it can be told.
pub(crate) fn describe(value: &Value) -> String {
    let text = |pointer| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, namespace, name) = (text("/kind"), text("/metadata/namespace"), text("/metadata/name"));
    let name = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
    match (kind, name.as_str()) {
        ("", name) => name.to_owned(),
        (kind, "") => kind.to_owned(),
        (kind, name) => format!("{kind} {name}"),
    }
}

#[cfg(test)]
mod tests;
