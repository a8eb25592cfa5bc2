//! `--explain POD`: what was looked at for one pod, from what the tracer noted.
//!
//! **Invariant:** nothing is worked out anew here: what is told is what the decision itself looked at.

use purser_engine::decide::Note;
use purser_engine::event::{Decision, Target};
use purser_engine::model::PodKey;

use super::Solved;
use super::outcome::{host_name, usd};

/// So many of the cheapest types are named.
const TYPES_NAMED: usize = 5;

/// The lines to show; `None` if no such pod waits.
pub(super) fn explain(solved: &Solved, pod: &PodKey) -> Option<Vec<String>> {
    if let Some(reason) = solved.ignored.get(pod) {
        return Some(vec![format!("{pod} is ignored: {reason}")]);
    }
    let state = &solved.state;
    let spec = state.pods.get(pod)?.spec;
    let mut lines = vec![outcome(solved, pod)?];
    lines.push(format!("  asks for {}", state.spec(spec).requests));
    for note in &solved.notes.0 {
        let line = match note {
            Note::TargetRejected { spec: of, target, reason } if *of == spec => {
                format!("  not {}: {reason}", host_name(state, target))
            }
            Note::TargetChosen { spec: of, target } if *of == spec => {
                format!("  {} takes pods like it", host_name(state, target))
            }
            Note::JoinsLaunch { spec: of, claim } if *of == spec => format!("  new node {claim} takes one"),
            Note::PoolRejected { spec: of, pool, reason } if *of == spec => {
                format!("  NodePool {pool} can launch nothing for it: {reason}")
            }
            Note::TypeRejected { spec: of, pool, instance_type, reason } if *of == spec => {
                format!("  not {instance_type} of NodePool {pool}: {reason}")
            }
            Note::LaunchPriced { claim, pool, ranked, kept } if is_for(solved, claim.as_str(), pod) => {
                let cheapest = ranked.iter().take(TYPES_NAMED);
                let cheapest: Vec<String> =
                    cheapest.map(|(name, price)| format!("{name} at ${}", usd(*price))).collect();
                let count = ranked.len();
                format!(
                    "  {count} instance types of NodePool {pool} would do, {kept} are asked for: {}",
                    cheapest.join(", ")
                )
            }
            _ => continue,
        };
        if lines.last() != Some(&line) {
            lines.push(line);
        }
    }
    Some(lines)
}

/// Whether a launch is for a pod.
fn is_for(solved: &Solved, name: &str, pod: &PodKey) -> bool {
    solved.decisions.iter().any(|decision| {
        matches!(decision, Decision::Launch { claim, pods, .. } if claim.as_str() == name && pods.contains(pod))
    })
}

fn outcome(solved: &Solved, pod: &PodKey) -> Option<String> {
    let text = pod.to_string();
    if let Some(why) = solved.solution.pod_errors.get(&text) {
        return Some(format!("{pod} has no place: {why}"));
    }
    solved.decisions.iter().find_map(|decision| match decision {
        Decision::Launch { claim, pool, pods, .. } if pods.contains(pod) => {
            Some(format!("{pod} goes to new node {claim} of NodePool {pool}"))
        }
        Decision::Nominate { target, pods } if pods.contains(pod) => {
            let kind = if matches!(target, Target::Node(_)) { "node" } else { "node or claim" };
            Some(format!("{pod} goes to {kind} {}", host_name(&solved.state, target)))
        }
        _ => None,
    })
}
