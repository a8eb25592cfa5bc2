//! Metrics: Karpenter's under Karpenter's names, and our own under `purser_`.
//!
//! Counters and histograms follow from the records of the log as they are written (`observe.rs`), gauges from State when somebody asks
//! (`gauges.rs`). The text is the classic one of Prometheus: the official crate writes OpenMetrics, whose counters lose the ending
//! `_total` in their type line, and scrapers of the classic text then do not know that they are counters.
//!
//! **Invariant:** a metric says what the log says, but for how soon pods become ready, which no decision looks at: that is told by the watch.

mod gauges;
mod observe;
mod process;

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, Opts, Registry, TextEncoder,
};
use purser_cluster::Startups;
use purser_engine::event::Divergence;

pub(super) use self::observe::{GoneClaim, may_end};

/// Whether metrics are also given for each node and each pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Detail {
    /// Of nodes and pools, as Karpenter does by default.
    pub(super) nodes: bool,
    /// Of each pod.
    pub(super) pods: bool,
}

/// All metrics of this replica.
pub(super) struct Metrics {
    registry: Registry,
    detail: Detail,
    provider: &'static str,
    counts: Counts,
    times: Times,
    own: Own,
    gauges: gauges::Gauges,
    startups: Startups,
}

/// Karpenter's counters.
struct Counts {
    claims_created: CounterVec,
    claims_terminated: CounterVec,
    claims_disrupted: CounterVec,
    nodes_created: CounterVec,
    nodes_terminated: CounterVec,
    nodes_drained: CounterVec,
    pods_disrupted: CounterVec,
    eviction_requests: CounterVec,
    pods_drained: CounterVec,
    decisions: CounterVec,
    decisions_by_pool: CounterVec,
    cloud_errors: CounterVec,
    interruptions: CounterVec,
}

/// Karpenter's durations.
struct Times {
    claim_termination: HistogramVec,
    instance_termination: HistogramVec,
    node_termination: HistogramVec,
    node_lifetime: HistogramVec,
    pods_bound: Histogram,
    pods_provisioning_bound: Histogram,
    scheduling_decision: Histogram,
    scheduling: HistogramVec,
    cloud: HistogramVec,
}

/// Our own.
struct Own {
    decisions: IntCounterVec,
    divergence: IntCounterVec,
    appends: Histogram,
    events: Counter,
    events_dropped: Counter,
    leader: IntGauge,
    term: IntGauge,
    log_size: IntGauge,
    sealed: IntGauge,
    bytes: IntGauge,
    seal_time: Gauge,
    stalled: Gauge,
    restarts: IntCounter,
}

