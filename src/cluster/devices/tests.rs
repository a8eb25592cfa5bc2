//! What is told when of devices and claims.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use k8s_openapi::api::resource::v1::{ResourceClaimTemplate, ResourceSlice};
use purser_engine::model::ResourceClaim as Told;
use purser_engine::reason::ReasonId;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::watching::{Key, Reader};

fn saw<K: DeserializeOwned>(devices: &Devices, object: Value) -> Vec<Observation>
where
    Devices: Reader<K>,
{
    Reader::<K>::saw(devices, &serde_json::from_value(object).unwrap()).unwrap()
}

fn key(namespace: &str, name: &str) -> Key {
    Key { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn class(expression: &str) -> Value {
    json!({"metadata": {"name": "gpu", "labels": {"not": "read"}}, "spec": {"selectors": [{"cel": {"expression": expression}}]}})
}

fn spec(model: &str) -> Value {
    let expression = format!("device.attributes['d'].model == '{model}'");
    json!({"devices": {"requests": [{"name": "r", "exactly": {
        "deviceClassName": "gpu", "selectors": [{"cel": {"expression": expression}}]}}]}})
}

fn claim(name: &str, model: &str, status: Value) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec(model), "status": status})
}

fn template(name: &str, model: &str) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"spec": spec(model)}})
}

/// What there is on a node.
fn slice(node: &str, models: &[&str]) -> Value {
    let device = |(at, model): (usize, &&str)| json!({"name": format!("gpu-{at}"), "attributes": {"model": {"string": model}, "root": {"string": node}}});
    json!({"metadata": {"name": node}, "spec": {"driver": "d", "nodeName": node,
        "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
        "devices": models.iter().enumerate().map(device).collect::<Vec<_>>()}})
}

fn list(devices: &Devices) -> Vec<Observation> {
    assert_eq!(Reader::<DeviceClass>::listed(devices), []);
    assert_eq!(Reader::<ResourceClaim>::listed(devices), []);
    assert_eq!(Reader::<ResourceClaimTemplate>::listed(devices), []);
    Reader::<ResourceSlice>::listed(devices)
}

/// What was told, in few words.
fn words(told: &[Observation]) -> Vec<String> {
    let word = |one: &Observation| match one {
        Observation::DevicePool { key, pool, .. } => {
            let taken = pool.devices.iter().map(|device| device.takers.len().to_string());
            format!("pool {} {}", key.node, taken.collect::<Vec<_>>().join(""))
        }
        Observation::NoDevicePool(key) => format!("no pool {}", key.node),
        Observation::WideSelectors { selectors, .. } => format!("wide {}", selectors.len()),
        Observation::ResourceClaim(key, Told::Open(_)) => format!("open {}", key.name),
        Observation::ResourceClaim(key, Told::Refused(reason)) => format!("{} {}", reason.id, key.name),
        Observation::ResourceClaim(key, Told::Allocated(_)) => format!("allocated {}", key.name),
        Observation::NoResourceClaim(key) => format!("no claim {}", key.name),
        Observation::ClaimTemplate(key, Ok(_)) => format!("template {}", key.name),
        Observation::ClaimTemplate(key, Err(reason)) => format!("{} {}", reason.id, key.name),
        Observation::NoClaimTemplate(key) => format!("no template {}", key.name),
        other => panic!("{other:?}"),
    };
    told.iter().map(word).collect()
}

fn allocated() -> Value {
    json!({"allocation": {"devices": {"results": [{"request": "r", "driver": "d", "pool": "a", "device": "gpu-0"}]}}})
}

#[test]
fn all_is_told_once_all_is_listed_and_devices_before_claims() {
    let devices = Devices::looked_at();
    assert_eq!(saw::<ResourceClaim>(&devices, claim("c", "large", json!({}))), []);
    assert_eq!(saw::<ResourceClaimTemplate>(&devices, template("t", "small")), []);
    assert_eq!(saw::<ResourceSlice>(&devices, slice("a", &["large", "small"])), []);
    assert_eq!(saw::<DeviceClass>(&devices, class("true")), []);
    assert_eq!(words(&list(&devices)), ["pool a 11", "wide 0", "open c", "template t"]);
    assert_eq!(Reader::<ResourceSlice>::listed(&devices), [], "a list that is made again tells what differs");
    // Nothing of it is told where claims are not looked at.
    let ignoring = Devices::default();
    saw::<ResourceClaim>(&ignoring, claim("c", "large", json!({})));
    assert_eq!(list(&ignoring), []);
    let pod = json!({"metadata": {}, "spec": {"containers": [], "resourceClaims": [
        {"name": "gpu", "resourceClaimName": "c"}]}});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    assert_eq!(devices.claims_of(&pod), [ClaimSource::Named("c".into())]);
    assert_eq!(ignoring.claims_of(&pod), []);
}

