//! The shapes that a pool can launch under requirements, ready to be asked which of them hold so much.
//!
//! A planned node does not carry the shapes that are left to it: they follow from its list, what its pods ask for, and what was struck off.
//!
//! **Invariant:** what does not hold a node's pods never will again, so the search for the cheapest goes on from where it last ended.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustc_hash::FxHashSet;

use super::bits::Bits;
use super::pass::conflict;
use super::problem::{BuyOption, PoolOffer};
use super::supply::{Pool, Shape};
use crate::model::{HostPort, Price, Resources};

/// A shape that requirements allow, with the lowest price at which they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fit {
    pub shape: u32,
    pub price: Price,
}

/// What a shape has free of the resources that every node has, close together in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room([i64; 4]);

impl Room {
    pub(super) fn of(free: &Resources) -> Self {
        Self([free.cpu_millis, free.memory_bytes, free.pods, free.ephemeral_bytes])
    }

    fn is_within(self, other: Self) -> bool {
        // Without a branch for each: most of them differ from one shape to the next.
        self.0.iter().zip(&other.0).fold(true, |all, (own, other)| all & (own <= other))
    }
}

/// All shapes of a pool that requirements allow.
#[derive(Debug)]
pub(super) struct FitList {
    /// In order of shape.
    pub fits: Vec<Fit>,
    /// A number for their shapes, equal for lists of a pool with equal shapes.
    pub set: u32,
    /// Indices into them, the cheapest in front.
    by_price: Vec<u32>,
    /// The most that any has free, and which have it.
    free: Most,
    /// The same of what counts against limits.
    capacity: Most,
    /// Whether any has host ports of its own.
    ports: bool,
    /// By shape of the pool.
    rooms: Arc<[Room]>,
    /// By number of terms, whether requirements allow them.
    allowed: Vec<bool>,
    /// By fit, the offerings that requirements allow, once somebody asked.
    buys: Vec<OnceLock<Arc<[usize]>>>,
    /// Lists of offerings, each once.
    shared: Mutex<FxHashSet<Arc<[usize]>>>,
}

/// The largest of each amount, and who have them.
#[derive(Debug, Default)]
struct Most {
    amounts: Resources,
    /// Indices of fits which together have all of these amounts.
    holders: Vec<u32>,
}

/// What a node asks of its shapes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'v> {
    pub list: &'v FitList,
    pub shapes: &'v [Shape],
    /// Shapes that were struck off.
    pub struck: Option<&'v Bits>,
    pub requests: &'v Resources,
    /// Host ports of pods there, and of the pod that is to come.
    pub ports: [&'v [HostPort]; 2],
}

impl FitList {
    pub(super) fn new(fits: Vec<Fit>, set: u32, allowed: Vec<bool>, pool: &Pool, offer: &PoolOffer) -> Self {
        let mut by_price: Vec<u32> = (0..fits.len() as u32).collect();
        by_price.sort_unstable_by_key(|at| (fits[*at as usize].price, *at));
        let shape = |fit: &Fit| &pool.shapes[fit.shape as usize];
        Self {
            free: Most::of(fits.iter().map(|fit| &shape(fit).free)),
            capacity: Most::of(fits.iter().map(|fit| &offer.types[shape(fit).type_at].capacity)),
            ports: fits.iter().any(|fit| !shape(fit).ports.is_empty()),
            rooms: Arc::clone(&pool.rooms),
            set,
            allowed,
            buys: vec![OnceLock::new(); fits.len()],
            shared: Mutex::default(),
            by_price,
            fits,
        }
    }

