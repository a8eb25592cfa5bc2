//! Gauges: how State is, when somebody asks.
//!
//! **Invariant:** they are set all together from one State, and what is no more has none.

use std::collections::BTreeMap;

use prometheus::{Gauge, GaugeVec, IntGauge};
use purser_engine::decide::effective_zones;
use purser_engine::model::{DisruptionReason, PodPhase, PoolName, Resources, Time, label};
use purser_engine::settings::FeatureGate;
use purser_engine::state::{Plan, State};

use super::{Making, Metrics};

/// Labels of nodes that their metrics carry, with the label of the metric.
const NODE_LABELS: [(&str, &str); 8] = [
    ("nodepool", label::NODEPOOL),
    ("zone", label::ZONE),
    ("region", label::REGION),
    ("instance_type", label::INSTANCE_TYPE),
    ("arch", label::ARCH),
    ("os", label::OS),
    ("capacity_type", label::CAPACITY_TYPE),
    ("windows_build", label::WINDOWS_BUILD),
];

/// Reasons for which budgets are asked.
const BUDGETED: [(&str, DisruptionReason); 3] = [
    ("Empty", DisruptionReason::Empty),
    ("Underutilized", DisruptionReason::Underutilized),
    ("Drifted", DisruptionReason::Drifted),
];

pub(super) struct Gauges {
    node_count: Gauge,
    synced: Gauge,
    unsynced_time: Gauge,
    utilization: GaugeVec,
    pool_limit: GaugeVec,
    pool_usage: GaugeVec,
    pool_cost: GaugeVec,
    pool_allowed: GaugeVec,
    pool_consuming: GaugeVec,
    eligible: GaugeVec,
    queue: GaugeVec,
    unschedulable: GaugeVec,
    ignored: Gauge,
    zones: GaugeVec,
    node_allocatable: GaugeVec,
    node_requests: GaugeVec,
    node_daemons: GaugeVec,
    node_lifetime: GaugeVec,
    pods: GaugeVec,
    pods_state: GaugeVec,
    pods_unstarted: GaugeVec,
    pods_unbound: GaugeVec,
    pods_provisioning_unbound: GaugeVec,
    pods_undecided: GaugeVec,
    claims: GaugeVec,
    cost: Gauge,
    gates: GaugeVec,
    pods_seen: IntGauge,
}

