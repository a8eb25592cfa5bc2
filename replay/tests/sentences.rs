//! The sentence of each kind of event, word for word.

use std::collections::BTreeSet;
use std::sync::Arc;

use purser_engine::controller::limits::REFUSED;
use purser_engine::event::*;
use purser_engine::model::*;
use purser_engine::reason::{Reason, ReasonId};
use purser_engine::settings::{MinValuesPolicy, PreferencePolicy, Settings};
use purser_events::wire::{self, Kind};
use purser_replay::{sentence, subjects};

use crate::world::{T0, pod, pool};

fn web() -> PodKey {
    PodKey::new("shop", "web-0")
}

fn node_claim(pool: Option<&str>, deleted: Option<Time>) -> ClaimFacts {
    ClaimFacts {
        name: "default-a".into(),
        uid: Uid(1),
        pool: pool.map(Into::into),
        template: NodeTemplate::default(),
        requests: Resources::default(),
        instance: deleted.map(|_| "i-1".into()),
        node: deleted.map(|_| "ip-1".into()),
        registered: false,
        initialized: false,
        drifted: false,
        hash: "1".into(),
        hash_version: "v3".into(),
        created: T0,
        deleted,
        deadline: deleted,
    }
}

fn offering() -> OfferingKey {
    OfferingKey { instance_type: "m7g.large".into(), zone: "z1".into(), capacity_type: CapacityType::Spot }
}

fn spread() -> TopologySpread {
    TopologySpread {
        topology_key: label::ZONE.into(),
        max_skew: 1,
        min_domains: None,
        when_unsatisfiable: Unsatisfiable::ScheduleAnyway,
        selector: LabelSelector::default(),
        node_affinity_policy: SpreadPolicy::Honor,
        node_taints_policy: SpreadPolicy::Ignore,
    }
}

fn controls() -> Vec<(Control, &'static str)> {
    vec![
        (
            Control::LogStarted { origin: "prod".into(), predecessor: None, reason: "new".into() },
            "log of prod begins: new",
        ),
        (
            Control::ControllerStarted { version: "0.1.0".into(), instance: "purser-0".into(), term: 3 },
            "controller purser-0 of version 0.1.0 starts, term 3",
        ),
        (Control::ControllerStopped { reason: "SIGTERM".into() }, "controller stops: SIGTERM"),
        (Control::LeadershipAcquired { term: 4, holder: "purser-1".into() }, "purser-1 leads, term 4"),
        (
            Control::LeadershipLost { term: 4, reason: "expired".into() },
            "leadership of term 4 is lost: expired",
        ),
        (
            Control::JournalRecovered { kept: 9, acknowledged: 10, detail: "torn".into() },
            "journal recovered: 9 records kept of 10 acknowledged: torn",
        ),
        (
            Control::JournalResumed { stalled_since: T0, waiting: 5 },
            "journal has space again, had none since 2026-07-20T09:00:00.000Z; 5 observations waited",
        ),
        (Control::RetentionApplied { first_kept: 7, archived: true }, "records before 7 archived"),
        (Control::Heartbeat, "nothing happened"),
        (
            Control::SettingsChanged { settings: Settings::default() },
            "settings: batch 1s to 10s, 60 instance types a launch",
        ),
        (
            Control::SettingsChanged {
                settings: Settings {
                    preference_policy: PreferencePolicy::Ignore,
                    min_values_policy: MinValuesPolicy::BestEffort,
                    default_spread: vec![spread()],
                    ..Settings::default()
                },
            },
            "settings: batch 1s to 10s, 60 instance types a launch, preferences do not count, minValues as far as possible, 1 default spread constraint",
        ),
        (
            Control::OperatorCommand {
                actor: "ann".into(),
                command: "pause".into(),
                reason: "incident".into(),
            },
            "ann commands pause: incident",
        ),
        (Control::Relisted { listed: 20, changed: 2 }, "world listed: 20 objects, 2 of them news"),
        (Control::TimePassed, "a moment came that was waited for"),
    ]
}

