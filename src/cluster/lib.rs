//! A Kubernetes cluster as the controller's world: what it shows becomes observations, what the controller orders becomes API calls.
//!
//! [`Watches`] tells how the cluster is, [`Executor`] carries orders out, and [`kwok`] is the provider whose instances are nothing
//! but Node objects.
//!
//! **Invariant:** nothing is decided here. Every order can be carried out twice, and its outcome is told, not remembered: what is kept of
//! the cluster is names, what was last seen of the pools and classes that launches ask for, and what it takes to tell of one object
//! what follows from several.

mod buffers;
mod claim;
mod condition;
mod daemons;
mod default_spread;
mod devices;
mod error;
mod evict;
mod executor;
mod gate;
mod hash;
pub mod kwok;
mod lease;
mod node;
mod overlays;
mod pool_status;
mod pools;
mod quiet;
mod recorder;
mod registrations;
mod shared;
mod startups;
mod status;
mod tell;
mod volumes;
mod watch;
mod watching;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Moment;
use k8s_openapi::jiff::Timestamp;
use purser_engine::model::Time;

pub use error::ClusterError;
pub use executor::Executor;
pub use gate::{Gate, NotLeader, Rate, client};
pub use lease::{CHECKPOINT, Election, LeaseSettings, Said, TERM, Won, own_namespace};
pub use pool_status::PoolStatus;
pub use pools::Pools;
pub use quiet::Quiet;
pub use recorder::{About, DECISION, Kind, Notice, Outbox, Recorder};
pub use startups::Startups;
pub use status::Statuses;
pub use watch::{Answers, Scope, Watches};

/// Tells the time. Only whoever drives the controller reads a clock.
pub type Now = Arc<dyn Fn() -> Time + Send + Sync>;

/// The mark that keeps an object until its owner is done with it.
pub(crate) const FINALIZER: &str = "karpenter.sh/termination";

/// A moment that Kubernetes wrote.
pub(crate) fn time(moment: &Moment) -> Time {
    Time(moment.0.as_microsecond())
}

/// A moment as Kubernetes writes it.
pub(crate) fn timestamp(time: Time) -> Result<Timestamp, ClusterError> {
    Ok(Timestamp::from_microsecond(time.0)?)
}

/// A moment as text, to whole seconds, as Kubernetes writes conditions.
pub(crate) fn moment(time: Time) -> Result<String, ClusterError> {
    Ok(Timestamp::from_second(timestamp(time)?.as_second())?.to_string())
}
