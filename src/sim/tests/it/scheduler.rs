//! The simulated scheduler against one that is as plain as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use purser_engine::model::*;
use purser_engine::port::Observation;
use purser_sim::keyed::Delay;
use purser_sim::scenario::*;
use purser_sim::{Faults, Scenario, World};

use crate::common::*;

/// What is known of a pod: its place, and whether it is being deleted.
#[derive(Clone)]
struct Placed {
    spec: Arc<PodSpec>,
    node: Option<usize>,
    leaving: bool,
}

struct Plain {
    nodes: Vec<NodeFacts>,
    pods: BTreeMap<usize, Placed>,
}

impl Plain {
    fn labels(&self, node: usize) -> Labels {
        let mut labels = (*self.nodes[node].labels).clone();
        labels.insert(label::HOSTNAME.into(), self.nodes[node].name.as_shared().clone());
        labels
    }

    fn on(&self, node: usize) -> impl Iterator<Item = &Placed> {
        self.pods.values().filter(move |pod| pod.node == Some(node))
    }

    fn free(&self, node: usize) -> Resources {
        self.on(node).fold(self.nodes[node].allocatable.clone(), |free, pod| free.minus(&pod.spec.requests))
    }

    /// Pods in the domain of a node.
    fn in_domain<'a>(&'a self, key: &Str, node: usize) -> Option<Vec<&'a Placed>> {
        let own = self.labels(node).get(key)?.clone();
        let same = |other: &usize| self.labels(*other).get(key) == Some(&own);
        Some((0..self.nodes.len()).filter(same).flat_map(|other| self.on(other)).collect())
    }

    fn matches(&self, spec: &PodSpec, node: usize) -> bool {
        spec.node_alternatives().iter().any(|one| one.first_unmet(&self.labels(node)).is_none())
    }

    fn tolerated(&self, spec: &PodSpec, node: usize) -> bool {
        first_untolerated(&self.nodes[node].taints, &spec.tolerations).is_none()
            && !self.nodes[node].unschedulable
    }

    fn spread_ok(&self, spec: &PodSpec, spread: &TopologySpread, node: usize) -> bool {
        let count = |node: usize| {
            let counted = |pod: &&&Placed| !pod.leaving && spread.selector.matches(&pod.spec.labels);
            self.in_domain(&spread.topology_key, node).map(|pods| pods.iter().filter(counted).count())
        };
        let eligible = (0..self.nodes.len()).filter(|other| {
            (spread.node_affinity_policy == SpreadPolicy::Ignore || self.matches(spec, *other))
                && (spread.node_taints_policy == SpreadPolicy::Ignore || self.tolerated(spec, *other))
        });
        let mut domains: BTreeMap<Str, usize> = BTreeMap::new();
        for other in eligible {
            if let Some(value) = self.labels(other).get(&spread.topology_key) {
                domains.insert(value.clone(), count(other).unwrap_or(0));
            }
        }
        let too_few = spread.min_domains.is_some_and(|least| domains.len() < least as usize);
        let floor = if too_few { 0 } else { domains.values().copied().min().unwrap_or(0) };
        let own = usize::from(spread.selector.matches(&spec.labels));
        count(node).is_some_and(|count| count + own <= floor + spread.max_skew as usize)
    }

    fn affinity_ok(&self, spec: &PodSpec, term: &PodAffinity, node: usize) -> bool {
        let there = self.in_domain(&term.topology_key, node);
        let selected = |pod: &&Placed| term.selector.matches(&pod.spec.labels);
        if term.anti {
            return there.is_none_or(|pods| !pods.iter().any(&selected));
        }
        // As Kubernetes counts: pods on nodes without the key are in no domain, and so do not count.
        let in_some_domain =
            |pod: &&Placed| pod.node.is_some_and(|node| self.labels(node).contains_key(&term.topology_key));
        let any = self.pods.values().filter(in_some_domain).any(|pod| selected(&pod));
        there.is_some_and(|pods| pods.iter().any(selected) || (!any && term.selector.matches(&spec.labels)))
    }

    fn feasible(&self, spec: &PodSpec, node: usize) -> bool {
        let kept_away = self.pods.values().filter(|pod| pod.node.is_some()).any(|pod| {
            pod.spec.affinity.iter().any(|term| {
                let own = pod.node.and_then(|own| self.labels(own).get(&term.topology_key).cloned());
                term.anti
                    && term.selector.matches(&spec.labels)
                    && own.is_some()
                    && own.as_ref() == self.labels(node).get(&term.topology_key)
            })
        });
        let ports_free = spec.host_ports.iter().all(|port| {
            !self.on(node).any(|pod| {
                pod.spec.host_ports.iter().any(|taken| {
                    taken.port == port.port
                        && (taken.ip == port.ip || taken.ip.is_empty() || port.ip.is_empty())
                })
            })
        });
        spec.requests.fits(&self.free(node))
            && self.matches(spec, node)
            && self.tolerated(spec, node)
            && ports_free
            && !kept_away
            && spec.spread.iter().all(|spread| self.spread_ok(spec, spread, node))
            && spec.affinity.iter().all(|term| self.affinity_ok(spec, term, node))
    }

    /// Binds what can be bound: rounds over all pods, in order, until one binds nothing. Of pods alike, none
    /// is tried after one failed.
    fn bind_all(&mut self) {
        loop {
            let mut waiting: Vec<usize> =
                self.pods.iter().filter(|(_, pod)| pod.node.is_none()).map(|(n, _)| *n).collect();
            waiting.sort_by_key(|number| (-self.pods[number].spec.priority, *number));
            let mut failed: BTreeSet<Arc<PodSpec>> = BTreeSet::new();
            let mut bound = false;
            for number in waiting {
                let spec = Arc::clone(&self.pods[&number].spec);
                if failed.contains(&spec) {
                    continue;
                }
                let best =
                    (0..self.nodes.len()).filter(|node| self.feasible(&spec, *node)).max_by_key(|node| {
                        let left = self.free(*node).minus(&spec.requests);
                        let all = &self.nodes[*node].allocatable;
                        let score = (left.cpu_millis * 100 / all.cpu_millis
                            + left.memory_bytes * 100 / all.memory_bytes)
                            / 2;
                        (score, std::cmp::Reverse(self.nodes[*node].name.clone()))
                    });
                match best {
                    Some(node) => {
                        self.pods.get_mut(&number).expect("it waits").node = Some(node);
                        bound = true;
                    }
                    None => {
                        failed.insert(spec);
                    }
                }
            }
            if !bound {
                return;
            }
        }
    }
}

