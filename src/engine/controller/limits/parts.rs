//! The parts of each kind of object that can be of any size.
//!
//! **Invariant:** what an object takes in a record beside its parts has a bound, and a part that is left out takes no room or a fixed
//! one.

use std::sync::Arc;

use super::{MAX_NAME_BYTES, size};
use crate::model::{
    InstanceType, LabelSelector, Labels, NodeFacts, NodeOverlay, NodePool, PodSpec, Requirements, Resources,
    Taint, VolumeClaim, label,
};

/// A part of an object that can be of any size.
pub(super) struct Part<T> {
    /// Its field, as Kubernetes has it.
    pub(super) field: &'static str,
    /// The most that it takes in a record.
    pub(super) bytes: fn(&T) -> usize,
    /// Takes it out, or what of it can be long.
    pub(super) leave_out: fn(&mut T),
}

/// The labels of a node without which it could not be told whose it is.
const NODE_LABELS: [&str; 9] = [
    label::NODEPOOL,
    label::CAPACITY_TYPE,
    label::REGISTERED,
    label::INITIALIZED,
    label::ZONE,
    label::REGION,
    label::INSTANCE_TYPE,
    label::ARCH,
    label::OS,
];

pub(super) const POD_PARTS: [Part<PodSpec>; 12] = [
    Part {
        field: "metadata.labels",
        bytes: |spec| size::labels(&spec.labels),
        leave_out: |spec| spec.labels.clear(),
    },
    Part {
        field: "spec.nodeSelector",
        bytes: |spec| size::labels(&spec.node_selector),
        leave_out: |spec| spec.node_selector.clear(),
    },
    Part {
        field: "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
        bytes: |spec| size::list(&spec.required_terms, size::requirements),
        leave_out: |spec| spec.required_terms.clear(),
    },
    Part {
        field: "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution",
        bytes: |spec| size::list(&spec.preferred_terms, |term| 1 + size::requirements(&term.requirements)),
        leave_out: |spec| spec.preferred_terms.clear(),
    },
    Part {
        field: "spec.tolerations",
        bytes: |spec| size::list(&spec.tolerations, size::toleration),
        leave_out: |spec| spec.tolerations.clear(),
    },
    Part {
        field: "spec.topologySpreadConstraints",
        bytes: |spec| size::list(&spec.spread, size::spread),
        leave_out: |spec| spec.spread.clear(),
    },
    Part {
        field: "spec.affinity.podAffinity and podAntiAffinity",
        bytes: |spec| size::list(&spec.affinity, size::affinity),
        leave_out: |spec| spec.affinity.clear(),
    },
    Part {
        field: "spec.containers[*].ports",
        bytes: |spec| size::list(&spec.host_ports, |port| size::text(&port.ip) + 4),
        leave_out: |spec| spec.host_ports.clear(),
    },
    Part {
        field: "spec.volumes",
        bytes: |spec| size::list(&spec.volumes, |volume| size::text(&volume.claim)),
        leave_out: |spec| spec.volumes.clear(),
    },
    Part {
        field: "spec.resourceClaims",
        bytes: |spec| size::list(&spec.resource_claims, |claim| size::text(claim)),
        leave_out: |spec| spec.resource_claims.clear(),
    },
    Part {
        field: "the label scheduling.x-k8s.io/pod-group",
        bytes: |spec| spec.group.as_ref().map_or(0, |group| size::text(&group.name)),
        leave_out: |spec| spec.group = None,
    },
    Part {
        field: "spec.containers[*].resources.requests",
        bytes: |spec| size::resources(&spec.requests),
        leave_out: |spec| spec.requests = common(&spec.requests),
    },
];

