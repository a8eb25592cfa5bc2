//! The built-in day: 24 hours of a cluster as many are, to try a controller on without a trace of one's own.
//!
//! Some forty web services whose load follows the clocks of two continents, ten steady services with numbered
//! pods, batch bursts at the hour, continuous integration by day, a nightly ETL window, GPU jobs, three
//! DaemonSets; three NodePools with limits and budgets; one deployment that rolls out; hours without capacity
//! on popular spot families; spot instances taken back.
//!
//! **Invariant:** the day is a function of its seed, in integers only.

use std::collections::BTreeSet;
use std::sync::Arc;

use purser_engine::model::{
    Budget, BudgetNodes, BudgetSchedule, CapacityType, ConsolidationPolicy, Disruption, DisruptionReason,
    DoNotDisrupt, InstanceType, LabelSelector, Labels, Limits, NodePool, NodeTemplate, OwnerKind, PodKey,
    PodSpec, Requirement, Requirements, Resources, Span, SpreadPolicy, Str, Taint, TaintEffect, Time,
    Toleration, TolerationOperator, TopologySpread, Unsatisfiable, Zone, label,
};
use purser_instances::Catalogue;

use crate::keyed::{Rate, Seed};
use crate::scenario::{
    Amount, DaemonSet, DisruptionBudget, Outage, Run, Scenario, Threshold, Workload, WorkloadKind,
};

/// 2026-07-20T00:00:00Z, a Monday.
const START: Time = Time(1_784_505_600_000_000);

/// The load of a service at each hour of its users' day, in thousandths of the most.
const RHYTHM: [i64; 25] = [
    300, 240, 210, 200, 210, 260, 360, 500, 680, 830, 930, 980, 960, 940, 970, 1_000, 980, 920, 850, 780,
    700, 600, 480, 380, 300,
];

/// The built-in day, on the instance types of the built-in catalogue.
pub fn builtin_day(seed: u64) -> Scenario {
    let types = Catalogue::built_in().into_types().into_iter().map(Arc::new).collect();
    builtin_day_with(seed, types)
}

/// The built-in day, on these instance types.
pub fn builtin_day_with(seed: u64, types: Vec<Arc<InstanceType>>) -> Scenario {
    let seed = Seed(seed);
    let mut day = Scenario::new("builtin-day", START);
    day.end = Some(START + Span::hours(24));
    day.types = types;
    day.pools = vec![general(), batch(), gpu()].into_iter().map(Arc::new).collect();
    day.daemon_sets =
        vec![daemon("network", 50, 64), daemon("node-agent", 100, 128), daemon("log-shipper", 100, 256)];
    web(&mut day, seed);
    stateful(&mut day, seed);
    bursts(&mut day, seed);
    integration(&mut day, seed);
    etl(&mut day, seed);
    training(&mut day, seed);
    day.outages = outages();
    day.spot_reclaims = Rate(5_000);
    day
}

fn at(hours: i64, minutes: i64) -> Time {
    START + Span::mins(hours * 60 + minutes)
}

// === NodePools ===

fn values(values: &[&str]) -> Requirement {
    Requirement::one_of(values.iter().map(|value| Str::from(*value)))
}

fn requirements(all: &[(&str, Requirement)]) -> Requirements {
    all.iter().map(|(key, requirement)| (Str::from(*key), requirement.clone())).collect()
}

/// A NodePool of this day; the hash stands for the template, which never changes.
fn pool(name: &str, template: NodeTemplate, disruption: Disruption, limits: &[(&str, i64)]) -> NodePool {
    NodePool {
        name: name.into(),
        weight: 0,
        template,
        disruption,
        limits: Limits {
            resources: limits.iter().map(|(name, limit)| ((*name).into(), *limit)).collect(),
            nodes: None,
        },
        replicas: None,
        hash: format!("builtin-day-{name}").into(),
        ready: true,
    }
}

fn percent(percent: u32) -> Budget {
    Budget { reasons: None, nodes: BudgetNodes::Percent(percent), schedule: None }
}

fn general() -> NodePool {
    let template = NodeTemplate {
        requirements: requirements(&[
            (label::CAPACITY_TYPE, values(&["spot", "on-demand"])),
            (label::ARCH, values(&["amd64"])),
            (label::OS, values(&["linux"])),
            ("karpenter.k8s.aws/instance-category", values(&["c", "m", "r"])),
            ("karpenter.k8s.aws/instance-generation", Requirement::between(Some(5), None)),
            ("karpenter.k8s.aws/instance-cpu", Requirement::between(Some(2), Some(32))),
        ]),
        startup_taints: vec![Taint {
            key: "example.com/agent-not-ready".into(),
            value: "".into(),
            effect: TaintEffect::NoSchedule,
        }],
        expire_after: Some(Span::hours(720)),
        ..NodeTemplate::default()
    };
    let freeze = BudgetSchedule::parse("0 14 * * mon-fri", Span::hours(1))
        .expect("invariant: the text is a cron schedule");
    let budgets = vec![
        percent(10),
        Budget {
            reasons: Some(BTreeSet::from([DisruptionReason::Underutilized, DisruptionReason::Drifted])),
            nodes: BudgetNodes::Count(0),
            schedule: Some(freeze),
        },
    ];
    let disruption = Disruption {
        policy: ConsolidationPolicy::WhenEmptyOrUnderutilized,
        consolidate_after: Some(Span::mins(1)),
        budgets,
    };
    pool("general", template, disruption, &[("cpu", 4_000_000), ("memory", 16 << 40)])
}

