//! Which pods, nodes, NodeClaims, NodePools and instances an event is about.
//!
//! **Invariant:** every name in an event is found; a new kind of event does not compile before it is given its place here.

use purser_engine::event::{Control, Decision, Event, Fact, Target};
use purser_engine::model::{
    ClaimName, DeviceReach, InstanceId, NodeName, PodKey, PoolName, ResourceClaim, Uid,
};
use purser_engine::reason::Reason;

/// A thing that an event can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject<'a> {
    /// A pod.
    Pod(&'a PodKey),
    /// A node.
    Node(&'a NodeName),
    /// A NodeClaim.
    Claim(&'a ClaimName),
    /// A NodePool.
    Pool(&'a PoolName),
    /// An instance.
    Instance(&'a InstanceId),
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pod(pod) => write!(f, "pod {pod}"),
            Self::Node(node) => write!(f, "node {node}"),
            Self::Claim(claim) => write!(f, "nodeclaim {claim}"),
            Self::Pool(pool) => write!(f, "nodepool {pool}"),
            Self::Instance(instance) => write!(f, "instance {instance}"),
        }
    }
}

/// What an event is about; the main thing first.
pub fn of(event: &Event) -> Vec<Subject<'_>> {
    match event {
        Event::Control(control) => of_control(control),
        Event::Fact(fact) => of_fact(fact),
        Event::Decision(decision) => of_decision(decision),
    }
}

/// The reason that an event gives, if it gives one.
pub fn reason(event: &Event) -> Option<&Reason> {
    match event {
        Event::Control(_) | Event::Fact(_) => None,
        Event::Decision(decision) => match decision {
            Decision::Unschedulable { reason, .. }
            | Decision::AbandonDisruption { reason, .. }
            | Decision::RejectCandidate { reason, .. } => Some(reason),
            Decision::Launch { .. }
            | Decision::LaunchAdopted { .. }
            | Decision::Relaunch { .. }
            | Decision::Nominate { .. }
            | Decision::Register { .. }
            | Decision::Initialize { .. }
            | Decision::Disrupt { .. }
            | Decision::Taint { .. }
            | Decision::Untaint { .. }
            | Decision::Drain { .. }
            | Decision::Evict { .. }
            | Decision::AwaitDetachment { .. }
            | Decision::Terminate { .. }
            | Decision::Repair { .. }
            | Decision::Expire { .. }
            | Decision::Drift { .. }
            | Decision::Adopt { .. }
            | Decision::GarbageCollect { .. }
            | Decision::BindingDiverged { .. } => None,
        },
    }
}

/// The UID in a pod's observation: what tells apart pods of one name.
pub fn pod_uid(event: &Event) -> Option<Uid> {
    if let Event::Fact(Fact::PodObserved { uid, .. }) = event { Some(*uid) } else { None }
}

fn of_control(control: &Control) -> Vec<Subject<'_>> {
    match control {
        Control::LogStarted { .. }
        | Control::ControllerStarted { .. }
        | Control::ControllerStopped { .. }
        | Control::LeadershipAcquired { .. }
        | Control::LeadershipLost { .. }
        | Control::JournalRecovered { .. }
        | Control::JournalResumed { .. }
        | Control::RetentionApplied { .. }
        | Control::Heartbeat
        | Control::SettingsChanged { .. }
        | Control::OperatorCommand { .. }
        | Control::Relisted { .. }
        | Control::TimePassed => Vec::new(),
    }
}

