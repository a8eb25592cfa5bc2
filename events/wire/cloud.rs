//! What the cloud offers, and how its launches fail.
//!
//! Invariant: none beyond that of frozen structs.

use purser_engine::event::LaunchFailure;
use purser_engine::model::{InstanceType, Offering, OfferingKey};
use serde::{Deserialize, Serialize};

use super::code::{CapacityTypeCode, LaunchFailureCode};
use super::convert::{Reject, Wire};
use super::requirement::RequirementsV1;
use super::resources::ResourcesV1;

frozen! {
    /// An instance type, in a zone, bought in one way.
    OfferingKeyV1 = OfferingKey { instance_type: String, zone: String, capacity_type: CapacityTypeCode }

    /// One way to buy an instance type.
    OfferingV1 = Offering { zone: String, capacity_type: CapacityTypeCode, price_microusd_per_hour: i64 = price }

    /// An instance type.
    InstanceTypeV1 = InstanceType {
        name: String,
        requirements: RequirementsV1,
        capacity: ResourcesV1,
        overhead: ResourcesV1,
        offerings: Vec<OfferingV1>,
    }
}

/// Why there is no instance: offerings only where capacity was insufficient, a message only otherwise.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaunchFailureV1 {
    pub(crate) kind: LaunchFailureCode,
    pub(crate) offerings: Vec<OfferingKeyV1>,
    pub(crate) message: String,
}

impl Wire<LaunchFailure> for LaunchFailureV1 {
    fn from_domain(domain: &LaunchFailure) -> Self {
        let with_message =
            |kind, message| Self { kind, offerings: Vec::new(), message: Wire::from_domain(message) };
        match domain {
            LaunchFailure::InsufficientCapacity { offerings } => Self {
                kind: LaunchFailureCode::InsufficientCapacity,
                offerings: Wire::from_domain(offerings),
                message: String::new(),
            },
            LaunchFailure::Rejected { message } => with_message(LaunchFailureCode::Rejected, message),
            LaunchFailure::Unknown { message } => with_message(LaunchFailureCode::Unknown, message),
        }
    }

    fn into_domain(self) -> Result<LaunchFailure, Reject> {
        let Self { kind, offerings, message } = self;
        let idle = match kind {
            LaunchFailureCode::InsufficientCapacity => message.is_empty(),
            LaunchFailureCode::Rejected | LaunchFailureCode::Unknown => offerings.is_empty(),
        };
        if !idle {
            return Err(Reject::new("it has both offerings and a message, or the wrong of the two"));
        }
        Ok(match kind {
            LaunchFailureCode::InsufficientCapacity => {
                LaunchFailure::InsufficientCapacity { offerings: offerings.into_domain()? }
            }
            LaunchFailureCode::Rejected => LaunchFailure::Rejected { message: message.into_domain()? },
            LaunchFailureCode::Unknown => LaunchFailure::Unknown { message: message.into_domain()? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_only_what_belongs_to_it() {
        let with = |kind, message: &str| LaunchFailureV1 {
            kind,
            offerings: Vec::new(),
            message: message.to_owned(),
        };
        assert!(with(LaunchFailureCode::InsufficientCapacity, "").into_domain().is_ok());
        assert!(with(LaunchFailureCode::InsufficientCapacity, "none").into_domain().is_err());
        assert!(with(LaunchFailureCode::Rejected, "no such subnet").into_domain().is_ok());
    }
}
