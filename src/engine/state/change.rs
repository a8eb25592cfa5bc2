//! What several records have in common: how pods come and go, and how plans, nodes, claims and instances hang together.
//!
//! **Invariant:** what a pod asks for is counted once: on its node if it is bound, on the target of its plan if it waits for one.

use super::{Claim, Disrupting, Instance, Node, Plan, Planned, Pod, State, VolumeAttachment};
use crate::event::{LaunchFailure, Seq, Target};
use crate::model::{
    CapacityType, ClaimName, InstanceId, NodeFacts, NodeName, OfferingKey, PodKey, PodPhase, PoolName,
    Resources, Span, Str, Time,
};

/// The scheduler tries a new pod within so long, unless it has much to do.
pub const TRIED_WITHIN: Span = Span(100_000);

/// For so long an instance or a claim that is gone is remembered, since word of it may still come.
pub const REMEMBER_GONE: Span = Span::mins(2);

impl State {
    // === pods ===

    pub(super) fn change_pod(&mut self, seq: Seq, time: Time, key: &PodKey, change: impl FnOnce(&mut Pod)) {
        self.detach(seq, time, key);
        if let Some(pod) = self.pods.get_mut(key) {
            let tried_at_once = pod.phase == PodPhase::Untried && time <= pod.waiting_since + TRIED_WITHIN;
            change(pod);
            if pod.phase == PodPhase::Pending && pod.plan == Plan::None && !tried_at_once {
                pod.waiting_since = time;
            }
            self.attach(seq, time, key);
        }
    }

    /// Takes a pod off its node and out of all plans.
    pub(super) fn detach(&mut self, seq: Seq, time: Time, key: &PodKey) {
        self.release(seq, time, key);
        self.waiting.remove(key);
        self.unplanned.remove(key);
        let Some(pod) = self.pods.get(key) else { return };
        if pod.phase == PodPhase::Untried {
            self.untried.remove(&(pod.waiting_since, key.clone()));
        }
        let Some(node) = pod.occupies().cloned() else { return };
        let Some(occupancy) = self.occupancy.get_mut(&node) else { return };
        let spec = &self.specs[pod.spec.0 as usize];
        occupancy.pods.remove(key);
        occupancy.used.subtract(&spec.requests);
        occupancy.freed = seq;
        if spec.is_daemon() {
            occupancy.used_by_daemons.subtract(&spec.requests);
        } else {
            occupancy.workload_pods -= 1;
            occupancy.last_pod_event = time;
        }
        if occupancy.pods.is_empty() && !self.nodes.contains_key(&node) {
            self.occupancy.remove(&node);
        }
        self.touch_node(seq, &node);
    }

    /// Puts a pod on its node, or among those that wait.
    pub(super) fn attach(&mut self, seq: Seq, time: Time, key: &PodKey) {
        let Some(pod) = self.pods.get(key) else { return };
        let spec = &self.specs[pod.spec.0 as usize];
        if let Some(node) = pod.occupies().cloned() {
            let occupancy = self.occupancy.entry(node.clone()).or_default();
            occupancy.pods.insert(key.clone());
            occupancy.used.add(&spec.requests);
            if spec.is_daemon() {
                occupancy.used_by_daemons.add(&spec.requests);
            } else {
                occupancy.workload_pods += 1;
                occupancy.last_pod_event = time;
            }
            self.touch_node(seq, &node);
        } else if spec.is_daemon() || pod.node.is_some() {
            // Its node is chosen already.
        } else if pod.phase == PodPhase::Untried {
            self.untried.insert((pod.waiting_since, key.clone()));
        } else if pod.phase == PodPhase::Pending {
            self.waiting.insert(key.clone());
            if !matches!(pod.plan, Plan::Nominated { .. }) {
                self.unplanned.insert(key.clone());
            }
        }
    }

    /// Says that a node looks different or that pods came or went, to its claim too.
    pub(super) fn touch_node(&mut self, seq: Seq, node: &NodeName) {
        let Some(claim) = self.claims.of_node(node).cloned() else {
            return self.touched.push(seq, Target::Node(node.clone()));
        };
        let workload_pods = self.occupancy.get(node).map_or(0, |occupancy| occupancy.workload_pods);
        if self.claims.get(&claim).is_some_and(|claim| claim.workload_pods != workload_pods) {
            self.claims.change(&claim, |claim| claim.workload_pods = workload_pods);
        }
        self.touched.push(seq, Target::Claim(claim));
    }

    /// Changes a claim, if there is one of this name.
    pub(super) fn change_claim<R>(
        &mut self,
        seq: Seq,
        name: &ClaimName,
        change: impl FnOnce(&mut Claim) -> R,
    ) -> Option<R> {
        let result = self.claims.change(name, change)?;
        self.touched.push(seq, Target::Claim(name.clone()));
        Some(result)
    }

