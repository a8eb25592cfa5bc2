//! Nodes that are planned: a set of types that could hold all pods so far, under requirements that become narrower.

use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

use super::count::{self, Counted};
use super::devices::NodeDevices;
use super::reservations::drawn_on;
use super::settle::{Candidate, Settled};
use super::volumes::{self, NodeVolumes};
use super::{Answer, Pass};
use crate::model::{HostPort, Price, Resources, Str};
use crate::schedule::bits::Bits;
use crate::schedule::fits::{self, FitList};
use crate::schedule::pass::host::conflict;
use crate::schedule::requirements::{Interner, ReqId};
use crate::schedule::setup::Setup;
use crate::schedule::supply::Shape;
use crate::schedule::topology::{Domain, Groups, KeyId, Kind};

/// A node as it is being filled.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct Planned {
    /// Index of the pool.
    pub pool: usize,
    /// What its labels satisfy.
    pub requirements: ReqId,
    /// Shapes that its requirements allow; those that are left hold all pods so far.
    list: Arc<FitList>,
    /// Shapes that were struck off for another reason.
    struck: Option<Arc<Bits>>,
    /// How many of the cheapest are known not to hold its pods.
    first: u32,
    /// Its domain of each topology key, where it is certain.
    domains: SmallVec<[Option<Domain>; 4]>,
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
    /// Its pods, by the groups that count them, in order of group.
    pub counted: Vec<Counted>,
    /// What is left of its devices on each type, if any of its pods claims some.
    pub devices: Option<NodeDevices>,
    /// The claims of its pods, if types are known to attach only so many.
    pub volumes: Option<Arc<NodeVolumes>>,
}

impl Planned {
    /// A node like another with other pods, on every shape that holds them; `None` if none does.
    pub(in crate::schedule) fn with_pods(setup: &Setup<'_>, other: &Self, pods: Vec<usize>) -> Option<Self> {
        let mut requests = Resources::default();
        for pod in &pods {
            requests.add(&setup.classes[setup.class_of[*pod]].spec.requests);
        }
        let mut planned = Self { struck: None, first: 0, requests, pods, ..other.clone() };
        let asked = planned.asked(&setup.supply.pools[planned.pool].shapes);
        let (first, price) = asked.cheapest(0)?;
        let headroom = asked.most_free().minus(&planned.requests);
        let offer = &setup.problem.pools[planned.pool];
        let reserved = if offer.limits().resources.is_empty() {
            Resources::default()
        } else {
            asked.most_capacity(offer)
        };
        (planned.first, planned.price, planned.headroom, planned.reserved) =
            (first, price, headroom, reserved);
        Some(planned)
    }

    /// The domain of a label, if it is certain.
    pub(in crate::schedule) fn domain(&self, key: KeyId) -> Option<Domain> {
        self.domains[usize::from(key.0)]
    }

    /// What it asks of the shapes of its pool.
    pub(in crate::schedule) fn asked<'v>(&'v self, shapes: &'v [Shape]) -> fits::Asked<'v> {
        fits::Asked {
            list: &self.list,
            shapes,
            struck: self.struck.as_deref(),
            requests: &self.requests,
            ports: [&self.ports, &[]],
        }
    }

    /// The list of shapes, where they were struck off, and from where on the cheapest is to be looked for, all under other requirements.
    pub(super) fn shapes_left(&self) -> (&Arc<FitList>, Option<&Arc<Bits>>, u32) {
        (&self.list, self.struck.as_ref(), self.first)
    }

    fn become_settled(&mut self, settled: Settled) {
        self.requirements = settled.requirements;
        self.list = settled.list;
        self.struck = settled.struck;
        self.first = settled.first;
        self.price = settled.price;
    }
}

