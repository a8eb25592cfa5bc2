//! Workloads of all kinds, volumes and overlays: the scheduler binds every pod to nodes that were made for it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Event;
use purser_plane::Component;

use super::case::{Case, deployment, is_running, label_of, pool, with_pods};
use super::*;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOST: &str = "kubernetes.io/hostname";

fn linux() -> Value {
    json!([{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
        {"key": "karpenter.kwok.sh/instance-size", "operator": "Lt", "values": ["9"]}])
}

#[tokio::test]
async fn every_pod_of_every_kind_gets_its_node() {
    // Without a request of its own, a daemon pod asks for what its namespace gives it: more than the smallest nodes have.
    let range = json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "range"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "2"}}]}});
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"},
        "value": 1000, "globalDefault": false});
    let daemons = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "logs"}, "spec": {
        "selector": {"matchLabels": {"app": "logs"}},
        "template": {"metadata": {"labels": {"app": "logs"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "priorityClassName": "high",
            "containers": [{"name": "c", "image": "none", "resources": {"limits": {"memory": "100Mi"}}}]}}}});
    let case = Case::start("", &[pool(linux()), range, class, daemons]).await;
    case.make(deployment("first", 1, "10m", json!({}))).await;
    case.runs("app=first", 1).await;
    case.until("a daemon pod beside it", async || {
        let daemons = case.pods("app=logs").await;
        !daemons.is_empty() && daemons.iter().all(is_running)
    })
    .await;
    assert_eq!(case.nodes().await.len(), 1);

    // Without a least number of zones the scheduler is content with those whose nodes are there first.
    let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "minDomains": 4, "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "spread"}}}]});
    case.make(deployment("spread", 8, "500m", spread)).await;
    case.make(deployment(
        "apart",
        3,
        "100m",
        json!({"affinity": with_pods("podAntiAffinity", "apart", HOST)}),
    ))
    .await;
    case.make(deployment(
        "together",
        3,
        "100m",
        json!({"affinity": with_pods("podAffinity", "together", ZONE)}),
    ))
    .await;
    let port = json!({"containers": [{"name": "c", "image": "none", "ports": [{"containerPort": 80, "hostPort": 8080}],
        "resources": {"requests": {"cpu": "100m"}}}]});
    case.make(deployment("ports", 2, "100m", port)).await;
    case.make(deployment("urgent", 2, "300m", json!({"priorityClassName": "high"}))).await;
    let gate = json!({"schedulingGates": [{"name": "example.com/wait"}],
        "nodeSelector": {"kubernetes.io/arch": "arm64"}});
    case.make(deployment("gated", 1, "100m", gate)).await;
    // One list for all: to make room for an urgent pod, the scheduler may send one away that ran before, and another takes its place.
    let wanted = [("apart", 3), ("first", 1), ("ports", 2), ("spread", 8), ("together", 3), ("urgent", 2)];
    case.until("pods of all kinds that run", async || {
        let pods = case.pods("app,app notin (logs, gated)").await;
        let count = |app: &str| pods.iter().filter(|pod| pod.labels()["app"] == app).count();
        pods.iter().all(is_running) && wanted.iter().all(|(app, wanted)| count(app) == *wanted)
    })
    .await;
    // While nodes and pods come, some nodes are empty for a moment; what the scheduler sends there then may stay.
    let events: Api<Event> = Api::default_namespaced(case.client.clone());
    let of_workload = |event: &Event| {
        let name = event.involved_object.name.as_deref().unwrap_or_default();
        event.reason.as_deref() == Some("Evicted") && !name.starts_with("logs-")
    };
    let told = events.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(told.into_iter().find(of_workload), None);
    let per_zone = |nodes: &[Node]| {
        let mut zones: BTreeMap<String, usize> = BTreeMap::new();
        nodes.iter().for_each(|node| *zones.entry(label_of(node, ZONE).to_owned()).or_default() += 1);
        zones
    };
    assert_eq!(per_zone(&case.nodes_of("app=spread").await).into_values().collect::<Vec<_>>(), [2; 4]);
    assert_eq!(per_zone(&case.nodes_of("app=together").await).len(), 1);
    for apart in ["app=apart", "app=ports"] {
        let nodes = case.nodes_of(apart).await;
        assert_eq!(nodes.iter().map(ResourceExt::name_any).collect::<BTreeSet<_>>().len(), nodes.len());
    }
    assert!(case.pods("app=gated").await.iter().all(|pod| !is_running(pod)));
    let open = json!({"spec": {"schedulingGates": null}});
    let pods: Api<Pod> = Api::default_namespaced(case.client.clone());
    // Kubernetes deletes a pod that comes to a node of which its taint manager has not heard yet that the mark of the unregistered is gone.
    // The one that takes its place has a gate again.
    case.until("a pod that runs once its gate is open", async || {
        let all = case.pods("app=gated").await;
        for pod in
            all.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.scheduling_gates.is_some()))
        {
            let patched = pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&open)).await;
            assert!(patched.is_ok() || pods.get_opt(&pod.name_any()).await.unwrap().is_none(), "{patched:?}");
        }
        matches!(&*all, [pod] if is_running(pod))
    })
    .await;
    assert_eq!(label_of(&case.nodes_of("app=gated").await[0], "kubernetes.io/arch"), "arm64");

    case.until("a daemon pod that runs on each node", async || {
        let daemons = case.pods("app=logs").await;
        daemons.len() == case.nodes().await.len() && daemons.iter().all(is_running)
    })
    .await;
    for app in ["first", "spread", "apart", "together", "ports", "urgent", "gated"] {
        case.delete("apps/v1", "Deployment", app).await;
    }
    case.has_nodes(0).await;
}

