//! The checker against a corpus of scheduling problems with Karpenter's own answers.
//!
//! Invariant: the checker objects to an answer exactly where it is known to be invalid.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod damage;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

use purser_checker::{Outcome, Rule, Scenario, Violation, Where, catalogues_near, check, placeable};
use serde_json::Value;

/// Answers that cannot be judged from what they say.
const UNDECIDED: [(&str, &str); 1] = [(
    "suite/Provisioning-should-schedule-based-on-the-max-resource-requests-of-containers-and-initContainers-with-\
     sidecar-containers-when-sidecar-contai-f7dab5c3-.json",
    "its catalogue has three instance types of one name, and the answer lists two of them by name only",
)];

/// Answers that put more volumes on a new node than nodes of its type attach, which Karpenter does not look at. They break no other rule.
const TOO_MANY_VOLUMES: [&str; 3] = [
    "generated/adversarial-p13-t20-s1446.json",
    "generated/adversarial-p23-t5-s1181.json",
    "generated/adversarial-p26-t20-s1000.json",
];

struct Entry {
    name: String,
    scenario: Scenario,
    scenario_text: Value,
    answer: Value,
}

impl Entry {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let entry: Value = serde_json::from_str(&text).unwrap();
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
        let scenario = Scenario::from_value(entry["scenario"].clone(), &catalogues_near(path)).unwrap();
        let [scenario_text, answer] = ["scenario", "expected"].map(|part| entry[part].clone());
        Self { name, scenario, scenario_text, answer }
    }

    fn judge(&self, answer: &Value) -> Vec<Violation> {
        check(&self.scenario, &Outcome::from_value(answer.clone()).unwrap())
    }
}

/// The corpus, if it is there.
fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    if folder.is_dir() {
        return Some(folder);
    }
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: there is no corpus at {}", folder.display()).unwrap();
    None
}

fn entries(corpus: &Path) -> Vec<PathBuf> {
    let folders = ["suite", "generated"].map(|folder| corpus.join("scheduling").join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 650, "only {} entries", paths.len());
    paths
}

/// Does something with each entry, on all processors, and collects what it says.
fn for_each<T: Send>(paths: &[PathBuf], work: impl Fn(&Entry) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let work = &work;
        let spawn = |offset| {
            scope.spawn(move || {
                let mine = paths.iter().skip(offset).step_by(threads);
                mine.map(|path| work(&Entry::read(path))).collect::<Vec<T>>()
            })
        };
        let workers: Vec<_> = (0..threads).map(spawn).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Entries whose answer is known to be invalid.
fn known_wrong(corpus: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(corpus.join("known-wrong.json")).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let entries = list["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["entry"].as_str().unwrap().replace("scheduling/", "")).collect()
}

fn in_words(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n  {violation}")).collect()
}

#[test]
fn objects_exactly_where_an_answer_is_known_to_be_invalid() {
    let Some(corpus) = corpus() else { return };
    let wrong = known_wrong(&corpus);
    let verdicts: BTreeMap<String, Vec<Violation>> =
        for_each(&entries(&corpus), |entry| (entry.name.clone(), entry.judge(&entry.answer)))
            .into_iter()
            .collect();
    let mut surprises = String::new();
    for (name, violations) in &verdicts {
        if TOO_MANY_VOLUMES.contains(&name.as_str()) {
            let only = |one: &Violation| one.rule == Rule::VolumeLimit;
            if violations.is_empty() || !violations.iter().all(only) {
                surprises += &format!("\n{name} should attach too many volumes:{}", in_words(violations));
            }
            continue;
        }
        let undecided = UNDECIDED.iter().any(|(other, _)| other == name);
        if !undecided && !violations.is_empty() && !wrong.contains(name) {
            surprises += &format!("\n{name} should be valid:{}", in_words(violations));
        }
    }
    for name in &wrong {
        if verdicts[name].is_empty() {
            surprises += &format!("\n{name} is known to be invalid, yet nothing was found");
        }
    }
    assert!(surprises.is_empty(), "{surprises}");
}

/// Whatever place is found for a pending pod, the answer stays as valid as it was with the pod put there.
#[test]
fn a_place_that_is_found_is_a_valid_one() {
    let Some(corpus) = corpus() else { return };
    let paths: Vec<PathBuf> = entries(&corpus).into_iter().step_by(6).collect();
    let found = for_each(&paths, |entry| {
        let places = placeable(&entry.scenario, &Outcome::from_value(entry.answer.clone()).unwrap());
        let mut before = entry.answer.clone();
        before["totalPricePerHour"] = Value::Null;
        let objections: BTreeSet<(Rule, Option<String>)> = kinds(&entry.judge(&before));
        for (pod, place) in &places {
            let mut after = before.clone();
            after["podErrors"].as_object_mut().unwrap().remove(pod);
            put(&mut after, pod, place);
            let violations = entry.judge(&after);
            let more: Vec<_> = kinds(&violations).difference(&objections).cloned().collect();
            assert!(more.is_empty(), "{}: {pod} at {place:?}:{}", entry.name, in_words(&violations));
        }
        places.len()
    });
    assert!(found.iter().sum::<usize>() > 0, "not a single place was found");
}

fn kinds(violations: &[Violation]) -> BTreeSet<(Rule, Option<String>)> {
    violations.iter().map(|violation| (violation.rule, violation.pod.clone())).collect()
}

fn put(answer: &mut Value, pod: &str, place: &Where) {
    match place {
        Where::NewNode { claim } => answer["newNodeClaims"].as_array_mut().unwrap().push(claim.clone()),
        Where::Node(name) => {
            let nodes = answer["existingNodes"].as_array_mut().unwrap();
            match nodes.iter_mut().find(|node| node["node"] == name.as_str()) {
                Some(node) => node["pods"].as_array_mut().unwrap().push(pod.into()),
                None => nodes.push(serde_json::json!({"node": name, "pods": [pod]})),
            }
        }
    }
}
