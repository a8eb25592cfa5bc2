//! What devices there are: ResourceSlices of nodes, and templates of slices of instance types.
//!
//! A pool of devices counts as its driver last published it, and only once all of its slices are there. Devices that are not of one node alone are
//! not given to anybody; where a claim wants all devices, it is not known whether they are meant too.
//!
//! **Invariant:** what is not certain to be usable is not offered.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cel::common::types::{CelBool, CelInt, CelMapKey, CelString};
use k8s_openapi::api::resource::v1::{
    CounterSet, Device as WrittenDevice, DeviceAttribute, DeviceCapacity, ResourceSliceSpec,
};
use purser_engine::model::{DeviceAmount, DevicePool, DevicePoolKey, NodeName, PublishedDevice, Str};
use semver::Version;

use super::SliceTemplate;
use super::asking::Question;
use super::capacity::{amount, is_enough, of_shared};
use super::selector::Subject;
use super::values::{CelDevice, CelQuantity, CelSemver, Domains, Owned};

/// What is asked of devices: each selector with what it is called, and attributes by which devices have to be alike.
pub struct Answering<'a, S> {
    /// Selectors.
    pub questions: &'a [(S, Question)],
    /// Attributes by their full names.
    pub attributes: &'a BTreeSet<Str>,
}

/// The devices of one pool that are on one node.
struct Pool<'o> {
    driver: &'o str,
    devices: Vec<&'o WrittenDevice>,
    counters: Vec<&'o CounterSet>,
    /// Whether all of it is known.
    complete: bool,
}

/// The node that a slice, or a device that says so itself, is of alone; `None` if it may be of several.
fn node<'o>(slice: &'o ResourceSliceSpec, device: &'o WrittenDevice) -> Option<&'o str> {
    match slice.per_device_node_selection {
        Some(true) => device.node_name.as_deref(),
        _ => slice.node_name.as_deref(),
    }
}

/// The slices of each pool, by driver and name.
pub(super) fn pools<'o>(
    slices: impl Iterator<Item = &'o ResourceSliceSpec>,
) -> BTreeMap<(Str, Str), Vec<&'o ResourceSliceSpec>> {
    let mut pools: BTreeMap<(Str, Str), Vec<&ResourceSliceSpec>> = BTreeMap::new();
    for slice in slices {
        let key = (slice.driver.as_str().into(), slice.pool.name.as_str().into());
        pools.entry(key).or_default().push(slice);
    }
    pools
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

impl<S: Ord + Clone> Answering<'_, S> {
    /// The nodes that have devices of a pool, or slices of it that say that there are none, with those devices. All slices of the pool are wanted,
    /// in order of their names.
    pub fn on_nodes(&self, slices: Vec<&ResourceSliceSpec>) -> BTreeMap<NodeName, DevicePool<S>> {
        let (slices, complete) = newest(slices);
        let mut here: BTreeMap<&str, Vec<&WrittenDevice>> = BTreeMap::new();
        for slice in &slices {
            here.extend(
                slice
                    .node_name
                    .as_deref()
                    .filter(|name| !here.contains_key(name))
                    .map(|name| (name, Vec::new())),
            );
            for device in slice.devices.iter().flatten() {
                if let Some(name) = node(slice, device) {
                    here.entry(name).or_default().push(device);
                }
            }
        }
        let counters: Vec<&CounterSet> =
            slices.iter().flat_map(|slice| slice.shared_counters.iter().flatten()).collect();
        let driver = slices.first().map(|slice| slice.driver.as_str()).unwrap_or_default();
        let read = |(name, devices): (&str, _)| {
            let pool = Pool { driver, devices, counters: counters.clone(), complete };
            (NodeName::from(name), self.read(&pool))
        };
        here.into_iter().map(read).collect()
    }

    /// Selectors that may take devices which are not of one node alone.
    pub fn wide<'o>(&self, slices: impl Iterator<Item = &'o ResourceSliceSpec>) -> BTreeSet<S> {
        let mut undecided = BTreeSet::new();
        let mut found = BTreeSet::new();
        for slice in slices {
            for device in slice.devices.iter().flatten().filter(|device| node(slice, device).is_none()) {
                found.extend(self.takers(&slice.driver, device, &mut undecided).into_keys());
            }
        }
        // One of which it cannot be said counts as meant.
        found.extend(undecided);
        found
    }

    fn read(&self, pool: &Pool<'_>) -> DevicePool<S> {
        let mut numbers: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut counters = Vec::new();
        for set in &pool.counters {
            for (name, counter) in &set.counters {
                numbers.insert((&set.name, name), counters.len());
                counters.push(amount(&counter.value).unwrap_or_default());
            }
        }
        let mut undecided = BTreeSet::new();
        let device = |written: &&WrittenDevice| {
            let consumed = written.consumes_counters.iter().flatten().flat_map(|of| {
                of.counters.iter().map(|(name, counter)| {
                    let at = numbers.get(&(of.counter_set.as_str(), name.as_str()));
                    Some((*at?, amount(&counter.value)?))
                })
            });
            let consumed: Option<Vec<(usize, DeviceAmount)>> = consumed.collect();
            let attributes = self.attributes.iter();
            let shared = written.allow_multiple_allocations == Some(true);
            PublishedDevice {
                name: written.name.as_str().into(),
                usable: consumed.is_some() && is_usable(written),
                attributes: attributes
                    .filter_map(|name| Some((name.clone(), attribute(written, pool.driver, name)?)))
                    .collect(),
                counters: consumed.unwrap_or_default(),
                capacity: shared.then(|| capacity(written)),
                takers: self.takers(pool.driver, written, &mut undecided),
            }
        };
        let devices = pool.devices.iter().map(device).collect();
        DevicePool { complete: pool.complete, counters, devices, undecided }
    }

    /// The selectors that take a device, with what each needs of its capacities if it is shared.
    fn takers(
        &self,
        driver: &str,
        device: &WrittenDevice,
        undecided: &mut BTreeSet<S>,
    ) -> BTreeMap<S, Vec<DeviceAmount>> {
        let mut takers = BTreeMap::new();
        if self.questions.is_empty() {
            return takers;
        }
        let subject = Subject::new(cel_device(driver, device));
        let shared = device.allow_multiple_allocations == Some(true);
        let none = BTreeMap::new();
        let capacity = device.capacity.as_ref().unwrap_or(&none);
        for (id, question) in self.questions {
            let Some(selectors) = &question.selectors else {
                undecided.insert(id.clone());
                continue;
            };
            // In their order: what a class rules out is never asked more.
            let mut verdicts = selectors.iter().map(|selector| selector.takes(&subject));
            match verdicts.find(|verdict| *verdict != Ok(true)) {
                None if shared => {
                    takers.extend(of_shared(capacity, &question.capacity).map(|taken| (id.clone(), taken)))
                }
                None if is_enough(capacity, &question.capacity) => {
                    takers.insert(id.clone(), Vec::new());
                }
                None | Some(Ok(_)) => {}
                Some(Err(_)) => {
                    undecided.insert(id.clone());
                }
            }
        }
        takers
    }
}

