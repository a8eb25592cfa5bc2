//! `purser solve` with resource claims, as its users run it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::{Value, json};

const DRIVER: &str = "gpu.example.com";

/// An object of `resource.k8s.io`.
fn resource(kind: &str, name: &str, spec: Value) -> Value {
    let mut metadata = json!({"name": name});
    if kind.starts_with("ResourceClaim") {
        metadata["namespace"] = json!("default");
    }
    json!({"apiVersion": "resource.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
}

/// Names in alphabetical order, as UIDs in the same order.
fn uid(name: &str) -> String {
    let letters = name.bytes().chain(std::iter::repeat(0)).take(16);
    let hex: String = letters.map(|letter| format!("{letter:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A pod with a claim: `("resourceClaimName", "c")` or `("resourceClaimTemplateName", "t")`.
fn pod(name: &str, (from, source): (&str, &str)) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "uid": uid(name)},
        "spec": {
            "resourceClaims": [{"name": "gpu", from: source}],
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}, "claims": [{"name": "gpu"}]}}],
        },
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
    })
}

fn template(name: &str, devices: Value) -> Value {
    resource("ResourceClaimTemplate", name, json!({"spec": {"devices": devices}}))
}

/// Devices of one kind for one purpose.
fn exactly(more: Value) -> Value {
    let mut exactly = json!({"deviceClassName": "gpu"});
    exactly.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!([{"name": "r", "exactly": exactly}])
}

fn gpu(name: &str, model: &str, memory: &str) -> Value {
    json!({
        "name": name, "attributes": {"model": {"string": model}, "numa": {"int": name.len() as i64}, "driver": {"version": "1.10.0"}},
        "capacity": {"memory": {"value": memory}},
    })
}

fn instance_type(name: &str, price: f64, devices: Value) -> Value {
    json!({
        "name": name, "capacity": {"cpu": "8", "memory": "32Gi", "pods": "20"},
        "requirements": [{"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [name]}],
        "offerings": [{"zone": "z1", "capacityType": "on-demand", "price": price, "available": true}],
        "resourceSlices": [{"driver": DRIVER, "devices": devices}],
    })
}

/// A node of type `one` with a slice of its own.
fn node(name: &str, devices: Value) -> [Value; 3] {
    let labels = json!({
        "karpenter.sh/nodepool": "p", "karpenter.sh/registered": "true", "karpenter.sh/initialized": "true",
        "node.kubernetes.io/instance-type": "one", "kubernetes.io/hostname": name,
    });
    let status =
        json!({"providerID": name, "capacity": {"cpu": "8"}, "allocatable": {"cpu": "8", "pods": "20"}});
    let class = json!({"requirements": [], "nodeClassRef": {"group": "g", "kind": "K", "name": "n"}});
    [
        json!({"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": format!("c-{name}"), "labels": labels},
            "spec": class, "status": status}),
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {"providerID": name},
            "status": {"allocatable": status["allocatable"], "conditions": [{"type": "Ready", "status": "True"}]}}),
        resource(
            "ResourceSlice",
            &format!("s-{name}"),
            json!({"driver": DRIVER, "nodeName": name, "devices": devices,
                "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}}),
        ),
    ]
}

/// A pool; types without devices, with one and with four of them; a class that takes them; and whatever else there is.
fn scenario(objects: impl IntoIterator<Item = Value>) -> Value {
    let four: Vec<Value> = ["a", "b", "cc", "dd"].iter().map(|name| gpu(name, "large", "40Gi")).collect();
    let mut all = vec![
        json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"}, "spec": {"template": {"spec": {
            "requirements": [], "nodeClassRef": {"group": "g", "kind": "K", "name": "n"}}}},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
        resource(
            "DeviceClass",
            "gpu",
            json!({"selectors": [{"cel": {"expression": format!("device.driver == '{DRIVER}'")}}]}),
        ),
    ];
    all.extend(objects);
    json!({
        "name": "devices", "now": "2026-01-02T03:04:05Z", "settings": {"ignoreDRARequests": false},
        "instanceTypes": [
            instance_type("none", 0.1, json!([])),
            instance_type("one", 0.2, json!([gpu("a", "small", "16Gi")])),
            instance_type("four", 0.9, json!(four)),
        ],
        "objects": all,
    })
}

