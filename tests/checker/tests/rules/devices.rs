//! Rules about devices that resource claims get.

use purser_checker::Rule;
use serde_json::{Value, json};

use crate::cluster::{Cluster, cluster};

const DRIVER: &str = "gpu.example.com";

/// Types `small` with two devices and `large` with none; a class; pods `p` and `q` that want each one of them on a new node.
fn devices(request: Value) -> Cluster {
    let mut ask = json!({"deviceClassName": "gpu"});
    ask.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let claim = json!({"resourceClaims": [{"name": "c", "resourceClaimTemplateName": "t"}],
        "containers": [{"name": "c", "resources": {"requests": {"cpu": "100m"}}}]});
    let meta = json!({"name": "t", "namespace": "default"});
    let expression = format!("device.driver == '{DRIVER}'");
    let mut one = cluster()
        .setting("ignoreDRARequests", json!(false))
        .object(json!({"kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {"selectors": [{"cel": {"expression": expression}}]}}))
        .object(json!({"kind": "ResourceClaimTemplate", "metadata": meta,
            "spec": {"spec": {"devices": {"requests": [{"name": "r", "exactly": ask}]}}}}))
        .pending("p", claim.clone())
        .pending("q", claim)
        .claim("small", "a", &["p", "q"]);
    let device = |name: &str, numa: i64| json!({"name": name, "attributes": {"numa": {"int": numa}}, "capacity": {"memory": {"value": "16Gi"}}});
    one.scenario["instanceTypes"][0]["resourceSlices"] =
        json!([{"driver": DRIVER, "devices": [device("a", 0), device("b", 1)]}]);
    one
}

impl Cluster {
    /// A pod's claim gets these devices of `small`.
    fn given(mut self, pod: &str, names: &[&str]) -> Self {
        let devices: Vec<Value> =
            names.iter().map(|name| json!({"request": "r", "driver": DRIVER, "device": name})).collect();
        if self.answer["deviceAllocations"].is_null() {
            self.answer["deviceAllocations"] = json!([]);
        }
        let all = self.answer["deviceAllocations"].as_array_mut().unwrap();
        all.push(json!({
            "pod": format!("default/{pod}"), "claim": "c", "newNodeClaim": 0, "instanceTypes": ["small"], "devices": devices,
        }));
        self
    }

    fn device(mut self, at: usize, field: &str, value: Value) -> Self {
        self.scenario["instanceTypes"][0]["resourceSlices"][0]["devices"][at][field] = value;
        self
    }
}

const BROKEN: Rule = Rule::DynamicResources;

#[test]
fn each_claim_gets_what_it_asks_for_and_nobody_elses() {
    let one = || devices(json!({}));
    one().given("p", &["a"]).given("q", &["b"]).passes();
    one().given("p", &["a"]).given("q", &["a"]).breaks(BROKEN);
    one().given("p", &["a"]).breaks(BROKEN);
    one().given("p", &["a", "b"]).given("q", &["b"]).breaks(BROKEN);
    one().given("p", &["a"]).given("q", &["z"]).breaks(BROKEN);
    one().given("p", &["a"]).given("q", &[]).breaks(BROKEN);
    one()
        .given("p", &["a"])
        .given("q", &["b"])
        .with_claim("instanceTypes", json!(["small", "large"]))
        .breaks(BROKEN);
    one().setting("ignoreDRARequests", json!(true)).given("p", &["a"]).given("q", &["b"]).breaks(BROKEN);
    let tainted = json!([{"key": "k", "effect": "NoSchedule"}]);
    one().device(1, "taints", tainted).given("p", &["a"]).given("q", &["b"]).breaks(BROKEN);
}

#[test]
fn selectors_capacity_and_all_devices() {
    let select = |text: &str| json!({"selectors": [{"cel": {"expression": text}}]});
    let numa = |value: &str| devices(select(&format!("device.attributes['{DRIVER}'].numa {value}")));
    numa("< 2").given("p", &["a"]).given("q", &["b"]).passes();
    numa("== 0").given("p", &["a"]).given("q", &["b"]).breaks(BROKEN);
    let memory = |size: &str| {
        let text = format!("device.capacity['{DRIVER}'].memory.isGreaterThan(quantity('{size}'))");
        devices(select(&text)).given("p", &["a"]).given("q", &["b"])
    };
    memory("15Gi").passes();
    memory("16Gi").breaks(BROKEN);
    let capacity = |size: &str| {
        devices(json!({"capacity": {"requests": {"memory": size}}})).given("p", &["a"]).given("q", &["b"])
    };
    capacity("16Gi").passes();
    capacity("17Gi").breaks(BROKEN);
    let all = || devices(json!({"allocationMode": "All"})).given("p", &["a", "b"]);
    all().given("q", &["a", "b"]).breaks(BROKEN);
    devices(json!({"allocationMode": "All"})).given("p", &["a"]).given("q", &["b"]).breaks(BROKEN);
}

#[test]
fn constraints_counters_and_shared_devices() {
    let alike = |request: Value| {
        let mut one = devices(request);
        let template = one.scenario["objects"].as_array_mut().unwrap();
        let template = template.iter_mut().find(|one| one["kind"] == "ResourceClaimTemplate").unwrap();
        template["spec"]["spec"]["devices"]["constraints"] =
            json!([{"matchAttribute": format!("{DRIVER}/numa")}]);
        one
    };
    alike(json!({})).given("p", &["a"]).given("q", &["b"]).passes();
    let two = alike(json!({"count": 2})).given("p", &["a", "b"]).given("q", &["c", "d"]);
    let extended = |mut one: Cluster, numa: [i64; 4]| {
        one.scenario["instanceTypes"][0]["resourceSlices"][0]["devices"] = ["a", "b", "c", "d"]
            .iter()
            .zip(numa)
            .map(|(name, numa)| json!({"name": name, "attributes": {"numa": {"int": numa}}}))
            .collect();
        one
    };
    let again = alike(json!({"count": 2})).given("p", &["a", "b"]).given("q", &["c", "d"]);
    extended(two, [0, 0, 1, 1]).passes();
    extended(again, [0, 1, 1, 1]).breaks(BROKEN);

    let counted = |slots: &str| {
        let consumes = json!([{"counterSet": "s", "counters": {"slots": {"value": "2"}}}]);
        let mut one = devices(json!({})).device(0, "consumesCounters", consumes.clone()).device(
            1,
            "consumesCounters",
            consumes,
        );
        one.scenario["instanceTypes"][0]["resourceSlices"][0]["sharedCounters"] =
            json!([{"name": "s", "counters": {"slots": {"value": slots}}}]);
        one.given("p", &["a"]).given("q", &["b"])
    };
    counted("4").passes();
    counted("3").breaks(BROKEN);

    let shared = |size: &str| {
        let mut one = devices(json!({"capacity": {"requests": {"memory": size}}}));
        one = one.device(0, "allowMultipleAllocations", json!(true));
        one.given("p", &["a"]).given("q", &["a"])
    };
    shared("8Gi").passes();
    shared("9Gi").breaks(BROKEN);
}
