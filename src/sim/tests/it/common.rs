//! A small world, and a hand to drive it.
use std::sync::Arc;

use purser_engine::event::{LaunchOption, Place, Seq};
use purser_engine::model::*;
use purser_engine::port::{Effect, Input, InstanceFacts, LaunchRequest, Observation, Order};
use purser_sim::scenario::*;
use purser_sim::{Faults, KnownClaims, Scenario, World};

pub(crate) const START: Time = Time(1_784_505_600_000_000);

pub(crate) fn resources(cpu: i64, gib: i64) -> Resources {
    Resources::from_iter([("cpu", cpu), ("memory", gib << 30), ("pods", 1)])
}

pub(crate) fn instance_type(name: &str, cpus: i64, price: i64) -> Arc<InstanceType> {
    let mut capacity = resources(cpus * 1_000, cpus * 4);
    capacity.pods = 20;
    let requirements = [("kubernetes.io/arch", "amd64"), (label::OS, "linux"), (label::INSTANCE_TYPE, name)];
    let mut offerings: Vec<Offering> = Vec::new();
    for zone in ["z-1a", "z-1b"] {
        offerings.push(Offering {
            zone: zone.into(),
            capacity_type: CapacityType::Spot,
            price: Price(price / 3),
        });
        offerings.push(Offering {
            zone: zone.into(),
            capacity_type: CapacityType::OnDemand,
            price: Price(price),
        });
    }
    Arc::new(InstanceType {
        name: name.into(),
        requirements: requirements
            .iter()
            .map(|(k, v)| (Str::from(*k), Requirement::one_of([Str::from(*v)])))
            .collect(),
        capacity,
        overhead: Resources::default(),
        offerings,
    })
}

pub(crate) fn pool() -> NodePool {
    NodePool {
        name: "default".into(),
        weight: 0,
        template: NodeTemplate {
            labels: Labels::from([("team".into(), "a".into())]),
            startup_taints: vec![Taint {
                key: "starting".into(),
                value: "".into(),
                effect: TaintEffect::NoSchedule,
            }],
            ..NodeTemplate::default()
        },
        disruption: Disruption::default(),
        limits: Limits::default(),
        replicas: None,
        hash: "1".into(),
        ready: true,
    }
}

pub(crate) fn spec(app: &str, cpu: i64) -> PodSpec {
    PodSpec {
        labels: Labels::from([("app".into(), app.into())]),
        requests: resources(cpu, 1),
        owner: OwnerKind::Controller,
        ..PodSpec::default()
    }
}

pub(crate) fn scenario() -> Scenario {
    let mut scenario = Scenario::new("small", START);
    scenario.types = vec![instance_type("m1.large", 4, 400_000), instance_type("m1.huge", 8, 800_000)];
    scenario.pools = vec![Arc::new(pool())];
    scenario
}

pub(crate) fn service(name: &str, spec: PodSpec, replicas: u32) -> Workload {
    Workload {
        namespace: "default".into(),
        name: name.into(),
        spec: Arc::new(spec),
        kind: WorkloadKind::Service {
            replicas: vec![(START, replicas)],
            rollouts: Vec::new(),
            ordinals: false,
        },
    }
}

pub(crate) fn batch(name: &str, spec: PodSpec, runs: u32, duration: Span) -> Workload {
    let runs =
        (0..runs).map(|n| Run { name: format!("{name}-{n}").into(), at: START, duration: Some(duration) });
    Workload {
        namespace: "default".into(),
        name: name.into(),
        spec: Arc::new(spec),
        kind: WorkloadKind::Batch { runs: runs.collect(), parallelism: None, linger: Span::ZERO },
    }
}

/// A world, and everything that it has told.
pub(crate) struct Hand {
    pub(crate) world: World,
    pub(crate) told: Vec<(Time, Input)>,
    seq: u64,
}

impl Hand {
    pub(crate) fn new(scenario: Scenario, faults: Faults) -> Self {
        let mut hand = Self { world: World::new(scenario, 1, faults), told: Vec::new(), seq: 0 };
        hand.until(Span::ZERO);
        hand
    }

