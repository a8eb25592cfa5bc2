//! What a pod demands of a node's labels, and whether a node keeps it however it turns out.
//!
//! Invariant: a node that is only planned keeps a demand if *every* node it may become keeps it.

use crate::objects::{Labels, NodeSelector, NodeSelectorTerm};
use crate::sets::{Allowed, Dialect, NAME_FIELD, Requirements, combine};

/// One way in which a node may be labelled. A key that is not there is missing on the node.
pub(crate) type Profile = Requirements;

/// Each of these groups has to hold; a group holds if one of its terms does.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Demand {
    pub(crate) groups: Vec<Vec<Requirements>>,
}

impl Demand {
    pub(crate) fn of_labels(labels: &Labels, dialect: &Dialect) -> Self {
        Self { groups: vec![vec![dialect.labels(labels)]] }
    }

    /// A node selector: its terms are alternatives, and an empty term selects nothing.
    pub(crate) fn of_selector(selector: &NodeSelector, dialect: &Dialect) -> Self {
        let terms = selector.node_selector_terms.iter();
        Self { groups: vec![terms.filter_map(|term| term_requirements(term, dialect)).collect()] }
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.groups.extend(other.groups);
        self
    }

    /// Each key that is looked at.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().flatten().flat_map(|term| term.keys().map(String::as_str))
    }

    /// Every choice of one term for each group, as one set of requirements.
    pub(crate) fn choices(&self) -> Vec<Requirements> {
        let mut choices = vec![Requirements::new()];
        for group in &self.groups {
            choices = choices
                .iter()
                .flat_map(|choice| group.iter().map(move |term| combine(choice, term)))
                .collect();
        }
        choices
    }

    /// Whether the demand holds on each node that the profile may become.
    pub(crate) fn holds_on(&self, profile: &Profile) -> bool {
        self.groups.iter().all(|group| group_holds(group, profile))
    }

    /// Whether the demand may hold on some node that the profile may become.
    pub(crate) fn may_hold_on(&self, profile: &Profile) -> bool {
        self.choices()
            .iter()
            .any(|choice| choice.iter().all(|(key, wanted)| !look(profile, key).intersect(wanted).is_empty()))
    }
}

fn term_requirements(term: &NodeSelectorTerm, dialect: &Dialect) -> Option<Requirements> {
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return None;
    }
    let mut requirements = dialect.requirements(&term.match_expressions);
    let fields = dialect.requirements(&term.match_fields);
    // No other field can be selected on.
    let known = fields.keys().all(|key| key == NAME_FIELD);
    requirements.extend(fields);
    known.then_some(requirements)
}

/// What a label may be on nodes of this profile.
pub(crate) fn look(profile: &Profile, key: &str) -> Allowed {
    profile.get(key).cloned().unwrap_or_else(Allowed::missing)
}

/// One term may serve some values of a label and another term the others, so where no term holds as a whole, each
/// value is tried by itself.
fn group_holds(group: &[Requirements], profile: &Profile) -> bool {
    let term_holds = |term: &Requirements| {
        term.iter().all(|(key, wanted)| {
            let have = look(profile, key);
            !have.is_empty() && have.is_within(wanted)
        })
    };
    if group.iter().any(term_holds) {
        return true;
    }
    let open = group.iter().flat_map(Requirements::keys).find_map(|key| {
        let have = look(profile, key);
        let values = have.listed()?.clone();
        (values.len() + usize::from(have.absent) > 1).then(|| (key.clone(), values, have.absent))
    });
    let Some((key, values, absent)) = open else { return false };
    let mut narrowed = profile.clone();
    let mut try_with = |allowed: Allowed| {
        narrowed.insert(key.clone(), allowed);
        group_holds(group, &narrowed)
    };
    values.iter().all(|value| try_with(Allowed::exactly(value))) && (!absent || try_with(Allowed::missing()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirements(all: &[(&str, &[&str])]) -> Requirements {
        all.iter()
            .map(|(key, values)| {
                ((*key).to_owned(), Allowed::one_of(values.iter().map(|value| (*value).to_owned())))
            })
            .collect()
    }

    #[test]
    fn a_planned_node_must_keep_the_demand_however_it_turns_out() {
        let demand = Demand { groups: vec![vec![requirements(&[("zone", &["a"])])]] };
        assert!(demand.holds_on(&requirements(&[("zone", &["a"])])));
        assert!(!demand.holds_on(&requirements(&[("zone", &["a", "b"])])));
        assert!(demand.may_hold_on(&requirements(&[("zone", &["a", "b"])])));
        assert!(!demand.holds_on(&requirements(&[])));
    }

    #[test]
    fn terms_may_share_the_values_between_them() {
        let terms = vec![requirements(&[("zone", &["a"])]), requirements(&[("zone", &["b"])])];
        let demand = Demand { groups: vec![terms] };
        assert!(demand.holds_on(&requirements(&[("zone", &["a", "b"])])));
        assert!(!demand.holds_on(&requirements(&[("zone", &["a", "b", "c"])])));
    }

    #[test]
    fn a_group_without_terms_holds_nowhere() {
        assert!(!Demand { groups: vec![vec![]] }.holds_on(&requirements(&[])));
        assert!(Demand::default().holds_on(&requirements(&[])));
    }
}
