//! Karpenter's custom resources as they are written: field for field what a manifest or the API server holds.
//!
//! [`definitions()`] makes the CustomResourceDefinitions of them.
//!
//! **Invariant:** these types only mirror the documents; a value may still be invalid. [`crate::node_pool`] and its kin
//! check it and make the engine's facts of it. Fields keep the difference between absent and empty, on which Karpenter's
//! hash depends.

mod capacity_buffer;
mod definition;
pub mod ec2_node_class;
mod kwok_node_class;
mod node_claim;
mod node_overlay;
mod node_pool;
mod object;
mod schema;

pub use capacity_buffer::{
    CapacityBuffer, CapacityBufferSpec, CapacityBufferStatus, PodTemplateReference, ScalableReference,
};
pub use definition::{CustomResourceDefinition, definitions};
pub use ec2_node_class::{
    AmiSelectorTerm, BlockDeviceMapping, Ec2NodeClass, Ec2NodeClassSpec, Ec2NodeClassStatus,
    KubeletConfiguration,
};
pub use kwok_node_class::{KwokNodeClass, KwokNodeClassSpec, KwokNodeClassStatus};
pub use node_claim::{NodeClaim, NodeClaimResources, NodeClaimSpec, NodeClaimStatus};
pub use node_overlay::{NodeOverlay, NodeOverlaySpec, NodeOverlayStatus, OverlayRequirement};
pub use node_pool::{
    Budget, BudgetReason, ConsolidationPolicy, DisruptionSpec, NodeClassReference, NodePool, NodePoolSpec,
    NodePoolStatus, NodeTemplate, NodeTemplateSpec, Requirement, RequirementOperator, TemplateMetadata,
};
pub use object::{Column, ColumnKind, Custom, Definition, Kind, Scale, Scope};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A taint, its effect required.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// The key.
    #[schemars(extend("minLength" = 1, "pattern" = schema::QUALIFIED_NAME))]
    pub key: String,
    /// The value.
    #[schemars(extend("pattern" = schema::QUALIFIED_NAME))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What it does to pods that do not tolerate it.
    pub effect: TaintEffect,
    /// When it was added.
    #[schemars(schema_with = "schema::moment")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Time>,
}

/// The effect of a taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// Keeps new pods away.
    NoSchedule,
    /// Keeps new pods away where there is another place.
    PreferNoSchedule,
    /// Keeps new pods away and evicts those that run.
    NoExecute,
}

impl TaintEffect {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// A condition in the status of a custom resource.
///
/// Karpenter's schema asks less of conditions than Kubernetes' own: the reason may be empty or absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// When the status changed last.
    #[schemars(schema_with = "schema::moment")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// The generation of the object that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

impl Condition {
    /// The status of one condition among others, if it is there.
    pub fn status_of<'a>(conditions: &'a [Self], kind: &str) -> Option<&'a str> {
        conditions.iter().find(|condition| condition.kind == kind).map(|condition| condition.status.as_str())
    }
}
