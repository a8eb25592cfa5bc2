//! What the controller decides, seen from outside: observations in, records and orders out.

mod lab;

use lab::*;
use purser_engine::event::{Decision, Divergence, Event, LaunchFailure, Target};
use purser_engine::model::*;
use purser_engine::port::{Effect, Entry, Observation};
use purser_engine::reason::ReasonId;
use purser_engine::settings::Settings;
use purser_engine::state::Plan;
use std::collections::BTreeSet;
use std::sync::Arc;

#[test]
fn pods_that_come_together_share_the_cheapest_node_that_holds_them() {
    let mut lab = Lab::new(plain_world());
    let web = spec(900, 1024);
    lab.see([pending("a", &web)]);
    lab.until(Time(500_000));
    lab.see([pending("b", &web)]);
    assert!(lab.launches().is_empty(), "more pods may come");
    lab.until(secs(3));
    let launches = lab.launches();
    assert_eq!(launches.len(), 1);
    let (_, types, pods) = &launches[0];
    assert_eq!(types, &["small", "large"], "cheapest first");
    assert_eq!(*pods, 2);
    assert!(matches!(lab.take_orders()[..], [Effect::Launch(_)]));
    lab.verify();
}

#[test]
fn a_pod_joins_a_launch_that_is_under_way() {
    let mut lab = Lab::new(plain_world());
    lab.see([pending("a", &spec(500, 512))]);
    lab.until(secs(2));
    lab.see([pending("b", &spec(500, 512))]);
    lab.until(secs(4));
    assert_eq!(lab.launches().len(), 1);
    let claim = lab.launches()[0].0.clone();
    assert_eq!(lab.state().claims[&claim].planned.pods.len(), 2);
    lab.verify();
}

#[test]
fn pods_of_a_kind_take_each_others_places() {
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(pool("default"))]);
    let web = spec(1_500, 1024);
    lab.see([pending("a", &web), pending("b", &web)]);
    lab.until(secs(2));
    let nodes: Vec<_> = lab.launches().iter().map(|(claim, ..)| lab.ready(claim, "small")).collect();
    let of = |lab: &Lab, name: &str| lab.state().pods[&PodKey::new("default", name)].plan.clone();
    let (Plan::Nominated { target: of_a, .. }, before) = (of(&lab, "a"), of(&lab, "b")) else { panic!() };
    let Plan::Nominated { target: of_b, decision, .. } = before else { panic!() };
    assert_ne!(of_a, of_b);
    let node_of_b = &nodes[usize::from(of_b == Target::Claim(lab.launches()[1].0.clone()))];
    let decided = lab.decisions().len();
    // Kubernetes labels pods with the zone of their node.
    let here = PodSpec { labels: labels(&[(label::ZONE, "z1")]), ..web.clone() };
    lab.see([bound("a", &here, node_of_b)]);
    let Plan::Nominated { target, decision: after, .. } = of(&lab, "b") else { panic!() };
    assert_eq!(target, of_a, "b goes where a was expected");
    assert_ne!(after, decision, "by the decision for a");
    lab.until(secs(15));
    assert_eq!(divergences(&lab), [("a".to_owned(), Divergence::EqualPod)]);
    assert_eq!(lab.decisions().len(), decided + 1, "nothing is to be decided anew");
    // The other one is where it is expected by now.
    let node_of_a = nodes.iter().find(|node| *node != node_of_b).unwrap();
    lab.see([bound("b", &web, node_of_a)]);
    assert_eq!(divergences(&lab).len(), 1);
    lab.verify();
}

/// Who was bound otherwise than planned, as it was recorded.
fn divergences(lab: &Lab) -> Vec<(String, Divergence)> {
    let of = |decision| match decision {
        Decision::BindingDiverged { pod, how, .. } => Some((pod.name.to_string(), how)),
        _ => None,
    };
    lab.decisions().into_iter().filter_map(of).collect()
}