fn node() -> impl Strategy<Value = NodeFacts> {
    let taint = prop::sample::select(vec!["", "dedicated"]);
    (
        1i64..6,
        2i64..9,
        2i64..8,
        0i64..3,
        prop::sample::select(vec!["a", "b", ""]),
        taint,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(cpu, memory, pods, gpus, zone, taint, unschedulable)| {
            let mut allocatable =
                Resources::from_iter([("cpu", cpu * 1_000), ("memory", memory << 30), ("pods", pods)]);
            allocatable.set("nvidia.com/gpu", gpus);
            let mut labels = Labels::from([("size".into(), if cpu > 3 { "big" } else { "small" }.into())]);
            if !zone.is_empty() {
                labels.insert(label::ZONE.into(), zone.into());
            }
            let taints = (!taint.is_empty()).then(|| Taint {
                key: taint.into(),
                value: "".into(),
                effect: TaintEffect::NoSchedule,
            });
            NodeFacts {
                name: "n".into(),
                instance: None,
                labels: Arc::new(labels),
                taints: taints.into_iter().collect(),
                allocatable,
                ready: true,
                unschedulable,
                do_not_disrupt: false,
                created: START,
                deleting: false,
            }
        })
}

fn spread(app: &'static str) -> impl Strategy<Value = TopologySpread> {
    let policy = || prop::sample::select(vec![SpreadPolicy::Honor, SpreadPolicy::Ignore]);
    let least = prop::option::of(prop::sample::select(vec![1, 3, 20, 2_147_483_647]));
    (prop::sample::select(vec![label::HOSTNAME, label::ZONE]), 1u32..3, least, policy(), policy()).prop_map(
        move |(key, max_skew, min_domains, node_affinity_policy, node_taints_policy)| TopologySpread {
            topology_key: key.into(),
            max_skew,
            min_domains,
            when_unsatisfiable: Unsatisfiable::DoNotSchedule,
            selector: LabelSelector::from(&Labels::from([("app".into(), app.into())])),
            node_affinity_policy,
            node_taints_policy,
        },
    )
}

fn term() -> impl Strategy<Value = PodAffinity> {
    (
        prop::sample::select(vec![label::HOSTNAME, label::ZONE]),
        prop::sample::select(vec!["a", "b", "c"]),
        prop::bool::weighted(0.7),
    )
        .prop_map(|(key, app, anti)| PodAffinity {
            topology_key: key.into(),
            selector: LabelSelector::from(&Labels::from([("app".into(), app.into())])),
            namespaces: NamespaceSelector::Own,
            anti,
            weight: None,
        })
}

