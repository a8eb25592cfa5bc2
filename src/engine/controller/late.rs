//! What is told of claims and instances that are gone: word that comes late, or something that is there again.
//!
//! Claims come back as they were where the store of the API server is put back to an earlier time, and so do the instances of a provider
//! whose instances are Nodes; and one that is launched anew for a claim has the name of the one before.
//!
//! **Invariant:** what was seen of a claim after its end is forgotten when its end is heard of again, and is else taken in when it can no longer be
//! late.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{ClaimFacts, ClaimName, InstanceId, Time};
use crate::port::{Input, Observation};
use crate::state::{REMEMBER_GONE, State};

/// Whether what is told of a claim is only late.
pub(super) fn is_late_claim(state: &State, facts: &ClaimFacts, now: Time) -> bool {
    let departed = state.departed.get(&facts.name);
    departed.is_some_and(|(since, uid)| {
        uid.is_none_or(|uid| uid == facts.uid) && now.since(*since) < REMEMBER_GONE
    })
}

/// Whether what is told of an instance that was launched at this time, at the earliest, is only late.
pub(super) fn is_late_instance(state: &State, instance: &InstanceId, launched: Time, now: Time) -> bool {
    let since = state.gone.get(instance);
    since.is_some_and(|since| launched <= *since && now.since(*since) < REMEMBER_GONE)
}

/// Claims that were told of late, as it seemed.
#[derive(Debug, Default)]
pub(super) struct Returned(BTreeMap<ClaimName, Arc<ClaimFacts>>);

impl Returned {
    /// Looks through what is about to be taken in.
    pub(super) fn look(&mut self, state: &State, now: Time, inputs: &[Input]) {
        for input in inputs {
            match &input.observation {
                Observation::NodeClaim(facts) if is_late_claim(state, facts, now) => {
                    self.0.insert(facts.name.clone(), Arc::clone(facts));
                }
                Observation::NoNodeClaim(name) => {
                    self.0.remove(name);
                }
                _ => {}
            }
        }
    }

    /// Those that are there again.
    pub(super) fn take(&mut self, state: &State, now: Time) -> Vec<Input> {
        let (late, there): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.0).into_iter().partition(|(_, facts)| is_late_claim(state, facts, now));
        self.0 = late;
        there.into_values().map(|facts| Observation::NodeClaim(facts).into()).collect()
    }
}
