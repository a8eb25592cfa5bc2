//! Scenarios made of bytes: each object is what its bytes choose, and a zero chooses the plainest.
//!
//! So a failing scenario shrinks by itself: objects go, and what is left of them loses its features one by one.
//!
//! **Invariant:** any bytes make a scenario that can be read; equal bytes make the same.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::choices::Choices;
use crate::devices;

/// What a scenario is made of.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    settings: Vec<u8>,
    pools: Vec<Vec<u8>>,
    types: Vec<Vec<u8>>,
    nodes: Vec<Vec<u8>>,
    daemons: Vec<Vec<u8>>,
    pods: Vec<Vec<u8>>,
    gates: Vec<u8>,
    overlays: Vec<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
}

/// Recipes.
pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let bytes = |count: usize| vec(any::<u8>(), count);
    (
        bytes(4),
        vec(bytes(16), 1..5),
        vec(bytes(20), 3..30),
        vec(bytes(40), 0..5),
        vec(bytes(12), 0..3),
        vec(bytes(56), 1..14),
    )
        .prop_map(|(settings, pools, types, nodes, daemons, pods)| Recipe {
            settings,
            pools,
            types,
            nodes,
            daemons,
            pods,
            gates: Vec::new(),
            overlays: Vec::new(),
            buffers: Vec::new(),
        })
}

/// Recipes with what feature gates open.
pub(crate) fn gated_recipes() -> impl Strategy<Value = Recipe> {
    let overlays = vec(vec(any::<u8>(), 10), 1..5);
    let buffers = vec(vec(any::<u8>(), 60), 0..3);
    (recipes(), vec(any::<u8>(), 2), overlays, buffers)
        .prop_map(|(recipe, gates, overlays, buffers)| Recipe { gates, overlays, buffers, ..recipe })
}

const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];
const CAPACITY_TYPES: [&str; 3] = ["on-demand", "spot", "reserved"];
const APPS: [&str; 4] = ["app-0", "app-1", "app-2", "app-3"];
const KEYS: [&str; 5] =
    [ZONE, HOSTNAME, "karpenter.sh/capacity-type", "kubernetes.io/arch", "example.com/team"];
const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";
const DRIVER: &str = "csi.example.com";

