//! The codes of enumerations.
//!
//! Words are those of Kubernetes, Karpenter and the cloud where these have any.
//!
//! Invariant: a code and its word, once released, stand for the same thing for ever. New ones are added at the end.

use std::fmt::Display;

use purser_engine::event::{Divergence, Interruption};
use purser_engine::model::{
    CapacityType, ConsolidationPolicy, DisruptionReason, LabelOperator, OwnerKind, PodPhase, Protocol,
    SpreadPolicy, TaintEffect, TolerationOperator, Unsatisfiable,
};
use purser_engine::settings::{FeatureGate, MinValuesPolicy, PreferencePolicy};

/// The message for a code or word that is not known.
pub(crate) fn unknown(of: &str, code: impl Display) -> String {
    format!("{code} is no {of} that this version knows: it is damaged, or a newer program wrote it")
}

mirrored_enum! {
    /// How capacity is bought.
    CapacityTypeCode = CapacityType "capacity type" { Reserved = 1 "reserved", Spot = 2 "spot", OnDemand = 3 "on-demand" }

    /// When nodes are worth removing.
    ConsolidationCode = ConsolidationPolicy "consolidation policy" {
        WhenEmpty = 1 "WhenEmpty",
        WhenEmptyOrUnderutilized = 2 "WhenEmptyOrUnderutilized",
        Balanced = 3 "Balanced",
    }

    /// Why a node is removed.
    DisruptionCode = DisruptionReason "disruption reason" {
        Empty = 1 "empty",
        Underutilized = 2 "underutilized",
        Drifted = 3 "drifted",
        Expired = 4 "expired",
        Interrupted = 5 "interrupted",
        LaunchTimeout = 6 "launch_timeout",
        RegistrationTimeout = 7 "registration_timeout",
        Unhealthy = 8 "unhealthy",
        Deleted = 9 "deleted",
        Overprovisioned = 10 "overprovisioned",
        InsufficientCapacity = 11 "insufficient_capacity",
        GarbageCollected = 12 "garbage_collected",
    }

    /// How the node that a pod was bound to differs from what was planned.
    DivergenceCode = Divergence "divergence" { OtherNode = 1 "other_node", EqualPod = 2 "equal_pod", NoPlace = 3 "no_place" }

    /// What is switched on or off as a whole.
    FeatureGateCode = FeatureGate "feature gate" {
        NodeRepair = 1 "NodeRepair",
        ReservedCapacity = 2 "ReservedCapacity",
        SpotToSpotConsolidation = 3 "SpotToSpotConsolidation",
        NodeOverlay = 4 "NodeOverlay",
        StaticCapacity = 5 "StaticCapacity",
        CapacityBuffer = 6 "CapacityBuffer",
    }

    /// What the cloud will do to an instance.
    InterruptionCode = Interruption "interruption" {
        SpotReclaim = 1 "spot-reclaim",
        RebalanceRecommendation = 2 "rebalance-recommendation",
        ScheduledMaintenance = 3 "scheduled-maintenance",
        StateChange = 4 "state-change",
    }

    /// How a label selector compares.
    LabelOperatorCode = LabelOperator "label operator" {
        In = 1 "In",
        NotIn = 2 "NotIn",
        Exists = 3 "Exists",
        DoesNotExist = 4 "DoesNotExist",
    }

    /// Whether `minValues` can be let go.
    MinValuesCode = MinValuesPolicy "min values policy" { Strict = 1 "Strict", BestEffort = 2 "BestEffort" }

    /// What owns a pod.
    OwnerCode = OwnerKind "owner" {
        None = 1 "none",
        DaemonSet = 2 "DaemonSet",
        Node = 3 "Node",
        StatefulSet = 4 "StatefulSet",
        Controller = 5 "controller",
    }

    /// Where a pod is in its life.
    PodPhaseCode = PodPhase "pod phase" {
        Pending = 1 "pending",
        Held = 2 "held",
        Bound = 3 "bound",
        Terminating = 4 "terminating",
        Ended = 5 "ended",
        Untried = 6 "untried",
    }

    /// Whether the preferences of pods count.
    PreferenceCode = PreferencePolicy "preference policy" { Respect = 1 "Respect", Ignore = 2 "Ignore" }

    /// The transport protocol of a host port.
    ProtocolCode = Protocol "protocol" { Tcp = 1 "TCP", Udp = 2 "UDP", Sctp = 3 "SCTP" }

    /// Whether a spread constraint looks at all nodes.
    SpreadPolicyCode = SpreadPolicy "spread policy" { Honor = 1 "Honor", Ignore = 2 "Ignore" }

    /// What a taint does.
    TaintEffectCode = TaintEffect "taint effect" {
        NoSchedule = 1 "NoSchedule",
        PreferNoSchedule = 2 "PreferNoSchedule",
        NoExecute = 3 "NoExecute",
    }

    /// How a toleration compares.
    TolerationOperatorCode = TolerationOperator "toleration operator" {
        Exists = 1 "Exists",
        Equal = 2 "Equal",
        Gt = 3 "Gt",
        Lt = 4 "Lt",
    }

    /// What to do when a spread constraint cannot be met.
    UnsatisfiableCode = Unsatisfiable "unsatisfiable" {
        DoNotSchedule = 1 "DoNotSchedule",
        ScheduleAnyway = 2 "ScheduleAnyway",
    }
}

