//! Scheduling problems that are made up: the mix of Karpenter's own benchmark, and shapes that schedulers are known to find hard.
//!
//! Source of the mix: Karpenter, pkg/controllers/provisioning/scheduling/scheduling_benchmark_test.go.
//!
//! **Invariant:** a problem is a function of its numbers: chance is drawn from a fixed seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use purser_engine::event::SpecId;
use purser_engine::model::{
    ConsolidationPolicy, Disruption, LabelSelector, Labels, Limits, NamespaceSelector, NodePool,
    NodeTemplate, PodAffinity, PodKey, PodSpec, PreferredTerm, Price, Requirement, Requirements, Resources,
    SpreadPolicy, Str, Time, TopologySpread, Uid, Unsatisfiable, label,
};
use purser_engine::schedule::{
    Attachable, BuyOption, Host, HostLabels, PendingPod, PlacedPod, PoolOffer, Problem, Rules, TypeOffer,
};

const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;
const ZONES: [&str; 3] = ["test-zone-1", "test-zone-2", "test-zone-3"];

/// A problem that owns what it consists of.
pub(crate) struct Made {
    rules: Rules,
    pools: Vec<PoolOffer>,
    hosts: Vec<Host>,
    specs: Vec<Arc<PodSpec>>,
    pods: Vec<PendingPod>,
    namespaces: BTreeMap<Str, Labels>,
    ids: BTreeMap<Arc<PodSpec>, SpecId>,
    wary: BTreeSet<SpecId>,
    attachable: Attachable,
    chance: u64,
}

impl Made {
    fn new(types: usize) -> Self {
        let ways = ways();
        let types = (0..types).map(|number| fake_type(number, &ways)).collect();
        let well_known = ["integer", "size", "special"].map(Str::from).into();
        Self {
            rules: Rules { max_types: 600, well_known, ..Rules::default() },
            pools: vec![pool("default", "", types)],
            hosts: Vec::new(),
            specs: Vec::new(),
            pods: Vec::new(),
            namespaces: BTreeMap::new(),
            ids: BTreeMap::new(),
            wary: BTreeSet::new(),
            attachable: Attachable::default(),
            chance: 42,
        }
    }

    pub(crate) fn problem(&self) -> Problem<'_> {
        Problem {
            rules: &self.rules,
            pools: &self.pools,
            hosts: &self.hosts,
            specs: &self.specs,
            pods: &self.pods,
            namespaces: &self.namespaces,
            wary: &self.wary,
            devices: None,
            attachable: &self.attachable,
        }
    }

    /// One of so many (splitmix64).
    fn one_of(&mut self, many: usize) -> usize {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % many as u64) as usize
    }

    fn letter(&mut self) -> &'static str {
        ["a", "b", "c", "d", "e", "f", "g"][self.one_of(7)]
    }

    fn size(&mut self) -> Resources {
        let cpu = [100, 250, 500, 1_000, 1_500][self.one_of(5)];
        let memory = [100, 256, 512, 1_024, 2_048, 4_096][self.one_of(6)];
        requests(cpu, memory * MIB)
    }

    fn spec(&mut self, spec: PodSpec) -> SpecId {
        if let Some(id) = self.ids.get(&spec) {
            return *id;
        }
        let id = SpecId(self.specs.len() as u32);
        if spec.affinity.iter().any(|term| term.anti && term.weight.is_none()) {
            self.wary.insert(id);
        }
        let spec = Arc::new(spec);
        self.specs.push(Arc::clone(&spec));
        self.ids.insert(spec, id);
        id
    }

    fn pod(&mut self, spec: PodSpec) {
        let spec = self.spec(spec);
        let number = self.pods.len();
        let uid = Uid((self.one_of(usize::MAX) as u128) << 64 | number as u128);
        let key = PodKey::new("default", format!("pod-{number:06}"));
        self.pods.push(PendingPod { key, spec, created: Time(0), uid, volumes: Vec::new(), group: None });
    }

    fn generic(&mut self) {
        let (labels, requests) = (labels("my-label", self.letter()), self.size());
        self.pod(PodSpec { labels, requests, ..PodSpec::default() });
    }

    fn spreading(&mut self, key: &str) {
        // Whom a pod counts is not always itself.
        let (own, counted, requests) = (self.letter(), self.letter(), self.size());
        let spread = vec![spread(key, &labels("my-label", counted))];
        self.pod(PodSpec { labels: labels("my-label", own), requests, spread, ..PodSpec::default() });
    }

    fn near(&mut self) {
        let (own, requests) = (labels("my-affininity", self.letter()), self.size());
        let affinity = vec![affinity(label::ZONE, &own, false, None)];
        self.pod(PodSpec { labels: own, requests, affinity, ..PodSpec::default() });
    }

    fn apart(&mut self) {
        let (own, requests) = (labels("app", "nginx"), self.size());
        let affinity = vec![affinity(label::HOSTNAME, &own, true, None)];
        self.pod(PodSpec { labels: own, requests, affinity, ..PodSpec::default() });
    }

    /// Nodes of 16 cores that are there, a pod on each.
    fn hosts(&mut self, count: usize) {
        let spec = PodSpec { labels: labels("app", "there"), ..PodSpec::default() };
        let spec = self.spec(spec);
        let of_zone = ZONES.map(|zone| Arc::new(HostLabels::Known(node_labels(zone))));
        for number in 0..count {
            let name: Str = format!("node-{number:05}").into();
            self.hosts.push(Host {
                hostname: name.clone(),
                name,
                labels: Arc::clone(&of_zone[number % ZONES.len()]),
                taints: Vec::new(),
                free: [("cpu", 15_900), ("memory", 60 * GIB), ("pods", 109)].into_iter().collect(),
                pods: vec![PlacedPod { namespace: "default".into(), spec }],
                ports: Vec::new(),
                drivers: Vec::new(),
                open: true,
            });
        }
    }
}

