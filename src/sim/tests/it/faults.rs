//! Every knob of the faults shows.

use purser_engine::event::LaunchFailure;
use purser_engine::model::*;
use purser_engine::port::{Effect, Observation};
use purser_sim::Faults;
use purser_sim::keyed::{Delay, Rate};

use crate::common::*;

fn hand(faults: Faults) -> Hand {
    let mut small = scenario();
    small.workloads.push(service("web", spec("web", 1_000), 2));
    Hand::new(small, faults)
}

fn failures(hand: &Hand) -> Vec<&'static str> {
    let named = |failure: &LaunchFailure| match failure {
        LaunchFailure::InsufficientCapacity { .. } => "capacity",
        LaunchFailure::Rejected { .. } => "rejected",
        LaunchFailure::Unknown { .. } => "unknown",
    };
    hand.told
        .iter()
        .filter_map(|(_, input)| match &input.observation {
            Observation::LaunchFailed(_, failure) => Some(named(failure)),
            _ => None,
        })
        .collect()
}

#[test]
fn some_instances_never_register() {
    let mut hand = hand(Faults { never_registers: Rate::ALWAYS, ..Faults::none() });
    hand.launch("a");
    hand.until(Span::hours(1));
    assert!(hand.instance_of("a").is_some() && hand.node_of("a").is_none());
}

#[test]
fn some_nodes_are_never_ready() {
    let mut hand = hand(Faults { never_ready: Rate::ALWAYS, ..Faults::none() });
    hand.launch("a");
    hand.until(Span::hours(1));
    assert!(!hand.node_of("a").unwrap().ready);
}

#[test]
fn some_are_late() {
    let joined = |faults: Faults| {
        let mut hand = hand(faults);
        hand.launch("a");
        hand.until(Span::hours(1));
        let launched = hand.instance_of("a").unwrap().launched;
        hand.node_of("a").unwrap().created.since(launched)
    };
    let usual = joined(Faults::none());
    assert_eq!(joined(Faults { late: Rate::ALWAYS, late_factor: 10, ..Faults::none() }), Span(usual.0 * 10));
}

#[test]
fn capacity_comes_and_goes_offering_by_offering() {
    for faults in [
        Faults { dry_spot: Rate::percent(50), ..Faults::none() },
        Faults { drought: Rate::percent(50), ..Faults::none() },
    ] {
        let hand = hand(faults);
        let has = |name: &str, zone: &str, minute: i64| {
            hand.world.has_capacity(
                &name.into(),
                &zone.into(),
                CapacityType::Spot,
                START + Span::mins(minute),
            )
        };
        let open = (0..10_000).filter(|minute| has("m1.large", "z-1a", *minute)).count();
        assert!((4_000..6_000).contains(&open), "{open}");
        let flips = (1..10_000)
            .filter(|minute| has("m1.large", "z-1a", *minute) != has("m1.large", "z-1a", minute - 1))
            .count();
        assert!((100..400).contains(&flips), "in windows, not from minute to minute: {flips}");
    }
    let hand = hand(Faults { dry_on_demand: Rate::ALWAYS, ..Faults::none() });
    assert!(!hand.world.has_capacity(&"m1.large".into(), &"z-1a".into(), CapacityType::OnDemand, START));
    assert!(hand.world.has_capacity(&"m1.large".into(), &"z-1a".into(), CapacityType::Spot, START));
}

#[test]
fn a_throttled_launch_starts_nothing() {
    let mut hand = hand(Faults { throttled: Rate::ALWAYS, ..Faults::none() });
    hand.launch("a");
    hand.launch("a");
    hand.until(Span::mins(1));
    assert_eq!(failures(&hand), ["unknown", "unknown"]);
    assert!(hand.instance_of("a").is_none());
}

