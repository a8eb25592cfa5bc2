//! What NodePools show: their class, their nodes, their hash, and what is wrong with them.

use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{Controller, any, create, plane, until};

fn condition<'a>(pool: &'a DynamicObject, kind: &str) -> (&'a str, &'a str) {
    let all = pool.data.pointer("/status/conditions").and_then(Value::as_array);
    let one = all.into_iter().flatten().find(|one| one["type"] == kind);
    let text = |field: &str| one.and_then(|one| one[field].as_str()).unwrap_or("none");
    (text("status"), text("reason"))
}

#[tokio::test]
async fn a_pool_shows_its_class_its_nodes_and_its_hash() {
    let (plane, client) = plane(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let controller = Controller::start(&plane, folder, 1);
    let pools = any(&client, "karpenter.sh", "v1", "NodePool");
    let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
    let pool = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool",
        "metadata": {"name": "general", "annotations": {"karpenter.sh/nodepool-hash-version": "v2"}},
        "spec": {"template": {"spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
            "requirements": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}],
        }}},
    });
    create(&pools, pool).await;
    let is =
        async |kind: &str, says: (&str, &str)| condition(&pools.get("general").await.unwrap(), kind) == says;
    until("a class that is missing", folder, async || {
        is("NodeClassReady", ("False", "NodeClassNotFound")).await
    })
    .await;
    assert!(is("Ready", ("False", "UnhealthyDependents")).await);
    let shown = pools.get("general").await.unwrap();
    assert_eq!(shown.annotations()["karpenter.sh/nodepool-hash-version"], "v3");
    assert!(shown.annotations().contains_key("karpenter.sh/nodepool-hash"));
    assert_eq!(shown.data["status"]["resources"]["cpu"], "0");

    let classes = any(&client, "karpenter.kwok.sh", "v1alpha1", "KWOKNodeClass");
    let class = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
        "metadata": {"name": "default"}, "spec": {}});
    create(&classes, class).await;
    until("a pool that is ready", folder, async || is("Ready", ("True", "Ready")).await).await;

    let pods = kube::Api::<k8s_openapi::api::core::v1::Pod>::default_namespaced(client.clone());
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {"containers": [{"name": "c", "image": "none"}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    until("a pool with a node", folder, async || {
        let pool = pools.get("general").await.unwrap();
        pool.data["status"]["nodes"] == 1 && pool.data["status"]["resources"]["cpu"] == "1"
    })
    .await;
    until("nodes that register", folder, async || {
        is("NodeRegistrationHealthy", ("True", "NodeRegistrationHealthy")).await
    })
    .await;

    let twice = json!({"spec": {"template": {"spec": {"taints": [taint("a"), taint("a")]}}}});
    pools.patch("general", &PatchParams::default(), &Patch::Merge(&twice)).await.unwrap();
    until("a pool that is wrong", folder, async || {
        is("ValidationSucceeded", ("False", "NodePoolValidationFailed")).await
    })
    .await;
    pods.delete("a", &DeleteParams::default()).await.unwrap();
    controller.stop();
}
