//! Amounts of several resources at once: what a pod asks for, what a node offers.
//!
//! **Invariant:** `other` is sorted by name and holds no zero, so equal amounts are equal values.

use std::fmt;

use smallvec::SmallVec;

use super::{Quantity, QuantityError, ResourceName, Rounding};

/// Amounts of resources. The four that every node has are fields, the rest are in [`Resources::other`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_millis: i64,
    /// Bytes.
    pub memory_bytes: i64,
    /// Bytes of ephemeral storage.
    pub ephemeral_bytes: i64,
    /// Number of pods.
    pub pods: i64,
    other: SmallVec<[(ResourceName, i64); 1]>,
}

impl Resources {
    /// Resources beyond the four of every node, in name order, none zero.
    pub fn other(&self) -> impl Iterator<Item = (&ResourceName, i64)> {
        self.other.iter().map(|(name, amount)| (name, *amount))
    }

    /// The amount of one resource; zero if there is none.
    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu_millis,
            "memory" => self.memory_bytes,
            "ephemeral-storage" => self.ephemeral_bytes,
            "pods" => self.pods,
            other => self.other.iter().find(|(n, _)| n.as_str() == other).map_or(0, |(_, amount)| *amount),
        }
    }

    /// Sets the amount of one resource.
    pub fn set(&mut self, name: &str, amount: i64) {
        match name {
            "cpu" => self.cpu_millis = amount,
            "memory" => self.memory_bytes = amount,
            "ephemeral-storage" => self.ephemeral_bytes = amount,
            "pods" => self.pods = amount,
            other => match self.other.binary_search_by(|(n, _)| n.as_str().cmp(other)) {
                Ok(at) if amount == 0 => drop(self.other.remove(at)),
                Ok(at) => self.other[at].1 = amount,
                Err(_) if amount == 0 => {}
                Err(at) => self.other.insert(at, (ResourceName::new(other), amount)),
            },
        }
    }

    /// Sets a resource from a Kubernetes quantity in the unit that the resource is counted in.
    ///
    /// # Errors
    /// If the text is no quantity.
    pub fn set_quantity(&mut self, name: &str, text: &str, rounding: Rounding) -> Result<(), QuantityError> {
        let Quantity(amount) = match name {
            "cpu" => Quantity::parse_milli(text, rounding)?,
            _ => Quantity::parse(text, rounding)?,
        };
        self.set(name, amount);
        Ok(())
    }

    /// All amounts that are not zero, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        [
            ("cpu", self.cpu_millis),
            ("memory", self.memory_bytes),
            ("ephemeral-storage", self.ephemeral_bytes),
            ("pods", self.pods),
        ]
        .into_iter()
        .filter(|(_, amount)| *amount != 0)
        .chain(self.other.iter().map(|(name, amount)| (name.as_str(), *amount)))
    }

    /// Whether all of this is within what is offered.
    pub fn fits(&self, offered: &Self) -> bool {
        self.cpu_millis <= offered.cpu_millis
            && self.memory_bytes <= offered.memory_bytes
            && self.pods <= offered.pods
            && self.ephemeral_bytes <= offered.ephemeral_bytes
            && self.other.iter().all(|(name, amount)| *amount <= offered.get(name.as_str()))
    }

    /// The first resource of which this asks for more than is offered: its name, the amount asked, the amount offered.
    pub fn first_excess(&self, offered: &Self) -> Option<(String, i64, i64)> {
        self.iter()
            .map(|(name, asked)| (name, asked, offered.get(name)))
            .find(|(_, asked, offered)| asked > offered)
            .map(|(name, asked, offered)| (name.to_owned(), asked, offered))
    }

    /// Applies `f` to each pair of amounts.
    fn zip(&self, with: &Self, f: impl Fn(i64, i64) -> i64) -> Self {
        let mut result = Self {
            cpu_millis: f(self.cpu_millis, with.cpu_millis),
            memory_bytes: f(self.memory_bytes, with.memory_bytes),
            ephemeral_bytes: f(self.ephemeral_bytes, with.ephemeral_bytes),
            pods: f(self.pods, with.pods),
            other: SmallVec::new(),
        };
        for (name, amount) in &self.other {
            result.set(name.as_str(), f(*amount, with.get(name.as_str())));
        }
        for (name, amount) in &with.other {
            if self.get(name.as_str()) == 0 {
                result.set(name.as_str(), f(0, *amount));
            }
        }
        result
    }

    /// The sum of both.
    pub fn plus(&self, other: &Self) -> Self {
        self.zip(other, i64::saturating_add)
    }

    /// This less the other; amounts may go below zero.
    pub fn minus(&self, other: &Self) -> Self {
        self.zip(other, i64::saturating_sub)
    }

    /// The larger of each amount.
    pub fn elementwise_max(&self, other: &Self) -> Self {
        self.zip(other, i64::max)
    }

    /// The smaller of each amount.
    pub fn elementwise_min(&self, other: &Self) -> Self {
        self.zip(other, i64::min)
    }

    /// Adds in place, without a new value.
    pub fn add(&mut self, other: &Self) {
        self.cpu_millis = self.cpu_millis.saturating_add(other.cpu_millis);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.saturating_add(other.ephemeral_bytes);
        self.pods = self.pods.saturating_add(other.pods);
        for (name, amount) in &other.other {
            self.set(name.as_str(), self.get(name.as_str()).saturating_add(*amount));
        }
    }

    /// Takes away in place, without a new value.
    pub fn subtract(&mut self, other: &Self) {
        self.cpu_millis = self.cpu_millis.saturating_sub(other.cpu_millis);
        self.memory_bytes = self.memory_bytes.saturating_sub(other.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.saturating_sub(other.ephemeral_bytes);
        self.pods = self.pods.saturating_sub(other.pods);
        for (name, amount) in &other.other {
            self.set(name.as_str(), self.get(name.as_str()).saturating_sub(*amount));
        }
    }
}

