//! What a node class decides about the nodes of an instance type.
//!
//! **Invariant:** fractions are integers: ten-thousandths here, so that 7.5 % is 750.

use std::collections::BTreeMap;

use purser_engine::model::{ResourceName, Resources};

/// An eviction threshold: how much must stay free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Threshold {
    /// So many bytes.
    Bytes(i64),
    /// So many ten-thousandths of the capacity, rounded up. All of it (10,000) means that there is no threshold.
    TenThousandths(u32),
}

impl Threshold {
    /// In bytes, of this capacity.
    pub fn of(self, capacity_bytes: i64) -> i64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::TenThousandths(10_000..) => 0,
            Self::TenThousandths(parts) => part(capacity_bytes, parts),
        }
    }
}

/// So many ten-thousandths of an amount that is not negative, rounded up.
pub(crate) fn part(amount: i64, ten_thousandths: u32) -> i64 {
    let product = i128::from(amount) * i128::from(ten_thousandths);
    i64::try_from((product + 9_999) / 10_000).unwrap_or(i64::MAX)
}

/// The settings of a node class, and of the controller, that capacity and overhead depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSettings {
    /// What the hypervisor and firmware take of the memory, in ten-thousandths.
    pub vm_memory_overhead_ten_thousandths: u32,
    /// Network interfaces that no pod gets an address from.
    pub reserved_enis: u32,
    /// kubelet's `maxPods`.
    pub max_pods: Option<u32>,
    /// kubelet's `podsPerCore`, where the image family heeds it.
    pub pods_per_core: Option<u32>,
    /// Whether the number of pods follows from the addresses of the network interfaces; otherwise it is 110.
    pub eni_limited_pods: bool,
    /// Whether the memory reserved for kubelet follows from the pods that a node may have (Bottlerocket, Windows),
    /// rather than from all addresses of its network interfaces (AL2, AL2023, Custom).
    pub kube_reserved_by_pods: bool,
    /// The size of the volume that holds ephemeral storage.
    pub root_volume_bytes: i64,
    /// Whether local NVMe disks, where there are any, hold ephemeral storage instead.
    pub instance_store_raid0: bool,
    /// What replaces the computed reservation for kubelet, resource by resource.
    pub kube_reserved: BTreeMap<ResourceName, i64>,
    /// What is reserved for the system.
    pub system_reserved: Resources,
    /// When kubelet evicts for want of memory.
    pub eviction_memory: Threshold,
    /// When kubelet evicts for want of ephemeral storage.
    pub eviction_ephemeral: Threshold,
}

impl Default for NodeSettings {
    /// Those of an EC2NodeClass for AL2023 that says nothing about any of this.
    fn default() -> Self {
        Self {
            vm_memory_overhead_ten_thousandths: 750,
            reserved_enis: 0,
            max_pods: None,
            pods_per_core: None,
            eni_limited_pods: true,
            kube_reserved_by_pods: false,
            root_volume_bytes: 20 << 30,
            instance_store_raid0: false,
            kube_reserved: BTreeMap::new(),
            system_reserved: Resources::default(),
            eviction_memory: Threshold::Bytes(100 << 20),
            eviction_ephemeral: Threshold::TenThousandths(1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_of_everything_is_none() {
        assert_eq!(Threshold::TenThousandths(10_000).of(1_000), 0);
        assert_eq!(Threshold::TenThousandths(1_000).of(1_001), 101);
        assert_eq!(Threshold::Bytes(7).of(1_000), 7);
    }
}
