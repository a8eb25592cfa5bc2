//! Label selectors over pods and namespaces.
//!
//! Invariant: no selector selects nothing, an empty one selects everything, as Kubernetes documents.

use crate::objects::{LabelSelector, Labels};
use crate::sets::Allowed;

/// A label selector, resolved; `None` stands for the selector that is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Selector(Option<Vec<(String, Allowed)>>);

impl Selector {
    pub(crate) fn new(selector: Option<&LabelSelector>) -> Self {
        Self(selector.map(|selector| {
            let labels = selector.match_labels.iter();
            let mut all: Vec<_> = labels.map(|(key, value)| (key.clone(), Allowed::exactly(value))).collect();
            for expression in &selector.match_expressions {
                let allowed = Allowed::read(&expression.operator, &expression.values);
                all.push((expression.key.clone(), allowed.unwrap_or(Allowed::one_of([]))));
            }
            all
        }))
    }

    pub(crate) fn of_labels(labels: &Labels) -> Self {
        Self(Some(labels.iter().map(|(key, value)| (key.clone(), Allowed::exactly(value))).collect()))
    }

    /// Narrows the selector to pods that also share, or do not share, these labels with the pod that asks.
    pub(crate) fn narrow(&mut self, keys: &[String], own: &Labels, same: bool) {
        let Some(all) = &mut self.0 else { return };
        for key in keys {
            let Some(value) = own.get(key) else { continue };
            let operator = if same { "In" } else { "NotIn" };
            all.extend(
                Allowed::read(operator, std::slice::from_ref(value)).map(|allowed| (key.clone(), allowed)),
            );
        }
    }

    /// Both selectors at once.
    pub(crate) fn and(mut self, other: Self) -> Self {
        match (&mut self.0, other.0) {
            (Some(all), Some(more)) => all.extend(more),
            _ => self.0 = None,
        }
        self
    }

    pub(crate) fn is_trivial(&self) -> bool {
        self.0.as_ref().is_none_or(Vec::is_empty)
    }

    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        self.0.as_ref().is_some_and(|all| {
            all.iter().all(|(key, allowed)| allowed.contains(labels.get(key).map(String::as_str)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_selects_nothing_and_empty_selects_all() {
        let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
        assert!(!Selector::new(None).matches(&labels));
        assert!(Selector::new(Some(&LabelSelector::default())).matches(&labels));
    }

    #[test]
    fn own_labels_narrow() {
        let own = Labels::from([("version".to_owned(), "2".to_owned())]);
        let other = Labels::from([("version".to_owned(), "1".to_owned())]);
        let mut same = Selector::new(Some(&LabelSelector::default()));
        same.narrow(&["version".to_owned(), "unset".to_owned()], &own, true);
        assert!(same.matches(&own) && !same.matches(&other));
        let mut different = Selector::new(Some(&LabelSelector::default()));
        different.narrow(&["version".to_owned()], &own, false);
        assert!(!different.matches(&own) && different.matches(&other));
    }
}
