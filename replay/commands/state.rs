//! `replay state`: the cluster as the log knew it at a moment.
//!
//! **Invariant:** every number is State's own; nothing is estimated.

use anyhow::Result;
use purser_engine::model::{PodPhase, Resources, Time};
use purser_engine::state::{Claim, Plan, Pod, State};
use serde::Serialize;

use crate::cli::StateArgs;
use crate::output::{Format, Out};
use crate::source::Log;
use crate::{Outcome, fold, sentence, text};

/// State as it is shown.
#[derive(Debug, Serialize)]
struct View {
    /// The number of records folded.
    size: u64,
    /// The moment that was asked for, up to which ages are reckoned.
    time: String,
    origin: String,
    stopped: bool,
    nodes: Vec<NodeView>,
    claims: Vec<ClaimView>,
    pools: Vec<PoolView>,
    waiting: Vec<PodView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pods: Option<Vec<PodView>>,
    totals: Totals,
}

#[derive(Debug, Serialize)]
struct NodeView {
    name: String,
    claim: Option<String>,
    pool: Option<String>,
    instance: Option<String>,
    instance_type: Option<String>,
    zone: Option<String>,
    capacity_type: Option<&'static str>,
    price_microusd_per_hour: Option<i64>,
    age_us: i64,
    pods: usize,
    cpu_used_millis: i64,
    cpu_allocatable_millis: i64,
    memory_used_bytes: i64,
    memory_allocatable_bytes: i64,
    status: String,
}

#[derive(Debug, Serialize)]
struct ClaimView {
    name: String,
    pool: Option<String>,
    phase: &'static str,
    instance: Option<String>,
    instance_type: Option<String>,
    age_us: i64,
    pods: usize,
}

#[derive(Debug, Serialize)]
struct PoolView {
    name: String,
    ready: bool,
    weight: u32,
    nodes: usize,
    cpu_millis: i64,
    memory_bytes: i64,
    /// What is used of each limit.
    limits: Vec<LimitView>,
    price_microusd_per_hour: i64,
}

#[derive(Debug, Serialize)]
struct LimitView {
    resource: String,
    used: i64,
    limit: i64,
}

#[derive(Debug, Serialize)]
struct PodView {
    name: String,
    phase: &'static str,
    node: Option<String>,
    cpu_millis: i64,
    memory_bytes: i64,
    age_us: i64,
    /// Why it waits, or where it is expected.
    plan: Option<String>,
}

#[derive(Debug, Serialize)]
struct Totals {
    nodes: usize,
    claims: usize,
    pods: usize,
    waiting: usize,
    price_microusd_per_hour: i64,
    cpu_used_millis: i64,
    cpu_allocatable_millis: i64,
    memory_used_bytes: i64,
    memory_allocatable_bytes: i64,
}

/// Shows State as of a moment.
///
/// # Errors
/// If the log cannot be read, or the moment is not in it.
pub fn run(log: &Log, arguments: &StateArgs, out: &mut Out<'_>) -> Result<Outcome> {
    let state = fold::state_at(log, log.size_at(arguments.at)?)?;
    let now = arguments.at.moment(log.end()?).map_or(state.now, |at| at.max(state.now));
    let view = view(&state, now, arguments.pods);
    match out.format {
        Format::Table => write(&state, &view, out)?,
        Format::Json | Format::Jsonl => out.document(&view)?,
    }
    Ok(Outcome::Fine)
}

fn view(state: &State, now: Time, all_pods: bool) -> View {
    let pods = |pods: &mut dyn Iterator<Item = (&purser_engine::model::PodKey, &Pod)>| {
        pods.map(|(key, pod)| pod_view(state, now, &key.to_string(), pod)).collect::<Vec<_>>()
    };
    let (offered, used) = state.utilisation();
    let waiting = pods(&mut state.waiting());
    View {
        size: state.size,
        time: text::exact_time(now),
        origin: state.origin.to_string(),
        stopped: state.stopped,
        nodes: state.nodes.keys().map(|name| node_view(state, now, name)).collect(),
        claims: state
            .claims
            .values()
            .filter(|claim| !has_node(state, claim))
            .map(|c| claim_view(now, c))
            .collect(),
        pools: state.pools.values().map(|pool| pool_view(state, &pool.facts)).collect(),
        pods: all_pods.then(|| pods(&mut state.pods.iter())),
        totals: Totals {
            nodes: state.nodes.len(),
            claims: state.claims.len(),
            pods: state.pods.len(),
            waiting: waiting.len(),
            price_microusd_per_hour: state.price_per_hour().0,
            cpu_used_millis: used.cpu_millis,
            cpu_allocatable_millis: offered.cpu_millis,
            memory_used_bytes: used.memory_bytes,
            memory_allocatable_bytes: offered.memory_bytes,
        },
        waiting,
    }
}

