//! What the log holds: control records, facts about the world, and decisions.
//!
//! **Invariant:** an event says what a decision can depend on, or what was decided, and nothing else. Facts are in normal form and
//! decisions are complete: carrying one out needs nothing that is not in it, so that a repeated request is the same
//! request byte for byte.

use std::fmt;
use std::sync::Arc;

use crate::model::{
    CapacityType, ClaimName, ClassName, DisruptionReason, InstanceId, InstanceType, LabelSelector, Labels,
    NodeName, NodePool, OfferingKey, PodKey, PodPhase, PodSpec, PoolName, Price, Requirements, Resources,
    Span, Str, Taint, Time, TypeName, Uid, VolumeLimits, Zone,
};
use crate::reason::Reason;
use crate::settings::Settings;

/// The place of a record in the log, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number of a pod spec in the log, dense from 0 in the order of definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpecId(pub u32);

/// The number of a set of node labels in the log, dense from 0 in the order of definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSetId(pub u32);

/// One record's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// About the log and the controller themselves.
    Control(Control),
    /// About the world.
    Fact(Fact),
    /// What is to be done.
    Decision(Decision),
}

impl From<Control> for Event {
    fn from(control: Control) -> Self {
        Self::Control(control)
    }
}

impl From<Fact> for Event {
    fn from(fact: Fact) -> Self {
        Self::Fact(fact)
    }
}

impl From<Decision> for Event {
    fn from(decision: Decision) -> Self {
        Self::Decision(decision)
    }
}

/// About the log and the controller themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The first record of every log.
    LogStarted {
        /// Whose log it is.
        origin: Str,
        /// The last checkpoint of the log before this one, if one is known.
        predecessor: Option<Str>,
        /// Why a log was begun.
        reason: Str,
    },
    /// A controller took up its work; what it knows of the world is to be listed anew.
    ControllerStarted {
        /// The program's version.
        version: Str,
        /// Which replica.
        instance: Str,
        /// The fencing term.
        term: u64,
    },
    /// A controller ended in good order.
    ControllerStopped {
        /// Why.
        reason: Str,
    },
    /// A replica became the one that acts.
    LeadershipAcquired {
        /// The fencing term.
        term: u64,
        /// Which replica.
        holder: Str,
    },
    /// A replica is no longer the one that acts.
    LeadershipLost {
        /// The fencing term that ended.
        term: u64,
        /// Why.
        reason: Str,
    },
    /// The end of the log was damaged; what was lost is named.
    JournalRecovered {
        /// Records kept.
        kept: u64,
        /// Records acknowledged before the damage.
        acknowledged: u64,
        /// What was found.
        detail: Str,
    },
    /// Records could not be written for a while; what was seen meanwhile follows.
    JournalResumed {
        /// Since when.
        stalled_since: Time,
        /// Observations that waited.
        waiting: u64,
    },
    /// Old records were let go.
    RetentionApplied {
        /// The first record kept.
        first_kept: u64,
        /// Whether the others are in an archive.
        archived: bool,
    },
    /// Nothing happened, and the log was there to see it.
    Heartbeat,
    /// The settings in force from now on.
    SettingsChanged {
        /// All of them.
        settings: Settings,
    },
    /// Somebody told the controller to do something.
    OperatorCommand {
        /// Who.
        actor: Str,
        /// What.
        command: Str,
        /// Why.
        reason: Str,
    },
    /// The world was listed in full; what differed from the log is in the records before.
    Relisted {
        /// Objects and instances listed.
        listed: u64,
        /// Of which were news.
        changed: u64,
    },
    /// A moment came for which something waited.
    TimePassed,
}

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
    /// A NodeClaim that this log did not launch.
    NodeClaimObserved {
        /// The claim.
        claim: ClaimName,
        /// Its pool, if it has one.
        pool: Option<PoolName>,
        /// Its instance, if it has one.
        instance: Option<InstanceId>,
        /// Its node, if it has one.
        node: Option<NodeName>,
        /// When it was created.
        created: Time,
        /// The pool's hash that it carries.
        hash: Str,
    },
    /// Somebody deleted a NodeClaim.
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

/// A place to buy an instance: every option of a launch may be offered in each of a few.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The zone.
    pub zone: Zone,
    /// How it is bought.
    pub capacity_type: CapacityType,
}

