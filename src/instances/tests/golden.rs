//! The built-in catalogue and the JSON reader against data beside the repository; skipped where that is absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use purser_engine::model::CapacityType;
use purser_instances::{Catalogue, Site, built_in_facts, parse_instance_types, price_text};
use serde_json::Value;

type Texts = BTreeMap<String, String>;

/// The path of reference data, or `None`, said aloud, where there is none.
#[expect(clippy::print_stderr, reason = "who runs the tests should see what they did not test")]
fn reference(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there, so nothing is compared with it", path.display());
    None
}

fn texts(value: &Value) -> Texts {
    serde_json::from_value(value.clone()).expect("the reference maps names to texts")
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("reference data can be read");
    serde_json::from_str(&text).expect("reference data is JSON")
}

#[test]
fn labels_and_allocatable_are_those_of_the_reference() {
    let Some(path) = reference("data/golden-instance-types.json") else { return };
    let golden = json(&path);
    let golden = golden.as_object().unwrap();
    let rows = Catalogue::built_in().rows();
    let mut mismatches = Vec::new();
    assert_eq!(rows.len(), golden.len());
    for row in &rows {
        let Some(expected) = golden.get(&row.name) else {
            mismatches.push(format!("{} is not in the reference", row.name));
            continue;
        };
        let mut labels = row.labels.clone();
        assert_eq!(labels.remove("topology.kubernetes.io/region").as_deref(), Some("us-east-1"));
        if labels != texts(&expected["labels"]) {
            mismatches.push(format!("{}: {labels:?} against {}", row.name, expected["labels"]));
        }
        if row.allocatable != texts(&expected["allocatable"]) {
            mismatches
                .push(format!("{}: {:?} against {}", row.name, row.allocatable, expected["allocatable"]));
        }
    }
    assert!(mismatches.is_empty(), "{} mismatches:\n{}", mismatches.len(), mismatches.join("\n"));
}

#[test]
fn prices_are_those_of_the_reference() {
    let Some(path) = reference("data/prices-us-east-1.json") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let prices: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(&text).unwrap();
    let catalogue = Catalogue::built_in();
    let mut priced = 0;
    for facts in built_in_facts() {
        let own = facts.on_demand.map(price_text);
        let expected = prices.get(facts.name.as_str()).map(|raw| raw.get().trim_end_matches(".0").to_owned());
        assert_eq!(own, expected, "{}", facts.name);
        let offerings = &catalogue.get(&facts.name).unwrap().offerings;
        let on_demand: Vec<_> =
            offerings.iter().filter(|one| one.capacity_type == CapacityType::OnDemand).collect();
        assert_eq!(on_demand.len(), if own.is_some() { 3 } else { 0 }, "{}", facts.name);
        assert!(on_demand.iter().all(|one| Some(one.price) == facts.on_demand));
        priced += usize::from(own.is_some());
    }
    assert!(priced > 700, "only {priced} types have a price");
}

/// What the refusal of a real catalogue may be about: features that are not supported yet.
const LATER: [&str; 3] = ["reservations and overrides", "dynamic resources", "labels of an offering beyond"];

#[test]
fn real_catalogues_load() {
    let (mut loaded, mut later, mut twice) = (0, 0, 0);
    for folder in ["corpus/scheduling/catalogues", "corpus/disruption/catalogues"] {
        let Some(folder) = reference(folder) else { return };
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for path in files {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(&path).unwrap();
            let listed = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(&text).unwrap().len();
            match Catalogue::read(&name, &text, &Site::default()) {
                Ok(catalogue) => {
                    assert_eq!(catalogue.types().len(), listed, "{name}");
                    loaded += 1;
                }
                Err(error) if error.problem.contains("named twice") => {
                    assert_eq!(parse_instance_types(&name, &text).unwrap().len(), listed, "{name}");
                    twice += 1;
                }
                Err(error) => {
                    let has_later_feature =
                        ["reservationCapacity", "capacityOverride", "hasDynamicResources", "reservation-id"]
                            .iter()
                            .any(|feature| text.contains(feature));
                    assert!(has_later_feature, "{error}");
                    assert!(LATER.iter().any(|feature| error.problem.contains(feature)), "{error}");
                    later += 1;
                }
            }
        }
    }
    assert_eq!((loaded, later, twice), (41, 11, 3));
}
