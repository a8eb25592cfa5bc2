//! Pods: who they are, where they run, and the facts about them on which a decision can depend.
//!
//! **Invariant:** a [`PodSpec`] holds nothing of a pod's environment, arguments or annotations. Pods made from one template have
//! equal specs; the log keeps each spec once.

use std::fmt;
use std::sync::Arc;

use super::{ClaimSource, Labels, NodeName, Operator, Requirements, Resources, Span, Str, Time, Toleration};

/// The name of a pod.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    /// Its namespace.
    pub namespace: Str,
    /// Its name.
    pub name: Str,
}

impl PodKey {
    /// From namespace and name.
    pub fn new(namespace: impl Into<Str>, name: impl Into<Str>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// From `namespace/name`; a bare name is in `default`.
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((namespace, name)) => Self::new(namespace, name),
            None => Self::new("default", text),
        }
    }
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}", self.namespace, self.name))
    }
}

impl fmt::Debug for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The UID of a Kubernetes object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uid(pub u128);

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodPhase {
    /// Not bound to a node, and the scheduler has found none for it.
    Pending,
    /// Not bound, and the scheduler has not said yet whether it finds a node for it: not the autoscaler's business yet.
    Untried,
    /// Not bound, but held back by scheduling gates, or nominated by preemption: not the autoscaler's business yet.
    Held,
    /// Bound to a node.
    Bound,
    /// Bound, and being deleted.
    Terminating,
    /// Ended, well or badly: takes no capacity any more.
    Ended,
}

/// What is known of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub key: PodKey,
    /// Its UID: a pod of the same name and another UID is another pod.
    pub uid: Uid,
    /// What it asks for; shared by all pods of its template.
    pub spec: Arc<PodSpec>,
    /// When it was created.
    pub created: Time,
    /// Where it is in its life.
    pub phase: PodPhase,
    /// The node it is bound to.
    pub node: Option<NodeName>,
    /// When its kubelet took it on (`status.startTime`), where that matters: with `do-not-disrupt` for a time.
    pub started: Option<Time>,
    /// Within what time of being told so it has to be gone (`metadata.deletionGracePeriodSeconds`), where it is bound and being deleted. The moment
    /// itself (`metadata.deletionTimestamp`) is by the API server's clock, and what follows from it is timed by ours.
    pub deletion_grace: Option<Span>,
    /// Where each of its resource claims comes from, in the order of its spec; empty where claims are not looked at.
    pub claims: Vec<ClaimSource>,
}

/// The lowest priority of the classes that only Kubernetes itself has.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// What owns a pod, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum OwnerKind {
    /// Nothing: an evicted pod is gone for good.
    #[default]
    None,
    /// A DaemonSet: it runs wherever there is a node and holds none.
    DaemonSet,
    /// A Node: a static pod.
    Node,
    /// A StatefulSet: a terminating pod will be wanted again.
    StatefulSet,
    /// Any other controller.
    Controller,
}

/// `karpenter.sh/do-not-disrupt` on a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DoNotDisrupt {
    /// As long as it runs.
    Always,
    /// For so long after its start.
    For(Span),
}

/// The transport protocol of a host port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of the node that a pod takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// The address; empty for all.
    pub ip: Str,
    /// The port.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// How a label selector compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LabelOperator {
    /// One of the values.
    In,
    /// None of the values, or no such label.
    NotIn,
    /// Any value.
    Exists,
    /// No such label.
    DoesNotExist,
}

/// One comparison of a label selector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelExpression {
    /// The label.
    pub key: Str,
    /// The comparison.
    pub operator: LabelOperator,
    /// What to compare with.
    pub values: Vec<Str>,
}

/// A label selector, in normal form: `matchLabels` are written as `In`, sorted. Empty selects everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LabelSelector(pub Vec<LabelExpression>);

impl LabelSelector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|expression| {
            let value = labels.get(&expression.key);
            let listed = value.is_some_and(|value| expression.values.contains(value));
            match expression.operator {
                LabelOperator::In => listed,
                LabelOperator::NotIn => !listed,
                LabelOperator::Exists => value.is_some(),
                LabelOperator::DoesNotExist => value.is_none(),
            }
        })
    }
}

/// What to do when a spread constraint cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unsatisfiable {
    /// Do not schedule.
    DoNotSchedule,
    /// Schedule anyway; a preference.
    ScheduleAnyway,
}

/// Whether a spread constraint looks at all nodes or only at those that the pod could use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpreadPolicy {
    /// Only at those that the pod could use.
    Honor,
    /// At all.
    Ignore,
}

/// A topology spread constraint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopologySpread {
    /// The label whose values are the domains.
    pub topology_key: Str,
    /// The most by which a domain may exceed the emptiest.
    pub max_skew: u32,
    /// With fewer domains than this, the emptiest counts as having none.
    pub min_domains: Option<u32>,
    /// Requirement or preference.
    pub when_unsatisfiable: Unsatisfiable,
    /// Which pods are counted, `matchLabelKeys` already resolved.
    pub selector: LabelSelector,
    /// Whether the pod's node affinity limits the nodes looked at.
    pub node_affinity_policy: SpreadPolicy,
    /// Whether taints limit the nodes looked at.
    pub node_taints_policy: SpreadPolicy,
}

