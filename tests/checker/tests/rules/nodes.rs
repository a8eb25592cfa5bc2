//! Rules about one pod and one node: resources, taints, labels, ports, volumes.

use purser_checker::Rule;
use serde_json::{Value, json};

use crate::cluster::{ZONE, cluster, node};

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": amount}}}]})
}

#[test]
fn resources_of_a_new_node() {
    cluster().pending("p", cpu("2")).claim("small", "a", &["p"]).passes();
    cluster().pending("p", cpu("2001m")).claim("small", "a", &["p"]).breaks(Rule::Resources);
}

#[test]
fn resources_of_an_existing_node() {
    let busy = || cluster().node("n", "a").bound("old", "n", cpu("2"));
    busy().pending("p", cpu("2")).on_node("n", &["p"]).passes();
    busy().pending("p", cpu("3")).on_node("n", &["p"]).breaks(Rule::Resources);
}

#[test]
fn pods_count_too() {
    let mut full = cluster();
    let names: Vec<String> = (0..11).map(|index| format!("p{index}")).collect();
    for name in &names {
        full = full.pending(name, cpu("1m"));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    full.claim("small", "a", &names).breaks(Rule::Resources);
}

#[test]
fn each_listed_type_has_to_be_large_enough() {
    let both = || cluster().pending("p", cpu("3")).claim("large", "a", &["p"]);
    both().passes();
    both().with_claim("instanceTypes", json!(["small", "large"])).breaks(Rule::Resources);
}

fn daemon(spec: Value) -> Value {
    json!({
        "kind": "DaemonSet",
        "metadata": {"namespace": "kube-system", "name": "agent", "uid": "1"},
        "spec": {"template": {"spec": spec}},
    })
}

#[test]
fn daemon_sets_take_their_share() {
    let agent = |selector: Value| {
        let mut spec = cpu("1");
        spec["nodeSelector"] = selector;
        cluster().object(daemon(spec)).pending("p", cpu("2")).claim("small", "a", &["p"])
    };
    agent(json!({"kubernetes.io/arch": "arm64"})).passes();
    agent(json!({})).breaks(Rule::Resources);
}

#[test]
fn a_claim_asks_for_its_daemon_sets_too() {
    let claim = |said: &str| {
        let claim = cluster().object(daemon(cpu("1"))).pending("p", cpu("1")).claim("small", "a", &["p"]);
        claim.with_claim("resources", json!({"cpu": said, "pods": "2"}))
    };
    claim("2").passes();
    claim("1").breaks(Rule::DaemonOverhead);
}

#[test]
fn daemon_pods_that_are_there_are_not_counted_twice() {
    let mut running = crate::cluster::pod("agent-1", cpu("1"));
    running["spec"]["nodeName"] = "n".into();
    running["status"] = json!({"phase": "Running"});
    running["metadata"]["namespace"] = "kube-system".into();
    running["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "1"}]);
    let three = || cluster().node("n", "a").object(daemon(cpu("1"))).pending("p", cpu("3"));
    three().object(running).on_node("n", &["p"]).passes();
    let four = three().pending("q", cpu("1")).on_node("n", &["p", "q"]);
    four.breaks(Rule::Resources);
}

#[test]
fn taints() {
    let tainted = |tolerations: Value| {
        let pool = cluster()
            .pool("template.spec.taints", json!([{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]));
        pool.pending("p", json!({"tolerations": tolerations})).claim("small", "a", &["p"])
    };
    tainted(json!([{"key": "gpu", "operator": "Exists"}])).passes();
    tainted(json!([])).breaks(Rule::Taint);
    tainted(json!([{"operator": "Exists"}])).with_claim("taints", json!([])).breaks(Rule::Taint);
}

#[test]
fn a_cordoned_node_takes_nobody() {
    let mut cordoned = node("n", "a");
    cordoned["spec"]["unschedulable"] = true.into();
    cluster().object(cordoned).pending("p", json!({})).on_node("n", &["p"]).breaks(Rule::Taint);
}

#[test]
fn node_selectors() {
    let selecting = |zone: &str| {
        cluster().pending("p", json!({"nodeSelector": {ZONE: "a"}})).claim("small", zone, &["p"])
    };
    selecting("a").passes();
    selecting("b").breaks(Rule::NodeSelector);
    // Not pinned, the node may come up anywhere.
    selecting("").breaks(Rule::NodeSelector);
}

fn affinity(terms: Value) -> Value {
    json!({"affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
    }}})
}

#[test]
fn node_affinity() {
    let zones = |values: &[&str]| {
        affinity(json!([{"matchExpressions": [{"key": ZONE, "operator": "In", "values": values}]}]))
    };
    cluster().pending("p", zones(&["a", "b"])).claim("small", "b", &["p"]).passes();
    cluster().pending("p", zones(&["a", "b", "c"])).claim("small", "", &["p"]).passes();
    cluster().pending("p", zones(&["a", "b"])).claim("small", "c", &["p"]).breaks(Rule::NodeAffinity);
    cluster().pending("p", zones(&["a"])).node("n", "b").on_node("n", &["p"]).breaks(Rule::NodeAffinity);
}

#[test]
fn one_of_several_terms_is_enough() {
    let terms = affinity(json!([
        {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a"]}]},
        {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "Exists"}]},
    ]));
    cluster().pending("p", terms).claim("small", "b", &["p"]).passes();
}

