//! A stand-in for the kubelets of nodes that nobody runs: pods are said to run, pods that are to end are removed once they have ended, and
//! nodes are ready and send heartbeats.
//!
//! **Invariant:** only nodes that say themselves that they are fake are touched, and their pods; next to the kwok controller it does what
//! that does too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc, watch};

use super::machine::FAKE;
use super::stopping::{self, Ending};
use crate::Now;
use crate::error::{ClusterError, code};
use crate::moment;
use crate::shared::Shared;

/// Pods and nodes that are seen to at a time.
const AT_ONCE: usize = 16;

/// The pause before a duty is tried again, doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// So often somebody else may be quicker.
const CONFLICTS: u32 = 5;

/// Leases are renewed so often. Kubelets do so every 10 s; a node is given up after 40 s at the earliest.
const HEARTBEAT: Duration = Duration::from_secs(25);

/// ... in so many parts: a Lease that is new or could not be renewed is seen to in the next.
const BEATS: u32 = 10;

/// What is to be done.
#[derive(Debug)]
enum Duty {
    Pod(PodDuty),
    /// A node is to be said to be ready.
    Node(String),
}

/// What is to be done about a pod.
#[derive(Debug)]
struct PodDuty {
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
    End(Option<Ending>),
}

/// The fake nodes by name, with the UIDs of those that were seen.
type Owned = Shared<BTreeMap<String, Option<String>>>;

/// Takes note of nodes and pods, and passes on what a kubelet would do.
#[derive(Clone)]
pub struct Kubelet {
    nodes: Owned,
    listed: watch::Sender<bool>,
    duties: mpsc::UnboundedSender<Duty>,
}

/// What does the work; it ends when no [`Kubelet`] is left.
pub struct KubeletWork {
    nodes: Owned,
    listed: watch::Receiver<bool>,
    duties: mpsc::UnboundedReceiver<Duty>,
}

impl Kubelet {
    /// A stand-in, and its work.
    pub fn new() -> (Self, KubeletWork) {
        let nodes = Owned::default();
        let (listed, is_listed) = watch::channel(false);
        // Unbounded: whoever tells is a watch, which waits for its reader already, and a duty is a few names.
        let (duties, to_do) = mpsc::unbounded_channel();
        let work = KubeletWork { nodes: nodes.clone(), listed: is_listed, duties: to_do };
        (Self { nodes, listed, duties }, work)
    }

    /// A node that is about to be made is fake.
    pub(crate) fn owns(&self, node: &str) {
        self.nodes.lock().entry(node.to_owned()).or_default();
    }

    pub(crate) fn saw_node(&self, node: &Node) {
        if node.labels().get(FAKE.0).is_some_and(|value| value == FAKE.1) {
            self.nodes.lock().insert(node.name_any(), node.uid());
            if has_no_kubelet(node) {
                // With nobody left to do it, the process is ending.
                let _ = self.duties.send(Duty::Node(node.name_any()));
            }
        }
    }

    /// A node is gone. Whether it was fake.
    pub(crate) fn lost_node(&self, node: &str) -> bool {
        self.nodes.lock().remove(node).is_some()
    }

    /// From now on it is known which nodes are fake.
    pub(crate) fn nodes_are_listed(&self) {
        self.listed.send_replace(true);
    }

    pub(crate) fn saw(&self, pod: &Pod) {
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()) else { return };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let kind = match (pod.metadata.deletion_timestamp.is_some(), phase) {
            (true, _) => DutyKind::End(stopping::ending(pod)),
            (false, None | Some("" | "Pending")) => DutyKind::Run,
            _ => return,
        };
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let duty = PodDuty {
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
        let _ = self.duties.send(Duty::Pod(duty));
    }
}

/// Whether nobody has said how a node is, or nobody has for so long that Kubernetes no longer believes it
/// (pkg/controller/nodelifecycle). What somebody else says of it stays.
fn has_no_kubelet(node: &Node) -> bool {
    let mut conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    match conditions.find(|condition| condition.type_ == "Ready") {
        None => true,
        Some(ready) => ready.status == "Unknown" && ready.reason.as_deref() == Some("NodeStatusUnknown"),
    }
}

impl KubeletWork {
    /// Does the work until there will be no more.
    pub async fn run(mut self, client: Client, now: Now) {
        if self.listed.wait_for(|listed| *listed).await.is_err() {
            return;
        }
        let heart = tokio::spawn(beat(client.clone(), self.nodes.clone(), Arc::clone(&now)));
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        while let Some(duty) = self.duties.recv().await {
            let node = match &duty {
                Duty::Pod(pod) => &pod.node,
                Duty::Node(node) => node,
            };
            if !self.nodes.lock().contains_key(node) {
                continue;
            }
            let (client, now, turns) = (client.clone(), Arc::clone(&now), Arc::clone(&turns));
            let nodes = self.nodes.clone();
            tokio::spawn(async move {
                if let Duty::Pod(PodDuty { kind: DutyKind::End(Some(ending)), .. }) = &duty {
                    tokio::time::sleep(ending.left(now())).await;
                }
                do_until_done(&client, &duty, &nodes, &turns, &now).await;
            });
        }
        heart.abort();
    }
}