/// An instance type that a launch may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchOption {
    /// The type.
    pub instance_type: TypeName,
    /// In which of the launch's places: bit i stands for `places[i]`.
    pub places: u32,
    /// The lowest price among those.
    pub price: Price,
}

/// Where a pod is meant to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A node without a claim of ours.
    Node(NodeName),
    /// The node of a claim, there already or yet to come.
    Claim(ClaimName),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Claim(claim) => write!(f, "nodeclaim {claim}"),
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "decisions are few and short-lived; a box around the largest would be in everybody's way"
)]
pub enum Decision {
    /// Start an instance.
    Launch {
        /// The new claim.
        claim: ClaimName,
        /// Its pool.
        pool: PoolName,
        /// The pool's hash.
        hash: Str,
        /// What its labels must satisfy.
        requirements: Requirements,
        /// What its pods and daemon pods ask for.
        requests: Resources,
        /// The pods that it is for.
        pods: Vec<PodKey>,
        /// The places in which options may be offered.
        places: Vec<Place>,
        /// Instance types, cheapest first.
        options: Vec<LaunchOption>,
        /// What is set aside of the pool's limits until the type is known.
        reserved: Resources,
        /// How many instance types were looked at.
        considered: u32,
    },
    /// Ask again, with the same request, for a launch of which nobody knows how it went.
    Relaunch {
        /// The claim.
        claim: ClaimName,
        /// The how many-th time.
        attempt: u32,
    },
    /// Expect pods on a node that is there or on its way.
    Nominate {
        /// Where.
        target: Target,
        /// Which.
        pods: Vec<PodKey>,
    },
    /// Leave pods waiting.
    Unschedulable {
        /// Which.
        pods: Vec<PodKey>,
        /// Why.
        reason: Reason,
    },
    /// Take a node for a claim's.
    Register {
        /// The claim.
        claim: ClaimName,
        /// The node.
        node: NodeName,
    },
    /// Hold a claim's node for fully set up.
    Initialize {
        /// The claim.
        claim: ClaimName,
        /// The node.
        node: NodeName,
    },
    /// Begin to remove nodes.
    Disrupt {
        /// Why.
        reason: DisruptionReason,
        /// Which.
        candidates: Vec<ClaimName>,
        /// What takes their place.
        replacements: Vec<ClaimName>,
        /// What it saves an hour.
        savings: Price,
        /// The budget's count of nodes, where a budget applies.
        allowed: Option<u32>,
        /// How much of it was used before.
        used: u32,
    },
    /// Give up removing a node.
    AbandonDisruption {
        /// Which.
        claim: ClaimName,
        /// Why.
        reason: Reason,
    },
    /// Leave a node alone that was looked at.
    RejectCandidate {
        /// Which.
        claim: ClaimName,
        /// Why.
        reason: Reason,
    },
    /// Keep new pods away from a node.
    Taint {
        /// Which.
        claim: ClaimName,
    },
    /// Let pods come to a node again.
    Untaint {
        /// Which.
        claim: ClaimName,
    },
    /// Begin to empty a node.
    Drain {
        /// Which.
        claim: ClaimName,
        /// When what is left is deleted; `None` for never.
        deadline: Option<Time>,
    },
    /// Ask a pod to leave.
    Evict {
        /// The claim of the node that it is on.
        claim: ClaimName,
        /// Which.
        pod: PodKey,
        /// Its UID.
        uid: Uid,
        /// Whether budgets are passed over, since the deadline has come.
        force: bool,
    },
    /// Stop an instance.
    Terminate {
        /// Its claim.
        claim: ClaimName,
        /// The instance, if the cloud has named one.
        instance: Option<InstanceId>,
    },
    /// Replace a node that is unhealthy.
    Repair {
        /// Which.
        claim: ClaimName,
        /// For which condition.
        condition: Str,
    },
    /// Replace a node that has reached its age.
    Expire {
        /// Which.
        claim: ClaimName,
        /// Its age.
        age: Span,
    },
    /// Hold a node for drifted.
    Drift {
        /// Which.
        claim: ClaimName,
        /// What differs.
        field: Str,
        /// What it was.
        was: Str,
        /// What it should be.
        wanted: Str,
    },
    /// Take over a claim or an instance that this log did not launch.
    Adopt {
        /// The claim.
        claim: ClaimName,
        /// Its instance.
        instance: Option<InstanceId>,
    },
    /// Remove an instance without a claim.
    GarbageCollect {
        /// Which.
        instance: InstanceId,
    },
}
