//! Instances and their nodes: from the request to the bill.

use std::sync::Arc;

use purser_engine::event::{Interruption, LaunchFailure};
use purser_engine::model::*;
use purser_engine::port::{Effect, Observation};
use purser_sim::keyed::{Delay, Rate};
use purser_sim::scenario::*;
use purser_sim::{Faults, Violation};

use crate::common::*;

#[test]
fn a_claim_becomes_a_node_that_takes_pods() {
    let mut small = scenario();
    small.workloads.push(service("web", spec("web", 1_000), 2));
    let mut hand = Hand::new(small, Faults::none());
    let seen = hand.until(Span::secs(1));
    let pending = seen
        .iter()
        .filter(|seen| matches!(seen, Observation::Pod(pod) if pod.phase == PodPhase::Pending))
        .count();
    assert_eq!(pending, 2);
    let launched = hand.launch("a");
    hand.until(Span::secs(15));
    let (_, answer) =
        hand.told.iter().find(|(_, input)| matches!(input.observation, Observation::Instance(_))).unwrap();
    assert_eq!(answer.cause, Some(launched));
    let Observation::Instance(facts) = answer.observation.clone() else { unreachable!() };
    assert_eq!(
        (facts.instance_type.as_str(), facts.capacity_type),
        ("m1.large", CapacityType::Spot),
        "the cheapest"
    );
    hand.until(Span::mins(2));
    let node = hand.node_of("a").unwrap();
    assert!(node.ready);
    let label = |key: &str| node.labels.get(key).map(|value| value.to_string()).unwrap_or_default();
    assert_eq!(
        (label(label::NODEPOOL), label(label::ZONE), label(label::REGION)),
        ("default".into(), facts.zone.to_string(), "z-1".into())
    );
    assert_eq!(
        (label("team"), label(label::CAPACITY_TYPE), label(label::ARCH)),
        ("a".into(), "spot".into(), "amd64".into())
    );
    assert_eq!(node.taints, [Taint::unregistered()], "not-ready and startup taints go by themselves");
    assert!(hand.pods().iter().all(|pod| pod.phase == PodPhase::Pending));
    hand.order(Effect::Register { claim: "a".into(), node: node.name.clone() });
    hand.order(Effect::Initialize { claim: "a".into(), node: node.name.clone() });
    hand.until(Span::mins(3));
    let node = hand.node_of("a").unwrap();
    assert!(node.labels.contains_key(label::REGISTERED) && node.labels.contains_key(label::INITIALIZED));
    assert!(
        hand.pods().iter().all(|pod| pod.node.as_ref() == Some(&node.name) && pod.phase == PodPhase::Bound)
    );
    assert!(hand.world.is_settled());
}

#[test]
fn the_bill_is_by_the_second_at_the_price_of_the_time() {
    let mut small = scenario();
    let offering = OfferingKey {
        instance_type: "m1.large".into(),
        zone: "z-1a".into(),
        capacity_type: CapacityType::OnDemand,
    };
    small.changes.push((START + Span::hours(1), Change::Price(offering, Price(720_000))));
    let faults = Faults {
        launch: Delay::fixed(Span::secs(2)),
        shutdown: Delay::fixed(Span::millis(100)),
        api_latency: Span::ZERO,
        ..Faults::none()
    };
    let mut hand = Hand::new(small, faults);
    hand.launch_of("a", CapacityType::OnDemand);
    hand.until(Span::hours(2));
    assert_eq!(hand.instance_of("a").unwrap().launched, START + Span::secs(1));
    hand.order(Effect::Terminate { claim: "a".into(), instance: None, node: None, attached: 0 });
    hand.until(Span::hours(3));
    // 3,599 s at 0.40 an hour, then 3,600.1 s at 0.72, the last second in full.
    let expected = 400_000i64 * 3_599 / 3_600 + 720_000 + 720_000 / 3_600;
    let report = hand.world.report(START + Span::hours(3));
    assert!((report.cost.0 - expected).abs() <= 1, "{} {expected}", report.cost.0);
    let told = hand
        .told
        .iter()
        .any(|(_, input)| matches!(&input.observation, Observation::Price(_, Price(720_000))));
    assert!(told);
    assert_eq!((report.launches, report.removals, report.peak_nodes), (1, 1, 1));
}

