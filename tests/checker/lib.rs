//! An independent judge of scheduling results.
//!
//! It answers two questions: is this result valid for this scenario ([`check`]), and could a pod that the result leaves
//! pending be placed after all ([`could_place`])? It is written from what Kubernetes and Karpenter document, shares no
//! code with the scheduler that it judges, and is slow where being slow makes it plain.
//!
//! Invariant: the checker never decides anything; it only says whether somebody else's decision keeps the rules.

mod accounting;
mod buffers;
mod claims;
mod daemon;
mod demand;
mod devices;
mod domains;
mod eligible;
mod existing;
mod fit;
mod host;
mod limits;
mod model;
mod objects;
mod order;
mod overlays;
mod place;
mod plan;
mod pod;
mod pool;
mod quantity;
mod resources;
mod selection;
mod selector;
mod sets;
mod spread;
mod taints;
mod topology;
mod violation;
mod volumes;
mod world;

use std::collections::BTreeMap;

pub use model::{Outcome, ReadError, Scenario, catalogues_near};
pub use place::Where;
pub use violation::{Rule, Violation};

use plan::Plan;
use world::World;

/// Everything that is wrong with a result. A valid result has no violation.
pub fn check(scenario: &Scenario, result: &Outcome) -> Vec<Violation> {
    let world = World::new(scenario);
    let mut found = Vec::new();
    let plan = Plan::new(&world, result, &mut found);
    accounting::check_pods(&plan, result, &world, &mut found);
    claims::check(&plan, &world, &mut found);
    existing::check(&plan, &world, &mut found);
    devices::check(&plan, result, &world, &mut found);
    limits::check(&plan, &world, &mut found);
    accounting::check_prices(&plan, result, &mut found);
    order::check(&plan, result, &world, &mut found);
    found
}

/// Each pod that the result leaves pending although [`could_place`] finds a place for it, with that place. The places are
/// found one by one: two pods may be offered the same room.
pub fn placeable(scenario: &Scenario, result: &Outcome) -> BTreeMap<String, Where> {
    let world = World::new(scenario);
    let plan = Plan::new(&world, result, &mut Vec::new());
    let find = |pod: &str| Some((pod.to_owned(), place::find(&world, &plan, pod)?));
    result.pending().filter_map(find).collect()
}

/// A place for a pending pod that keeps every rule, beside what the result places already: on a node that exists, or
/// alone on a new one. `None` does not prove that there is no place; but a place that is named is one.
pub fn could_place(scenario: &Scenario, result: &Outcome, pod: &str) -> Option<Where> {
    let world = World::new(scenario);
    let plan = Plan::new(&world, result, &mut Vec::new());
    place::find(&world, &plan, pod)
}
