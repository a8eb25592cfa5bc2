//! Settings of kubelet in an EC2NodeClass: an open document, of which only some fields are read.
//!
//! **Invariant:** what is not read is kept as it was written.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Settings of kubelet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeletConfiguration {
    /// How many pods a node takes: a number, or an expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_pods: Option<IntOrString>,
    /// How many pods a node takes for each of its cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_per_core: Option<i32>,
    /// All else.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Any object: what it may hold depends on the version of kubelet, and is checked by the controller.
pub(super) fn open(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true},
        "x-kubernetes-preserve-unknown-fields": true,
    })
}
