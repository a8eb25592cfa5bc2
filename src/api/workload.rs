//! Workloads, DaemonSets and disruption budgets made facts: what makes pods, and what protects them.
//!
//! **Invariant:** the spec of a workload is what its pods' specs will be, as far as that is known before they exist.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::{PodTemplateSpec, ReplicationController};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use purser_engine::model::{LabelSelector, OwnerKind, PodSpec, Str};

use crate::devices::{ClaimRef, claim_refs_of_template};
use crate::error::{At, FieldError};
use crate::pod::{Priorities, pod_spec};
use crate::quantity::{namespace, object_name};
use crate::selector::selector;

/// What kind of workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadKind {
    /// `apps/v1`.
    Deployment,
    /// `apps/v1`.
    ReplicaSet,
    /// `v1`.
    ReplicationController,
    /// `apps/v1`.
    StatefulSet,
    /// `batch/v1`.
    Job,
    /// `batch/v1`.
    CronJob,
}

/// Something that makes pods of one template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// What kind.
    pub kind: WorkloadKind,
    /// Its namespace.
    pub namespace: Str,
    /// Its name.
    pub name: Str,
    /// How many pods it keeps, or at once, of a job; 0 for one that is suspended.
    pub replicas: u32,
    /// How many pods of a job must succeed; `None` for all else, and for a job of which one decides for all.
    pub completions: Option<u32>,
    /// Whether another controller made it, as a Deployment makes ReplicaSets: then its pods are that one's too.
    pub owned: bool,
    /// What its pods ask for.
    pub template: Arc<PodSpec>,
    /// The resource claims of its pods.
    pub claims: Vec<ClaimRef>,
}

/// A DaemonSet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DaemonSetFacts {
    /// Its namespace.
    pub namespace: Str,
    /// Its name.
    pub name: Str,
    /// What its pods ask for.
    pub spec: Arc<PodSpec>,
    /// The resource claims of its pods.
    pub claims: Vec<ClaimRef>,
}

/// A number of pods, or a part of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CountOrPercent {
    /// So many.
    Count(u32),
    /// Of all that are meant, rounded up.
    Percent(u32),
}

/// A PodDisruptionBudget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisruptionBudget {
    /// Its namespace.
    pub namespace: Str,
    /// Its name.
    pub name: Str,
    /// Which pods it protects.
    pub selector: LabelSelector,
    /// How many must stay available.
    pub min_available: Option<CountOrPercent>,
    /// How many may be unavailable.
    pub max_unavailable: Option<CountOrPercent>,
    /// How many may be evicted now; `None` if no controller has said so yet.
    pub disruptions_allowed: Option<u32>,
}

/// Makes a Deployment a fact.
///
/// # Errors
/// If a field is invalid.
pub fn deployment(object: &Deployment, priorities: &Priorities) -> Result<Workload, FieldError> {
    let spec = required(object.spec.as_ref())?;
    let replicas = count("replicas", spec.replicas, 1)?;
    make(
        WorkloadKind::Deployment,
        &object.metadata,
        replicas,
        None,
        Some(&spec.template),
        TEMPLATE,
        priorities,
    )
}

/// Makes a ReplicaSet a fact.
///
/// # Errors
/// If a field is invalid.
pub fn replica_set(object: &ReplicaSet, priorities: &Priorities) -> Result<Workload, FieldError> {
    let spec = required(object.spec.as_ref())?;
    let replicas = count("replicas", spec.replicas, 1)?;
    make(
        WorkloadKind::ReplicaSet,
        &object.metadata,
        replicas,
        None,
        spec.template.as_ref(),
        TEMPLATE,
        priorities,
    )
}

/// Makes a ReplicationController a fact.
///
/// # Errors
/// If a field is invalid.
pub fn replication_controller(
    object: &ReplicationController,
    priorities: &Priorities,
) -> Result<Workload, FieldError> {
    let spec = required(object.spec.as_ref())?;
    let replicas = count("replicas", spec.replicas, 1)?;
    let kind = WorkloadKind::ReplicationController;
    make(kind, &object.metadata, replicas, None, spec.template.as_ref(), TEMPLATE, priorities)
}

/// Makes a StatefulSet a fact.
///
/// # Errors
/// If a field is invalid.
pub fn stateful_set(object: &StatefulSet, priorities: &Priorities) -> Result<Workload, FieldError> {
    let spec = required(object.spec.as_ref())?;
    let replicas = count("replicas", spec.replicas, 1)?;
    make(
        WorkloadKind::StatefulSet,
        &object.metadata,
        replicas,
        None,
        Some(&spec.template),
        TEMPLATE,
        priorities,
    )
}

/// Makes a Job a fact.
///
/// # Errors
/// If a field is invalid.
pub fn job(object: &Job, priorities: &Priorities) -> Result<Workload, FieldError> {
    let spec = required(object.spec.as_ref())?;
    let (parallelism, completions) = job_size(spec)?;
    let kind = WorkloadKind::Job;
    make(kind, &object.metadata, parallelism, completions, Some(&spec.template), TEMPLATE, priorities)
}

