//! What a run came to, for people and for programs.
//!
//! **Invariant:** but for what is under `wall`, every figure is a function of the input and the seed, and an integer.

use std::collections::BTreeMap;

use purser_engine::controller::limits::refusals;
use purser_engine::model::{InstanceType, Money, NodePool, Offering, PodPhase, Price, Span, Time};
use purser_engine::state::{Plan, State};
use purser_events::journal::ArchiveStatus;
use purser_sim::bound::{BoundType, PodClass, Run, bound_over_time};
use purser_sim::report::{Report, Sample};
use serde::Serialize;

use super::input::Input;
use super::run::Finished;
use crate::output;

/// The lower bound is computed over at most so many intervals of equal length.
const BOUND_INTERVALS: i64 = 288;

/// ... and solves at most so many linear programs.
const BOUND_PROGRAMS: usize = 48;

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    scenario: String,
    seed: u64,
    faults: &'static str,
    start: String,
    end: String,
    simulated_seconds: i64,
    cost_microusd: i64,
    /// What any fleet that ran the same pods at the same times would have cost at least.
    lower_bound_microusd: i64,
    /// Cost over lower bound, in thousandths.
    cost_to_bound_permille: Option<i64>,
    node_seconds: BTreeMap<String, i64>,
    node_seconds_by_nodepool: BTreeMap<String, i64>,
    utilisation_permille: Utilisation,
    pending_us: Pending,
    pods: Pods,
    launches: u64,
    removals: u64,
    evictions: u64,
    evictions_refused: u64,
    interruptions: u64,
    sudden_deaths: u64,
    insufficient_capacity: u64,
    peak_nodes: u64,
    nodes_at_end: usize,
    /// Objects that are too large to record, each with its field and the remedy.
    refused: Vec<String>,
    journal: JournalFigures,
    samples: Vec<SampleFigures>,
    wall: Wall,
}

#[derive(Debug, Serialize)]
struct Utilisation {
    cpu: u32,
    memory: u32,
}

#[derive(Debug, Serialize)]
struct Pending {
    p50: i64,
    p99: i64,
    max: i64,
}

#[derive(Debug, Serialize)]
struct Pods {
    created: u64,
    bound: u64,
    completed: u64,
    ended_with_their_node: u64,
    without_a_node: BTreeMap<String, u64>,
    lost: u64,
}

#[derive(Debug, Serialize)]
struct JournalFigures {
    folder: String,
    records: u64,
    /// The first that is kept.
    first_record: u64,
    root: String,
    segments: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<ArchiveStatus>,
    bytes: u64,
    /// Bytes a record, in hundredths.
    bytes_per_record_hundredths: u64,
}

#[derive(Debug, Serialize)]
struct SampleFigures {
    at: String,
    nodes: u64,
    microusd_per_hour: i64,
    pending: u64,
}

#[derive(Debug, Serialize)]
struct Wall {
    seconds: f64,
    records_per_second: f64,
}

impl Summary {
    /// Sums a run up.
    pub(super) fn new(input: &Input, finished: &Finished, wall_seconds: f64) -> Self {
        let report = &finished.report;
        let bound = lower_bound(input, finished);
        let journal = &finished.journal;
        let seconds = |span: &Span| span.0 / 1_000_000;
        Self {
            scenario: report.scenario.to_string(),
            seed: report.seed,
            faults: input.fault_level.as_str(),
            start: report.start.to_string(),
            end: report.end.to_string(),
            simulated_seconds: seconds(&report.end.since(report.start)),
            cost_microusd: report.cost.0,
            lower_bound_microusd: bound.0,
            cost_to_bound_permille: (bound.0 > 0).then(|| permille(report.cost, bound)),
            node_seconds: report
                .node_hours_by_capacity_type
                .iter()
                .map(|(k, v)| (k.to_string(), seconds(v)))
                .collect(),
            node_seconds_by_nodepool: report
                .node_hours_by_pool
                .iter()
                .map(|(k, v)| (k.to_string(), seconds(v)))
                .collect(),
            utilisation_permille: Utilisation {
                cpu: report.cpu_utilisation,
                memory: report.memory_utilisation,
            },
            pending_us: Pending {
                p50: report.pending_median.0,
                p99: report.pending_p99.0,
                max: report.pending_max.0,
            },
            pods: Pods {
                created: report.pods_created,
                bound: report.pods_bound,
                completed: report.pods_completed,
                ended_with_their_node: report.pods_lost_with_node,
                without_a_node: without_a_node(report, &finished.state),
                lost: report.pods_lost,
            },
            launches: report.launches,
            removals: report.removals,
            evictions: report.evictions,
            evictions_refused: report.refused_evictions,
            interruptions: report.interruptions,
            sudden_deaths: report.sudden_deaths,
            insufficient_capacity: report.insufficient_capacity,
            peak_nodes: report.peak_nodes,
            nodes_at_end: finished.state.nodes.len(),
            refused: refusals(&finished.state),
            journal: JournalFigures {
                folder: finished.folder.display().to_string(),
                records: journal.records,
                first_record: journal
                    .segments
                    .first()
                    .and_then(|segment| segment.header.as_ref())
                    .map_or(0, |header| header.first_seq),
                root: journal.root.map_or_else(String::new, |root| root.to_string()),
                segments: journal.segments.len(),
                archive: finished.archive.clone(),
                bytes: journal.total_bytes,
                bytes_per_record_hundredths: (journal.total_bytes * 100)
                    .checked_div(journal.records)
                    .unwrap_or(0),
            },
            samples: report.samples.iter().map(SampleFigures::from).collect(),
            wall: Wall {
                seconds: wall_seconds,
                records_per_second: journal.records as f64 / wall_seconds.max(1e-9),
            },
        }
    }

