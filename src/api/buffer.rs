//! CapacityBuffers and PodTemplates, checked and made facts.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/autoscaling/v1beta1/capacitybuffer.go and pkg/controllers/capacitybuffer.
//!
//! **Invariant:** what a buffer comes to depends on the buffer, the PodTemplates and the workloads of its namespace alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodTemplate;
use purser_engine::model::{CapacityBuffer, OwnerKind, PodKey, PodSpec, Resources, Rounding, Str};

use crate::crd;
use crate::error::{At, FieldError};
use crate::pod::{Priorities, pod_spec};
use crate::quantity::{object_key, resources};
use crate::workload::{Workload, WorkloadKind};

/// The most virtual pods of one buffer.
const MOST_REPLICAS: u32 = 10_000;

/// A CapacityBuffer as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityBufferFacts {
    /// Its namespace and name.
    pub key: PodKey,
    /// Whose pods it keeps room for.
    pub of: BufferSource,
    /// So many pods.
    pub replicas: Option<u32>,
    /// So many in a hundred of the workload's.
    pub percentage: Option<u32>,
    /// So many as these resources suffice for.
    pub limits: Option<Resources>,
}

/// Whose pods a buffer keeps room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BufferSource {
    /// Those of a PodTemplate.
    Template(Str),
    /// Those of a workload.
    Workload(WorkloadKind, Str),
}

/// PodTemplates by namespace and name.
pub type PodTemplates = BTreeMap<PodKey, Arc<PodSpec>>;

/// Makes a PodTemplate a fact.
///
/// # Errors
/// If a field is invalid.
pub fn pod_template(
    object: &PodTemplate,
    priorities: &Priorities,
) -> Result<(PodKey, Arc<PodSpec>), FieldError> {
    let key = object_key(&object.metadata)?;
    let missing = || At::ROOT.field("template").error("is missing", "it is required: add it");
    let template = object.template.as_ref().ok_or_else(missing)?;
    Ok((key, Arc::new(pod_spec(template, "template", OwnerKind::Controller, priorities)?)))
}

/// Checks a CapacityBuffer and makes it a fact.
///
/// # Errors
/// If a field is invalid.
pub fn capacity_buffer(object: &crd::CapacityBuffer) -> Result<CapacityBufferFacts, FieldError> {
    let key = object_key(&object.metadata)?;
    let at = At::ROOT.field("spec");
    let spec = &object.spec;
    if let Some(strategy) = spec.provisioning_strategy.as_deref().filter(|one| *one != ACTIVE_CAPACITY) {
        let problem = format!("{strategy:?} is not a strategy that is carried out");
        return Err(at.field("provisioningStrategy").error(problem, format!("write {ACTIVE_CAPACITY}")));
    }
    let count = |field, written: Option<i32>| {
        let negative = |_| at.field(field).error("is negative", "write 0 or more");
        written.map(u32::try_from).transpose().map_err(negative)
    };
    let of = match (&spec.pod_template_ref, &spec.scalable_ref) {
        (Some(template), None) => {
            if spec.replicas.is_none() && spec.limits.is_none() {
                return Err(at
                    .field("replicas")
                    .error("is missing", "podTemplateRef goes with replicas or limits"));
            }
            BufferSource::Template(template.name.as_str().into())
        }
        (None, Some(scalable)) => {
            BufferSource::Workload(kind(&at.field("scalableRef"), scalable)?, scalable.name.as_str().into())
        }
        (Some(_), Some(_)) => {
            return Err(at
                .field("scalableRef")
                .error("does not go with podTemplateRef", "remove one of the two"));
        }
        (None, None) => {
            let remedy = "name a PodTemplate, or a workload under scalableRef";
            return Err(at.field("podTemplateRef").error("is missing", remedy));
        }
    };
    let limits = spec.limits.as_ref();
    let limits =
        limits.map(|limits| resources(&at.field("limits"), Some(limits), Rounding::Down)).transpose()?;
    Ok(CapacityBufferFacts {
        key,
        of,
        replicas: count("replicas", spec.replicas)?,
        percentage: count("percentage", spec.percentage)?,
        limits,
    })
}

/// The strategy that is carried out: room is kept by nodes that run.
pub const ACTIVE_CAPACITY: &str = "buffer.x-k8s.io/active-capacity";

/// Why a buffer comes to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// The reason, as the condition of the buffer has it.
    pub reason: UnresolvedReason,
    /// One line that names the field and the remedy.
    pub message: String,
}

