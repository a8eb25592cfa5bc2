//! NodeClaim, `karpenter.sh/v1`.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/v1/nodeclaim.go and nodeclaim_status.go.
//!
//! **Invariant:** below `spec` a field that is not listed is an error; status is read with whatever it holds.

use std::collections::BTreeMap;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object::{Column, ColumnKind, Custom, Definition, Kind};
use super::schema::{self, DURATION, DURATION_OR_NEVER, rules};
use super::{Condition, NodeClassReference, Requirement, Taint};

/// A NodeClaim.
pub type NodeClaim = Custom<NodeClaimSpec>;

impl Kind for NodeClaimSpec {
    type Status = NodeClaimStatus;
    type Scope = ClusterResourceScope;
    const DEFINITION: Definition = Definition {
        group: "karpenter.sh",
        version: "v1",
        api_version: "karpenter.sh/v1",
        kind: "NodeClaim",
        plural: "nodeclaims",
        short_names: &[],
        categories: &["karpenter"],
        columns: &[
            Column::always("Type", ColumnKind::Text, r".metadata.labels.node\.kubernetes\.io/instance-type"),
            Column::always("Capacity", ColumnKind::Text, r".metadata.labels.karpenter\.sh/capacity-type"),
            Column::always("Zone", ColumnKind::Text, r".metadata.labels.topology\.kubernetes\.io/zone"),
            Column::always("Node", ColumnKind::Text, ".status.nodeName"),
            Column::READY,
            Column::AGE,
            Column::wide("ImageID", ColumnKind::Text, ".status.imageID"),
            Column::wide("ID", ColumnKind::Text, ".status.providerID"),
            Column::wide("NodePool", ColumnKind::Text, r".metadata.labels.karpenter\.sh/nodepool"),
            Column::wide("NodeClass", ColumnKind::Text, ".spec.nodeClassRef.name"),
            Column::wide("Drifted", ColumnKind::Text, r#".status.conditions[?(@.type=="Drifted")].status"#),
        ],
        scale: None,
    };
}

/// What is wanted of a NodeClaim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[("spec is immutable", "self == oldSelf")])))]
pub struct NodeClaimSpec {
    /// Taints.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taints: Option<Vec<Taint>>,
    /// Taints that something removes once the node is set up.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_taints: Option<Vec<Taint>>,
    /// Requirements on instance types and offerings.
    #[schemars(schema_with = "schema::claim_requirements")]
    pub requirements: Vec<Requirement>,
    /// What the pods that it was made for ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<NodeClaimResources>,
    /// The node class.
    pub node_class_ref: NodeClassReference,
    /// How long the node may take to drain.
    #[schemars(extend("pattern" = DURATION))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<String>,
    /// The age at which the node is replaced, or `Never`.
    #[schemars(extend("pattern" = DURATION_OR_NEVER, "default" = "720h"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<String>,
}

/// What a NodeClaim is made for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeClaimResources {
    /// By resource name.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<BTreeMap<String, Quantity>>,
}

/// What is of a NodeClaim.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeClaimStatus {
    /// The Node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The instance.
    #[serde(rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// The machine image.
    #[serde(rename = "imageID", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// What the machine has.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<BTreeMap<String, Quantity>>,
    /// What pods can use.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocatable: Option<BTreeMap<String, Quantity>>,
    /// Conditions.
    #[schemars(schema_with = "schema::claim_conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When a pod came or went last.
    #[schemars(schema_with = "schema::moment")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_pod_event_time: Option<Time>,
}
