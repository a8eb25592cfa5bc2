//! A NodeClaim in State: from the decision to launch until its instance is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Planned;
use crate::event::{LaunchOption, Place, Seq};
use crate::model::{
    CapacityType, ClaimName, DisruptionReason, InstanceId, NodeName, NodePool, PodKey, PoolName, Price,
    Requirements, Resources, Time, TypeName, Uid, Zone,
};

/// What is known of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub name: ClaimName,
    /// Its pool; `None` for a claim that somebody made by hand.
    pub pool: Option<PoolName>,
    /// The UID of its object, for a claim that was taken over.
    pub adopted: Option<Uid>,
    /// The pool as it was when the claim was launched; of a claim that was taken over, what the claim has of it.
    pub template: Arc<NodePool>,
    /// The decision to launch it, or to take it over.
    pub launch: Seq,
    /// When the claim was made.
    pub created: Time,
    /// Since when an instance is wanted for it.
    pub asked: Time,
    /// When somebody deleted it.
    pub deleted: Option<Time>,
    /// When its node has to be gone, as an annotation of it says; counts once it is deleted.
    pub deadline: Option<Time>,
    /// What its labels must satisfy.
    pub requirements: Requirements,
    /// What its pods and daemon pods ask for.
    pub requests: Resources,
    /// The places in which options may be offered.
    pub places: Vec<Place>,
    /// Instance types, cheapest first.
    pub options: Vec<LaunchOption>,
    /// What the daemon pods of its node ask for.
    pub daemons: Resources,
    /// What any of the options offers to pods at least.
    pub floor: Resources,
    /// What it counts for against the pool's limits.
    pub counted: Resources,
    /// The last record that may have made room on it.
    pub changed: Seq,
    /// Pods that are expected on it.
    pub planned: Planned,
    /// Requests sent so far.
    pub attempts: u32,
    /// When to ask again, if nobody knows how the last request went.
    pub retry_at: Option<Time>,
    /// The instance, once the cloud has named it.
    pub instance: Option<Instance>,
    /// The node, once it is there.
    pub node: Option<NodeName>,
    /// When it was registered.
    pub registered: Option<Time>,
    /// When it was initialized.
    pub initialized: Option<Time>,
    /// How far its removal has come, if it is being removed.
    pub disrupting: Option<Disrupting>,
    /// Pods on its node, daemon pods aside.
    pub workload_pods: usize,
    /// Whether it is initialized, its node is there, and nothing has happened to either since: only its age is left to watch.
    pub calm: bool,
}

/// The instance of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// What it is.
    pub instance_type: TypeName,
    /// Where it is.
    pub zone: Zone,
    /// How it is paid.
    pub capacity_type: CapacityType,
    /// Per hour, at launch.
    pub price: Price,
    /// When the cloud named it.
    pub launched: Time,
    /// The cloud's notice that it will take it back, and when.
    pub interruption: Option<Time>,
    /// Whether it is no more.
    pub is_gone: bool,
}

/// How far the removal of a node has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disrupting {
    /// Why.
    pub reason: DisruptionReason,
    /// Since when.
    pub since: Time,
    /// The decision.
    pub decision: Seq,
    /// Whether the node was asked to be marked.
    pub taint_asked: bool,
    /// Since when the node carries the mark.
    pub tainted: Option<Time>,
    /// Whether pods are asked to leave, and when those left are deleted.
    pub draining: Option<Option<Time>>,
    /// Pods that were asked to leave.
    pub evictions: BTreeMap<PodKey, Eviction>,
    /// How many volumes are waited for, or were left when the instance was asked to stop; `None` while neither was decided.
    pub attached: Option<u32>,
    /// When the instance was asked to stop.
    pub terminated: Option<Time>,
}

/// A pod that was asked to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// How often.
    pub attempts: u32,
    /// When last.
    pub asked: Time,
    /// Whether the last request was refused.
    pub blocked: bool,
    /// Whether budgets were passed over.
    pub forced: bool,
}

/// Where a claim is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimPhase {
    /// Decided, no instance yet.
    Launching,
    /// An instance, no node yet.
    Launched,
    /// A node, not yet set up.
    Registered,
    /// A node that takes pods.
    Initialized,
    /// On its way out.
    Disrupting,
}

impl Claim {
    /// When what is left on its node is deleted, while it is being removed: after the grace period of its template, or sooner if an
    /// annotation says so.
    pub fn removal_deadline(&self) -> Option<Time> {
        let since = self.disrupting.as_ref()?.since;
        let of_template = self.template.template.termination_grace.map(|grace| since + grace);
        let written = self.deadline.filter(|_| self.deleted.is_some());
        of_template.into_iter().chain(written).min()
    }

    /// The name of its pool, empty if it has none: what a metric is labelled with.
    pub fn pool_name(&self) -> &str {
        self.pool.as_ref().map_or("", PoolName::as_str)
    }
}

impl ClaimPhase {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Launching => "launching",
            Self::Launched => "launched",
            Self::Registered => "registered",
            Self::Initialized => "initialized",
            Self::Disrupting => "disrupting",
        }
    }
}

impl Claim {
    /// Where it is in its life.
    pub fn phase(&self) -> ClaimPhase {
        match self {
            Self { disrupting: Some(_), .. } => ClaimPhase::Disrupting,
            Self { initialized: Some(_), .. } => ClaimPhase::Initialized,
            Self { registered: Some(_), .. } => ClaimPhase::Registered,
            Self { instance: Some(_), .. } => ClaimPhase::Launched,
            _ => ClaimPhase::Launching,
        }
    }
}