/// What comes of a scenario; the checker has nothing against it.
fn solve(scenario: &Value) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.json");
    std::fs::write(&path, scenario.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_purser"))
        .args(["solve", path.to_str().unwrap(), "-o", "json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let warned = String::from_utf8_lossy(&output.stderr);
    assert!(warned.is_empty(), "{warned}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let none = |name: &str| panic!("there is no catalogue {name}");
    let judged = purser_checker::Scenario::from_value(scenario.clone(), &none).unwrap();
    let broken =
        purser_checker::check(&judged, &purser_checker::Outcome::from_value(answer.clone()).unwrap());
    assert!(broken.is_empty(), "{broken:?}");
    answer
}

/// For each launch its cheapest type and its pods.
fn launches(result: &Value) -> Vec<(&str, Vec<&str>)> {
    let claims = result["newNodeClaims"].as_array().unwrap().iter();
    claims
        .map(|claim| {
            let pods = claim["pods"].as_array().unwrap().iter().map(|pod| pod.as_str().unwrap());
            (claim["cheapestInstanceType"].as_str().unwrap(), pods.collect())
        })
        .collect()
}

/// The devices of a pod's claim on a type or node.
fn devices<'r>(result: &'r Value, pod: &str, place: &str) -> Vec<&'r str> {
    let all = result["deviceAllocations"].as_array().unwrap().iter();
    let is_there = |one: &&Value| {
        one["pod"] == pod
            && (one["node"] == place
                || one["instanceTypes"].as_array().is_some_and(|types| types.contains(&json!(place))))
    };
    let found: Vec<&Value> = all.filter(is_there).collect();
    assert_eq!(found.len(), 1, "{pod} on {place}: {:#}", result["deviceAllocations"]);
    found[0]["devices"].as_array().unwrap().iter().map(|one| one["device"].as_str().unwrap()).collect()
}

fn reason<'r>(result: &'r Value, pod: &str) -> (&'r str, &'r Value) {
    let reason = &result["reasons"][pod][0];
    (reason["reasonId"].as_str().unwrap_or_default(), &reason["params"])
}

#[test]
fn a_claim_is_launched_for_where_there_are_enough_devices() {
    let result = solve(&scenario([
        template("one", json!({"requests": exactly(json!({}))})),
        template("three", json!({"requests": exactly(json!({"count": 3}))})),
        template("five", json!({"requests": exactly(json!({"count": 5}))})),
        pod("single", ("resourceClaimTemplateName", "one")),
        pod("many", ("resourceClaimTemplateName", "three")),
        pod("excess", ("resourceClaimTemplateName", "five")),
    ]));
    // One node with four devices costs more than its own node for each, but the large one has to be anyway.
    assert_eq!(launches(&result), [("four", vec!["default/many", "default/single"])]);
    assert_eq!(devices(&result, "default/many", "four"), ["a", "b", "cc"]);
    assert_eq!(devices(&result, "default/single", "four"), ["dd"]);
    let (id, params) = reason(&result, "default/excess");
    assert_eq!((id, &params["claim"]), ("devices-unavailable", &json!("gpu")));
}

