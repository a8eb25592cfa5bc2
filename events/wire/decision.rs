//! The kinds of decisions: numbers from 200.
//!
//! Invariant: an entry with a released schema is never edited (see [`wire`](super)).

use purser_engine::event::Decision;

use super::code::{DisruptionCode, DivergenceCode};
use super::plan::{LaunchOptionV1, PlaceV1, ReasonV1, TargetV1};
use super::pod::{PodKeyV1, PodsV1};
use super::requirement::RequirementsV1;
use super::resources::ResourcesV1;
use super::scalar::{TimeV1, UidV1};

/// Stop an instance, before volumes were waited for.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct TerminateV1 {
    pub(crate) claim: String,
    pub(crate) instance: Option<String>,
}

impl From<TerminateV1> for TerminateV2 {
    fn from(TerminateV1 { claim, instance }: TerminateV1) -> Self {
        Self { claim, instance, attached: 0 }
    }
}

kinds! { Decision as Decision;
    /// Start an instance.
    200 "launch" Launch => LaunchV1 @ 1 {
        claim: String,
        pool: String,
        hash: String,
        requirements: RequirementsV1,
        requests: ResourcesV1,
        pods: PodsV1,
        places: Vec<PlaceV1>,
        options: Vec<LaunchOptionV1>,
        reserved: ResourcesV1,
        considered: u32,
    }

    /// Ask again, with the same request, for a launch of which nobody knows how it went.
    201 "relaunch" Relaunch => RelaunchV1 @ 1 { claim: String, attempt: u32 }

    /// Expect pods on a node that is there or on its way.
    202 "nominate" Nominate => NominateV1 @ 1 { target: TargetV1, pods: PodsV1 }

    /// Leave pods waiting.
    203 "unschedulable" Unschedulable => UnschedulableV1 @ 1 { pods: PodsV1, reason: ReasonV1 }

    /// Take a node for a claim's.
    204 "register" Register => RegisterV1 @ 1 { claim: String, node: String }

    /// Hold a claim's node for fully set up.
    205 "initialize" Initialize => InitializeV1 @ 1 { claim: String, node: String }

    /// Begin to remove nodes.
    206 "disrupt" Disrupt => DisruptV1 @ 1 {
        reason: DisruptionCode,
        candidates: Vec<String>,
        replacements: Vec<String>,
        savings_microusd_per_hour: i64 = savings,
        allowed: Option<u32>,
        used: u32,
    }

    /// Give up removing a node.
    207 "abandon-disruption" AbandonDisruption => AbandonDisruptionV1 @ 1 { claim: String, reason: ReasonV1 }

    /// Leave a node alone that was looked at.
    208 "reject-candidate" RejectCandidate => RejectCandidateV1 @ 1 { claim: String, reason: ReasonV1 }

    /// Keep new pods away from a node.
    209 "taint" Taint => TaintV1 @ 1 { claim: String }

    /// Let pods come to a node again.
    210 "untaint" Untaint => UntaintV1 @ 1 { claim: String }

    /// Begin to empty a node.
    211 "drain" Drain => DrainV1 @ 1 { claim: String, deadline: Option<TimeV1> }

    /// Ask a pod to leave.
    212 "evict" Evict => EvictV1 @ 1 { claim: String, pod: PodKeyV1, uid: UidV1, force: bool }

    /// Stop an instance; so many volumes are attached to its node that were waited for.
    213 "terminate" Terminate => TerminateV2 @ 2, older [TerminateV1 @ 1 => TerminateV2] {
        claim: String,
        instance: Option<String>,
        attached: u32,
    }

    /// Replace a node that is unhealthy.
    214 "repair" Repair => RepairV1 @ 1 { claim: String, condition: String }

    /// Replace a node that has reached its age.
    215 "expire" Expire => ExpireV1 @ 1 { claim: String, age_us: i64 = age }

    /// Hold a node for drifted.
    216 "drift" Drift => DriftV1 @ 1 { claim: String, field: String, was: String, wanted: String }

    /// Take over a claim or an instance that this log did not launch.
    217 "adopt" Adopt => AdoptV1 @ 1 { claim: String, instance: Option<String> }

    /// Remove an instance without a claim.
    218 "garbage-collect" GarbageCollect => GarbageCollectV1 @ 1 { instance: String }

    /// Start an instance for a claim that was taken over without one: what it must satisfy is in the claim.
    219 "launch-adopted" LaunchAdopted => LaunchAdoptedV1 @ 1 {
        claim: String,
        places: Vec<PlaceV1>,
        options: Vec<LaunchOptionV1>,
        reserved: ResourcesV1,
        considered: u32,
    }

    /// Take note that a pod is not where it was planned.
    220 "binding-diverged" BindingDiverged => BindingDivergedV1 @ 1 {
        pod: PodKeyV1,
        node: String,
        how: DivergenceCode,
        planned: u64,
    }

    /// Wait until volumes are detached from a node that is empty: so many are attached.
    221 "await-detachment" AwaitDetachment => AwaitDetachmentV1 @ 1 { claim: String, attached: u32 }
}
