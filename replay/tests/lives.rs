//! Machines whose names were used again, that nobody wanted, or that never were.

use std::collections::BTreeSet;
use std::sync::Arc;

use purser_engine::event::{Control, LaunchFailure};
use purser_engine::model::*;
use purser_engine::port::{InstanceFacts, Observation};
use purser_engine::settings::Settings;
use purser_replay::text;
use serde_json::Value;

use crate::world::*;

fn small() -> World {
    let mut world =
        World::new(vec![instance_type("m7g.large", 2, 80_000), has_pool(pool("default", 100_000))]);
    world.pass(1_000);
    world
}

fn launched(world: &mut World, pod: &str) -> ClaimName {
    world.see([pending(pod, 900)]);
    world.pass(3_000);
    world.last_claim()
}

fn steps(story: &Value) -> Vec<String> {
    let steps = story["timeline"].as_array().unwrap().iter();
    steps.map(|step| step["says"].as_str().unwrap().to_owned()).collect()
}

fn seqs(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}

#[test]
fn machines_of_one_node_name_are_told_apart() {
    for with_deletion in [true, false] {
        let mut world = small();
        let first = launched(&mut world, "web-0");
        let node = world.ready_as(&first, "m7g.large", 80_000, "ip-10-0-0-1");
        world.see([bound("web-0", 900, &node)]);
        world.pass(10_000);
        world.see([Observation::NoPod(PodKey::new("default", "web-0"))]);
        world.pass(40_000);
        world.see([Observation::Tainted(first.clone())]);
        world.pass(3_000);
        world.see([Observation::NoInstance(InstanceId::new(format!("i-{first}")))]);
        if with_deletion {
            world.see([Observation::NoNode(node.clone())]);
        }
        let between = world.state().size - 1;
        world.pass(60_000);
        let second = launched(&mut world, "web-1");
        assert_ne!(first, second);
        world.ready_as(&second, "m7g.large", 80_000, "ip-10-0-0-1");
        world.see([bound("web-1", 900, &node)]);
        world.pass(5_000);
        let journal = world.journal();

        let story = json(&journal, &["why", "nodeclaim", first.as_str()]);
        assert_eq!(story["pods_bound"], 1);
        let last =
            if with_deletion { "node ip-10-0-0-1 is gone" } else { &format!("instance i-{first} is gone") };
        assert_eq!(steps(&story).last().unwrap(), last);
        let story = json(&journal, &["why", "nodeclaim", second.as_str()]);
        assert_eq!(story["pods_bound"], 1);
        assert!(steps(&story)[0].starts_with("launch "), "{story:#}");

        let newest = json(&journal, &["why", "node", "ip-10-0-0-1"]);
        assert_eq!(newest["nodeclaim"], second.as_str());
        assert_eq!(newest["earlier"], serde_json::json!([first.as_str()]));
        let text = table(&journal, &["why", "node", "ip-10-0-0-1"]);
        assert!(text.contains(&format!("stood for 1 other machine before: {first};")), "{text}");
        let then = json(&journal, &["why", "node", "ip-10-0-0-1", "--at", &between.to_string()]);
        assert_eq!(
            (&then["nodeclaim"], then["earlier"].as_array().unwrap().len()),
            (&first.as_str().into(), 0)
        );

        let of_first = seqs(&json(&journal, &["list", "--nodeclaim", first.as_str()]));
        let of_second = seqs(&json(&journal, &["list", "--nodeclaim", second.as_str()]));
        assert!(of_first.iter().all(|seq| *seq <= between) && of_second.iter().all(|seq| *seq > between));
        let of_both = seqs(&json(&journal, &["list", "--node", "ip-10-0-0-1"]));
        assert_eq!(of_both, [of_first, of_second].concat());
    }
}