#[test]
fn pods_that_are_not_where_they_were_planned_are_on_record() {
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(pool("default"))]);
    let (web, job, huge) = (spec(1_500, 1024), spec(1_400, 1024), spec(64_000, 1024));
    lab.see([pending("web", &web), pending("job", &job), pending("huge", &huge)]);
    lab.until(secs(2));
    let nodes: Vec<_> = lab.launches().iter().map(|(claim, ..)| lab.ready(claim, "small")).collect();
    let planned = |lab: &Lab, name: &str| match &lab.state().pods[&PodKey::new("default", name)].plan {
        Plan::Nominated { target: Target::Claim(claim), .. } => {
            lab.state().claims[claim].node.clone().unwrap()
        }
        plan => panic!("{plan:?}"),
    };
    let (of_web, of_job) = (planned(&lab, "web"), planned(&lab, "job"));
    assert_eq!(BTreeSet::from([&of_web, &of_job]), nodes.iter().collect());
    lab.see([bound("web", &web, &of_web)]);
    assert_eq!(divergences(&lab), []);
    lab.see([bound("job", &job, &of_web)]);
    // One that came bound was planned nowhere.
    lab.see([bound("static", &spec(10, 10), &of_job)]);
    assert_eq!(divergences(&lab), [("job".to_owned(), Divergence::OtherNode)]);
    lab.see([bound("huge", &huge, &of_job)]);
    assert_eq!(divergences(&lab)[1..], [("huge".to_owned(), Divergence::NoPlace)]);
    let planned = |decision: &Decision| match decision {
        Decision::BindingDiverged { planned, .. } => Some(*planned),
        _ => None,
    };
    let by = lab.decisions().iter().rev().find_map(planned).unwrap();
    let record = lab.controller.journal().logged().into_iter().find(|record| record.seq == by).unwrap();
    assert!(matches!(record.event, Event::Decision(Decision::Unschedulable { .. })));
    // It is on record once, and a restart does not say it again.
    lab.until(secs(30));
    let (log, state) = lab.controller.into_parts();
    let lab = Lab::go_on(log, state, secs(31), Vec::new());
    assert_eq!(divergences(&lab).len(), 2);
    lab.verify();
}

#[test]
fn who_lost_his_place_to_a_newcomer_gets_another_one_soon() {
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(pool("default"))]);
    let web = spec(1_500, 1024);
    lab.see([pending("a", &web)]);
    lab.until(secs(2));
    let (claim, ..) = lab.launches()[0].clone();
    let node = lab.ready(&claim, "small");
    lab.see([bound("newcomer", &spec(300, 512), &node)]);
    lab.until(secs(4));
    assert_eq!(lab.launches().len(), 1, "there is room for both");
    lab.see([bound("another", &spec(300, 512), &node)]);
    lab.until(secs(6));
    assert_eq!(lab.launches().len(), 2, "there is none for three");
    lab.verify();
}

#[test]
fn the_time_that_the_scheduler_takes_is_within_the_window() {
    let windows = Settings { batch_idle: Span::millis(50), batch_max: Span::secs(1), ..Settings::default() };
    let at = |millis| Time(0) + Span::millis(millis);
    let tried = |name: &str| pending(name, &spec(100, 128));
    let untried = |name: &str| match tried(name) {
        Observation::Pod(pod) => Observation::Pod(PodFacts { phase: PodPhase::Untried, ..pod }),
        other => other,
    };
    // What is seen at which millisecond, and when the launch is for all of them.
    let launched_at = |seen: &[(i64, Observation)]| {
        let mut lab = Lab::new(plain_world());
        lab.see([Observation::Settings(windows.clone())]);
        for (millis, observation) in seen {
            lab.until(at(*millis));
            assert!(lab.launches().is_empty(), "{millis}");
            lab.see([observation.clone()]);
        }
        lab.until(secs(3));
        lab.verify();
        let records = lab.controller.journal().records.iter();
        let launch = |(time, _, entry): &(Time, bool, Entry)| match &entry.event {
            Event::Decision(Decision::Launch { pods, .. }) => {
                Some((time.since(Time(0)).0 / 1_000, pods.len()))
            }
            _ => None,
        };
        records.filter_map(launch).next()
    };
    let (a, b) = ("a", "b");
    assert_eq!(launched_at(&[(1, untried(a)), (26, tried(a))]), Some((51, 1)), "from when it was seen");
    assert_eq!(
        launched_at(&[(1, untried(a)), (91, tried(a))]),
        Some((91, 1)),
        "at once, as it was alone all the while"
    );
    assert_eq!(
        launched_at(&[(1, untried(a)), (300, tried(a))]),
        Some((350, 1)),
        "there are many before it: others come"
    );
    assert_eq!(
        launched_at(&[(1, untried(a)), (26, tried(a)), (40, untried(b)), (80, tried(b))]),
        Some((196, 2)),
        "one that has just come is waited for, and then as long as between the two"
    );
    assert_eq!(
        launched_at(&[(1, untried(a)), (26, tried(a)), (40, untried(b))]),
        Some((140, 1)),
        "but not for ever"
    );
}