/// Makes a CronJob a fact: the size of one of its runs.
///
/// # Errors
/// If a field is invalid.
pub fn cron_job(object: &CronJob, priorities: &Priorities) -> Result<Workload, FieldError> {
    let spec = &object.spec;
    let path = "spec.jobTemplate.spec";
    let missing = || At::ROOT.field(path).error("is missing", "it is required: add it");
    let job = spec.job_template.spec.as_ref().ok_or_else(missing)?;
    let (parallelism, completions) = job_size(job)?;
    let parallelism = if spec.suspend == Some(true) { 0 } else { parallelism };
    let path = "spec.jobTemplate.spec.template";
    let kind = WorkloadKind::CronJob;
    make(kind, &object.metadata, parallelism, completions, Some(&job.template), path, priorities)
}

/// Makes a DaemonSet a fact.
///
/// # Errors
/// If a field is invalid.
pub fn daemon_set(object: &DaemonSet, priorities: &Priorities) -> Result<DaemonSetFacts, FieldError> {
    let name = object_name(&object.metadata)?;
    let spec = required(object.spec.as_ref())?;
    Ok(DaemonSetFacts {
        namespace: namespace(&object.metadata).into(),
        name: name.into(),
        spec: Arc::new(pod_spec(&spec.template, TEMPLATE, OwnerKind::DaemonSet, priorities)?),
        claims: spec.template.spec.as_ref().map(claim_refs_of_template).unwrap_or_default(),
    })
}

/// Makes a PodDisruptionBudget a fact.
///
/// # Errors
/// If a field is invalid.
pub fn disruption_budget(object: &PodDisruptionBudget) -> Result<DisruptionBudget, FieldError> {
    let name = object_name(&object.metadata)?;
    let spec = required(object.spec.as_ref())?;
    let at = At::ROOT.field("spec");
    if spec.min_available.is_some() && spec.max_unavailable.is_some() {
        let remedy = "remove one of the two";
        return Err(at.field("maxUnavailable").error("does not go with minAvailable", remedy));
    }
    let read = |field, written: Option<&IntOrString>| {
        written.map(|written| part(&at.field(field), written)).transpose()
    };
    let allowed = object.status.as_ref().and_then(|status| status.disruptions_allowed);
    Ok(DisruptionBudget {
        namespace: namespace(&object.metadata).into(),
        name: name.into(),
        selector: selector(&at.field("selector"), spec.selector.as_ref())?,
        min_available: read("minAvailable", spec.min_available.as_ref())?,
        max_unavailable: read("maxUnavailable", spec.max_unavailable.as_ref())?,
        disruptions_allowed: allowed.map(|allowed| u32::try_from(allowed).unwrap_or(0)),
    })
}

const TEMPLATE: &str = "spec.template";

fn required<T>(spec: Option<&T>) -> Result<&T, FieldError> {
    spec.ok_or_else(|| At::ROOT.field("spec").error("is missing", "it is required: add it"))
}

fn count(field: &str, written: Option<i32>, default: u32) -> Result<u32, FieldError> {
    let error = |_| {
        let at = At::ROOT.field("spec");
        at.field(field).error(format!("{} is negative", written.unwrap_or_default()), "write 0 or more")
    };
    written.map_or(Ok(default), |written| u32::try_from(written).map_err(error))
}

/// How many pods of a job run at once, and how many must succeed.
///
/// Source: `SetDefaults_Job` of the API server (pkg/apis/batch/v1/defaults.go).
fn job_size(spec: &JobSpec) -> Result<(u32, Option<u32>), FieldError> {
    let neither = spec.completions.is_none() && spec.parallelism.is_none();
    let completions = match spec.completions {
        None if neither => Some(1),
        None => None,
        written => Some(count("completions", written, 1)?),
    };
    let parallelism = count("parallelism", spec.parallelism, 1)?.min(completions.unwrap_or(u32::MAX));
    Ok((if spec.suspend == Some(true) { 0 } else { parallelism }, completions))
}

fn make(
    kind: WorkloadKind,
    metadata: &ObjectMeta,
    replicas: u32,
    completions: Option<u32>,
    template: Option<&PodTemplateSpec>,
    path: &str,
    priorities: &Priorities,
) -> Result<Workload, FieldError> {
    let name = object_name(metadata)?;
    let template =
        template.ok_or_else(|| At::ROOT.field(path).error("is missing", "it is required: add it"))?;
    let owner = match kind {
        WorkloadKind::StatefulSet => OwnerKind::StatefulSet,
        _ => OwnerKind::Controller,
    };
    Ok(Workload {
        kind,
        namespace: namespace(metadata).into(),
        name: name.into(),
        replicas,
        completions,
        owned: metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true)),
        template: Arc::new(pod_spec(template, path, owner, priorities)?),
        claims: template.spec.as_ref().map(claim_refs_of_template).unwrap_or_default(),
    })
}

fn part(at: &At<'_>, written: &IntOrString) -> Result<CountOrPercent, FieldError> {
    let digits =
        |text: &str| text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
    match written {
        IntOrString::Int(count) => u32::try_from(*count)
            .map(CountOrPercent::Count)
            .map_err(|_| at.error(format!("{count} is negative"), "write 0 or more")),
        IntOrString::String(text) => text
            .strip_suffix('%')
            .and_then(digits)
            .filter(|percent| *percent <= 100)
            .map(CountOrPercent::Percent)
            .ok_or_else(|| {
                let problem = format!("{text:?} is not a percentage");
                at.error(problem, "write a number without quotes, or a percentage from 0% to 100%")
            }),
    }
}

#[cfg(test)]
mod tests;
