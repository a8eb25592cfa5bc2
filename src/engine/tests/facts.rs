//! Facts about what pods depend on beside nodes and pools: how they come into State, and how they leave it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;

use lab::*;
use purser_engine::event::{Event, Fact, Target};
use purser_engine::model::*;
use purser_engine::port::Observation;
use purser_engine::settings::{MinValuesPolicy, PreferencePolicy, Settings};

fn namespace(team: &str) -> Observation {
    Observation::Namespace("shop".into(), labels(&[("team", team)]))
}

fn claim(problem: Option<&str>) -> Observation {
    let zone = [(Str::from(label::ZONE), Requirement::one_of([Str::from("z1")]))];
    let facts = VolumeClaim {
        topologies: vec![zone.into_iter().collect()],
        driver: "ebs.csi.aws.com".into(),
        problem: problem.map(Str::from),
    };
    Observation::VolumeClaim(PodKey::parse("shop/data"), facts)
}

fn limits(most: u32) -> Observation {
    let limits = [("ebs.csi.aws.com".into(), Some(most)), ("efs.csi.aws.com".into(), None)].into();
    Observation::VolumeLimits { node: "n".into(), limits }
}

fn attachment(node: &str) -> Observation {
    let claim = Some(PodKey::parse("shop/data"));
    let attachment = VolumeAttachment { node: node.into(), volume: "pv".into(), claim };
    Observation::VolumeAttachment("csi".into(), attachment)
}

fn volumes_of(lab: &Lab, node: &str) -> usize {
    lab.state().attachments(&node.into()).count()
}

fn node() -> Observation {
    Observation::Node(NodeFacts {
        name: "n".into(),
        instance: None,
        labels: Default::default(),
        taints: Vec::new(),
        allocatable: requests(4_000, 8_192),
        ready: true,
        unschedulable: false,
        do_not_disrupt: false,
        created: Time(0),
        deleting: false,
    })
}

fn world() -> Vec<Observation> {
    let objects = [namespace("web"), claim(None), node(), limits(26), attachment("n")];
    plain_world().into_iter().chain(objects).collect()
}

fn facts_since(lab: &Lab, size: u64) -> Vec<Fact> {
    let records = lab.controller.journal().records.iter().skip(size as usize);
    let fact = |event: &Event| if let Event::Fact(fact) = event { Some(fact.clone()) } else { None };
    records.filter_map(|(_, _, entry)| fact(&entry.event)).collect()
}

#[test]
fn what_is_known_makes_no_record_and_what_changed_makes_one() {
    let mut lab = Lab::new(world());
    let before = lab.state().size;
    lab.see([namespace("web"), claim(None), limits(26), attachment("n")]);
    assert_eq!(lab.state().size, before);
    lab.see([namespace("data"), claim(Some("is being deleted")), limits(20), attachment("m")]);
    let facts = facts_since(&lab, before);
    assert!(
        matches!(
            &facts[..],
            [
                Fact::NamespaceObserved { .. },
                Fact::VolumeClaimObserved { .. },
                Fact::VolumeLimitsObserved { .. },
                Fact::VolumeAttachmentObserved { .. }
            ]
        ),
        "{facts:?}"
    );
    let state = lab.state();
    assert_eq!(state.namespaces[&Str::from("shop")], labels(&[("team", "data")]));
    assert_eq!(state.volume_limits[&NodeName::from("n")][&Str::from("ebs.csi.aws.com")], Some(20));
    assert_eq!((volumes_of(&lab, "n"), volumes_of(&lab, "m")), (0, 1), "it is attached to another node now");
    let claim = &state.volume_claims[&PodKey::parse("shop/data")];
    assert_eq!((&*claim.driver, claim.problem.as_deref()), ("ebs.csi.aws.com", Some("is being deleted")));
    lab.verify();
}

#[test]
fn what_is_gone_leaves_and_what_was_never_there_makes_no_record() {
    let mut lab = Lab::new(world());
    let absent = || {
        [
            Observation::NoNamespace("shop".into()),
            Observation::NoVolumeClaim(PodKey::parse("shop/data")),
            Observation::NoVolumeLimits("n".into()),
            Observation::NoVolumeAttachment("csi".into()),
        ]
    };
    lab.see(absent());
    let state = lab.state();
    assert!(state.namespaces.is_empty() && state.volume_claims.is_empty() && state.volume_limits.is_empty());
    assert!(state.volume_attachments.is_empty() && volumes_of(&lab, "n") == 0);
    let before = state.size;
    lab.see(absent());
    assert_eq!(lab.state().size, before);
    lab.verify();
}

#[test]
fn a_full_list_says_what_is_gone() {
    let mut lab = Lab::new(world());
    let before = lab.state().size;
    let now = lab.now;
    lab.controller.relist(now, world()).unwrap();
    assert_eq!(lab.state().size, before, "nothing differs");
    lab.controller.relist(now, plain_world().into_iter().chain([node()]).collect()).unwrap();
    let state = lab.state();
    assert!(state.namespaces.is_empty() && state.volume_claims.is_empty() && state.volume_limits.is_empty());
    assert!(state.volume_attachments.is_empty());
    assert_eq!(facts_since(&lab, before).len(), 4);
    lab.verify();
}

