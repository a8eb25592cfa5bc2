//! `purser run` against a real control plane: pods get nodes, nodes without pods go, and a controller that is killed goes on.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says with what")]

mod buffers;
mod case;
mod churn;
mod claims;
mod cluster;
mod devices;
mod draining;
mod edge;
mod faults;
mod kinds;
mod pools;
mod static_pools;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use purser_engine::event::{Decision, Event, Fact, Seq};
use purser_engine::model::{ClaimName, InstanceId, PodKey};
use purser_engine::reexecute::{Logged, Reexecution};
use purser_events::journal::{Reader, VerifyOptions, verify};
use purser_events::wire::{Events, Purser};
use purser_plane::Plane;
use serde_json::{Value, json};

const PODS: usize = 12;

/// The controller; killed with the test, if it ends before.
struct Controller(Child);

impl Controller {
    fn start(plane: &Plane, folder: &Path, number: u32) -> Self {
        Self::start_with(plane, folder, number, "journal", &[])
    }

    /// Starts it with a journal of this name, and more arguments.
    fn start_with(plane: &Plane, folder: &Path, number: u32, journal: &str, arguments: &[&str]) -> Self {
        let log = File::create(folder.join(format!("log-{number}"))).unwrap();
        let mut command = purser_run(&plane.kubeconfig(), &folder.join(journal), [0, 0]);
        // A replica that was killed leaves its lease behind, and tests have no time to wait for it.
        command.arg("--disable-leader-election").args(arguments).stderr(log);
        Self(command.spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    fn stop(mut self) {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(asked.success());
        assert!(self.0.wait().unwrap().success(), "a controller that is told to stop ends in good order");
    }

    fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

/// A control plane with our custom resources, but for these definitions.
async fn plane(missing: &[&str]) -> (Plane, Client) {
    let mut plane = Plane::start().await.unwrap_or_else(|error| panic!("{error}"));
    plane.install(definitions().filter(|one| !missing.contains(&name_of(one)))).await.unwrap();
    let client = plane.client().await.unwrap();
    (plane, client)
}

fn definitions() -> impl Iterator<Item = Value> {
    purser_api::crd::definitions().into_iter().map(|definition| definition.object)
}

fn name_of(definition: &Value) -> &str {
    definition["metadata"]["name"].as_str().unwrap()
}

/// The command of a controller with this journal, and these ports for metrics and probes.
fn purser_run(kubeconfig: &Path, journal: &Path, [metrics, probes]: [u16; 2]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_purser"));
    command.args(["run", "--provider", "kwok", "--kubeconfig"]).arg(kubeconfig).arg("--journal").arg(journal);
    command.args(["--metrics-port", &metrics.to_string(), "--health-probe-port", &probes.to_string()]);
    command
}

fn any(client: &Client, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)))
}

async fn create(api: &Api<DynamicObject>, manifest: Value) {
    api.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await.unwrap();
}

/// Waits until something holds; if it does not come about, shows what the controller said.
async fn until(what: &str, folder: &Path, holds: impl AsyncFn() -> bool) {
    // One that nobody claims may be listed for two minutes before that counts, is found within two more, and collected after another.
    for _ in 0..3_600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let logs = (1..=2).filter_map(|n| std::fs::read_to_string(folder.join(format!("log-{n}"))).ok());
    panic!("{what} did not come about; the controller said:\n{}", logs.collect::<String>());
}

fn is_true(object: &DynamicObject, condition: &str) -> bool {
    let conditions = object.data.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|one| one["type"] == condition && one["status"] == "True")
}