    /// For people: a table and two sparklines.
    pub(super) fn for_people(&self) -> String {
        let mut table = output::table(&["", ""]);
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        let hours = |seconds: i64| format!("{}.{} h", seconds / 3_600, seconds % 3_600 / 360);
        row("scenario", format!("{}, seed {}, faults {}", self.scenario, self.seed, self.faults));
        row("simulated time", format!("{} to {}", self.start, self.end));
        row("cost", Money(self.cost_microusd).to_string());
        let over = self
            .cost_to_bound_permille
            .map_or_else(String::new, |p| format!(" (cost is {}.{:03} of it)", p / 1_000, p % 1_000));
        row("lower bound", format!("{}{over}", Money(self.lower_bound_microusd)));
        let kinds = |by: &BTreeMap<String, i64>| {
            by.iter().map(|(k, v)| format!("{k} {}", hours(*v))).collect::<Vec<_>>().join(", ")
        };
        row("node hours", kinds(&self.node_seconds));
        row("  by nodepool", kinds(&self.node_seconds_by_nodepool));
        let percent = |permille: u32| format!("{}.{} %", permille / 10, permille % 10);
        row(
            "utilisation",
            format!(
                "cpu {}, memory {}",
                percent(self.utilisation_permille.cpu),
                percent(self.utilisation_permille.memory)
            ),
        );
        let span = |us: i64| Span(us / 1_000 * 1_000).to_string();
        row(
            "pods waited",
            format!(
                "p50 {}, p99 {}, max {}",
                span(self.pending_us.p50),
                span(self.pending_us.p99),
                span(self.pending_us.max)
            ),
        );
        row(
            "pods",
            format!(
                "{} created, {} ran, {} to their end, {} lost their node, {} lost for good",
                self.pods.created,
                self.pods.bound,
                self.pods.completed,
                self.pods.ended_with_their_node,
                self.pods.lost
            ),
        );
        for (why, count) in &self.pods.without_a_node {
            row("  without a node", format!("{count}: {why}"));
        }
        row(
            "nodes",
            format!(
                "{} launched, {} removed, {} at once at most, {} at the end",
                self.launches, self.removals, self.peak_nodes, self.nodes_at_end
            ),
        );
        row("evictions", format!("{}, {} refused for a budget", self.evictions, self.evictions_refused));
        row(
            "faults met",
            format!(
                "{} interruptions, {} sudden deaths, {} times no capacity",
                self.interruptions, self.sudden_deaths, self.insufficient_capacity
            ),
        );
        for refusal in &self.refused {
            row("refused", refusal.clone());
        }
        let bytes = self.journal.bytes_per_record_hundredths;
        row(
            "journal",
            format!(
                "{} records in {} segments, {} bytes ({}.{:02} a record)",
                self.journal.records,
                self.journal.segments,
                self.journal.bytes,
                bytes / 100,
                bytes % 100
            ),
        );
        if self.journal.first_record > 0 {
            row("  kept", format!("from record {} on", self.journal.first_record));
        }
        if let Some(archive) = &self.journal.archive {
            let folder = archive.folder.display();
            row(
                "  archive",
                match &archive.last_error {
                    None => format!("{folder}: has every sealed segment"),
                    Some(error) => {
                        format!("{folder}: {} segments are not there: {error}", archive.pending.len())
                    }
                },
            );
        }
        row("  Merkle root", self.journal.root.clone());
        row(
            "took",
            format!("{:.1} s ({:.0} records a second)", self.wall.seconds, self.wall.records_per_second),
        );
        let of = |f: fn(&SampleFigures) -> i64| self.samples.iter().map(f).collect::<Vec<_>>();
        let nodes = of(|sample| i64::try_from(sample.nodes).unwrap_or(i64::MAX));
        let cost = of(|sample| sample.microusd_per_hour);
        let most = |values: &[i64]| values.iter().copied().max().unwrap_or(0);
        format!(
            "{table}\nnodes   {}  at most {}\ncost/h  {}  at most {}",
            sparkline(&nodes),
            most(&nodes),
            sparkline(&cost),
            Price(most(&cost))
        )
    }
}

