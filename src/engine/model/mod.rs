//! What the engine talks about: pods, nodes, NodePools, NodeClaims, instance types, quantities, time and money.
//!
//! **Invariant:** a value of these types is valid. Parsing and validation happen at the border (`purser-api`,
//! `purser-events`); inside, nothing is checked twice.

mod buffer;
mod claim;
mod device;
mod instance_type;
mod name;
mod node;
mod overlay;
mod pod;
mod pool;
mod quantity;
mod requirement;
mod resources;
mod taint;
mod time;
mod volume;

pub use buffer::CapacityBuffer;
pub use claim::ClaimFacts;
pub use device::{
    AllocatedDevice, AskedKind, ClaimKind, ClaimSource, Device, DeviceAmount, DeviceAsk, DeviceCount,
    DeviceName, DevicePool, DevicePoolKey, DeviceReach, DeviceRequest, DeviceSelector, Holding, Inventory,
    InventoryId, KindId, MOST_DEVICES, PodClaim, PublishedDevice, Questions, ResourceClaim, SameAttribute,
    SelectorId, SharedId, claims_of_pod,
};
pub use instance_type::{CapacityType, InstanceType, Offering, OfferingKey, Ways};
pub use name::{
    ClaimName, ClassName, InstanceId, Labels, NodeName, PoolName, ResourceName, Str, TypeName, Zone, label,
};
pub use node::NodeFacts;
pub use overlay::{NodeOverlay, PriceChange};
pub use pod::{
    DoNotDisrupt, HostPort, LabelExpression, LabelOperator, LabelSelector, NamespaceSelector, OwnerKind,
    PodAffinity, PodFacts, PodGroup, PodKey, PodPhase, PodSpec, PreferredTerm, Protocol, SpreadPolicy,
    TopologySpread, Uid, Unsatisfiable, VolumeRef,
};
pub use pool::{
    Budget, BudgetNodes, BudgetSchedule, ConsolidationPolicy, Disruption, DisruptionReason, Headroom, Limits,
    NodePool, NodeTemplate,
};
pub use quantity::{Quantity, QuantityError, Rounding};
pub use requirement::{Bound, Operator, Requirement, RequirementError, Requirements};
pub use resources::Resources;
pub use taint::{Taint, TaintEffect, Toleration, TolerationOperator, first_untolerated};
pub use time::{Money, Price, Span, Time};
pub use volume::{VolumeAttachment, VolumeClaim, VolumeLimits};
