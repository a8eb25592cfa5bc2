//! NodeClaims that this log did not launch, and those that somebody else changes: they are taken over, launched, and removed as any
//! other.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;

use std::sync::Arc;

use lab::*;
use purser_engine::event::{Decision, LaunchFailure};
use purser_engine::model::*;
use purser_engine::port::{Effect, InstanceFacts, Observation};

/// A claim as it is made by hand: nothing but what its node is to be like.
fn by_hand(name: &str) -> ClaimFacts {
    let mut requirements = Requirements::new();
    requirements.add(label::CAPACITY_TYPE, Requirement::one_of([Str::from("on-demand")]));
    ClaimFacts {
        name: name.into(),
        uid: Uid(7),
        pool: None,
        template: NodeTemplate { requirements, ..NodeTemplate::default() },
        requests: Resources::default(),
        instance: None,
        node: None,
        registered: false,
        initialized: false,
        drifted: false,
        hash: "".into(),
        hash_version: "".into(),
        created: Time(0),
        deleted: None,
        deadline: None,
    }
}

/// A claim of the pool that is a node, launched by somebody else.
fn finished(name: &str) -> ClaimFacts {
    let of_node = [(label::INSTANCE_TYPE, "small"), (label::ZONE, "z1"), (label::CAPACITY_TYPE, "on-demand")];
    let labels = labels(&of_node);
    ClaimFacts {
        pool: Some("default".into()),
        template: NodeTemplate { labels, ..by_hand(name).template },
        requests: requests(500, 512),
        instance: Some(InstanceId::new(format!("i-{name}"))),
        node: Some(NodeName::new(format!("node-{name}"))),
        registered: true,
        initialized: true,
        hash: "1".into(),
        hash_version: ClaimFacts::HASH_VERSION.into(),
        ..by_hand(name)
    }
}

fn node_of(claim: &ClaimFacts) -> NodeFacts {
    NodeFacts {
        name: NodeName::new(format!("node-{}", claim.name)),
        instance: claim.instance.clone(),
        labels: Arc::new(labels(&[(label::NODEPOOL, "default"), (label::INITIALIZED, "true")])),
        taints: Vec::new(),
        allocatable: requests(2_000, 8_192).plus(&[("pods", 100)].into_iter().collect()),
        ready: true,
        unschedulable: false,
        do_not_disrupt: false,
        created: Time(0),
        deleting: false,
    }
}

fn seen(claim: &ClaimFacts) -> Observation {
    Observation::NodeClaim(Arc::new(claim.clone()))
}

fn instance_of(claim: &ClaimFacts) -> InstanceFacts {
    InstanceFacts {
        instance: claim.instance.clone().unwrap(),
        claim: Some(claim.name.clone()),
        instance_type: "small".into(),
        zone: "z1".into(),
        capacity_type: CapacityType::OnDemand,
        price: Price(100),
        launched: Time(0),
    }
}

fn world(claims: &[ClaimFacts]) -> Vec<Observation> {
    let mut kept = pool("default");
    kept.disruption.consolidate_after = None;
    let mut world = plain_world();
    world.extend([has_pool(kept), Observation::NodeClaimsListed]);
    for claim in claims {
        world.push(seen(claim));
        if claim.node.is_some() {
            world.push(Observation::Node(node_of(claim)));
        }
    }
    world
}

fn instances(lab: &mut Lab, listed: &[InstanceFacts]) {
    let step = lab.controller.relist_instances(lab.now, listed).unwrap();
    lab.took(step);
}

fn removals(lab: &Lab) -> Vec<DisruptionReason> {
    let reason = |decision| match decision {
        Decision::Disrupt { reason, .. } => Some(reason),
        _ => None,
    };
    lab.decisions().into_iter().filter_map(reason).collect()
}

