//! Claims on their way in and on their way out: registration, initialisation, time-outs, expiry, interruption, termination, and
//! instances that nobody claims. How a node is emptied is in [`drain`].
//!
//! Source: Karpenter, pkg/controllers/nodeclaim/{lifecycle,expiration,garbagecollection} and pkg/controllers/node/termination.
//!
//! **Invariant:** an instance with a node is stopped only when its node is marked and no pod that can leave and no volume of such is left on it, or
//! its deadline has come.

use super::{Pass, adopt, drain};
use crate::event::{Decision, Seq};
use crate::model::{ClaimFacts, DisruptionReason, NodeFacts, Price, Span, Taint};
use crate::reason::{Reason, ReasonId};
use crate::state::{Claim, Disrupting};

/// So long after a node was marked pods may still show up on it: the scheduler chose it for them before it saw the mark, and binds them
/// after. Karpenter does not wait, and evicts them.
const BINDING_LAG: Span = Span::secs(1);

/// Decides what is due for claims, whatever pods want.
pub(super) fn decide(pass: &mut Pass<'_>) {
    let state = pass.state;
    for facts in state.strangers.values() {
        adopt(pass, facts);
    }
    for claim in state.claims.restless() {
        match &claim.disrupting {
            Some(disrupting) => depart(pass, claim, disrupting),
            None => arrive(pass, claim),
        }
    }
    for (_, claim) in state.claims.by_expiry() {
        if !expire(pass, claim) {
            break;
        }
    }
    for (instance, orphan) in state.orphans.iter().filter(|(_, orphan)| !orphan.collected) {
        if pass.is_due(orphan.seen + state.settings.garbage_collect_after) {
            pass.decisions.push(Decision::GarbageCollect { instance: instance.clone() });
        }
    }
}

/// Takes over a claim that others made, and goes on with it where they stopped.
fn adopt(pass: &mut Pass<'_>, facts: &ClaimFacts) {
    let state = pass.state;
    let instance = state.instance_of_stranger(facts);
    let claim = state.taken_over(Seq(state.size), pass.now, facts, instance.as_ref());
    pass.decisions.push(Decision::Adopt { claim: facts.name.clone(), instance });
    if !claim.calm {
        arrive(pass, &claim);
    }
}

/// A claim that is to stay: helps it along, or finds that it has to go.
fn arrive(pass: &mut Pass<'_>, claim: &Claim) {
    let settings = &pass.state.settings;
    if claim.deleted.is_some() {
        return remove(pass, claim, DisruptionReason::Deleted);
    }
    let Some(instance) = &claim.instance else {
        if claim.adopted.is_some() && claim.options.is_empty() {
            adopt::launch(pass, claim);
        } else if pass.is_due(claim.asked + settings.launch_timeout) {
            remove(pass, claim, DisruptionReason::LaunchTimeout);
        } else if let Some(at) = claim.retry_at
            && pass.is_due(at)
        {
            pass.decisions
                .push(Decision::Relaunch { claim: claim.name.clone(), attempt: claim.attempts + 1 });
        }
        return;
    };
    if instance.is_gone {
        return remove(pass, claim, DisruptionReason::GarbageCollected);
    }
    if instance.interruption.is_some() {
        return remove(pass, claim, DisruptionReason::Interrupted);
    }
    let Some(node) = claim.node.as_ref().and_then(|name| pass.state.nodes.get(name)) else {
        if claim.registered.is_some() {
            remove(pass, claim, DisruptionReason::Deleted);
        } else if pass.is_due(instance.launched.max(claim.asked) + settings.registration_timeout) {
            remove(pass, claim, DisruptionReason::RegistrationTimeout);
        }
        return;
    };
    if node.facts.deleting {
        return remove(pass, claim, DisruptionReason::Deleted);
    }
    if expire(pass, claim) {
        return;
    }
    if claim.registered.is_none() {
        pass.decisions.push(Decision::Register { claim: claim.name.clone(), node: node.facts.name.clone() });
    } else if claim.initialized.is_none() && is_set_up(claim, &node.facts) {
        pass.decisions
            .push(Decision::Initialize { claim: claim.name.clone(), node: node.facts.name.clone() });
    } else if claim.workload_pods == 0
        && claim.planned.pods.is_empty()
        && let Some(due) = pass.state.set_up_due(claim)
        && pass.is_due(due)
    {
        // Nobody is sent there any more and nobody is there: it would only cost.
        remove(pass, claim, DisruptionReason::Unhealthy);
    }
}

