//! The control plane itself: that it is real, and what tests can do to it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

// What runs is read from /proc.
#[cfg(target_os = "linux")]
mod ending;

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use purser_plane::{Component, Plane};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

async fn start() -> Plane {
    Plane::start().await.unwrap_or_else(|error| panic!("{error}"))
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Waits until something holds.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} did not come about");
}

/// A node without a kubelet: it is ready since it says so.
fn node(name: &str) -> Node {
    let amounts = json!({"cpu": "4", "memory": "8Gi", "pods": "20"});
    object(json!({
        "metadata": {"name": name},
        "status": {
            "capacity": amounts, "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": "",
                "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_scheduler_binds_the_pods_of_a_deployment() {
    let plane = start().await;
    let client = plane.client().await.unwrap();
    let deployment: Deployment = object(json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": "1"}}}]},
            },
        },
    }));
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let count = async |wanted: &dyn Fn(&Pod) -> bool| {
        let pods = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
        pods.items.iter().filter(|pod| wanted(pod)).count()
    };
    let unschedulable = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.filter_map(|condition| condition.reason.as_deref()).any(|reason| reason == "Unschedulable")
    };
    until("three pods that wait for a node", async || count(&unschedulable).await == 3).await;

    let nodes: Api<Node> = Api::all(client);
    nodes.create(&PostParams::default(), &node("n1")).await.unwrap();
    let on_node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some("n1");
    until("three pods on the node", async || count(&on_node).await == 3).await;
}

fn config(name: &str) -> ConfigMap {
    object(json!({"metadata": {"name": name}}))
}

async fn exists(client: &Client, name: &str) -> bool {
    let configs: Api<ConfigMap> = Api::default_namespaced(client.clone());
    configs.get_opt(name).await.unwrap().is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_fail_and_time_goes_back() {
    let mut plane = start().await;
    let client = plane.client().await.unwrap();
    let configs: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let create = async |name: &str| {
        let created = configs.create(&PostParams::default(), &config(name)).await.unwrap();
        created.metadata.resource_version.unwrap().parse::<u64>().unwrap()
    };
    create("before").await;
    let snapshot = plane.snapshot().await.unwrap();
    let first = create("after").await;

    plane.kill(Component::ApiServer).unwrap();
    plane.run(Component::ApiServer).await.unwrap();
    assert!(exists(&client, "before").await && exists(&client, "after").await);

    plane.restore(&snapshot).await.unwrap();
    assert!(exists(&client, "before").await && !exists(&client, "after").await);
    let again = create("again").await;
    assert!(again < first + 100, "revisions are given out anew: {first}, then {again}");
}