wire_enum! {
    /// What the number of a budget counts.
    BudgetUnit "budget unit" { Nodes = 1 "nodes", Percent = 2 "percent" }

    /// How a launch failed.
    LaunchFailureCode "launch failure" {
        InsufficientCapacity = 1 "insufficient-capacity",
        Rejected = 2 "rejected",
        Unknown = 3 "unknown",
    }

    /// Where a pod's resource claim comes from.
    ClaimSourceCode "claim source" {
        Named = 1 "named",
        Made = 2 "made",
        Template = 3 "template",
        NotNeeded = 4 "not-needed",
    }

    /// What a target is the name of.
    TargetCode "target" { Node = 1 "node", Claim = 2 "claim" }
}

/// What codes are of, and each code with its word.
#[cfg(test)]
pub(crate) type Codes = (&'static str, &'static [(u16, &'static str)]);

/// Every enumeration with its codes, the reasons aside.
#[cfg(test)]
pub(crate) const ALL: &[Codes] = &[
    CapacityTypeCode::CODES,
    ConsolidationCode::CODES,
    DivergenceCode::CODES,
    DisruptionCode::CODES,
    FeatureGateCode::CODES,
    InterruptionCode::CODES,
    LabelOperatorCode::CODES,
    MinValuesCode::CODES,
    OwnerCode::CODES,
    PodPhaseCode::CODES,
    PreferenceCode::CODES,
    ProtocolCode::CODES,
    SpreadPolicyCode::CODES,
    TaintEffectCode::CODES,
    TolerationOperatorCode::CODES,
    UnsatisfiableCode::CODES,
    BudgetUnit::CODES,
    LaunchFailureCode::CODES,
    TargetCode::CODES,
    ClaimSourceCode::CODES,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn a_code_is_a_byte_and_a_word() {
        assert_eq!(codec::encode(&CapacityTypeCode::OnDemand).unwrap(), [3]);
        assert_eq!(codec::decode::<CapacityTypeCode>(&[3]).unwrap(), CapacityTypeCode::OnDemand);
        assert_eq!(serde_json::to_string(&CapacityTypeCode::OnDemand).unwrap(), "\"on-demand\"");
        assert_eq!(
            serde_json::from_str::<CapacityTypeCode>("\"on-demand\"").unwrap(),
            CapacityTypeCode::OnDemand
        );
    }

    #[test]
    fn an_unknown_code_is_an_error_that_says_of_what() {
        for byte in [0, 4, 255] {
            let error = codec::decode::<CapacityTypeCode>(&[byte]).unwrap_err();
            assert!(error.reason.contains(&format!("{byte} is no capacity type")), "{error}");
        }
        assert!(serde_json::from_str::<CapacityTypeCode>("\"rented\"").is_err());
    }
}
