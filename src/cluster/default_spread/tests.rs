//! Whichever comes first, pods are told as what selects them makes them.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Service;
use purser_api::{Origin, Priorities, pod_facts, scheduler_config};
use serde_json::{Value, json};

use super::*;

const ZONES: &str = "podTopologySpread: {defaultConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule}]}";

fn spread() -> DefaultSpread {
    DefaultSpread::new(&scheduler_config(ZONES).unwrap())
}

fn pod(name: &str, more: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"namespace": "shop", "name": name, "uid": "00000000-0000-0000-0000-000000000001", "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "controller": true, "uid": "u"}]},
        "spec": {"containers": [{"name": "c"}]},
    });
    for (field, value) in more.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    serde_json::from_value(pod).unwrap()
}

/// By which labels the kin of a pod are known, as the pod is told.
fn kin(facts: &PodFacts) -> String {
    let of = facts.spec.spread.iter().flat_map(|one| &one.selector.0);
    of.map(|one| format!("{}={}", one.key, one.values[0])).collect::<Vec<_>>().join(",")
}

fn saw(all: &DefaultSpread, pod: &Pod) -> String {
    let facts = pod_facts(pod, &Priorities::default(), Origin::Cluster).unwrap();
    kin(&all.saw_pod(pod, facts))
}

/// What is told of pods: name and kin.
fn told(observations: Vec<Observation>) -> Vec<String> {
    let of = |one| match one {
        Observation::Pod(facts) => format!("{} {}", facts.key.name, kin(&facts)),
        other => panic!("{other:?}"),
    };
    observations.into_iter().map(of).collect()
}

fn service(name: &str, selector: &Value) -> Service {
    let service = json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"selector": selector}});
    serde_json::from_value(service).unwrap()
}

fn replica_set(hash: &str) -> ReplicaSet {
    let set = json!({"metadata": {"namespace": "shop", "name": "web-1"},
        "spec": {"selector": {"matchLabels": {"hash": hash}}}});
    serde_json::from_value(set).unwrap()
}

#[test]
fn a_pod_is_told_with_what_selects_it_and_again_when_that_changes() {
    let all = spread();
    assert_eq!(saw(&all, &pod("a", &json!({}))), "", "nothing selects it");
    assert_eq!(told(all.saw(&replica_set("1")).unwrap()), ["a hash=1"]);
    assert_eq!(saw(&all, &pod("b", &json!({}))), "hash=1");
    assert_eq!(
        told(all.saw(&service("web", &json!({"app": "web"}))).unwrap()),
        ["a app=web,hash=1", "b app=web,hash=1"]
    );
    assert!(all.saw(&service("web", &json!({"app": "web"}))).unwrap().is_empty(), "no news");
    assert!(all.saw(&service("db", &json!({"app": "db"}))).unwrap().is_empty(), "of others");
    assert!(all.saw(&service("none", &Value::Null)).unwrap().is_empty(), "of nobody");
    all.lost_pod(&PodKey::new("shop", "a"));
    assert_eq!(told(all.saw(&service("web", &json!({"app": "shop"}))).unwrap()), ["b hash=1"]);
    let key = Key { namespace: "shop".into(), name: "web-1".into() };
    assert_eq!(told(all.lost(SelectorKind::ReplicaSet, &key)), ["b "]);
    assert!(told(all.lost(SelectorKind::ReplicaSet, &key)).is_empty());
}

#[test]
fn pods_with_constraints_of_their_own_and_clusters_without_defaults_stay_as_they_are() {
    let own = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"own": "yes"}}}]});
    let all = spread();
    all.saw(&replica_set("1")).unwrap();
    assert_eq!(saw(&all, &pod("a", &own)), "own=yes");
    let none = DefaultSpread::default();
    assert_eq!(saw(&none, &pod("a", &json!({}))), "");
    assert!(none.saw(&replica_set("1")).unwrap().is_empty());
    assert!(none.0.lock().pods.is_empty());
}

#[test]
fn specs_of_pods_that_are_gone_are_forgotten() {
    let all = spread();
    all.saw(&replica_set("1")).unwrap();
    for at in 0..2 * SPARE {
        let name = format!("p-{at}");
        saw(&all, &pod(&name, &json!({"priority": at})));
        all.lost_pod(&PodKey::new("shop", name.as_str()));
    }
    assert!(all.0.lock().specs.len() <= SPARE + 2);
}
