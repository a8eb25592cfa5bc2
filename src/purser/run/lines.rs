//! Log lines about what was decided and what came of it: one for each kind of decision and batch, never one for each pod.
//!
//! The messages are Karpenter's where it has one for the same, so that what reads its log reads ours.
//!
//! **Invariant:** a line is written of what is in the log, after it is in there.

use purser_engine::event::{Decision, Divergence, Event, Fact, LaunchFailure, Seq};
use purser_engine::model::Resources;
use purser_engine::state::State;

/// What a batch says of pods, which are told of together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    placed: usize,
    waiting: usize,
    evicted: usize,
    swapped: usize,
    diverged: Vec<String>,
}

impl Lines {
    /// Tells of a record, with the State before it.
    pub(super) fn record(&mut self, state: &State, seq: Seq, event: &Event) {
        match event {
            Event::Decision(decision) => self.decision(state, seq, decision),
            Event::Fact(fact) => fact_line(state, seq, fact),
            Event::Control(_) => {}
        }
    }

    /// Tells of the batch as a whole.
    pub(super) fn batch(&mut self) {
        let Self { placed, waiting, evicted, swapped, diverged } = std::mem::take(self);
        if placed > 0 {
            tracing::info!(pods = placed, "found provisionable pod(s)");
        }
        if waiting > 0 {
            tracing::info!(pods = waiting, "pod(s) have no place");
        }
        if evicted > 0 {
            tracing::info!(pods = evicted, "evicting pod(s)");
        }
        if swapped > 0 {
            tracing::debug!(pods = swapped, "pod(s) changed places with equal ones");
        }
        if let Some(first) = diverged.first() {
            tracing::info!(pods = diverged.len(), first, "pod(s) were bound to other nodes than planned");
        }
    }

    fn decision(&mut self, state: &State, seq: Seq, decision: &Decision) {
        let decision_id = seq.0;
        match decision {
            Decision::Launch { claim, pool, pods, requests, options, .. } => {
                self.placed += pods.len();
                tracing::info!(
                    NodePool = %pool, NodeClaim = %claim, decision = decision_id, requests = amounts(requests),
                    "instance-types" = options.len(), pods = pods.len(), "created nodeclaim"
                );
            }
            Decision::Nominate { pods, .. } => self.placed += pods.len(),
            Decision::Unschedulable { pods, .. } => self.waiting += pods.len(),
            Decision::Relaunch { claim, attempt } => {
                tracing::warn!(NodeClaim = %claim, decision = decision_id, attempt, "launching nodeclaim again");
            }
            Decision::Register { claim, node } => {
                tracing::info!(NodeClaim = %claim, Node = %node, decision = decision_id, "registered nodeclaim");
            }
            Decision::Initialize { claim, node } => {
                let allocatable = state.nodes.get(node).map(|node| amounts(&node.facts.allocatable));
                tracing::info!(NodeClaim = %claim, Node = %node, decision = decision_id, allocatable, "initialized nodeclaim");
            }
            Decision::Disrupt { reason, candidates, replacements, .. } => {
                let first = candidates.first().map(ToString::to_string);
                tracing::info!(
                    reason = reason.as_str(),
                    decision = decision_id,
                    "disrupted-node-count" = candidates.len(),
                    "replacement-node-count" = replacements.len(),
                    first,
                    "disrupting node(s)"
                );
            }
            Decision::AbandonDisruption { claim, reason } => {
                tracing::info!(NodeClaim = %claim, decision = decision_id, %reason, "abandoned the disruption");
            }
            Decision::Taint { claim } => {
                tracing::info!(NodeClaim = %claim, decision = decision_id, "tainted node");
            }
            Decision::Evict { .. } => self.evicted += 1,
            Decision::AwaitDetachment { claim, attached } => {
                tracing::info!(NodeClaim = %claim, decision = decision_id, attached, "awaiting volume detachment");
            }
            Decision::Terminate { claim, attached, .. } => {
                tracing::info!(NodeClaim = %claim, decision = decision_id, attached, "terminating instance");
            }
            Decision::Adopt { claim, .. } => {
                tracing::info!(NodeClaim = %claim, decision = decision_id, "adopted nodeclaim");
            }
            Decision::GarbageCollect { instance } => {
                tracing::info!(%instance, decision = decision_id, "garbage collected instance");
            }
            Decision::BindingDiverged { how: Divergence::EqualPod, .. } => self.swapped += 1,
            Decision::BindingDiverged { pod, node, how, planned } => {
                let plan = match how {
                    Divergence::NoPlace => "was that it has no place",
                    _ => "was another place",
                };
                self.diverged.push(format!("pod {pod} is on node {node}, and decision {planned} {plan}"));
            }
            _ => tracing::debug!(decision = decision_id, "{decision:?}"),
        }
    }
}

fn fact_line(state: &State, seq: Seq, fact: &Fact) {
    match fact {
        Fact::InstanceLaunched { claim, instance, instance_type, zone, capacity_type, .. } => tracing::info!(
            NodeClaim = %claim, "provider-id" = %instance, "instance-type" = %instance_type, zone = %zone,
            "capacity-type" = capacity_type.as_str(), record = seq.0, "launched nodeclaim"
        ),
        Fact::LaunchFailed { claim, failure } => {
            let why = match failure {
                LaunchFailure::InsufficientCapacity { .. } => "insufficient capacity",
                LaunchFailure::Rejected { message } | LaunchFailure::Unknown { message } => message,
            };
            tracing::error!(NodeClaim = %claim, record = seq.0, error = why, "failed launching nodeclaim");
        }
        Fact::InstanceGone { instance } => {
            if let Some(claim) = state.claim_of_instance(instance) {
                let node = claim.node.as_ref().map(ToString::to_string);
                tracing::info!(NodeClaim = %claim.name, Node = node, "provider-id" = %instance, record = seq.0, "deleted nodeclaim");
            }
        }
        Fact::InterruptionNotice { instance, kind, .. } => {
            tracing::info!("provider-id" = %instance, ?kind, record = seq.0, "received interruption notice");
        }
        _ => {}
    }
}

fn amounts(amounts: &Resources) -> String {
    let all: Vec<String> = amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    all.join(" ")
}
