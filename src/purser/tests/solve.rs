//! `purser solve` as its users run it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn solve(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_purser")).arg("solve").args(args).output().unwrap()
}

fn write(dir: &tempfile::TempDir, name: &str, content: &Value) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content.to_string()).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn pod(name: &str, cpu: &str, more: Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
    });
    for (field, value) in more.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

/// A pool, two types of which the cheaper costs less than a millionth of a dollar less, and a node with room for one small pod.
fn scenario() -> Value {
    let offering = |price: f64| json!({"zone": "z1", "capacityType": "on-demand", "price": price});
    let pool_label = json!({"karpenter.sh/nodepool": "p", "node.kubernetes.io/instance-type": "large"});
    json!({
        "name": "small", "now": "2026-01-02T03:04:05Z",
        "settings": {"maxInstanceTypes": 10},
        "instanceTypes": [
            {"name": "a", "capacity": {"cpu": "4", "memory": "8Gi", "pods": "10"},
                "offerings": [offering(0.100_000_002)]},
            {"name": "b", "capacity": {"cpu": "4", "memory": "8Gi", "pods": "10"},
                "offerings": [offering(0.100_000_001)]},
            {"name": "large", "capacity": {"cpu": "16", "memory": "64Gi", "pods": "50"},
                "offerings": [offering(0.4), {"zone": "z1", "capacityType": "spot", "price": 0.01, "available": false}]},
        ],
        "objects": [
            {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"}, "spec": {"template": {"spec": {
                "requirements": [], "nodeClassRef": {"group": "g", "kind": "K", "name": "n"}}}}},
            {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": "p-1", "labels": pool_label},
                "spec": {"requirements": [], "nodeClassRef": {"group": "g", "kind": "K", "name": "n"}},
                "status": {"providerID": "i-1", "capacity": {"cpu": "16"}, "allocatable": {"cpu": "16"}}},
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {
                    "karpenter.sh/nodepool": "p", "karpenter.sh/registered": "true", "karpenter.sh/initialized": "true"}},
                "spec": {"providerID": "i-1"},
                "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"},
                    "conditions": [{"type": "Ready", "status": "True"}]}},
            pod("bound", "1500m", json!({"nodeName": "n1"})),
            pod("small", "500m", json!({})),
            pod("one", "3", json!({})),
            pod("picky", "1", json!({"nodeSelector": {"team": "red"}})),
            pod("strange", "1", json!({"nodeSelector": {"kubernetes.io/hostname": "n9"}})),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}},
        ],
    })
}

fn result(args: &[&str]) -> Value {
    let output = solve(args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn each_pod_that_waits_is_placed_or_told_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(&dir, "s.json", &scenario());
    let result = result(&[text(&file), "-o", "json", "--bound"]);
    assert_eq!(result["existingNodes"], json!([{"node": "n1", "pods": ["default/small"]}]));
    let claims = result["newNodeClaims"].as_array().unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0]["pods"], json!(["default/one"]));
    // Cheapest first, to the billionth; what has no capacity does not count.
    assert_eq!(claims[0]["instanceTypes"], json!(["b", "a", "large"]));
    assert_eq!(claims[0]["cheapestPrice"], json!(0.100_000_001));
    assert_eq!(claims[0]["labels"], json!({"karpenter.sh/nodepool": "p"}));
    assert_eq!(claims[0]["resources"], json!({"cpu": "3", "pods": "1"}));
    assert_eq!(result["totalPricePerHour"], json!(0.100_000_001));
    let bound = result["lowerBoundPerHour"].as_f64().unwrap();
    assert!((0.0..=0.100_000_001).contains(&bound), "{bound}");
    assert_eq!(result["podErrors"].as_object().unwrap().len(), 1);
    let why = result["podErrors"]["default/picky"].as_str().unwrap();
    assert!(why.starts_with("The pod's node selector or required affinity conflicts"), "{why}");
    let reason = &result["reasons"]["default/picky"][0];
    assert_eq!((reason["nodePool"].as_str(), reason["nearestMiss"].as_bool()), (Some("p"), Some(true)));
    assert_eq!(reason["params"]["label"], "team");
    assert_eq!(result["ignoredPods"], json!(["default/strange"]));
}

