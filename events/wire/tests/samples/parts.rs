//! What samples are made of.

use purser_engine::model::{
    Budget, BudgetNodes, BudgetSchedule, CapacityType, ClaimFacts, ConsolidationPolicy, Disruption,
    DisruptionReason, DoNotDisrupt, HostPort, InstanceId, InstanceType, LabelExpression, LabelOperator,
    LabelSelector, Labels, Limits, NamespaceSelector, NodeName, NodePool, NodeTemplate, Offering,
    OfferingKey, OwnerKind, PodAffinity, PodGroup, PodKey, PodSpec, PreferredTerm, Price, Protocol,
    Requirement, Requirements, Resources, Span, SpreadPolicy, Str, Taint, TaintEffect, Time, Toleration,
    TolerationOperator, TopologySpread, Uid, Unsatisfiable, VolumeRef,
};
use purser_engine::reason::{Reason, ReasonId};

/// 2026-07-20T09:00:00.000001Z.
pub(crate) const MOMENT: Time = Time(1_784_538_000_000_001);
pub(crate) const UID: Uid = Uid(0x1234_5678_9abc_4def_8012_3456_789a_bcde);

pub(crate) fn text(text: &str) -> Str {
    text.into()
}

pub(crate) fn pod() -> PodKey {
    PodKey::new("web", "frontend-5d4f8c7b9-x2x7z")
}

pub(crate) fn node() -> NodeName {
    "ip-10-0-1-23.ec2.internal".into()
}

pub(crate) fn instance() -> InstanceId {
    "i-0123456789abcdef0".into()
}

pub(crate) fn labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(key, value)| (text(key), text(value))).collect()
}

pub(crate) fn values(values: &[&str]) -> Vec<Str> {
    values.iter().map(|value| text(value)).collect()
}

pub(crate) fn resources() -> Resources {
    let amounts = [
        ("cpu", 1_500),
        ("memory", 2 << 30),
        ("ephemeral-storage", 20 << 30),
        ("pods", 1),
        ("nvidia.com/gpu", 2),
        ("hugepages-2Mi", 4 << 20),
    ];
    amounts.into_iter().collect()
}

pub(crate) fn requirements() -> Requirements {
    let mut types = Requirement::one_of(values(&["m7g.large", "m7g.xlarge"]));
    types.min_values = Some(2);
    [
        (text("karpenter.k8s.aws/instance-cpu"), Requirement::between(Some(4), Some(64))),
        (text("karpenter.k8s.aws/instance-generation"), Requirement::between(Some(5), None)),
        (text("node.kubernetes.io/instance-type"), types),
        (text("example.com/legacy"), Requirement::absent()),
        (text("example.com/team"), Requirement::any()),
        (text("topology.kubernetes.io/zone"), Requirement::none_of(values(&["us-east-1e"]))),
    ]
    .into_iter()
    .collect()
}

pub(crate) fn selector() -> LabelSelector {
    let expression = |key: &str, operator, listed: &[&str]| LabelExpression {
        key: text(key),
        operator,
        values: values(listed),
    };
    LabelSelector(vec![
        expression("app", LabelOperator::In, &["frontend", "backend"]),
        expression("canary", LabelOperator::NotIn, &["true"]),
        expression("tier", LabelOperator::Exists, &[]),
        expression("old", LabelOperator::DoesNotExist, &[]),
    ])
}

pub(crate) fn taints() -> Vec<Taint> {
    let taint = |key: &str, value: &str, effect| Taint { key: text(key), value: text(value), effect };
    vec![
        taint("dedicated", "gpu", TaintEffect::NoSchedule),
        taint("spot", "", TaintEffect::PreferNoSchedule),
        taint("drain", "now", TaintEffect::NoExecute),
    ]
}

pub(crate) fn spec() -> PodSpec {
    let toleration = |key: Option<&str>, operator, value: &str, effect| Toleration {
        key: key.map(text),
        operator,
        value: text(value),
        effect,
    };
    PodSpec {
        labels: labels(&[("app", "frontend"), ("tier", "web")]),
        requests: resources(),
        node_selector: labels(&[("kubernetes.io/arch", "arm64")]),
        required_terms: vec![requirements(), Requirements::new()],
        preferred_terms: vec![PreferredTerm { weight: 100, requirements: requirements() }],
        tolerations: vec![
            toleration(None, TolerationOperator::Exists, "", None),
            toleration(Some("dedicated"), TolerationOperator::Equal, "gpu", Some(TaintEffect::NoSchedule)),
            toleration(Some("generation"), TolerationOperator::Gt, "5", Some(TaintEffect::NoExecute)),
            toleration(Some("generation"), TolerationOperator::Lt, "9", Some(TaintEffect::PreferNoSchedule)),
        ],
        spread: vec![
            TopologySpread {
                topology_key: text("topology.kubernetes.io/zone"),
                max_skew: 1,
                min_domains: Some(3),
                when_unsatisfiable: Unsatisfiable::DoNotSchedule,
                selector: selector(),
                node_affinity_policy: SpreadPolicy::Honor,
                node_taints_policy: SpreadPolicy::Ignore,
            },
            TopologySpread {
                topology_key: text("kubernetes.io/hostname"),
                max_skew: 2,
                min_domains: None,
                when_unsatisfiable: Unsatisfiable::ScheduleAnyway,
                selector: LabelSelector::default(),
                node_affinity_policy: SpreadPolicy::Ignore,
                node_taints_policy: SpreadPolicy::Honor,
            },
        ],
        affinity: vec![
            PodAffinity {
                topology_key: text("kubernetes.io/hostname"),
                selector: selector(),
                namespaces: NamespaceSelector::Own,
                anti: true,
                weight: None,
            },
            PodAffinity {
                topology_key: text("topology.kubernetes.io/zone"),
                selector: LabelSelector::default(),
                namespaces: NamespaceSelector::Other {
                    names: values(&["cache"]),
                    selector: Some(selector()),
                },
                anti: false,
                weight: Some(50),
            },
        ],
        host_ports: vec![
            HostPort { ip: text(""), port: 8080, protocol: Protocol::Tcp },
            HostPort { ip: text("10.0.0.1"), port: 53, protocol: Protocol::Udp },
            HostPort { ip: text("10.0.0.1"), port: 9, protocol: Protocol::Sctp },
        ],
        volumes: vec![VolumeRef { claim: text("data") }],
        resource_claims: values(&["gpu"]),
        priority: -1_000,
        owner: OwnerKind::StatefulSet,
        termination_grace: Some(Span::secs(30)),
        do_not_disrupt: Some(DoNotDisrupt::For(Span::hours(4))),
        deletion_cost: 100,
        group: Some(PodGroup { name: text("training"), min_members: 4 }),
    }
}

