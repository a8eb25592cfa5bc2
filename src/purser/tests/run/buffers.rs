//! CapacityBuffers: room is launched, kept, used and launched again, and their status says so.

use super::case::{Case, deployment, pool, with_pods};
use super::*;

const BUFFER: [&str; 2] = ["autoscaling.x-k8s.io/v1beta1", "CapacityBuffer"];

fn buffer(name: &str, spec: Value) -> Value {
    json!({"apiVersion": BUFFER[0], "kind": BUFFER[1], "metadata": {"name": name}, "spec": spec})
}

fn template(name: &str, cpu: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": name}, "template": {"spec": {"containers": [
        {"name": "c", "image": "none", "resources": {"requests": {"cpu": cpu, "memory": "512Mi"}}}]}}})
}

/// Two cores: with what the node keeps for itself, there is room for one pod of one core.
fn small() -> Value {
    json!([{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c-2x-amd64-linux", "c-2x-arm64-linux"]}])
}

impl Case {
    async fn status(&self, name: &str) -> Value {
        let buffer = self.api(BUFFER[0], BUFFER[1]).get(name).await.unwrap();
        buffer.data["status"].clone()
    }

    /// Waits until a condition of a buffer is so, and gives its status.
    async fn reports(&self, name: &str, condition: &str, status: &str, reason: &str) -> Value {
        self.until(&format!("{condition} {status} with {reason} of {name}"), async || {
            let now = self.status(name).await;
            let all = now["conditions"].as_array().cloned().unwrap_or_default();
            all.iter()
                .any(|one| one["type"] == condition && one["status"] == status && one["reason"] == reason)
        })
        .await;
        self.status(name).await
    }

    async fn is_provisioned(&self, name: &str) -> Value {
        self.reports(name, "Provisioning", "True", "FitsExistingCapacity").await
    }

    async fn change(&self, [api_version, kind]: [&str; 2], name: &str, patch: Value) {
        self.api(api_version, kind)
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn room_of_a_template_is_kept_used_refilled_and_given_up() {
    let mut case = Case::start("CapacityBuffer=true", &[pool(small()), template("unit", "1")]).await;
    case.make(buffer("spare", json!({"podTemplateRef": {"name": "unit"}, "replicas": 2}))).await;
    let status = case.is_provisioned("spare").await;
    assert_eq!(status["replicas"], 2);
    assert_eq!(status["podTemplateRef"]["name"], "unit");
    assert_eq!(status["provisioningStrategy"], "buffer.x-k8s.io/active-capacity");
    let generation = status["podTemplateGeneration"].as_i64().unwrap();
    case.has_nodes(2).await;

    let more =
        json!([{"name": "c", "image": "none", "resources": {"requests": {"cpu": "1", "memory": "600Mi"}}}]);
    case.change(["v1", "PodTemplate"], "unit", json!({"template": {"spec": {"containers": more}}})).await;
    case.until("the generation of the changed template", async || {
        case.status("spare").await["podTemplateGeneration"].as_i64() > Some(generation)
    })
    .await;

    case.make(deployment("consumer", 1, "1", json!({}))).await;
    case.runs("app=consumer", 1).await;
    case.has_nodes(3).await;
    case.is_provisioned("spare").await;

    // More by limits, then less, and the nodes follow.
    case.change(BUFFER, "spare", json!({"spec": {"replicas": null, "limits": {"cpu": "3"}}})).await;
    case.until("three by limits", async || case.status("spare").await["replicas"] == 3).await;
    case.has_nodes(4).await;
    case.is_provisioned("spare").await;
    case.change(BUFFER, "spare", json!({"spec": {"replicas": 1, "limits": null}})).await;
    case.until("one replica", async || case.status("spare").await["replicas"] == 1).await;
    case.has_nodes(2).await;
    case.is_provisioned("spare").await;
    let names = |nodes: Vec<Node>| nodes.iter().map(ResourceExt::name_any).collect::<Vec<_>>();
    let before = names(case.nodes().await);
    case.restart();
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(names(case.nodes().await), before, "nodes that hold room stay, a restart or not");

    case.delete(BUFFER[0], BUFFER[1], "spare").await;
    case.delete("apps/v1", "Deployment", "consumer").await;
    case.has_nodes(0).await;
}

#[tokio::test]
async fn room_for_a_workload_comes_with_it_and_keeps_its_pods_apart() {
    let mut limited = pool(small());
    limited["spec"]["limits"] = json!({"cpu": "10"});
    let case = Case::start("CapacityBuffer=true", &[limited, template("unit", "1")]).await;
    let of = |percent: Option<u32>, replicas: Option<u32>| json!({"scalableRef": {"apiGroup": "apps", "kind": "Deployment", "name": "web"}, "percentage": percent, "replicas": replicas});
    case.make(buffer("spare", of(None, Some(3)))).await;
    case.reports("spare", "ReadyForProvisioning", "False", "ScalableRefNotFound").await;
    case.reports("spare", "Provisioning", "False", "NotReadyForProvisioning").await;

    let apart = with_pods("podAntiAffinity", "web", "kubernetes.io/hostname");
    case.make(deployment("web", 1, "100m", json!({"affinity": apart}))).await;
    case.runs("app=web", 1).await;
    let status = case.is_provisioned("spare").await;
    assert_eq!((&status["replicas"], &status["podTemplateRef"]), (&json!(3), &Value::Null));
    case.has_nodes(4).await;

    // The other buffer fits in between; beyond the limit there is nothing.
    case.make(buffer("beside", json!({"podTemplateRef": {"name": "unit"}, "replicas": 4}))).await;
    case.is_provisioned("beside").await;
    case.has_nodes(4).await;
    case.change(BUFFER, "beside", json!({"spec": {"replicas": 9}})).await;
    case.has_nodes(5).await;
    case.reports("beside", "Provisioning", "False", "RequiresNewCapacity").await;

    case.delete(BUFFER[0], BUFFER[1], "beside").await;
    case.change(BUFFER, "spare", json!({"spec": of(Some(40), None)})).await;
    case.until("one by percentage", async || case.status("spare").await["replicas"] == 1).await;
    case.change(["apps/v1", "Deployment"], "web", json!({"spec": {"replicas": 3}})).await;
    case.until("two by percentage", async || case.status("spare").await["replicas"] == 2).await;
    case.runs("app=web", 3).await;
    case.is_provisioned("spare").await;
    case.has_nodes(5).await;
    case.delete("apps/v1", "Deployment", "web").await;
    case.reports("spare", "ReadyForProvisioning", "False", "ScalableRefNotFound").await;
    case.has_nodes(0).await;
}

#[tokio::test]
async fn kinds_that_are_missing_are_lived_without_until_they_come() {
    let missing = ["capacitybuffers.autoscaling.x-k8s.io", "nodeoverlays.karpenter.sh"];
    let gates = "CapacityBuffer=true,NodeOverlay=true";
    let objects = [pool(small()), template("unit", "1")];
    let mut case = Case::start_without(&missing, gates, &objects).await;
    case.make(deployment("web", 1, "1", json!({}))).await;
    case.runs("app=web", 1).await;
    assert_eq!(case.says("CapacityBuffer"), 1, "it is said once");
    case.install(&missing).await;
    case.make(buffer("spare", json!({"podTemplateRef": {"name": "unit"}, "replicas": 1}))).await;
    case.is_provisioned("spare").await;
    case.has_nodes(2).await;
}
