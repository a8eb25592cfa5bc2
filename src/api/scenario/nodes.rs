//! Nodes and NodeClaims of a scenario.
//!
//! **Invariant:** what a node says of itself is kept apart from what its claim says: which of the two counts is for the scheduler.

use k8s_openapi::api::core::v1::Node;
use purser_engine::model::{NodeFacts, Resources, Rounding, Str, label};
use serde_json::Value;

use super::lenient::{Reading, decode_leniently, decode_noting};
use crate::crd;
use crate::error::{At, FieldError};
use crate::node::node_facts;
use crate::node_claim::{NodeClaimFacts, node_claim};
use crate::quantity::resources;

/// A Node of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioNode {
    /// The node.
    pub facts: NodeFacts,
    /// Its label `kubernetes.io/hostname`.
    pub hostname: Option<Str>,
    /// What the machine has.
    pub capacity: Resources,
}

/// A NodeClaim of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioClaim {
    /// The claim.
    pub facts: NodeClaimFacts,
}

/// Reads a Node.
pub(super) fn node(reading: &mut Reading<'_>, value: &Value) -> Result<ScenarioNode, FieldError> {
    let node: Node = decode_noting(reading, value)?;
    let labels = node.metadata.labels.as_ref();
    let capacity = node.status.as_ref().and_then(|status| status.capacity.as_ref());
    let at = At::ROOT.field("status");
    Ok(ScenarioNode {
        facts: node_facts(&node)?,
        hostname: labels.and_then(|labels| labels.get(label::HOSTNAME)).map(|name| name.as_str().into()),
        capacity: resources(&at.field("capacity"), capacity, Rounding::Down)?,
    })
}

/// Reads a NodeClaim.
pub(super) fn claim(reading: &mut Reading<'_>, value: &Value) -> Result<ScenarioClaim, FieldError> {
    let claim: crd::NodeClaim = decode_leniently(reading, value)?;
    Ok(ScenarioClaim { facts: node_claim(&claim)? })
}
