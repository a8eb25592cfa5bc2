//! A problem made ready: classes with their wishes, requirements by number, supplies, groups with their counts.
//!
//! **Invariant:** nothing here depends on what is placed; what is remembered between look-ups changes no answer.

use std::cell::RefCell;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::bits::Bits;
use super::class::{Claims, Class, Wishes, classes, first_refused, wishes};
use super::devices::Expected;
use super::fits::Fit;
use super::pass::NodeDevices;
use super::problem::{Host, HostLabels, PoolOffer, Problem};
use super::requirements::{Interner, ReqId};
use super::stock::Stocks;
use super::supply::{Shape, Supply, buys, type_conflict};
use super::topology::{Counts, Domain, GroupId, Groups, KeyId, Selecting, Ties};
use crate::model::{KindId, Price, Requirements, Str, Taint, TaintEffect, label};

/// By the nodes that a group looks at, pool and requirements of a node: whether it may look, and whether it does for sure.
type LooksAt = FxHashMap<(usize, usize, ReqId), (bool, bool)>;

/// By pool, requirements and topology key: the shapes that can be bought in each domain.
type Buyable = FxHashMap<(usize, ReqId, KeyId), Arc<Vec<(Domain, Vec<Fit>)>>>;

/// A problem made ready.
pub(super) struct Setup<'a> {
    pub problem: Problem<'a>,
    pub classes: Vec<Class<'a>>,
    /// Class and pod, in the order in which they are placed.
    pub order: Vec<(usize, usize)>,
    /// The class of each pod.
    pub class_of: Vec<usize>,
    /// The wishes of each class, from all to the least.
    pub levels: Vec<Vec<Level>>,
    pub interner: Interner,
    pub supply: Supply,
    pub groups: Groups,
    /// The pods that are there.
    pub counts: Counts,
    /// Hosts that look the same to pods have the same number.
    looks: Vec<u32>,
    /// What a node costs at least for one pod of a class alone, by class, level and pool.
    pub alone: FxHashMap<(usize, usize, usize), Option<Price>>,
    /// What classes ask for, by number: equal requests have equal numbers.
    pub sizes: Vec<usize>,
    /// By topology key and domain, the hosts there; nothing for keys with many domains.
    pub pinned: Vec<Vec<Bits>>,
    /// What of hosts and pools would do, for classes that ask the same of them.
    accesses: Vec<Access>,
    hurdles: FxHashMap<(usize, ReqId), Arc<Vec<Hurdle>>>,
    /// Whether a group may look at nodes of a pool with certain labels, and does so whichever of the types comes.
    pub looks_at: RefCell<LooksAt>,
    /// Where what can be bought.
    pub buyable: RefCell<Buyable>,
    /// The devices of new nodes.
    pub stocks: Stocks,
    /// The devices of hosts that pods are expected to take.
    pub expected: Expected,
    /// The devices of new nodes of a pool, once pods of a class came.
    pub fresh: FxHashMap<(usize, Vec<KindId>), Option<NodeDevices>>,
    /// How many kinds of levels there are.
    pub kinds: usize,
}

/// A class's wishes, ready for look-ups.
#[derive(Debug)]
pub(super) struct Level {
    /// One of these.
    pub alternatives: Vec<ReqId>,
    pub ties: Ties,
    pub respects_prefer_no_schedule: bool,
    /// Whether a host name is asked for.
    names_host: bool,
    /// Index of what would do for it.
    pub access: usize,
    /// A number for what it would do with, how much of it, and which devices.
    pub kind: usize,
}

/// What keeps a shape from those who ask for something of a node's labels.
#[derive(Debug)]
pub(super) struct Hurdle {
    /// The first label of the type that is in the way.
    pub conflict: Option<Str>,
    pub can_be_bought: bool,
}

/// Hosts and pools that would do.
#[derive(Debug)]
struct Access {
    /// Whether hosts that look so would do: unknown, yes, no.
    seen: Vec<Option<bool>>,
    /// Whether the taints of a pool would do.
    pools: Vec<bool>,
    /// The pools of which the labels would do as well, once somebody asked.
    open: Option<Arc<[usize]>>,
}

