//! What decisions are made of: places, options, targets, reasons.
//!
//! Invariant: none beyond that of frozen structs.

use purser_engine::event::{LaunchOption, Place, Target};
use purser_engine::model::Str;
use purser_engine::reason::Reason;
use serde::{Deserialize, Serialize};

use super::code::{CapacityTypeCode, TargetCode};
use super::convert::{Reject, Wire};
use super::scalar::ReasonCode;

frozen! {
    /// A place to buy an instance.
    PlaceV1 = Place { zone: String, capacity_type: CapacityTypeCode }

    /// An instance type that a launch may use: bit i of `places` stands for place i of the launch.
    LaunchOptionV1 = LaunchOption { instance_type: String, places: u32, price_microusd_per_hour: i64 = price }

    /// A reason with what it is about.
    ReasonV1 = Reason { id: ReasonCode, params: Vec<ParamV1> }
}

/// Where a pod is meant to run.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetV1 {
    pub(crate) kind: TargetCode,
    pub(crate) name: String,
}

/// A name and a value of a reason.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ParamV1 {
    pub(crate) name: String,
    pub(crate) value: String,
}

// === impl TargetV1 ===

impl Wire<Target> for TargetV1 {
    fn from_domain(domain: &Target) -> Self {
        match domain {
            Target::Node(node) => Self { kind: TargetCode::Node, name: Wire::from_domain(node) },
            Target::Claim(claim) => Self { kind: TargetCode::Claim, name: Wire::from_domain(claim) },
        }
    }

    fn into_domain(self) -> Result<Target, Reject> {
        Ok(match self.kind {
            TargetCode::Node => Target::Node(self.name.into_domain()?),
            TargetCode::Claim => Target::Claim(self.name.into_domain()?),
        })
    }
}

// === impl ParamV1 ===

impl Wire<(Str, Str)> for ParamV1 {
    fn from_domain((name, value): &(Str, Str)) -> Self {
        Self { name: Wire::from_domain(name), value: Wire::from_domain(value) }
    }

    fn into_domain(self) -> Result<(Str, Str), Reject> {
        Ok((self.name.into_domain()?, self.value.into_domain()?))
    }
}
