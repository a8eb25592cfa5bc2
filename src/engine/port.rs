//! The ports: what the controller asks of the world and what the world tells it.
//!
//! **Invariant:** observations are level-based. Each says how something is, not what happened to it, so that one which is
//! lost, repeated or late does no harm: the next list of the world sets things right.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::event::{Event, Interruption, LaunchFailure, LaunchOption, Place, Seq};
use crate::model::{
    AskedKind, CapacityBuffer, CapacityType, ClaimFacts, ClaimName, DevicePool, DevicePoolKey,
    DeviceSelector, DisruptionReason, InstanceId, InstanceType, LabelSelector, Labels, NodeFacts, NodeName,
    NodeOverlay, NodePool, OfferingKey, PodFacts, PodKey, PodSpec, PoolName, Price, Questions, Requirements,
    ResourceClaim, Resources, Str, Time, TypeName, Uid, VolumeAttachment, VolumeClaim, VolumeLimits, Zone,
};
use crate::notice::Notice;
use crate::reason::Reason;
use crate::settings::Settings;

/// How something in the world is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A pod is.
    Pod(PodFacts),
    /// A pod is not.
    NoPod(PodKey),
    /// A node is.
    Node(NodeFacts),
    /// A node is not.
    NoNode(NodeName),
    /// A NodePool is.
    NodePool(Arc<NodePool>),
    /// A NodePool is not.
    NoNodePool(PoolName),
    /// A NodeOverlay is.
    NodeOverlay(Str, NodeOverlay),
    /// A NodeOverlay is not.
    NoNodeOverlay(Str),
    /// A NodeClaim object is.
    NodeClaim(Arc<ClaimFacts>),
    /// A NodeClaim object is not.
    NoNodeClaim(ClaimName),
    /// NodeClaim objects are among what is listed here, all of them: in a world without such objects nothing says so.
    NodeClaimsListed,
    /// A DaemonSet is: its namespace and name, and what its pods ask for.
    DaemonSet(PodKey, Arc<PodSpec>),
    /// A DaemonSet is not.
    NoDaemonSet(PodKey),
    /// A PodDisruptionBudget is.
    DisruptionBudget {
        /// Its namespace and name.
        budget: PodKey,
        /// Which pods.
        selector: LabelSelector,
        /// How many of them may be evicted now.
        disruptions_allowed: u32,
        /// Whether pods that are not ready may always be evicted.
        always_allow_unhealthy: bool,
    },
    /// A PodDisruptionBudget is not.
    NoDisruptionBudget(PodKey),
    /// A Namespace is: its name and its labels.
    Namespace(Str, Labels),
    /// A Namespace is not.
    NoNamespace(Str),
    /// A PersistentVolumeClaim is, resolved with its volume and its class.
    VolumeClaim(PodKey, VolumeClaim),
    /// A PersistentVolumeClaim is not.
    NoVolumeClaim(PodKey),
    /// A node attaches so many volumes of each driver, as its CSINode says.
    VolumeLimits {
        /// The node.
        node: NodeName,
        /// How many of each driver.
        limits: VolumeLimits,
    },
    /// A node has no CSINode.
    NoVolumeLimits(NodeName),
    /// A VolumeAttachment is: its name, and what it attaches where, resolved with its volume.
    VolumeAttachment(Str, VolumeAttachment),
    /// A VolumeAttachment is not.
    NoVolumeAttachment(Str),
    /// A ResourceClaim is.
    ResourceClaim(PodKey, ResourceClaim<Arc<AskedKind>>),
    /// A ResourceClaim is not.
    NoResourceClaim(PodKey),
    /// A ResourceClaimTemplate is: what claims of it ask for, or why they cannot be had.
    ClaimTemplate(PodKey, Result<Arc<AskedKind>, Reason>),
    /// A ResourceClaimTemplate is not.
    NoClaimTemplate(PodKey),
    /// A driver publishes devices of a node.
    DevicePool {
        /// The pool and its node.
        key: DevicePoolKey,
        /// The devices.
        pool: Arc<DevicePool<Arc<DeviceSelector>>>,
        /// What this answers.
        asked: Arc<Questions>,
    },
    /// A driver publishes no devices of a node.
    NoDevicePool(DevicePoolKey),
    /// These selectors may take devices that are not of one node alone.
    WideSelectors {
        /// All of them.
        selectors: BTreeSet<Arc<DeviceSelector>>,
        /// What this answers.
        asked: Arc<Questions>,
    },
    /// No devices are looked at.
    NoWideSelectors,
    /// A CapacityBuffer is, and comes to this.
    CapacityBuffer(PodKey, CapacityBuffer),
    /// A CapacityBuffer is not, or comes to nothing.
    NoCapacityBuffer(PodKey),
    /// An instance type is offered so.
    InstanceType(Arc<InstanceType>),
    /// An instance type is not offered.
    NoInstanceType(TypeName),
    /// The catalogue was read in full: its digest and the number of types.
    Catalogue(Str, u32),
    /// An offering has this price.
    Price(OfferingKey, Price),
    /// A claim has this instance.
    Instance(InstanceFacts),
    /// An instance is not.
    NoInstance(InstanceId),
    /// A launch failed.
    LaunchFailed(ClaimName, LaunchFailure),
    /// An instance will be interrupted.
    Interruption {
        /// Which.
        instance: InstanceId,
        /// How.
        kind: Interruption,
        /// When.
        at: Time,
    },
    /// A claim's node carries the mark that keeps new pods away.
    Tainted(ClaimName),
    /// An eviction was refused for now, and by what.
    EvictionBlocked(PodKey, Str),
    /// Something that was to be done for a claim could not be done.
    EffectFailed(ClaimName, Str),
    /// These settings are in force.
    Settings(Settings),
    /// The world was listed in full, with so many objects.
    Relisted(u64),
}