#[test]
fn a_log_that_is_lost_costs_nothing() {
    let claims = [finished("a"), finished("b")];
    let web = spec(900, 1_024);
    let mut world = world(&claims);
    world.push(bound("there", &web, &node_of(&claims[0]).name));
    world.push(bound("too", &web, &node_of(&claims[1]).name));
    world.push(pending("waits", &web));
    let mut lab = Lab::new(world);
    lab.until(secs(5));
    instances(&mut lab, &claims.each_ref().map(instance_of));
    lab.until(secs(600));
    let state = lab.state();
    for claim in &claims {
        let own = &state.claims[&claim.name];
        assert_eq!(own.node, claim.node);
        assert_eq!(own.instance.as_ref().unwrap().price, Price(100));
        assert!(own.calm && own.workload_pods == 1);
    }
    assert_eq!(state.pool_usage(&"default".into()).1, 2);
    assert!(lab.launches().is_empty(), "the pod that waits fits on a node that is there");
    assert!(removals(&lab).is_empty() && state.orphans.is_empty());
    let orders = lab.take_orders();
    assert!(orders.iter().all(|order| matches!(order, Effect::Adopt { .. })), "{orders:?}");
    lab.verify();
    // What looks as it is known makes no record.
    let size = lab.state().size;
    lab.see(claims.iter().map(seen));
    assert_eq!(lab.state().size, size);
}

#[test]
fn a_claim_of_another_hash_version_has_the_hash_of_its_pool_unless_it_drifted() {
    let stale = ClaimFacts { hash: "9".into(), hash_version: "v2".into(), ..finished("stale") };
    let drifted = ClaimFacts { drifted: true, ..stale.clone() };
    let drifted = ClaimFacts { name: "drifted".into(), instance: Some("i-drifted".into()), ..drifted };
    let own = ClaimFacts { hash: "2".into(), ..finished("own") };
    let lab = Lab::new(world(&[stale, drifted, own]));
    let hash = |name: &str| lab.state().claims[&ClaimName::from(name)].template.hash.to_string();
    assert_eq!([hash("stale"), hash("drifted"), hash("own")], ["1", "9", "2"]);
    lab.verify();
}

#[test]
fn what_others_left_half_done_goes_on() {
    let unregistered = ClaimFacts { registered: false, initialized: false, ..finished("unregistered") };
    let leaving = ClaimFacts { deleted: Some(Time(0)), ..finished("leaving") };
    let asked = ClaimFacts { pool: Some("default".into()), ..by_hand("asked") };
    let mut lab = Lab::new(world(&[unregistered, leaving, asked]));
    let decisions = lab.decisions();
    let has = |wanted: &dyn Fn(&Decision) -> bool| decisions.iter().any(wanted);
    assert!(has(&|one| matches!(one, Decision::Register { claim, .. } if claim.as_str() == "unregistered")));
    assert!(has(&|one| matches!(one, Decision::Taint { claim } if claim.as_str() == "leaving")));
    assert!(has(&|one| matches!(one, Decision::LaunchAdopted { claim, .. } if claim.as_str() == "asked")));
    let orders = lab.take_orders();
    let launch = orders.iter().find_map(|order| match order {
        Effect::Launch(request) => Some(request),
        _ => None,
    });
    assert!(launch.unwrap().is_adopted);
    assert!(lab.launches().is_empty());
    lab.verify();
}