fn pods_and_nodes() -> Vec<(Fact, &'static str)> {
    let node = || NodeName::from("ip-1");
    vec![
        (
            Fact::PodSpecDefined { id: SpecId(2), spec: Arc::clone(&pod("a", 1_500).spec) },
            "pod spec 2: asks for cpu 1.5, memory 1Gi, pods 1",
        ),
        (
            Fact::PodSpecDefined {
                id: SpecId(3),
                spec: Arc::new(PodSpec {
                    requests: [("cpu", 100)].into_iter().collect(),
                    group: Some(PodGroup { name: "training".into(), min_members: 4 }),
                    ..PodSpec::default()
                }),
            },
            "pod spec 3: asks for cpu 0.1, of pod group training",
        ),
        (Fact::LabelSetDefined { id: LabelSetId(1), labels: Arc::default() }, "label set 1: 0 labels"),
        (
            Fact::PodObserved {
                pod: web(),
                uid: Uid(1),
                spec: SpecId(2),
                created: T0,
                phase: PodPhase::Pending,
                node: None,
            },
            "pod shop/web-0 is pending, spec 2",
        ),
        (Fact::PodBound { pod: web(), node: node() }, "pod shop/web-0 is bound to ip-1"),
        (
            Fact::PodPhaseChanged { pod: web(), phase: PodPhase::Terminating, started: None, ends: None },
            "pod shop/web-0 is now terminating",
        ),
        (Fact::PodDeleted { pod: web() }, "pod shop/web-0 is gone"),
        (
            Fact::NodeObserved {
                node: node(),
                instance: Some("i-1".into()),
                labels: LabelSetId(1),
                taints: vec![Taint::unregistered()],
                allocatable: Resources::default(),
                ready: false,
                unschedulable: true,
                do_not_disrupt: false,
                created: T0,
                deleting: true,
            },
            "node ip-1 (i-1) is not ready, cordoned, being deleted, 1 taint",
        ),
        (Fact::NodeReadinessChanged { node: node(), ready: false }, "node ip-1 is no longer ready"),
        (
            Fact::NodeConditionChanged {
                node: node(),
                condition: "DiskPressure".into(),
                status: "True".into(),
                since: T0,
            },
            "node ip-1 has DiskPressure True since 2026-07-20T09:00:00.000Z",
        ),
        (Fact::NodeDeleted { node: node() }, "node ip-1 is gone"),
        (
            Fact::NodeClaimObserved { claim: Arc::new(node_claim(None, None)) },
            "nodeclaim default-a is there: of no nodepool",
        ),
        (
            Fact::NodeClaimObserved { claim: Arc::new(node_claim(Some("default"), Some(T0))) },
            "nodeclaim default-a is there: of nodepool default, with i-1, on ip-1, being deleted, to be gone by 2026-07-20T09:00:00.000Z",
        ),
        (Fact::NodeClaimDeleted { claim: "default-a".into() }, "nodeclaim default-a is gone"),
        (
            Fact::EvictionBlocked { pod: web(), by: "shop/pdb".into() },
            "eviction of shop/web-0 was refused by shop/pdb",
        ),
        (
            Fact::NodeTainted { claim: "default-a".into() },
            "node of default-a carries the mark that keeps new pods away",
        ),
        (
            Fact::EffectFailed { claim: "default-a".into(), message: "throttled".into() },
            "work on default-a failed and is tried again: throttled",
        ),
    ]
}

