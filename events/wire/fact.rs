//! The kinds of observations: numbers from 100.
//!
//! Invariant: an entry with a released schema is never edited (see [`wire`](super)).

use purser_engine::event::Fact;

use super::claim::{ClaimFactsV1, ClaimFactsV2};
use super::cloud::{InstanceTypeV1, LaunchFailureV1, OfferingKeyV1};
use super::code::{CapacityTypeCode, InterruptionCode, PodPhaseCode};
use super::device::{
    ClaimKindV1, ClaimSourceV1, DevicePoolKeyV1, DevicePoolV1, DeviceSelectorV1, ResourceClaimV1,
    SelectorsV1, WantedV1,
};
use super::map::{LabelsV1, MapV1};
use super::pod::{LabelSelectorV1, PodKeyV1, PodSpecV1, PodSpecV2};
use super::pool::NodePoolV1;
use super::requirement::RequirementsV1;
use super::resources::ResourcesV1;
use super::scalar::{TimeV1, UidV1};
use super::taint::TaintV1;

/// A pod spec got a number, before pods were of groups.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PodSpecDefinedV1 {
    pub(crate) id: u32,
    pub(crate) spec: PodSpecV1,
}

impl From<PodSpecDefinedV1> for PodSpecDefinedV2 {
    fn from(PodSpecDefinedV1 { id, spec }: PodSpecDefinedV1) -> Self {
        Self { id, spec: spec.into() }
    }
}

/// There was a NodeClaim that this log did not launch, before claims were taken over with all that is known of them.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct NodeClaimObservedV1 {
    pub(crate) claim: String,
    pub(crate) pool: Option<String>,
    pub(crate) instance: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) created: TimeV1,
    pub(crate) hash: String,
}

impl From<NodeClaimObservedV1> for NodeClaimObservedV2 {
    fn from(old: NodeClaimObservedV1) -> Self {
        Self { claim: old.into() }
    }
}

/// A NodeClaim was seen, before its deadline was read.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct NodeClaimObservedV2 {
    pub(crate) claim: ClaimFactsV1,
}

impl From<NodeClaimObservedV2> for NodeClaimObservedV3 {
    fn from(NodeClaimObservedV2 { claim }: NodeClaimObservedV2) -> Self {
        Self { claim: claim.into() }
    }
}

/// A pod moved on in its life, before it was told when it began and when it has to be gone.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PodPhaseChangedV1 {
    pub(crate) pod: PodKeyV1,
    pub(crate) phase: PodPhaseCode,
}

impl From<PodPhaseChangedV1> for PodPhaseChangedV2 {
    fn from(PodPhaseChangedV1 { pod, phase }: PodPhaseChangedV1) -> Self {
        Self { pod, phase, started: None, ends: None }
    }
}