#[test]
fn a_pod_is_explained_and_a_table_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(&dir, "s.json", &scenario());
    for (pod, words) in [
        (
            "default/one",
            vec![
                "goes to new node 1 of NodePool p",
                "not n1: too-large",
                "b at $0.100000001, a at $0.100000002",
            ],
        ),
        ("small", vec!["default/small goes to node or claim n1"]),
        (
            "default/picky",
            vec!["has no place", "NodePool p can launch nothing for it: requirements-conflict"],
        ),
        ("default/strange", vec!["is ignored: spec.nodeSelector[kubernetes.io/hostname]: ", "is restricted"]),
    ] {
        let output = solve(&[text(&file), "--explain", pod]);
        let told = String::from_utf8_lossy(&output.stdout);
        for word in words {
            assert!(told.contains(word), "{pod}: {word}: {told}");
        }
    }
    let output = solve(&[text(&file)]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("1 new nodes at $0.100000001/h; 1 pods without a place."), "{told}");
    let warned = String::from_utf8_lossy(&output.stderr);
    assert!(
        warned.contains("warning: ") && warned.contains("ConfigMap s: objects of v1 are not read"),
        "{warned}"
    );
}

#[test]
fn catalogues_are_found_by_name_and_entries_of_a_corpus_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut scenario = scenario();
    let types = scenario.as_object_mut().unwrap().remove("instanceTypes").unwrap();
    scenario["instanceTypesRef"] = json!("mine");
    write(&dir, "catalogues/mine.json", &types);
    let file = write(&dir, "below/s.json", &json!({"spec": "x", "scenario": scenario, "expected": {}}));
    assert_eq!(result(&[text(&file), "-o", "json"])["newNodeClaims"][0]["cheapestInstanceType"], "b");
}

#[test]
fn manifests_are_solved_with_the_built_in_catalogue() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.yaml");
    let text_of = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: p}\nspec: {template: {spec: {requirements: [], \
        nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: d}}}}\n---\napiVersion: apps/v1\n\
        kind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3, selector: {matchLabels: {app: web}}, template: {\
        metadata: {labels: {app: web}}, spec: {containers: [{name: c, resources: {requests: {cpu: 250m}}}]}}}\n";
    std::fs::write(&path, text_of).unwrap();
    let result = result(&[text(&path), "-o", "json"]);
    let pods: usize = result["newNodeClaims"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| claim["pods"].as_array().unwrap().len())
        .sum();
    assert_eq!((pods, result["podErrors"].as_object().unwrap().len()), (3, 0));
}

#[test]
fn bad_input_is_one_line_with_the_remedy_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let good = write(&dir, "good.json", &scenario());
    let changed = |name: &str, field: &str, value: Value| {
        let mut scenario = scenario();
        scenario[field] = value;
        write(&dir, name, &scenario)
    };
    let now = changed("now.json", "now", json!(7));
    let quantity = changed("quantity.json", "objects", json!([pod("p", "1Qx", json!({}))]));
    let named = {
        let mut scenario = scenario();
        scenario.as_object_mut().unwrap().remove("instanceTypes");
        let none = write(&dir, "none.json", &scenario);
        scenario["instanceTypesRef"] = json!("absent");
        (none, write(&dir, "absent.json", &scenario))
    };
    let cases: [(&[&str], &[&str]); 6] = [
        (&["absent"], &["absent", "there is no such file or folder"]),
        (&[text(&now)], &["now.json", "now: is not a text"]),
        (&[text(&quantity)], &["Pod default/p", "requests[cpu]", "1Qx"]),
        (&[text(&named.0)], &["none.json", "instanceTypesRef", "--catalogue"]),
        (&[text(&named.1)], &["there is no catalogue \"absent\"", "put it at"]),
        (&[text(&good), "--explain", "default/nobody"], &["default/nobody", "no such pod waits"]),
    ];
    for (args, words) in cases {
        let output = solve(args);
        let said = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| !line.contains(": warning: ")).collect();
        assert_eq!((output.status.code(), errors.len()), (Some(2), 1), "{args:?}: {said}");
        for word in words {
            assert!(errors[0].contains(word), "{args:?}: {word}: {said}");
        }
    }
}

