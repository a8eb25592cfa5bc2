//! Status conditions, as Karpenter's objects have them.
//!
//! Source: github.com/awslabs/operatorpkg, status/condition_set.go.
//!
//! **Invariant:** the moment of a transition changes only with the status of its condition.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Moment;
use k8s_openapi::jiff::Timestamp;
use purser_api::crd::Condition;
use purser_engine::model::Time;
use serde_json::{Value, json};

use crate::timestamp;

/// What a condition is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It holds.
    True,
    /// It does not, for this reason; and what to tell people.
    False(String, String),
    /// That does not show yet.
    Unknown,
}

impl Finding {
    fn status(&self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False(..) => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Sets a condition among others. Its place stays, and all of it if it says so already.
pub(crate) fn set(
    conditions: &mut Vec<Value>,
    kind: &str,
    finding: &Finding,
    generation: Option<i64>,
    moment: &str,
) {
    let (reason, message) = match finding {
        Finding::True => (kind, ""),
        Finding::False(reason, message) => (reason.as_str(), message.as_str()),
        Finding::Unknown => ("AwaitingReconciliation", "object is awaiting reconciliation"),
    };
    write(conditions, kind, finding.status(), reason, message, generation, moment);
}

/// Sets the condition `Ready` to the sum of others.
pub(crate) fn sum_up(
    conditions: &mut Vec<Value>,
    parts: &[(&str, &Finding)],
    generation: Option<i64>,
    moment: &str,
) {
    let of_status = |status: &str| -> Vec<String> {
        let those = parts.iter().filter(|(_, finding)| finding.status() == status);
        those.map(|(kind, finding)| format!("{kind}={}", finding.status())).collect()
    };
    let (bad, open) = (of_status("False"), of_status("Unknown"));
    let (status, reason, message) = match (bad.is_empty(), open.is_empty()) {
        (false, _) => ("False", "UnhealthyDependents", [bad, open].concat().join(", ")),
        (true, false) => ("Unknown", "ReconcilingDependents", open.join(", ")),
        (true, true) => ("True", "Ready", String::new()),
    };
    write(conditions, "Ready", status, reason, &message, generation, moment);
}

/// Whether a condition holds.
pub(crate) fn is_true(conditions: &[Value], kind: &str) -> bool {
    conditions.iter().any(|one| one["type"] == kind && one["status"] == "True")
}

/// Sets a condition among others, word for word.
pub(crate) fn write(
    conditions: &mut Vec<Value>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    moment: &str,
) {
    let before = conditions.iter().position(|one| one["type"] == kind);
    let since = before.map(|at| &conditions[at]).filter(|one| one["status"] == status);
    let since = since.and_then(|one| one["lastTransitionTime"].as_str()).unwrap_or(moment);
    let mut condition = json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since});
    if let Some(generation) = generation {
        condition["observedGeneration"] = generation.into();
    }
    match before {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// The same in a list that has a type of its own: sets a condition that holds or does not.
pub(crate) fn hold(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Time,
) {
    let status = if status { "True" } else { "False" };
    let before = conditions.iter().position(|one| one.kind == kind);
    let since = before.map(|at| &conditions[at]).filter(|one| one.status == status);
    let changed = || {
        let seconds = timestamp(now).map(|now| now.as_second()).unwrap_or_default();
        // A whole second of a moment that there is.
        Timestamp::from_second(seconds).ok().map(Moment)
    };
    let condition = Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.and_then(|one| one.last_transition_time.clone()).or_else(changed),
        observed_generation: generation,
    };
    match before {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_moment_until_its_status_changes() {
        let mut all = vec![Condition { kind: "Other".to_owned(), ..Condition::default() }];
        let at = |seconds: i64| Time(seconds * 1_000_000);
        let moment = |all: &[Condition]| all[1].last_transition_time.clone().unwrap().0.as_second();
        hold(&mut all, "Ready", true, "A", "", Some(1), at(5));
        hold(&mut all, "Ready", true, "B", "b", Some(2), at(9));
        assert_eq!((all.len(), moment(&all), all[1].reason.as_str()), (2, 5, "B"));
        hold(&mut all, "Ready", false, "C", "", Some(2), at(11));
        assert_eq!((all.len(), moment(&all), all[1].status.as_str()), (2, 11, "False"));
    }
}
