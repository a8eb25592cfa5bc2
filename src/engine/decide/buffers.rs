//! Room for CapacityBuffers: virtual pods that wait, and that nobody binds.
//!
//! Pods come first: only when nothing is decided for them is it looked where the virtual pods would go, each time anew. Those on nodes
//! that are there or on their way have their room; for the others nodes are launched. A node that holds some is not removed for being
//! empty.
//!
//! **Invariant:** nothing about a virtual pod is in State: where the world does not change, they find the same places again, and nothing
//! is decided.

use std::collections::BTreeMap;

use super::memo::{Buffered, Memo};
use super::provision::{self, Purpose};
use super::trace::Tracer;
use super::{Held, Pass};
use crate::event::Target;
use crate::model::{CapacityBuffer, PodKey, Time, Uid};
use crate::notice::Room;
use crate::schedule::{PendingPod, Plan};
use crate::settings::FeatureGate;
use crate::state::State;

/// Decides which nodes to launch for buffers, and which hold them.
pub(super) fn decide<T: Tracer>(pass: &mut Pass<'_>, memo: &mut Memo, tracer: &mut T) {
    let state = pass.state;
    if !state.settings.feature_gates.has(FeatureGate::CapacityBuffer) {
        return;
    }
    if state.buffers.is_empty() {
        pass.notices.rooms = Some(BTreeMap::new());
        return;
    }
    if pass.places_pods() {
        // What is left for buffers shows once this is in State, which is soon.
        pass.held = Held::Unknown;
        return;
    }
    memo.refresh(pass);
    memo.hosts.refresh(pass, &memo.overlaid);
    let seen = (memo.hosts.version(), state.supply_changed);
    if let Some(known) = memo.buffered.as_ref().filter(|known| known.seen == seen) {
        pass.held = Held::Nodes(known.holding.clone());
        pass.notices.rooms = Some(known.rooms.clone());
        known.retry.into_iter().for_each(|at| pass.wake(at));
        return;
    }
    let (pods, of) = virtual_pods(pass);
    let plan = provision::solve(pass, memo, &pods, tracer);
    let holding = plan.hosts.iter().map(|(host, _)| memo.hosts.target(*host).clone()).collect();
    let rooms = rooms(state, memo, &of, &plan);
    let mut buffered = Buffered { seen, holding, retry: None, rooms };
    if !plan.unplaced.is_empty() {
        buffered.retry = provision::next_retry(pass);
        buffered.retry.into_iter().for_each(|at| pass.wake(at));
    }
    provision::launch(pass, memo, &pods, &plan.launches, Purpose::Buffers, tracer);
    pass.held = Held::Nodes(buffered.holding.clone());
    pass.notices.rooms = Some(buffered.rooms.clone());
    memo.buffered = Some(buffered);
}

/// The virtual pods, and for each its buffer.
fn virtual_pods<'a>(pass: &Pass<'a>) -> (Vec<PendingPod>, Vec<&'a PodKey>) {
    let mut pods = Vec::new();
    let mut of = Vec::new();
    for (key, buffer) in &pass.state.buffers {
        for number in 0..buffer.replicas {
            pods.push(PendingPod {
                key: CapacityBuffer::pod(key, number),
                spec: buffer.spec,
                created: Time(0),
                uid: Uid(u128::from(number)),
                volumes: Vec::new(),
                group: None,
            });
            of.push(key);
        }
    }
    (pods, of)
}

/// How much room each buffer has by a plan for its pods.
fn rooms(state: &State, memo: &Memo, of: &[&PodKey], plan: &Plan) -> BTreeMap<PodKey, Room> {
    let mut rooms: BTreeMap<PodKey, Room> =
        state.buffers.keys().map(|key| (key.clone(), Room::default())).collect();
    let mut count = |pods: &[usize], add: fn(&mut Room)| {
        for pod in pods {
            add(rooms.entry(of[*pod].clone()).or_default());
        }
    };
    for (host, pods) in &plan.hosts {
        let is_there = match memo.hosts.target(*host) {
            Target::Node(_) => true,
            Target::Claim(claim) => state.claims.get(claim).is_some_and(|claim| claim.initialized.is_some()),
        };
        match is_there {
            true => count(pods, |room| room.there += 1),
            false => count(pods, |room| room.coming += 1),
        }
    }
    plan.launches.iter().for_each(|launch| count(&launch.pods, |room| room.coming += 1));
    plan.unplaced.iter().for_each(|unplaced| count(&unplaced.pods, |room| room.missing += 1));
    rooms
}
