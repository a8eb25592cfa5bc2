//! What must never be seen in the world, whatever the controller and the faults do.
//!
//! **Invariant:** a violation names everything that is needed to find its cause in the log: which object,
//! when, and what stood against it.

use purser_engine::model::{ClaimName, InstanceId, NodeName, PodKey, PoolName, Str, Time};

/// Something that must never happen, happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A claim has two instances.
    #[error("claim {claim} has two live instances, {first} and {second}")]
    TwoInstances {
        /// The claim.
        claim: ClaimName,
        /// The older one.
        first: InstanceId,
        /// The newer one.
        second: InstanceId,
    },
    /// An instance ran without a claim for too long.
    #[error(
        "instance {instance} of claim {claim} is unknown to the controller since {since} and still runs at {now}"
    )]
    Orphan {
        /// The instance.
        instance: InstanceId,
        /// The claim in its tags.
        claim: ClaimName,
        /// Since when the controller has no such claim.
        since: Time,
        /// Until when it was let be.
        now: Time,
    },
    /// An instance was stopped under the name of another claim than its own.
    #[error("claim {claim} ordered the end of instance {instance}, which belongs to claim {owner}")]
    WrongInstance {
        /// The claim in the order.
        claim: ClaimName,
        /// The instance in the order.
        instance: InstanceId,
        /// Whose it is.
        owner: ClaimName,
    },
    /// The instances of a pool exceed its limits.
    #[error("nodepool {pool}: {resource} is limited to {limit}, but claim {claim} brings it to {used}")]
    LimitExceeded {
        /// The pool.
        pool: PoolName,
        /// The limited resource, or `nodes`.
        resource: Str,
        /// The limit.
        limit: i64,
        /// What there is with the new instance.
        used: i64,
        /// The claim that went over it.
        claim: ClaimName,
    },
    /// A pod was removed though its budget did not allow that.
    #[error("pod {pod} was taken away by {how} though budget {budget} allowed no disruption")]
    BudgetViolated {
        /// The pod.
        pod: PodKey,
        /// The budget.
        budget: PodKey,
        /// How.
        how: &'static str,
    },
    /// A pod was removed though it carries `karpenter.sh/do-not-disrupt`.
    #[error("pod {pod} carries karpenter.sh/do-not-disrupt and was taken away by {how}")]
    DoNotDisruptViolated {
        /// The pod.
        pod: PodKey,
        /// How.
        how: &'static str,
    },
    /// A pod was deleted outright before its node's termination grace period made that right.
    #[error("pod {pod} was deleted outright at {now}, but its node may do so only from {from}")]
    ForcedTooEarly {
        /// The pod.
        pod: PodKey,
        /// When.
        now: Time,
        /// From when on it would have been right; the end of time where there is no grace period.
        from: Time,
    },
    /// A node has more pods than it can hold.
    #[error("node {node} is over-committed by pod {pod}")]
    Overcommitted {
        /// The node.
        node: NodeName,
        /// The pod that was too much.
        pod: PodKey,
    },
    /// The world itself is out of joint: a defect of the simulator.
    #[error("the simulated world contradicts itself: {what}")]
    Inconsistent {
        /// What does not fit.
        what: String,
    },
}
