//! Devices and claims of generated scenarios.
//!
//! They are chosen from the far end of what an object is made of, which is left over by what has no devices.
//!
//! **Invariant:** the same bytes with and without devices make the same scenario but for the devices.

use serde_json::{Value, json};

use crate::choices::Choices;
use crate::scenario::object;

const DRIVERS: [&str; 2] = ["gpu.example.com", "nic.example.com"];

/// Whether claims count in a scenario.
pub(crate) fn count(settings: &[u8]) -> bool {
    Choices::from_behind(settings).with(50)
}

/// The classes of devices.
pub(crate) fn classes() -> [Value; 2] {
    DRIVERS.map(|driver| {
        let spec = json!({"selectors": [{"cel": {"expression": format!("device.driver == '{driver}'")}}]});
        object("resource.k8s.io/v1", "DeviceClass", driver, json!({}), spec)
    })
}

/// The slices of an instance type.
pub(crate) fn of_type(bytes: &[u8]) -> Value {
    let mut own = Choices::from_behind(bytes);
    let mut slices = Vec::new();
    for driver in DRIVERS {
        let many = own.next() % 5;
        let cut = own.with(25);
        let shared = !cut && own.with(25);
        let mut slice = json!({"driver": driver});
        let device = |at: usize| {
            let model = own.pick(&["a", "a", "b"]);
            let mut device = json!({
                "name": format!("dev-{at}"),
                "attributes": {"model": {"string": model}, "numa": {"int": at / 2}},
                "capacity": {"memory": {"value": own.pick(&["16Gi", "40Gi"])}},
            });
            if cut {
                let size = if at == 0 { "4" } else { "2" };
                device["consumesCounters"] =
                    json!([{"counterSet": "card", "counters": {"slots": {"value": size}}}]);
            }
            if shared && at == 0 {
                device["allowMultipleAllocations"] = json!(true);
                device["capacity"]["memory"]["requestPolicy"] =
                    json!({"default": "5Gi", "validRange": {"min": "5Gi", "step": "5Gi"}});
            }
            device
        };
        slice["devices"] = (0..many).map(device).collect();
        if cut {
            slice["sharedCounters"] = json!([{"name": "card", "counters": {"slots": {"value": "4"}}}]);
        }
        slices.push(slice);
    }
    json!(slices)
}

/// The slices of a node of a type, and a claim that has one of its devices.
pub(crate) fn of_node(name: &str, bytes: &[u8], one: &Value, objects: &mut Vec<Value>) {
    let mut own = Choices::from_behind(bytes);
    for slice in one["resourceSlices"].as_array().into_iter().flatten() {
        let driver = slice["driver"].as_str().unwrap_or_default();
        let mut slice = slice.clone();
        slice["nodeName"] = json!(name);
        let more = usize::from(own.with(10));
        slice["pool"] = json!({"name": name, "generation": 1, "resourceSliceCount": 1 + more});
        let first = slice["devices"][0]["name"].as_str().unwrap_or_default().to_owned();
        let shared = slice["devices"][0]["allowMultipleAllocations"] == true;
        objects.push(object(
            "resource.k8s.io/v1",
            "ResourceSlice",
            &format!("{name}-{driver}"),
            json!({}),
            slice,
        ));
        if !first.is_empty() && own.with(30) {
            let mut result = json!({"request": "r", "driver": driver, "pool": name, "device": first});
            if shared {
                result["consumedCapacity"] = json!({"memory": "5Gi"});
            }
            let field = json!({"key": "metadata.name", "operator": "In", "values": [name]});
            let mut claim = object(
                "resource.k8s.io/v1",
                "ResourceClaim",
                &format!("used-{name}-{driver}"),
                json!({"namespace": "default"}),
                json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": driver}}]}}),
            );
            claim["status"] = json!({
                "allocation": {
                    "devices": {"results": [result]}, "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
                },
                "reservedFor": [{"resource": "pods", "name": "somebody", "uid": "u"}],
            });
            objects.push(claim);
        }
    }
}

/// The claims of a pod, which its replicas share or have each for itself; `None` for a pod without.
pub(crate) fn claims(at: usize, namespace: &str, bytes: &[u8], objects: &mut Vec<Value>) -> Option<Value> {
    let (wanted, shared) = claim(bytes)?;
    let name = format!("claim-{at}");
    let (kind, source, wanted) = if shared {
        ("ResourceClaim", "resourceClaimName", json!({"devices": wanted}))
    } else {
        ("ResourceClaimTemplate", "resourceClaimTemplateName", json!({"spec": {"devices": wanted}}))
    };
    objects.push(object("resource.k8s.io/v1", kind, &name, json!({"namespace": namespace}), wanted));
    Some(json!([{"name": "c", source: name}]))
}

/// What a pod's claim asks for, and whether its replicas share one; `None` for a pod without.
fn claim(bytes: &[u8]) -> Option<(Value, bool)> {
    let mut own = Choices::from_behind(bytes);
    if !own.with(60) {
        return None;
    }
    let shared = own.with(20);
    let ask = |own: &mut Choices<'_>| {
        let driver = own.pick(&DRIVERS);
        let mut ask = json!({"deviceClassName": driver});
        match own.next() % 8 {
            0..4 => ask["count"] = json!(own.next() % 3 + 1),
            4 => ask["allocationMode"] = json!("All"),
            5 => ask["capacity"] = json!({"requests": {"memory": "12Gi"}}),
            _ => {}
        }
        match own.next() % 4 {
            1 => {
                ask["selectors"] =
                    json!([{"cel": {"expression": format!("device.attributes['{driver}'].model == 'a'")}}])
            }
            2 => {
                ask["selectors"] = json!([{"cel": {"expression":
                    format!("device.capacity['{driver}'].memory.isGreaterThan(quantity('20Gi'))")}}]);
            }
            _ => {}
        }
        ask
    };
    let mut requests = Vec::new();
    for number in 0..own.next() % 2 + 1 {
        let name = format!("r{number}");
        requests.push(if own.with(25) {
            let mut best = ask(&mut own);
            best["name"] = json!("best");
            let mut other = ask(&mut own);
            other["name"] = json!("other");
            json!({"name": name, "firstAvailable": [best, other]})
        } else {
            json!({"name": name, "exactly": ask(&mut own)})
        });
    }
    let mut devices = json!({"requests": requests});
    if own.with(25) {
        devices["constraints"] =
            json!([{"matchAttribute": format!("{}/numa", DRIVERS[0]), "requests": ["r0"]}]);
    }
    Some((devices, shared))
}
