//! Volumes, as far as it matters where a pod can run and when a node can go: from where a claim's volume can be reached, how many a node attaches,
//! and which are attached.
//!
//! **Invariant:** a [`VolumeClaim`] is resolved: it takes no PersistentVolume and no StorageClass to know where its volume is or may be.

use std::collections::BTreeMap;

use super::{NodeName, PodKey, Requirements, Str};

/// What is known of a PersistentVolumeClaim, with its volume and its class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeClaim {
    /// Where its volume is or may be: one of these, or anywhere if there are none.
    pub topologies: Vec<Requirements>,
    /// The CSI driver, of a claim with a problem too, since a pod that runs may have its volume attached; empty if nobody says which.
    pub driver: Str,
    /// Why no pod can use it, if none can.
    pub problem: Option<Str>,
}

/// What is known of a VolumeAttachment, with its volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeAttachment {
    /// The node.
    pub node: NodeName,
    /// The PersistentVolume.
    pub volume: Str,
    /// The PersistentVolumeClaim that the volume is bound to: whoever uses it uses the volume.
    pub claim: Option<PodKey>,
}

/// How many volumes each CSI driver of a node attaches there; `None` if the driver sets no limit.
pub type VolumeLimits = BTreeMap<Str, Option<u32>>;