fn objects() -> Vec<(Fact, &'static str)> {
    let kind = || Str::from("EC2NodeClass");
    vec![
        (
            Fact::NodePoolObserved { pool: Arc::new(pool("default", 9_000)) },
            "nodepool default is ready, weight 0, limits cpu 9, consolidateAfter 30s",
        ),
        (Fact::NodePoolDeleted { pool: "default".into() }, "nodepool default is gone"),
        (
            Fact::NodeClassObserved {
                kind: kind(),
                class: "al2023".into(),
                hash: "1".into(),
                ready: false,
                message: "no AMI".into(),
            },
            "EC2NodeClass al2023 is not ready: no AMI",
        ),
        (Fact::NodeClassDeleted { kind: kind(), class: "al2023".into() }, "EC2NodeClass al2023 is gone"),
        (
            Fact::NodeOverlayObserved {
                name: "cheap".into(),
                weight: 5,
                requirements: Requirements::new(),
                price: None,
                price_adjustment: None,
                capacity: Resources::default(),
            },
            "nodeoverlay cheap has weight 5",
        ),
        (Fact::NodeOverlayDeleted { name: "cheap".into() }, "nodeoverlay cheap is gone"),
        (
            Fact::CapacityBufferObserved {
                buffer: PodKey::new("shop", "room"),
                spec: SpecId(3),
                replicas: 2,
            },
            "capacitybuffer shop/room keeps room for 2 pods of spec 3",
        ),
        (
            Fact::CapacityBufferDeleted { buffer: PodKey::new("shop", "room") },
            "capacitybuffer shop/room is gone",
        ),
        (
            Fact::DaemonSetObserved { daemon_set: web(), spec: SpecId(3) },
            "daemonset shop/web-0 has pods of spec 3",
        ),
        (Fact::DaemonSetDeleted { daemon_set: web() }, "daemonset shop/web-0 is gone"),
        (
            Fact::DisruptionBudgetObserved {
                budget: web(),
                selector: LabelSelector::default(),
                disruptions_allowed: 1,
                always_allow_unhealthy: false,
            },
            "poddisruptionbudget shop/web-0 allows 1 eviction",
        ),
        (Fact::DisruptionBudgetDeleted { budget: web() }, "poddisruptionbudget shop/web-0 is gone"),
        (
            Fact::VolumeClaimObserved {
                claim: web(),
                topologies: Vec::new(),
                driver: "ebs".into(),
                problem: Some("unbound".into()),
            },
            "volume claim shop/web-0 is of ebs and cannot be used: unbound",
        ),
        (
            Fact::VolumeClaimObserved {
                claim: web(),
                topologies: Vec::new(),
                driver: "".into(),
                problem: Some(format!("{REFUSED}: too large to record").into()),
            },
            "volume claim shop/web-0 is of a driver that is not known; refused: too large to record",
        ),
        (Fact::VolumeClaimDeleted { claim: web() }, "volume claim shop/web-0 is gone"),
        (
            Fact::VolumeLimitsObserved {
                node: "ip-1".into(),
                limits: [("ebs.csi.aws.com".into(), Some(26)), ("efs.csi.aws.com".into(), None)].into(),
            },
            "node ip-1 attaches 26 volumes of ebs.csi.aws.com, any number of volumes of efs.csi.aws.com",
        ),
        (
            Fact::VolumeLimitsDeleted { node: "ip-1".into() },
            "how many volumes node ip-1 attaches is no longer known",
        ),
        (
            Fact::VolumeAttachmentObserved {
                attachment: "csi-a".into(),
                node: "ip-1".into(),
                volume: "pv-1".into(),
                claim: Some(PodKey::new("shop", "data")),
            },
            "volumeattachment csi-a: volume pv-1 of shop/data is attached to node ip-1",
        ),
        (
            Fact::VolumeAttachmentDeleted { attachment: "csi-a".into(), node: "ip-1".into() },
            "volumeattachment csi-a of node ip-1 is gone",
        ),
        (
            Fact::NamespaceObserved { namespace: "shop".into(), labels: [("a".into(), "b".into())].into() },
            "namespace shop has 1 label",
        ),
        (Fact::NamespaceDeleted { namespace: "shop".into() }, "namespace shop is gone"),
    ]
}