#[test]
fn a_claim_made_by_hand_gets_the_cheapest_that_is_large_enough() {
    let mut lab = Lab::new(world(&[]));
    let claim = ClaimFacts { requests: requests(3_000, 1_024), ..by_hand("mine") };
    lab.see([seen(&claim)]);
    let orders = lab.take_orders();
    assert!(matches!(&orders[0], Effect::Adopt { claim, .. } if claim.as_str() == "mine"));
    let Effect::Launch(request) = &orders[1] else { panic!("{orders:?}") };
    assert_eq!((request.pool.as_ref(), request.options.len()), (None, 1));
    assert_eq!(request.options[0].instance_type, "large".into());
    assert!(request.places.iter().all(|place| place.capacity_type == CapacityType::OnDemand));
    // A restart in between asks again, and for the same.
    let (log, state) = lab.controller.into_parts();
    let mut lab = Lab::go_on(log, state, secs(1), world(std::slice::from_ref(&claim)));
    assert!(lab.take_orders().contains(&orders[1]));

    let name = ClaimName::from("mine");
    lab.now = secs(2);
    let node = lab.ready(&name, "large");
    assert_eq!(lab.state().claim_of_node(&node).unwrap().pool, None);
    lab.until(secs(900));
    assert!(removals(&lab).is_empty(), "a node that nobody's pool made stays, empty or not");
    lab.verify();

    let size = lab.state().size;
    lab.take_orders();
    let gone = ClaimFacts {
        deleted: Some(lab.now),
        instance: lab.state().claims[&name].instance.as_ref().map(|instance| instance.id.clone()),
        ..claim
    };
    lab.see([seen(&gone)]);
    assert!(lab.state().size > size);
    assert!(matches!(&lab.take_orders()[..], [Effect::Taint { .. }]));
    lab.see([Observation::Tainted(name.clone())]);
    lab.take_orders();
    lab.until(lab.now + Span::secs(6));
    assert!(matches!(&lab.take_orders()[..], [Effect::Terminate { .. }]));
    lab.see([Observation::NoInstance(gone.instance.clone().unwrap())]);
    assert!(lab.state().claims.is_empty());
    // Word of it that comes late is no news.
    let size = lab.state().size;
    lab.see([seen(&gone)]);
    lab.see([Observation::NoNodeClaim(name)]);
    assert_eq!(lab.state().size, size);
    lab.verify();
}

#[test]
fn a_claim_that_nothing_meets_is_given_up() {
    let mut lab = Lab::new(world(&[]));
    lab.see([seen(&ClaimFacts { requests: requests(64_000, 1_024), ..by_hand("huge") })]);
    assert_eq!(removals(&lab), [DisruptionReason::InsufficientCapacity]);
    assert!(matches!(lab.take_orders().last(), Some(Effect::Terminate { .. })));
    // So is one that the provider refuses, and one that it does not answer for.
    lab.see([seen(&by_hand("refused")), seen(&by_hand("mute"))]);
    let none = LaunchFailure::InsufficientCapacity { offerings: Vec::new() };
    lab.see([Observation::LaunchFailed("refused".into(), none)]);
    assert_eq!(lab.state().claims.keys().map(ClaimName::as_str).collect::<Vec<_>>(), ["mute"]);
    lab.until(secs(301));
    assert_eq!(removals(&lab).last(), Some(&DisruptionReason::LaunchTimeout));
    lab.verify();
}

#[test]
fn a_claim_whose_instance_does_not_register_goes_in_time() {
    let mut lab = Lab::new(world(&[]));
    lab.see([seen(&by_hand("mine"))]);
    lab.until(secs(60));
    lab.launched(&"mine".into(), "small");
    lab.until(secs(60 + 899));
    assert!(removals(&lab).is_empty());
    lab.until(secs(60 + 900));
    assert_eq!(removals(&lab), [DisruptionReason::RegistrationTimeout]);
    lab.verify();
}

/// A claim that is being launched, and how its status tells of the instance.
fn launch_under_way() -> (Lab, ClaimFacts) {
    let mut lab = Lab::new(world(&[]));
    lab.see([pending("a", &spec(900, 1_024))]);
    lab.until(secs(3));
    let (claim, _, _) = lab.launches()[0].clone();
    let told =
        ClaimFacts { instance: Some(InstanceId::new(format!("i-{claim}"))), ..finished(claim.as_str()) };
    (lab, told)
}