#[test]
fn a_new_question_is_put_to_all_devices_and_an_old_one_to_none() {
    let devices = Devices::looked_at();
    saw::<DeviceClass>(&devices, class("device.driver == 'd'"));
    saw::<ResourceSlice>(&devices, slice("a", &["large", "large"]));
    saw::<ResourceSlice>(&devices, slice("b", &["small"]));
    assert_eq!(words(&list(&devices)), ["pool a 00", "pool b 0", "wide 0"]);
    let told = saw::<ResourceClaim>(&devices, claim("c", "large", json!({})));
    assert_eq!(words(&told), ["pool a 11", "open c"], "b has nothing to answer");
    let told = saw::<ResourceClaim>(&devices, claim("e", "large", json!({})));
    assert_eq!(words(&told), ["open e"]);
    let told = saw::<ResourceClaim>(&devices, claim("f", "tiny", json!({})));
    assert_eq!(words(&told), ["open f"]);
    // Claims that have their devices ask nothing, and that nobody asks is no news of devices.
    for name in ["c", "e"] {
        let told = saw::<ResourceClaim>(&devices, claim(name, "large", allocated()));
        assert_eq!(words(&told), [format!("allocated {name}")]);
    }
    assert_eq!(devices.known.as_ref().unwrap().lock().asked.selectors.len(), 1);
    let told = saw::<ResourceSlice>(&devices, slice("a", &["large", "tiny"]));
    assert_eq!(words(&told), ["pool a 01"]);
    let told = Reader::<ResourceClaim>::lost(&devices, &key("shop", "c"));
    assert_eq!(words(&told), ["no claim c"]);
    let told = saw::<ResourceClaimTemplate>(&devices, template("t", "large"));
    assert_eq!(words(&told), ["pool a 11", "template t"]);
    assert_eq!(words(&Reader::<ResourceSlice>::lost(&devices, &key("", "a"))), ["no pool a"]);
    Reader::<ResourceClaimTemplate>::lost(&devices, &key("shop", "t"));
    Reader::<ResourceClaim>::lost(&devices, &key("shop", "f"));
    let known = devices.known.as_ref().unwrap().lock();
    assert!(known.selectors.is_empty() && known.attributes.is_empty() && known.pools.len() == 1);
}

#[test]
fn a_class_concerns_the_claims_that_name_it() {
    let devices = Devices::looked_at();
    saw::<ResourceClaim>(&devices, claim("c", "large", json!({})));
    saw::<ResourceClaim>(&devices, claim("has", "large", allocated()));
    saw::<ResourceClaimTemplate>(&devices, template("t", "large"));
    saw::<ResourceSlice>(&devices, slice("a", &["large"]));
    let missing = ReasonId::DeviceObjectMissing;
    assert_eq!(
        words(&list(&devices)),
        [
            "pool a 0".to_owned(),
            "wide 0".to_owned(),
            format!("{missing} c"),
            "allocated has".to_owned(),
            format!("{missing} t")
        ]
    );
    assert_eq!(words(&saw::<DeviceClass>(&devices, class("true"))), ["pool a 1", "open c", "template t"]);
    assert_eq!(saw::<DeviceClass>(&devices, class("true")), [], "nothing about it changed");
    let other = json!({"metadata": {"name": "other"}, "spec": {}});
    assert_eq!(saw::<DeviceClass>(&devices, other), []);
    let told = saw::<DeviceClass>(&devices, class("device.driver == 'x'"));
    assert_eq!(words(&told), ["open c", "template t"], "they ask for what is not there");
    let invalid = ReasonId::DeviceSelectorInvalid;
    let told = saw::<DeviceClass>(&devices, class("device."));
    assert_eq!(words(&told), [format!("{invalid} c"), format!("{invalid} t")]);
    let told = Reader::<DeviceClass>::lost(&devices, &key("", "gpu"));
    assert_eq!(words(&told), [format!("{missing} c"), format!("{missing} t")]);
    assert!(devices.known.as_ref().unwrap().lock().selectors.is_empty());
}

#[test]
fn attributes_are_told_while_somebody_wants_them_alike() {
    let devices = Devices::looked_at();
    saw::<DeviceClass>(&devices, class("true"));
    saw::<ResourceSlice>(&devices, slice("a", &["large", "large"]));
    list(&devices);
    let mut alike = claim("c", "large", json!({}));
    alike["spec"]["devices"]["constraints"] = json!([{"matchAttribute": "d/root"}]);
    let told = saw::<ResourceClaim>(&devices, alike);
    let [Observation::DevicePool { pool, asked, .. }, _] = &told[..] else { panic!("{told:?}") };
    assert_eq!(pool.devices[1].attributes, [(Str::from("d/root"), Str::from("string a"))].into());
    assert_eq!(asked.attributes, [Str::from("d/root")].into());
    Reader::<ResourceClaim>::lost(&devices, &key("shop", "c"));
    let told = saw::<ResourceClaim>(&devices, claim("e", "large", json!({})));
    let [Observation::DevicePool { pool, asked, .. }, _] = &told[..] else { panic!("{told:?}") };
    assert!(pool.devices[1].attributes.is_empty() && asked.attributes.is_empty());
}

#[test]
fn devices_of_no_node_alone_are_known_by_who_may_take_them() {
    let devices = Devices::looked_at();
    saw::<DeviceClass>(&devices, class("true"));
    saw::<ResourceClaim>(&devices, claim("c", "large", json!({})));
    list(&devices);
    let mut anywhere = slice("net", &["large"]);
    anywhere["spec"].as_object_mut().unwrap().remove("nodeName");
    anywhere["spec"]["allNodes"] = json!(true);
    assert_eq!(words(&saw::<ResourceSlice>(&devices, anywhere)), ["wide 1"]);
    assert_eq!(words(&Reader::<ResourceSlice>::lost(&devices, &key("", "net"))), ["wide 0"]);
}
