//! The fold of decisions.

use std::sync::Arc;

use super::{Claim, Disrupting, Eviction, Plan, Planned, State};
use crate::event::{Decision, Seq, Target};
use crate::model::Time;

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
                let floor = options
                    .iter()
                    .filter_map(|option| self.types.get(&option.instance_type))
                    .map(|instance_type| instance_type.allocatable())
                    .reduce(|a, b| a.elementwise_min(&b))
                    .unwrap_or_default();
                let launched = Claim {
                    name: claim.clone(),
                    pool: pool.clone(),
                    template,
                    launch: seq,
                    created: time,
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
                self.claims.insert(claim.clone(), launched);
                self.nominate(seq, time, &Target::Claim(claim.clone()), pods);
            }
            Decision::Relaunch { claim, attempt } => {
                if let Some(claim) = self.claims.get_mut(claim) {
                    claim.attempts = *attempt;
                    claim.retry_at = None;
                }
            }
            Decision::Nominate { target, pods } => self.nominate(seq, time, target, pods),
            Decision::Unschedulable { pods, reason } => {
                for key in pods {
                    self.release(time, key);
                    if let Some(pod) = self.pods.get_mut(key) {
                        pod.plan = Plan::Unschedulable { reason: reason.clone(), decision: seq };
                    }
                }
            }
            Decision::Register { claim, .. } => {
                if let Some(claim) = self.claims.get_mut(claim) {
                    claim.registered = Some(time);
                    claim.changed = seq;
                }
            }
            Decision::Initialize { claim, .. } => {
                if let Some(claim) = self.claims.get_mut(claim) {
                    claim.initialized = Some(time);
                    claim.changed = seq;
                    claim.calm = true;
                }
            }
            Decision::Disrupt { reason, candidates, .. } => {
                self.supply_changed = seq;
                for name in candidates {
                    let Some(claim) = self.claims.get_mut(name) else { continue };
                    claim.calm = false;
                    claim.disrupting = Some(Disrupting {
                        reason: *reason,
                        since: time,
                        decision: seq,
                        taint_asked: false,
                        tainted: false,
                        draining: None,
                        evictions: Default::default(),
                        terminated: None,
                    });
                    let planned = std::mem::take(&mut claim.planned);
                    self.release_plans(time, planned);
                }
            }
            Decision::AbandonDisruption { claim, .. } => {
                if let Some(claim) = self.claims.get_mut(claim) {
                    claim.disrupting = None;
                    claim.changed = seq;
                }
            }
            Decision::Taint { claim } => {
                if let Some(disrupting) =
                    self.claims.get_mut(claim).and_then(|claim| claim.disrupting.as_mut())
                {
                    disrupting.taint_asked = true;
                }
            }
            Decision::Drain { claim, deadline } => {
                if let Some(disrupting) =
                    self.claims.get_mut(claim).and_then(|claim| claim.disrupting.as_mut())
                {
                    disrupting.draining = Some(*deadline);
                }
            }
            Decision::Evict { claim, pod, force, .. } => {
                if let Some(disrupting) =
                    self.claims.get_mut(claim).and_then(|claim| claim.disrupting.as_mut())
                {
                    let eviction = disrupting.evictions.entry(pod.clone()).or_insert(Eviction {
                        attempts: 0,
                        asked: time,
                        blocked: false,
                        forced: false,
                    });
                    eviction.attempts += 1;
                    eviction.asked = time;
                    eviction.blocked = false;
                    eviction.forced |= *force;
                }
            }
            Decision::Terminate { claim, .. } => {
                let Some(found) = self.claims.get_mut(claim) else { return };
                if found.instance.is_none() {
                    // There is nothing to wait for. Should an instance appear after all, it is an orphan.
                    self.remove_claim(seq, time, claim);
                } else if let Some(disrupting) = &mut found.disrupting {
                    disrupting.terminated = Some(time);
                }
            }
            Decision::GarbageCollect { instance } => {
                if let Some(orphan) = self.orphans.get_mut(instance) {
                    orphan.collected = true;
                }
            }
            // Said for the record; what follows from them is decided by itself.
            Decision::Untaint { .. }
            | Decision::RejectCandidate { .. }
            | Decision::Repair { .. }
            | Decision::Expire { .. }
            | Decision::Drift { .. }
            | Decision::Adopt { .. } => {}
        }
    }
}