#[test]
fn limits_hold_within_one_batch_and_across_batches() {
    let mut limited = pool("default");
    limited.limits = Limits { resources: vec![("cpu".into(), 9_000)], nodes: Some(3) };
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(limited)]);
    let full = spec(1_900, 1024);
    lab.see((0..10).map(|i| pending(&format!("p{i}"), &full)));
    lab.until(secs(2));
    assert_eq!(lab.launches().len(), 3, "limits.nodes is 3");
    let refused = lab.state().waiting().filter(|(_, pod)| matches!(&pod.plan, Plan::Unschedulable { reason, .. } if reason.id == ReasonId::LimitReached));
    assert_eq!(refused.count(), 7);
    lab.see((10..20).map(|i| pending(&format!("p{i}"), &full)));
    lab.until(secs(20));
    assert_eq!(lab.launches().len(), 3);
    lab.verify();
}

#[test]
fn without_capacity_the_next_offering_is_tried_and_the_first_again_later() {
    let mut lab = Lab::new(plain_world());
    lab.see([pending("a", &spec(1_000, 1024))]);
    lab.until(secs(2));
    let (claim, ..) = lab.launches()[0].clone();
    let dry = |instance_type: &str| {
        ["z1", "z2"].map(|zone| OfferingKey {
            instance_type: instance_type.into(),
            zone: zone.into(),
            capacity_type: CapacityType::OnDemand,
        })
    };
    let offerings = dry("small").into_iter().chain(dry("large")).collect();
    lab.see([Observation::LaunchFailed(claim, LaunchFailure::InsufficientCapacity { offerings })]);
    lab.until(secs(10));
    assert_eq!(lab.launches().len(), 1, "nothing has capacity");
    let reasons: Vec<_> = lab.state().waiting().map(|(_, pod)| pod.plan.clone()).collect();
    assert!(
        matches!(&reasons[..], [Plan::Unschedulable { reason, .. }] if reason.id == ReasonId::NoCapacity),
        "{reasons:?}"
    );
    lab.until(secs(200));
    assert_eq!(lab.launches().len(), 2, "asked again after three minutes");
    lab.verify();
}

#[test]
fn an_unknown_answer_is_asked_again_with_the_same_request_until_the_time_out() {
    let mut lab = Lab::new(plain_world());
    lab.see([pending("a", &spec(1_000, 1024))]);
    lab.until(secs(2));
    let first = lab.take_orders();
    let (claim, ..) = lab.launches()[0].clone();
    lab.see([Observation::LaunchFailed(
        claim.clone(),
        LaunchFailure::Unknown { message: "throttled".into() },
    )]);
    lab.until(secs(10));
    assert_eq!(lab.take_orders(), first, "the same request, byte for byte");
    lab.until(secs(400));
    assert!(!lab.state().claims.contains_key(&claim), "given up after five minutes");
    assert_eq!(lab.launches().len(), 2, "and launched anew");
    // The first one had started an instance after all.
    let late = lab.launched(&claim, "small");
    assert!(lab.state().orphans.contains_key(&late));
    lab.until(secs(500));
    assert!(lab.take_orders().contains(&Effect::Collect { instance: late }));
    lab.verify();
}

/// A node of such a pool with a pod `a` on it, and the spec of that.
fn with_a_pod_on_a_node(pool: NodePool) -> (Lab, PodSpec, ClaimName, NodeName) {
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(pool)]);
    let web = spec(1_000, 1024);
    lab.see([pending("a", &web)]);
    lab.until(secs(2));
    let (claim, ..) = lab.launches()[0].clone();
    let node = lab.ready(&claim, "small");
    lab.see([bound("a", &web, &node)]);
    (lab, web, claim, node)
}

