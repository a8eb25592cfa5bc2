//! Rules between pods: spread, affinity, anti-affinity, and the order in which they can be kept.

use purser_checker::Rule;
use serde_json::{Value, json};

use crate::cluster::{Cluster, HOSTNAME, ZONE, cluster};

fn spread(key: &str, more: Value) -> Value {
    let mut constraint = json!({
        "topologyKey": key,
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    });
    for (field, value) in more.as_object().unwrap() {
        constraint[field] = value.clone();
    }
    json!({"topologySpreadConstraints": [constraint]})
}

fn pods(names: &[&str], spec: Value) -> Cluster {
    names.iter().fold(cluster(), |cluster, name| cluster.pending(name, spec.clone()))
}

#[test]
fn spread_over_zones() {
    let four = || pods(&["p", "q", "r", "s"], spread(ZONE, json!({})));
    let three = four().claim("small", "a", &["p"]).claim("small", "b", &["q"]).claim("small", "c", &["r"]);
    three.claim("small", "a", &["s"]).passes();
    // Zone c could be had, so it counts as empty.
    let two = four().claim("small", "a", &["p", "q"]).claim("small", "b", &["r", "s"]);
    two.breaks(Rule::TopologySpread);
}

#[test]
fn zones_that_no_pool_provides_do_not_count() {
    let only = json!([{"key": ZONE, "operator": "In", "values": ["a", "b"]}]);
    let two = || {
        pods(&["p", "q", "r", "s"], spread(ZONE, json!({}))).pool("template.spec.requirements", only.clone())
    };
    two().claim("small", "a", &["p", "q"]).claim("small", "b", &["r", "s"]).passes();
    let more = spread(ZONE, json!({"minDomains": 3}));
    let two = pods(&["p", "q", "r", "s"], more).pool("template.spec.requirements", only.clone());
    two.claim("small", "a", &["p", "q"]).claim("small", "b", &["r", "s"]).breaks(Rule::TopologySpread);
}

#[test]
fn pods_that_are_there_count() {
    let one = |zone: &str| {
        let cluster = cluster().node("n", "a").bound("old", "n", json!({}));
        cluster.pending("p", spread(ZONE, json!({}))).claim("small", zone, &["p"])
    };
    one("b").passes();
    one("a").breaks(Rule::TopologySpread);
}

#[test]
fn a_claim_that_may_be_in_several_zones_has_to_fit_in_each() {
    let one = || cluster().node("n", "a").bound("old", "n", json!({})).pending("p", spread(ZONE, json!({})));
    one().claim("small", "", &["p"]).breaks(Rule::TopologySpread);
    // Nothing is there yet, so it fits wherever it comes up.
    cluster().pending("p", spread(ZONE, json!({}))).claim("small", "", &["p"]).passes();
}

#[test]
fn spread_over_nodes() {
    let two = || pods(&["p", "q"], spread(HOSTNAME, json!({})));
    two().claim("small", "a", &["p"]).claim("small", "a", &["q"]).passes();
    two().claim("small", "a", &["p", "q"]).breaks(Rule::TopologySpread);
}

#[test]
fn spread_among_pods_of_one_version() {
    let of = |version: &str, key: Option<&str>| {
        let mut spec = spread(HOSTNAME, json!({"matchLabelKeys": key.map(|key| vec![key])}));
        spec["labels"] = json!({"app": "web", "version": version});
        spec
    };
    let two = |key| cluster().pending("p", of("1", key)).pending("q", of("2", key));
    two(Some("version")).claim("small", "a", &["p", "q"]).passes();
    two(None).claim("small", "a", &["p", "q"]).breaks(Rule::TopologySpread);
}

#[test]
fn node_policies_of_spread() {
    // Zones b and c are out of reach for the pods, and count only if node affinity is ignored.
    let pinned = |more: Value| {
        let mut spec = spread(ZONE, more);
        spec["nodeSelector"] = json!({ZONE: "a"});
        pods(&["p", "q"], spec).node("n", "b").claim("small", "a", &["p", "q"])
    };
    pinned(json!({})).passes();
    pinned(json!({"nodeAffinityPolicy": "Ignore"})).breaks(Rule::TopologySpread);
    // The same with a taint that the pods do not tolerate.
    let tainted = |more: Value| {
        let mut node = crate::cluster::node("n", "d");
        node["spec"]["taints"] = json!([{"key": "gpu", "effect": "NoSchedule"}]);
        let cluster = pods(&["p", "q", "r", "s"], spread(ZONE, more)).object(node);
        let cluster = cluster.claim("small", "a", &["p", "q"]).claim("small", "b", &["r"]);
        cluster.claim("small", "c", &["s"])
    };
    tainted(json!({"nodeTaintsPolicy": "Honor"})).passes();
    tainted(json!({})).breaks(Rule::TopologySpread);
}

