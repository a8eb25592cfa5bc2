//! The fold: what each record changes.

use std::sync::Arc;

use super::{
    Buffer, DisruptionBudget, Instance, NodeClass, NodeOverlay, Orphan, Plan, Pod, Pool, State,
    VolumeAttachment, VolumeClaim,
};
use crate::event::{Control, Event, Fact, Seq};
use crate::model::{NodeFacts, PodPhase, Time};

impl State {
    /// Folds in the next record.
    pub fn apply(&mut self, time: Time, event: &Event) {
        let seq = Seq(self.size);
        self.size += 1;
        self.now = time;
        match event {
            Event::Control(control) => self.apply_control(seq, control),
            Event::Fact(fact) => self.apply_fact(seq, time, fact),
            Event::Decision(decision) => self.apply_decision(seq, time, decision),
        }
    }

    fn apply_control(&mut self, seq: Seq, control: &Control) {
        match control {
            Control::LogStarted { origin, .. } => self.origin = origin.clone(),
            Control::ControllerStarted { term, .. } | Control::LeadershipAcquired { term, .. } => {
                self.term = *term;
                self.stopped = false;
                // What is listed at a start is how things are.
                self.departed.clear();
            }
            Control::ControllerStopped { .. } | Control::LeadershipLost { .. } => self.stopped = true,
            Control::SettingsChanged { settings } => {
                self.settings = settings.clone();
                self.offers_changed = seq;
            }
            Control::JournalRecovered { .. }
            | Control::JournalResumed { .. }
            | Control::RetentionApplied { .. }
            | Control::Heartbeat
            | Control::OperatorCommand { .. }
            | Control::Relisted { .. }
            | Control::TimePassed => {}
        }
    }

