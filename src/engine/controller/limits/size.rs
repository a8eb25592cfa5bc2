//! How much room things take in a record, at most.
//!
//! **Invariant:** what is computed here is never less than what the wire form takes, whatever the values are: five bytes for
//! the length of a text or list, and nine for a number.

use std::collections::BTreeMap;

use crate::model::{
    AllocatedDevice, AskedKind, Budget, ClaimSource, DeviceAmount, DevicePool, DeviceReach, DeviceSelector,
    LabelSelector, Labels, NamespaceSelector, Offering, OfferingKey, PodAffinity, Requirement, Requirements,
    Resources, Str, Taint, Toleration, TopologySpread,
};

/// A length, or a number of 32 bits.
const LEN: usize = 5;

/// A number of 64 bits.
pub(super) const NUMBER: usize = 9;

/// An amount of a device's: a number of 64 bits, or what it takes beyond.
const AMOUNT: usize = 17;

pub(super) fn text(text: &str) -> usize {
    LEN + text.len()
}

pub(super) fn list<T>(items: &[T], each: impl Fn(&T) -> usize) -> usize {
    LEN + items.iter().map(each).sum::<usize>()
}

pub(super) fn labels(labels: &Labels) -> usize {
    LEN + labels.iter().map(|(key, value)| text(key) + text(value)).sum::<usize>()
}

fn requirement(requirement: &Requirement) -> usize {
    let values: usize = requirement.values().iter().map(|value| text(value)).sum();
    1 + LEN + values + 2 * (1 + NUMBER) + 1 + LEN
}

pub(super) fn requirements(requirements: &Requirements) -> usize {
    LEN + requirements.iter().map(|(key, wanted)| text(key) + requirement(wanted)).sum::<usize>()
}

pub(super) fn resources(resources: &Resources) -> usize {
    4 * NUMBER + LEN + resources.other().map(|(name, _)| text(name.as_str()) + NUMBER).sum::<usize>()
}

pub(super) fn taint(taint: &Taint) -> usize {
    text(&taint.key) + text(&taint.value) + 1
}

pub(super) fn toleration(toleration: &Toleration) -> usize {
    1 + toleration.key.as_deref().map_or(0, text) + 1 + text(&toleration.value) + 2
}

pub(super) fn selector(selector: &LabelSelector) -> usize {
    list(&selector.0, |expression| text(&expression.key) + 1 + list(&expression.values, |value| text(value)))
}

pub(super) fn spread(spread: &TopologySpread) -> usize {
    text(&spread.topology_key) + 2 * LEN + 2 + selector(&spread.selector) + 2
}

pub(super) fn affinity(term: &PodAffinity) -> usize {
    let namespaces = match &term.namespaces {
        NamespaceSelector::Own => 1,
        NamespaceSelector::Other { names, selector: by_label } => {
            1 + list(names, |name| text(name)) + 1 + by_label.as_ref().map_or(0, selector)
        }
    };
    text(&term.topology_key) + selector(&term.selector) + namespaces + 3
}

pub(super) fn budget(budget: &Budget) -> usize {
    let reasons = budget.reasons.as_ref().map_or(0, |reasons| LEN + reasons.len());
    let schedule = budget.schedule.as_ref().map_or(0, |schedule| text(&schedule.text) + NUMBER);
    1 + reasons + 1 + LEN + 1 + schedule
}

pub(super) fn offering(offering: &Offering) -> usize {
    text(offering.zone.as_str()) + 1 + NUMBER
}

pub(super) fn limit(driver: &str) -> usize {
    text(driver) + 1 + LEN
}

pub(super) fn offering_key(offering: &OfferingKey) -> usize {
    text(offering.instance_type.as_str()) + text(offering.zone.as_str()) + 1
}

fn amounts(amounts: &BTreeMap<Str, DeviceAmount>) -> usize {
    LEN + amounts.keys().map(|name| text(name) + AMOUNT).sum::<usize>()
}

pub(super) fn selector_of_devices(selector: &DeviceSelector) -> usize {
    LEN + list(&selector.expressions, |expression| text(expression)) + amounts(&selector.capacity)
}

pub(super) fn kind(kind: &AskedKind) -> usize {
    let requests = list(&kind.requests, |request| {
        let ask = |name: Option<&Str>| 1 + name.map_or(0, |name| text(name)) + LEN + 1 + NUMBER;
        text(&request.name) + list(&request.alternatives, |one| ask(one.name.as_ref()))
    });
    let constraints = list(&kind.constraints, |one| text(&one.attribute) + LEN + one.asks.len() * 2 * NUMBER);
    LEN + requests + constraints
}

pub(super) fn source(source: &ClaimSource) -> usize {
    1 + match source {
        ClaimSource::Named(name) | ClaimSource::Made(name) | ClaimSource::Template(name) => text(name),
        ClaimSource::NotNeeded => LEN,
    }
}

pub(super) fn allocated(device: &AllocatedDevice) -> usize {
    let name = &device.name;
    text(&name.driver) + text(&name.pool) + text(&name.device) + amounts(&device.consumed)
}

pub(super) fn reach(reach: &DeviceReach) -> usize {
    1 + match reach {
        DeviceReach::Nodes(names) => LEN + names.iter().map(|name| text(name.as_str())).sum::<usize>(),
        DeviceReach::Labels(places) => list(places, requirements),
        DeviceReach::Anywhere => 0,
    }
}

pub(super) fn pool<S>(pool: &DevicePool<S>) -> usize {
    let devices = list(&pool.devices, |device| {
        let attributes = device.attributes.iter().map(|(name, value)| text(name) + text(value));
        let takers = device.takers.values().map(|needs| LEN + LEN + needs.len() * AMOUNT);
        text(&device.name)
            + 1
            + LEN
            + attributes.sum::<usize>()
            + LEN
            + device.counters.len() * (NUMBER + AMOUNT)
            + 1
            + device.capacity.as_ref().map_or(0, amounts)
            + LEN
            + takers.sum::<usize>()
    });
    1 + LEN + pool.counters.len() * AMOUNT + devices + LEN + pool.undecided.len() * LEN
}