fn has_node(state: &State, claim: &Claim) -> bool {
    claim.node.as_ref().is_some_and(|node| state.nodes.contains_key(node))
}

fn node_view(state: &State, now: Time, name: &purser_engine::model::NodeName) -> NodeView {
    let facts = &state.nodes[name].facts;
    let claim = state.claim_of_node(name);
    let instance = claim.and_then(|claim| claim.instance.as_ref());
    let occupancy = state.occupancy(name);
    let used = occupancy.map(|occupancy| occupancy.used.clone()).unwrap_or_default();
    let mut status = vec![if facts.ready { "ready" } else { "not ready" }.to_owned()];
    if let Some(claim) = claim.filter(|claim| claim.initialized.is_none() || claim.disrupting.is_some()) {
        status.push(claim.phase().as_str().to_owned());
    }
    if let Some(disrupting) = claim.and_then(|claim| claim.disrupting.as_ref()) {
        status.push(disrupting.reason.to_string());
    }
    status.extend(facts.unschedulable.then(|| "cordoned".to_owned()));
    NodeView {
        name: name.to_string(),
        claim: claim.map(|claim| claim.name.to_string()),
        pool: claim.and_then(|claim| claim.pool.as_ref()).map(ToString::to_string),
        instance: facts.instance.as_ref().map(ToString::to_string),
        instance_type: instance.map(|instance| instance.instance_type.to_string()),
        zone: instance.map(|instance| instance.zone.to_string()),
        capacity_type: instance.map(|instance| instance.capacity_type.as_str()),
        price_microusd_per_hour: instance.map(|instance| instance.price.0),
        age_us: now.since(facts.created).0,
        pods: occupancy.map_or(0, |occupancy| occupancy.pods.len()),
        cpu_used_millis: used.cpu_millis,
        cpu_allocatable_millis: facts.allocatable.cpu_millis,
        memory_used_bytes: used.memory_bytes,
        memory_allocatable_bytes: facts.allocatable.memory_bytes,
        status: status.join(", "),
    }
}

fn claim_view(now: Time, claim: &Claim) -> ClaimView {
    ClaimView {
        name: claim.name.to_string(),
        pool: claim.pool.as_ref().map(ToString::to_string),
        phase: claim.phase().as_str(),
        instance: claim.instance.as_ref().map(|instance| instance.id.to_string()),
        instance_type: claim.instance.as_ref().map(|instance| instance.instance_type.to_string()),
        age_us: now.since(claim.created).0,
        pods: claim.planned.pods.len(),
    }
}

fn pool_view(state: &State, pool: &purser_engine::model::NodePool) -> PoolView {
    let (used, nodes) = state.pool_usage(&pool.name);
    let price = state.claims.values().filter(|claim| claim.pool.as_ref() == Some(&pool.name));
    let price = price.filter_map(|claim| claim.instance.as_ref()).map(|instance| instance.price.0).sum();
    let by_nodes = pool.limits.nodes.map(|limit| ("nodes".to_owned(), nodes as i64, i64::from(limit)));
    let by_resource =
        pool.limits.resources.iter().map(|(name, limit)| (name.to_string(), used.get(name), *limit));
    PoolView {
        name: pool.name.to_string(),
        ready: pool.ready,
        weight: pool.weight,
        nodes,
        cpu_millis: used.cpu_millis,
        memory_bytes: used.memory_bytes,
        limits: by_nodes
            .into_iter()
            .chain(by_resource)
            .map(|(resource, used, limit)| LimitView { resource, used, limit })
            .collect(),
        price_microusd_per_hour: price,
    }
}

fn pod_view(state: &State, now: Time, name: &str, pod: &Pod) -> PodView {
    let Resources { cpu_millis, memory_bytes, .. } = state.spec(pod.spec).requests;
    PodView {
        name: name.to_owned(),
        phase: sentence::of_phase(pod.phase),
        node: pod.node.as_ref().map(ToString::to_string),
        cpu_millis,
        memory_bytes,
        age_us: now.since(pod.created).0,
        plan: match &pod.plan {
            Plan::None if pod.phase == PodPhase::Pending && pod.node.is_none() => {
                Some("not looked at yet".to_owned())
            }
            Plan::None => None,
            Plan::Nominated { target, .. } => Some(format!("expected on {}", sentence::target(target))),
            Plan::Unschedulable { reason, .. } => Some(reason.to_string()),
        },
    }
}

