//! What was seen of the world.
//!
//! **Invariant:** a fact says how something is, never what is to be done about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{LabelSetId, SpecId};
use crate::model::{
    CapacityType, ClaimFacts, ClaimKind, ClaimName, ClaimSource, ClassName, DevicePool, DevicePoolKey,
    DeviceSelector, InstanceId, InstanceType, KindId, LabelSelector, Labels, NodeName, NodePool, OfferingKey,
    PodKey, PodPhase, PodSpec, PoolName, Price, Requirements, ResourceClaim, Resources, SelectorId, Str,
    Taint, Time, TypeName, Uid, VolumeLimits, Zone,
};
use crate::reason::Reason;

/// About the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A pod spec got a number.
    PodSpecDefined {
        /// The number.
        id: SpecId,
        /// The spec.
        spec: Arc<PodSpec>,
    },
    /// A set of node labels got a number.
    LabelSetDefined {
        /// The number.
        id: LabelSetId,
        /// The labels.
        labels: Arc<Labels>,
    },
    /// A pod appeared, or changed in more than its binding or phase.
    PodObserved {
        /// The pod.
        pod: PodKey,
        /// Its UID.
        uid: Uid,
        /// What it asks for.
        spec: SpecId,
        /// When it was created.
        created: Time,
        /// Where it is in its life.
        phase: PodPhase,
        /// The node it is bound to.
        node: Option<NodeName>,
    },
    /// A pod was bound to a node.
    PodBound {
        /// The pod.
        pod: PodKey,
        /// The node.
        node: NodeName,
    },
    /// A pod moved on in its life.
    PodPhaseChanged {
        /// The pod.
        pod: PodKey,
        /// Where it is now.
        phase: PodPhase,
        /// When its kubelet took it on, where that matters.
        started: Option<Time>,
        /// When it has to be gone, if it is being deleted.
        ends: Option<Time>,
    },
    /// A pod is no more.
    PodDeleted {
        /// The pod.
        pod: PodKey,
    },
    /// A node appeared, or changed in more than its readiness.
    NodeObserved {
        /// The node.
        node: NodeName,
        /// The instance behind it.
        instance: Option<InstanceId>,
        /// Its labels, the host name aside.
        labels: LabelSetId,
        /// Its taints.
        taints: Vec<Taint>,
        /// What pods can use.
        allocatable: Resources,
        /// Whether it is ready.
        ready: bool,
        /// Whether it is cordoned.
        unschedulable: bool,
        /// Whether it must not be disrupted.
        do_not_disrupt: bool,
        /// When it was created.
        created: Time,
        /// Whether it is being deleted.
        deleting: bool,
    },
    /// A node became ready, or ceased to be.
    NodeReadinessChanged {
        /// The node.
        node: NodeName,
        /// Whether it is ready.
        ready: bool,
    },
    /// A condition of a node other than its readiness changed.
    NodeConditionChanged {
        /// The node.
        node: NodeName,
        /// The condition's type.
        condition: Str,
        /// Its status.
        status: Str,
        /// Since when.
        since: Time,
    },
    /// A node is no more.
    NodeDeleted {
        /// The node.
        node: NodeName,
    },
    /// A NodeClaim that this log did not launch, or one that is not as the log has it: somebody deletes it, or has set another instance or deadline.
    NodeClaimObserved {
        /// The claim.
        claim: Arc<ClaimFacts>,
    },
    /// A NodeClaim is no more, though it was not let go.
    NodeClaimDeleted {
        /// The claim.
        claim: ClaimName,
    },
    /// A NodePool appeared or changed.
    NodePoolObserved {
        /// The pool.
        pool: Arc<NodePool>,
    },
    /// A NodePool is no more.
    NodePoolDeleted {
        /// The pool.
        pool: PoolName,
    },
    /// A node class appeared or changed.
    NodeClassObserved {
        /// Its kind.
        kind: Str,
        /// Its name.
        class: ClassName,
        /// Its hash.
        hash: Str,
        /// Whether it may be used.
        ready: bool,
        /// Why not, if not.
        message: Str,
    },
    /// A node class is no more.
    NodeClassDeleted {
        /// Its kind.
        kind: Str,
        /// Its name.
        class: ClassName,
    },
    /// A NodeOverlay appeared or changed.
    NodeOverlayObserved {
        /// Its name.
        name: Str,
        /// Heavier overlays come first.
        weight: u32,
        /// On which offerings.
        requirements: Requirements,
        /// A price in place of the offering's.
        price: Option<Price>,
        /// A change of the offering's price, as written: `-10%` or `+0.05`.
        price_adjustment: Option<Str>,
        /// Resources beyond the type's own.
        capacity: Resources,
    },
    /// A NodeOverlay is no more.
    NodeOverlayDeleted {
        /// Its name.
        name: Str,
    },
    /// A DaemonSet appeared or changed.
    DaemonSetObserved {
        /// Its namespace and name.
        daemon_set: PodKey,
        /// What each of its pods asks for.
        spec: SpecId,
    },
    /// A DaemonSet is no more.
    DaemonSetDeleted {
        /// Its namespace and name.
        daemon_set: PodKey,
    },
    /// A PodDisruptionBudget appeared or changed.
    DisruptionBudgetObserved {
        /// Its namespace and name.
        budget: PodKey,
        /// Which pods.
        selector: LabelSelector,
        /// How many of them may be evicted now.
        disruptions_allowed: u32,
        /// Whether pods that are not ready may always be evicted.
        always_allow_unhealthy: bool,
    },
    /// A PodDisruptionBudget is no more.
    DisruptionBudgetDeleted {
        /// Its namespace and name.
        budget: PodKey,
    },
    /// A PersistentVolumeClaim appeared or changed.
    VolumeClaimObserved {
        /// Its namespace and name.
        claim: PodKey,
        /// Where its volume is or may be: one of these.
        topologies: Vec<Requirements>,
        /// The CSI driver.
        driver: Str,
        /// Why no pod can use it, if none can.
        problem: Option<Str>,
    },
    /// A PersistentVolumeClaim is no more.
    VolumeClaimDeleted {
        /// Its namespace and name.
        claim: PodKey,
    },
    /// An instance type is offered, or its offer changed.
    InstanceTypeObserved {
        /// The type.
        instance_type: Arc<InstanceType>,
    },
    /// An instance type is no longer offered.
    InstanceTypeRemoved {
        /// The type.
        instance_type: TypeName,
    },
    /// The catalogue is complete as of here.
    CatalogueObserved {
        /// SHA-256 of its canonical text.
        digest: Str,
        /// Number of types.
        types: u32,
    },
    /// An offering's price changed.
    PriceChanged {
        /// The offering.
        offering: OfferingKey,
        /// Per hour.
        price: Price,
    },
    /// There is no capacity for an offering.
    OfferingUnavailable {
        /// The offering.
        offering: OfferingKey,
        /// Until then it is not asked for.
        until: Time,
    },
    /// The cloud started an instance for a claim.
    InstanceLaunched {
        /// The claim.
        claim: ClaimName,
        /// The instance.
        instance: InstanceId,
        /// What it is.
        instance_type: TypeName,
        /// Where it is.
        zone: Zone,
        /// How it is paid.
        capacity_type: CapacityType,
        /// Per hour, at launch.
        price: Price,
    },
    /// The cloud did not start an instance for a claim.
    LaunchFailed {
        /// The claim.
        claim: ClaimName,
        /// Why.
        failure: LaunchFailure,
    },
    /// An instance that this log does not know carries our tags.
    InstanceObserved {
        /// The instance.
        instance: InstanceId,
        /// The claim in its tags.
        claim: Option<ClaimName>,
        /// What it is.
        instance_type: TypeName,
        /// Where it is.
        zone: Zone,
        /// How it is paid.
        capacity_type: CapacityType,
        /// When it was started.
        launched: Time,
    },
    /// An instance is no more.
    InstanceGone {
        /// The instance.
        instance: InstanceId,
    },
    /// The cloud says that it will take an instance back or stop it.
    InterruptionNotice {
        /// The instance.
        instance: InstanceId,
        /// What will happen to it.
        kind: Interruption,
        /// When.
        at: Time,
    },
    /// The API server refused an eviction for now.
    EvictionBlocked {
        /// The pod.
        pod: PodKey,
        /// What stands in the way.
        by: Str,
    },
    /// A node carries the mark that keeps new pods away.
    NodeTainted {
        /// The node's claim.
        claim: ClaimName,
    },
    /// What was to be done could not be done; it will be tried again.
    EffectFailed {
        /// The claim that it was about.
        claim: ClaimName,
        /// What went wrong.
        message: Str,
    },
    /// A Namespace appeared, or its labels changed.
    NamespaceObserved {
        /// Its name.
        namespace: Str,
        /// Its labels, by which pod affinity may select it.
        labels: Labels,
    },
    /// A Namespace is no more.
    NamespaceDeleted {
        /// Its name.
        namespace: Str,
    },
    /// How many volumes a node attaches became known, or changed.
    VolumeLimitsObserved {
        /// The node.
        node: NodeName,
        /// How many of each driver.
        limits: VolumeLimits,
    },
    /// How many volumes a node attaches is no longer known.
    VolumeLimitsDeleted {
        /// The node.
        node: NodeName,
    },
    /// A CapacityBuffer appeared, or what it comes to changed.
    CapacityBufferObserved {
        /// Its namespace and name.
        buffer: PodKey,
        /// What each of its virtual pods asks for.
        spec: SpecId,
        /// How many they are.
        replicas: u32,
    },
    /// A CapacityBuffer is no more, or comes to nothing.
    CapacityBufferDeleted {
        /// Its namespace and name.
        buffer: PodKey,
    },
    /// A volume is attached to a node, or its claim changed.
    VolumeAttachmentObserved {
        /// The name of the VolumeAttachment.
        attachment: Str,
        /// The node.
        node: NodeName,
        /// The PersistentVolume.
        volume: Str,
        /// The PersistentVolumeClaim that it is bound to.
        claim: Option<PodKey>,
    },
    /// A volume is attached no longer.
    VolumeAttachmentDeleted {
        /// The name of the VolumeAttachment.
        attachment: Str,
        /// The node.
        node: NodeName,
    },
    /// A device selector got a number.
    DeviceSelectorDefined {
        /// The number.
        id: SelectorId,
        /// The selector.
        selector: Arc<DeviceSelector>,
    },
    /// What resource claims ask for got a number.
    ClaimKindDefined {
        /// The number.
        id: KindId,
        /// What they ask for.
        kind: Arc<ClaimKind>,
    },
    /// A ResourceClaim appeared, or changed in what it asks for or has.
    ResourceClaimObserved {
        /// Its namespace and name.
        claim: PodKey,
        /// How it is.
        facts: ResourceClaim,
    },
    /// A ResourceClaim is no more.
    ResourceClaimDeleted {
        /// Its namespace and name.
        claim: PodKey,
    },
    /// A ResourceClaimTemplate appeared, or what claims of it ask for changed.
    ClaimTemplateObserved {
        /// Its namespace and name.
        template: PodKey,
        /// What claims of it ask for, or why they cannot be had.
        kind: Result<KindId, Reason>,
    },
    /// A ResourceClaimTemplate is no more.
    ClaimTemplateDeleted {
        /// Its namespace and name.
        template: PodKey,
    },
    /// Where the resource claims of a pod come from became known, or changed.
    PodClaimsObserved {
        /// The pod.
        pod: PodKey,
        /// Where each comes from, in the pod's order; none if that is no longer known.
        claims: Vec<ClaimSource>,
    },
    /// A driver published devices of a node, or they look different to those who ask for devices.
    DevicePoolObserved {
        /// The pool and its node.
        key: DevicePoolKey,
        /// The devices.
        pool: Arc<DevicePool>,
    },
    /// A driver publishes devices of a node no longer.
    DevicePoolDeleted {
        /// The pool and its node.
        key: DevicePoolKey,
    },
    /// Which selectors may take devices that are not of one node alone.
    WideSelectorsObserved {
        /// All of them.
        selectors: BTreeSet<SelectorId>,
    },
}

/// Why there is no instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchFailure {
    /// No capacity for any of these offerings: the claim is given up.
    InsufficientCapacity {
        /// All that were tried.
        offerings: Vec<OfferingKey>,
    },
    /// The request itself is wrong: the claim is given up.
    Rejected {
        /// The cloud's words.
        message: Str,
    },
    /// Nobody knows: the cloud may still have started one. The same request goes out again.
    Unknown {
        /// The cloud's words.
        message: Str,
    },
}

/// What the cloud will do to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interruption {
    /// Spot capacity is taken back.
    SpotReclaim,
    /// Spot capacity is likely to be taken back.
    RebalanceRecommendation,
    /// The host will be maintained or retired.
    ScheduledMaintenance,
    /// Somebody stops or terminates the instance.
    StateChange,
}