/// Begins the removal of a node that has reached its age.
fn expire(pass: &mut Pass<'_>, claim: &Claim) -> bool {
    let Some(expire_after) = claim.template.template.expire_after else { return false };
    if !pass.is_due(claim.created + expire_after) {
        return false;
    }
    let age = pass.now.since(claim.created);
    pass.decisions.push(Decision::Expire { claim: claim.name.clone(), age });
    remove(pass, claim, DisruptionReason::Expired);
    true
}

/// Ready, startup taints gone, known ephemeral taints gone, and every resource that is asked for there.
fn is_set_up(claim: &Claim, node: &NodeFacts) -> bool {
    let startup = |taint: &Taint| {
        claim
            .template
            .template
            .startup_taints
            .iter()
            .any(|own| own.key == taint.key && own.effect == taint.effect)
    };
    node.ready
        && !node.taints.iter().any(|taint| taint.is_ephemeral() || startup(taint))
        && claim.requests.iter().all(|(resource, _)| node.allocatable.get(resource) != 0)
}

/// Begins a removal that no budget holds up, and its first step.
pub(super) fn remove(pass: &mut Pass<'_>, claim: &Claim, reason: DisruptionReason) {
    pass.leaving.insert(claim.name.clone());
    pass.decisions.push(Decision::Disrupt {
        reason,
        candidates: vec![claim.name.clone()],
        replacements: Vec::new(),
        savings: claim.instance.as_ref().map_or(Price(0), |instance| instance.price),
        allowed: None,
        used: 0,
    });
    begin(pass, claim);
}

/// The first step of a removal: mark the node, or stop the instance where there is none or where nothing runs on it any more.
pub(super) fn begin(pass: &mut Pass<'_>, claim: &Claim) {
    let claim_name = claim.name.clone();
    let is_gone = claim.instance.as_ref().is_some_and(|instance| instance.is_gone);
    if !is_gone && claim.node.as_ref().is_some_and(|node| pass.state.nodes.contains_key(node)) {
        pass.decisions.push(Decision::Taint { claim: claim_name });
    } else {
        let instance = claim.instance.as_ref().map(|instance| instance.id.clone());
        pass.decisions.push(Decision::Terminate { claim: claim_name, instance, attached: 0 });
    }
}

/// A claim on its way out: the next step.
fn depart(pass: &mut Pass<'_>, claim: &Claim, disrupting: &Disrupting) {
    if disrupting.terminated.is_some() {
        return;
    }
    let name = claim.name.clone();
    let terminate = |attached| Decision::Terminate {
        claim: name.clone(),
        instance: claim.instance.as_ref().map(|i| i.id.clone()),
        attached,
    };
    let is_gone = claim.instance.as_ref().is_some_and(|instance| instance.is_gone);
    let node = claim.node.as_ref().filter(|node| !is_gone && pass.state.nodes.contains_key(*node));
    let Some(node) = node else {
        pass.decisions.push(terminate(0));
        return;
    };
    if disrupting.tainted.is_none() && !pass.state.is_marked(node) {
        return;
    }
    let deadline = claim.removal_deadline();
    if disrupting.draining.is_none() {
        if disrupting.reason == DisruptionReason::Empty {
            if claim.workload_pods > 0 {
                // A pod was bound before the scheduler saw the mark. The node is not empty, and so it stays.
                let reason = Reason::new(ReasonId::NoLongerEmpty, [("node", node.to_string())]);
                pass.decisions.push(Decision::AbandonDisruption { claim: name.clone(), reason });
                pass.decisions.push(Decision::Untaint { claim: name });
                return;
            }
            // The mark is asked for until it is answered, so there will be such a moment.
            if !disrupting.tainted.is_some_and(|marked| pass.is_due(marked + BINDING_LAG)) {
                return;
            }
        }
        pass.decisions.push(Decision::Drain { claim: name.clone(), deadline });
    }
    if drain::waits(pass, claim, disrupting, deadline) {
        return;
    }
    let attached = drain::attached(pass.state, claim);
    if attached == 0 || deadline.is_some_and(|deadline| pass.is_due(deadline)) {
        pass.decisions.push(terminate(attached));
    } else if disrupting.attached.is_none() {
        pass.decisions.push(Decision::AwaitDetachment { claim: name, attached });
    }
}
