//! Pods of Alibaba's GPU cluster.
//!
//! **Invariant:** each row is one run, in the order of the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_engine::model::{InstanceType, Labels, OwnerKind, PodSpec, Resources};

use super::table::Table;
use super::{TraceError, lasted, scenario};
use crate::scenario::{Run, Scenario};

/// The columns that are used.
const REQUIRED: [&str; 7] =
    ["name", "cpu_milli", "memory_mib", "num_gpu", "creation_time", "deletion_time", "scheduled_time"];

/// Columns that may be there and say nothing that matters here.
const OPTIONAL: [&str; 4] = ["gpu_milli", "gpu_spec", "qos", "pod_phase"];

/// Reads the pods of a trace in the form of `openb_pod_list`.
///
/// # Errors
/// The first thing that is wrong.
pub fn openb(file: &str, text: &str, types: Vec<Arc<InstanceType>>) -> Result<Scenario, TraceError> {
    let table = Table::read(file, text, &REQUIRED, &OPTIONAL)?;
    let mut seen = BTreeMap::new();
    let mut runs = Vec::new();
    for row in table.rows() {
        let name = row.name("name", &mut seen)?;
        let mut requests = Resources::from_iter([("pods", 1)]);
        requests.set("cpu", row.number("cpu_milli", 1, 10_000_000)?);
        requests.set("memory", row.number("memory_mib", 1 << 20, 1 << 30)?);
        requests.set("nvidia.com/gpu", row.number("num_gpu", 1, 1_024)?);
        let needed = |column: &str| {
            row.time(column)?
                .ok_or_else(|| row.error(column, "which is no time", "write seconds since the trace's start"))
        };
        let created = needed("creation_time")?;
        let deleted = needed("deletion_time")?;
        if deleted < created {
            return Err(row.error(
                "deletion_time",
                "which is before creation_time",
                "exchange the two, or remove the row",
            ));
        }
        let began = row.time("scheduled_time")?.unwrap_or(created);
        let spec = PodSpec {
            labels: Labels::from([("app".into(), "openb".into())]),
            requests,
            owner: OwnerKind::Controller,
            ..PodSpec::default()
        };
        runs.push((spec, Run { name: name.into(), at: created, duration: Some(lasted(began, deleted)) }));
    }
    Ok(scenario("openb", types, runs))
}
