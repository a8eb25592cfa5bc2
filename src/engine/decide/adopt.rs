//! Instances for claims that were taken over without one: those that people make by hand, and launches that others left half done.
//!
//! **Invariant:** what a claim may become is what a launch of the same requirements for a pool may, so both buy alike.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Pass, lifecycle, provision, supply};
use crate::event::{Decision, SpecId};
use crate::model::{
    DisruptionReason, NodePool, PodKey, PodSpec, Resources, Time, Toleration, TolerationOperator, Uid, label,
};
use crate::schedule::{self, Attachable, Launch, PendingPod, PoolOffer, Problem};
use crate::state::Claim;

/// Decides with which instance types a claim is launched; gives up a claim that none can meet.
pub(super) fn launch(pass: &mut Pass<'_>, claim: &Claim) {
    let offer = PoolOffer {
        pool: Arc::new(template(claim)),
        types: supply::types(pass.state, &supply::blocked(pass)),
        used: Default::default(),
        daemons: Arc::default(),
    };
    let found = solve(pass, claim, &offer).map(|launch| (provision::options(&offer, &launch), launch));
    match found {
        Some(((places, options), launch)) if !options.is_empty() => {
            pass.decisions.push(Decision::LaunchAdopted {
                claim: claim.name.clone(),
                places,
                options,
                reserved: claim.pool.as_ref().map_or_else(Resources::default, |_| launch.reserved.clone()),
                considered: launch.considered as u32,
            });
        }
        _ => lifecycle::remove(pass, claim, DisruptionReason::InsufficientCapacity),
    }
}

/// A pool of nothing but what the claim asks for. Its labels do not bind, since they are what the node is given.
fn template(claim: &Claim) -> NodePool {
    let mut pool = NodePool::clone(&claim.template);
    let of_node = |key: &str| key == label::REGISTERED || key == label::INITIALIZED;
    pool.template.labels.clear();
    pool.template.taints.clear();
    let asked = claim.requirements.iter().filter(|(key, _)| !of_node(key));
    pool.template.requirements = asked.map(|(key, one)| (key.clone(), one.clone())).collect();
    pool
}

/// What would be launched for one pod that asks for what the claim asks for.
fn solve(pass: &Pass<'_>, claim: &Claim, offer: &PoolOffer) -> Option<Launch> {
    let any = Toleration { key: None, operator: TolerationOperator::Exists, value: "".into(), effect: None };
    let spec = PodSpec { requests: claim.requests.clone(), tolerations: vec![any], ..PodSpec::default() };
    let pod = PendingPod {
        key: PodKey::new("", claim.name.as_shared().clone()),
        spec: SpecId(0),
        created: Time(0),
        uid: Uid(0),
        volumes: Vec::new(),
        group: None,
    };
    let problem = Problem {
        rules: &provision::rules(&pass.state.settings),
        pools: std::slice::from_ref(offer),
        hosts: &[],
        specs: &[Arc::new(spec)],
        pods: &[pod],
        namespaces: &BTreeMap::new(),
        wary: &BTreeSet::new(),
        devices: None,
        attachable: &Attachable::default(),
    };
    schedule::solve(&problem).launches.pop()
}
