//! Pods and pod templates made facts.
//!
//! **Invariant:** a pod and the template that it was made from give equal [`PodSpec`]s, but for what Kubernetes itself
//! makes different: labels that a controller adds, and the claims of ephemeral volumes.

mod affinity;
mod requests;
mod spec;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    NodeSelectorTerm, Pod, PodStatus, PodTemplateSpec, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use purser_engine::model::{
    Labels, NodeName, OwnerKind, PodFacts, PodKey, PodPhase, PodSpec, Requirements, Span, TopologySpread, Uid,
};

use crate::error::{At, FieldError};
use crate::quantity::{object_key, time};

/// Where an object was read from, as far as that says what may be missing from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file: a pod without a node is pending though no scheduler has looked at it.
    Manifest,
    /// A live API server: a pod is pending once the scheduler has said that it found no node.
    Cluster,
}

/// Priorities by the name of their PriorityClass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Priorities {
    by_class: BTreeMap<String, i32>,
    default: i32,
}

impl Priorities {
    /// Adds a PriorityClass.
    pub fn insert(&mut self, class: &PriorityClass) {
        self.by_class.insert(class.name.clone(), class.value);
        if class.global_default {
            self.default = class.value;
        }
    }

    /// The priority of a pod of this class, or of none. An unknown class counts as none.
    ///
    /// Source: the admission plugin Priority of the API server, and the classes that it always has
    /// (k8s.io/kubernetes/pkg/apis/scheduling/types.go).
    pub fn of(&self, class: Option<&str>) -> i32 {
        match class {
            Some("system-cluster-critical") => 2_000_000_000,
            Some("system-node-critical") => 2_000_001_000,
            Some(name) => self.by_class.get(name).copied().unwrap_or(self.default),
            None => self.default,
        }
    }
}

/// A PriorityClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityClass {
    /// Its name.
    pub name: String,
    /// The priority of its pods.
    pub value: i32,
    /// Whether pods that name no class have it too.
    pub global_default: bool,
}

/// Makes a pod a fact.
///
/// # Errors
/// If a field is invalid.
pub fn pod_facts(pod: &Pod, priorities: &Priorities, origin: Origin) -> Result<PodFacts, FieldError> {
    let metadata = &pod.metadata;
    let key = object_key(metadata)?;
    let Some(written) = &pod.spec else {
        return Err(At::ROOT.field("spec").error("is missing", "it is required: add it"));
    };
    let node = written.node_name.as_deref().filter(|node| !node.is_empty()).map(NodeName::from);
    let reader =
        spec::Reader { at: At::ROOT.field("spec"), metadata, spec: written, status: pod.status.as_ref() };
    let facts = reader.read(Some(&*key.name), owner(metadata), priorities)?;
    let phase = phase(pod, node.is_some(), origin);
    let start = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let deletion_grace = (phase == PodPhase::Terminating)
        .then(|| Span::secs(metadata.deletion_grace_period_seconds.unwrap_or_default().max(0)));
    Ok(PodFacts {
        uid: uid(metadata.uid.as_deref(), &key),
        created: time(metadata.creation_timestamp.as_ref()),
        started: start.filter(|_| facts.is_held_for_a_time()).map(|start| time(Some(start))),
        deletion_grace,
        claims: Vec::new(),
        spec: Arc::new(facts),
        phase,
        node,
        key,
    })
}

/// Makes the template of a workload or DaemonSet a fact, at `path` in the object that has it. Claims of ephemeral volumes
/// and of `volumeClaimTemplates` bear the name of each pod, and so are left out.
///
/// # Errors
/// If a field is invalid.
pub fn pod_spec(
    template: &PodTemplateSpec,
    path: &str,
    owner: OwnerKind,
    priorities: &Priorities,
) -> Result<PodSpec, FieldError> {
    let at = At::ROOT.field(path);
    let Some(written) = &template.spec else {
        return Err(at.field("spec").error("is missing", "it is required: add it"));
    };
    let no_metadata = ObjectMeta::default();
    let metadata = template.metadata.as_ref().unwrap_or(&no_metadata);
    spec::Reader { at: at.field("spec"), metadata, spec: written, status: None }.read(None, owner, priorities)
}