#[test]
fn an_empty_node_goes_after_its_time_and_a_node_that_a_pod_came_to_stays() {
    let mut quick = pool("default");
    quick.disruption.consolidate_after = Some(Span::secs(30));
    let (mut lab, web, claim, node) = with_a_pod_on_a_node(quick);
    lab.until(secs(100));
    assert!(lab.state().claims[&claim].disrupting.is_none());
    lab.see([Observation::NoPod(PodKey::new("default", "a"))]);
    lab.take_orders();
    lab.until(secs(129));
    assert!(lab.state().claims[&claim].disrupting.is_none(), "29 s empty");
    lab.until(secs(131));
    let reason = DisruptionReason::Empty;
    assert_eq!(lab.take_orders(), [Effect::Taint { claim: claim.clone(), node: node.clone(), reason }]);
    // The scheduler was faster than the mark.
    lab.see([bound("b", &web, &node)]);
    lab.see([Observation::Tainted(claim.clone())]);
    assert_eq!(lab.take_orders(), [Effect::Untaint { claim: claim.clone(), node: node.clone() }]);
    lab.see([Observation::NoPod(PodKey::new("default", "b"))]);
    lab.until(secs(200));
    // Or had chosen the node before it saw the mark.
    lab.see([Observation::Tainted(claim.clone())]);
    assert!(matches!(lab.take_orders()[..], [Effect::Taint { .. }]));
    lab.until(Time(200_900_000));
    lab.see([bound("c", &web, &node)]);
    assert_eq!(lab.take_orders(), [Effect::Untaint { claim: claim.clone(), node: node.clone() }]);
    lab.see([Observation::NoPod(PodKey::new("default", "c"))]);
    lab.until(secs(300));
    lab.see([Observation::Tainted(claim.clone())]);
    lab.until(secs(302));
    let orders = lab.take_orders();
    assert!(
        matches!(
            &orders[..],
            [Effect::Taint { .. }, Effect::Drain { .. }, Effect::Terminate { instance: Some(_), .. }]
        ),
        "{orders:?}"
    );
    lab.verify();
}

#[test]
fn an_empty_node_stays_while_it_is_not_decided_where_pods_go() {
    let mut quick = pool("default");
    quick.disruption.consolidate_after = Some(Span::ZERO);
    let (mut lab, web, claim, _) = with_a_pod_on_a_node(quick);
    lab.take_orders();
    lab.see([Observation::NoPod(PodKey::new("default", "a")), pending("b", &web)]);
    lab.until(secs(4));
    assert_eq!(lab.take_orders(), []);
    assert!(lab.state().claims[&claim].planned.pods.iter().eq([&PodKey::new("default", "b")]));
    lab.see([Observation::NoPod(PodKey::new("default", "b"))]);
    assert!(matches!(lab.take_orders()[..], [Effect::Taint { .. }]));
    lab.verify();
}

#[test]
fn budgets_hold_at_once_and_across_evaluations() {
    let mut careful = pool("default");
    careful.disruption.budgets = vec![Budget { reasons: None, nodes: BudgetNodes::Count(1), schedule: None }];
    let mut lab = Lab::new(vec![instance_type("small", 2, 8, 100), has_pool(careful)]);
    let full = spec(1_900, 1024);
    lab.see((0..3).map(|i| pending(&format!("p{i}"), &full)));
    lab.until(secs(2));
    for (i, (claim, ..)) in lab.launches().into_iter().enumerate() {
        let node = lab.ready(&claim, "small");
        lab.see([bound(&format!("p{i}"), &full, &node)]);
    }
    lab.see((0..3).map(|i| Observation::NoPod(PodKey::new("default", format!("p{i}")))));
    lab.until(secs(60));
    lab.see([Observation::NoPod(PodKey::new("default", "other"))]);
    let leaving = lab.state().claims.values().filter(|claim| claim.disrupting.is_some()).count();
    assert_eq!(leaving, 1);
    lab.verify();
}

#[test]
fn an_expired_node_is_drained_before_its_instance_stops() {
    let mut short = pool("default");
    short.template.expire_after = Some(Span::hours(1));
    let (mut lab, _, claim, _) = with_a_pod_on_a_node(short);
    lab.take_orders();
    lab.until(secs(3_700));
    assert!(matches!(&lab.take_orders()[..], [Effect::Taint { .. }]));
    lab.see([Observation::Tainted(claim.clone())]);
    assert!(matches!(&lab.take_orders()[..], [Effect::Drain { .. }, Effect::Evict { force: false, .. }]));
    lab.see([Observation::EvictionBlocked(PodKey::new("default", "a"), "default/web".into())]);
    lab.until(secs(3_710));
    assert!(matches!(&lab.take_orders()[..], [Effect::Evict { .. }, ..]), "asked again");
    lab.see([Observation::NoPod(PodKey::new("default", "a"))]);
    assert!(matches!(&lab.take_orders()[..], [Effect::Terminate { .. }]));
    lab.see([Observation::NoInstance(InstanceId::new(format!("i-{claim}")))]);
    assert!(lab.state().claims.is_empty());
    lab.verify();
}