/// A PersistentVolume in a zone, for a claim that is named or for whichever comes with the class.
fn volume(name: &str, zone: &str, class: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "persistentVolumeReclaimPolicy": "Retain", "csi": {"driver": "test.csi.example.com", "volumeHandle": name},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
            {"key": ZONE, "operator": "In", "values": [zone]}]}]}}}})
}

fn claim(name: &str, class: &str, volume: Option<&str>) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": class, "volumeName": volume}})
}

fn uses(claim: &str) -> Value {
    json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]})
}

#[tokio::test]
async fn pods_go_where_their_volumes_are_and_where_overlays_make_it_cheap() {
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"},
        "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["test-zone-c"]}]}]});
    let case = Case::start("NodeOverlay=true", &[pool(linux()), class]).await;
    // The pod first, then the claim, then its volume.
    case.make(deployment("bound", 1, "100m", uses("bound"))).await;
    case.make(claim("bound", "", Some("bound"))).await;
    case.make(volume("bound", "test-zone-b", "")).await;
    case.make(volume("late", "test-zone-c", "late")).await;
    case.make(claim("late", "late", None)).await;
    case.make(deployment("late", 1, "100m", uses("late"))).await;
    for (app, zone) in [("bound", "test-zone-b"), ("late", "test-zone-c")] {
        case.runs(&format!("app={app}"), 1).await;
        assert_eq!(label_of(&case.nodes_of(&format!("app={app}")).await[0], ZONE), zone);
    }

    let overlay = |name: &str, spec: Value| json!({"apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlay", "metadata": {"name": name}, "spec": spec});
    let on = |arch: &str| json!([{"key": "kubernetes.io/arch", "operator": "In", "values": [arch]}]);
    case.make(overlay("arm", json!({"requirements": on("arm64"), "priceAdjustment": "-50%"}))).await;
    case.make(overlay("amd", json!({"requirements": on("amd64"), "capacity": {"example.com/fuse": "3"}})))
        .await;
    case.make(overlay("other", json!({"requirements": on("arm64"), "price": "9"}))).await;
    let overlays = case.api("karpenter.sh/v1alpha1", "NodeOverlay");
    for (name, ready, reason) in [
        ("amd", "True", "ValidationSucceeded"),
        ("other", "True", "ValidationSucceeded"),
        ("arm", "False", "Conflict"),
    ] {
        case.until(&format!("the status of NodeOverlay {name}"), async || {
            let overlay = overlays.get(name).await.unwrap();
            let all = overlay.data.pointer("/status/conditions").and_then(Value::as_array).cloned();
            let all = all.unwrap_or_default();
            let is =
                |kind: &str| all.iter().find(|one| one["type"] == kind && one["status"] == ready).cloned();
            is("Ready").is_some() && is("ValidationSucceeded").is_some_and(|one| one["reason"] == reason)
        })
        .await;
    }
    case.delete("karpenter.sh/v1alpha1", "NodeOverlay", "other").await;
    case.until("an overlay that conflicts no more", async || {
        is_true(&overlays.get("arm").await.unwrap(), "Ready")
    })
    .await;
    case.make(deployment("cheap", 1, "1500m", json!({}))).await;
    case.runs("app=cheap", 1).await;
    assert_eq!(label_of(&case.nodes_of("app=cheap").await[0], "kubernetes.io/arch"), "arm64");
    for app in ["bound", "late", "cheap"] {
        case.delete("apps/v1", "Deployment", app).await;
    }
    case.has_nodes(0).await;
}

/// What a scheduler is told for pods without constraints of their own.
const DEFAULTS: &str = r#"{"defaultConstraints": [
    {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3}]}"#;

#[tokio::test]
async fn pods_without_constraints_are_spread_as_the_scheduler_is_told() {
    let mut case = Case::prepare(&[], "", &[pool(linux())]).await;
    let mut arguments: Value = serde_json::from_str(DEFAULTS).unwrap();
    let spread = json!({"podTopologySpread": arguments}).to_string();
    arguments["defaultingType"] = json!("List");
    let scheduler = json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": case.kubeconfig}, "leaderElection": {"leaderElect": false},
        "profiles": [{"schedulerName": "default-scheduler",
            "pluginConfig": [{"name": "PodTopologySpread", "args": arguments}]}],
    });
    let file = case.folder().join("scheduler.json");
    std::fs::write(&file, scheduler.to_string()).unwrap();
    let plane = case.plane();
    plane.kill(Component::Scheduler).unwrap();
    plane.add_argument(Component::Scheduler, format!("--config={}", file.display()));
    plane.run(Component::Scheduler).await.unwrap();
    case.arguments.extend(["--disable-leader-election".to_owned(), format!("--scheduler-config={spread}")]);
    case.restart();

    // One node would have room for all of them.
    case.make(deployment("web", 3, "100m", json!({}))).await;
    case.runs("app=web", 3).await;
    let nodes = case.nodes_of("app=web").await;
    let zones: BTreeSet<&str> = nodes.iter().map(|node| label_of(node, ZONE)).collect();
    assert_eq!(zones.len(), 3);
    case.has_nodes(3).await;
    let folder = case.stop();
    every_decision_is_right(&folder.join("journal"));
}