pub(crate) fn pool() -> NodePool {
    let schedule = BudgetSchedule::parse("0 9 * * mon-fri", Span::hours(8)).unwrap();
    NodePool {
        name: "default".into(),
        weight: 10,
        template: NodeTemplate {
            labels: labels(&[("example.com/team", "platform")]),
            taints: taints(),
            startup_taints: vec![Taint::unregistered()],
            requirements: requirements(),
            class: Some((text("EC2NodeClass"), "default".into())),
            termination_grace: Some(Span::hours(1)),
            expire_after: Some(Span::hours(720)),
        },
        disruption: Disruption {
            policy: ConsolidationPolicy::WhenEmptyOrUnderutilized,
            consolidate_after: Some(Span::secs(30)),
            budgets: vec![
                Budget { reasons: None, nodes: BudgetNodes::Percent(10), schedule: None },
                Budget {
                    // Those that there were when the file was written.
                    reasons: Some(DisruptionReason::ALL.into_iter().take(9).collect()),
                    nodes: BudgetNodes::Count(0),
                    schedule: Some(schedule),
                },
            ],
        },
        limits: Limits {
            resources: vec![(text("cpu"), 1_000_000), (text("nvidia.com/gpu"), 16)],
            nodes: Some(100),
        },
        replicas: Some(3),
        hash: text("10550134223419422212"),
        ready: true,
    }
}

pub(crate) fn bare_pool() -> NodePool {
    NodePool {
        name: "bare".into(),
        weight: 0,
        template: NodeTemplate::default(),
        disruption: Disruption {
            policy: ConsolidationPolicy::WhenEmpty,
            consolidate_after: None,
            budgets: Vec::new(),
        },
        limits: Limits::default(),
        replicas: None,
        hash: text(""),
        ready: false,
    }
}

pub(crate) fn node_claim() -> ClaimFacts {
    ClaimFacts {
        name: "default-x7k2p".into(),
        uid: UID,
        pool: Some("default".into()),
        template: pool().template,
        requests: resources(),
        instance: Some(instance()),
        node: Some(node()),
        registered: true,
        initialized: true,
        drifted: true,
        hash: text("10550134223419422212"),
        hash_version: text("v3"),
        created: MOMENT,
        deleted: Some(MOMENT),
        deadline: Some(MOMENT),
    }
}

pub(crate) fn bare_node_claim() -> ClaimFacts {
    ClaimFacts {
        name: "default-x7k2p".into(),
        uid: UID,
        pool: None,
        template: NodeTemplate::default(),
        requests: Resources::default(),
        instance: None,
        node: None,
        registered: false,
        initialized: false,
        drifted: false,
        hash: text(""),
        hash_version: text(""),
        created: MOMENT,
        deleted: None,
        deadline: None,
    }
}

pub(crate) fn offering() -> OfferingKey {
    OfferingKey {
        instance_type: "m7g.large".into(),
        zone: "us-east-1a".into(),
        capacity_type: CapacityType::Spot,
    }
}

pub(crate) fn instance_type() -> InstanceType {
    let offering =
        |zone: &str, capacity_type, price| Offering { zone: zone.into(), capacity_type, price: Price(price) };
    InstanceType {
        name: "m7g.large".into(),
        requirements: requirements(),
        capacity: resources(),
        overhead: [("cpu", 70), ("memory", 1 << 29)].into_iter().collect(),
        offerings: vec![
            offering("us-east-1a", CapacityType::Reserved, 0),
            offering("us-east-1a", CapacityType::Spot, 32_100),
            offering("us-east-1b", CapacityType::OnDemand, 81_600),
        ],
    }
}

pub(crate) fn reason() -> Reason {
    let params = [("nodepool", "default".to_owned()), ("limit", "cpu".to_owned())];
    Reason::new(ReasonId::LimitReached, params)
}
