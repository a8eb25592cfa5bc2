//! Nodes on which nothing but daemon pods runs, and that may go.
//!
//! Source: Karpenter, pkg/controllers/disruption/emptiness.go and helpers.go (budgets).
//!
//! **Invariant:** within one pool never more nodes are on their way out or not ready than its strictest budget allows, removals of
//! this evaluation included.

use std::collections::BTreeMap;

use super::trace::{Note, Tracer};
use super::{Held, Pass, drain, lifecycle, record};
use crate::event::{Decision, Target};
use crate::model::{ClaimName, DisruptionReason, NodePool, PodPhase, PoolName, Price, Time};
use crate::reason::{Reason, ReasonId};
use crate::state::Claim;

/// Decides which empty nodes to remove.
pub(super) fn decide<T: Tracer>(pass: &mut Pass<'_>, tracer: &mut T) {
    if matches!(pass.held, Held::Unknown) {
        return;
    }
    let mut by_pool: BTreeMap<PoolName, Vec<ClaimName>> = BTreeMap::new();
    for claim in pass.state.claims.idle() {
        match candidate(pass, claim) {
            Verdict::Removable => {
                let pool = claim.pool.clone();
                pool.into_iter().for_each(|pool| by_pool.entry(pool).or_default().push(claim.name.clone()));
            }
            Verdict::NotYet(until) => {
                pass.wake(until);
                tracer.note(|| Note::CandidateWaits { claim: claim.name.clone(), until });
            }
            Verdict::Kept(id) => {
                tracer.note(|| Note::CandidateRejected {
                    claim: claim.name.clone(),
                    reason: Reason::new(id, []),
                });
            }
            Verdict::NotEmpty => {}
        }
    }
    for (pool, candidates) in by_pool {
        remove_within_budget(pass, &pool, candidates, tracer);
    }
}

enum Verdict {
    /// In use, or not our business.
    NotEmpty,
    /// Empty, but held back.
    Kept(ReasonId),
    /// Empty, but not for long enough.
    NotYet(Time),
    Removable,
}

fn candidate(pass: &mut Pass<'_>, claim: &Claim) -> Verdict {
    let state = pass.state;
    let Some(initialized) = claim.initialized else { return Verdict::NotEmpty };
    if pass.leaving.contains(&claim.name) || pass.chosen.contains(&Target::Claim(claim.name.clone())) {
        return Verdict::NotEmpty;
    }
    let Some(node) = claim.node.as_ref().and_then(|node| state.nodes.get(node)) else {
        return Verdict::NotEmpty;
    };
    let occupancy = state.occupancy(&node.facts.name);
    let Some(pool) = claim
        .pool
        .as_ref()
        .and_then(|pool| state.pools.get(pool))
        .filter(|pool| pool.facts.replicas.is_none())
    else {
        return Verdict::NotEmpty;
    };
    let Some(after) = pool.facts.disruption.consolidate_after else { return Verdict::NotEmpty };
    // Nothing but daemon pods is there, and those count too.
    let pods = occupancy.into_iter().flat_map(|occupancy| &occupancy.pods);
    let mut pods = pods.filter_map(|key| state.pods.get(key)).filter(|pod| pod.phase == PodPhase::Bound);
    if node.facts.do_not_disrupt || pods.any(|pod| drain::is_held(pass, pod, state.spec(pod.spec))) {
        return Verdict::Kept(ReasonId::DoNotDisrupt);
    }
    if matches!(&pass.held, Held::Nodes(nodes) if nodes.contains(&Target::Claim(claim.name.clone()))) {
        return Verdict::Kept(ReasonId::HoldsBuffer);
    }
    let quiet_since = occupancy.map_or(initialized, |occupancy| occupancy.last_pod_event.max(initialized));
    // Pods that wait may be sent there, or the scheduler may send them there before.
    let until = (quiet_since + after).max(pass.batching_until.unwrap_or(pass.now));
    if until > pass.now { Verdict::NotYet(until) } else { Verdict::Removable }
}