#[test]
fn a_launch_of_unknown_outcome_may_have_succeeded() {
    let mut hand = hand(Faults { late_success: Rate::ALWAYS, ..Faults::none() });
    hand.launch("a");
    hand.until(Span::mins(10));
    assert_eq!(failures(&hand), ["unknown"]);
    let listed = hand.instance_of("a").unwrap();
    hand.launch("a");
    let seen = hand.until(Span::mins(11));
    assert!(seen.contains(&Observation::Instance(listed)), "the same one");
}

#[test]
fn a_failed_launch_may_have_started_an_instance_all_the_same() {
    let mut hand = hand(Faults { false_failure: Rate::ALWAYS, ..Faults::none() });
    hand.launch("a");
    hand.until(Span::mins(10));
    assert_eq!(failures(&hand), ["rejected"]);
    let instance = hand.instance_of("a").unwrap().instance;
    let known = |_: &ClaimName, _: &InstanceId| false;
    let mut orphans = 0;
    for minute in 11..30 {
        hand.until(Span::mins(minute));
        orphans += usize::from(
            hand.world
                .check(hand.world.now(), Some(known_claims(&known, Span::ZERO, hand.world.now())))
                .is_err(),
        );
    }
    assert_eq!(orphans, 1, "named once");
    hand.order(Effect::Collect { instance });
    hand.until(Span::mins(40));
    assert!(hand.instance_of("a").is_none());
}

#[test]
fn a_claim_given_up_before_its_instance_starts_leaves_an_orphan() {
    let mut hand = hand(Faults {
        late_success: Rate::ALWAYS,
        late_start: Delay::fixed(Span::mins(5)),
        ..Faults::none()
    });
    hand.launch("a");
    hand.until(Span::mins(1));
    hand.order(Effect::Terminate { claim: "a".into(), instance: None, node: None, attached: 0 });
    hand.until(Span::mins(4));
    assert!(hand.instance_of("a").is_none());
    hand.until(Span::mins(7));
    assert!(hand.instance_of("a").is_some());
    hand.order(Effect::Terminate { claim: "a".into(), instance: None, node: None, attached: 0 });
    hand.until(Span::mins(10));
    assert!(hand.instance_of("a").is_none());
}

#[test]
fn more_spot_is_taken_back() {
    let mut hand = hand(Faults { reclaims: Rate::ALWAYS, ..Faults::none() });
    hand.launch_of("a", CapacityType::Spot);
    hand.launch_of("b", CapacityType::OnDemand);
    hand.until(Span::hours(3));
    assert!(hand.instance_of("a").is_none() && hand.instance_of("b").is_some());
    assert_eq!(hand.world.report(hand.world.now()).interruptions, 1);
}

#[test]
fn an_instance_that_dies_takes_its_node_with_it_a_little_later() {
    let mut hand = hand(Faults { sudden_deaths: Rate::ALWAYS, ..Faults::none() });
    let node = hand.node("a", CapacityType::OnDemand);
    hand.until(Span::hours(2));
    let when = |observation: Observation| {
        hand.told.iter().find(|(_, input)| input.observation == observation).map(|(now, _)| *now)
    };
    let dead = when(Observation::NoInstance(node.instance.clone().unwrap())).unwrap();
    let gone = when(Observation::NoNode(node.name.clone())).unwrap();
    assert!(gone >= dead + Span::mins(1) && gone <= dead + Span::mins(2));
    assert!(
        hand.told.iter().any(|(now, input)| *now > dead
            && matches!(&input.observation, Observation::Node(facts) if !facts.ready))
    );
    assert!(
        !hand.told.iter().any(|(_, input)| matches!(input.observation, Observation::Interruption { .. }))
    );
    assert_eq!(hand.world.audit(), Ok(()));
    let report = hand.world.report(hand.world.now());
    assert_eq!((report.sudden_deaths, report.pods_lost_with_node, report.pods_lost), (1, 2, 0));
}

