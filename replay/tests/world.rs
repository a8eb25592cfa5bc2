//! A small scripted world: a real controller over a real journal, and the program run on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use purser_engine::controller::{Controller, Start, Step};
use purser_engine::event::{Decision, Event};
use purser_engine::model::*;
use purser_engine::port::{Input, InstanceFacts, Observation};
use purser_engine::settings::Settings;
use purser_engine::state::State;
use purser_events::journal::{IdentitySource, Journal, Options};
use purser_events::wire::{EventLog, Purser};
use purser_replay::Outcome;
use serde_json::Value;

/// 2026-07-20T09:00:00Z.
pub(crate) const T0: Time = Time(1_784_538_000_000_000);

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    controller: Option<Controller<EventLog>>,
    pub(crate) now: Time,
    wake_at: Option<Time>,
}

pub(crate) fn options() -> Options {
    let mut options = Options::new("example/prod", "purser-0", 3, Arc::new(Purser));
    options.identity = IdentitySource::Derived { seed: [5; 32] };
    options.sync = false;
    options.min_free_bytes = 0;
    options
}

impl World {
    pub(crate) fn new(world: Vec<Observation>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(&dir.path().join("j"), options(), T0.0).unwrap();
        let start = Start {
            version: "0.1.0".into(),
            instance: "purser-0".into(),
            term: 3,
            origin: "example/prod".into(),
            predecessor: None,
            recovered: None,
            elected: None,
            settings: Settings::default(),
        };
        let (controller, step) =
            Controller::start(EventLog::new(journal), State::default(), T0, start, world).unwrap();
        let mut new = Self { dir, controller: Some(controller), now: T0, wake_at: None };
        new.took(&step);
        new
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.path().join("j")
    }

    pub(crate) fn controller(&mut self) -> &mut Controller<EventLog> {
        self.controller.as_mut().unwrap()
    }

    fn took(&mut self, step: &Step) {
        if step.evaluated {
            self.wake_at = step.wake_at;
        }
    }

    pub(crate) fn see(&mut self, observations: impl IntoIterator<Item = Observation>) {
        let inputs = observations.into_iter().map(Input::from).collect();
        let now = self.now;
        let step = self.controller().step(now, inputs).unwrap();
        self.took(&step);
    }

    /// Lets so many milliseconds pass, waking the controller when it asked to be.
    pub(crate) fn pass(&mut self, millis: i64) {
        let end = self.now + Span::millis(millis);
        while let Some(at) = self.wake_at.take_if(|at| *at <= end) {
            let step = self.controller().wake(at).unwrap();
            self.now = at;
            self.took(&step);
        }
        self.now = end;
    }

    pub(crate) fn state(&self) -> &State {
        self.controller.as_ref().unwrap().state()
    }

    /// The claim that was launched last.
    pub(crate) fn last_claim(&self) -> ClaimName {
        self.state().claims.values().max_by_key(|claim| claim.launch).unwrap().name.clone()
    }

    pub(crate) fn ready(&mut self, claim: &ClaimName, instance_type: &str, price: i64) -> NodeName {
        self.ready_as(claim, instance_type, price, &format!("node-{claim}"))
    }

    /// The same, under a name of the node that is given.
    pub(crate) fn ready_as(
        &mut self,
        claim: &ClaimName,
        instance_type: &str,
        price: i64,
        node: &str,
    ) -> NodeName {
        let node = self.came(claim, instance_type, price, node);
        self.pass(5_000);
        self.see([Observation::Node(NodeFacts { taints: Vec::new(), ready: true, ..node.clone() })]);
        node.name
    }

    /// The instance of a claim and its node, which is not ready.
    pub(crate) fn came(
        &mut self,
        claim: &ClaimName,
        instance_type: &str,
        price: i64,
        node: &str,
    ) -> NodeFacts {
        let instance = InstanceId::new(format!("i-{claim}"));
        self.see([Observation::Instance(InstanceFacts {
            instance: instance.clone(),
            claim: Some(claim.clone()),
            instance_type: instance_type.into(),
            zone: "z1".into(),
            capacity_type: CapacityType::OnDemand,
            price: Price(price),
            launched: self.now,
        })]);
        self.pass(20_000);
        let state = self.state();
        let node = NodeFacts {
            name: node.into(),
            instance: Some(instance),
            labels: Arc::new(
                [(Str::from(label::NODEPOOL), state.claims[claim].template.name.as_shared().clone())].into(),
            ),
            taints: vec![Taint::unregistered()],
            allocatable: state.types[&TypeName::from(instance_type)].allocatable(),
            ready: false,
            unschedulable: false,
            do_not_disrupt: false,
            created: self.now,
            deleting: false,
        };
        self.see([Observation::Node(node.clone())]);
        node
    }

    pub(crate) fn close(mut self) -> tempfile::TempDir {
        let (log, _) = self.controller.take().unwrap().into_parts();
        log.into_journal().unwrap().close().unwrap();
        self.dir
    }
}

pub(crate) fn pod(name: &str, cpu_millis: i64) -> PodFacts {
    let requests = [("cpu", cpu_millis), ("memory", 1 << 30), ("pods", 1)].into_iter().collect();
    PodFacts {
        key: PodKey::new("default", name),
        uid: Uid(name.bytes().fold(7, |hash, byte| hash * 31 + u128::from(byte))),
        spec: Arc::new(PodSpec { requests, owner: OwnerKind::Controller, ..PodSpec::default() }),
        created: T0,
        phase: PodPhase::Pending,
        node: None,
        started: None,
        deletion_grace: None,
        claims: Vec::new(),
    }
}

