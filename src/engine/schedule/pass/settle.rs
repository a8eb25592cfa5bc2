//! Where a planned node can be, and as what, once it takes a pod: domains for the labels that constraints count by, and the shapes that are left.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Pass, reservations};
use crate::model::{Headroom, Price, Requirement, Resources, Str};
use crate::schedule::bits::Bits;
use crate::schedule::fits::{Asked, Fit, FitList};
use crate::schedule::requirements::ReqId;
use crate::schedule::topology::{Domain, KeyId, Kind};
use crate::settings::MinValuesPolicy;

/// What a node that takes a pod becomes.
#[derive(Debug)]
pub(super) struct Settled {
    pub requirements: ReqId,
    /// The shapes that these allow, and which of them were struck off.
    pub list: Arc<FitList>,
    pub struck: Option<Arc<Bits>>,
    /// Where the cheapest is that is left, and its price.
    pub first: u32,
    pub price: Price,
}

impl Settled {
    /// Whether what holds a node's pods is the same as of another.
    fn is_left_as_much_as(&self, other: &Self) -> bool {
        self.list.set == other.list.set && self.struck == other.struck
    }
}

/// A domain in which a node that takes a pod may be: how full it is for those who spread, the price there, and what the node becomes.
type Open = (u32, Price, Domain, Settled);

/// A node that is asked to take a pod of a class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'r> {
    pub class: usize,
    pub level: usize,
    pub pool: usize,
    /// The planned node, or none for a new one.
    pub node: Option<usize>,
    /// What its pods would ask for, this one included.
    pub requests: &'r Resources,
    /// Shapes that lack devices for its pods.
    pub without: Option<&'r Bits>,
}

impl Pass<'_, '_> {
    /// The narrowest change of a node's requirements that lets it take a pod, with the shapes that are left. Domains that are less full come
    /// first, then cheaper ones.
    pub(super) fn settle(&mut self, of: Candidate<'_>, requirements: ReqId) -> Option<Settled> {
        self.settle_key(of, requirements, 0)
    }

    fn settle_key(&mut self, of: Candidate<'_>, requirements: ReqId, next: usize) -> Option<Settled> {
        let Candidate { class, level, pool, .. } = of;
        let ties = &self.setup.levels[class][level].ties;
        let Some(id) = ties.keys.get(next).copied() else {
            return self.settle_reservation(of, requirements);
        };
        let groups = &self.setup.groups;
        let key = groups.key(id);
        let label = key.label.clone()?;
        let now = self.setup.interner.get(requirements).get(&label);
        if let Some(value) = now.and_then(Requirement::sole) {
            let open = match key.find(value) {
                Some(domain) => self.at.counts.is_open(groups, ties, id, domain),
                None => !self.needs_domain(class, level, id),
            };
            return open.then(|| self.settle_key(of, requirements, next + 1))?;
        }
        let domains: Vec<Domain> = key.of_pool[pool]
            .iter()
            .copied()
            .filter(|domain| now.is_none_or(|now| now.has(&key.values[*domain as usize])))
            .collect();
        self.at.work += domains.len() as u64;
        if domains.is_empty() {
            // Nodes of this pool will not have the label.
            return (!self.needs_domain(class, level, id))
                .then(|| self.settle_key(of, requirements, next + 1))?;
        }
        if self.style.lazy && !self.needs_domain(class, level, id) {
            let open: Vec<Domain> = domains
                .iter()
                .copied()
                .filter(|domain| self.at.counts.is_open(groups, ties, id, *domain))
                .collect();
            if open.is_empty() {
                return None;
            }
            let narrower = if open.len() == domains.len() {
                requirements
            } else {
                let values =
                    open.iter().map(|domain| key.values[*domain as usize].clone()).collect::<Vec<_>>();
                self.setup.interner.pin(requirements, &label, Requirement::one_of(values))
            };
            return self.settle_key(of, narrower, next + 1);
        }
        let mut open: Vec<Open> = Vec::new();
        for domain in domains {
            let groups = &self.setup.groups;
            let ties = &self.setup.levels[class][level].ties;
            if !self.at.counts.is_open(groups, ties, id, domain) {
                continue;
            }
            let load = self.at.counts.load(groups, ties, id, domain);
            let value = &groups.key(id).values[domain as usize];
            let pinned = self.setup.interner.hold(requirements, id, &label, domain, value);
            if let Some(settled) = self.fits(of, pinned) {
                open.push((load, settled.price, domain, settled));
            }
        }
        // Of domains that cost the same, the one with more to choose from: those with the same to choose from need not be counted.
        let differ = |a: &Open, b: &Open| (a.0, a.1) == (b.0, b.1) && !a.3.is_left_as_much_as(&b.3);
        let count = |at: usize| {
            let one = &open[at];
            let among = open.iter().any(|two| differ(one, two));
            if among { self.left(of, &one.3).left().count() } else { 0 }
        };
        let counts: Vec<usize> = (0..open.len()).map(count).collect();
        let mut open: Vec<(u32, Price, usize, Domain)> = open
            .into_iter()
            .zip(counts)
            .map(|(one, count)| (one.0, one.1, usize::MAX - count, one.2))
            .collect();
        let groups = &self.setup.groups;
        let values = &groups.key(id).values;
        open.sort_by(|a, b| {
            (a.0, a.1, a.2, &values[a.3 as usize]).cmp(&(b.0, b.1, b.2, &values[b.3 as usize]))
        });
        for (_, _, _, domain) in open {
            let value = &self.setup.groups.key(id).values[domain as usize];
            let pinned = self.setup.interner.hold(requirements, id, &label, domain, value);
            if let Some(settled) = self.settle_key(of, pinned, next + 1) {
                return Some(settled);
            }
        }
        None
    }