/// The mix of Karpenter's benchmark.
pub(crate) fn diverse(pods: usize, types: usize) -> Made {
    let mut made = Made::new(types);
    let part = pods / 5;
    (0..pods - 4 * part).for_each(|_| made.generic());
    (0..part).for_each(|_| made.spreading(label::ZONE));
    (0..part).for_each(|_| made.spreading(label::HOSTNAME));
    (0..part).for_each(|_| made.near());
    (0..part).for_each(|_| made.apart());
    made
}

/// The same with pools that have no limits.
pub(crate) fn unlimited(mut made: Made) -> Made {
    for offer in &mut made.pools {
        Arc::make_mut(&mut offer.pool).limits = Limits::default();
    }
    made
}

/// Pods that may not share a node with each other.
pub(crate) fn apart(pods: usize) -> Made {
    let mut made = Made::new(400);
    (0..pods).for_each(|_| made.apart());
    made
}

/// The mix, on nodes that are there.
pub(crate) fn on_hosts(pods: usize, hosts: usize) -> Made {
    let mut made = diverse(pods, 400);
    made.hosts(hosts);
    made
}

/// Workloads that spread by zone, each with a constraint of its own.
pub(crate) fn spreads(pods: usize, constraints: usize) -> Made {
    let mut made = Made::new(400);
    for number in 0..pods {
        let own = labels("app", &format!("app-{}", number % constraints));
        let requests = made.size();
        let spread = vec![spread(label::ZONE, &own)];
        made.pod(PodSpec { labels: own, requests, spread, ..PodSpec::default() });
    }
    made
}

/// The mix with many pools, of which each pod but the anti-affine ones asks for one.
pub(crate) fn many_pools(pods: usize, pools: usize) -> Made {
    let mut made = diverse(pods, 100);
    let types = Arc::clone(&made.pools[0].types);
    made.pools = (0..pools)
        .map(|number| {
            let (name, team) = (format!("pool-{number:03}"), format!("t{number}"));
            PoolOffer { types: Arc::clone(&types), ..pool(&name, &team, Vec::new()) }
        })
        .collect();
    for number in 0..made.pods.len() {
        let mut spec = (*made.specs[made.pods[number].spec.0 as usize]).clone();
        if spec.affinity.is_empty() {
            spec.node_selector = labels("team", &format!("t{}", number % pools));
        }
        made.pods[number].spec = made.spec(spec);
    }
    made
}

/// Pods with preferences that nothing can take, each of a size of its own, before others that have a place.
pub(crate) fn starved(without: usize, with: usize, hosts: usize, pools: usize) -> Made {
    let mut made = many_pools(0, pools);
    made.hosts(hosts);
    let own = labels("app", "train");
    for number in 0..without {
        let prefer = |weight, zone: &str| PreferredTerm {
            weight,
            requirements: [(Str::from(label::ZONE), Requirement::one_of([zone.into()]))]
                .into_iter()
                .collect(),
        };
        let soft =
            TopologySpread { when_unsatisfiable: Unsatisfiable::ScheduleAnyway, ..spread(label::ZONE, &own) };
        made.pod(PodSpec {
            labels: own.clone(),
            requests: requests(500_000 + number as i64, 24 * GIB),
            preferred_terms: vec![prefer(50, ZONES[0]), prefer(30, ZONES[1])],
            affinity: vec![affinity(label::HOSTNAME, &own, true, Some(10))],
            spread: vec![soft],
            ..PodSpec::default()
        });
    }
    (0..with).for_each(|_| made.generic());
    made
}

/// The mix of Karpenter's runs with preferences that cannot all be met.
pub(crate) fn preferring(pods: usize) -> Made {
    let mut made = Made::new(400);
    let (own, requests) = (labels("app", "nginx"), made.size());
    let zone = [(Str::from(label::ZONE), Requirement::one_of([ZONES[0].into()]))];
    for _ in 0..pods {
        let preferred_terms =
            vec![PreferredTerm { weight: 1, requirements: zone.clone().into_iter().collect() }];
        let affinity =
            vec![affinity(label::ZONE, &own, true, Some(10)), affinity(label::HOSTNAME, &own, true, Some(1))];
        let requests = requests.clone();
        made.pod(PodSpec { labels: own.clone(), requests, preferred_terms, affinity, ..PodSpec::default() });
    }
    made
}