/// A scenario; pods, types and other objects come in the order of the recipe.
pub(crate) fn scenario(recipe: &Recipe) -> Value {
    let mut own = Choices::of(&recipe.settings);
    let claims_count = devices::count(&recipe.settings);
    let mut gates = Choices::of(&recipe.gates);
    let mut settings = json!({
        "preferencePolicy": own.pick(&["Respect", "Respect", "Ignore"]),
        "minValuesPolicy": own.pick(&["Strict", "BestEffort"]),
        "ignoreDRARequests": !claims_count,
        "maxInstanceTypes": ([60, 60, 5, 3][own.next() % 4]),
        "featureGates": {"ReservedCapacity": !gates.with(20), "NodeOverlay": true, "CapacityBuffer": true},
        "wellKnownLabels": ["size"],
        "reservationIDLabel": "example.com/reservation",
    });
    // Those of a lower priority are most of the pods.
    if gates.with(20) {
        settings["expendablePodsPriorityCutoff"] = json!(50);
    }
    let mut objects = vec![
        object("v1", "Namespace", "default", json!({"labels": {"name": "default"}}), json!({})),
        object("v1", "Namespace", "other", json!({"labels": {"name": "other"}}), json!({})),
        with(
            object("storage.k8s.io/v1", "StorageClass", "zonal", json!({}), json!({})),
            json!({
                "provisioner": DRIVER, "volumeBindingMode": "WaitForFirstConsumer",
                "allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["zone-a", "zone-b"]}]}],
            }),
        ),
    ];
    let mut types: Vec<Value> =
        recipe.types.iter().enumerate().map(|(at, bytes)| instance_type(at, bytes)).collect();
    if claims_count {
        objects.extend(devices::classes());
        for (one, bytes) in types.iter_mut().zip(&recipe.types) {
            one["resourceSlices"] = devices::of_type(bytes);
        }
    }
    objects.extend(recipe.pools.iter().enumerate().map(|(at, bytes)| pool(at, bytes)));
    objects.extend(recipe.daemons.iter().enumerate().map(|(at, bytes)| daemon(at, bytes)));
    objects.extend(recipe.overlays.iter().enumerate().map(|(at, bytes)| overlay(at, bytes)));
    for (at, bytes) in recipe.buffers.iter().enumerate() {
        buffer(at, bytes, &mut objects);
    }
    for (at, bytes) in recipe.nodes.iter().enumerate() {
        node(at, bytes, recipe.pools.len(), &types, &mut objects);
        let is_there = objects
            .iter()
            .any(|one| one["kind"] == "Node" && one["metadata"]["name"] == format!("node-{at}"));
        if claims_count && is_there {
            let one = &types[Choices::of(bytes).next() % types.len()];
            devices::of_node(&format!("node-{at}"), bytes, one, &mut objects);
        }
    }
    for (at, bytes) in recipe.pods.iter().enumerate() {
        let mut own = Choices::of(bytes);
        let replicas = own.next() % 4 + 1;
        let namespace = own.pick(&["default", "default", "default", "other"]);
        let (labels, mut spec) = pod(&mut own);
        if claims_count && let Some(claims) = devices::claims(at, namespace, bytes, &mut objects) {
            spec["resourceClaims"] = claims;
        }
        for replica in 0..replicas {
            let name = format!("pod-{at:02}-{replica}");
            let mut spec = spec.clone();
            if let Some(volumes) = spec.get_mut("volumes") {
                let kind = volumes[0]["name"].as_str().unwrap_or_default().to_owned();
                let claim =
                    if kind == "shared" { format!("claim-{at}") } else { format!("claim-{at}-{replica}") };
                volumes[0]["persistentVolumeClaim"] = json!({"claimName": claim});
                if kind != "shared" || replica == 0 {
                    volume(&claim, namespace, &kind, &mut objects);
                }
            }
            let mut made =
                object("v1", "Pod", &name, json!({"namespace": namespace, "labels": labels}), spec);
            made["status"] = json!({
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
            });
            objects.push(made);
        }
    }
    json!({
        "name": "generated", "now": "2026-01-02T03:04:05Z", "settings": settings, "instanceTypes": types, "objects": objects,
    })
}

