//! Pods counted by domain: what spread constraints, pod affinity and anti-affinity look at.
//!
//! A *group* is what one such constraint counts: pods that a selector selects, by the values of a label. Constraints that count the same share a
//! group. Of a required anti-affinity there is a second one the other way round, which counts those who have it: where they are, the pods that they
//! select may not be.
//!
//! Source: Karpenter, pkg/controllers/provisioning/scheduling/topology.go and topologygroup.go.
//!
//! **Invariant:** a pod counts as possible in each domain in which its node may come to be, and for sure in the one where that is certain: what must
//! not be exceeded is held against the former, what must be there against the latter.

mod build;
mod counts;

pub(super) use build::{Groups, Selecting, Ties};
pub(super) use counts::{Counts, Site};

use std::collections::BTreeSet;

use crate::model::{
    LabelSelector, Labels, PodAffinity, Requirement, Requirements, SpreadPolicy, Str, Toleration,
    TopologySpread, label,
};

/// The number of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GroupId(pub u32);

/// The number of a topology key; that of the host name is [`KeyId::HOSTNAME`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyId(pub u16);

impl KeyId {
    pub(super) const HOSTNAME: Self = Self(0);
}

/// A domain: for host names the number of the target, else that of the label's value.
pub(super) type Domain = u32;

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Spread {
        max_skew: u32,
        min_domains: Option<u32>,
    },
    Affinity,
    Anti,
    /// Counts the pods that have the anti-affinity, not those that it selects.
    Inverse,
}

/// What makes two constraints count the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GroupKey {
    key: Str,
    pub kind: Kind,
    /// `None` for all.
    namespaces: Option<BTreeSet<Str>>,
    selector: LabelSelector,
    /// For affinity with several terms: kube-scheduler counts only pods that all of them select.
    also: Vec<(Option<BTreeSet<Str>>, LabelSelector)>,
    pub nodes: NodeFilter,
}

/// Which nodes a spread constraint looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct NodeFilter {
    /// One of these, or any if there are none.
    alternatives: Vec<Requirements>,
    honors_affinity: bool,
    /// Those whose taints are tolerated so, if taints count.
    tolerations: Option<Vec<Toleration>>,
    /// Those that have the keys of all constraints of the pod.
    keys: Requirements,
}

impl NodeFilter {
    fn of(
        spread: &TopologySpread,
        alternatives: Vec<Requirements>,
        tolerations: &[Toleration],
        keys: &BTreeSet<Str>,
    ) -> Self {
        // Without its own key a node has no domain anyway, and every node has a name.
        let others = keys.iter().filter(|key| **key != spread.topology_key && &***key != label::HOSTNAME);
        let keys = others.map(|key| (key.clone(), Requirement::any())).collect();
        let any = alternatives.iter().any(Requirements::is_empty);
        let honors_affinity = spread.node_affinity_policy == SpreadPolicy::Honor;
        Self {
            alternatives: if honors_affinity && !any { alternatives } else { Vec::new() },
            honors_affinity,
            tolerations: (spread.node_taints_policy == SpreadPolicy::Honor).then(|| tolerations.to_vec()),
            keys,
        }
    }

    pub(super) fn is_any(&self) -> bool {
        self.alternatives.is_empty() && self.tolerations.is_none() && self.keys.is_empty()
    }
}

/// The namespaces that an affinity term looks at.
fn namespaces(
    term: &PodAffinity,
    own: &Str,
    known: &std::collections::BTreeMap<Str, Labels>,
) -> Option<BTreeSet<Str>> {
    match &term.namespaces {
        crate::model::NamespaceSelector::Own => Some([own.clone()].into()),
        crate::model::NamespaceSelector::Other { names, selector } => {
            // An empty selector selects all, those of which nobody has told as well.
            if selector.as_ref().is_some_and(|selector| selector.0.is_empty()) {
                return None;
            }
            let selected = known
                .iter()
                .filter(|(_, labels)| selector.as_ref().is_some_and(|selector| selector.matches(labels)));
            Some(names.iter().chain(selected.map(|(name, _)| name)).cloned().collect())
        }
    }
}