#[test]
fn the_same_claim_is_the_same_instance_however_often_it_is_asked_for() {
    let run = |times: usize| {
        let mut hand = Hand::new(scenario(), Faults::none());
        for _ in 0..times {
            hand.launch("a");
        }
        hand.until(Span::mins(5));
        assert_eq!(hand.world.list_instances(hand.world.now()).len(), 1);
        (hand.instance_of("a").unwrap(), hand.node_of("a").unwrap())
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn without_capacity_a_launch_names_all_that_was_tried() {
    let mut small = scenario();
    let spot = Outage {
        types: Some("m1".into()),
        zone: None,
        capacity_type: Some(CapacityType::Spot),
        from: START,
        until: START + Span::hours(1),
    };
    let large = Outage {
        types: Some("m1.large".into()),
        zone: Some("z-1a".into()),
        capacity_type: Some(CapacityType::OnDemand),
        ..spot.clone()
    };
    small.outages = vec![spot, large];
    let mut hand = Hand::new(small, Faults::none());
    hand.launch("a");
    hand.launch_of("b", CapacityType::Spot);
    let seen = hand.until(Span::secs(20));
    let facts = hand.instance_of("a").unwrap();
    assert_eq!((facts.capacity_type, facts.zone.as_str()), (CapacityType::OnDemand, "z-1b"));
    let failed = seen.iter().find_map(|seen| match seen {
        Observation::LaunchFailed(claim, LaunchFailure::InsufficientCapacity { offerings }) => {
            Some((claim.clone(), offerings.len()))
        }
        _ => None,
    });
    assert_eq!(failed, Some(("b".into(), 4)));
    hand.until(Span::hours(2));
    hand.launch_of("c", CapacityType::Spot);
    hand.until(Span::hours(3));
    assert_eq!(hand.instance_of("c").unwrap().capacity_type, CapacityType::Spot, "the outage is over");
    assert_eq!(hand.world.report(START + Span::hours(3)).insufficient_capacity, 1);
}

#[test]
fn a_spot_instance_has_two_minutes_notice() {
    let mut small = scenario();
    small.workloads.push(service("web", spec("web", 1_000), 2));
    small.spot_reclaims = Rate::ALWAYS;
    let mut hand = Hand::new(small, Faults::none());
    let node = hand.node("a", CapacityType::Spot);
    hand.launch_of("b", CapacityType::OnDemand);
    hand.until(Span::hours(3));
    let notice = hand.told.iter().find_map(|(now, input)| match &input.observation {
        Observation::Interruption { instance, kind: Interruption::SpotReclaim, at } => {
            Some((*now, instance.clone(), *at))
        }
        _ => None,
    });
    let (told, instance, at) = notice.unwrap();
    assert_eq!((at, Some(instance.clone())), (told + Span::mins(2), node.instance));
    let gone = hand
        .told
        .iter()
        .find(|(_, input)| input.observation == Observation::NoInstance(instance.clone()))
        .unwrap()
        .0;
    assert!(gone > at && gone < at + Span::mins(2));
    assert!(hand.told.iter().any(|(_, input)| input.observation == Observation::NoNode(node.name.clone())));
    let pods = hand.pods();
    assert!(pods.len() == 2 && pods.iter().all(|pod| pod.phase == PodPhase::Pending), "lost, and made again");
    let report = hand.world.report(START + Span::hours(3));
    assert_eq!(
        (report.interruptions, report.pods_lost_with_node, report.pods_lost, report.pods_created),
        (1, 2, 0, 4)
    );
    assert_eq!(hand.world.audit(), Ok(()));
}

#[test]
fn terminating_is_answered_with_its_cause_again_and_again() {
    let mut hand = Hand::new(scenario(), Faults::none());
    let node = hand.node("a", CapacityType::Spot);
    let instance = node.instance.unwrap();
    let terminate =
        || Effect::Terminate { claim: "a".into(), instance: Some(instance.clone()), node: None, attached: 0 };
    let first = hand.order(terminate());
    hand.until(Span::mins(10));
    let second = hand.order(terminate());
    let collect = hand.order(Effect::Collect { instance: "i-never".into() });
    hand.until(Span::mins(11));
    let causes: Vec<_> = hand
        .told
        .iter()
        .filter(|(_, input)| matches!(input.observation, Observation::NoInstance(_)))
        .map(|(_, input)| input.cause)
        .collect();
    assert_eq!(causes, [Some(first), Some(second), Some(collect)]);
    assert_eq!(hand.node_of("a"), None);
}

#[test]
fn what_must_never_be_is_noticed() {
    let mut small = scenario();
    let mut limited = pool();
    limited.limits = Limits { resources: vec![("cpu".into(), 6_000)], nodes: None };
    small.pools = vec![Arc::new(limited)];
    let mut hand = Hand::new(small, Faults::none());
    hand.node("a", CapacityType::Spot);
    assert_eq!(hand.world.check(hand.world.now(), None), Ok(()));
    let of_a = hand.instance_of("a").unwrap().instance;
    hand.launch("b");
    hand.until(Span::mins(4));
    let violation = hand.world.check(hand.world.now(), None).unwrap_err();
    assert!(matches!(&violation, Violation::LimitExceeded { used: 8_000, limit: 6_000, .. }), "{violation}");
    hand.order(Effect::Terminate { claim: "b".into(), instance: Some(of_a), node: None, attached: 0 });
    hand.until(Span::mins(6));
    let violation = hand.world.check(hand.world.now(), None).unwrap_err();
    assert!(matches!(violation, Violation::WrongInstance { .. }), "{violation}");
    let known = |claim: &ClaimName, _: &InstanceId| claim.as_str() != "b";
    let mut found = None;
    for minute in 7..20 {
        hand.until(Span::mins(minute));
        found = found.or(hand
            .world
            .check(hand.world.now(), Some(known_claims(&known, Span::mins(1), hand.world.now())))
            .err()
            .map(|orphan| (minute, orphan)));
    }
    assert!(matches!(found, Some((12, Violation::Orphan { .. }))), "{found:?}");
}

#[test]
fn an_edited_pool_is_told_and_its_limits_hold_from_then_on() {
    let mut small = scenario();
    let mut edited = pool();
    edited.limits.nodes = Some(1);
    small.changes.push((START + Span::mins(30), Change::NodePool(Arc::new(edited.clone()))));
    small.changes.push((START + Span::mins(50), Change::NoNodePool("default".into())));
    let mut hand = Hand::new(small, Faults::none());
    hand.node("a", CapacityType::Spot);
    hand.node("b", CapacityType::Spot);
    let seen = hand.until(Span::mins(40));
    assert!(seen.contains(&Observation::NodePool(Arc::new(edited))));
    assert_eq!(
        hand.world.check(hand.world.now(), None),
        Ok(()),
        "what was there before is not held against anybody"
    );
    hand.launch("c");
    let seen = hand.until(Span::hours(1));
    assert!(matches!(
        hand.world.check(hand.world.now(), None),
        Err(Violation::LimitExceeded { used: 3, limit: 1, .. })
    ));
    assert!(seen.contains(&Observation::NoNodePool("default".into())));
}
