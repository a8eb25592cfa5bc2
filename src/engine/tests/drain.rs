//! How a node is emptied, seen from outside: observations in, orders out.

mod lab;

use std::collections::BTreeSet;

use lab::*;
use purser_engine::model::*;
use purser_engine::port::{Effect, Observation};

const CRITICAL: i32 = 2_000_000_000;

/// A pod on the node that is emptied.
fn on(node: &NodeName, name: &str, spec: &PodSpec) -> PodFacts {
    PodFacts { phase: PodPhase::Bound, node: Some(node.clone()), ..pod(name, spec) }
}

fn terminating(pod: PodFacts, grace: Span) -> Observation {
    Observation::Pod(PodFacts { phase: PodPhase::Terminating, deletion_grace: Some(grace), ..pod })
}

fn gone(name: &str) -> Observation {
    Observation::NoPod(PodKey::new("default", name))
}

fn daemon(priority: i32) -> PodSpec {
    PodSpec { owner: OwnerKind::DaemonSet, priority, ..spec(100, 64) }
}

/// The pods that were asked to leave, and whether they are deleted outright.
fn asked(lab: &mut Lab) -> BTreeSet<(String, bool)> {
    let of = |effect| match effect {
        Effect::Evict { pod, force, .. } => Some((pod.name.to_string(), force)),
        _ => None,
    };
    lab.take_orders().into_iter().filter_map(of).collect()
}

fn evicted(names: &[&str]) -> BTreeSet<(String, bool)> {
    names.iter().map(|name| ((*name).to_owned(), false)).collect()
}

fn forced(name: &str) -> BTreeSet<(String, bool)> {
    BTreeSet::from([(name.to_owned(), true)])
}

/// A node that runs these pods and that somebody deletes, with so many seconds for its pods; it is marked already.
fn leaving(grace: Option<i64>, pods: impl FnOnce(&NodeName) -> Vec<PodFacts>) -> (Lab, ClaimName, NodeName) {
    let mut short = pool("default");
    short.template.termination_grace = grace.map(Span::secs);
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(short)]);
    lab.see([pending("first", &spec(100, 64))]);
    lab.until(secs(2));
    let (claim, ..) = lab.launches()[0].clone();
    let node = lab.ready(&claim, "small");
    lab.see(pods(&node).into_iter().map(Observation::Pod).chain([gone("first")]));
    let instance = InstanceId::new(format!("i-{claim}"));
    let facts = lab.node(&claim, &instance, "small");
    lab.take_orders();
    lab.see([Observation::Node(NodeFacts {
        taints: Vec::new(),
        ready: true,
        deleting: true,
        ..facts.clone()
    })]);
    assert!(matches!(&lab.take_orders()[..], [Effect::Taint { .. }]));
    lab.see([Observation::Tainted(claim.clone())]);
    (lab, claim, node)
}

fn is_terminated(lab: &mut Lab) -> bool {
    lab.take_orders().iter().any(|effect| matches!(effect, Effect::Terminate { .. }))
}

#[test]
fn groups_of_pods_leave_one_after_the_other() {
    let critical = PodSpec { priority: CRITICAL, ..spec(100, 64) };
    let stays = Toleration {
        key: Some("karpenter.sh/disrupted".into()),
        operator: TolerationOperator::Exists,
        value: "".into(),
        effect: None,
    };
    let (mut lab, _, node) = leaving(None, |node| {
        vec![
            on(node, "web-1", &spec(100, 64)),
            on(node, "web-2", &spec(100, 64)),
            on(node, "log", &daemon(0)),
            on(node, "dns", &critical),
            on(node, "net", &daemon(CRITICAL + 1_000)),
            on(node, "static", &PodSpec { owner: OwnerKind::Node, ..spec(100, 64) }),
            on(node, "stays", &PodSpec { tolerations: vec![stays], ..daemon(0) }),
        ]
    });
    let end = Span::secs(1_000);
    assert_eq!(asked(&mut lab), evicted(&["web-1", "web-2"]));
    lab.see([gone("web-1"), terminating(on(&node, "web-2", &spec(100, 64)), end)]);
    lab.until(secs(60));
    assert_eq!(asked(&mut lab), evicted(&[]), "one of the first group is still there");
    lab.see([gone("web-2")]);
    assert_eq!(asked(&mut lab), evicted(&["log"]));
    lab.see([terminating(on(&node, "log", &daemon(0)), end)]);
    assert_eq!(asked(&mut lab), evicted(&[]));
    lab.see([gone("log")]);
    assert_eq!(asked(&mut lab), evicted(&["dns"]));
    lab.see([gone("dns")]);
    assert_eq!(asked(&mut lab), evicted(&["net"]));
    lab.see([gone("net")]);
    assert!(is_terminated(&mut lab), "nobody waits for a static pod or for one that tolerates the mark");
    lab.verify();
}