fn devices() -> Vec<(Fact, &'static str)> {
    let claim = || PodKey::new("shop", "gpu");
    let key = || DevicePoolKey { node: "ip-1".into(), driver: "gpu.dev".into(), pool: "p".into() };
    let ask = |selector, count| DeviceAsk { name: None, selector: SelectorId(selector), count };
    let alternatives = vec![ask(1, DeviceCount::Exactly(2)), ask(2, DeviceCount::All)];
    let constraint = SameAttribute { attribute: "pcieRoot".into(), asks: [(0, 0)].into() };
    let kind = ClaimKind {
        requests: vec![DeviceRequest { name: "gpus".into(), alternatives }],
        constraints: vec![constraint],
    };
    let selector = DeviceSelector {
        expressions: vec!["device.driver == 'gpu.dev'".into()],
        capacity: [("memory".into(), DeviceAmount(1_500_000_000))].into(),
    };
    let device = |usable| PublishedDevice {
        name: "a".into(),
        usable,
        attributes: Default::default(),
        counters: Vec::new(),
        capacity: None,
        takers: Default::default(),
    };
    let pool = DevicePool {
        complete: false,
        counters: Vec::new(),
        devices: vec![device(true), device(false)],
        undecided: Default::default(),
    };
    let held = AllocatedDevice { name: key().device(&"a".into()), consumed: Default::default() };
    let holding = Holding { devices: vec![held], reach: Ok(DeviceReach::Nodes(["ip-1".into()].into())) };
    let sources = vec![ClaimSource::Named("gpu".into()), ClaimSource::Template("t".into())];
    let observed = |facts| Fact::ResourceClaimObserved { claim: claim(), facts };
    vec![
        (
            Fact::DeviceSelectorDefined { id: SelectorId(1), selector: selector.into() },
            "device selector 1: device.driver == 'gpu.dev' and memory >= 1.5",
        ),
        (
            Fact::ClaimKindDefined { id: KindId(4), kind: kind.into() },
            "claim kind 4: gpus is 2 of selector 1 or else all of selector 2, alike in pcieRoot",
        ),
        (observed(ResourceClaim::Open(KindId(4))), "resourceclaim shop/gpu has no devices yet, kind 4"),
        (
            observed(ResourceClaim::Refused(Reason::new(ReasonId::DeviceObjectMissing, []))),
            "resourceclaim shop/gpu cannot be had: device-object-missing",
        ),
        (
            observed(ResourceClaim::Allocated(holding)),
            "resourceclaim shop/gpu has 1 device (gpu.dev/p/a) on node ip-1",
        ),
        (Fact::ResourceClaimDeleted { claim: claim() }, "resourceclaim shop/gpu is gone"),
        (
            Fact::ClaimTemplateObserved { template: claim(), kind: Ok(KindId(4)) },
            "resourceclaimtemplate shop/gpu makes claims of kind 4",
        ),
        (Fact::ClaimTemplateDeleted { template: claim() }, "resourceclaimtemplate shop/gpu is gone"),
        (
            Fact::PodClaimsObserved { pod: PodKey::new("shop", "web"), claims: sources },
            "pod shop/web has resourceclaim gpu, a resourceclaim yet to be made of template t",
        ),
        (
            Fact::PodClaimsObserved { pod: PodKey::new("shop", "web"), claims: Vec::new() },
            "the resource claims of pod shop/web are no longer known",
        ),
        (
            Fact::DevicePoolObserved { key: key(), pool: pool.into() },
            "device pool gpu.dev/p on node ip-1 has 2 devices, 1 of them not usable, and was not published in full",
        ),
        (Fact::DevicePoolDeleted { key: key() }, "device pool gpu.dev/p on node ip-1 is gone"),
        (
            Fact::WideSelectorsObserved { selectors: [SelectorId(1)].into() },
            "devices that are not of one node alone may be taken by 1 device selector",
        ),
    ]
}