#[test]
fn default_constraints_need_a_service_or_an_owner() {
    let defaults = json!([{"topologyKey": HOSTNAME, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]);
    let two = || {
        let cluster = pods(&["p", "q"], json!({}));
        cluster.setting("defaultTopologySpreadConstraints", defaults.clone()).claim("small", "a", &["p", "q"])
    };
    two().passes();
    let service = json!({
        "kind": "Service",
        "metadata": {"namespace": "default", "name": "web"},
        "spec": {"selector": {"app": "web"}},
    });
    two().object(service).breaks(Rule::TopologySpread);
}

fn affinity(kind: &str, key: &str, app: &str) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}},
    ]}}})
}

#[test]
fn pod_affinity() {
    let friend = |zone: &str| {
        let cluster = cluster().pending("friend", json!({"labels": {"app": "db"}}));
        let cluster = cluster.pending("p", affinity("podAffinity", ZONE, "db"));
        cluster.claim("small", "a", &["friend"]).claim("small", zone, &["p"])
    };
    friend("a").passes();
    friend("b").breaks(Rule::PodAffinity);
    friend("").breaks(Rule::PodAffinity);
}

#[test]
fn the_first_of_a_group_may_be_alone() {
    let own = || pods(&["p", "q"], affinity("podAffinity", ZONE, "web"));
    own().claim("small", "a", &["p"]).claim("small", "a", &["q"]).passes();
    own().claim("small", "a", &["p"]).claim("small", "b", &["q"]).breaks(Rule::PodAffinity);
    // With a pod of the group anywhere, nobody is the first.
    let late = cluster().node("n", "b").bound("old", "n", json!({}));
    let late = late.pending("p", affinity("podAffinity", ZONE, "web"));
    late.claim("small", "a", &["p"]).breaks(Rule::PodAffinity);
}

#[test]
fn pod_anti_affinity() {
    let old = |zone: &str| {
        let cluster = cluster().node("n", "a").bound("old", "n", json!({"labels": {"app": "db"}}));
        cluster.pending("p", affinity("podAntiAffinity", ZONE, "db")).claim("small", zone, &["p"])
    };
    old("b").passes();
    old("a").breaks(Rule::PodAntiAffinity);
    old("").breaks(Rule::PodAntiAffinity);
}

#[test]
fn anti_affinity_of_pods_that_are_there() {
    let old = |zone: &str| {
        let cluster = cluster().node("n", "a");
        let cluster = cluster.bound("old", "n", affinity("podAntiAffinity", ZONE, "db"));
        cluster.pending("p", json!({"labels": {"app": "db"}})).claim("small", zone, &["p"])
    };
    old("b").passes();
    old("a").breaks(Rule::InverseAntiAffinity);
}

#[test]
fn namespaces_of_affinity() {
    let wary = |more: Value| {
        let mut spec = affinity("podAntiAffinity", HOSTNAME, "web");
        let term = "requiredDuringSchedulingIgnoredDuringExecution";
        for (field, value) in more.as_object().unwrap() {
            spec["affinity"]["podAntiAffinity"][term][0][field] = value.clone();
        }
        spec["labels"] = json!({"app": "other"});
        let namespace = json!({
            "kind": "Namespace",
            "metadata": {"name": "elsewhere", "labels": {"env": "prod"}},
        });
        let mut stranger = crate::cluster::pod("stranger", json!({"nodeName": "n"}));
        stranger["metadata"]["namespace"] = "elsewhere".into();
        stranger["status"] = json!({"phase": "Running"});
        let cluster = cluster().node("n", "a").object(namespace).object(stranger);
        cluster.pending("p", spec).on_node("n", &["p"])
    };
    wary(json!({})).passes();
    wary(json!({"namespaces": ["elsewhere"]})).breaks(Rule::PodAntiAffinity);
    let prod = json!({"namespaceSelector": {"matchLabels": {"env": "prod"}}});
    wary(prod).breaks(Rule::PodAntiAffinity);
    wary(json!({"namespaceSelector": {"matchLabels": {"env": "dev"}}})).passes();
    wary(json!({"namespaceSelector": {}})).breaks(Rule::PodAntiAffinity);
}

#[test]
fn an_order_is_found_if_there_is_one() {
    // `guest` has no constraint and would fill the node for `host`, if it were bound first.
    let guest = || {
        let cluster = cluster().pending("guest", json!({})).pending("host", spread(HOSTNAME, json!({})));
        cluster.claim("small", "a", &["guest", "host"])
    };
    guest().passes();
    let ordered = |order: &[&str]| {
        let mut cluster = guest();
        cluster.answer["order"] = json!(order);
        cluster
    };
    ordered(&["default/host", "default/guest"]).passes();
    ordered(&["default/guest", "default/host"]).breaks(Rule::TopologySpread);
    ordered(&["default/host"]).breaks(Rule::Order);
    ordered(&["default/host", "default/guest", "default/guest"]).breaks(Rule::Order);
}
