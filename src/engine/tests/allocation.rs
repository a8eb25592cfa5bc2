//! Devices and claims on them: how they come into State, and where pods go that have claims.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;

use std::sync::Arc;

use lab::*;
use purser_engine::event::{Decision, Event, Fact, Target};
use purser_engine::model::*;
use purser_engine::port::Observation;
use purser_engine::reason::{Reason, ReasonId};
use purser_engine::state::Plan;

/// A selector that takes devices of a model.
fn model(model: &str) -> Arc<DeviceSelector> {
    let expressions = vec![format!("device.attributes['d'].model == '{model}'").into()];
    Arc::new(DeviceSelector { expressions, ..DeviceSelector::default() })
}

fn kind(name: &str, count: DeviceCount) -> Arc<AskedKind> {
    let ask = DeviceAsk { name: None, selector: model(name), count };
    let requests = vec![DeviceRequest { name: "r".into(), alternatives: vec![ask] }];
    Arc::new(ClaimKind { requests, constraints: Vec::new() })
}

fn one(name: &str) -> Arc<AskedKind> {
    kind(name, DeviceCount::Exactly(1))
}

fn key(name: &str) -> PodKey {
    PodKey::new("default", name)
}

fn claim(name: &str, kind: Arc<AskedKind>) -> Observation {
    Observation::ResourceClaim(key(name), ResourceClaim::Open(kind))
}

fn pool_key(node: &str) -> DevicePoolKey {
    DevicePoolKey { node: node.into(), driver: "d".into(), pool: node.into() }
}

fn asked(models: &[&str]) -> Arc<Questions> {
    Arc::new(Questions {
        selectors: models.iter().map(|name| model(name)).collect(),
        attributes: Default::default(),
    })
}

/// So many devices of a model on a node, as whoever asks for these models sees them.
fn published(node: &str, of: &str, count: usize, asking: &[&str]) -> Observation {
    let takers = asking.iter().filter(|name| **name == of).map(|name| (model(name), Vec::new()));
    let device = |at: usize| PublishedDevice {
        name: format!("{of}-{at}").into(),
        usable: true,
        attributes: Default::default(),
        counters: Vec::new(),
        capacity: None,
        takers: takers.clone().collect(),
    };
    let pool = DevicePool {
        complete: true,
        counters: Vec::new(),
        devices: (0..count).map(device).collect(),
        undecided: Default::default(),
    };
    Observation::DevicePool { key: pool_key(node), pool: Arc::new(pool), asked: asked(asking) }
}

/// A claim that has a device of a node.
fn allocated(name: &str, node: &str, device: &str) -> Observation {
    let device =
        AllocatedDevice { name: pool_key(node).device(&device.into()), consumed: Default::default() };
    let reach = Ok(DeviceReach::Nodes([node.into()].into()));
    let holding = Holding { devices: vec![device], reach };
    Observation::ResourceClaim(key(name), ResourceClaim::Allocated(holding))
}

fn node(name: &str) -> Observation {
    Observation::Node(NodeFacts {
        name: name.into(),
        instance: None,
        labels: Default::default(),
        taints: Vec::new(),
        allocatable: requests(8_000, 16_384).with_pods(110),
        ready: true,
        unschedulable: false,
        do_not_disrupt: false,
        created: Time(0),
        deleting: false,
    })
}

trait WithPods {
    fn with_pods(self, pods: i64) -> Self;
}

impl WithPods for Resources {
    fn with_pods(mut self, pods: i64) -> Self {
        self.set("pods", pods);
        self
    }
}

fn wanting(name: &str, source: ClaimSource) -> PodFacts {
    let spec = PodSpec { resource_claims: vec!["gpu".into()], ..spec(100, 64) };
    PodFacts { claims: vec![source], ..pod(name, &spec) }
}

fn waits(name: &str, source: ClaimSource) -> Observation {
    Observation::Pod(wanting(name, source))
}

fn of(claim: &str) -> ClaimSource {
    ClaimSource::Named(claim.into())
}

fn made(claim: &str) -> ClaimSource {
    ClaimSource::Made(claim.into())
}