#[tokio::test]
async fn pods_get_nodes_and_empty_nodes_go_though_the_controller_is_killed() {
    let (plane, client) = plane(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();

    let classes = any(&client, "karpenter.kwok.sh", "v1alpha1", "KWOKNodeClass");
    create(
        &classes,
        json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
        "metadata": {"name": "default"}, "spec": {}}),
    )
    .await;
    let pools = any(&client, "karpenter.sh", "v1", "NodePool");
    create(&pools, json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "general"},
        "spec": {
            "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "1s"},
            "template": {
                "metadata": {"labels": {"team": "a"}, "annotations": {"note": "kept"}},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
                    "requirements": [
                        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                        {"key": "karpenter.kwok.sh/instance-size", "operator": "Lt", "values": ["5"]},
                    ],
                },
            },
        },
    })).await;
    let deployments = Api::<DynamicObject>::default_namespaced_with(
        client.clone(),
        &ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment")),
    );
    let controller = Controller::start(&plane, folder, 1);
    create(
        &deployments,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {
                "replicas": PODS, "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [
                        {"name": "c", "image": "none", "resources": {"requests": {"cpu": "1"}}}]},
                },
            },
        }),
    )
    .await;

    let claims = any(&client, "karpenter.sh", "v1", "NodeClaim");
    let nodes: Api<Node> = Api::all(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let all = ListParams::default();

    // In the middle of the launches, or right behind them.
    until("a first NodeClaim", folder, async || !claims.list(&all).await.unwrap().items.is_empty()).await;
    controller.kill();
    let controller = Controller::start(&plane, folder, 2);

    let running = async || {
        let pods = pods.list(&all).await.unwrap().items;
        let runs = |pod: &&Pod| {
            pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
                && pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
        };
        pods.iter().filter(runs).count() == PODS
    };
    until("pods that all run", folder, running).await;
    let steps = ["Launched", "Registered", "Initialized", "Ready"];
    until("claims with every condition true", folder, async || {
        let claims = claims.list(&all).await.unwrap().items;
        !claims.is_empty() && claims.iter().all(|claim| steps.iter().all(|step| is_true(claim, step)))
    })
    .await;
    let made = claims.list(&all).await.unwrap().items;
    let there = nodes.list(&all).await.unwrap().items;
    assert_eq!(made.len(), there.len(), "a node for each claim");
    for node in &there {
        let labels = node.labels();
        assert_eq!(labels["karpenter.sh/nodepool"], "general");
        assert_eq!(labels["karpenter.sh/initialized"], "true");
        assert_eq!(labels["team"], "a");
        assert_eq!(node.annotations()["note"], "kept");
        assert!(node.owner_references().iter().any(|owner| owner.kind == "NodeClaim"));
        assert!(node.spec.as_ref().unwrap().taints.is_none(), "{:?}", node.spec);
    }
    for claim in &made {
        assert_eq!(claim.annotations()["karpenter.sh/nodepool-hash-version"], "v3");
        assert_eq!(claim.data["status"]["nodeName"], claim.name_any().as_str());
        assert!(claim.owner_references().iter().any(|owner| owner.kind == "NodePool"));
    }

    let none = json!({"spec": {"replicas": 0}});
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(&none)).await.unwrap();
    until("a cluster without nodes and claims", folder, async || {
        nodes.list(&all).await.unwrap().items.is_empty() && claims.list(&all).await.unwrap().items.is_empty()
    })
    .await;
    controller.stop();
    let launched = every_decision_is_right_and_no_claim_is_launched_twice(&folder.join("journal"));
    let names: Vec<String> = made.iter().map(ResourceExt::name_any).collect();
    assert_eq!(launched.len(), names.len(), "{launched:?} were launched, and {names:?} were there");
}

fn every_decision_is_right_and_no_claim_is_launched_twice(journal: &Path) -> BTreeMap<ClaimName, InstanceId> {
    let Launches { decided, instances, .. } = every_decision_is_right(journal);
    assert_eq!(decided.len(), instances.len(), "each launch that was decided has its one instance");
    instances
}

/// What a journal says was launched.
struct Launches {
    decided: BTreeSet<ClaimName>,
    /// Without those of which nothing was heard before the controller was killed.
    instances: BTreeMap<ClaimName, InstanceId>,
    /// Claims that were launched again after their instance was gone.
    again: BTreeSet<ClaimName>,
    /// Pods that were bound to nodes which were about to vanish: by a scheduler that had not heard of their marks yet.
    lost: BTreeSet<PodKey>,
}

/// Verifies a journal, in which no claim is launched twice, and takes its decisions again.
fn every_decision_is_right(journal: &Path) -> Launches {
    let launches = decided_again(journal);
    assert!(launches.again.is_empty(), "{:?} were launched again", launches.again);
    launches
}

/// Verifies a journal, in which no claim has two instances at a time, and takes its decisions again.
fn decided_again(journal: &Path) -> Launches {
    let report = verify(journal, &VerifyOptions::new(Arc::new(Purser)), &mut |_, _| {}).unwrap();
    assert!(report.findings.is_empty(), "{}: {:?}", journal.display(), report.findings);
    let reader = Reader::open(journal, Arc::new(Purser)).unwrap();
    let mut again = Reexecution::default();
    let mut launches = Launches {
        decided: BTreeSet::new(),
        instances: BTreeMap::new(),
        again: BTreeSet::new(),
        lost: BTreeSet::new(),
    };
    let (mut bound, mut vanishing, mut gone) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for record in Events::read(&reader, Seq(0)) {
        let record = record.unwrap();
        match &record.event {
            Event::Fact(Fact::InstanceLaunched { claim, instance, .. }) => {
                if let Some(before) = launches.instances.insert(claim.clone(), instance.clone()) {
                    assert!(gone.remove(&before), "{claim} was launched twice");
                    launches.again.insert(claim.clone());
                }
            }
            Event::Fact(Fact::InstanceGone { instance }) => {
                gone.insert(instance.clone());
            }
            Event::Fact(Fact::PodBound { pod, node } | Fact::PodObserved { pod, node: Some(node), .. }) => {
                let is_first = bound.insert(pod.clone());
                if is_first && vanishing.contains(node.as_str()) {
                    launches.lost.insert(pod.clone());
                }
            }
            // A node has the name of its claim.
            Event::Decision(Decision::Terminate { claim, .. }) => {
                vanishing.insert(claim.to_string());
            }
            Event::Decision(Decision::Launch { claim, .. }) => {
                assert!(launches.decided.insert(claim.clone()), "{claim} was decided upon twice");
            }
            _ => {}
        }
        let logged =
            Logged { seq: record.seq, time: record.time, commit: record.commit, event: record.event };
        again.feed(&logged).unwrap_or_else(|divergence| panic!("{}: {divergence:#?}", journal.display()));
    }
    launches
}
