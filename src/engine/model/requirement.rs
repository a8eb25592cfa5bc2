//! Requirements on labels: an algebra of sets of values, closed under intersection.
//!
//! Source: Karpenter, pkg/scheduling/requirement.go and requirements.go.
//!
//! There are many thousands of them, nearly all of one value, so values and labels are held in sorted lists, which are small, and not in trees.
//!
//! **Invariant:** a [`Requirement`] is in normal form: values are sorted, each once; bounds exist only on a complement, and a concrete set holds
//! only values within the bounds it was met with. So equal requirements are equal values.

use std::fmt;

use litemap::{Entry, LiteMap};
use smallvec::SmallVec;

use super::{Labels, Str, label};

/// A comparison as it is written in a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// One of the values.
    In,
    /// None of the values, or no such label.
    NotIn,
    /// Any value.
    Exists,
    /// No such label.
    DoesNotExist,
    /// An integer above the value.
    Gt,
    /// An integer below the value.
    Lt,
    /// An integer not below the value.
    Gte,
    /// An integer not above the value.
    Lte,
}

/// An inclusive bound on integer values.
pub type Bound = Option<i64>;

/// The values that a label may have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    complement: bool,
    values: SmallVec<[Str; 1]>,
    lower: Bound,
    upper: Bound,
    /// At least so many different values must remain among the instance types of a launch.
    pub min_values: Option<u32>,
}

/// Why an operator and its values make no requirement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequirementError {
    /// `In` with nothing to be in.
    #[error("operator In needs at least one value")]
    NoValues,
    /// A comparison with other than one value that is an integer of at least zero.
    #[error("operator {0:?} needs exactly one value, an integer of at least 0")]
    NotOneInteger(Operator),
    /// Values where there must be none.
    #[error("operator {0:?} takes no values")]
    SurplusValues(Operator),
    /// Fewer values than `minValues` asks for.
    #[error("minValues is {min_values} but operator In has only {values} values")]
    TooFewValues {
        /// What is asked.
        min_values: u32,
        /// What there is.
        values: usize,
    },
}

