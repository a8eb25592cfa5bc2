//! A small laboratory: a controller over a journal in memory, and short words for pods, pools and types.

// Each test binary uses its own part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::ops::Range;
use std::sync::Arc;

use purser_engine::controller::{Controller, Start, Step};
use purser_engine::event::{Decision, Event, Seq};
use purser_engine::model::*;
use purser_engine::port::{Effect, Entry, Input, InstanceFacts, Journal, JournalError, Observation, Order};
use purser_engine::reexecute::{Logged, Reexecution};
use purser_engine::settings::Settings;
use purser_engine::state::State;

#[derive(Default)]
pub struct MemoryLog {
    pub records: Vec<(Time, bool, Entry)>,
    pub full: bool,
    /// There is just no space for decisions.
    pub full_for_decisions: bool,
}

impl Journal for MemoryLog {
    fn append(&mut self, now: Time, batch: &[Entry]) -> Result<Range<u64>, JournalError> {
        let decides = batch.iter().any(|entry| matches!(entry.event, Event::Decision(_)));
        if self.full || (self.full_for_decisions && decides) {
            return Err(JournalError::Full("no space left".into()));
        }
        let first = self.records.len() as u64;
        for (at, entry) in batch.iter().enumerate() {
            self.records.push((now, at + 1 == batch.len(), entry.clone()));
        }
        Ok(first..self.records.len() as u64)
    }

    fn size(&self) -> u64 {
        self.records.len() as u64
    }
}

impl MemoryLog {
    pub fn logged(&self) -> Vec<Logged> {
        let record = |(seq, (time, commit, entry)): (usize, &(Time, bool, Entry))| Logged {
            seq: Seq(seq as u64),
            time: *time,
            commit: *commit,
            event: entry.event.clone(),
        };
        self.records.iter().enumerate().map(record).collect()
    }
}

pub struct Lab {
    pub controller: Controller<MemoryLog>,
    pub now: Time,
    pub wake_at: Option<Time>,
    pub orders: Vec<Order>,
}

pub fn secs(n: i64) -> Time {
    Time(n * 1_000_000)
}

impl Lab {
    pub fn new(world: Vec<Observation>) -> Self {
        Self::go_on(MemoryLog::default(), State::default(), Time(0), world)
    }

    pub fn go_on(log: MemoryLog, state: State, now: Time, world: Vec<Observation>) -> Self {
        let start = Start {
            version: "0.0.0-test".into(),
            instance: "lab".into(),
            term: 1,
            origin: "lab".into(),
            predecessor: None,
            recovered: None,
            elected: None,
            settings: Settings::default(),
        };
        let (controller, step) = Controller::start(log, state, now, start, world).unwrap();
        let mut lab = Self { controller, now, wake_at: None, orders: Vec::new() };
        lab.took(step);
        lab
    }

    pub fn took(&mut self, step: Step) {
        if step.evaluated {
            self.wake_at = step.wake_at;
        }
        self.orders.extend(step.orders);
    }

    pub fn see(&mut self, observations: impl IntoIterator<Item = Observation>) {
        let inputs = observations.into_iter().map(Input::from).collect();
        let step = self.controller.step(self.now, inputs).unwrap();
        self.took(step);
    }

    /// Lets time pass, waking the controller when it asked to be.
    pub fn until(&mut self, end: Time) {
        while let Some(at) = self.wake_at.take_if(|at| *at <= end) {
            self.now = at;
            let step = self.controller.wake(at).unwrap();
            self.took(step);
        }
        self.now = end;
    }

    pub fn state(&self) -> &State {
        self.controller.state()
    }

    pub fn take_orders(&mut self) -> Vec<Effect> {
        self.orders.drain(..).map(|order| order.effect).collect()
    }

    pub fn decisions(&self) -> Vec<Decision> {
        let of =
            |event: &Event| if let Event::Decision(decision) = event { Some(decision.clone()) } else { None };
        self.controller.journal().records.iter().filter_map(|(_, _, entry)| of(&entry.event)).collect()
    }

    pub fn launches(&self) -> Vec<(ClaimName, Vec<String>, usize)> {
        let launch = |decision| match decision {
            Decision::Launch { claim, options, pods, .. } => {
                Some((claim, options.iter().map(|o| o.instance_type.to_string()).collect(), pods.len()))
            }
            _ => None,
        };
        self.decisions().into_iter().filter_map(launch).collect()
    }

    /// Answers a launch: the instance runs.
    pub fn launched(&mut self, claim: &ClaimName, instance_type: &str) -> InstanceId {
        let instance = InstanceId::new(format!("i-{claim}"));
        self.see([Observation::Instance(InstanceFacts {
            instance: instance.clone(),
            claim: Some(claim.clone()),
            instance_type: instance_type.into(),
            zone: "z1".into(),
            capacity_type: CapacityType::OnDemand,
            price: Price(1),
            launched: self.now,
        })]);
        instance
    }

