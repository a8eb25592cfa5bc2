//! CapacityBuffer, `autoscaling.x-k8s.io/v1beta1`: room kept free for pods that are still to come.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/autoscaling/v1beta1, which follows kubernetes/autoscaler.
//!
//! **Invariant:** below `spec` a field that is not listed is an error; status is read with whatever it holds.

use std::collections::BTreeMap;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Condition;
use super::object::{Column, ColumnKind, Custom, Definition, Kind};
use super::schema::{self, rules};

/// A CapacityBuffer.
pub type CapacityBuffer = Custom<CapacityBufferSpec>;

impl Kind for CapacityBufferSpec {
    type Status = CapacityBufferStatus;
    type Scope = NamespaceResourceScope;
    const DEFINITION: Definition = Definition {
        group: "autoscaling.x-k8s.io",
        version: "v1beta1",
        api_version: "autoscaling.x-k8s.io/v1beta1",
        kind: "CapacityBuffer",
        plural: "capacitybuffers",
        short_names: &["cb"],
        categories: &["autoscaling"],
        columns: &[
            Column::always("Strategy", ColumnKind::Text, ".spec.provisioningStrategy"),
            Column::always("PodTemplate", ColumnKind::Text, ".status.podTemplateRef.name"),
            Column::always("Replicas", ColumnKind::Integer, ".status.replicas"),
            Column::always("ConditionsType", ColumnKind::Text, ".status.conditions[*].type"),
            Column::always("ConditionsStatus", ColumnKind::Text, ".status.conditions[*].status"),
            Column::always("ConditionsReason", ColumnKind::Text, ".status.conditions[*].reason"),
            Column::AGE,
        ],
        scale: None,
    };
}

/// What is wanted of a CapacityBuffer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "If podTemplateRef is set, replicas or limits must also be set",
        "!has(self.podTemplateRef) || has(self.replicas) || has(self.limits)",
    ),
    (
        "You must define either PodTemplateRef or ScalableRef, but not both",
        "!(has(self.podTemplateRef) && has(self.scalableRef))",
    ),
])))]
pub struct CapacityBufferSpec {
    /// How the room is kept; `buffer.x-k8s.io/active-capacity` is by nodes that run.
    #[schemars(extend("default" = "buffer.x-k8s.io/active-capacity"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_strategy: Option<String>,
    /// The template of the pods that there is to be room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_ref: Option<PodTemplateReference>,
    /// The workload for whose pods there is to be room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scalable_ref: Option<ScalableReference>,
    /// Room for so many pods.
    #[schemars(extend("minimum" = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Room for so many pods in percent of the workload's.
    #[schemars(extend("minimum" = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage: Option<i32>,
    /// What the room may sum up to.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<String, Quantity>>,
}

/// A PodTemplate in the namespace of the buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodTemplateReference {
    /// Its name.
    #[schemars(extend("minLength" = 1))]
    pub name: String,
}

/// A workload in the namespace of the buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScalableReference {
    /// Its API group; none for the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_group: Option<String>,
    /// Its kind.
    #[schemars(extend("minLength" = 1))]
    pub kind: String,
    /// Its name.
    #[schemars(extend("minLength" = 1))]
    pub name: String,
}

/// What is of a CapacityBuffer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityBufferStatus {
    /// The template that it goes by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_ref: Option<PodTemplateReference>,
    /// Room for so many pods is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// The generation of the template that was looked at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template_generation: Option<i64>,
    /// Conditions.
    #[schemars(schema_with = "schema::conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// How the room is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_strategy: Option<String>,
}