/// Why a buffer comes to nothing, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnresolvedReason {
    /// The PodTemplate is not there.
    PodTemplateNotFound,
    /// The workload is not there.
    ScalableRefNotFound,
    /// Something else is wrong with the buffer, or with what it names.
    ResolutionFailed,
}

impl UnresolvedReason {
    /// As Karpenter writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PodTemplateNotFound => "PodTemplateNotFound",
            Self::ScalableRefNotFound => "ScalableRefNotFound",
            Self::ResolutionFailed => "ResolutionFailed",
        }
    }
}

impl Unresolved {
    /// What a buffer names is wrong in itself.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { reason: UnresolvedReason::ResolutionFailed, message: message.into() }
    }
}

impl std::fmt::Display for Unresolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

fn kind(at: &At<'_>, scalable: &crd::ScalableReference) -> Result<WorkloadKind, FieldError> {
    match (scalable.api_group.as_deref().unwrap_or_default(), scalable.kind.as_str()) {
        ("" | "apps", "Deployment") => Ok(WorkloadKind::Deployment),
        ("" | "apps", "ReplicaSet") => Ok(WorkloadKind::ReplicaSet),
        ("" | "apps", "StatefulSet") => Ok(WorkloadKind::StatefulSet),
        ("", "ReplicationController") => Ok(WorkloadKind::ReplicationController),
        (group, kind) => {
            let group = if group.is_empty() { "apps" } else { group };
            let problem = format!("{kind} of {group} is nothing that room can be kept for");
            Err(at.field("kind").error(
                problem,
                "name a Deployment, ReplicaSet or StatefulSet of apps, or a ReplicationController",
            ))
        }
    }
}

impl CapacityBufferFacts {
    /// What it comes to, with what there is of PodTemplates and workloads.
    ///
    /// # Errors
    /// Why it comes to nothing.
    pub fn resolve(
        &self,
        templates: &PodTemplates,
        workloads: &[Workload],
    ) -> Result<CapacityBuffer, Unresolved> {
        let (template, scale) = match &self.of {
            BufferSource::Template(name) => {
                (templates.get(&PodKey::new(self.key.namespace.clone(), name.clone())), None)
            }
            BufferSource::Workload(kind, name) => {
                let named = |one: &&Workload| {
                    one.kind == *kind && one.namespace == self.key.namespace && one.name == *name
                };
                let found = workloads.iter().find(named);
                (found.map(|workload| &workload.template), found.map(|workload| workload.replicas))
            }
        };
        self.of_template(template.ok_or_else(|| self.not_found())?, scale)
    }

    /// Why it comes to nothing where there is nothing of the name that it gives.
    pub fn not_found(&self) -> Unresolved {
        let namespace = &self.key.namespace;
        match &self.of {
            BufferSource::Template(name) => self.unresolved(
                UnresolvedReason::PodTemplateNotFound,
                "podTemplateRef",
                format!("there is no PodTemplate {namespace}/{name}: create it"),
            ),
            BufferSource::Workload(kind, name) => self.unresolved(
                UnresolvedReason::ScalableRefNotFound,
                "scalableRef",
                format!("there is no {kind:?} {namespace}/{name}: create it"),
            ),
        }
    }

    /// What it comes to, with the template that it names, and how many pods the workload keeps that has it.
    ///
    /// # Errors
    /// Why it comes to nothing.
    pub fn of_template(&self, template: &PodSpec, scale: Option<u32>) -> Result<CapacityBuffer, Unresolved> {
        let share = self.percentage.zip(scale).map(|(percent, scale)| {
            u32::try_from((u64::from(scale) * u64::from(percent)).div_ceil(100)).unwrap_or(u32::MAX)
        });
        let wanted = self.replicas.max(share);
        let room = self.limits.as_ref().and_then(|limits| within(limits, &template.requests));
        let replicas = match (wanted, room) {
            (Some(wanted), Some(room)) => wanted.min(room),
            (wanted, room) => wanted.or(room).unwrap_or(0),
        };
        if replicas > MOST_REPLICAS {
            let problem =
                format!("{replicas} pods are more than the {MOST_REPLICAS} that one buffer may have");
            return Err(self.unresolved(UnresolvedReason::ResolutionFailed, "replicas", problem));
        }
        Ok(CapacityBuffer::new(template, replicas))
    }