kinds! { Fact as Observation;
    /// A pod spec got a number, by which pods refer to it.
    100 "pod-spec-defined" PodSpecDefined
        => PodSpecDefinedV2 @ 2, older [PodSpecDefinedV1 @ 1 => PodSpecDefinedV2] { id: u32, spec: PodSpecV2 }

    /// A set of node labels got a number, by which nodes refer to it.
    101 "label-set-defined" LabelSetDefined => LabelSetDefinedV1 @ 1 { id: u32, labels: LabelsV1 }

    /// A pod appeared, or changed in more than its binding or phase.
    102 "pod-observed" PodObserved => PodObservedV1 @ 1 {
        pod: PodKeyV1,
        uid: UidV1,
        spec: u32,
        created: TimeV1,
        phase: PodPhaseCode,
        node: Option<String>,
    }

    /// A pod was bound to a node.
    103 "pod-bound" PodBound => PodBoundV1 @ 1 { pod: PodKeyV1, node: String }

    /// A pod moved on in its life.
    104 "pod-phase-changed" PodPhaseChanged
        => PodPhaseChangedV2 @ 2, older [PodPhaseChangedV1 @ 1 => PodPhaseChangedV2] {
        pod: PodKeyV1,
        phase: PodPhaseCode,
        started: Option<TimeV1>,
        ends: Option<TimeV1>,
    }

    /// A pod is no more.
    105 "pod-deleted" PodDeleted => PodDeletedV1 @ 1 { pod: PodKeyV1 }

    /// A node appeared, or changed in more than its readiness.
    106 "node-observed" NodeObserved => NodeObservedV1 @ 1 {
        node: String,
        instance: Option<String>,
        labels: u32,
        taints: Vec<TaintV1>,
        allocatable: ResourcesV1,
        ready: bool,
        unschedulable: bool,
        do_not_disrupt: bool,
        created: TimeV1,
        deleting: bool,
    }

    /// A node became ready, or ceased to be.
    107 "node-readiness-changed" NodeReadinessChanged => NodeReadinessChangedV1 @ 1 { node: String, ready: bool }

    /// A condition of a node other than its readiness changed.
    108 "node-condition-changed" NodeConditionChanged => NodeConditionChangedV1 @ 1 {
        node: String,
        condition: String,
        status: String,
        since: TimeV1,
    }

    /// A node is no more.
    109 "node-deleted" NodeDeleted => NodeDeletedV1 @ 1 { node: String }

    /// There is a NodeClaim that this log did not launch, or one that is not as the log has it: somebody deletes it, or has set
    /// another instance or deadline.
    110 "node-claim-observed" NodeClaimObserved
        => NodeClaimObservedV3 @ 3, older [
            NodeClaimObservedV1 @ 1 => NodeClaimObservedV2, NodeClaimObservedV2 @ 2 => NodeClaimObservedV3
        ] { claim: ClaimFactsV2 }

    /// A NodeClaim is no more, though it was not let go.
    111 "node-claim-deleted" NodeClaimDeleted => NodeClaimDeletedV1 @ 1 { claim: String }

    /// A NodePool appeared or changed.
    112 "node-pool-observed" NodePoolObserved => NodePoolObservedV1 @ 1 { pool: NodePoolV1 }

    /// A NodePool is no more.
    113 "node-pool-deleted" NodePoolDeleted => NodePoolDeletedV1 @ 1 { pool: String }

    /// A node class appeared or changed.
    114 "node-class-observed" NodeClassObserved => NodeClassObservedV1 @ 1 {
        kind: String,
        class: String,
        hash: String,
        ready: bool,
        message: String,
    }

    /// A node class is no more.
    115 "node-class-deleted" NodeClassDeleted => NodeClassDeletedV1 @ 1 { kind: String, class: String }

    /// A NodeOverlay appeared or changed.
    116 "node-overlay-observed" NodeOverlayObserved => NodeOverlayObservedV1 @ 1 {
        name: String,
        weight: u32,
        requirements: RequirementsV1,
        price_microusd_per_hour: Option<i64> = price,
        price_adjustment: Option<String>,
        capacity: ResourcesV1,
    }

    /// A NodeOverlay is no more.
    117 "node-overlay-deleted" NodeOverlayDeleted => NodeOverlayDeletedV1 @ 1 { name: String }

    /// A DaemonSet appeared or changed.
    118 "daemon-set-observed" DaemonSetObserved => DaemonSetObservedV1 @ 1 { daemon_set: PodKeyV1, spec: u32 }

    /// A DaemonSet is no more.
    119 "daemon-set-deleted" DaemonSetDeleted => DaemonSetDeletedV1 @ 1 { daemon_set: PodKeyV1 }

    /// A PodDisruptionBudget appeared or changed.
    120 "disruption-budget-observed" DisruptionBudgetObserved => DisruptionBudgetObservedV1 @ 1 {
        budget: PodKeyV1,
        selector: LabelSelectorV1,
        disruptions_allowed: u32,
        always_allow_unhealthy: bool,
    }

    /// A PodDisruptionBudget is no more.
    121 "disruption-budget-deleted" DisruptionBudgetDeleted => DisruptionBudgetDeletedV1 @ 1 { budget: PodKeyV1 }

    /// A PersistentVolumeClaim appeared or changed.
    122 "volume-claim-observed" VolumeClaimObserved => VolumeClaimObservedV1 @ 1 {
        claim: PodKeyV1,
        topologies: Vec<RequirementsV1>,
        driver: String,
        problem: Option<String>,
    }

    /// A PersistentVolumeClaim is no more.
    123 "volume-claim-deleted" VolumeClaimDeleted => VolumeClaimDeletedV1 @ 1 { claim: PodKeyV1 }

    /// An instance type is offered, or its offer changed.
    124 "instance-type-observed" InstanceTypeObserved => InstanceTypeObservedV1 @ 1 { instance_type: InstanceTypeV1 }

    /// An instance type is no longer offered.
    125 "instance-type-removed" InstanceTypeRemoved => InstanceTypeRemovedV1 @ 1 { instance_type: String }

    /// The catalogue of instance types is complete as of here.
    126 "catalogue-observed" CatalogueObserved => CatalogueObservedV1 @ 1 { digest: String, types: u32 }

    /// An offering's price changed.
    127 "price-changed" PriceChanged => PriceChangedV1 @ 1 {
        offering: OfferingKeyV1,
        price_microusd_per_hour: i64 = price,
    }

    /// There is no capacity for an offering.
    128 "offering-unavailable" OfferingUnavailable => OfferingUnavailableV1 @ 1 { offering: OfferingKeyV1, until: TimeV1 }

    /// The cloud started an instance for a claim.
    129 "instance-launched" InstanceLaunched => InstanceLaunchedV1 @ 1 {
        claim: String,
        instance: String,
        instance_type: String,
        zone: String,
        capacity_type: CapacityTypeCode,
        price_microusd_per_hour: i64 = price,
    }

    /// The cloud did not start an instance for a claim.
    130 "launch-failed" LaunchFailed => LaunchFailedV1 @ 1 { claim: String, failure: LaunchFailureV1 }

    /// An instance that this log does not know carries our tags.
    131 "instance-observed" InstanceObserved => InstanceObservedV1 @ 1 {
        instance: String,
        claim: Option<String>,
        instance_type: String,
        zone: String,
        capacity_type: CapacityTypeCode,
        launched: TimeV1,
    }

    /// An instance is no more.
    132 "instance-gone" InstanceGone => InstanceGoneV1 @ 1 { instance: String }

    /// The cloud says that it will take an instance back or stop it.
    133 "interruption-notice" InterruptionNotice => InterruptionNoticeV1 @ 1 {
        instance: String,
        kind: InterruptionCode,
        at: TimeV1,
    }

    /// The API server refused an eviction for now.
    134 "eviction-blocked" EvictionBlocked => EvictionBlockedV1 @ 1 { pod: PodKeyV1, by: String }

    /// A node carries the mark that keeps new pods away.
    135 "node-tainted" NodeTainted => NodeTaintedV1 @ 1 { claim: String }

    /// What was to be done could not be done; it will be tried again.
    136 "effect-failed" EffectFailed => EffectFailedV1 @ 1 { claim: String, message: String }

    /// A Namespace appeared, or its labels changed.
    137 "namespace-observed" NamespaceObserved => NamespaceObservedV1 @ 1 { namespace: String, labels: LabelsV1 }

    /// A Namespace is no more.
    138 "namespace-deleted" NamespaceDeleted => NamespaceDeletedV1 @ 1 { namespace: String }

    /// How many volumes of each CSI driver a node attaches became known, or changed; `null` is no limit.
    139 "volume-limits-observed" VolumeLimitsObserved => VolumeLimitsObservedV1 @ 1 {
        node: String,
        limits: MapV1<Option<u32>>,
    }

    /// How many volumes a node attaches is no longer known.
    140 "volume-limits-deleted" VolumeLimitsDeleted => VolumeLimitsDeletedV1 @ 1 { node: String }

    /// A CapacityBuffer appeared, or what it comes to changed: room for so many pods of a spec.
    141 "capacity-buffer-observed" CapacityBufferObserved => CapacityBufferObservedV1 @ 1 {
        buffer: PodKeyV1,
        spec: u32,
        replicas: u32,
    }

    /// A CapacityBuffer is no more, or comes to nothing.
    142 "capacity-buffer-deleted" CapacityBufferDeleted => CapacityBufferDeletedV1 @ 1 { buffer: PodKeyV1 }

    /// A volume is attached to a node, or the claim that it is bound to changed.
    143 "volume-attachment-observed" VolumeAttachmentObserved => VolumeAttachmentObservedV1 @ 1 {
        attachment: String,
        node: String,
        volume: String,
        claim: Option<PodKeyV1>,
    }

    /// A volume is attached no longer.
    144 "volume-attachment-deleted" VolumeAttachmentDeleted => VolumeAttachmentDeletedV1 @ 1 {
        attachment: String,
        node: String,
    }

    /// A device selector (CEL expressions, and amounts of capacity) got a number, by which kinds of claims and devices refer to it.
    145 "device-selector-defined" DeviceSelectorDefined => DeviceSelectorDefinedV1 @ 1 {
        id: u32,
        selector: DeviceSelectorV1,
    }

    /// What resource claims ask for got a number, by which they refer to it.
    146 "claim-kind-defined" ClaimKindDefined => ClaimKindDefinedV1 @ 1 { id: u32, kind: ClaimKindV1 }

    /// A ResourceClaim appeared, or changed in what it asks for or has.
    147 "resource-claim-observed" ResourceClaimObserved => ResourceClaimObservedV1 @ 1 {
        claim: PodKeyV1,
        facts: ResourceClaimV1,
    }

    /// A ResourceClaim is no more.
    148 "resource-claim-deleted" ResourceClaimDeleted => ResourceClaimDeletedV1 @ 1 { claim: PodKeyV1 }

    /// A ResourceClaimTemplate appeared, or what claims of it ask for changed.
    149 "claim-template-observed" ClaimTemplateObserved => ClaimTemplateObservedV1 @ 1 {
        template: PodKeyV1,
        wanted: WantedV1 = kind,
    }

    /// A ResourceClaimTemplate is no more.
    150 "claim-template-deleted" ClaimTemplateDeleted => ClaimTemplateDeletedV1 @ 1 { template: PodKeyV1 }

    /// Where the resource claims of a pod come from became known, or changed.
    151 "pod-claims-observed" PodClaimsObserved => PodClaimsObservedV1 @ 1 {
        pod: PodKeyV1,
        claims: Vec<ClaimSourceV1>,
    }

    /// A driver published devices of a node, or they look different to those who ask for devices.
    152 "device-pool-observed" DevicePoolObserved => DevicePoolObservedV1 @ 1 {
        key: DevicePoolKeyV1,
        pool: DevicePoolV1,
    }

    /// A driver publishes devices of a node no longer.
    153 "device-pool-deleted" DevicePoolDeleted => DevicePoolDeletedV1 @ 1 { key: DevicePoolKeyV1 }

    /// Which device selectors may take devices that are not of one node alone.
    154 "wide-selectors-observed" WideSelectorsObserved => WideSelectorsObservedV1 @ 1 { selectors: SelectorsV1 }
}
