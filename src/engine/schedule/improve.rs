//! Cheaper nodes for pods that no constraint ties to others: of the nodes of a plan that differ in their pods alone, the pods are put together anew.
//!
//! First-fit asks which node takes a pod; here it is asked which pods fill a node best. Each resource gets a shadow price, the highest at which no
//! size of node is worth more than it costs; then the size is taken whose filling is worth most for its price, until no pod is left. Mixed
//! processor- and memory-heavy pods so end up on nodes that they fill in both.
//!
//! **Invariant:** the plan never becomes dearer, and every node still holds what is asked of it: what is put together anew counts only
//! where it costs less than what was there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fits::{Fit, FitList};
use super::pass::{Placement, Planned};
use super::requirements::ReqId;
use super::setup::Setup;
use super::supply::Shape;
use crate::model::{Price, Resources};

/// So many sizes are tried for a node: of those that are worth their price, and of the cheapest.
const SIZES_TRIED: usize = 16;

/// So often everything is put together anew, each time at what the round before paid for each kind of pod.
const ROUNDS: usize = 6;

/// Steps between the ratios of shadow prices that are tried; each is a quarter more than the one before.
const RATIOS: i32 = 40;

/// Puts pods together anew where that makes a placement cheaper; at most for so much work.
pub(super) fn improve(setup: &mut Setup<'_>, placement: &mut Placement, budget: u64) {
    let mut alike: BTreeMap<(usize, ReqId), Vec<usize>> = BTreeMap::new();
    for (at, planned) in placement.planned.iter().enumerate() {
        if is_free(setup, planned) {
            alike.entry((planned.pool, planned.requirements)).or_default().push(at);
        }
    }
    let limit = placement.work + budget;
    let mut gone: Vec<usize> = Vec::new();
    let mut made: Vec<Planned> = Vec::new();
    for ((pool, requirements), nodes) in alike {
        let before: i128 = nodes.iter().map(|at| i128::from(placement.planned[*at].price.0)).sum();
        let pods: Vec<usize> =
            nodes.iter().flat_map(|at| placement.planned[*at].pods.iter().copied()).collect();
        let fits = {
            let (rules, pools) = (setup.problem.rules, setup.problem.pools);
            setup.supply.fits(rules, pools, &setup.interner, pool, requirements)
        };
        let mut packing = Packing {
            shapes: &setup.supply.pools[pool].shapes,
            fits: Arc::clone(&fits),
            kinds: kinds(setup, &pods),
            work: 0,
        };
        let Some(patterns) = packing.run(before, limit.saturating_sub(placement.work)) else {
            placement.work += packing.work;
            continue;
        };
        placement.work += packing.work;
        let nodes_made: Option<Vec<Planned>> =
            patterns.into_iter().map(|pods| node(setup, pool, requirements, &fits, pods)).collect();
        let Some(nodes_made) = nodes_made else { continue };
        let after: i128 = nodes_made.iter().map(|planned| i128::from(planned.price.0)).sum();
        if after < before {
            gone.extend(nodes);
            made.extend(nodes_made);
        }
    }
    replace(setup, placement, &gone, made);
}

/// Whether the pods of a node could be put elsewhere without anybody else noticing.
fn is_free(setup: &Setup<'_>, planned: &Planned) -> bool {
    let offer = &setup.problem.pools[planned.pool];
    // Limits are a ledger that only a pass keeps; what is reserved or wanted in variety is not a matter of price alone.
    offer.limits().is_none()
        && planned.draws_on.is_empty()
        && !setup.interner.has_min_values(planned.requirements)
        && planned.ports.is_empty()
        && planned.pods.iter().all(|pod| {
            let class = setup.class_of[*pod];
            let ties = &setup.levels[class][0].ties;
            let plain =
                |amounts: &Resources| amounts.other().next().is_none() && amounts.ephemeral_bytes == 0;
            setup.levels[class].len() == 1
                && ties.is_none()
                && setup.classes[class].volumes.is_empty()
                && setup.classes[class].claims.known().is_some_and(<[_]>::is_empty)
                && setup.problem.pods[*pod].group.is_none()
                && plain(&setup.classes[class].spec.requests)
        })
}

/// Pods that ask for the same.
struct Kind {
    requests: Resources,
    pods: Vec<usize>,
    /// What one of them is worth: at first by shadow prices, then what the round before paid for it.
    worth: i128,
}

fn kinds(setup: &Setup<'_>, pods: &[usize]) -> Vec<Kind> {
    let mut by_size: BTreeMap<&Resources, Vec<usize>> = BTreeMap::new();
    for pod in pods {
        by_size.entry(&setup.classes[setup.class_of[*pod]].spec.requests).or_default().push(*pod);
    }
    by_size.into_iter().map(|(requests, pods)| Kind { requests: requests.clone(), pods, worth: 0 }).collect()
}

