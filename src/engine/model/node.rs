//! Nodes as the cluster shows them.

use std::sync::Arc;

use super::{InstanceId, Labels, NodeName, Resources, Taint, Time};

/// What is known of a node. Labels, shared by many nodes, exclude the host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: NodeName,
    /// The instance behind it.
    pub instance: Option<InstanceId>,
    /// Its labels, `kubernetes.io/hostname` aside.
    pub labels: Arc<Labels>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// What pods can use.
    pub allocatable: Resources,
    /// Whether kubelet says that it is ready.
    pub ready: bool,
    /// Whether it is cordoned.
    pub unschedulable: bool,
    /// Whether it carries `karpenter.sh/do-not-disrupt: "true"`.
    pub do_not_disrupt: bool,
    /// When it was created.
    pub created: Time,
    /// Whether it is being deleted.
    pub deleting: bool,
}
