//! Devices and claims that are too large for a record, and what is recorded in their place.
//!
//! **Invariant:** a stand-in gives nobody a device: what is not known of a claim keeps it from being had, and what is not known of a pool keeps all
//! of the pool from being given.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{MAX_OBJECT_BYTES, shorter_text, size};
use crate::model::{
    AllocatedDevice, AskedKind, DevicePool, DeviceReach, DeviceSelector, Holding, PodKey, ResourceClaim,
};
use crate::port::MAX_EVENT_BYTES;
use crate::reason::{Reason, ReasonId};

/// A pool has a record to itself.
const MAX_POOL_BYTES: usize = MAX_EVENT_BYTES - 2 * 1024;

/// What is kept of a reason's parameters.
const MAX_PARAMS: usize = 4;

/// What is recorded of a claim that is too large.
pub(super) fn claim(
    key: &PodKey,
    claim: &ResourceClaim<Arc<AskedKind>>,
) -> Option<ResourceClaim<Arc<AskedKind>>> {
    let object = || format!("ResourceClaim {key}");
    match claim {
        ResourceClaim::Open(kind) => kind_refused(kind, object).map(ResourceClaim::Refused),
        ResourceClaim::Refused(reason) => shorter(reason).map(ResourceClaim::Refused),
        ResourceClaim::Allocated(holding) => smaller(holding, object).map(ResourceClaim::Allocated),
    }
}

/// What is recorded of a template that is too large.
pub(super) fn template(
    key: &PodKey,
    kind: &Result<Arc<AskedKind>, Reason>,
) -> Option<Result<Arc<AskedKind>, Reason>> {
    match kind {
        Ok(kind) => kind_refused(kind, || format!("ResourceClaimTemplate {key}")).map(Err),
        Err(reason) => shorter(reason).map(Err),
    }
}

/// What is recorded of a pool that is too large, or is asked by selectors that are.
pub(super) fn pool(pool: &DevicePool<Arc<DeviceSelector>>) -> Option<DevicePool<Arc<DeviceSelector>>> {
    if size::pool(pool) > MAX_POOL_BYTES {
        return Some(DevicePool {
            complete: false,
            counters: Vec::new(),
            devices: Vec::new(),
            undecided: BTreeSet::new(),
        });
    }
    // No claim that is recorded has such a selector.
    let is_odd = |selector: &&Arc<DeviceSelector>| size::selector_of_devices(selector) > MAX_OBJECT_BYTES;
    let odd = pool.selectors().iter().any(is_odd);
    odd.then(|| pool.renamed(|selector| (!is_odd(&selector)).then(|| Arc::clone(selector))))
}

/// What is recorded of selectors that are too many or too large. Nobody has so many.
pub(super) fn wide(selectors: &BTreeSet<Arc<DeviceSelector>>) -> Option<BTreeSet<Arc<DeviceSelector>>> {
    let fits = |selector: &&Arc<DeviceSelector>| size::selector_of_devices(selector) <= MAX_OBJECT_BYTES;
    let most = MAX_OBJECT_BYTES / size::NUMBER;
    let kept = || selectors.iter().filter(fits).take(most);
    (kept().count() < selectors.len()).then(|| kept().cloned().collect())
}

fn kind_refused(kind: &AskedKind, object: impl Fn() -> String) -> Option<Reason> {
    let largest = kind.selectors().map(|selector| size::selector_of_devices(selector)).max();
    let bytes = size::kind(kind).max(largest.unwrap_or_default());
    (bytes > MAX_OBJECT_BYTES).then(|| too_large(object(), "spec.devices", bytes))
}

fn too_large(object: String, field: &str, bytes: usize) -> Reason {
    let field =
        format!("{field}: too large to record: it takes {bytes} bytes and may take {MAX_OBJECT_BYTES}");
    Reason::new(ReasonId::DeviceFeatureUnsupported, [("object", object), ("field", field)])
}

/// A reason that is too long, cut.
fn shorter(reason: &Reason) -> Option<Reason> {
    let is_long = reason.params.len() > MAX_PARAMS
        || reason
            .params
            .iter()
            .any(|(name, value)| [name, value].into_iter().any(|text| shorter_text(text).is_some()));
    let cut = |text: &_| shorter_text(text).unwrap_or_else(|| text.clone());
    is_long.then(|| Reason {
        id: reason.id,
        params: reason.params.iter().take(MAX_PARAMS).map(|(name, value)| (cut(name), cut(value))).collect(),
    })
}

/// Of what a claim has, first how much of shared devices goes, then the devices, then where they are.
fn smaller(holding: &Holding, object: impl Fn() -> String) -> Option<Holding> {
    let shorter_reach = match &holding.reach {
        Err(reason) => shorter(reason).map(Err),
        Ok(reach) => {
            let bytes = size::reach(reach);
            (bytes > MAX_OBJECT_BYTES)
                .then(|| Err(too_large(object(), "status.allocation.nodeSelector", bytes)))
        }
    };
    if shorter_reach.is_none() && size::list(&holding.devices, size::allocated) <= MAX_OBJECT_BYTES {
        return None;
    }
    let bare = |device: &AllocatedDevice| AllocatedDevice {
        name: device.name.clone(),
        consumed: Default::default(),
    };
    let mut devices = holding.devices.clone();
    if size::list(&devices, size::allocated) > MAX_OBJECT_BYTES {
        devices = devices.iter().map(bare).collect();
    }
    if size::list(&devices, size::allocated) > MAX_OBJECT_BYTES {
        devices.clear();
    }
    let reach: Result<DeviceReach, Reason> = shorter_reach.unwrap_or_else(|| holding.reach.clone());
    Some(Holding { devices, reach })
}