#[test]
fn the_status_tells_of_the_instance_as_the_answer_does() {
    let (mut lab, told) = launch_under_way();
    let size = lab.state().size;
    lab.see([seen(&told)]);
    assert_eq!(lab.state().size, size + 1, "one record, as for the answer");
    lab.launched(&told.name, "small");
    lab.see([seen(&told)]);
    assert_eq!(lab.state().size, size + 1);
    assert_eq!(lab.state().claims[&told.name].instance.as_ref().unwrap().price, Price(100));
    lab.verify();
}

#[test]
fn whoever_tells_of_an_instance_there_is_one_record_of_it() {
    let (mut lab, told) = launch_under_way();
    let size = lab.state().size;
    lab.see([
        Observation::Instance(instance_of(&told)),
        seen(&told),
        Observation::Instance(instance_of(&told)),
    ]);
    assert_eq!(lab.state().size, size + 1);
    lab.verify();
}

#[test]
fn a_claim_without_its_instance_goes() {
    let claims = [finished("a"), finished("b")];
    let mut lab = Lab::new(world(&claims));
    lab.until(secs(5));
    lab.take_orders();
    // One is missing from the cloud's list; of the other somebody wrote an instance that there is not.
    lab.until(secs(150));
    let odd = ClaimFacts { instance: Some("Provider:///AZ/i-0".into()), ..claims[1].clone() };
    lab.see([seen(&odd)]);
    instances(&mut lab, &[instance_of(&claims[1])]);
    assert_eq!(removals(&lab), [DisruptionReason::GarbageCollected; 2]);
    let orders = lab.take_orders();
    assert_eq!(orders.len(), 2, "{orders:?}");
    assert!(orders.iter().all(|order| matches!(order, Effect::Terminate { node: Some(_), .. })));
    // What became of the instance that its status no longer names is found as that of nobody.
    lab.see(["i-a", "Provider:///AZ/i-0"].map(|id| Observation::NoInstance(id.into())));
    assert!(lab.state().claims.is_empty());
    lab.until(secs(300));
    assert!(matches!(&lab.take_orders()[..], [Effect::Collect { .. }]));
    lab.verify();
}

#[test]
fn an_instance_without_a_claim_is_collected_after_a_while() {
    let mut lab = Lab::new(world(&[]));
    lab.until(secs(1));
    instances(&mut lab, &[instance_of(&finished("nobody"))]);
    lab.until(secs(60));
    assert!(lab.take_orders().is_empty());
    lab.until(secs(62));
    assert!(
        matches!(&lab.take_orders()[..], [Effect::Collect { instance }] if instance.as_str() == "i-nobody")
    );
    lab.verify();
}

/// Two claims that are gone since second 150, with their nodes and instances.
fn gone() -> (Lab, [ClaimFacts; 2]) {
    let claims = [finished("a"), finished("b")];
    let mut lab = Lab::new(world(&claims));
    lab.until(secs(150));
    lab.see(claims.each_ref().map(|claim| Observation::NoNodeClaim(claim.name.clone())));
    lab.see(claims.each_ref().map(|claim| Observation::NoNode(node_of(claim).name)));
    lab.see(["i-a", "i-b"].map(|id| Observation::NoInstance(id.into())));
    assert!(lab.state().claims.is_empty(), "{:?}", lab.state().claims);
    (lab, claims)
}

#[test]
fn an_instance_that_comes_back_under_its_name_is_one_that_is_there() {
    let (mut lab, claims) = gone();
    // For a while it is only late to be listed.
    let size = lab.state().size;
    lab.until(secs(200));
    instances(&mut lab, &claims.each_ref().map(instance_of));
    assert_eq!(lab.state().size, size);
    // The claim of one of them is there again, as it was before it was launched, and is launched again under the same name.
    lab.see([seen(&ClaimFacts { uid: Uid(8), ..by_hand("a") })]);
    lab.see([Observation::Instance(InstanceFacts { launched: secs(201), ..instance_of(&claims[0]) })]);
    assert_eq!(lab.state().claims[&"a".into()].instance.as_ref().unwrap().id.as_str(), "i-a");
    // The other has no claim, and is listed for longer than anything that is only late.
    lab.until(secs(280));
    lab.take_orders();
    instances(&mut lab, &claims.each_ref().map(instance_of));
    lab.until(secs(350));
    let collected =
        |order: &Effect| matches!(order, Effect::Collect { instance } if instance.as_str() == "i-b");
    assert!(lab.take_orders().iter().any(collected));
    lab.verify();
}