#[test]
fn preferences_never_matter() {
    let spec = json!({
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 1,
            "preference": {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["b"]}]},
        }]}},
        "topologySpreadConstraints": [{
            "topologyKey": ZONE,
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {},
        }],
    });
    let cluster = cluster().pending("p", spec.clone()).pending("q", spec);
    cluster.claim("small", "a", &["p", "q"]).passes();
}

#[test]
fn custom_labels_have_to_be_defined_by_the_pool() {
    let team = json!([{"key": "team", "operator": "In", "values": ["red"]}]);
    let wanting = || cluster().pending("p", json!({"nodeSelector": {"team": "red"}}));
    let claim = |cluster: crate::cluster::Cluster| {
        cluster.claim("small", "a", &["p"]).with_claim("requirements", team.clone())
    };
    claim(wanting().pool("template.metadata", json!({"labels": {"team": "red"}}))).passes();
    let (scenario, outcome) = claim(wanting()).read();
    let rules: Vec<Rule> =
        purser_checker::check(&scenario, &outcome).into_iter().map(|violation| violation.rule).collect();
    assert!(rules.contains(&Rule::NodePoolRequirement) && rules.contains(&Rule::NodeSelector));
}

#[test]
fn host_ports() {
    let port = |ip: &str| json!({"containers": [{"ports": [{"hostPort": 80, "hostIP": ip}]}]});
    let two = |one: &str, other: &str| {
        let cluster = cluster().pending("p", port(one)).pending("q", port(other));
        cluster.claim("small", "a", &["p", "q"])
    };
    two("10.0.0.1", "10.0.0.2").passes();
    two("", "10.0.0.2").breaks(Rule::HostPort);
    let old = cluster().node("n", "a").bound("old", "n", port("")).pending("p", port(""));
    old.on_node("n", &["p"]).breaks(Rule::HostPort);
}

fn volume(mode: &str, zone: &str) -> [Value; 2] {
    [
        json!({
            "kind": "StorageClass",
            "metadata": {"name": "disk"},
            "provisioner": "disk.example.com",
            "volumeBindingMode": mode,
            "allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": [zone]}]}],
        }),
        json!({
            "kind": "PersistentVolumeClaim",
            "metadata": {"namespace": "default", "name": "data"},
            "spec": {"storageClassName": "disk"},
            "status": {"phase": "Pending"},
        }),
    ]
}

fn with_volume(name: &str) -> Value {
    json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]})
}

