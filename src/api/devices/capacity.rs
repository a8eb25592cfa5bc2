//! How much of a device's capacities a request takes.
//!
//! Source: resource.k8s.io/v1, `CapacityRequirements` and `CapacityRequestPolicy`.
//!
//! **Invariant:** of a shared device a request takes at least what it asks for, and what the device's policy allows.

use std::collections::BTreeMap;

use k8s_openapi::api::resource::v1::{CapacityRequestPolicy, DeviceCapacity};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use purser_engine::model::{DeviceAmount, Str};

pub(super) fn amount(written: &Quantity) -> Option<DeviceAmount> {
    DeviceAmount::parse(&written.0).ok()
}

/// What a request takes of each capacity of a shared device, in order of their names; `None` if the device is not for it.
pub(super) fn of_shared(
    capacity: &BTreeMap<String, DeviceCapacity>,
    wanted: &BTreeMap<Str, DeviceAmount>,
) -> Option<Vec<DeviceAmount>> {
    if wanted.keys().any(|name| !capacity.contains_key(&**name)) {
        return None;
    }
    let taken = capacity.iter().map(|(name, has)| {
        let taken = taken(has, wanted.get(name.as_str()).copied())?;
        (taken <= amount(&has.value)?).then_some(taken)
    });
    taken.collect()
}

/// Whether a device that is given whole has as much as is wanted.
pub(super) fn is_enough(
    capacity: &BTreeMap<String, DeviceCapacity>,
    wanted: &BTreeMap<Str, DeviceAmount>,
) -> bool {
    wanted.iter().all(|(name, wanted)| {
        let has = capacity.get(&**name).and_then(|has| amount(&has.value));
        has.is_some_and(|has| *wanted <= has)
    })
}

/// What is taken of one capacity: what is wanted, or the least that is allowed and not less.
fn taken(has: &DeviceCapacity, wanted: Option<DeviceAmount>) -> Option<DeviceAmount> {
    let Some(policy) = &has.request_policy else {
        return wanted.map_or_else(|| amount(&has.value), Some);
    };
    match (wanted, &policy.default) {
        (Some(wanted), _) => allowed(policy, wanted),
        (None, Some(default)) => allowed(policy, amount(default)?),
        (None, None) => amount(&has.value),
    }
}

/// The least amount that a policy allows and that is not less than what is wanted.
fn allowed(policy: &CapacityRequestPolicy, wanted: DeviceAmount) -> Option<DeviceAmount> {
    if let Some(range) = &policy.valid_range {
        let least = amount(&range.min)?;
        let most = range.max.as_ref().map(amount);
        let step = range.step.as_ref().map_or(Some(0), |step| amount(step).map(|step| step.0))?;
        let mut taken = wanted.max(least);
        if step > 0 {
            let beyond = taken.0 - least.0;
            taken.0 = least.0 + (beyond + step - 1) / step * step;
        }
        return match most {
            Some(most) => (taken <= most?).then_some(taken),
            None => Some(taken),
        };
    }
    match &policy.valid_values {
        Some(values) => values.iter().filter_map(amount).filter(|value| *value >= wanted).min(),
        None => Some(wanted),
    }
}