pub(crate) fn object(version: &str, kind: &str, name: &str, meta: Value, spec: Value) -> Value {
    let mut meta = meta;
    meta["name"] = json!(name);
    meta["uid"] = json!(format!("{kind}-{name}"));
    meta["creationTimestamp"] = json!("2026-01-02T03:00:00Z");
    json!({"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec})
}

fn with(mut object: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

fn instance_type(at: usize, bytes: &[u8]) -> Value {
    let mut own = Choices::of(bytes);
    let cpu = [2, 4, 8, 16, 1][own.next() % 5];
    let memory = cpu * [4, 2, 8][own.next() % 3];
    let arch = own.pick(&["amd64", "amd64", "arm64"]);
    let size = if cpu > 4 { "large" } else { "small" };
    let mut requirements = vec![
        json!({"key": "kubernetes.io/arch", "operator": "In", "values": [arch]}),
        json!({"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}),
        json!({"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [format!("type-{at}")]}),
    ];
    requirements.push(if own.with(15) {
        json!({"key": "size", "operator": "DoesNotExist"})
    } else {
        json!({"key": "size", "operator": "In", "values": [size]})
    });
    let mut offerings = Vec::new();
    for zone in ZONES {
        for kind in CAPACITY_TYPES {
            if own.with(25) || (kind == "reserved" && !own.with(20)) {
                continue;
            }
            let base = 10 * cpu + memory + own.next() % 16;
            let price = match kind {
                "on-demand" => base * 1000,
                "spot" => base * 300,
                _ => base,
            };
            let mut requirements = vec![
                json!({"key": ZONE, "operator": "In", "values": [zone]}),
                json!({"key": "karpenter.sh/capacity-type", "operator": "In", "values": [kind]}),
            ];
            let mut offering =
                json!({"price": price as f64 / 1e6, "available": kind == "reserved" || !own.with(15)});
            if kind == "reserved" {
                let id = format!("r-{at}-{zone}");
                requirements
                    .push(json!({"key": "example.com/reservation", "operator": "In", "values": [id]}));
                offering["reservationCapacity"] = json!(own.next() % 3 + 1);
            }
            offering["requirements"] = json!(requirements);
            offerings.push(offering);
        }
    }
    json!({
        "name": format!("type-{at}"),
        "capacity": {"cpu": cpu.to_string(), "memory": format!("{memory}Gi"), "pods": "12"},
        "overhead": {"kubeReserved": {"cpu": "100m", "memory": "100Mi"}},
        "requirements": requirements, "offerings": offerings,
    })
}

fn pool(at: usize, bytes: &[u8]) -> Value {
    let mut own = Choices::of(bytes);
    let mut requirements = Vec::new();
    match own.next() % 4 {
        1 => requirements.push(json!({"key": ZONE, "operator": "In", "values": ["zone-a", "zone-b"]})),
        2 => requirements.push(json!({"key": ZONE, "operator": "NotIn", "values": ["zone-a"]})),
        _ => {}
    }
    match own.next() % 4 {
        1 => requirements.push(json!({"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]})),
        2 => requirements
            .push(json!({"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand", "reserved"]})),
        _ => {}
    }
    if own.with(30) {
        requirements.push(json!({"key": "example.com/team", "operator": "In", "values": ["blue", "red"]}));
    }
    if own.with(25) {
        let least = own.next() % 3 + 1;
        requirements.push(
            json!({"key": "node.kubernetes.io/instance-type", "operator": "Exists", "minValues": least}),
        );
    }
    let mut template = json!({
        "spec": {"requirements": requirements, "nodeClassRef": {"group": "example.com", "kind": "Class", "name": "default"}},
    });
    if own.with(25) {
        template["metadata"] = json!({"labels": {"example.com/label": "x"}});
    }
    if own.with(30) {
        let effect = own.pick(&["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        template["spec"]["taints"] = json!([{"key": "dedicated", "value": "a", "effect": effect}]);
    }
    if own.with(15) {
        template["spec"]["startupTaints"] = json!([{"key": "starting", "effect": "NoSchedule"}]);
    }
    let mut spec = json!({"template": template, "weight": ([1, 10, 50][own.next() % 3])});
    if own.with(40) {
        spec["limits"] = match own.next() % 4 {
            0 => json!({"cpu": "20"}),
            1 => json!({"nodes": "2"}),
            2 => json!({"memory": "30Gi", "nodes": "4"}),
            _ => json!({"cpu": "6"}),
        };
    }
    let mut made = object("karpenter.sh/v1", "NodePool", &format!("pool-{at}"), json!({}), spec);
    made["status"] = json!({"conditions": [{"type": "Ready", "status": "True"}]});
    made
}

fn overlay(at: usize, bytes: &[u8]) -> Value {
    let mut own = Choices::of(bytes);
    let mut requirements = Vec::new();
    for _ in 0..own.next() % 3 {
        requirements.push(expression(&mut own));
    }
    if own.with(30) {
        let pool = own.pick(&["pool-0", "pool-1"]);
        requirements.push(json!({"key": "karpenter.sh/nodepool", "operator": "In", "values": [pool]}));
    }
    let mut spec = json!({"requirements": requirements});
    match own.next() % 5 {
        0 => spec["priceAdjustment"] = json!("-40%"),
        1 => spec["priceAdjustment"] = json!("+0.01"),
        2 => spec["price"] = json!("0.0123"),
        3 => spec["priceAdjustment"] = json!("-1.5"),
        _ => {}
    }
    if own.with(40) {
        spec["capacity"] = json!({"example.com/device": ([1, 2, 3][own.next() % 3]).to_string()});
    }
    match own.next() % 3 {
        0 => {}
        1 => spec["weight"] = json!(5),
        _ => spec["weight"] = json!(6),
    }
    object("karpenter.sh/v1alpha1", "NodeOverlay", &format!("overlay-{at}"), json!({}), spec)
}

/// A buffer with the PodTemplate or Deployment whose pods it keeps room for.
fn buffer(at: usize, bytes: &[u8], objects: &mut Vec<Value>) {
    let mut own = Choices::of(bytes);
    let scalable = own.with(40);
    let count = own.next() % 4;
    let meta = || json!({"namespace": "default"});
    let name = format!("buffer-{at}");
    let (labels, mut spec) = pod(&mut own);
    spec["volumes"] = json!([{"name": "scratch", "persistentVolumeClaim": {"claimName": "none"}}]);
    let template = json!({"metadata": {"labels": labels}, "spec": spec});
    let of_buffer = if scalable {
        let of_workload = json!({"replicas": 4, "selector": {"matchLabels": labels}, "template": template});
        objects.push(object("apps/v1", "Deployment", &name, meta(), of_workload));
        json!({"scalableRef": {"kind": "Deployment", "name": name}, "percentage": 20 * count})
    } else {
        let mut made = object("v1", "PodTemplate", &name, meta(), json!({}));
        made["spec"].take();
        objects.push(with(made, json!({"template": template})));
        json!({"podTemplateRef": {"name": name}, "replicas": count, "limits": {"cpu": "3"}})
    };
    objects.push(object("autoscaling.x-k8s.io/v1beta1", "CapacityBuffer", &name, meta(), of_buffer));
}

fn daemon(at: usize, bytes: &[u8]) -> Value {
    let mut own = Choices::of(bytes);
    let cpu = own.pick(&["100m", "300m", "700m"]);
    let mut spec =
        json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]});
    if own.with(40) {
        spec["tolerations"] = json!([{"operator": "Exists"}]);
    }
    if own.with(25) {
        spec["nodeSelector"] = json!({"kubernetes.io/arch": "arm64"});
    }
    if own.with(20) {
        spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}]);
    }
    let name = format!("ds-{at}");
    let labels = json!({"ds": name});
    let spec = json!({"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": spec}});
    object("apps/v1", "DaemonSet", &name, json!({"namespace": "default"}), spec)
}

/// A node with its claim and pods; or a claim on its way.
fn node(at: usize, bytes: &[u8], pools: usize, types: &[Value], objects: &mut Vec<Value>) {
    let mut own = Choices::of(bytes);
    let one = &types[own.next() % types.len()];
    let pool = own.next() % pools;
    let taints = objects.iter().find(|object| object["metadata"]["name"] == format!("pool-{pool}"));
    let taints = taints.map(|pool| pool["spec"]["template"]["spec"]["taints"].clone()).unwrap_or_default();
    let name = format!("node-{at}");
    let mut labels = Map::new();
    for requirement in one["requirements"].as_array().into_iter().flatten() {
        if requirement["operator"] == "In" {
            labels.insert(
                requirement["key"].as_str().unwrap_or_default().to_owned(),
                requirement["values"][0].clone(),
            );
        }
    }
    let mut label = |key: &str, value: &str| labels.insert(key.to_owned(), json!(value));
    label(ZONE, own.pick(&ZONES));
    label("karpenter.sh/capacity-type", own.pick(&["on-demand", "spot"]));
    label("karpenter.sh/nodepool", &format!("pool-{pool}"));
    if own.with(30) {
        label("example.com/team", "blue");
    }
    let instance = format!("fake:///{name}");
    let on_its_way = own.with(20);
    let initialized = !on_its_way && !own.with(20);
    let unschedulable = own.with(15);
    let status = json!({"capacity": one["capacity"], "allocatable": one["capacity"]});
    let mut claim_spec = json!({"requirements": [], "nodeClassRef": {"group": "example.com", "kind": "Class", "name": "default"}});
    if !taints.is_null() {
        claim_spec["taints"] = taints.clone();
    }
    let claim = object(
        "karpenter.sh/v1",
        "NodeClaim",
        &format!("claim-{name}"),
        json!({"labels": labels}),
        claim_spec,
    );
    let mut claim_status = status.clone();
    claim_status["providerID"] = json!(instance);
    if !on_its_way {
        claim_status["nodeName"] = json!(name);
    }
    objects.push(with(claim, json!({"status": claim_status})));
    if on_its_way {
        return;
    }
    labels.insert("karpenter.sh/registered".to_owned(), json!("true"));
    labels.insert(HOSTNAME.to_owned(), json!(name));
    if initialized {
        labels.insert("karpenter.sh/initialized".to_owned(), json!("true"));
    }
    let mut spec = json!({"providerID": instance});
    if !taints.is_null() {
        spec["taints"] = taints;
    }
    if unschedulable {
        spec["unschedulable"] = json!(true);
    }
    objects
        .push(with(object("v1", "Node", &name, json!({"labels": labels}), spec), json!({"status": status})));
    if own.with(40) {
        let driver = json!({"name": DRIVER, "nodeID": name, "allocatable": {"count": own.next() % 2 + 1}});
        objects.push(object("storage.k8s.io/v1", "CSINode", &name, json!({}), json!({"drivers": [driver]})));
    }
    for number in 0..own.next() % 3 {
        let app = own.pick(&APPS);
        let mut spec = json!({
            "nodeName": name,
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "200m", "memory": "128Mi"}}}],
        });
        if own.with(25) {
            let term = affinity_term(&mut own);
            spec["affinity"] =
                json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
        }
        let meta = json!({"namespace": "default", "labels": {"app": app}});
        let pod = object("v1", "Pod", &format!("bound-{at}-{number}"), meta, spec);
        objects.push(with(pod, json!({"status": {"phase": "Running"}})));
    }
}

