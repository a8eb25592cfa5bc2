//! What is in a simulated world, and what happens in it whatever the controller does.
//!
//! **Invariant:** a scenario is plain data. Two worlds made of equal scenarios, with the same seed and
//! faults, are equal.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_engine::model::{
    CapacityBuffer, CapacityType, InstanceType, LabelSelector, Labels, NodeFacts, NodeName, NodeOverlay,
    NodePool, OfferingKey, PodKey, PodSpec, PoolName, Price, Span, Str, Time, TypeName, VolumeClaim,
    VolumeLimits, Zone,
};
use purser_engine::settings::Settings;

use crate::keyed::Rate;

/// A world at its start, and its script.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// For people.
    pub name: Str,
    /// When it begins.
    pub start: Time,
    /// When it is over; without one, when nothing happens any more.
    pub end: Option<Time>,
    /// Instance types on offer.
    pub types: Vec<Arc<InstanceType>>,
    /// NodePools.
    pub pools: Vec<Arc<NodePool>>,
    /// NodeOverlays, by name.
    pub overlays: BTreeMap<Str, NodeOverlay>,
    /// CapacityBuffers, as they come out.
    pub buffers: BTreeMap<PodKey, CapacityBuffer>,
    /// Why some of them come to nothing, a line each.
    pub without_room: Vec<String>,
    /// DaemonSets.
    pub daemon_sets: Vec<DaemonSet>,
    /// PodDisruptionBudgets.
    pub budgets: Vec<DisruptionBudget>,
    /// What makes pods, and makes them again when they are lost.
    pub workloads: Vec<Workload>,
    /// Pods that nothing makes again.
    pub pods: Vec<BarePod>,
    /// Nodes that are there already and have no claim.
    pub nodes: Vec<NodeFacts>,
    /// Namespaces and their labels.
    pub namespaces: BTreeMap<Str, Labels>,
    /// PersistentVolumeClaims.
    pub volume_claims: BTreeMap<PodKey, VolumeClaim>,
    /// How many volumes those nodes attach.
    pub volume_limits: BTreeMap<NodeName, VolumeLimits>,
    /// What is changed on the way, in any order.
    pub changes: Vec<(Time, Change)>,
    /// Times without capacity.
    pub outages: Vec<Outage>,
    /// Spot instances taken back in an hour, as a matter of course.
    pub spot_reclaims: Rate,
    /// The step of the report's series.
    pub sample_every: Span,
}

impl Scenario {
    /// An empty world.
    pub fn new(name: impl Into<Str>, start: Time) -> Self {
        Self {
            name: name.into(),
            start,
            end: None,
            types: Vec::new(),
            pools: Vec::new(),
            overlays: BTreeMap::new(),
            buffers: BTreeMap::new(),
            without_room: Vec::new(),
            daemon_sets: Vec::new(),
            budgets: Vec::new(),
            workloads: Vec::new(),
            pods: Vec::new(),
            nodes: Vec::new(),
            namespaces: BTreeMap::new(),
            volume_claims: BTreeMap::new(),
            volume_limits: BTreeMap::new(),
            changes: Vec::new(),
            outages: Vec::new(),
            spot_reclaims: Rate::NEVER,
            sample_every: Span::mins(5),
        }
    }
}

impl Scenario {
    /// When the last pod that is not a replica is wanted; `None` without any.
    pub fn last_arrival(&self) -> Option<Time> {
        let runs = self.workloads.iter().filter_map(|workload| match &workload.kind {
            WorkloadKind::Batch { runs, .. } => runs.iter().map(|run| run.at).max(),
            WorkloadKind::Service { replicas, .. } => replicas.last().map(|(at, _)| *at),
        });
        runs.chain(self.pods.iter().map(|pod| pod.at)).max()
    }
}

/// A DaemonSet: a pod on every node that it tolerates and matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSet {
    /// Its namespace and name.
    pub key: PodKey,
    /// What each of its pods asks for.
    pub spec: Arc<PodSpec>,
}

/// A PodDisruptionBudget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisruptionBudget {
    /// Its namespace and name.
    pub key: PodKey,
    /// Which pods of its namespace.
    pub selector: LabelSelector,
    /// How many must stay.
    pub threshold: Threshold,
    /// Whether pods that are not ready may always be evicted.
    pub always_allow_unhealthy: bool,
}

/// How many pods must stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// At least so many are healthy.
    MinAvailable(Amount),
    /// At most so many are not.
    MaxUnavailable(Amount),
}

/// A number of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// A share of those expected, rounded up.
    Percent(u32),
}