    fn unresolved(&self, reason: UnresolvedReason, field: &str, problem: String) -> Unresolved {
        let message =
            format!("CapacityBuffer {}: spec.{field}: {problem}, so no room is kept for it", self.key);
        Unresolved { reason, message }
    }
}

/// For how many pods resources suffice; `None` if the pods ask for none of them.
fn within(limits: &Resources, requests: &Resources) -> Option<u32> {
    let of = |(name, limit): (&str, i64)| match requests.get(name) {
        0 => None,
        request => Some(u32::try_from(limit / request).unwrap_or(u32::MAX)),
    };
    limits.iter().filter_map(of).min()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn buffer(spec: Value) -> Result<CapacityBufferFacts, String> {
        let object = json!({"metadata": {"name": "b", "namespace": "shop"}, "spec": spec});
        let written: crd::CapacityBuffer = serde_json::from_value(object).unwrap();
        capacity_buffer(&written).map_err(|error| error.to_string())
    }

    fn replicas(spec: Value) -> Result<u32, String> {
        let requests: Resources = [("cpu", 500), ("memory", 1 << 30), ("pods", 1)].into_iter().collect();
        let template = Arc::new(PodSpec { requests, priority: 7, ..PodSpec::default() });
        let templates = PodTemplates::from([(PodKey::new("shop", "t"), Arc::clone(&template))]);
        let workload = Workload {
            kind: WorkloadKind::Deployment,
            namespace: "shop".into(),
            name: "web".into(),
            replicas: 9,
            completions: None,
            owned: false,
            template,
            claims: Vec::new(),
        };
        let resolved = buffer(spec)?.resolve(&templates, &[workload]).map_err(|why| why.to_string())?;
        assert_eq!(resolved.spec.priority, i32::MIN);
        Ok(resolved.replicas)
    }

    #[test]
    fn replicas_are_the_more_of_what_is_asked_within_limits() {
        let web = json!({"kind": "Deployment", "name": "web"});
        assert_eq!(replicas(json!({"podTemplateRef": {"name": "t"}, "replicas": 3})), Ok(3));
        assert_eq!(replicas(json!({"scalableRef": web, "percentage": 20})), Ok(2));
        assert_eq!(replicas(json!({"scalableRef": web, "percentage": 1})), Ok(1));
        assert_eq!(replicas(json!({"scalableRef": web, "percentage": 20, "replicas": 5})), Ok(5));
        assert_eq!(replicas(json!({"scalableRef": web, "percentage": 50, "replicas": 1})), Ok(5));
        assert_eq!(replicas(json!({"podTemplateRef": {"name": "t"}, "limits": {"cpu": "1800m"}})), Ok(3));
        let limited =
            json!({"podTemplateRef": {"name": "t"}, "replicas": 9, "limits": {"memory": "2Gi", "a/b": "1"}});
        assert_eq!(replicas(limited), Ok(2));
        assert_eq!(replicas(json!({"scalableRef": web})), Ok(0));
    }

    #[test]
    fn what_comes_to_nothing_says_why() {
        let web = json!({"kind": "Deployment", "name": "web"});
        for (spec, message) in [
            (json!({"podTemplateRef": {"name": "t"}}), "spec.replicas: is missing"),
            (json!({"podTemplateRef": {"name": "t"}, "scalableRef": web}), "spec.scalableRef: does not go"),
            (json!({"replicas": 1}), "spec.podTemplateRef: is missing"),
            (json!({"scalableRef": web, "replicas": -1}), "spec.replicas: is negative"),
            (json!({"scalableRef": {"kind": "Job", "name": "j"}}), "spec.scalableRef.kind: Job of apps"),
            (json!({"scalableRef": web, "provisioningStrategy": "x"}), "spec.provisioningStrategy: \"x\""),
            (
                json!({"podTemplateRef": {"name": "none"}, "replicas": 1}),
                "CapacityBuffer shop/b: spec.podTemplateRef: there is no PodTemplate shop/none",
            ),
            (
                json!({"scalableRef": {"kind": "StatefulSet", "name": "web"}}),
                "CapacityBuffer shop/b: spec.scalableRef: there is no StatefulSet shop/web",
            ),
            (
                json!({"podTemplateRef": {"name": "t"}, "replicas": 10_001}),
                "CapacityBuffer shop/b: spec.replicas",
            ),
        ] {
            let error = replicas(spec.clone()).unwrap_err();
            assert!(error.starts_with(message), "{spec}: {error}");
        }
    }
}
