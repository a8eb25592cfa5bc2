//! Pods, workloads, budgets and daemon sets.

use std::collections::BTreeSet;
use std::sync::Arc;

use purser_engine::model::*;
use purser_engine::port::{Effect, Observation};
use purser_sim::keyed::Delay;
use purser_sim::scenario::*;
use purser_sim::{Faults, Scenario, Violation};

use crate::common::*;

fn budget(app: &str, threshold: Threshold) -> DisruptionBudget {
    DisruptionBudget {
        key: PodKey::new("default", app),
        selector: LabelSelector::from(&Labels::from([("app".into(), app.into())])),
        threshold,
        always_allow_unhealthy: false,
    }
}

fn with_service(replicas: u32) -> Scenario {
    let mut small = scenario();
    small.workloads.push(service("web", spec("web", 500), replicas));
    small
}

fn taint(node: &NodeName) -> Effect {
    Effect::Taint { claim: "a".into(), node: node.clone(), reason: DisruptionReason::Deleted }
}

fn evict(hand: &mut Hand, pod: &PodFacts, force: bool) {
    hand.order(Effect::Evict { pod: pod.key.clone(), uid: pod.uid, force, deadline: None });
}

#[test]
fn an_evicted_pod_is_made_again_under_another_name() {
    let mut hand = Hand::new(with_service(2), Faults::none());
    hand.node("a", CapacityType::Spot);
    let pods = hand.pods();
    evict(&mut hand, &pods[0], false);
    evict(&mut hand, &pods[0], false);
    hand.until(Span::secs(181));
    let phases: Vec<_> = hand.pods().iter().map(|pod| pod.phase).collect();
    assert_eq!(phases, [PodPhase::Terminating, PodPhase::Bound, PodPhase::Bound]);
    hand.until(Span::mins(5));
    let after: BTreeSet<_> = hand.pods().into_iter().map(|pod| pod.key).collect();
    assert!(after.len() == 2 && after.contains(&pods[1].key) && !after.contains(&pods[0].key));
    assert!(
        pods[0].key.name.starts_with("web-")
            && pods[0].key.name.rsplit('-').next().is_some_and(|end| end.len() == 5)
    );
    let report = hand.world.report(hand.world.now());
    assert_eq!((report.evictions, report.pods_created, report.pods_lost), (1, 3, 0));
    // Gone already: said again.
    evict(&mut hand, &pods[0], false);
    assert_eq!(hand.until(Span::mins(6)), [Observation::NoPod(pods[0].key.clone())]);
}

#[test]
fn an_eviction_is_refused_when_the_budget_has_no_room() {
    let mut small = with_service(4);
    small.budgets.push(budget("web", Threshold::MaxUnavailable(Amount::Percent(25))));
    let mut hand = Hand::new(small, Faults { pod_start: Delay::fixed(Span::secs(20)), ..Faults::none() });
    hand.node("a", CapacityType::Spot);
    let allowed = |hand: &Hand| {
        hand.told.iter().rev().find_map(|(_, input)| match &input.observation {
            Observation::DisruptionBudget { disruptions_allowed, .. } => Some(*disruptions_allowed),
            _ => None,
        })
    };
    hand.until(Span::mins(4));
    assert_eq!(allowed(&hand), Some(1));
    let pods = hand.pods();
    evict(&mut hand, &pods[0], false);
    evict(&mut hand, &pods[1], false);
    let seen = hand.until(Span::secs(245));
    assert!(seen.contains(&Observation::EvictionBlocked(pods[1].key.clone(), "default/web".into())));
    assert_eq!(allowed(&hand), Some(0));
    hand.until(Span::mins(6));
    assert_eq!(allowed(&hand), Some(1));
    let report = hand.world.report(hand.world.now());
    assert_eq!((report.evictions, report.refused_evictions), (1, 1));
    assert_eq!(hand.world.check(hand.world.now(), None), Ok(()));
    assert_eq!(hand.world.audit(), Ok(()));
}

#[test]
fn taking_a_node_away_under_protected_pods_is_noticed() {
    let mut small = with_service(2);
    small.budgets.push(budget("web", Threshold::MinAvailable(Amount::Count(2))));
    let mut held = spec("held", 100);
    held.do_not_disrupt = Some(DoNotDisrupt::Always);
    small.workloads.push(service("held", held, 1));
    let mut hand = Hand::new(small, Faults::none());
    hand.node("a", CapacityType::Spot);
    hand.until(Span::mins(5));
    let held = hand.pods().into_iter().find(|pod| pod.key.name.starts_with("held")).unwrap();
    evict(&mut hand, &held, true);
    hand.until(Span::mins(6));
    let violation = hand.world.check(hand.world.now(), None).unwrap_err();
    assert!(matches!(violation, Violation::ForcedTooEarly { .. }), "{violation}");
    let held = hand.pods().into_iter().find(|pod| pod.key.name.starts_with("held")).unwrap();
    evict(&mut hand, &held, false);
    hand.order(Effect::Terminate { claim: "a".into(), instance: None, node: None, attached: 0 });
    hand.until(Span::mins(8));
    let found: Vec<_> = std::iter::from_fn(|| hand.world.check(hand.world.now(), None).err())
        .map(|v| v.to_string())
        .collect();
    assert_eq!(found.iter().filter(|text| text.contains("do-not-disrupt")).count(), 1, "{found:?}");
    assert_eq!(found.iter().filter(|text| text.contains("budget default/web")).count(), 2, "{found:?}");
}

