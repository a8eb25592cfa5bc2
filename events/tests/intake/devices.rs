//! Claims on devices and pools of them.

use purser_engine::reason::{Reason, ReasonId};

use super::*;

#[test]
fn claims_and_devices_of_any_size_fit() {
    let mut lab = Lab::new(world());
    let key = |name: &str| PodKey::new("default", name);
    let text = |bytes: usize| Str::from("x".repeat(bytes));
    let selector = |bytes: usize| {
        let expressions = vec![text(bytes)];
        Arc::new(DeviceSelector { expressions, ..DeviceSelector::default() })
    };
    let kind = |bytes: usize| {
        let ask = DeviceAsk { name: None, selector: selector(bytes), count: DeviceCount::All };
        let requests = vec![DeviceRequest { name: "r".into(), alternatives: vec![ask] }];
        Arc::new(ClaimKind { requests, constraints: Vec::new() })
    };
    let pool = |node: &str, devices: usize, bytes: usize| {
        let device = |at: usize| PublishedDevice {
            name: format!("device-{at}").into(),
            usable: true,
            attributes: Default::default(),
            counters: vec![(0, DeviceAmount(i128::MAX))],
            capacity: None,
            takers: [(selector(bytes), Vec::new())].into(),
        };
        let pool = DevicePool {
            complete: true,
            counters: vec![DeviceAmount(i128::MAX)],
            devices: (0..devices).map(device).collect(),
            undecided: Default::default(),
        };
        let asked = Questions { selectors: [selector(bytes)].into(), attributes: Default::default() };
        let key = DevicePoolKey { node: node.into(), driver: "d".into(), pool: "p".into() };
        Observation::DevicePool { key, pool: Arc::new(pool), asked: Arc::new(asked) }
    };
    let name = |at: usize| DeviceName { driver: "d".into(), pool: "p".into(), device: at.to_string().into() };
    let held = |at: usize| AllocatedDevice {
        name: name(at),
        consumed: (0..50).map(|n| (format!("capacity-{n}").into(), DeviceAmount(i128::MAX))).collect(),
    };
    let places = (0..3_000).map(|at| NodeName::new(format!("node-{at}"))).collect();
    let holding =
        Holding { devices: (0..MOST_DEVICES).map(held).collect(), reach: Ok(DeviceReach::Nodes(places)) };
    let reason = Reason::new(ReasonId::DeviceSelectorInvalid, [("problem", "y".repeat(100_000))]);
    let seen = || {
        vec![
            Observation::ResourceClaim(key("fits"), ResourceClaim::Open(kind(10_000))),
            Observation::ResourceClaim(key("odd"), ResourceClaim::Open(kind(100_000))),
            Observation::ResourceClaim(key("wrong"), ResourceClaim::Refused(reason.clone())),
            Observation::ResourceClaim(key("much"), ResourceClaim::Allocated(holding.clone())),
            Observation::ClaimTemplate(key("odd"), Ok(kind(100_000))),
            pool("fits", 500, 10_000),
            pool("many", 5_000, 10_000),
            pool("odd", 1, 100_000),
        ]
    };
    assert!(lab.see(seen()).len() >= seen().len());
    let state = lab.state();
    assert!(matches!(state.resource_claims[&key("fits")], ResourceClaim::Open(_)));
    assert!(matches!(state.resource_claims[&key("odd")], ResourceClaim::Refused(_)));
    assert!(state.claim_templates[&key("odd")].is_err());
    let ResourceClaim::Allocated(kept) = &state.resource_claims[&key("much")] else { panic!() };
    assert!(kept.devices.len() == MOST_DEVICES && kept.reach.is_err(), "what is in use stays known");
    let devices: Vec<(usize, bool)> =
        state.device_pools.values().map(|pool| (pool.devices.len(), pool.complete)).collect();
    assert_eq!(devices, [(500, true), (0, false), (1, true)]);
    assert_eq!(state.device_selectors().len(), 1, "nobody asks by the one that is too long");
    lab.verify();
}