#[test]
fn a_claim_that_is_seen_after_its_end_is_late_word_or_there_again() {
    let (mut lab, claims) = gone();
    let size = lab.state().size;
    lab.see(claims.each_ref().map(seen));
    lab.see([Observation::NoNodeClaim("b".into())]);
    assert_eq!(lab.state().size, size, "they are gone");
    lab.until(secs(200));
    instances(&mut lab, &[]);
    assert_eq!(lab.state().size, size, "word may still be late");
    lab.until(secs(280));
    instances(&mut lab, &[instance_of(&claims[0])]);
    assert!(lab.state().claims.contains_key(&"a".into()) && !lab.state().claims.contains_key(&"b".into()));
    lab.verify();
}

#[test]
fn a_claim_whose_object_vanished_is_removed_with_its_node() {
    let claims = [finished("a"), finished("b")];
    let mut lab = Lab::new(world(&claims));
    lab.until(secs(5));
    lab.take_orders();
    lab.see([Observation::NoNodeClaim("a".into())]);
    assert!(matches!(&lab.take_orders()[..], [Effect::Taint { .. }]));
    // While the controller was away, the other went the same way.
    let (log, state) = lab.controller.into_parts();
    let without = world(&claims).into_iter().filter(|one| !matches!(one, Observation::NodeClaim(_)));
    let mut lab = Lab::go_on(log, state, secs(6), without.collect());
    assert_eq!(removals(&lab), [DisruptionReason::Deleted; 2]);
    assert_eq!(lab.take_orders().len(), 2, "each node is to be marked");
    lab.verify();
}

#[test]
fn what_was_decided_and_a_claim_does_not_show_is_written_again() {
    let done = finished("theirs");
    let mut lab = Lab::new(world(std::slice::from_ref(&done)));
    lab.take_orders();
    let initialize = Effect::Initialize { claim: done.name.clone(), node: done.node.clone().unwrap() };
    let half = ClaimFacts { initialized: false, ..done.clone() };
    lab.see([seen(&half)]);
    assert!(lab.take_orders().contains(&initialize), "the cluster went back in time");
    lab.see([seen(&done)]);
    assert!(!lab.take_orders().contains(&initialize));
    let (log, state) = lab.controller.into_parts();
    let mut lab = Lab::go_on(log, state, secs(1), world(&[half]));
    assert!(lab.take_orders().contains(&initialize), "the one before was killed between two writes");
    lab.verify();
}

/// The API server's clock, of which claims have the time of their creation, may be ahead of ours or behind.
#[test]
fn claims_of_another_clock_have_as_much_time_as_any() {
    for skew in [-3_600, 3_600] {
        let created = secs(10_000 + skew);
        let asked = ClaimFacts { created, ..by_hand("asked") };
        let coming =
            ClaimFacts { created, registered: false, initialized: false, node: None, ..finished("coming") };
        let mut lab = Lab::new(world(&[]));
        lab.until(secs(10_000));
        lab.see([&asked, &coming].map(seen));
        lab.until(secs(10_299));
        assert_eq!(removals(&lab), [], "skew {skew}");
        lab.until(secs(10_300));
        assert_eq!(removals(&lab), [DisruptionReason::LaunchTimeout], "skew {skew}");
        lab.until(secs(10_899));
        assert_eq!(removals(&lab).len(), 1, "skew {skew}");
        lab.until(secs(10_900));
        assert_eq!(removals(&lab)[1..], [DisruptionReason::RegistrationTimeout], "skew {skew}");
        lab.verify();
    }
}