impl Requirement {
    /// Reads an operator with its values.
    ///
    /// # Errors
    /// If the operator does not take these values.
    pub fn new(
        operator: Operator,
        values: impl IntoIterator<Item = Str>,
        min_values: Option<u32>,
    ) -> Result<Self, RequirementError> {
        let values = sorted(values);
        let one_integer = || match values.first().and_then(|value| value.parse::<i64>().ok()) {
            Some(value) if values.len() == 1 && value >= 0 => Ok(value),
            _ => Err(RequirementError::NotOneInteger(operator)),
        };
        let mut requirement = match operator {
            Operator::In if values.is_empty() => return Err(RequirementError::NoValues),
            Operator::In => match min_values {
                Some(min_values) if values.len() < min_values as usize => {
                    return Err(RequirementError::TooFewValues { min_values, values: values.len() });
                }
                _ => Self::one_of(values),
            },
            Operator::NotIn => Self::none_of(values),
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                return Err(RequirementError::SurplusValues(operator));
            }
            Operator::Exists => Self::any(),
            Operator::DoesNotExist => Self::absent(),
            Operator::Gt => match one_integer()?.checked_add(1) {
                Some(lower) => Self::between(Some(lower), None),
                None => Self::absent(),
            },
            Operator::Gte => Self::between(Some(one_integer()?), None),
            Operator::Lt => Self::between(None, Some(one_integer()? - 1)),
            Operator::Lte => Self::between(None, Some(one_integer()?)),
        };
        requirement.min_values = min_values;
        Ok(requirement)
    }

    /// One of these values.
    pub fn one_of(values: impl IntoIterator<Item = Str>) -> Self {
        Self { complement: false, values: sorted(values), lower: None, upper: None, min_values: None }
    }

    /// None of these values.
    pub fn none_of(values: impl IntoIterator<Item = Str>) -> Self {
        Self { complement: true, ..Self::one_of(values) }
    }

    /// Any value.
    pub fn any() -> Self {
        Self::none_of([])
    }

    /// No value: the label must not be there.
    pub fn absent() -> Self {
        Self::one_of([])
    }

    /// What no label can satisfy, since its only value is none that a label may have: two requirements that contradict each other.
    pub fn impossible() -> Self {
        Self::one_of(["(none)".into()])
    }

    /// Integers within inclusive bounds; none if they cross.
    pub fn between(lower: Bound, upper: Bound) -> Self {
        Self::from_parts(true, [], lower, upper, None)
    }

    /// Rebuilds a requirement from its parts, in normal form.
    pub fn from_parts(
        complement: bool,
        values: impl IntoIterator<Item = Str>,
        lower: Bound,
        upper: Bound,
        min_values: Option<u32>,
    ) -> Self {
        let raw = Self { complement, values: sorted(values), lower, upper, min_values };
        raw.intersection(&Self::any())
    }

    /// Whether all but the listed values are meant.
    pub fn is_complement(&self) -> bool {
        self.complement
    }

    /// The listed values, in order: those allowed, or those excluded if [`Requirement::is_complement`].
    pub fn values(&self) -> &[Str] {
        &self.values
    }

    /// Whether a value is among the listed ones.
    pub fn lists(&self, value: &str) -> bool {
        self.values.binary_search_by(|own| (**own).cmp(value)).is_ok()
    }

    /// The inclusive bounds on integer values.
    pub fn bounds(&self) -> (Bound, Bound) {
        (self.lower, self.upper)
    }

    /// Whether the label may have this value.
    pub fn has(&self, value: &str) -> bool {
        self.lists(value) != self.complement && within(value, self.lower, self.upper)
    }

    /// The only value that is allowed, if it is one.
    pub fn sole(&self) -> Option<&Str> {
        let one = !self.complement && self.values.len() == 1;
        self.values.first().filter(|_| one)
    }

    /// Whether no value is allowed.
    pub fn is_absent(&self) -> bool {
        !self.complement && self.values.is_empty()
    }

    /// Whether it is [`Requirement::impossible`].
    pub fn is_impossible(&self) -> bool {
        *self == Self::impossible()
    }

    /// Whether the label may be missing: it need not, or must not, be there.
    pub fn tolerates_absence(&self) -> bool {
        self.is_absent() || (self.complement && !self.values.is_empty())
    }

    /// The values that both allow.
    pub fn intersection(&self, other: &Self) -> Self {
        let min_values = self.min_values.max(other.min_values);
        let lower = self.lower.max(other.lower);
        let upper = match (self.upper, other.upper) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if lower.zip(upper).is_some_and(|(lower, upper)| lower > upper) {
            return Self { min_values, ..Self::absent() };
        }
        let complement = self.complement && other.complement;
        let mut values = match (self.complement, other.complement) {
            (true, true) => sorted(self.values.iter().chain(&other.values).cloned()),
            (true, false) => other.values.iter().filter(|value| !self.lists(value)).cloned().collect(),
            (false, true) => self.values.iter().filter(|value| !other.lists(value)).cloned().collect(),
            (false, false) => self.values.iter().filter(|value| other.lists(value)).cloned().collect(),
        };
        values.retain(|value| within(value, lower, upper));
        let (lower, upper) = if complement { (lower, upper) } else { (None, None) };
        Self { complement, values, lower, upper, min_values }
    }

    /// Whether some value is allowed by both; cheaper than the intersection itself.
    pub fn intersects(&self, other: &Self) -> bool {
        match (self.complement, other.complement) {
            (true, true) => !self.intersection(other).is_absent(),
            (false, _) => self.values.iter().any(|value| self.has(value) && other.has(value)),
            (true, false) => other.intersects(self),
        }
    }

    /// The operator that a person would write for this.
    fn operator(&self) -> &'static str {
        match (self.complement, self.values.is_empty()) {
            (true, true) => "Exists",
            (true, false) => "NotIn",
            (false, true) => "DoesNotExist",
            (false, false) => "In",
        }
    }
}

