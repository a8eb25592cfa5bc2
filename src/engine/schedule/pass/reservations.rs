//! Reserved capacity: so many instances of a reservation, for nodes that could draw on several.
//!
//! **Invariant:** for all nodes that draw on reservations together there is an instance each.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Str;
use crate::schedule::problem::PoolOffer;
use crate::schedule::requirements::ReqId;
use crate::schedule::setup::Setup;
use crate::schedule::supply::{Fit, buys};

/// How many instances reservations have left: of several figures for one, the lowest.
pub(super) fn left(offers: &[PoolOffer]) -> BTreeMap<Str, u32> {
    let mut left: BTreeMap<Str, u32> = BTreeMap::new();
    let types = offers.iter().flat_map(|offer| offer.types.iter());
    for (id, count) in types.flat_map(|one| &one.offerings).filter_map(|buy| buy.reservation.as_ref()) {
        left.entry(id.clone()).and_modify(|known| *known = (*known).min(*count)).or_insert(*count);
    }
    left
}

/// The reservations that a node could draw on with these shapes.
pub(in crate::schedule) fn drawn_on(
    setup: &Setup<'_>,
    pool: usize,
    requirements: ReqId,
    fits: &[Fit],
) -> BTreeSet<Str> {
    if setup.supply.pools[pool].reservations.is_empty() {
        return BTreeSet::new();
    }
    let wanted = setup.interner.get(requirements);
    let offer = &setup.problem.pools[pool];
    let shapes = &setup.supply.pools[pool].shapes;
    let of_shapes = fits.iter().map(|fit| &shapes[fit.shape as usize]).flat_map(|shape| {
        let all = buys(setup.problem.rules, &offer.types[shape.type_at], wanted);
        all.filter(|buy| buy.allocatable == shape.allocatable_at)
    });
    of_shapes.filter_map(|buy| Some(buy.reservation.as_ref()?.0.clone())).collect()
}

/// One reservation for each of the sets, none more often than it has instances; `None` if there is no such choice.
pub(in crate::schedule) fn assign<'s>(
    sets: impl Iterator<Item = &'s BTreeSet<Str>>,
    left: &BTreeMap<Str, u32>,
) -> Option<Vec<Str>> {
    let sets: Vec<&BTreeSet<Str>> = sets.collect();
    let mut holders: BTreeMap<&Str, Vec<usize>> = BTreeMap::new();
    for at in 0..sets.len() {
        if !place(at, &sets, left, &mut holders, &mut BTreeSet::new()) {
            return None;
        }
    }
    let mut chosen = vec![Str::from(""); sets.len()];
    for (id, of) in holders {
        of.into_iter().for_each(|at| chosen[at] = id.clone());
    }
    Some(chosen)
}

/// Finds an instance for a set, moving others if need be: an augmenting path.
fn place<'s>(
    at: usize,
    sets: &[&'s BTreeSet<Str>],
    left: &BTreeMap<Str, u32>,
    holders: &mut BTreeMap<&'s Str, Vec<usize>>,
    tried: &mut BTreeSet<&'s Str>,
) -> bool {
    for id in sets[at] {
        if !tried.insert(id) {
            continue;
        }
        let most = left.get(id).copied().unwrap_or(0) as usize;
        let held = holders.entry(id).or_default();
        if held.len() < most {
            held.push(at);
            return true;
        }
        for number in 0..most {
            let other = holders[id][number];
            if place(other, sets, left, holders, tried) {
                // The other has another one now.
                let held = holders.entry(id).or_default();
                held.retain(|holder| *holder != other);
                held.push(at);
                return true;
            }
        }
    }
    false
}