    /// A node holds an instance of one of the reservations that are open to it, or has nothing to do with them: that is settled when it is opened.
    fn settle_reservation(&mut self, of: Candidate<'_>, requirements: ReqId) -> Option<Settled> {
        let Candidate { pool, node, .. } = of;
        let settled = self.fits(of, requirements)?;
        let holds = node.is_none_or(|at| !self.at.planned[at].draws_on.is_empty());
        let concerned = holds && !self.setup.supply.pools[pool].reservations.is_empty();
        let label = self.setup.problem.rules.reservation_label.clone().filter(|_| concerned);
        let Some(label) = label else { return self.enough(of, settled) };
        let leaves_alone = self.style.unreserved && self.setup.interner.has_min_values(requirements);
        let own = self.left(of, &settled).left();
        let own = reservations::drawn_on(self.setup, pool, requirements, own);
        if !leaves_alone && self.can_draw(node, &own) {
            return self.enough(of, settled);
        }
        let now = self.setup.interner.get(requirements).get(&label);
        if node.is_some() || now.is_some_and(|now| !now.tolerates_absence()) {
            return None;
        }
        let without = self.setup.interner.pin(requirements, &label, Requirement::absent());
        let settled = self.fits(of, without)?;
        self.enough(of, settled)
    }

    fn enough(&self, of: Candidate<'_>, settled: Settled) -> Option<Settled> {
        let may_relax = self.setup.problem.rules.min_values == MinValuesPolicy::BestEffort
            && of.node.is_none_or(|at| self.at.planned[at].min_values_relaxed);
        let enough = may_relax || self.min_values_hold(of, &settled);
        enough.then_some(settled)
    }

    /// Whether there is an instance of a reservation for a node, beside all others that hold one.
    fn can_draw(&self, node: Option<usize>, own: &BTreeSet<Str>) -> bool {
        let others = self.at.planned.iter().enumerate().filter(|(at, _)| Some(*at) != node);
        let sets = others.map(|(_, planned)| &planned.draws_on).filter(|set| !set.is_empty());
        !own.is_empty() && reservations::suffice(sets.chain([own]), &self.at.reservations)
    }

    /// Whether a class has a constraint that a node without the label cannot satisfy.
    fn needs_domain(&self, class: usize, level: usize, key: KeyId) -> bool {
        let groups = &self.setup.groups;
        self.setup.levels[class][level].ties.owned.iter().any(|owned| {
            let group = groups.group(owned.group);
            group.key == key && group.of.kind != Kind::Anti
        })
    }

