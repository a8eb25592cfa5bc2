//! What feature gates open, seen from outside: observations in, records and orders out.

mod lab;

use lab::*;
use purser_engine::model::*;
use purser_engine::port::Observation;
use purser_engine::reason::ReasonId;
use purser_engine::settings::{FeatureGate, FeatureGates, Settings};
use purser_engine::state::Plan;

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

fn with_replicas(replicas: u32, most: Option<u32>) -> Observation {
    let limits = Limits { resources: Vec::new(), nodes: most };
    has_pool(NodePool { replicas: Some(replicas), limits, ..pool("fixed") })
}

#[test]
fn a_static_pool_has_its_replicas_within_its_limit() {
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), with_replicas(3, Some(2))]);
    lab.until(secs(60));
    assert!(lab.launches().is_empty(), "the gate is closed");
    lab.see([open(FeatureGate::StaticCapacity)]);
    lab.until(secs(90));
    assert_eq!(lab.launches().len(), 2, "the limit");
    lab.see([with_replicas(3, None)]);
    lab.until(secs(120));
    assert_eq!(lab.launches().len(), 3);
    for (claim, types, _) in lab.launches() {
        lab.ready(&claim, &types[0]);
    }
    let decided = lab.decisions().len();
    lab.until(secs(7_200));
    assert_eq!(lab.decisions().len(), decided, "they stay, empty or not");
    lab.verify();
}

#[test]
fn a_static_pool_gives_up_nodes_that_are_not_there_yet_then_empty_ones_then_those_with_the_fewest_pods() {
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), with_replicas(4, None)]);
    lab.see([open(FeatureGate::StaticCapacity)]);
    let claims: Vec<ClaimName> = lab.launches().into_iter().map(|(claim, ..)| claim).collect();
    let nodes: Vec<NodeName> = claims[1..].iter().map(|claim| lab.ready(claim, "small")).collect();
    let web = spec(100, 64);
    lab.see([bound("a", &web, &nodes[0]), bound("b", &web, &nodes[0]), bound("c", &web, &nodes[1])]);
    for (replicas, leaving) in [(3, &claims[0]), (2, &claims[3]), (1, &claims[2])] {
        lab.see([with_replicas(replicas, None)]);
        lab.until(Time(lab.now.0 + 5_000_000));
        let gone =
            |claim: &ClaimName| lab.state().claims.get(claim).is_none_or(|claim| claim.disrupting.is_some());
        assert!(gone(leaving), "{replicas}");
        assert_eq!(claims.iter().filter(|claim| gone(claim)).count(), 4 - replicas as usize);
    }
    lab.verify();
}

#[test]
fn pods_use_nodes_of_static_pools_and_none_are_launched_there_for_them() {
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), with_replicas(1, None)]);
    lab.see([open(FeatureGate::StaticCapacity)]);
    let claim = lab.launches()[0].0.clone();
    lab.see([pending("a", &spec(1_500, 512)), pending("b", &spec(1_500, 512))]);
    lab.until(secs(60));
    assert_eq!(lab.launches().len(), 1);
    assert_eq!(lab.state().claims[&claim].planned.pods.len(), 1);
    lab.verify();
}

#[test]
fn nothing_is_launched_for_expendable_pods_and_they_use_what_is_there() {
    let mut lab = Lab::new(plain_world());
    lab.see([Observation::Settings(Settings { expendable_below: Some(-5), ..Settings::default() })]);
    let cheap = PodSpec { priority: -10, ..spec(900, 512) };
    let web = PodSpec { priority: -5, ..spec(1_000, 512) };
    lab.see([pending("cheap-1", &cheap), pending("cheap-2", &cheap)]);
    lab.until(secs(30));
    assert!(lab.launches().is_empty());
    let refused = |lab: &Lab| {
        let reason = |plan: &Plan| match plan {
            Plan::Unschedulable { reason, .. } => Some(reason.id),
            _ => None,
        };
        lab.state().waiting().filter_map(|(_, pod)| reason(&pod.plan)).collect::<Vec<_>>()
    };
    assert_eq!(refused(&lab), [ReasonId::Expendable; 2]);
    lab.see([pending("web", &web)]);
    lab.until(secs(60));
    let launches = lab.launches();
    assert_eq!((launches.len(), launches[0].2), (1, 1), "it is launched for the one that is not expendable");
    assert_eq!(lab.state().claims[&launches[0].0].planned.pods.len(), 2, "what it leaves is used");
    assert_eq!(refused(&lab), [ReasonId::Expendable]);
    lab.verify();
}
