//! What devices there are: ResourceSlices of nodes, and templates of slices of instance types.
//!
//! A pool of devices counts as its driver last published it, and only once all of its slices are there. Devices that are not of one node alone are
//! not given to anybody; where a claim wants all devices, it is not known whether they are meant too.
//!
//! **Invariant:** what is not certain to be usable is not offered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cel::common::types::{CelBool, CelInt, CelMapKey, CelString};
use k8s_openapi::api::resource::v1::{
    CounterSet, Device as WrittenDevice, DeviceAttribute, DeviceRequestAllocationResult, ResourceClaim,
    ResourceSliceSpec,
};
use purser_engine::model::{
    Device, DeviceAmount, DeviceName, Inventory, InventoryId, NodeName, SelectorId, Str,
};
use semver::Version;

use super::capacity::{amount, is_enough, of_shared};
use super::claims::{Asked, Book, Kind, allocation};
use super::selector::Subject;
use super::values::{CelDevice, CelQuantity, CelSemver, Domains, Owned};
use super::{DeviceObjects, SliceTemplate};

/// Devices that are in use.
#[derive(Default)]
pub(super) struct Allocated<'o>(BTreeMap<DeviceName, Vec<&'o DeviceRequestAllocationResult>>);

impl<'o> Allocated<'o> {
    pub(super) fn add(&mut self, claim: &'o ResourceClaim) {
        let devices = allocation(claim).and_then(|allocation| allocation.devices.as_ref());
        let results = devices.and_then(|devices| devices.results.as_ref()).into_iter().flatten();
        // Access for administrators takes nothing away from others.
        for one in results.filter(|one| one.admin_access != Some(true)) {
            let (driver, pool) = (one.driver.as_str().into(), one.pool.as_str().into());
            let name = DeviceName { driver, pool, device: one.device.as_str().into() };
            self.0.entry(name).or_default().push(one);
        }
    }

    fn of(&self, name: &DeviceName) -> &[&'o DeviceRequestAllocationResult] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The devices of one pool that are on one node.
struct Pool<'o> {
    driver: &'o str,
    name: &'o str,
    devices: Vec<&'o WrittenDevice>,
    counters: Vec<&'o CounterSet>,
    /// Whether all of it is known.
    complete: bool,
}

/// Whether a slice, or a device that says so itself, is of a node alone.
fn is_on(slice: &ResourceSliceSpec, device: &WrittenDevice, node: &str) -> bool {
    let name = match slice.per_device_node_selection {
        Some(true) => device.node_name.as_deref(),
        _ => slice.node_name.as_deref(),
    };
    name == Some(node)
}

/// Whether a slice, or a device that says so itself, may be of several nodes.
fn is_anywhere(slice: &ResourceSliceSpec, device: &WrittenDevice) -> bool {
    let name = match slice.per_device_node_selection {
        Some(true) => device.node_name.as_deref(),
        _ => slice.node_name.as_deref(),
    };
    name.is_none()
}

/// The pools of the cluster as they were last published: their slices, and whether they are all there.
fn pools(objects: &DeviceObjects) -> BTreeMap<(&str, &str), (Vec<&ResourceSliceSpec>, bool)> {
    let mut pools: BTreeMap<(&str, &str), Vec<&ResourceSliceSpec>> = BTreeMap::new();
    for slice in objects.slices.values().map(|slice| &slice.spec) {
        pools.entry((&slice.driver, &slice.pool.name)).or_default().push(slice);
    }
    pools.into_iter().map(|(key, slices)| (key, newest(slices))).collect()
}

/// The slices of a pool as they were last published, and whether they are all there.
fn newest(mut slices: Vec<&ResourceSliceSpec>) -> (Vec<&ResourceSliceSpec>, bool) {
    let last = slices.iter().map(|slice| slice.pool.generation).max();
    slices.retain(|slice| Some(slice.pool.generation) == last);
    let expected = slices.iter().map(|slice| slice.pool.resource_slice_count).max().unwrap_or(0);
    let devices = slices.iter().flat_map(|slice| slice.devices.iter().flatten());
    let names: Vec<&str> = devices.map(|device| device.name.as_str()).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    let complete = slices.len() as i64 >= expected && distinct.len() == names.len();
    (slices, complete)
}

impl<'o> Book<'o> {
    /// The devices of a node, if there are any. Of drivers that have not published any yet, if the node is still starting, those that its type
    /// will have.
    pub fn of_node(&mut self, node: &NodeName, expected: &'o [SliceTemplate]) -> Option<InventoryId> {
        let objects = self.objects;
        let mut here: Vec<Pool<'o>> = Vec::new();
        for ((driver, name), (slices, complete)) in pools(objects) {
            let all = slices.iter().flat_map(|slice| slice.devices.iter().flatten().map(|d| (*slice, d)));
            let devices: Vec<_> = all
                .filter(|(slice, device)| is_on(slice, device, node.as_str()))
                .map(|(_, device)| device)
                .collect();
            let empty_but_here = slices.iter().any(|slice| slice.node_name.as_deref() == Some(node.as_str()));
            if devices.is_empty() && !empty_but_here {
                continue;
            }
            let counters = slices.iter().flat_map(|slice| slice.shared_counters.iter().flatten()).collect();
            here.push(Pool { driver, name, devices, counters, complete });
        }
        let published: BTreeSet<&str> = here.iter().map(|pool| pool.driver).collect();
        here.extend(of_templates(expected).into_iter().filter(|pool| !published.contains(pool.driver)));
        self.inventory(&here)
    }

