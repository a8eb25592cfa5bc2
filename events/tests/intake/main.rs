//! Objects of any size, through the controller into a real journal: each record fits, and one bad object stops nobody.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod devices;

use std::sync::Arc;

use purser_engine::controller::limits::{MAX_OBJECT_BYTES, refusals};
use purser_engine::controller::{Controller, Start};
use purser_engine::event::{Decision, Event, LaunchFailure, Seq, Target};
use purser_engine::model::*;
use purser_engine::port::{Input, MAX_EVENT_BYTES, Observation};
use purser_engine::reexecute::{Logged, Reexecution};
use purser_engine::settings::Settings;
use purser_engine::state::State;
use purser_events::journal::{IdentitySource, Journal, Options, Reader};
use purser_events::wire::{EventLog, Events, Purser, encode};

struct Lab {
    dir: tempfile::TempDir,
    controller: Controller<EventLog>,
    now: Time,
}

impl Lab {
    fn new(world: Vec<Observation>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new("purser.test/intake", "purser-0", 1, Arc::new(Purser));
        options.identity = IdentitySource::Derived { seed: [9; 32] };
        options.sync = false;
        options.min_free_bytes = 0;
        let journal = Journal::create(&dir.path().join("j"), options, 0).unwrap();
        let start = Start {
            version: "0.0.0-test".into(),
            instance: "purser-0".into(),
            term: 1,
            origin: "purser.test/intake".into(),
            predecessor: None,
            recovered: None,
            elected: None,
            settings: Settings::default(),
        };
        let (controller, _) =
            Controller::start(EventLog::new(journal), State::default(), Time(0), start, world).unwrap();
        Self { dir, controller, now: Time(0) }
    }

    /// Lets the controller see something, and gives the events that it recorded.
    fn see(&mut self, observations: Vec<Observation>) -> Vec<Event> {
        let before = self.state().size;
        let inputs = observations.into_iter().map(Input::from).collect();
        self.controller.step(self.now, inputs).unwrap();
        self.since(before)
    }

    fn wake_after(&mut self, secs: i64) -> Vec<Event> {
        let before = self.state().size;
        self.now = self.now + Span::secs(secs);
        self.controller.wake(self.now).unwrap();
        self.since(before)
    }

    fn since(&self, seq: u64) -> Vec<Event> {
        let reader = Reader::open(&self.dir.path().join("j"), Arc::new(Purser)).unwrap();
        Events::read(&reader, Seq(seq)).map(|logged| logged.unwrap().event).collect()
    }

    fn state(&self) -> &State {
        self.controller.state()
    }

    /// Every decision is the one that the log leads to, and the fold of the log is the State.
    fn verify(&self) {
        let reader = Reader::open(&self.dir.path().join("j"), Arc::new(Purser)).unwrap();
        let mut again = Reexecution::default();
        for logged in Events::read(&reader, Seq(0)) {
            let logged = logged.unwrap();
            let (seq, time, commit) = (logged.seq, logged.time, logged.commit);
            again.feed(&Logged { seq, time, commit, event: logged.event }).unwrap();
        }
        assert!(again.state() == self.state());
    }
}

fn spec() -> PodSpec {
    let requests = [("cpu", 500), ("memory", 1 << 30), ("pods", 1)].into_iter().collect();
    PodSpec { requests, owner: OwnerKind::Controller, ..PodSpec::default() }
}

fn pod(name: &str, spec: PodSpec) -> PodFacts {
    PodFacts {
        key: PodKey::new("default", name),
        uid: Uid(name.len() as u128),
        spec: Arc::new(spec),
        created: Time(0),
        phase: PodPhase::Pending,
        node: None,
        started: None,
        deletion_grace: None,
        claims: Vec::new(),
    }
}

fn node() -> NodeFacts {
    NodeFacts {
        name: "n".into(),
        instance: None,
        labels: Arc::default(),
        taints: Vec::new(),
        allocatable: [("cpu", 8_000), ("memory", 32 << 30), ("pods", 110)].into_iter().collect(),
        ready: true,
        unschedulable: false,
        do_not_disrupt: false,
        created: Time(0),
        deleting: false,
    }
}

