//! Requirements on labels.
//!
//! Invariant: a requirement is read only in normal form, and under the stable key of its label, so that equal requirements
//! have equal bytes.

use purser_engine::model::{Requirement, Requirements, Str, label};
use serde::{Deserialize, Serialize};

use super::convert::{Reject, Wire, strictly_ascending};
use super::map::MapV1;

/// The values that a label may have: those listed, or with `complement` all but those; within the bounds, if there are any.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequirementV1 {
    pub(crate) complement: bool,
    pub(crate) values: Vec<String>,
    pub(crate) lower: Option<i64>,
    pub(crate) upper: Option<i64>,
    pub(crate) min_values: Option<u32>,
}

/// Requirements by label.
pub(crate) type RequirementsV1 = MapV1<RequirementV1>;

impl Wire<Requirement> for RequirementV1 {
    fn from_domain(domain: &Requirement) -> Self {
        let (lower, upper) = domain.bounds();
        Self {
            complement: domain.is_complement(),
            values: domain.values().iter().map(|value| value.as_ref().to_owned()).collect(),
            lower,
            upper,
            min_values: domain.min_values,
        }
    }

    fn into_domain(self) -> Result<Requirement, Reject> {
        let Self { complement, values, lower, upper, min_values } = self;
        if !strictly_ascending(&values) {
            return Err(Reject::new("the values are not in order").within("values"));
        }
        let listed = values.len();
        let values = values.into_iter().map(Str::from);
        let requirement = Requirement::from_parts(complement, values, lower, upper, min_values);
        let same = requirement.is_complement() == complement
            && requirement.values().len() == listed
            && requirement.bounds() == (lower, upper);
        if same { Ok(requirement) } else { Err(Reject::new("it is not in normal form")) }
    }
}

impl Wire<Requirements> for RequirementsV1 {
    fn from_domain(domain: &Requirements) -> Self {
        let wire = |(key, requirement): (&Str, &Requirement)| {
            (key.as_ref().to_owned(), Wire::from_domain(requirement))
        };
        Self(domain.iter().map(wire).collect())
    }

    fn into_domain(self) -> Result<Requirements, Reject> {
        let mut requirements = Requirements::new();
        for (key, requirement) in self.0 {
            if label::normalized(&key) != key {
                return Err(Reject::new(format!("the label {key:?} has a stable key, and it is not this")));
            }
            let requirement = requirement.into_domain().map_err(|reject: Reject| reject.of(&key))?;
            requirements.add(key, requirement);
        }
        Ok(requirements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(complement: bool, values: &[&str], lower: Option<i64>, upper: Option<i64>) -> RequirementV1 {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        RequirementV1 { complement, values, lower, upper, min_values: Some(1) }
    }

    #[test]
    fn only_the_normal_form_is_read() {
        for good in [
            wire(false, &[], None, None),
            wire(false, &["a", "b"], None, None),
            wire(true, &[], None, None),
            wire(true, &["5", "7"], Some(1), Some(9)),
            wire(true, &[], None, Some(-1)),
        ] {
            let requirement = good.clone().into_domain().unwrap();
            assert_eq!(RequirementV1::from_domain(&requirement), good);
        }
        for odd in [
            wire(false, &["b", "a"], None, None),
            wire(false, &["5"], Some(1), None),
            wire(true, &["x"], Some(1), None),
            wire(true, &[], Some(2), Some(1)),
        ] {
            assert!(odd.clone().into_domain().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn an_alias_is_refused() {
        let under = |key: &str| MapV1(vec![(key.to_owned(), wire(true, &[], None, None))]).into_domain();
        assert!(under("kubernetes.io/arch").is_ok());
        assert!(under("beta.kubernetes.io/arch").is_err());
    }
}