/// The pools that templates of slices make on a node.
pub(super) fn of_templates<S: Ord + Clone>(
    answering: Answering<'_, S>,
    node: &NodeName,
    templates: &[SliceTemplate],
) -> Vec<(DevicePoolKey, DevicePool<S>)> {
    let of_pool = |((driver, name), slices): ((Str, Str), Vec<&SliceTemplate>)| {
        let pool = Pool {
            driver: &driver,
            devices: slices.iter().flat_map(|slice| slice.devices.iter().flatten()).collect(),
            counters: slices.iter().flat_map(|slice| slice.shared_counters.iter().flatten()).collect(),
            complete: true,
        };
        let read = answering.read(&pool);
        (DevicePoolKey { node: node.clone(), driver, pool: name }, read)
    };
    pools(templates.iter()).into_iter().map(of_pool).collect()
}

/// Whether a device can be given to claims that ask for nothing out of the ordinary.
fn is_usable(device: &WrittenDevice) -> bool {
    let keeps_away = |effect: &str| matches!(effect, "NoSchedule" | "NoExecute");
    let tainted = device.taints.iter().flatten().any(|taint| keeps_away(&taint.effect));
    // What it takes of the node's own resources is not counted.
    let maps = device.node_allocatable_resource_mappings.as_ref().is_some_and(|all| !all.is_empty());
    !tainted && !maps
}

/// How much there is of each capacity of a device.
fn capacity(device: &WrittenDevice) -> BTreeMap<Str, DeviceAmount> {
    let has = |(name, has): (&String, &DeviceCapacity)| {
        (Str::from(name.as_str()), amount(&has.value).unwrap_or_default())
    };
    device.capacity.iter().flatten().map(has).collect()
}

/// The value of an attribute by its full name, with its type in front; one without a domain is of the driver's.
fn attribute(device: &WrittenDevice, driver: &str, name: &str) -> Option<Str> {
    let all = device.attributes.as_ref()?;
    let own = || name.strip_prefix(driver)?.strip_prefix('/').and_then(|own| all.get(own));
    let value = all.get(name).or_else(own)?;
    let text = match value {
        DeviceAttribute { string: Some(text), .. } => format!("string {text}"),
        DeviceAttribute { int: Some(number), .. } => format!("int {number}"),
        DeviceAttribute { bool: Some(is), .. } => format!("bool {is}"),
        DeviceAttribute { version: Some(version), .. } => format!("version {version}"),
        _ => return None,
    };
    Some(text.into())
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