fn pod_spec() -> impl Strategy<Value = PodSpec> {
    let app = prop::sample::select(vec!["a", "b", "c"]);
    let sizes = (
        prop::sample::select(vec![100i64, 700, 1_500, 3_000]),
        1i64..3,
        prop::sample::select(vec![0i64, 0, 0, 1]),
    );
    let place = (prop::bool::weighted(0.2), prop::bool::weighted(0.3), prop::bool::weighted(0.15), 0i32..2);
    let relations = (
        prop::option::weighted(0.3, spread("a")),
        prop::option::weighted(0.3, term()),
        prop::option::weighted(0.15, prop::sample::select(vec!["", "10.0.0.1", "10.0.0.2"])),
    );
    (app, sizes, place, relations).prop_map(
        |(app, (cpu, memory, gpus), (big, tolerates, by_host, priority), (spread, term, port))| {
            let mut spec = spec(app, cpu);
            spec.requests.memory_bytes = memory << 30;
            spec.requests.set("nvidia.com/gpu", gpus);
            spec.priority = priority;
            if big {
                spec.node_selector.insert("size".into(), "big".into());
            }
            if by_host {
                let hosts = Requirement::one_of(["n-0", "n-2"].map(Str::from));
                spec.required_terms.push([(Str::from(label::HOSTNAME), hosts)].into_iter().collect());
            }
            if tolerates {
                let operator = TolerationOperator::Exists;
                spec.tolerations.push(Toleration {
                    key: Some("dedicated".into()),
                    operator,
                    value: "".into(),
                    effect: None,
                });
            }
            spec.spread.extend(spread);
            spec.affinity.extend(term);
            spec.host_ports.extend(port.map(|ip| HostPort {
                ip: ip.into(),
                port: 80,
                protocol: Protocol::Tcp,
            }));
            spec
        },
    )
}

fn placements(world: &mut World) -> BTreeMap<Str, Option<NodeName>> {
    let now = world.now();
    let all = world.list(now).into_iter();
    all.filter_map(|observation| match observation {
        Observation::Pod(pod) => Some((pod.key.name, pod.node)),
        _ => None,
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn pods_go_where_a_plain_scheduler_puts_them(
        nodes in prop::collection::vec(node(), 1..7),
        specs in prop::collection::vec(pod_spec(), 1..6),
        pods in prop::collection::vec(any::<prop::sample::Index>(), 1..24),
        deleted in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        cordoned in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..3),
    ) {
        let nodes: Vec<NodeFacts> = nodes.into_iter().enumerate()
            .map(|(n, node)| NodeFacts { name: NodeName::from(&*format!("n-{n}")), ..node }).collect();
        let specs: Vec<Arc<PodSpec>> = specs.into_iter().map(Arc::new).collect();
        let pods: Vec<Arc<PodSpec>> = pods.iter().map(|at| Arc::clone(at.get(&specs))).collect();
        let key = |n: usize| PodKey::new("default", format!("p-{n}"));
        let mut scenario = Scenario::new("random", START);
        scenario.nodes = nodes.clone();
        scenario.pods = pods.iter().enumerate().map(|(n, spec)| BarePod { key: key(n), spec: Arc::clone(spec), at: START, node: None, duration: None }).collect();
        let later = START + Span::mins(2);
        let deleted: BTreeSet<usize> = deleted.iter().map(|at| at.index(pods.len())).collect();
        scenario.changes.extend(deleted.iter().map(|n| (later, Change::DeletePod(key(*n)))));
        let cordoned: Vec<(usize, bool)> = cordoned.iter().map(|(at, cordon)| (at.index(nodes.len()), *cordon)).collect();
        scenario.changes.extend(cordoned.iter().map(|(n, cordon)| (later, Change::Cordon(nodes[*n].name.clone(), *cordon))));
        let faults = Faults { pod_stop: Delay::fixed(Span::secs(5)), ..Faults::none() };
        let mut world = World::new(scenario, 7, faults);
        let mut plain = Plain { nodes, pods: BTreeMap::new() };
        for (n, spec) in pods.iter().enumerate() {
            plain.pods.insert(n, Placed { spec: Arc::clone(spec), node: None, leaving: false });
        }
        let mut compare = |plain: &Plain, until: Time| -> Result<(), TestCaseError> {
            world.advance(until);
            let expected: BTreeMap<Str, Option<NodeName>> = plain.pods.iter()
                .map(|(n, pod)| (key(*n).name, pod.node.map(|node| plain.nodes[node].name.clone()))).collect();
            prop_assert_eq!(placements(&mut world), expected);
            prop_assert_eq!(world.audit(), Ok(()));
            prop_assert_eq!(world.check(until, None), Ok(()));
            Ok(())
        };
        plain.bind_all();
        compare(&plain, START + Span::mins(1))?;
        for n in &deleted {
            match plain.pods[n].node {
                Some(_) => plain.pods.get_mut(n).unwrap().leaving = true,
                None => { plain.pods.remove(n); }
            }
        }
        for (node, cordon) in &cordoned {
            plain.nodes[*node].unschedulable = *cordon;
        }
        plain.bind_all();
        compare(&plain, later + Span::secs(4))?;
        plain.pods.retain(|_, pod| !pod.leaving);
        plain.bind_all();
        compare(&plain, later + Span::mins(1))?;
    }
}