fn cloud() -> Vec<(Fact, &'static str)> {
    let offer = InstanceType {
        name: "m7g.large".into(),
        requirements: Requirements::new(),
        capacity: Resources::default(),
        overhead: Resources::default(),
        offerings: vec![Offering {
            zone: "z1".into(),
            capacity_type: CapacityType::Spot,
            price: Price(40_800),
        }],
    };
    vec![
        (
            Fact::InstanceTypeObserved { instance_type: Arc::new(offer) },
            "instance type m7g.large has 1 offering from $0.0408/h",
        ),
        (
            Fact::InstanceTypeRemoved { instance_type: "m1.tiny".into() },
            "instance type m1.tiny is no longer offered",
        ),
        (
            Fact::CatalogueObserved { digest: "ab".into(), types: 800 },
            "catalogue is complete with 800 instance types",
        ),
        (
            Fact::PriceChanged { offering: offering(), price: Price(50_000) },
            "m7g.large spot in z1 now costs $0.05/h",
        ),
        (
            Fact::OfferingUnavailable { offering: offering(), until: T0 },
            "m7g.large spot in z1 has no capacity; asked again 2026-07-20T09:00:00.000Z",
        ),
        (
            Fact::InstanceLaunched {
                claim: "default-a".into(),
                instance: "i-1".into(),
                instance_type: "m7g.large".into(),
                zone: "z1".into(),
                capacity_type: CapacityType::Spot,
                price: Price(40_000),
            },
            "default-a got i-1: m7g.large spot in z1 at $0.04/h",
        ),
        (
            Fact::LaunchFailed {
                claim: "default-a".into(),
                failure: LaunchFailure::InsufficientCapacity { offerings: vec![offering()] },
            },
            "default-a got no instance: no capacity in 1 offering (m7g.large spot in z1)",
        ),
        (
            Fact::InstanceObserved {
                instance: "i-1".into(),
                claim: None,
                instance_type: "m7g.large".into(),
                zone: "z1".into(),
                capacity_type: CapacityType::Spot,
                launched: T0,
            },
            "unknown instance i-1 (m7g.large in z1) has no claim",
        ),
        (Fact::InstanceGone { instance: "i-1".into() }, "instance i-1 is gone"),
        (
            Fact::InterruptionNotice { instance: "i-1".into(), kind: Interruption::SpotReclaim, at: T0 },
            "instance i-1 will be taken back (spot), 2026-07-20T09:00:00.000Z",
        ),
    ]
}