impl Gauges {
    pub(super) fn new(made: &Making<'_>) -> Result<Self, prometheus::Error> {
        let of_node: Vec<&str> =
            ["node_name", "phase", "managed"].into_iter().chain(NODE_LABELS.map(|(name, _)| name)).collect();
        let of_resource: Vec<&str> = of_node.iter().copied().chain(["resource_type"]).collect();
        let of_pod = [
            "name",
            "namespace",
            "owner",
            "node",
            "scheduled",
            "nodepool",
            "zone",
            "arch",
            "capacity_type",
            "instance_type",
            "phase",
            "ready",
            "managed",
        ];
        Ok(Self {
            node_count: made
                .gauge("karpenter_cluster_state_node_count", "Nodes and claims without a node yet.")?,
            synced: made.gauge("karpenter_cluster_state_synced", "Whether the cluster is listed.")?,
            unsynced_time: made.gauge(
                "karpenter_cluster_state_unsynced_time_seconds",
                "For how long the cluster has not been listed.",
            )?,
            utilization: made.gauges(
                "karpenter_cluster_utilization_percent",
                "What pods ask for, of what nodes have.",
                &["resource_type"],
            )?,
            pool_limit: made.gauges(
                "karpenter_nodepools_limit",
                "Limits of NodePools.",
                &["nodepool", "resource_type"],
            )?,
            pool_usage: made.gauges(
                "karpenter_nodepools_usage",
                "What the nodes of NodePools sum up to.",
                &["nodepool", "resource_type"],
            )?,
            pool_cost: made.gauges(
                "karpenter_nodepools_cost_total",
                "What the instances of NodePools cost an hour.",
                &["nodepool"],
            )?,
            pool_allowed: made.gauges(
                "karpenter_nodepools_allowed_disruptions",
                "How many nodes of NodePools may be removed now.",
                &["nodepool", "reason"],
            )?,
            pool_consuming: made.gauges(
                "karpenter_nodepools_nodes_consuming_budgets",
                "Nodes of NodePools that are being removed.",
                &["nodepool", "reason"],
            )?,
            eligible: made.gauges(
                "karpenter_voluntary_disruption_eligible_nodes",
                "Nodes that may be removed for a reason.",
                &["reason"],
            )?,
            queue: made.gauges(
                "karpenter_scheduler_queue_depth",
                "Pods that wait to be decided upon.",
                &["controller", "scheduling_id"],
            )?,
            unschedulable: made.gauges(
                "karpenter_scheduler_unschedulable_pods_count",
                "Pods that have no place.",
                &["controller"],
            )?,
            ignored: made.gauge(
                "karpenter_scheduler_ignored_pods_count",
                "Pods that wait and are held back: gated, or nominated by preemption.",
            )?,
            zones: made.gauges(
                "karpenter_scheduler_pending_pods_by_effective_zone_count",
                "Pods that wait and have no place yet, by the zone that their constraints leave: flexible for several, none for none.",
                &["controller", "zone"],
            )?,
            node_allocatable: made.gauges(
                "karpenter_nodes_allocatable",
                "What pods can use of nodes.",
                &of_resource,
            )?,
            node_requests: made.gauges(
                "karpenter_nodes_total_pod_requests",
                "What the pods of nodes ask for, those of daemon sets aside.",
                &of_resource,
            )?,
            node_daemons: made.gauges(
                "karpenter_nodes_total_daemon_requests",
                "What the daemon pods of nodes ask for.",
                &of_resource,
            )?,
            node_lifetime: made.gauges(
                "karpenter_nodes_current_lifetime_seconds",
                "How old nodes are.",
                &of_node,
            )?,
            pods: made.gauges("purser_pods", "Pods by where they are in their lives.", &["phase"])?,
            pods_state: made.gauges("karpenter_pods_state", "Pods, one by one.", &of_pod)?,
            pods_unstarted: made.gauges(
                "karpenter_pods_unstarted_time_seconds",
                "For how long pods have not been ready since their creation.",
                &["name", "namespace"],
            )?,
            pods_unbound: made.gauges(
                "karpenter_pods_unbound_time_seconds",
                "For how long pods have not been bound since their creation.",
                &["name", "namespace"],
            )?,
            pods_provisioning_unbound: made.gauges(
                "karpenter_pods_provisioning_unbound_time_seconds",
                "For how long pods with a planned place have not been bound since they were seen waiting.",
                &["name", "namespace"],
            )?,
            pods_undecided: made.gauges(
                "karpenter_pods_provisioning_scheduling_undecided_time_seconds",
                "For how long nothing has been decided for pods since they were seen waiting.",
                &["name", "namespace"],
            )?,
            claims: made.gauges(
                "purser_nodeclaims",
                "NodeClaims by where they are in their lives.",
                &["nodepool", "phase"],
            )?,
            cost: made.gauge("purser_cost_usd_per_hour", "What all instances cost an hour.")?,
            gates: made.gauges("purser_feature_gate_open", "Whether a feature gate is open.", &["gate"])?,
            pods_seen: made.whole("purser_pods_known", "Pods that are known.")?,
        })
    }
}

impl Metrics {
    /// Sets all gauges.
    pub(in crate::run) fn look(&self, state: &State, now: Time) {
        let gauges = &self.gauges;
        gauges.synced.set(1.0);
        gauges.unsynced_time.set(0.0);
        let without_node = state.claims.values().filter(|claim| claim.node.is_none()).count();
        gauges.node_count.set((state.nodes.len() + without_node) as f64);
        gauges.cost.set(state.price_per_hour().as_usd());
        for gate in FeatureGate::ALL {
            gauges
                .gates
                .with_label_values(&[gate.as_str()])
                .set(f64::from(state.settings.feature_gates.has(gate)));
        }
        self.look_at_pools(state, now);
        self.look_at_pods(state, now);
        self.look_at_nodes(state, now);
    }

