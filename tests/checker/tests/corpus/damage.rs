//! Valid answers, damaged: the checker has to notice whatever is certainly wrong.
//!
//! Invariant: each kind of damage is done often enough to mean something.

use std::collections::BTreeMap;
use std::path::PathBuf;

use purser_checker::Rule;
use serde_json::{Value, json};

use super::{Entry, corpus, entries, for_each, in_words, known_wrong};

/// One kind of damage.
struct Damage {
    what: &'static str,
    /// The checker has to name one of these.
    rules: &'static [Rule],
    /// How often it has to be possible.
    least: usize,
    /// Damages an answer; none where there is nothing to damage in this way.
    done: fn(&Entry, &mut Value) -> Option<()>,
}

const ZONE: &str = "topology.kubernetes.io/zone";

const ALL: [Damage; 12] = [
    Damage { what: "losing a pod", rules: &[Rule::PodLostOrDoubled], least: 100, done: lose_a_pod },
    Damage {
        what: "placing a pod twice",
        rules: &[Rule::PodLostOrDoubled],
        least: 100,
        done: double_a_claim,
    },
    Damage {
        what: "failing a placed pod",
        rules: &[Rule::PodLostOrDoubled],
        least: 100,
        done: fail_a_placed_pod,
    },
    Damage { what: "inventing a pod", rules: &[Rule::UnknownName], least: 100, done: invent_a_pod },
    Damage { what: "an unknown NodePool", rules: &[Rule::UnknownName], least: 100, done: rename_the_pool },
    Damage { what: "an unknown type", rules: &[Rule::UnknownName], least: 100, done: invent_a_type },
    Damage { what: "an unknown node", rules: &[Rule::UnknownName], least: 100, done: invent_a_node },
    Damage { what: "a wrong price", rules: &[Rule::Price], least: 100, done: change_the_price },
    Damage {
        what: "a zone that nobody sells",
        rules: &[Rule::InstanceTypeUnavailable],
        least: 100,
        done: move_to_nowhere,
    },
    Damage { what: "losing the taints", rules: &[Rule::Taint], least: 2, done: lose_the_taints },
    Damage {
        what: "a type that is too small",
        rules: &[Rule::Resources, Rule::InstanceTypeUnavailable],
        least: 30,
        done: shrink_the_type,
    },
    Damage {
        what: "a pod where its node selector forbids it",
        rules: &[Rule::NodeSelector],
        least: 5,
        done: defy_a_node_selector,
    },
];

#[test]
fn damage_is_noticed() {
    let Some(corpus) = corpus() else { return };
    let wrong = known_wrong(&corpus);
    let paths: Vec<PathBuf> = entries(&corpus).into_iter().step_by(3).collect();
    let counts = for_each(&paths, |entry| {
        let mut count = [0; ALL.len()];
        for (damage, count) in ALL.iter().zip(&mut count) {
            let mut answer = entry.answer.clone();
            if wrong.contains(&entry.name) || (damage.done)(entry, &mut answer).is_none() {
                continue;
            }
            let violations = entry.judge(&answer);
            let noticed = violations.iter().any(|violation| damage.rules.contains(&violation.rule));
            let (name, what) = (&entry.name, damage.what);
            assert!(noticed, "{name}: {what} went unnoticed:{}", in_words(&violations));
            *count += 1;
        }
        count
    });
    for (index, damage) in ALL.iter().enumerate() {
        let done: usize = counts.iter().map(|count| count[index]).sum();
        assert!(done >= damage.least, "{}: only {done} answers could be damaged", damage.what);
    }
}

fn claims(answer: &mut Value) -> Option<&mut Vec<Value>> {
    answer["newNodeClaims"].as_array_mut().filter(|claims| !claims.is_empty())
}

fn lose_a_pod(_: &Entry, answer: &mut Value) -> Option<()> {
    claims(answer)?[0]["pods"].as_array_mut()?.pop().map(|_| ())
}

fn double_a_claim(_: &Entry, answer: &mut Value) -> Option<()> {
    let claim = claims(answer)?.last()?.clone();
    claims(answer)?.push(claim);
    Some(())
}

fn fail_a_placed_pod(_: &Entry, answer: &mut Value) -> Option<()> {
    let pod = claims(answer)?[0]["pods"][0].as_str()?.to_owned();
    answer["podErrors"][pod] = "no room".into();
    Some(())
}

