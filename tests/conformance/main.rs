//! `purser solve` against a corpus of scheduling problems with Karpenter's own answers.
//!
//! What does not conform yet is in `known.txt`, with how: an entry that is not in there and fails is a failure, and so is one that is in
//! there and conforms, so that the list can only shrink. `UPDATE_CONFORMANCE=1` writes it anew; with `CONFORMANCE_SHOW=NAME`
//! only entries whose name contains that are looked at, and shown in full.
//!
//! Where an answer differs from Karpenter's on purpose, `improvements.txt` says for which reason: it must be valid, and place the pods that
//! Karpenter places and more.
//!
//! **Invariant:** what counts as valid is the independent checker's word alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod corpus;
mod features;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use corpus::{Corpus, Entry};
use purser_api::scenario::{Written, read_scenario};
use purser_checker::{Outcome, Scenario, Violation, catalogues_near, check};
use serde_json::Value;

/// Reasons to place fewer pods than Karpenter does.
const EXCEPTIONS: [&str; 2] = ["daemon-port", "same-name"];

/// How an answer compares with Karpenter's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    /// Valid, the same pods have no place, and it is not dearer.
    Conforming,
    /// Valid and the same pods, but dearer.
    Dearer,
    /// Valid, but other pods have no place.
    DifferentPods,
    /// Breaks a rule.
    Invalid,
    /// There is no answer at all.
    Unsolved,
}

impl Class {
    const ALL: [Self; 5] =
        [Self::Conforming, Self::Dearer, Self::DifferentPods, Self::Invalid, Self::Unsolved];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Conforming => "conforming",
            Self::Dearer => "dearer",
            Self::DifferentPods => "different-pods",
            Self::Invalid => "invalid",
            Self::Unsolved => "unsolved",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What was found out about an entry.
struct Verdict {
    name: String,
    suite: String,
    features: Vec<&'static str>,
    class: Class,
    detail: String,
    /// The rules that were broken.
    rules: Vec<String>,
}

fn judge(entry: &Entry, corpus: &Corpus) -> Verdict {
    let (class, detail, rules) = compare(entry, corpus);
    Verdict {
        name: entry.name.clone(),
        suite: entry.suite(),
        features: features::of(&entry.document["scenario"]),
        class,
        detail,
        rules,
    }
}

fn compare(entry: &Entry, corpus: &Corpus) -> (Class, String, Vec<String>) {
    let document = &entry.document["scenario"];
    let text = document.to_string();
    let written = Written::find(&text).expect("an entry has a scenario");
    let read = read_scenario(&entry.name, &written, &|name| Ok(corpus.catalogue(name)));
    let scenario = match read {
        Ok((scenario, _)) => scenario,
        Err(error) => return (Class::Unsolved, error.to_string(), Vec::new()),
    };
    let solved = purser::solve::solve(&scenario);
    let answer = serde_json::to_value(&solved.solution).unwrap();
    let expected = &entry.document["expected"];
    let broken = violations(&entry.path, document, &answer);
    if !broken.is_empty() {
        let detail: Vec<String> = broken.iter().map(ToString::to_string).collect();
        let mut rules: Vec<String> = broken.iter().map(|violation| format!("{:?}", violation.rule)).collect();
        rules.sort();
        rules.dedup();
        return (Class::Invalid, detail.join("\n"), rules);
    }
    // Linear programs take their time, so not all.
    if entry.name.len().is_multiple_of(4) {
        let bound = purser::solve::lower_bound(&solved);
        let price = solved.solution.total_price_per_hour;
        assert!(bound <= price + 1e-9 * price, "{}: the bound {bound} is above {price}", entry.name);
    }
    if corpus.is_known_wrong(&entry.name) {
        return (Class::Conforming, "valid, where the answer to compare with is not".to_owned(), Vec::new());
    }
    let (ours, theirs) = (unplaced(&answer), unplaced(expected));
    if ours != theirs {
        let not = |these: &BTreeMap<String, String>, those: &BTreeMap<String, String>| {
            let only = these.iter().filter(|(pod, _)| !those.contains_key(*pod));
            only.map(|(pod, why)| format!("\n  {pod}: {why}")).collect::<String>()
        };
        let detail = format!(
            "no place here alone:{}\nno place there alone:{}",
            not(&ours, &theirs),
            not(&theirs, &ours)
        );
        let same = ours.keys().eq(theirs.keys());
        if !same {
            let lost = placed(expected).difference(&placed(&answer)).count();
            return match corpus.reason_to_differ(&entry.name) {
                Some(reason) if lost == 0 || EXCEPTIONS.contains(&reason) => {
                    (Class::Conforming, format!("on purpose ({reason})"), Vec::new())
                }
                _ => (Class::DifferentPods, detail, Vec::new()),
            };
        }
    }
    let price = |answer: &Value| answer["totalPricePerHour"].as_f64().unwrap();
    let (ours, theirs) = (price(&answer), price(expected));
    // Sums of decimal fractions.
    if ours > theirs + 1e-9 * theirs.max(1.0) {
        return (Class::Dearer, format!("{ours} an hour, not {theirs}"), Vec::new());
    }
    (Class::Conforming, format!("{ours} an hour, {theirs} there"), Vec::new())
}

fn violations(path: &Path, scenario: &Value, answer: &Value) -> Vec<Violation> {
    let scenario = Scenario::from_value(scenario.clone(), &catalogues_near(path)).unwrap();
    check(&scenario, &Outcome::from_value(answer.clone()).unwrap())
}

/// Pods that an answer leaves without a place, and why.
fn unplaced(answer: &Value) -> BTreeMap<String, String> {
    let errors = answer["podErrors"].as_object().into_iter().flatten();
    let errors = errors.map(|(pod, why)| (pod.clone(), why.as_str().unwrap_or_default().to_owned()));
    let ignored = answer["ignoredPods"].as_array().into_iter().flatten();
    let ignored = ignored.map(|pod| (pod.as_str().unwrap().to_owned(), "ignored".to_owned()));
    errors.chain(ignored).collect()
}

/// Pods that an answer places.
fn placed(answer: &Value) -> BTreeSet<String> {
    let lists = ["newNodeClaims", "existingNodes"].into_iter();
    let nodes = lists.flat_map(|list| answer[list].as_array().into_iter().flatten());
    let pods = nodes.flat_map(|node| node["pods"].as_array().into_iter().flatten());
    pods.map(|pod| pod.as_str().unwrap().to_owned()).collect()
}

fn known_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/known.txt")
}