fn affinity_term(own: &mut Choices<'_>) -> Value {
    let mut term = json!({
        "labelSelector": {"matchLabels": {"app": own.pick(&APPS)}},
        "topologyKey": own.pick(&KEYS),
    });
    match own.next() % 8 {
        5 => term["namespaces"] = json!(["other"]),
        6 => term["namespaceSelector"] = json!({}),
        7 => term["labelSelector"] = json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
        _ => {}
    }
    term
}

/// One expression of a node selector term.
fn expression(own: &mut Choices<'_>) -> Value {
    match own.next() % 8 {
        0 => json!({"key": ZONE, "operator": "In", "values": [own.pick(&ZONES)]}),
        1 => json!({"key": ZONE, "operator": "NotIn", "values": [own.pick(&ZONES)]}),
        2 => {
            json!({"key": "kubernetes.io/arch", "operator": "In", "values": [own.pick(&["amd64", "arm64"])]})
        }
        3 => json!({"key": "size", "operator": "In", "values": ["large"]}),
        4 => {
            json!({"key": "karpenter.sh/capacity-type", "operator": "In", "values": [own.pick(&CAPACITY_TYPES)]})
        }
        5 => json!({"key": "example.com/team", "operator": "In", "values": ["blue", "green"]}),
        6 => json!({"key": "example.com/label", "operator": "DoesNotExist"}),
        _ => json!({"key": "size", "operator": "NotIn", "values": ["large"]}),
    }
}