impl<'a> FromIterator<(&'a str, i64)> for Resources {
    fn from_iter<I: IntoIterator<Item = (&'a str, i64)>>(amounts: I) -> Self {
        let mut resources = Self::default();
        for (name, amount) in amounts {
            resources.set(name, amount);
        }
        resources
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Display for Resources {
    /// As people write them: `cpu=1500m memory=2048Mi pods=3`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        for (name, amount) in self.iter() {
            text.push(match name {
                "cpu" if amount % 1_000 == 0 => format!("cpu={}", amount / 1_000),
                "cpu" => format!("cpu={amount}m"),
                "memory" | "ephemeral-storage" if amount % (1 << 20) == 0 => {
                    format!("{name}={}Mi", amount >> 20)
                }
                _ => format!("{name}={amount}"),
            });
        }
        f.pad(&text.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources(amounts: &[(&str, i64)]) -> Resources {
        amounts.iter().copied().collect()
    }

    #[test]
    fn what_was_added_and_taken_away_leaves_no_trace() {
        let mut held = resources(&[("cpu", 100), ("memory", 5)]);
        let pod = resources(&[("cpu", 50), ("nvidia.com/gpu", 1)]);
        held.add(&pod);
        assert_eq!(held, resources(&[("cpu", 150), ("memory", 5), ("nvidia.com/gpu", 1)]));
        held.subtract(&pod);
        assert_eq!(held, resources(&[("cpu", 100), ("memory", 5)]));
    }

    #[test]
    fn a_resource_that_is_not_offered_does_not_fit() {
        let asked = resources(&[("cpu", 100), ("nvidia.com/gpu", 1)]);
        let offered = resources(&[("cpu", 4000)]);
        assert!(!asked.fits(&offered));
        assert_eq!(asked.first_excess(&offered), Some(("nvidia.com/gpu".to_owned(), 1, 0)));
        assert!(asked.fits(&offered.plus(&resources(&[("nvidia.com/gpu", 2)]))));
    }

    #[test]
    fn the_smaller_of_present_and_absent_is_absent() {
        let a = resources(&[("cpu", 4), ("a/x", 1)]);
        let b = resources(&[("cpu", 2), ("b/y", 3)]);
        assert_eq!(a.elementwise_min(&b), resources(&[("cpu", 2)]));
        assert_eq!(a.elementwise_max(&b), resources(&[("cpu", 4), ("a/x", 1), ("b/y", 3)]));
    }
}
