//! Which devices claims get on one node: an exact search, depth first, in the order in which kube-scheduler tries devices.
//!
//! Claims are taken in the order in which the pod names them, requests as the claim does, alternatives by priority, devices by their place in
//! the inventory. What earlier pods were given stays theirs, as it does when kube-scheduler binds one pod after the other.
//!
//! Source: k8s.io/dynamic-resource-allocation, structured; Karpenter, pkg/scheduling/dynamicresources.
//!
//! **Invariant:** a [`Ledger`] never gives more than its inventory has: a device to one claim alone unless it is shared, of capacities and
//! counters no more than there is. The search ends after a fixed number of steps, never by a clock.

use std::collections::{BTreeMap, BTreeSet};

use super::pass::Placement;
use super::problem::Devices;
use super::setup::Setup;
use super::{DevicePlace, Launch, PodDevices};
use crate::model::{
    ClaimKind, Device, DeviceAmount, DeviceAsk, DeviceCount, Inventory, KindId, MOST_DEVICES, PodClaim,
    SameAttribute, SelectorId, SharedId, Str,
};

/// So many devices are looked at for the claims of one pod on one node.
const MOST_STEPS: u32 = 20_000;

/// A device as a claim gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Index of the request.
    pub request: usize,
    /// Index of its alternative.
    pub alternative: usize,
    /// Index of the device in the inventory.
    pub device: usize,
}

/// Why claims get no devices on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// There are none.
    None,
    /// It would take too long to find out.
    Unknown,
}

/// What is left of an inventory, and who got the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger {
    /// How often each device was given.
    uses: Vec<u32>,
    /// What is left of the counters.
    counters: Vec<DeviceAmount>,
    /// What is left of the capacities of shared devices.
    room: Vec<Vec<DeviceAmount>>,
    /// For each pod in the order in which they came: what those of its claims got that were allocated for it.
    pub given: Vec<Vec<Vec<Given>>>,
}

impl Ledger {
    pub(super) fn new(inventory: &Inventory) -> Self {
        let room = |device: &Device| device.room.clone().unwrap_or_default();
        Self {
            uses: vec![0; inventory.devices().len()],
            counters: inventory.counters().to_vec(),
            room: inventory.devices().iter().map(room).collect(),
            given: Vec::new(),
        }
    }

    /// What is left once a pod's claims got their devices; and how many steps it took to find out.
    pub(super) fn with(
        &self,
        devices: &Devices,
        inventory: &Inventory,
        claims: &[KindId],
    ) -> (Result<Self, Shortage>, u32) {
        let kinds: Vec<&ClaimKind> = claims.iter().map(|kind| devices.kind(*kind)).collect();
        let asks = || kinds.iter().flat_map(|kind| &kind.requests).flat_map(|one| &one.alternatives);
        if asks().any(|ask| !inventory.decides(ask.selector)) {
            return (Err(Shortage::None), 1);
        }
        let mut search = Search {
            inventory,
            wide: &devices.wide,
            kinds: &kinds,
            left: self.clone(),
            chosen: vec![Vec::new(); kinds.len()],
            pins: kinds.iter().map(|kind| vec![Pin::default(); kind.constraints.len()]).collect(),
            steps: 0,
        };
        let found = search.request(0, 0);
        let steps = search.steps.min(MOST_STEPS);
        let result = match (found, search.gave_up()) {
            (true, _) => {
                let mut left = search.left;
                left.given.push(search.chosen);
                Ok(left)
            }
            (false, true) => Err(Shortage::Unknown),
            (false, false) => Err(Shortage::None),
        };
        (result, steps + 1)
    }

    /// What is left once a pod came whose claims are all allocated.
    pub(super) fn with_none(&self) -> Self {
        let mut left = self.clone();
        left.given.push(Vec::new());
        left
    }
}

/// What hosts have left beside pods that are expected there, and where those will have allocated the claims that others use too.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub ledgers: BTreeMap<u32, Ledger>,
    pub shared: BTreeMap<SharedId, u32>,
}