impl Metrics {
    /// The metrics of a provider's controller, all at zero.
    ///
    /// # Errors
    /// If two metrics had the same name.
    pub(super) fn new(provider: &'static str, detail: Detail) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let made = Making { registry: &registry };
        let started = made.duration(
            "karpenter_pods_startup_duration_seconds",
            "From a pod's creation until it is ready.",
        )?;
        let metrics = Self {
            counts: made.counts()?,
            times: made.times()?,
            own: made.own()?,
            gauges: gauges::Gauges::new(&made)?,
            startups: Startups::new(move |seconds| started.observe(seconds)),
            detail,
            provider,
            registry: registry.clone(),
        };
        registry.register(Box::new(process::Process::new()?))?;
        let build = made.gauges(
            "karpenter_build_info",
            "The version that runs.",
            &["version", "goversion", "goarch", "commit"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION"), "rust", std::env::consts::ARCH, ""]).set(1.0);
        let build = made.gauges("purser_build_info", "The version that runs.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        Ok(metrics)
    }

    /// What is to be told how soon pods become ready.
    pub(super) fn startups(&self) -> &Startups {
        &self.startups
    }

    /// All of them, as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail, and what is registered can be encoded.
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }

    /// Whether this replica leads, and its term.
    pub(super) fn leads(&self, term: Option<u64>) {
        self.own.leader.set(i64::from(term.is_some()));
        self.own.term.set(term.map_or(0, |term| i64::try_from(term).unwrap_or(i64::MAX)));
    }

    /// How the journal is: records, of which sealed, its bytes if they were counted anew.
    pub(super) fn journal(&self, size: u64, sealed: u64, stalled_for: f64) {
        self.own.log_size.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.own.sealed.set(i64::try_from(sealed).unwrap_or(i64::MAX));
        self.own.stalled.set(stalled_for);
    }

    /// A segment was sealed at this moment, and so many bytes are in the folder now.
    pub(super) fn sealed(&self, at_seconds: f64, bytes: u64) {
        self.own.seal_time.set(at_seconds);
        self.own.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A batch took so long to become durable.
    pub(super) fn appended(&self, seconds: f64) {
        self.own.appends.observe(seconds);
    }

    /// An evaluation that placed pods took so long.
    pub(super) fn scheduled(&self, seconds: f64) {
        self.times.scheduling.with_label_values(&["provisioner"]).observe(seconds);
    }

    /// So many Kubernetes Events were sent and dropped so far.
    pub(super) fn told(&self, sent: u64, dropped: u64) {
        for (counter, now) in [(&self.own.events, sent), (&self.own.events_dropped, dropped)] {
            counter.inc_by((now as f64 - counter.get()).max(0.0));
        }
    }
}

/// Makes and registers.
struct Making<'a> {
    registry: &'a Registry,
}

impl Making<'_> {
    fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<CounterVec, prometheus::Error> {
        self.register(CounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::new(name, help)?)
    }

    fn whole(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help)?)
    }

    fn durations(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(name, help).buckets(seconds());
        self.register(HistogramVec::new(options, labels)?)
    }

    fn duration(&self, name: &str, help: &str) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(seconds()))?)
    }

    fn counts(&self) -> Result<Counts, prometheus::Error> {
        let disrupted = ["reason", "nodepool", "capacity_type", "consolidation_policy", "termination_mode"];
        Ok(Counts {
            claims_created: self.counters(
                "karpenter_nodeclaims_created_total",
                "NodeClaims that were launched.",
                &["reason", "nodepool", "min_values_relaxed"],
            )?,
            claims_terminated: self.counters(
                "karpenter_nodeclaims_terminated_total",
                "NodeClaims that are gone.",
                &["nodepool", "capacity_type", "zone"],
            )?,
            claims_disrupted: self.counters(
                "karpenter_nodeclaims_disrupted_total",
                "NodeClaims whose removal began.",
                &disrupted,
            )?,
            nodes_created: self.counters(
                "karpenter_nodes_created_total",
                "Nodes that were registered.",
                &["nodepool", "zone"],
            )?,
            nodes_terminated: self.counters(
                "karpenter_nodes_terminated_total",
                "Nodes of pools that are gone.",
                &["nodepool", "zone"],
            )?,
            nodes_drained: self.counters(
                "karpenter_nodes_drained_total",
                "Nodes that were drained.",
                &["nodepool"],
            )?,
            pods_disrupted: self.counters(
                "karpenter_pods_disruption_initiated_total",
                "Pods on nodes whose removal began.",
                &disrupted,
            )?,
            eviction_requests: self.counters(
                "karpenter_pods_eviction_requests_total",
                "Evictions by the code of the answer.",
                &["code"],
            )?,
            pods_drained: self.counters(
                "karpenter_pods_drained_total",
                "Pods that left a node that is removed.",
                &["reason"],
            )?,
            decisions: self.counters(
                "karpenter_voluntary_disruption_decisions_total",
                "Decisions to remove nodes voluntarily.",
                &["decision", "reason", "consolidation_type"],
            )?,
            decisions_by_pool: self.counters(
                "karpenter_voluntary_disruption_decisions_by_nodepool_total",
                "Decisions to remove nodes voluntarily, by pool.",
                &["nodepool", "decision", "reason", "consolidation_type"],
            )?,
            cloud_errors: self.counters(
                "karpenter_cloudprovider_errors_total",
                "Requests to the provider that failed.",
                &["controller", "method", "provider", "error"],
            )?,
            interruptions: self.counters(
                "karpenter_interruption_received_messages_total",
                "Notices of interruption.",
                &["message_type"],
            )?,
        })
    }

    fn times(&self) -> Result<Times, prometheus::Error> {
        let lifetimes: Vec<f64> = LIFETIME_MINUTES.iter().map(|minutes| minutes * 60.0).collect();
        let name = "karpenter_nodes_lifetime_duration_seconds";
        let lifetimes = HistogramOpts::new(name, "How old nodes of pools became.").buckets(lifetimes);
        Ok(Times {
            claim_termination: self.durations(
                "karpenter_nodeclaims_termination_duration_seconds",
                "From the beginning of a removal until the claim is gone.",
                &["nodepool"],
            )?,
            instance_termination: self.durations(
                "karpenter_nodeclaims_instance_termination_duration_seconds",
                "From the request to stop an instance until it is gone.",
                &["nodepool"],
            )?,
            node_termination: self.durations(
                "karpenter_nodes_termination_duration_seconds",
                "From the beginning of a removal until the node is gone.",
                &["nodepool"],
            )?,
            node_lifetime: self.register(HistogramVec::new(lifetimes, &["nodepool"])?)?,
            pods_bound: self.duration(
                "karpenter_pods_bound_duration_seconds",
                "From a pod's creation until it is bound.",
            )?,
            pods_provisioning_bound: self.duration(
                "karpenter_pods_provisioning_bound_duration_seconds",
                "From when a pod was seen waiting until it is bound, for pods that a place was planned for.",
            )?,
            scheduling_decision: self.duration(
                "karpenter_pods_scheduling_decision_duration_seconds",
                "From when a pod was seen waiting until it was first decided upon.",
            )?,
            scheduling: self.durations(
                "karpenter_scheduler_scheduling_duration_seconds",
                "How long evaluations took that decided upon pods.",
                &["controller"],
            )?,
            cloud: self.durations(
                "karpenter_cloudprovider_duration_seconds",
                "From a request to the provider until its outcome was seen.",
                &["controller", "method", "provider"],
            )?,
        })
    }

    fn own(&self) -> Result<Own, prometheus::Error> {
        let divergence = Opts::new(
            "purser_binding_divergence_total",
            "Pods that were bound otherwise than planned: other_node, equal_pod (changed places with an equal one), no_place (held to have none).",
        );
        let decisions = Opts::new("purser_decisions_total", "Decisions by kind.");
        let counter = |name: &str, help: &str| self.register(Counter::new(name, help)?);
        let own = Own {
            decisions: self.register(IntCounterVec::new(decisions, &["kind"])?)?,
            divergence: self.register(IntCounterVec::new(divergence, &["reason"])?)?,
            appends: self.duration(
                "purser_journal_append_duration_seconds",
                "How long batches took to become durable.",
            )?,
            events: counter("purser_kubernetes_events_total", "Kubernetes Events that were written.")?,
            events_dropped: counter(
                "purser_kubernetes_events_dropped_total",
                "Kubernetes Events that were dropped or could not be written.",
            )?,
            leader: self.whole("purser_leader", "Whether this replica leads.")?,
            term: self.whole("purser_term", "The fencing term of this replica while it leads.")?,
            log_size: self.whole("purser_journal_records", "Records in the log.")?,
            sealed: self.whole("purser_journal_sealed_records", "Records in sealed segments.")?,
            bytes: self.whole("purser_journal_bytes", "Bytes in the journal's folder at the last seal.")?,
            seal_time: self
                .gauge("purser_journal_last_seal_time_seconds", "When a segment was last sealed.")?,
            stalled: self
                .gauge("purser_journal_stalled_seconds", "For how long the journal has had no space.")?,
            restarts: self.register(IntCounter::new(
                "purser_journal_recoveries_total",
                "Recoveries of a damaged journal that this process recorded.",
            )?)?,
        };
        for reason in Divergence::ALL {
            own.divergence.with_label_values(&[reason.as_str()]);
        }
        Ok(own)
    }
}

/// Upper bounds of durations, from five milliseconds to ten minutes.
fn seconds() -> Vec<f64> {
    vec![
        0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
        1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0,
        40.0, 50.0, 60.0, 120.0, 150.0, 300.0, 450.0, 600.0,
    ]
}

/// Upper bounds of how old nodes become: a quarter of an hour to thirty days.
const LIFETIME_MINUTES: &[f64] = &[
    15.0, 30.0, 45.0, 60.0, 120.0, 240.0, 360.0, 480.0, 600.0, 720.0, 840.0, 960.0, 1_080.0, 1_200.0,
    1_320.0, 1_440.0, 2_880.0, 4_320.0, 5_760.0, 7_200.0, 8_640.0, 10_080.0, 14_400.0, 21_600.0, 28_800.0,
    36_000.0, 43_200.0,
];
