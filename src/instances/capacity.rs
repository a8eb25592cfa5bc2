//! What a machine has and what is kept of it: Karpenter's formulas.
//!
//! Source: Karpenter's AWS provider 1.14.1, pkg/providers/instancetype/types.go.
//!
//! **Invariant:** every division says which way it rounds; what is offered is never overstated against the reference.

use purser_engine::model::Resources;

use crate::facts::{Arch, Facts, Gpu};
use crate::settings::{NodeSettings, part};

const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;
/// Memory that the firmware of an Arm machine keeps.
const ARM_FIRMWARE_MIB: u64 = 64;
/// Pods of a node whose image family does not count addresses.
const FIXED_PODS: i64 = 110;

/// What a node of this type has.
pub fn capacity(facts: &Facts, settings: &NodeSettings) -> Resources {
    let mut capacity: Resources = [
        ("cpu", i64::from(facts.vcpus) * 1_000),
        ("memory", memory_bytes(facts, settings)),
        ("ephemeral-storage", ephemeral_bytes(facts, settings)),
        ("pods", pods(facts, settings)),
    ]
    .into_iter()
    .collect();
    if let Some(gpu) = &facts.gpu
        && let Some(resource) = gpu_resource(gpu)
    {
        capacity.set(resource, i64::from(gpu.count));
    }
    if let Some(accelerator) = &facts.accelerator
        && let Some(cores) = accelerator.neuron_cores
    {
        capacity.set("aws.amazon.com/neuron", i64::from(accelerator.count));
        capacity.set("aws.amazon.com/neuroncore", i64::from(accelerator.count) * i64::from(cores));
    }
    capacity.set("vpc.amazonaws.com/pod-eni", i64::from(facts.branch_interfaces));
    capacity.set("vpc.amazonaws.com/efa", i64::from(facts.efa_interfaces));
    capacity
}

/// What kubelet, the system and the eviction thresholds keep of a node's capacity.
pub fn overhead(facts: &Facts, settings: &NodeSettings, capacity: &Resources) -> Resources {
    let mut overhead = kube_reserved(facts, settings, capacity);
    overhead.add(&settings.system_reserved);
    overhead.memory_bytes =
        overhead.memory_bytes.saturating_add(settings.eviction_memory.of(capacity.memory_bytes));
    overhead.ephemeral_bytes =
        overhead.ephemeral_bytes.saturating_add(settings.eviction_ephemeral.of(capacity.ephemeral_bytes));
    overhead
}

fn memory_bytes(facts: &Facts, settings: &NodeSettings) -> i64 {
    let firmware = if facts.arch == Arch::Arm64 { ARM_FIRMWARE_MIB } else { 0 };
    let mib = i64::try_from(facts.memory_mib.saturating_sub(firmware)).unwrap_or(i64::MAX);
    let hypervisor = part(mib, settings.vm_memory_overhead_ten_thousandths);
    (mib - hypervisor).max(0).saturating_mul(MIB)
}

/// Of the local disks only NVMe is known to the facts, and only NVMe disks are joined by AL2023.
fn ephemeral_bytes(facts: &Facts, settings: &NodeSettings) -> i64 {
    match facts.nvme_gb {
        Some(gb) if settings.instance_store_raid0 => {
            i64::try_from(gb).unwrap_or(i64::MAX).saturating_mul(1_000_000_000)
        }
        _ => settings.root_volume_bytes,
    }
}

fn pods(facts: &Facts, settings: &NodeSettings) -> i64 {
    let pods = match settings.max_pods {
        Some(pods) => i64::from(pods),
        None if settings.eni_limited_pods => eni_limited_pods(facts, settings.reserved_enis),
        None => FIXED_PODS,
    };
    match settings.pods_per_core {
        Some(per_core @ 1..) => pods.min(i64::from(per_core) * i64::from(facts.vcpus)),
        _ => pods,
    }
}

/// One address of each interface is its own; two pods on the host's network need none.
fn eni_limited_pods(facts: &Facts, reserved_enis: u32) -> i64 {
    match facts.interfaces.saturating_sub(reserved_enis) {
        0 => 0,
        usable => i64::from(usable) * (i64::from(facts.ipv4_per_interface) - 1) + 2,
    }
}

fn kube_reserved(facts: &Facts, settings: &NodeSettings, capacity: &Resources) -> Resources {
    let pods = if settings.kube_reserved_by_pods { capacity.pods } else { eni_limited_pods(facts, 0) };
    let mut reserved: Resources = [
        ("cpu", kube_reserved_millis(capacity.cpu_millis)),
        ("memory", (11 * pods + 255) * MIB),
        ("ephemeral-storage", GIB),
    ]
    .into_iter()
    .collect();
    for (name, amount) in &settings.kube_reserved {
        reserved.set(name.as_str(), *amount);
    }
    reserved
}

/// 6 % of the first core, 1 % of the second, 0.5 % of the next two, 0.25 % of the rest; each part rounded down.
fn kube_reserved_millis(cpu_millis: i64) -> i64 {
    [(0, 1_000, 600), (1_000, 2_000, 100), (2_000, 4_000, 50), (4_000, i64::MAX, 25)]
        .into_iter()
        .map(|(from, to, ten_thousandths)| (cpu_millis.clamp(from, to) - from) * ten_thousandths / 10_000)
        .sum()
}