#[test]
fn a_deadline_makes_force_right() {
    let mut small = with_service(1);
    let mut graceful = pool();
    graceful.template.termination_grace = Some(Span::mins(10));
    small.pools = vec![Arc::new(graceful)];
    let mut hand = Hand::new(small, Faults::none());
    let node = hand.node("a", CapacityType::Spot);
    let tainted = hand.order(taint(&node.name));
    hand.until(Span::mins(14));
    let answer =
        hand.told.iter().find(|(_, input)| input.observation == Observation::Tainted("a".into())).unwrap();
    assert_eq!(answer.1.cause, Some(tainted));
    assert!(hand.node_of("a").unwrap().taints.contains(&Taint::disrupted()));
    let pod = hand.pods().remove(0);
    evict(&mut hand, &pod, true);
    hand.until(Span::mins(15));
    assert_eq!(hand.world.check(hand.world.now(), None), Ok(()));
    assert_eq!(hand.pods()[0].phase, PodPhase::Pending, "the mark keeps the new one away");
    hand.order(Effect::Untaint { claim: "a".into(), node: node.name });
    hand.order(taint(&"nowhere".into()));
    let seen = hand.until(Span::mins(16));
    assert_eq!(hand.pods()[0].phase, PodPhase::Bound);
    assert!(
        seen.iter().any(|seen| matches!(seen, Observation::EffectFailed(claim, _) if claim.as_str() == "a"))
    );
}

#[test]
fn services_scale_and_roll_out() {
    let mut small = scenario();
    let larger = Arc::new(spec("web", 600));
    small.workloads.push(Workload {
        namespace: "default".into(),
        name: "web".into(),
        spec: Arc::new(spec("web", 500)),
        kind: WorkloadKind::Service {
            replicas: vec![
                (START - Span::hours(1), 9),
                (START, 2),
                (START + Span::mins(10), 4),
                (START + Span::mins(20), 1),
            ],
            rollouts: vec![(START + Span::mins(15), Arc::clone(&larger))],
            ordinals: false,
        },
    });
    let mut hand = Hand::new(small, Faults::none());
    hand.node("a", CapacityType::Spot);
    assert_eq!(hand.pods().len(), 2);
    hand.until(Span::mins(14));
    assert_eq!(hand.pods().len(), 4);
    hand.until(Span::mins(19));
    let pods = hand.pods();
    assert!(
        pods.len() == 4 && pods.iter().all(|pod| pod.spec == larger && pod.phase == PodPhase::Bound),
        "{pods:?}"
    );
    hand.until(Span::mins(25));
    assert_eq!(hand.pods().len(), 1);
    assert_eq!(hand.world.audit(), Ok(()));
}

