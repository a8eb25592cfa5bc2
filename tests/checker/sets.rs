//! Sets of label values: what a requirement allows a label to be.
//!
//! Invariant: a set says separately whether the label may be missing, so `NotIn` (missing is fine) and `Exists`
//! (missing is not) stay different however they are combined.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

use crate::objects::{Expression, Labels};

/// What a label may be: one of some values, or perhaps missing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Allowed {
    /// Whether the label may be missing.
    pub(crate) absent: bool,
    values: Values,
    /// Inclusive bounds on values read as integers.
    lower: Option<i64>,
    upper: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Values {
    Only(BTreeSet<String>),
    AllBut(BTreeSet<String>),
}

/// Requirements by label key. A key that is not there is not constrained.
pub(crate) type Requirements = BTreeMap<String, Allowed>;

impl Allowed {
    /// No constraint at all.
    pub(crate) fn anything() -> Self {
        Self { absent: true, values: Values::AllBut(BTreeSet::new()), lower: None, upper: None }
    }

    /// The label is missing.
    pub(crate) fn missing() -> Self {
        Self { absent: true, values: Values::Only(BTreeSet::new()), lower: None, upper: None }
    }

    /// Exactly this value.
    pub(crate) fn exactly(value: &str) -> Self {
        Self::one_of([value.to_owned()])
    }

    pub(crate) fn one_of(values: impl IntoIterator<Item = String>) -> Self {
        Self { absent: false, values: Values::Only(values.into_iter().collect()), lower: None, upper: None }
    }

    /// Reads an operator with its values; none where it makes no sense.
    pub(crate) fn read(operator: &str, values: &[String]) -> Option<Self> {
        let set = || values.iter().cloned().collect::<BTreeSet<_>>();
        let bounded = |lower, upper| Self { absent: false, lower, upper, ..Self::anything() };
        let number = || match values {
            [value] => value.parse::<i64>().ok(),
            _ => None,
        };
        Some(match operator {
            "In" => Self::one_of(set()),
            "NotIn" => Self { values: Values::AllBut(set()), ..Self::anything() },
            "Exists" => Self { absent: false, ..Self::anything() },
            "DoesNotExist" => Self::missing(),
            "Gt" => bounded(Some(number()?.checked_add(1)?), None),
            "Lt" => bounded(None, Some(number()?.checked_sub(1)?)),
            "Gte" => bounded(Some(number()?), None),
            "Lte" => bounded(None, Some(number()?)),
            _ => return None,
        })
    }

    pub(crate) fn intersect(&self, other: &Self) -> Self {
        use Values::{AllBut, Only};
        let lower = self.lower.max(other.lower);
        let upper = match (self.upper, other.upper) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let absent = self.absent && other.absent;
        let values = match (&self.values, &other.values) {
            (Only(a), Only(b)) => Only(a & b),
            (Only(a), AllBut(b)) | (AllBut(b), Only(a)) => Only(a - b),
            (AllBut(a), AllBut(b)) => AllBut(a | b),
        };
        let mut both = Self { absent, values, lower, upper };
        if let Only(values) = &both.values {
            let kept = values.iter().filter(|value| both.within_bounds(value)).cloned().collect();
            both = Self { absent, values: Only(kept), lower: None, upper: None };
        }
        both
    }

    fn within_bounds(&self, value: &str) -> bool {
        if self.lower.is_none() && self.upper.is_none() {
            return true;
        }
        value.parse::<i64>().is_ok_and(|number| {
            self.lower.is_none_or(|lower| lower <= number) && self.upper.is_none_or(|upper| number <= upper)
        })
    }

    /// Whether nothing is allowed, not even a missing label.
    pub(crate) fn is_empty(&self) -> bool {
        !self.absent && !self.allows_some_value()
    }

    fn allows_some_value(&self) -> bool {
        match &self.values {
            Values::Only(values) => !values.is_empty(),
            Values::AllBut(_) => match (self.lower, self.upper) {
                (Some(lower), Some(upper)) => lower <= upper,
                _ => true,
            },
        }
    }

    /// Whether the label may have this value, or be missing for `None`.
    pub(crate) fn contains(&self, value: Option<&str>) -> bool {
        match (value, &self.values) {
            (None, _) => self.absent,
            (Some(value), Values::Only(values)) => values.contains(value) && self.within_bounds(value),
            (Some(value), Values::AllBut(values)) => !values.contains(value) && self.within_bounds(value),
        }
    }

