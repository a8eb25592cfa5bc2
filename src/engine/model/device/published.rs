//! What a cluster says of devices: pools that drivers published, claims and what they hold, and how pods name their claims.
//!
//! **Invariant:** a pool says what its driver published and nothing of who uses it: that is with the claims, so that a claim which comes or goes
//! changes no pool.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{ClaimKind, DeviceAmount, DeviceName, DeviceReach, KindId, PodClaim, SelectorId};
use crate::model::{NodeName, PodKey, Str};
use crate::reason::{Reason, ReasonId};

/// What a claim asks for, in full.
pub type AskedKind = ClaimKind<Arc<DeviceSelector>>;

/// What is asked of a single device, in full.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DeviceSelector {
    /// CEL expressions, all of which must take it, the class's in front.
    pub expressions: Vec<Str>,
    /// At least so much of its capacities.
    pub capacity: BTreeMap<Str, DeviceAmount>,
}

/// A pool of devices, as far as it is on one node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevicePoolKey {
    /// The node.
    pub node: NodeName,
    /// The driver.
    pub driver: Str,
    /// The pool's own name, unique with the driver's.
    pub pool: Str,
}

impl DevicePoolKey {
    /// The name of one of its devices.
    pub fn device(&self, device: &Str) -> DeviceName {
        DeviceName { driver: self.driver.clone(), pool: self.pool.clone(), device: device.clone() }
    }
}

/// What a driver published of a pool's devices on one node, as far as anybody asks for it; selectors by number, or in full where they have none
/// yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DevicePool<S = SelectorId> {
    /// Whether all of it is known.
    pub complete: bool,
    /// What devices share.
    pub counters: Vec<DeviceAmount>,
    /// The devices, the first to be given in front.
    pub devices: Vec<PublishedDevice<S>>,
    /// Selectors that could not be evaluated on one of them.
    pub undecided: BTreeSet<S>,
}

/// A device as its driver published it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedDevice<S = SelectorId> {
    /// Its name in the pool.
    pub name: Str,
    /// Whether it can be given to claims that ask for nothing out of the ordinary.
    pub usable: bool,
    /// Attributes by which some claim wants devices to be alike, by their full names; two values are the same if their texts are.
    pub attributes: BTreeMap<Str, Str>,
    /// What it takes of the pool's counters: index and amount.
    pub counters: Vec<(usize, DeviceAmount)>,
    /// How much it has of each capacity, if it can be given to several claims at once.
    pub capacity: Option<BTreeMap<Str, DeviceAmount>>,
    /// The selectors that take it, with what each needs of its capacities, in order of their names, if it is shared.
    pub takers: BTreeMap<S, Vec<DeviceAmount>>,
}

impl<S: Ord> DevicePool<S> {
    /// The same with other names for its selectors; those that have none are left out.
    pub fn renamed<T: Ord>(&self, name: impl Fn(&S) -> Option<T>) -> DevicePool<T> {
        let device = |device: &PublishedDevice<S>| PublishedDevice {
            name: device.name.clone(),
            usable: device.usable,
            attributes: device.attributes.clone(),
            counters: device.counters.clone(),
            capacity: device.capacity.clone(),
            takers: device
                .takers
                .iter()
                .filter_map(|(selector, needs)| Some((name(selector)?, needs.clone())))
                .collect(),
        };
        DevicePool {
            complete: self.complete,
            counters: self.counters.clone(),
            devices: self.devices.iter().map(device).collect(),
            undecided: self.undecided.iter().filter_map(&name).collect(),
        }
    }

    /// All selectors that take one of its devices, or could not be evaluated on one.
    pub fn selectors(&self) -> BTreeSet<&S> {
        let takers = self.devices.iter().flat_map(|device| device.takers.keys());
        takers.chain(&self.undecided).collect()
    }

    /// Leaves out attributes that are not among these.
    pub fn keep_attributes(&mut self, kept: &BTreeSet<Str>) {
        self.devices.iter_mut().for_each(|device| device.attributes.retain(|name, _| kept.contains(name)));
    }
}

/// What is asked of devices anywhere. What is told of a pool says nothing about selectors and attributes that are not among these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Questions {
    /// Selectors.
    pub selectors: BTreeSet<Arc<DeviceSelector>>,
    /// Attributes by which devices have to be alike.
    pub attributes: BTreeSet<Str>,
}

/// A ResourceClaim, as far as whoever names it depends on it; its kind by number, or in full where it has none yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceClaim<K = KindId> {
    /// It has no devices yet, and asks for these.
    Open(K),
    /// It has none yet, and what it asks for cannot be had.
    Refused(Reason),
    /// It has devices.
    Allocated(Holding),
}

/// What a claim was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The devices that nobody else can have now, or of which less is left.
    pub devices: Vec<AllocatedDevice>,
    /// From where they can be reached, or why that cannot be told.
    pub reach: Result<DeviceReach, Reason>,
}

/// A device that a claim was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocatedDevice {
    /// The device.
    pub name: DeviceName,
    /// How much of its capacities, if it is shared.
    pub consumed: BTreeMap<Str, DeviceAmount>,
}

/// Where a pod's claim comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimSource {
    /// A ResourceClaim, which other pods may name too.
    Named(Str),
    /// A ResourceClaim that was made of a template for this pod alone.
    Made(Str),
    /// A ResourceClaimTemplate of which a claim is yet to be made.
    Template(Str),
    /// Kubernetes found that none is needed.
    NotNeeded,
}

/// What a pod's claims come to, in its order; shared ones by their names. Claims and templates are looked up by where they come from: a template as
/// the claim that will be made of it.
///
/// # Errors
/// What is missing, wrong or not supported.
pub fn claims_of_pod(
    namespace: &Str,
    sources: &[ClaimSource],
    mut find: impl FnMut(&ClaimSource, &PodKey) -> Option<ResourceClaim>,
) -> Result<Vec<PodClaim<PodKey>>, Reason> {
    let nothing = || PodClaim::Allocated(DeviceReach::Anywhere);
    let mut seen = BTreeSet::new();
    let mut of = |source: &ClaimSource| {
        let (kind, name) = match source {
            ClaimSource::NotNeeded => return Ok(nothing()),
            ClaimSource::Template(name) => ("ResourceClaimTemplate", name),
            ClaimSource::Made(name) | ClaimSource::Named(name) => ("ResourceClaim", name),
        };
        let key = PodKey::new(namespace.clone(), name.clone());
        let Some(found) = find(source, &key) else { return Err(missing(kind, &key)) };
        let is_named = matches!(source, ClaimSource::Named(_));
        if !matches!(source, ClaimSource::Template(_)) && !seen.insert(key.clone()) {
            return Ok(nothing());
        }
        match found {
            ResourceClaim::Open(kind) if is_named => Ok(PodClaim::Shared(key, kind)),
            ResourceClaim::Open(kind) => Ok(PodClaim::Own(kind)),
            ResourceClaim::Refused(reason) => Err(reason),
            ResourceClaim::Allocated(holding) => holding.reach.map(PodClaim::Allocated),
        }
    };
    sources.iter().map(&mut of).collect()
}

fn missing(kind: &str, key: &PodKey) -> Reason {
    Reason::new(ReasonId::DeviceObjectMissing, [("object", format!("{kind} {key}"))])
}