pub(super) const NODE_PARTS: [Part<NodeFacts>; 3] = [
    Part {
        field: "metadata.labels",
        bytes: |node| size::labels(&node.labels),
        leave_out: |node| {
            let own = |key: &str, value: &str| NODE_LABELS.contains(&key) && value.len() <= MAX_NAME_BYTES;
            Arc::make_mut(&mut node.labels).retain(|key, value| own(key, value));
        },
    },
    Part {
        field: "spec.taints",
        bytes: |node| size::list(&node.taints, size::taint),
        // The marks of its own life stay.
        leave_out: |node| node.taints.retain(|t| *t == Taint::disrupted() || *t == Taint::unregistered()),
    },
    Part {
        field: "status.allocatable",
        bytes: |node| size::resources(&node.allocatable),
        leave_out: |node| node.allocatable = common(&node.allocatable),
    },
];

pub(super) const POOL_PARTS: [Part<NodePool>; 7] = [
    Part {
        field: "spec.template.metadata.labels",
        bytes: |pool| size::labels(&pool.template.labels),
        leave_out: |pool| pool.template.labels.clear(),
    },
    Part {
        field: "spec.template.spec.taints",
        bytes: |pool| size::list(&pool.template.taints, size::taint),
        leave_out: |pool| pool.template.taints.clear(),
    },
    Part {
        field: "spec.template.spec.startupTaints",
        bytes: |pool| size::list(&pool.template.startup_taints, size::taint),
        leave_out: |pool| pool.template.startup_taints.clear(),
    },
    Part {
        field: "spec.template.spec.requirements",
        bytes: |pool| size::requirements(&pool.template.requirements),
        leave_out: |pool| pool.template.requirements = Requirements::new(),
    },
    Part {
        field: "spec.disruption.budgets",
        bytes: |pool| size::list(&pool.disruption.budgets, size::budget),
        leave_out: |pool| pool.disruption.budgets.clear(),
    },
    Part {
        field: "spec.limits",
        bytes: |pool| size::list(&pool.limits.resources, |(name, _)| size::text(name) + 9),
        leave_out: |pool| pool.limits.resources.clear(),
    },
    Part {
        field: "spec.template.spec.nodeClassRef",
        bytes: |pool| pool.template.class.as_ref().map_or(0, |(kind, _)| size::text(kind)),
        leave_out: |pool| pool.template.class = None,
    },
];

pub(super) const TYPE_PARTS: [Part<InstanceType>; 4] = [
    Part {
        field: "requirements",
        bytes: |offer| size::requirements(&offer.requirements),
        leave_out: |offer| offer.requirements = Requirements::new(),
    },
    Part {
        field: "capacity",
        bytes: |offer| size::resources(&offer.capacity),
        leave_out: |offer| offer.capacity = common(&offer.capacity),
    },
    Part {
        field: "overhead",
        bytes: |offer| size::resources(&offer.overhead),
        leave_out: |offer| offer.overhead = common(&offer.overhead),
    },
    Part {
        field: "offerings",
        bytes: |offer| size::list(&offer.offerings, size::offering),
        leave_out: |offer| offer.offerings.clear(),
    },
];

pub(super) const OVERLAY_PARTS: [Part<NodeOverlay>; 2] = [
    Part {
        field: "spec.requirements",
        bytes: |overlay| size::requirements(&overlay.requirements),
        leave_out: |overlay| overlay.requirements = Requirements::new(),
    },
    Part {
        field: "spec.capacity",
        bytes: |overlay| size::resources(&overlay.capacity),
        leave_out: |overlay| overlay.capacity = Resources::default(),
    },
];

pub(super) const NAMESPACE_PARTS: [Part<Labels>; 1] =
    [Part { field: "metadata.labels", bytes: size::labels, leave_out: Labels::clear }];

pub(super) const CLAIM_PARTS: [Part<VolumeClaim>; 1] = [Part {
    field: "the topologies of its volume",
    bytes: |claim| size::list(&claim.topologies, size::requirements),
    leave_out: |claim| claim.topologies.clear(),
}];

pub(super) const SELECTOR_PARTS: [Part<LabelSelector>; 1] =
    [Part { field: "spec.selector", bytes: size::selector, leave_out: |selector| selector.0.clear() }];

/// The resources that every node has.
fn common(all: &Resources) -> Resources {
    ["cpu", "memory", "ephemeral-storage", "pods"].into_iter().map(|name| (name, all.get(name))).collect()
}