    /// Whether each thing that is allowed here is allowed there.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        (!self.absent || other.absent) && self.values_within(other)
    }

    /// As [`Self::is_within`], without regard to whether the label may be missing.
    pub(crate) fn values_within(&self, other: &Self) -> bool {
        if !self.allows_some_value() {
            return true;
        }
        match (&self.values, &other.values) {
            (Values::Only(values), _) => values.iter().all(|value| other.contains(Some(value))),
            (Values::AllBut(_), Values::Only(_)) => match (self.lower, self.upper) {
                // Between two bounds there are finitely many integers.
                (Some(lower), Some(upper)) if upper.saturating_sub(lower) < 10_000 => (lower..=upper)
                    .map(|number| number.to_string())
                    .filter(|value| self.contains(Some(value)))
                    .all(|value| other.contains(Some(&value))),
                _ => false,
            },
            (Values::AllBut(_), Values::AllBut(theirs)) => {
                theirs.iter().all(|value| !self.contains(Some(value)))
                    && other.lower.is_none_or(|bound| self.lower.is_some_and(|own| own >= bound))
                    && other.upper.is_none_or(|bound| self.upper.is_some_and(|own| own <= bound))
            }
        }
    }

    /// The set as expressions of a requirements list.
    pub(crate) fn expressions(&self, key: &str) -> Vec<Value> {
        let one =
            |operator: &str, values: Vec<String>| json!({"key": key, "operator": operator, "values": values});
        let listed = |values: &BTreeSet<String>| values.iter().cloned().collect::<Vec<_>>();
        let mut all = Vec::new();
        match &self.values {
            Values::Only(values) if values.is_empty() && self.absent => all.push(one("DoesNotExist", vec![])),
            Values::Only(values) => all.push(one("In", listed(values))),
            Values::AllBut(values) => {
                if !values.is_empty() {
                    all.push(one("NotIn", listed(values)));
                }
                for (operator, bound) in [("Gte", self.lower), ("Lte", self.upper)] {
                    all.extend(bound.map(|bound| one(operator, vec![bound.to_string()])));
                }
                if !self.absent {
                    all.push(one("Exists", vec![]));
                }
            }
        }
        all
    }

    /// The values, where they are listed; none where they are unlimited.
    pub(crate) fn listed(&self) -> Option<&BTreeSet<String>> {
        match &self.values {
            Values::Only(values) => Some(values),
            Values::AllBut(_) => None,
        }
    }

    /// The only possibility, if there is just one and it is a value.
    pub(crate) fn single(&self) -> Option<&str> {
        match self.listed() {
            Some(values) if !self.absent && values.len() == 1 => values.first().map(String::as_str),
            _ => None,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.values {
            Values::Only(values) => write!(f, "one of {values:?}")?,
            Values::AllBut(values) if values.is_empty() => f.write_str("any value")?,
            Values::AllBut(values) => write!(f, "any value but {values:?}")?,
        }
        if let Some(lower) = self.lower {
            write!(f, " from {lower}")?;
        }
        if let Some(upper) = self.upper {
            write!(f, " up to {upper}")?;
        }
        if self.absent { f.write_str(" or missing") } else { Ok(()) }
    }
}

/// Which labels mean what: aliases of keys, and the keys that need no definition by a NodePool.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    aliases: Labels,
    well_known: BTreeSet<String>,
}

pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
pub(crate) const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
pub(crate) const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
pub(crate) const NODE_POOL: &str = "karpenter.sh/nodepool";
/// Stands for the field that `matchFields` can select on.
pub(crate) const NAME_FIELD: &str = "metadata.name";

impl Dialect {
    pub(crate) fn new(aliases: &Labels, well_known: &BTreeSet<String>) -> Self {
        let standard = [
            NODE_POOL,
            ZONE,
            "topology.kubernetes.io/region",
            INSTANCE_TYPE,
            "kubernetes.io/arch",
            "kubernetes.io/os",
            CAPACITY_TYPE,
            "node.kubernetes.io/windows-build",
        ];
        let mut well_known = well_known.clone();
        well_known.extend(standard.map(str::to_owned));
        Self { aliases: aliases.clone(), well_known }
    }

    pub(crate) fn is_well_known(&self, key: &str) -> bool {
        self.well_known.contains(key)
    }

    /// Keys that selectors may not use: a pod that does is not the autoscaler's business.
    pub(crate) fn is_restricted(&self, key: &str) -> bool {
        let domain = key.split_once('/').map_or("", |(domain, _)| domain);
        key == HOSTNAME
            || !self.is_well_known(key) && (domain == "karpenter.sh" || domain.ends_with(".karpenter.sh"))
    }