fn invent_a_pod(_: &Entry, answer: &mut Value) -> Option<()> {
    claims(answer)?[0]["pods"].as_array_mut()?.push("default/nobody".into());
    Some(())
}

fn rename_the_pool(_: &Entry, answer: &mut Value) -> Option<()> {
    claims(answer)?[0]["nodePool"] = "nowhere".into();
    Some(())
}

fn invent_a_type(_: &Entry, answer: &mut Value) -> Option<()> {
    claims(answer)?[0]["instanceTypes"].as_array_mut()?.push("imaginary.large".into());
    Some(())
}

fn invent_a_node(_: &Entry, answer: &mut Value) -> Option<()> {
    let pods = claims(answer)?.pop()?["pods"].clone();
    answer["existingNodes"].as_array_mut()?.push(json!({"node": "nowhere", "pods": pods}));
    Some(())
}

fn change_the_price(_: &Entry, answer: &mut Value) -> Option<()> {
    let claim = &mut claims(answer)?[0];
    claim["cheapestPrice"] = (claim["cheapestPrice"].as_f64()? + 1.0).into();
    Some(())
}

fn move_to_nowhere(_: &Entry, answer: &mut Value) -> Option<()> {
    let requirements = claims(answer)?[0]["requirements"].as_array_mut()?;
    requirements.retain(|requirement| requirement["key"] != ZONE);
    requirements.push(json!({"key": ZONE, "operator": "In", "values": ["nowhere"]}));
    Some(())
}

fn lose_the_taints(_: &Entry, answer: &mut Value) -> Option<()> {
    let claim = claims(answer)?.iter_mut().find(|claim| claim["taints"].is_array())?;
    claim["taints"] = Value::Null;
    Some(())
}

/// A type with less CPU than the claim itself says that it needs.
fn shrink_the_type(entry: &Entry, answer: &mut Value) -> Option<()> {
    let needed = |claim: &Value| millicores(&claim["resources"]["cpu"]);
    let types = entry.scenario_text["instanceTypes"].as_array()?;
    let claim = claims(answer)?
        .iter_mut()
        .max_by(|one, other| needed(one).unwrap_or_default().total_cmp(&needed(other).unwrap_or_default()))?;
    let needed = needed(claim)?;
    let small = types
        .iter()
        .find(|kind| millicores(&kind["capacity"]["cpu"]).is_some_and(|capacity| capacity + 1.0 < needed))?;
    claim["instanceTypes"] = json!([small["name"]]);
    Some(())
}

/// Exchanges the pods of two claims where a node selector of the one excludes the other.
fn defy_a_node_selector(entry: &Entry, answer: &mut Value) -> Option<()> {
    let objects = entry.scenario_text["objects"].as_array()?;
    let selectors: BTreeMap<String, &Value> = objects
        .iter()
        .filter(|object| object["kind"] == "Pod" && object["spec"]["nodeSelector"].is_object())
        .map(|pod| {
            let (namespace, name) = (&pod["metadata"]["namespace"], &pod["metadata"]["name"]);
            let key = format!("{}/{}", namespace.as_str().unwrap(), name.as_str().unwrap());
            (key, &pod["spec"]["nodeSelector"])
        })
        .collect();
    let all = claims(answer)?;
    for from in 0..all.len() {
        for to in (0..all.len()).filter(|&to| to != from) {
            let pods = all[from]["pods"].as_array()?.clone();
            let excluded = pods.iter().position(|pod| {
                let selector = pod.as_str().and_then(|pod| selectors.get(pod));
                selector.is_some_and(|selector| excludes(selector, &all[to]))
            });
            if let Some(position) = excluded {
                let pod = all[from]["pods"].as_array_mut()?.remove(position);
                all[to]["pods"].as_array_mut()?.push(pod);
                return Some(());
            }
        }
    }
    None
}

/// Whether the claim says that some label of the selector has another value.
fn excludes(selector: &Value, claim: &Value) -> bool {
    let requirements = claim["requirements"].as_array().unwrap();
    selector.as_object().unwrap().iter().any(|(key, value)| {
        requirements.iter().any(|requirement| {
            requirement["key"] == key.as_str()
                && requirement["operator"] == "In"
                && !requirement["values"].as_array().unwrap().contains(value)
        })
    })
}

fn millicores(quantity: &Value) -> Option<f64> {
    let text = quantity.as_str()?;
    match text.strip_suffix('m') {
        Some(number) => number.parse().ok(),
        None => text.parse::<f64>().ok().map(|cores| cores * 1000.0),
    }
}
