//! Fixed events, at least one of each kind, from which the golden files are made.
//!
//! Invariant: a sample, once its golden file is released, stays as it is; another case gets another sample.

mod devices;
mod parts;

use std::sync::Arc;

use purser_engine::event::{
    Control, Decision, Divergence, Event, Fact, Interruption, LabelSetId, LaunchFailure, LaunchOption, Place,
    Seq, SpecId, Target,
};
use purser_engine::model::{
    CapacityType, DisruptionReason, DoNotDisrupt, Labels, PodKey, PodPhase, PodSpec, Price, Requirements,
    Resources, Span, Time, VolumeLimits,
};
use purser_engine::reason::{Reason, ReasonId};
use purser_engine::settings::{FeatureGate, FeatureGates, MinValuesPolicy, PreferencePolicy, Settings};

pub(crate) use parts::{MOMENT, node, pod};
use parts::{
    UID, bare_pool, instance, instance_type, labels, offering, pool, reason, requirements, resources,
    selector, spec, taints, text,
};

/// The name of a VolumeAttachment.
const ATTACHMENT: &str = "csi-8a2f4e0d";

/// An event, and which case of its kind it is; the case without a name is the fullest.
pub(crate) struct Sample {
    pub(crate) case: &'static str,
    pub(crate) event: Event,
}

fn sample(case: &'static str, event: impl Into<Event>) -> Sample {
    Sample { case, event: event.into() }
}

/// All samples, those of one kind side by side.
pub(crate) fn all() -> Vec<Sample> {
    controls()
        .into_iter()
        .chain(pods())
        .chain(nodes())
        .chain(objects())
        .chain(devices::all())
        .chain(cloud())
        .chain(decisions())
        .collect()
}

fn controls() -> Vec<Sample> {
    let checkpoint = "purser.example/prod\n12\nq83vEjRWeJA=\n";
    vec![
        sample(
            "",
            Control::LogStarted {
                origin: text("purser.example/prod"),
                predecessor: Some(text(checkpoint)),
                reason: text("the log before it is out of reach"),
            },
        ),
        sample(
            "new",
            Control::LogStarted {
                origin: text("purser.example/prod"),
                predecessor: None,
                reason: text("new"),
            },
        ),
        sample(
            "",
            Control::ControllerStarted { version: text("0.1.0"), instance: text("purser-0"), term: 3 },
        ),
        sample("", Control::ControllerStopped { reason: text("SIGTERM") }),
        sample("", Control::LeadershipAcquired { term: 3, holder: text("purser-0") }),
        sample("", Control::LeadershipLost { term: 3, reason: text("the lease was not renewed") }),
        sample(
            "",
            Control::JournalRecovered {
                kept: 70_000,
                acknowledged: 70_003,
                detail: text("record 70000: cut short"),
            },
        ),
        sample("", Control::JournalResumed { stalled_since: MOMENT, waiting: 1_000 }),
        sample("", Control::RetentionApplied { first_kept: 5_000_000_000, archived: true }),
        sample("", Control::Heartbeat),
        sample(
            "",
            Control::SettingsChanged {
                settings: Settings {
                    preference_policy: PreferencePolicy::Ignore,
                    min_values_policy: MinValuesPolicy::BestEffort,
                    default_spread: spec().spread,
                    feature_gates: FeatureGates(FeatureGate::ALL.into()),
                    expendable_below: Some(-10),
                    ..Settings::default()
                },
            },
        ),
        sample("bare", Control::SettingsChanged { settings: Settings::default() }),
        sample(
            "",
            Control::OperatorCommand {
                actor: text("alice"),
                command: text("pause disruption"),
                reason: text("\"freeze\" \u{2744}"),
            },
        ),
        sample("", Control::Relisted { listed: 20_000, changed: 7 }),
        sample("", Control::TimePassed),
    ]
}

