//! Devices and what claims ask of them: dynamic resource allocation (`resource.k8s.io`), as far as scheduling depends on it.
//!
//! **Invariant:** whatever takes an expression or a quantity's text to find out is settled before it comes here: which selector takes which
//! device, and how much of a shared device that takes, are plain facts of the device.

use std::collections::{BTreeMap, BTreeSet};

mod published;

pub use published::{
    AllocatedDevice, AskedKind, ClaimSource, DevicePool, DevicePoolKey, DeviceSelector, Holding,
    PublishedDevice, Questions, ResourceClaim, claims_of_pod,
};

use super::quantity::units;
use super::{NodeName, PodKey, QuantityError, Requirements, Rounding, Str};

/// A kind of claim, by number: claims that ask for the same are of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KindId(pub u32);

/// The devices of a node, or of every node of an instance type, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InventoryId(pub u32);

/// What is asked of a single device, by number: its class, selectors and amounts of capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SelectorId(pub u32);

/// A claim that several pods may use, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SharedId(pub u32);

/// An amount of a counter or capacity, in billionths of its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DeviceAmount(pub i128);

impl DeviceAmount {
    /// Reads a quantity; what is smaller than a billionth of the unit counts as one.
    ///
    /// # Errors
    /// If the text is malformed, negative or too large.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let parts = units(text, 1_000_000_000, Rounding::Up)?;
        i128::try_from(parts).map(Self).map_err(|_| QuantityError::TooLarge(text.to_owned()))
    }
}

/// The most devices that one claim can be given.
///
/// Source: k8s.io/api, resource/v1, `AllocationResultsMaxSize`.
pub const MOST_DEVICES: usize = 32;

/// What a claim asks for; its selectors by number, or in full where they have none yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKind<S = SelectorId> {
    /// All of these.
    pub requests: Vec<DeviceRequest<S>>,
    /// What devices of different requests must have in common.
    pub constraints: Vec<SameAttribute>,
}

/// Devices for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRequest<S = SelectorId> {
    /// What the claim calls it.
    pub name: Str,
    /// The first of these that can be had.
    pub alternatives: Vec<DeviceAsk<S>>,
}

/// Devices that a selector takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceAsk<S = SelectorId> {
    /// What the claim calls it, where it is one of several alternatives.
    pub name: Option<Str>,
    /// Which devices.
    pub selector: S,
    /// How many.
    pub count: DeviceCount,
}

/// How many devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceCount {
    /// So many.
    Exactly(usize),
    /// All there are, and at least one.
    All,
}

/// Devices that must have an attribute, and all the same value of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SameAttribute {
    /// The attribute by its full name.
    pub attribute: Str,
    /// Of which devices: index of the request, index of the alternative.
    pub asks: BTreeSet<(usize, usize)>,
}

impl<S> ClaimKind<S> {
    /// What it asks of devices, in order.
    pub fn selectors(&self) -> impl Iterator<Item = &S> {
        let asks = self.requests.iter().flat_map(|request| &request.alternatives);
        asks.map(|ask| &ask.selector)
    }

    /// The same with other names for its selectors.
    pub fn renamed<T>(&self, mut name: impl FnMut(&S) -> T) -> ClaimKind<T> {
        let mut ask = |ask: &DeviceAsk<S>| DeviceAsk {
            name: ask.name.clone(),
            selector: name(&ask.selector),
            count: ask.count,
        };
        let request = |request: &DeviceRequest<S>| DeviceRequest {
            name: request.name.clone(),
            alternatives: request.alternatives.iter().map(&mut ask).collect(),
        };
        ClaimKind {
            requests: self.requests.iter().map(request).collect(),
            constraints: self.constraints.clone(),
        }
    }
}

/// A claim of a pod; those that are shared by number, or by name where they have no number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodClaim<S = SharedId> {
    /// The pod's own.
    Own(KindId),
    /// One that other pods use too; all of them go to one node.
    Shared(S, KindId),
    /// One whose devices are allocated already: where they can be reached.
    Allocated(DeviceReach),
}

impl PodClaim<PodKey> {
    /// The same by number: claims of one name get the same one.
    pub fn numbered(self, numbers: &mut BTreeMap<PodKey, SharedId>) -> PodClaim {
        match self {
            Self::Own(kind) => PodClaim::Own(kind),
            Self::Shared(key, kind) => {
                let next = SharedId(numbers.len() as u32);
                PodClaim::Shared(*numbers.entry(key).or_insert(next), kind)
            }
            Self::Allocated(reach) => PodClaim::Allocated(reach),
        }
    }
}

