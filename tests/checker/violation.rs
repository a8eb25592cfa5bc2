//! What the checker found wrong with a result.
//!
//! Invariant: a violation names one rule, and what it says can be checked by hand against the scenario.

use std::fmt;

/// A rule that a result has to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// Requests of pods and daemon sets fit what is allocatable, `pods` included.
    Resources,
    /// Taints are tolerated, and a new claim carries its NodePool's.
    Taint,
    /// `spec.nodeSelector` holds on the node.
    NodeSelector,
    /// Required node affinity holds on the node.
    NodeAffinity,
    /// `DoNotSchedule` topology spread constraints hold when the pod is bound.
    TopologySpread,
    /// Required pod affinity holds when the pod is bound.
    PodAffinity,
    /// Required pod anti-affinity of the pod itself.
    PodAntiAffinity,
    /// Required pod anti-affinity of pods that are there already.
    InverseAntiAffinity,
    /// No two pods of a node take the same host port.
    HostPort,
    /// Volumes exist, can be bound, and are reachable from the node.
    VolumeTopology,
    /// A node attaches no more volumes than its CSI driver allows.
    VolumeLimit,
    /// `spec.limits` of the NodePool.
    NodePoolLimit,
    /// A claim's requirements stay within its NodePool's, and custom labels are defined by it.
    NodePoolRequirement,
    /// The NodePool exists, is ready, dynamic, and not being deleted.
    NodePoolUnusable,
    /// `minValues` under the policy `Strict`.
    MinValues,
    /// Each listed instance type is compatible and has an available, compatible offering.
    InstanceTypeUnavailable,
    /// No more instance types than `maxInstanceTypes`.
    TooManyInstanceTypes,
    /// A claim's `resources` cover its pods and the daemon sets that will run there.
    DaemonOverhead,
    /// Each pending pod is accounted for exactly once.
    PodLostOrDoubled,
    /// Only pods that are not the autoscaler's business are ignored.
    IgnoredEligible,
    /// Prices and their sum are right, types are listed cheapest first.
    Price,
    /// Capacity reservations are not promised more often than they hold.
    Reservation,
    /// A name in the result that the scenario does not have, or not in that role.
    UnknownName,
    /// A pod goes to a node that is leaving.
    NodeLeaving,
    /// `order` names each placed pod exactly once.
    Order,
    /// Nothing is launched for a pod of a priority below the cut-off.
    Expendable,
    /// A pod's resource claims get what they ask for, and no device more than it has; none while dynamic resource allocation is ignored.
    DynamicResources,
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: Rule,
    /// The pod concerned, as `namespace/name`.
    pub pod: Option<String>,
    /// The node, or the claim as `newNodeClaims[i]`.
    pub host: Option<String>,
    /// What is wrong, with the numbers.
    pub message: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, pod: None, host: None, message: message.into() }
    }

    pub(crate) fn pod(mut self, pod: &str) -> Self {
        self.pod = Some(pod.to_owned());
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.rule)?;
        if let Some(host) = &self.host {
            write!(f, " on {host}")?;
        }
        if let Some(pod) = &self.pod {
            write!(f, ", pod {pod}")?;
        }
        write!(f, ": {}", self.message)
    }
}
