//! What came of a problem, in the form in which it is printed.
//!
//! **Invariant:** what is printed of a claim is what its launch says: the zones and ways to buy of its places are among its requirements.

use std::collections::BTreeMap;

use purser_engine::decide::{Note, Notes};
use purser_engine::event::{Decision, LaunchOption, Place, Target};
use purser_engine::model::{
    NodePool, PodKey, Price, Requirement, Requirements, Resources, Str, Taint, TaintEffect, label,
};
use purser_engine::reason::{Reason, ReasonId};
use purser_engine::state::State;
use serde::Serialize;

use super::eligible::Ignoring;

/// Where the pods of a problem go.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Solution {
    /// Nodes to launch.
    pub new_node_claims: Vec<NewNodeClaim>,
    /// Nodes that are there or on their way, and that take pods.
    pub existing_nodes: Vec<ExistingNode>,
    /// Pods without a place, and why.
    pub pod_errors: BTreeMap<String, String>,
    /// Pods that wait, but are not the autoscaler's business.
    pub ignored_pods: Vec<String>,
    /// What the new nodes cost at least, in dollars.
    pub total_price_per_hour: f64,
    /// No valid result that places the same pods costs less, in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_bound_per_hour: Option<f64>,
    /// For pods without a place, what each NodePool lacked.
    pub reasons: BTreeMap<String, Vec<PodReason>>,
    /// How many things were looked at.
    pub work: usize,
}

/// A node to launch.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewNodeClaim {
    /// Its NodePool.
    pub node_pool: String,
    /// What its labels must satisfy.
    pub requirements: Vec<Expression>,
    /// Instance types, cheapest first.
    pub instance_types: Vec<String>,
    /// What its pods and daemon pods ask for.
    pub resources: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<PrintedTaint>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The pods that it is for.
    pub pods: Vec<String>,
    /// The cheapest instance type.
    pub cheapest_instance_type: String,
    /// What it costs, in dollars.
    pub cheapest_price: f64,
}

/// A requirement on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Expression {
    /// The label.
    pub key: String,
    /// How to compare.
    pub operator: &'static str,
    /// What to compare with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// At least so many values must remain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_values: Option<u32>,
}

/// A taint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrintedTaint {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// The effect.
    pub effect: &'static str,
}

/// A node that takes pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExistingNode {
    /// The Node, or the NodeClaim of one that is not there yet.
    pub node: String,
    /// The pods.
    pub pods: Vec<String>,
}

/// What a NodePool lacked for a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodReason {
    /// The NodePool; none where the reason is about no pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_pool: Option<String>,
    /// The reason, from the registry.
    pub reason_id: String,
    /// What it is about.
    pub params: BTreeMap<String, String>,
    /// Whether this pool came nearest.
    pub nearest_miss: bool,
}

/// Dollars, of billionths of one.
pub(super) fn usd(nano: Price) -> f64 {
    nano.0 as f64 / 1e9
}

/// The result, from what was decided.
pub(super) fn solution(
    state: &State,
    decisions: &[Decision],
    notes: &Notes,
    waiting: &[PodKey],
    ignored: &Ignoring,
) -> Solution {
    let mut solution = Solution { work: notes.0.len(), ..Solution::default() };
    let mut existing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut placed: BTreeMap<&PodKey, ()> = BTreeMap::new();
    let mut failed: BTreeMap<&PodKey, &Reason> = BTreeMap::new();
    let mut total = Price(0);
    for decision in decisions {
        match decision {
            Decision::Nominate { target, pods } => {
                placed.extend(pods.iter().map(|pod| (pod, ())));
                existing.entry(host_name(state, target)).or_default().extend(names(pods));
            }
            Decision::Launch { pool, requirements, requests, pods, places, options, .. } => {
                placed.extend(pods.iter().map(|pod| (pod, ())));
                let Some(pool) = state.pools.get(pool) else { continue };
                let claim = new_claim(&pool.facts, requirements, requests, pods, places, options);
                total = total + options.first().map_or(Price(0), |option| option.price);
                solution.new_node_claims.push(claim);
            }
            Decision::Unschedulable { pods, reason } => {
                failed.extend(pods.iter().map(|pod| (pod, reason)));
            }
            _ => {}
        }
    }
    solution.total_price_per_hour = usd(total);
    solution.existing_nodes = existing.into_iter().map(|(node, pods)| ExistingNode { node, pods }).collect();
    solution.ignored_pods = ignored.keys().map(ToString::to_string).collect();
    let nothing = Reason::new(ReasonId::NoNodePool, []);
    for pod in waiting.iter().filter(|pod| !placed.contains_key(*pod)) {
        let reason = failed.get(pod).copied().unwrap_or(&nothing);
        solution.pod_errors.insert(pod.to_string(), sentence(reason));
        solution.reasons.insert(pod.to_string(), reasons(state, notes, pod, reason));
    }
    solution
}