impl Pass<'_, '_> {
    /// Asks a planned node to take a pod of a class.
    pub(super) fn ask_planned(&mut self, class: usize, level: usize, at: usize) -> Answer {
        let spec = self.setup.classes[class].spec;
        let planned = &self.at.planned[at];
        let pool = planned.pool;
        if !self.setup.pool_would_do(class, level, pool) {
            return Answer::NeverSuch;
        }
        if conflict(&spec.host_ports, &planned.ports).is_some() {
            return Answer::Never;
        }
        let target = (self.setup.problem.hosts.len() + at) as Domain;
        if let Some(answer) = self.refusal_by_name(class, level, target) {
            return answer;
        }
        let node = planned.requirements;
        let rules = self.setup.problem.rules;
        let mut wanted = self.setup.levels[class][level].alternatives.iter();
        if !wanted.any(|wanted| self.setup.interner.meet(rules, node, *wanted).is_some()) {
            return Answer::NeverSuch;
        }
        let planned = &self.at.planned[at];
        let requests = planned.requests.plus(&spec.requests);
        let before = planned.price;
        let keyed = !self.setup.levels[class][level].ties.keys.is_empty();
        let mut answer = Answer::Never;
        if self.style.frugal && !self.style.tight {
            // Under narrower requirements it costs as much or more.
            let shapes = &self.setup.supply.pools[pool].shapes;
            let would = fits::Asked { requests: &requests, ..planned.asked(shapes) };
            let least = would.cheapest(planned.first).map(|(_, price)| price);
            let dear = least.is_none_or(|price| {
                price > before
                    && self.alone(class, level, pool).is_some_and(|alone| price > Price(before.0 + alone.0))
            });
            if dear {
                let kind = self.setup.levels[class][level].kind;
                if let Some(dear) = self.dear.get_mut(kind) {
                    dear.insert(target as usize);
                    return Answer::NotNow;
                }
                return if keyed { Answer::NotNow } else { Answer::Never };
            }
        }
        let devices = match self.devices_of_planned(class, at) {
            Ok(devices) => devices,
            Err(refusal) => return refusal,
        };
        let volumes = self.volumes_of(class, pool, Some(at));
        let struck = volumes::struck(devices.as_ref(), volumes.as_deref());
        let candidate =
            Candidate { class, level, pool, node: Some(at), requests: &requests, without: struck.as_deref() };
        for alternative in 0..self.setup.levels[class][level].alternatives.len() {
            let wanted = self.setup.levels[class][level].alternatives[alternative];
            let Some(both) = self.setup.interner.meet(self.setup.problem.rules, node, wanted) else {
                continue;
            };
            if keyed {
                answer = Answer::NotNow;
            }
            let Some(settled) = self.settle(candidate, both) else {
                continue;
            };
            let price = settled.price;
            if self.style.frugal
                && price > before
                && self.alone(class, level, pool).is_some_and(|alone| price > Price(before.0 + alone.0))
            {
                continue;
            }
            let planned = &mut self.at.planned[at];
            planned.become_settled(settled);
            planned.requests = requests;
            planned.devices = devices;
            planned.volumes = volumes;
            planned.ports.extend(spec.host_ports.iter().cloned());
            if planned.requirements != node {
                self.find_domains(at);
            }
            self.refresh(at);
            count::refresh(self.setup, &mut self.at, at);
            self.dear.iter_mut().for_each(|dear| dear.remove(target as usize));
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
        for pool in self.setup.open_pools(class, level).iter().copied() {
            let Ok(devices) = self.devices_of_new(class, pool) else { continue };
            let volumes = self.volumes_of(class, pool, None);
            let struck = volumes::struck(devices.as_ref(), volumes.as_deref());
            let without = struck.as_deref();
            let candidate = Candidate { class, level, pool, node: None, requests: &spec.requests, without };
            let Some(settled) = self.settle_alternatives(candidate) else { continue };
            let min_values_relaxed = !self.min_values_hold(candidate, &settled);
            self.at.ledger[pool].1 += 1;
            self.at.planned.push(Planned {
                pool,
                requirements: settled.requirements,
                list: settled.list,
                struck: settled.struck,
                first: settled.first,
                domains: SmallVec::new(),
                requests: spec.requests.clone(),
                headroom: Resources::default(),
                price: settled.price,
                pods: Vec::new(),
                ports: spec.host_ports.clone(),
                reserved: Resources::default(),
                draws_on: BTreeSet::new(),
                min_values_relaxed,
                counted: Vec::new(),
                devices,
                volumes,
            });
            self.find_domains(self.at.planned.len() - 1);
            self.refresh(self.at.planned.len() - 1);
            return Some(target);
        }
        None
    }

    /// A new node of a pool for a pod of a class: for the first of its alternatives that can be, or if frugal for the cheapest.
    fn settle_alternatives(&mut self, of: Candidate<'_>) -> Option<Settled> {
        let Candidate { class, level, pool, .. } = of;
        let own = self.setup.supply.pools[pool].requirements;
        let mut best: Option<Settled> = None;
        for alternative in 0..self.setup.levels[class][level].alternatives.len() {
            let wanted = self.setup.levels[class][level].alternatives[alternative];
            let Some(both) = self.setup.interner.meet(self.setup.problem.rules, own, wanted) else {
                continue;
            };
            let Some(settled) = self.settle(of, both) else { continue };
            if !self.style.frugal {
                return Some(settled);
            }
            if best.as_ref().is_none_or(|known| settled.price < known.price) {
                best = Some(settled);
            }
        }
        best
    }

    /// What a node costs at least for one pod of a class alone, in the first pool that has one.
    pub(super) fn least_price(&mut self, class: usize) -> Price {
        let level = self.setup.levels[class].len() - 1;
        let open = self.setup.open_pools(class, level);
        open.iter().copied().find_map(|pool| self.alone(class, level, pool)).unwrap_or_default()
    }

    /// What a node of a pool costs at least for one pod of a class alone.
    fn alone(&mut self, class: usize, level: usize, pool: usize) -> Option<Price> {
        if let Some(known) = self.setup.alone.get(&(class, level, pool)) {
            return *known;
        }
        let own = self.setup.supply.pools[pool].requirements;
        let devices = self.devices_of_new(class, pool).ok().flatten();
        let struck = devices.as_ref().map(NodeDevices::struck);
        let requests = &self.setup.classes[class].spec.requests;
        let mut best = None;
        for alternative in 0..self.setup.levels[class][level].alternatives.len() {
            let wanted = self.setup.levels[class][level].alternatives[alternative];
            let Some(both) = self.setup.interner.meet(self.setup.problem.rules, own, wanted) else {
                continue;
            };
            let (problem, interner) = (&self.setup.problem, &self.setup.interner);
            let list = self.setup.supply.fits(problem.rules, problem.pools, interner, pool, both);
            let shapes = &self.setup.supply.pools[pool].shapes;
            let asked = fits::Asked { list: &list, shapes, struck, requests, ports: [&[], &[]] };
            best = best.into_iter().chain(asked.cheapest(0).map(|(_, price)| price)).min();
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

    /// Finds out in which domains a planned node is.
    fn find_domains(&mut self, at: usize) {
        let (groups, interner) = (&self.setup.groups, &self.setup.interner);
        let planned = &mut self.at.planned[at];
        let target = self.setup.problem.hosts.len() + at;
        planned.domains.resize(usize::from(groups.keys()), None);
        for number in 1..groups.keys() {
            let key = usize::from(number);
            if planned.domains[key].is_some() {
                continue;
            }
            planned.domains[key] = sure_domain(interner, groups, planned.requirements, KeyId(number));
            let there = planned.domains[key].and_then(|domain| self.pinned[key].get_mut(domain as usize));
            if let Some(there) = there {
                there.insert(target);
            }
        }
    }

    /// Brings what follows from a planned node's shapes up to date.
    fn refresh(&mut self, at: usize) {
        let planned = &self.at.planned[at];
        let shapes = &self.setup.supply.pools[planned.pool].shapes;
        let opens = planned.pods.is_empty();
        if opens || !planned.draws_on.is_empty() {
            let left = planned.asked(shapes).left();
            let draws_on = drawn_on(self.setup, planned.pool, planned.requirements, left);
            self.at.planned[at].draws_on = draws_on;
        }
        let planned = &mut self.at.planned[at];
        let offer = &self.setup.problem.pools[planned.pool];
        planned.headroom = planned.asked(shapes).most_free().minus(&planned.requests);
        if !offer.limits().resources.is_empty() {
            let reserved = planned.asked(shapes).most_capacity(offer);
            if reserved != planned.reserved {
                let ledger = &mut self.at.ledger[planned.pool].0;
                ledger.subtract(&planned.reserved);
                ledger.add(&reserved);
                planned.reserved = reserved;
            }
        }
    }
}

/// The domain of a label under requirements, if it is certain.
pub(super) fn sure_domain(
    interner: &Interner,
    groups: &Groups,
    requirements: ReqId,
    key: KeyId,
) -> Option<Domain> {
    let key = groups.key(key);
    let label = key.label.as_deref().unwrap_or_default();
    key.find(interner.get(requirements).get(label)?.sole()?)
}

/// The domains of a label in which a node of a pool may come to be under requirements.
pub(super) fn possible_domains(
    interner: &Interner,
    groups: &Groups,
    pool: usize,
    requirements: ReqId,
    key: KeyId,
) -> Vec<Domain> {
    let key = groups.key(key);
    let now = key.label.as_deref().and_then(|label| interner.get(requirements).get(label));
    let possible = |domain: &Domain| now.is_none_or(|now| now.has(&key.values[*domain as usize]));
    key.of_pool[pool].iter().copied().filter(possible).collect()
}
