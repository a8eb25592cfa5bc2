//! Pods: their names, and what they ask for.
//!
//! Invariant: a list of pods keeps its order, and has one form only: neighbours of one namespace are one group.

use purser_engine::model::{
    DoNotDisrupt, HostPort, LabelExpression, LabelSelector, NamespaceSelector, PodAffinity, PodGroup, PodKey,
    PodSpec, PreferredTerm, Span, TopologySpread, VolumeRef,
};
use serde::{Deserialize, Serialize};

use super::code::{LabelOperatorCode, OwnerCode, ProtocolCode, SpreadPolicyCode, UnsatisfiableCode};
use super::convert::{Reject, Wire};
use super::map::LabelsV1;
use super::requirement::RequirementsV1;
use super::resources::ResourcesV1;
use super::taint::TolerationV1;

frozen! {
    /// The name of a pod, or of another object in a namespace.
    PodKeyV1 = PodKey { namespace: String, name: String }

    /// One comparison of a label selector.
    LabelExpressionV1 = LabelExpression { key: String, operator: LabelOperatorCode, values: Vec<String> }

    /// A topology spread constraint.
    TopologySpreadV1 = TopologySpread {
        topology_key: String,
        max_skew: u32,
        min_domains: Option<u32>,
        when_unsatisfiable: UnsatisfiableCode,
        selector: LabelSelectorV1,
        node_affinity_policy: SpreadPolicyCode,
        node_taints_policy: SpreadPolicyCode,
    }

    /// A pod affinity or anti-affinity term; without `namespaces` it looks at the pod's own.
    PodAffinityV1 = PodAffinity {
        topology_key: String,
        selector: LabelSelectorV1,
        namespaces: NamespacesV1,
        anti: bool,
        weight: Option<u8>,
    }

    /// A preferred node affinity term.
    PreferredTermV1 = PreferredTerm { weight: u8, requirements: RequirementsV1 }

    /// A port of the node that a pod takes.
    HostPortV1 = HostPort { ip: String, port: u16, protocol: ProtocolCode }

    /// What a pod asks for.
    PodSpecV2 = PodSpec {
        labels: LabelsV1,
        requests: ResourcesV1,
        node_selector: LabelsV1,
        required_terms: Vec<RequirementsV1>,
        preferred_terms: Vec<PreferredTermV1>,
        tolerations: Vec<TolerationV1>,
        spread: Vec<TopologySpreadV1>,
        affinity: Vec<PodAffinityV1>,
        host_ports: Vec<HostPortV1>,
        volumes: Vec<VolumeRefV1>,
        resource_claims: Vec<String>,
        priority: i32,
        owner: OwnerCode,
        termination_grace_us: Option<i64> = termination_grace,
        do_not_disrupt: Option<DoNotDisruptV1>,
        deletion_cost: i32,
        group: Option<MembershipV1>,
    }

    /// The group of pods that a pod is placed with.
    MembershipV1 = PodGroup { name: String, min_members: u32 }

    /// A volume.
    VolumeRefV1 = VolumeRef { claim: String }
}

/// What a pod asks for, before pods were of groups.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodSpecV1 {
    pub(crate) labels: LabelsV1,
    pub(crate) requests: ResourcesV1,
    pub(crate) node_selector: LabelsV1,
    pub(crate) required_terms: Vec<RequirementsV1>,
    pub(crate) preferred_terms: Vec<PreferredTermV1>,
    pub(crate) tolerations: Vec<TolerationV1>,
    pub(crate) spread: Vec<TopologySpreadV1>,
    pub(crate) affinity: Vec<PodAffinityV1>,
    pub(crate) host_ports: Vec<HostPortV1>,
    pub(crate) volumes: Vec<VolumeRefV1>,
    pub(crate) resource_claims: Vec<String>,
    pub(crate) priority: i32,
    pub(crate) owner: OwnerCode,
    pub(crate) termination_grace_us: Option<i64>,
    pub(crate) do_not_disrupt: Option<DoNotDisruptV1>,
    pub(crate) deletion_cost: i32,
}

/// A label selector: all of its expressions.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabelSelectorV1(pub(crate) Vec<LabelExpressionV1>);

/// The namespaces that a pod affinity term looks at: nothing for the pod's own.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespacesV1(pub(crate) Option<OtherNamespacesV1>);

/// Namespaces by name and by label.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OtherNamespacesV1 {
    pub(crate) names: Vec<String>,
    pub(crate) selector: Option<LabelSelectorV1>,
}

/// `karpenter.sh/do-not-disrupt` on a pod: for so long after its start, or without a span as long as it runs.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DoNotDisruptV1 {
    pub(crate) for_us: Option<i64>,
}

/// Pods in order, grouped by namespace.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodsV1(pub(crate) Vec<PodGroupV1>);

