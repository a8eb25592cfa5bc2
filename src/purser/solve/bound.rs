//! A lower bound on what any result costs that places the same pods.
//!
//! **Invariant:** whatever is left out of account here makes the bound lower: constraints between pods, limits, what is taken of nodes.

use std::collections::BTreeSet;

use purser_engine::model::{PodKey, Price};
use purser_engine::packing::{self, Axes, Bin, Item};
use purser_engine::schedule::{Kind, relaxed};
use purser_sim::bound::{self, BoundType, PodClass};

use super::outcome::Solution;
use super::world::World;

/// The bound, in billionths of a dollar per hour.
pub(super) fn lower_bound(world: &World, solution: &Solution) -> Price {
    let (sizes, kinds) = relaxed(&world.problem());
    let mut types: Vec<BoundType> =
        sizes.into_iter().map(|size| BoundType { allocatable: size.free, price: size.price }).collect();
    let launched = types.len();
    // What is there already costs nothing more.
    for host in world.hosts.iter().filter(|host| host.open) {
        types.push(BoundType { allocatable: host.free.clone(), price: Price(0) });
    }
    let placed =
        solution.new_node_claims.iter().flat_map(|claim| claim.pods.iter().chain(&claim.buffer_pods));
    let there = solution.existing_nodes.iter().flat_map(|node| node.pods.iter().chain(&node.buffer_pods));
    let placed: BTreeSet<PodKey> = placed.chain(there).map(|name| PodKey::parse(name)).collect();
    let class = |kind: Kind| {
        let count = kind.pods.iter().filter(|pod| placed.contains(&world.pods[**pod].key)).count();
        let mut allowed = kind.allowed;
        allowed.resize(launched, false);
        allowed.resize(types.len(), true);
        (PodClass { requests: kind.requests, allowed }, count as u64)
    };
    let classes: Vec<(PodClass, u64)> =
        kinds.into_iter().map(class).filter(|(_, count)| *count > 0).collect();
    let by_parts = bound::lower_bound(&classes, &types).price;
    by_parts.max(by_whole_pods(&classes, &types))
}

/// The bound that keeps pods whole and cuts only nodes in parts.
fn by_whole_pods(classes: &[(PodClass, u64)], types: &[BoundType]) -> Price {
    let is_free =
        |class: &PodClass, at: usize| class.allowed[at] && class.requests.fits(&types[at].allocatable);
    // What may be on a node that is there costs nothing.
    let free: Vec<usize> = (0..types.len()).filter(|at| types[*at].price.0 <= 0).collect();
    let classes: Vec<&(PodClass, u64)> =
        classes.iter().filter(|(class, _)| !free.iter().any(|at| is_free(class, *at))).collect();
    let axes = Axes::of(classes.iter().map(|(class, _)| &class.requests));
    let can_be_had = |at: &usize| types[*at].price.0 > 0 && types[*at].price.0 < i64::MAX;
    let paid: Vec<usize> = (0..types.len()).filter(can_be_had).collect();
    let bins: Vec<Bin> = paid
        .iter()
        .map(|at| Bin { supply: axes.amounts(&types[*at].allocatable), price: types[*at].price.0 })
        .collect();
    let items: Vec<Item> = classes
        .iter()
        .map(|(class, count)| Item { demand: axes.amounts(&class.requests), count: *count as usize })
        .collect();
    let price = packing::lower_bound(&bins, &items, |item, bin| classes[item].0.allowed[paid[bin]]);
    Price(i64::try_from(price).unwrap_or(i64::MAX))
}
