//! NodeClaims as they were seen.
//!
//! Invariant: none beyond that of frozen structs.

use purser_engine::model::{
    ClaimFacts, ClaimName, InstanceId, NodeName, NodeTemplate, PoolName, Resources, Time, Uid,
};

use super::convert::Wire as _;
use super::fact::NodeClaimObservedV1;
use super::pool::NodeTemplateV1;
use super::resources::ResourcesV1;
use super::scalar::{TimeV1, UidV1};

frozen! {
    /// A NodeClaim.
    ClaimFactsV1 = ClaimFacts {
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
    }
}

impl From<NodeClaimObservedV1> for ClaimFactsV1 {
    /// One with a node had joined, as far as that can be told.
    fn from(old: NodeClaimObservedV1) -> Self {
        let NodeClaimObservedV1 { claim, pool, instance, node, created, hash } = old;
        Self::from_domain(&ClaimFacts {
            name: ClaimName::new(claim),
            uid: Uid::default(),
            pool: pool.map(PoolName::new),
            template: NodeTemplate::default(),
            requests: Resources::default(),
            instance: instance.map(InstanceId::new),
            registered: node.is_some(),
            initialized: node.is_some(),
            node: node.map(NodeName::new),
            drifted: false,
            hash: hash.into(),
            hash_version: "".into(),
            created: Time(created.0),
            deleted: None,
        })
    }
}