pub(crate) fn pending(name: &str, cpu_millis: i64) -> Observation {
    Observation::Pod(pod(name, cpu_millis))
}

pub(crate) fn bound(name: &str, cpu_millis: i64, node: &NodeName) -> Observation {
    Observation::Pod(PodFacts { phase: PodPhase::Bound, node: Some(node.clone()), ..pod(name, cpu_millis) })
}

pub(crate) fn instance_type(name: &str, cores: i64, price: i64) -> Observation {
    let mut requirements = Requirements::new();
    for (key, value) in [(label::INSTANCE_TYPE, name), (label::ARCH, "amd64"), (label::OS, "linux")] {
        requirements.add(key, Requirement::one_of([Str::from(value)]));
    }
    let offering = |zone: &str| Offering {
        zone: zone.into(),
        capacity_type: CapacityType::OnDemand,
        price: Price(price),
    };
    let capacity = [("cpu", cores * 1000), ("memory", cores << 32), ("pods", 110)].into_iter().collect();
    Observation::InstanceType(Arc::new(InstanceType {
        name: name.into(),
        requirements,
        capacity,
        overhead: Resources::default(),
        offerings: vec![offering("z1"), offering("z2")],
    }))
}

pub(crate) fn pool(name: &str, cpu_limit: i64) -> NodePool {
    let mut requirements = Requirements::new();
    requirements.add(label::CAPACITY_TYPE, Requirement::one_of([Str::from("on-demand")]));
    NodePool {
        name: name.into(),
        weight: 0,
        template: NodeTemplate { requirements, ..NodeTemplate::default() },
        disruption: Disruption { consolidate_after: Some(Span::secs(30)), ..Disruption::default() },
        limits: Limits { resources: vec![("cpu".into(), cpu_limit)], nodes: None },
        replicas: None,
        hash: "1".into(),
        ready: true,
    }
}

pub(crate) fn has_pool(pool: NodePool) -> Observation {
    Observation::NodePool(Arc::new(pool))
}

/// What happened in [`story`].
pub(crate) struct Story {
    pub(crate) world: World,
    /// The node of web-0 and web-1, removed as empty.
    pub(crate) first: ClaimName,
    /// The node of big, launched after the limit was raised; joiner joined it.
    pub(crate) second: ClaimName,
}

/// Two pods share a node; a large one waits for a limit until it is raised; another joins its launch; the first node becomes empty
/// and is removed.
pub(crate) fn story() -> Story {
    let mut world = World::new(vec![
        instance_type("m7i.large", 2, 100_000),
        instance_type("m7g.large", 2, 80_000),
        instance_type("m7g.2xlarge", 8, 320_000),
        has_pool(pool("default", 9_000)),
    ]);
    world.pass(1_000);
    world.see([pending("web-0", 900)]);
    world.pass(400);
    world.see([pending("web-1", 900)]);
    world.pass(3_000);
    let first = world.last_claim();
    let node = world.ready(&first, "m7g.large", 80_000);
    world.see([bound("web-0", 900, &node), bound("web-1", 900, &node)]);
    world.pass(10_000);
    world.see([pending("big", 7_000)]);
    world.pass(60_000);
    world.controller().journal_mut().journal_mut().unwrap().seal().unwrap();
    world.see([has_pool(pool("default", 20_000))]);
    world.pass(2_000);
    let second = world.last_claim();
    world.see([pending("joiner", 500)]);
    world.pass(5_000);
    let node = world.ready(&second, "m7g.2xlarge", 320_000);
    world.see([bound("big", 7_000, &node), bound("joiner", 500, &node)]);
    world.pass(100_000);
    let bytes = purser_engine::snapshot::write(world.state());
    let tag = purser_engine::snapshot::tag();
    world.controller().journal_mut().journal_mut().unwrap().put_snapshot(&tag, &bytes).unwrap();
    world.see(["web-0", "web-1"].map(|name| Observation::NoPod(PodKey::new("default", name))));
    world.pass(40_000);
    world.see([Observation::Tainted(first.clone())]);
    world.pass(3_000);
    world.see([Observation::NoInstance(InstanceId::new(format!("i-{first}")))]);
    world.see([Observation::NoNode(NodeName::new(format!("node-{first}")))]);
    world.pass(60_000);
    world.see([pending("huge", 100_000)]);
    world.pass(5_000);
    Story { world, first, second }
}

/// The program's answer: outcome, what it wrote, what it complained of.
pub(crate) fn run(journal: &Path, arguments: &[&str]) -> (Outcome, String, String) {
    let mut out = Vec::new();
    let mut err = Vec::new();
    let journal = journal.to_str().unwrap();
    let all = ["replay", "--journal", journal].into_iter().chain(arguments.iter().copied()).map(Into::into);
    let outcome = purser_replay::run(all, &mut out, &mut err);
    (outcome, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// The answer of a command that must do well.
#[track_caller]
pub(crate) fn table(journal: &Path, arguments: &[&str]) -> String {
    let (outcome, out, err) = run(journal, arguments);
    assert_eq!((outcome, &*err), (Outcome::Fine, ""), "{arguments:?}");
    out
}

#[track_caller]
pub(crate) fn json(journal: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
    serde_json::from_str(&table(journal, &arguments)).unwrap()
}

/// The decisions of a journal, with their places.
pub(crate) fn decisions(journal: &Path) -> Vec<(u64, Decision)> {
    let log = purser_replay::source::Log::open(Some(journal), None).unwrap();
    let decision = |item: purser_replay::source::Item| match item.logged.event {
        Event::Decision(decision) => Some((item.record.seq, decision)),
        _ => None,
    };
    log.items(0).filter_map(|item| decision(item.unwrap())).collect()
}