    /// The devices of each node of an instance type, if there are any.
    pub fn of_type(&mut self, templates: &'o [SliceTemplate]) -> Option<InventoryId> {
        if templates.is_empty() {
            return None;
        }
        self.inventory(&of_templates(templates))
    }

    /// Selectors that may take devices which are not of one node alone.
    fn reaching_out(&self) -> BTreeSet<SelectorId> {
        let mut taking = Taking { asked: &self.asked, undecided: BTreeSet::new() };
        let mut found = BTreeSet::new();
        for slice in self.objects.slices.values().map(|slice| &slice.spec) {
            for device in slice.devices.iter().flatten().filter(|device| is_anywhere(slice, device)) {
                found.extend(taking.takers(&slice.driver, device).into_keys());
            }
        }
        // One of which it cannot be said counts as meant.
        found.extend(taking.undecided);
        found
    }

    fn inventory(&mut self, pools: &[Pool<'o>]) -> Option<InventoryId> {
        if pools.is_empty() {
            return None;
        }
        let known = self.reaching_out.take().unwrap_or_else(|| self.reaching_out());
        let mut incomplete = known.clone();
        self.reaching_out = Some(known);
        let mut taking = Taking { asked: &self.asked, undecided: BTreeSet::new() };
        if pools.iter().any(|pool| !pool.complete) {
            incomplete.extend((0..self.asked.len() as u32).map(SelectorId));
        }
        let (mut devices, mut left) = (Vec::new(), Vec::new());
        for pool in pools {
            let mut counters: BTreeMap<(&str, &str), usize> = BTreeMap::new();
            for set in &pool.counters {
                for (name, counter) in &set.counters {
                    counters.insert((&set.name, name), left.len());
                    left.push(amount(&counter.value).unwrap_or_default());
                }
            }
            for written in &pool.devices {
                let name = DeviceName {
                    driver: pool.driver.into(),
                    pool: pool.name.into(),
                    device: written.name.as_str().into(),
                };
                let in_use = self.allocated.of(&name);
                let consumed = written.consumes_counters.iter().flatten().flat_map(|of| {
                    of.counters.iter().map(|(name, counter)| {
                        let at = counters.get(&(of.counter_set.as_str(), name.as_str()));
                        Some((*at?, amount(&counter.value)?))
                    })
                });
                let consumed: Option<Vec<(usize, DeviceAmount)>> = consumed.collect();
                if let (Some(consumed), false) = (&consumed, in_use.is_empty()) {
                    for (at, amount) in consumed {
                        left[*at].0 -= amount.0;
                    }
                }
                let shared = written.allow_multiple_allocations == Some(true);
                let usable = pool.complete && consumed.is_some() && is_usable(written);
                let values = &mut self.values;
                let attributes = self.attributes.iter().filter_map(|(name, number)| {
                    let next = values.len() as u32;
                    let value = attribute(written, pool.driver, name)?;
                    Some((*number, *values.entry(value).or_insert(next)))
                });
                devices.push(Device {
                    available: usable && (shared || in_use.is_empty()),
                    attributes: attributes.collect(),
                    // What a shared device takes of counters is taken already once it is in use.
                    counters: consumed.filter(|_| in_use.is_empty()).unwrap_or_default(),
                    room: shared.then(|| room(written, in_use)),
                    takers: taking.takers(pool.driver, written),
                    name,
                });
            }
        }
        let inventory = Inventory::new(devices, left, taking.undecided, incomplete);
        let next = InventoryId(self.inventories.len() as u32);
        Some(*self.inventories.entry(inventory).or_insert(next))
    }
}

fn of_templates(templates: &[SliceTemplate]) -> Vec<Pool<'_>> {
    let mut pools: BTreeMap<(&str, &str), Pool<'_>> = BTreeMap::new();
    for slice in templates {
        let (driver, name) = (slice.driver.as_str(), slice.pool.name.as_str());
        let pool = pools.entry((driver, name)).or_insert_with(|| Pool {
            driver,
            name,
            devices: Vec::new(),
            counters: Vec::new(),
            complete: true,
        });
        pool.devices.extend(slice.devices.iter().flatten());
        pool.counters.extend(slice.shared_counters.iter().flatten());
    }
    pools.into_values().collect()
}

/// Whether a device can be given to claims that ask for nothing out of the ordinary.
fn is_usable(device: &WrittenDevice) -> bool {
    let keeps_away = |effect: &str| matches!(effect, "NoSchedule" | "NoExecute");
    let tainted = device.taints.iter().flatten().any(|taint| keeps_away(&taint.effect));
    // What it takes of the node's own resources is not counted.
    let maps = device.node_allocatable_resource_mappings.as_ref().is_some_and(|all| !all.is_empty());
    !tainted && !maps
}

/// What is left of each capacity of a shared device, in order of their names.
fn room(device: &WrittenDevice, in_use: &[&DeviceRequestAllocationResult]) -> Vec<DeviceAmount> {
    let left = |(name, has): (&String, &k8s_openapi::api::resource::v1::DeviceCapacity)| {
        let consumed = |one: &&DeviceRequestAllocationResult| {
            one.consumed_capacity.as_ref().and_then(|all| all.get(name)).and_then(amount)
        };
        let taken: i128 = in_use.iter().filter_map(consumed).map(|amount| amount.0).sum();
        DeviceAmount(amount(&has.value).unwrap_or_default().0 - taken)
    };
    device.capacity.iter().flatten().map(left).collect()
}

/// The value of an attribute by its full name; one without a domain is of the driver's.
fn attribute(device: &WrittenDevice, driver: &str, name: &str) -> Option<(Kind, Str)> {
    let all = device.attributes.as_ref()?;
    let own = || name.strip_prefix(driver)?.strip_prefix('/').and_then(|own| all.get(own));
    let value = all.get(name).or_else(own)?;
    match value {
        DeviceAttribute { string: Some(text), .. } => Some((Kind::Text, text.as_str().into())),
        DeviceAttribute { int: Some(number), .. } => Some((Kind::Number, number.to_string().into())),
        DeviceAttribute { bool: Some(is), .. } => Some((Kind::Bool, is.to_string().into())),
        DeviceAttribute { version: Some(version), .. } => Some((Kind::Version, version.as_str().into())),
        _ => None,
    }
}

/// Which selectors take a device.
struct Taking<'a> {
    asked: &'a [Asked],
    /// Those that could not be evaluated.
    undecided: BTreeSet<SelectorId>,
}

