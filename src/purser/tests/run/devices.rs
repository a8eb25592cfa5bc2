//! Pods with resource claims: the scheduler allocates devices, and pods go where those are.

use purser_engine::reason::ReasonId;

use super::case::{Case, deployment, pool};
use super::*;

const DRIVER: &str = "gpu.example.com";

/// What the log says of pods without a place.
const NO_PLACE: &str = "have no place";

fn class() -> Value {
    json!({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"},
        "spec": {"selectors": [{"cel": {"expression": format!("device.driver == '{DRIVER}'")}}]}})
}

/// Claims of one device of this model.
fn template(name: &str, model: &str) -> Value {
    let expression = format!("device.attributes['{DRIVER}'].model == '{model}'");
    json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": name},
        "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": {
            "deviceClassName": "gpu", "selectors": [{"cel": {"expression": expression}}]}}]}}}})
}

/// What a driver publishes of a node: so many devices of this model.
fn slice(node: &str, model: &str, count: usize) -> Value {
    let device = |at: usize| json!({"name": format!("gpu-{at}"), "attributes": {"model": {"string": model}}});
    json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": format!("{node}-gpus")},
        "spec": {"driver": DRIVER, "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": (0..count).map(device).collect::<Vec<_>>()}})
}

/// A Deployment each of whose pods has a claim of a template.
fn claiming(name: &str, replicas: u32, template: &str) -> Value {
    let claims = json!([{"name": "gpu", "resourceClaimTemplateName": template}]);
    let container = json!({"name": "c", "image": "none", "resources": {
        "requests": {"cpu": "100m"}, "claims": [{"name": "gpu"}]}});
    deployment(name, replicas, "100m", json!({"resourceClaims": claims, "containers": [container]}))
}

fn events(case: &mut Case) -> Vec<Event> {
    let folder = case.stop();
    let reader = Reader::open(&folder.join("journal"), Arc::new(Purser)).unwrap();
    Events::read(&reader, Seq(0)).map(|record| record.unwrap().event).collect()
}

/// The last of the pods that have no place, and why.
fn why(event: &Event) -> Option<(&PodKey, ReasonId)> {
    match event {
        Event::Decision(Decision::Unschedulable { pods, reason }) => Some((pods.last()?, reason.id)),
        _ => None,
    }
}

#[tokio::test]
async fn pods_with_claims_go_where_their_devices_are_and_no_needless_node_is_launched() {
    let small = json!([{"key": "karpenter.kwok.sh/instance-size", "operator": "Lt", "values": ["9"]}]);
    let mut case = Case::prepare(&[], "", &[pool(small), class()]).await;
    case.arguments.extend(["--disable-leader-election", "--ignore-dra-requests=false"].map(str::to_owned));
    case.restart();
    case.make(deployment("plain", 1, "500m", json!({}))).await;
    case.runs("app=plain", 1).await;
    case.has_nodes(1).await;
    let node = case.nodes().await[0].name_any();

    // The pods wait before there is a device for them: nothing is launched, and the reason is said.
    case.make(template("large", "large")).await;
    case.make(claiming("web", 2, "large")).await;
    case.until("pods whose devices are not there", async || case.says(NO_PLACE) > 0).await;
    case.make(slice(&node, "large", 2)).await;
    case.runs("app=web", 2).await;
    case.has_nodes(1).await;

    // To a pod that wants another model they are of no use.
    case.restart();
    let said = case.says(NO_PLACE);
    case.make(template("small", "small")).await;
    case.make(claiming("odd", 1, "small")).await;
    case.until("a pod whose devices are not there", async || case.says(NO_PLACE) > said).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    case.has_nodes(1).await;
    let events = events(&mut case);
    let launches = events.iter().filter(|event| matches!(event, Event::Decision(Decision::Launch { .. })));
    assert_eq!(launches.count(), 1, "for the pod without claims");
    let pools = events.iter().filter(|event| matches!(event, Event::Fact(Fact::DevicePoolObserved { .. })));
    assert_eq!(
        pools.count(),
        1,
        "neither claims, nor a restart, nor a question without an answer are news of devices"
    );
    let allocated = |event: &&Event| {
        let facts = match event {
            Event::Fact(Fact::ResourceClaimObserved { facts, .. }) => facts,
            _ => return false,
        };
        matches!(facts, purser_engine::model::ResourceClaim::Allocated(_))
    };
    assert!(events.iter().filter(allocated).count() >= 2);
    let refused = events.iter().filter_map(why);
    let refused: BTreeMap<&str, ReasonId> = refused.map(|(pod, why)| (&pod.name[..3], why)).collect();
    let unavailable = ReasonId::DevicesUnavailable;
    assert_eq!(refused, [("odd", unavailable), ("web", unavailable)].into());
}

#[tokio::test]
async fn claims_are_ignored_unless_they_are_asked_for() {
    let mut case = Case::start("", &[pool(json!([])), class(), template("large", "large")]).await;
    case.make(claiming("web", 1, "large")).await;
    case.until("a pod that is left alone", async || case.says(NO_PLACE) > 0).await;
    assert!(case.nodes().await.is_empty());
    let about_devices = |event: &Event| {
        matches!(
            event,
            Event::Fact(
                Fact::PodClaimsObserved { .. }
                    | Fact::ResourceClaimObserved { .. }
                    | Fact::ClaimTemplateObserved { .. }
                    | Fact::DevicePoolObserved { .. }
                    | Fact::WideSelectorsObserved { .. }
            )
        )
    };
    let events = events(&mut case);
    assert!(!events.iter().any(about_devices));
    let refused: Vec<ReasonId> = events.iter().filter_map(why).map(|(_, why)| why).collect();
    assert_eq!(refused, [ReasonId::ConstraintNotEvaluated]);
}
