//! What is said of buffers and overlays, seen from outside: observations in, notices out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;

use lab::*;
use purser_engine::model::*;
use purser_engine::notice::{Notice, OverlayFate, Room};
use purser_engine::port::{Effect, Observation};
use purser_engine::settings::{FeatureGate, FeatureGates, Settings};
use purser_engine::state::State;

fn gates() -> Observation {
    let mut feature_gates = FeatureGates::default();
    feature_gates.set(FeatureGate::CapacityBuffer, true);
    feature_gates.set(FeatureGate::NodeOverlay, true);
    Observation::Settings(Settings { feature_gates, ..Settings::default() })
}

fn small_world() -> Vec<Observation> {
    vec![instance_type("small", 2, 8, 100), has_pool(pool("default"))]
}

fn key(name: &str) -> PodKey {
    PodKey::new("default", name)
}

fn buffer(name: &str, spec: &PodSpec, replicas: u32) -> Observation {
    Observation::CapacityBuffer(key(name), CapacityBuffer::new(spec, replicas))
}

fn notices(lab: &mut Lab) -> Vec<Notice> {
    let notice = |effect| if let Effect::Notice(notice) = effect { Some(notice) } else { None };
    lab.take_orders().into_iter().filter_map(notice).collect()
}

fn room(name: &str, there: u32, coming: u32, missing: u32) -> Notice {
    Notice::Room { buffer: key(name), room: Some(Room { there, coming, missing }) }
}

/// Away from pods with the same label, on other nodes.
fn apart(cpu_millis: i64) -> PodSpec {
    let own = labels(&[("app", "web")]);
    let selector = LabelSelector(vec![LabelExpression {
        key: "app".into(),
        operator: LabelOperator::In,
        values: vec!["web".into()],
    }]);
    let term = PodAffinity {
        topology_key: label::HOSTNAME.into(),
        selector,
        namespaces: NamespaceSelector::Own,
        anti: true,
        weight: None,
    };
    PodSpec { labels: own, affinity: vec![term], ..spec(cpu_millis, 64) }
}

#[test]
fn where_room_is_is_said_as_it_changes_and_all_of_it_after_a_restart() {
    let mut lab = Lab::new(small_world());
    lab.see([gates(), buffer("a", &spec(1_500, 512), 2), buffer("b", &spec(1_500, 512), 1)]);
    assert_eq!(notices(&mut lab), [room("a", 0, 2, 0), room("b", 0, 1, 0)]);
    lab.until(secs(10));
    assert_eq!(notices(&mut lab), [], "nothing is another way");
    for (claim, types, _) in lab.launches() {
        lab.ready(&claim, &types[0]);
    }
    lab.until(secs(20));
    let said = notices(&mut lab);
    assert!(said.contains(&room("a", 2, 0, 0)) && said.contains(&room("b", 1, 0, 0)), "{said:?}");

    lab.see([Observation::NoCapacityBuffer(key("b"))]);
    assert_eq!(notices(&mut lab), [Notice::Room { buffer: key("b"), room: None }]);
    lab.verify();
    let (log, state): (MemoryLog, State) = {
        let Lab { controller, .. } = lab;
        controller.into_parts()
    };
    let now = state.now;
    let world = small_world().into_iter().chain([buffer("a", &spec(1_500, 512), 2)]).collect::<Vec<_>>();
    let nodes: Vec<Observation> =
        state.nodes.values().map(|node| Observation::Node(node.facts.clone())).collect();
    let mut lab = Lab::go_on(log, state, now, world.into_iter().chain(nodes).collect());
    lab.see([gates()]);
    assert!(notices(&mut lab).contains(&room("a", 2, 0, 0)), "it is said again");
}

#[test]
fn virtual_pods_keep_away_from_each_other_and_from_pods() {
    let mut lab = Lab::new(small_world());
    lab.see([gates(), pending("web", &apart(100))]);
    lab.until(secs(2));
    let (claim, types, _) = lab.launches()[0].clone();
    let node = lab.ready(&claim, &types[0]);
    lab.see([bound("web", &apart(100), &node)]);
    lab.see([buffer("a", &apart(100), 3)]);
    lab.until(secs(10));
    assert_eq!(lab.launches().len(), 4, "a node for the pod and one for each virtual pod");
    assert_eq!(notices(&mut lab).last(), Some(&room("a", 0, 3, 0)));
    lab.verify();
}

#[test]
fn beyond_limits_room_is_missing_and_a_selector_is_kept() {
    let mut limited = pool("default");
    limited.limits = Limits { resources: vec![("cpu".into(), 4_000)], nodes: None };
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(limited)]);
    lab.see([gates(), buffer("a", &spec(1_500, 512), 10)]);
    lab.until(secs(10));
    assert_eq!(lab.launches().len(), 2);
    assert_eq!(notices(&mut lab).last(), Some(&room("a", 0, 2, 8)));
    let elsewhere = PodSpec { node_selector: labels(&[(label::OS, "windows")]), ..spec(100, 64) };
    lab.see([buffer("a", &elsewhere, 1)]);
    assert_eq!(notices(&mut lab), [room("a", 0, 0, 1)]);
    let here = PodSpec { node_selector: labels(&[(label::OS, "linux")]), ..spec(100, 64) };
    lab.see([buffer("a", &here, 1)]);
    assert_eq!(notices(&mut lab), [room("a", 0, 1, 0)]);
    lab.verify();
}

#[test]
fn of_overlays_of_equal_weight_that_say_something_of_the_same_the_last_by_name_counts() {
    let overlay = |adjustment: &str, weight| NodeOverlay {
        weight,
        price_adjustment: Some(adjustment.into()),
        ..NodeOverlay::default()
    };
    let mut lab = Lab::new(plain_world());
    let first = Observation::NodeOverlay("a".into(), overlay("-10%", 1));
    lab.see([gates(), first, Observation::NodeOverlay("b".into(), overlay("-20%", 1))]);
    let said = notices(&mut lab);
    let fate = |name: &str| {
        said.iter().find_map(|notice| match notice {
            Notice::Overlay { overlay, fate } if **overlay == *name => fate.clone(),
            _ => None,
        })
    };
    assert_eq!(fate("b"), Some(OverlayFate::Applied));
    assert!(matches!(fate("a"), Some(OverlayFate::Conflict(why)) if why.contains("NodeOverlay b")));
    lab.see([Observation::NodeOverlay("a".into(), overlay("-10%", 2))]);
    let applied = |name: &str| Notice::Overlay { overlay: name.into(), fate: Some(OverlayFate::Applied) };
    assert_eq!(notices(&mut lab), [applied("a")]);
    lab.see([Observation::NoNodeOverlay("b".into())]);
    assert_eq!(notices(&mut lab), [Notice::Overlay { overlay: "b".into(), fate: None }]);
    lab.verify();
}