/// A claim with a pod on its node that is held there; it has so long for its removal, and its pod for its end.
fn held(grace: Option<Span>) -> (Lab, ClaimFacts) {
    let mut claim = finished("a");
    claim.template.termination_grace = grace;
    let held = PodSpec {
        do_not_disrupt: Some(DoNotDisrupt::Always),
        termination_grace: Some(Span::secs(5)),
        ..spec(100, 64)
    };
    let node = node_of(&claim).name;
    let pods = [bound("held", &held, &node)];
    let mut lab = Lab::new(world(std::slice::from_ref(&claim)).into_iter().chain(pods).collect());
    lab.until(Time(5_400_000));
    lab.take_orders();
    (lab, claim)
}

/// The deadlines of pods that are deleted.
fn forced(lab: &mut Lab) -> Vec<Option<Time>> {
    let of = |effect| match effect {
        Effect::Evict { force: true, deadline, .. } => Some(deadline),
        _ => None,
    };
    lab.take_orders().into_iter().filter_map(of).collect()
}

#[test]
fn a_claim_that_is_deleted_has_the_deadline_that_is_written_on_it() {
    let (mut lab, claim) = held(None);
    let now = lab.now;
    let size = lab.state().size;
    let written = ClaimFacts { deadline: Some(now), ..claim.clone() };
    lab.see([seen(&written)]);
    assert_eq!(lab.state().size, size, "it counts once the claim is deleted");
    lab.see([seen(&ClaimFacts { deleted: Some(now), ..written })]);
    lab.see([Observation::Tainted(claim.name.clone())]);
    let orders = lab.take_orders();
    let by = Some(now);
    assert!(
        matches!(&orders[..], [
            Effect::Taint { .. },
            Effect::Drain { deadline, .. },
            Effect::Evict { force: true, deadline: of_pod, .. },
        ] if *deadline == by && *of_pod == by),
        "{orders:?}"
    );
    lab.see([Observation::NoPod(PodKey::new("default", "held"))]);
    assert!(matches!(&lab.take_orders()[..], [Effect::Terminate { .. }]));
    lab.verify();
}

#[test]
fn the_earliest_deadline_counts_and_may_be_written_anew() {
    let (mut lab, claim) = held(Some(Span::secs(60)));
    let began = lab.now;
    let deleted = ClaimFacts { deleted: Some(began), ..claim.clone() };
    lab.see([seen(&deleted)]);
    lab.see([Observation::Tainted(claim.name.clone())]);
    let own = began + Span::secs(60);
    assert!(lab.take_orders().contains(&Effect::Drain { claim: claim.name.clone(), deadline: Some(own) }));
    let size = lab.state().size;
    let with = |deadline| seen(&ClaimFacts { deadline: Some(deadline), ..deleted.clone() });
    lab.see([with(secs(65))]);
    assert_eq!(lab.state().size, size, "this is what we have written there, to the second");

    for (deadline, forced_at) in [(began + Span::secs(600), None), (secs(30), None), (secs(40), Some(35))] {
        let size = lab.state().size;
        lab.see([with(deadline)]);
        assert_eq!(lab.state().size, size + 1);
        lab.see([with(deadline)]);
        assert_eq!(lab.state().size, size + 1, "it is known");
        if let Some(at) = forced_at {
            lab.until(secs(at - 1));
            assert_eq!(forced(&mut lab), []);
            lab.until(secs(at));
            assert_eq!(forced(&mut lab), [Some(deadline)]);
        }
    }
    let size = lab.state().size;
    lab.see([with(began + Span::secs(600))]);
    assert_eq!(lab.state().size, size + 1);
    assert_eq!(lab.state().claims[&claim.name].removal_deadline(), Some(own));
    lab.verify();
}