    fn apply_fact(&mut self, seq: Seq, time: Time, fact: &Fact) {
        match fact {
            Fact::PodSpecDefined { id, spec } => {
                debug_assert_eq!(id.0 as usize, self.specs.len(), "spec numbers are dense");
                self.specs.push(Arc::clone(spec));
                self.spec_ids.insert(Arc::clone(spec), *id);
            }
            Fact::LabelSetDefined { id, labels } => {
                debug_assert_eq!(id.0 as usize, self.label_sets.len(), "label set numbers are dense");
                self.label_sets.push(Arc::clone(labels));
                self.label_set_ids.insert(Arc::clone(labels), *id);
            }
            Fact::PodObserved { pod, uid, spec, created, phase, node } => {
                let waited = self.waited(pod);
                let same = self.pods.get(pod).is_some_and(|known| known.uid == *uid);
                if let Some(node) = node.as_ref().filter(|_| same) {
                    self.diverged.extend(self.divergence(pod, node));
                }
                self.detach(seq, time, pod);
                let facts = Pod {
                    uid: *uid,
                    spec: *spec,
                    created: *created,
                    phase: *phase,
                    node: node.clone(),
                    started: None,
                    ends: None,
                    waiting_since: time,
                    plan: Plan::None,
                    claims: Vec::new(),
                };
                self.pods.insert(pod.clone(), facts);
                self.attach(seq, time, pod);
                self.make_way(seq, time, pod, &waited);
            }
            Fact::PodBound { pod, node } => {
                let waited = self.waited(pod);
                self.diverged.extend(self.divergence(pod, node));
                self.change_pod(seq, time, pod, |pod| {
                    pod.node = Some(node.clone());
                    pod.phase = PodPhase::Bound;
                });
                self.make_way(seq, time, pod, &waited);
            }
            Fact::PodPhaseChanged { pod, phase, started, ends } => {
                let times = |pod: &mut Pod| (pod.started, pod.ends) = (*started, *ends);
                match self.pods.get_mut(pod) {
                    // It comes and goes nowhere by this.
                    Some(known) if known.phase == *phase => times(known),
                    _ => self.change_pod(seq, time, pod, |pod| {
                        pod.phase = *phase;
                        times(pod);
                    }),
                }
            }
            Fact::PodDeleted { pod } => {
                self.detach(seq, time, pod);
                self.pods.remove(pod);
            }
            Fact::NodeObserved {
                node,
                instance,
                labels,
                taints,
                allocatable,
                ready,
                unschedulable,
                do_not_disrupt,
                created,
                deleting,
            } => {
                let facts = NodeFacts {
                    name: node.clone(),
                    instance: instance.clone(),
                    labels: Arc::clone(&self.label_sets[labels.0 as usize]),
                    taints: taints.clone(),
                    allocatable: allocatable.clone(),
                    ready: *ready,
                    unschedulable: *unschedulable,
                    do_not_disrupt: *do_not_disrupt,
                    created: *created,
                    deleting: *deleting,
                };
                self.observe_node(seq, facts);
            }
            Fact::NodeReadinessChanged { node, ready } => {
                if let Some(found) = self.nodes.get_mut(node) {
                    found.facts.ready = *ready;
                    found.changed = seq;
                    self.node_changed(seq, node);
                }
            }
            Fact::NodeConditionChanged { node, condition, status, since } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.conditions.insert(condition.clone(), (status.clone(), *since));
                }
            }
            Fact::NodeDeleted { node } => self.node_gone(seq, time, node),
            Fact::NodeClaimObserved { claim } => self.observe_claim(seq, claim),
            Fact::NodeClaimDeleted { claim } => self.claim_vanished(seq, time, claim),
            Fact::NodePoolObserved { pool } => {
                self.pools.insert(pool.name.clone(), Pool { facts: Arc::clone(pool), changed: seq });
                self.offers_changed = seq;
            }
            Fact::NodePoolDeleted { pool } => {
                self.pools.remove(pool);
                self.offers_changed = seq;
            }
            Fact::NodeClassObserved { kind, class, hash, ready, message } => {
                let facts = NodeClass { hash: hash.clone(), ready: *ready, message: message.clone() };
                self.classes.insert((kind.clone(), class.clone()), facts);
                self.offers_changed = seq;
            }
            Fact::NodeClassDeleted { kind, class } => {
                self.classes.remove(&(kind.clone(), class.clone()));
                self.offers_changed = seq;
            }
            Fact::NodeOverlayObserved { name, weight, requirements, price, price_adjustment, capacity } => {
                let overlay = NodeOverlay {
                    weight: *weight,
                    requirements: requirements.clone(),
                    price: *price,
                    price_adjustment: price_adjustment.clone(),
                    capacity: capacity.clone(),
                };
                self.overlays.insert(name.clone(), overlay);
                self.offers_changed = seq;
            }
            Fact::NodeOverlayDeleted { name } => {
                self.overlays.remove(name);
                self.offers_changed = seq;
            }
            Fact::DaemonSetObserved { daemon_set, spec } => {
                self.daemon_sets.insert(daemon_set.clone(), *spec);
                self.offers_changed = seq;
            }
            Fact::DaemonSetDeleted { daemon_set } => {
                self.daemon_sets.remove(daemon_set);
                self.offers_changed = seq;
            }
            Fact::DisruptionBudgetObserved {
                budget,
                selector,
                disruptions_allowed,
                always_allow_unhealthy,
            } => {
                let facts = DisruptionBudget {
                    selector: selector.clone(),
                    disruptions_allowed: *disruptions_allowed,
                    always_allow_unhealthy: *always_allow_unhealthy,
                };
                self.disruption_budgets.insert(budget.clone(), facts);
            }
            Fact::DisruptionBudgetDeleted { budget } => {
                self.disruption_budgets.remove(budget);
            }
            Fact::VolumeClaimObserved { claim, topologies, driver, problem } => {
                let facts = VolumeClaim {
                    topologies: topologies.clone(),
                    driver: driver.clone(),
                    problem: problem.clone(),
                };
                let driver = facts.driver.clone();
                let before = self.volume_claims.insert(claim.clone(), facts);
                // How full nodes are of volumes depends on the driver alone.
                if before.is_some_and(|before| before.driver == driver) {
                    self.supply_changed = seq;
                } else {
                    self.offers_changed = seq;
                }
            }
            Fact::VolumeClaimDeleted { claim } => {
                self.volume_claims.remove(claim);
                self.offers_changed = seq;
            }
            Fact::InstanceTypeObserved { instance_type } => {
                self.types.insert(instance_type.name.clone(), Arc::clone(instance_type));
                self.offers_changed = seq;
            }
            Fact::InstanceTypeRemoved { instance_type } => {
                self.types.remove(instance_type);
                self.offers_changed = seq;
            }
            Fact::CatalogueObserved { digest, .. } => self.catalogue = digest.clone(),
            Fact::PriceChanged { offering, price } => {
                if let Some(instance_type) = self.types.get_mut(&offering.instance_type) {
                    for offer in &mut Arc::make_mut(instance_type).offerings {
                        if offer.zone == offering.zone && offer.capacity_type == offering.capacity_type {
                            offer.price = *price;
                        }
                    }
                }
                self.offers_changed = seq;
            }
            Fact::OfferingUnavailable { offering, until } => {
                self.set_unavailable(seq, offering.clone(), *until)
            }
            Fact::InstanceLaunched { claim, instance, instance_type, zone, capacity_type, price } => {
                let launched = Instance {
                    id: instance.clone(),
                    instance_type: instance_type.clone(),
                    zone: zone.clone(),
                    capacity_type: *capacity_type,
                    price: *price,
                    launched: time,
                    interruption: None,
                    is_gone: false,
                };
                self.instance_launched(seq, claim, launched);
            }
            Fact::LaunchFailed { claim, failure } => self.launch_failed(seq, time, claim, failure),
            Fact::InstanceObserved { instance, claim, .. } => {
                let orphan = Orphan { claim: claim.clone(), seen: time, collected: false };
                self.orphans.insert(instance.clone(), orphan);
            }
            Fact::InstanceGone { instance } => self.instance_gone(seq, time, instance),
            Fact::InterruptionNotice { instance, at, .. } => self.interrupted(seq, time, instance, *at),
            Fact::EvictionBlocked { pod, .. } => {
                let node = self.pods.get(pod).and_then(|pod| pod.node.as_ref());
                let Some(claim) = node.and_then(|node| self.claims.of_node(node)).cloned() else { return };
                self.change_removal(seq, &claim, |removal| {
                    if let Some(eviction) = removal.evictions.get_mut(pod) {
                        eviction.blocked = true;
                    }
                });
            }
            Fact::NodeTainted { claim } => {
                self.change_removal(seq, claim, |removal| removal.tainted = Some(time));
            }
            // The effect's executor tries again by itself; the record is for people.
            Fact::EffectFailed { .. } => {}
            Fact::NamespaceObserved { namespace, labels } => {
                self.namespaces.insert(namespace.clone(), labels.clone());
                self.supply_changed = seq;
            }
            Fact::NamespaceDeleted { namespace } => {
                self.namespaces.remove(namespace);
                self.supply_changed = seq;
            }
            Fact::VolumeLimitsObserved { node, limits } => {
                self.volume_limits.insert(node.clone(), limits.clone());
                self.volume_limits_changed(seq, node);
            }
            Fact::VolumeLimitsDeleted { node } => {
                self.volume_limits.remove(node);
                self.volume_limits_changed(seq, node);
            }
            Fact::CapacityBufferObserved { buffer, spec, replicas } => {
                self.buffers.insert(buffer.clone(), Buffer { spec: *spec, replicas: *replicas });
                self.offers_changed = seq;
            }
            Fact::CapacityBufferDeleted { buffer } => {
                self.buffers.remove(buffer);
                self.offers_changed = seq;
            }
            Fact::VolumeAttachmentObserved { attachment, node, volume, claim } => {
                let facts =
                    VolumeAttachment { node: node.clone(), volume: volume.clone(), claim: claim.clone() };
                self.volume_attached(attachment, facts);
            }
            Fact::VolumeAttachmentDeleted { attachment, .. } => self.volume_detached(attachment),
            Fact::DeviceSelectorDefined { .. }
            | Fact::ClaimKindDefined { .. }
            | Fact::ResourceClaimObserved { .. }
            | Fact::ResourceClaimDeleted { .. }
            | Fact::ClaimTemplateObserved { .. }
            | Fact::ClaimTemplateDeleted { .. }
            | Fact::PodClaimsObserved { .. }
            | Fact::DevicePoolObserved { .. }
            | Fact::DevicePoolDeleted { .. }
            | Fact::WideSelectorsObserved { .. } => self.apply_device_fact(seq, fact),
        }
    }
}
