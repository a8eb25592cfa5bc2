//! NodeOverlay, `karpenter.sh/v1alpha1`.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/v1alpha1/nodeoverlay.go.
//!
//! **Invariant:** below `spec` a field that is not listed is an error, as the API server has it under strict validation.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::Requirement;

/// A NodeOverlay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeOverlay {
    /// Name, labels and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: NodeOverlaySpec,
}

/// What is wanted of a NodeOverlay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeOverlaySpec {
    /// On which offerings.
    #[serde(default)]
    pub requirements: Vec<Requirement>,
    /// Dollars an hour in place of the offering's price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// What the offering costs more or less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_adjustment: Option<String>,
    /// Extended resources of the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<BTreeMap<String, Quantity>>,
    /// Heavier overlays come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
}
