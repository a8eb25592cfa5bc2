//! What becomes of pods whose place another one took: the kube-scheduler binds pods as it sees fit, not as was planned.
//!
//! **Invariant:** on a node that is set up, the pods that are there and those that are expected fit together.

use super::{Diverged, Plan, Planned, State};
use crate::event::{Divergence, Seq, SpecId, Target};
use crate::model::{NodeName, PodKey, Resources, Time};

/// A pod before it was bound: being bound changes what it is, too, where it gets the labels of its node's zone.
pub(super) struct Waited {
    spec: Option<SpecId>,
    plan: Plan,
}

impl State {
    /// How a pod that is bound to a node now differs from its plan, if it does.
    pub(super) fn divergence(&self, key: &PodKey, node: &NodeName) -> Option<Diverged> {
        let pod = self.pods.get(key).filter(|pod| pod.node.is_none())?;
        let (how, planned) = match &pod.plan {
            Plan::None => return None,
            Plan::Unschedulable { decision, .. } => (Divergence::NoPlace, *decision),
            Plan::Nominated { target, decision, .. } => {
                let here = self.target_of(node);
                if *target == here || *target == Target::Node(node.clone()) {
                    return None;
                }
                let equal = |other: &PodKey| self.pods.get(other).is_some_and(|other| other.spec == pod.spec);
                let swapped = self.planned(&here).is_some_and(|planned| planned.pods.iter().any(equal));
                (if swapped { Divergence::EqualPod } else { Divergence::OtherNode }, *decision)
            }
        };
        Some(Diverged { pod: key.clone(), node: node.clone(), how, planned })
    }

    /// Makes way for a pod that was bound, on a node where others may have been expected.
    ///
    /// If it was expected elsewhere itself, one of its kind goes there in its stead, as the decision for it asked. Whoever has no room
    /// left otherwise has to be decided upon anew.
    pub(super) fn make_way(&mut self, seq: Seq, time: Time, newcomer: &PodKey, waited: &Waited) {
        let Some(node) = self.pods.get(newcomer).and_then(|pod| pod.occupies().cloned()) else { return };
        let here = self.target_of(&node);
        let Some(planned) = self.planned(&here).filter(|planned| !planned.pods.is_empty()) else { return };
        if let Plan::Nominated { target, decision, .. } = &waited.plan {
            if *target == here {
                return;
            }
            let same =
                |key: &&PodKey| self.pods.get(*key).is_some_and(|other| Some(other.spec) == waited.spec);
            if let Some(other) = planned.pods.iter().find(same).cloned() {
                self.nominate(seq, time, target, std::slice::from_ref(&other));
                if let Some(Plan::Nominated { decision: of, .. }) =
                    self.pods.get_mut(&other).map(|pod| &mut pod.plan)
                {
                    *of = *decision;
                }
                return;
            }
        }
        self.release_what_does_not_fit(seq, time, &here);
    }

    fn release_what_does_not_fit(&mut self, seq: Seq, time: Time, target: &Target) {
        let node = match target {
            Target::Node(node) => node.clone(),
            Target::Claim(name) => match self.claims.get(name) {
                // What the node of a claim offers may not show before it is set up.
                Some(claim) if claim.initialized.is_some() => match &claim.node {
                    Some(node) => node.clone(),
                    None => return,
                },
                _ => return,
            },
        };
        let (Some(facts), Some(occupancy)) = (self.nodes.get(&node), self.occupancy.get(&node)) else {
            return;
        };
        // Of what is used up already nothing is left, however far.
        let free = facts.facts.allocatable.minus(&occupancy.used).elementwise_max(&Resources::default());
        while let Some(planned) = self.planned(target)
            && !planned.requests.fits(&free)
            && let Some(last) = planned.pods.last().cloned()
        {
            self.release(seq, time, &last);
        }
    }

    /// How a pod is, before a record about it.
    pub(super) fn waited(&self, pod: &PodKey) -> Waited {
        let pod = self.pods.get(pod);
        Waited { spec: pod.map(|pod| pod.spec), plan: pod.map(|pod| pod.plan.clone()).unwrap_or_default() }
    }

    fn target_of(&self, node: &NodeName) -> Target {
        match self.claims.of_node(node) {
            Some(claim) => Target::Claim(claim.clone()),
            None => Target::Node(node.clone()),
        }
    }

    fn planned(&self, target: &Target) -> Option<&Planned> {
        match target {
            Target::Claim(claim) => self.claims.get(claim).map(|claim| &claim.planned),
            Target::Node(node) => self.nodes.get(node).map(|node| &node.planned),
        }
    }
}
