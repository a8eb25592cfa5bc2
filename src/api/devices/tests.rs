//! What is read of claims and slices, and what the engine gets of them.

use purser_engine::model::{
    ClaimSource, DeviceAmount, DeviceCount, DeviceReach, Inventory, NodeName, PodClaim,
};
use purser_engine::reason::{Reason, ReasonId};
use serde_json::{Value, json};

use super::*;
use crate::error::FieldError;

fn quantity(text: &str) -> DeviceAmount {
    DeviceAmount::parse(text).unwrap()
}

/// Objects with a class that takes everything of one driver.
fn objects(slices: &[Value], claims: &[Value]) -> DeviceObjects {
    let mut all = DeviceObjects::default();
    let class = json!({"metadata": {"name": "any"}, "spec": {"selectors": [{"cel": {"expression": "device.driver == 'd'"}}]}});
    all.classes.insert("any".into(), serde_json::from_value(class).unwrap());
    for (at, spec) in slices.iter().enumerate() {
        let slice = json!({"metadata": {"name": format!("s{at}")}, "spec": spec});
        all.slices.insert(format!("s{at}").as_str().into(), serde_json::from_value(slice).unwrap());
    }
    for claim in claims {
        let key = PodKey::new("default", claim["metadata"]["name"].as_str().unwrap());
        all.claims.insert(key, serde_json::from_value(claim.clone()).unwrap());
    }
    all
}

/// A slice of a pool of the node `n`.
fn slice(generation: i64, count: i64, devices: Value) -> Value {
    let pool = json!({"name": "p", "generation": generation, "resourceSliceCount": count});
    json!({"driver": "d", "nodeName": "n", "pool": pool, "devices": devices})
}

fn claim(name: &str, exactly: Value, status: Value) -> Value {
    let mut ask = json!({"deviceClassName": "any"});
    ask.as_object_mut().unwrap().extend(exactly.as_object().unwrap().clone());
    let requests = json!([{"name": "r", "exactly": ask}]);
    json!({"metadata": {"name": name}, "spec": {"devices": {"requests": requests}}, "status": status})
}

fn named(name: &str) -> ClaimRef {
    ClaimRef { name: "c".into(), source: ClaimSource::Named(name.into()) }
}

/// The devices of the node `n` for whoever has these claims.
fn there(
    objects: &DeviceObjects,
    claims: &[&str],
) -> (Vec<Result<Vec<PodClaim>, Reason>>, Option<Inventory>) {
    let mut book = Book::new(objects, Default::default());
    let claims = claims.iter().map(|name| book.claims(&"default".into(), &[named(name)])).collect();
    let id = book.of_node(&NodeName::from("n"), &[]);
    let (_, inventories, _) = book.finish();
    (claims, id.map(|id| inventories[id.0 as usize].clone()))
}

fn available(inventory: &Inventory) -> Vec<&str> {
    let devices = inventory.devices().iter().filter(|device| device.available && !device.takers.is_empty());
    devices.map(|device| &*device.name.device).collect()
}

#[test]
fn only_what_is_published_in_full_and_free_is_offered() {
    let devices = |names: &[&str]| json!(names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>());
    let wanted = claim("c", json!({}), json!({}));
    let cases: [(&[Value], &[&str]); 5] = [
        (&[slice(1, 1, devices(&["a", "b"]))], &["a", "b"]),
        (&[slice(1, 2, devices(&["a", "b"]))], &[]),
        (&[slice(1, 1, devices(&["a", "b"])), slice(2, 1, devices(&["b"]))], &["b"]),
        (&[slice(2, 2, devices(&["a"])), slice(2, 2, devices(&["b"]))], &["a", "b"]),
        (&[slice(2, 2, devices(&["a"])), slice(2, 2, devices(&["a"]))], &[]),
    ];
    for (slices, expected) in cases {
        let objects = objects(slices, std::slice::from_ref(&wanted));
        let (_, inventory) = there(&objects, &["c"]);
        assert_eq!(available(&inventory.unwrap()), expected, "{slices:?}");
    }
    let tainted = json!([
        {"name": "a", "taints": [{"key": "k", "effect": "NoSchedule"}]}, {"name": "b", "taints": [{"key": "k", "effect": "None"}]},
        {"name": "c", "nodeAllocatableResourceMappings": {"cpu": {}}}, {"name": "d"}]);
    let taken = json!({"allocation": {"devices": {"results": [{"request": "r", "driver": "d", "pool": "p", "device": "d"}]}}});
    let objects = objects(&[slice(1, 1, tainted)], &[wanted, claim("other", json!({}), taken)]);
    assert_eq!(available(&there(&objects, &["c"]).1.unwrap()), ["b"]);
    let mut book = Book::new(&objects, Default::default());
    assert_eq!(book.of_node(&NodeName::from("elsewhere"), &[]), None);
}

