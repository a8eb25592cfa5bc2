//! NodeOverlay, `karpenter.sh/v1alpha1`: other prices and further resources for some instance types.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/v1alpha1/nodeoverlay.go.
//!
//! **Invariant:** below `spec` a field that is not listed is an error; status is read with whatever it holds.

use std::collections::BTreeMap;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::object::{Column, ColumnKind, Custom, Definition, Kind};
use super::schema::{self, rules};
use super::{Condition, Requirement, RequirementOperator};

/// A NodeOverlay.
pub type NodeOverlay = Custom<NodeOverlaySpec>;

impl Kind for NodeOverlaySpec {
    type Status = NodeOverlayStatus;
    type Scope = ClusterResourceScope;
    const DEFINITION: Definition = Definition {
        group: "karpenter.sh",
        version: "v1alpha1",
        api_version: "karpenter.sh/v1alpha1",
        kind: "NodeOverlay",
        plural: "nodeoverlays",
        short_names: &["overlays"],
        categories: &["karpenter"],
        columns: &[Column::READY, Column::AGE, Column::wide("Weight", ColumnKind::Integer, ".spec.weight")],
        scale: None,
    };
}

/// What is wanted of a NodeOverlay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("cannot set both 'price' and 'priceAdjustment'", "!has(self.price) || !has(self.priceAdjustment)"),
])))]
pub struct NodeOverlaySpec {
    /// Which instance types and offerings it is about.
    #[schemars(schema_with = "schema::overlay_requirements")]
    pub requirements: Vec<OverlayRequirement>,
    /// The price to reckon with, in USD per hour.
    #[schemars(extend("pattern" = r"^\d+(\.\d+)?$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// A change to the price, with its sign: in USD per hour, or in percent.
    #[schemars(extend(
        "pattern" = r"^(([+-]{1}(\d*\.?\d+))|(\+{1}\d*\.?\d+%)|(^(-\d{1,2}(\.\d+)?%)$)|(-100%))$"
    ))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_adjustment: Option<String>,
    /// Resources beyond those of the machine, such as those that a device plugin offers.
    #[schemars(schema_with = "capacity")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<BTreeMap<String, Quantity>>,
    /// Where several overlays are about the same thing, the heaviest holds.
    #[schemars(extend("minimum" = 1, "maximum" = 10000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}

fn capacity(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = schema::quantities(generator);
    let own = "self.all(x, !(x in ['cpu', 'memory', 'ephemeral-storage', 'pods']))";
    schema.insert("x-kubernetes-validations".to_owned(), rules(&[("invalid resource restricted", own)]));
    schema
}

/// A requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OverlayRequirement {
    /// The label.
    #[schemars(extend("maxLength" = 316, "pattern" = schema::QUALIFIED_NAME))]
    pub key: String,
    /// How to compare.
    pub operator: RequirementOperator,
    /// What to compare with.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl From<&OverlayRequirement> for Requirement {
    fn from(overlay: &OverlayRequirement) -> Self {
        let OverlayRequirement { key, operator, values } = overlay.clone();
        Self { key, operator, values, min_values: None }
    }
}

/// What is of a NodeOverlay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeOverlayStatus {
    /// Conditions.
    #[schemars(schema_with = "schema::conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
