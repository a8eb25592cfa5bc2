//! NodeClaims that people make, change and delete, and those that another controller left.

use kube::api::DeleteParams;

use super::cluster::Cluster;
use super::*;

/// A claim as people write it, for the class of this name.
fn claim(name: &str, class: &str) -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": name},
        "spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": class},
            "requirements": [
                {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
                {"key": "karpenter.kwok.sh/instance-family", "operator": "In", "values": ["c", "s"],
                    "minValues": 2},
            ],
        },
    })
}

fn provider_id(object: &DynamicObject) -> Option<&str> {
    object.data.pointer("/status/providerID").and_then(Value::as_str)
}

/// The node of a claim, once the claim is ready.
async fn node_of(cluster: &Cluster, name: &str) -> Node {
    let claims = cluster.claims();
    cluster
        .until("a claim that is ready", async || {
            claims.get_opt(name).await.unwrap().is_some_and(|claim| is_true(&claim, "Ready"))
        })
        .await;
    let claim = claims.get(name).await.unwrap();
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    nodes.get(claim.data["status"]["nodeName"].as_str().unwrap()).await.unwrap()
}

async fn until_gone(cluster: &Cluster, claim: &str, node: &str) {
    let (claims, nodes) = (cluster.claims(), Api::<Node>::all(cluster.client.clone()));
    cluster
        .until("the end of a claim and its node", async || {
            claims.get_opt(claim).await.unwrap().is_none() && nodes.get_opt(node).await.unwrap().is_none()
        })
        .await;
}

#[tokio::test]
async fn a_claim_made_by_hand_is_launched_and_goes_with_its_node() {
    let cluster = Cluster::start().await;
    let controller = Controller::start(&cluster.plane, cluster.folder(), 1);
    let (claims, nodes) = (cluster.claims(), Api::<Node>::all(cluster.client.clone()));
    let mut mine = claim("mine", "default");
    mine["metadata"]["labels"] = json!({"custom": "label"});
    mine["metadata"]["annotations"] = json!({"custom": "annotation"});
    mine["spec"]["resources"] = json!({"requests": {"cpu": "3", "memory": "11Gi"}});
    mine["spec"]["taints"] = json!([
        {"key": "one", "effect": "NoSchedule", "value": "x"}, {"key": "two", "effect": "NoExecute"}]);
    create(&claims, mine).await;
    create(&claims, claim("other", "default")).await;

    let node = node_of(&cluster, "mine").await;
    let labels = node.labels();
    assert_eq!(labels["custom"], "label");
    assert_eq!(labels["node.kubernetes.io/instance-type"], "s-4x-amd64-linux", "the cheapest that is enough");
    assert_eq!(labels["karpenter.sh/capacity-type"], "on-demand");
    assert!(!labels.contains_key("karpenter.sh/nodepool"));
    assert_eq!(node.annotations()["custom"], "annotation");
    let taints = node.spec.as_ref().unwrap().taints.clone().unwrap_or_default();
    let taints: Vec<(&str, &str)> =
        taints.iter().map(|taint| (taint.key.as_str(), taint.effect.as_str())).collect();
    assert_eq!(taints, [("one", "NoSchedule"), ("two", "NoExecute")]);
    let made = claims.get("mine").await.unwrap();
    let owner = &node.owner_references()[0];
    assert_eq!((Some(&owner.uid), owner.block_owner_deletion), (made.metadata.uid.as_ref(), Some(true)));
    assert!(made.finalizers().contains(&"karpenter.sh/termination".to_owned()));

    // A claim that is deleted takes its node along, and a node its claim.
    claims.delete("mine", &DeleteParams::default()).await.unwrap();
    until_gone(&cluster, "mine", &node.name_any()).await;
    let node = node_of(&cluster, "other").await;
    nodes.delete(&node.name_any(), &DeleteParams::default()).await.unwrap();
    until_gone(&cluster, "other", &node.name_any()).await;
    controller.stop();
}