impl Expected {
    pub(super) fn new(devices: &Devices) -> Self {
        let mut all = Self::default();
        for (host, pods) in &devices.expected {
            let Some(inventory) = devices.hosts[*host].map(|id| devices.inventory(id)) else { continue };
            let mut left = Ledger::new(inventory);
            for claims in pods {
                let target = *host as u32;
                let kind = |claim: &PodClaim| match claim {
                    PodClaim::Own(kind) => Some(*kind),
                    PodClaim::Shared(id, kind) => {
                        // One that is expected elsewhere too goes there, or comes from there.
                        all.shared.insert(*id, target).is_none().then_some(*kind)
                    }
                    PodClaim::Allocated(_) => None,
                };
                let wanted: Vec<KindId> = claims.iter().filter_map(kind).collect();
                // A pod for which there is nothing any more is about to be looked at again.
                if let (Ok(with), _) = left.with(devices, inventory, &wanted) {
                    left = with;
                }
            }
            left.given.clear();
            all.ledgers.insert(*host as u32, left);
        }
        all
    }
}

/// What the claims of all pods of a placement get, on each type that may be launched for them; `launches` are those of planned nodes.
pub(super) fn given(
    setup: &Setup<'_>,
    placement: &Placement,
    launches: &[Option<(usize, &Launch)>],
) -> Vec<PodDevices> {
    let hosts = setup.problem.hosts.len();
    let mut all = Vec::new();
    for (pod, at) in &placement.given {
        let Some(target) = placement.target[*pod] else { continue };
        let mut tell = |place: DevicePlace, ledger: &Ledger| {
            let entry = ledger.given[at.entry].iter();
            all.extend(at.claims.iter().zip(entry).map(|(claim, given)| PodDevices {
                pod: *pod,
                claim: *claim,
                place,
                devices: given.clone(),
            }));
        };
        let Some(planned) = (target as usize).checked_sub(hosts) else {
            let ledger = placement.used.get(&target).and_then(|used| used.devices.as_ref());
            ledger.into_iter().for_each(|ledger| tell(DevicePlace::Host(target as usize), ledger));
            continue;
        };
        let Some((number, launch)) = launches[planned] else { continue };
        for one in launch.types.iter() {
            let left = placement.planned[planned].devices.as_ref();
            let ledger = setup.stocks.of(launch.pool, one.type_at).and_then(|id| left?.ledger(id));
            let place = DevicePlace::Launch { launch: number, type_at: one.type_at };
            ledger.into_iter().for_each(|ledger| tell(place, ledger));
        }
    }
    all
}

/// The value that devices must share, and how many have it so far.
#[derive(Debug, Clone, Copy, Default)]
struct Pin<'s> {
    value: Option<&'s Str>,
    devices: u32,
}

struct Search<'s> {
    inventory: &'s Inventory,
    /// Selectors that may take devices which are not of one node alone.
    wide: &'s BTreeSet<SelectorId>,
    kinds: &'s [&'s ClaimKind],
    left: Ledger,
    /// What each claim has so far.
    chosen: Vec<Vec<Given>>,
    /// For each claim and constraint.
    pins: Vec<Vec<Pin<'s>>>,
    steps: u32,
}

/// Devices that are wanted for an alternative of a request of a claim.
#[derive(Clone, Copy)]
struct Want<'s> {
    claim: usize,
    request: usize,
    alternative: usize,
    ask: &'s DeviceAsk,
}

impl<'s> Search<'s> {
    fn gave_up(&self) -> bool {
        self.steps > MOST_STEPS
    }

