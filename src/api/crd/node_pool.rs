//! NodePool, `karpenter.sh/v1`.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/v1/nodepool.go.
//!
//! **Invariant:** below `spec` a field that is not listed is an error, as the API server has it under strict validation.

use std::collections::BTreeMap;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object::{Column, ColumnKind, Custom, Definition, Kind, Scale};
use super::schema::{self, DURATION, DURATION_OR_NEVER, not_empty, rules};
use super::{Condition, Taint};

/// A NodePool.
pub type NodePool = Custom<NodePoolSpec>;

impl Kind for NodePoolSpec {
    type Status = NodePoolStatus;
    type Scope = ClusterResourceScope;
    const DEFINITION: Definition = Definition {
        group: "karpenter.sh",
        version: "v1",
        api_version: "karpenter.sh/v1",
        kind: "NodePool",
        plural: "nodepools",
        short_names: &[],
        categories: &["karpenter"],
        columns: &[
            Column::always("NodeClass", ColumnKind::Text, ".spec.template.spec.nodeClassRef.name"),
            Column::always("Nodes", ColumnKind::Text, ".status.nodes"),
            Column::READY,
            Column::AGE,
            Column::wide("Weight", ColumnKind::Integer, ".spec.weight"),
            Column::wide("CPU", ColumnKind::Text, ".status.resources.cpu"),
            Column::wide("Memory", ColumnKind::Text, ".status.resources.memory"),
        ],
        scale: Some(Scale { spec: ".spec.replicas", status: ".status.nodes" }),
    };
}

/// What is wanted of a NodePool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "Cannot transition NodePool between static (replicas set) and dynamic (replicas unset) provisioning modes",
        "has(self.replicas) == has(oldSelf.replicas)",
    ),
    (
        "only 'limits.nodes' is supported on static NodePools",
        "!has(self.replicas) || (!has(self.limits) || size(self.limits) == 0 || (size(self.limits) == 1 && 'nodes' in self.limits))",
    ),
    ("'weight' is not supported on static NodePools", "!has(self.replicas) || !has(self.weight)"),
])))]
pub struct NodePoolSpec {
    /// What its nodes are like.
    pub template: NodeTemplate,
    /// How its nodes may be removed.
    #[schemars(extend("default" = serde_json::json!({"consolidateAfter": "0s"})))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<DisruptionSpec>,
    /// What its nodes may sum up to.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<String, Quantity>>,
    /// Heavier pools are tried first.
    #[schemars(extend("minimum" = 1, "maximum" = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// A fixed number of nodes.
    #[schemars(extend("minimum" = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i64>,
}

/// What the nodes of a pool are like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeTemplate {
    /// Labels and annotations of the nodes.
    #[serde(default)]
    pub metadata: TemplateMetadata,
    /// All else.
    pub spec: NodeTemplateSpec,
}

/// Labels and annotations of the nodes of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateMetadata {
    /// Labels.
    #[schemars(schema_with = "schema::pool_labels")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations.
    #[schemars(extend("x-kubernetes-map-type" = "granular"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Taints, requirements, class and times of the nodes of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeTemplateSpec {
    /// Taints.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taints: Option<Vec<Taint>>,
    /// Taints that something removes once a node is set up.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_taints: Option<Vec<Taint>>,
    /// Requirements on instance types and offerings.
    #[schemars(schema_with = "schema::pool_requirements")]
    pub requirements: Vec<Requirement>,
    /// The node class.
    #[schemars(extend("x-kubernetes-validations" = rules(&[
        ("nodeClassRef.group is immutable", "self.group == oldSelf.group"),
        ("nodeClassRef.kind is immutable", "self.kind == oldSelf.kind"),
    ])))]
    pub node_class_ref: NodeClassReference,
    /// How long a node may take to drain.
    #[schemars(extend("pattern" = DURATION))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<String>,
    /// The age at which a node is replaced, or `Never`.
    #[schemars(extend("pattern" = DURATION_OR_NEVER, "default" = "720h"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<String>,
}

/// A requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Requirement {
    /// The label.
    #[schemars(extend("maxLength" = 316, "pattern" = schema::QUALIFIED_NAME))]
    pub key: String,
    /// How to compare.
    pub operator: RequirementOperator,
    /// What to compare with.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// At least so many different values must remain among the instance types of a launch.
    #[schemars(extend("minimum" = 1, "maximum" = 50))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_values: Option<i64>,
}

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RequirementOperator {
    /// One of the values.
    In,
    /// None of the values.
    NotIn,
    /// Any value.
    Exists,
    /// No such label.
    DoesNotExist,
    /// An integer above the value.
    Gt,
    /// An integer below the value.
    Lt,
    /// An integer not below the value.
    Gte,
    /// An integer not above the value.
    Lte,
}

/// Which node class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeClassReference {
    /// The API group, without version.
    #[schemars(extend("pattern" = "^[^/]*$", "x-kubernetes-validations" = not_empty("group")))]
    pub group: String,
    /// The kind.
    #[schemars(extend("x-kubernetes-validations" = not_empty("kind")))]
    pub kind: String,
    /// The name.
    #[schemars(extend("x-kubernetes-validations" = not_empty("name")))]
    pub name: String,
}

/// How nodes of a pool may be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisruptionSpec {
    /// How long a node must be left alone by pods first, or `Never`.
    #[schemars(extend("pattern" = DURATION_OR_NEVER, "default" = "0s"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consolidate_after: Option<String>,
    /// When nodes are worth removing.
    #[schemars(extend("default" = "WhenEmptyOrUnderutilized"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consolidation_policy: Option<ConsolidationPolicy>,
    /// How many at once.
    #[schemars(extend(
        "maxItems" = 50,
        "default" = serde_json::json!([{"nodes": "10%"}]),
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-validations" = rules(&[
            ("'schedule' must be set with 'duration'", "self.all(x, has(x.schedule) == has(x.duration))"),
        ]),
    ))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Vec<Budget>>,
}

/// When nodes are worth removing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConsolidationPolicy {
    /// Only when they are empty.
    WhenEmpty,
    /// When they are empty or cost more than they need.
    WhenEmptyOrUnderutilized,
    /// As above, if the saving is worth the disruption.
    Balanced,
}

/// How many nodes may be removed at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// For which reasons; absent for all.
    #[schemars(extend("maxItems" = 50, "x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<BudgetReason>>,
    /// A count or a percentage.
    #[schemars(extend("pattern" = "^((100|[0-9]{1,2})%|[0-9]+)$"))]
    #[serde(default = "ten_percent")]
    pub nodes: String,
    /// When it starts to hold, as a cron expression.
    #[schemars(extend(
        "pattern" = r"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly))|((.+)\s(.+)\s(.+)\s(.+)\s(.+))$"
    ))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How long it holds each time.
    #[schemars(extend("pattern" = r"^((([0-9]+(h|m))|([0-9]+h[0-9]+m))(0s)?)$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

fn ten_percent() -> String {
    "10%".to_owned()
}

/// A reason that a budget can be limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BudgetReason {
    /// Its pods fit elsewhere.
    Underutilized,
    /// Nothing runs on it.
    Empty,
    /// It no longer is what its pool asks for.
    Drifted,
}

/// What is of a NodePool.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodePoolStatus {
    /// The capacity of its nodes.
    #[schemars(schema_with = "schema::quantities")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<BTreeMap<String, Quantity>>,
    /// The number of its nodes.
    #[schemars(extend("default" = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i64>,
    /// The generation of the node class that was looked at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_class_observed_generation: Option<i64>,
    /// Conditions.
    #[schemars(schema_with = "schema::conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
