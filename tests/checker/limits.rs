//! `spec.limits` of NodePools, and capacity reservations.
//!
//! Invariant: a planned claim counts as the largest of its instance types, resource by resource, as Karpenter counts.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Claim, Plan};
use crate::pool::{Pool, offering_requirements};
use crate::quantity::{Quantity, Resources, add_to, amount, raise_to};
use crate::sets::CAPACITY_TYPE;
use crate::violation::{Rule, Violation};
use crate::world::World;

/// What a pool's nodes have already, those that leave not counted.
pub(crate) fn in_use(pool: &Pool<'_>, world: &World<'_>) -> Resources {
    let mut total = Resources::new();
    for host in world.hosts.iter().filter(|host| !host.leaving) {
        let Some(existing) = &host.existing else { continue };
        if existing.pool.as_deref() == Some(pool.name) {
            add_to(&mut total, &existing.capacity);
            add_to(&mut total, &one_node());
        }
    }
    total
}

pub(crate) fn one_node() -> Resources {
    Resources::from([("nodes".to_owned(), Quantity::whole(1))])
}

/// What a claim may turn out to use at most.
pub(crate) fn most_of(claim: &Claim<'_, '_>) -> Resources {
    let mut most = one_node();
    for option in &claim.options {
        raise_to(&mut most, &option.kind.capacity);
    }
    most
}

/// What the claims of a pool may turn out to use at most.
pub(crate) fn planned(pool: &Pool<'_>, plan: &Plan<'_, '_>) -> Resources {
    let mut total = Resources::new();
    for claim in plan.claims.iter().filter(|claim| claim.printed.node_pool == pool.name) {
        add_to(&mut total, &most_of(claim));
    }
    total
}

pub(crate) fn check(plan: &Plan<'_, '_>, world: &World<'_>, found: &mut Vec<Violation>) {
    for pool in &world.pools {
        if !plan.claims.iter().any(|claim| claim.printed.node_pool == pool.name) {
            continue;
        }
        let (used, more) = (in_use(pool, world), planned(pool, plan));
        for (name, &limit) in pool.limits {
            let (used, more) = (amount(&used, name), amount(&more, name));
            if used + more > limit {
                let message = format!(
                    "NodePool {}: {used} of {name} in use and up to {more} planned, the limit is {limit}",
                    pool.name
                );
                found.push(Violation::new(Rule::NodePoolLimit, message));
            }
        }
    }
    check_reservations(plan, world, found);
}

/// Claims that can only become reserved capacity need a reservation each.
fn check_reservations(plan: &Plan<'_, '_>, world: &World<'_>, found: &mut Vec<Violation>) {
    let label = &world.scenario.settings.reservation_id_label;
    if label.is_empty() {
        return;
    }
    let mut room: BTreeMap<String, usize> = BTreeMap::new();
    let mut wants: Vec<(&str, BTreeSet<String>)> = Vec::new();
    for claim in &plan.claims {
        let mut ids = BTreeSet::new();
        let mut only_reserved = true;
        for (offering, _) in claim.options.iter().flat_map(|option| &option.offerings) {
            let requirements = offering_requirements(offering, &world.dialect);
            let of =
                |key: &str| requirements.get(key).and_then(|allowed| allowed.single()).map(str::to_owned);
            match of(label).filter(|_| of(CAPACITY_TYPE).as_deref() == Some("reserved")) {
                Some(id) => {
                    let capacity = offering.reservation_capacity.unwrap_or_default();
                    let least = room.entry(id.clone()).or_insert(capacity);
                    *least = capacity.min(*least);
                    ids.insert(id);
                }
                None => only_reserved = false,
            }
        }
        if only_reserved && !ids.is_empty() {
            wants.push((&claim.name, ids));
        }
    }
    // Bipartite matching, one claim after the other, moving earlier claims where they have another choice.
    let mut holders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for index in 0..wants.len() {
        if !seat(index, &wants, &room, &mut holders, &mut BTreeSet::new()) {
            let (name, ids) = &wants[index];
            let message = format!("no unit is left of the reservations {ids:?} that it needs");
            found.push(Violation::new(Rule::Reservation, message).host(name));
        }
    }
}

fn seat(
    claim: usize,
    wants: &[(&str, BTreeSet<String>)],
    room: &BTreeMap<String, usize>,
    holders: &mut BTreeMap<String, Vec<usize>>,
    tried: &mut BTreeSet<String>,
) -> bool {
    for id in &wants[claim].1 {
        if !tried.insert(id.clone()) {
            continue;
        }
        let capacity = room.get(id).copied().unwrap_or_default();
        let held = holders.get(id).cloned().unwrap_or_default();
        if held.len() < capacity {
            holders.entry(id.clone()).or_default().push(claim);
            return true;
        }
        for (position, other) in held.into_iter().enumerate() {
            if seat(other, wants, room, holders, tried) {
                if let Some(list) = holders.get_mut(id) {
                    list[position] = claim;
                }
                return true;
            }
        }
    }
    false
}
