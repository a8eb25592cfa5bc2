//! Static NodePools: those with `replicas`, which have so many nodes whatever pods ask for.
//!
//! Source: Karpenter, pkg/controllers/static.
//!
//! **Invariant:** the nodes of a pool, those on their way out included, are never more than its limit allows by what is launched here.

use std::sync::Arc;

use super::memo::Memo;
use super::provision::{self, Purpose};
use super::trace::Tracer;
use super::{Pass, drain, lifecycle};
use crate::event::Decision;
use crate::model::{DisruptionReason, NodePool, PodPhase, PodSpec, Price, Resources};
use crate::schedule::{Launch, PoolOffer};
use crate::settings::FeatureGate;
use crate::state::{Claim, Pod};

/// Launches what static pools lack, and removes what they have too many.
pub(super) fn decide<T: Tracer>(pass: &mut Pass<'_>, memo: &mut Memo, tracer: &mut T) {
    let state = pass.state;
    if !state.settings.feature_gates.has(FeatureGate::StaticCapacity) {
        return;
    }
    let pools: Vec<&Arc<NodePool>> =
        state.pools.values().map(|pool| &pool.facts).filter(|pool| pool.replicas.is_some()).collect();
    for pool in pools {
        let wanted = pool.replicas.unwrap_or(0) as usize;
        let all: Vec<&Claim> =
            state.claims.values().filter(|claim| claim.pool.as_ref() == Some(&pool.name)).collect();
        let stays = |claim: &&&Claim| claim.disrupting.is_none() && !pass.leaving.contains(&claim.name);
        let active: Vec<&Claim> = all.iter().filter(stays).copied().collect();
        if active.len() > wanted {
            remove(pass, active, wanted);
        } else if active.len() < wanted && pool.ready {
            let room = pool.limits.nodes.map_or(usize::MAX, |most| (most as usize).saturating_sub(all.len()));
            launch(pass, memo, pool, (wanted - active.len()).min(room), tracer);
        }
    }
}

/// Launches so many nodes of a pool, all alike.
fn launch<T: Tracer>(
    pass: &mut Pass<'_>,
    memo: &mut Memo,
    pool: &Arc<NodePool>,
    count: usize,
    tracer: &mut T,
) {
    if count == 0 {
        return;
    }
    memo.refresh(pass);
    let Some(offer) = memo.statics.iter().find(|offer| offer.pool == *pool) else { return };
    match node_of(pass, offer) {
        Some(launch) => {
            for _ in 0..count {
                let ahead = pass.decisions.iter().filter(|one| matches!(one, Decision::Launch { .. }));
                let claim = pass.state.next_claim_name(pool.name.as_str(), ahead.count() as u64);
                provision::decide_launch(pass, &[], offer, claim, &launch, Purpose::Replicas, tracer);
            }
        }
        // Whatever else is missing than capacity, is told of when it is there.
        None => {
            if let Some(at) = provision::next_retry(pass) {
                pass.wake(at);
            }
        }
    }
}

/// What a node of the pool is launched with: what would be for a pod that asks for nothing.
fn node_of(pass: &Pass<'_>, offer: &PoolOffer) -> Option<Launch> {
    // The limit was looked at by the count of nodes.
    let offer = PoolOffer { used: Default::default(), ..offer.clone() };
    let launch = provision::launch_alone(pass, &offer, Resources::default())?;
    Some(Launch { pool: 0, pods: Vec::new(), ..launch })
}

/// Removes nodes until so many are left, those first whose loss disturbs the least.
fn remove(pass: &mut Pass<'_>, active: Vec<&Claim>, wanted: usize) {
    let mut ranked: Vec<(Disturbance, &Claim)> =
        active.into_iter().map(|claim| (disturbance(pass, claim), claim)).collect();
    ranked.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.name.cmp(&other.name)));
    ranked.truncate(ranked.len() - wanted);
    for (_, claim) in ranked {
        lifecycle::remove(pass, claim, DisruptionReason::Overprovisioned);
    }
}

/// How much it disturbs to lose a node, what weighs most first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Disturbance {
    has_instance: bool,
    /// Pods other than daemons, or one that is not to be disturbed.
    is_used: bool,
    is_held: bool,
    cost: i128,
    /// Of equal ones the dearest goes.
    saved: Price,
}

/// Source: Karpenter, `getDeprovisioningCandidates` in pkg/controllers/static/deprovisioning.
fn disturbance(pass: &mut Pass<'_>, claim: &Claim) -> Disturbance {
    let state = pass.state;
    let occupancy = claim.node.as_ref().and_then(|node| state.occupancy(node));
    let keys = occupancy.into_iter().flat_map(|occupancy| &occupancy.pods).chain(&claim.planned.pods);
    let pods: Vec<(&Pod, &Arc<PodSpec>)> =
        keys.filter_map(|key| state.pods.get(key)).map(|pod| (pod, state.spec(pod.spec))).collect();
    let node = claim.node.as_ref().and_then(|node| state.nodes.get(node));
    let pod_is_held =
        pods.iter().any(|(pod, spec)| pod.phase != PodPhase::Terminating && drain::is_held(pass, pod, spec));
    let workload = || pods.iter().filter(|(_, spec)| !spec.is_daemon());
    let price = claim.instance.as_ref().map_or(Price(0), |instance| instance.price);
    Disturbance {
        has_instance: claim.instance.is_some(),
        is_used: pod_is_held || workload().next().is_some(),
        is_held: pod_is_held || node.is_some_and(|node| node.facts.do_not_disrupt),
        cost: workload().map(|(_, spec)| eviction_cost(spec)).sum::<i128>() * life_left(pass, claim),
        saved: Price(-price.0),
    }
}

/// What it costs to evict a pod, in millionths: one, more or less for what it says of itself and for its priority.
///
/// Source: Karpenter, `EvictionCost` in pkg/utils/disruption.
fn eviction_cost(spec: &PodSpec) -> i128 {
    let scaled = |value: i32, bits: u32| i128::from(value) * 1_000_000 / (1 << bits);
    let cost = 1_000_000 + scaled(spec.deletion_cost, 27) + scaled(spec.priority, 25);
    cost.clamp(-10_000_000, 10_000_000)
}

/// The share of a node's life that is still before it, in millionths.
fn life_left(pass: &Pass<'_>, claim: &Claim) -> i128 {
    let Some(life) = claim.template.template.expire_after.filter(|life| life.0 > 0) else { return 1_000_000 };
    let left = i128::from(life.0) - i128::from(pass.now.since(claim.created).0);
    (left * 1_000_000 / i128::from(life.0)).clamp(0, 1_000_000)
}
