//! State: what is known of the world and of what was decided, as a fold over the log.
//!
//! **Invariant:** State changes only in [`State::apply`], and `apply` depends on nothing but State and the record. It never fails:
//! a record that makes no sense any more (an eviction of a pod that is gone) changes nothing.

mod adopt;
mod apply;
mod apply_decision;
mod change;
mod claim;
mod claims;
mod devices;
mod displaced;
mod occupancy;
mod touched;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub(crate) use adopt::described;
pub use change::{REMEMBER_GONE, TRIED_WITHIN};
pub use claim::{Claim, ClaimPhase, Disrupting, Eviction, Instance};
pub use claims::Claims;
pub use occupancy::Occupancy;
pub use touched::Touched;

pub use crate::model::{NodeOverlay, VolumeAttachment, VolumeClaim};

use crate::event::{Divergence, LabelSetId, Seq, SpecId, Target};
use crate::model::{
    ClaimFacts, ClaimKind, ClaimName, ClaimSource, ClassName, DeviceName, DevicePool, DevicePoolKey,
    DeviceSelector, InstanceId, InstanceType, KindId, LabelSelector, Labels, NodeFacts, NodeName, NodePool,
    OfferingKey, PodKey, PodPhase, PodSpec, PoolName, ResourceClaim, Resources, SelectorId, Str, Time,
    TypeName, Uid, VolumeLimits,
};
use crate::reason::Reason;
use crate::settings::Settings;

/// What is known of the world and of what was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The number of records folded: the place of the next one.
    pub size: u64,
    /// The time of the last record.
    pub now: Time,
    /// Whose log it is.
    pub origin: Str,
    /// The fencing term of the controller that wrote last.
    pub term: u64,
    /// Whether the controller that wrote last has stopped: nothing is decided until one starts.
    pub stopped: bool,
    /// The settings in force.
    pub settings: Settings,
    /// Pods that are, by name.
    pub pods: BTreeMap<PodKey, Pod>,
    /// Nodes that are, by name.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Claims from the decision to launch until the instance is gone.
    pub claims: Claims,
    /// Claims that were seen and not taken over yet.
    pub strangers: BTreeMap<ClaimName, Arc<ClaimFacts>>,
    /// Claims that are gone, since when, and their UID where it was known: what was seen of them before may come a little later.
    pub departed: BTreeMap<ClaimName, (Time, Option<Uid>)>,
    /// NodePools, by name.
    pub pools: BTreeMap<PoolName, Pool>,
    /// Node classes, by kind and name.
    pub classes: BTreeMap<(Str, ClassName), NodeClass>,
    /// NodeOverlays, by name.
    pub overlays: BTreeMap<Str, NodeOverlay>,
    /// What the pods of each DaemonSet ask for.
    pub daemon_sets: BTreeMap<PodKey, SpecId>,
    /// CapacityBuffers.
    pub buffers: BTreeMap<PodKey, Buffer>,
    /// PodDisruptionBudgets.
    pub disruption_budgets: BTreeMap<PodKey, DisruptionBudget>,
    /// The labels of Namespaces.
    pub namespaces: BTreeMap<Str, Labels>,
    /// PersistentVolumeClaims.
    pub volume_claims: BTreeMap<PodKey, VolumeClaim>,
    /// How many volumes nodes attach. A node's may be known before the node, and for a moment after it.
    pub volume_limits: BTreeMap<NodeName, VolumeLimits>,
    /// VolumeAttachments, by name.
    pub volume_attachments: BTreeMap<Str, VolumeAttachment>,
    /// ResourceClaims.
    pub resource_claims: BTreeMap<PodKey, ResourceClaim>,
    /// What claims of each ResourceClaimTemplate ask for, or why they cannot be had.
    pub claim_templates: BTreeMap<PodKey, Result<KindId, Reason>>,
    /// Devices that drivers published, those of a node side by side. They may be known before the node, and for a moment after it.
    pub device_pools: BTreeMap<DevicePoolKey, Arc<DevicePool>>,
    /// Selectors that may take devices which are not of one node alone.
    pub wide_selectors: BTreeSet<SelectorId>,
    /// Instance types on offer.
    pub types: BTreeMap<TypeName, Arc<InstanceType>>,
    /// Digest of the catalogue that was read in full last.
    pub catalogue: Str,
    /// Offerings without capacity, and until when they are not asked for.
    pub unavailable: BTreeMap<OfferingKey, Time>,
    /// Instances with our tags but without a claim, by id.
    pub orphans: BTreeMap<InstanceId, Orphan>,
    /// Instances that are gone, and since when: the cloud may list them a little longer.
    pub gone: BTreeMap<InstanceId, Time>,
    /// Pods that were just bound otherwise than planned, of which no note has been taken yet.
    pub diverged: Vec<Diverged>,
    /// Number of launches decided; the next claim's name depends on it.
    pub launches: u64,
    /// The last record that changed what pools can offer, or to whom: pools, classes, types, prices, daemon sets, volume claims,
    /// overlays, buffers, settings.
    pub offers_changed: Seq,
    /// The last record that changed what may be launched of it: claims that came or went, capacity that ran out,
    /// namespaces.
    pub supply_changed: Seq,
    specs: Vec<Arc<PodSpec>>,
    spec_ids: FxHashMap<Arc<PodSpec>, SpecId>,
    label_sets: Vec<Arc<Labels>>,
    label_set_ids: FxHashMap<Arc<Labels>, LabelSetId>,
    occupancy: BTreeMap<NodeName, Occupancy>,
    /// The names of the VolumeAttachments of each node that has any.
    attached: BTreeMap<NodeName, BTreeSet<Str>>,
    selectors: Vec<Arc<DeviceSelector>>,
    selector_ids: FxHashMap<Arc<DeviceSelector>, SelectorId>,
    claim_kinds: Vec<Arc<ClaimKind>>,
    claim_kind_ids: FxHashMap<Arc<ClaimKind>, KindId>,
    /// The claims that have each device.
    in_use: BTreeMap<DeviceName, BTreeSet<PodKey>>,
    /// The nodes on which devices of each pool are, by driver and name.
    pool_nodes: BTreeMap<(Str, Str), BTreeSet<NodeName>>,
    waiting: BTreeSet<PodKey>,
    /// Those of them that are not expected anywhere.
    unplanned: BTreeSet<PodKey>,
    /// Pods that the scheduler has still to try, by when they were seen.
    untried: BTreeSet<(Time, PodKey)>,
    /// Nodes without a claim on which pods are expected.
    awaited_nodes: BTreeSet<NodeName>,
    unready: BTreeSet<NodeName>,
    touched: Touched,
}

