//! Where a planned node can be, and as what, once it takes a pod: domains for the labels that constraints count by, and the shapes that are left.

use std::collections::BTreeSet;

use super::{Pass, reservations};
use super::planned::cheapest;
use crate::model::{Price, Requirement, Resources};
use crate::schedule::pass::host::conflict;
use crate::schedule::problem::{MinValues, sole};
use crate::schedule::requirements::ReqId;
use crate::schedule::supply::Fit;
use crate::schedule::topology::{Domain, KeyId, Kind};

impl Pass<'_, '_> {
    /// The narrowest change of a node's requirements that lets it take a pod of a class, with the shapes that are left; `node` is the planned node,
    /// or none for a new one. Domains that are less full come first, then cheaper ones.
    pub(super) fn settle(
        &mut self,
        class: usize,
        level: usize,
        pool: usize,
        requirements: ReqId,
        node: Option<usize>,
        requests: &Resources,
    ) -> Option<(ReqId, Vec<Fit>)> {
        self.settle_key(class, level, pool, requirements, node, requests, 0)
    }

    #[allow(clippy::too_many_arguments, reason = "a search that goes through keys one by one")]
    fn settle_key(
        &mut self,
        class: usize,
        level: usize,
        pool: usize,
        requirements: ReqId,
        node: Option<usize>,
        requests: &Resources,
        next: usize,
    ) -> Option<(ReqId, Vec<Fit>)> {
        let ties = &self.setup.levels[class][level].ties;
        let Some(id) = ties.keys.get(next).copied() else {
            return self.settle_reservation(class, pool, requirements, node, requests);
        };
        let groups = &self.setup.groups;
        let key = groups.key(id);
        let label = key.label.clone()?;
        let now = self.setup.interner.get(requirements).get(&label);
        if let Some(value) = now.and_then(sole) {
            let open = match key.find(value) {
                Some(domain) => self.at.counts.is_open(groups, ties, id, domain),
                None => !self.needs_domain(class, level, id),
            };
            return open
                .then(|| self.settle_key(class, level, pool, requirements, node, requests, next + 1))?;
        }
        let domains: Vec<Domain> = key.of_pool[pool]
            .iter()
            .copied()
            .filter(|domain| now.is_none_or(|now| now.has(&key.values[*domain as usize])))
            .collect();
        if domains.is_empty() {
            // Nodes of this pool will not have the label.
            return (!self.needs_domain(class, level, id))
                .then(|| self.settle_key(class, level, pool, requirements, node, requests, next + 1))?;
        }
        if self.style.lazy && !self.needs_domain(class, level, id) {
            let open: Vec<Domain> =
                domains.iter().copied().filter(|domain| self.at.counts.is_open(groups, ties, id, *domain)).collect();
            if open.is_empty() {
                return None;
            }
            let narrower = if open.len() == domains.len() {
                requirements
            } else {
                let values = open.iter().map(|domain| key.values[*domain as usize].clone()).collect::<Vec<_>>();
                self.setup.interner.pin(requirements, &label, Requirement::one_of(values))
            };
            return self.settle_key(class, level, pool, narrower, node, requests, next + 1);
        }
        let mut open: Vec<(u32, Price, usize, Domain)> = Vec::new();
        for domain in domains {
            let groups = &self.setup.groups;
            let ties = &self.setup.levels[class][level].ties;
            if !self.at.counts.is_open(groups, ties, id, domain) {
                continue;
            }
            let load = self.at.counts.load(groups, ties, id, domain);
            let value = groups.key(id).values[domain as usize].clone();
            let pinned = self.setup.interner.pin(requirements, &label, Requirement::one_of([value.clone()]));
            let fits = self.fits(class, pool, pinned, node, requests);
            if !fits.is_empty() {
                // Of domains that cost the same, the one with more to choose from.
                open.push((load, cheapest(&fits), usize::MAX - fits.len(), domain));
            }
        }
        let groups = &self.setup.groups;
        let values = &groups.key(id).values;
        open.sort_by(|a, b| {
            (a.0, a.1, a.2, &values[a.3 as usize]).cmp(&(b.0, b.1, b.2, &values[b.3 as usize]))
        });
        for (_, _, _, domain) in open {
            let value = self.setup.groups.key(id).values[domain as usize].clone();
            let pinned = self.setup.interner.pin(requirements, &label, Requirement::one_of([value.clone()]));
            if let Some(settled) =
                self.settle_key(class, level, pool, pinned, node, requests, next + 1)
            {
                return Some(settled);
            }
        }
        None
    }

    /// A node holds an instance of one of the reservations that are open to it, or has nothing to do with them: that is settled when it is opened.
    fn settle_reservation(
        &mut self,
        class: usize,
        pool: usize,
        requirements: ReqId,
        node: Option<usize>,
        requests: &Resources,
    ) -> Option<(ReqId, Vec<Fit>)> {
        let fits = self.fits(class, pool, requirements, node, requests);
        let holds = node.is_none_or(|at| !self.at.planned[at].draws_on.is_empty());
        let label = self.setup.problem.rules.reservation_label.clone();
        let label = label.filter(|_| holds && !self.setup.supply.pools[pool].reservations.is_empty());
        let Some(label) = label else { return self.enough(pool, requirements, node, fits) };
        let wanted = self.setup.interner.get(requirements);
        let leaves_alone = self.style.unreserved && wanted.iter().any(|(_, one)| one.min_values.is_some());
        if !leaves_alone && self.can_draw(pool, node, requirements, &fits) {
            return self.enough(pool, requirements, node, fits);
        }
        let now = self.setup.interner.get(requirements).get(&label);
        if node.is_some() || now.is_some_and(|now| !now.tolerates_absence()) {
            return None;
        }
        let without = self.setup.interner.pin(requirements, &label, Requirement::absent());
        let fits = self.fits(class, pool, without, node, requests);
        self.enough(pool, without, node, fits)
    }