    /// Changes how far the removal of a claim has come, if it is being removed.
    pub(super) fn change_removal(
        &mut self,
        seq: Seq,
        name: &ClaimName,
        change: impl FnOnce(&mut Disrupting),
    ) {
        self.change_claim(seq, name, |claim| claim.disrupting.as_mut().map(change));
    }

    /// Changes the pods expected on a target, if it is there.
    fn change_planned<R>(
        &mut self,
        seq: Seq,
        target: &Target,
        change: impl FnOnce(&mut Planned) -> R,
    ) -> Option<R> {
        match target {
            Target::Claim(claim) => self.change_claim(seq, claim, |claim| change(&mut claim.planned)),
            Target::Node(name) => {
                let node = self.nodes.get_mut(name)?;
                let result = change(&mut node.planned);
                if node.planned.pods.is_empty() {
                    self.awaited_nodes.remove(name);
                } else {
                    self.awaited_nodes.insert(name.clone());
                }
                self.touched.push(seq, target.clone());
                Some(result)
            }
        }
    }

    // === plans ===

    pub(super) fn nominate(&mut self, seq: Seq, time: Time, target: &Target, pods: &[PodKey]) {
        let there = match target {
            Target::Node(node) => self.nodes.contains_key(node),
            Target::Claim(claim) => self.claims.contains_key(claim),
        };
        let mut requests = Resources::default();
        let mut taken = Vec::with_capacity(pods.len());
        for key in pods {
            self.release(seq, time, key);
            let Some(pod) = self.pods.get_mut(key).filter(|_| there) else { continue };
            pod.plan = Plan::Nominated { target: target.clone(), since: time, decision: seq };
            self.unplanned.remove(key);
            requests.add(&self.specs[pod.spec.0 as usize].requests);
            taken.push(key.clone());
        }
        self.change_planned(seq, target, |planned| {
            planned.pods.extend(taken);
            planned.requests.add(&requests);
        });
    }

    /// Takes a pod out of the plan that it is in. It waits anew from now on.
    pub(super) fn release(&mut self, seq: Seq, time: Time, key: &PodKey) {
        let Some(pod) = self.pods.get_mut(key) else { return };
        let plan = std::mem::take(&mut pod.plan);
        let Plan::Nominated { target, .. } = plan else { return };
        pod.waiting_since = time;
        let requests = self.specs[pod.spec.0 as usize].requests.clone();
        if self.waiting.contains(key) {
            self.unplanned.insert(key.clone());
        }
        let released = self.change_planned(seq, &target, |planned| {
            let was_expected = planned.pods.remove(key);
            if was_expected {
                planned.requests.subtract(&requests);
            }
            was_expected
        });
        if released == Some(true) {
            // What was set aside is free again.
            match &target {
                Target::Node(node) => self.nodes.get_mut(node).map(|node| node.changed = seq),
                Target::Claim(claim) => self.change_claim(seq, claim, |claim| claim.changed = seq),
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
        let deleting = facts.deleting;
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
        if let Some(claim) = instance.and_then(|instance| self.claims.of_instance(&instance).cloned()) {
            self.link_node(seq, &claim, &name);
        }
        if deleting && let Some(claim) = self.claims.of_node(&name).cloned() {
            self.change_claim(seq, &claim, |claim| claim.calm = false);
        }
        self.node_changed(seq, &name);
    }

    /// A node looks different.
    pub(super) fn node_changed(&mut self, seq: Seq, name: &NodeName) {
        if self.nodes.get(name).is_some_and(|node| !node.facts.ready) {
            self.unready.insert(name.clone());
        } else {
            self.unready.remove(name);
        }
        self.touch_node(seq, name);
    }

    /// How many volumes a node attaches may have made room on it.
    pub(super) fn volume_limits_changed(&mut self, seq: Seq, name: &NodeName) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.changed = seq;
            self.touch_node(seq, name);
        }
    }

    /// A volume is attached to a node.
    pub(super) fn volume_attached(&mut self, name: &Str, attachment: VolumeAttachment) {
        self.volume_detached(name);
        self.attached.entry(attachment.node.clone()).or_default().insert(name.clone());
        self.volume_attachments.insert(name.clone(), attachment);
    }

    /// A volume is attached no longer.
    pub(super) fn volume_detached(&mut self, name: &Str) {
        let Some(attachment) = self.volume_attachments.remove(name) else { return };
        let Some(names) = self.attached.get_mut(&attachment.node) else { return };
        names.remove(name);
        if names.is_empty() {
            self.attached.remove(&attachment.node);
        }
    }

