//! NodePools, checked and made facts.
//!
//! **Invariant:** a pool that comes out has passed what the API server checks by Karpenter's schema and what Karpenter
//! checks at run time, and has the defaults that the schema gives.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/v1/nodepool.go, nodepool_validation.go.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use purser_engine::model::{
    self, BudgetNodes, BudgetSchedule, ConsolidationPolicy, Disruption, DisruptionReason, Labels, Limits,
    NodePool, NodeTemplate, PoolName, Resources, Rounding, Span, Str, label,
};

use crate::crd;
use crate::duration;
use crate::error::{At, FieldError};
use crate::hash::{DEFAULT_EXPIRE_AFTER, node_pool_hash};
use crate::quantity;
use crate::{names, requirement};

/// Checks a NodePool and makes it a fact. It is ready unless it is being deleted or its status says otherwise.
///
/// # Errors
/// If a field is invalid.
pub fn node_pool(pool: &crd::NodePool) -> Result<NodePool, FieldError> {
    let name = quantity::object_name(&pool.metadata)?;
    let spec_at = At::ROOT.field("spec");
    let spec = &pool.spec;
    let replicas = replicas(&spec_at, spec)?;
    let template_at = spec_at.field("template");
    let conditions = pool.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let ready = crd::Condition::status_of(conditions, "Ready").is_none_or(|status| status == "True");
    Ok(NodePool {
        name: PoolName::new(name),
        weight: weight(&spec_at, spec.weight, 100)?,
        template: template(&template_at, &spec.template)?,
        disruption: disruption(&spec_at.field("disruption"), spec.disruption.as_ref())?,
        limits: limits(&spec_at.field("limits"), spec.limits.as_ref())?,
        replicas,
        hash: node_pool_hash(&spec.template).into(),
        ready: ready && pool.metadata.deletion_timestamp.is_none(),
    })
}

/// A weight of 1 to so much; 0 if none is written.
pub(crate) fn weight(at: &At<'_>, written: Option<i32>, most: u32) -> Result<u32, FieldError> {
    match written.map(u32::try_from) {
        None => Ok(0),
        Some(Ok(weight)) if (1..=most).contains(&weight) => Ok(weight),
        Some(_) => {
            let problem = format!("{} is not from 1 to {most}", written.unwrap_or_default());
            let remedy = format!("write 1 to {most}, or leave it out for the lowest weight");
            Err(at.field("weight").error(problem, remedy))
        }
    }
}

/// The number of nodes of a static pool, which takes neither a weight nor limits other than `nodes`.
fn replicas(at: &At<'_>, spec: &crd::NodePoolSpec) -> Result<Option<u32>, FieldError> {
    let Some(replicas) = spec.replicas else { return Ok(None) };
    let replicas = u32::try_from(replicas).map_err(|_| {
        at.field("replicas").error(format!("{replicas} is no number of nodes"), "write 0 or more")
    })?;
    if spec.weight.is_some() {
        let remedy = "remove weight, or replicas";
        return Err(at.field("weight").error("a pool with replicas has no weight", remedy));
    }
    if let Some(name) = spec.limits.iter().flat_map(BTreeMap::keys).find(|name| *name != "nodes") {
        let problem = "a pool with replicas is limited by nodes only";
        return Err(at.field("limits").key(name).error(problem, "remove this limit, or replicas"));
    }
    Ok(Some(replicas))
}

fn template(at: &At<'_>, template: &crd::NodeTemplate) -> Result<NodeTemplate, FieldError> {
    let metadata_at = at.field("metadata");
    let at = at.field("spec");
    let spec = &template.spec;
    let (taints, startup_taints) =
        requirement::taints(&at, spec.taints.as_deref(), spec.startup_taints.as_deref())?;
    let grace_at = at.field("terminationGracePeriod");
    let grace =
        spec.termination_grace_period.as_deref().map(|text| duration::plain(&grace_at, text)).transpose()?;
    let expire_after = spec.expire_after.as_deref().unwrap_or(DEFAULT_EXPIRE_AFTER);
    Ok(NodeTemplate {
        labels: labels(&metadata_at.field("labels"), template.metadata.labels.as_ref())?,
        taints,
        startup_taints,
        requirements: requirement::requirements(&at.field("requirements"), &spec.requirements)
            .and_then(|all| without_pool(&at.field("requirements"), &spec.requirements, all))?,
        class: Some(requirement::class(&at.field("nodeClassRef"), &spec.node_class_ref)?),
        termination_grace: grace,
        expire_after: duration::nillable(&at.field("expireAfter"), expire_after)?,
    })
}

/// Requirements, none of them on the label that names the pool: it is the pool's own.
fn without_pool(
    at: &At<'_>,
    written: &[crd::Requirement],
    read: model::Requirements,
) -> Result<model::Requirements, FieldError> {
    match written.iter().position(|requirement| requirement.key == label::NODEPOOL) {
        None => Ok(read),
        Some(index) => {
            let problem = format!("label {:?} is set by Karpenter", label::NODEPOOL);
            Err(at.index(index).field("key").error(problem, "remove this requirement"))
        }
    }
}