#[test]
fn lists_of_the_cloud_are_behind_the_times() {
    let faults = Faults {
        unlisted: Delay::fixed(Span::secs(30)),
        lingering: Delay::fixed(Span::mins(5)),
        ..Faults::none()
    };
    let mut hand = hand(faults);
    hand.launch("a");
    let seen = hand.until(Span::secs(20));
    assert!(
        seen.iter().any(|seen| matches!(seen, Observation::Instance(_))) && hand.instance_of("a").is_none()
    );
    hand.until(Span::mins(1));
    assert!(hand.instance_of("a").is_some());
    hand.order(Effect::Terminate { claim: "a".into(), instance: None, node: None, attached: 0 });
    let seen = hand.until(Span::mins(4));
    assert!(
        seen.iter().any(|seen| matches!(seen, Observation::NoInstance(_))) && hand.instance_of("a").is_some()
    );
    hand.until(Span::mins(10));
    assert!(hand.instance_of("a").is_none());
}

#[test]
fn notifications_are_lost_doubled_and_late() {
    let pods_told = |faults: Faults| {
        let mut hand = hand(faults);
        hand.until(Span::mins(5));
        let told = hand.told.iter().filter(|(_, input)| matches!(input.observation, Observation::Pod(_)));
        (told.map(|(now, _)| now.since(START)).collect::<Vec<_>>(), hand.pods().len())
    };
    let delay = Delay::fixed(Span::secs(30));
    let (usual, _) = pods_told(Faults::none());
    assert_eq!(usual, [Span::millis(100); 2]);
    assert_eq!(pods_told(Faults { lost: Rate::ALWAYS, ..Faults::none() }), (vec![], 2), "the list has them");
    let (late, _) = pods_told(Faults { delayed: Rate::ALWAYS, notification_delay: delay, ..Faults::none() });
    assert_eq!(late, [Span::millis(30_100); 2]);
    let (doubled, _) =
        pods_told(Faults { duplicated: Rate::ALWAYS, notification_delay: delay, ..Faults::none() });
    assert_eq!(doubled, [Span::millis(100), Span::millis(100), Span::millis(30_100), Span::millis(30_100)]);
    let mut spot = scenario();
    spot.spot_reclaims = Rate::ALWAYS;
    let mut hand = Hand::new(spot, Faults { lost: Rate::ALWAYS, ..Faults::none() });
    hand.launch_of("a", CapacityType::Spot);
    hand.until(Span::hours(3));
    assert_eq!(hand.world.report(hand.world.now()).interruptions, 1);
    assert!(
        !hand.told.iter().any(|(_, input)| matches!(input.observation, Observation::Interruption { .. }))
    );
}

#[test]
fn names_of_nodes_come_back() {
    let names = |faults: Faults| {
        let mut hand = hand(faults);
        let mut names = Vec::new();
        for number in 0..100 {
            let claim = format!("c-{number}");
            let node = hand.node(&claim, CapacityType::Spot);
            names.push(node.name);
            hand.order(Effect::Terminate {
                claim: claim.as_str().into(),
                instance: None,
                node: None,
                attached: 0,
            });
            hand.until(Span::mins(6 * (number + 1)));
        }
        let all = names.len();
        names.sort();
        names.dedup();
        all - names.len()
    };
    assert_eq!(names(Faults::none()), 0);
    assert!(names(Faults { reused_names: true, ..Faults::none() }) > 0);
}

#[test]
fn answers_to_a_dead_controller_are_for_nobody() {
    let mut hand = hand(Faults::none());
    hand.launch("a");
    hand.until(Span::millis(200));
    hand.world.controller_died();
    let seen = hand.until(Span::secs(20));
    assert!(!seen.iter().any(|seen| matches!(seen, Observation::Instance(_))));
    let instance = hand.instance_of("a").unwrap();
    hand.launch("a");
    assert!(hand.until(Span::secs(40)).contains(&Observation::Instance(instance)));
}

#[test]
fn presets_have_names() {
    for (name, faults) in
        [("none", Faults::none()), ("typical", Faults::typical()), ("hostile", Faults::hostile())]
    {
        assert_eq!(Faults::preset(name), Some(faults));
    }
    assert_eq!(Faults::preset("calm"), None);
}
