//! Devices and what claims ask of them: dynamic resource allocation (`resource.k8s.io`), as far as scheduling depends on it.
//!
//! **Invariant:** whatever takes an expression or a quantity's text to find out is settled before it comes here: which selector takes which
//! device, and how much of a shared device that takes, are plain facts of the device.

use std::collections::{BTreeMap, BTreeSet};

use super::quantity::units;
use super::{QuantityError, Requirements, Rounding, Str};

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

/// What a claim asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ClaimKind {
    /// All of these.
    pub requests: Vec<DeviceRequest>,
    /// What devices of different requests must have in common.
    pub constraints: Vec<SameAttribute>,
}

/// Devices for one purpose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceRequest {
    /// What the claim calls it.
    pub name: Str,
    /// The first of these that can be had.
    pub alternatives: Vec<DeviceAsk>,
}

/// Devices that a selector takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceAsk {
    /// What the claim calls it, where it is one of several alternatives.
    pub name: Option<Str>,
    /// Which devices.
    pub selector: SelectorId,
    /// How many.
    pub count: DeviceCount,
}

/// How many devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceCount {
    /// So many.
    Exactly(usize),
    /// All there are, and at least one.
    All,
}

/// Devices that must have an attribute, and all the same value of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SameAttribute {
    /// The attribute, by number.
    pub attribute: u32,
    /// Of which devices: index of the request, index of the alternative.
    pub asks: BTreeSet<(usize, usize)>,
}

/// A claim of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodClaim {
    /// The pod's own.
    Own(KindId),
    /// One that other pods use too; all of them go to one node.
    Shared(SharedId, KindId),
    /// One whose devices are allocated already: where they can be reached.
    Allocated(DeviceReach),
}

/// From where allocated devices can be reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceReach {
    /// From these nodes, by their names.
    Nodes(BTreeSet<Str>),
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
    /// Attributes by which devices must be alike, by number, with a number for each value.
    pub attributes: BTreeMap<u32, u32>,
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
    /// Selectors of which it is not known whether the devices here are all that they take.
    incomplete: BTreeSet<SelectorId>,
}

impl Inventory {
    /// Devices with what is left of the counters that they share, selectors that could not be evaluated on one of them, and selectors that may
    /// take devices that are not among them.
    pub fn new(
        devices: Vec<Device>,
        counters: Vec<DeviceAmount>,
        undecided: BTreeSet<SelectorId>,
        incomplete: BTreeSet<SelectorId>,
    ) -> Self {
        let same = |one: &Device, other: &Device| {
            (one.available, &one.attributes, &one.counters, &one.room, &one.takers)
                == (other.available, &other.attributes, &other.counters, &other.room, &other.takers)
        };
        let first = |one: &Device| devices.iter().position(|other| same(one, other));
        let alike = devices.iter().filter_map(first).collect();
        Self { devices, alike, counters, undecided, incomplete }
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

    /// Whether the devices here are all that a selector takes on the node.
    pub fn is_complete_for(&self, selector: SelectorId) -> bool {
        !self.incomplete.contains(&selector)
    }
}
