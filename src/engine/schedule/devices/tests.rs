//! The search against one that tries everything, and what a ledger remembers.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::model::{DeviceName, DeviceRequest, SelectorId};

const SELECTORS: u32 = 3;

fn device(at: usize) -> Device {
    Device {
        name: DeviceName { driver: "d".into(), pool: "p".into(), device: format!("{at}").into() },
        available: true,
        attributes: Default::default(),
        counters: Vec::new(),
        room: None,
        takers: [(SelectorId(0), Vec::new())].into(),
    }
}

fn inventory(devices: Vec<Device>, counters: Vec<DeviceAmount>) -> Inventory {
    Inventory::new(devices, counters, Default::default(), true)
}

fn ask(selector: u32, count: DeviceCount) -> DeviceAsk {
    DeviceAsk { name: None, selector: SelectorId(selector), count }
}

fn request(alternatives: Vec<DeviceAsk>) -> DeviceRequest {
    DeviceRequest { name: "r".into(), alternatives }
}

/// Claims of one request each for so many devices.
fn wanting(counts: &[usize]) -> Devices {
    let kind = |count: &usize| ClaimKind {
        requests: vec![request(vec![ask(0, DeviceCount::Exactly(*count))])],
        constraints: Vec::new(),
    };
    Devices { kinds: counts.iter().map(kind).map(Arc::new).collect(), ..Devices::default() }
}

#[test]
fn what_is_given_stays_given() {
    let (devices, there) = (wanting(&[2, 1]), inventory((0..4).map(device).collect(), Vec::new()));
    let (two, one) = (KindId(0), KindId(1));
    let first = Ledger::new(&there).with(&devices, &there, &[two]).0.unwrap();
    let second = first.with(&devices, &there, &[one]).0.unwrap();
    assert_eq!(second.with(&devices, &there, &[two]).0, Err(Shortage::None));
    let third = second.with(&devices, &there, &[one]).0.unwrap();
    assert_eq!(third.with(&devices, &there, &[one]).0, Err(Shortage::None));
    let given: Vec<Vec<usize>> =
        third.given.iter().map(|pod| pod.iter().flatten().map(|given| given.device).collect()).collect();
    assert_eq!(given, [vec![0, 1], vec![2], vec![3]]);
}

#[test]
fn claims_of_one_pod_are_found_devices_together() {
    // The first claim takes what the second needs, unless it is looked for again.
    let mut only = device(1);
    only.takers = [(SelectorId(1), Vec::new())].into();
    let mut both = device(0);
    both.takers.insert(SelectorId(1), Vec::new());
    let kind = |selector| ClaimKind {
        requests: vec![request(vec![ask(selector, DeviceCount::Exactly(1))])],
        constraints: Vec::new(),
    };
    let devices = Devices { kinds: vec![kind(1).into(), kind(0).into()], ..Devices::default() };
    let there = inventory(vec![both, only], Vec::new());
    let found = Ledger::new(&there).with(&devices, &there, &[KindId(0), KindId(1)]).0.unwrap();
    assert_eq!((found.given[0][0][0].device, found.given[0][1][0].device), (1, 0));
}

#[test]
fn a_claim_gets_no_more_than_it_can_hold() {
    let there = inventory((0..40).map(device).collect(), Vec::new());
    let devices = wanting(&[MOST_DEVICES, MOST_DEVICES + 1]);
    let empty = Ledger::new(&there);
    assert!(empty.with(&devices, &there, &[KindId(0)]).0.is_ok());
    assert_eq!(empty.with(&devices, &there, &[KindId(1)]).0, Err(Shortage::None));
}

#[test]
fn all_means_every_one_of_them_and_at_least_one() {
    let all = ClaimKind { requests: vec![request(vec![ask(0, DeviceCount::All)])], constraints: Vec::new() };
    let devices = Devices { kinds: vec![all.into()], ..Devices::default() };
    let find = |there: &Inventory| Ledger::new(there).with(&devices, there, &[KindId(0)]).0;
    let three = inventory((0..3).map(device).collect(), Vec::new());
    assert_eq!(find(&three).unwrap().given[0][0].len(), 3);
    assert_eq!(find(&inventory(Vec::new(), Vec::new())), Err(Shortage::None));
    let mut used = device(1);
    used.available = false;
    assert_eq!(find(&inventory(vec![device(0), used], Vec::new())), Err(Shortage::None));
    let unknown = Inventory::new(vec![device(0)], Vec::new(), Default::default(), false);
    assert_eq!(find(&unknown), Err(Shortage::None), "there may be more of them");
    let wide = Devices { wide: [SelectorId(0)].into(), ..devices.clone() };
    let found = Ledger::new(&three).with(&wide, &three, &[KindId(0)]).0;
    assert_eq!(found, Err(Shortage::None), "there may be others, of no node");
}

