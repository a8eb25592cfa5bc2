//! What a record adds to the counters.
//!
//! **Invariant:** it depends on the record and on the State before it, and on nothing else.

use purser_engine::event::{Control, Decision, Event, Fact, Interruption, LaunchFailure};
use purser_engine::model::{
    ClaimName, ConsolidationPolicy, DisruptionReason, NodeName, PodKey, PodPhase, Span, Time, label,
};
use purser_engine::state::{Claim, Plan, State};
use purser_events::wire;

use super::Metrics;

impl Metrics {
    /// Counts a record.
    pub(in crate::run) fn observe(&self, state: &State, time: Time, event: &Event) {
        match event {
            Event::Decision(decision) => {
                self.own.decisions.with_label_values(&[wire::name(event)]).inc();
                self.decision(state, time, decision);
            }
            Event::Fact(fact) => self.fact(state, time, fact),
            Event::Control(Control::JournalRecovered { .. }) => self.own.restarts.inc(),
            Event::Control(_) => {}
        }
    }

    /// A claim that was in State is no more.
    pub(in crate::run) fn claim_gone(&self, gone: &GoneClaim, time: Time) {
        let labels = [gone.pool.as_str(), gone.capacity_type.as_str(), gone.zone.as_str()];
        self.counts.claims_terminated.with_label_values(&labels).inc();
        if let Some(since) = gone.disrupted {
            let took = time.since(since).as_secs_f64();
            self.times.claim_termination.with_label_values(&[gone.pool.as_str()]).observe(took);
        }
    }

    fn decision(&self, state: &State, time: Time, decision: &Decision) {
        match decision {
            Decision::Launch { pool, pods, .. } => {
                self.counts.claims_created.with_label_values(&["provisioned", pool.as_str(), "false"]).inc();
                self.decided(state, time, pods);
            }
            Decision::Nominate { pods, .. } | Decision::Unschedulable { pods, .. } => {
                self.decided(state, time, pods)
            }
            Decision::Register { claim, .. } => {
                if let Some(claim) = state.claims.get(claim) {
                    let zone = claim.instance.as_ref().map_or("", |instance| instance.zone.as_str());
                    self.counts.nodes_created.with_label_values(&[claim.pool_name(), zone]).inc();
                }
            }
            Decision::Disrupt { reason, candidates, replacements, .. } => {
                self.disrupted(state, *reason, candidates, !replacements.is_empty());
            }
            Decision::Terminate { claim, .. } => {
                let claim = state.claims.get(claim);
                let drained =
                    |claim: &&Claim| claim.disrupting.as_ref().is_some_and(|own| own.draining.is_some());
                if let Some(claim) = claim.filter(drained) {
                    self.counts.nodes_drained.with_label_values(&[claim.pool_name()]).inc();
                }
            }
            Decision::BindingDiverged { how, .. } => {
                self.own.divergence.with_label_values(&[how.as_str()]).inc();
            }
            _ => {}
        }
    }

    fn disrupted(&self, state: &State, reason: DisruptionReason, candidates: &[ClaimName], replaced: bool) {
        let decision = if replaced { "replace" } else { "delete" };
        let kind = match (reason, candidates.len()) {
            (DisruptionReason::Empty, _) => "empty",
            (DisruptionReason::Underutilized, 1) => "single",
            (DisruptionReason::Underutilized, _) => "multi",
            _ => "",
        };
        let voluntary = matches!(
            reason,
            DisruptionReason::Empty | DisruptionReason::Underutilized | DisruptionReason::Drifted
        );
        if voluntary {
            self.counts.decisions.with_label_values(&[decision, reason.as_str(), kind]).inc();
        }
        for claim in candidates.iter().filter_map(|name| state.claims.get(name)) {
            let pool = claim.pool_name();
            if voluntary {
                self.counts
                    .decisions_by_pool
                    .with_label_values(&[pool, decision, reason.as_str(), kind])
                    .inc();
            }
            let capacity_type =
                claim.instance.as_ref().map_or("", |instance| instance.capacity_type.as_str());
            let policy = match (reason, claim.template.disruption.policy) {
                (DisruptionReason::Empty | DisruptionReason::Underutilized, policy) => match policy {
                    ConsolidationPolicy::WhenEmpty => "when_empty",
                    ConsolidationPolicy::WhenEmptyOrUnderutilized => "when_empty_or_underutilized",
                    ConsolidationPolicy::Balanced => "balanced",
                },
                _ => "",
            };
            let mode = match claim.template.template.termination_grace {
                None => "graceful",
                Some(grace) if grace > Span::ZERO => "eventual",
                Some(_) => "forceful",
            };
            let labels = [reason.as_str(), pool, capacity_type, policy, mode];
            self.counts.claims_disrupted.with_label_values(&labels).inc();
            self.counts.pods_disrupted.with_label_values(&labels).inc_by(claim.workload_pods as f64);
        }
    }

    /// Pods were decided upon, some of them for the first time.
    fn decided(&self, state: &State, time: Time, pods: &[PodKey]) {
        for pod in pods.iter().filter_map(|key| state.pods.get(key)).filter(|pod| pod.plan == Plan::None) {
            self.times.scheduling_decision.observe(time.since(pod.waiting_since).as_secs_f64().max(0.0));
        }
    }