/// A node for these pods.
fn node(
    setup: &Setup<'_>,
    pool: usize,
    requirements: ReqId,
    list: &Arc<FitList>,
    pods: Vec<usize>,
) -> Option<Planned> {
    let mut requests = Resources::default();
    for pod in &pods {
        requests.add(&setup.classes[setup.class_of[*pod]].spec.requests);
    }
    Planned::untied(setup, pool, requirements, list, pods, requests)
}

/// Puts nodes in the place of others.
fn replace(setup: &Setup<'_>, placement: &mut Placement, gone: &[usize], made: Vec<Planned>) {
    if gone.is_empty() {
        return;
    }
    let hosts = setup.problem.hosts.len();
    let stays = |at: &usize| !gone.contains(at);
    let old = std::mem::take(&mut placement.planned);
    placement.planned = old
        .into_iter()
        .enumerate()
        .filter(|(at, _)| stays(at))
        .map(|(_, planned)| planned)
        .chain(made)
        .collect();
    for (at, planned) in placement.planned.iter().enumerate() {
        for pod in &planned.pods {
            placement.target[*pod] = Some((hosts + at) as u32);
        }
    }
}

/// Shadow prices of a thousandth of a core and of a mebibyte, in 2^-20 of the unit of prices.
#[derive(Debug, Clone, Copy)]
struct Shadow {
    cpu: i128,
    memory: i128,
}

impl Shadow {
    fn worth(&self, amounts: &Resources) -> i128 {
        self.cpu * i128::from(amounts.cpu_millis.max(0))
            + self.memory * i128::from(amounts.memory_bytes.max(0) >> 20)
    }
}

struct Packing<'a> {
    shapes: &'a [Shape],
    fits: Arc<FitList>,
    kinds: Vec<Kind>,
    work: u64,
}

/// Kinds of pods on a node, and how many of each.
type Pattern = Vec<(usize, usize)>;

/// Nodes as they were put together, with their prices.
type Round = Vec<(Price, Pattern)>;