fn decisions() -> Vec<(Decision, &'static str)> {
    let claim = || ClaimName::from("default-a");
    let reason = || Reason::new(ReasonId::LimitReached, [("nodepool", "default".to_owned())]);
    vec![
        (
            Decision::Launch {
                claim: "default-x7k2p".into(),
                pool: "default".into(),
                hash: "1".into(),
                requirements: Requirements::new(),
                requests: Resources::default(),
                pods: vec![web(); 12],
                places: Vec::new(),
                options: vec![LaunchOption {
                    instance_type: "m7g.xlarge".into(),
                    places: 1,
                    price: Price(160_000),
                }],
                reserved: Resources::default(),
                considered: 60,
            },
            "launch default-x7k2p: 12 pods, cheapest m7g.xlarge $0.16/h of 60 types",
        ),
        (Decision::Relaunch { claim: claim(), attempt: 2 }, "ask again for default-a, attempt 2"),
        (
            Decision::Nominate { target: Target::Claim(claim()), pods: vec![web(), web(), web()] },
            "expect 3 pods (shop/web-0, shop/web-0 and 1 more) on nodeclaim default-a",
        ),
        (
            Decision::Unschedulable { pods: vec![web()], reason: reason() },
            "no place for shop/web-0: limit-reached (nodepool=default)",
        ),
        (Decision::Register { claim: claim(), node: "ip-1".into() }, "register node ip-1 for default-a"),
        (Decision::Initialize { claim: claim(), node: "ip-1".into() }, "node ip-1 of default-a is set up"),
        (
            Decision::Disrupt {
                reason: DisruptionReason::Empty,
                candidates: vec![claim()],
                replacements: Vec::new(),
                savings: Price(80_000),
                allowed: Some(2),
                used: 1,
            },
            "remove default-a (empty), saves $0.08/h, budget 2 with 1 used",
        ),
        (
            Decision::AbandonDisruption { claim: claim(), reason: Reason::new(ReasonId::NoLongerEmpty, []) },
            "give up removing default-a: no-longer-empty",
        ),
        (
            Decision::RejectCandidate { claim: claim(), reason: Reason::new(ReasonId::DoNotDisrupt, []) },
            "leave default-a alone: do-not-disrupt",
        ),
        (Decision::Taint { claim: claim() }, "keep new pods away from default-a"),
        (Decision::Untaint { claim: claim() }, "let pods come to default-a again"),
        (Decision::Drain { claim: claim(), deadline: None }, "empty default-a, without a deadline"),
        (
            Decision::Evict { claim: claim(), pod: web(), uid: Uid(1), force: true },
            "delete shop/web-0 on default-a: the deadline has come",
        ),
        (
            Decision::AwaitDetachment { claim: claim(), attached: 2 },
            "wait for 2 volumes to be detached from default-a",
        ),
        (
            Decision::Terminate { claim: claim(), instance: Some("i-1".into()), attached: 0 },
            "stop i-1 of default-a",
        ),
        (
            Decision::Terminate { claim: claim(), instance: Some("i-1".into()), attached: 1 },
            "stop i-1 of default-a, with 1 volume attached: the deadline has come",
        ),
        (
            Decision::Repair { claim: claim(), condition: "Ready=False".into() },
            "replace default-a: unhealthy, Ready=False",
        ),
        (Decision::Expire { claim: claim(), age: Span::hours(720) }, "default-a has reached its age, 30d"),
        (
            Decision::Drift { claim: claim(), field: "hash".into(), was: "1".into(), wanted: "2".into() },
            "default-a has drifted: hash is 1 and should be 2",
        ),
        (Decision::Adopt { claim: claim(), instance: None }, "take over default-a"),
        (Decision::GarbageCollect { instance: "i-1".into() }, "stop i-1, which has no claim"),
        (
            Decision::LaunchAdopted {
                claim: claim(),
                places: Vec::new(),
                options: Vec::new(),
                reserved: Resources::default(),
                considered: 0,
            },
            "launch default-a, which was there: no instance types",
        ),
        (
            Decision::BindingDiverged {
                pod: PodKey::new("shop", "web-1"),
                node: "node-1".into(),
                how: Divergence::NoPlace,
                planned: Seq(7),
            },
            "pod shop/web-1 is on node node-1, and was held to have no place by 7",
        ),
    ]
}

#[test]
fn every_kind_has_its_sentence() {
    let facts = [pods_and_nodes(), objects(), devices(), cloud()].into_iter().flatten();
    let all = controls()
        .into_iter()
        .map(|(control, says)| (Event::from(control), says))
        .chain(facts.map(|(fact, says)| (Event::from(fact), says)))
        .chain(decisions().into_iter().map(|(decision, says)| (Event::from(decision), says)));
    let mut kinds = BTreeSet::new();
    for (event, says) in all {
        assert_eq!(sentence::of(&event), says);
        // Whatever name of a pod, a node, a claim or an instance an event has, it is about that.
        let named = subjects::of(&event);
        for (name, what) in
            [("shop/web-0", "pod "), ("ip-1", "node "), ("default-a", "nodeclaim "), ("i-1", "instance ")]
        {
            let kind = wire::encode(&event).unwrap().kind;
            let is_other = ["daemon", "disruption-budget", "volume-claim"]
                .iter()
                .any(|p| Kind::of(kind).unwrap().name.starts_with(p));
            if says.contains(name) && !is_other {
                assert!(
                    named.iter().any(|subject| subject.to_string() == format!("{what}{name}")),
                    "{says}: {named:?}"
                );
            }
        }
        kinds.insert(wire::encode(&event).unwrap().kind);
    }
    let missing: Vec<&str> =
        Kind::all().filter(|kind| !kinds.contains(&kind.number)).map(|kind| kind.name).collect();
    assert!(missing.is_empty(), "without a sentence here: {missing:?}");
}