#[test]
fn a_search_that_takes_too_long_ends_and_says_so() {
    // Many devices that differ, none of which goes with the last that is asked for.
    let many = |at: usize| Device { attributes: [("a".into(), at.to_string().into())].into(), ..device(at) };
    let kind = ClaimKind {
        requests: vec![
            request(vec![ask(0, DeviceCount::Exactly(12))]),
            request(vec![ask(1, DeviceCount::Exactly(1))]),
        ],
        constraints: Vec::new(),
    };
    let devices = Devices { kinds: vec![kind.into()], ..Devices::default() };
    let there = inventory((0..30).map(many).collect(), Vec::new());
    let (found, steps) = Ledger::new(&there).with(&devices, &there, &[KindId(0)]);
    assert_eq!((found, steps), (Err(Shortage::Unknown), MOST_STEPS + 1));
    // Devices that are alike are not tried one for the other.
    let alike = inventory((0..30).map(device).collect(), Vec::new());
    let (found, steps) = Ledger::new(&alike).with(&devices, &alike, &[KindId(0)]);
    assert_eq!(found, Err(Shortage::None));
    assert!(steps < 1_000, "{steps}");
}

/// A small problem: devices with attributes, counters, capacities; claims with alternatives and constraints.
fn problems() -> impl Strategy<Value = (Inventory, Vec<ClaimKind>)> {
    let amount = || (1i128..4).prop_map(DeviceAmount);
    let text = || "[ab]".prop_map(Str::from);
    let one = (
        prop::bool::weighted(0.9),
        btree_map(text(), text(), 0..3),
        vec((0usize..2, amount()), 0..2),
        option::weighted(0.3, amount()),
        btree_map((0..SELECTORS).prop_map(SelectorId), amount(), 0..4),
    );
    let devices = vec(one, 0..5).prop_map(|all| {
        let make = |(at, (available, attributes, counters, room, takers)): (
            usize,
            (_, _, Vec<_>, Option<DeviceAmount>, _),
        )| {
            let takers: std::collections::BTreeMap<SelectorId, DeviceAmount> = takers;
            let needs = |need| room.map(|_| vec![need]).unwrap_or_default();
            Device {
                available,
                attributes,
                counters,
                room: room.map(|room| vec![room]),
                takers: takers.into_iter().map(|(id, need)| (id, needs(need))).collect(),
                ..device(at)
            }
        };
        all.into_iter().enumerate().map(make).collect::<Vec<_>>()
    });
    let inventory = (devices, vec(amount(), 2)).prop_map(|(devices, counters)| inventory(devices, counters));
    let count = prop_oneof![4 => (1usize..3).prop_map(DeviceCount::Exactly), 1 => Just(DeviceCount::All)];
    let asks = vec((0..SELECTORS, count).prop_map(|(selector, count)| ask(selector, count)), 1..3);
    let constraint = (text(), any::<[bool; 4]>()).prop_map(|(attribute, on)| {
        let all = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let asks = all.into_iter().zip(on).filter(|(_, on)| *on).map(|(ask, _)| ask).collect();
        SameAttribute { attribute, asks }
    });
    let kind = (vec(asks.prop_map(request), 1..3), vec(constraint, 0..2))
        .prop_map(|(requests, constraints)| ClaimKind { requests, constraints });
    (inventory, vec(kind, 1..3))
}