#[test]
fn numbered_pods_keep_their_names() {
    let mut small = scenario();
    let mut store = service("store", PodSpec { owner: OwnerKind::StatefulSet, ..spec("store", 500) }, 3);
    let larger = Arc::new(PodSpec { owner: OwnerKind::StatefulSet, ..spec("store", 600) });
    if let WorkloadKind::Service { ordinals, rollouts, .. } = &mut store.kind {
        *ordinals = true;
        rollouts.push((START + Span::mins(10), Arc::clone(&larger)));
    }
    small.workloads.push(store);
    let mut hand = Hand::new(small, Faults::none());
    hand.node("a", CapacityType::Spot);
    hand.until(Span::mins(5));
    let before = hand.pods();
    let names = |pods: &[PodFacts]| pods.iter().map(|pod| pod.key.name.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(names(&before), BTreeSet::from(["store-0".into(), "store-1".into(), "store-2".into()]));
    evict(&mut hand, &before[1], false);
    hand.until(Span::mins(8));
    let after = hand.pods();
    assert_eq!(names(&after), names(&before));
    let uid = |pods: &[PodFacts]| pods.iter().find(|pod| &*pod.key.name == "store-1").unwrap().uid;
    assert_ne!(uid(&before), uid(&after));
    hand.until(Span::mins(15));
    assert!(hand.pods().iter().all(|pod| pod.spec == larger));
}

#[test]
fn a_lost_run_starts_again_and_a_finished_one_ends() {
    let mut small = scenario();
    let mut jobs = batch("job", spec("job", 500), 5, Span::mins(10));
    if let WorkloadKind::Batch { parallelism, linger, .. } = &mut jobs.kind {
        *parallelism = Some(2);
        *linger = Span::secs(30);
    }
    small.workloads.push(jobs);
    let mut hand = Hand::new(small, Faults::none());
    hand.node("a", CapacityType::Spot);
    let pods = hand.pods();
    assert_eq!(pods.len(), 2);
    evict(&mut hand, &pods[0], false);
    hand.until(Span::hours(2));
    assert_eq!(hand.pods(), []);
    assert!(hand.told.iter().any(
        |(_, input)| matches!(&input.observation, Observation::Pod(pod) if pod.phase == PodPhase::Ended)
    ));
    let report = hand.world.report(hand.world.now());
    assert_eq!((report.pods_created, report.pods_completed, report.pods_lost), (6, 5, 0));
    assert_eq!(report.ran.len(), 6);
    let full = report.ran.iter().filter(|ran| ran.end.since(ran.start) == Span::mins(10)).count();
    assert_eq!(full, 5, "the lost one ran in full afterwards");
    assert!(report.ran.iter().all(|ran| report.specs[ran.class as usize].requests.cpu_millis == 500));
}

#[test]
fn daemon_sets_run_where_they_are_tolerated() {
    let mut small = with_service(2);
    let tolerant = PodSpec {
        owner: OwnerKind::DaemonSet,
        tolerations: vec![Toleration {
            key: None,
            operator: TolerationOperator::Exists,
            value: "".into(),
            effect: None,
        }],
        ..spec("agent", 100)
    };
    let strict = PodSpec { owner: OwnerKind::DaemonSet, ..spec("strict", 100) };
    small.daemon_sets.push(DaemonSet { key: PodKey::new("kube-system", "agent"), spec: Arc::new(tolerant) });
    small.daemon_sets.push(DaemonSet { key: PodKey::new("kube-system", "strict"), spec: Arc::new(strict) });
    small.changes.push((START + Span::mins(30), Change::NoDaemonSet(PodKey::new("kube-system", "strict"))));
    let mut hand = Hand::new(small, Faults::none());
    hand.launch("a");
    hand.until(Span::mins(2));
    let daemons = |hand: &mut Hand| {
        let pods = hand.pods().into_iter().filter(|pod| pod.spec.is_daemon());
        pods.map(|pod| pod.key.name.split('-').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(daemons(&mut hand), ["agent"], "the other one does not tolerate the mark of the unregistered");
    let node = hand.node_of("a").unwrap().name;
    hand.order(Effect::Register { claim: "a".into(), node });
    hand.until(Span::mins(3));
    assert_eq!(daemons(&mut hand), ["agent", "strict"]);
    hand.until(Span::mins(40));
    assert_eq!(daemons(&mut hand), ["agent"]);
    assert_eq!(hand.world.report(hand.world.now()).pods_created, 2, "daemon pods are not counted");
    assert_eq!(hand.world.audit(), Ok(()));
}

#[test]
fn pods_that_fit_nothing_are_said_to() {
    let mut small = scenario();
    small.workloads.push(service("whale", spec("whale", 64_000), 3));
    let mut elsewhere = spec("elsewhere", 100);
    elsewhere.node_selector.insert("team".into(), "b".into());
    small.workloads.push(service("elsewhere", elsewhere, 1));
    let mut hand = Hand::new(small, Faults::none());
    hand.until(Span::mins(10));
    assert!(hand.world.is_settled(), "nothing could help them");
    let report = hand.world.report(hand.world.now());
    let reasons: Vec<_> = report.never_ran.iter().map(|(why, count)| (why.as_str(), *count)).collect();
    assert_eq!(
        reasons,
        [("fits no instance type", 3), ("no NodePool and instance type meet its requirements", 1)]
    );
    assert_eq!(report.pending_max, Span::ZERO);
}

#[test]
fn namespaces_and_volume_claims_are_told_of_when_they_change() {
    let mut small = scenario();
    let shop = || Str::from("shop");
    let data = || PodKey::new("shop", "data");
    let team = |team: &str| Labels::from([("team".into(), team.into())]);
    let usable = VolumeClaim { driver: "ebs.csi.aws.com".into(), ..VolumeClaim::default() };
    let lost = VolumeClaim { problem: Some("has lost its volume".into()), ..usable.clone() };
    small.namespaces.insert(shop(), team("web"));
    small.volume_claims.insert(data(), usable.clone());
    let at = |secs| START + Span::secs(secs);
    small.changes = vec![
        (at(10), Change::Namespace(shop(), team("data"))),
        (at(20), Change::VolumeClaim(data(), lost.clone())),
        (at(30), Change::NoVolumeClaim(data())),
        (at(40), Change::NoNamespace(shop())),
    ];
    let mut hand = Hand::new(small, Faults::none());
    let listed: Vec<_> = hand
        .world
        .list(START)
        .into_iter()
        .filter(|one| matches!(one, Observation::Namespace(..) | Observation::VolumeClaim(..)))
        .collect();
    assert_eq!(
        listed,
        [Observation::Namespace(shop(), team("web")), Observation::VolumeClaim(data(), usable)]
    );
    assert_eq!(
        hand.until(Span::secs(60)),
        [
            Observation::Namespace(shop(), team("data")),
            Observation::VolumeClaim(data(), lost),
            Observation::NoVolumeClaim(data()),
            Observation::NoNamespace(shop()),
        ]
    );
}
