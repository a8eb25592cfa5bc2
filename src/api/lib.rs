//! Kubernetes and Karpenter manifests, read into the engine's facts.
//!
//! Start at [`read()`], which takes text, or [`read_path`], which takes a file or folder. Whoever has typed objects already,
//! as from a watch, uses the conversions one by one: [`pod_facts`], [`node_facts`], [`node_pool`] and their kin.
//! Objects that a newer version than ours may have written are read by [`lenient_object`].
//!
//! A scheduling problem in one JSON document is read by [`scenario`].
//!
//! **Invariant:** what comes out is valid: parsed, checked as the API server and Karpenter check it, with their defaults
//! filled in. Nothing here asks a cluster, and only the module behind [`read_path`] touches the file system.

mod buffer;
pub mod crd;
mod decode;
mod default_spread;
pub mod devices;
mod duration;
mod error;
mod files;
mod hash;
mod lenient;
mod limit_range;
mod names;
mod node;
mod node_claim;
mod node_class;
mod node_overlay;
mod node_pool;
mod pod;
mod quantity;
mod read;
mod requirement;
pub mod scenario;
mod selector;
mod text;
mod volume;
mod workload;

pub use buffer::{
    ACTIVE_CAPACITY, BufferSource, CapacityBufferFacts, PodTemplates, Unresolved, UnresolvedReason,
    capacity_buffer, pod_template,
};
pub use default_spread::{
    PodSelector, SelectorKind, scheduler_config, selecting_controller, with_default_spread,
};
pub use duration::parse_duration;
pub use error::{ApiError, FieldError};
pub use files::{manifest_files, read_path, read_texts};
pub use hash::{NODE_POOL_HASH_VERSION, node_pool_hash};
pub use lenient::{Lenient, lenient_object};
pub use limit_range::{ContainerDefaults, container_defaults, with_defaults};
pub use node::{instance_id, node_facts};
pub use node_claim::{
    DEADLINE_ANNOTATION, HASH_ANNOTATION, HASH_VERSION_ANNOTATION, NodeClaimFacts, node_claim,
};
pub use node_class::{NodeClass, ec2_node_class, kwok_node_class};
pub use node_overlay::{NodeOverlayFacts, node_overlay};
pub use node_pool::node_pool;
pub use pod::{Origin, Priorities, PriorityClass, pod_facts, pod_spec};
pub use read::{Located, Object, default_namespace_labels, namespace_labels, object, read, read_all};
pub use volume::{
    Attachment, ClaimStatus, CsiNode, Reach, Storage, StorageClass, Unsupported, Volume, VolumeClaimFacts,
    attachment, csi_node, storage_class, volume, volume_claim,
};
pub use workload::{
    CountOrPercent, DaemonSetFacts, DisruptionBudget, Workload, WorkloadKind, cron_job, daemon_set,
    deployment, disruption_budget, job, replica_set, replication_controller, stateful_set,
};
