//! NodeClaims as the cluster shows them.

use super::{ClaimName, InstanceId, NodeName, NodeTemplate, PoolName, Resources, Str, Time, Uid};

/// What is known of a NodeClaim object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimFacts {
    /// Its name.
    pub name: ClaimName,
    /// Its UID, which tells it from another one of its name.
    pub uid: Uid,
    /// The pool that it belongs to; `None` for a claim that somebody made by hand.
    pub pool: Option<PoolName>,
    /// What its node is to be like. The labels are its own: once it is launched, they say what the instance is.
    pub template: NodeTemplate,
    /// What the pods that it was made for ask for.
    pub requests: Resources,
    /// The instance, once launched.
    pub instance: Option<InstanceId>,
    /// The Node, once registered.
    pub node: Option<NodeName>,
    /// Whether its node joined.
    pub registered: bool,
    /// Whether its node is set up.
    pub initialized: bool,
    /// Whether it is held for drifted.
    pub drifted: bool,
    /// The hash of the pool's template that it was made from; empty if it carries none.
    pub hash: Str,
    /// The version of that hash; empty if it carries none.
    pub hash_version: Str,
    /// When it was created.
    pub created: Time,
    /// Since when it is being deleted.
    pub deleted: Option<Time>,
    /// When its node has to be gone, as an annotation of it says; counts once it is being deleted.
    pub deadline: Option<Time>,
}

impl ClaimFacts {
    /// The version of the hash of pools: one of another version says nothing about drift, and is replaced.
    pub const HASH_VERSION: &'static str = "v3";

    /// Whether its hash is of the version that pools have.
    pub fn has_current_hash(&self) -> bool {
        &*self.hash_version == Self::HASH_VERSION
    }
}