#[test]
fn of_what_waited_for_space_only_the_last_is_recorded() {
    let mut lab = Lab::new(world());
    let before = lab.state().size;
    lab.controller.journal_mut().full = true;
    for round in 0..20 {
        let gone = [Observation::NoNamespace("shop".into()), Observation::NoVolumeLimits("n".into())];
        lab.see(gone);
        lab.see([Observation::NoVolumeAttachment("csi".into()), attachment(&format!("node-{round}"))]);
        lab.see([namespace("late"), claim(Some(&format!("problem {round}"))), limits(round)]);
    }
    lab.controller.journal_mut().full = false;
    lab.see([]);
    assert_eq!(facts_since(&lab, before).len(), 4);
    assert_eq!(lab.state().namespaces[&Str::from("shop")], labels(&[("team", "late")]));
    lab.verify();
}

#[test]
fn whoever_remembers_what_there_was_learns_of_the_change() {
    let mut lab = Lab::new(world());
    let last_change = |lab: &Lab| lab.state().offers_changed.max(lab.state().supply_changed);
    let mut offers = last_change(&lab);
    let spread = TopologySpread {
        topology_key: label::ZONE.into(),
        max_skew: 3,
        min_domains: None,
        when_unsatisfiable: Unsatisfiable::ScheduleAnyway,
        selector: LabelSelector::default(),
        node_affinity_policy: SpreadPolicy::Honor,
        node_taints_policy: SpreadPolicy::Ignore,
    };
    let ignoring = Settings {
        preference_policy: PreferencePolicy::Ignore,
        min_values_policy: MinValuesPolicy::BestEffort,
        default_spread: vec![spread],
        ..Settings::default()
    };
    for changed in [namespace("data"), claim(Some("has lost its volume")), Observation::Settings(ignoring)] {
        lab.see([changed.clone()]);
        assert!(last_change(&lab) > offers, "{changed:?}");
        offers = last_change(&lab);
    }
    let size = lab.state().size;
    lab.see([limits(3)]);
    let touched: Vec<_> = lab.state().touched().since(size).unwrap().cloned().collect();
    assert_eq!(touched, [Target::Node("n".into())]);
    assert!(lab.state().nodes[&NodeName::from("n")].changed.0 >= size);
    assert_eq!(last_change(&lab), offers, "it is a matter of the node alone");
    // Of a node that nobody has seen nothing is touched.
    let size = lab.state().size;
    lab.see([Observation::VolumeLimits { node: "other".into(), limits: VolumeLimits::new() }]);
    assert_eq!(lab.state().touched().since(size).unwrap().count(), 0);
    lab.verify();
}

#[test]
fn the_volumes_of_a_node_and_their_drivers_are_in_state() {
    let mut lab = Lab::new(world());
    let mut with_volumes = spec(100, 64);
    with_volumes.group = Some(PodGroup { name: "training".into(), min_members: 4 });
    with_volumes.volumes = vec![VolumeRef { claim: "data".into() }];
    let on_node = PodFacts {
        key: PodKey::new("shop", "db"),
        phase: PodPhase::Bound,
        node: Some("n".into()),
        ..pod("db", &with_volumes)
    };
    // Its claim is being deleted, but its volume is attached as long as it runs.
    lab.see([Observation::Pod(on_node), claim(Some("is being deleted"))]);
    let state = lab.state();
    let node = NodeName::from("n");
    let attached: Vec<&Str> = state
        .occupancy(&node)
        .unwrap()
        .pods
        .iter()
        .flat_map(|key| {
            state
                .spec(state.pods[key].spec)
                .volumes
                .iter()
                .map(|v| PodKey::new(key.namespace.clone(), v.claim.clone()))
        })
        .map(|claim| &state.volume_claims[&claim].driver)
        .collect();
    assert_eq!(attached, [&Str::from("ebs.csi.aws.com")]);
    assert_eq!(state.volume_limits[&node].get(attached[0]), Some(&Some(26)));
    lab.verify();
}

#[test]
fn of_several_observations_of_an_object_in_one_batch_the_last_counts() {
    let key = || PodKey::new("shop", "spare");
    let buffer =
        |replicas| Observation::CapacityBuffer(key(), CapacityBuffer::new(&spec(500, 512), replicas));
    let daemons = |cpu| Observation::DaemonSet(PodKey::new("shop", "logs"), spec(cpu, 64).into());
    let weight = |weight| has_pool(NodePool { weight, ..pool("default") });
    let mut lab = Lab::new(world().into_iter().chain([buffer(1), daemons(100), weight(1)]).collect());
    let before = lab.state().size;
    lab.see([buffer(2), daemons(200), weight(2), buffer(1), daemons(100), weight(1)]);
    assert_eq!(lab.state().size, before, "in the end all is as it was");
    lab.see([Observation::NoCapacityBuffer(key()), buffer(3)]);
    assert_eq!(lab.state().buffers[&key()].replicas, 3);
    lab.verify();
}
