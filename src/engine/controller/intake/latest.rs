//! Of what is told of one object in a batch only the last counts.
//!
//! **Invariant:** what tells of no object, or of one that is not known by its name alone, is always kept.

use rustc_hash::FxHashMap;

use crate::model::{ClaimName, DevicePoolKey, NodeName, PodKey, PoolName};
use crate::port::{Input, Observation};

/// Only the last input about each object: what waits for a long time must not grow with the time.
pub(in crate::controller) fn coalesce(inputs: Vec<Input>) -> Vec<Input> {
    let counts = counting(&inputs);
    inputs.into_iter().zip(counts).filter_map(|(input, counts)| counts.then_some(input)).collect()
}

/// Which of the inputs count: not those that a later one about the same object supersedes.
pub(super) fn counting(inputs: &[Input]) -> Vec<bool> {
    let objects: Vec<Option<Object<'_>>> = inputs.iter().map(|input| object(&input.observation)).collect();
    let each = objects.iter().enumerate();
    let last: FxHashMap<Object<'_>, usize> = each.filter_map(|(at, object)| Some(((*object)?, at))).collect();
    let each = objects.iter().enumerate();
    each.map(|(at, object)| object.is_none_or(|object| last[&object] == at)).collect()
}

/// An object of which only the last state matters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Object<'a> {
    Pod(&'a PodKey),
    Node(&'a NodeName),
    Namespace(&'a str),
    VolumeClaim(&'a PodKey),
    VolumeLimits(&'a NodeName),
    VolumeAttachment(&'a str),
    Claim(&'a ClaimName),
    NodePool(&'a PoolName),
    NodeOverlay(&'a str),
    DaemonSet(&'a PodKey),
    DisruptionBudget(&'a PodKey),
    CapacityBuffer(&'a PodKey),
    ResourceClaim(&'a PodKey),
    ClaimTemplate(&'a PodKey),
    DevicePool(&'a DevicePoolKey),
    WideSelectors,
}

fn object(observation: &Observation) -> Option<Object<'_>> {
    match observation {
        Observation::Pod(pod) => Some(Object::Pod(&pod.key)),
        Observation::NoPod(key) => Some(Object::Pod(key)),
        Observation::Node(node) => Some(Object::Node(&node.name)),
        Observation::NoNode(name) => Some(Object::Node(name)),
        Observation::Namespace(name, _) | Observation::NoNamespace(name) => Some(Object::Namespace(name)),
        Observation::VolumeClaim(key, _) | Observation::NoVolumeClaim(key) => Some(Object::VolumeClaim(key)),
        Observation::VolumeLimits { node, .. } | Observation::NoVolumeLimits(node) => {
            Some(Object::VolumeLimits(node))
        }
        Observation::VolumeAttachment(name, _) | Observation::NoVolumeAttachment(name) => {
            Some(Object::VolumeAttachment(name))
        }
        Observation::NodeClaim(claim) => Some(Object::Claim(&claim.name)),
        Observation::NoNodeClaim(claim) => Some(Object::Claim(claim)),
        Observation::NodePool(pool) => Some(Object::NodePool(&pool.name)),
        Observation::NoNodePool(name) => Some(Object::NodePool(name)),
        Observation::NodeOverlay(name, _) | Observation::NoNodeOverlay(name) => {
            Some(Object::NodeOverlay(name))
        }
        Observation::DaemonSet(key, _) | Observation::NoDaemonSet(key) => Some(Object::DaemonSet(key)),
        Observation::DisruptionBudget { budget: key, .. } | Observation::NoDisruptionBudget(key) => {
            Some(Object::DisruptionBudget(key))
        }
        Observation::CapacityBuffer(key, _) | Observation::NoCapacityBuffer(key) => {
            Some(Object::CapacityBuffer(key))
        }
        Observation::ResourceClaim(key, _) | Observation::NoResourceClaim(key) => {
            Some(Object::ResourceClaim(key))
        }
        Observation::ClaimTemplate(key, _) | Observation::NoClaimTemplate(key) => {
            Some(Object::ClaimTemplate(key))
        }
        Observation::DevicePool { key, .. } | Observation::NoDevicePool(key) => Some(Object::DevicePool(key)),
        Observation::WideSelectors { .. } | Observation::NoWideSelectors => Some(Object::WideSelectors),
        _ => None,
    }
}
