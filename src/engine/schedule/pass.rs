//! One pass over all pods: first-fit-decreasing, each to the first target that takes it, in the order hosts, nodes planned in this pass, a new node
//! from the first pool that can.
//!
//! Source: Karpenter, pkg/controllers/provisioning/scheduling/scheduler.go, existingnode.go and nodeclaim.go.
//!
//! **Invariant:** after each placement everything placed so far is valid: no target holds more than it offers on any type that is left to it, no
//! count breaks a constraint, no pool exceeds its limits whichever of the types that are left comes.

mod count;
mod devices;
mod host;
mod join;
mod planned;
mod reservations;
mod settle;
mod volumes;

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

pub(super) use devices::{GivenAt, NodeDevices};
pub(super) use host::{Used, conflict, too_many_volumes};
pub(super) use planned::Planned;
pub(super) use volumes::too_many_for_type;

use super::bits::Bits;
use super::setup::Setup;
use super::topology::{Counts, Site};
use crate::model::{Price, Resources, SharedId, Str};

/// In which way a pass packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Style {
    /// A pod joins a planned node only where that costs no more than a node of its own.
    pub frugal: bool,
    /// Among planned nodes the one with the fewest pods is asked first, as Karpenter does, not the oldest.
    pub fewest_first: bool,
    /// Of a pool's limits only what the cheapest type needs is set aside, and dearer types are not offered.
    pub tight: bool,
    /// A node is held to a domain only for a pod that asks for one, not for one that is merely counted by others.
    pub lazy: bool,
    /// Pods of higher priority come first.
    pub by_priority: bool,
    /// Nodes of pools with `minValues` leave reservations alone, since those that hold one may offer too few values.
    pub unreserved: bool,
    /// Pods that need a dear node come first, and others join them.
    pub dearest_first: bool,
}

/// Whether a target took a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Taken,
    /// Not now, but perhaps once others are placed.
    NotNow,
    /// Neither now nor later: targets only fill up.
    Never,
    /// The same, for all who ask the same of labels and taints.
    NeverSuch,
}

/// What a pass came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Placement {
    /// The target of each pod: a host, or behind them a planned node.
    pub target: Vec<Option<u32>>,
    pub planned: Vec<Planned>,
    /// What is set aside of each pool's limits.
    pub ledger: Vec<(Resources, u32)>,
    pub counts: Counts,
    pub used: FxHashMap<u32, Used>,
    /// Where claims are that several pods use.
    pub shared: BTreeMap<SharedId, u32>,
    /// For each pod that was given devices, where in the ledger of its target that is.
    pub given: BTreeMap<usize, GivenAt>,
    /// Pods that were left out.
    pub left_out: Vec<bool>,
    /// How many instances reservations have left.
    pub reservations: BTreeMap<Str, u32>,
    /// Pods in the order in which they were placed.
    pub order: Vec<usize>,
    /// Targets and shapes looked at.
    pub work: u64,
    /// Whether limits of pools were in the way of anything.
    pub held_back: bool,
}

/// For so many kinds of classes it is remembered which nodes are too dear; each of them costs a look whenever a node changes.
const FEW_KINDS: usize = 256;

/// A pass under way.
pub(super) struct Pass<'s, 'a> {
    setup: &'s mut Setup<'a>,
    style: Style,
    /// The most work.
    limit: u64,
    /// Pods that are left out, by class.
    left_out: &'s [bool],
    at: Placement,
    placed: usize,
    /// What hosts have left.
    free: Vec<Resources>,
    /// By size, the targets that do not have as much left.
    too_small: Vec<Bits>,
    /// By topology key and domain, the targets that are there for sure.
    pinned: Vec<Vec<Bits>>,
    /// Where the targets to ask are listed.
    scratch: Bits,
    /// By what is asked of labels and taints, the targets that do not have it.
    unlike: Vec<Bits>,
    /// If frugal: by kind of class, the planned nodes that were too dear for it as they are now.
    dear: Vec<Bits>,
}

/// What is left to ask for pods of a class.
#[derive(Debug, Clone, Default)]
struct Asking {
    /// How many pods wait.
    pods: usize,
    levels: Vec<Asked>,
    /// How many pods were placed when the last of the class found no place.
    failed_at: Option<usize>,
}

/// The targets that never will take pods of a class; and where the order of planned nodes changes, how they came last, and how many there were.
#[derive(Debug, Clone, Default)]
struct Asked {
    never: Bits,
    planned: Vec<u32>,
    known: u32,
}