fn remove_within_budget<T: Tracer>(
    pass: &mut Pass<'_>,
    pool: &PoolName,
    mut candidates: Vec<ClaimName>,
    tracer: &mut T,
) {
    let state = pass.state;
    let Some(facts) = state.pools.get(pool).map(|pool| &pool.facts) else { return };
    let (nodes, used) = nodes_and_used(pass, pool);
    let allowed = facts.disruption.allowed(DisruptionReason::Empty, nodes, pass.now);
    let rest = allowed.saturating_sub(used).min(candidates.len());
    for claim in candidates.split_off(rest) {
        let params =
            [("nodepool", pool.to_string()), ("allowed", allowed.to_string()), ("used", used.to_string())];
        tracer.note(|| Note::CandidateRejected {
            claim,
            reason: Reason::new(ReasonId::BudgetExhausted, params),
        });
        wake_when_budget_changes(pass, facts);
    }
    if candidates.is_empty() {
        return;
    }
    let price = |name: &ClaimName| {
        state.claims.get(name).and_then(|claim| claim.instance.as_ref()).map_or(Price(0), |i| i.price)
    };
    let mut used = used;
    for candidates in record::claims(&candidates) {
        pass.decisions.push(Decision::Disrupt {
            reason: DisruptionReason::Empty,
            savings: candidates.iter().map(price).sum(),
            candidates: candidates.to_vec(),
            replacements: Vec::new(),
            allowed: u32::try_from(allowed).ok(),
            used: used as u32,
        });
        used += candidates.len();
    }
    for claim in candidates.iter().filter_map(|name| state.claims.get(name)) {
        pass.leaving.insert(claim.name.clone());
        lifecycle::begin(pass, claim);
    }
}

/// The nodes of a pool of which a budget allows a share, and how many of them use it up.
///
/// Only claims of which more than their age is watched, and those whose node is not ready, can be other than plain nodes of the
/// pool that use up nothing; so only they are looked at.
fn nodes_and_used(pass: &Pass<'_>, pool: &PoolName) -> (usize, usize) {
    let claims = &pass.state.claims;
    let unready = pass.state.unready().filter_map(|node| pass.state.claim_of_node(node));
    let leaving = pass.leaving.iter().filter_map(|name| claims.get(name));
    let special: BTreeMap<&ClaimName, &Claim> = claims
        .restless()
        .chain(unready)
        .chain(leaving)
        .filter(|claim| claim.pool.as_ref() == Some(pool))
        .map(|claim| (&claim.name, claim))
        .collect();
    let (_, all) = pass.state.pool_usage(pool);
    let no_nodes = special.values().filter(|claim| !counts_as_node(claim)).count();
    let uses = |claim: &&&Claim| counts_as_node(claim) && uses_budget(pass, claim);
    (all - no_nodes, special.values().filter(uses).count())
}

/// Whether a claim counts among the nodes of which a budget allows a share.
fn counts_as_node(claim: &Claim) -> bool {
    claim.initialized.is_some()
        && claim.disrupting.as_ref().is_none_or(|disrupting| disrupting.terminated.is_none())
}

/// Whether a node uses up a budget: it is on its way out, or not ready.
fn uses_budget(pass: &Pass<'_>, claim: &Claim) -> bool {
    let ready =
        claim.node.as_ref().and_then(|node| pass.state.nodes.get(node)).is_some_and(|node| node.facts.ready);
    claim.disrupting.is_some() || pass.leaving.contains(&claim.name) || !ready
}

fn wake_when_budget_changes(pass: &mut Pass<'_>, pool: &NodePool) {
    let next = pool.disruption.budgets.iter().filter_map(|budget| budget.next_change(pass.now)).min();
    if let Some(next) = next {
        pass.wake(next);
    }
}