/// Where a pod is expected, or why it has no place.
fn plan(lab: &Lab, pod: &str) -> Result<String, ReasonId> {
    match &lab.state().pods[&key(pod)].plan {
        Plan::Nominated { target: Target::Node(node), .. } => Ok(node.to_string()),
        Plan::Nominated { target: Target::Claim(claim), .. } => Ok(claim.to_string()),
        Plan::Unschedulable { reason, .. } => Err(reason.id),
        Plan::None => panic!("nothing is decided about {pod}"),
    }
}

fn on(node: &str) -> Result<String, ReasonId> {
    Ok(node.to_owned())
}

fn world(objects: impl IntoIterator<Item = Observation>) -> Vec<Observation> {
    plain_world().into_iter().chain(objects).collect()
}

fn settle(lab: &mut Lab) {
    lab.until(lab.now + Span::secs(12));
}

fn records_since(lab: &Lab, size: u64) -> Vec<Event> {
    let records = lab.controller.journal().records.iter().skip(size as usize);
    records.map(|(_, _, entry)| entry.event.clone()).collect()
}

#[test]
fn a_pod_goes_where_the_devices_are_that_its_claim_asks_for() {
    let mut lab = Lab::new(world([
        node("a"),
        node("b"),
        published("a", "small", 2, &["large"]),
        published("b", "large", 1, &["large"]),
        claim("c", one("large")),
        claim("d", one("large")),
        waits("p", made("c")),
    ]));
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), on("b"));
    // What is expected there counts, whether it is allocated yet or not.
    lab.see([waits("q", made("d"))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "q"), Err(ReasonId::DevicesUnavailable));
    lab.see([
        allocated("c", "b", "large-0"),
        Observation::Pod(PodFacts {
            phase: PodPhase::Bound,
            node: Some("b".into()),
            ..wanting("p", made("c"))
        }),
    ]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "q"), Err(ReasonId::DevicesUnavailable));
    // Once the claim is gone, its device is free.
    lab.see([Observation::NoPod(key("p")), Observation::NoResourceClaim(key("c"))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "q"), on("b"));
    assert_eq!(lab.launches(), [], "nothing is launched for devices");
    lab.verify();
}

#[test]
fn what_a_claim_lacks_is_the_reason_until_it_is_there() {
    let mut lab = Lab::new(world([node("a"), waits("p", ClaimSource::Template("t".into()))]));
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), Err(ReasonId::DeviceObjectMissing));
    lab.see([Observation::ClaimTemplate(key("t"), Ok(one("large")))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), Err(ReasonId::DevicesUnavailable));
    let odd = Reason::new(ReasonId::DeviceSelectorInvalid, []);
    lab.see([Observation::ClaimTemplate(key("t"), Err(odd))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), Err(ReasonId::DeviceSelectorInvalid));
    lab.see([published("a", "large", 1, &["large"]), Observation::ClaimTemplate(key("t"), Ok(one("large")))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), on("a"));
    assert_eq!(lab.launches(), []);
    lab.verify();
}

#[test]
fn pods_that_share_a_claim_go_to_one_node() {
    let mut lab = Lab::new(world([
        node("a"),
        node("b"),
        published("a", "large", 1, &["large"]),
        published("b", "large", 1, &["large"]),
        claim("c", one("large")),
        waits("p", of("c")),
    ]));
    settle(&mut lab);
    let first = plan(&lab, "p").unwrap();
    lab.see([waits("q", of("c"))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "q"), Ok(first.clone()), "the claim will be allocated where the first is expected");
    let other = if first == "a" { "b" } else { "a" };
    lab.see([allocated("c", other, "large-0"), waits("r", of("c"))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "r"), on(other), "it was allocated otherwise");
    lab.see([Observation::NoNode(other.into()), waits("s", of("c"))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "s"), Err(ReasonId::ClaimElsewhere));
    lab.verify();
}

#[test]
fn all_devices_of_a_node_are_not_given_while_there_may_be_others() {
    let all = kind("large", DeviceCount::All);
    let wide = |selectors: &[&str]| Observation::WideSelectors {
        selectors: selectors.iter().map(|name| model(name)).collect(),
        asked: asked(&["large"]),
    };
    let mut lab = Lab::new(world([
        node("a"),
        published("a", "large", 2, &["large"]),
        claim("c", all),
        wide(&["large"]),
        waits("p", made("c")),
    ]));
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), Err(ReasonId::DevicesUnavailable));
    lab.see([wide(&[])]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), on("a"));
    lab.verify();
}