fn pods() -> Vec<Sample> {
    let observed = |phase, node| Fact::PodObserved {
        pod: pod(),
        uid: UID,
        spec: SpecId(300),
        created: MOMENT,
        phase,
        node,
    };
    let moved = |phase, started, ends| Fact::PodPhaseChanged { pod: pod(), phase, started, ends };
    let always = PodSpec { do_not_disrupt: Some(DoNotDisrupt::Always), ..PodSpec::default() };
    vec![
        sample("", Fact::PodSpecDefined { id: SpecId(300), spec: Arc::new(spec()) }),
        sample("bare", Fact::PodSpecDefined { id: SpecId(0), spec: Arc::new(PodSpec::default()) }),
        sample("always", Fact::PodSpecDefined { id: SpecId(1), spec: Arc::new(always) }),
        sample(
            "",
            Fact::LabelSetDefined {
                id: LabelSetId(7),
                labels: Arc::new(labels(&[("kubernetes.io/arch", "arm64"), ("a", "")])),
            },
        ),
        sample("bare", Fact::LabelSetDefined { id: LabelSetId(0), labels: Arc::new(Labels::new()) }),
        sample("", observed(PodPhase::Bound, Some(node()))),
        sample("pending", observed(PodPhase::Pending, None)),
        sample("", Fact::PodBound { pod: pod(), node: node() }),
        sample("", moved(PodPhase::Terminating, None, Some(MOMENT))),
        sample("held", moved(PodPhase::Held, None, None)),
        sample("untried", moved(PodPhase::Untried, None, None)),
        sample("started", moved(PodPhase::Bound, Some(MOMENT), None)),
        sample("", Fact::PodDeleted { pod: pod() }),
    ]
}

fn nodes() -> Vec<Sample> {
    vec![
        sample(
            "",
            Fact::NodeObserved {
                node: node(),
                instance: Some(instance()),
                labels: LabelSetId(7),
                taints: taints(),
                allocatable: resources(),
                ready: true,
                unschedulable: false,
                do_not_disrupt: true,
                created: MOMENT,
                deleting: false,
            },
        ),
        sample(
            "bare",
            Fact::NodeObserved {
                node: node(),
                instance: None,
                labels: LabelSetId(0),
                taints: Vec::new(),
                allocatable: Resources::default(),
                ready: false,
                unschedulable: true,
                do_not_disrupt: false,
                created: Time(0),
                deleting: true,
            },
        ),
        sample("", Fact::NodeReadinessChanged { node: node(), ready: true }),
        sample(
            "",
            Fact::NodeConditionChanged {
                node: node(),
                condition: text("DiskPressure"),
                status: text("True"),
                since: MOMENT,
            },
        ),
        sample("", Fact::NodeDeleted { node: node() }),
        sample("", Fact::NodeClaimObserved { claim: Arc::new(parts::node_claim()) }),
        sample("bare", Fact::NodeClaimObserved { claim: Arc::new(parts::bare_node_claim()) }),
        sample("", Fact::NodeClaimDeleted { claim: "default-x7k2p".into() }),
    ]
}