    pub(super) fn node_gone(&mut self, seq: Seq, time: Time, name: &NodeName) {
        let Some(gone) = self.nodes.remove(name) else { return };
        self.awaited_nodes.remove(name);
        self.unready.remove(name);
        if self.occupancy.get(name).is_some_and(|occupancy| occupancy.pods.is_empty()) {
            self.occupancy.remove(name);
        }
        self.release_plans(time, gone.planned);
        if let Some(claim) = self.claims.of_node(name).cloned() {
            self.change_claim(seq, &claim, |claim| {
                claim.node = None;
                claim.workload_pods = 0;
                claim.calm = false;
            });
        }
        self.touched.push(seq, Target::Node(name.clone()));
    }

    /// Brings a claim and the node of its instance together.
    fn link_node(&mut self, seq: Seq, claim: &ClaimName, node: &NodeName) {
        if self.claims.get(claim).is_none_or(|claim| claim.node.is_some()) {
            return;
        }
        let workload_pods = self.occupancy.get(node).map_or(0, |occupancy| occupancy.workload_pods);
        self.change_claim(seq, claim, |claim| {
            claim.node = Some(node.clone());
            claim.workload_pods = workload_pods;
            claim.changed = seq;
        });
        self.touched.push(seq, Target::Node(node.clone()));
    }

    pub(super) fn instance_launched(&mut self, seq: Seq, name: &ClaimName, launched: Instance) {
        let capacity = self.types.get(&launched.instance_type).map(|found| found.capacity.clone());
        let instance = launched.id.clone();
        let known = self.change_claim(seq, name, |claim| {
            claim.counted = capacity.unwrap_or(std::mem::take(&mut claim.counted));
            claim.instance = Some(launched);
            claim.retry_at = None;
            claim.changed = seq;
        });
        if known.is_some() {
            self.orphans.remove(&instance);
            // The node is rarely there first.
            let node = self.nodes.values().find(|node| node.facts.instance.as_ref() == Some(&instance));
            if let Some(node) = node.map(|node| node.facts.name.clone()) {
                self.link_node(seq, name, &node);
            }
        }
        self.supply_changed = seq;
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
                self.change_claim(seq, claim, |claim| {
                    let doublings = claim.attempts.saturating_sub(1).min(5);
                    if claim.instance.is_none() {
                        claim.retry_at = Some(time + Span(first << doublings));
                    }
                });
            }
        }
    }

    pub(super) fn interrupted(&mut self, seq: Seq, time: Time, instance: &InstanceId, at: Time) {
        let Some(claim) = self.claims.of_instance(instance).cloned() else { return };
        let spot = self.change_claim(seq, &claim, |claim| {
            claim.calm = false;
            let instance = claim.instance.as_mut()?;
            instance.interruption = Some(at);
            (instance.capacity_type == CapacityType::Spot).then(|| OfferingKey {
                instance_type: instance.instance_type.clone(),
                zone: instance.zone.clone(),
                capacity_type: CapacityType::Spot,
            })
        });
        if let Some(offering) = spot.flatten() {
            self.set_unavailable(seq, offering, time + self.settings.insufficient_capacity_ttl);
        }
    }

    pub(super) fn instance_gone(&mut self, seq: Seq, time: Time, instance: &InstanceId) {
        self.gone.retain(|_, since| time.since(*since) < REMEMBER_GONE);
        self.gone.insert(instance.clone(), time);
        self.orphans.remove(instance);
        let Some(name) = self.claims.of_instance(instance).cloned() else { return };
        let removal = self.claims.get(&name).and_then(|claim| claim.disrupting.as_ref());
        if removal.is_some_and(|removal| removal.terminated.is_some()) {
            return self.remove_claim(seq, time, &name);
        }
        // Its node and its claim are still to be removed.
        let planned = self.change_claim(seq, &name, |claim| {
            claim.calm = false;
            claim.instance.iter_mut().for_each(|instance| instance.is_gone = true);
            std::mem::take(&mut claim.planned)
        });
        self.release_plans(time, planned.unwrap_or_default());
    }

    pub(super) fn remove_claim(&mut self, seq: Seq, time: Time, name: &ClaimName) {
        let Some(claim) = self.claims.remove(name) else { return };
        self.departed.retain(|_, (since, _)| time.since(*since) < REMEMBER_GONE);
        self.departed.insert(name.clone(), (time, claim.adopted));
        self.touched.push(seq, Target::Claim(name.clone()));
        if let Some(node) = claim.node {
            self.touched.push(seq, Target::Node(node));
        }
        self.release_plans(time, claim.planned);
        self.supply_changed = seq;
    }

    /// What the claims of a pool count for against its limits: resources and nodes.
    pub fn pool_usage(&self, pool: &PoolName) -> (Resources, usize) {
        let usage = self.claims.usage(pool);
        (usage.resources, usage.nodes)
    }
}
