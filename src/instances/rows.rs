//! A catalogue as rows, for `purser catalogue`.
//!
//! **Invariant:** rows are exact: quantities and prices are text that reads back as the same amount.

use std::collections::BTreeMap;

use purser_engine::model::{CapacityType, InstanceType, Resources};

use crate::price::price_text;

/// One way to buy a type, as shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferingRow {
    /// The zone.
    pub zone: String,
    /// `on-demand`, `spot` or `reserved`.
    pub capacity_type: String,
    /// In dollars, as decimal text.
    pub price_per_hour: String,
    /// Whether the price is this program's estimate rather than a price that somebody published.
    pub estimated: bool,
}

/// One instance type, as shown.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueRow {
    /// The name.
    pub name: String,
    /// The labels of its nodes.
    pub labels: BTreeMap<String, String>,
    /// Labels whose value is chosen at launch, with the values there are to choose from.
    pub choices: BTreeMap<String, Vec<String>>,
    /// What the machine has.
    pub capacity: BTreeMap<String, String>,
    /// What is kept of it.
    pub overhead: BTreeMap<String, String>,
    /// What pods can use.
    pub allocatable: BTreeMap<String, String>,
    /// Where and how it can be bought.
    pub offerings: Vec<OfferingRow>,
}

impl CatalogueRow {
    /// Shows a type; `spot_is_estimated` says where its spot prices come from.
    pub fn new(instance_type: &InstanceType, spot_is_estimated: bool) -> Self {
        let mut labels = BTreeMap::new();
        let mut choices = BTreeMap::new();
        for (key, requirement) in instance_type.requirements.iter().filter(|(_, one)| !one.is_complement()) {
            let values: Vec<String> = requirement.values().iter().map(|value| value.to_string()).collect();
            match <[String; 1]>::try_from(values) {
                Ok([value]) => drop(labels.insert(key.to_string(), value)),
                Err(values) if values.is_empty() => {}
                Err(values) => drop(choices.insert(key.to_string(), values)),
            }
        }
        let offerings = instance_type
            .offerings
            .iter()
            .map(|offering| OfferingRow {
                zone: offering.zone.to_string(),
                capacity_type: offering.capacity_type.to_string(),
                price_per_hour: price_text(offering.price),
                estimated: spot_is_estimated && offering.capacity_type == CapacityType::Spot,
            })
            .collect();
        Self {
            name: instance_type.name.to_string(),
            labels,
            choices,
            capacity: quantities(&instance_type.capacity),
            overhead: quantities(&instance_type.overhead),
            allocatable: quantities(&instance_type.allocatable()),
            offerings,
        }
    }
}

fn quantities(resources: &Resources) -> BTreeMap<String, String> {
    resources.iter().map(|(name, amount)| (name.to_owned(), quantity_text(name, amount))).collect()
}

/// An amount of a resource as Kubernetes writes it: `3920m`, `14162Mi`, `58`. For bytes, the shorter of the binary and
/// the decimal form.
pub fn quantity_text(resource: &str, amount: i64) -> String {
    match resource {
        "cpu" if amount % 1_000 == 0 => (amount / 1_000).to_string(),
        "cpu" => format!("{amount}m"),
        "memory" | "ephemeral-storage" => bytes_text(amount),
        name if name.starts_with("hugepages-") => bytes_text(amount),
        _ => amount.to_string(),
    }
}

fn bytes_text(amount: i64) -> String {
    let with = |step: i64, suffixes: [&str; 6]| {
        let (mut number, mut suffix) = (amount, "");
        for next in suffixes {
            if number == 0 || number % step != 0 {
                break;
            }
            (number, suffix) = (number / step, next);
        }
        format!("{number}{suffix}")
    };
    let binary = with(1 << 10, ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]);
    let decimal = with(1_000, ["k", "M", "G", "T", "P", "E"]);
    if decimal.len() < binary.len() { decimal } else { binary }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use purser_engine::model::Rounding;

    use super::*;

    #[test]
    fn quantities_read_as_kubernetes_writes_them() {
        for (name, amount, text) in [
            ("cpu", 3_920, "3920m"),
            ("cpu", 4_000, "4"),
            ("memory", 14_162 << 20, "14162Mi"),
            ("memory", 16 << 30, "16Gi"),
            ("ephemeral-storage", 7_500_000_000_000, "7500G"),
            ("memory", 1_000_001, "1000001"),
            ("memory", 0, "0"),
            ("pods", 58, "58"),
            ("hugepages-2Mi", 4 << 20, "4Mi"),
        ] {
            assert_eq!(quantity_text(name, amount), text);
        }
    }

    proptest! {
        #[test]
        fn a_quantity_survives_its_text(amount in 0i64.., shift in 0u32..50, name in prop_oneof!["cpu", "memory", "pods"]) {
            let amount = amount >> shift << (shift / 2);
            let mut read = Resources::default();
            read.set_quantity(&name, &quantity_text(&name, amount), Rounding::Down).unwrap();
            prop_assert_eq!(read.get(&name), amount);
        }
    }
}