impl Amount {
    /// Of so many.
    pub fn of(self, expected: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => {
                u32::try_from((u64::from(expected) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
            }
        }
    }
}

/// Something that makes pods of one template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The namespace.
    pub namespace: Str,
    /// The name, from which its pods have theirs.
    pub name: Str,
    /// What each pod asks for.
    pub spec: Arc<PodSpec>,
    /// How it makes them.
    pub kind: WorkloadKind,
}

/// How a workload makes pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Keeps a number of them.
    Service {
        /// From each moment on, so many; in order of time.
        replicas: Vec<(Time, u32)>,
        /// From each moment on, pods of this spec; in order of time. A quarter more pods than wanted may be
        /// there on the way.
        rollouts: Vec<(Time, Arc<PodSpec>)>,
        /// Whether pods have numbers and keep their names, as those of a StatefulSet.
        ordinals: bool,
    },
    /// Runs each to its end; one that is lost starts again.
    Batch {
        /// The runs, in any order.
        runs: Vec<Run>,
        /// At most so many at once.
        parallelism: Option<u32>,
        /// How long a pod that has ended stays listed.
        linger: Span,
    },
}

/// One run of a batch workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The name of its first pod.
    pub name: Str,
    /// When it is wanted.
    pub at: Time,
    /// How long it runs once it is bound; without one, for ever.
    pub duration: Option<Span>,
}

/// A pod that nothing makes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarePod {
    /// Its namespace and name.
    pub key: PodKey,
    /// What it asks for.
    pub spec: Arc<PodSpec>,
    /// When it is created; before the start, it is there at the start.
    pub at: Time,
    /// The node of [`Scenario::nodes`] that it is bound to at the start.
    pub node: Option<NodeName>,
    /// How long it runs once it is bound; without one, for ever.
    pub duration: Option<Span>,
}

/// Something that somebody changes.
#[derive(Debug, Clone)]
pub enum Change {
    /// A NodePool is applied.
    NodePool(Arc<NodePool>),
    /// A NodePool is deleted.
    NoNodePool(PoolName),
    /// A NodeOverlay is applied.
    NodeOverlay(Str, NodeOverlay),
    /// A NodeOverlay is deleted.
    NoNodeOverlay(Str),
    /// A CapacityBuffer is applied, or comes to this from now on.
    CapacityBuffer(PodKey, CapacityBuffer),
    /// A CapacityBuffer is deleted.
    NoCapacityBuffer(PodKey),
    /// An instance type is offered so.
    InstanceType(Arc<InstanceType>),
    /// An instance type is no longer offered.
    NoInstanceType(TypeName),
    /// An offering has this price from now on.
    Price(OfferingKey, Price),
    /// A DaemonSet is applied.
    DaemonSet(DaemonSet),
    /// A DaemonSet is deleted; its pods go.
    NoDaemonSet(PodKey),
    /// A PodDisruptionBudget of [`Scenario::budgets`] is deleted.
    NoDisruptionBudget(PodKey),
    /// A Namespace is made, or labelled so.
    Namespace(Str, Labels),
    /// A Namespace is deleted.
    NoNamespace(Str),
    /// A PersistentVolumeClaim is made, or looks like this from now on.
    VolumeClaim(PodKey, VolumeClaim),
    /// A PersistentVolumeClaim is deleted.
    NoVolumeClaim(PodKey),
    /// A node without a claim is cordoned, or no longer.
    Cordon(NodeName, bool),
    /// A pod is deleted by hand. Whatever made it makes another.
    DeletePod(PodKey),
    /// The controller's settings change.
    Settings(Settings),
}

/// A time without capacity for some offerings. What is `None` means all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Types of this family or name: `m7i` or `m7i.large`.
    pub types: Option<Str>,
    /// In this zone.
    pub zone: Option<Zone>,
    /// Bought so.
    pub capacity_type: Option<CapacityType>,
    /// From then on.
    pub from: Time,
    /// Until then.
    pub until: Time,
}

impl Outage {
    /// Whether an offering has no capacity at a moment for this reason.
    pub fn covers(
        &self,
        instance_type: &TypeName,
        zone: &Zone,
        capacity_type: CapacityType,
        now: Time,
    ) -> bool {
        let name = instance_type.as_str();
        self.from <= now
            && now < self.until
            && self.zone.as_ref().is_none_or(|own| own == zone)
            && self.capacity_type.is_none_or(|own| own == capacity_type)
            && self.types.as_deref().is_none_or(|own| {
                own == name || name.split_once('.').is_some_and(|(family, _)| family == own)
            })
    }
}
