//! Instance types and where, how and at what price they are offered.

use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Price, Requirement, Requirements, Resources, Str, TypeName, Zone, label};

/// How capacity is bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapacityType {
    /// Bought in advance.
    Reserved,
    /// Spare capacity that can be taken back with two minutes' notice.
    Spot,
    /// At list price, kept as long as wanted.
    OnDemand,
}

impl CapacityType {
    /// As the label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        }
    }

    /// From the label value.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reserved, Self::Spot, Self::OnDemand]
            .into_iter()
            .find(|capacity_type| capacity_type.as_str() == text)
    }
}

impl fmt::Display for CapacityType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is asked of the cloud: a type, in a zone, bought in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferingKey {
    /// The instance type.
    pub instance_type: TypeName,
    /// The zone.
    pub zone: Zone,
    /// How it is bought.
    pub capacity_type: CapacityType,
}

impl fmt::Display for OfferingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/{}/{}", self.instance_type, self.zone, self.capacity_type))
    }
}

/// One way to buy an instance type.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offering {
    /// The zone.
    pub zone: Zone,
    /// How it is bought.
    pub capacity_type: CapacityType,
    /// Per hour.
    pub price: Price,
}

/// The labels of offerings, one set for all that are bought alike: types are many, and are sold in few ways.
#[derive(Debug, Default)]
pub struct Ways<'a>(FxHashMap<(&'a Zone, CapacityType), Arc<Requirements>>);

impl<'a> Ways<'a> {
    /// The [`InstanceType::offering_requirements`] of an offering.
    pub fn requirements(&mut self, offering: &'a Offering) -> Arc<Requirements> {
        let way = self.0.entry((&offering.zone, offering.capacity_type));
        Arc::clone(way.or_insert_with(|| Arc::new(InstanceType::offering_requirements(offering))))
    }
}

/// An instance type as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceType {
    /// The name.
    pub name: TypeName,
    /// The labels that nodes of this type have, zone and capacity type aside.
    pub requirements: Requirements,
    /// What the machine has.
    pub capacity: Resources,
    /// What kubelet, system and eviction threshold keep of it.
    pub overhead: Resources,
    /// Where and how it can be bought, in order of zone and capacity type.
    pub offerings: Vec<Offering>,
}

impl InstanceType {
    /// What pods can use: capacity less overhead, and less huge pages where there are any.
    pub fn allocatable(&self) -> Resources {
        let mut allocatable = self.capacity.minus(&self.overhead);
        let huge: i64 = self
            .capacity
            .other()
            .filter(|(name, _)| name.as_str().starts_with("hugepages-"))
            .map(|(_, n)| n)
            .sum();
        allocatable.memory_bytes = allocatable.memory_bytes.saturating_sub(huge).max(0);
        allocatable
    }

    /// The requirements of one offering: those of the type, with zone and capacity type.
    pub fn offering_requirements(offering: &Offering) -> Requirements {
        let one = |value: &str| Requirement::one_of([Str::from(value)]);
        [
            (Str::from(label::ZONE), one(offering.zone.as_str())),
            (Str::from(label::CAPACITY_TYPE), one(offering.capacity_type.as_str())),
        ]
        .into_iter()
        .collect()
    }
}