/// Values in order, each once.
fn sorted(values: impl IntoIterator<Item = Str>) -> SmallVec<[Str; 1]> {
    let mut values: SmallVec<[Str; 1]> = values.into_iter().collect();
    values.sort_unstable();
    values.dedup();
    values.shrink_to_fit();
    values
}

/// Whether a value is within bounds; where there are bounds, only integers are.
fn within(value: &str, lower: Bound, upper: Bound) -> bool {
    if lower.is_none() && upper.is_none() {
        return true;
    }
    value
        .parse::<i64>()
        .is_ok_and(|value| lower.is_none_or(|l| l <= value) && upper.is_none_or(|u| value <= u))
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.lower, self.upper) {
            (None, None) => f.write_str(self.operator())?,
            (Some(lower), None) => write!(f, ">= {lower}")?,
            (None, Some(upper)) => write!(f, "<= {upper}")?,
            (Some(lower), Some(upper)) => write!(f, "{lower}..={upper}")?,
        }
        if !self.values.is_empty() {
            let values: Vec<&str> = self.values.iter().map(|value| &**value).collect();
            write!(f, " [{}]", values.join(", "))?;
        }
        if let Some(min_values) = self.min_values {
            write!(f, " (at least {min_values} values)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Requirements on several labels, all of which must hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Requirements(LiteMap<Str, Requirement>);

impl Requirements {
    /// No requirement at all.
    pub const fn new() -> Self {
        Self(LiteMap::new_vec())
    }

    /// One requirement a label, that it has just this value.
    pub fn from_labels(labels: &Labels) -> Self {
        labels.iter().map(|(key, value)| (key.clone(), Requirement::one_of([value.clone()]))).collect()
    }

    /// Adds a requirement; with one on the same label already there, both must hold.
    pub fn add(&mut self, key: impl Into<Str>, requirement: Requirement) {
        let key: Str = key.into();
        let key = match label::normalized(&key) {
            same if same == &*key => key,
            stable => stable.into(),
        };
        match self.0.entry(key) {
            Entry::Vacant(free) => {
                free.insert(requirement);
            }
            Entry::Occupied(mut held) => {
                let own = held.get();
                let both = own.intersection(&requirement);
                let contradicts =
                    both.is_absent() && !(own.tolerates_absence() && requirement.tolerates_absence());
                held.insert(if contradicts { Requirement::impossible() } else { both });
            }
        }
    }

    /// Adds all of the other's.
    pub fn add_all(&mut self, other: &Self) {
        for (key, requirement) in other.0.iter() {
            self.add(key.clone(), requirement.clone());
        }
    }

    /// The requirement on a label, if there is one.
    pub fn get(&self, key: &str) -> Option<&Requirement> {
        self.0.get(key)
    }

    /// All of them, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&Str, &Requirement)> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first label on which a node that may still take any value of `self` cannot satisfy `wanted`.
    ///
    /// `self` is the node's side. A label that `self` does not name satisfies `wanted` only if that may be absent, or if
    /// `may_be_undefined` says that the provider will define it.
    pub fn first_conflict<'a>(
        &self,
        wanted: &'a Self,
        may_be_undefined: impl Fn(&str) -> bool,
    ) -> Option<&'a str> {
        wanted.0.iter().find_map(|(key, wanted)| {
            let compatible = match self.0.get(key) {
                None => wanted.tolerates_absence() || may_be_undefined(key),
                Some(own) => {
                    own.intersects(wanted) || (own.tolerates_absence() && wanted.tolerates_absence())
                }
            };
            (!compatible).then_some(&**key)
        })
    }

    /// The first label whose value here a node with these labels does not satisfy.
    pub fn first_unmet<'a>(&'a self, labels: &Labels) -> Option<&'a str> {
        self.0.iter().find_map(|(key, requirement)| {
            let met = match labels.get(key) {
                Some(value) => requirement.has(value),
                None => requirement.tolerates_absence(),
            };
            (!met).then_some(&**key)
        })
    }
}

