//! What claims and instances that are seen are to the log.
//!
//! **Invariant:** whether an instance is news is told the same way whoever asks: a list that leaves it out, or one that passes it on.

use std::sync::Arc;

use super::Told;
use crate::controller::late;
use crate::event::Fact;
use crate::model::{ClaimFacts, ClaimName, InstanceId, Price, Time};
use crate::port::InstanceFacts;
use crate::state::{Claim, State, described};

/// What a claim that was seen is to the log: one to take over, the outcome of a launch, one that somebody changed, or no news.
pub(super) fn claim_fact(state: &State, facts: &Arc<ClaimFacts>, told: Told, now: Time) -> Option<Fact> {
    let observed = || Some(Fact::NodeClaimObserved { claim: Arc::clone(facts) });
    let Some(claim) = state.claims.get(&facts.name) else {
        let is_late = told == Told::Live && late::is_late_claim(state, facts, now);
        let is_known = is_late || state.strangers.get(&facts.name) == Some(facts);
        return if is_known { None } else { observed() };
    };
    let removal = claim.disrupting.as_ref();
    if removal.is_some_and(|removal| removal.terminated.is_some()) {
        return None;
    }
    let instance = claim.instance.as_ref();
    if has_other_deadline(claim, facts)
        || (facts.deleted.is_some() && claim.deleted.is_none())
        || instance.is_some_and(|known| facts.instance.as_ref().is_some_and(|seen| known.id != *seen))
    {
        return observed();
    }
    // The status tells of the instance as well as the launch's own answer, and may do so before it.
    let is_late =
        |id: &InstanceId| told == Told::Live && late::is_late_instance(state, id, facts.created, now);
    let instance = facts.instance.clone().filter(|id| instance.is_none() && !is_late(id))?;
    let (instance_type, zone, capacity_type) = described(facts);
    let offers = state.types.get(&instance_type).map(|found| found.offerings.as_slice()).unwrap_or_default();
    let price = offers.iter().find(|one| one.zone == zone && one.capacity_type == capacity_type);
    let price = price.map_or(Price(0), |one| one.price);
    let claim = facts.name.clone();
    Some(Fact::InstanceLaunched { claim, instance, instance_type, zone, capacity_type, price })
}

/// Whether what a claim's object says of its deadline is news, and counts. What we have written there ourselves, to whole seconds, is known.
fn has_other_deadline(claim: &Claim, facts: &ClaimFacts) -> bool {
    let own = claim.removal_deadline().map(|own| Time(own.0 - own.0.rem_euclid(1_000_000)));
    let is_own = claim.deadline.is_none() && facts.deadline == own;
    facts.deleted.is_some() && facts.deadline != claim.deadline && !is_own
}

/// Whether it is news that a claim's object is gone.
pub(super) fn is_missed(state: &State, name: &ClaimName) -> bool {
    let Some(claim) = state.claims.get(name) else { return state.strangers.contains_key(name) };
    let is_ending = claim.disrupting.as_ref().is_some_and(|removal| removal.terminated.is_some());
    is_ending || claim.deleted.is_none() || claim.instance.is_none()
}

/// Whether it is news that an instance of a claim is gone.
pub(super) fn is_ended_news(state: &State, instance: &InstanceId) -> bool {
    let Some(claim) = state.claim_of_instance(instance) else { return false };
    let is_ending = claim.disrupting.as_ref().is_some_and(|removal| removal.terminated.is_some());
    is_ending || claim.instance.as_ref().is_none_or(|instance| !instance.is_gone)
}

/// Whether an instance that is listed is no news.
pub(in crate::controller) fn is_no_news(state: &State, facts: &InstanceFacts, now: Time) -> bool {
    instance_fact(state, facts, now).is_none()
}

/// What an instance with our tags is to the log: the outcome of a launch, an orphan, or no news.
pub(super) fn instance_fact(state: &State, facts: &InstanceFacts, now: Time) -> Option<Fact> {
    let instance = &facts.instance;
    if state.is_claimed(instance) || late::is_late_instance(state, instance, facts.launched, now) {
        return None;
    }
    if let Some(claim) = facts.claim.as_ref().and_then(|claim| state.claims.get(claim))
        && claim.instance.is_none()
    {
        return Some(Fact::InstanceLaunched {
            claim: claim.name.clone(),
            instance: instance.clone(),
            instance_type: facts.instance_type.clone(),
            zone: facts.zone.clone(),
            capacity_type: facts.capacity_type,
            price: facts.price,
        });
    }
    if state.orphans.contains_key(instance) {
        return None;
    }
    Some(Fact::InstanceObserved {
        instance: instance.clone(),
        claim: facts.claim.clone(),
        instance_type: facts.instance_type.clone(),
        zone: facts.zone.clone(),
        capacity_type: facts.capacity_type,
        launched: facts.launched,
    })
}