fn batch() -> NodePool {
    let template = NodeTemplate {
        labels: Labels::from([("example.com/work".into(), "batch".into())]),
        taints: vec![Taint {
            key: "example.com/work".into(),
            value: "batch".into(),
            effect: TaintEffect::NoSchedule,
        }],
        requirements: requirements(&[
            (label::CAPACITY_TYPE, values(&["spot"])),
            (label::OS, values(&["linux"])),
            ("karpenter.k8s.aws/instance-category", values(&["c", "m", "r"])),
            ("karpenter.k8s.aws/instance-generation", Requirement::between(Some(5), None)),
            ("karpenter.k8s.aws/instance-cpu", Requirement::between(Some(4), Some(64))),
        ]),
        // Short enough that a node which is never empty reaches it.
        expire_after: Some(Span::hours(2)),
        ..NodeTemplate::default()
    };
    let disruption = Disruption {
        policy: ConsolidationPolicy::WhenEmpty,
        consolidate_after: Some(Span::secs(30)),
        budgets: vec![percent(50)],
    };
    pool("batch", template, disruption, &[("cpu", 3_000_000)])
}

fn gpu() -> NodePool {
    let template = NodeTemplate {
        taints: vec![Taint {
            key: "nvidia.com/gpu".into(),
            value: "".into(),
            effect: TaintEffect::NoSchedule,
        }],
        requirements: requirements(&[
            (label::CAPACITY_TYPE, values(&["spot", "on-demand"])),
            (label::OS, values(&["linux"])),
            ("karpenter.k8s.aws/instance-gpu-manufacturer", values(&["nvidia"])),
            ("karpenter.k8s.aws/instance-category", values(&["g"])),
        ]),
        termination_grace: Some(Span::hours(1)),
        ..NodeTemplate::default()
    };
    let disruption = Disruption {
        policy: ConsolidationPolicy::WhenEmpty,
        consolidate_after: Some(Span::mins(5)),
        budgets: vec![Budget { reasons: None, nodes: BudgetNodes::Count(2), schedule: None }],
    };
    pool("gpu", template, disruption, &[("nvidia.com/gpu", 64)])
}

/// A few hours in which the families that are cheapest as spot have none left, first in one zone, then in
/// all; and a few minutes without any.
fn outages() -> Vec<Outage> {
    let family = |family: &str, zone: Option<&str>, from: Time, until: Time| Outage {
        types: Some(family.into()),
        zone: zone.map(Zone::from),
        capacity_type: Some(CapacityType::Spot),
        from,
        until,
    };
    let mut all = Vec::new();
    for name in ["c5a", "c6a", "m5a", "m6a", "r5a", "r6a"] {
        all.push(family(name, Some("us-east-1a"), at(8, 40), at(12, 0)));
    }
    for name in ["c6a", "c6i", "c7a", "c7i-flex", "m6a", "m6i", "m7a", "m7i-flex"] {
        all.push(family(name, None, at(14, 10), at(17, 25)));
    }
    all.push(family("g4dn", None, at(9, 0), at(11, 0)));
    // And a short while without any spot capacity at all.
    let none = Outage {
        types: None,
        zone: None,
        capacity_type: Some(CapacityType::Spot),
        from: at(16, 0),
        until: at(16, 12),
    };
    all.push(none);
    all
}

// === pods ===

/// What a pod asks for: millicores and MiB.
fn requests(cpu: i64, memory: i64) -> Resources {
    Resources::from_iter([("cpu", cpu), ("memory", memory << 20), ("pods", 1)])
}

fn app_labels(name: &str) -> Labels {
    Labels::from([("app".into(), name.into())])
}

fn everything() -> Toleration {
    Toleration { key: None, operator: TolerationOperator::Exists, value: "".into(), effect: None }
}

fn tolerate(key: &str) -> Toleration {
    Toleration { key: Some(key.into()), operator: TolerationOperator::Exists, value: "".into(), effect: None }
}

