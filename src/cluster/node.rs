//! Nodes: registration, initialisation, the mark that keeps pods away, and their end.
//!
//! **Invariant:** a change is made to the node that was read, and made again if somebody else was quicker; all other fields stay.

use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use purser_engine::model::label;
use serde_json::json;

use crate::FINALIZER;
use crate::claim::unless_gone;
use crate::error::{ClusterError, code};

/// Conflicts in a row before somebody else gets a turn.
const TRIES: u32 = 8;

const DISRUPTED: &str = "karpenter.sh/disrupted";
const UNREGISTERED: &str = "karpenter.sh/unregistered";
const UNBALANCED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The nodes of a cluster.
#[derive(Clone)]
pub(crate) struct Nodes(Api<Node>);

impl Nodes {
    pub(crate) fn new(client: Client) -> Self {
        Self(Api::all(client))
    }

    /// Changes metadata and taints of a node. False if there is no such node.
    async fn change(&self, name: &str, change: impl Fn(&mut Node)) -> Result<bool, ClusterError> {
        let mut tries = 0;
        loop {
            let read =
                self.0.get_opt(name).await.map_err(ClusterError::api(format!("reading Node {name}")))?;
            let Some(before) = read else { return Ok(false) };
            let mut node = before.clone();
            change(&mut node);
            if node == before {
                return Ok(true);
            }
            let patch = json!({
                "metadata": {
                    "resourceVersion": node.metadata.resource_version,
                    "labels": node.metadata.labels,
                    "annotations": node.metadata.annotations,
                    "finalizers": node.metadata.finalizers,
                    "ownerReferences": node.metadata.owner_references,
                },
                "spec": {"taints": node.spec.as_ref().and_then(|spec| spec.taints.clone())},
            });
            let patched = self.0.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            tries += 1;
            match patched {
                Ok(_) => return Ok(true),
                Err(error) if code(&error) == Some(404) => return Ok(false),
                Err(error) if code(&error) == Some(409) && tries < TRIES => {}
                Err(error) => return Err(ClusterError::api(format!("changing Node {name}"))(error)),
            }
        }
    }

    /// Gives a node its claim's labels and annotations, its owner and its finalizer, and takes the mark of the unregistered from it.
    pub(crate) async fn register(&self, name: &str, claim: &DynamicObject) -> Result<bool, ClusterError> {
        let owner = OwnerReference {
            api_version: "karpenter.sh/v1".to_owned(),
            kind: "NodeClaim".to_owned(),
            name: claim.metadata.name.clone().unwrap_or_default(),
            uid: claim.metadata.uid.clone().unwrap_or_default(),
            block_owner_deletion: Some(true),
            controller: None,
        };
        let change = |node: &mut Node| {
            let metadata = &mut node.metadata;
            let labels = metadata.labels.get_or_insert_default();
            labels.extend(claim.metadata.labels.clone().unwrap_or_default());
            labels.insert(label::REGISTERED.to_owned(), "true".to_owned());
            let annotations = metadata.annotations.get_or_insert_default();
            annotations.extend(claim.metadata.annotations.clone().unwrap_or_default());
            let finalizers = metadata.finalizers.get_or_insert_default();
            // To one that is being deleted none can be added.
            if metadata.deletion_timestamp.is_none() && !finalizers.iter().any(|own| own == FINALIZER) {
                finalizers.push(FINALIZER.to_owned());
            }
            let owners = metadata.owner_references.get_or_insert_default();
            if !owners.iter().any(|own| own.uid == owner.uid) {
                owners.push(owner.clone());
            }
            let spec = node.spec.get_or_insert_default();
            spec.taints.get_or_insert_default().retain(|taint| taint.key != UNREGISTERED);
        };
        self.change(name, change).await
    }

    /// Says of a node that it is set up.
    pub(crate) async fn initialize(&self, name: &str) -> Result<bool, ClusterError> {
        let label = |node: &mut Node| {
            let labels = node.metadata.labels.get_or_insert_default();
            labels.insert(label::INITIALIZED.to_owned(), "true".to_owned());
        };
        self.change(name, label).await
    }

    /// Keeps new pods away from a node, or lets them come again.
    pub(crate) async fn mark(&self, name: &str, marked: bool) -> Result<bool, ClusterError> {
        let change = |node: &mut Node| {
            let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
            let there = taints.iter().any(|taint| taint.key == DISRUPTED);
            match marked {
                true if !there => taints.push(Taint {
                    key: DISRUPTED.to_owned(),
                    effect: "NoSchedule".to_owned(),
                    ..Taint::default()
                }),
                true => {}
                false => taints.retain(|taint| taint.key != DISRUPTED),
            }
        };
        self.change(name, change).await
    }

    /// Has load balancers send nothing new to a node that is emptied, as Karpenter does.
    pub(crate) async fn unbalance(&self, name: &str) -> Result<bool, ClusterError> {
        let label = |node: &mut Node| {
            let labels = node.metadata.labels.get_or_insert_default();
            labels.entry(UNBALANCED.to_owned()).or_insert_with(|| "karpenter".to_owned());
        };
        self.change(name, label).await
    }

    /// Deletes a node, and lets it go.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ClusterError> {
        let deleted = self.0.delete(name, &DeleteParams::default()).await.map(drop);
        unless_gone(deleted).map_err(ClusterError::api(format!("deleting Node {name}")))?;
        let release = |node: &mut Node| {
            node.metadata.finalizers.get_or_insert_default().retain(|own| own != FINALIZER);
        };
        self.change(name, release).await.map(drop)
    }
}
