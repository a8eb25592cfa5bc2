//! The scheduler's main rules, one by one, through its public interface.
//!
//! **Invariant:** each problem is as small as the rule allows, so that a failure names the rule.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use purser_engine::event::SpecId;
use purser_engine::model::{
    Disruption, LabelExpression, LabelOperator, LabelSelector, Limits, NamespaceSelector, NodePool,
    NodeTemplate, PodAffinity, PodKey, PodSpec, PreferredTerm, Price, Requirement, Requirements, Resources,
    SpreadPolicy, Taint, TaintEffect, Time, TopologySpread, Uid, Unsatisfiable, label,
};
use purser_engine::reason::ReasonId;
use purser_engine::schedule::{
    Attachable, BuyOption, Host, HostDriver, HostLabels, Launch, PendingPod, PlacedPod, Plan, PodVolume,
    PoolOffer, Problem, Rules, TypeOffer, effective_zones, solve,
};
use purser_engine::settings::MinValuesPolicy;

const ZONES: [&str; 3] = ["a", "b", "c"];

fn one_of(key: &str, values: &[&str]) -> Requirements {
    let mut requirements = Requirements::new();
    requirements.add(key, Requirement::one_of(values.iter().map(|value| (*value).into())));
    requirements
}

fn resources(cpu_millis: i64, pods: i64) -> Resources {
    let mut resources = Resources::default();
    resources.cpu_millis = cpu_millis;
    resources.memory_bytes = cpu_millis << 20;
    resources.pods = pods;
    resources
}

/// A type with so many cores, in all zones, on demand and as spot capacity.
fn instance_type(name: &str, cores: i64) -> TypeOffer {
    let capacity = resources(cores * 1000, 20);
    let mut offerings = Vec::new();
    for zone in ZONES {
        for (kind, price) in [("on-demand", 100), ("spot", 30)] {
            let mut requirements = one_of(label::ZONE, &[zone]);
            requirements.add_all(&one_of(label::CAPACITY_TYPE, &[kind]));
            offerings.push(BuyOption {
                requirements: Arc::new(requirements),
                price: Price(cores * price),
                available: true,
                allocatable: 0,
                reservation: None,
            });
        }
    }
    TypeOffer {
        name: name.into(),
        requirements: one_of(label::INSTANCE_TYPE, &[name]),
        allocatable: vec![capacity.clone()],
        capacity,
        offerings,
    }
}

fn pool(name: &str, types: Vec<TypeOffer>) -> PoolOffer {
    PoolOffer {
        pool: Arc::new(NodePool {
            name: name.into(),
            weight: 0,
            template: NodeTemplate::default(),
            disruption: Disruption::default(),
            limits: Limits::default(),
            replicas: None,
            hash: "".into(),
            ready: true,
        }),
        types: Arc::new(types.into_iter().map(Arc::new).collect()),
        used: (Resources::default(), 0),
        daemons: Arc::default(),
    }
}

fn two_sizes() -> Vec<TypeOffer> {
    vec![instance_type("large", 8), instance_type("small", 2)]
}

/// A problem under construction.
struct Lab {
    rules: Rules,
    pools: Vec<PoolOffer>,
    hosts: Vec<Host>,
    specs: Vec<Arc<PodSpec>>,
    pods: Vec<PendingPod>,
    attachable: Attachable,
}

impl Lab {
    fn new() -> Self {
        let pools = vec![pool("pool", two_sizes())];
        Self {
            rules: Rules::default(),
            pools,
            hosts: Vec::new(),
            specs: Vec::new(),
            pods: Vec::new(),
            attachable: Attachable::default(),
        }
    }

    fn pool(&mut self) -> &mut NodePool {
        Arc::get_mut(&mut self.pools[0].pool).unwrap()
    }

    fn spec(&mut self, spec: PodSpec) -> SpecId {
        self.specs.push(Arc::new(spec));
        SpecId(self.specs.len() as u32 - 1)
    }

    fn pods(&mut self, count: usize, spec: PodSpec) -> &mut Self {
        let spec = self.spec(spec);
        for _ in 0..count {
            let number = self.pods.len();
            self.pods.push(PendingPod {
                key: PodKey::new("default", format!("pod-{number:02}").as_str()),
                spec,
                created: Time(0),
                uid: Uid(number as u128),
                volumes: Vec::new(),
                group: None,
            });
        }
        self
    }

