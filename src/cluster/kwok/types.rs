//! The instance types that kwok has: twelve sizes of three families, for two architectures and two operating systems.
//!
//! Source: kubernetes-sigs/karpenter, kwok/tools/gen_instance_types.go and kwok/cloudprovider/helpers.go.

use std::sync::Arc;

use purser_engine::model::{
    CapacityType, InstanceType, Offering, Price, Requirement, Requirements, Resources, Str, TypeName, Zone,
    label,
};
use purser_engine::port::Observation;

const CPUS: [i64; 12] = [1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256];
/// GiB of memory for each core.
const FAMILIES: [(&str, i64); 3] = [("c", 2), ("s", 4), ("m", 8)];
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
const SYSTEMS: [&str; 2] = ["linux", "windows"];
const ZONES: [&str; 4] = ["test-zone-a", "test-zone-b", "test-zone-c", "test-zone-d"];

/// The version of the table, for the log.
const EDITION: &str = "kwok-builtin-1";

/// All types, by name.
pub fn instance_types() -> Vec<Arc<InstanceType>> {
    let mut types = Vec::new();
    for cpus in CPUS {
        for (family, gib) in FAMILIES {
            for architecture in ARCHITECTURES {
                types.extend(
                    SYSTEMS.map(|system| Arc::new(instance_type(family, cpus, gib, architecture, system))),
                );
            }
        }
    }
    types.sort_by(|a, b| a.name.cmp(&b.name));
    types
}

/// The types as the controller is told of them.
pub fn catalogue() -> Vec<Observation> {
    let types = instance_types();
    let whole = Observation::Catalogue(EDITION.into(), types.len() as u32);
    std::iter::once(whole).chain(types.into_iter().map(Observation::InstanceType)).collect()
}

fn instance_type(family: &str, cpus: i64, gib: i64, architecture: &str, system: &str) -> InstanceType {
    let name = format!("{family}-{cpus}x-{architecture}-{system}");
    let memory = (cpus * gib) << 30;
    let capacity = Resources::from_iter([
        ("cpu", cpus * 1_000),
        ("memory", memory),
        ("ephemeral-storage", 20 << 30),
        ("pods", (16 * cpus).min(1_024)),
    ]);
    let requirements: Requirements = [
        (label::INSTANCE_TYPE, name.clone()),
        (label::ARCH, architecture.to_owned()),
        (label::OS, system.to_owned()),
        ("karpenter.kwok.sh/instance-size", cpus.to_string()),
        ("karpenter.kwok.sh/instance-family", family.to_owned()),
        ("karpenter.kwok.sh/instance-cpu", cpus.to_string()),
        ("karpenter.kwok.sh/instance-memory", memory.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (Str::from(key), Requirement::one_of([Str::from(value)])))
    .collect();
    // In millionths of a dollar: 0.025 for each core and 0.001 for each 10^9 bytes.
    let on_demand = cpus * 25_000 + memory / 1_000_000;
    let offerings = ZONES.into_iter().flat_map(|zone| {
        [(CapacityType::Spot, on_demand * 7 / 10), (CapacityType::OnDemand, on_demand)].map(
            |(capacity_type, price)| Offering { zone: Zone::new(zone), capacity_type, price: Price(price) },
        )
    });
    InstanceType {
        name: TypeName::new(name),
        requirements,
        overhead: Resources::from_iter([("cpu", 100), ("memory", 10 << 20)]),
        offerings: offerings.collect(),
        capacity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_karpenters() {
        let types = instance_types();
        assert_eq!(types.len(), 144);
        let found = types.iter().find(|one| one.name.as_str() == "s-4x-arm64-linux");
        let one = found.expect("it is in the table");
        assert_eq!(one.capacity.to_string(), "cpu=4 memory=16384Mi ephemeral-storage=20480Mi pods=64");
        assert_eq!(one.allocatable().cpu_millis, 3_900);
        assert_eq!(one.offerings.len(), 8);
        let price = |wanted| one.offerings.iter().find(|o| o.capacity_type == wanted).map(|o| o.price);
        assert_eq!(price(CapacityType::OnDemand), Some(Price(117_179)));
        assert_eq!(price(CapacityType::Spot), Some(Price(82_025)));
    }
}
