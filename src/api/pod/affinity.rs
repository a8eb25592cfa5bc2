//! Node affinity, pod affinity and anti-affinity, topology spread.
//!
//! **Invariant:** alternatives keep their order and their meaning: a term that no node matches stays one that no node
//! matches, and a selector that is not there selects nothing.
//!
//! Source: k8s.io/component-helpers/scheduling/corev1/nodeaffinity, kube-scheduler's plugins interpodaffinity and
//! podtopologyspread, and the checks of the API server (pkg/apis/core/validation/validation.go).

use k8s_openapi::api::core::v1::{
    Affinity, NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm,
    TopologySpreadConstraint, WeightedPodAffinityTerm,
};
use purser_engine::model::{
    Labels, NamespaceSelector, Operator, PodAffinity, PreferredTerm, Requirement, Requirements, SpreadPolicy,
    Str, TopologySpread, Unsatisfiable, label,
};

use crate::decode::suggestion;
use crate::error::{At, FieldError};
use crate::requirement::unfit;
use crate::selector::{narrowed, selector};

/// In the place of an operating system's name, for a term without expressions: no node has it.
const NO_NODE: &str = "!matches-no-node";

/// Required and preferred node affinity.
pub(super) fn of_nodes(
    at: &At<'_>,
    affinity: Option<&Affinity>,
) -> Result<(Vec<Requirements>, Vec<PreferredTerm>), FieldError> {
    match affinity.and_then(|affinity| affinity.node_affinity.as_ref()) {
        Some(written) => {
            let at = at.field("affinity");
            let at = at.field("nodeAffinity");
            Ok((required(&at, written)?, preferred(&at, written)?))
        }
        None => Ok((Vec::new(), Vec::new())),
    }
}

fn required(at: &At<'_>, affinity: &NodeAffinity) -> Result<Vec<Requirements>, FieldError> {
    let Some(selector) = &affinity.required_during_scheduling_ignored_during_execution else {
        return Ok(Vec::new());
    };
    let at = at.field("requiredDuringSchedulingIgnoredDuringExecution");
    let list = at.field("nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        return Err(list.error("needs at least one term", "add one, or remove the required node affinity"));
    }
    let mut terms = Vec::new();
    for (index, written) in selector.node_selector_terms.iter().enumerate() {
        terms.extend(term(&list.index(index), written)?);
    }
    if terms.is_empty() {
        terms.push(Requirements::from_iter([(Str::from(label::OS), Requirement::one_of([NO_NODE.into()]))]));
    }
    Ok(terms)
}

fn preferred(at: &At<'_>, affinity: &NodeAffinity) -> Result<Vec<PreferredTerm>, FieldError> {
    let list = at.field("preferredDuringSchedulingIgnoredDuringExecution");
    let mut terms = Vec::new();
    for (index, written) in
        affinity.preferred_during_scheduling_ignored_during_execution.iter().flatten().enumerate()
    {
        let at = list.index(index);
        let weight = weight(&at, written.weight)?;
        // Without expressions it prefers nothing.
        if let Some(requirements) = term(&at.field("preference"), &written.preference)? {
            terms.push(PreferredTerm { weight, requirements });
        }
    }
    Ok(terms)
}

fn weight(at: &At<'_>, weight: i32) -> Result<u8, FieldError> {
    match u8::try_from(weight) {
        Ok(weight @ 1..=100) => Ok(weight),
        _ => Err(at.field("weight").error(format!("{weight} is not from 1 to 100"), "write 1 to 100")),
    }
}