#[test]
fn do_not_disrupt_holds_a_pod_for_its_time_after_its_start_or_for_ever() {
    let held = |held| PodSpec { do_not_disrupt: Some(held), ..spec(100, 64) };
    let (minute, ever) = (held(DoNotDisrupt::For(Span::mins(1))), held(DoNotDisrupt::Always));
    let started = |node: &NodeName| PodFacts { started: Some(secs(1)), ..on(node, "minute", &minute) };
    let (mut lab, _, node) =
        leaving(None, |node| vec![on(node, "ever", &ever), on(node, "new", &minute), started(node)]);
    lab.until(secs(60));
    assert_eq!(asked(&mut lab), evicted(&[]));
    lab.until(secs(61));
    assert_eq!(asked(&mut lab), evicted(&["minute"]), "one that has not started yet is held");
    lab.see([gone("minute"), gone("new")]);
    lab.until(secs(9_000));
    assert_eq!(asked(&mut lab), evicted(&[]));
    lab.see([Observation::Pod(on(&node, "ever", &spec(100, 64)))]);
    assert_eq!(asked(&mut lab), evicted(&["ever"]), "the annotation is gone");
    lab.verify();
}

#[test]
fn a_start_that_is_yet_to_come_by_our_clock_counts_from_when_it_is_seen() {
    let held = PodSpec { do_not_disrupt: Some(DoNotDisrupt::For(Span::mins(1))), ..spec(100, 64) };
    let ahead = |node: &NodeName| PodFacts { started: Some(secs(5_000)), ..on(node, "ahead", &held) };
    let (mut lab, _, node) = leaving(None, |node| vec![ahead(node)]);
    let start = lab.now;
    lab.until(start + Span::secs(30));
    let size = lab.state().size;
    lab.see([Observation::Pod(ahead(&node))]);
    assert_eq!(lab.state().size, size, "it did not start again");
    lab.until(start + Span::secs(59));
    assert_eq!(asked(&mut lab), evicted(&[]));
    lab.until(start + Span::secs(60));
    assert_eq!(asked(&mut lab), evicted(&["ahead"]));
    lab.verify();
}

#[test]
fn a_deadline_passes_over_what_holds_pods_and_leaves_them_their_grace_period() {
    let held = PodSpec {
        do_not_disrupt: Some(DoNotDisrupt::Always),
        termination_grace: Some(Span::secs(30)),
        ..spec(100, 64)
    };
    let critical = PodSpec { priority: CRITICAL, termination_grace: Some(Span::secs(10)), ..spec(100, 64) };
    let (mut lab, ..) = leaving(Some(60), |node| vec![on(node, "held", &held), on(node, "dns", &critical)]);
    let began = lab.now;
    let after = |seconds: i64| Time(began.0 + seconds * 1_000_000);
    lab.until(after(29));
    assert_eq!(asked(&mut lab), evicted(&[]));
    lab.until(after(30));
    let deadline = Some(after(60));
    let orders: Vec<Effect> = lab.take_orders();
    // The other one is the only one that is left to be asked.
    assert!(matches!(&orders[..], [
        Effect::Evict { force: true, deadline: by, .. },
        Effect::Evict { force: false, .. },
    ] if *by == deadline));
    lab.until(after(49));
    assert_eq!(asked(&mut lab), evicted(&[]));
    lab.until(after(50));
    assert_eq!(asked(&mut lab), forced("dns"), "whatever group is before it");
    lab.see([gone("held"), gone("dns")]);
    assert!(is_terminated(&mut lab));
    lab.verify();
}

#[test]
fn a_pod_that_would_outlast_the_deadline_is_hurried() {
    let slow = PodSpec { termination_grace: Some(Span::mins(10)), ..spec(100, 64) };
    let (mut lab, _, node) = leaving(Some(3_600), |node| vec![on(node, "slow", &slow)]);
    assert_eq!(asked(&mut lab), evicted(&["slow"]));
    lab.see([terminating(on(&node, "slow", &slow), Span::secs(4_000))]);
    assert_eq!(asked(&mut lab), forced("slow"));
    lab.verify();
}

#[test]
fn a_pod_that_does_not_end_is_passed_over_a_minute_after_it_had_to() {
    let (mut lab, _, node) = leaving(None, |node| vec![on(node, "stuck", &spec(100, 64))]);
    assert_eq!(asked(&mut lab), evicted(&["stuck"]));
    let told = lab.now;
    let stuck = || on(&node, "stuck", &spec(100, 64));
    lab.see([terminating(stuck(), Span::secs(38))]);
    lab.until(told + Span::secs(30));
    // It is seen again, and has no more time for that.
    let size = lab.state().size;
    lab.see([terminating(stuck(), Span::secs(38))]);
    assert_eq!(lab.state().size, size);
    lab.until(told + Span::secs(97));
    assert!(!is_terminated(&mut lab));
    lab.until(told + Span::secs(98));
    assert!(is_terminated(&mut lab));
    lab.verify();
}