fn daemon(name: &str, cpu: i64, memory: i64) -> DaemonSet {
    let spec = PodSpec {
        labels: app_labels(name),
        requests: requests(cpu, memory),
        tolerations: vec![everything()],
        priority: 2_000_001_000,
        owner: OwnerKind::DaemonSet,
        ..PodSpec::default()
    };
    DaemonSet { key: PodKey::new("kube-system", name), spec: Arc::new(spec) }
}

fn web(day: &mut Scenario, seed: Seed) {
    for number in 0..40i64 {
        let name = format!("web-{number:02}");
        let mut draw = seed.draw("web").with(&name);
        let cpu = [100, 200, 250, 500, 500, 1_000][draw.below(6) as usize];
        let memory = [256, 512, 512, 1_024, 2_048, 3_072][draw.below(6) as usize];
        let most = if number % 10 == 0 { draw.between(90, 160) } else { draw.between(8, 55) };
        let mut spec = PodSpec {
            labels: app_labels(&name),
            requests: requests(cpu, memory),
            owner: OwnerKind::Controller,
            termination_grace: Some(Span::secs(30)),
            ..PodSpec::default()
        };
        if number % 4 == 1 {
            spec.spread.push(TopologySpread {
                topology_key: label::HOSTNAME.into(),
                max_skew: u32::try_from(most / 12 + 1).unwrap_or(1),
                min_domains: None,
                when_unsatisfiable: Unsatisfiable::DoNotSchedule,
                selector: LabelSelector::from(&app_labels(&name)),
                node_affinity_policy: SpreadPolicy::Honor,
                node_taints_policy: SpreadPolicy::Ignore,
            });
        }
        if number % 2 == 0 {
            protect(
                day,
                "web",
                &name,
                Threshold::MaxUnavailable(Amount::Percent(if number % 4 == 0 { 10 } else { 25 })),
            );
        }
        let mut rollouts = Vec::new();
        if number == 10 {
            // One deployment in the afternoon: the same service, a little larger.
            let larger = PodSpec { requests: requests(cpu + 50, memory + 128), ..spec.clone() };
            rollouts.push((at(15, 30), Arc::new(larger)));
        }
        // Users in New York or in Berlin.
        let offset = if number % 3 == 0 { 2 } else { -4 };
        let replicas = rhythm(seed, &name, most, offset);
        day.workloads.push(Workload {
            namespace: "web".into(),
            name: name.into(),
            spec: Arc::new(spec),
            kind: WorkloadKind::Service { replicas, rollouts, ordinals: false },
        });
    }
}

fn protect(day: &mut Scenario, namespace: &str, name: &str, threshold: Threshold) {
    day.budgets.push(DisruptionBudget {
        key: PodKey::new(namespace, name),
        selector: LabelSelector::from(&app_labels(name)),
        threshold,
        always_allow_unhealthy: false,
    });
}

/// Replicas every quarter of an hour, with some noise, as an autoscaler of pods would set them.
fn rhythm(seed: Seed, name: &str, most: i64, offset_hours: i64) -> Vec<(Time, u32)> {
    let mut steps: Vec<(Time, u32)> = Vec::new();
    for quarter in 0..96i64 {
        let local = (quarter + offset_hours * 4).rem_euclid(96);
        let (hour, part) = ((local / 4) as usize, local % 4);
        let load = RHYTHM[hour] + (RHYTHM[hour + 1] - RHYTHM[hour]) * part / 4;
        let mut draw = seed.draw("rhythm").with(name).with_number(quarter.cast_unsigned());
        let noisy = load * (1_000 + draw.between(-60, 60)) / 1_000;
        let wanted = (most * noisy / 1_000).max(2);
        let last = steps.last().map(|(_, last)| i64::from(*last));
        // Small changes are let be, as the HorizontalPodAutoscaler's tolerance of a tenth does.
        if last.is_none_or(|last| (wanted - last).abs() * 10 > last) {
            let moment =
                at(0, quarter * 15) + Span::secs(if quarter == 0 { 0 } else { draw.between(0, 120) });
            steps.push((moment, u32::try_from(wanted).unwrap_or(1)));
        }
    }
    steps
}

fn stateful(day: &mut Scenario, seed: Seed) {
    for number in 0..10 {
        let name = format!("store-{number}");
        let mut draw = seed.draw("store").with(&name);
        let cpu = [500, 1_000, 2_000, 4_000][draw.below(4) as usize];
        let spec = PodSpec {
            labels: app_labels(&name),
            requests: requests(cpu, cpu * draw.between(2, 6)),
            node_selector: Labels::from([(label::CAPACITY_TYPE.into(), "on-demand".into())]),
            priority: 1_000,
            owner: OwnerKind::StatefulSet,
            termination_grace: Some(Span::secs(60)),
            ..PodSpec::default()
        };
        protect(day, "store", &name, Threshold::MaxUnavailable(Amount::Count(1)));
        let replicas = u32::try_from(draw.between(3, 7)).unwrap_or(3);
        day.workloads.push(Workload {
            namespace: "store".into(),
            name: name.into(),
            spec: Arc::new(spec),
            kind: WorkloadKind::Service {
                replicas: vec![(START, replicas)],
                rollouts: Vec::new(),
                ordinals: true,
            },
        });
    }
}