    fn host(&mut self, zone: &str, cpu_millis: i64) -> &mut Host {
        let name = format!("host-{}", self.hosts.len());
        let labels = BTreeMap::from([(label::ZONE.into(), zone.into())]);
        self.hosts.push(Host {
            name: name.as_str().into(),
            labels: Arc::new(HostLabels::Known(labels)),
            hostname: name.as_str().into(),
            taints: Vec::new(),
            free: resources(cpu_millis, 20),
            pods: Vec::new(),
            ports: Vec::new(),
            drivers: Vec::new(),
            open: true,
        });
        self.hosts.last_mut().unwrap()
    }

    fn solve(&self) -> Plan {
        self.ask(solve)
    }

    fn ask<R>(&self, question: impl FnOnce(&Problem<'_>) -> R) -> R {
        let is_wary = |id: &SpecId| {
            self.specs[id.0 as usize].affinity.iter().any(|term| term.anti && term.weight.is_none())
        };
        question(&Problem {
            wary: &(0..self.specs.len() as u32).map(SpecId).filter(is_wary).collect(),
            rules: &self.rules,
            pools: &self.pools,
            hosts: &self.hosts,
            specs: &self.specs,
            pods: &self.pods,
            namespaces: &BTreeMap::new(),
            devices: None,
            attachable: &self.attachable,
        })
    }
}

fn left(plan: &Plan) -> usize {
    plan.unplaced.iter().map(|unplaced| unplaced.pods.len()).sum()
}

/// How many pods are launched for in each zone; a launch that may be in several is counted as such.
fn by_zone(plan: &Plan) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for launch in &plan.launches {
        let zone = launch.requirements.get(label::ZONE).map_or("any".to_owned(), ToString::to_string);
        *counts.entry(zone).or_default() += launch.pods.len();
    }
    counts
}

fn app(name: &str, cpu_millis: i64) -> PodSpec {
    PodSpec {
        labels: BTreeMap::from([("app".into(), name.into())]),
        requests: resources(cpu_millis, 1),
        ..PodSpec::default()
    }
}

fn selects(name: &str) -> LabelSelector {
    LabelSelector(vec![LabelExpression {
        key: "app".into(),
        operator: LabelOperator::In,
        values: vec![name.into()],
    }])
}

fn spread(key: &str, of: &str, min_domains: Option<u32>) -> TopologySpread {
    TopologySpread {
        topology_key: key.into(),
        max_skew: 1,
        min_domains,
        when_unsatisfiable: Unsatisfiable::DoNotSchedule,
        selector: selects(of),
        node_affinity_policy: SpreadPolicy::Honor,
        node_taints_policy: SpreadPolicy::Ignore,
    }
}

fn near(key: &str, to: &str, anti: bool) -> PodAffinity {
    PodAffinity {
        topology_key: key.into(),
        selector: selects(to),
        namespaces: NamespaceSelector::Own,
        anti,
        weight: None,
    }
}

