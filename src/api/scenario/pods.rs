//! Pods of a scenario, and which of them are the autoscaler's business.
//!
//! Source: Karpenter, pkg/utils/pod/scheduling.go (`IsProvisionable`) and `Validate` of pkg/controllers/provisioning/provisioner.go.
//!
//! **Invariant:** a pod that the API server takes is read, whatever Karpenter thinks of it; what Karpenter would refuse to look at says why.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec};
use purser_engine::model::{CapacityType, OwnerKind, PodFacts, Str, Time, label};
use serde_json::Value;

use super::lenient::{Reading, decode_noting};
use crate::default_spread::{SelectorKind, selecting_controller};
use crate::devices::{ClaimRef, claim_refs};
use crate::error::{At, FieldError};
use crate::pod::{Origin, is_unschedulable, owner, pod_facts};
use crate::{names, quantity};

/// A pod of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioPod {
    /// The pod.
    pub facts: PodFacts,
    /// Whether the scheduler found no node for it and an autoscaler may find one.
    pub provisionable: bool,
    /// Why it is not looked at though it waits.
    pub ignored: Option<Ignored>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was started.
    pub started: Option<Time>,
    /// Its controller, if that is of a kind by whose selector pods are counted: kind and name.
    pub controller: Option<(SelectorKind, Str)>,
    /// The DaemonSet that made it.
    pub daemon_set: Option<Str>,
    /// Its resource claims.
    pub claims: Vec<ClaimRef>,
}

/// Why a pod is not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ignored {
    /// It waits for a node of its own: a DaemonSet or kubelet made it.
    PlacesItself,
    /// It asks for a node that came of no NodePool.
    OptsOut,
    /// Its node selector or affinity is nothing that a NodePool could satisfy.
    Invalid(Box<FieldError>),
}

/// Reads a pod.
pub(super) fn pod(reading: &mut Reading<'_>, value: &Value) -> Result<ScenarioPod, FieldError> {
    let mut pod: Pod = decode_noting(reading, value)?;
    let mut ignored = pod.spec.as_ref().and_then(ignored);
    if let (Some(Ignored::Invalid(_)), Some(spec)) = (&ignored, &mut pod.spec) {
        // It is of no consequence, and the engine has no form for it.
        if let Some(affinity) = spec.affinity.as_mut().and_then(|affinity| affinity.node_affinity.as_mut()) {
            affinity.required_during_scheduling_ignored_during_execution = None;
        }
    }
    let waits = waits(&pod, reading.origin);
    let places_itself = matches!(owner(&pod.metadata), OwnerKind::DaemonSet | OwnerKind::Node);
    if places_itself {
        ignored = waits.then_some(Ignored::PlacesItself);
    }
    let started = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut sets = owners.filter(|owner| owner.kind == "DaemonSet" && owner.api_version == "apps/v1");
    let facts = pod_facts(&pod, &reading.priorities, reading.origin)?;
    Ok(ScenarioPod {
        controller: selecting_controller(&pod.metadata),
        daemon_set: sets.next().map(|owner| owner.name.as_str().into()),
        claims: claim_refs(&pod),
        provisionable: waits && !places_itself,
        ignored,
        deleting: pod.metadata.deletion_timestamp.is_some(),
        started: started.map(|moment| quantity::time(Some(moment))),
        facts: PodFacts { spec: reading.specs.shared(facts.spec), ..facts },
    })
}