impl<'s, 'a> Pass<'s, 'a> {
    /// Places all pods for which there is a place; `None` if that would be more work than allowed.
    pub(super) fn run(
        setup: &'s mut Setup<'a>,
        style: Style,
        left_out: &'s [bool],
        limit: u64,
    ) -> Option<Placement> {
        let at = Placement {
            target: vec![None; setup.problem.pods.len()],
            planned: Vec::new(),
            ledger: setup.problem.pools.iter().map(|offer| offer.used.clone()).collect(),
            counts: setup.counts.clone(),
            used: FxHashMap::default(),
            shared: setup.expected.shared.clone(),
            given: BTreeMap::new(),
            left_out: left_out.to_vec(),
            reservations: reservations::left(setup.problem.pools),
            order: Vec::new(),
            work: 0,
            held_back: false,
        };
        let sizes = setup.sizes.iter().max().map_or(0, |most| most + 1);
        let kinds = Some(setup.kinds).filter(|kinds| *kinds <= FEW_KINDS).unwrap_or_default();
        let mut pass = Self {
            style,
            limit,
            left_out,
            at,
            placed: 0,
            free: setup.problem.hosts.iter().map(|host| host.free.clone()).collect(),
            too_small: vec![Bits::default(); sizes],
            pinned: setup.pinned.clone(),
            scratch: Bits::default(),
            unlike: vec![Bits::default(); setup.accesses()],
            dear: vec![Bits::default(); if style.frugal { kinds } else { 0 }],
            setup,
        };
        pass.place_all();
        if pass.at.work > limit {
            return None;
        }
        reservations::hold(pass.setup, &mut pass.at.planned, &pass.at.reservations);
        Some(pass.at)
    }

    fn place_all(&mut self) {
        let mut waiting = self.setup.order.clone();
        if self.style.by_priority {
            waiting.sort_by_key(|(class, _)| std::cmp::Reverse(self.setup.classes[*class].spec.priority));
        }
        if self.style.dearest_first {
            let prices: Vec<Price> =
                (0..self.setup.classes.len()).map(|class| self.least_price(class)).collect();
            waiting.sort_by_key(|(class, _)| std::cmp::Reverse(prices[*class]));
        }
        waiting.retain(|(_, pod)| !self.left_out[*pod]);
        let mut asking: Vec<Asking> = vec![Asking::default(); self.setup.classes.len()];
        for (class, _) in &waiting {
            asking[*class].pods += 1;
        }
        // Those that failed are asked again for as long as others find a place: they may wait for somebody to be near to, or for
        // domains to fill up.
        loop {
            let before = self.placed;
            waiting.retain(|(class, pod)| {
                if self.at.work > self.limit {
                    return true;
                }
                let asking = &mut asking[*class];
                if asking.failed_at == Some(self.placed)
                    || (asking.failed_at.is_some() && !self.may_change(*class))
                {
                    return true;
                }
                let found = self.place(*class, *pod, asking);
                asking.failed_at = (!found).then_some(self.placed);
                asking.pods -= usize::from(found);
                if asking.pods == 0 {
                    asking.levels = Vec::new();
                }
                !found
            });
            if waiting.is_empty() || self.placed == before || self.at.work > self.limit {
                return;
            }
        }
    }

    /// Whether a class without a place may find one later in the pass.
    fn may_change(&self, class: usize) -> bool {
        self.setup.levels[class].iter().any(|level| !level.ties.owned.is_empty())
            || self.setup.classes[class].claims.any_shared()
    }

    /// Finds a place for a pod, giving up its preferences one by one.
    fn place(&mut self, class: usize, pod: usize, asking: &mut Asking) -> bool {
        let levels = self.setup.levels[class].len();
        if self.setup.classes[class].claims.known().is_none() {
            return false;
        }
        asking.levels.resize_with(levels, Default::default);
        for level in 0..levels {
            let asked = &mut asking.levels[level];
            let target = self.join(class, level, asked).or_else(|| self.open(class, level));
            if let Some(target) = target {
                self.record(class, level, pod, target);
                self.placed += 1;
                return true;
            }
        }
        false
    }

    /// Counts a pod that a target took.
    fn record(&mut self, class: usize, level: usize, pod: usize, target: u32) {
        self.at.target[pod] = Some(target);
        self.at.order.push(pod);
        self.settle_claims(class, pod, target);
        let hosts = self.setup.problem.hosts.len();
        let planned = (target as usize).checked_sub(hosts);
        if let Some(planned) = planned {
            self.at.planned[planned].pods.push(pod);
        }
        let ties = &self.setup.levels[class][level].ties;
        for id in ties.counted_by.iter().chain(&ties.wards_off) {
            match planned {
                None => {
                    let site = Site::new(&self.setup.groups, self.setup.problem.hosts, target as usize);
                    self.at.counts.add(*id, site);
                }
                Some(at) => count::add(self.setup, &mut self.at, at, *id),
            }
        }
    }
}