fn objects() -> Vec<Sample> {
    let key = |name: &str| PodKey::new("web", name);
    let class = || (text("EC2NodeClass"), "default".into());
    let overlay = |price, price_adjustment: Option<&str>, requirements, capacity| Fact::NodeOverlayObserved {
        name: text("discount"),
        weight: 5,
        requirements,
        price,
        price_adjustment: price_adjustment.map(text),
        capacity,
    };
    let attached = |claim| Fact::VolumeAttachmentObserved {
        attachment: text(ATTACHMENT),
        node: node(),
        volume: text("pvc-5d4f8c7b-0000-4000-8000-000000000001"),
        claim,
    };
    let (kind, name) = class();
    vec![
        sample("", Fact::NodePoolObserved { pool: Arc::new(pool()) }),
        sample("bare", Fact::NodePoolObserved { pool: Arc::new(bare_pool()) }),
        sample("", Fact::NodePoolDeleted { pool: "default".into() }),
        sample(
            "",
            Fact::NodeClassObserved {
                kind: kind.clone(),
                class: name,
                hash: text("77"),
                ready: false,
                message: text("no subnet"),
            },
        ),
        sample("", Fact::NodeClassDeleted { kind, class: class().1 }),
        sample("", overlay(Some(Price(90_000)), Some("-10%"), requirements(), resources())),
        sample("bare", overlay(None, None, Requirements::new(), Resources::default())),
        sample("", Fact::NodeOverlayDeleted { name: text("discount") }),
        sample("", Fact::DaemonSetObserved { daemon_set: key("logger"), spec: SpecId(2) }),
        sample("", Fact::DaemonSetDeleted { daemon_set: key("logger") }),
        sample(
            "",
            Fact::DisruptionBudgetObserved {
                budget: key("frontend"),
                selector: selector(),
                disruptions_allowed: 1,
                always_allow_unhealthy: true,
            },
        ),
        sample("", Fact::DisruptionBudgetDeleted { budget: key("frontend") }),
        sample(
            "",
            Fact::VolumeClaimObserved {
                claim: key("data"),
                topologies: vec![requirements()],
                driver: text("ebs.csi.aws.com"),
                problem: Some(text("its storage class does not exist")),
            },
        ),
        sample(
            "bare",
            Fact::VolumeClaimObserved {
                claim: key("data"),
                topologies: Vec::new(),
                driver: text(""),
                problem: None,
            },
        ),
        sample("", Fact::VolumeClaimDeleted { claim: key("data") }),
        sample(
            "",
            Fact::NamespaceObserved {
                namespace: text("web"),
                labels: labels(&[("team", "shop"), ("a", "")]),
            },
        ),
        sample("bare", Fact::NamespaceObserved { namespace: text("web"), labels: Labels::new() }),
        sample("", Fact::NamespaceDeleted { namespace: text("web") }),
        sample(
            "",
            Fact::VolumeLimitsObserved {
                node: node(),
                limits: [(text("ebs.csi.aws.com"), Some(26)), (text("efs.csi.aws.com"), None)].into(),
            },
        ),
        sample("bare", Fact::VolumeLimitsObserved { node: node(), limits: VolumeLimits::new() }),
        sample("", Fact::VolumeLimitsDeleted { node: node() }),
        sample(
            "",
            Fact::CapacityBufferObserved {
                buffer: PodKey::new("web", "spare"),
                spec: SpecId(300),
                replicas: 4,
            },
        ),
        sample("", Fact::CapacityBufferDeleted { buffer: PodKey::new("web", "spare") }),
        sample("", attached(Some(key("data")))),
        sample("bare", attached(None)),
        sample("", Fact::VolumeAttachmentDeleted { attachment: text(ATTACHMENT), node: node() }),
    ]
}

fn cloud() -> Vec<Sample> {
    let claim = || "default-x7k2p".into();
    let failed = |failure| Fact::LaunchFailed { claim: claim(), failure };
    let notice = |kind| Fact::InterruptionNotice { instance: instance(), kind, at: MOMENT };
    let observed = |claim| Fact::InstanceObserved {
        instance: instance(),
        claim,
        instance_type: "m7g.large".into(),
        zone: "us-east-1a".into(),
        capacity_type: CapacityType::Reserved,
        launched: MOMENT,
    };
    vec![
        sample("", Fact::InstanceTypeObserved { instance_type: Arc::new(instance_type()) }),
        sample("", Fact::InstanceTypeRemoved { instance_type: "m7g.large".into() }),
        sample(
            "",
            Fact::CatalogueObserved {
                digest: text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
                types: 722,
            },
        ),
        sample("", Fact::PriceChanged { offering: offering(), price: Price(33_000) }),
        sample("", Fact::OfferingUnavailable { offering: offering(), until: MOMENT }),
        sample(
            "",
            Fact::InstanceLaunched {
                claim: claim(),
                instance: instance(),
                instance_type: "m7g.large".into(),
                zone: "us-east-1a".into(),
                capacity_type: CapacityType::OnDemand,
                price: Price(81_600),
            },
        ),
        sample("", failed(LaunchFailure::InsufficientCapacity { offerings: vec![offering()] })),
        sample("rejected", failed(LaunchFailure::Rejected { message: text("no such subnet") })),
        sample("unknown", failed(LaunchFailure::Unknown { message: text("timed out") })),
        sample("", observed(Some(claim()))),
        sample("bare", observed(None)),
        sample("", Fact::InstanceGone { instance: instance() }),
        sample("", notice(Interruption::SpotReclaim)),
        sample("maintenance", notice(Interruption::ScheduledMaintenance)),
        sample("", Fact::EvictionBlocked { pod: pod(), by: text("poddisruptionbudget web/frontend") }),
        sample("", Fact::NodeTainted { claim: claim() }),
        sample("", Fact::EffectFailed { claim: claim(), message: text("Forbidden") }),
    ]
}

