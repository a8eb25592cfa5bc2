//! Instances for claims that were taken over without one: those that people make by hand, and launches that others left half done.
//!
//! **Invariant:** what a claim may become is what a launch of the same requirements for a pool may, so both buy alike.

use std::sync::Arc;

use super::{Pass, lifecycle, provision, supply};
use crate::event::Decision;
use crate::model::{DisruptionReason, NodePool, Resources, label};
use crate::schedule::PoolOffer;
use crate::state::Claim;

/// Decides with which instance types a claim is launched; gives up a claim that none can meet.
pub(super) fn launch(pass: &mut Pass<'_>, claim: &Claim) {
    let offer = PoolOffer {
        pool: Arc::new(template(claim)),
        types: supply::types(pass.state, &supply::blocked(pass)),
        used: Default::default(),
        daemons: Arc::default(),
    };
    let found = provision::launch_alone(pass, &offer, claim.requests.clone())
        .map(|launch| (provision::options(&offer, &launch), launch));
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