/// The requirements of a term; `None` for a term without any.
pub(super) fn term(at: &At<'_>, term: &NodeSelectorTerm) -> Result<Option<Requirements>, FieldError> {
    let mut requirements = Requirements::new();
    let list = at.field("matchExpressions");
    for (index, expression) in term.match_expressions.iter().flatten().enumerate() {
        requirements.add(expression.key.as_str(), requirement(&list.index(index), expression)?);
    }
    let list = at.field("matchFields");
    for (index, field) in term.match_fields.iter().flatten().enumerate() {
        let at = list.index(index);
        if field.key != "metadata.name" {
            let problem = format!("field {:?} cannot be selected by", field.key);
            return Err(at.field("key").error(problem, "use metadata.name, or matchExpressions on a label"));
        }
        // DaemonSet pods are bound to their node this way. A node's host name label is its name.
        requirements.add(label::HOSTNAME, requirement(&at, field)?);
    }
    Ok((!requirements.is_empty()).then_some(requirements))
}

fn requirement(at: &At<'_>, written: &NodeSelectorRequirement) -> Result<Requirement, FieldError> {
    let operator = match written.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::Gt,
        "Lt" => Operator::Lt,
        other => {
            let problem = format!("{other:?} is not an operator of node affinity");
            let remedy = suggestion(other, &["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]);
            return Err(at.field("operator").error(problem, remedy));
        }
    };
    if written.key.is_empty() {
        return Err(at.field("key").error("is empty", "write the label's key"));
    }
    let values = written.values.as_deref().unwrap_or_default();
    if operator == Operator::NotIn && values.is_empty() {
        let remedy = "add one, or remove the expression";
        return Err(at.field("values").error("operator NotIn needs at least one value", remedy));
    }
    let values_read = values.iter().map(|value| Str::from(value.as_str()));
    Requirement::new(operator, values_read, None).map_err(|error| unfit(at, values, &error))
}

/// Required and preferred pod affinity, then anti-affinity.
pub(super) fn of_pods(
    at: &At<'_>,
    affinity: Option<&Affinity>,
    own: &Labels,
) -> Result<Vec<PodAffinity>, FieldError> {
    let Some(affinity) = affinity else { return Ok(Vec::new()) };
    let at = at.field("affinity");
    let mut terms = Vec::new();
    if let Some(to) = &affinity.pod_affinity {
        let (required, preferred) = (
            to.required_during_scheduling_ignored_during_execution.as_deref(),
            to.preferred_during_scheduling_ignored_during_execution.as_deref(),
        );
        pod_terms(&at.field("podAffinity"), required, preferred, false, own, &mut terms)?;
    }
    if let Some(away) = &affinity.pod_anti_affinity {
        let (required, preferred) = (
            away.required_during_scheduling_ignored_during_execution.as_deref(),
            away.preferred_during_scheduling_ignored_during_execution.as_deref(),
        );
        pod_terms(&at.field("podAntiAffinity"), required, preferred, true, own, &mut terms)?;
    }
    Ok(terms)
}

fn pod_terms(
    at: &At<'_>,
    required: Option<&[PodAffinityTerm]>,
    preferred: Option<&[WeightedPodAffinityTerm]>,
    anti: bool,
    own: &Labels,
    terms: &mut Vec<PodAffinity>,
) -> Result<(), FieldError> {
    let list = at.field("requiredDuringSchedulingIgnoredDuringExecution");
    for (index, written) in required.unwrap_or_default().iter().enumerate() {
        terms.push(pod_term(&list.index(index), written, anti, None, own)?);
    }
    let list = at.field("preferredDuringSchedulingIgnoredDuringExecution");
    for (index, written) in preferred.unwrap_or_default().iter().enumerate() {
        let at = list.index(index);
        let weight = weight(&at, written.weight)?;
        terms.push(pod_term(
            &at.field("podAffinityTerm"),
            &written.pod_affinity_term,
            anti,
            Some(weight),
            own,
        )?);
    }
    Ok(())
}

fn pod_term(
    at: &At<'_>,
    written: &PodAffinityTerm,
    anti: bool,
    weight: Option<u8>,
    own: &Labels,
) -> Result<PodAffinity, FieldError> {
    let mut names: Vec<Str> = written.namespaces.iter().flatten().map(|name| name.as_str().into()).collect();
    names.sort();
    names.dedup();
    let namespaces = match &written.namespace_selector {
        None if names.is_empty() => NamespaceSelector::Own,
        None => NamespaceSelector::Other { names, selector: None },
        Some(by_label) => {
            let by_label = selector(&at.field("namespaceSelector"), Some(by_label))?;
            NamespaceSelector::Other { names, selector: Some(by_label) }
        }
    };
    Ok(PodAffinity {
        topology_key: topology_key(at, &written.topology_key)?,
        selector: narrowed(
            &at.field("labelSelector"),
            written.label_selector.as_ref(),
            own,
            written.match_label_keys.as_deref(),
            written.mismatch_label_keys.as_deref(),
        )?,
        namespaces,
        anti,
        weight,
    })
}

fn topology_key(at: &At<'_>, key: &str) -> Result<Str, FieldError> {
    match key {
        "" => Err(at
            .field("topologyKey")
            .error("is missing", "write a node label, such as kubernetes.io/hostname")),
        key => Ok(key.into()),
    }
}

/// Topology spread constraints.
pub(super) fn spread(
    at: &At<'_>,
    constraints: Option<&[TopologySpreadConstraint]>,
    own: &Labels,
) -> Result<Vec<TopologySpread>, FieldError> {
    let list = at.field("topologySpreadConstraints");
    let read = |(index, written)| constraint(&list.index(index), written, own);
    constraints.unwrap_or_default().iter().enumerate().map(read).collect()
}

pub(super) fn constraint(
    at: &At<'_>,
    written: &TopologySpreadConstraint,
    own: &Labels,
) -> Result<TopologySpread, FieldError> {
    let positive = |field, value: i32| match u32::try_from(value) {
        Ok(value) if value > 0 => Ok(value),
        _ => Err(at.field(field).error(format!("{value} is not above 0"), "write 1 or more")),
    };
    let when_unsatisfiable = match written.when_unsatisfiable.as_str() {
        "DoNotSchedule" => Unsatisfiable::DoNotSchedule,
        "ScheduleAnyway" => Unsatisfiable::ScheduleAnyway,
        other => {
            let problem = format!("{other:?} is not known");
            return Err(at
                .field("whenUnsatisfiable")
                .error(problem, "write DoNotSchedule or ScheduleAnyway"));
        }
    };
    let min_domains = written.min_domains.map(|value| positive("minDomains", value)).transpose()?;
    if min_domains.is_some() && when_unsatisfiable == Unsatisfiable::ScheduleAnyway {
        let remedy = "remove it, or write whenUnsatisfiable: DoNotSchedule";
        return Err(at.field("minDomains").error("does not go with ScheduleAnyway", remedy));
    }
    let policy = |field, value: Option<&str>, default| match value {
        None => Ok(default),
        Some("Honor") => Ok(SpreadPolicy::Honor),
        Some("Ignore") => Ok(SpreadPolicy::Ignore),
        Some(other) => Err(at.field(field).error(format!("{other:?} is not known"), "write Honor or Ignore")),
    };
    Ok(TopologySpread {
        topology_key: topology_key(at, &written.topology_key)?,
        max_skew: positive("maxSkew", written.max_skew)?,
        min_domains,
        when_unsatisfiable,
        selector: narrowed(
            &at.field("labelSelector"),
            written.label_selector.as_ref(),
            own,
            written.match_label_keys.as_deref(),
            None,
        )?,
        node_affinity_policy: policy(
            "nodeAffinityPolicy",
            written.node_affinity_policy.as_deref(),
            SpreadPolicy::Honor,
        )?,
        node_taints_policy: policy(
            "nodeTaintsPolicy",
            written.node_taints_policy.as_deref(),
            SpreadPolicy::Ignore,
        )?,
    })
}

#[cfg(test)]
#[path = "affinity_tests.rs"]
mod tests;
