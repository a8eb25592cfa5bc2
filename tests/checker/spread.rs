//! Topology spread constraints as they apply to one pod.
//!
//! Invariant: only `DoNotSchedule` constraints are kept; defaults apply to a pod that has no constraint at all.

use crate::model::Scenario;
use crate::objects::{Pod, SpreadConstraint};
use crate::selector::Selector;
use crate::sets::Dialect;

/// A constraint that has to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    /// The topology key.
    pub(crate) key: String,
    pub(crate) max_skew: i64,
    pub(crate) min_domains: usize,
    pub(crate) selector: Selector,
    /// Nodes that the pod's node affinity excludes do not count.
    pub(crate) honor_affinity: bool,
    /// Nodes whose taints the pod does not tolerate do not count.
    pub(crate) honor_taints: bool,
}

pub(crate) fn spreads_of(pod: &Pod, scenario: &Scenario, dialect: &Dialect) -> Vec<Spread> {
    let own = &pod.spec.topology_spread_constraints;
    if own.is_empty() {
        let selector = default_selector(pod, scenario);
        if selector.is_trivial() {
            return Vec::new();
        }
        let defaults = &scenario.settings.default_topology_spread_constraints;
        return hard(defaults).map(|constraint| spread(constraint, selector.clone(), dialect)).collect();
    }
    hard(own)
        .map(|constraint| {
            let mut selector = Selector::new(constraint.label_selector.as_ref());
            selector.narrow(&constraint.match_label_keys, &pod.metadata.labels, true);
            spread(constraint, selector, dialect)
        })
        .collect()
}

fn hard(all: &[SpreadConstraint]) -> impl Iterator<Item = &SpreadConstraint> {
    all.iter().filter(|constraint| matches!(constraint.when_unsatisfiable.as_str(), "DoNotSchedule" | ""))
}

fn spread(constraint: &SpreadConstraint, selector: Selector, dialect: &Dialect) -> Spread {
    Spread {
        key: dialect.key(&constraint.topology_key),
        max_skew: constraint.max_skew,
        min_domains: constraint.min_domains.unwrap_or(1),
        selector,
        honor_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
        honor_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
    }
}

/// The pods that belong together by Services and by owner: what kube-scheduler takes for the selector of default
/// constraints. An empty one means that defaults do not apply.
fn default_selector(pod: &Pod, scenario: &Scenario) -> Selector {
    let (meta, objects) = (&pod.metadata, &scenario.objects);
    let mut labels = crate::objects::Labels::new();
    for service in objects.services.iter().filter(|service| service.metadata.namespace == meta.namespace) {
        let selector = &service.spec.selector;
        if !selector.is_empty() && Selector::of_labels(selector).matches(&meta.labels) {
            labels.extend(selector.clone());
        }
    }
    let Some(owner) = meta.owner_references.iter().find(|owner| owner.controller) else {
        return Selector::of_labels(&labels);
    };
    let ours = |other: &crate::objects::Meta| other.namespace == meta.namespace && other.name == owner.name;
    match owner.kind.as_str() {
        "ReplicationController" => {
            let mut all = objects.replication_controllers.iter();
            if let Some(controller) = all.find(|controller| ours(&controller.metadata)) {
                labels.extend(controller.spec.selector.clone());
            }
            Selector::of_labels(&labels)
        }
        kind @ ("ReplicaSet" | "StatefulSet") => {
            let all = if kind == "ReplicaSet" { &objects.replica_sets } else { &objects.stateful_sets };
            match all.iter().find(|workload| ours(&workload.metadata)) {
                Some(workload) => {
                    Selector::of_labels(&labels).and(Selector::new(Some(&workload.spec.selector)))
                }
                None => Selector::of_labels(&labels),
            }
        }
        _ => Selector::of_labels(&labels),
    }
}