#[test]
fn overlays_and_gates_decide_what_is_cheapest() {
    let dir = tempfile::tempdir().unwrap();
    let mut problem = scenario();
    problem["objects"].as_array_mut().unwrap().extend([
        pod("web", "6", json!({})),
        json!({"apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlay", "metadata": {"name": "a"},
            "spec": {"requirements": [], "price": "0.25"}}),
        json!({"apiVersion": "karpenter.sh/v1alpha1", "kind": "NodeOverlay", "metadata": {"name": "b"},
            "spec": {"requirements": [], "priceAdjustment": "-50%"}}),
    ]);
    problem["settings"]["featureGates"] = json!({"NodeOverlay": true, "NoSuchGate": true});
    let file = write(&dir, "overlays.json", &problem);
    let output = solve(&[text(&file), "-o", "json"]);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["totalPricePerHour"], json!(0.2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("settings.featureGates.NoSuchGate: there is no such feature gate"), "{stderr}");
    assert!(stderr.contains("NodeOverlay a: spec.weight: is that of NodeOverlay b"), "{stderr}");
}

#[test]
fn buffers_are_apart_from_pods_and_expendable_pods_launch_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut problem = scenario();
    let template = json!({"metadata": {"labels": {"app": "spare"}}, "spec": {
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "3"}}}]}});
    problem["objects"].as_array_mut().unwrap().extend([
        pod("cheap", "3", json!({"priority": -100})),
        json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": template}),
        json!({"apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer", "metadata": {"name": "spare"},
            "spec": {"podTemplateRef": {"name": "t"}, "replicas": 1}}),
        json!({"apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer", "metadata": {"name": "odd"},
            "spec": {"podTemplateRef": {"name": "none"}, "replicas": 1}}),
    ]);
    problem["settings"]["featureGates"] = json!({"CapacityBuffer": true});
    problem["settings"]["expendablePodsPriorityCutoff"] = json!(-10);
    let file = write(&dir, "buffers.json", &problem);
    let output = solve(&[text(&file), "-o", "json"]);
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    let claims = result["newNodeClaims"].as_array().unwrap();
    let of = |field: &str| -> Vec<&Value> {
        claims.iter().flat_map(|claim| claim[field].as_array().into_iter().flatten()).collect()
    };
    assert_eq!(of("bufferPods"), ["default/capacity-buffer-spare-0"]);
    assert!(!of("pods").contains(&&json!("default/cheap")), "{result}");
    assert!(result["podErrors"]["default/cheap"].as_str().unwrap().contains("cut-off"), "{result}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("CapacityBuffer default/odd: spec.podTemplateRef: there is no PodTemplate"),
        "{stderr}"
    );
}

#[test]
fn new_nodes_attach_as_many_volumes_as_those_of_their_type_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut problem = scenario();
    let objects = problem["objects"].as_array_mut().unwrap();
    objects.retain(|object| object["kind"] != "Pod" || object["metadata"]["name"] == "bound");
    let node = objects.iter_mut().find(|object| object["kind"] == "Node").unwrap();
    node["metadata"]["labels"]["node.kubernetes.io/instance-type"] = json!("b");
    let with_volume =
        |claim: &str| json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}]});
    let claim = |name: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"},
            "spec": {"storageClassName": "disk"}, "status": {"phase": "Pending"}})
    };
    objects.extend([
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "disk"},
            "provisioner": "disk.example.com", "volumeBindingMode": "WaitForFirstConsumer"}),
        claim("x"),
        claim("y"),
        pod("x", "1", with_volume("x")),
        pod("y", "1", with_volume("y")),
    ]);
    let types = |problem: &Value| {
        let file = write(&dir, "volumes.json", problem);
        let result = result(&[text(&file), "-o", "json"]);
        assert_eq!(result["podErrors"], json!({}));
        let claims = result["newNodeClaims"].as_array().unwrap().clone();
        claims.iter().map(|claim| claim["instanceTypes"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(types(&problem), [json!(["b", "a", "large"])]);
    problem["objects"].as_array_mut().unwrap().push(
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "n1"},
            "spec": {"drivers": [{"name": "disk.example.com", "nodeID": "i-1", "allocatable": {"count": 1}}]}}),
    );
    assert_eq!(types(&problem), [json!(["a", "large"])]);
}