/// An instance with our tags, as the cloud shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFacts {
    /// The instance.
    pub instance: InstanceId,
    /// The claim in its tags.
    pub claim: Option<ClaimName>,
    /// What it is.
    pub instance_type: TypeName,
    /// Where it is.
    pub zone: Zone,
    /// How it is paid.
    pub capacity_type: CapacityType,
    /// Per hour.
    pub price: Price,
    /// When it was started.
    pub launched: Time,
}

/// An observation, with the decision that led to it where one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// What was seen.
    pub observation: Observation,
    /// The record of the decision whose outcome it is.
    pub cause: Option<Seq>,
}

impl From<Observation> for Input {
    fn from(observation: Observation) -> Self {
        Self { observation, cause: None }
    }
}

/// Something to do in the world. Each is idempotent: doing it again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make a claim ours that somebody else made: with our finalizer, and with a hash of our version.
    Adopt {
        /// The claim.
        claim: ClaimName,
        /// The hash of its pool's template, for a claim whose own is of another version.
        hash: Str,
    },
    /// Start an instance for a claim, once, however often this is asked. Where it fails for good, nothing is left of the claim.
    Launch(LaunchRequest),
    /// Give a node its claim's labels, and take the mark of the unregistered from it.
    Register {
        /// The claim.
        claim: ClaimName,
        /// Its node.
        node: NodeName,
    },
    /// Mark a node as initialized.
    Initialize {
        /// The claim.
        claim: ClaimName,
        /// Its node.
        node: NodeName,
    },
    /// Keep new pods away from a node. Answered by [`Observation::Tainted`].
    Taint {
        /// The claim.
        claim: ClaimName,
        /// Its node.
        node: NodeName,
        /// Why it is removed.
        reason: DisruptionReason,
    },
    /// Show that a claim is being removed for good, and by when pods have left its node.
    Drain {
        /// The claim.
        claim: ClaimName,
        /// When what is left is deleted; `None` for never.
        deadline: Option<Time>,
    },
    /// Show that the node of a claim is empty, and that volumes have yet to be detached from it.
    AwaitDetachment {
        /// The claim.
        claim: ClaimName,
    },
    /// Let pods come to a node again.
    Untaint {
        /// The claim.
        claim: ClaimName,
        /// Its node.
        node: NodeName,
    },
    /// Evict a pod, as long as it is still this one.
    Evict {
        /// The pod.
        pod: PodKey,
        /// Its UID.
        uid: Uid,
        /// Delete it outright, budgets or not.
        force: bool,
        /// When the node goes: whoever is forced has to be gone by then.
        deadline: Option<Time>,
    },
    /// Stop the instance of a claim, and remove its node. Answered by [`Observation::NoInstance`].
    Terminate {
        /// The claim.
        claim: ClaimName,
        /// The instance; without one, whichever carries the claim in its tags.
        instance: Option<InstanceId>,
        /// Its node, if it has one.
        node: Option<NodeName>,
        /// How many volumes are still attached to it, since the deadline has come.
        attached: u32,
    },
    /// Stop an instance that no claim has. Answered by [`Observation::NoInstance`].
    Collect {
        /// The instance.
        instance: InstanceId,
    },
    /// Write into an object's status how it is. It carries out no decision: its record is the last one by which that was found.
    Notice(Notice),
}

/// What goes to the cloud for a launch. The same claim always gets the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchRequest {
    /// The claim; its name is the request's idempotency token too.
    pub claim: ClaimName,
    /// The pool; `None` for a claim without one.
    pub pool: Option<PoolName>,
    /// Whether the claim was there before: then it is not made.
    pub is_adopted: bool,
    /// The pool as it was when this was decided, or what a claim that was taken over has of one.
    pub template: Arc<NodePool>,
    /// What the claim's pods and daemon pods ask for.
    pub requests: Resources,
    /// What the node's labels must satisfy.
    pub requirements: Requirements,
    /// The places in which options may be offered.
    pub places: Vec<Place>,
    /// Instance types, cheapest first.
    pub options: Vec<LaunchOption>,
}

/// An effect, with the record of the decision that it carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The decision's record.
    pub decision: Seq,
    /// What to do.
    pub effect: Effect,
}

/// What is to be appended to the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The content.
    pub event: Event,
    /// The records that led to it.
    pub causes: Vec<Seq>,
}

/// The longest event that a journal takes, in its wire form.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;

/// Where the log is kept.
pub trait Journal {
    /// Appends a batch, whole or not at all. On return it is durable, unless the world is lost together with the process, as in a simulation:
    /// then it may be written later, with those behind it. No event may take more than [`MAX_EVENT_BYTES`].
    ///
    /// # Errors
    /// [`JournalError::Full`] if nothing was written for want of space: the same call may succeed later. Any other error is final.
    fn append(&mut self, now: Time, batch: &[Entry]) -> Result<Range<u64>, JournalError>;

    /// The number of records.
    fn size(&self) -> u64;
}

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no space; nothing was written.
    #[error("the journal has no space: {0}")]
    Full(String),
    /// Nothing more can be written.
    #[error("the journal cannot be written: {0}")]
    Fatal(String),
}