fn pool() -> NodePool {
    NodePool {
        name: "default".into(),
        weight: 0,
        template: NodeTemplate::default(),
        disruption: Disruption::default(),
        limits: Limits::default(),
        replicas: None,
        hash: "1".into(),
        ready: true,
    }
}

fn instance_type() -> InstanceType {
    let requirements = [(label::INSTANCE_TYPE, "large"), (label::ARCH, "arm64"), (label::OS, "linux")];
    let one = |(key, value): (&str, &str)| (Str::from(key), Requirement::one_of([Str::from(value)]));
    InstanceType {
        name: "large".into(),
        requirements: requirements.into_iter().map(one).collect(),
        capacity: [("cpu", 8_000), ("memory", 32 << 30), ("pods", 110)].into_iter().collect(),
        overhead: Resources::default(),
        offerings: vec![Offering {
            zone: "z1".into(),
            capacity_type: CapacityType::OnDemand,
            price: Price(400_000),
        }],
    }
}

fn world() -> Vec<Observation> {
    vec![Observation::InstanceType(Arc::new(instance_type())), Observation::NodePool(Arc::new(pool()))]
}

fn tolerations(count: usize) -> Vec<Toleration> {
    let toleration = |n| Toleration {
        key: Some(format!("example.com/team-{n}").into()),
        operator: TolerationOperator::Equal,
        value: "shared".into(),
        effect: Some(TaintEffect::NoSchedule),
    };
    (0..count).map(toleration).collect()
}

/// The pods that launches are for, those included that are sent after them.
fn launched_for(events: &[Event]) -> Vec<PodKey> {
    let pods = |event: &Event| match event {
        Event::Decision(
            Decision::Launch { pods, .. } | Decision::Nominate { target: Target::Claim(_), pods },
        ) => pods.clone(),
        _ => Vec::new(),
    };
    events.iter().flat_map(pods).collect()
}

#[test]
fn a_monstrous_pod_is_refused_and_the_others_are_served() {
    let mut lab = Lab::new(world());
    let monster = pod("monster", PodSpec { tolerations: tolerations(5_000), ..spec() });
    lab.see(vec![Observation::Pod(monster.clone()), Observation::Pod(pod("web", spec()))]);
    let decided = lab.wake_after(2);
    assert_eq!(launched_for(&decided), [PodKey::parse("default/web")]);
    let known = &lab.state().pods[&monster.key];
    assert_eq!(known.phase, PodPhase::Held);
    let told = refusals(lab.state());
    assert_eq!(told.len(), 1, "{told:?}");
    for part in
        ["Pod default/monster: ", "spec.tolerations", "may take 24576", "use fewer", "nothing is launched"]
    {
        assert!(told[0].contains(part), "{part:?} is not in {told:?}");
    }
    assert!(told[0].len() < 400 && !told[0].contains('\n'), "{told:?}");

    // Seen again it is no news.
    assert_eq!(lab.see(vec![Observation::Pod(monster.clone())]), []);
    // On a node it takes its room there.
    lab.see(vec![Observation::Node(node())]);
    let bound = PodFacts { phase: PodPhase::Bound, node: Some("n".into()), ..monster.clone() };
    lab.see(vec![Observation::Pod(bound)]);
    assert_eq!(lab.state().occupancy(&"n".into()).unwrap().used.cpu_millis, 500);

    // Once it is mended it is a pod as any other.
    let mended = pod("monster", PodSpec { tolerations: tolerations(5), ..spec() });
    lab.see(vec![Observation::NoPod(monster.key.clone()), Observation::NoNode("n".into())]);
    lab.see(vec![Observation::Pod(mended)]);
    assert_eq!(lab.state().pods[&monster.key].phase, PodPhase::Pending);
    assert_eq!(refusals(lab.state()), [""; 0]);
    lab.verify();
}