/// From where allocated devices can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceReach {
    /// From these nodes, by their names.
    Nodes(BTreeSet<NodeName>),
    /// From nodes whose labels satisfy one of these.
    Labels(Vec<Requirements>),
    /// From everywhere.
    Anywhere,
}

/// A device by its name, which is unique in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName {
    /// The driver.
    pub driver: Str,
    /// The pool of devices.
    pub pool: Str,
    /// The device in the pool.
    pub device: Str,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its name.
    pub name: DeviceName,
    /// Whether it can be given to anybody: not one that is in use, or tainted.
    pub available: bool,
    /// Attributes by which devices must be alike, by their full names; two values are the same if their texts are.
    pub attributes: BTreeMap<Str, Str>,
    /// What it takes of the inventory's counters: index and amount.
    pub counters: Vec<(usize, DeviceAmount)>,
    /// How much is left of each of its capacities, if it can be given to several claims at once.
    pub room: Option<Vec<DeviceAmount>>,
    /// The selectors that take it, with what each needs of its capacities if it is shared.
    pub takers: BTreeMap<SelectorId, Vec<DeviceAmount>>,
}

/// The devices of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Inventory {
    /// The devices, the first to be given in front.
    devices: Vec<Device>,
    /// For each device a number, equal for those that can stand for each other.
    alike: Vec<usize>,
    /// What is left of counters that devices share.
    counters: Vec<DeviceAmount>,
    /// Selectors of which it is not known what they take here.
    undecided: BTreeSet<SelectorId>,
    /// Whether these are all devices of the node.
    complete: bool,
}

impl Inventory {
    /// Devices with what is left of the counters that they share, selectors that could not be evaluated on one of them, and whether they are all
    /// that the node has.
    pub fn new(
        devices: Vec<Device>,
        counters: Vec<DeviceAmount>,
        undecided: BTreeSet<SelectorId>,
        complete: bool,
    ) -> Self {
        let same = |one: &Device, other: &Device| {
            (one.available, &one.attributes, &one.counters, &one.room, &one.takers)
                == (other.available, &other.attributes, &other.counters, &other.room, &other.takers)
        };
        let first = |one: &Device| devices.iter().position(|other| same(one, other));
        let alike = devices.iter().filter_map(first).collect();
        Self { devices, alike, counters, undecided, complete }
    }

    /// The pools of a node with what claims were given of them, told by `in_use` of each device: for each of its uses, how much of its capacities.
    pub fn of<'p, 'u, U>(
        pools: impl IntoIterator<Item = (&'p DevicePoolKey, &'p DevicePool)>,
        in_use: impl Fn(&DeviceName) -> U,
    ) -> Self
    where
        U: Iterator<Item = &'u BTreeMap<Str, DeviceAmount>>,
    {
        let (mut devices, mut undecided, mut complete) = (Vec::new(), BTreeSet::new(), true);
        let mut left: Vec<DeviceAmount> = Vec::new();
        for (key, pool) in pools {
            let first = left.len();
            left.extend(&pool.counters);
            undecided.extend(pool.undecided.iter().copied());
            complete &= pool.complete;
            for published in &pool.devices {
                let name = key.device(&published.name);
                let uses: Vec<&BTreeMap<Str, DeviceAmount>> = in_use(&name).collect();
                let free = uses.is_empty();
                let mut counters: Vec<(usize, DeviceAmount)> = published.counters.clone();
                counters.iter_mut().for_each(|(at, _)| *at += first);
                if !free {
                    // What a shared device takes of counters is taken already once it is in use.
                    counters.drain(..).for_each(|(at, amount)| left[at].0 -= amount.0);
                }
                let room = published.capacity.as_ref().map(|capacity| {
                    let rest = |(name, has): (&Str, &DeviceAmount)| {
                        let consumed = uses.iter().filter_map(|used| used.get(name));
                        DeviceAmount(has.0 - consumed.map(|used| used.0).sum::<i128>())
                    };
                    capacity.iter().map(rest).collect()
                });
                devices.push(Device {
                    available: pool.complete && published.usable && (room.is_some() || free),
                    attributes: published.attributes.clone(),
                    counters,
                    room,
                    takers: published.takers.clone(),
                    name,
                });
            }
        }
        Self::new(devices, left, undecided, complete)
    }

    /// The devices, the first to be given in front.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Whether two devices can stand for each other as long as neither is in use.
    pub fn alike(&self, device: usize) -> usize {
        self.alike[device]
    }

    /// What is left of counters that devices share.
    pub fn counters(&self) -> &[DeviceAmount] {
        &self.counters
    }

    /// Whether it is known which devices a selector takes here.
    pub fn decides(&self, selector: SelectorId) -> bool {
        !self.undecided.contains(&selector)
    }

    /// Whether the devices here are all of the node's own.
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}