    /// The shapes under requirements that hold so much and are within the pool's limits; `None` if there are none.
    fn fits(&mut self, of: Candidate<'_>, requirements: ReqId) -> Option<Settled> {
        let Candidate { pool, node, .. } = of;
        let (problem, interner) = (&self.setup.problem, &self.setup.interner);
        let list = self.setup.supply.fits(problem.rules, problem.pools, interner, pool, requirements);
        self.at.work += 1;
        if list.is_too_small(of.requests) {
            return None;
        }
        let limited = !problem.pools[pool].limits().is_none();
        // What a node has left can only become less, unless it was held small.
        let held = node.filter(|_| !(self.style.tight && limited)).map(|at| &self.at.planned[at]);
        let (mut struck, mut from) = (None, 0);
        if let Some(planned) = held {
            let (before, already, first) = planned.shapes_left();
            struck = already.cloned();
            if planned.requirements == requirements {
                from = first;
            } else {
                let (wider, narrower) = ((planned.requirements, &**before), (requirements, &*list));
                if let Some(regained) = self.setup.supply.regained(pool, wider, narrower) {
                    let mut all = struck.as_deref().cloned().unwrap_or_default();
                    all.insert_all(&regained);
                    struck = Some(Arc::new(all));
                }
            }
        } else if limited {
            struck = self.beyond_limits(of, &list).map(Arc::new);
            self.at.held_back |= struck.is_some();
        }
        if let Some(without) = of.without {
            let mut all = struck.as_deref().cloned().unwrap_or_default();
            all.insert_all(without);
            struck = Some(Arc::new(all));
        }
        let mut settled = Settled { requirements, list, struck, first: 0, price: Price(0) };
        let (first, price) = self.left(of, &settled).cheapest(from)?;
        self.at.work += u64::from(first - from) / 4;
        (settled.first, settled.price) = (first, price);
        Some(settled)
    }

    /// The shapes that are left to a node that takes a pod.
    fn left<'v>(&'v self, of: Candidate<'v>, settled: &'v Settled) -> Asked<'v> {
        self.asked(of, &settled.list, settled.struck.as_deref())
    }

    fn asked<'v>(&'v self, of: Candidate<'v>, list: &'v FitList, struck: Option<&'v Bits>) -> Asked<'v> {
        let there: &[_] = of.node.map_or(&[], |at| &self.at.planned[at].ports);
        Asked {
            list,
            shapes: &self.setup.supply.pools[of.pool].shapes,
            struck,
            requests: of.requests,
            ports: [there, &self.setup.classes[of.class].spec.host_ports],
        }
    }

    /// The shapes that would exceed the pool's limits.
    fn beyond_limits(&self, of: Candidate<'_>, list: &FitList) -> Option<Bits> {
        let Candidate { pool, node, .. } = of;
        let offer = &self.setup.problem.pools[pool];
        let shapes = &self.setup.supply.pools[pool].shapes;
        let (used, nodes) = &self.at.ledger[pool];
        let (used, nodes) = match node {
            Some(at) => (used.minus(&self.at.planned[at].reserved), *nodes as usize),
            None => (used.clone(), *nodes as usize + 1),
        };
        let mut headroom = offer.limits().headroom(&used, nodes);
        let within = |headroom: &Option<Headroom<'_>>, capacity: &Resources| {
            headroom
                .as_ref()
                .is_some_and(|headroom| headroom.iter().all(|(name, left)| capacity.get(name) <= *left))
        };
        if !self.style.tight && within(&headroom, list.most_capacity()) {
            return None;
        }
        let capacity = |fit: &Fit| &offer.types[shapes[fit.shape as usize].type_at].capacity;
        if self.style.tight {
            // None that counts for more than the cheapest.
            let asked = self.asked(of, list, of.without);
            if let Some(least) = asked.cheapest_of(|fit| within(&headroom, capacity(fit))) {
                let least = capacity(least);
                headroom.iter_mut().flatten().for_each(|(name, left)| *left = least.get(name));
            }
        }
        let mut struck = Bits::default();
        let beyond = list.fits.iter().filter(|fit| !within(&headroom, capacity(fit)));
        beyond.for_each(|fit| struck.insert(fit.shape as usize));
        Some(struck)
    }

    /// Whether the types that are left have as many different values as `minValues` asks for.
    pub(super) fn min_values_hold(&self, of: Candidate<'_>, settled: &Settled) -> bool {
        if !self.setup.interner.has_min_values(settled.requirements) {
            return true;
        }
        let wanted = self.setup.interner.get(settled.requirements);
        let offer = &self.setup.problem.pools[of.pool];
        let shapes = &self.setup.supply.pools[of.pool].shapes;
        let fits: Vec<Fit> = self.left(of, settled).left().collect();
        wanted.iter().filter_map(|(key, one)| Some((key, one, one.min_values?))).all(|(key, one, least)| {
            let mut values = BTreeSet::new();
            for fit in &fits {
                let of_type = &offer.types[shapes[fit.shape as usize].type_at].requirements;
                if let Some(own) = of_type.get(key).filter(|own| !own.is_complement()) {
                    values.extend(own.values().iter().filter(|value| one.has(value)));
                }
            }
            values.len() >= least as usize
        })
    }
}