    fn look_at_pools(&self, state: &State, now: Time) {
        let gauges = &self.gauges;
        let all = [&gauges.pool_limit, &gauges.pool_usage, &gauges.pool_cost, &gauges.pool_allowed];
        all.into_iter()
            .chain([&gauges.pool_consuming, &gauges.claims, &gauges.eligible])
            .for_each(GaugeVec::reset);
        let mut of_pools: BTreeMap<&PoolName, OfPool> = BTreeMap::new();
        let mut idle = 0;
        for claim in state.claims.values() {
            let Some(name) = &claim.pool else { continue };
            let pool = of_pools.entry(name).or_default();
            pool.usage.add(&claim.counted);
            pool.nodes += 1;
            pool.leaving += usize::from(claim.disrupting.is_some());
            pool.cost += claim.instance.as_ref().map_or(0.0, |instance| instance.price.as_usd());
            *pool.phases.entry(claim.phase().as_str()).or_default() += 1;
        }
        idle += state.claims.idle().count();
        gauges.eligible.with_label_values(&["empty"]).set(idle as f64);
        for (name, pool) in &state.pools {
            let (name, own) = (name.as_str(), of_pools.get(name).cloned().unwrap_or_default());
            for (resource, limit) in &pool.facts.limits.resources {
                let kind = resource_type(resource);
                gauges.pool_limit.with_label_values(&[name, &kind]).set(amount(resource, *limit));
            }
            if let Some(nodes) = pool.facts.limits.nodes {
                gauges.pool_limit.with_label_values(&[name, "nodes"]).set(f64::from(nodes));
            }
            for (reason, asked) in BUDGETED {
                let allowed = pool.facts.disruption.allowed(asked, own.nodes, now).min(own.nodes);
                let left = allowed.saturating_sub(own.leaving);
                gauges.pool_allowed.with_label_values(&[name, reason]).set(left as f64);
                gauges.pool_consuming.with_label_values(&[name, reason]).set(own.leaving as f64);
            }
        }
        for (name, own) in &of_pools {
            let name = name.as_str();
            for (resource, used) in own.usage.iter() {
                gauges
                    .pool_usage
                    .with_label_values(&[name, &resource_type(resource)])
                    .set(amount(resource, used));
            }
            gauges.pool_usage.with_label_values(&[name, "nodes"]).set(own.nodes as f64);
            gauges.pool_cost.with_label_values(&[name]).set(own.cost);
            for (phase, count) in &own.phases {
                gauges.claims.with_label_values(&[name, phase]).set(*count as f64);
            }
        }
    }

    fn look_at_pods(&self, state: &State, now: Time) {
        let gauges = &self.gauges;
        [&gauges.pods, &gauges.zones].into_iter().for_each(GaugeVec::reset);
        let mut phases: BTreeMap<&str, u64> = BTreeMap::new();
        for pod in state.pods.values() {
            *phases.entry(phase(pod.phase)).or_default() += 1;
        }
        for name in ["pending", "untried", "held", "bound", "terminating", "ended"] {
            let count = phases.get(name).copied().unwrap_or(0);
            gauges.pods.with_label_values(&[name]).set(count as f64);
        }
        gauges.pods_seen.set(i64::try_from(state.pods.len()).unwrap_or(i64::MAX));
        gauges.ignored.set(phases.get("held").copied().unwrap_or(0) as f64);
        let without = |pod: &&purser_engine::state::Pod| matches!(pod.plan, Plan::Unschedulable { .. });
        let unschedulable = state.unplanned().map(|(_, pod)| pod).filter(without).count();
        let queue = state.unplanned().count() - unschedulable;
        gauges.queue.with_label_values(&["provisioner", ""]).set(queue as f64);
        gauges.unschedulable.with_label_values(&["provisioner"]).set(unschedulable as f64);
        for (zone, count) in effective_zones(state, now) {
            gauges.zones.with_label_values(&["provisioner", zone.as_str()]).set(count as f64);
        }
        if self.detail.pods {
            self.look_at_each_pod(state);
            self.look_at_each_waiting_pod(state, now);
        }
    }

    fn look_at_each_waiting_pod(&self, state: &State, now: Time) {
        let gauges = &self.gauges;
        let all = [&gauges.pods_unbound, &gauges.pods_provisioning_unbound, &gauges.pods_undecided];
        all.into_iter().chain([&gauges.pods_unstarted]).for_each(GaugeVec::reset);
        for (key, pod) in state.pods.iter().filter(|(_, pod)| is_unbound(pod.phase)) {
            let set = |family: &GaugeVec, since: Time| {
                let waits = now.since(since).as_secs_f64().max(0.0);
                family.with_label_values(&[&*key.name, &*key.namespace]).set(waits);
            };
            set(&gauges.pods_unbound, pod.created);
            match pod.plan {
                Plan::None => set(&gauges.pods_undecided, pod.waiting_since),
                Plan::Nominated { .. } => set(&gauges.pods_provisioning_unbound, pod.waiting_since),
                Plan::Unschedulable { .. } => {}
            }
        }
        for (pod, seconds) in self.startups.unready(now) {
            gauges.pods_unstarted.with_label_values(&[&*pod.name, &*pod.namespace]).set(seconds);
        }
    }