    fn fact(&self, state: &State, time: Time, fact: &Fact) {
        match fact {
            Fact::PodBound { .. } | Fact::PodObserved { .. } => {
                if let Some(pod) = binding(state, fact) {
                    self.bound(state, time, pod);
                }
            }
            Fact::PodPhaseChanged { pod, phase: PodPhase::Terminating, .. } => self.left(state, pod),
            Fact::PodDeleted { pod }
                if state.pods.get(pod).is_some_and(|pod| pod.phase == PodPhase::Bound) =>
            {
                self.left(state, pod);
            }
            Fact::EvictionBlocked { .. } => self.counts.eviction_requests.with_label_values(&["429"]).inc(),
            Fact::NodeDeleted { node } => self.node_gone(state, time, node),
            Fact::InstanceLaunched { claim, .. } => {
                if let Some(claim) = state.claims.get(claim).filter(|claim| claim.instance.is_none()) {
                    let took = time.since(claim.asked).as_secs_f64();
                    self.times
                        .cloud
                        .with_label_values(&["nodeclaim.lifecycle", "Create", self.provider])
                        .observe(took);
                }
            }
            Fact::LaunchFailed { failure, .. } => {
                let error = match failure {
                    LaunchFailure::InsufficientCapacity { .. } => "InsufficientCapacityError",
                    LaunchFailure::Rejected { .. } | LaunchFailure::Unknown { .. } => "",
                };
                let labels = ["nodeclaim.lifecycle", "Create", self.provider, error];
                self.counts.cloud_errors.with_label_values(&labels).inc();
            }
            Fact::InstanceGone { instance } => {
                let claim = state.claim_of_instance(instance);
                let asked = claim.and_then(|claim| Some((claim, claim.disrupting.as_ref()?.terminated?)));
                if let Some((claim, asked)) = asked {
                    let took = time.since(asked).as_secs_f64();
                    self.times.instance_termination.with_label_values(&[claim.pool_name()]).observe(took);
                }
            }
            Fact::InterruptionNotice { kind, .. } => {
                let kind = match kind {
                    Interruption::SpotReclaim => "spot_interrupted",
                    Interruption::RebalanceRecommendation => "rebalance_recommendation",
                    Interruption::ScheduledMaintenance => "scheduled_change",
                    Interruption::StateChange => "instance_state_change",
                };
                self.counts.interruptions.with_label_values(&[kind]).inc();
            }
            _ => {}
        }
    }

    fn bound(&self, state: &State, time: Time, key: &PodKey) {
        let Some(pod) = state.pods.get(key) else { return };
        self.times.pods_bound.observe(time.since(pod.created).as_secs_f64().max(0.0));
        if matches!(pod.plan, Plan::Nominated { .. }) {
            self.times.pods_provisioning_bound.observe(time.since(pod.waiting_since).as_secs_f64().max(0.0));
        }
    }

    /// A pod begins to leave; counted if it was asked to.
    fn left(&self, state: &State, key: &PodKey) {
        // Whose end is put off or brought forward has been counted.
        let pod = state.pods.get(key).filter(|pod| pod.phase != PodPhase::Terminating);
        let claim = pod.and_then(|pod| state.claim_of_node(pod.node.as_ref()?));
        let removal = claim.and_then(|claim| claim.disrupting.as_ref());
        if let Some(removal) = removal.filter(|removal| removal.evictions.contains_key(key)) {
            self.counts.eviction_requests.with_label_values(&["200"]).inc();
            self.counts.pods_drained.with_label_values(&[removal.reason.as_str()]).inc();
        }
    }

    fn node_gone(&self, state: &State, time: Time, name: &NodeName) {
        let Some(node) = state.nodes.get(name) else { return };
        let text = |key: &str| node.facts.labels.get(key).map_or("", |value| value);
        let pool = text(label::NODEPOOL);
        if pool.is_empty() {
            return;
        }
        self.counts.nodes_terminated.with_label_values(&[pool, text(label::ZONE)]).inc();
        let age = time.since(node.facts.created).as_secs_f64().max(0.0);
        self.times.node_lifetime.with_label_values(&[pool]).observe(age);
        let removal = state.claim_of_node(name).and_then(|claim| claim.disrupting.as_ref());
        if let Some(removal) = removal {
            let took = time.since(removal.since).as_secs_f64();
            self.times.node_termination.with_label_values(&[pool]).observe(took);
        }
    }
}

/// The pod that a fact binds to a node. A pod that is bound may change in more: it gets labels of its node's zone.
fn binding<'a>(state: &State, fact: &'a Fact) -> Option<&'a PodKey> {
    let (pod, uid) = match fact {
        Fact::PodBound { pod, .. } => (pod, None),
        Fact::PodObserved { pod, uid, node: Some(_), .. } => (pod, Some(*uid)),
        _ => return None,
    };
    let before = state.pods.get(pod)?;
    (before.node.is_none() && uid.is_none_or(|uid| uid == before.uid)).then_some(pod)
}

/// What is to be counted of a claim once it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct GoneClaim {
    pool: String,
    capacity_type: String,
    zone: String,
    disrupted: Option<Time>,
}

impl GoneClaim {
    pub(in crate::run) fn of(claim: &Claim) -> Self {
        let instance = claim.instance.as_ref();
        Self {
            pool: claim.pool_name().to_owned(),
            capacity_type: instance
                .map(|instance| instance.capacity_type.as_str().to_owned())
                .unwrap_or_default(),
            zone: instance.map(|instance| instance.zone.to_string()).unwrap_or_default(),
            disrupted: claim.disrupting.as_ref().map(|removal| removal.since),
        }
    }
}

/// The claims that a record may end.
pub(in crate::run) fn may_end<'a>(state: &'a State, event: &'a Event) -> Option<&'a Claim> {
    match event {
        Event::Fact(Fact::InstanceGone { instance }) => state.claim_of_instance(instance),
        Event::Fact(Fact::NodeClaimDeleted { claim } | Fact::LaunchFailed { claim, .. })
        | Event::Decision(Decision::Terminate { claim, .. }) => state.claims.get(claim),
        _ => None,
    }
}
