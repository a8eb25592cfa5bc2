//! What holds of `purser solve` whatever the problem: the answer breaks no rule, leaves no pod without a place that has one, and depends on
//! nothing but the problem.
//!
//! The scenarios are the same in each run; `PROPERTIES_CASES` says how many more there should be, `PROPERTIES_SEED` which. One that failed once is
//! kept in `regressions`, as the document that the failure printed.
//!
//! **Invariant:** whether an answer is right is the independent checker's word alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod choices;
mod devices;
mod scenario;

use std::path::Path;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use purser_api::scenario::{Written, read_scenario};
use purser_checker::{Outcome, Scenario, check, placeable};
use serde_json::Value;

fn solve(scenario: &Value) -> Value {
    let none = |name: &str| panic!("there is no catalogue {name}");
    let text = scenario.to_string();
    let (read, warnings) = read_scenario("generated", &Written::find(&text).unwrap(), &none).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let mut answer = serde_json::to_value(&purser::solve::solve(&read).solution).unwrap();
    answer.as_object_mut().unwrap().remove("work");
    answer
}

/// What is wrong with the answer to a scenario.
fn problem(scenario: &Value) -> Option<String> {
    let answer = solve(scenario);
    let world =
        Scenario::from_value(scenario.clone(), &|name| panic!("there is no catalogue {name}")).unwrap();
    let outcome = Outcome::from_value(answer.clone()).unwrap();
    let broken = check(&world, &outcome);
    if !broken.is_empty() {
        let lines: Vec<String> = broken.iter().map(ToString::to_string).collect();
        return Some(format!("the answer breaks rules: {}\n{answer:#}", lines.join("\n")));
    }
    let left = placeable(&world, &outcome);
    if !left.is_empty() {
        return Some(format!("pods are left that have a place: {left:?}\n{answer:#}"));
    }
    if solve(scenario) != answer {
        return Some("the same scenario has two answers".to_owned());
    }
    let other = solve(&turned(scenario));
    (other != answer).then(|| format!("the answer depends on the order of objects: {answer:#}\n{other:#}"))
}

/// The same scenario, with its objects and types in another order.
fn turned(scenario: &Value) -> Value {
    let mut turned = scenario.clone();
    for list in ["objects", "instanceTypes"] {
        let all = turned[list].as_array_mut().unwrap();
        all.reverse();
        let middle = all.len() / 3;
        all.rotate_left(middle);
    }
    turned
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

fn holds_for(recipes: impl Strategy<Value = scenario::Recipe>, cases: u32) {
    let config = Config {
        cases: number("PROPERTIES_CASES").unwrap_or(cases),
        failure_persistence: None,
        max_shrink_time: 25_000,
        max_shrink_iters: 100_000,
        ..Config::default()
    };
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number("PROPERTIES_SEED").unwrap_or(1).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&recipes, |recipe| match problem(&scenario::scenario(&recipe)) {
        Some(problem) => Err(TestCaseError::fail(problem)),
        None => Ok(()),
    });
    if let Err(proptest::test_runner::TestError::Fail(problem, recipe)) = result {
        panic!("{}\n{problem}", scenario::scenario(&recipe));
    }
    result.unwrap();
}

#[test]
fn answers_are_valid_complete_and_depend_on_the_problem_alone() {
    holds_for(scenario::recipes(), 200);
}

#[test]
fn so_they_are_with_what_feature_gates_open() {
    holds_for(scenario::gated_recipes(), 100);
}

#[test]
fn what_failed_once_does_so_no_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("properties/regressions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in files {
        let scenario: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        if let Some(problem) = problem(&scenario) {
            panic!("{}: {problem}", file.display());
        }
    }
}
