//! A made-up cluster in steady use, as the events of a log: nodes come with their pods and go with them.
//!
//! The mix of kinds is that of the built-in day: half of it about pods, the rest the stations of nodes from launch to
//! termination. No decision here was decided by the engine; what matters is that the log folds to a State of the size
//! of a real one, and that its records look like real ones.
//!
//! Invariant: the events are a function of the calls, without chance and without a clock.

use std::collections::VecDeque;
use std::sync::Arc;

use purser_engine::event::{Control, Decision, Event, Fact, LabelSetId, LaunchOption, Place, SpecId, Target};
use purser_engine::model::{
    CapacityType, ClaimName, DisruptionReason, InstanceId, InstanceType, NodeName, OwnerKind, PodKey,
    PodPhase, PodSpec, Price, Requirements, Resources, Str, Taint, Time, Uid, Zone, label,
};
use purser_engine::settings::Settings;
use purser_sim::trace;

/// When the log begins.
pub(crate) const START: Time = Time(1_784_505_600_000_000);

const ZONES: [&str; 3] = ["us-east-1a", "us-east-1b", "us-east-1c"];
const SPECS: u32 = 50;
/// The type of all nodes: ten pods leave a little of its 16 cores free.
const TYPE: &str = "m5.4xlarge";
/// As many instance types as the engine puts into a launch.
const OPTIONS: usize = 60;

/// A node and what runs on it.
struct Host {
    claim: ClaimName,
    node: NodeName,
    instance: InstanceId,
    zone: usize,
    pods: Vec<PodKey>,
}

/// The cluster.
pub(crate) struct Cluster {
    /// The time of what happens next; the caller lets it pass.
    pub(crate) now: Time,
    hosts: VecDeque<Host>,
    types: Vec<Arc<InstanceType>>,
    options: Vec<LaunchOption>,
    launches: u64,
    pods: u64,
}

/// What the pods of a spec ask for.
fn requests(spec: u32) -> Resources {
    let (cpu, memory) = (1_300 + 5 * i64::from(spec), (4 << 30) + (i64::from(spec) << 20));
    [("cpu", cpu), ("memory", memory), ("pods", 1)].into_iter().collect()
}

impl Cluster {
    /// An empty cluster, and how its log begins: controller, catalogue, a pool, specs and label sets.
    pub(crate) fn new(out: &mut Vec<Event>) -> Self {
        let types = trace::default_types();
        let mut options: Vec<LaunchOption> = types
            .iter()
            .filter_map(|one| {
                let on_demand = one.offerings.iter().filter(|o| o.capacity_type == CapacityType::OnDemand);
                let price = on_demand.map(|offering| offering.price).min()?;
                Some(LaunchOption { instance_type: one.name.clone(), places: 0b111, price })
            })
            .collect();
        options.sort_by_key(|option| option.price);
        let own = options.iter().position(|option| option.instance_type.as_str() == TYPE).unwrap();
        let options = options[own..].iter().take(OPTIONS).cloned().collect();
        let mut cluster = Self { now: START, hosts: VecDeque::new(), types, options, launches: 0, pods: 0 };
        cluster.begin(out);
        cluster
    }

    fn begin(&mut self, out: &mut Vec<Event>) {
        out.push(
            Control::LogStarted { origin: "bench".into(), predecessor: None, reason: "new".into() }.into(),
        );
        out.push(
            Control::ControllerStarted { version: "0.0.0".into(), instance: "bench".into(), term: 1 }.into(),
        );
        out.push(Control::SettingsChanged { settings: Settings::default() }.into());
        let observed = |one: &Arc<InstanceType>| {
            Event::from(Fact::InstanceTypeObserved { instance_type: Arc::clone(one) })
        };
        out.extend(self.types.iter().map(observed));
        out.push(Fact::NodePoolObserved { pool: Arc::new(trace::default_pool()) }.into());
        for spec in 0..SPECS {
            let facts =
                PodSpec { requests: requests(spec), owner: OwnerKind::Controller, ..PodSpec::default() };
            out.push(Fact::PodSpecDefined { id: SpecId(spec), spec: Arc::new(facts) }.into());
        }
        for (id, zone) in (0..).zip(ZONES) {
            let labels = [
                (label::NODEPOOL, "default"),
                (label::INSTANCE_TYPE, TYPE),
                (label::ZONE, zone),
                (label::CAPACITY_TYPE, "on-demand"),
                (label::ARCH, "amd64"),
                (label::OS, "linux"),
            ];
            let labels = labels.map(|(key, value)| (Str::from(key), Str::from(value))).into_iter().collect();
            out.push(Fact::LabelSetDefined { id: LabelSetId(id), labels: Arc::new(labels) }.into());
        }
    }

    fn next_pod(&mut self) -> (PodKey, Uid, SpecId) {
        self.pods += 1;
        let number = self.pods;
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let spec = (number % u64::from(SPECS)) as u32;
        let name = format!("web-{:02}-{:08x}-{:05x}", spec, spec.wrapping_mul(0x85eb_ca6b), mixed >> 44);
        let key = PodKey::new("default", format!("{name}{number:x}"));
        (key, Uid(u128::from(mixed) << 64 | u128::from(number)), SpecId(spec))
    }

    fn observed(&self, pod: &(PodKey, Uid, SpecId), phase: PodPhase, node: Option<&NodeName>) -> Event {
        let (pod, uid, spec) = pod.clone();
        Fact::PodObserved { pod, uid, spec, created: self.now, phase, node: node.cloned() }.into()
    }