impl FromIterator<(Str, Requirement)> for Requirements {
    fn from_iter<I: IntoIterator<Item = (Str, Requirement)>>(all: I) -> Self {
        let mut requirements = Self::new();
        for (key, requirement) in all {
            requirements.add(key, requirement);
        }
        requirements
    }
}

impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> =
            self.0.iter().map(|(key, requirement)| format!("{key} {requirement}")).collect();
        f.pad(&all.join(", "))
    }
}

impl fmt::Debug for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(values: &[&str]) -> Vec<Str> {
        values.iter().map(|value| Str::from(*value)).collect()
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        let values = proptest::collection::btree_set("[0-9]|a|b", 0..4)
            .prop_map(|values| values.into_iter().map(Str::from).collect::<Vec<Str>>());
        let bound = proptest::option::of(0i64..9);
        (any::<bool>(), values, bound.clone(), bound).prop_map(|(complement, values, lower, upper)| {
            Requirement::from_parts(complement, values, lower, upper, None)
        })
    }

    proptest! {
        #[test]
        fn intersection_allows_what_both_allow(a in requirement(), b in requirement(), value in "[0-9]|a|b|c") {
            prop_assert_eq!(a.intersection(&b).has(&value), a.has(&value) && b.has(&value));
        }

        #[test]
        fn intersection_is_commutative_associative_and_idempotent(a in requirement(), b in requirement(), c in requirement()) {
            prop_assert_eq!(a.intersection(&b), b.intersection(&a));
            prop_assert_eq!(a.intersection(&b).intersection(&c), a.intersection(&b.intersection(&c)));
            prop_assert_eq!(a.intersection(&a), a);
        }

        #[test]
        fn intersects_says_whether_the_intersection_is_empty(a in requirement(), b in requirement()) {
            prop_assert_eq!(a.intersects(&b), !a.intersection(&b).is_absent());
        }
    }

    #[test]
    fn values_are_a_set() {
        let twice = Requirement::one_of(set(&["b", "a", "b"]));
        assert_eq!(twice, Requirement::one_of(set(&["a", "b"])));
        assert_eq!(twice.to_string(), "In [a, b]");
        assert!(Requirement::new(Operator::In, set(&["a", "a"]), Some(2)).is_err(), "one value is too few");
    }

    #[test]
    fn operators_read_their_values() {
        let gt = Requirement::new(Operator::Gt, set(&["4"]), None).unwrap();
        assert!(gt.has("5") && !gt.has("4") && !gt.has("many"));
        let lte = Requirement::new(Operator::Lte, set(&["4"]), None).unwrap();
        assert!(lte.has("4") && !lte.has("5"));
        assert_eq!(Requirement::new(Operator::In, set(&[]), None), Err(RequirementError::NoValues));
        assert!(Requirement::new(Operator::Gt, set(&["x"]), None).is_err());
        assert!(Requirement::new(Operator::Gt, set(&["1", "2"]), None).is_err());
        assert!(Requirement::new(Operator::Exists, set(&["1"]), None).is_err());
        assert!(Requirement::new(Operator::In, set(&["a"]), Some(2)).is_err());
    }

    #[test]
    fn an_undefined_label_satisfies_only_what_may_be_absent() {
        let node = Requirements::new();
        let wants = |requirement| Requirements::from_iter([(Str::from("team"), requirement)]);
        let conflict = |wanted: Requirements| node.first_conflict(&wanted, |_| false).is_some();
        assert!(conflict(wants(Requirement::one_of(set(&["a"])))));
        assert!(conflict(wants(Requirement::any())));
        assert!(!conflict(wants(Requirement::none_of(set(&["a"])))));
        assert!(!conflict(wants(Requirement::absent())));
    }

    #[test]
    fn aliases_are_one_label() {
        let mut requirements = Requirements::new();
        requirements.add("beta.kubernetes.io/arch", Requirement::one_of(set(&["amd64", "arm64"])));
        requirements.add("kubernetes.io/arch", Requirement::one_of(set(&["arm64"])));
        assert_eq!(requirements.to_string(), "kubernetes.io/arch In [arm64]");
    }
}