fn of_fact(fact: &Fact) -> Vec<Subject<'_>> {
    use Subject::{Claim, Instance, Node, Pod, Pool};
    match fact {
        Fact::PodSpecDefined { .. }
        | Fact::LabelSetDefined { .. }
        | Fact::NodeClassObserved { .. }
        | Fact::NodeClassDeleted { .. }
        | Fact::NodeOverlayObserved { .. }
        | Fact::NodeOverlayDeleted { .. }
        | Fact::DaemonSetObserved { .. }
        | Fact::DaemonSetDeleted { .. }
        | Fact::DisruptionBudgetObserved { .. }
        | Fact::DisruptionBudgetDeleted { .. }
        | Fact::VolumeClaimObserved { .. }
        | Fact::VolumeClaimDeleted { .. }
        | Fact::CapacityBufferObserved { .. }
        | Fact::CapacityBufferDeleted { .. }
        | Fact::NamespaceObserved { .. }
        | Fact::NamespaceDeleted { .. }
        | Fact::InstanceTypeObserved { .. }
        | Fact::InstanceTypeRemoved { .. }
        | Fact::CatalogueObserved { .. }
        | Fact::PriceChanged { .. }
        | Fact::OfferingUnavailable { .. }
        | Fact::DeviceSelectorDefined { .. }
        | Fact::ClaimKindDefined { .. }
        | Fact::ResourceClaimDeleted { .. }
        | Fact::ClaimTemplateObserved { .. }
        | Fact::ClaimTemplateDeleted { .. }
        | Fact::WideSelectorsObserved { .. } => Vec::new(),
        Fact::PodObserved { pod, node, .. } => {
            [Some(Pod(pod)), node.as_ref().map(Node)].into_iter().flatten().collect()
        }
        Fact::PodBound { pod, node } => vec![Pod(pod), Node(node)],
        Fact::PodPhaseChanged { pod, .. }
        | Fact::PodClaimsObserved { pod, .. }
        | Fact::PodDeleted { pod }
        | Fact::EvictionBlocked { pod, .. } => vec![Pod(pod)],
        Fact::ResourceClaimObserved { facts, .. } => nodes_of(facts).map(Node).collect(),
        Fact::DevicePoolObserved { key, .. } | Fact::DevicePoolDeleted { key } => vec![Node(&key.node)],
        Fact::NodeObserved { node, instance, .. } => {
            [Some(Node(node)), instance.as_ref().map(Instance)].into_iter().flatten().collect()
        }
        Fact::NodeReadinessChanged { node, .. }
        | Fact::NodeConditionChanged { node, .. }
        | Fact::VolumeLimitsObserved { node, .. }
        | Fact::VolumeLimitsDeleted { node }
        | Fact::VolumeAttachmentObserved { node, .. }
        | Fact::VolumeAttachmentDeleted { node, .. }
        | Fact::NodeDeleted { node } => vec![Node(node)],
        Fact::NodeClaimObserved { claim } => [
            Some(Claim(&claim.name)),
            claim.pool.as_ref().map(Pool),
            claim.instance.as_ref().map(Instance),
            claim.node.as_ref().map(Node),
        ]
        .into_iter()
        .flatten()
        .collect(),
        Fact::NodeClaimDeleted { claim }
        | Fact::LaunchFailed { claim, .. }
        | Fact::NodeTainted { claim }
        | Fact::EffectFailed { claim, .. } => vec![Claim(claim)],
        Fact::NodePoolObserved { pool } => vec![Pool(&pool.name)],
        Fact::NodePoolDeleted { pool } => vec![Pool(pool)],
        Fact::InstanceLaunched { claim, instance, .. } => vec![Claim(claim), Instance(instance)],
        Fact::InstanceObserved { instance, claim, .. } => {
            [Some(Instance(instance)), claim.as_ref().map(Claim)].into_iter().flatten().collect()
        }
        Fact::InstanceGone { instance } | Fact::InterruptionNotice { instance, .. } => {
            vec![Instance(instance)]
        }
    }
}

/// The nodes from which alone the devices of a claim can be reached.
fn nodes_of(claim: &ResourceClaim) -> impl Iterator<Item = &NodeName> {
    let reach = match claim {
        ResourceClaim::Allocated(holding) => holding.reach.as_ref().ok(),
        ResourceClaim::Open(_) | ResourceClaim::Refused(_) => None,
    };
    let nodes = match reach {
        Some(DeviceReach::Nodes(nodes)) => Some(nodes),
        Some(DeviceReach::Labels(_) | DeviceReach::Anywhere) | None => None,
    };
    nodes.into_iter().flatten()
}

fn of_decision(decision: &Decision) -> Vec<Subject<'_>> {
    use Subject::{Claim, Instance, Node, Pod, Pool};
    match decision {
        Decision::Launch { claim, pool, pods, .. } => {
            [Claim(claim), Pool(pool)].into_iter().chain(pods.iter().map(Pod)).collect()
        }
        Decision::Nominate { target, pods } => {
            let target = match target {
                Target::Node(node) => Node(node),
                Target::Claim(claim) => Claim(claim),
            };
            std::iter::once(target).chain(pods.iter().map(Pod)).collect()
        }
        Decision::Unschedulable { pods, .. } => pods.iter().map(Pod).collect(),
        Decision::Register { claim, node } | Decision::Initialize { claim, node } => {
            vec![Claim(claim), Node(node)]
        }
        Decision::Disrupt { candidates, replacements, .. } => {
            candidates.iter().chain(replacements).map(Claim).collect()
        }
        Decision::Evict { claim, pod, .. } => vec![Pod(pod), Claim(claim)],
        Decision::Terminate { claim, instance, .. } | Decision::Adopt { claim, instance } => {
            [Some(Claim(claim)), instance.as_ref().map(Instance)].into_iter().flatten().collect()
        }
        Decision::Relaunch { claim, .. }
        | Decision::LaunchAdopted { claim, .. }
        | Decision::AbandonDisruption { claim, .. }
        | Decision::RejectCandidate { claim, .. }
        | Decision::Taint { claim }
        | Decision::Untaint { claim }
        | Decision::Drain { claim, .. }
        | Decision::AwaitDetachment { claim, .. }
        | Decision::Repair { claim, .. }
        | Decision::Expire { claim, .. }
        | Decision::Drift { claim, .. } => vec![Claim(claim)],
        Decision::GarbageCollect { instance } => vec![Instance(instance)],
        Decision::BindingDiverged { pod, node, .. } => vec![Pod(pod), Node(node)],
    }
}