#[test]
fn counters_and_capacities_have_what_claims_left() {
    let consumes = json!([{"counterSet": "s", "counters": {"slots": {"value": "2"}}}]);
    let devices = json!([
        {"name": "a", "consumesCounters": consumes}, {"name": "b", "consumesCounters": consumes},
        {"name": "m", "allowMultipleAllocations": true, "capacity": {"memory": {"value": "40Gi"}}},
        {"name": "x", "consumesCounters": [{"counterSet": "none", "counters": {"slots": {"value": "2"}}}]},
    ]);
    let mut there_is = slice(1, 1, devices);
    there_is["sharedCounters"] = json!([{"name": "s", "counters": {"slots": {"value": "5"}}}]);
    let results = json!([
        {"request": "r", "driver": "d", "pool": "p", "device": "a"},
        {"request": "r", "driver": "d", "pool": "p", "device": "m", "consumedCapacity": {"memory": "10Gi"}},
    ]);
    let taken = json!({"allocation": {"devices": {"results": results}}});
    let wanted = claim("c", json!({"capacity": {"requests": {"memory": "8Gi"}}}), json!({}));
    let objects =
        objects(&[there_is], &[wanted, claim("other", json!({}), taken), claim("any", json!({}), json!({}))]);
    let (_, inventory) = there(&objects, &["c", "any"]);
    let inventory = inventory.unwrap();
    assert_eq!(inventory.counters(), [quantity("3")]);
    assert_eq!(available(&inventory), ["b", "m"], "nobody knows the counters of x, and a is in use");
    let shared = &inventory.devices()[2];
    assert_eq!(shared.room, Some(vec![quantity("30Gi")]));
    // Without a policy it takes what is asked for, or all of it.
    let needs: Vec<Vec<DeviceAmount>> = shared.takers.values().cloned().collect();
    assert_eq!(needs, [vec![quantity("8Gi")], vec![quantity("40Gi")]]);
}

#[test]
fn what_is_taken_of_a_capacity_is_what_its_policy_allows() {
    let taken = |policy: Value, wanted: Option<&str>| {
        let has = json!({"m": {"value": "40", "requestPolicy": policy}});
        let has = serde_json::from_value(has).unwrap();
        let wanted = wanted.map(|wanted| ("m".into(), quantity(wanted))).into_iter().collect();
        capacity::of_shared(&has, &wanted).map(|taken| taken[0])
    };
    let range = json!({"default": "12", "validRange": {"min": "10", "max": "30", "step": "5"}});
    let values = json!({"default": "8", "validValues": ["8", "16", "64"]});
    for (policy, wanted, expected) in [
        (&range, Some("3"), Some("10")),
        (&range, Some("11"), Some("15")),
        (&range, Some("15"), Some("15")),
        (&range, Some("31"), None),
        (&range, None, Some("15")),
        (&values, Some("9"), Some("16")),
        (&values, Some("17"), None),
        (&values, None, Some("8")),
        (&Value::Null, Some("41"), None),
        (&Value::Null, None, Some("40")),
    ] {
        assert_eq!(taken(policy.clone(), wanted), expected.map(quantity), "{policy} {wanted:?}");
    }
    let has = serde_json::from_value(json!({"m": {"value": "40"}})).unwrap();
    assert_eq!(capacity::of_shared(&has, &[("other".into(), quantity("1"))].into()), None);
}

#[test]
fn allocated_claims_bind_their_pods_unless_all_of_them_leave() {
    let status = |selector: Value, users: Value| json!({"allocation": {"nodeSelector": selector}, "reservedFor": users});
    let field = |names: Value| json!({"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": names}]}]});
    let zone = json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]});
    let mut both = zone.clone();
    both["nodeSelectorTerms"][0]["matchFields"] =
        field(json!(["n"]))["nodeSelectorTerms"][0]["matchFields"].clone();
    let user = json!([{"resource": "pods", "name": "goes", "uid": "u"}]);
    let two = json!([{"resource": "pods", "name": "goes", "uid": "u"}, {"resource": "pods", "name": "stays", "uid": "v"}]);
    let all = [
        claim("by-name", json!({}), status(field(json!(["n"])), json!([]))),
        claim("by-label", json!({}), status(zone, json!([]))),
        claim("anywhere", json!({}), json!({"allocation": {}})),
        claim("mixed", json!({}), status(both, json!([]))),
        claim("leaves", json!({}), status(field(json!(["n"])), user)),
        claim("stays", json!({}), status(field(json!(["n"])), two)),
    ];
    let objects = objects(&[], &all);
    let mut book = Book::new(&objects, [PodKey::new("default", "goes")].into());
    let mut read = |name: &str| book.claims(&"default".into(), &[named(name)]).map(|mut all| all.remove(0));
    let on_n = PodClaim::Allocated(DeviceReach::Nodes(["n".into()].into()));
    assert_eq!(read("by-name").unwrap(), on_n);
    assert!(
        matches!(read("by-label").unwrap(), PodClaim::Allocated(DeviceReach::Labels(terms)) if terms.len() == 1)
    );
    assert_eq!(read("anywhere").unwrap(), PodClaim::Allocated(DeviceReach::Anywhere));
    assert_eq!(read("mixed").unwrap_err().id, ReasonId::DeviceFeatureUnsupported);
    assert!(matches!(read("leaves").unwrap(), PodClaim::Shared(..)));
    assert_eq!(read("stays").unwrap(), on_n);
}

