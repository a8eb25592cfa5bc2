//! Nodes that are planned: a set of types that could hold all pods so far, under requirements that become narrower.

use std::collections::BTreeSet;

use super::reservations::drawn_on;
use super::{Answer, Pass};
use crate::model::{HostPort, Price, Resources, Str};
use crate::schedule::pass::host::conflict;
use crate::schedule::problem::sole;
use crate::schedule::requirements::{Interner, ReqId};
use crate::schedule::supply::Fit;
use crate::schedule::topology::{Domain, Groups, KeyId, Kind};

/// A node as it is being filled.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct Planned {
    /// Index of the pool.
    pub pool: usize,
    /// What its labels satisfy.
    pub requirements: ReqId,
    /// Shapes that can hold all pods so far, by shape.
    pub fits: Vec<Fit>,
    /// What its pods ask for.
    pub requests: Resources,
    /// The most that is left on any of the shapes.
    pub headroom: Resources,
    /// The lowest price among the shapes.
    pub price: Price,
    /// Indices of pods.
    pub pods: Vec<usize>,
    pub ports: Vec<HostPort>,
    /// What is set aside of the pool's limits.
    pub reserved: Resources,
    /// Reservations of one of which it takes an instance.
    pub draws_on: BTreeSet<Str>,
    /// Whether `minValues` was let go.
    pub min_values_relaxed: bool,
}

impl Planned {
    /// The domain of a label, if it is certain.
    pub(in crate::schedule) fn domain(
        &self,
        interner: &Interner,
        groups: &Groups,
        key: KeyId,
    ) -> Option<Domain> {
        let key = groups.key(key);
        let label = key.label.as_deref().unwrap_or_default();
        key.find(sole(interner.get(self.requirements).get(label)?)?)
    }

    /// The domains of a label in which it may come to be.
    pub(super) fn domains(&self, interner: &Interner, groups: &Groups, key: KeyId) -> Vec<Domain> {
        let key = groups.key(key);
        let now = key.label.as_deref().and_then(|label| interner.get(self.requirements).get(label));
        let possible = |domain: &Domain| now.is_none_or(|now| now.has(&key.values[*domain as usize]));
        key.of_pool[self.pool].iter().copied().filter(possible).collect()
    }
}

impl Pass<'_, '_> {
    /// Asks a planned node to take a pod of a class.
    pub(super) fn ask_planned(&mut self, class: usize, level: usize, at: usize) -> Answer {
        let spec = self.setup.classes[class].spec;
        let planned = &self.at.planned[at];
        if !spec.requests.fits(&planned.headroom) {
            // A tight node may still become a larger one.
            if !self.style.tight {
                return Answer::Never;
            }
        }
        let pool = planned.pool;
        if !self.setup.levels[class][level].pools[pool] {
            return Answer::Never;
        }
        if conflict(&spec.host_ports, &planned.ports).is_some() {
            return Answer::Never;
        }
        let target = (self.setup.problem.hosts.len() + at) as Domain;
        if let Some(answer) = self.refusal_by_name(class, level, target) {
            return answer;
        }
        let (node, requests) = (planned.requirements, planned.requests.plus(&spec.requests));
        let before = planned.price;
        let mut answer = Answer::Never;
        for alternative in 0..self.setup.levels[class][level].alternatives.len() {
            let wanted = self.setup.levels[class][level].alternatives[alternative];
            let Some(both) = self.setup.interner.meet(self.setup.problem.rules, node, wanted) else {
                continue;
            };
            if !self.setup.levels[class][level].ties.keys.is_empty() {
                answer = Answer::NotNow;
            }
            let Some((requirements, fits)) = self.settle(class, level, pool, both, Some(at), &requests)
            else {
                continue;
            };
            let price = cheapest(&fits);
            if self.style.frugal
                && price > before
                && self.alone(class, level, pool).is_some_and(|alone| price > Price(before.0 + alone.0))
            {
                continue;
            }
            let planned = &mut self.at.planned[at];
            planned.requirements = requirements;
            planned.fits = fits;
            planned.requests = requests;
            planned.ports.extend(spec.host_ports.iter().cloned());
            if requirements != node {
                self.count_held(at, node);
            }
            self.refresh(at);
            return Answer::Taken;
        }
        answer
    }

