//! What several records have in common: how pods come and go, and how plans, nodes, claims and instances hang together.
//!
//! **Invariant:** what a pod asks for is counted once: on its node if it is bound, on the target of its plan if it waits for one.

use super::{Node, Plan, Planned, Pod, State};
use crate::event::{LaunchFailure, Seq, Target};
use crate::model::{
    ClaimName, InstanceId, NodeFacts, OfferingKey, PodKey, PodPhase, PoolName, Resources, Span, Time,
};

/// For so long an instance that is gone is remembered, since the cloud may go on listing it.
const REMEMBER_GONE: Span = Span::mins(15);

impl State {
    // === pods ===

    pub(super) fn change_pod(&mut self, seq: Seq, time: Time, key: &PodKey, change: impl FnOnce(&mut Pod)) {
        self.detach(seq, time, key);
        if let Some(pod) = self.pods.get_mut(key) {
            change(pod);
            if pod.phase == PodPhase::Pending && pod.plan == Plan::None {
                pod.waiting_since = time;
            }
            self.attach(time, key);
        }
    }

    /// Takes a pod off its node and out of all plans.
    pub(super) fn detach(&mut self, seq: Seq, time: Time, key: &PodKey) {
        self.release(time, key);
        self.waiting.remove(key);
        self.unplanned.remove(key);
        let Some(pod) = self.pods.get(key) else { return };
        let Some(occupancy) = pod.occupies().and_then(|node| self.occupancy.get_mut(node)) else { return };
        let spec = &self.specs[pod.spec.0 as usize];
        occupancy.pods.remove(key);
        occupancy.used.subtract(&spec.requests);
        occupancy.freed = seq;
        if spec.is_daemon() {
            occupancy.used_by_daemons.subtract(&spec.requests);
        } else {
            occupancy.workload_pods -= 1;
            occupancy.last_pod_event = time;
            let workload_pods = occupancy.workload_pods;
            let node = pod.occupies().and_then(|node| self.by_node.get(node));
            if let Some(claim) = node.and_then(|claim| self.claims.get_mut(claim)) {
                claim.workload_pods = workload_pods;
            }
        }
        if occupancy.pods.is_empty()
            && let Some(node) = pod.occupies()
            && !self.nodes.contains_key(node)
        {
            self.occupancy.remove(node);
        }
    }

    /// Puts a pod on its node, or among those that wait.
    pub(super) fn attach(&mut self, time: Time, key: &PodKey) {
        let Some(pod) = self.pods.get(key) else { return };
        let spec = &self.specs[pod.spec.0 as usize];
        if let Some(node) = pod.occupies() {
            let occupancy = self.occupancy.entry(node.clone()).or_default();
            occupancy.pods.insert(key.clone());
            occupancy.used.add(&spec.requests);
            if spec.is_daemon() {
                occupancy.used_by_daemons.add(&spec.requests);
            } else {
                occupancy.workload_pods += 1;
                occupancy.last_pod_event = time;
                let workload_pods = occupancy.workload_pods;
                if let Some(claim) = self.by_node.get(node).and_then(|claim| self.claims.get_mut(claim)) {
                    claim.workload_pods = workload_pods;
                }
            }
        } else if pod.phase == PodPhase::Pending && pod.node.is_none() && !spec.is_daemon() {
            self.waiting.insert(key.clone());
            if !matches!(pod.plan, Plan::Nominated { .. }) {
                self.unplanned.insert(key.clone());
            }
        }
    }

    // === plans ===

    pub(super) fn nominate(&mut self, seq: Seq, time: Time, target: &Target, pods: &[PodKey]) {
        for key in pods {
            self.release(time, key);
            let Some(pod) = self.pods.get_mut(key) else { continue };
            let planned = match target {
                Target::Node(node) => self.nodes.get_mut(node).map(|node| &mut node.planned),
                Target::Claim(claim) => self.claims.get_mut(claim).map(|claim| &mut claim.planned),
            };
            let Some(planned) = planned else { continue };
            pod.plan = Plan::Nominated { target: target.clone(), since: time, decision: seq };
            self.unplanned.remove(key);
            planned.pods.insert(key.clone());
            planned.requests.add(&self.specs[pod.spec.0 as usize].requests);
        }
    }

