//! How the registration of a pool's nodes goes, by how it ended for the last few of them.
//!
//! Source: Karpenter, pkg/state/nodepoolhealth.
//!
//! **Invariant:** what is known is about one generation of the pool and of its class: a change of either may have mended what was wrong,
//! so nothing is known after it.

use std::collections::VecDeque;

use serde_json::Value;

use crate::condition::Finding;

/// The condition that says it.
pub(crate) const HEALTHY: &str = "NodeRegistrationHealthy";

/// So many of the last nodes count.
const LAST: usize = 4;

/// With so many failures among them something is wrong.
const TOO_MANY: usize = 2;

/// The generations of a pool and of its class.
pub(crate) type Generations = (Option<i64>, Option<i64>);

/// Why a node did not register: a reason, and what to tell people.
pub(crate) type Failure = (String, String);

/// How it ended for the last nodes of a pool.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    of: Generations,
    last: VecDeque<Result<(), Failure>>,
}

impl Registrations {
    /// Begins with what the pool shows, which an earlier process may have found.
    pub(crate) fn shown(of: Generations, status: &Value) -> Self {
        let conditions = status["conditions"].as_array();
        let shown = conditions.into_iter().flatten().find(|one| one["type"] == HEALTHY);
        let text = |field: &str| shown.and_then(|shown| shown[field].as_str()).unwrap_or_default();
        let of_pool = shown.and_then(|shown| shown["observedGeneration"].as_i64());
        let is_current = (of_pool, status["nodeClassObservedGeneration"].as_i64()) == of;
        let last = match text("status") {
            "True" if is_current => VecDeque::from([Ok(())]),
            "False" if is_current => {
                let failure = (text("reason").to_owned(), text("message").to_owned());
                std::iter::repeat_n(Err(failure), TOO_MANY).collect()
            }
            _ => VecDeque::new(),
        };
        Self { of, last }
    }

    /// Takes note of one more.
    pub(crate) fn ended(&mut self, of: Generations, how: Result<(), Failure>) {
        if self.of != of {
            *self = Self { of, last: VecDeque::new() };
        }
        self.last.push_back(how);
        while self.last.len() > LAST {
            self.last.pop_front();
        }
    }

    /// What that comes to; `None` while nothing is known.
    pub(crate) fn finding(&self, of: Generations) -> Option<Finding> {
        if self.of != of || self.last.is_empty() {
            return None;
        }
        let failures = || self.last.iter().filter_map(|one| one.as_ref().err());
        Some(match failures().next_back() {
            Some((reason, message)) if failures().count() >= TOO_MANY => {
                Finding::False(reason.clone(), message.clone())
            }
            _ => Finding::True,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OF: Generations = (Some(3), Some(1));

    fn failure() -> Result<(), Failure> {
        Err(("RegistrationFailed".to_owned(), "it did not come".to_owned()))
    }

    fn bad() -> Option<Finding> {
        failure().err().map(|(reason, message)| Finding::False(reason, message))
    }

    #[test]
    fn two_failures_of_four_are_too_many() {
        let mut all = Registrations::shown(OF, &json!({}));
        assert_eq!(all.finding(OF), None);
        all.ended(OF, failure());
        assert_eq!(all.finding(OF), Some(Finding::True));
        all.ended(OF, failure());
        assert_eq!(all.finding(OF), bad());
        (0..2).for_each(|_| all.ended(OF, Ok(())));
        assert_eq!(all.finding(OF), bad());
        all.ended(OF, Ok(()));
        assert_eq!(all.finding(OF), Some(Finding::True));
    }

    #[test]
    fn what_is_shown_counts_until_pool_or_class_change() {
        let condition = json!({"type": HEALTHY, "status": "False", "reason": "RegistrationFailed",
            "message": "it did not come", "observedGeneration": 3});
        let status = json!({"conditions": [condition], "nodeClassObservedGeneration": 1});
        let mut all = Registrations::shown(OF, &status);
        all.ended(OF, Ok(()));
        assert_eq!(all.finding(OF), bad());
        let later = (Some(4), Some(1));
        assert_eq!(all.finding(later), None);
        assert_eq!(Registrations::shown(later, &status).finding(later), None);
        all.ended(later, Ok(()));
        assert_eq!(all.finding(later), Some(Finding::True));
    }
}