/// Which namespaces a pod affinity term looks at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamespaceSelector {
    /// The pod's own.
    Own,
    /// Those listed, and those whose labels match.
    Other {
        /// By name.
        names: Vec<Str>,
        /// By label.
        selector: Option<LabelSelector>,
    },
}

/// A pod affinity or anti-affinity term.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodAffinity {
    /// The label whose values are the domains.
    pub topology_key: Str,
    /// Which pods are meant, `matchLabelKeys` and `mismatchLabelKeys` already resolved.
    pub selector: LabelSelector,
    /// In which namespaces.
    pub namespaces: NamespaceSelector,
    /// Away from them rather than to them.
    pub anti: bool,
    /// `None` for a requirement, 1 to 100 for a preference.
    pub weight: Option<u8>,
}

impl PodAffinity {
    /// Whether it is a requirement to be away from others, who then may not come to be beside the pod either.
    pub fn is_required_anti(&self) -> bool {
        self.anti && self.weight.is_none()
    }
}

/// A preferred node affinity term.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PreferredTerm {
    /// 1 to 100.
    pub weight: u8,
    /// What is preferred.
    pub requirements: Requirements,
}

/// A volume on which a decision can depend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeRef {
    /// The PersistentVolumeClaim, in the pod's namespace.
    pub claim: Str,
}

/// Pods of one namespace that are of use only together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodGroup {
    /// Its name; pods of the same namespace and name are of one group.
    pub name: Str,
    /// So many of them need a place, or none gets one; 1, where nobody says how many, stands for all that wait.
    pub min_members: u32,
}

/// What a pod asks for: all that a decision about it can depend on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PodSpec {
    /// Its labels.
    pub labels: Labels,
    /// What it asks for, init containers, sidecars and overhead included; `pods` is 1.
    pub requests: Resources,
    /// `nodeSelector`.
    pub node_selector: Labels,
    /// Required node affinity: one of these, if there are any.
    pub required_terms: Vec<Requirements>,
    /// Preferred node affinity.
    pub preferred_terms: Vec<PreferredTerm>,
    /// Tolerations.
    pub tolerations: Vec<Toleration>,
    /// Topology spread constraints.
    pub spread: Vec<TopologySpread>,
    /// Pod affinity and anti-affinity.
    pub affinity: Vec<PodAffinity>,
    /// Host ports.
    pub host_ports: Vec<HostPort>,
    /// Volumes by claim.
    pub volumes: Vec<VolumeRef>,
    /// Resource claims (dynamic resource allocation), by name.
    pub resource_claims: Vec<Str>,
    /// Priority.
    pub priority: i32,
    /// What owns it.
    pub owner: OwnerKind,
    /// `terminationGracePeriodSeconds`.
    pub termination_grace: Option<Span>,
    /// `karpenter.sh/do-not-disrupt`.
    pub do_not_disrupt: Option<DoNotDisrupt>,
    /// `controller.kubernetes.io/pod-deletion-cost`.
    pub deletion_cost: i32,
    /// The group that it is placed with, if it is of one.
    pub group: Option<PodGroup>,
}

impl PodSpec {
    /// The node requirements of each alternative: the node selector with each required term, or alone.
    pub fn node_alternatives(&self) -> Vec<Requirements> {
        let selector = Requirements::from_labels(&self.node_selector);
        if self.required_terms.is_empty() {
            return vec![selector];
        }
        let with = |term: &Requirements| {
            let mut all = selector.clone();
            all.add_all(term);
            all
        };
        self.required_terms.iter().map(with).collect()
    }

    /// Whether it does not want some others beside it.
    pub fn has_required_anti_affinity(&self) -> bool {
        self.affinity.iter().any(PodAffinity::is_required_anti)
    }

    /// Whether its start matters, since it is not to be disturbed for a time after it.
    pub fn is_held_for_a_time(&self) -> bool {
        matches!(self.do_not_disrupt, Some(DoNotDisrupt::For(_)))
    }

    /// Whether the cluster itself depends on it: it is of class `system-node-critical` or `system-cluster-critical`, the only ones that
    /// may have such a priority.
    ///
    /// Source: Kubernetes, `SystemCriticalPriority` and `HighestUserDefinablePriority` in pkg/apis/scheduling/types.go.
    pub fn is_critical(&self) -> bool {
        self.priority >= SYSTEM_CRITICAL
    }

    /// Whether it runs on every node that takes it, and so needs none of its own.
    pub fn is_daemon(&self) -> bool {
        matches!(self.owner, OwnerKind::DaemonSet | OwnerKind::Node)
    }
}

/// `matchLabels` as expressions.
impl From<&Labels> for LabelSelector {
    fn from(labels: &Labels) -> Self {
        let expression = |(key, value): (&Str, &Str)| LabelExpression {
            key: key.clone(),
            operator: LabelOperator::In,
            values: vec![value.clone()],
        };
        Self(labels.iter().map(expression).collect())
    }
}

/// A label operator is a node affinity operator without the comparisons.
impl From<LabelOperator> for Operator {
    fn from(operator: LabelOperator) -> Self {
        match operator {
            LabelOperator::In => Self::In,
            LabelOperator::NotIn => Self::NotIn,
            LabelOperator::Exists => Self::Exists,
            LabelOperator::DoesNotExist => Self::DoesNotExist,
        }
    }
}
