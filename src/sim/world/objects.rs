//! Objects that only the controller looks at: NodeOverlays, CapacityBuffers, Namespaces, PersistentVolumeClaims, CSINodes. They do nothing by
//! themselves.
//!
//! **Invariant:** what is not here is listed by nobody; a notification about it says that it is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_engine::model::{
    CapacityBuffer, InstanceType, Labels, NodeName, NodeOverlay, NodePool, PodKey, Resources, Str,
    VolumeClaim, VolumeLimits,
};
use purser_engine::overlay::{self, Overlay};
use purser_engine::port::Observation;

use crate::scenario::Scenario;

/// Objects that only the controller looks at.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) overlays: BTreeMap<Str, NodeOverlay>,
    pub(super) buffers: BTreeMap<PodKey, CapacityBuffer>,
    pub(super) namespaces: BTreeMap<Str, Labels>,
    pub(super) volume_claims: BTreeMap<PodKey, VolumeClaim>,
    volume_limits: BTreeMap<NodeName, VolumeLimits>,
}

impl Objects {
    /// Those of a scenario.
    pub(super) fn of(scenario: &Scenario) -> Self {
        Self {
            overlays: scenario.overlays.clone(),
            buffers: scenario.buffers.clone(),
            namespaces: scenario.namespaces.clone(),
            volume_claims: scenario.volume_claims.clone(),
            volume_limits: scenario.volume_limits.clone(),
        }
    }

    /// All of them, in order.
    pub(super) fn list(&self) -> impl Iterator<Item = Observation> {
        let namespaces = self.namespaces.keys().map(|name| self.namespace(name));
        let claims = self.volume_claims.keys().map(|key| self.volume_claim(key));
        let limits = self
            .volume_limits
            .iter()
            .map(|(node, limits)| Observation::VolumeLimits { node: node.clone(), limits: limits.clone() });
        let overlays = self.overlays.keys().map(|name| self.overlay(name));
        let buffers = self.buffers.keys().map(|key| self.buffer(key));
        overlays.chain(buffers).chain(namespaces).chain(claims).chain(limits)
    }

    /// How a NodeOverlay is.
    pub(super) fn overlay(&self, name: &Str) -> Observation {
        match self.overlays.get(name) {
            Some(overlay) => Observation::NodeOverlay(name.clone(), overlay.clone()),
            None => Observation::NoNodeOverlay(name.clone()),
        }
    }

    /// How a CapacityBuffer is.
    pub(super) fn buffer(&self, key: &PodKey) -> Observation {
        match self.buffers.get(key) {
            Some(buffer) => Observation::CapacityBuffer(key.clone(), buffer.clone()),
            None => Observation::NoCapacityBuffer(key.clone()),
        }
    }

    /// What nodes of a pool have for pods if they are of this type: what NodeOverlays say of their resources is so.
    pub(super) fn allocatable(&self, pool: &Arc<NodePool>, instance_type: &Arc<InstanceType>) -> Resources {
        let overlays = self.overlays.iter().map(|(name, overlay)| Overlay::new(name, overlay)).collect();
        let mut said = overlay::allocatable(overlays, [pool], [instance_type]);
        said.pop_first().map_or_else(|| instance_type.allocatable(), |(_, allocatable)| allocatable)
    }

    /// How a Namespace is.
    pub(super) fn namespace(&self, name: &Str) -> Observation {
        match self.namespaces.get(name) {
            Some(labels) => Observation::Namespace(name.clone(), labels.clone()),
            None => Observation::NoNamespace(name.clone()),
        }
    }

    /// How a PersistentVolumeClaim is.
    pub(super) fn volume_claim(&self, key: &PodKey) -> Observation {
        match self.volume_claims.get(key) {
            Some(claim) => Observation::VolumeClaim(key.clone(), claim.clone()),
            None => Observation::NoVolumeClaim(key.clone()),
        }
    }
}
