//! Zones that are left to the pods that wait and for which there is no place yet.
//!
//! **Invariant:** nothing is decided here, and nothing that is decided depends on it.

use std::collections::BTreeMap;

use super::devices::devices;
use super::provision::{Running, attachable, pending_pod, rules};
use super::{Memo, Pass};
use crate::model::Time;
use crate::schedule::{self, EffectiveZone, PendingPod, Problem};
use crate::state::State;

/// How many of the pods that wait and are not expected anywhere may go to which zones.
pub fn effective_zones(state: &State, now: Time) -> BTreeMap<EffectiveZone, usize> {
    let mut zones = BTreeMap::new();
    let mut running = Running::default();
    let waiting = state.unplanned().map(|(key, _)| pending_pod(state, &mut running, key.clone()));
    let (pods, unusable): (Vec<_>, Vec<_>) = waiting.partition(Result::is_ok);
    let pods: Vec<PendingPod> = pods.into_iter().flatten().collect();
    if !unusable.is_empty() {
        zones.insert(EffectiveZone::None, unusable.len());
    }
    if pods.is_empty() {
        return zones;
    }
    let (pass, mut memo) = (Pass::new(state, now), Memo::default());
    memo.refresh(&pass);
    memo.hosts.refresh(&pass, &memo.overlaid);
    let devices = devices(state, &memo.hosts, &pods);
    let problem = Problem {
        rules: &rules(&state.settings),
        pools: &memo.offers,
        hosts: memo.hosts.all(),
        specs: state.specs(),
        pods: &pods,
        namespaces: &state.namespaces,
        wary: &memo.wary,
        devices: devices.as_ref(),
        attachable: &attachable(state, &pods),
    };
    for (zone, count) in schedule::effective_zones(&problem) {
        *zones.entry(zone).or_default() += count;
    }
    zones
}