impl Packing<'_> {
    /// The pods of each node, if all of them together may cost less than so much.
    fn run(&mut self, before: i128, budget: u64) -> Option<Vec<Vec<usize>>> {
        let shadow = self.shadow()?;
        for kind in &mut self.kinds {
            kind.worth = shadow.worth(&kind.requests).max(1);
        }
        let mut best: Option<(i128, Round)> = None;
        for _ in 0..ROUNDS {
            let spent = self.work;
            let round = self.round(shadow)?;
            let cost = round.iter().map(|(price, _)| i128::from(price.0)).sum();
            self.charge(&round);
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, round));
            }
            if self.work + (self.work - spent) > budget {
                break;
            }
        }
        let (cost, round) = best?;
        (cost < before).then(|| self.dealt(&round))
    }

    /// Puts all pods on nodes, each time on the size whose filling is worth most for its price.
    fn round(&mut self, shadow: Shadow) -> Option<Round> {
        let mut left: Vec<usize> = self.kinds.iter().map(|kind| kind.pods.len()).collect();
        let mut round = Round::new();
        while left.iter().any(|count| *count > 0) {
            let (fit, pattern) = self.best(shadow, &left)?;
            // The same again, as long as the mix of what is left stays much the same.
            let most = pattern.iter().map(|(kind, count)| left[*kind] / count).min()?;
            for _ in 0..(most / 4).max(1) {
                for (kind, count) in &pattern {
                    left[*kind] -= count;
                }
                round.push((fit.price, pattern.clone()));
            }
        }
        Some(round)
    }

    /// Lets kinds be worth more that were dear to place, and less that were cheap.
    fn charge(&mut self, round: &Round) {
        let mut paid = vec![0i128; self.kinds.len()];
        for (price, pattern) in round {
            let all: i128 =
                pattern.iter().map(|(kind, count)| self.kinds[*kind].worth * *count as i128).sum();
            for (kind, count) in pattern {
                let own = self.kinds[*kind].worth * *count as i128;
                paid[*kind] += (i128::from(price.0) << 20) * own / all.max(1);
            }
        }
        for (kind, paid) in self.kinds.iter_mut().zip(paid) {
            let each = paid / (kind.pods.len() as i128).max(1);
            kind.worth = ((kind.worth + each) / 2).max(1);
        }
    }

    /// The pods themselves.
    fn dealt(&self, round: &Round) -> Vec<Vec<usize>> {
        let mut next = vec![0usize; self.kinds.len()];
        let deal = |(_, pattern): &(Price, Pattern)| {
            let mut pods = Vec::new();
            for (kind, count) in pattern {
                pods.extend(&self.kinds[*kind].pods[next[*kind]..next[*kind] + count]);
                next[*kind] += count;
            }
            pods
        };
        round.iter().map(deal).collect()
    }

    /// The shadow prices at which what is left is worth most while no size of node is worth more than it costs.
    fn shadow(&mut self) -> Option<Shadow> {
        let mut left = Resources::default();
        for kind in &self.kinds {
            left.cpu_millis += kind.requests.cpu_millis * kind.pods.len() as i64;
            left.memory_bytes += kind.requests.memory_bytes * kind.pods.len() as i64;
        }
        let mut best: Option<(i128, Shadow)> = None;
        // A thousandth of a core against a mebibyte, from far more to far less.
        let mut ratio: (i128, i128) = (1 << 20, 1 << 14);
        for _ in 0..RATIOS {
            self.work += self.fits.fits.len() as u64;
            let unit = Shadow { cpu: ratio.1, memory: ratio.0 };
            // The scale at which the size that is worth most is worth just its price.
            let scale = self
                .fits
                .fits
                .iter()
                .filter_map(|fit| {
                    let worth = unit.worth(&self.shapes[fit.shape as usize].free);
                    (worth > 0).then(|| (i128::from(fit.price.0) << 60) / worth)
                })
                .min()?;
            let shadow = Shadow { cpu: (unit.cpu * scale) >> 40, memory: (unit.memory * scale) >> 40 };
            let worth = shadow.worth(&left);
            if best.is_none_or(|(most, _)| worth > most) {
                best = Some((worth, shadow));
            }
            ratio = (ratio.0 * 4 / 5, ratio.1 * 5 / 4);
        }
        best.map(|(_, shadow)| shadow)
    }

    /// The size whose filling is worth most for its price, and how many of each kind fill it.
    fn best(&mut self, shadow: Shadow, left: &[usize]) -> Option<(Fit, Pattern)> {
        let mut best: Option<(i128, Fit, Pattern)> = None;
        for fit in self.promising(shadow, left) {
            let free = &self.shapes[fit.shape as usize].free;
            for largest_first in [false, true] {
                let pattern = self.fill(free, left, largest_first);
                let pods: usize = pattern.iter().map(|(_, count)| count).sum();
                self.work += (self.kinds.len() * (1 + pods)) as u64;
                let worth: i128 =
                    pattern.iter().map(|(kind, count)| self.kinds[*kind].worth * *count as i128).sum();
                let better = best.as_ref().is_none_or(|(most, of, _)| {
                    worth * i128::from(of.price.0) > most * i128::from(fit.price.0)
                });
                if worth > 0 && better {
                    best = Some((worth, fit, pattern));
                }
            }
        }
        best.map(|(_, fit, pattern)| (fit, pattern))
    }

    /// The sizes to try: those that are worth most for their price, and the cheapest that hold anything.
    fn promising(&self, shadow: Shadow, left: &[usize]) -> Vec<Fit> {
        let worth = |fit: &Fit| shadow.worth(&self.shapes[fit.shape as usize].free);
        let holds_any = |fit: &&Fit| {
            let free = &self.shapes[fit.shape as usize].free;
            let mut kinds = self.kinds.iter().zip(left);
            kinds.any(|(kind, left)| *left > 0 && kind.requests.fits(free))
        };
        let mut sizes: Vec<Fit> = self.fits.fits.iter().filter(holds_any).copied().collect();
        sizes.sort_by(|a, b| {
            let (left, right) = (i128::from(a.price.0) * worth(b), i128::from(b.price.0) * worth(a));
            (left, a.price, a.shape).cmp(&(right, b.price, b.shape))
        });
        let mut tried: Vec<Fit> = sizes.iter().take(SIZES_TRIED).copied().collect();
        sizes.sort_by_key(|fit| (fit.price, fit.shape));
        tried.extend(sizes.into_iter().take(SIZES_TRIED));
        tried
    }

    /// How many of each kind to put on a node: again and again the kind that is worth most, or that goes best with what is left of the node.
    fn fill(&self, free: &Resources, left: &[usize], largest_first: bool) -> Pattern {
        let mut room = free.clone();
        let mut counts = vec![0usize; self.kinds.len()];
        let share = |amount: i64, of: i64| -> i128 {
            if of <= 0 { 0 } else { (i128::from(amount) << 20) / i128::from(of) }
        };
        loop {
            let (cpu_left, memory_left) =
                (share(room.cpu_millis, free.cpu_millis), share(room.memory_bytes, free.memory_bytes));
            let mut best: Option<(i128, usize)> = None;
            for (at, kind) in self.kinds.iter().enumerate() {
                if counts[at] >= left[at] || !kind.requests.fits(&room) {
                    continue;
                }
                // What takes most of what there is most of, or what is dearest elsewhere.
                let takes = share(kind.requests.cpu_millis, free.cpu_millis) * cpu_left
                    + share(kind.requests.memory_bytes, free.memory_bytes) * memory_left;
                let score = if largest_first { kind.worth } else { takes };
                if best.is_none_or(|(most, _)| score > most) {
                    best = Some((score, at));
                }
            }
            let Some((_, at)) = best else { break };
            counts[at] += 1;
            room.subtract(&self.kinds[at].requests);
        }
        counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect()
    }
}