    fn enough(
        &self,
        pool: usize,
        requirements: ReqId,
        node: Option<usize>,
        fits: Vec<Fit>,
    ) -> Option<(ReqId, Vec<Fit>)> {
        let may_relax = self.setup.problem.rules.min_values == MinValues::BestEffort
            && node.is_none_or(|at| self.at.planned[at].min_values_relaxed);
        let enough = !fits.is_empty() && (may_relax || self.min_values_hold(pool, requirements, &fits));
        enough.then_some((requirements, fits))
    }

    /// Whether there is an instance of a reservation for a node, beside all others that hold one.
    fn can_draw(&self, pool: usize, node: Option<usize>, requirements: ReqId, fits: &[Fit]) -> bool {
        let own = reservations::drawn_on(self.setup, pool, requirements, fits);
        let others = self.at.planned.iter().enumerate().filter(|(at, _)| Some(*at) != node);
        let sets = others.map(|(_, planned)| &planned.draws_on).filter(|set| !set.is_empty());
        !own.is_empty() && reservations::suffice(sets.chain([&own]), &self.at.reservations)
    }

    /// Whether a class has a constraint that a node without the label cannot satisfy.
    fn needs_domain(&self, class: usize, level: usize, key: KeyId) -> bool {
        let groups = &self.setup.groups;
        self.setup.levels[class][level].ties.owned.iter().any(|owned| {
            let group = groups.group(owned.group);
            group.key == key && group.of.kind != Kind::Anti
        })
    }

    /// The shapes under requirements that hold so much and are within the pool's limits.
    fn fits(
        &mut self,
        class: usize,
        pool: usize,
        requirements: ReqId,
        node: Option<usize>,
        requests: &Resources,
    ) -> Vec<Fit> {
        let tight = self.style.tight;
        let limited = !self.setup.problem.pools[pool].limits().is_none();
        // What a node has left can only become less, unless it was held small.
        let held = node.filter(|_| !(tight && limited)).map(|at| &self.at.planned[at]);
        let problem = &self.setup.problem;
        let fits = self.setup.supply.fits(problem.rules, problem.pools, &self.setup.interner, pool, requirements);
        let shapes = &self.setup.supply.pools[pool].shapes;
        let ports = &self.setup.classes[class].spec.host_ports;
        let holds = |fit: &Fit| {
            let shape = &shapes[fit.shape as usize];
            requests.fits(&shape.free) && conflict(ports, &shape.ports).is_none()
        };
        let mut left: Vec<Fit> = match held {
            Some(planned) if planned.requirements == requirements => {
                self.at.work += planned.fits.len() as u64;
                planned.fits.iter().filter(|fit| holds(fit)).copied().collect()
            }
            Some(planned) => {
                self.at.work += planned.fits.len() as u64;
                let mut allowed = fits.iter().peekable();
                let mut left = Vec::with_capacity(planned.fits.len());
                for fit in &planned.fits {
                    while allowed.next_if(|other| other.shape < fit.shape).is_some() {}
                    if let Some(same) = allowed.next_if(|other| other.shape == fit.shape)
                        && holds(same)
                    {
                        left.push(*same);
                    }
                }
                left
            }
            None => {
                self.at.work += fits.len() as u64;
                fits.iter().filter(|fit| holds(fit)).copied().collect()
            }
        };
        if limited && held.is_none() {
            self.keep_within_limits(pool, node, &mut left);
        }
        left
    }

    /// Strikes off what would exceed the pool's limits.
    fn keep_within_limits(&self, pool: usize, node: Option<usize>, fits: &mut Vec<Fit>) {
        let offer = &self.setup.problem.pools[pool];
        let shapes = &self.setup.supply.pools[pool].shapes;
        let (used, nodes) = &self.at.ledger[pool];
        let (used, nodes) = match node {
            Some(at) => (used.minus(&self.at.planned[at].reserved), *nodes as usize),
            None => (used.clone(), *nodes as usize + 1),
        };
        let capacity = |fit: &Fit| &offer.types[shapes[fit.shape as usize].type_at].capacity;
        fits.retain(|fit| offer.limits().first_exceeded(&used.plus(capacity(fit)), nodes).is_none());
        if self.style.tight
            && let Some(least) = fits.iter().min_by_key(|fit| (fit.price, fit.shape)).map(capacity)
        {
            let limits = &offer.limits().resources;
            let no_larger = |fit: &Fit| {
                limits.iter().all(|(name, _)| capacity(fit).get(name) <= least.get(name))
            };
            fits.retain(no_larger);
        }
    }

    /// Whether the types that are left have as many different values as `minValues` asks for.
    pub(super) fn min_values_hold(&self, pool: usize, requirements: ReqId, fits: &[Fit]) -> bool {
        let wanted = self.setup.interner.get(requirements);
        let offer = &self.setup.problem.pools[pool];
        let shapes = &self.setup.supply.pools[pool].shapes;
        wanted.iter().filter_map(|(key, one)| Some((key, one, one.min_values?))).all(|(key, one, least)| {
            let mut values = BTreeSet::new();
            for fit in fits {
                let of_type = &offer.types[shapes[fit.shape as usize].type_at].requirements;
                if let Some(own) = of_type.get(key).filter(|own| !own.is_complement()) {
                    values.extend(own.values().iter().filter(|value| one.has(value)));
                }
            }
            values.len() >= least as usize
        })
    }
}
