//! The labels that a node of a type has.
//!
//! Source: Karpenter's AWS provider 1.14.1, pkg/providers/instancetype/types.go.
//!
//! **Invariant:** every label that the provider could give is named, those a type lacks as absent; otherwise a pod that
//! asks for one would be taken to fit any type.

use purser_engine::model::{Requirement, Requirements, Str, label};

use crate::facts::{Facts, TypeNameParts};

/// Labels of the provider that types may lack, and that nothing here gives: they come with reservations, placement
/// groups, Windows, or facts that the catalogue does not hold.
const NOT_GIVEN: [&str; 7] = [
    label::WINDOWS_BUILD,
    "karpenter.k8s.aws/nitro-sandbox",
    "karpenter.k8s.aws/capacity-reservation-id",
    "karpenter.k8s.aws/capacity-reservation-type",
    "karpenter.k8s.aws/capacity-reservation-interruptible",
    "karpenter.k8s.aws/placement-group-id",
    "karpenter.k8s.aws/placement-group-partition",
];

/// The labels of a type in a region, zone and capacity type aside.
pub fn requirements(facts: &Facts, region: &str) -> Requirements {
    let parts = TypeNameParts::of(facts.name.as_str());
    let category_and_generation = parts.and_then(|parts| parts.category_and_generation);
    let is_flex = parts.is_some_and(|parts| parts.family.contains("-flex"));
    let (gpu, accelerator) = (facts.gpu.as_ref(), facts.accelerator.as_ref());
    let text = |text: &str| Some(text.to_owned());
    let mut requirements: Requirements = [
        (label::INSTANCE_TYPE, text(facts.name.as_str())),
        (label::ARCH, text(facts.arch.as_str())),
        (label::OS, text("linux")),
        (label::REGION, text(region)),
        ("karpenter.k8s.aws/instance-cpu", Some(facts.vcpus.to_string())),
        ("karpenter.k8s.aws/instance-cpu-manufacturer", text(&facts.cpu_manufacturer)),
        (
            "karpenter.k8s.aws/instance-cpu-sustained-clock-speed-mhz",
            Some(facts.clock_mhz.unwrap_or(0).to_string()),
        ),
        ("karpenter.k8s.aws/instance-memory", Some(facts.memory_mib.to_string())),
        ("karpenter.k8s.aws/instance-ebs-bandwidth", facts.ebs_mbps.map(|mbps| mbps.to_string())),
        ("karpenter.k8s.aws/instance-network-bandwidth", facts.network_mbps.map(|mbps| mbps.to_string())),
        (
            "karpenter.k8s.aws/instance-category",
            category_and_generation.map(|(category, _)| category.to_owned()),
        ),
        (
            "karpenter.k8s.aws/instance-generation",
            category_and_generation.map(|(_, number)| number.to_owned()),
        ),
        ("karpenter.k8s.aws/instance-family", parts.map(|parts| parts.family.to_owned())),
        ("karpenter.k8s.aws/instance-size", parts.map(|parts| parts.size.to_owned())),
        ("karpenter.k8s.aws/instance-capability-flex", Some(is_flex.to_string())),
        ("karpenter.k8s.aws/instance-local-nvme", facts.nvme_gb.map(|gb| gb.to_string())),
        ("karpenter.k8s.aws/instance-hypervisor", text(facts.hypervisor.as_str())),
        (
            "karpenter.k8s.aws/instance-encryption-in-transit-supported",
            Some(facts.encryption_in_transit.to_string()),
        ),
        ("karpenter.k8s.aws/instance-gpu-name", gpu.map(|gpu| gpu.name.to_string())),
        ("karpenter.k8s.aws/instance-gpu-manufacturer", gpu.map(|gpu| gpu.manufacturer.to_string())),
        ("karpenter.k8s.aws/instance-gpu-count", gpu.map(|gpu| gpu.count.to_string())),
        ("karpenter.k8s.aws/instance-gpu-memory", gpu.map(|gpu| gpu.memory_mib.to_string())),
        ("karpenter.k8s.aws/instance-accelerator-name", accelerator.map(|one| one.name.to_string())),
        (
            "karpenter.k8s.aws/instance-accelerator-manufacturer",
            accelerator.map(|one| one.manufacturer.to_string()),
        ),
        ("karpenter.k8s.aws/instance-accelerator-count", accelerator.map(|one| one.count.to_string())),
    ]
    .into_iter()
    .chain(NOT_GIVEN.map(|key| (key, None)))
    .map(|(key, value)| (Str::from(key), Requirement::one_of(value.map(Str::from))))
    .collect();
    requirements.add(
        "karpenter.k8s.aws/instance-tenancy",
        Requirement::one_of(["default", "dedicated"].map(Str::from)),
    );
    requirements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::built_in_facts;

    #[test]
    fn a_pod_that_asks_for_a_label_the_type_lacks_does_not_fit() {
        let facts = built_in_facts().into_iter().find(|facts| facts.name.as_str() == "m5.large").unwrap();
        let own = requirements(&facts, "us-east-1");
        let conflict = |key: &str, value: &str| {
            let wanted = Requirements::from_iter([(Str::from(key), Requirement::one_of([Str::from(value)]))]);
            own.first_conflict(&wanted, label::is_well_known).is_some()
        };
        assert!(conflict("karpenter.k8s.aws/instance-gpu-name", "t4"));
        assert!(conflict("karpenter.k8s.aws/instance-local-nvme", "75"));
        assert!(!conflict("karpenter.k8s.aws/instance-tenancy", "dedicated"));
        assert!(!conflict("karpenter.k8s.aws/instance-family", "m5"));
    }
}
