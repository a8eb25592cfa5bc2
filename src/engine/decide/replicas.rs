//! Static NodePools: those with `replicas`, which have so many nodes whatever pods ask for.
//!
//! Source: Karpenter, pkg/controllers/static.
//!
//! **Invariant:** the nodes of a pool, those on their way out included, are never more than its limit allows by what is launched here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::memo::Memo;
use super::provision::{self, Purpose};
use super::trace::Tracer;
use super::{Pass, lifecycle};
use crate::event::{Decision, SpecId};
use crate::model::{
    DisruptionReason, DoNotDisrupt, NodePool, PodKey, PodSpec, Price, Time, Toleration, TolerationOperator,
    Uid,
};
use crate::schedule::{self, Attachable, Launch, PendingPod, PoolOffer, Problem};
use crate::settings::FeatureGate;
use crate::state::Claim;

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
        let all: Vec<&Claim> = state.claims.values().filter(|claim| claim.pool.as_ref() == Some(&pool.name)).collect();
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
    let any = Toleration { key: None, operator: TolerationOperator::Exists, value: "".into(), effect: None };
    let specs = [Arc::new(PodSpec { tolerations: vec![any], ..PodSpec::default() })];
    let pod = PendingPod {
        key: PodKey::new("", ""),
        spec: SpecId(0),
        created: Time(0),
        uid: Uid(0),
        volumes: Vec::new(),
        group: None,
    };
    // The limit was looked at by the count of nodes.
    let offer = PoolOffer { used: Default::default(), ..offer.clone() };
    let problem = Problem {
        rules: &provision::rules(&pass.state.settings),
        pools: &[offer],
        hosts: &[],
        specs: &specs,
        pods: &[pod],
        namespaces: &BTreeMap::new(),
        wary: &BTreeSet::new(),
        devices: None,
        attachable: &Attachable::default(),
    };
    let launch = schedule::solve(&problem).launches.pop()?;
    Some(Launch { pool: 0, pods: Vec::new(), ..launch })
}

/// Removes nodes until so many are left, those first whose loss disturbs the least.
fn remove(pass: &mut Pass<'_>, mut active: Vec<&Claim>, wanted: usize) {
    active.sort_by_cached_key(|claim| (disturbance(pass, claim), claim.name.clone()));
    active.truncate(active.len() - wanted);
    for claim in active {
        lifecycle::remove(pass, claim, DisruptionReason::Overprovisioned);
    }
}

/// How much it disturbs to lose a node: whether it is there at all, whether it has pods, whether they may be disturbed, and how many they are
/// and what they say of it; of equal ones the dearest goes.
fn disturbance(pass: &Pass<'_>, claim: &Claim) -> (bool, bool, bool, usize, i64, i64) {
    let state = pass.state;
    let occupancy = claim.node.as_ref().and_then(|node| state.occupancy(node));
    let pods = occupancy.into_iter().flat_map(|occupancy| &occupancy.pods).chain(&claim.planned.pods);
    let specs: Vec<&Arc<PodSpec>> =
        pods.filter_map(|key| state.pods.get(key)).map(|pod| state.spec(pod.spec)).collect();
    let workload = || specs.iter().filter(|spec| !spec.is_daemon());
    let held = |spec: &&Arc<PodSpec>| matches!(spec.do_not_disrupt, Some(DoNotDisrupt::Always));
    let no_disrupt =
        claim.node.as_ref().and_then(|node| state.nodes.get(node)).is_some_and(|n| n.facts.do_not_disrupt);
    (
        claim.instance.is_some(),
        workload().next().is_some(),
        no_disrupt || specs.iter().any(held),
        workload().count(),
        workload().map(|spec| i64::from(spec.deletion_cost)).sum(),
        -claim.instance.as_ref().map_or(Price(0), |instance| instance.price).0,
    )
}