/// A pod of the batch pool.
fn batch_spec(name: &str, cpu: i64, memory: i64) -> PodSpec {
    PodSpec {
        labels: app_labels(name),
        requests: requests(cpu, memory),
        node_selector: Labels::from([("example.com/work".into(), "batch".into())]),
        tolerations: vec![tolerate("example.com/work")],
        owner: OwnerKind::Controller,
        ..PodSpec::default()
    }
}

fn batch_workload(name: &str, spec: PodSpec, runs: Vec<Run>) -> Workload {
    Workload {
        namespace: "batch".into(),
        name: name.into(),
        spec: Arc::new(spec),
        kind: WorkloadKind::Batch { runs, parallelism: None, linger: Span::secs(60) },
    }
}

fn bursts(day: &mut Scenario, seed: Seed) {
    for number in 0..6 {
        let name = format!("hourly-{number}");
        let mut draw = seed.draw("hourly").with(&name);
        let cpu = [250, 500, 1_000, 2_000][draw.below(4) as usize];
        let memory = cpu * draw.between(1, 4);
        let mut runs = Vec::new();
        for hour in 0..24 {
            let minute = number * 5 % 30;
            for run in 0..draw.between(20, 60) {
                runs.push(Run {
                    name: format!("{name}-{hour:02}-{run}").into(),
                    at: at(hour, minute) + draw.span(Span::ZERO, Span::secs(20)),
                    duration: Some(draw.span(Span::mins(2), Span::mins(14))),
                });
            }
        }
        day.workloads.push(batch_workload(&name, batch_spec(&name, cpu, memory), runs));
    }
}

fn integration(day: &mut Scenario, seed: Seed) {
    for number in 0..5 {
        let name = format!("build-{number}");
        let mut draw = seed.draw("build").with(&name);
        let cpu = [1_000, 2_000, 4_000][draw.below(3) as usize];
        let mut spec = batch_spec(&name, cpu, cpu * 2);
        if number == 0 {
            spec.do_not_disrupt = Some(DoNotDisrupt::Always);
        }
        // Pushes through the working day, more of them before noon and before the evening.
        let runs = (0..draw.between(500, 700)).map(|run| {
            let minute = draw.between(0, 300) + draw.between(0, 360);
            Run {
                name: format!("{name}-{run}").into(),
                at: at(7, minute) + draw.span(Span::ZERO, Span::mins(1)),
                duration: Some(draw.span(Span::mins(3), Span::mins(25))),
            }
        });
        let runs = runs.collect();
        day.workloads.push(batch_workload(&name, spec, runs));
    }
}

fn etl(day: &mut Scenario, seed: Seed) {
    for number in 0..8 {
        let name = format!("etl-{number}");
        let mut draw = seed.draw("etl").with(&name);
        let cpu = [500, 1_000, 2_000, 4_000][draw.below(4) as usize];
        let spec = batch_spec(&name, cpu, cpu * draw.between(2, 7));
        let begins = at(1, number * 12);
        let runs = (0..draw.between(150, 400)).map(|run| Run {
            name: format!("{name}-{run}").into(),
            at: begins + Span::secs(run / 40 * 60),
            duration: Some(draw.span(Span::mins(4), Span::mins(30))),
        });
        let runs = runs.collect();
        let mut workload = batch_workload(&name, spec, runs);
        if let WorkloadKind::Batch { parallelism, .. } = &mut workload.kind {
            *parallelism = Some(120);
        }
        day.workloads.push(workload);
    }
}

fn training(day: &mut Scenario, seed: Seed) {
    for (number, gpus) in [1, 1, 1, 4].into_iter().enumerate() {
        let name = format!("train-{number}");
        let mut draw = seed.draw("train").with(&name);
        let mut spec = PodSpec {
            labels: app_labels(&name),
            requests: requests(3_000 * gpus, 12_000 * gpus),
            tolerations: vec![tolerate("nvidia.com/gpu")],
            owner: OwnerKind::Controller,
            ..PodSpec::default()
        };
        spec.requests.set("nvidia.com/gpu", gpus);
        let runs = (0..if gpus == 1 { draw.between(50, 80) } else { draw.between(8, 14) }).map(|run| Run {
            name: format!("{name}-{run}").into(),
            at: at(0, draw.between(0, 22 * 60)),
            duration: Some(draw.span(Span::mins(8), Span::mins(70))),
        });
        let runs = runs.collect();
        day.workloads.push(batch_workload(&name, spec, runs));
    }
}