impl<'a> Setup<'a> {
    pub(super) fn new(problem: Problem<'a>, prepared: Option<(Interner, Supply)>) -> Self {
        let (classes, order) = classes(&problem);
        let mut class_of = vec![0; problem.pods.len()];
        for (class, pod) in &order {
            class_of[*pod] = *class;
        }
        let prefer_no_schedule = has_prefer_no_schedule(&problem);
        let all: Vec<Vec<Wishes<'a>>> = classes
            .iter()
            .map(|class| wishes(problem.rules.preferences, class, prefer_no_schedule))
            .collect();
        let mut groups = Groups::new();
        groups.add_placed(&problem);
        let mut own: Vec<Vec<Vec<GroupId>>> = Vec::with_capacity(classes.len());
        for (class, wishes) in classes.iter().zip(&all) {
            own.push(wishes.iter().map(|wishes| groups.add(&problem, class, wishes)).collect());
        }
        groups.find_domains(&problem);
        let (mut interner, supply) = prepared.unwrap_or_else(|| {
            let mut interner = Interner::default();
            let supply = Supply::new(problem.rules, problem.pools, &mut interner);
            (interner, supply)
        });
        let (looks, kinds) = looks(problem.hosts);
        let mut of_requests = FxHashMap::default();
        let number = |class: &Class<'a>| {
            let next = of_requests.len();
            *of_requests.entry(&class.spec.requests).or_insert(next)
        };
        let sizes: Vec<usize> = classes.iter().map(number).collect();
        let mut of_kind = FxHashMap::default();
        let mut of_claims = FxHashMap::from_iter([(Claims::Known(&[]), 0)]);
        let mut levels = Vec::with_capacity(classes.len());
        let mut accesses = Vec::new();
        let mut known = FxHashMap::default();
        let mut selecting = Selecting::default();
        for (number, (class, wishes)) in classes.iter().zip(&all).enumerate() {
            let size = sizes[number];
            let next = of_claims.len();
            let claims = *of_claims.entry(class.claims).or_insert(next);
            let ready = wishes.iter().zip(&own[number]).map(|(wishes, own)| {
                let alternatives: Vec<ReqId> =
                    wishes.alternatives.iter().map(|one| interner.id(one)).collect();
                let respects = wishes.respects_prefer_no_schedule;
                let tolerations = class.spec.tolerations.as_slice();
                let access =
                    *known.entry((alternatives.clone(), tolerations, respects)).or_insert_with(|| {
                        let would_do = |offer: &PoolOffer| {
                            first_refused(&offer.pool.template.taints, tolerations, respects).is_none()
                        };
                        accesses.push(Access {
                            seen: vec![None; kinds],
                            pools: problem.pools.iter().map(would_do).collect(),
                            open: None,
                        });
                        accesses.len() - 1
                    });
                let next = of_kind.len();
                Level {
                    alternatives,
                    ties: groups.ties(class, own, &mut selecting),
                    respects_prefer_no_schedule: wishes.respects_prefer_no_schedule,
                    names_host: wishes.alternatives.iter().any(|one| one.get(label::HOSTNAME).is_some()),
                    access,
                    kind: *of_kind.entry((access, size, claims)).or_insert(next),
                }
            });
            levels.push(ready.collect());
        }
        let counts = Counts::new(&problem, &groups);
        Self {
            kinds: of_kind.len(),
            hurdles: FxHashMap::default(),
            looks_at: RefCell::default(),
            buyable: RefCell::default(),
            stocks: Stocks::new(&problem),
            expected: problem.devices.map(Expected::new).unwrap_or_default(),
            fresh: FxHashMap::default(),
            sizes,
            pinned: pinned(&groups),
            alone: FxHashMap::default(),
            problem,
            classes,
            order,
            class_of,
            levels,
            interner,
            supply,
            groups,
            counts,
            looks,
            accesses,
        }
    }

    /// What keeps each shape of a pool from those who ask for so much of a node's labels.
    pub(super) fn hurdles(&mut self, pool: usize, wanted: ReqId) -> Arc<Vec<Hurdle>> {
        if let Some(known) = self.hurdles.get(&(pool, wanted)) {
            return Arc::clone(known);
        }
        let mut both = self.interner.get(self.supply.pools[pool].requirements).clone();
        both.add_all(self.interner.get(wanted));
        let rules = self.problem.rules;
        let hurdle = |shape: &Shape| {
            let one = &self.problem.pools[pool].types[shape.type_at];
            Hurdle {
                conflict: type_conflict(rules, one, &both).map(Str::from),
                can_be_bought: buys(rules, one, &both).next().is_some(),
            }
        };
        let all = Arc::new(self.supply.pools[pool].shapes.iter().map(hurdle).collect::<Vec<_>>());
        self.hurdles.insert((pool, wanted), Arc::clone(&all));
        all
    }

    /// Whether the taints of a pool would do for a class.
    pub(super) fn pool_would_do(&self, class: usize, level: usize, pool: usize) -> bool {
        self.accesses[self.levels[class][level].access].pools[pool]
    }

    /// The pools of which taints and labels would do for a class.
    pub(super) fn open_pools(&mut self, class: usize, level: usize) -> Arc<[usize]> {
        let of = &self.levels[class][level];
        if let Some(known) = &self.accesses[of.access].open {
            return Arc::clone(known);
        }
        let mut open = Vec::new();
        for (pool, tolerated) in self.accesses[of.access].pools.iter().enumerate() {
            let own = self.supply.pools[pool].requirements;
            let mut wanted = of.alternatives.iter();
            if *tolerated && wanted.any(|one| self.interner.meet(self.problem.rules, own, *one).is_some()) {
                open.push(pool);
            }
        }
        let open: Arc<[usize]> = open.into();
        self.accesses[of.access].open = Some(Arc::clone(&open));
        open
    }

    /// How many different things classes ask of labels and taints.
    pub(super) fn accesses(&self) -> usize {
        self.accesses.len()
    }

    /// Whether taints and labels of a host would do for a class.
    pub(super) fn host_would_do(&mut self, class: usize, level: usize, at: usize) -> bool {
        let host = &self.problem.hosts[at];
        let look = self.looks[at] as usize;
        let of = &self.levels[class][level];
        let access = &mut self.accesses[of.access];
        if !of.names_host
            && let Some(known) = access.seen[look]
        {
            return known;
        }
        let tolerations = &self.classes[class].spec.tolerations;
        let would_do = first_refused(&host.taints, tolerations, of.respects_prefer_no_schedule).is_none()
            && of.alternatives.iter().any(|id| first_unmet(host, self.interner.get(*id)).is_none());
        if !of.names_host {
            access.seen[look] = Some(would_do);
        }
        would_do
    }
}