/// Labels and spec of a pod.
fn pod(own: &mut Choices<'_>) -> (Value, Value) {
    let app = own.pick(&APPS);
    let mut container = json!({"name": "c", "resources": {"requests": {
        "cpu": own.pick(&["100m", "500m", "1", "3", "6"]), "memory": own.pick(&["128Mi", "1Gi", "3Gi"]),
    }}});
    if own.with(10) {
        container["ports"] = json!([{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}]);
    }
    let mut spec = json!({"containers": [container], "priority": ([0, 0, 0, 100][own.next() % 4])});
    if own.with(35) {
        spec["tolerations"] = match own.next() % 2 {
            0 => json!([{"operator": "Exists"}]),
            _ => json!([{"key": "dedicated", "operator": "Equal", "value": "a", "effect": "NoSchedule"}]),
        };
    }
    if own.with(15) {
        spec["nodeSelector"] = json!({ZONE: own.pick(&ZONES)});
    }
    let mut affinity = json!({});
    if own.with(30) {
        let term = |own: &mut Choices<'_>| {
            let count = own.next() % 2 + 1;
            json!({"matchExpressions": (0..count).map(|_| expression(own)).collect::<Vec<_>>()})
        };
        let count = own.next() % 3 + 1;
        let terms: Vec<Value> = (0..count).map(|_| term(own)).collect();
        affinity["nodeAffinity"] =
            json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
    }
    if own.with(20) {
        let preference = json!({"matchExpressions": [expression(own)]});
        affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
            json!([{"weight": 10, "preference": preference}]);
    }
    for (kind, percent) in [("podAffinity", 20), ("podAntiAffinity", 20)] {
        if own.with(percent) {
            let count = own.next() / 200 + 1;
            let terms: Vec<Value> = (0..count).map(|_| affinity_term(own)).collect();
            affinity[kind] = json!({"requiredDuringSchedulingIgnoredDuringExecution": terms});
        }
        if own.with(10) {
            let term = affinity_term(own);
            affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"] =
                json!([{"weight": 5, "podAffinityTerm": term}]);
        }
    }
    if affinity != json!({}) {
        spec["affinity"] = affinity;
    }
    let mut spreads = Vec::new();
    for percent in [25, 8] {
        if own.with(percent) {
            let mut spread = json!({
                "topologyKey": own.pick(&KEYS), "maxSkew": own.next() % 2 + 1,
                "whenUnsatisfiable": own.pick(&["DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"]),
                "labelSelector": {"matchLabels": {"app": if own.with(80) { app } else { own.pick(&APPS) }}},
            });
            match own.next() % 8 {
                4 if spread["whenUnsatisfiable"] == "DoNotSchedule" => {
                    spread["minDomains"] = json!(own.next() % 3 + 1)
                }
                5 => spread["nodeTaintsPolicy"] = json!("Honor"),
                6 => spread["nodeAffinityPolicy"] = json!("Ignore"),
                _ => {}
            }
            if spreads.iter().all(|other: &Value| other["topologyKey"] != spread["topologyKey"]) {
                spreads.push(spread);
            }
        }
    }
    if !spreads.is_empty() {
        spec["topologySpreadConstraints"] = json!(spreads);
    }
    if own.with(15) {
        spec["volumes"] = json!([{"name": own.pick(&["pending", "bound", "shared"])}]);
    }
    if own.with(8) {
        spec["containers"][0]["resources"]["requests"]["example.com/device"] = json!("1");
    }
    (json!({"app": app}), spec)
}

fn volume(claim: &str, namespace: &str, kind: &str, objects: &mut Vec<Value>) {
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"], "storageClassName": "zonal", "resources": {"requests": {"storage": "1Gi"}},
    });
    let mut phase = "Pending";
    if kind != "pending" {
        let volume = format!("pv-{namespace}-{claim}");
        spec["volumeName"] = json!(volume);
        phase = "Bound";
        let term = json!({"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["zone-b"]}]});
        let of_volume = json!({
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "zonal",
            "csi": {"driver": DRIVER, "volumeHandle": volume},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        });
        objects.push(object("v1", "PersistentVolume", &volume, json!({}), of_volume));
    }
    let made = object("v1", "PersistentVolumeClaim", claim, json!({"namespace": namespace}), spec);
    objects.push(with(made, json!({"status": {"phase": phase}})));
}