#[test]
fn volumes_that_are_not_bound_yet() {
    let [class, claim] = volume("WaitForFirstConsumer", "a");
    let unbound = |zone: &str| {
        let cluster = cluster().object(class.clone()).object(claim.clone());
        cluster.pending("p", with_volume("data")).claim("small", zone, &["p"])
    };
    unbound("a").passes();
    unbound("b").breaks(Rule::VolumeTopology);
    let [class, claim] = volume("Immediate", "a");
    let immediate = cluster().object(class).object(claim).pending("p", with_volume("data"));
    immediate.claim("small", "a", &["p"]).breaks(Rule::VolumeTopology);
    let missing = cluster().pending("p", with_volume("data")).claim("small", "a", &["p"]);
    missing.breaks(Rule::VolumeTopology);
}

#[test]
fn volumes_that_are_bound() {
    let bound = |zone: &str| {
        let volume = json!({
            "kind": "PersistentVolume",
            "metadata": {"name": "pv"},
            "spec": {
                "csi": {"driver": "disk.example.com"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [
                    {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a"]}]},
                    {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["b"]}]},
                ]}},
            },
        });
        let claim = json!({
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "namespace": "default",
                "name": "data",
                "annotations": {"pv.kubernetes.io/bind-completed": "yes"},
            },
            "spec": {"volumeName": "pv"},
            "status": {"phase": "Bound"},
        });
        let cluster = cluster().object(volume).object(claim).pending("p", with_volume("data"));
        cluster.claim("small", zone, &["p"])
    };
    bound("a").passes();
    bound("b").passes();
    bound("c").breaks(Rule::VolumeTopology);
}

#[test]
fn volume_limits() {
    let attached = |most: usize| {
        let csi = json!({
            "kind": "CSINode",
            "metadata": {"name": "n"},
            "spec": {"drivers": [{"name": "disk.example.com", "allocatable": {"count": most}}]},
        });
        let [mut class, claim] = volume("WaitForFirstConsumer", "a");
        class["allowedTopologies"] = json!([]);
        let mut second = claim.clone();
        second["metadata"]["name"] = "more".into();
        let cluster = cluster().node("n", "a").object(csi).object(class).object(claim).object(second);
        let cluster = cluster.bound("old", "n", with_volume("data"));
        // The claim that is attached already counts once.
        let cluster = cluster.pending("p", with_volume("data")).pending("q", with_volume("more"));
        cluster.on_node("n", &["p", "q"])
    };
    attached(2).passes();
    attached(1).breaks(Rule::VolumeLimit);
}

#[test]
fn volume_limits_of_new_nodes() {
    let together = |most: usize, kind: &str| {
        let csi = json!({
            "kind": "CSINode",
            "metadata": {"name": "n"},
            "spec": {"drivers": [{"name": "disk.example.com", "allocatable": {"count": most}}]},
        });
        let [mut class, claim] = volume("WaitForFirstConsumer", "a");
        class["allowedTopologies"] = json!([]);
        let mut second = claim.clone();
        second["metadata"]["name"] = "more".into();
        let mut there = node("n", "a");
        there["metadata"]["labels"]["node.kubernetes.io/instance-type"] = kind.into();
        let cluster = cluster().object(there).object(csi).object(class).object(claim).object(second);
        let cluster = cluster.pending("p", with_volume("data")).pending("q", with_volume("more"));
        cluster.claim("small", "a", &["p", "q"])
    };
    together(2, "small").passes();
    together(1, "large").passes();
    together(1, "small").breaks(Rule::VolumeLimit);
}

#[test]
fn devices() {
    let claims = json!({"resourceClaims": [{"name": "gpu"}]});
    let wanting = || cluster().pending("p", claims.clone()).claim("small", "a", &["p"]);
    wanting().setting("ignoreDRARequests", false.into()).passes();
    wanting().breaks(Rule::DynamicResources);
}

#[test]
fn nodes_that_leave() {
    let mut leaving = node("n", "a");
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    let evicted = || cluster().object(leaving.clone()).bound("old", "n", json!({}));
    // Its pod needs another place.
    evicted().claim("small", "a", &["old"]).passes();
    evicted().breaks(Rule::PodLostOrDoubled);
    let coming = cluster().object(leaving.clone()).pending("p", json!({})).on_node("n", &["p"]);
    coming.breaks(Rule::NodeLeaving);
}
