//! Instances of Alibaba's recommendation models.
//!
//! `max_instance_per_node` is a cap on how many instances of an application are on one node. Kubernetes has
//! no such thing, but a spread constraint over host names comes to the same: with more domains asked for than
//! there can be, the emptiest counts as having none, so that `maxSkew` is the most that any node may have.
//!
//! **Invariant:** each row is one run, in the order of the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_engine::model::{
    InstanceType, LabelSelector, Labels, OwnerKind, PodSpec, Resources, Span, SpreadPolicy, Time,
    TopologySpread, Unsatisfiable, label,
};

use super::table::{Row, Table};
use super::{EPOCH, TraceError, lasted, scenario};
use crate::scenario::{Run, Scenario};

/// The columns that are used.
const REQUIRED: [&str; 10] = [
    "instance_sn",
    "app_name",
    "cpu_request",
    "gpu_request",
    "memory_request",
    "disk_request",
    "max_instance_per_node",
    "creation_time",
    "scheduled_time",
    "deletion_time",
];

/// Columns that may be there and say nothing that matters here.
const OPTIONAL: [&str; 7] =
    ["role", "cpu_limit", "gpu_limit", "rdma_request", "rdma_limit", "memory_limit", "disk_limit"];

/// More domains than there can be: the largest value that Kubernetes takes.
const NEVER_ENOUGH_DOMAINS: u32 = i32::MAX.unsigned_abs();

/// Reads the instances of a trace in the form of the disaggregated DLRM trace. What has no `creation_time` is
/// there at the start, and what has no `deletion_time` runs to the end, which is the last moment that the
/// trace names.
///
/// # Errors
/// The first thing that is wrong.
pub fn dlrm(file: &str, text: &str, types: Vec<Arc<InstanceType>>) -> Result<Scenario, TraceError> {
    let table = Table::read(file, text, &REQUIRED, &OPTIONAL)?;
    let mut seen = BTreeMap::new();
    let mut runs = Vec::new();
    let mut end = EPOCH;
    for row in table.rows() {
        let name = row.name("instance_sn", &mut seen)?;
        let created = row.time("creation_time")?;
        let scheduled = row.time("scheduled_time")?;
        let deleted = row.time("deletion_time")?;
        let at = created.unwrap_or(EPOCH);
        if deleted.is_some_and(|deleted| deleted < at) {
            return Err(row.error(
                "deletion_time",
                "which is before creation_time",
                "exchange the two, or remove the row",
            ));
        }
        end = [created, scheduled, deleted].into_iter().flatten().fold(end, Time::max);
        let duration = deleted.map(|deleted| lasted(scheduled.unwrap_or(at), deleted));
        runs.push((spec(&row)?, Run { name: name.into(), at, duration }));
    }
    let mut scenario = scenario("dlrm", types, runs);
    // A trace may hold nothing but what is there from the start.
    scenario.end = Some(end.max(EPOCH + Span::hours(1)));
    Ok(scenario)
}

fn spec(row: &Row<'_>) -> Result<PodSpec, TraceError> {
    let app = row.text("app_name");
    if app.is_empty() {
        return Err(row.error(
            "app_name",
            "which names nothing",
            "give every row the name of its application",
        ));
    }
    let labels = Labels::from([("app".into(), app.into()), ("role".into(), row.text("role").into())]);
    let mut requests = Resources::from_iter([("pods", 1)]);
    requests.set("cpu", row.number("cpu_request", 1_000, 10_000)?);
    requests.set("memory", row.number("memory_request", 1 << 30, 1 << 20)?);
    requests.set("ephemeral-storage", row.number("disk_request", 1 << 30, 1 << 20)?);
    requests.set("nvidia.com/gpu", row.number("gpu_request", 1, 1_024)?);
    let mut spread = Vec::new();
    if row.text("max_instance_per_node") != "-1" {
        let most = row.number("max_instance_per_node", 1, 1 << 20)?;
        let Some(max_skew) = u32::try_from(most).ok().filter(|most| *most > 0) else {
            return Err(row.error(
                "max_instance_per_node",
                "with which none may run",
                "write 1 or more, or -1 for no limit",
            ));
        };
        let by_app = Labels::from([("app".into(), app.into())]);
        spread.push(TopologySpread {
            topology_key: label::HOSTNAME.into(),
            max_skew,
            min_domains: Some(NEVER_ENOUGH_DOMAINS),
            when_unsatisfiable: Unsatisfiable::DoNotSchedule,
            selector: LabelSelector::from(&by_app),
            node_affinity_policy: SpreadPolicy::Honor,
            node_taints_policy: SpreadPolicy::Ignore,
        });
    }
    Ok(PodSpec { labels, requests, spread, owner: OwnerKind::Controller, ..PodSpec::default() })
}
