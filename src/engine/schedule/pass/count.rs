//! Pods of planned nodes, as groups count them.
//!
//! A planned node may turn out to be in one of several domains, and to be one that a group looks at or not. Both become clearer as it is filled.
//!
//! **Invariant:** what a planned node contributes to the counts is what follows from its requirements and types as they are.

use super::{Placement, Planned};
use crate::model::label;
use crate::schedule::setup::Setup;
use crate::schedule::supply::buys;
use crate::schedule::topology::{Domain, GroupId, KeyId};

/// Pods of a planned node that a group counts.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct Counted {
    group: GroupId,
    pods: u32,
    seen: Seen,
}

/// How a group sees a planned node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    /// The domains in which it may be.
    possible: Vec<Domain>,
    /// The one in which it is for sure.
    certain: Option<Domain>,
}

/// Counts one more pod of a planned node.
pub(super) fn add(setup: &Setup<'_>, placement: &mut Placement, at: usize, group: GroupId) {
    let planned = &mut placement.planned[at];
    let known = planned.counted.iter().position(|counted| counted.group == group);
    let known = known.unwrap_or_else(|| {
        let seen = seen(setup, planned, at, group);
        planned.counted.push(Counted { group, pods: 0, seen });
        planned.counted.len() - 1
    });
    let counted = &mut planned.counted[known];
    counted.pods += 1;
    placement.counts.add_anywhere(group);
    counted.seen.possible.iter().for_each(|domain| placement.counts.change_possible(group, *domain, 1));
    counted.seen.certain.iter().for_each(|domain| placement.counts.change_certain(group, *domain, 1));
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
        let now = seen(setup, planned, at, counted.group);
        if now == counted.seen {
            continue;
        }
        let pods = i64::from(counted.pods);
        for (seen, change) in [(&counted.seen, -pods), (&now, pods)] {
            for domain in &seen.possible {
                placement.counts.change_possible(counted.group, *domain, change);
            }
            if let Some(domain) = seen.certain {
                placement.counts.change_certain(counted.group, domain, change);
            }
        }
        counted.seen = now;
    }
    placement.planned[at].counted = all;
}

fn seen(setup: &Setup<'_>, planned: &Planned, at: usize, id: GroupId) -> Seen {
    let (groups, interner, problem) = (&setup.groups, &setup.interner, &setup.problem);
    let group = groups.group(id);
    let nodes = &group.of.nodes;
    let node = interner.get(planned.requirements);
    let offer = &problem.pools[planned.pool];
    if !nodes.is_any() && !nodes.allows_planned(problem, offer, node) {
        return Seen { possible: Vec::new(), certain: None };
    }
    let possible = if group.key == KeyId::HOSTNAME {
        vec![(problem.hosts.len() + at) as Domain]
    } else {
        match planned.domain(interner, groups, group.key) {
            Some(domain) => vec![domain],
            None => {
                // Only those in which one of the types that are left can be bought.
                let key = groups.key(group.key);
                let label = key.label.as_deref().unwrap_or_default();
                let shapes = &setup.supply.pools[planned.pool].shapes;
                let types = planned.fits.iter().map(|fit| &*offer.types[shapes[fit.shape as usize].type_at]);
                let offered: Vec<_> = types
                    .flat_map(|one| buys(problem.rules, one, node))
                    .map(|buy| buy.requirements.get(label))
                    .collect();
                let mut all = planned.domains(interner, groups, group.key);
                all.retain(|domain| {
                    let value = &key.values[*domain as usize];
                    offered.iter().any(|one| one.is_none_or(|one| one.has(value)))
                });
                all
            }
        }
    };
    let is_certain = || {
        let shapes = &setup.supply.pools[planned.pool].shapes;
        let types = planned.fits.iter().map(|fit| &*offer.types[shapes[fit.shape as usize].type_at]);
        let offered = groups.key(group.key).label.as_deref();
        let pinned = group.key == KeyId::HOSTNAME
            || planned.domain(interner, groups, group.key).is_some()
            || matches!(offered, Some(label::ZONE | label::CAPACITY_TYPE));
        pinned && (nodes.is_any() || nodes.surely_allows(node, types))
    };
    let certain = possible.first().copied().filter(|_| possible.len() == 1 && is_certain());
    Seen { possible, certain }
}
