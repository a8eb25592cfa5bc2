//! Places for pods that a result leaves pending.

use purser_checker::{Where, could_place};
use serde_json::{Value, json};

use crate::cluster::{Cluster, ZONE, cluster};

fn place(cluster: &Cluster) -> Option<Where> {
    let (scenario, outcome) = cluster.read();
    could_place(&scenario, &outcome, "default/p")
}

/// The type and zone of the claim that is proposed.
fn proposal(cluster: &Cluster) -> Option<(Value, Value)> {
    match place(cluster)? {
        Where::NewNode { claim } => {
            let requirements = claim["requirements"].as_array().unwrap();
            let zone = requirements.iter().find(|requirement| requirement["key"] == ZONE).unwrap();
            Some((claim["instanceTypes"].clone(), zone["values"].clone()))
        }
        Where::Node(name) => panic!("on node {name}"),
    }
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]})
}

#[test]
fn on_an_existing_node_with_what_is_left() {
    let left = cluster().node("n", "a").pending("p", json!({})).failed("p");
    assert_eq!(place(&left), Some(Where::Node("n".to_owned())));
}

#[test]
fn alone_on_a_new_node_of_a_type_that_is_large_enough() {
    let pending = |amount: &str| cluster().pending("p", cpu(amount)).failed("p");
    assert_eq!(proposal(&pending("1")), Some((json!(["small"]), json!(["a"]))));
    assert_eq!(proposal(&pending("3")), Some((json!(["large"]), json!(["a"]))));
    assert_eq!(place(&pending("9")), None);
}

#[test]
fn within_limits() {
    let limited = |cpu: &str| {
        let cluster = cluster().pool("limits", json!({"cpu": cpu})).pending("p", json!({})).failed("p");
        cluster.pending("q", json!({})).claim("small", "a", &["q"])
    };
    assert!(place(&limited("4")).is_some());
    assert_eq!(place(&limited("3")), None);
}

#[test]
fn where_topology_allows() {
    let spec = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": ZONE, "labelSelector": {"matchLabels": {"app": "web"}}},
    ]}}});
    let crowded = |zones: &[&str]| {
        let mut cluster = cluster().pending("p", spec.clone()).failed("p");
        for zone in zones {
            let name = format!("q-{zone}");
            cluster = cluster.pending(&name, json!({})).claim("small", zone, &[&name]);
        }
        cluster
    };
    assert_eq!(proposal(&crowded(&["a", "b"])), Some((json!(["small"]), json!(["c"]))));
    assert_eq!(place(&crowded(&["a", "b", "c"])), None);
}

#[test]
fn with_as_many_types_as_the_pool_demands() {
    let minimum = |least: u64, cpu_of_pod: &str| {
        let requirement =
            json!([{"key": "node.kubernetes.io/instance-type", "operator": "Exists", "minValues": least}]);
        let cluster = cluster().pool("template.spec.requirements", requirement);
        cluster.pending("p", cpu(cpu_of_pod)).failed("p")
    };
    assert_eq!(proposal(&minimum(2, "1")), Some((json!(["small", "large"]), json!(["a"]))));
    assert_eq!(place(&minimum(2, "3")), None);
    assert!(place(&minimum(2, "3").setting("minValuesPolicy", "BestEffort".into())).is_some());
    assert_eq!(place(&minimum(3, "1")), None);
}

#[test]
fn never_for_a_pod_that_is_not_ours() {
    let restricted = json!({"nodeSelector": {"kubernetes.io/hostname": "n"}});
    assert_eq!(place(&cluster().node("n", "a").pending("p", restricted).failed("p")), None);
    assert_eq!(place(&cluster()), None);
}

#[test]
fn every_place_is_named() {
    let two = cluster().pending("p", json!({})).pending("q", cpu("9")).failed("p").failed("q");
    let (scenario, outcome) = two.read();
    let places = purser_checker::placeable(&scenario, &outcome);
    assert_eq!(places.keys().collect::<Vec<_>>(), ["default/p"]);
}
