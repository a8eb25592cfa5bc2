//! How nodes end: pods leave in groups, take the time that they have, and the claim shows how far it is.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::case::{Case, deployment, pool};
use super::cluster::Cluster;
use super::{Controller, any, create, every_decision_is_right, until};

/// For so many seconds a pod sleeps before it ends.
const SLEEP: i64 = 3;

fn pod(name: &str, class: &str, grace: i64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "priorityClassName": class, "terminationGracePeriodSeconds": grace,
            "containers": [{
                "name": "c", "image": "none",
                "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", format!("sleep {SLEEP}")]}}},
            }],
        },
    })
}

fn condition<'a>(claim: &'a DynamicObject, kind: &str) -> &'a str {
    let all = claim.data.pointer("/status/conditions").and_then(Value::as_array);
    let one = all.into_iter().flatten().find(|one| one["type"] == kind);
    one.and_then(|one| one["status"].as_str()).unwrap_or("none")
}

#[tokio::test]
async fn pods_leave_in_groups_and_take_their_time_until_the_deadline() {
    let cluster = Cluster::start().await;
    let (client, folder) = (cluster.client.clone(), cluster.folder());
    let pools = any(&client, "karpenter.sh", "v1", "NodePool");
    let pool = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "general"},
        "spec": {"template": {"spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
            "requirements": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}],
            "terminationGracePeriod": "20s",
        }}},
    });
    create(&pools, pool).await;
    let controller = Controller::start(&cluster.plane, folder, 1);

    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let mut held = pod("held", "", 10);
    held["metadata"]["annotations"] = json!({"karpenter.sh/do-not-disrupt": "true"});
    for manifest in [pod("web", "", 5), held, pod("critical", "system-cluster-critical", 5)] {
        pods.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await.unwrap();
    }
    let all = ListParams::default();
    let now = async || -> BTreeMap<String, bool> {
        let there = pods.list(&all).await.unwrap();
        there.into_iter().map(|pod| (pod.name_any(), pod.metadata.deletion_timestamp.is_some())).collect()
    };
    let is = |all: &[(&str, bool)]| -> BTreeMap<String, bool> {
        all.iter().map(|(name, leaves)| ((*name).to_owned(), *leaves)).collect()
    };
    let claims = any(&client, "karpenter.sh", "v1", "NodeClaim");
    until("pods that run", folder, async || {
        let there = pods.list(&all).await.unwrap();
        let ready = |pod: &Pod| pod.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"));
        there.items.len() == 3 && there.iter().all(ready)
    })
    .await;
    until("a claim that is consolidatable", folder, async || {
        let claims = claims.list(&all).await.unwrap().items;
        claims.len() == 1 && condition(&claims[0], "Consolidatable") == "True"
    })
    .await;
    let claim = claims.list(&all).await.unwrap().items.remove(0).name_any();

    claims.delete(&claim, &DeleteParams::default()).await.unwrap();
    until("a first pod that leaves", folder, async || {
        now().await == is(&[("critical", false), ("held", false), ("web", true)])
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(now().await, is(&[("critical", false), ("held", false), ("web", true)]), "it takes its time");
    let leaving = claims.get(&claim).await.unwrap();
    assert!(leaving.annotations().contains_key("karpenter.sh/nodeclaim-termination-timestamp"));
    assert_eq!(condition(&leaving, "Drained"), "Unknown");
    until("only what is held", folder, async || now().await == is(&[("critical", false), ("held", false)]))
        .await;
    until("a claim that is gone by its deadline", folder, async || {
        claims.list(&all).await.unwrap().items.is_empty() && now().await.is_empty()
    })
    .await;
    controller.stop();
}

#[tokio::test]
async fn a_node_waits_until_its_volumes_are_detached() {
    let os = json!([{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]);
    let mut case = Case::start("", &[pool(os), deployment("web", 1, "1", json!({}))]).await;
    case.has_nodes(1).await;
    case.runs("app=web", 1).await;
    let node = case.nodes().await.remove(0).name_any();
    // Nothing in this control plane attaches volumes, or detaches them.
    let attachment = |name: &str, node: &str| {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment", "metadata": {"name": name},
            "spec": {"attacher": "csi.example.com", "nodeName": node, "source": {"persistentVolumeName": "pv"}}})
    };
    case.make(attachment("here", &node)).await;
    case.make(attachment("elsewhere", "another")).await;

    let claims = case.api("karpenter.sh/v1", "NodeClaim");
    let claim = claims.list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    case.delete("apps/v1", "Deployment", "web").await;
    claims.delete(&claim, &DeleteParams::default()).await.unwrap();
    let shows = async |status: &str| {
        let claim = claims.get_opt(&claim).await.unwrap();
        claim.is_some_and(|claim| condition(&claim, "VolumesDetached") == status)
    };
    case.until("a claim that waits for its volumes", async || shows("Unknown").await).await;
    case.restart();
    // As long as it takes to remove a node that waits for nothing.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(shows("Unknown").await);
    let waiting = claims.get(&claim).await.unwrap();
    assert_eq!(condition(&waiting, "Drained"), "True");
    let all = waiting.data["status"]["conditions"].as_array().unwrap();
    let reason = all.iter().find(|one| one["type"] == "VolumesDetached").map(|one| one["reason"].clone());
    assert_eq!(reason, Some(json!("AwaitingVolumeDetachment")));
    assert_eq!(case.nodes().await.len(), 1);

    case.delete("storage.k8s.io/v1", "VolumeAttachment", "here").await;
    case.until("a claim that is gone", async || claims.get_opt(&claim).await.unwrap().is_none()).await;
    every_decision_is_right(&case.stop().join("journal"));
}

#[tokio::test]
async fn a_deadline_that_is_written_on_a_claim_passes_over_what_holds_pods() {
    let os = json!([{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]);
    let mut case = Case::start("", &[pool(os)]).await;
    let mut held = pod("held", "", 3_600);
    held["metadata"]["annotations"] = json!({"karpenter.sh/do-not-disrupt": "true"});
    held["metadata"]["labels"] = json!({"app": "held"});
    case.make(held).await;
    case.runs("app=held", 1).await;
    case.has_nodes(1).await;
    let claims = case.api("karpenter.sh/v1", "NodeClaim");
    let claim = claims.list(&ListParams::default()).await.unwrap().items.remove(0).name_any();
    claims.delete(&claim, &DeleteParams::default()).await.unwrap();
    case.until("a claim whose node is emptied", async || {
        claims.get(&claim).await.is_ok_and(|claim| condition(&claim, "Drained") == "Unknown")
    })
    .await;
    // As long as it takes to remove a node whose pods are not held.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(case.pods("app=held").await[0].metadata.deletion_timestamp.is_none());
    let now = json!({"karpenter.sh/nodeclaim-termination-timestamp": Timestamp::now().to_string()});
    let patch = Patch::Merge(json!({"metadata": {"annotations": now}}));
    claims.patch(&claim, &PatchParams::default(), &patch).await.unwrap();
    case.until("a claim that is gone", async || claims.get_opt(&claim).await.unwrap().is_none()).await;
    assert!(case.pods("app=held").await.is_empty());
    every_decision_is_right(&case.stop().join("journal"));
}
