//! What feature gates open, seen from outside: observations in, records and orders out.

mod lab;

use lab::*;
use purser_engine::model::*;
use purser_engine::port::Observation;
use purser_engine::settings::{FeatureGate, FeatureGates, Settings};

/// Settings with one more gate open.
fn with_gate(gate: FeatureGate) -> Settings {
    let mut feature_gates = FeatureGates::default();
    feature_gates.set(gate, true);
    Settings { feature_gates, ..Settings::default() }
}

fn open(gate: FeatureGate) -> Observation {
    Observation::Settings(with_gate(gate))
}

fn on_type(name: &str) -> Requirements {
    Requirements::from_labels(&labels(&[(label::INSTANCE_TYPE, name)]))
}

#[test]
fn overlays_decide_what_is_cheapest_once_their_gate_is_open() {
    let mut lab = Lab::new(plain_world());
    let cheap = NodeOverlay {
        requirements: on_type("large"),
        price_adjustment: Some("-90%".into()),
        ..NodeOverlay::default()
    };
    lab.see([Observation::NodeOverlay("cheap".into(), cheap), pending("a", &spec(500, 512))]);
    lab.until(secs(2));
    assert_eq!(lab.launches()[0].1, ["small", "large"], "the gate is closed");
    lab.see([open(FeatureGate::NodeOverlay), pending("b", &spec(1_900, 512))]);
    lab.until(secs(4));
    assert_eq!(lab.launches()[1].1, ["large", "small"]);
    lab.see([Observation::NoNodeOverlay("cheap".into()), pending("c", &spec(7_900, 30 << 10))]);
    lab.until(secs(6));
    assert!(lab.state().overlays.is_empty());
    lab.verify();
}

#[test]
fn what_an_overlay_adds_is_there_on_nodes_that_are_on_their_way() {
    let mut lab = Lab::new(plain_world());
    let devices = NodeOverlay {
        requirements: on_type("large"),
        capacity: [("a.b/device", 2)].into_iter().collect(),
        ..NodeOverlay::default()
    };
    let mut user = spec(500, 512);
    user.requests.set("a.b/device", 1);
    lab.see([Observation::NodeOverlay("devices".into(), devices), open(FeatureGate::NodeOverlay)]);
    lab.see([pending("a", &user)]);
    lab.until(secs(2));
    assert_eq!(lab.launches()[0].1, ["large"]);
    lab.see([pending("b", &user)]);
    lab.until(secs(4));
    assert_eq!(lab.launches().len(), 1, "the first node has two devices");
    let claim = lab.launches()[0].0.clone();
    lab.launched(&claim, "large");
    lab.see([pending("c", &user)]);
    lab.until(secs(6));
    assert_eq!(lab.launches().len(), 2);
    lab.verify();
}

#[test]
fn reserved_capacity_is_bought_only_while_its_gate_is_open() {
    let Observation::InstanceType(offer) = instance_type("small", 2, 8, 100) else { unreachable!() };
    let mut offer = (*offer).clone();
    offer.offerings.push(Offering {
        zone: "z2".into(),
        capacity_type: CapacityType::Reserved,
        price: Price(1),
    });
    let mut any = pool("default");
    any.template.requirements = Requirements::new();
    let mut lab = Lab::new(vec![Observation::InstanceType(offer.into()), has_pool(any)]);
    let gates = FeatureGates([].into());
    lab.see([
        Observation::Settings(Settings { feature_gates: gates, ..Settings::default() }),
        pending("a", &spec(1_900, 512)),
    ]);
    lab.until(secs(2));
    lab.see([Observation::Settings(Settings::default()), pending("b", &spec(1_900, 512))]);
    lab.until(secs(4));
    let reserved: Vec<bool> = lab
        .state()
        .claims
        .values()
        .map(|claim| claim.places.iter().any(|place| place.capacity_type == CapacityType::Reserved))
        .collect();
    assert_eq!(reserved.iter().filter(|reserved| **reserved).count(), 1);
    lab.verify();
}

fn buffer(cpu_millis: i64, replicas: u32) -> Observation {
    let buffer = CapacityBuffer::new(&spec(cpu_millis, 512), replicas);
    Observation::CapacityBuffer(PodKey::new("default", "spare"), buffer)
}

#[test]
fn room_for_a_buffer_is_launched_once_and_kept() {
    let mut lab = Lab::new(plain_world());
    lab.see([buffer(1_500, 3)]);
    lab.until(secs(60));
    assert!(lab.launches().is_empty(), "the gate is closed");
    lab.see([open(FeatureGate::CapacityBuffer)]);
    let launches = lab.launches();
    let room: usize = launches.len();
    assert!(room > 0 && launches.iter().all(|(_, _, pods)| *pods == 0), "{launches:?}");
    lab.until(secs(120));
    assert_eq!(lab.launches().len(), room, "room that is on its way is room");
    for (claim, types, _) in launches {
        lab.ready(&claim, &types[0]);
    }
    lab.until(secs(3_600));
    let decided = lab.decisions().len();
    lab.until(secs(7_200));
    assert_eq!(lab.decisions().len(), decided, "nothing is left to decide");
    assert_eq!(lab.state().claims.len(), room, "no node that holds room is removed");
    lab.verify();
}

#[test]
fn what_pods_take_of_a_buffer_is_launched_anew_and_goes_when_they_do() {
    let mut lab = Lab::new(plain_world());
    let mut all_at_once = pool("default");
    all_at_once.disruption.budgets.clear();
    lab.see([has_pool(all_at_once), open(FeatureGate::CapacityBuffer), buffer(1_900, 1)]);
    lab.until(secs(5));
    let (first, types, _) = lab.launches()[0].clone();
    let node = lab.ready(&first, &types[0]);
    let web = spec(1_900, 512);
    lab.see([pending("a", &web)]);
    lab.until(secs(10));
    assert!(lab.state().claims[&first].planned.pods.len() == 1, "the pod goes where the room is");
    lab.until(secs(15));
    lab.see([bound("a", &web, &node)]);
    lab.until(secs(20));
    assert_eq!(lab.launches().len(), 2, "there is room for another");
    let (second, types, _) = lab.launches()[1].clone();
    lab.ready(&second, &types[0]);
    lab.see([Observation::NoPod(PodKey::new("default", "a"))]);
    lab.until(secs(60));
    let removed: Vec<_> =
        lab.state().claims.values().filter(|claim| claim.disrupting.is_some()).map(|c| &c.name).collect();
    assert_eq!(removed.len(), 1, "one of two empty nodes is enough");
    lab.see([Observation::NoCapacityBuffer(PodKey::new("default", "spare"))]);
    lab.until(secs(120));
    assert!(lab.state().claims.values().all(|claim| claim.disrupting.is_some()), "no room is wanted");
    lab.verify();
}

#[test]
fn room_that_cannot_be_had_is_asked_for_again_later() {
    let mut limited = pool("default");
    limited.limits = Limits { resources: Vec::new(), nodes: Some(1) };
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(limited.clone())]);
    lab.see([open(FeatureGate::CapacityBuffer), buffer(1_900, 2)]);
    lab.until(secs(60));
    assert_eq!(lab.launches().len(), 1);
    limited.limits.nodes = Some(2);
    lab.see([has_pool(limited)]);
    lab.until(secs(90));
    assert_eq!(lab.launches().len(), 2);
    assert!(lab.state().waiting().next().is_none());
    lab.verify();
}
