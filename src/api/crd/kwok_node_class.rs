//! KWOKNodeClass, `karpenter.kwok.sh/v1alpha1`.
//!
//! Source: kubernetes-sigs/karpenter, kwok/apis/v1alpha1.
//!
//! **Invariant:** below `spec` a field that is not listed is an error; status is read with whatever it holds.

use k8s_openapi::ClusterResourceScope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Condition;
use super::object::{Custom, Definition, Kind};
use super::schema::{self, DURATION};

/// A KWOKNodeClass.
pub type KwokNodeClass = Custom<KwokNodeClassSpec>;

impl Kind for KwokNodeClassSpec {
    type Status = KwokNodeClassStatus;
    type Scope = ClusterResourceScope;
    const DEFINITION: Definition = Definition {
        group: "karpenter.kwok.sh",
        version: "v1alpha1",
        api_version: "karpenter.kwok.sh/v1alpha1",
        kind: "KWOKNodeClass",
        plural: "kwoknodeclasses",
        short_names: &["kwoknc", "kwokncs"],
        categories: &["karpenter"],
        columns: &[],
        scale: None,
    };

    fn unwritten() -> Option<Self> {
        Some(Self::default())
    }
}

/// What is wanted of a KWOKNodeClass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct KwokNodeClassSpec {
    /// How long after its launch a node shows up.
    #[schemars(extend("pattern" = DURATION))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_registration_delay: Option<String>,
}

/// What is of a KWOKNodeClass: ready from the start, since nothing has to be looked up for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("default" = json!({"conditions": [{
    "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2024-01-01T01:01:01Z",
}]})))]
pub struct KwokNodeClassStatus {
    /// Conditions.
    #[schemars(schema_with = "schema::unkeyed_conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
