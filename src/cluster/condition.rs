//! Status conditions, as Karpenter's objects have them.
//!
//! Source: github.com/awslabs/operatorpkg, status/condition_set.go.
//!
//! **Invariant:** the moment of a transition changes only with the status of its condition.

use serde_json::{Value, json};

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