#[test]
fn a_pod_that_is_given_less_time_is_passed_over_sooner() {
    let (mut lab, _, node) = leaving(None, |node| vec![on(node, "stuck", &spec(100, 64))]);
    let told = lab.now;
    let stuck = || on(&node, "stuck", &spec(100, 64));
    lab.see([terminating(stuck(), Span::secs(300))]);
    lab.until(told + Span::secs(10));
    lab.see([terminating(stuck(), Span::secs(5))]);
    lab.take_orders();
    lab.until(told + Span::secs(74));
    assert!(!is_terminated(&mut lab));
    lab.until(told + Span::secs(75));
    assert!(is_terminated(&mut lab));
    lab.verify();
}

/// A pod's spec with a volume of this claim.
fn with_volume(claim: &str, spec: PodSpec) -> PodSpec {
    PodSpec { volumes: vec![VolumeRef { claim: claim.into() }], ..spec }
}

/// The volume of a claim is attached to a node.
fn attached(claim: &str, node: &NodeName) -> Observation {
    let attachment = VolumeAttachment {
        node: node.clone(),
        volume: format!("pv-{claim}").into(),
        claim: Some(PodKey::new("default", claim)),
    };
    Observation::VolumeAttachment(format!("csi-{claim}").into(), attachment)
}

fn detached(claim: &str) -> Observation {
    Observation::NoVolumeAttachment(format!("csi-{claim}").into())
}

/// What is done with a claim whose node is empty: it waits for volumes, or its instance stops with so many of them attached.
fn steps(lab: &mut Lab) -> Vec<Option<u32>> {
    let of = |effect| match effect {
        Effect::AwaitDetachment { .. } => Some(None),
        Effect::Terminate { attached, .. } => Some(Some(attached)),
        _ => None,
    };
    lab.take_orders().into_iter().filter_map(of).collect()
}

#[test]
fn a_node_waits_until_its_volumes_are_detached() {
    let db = with_volume("data", spec(100, 64));
    let (mut lab, _, node) = leaving(None, |node| vec![on(node, "db", &db)]);
    let nameless = VolumeAttachment { node: node.clone(), volume: "pv".into(), claim: None };
    lab.see([
        attached("data", &node),
        Observation::VolumeAttachment("csi".into(), nameless),
        attached("other", &"elsewhere".into()),
    ]);
    lab.until(secs(60));
    assert_eq!(steps(&mut lab), []);
    lab.see([gone("db")]);
    assert_eq!(steps(&mut lab), [None]);
    lab.see([detached("data")]);
    lab.until(secs(9_000));
    assert_eq!(steps(&mut lab), [], "of the other one nobody knows whose it is");
    lab.see([Observation::NoVolumeAttachment("csi".into())]);
    assert_eq!(steps(&mut lab), [Some(0)]);
    lab.verify();
}

#[test]
fn nobody_waits_for_the_volumes_of_pods_that_stay() {
    let stays = with_volume("kept", PodSpec { owner: OwnerKind::Node, ..spec(100, 64) });
    let stuck = with_volume("stuck", spec(100, 64));
    let web = with_volume("data", spec(100, 64));
    let (mut lab, _, node) = leaving(None, |node| {
        vec![on(node, "static", &stays), on(node, "stuck", &stuck), on(node, "web", &web)]
    });
    lab.see([attached("kept", &node), attached("data", &node), attached("stuck", &node), gone("web")]);
    lab.see([terminating(on(&node, "stuck", &stuck), Span::secs(30))]);
    lab.until(lab.now + Span::secs(90));
    assert_eq!(steps(&mut lab), [None]);
    lab.see([detached("data")]);
    assert_eq!(steps(&mut lab), [Some(0)]);
    lab.verify();
}

#[test]
fn a_deadline_passes_over_volumes() {
    let db = with_volume("data", spec(100, 64));
    let (mut lab, _, node) = leaving(Some(60), |node| vec![on(node, "db", &db)]);
    let began = lab.now;
    lab.see([attached("data", &node), gone("db")]);
    lab.until(began + Span::secs(59));
    assert_eq!(steps(&mut lab), [None]);
    lab.until(began + Span::secs(60));
    assert_eq!(steps(&mut lab), [Some(1)]);
    lab.verify();
}

#[test]
fn volumes_that_a_restart_does_not_find_are_detached() {
    let db = with_volume("data", spec(100, 64));
    let (mut lab, _, node) = leaving(None, |node| vec![on(node, "db", &db)]);
    lab.see([attached("data", &node), gone("db")]);
    lab.until(secs(30));
    assert_eq!(steps(&mut lab), [None]);
    let restarted = |lab: Lab, volumes: &[Observation]| {
        let facts = lab.state().nodes[&node].facts.clone();
        let marked = Observation::Node(NodeFacts { taints: vec![Taint::disrupted()], ..facts });
        let world = [instance_type("small", 2, 8, 100), has_pool(pool("default")), marked];
        let (log, state) = lab.controller.into_parts();
        Lab::go_on(log, state, secs(31), world.iter().chain(volumes).cloned().collect())
    };
    let mut lab = restarted(lab, &[attached("data", &node)]);
    assert_eq!(steps(&mut lab), [None], "it is shown again, whether or not it was before");
    let mut lab = restarted(lab, &[]);
    assert_eq!(steps(&mut lab), [Some(0)]);
    lab.verify();
}