#[tokio::test]
async fn a_claim_that_cannot_be_launched_is_given_up() {
    let cluster = Cluster::start().await;
    let controller = Controller::start(&cluster.plane, cluster.folder(), 1);
    let claims = cluster.claims();
    cluster.class("unready", json!({})).await;
    let condition = json!({"type": "Ready", "status": "False", "reason": "Test", "message": "not ready",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"status": {"conditions": [condition]}});
    cluster.classes().patch_status("unready", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let mut huge = claim("huge", "default");
    huge["spec"]["resources"] = json!({"requests": {"cpu": "1000"}});
    create(&claims, huge).await;
    create(&claims, claim("of-none", "none")).await;
    create(&claims, claim("of-unready", "unready")).await;
    // Its status says that it is a node, of an instance that there is not.
    create(&claims, claim("odd", "default")).await;
    let now = "2026-01-01T00:00:00Z";
    let is_true = ["Launched", "Registered", "Initialized"].map(|kind| {
        json!({"type": kind, "status": "True", "reason": kind, "message": "", "lastTransitionTime": now})
    });
    let status = json!({"status": {"providerID": "Provider:///AZ/i-01234567890123456", "nodeName": "odd",
        "conditions": is_true}});
    claims.patch_status("odd", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let gone = async || {
        let left = claims.list(&ListParams::default()).await.unwrap().items;
        left.iter().all(|claim| claim.name_any() == "odd")
    };
    cluster.until("claims that are given up", gone).await;
    controller.stop();
}

#[tokio::test]
async fn a_launch_is_told_at_once_and_its_node_comes_later() {
    let cluster = Cluster::start().await;
    cluster.class("slow", json!({"nodeRegistrationDelay": "12s"})).await;
    let controller = Controller::start(&cluster.plane, cluster.folder(), 1);
    let (claims, nodes) = (cluster.claims(), Api::<Node>::all(cluster.client.clone()));
    create(&claims, claim("mine", "slow")).await;
    cluster
        .until("a claim that is launched", async || is_true(&claims.get("mine").await.unwrap(), "Launched"))
        .await;
    assert_eq!(provider_id(&claims.get("mine").await.unwrap()), Some("kwok://mine"));
    assert!(nodes.get_opt("mine").await.unwrap().is_none(), "its Node is still to come");
    // Whoever takes over makes it.
    controller.kill();
    let controller = Controller::start(&cluster.plane, cluster.folder(), 2);
    node_of(&cluster, "mine").await;
    controller.stop();
}

#[tokio::test]
async fn a_controller_that_lost_its_log_takes_over_what_is_there() {
    let cluster = Cluster::start().await;
    let client = &cluster.client;
    let (claims, nodes) = (cluster.claims(), Api::<Node>::all(client.clone()));
    let pools = any(client, "karpenter.sh", "v1", "NodePool");
    create(
        &pools,
        json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "general"},
            "spec": {"template": {"spec": {
                "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
                "requirements": [
                    {"key": "node.kubernetes.io/instance-type", "operator": "In",
                        "values": ["c-4x-amd64-linux"]}],
            }}},
        }),
    )
    .await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = async |name: &str| {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [
                {"name": "c", "image": "none", "resources": {"requests": {"cpu": "1"}}}]}});
        pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    };
    let runs = async |name: &str| {
        let pod = pods.get(name).await.unwrap();
        pod.status.and_then(|status| status.phase).as_deref() == Some("Running")
    };
    let first = Controller::start(&cluster.plane, cluster.folder(), 1);
    pod("a").await;
    cluster.until("a pod that runs", async || runs("a").await).await;
    let initialized = async || {
        let all = claims.list(&ListParams::default()).await.unwrap().items;
        all.len() == 1 && all.iter().all(|claim| is_true(claim, "Initialized"))
    };
    cluster.until("a claim that is set up", initialized).await;
    first.kill();
    let before = claims.list(&ListParams::default()).await.unwrap().items.remove(0);
    // An instance of nobody, too.
    let stray = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "stray", "labels": {
        "kwok.x-k8s.io/node": "fake", "karpenter.sh/nodepool": "general"}},
        "spec": {"providerID": "kwok://stray"}});
    nodes.create(&PostParams::default(), &serde_json::from_value(stray).unwrap()).await.unwrap();
    let arguments = ["--garbage-collect-after", "2s"];
    let second = Controller::start_with(&cluster.plane, cluster.folder(), 2, "another", &arguments);
    pod("b").await;
    cluster.until("a pod that runs beside the other", async || runs("b").await).await;
    cluster.until("the end of the stray", async || nodes.get_opt("stray").await.unwrap().is_none()).await;
    let after = claims.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(after.len(), 1);
    assert_eq!(
        (after[0].metadata.uid.as_ref(), after[0].annotations()),
        (before.uid().as_ref(), before.annotations())
    );

    // Its instance vanishes, and so it goes; the pods get another.
    let name = before.name_any();
    let free = json!({"metadata": {"finalizers": null}});
    nodes.patch(&name, &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
    nodes.delete(&name, &DeleteParams::default()).await.unwrap();
    cluster.until("the end of its claim", async || claims.get_opt(&name).await.unwrap().is_none()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    second.stop();
    let reader = Reader::open(&cluster.folder().join("another"), Arc::new(Purser)).unwrap();
    let events: Vec<Event> = Events::read(&reader, Seq(0)).map(|record| record.unwrap().event).collect();
    let adopted = |event: &&Event| matches!(event, Event::Decision(Decision::Adopt { .. }));
    assert_eq!(events.iter().filter(adopted).count(), 1);
}
