//! From decisions to orders: what each asks of the world.
//!
//! **Invariant:** an order is a function of its decision and of what State keeps of the claim, so the order that goes out again after a
//! restart is the one that went out before.

use std::sync::Arc;

use crate::event::{Decision, Seq};
use crate::model::{PodPhase, Taint, label};
use crate::port::{Effect, Input, LaunchRequest, Observation, Order};
use crate::state::{Claim, State};

/// What a decision asks of the world, if it asks anything. State has the decision folded in.
pub fn order(state: &State, seq: Seq, decision: &Decision) -> Option<Order> {
    let node_of = |claim: &_| state.claims.get(claim).and_then(|claim| claim.node.clone());
    let effect = match decision {
        Decision::Launch { claim, .. }
        | Decision::LaunchAdopted { claim, .. }
        | Decision::Relaunch { claim, .. } => Effect::Launch(request(state.claims.get(claim)?)),
        Decision::Adopt { claim, .. } => {
            let hash = state.claims.get(claim)?.template.hash.clone();
            Effect::Adopt { claim: claim.clone(), hash }
        }
        Decision::Register { claim, node } => Effect::Register { claim: claim.clone(), node: node.clone() },
        Decision::Initialize { claim, node } => {
            Effect::Initialize { claim: claim.clone(), node: node.clone() }
        }
        Decision::Taint { claim } => {
            let reason = state.claims.get(claim)?.disrupting.as_ref()?.reason;
            Effect::Taint { claim: claim.clone(), node: node_of(claim)?, reason }
        }
        Decision::Drain { claim, deadline } => Effect::Drain { claim: claim.clone(), deadline: *deadline },
        Decision::Untaint { claim } => Effect::Untaint { claim: claim.clone(), node: node_of(claim)? },
        Decision::Evict { claim, pod, uid, force } => {
            let deadline = state.claims.get(claim).and_then(Claim::removal_deadline);
            Effect::Evict { pod: pod.clone(), uid: *uid, force: *force, deadline }
        }
        Decision::AwaitDetachment { claim, .. } => Effect::AwaitDetachment { claim: claim.clone() },
        Decision::Terminate { claim, instance, attached } => Effect::Terminate {
            claim: claim.clone(),
            instance: instance.clone(),
            node: node_of(claim),
            attached: *attached,
        },
        Decision::GarbageCollect { instance } => Effect::Collect { instance: instance.clone() },
        Decision::Nominate { .. }
        | Decision::Unschedulable { .. }
        | Decision::Disrupt { .. }
        | Decision::AbandonDisruption { .. }
        | Decision::RejectCandidate { .. }
        | Decision::BindingDiverged { .. }
        | Decision::Repair { .. }
        | Decision::Expire { .. }
        | Decision::Drift { .. } => return None,
    };
    Some(Order { decision: seq, effect })
}

/// The request for a claim's instance; always the same for one claim.
fn request(claim: &Claim) -> LaunchRequest {
    LaunchRequest {
        claim: claim.name.clone(),
        pool: claim.pool.clone(),
        is_adopted: claim.adopted.is_some(),
        template: Arc::clone(&claim.template),
        requests: claim.requests.clone(),
        requirements: claim.requirements.clone(),
        places: claim.places.clone(),
        options: claim.options.clone(),
    }
}

/// Orders whose outcome the log does not have: they may or may not have gone out before the controller stopped.
pub(super) fn outstanding(state: &State) -> Vec<Order> {
    let mut orders = Vec::new();
    for claim in state.claims.values() {
        let Some(disrupting) = &claim.disrupting else {
            of_arriving(state, claim, &mut orders);
            continue;
        };
        let mut push = |effect| orders.push(Order { decision: disrupting.decision, effect });
        let node = claim.node.as_ref().filter(|node| state.nodes.contains_key(*node));
        if disrupting.terminated.is_some() {
            push(Effect::Terminate {
                claim: claim.name.clone(),
                instance: claim.instance.as_ref().map(|instance| instance.id.clone()),
                node: claim.node.clone(),
                attached: disrupting.attached.unwrap_or(0),
            });
            continue;
        }
        if let Some(node) = node
            && disrupting.taint_asked
            && !(disrupting.tainted.is_some() && state.is_marked(node))
        {
            let reason = disrupting.reason;
            push(Effect::Taint { claim: claim.name.clone(), node: node.clone(), reason });
        }
        if let Some(deadline) = disrupting.draining {
            push(Effect::Drain { claim: claim.name.clone(), deadline });
        }
        for (key, eviction) in disrupting.evictions.iter().filter(|(_, eviction)| !eviction.blocked) {
            match state.pods.get(key) {
                Some(pod) if pod.phase == PodPhase::Bound || eviction.forced => {
                    push(Effect::Evict {
                        pod: key.clone(),
                        uid: pod.uid,
                        force: eviction.forced,
                        deadline: claim.removal_deadline(),
                    });
                }
                _ => {}
            }
        }
        if disrupting.attached.is_some() {
            push(Effect::AwaitDetachment { claim: claim.name.clone() });
        }
    }
    for (instance, _) in state.orphans.iter().filter(|(_, orphan)| orphan.collected) {
        orders.push(Order { decision: Seq(0), effect: Effect::Collect { instance: instance.clone() } });
    }
    orders
}

/// Orders whose outcome is not to be seen in claims that were just seen, though it was decided long ago: the controller was killed between
/// two writes, or the cluster has gone back in time. Where one is under way still, what it writes is written once all the same.
pub(super) fn unwritten(state: &State, inputs: &[Input]) -> Vec<Order> {
    let mut orders = Vec::new();
    for input in inputs {
        let Observation::NodeClaim(facts) = &input.observation else { continue };
        let Some(claim) = state.claims.get(&facts.name) else { continue };
        if claim.disrupting.is_some() || claim.deleted.is_some() || facts.deleted.is_some() {
            continue;
        }
        let Some(node) = claim.node.as_ref().filter(|node| state.nodes.contains_key(*node)) else { continue };
        let mut push = |effect| orders.push(Order { decision: claim.launch, effect });
        if claim.registered.is_some() && !facts.registered {
            push(Effect::Register { claim: claim.name.clone(), node: node.clone() });
        }
        if claim.initialized.is_some() && !facts.initialized {
            push(Effect::Initialize { claim: claim.name.clone(), node: node.clone() });
        }
    }
    orders
}

fn of_arriving(state: &State, claim: &Claim, orders: &mut Vec<Order>) {
    let mut push = |effect| orders.push(Order { decision: claim.launch, effect });
    if claim.adopted.is_some() && claim.initialized.is_none() {
        // What others made of it to the end has what this gives it.
        push(Effect::Adopt { claim: claim.name.clone(), hash: claim.template.hash.clone() });
    }
    if claim.instance.is_none() {
        if claim.retry_at.is_none() && !claim.options.is_empty() {
            push(Effect::Launch(request(claim)));
        }
        return;
    }
    let Some(node) = claim.node.as_ref().and_then(|node| state.nodes.get(node)) else { return };
    let name = &node.facts.name;
    if claim.registered.is_some() && node.facts.taints.contains(&Taint::unregistered()) {
        push(Effect::Register { claim: claim.name.clone(), node: name.clone() });
    }
    if claim.initialized.is_some() && !node.facts.labels.contains_key(label::INITIALIZED) {
        push(Effect::Initialize { claim: claim.name.clone(), node: name.clone() });
    }
    if state.is_marked(name) {
        // A removal was given up and the mark is still there.
        push(Effect::Untaint { claim: claim.name.clone(), node: name.clone() });
    }
}