/// Pods of one namespace.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodGroupV1 {
    pub(crate) namespace: String,
    pub(crate) names: Vec<String>,
}

// === impl PodSpecV2 ===

impl From<PodSpecV1> for PodSpecV2 {
    fn from(old: PodSpecV1) -> Self {
        Self {
            labels: old.labels,
            requests: old.requests,
            node_selector: old.node_selector,
            required_terms: old.required_terms,
            preferred_terms: old.preferred_terms,
            tolerations: old.tolerations,
            spread: old.spread,
            affinity: old.affinity,
            host_ports: old.host_ports,
            volumes: old.volumes,
            resource_claims: old.resource_claims,
            priority: old.priority,
            owner: old.owner,
            termination_grace_us: old.termination_grace_us,
            do_not_disrupt: old.do_not_disrupt,
            deletion_cost: old.deletion_cost,
            group: None,
        }
    }
}

// === impl LabelSelectorV1 ===

impl Wire<LabelSelector> for LabelSelectorV1 {
    fn from_domain(domain: &LabelSelector) -> Self {
        Self(Wire::from_domain(&domain.0))
    }

    fn into_domain(self) -> Result<LabelSelector, Reject> {
        self.0.into_domain().map(LabelSelector)
    }
}

// === impl NamespacesV1 ===

impl Wire<NamespaceSelector> for NamespacesV1 {
    fn from_domain(domain: &NamespaceSelector) -> Self {
        Self(match domain {
            NamespaceSelector::Own => None,
            NamespaceSelector::Other { names, selector } => Some(OtherNamespacesV1 {
                names: Wire::from_domain(names),
                selector: Wire::from_domain(selector),
            }),
        })
    }

    fn into_domain(self) -> Result<NamespaceSelector, Reject> {
        Ok(match self.0 {
            None => NamespaceSelector::Own,
            Some(OtherNamespacesV1 { names, selector }) => {
                NamespaceSelector::Other { names: names.into_domain()?, selector: selector.into_domain()? }
            }
        })
    }
}

// === impl DoNotDisruptV1 ===

impl Wire<DoNotDisrupt> for DoNotDisruptV1 {
    fn from_domain(domain: &DoNotDisrupt) -> Self {
        let for_us = match domain {
            DoNotDisrupt::Always => None,
            DoNotDisrupt::For(span) => Some(span.0),
        };
        Self { for_us }
    }

    fn into_domain(self) -> Result<DoNotDisrupt, Reject> {
        Ok(self.for_us.map_or(DoNotDisrupt::Always, |us| DoNotDisrupt::For(Span(us))))
    }
}

// === impl PodsV1 ===

impl Wire<Vec<PodKey>> for PodsV1 {
    fn from_domain(domain: &Vec<PodKey>) -> Self {
        let group = |pods: &[PodKey]| PodGroupV1 {
            namespace: pods[0].namespace.as_ref().to_owned(),
            names: pods.iter().map(|pod| pod.name.as_ref().to_owned()).collect(),
        };
        Self(domain.chunk_by(|a, b| a.namespace == b.namespace).map(group).collect())
    }

    fn into_domain(self) -> Result<Vec<PodKey>, Reject> {
        if self.0.windows(2).any(|pair| pair[0].namespace == pair[1].namespace) {
            return Err(Reject::new("neighbouring groups are of one namespace"));
        }
        let mut pods = Vec::new();
        for PodGroupV1 { namespace, names } in self.0 {
            if names.is_empty() {
                return Err(Reject::new(format!("the group of {namespace:?} is empty")));
            }
            let namespace = purser_engine::model::Str::from(namespace);
            pods.extend(names.into_iter().map(|name| PodKey::new(namespace.clone(), name)));
        }
        Ok(pods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(groups: &[(&str, &[&str])]) -> PodsV1 {
        let group = |(namespace, names): &(&str, &[&str])| PodGroupV1 {
            namespace: (*namespace).to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        PodsV1(groups.iter().map(group).collect())
    }

    #[test]
    fn neighbours_of_one_namespace_are_one_group() {
        let pods: Vec<PodKey> = ["a/1", "a/2", "b/1", "a/3"].map(PodKey::parse).to_vec();
        let wire = PodsV1::from_domain(&pods);
        assert_eq!(wire, groups(&[("a", &["1", "2"]), ("b", &["1"]), ("a", &["3"])]));
        assert_eq!(wire.into_domain(), Ok(pods));
        assert_eq!(PodsV1::from_domain(&Vec::new()).into_domain(), Ok(Vec::new()));
    }

    #[test]
    fn groups_have_one_form() {
        assert!(groups(&[("a", &["1"]), ("a", &["2"])]).into_domain().is_err());
        assert!(groups(&[("a", &[])]).into_domain().is_err());
    }
}