/// What is known not to conform: entry to class.
fn known() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(known_file()).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let pair = |line: &str| line.split_once(' ').map(|(class, name)| (name.to_owned(), class.to_owned()));
    lines.filter_map(pair).collect()
}

fn write_known(verdicts: &[Verdict]) {
    let mut text = String::from(
        "# Entries of the corpus that do not conform yet, and how; UPDATE_CONFORMANCE=1 writes this file.\n",
    );
    for verdict in verdicts.iter().filter(|verdict| verdict.class != Class::Conforming) {
        text += &format!("{} {}\n", verdict.class, verdict.name);
    }
    std::fs::write(known_file(), text).unwrap();
}

#[test]
fn answers_conform_where_they_did_before() {
    let Some(corpus) = Corpus::find() else { return };
    let shown = std::env::var("CONFORMANCE_SHOW").ok();
    let wanted = shown.as_deref().unwrap_or_default();
    let verdicts = corpus.for_each(wanted, |entry| judge(entry, &corpus));
    if shown.is_some() {
        for verdict in &verdicts {
            report::say(&format!("{} {}\n{}\n", verdict.class, verdict.name, verdict.detail));
        }
        return;
    }
    report::say(&report::table(&verdicts));
    if std::env::var_os("UPDATE_CONFORMANCE").is_some() {
        return write_known(&verdicts);
    }
    let known = known();
    let mut surprises = String::new();
    for (name, reason) in corpus.reasons_to_differ() {
        let needed = |verdict: &Verdict| verdict.name == *name && verdict.detail.contains("on purpose");
        if !verdicts.iter().any(needed) {
            surprises +=
                &format!("\n{name} does not differ for the reason {reason}: take it from improvements.txt");
        }
    }
    for verdict in &verdicts {
        match (known.get(&verdict.name), verdict.class) {
            (None, Class::Conforming) => {}
            (None, class) => {
                surprises += &format!("\n{} is now {class}:\n{}", verdict.name, verdict.detail);
            }
            (Some(_), Class::Conforming) => {
                surprises += &format!("\n{} conforms now: take it from the list", verdict.name);
            }
            (Some(class), now) if *class != now.as_str() => {
                surprises += &format!("\n{} was {class} and is now {now}:\n{}", verdict.name, verdict.detail);
            }
            (Some(_), _) => {}
        }
    }
    for name in known.keys().filter(|name| !verdicts.iter().any(|verdict| verdict.name == **name)) {
        surprises += &format!("\n{name} is in the list, but not in the corpus");
    }
    assert!(surprises.is_empty(), "UPDATE_CONFORMANCE=1 writes the list anew if this is right:{surprises}");
}
