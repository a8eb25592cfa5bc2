//! Requirements, taints and class references as NodePools and NodeClaims write them.
//!
//! **Invariant:** what comes out has passed Karpenter's schema and its validation at run time.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/v1/nodeclaim_validation.go and the markers in nodepool.go.

use std::collections::BTreeSet;

use purser_engine::model::{
    self, CapacityType, ClassName, Operator, RequirementError, Requirements, Str, label,
};

use crate::crd::{NodeClassReference, Requirement, RequirementOperator, Taint, TaintEffect};
use crate::error::{At, FieldError};
use crate::names;

/// The most requirements that a NodePool or NodeClaim takes.
const MOST_REQUIREMENTS: usize = 100;

/// Reads requirements, checking each.
pub(crate) fn requirements(at: &At<'_>, written: &[Requirement]) -> Result<Requirements, FieldError> {
    if written.len() > MOST_REQUIREMENTS {
        let problem = format!("{} requirements are more than the {MOST_REQUIREMENTS} allowed", written.len());
        return Err(at.error(problem, "merge or remove some"));
    }
    let mut all = Requirements::new();
    for (index, requirement) in written.iter().enumerate() {
        let at = at.index(index);
        all.add(requirement.key.as_str(), one(&at, requirement)?);
    }
    Ok(all)
}

fn one(at: &At<'_>, written: &Requirement) -> Result<model::Requirement, FieldError> {
    let key = label::normalized(&written.key);
    let key_at = at.field("key");
    if written.key.len() > 316 {
        let problem = format!("{:?} is longer than the 316 letters allowed", written.key);
        return Err(key_at.error(problem, "shorten it"));
    }
    names::qualified(&key_at, key)?;
    names::unrestricted(&key_at, key)?;
    let values_at = at.field("values");
    for (index, value) in written.values.iter().enumerate() {
        names::value(&values_at.index(index), value)?;
    }
    let min_values = match written.min_values {
        None => None,
        Some(least) => match u32::try_from(least) {
            Ok(least @ 1..=50) => Some(least),
            _ => {
                return Err(at
                    .field("minValues")
                    .error(format!("{least} is not from 1 to 50"), "write 1 to 50"));
            }
        },
    };
    if key == label::CAPACITY_TYPE && written.operator == RequirementOperator::In {
        capacity_types(&values_at, written, min_values)?;
    }
    let values = written.values.iter().map(|value| Str::from(value.as_str()));
    let operator = operator(written.operator);
    model::Requirement::new(operator, values, min_values).map_err(|error| unfit(at, &written.values, &error))
}

/// Known values must be among those written, and enough of them; others are passed over.
fn capacity_types(at: &At<'_>, written: &Requirement, min_values: Option<u32>) -> Result<(), FieldError> {
    let known = written.values.iter().filter(|value| CapacityType::parse(value).is_some()).count();
    let remedy = "write on-demand, spot or reserved";
    if known == 0 && !written.values.is_empty() {
        return Err(at.error(format!("none of {} is a capacity type", written.values.join(", ")), remedy));
    }
    if min_values.is_some_and(|least| known < least as usize) {
        return Err(at.error(
            format!("only {known} of the values are capacity types, minValues asks for more"),
            remedy,
        ));
    }
    Ok(())
}

/// What the engine says of an operator and its values, put on the field that is wrong.
pub(crate) fn unfit(at: &At<'_>, values: &[String], error: &RequirementError) -> FieldError {
    let written = values.join(", ");
    match error {
        RequirementError::NoValues => at
            .field("values")
            .error("operator In needs at least one value", "add one, or use operator Exists"),
        RequirementError::NotOneInteger(operator) => at.field("values").error(
            format!(
                "operator {operator:?} needs exactly one value, an integer of at least 0, not [{written}]"
            ),
            "write one integer, in quotes",
        ),
        RequirementError::SurplusValues(operator) => {
            let remedy = "remove the values, or use operator In or NotIn";
            at.field("values")
                .error(format!("operator {operator:?} takes no values, not [{written}]"), remedy)
        }
        RequirementError::TooFewValues { min_values, values } => at.field("minValues").error(
            format!("{min_values} is more than the {values} values listed"),
            "list more values, or lower minValues",
        ),
    }
}

const fn operator(written: RequirementOperator) -> Operator {
    match written {
        RequirementOperator::In => Operator::In,
        RequirementOperator::NotIn => Operator::NotIn,
        RequirementOperator::Exists => Operator::Exists,
        RequirementOperator::DoesNotExist => Operator::DoesNotExist,
        RequirementOperator::Gt => Operator::Gt,
        RequirementOperator::Lt => Operator::Lt,
        RequirementOperator::Gte => Operator::Gte,
        RequirementOperator::Lte => Operator::Lte,
    }
}

/// Taints and startup taints; the same key and effect may be there only once in both.
pub(crate) fn taints(
    at: &At<'_>,
    taints: Option<&[Taint]>,
    startup_taints: Option<&[Taint]>,
) -> Result<(Vec<model::Taint>, Vec<model::Taint>), FieldError> {
    let mut seen = BTreeSet::new();
    let mut read = |field, written: Option<&[Taint]>| -> Result<Vec<model::Taint>, FieldError> {
        let list = at.field(field);
        let mut taints = Vec::new();
        for (index, written) in written.unwrap_or_default().iter().enumerate() {
            let at = list.index(index);
            let taint = taint(&at, written)?;
            if !seen.insert((taint.key.clone(), taint.effect)) {
                let problem = format!("taint {}:{} is there twice", taint.key, written.effect.as_str());
                return Err(at.error(problem, "remove one, in taints or startupTaints"));
            }
            taints.push(taint);
        }
        Ok(taints)
    };
    Ok((read("taints", taints)?, read("startupTaints", startup_taints)?))
}

fn taint(at: &At<'_>, written: &Taint) -> Result<model::Taint, FieldError> {
    names::qualified(&at.field("key"), &written.key)?;
    let value = written.value.as_deref().unwrap_or_default();
    if !value.is_empty() {
        names::qualified(&at.field("value"), value)?;
    }
    let effect = match written.effect {
        TaintEffect::NoSchedule => model::TaintEffect::NoSchedule,
        TaintEffect::PreferNoSchedule => model::TaintEffect::PreferNoSchedule,
        TaintEffect::NoExecute => model::TaintEffect::NoExecute,
    };
    Ok(model::Taint { key: written.key.as_str().into(), value: value.into(), effect })
}

/// The node class: kind and name.
pub(crate) fn class(at: &At<'_>, class: &NodeClassReference) -> Result<(Str, ClassName), FieldError> {
    for (field, value) in [("group", &class.group), ("kind", &class.kind), ("name", &class.name)] {
        if value.is_empty() {
            return Err(at.field(field).error("is empty", format!("write the {field} of the node class")));
        }
    }
    if class.group.contains('/') {
        let problem = format!("{:?} has a version in it", class.group);
        return Err(at.field("group").error(problem, "write the API group alone, such as karpenter.k8s.aws"));
    }
    Ok((class.kind.as_str().into(), ClassName::new(class.name.as_str())))
}
