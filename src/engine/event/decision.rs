//! What was decided.
//!
//! **Invariant:** a decision says all that carrying it out needs.

use std::fmt;

use super::Seq;
use crate::model::{
    CapacityType, ClaimName, DisruptionReason, InstanceId, NodeName, PodKey, PoolName, Price, Requirements,
    Resources, Span, Str, Time, TypeName, Uid, Zone,
};
use crate::reason::Reason;

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

/// How the node that a pod was bound to differs from what was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Divergence {
    /// Another node than the one planned.
    OtherNode,
    /// A node on which an equal pod was planned: they change places, and nothing else is different.
    EqualPod,
    /// A node, though none was held to have a place for it.
    NoPlace,
}

impl Divergence {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OtherNode, Self::EqualPod, Self::NoPlace];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherNode => "other_node",
            Self::EqualPod => "equal_pod",
            Self::NoPlace => "no_place",
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Wait until volumes are detached from a node that is empty.
    AwaitDetachment {
        /// Its claim.
        claim: ClaimName,
        /// How many are attached.
        attached: u32,
    },
    /// Stop an instance.
    Terminate {
        /// Its claim.
        claim: ClaimName,
        /// The instance, if the cloud has named one.
        instance: Option<InstanceId>,
        /// How many volumes are still attached, since the deadline has come.
        attached: u32,
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
    /// Start an instance for a claim that was taken over without one: what it must satisfy is in the claim.
    LaunchAdopted {
        /// The claim.
        claim: ClaimName,
        /// The places in which options may be offered.
        places: Vec<Place>,
        /// Instance types, cheapest first.
        options: Vec<LaunchOption>,
        /// What is set aside of the limits of its pool, if it has one, until the type is known.
        reserved: Resources,
        /// How many instance types were looked at.
        considered: u32,
    },
    /// Take note that a pod is not where it was planned: nothing is to be done.
    BindingDiverged {
        /// The pod.
        pod: PodKey,
        /// Where it is.
        node: NodeName,
        /// What that is to the plan.
        how: Divergence,
        /// The decision that was the plan.
        planned: Seq,
    },
}
