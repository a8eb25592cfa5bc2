//! Reserved capacity: so many instances of a reservation, for nodes that could draw on several.
//!
//! **Invariant:** for all nodes that draw on reservations together there is an instance each.

use std::collections::{BTreeMap, BTreeSet};

use super::planned::Planned;
use crate::model::{Price, Str};
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

/// Whether there is an instance for each of the sets, of one of its reservations.
pub(super) fn suffice<'s>(sets: impl Iterator<Item = &'s BTreeSet<Str>>, left: &BTreeMap<Str, u32>) -> bool {
    let free = |set: &BTreeSet<Str>| set.iter().map(|id| (id.clone(), 0)).collect();
    assign(&sets.map(free).collect::<Vec<_>>(), left).is_some()
}

/// Holds each planned node to one reservation where several could draw on one that has no instance for each: those that together cost least.
pub(super) fn hold(setup: &Setup<'_>, planned: &mut [Planned], left: &BTreeMap<Str, u32>) {
    let mut asked: BTreeMap<&Str, u32> = BTreeMap::new();
    for id in planned.iter().flat_map(|one| &one.draws_on) {
        *asked.entry(id).or_default() += 1;
    }
    let short: BTreeSet<Str> = asked
        .into_iter()
        .filter(|(id, count)| left.get(*id) < Some(count))
        .map(|(id, _)| id.clone())
        .collect();
    let drawing: Vec<usize> = (0..planned.len()).filter(|at| !planned[*at].draws_on.is_empty()).collect();
    if short.is_empty() {
        return;
    }
    let costs: Vec<BTreeMap<Str, i64>> = drawing.iter().map(|at| costs(setup, &planned[*at])).collect();
    let Some(chosen) = assign(&costs, left) else { return };
    for ((at, id), costs) in drawing.into_iter().zip(chosen).zip(&costs) {
        let one = &mut planned[at];
        if one.draws_on.iter().any(|id| short.contains(id)) {
            one.price = Price(costs[&id]);
            one.draws_on = [id].into();
        }
    }
}

/// What a node costs at least with each of its reservations.
fn costs(setup: &Setup<'_>, planned: &Planned) -> BTreeMap<Str, i64> {
    let wanted = setup.interner.get(planned.requirements);
    let offer = &setup.problem.pools[planned.pool];
    let shapes = &setup.supply.pools[planned.pool].shapes;
    let mut without = i64::MAX;
    let mut costs: BTreeMap<Str, i64> = BTreeMap::new();
    for shape in planned.fits.iter().map(|fit| &shapes[fit.shape as usize]) {
        let all = buys(setup.problem.rules, &offer.types[shape.type_at], wanted);
        for buy in all.filter(|buy| buy.allocatable == shape.allocatable_at) {
            let cost = match &buy.reservation {
                None => &mut without,
                Some((id, _)) => costs.entry(id.clone()).or_insert(i64::MAX),
            };
            *cost = (*cost).min(buy.price.0);
        }
    }
    costs.values_mut().for_each(|cost| *cost = (*cost).min(without));
    costs
}

/// Who would have to leave which reservation.
type Step<'s> = (usize, &'s Str);

/// One reservation for each of those that could draw on several, at these costs, none more often than it has instances, and the cheapest such
/// choice; `None` if there is none. Each finds an instance by moving others if need be: a shortest augmenting path.
fn assign(costs: &[BTreeMap<Str, i64>], left: &BTreeMap<Str, u32>) -> Option<Vec<Str>> {
    let mut holders: BTreeMap<&Str, Vec<usize>> = BTreeMap::new();
    for at in 0..costs.len() {
        // By reservation: what it would cost to take an instance there, and who would have to leave which for it.
        let mut reached: BTreeMap<&Str, (i128, Option<Step<'_>>)> = BTreeMap::new();
        let mut next: Vec<&Str> = Vec::new();
        for (id, cost) in &costs[at] {
            reached.insert(id, (i128::from(*cost), None));
            next.push(id);
        }
        while let Some(id) = next.pop() {
            let before = reached[id].0;
            for holder in holders.get(id).into_iter().flatten() {
                let gain = i128::from(costs[*holder][id]);
                for (other, cost) in costs[*holder].iter().filter(|(other, _)| *other != id) {
                    let total = before - gain + i128::from(*cost);
                    if reached.get(other).is_none_or(|(known, _)| total < *known) {
                        reached.insert(other, (total, Some((*holder, id))));
                        next.push(other);
                    }
                }
            }
        }
        let held = |id: &Str| holders.get(id).map_or(0, Vec::len);
        let free = reached.iter().filter(|(id, _)| held(id) < left.get(**id).copied().unwrap_or(0) as usize);
        let (mut to, _) = free.min_by_key(|(id, (total, _))| (*total, **id))?;
        while let Some((holder, from)) = reached[*to].1 {
            holders.entry(from).or_default().retain(|other| *other != holder);
            holders.entry(to).or_default().push(holder);
            to = reached.get_key_value(from)?.0;
        }
        holders.entry(to).or_default().push(at);
    }
    let mut chosen = vec![Str::from(""); costs.len()];
    for (id, of) in holders {
        of.into_iter().for_each(|at| chosen[at] = id.clone());
    }
    Some(chosen)
}
