use proptest::prelude::*;
use purser_engine::model::Price;

use super::*;

const CAPACITY: &str = r#""capacity": {"cpu": "4", "memory": "8Gi", "pods": 20}"#;

fn with(fields: &str) -> String {
    format!("[{{\"name\": \"a\", {CAPACITY}, {fields}}}]")
}

fn offering(fields: &str) -> String {
    with(&format!("\"offerings\": [{{{fields}}}]"))
}

fn read(text: &str) -> InstanceType {
    let mut types = parse_instance_types("own.json", text).unwrap();
    assert_eq!(types.len(), 1);
    types.remove(0)
}

fn error(text: &str) -> String {
    parse_instance_types("own.json", text).unwrap_err().to_string()
}

#[test]
fn a_type_is_read_with_all_that_it_has() {
    let read = read(
        r#"{"instanceTypes": [{
            "name": "gpu-it",
            "capacity": {"cpu": 4, "memory": "4Gi", "pods": "5", "nvidia.com/gpu": "2"},
            "overhead": {"kubeReserved": {"cpu": "100m", "memory": "10Mi"}, "systemReserved": null,
                         "evictionThreshold": {"memory": "0.5"}},
            "requirements": [
                {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
                {"key": "special", "operator": "DoesNotExist"},
                {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z1", "z2"]}],
            "offerings": [
                {"zone": "z2", "capacityType": "spot", "price": 0.82949673, "available": true},
                {"requirements": [
                    {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
                    {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["z1"]}], "price": 1e0},
                {"zone": "z3", "capacityType": "spot", "price": 1, "available": false}]
        }]}"#,
    );
    assert_eq!(read.capacity.to_string(), "cpu=4 memory=4096Mi pods=5 nvidia.com/gpu=2");
    assert_eq!(read.overhead.memory_bytes, (10 << 20) + 1);
    assert_eq!(
        read.requirements.to_string(),
        "kubernetes.io/arch In [amd64], node.kubernetes.io/instance-type In [gpu-it], special DoesNotExist"
    );
    let offered: Vec<(&str, CapacityType, Price)> =
        read.offerings.iter().map(|one| (one.zone.as_str(), one.capacity_type, one.price)).collect();
    assert_eq!(
        offered,
        [("z1", CapacityType::OnDemand, Price(1_000_000)), ("z2", CapacityType::Spot, Price(829_497))]
    );
}

#[test]
fn an_error_names_line_type_field_and_remedy() {
    assert_eq!(
        error("[\n  {\"name\": \"a\",\n   \"capacity\": {\"cpu\": \"4\",\n \"memory\": \"-1Gi\"}}]"),
        "own.json:4: type a: capacity.memory: \"-1Gi\" is negative: a quantity must be zero or more; \
         write a quantity such as 4, 500m or 16Gi"
    );
    assert_eq!(
        error("[{\"name\": \"a\", \"colour\": 1}]"),
        "own.json:1: type number 1: colour: unknown field; remove it; there are name, capacity, overhead, \
         requirements, offerings, hasDynamicResources"
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (text, expected) in [
        ("[{]", "own.json:1: this is not JSON: "),
        ("3", "own.json:1: this is not a list; write a list"),
        ("{\"types\": []}", "types: unknown field; remove it; there are instanceTypes"),
        ("[{}]", "type number 1: name: the field is missing"),
        ("[{\"name\": \"\"}]", "name: the name is empty"),
        ("[{\"name\": \"a\"}]", "type a: capacity: the field is missing"),
        ("[{\"name\": \"a\", \"name\": \"b\"}]", "name: the object has this field twice"),
        (
            "[{\"name\": \"a\", \"capacity\": {\"cpu\": 1, \"memory\": 1}}]",
            "capacity.pods: a type without any of it",
        ),
        ("[{\"name\": \"a\", \"capacity\": {\"cpu\": true}}]", "capacity.cpu: this is not a quantity"),
        ("[{\"name\": \"a\", \"capacity\": {\"memory\": \"99Ei\"}}]", "\"99Ei\" is too large"),
        (&with("\"overhead\": {\"spare\": {}}"), "overhead.spare: unknown field"),
        (
            &with("\"overhead\": {\"kubeReserved\": {\"cpu\": 5}}"),
            "overhead: 5000 units of cpu are kept of a capacity of 4000",
        ),
        (&with("\"hasDynamicResources\": true"), "hasDynamicResources: dynamic resources: not supported yet"),
        (
            &with("\"requirements\": [{\"key\": \"k\", \"operator\": \"Is\"}]"),
            "requirements[0].operator: there is no operator \"Is\"",
        ),
        (
            &with("\"requirements\": [{\"key\": \"k\", \"operator\": \"In\"}]"),
            "requirements[0]: k: operator In needs at least one value",
        ),
        (
            &with(
                "\"requirements\": [{\"key\": \"node.kubernetes.io/instance-type\", \"operator\": \"In\", \"values\": [\"b\"]}]",
            ),
            "does not allow the type's own name",
        ),
        (
            &offering("\"zone\": \"z\", \"price\": 1"),
            "offerings[0]: an offering has either zone and capacityType, or requirements",
        ),
        (
            &offering("\"zone\": \"z\", \"capacityType\": \"free\", \"price\": 1"),
            "offerings[0].capacityType: there is no capacity type \"free\"",
        ),
        (
            &offering("\"zone\": \"z\", \"capacityType\": \"spot\", \"price\": -1"),
            "offerings[0].price: a price cannot be negative",
        ),
        (
            &offering("\"zone\": \"z\", \"capacityType\": \"spot\", \"price\": \"1\""),
            "offerings[0].price: \"1\" is not a number",
        ),
        (
            &offering("\"zone\": \"z\", \"capacityType\": \"spot\", \"price\": 1e300"),
            "the price is too large",
        ),
        (
            &offering(
                "\"zone\": \"z\", \"capacityType\": \"spot\", \"price\": 1, \"reservationCapacity\": 3",
            ),
            "offerings[0].reservationCapacity: reservations",
        ),
        (
            &offering("\"requirements\": [{\"key\": \"k\", \"operator\": \"Exists\"}], \"price\": 1"),
            "offerings[0].requirements[0]: labels of an offering beyond",
        ),
        (&offering("\"requirements\": [], \"price\": 1"), "does not say both its zone and its capacity type"),
        (
            &with(
                "\"offerings\": [{\"zone\": \"z\", \"capacityType\": \"spot\", \"price\": 1}, {\"zone\": \"z\", \"capacityType\": \"spot\", \"price\": 2}]",
            ),
            "offerings[1]: the type has another offering",
        ),
        (
            &with(
                "\"requirements\": [{\"key\": \"topology.kubernetes.io/zone\", \"operator\": \"In\", \"values\": [\"y\"]}], \"offerings\": [{\"zone\": \"z\", \"capacityType\": \"spot\", \"price\": 1}]",
            ),
            "offerings[0]: the requirements of the type do not allow this topology.kubernetes.io/zone",
        ),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{error:?} should contain {expected:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]{}\",:0-9a-z ]{0,60}") {
        let _ = parse_instance_types("own.json", &text);
    }

    #[test]
    fn what_is_cut_short_is_an_error(end in 0usize..120) {
        let whole = offering("\"zone\": \"z\", \"capacityType\": \"spot\", \"price\": 1");
        prop_assume!(end < whole.len());
        prop_assert!(parse_instance_types("own.json", &whole[..end]).is_err());
    }
}