    /// Runs until so long after the start.
    pub(crate) fn until(&mut self, after: Span) -> Vec<Observation> {
        let to = START + after;
        let from = self.told.len();
        while let Some(next) = self.world.next_time().filter(|next| *next <= to) {
            let inputs = self.world.advance(next);
            self.told.extend(inputs.into_iter().map(|input| (next, input)));
        }
        let inputs = self.world.advance(to);
        self.told.extend(inputs.into_iter().map(|input| (to, input)));
        self.told[from..].iter().map(|(_, input)| input.observation.clone()).collect()
    }

    pub(crate) fn order(&mut self, effect: Effect) -> Seq {
        self.seq += 1;
        let order = Order { decision: Seq(self.seq), effect };
        self.world.execute(self.world.now(), &order);
        order.decision
    }

    pub(crate) fn launch(&mut self, claim: &str) -> Seq {
        self.order(Effect::Launch(request(
            claim,
            &["m1.large", "m1.huge"],
            &[CapacityType::Spot, CapacityType::OnDemand],
        )))
    }

    pub(crate) fn launch_of(&mut self, claim: &str, capacity_type: CapacityType) -> Seq {
        self.order(Effect::Launch(request(claim, &["m1.large", "m1.huge"], &[capacity_type])))
    }

    /// A registered and initialized node for a claim, some minutes on.
    pub(crate) fn node(&mut self, claim: &str, capacity_type: CapacityType) -> NodeFacts {
        let now = self.world.now().since(START);
        self.launch_of(claim, capacity_type);
        self.until(Span(now.0 + Span::mins(2).0));
        let facts = self.node_of(claim).expect("the node has joined");
        self.order(Effect::Register { claim: claim.into(), node: facts.name.clone() });
        self.order(Effect::Initialize { claim: claim.into(), node: facts.name.clone() });
        self.until(Span(now.0 + Span::mins(3).0));
        self.node_of(claim).expect("the node is there")
    }

    pub(crate) fn instance_of(&self, claim: &str) -> Option<InstanceFacts> {
        self.world
            .list_instances(self.world.now())
            .into_iter()
            .find(|facts| facts.claim == Some(claim.into()))
    }

    pub(crate) fn node_of(&mut self, claim: &str) -> Option<NodeFacts> {
        let instance = self.instance_of(claim)?.instance;
        let now = self.world.now();
        self.world.list(now).into_iter().find_map(|observation| match observation {
            Observation::Node(facts) if facts.instance.as_ref() == Some(&instance) => Some(facts),
            _ => None,
        })
    }

    pub(crate) fn pods(&mut self) -> Vec<PodFacts> {
        let now = self.world.now();
        let pods = self.world.list(now).into_iter();
        pods.filter_map(|observation| match observation {
            Observation::Pod(facts) => Some(facts),
            _ => None,
        })
        .collect()
    }
}

pub(crate) fn request(claim: &str, types: &[&str], capacity_types: &[CapacityType]) -> LaunchRequest {
    let places: Vec<Place> = ["z-1a", "z-1b"]
        .iter()
        .flat_map(|zone| {
            capacity_types
                .iter()
                .map(|capacity_type| Place { zone: (*zone).into(), capacity_type: *capacity_type })
        })
        .collect();
    LaunchRequest {
        claim: claim.into(),
        pool: Some("default".into()),
        is_adopted: false,
        template: Arc::new(pool()),
        requests: Resources::default(),
        requirements: Requirements::new(),
        options: types
            .iter()
            .map(|name| LaunchOption {
                instance_type: (*name).into(),
                places: (1 << places.len()) - 1,
                price: Price(1),
            })
            .collect(),
        places,
    }
}

/// What a controller that may have changed its mind since the last time knows.
pub(crate) fn known_claims(
    known: &dyn Fn(&ClaimName, &InstanceId) -> bool,
    collect_after: Span,
    now: Time,
) -> KnownClaims<'_> {
    KnownClaims { known, collect_after, gone: now.0 as u64 }
}
