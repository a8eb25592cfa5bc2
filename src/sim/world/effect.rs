//! Orders of the controller, as the API server and the cloud carry them out.
//!
//! **Invariant:** doing something again changes nothing, and is answered again.

use std::sync::Arc;

use purser_engine::event::Seq;
use purser_engine::model::{
    ClaimName, DoNotDisrupt, InstanceId, NodeName, PodKey, PodPhase, Span, Str, Taint, Time, Uid, label,
};
use purser_engine::port::{Effect, Observation, Order};

use super::machine::Life;
use super::outbox::Subject;
use super::{Happening, World};
use crate::check::Violation;

impl World {
    /// Sends an order. What comes of it is told by [`World::advance`], with the order's decision as its
    /// cause.
    pub fn execute(&mut self, now: Time, order: &Order) {
        self.pass_time(now.max(self.now));
        self.machines.orders += 1;
        // One latency for all, so that orders arrive in the order in which they were given.
        self.queue.push(self.now + self.faults.api_latency, Happening::Effect(Box::new(order.clone())));
    }

    /// An order arrives.
    pub(super) fn apply(&mut self, order: Order) {
        self.machines.orders -= 1;
        let cause = order.decision;
        match order.effect {
            Effect::Launch(request) => {
                self.meter.launch_orders += 1;
                self.launch(&request, cause);
            }
            Effect::Register { claim, node } => {
                self.on_node(&claim, &node, cause, |facts| {
                    facts.taints.retain(|taint| *taint != Taint::unregistered());
                    set_label(&mut facts.labels, label::REGISTERED);
                });
            }
            Effect::Initialize { claim, node } => {
                self.on_node(&claim, &node, cause, |facts| set_label(&mut facts.labels, label::INITIALIZED));
            }
            Effect::Taint { claim, node, .. } => {
                let done = self.on_node(&claim, &node, cause, |facts| {
                    if !facts.taints.contains(&Taint::disrupted()) {
                        facts.taints.push(Taint::disrupted());
                    }
                });
                if let Some(node) = done {
                    let now = self.now;
                    self.nodes.get_mut(node).marked.get_or_insert(now);
                    self.answer(Observation::Tainted(claim), Some(cause));
                }
            }
            // Here are no objects of claims.
            Effect::Adopt { .. } => {}
            // Only for people to see.
            Effect::Drain { .. } | Effect::AwaitDetachment { .. } => {}
            Effect::Untaint { claim, node } => {
                let done = self.on_node(&claim, &node, cause, |facts| {
                    facts.taints.retain(|taint| *taint != Taint::disrupted());
                });
                if let Some(node) = done {
                    self.nodes.get_mut(node).marked = None;
                }
            }
            Effect::Evict { pod, uid, force, .. } => self.evict(&pod, uid, force, cause),
            Effect::Terminate { claim, instance, .. } => self.terminate(&claim, instance.as_ref(), cause),
            Effect::Collect { instance } => self.collect(&instance, cause),
            // Nobody reads a status here.
            Effect::Notice(_) => {}
        }
    }

    /// Changes a claim's node. A node that is not there, or is another claim's by now, is left alone, and
    /// said so.
    fn on_node(
        &mut self,
        claim: &ClaimName,
        name: &NodeName,
        cause: Seq,
        change: impl FnOnce(&mut purser_engine::model::NodeFacts),
    ) -> Option<u32> {
        let own = self.nodes.find(name).filter(|node| {
            let machine = self.nodes.get(*node).machine;
            machine.is_some_and(|machine| self.machines.all[machine as usize].claim == *claim)
        });
        let Some(node) = own else {
            let message = format!("node {name} of claim {claim} is not found");
            self.answer(Observation::EffectFailed(claim.clone(), message.into()), Some(cause));
            return None;
        };
        change(&mut self.nodes.get_mut(node).facts);
        self.node_facts_changed(node, Some(cause));
        Some(node)
    }

    /// The eviction API, or the deletion of a pod.
    fn evict(&mut self, key: &PodKey, uid: Uid, force: bool, cause: Seq) {
        let Some(pod) = self.pod_names.get(key).copied().filter(|pod| self.pods[*pod as usize].uid == uid)
        else {
            // That pod is gone; a notification of it may have been lost.
            let observation = match self.pod_names.get(key) {
                Some(other) => Observation::Pod(self.pod_facts(*other)),
                None => Observation::NoPod(key.clone()),
            };
            return self.answer(observation, Some(cause));
        };
        if self.pods[pod as usize].phase == PodPhase::Terminating {
            return self.tell(Subject::Pod(pod), Some(cause));
        }
        if force {
            self.check_force(pod);
        } else if let Some(budget) = self.forbidding_budget(pod) {
            let budget: Str = self.budgets[budget as usize].facts.key.to_string().into();
            self.meter.refused_evictions += 1;
            return self.answer(Observation::EvictionBlocked(key.clone(), budget), Some(cause));
        } else if self.is_protected(pod) {
            self.violations.push(Violation::DoNotDisruptViolated { pod: key.clone(), how: "an eviction" });
        }
        if self.pods[pod as usize].phase == PodPhase::Bound {
            self.meter.evictions += 1;
        }
        self.delete_pod(pod, Some(cause));
    }