#[test]
fn a_gigantic_pool_launches_nothing_and_the_other_does() {
    let requirement = Requirement::none_of((0..5_000).map(|n| format!("gigantic-{n}").into()));
    let template = NodeTemplate {
        requirements: [(Str::from(label::INSTANCE_TYPE), requirement)].into_iter().collect(),
        ..NodeTemplate::default()
    };
    let giant = NodePool { name: "giant".into(), weight: 100, template, ..pool() };
    let mut lab = Lab::new(world());
    lab.see(vec![Observation::NodePool(Arc::new(giant)), Observation::Pod(pod("web", spec()))]);
    let decided = lab.wake_after(2);
    let pools: Vec<_> = decided
        .iter()
        .filter_map(|event| match event {
            Event::Decision(Decision::Launch { pool, .. }) => Some(pool.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(pools, ["default"]);
    let giant = &lab.state().pools[&"giant".into()].facts;
    assert!(!giant.ready);
    assert_eq!(giant.disruption.allowed(DisruptionReason::Empty, 100, lab.now), 0);
    let told = refusals(lab.state());
    assert!(told[0].starts_with("NodePool giant: spec.template.spec.requirements: too large"), "{told:?}");
    lab.verify();
}

#[test]
fn other_objects_are_refused_one_by_one() {
    let many = || LabelSelector((0..3_000).map(|n| expression(&format!("key-{n}"))).collect());
    let labels: Labels = (0..3_000)
        .map(|n| (format!("label-{n}").into(), "x".into()))
        .chain([(Str::from(label::NODEPOOL), Str::from("default"))])
        .collect();
    let mut lab = Lab::new(world());
    let big_type = InstanceType {
        requirements: (0..3_000).map(|n| (format!("r-{n}").into(), Requirement::any())).collect(),
        name: "odd".into(),
        ..instance_type()
    };
    let daemon = PodSpec { required_terms: vec![terms(3_000)], owner: OwnerKind::DaemonSet, ..spec() };
    lab.see(vec![
        Observation::Node(NodeFacts { labels: Arc::new(labels), ..node() }),
        Observation::InstanceType(Arc::new(big_type)),
        Observation::DaemonSet(PodKey::parse("kube-system/agent"), Arc::new(daemon)),
        Observation::DisruptionBudget {
            budget: PodKey::parse("default/web"),
            selector: many(),
            disruptions_allowed: 0,
            always_allow_unhealthy: false,
        },
        Observation::Pod(pod("web", spec())),
    ]);
    assert_eq!(launched_for(&lab.wake_after(2)), [PodKey::parse("default/web")]);
    let node = &lab.state().nodes[&"n".into()].facts;
    assert!(node.unschedulable && node.do_not_disrupt && node.labels.contains_key(label::NODEPOOL));
    let told = refusals(lab.state());
    let fields = [
        "DaemonSet kube-system/agent: spec.affinity.nodeAffinity.required",
        "Node n: metadata.labels: ",
        "PodDisruptionBudget default/web: spec.selector: ",
        "instance type odd: requirements: ",
    ];
    assert_eq!(told.len(), fields.len(), "{told:?}");
    for (told, field) in told.iter().zip(fields) {
        assert!(told.starts_with(field), "{told}");
    }
    // The agent is expected on every node, whatever it asked for.
    let Some(Event::Decision(Decision::Launch { requests, .. })) =
        lab.since(0).into_iter().find(|event| matches!(event, Event::Decision(Decision::Launch { .. })))
    else {
        panic!("there is a launch")
    };
    assert_eq!(requests.cpu_millis, 1_000);
    lab.verify();
}

#[test]
fn volumes_and_namespaces_of_any_size_fit() {
    let mut lab = Lab::new(world());
    let key = |name: &str| PodKey::new("default", name);
    let far = VolumeClaim { topologies: vec![terms(3_000)], driver: "ebs".into(), problem: None };
    let wordy = VolumeClaim { problem: Some("€".repeat(100_000).into()), ..VolumeClaim::default() };
    let seen = || {
        let many: VolumeLimits =
            (0..5_000).map(|n| (format!("driver-{n:05}").into(), Some(u32::MAX))).collect();
        vec![
            Observation::Namespace("shop".into(), labels(5_000)),
            Observation::VolumeClaim(key("far"), far.clone()),
            Observation::VolumeClaim(key("wordy"), wordy.clone()),
            Observation::VolumeLimits { node: "n".into(), limits: many },
        ]
    };
    let events = lab.see(seen());
    assert_eq!(events.len(), 4);
    for event in events {
        assert!(encode(&event).unwrap().payload.len() < MAX_OBJECT_BYTES, "{event:?}");
    }
    let state = lab.state();
    let claim = &state.volume_claims[&key("far")];
    assert!(claim.topologies.is_empty() && claim.problem.is_some() && &*claim.driver == "ebs");
    assert!(state.volume_claims[&key("wordy")].problem.as_ref().unwrap().ends_with("bytes in all)"));
    assert!(state.volume_limits[&"n".into()].len() > 500);
    let told = refusals(state);
    let fields = [
        "Namespace shop: metadata.labels: ",
        "PersistentVolumeClaim default/far: the topologies of its volume: ",
    ];
    assert_eq!(told.len(), fields.len(), "{told:?}");
    for (told, field) in told.iter().zip(fields) {
        assert!(told.starts_with(field), "{told}");
    }
    // Seen again they are no news.
    assert_eq!(lab.see(seen()), []);
    // A volume may be kept for a claim of any name. There is none of such a name.
    let odd = PodKey::new("default", "x".repeat(100_000));
    let attached = VolumeAttachment { node: "n".into(), volume: "pv".into(), claim: Some(odd) };
    let seen = || vec![Observation::VolumeAttachment("csi".into(), attached.clone())];
    assert_eq!(lab.see(seen()).len(), 1);
    assert_eq!(lab.state().volume_attachments[&Str::from("csi")].claim, None);
    assert_eq!(lab.see(seen()), []);
    // Nor is what has no name of Kubernetes, and settings that no record holds are not taken.
    let name = || Str::from("x".repeat(100_000));
    let events = lab.see(vec![
        Observation::Namespace(name(), Labels::new()),
        Observation::VolumeClaim(PodKey::new("default", name()), VolumeClaim::default()),
        Observation::VolumeClaim(key("odd"), VolumeClaim { driver: name(), ..VolumeClaim::default() }),
        Observation::VolumeLimits { node: NodeName::new(name()), limits: VolumeLimits::new() },
        Observation::Settings(Settings { default_spread: GROWING[6](5_000).spread, ..Settings::default() }),
    ]);
    assert_eq!(events, []);
    lab.verify();
}

#[test]
fn what_the_cloud_says_is_cut() {
    let mut lab = Lab::new(world());
    lab.see(vec![Observation::Pod(pod("web", spec()))]);
    lab.wake_after(2);
    let claim = lab.state().claims.values().next().unwrap().name.clone();
    let endless = || Str::from("€".repeat(100_000));
    lab.see(vec![
        Observation::EffectFailed(claim.clone(), endless()),
        Observation::EvictionBlocked(PodKey::parse("default/web"), endless()),
    ]);
    lab.see(vec![Observation::LaunchFailed(claim.clone(), LaunchFailure::Unknown { message: endless() })]);
    let offering = |n| OfferingKey {
        instance_type: format!("type-{n}").as_str().into(),
        zone: "z1".into(),
        capacity_type: CapacityType::Spot,
    };
    let offerings = (0..10_000).map(offering).collect();
    lab.see(vec![Observation::LaunchFailed(claim, LaunchFailure::InsufficientCapacity { offerings })]);
    let longest = lab.since(0).iter().map(|event| encode(event).unwrap().payload.len()).max().unwrap();
    assert!(longest < MAX_EVENT_BYTES / 2, "{longest}");
    lab.verify();
}

#[test]
fn what_has_no_name_of_kubernetes_makes_no_record() {
    let mut lab = Lab::new(world());
    let name = "x".repeat(100_000);
    let events = lab.see(vec![
        Observation::Pod(pod(&name, spec())),
        Observation::Pod(PodFacts { node: Some(name.as_str().into()), ..pod("a", spec()) }),
        Observation::Node(NodeFacts { name: name.as_str().into(), ..node() }),
    ]);
    assert_eq!(events, []);
}

fn expression(key: &str) -> LabelExpression {
    LabelExpression { key: key.into(), operator: LabelOperator::Exists, values: Vec::new() }
}

fn terms(count: usize) -> Requirements {
    (0..count).map(|n| (format!("key-{n}").into(), Requirement::one_of([Str::from("v")]))).collect()
}

fn labels(count: usize) -> Labels {
    (0..count).map(|n| (format!("key-{n}").into(), "v".into())).collect()
}

/// Not one of so many values with long names.
fn without(count: usize) -> Requirement {
    Requirement::none_of((0..count).map(|n| format!("{n:060}").into()))
}

/// Each part of a pod spec that can grow, of so many entries.
const GROWING: [fn(usize) -> PodSpec; 14] = [
    |n| PodSpec { labels: labels(n), ..spec() },
    |n| PodSpec { node_selector: labels(n), ..spec() },
    |n| PodSpec { required_terms: (0..n).map(|_| terms(1)).collect(), ..spec() },
    |n| PodSpec { required_terms: vec![[(Str::from("k"), without(n))].into_iter().collect()], ..spec() },
    |n| PodSpec {
        preferred_terms: (0..n).map(|_| PreferredTerm { weight: 1, requirements: terms(2) }).collect(),
        ..spec()
    },
    |n| PodSpec { tolerations: tolerations(n), ..spec() },
    |n| PodSpec {
        spread: (0..n)
            .map(|_| TopologySpread {
                topology_key: label::ZONE.into(),
                max_skew: u32::MAX,
                min_domains: Some(u32::MAX),
                when_unsatisfiable: Unsatisfiable::ScheduleAnyway,
                selector: LabelSelector(vec![expression("app")]),
                node_affinity_policy: SpreadPolicy::Honor,
                node_taints_policy: SpreadPolicy::Ignore,
            })
            .collect(),
        ..spec()
    },
    |n| PodSpec {
        affinity: (0..n)
            .map(|_| PodAffinity {
                topology_key: label::ZONE.into(),
                selector: LabelSelector(vec![expression("app")]),
                namespaces: NamespaceSelector::Other {
                    names: vec!["a".into(), "b".into()],
                    selector: Some(LabelSelector(vec![expression("team")])),
                },
                anti: true,
                weight: Some(100),
            })
            .collect(),
        ..spec()
    },
    |n| PodSpec {
        host_ports: (0..n)
            .map(|_| HostPort { ip: "10.0.0.1".into(), port: u16::MAX, protocol: Protocol::Udp })
            .collect(),
        ..spec()
    },
    |n| PodSpec {
        volumes: (0..n).map(|n| VolumeRef { claim: format!("data-{n}").into() }).collect(),
        ..spec()
    },
    |n| PodSpec {
        group: Some(PodGroup { name: "g".repeat(10 * n).into(), min_members: u32::MAX }),
        ..spec()
    },
    |n| PodSpec { resource_claims: (0..n).map(|n| format!("claim-{n}").into()).collect(), ..spec() },
    |n| {
        let mut grown = spec();
        (0..n).for_each(|n| grown.requests.set(&format!("example.com/r-{n}"), i64::MAX));
        grown
    },
    |n| PodSpec {
        labels: labels(n),
        node_selector: labels(n),
        tolerations: tolerations(n),
        required_terms: vec![terms(n)],
        ..spec()
    },
];

/// The largest count up to this that is accepted: one more is refused.
fn largest(accepted: impl Fn(usize) -> bool) -> usize {
    let (mut yes, mut no) = (0, 10_000);
    assert!(accepted(yes) && !accepted(no));
    while no - yes > 1 {
        let middle = usize::midpoint(yes, no);
        if accepted(middle) { yes = middle } else { no = middle }
    }
    yes
}

#[test]
fn the_largest_object_that_is_accepted_fits_a_record_and_so_does_its_launch() {
    // The largest pool goes with every pod: a launch is made of both.
    let with_values = |n: usize| NodePool {
        template: NodeTemplate {
            requirements: [(Str::from(label::INSTANCE_TYPE), without(n))].into_iter().collect(),
            ..NodeTemplate::default()
        },
        ..pool()
    };
    let accepted = |pool| {
        let lab = Lab::new(vec![Observation::NodePool(Arc::new(pool))]);
        refusals(lab.state()).is_empty()
    };
    let values = largest(|n| accepted(with_values(n)));
    let mut longest = 0;
    for (at, grown) in GROWING.iter().enumerate() {
        let count = largest(|n| {
            let lab = Lab::new(vec![Observation::Pod(pod("p", grown(n)))]);
            refusals(lab.state()).is_empty()
        });
        let mut lab = Lab::new(vec![
            Observation::InstanceType(Arc::new(instance_type())),
            Observation::NodePool(Arc::new(with_values(values))),
        ]);
        let mut events = lab.see(vec![Observation::Pod(pod("p", grown(count)))]);
        let key = PodKey::new("default", "p");
        assert_eq!(**lab.state().spec(lab.state().pods[&key].spec), grown(count), "it is recorded as it is");
        events.extend(lab.wake_after(60));
        for event in &events {
            let len = encode(event).unwrap().payload.len();
            longest = longest.max(len);
            let most = if matches!(event, Event::Decision(_)) { MAX_EVENT_BYTES } else { MAX_OBJECT_BYTES };
            assert!(len < most, "{len} bytes, part {at}");
        }
        // One entry more, and the stand-in fits as well.
        for event in lab.see(vec![Observation::Pod(pod("p", grown(count + 1)))]) {
            assert!(encode(&event).unwrap().payload.len() < MAX_OBJECT_BYTES, "part {at}");
        }
        assert_eq!(lab.state().pods[&key].phase, PodPhase::Held);
        lab.verify();
    }
    assert!(longest > MAX_OBJECT_BYTES * 3 / 2, "a launch of two large objects was among them: {longest}");
}

#[test]
fn decisions_about_many_pods_with_the_longest_names_fit() {
    let long = |n: usize| {
        let facts = pod(
            "x",
            PodSpec {
                requests: [("cpu", 10), ("memory", 1 << 20), ("pods", 1)].into_iter().collect(),
                ..spec()
            },
        );
        // Each in a namespace of its own is the worst there is.
        PodFacts { key: PodKey::new(format!("{n:0>63}"), format!("{n:0>253}")), ..facts }
    };
    let huge = InstanceType {
        capacity: [("cpu", 64_000), ("memory", 256 << 30), ("pods", 737)].into_iter().collect(),
        ..instance_type()
    };
    let types = Observation::InstanceType(Arc::new(huge));
    let mut lab = Lab::new(vec![types, Observation::NodePool(Arc::new(pool()))]);
    lab.see((0..1_500).map(|n| Observation::Pod(long(n))).collect());
    let decided = lab.wake_after(2);
    assert_eq!(launched_for(&decided).len(), 1_500);
    // More come, and are sent to the nodes on their way or, without a NodePool, left waiting.
    lab.see((1_500..1_600).map(|n| Observation::Pod(long(n))).collect());
    lab.wake_after(2);
    lab.see(vec![Observation::NoNodePool("default".into())]);
    lab.see((2_000..3_500).map(|n| Observation::Pod(long(n))).collect());
    lab.wake_after(2);
    // Pods with requirements of their own, which all go into one launch.
    let mut lab = Lab::new(world());
    let picky = |n: usize| {
        let term = [(Str::from(format!("key-{n:0>250}")), without(30))].into_iter().collect();
        pod(&format!("picky-{n}"), PodSpec { required_terms: vec![term], ..long(0).spec.as_ref().clone() })
    };
    lab.see((0..60).map(|n| Observation::Pod(picky(n))).collect());
    assert_eq!(launched_for(&lab.wake_after(2)).len(), 60);
    for event in lab.since(0) {
        assert!(encode(&event).unwrap().payload.len() < MAX_EVENT_BYTES);
    }
    lab.verify();
}
