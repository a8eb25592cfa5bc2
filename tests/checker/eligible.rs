//! Which pods a result has to account for.
//!
//! Invariant: each pod here is either pending by Kubernetes' own word, or about to lose its node.

use chrono::DateTime;

use crate::model::Scenario;
use crate::objects::{Expression, LabelSelector, NodeSelectorTerm, Pod};
use crate::pod;
use crate::selector::Selector;
use crate::sets::{Allowed, CAPACITY_TYPE, Dialect, NODE_POOL, Requirements};

fn owned_by(pod: &Pod, kind: &str, group: &str) -> bool {
    let owners = pod.metadata.owner_references.iter();
    owners.into_iter().any(|owner| {
        owner.kind == kind && owner.api_version.split_once('/').map_or("", |(group, _)| group) == group
    })
}

/// Daemon sets and the kubelet place their own pods.
pub(crate) fn places_itself(pod: &Pod) -> bool {
    owned_by(pod, "DaemonSet", "apps") || owned_by(pod, "Node", "")
}

/// kube-scheduler has tried and failed, and nobody is being preempted for the pod.
pub(crate) fn is_pending(pod: &Pod) -> bool {
    let mut conditions = pod.status.conditions.iter();
    conditions.any(|condition| condition.kind == "PodScheduled" && condition.reason == "Unschedulable")
        && pod.spec.node_name.is_empty()
        && pod.status.nominated_node_name.is_empty()
        && !places_itself(pod)
}

/// A pod of a leaving node that can be evicted, and so needs another place now.
pub(crate) fn is_moving(pod: &Pod, scenario: &Scenario) -> bool {
    let finished = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
    let active = !finished && pod.metadata.deletion_timestamp.is_none();
    // The successor of a StatefulSet's pod has its name, so it needs a place while the old one still terminates.
    let succeeded_by_name = owned_by(pod, "StatefulSet", "apps") && pod.metadata.deletion_timestamp.is_some();
    (active || succeeded_by_name)
        && !places_itself(pod)
        && !refuses_disruption(pod, &scenario.now)
        && !is_held_by_budget(pod, scenario)
}

/// `karpenter.sh/do-not-disrupt`: `true`, or a duration since the start of the pod.
fn refuses_disruption(pod: &Pod, now: &str) -> bool {
    let Some(value) = pod.metadata.annotations.get("karpenter.sh/do-not-disrupt") else { return false };
    if value == "true" {
        return true;
    }
    let Some(seconds) = go_duration(value).filter(|&seconds| seconds > 0.0) else { return false };
    let Some(start) = &pod.status.start_time else { return true };
    match (DateTime::parse_from_rfc3339(start), DateTime::parse_from_rfc3339(now)) {
        (Ok(start), Ok(now)) => ((now - start).num_milliseconds() as f64) < seconds * 1000.0,
        _ => true,
    }
}

/// Durations such as `1h30m`, in seconds.
fn go_duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let units = [("ms", 0.001), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
        let (unit, seconds) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total += number * seconds;
    }
    (!text.is_empty()).then_some(total)
}

/// A budget that never lets this pod go, or several at once, which the eviction API refuses.
fn is_held_by_budget(pod: &Pod, scenario: &Scenario) -> bool {
    let selects = |selector: Option<&LabelSelector>| Selector::new(selector).matches(&pod.metadata.labels);
    let budgets: Vec<_> = scenario
        .objects
        .budgets
        .iter()
        .filter(|budget| budget.metadata.namespace == pod.metadata.namespace)
        .filter(|budget| selects(budget.spec.selector.as_ref()))
        .collect();
    budgets.len() > 1
        || budgets.iter().any(|budget| {
            let max = budget.spec.max_unavailable.as_ref();
            let min = budget.spec.min_available.as_ref();
            max.is_some_and(|max| {
                max.as_i64() == Some(0) || max.as_str() == Some("0%") || max.as_str() == Some("0")
            }) || min.is_some_and(|min| min.as_str() == Some("100%"))
        })
}

/// Why a pending pod is not the autoscaler's business; none if it is.
pub(crate) fn reason_to_ignore(pod: &pod::Pod<'_>, dialect: &Dialect) -> Option<String> {
    let spec = &pod.object.spec;
    let affinity = spec.affinity.node_affinity.required.as_ref();
    let terms = affinity.map(|selector| selector.node_selector_terms.as_slice()).unwrap_or_default();
    for key in spec.node_selector.keys() {
        if dialect.is_restricted(&dialect.key(key)) {
            return Some(format!("selects on the restricted label {key}"));
        }
    }
    for term in terms {
        if !term.match_fields.is_empty() {
            return Some("selects nodes by field".to_owned());
        }
        if let Some(problem) = term.match_expressions.iter().find_map(|one| expression_problem(one, dialect))
        {
            return Some(problem);
        }
    }
    // A pod opts out if each of its alternatives says that the node has no NodePool.
    let choices = pod.node_demand().choices();
    let missing = |choice: &Requirements| choice.get(NODE_POOL) == Some(&Allowed::missing());
    // Karpenter reads only the first alternative; a pod that says it there is left alone.
    let opts_out = |term: &NodeSelectorTerm| {
        let mut expressions = term.match_expressions.iter();
        expressions.any(|one| dialect.key(&one.key) == NODE_POOL && one.operator == "DoesNotExist")
    };
    if !choices.is_empty() && choices.iter().all(missing) || terms.first().is_some_and(opts_out) {
        return Some("wants a node without NodePool".to_owned());
    }
    pod.volumes.problems.first().cloned()
}

fn expression_problem(expression: &Expression, dialect: &Dialect) -> Option<String> {
    let key = dialect.key(&expression.key);
    if dialect.is_restricted(&key) {
        return Some(format!("selects on the restricted label {key}"));
    }
    let sensible = match expression.operator.as_str() {
        // The only well-known label whose values Karpenter knows.
        "In" if key == CAPACITY_TYPE => {
            let known = |value: &String| matches!(value.as_str(), "on-demand" | "spot" | "reserved");
            expression.values.iter().any(known)
        }
        "In" => !expression.values.is_empty(),
        "Gt" | "Lt" | "Gte" | "Lte" => {
            let number = expression.values.first().and_then(|value| value.parse::<i64>().ok());
            expression.values.len() == 1 && number.is_some_and(|number| number >= 0)
        }
        "NotIn" | "Exists" | "DoesNotExist" => true,
        _ => false,
    };
    let qualified =
        is_qualified(&expression.key) && expression.values.iter().all(|value| is_label_value(value));
    (!sensible || !qualified)
        .then(|| format!("has the invalid requirement {key} {} {:?}", expression.operator, expression.values))
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || value.len() <= 63 && is_name(value)
}

fn is_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_qualified(key: &str) -> bool {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    is_label_value(name)
        && !name.is_empty()
        && domain.is_none_or(|domain| is_name(domain) && domain.len() <= 253)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_writes_them() {
        assert_eq!(go_duration("1h30m"), Some(5400.0));
        assert_eq!(go_duration("500ms"), Some(0.5));
        assert_eq!(go_duration("true"), None);
        assert_eq!(go_duration(""), None);
    }
}