    /// The node of a claim is there and ready, and was registered and initialized.
    pub fn ready(&mut self, claim: &ClaimName, instance_type: &str) -> NodeName {
        let instance = self.launched(claim, instance_type);
        let node = self.node(claim, &instance, instance_type);
        self.see([Observation::Node(node.clone())]);
        self.see([Observation::Node(NodeFacts { taints: Vec::new(), ready: true, ..node.clone() })]);
        assert!(self.state().claims[claim].initialized.is_some(), "{claim} is initialized");
        node.name
    }

    pub fn node(&self, claim: &ClaimName, instance: &InstanceId, instance_type: &str) -> NodeFacts {
        let state = self.state();
        NodeFacts {
            name: NodeName::new(format!("node-{claim}")),
            instance: Some(instance.clone()),
            labels: Arc::new(labels(&[(label::NODEPOOL, state.claims[claim].template.name.as_str())])),
            taints: vec![Taint::unregistered()],
            allocatable: state.types[&TypeName::from(instance_type)].allocatable(),
            ready: false,
            unschedulable: false,
            do_not_disrupt: false,
            created: self.now,
            deleting: false,
        }
    }

    /// Every decision in the log is the one that its records lead to, and the fold of the log is the State.
    pub fn verify(&self) {
        let mut again = Reexecution::default();
        for record in self.controller.journal().logged() {
            again.feed(&record).unwrap_or_else(|divergence| panic!("{divergence:?}"));
        }
        assert!(again.state() == self.state(), "the fold of the log is the State");
        let bytes = purser_engine::snapshot::write(self.state());
        let back = purser_engine::snapshot::read(&bytes).unwrap();
        assert!(&back == self.state(), "a snapshot gives back the State");
        for cut in 0..bytes.len().min(2_000) {
            assert!(purser_engine::snapshot::read(&bytes[..cut]).is_err());
        }
    }
}

pub fn labels(all: &[(&str, &str)]) -> Labels {
    all.iter().map(|(key, value)| (Str::from(*key), Str::from(*value))).collect()
}

pub fn requests(cpu_millis: i64, memory_mib: i64) -> Resources {
    [("cpu", cpu_millis), ("memory", memory_mib << 20), ("pods", 1)].into_iter().collect()
}

pub fn spec(cpu_millis: i64, memory_mib: i64) -> PodSpec {
    PodSpec { requests: requests(cpu_millis, memory_mib), owner: OwnerKind::Controller, ..PodSpec::default() }
}

pub fn pod(name: &str, spec: &PodSpec) -> PodFacts {
    PodFacts {
        key: PodKey::new("default", name),
        uid: Uid(name.bytes().fold(7, |hash, byte| hash * 31 + u128::from(byte))),
        spec: Arc::new(spec.clone()),
        created: Time(0),
        phase: PodPhase::Pending,
        node: None,
        started: None,
        deletion_grace: None,
        claims: Vec::new(),
    }
}

pub fn pending(name: &str, spec: &PodSpec) -> Observation {
    Observation::Pod(pod(name, spec))
}

pub fn bound(name: &str, spec: &PodSpec, node: &NodeName) -> Observation {
    Observation::Pod(PodFacts { phase: PodPhase::Bound, node: Some(node.clone()), ..pod(name, spec) })
}

/// A type with this many cores and GiB, offered in two zones on demand at this price and in the first as spot at a third.
pub fn instance_type(name: &str, cores: i64, gib: i64, price: i64) -> Observation {
    let mut requirements = Requirements::new();
    for (key, value) in [(label::INSTANCE_TYPE, name), (label::ARCH, "amd64"), (label::OS, "linux")] {
        requirements.add(key, Requirement::one_of([Str::from(value)]));
    }
    let offering =
        |zone: &str, capacity_type, price| Offering { zone: zone.into(), capacity_type, price: Price(price) };
    Observation::InstanceType(Arc::new(InstanceType {
        name: name.into(),
        requirements,
        capacity: [
            ("cpu", cores * 1000),
            ("memory", gib << 30),
            ("pods", 110),
            ("ephemeral-storage", 20 << 30),
        ]
        .into_iter()
        .collect(),
        overhead: Resources::default(),
        offerings: vec![
            offering("z1", CapacityType::Spot, price / 3),
            offering("z1", CapacityType::OnDemand, price),
            offering("z2", CapacityType::OnDemand, price),
        ],
    }))
}

pub fn pool(name: &str) -> NodePool {
    let mut requirements = Requirements::new();
    requirements.add(label::CAPACITY_TYPE, Requirement::one_of([Str::from("on-demand")]));
    NodePool {
        name: name.into(),
        weight: 0,
        template: NodeTemplate { requirements, ..NodeTemplate::default() },
        disruption: Disruption::default(),
        limits: Limits::default(),
        replicas: None,
        hash: "1".into(),
        ready: true,
    }
}

pub fn has_pool(pool: NodePool) -> Observation {
    Observation::NodePool(Arc::new(pool))
}

/// Two types and a pool without limits.
pub fn plain_world() -> Vec<Observation> {
    vec![instance_type("large", 8, 32, 400), instance_type("small", 2, 8, 100), has_pool(pool("default"))]
}