    /// Finds devices for a request and all that come after it.
    fn request(&mut self, claim: usize, request: usize) -> bool {
        let kinds: &'s [&'s ClaimKind] = self.kinds;
        let Some(kind) = kinds.get(claim) else { return true };
        let Some(of) = kind.requests.get(request) else { return self.request(claim + 1, 0) };
        of.alternatives.iter().enumerate().any(|(alternative, ask)| {
            let want = Want { claim, request, alternative, ask };
            match ask.count {
                DeviceCount::Exactly(count) if self.chosen[claim].len() + count <= MOST_DEVICES => {
                    self.pick(want, count, 0)
                }
                DeviceCount::Exactly(_) => false,
                DeviceCount::All => self.all(want),
            }
        })
    }

    /// Finds so many devices, none in front of a place: among devices for one request the order is of no account.
    fn pick(&mut self, want: Want<'s>, count: usize, from: usize) -> bool {
        if count == 0 {
            return self.request(want.claim, want.request + 1);
        }
        let mut failed: Vec<usize> = Vec::new();
        for device in from..self.inventory.devices().len() {
            self.steps += 1;
            if self.gave_up() {
                return false;
            }
            let shared = self.inventory.devices()[device].room.is_some();
            if !shared && self.left.uses[device] > 0 {
                continue;
            }
            // What did not do for one does not do for another that is like it.
            let like = self.inventory.alike(device);
            if !shared && failed.contains(&like) {
                continue;
            }
            if self.take(want, device) {
                let next = if shared { device } else { device + 1 };
                if self.pick(want, count - 1, next) {
                    return true;
                }
                self.give_back(want, device);
            }
            if !shared {
                failed.push(like);
            }
        }
        false
    }

    /// Takes all devices of a selector.
    fn all(&mut self, want: Want<'s>) -> bool {
        let selector = want.ask.selector;
        let devices = self.inventory.devices();
        let all: Vec<usize> =
            (0..devices.len()).filter(|at| devices[*at].takers.contains_key(&selector)).collect();
        self.steps += all.len() as u32 + 1;
        let possible = !all.is_empty()
            && self.inventory.is_complete()
            && !self.wide.contains(&selector)
            && self.chosen[want.claim].len() + all.len() <= MOST_DEVICES
            && !self.gave_up();
        if !possible {
            return false;
        }
        let taken = all.iter().take_while(|device| self.take(want, **device)).count();
        if taken == all.len() && self.request(want.claim, want.request + 1) {
            return true;
        }
        for device in all[..taken].iter().rev() {
            self.give_back(want, *device);
        }
        false
    }

    /// Constraints on the devices of an alternative.
    fn constraints(&self, want: Want<'s>) -> impl Iterator<Item = (usize, &'s SameAttribute)> + use<'s> {
        let all = self.kinds[want.claim].constraints.iter().enumerate();
        all.filter(move |(_, one)| one.asks.contains(&(want.request, want.alternative)))
    }

    /// Takes a device, if it is free and does.
    fn take(&mut self, want: Want<'s>, at: usize) -> bool {
        let inventory: &'s Inventory = self.inventory;
        let device = &inventory.devices()[at];
        let Some(needs) = device.takers.get(&want.ask.selector).filter(|_| device.available) else {
            return false;
        };
        let first = self.left.uses[at] == 0;
        let free = match device.room {
            Some(_) => self.left.room[at].iter().zip(needs).all(|(left, need)| need <= left),
            None => first,
        };
        // A shared device takes of the counters once, however often it is given.
        let counted = !first || device.counters.iter().all(|(at, amount)| *amount <= self.left.counters[*at]);
        let pins = &self.pins[want.claim];
        let alike = self.constraints(want).all(|(number, one)| match device.attributes.get(&one.attribute) {
            Some(value) => pins[number].devices == 0 || pins[number].value == Some(value),
            None => false,
        });
        if !(free && counted && alike) {
            return false;
        }
        self.count(want, at, 1);
        self.chosen[want.claim].push(Given {
            request: want.request,
            alternative: want.alternative,
            device: at,
        });
        true
    }

    fn give_back(&mut self, want: Want<'s>, at: usize) {
        self.count(want, at, -1);
        self.chosen[want.claim].pop();
    }

    /// Counts a device as given once more, or once less.
    fn count(&mut self, want: Want<'s>, at: usize, by: i32) {
        let inventory: &'s Inventory = self.inventory;
        let device = &inventory.devices()[at];
        let before = self.left.uses[at];
        self.left.uses[at] = before.saturating_add_signed(by);
        let sign = i128::from(by);
        if before == 0 || self.left.uses[at] == 0 {
            for (counter, amount) in &device.counters {
                self.left.counters[*counter].0 -= sign * amount.0;
            }
        }
        if device.room.is_some() {
            let needs = &device.takers[&want.ask.selector];
            for (left, need) in self.left.room[at].iter_mut().zip(needs) {
                left.0 -= sign * need.0;
            }
        }
        for (number, one) in self.constraints(want) {
            let pin = &mut self.pins[want.claim][number];
            pin.value = device.attributes.get(&one.attribute);
            pin.devices = pin.devices.saturating_add_signed(by);
        }
    }
}

#[cfg(test)]
mod tests;
