//! The fold of decisions.

use std::sync::Arc;

use super::{Claim, Disrupting, Eviction, Plan, Planned, State};
use crate::event::{Decision, LaunchOption, Seq, Target};
use crate::model::{Resources, Time};

impl State {
    pub(super) fn apply_decision(&mut self, seq: Seq, time: Time, decision: &Decision) {
        match decision {
            Decision::Launch {
                claim,
                pool,
                hash: _,
                requirements,
                requests,
                pods,
                places,
                options,
                reserved,
                considered: _,
            } => {
                self.launches += 1;
                let Some(template) = self.pools.get(pool).map(|pool| Arc::clone(&pool.facts)) else { return };
                let of_pods = pods
                    .iter()
                    .filter_map(|pod| self.pods.get(pod))
                    .map(|pod| &self.specs[pod.spec.0 as usize].requests);
                let daemons = of_pods.fold(requests.clone(), |rest, pod| rest.minus(pod));
                self.supply_changed = seq;
                let floor = self.floor(options);
                let launched = Claim {
                    name: claim.clone(),
                    pool: Some(pool.clone()),
                    adopted: None,
                    template,
                    launch: seq,
                    created: time,
                    asked: time,
                    deleted: None,
                    deadline: None,
                    requirements: requirements.clone(),
                    requests: requests.clone(),
                    places: places.clone(),
                    options: options.clone(),
                    daemons,
                    floor,
                    counted: reserved.clone(),
                    changed: seq,
                    planned: Planned::default(),
                    attempts: 1,
                    retry_at: None,
                    instance: None,
                    node: None,
                    registered: None,
                    initialized: None,
                    disrupting: None,
                    workload_pods: 0,
                    calm: false,
                };
                self.claims.insert(launched);
                self.nominate(seq, time, &Target::Claim(claim.clone()), pods);
            }
            Decision::Adopt { claim, instance } => self.take_over(seq, time, claim, instance.as_ref()),
            Decision::LaunchAdopted { claim, places, options, reserved, considered: _ } => {
                let floor = self.floor(options);
                self.supply_changed = seq;
                self.change_claim(seq, claim, |claim| {
                    claim.launch = seq;
                    claim.asked = time;
                    claim.places.clone_from(places);
                    claim.options.clone_from(options);
                    claim.floor = floor;
                    claim.counted = reserved.clone();
                    claim.changed = seq;
                });
            }
            Decision::Relaunch { claim, attempt } => {
                self.change_claim(seq, claim, |claim| {
                    claim.attempts = *attempt;
                    claim.retry_at = None;
                });
            }
            Decision::Nominate { target, pods } => self.nominate(seq, time, target, pods),
            Decision::Unschedulable { pods, reason } => {
                for key in pods {
                    self.release(seq, time, key);
                    if let Some(pod) = self.pods.get_mut(key) {
                        pod.plan = Plan::Unschedulable { reason: reason.clone(), decision: seq };
                    }
                }
            }
            Decision::Register { claim, .. } => {
                self.change_claim(seq, claim, |claim| {
                    claim.registered = Some(time);
                    claim.changed = seq;
                });
            }
            Decision::Initialize { claim, .. } => {
                self.change_claim(seq, claim, |claim| {
                    claim.initialized = Some(time);
                    claim.changed = seq;
                    claim.calm = true;
                });
            }
            Decision::Disrupt { reason, candidates, .. } => {
                self.supply_changed = seq;
                for name in candidates {
                    let planned = self.change_claim(seq, name, |claim| {
                        claim.calm = false;
                        claim.disrupting = Some(Disrupting {
                            reason: *reason,
                            since: time,
                            decision: seq,
                            taint_asked: false,
                            tainted: None,
                            draining: None,
                            evictions: Default::default(),
                            attached: None,
                            terminated: None,
                        });
                        std::mem::take(&mut claim.planned)
                    });
                    self.release_plans(time, planned.unwrap_or_default());
                }
            }
            Decision::AbandonDisruption { claim, .. } => {
                self.change_claim(seq, claim, |claim| {
                    claim.disrupting = None;
                    claim.changed = seq;
                });
            }
            Decision::Taint { claim } => {
                self.change_removal(seq, claim, |removal| removal.taint_asked = true);
            }
            Decision::Drain { claim, deadline } => {
                self.change_removal(seq, claim, |removal| removal.draining = Some(*deadline));
            }
            Decision::Evict { claim, pod, force, .. } => self.change_removal(seq, claim, |removal| {
                let never = Eviction { attempts: 0, asked: time, blocked: false, forced: false };
                let eviction = removal.evictions.entry(pod.clone()).or_insert(never);
                eviction.attempts += 1;
                eviction.asked = time;
                eviction.blocked = false;
                eviction.forced |= *force;
            }),
            Decision::AwaitDetachment { claim, attached } => {
                self.change_removal(seq, claim, |removal| removal.attached = Some(*attached));
            }
            Decision::Terminate { claim, attached, .. } => {
                if self.claims.get(claim).is_some_and(|claim| claim.instance.is_none()) {
                    // There is nothing to wait for. Should an instance appear after all, it is an orphan.
                    self.remove_claim(seq, time, claim);
                } else {
                    self.change_removal(seq, claim, |removal| {
                        removal.attached = Some(*attached);
                        removal.terminated = Some(time);
                    });
                }
            }
            Decision::GarbageCollect { instance } => {
                if let Some(orphan) = self.orphans.get_mut(instance) {
                    orphan.collected = true;
                }
            }
            Decision::BindingDiverged { pod, .. } => self.diverged.retain(|one| one.pod != *pod),
            // Said for the record; what follows from them is decided by itself.
            Decision::Untaint { .. }
            | Decision::RejectCandidate { .. }
            | Decision::Repair { .. }
            | Decision::Expire { .. }
            | Decision::Drift { .. } => {}
        }
    }

    /// What any of the options of a launch offers to pods at least.
    fn floor(&self, options: &[LaunchOption]) -> Resources {
        let types = options.iter().filter_map(|option| self.types.get(&option.instance_type));
        let offered = types.map(|instance_type| instance_type.allocatable());
        offered.reduce(|a, b| a.elementwise_min(&b)).unwrap_or_default()
    }
}