#[test]
fn an_instance_that_nobody_wants_says_what_it_is() {
    let mut world = small();
    let claim = launched(&mut world, "web-0");
    let failure = LaunchFailure::Rejected { message: "InternalError.".into() };
    world.see([Observation::NoPod(PodKey::new("default", "web-0"))]);
    world.see([Observation::LaunchFailed(claim.clone(), failure)]);
    world.pass(10_000);
    world.see([Observation::Instance(InstanceFacts {
        instance: "i-lost".into(),
        claim: Some(claim.clone()),
        instance_type: "m7g.large".into(),
        zone: "z1".into(),
        capacity_type: CapacityType::OnDemand,
        price: Price(80_000),
        launched: world.now,
    })]);
    world.pass(1_000);
    let answer = |world: &World, what: &str, name: &str| -> String {
        json(&world.journal(), &["why", what, name])["answer"].as_str().unwrap().to_owned()
    };
    let found = text::exact_time(world.now - Span::secs(1));
    let tagged = format!("it is tagged for nodeclaim {claim}, which was no longer there; found {found}, ");
    assert_eq!(answer(&world, "node", "i-lost"), format!("{tagged}not stopped yet"));
    world.pass(100_000);
    world.see([Observation::NoInstance("i-lost".into())]);
    let list = json(&world.journal(), &["list", "--kind", "garbage-collect"]);
    let (seq, at) = (&list[0]["seq"], list[0]["time"].as_str().unwrap());
    let gone = text::exact_time(world.now);
    assert_eq!(
        answer(&world, "node", "i-lost"),
        format!("{tagged}stopped as nobody's {at} by record {seq}; gone since {gone}")
    );
    let never = answer(&world, "nodeclaim", claim.as_str());
    assert!(
        never.starts_with("it never got an instance: the request was rejected: InternalError; gone since ")
    );
    assert!(never.ends_with(&format!("; i-lost, which is tagged for it, was found {found}")), "{never}");
}

#[test]
fn a_launch_that_got_nothing_says_why() {
    let offering = |zone: &str| OfferingKey {
        instance_type: "m7g.large".into(),
        zone: zone.into(),
        capacity_type: CapacityType::OnDemand,
    };
    let offerings = vec![offering("z1"), offering("z2")];
    for (failure, expected) in [
        (
            Some(LaunchFailure::InsufficientCapacity { offerings }),
            ": no capacity in 2 offerings; gone since ",
        ),
        (
            Some(LaunchFailure::Unknown { message: "slow down".into() }),
            ": it timed out after 5m; the last answer was: slow down; gone since ",
        ),
        (None, ": it timed out after 5m; gone since "),
    ] {
        let mut world = small();
        let claim = launched(&mut world, "web-0");
        world.see([Observation::NoPod(PodKey::new("default", "web-0"))]);
        world.see(failure.map(|failure| Observation::LaunchFailed(claim.clone(), failure)));
        world.pass(400_000);
        let story = json(&world.journal(), &["why", "nodeclaim", claim.as_str()]);
        let answer = story["answer"].as_str().unwrap();
        assert!(answer.starts_with(&format!("it never got an instance{expected}")), "{answer}");
    }
}

#[test]
fn a_list_of_a_nodepool_has_all_of_its_machines() {
    let mut world = story().world;
    world.see([has_pool(NodePool { weight: 9, ..pool("other", 3_000) })]);
    let other = launched(&mut world, "small");
    let node = world.ready(&other, "m7g.large", 80_000);
    // A node of the pool that no claim of this log stands for.
    let strange = NodeFacts {
        name: "strange".into(),
        instance: None,
        labels: Arc::new([(Str::from(label::NODEPOOL), Str::from("other"))].into()),
        ..world.state().nodes[&node].facts.clone()
    };
    world.see([Observation::Node(strange)]);
    world.pass(1_000);
    let journal = world.journal();
    let list = |pool: &str| json(&journal, &["list", "--nodepool", pool]);
    let kinds = |list: &Value| -> BTreeSet<String> {
        list.as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap().to_owned()).collect()
    };
    let of_default = list("default");
    let expected = [
        "node-pool-observed",
        "launch",
        "instance-launched",
        "node-observed",
        "register",
        "initialize",
        "disrupt",
        "taint",
        "node-tainted",
        "drain",
        "terminate",
        "instance-gone",
        "node-deleted",
        "unschedulable",
        "nominate",
        "pod-bound",
    ];
    for kind in expected {
        assert!(kinds(&of_default).contains(kind), "{kind}: {:?}", kinds(&of_default));
    }
    let of_other = list("other");
    let says = of_other.as_array().unwrap().iter().map(|item| item["says"].as_str().unwrap());
    assert!(says.clone().any(|says| says.starts_with("node strange is ready")), "{of_other:#}");
    assert!(kinds(&of_other).contains("initialize") && !kinds(&of_other).contains("disrupt"));
    let (default, other) = (seqs(&of_default), seqs(&of_other));
    assert!(
        default.iter().all(|seq| !other.contains(seq)),
        "each record is of one pool: {default:?} {other:?}"
    );
}

