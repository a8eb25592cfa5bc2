//! NodeClaims as they were seen.
//!
//! Invariant: none beyond that of frozen structs.

use purser_engine::model::{ClaimFacts, NodeTemplate, Resources, Uid};
use serde::{Deserialize, Serialize};

use super::convert::Wire;
use super::fact::NodeClaimObservedV1;
use super::pool::NodeTemplateV1;
use super::resources::ResourcesV1;
use super::scalar::{TimeV1, UidV1};

frozen! {
    /// A NodeClaim.
    ClaimFactsV2 = ClaimFacts {
        name: String,
        uid: UidV1,
        pool: Option<String>,
        template: NodeTemplateV1,
        requests: ResourcesV1,
        instance: Option<String>,
        node: Option<String>,
        registered: bool,
        initialized: bool,
        drifted: bool,
        hash: String,
        hash_version: String,
        created: TimeV1,
        deleted: Option<TimeV1>,
        deadline: Option<TimeV1>,
    }
}

/// A NodeClaim, before its deadline was read.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClaimFactsV1 {
    pub(crate) name: String,
    pub(crate) uid: UidV1,
    pub(crate) pool: Option<String>,
    pub(crate) template: NodeTemplateV1,
    pub(crate) requests: ResourcesV1,
    pub(crate) instance: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) registered: bool,
    pub(crate) initialized: bool,
    pub(crate) drifted: bool,
    pub(crate) hash: String,
    pub(crate) hash_version: String,
    pub(crate) created: TimeV1,
    pub(crate) deleted: Option<TimeV1>,
}

impl From<ClaimFactsV1> for ClaimFactsV2 {
    fn from(old: ClaimFactsV1) -> Self {
        Self {
            name: old.name,
            uid: old.uid,
            pool: old.pool,
            template: old.template,
            requests: old.requests,
            instance: old.instance,
            node: old.node,
            registered: old.registered,
            initialized: old.initialized,
            drifted: old.drifted,
            hash: old.hash,
            hash_version: old.hash_version,
            created: old.created,
            deleted: old.deleted,
            deadline: None,
        }
    }
}

impl From<NodeClaimObservedV1> for ClaimFactsV1 {
    /// One with a node had joined, as far as that can be told.
    fn from(old: NodeClaimObservedV1) -> Self {
        let NodeClaimObservedV1 { claim, pool, instance, node, created, hash } = old;
        Self {
            name: claim,
            uid: Wire::from_domain(&Uid::default()),
            pool,
            template: Wire::from_domain(&NodeTemplate::default()),
            requests: Wire::from_domain(&Resources::default()),
            instance,
            registered: node.is_some(),
            initialized: node.is_some(),
            node,
            drifted: false,
            hash,
            hash_version: String::new(),
            created,
            deleted: None,
        }
    }
}