/// What a device plugin calls the graphics processors of a manufacturer.
fn gpu_resource(gpu: &Gpu) -> Option<&'static str> {
    match &*gpu.manufacturer {
        "nvidia" => Some("nvidia.com/gpu"),
        "amd" => Some("amd.com/gpu"),
        "habana" => Some("habana.ai/gaudi"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalogue::built_in_facts;
    use crate::settings::Threshold;

    fn of(name: &str) -> Facts {
        built_in_facts().into_iter().find(|facts| facts.name.as_str() == name).unwrap()
    }

    fn allocatable(facts: &Facts, settings: &NodeSettings) -> Resources {
        let capacity = capacity(facts, settings);
        capacity.minus(&overhead(facts, settings, &capacity))
    }

    #[test]
    fn a_small_arm_machine_comes_out_as_documented() {
        let allocatable = allocatable(&of("a1.medium"), &NodeSettings::default());
        assert_eq!(allocatable.cpu_millis, 940);
        assert_eq!(allocatable.memory_bytes, 1_392 * MIB);
        assert_eq!(allocatable.ephemeral_bytes, 17 * GIB);
        assert_eq!(allocatable.pods, 8);
    }

    #[test]
    fn reserved_interfaces_take_pods_but_not_kubelet_memory() {
        let facts = of("m5.large");
        let plain = NodeSettings::default();
        let reserved = NodeSettings { reserved_enis: 1, ..plain.clone() };
        assert_eq!(capacity(&facts, &plain).pods, 29);
        assert_eq!(capacity(&facts, &reserved).pods, 20);
        assert_eq!(allocatable(&facts, &plain).memory_bytes, allocatable(&facts, &reserved).memory_bytes);
        let none_left = NodeSettings { reserved_enis: 9, kube_reserved_by_pods: true, ..plain.clone() };
        assert_eq!(capacity(&facts, &none_left).pods, 0);
        assert_eq!(
            allocatable(&facts, &none_left).memory_bytes - allocatable(&facts, &plain).memory_bytes,
            29 * 11 * MIB
        );
    }

    #[test]
    fn pods_follow_what_the_class_says() {
        let facts = of("m5.large");
        let settings = |max_pods, pods_per_core, eni_limited_pods| NodeSettings {
            max_pods,
            pods_per_core,
            eni_limited_pods,
            ..NodeSettings::default()
        };
        assert_eq!(capacity(&facts, &settings(Some(40), None, true)).pods, 40);
        assert_eq!(capacity(&facts, &settings(Some(40), Some(5), true)).pods, 10);
        assert_eq!(capacity(&facts, &settings(None, Some(0), false)).pods, 110);
    }

    #[test]
    fn local_disks_hold_ephemeral_storage_when_asked_to() {
        let raid0 = NodeSettings { instance_store_raid0: true, ..NodeSettings::default() };
        let nvme = of("m6id.large");
        let gb = i64::try_from(nvme.nvme_gb.unwrap()).unwrap();
        assert_eq!(capacity(&nvme, &raid0).ephemeral_bytes, gb * 1_000_000_000);
        assert_eq!(capacity(&of("m5.large"), &raid0).ephemeral_bytes, 20 * GIB);
    }

    #[test]
    fn reservations_and_thresholds_of_the_class_replace_the_defaults() {
        let facts = of("m5.large");
        let mut settings = NodeSettings::default();
        settings.kube_reserved.insert("memory".into(), 0);
        settings.system_reserved.cpu_millis = 100;
        settings.eviction_memory = Threshold::TenThousandths(500);
        settings.eviction_ephemeral = Threshold::TenThousandths(10_000);
        let capacity = capacity(&facts, &settings);
        let overhead = overhead(&facts, &settings, &capacity);
        assert_eq!(overhead.memory_bytes, part(capacity.memory_bytes, 500));
        assert_eq!(overhead.cpu_millis, 70 + 100);
        assert_eq!(overhead.ephemeral_bytes, GIB);
    }

    #[test]
    fn a_part_of_a_gpu_is_no_gpu() {
        let capacity = capacity(&of("g6f.4xlarge"), &NodeSettings::default());
        assert!(capacity.other().all(|(name, _)| name.as_str() != "nvidia.com/gpu"));
    }

    proptest! {
        #[test]
        fn more_machine_never_leaves_less(vcpus in 1u32..1_000, memory_mib in 512u64..40_000_000) {
            let mut facts = of("m5.large");
            (facts.vcpus, facts.memory_mib) = (vcpus, memory_mib);
            let less = allocatable(&facts, &NodeSettings::default());
            (facts.vcpus, facts.memory_mib) = (vcpus + 1, memory_mib + 1);
            let more = allocatable(&facts, &NodeSettings::default());
            prop_assert!(less.fits(&more), "{less} against {more}");
        }

        #[test]
        fn a_larger_memory_overhead_never_leaves_more(overhead in 0u32..20_000) {
            let settings = |parts| NodeSettings { vm_memory_overhead_ten_thousandths: parts, ..NodeSettings::default() };
            let facts = of("m5.large");
            let (less, more) = (capacity(&facts, &settings(overhead + 1)), capacity(&facts, &settings(overhead)));
            prop_assert!(less.memory_bytes <= more.memory_bytes && less.memory_bytes >= 0);
        }
    }
}