fn labels(at: &At<'_>, written: Option<&BTreeMap<String, String>>) -> Result<Labels, FieldError> {
    let Some(written) = written else { return Ok(Labels::new()) };
    if written.len() > 100 {
        return Err(
            at.error(format!("{} labels are more than the 100 allowed", written.len()), "remove some")
        );
    }
    let mut labels = Labels::new();
    for (key, value) in written {
        let at = at.key(key);
        if key == label::NODEPOOL {
            return Err(at.error(format!("label {key:?} is set by Karpenter"), "remove it"));
        }
        names::qualified(&at, key)?;
        names::unrestricted(&at, key)?;
        names::value(&at, value)?;
        labels.insert(key.as_str().into(), value.as_str().into());
    }
    Ok(labels)
}

fn limits(at: &At<'_>, written: Option<&BTreeMap<String, Written>>) -> Result<Limits, FieldError> {
    let mut limits = Limits::default();
    for (name, amount) in written.into_iter().flatten() {
        let at = at.key(name);
        let mut read = Resources::default();
        quantity::set(&at, &mut read, name, amount, Rounding::Down)?;
        let amount = read.get(name);
        match name.as_str() {
            // More nodes than can be counted are as good as no limit.
            "nodes" => limits.nodes = Some(u32::try_from(amount).unwrap_or(u32::MAX)),
            _ => limits.resources.push((Str::from(name.as_str()), amount)),
        }
    }
    Ok(limits)
}

fn disruption(at: &At<'_>, written: Option<&crd::DisruptionSpec>) -> Result<Disruption, FieldError> {
    let mut disruption = Disruption::default();
    let Some(written) = written else { return Ok(disruption) };
    if let Some(text) = &written.consolidate_after {
        disruption.consolidate_after = duration::nillable(&at.field("consolidateAfter"), text)?;
    }
    disruption.policy = match written.consolidation_policy {
        Some(crd::ConsolidationPolicy::WhenEmpty) => ConsolidationPolicy::WhenEmpty,
        Some(crd::ConsolidationPolicy::Balanced) => ConsolidationPolicy::Balanced,
        Some(crd::ConsolidationPolicy::WhenEmptyOrUnderutilized) | None => {
            ConsolidationPolicy::WhenEmptyOrUnderutilized
        }
    };
    if let Some(budgets) = &written.budgets {
        let at = at.field("budgets");
        if budgets.len() > 50 {
            return Err(
                at.error(format!("{} budgets are more than the 50 allowed", budgets.len()), "remove some")
            );
        }
        disruption.budgets = budgets
            .iter()
            .enumerate()
            .map(|(index, written)| budget(&at.index(index), written))
            .collect::<Result<_, _>>()?;
    }
    Ok(disruption)
}

fn budget(at: &At<'_>, written: &crd::Budget) -> Result<model::Budget, FieldError> {
    let reasons = written.reasons.as_ref().map(|reasons| {
        let reason = |reason: &crd::BudgetReason| match reason {
            crd::BudgetReason::Underutilized => DisruptionReason::Underutilized,
            crd::BudgetReason::Empty => DisruptionReason::Empty,
            crd::BudgetReason::Drifted => DisruptionReason::Drifted,
        };
        reasons.iter().map(reason).collect::<BTreeSet<_>>()
    });
    let schedule = match (&written.schedule, &written.duration) {
        (None, None) => None,
        (Some(text), Some(span)) => {
            let span: Span = duration::of_budget(&at.field("duration"), span)?;
            let remedy = "write five fields, such as \"0 9 * * mon-fri\", or a macro, such as \"@daily\"";
            let schedule = BudgetSchedule::parse(text, span)
                .map_err(|problem| at.field("schedule").error(problem.replace('\n', " "), remedy))?;
            Some(schedule)
        }
        (Some(_), None) => {
            return Err(at.field("duration").error("is missing", "schedule and duration go together"));
        }
        (None, Some(_)) => {
            return Err(at.field("schedule").error("is missing", "schedule and duration go together"));
        }
    };
    Ok(model::Budget { reasons, nodes: budget_nodes(&at.field("nodes"), &written.nodes)?, schedule })
}

/// Reads `^((100|[0-9]{1,2})%|[0-9]+)$`.
fn budget_nodes(at: &At<'_>, text: &str) -> Result<BudgetNodes, FieldError> {
    let digits =
        |text: &str| text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    let nodes = match text.strip_suffix('%') {
        Some(percent) if percent.len() <= 2 || percent == "100" => digits(percent).map(BudgetNodes::Percent),
        Some(_) => None,
        None => digits(text).map(BudgetNodes::Count),
    };
    let remedy = "write a number of nodes, such as \"5\", or a percentage from 0% to 100%, in quotes";
    nodes.ok_or_else(|| at.error(format!("{text:?} is neither a number nor a percentage of nodes"), remedy))
}

#[cfg(test)]
mod tests;