    /// Whether `karpenter.sh/do-not-disrupt` holds a pod.
    fn is_protected(&self, pod: u32) -> bool {
        let own = &self.pods[pod as usize];
        match self.classes.all[own.class as usize].spec.do_not_disrupt {
            None => false,
            Some(DoNotDisrupt::Always) => true,
            Some(DoNotDisrupt::For(span)) => own.bound.is_none_or(|bound| self.now.since(bound) < span),
        }
    }

    /// From when on pods of a node may be deleted outright.
    fn force_from(&self, node: u32, grace: Span) -> Time {
        let own = self.nodes.get(node);
        let Some(machine) = own.machine else { return Time(i64::MIN) };
        if !own.facts.ready {
            return Time(i64::MIN);
        }
        let term = self.machines.all[machine as usize].template.template.termination_grace;
        match (own.marked, term) {
            (Some(marked), Some(term)) => marked + term - grace,
            _ => Time(i64::MAX),
        }
    }

    fn check_force(&mut self, pod: u32) {
        let own = &self.pods[pod as usize];
        let Some(node) = own.node else { return };
        let grace = self.classes.all[own.class as usize].spec.termination_grace.unwrap_or(Span::ZERO);
        // The mark is set a little after the removal began; that much is not held against the controller.
        let from = self.force_from(node, grace);
        if self.now + Span::secs(30) < from {
            let (pod, now) = (own.key.clone(), self.now);
            self.violations.push(Violation::ForcedTooEarly { pod, now, from });
        }
    }

    /// The end of an instance.
    fn terminate(&mut self, claim: &ClaimName, instance: Option<&InstanceId>, cause: Seq) {
        let machine = match instance {
            Some(id) => self.machines.find(id),
            None => self.machines.of_claim(claim),
        };
        if instance.is_none() {
            // Should it start only now, it is nobody's.
            self.machines.disown(claim);
        }
        let Some(machine) = machine else {
            if let Some(id) = instance {
                self.answer(Observation::NoInstance(id.clone()), Some(cause));
            }
            return;
        };
        let own = &self.machines.all[machine as usize];
        if own.claim != *claim {
            self.violations.push(Violation::WrongInstance {
                claim: claim.clone(),
                instance: own.facts.instance.clone(),
                owner: own.claim.clone(),
            });
        }
        if own.life == Life::Running {
            self.meter.terminations += 1;
            self.check_drained(machine);
        }
        self.stop_machine(machine, Some(cause));
    }

    /// The end of an instance that the controller has no claim for.
    fn collect(&mut self, instance: &InstanceId, cause: Seq) {
        let Some(machine) = self.machines.find(instance) else {
            return self.answer(Observation::NoInstance(instance.clone()), Some(cause));
        };
        if self.machines.all[machine as usize].life == Life::Running {
            self.meter.terminations += 1;
        }
        self.stop_machine(machine, Some(cause));
    }

    /// Whether the pods that an instance takes with it may go.
    fn check_drained(&mut self, machine: u32) {
        let Some(node) = self.machines.all[machine as usize].node.filter(|node| !self.nodes.get(*node).gone)
        else {
            return;
        };
        if self.now + Span::secs(30) >= self.force_from(node, Span::ZERO) {
            return;
        }
        for pod in self.nodes.get(node).pods.clone() {
            let own = &self.pods[pod as usize];
            let spec = Arc::clone(&self.classes.all[own.class as usize].spec);
            // A binding of which the controller could not know, as its notification was lost, is not held against
            // it.
            if own.phase != PodPhase::Bound
                || !own.told_bound
                || self.is_daemon_class(own.class)
                || Taint::disrupted().is_tolerated_by(&spec.tolerations)
            {
                continue;
            }
            let key = own.key.clone();
            if self.is_protected(pod) {
                self.violations
                    .push(Violation::DoNotDisruptViolated { pod: key, how: "the end of its instance" });
            } else if let Some(budget) = self.forbidding_budget(pod) {
                let budget = self.budgets[budget as usize].facts.key.clone();
                let how = "the end of its instance";
                self.violations.push(Violation::BudgetViolated { pod: key, budget, how });
            }
        }
    }
}

fn set_label(labels: &mut Arc<purser_engine::model::Labels>, key: &str) {
    if labels.get(key).is_none_or(|value| &**value != "true") {
        Arc::make_mut(labels).insert(key.into(), "true".into());
    }
}
