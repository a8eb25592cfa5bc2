//! Static NodePools: so many nodes as they ask for, whatever pods do, and no more than their limit.

use kube::api::{Patch, PatchParams};

use super::case::{Case, pool};
use super::*;

const POOL: (&str, &str, &str) = ("karpenter.sh/v1", "NodePool", "general");

fn static_pool(replicas: u32) -> Value {
    let mut pool = pool(json!([{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]));
    let spec = pool["spec"].as_object_mut().unwrap();
    // A static pool is not consolidated.
    spec.remove("disruption");
    spec.insert("replicas".to_owned(), json!(replicas));
    spec.insert("limits".to_owned(), json!({"nodes": "3"}));
    pool
}

/// A pod for one node, as nobody but a user may stop it.
fn held_pod(node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "held", "labels": {"app": "held"}, "annotations": {"karpenter.sh/do-not-disrupt": "true"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "nodeSelector": {"kubernetes.io/hostname": node},
            "containers": [{"name": "c", "image": "none"}],
        },
    })
}

#[tokio::test]
async fn a_static_pool_has_the_nodes_that_it_asks_for() {
    let case = Case::start("StaticCapacity=true", &[static_pool(2)]).await;
    let pools = case.api(POOL.0, POOL.1);
    let scale = async |replicas: u32| {
        let patch = json!({"spec": {"replicas": replicas}});
        pools.patch_scale(POOL.2, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    case.has_nodes(2).await;
    let claims = case.api(POOL.0, "NodeClaim").list(&ListParams::default()).await.unwrap();
    for node in case.nodes().await {
        let claim = claims.iter().find(|claim| claim.name_any() == node.name_any()).unwrap();
        let decision = &claim.annotations()["purser.dev/decision"];
        assert!(decision.parse::<u64>().is_ok(), "{decision}");
        assert_eq!(node.annotations()["purser.dev/decision"], *decision);
    }

    // More than the limit allows.
    scale(9).await;
    case.has_nodes(3).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    case.has_nodes(3).await;
    case.until("the scale that the pool shows", async || {
        pools.get_scale(POOL.2).await.unwrap().status.is_some_and(|status| status.replicas == 3)
    })
    .await;

    let used = case.nodes().await.remove(1).name_any();
    case.make(held_pod(&used)).await;
    case.runs("app=held", 1).await;
    scale(1).await;
    case.has_nodes(1).await;
    assert_eq!(case.nodes().await[0].name_any(), used, "nodes without pods go first");
    assert_eq!(case.pods("app=held").await.len(), 1);

    let pods = case.api("v1", "Pod");
    pods.delete("held", &kube::api::DeleteParams::default()).await.unwrap();
    case.delete(POOL.0, POOL.1, POOL.2).await;
    case.has_nodes(0).await;
    case.until("a pool that is gone", async || pools.get_opt(POOL.2).await.unwrap().is_none()).await;
}