fn labels(key: &str, value: &str) -> Labels {
    Labels::from([(key.into(), value.into())])
}

fn requests(cpu: i64, memory: i64) -> Resources {
    [("cpu", cpu), ("memory", memory), ("pods", 1)].into_iter().collect()
}

fn spread(key: &str, counted: &Labels) -> TopologySpread {
    TopologySpread {
        topology_key: key.into(),
        max_skew: 1,
        min_domains: None,
        when_unsatisfiable: Unsatisfiable::DoNotSchedule,
        selector: LabelSelector::from(counted),
        node_affinity_policy: SpreadPolicy::Honor,
        node_taints_policy: SpreadPolicy::Ignore,
    }
}

fn affinity(key: &str, counted: &Labels, anti: bool, weight: Option<u8>) -> PodAffinity {
    PodAffinity {
        topology_key: key.into(),
        selector: LabelSelector::from(counted),
        namespaces: NamespaceSelector::Own,
        anti,
        weight,
    }
}

fn node_labels(zone: &str) -> Labels {
    let all = [
        (label::ZONE, zone),
        (label::OS, "linux"),
        (label::ARCH, "amd64"),
        (label::CAPACITY_TYPE, "on-demand"),
        (label::NODEPOOL, "default"),
    ];
    all.map(|(key, value)| (Str::from(key), Str::from(value))).into_iter().collect()
}

fn one_of<'v>(key: &str, values: impl IntoIterator<Item = &'v str>) -> (Str, Requirement) {
    (key.into(), Requirement::one_of(values.into_iter().map(Str::from)))
}

/// The ways in which all types are sold.
fn ways() -> Vec<Arc<Requirements>> {
    let spot = ZONES[..2].iter().map(|zone| ("spot", *zone));
    let all = spot.chain(ZONES.iter().map(|zone| ("on-demand", *zone)));
    let labels = |(kind, zone)| [one_of(label::CAPACITY_TYPE, [kind]), one_of(label::ZONE, [zone])];
    all.map(|way| Arc::new(labels(way).into_iter().collect())).collect()
}

fn fake_type(number: usize, ways: &[Arc<Requirements>]) -> Arc<TypeOffer> {
    let name = format!("fake-it-{number}");
    let cores = number as i64 + 1;
    let capacity: Resources =
        [("cpu", cores * 1_000), ("memory", cores * 2 * GIB), ("pods", cores * 10)].into_iter().collect();
    let overhead: Resources = [("cpu", 100), ("memory", 10 * MIB)].into_iter().collect();
    // A tenth of a dollar for each core and each 10^9 bytes, in billionths.
    let price = Price(cores * 100_000_000 + cores * 2 * GIB / 10);
    let large = cores > 4;
    let special = if large { Requirement::one_of(["optional".into()]) } else { Requirement::absent() };
    let requirements: Requirements = [
        one_of("integer", [cores.to_string().as_str()]),
        one_of(label::CAPACITY_TYPE, ["on-demand", "spot"]),
        one_of(label::ARCH, ["amd64"]),
        one_of(label::OS, ["darwin", "linux", "windows"]),
        one_of(label::INSTANCE_TYPE, [name.as_str()]),
        one_of("size", [if large { "large" } else { "small" }]),
        ("special".into(), special),
        one_of(label::ZONE, ZONES),
    ]
    .into_iter()
    .collect();
    let buy = |way: &Arc<Requirements>| BuyOption {
        requirements: Arc::clone(way),
        price,
        available: true,
        allocatable: 0,
        reservation: None,
    };
    let offerings = ways.iter().map(buy).collect();
    let allocatable = vec![capacity.minus(&overhead)];
    Arc::new(TypeOffer { name: name.as_str().into(), requirements, capacity, allocatable, offerings })
}

fn pool(name: &str, team: &str, mut types: Vec<Arc<TypeOffer>>) -> PoolOffer {
    types.sort_by(|a, b| a.name.cmp(&b.name));
    let pool = NodePool {
        name: name.into(),
        weight: 0,
        template: NodeTemplate {
            labels: if team.is_empty() { Labels::new() } else { labels("team", team) },
            ..NodeTemplate::default()
        },
        disruption: Disruption { policy: ConsolidationPolicy::WhenEmpty, ..Disruption::default() },
        limits: Limits {
            resources: vec![("cpu".into(), 10_000_000_000), ("memory".into(), 10_000_000 * GIB)],
            nodes: None,
        },
        replicas: None,
        hash: "bench".into(),
        ready: true,
    };
    PoolOffer {
        pool: Arc::new(pool),
        types: Arc::new(types),
        used: (Resources::default(), 0),
        daemons: Arc::new(Vec::new()),
    }
}
