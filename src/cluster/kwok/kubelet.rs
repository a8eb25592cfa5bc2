//! A stand-in for the kubelets of nodes that nobody runs: pods are said to run, pods that are to end are removed, and nodes send
//! heartbeats.
//!
//! **Invariant:** only nodes that say themselves that they are fake are touched, and their pods; next to the kwok controller it does what
//! that does too.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::machine::FAKE;
use crate::Now;
use crate::error::{ClusterError, code};
use crate::moment;

/// Pods that are seen to at a time.
const AT_ONCE: usize = 16;

/// A kubelet renews its Lease so often.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What is to be done about a pod.
#[derive(Debug)]
struct Duty {
    namespace: String,
    name: String,
    uid: String,
    node: String,
    kind: DutyKind,
    containers: Vec<(String, String)>,
}

#[derive(Debug)]
enum DutyKind {
    Run,
    End,
}

/// Takes note of nodes and pods, and passes on what a kubelet would do.
#[derive(Clone)]
pub struct Kubelet {
    nodes: Arc<Mutex<BTreeSet<String>>>,
    listed: watch::Sender<bool>,
    duties: mpsc::UnboundedSender<Duty>,
}

/// What does the work; it ends when no [`Kubelet`] is left.
pub struct KubeletWork {
    nodes: Arc<Mutex<BTreeSet<String>>>,
    listed: watch::Receiver<bool>,
    duties: mpsc::UnboundedReceiver<Duty>,
}

impl Kubelet {
    /// A stand-in, and its work.
    pub fn new() -> (Self, KubeletWork) {
        let nodes = Arc::new(Mutex::new(BTreeSet::new()));
        let (listed, is_listed) = watch::channel(false);
        // Unbounded: whoever tells is a watch, which waits for its reader already, and a duty is a few names.
        let (duties, to_do) = mpsc::unbounded_channel();
        let work = KubeletWork { nodes: Arc::clone(&nodes), listed: is_listed, duties: to_do };
        (Self { nodes, listed, duties }, work)
    }

    /// A node that is about to be made is fake.
    pub(crate) fn owns(&self, node: &str) {
        lock(&self.nodes).insert(node.to_owned());
    }

    pub(crate) fn saw_node(&self, node: &Node) {
        if node.labels().get(FAKE.0).is_some_and(|value| value == FAKE.1) {
            self.owns(&node.name_any());
        }
    }

    /// A node is gone. Whether it was fake.
    pub(crate) fn lost_node(&self, node: &str) -> bool {
        lock(&self.nodes).remove(node)
    }

    /// From now on it is known which nodes are fake.
    pub(crate) fn nodes_are_listed(&self) {
        self.listed.send_replace(true);
    }

    pub(crate) fn saw(&self, pod: &Pod) {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { return };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let kind = match (pod.metadata.deletion_timestamp.is_some(), phase) {
            (true, _) => DutyKind::End,
            (false, None | Some("" | "Pending")) => DutyKind::Run,
            _ => return,
        };
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let duty = Duty {
            namespace: pod.namespace().unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            containers: containers
                .map(|container| (container.name.clone(), container.image.clone().unwrap_or_default()))
                .collect(),
            node,
            kind,
        };
        // With nobody left to do it, the process is ending.
        let _ = self.duties.send(duty);
    }
}

fn lock(nodes: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    // Nothing panics while it is held.
    nodes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KubeletWork {
    /// Does the work until there will be no more.
    pub async fn run(mut self, client: Client, now: Now) {
        if self.listed.wait_for(|listed| *listed).await.is_err() {
            return;
        }
        let heart = tokio::spawn(beat(client.clone(), Arc::clone(&self.nodes), Arc::clone(&now)));
        let nodes = self.nodes;
        let mut duties = self.duties;
        let duties = futures::stream::poll_fn(move |context| duties.poll_recv(context));
        duties
            .filter(|duty| std::future::ready(lock(&nodes).contains(&duty.node)))
            .for_each_concurrent(AT_ONCE, |duty| {
                let (client, now) = (client.clone(), Arc::clone(&now));
                async move {
                    if let Err(error) = fulfil(&client, &duty, &now).await {
                        // The pod is told of again when it changes, or the watch begins anew.
                        tracing::warn!(
                            namespace = duty.namespace,
                            pod = duty.name,
                            "the kubelet stand-in: {error}"
                        );
                    }
                }
            })
            .await;
        heart.abort();
    }
}

async fn fulfil(client: &Client, duty: &Duty, now: &Now) -> Result<(), ClusterError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &duty.namespace);
    let done = match duty.kind {
        DutyKind::End => {
            let same = Preconditions { uid: Some(duty.uid.clone()), resource_version: None };
            let params =
                DeleteParams { preconditions: Some(same), ..DeleteParams::default() }.grace_period(0);
            pods.delete(&duty.name, &params).await.map(drop)
        }
        DutyKind::Run => {
            let since = moment(now())?;
            let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": since});
            let container = |(name, image): &(String, String)| {
                json!({"name": name, "image": image, "imageID": "", "ready": true, "started": true,
                    "restartCount": 0, "state": {"running": {"startedAt": since}}})
            };
            let conditions = ["Initialized", "Ready", "ContainersReady"].map(condition);
            let patch = json!({
                "metadata": {"uid": duty.uid},
                "status": {
                    "phase": "Running",
                    "startTime": since,
                    "conditions": conditions,
                    "containerStatuses": duty.containers.iter().map(container).collect::<Vec<_>>(),
                },
            });
            let params = PatchParams::default();
            pods.patch_status(&duty.name, &params, &Patch::Strategic(&patch)).await.map(drop)
        }
    };
    match done {
        // Gone, or another one of its name.
        Err(error) if matches!(code(&error), Some(404 | 409)) => Ok(()),
        done => done.map_err(ClusterError::api("seeing to a pod")),
    }
}

/// Renews the Lease of each node, by which the cluster sees that it lives.
async fn beat(client: Client, nodes: Arc<Mutex<BTreeSet<String>>>, now: Now) {
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    loop {
        let all: Vec<String> = lock(&nodes).iter().cloned().collect();
        futures::stream::iter(all)
            .for_each_concurrent(AT_ONCE, |node| {
                let (leases, now) = (leases.clone(), Arc::clone(&now));
                async move {
                    if let Err(error) = renew(&leases, &node, &now).await {
                        tracing::warn!(node, "the kubelet stand-in: {error}");
                    }
                }
            })
            .await;
        tokio::time::sleep(HEARTBEAT).await;
    }
}

async fn renew(leases: &Api<Lease>, node: &str, now: &Now) -> Result<(), ClusterError> {
    let timestamp = crate::timestamp(now())?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": node, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": format!("{timestamp:.6}")},
    });
    let params = PatchParams::apply("purser-kubelet").force();
    leases
        .patch(node, &params, &Patch::Apply(&lease))
        .await
        .map_err(ClusterError::api("renewing a Lease"))?;
    Ok(())
}