/// The first label by which a pod may not go to a host.
pub(super) fn first_unmet<'r>(host: &Host, wanted: &'r Requirements) -> Option<&'r str> {
    match wanted.get(label::HOSTNAME) {
        None => host.labels.first_unmet(wanted),
        Some(named) if !named.has(&host.hostname) => Some(label::HOSTNAME),
        Some(_) => {
            let mut rest = Requirements::new();
            for (key, one) in wanted.iter().filter(|(key, _)| &***key != label::HOSTNAME) {
                rest.add(key.clone(), one.clone());
            }
            let unmet = host.labels.first_unmet(&rest)?.to_owned();
            wanted.iter().map(|(key, _)| &**key).find(|key| *key == unmet)
        }
    }
}

fn has_prefer_no_schedule(problem: &Problem<'_>) -> bool {
    let of_pools = problem.pools.iter().flat_map(|offer| &offer.pool.template.taints);
    let of_hosts = problem.hosts.iter().flat_map(|host| &host.taints);
    of_pools.chain(of_hosts).any(|taint| taint.effect == TaintEffect::PreferNoSchedule)
}

/// The most domains that a key may have for its targets to be listed by domain.
const FEW_DOMAINS: usize = 64;

fn pinned(groups: &Groups) -> Vec<Vec<Bits>> {
    let of_key = |number: u16| {
        let key = groups.key(KeyId(number));
        if number == KeyId::HOSTNAME.0 || key.values.len() > FEW_DOMAINS {
            return Vec::new();
        }
        let mut all = vec![Bits::default(); key.values.len()];
        for (host, domain) in key.of_host.iter().enumerate() {
            if let Some(domain) = domain {
                all[*domain as usize].insert(host);
            }
        }
        all
    };
    (0..groups.keys()).map(of_key).collect()
}

/// A number for each host, equal for those with equal labels and taints; and how many numbers there are.
fn looks(hosts: &[Host]) -> (Vec<u32>, usize) {
    let mut labels: FxHashMap<&HostLabels, u32> = FxHashMap::default();
    let mut shared: FxHashMap<*const HostLabels, u32> = FxHashMap::default();
    let mut pairs: FxHashMap<(u32, &[Taint]), u32> = FxHashMap::default();
    let looks = hosts
        .iter()
        .map(|host| {
            let of_labels = *shared.entry(Arc::as_ptr(&host.labels)).or_insert_with(|| {
                let next = labels.len() as u32;
                *labels.entry(&host.labels).or_insert(next)
            });
            let next = pairs.len() as u32;
            *pairs.entry((of_labels, &host.taints)).or_insert(next)
        })
        .collect();
    (looks, pairs.len())
}