    /// All of them, the cheapest in front, with the offerings that requirements allow.
    pub(super) fn cheapest_first<'l>(
        &'l self,
        pool: &'l Pool,
        offer: &'l PoolOffer,
    ) -> impl Iterator<Item = (Fit, impl FnOnce() -> &'l Arc<[usize]>)> {
        self.by_price.iter().map(move |at| {
            let fit = self.fits[*at as usize];
            let find = move || {
                let shape = &pool.shapes[fit.shape as usize];
                let is_of = |at: &usize| {
                    offer.types[shape.type_at].offerings[*at].allocatable == shape.allocatable_at
                };
                let sold = pool.terms.sold(&offer.types, shape.type_at, &self.allowed);
                self.share(&sold.filter(is_of).collect::<Vec<_>>())
            };
            (fit, move || self.buys[*at as usize].get_or_init(find))
        })
    }

    /// By number of terms, whether requirements allow ways to buy of which something is true.
    pub(super) fn allowed_and(
        &self,
        pool: &Pool,
        offer: &PoolOffer,
        is: impl Fn(&BuyOption) -> bool,
    ) -> Vec<bool> {
        let all = pool.terms.each(&offer.types, is);
        all.into_iter().zip(&self.allowed).map(|(is, allowed)| is && *allowed).collect()
    }

    /// A list of offerings as everybody has it who has an equal one.
    pub(super) fn share(&self, offerings: &[usize]) -> Arc<[usize]> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shared.get(offerings) {
            return Arc::clone(known);
        }
        let new: Arc<[usize]> = offerings.into();
        shared.insert(Arc::clone(&new));
        new
    }

    /// Whether no shape has room for so much.
    pub(super) fn is_too_small(&self, requests: &Resources) -> bool {
        !requests.fits(&self.free.amounts)
    }

    /// The most that any shape counts against limits.
    pub(super) fn most_capacity(&self) -> &Resources {
        &self.capacity.amounts
    }
}

impl Most {
    fn of<'r>(all: impl Iterator<Item = &'r Resources> + Clone) -> Self {
        let Some(amounts) = largest(all.clone()) else { return Self::default() };
        let mut holders = Vec::new();
        for (name, amount) in amounts.iter() {
            let has = |at: u32| all.clone().nth(at as usize).is_some_and(|one| one.get(name) == amount);
            if !holders.iter().any(|at| has(*at))
                && let Some(at) = all.clone().position(|one| one.get(name) == amount)
            {
                holders.push(at as u32);
            }
        }
        Self { amounts, holders }
    }
}

impl<'v> Asked<'v> {
    fn shape(&self, fit: &Fit) -> &'v Shape {
        &self.shapes[fit.shape as usize]
    }

    pub(super) fn holds(&self, fit: &Fit) -> bool {
        let shape = self.shape(fit);
        Room::of(self.requests).is_within(self.list.rooms[fit.shape as usize])
            && (self.requests.other().next().is_none() || self.requests.fits(&shape.free))
            && self.struck.is_none_or(|struck| !struck.contains(fit.shape as usize))
            && (!self.list.ports || self.ports.iter().all(|ports| conflict(ports, &shape.ports).is_none()))
    }

    /// The cheapest that is left, from a place in the order of prices: the place and the price.
    pub(super) fn cheapest(&self, from: u32) -> Option<(u32, Price)> {
        if self.list.is_too_small(self.requests) {
            return None;
        }
        (from..self.list.by_price.len() as u32).find_map(|place| {
            let fit = &self.list.fits[self.list.by_price[place as usize] as usize];
            self.holds(fit).then_some((place, fit.price))
        })
    }

    /// The cheapest that is left of those of which something is true.
    pub(super) fn cheapest_of(&self, is: impl Fn(&Fit) -> bool) -> Option<&'v Fit> {
        let fits = &self.list.fits;
        let mut by_price = self.list.by_price.iter().map(|at| &fits[*at as usize]);
        by_price.find(|fit| is(fit) && self.holds(fit))
    }

    /// All that are left, in order of shape.
    pub(super) fn left(&self) -> impl Iterator<Item = Fit> + use<'v> {
        let asked = *self;
        self.list.fits.iter().copied().filter(move |fit| asked.holds(fit))
    }

    /// The most that is free on any that is left.
    pub(super) fn most_free(&self) -> Resources {
        let free = |fit: &Fit| &self.shape(fit).free;
        self.most(&self.list.free, free)
    }

    /// The most that any that is left counts against limits.
    pub(super) fn most_capacity(&self, offer: &PoolOffer) -> Resources {
        self.most(&self.list.capacity, |fit| &offer.types[self.shape(fit).type_at].capacity)
    }

    fn most<'r>(&self, known: &Most, of: impl Fn(&Fit) -> &'r Resources) -> Resources {
        if known.holders.iter().all(|at| self.holds(&self.list.fits[*at as usize])) {
            return known.amounts.clone();
        }
        let left: Vec<Fit> = self.left().collect();
        largest(left.iter().map(of)).unwrap_or_default()
    }
}

/// The largest of each amount.
pub(super) fn largest<'r>(mut all: impl Iterator<Item = &'r Resources>) -> Option<Resources> {
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
