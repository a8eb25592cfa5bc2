//! CapacityBuffers: room that is kept free for pods that may come.
//!
//! **Invariant:** a [`CapacityBuffer`] is resolved: it takes no PodTemplate and no workload to know how much room it is.

use std::sync::Arc;

use super::{PodKey, PodSpec};

/// A CapacityBuffer: room for so many pods. Nobody binds them, so they are called virtual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapacityBuffer {
    /// What each of its pods asks for.
    pub spec: Arc<PodSpec>,
    /// How many they are.
    pub replicas: u32,
}

impl CapacityBuffer {
    /// Room for so many pods of a template: without volumes, which only a real pod has, of the lowest priority, and of no group.
    pub fn new(template: &PodSpec, replicas: u32) -> Self {
        let spec = PodSpec {
            volumes: Vec::new(),
            priority: i32::MIN,
            group: None,
            do_not_disrupt: None,
            ..template.clone()
        };
        Self { spec: Arc::new(spec), replicas }
    }

    /// The name of one of a buffer's pods.
    pub fn pod(buffer: &PodKey, number: u32) -> PodKey {
        PodKey::new(buffer.namespace.clone(), format!("capacity-buffer-{}-{number}", buffer.name))
    }
}