#[test]
fn devices_of_a_node_are_used_up_and_those_in_use_are_left_alone() {
    let mut taken = resource("ResourceClaim", "taken", json!({"devices": {"requests": exactly(json!({}))}}));
    taken["status"] = json!({
        "allocation": {
            "devices": {"results": [{"request": "r", "driver": DRIVER, "pool": "n1", "device": "a"}]},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]},
        },
        "reservedFor": [{"resource": "pods", "name": "somebody", "uid": "u"}],
    });
    let mut objects: Vec<Value> =
        node("n1", json!([gpu("a", "small", "16Gi"), gpu("b", "small", "16Gi")])).into();
    objects.extend(node("n2", json!([])));
    objects.extend([
        taken,
        template("one", json!({"requests": exactly(json!({}))})),
        pod("first", ("resourceClaimTemplateName", "one")),
        pod("second", ("resourceClaimTemplateName", "one")),
        pod("user", ("resourceClaimName", "taken")),
    ]);
    let result = solve(&scenario(objects));
    let there = &result["existingNodes"];
    assert_eq!(there.as_array().unwrap().len(), 1, "{there}");
    assert_eq!(there[0]["pods"], json!(["default/first", "default/user"]), "{result:#}");
    assert_eq!(devices(&result, "default/first", "n1"), ["b"]);
    assert_eq!(launches(&result), [("one", vec!["default/second"])]);
}