#[test]
fn a_pod_without_a_place_is_told_the_nearest_miss_once() {
    let mut gpu = pool("gpu");
    gpu.template.taints =
        vec![Taint { key: "gpu".into(), value: "".into(), effect: TaintEffect::NoSchedule }];
    let mut world = plain_world();
    world.push(has_pool(gpu));
    let mut lab = Lab::new(world);
    lab.see([
        pending("huge", &spec(64_000, 1024)),
        pending("picky", &PodSpec { node_selector: labels(&[("disk", "ssd")]), ..spec(100, 100) }),
    ]);
    lab.until(secs(30));
    let reasons: Vec<(String, ReasonId)> = lab
        .decisions()
        .iter()
        .filter_map(|d| {
            if let Decision::Unschedulable { pods, reason } = d {
                Some((pods[0].name.to_string(), reason.id))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        reasons,
        [("huge".into(), ReasonId::TooLarge), ("picky".into(), ReasonId::RequirementsConflict)]
    );
    let mut labelled = pool("ssd");
    labelled.template.labels = labels(&[("disk", "ssd")]);
    lab.see([has_pool(labelled)]);
    lab.until(secs(40));
    assert_eq!(lab.launches().len(), 1, "a new pool gives the second a place");
    lab.verify();
}

#[test]
fn a_cap_per_node_by_spread_is_kept() {
    let mut lab = Lab::new(plain_world());
    let app = labels(&[("app", "x")]);
    let capped = PodSpec {
        labels: app.clone(),
        spread: vec![TopologySpread {
            topology_key: label::HOSTNAME.into(),
            max_skew: 2,
            min_domains: Some(i32::MAX as u32),
            when_unsatisfiable: Unsatisfiable::DoNotSchedule,
            selector: LabelSelector::from(&app),
            node_affinity_policy: SpreadPolicy::Honor,
            node_taints_policy: SpreadPolicy::Ignore,
        }],
        ..spec(100, 100)
    };
    lab.see((0..5).map(|i| pending(&format!("p{i}"), &capped)));
    lab.until(secs(2));
    let mut sizes: Vec<usize> = lab.launches().into_iter().map(|(_, _, pods)| pods).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 2]);
    lab.verify();
}

#[test]
fn without_space_nothing_is_decided_and_nothing_is_forgotten() {
    let mut lab = Lab::new(plain_world());
    lab.controller.journal_mut().full = true;
    lab.see([pending("a", &spec(1_000, 1024))]);
    lab.see([pending("b", &spec(1_000, 1024))]);
    lab.see([Observation::NoPod(PodKey::new("default", "a"))]);
    assert!(lab.state().pods.is_empty() && lab.take_orders().is_empty());
    lab.controller.journal_mut().full = false;
    lab.now = secs(5);
    lab.see([]);
    assert_eq!(lab.state().pods.len(), 1, "b waits, a is gone");
    lab.until(secs(10));
    assert_eq!(lab.launches().len(), 1);
    lab.verify();
}

#[test]
fn what_was_decided_but_not_recorded_leaves_no_trace() {
    let mut lab = Lab::new(plain_world());
    let (web, big, tiny) = (spec(1_000, 1024), spec(800, 100), spec(300, 100));
    lab.see([pending("web", &web)]);
    lab.until(secs(2));
    let (claim, ..) = lab.launches()[0].clone();
    let node = lab.ready(&claim, "small");
    lab.see([bound("web", &web, &node)]);
    lab.controller.journal_mut().full_for_decisions = true;
    // The node takes the big one, so the tiny one would need another.
    lab.see([pending("big", &big), pending("tiny", &tiny)]);
    lab.until(secs(4));
    lab.see([Observation::NoPod(PodKey::new("default", "big"))]);
    lab.controller.journal_mut().full_for_decisions = false;
    lab.now = secs(5);
    lab.see([]);
    lab.until(secs(10));
    assert_eq!(lab.launches().len(), 1, "the tiny one has a place on the node");
    lab.verify();
}

