//! Recorded workloads: published traces of real clusters, read into scenarios.
//!
//! Two forms are known, by their header. Columns are found by name, in any order.
//!
//! - [`openb`]: pods of Alibaba's GPU cluster (`openb_pod_list`), one a row: `cpu_milli`, `memory_mib`,
//!   `num_gpu`. A share of a GPU counts as a whole one.
//! - [`dlrm`]: instances of Alibaba's recommendation models (`disaggregated_DLRM_trace`), one a row:
//!   `cpu_request`, `memory_request` and `disk_request` in GiB, `gpu_request`, `max_instance_per_node`.
//!   `rdma_request`, a share of a network card, has no Kubernetes resource and is left out.
//!
//! Times are seconds since 2026-01-01T00:00:00Z. A pod is created at its `creation_time` and, once bound,
//! runs for as long as it did: from `scheduled_time`, or from `creation_time` if it was never scheduled, to
//! `deletion_time`, but a second at least. One that is lost starts again.
//!
//! The nodes come from one NodePool ([`default_pool`]) of on-demand instances of any type
//! ([`default_types`]), each with a root volume of 16 TiB, the largest gp3 volume: the traces ask for more
//! ephemeral storage than a usual one has.
//!
//! **Invariant:** a file is read whole or not at all, and an error names file, line, column, value and remedy
//! in one line.

mod dlrm;
mod openb;
mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use purser_engine::model::{
    CapacityType, ConsolidationPolicy, Disruption, InstanceType, Limits, NodePool, NodeTemplate, PodSpec,
    Requirement, Span, Str, Time, label,
};
use purser_instances::{Catalogue, NodeSettings, Site, built_in_facts};

pub use dlrm::dlrm;
pub use openb::openb;

use crate::scenario::{Run, Scenario, Workload, WorkloadKind};

/// 2026-01-01T00:00:00Z.
pub const EPOCH: Time = Time(1_767_225_600_000_000);

/// The largest gp3 volume.
pub const ROOT_VOLUME_BYTES: i64 = 16 << 40;

/// Why a trace could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("{file}: {problem}; check the path and its permissions")]
    File {
        /// The file.
        file: String,
        /// What the system says.
        problem: String,
    },
    /// The header is not that of a known trace.
    #[error("{file}:1: column {column:?} {problem}; {remedy}")]
    Header {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        problem: &'static str,
        /// What can be done.
        remedy: &'static str,
    },
    /// A value is not what its column holds.
    #[error("{file}:{line}: {column} is {value:?}, {problem}; {remedy}")]
    Value {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// The file is no well-formed table.
    #[error("{file}:{line}: {problem}; write one row a line with as many values as the header has columns")]
    Row {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads a trace of either form, on the default pool and types.
///
/// # Errors
/// If the file cannot be read or is no trace that is known.
pub fn read_trace(path: &Path) -> Result<Scenario, TraceError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| TraceError::File { file: file.clone(), problem: error.to_string() })?;
    csv(&file, &text, default_types())
}

/// A trace of either form, told by its header, on these instance types.
///
/// # Errors
/// If the text is no trace that is known.
pub fn csv(file: &str, text: &str, types: Vec<Arc<InstanceType>>) -> Result<Scenario, TraceError> {
    let header = text.lines().next().unwrap_or_default();
    let is_dlrm = header.split(',').any(|column| column.trim() == "instance_sn");
    if is_dlrm { dlrm(file, text, types) } else { openb(file, text, types) }
}

/// The instance types for traces: those of the built-in catalogue, with a root volume of 16 TiB.
pub fn default_types() -> Vec<Arc<InstanceType>> {
    let settings = NodeSettings { root_volume_bytes: ROOT_VOLUME_BYTES, ..NodeSettings::default() };
    let site = Site { settings, ..Site::default() };
    let types = Catalogue::from_facts(&built_in_facts(), &site).into_types();
    types.into_iter().filter(|one| !one.offerings.is_empty()).map(Arc::new).collect()
}

/// The NodePool for traces: on-demand, any type, no limits; nodes are consolidated after half a minute and do
/// not expire.
pub fn default_pool() -> NodePool {
    let on_demand = Requirement::one_of([Str::from(CapacityType::OnDemand.as_str())]);
    NodePool {
        name: "default".into(),
        weight: 0,
        template: NodeTemplate {
            requirements: [(Str::from(label::CAPACITY_TYPE), on_demand)].into_iter().collect(),
            ..NodeTemplate::default()
        },
        disruption: Disruption {
            policy: ConsolidationPolicy::WhenEmptyOrUnderutilized,
            consolidate_after: Some(Span::secs(30)),
            ..Disruption::default()
        },
        limits: Limits::default(),
        replicas: None,
        hash: "trace-default".into(),
        ready: true,
    }
}

/// A scenario of runs, by spec in the order in which each is first seen.
fn scenario(name: &str, types: Vec<Arc<InstanceType>>, runs: Vec<(PodSpec, Run)>) -> Scenario {
    let mut scenario = Scenario::new(name, EPOCH);
    scenario.types = types;
    scenario.pools = vec![Arc::new(default_pool())];
    scenario.sample_every = Span::hours(1);
    let mut numbers: BTreeMap<PodSpec, usize> = BTreeMap::new();
    for (spec, run) in runs {
        let number = *numbers.entry(spec).or_insert_with_key(|spec| {
            scenario.workloads.push(Workload {
                namespace: "default".into(),
                name: format!("{name}-{}", scenario.workloads.len()).into(),
                spec: Arc::new(spec.clone()),
                kind: WorkloadKind::Batch { runs: Vec::new(), parallelism: None, linger: Span::ZERO },
            });
            scenario.workloads.len() - 1
        });
        if let WorkloadKind::Batch { runs, .. } = &mut scenario.workloads[number].kind {
            runs.push(run);
        }
    }
    scenario
}

/// How long a pod ran: never less than a second.
fn lasted(from: Time, until: Time) -> Span {
    until.since(from).max(Span::secs(1))
}