#[test]
fn a_claim_of_several_pods_keeps_them_together() {
    let mut pods: Vec<Value> =
        (0..3).map(|n| pod(&format!("shares-{n}"), ("resourceClaimName", "common"))).collect();
    pods.extend((0..2).map(|n| pod(&format!("own-{n}"), ("resourceClaimTemplateName", "one"))));
    pods.push(resource("ResourceClaim", "common", json!({"devices": {"requests": exactly(json!({}))}})));
    pods.push(template("one", json!({"requests": exactly(json!({}))})));
    // With seven cores each only one fits a node.
    let mut apart = scenario(pods.clone());
    for object in apart["objects"].as_array_mut().unwrap() {
        if object["metadata"]["name"].as_str().unwrap().starts_with("shares") {
            object["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("7");
        }
    }
    let result = solve(&scenario(pods));
    let together: Vec<_> =
        launches(&result).into_iter().filter(|(_, pods)| pods.contains(&"default/shares-0")).collect();
    assert_eq!(together.len(), 1);
    assert!(["default/shares-1", "default/shares-2"].iter().all(|pod| together[0].1.contains(pod)));
    assert_eq!(result["podErrors"], json!({}));
    let result = solve(&apart);
    let lost = result["podErrors"].as_object().unwrap();
    assert_eq!(lost.keys().collect::<Vec<_>>(), ["default/shares-1", "default/shares-2"]);
    assert_eq!(reason(&result, "default/shares-1").0, "claim-elsewhere");
}

#[test]
fn selectors_alternatives_and_constraints_choose_devices() {
    let cel = |text: &str| json!([{"cel": {"expression": text}}]);
    let wanted = |text: &str| json!({"requests": exactly(json!({"selectors": cel(text)}))});
    let cases = [
        (
            "a model and enough memory",
            wanted(&format!(
                "device.attributes['{DRIVER}'].model.lowerAscii().matches('^lar') && \
                 device.capacity['{DRIVER}'].memory.compareTo(quantity('30Gi')) >= 0"
            )),
            Ok(("four", vec!["a"])),
        ),
        (
            "a version, numerically compared",
            wanted(&format!("device.attributes['{DRIVER}'].driver.isGreaterThan(semver('1.9.0'))")),
            Ok(("one", vec!["a"])),
        ),
        (
            "a domain that no device has",
            wanted("!has(device.attributes['other.example.com'].x)"),
            Ok(("one", vec!["a"])),
        ),
        (
            "an attribute that no device has",
            wanted("device.attributes['other.example.com'].x == 'y'"),
            Err(("devices-unavailable", "gpu")),
        ),
        (
            "devices near each other",
            json!({
                "requests": [{"name": "x", "exactly": {"deviceClassName": "gpu"}}, {"name": "y", "exactly": {
                    "deviceClassName": "gpu", "selectors": cel(&format!("device.attributes['{DRIVER}'].numa == 2"))}}],
                "constraints": [{"requests": ["x", "y"], "matchAttribute": format!("{DRIVER}/numa")}],
            }),
            Ok(("four", vec!["cc", "dd"])),
        ),
        (
            "three devices near each other",
            json!({"requests": exactly(json!({"count": 3})), "constraints": [{"matchAttribute": format!("{DRIVER}/numa")}]}),
            Err(("devices-unavailable", "gpu")),
        ),
        (
            "the second best",
            json!({"requests": [{"name": "r", "firstAvailable": [
                {"name": "huge", "deviceClassName": "gpu", "count": 8},
                {"name": "some", "deviceClassName": "gpu", "count": 2}]}]}),
            Ok(("four", vec!["a", "b"])),
        ),
        (
            "all there are",
            json!({"requests": exactly(json!({"allocationMode": "All", "selectors": cel(&format!("device.attributes['{DRIVER}'].model == 'large'"))}))}),
            Ok(("four", vec!["a", "b", "cc", "dd"])),
        ),
        (
            "an expression that cannot be read",
            wanted("device.driver = 'x'"),
            Err(("device-selector-invalid", "ResourceClaimTemplate default/t")),
        ),
        (
            "a name that nobody declared",
            wanted("node.name == 'x'"),
            Err(("device-selector-invalid", "ResourceClaimTemplate default/t")),
        ),
        (
            "an expression that is no question",
            wanted("device.driver"),
            Err(("device-selector-invalid", "ResourceClaimTemplate default/t")),
        ),
        (
            "access for administrators",
            json!({"requests": exactly(json!({"adminAccess": true}))}),
            Err(("device-feature-unsupported", "ResourceClaimTemplate default/t")),
        ),
        (
            "devices that differ",
            json!({"requests": exactly(json!({})), "constraints": [{"distinctAttribute": "a.example.com/b"}]}),
            Err(("device-feature-unsupported", "ResourceClaimTemplate default/t")),
        ),
        (
            "a class that is not there",
            json!({"requests": [{"name": "r", "exactly": {"deviceClassName": "tpu"}}]}),
            Err(("device-object-missing", "DeviceClass tpu")),
        ),
    ];
    for (what, devices_wanted, expected) in cases {
        let plain = template("plain", json!({"requests": exactly(json!({}))}));
        let result = solve(&scenario([
            template("t", devices_wanted),
            plain,
            pod("x", ("resourceClaimTemplateName", "t")),
            pod("z", ("resourceClaimTemplateName", "plain")),
        ]));
        // Whatever is wrong with one pod's claim is no other pod's business.
        assert!(result["podErrors"].get("default/z").is_none(), "{what}");
        match expected {
            Ok((place, given)) => {
                assert_eq!(result["podErrors"], json!({}), "{what}");
                assert_eq!(devices(&result, "default/x", place), given, "{what}");
            }
            Err((id, about)) => {
                let (found, params) = reason(&result, "default/x");
                let named = params["object"].as_str().or(params["claim"].as_str());
                assert_eq!((found, named), (id, Some(about)), "{what}: {:#}", result["reasons"]);
            }
        }
    }
}

#[test]
fn missing_claims_are_named_and_ignored_ones_say_so() {
    let objects =
        || [pod("a", ("resourceClaimName", "gone")), pod("b", ("resourceClaimTemplateName", "gone"))];
    let result = solve(&scenario(objects()));
    for (pod, kind) in [("default/a", "ResourceClaim"), ("default/b", "ResourceClaimTemplate")] {
        let (id, params) = reason(&result, pod);
        assert_eq!(
            (id, &params["object"]),
            ("device-object-missing", &json!(format!("{kind} default/gone")))
        );
        assert!(result["podErrors"][pod].as_str().unwrap().contains("default/gone"));
    }
    let mut ignoring = scenario(objects());
    ignoring["settings"]["ignoreDRARequests"] = json!(true);
    let ignored = solve(&ignoring);
    ignoring["settings"] = json!({});
    assert_eq!(solve(&ignoring), ignored, "that is the default");
    let (id, params) = reason(&ignored, "default/a");
    assert_eq!((id, &params["field"]), ("constraint-not-evaluated", &json!("resourceClaims: gpu")));
}

#[test]
fn partitions_and_shared_devices_take_no_more_than_there_is() {
    let partition = |name: &str, memory: &str| json!({"name": name, "consumesCounters": [{"counterSet": "card", "counters": {"memory": {"value": memory}}}]});
    let mut cut = scenario([
        template("t", json!({"requests": exactly(json!({}))})),
        pod("a", ("resourceClaimTemplateName", "t")),
        pod("b", ("resourceClaimTemplateName", "t")),
        pod("c", ("resourceClaimTemplateName", "t")),
    ]);
    let slice = json!([{
        "driver": DRIVER, "devices": [partition("whole", "80Gi"), partition("half-1", "40Gi"), partition("half-2", "40Gi")],
        "sharedCounters": [{"name": "card", "counters": {"memory": {"value": "80Gi"}}}],
    }]);
    cut["instanceTypes"] = json!([instance_type("card", 1.0, json!([]))]);
    cut["instanceTypes"][0]["resourceSlices"] = slice;
    // The whole card comes first, so that one pod has it for itself.
    let result = solve(&cut);
    assert_eq!(result["podErrors"], json!({}));
    assert_eq!(launches(&result).len(), 3, "{:#}", result["deviceAllocations"]);
    // Whoever asks for halves gets two of them on a card.
    for object in cut["objects"].as_array_mut().unwrap() {
        if object["kind"] == "DeviceClass" {
            object["spec"]["selectors"][0]["cel"]["expression"] =
                json!("device.driver == 'gpu.example.com' && device.attributes['gpu.example.com'].half");
        }
    }
    for (at, half) in [(0, false), (1, true), (2, true)] {
        cut["instanceTypes"][0]["resourceSlices"][0]["devices"][at]["attributes"] =
            json!({"half": {"bool": half}});
    }
    assert_eq!(launches(&solve(&cut)).len(), 2);

    let mut shared = scenario([
        template("t", json!({"requests": exactly(json!({"capacity": {"requests": {"memory": "13Gi"}}}))})),
        pod("a", ("resourceClaimTemplateName", "t")),
        pod("b", ("resourceClaimTemplateName", "t")),
        pod("c", ("resourceClaimTemplateName", "t")),
    ]);
    let range = json!({"default": "10Gi", "validRange": {"min": "10Gi", "step": "5Gi", "max": "40Gi"}});
    let device = json!({"name": "a", "allowMultipleAllocations": true, "capacity": {"memory": {"value": "40Gi", "requestPolicy": range}}});
    shared["instanceTypes"] = json!([instance_type("card", 1.0, json!([device]))]);
    // 13 GiB are taken as 15, of which 40 hold two.
    let result = solve(&shared);
    let counts: Vec<usize> = launches(&result).iter().map(|(_, pods)| pods.len()).collect();
    assert_eq!((counts, &result["podErrors"]), (vec![2, 1], &json!({})));
}

#[test]
fn daemon_pods_have_their_devices_first() {
    let daemons = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"d": "d"}}, "template": {"metadata": {"labels": {"d": "d"}}, "spec": {
            "resourceClaims": [{"name": "x", "resourceClaimTemplateName": "t"}], "containers": [{"name": "c"}]}}},
    });
    let result = solve(&scenario([
        daemons,
        template("t", json!({"requests": exactly(json!({}))})),
        pod("x", ("resourceClaimTemplateName", "t")),
    ]));
    assert_eq!(launches(&result), [("four", vec!["default/x"])]);
    assert_eq!(devices(&result, "default/x", "four"), ["b"]);
}