/// Topology spread constraints, of a pod with these labels.
pub(crate) fn spread_constraints(
    at: &At<'_>,
    written: &[TopologySpreadConstraint],
    own: &Labels,
) -> Result<Vec<TopologySpread>, FieldError> {
    affinity::spread(at, Some(written), own)
}

/// A topology spread constraint of a pod with these labels.
pub(crate) fn spread_constraint(
    at: &At<'_>,
    written: &TopologySpreadConstraint,
    own: &Labels,
) -> Result<TopologySpread, FieldError> {
    affinity::constraint(at, written, own)
}

/// The requirements of a node selector term, as in the node affinity of a volume; `None` for a term without any.
pub(crate) fn node_term(at: &At<'_>, written: &NodeSelectorTerm) -> Result<Option<Requirements>, FieldError> {
    affinity::term(at, written)
}

/// Where the pod is in its life.
fn phase(pod: &Pod, bound: bool, origin: Origin) -> PodPhase {
    let status = pod.status.as_ref();
    let deleting = pod.metadata.deletion_timestamp.is_some();
    let ended = status.is_some_and(|status| matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")));
    if ended {
        return PodPhase::Ended;
    }
    if bound {
        return if deleting { PodPhase::Terminating } else { PodPhase::Bound };
    }
    let gated = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.scheduling_gates.as_ref())
        .is_some_and(|gates| !gates.is_empty());
    let nominated =
        status.is_some_and(|status| status.nominated_node_name.as_ref().is_some_and(|n| !n.is_empty()));
    let tried = origin == Origin::Manifest || status.is_some_and(is_unschedulable);
    // kube-scheduler passes over pods that are being deleted (`skipPodSchedule` in pkg/scheduler/schedule_one.go).
    match tried {
        _ if gated || nominated || deleting => PodPhase::Held,
        true => PodPhase::Pending,
        false => PodPhase::Untried,
    }
}

/// Whether the scheduler has said that it found no node. Source: Karpenter's `FailedToSchedule` (pkg/utils/pod).
pub(crate) fn is_unschedulable(status: &PodStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    })
}

/// What owns the pod. A DaemonSet, Node or StatefulSet counts whether or not it is marked as the controller.
///
/// Source: Karpenter's `IsOwnedBy` (pkg/utils/pod/scheduling.go).
pub(crate) fn owner(metadata: &ObjectMeta) -> OwnerKind {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let kind = |owner: &OwnerReference| match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("apps/v1", "DaemonSet") => OwnerKind::DaemonSet,
        ("v1", "Node") => OwnerKind::Node,
        ("apps/v1", "StatefulSet") => OwnerKind::StatefulSet,
        _ if owner.controller == Some(true) => OwnerKind::Controller,
        _ => OwnerKind::None,
    };
    let kinds: Vec<OwnerKind> = owners.iter().map(kind).collect();
    [OwnerKind::DaemonSet, OwnerKind::Node, OwnerKind::StatefulSet, OwnerKind::Controller]
        .into_iter()
        .find(|kind| kinds.contains(kind))
        .unwrap_or_default()
}

/// The UID; one made from the name where there is none, or none of the usual form, as in a manifest.
pub(crate) fn uid(written: Option<&str>, key: &PodKey) -> Uid {
    let written = written.unwrap_or_default();
    let digits: String = written.chars().filter(|c| *c != '-').collect();
    if digits.len() == 32
        && let Ok(uid) = u128::from_str_radix(&digits, 16)
    {
        return Uid(uid);
    }
    let text = if written.is_empty() { key.to_string() } else { written.to_owned() };
    // FNV-1a, 128 bits: the same name gives the same UID on any machine.
    Uid(text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    }))
}

#[cfg(test)]
mod tests;