    /// Takes a pod out of the plan that it is in. It waits anew from now on.
    pub(super) fn release(&mut self, time: Time, key: &PodKey) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        let plan = std::mem::take(&mut pod.plan);
        let Plan::Nominated { target, .. } = plan else { return };
        pod.waiting_since = time;
        if self.waiting.contains(key) {
            self.unplanned.insert(key.clone());
        }
        let planned = match &target {
            Target::Node(node) => self.nodes.get_mut(node).map(|node| &mut node.planned),
            Target::Claim(claim) => self.claims.get_mut(claim).map(|claim| &mut claim.planned),
        };
        if let Some(planned) = planned
            && planned.pods.remove(key)
        {
            planned.requests.subtract(&self.specs[pod.spec.0 as usize].requests);
            // What was set aside is free again.
            let freed = Seq(self.size - 1);
            match &target {
                Target::Node(node) => self.nodes.get_mut(node).map(|node| node.changed = freed),
                Target::Claim(claim) => self.claims.get_mut(claim).map(|claim| claim.changed = freed),
            };
        }
    }

    pub(super) fn release_plans(&mut self, time: Time, planned: Planned) {
        for key in planned.pods {
            if let Some(pod) = self.pods.get_mut(&key) {
                pod.plan = Plan::None;
                pod.waiting_since = time;
                if self.waiting.contains(&key) {
                    self.unplanned.insert(key);
                }
            }
        }
    }

    // === nodes, claims, instances ===

    pub(super) fn observe_node(&mut self, seq: Seq, facts: NodeFacts) {
        let name = facts.name.clone();
        let instance = facts.instance.clone();
        if facts.deleting
            && let Some(claim) = self.by_node.get(&name).and_then(|claim| self.claims.get_mut(claim))
        {
            claim.calm = false;
        }
        match self.nodes.get_mut(&name) {
            Some(node) => {
                node.facts = facts;
                node.changed = seq;
            }
            None => {
                let node =
                    Node { facts, changed: seq, conditions: Default::default(), planned: Planned::default() };
                self.nodes.insert(name.clone(), node);
            }
        }
        if let Some(instance) = instance {
            self.link_node(seq, &instance);
        }
    }

    /// Brings a claim and the node of its instance together, whichever came first.
    pub(super) fn link_node(&mut self, seq: Seq, instance: &InstanceId) {
        let Some(claim) = self.by_instance.get(instance).and_then(|claim| self.claims.get_mut(claim)) else {
            return;
        };
        if claim.node.is_some() {
            return;
        }
        let Some((name, _)) =
            self.nodes.iter().find(|(_, node)| node.facts.instance.as_ref() == Some(instance))
        else {
            return;
        };
        claim.node = Some(name.clone());
        claim.workload_pods = self.occupancy.get(name).map_or(0, |occupancy| occupancy.workload_pods);
        claim.changed = seq;
        self.by_node.insert(name.clone(), claim.name.clone());
    }

    pub(super) fn set_unavailable(&mut self, seq: Seq, offering: OfferingKey, until: Time) {
        self.unavailable.retain(|_, until| *until > self.now);
        self.unavailable.insert(offering, until);
        self.supply_changed = seq;
    }

    pub(super) fn launch_failed(&mut self, seq: Seq, time: Time, claim: &ClaimName, failure: &LaunchFailure) {
        match failure {
            LaunchFailure::InsufficientCapacity { offerings } => {
                let until = time + self.settings.insufficient_capacity_ttl;
                for offering in offerings {
                    self.set_unavailable(seq, offering.clone(), until);
                }
                self.remove_claim(seq, time, claim);
            }
            LaunchFailure::Rejected { .. } => self.remove_claim(seq, time, claim),
            LaunchFailure::Unknown { .. } => {
                let first = self.settings.launch_retry.0;
                if let Some(claim) = self.claims.get_mut(claim).filter(|claim| claim.instance.is_none()) {
                    let doublings = claim.attempts.saturating_sub(1).min(5);
                    claim.retry_at = Some(time + Span(first << doublings));
                }
            }
        }
    }

    pub(super) fn instance_gone(&mut self, seq: Seq, time: Time, instance: &InstanceId) {
        self.gone.retain(|_, since| time.since(*since) < REMEMBER_GONE);
        self.gone.insert(instance.clone(), time);
        self.orphans.remove(instance);
        if let Some(claim) = self.by_instance.remove(instance) {
            self.remove_claim(seq, time, &claim);
        }
    }

    pub(super) fn remove_claim(&mut self, seq: Seq, time: Time, name: &ClaimName) {
        let Some(claim) = self.claims.remove(name) else { return };
        if let Some(node) = &claim.node {
            self.by_node.remove(node);
        }
        if let Some(instance) = &claim.instance {
            self.by_instance.remove(&instance.id);
        }
        self.release_plans(time, claim.planned);
        self.supply_changed = seq;
    }

    /// What the claims of a pool count for against its limits: resources and nodes.
    pub fn pool_usage(&self, pool: &PoolName) -> (Resources, usize) {
        let mut used = Resources::default();
        let mut nodes = 0;
        for claim in self.claims.values().filter(|claim| claim.pool == *pool) {
            used.add(&claim.counted);
            nodes += 1;
        }
        (used, nodes)
    }
}