    pub(crate) fn key(&self, key: &str) -> String {
        self.aliases.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }

    /// Combines expressions into requirements. What makes no sense allows nothing.
    pub(crate) fn requirements<'e>(&self, all: impl IntoIterator<Item = &'e Expression>) -> Requirements {
        let mut requirements = Requirements::new();
        for expression in all {
            let allowed = Allowed::read(&expression.operator, &expression.values);
            demand(&mut requirements, &self.key(&expression.key), &allowed.unwrap_or(Allowed::one_of([])));
        }
        requirements
    }

    /// Labels as requirements for just these values. Two names for one label must agree.
    pub(crate) fn labels(&self, labels: &Labels) -> Requirements {
        let mut requirements = Requirements::new();
        for (key, value) in labels {
            demand(&mut requirements, &self.key(key), &Allowed::exactly(value));
        }
        requirements
    }

    /// The labels that a node has. Its old names count only where the new one is missing.
    pub(crate) fn node_labels(&self, labels: &Labels) -> Requirements {
        let mut have = Requirements::new();
        for (key, value) in labels {
            let new = self.key(key);
            if new == *key || !labels.contains_key(&new) {
                have.insert(new, Allowed::exactly(value));
            }
        }
        have
    }
}

/// Adds one more requirement.
pub(crate) fn demand(requirements: &mut Requirements, key: &str, allowed: &Allowed) {
    let both = requirements.get(key).map_or_else(|| allowed.clone(), |have| have.intersect(allowed));
    requirements.insert(key.to_owned(), both);
}

/// All requirements of both.
pub(crate) fn combine(one: &Requirements, other: &Requirements) -> Requirements {
    let mut both = one.clone();
    for (key, allowed) in other {
        demand(&mut both, key, allowed);
    }
    both
}

/// The first key on which nothing is possible.
pub(crate) fn contradiction(requirements: &Requirements) -> Option<&str> {
    requirements.iter().find(|(_, allowed)| allowed.is_empty()).map(|(key, _)| key.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(operator: &str, values: &[&str]) -> Allowed {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        Allowed::read(operator, &values).unwrap()
    }

    #[test]
    fn operators_agree_with_kubernetes_on_missing_labels() {
        for (operator, values, missing) in [
            ("In", &["a"][..], false),
            ("NotIn", &["a"], true),
            ("Exists", &[], false),
            ("DoesNotExist", &[], true),
            ("Gt", &["1"], false),
            ("Lt", &["1"], false),
        ] {
            assert_eq!(set(operator, values).contains(None), missing, "{operator}");
        }
    }

    #[test]
    fn exists_and_not_in_keep_the_label_there() {
        let both = set("NotIn", &["a"]).intersect(&set("Exists", &[]));
        assert!(!both.contains(None) && !both.contains(Some("a")) && both.contains(Some("b")));
    }

    #[test]
    fn bounds_are_integers() {
        let both = set("Gt", &["2"]).intersect(&set("Lt", &["5"]));
        assert!(both.contains(Some("3")) && both.contains(Some("4")));
        assert!(!both.contains(Some("2")) && !both.contains(Some("5")) && !both.contains(Some("x")));
        assert!(set("Gt", &["4"]).intersect(&set("Lt", &["5"])).is_empty());
        assert!(both.is_within(&set("In", &["3", "4"])) && !both.is_within(&set("In", &["3"])));
    }

    #[test]
    fn an_impossible_value_may_still_be_missing() {
        assert!(set("In", &["a"]).intersect(&set("In", &["b"])).is_empty());
        assert!(!set("NotIn", &["a"]).intersect(&set("DoesNotExist", &[])).is_empty());
    }

    #[test]
    fn containment() {
        assert!(set("In", &["a"]).is_within(&set("In", &["a", "b"])));
        assert!(!set("In", &["a", "c"]).is_within(&set("In", &["a", "b"])));
        assert!(set("In", &["a"]).is_within(&set("NotIn", &["b"])));
        assert!(!set("NotIn", &["b"]).is_within(&set("Exists", &[])));
        assert!(set("NotIn", &["a", "b"]).is_within(&set("NotIn", &["a"])));
        assert!(!set("Exists", &[]).is_within(&set("Gt", &["3"])));
        assert!(set("Gt", &["4"]).is_within(&set("Gt", &["3"])));
    }
}
