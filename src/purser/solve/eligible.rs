//! Which pods of a problem are to be placed: those that wait, and those on nodes that are about to go.
//!
//! Source: Karpenter, pkg/utils/pod/scheduling.go, pkg/controllers/provisioning/provisioner.go and scheduling/volumetopology.go.
//!
//! **Invariant:** a pod that waits is either to be placed or ignored for a reason that can be told.

use std::collections::{BTreeMap, BTreeSet};

use purser_api::scenario::{Ignored, Scenario, ScenarioPod};
use purser_api::{CountOrPercent, Reach, VolumeClaimFacts};
use purser_engine::model::{DoNotDisrupt, InstanceId, NodeName, OwnerKind, PodKey, PodPhase, label};

/// Pods that are left alone, and why.
pub(super) type Ignoring = BTreeMap<PodKey, String>;

/// The pods to place, in the order written, and those that are ignored.
pub(super) fn pods(scenario: &Scenario) -> (Vec<PodKey>, Ignoring) {
    let leaving = leaving_nodes(scenario);
    let mut to_place = Vec::new();
    let mut ignored = Ignoring::new();
    for pod in &scenario.pods {
        let key = pod.facts.key.clone();
        if pod.ignored == Some(Ignored::PlacesItself) {
            ignored.insert(key, "runs where there is a node, and needs none of its own".to_owned());
        } else if pod.provisionable {
            match reason_to_ignore(scenario, pod) {
                Some(reason) => drop(ignored.insert(key, reason)),
                None => to_place.push(key),
            }
        } else if pod.facts.node.as_ref().is_some_and(|node| leaving.contains(node)) && moves(scenario, pod) {
            to_place.push(key);
        }
    }
    (to_place, ignored)
}

/// Instances that are about to go.
pub(super) fn leaving_instances(scenario: &Scenario) -> BTreeSet<InstanceId> {
    let marked = scenario.state.iter().filter(|node| node.marked_for_deletion).filter_map(|n| n.instance());
    let claims = scenario.claims.iter().map(|claim| &claim.facts);
    let terminating = claims
        .filter(|claim| claim.deleted.is_some() || claim.is("InstanceTerminating"))
        .filter_map(|c| c.instance.clone());
    marked.chain(terminating).collect()
}

/// Nodes that are about to go. One whose claim stays, stays: its deletion is the claim's to follow.
pub(super) fn leaving_nodes(scenario: &Scenario) -> BTreeSet<NodeName> {
    let instances = leaving_instances(scenario);
    let claimed: BTreeSet<&InstanceId> =
        scenario.claims.iter().filter_map(|claim| claim.facts.instance.as_ref()).collect();
    let leaves = |node: &purser_engine::model::NodeFacts| match &node.instance {
        Some(instance) if claimed.contains(instance) => instances.contains(instance),
        Some(instance) => node.deleting || instances.contains(instance),
        // Nobody can tell what it is: its pods stay where they are.
        None => node.deleting && !node.labels.contains_key(label::NODEPOOL),
    };
    scenario.nodes.iter().filter(|node| leaves(&node.facts)).map(|node| node.facts.name.clone()).collect()
}

/// Whether a pod of a node that leaves needs another place now.
fn moves(scenario: &Scenario, pod: &ScenarioPod) -> bool {
    let spec = &pod.facts.spec;
    let active = pod.facts.phase != PodPhase::Ended && !pod.deleting;
    // The successor of a StatefulSet's pod has its name, and so needs a place while the old one ends.
    let succeeded = spec.owner == OwnerKind::StatefulSet && pod.deleting;
    let held = match spec.do_not_disrupt {
        Some(DoNotDisrupt::Always) => true,
        Some(DoNotDisrupt::For(span)) => pod.started.is_none_or(|start| scenario.now.since(start) < span),
        None => false,
    };
    (active || succeeded) && !spec.is_daemon() && !held && !is_held_by_budget(scenario, pod)
}

/// Whether a budget never lets the pod go, or several at once, which the eviction API refuses.
fn is_held_by_budget(scenario: &Scenario, pod: &ScenarioPod) -> bool {
    let budgets: Vec<_> = scenario
        .budgets
        .iter()
        .filter(|budget| budget.namespace == pod.facts.key.namespace)
        .filter(|budget| budget.selector.matches(&pod.facts.spec.labels))
        .collect();
    let blocks = |budget: &&purser_api::DisruptionBudget| {
        matches!(budget.max_unavailable, Some(CountOrPercent::Count(0) | CountOrPercent::Percent(0)))
            || budget.min_available == Some(CountOrPercent::Percent(100))
    };
    budgets.len() > 1 || budgets.iter().any(blocks)
}

fn reason_to_ignore(scenario: &Scenario, pod: &ScenarioPod) -> Option<String> {
    match &pod.ignored {
        Some(Ignored::OptsOut) => return Some("asks for a node without a NodePool".to_owned()),
        Some(Ignored::Invalid(error)) => return Some(error.to_string()),
        Some(Ignored::PlacesItself) | None => {}
    }
    let namespace = &pod.facts.key.namespace;
    pod.facts.spec.volumes.iter().find_map(|volume| {
        let key = PodKey::new(namespace.clone(), volume.claim.clone());
        let claim = scenario.volume_claims.iter().find(|claim| claim.key == key);
        match claim.map(|claim| reach(scenario, claim)) {
            None => Some(format!("PersistentVolumeClaim {key} does not exist")),
            Some(Err(problem)) => Some(format!("PersistentVolumeClaim {key} {problem}")),
            Some(Ok(_)) => None,
        }
    })
}

/// From where the volume of a claim can be reached, or why no pod can use it.
pub(super) fn reach(scenario: &Scenario, claim: &VolumeClaimFacts) -> Result<Reach, String> {
    scenario.storage.reach(claim)
}