#[test]
fn pods_spread_over_zones() {
    let mut lab = Lab::new();
    lab.pods(6, PodSpec { spread: vec![spread(label::ZONE, "web", None)], ..app("web", 500) });
    let plan = lab.solve();
    assert_eq!(by_zone(&plan).into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn too_few_domains_allow_no_more_than_the_skew_each() {
    let mut lab = Lab::new();
    lab.pool().template.requirements = one_of(label::ZONE, &["a", "b"]);
    lab.pods(4, PodSpec { spread: vec![spread(label::ZONE, "web", Some(3))], ..app("web", 500) });
    let plan = lab.solve();
    assert_eq!(left(&plan), 2);
    assert_eq!(by_zone(&plan).into_values().collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_spread_by_host_name_opens_a_node_each() {
    let mut lab = Lab::new();
    lab.pods(3, PodSpec { spread: vec![spread(label::HOSTNAME, "web", None)], ..app("web", 500) });
    let plan = lab.solve();
    assert_eq!(plan.launches.iter().map(|launch| launch.pods.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_host_of_open_zone_counts_wherever_it_may_come_to_be() {
    let web = || app("web", 100);
    let open = |zones: &[&str]| {
        let mut lab = Lab::new();
        let there = lab.spec(PodSpec { affinity: vec![near(label::ZONE, "web", true)], ..web() });
        let host = lab.host("a", 9000);
        host.labels = Arc::new(HostLabels::Possible(one_of(label::ZONE, zones)));
        host.pods = vec![PlacedPod { namespace: "default".into(), spec: there }];
        lab
    };
    // Who keeps away from it, and whom it keeps away, goes where it will not be; not to it either.
    for affinity in [vec![near(label::ZONE, "web", true)], Vec::new()] {
        let mut lab = open(&["a", "b"]);
        lab.pods(1, PodSpec { affinity: affinity.clone(), ..web() });
        let plan = lab.solve();
        assert!(plan.hosts.is_empty(), "{plan:?}");
        assert_eq!(by_zone(&plan).into_keys().collect::<Vec<_>>(), ["In [c]"]);
        let mut lab = open(&ZONES);
        lab.pods(1, PodSpec { affinity, ..web() });
        assert_eq!(left(&lab.solve()), 1);
    }
    // Of two such hosts, neither may become the neighbour of the other.
    let mut lab = open(&["a", "b"]);
    lab.hosts.push(lab.hosts[0].clone());
    lab.hosts[1].pods.clear();
    lab.pods(1, PodSpec { affinity: vec![near(label::ZONE, "web", true)], ..web() });
    assert!(lab.solve().hosts.is_empty());
    // A spread holds whichever it becomes: there may be one in each of two zones already, and in neither for sure.
    let mut lab = open(&["a", "b"]);
    lab.specs[0] = Arc::new(web());
    lab.pods(2, PodSpec { spread: vec![spread(label::ZONE, "web", None)], ..web() });
    let plan = lab.solve();
    assert_eq!(
        (by_zone(&plan).into_iter().collect::<Vec<_>>(), left(&plan)),
        (vec![("In [c]".to_owned(), 1)], 1)
    );
}

#[test]
fn a_spread_looks_only_at_nodes_with_all_its_keys() {
    let mut lab = Lab::new();
    let bound = lab.spec(app("web", 100));
    // The host has no label `rack`, so its pod does not count for those who spread by both.
    lab.host("a", 0).pods = vec![PlacedPod { namespace: "default".into(), spec: bound }];
    lab.pool().template.requirements = one_of("rack", &["1"]);
    let both =
        vec![spread(label::ZONE, "web", None), TopologySpread { max_skew: 9, ..spread("rack", "web", None) }];
    lab.pods(3, PodSpec { spread: both, ..app("web", 500) });
    assert_eq!(by_zone(&lab.solve()).into_values().collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn what_pods_ask_for_leaves_them_zones() {
    let spreads = |min| PodSpec { spread: vec![spread(label::ZONE, "web", min)], ..app("web", 100) };
    let with = |term: PodAffinity| PodSpec { affinity: vec![term], ..app("other", 100) };
    let in_zones =
        |zones: &[&str]| PodSpec { required_terms: vec![one_of(label::ZONE, zones)], ..app("x", 1) };
    let preferred = PreferredTerm { weight: 1, requirements: one_of(label::ZONE, &["a"]) };
    let volume = |zones: &[&str]| PodVolume {
        claim: PodKey::new("default", "data"),
        driver: "csi".into(),
        topologies: vec![one_of(label::ZONE, zones)],
    };
    // The zones with a pod `web` that is there, the pod that waits, its volumes, and the zone that is left to it.
    let cases = [
        (vec![], app("x", 1), vec![], "flexible"),
        (vec![], in_zones(&["b"]), vec![], "b"),
        (vec![], in_zones(&["a", "b"]), vec![], "flexible"),
        (vec![], PodSpec { preferred_terms: vec![preferred], ..app("x", 1) }, vec![], "flexible"),
        (vec![], app("x", 1), vec![volume(&["c"])], "c"),
        (vec![], app("x", 1), vec![volume(&["b", "c"])], "flexible"),
        (vec![], in_zones(&["a", "b"]), vec![volume(&["b", "c"])], "b"),
        (vec![], in_zones(&["a"]), vec![volume(&["b"])], "none"),
        (vec!["a"], with(near(label::ZONE, "web", false)), vec![], "a"),
        (vec![], with(near(label::ZONE, "web", false)), vec![], "none"),
        (vec!["a", "b"], with(near(label::ZONE, "web", true)), vec![], "c"),
        (vec!["a"], with(near(label::ZONE, "web", true)), vec![], "flexible"),
        (vec!["a", "b", "c"], with(near(label::ZONE, "web", true)), vec![], "none"),
        (vec!["a", "b"], spreads(None), vec![], "c"),
        (vec!["a", "b", "c"], spreads(None), vec![], "flexible"),
        (vec!["a", "b", "c"], spreads(Some(4)), vec![], "none"),
        (
            vec!["a"],
            PodSpec { required_terms: vec![one_of(label::ZONE, &["a"])], ..spreads(None) },
            vec![],
            "a",
        ),
    ];
    for (there, waits, volumes, left) in cases {
        let mut lab = Lab::new();
        let web = lab.spec(app("web", 100));
        for zone in &there {
            lab.host(zone, 0).pods = vec![PlacedPod { namespace: "default".into(), spec: web }];
        }
        let case = format!("{there:?} {:?} {:?}", waits.required_terms, waits.affinity);
        lab.pods(2, waits);
        lab.pods.iter_mut().for_each(|pod| pod.volumes.clone_from(&volumes));
        let zones = lab.ask(effective_zones);
        assert_eq!(
            zones.iter().map(|(zone, pods)| (zone.as_str(), *pods)).collect::<Vec<_>>(),
            [(left, 2)],
            "{case}"
        );
    }
}

#[test]
fn the_first_of_a_group_is_near_to_itself() {
    let mut lab = Lab::new();
    lab.pods(3, PodSpec { affinity: vec![near(label::ZONE, "web", false)], ..app("web", 7000) });
    let plan = lab.solve();
    assert_eq!(left(&plan), 0);
    assert_eq!(by_zone(&plan).into_values().collect::<Vec<_>>(), [3]);
}

#[test]
fn who_wants_to_be_near_to_nobody_waits() {
    let mut lab = Lab::new();
    lab.pods(1, PodSpec { affinity: vec![near(label::ZONE, "db", false)], ..app("web", 500) });
    assert_eq!(left(&lab.solve()), 1);
}

#[test]
fn with_several_terms_the_same_pod_has_to_satisfy_all() {
    let mut lab = Lab::new();
    let (db, cache) = (lab.spec(app("db", 100)), lab.spec(app("cache", 100)));
    let placed = |spec| PlacedPod { namespace: "default".into(), spec };
    lab.host("a", 9000).pods = vec![placed(db), placed(cache)];
    let both = vec![near(label::ZONE, "db", false), near(label::ZONE, "cache", false)];
    lab.pods(1, PodSpec { affinity: both, ..app("web", 500) });
    assert_eq!(left(&lab.solve()), 1);
}

#[test]
fn pods_stay_away_from_each_other() {
    let mut lab = Lab::new();
    lab.pods(4, PodSpec { affinity: vec![near(label::ZONE, "web", true)], ..app("web", 500) });
    let plan = lab.solve();
    assert_eq!(left(&plan), 1);
    assert_eq!(by_zone(&plan).into_values().collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn pods_that_are_there_keep_others_away() {
    let mut lab = Lab::new();
    let wary = lab.spec(PodSpec { affinity: vec![near(label::ZONE, "web", true)], ..app("db", 100) });
    lab.host("a", 9000).pods = vec![PlacedPod { namespace: "default".into(), spec: wary }];
    lab.pods(1, app("web", 500));
    let plan = lab.solve();
    assert!(plan.hosts.is_empty());
    assert!(!plan.launches[0].requirements.get(label::ZONE).unwrap().has("a"));
}

/// A reservation of one instance of a type, in zone a.
fn reserve(one: &mut TypeOffer, id: &str, price: i64) {
    let mut requirements = one_of(label::ZONE, &["a"]);
    requirements.add_all(&one_of(label::CAPACITY_TYPE, &["reserved"]));
    requirements.add_all(&one_of("reservation", &[id]));
    let reservation = Some((id.into(), 1));
    one.offerings.push(BuyOption {
        requirements: Arc::new(requirements),
        price: Price(price),
        available: true,
        allocatable: 0,
        reservation,
    });
}

#[test]
fn reservations_are_shared_the_cheapest_way() {
    let mut lab = Lab::new();
    lab.rules.reservation_label = Some("reservation".into());
    let mut types = two_sizes();
    // By name the dearer one would come first.
    reserve(&mut types[0], "r-1", 9);
    reserve(&mut types[1], "r-2", 1);
    lab.pools = vec![pool("pool", types)];
    lab.pods(3, PodSpec { spread: vec![spread(label::HOSTNAME, "web", None)], ..app("web", 500) });
    let plan = lab.solve();
    let mut prices: Vec<i64> = plan.launches.iter().map(|launch| launch.types[0].price.0).collect();
    prices.sort_unstable();
    assert_eq!(prices, [1, 9, 60]);
}

#[test]
fn min_values_hold_or_are_let_go() {
    for (policy, launches) in [(MinValuesPolicy::Strict, 0), (MinValuesPolicy::BestEffort, 1)] {
        let mut lab = Lab::new();
        lab.rules.min_values = policy;
        let mut any = Requirement::any();
        any.min_values = Some(2);
        lab.pool().template.requirements.add(label::INSTANCE_TYPE, any);
        // Only the large type holds it.
        lab.pods(1, app("web", 5000));
        let plan = lab.solve();
        assert_eq!(plan.launches.len(), launches, "{policy:?}");
        assert!(plan.launches.iter().all(|launch| launch.min_values_relaxed));
    }
}

#[test]
fn a_short_list_keeps_the_values_that_are_asked_for() {
    let mut lab = Lab::new();
    let families = [("a1", "a", 1), ("a2", "a", 2), ("b1", "b", 8)];
    let types = families.map(|(name, family, cores)| {
        let mut one = instance_type(name, cores);
        one.requirements.add_all(&one_of("family", &[family]));
        one
    });
    lab.pools = vec![pool("pool", types.to_vec())];
    lab.rules.max_types = 2;
    lab.rules.well_known.insert("family".into());
    let mut any = Requirement::any();
    any.min_values = Some(2);
    lab.pool().template.requirements.add("family", any);
    lab.pods(1, app("web", 500));
    let plan = lab.solve();
    let types: Vec<usize> = plan.launches[0].types.iter().map(|one| one.type_at).collect();
    assert_eq!(types, [0, 2]);
}

#[test]
fn limits_hold_within_one_round() {
    let mut lab = Lab::new();
    lab.pool().limits.nodes = Some(2);
    lab.pods(3, app("web", 7000));
    assert_eq!((lab.solve().launches.len(), left(&lab.solve())), (2, 1));

    let mut lab = Lab::new();
    lab.pool().limits.resources = vec![("cpu".into(), 10_000)];
    lab.pods(3, app("web", 7000));
    assert_eq!((lab.solve().launches.len(), left(&lab.solve())), (1, 2));
}

#[test]
fn where_limits_are_short_the_important_pod_wins() {
    let mut lab = Lab::new();
    lab.pool().limits.nodes = Some(1);
    lab.pods(1, app("large", 7000));
    lab.pods(1, PodSpec { priority: 100, ..app("small", 6000) });
    let plan = lab.solve();
    assert_eq!(plan.launches[0].pods, [1]);
}

#[test]
fn preferences_are_given_up_from_the_least() {
    let mut lab = Lab::new();
    let prefer = |weight, zone: &str| PreferredTerm { weight, requirements: one_of(label::ZONE, &[zone]) };
    let preferred_terms = vec![prefer(1, "b"), prefer(9, "nowhere"), prefer(5, "c")];
    lab.pods(1, PodSpec { preferred_terms, ..app("web", 500) });
    let plan = lab.solve();
    // The heaviest cannot be met, so the next one counts.
    assert!(plan.launches[0].requirements.get(label::ZONE).unwrap().has("c"));
    assert!(!plan.launches[0].requirements.get(label::ZONE).unwrap().has("b"));
}

#[test]
fn a_taint_that_asks_to_keep_away_is_respected_where_there_is_another_place() {
    let avoid = Taint { key: "busy".into(), value: "".into(), effect: TaintEffect::PreferNoSchedule };
    let mut lab = Lab::new();
    lab.host("a", 9000).taints = vec![avoid.clone()];
    lab.pods(1, app("web", 500));
    assert_eq!(lab.solve().launches.len(), 1);
    lab.pool().template.taints = vec![avoid];
    assert_eq!(lab.solve().hosts, [(0, vec![0])]);
}

#[test]
fn volumes_are_reached_and_attached() {
    let mut lab = Lab::new();
    lab.host("a", 9000).drivers =
        vec![HostDriver { driver: "csi".into(), limit: Some(1), claims: Default::default() }];
    lab.pods(3, app("web", 500));
    for (number, pod) in lab.pods.iter_mut().enumerate() {
        pod.volumes = vec![PodVolume {
            claim: PodKey::new("default", format!("claim-{number}").as_str()),
            driver: "csi".into(),
            topologies: vec![one_of(label::ZONE, &["a"])],
        }];
    }
    let plan = lab.solve();
    assert_eq!(plan.hosts[0].1.len(), 1);
    assert_eq!(left(&plan), 0);
    assert!(plan.launches.iter().all(|launch| !launch.requirements.get(label::ZONE).unwrap().has("b")));
}

#[test]
fn planned_nodes_attach_no_more_than_their_type_does() {
    let claim = |number: usize| PodVolume {
        claim: PodKey::new("default", format!("claim-{number}").as_str()),
        driver: "csi".into(),
        topologies: Vec::new(),
    };
    let limits = |limit: u32| BTreeMap::from([("csi".into(), Some(limit)), ("other".into(), None)]);
    let mut lab = Lab::new();
    lab.pods(6, app("web", 100));
    // Two pods share each claim.
    lab.pods.iter_mut().enumerate().for_each(|(number, pod)| pod.volumes = vec![claim(number / 2)]);
    let types = |plan: &Plan| -> Vec<Vec<usize>> {
        let of_launch = |launch: &Launch| launch.types.iter().map(|one| one.type_at).collect();
        plan.launches.iter().map(of_launch).collect()
    };
    assert_eq!(types(&lab.solve()), [[1, 0]]);
    // The larger type attaches enough, and the lowest that a node says counts.
    lab.attachable.learn(&"small".into(), &limits(9));
    lab.attachable.learn(&"small".into(), &limits(2));
    let plan = lab.solve();
    assert_eq!(left(&plan), 0);
    for launch in &plan.launches {
        let claims: BTreeSet<usize> = launch.pods.iter().map(|pod| pod / 2).collect();
        let small = launch.types.iter().any(|one| one.type_at == 1);
        assert!(claims.len() <= 2 || !small, "{plan:?}");
    }
    // None attaches more than two.
    lab.attachable.learn(&"large".into(), &limits(2));
    let plan = lab.solve();
    assert_eq!((plan.launches.len(), left(&plan)), (2, 0));
    // A pod without volumes joins them, and they still do not become too full.
    lab.pods(2, app("db", 50));
    assert_eq!(lab.solve().launches.len(), 2);
    lab.pods[0].volumes = (10..13).map(claim).collect();
    let plan = lab.solve();
    assert_eq!(left(&plan), 1);
    assert_eq!(plan.unplaced[0].reasons[0].1.id, ReasonId::VolumeLimit);
}

#[test]
fn the_order_of_pods_does_not_matter() {
    let mut lab = Lab::new();
    lab.pods(3, PodSpec { spread: vec![spread(label::ZONE, "web", None)], ..app("web", 500) });
    lab.pods(2, app("db", 500));
    let names = |lab: &Lab| {
        let plan = lab.solve();
        let named =
            |pods: &[usize]| pods.iter().map(|pod| lab.pods[*pod].key.to_string()).collect::<Vec<_>>();
        plan.launches.iter().map(|launch| named(&launch.pods)).collect::<Vec<_>>()
    };
    let before = names(&lab);
    lab.pods.reverse();
    assert_eq!(before, names(&lab));
}