    /// Pods appear that nothing was decided about yet.
    pub(crate) fn pending(&mut self, count: usize, out: &mut Vec<Event>) {
        for _ in 0..count {
            let pod = self.next_pod();
            out.push(self.observed(&pod, PodPhase::Pending, None));
        }
    }

    /// A node is launched for this many new pods, and they run on it: three are seen while they wait, the others when
    /// they run.
    pub(crate) fn launch(&mut self, pods: usize, out: &mut Vec<Event>) {
        self.launches += 1;
        let number = self.launches;
        let zone = (number % ZONES.len() as u64) as usize;
        let host = Host {
            claim: ClaimName::new(format!("default-{number:05}")),
            node: NodeName::new(format!(
                "ip-10-{}-{}-{}.ec2.internal",
                number >> 16,
                number >> 8 & 255,
                number & 255
            )),
            instance: InstanceId::new(format!("i-{:017x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))),
            zone,
            pods: Vec::new(),
        };
        let new: Vec<_> = (0..pods).map(|_| self.next_pod()).collect();
        let (early, late) = new.split_at(pods.min(3));
        out.extend(early.iter().map(|pod| self.observed(pod, PodPhase::Pending, None)));
        out.push(Control::TimePassed.into());
        let all = early.iter().fold(Resources::default(), |sum, (_, _, spec)| sum.plus(&requests(spec.0)));
        let claim = host.claim.clone();
        let place = |zone: &str| Place { zone: zone.into(), capacity_type: CapacityType::OnDemand };
        let requirements: Requirements = trace::default_pool().template.requirements;
        out.push(
            Decision::Launch {
                claim: claim.clone(),
                pool: "default".into(),
                hash: "bench".into(),
                requirements,
                requests: all.clone(),
                pods: early.iter().map(|(pod, _, _)| pod.clone()).collect(),
                places: ZONES.map(place).into(),
                options: self.options.clone(),
                reserved: all,
                considered: self.types.len() as u32,
            }
            .into(),
        );
        out.push(
            Fact::InstanceLaunched {
                claim: claim.clone(),
                instance: host.instance.clone(),
                instance_type: TYPE.into(),
                zone: Zone::new(ZONES[zone]),
                capacity_type: CapacityType::OnDemand,
                price: Price(768_000),
            }
            .into(),
        );
        out.push(self.node(&host, vec![Taint::unregistered()], false));
        out.push(Decision::Register { claim: claim.clone(), node: host.node.clone() }.into());
        out.push(self.node(&host, Vec::new(), false));
        out.push(self.node(&host, Vec::new(), true));
        out.push(Decision::Initialize { claim, node: host.node.clone() }.into());
        for (pod, _, _) in early {
            out.push(Fact::PodBound { pod: pod.clone(), node: host.node.clone() }.into());
        }
        out.extend(late.iter().map(|pod| self.observed(pod, PodPhase::Bound, Some(&host.node))));
        self.hosts.push_back(Host { pods: new.into_iter().map(|(pod, _, _)| pod).collect(), ..host });
    }

    fn node(&self, host: &Host, taints: Vec<Taint>, ready: bool) -> Event {
        let own = self.types.iter().find(|one| one.name.as_str() == TYPE).unwrap();
        Fact::NodeObserved {
            node: host.node.clone(),
            instance: Some(host.instance.clone()),
            labels: LabelSetId(host.zone as u32),
            taints,
            allocatable: own.allocatable(),
            ready,
            unschedulable: false,
            do_not_disrupt: false,
            created: self.now,
            deleting: false,
        }
        .into()
    }

    /// More pods run on the nodes that are there.
    pub(crate) fn fill(&mut self, count: usize, out: &mut Vec<Event>) {
        for at in 0..count {
            let pod = self.next_pod();
            let host = at % self.hosts.len();
            out.push(self.observed(&pod, PodPhase::Bound, Some(&self.hosts[host].node)));
            self.hosts[host].pods.push(pod.0);
        }
    }

    /// The oldest node goes with its pods, and a new one comes with as many: some 50 records.
    pub(crate) fn turn(&mut self, out: &mut Vec<Event>) {
        let Some(host) = self.hosts.pop_front() else { return };
        let claim = host.claim.clone();
        out.push(Control::TimePassed.into());
        out.push(
            Decision::Disrupt {
                reason: DisruptionReason::Empty,
                candidates: vec![claim.clone()],
                replacements: Vec::new(),
                savings: Price(768_000),
                allowed: Some(200),
                used: 0,
            }
            .into(),
        );
        out.push(Decision::Taint { claim: claim.clone() }.into());
        out.push(Fact::NodeTainted { claim: claim.clone() }.into());
        out.push(self.node(&host, vec![Taint::disrupted()], true));
        out.push(Decision::Drain { claim: claim.clone(), deadline: None }.into());
        for (at, pod) in host.pods.iter().enumerate() {
            if at % 3 > 0 {
                let phase = PodPhase::Terminating;
                let moved = Fact::PodPhaseChanged { pod: pod.clone(), phase, started: None, ends: None };
                out.push(moved.into());
            }
            out.push(Fact::PodDeleted { pod: pod.clone() }.into());
        }
        out.push(self.node(&host, vec![Taint::disrupted()], false));
        out.push(Decision::Terminate { claim, instance: Some(host.instance.clone()), attached: 0 }.into());
        out.push(Fact::InstanceGone { instance: host.instance.clone() }.into());
        out.push(Fact::NodeDeleted { node: host.node.clone() }.into());
        self.launch(host.pods.len(), out);
        let last = self.hosts.back().map(|host| Target::Claim(host.claim.clone()));
        out.extend(last.map(|target| Decision::Nominate { target, pods: Vec::new() }.into()));
    }
}