/// Whether the scheduler found no node and is not making room on one.
fn waits(pod: &Pod, origin: Origin) -> bool {
    let (spec, status) = (pod.spec.as_ref(), pod.status.as_ref());
    let bound = spec.is_some_and(|spec| spec.node_name.as_ref().is_some_and(|node| !node.is_empty()));
    let nominated =
        status.is_some_and(|status| status.nominated_node_name.as_ref().is_some_and(|node| !node.is_empty()));
    let seen = match origin {
        // Of a pod in a manifest nobody has said that it cannot be scheduled.
        Origin::Manifest => {
            let phase = status.and_then(|status| status.phase.as_deref());
            let gates = spec.and_then(|spec| spec.scheduling_gates.as_ref());
            !matches!(phase, Some("Succeeded" | "Failed"))
                && pod.metadata.deletion_timestamp.is_none()
                && gates.is_none_or(Vec::is_empty)
        }
        Origin::Cluster => status.is_some_and(is_unschedulable),
    };
    seen && !bound && !nominated
}

/// Why Karpenter does not look at a pod, its volumes aside.
fn ignored(spec: &PodSpec) -> Option<Ignored> {
    let at = At::ROOT.field("spec");
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let terms = required.map(|selector| selector.node_selector_terms.as_slice()).unwrap_or_default();
    // Karpenter reads the first alternative alone here.
    let first = terms.first().and_then(|term| term.match_expressions.as_ref());
    let opts_out = |expression: &NodeSelectorRequirement| {
        label::normalized(&expression.key) == label::NODEPOOL && expression.operator == "DoesNotExist"
    };
    if first.is_some_and(|expressions| expressions.iter().any(opts_out)) {
        return Some(Ignored::OptsOut);
    }
    valid(&at, spec, terms).err().map(|error| Ignored::Invalid(Box::new(error)))
}

fn valid(at: &At<'_>, spec: &PodSpec, terms: &[NodeSelectorTerm]) -> Result<(), FieldError> {
    let selector_at = at.field("nodeSelector");
    for (key, value) in spec.node_selector.iter().flatten() {
        let at = selector_at.key(key);
        names::unrestricted(&at, label::normalized(key))?;
        names::value(&at, value)?;
    }
    let at = at.field("affinity");
    let at = at.field("nodeAffinity");
    let at = at.field("requiredDuringSchedulingIgnoredDuringExecution");
    let list = at.field("nodeSelectorTerms");
    for (index, term) in terms.iter().enumerate() {
        let at = list.index(index);
        if term.match_fields.as_ref().is_some_and(|fields| !fields.is_empty()) {
            let remedy = "use matchExpressions on a label";
            return Err(at.field("matchFields").error("nodes that are yet to come have no fields", remedy));
        }
        let list = at.field("matchExpressions");
        for (index, one) in term.match_expressions.iter().flatten().enumerate() {
            expression(&list.index(index), one)?;
        }
    }
    Ok(())
}

fn expression(at: &At<'_>, written: &NodeSelectorRequirement) -> Result<(), FieldError> {
    let key = label::normalized(&written.key);
    names::qualified(&at.field("key"), key)?;
    names::unrestricted(&at.field("key"), key)?;
    let values = written.values.as_deref().unwrap_or_default();
    let values_at = at.field("values");
    for (index, value) in values.iter().enumerate() {
        names::value(&values_at.index(index), value)?;
    }
    let number = || values.first().and_then(|value| value.parse::<i64>().ok());
    match written.operator.as_str() {
        "In" if key == label::CAPACITY_TYPE => {
            let known = values.iter().any(|value| CapacityType::parse(value).is_some());
            let remedy = "write on-demand, spot or reserved";
            if known { Ok(()) } else { Err(values_at.error("there is no capacity type among them", remedy)) }
        }
        "In" if values.is_empty() => Err(values_at.error("operator In needs at least one value", "add one")),
        "Gt" | "Lt" | "Gte" | "Lte" if values.len() != 1 || number().is_none_or(|number| number < 0) => {
            let problem = format!("operator {} needs one integer of at least 0", written.operator);
            Err(values_at.error(problem, "write one, in quotes"))
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" | "Gte" | "Lte" => Ok(()),
        other => {
            let problem = format!("{other:?} is not an operator of node affinity");
            Err(at.field("operator").error(problem, "write In, NotIn, Exists, DoesNotExist, Gt or Lt"))
        }
    }
}
