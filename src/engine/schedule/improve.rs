//! Cheaper nodes for pods that may change places: of the nodes of a plan that differ in their pods alone, the pods are packed anew (`packing`).
//!
//! First-fit asks which node takes a pod; here it is asked which pods fill a node best.
//!
//! **Invariant:** the plan never becomes dearer, every node still holds what is asked of it, and nobody who counts pods by domain notices.

use std::collections::{BTreeMap, BTreeSet};

use super::pass::{Placement, Planned};
use super::requirements::ReqId;
use super::setup::Setup;
use super::topology::KeyId;
use crate::model::Resources;
use crate::packing::{self, Axes, Bin, Item};

/// What packing may cost: so much, so much for each pod, and so much for each class of the first so many. A unit is some hundredths of a
/// microsecond.
const LEAST_WORK: u64 = 3_000_000;
const WORK_PER_POD: u64 = 2_000;
const WORK_PER_CLASS: u64 = 12_000;
const MOST_CLASSES: u64 = 1_000;

/// Packs pods anew where that makes a placement cheaper; at most for so much work.
pub(super) fn improve(setup: &Setup<'_>, placement: &mut Placement, budget: u64) {
    let mut alike: BTreeMap<(usize, ReqId), Vec<usize>> = BTreeMap::new();
    for (at, planned) in placement.planned.iter().enumerate() {
        if is_free(setup, planned) {
            alike.entry((planned.pool, planned.requirements)).or_default().push(at);
        }
    }
    let (pods, classes) = (setup.problem.pods.len() as u64, setup.classes.len() as u64);
    let share = LEAST_WORK + WORK_PER_POD * pods + WORK_PER_CLASS * classes.min(MOST_CLASSES);
    let limit = placement.work.saturating_add(budget.min(share));
    let mut gone = BTreeSet::new();
    let mut made: Vec<Planned> = Vec::new();
    for nodes in alike.into_values() {
        let of_nodes: Vec<&Planned> = nodes.iter().map(|at| &placement.planned[*at]).collect();
        let (found, work) = packed_anew(setup, &of_nodes, limit.saturating_sub(placement.work));
        let set_aside = found.as_ref().map(|found| set_aside(setup, placement, &of_nodes, found));
        placement.work += work;
        if let (Some(found), Some((pool, Some(now)))) = (found, set_aside) {
            placement.ledger[pool] = now;
            gone.extend(nodes);
            made.extend(found);
        }
    }
    replace(setup, placement, &gone, made);
}

/// Whether the pods of a node could change places with those of others like it without anybody noticing.
fn is_free(setup: &Setup<'_>, planned: &Planned) -> bool {
    // What is reserved or wanted in variety is not a matter of price alone.
    planned.draws_on.is_empty()
        && !setup.interner.has_min_values(planned.requirements)
        && planned.ports.is_empty()
        && planned.devices.is_none()
        && planned.pods.iter().all(|pod| {
            let class = setup.class_of[*pod];
            let by_name = |key: &KeyId| *key == KeyId::HOSTNAME;
            // In whichever domain other nodes like it are, it is too.
            let stays = |key: &KeyId| !by_name(key) && planned.domain(*key).is_some();
            setup.classes[class].volumes.is_empty()
                && setup.classes[class].claims.known().is_some_and(<[_]>::is_empty)
                && setup.levels[class].iter().all(|level| {
                    let ties = &level.ties;
                    ties.all().all(|group| stays(&setup.groups.group(group).key))
                })
        })
}

/// Nodes that hold what these do, which differ in their pods alone, for less; and the work that it took to look for them.
fn packed_anew(setup: &Setup<'_>, nodes: &[&Planned], budget: u64) -> (Option<Vec<Planned>>, u64) {
    let Some(first) = nodes.first() else { return (None, 0) };
    let shapes = &setup.supply.pools[first.pool].shapes;
    let fits = &first.asked(shapes).list.fits;
    // Pods that ask for the same are one item.
    let mut by_size: BTreeMap<&Resources, Vec<usize>> = BTreeMap::new();
    for pod in nodes.iter().flat_map(|planned| &planned.pods) {
        by_size.entry(&setup.classes[setup.class_of[*pod]].spec.requests).or_default().push(*pod);
    }
    let axes = Axes::of(by_size.keys().copied());
    let items: Vec<Item> =
        by_size.iter().map(|(size, pods)| Item { demand: axes.amounts(size), count: pods.len() }).collect();
    let bins: Vec<Bin> = fits
        .iter()
        .map(|fit| Bin { supply: axes.amounts(&shapes[fit.shape as usize].free), price: fit.price.0 })
        .collect();
    let number: BTreeMap<&Resources, usize> =
        by_size.keys().enumerate().map(|(number, size)| (*size, number)).collect();
    let pattern = |planned: &&Planned| {
        let mut pattern: BTreeMap<usize, usize> = BTreeMap::new();
        for pod in &planned.pods {
            *pattern.entry(number[&setup.classes[setup.class_of[*pod]].spec.requests]).or_default() += 1;
        }
        pattern.into_iter().collect()
    };
    let before: i128 = nodes.iter().map(|planned| i128::from(planned.price.0)).sum();
    let (filled, work) = packing::pack(&bins, &items, nodes.iter().map(pattern).collect(), budget);
    let Some(filled) = filled.filter(|filled| packing::price(&bins, filled) < before) else {
        return (None, work);
    };
    let mut pods: Vec<&[usize]> = by_size.values().map(Vec::as_slice).collect();
    let mut take = |item: usize, count: usize| {
        let (taken, left) = pods[item].split_at(count);
        pods[item] = left;
        taken
    };
    let made: Option<Vec<Planned>> = filled
        .into_iter()
        .map(|one| {
            let pods = one.pattern.iter().flat_map(|(item, count)| take(*item, *count)).copied().collect();
            Planned::with_pods(setup, first, pods)
        })
        .collect();
    (made, work)
}

/// The pool of some nodes, and what is set aside of its limits with other nodes in their place, unless that is too much.
fn set_aside(
    setup: &Setup<'_>,
    placement: &Placement,
    before: &[&Planned],
    after: &[Planned],
) -> (usize, Option<(Resources, u32)>) {
    let pool = before.first().map_or(0, |planned| planned.pool);
    let (mut reserved, nodes) = placement.ledger[pool].clone();
    before.iter().for_each(|planned| reserved.subtract(&planned.reserved));
    after.iter().for_each(|planned| reserved.add(&planned.reserved));
    let nodes = nodes - before.len() as u32 + after.len() as u32;
    let exceeded = setup.problem.pools[pool].limits().first_exceeded(&reserved, nodes as usize);
    (pool, exceeded.is_none().then_some((reserved, nodes)))
}

/// Puts nodes in the place of others.
fn replace(setup: &Setup<'_>, placement: &mut Placement, gone: &BTreeSet<usize>, made: Vec<Planned>) {
    if gone.is_empty() {
        return;
    }
    let hosts = setup.problem.hosts.len();
    let old = std::mem::take(&mut placement.planned);
    let stay = old.into_iter().enumerate().filter(|(at, _)| !gone.contains(at));
    placement.planned = stay.map(|(_, planned)| planned).chain(made).collect();
    for (at, planned) in placement.planned.iter().enumerate() {
        for pod in &planned.pods {
            placement.target[*pod] = Some((hosts + at) as u32);
        }
    }
}