fn write(state: &State, view: &View, out: &mut Out<'_>) -> Result<()> {
    let span = |us| text::span(purser_engine::model::Span(us));
    let price = |price| text::price(purser_engine::model::Price(price));
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let totals = &view.totals;
    let last = view.size.saturating_sub(1);
    out.line(&format!("{} at {}, after record {last}", view.origin, view.time))?;
    out.line(&format!(
        "{}, {} on the way, {}, {} waiting; {}; cpu {} of {} ({}), memory {} of {} ({})",
        text::count(totals.nodes, "node"),
        text::count(view.claims.len(), "claim"),
        text::count(totals.pods, "pod"),
        totals.waiting,
        price(totals.price_microusd_per_hour),
        text::cpu(totals.cpu_used_millis),
        text::cpu(totals.cpu_allocatable_millis),
        text::percent(totals.cpu_used_millis, totals.cpu_allocatable_millis),
        text::bytes(totals.memory_used_bytes),
        text::bytes(totals.memory_allocatable_bytes),
        text::percent(totals.memory_used_bytes, totals.memory_allocatable_bytes),
    ))?;
    if state.stopped {
        out.line("no controller is at work: nothing is decided until one starts")?;
    }
    out.line("")?;
    let header = [
        "NODE", "CLAIM", "POOL", "TYPE", "ZONE", "CAPACITY", "PRICE", "AGE", "PODS", "CPU", "MEMORY",
        "STATUS",
    ];
    let rows = view.nodes.iter().map(|node| {
        let of =
            |used: String, all: String, part, whole| format!("{used}/{all} {}", text::percent(part, whole));
        vec![
            node.name.clone(),
            dash(&node.claim),
            dash(&node.pool),
            dash(&node.instance_type),
            dash(&node.zone),
            node.capacity_type.unwrap_or("-").to_owned(),
            node.price_microusd_per_hour.map_or_else(|| "-".to_owned(), price),
            span(node.age_us),
            node.pods.to_string(),
            of(
                text::cpu(node.cpu_used_millis),
                text::cpu(node.cpu_allocatable_millis),
                node.cpu_used_millis,
                node.cpu_allocatable_millis,
            ),
            of(
                text::bytes(node.memory_used_bytes),
                text::bytes(node.memory_allocatable_bytes),
                node.memory_used_bytes,
                node.memory_allocatable_bytes,
            ),
            node.status.clone(),
        ]
    });
    out.table(&header, rows)?;
    if !view.claims.is_empty() {
        out.line("\nnodeclaims that are not nodes yet")?;
        let rows = view.claims.iter().map(|claim| {
            let Some(kind) = claim.instance_type.clone() else {
                return vec![
                    claim.name.clone(),
                    dash(&claim.pool),
                    claim.phase.to_owned(),
                    "-".into(),
                    span(claim.age_us),
                    claim.pods.to_string(),
                ];
            };
            vec![
                claim.name.clone(),
                dash(&claim.pool),
                claim.phase.to_owned(),
                kind,
                span(claim.age_us),
                claim.pods.to_string(),
            ]
        });
        out.table(&["CLAIM", "POOL", "PHASE", "TYPE", "AGE", "PODS"], rows)?;
    }
    out.line("\nnodepools")?;
    let rows = view.pools.iter().map(|pool| {
        let limit = |limit: &LimitView| {
            let amount = |number| text::amount(&limit.resource, number);
            format!("{} {}/{}", limit.resource, amount(limit.used), amount(limit.limit))
        };
        let limits: Vec<String> = pool.limits.iter().map(limit).collect();
        vec![
            pool.name.clone(),
            if pool.ready { "ready" } else { "not ready" }.to_owned(),
            pool.weight.to_string(),
            pool.nodes.to_string(),
            text::cpu(pool.cpu_millis),
            text::bytes(pool.memory_bytes),
            if limits.is_empty() { "none".to_owned() } else { limits.join(", ") },
            price(pool.price_microusd_per_hour),
        ]
    });
    out.table(&["POOL", "STATUS", "WEIGHT", "NODES", "CPU", "MEMORY", "LIMITS USED", "PRICE"], rows)?;
    let pods = |title: &str, pods: &[PodView], out: &mut Out<'_>| -> Result<()> {
        if pods.is_empty() {
            return Ok(());
        }
        out.line(title)?;
        let rows = pods.iter().map(|pod| {
            vec![
                pod.name.clone(),
                pod.phase.to_owned(),
                dash(&pod.node),
                text::cpu(pod.cpu_millis),
                text::bytes(pod.memory_bytes),
                span(pod.age_us),
                pod.plan.clone().unwrap_or_default(),
            ]
        });
        Ok(out.table(&["POD", "PHASE", "NODE", "CPU", "MEMORY", "AGE", "PLAN OR REASON"], rows)?)
    };
    pods("\npods that wait", &view.waiting, out)?;
    pods("\nall pods", view.pods.as_deref().unwrap_or_default(), out)
}