/// Whether what claims get is what they ask for and no more than there is.
fn holds(there: &Inventory, kinds: &[ClaimKind], given: &[Vec<Given>]) -> bool {
    let mut uses = vec![0; there.devices().len()];
    let mut room: Vec<i128> = there.devices().iter().map(|d| d.room.as_ref().map_or(0, |r| r[0].0)).collect();
    for (kind, given) in kinds.iter().zip(given) {
        for one in given {
            let ask = &kind.requests[one.request].alternatives[one.alternative];
            let Some(needs) = there.devices()[one.device].takers.get(&ask.selector) else { return false };
            uses[one.device] += 1;
            room[one.device] -= needs.first().map_or(0, |need| need.0);
        }
        for (number, request) in kind.requests.iter().enumerate() {
            let of: Vec<&Given> = given.iter().filter(|one| one.request == number).collect();
            let Some(first) = of.first() else { return false };
            let ask = &request.alternatives[first.alternative];
            let takes = |device: &&Device| device.takers.contains_key(&ask.selector);
            let wanted = match ask.count {
                DeviceCount::Exactly(count) => count,
                DeviceCount::All => there.devices().iter().filter(takes).count(),
            };
            let distinct: std::collections::BTreeSet<usize> = of.iter().map(|one| one.device).collect();
            if (ask.count == DeviceCount::All && distinct.len() != wanted)
                || of.len() != wanted
                || of.iter().any(|one| one.alternative != first.alternative)
            {
                return false;
            }
        }
        for constraint in &kind.constraints {
            let about = |one: &&Given| constraint.asks.contains(&(one.request, one.alternative));
            let value = |one: &Given| there.devices()[one.device].attributes.get(&constraint.attribute);
            let values: Vec<_> = given.iter().filter(about).map(value).collect();
            if values.iter().any(|value| value.is_none() || *value != values[0]) {
                return false;
            }
        }
    }
    let mut counters: Vec<i128> = there.counters().iter().map(|amount| amount.0).collect();
    for (device, uses) in there.devices().iter().zip(&uses).filter(|(_, uses)| **uses > 0) {
        device.counters.iter().for_each(|(at, amount)| counters[*at] -= amount.0);
        if !device.available || (device.room.is_none() && *uses > 1) {
            return false;
        }
    }
    room.iter().chain(&counters).all(|left| *left >= 0)
}

/// Every way to give devices to claims, without a thought.
fn everything(there: &Inventory, kinds: &[ClaimKind]) -> Option<Vec<Vec<Given>>> {
    let slots: Vec<(usize, usize)> = kinds
        .iter()
        .enumerate()
        .flat_map(|(claim, kind)| (0..kind.requests.len()).map(move |request| (claim, request)))
        .collect();
    let mut given = vec![Vec::new(); kinds.len()];
    fill(there, kinds, &slots, &mut given).then_some(given)
}

fn fill(
    there: &Inventory,
    kinds: &[ClaimKind],
    slots: &[(usize, usize)],
    given: &mut Vec<Vec<Given>>,
) -> bool {
    let Some(((claim, request), rest)) = slots.split_first() else { return holds(there, kinds, given) };
    let devices = there.devices().len();
    for (alternative, ask) in kinds[*claim].requests[*request].alternatives.iter().enumerate() {
        let takes = |at: &usize| there.devices()[*at].takers.contains_key(&ask.selector);
        let count = match ask.count {
            DeviceCount::Exactly(count) => count,
            DeviceCount::All => (0..devices).filter(takes).count(),
        };
        for number in 0..devices.pow(count as u32) {
            let chosen = (0..count).map(|digit| number / devices.pow(digit as u32) % devices);
            let before = given[*claim].len();
            given[*claim].extend(chosen.map(|device| Given { request: *request, alternative, device }));
            if fill(there, kinds, rest, given) {
                return true;
            }
            given[*claim].truncate(before);
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_finds_devices_exactly_where_there_are_some((there, kinds) in problems()) {
        let wanted: Vec<KindId> = (0..kinds.len() as u32).map(KindId).collect();
        let devices = Devices { kinds: kinds.iter().cloned().map(Arc::new).collect(), ..Devices::default() };
        let found = Ledger::new(&there).with(&devices, &there, &wanted).0;
        let known = everything(&there, &kinds);
        match (&found, &known) {
            (Ok(left), Some(_)) => prop_assert!(holds(&there, &kinds, &left.given[0]), "{:?}", left.given),
            (Err(Shortage::None), None) => {}
            _ => prop_assert!(false, "found {found:?}, there is {known:?}"),
        }
    }
}
