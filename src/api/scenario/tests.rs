use purser_engine::model::{CapacityType, PodPhase};
use serde_json::json;

use super::*;

fn none(name: &str) -> Result<Arc<Value>, ApiError> {
    Err(ApiError {
        source_name: "s.json".into(),
        line: 0,
        object: String::new(),
        field: Box::new(FieldError::whole(format!("there is no catalogue {name}"), "add it")),
    })
}

fn read(document: &Value, catalogues: &Catalogues<'_>) -> Result<(Scenario, Vec<String>), ApiError> {
    let text = document.to_string();
    read_scenario("s.json", &Written::find(&text).unwrap(), catalogues)
}

fn pending(name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec,
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
    })
}

#[test]
fn a_scenario_is_read_and_what_is_not_known_is_said() {
    let document = json!({
        "name": "n", "now": "2026-01-02T03:04:05Z", "colour": "red",
        "settings": {"maxInstanceTypes": 5, "preferencePolicy": "Ignore", "shape": "round"},
        "instanceTypes": [{
            "name": "a", "capacity": {"cpu": "4", "memory": "4Gi"}, "size": 3,
            "overhead": {"kubeReserved": {"cpu": "100m"}, "evictionThreshold": {"memory": "100Mi"}},
            "offerings": [
                {"zone": "z1", "capacityType": "spot", "price": 0.027487381, "available": false},
                {"requirements": [{"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["reserved"]}],
                    "price": 0, "reservationCapacity": 2},
            ],
        }],
        "instanceTypesByNodePoolRef": {"p": "other"},
        "instanceTypeErrors": {"q": "out of reach"},
        "objects": [
            pending("a", json!({"containers": [{"name": "c", "imagine": 1}]})),
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s", "namespace": "x"}},
            {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"}, "spec": {
                "mood": 1,
                "template": {"spec": {"requirements": [], "colour": {"r": 1},
                    "nodeClassRef": {"group": "g", "kind": "K", "name": "n"}}}}},
        ],
        "state": {"nodes": [{"providerID": "i-1", "markedForDeletion": true, "age": 3}]},
    });
    let catalogue = |name: &str| match name {
        "other" => Ok(Arc::new(json!([{"name": "b"}]))),
        name => none(name),
    };
    let (scenario, warnings) = read(&document, &catalogue).unwrap();
    assert_eq!(scenario.now, Time(1_767_323_045_000_000));
    assert_eq!(scenario.settings.max_instance_types, 5);
    assert_eq!(scenario.settings.preference_policy, PreferencePolicy::Ignore);
    let offerings = &scenario.types[0].offerings;
    assert_eq!((offerings[0].price_nano_usd, offerings[0].available), (27_487_381, false));
    assert_eq!(offerings[1].capacity_type(), Some(CapacityType::Reserved));
    assert_eq!((offerings[1].zone(), offerings[1].reservation_capacity), (None, Some(2)));
    assert_eq!(scenario.types[0].overhead.total().to_string(), "cpu=100m memory=100Mi");
    assert_eq!(scenario.types_by_pool[&PoolName::from("p")][0].name.as_str(), "b");
    assert_eq!(&*scenario.type_errors[&PoolName::from("q")], "out of reach");
    assert_eq!(scenario.pods[0].facts.phase, PodPhase::Pending);
    assert!(scenario.pods[0].provisionable && scenario.state[0].marked_for_deletion);
    let mut warnings: Vec<&str> = warnings.iter().map(String::as_str).collect();
    warnings.sort_unstable();
    let passed = |what: &str| format!("s.json: {what}: there is no such field, so it was passed over");
    let mut wanted = vec![
        passed("scenario: colour"),
        passed("scenario: shape"),
        passed("scenario: age"),
        passed("instance type a: size"),
        passed("Pod a: spec.containers[0].imagine"),
        passed("NodePool p: spec.mood"),
        passed("NodePool p: spec.template.spec.colour"),
        "s.json: ConfigMap x/s: objects of v1 are not read, so it was passed over".to_owned(),
    ];
    wanted.sort_unstable();
    assert_eq!(warnings, wanted);
}

#[test]
fn errors_name_object_field_and_remedy() {
    let pool = json!({"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"},
        "spec": {"template": {"spec": {}}}});
    for (field, value, text) in [
        ("now", json!("yesterday"), "now: \"yesterday\" is not a moment: write RFC 3339"),
        ("settings", json!({"maxInstanceTypes": 0}), "settings.maxInstanceTypes: 0 types are none"),
        ("settings", json!({"minValuesPolicy": "Never"}), "settings.minValuesPolicy: "),
        ("instanceTypesRef", json!("absent"), "there is no catalogue absent: add it"),
        (
            "instanceTypes",
            json!([{"name": "a", "capacity": {"cpu": "four"}}]),
            "instance type a: capacity[cpu]: \"four\" is not a Kubernetes quantity",
        ),
        (
            "instanceTypes",
            json!([{"name": "a", "offerings": [{"price": -1}]}]),
            "instance type a: offerings[0].price: -1 is not a price",
        ),
        (
            "objects",
            json!([pending("a", json!({"containers": []})), pending("a", json!({"containers": []}))]),
            "Pod a: the object is there twice: remove one of the two",
        ),
        ("objects", json!([pool]), "NodePool p: spec.template.spec.requirements: is missing"),
        (
            "objects",
            json!([pending(
                "a",
                json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "x"}}}]})
            )]),
            "Pod a: spec.containers[0].resources.requests[cpu]: \"x\" is not a Kubernetes quantity",
        ),
    ] {
        let mut document = json!({"objects": []});
        document[field] = value;
        let error = read(&document, &none).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn pods_that_are_not_looked_at_say_why() {
    let affinity = |expression: Value| {
        json!({"containers": [], "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}})
    };
    for (spec, text) in [
        (json!({"containers": [], "nodeSelector": {"kubernetes.io/hostname": "n"}}), "is restricted"),
        (affinity(json!({"key": "karpenter.sh/x", "operator": "Exists"})), "is restricted"),
        (affinity(json!({"key": "a", "operator": "Gt", "values": ["x"]})), "one integer of at least 0"),
        (affinity(json!({"key": "a", "operator": "Near", "values": ["1"]})), "is not an operator"),
        (
            affinity(json!({"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["x"]})),
            "no capacity type among them",
        ),
    ] {
        let document = json!({"objects": [pending("a", spec)]});
        let (scenario, _) = read(&document, &none).unwrap();
        let Some(Ignored::Invalid(error)) = &scenario.pods[0].ignored else { panic!("{scenario:?}") };
        assert!(error.to_string().contains(text), "{error}");
    }
    let spec = affinity(json!({"key": "karpenter.sh/nodepool", "operator": "DoesNotExist"}));
    let document = json!({"objects": [pending("a", spec)]});
    let (scenario, _) = read(&document, &none).unwrap();
    assert_eq!(scenario.pods[0].ignored, Some(Ignored::OptsOut));
}

#[test]
fn a_scenario_is_told_from_manifests() {
    for (text, is_one) in [
        (r#"{"objects": []}"#, true),
        (r#"{"scenario": {"objects": []}, "expected": {}}"#, true),
        (r#"{"kind": "List", "objects": []}"#, false),
        (r#"{"objects": {}}"#, false),
        (r#"{"kind": "Pod"}"#, false),
        (r#"{"objects": [}"#, false),
        ("kind: Pod", false),
    ] {
        assert_eq!(Written::find(text).is_some(), is_one, "{text}");
    }
    let text =
        r#"{"objects": [{"kind": "Pod", "spec": {"priority": 1e999}}], "now": null, "instanceTypes": null}"#;
    let written = Written::find(text).unwrap();
    assert!(!written.names_types());
    let error = read_scenario("s.json", &written, &none).unwrap_err().to_string();
    assert!(error.starts_with("s.json: scenario: cannot be read: number out of range"), "{error}");
    let no_types = Written::find(r#"{"objects": [], "instanceTypesByNodePool": {"p": null}}"#).unwrap();
    let (scenario, _) = read_scenario("s.json", &no_types, &none).unwrap();
    assert_eq!(scenario.types_by_pool[&PoolName::from("p")].len(), 0);
}

#[test]
fn classes_are_known_before_the_pods_that_name_them() {
    for kind in ["PriorityClass", "Priority\\u0043lass"] {
        let text = format!(
            r#"{{"objects": [
                {{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "p"}},
                    "spec": {{"priorityClassName": "high", "containers": []}}}},
                {{"apiVersion": "scheduling.k8s.io/v1", "kind": "{kind}", "metadata": {{"name": "high"}}, "value": 7}}
            ]}}"#
        );
        let (scenario, _) = read_scenario("s.json", &Written::find(&text).unwrap(), &none).unwrap();
        assert_eq!(scenario.pods[0].facts.spec.priority, 7, "{kind}");
    }
}

#[test]
fn manifests_are_a_scenario_too() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {priorityClassName: high, containers: []}\n\
        ---\napiVersion: v1\nkind: Pod\nmetadata: {name: q}\nspec: {nodeName: one, containers: []}\n";
    let class = "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: high}\nvalue: 7\n";
    let texts = [("a.yaml".into(), text.to_owned()), ("b.yaml".into(), class.to_owned())];
    let (scenario, warnings) = of_manifests(&texts).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(scenario.pods[0].facts.spec.priority, 7);
    assert_eq!([0, 1].map(|pod| scenario.pods[pod].provisionable), [true, false]);
}