impl Taking<'_> {
    fn takers(&mut self, driver: &str, device: &WrittenDevice) -> BTreeMap<SelectorId, Vec<DeviceAmount>> {
        let subject = Subject::new(cel_device(driver, device));
        let shared = device.allow_multiple_allocations == Some(true);
        let none = BTreeMap::new();
        let capacity = device.capacity.as_ref().unwrap_or(&none);
        let mut takers = BTreeMap::new();
        for (asked, id) in self.asked.iter().zip(0..) {
            let id = SelectorId(id);
            // In their order: what a class rules out is never asked more.
            let mut verdicts = asked.selectors.iter().map(|selector| selector.takes(&subject));
            match verdicts.find(|verdict| *verdict != Ok(true)) {
                None if shared => {
                    takers.extend(of_shared(capacity, &asked.capacity).map(|taken| (id, taken)))
                }
                None if is_enough(capacity, &asked.capacity) => {
                    takers.insert(id, Vec::new());
                }
                None | Some(Ok(_)) => {}
                Some(Err(_)) => {
                    self.undecided.insert(id);
                }
            }
        }
        takers
    }
}

/// A device as selectors see it.
fn cel_device(driver: &str, device: &WrittenDevice) -> CelDevice {
    let mut attributes: HashMap<String, HashMap<CelMapKey<'static>, Owned>> = HashMap::new();
    let split = |name: &str| match name.split_once('/') {
        Some((domain, own)) => (domain.to_owned(), CelMapKey::from(own.to_owned())),
        None => (driver.to_owned(), CelMapKey::from(name.to_owned())),
    };
    for (name, value) in device.attributes.iter().flatten() {
        let value: Option<Owned> = match value {
            DeviceAttribute { string: Some(text), .. } => Some(Box::new(CelString::from(text.clone()))),
            DeviceAttribute { int: Some(number), .. } => Some(Box::new(CelInt::from(*number))),
            DeviceAttribute { bool: Some(is), .. } => Some(Box::new(CelBool::from(*is))),
            DeviceAttribute { version: Some(version), .. } => {
                Version::parse(version).ok().map(|version| Box::new(CelSemver(version)) as Owned)
            }
            _ => None,
        };
        let (domain, name) = split(name);
        attributes.entry(domain).or_default().extend(value.map(|value| (name, value)));
    }
    let mut capacity: HashMap<String, HashMap<CelMapKey<'static>, Owned>> = HashMap::new();
    for (name, has) in device.capacity.iter().flatten() {
        let value = amount(&has.value).map(|amount| Box::new(CelQuantity(amount)) as Owned);
        let (domain, name) = split(name);
        capacity.entry(domain).or_default().extend(value.map(|value| (name, value)));
    }
    CelDevice {
        driver: driver.to_owned(),
        shared: device.allow_multiple_allocations == Some(true),
        attributes: Domains::new(attributes),
        capacity: Domains::new(capacity),
    }
}
