//! Amounts of resources.
//!
//! Invariant: the four that every node has are fields and never in `other`; `other` holds no zero.

use purser_engine::model::Resources;
use serde::{Deserialize, Serialize};

use super::convert::{Reject, Wire};
use super::map::MapV1;

/// Amounts of several resources.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResourcesV1 {
    pub(crate) cpu_millis: i64,
    pub(crate) memory_bytes: i64,
    pub(crate) ephemeral_bytes: i64,
    pub(crate) pods: i64,
    pub(crate) other: MapV1<i64>,
}

impl Wire<Resources> for ResourcesV1 {
    fn from_domain(domain: &Resources) -> Self {
        Self {
            cpu_millis: domain.cpu_millis,
            memory_bytes: domain.memory_bytes,
            ephemeral_bytes: domain.ephemeral_bytes,
            pods: domain.pods,
            other: MapV1(domain.other().map(|(name, amount)| (name.as_str().to_owned(), amount)).collect()),
        }
    }

    fn into_domain(self) -> Result<Resources, Reject> {
        let Self { cpu_millis, memory_bytes, ephemeral_bytes, pods, other } = self;
        let mut resources = Resources::default();
        for (name, amount) in &other.0 {
            if *amount == 0 {
                return Err(Reject::new(format!("the amount of {name:?} is zero")).within("other"));
            }
            resources.set(name, *amount);
        }
        // A name that has a field of its own did not go to the others.
        if resources.other().count() != other.0.len() {
            return Err(
                Reject::new("a resource that has a field of its own is among the others").within("other")
            );
        }
        (resources.cpu_millis, resources.memory_bytes) = (cpu_millis, memory_bytes);
        (resources.ephemeral_bytes, resources.pods) = (ephemeral_bytes, pods);
        Ok(resources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(other: &[(&str, i64)]) -> ResourcesV1 {
        let other = MapV1(other.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect());
        ResourcesV1 { cpu_millis: 1, memory_bytes: 2, ephemeral_bytes: 3, pods: 4, other }
    }

    #[test]
    fn only_the_normal_form_is_read() {
        let both = wire(&[("a/x", 1), ("b/y", -1)]);
        let resources = both.clone().into_domain().unwrap();
        assert_eq!(ResourcesV1::from_domain(&resources), both);
        for odd in [&[("a/x", 0)], &[("cpu", 1)], &[("pods", 1)]] {
            assert!(wire(odd).into_domain().unwrap_err().to_string().starts_with("other: "));
        }
    }
}
