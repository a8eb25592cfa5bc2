//! A result for people.
//!
//! **Invariant:** the tables say what the JSON document says, long lists cut short.

use super::outcome::Solution;
use crate::output;

/// So many names of a list are shown.
const NAMES_SHOWN: usize = 4;

/// Prints a result.
pub(super) fn print(solution: &Solution) -> anyhow::Result<()> {
    if !solution.new_node_claims.is_empty() {
        let mut table = output::table(&["NODEPOOL", "CHEAPEST TYPE", "$/H", "TYPES", "REQUESTS", "PODS"]);
        for claim in &solution.new_node_claims {
            let requests: Vec<String> =
                claim.resources.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
            table.add_row([
                claim.node_pool.clone(),
                claim.cheapest_instance_type.clone(),
                claim.cheapest_price.to_string(),
                claim.instance_types.len().to_string(),
                requests.join(" "),
                with_buffers(&claim.pods, &claim.buffer_pods),
            ]);
        }
        output::print(table)?;
    }
    if !solution.existing_nodes.is_empty() {
        let mut table = output::table(&["NODE", "PODS"]);
        for node in &solution.existing_nodes {
            table.add_row([node.node.clone(), with_buffers(&node.pods, &node.buffer_pods)]);
        }
        output::print(table)?;
    }
    if !solution.pod_errors.is_empty() {
        let mut table = output::table(&["WITHOUT A PLACE", "WHY"]);
        for (pod, why) in &solution.pod_errors {
            table.add_row([pod, why]);
        }
        output::print(table)?;
    }
    if !solution.buffer_errors.is_empty() {
        let mut table = output::table(&["BUFFER WITHOUT ROOM", "WHY"]);
        for (pod, why) in &solution.buffer_errors {
            table.add_row([pod, why]);
        }
        output::print(table)?;
    }
    if !solution.ignored_pods.is_empty() {
        output::print(format_args!("Ignored: {}", some(&solution.ignored_pods)))?;
    }
    let bound = solution.lower_bound_per_hour.map(|bound| format!(", ${bound} at least"));
    output::print(format_args!(
        "{} new nodes at ${}/h{}; {} pods without a place.",
        solution.new_node_claims.len(),
        solution.total_price_per_hour,
        bound.unwrap_or_default(),
        solution.pod_errors.len()
    ))?;
    Ok(())
}

/// The first of a list, and how many more there are.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(" ");
    match names.len().checked_sub(NAMES_SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

/// Pods, and how many virtual ones there is room for beside them.
fn with_buffers(pods: &[String], buffers: &[String]) -> String {
    match (pods.is_empty(), buffers.len()) {
        (_, 0) => some(pods),
        (true, room) => format!("room for {room}"),
        (false, room) => format!("{} and room for {room}", some(pods)),
    }
}