/// What is known of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its UID.
    pub uid: Uid,
    /// What it asks for.
    pub spec: SpecId,
    /// When it was created.
    pub created: Time,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// The node it is bound to.
    pub node: Option<NodeName>,
    /// When its kubelet took it on, where that matters; no later than that was seen.
    pub started: Option<Time>,
    /// When it has to be gone by our clock, if it is being deleted.
    pub ends: Option<Time>,
    /// When it was seen waiting for the first time, or again. If the scheduler tried it at once that is when it was first seen.
    pub waiting_since: Time,
    /// What was decided about it while it waits.
    pub plan: Plan,
    /// Where each of its resource claims comes from, in the order of its spec; empty where that is not known.
    pub claims: Vec<ClaimSource>,
}

/// A pod that was bound otherwise than planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diverged {
    /// The pod.
    pub pod: PodKey,
    /// Where it is.
    pub node: NodeName,
    /// What that is to the plan.
    pub how: Divergence,
    /// The decision that was the plan.
    pub planned: Seq,
}

/// What was decided about a pod that waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Plan {
    /// Nothing yet.
    #[default]
    None,
    /// It is expected there.
    Nominated {
        /// Where.
        target: Target,
        /// Since when.
        since: Time,
        /// The decision.
        decision: Seq,
    },
    /// It has no place.
    Unschedulable {
        /// Why.
        reason: Reason,
        /// The decision.
        decision: Seq,
    },
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// How it looks.
    pub facts: NodeFacts,
    /// The last record that may have made room on it.
    pub changed: Seq,
    /// Conditions other than readiness: status and since when.
    pub conditions: BTreeMap<Str, (Str, Time)>,
    /// Pods expected on it, where it has no claim.
    pub planned: Planned,
}

/// Pods that are expected somewhere, and what they ask for together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Planned {
    /// The pods.
    pub pods: BTreeSet<PodKey>,
    /// What they ask for.
    pub requests: Resources,
}

/// What is known of a NodePool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// How it looks.
    pub facts: Arc<NodePool>,
    /// The record that says so.
    pub changed: Seq,
}

/// What is known of a node class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeClass {
    /// Its hash.
    pub hash: Str,
    /// Whether it may be used.
    pub ready: bool,
    /// Why not, if not.
    pub message: Str,
}

/// What is known of a CapacityBuffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// What each of its virtual pods asks for.
    pub spec: SpecId,
    /// How many they are.
    pub replicas: u32,
}

/// What is known of a PodDisruptionBudget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisruptionBudget {
    /// Which pods.
    pub selector: LabelSelector,
    /// How many of them may be evicted now.
    pub disruptions_allowed: u32,
    /// Whether pods that are not ready may always be evicted.
    pub always_allow_unhealthy: bool,
}

/// An instance with our tags but without a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The claim in its tags.
    pub claim: Option<ClaimName>,
    /// When it was seen first.
    pub seen: Time,
    /// Whether it was decided to remove it.
    pub collected: bool,
}

impl Pod {
    /// Whether it takes capacity of its node.
    pub fn occupies(&self) -> Option<&NodeName> {
        match self.phase {
            PodPhase::Bound | PodPhase::Terminating => self.node.as_ref(),
            PodPhase::Pending | PodPhase::Untried | PodPhase::Held | PodPhase::Ended => None,
        }
    }
}
