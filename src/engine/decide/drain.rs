//! Nodes are emptied: which pods are asked to leave, when, and which of them and of their volumes are waited for.
//!
//! Source: Karpenter, pkg/controllers/node/termination, its terminator and pkg/utils/pod/scheduling.go; the order is that of a graceful node
//! shutdown (<https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/>).
//!
//! **Invariant:** a group of pods is asked to leave only when none of the groups before it is left. Only the deadline passes over that, over
//! `do-not-disrupt` and over budgets, and no earlier than a pod needs to have its grace period before it.

use std::collections::BTreeSet;

use super::Pass;
use crate::event::Decision;
use crate::model::{DoNotDisrupt, OwnerKind, PodKey, PodPhase, PodSpec, Span, Taint, Time};
use crate::state::{Claim, Disrupting, Eviction, Pod, State};

/// A blocked eviction is tried again after this at the latest.
const MAX_EVICTION_RETRY: Span = Span::mins(1);

/// A pod that is still there so long after it had to be gone is passed over: whoever should end it does not.
const STUCK_AFTER: Span = Span::mins(1);

/// A node is there for so long at least after its removal was decided: a scheduler that has not seen the mark yet may still send pods, which
/// are to leave like all others. Source: Karpenter, `MinDrainTime` in pkg/controllers/node/termination.
const LEAST: Span = Span::secs(5);

/// A pod on a node that is emptied.
struct Leaving<'a> {
    key: &'a PodKey,
    pod: &'a Pod,
    spec: &'a PodSpec,
}

/// Asks pods on a node to leave whose turn it is. False if nothing is left that has to be waited for.
pub(super) fn waits(
    pass: &mut Pass<'_>,
    claim: &Claim,
    disrupting: &Disrupting,
    deadline: Option<Time>,
) -> bool {
    let pods = pods_of(pass.state, claim);
    let awaited: Vec<Leaving<'_>> = pods.filter(|leaving| leaving.is_awaited(pass)).collect();
    let (forced, graceful): (Vec<Leaving<'_>>, Vec<Leaving<'_>>) =
        awaited.into_iter().partition(|leaving| leaving.is_forced(pass, deadline));
    for leaving in &forced {
        if disrupting.evictions.get(leaving.key).is_none_or(|eviction| !eviction.forced) {
            evict(pass, claim, leaving, true);
        }
    }
    // Those of the first group that has any.
    let group = graceful.iter().map(Leaving::group).min();
    for leaving in graceful.iter().filter(|leaving| Some(leaving.group()) == group) {
        if leaving.may_be_asked(pass) && is_due(pass, disrupting.evictions.get(leaving.key)) {
            evict(pass, claim, leaving, false);
        }
    }
    let is_empty = forced.is_empty() && graceful.is_empty();
    let is_over = deadline.is_some_and(|deadline| deadline <= pass.now);
    !is_empty || !(is_over || pass.is_due(disrupting.since + LEAST))
}

/// How many volumes are attached to a node on which no pod is waited for any more, but for those of the pods that are left.
///
/// Others detach them, and do so in good order only as long as the node is there: the volumes of one that is gone are kept from other nodes for
/// minutes.
pub(super) fn attached(state: &State, claim: &Claim) -> u32 {
    let attachments = || claim.node.iter().flat_map(|node| state.attachments(node));
    if attachments().next().is_none() {
        return 0;
    }
    let of_pods: BTreeSet<PodKey> = pods_of(state, claim).flat_map(|pod| pod.volume_claims()).collect();
    let is_awaited = |claim: &Option<PodKey>| claim.as_ref().is_none_or(|claim| !of_pods.contains(claim));
    let awaited = attachments().filter(|attachment| is_awaited(&attachment.claim)).count();
    u32::try_from(awaited).unwrap_or(u32::MAX)
}

/// The pods on the node of a claim.
fn pods_of<'a>(state: &'a State, claim: &Claim) -> impl Iterator<Item = Leaving<'a>> + use<'a> {
    let occupancy = claim.node.as_ref().and_then(|node| state.occupancy(node));
    let keys = occupancy.into_iter().flat_map(|occupancy| &occupancy.pods);
    keys.filter_map(|key| {
        let pod = state.pods.get(key)?;
        Some(Leaving { key, pod, spec: state.spec(pod.spec) })
    })
}

impl<'a> Leaving<'a> {
    /// The PersistentVolumeClaims that it uses.
    fn volume_claims(self) -> impl Iterator<Item = PodKey> + use<'a> {
        let namespace = &self.key.namespace;
        self.spec.volumes.iter().map(|volume| PodKey::new(namespace.clone(), volume.claim.clone()))
    }

    /// Whether the node stays for its sake. Static pods cannot be deleted, and those that tolerate the mark mean to stay.
    fn is_awaited(&self, pass: &mut Pass<'_>) -> bool {
        let stays =
            self.spec.owner == OwnerKind::Node || Taint::disrupted().is_tolerated_by(&self.spec.tolerations);
        let stuck = self.pod.phase == PodPhase::Terminating
            && self.pod.ends.is_some_and(|ends| pass.is_due(ends + STUCK_AFTER));
        !stays && !stuck
    }

    /// Whether it has to be deleted now, to be gone by the deadline with its grace period behind it. One without a grace period of its own is not
    /// hurried, and goes with the node.
    fn is_forced(&self, pass: &mut Pass<'_>, deadline: Option<Time>) -> bool {
        let Some(deadline) = deadline else { return false };
        match (self.pod.phase, self.pod.ends) {
            (PodPhase::Terminating, Some(ends)) if ends > deadline => true,
            _ => self.spec.termination_grace.is_some_and(|grace| pass.is_due(deadline - grace)),
        }
    }

    /// Its turn: what the cluster does not depend on goes first, and of that, daemons last.
    fn group(&self) -> (bool, bool) {
        (self.spec.is_critical(), self.spec.owner == OwnerKind::DaemonSet)
    }

    fn may_be_asked(&self, pass: &mut Pass<'_>) -> bool {
        self.pod.phase != PodPhase::Terminating && !is_held(pass, self.pod, self.spec)
    }
}

/// Whether `karpenter.sh/do-not-disrupt` holds a pod at this moment; if so only for a time, asks to look again at its end.
///
/// With a time but no start yet, it is held.
pub(super) fn is_held(pass: &mut Pass<'_>, pod: &Pod, spec: &PodSpec) -> bool {
    match spec.do_not_disrupt {
        None => false,
        Some(DoNotDisrupt::Always) => true,
        Some(DoNotDisrupt::For(span)) => pod.started.is_none_or(|started| !pass.is_due(started + span)),
    }
}

/// Whether it is time to ask, for the first time or again.
fn is_due(pass: &mut Pass<'_>, asked: Option<&Eviction>) -> bool {
    match asked {
        None => true,
        Some(eviction) if eviction.blocked => {
            let doublings = eviction.attempts.saturating_sub(1).min(10);
            let wait = Span(pass.state.settings.eviction_retry.0 << doublings).min(MAX_EVICTION_RETRY);
            pass.is_due(eviction.asked + wait)
        }
        Some(_) => false,
    }
}

fn evict(pass: &mut Pass<'_>, claim: &Claim, leaving: &Leaving<'_>, force: bool) {
    pass.decisions.push(Decision::Evict {
        claim: claim.name.clone(),
        pod: leaving.key.clone(),
        uid: leaving.pod.uid,
        force,
    });
}
