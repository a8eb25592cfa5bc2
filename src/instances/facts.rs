//! The raw facts about an EC2 instance type, as AWS publishes them.
//!
//! **Invariant:** a [`Facts`] holds nothing that follows from its other fields, from the settings of a node class or
//! from its own name.

use purser_engine::model::{Price, Str, TypeName};

/// The processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

impl Arch {
    /// As the label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// What runs between the machine and its guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hypervisor {
    /// Nothing: bare metal.
    None,
    /// Xen.
    Xen,
    /// Nitro.
    Nitro,
}

impl Hypervisor {
    /// As the label value; empty for bare metal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Xen => "xen",
            Self::Nitro => "nitro",
        }
    }
}

/// The graphics processors of a type that has one kind of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gpu {
    /// The name in lower case with dashes, such as `a10g`.
    pub name: Str,
    /// The manufacturer in lower case, such as `nvidia`.
    pub manufacturer: Str,
    /// How many; zero where the type has a part of one.
    pub count: u32,
    /// Memory of each, in MiB.
    pub memory_mib: u64,
}

/// The machine-learning accelerators of a type that has one kind of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accelerator {
    /// The name in lower case with dashes, such as `inferentia2`.
    pub name: Str,
    /// The manufacturer in lower case, such as `aws`.
    pub manufacturer: Str,
    /// How many.
    pub count: u32,
    /// Neuron cores of each, if it is a Neuron device.
    pub neuron_cores: Option<u32>,
}

/// What is known of an instance type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facts {
    /// The name.
    pub name: TypeName,
    /// The architecture.
    pub arch: Arch,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Network interfaces of the default network card.
    pub interfaces: u32,
    /// IPv4 addresses of each network interface.
    pub ipv4_per_interface: u32,
    /// Branch interfaces for pods; zero where interfaces cannot be trunked.
    pub branch_interfaces: u32,
    /// Network bandwidth in Mbit/s, where a figure is published.
    pub network_mbps: Option<u64>,
    /// EBS bandwidth in Mbit/s, where the type is always optimised for EBS.
    pub ebs_mbps: Option<u64>,
    /// The hypervisor.
    pub hypervisor: Hypervisor,
    /// The manufacturer of the processor in lower case, such as `intel`.
    pub cpu_manufacturer: Str,
    /// The sustained clock speed in MHz, where it is known.
    pub clock_mhz: Option<u32>,
    /// Local NVMe storage in GB (10^9 bytes), where there is some.
    pub nvme_gb: Option<u64>,
    /// Graphics processors.
    pub gpu: Option<Gpu>,
    /// Machine-learning accelerators.
    pub accelerator: Option<Accelerator>,
    /// Network interfaces that can be Elastic Fabric Adapters.
    pub efa_interfaces: u32,
    /// Whether traffic between instances is encrypted on the wire.
    pub encryption_in_transit: bool,
    /// The on-demand price, where there is one.
    pub on_demand: Option<Price>,
}

/// What the name of an instance type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeNameParts<'a> {
    /// Before the dot: `m7i-flex`.
    pub family: &'a str,
    /// After the dot: `large`.
    pub size: &'a str,
    /// The letters that the family begins with and the number that is its generation: `m` and `7`.
    pub category_and_generation: Option<(&'a str, &'a str)>,
}

impl<'a> TypeNameParts<'a> {
    /// Takes a name apart; `None` if it has no dot.
    pub fn of(name: &'a str) -> Option<Self> {
        let (family, size) = name.split_once('.')?;
        Some(Self { family, size, category_and_generation: category_and_generation(family) })
    }

    /// The category, such as `m`; empty if the family has none.
    pub fn category(&self) -> &'a str {
        self.category_and_generation.map_or("", |(category, _)| category)
    }
}

/// Letters, then perhaps the memory of a high-memory type (`-12tb`), then digits.
fn category_and_generation(family: &str) -> Option<(&str, &str)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let letters = family.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(family.len());
    let (category, rest) = family.split_at(letters);
    let after_memory = rest.strip_prefix('-').and_then(|rest| match digits(rest) {
        0 => None,
        end => rest[end..].strip_prefix("tb"),
    });
    let rest = after_memory.unwrap_or(rest);
    let generation = &rest[..digits(rest)];
    (!category.is_empty() && !generation.is_empty()).then_some((category, generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_as_karpenter_takes_them() {
        for (name, family, size, parts) in [
            ("m7g.large", "m7g", "large", Some(("m", "7"))),
            ("m7i-flex.2xlarge", "m7i-flex", "2xlarge", Some(("m", "7"))),
            ("u-12tb1.112xlarge", "u-12tb1", "112xlarge", Some(("u", "1"))),
            ("u7in-24tb.224xlarge", "u7in-24tb", "224xlarge", Some(("u", "7"))),
            ("im4gn.large", "im4gn", "large", Some(("im", "4"))),
            ("x2iezn.metal", "x2iezn", "metal", Some(("x", "2"))),
            ("mac2-m2.metal", "mac2-m2", "metal", Some(("mac", "2"))),
            ("odd.size", "odd", "size", None),
            ("7x.size", "7x", "size", None),
            ("u-tb1.size", "u-tb1", "size", None),
        ] {
            let expected = TypeNameParts { family, size, category_and_generation: parts };
            assert_eq!(TypeNameParts::of(name), Some(expected), "{name}");
        }
        assert_eq!(TypeNameParts::of("large"), None);
    }
}
