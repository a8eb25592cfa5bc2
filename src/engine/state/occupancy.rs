//! What the pods bound to a node take of it.

use std::collections::BTreeSet;

use crate::event::Seq;
use crate::model::{PodKey, Resources, Time};

/// The pods bound to a node, known or not yet known itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Occupancy {
    /// The pods.
    pub pods: BTreeSet<PodKey>,
    /// What they take, daemon pods included.
    pub used: Resources,
    /// What the daemon pods among them take.
    pub used_by_daemons: Resources,
    /// How many of them are not daemon pods.
    pub workload_pods: usize,
    /// When a pod other than a daemon pod last came or went.
    pub last_pod_event: Time,
    /// The last record by which something was freed.
    pub freed: Seq,
}
