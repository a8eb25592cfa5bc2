//! Pods of planned nodes, as groups count them.
//!
//! A planned node may turn out to be in one of several domains, and to be one that a group looks at or not. Both become clearer as it is filled.
//!
//! **Invariant:** what a planned node contributes to the counts is what follows from its requirements and types as they are.

use std::sync::Arc;

use super::planned::possible_domains;
use super::{Placement, Planned};
use crate::model::label;
use crate::schedule::fits::Fit;
use crate::schedule::problem::BuyOption;
use crate::schedule::setup::Setup;
use crate::schedule::topology::{Domain, GroupId, KeyId};

/// Pods of a planned node that a group counts.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct Counted {
    group: GroupId,
    pods: u32,
    seen: Seen,
}

/// How a group sees a planned node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Seen {
    /// The domains in which it may be.
    possible: Vec<Domain>,
    /// The one in which it is for sure.
    certain: Option<Domain>,
}

/// Counts one more pod of a planned node.
pub(super) fn add(setup: &Setup<'_>, placement: &mut Placement, at: usize, group: GroupId) {
    placement.counts.add_anywhere(group);
    let planned = &mut placement.planned[at];
    let place = match planned.counted.binary_search_by_key(&group, |counted| counted.group) {
        Ok(place) => place,
        Err(place) => {
            // Most groups look at the nodes of some pools only.
            let Some(seen) = seen(setup, planned, at, group) else { return };
            planned.counted.insert(place, Counted { group, pods: 0, seen });
            place
        }
    };
    let counted = &mut planned.counted[place];
    counted.pods += 1;
    let groups = &setup.groups;
    for domain in &counted.seen.possible {
        placement.counts.change_possible(groups, group, *domain, 1);
    }
    if let Some(domain) = counted.seen.certain {
        placement.counts.change_certain(groups, group, domain, 1);
    }
}

/// Counts the pods of a planned node again, now that less is open about it.
pub(super) fn refresh(setup: &Setup<'_>, placement: &mut Placement, at: usize) {
    let planned = &mut placement.planned[at];
    let mut all = std::mem::take(&mut planned.counted);
    for counted in &mut all {
        let settled = counted.seen.possible.is_empty()
            || counted.seen.certain.is_some() && setup.groups.group(counted.group).of.nodes.is_any();
        if settled {
            continue;
        }
        let now = seen(setup, planned, at, counted.group).unwrap_or_default();
        if now == counted.seen {
            continue;
        }
        let pods = i64::from(counted.pods);
        for (seen, change) in [(&counted.seen, -pods), (&now, pods)] {
            for domain in &seen.possible {
                placement.counts.change_possible(&setup.groups, counted.group, *domain, change);
            }
            if let Some(domain) = seen.certain {
                placement.counts.change_certain(&setup.groups, counted.group, domain, change);
            }
        }
        counted.seen = now;
    }
    placement.planned[at].counted = all;
}

/// How a group sees a planned node; `None` if it does not look there.
fn seen(setup: &Setup<'_>, planned: &Planned, at: usize, id: GroupId) -> Option<Seen> {
    let groups = &setup.groups;
    let key = groups.group(id).key;
    let (may_look, looks) = looks(setup, planned, id);
    if !may_look {
        return None;
    }
    let sure = if key == KeyId::HOSTNAME {
        Some((setup.problem.hosts.len() + at) as Domain)
    } else {
        planned.domain(key)
    };
    let possible = match sure {
        Some(domain) => vec![domain],
        None => buyable_domains(setup, planned, key),
    };
    // A zone that is the only one in which what is left can be bought is certain, though nobody asked for it.
    let offered = groups.key(key).label.as_deref();
    let sure = match (possible.as_slice(), offered) {
        ([only], Some(label::ZONE | label::CAPACITY_TYPE)) => Some(*only),
        _ => sure,
    };
    Some(Seen { possible, certain: sure.filter(|_| looks) })
}

/// The domains of a label in which a planned node may come to be: those in which one of the types that are left can be bought.
fn buyable_domains(setup: &Setup<'_>, planned: &Planned, id: KeyId) -> Vec<Domain> {
    let memo = (planned.pool, planned.requirements, id);
    let known = setup.buyable.borrow().get(&memo).map(Arc::clone);
    let by_domain = known.unwrap_or_else(|| {
        let found = Arc::new(buyable(setup, planned, id));
        setup.buyable.borrow_mut().insert(memo, Arc::clone(&found));
        found
    });
    let asked = planned.asked(&setup.supply.pools[planned.pool].shapes);
    let left = |(_, fits): &&(Domain, Vec<Fit>)| fits.iter().any(|fit| asked.holds(fit));
    by_domain.iter().filter(left).map(|(domain, _)| *domain).collect()
}

/// The shapes that can be bought in each domain under a planned node's requirements, the largest in front, since they are left the longest.
fn buyable(setup: &Setup<'_>, planned: &Planned, id: KeyId) -> Vec<(Domain, Vec<Fit>)> {
    let (groups, interner) = (&setup.groups, &setup.interner);
    let key = groups.key(id);
    let label = key.label.as_deref().unwrap_or_default();
    let offer = &setup.problem.pools[planned.pool];
    let pool = &setup.supply.pools[planned.pool];
    let list = planned.asked(&pool.shapes).list;
    let mut fits = list.fits.clone();
    fits.sort_by_key(|fit| {
        let free = &pool.shapes[fit.shape as usize].free;
        (-free.cpu_millis, -free.memory_bytes, fit.shape)
    });
    let in_domain = |domain: Domain| {
        let value = &key.values[domain as usize];
        let there = |buy: &BuyOption| buy.requirements.get(label).is_none_or(|one| one.has(value));
        let allowed = list.allowed_and(pool, offer, there);
        let is_sold = |fit: &&Fit| {
            let type_at = pool.shapes[fit.shape as usize].type_at;
            pool.terms.sold(&offer.types, type_at, &allowed).next().is_some()
        };
        (domain, fits.iter().filter(is_sold).copied().collect())
    };
    let possible = possible_domains(interner, groups, planned.pool, planned.requirements, id);
    possible.into_iter().map(in_domain).collect()
}

/// Whether a group may look at a planned node, and whether it does so for sure.
fn looks(setup: &Setup<'_>, planned: &Planned, id: GroupId) -> (bool, bool) {
    let group = setup.groups.group(id);
    let nodes = &group.of.nodes;
    if nodes.is_any() {
        return (true, true);
    }
    let problem = &setup.problem;
    let offer = &problem.pools[planned.pool];
    let shapes = &setup.supply.pools[planned.pool].shapes;
    let node = setup.interner.get(planned.requirements);
    let type_of = |fit: &Fit| &*offer.types[shapes[fit.shape as usize].type_at];
    let of_all = || {
        let looks = nodes.allows_planned(problem, offer, node);
        let all = planned.asked(shapes).list.fits.iter().map(type_of);
        (looks, looks && nodes.surely_allows(node, all))
    };
    let key = (group.filter, planned.pool, planned.requirements);
    let (may_look, looks) = *setup.looks_at.borrow_mut().entry(key).or_insert_with(of_all);
    // What does not hold for all types may do so for those that are left.
    let looks = looks || {
        let left: Vec<Fit> = if may_look { planned.asked(shapes).left().collect() } else { Vec::new() };
        may_look && nodes.surely_allows(node, left.iter().map(type_of))
    };
    (may_look, looks)
}