fn decisions() -> Vec<Sample> {
    let claim = || "default-x7k2p".into();
    let place = |zone: &str, capacity_type| Place { zone: zone.into(), capacity_type };
    let option =
        |name: &str, places, price| LaunchOption { instance_type: name.into(), places, price: Price(price) };
    let pods = || vec![pod(), PodKey::new("web", "frontend-5d4f8c7b9-k9v4q"), PodKey::new("batch", "job-1")];
    vec![
        sample(
            "",
            Decision::Launch {
                claim: claim(),
                pool: "default".into(),
                hash: text("10550134223419422212"),
                requirements: requirements(),
                requests: resources(),
                pods: pods(),
                places: vec![
                    place("us-east-1a", CapacityType::Spot),
                    place("us-east-1b", CapacityType::OnDemand),
                ],
                options: vec![option("m7g.large", 0b11, 32_100), option("m7g.xlarge", 0b10, 163_200)],
                reserved: resources(),
                considered: 722,
            },
        ),
        sample("", Decision::Relaunch { claim: claim(), attempt: 2 }),
        sample("", Decision::Nominate { target: Target::Claim(claim()), pods: pods() }),
        sample("node", Decision::Nominate { target: Target::Node(node()), pods: Vec::new() }),
        sample("", Decision::Unschedulable { pods: pods(), reason: reason() }),
        sample("", Decision::Register { claim: claim(), node: node() }),
        sample("", Decision::Initialize { claim: claim(), node: node() }),
        sample(
            "",
            Decision::Disrupt {
                reason: DisruptionReason::Underutilized,
                candidates: vec![claim(), "default-b1b1b".into()],
                replacements: vec!["default-c2c2c".into()],
                savings: Price(-1_250_000),
                allowed: Some(10),
                used: 1,
            },
        ),
        sample(
            "bare",
            Decision::Disrupt {
                reason: DisruptionReason::Empty,
                candidates: vec![claim()],
                replacements: Vec::new(),
                savings: Price(81_600),
                allowed: None,
                used: 0,
            },
        ),
        sample(
            "",
            Decision::AbandonDisruption { claim: claim(), reason: Reason::new(ReasonId::NoLongerEmpty, []) },
        ),
        sample("", Decision::RejectCandidate { claim: claim(), reason: reason() }),
        sample("", Decision::Taint { claim: claim() }),
        sample("", Decision::Untaint { claim: claim() }),
        sample("", Decision::Drain { claim: claim(), deadline: Some(MOMENT) }),
        sample("never", Decision::Drain { claim: claim(), deadline: None }),
        sample("", Decision::Evict { claim: claim(), pod: pod(), uid: UID, force: true }),
        sample("", Decision::Terminate { claim: claim(), instance: Some(instance()), attached: 2 }),
        sample("bare", Decision::Terminate { claim: claim(), instance: None, attached: 0 }),
        sample("", Decision::Repair { claim: claim(), condition: text("NetworkUnavailable") }),
        sample("", Decision::Expire { claim: claim(), age: Span::hours(720) }),
        sample(
            "",
            Decision::Drift {
                claim: claim(),
                field: text("spec.template.spec.taints"),
                was: text("[]"),
                wanted: text("[gpu]"),
            },
        ),
        sample("", Decision::Adopt { claim: claim(), instance: Some(instance()) }),
        sample("bare", Decision::Adopt { claim: claim(), instance: None }),
        sample("", Decision::GarbageCollect { instance: instance() }),
        sample(
            "",
            Decision::LaunchAdopted {
                claim: claim(),
                places: vec![Place { zone: "eu-west-1a".into(), capacity_type: CapacityType::Spot }],
                options: vec![LaunchOption {
                    instance_type: "m7g.large".into(),
                    places: 1,
                    price: Price(41_000),
                }],
                reserved: [("cpu", 2_000)].into_iter().collect(),
                considered: 600,
            },
        ),
        sample(
            "",
            Decision::BindingDiverged {
                pod: pod(),
                node: node(),
                how: Divergence::OtherNode,
                planned: Seq(7),
            },
        ),
        sample("", Decision::AwaitDetachment { claim: claim(), attached: 2 }),
    ]
}