impl From<&Sample> for SampleFigures {
    fn from(sample: &Sample) -> Self {
        Self {
            at: sample.at.to_string(),
            nodes: sample.nodes,
            microusd_per_hour: sample.price.0,
            pending: sample.pending,
        }
    }
}

/// Pods without a node by the reason: that no node could ever take them, or what the log says of why they wait.
fn without_a_node(report: &Report, state: &State) -> BTreeMap<String, u64> {
    let mut by_reason = report.never_ran.clone();
    for key in &report.waiting {
        let why = match state.pods.get(key) {
            None => "still waiting: not seen yet".to_owned(),
            Some(pod) if state.spec(pod.spec).is_daemon() => "still waiting: a daemon pod".to_owned(),
            Some(pod) if pod.phase == PodPhase::Untried => {
                "still waiting: not tried by the scheduler yet".to_owned()
            }
            Some(pod) if pod.phase == PodPhase::Held => "still waiting: held back".to_owned(),
            Some(pod) => match &pod.plan {
                Plan::Unschedulable { reason, .. } => format!("still waiting: {reason}"),
                Plan::Nominated { .. } => "still waiting: expected on a node".to_owned(),
                Plan::None => "still waiting: not decided about yet".to_owned(),
            },
        };
        *by_reason.entry(why).or_default() += 1;
    }
    by_reason
}

fn permille(part: Money, whole: Money) -> i64 {
    i64::try_from(i128::from(part.0) * 1_000 / i128::from(whole.0)).unwrap_or(i64::MAX)
}

/// The least that any fleet would have cost which ran each pod when it ran, at the cheapest prices that there were.
fn lower_bound(input: &Input, finished: &Finished) -> Money {
    let report = &finished.report;
    let pools = &input.scenario.pools;
    let offers: Vec<_> = input
        .scenario
        .types
        .iter()
        .filter_map(|offer| {
            // The cheapest offering of the type that any pool allows.
            let cheapest = offer
                .offerings
                .iter()
                .filter(|o| pools.iter().any(|pool| allows(pool, offer, o)))
                .map(|o| o.price)
                .min()?;
            Some((offer, cheapest))
        })
        .collect();
    let types: Vec<BoundType> = offers
        .iter()
        .map(|(offer, price)| BoundType { allocatable: offer.allocatable(), price: *price })
        .collect();
    let classes: Vec<PodClass> = report
        .specs
        .iter()
        .map(|spec| {
            let wanted = spec.node_alternatives();
            let allowed = offers
                .iter()
                .map(|(offer, _)| {
                    wanted.iter().any(|wanted| offer.requirements.first_conflict(wanted, |_| true).is_none())
                })
                .collect();
            PodClass { requests: spec.requests.clone(), allowed }
        })
        .collect();
    let runs: Vec<Run> = report
        .ran
        .iter()
        .map(|ran| Run { class: ran.class as usize, start: ran.start, end: ran.end })
        .collect();
    let length = report.end.since(report.start).0;
    let instants: Vec<Time> = (0..=BOUND_INTERVALS)
        .map(|i| {
            report.start + Span((i128::from(length) * i128::from(i) / i128::from(BOUND_INTERVALS)) as i64)
        })
        .collect();
    bound_over_time(&classes, &runs, &types, &instants, BOUND_PROGRAMS).cost
}

/// Whether a pool may buy an instance type so.
fn allows(pool: &NodePool, offer: &InstanceType, offering: &Offering) -> bool {
    let own = InstanceType::offering_requirements(offering);
    let wanted = &pool.template.requirements;
    offer.requirements.first_conflict(wanted, |_| true).is_none()
        && own.first_conflict(wanted, |_| true).is_none()
}

/// A line of at most 72 blocks, the highest value full.
fn sparkline(values: &[i64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 72;
    let most = values.iter().copied().max().unwrap_or(0);
    if most <= 0 {
        return BLOCKS[0].to_string().repeat(values.len().min(WIDTH));
    }
    let columns = values.len().min(WIDTH);
    (0..columns)
        .map(|column| {
            let of_column = &values[column * values.len() / columns..((column + 1) * values.len() / columns)];
            let value = of_column.iter().copied().max().unwrap_or(0).max(0);
            BLOCKS[(value as i128 * 7 / most as i128) as usize]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_scale_to_the_highest_and_fit_the_terminal() {
        assert_eq!(sparkline(&[0, 1, 2, 4, 8]), "▁▁▂▄█");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&(0..1_000).collect::<Vec<_>>()).chars().count(), 72);
    }
}