    /// Opens a node for a pod of a class from the first pool that can.
    pub(super) fn open(&mut self, class: usize, level: usize) -> Option<u32> {
        let spec = self.setup.classes[class].spec;
        let target = (self.setup.problem.hosts.len() + self.at.planned.len()) as Domain;
        if self.refusal_by_name(class, level, target).is_some() {
            return None;
        }
        for pool in 0..self.setup.problem.pools.len() {
            if !self.setup.levels[class][level].pools[pool] {
                continue;
            }
            let own = self.setup.supply.pools[pool].requirements;
            for alternative in 0..self.setup.levels[class][level].alternatives.len() {
                let wanted = self.setup.levels[class][level].alternatives[alternative];
                let Some(both) = self.setup.interner.meet(self.setup.problem.rules, own, wanted) else {
                    continue;
                };
                let settled = self.settle(class, level, pool, both, None, &spec.requests);
                let Some((requirements, fits)) = settled else { continue };
                let min_values_relaxed = !self.min_values_hold(pool, requirements, &fits);
                self.at.ledger[pool].1 += 1;
                self.at.planned.push(Planned {
                    pool,
                    requirements,
                    fits,
                    requests: spec.requests.clone(),
                    headroom: Resources::default(),
                    price: Price(0),
                    pods: Vec::new(),
                    ports: spec.host_ports.clone(),
                    reserved: Resources::default(),
                    draws_on: BTreeSet::new(),
                    min_values_relaxed,
                });
                self.refresh(self.at.planned.len() - 1);
                return Some(target);
            }
        }
        None
    }

    /// What a node of a pool costs at least for one pod of a class alone.
    fn alone(&mut self, class: usize, level: usize, pool: usize) -> Option<Price> {
        if let Some(known) = self.setup.alone.get(&(class, level, pool)) {
            return *known;
        }
        let own = self.setup.supply.pools[pool].requirements;
        let requests = &self.setup.classes[class].spec.requests;
        let mut best = None;
        for alternative in 0..self.setup.levels[class][level].alternatives.len() {
            let wanted = self.setup.levels[class][level].alternatives[alternative];
            let Some(both) = self.setup.interner.meet(self.setup.problem.rules, own, wanted) else {
                continue;
            };
            let (problem, interner) = (&self.setup.problem, &self.setup.interner);
            let fits = self.setup.supply.fits(problem.rules, problem.pools, interner, pool, both);
            let shapes = &self.setup.supply.pools[pool].shapes;
            let holds = |fit: &&Fit| requests.fits(&shapes[fit.shape as usize].free);
            let price = fits.iter().filter(holds).map(|fit| fit.price).min();
            best = best.into_iter().chain(price).min();
        }
        self.setup.alone.insert((class, level, pool), best);
        best
    }

    /// Whether constraints on host names keep a class away from a target.
    fn refusal_by_name(&self, class: usize, level: usize, target: Domain) -> Option<Answer> {
        let ties = &self.setup.levels[class][level].ties;
        if ties.owned.is_empty() && ties.unwanted_by.is_empty() {
            return None;
        }
        let groups = &self.setup.groups;
        let counts = &self.at.counts;
        let by_name = |id: &_| groups.group(*id).key == KeyId::HOSTNAME;
        if ties.unwanted_by.iter().any(|id| by_name(id) && counts.of(*id, target) > 0) {
            return Some(Answer::Never);
        }
        let refused =
            ties.owned.iter().find(|owned| by_name(&owned.group) && !counts.allows(groups, owned, target))?;
        Some(match groups.group(refused.group).of.kind {
            Kind::Affinity => Answer::NotNow,
            _ => Answer::Never,
        })
    }

    /// Brings what follows from a planned node's shapes up to date.
    fn refresh(&mut self, at: usize) {
        let planned = &self.at.planned[at];
        let opens = planned.pods.is_empty();
        if opens || !planned.draws_on.is_empty() {
            let draws_on = drawn_on(self.setup, planned.pool, planned.requirements, &planned.fits);
            self.at.planned[at].draws_on = draws_on;
        }
        let planned = &mut self.at.planned[at];
        let shapes = &self.setup.supply.pools[planned.pool].shapes;
        let offer = &self.setup.problem.pools[planned.pool];
        let frees = planned.fits.iter().map(|fit| &shapes[fit.shape as usize].free);
        let most = most(frees).unwrap_or_default();
        planned.headroom = most.minus(&planned.requests);
        planned.price = cheapest(&planned.fits);
        if !offer.limits().resources.is_empty() {
            let capacities =
                planned.fits.iter().map(|fit| &offer.types[shapes[fit.shape as usize].type_at].capacity);
            let reserved = self::most(capacities).unwrap_or_default();
            let ledger = &mut self.at.ledger[planned.pool].0;
            ledger.subtract(&planned.reserved);
            ledger.add(&reserved);
            planned.reserved = reserved;
        }
    }
}

/// The lowest price.
pub(in crate::schedule) fn cheapest(fits: &[Fit]) -> Price {
    fits.iter().map(|fit| fit.price).min().unwrap_or_default()
}

/// The largest of each amount.
fn most<'r>(mut all: impl Iterator<Item = &'r Resources>) -> Option<Resources> {
    let mut most = all.next()?.clone();
    for one in all {
        most.cpu_millis = most.cpu_millis.max(one.cpu_millis);
        most.memory_bytes = most.memory_bytes.max(one.memory_bytes);
        most.ephemeral_bytes = most.ephemeral_bytes.max(one.ephemeral_bytes);
        most.pods = most.pods.max(one.pods);
        for (name, amount) in one.other() {
            if amount > most.get(name.as_str()) {
                most.set(name.as_str(), amount);
            }
        }
    }
    Some(most)
}