/// Does a duty, as often as it takes while its node is there: nobody tells of a pod again that waits for its kubelet.
async fn do_until_done(client: &Client, duty: &Duty, nodes: &Owned, turns: &Semaphore, now: &Now) {
    let (mut pause, mut conflicts) = (PAUSE, 0);
    loop {
        let (node, done) = {
            // Never closed.
            let _turn = turns.acquire().await;
            match duty {
                Duty::Pod(pod) => (&pod.node, fulfil(client, pod, now).await),
                Duty::Node(node) => (node, stand_up(client, node, now).await),
            }
        };
        let Err(error) = done else { return };
        // Somebody was quicker, or it is another one of its name.
        conflicts += u32::from(error.code() == Some(409));
        if conflicts > CONFLICTS {
            return;
        }
        tracing::warn!(node, "the kubelet stand-in: {error}");
        if !error.may_pass() || !nodes.lock().contains_key(node) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Says of a node that it is ready.
async fn stand_up(client: &Client, node: &str, now: &Now) -> Result<(), ClusterError> {
    let since = moment(now())?;
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": "",
            "lastHeartbeatTime": since, "lastTransitionTime": since})
    };
    let patch = json!({"status": {"conditions": [
        condition("Ready", "True", "KubeletReady"),
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID"),
    ]}});
    let nodes: Api<Node> = Api::all(client.clone());
    match nodes.patch_status(node, &PatchParams::default(), &Patch::Strategic(&patch)).await {
        Err(error) if code(&error) == Some(404) => Ok(()),
        done => done.map(drop).map_err(ClusterError::api("seeing to a node")),
    }
}

async fn fulfil(client: &Client, duty: &PodDuty, now: &Now) -> Result<(), ClusterError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &duty.namespace);
    let done = match duty.kind {
        DutyKind::End(_) => {
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
        Err(error) if code(&error) == Some(404) => Ok(()),
        done => done.map_err(ClusterError::api("seeing to a pod")),
    }
}

/// Renews the Lease of each node, by which the cluster sees that it lives.
async fn beat(client: Client, nodes: Owned, now: Now) {
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    // Whose Lease was renewed since the last full beat. Before the next it is the turn of those that failed or are new.
    let mut alive: BTreeSet<String> = BTreeSet::new();
    for beat in 0_u32.. {
        if beat.is_multiple_of(BEATS) {
            alive.clear();
        }
        let due: Vec<(String, Option<String>)> = nodes
            .lock()
            .iter()
            .filter(|(name, _)| !alive.contains(*name))
            .map(|(name, uid)| (name.clone(), uid.clone()))
            .collect();
        let mut renewals = futures::stream::iter(due)
            .map(|(node, uid)| {
                let (leases, now) = (&leases, &now);
                async move { renew(leases, &node, uid.as_deref(), now).await.map(|()| node) }
            })
            .buffer_unordered(AT_ONCE);
        let mut failures = 0;
        let mut example = None;
        while let Some(renewal) = renewals.next().await {
            match renewal {
                Ok(node) => drop(alive.insert(node)),
                Err(error) => {
                    failures += 1;
                    example.get_or_insert(error);
                }
            }
        }
        drop(renewals);
        if let Some(error) = example {
            tracing::warn!(nodes = failures, "the kubelet stand-in: {error}");
        }
        tokio::time::sleep(HEARTBEAT / BEATS).await;
    }
}

async fn renew(leases: &Api<Lease>, node: &str, uid: Option<&str>, now: &Now) -> Result<(), ClusterError> {
    let renewed = format!("{:.6}", crate::timestamp(now())?);
    // As little as possible is sent to and fro, since thousands of nodes do this all the time.
    let patch = Patch::Merge(json!({"spec": {"renewTime": renewed}}));
    match leases.patch_metadata(node, &PatchParams::default(), &patch).await {
        Err(error) if code(&error) == Some(404) => {}
        done => return done.map(drop).map_err(ClusterError::api("renewing a Lease")),
    }
    // So that it goes with its node.
    let owner = uid.map(|uid| json!({"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}));
    let owners: Vec<serde_json::Value> = owner.into_iter().collect();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": node, "namespace": "kube-node-lease", "ownerReferences": owners},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": renewed},
    });
    let params = PatchParams::apply("purser-kubelet").force();
    leases.patch(node, &params, &Patch::Apply(&lease)).await.map_err(ClusterError::api("making a Lease"))?;
    Ok(())
}