#[test]
fn what_selectors_ask_and_devices_lack_is_not_known() {
    let attributes = json!({"model": {"string": "x"}, "ext.example.com/v": {"version": "1.2.3-rc.1"}});
    let devices = json!([{"name": "a", "attributes": attributes}, {"name": "b"}]);
    let selected = |text: &str| claim("c", json!({"selectors": [{"cel": {"expression": text}}]}), json!({}));
    for (text, takes, known) in [
        ("device.attributes['d'].model == 'x'", "a", false),
        ("has(device.attributes['d'].model) && device.attributes['d'].model == 'x'", "a", true),
        ("device.attributes['d'].?model.orValue('') == 'x'", "a", true),
        ("'ext.example.com' in device.attributes && device.attributes['ext.example.com'].v < 1", "", false),
        (
            "'ext.example.com' in device.attributes && device.attributes['ext.example.com'].v.isLessThan(semver('1.2.3'))",
            "a",
            true,
        ),
        (
            "'ext.example.com' in device.attributes && device.attributes['ext.example.com'].v.minor() == 2",
            "a",
            true,
        ),
        ("!device.allowMultipleAllocations && ['x'].exists(m, m in device.attributes['d'])", "", true),
        ("isQuantity('10Gi') && quantity('1.5Gi').compareTo(quantity('1536Mi')) == 0", "ab", true),
    ] {
        let objects = objects(&[slice(1, 1, devices.clone())], &[selected(text)]);
        let (claims, inventory) = there(&objects, &["c"]);
        assert!(claims[0].is_ok(), "{text}: {claims:?}");
        let inventory = inventory.unwrap();
        assert_eq!(available(&inventory).concat(), takes, "{text}");
        assert_eq!(inventory.decides(purser_engine::model::SelectorId(0)), known, "{text}");
    }
}

#[test]
fn older_versions_say_the_same_in_another_form() -> Result<(), FieldError> {
    let claim = json!({"spec": {"devices": {"requests": [
        {"name": "r", "deviceClassName": "any", "count": 2},
        {"name": "f", "firstAvailable": [{"name": "x", "deviceClassName": "any"}]}]}}});
    let read = as_v1("resource.k8s.io/v1beta1", &claim).unwrap();
    let requests = &read["spec"]["devices"]["requests"];
    assert_eq!(requests[0], json!({"name": "r", "exactly": {"deviceClassName": "any", "count": 2}}));
    assert_eq!(requests[1], claim["spec"]["devices"]["requests"][1]);
    let slice = json!({"spec": {"devices": [{"name": "a", "basic": {"attributes": {"x": {"int": 1}}}}]}});
    let read = as_v1("resource.k8s.io/v1beta1", &slice).unwrap();
    assert_eq!(read["spec"]["devices"][0], json!({"name": "a", "attributes": {"x": {"int": 1}}}));
    assert_eq!(as_v1("resource.k8s.io/v1beta2", &slice), Some(slice.clone()));
    assert_eq!(as_v1("resource.k8s.io/v1alpha3", &slice), None);
    Ok(())
}

#[test]
fn claims_are_named_by_the_pod_or_made_for_it() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {}, "spec": {"containers": [], "resourceClaims": [
            {"name": "a", "resourceClaimName": "mine"}, {"name": "b", "resourceClaimTemplateName": "t"},
            {"name": "c", "resourceClaimTemplateName": "t"}, {"name": "d", "resourceClaimTemplateName": "t"}]},
        "status": {"resourceClaimStatuses": [{"name": "b", "resourceClaimName": "b-x"}, {"name": "c"}]},
    }))
    .unwrap();
    let sources: Vec<ClaimSource> = claim_refs(&pod).into_iter().map(|claim| claim.source).collect();
    let expected = [
        ClaimSource::Named("mine".into()),
        ClaimSource::Made("b-x".into()),
        ClaimSource::NotNeeded,
        ClaimSource::Template("t".into()),
    ];
    assert_eq!(sources, expected);
}

#[test]
fn counts_are_read_as_kubernetes_does() {
    let all = [
        claim("one", json!({}), json!({})),
        claim("three", json!({"allocationMode": "ExactCount", "count": 3}), json!({})),
        claim("all", json!({"allocationMode": "All"}), json!({})),
        claim("zero", json!({"count": 0}), json!({})),
        claim("odd", json!({"allocationMode": "Most"}), json!({})),
    ];
    let objects = objects(&[], &all);
    let mut book = Book::new(&objects, Default::default());
    let read: Vec<bool> = ["one", "three", "all", "zero", "odd"]
        .map(|name| book.claims(&"default".into(), &[named(name)]).is_ok())
        .into();
    assert_eq!(read, [true, true, true, false, false]);
    let counts: Vec<DeviceCount> =
        book.finish().0.iter().map(|kind| kind.requests[0].alternatives[0].count).collect();
    assert_eq!(counts, [DeviceCount::Exactly(1), DeviceCount::Exactly(3), DeviceCount::All]);
}