#[test]
fn pods_do_not_wait_for_ever_for_a_node_that_is_never_set_up() {
    let mut lab = Lab::new(plain_world());
    let web = spec(1_000, 1024);
    lab.see([pending("a", &web)]);
    lab.until(secs(2));
    let (claim, ..) = lab.launches()[0].clone();
    let instance = lab.launched(&claim, "small");
    let node = lab.node(&claim, &instance, "small");
    lab.see([Observation::Node(node)]);
    assert!(lab.state().claims[&claim].registered.is_some());
    lab.until(secs(29 * 60));
    assert_eq!(lab.launches().len(), 1, "it may still come");
    lab.until(secs(31 * 60));
    assert_eq!(lab.launches().len(), 2, "the pod gets another node");
    let removal = lab.state().claims[&claim].disrupting.as_ref().map(|removal| removal.reason);
    assert_eq!(removal, Some(DisruptionReason::Unhealthy), "it is of no use to anybody");
    lab.verify();
}

#[test]
fn a_type_too_small_for_its_daemon_pods_is_not_launched() {
    let mut world = plain_world();
    world.push(Observation::DaemonSet(PodKey::new("kube-system", "agent"), Arc::new(spec(100, 10 << 10))));
    let mut lab = Lab::new(world);
    // It asks for none of what the daemon pod has too much of.
    let idle = PodSpec { requests: [("cpu", 100)].into_iter().collect(), ..spec(0, 0) };
    lab.see([pending("a", &idle)]);
    lab.until(secs(2));
    let launches: Vec<Vec<String>> = lab.launches().into_iter().map(|(_, types, _)| types).collect();
    assert_eq!(launches, [["large"]], "small has 8 GiB");
    lab.verify();
}

#[test]
fn a_node_that_came_and_went_leaves_nothing_behind() {
    let mut lab = Lab::new(plain_world());
    let web = spec(1_000, 1024);
    lab.see([pending("web", &web)]);
    lab.until(secs(2));
    let (claim, ..) = lab.launches()[0].clone();
    let node = lab.ready(&claim, "small");
    lab.see([bound("web", &web, &node)]);
    lab.see([Observation::NoPod(PodKey::new("default", "web"))]);
    assert!(lab.state().occupancy(&node).is_some());
    lab.see([Observation::NoNode(node.clone())]);
    assert!(lab.state().occupancy(&node).is_none());
    lab.verify();
}

#[test]
fn a_restart_goes_on_where_it_was_and_asks_again_for_what_has_no_answer() {
    let mut lab = Lab::new(plain_world());
    let web = spec(1_000, 1024);
    lab.see([pending("a", &web)]);
    lab.until(secs(2));
    let asked = lab.take_orders();
    let (log, state) = lab.controller.into_parts();
    let mut world = plain_world();
    world.push(pending("a", &web));
    let mut lab = Lab::go_on(log, state, secs(3), world);
    assert_eq!(lab.take_orders(), asked);
    assert_eq!(lab.launches().len(), 1);
    lab.until(secs(60));
    assert_eq!(lab.launches().len(), 1);
    lab.verify();
}

#[test]
fn what_a_restart_does_not_find_is_gone() {
    let mut lab = Lab::new(plain_world());
    let web = spec(1_000, 1024);
    lab.see([pending("a", &web), pending("b", &web)]);
    lab.until(secs(2));
    let (claim, ..) = lab.launches()[0].clone();
    let node = lab.ready(&claim, "small");
    lab.see([bound("a", &web, &node), bound("b", &web, &node)]);
    let (log, state) = lab.controller.into_parts();
    let mut world = plain_world();
    world.push(Observation::DaemonSet(PodKey::new("kube-system", "agent"), Arc::new(spec(100, 100))));
    let mut lab = Lab::go_on(log, state, secs(1_000), world);
    assert!(lab.state().pods.is_empty() && lab.state().nodes.is_empty());
    // What is left of the claim is removed; then it is gone too.
    let orders = lab.take_orders();
    let [Effect::Terminate { instance: Some(instance), .. }] = &orders[..] else { panic!("{orders:?}") };
    lab.see([Observation::NoInstance(instance.clone())]);
    assert!(lab.state().claims.is_empty());
    assert_eq!(lab.state().daemon_sets.len(), 1);
    lab.verify();
}