/// The node of a target, or its claim where there is no node yet.
pub(super) fn host_name(state: &State, target: &Target) -> String {
    match target {
        Target::Node(node) => node.to_string(),
        Target::Claim(claim) => {
            let node = state.claims.get(claim).and_then(|claim| claim.node.as_ref());
            node.map_or_else(|| claim.to_string(), ToString::to_string)
        }
    }
}

fn names(pods: &[PodKey]) -> impl Iterator<Item = String> + '_ {
    pods.iter().map(ToString::to_string)
}

fn new_claim(
    pool: &NodePool,
    requirements: &Requirements,
    requests: &Resources,
    pods: &[PodKey],
    places: &[Place],
    options: &[LaunchOption],
) -> NewNodeClaim {
    let used = options.iter().fold(0, |used, option| used | option.places);
    let used = places.iter().enumerate().filter(|(at, _)| used & (1 << at) != 0).map(|(_, place)| place);
    let mut requirements = requirements.clone();
    let zones = used.clone().map(|place| place.zone.as_shared().clone());
    requirements.add(label::ZONE, Requirement::one_of(zones));
    let capacity_types = used.map(|place| Str::from(place.capacity_type.as_str()));
    requirements.add(label::CAPACITY_TYPE, Requirement::one_of(capacity_types));
    let mut labels: BTreeMap<String, String> =
        pool.template.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    labels.insert(label::NODEPOOL.to_owned(), pool.name.to_string());
    let cheapest = options.first();
    NewNodeClaim {
        node_pool: pool.name.to_string(),
        requirements: requirements.iter().flat_map(|(key, one)| expressions(key, one)).collect(),
        instance_types: options.iter().map(|option| option.instance_type.to_string()).collect(),
        resources: requests.iter().map(|(name, amount)| (name.to_owned(), quantity(name, amount))).collect(),
        taints: pool.template.taints.iter().map(taint).collect(),
        labels,
        pods: names(pods).collect(),
        cheapest_instance_type: cheapest.map(|option| option.instance_type.to_string()).unwrap_or_default(),
        cheapest_price: usd(cheapest.map_or(Price(0), |option| option.price)),
    }
}

/// A requirement as people write it; one with values and bounds takes several.
fn expressions(key: &str, requirement: &Requirement) -> Vec<Expression> {
    let one = |operator, values| Expression { key: key.to_owned(), operator, values, min_values: None };
    let values: Vec<String> = requirement.values().iter().map(ToString::to_string).collect();
    let mut all = match (requirement.is_complement(), values.is_empty()) {
        (false, true) => vec![one("DoesNotExist", values)],
        (false, false) => vec![one("In", values)],
        (true, false) => vec![one("NotIn", values)],
        (true, true) => Vec::new(),
    };
    let (lower, upper) = requirement.bounds();
    all.extend(lower.map(|bound| one("Gte", vec![bound.to_string()])));
    all.extend(upper.map(|bound| one("Lte", vec![bound.to_string()])));
    if all.is_empty() {
        all.push(one("Exists", Vec::new()));
    }
    all[0].min_values = requirement.min_values;
    all
}

fn taint(taint: &Taint) -> PrintedTaint {
    let effect = match taint.effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    };
    PrintedTaint { key: taint.key.to_string(), value: taint.value.to_string(), effect }
}

/// An amount as a Kubernetes quantity.
fn quantity(name: &str, amount: i64) -> String {
    match name {
        "cpu" if amount % 1_000 == 0 => (amount / 1_000).to_string(),
        "cpu" => format!("{amount}m"),
        _ => {
            let units = [("Gi", 1i64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
            let unit = units.iter().find(|(_, size)| amount != 0 && amount % size == 0);
            unit.map_or_else(|| amount.to_string(), |(unit, size)| format!("{}{unit}", amount / size))
        }
    }
}

/// A reason as a sentence, with what it is about.
fn sentence(reason: &Reason) -> String {
    let params: Vec<String> = reason.params.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let about = if params.is_empty() { String::new() } else { format!(" [{}]", params.join(", ")) };
    format!("{}{about}", reason.id.meaning().trim())
}

/// What each pool lacked for a pod, with the reason that was decided upon.
fn reasons(state: &State, notes: &Notes, pod: &PodKey, decided: &Reason) -> Vec<PodReason> {
    let spec = state.pods.get(pod).map(|pod| pod.spec);
    let mut all: Vec<PodReason> = Vec::new();
    for note in &notes.0 {
        if let Note::PoolRejected { spec: of, pool, reason } = note
            && Some(*of) == spec
        {
            let one = printed(Some(pool.to_string()), reason, reason == decided);
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    if !all.iter().any(|reason| reason.nearest_miss) {
        all.push(printed(None, decided, true));
    }
    all
}

fn printed(node_pool: Option<String>, reason: &Reason, nearest_miss: bool) -> PodReason {
    let params = reason.params.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    PodReason { node_pool, reason_id: reason.id.to_string(), params: params.collect(), nearest_miss }
}
