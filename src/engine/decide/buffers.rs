//! Room for CapacityBuffers: virtual pods that wait, and that nobody binds.
//!
//! Pods come first: only when nothing is decided for them is it looked where the virtual pods would go, each time anew. Those on nodes
//! that are there or on their way have their room; for the others nodes are launched. A node that holds some is not removed for being
//! empty.
//!
//! **Invariant:** nothing about a virtual pod is in State: where the world does not change, they find the same places again, and nothing
//! is decided.

use super::memo::{Buffered, Memo};
use super::provision::{self, Purpose};
use super::trace::Tracer;
use super::{Held, Pass};
use crate::model::{CapacityBuffer, Time, Uid};
use crate::schedule::PendingPod;
use crate::settings::FeatureGate;

/// Decides which nodes to launch for buffers, and which hold them.
pub(super) fn decide<T: Tracer>(pass: &mut Pass<'_>, memo: &mut Memo, tracer: &mut T) {
    let state = pass.state;
    if state.buffers.is_empty() || !state.settings.feature_gates.has(FeatureGate::CapacityBuffer) {
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
        known.retry.into_iter().for_each(|at| pass.wake(at));
        return;
    }
    let pods = virtual_pods(pass);
    let plan = provision::solve(pass, memo, &pods, tracer);
    let holding = plan.hosts.iter().map(|(host, _)| memo.hosts.target(*host).clone()).collect();
    let mut buffered = Buffered { seen, holding, retry: None };
    if !plan.unplaced.is_empty() {
        buffered.retry = provision::next_retry(pass);
        buffered.retry.into_iter().for_each(|at| pass.wake(at));
    }
    provision::launch(pass, memo, &pods, &plan.launches, Purpose::Buffers, tracer);
    pass.held = Held::Nodes(buffered.holding.clone());
    memo.buffered = Some(buffered);
}

fn virtual_pods(pass: &Pass<'_>) -> Vec<PendingPod> {
    let state = pass.state;
    let of_buffer = |(key, buffer): (&_, &crate::state::Buffer)| {
        let spec = buffer.spec;
        let pods = (0..buffer.replicas).map(|number| PendingPod {
            key: CapacityBuffer::pod(key, number),
            spec,
            created: Time(0),
            uid: Uid(u128::from(number)),
            volumes: Vec::new(),
            group: None,
        });
        pods.collect::<Vec<_>>()
    };
    state.buffers.iter().flat_map(of_buffer).collect()
}
