//! A lower bound on what any result costs that places the same pods.
//!
//! **Invariant:** whatever is left out of account here makes the bound lower: daemon pods, constraints between pods, what is taken of nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_api::scenario::Scenario;
use purser_engine::model::{InstanceType, PodKey, PodSpec, Price, Resources};
use purser_sim::bound::{self, BoundType, PodClass};

use super::outcome::Solution;

/// The bound, in billionths of a dollar per hour.
pub(super) fn lower_bound(scenario: &Scenario, solution: &Solution) -> Price {
    let lists = scenario.types_by_pool.values().chain([&scenario.types]);
    let types: Vec<_> = lists.flat_map(|types| types.iter()).collect();
    let mut sizes: Vec<BoundType> = Vec::new();
    for one in &types {
        let known = InstanceType {
            name: one.name.clone(),
            requirements: one.requirements.clone(),
            capacity: one.capacity.clone(),
            overhead: one.overhead.total(),
            offerings: Vec::new(),
        };
        let available = one.offerings.iter().filter(|offering| offering.available);
        // An offering may give more than the type says.
        let most = available
            .clone()
            .fold(known.allocatable(), |most, offering| most.elementwise_max(&offering.capacity_override));
        let price = available.map(|offering| offering.price_nano_usd).min();
        let allocatable = if price.is_some() { most } else { Resources::default() };
        sizes.push(BoundType { allocatable, price: Price(price.unwrap_or(i64::MAX)) });
    }
    // What is there already costs nothing more.
    for node in &scenario.nodes {
        sizes.push(BoundType { allocatable: node.facts.allocatable.clone(), price: Price(0) });
    }
    for claim in &scenario.claims {
        sizes.push(BoundType { allocatable: claim.facts.allocatable.clone(), price: Price(0) });
    }
    let placed = solution.new_node_claims.iter().flat_map(|claim| &claim.pods);
    let placed = placed.chain(solution.existing_nodes.iter().flat_map(|node| &node.pods));
    let specs: BTreeMap<&PodKey, &Arc<PodSpec>> =
        scenario.pods.iter().map(|pod| (&pod.facts.key, &pod.facts.spec)).collect();
    let mut counts: BTreeMap<&PodSpec, u64> = BTreeMap::new();
    for name in placed {
        if let Some(spec) = specs.get(&PodKey::parse(name)) {
            *counts.entry(spec).or_default() += 1;
        }
    }
    let classes: Vec<(PodClass, u64)> = counts
        .into_iter()
        .map(|(spec, count)| {
            let wanted = spec.node_alternatives();
            let mut allowed: Vec<bool> = types
                .iter()
                .map(|one| {
                    wanted.iter().any(|wanted| one.requirements.first_conflict(wanted, |_| true).is_none())
                })
                .collect();
            allowed.resize(sizes.len(), true);
            (PodClass { requests: spec.requests.clone(), allowed }, count)
        })
        .collect();
    bound::lower_bound(&classes, &sizes).price
}
