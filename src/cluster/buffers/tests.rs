#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use kube::Config;
use serde_json::json;
use tokio::sync::mpsc;

use super::*;

/// Nobody answers: only what is kept is looked at.
fn buffers() -> (Buffers, mpsc::UnboundedReceiver<Subject>) {
    let client = Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let (words, _) = mpsc::channel(16);
    let (stale, stale_ones) = mpsc::unbounded_channel();
    (Buffers::new(client, Watching::new(words, kube::runtime::watcher::Config::default()), stale), stale_ones)
}

fn buffer(spec: Value, status: Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer",
        "metadata": {"namespace": "shop", "name": "spare", "generation": 3, "resourceVersion": "7"},
        "spec": spec, "status": status,
    }))
    .unwrap()
}

fn source(kind: SourceKind) -> Source {
    Source { kind, namespace: "shop".into() }
}

fn key() -> PodKey {
    PodKey::new("shop", "spare")
}

fn found(replicas: Option<u32>, generation: Option<i64>) -> Result<Found, String> {
    Ok(Found { template: std::sync::Arc::default(), replicas, generation })
}

/// Status and reason of the two conditions, as they should be.
fn conditions(buffers: &Buffers) -> [(String, String); 2] {
    let status = buffers.wanted(&key(), Time(5_000_000)).unwrap().status;
    [READY, PROVISIONING].map(|kind| {
        let all = status["conditions"].as_array().unwrap();
        let one = all.iter().find(|one| one["type"] == kind).cloned().unwrap_or_default();
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        assert!(one.is_null() || one["observedGeneration"] == 3);
        (text("status"), text("reason"))
    })
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_buffer_waits_for_what_it_names_and_then_says_what_it_comes_to() {
    let (buffers, _stale) = buffers();
    let share = json!({"scalableRef": {"kind": "Deployment", "name": "web"}, "percentage": 20});
    assert_eq!(buffers.saw(&buffer(share, json!({}))).unwrap(), [], "nothing was listed yet");
    assert!(buffers.wanted(&key(), Time(0)).is_none());
    let web = source(SourceKind::Workload(purser_api::WorkloadKind::Deployment));
    let told = buffers.change(&web, None, |objects| objects.listed = true);
    assert_eq!(told, [Observation::NoCapacityBuffer(key())]);
    let not_ready = pair("False", "NotReadyForProvisioning");
    assert_eq!(conditions(&buffers), [pair("False", "ScalableRefNotFound"), not_ready.clone()]);

    let scale = |replicas| {
        buffers.change(&web, Some("web"), |objects| {
            objects.found.insert("web".into(), found(Some(replicas), None));
        })
    };
    assert_eq!(buffers.change(&web, Some("other"), |_| {}), [], "none names it");
    let expected = CapacityBuffer::new(&Default::default(), 2);
    assert_eq!(scale(10), [Observation::CapacityBuffer(key(), expected)]);
    assert_eq!(
        conditions(&buffers),
        [pair("True", "Resolved"), pair("", "")],
        "the controller said nothing yet"
    );
    let room = |there, coming, missing| Some(Room { there, coming, missing });
    for (room, status, reason) in [
        (room(1, 0, 0), "", ""),
        (room(0, 2, 0), "False", "RequiresNewCapacity"),
        (room(1, 0, 1), "False", "RequiresNewCapacity"),
        (room(2, 0, 0), "True", "FitsExistingCapacity"),
    ] {
        buffers.has_room(&key(), room);
        assert_eq!(conditions(&buffers)[1], pair(status, reason), "{room:?}");
    }
    scale(0);
    assert_eq!(conditions(&buffers)[1], pair("False", "BufferEmpty"));

    let told = buffers.change(&web, Some("web"), |objects| drop(objects.found.remove("web")));
    assert_eq!(told, [Observation::NoCapacityBuffer(key())]);
    let gone = Key { namespace: "shop".to_owned(), name: "spare".to_owned() };
    assert_eq!(Reader::<DynamicObject>::lost(&buffers, &gone), [Observation::NoCapacityBuffer(key())]);
    assert!(buffers.known.lock().sources.is_empty(), "nobody needs what it named");
}

#[tokio::test]
async fn a_status_that_is_right_is_left_alone_and_other_conditions_stay() {
    let (buffers, _stale) = buffers();
    let spec = json!({"podTemplateRef": {"name": "t"}, "replicas": 1,
        "provisioningStrategy": "buffer.x-k8s.io/active-capacity"});
    let other = json!({"type": "LimitedByQuotas", "status": "False", "reason": "x", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    buffers.saw(&buffer(spec.clone(), json!({"conditions": [other]}))).unwrap();
    let templates = source(SourceKind::Template);
    buffers.change(&templates, Some("t"), |objects| {
        objects.found.insert("t".into(), found(None, Some(4)));
    });
    buffers.has_room(&key(), Some(Room { there: 1, ..Room::default() }));
    let writing = buffers.wanted(&key(), Time(5_000_000)).unwrap();
    assert_eq!(writing.version.as_deref(), Some("7"));
    assert_eq!(writing.status["podTemplateGeneration"], 4);
    assert_eq!(writing.status["podTemplateRef"]["name"], "t");
    assert_eq!(writing.status["replicas"], 1);
    assert_eq!(writing.status["conditions"][0]["type"], "LimitedByQuotas");
    buffers.saw(&buffer(spec, writing.status)).unwrap();
    assert!(buffers.wanted(&key(), Time(9_000_000)).is_none());
}

#[tokio::test]
async fn what_is_wrong_is_said_and_what_is_another_controllers_is_left_alone() {
    let (buffers, _stale) = buffers();
    let job = json!({"scalableRef": {"apiGroup": "batch", "kind": "Job", "name": "j"}, "replicas": 1});
    assert_eq!(buffers.saw(&buffer(job, json!({}))).unwrap(), [Observation::NoCapacityBuffer(key())]);
    assert_eq!(conditions(&buffers)[0], pair("False", "ResolutionFailed"));
    let others = json!({"provisioningStrategy": "buffer.gke.io/other", "podTemplateRef": {"name": "t"}, "replicas": 1});
    assert_eq!(buffers.saw(&buffer(others, json!({}))).unwrap(), [Observation::NoCapacityBuffer(key())]);
    assert!(buffers.wanted(&key(), Time(0)).is_none());
}