    fn look_at_each_pod(&self, state: &State) {
        self.gauges.pods_state.reset();
        for (key, pod) in &state.pods {
            let node = pod.node.as_ref();
            let labels = node.and_then(|node| state.nodes.get(node)).map(|node| &node.facts.labels);
            let text = |key: &str| labels.and_then(|labels| labels.get(key)).map_or("", |value| value);
            let managed = node.is_some_and(|node| state.claim_of_node(node).is_some());
            let values = [
                &*key.name,
                &*key.namespace,
                "",
                node.map_or("", |node| node.as_str()),
                flag(node.is_some()),
                text(label::NODEPOOL),
                text(label::ZONE),
                text(label::ARCH),
                text(label::CAPACITY_TYPE),
                text(label::INSTANCE_TYPE),
                phase(pod.phase),
                "",
                flag(managed),
            ];
            self.gauges.pods_state.with_label_values(&values).set(1.0);
        }
    }

    fn look_at_nodes(&self, state: &State, now: Time) {
        let gauges = &self.gauges;
        let of_nodes =
            [&gauges.node_allocatable, &gauges.node_requests, &gauges.node_daemons, &gauges.node_lifetime];
        of_nodes.into_iter().for_each(GaugeVec::reset);
        let (mut offered, mut used) = (Resources::default(), Resources::default());
        for (name, node) in &state.nodes {
            offered.add(&node.facts.allocatable);
            let occupancy = state.occupancy(name);
            if let Some(occupancy) = occupancy {
                used.add(&occupancy.used);
            }
            if !self.detail.nodes {
                continue;
            }
            let claim = state.claim_of_node(name);
            let labels = NODE_LABELS.map(|(_, key)| node.facts.labels.get(key).map_or("", |value| value));
            let mut values =
                vec![name.as_str(), claim.map_or("", |claim| claim.phase().as_str()), flag(claim.is_some())];
            values.extend(labels);
            gauges.node_lifetime.with_label_values(&values).set(now.since(node.facts.created).as_secs_f64());
            let set = |family: &GaugeVec, amounts: &Resources| {
                for (resource, value) in amounts.iter() {
                    let kind = resource_type(resource);
                    let values: Vec<&str> = values.iter().copied().chain([kind.as_str()]).collect();
                    family.with_label_values(&values).set(amount(resource, value));
                }
            };
            set(&gauges.node_allocatable, &node.facts.allocatable);
            if let Some(occupancy) = occupancy {
                set(&gauges.node_requests, &occupancy.used.minus(&occupancy.used_by_daemons));
                set(&gauges.node_daemons, &occupancy.used_by_daemons);
            }
        }
        gauges.utilization.reset();
        for (resource, all) in offered.iter().filter(|(_, all)| *all > 0) {
            let percent = used.get(resource) as f64 / all as f64 * 100.0;
            gauges.utilization.with_label_values(&[&resource_type(resource)]).set(percent);
        }
    }
}

#[derive(Debug, Clone, Default)]
struct OfPool {
    usage: Resources,
    nodes: usize,
    leaving: usize,
    cost: f64,
    phases: BTreeMap<&'static str, u64>,
}

/// Cores are told of in whole ones, all else in its unit.
fn amount(resource: &str, amount: i64) -> f64 {
    match resource {
        "cpu" => amount as f64 / 1_000.0,
        _ => amount as f64,
    }
}

fn resource_type(resource: &str) -> String {
    resource.replace('-', "_")
}

const fn flag(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

const fn is_unbound(phase: PodPhase) -> bool {
    matches!(phase, PodPhase::Pending | PodPhase::Untried | PodPhase::Held)
}

const fn phase(phase: PodPhase) -> &'static str {
    match phase {
        PodPhase::Pending => "pending",
        PodPhase::Untried => "untried",
        PodPhase::Held => "held",
        PodPhase::Bound => "bound",
        PodPhase::Terminating => "terminating",
        PodPhase::Ended => "ended",
    }
}