#[test]
fn devices_of_a_node_that_just_came_take_pods_to_it() {
    let mut lab = Lab::new(world([pending("plain", &spec(1_000, 64))]));
    settle(&mut lab);
    let (name, types, _) = lab.launches().remove(0);
    let node = lab.ready(&name, &types[0]);
    lab.see([claim("c", one("large")), waits("p", made("c"))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), Err(ReasonId::DevicesUnavailable));
    lab.see([published(node.as_str(), "large", 1, &["large"])]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), Ok(name.to_string()));
    // It is the node that the allocation names, whatever the host is called.
    lab.see([allocated("c", node.as_str(), "large-0"), waits("q", of("c"))]);
    settle(&mut lab);
    assert_eq!(plan(&lab, "q"), Ok(name.to_string()));
    lab.verify();
}

#[test]
fn without_word_of_claims_they_are_not_looked_at() {
    let silent = PodFacts { claims: Vec::new(), ..wanting("p", made("c")) };
    let mut lab = Lab::new(world([node("a"), Observation::Pod(silent.clone())]));
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), Err(ReasonId::ConstraintNotEvaluated));
    assert_eq!(lab.launches(), []);
    // Word of them may come, and may end when the controller is started with other settings.
    let devices = || [published("a", "large", 1, &["large"]), claim("c", one("large"))];
    lab.see(devices().into_iter().chain([waits("p", made("c"))]));
    settle(&mut lab);
    assert_eq!(plan(&lab, "p"), on("a"));
    let now = lab.now;
    lab.controller.relist(now, world([node("a"), Observation::Pod(silent)])).unwrap();
    let state = lab.state();
    assert!(state.device_pools.is_empty() && state.resource_claims.is_empty());
    assert!(state.pods[&key("p")].claims.is_empty());
    lab.verify();
}

#[test]
fn what_is_known_makes_no_record_and_questions_of_the_past_none_either() {
    let objects = |asking: &[&str]| {
        world([
            node("a"),
            published("a", "large", 2, asking),
            claim("c", one("large")),
            Observation::ClaimTemplate(key("t"), Ok(one("large"))),
            Observation::WideSelectors {
                selectors: asked(&["large"]).selectors.clone(),
                asked: asked(asking),
            },
            Observation::Pod(PodFacts { phase: PodPhase::Held, ..wanting("p", made("c")) }),
        ])
    };
    let mut lab = Lab::new(objects(&["large"]));
    let size = lab.state().size;
    lab.see(objects(&["large"]));
    let now = lab.now;
    lab.controller.relist(now, objects(&["large"])).unwrap();
    assert_eq!(lab.state().size, size);
    // A new question that has no answer here is no news; one that has an answer is told with it.
    lab.see([claim("e", one("small"))]);
    let size = lab.state().size;
    lab.see(objects(&["large", "small"]));
    assert_eq!(lab.state().size, size);
    lab.see([published("a", "small", 2, &["large", "small"])]);
    assert!(matches!(&records_since(&lab, size)[..], [Event::Fact(Fact::DevicePoolObserved { .. })]));
    // Nobody asks for large ones any more: that they do not take these devices need not be said.
    let size = lab.state().size;
    lab.see([published("a", "small", 2, &["small"]), Observation::NoResourceClaim(key("c"))]);
    assert!(matches!(&records_since(&lab, size)[..], [Event::Fact(Fact::ResourceClaimDeleted { .. })]));
    let kinds = lab.state().claim_kinds().len();
    assert_eq!((kinds, lab.state().device_selectors().len()), (2, 2), "each has one number");
    lab.verify();
}

#[test]
fn an_evaluation_that_finds_nothing_is_not_repeated_until_something_changes() {
    let mut lab = Lab::new(world([node("a"), claim("c", one("large")), waits("p", made("c"))]));
    settle(&mut lab);
    let refusals = |lab: &Lab| {
        let is = |decision: &Decision| matches!(decision, Decision::Unschedulable { .. });
        lab.decisions().iter().filter(|decision| is(decision)).count()
    };
    assert_eq!(refusals(&lab), 1);
    lab.see([allocated("other", "z", "large-0"), waits("q", made("d"))]);
    settle(&mut lab);
    assert_eq!((plan(&lab, "q"), refusals(&lab)), (Err(ReasonId::DeviceObjectMissing), 2));
    lab.verify();
}