#[test]
fn what_comes_later_than_the_story_ends_is_told_with_its_first_record() {
    let Story { world, first, .. } = story();
    let journal = world.journal();
    let node = format!("node-{first}");
    for (what, name, kind, filter) in [
        ("pod", "default/web-0", "pod-observed", "--pod"),
        ("nodeclaim", first.as_str(), "launch", "--nodeclaim"),
        ("node", first.as_str(), "launch", "--nodeclaim"),
        ("node", &node, "node-observed", "--node"),
    ] {
        let record = &json(&journal, &["list", "--kind", kind, filter, name])[0];
        let (seq, time) = (record["seq"].as_u64().unwrap(), record["time"].as_str().unwrap());
        let before = (seq - 1).to_string();
        let (outcome, out, err) = run(&journal, &["why", what, name, "--at", &before]);
        assert_eq!((outcome, &*out), (purser_replay::Outcome::Failed, ""));
        let seen = format!("{what} {name:?} is first seen at record {seq}, {time}: later than --at says");
        assert!(err.contains(&seen) && err.lines().count() == 1, "{err}");
        table(&journal, &["why", what, name, "--at", &seq.to_string()]);
    }
}

#[test]
fn a_node_that_is_not_set_up_says_since_when_and_until_when_pods_come() {
    let mut world = small();
    let claim = launched(&mut world, "web-0");
    let node = world.ready(&claim, "m7g.large", 80_000);
    // As if it had never become ready: the story ends when it was registered.
    let registered = &json(&world.journal(), &["list", "--kind", "register"])[0];
    let seq = registered["seq"].to_string();
    let since = registered["time"].as_str().unwrap().to_owned();
    let early = json(&world.journal(), &["why", "node", node.as_str(), "--at", &seq]);
    let facts = early["still_there"]["facts"].as_array().unwrap().clone();
    assert_eq!(facts[0], format!("it is not set up yet: registered since {since}, 0ms ago"));
    assert!(facts[1].as_str().unwrap().starts_with("if it is not set up at "), "{facts:?}");

    let mut world = small();
    let claim = launched(&mut world, "web-0");
    world.came(&claim, "m7g.large", 80_000, "slow");
    // A moment later its pod is sent elsewhere, and it is given up.
    world.pass(1_805_000);
    world.see([pending("web-1", 100)]);
    let registered = &json(&world.journal(), &["list", "--kind", "register"])[0];
    let since = registered["time"].as_str().unwrap().to_owned();
    let at = Time(chrono::DateTime::parse_from_rfc3339(&since).unwrap().timestamp_micros());
    let due = text::exact_time(at + Span(2 * Settings::default().registration_timeout.0));
    let late = json(&world.journal(), &["why", "nodeclaim", claim.as_str()]);
    let facts = late["still_there"]["facts"].as_array().unwrap();
    let begins = format!("it is not set up yet: registered since {since}, 30m");
    assert!(facts[0].as_str().unwrap().starts_with(&begins), "{facts:?}");
    assert_eq!(facts[1], format!("no pod is sent there since {due}, 30m after that: set-up-overdue"));
}

#[test]
fn where_no_controller_is_at_work_nothing_is_looked_at() {
    let mut world = small();
    let claim = launched(&mut world, "web-0");
    world.ready(&claim, "m7g.large", 80_000);
    world.see([pending("huge", 200_000)]);
    world.pass(5_000);
    let now = world.now;
    world.controller().record(now, Control::ControllerStopped { reason: "asked to".into() }).unwrap();
    let journal = world.journal();
    let since = text::exact_time(now);
    let idle = format!("no controller is at work since {since}: nothing is decided until one starts");
    let later = ["why", "pod", "huge", "--at", "2026-07-20T10:00:00Z"];
    let story = json(&journal, &later);
    assert_eq!(story["idle"], idle);
    assert!(story["now"].is_null());
    let text = table(&journal, &later);
    assert!(text.contains(&format!("\n{idle}\n")) && !text.contains("a decision looks at"), "{text}");
    let node = json(&journal, &["why", "nodeclaim", claim.as_str()]);
    assert_eq!(node["still_there"]["facts"][0], idle);
    let before = (world.state().size - 2).to_string();
    let story = json(&journal, &["why", "pod", "huge", "--at", &before]);
    assert!(story["idle"].is_null() && !story["now"].is_null());
}
