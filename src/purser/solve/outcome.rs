//! What came of a problem, in the form in which it is printed.
//!
//! **Invariant:** what is printed of a claim is what its launch says: the zones and ways to buy of its places are among its requirements.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_engine::model::{Price, Requirement, Requirements, Str, Taint, TaintEffect, label};
use purser_engine::reason::Reason;
use purser_engine::schedule::{Launch, LaunchType, Plan, PoolOffer};
use serde::{Serialize, Serializer};

use super::devices::DeviceAllocation;
use super::eligible::Ignoring;
use super::world::World;

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
    /// Virtual pods of CapacityBuffers without a place, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub buffer_errors: BTreeMap<String, String>,
    /// Pods that wait, but are not the autoscaler's business.
    pub ignored_pods: Vec<String>,
    /// What the new nodes cost at least, in dollars.
    pub total_price_per_hour: f64,
    /// No valid result that places the same pods costs less, in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_bound_per_hour: Option<f64>,
    /// For pods without a place, what each NodePool lacked.
    #[serde(serialize_with = "shared_lists")]
    pub reasons: BTreeMap<String, Arc<[PodReason]>>,
    /// How many targets and sizes of nodes were looked at.
    pub work: u64,
    /// The devices that claims of pods get.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_allocations: Vec<DeviceAllocation>,
    /// Pods that have a place, in an order in which kube-scheduler can bind them one after the other.
    pub order: Vec<String>,
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
    #[serde(serialize_with = "shared_texts")]
    pub instance_types: Arc<[Str]>,
    /// What its pods and daemon pods ask for.
    pub resources: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<PrintedTaint>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The pods that it is for.
    pub pods: Vec<String>,
    /// The virtual pods of CapacityBuffers that it has room for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buffer_pods: Vec<String>,
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
#[serde(rename_all = "camelCase")]
pub struct ExistingNode {
    /// The Node, or the NodeClaim of one that is not there yet.
    pub node: String,
    /// The pods.
    pub pods: Vec<String>,
    /// The virtual pods of CapacityBuffers that it has room for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buffer_pods: Vec<String>,
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

/// Writes texts of which others have the same.
fn shared_texts<S: Serializer>(texts: &[Str], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts.iter().map(|text| &**text))
}

/// Writes lists of which some are the same.
fn shared_lists<T: Serialize, S: Serializer>(
    lists: &BTreeMap<String, Arc<[T]>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(lists.iter().map(|(key, list)| (key, &**list)))
}

/// Dollars, of billionths of one.
pub(super) fn usd(nano: Price) -> f64 {
    nano.0 as f64 / 1e9
}

/// The result, from what was planned.
pub(super) fn solution(world: &World, plan: &Plan, ignored: &Ignoring) -> Solution {
    let name = |pod: &usize| world.pods[*pod].key.to_string();
    let mut solution = Solution { work: plan.work, ..Solution::default() };
    let total = plan.launches.iter().map(cheapest).fold(Price(0), |sum, price| sum + price);
    solution.total_price_per_hour = usd(total);
    // Most launches name the same types as others.
    let mut named: BTreeMap<(usize, *const LaunchType), Arc<[Str]>> = BTreeMap::new();
    let new_claim = |launch: &Launch| {
        let types = named.entry((launch.pool, launch.types.as_ptr()));
        let types = Arc::clone(types.or_insert_with(|| type_names(&world.pools[launch.pool], launch)));
        new_claim(world, launch, types)
    };
    solution.new_node_claims = plan.launches.iter().map(new_claim).collect();
    solution.existing_nodes = plan
        .hosts
        .iter()
        .map(|(host, pods)| {
            let (pods, buffer_pods) = names(world, pods);
            ExistingNode { node: world.hosts[*host].name.to_string(), pods, buffer_pods }
        })
        .collect();
    solution.ignored_pods = ignored.keys().map(ToString::to_string).collect();
    solution.order = plan.order.iter().map(name).collect();
    for unplaced in &plan.unplaced {
        let printed: Arc<[PodReason]> = unplaced
            .reasons
            .iter()
            .enumerate()
            .map(|(rank, (pool, reason))| {
                let pool = pool.map(|pool| world.pools[pool].pool.name.to_string());
                printed(pool, reason, rank == 0)
            })
            .collect();
        for pod in &unplaced.pods {
            let why = unplaced.reasons.first().map(|(_, reason)| sentence(reason));
            let errors = match world.is_virtual(*pod) {
                false => &mut solution.pod_errors,
                true => &mut solution.buffer_errors,
            };
            errors.insert(name(pod), why.unwrap_or_default());
            solution.reasons.insert(name(pod), Arc::clone(&printed));
        }
    }
    solution
}

/// The names of pods, and those of virtual ones among them.
fn names(world: &World, pods: &[usize]) -> (Vec<String>, Vec<String>) {
    let named = pods.iter().map(|pod| (!world.is_virtual(*pod), world.pods[*pod].key.to_string()));
    let (pods, virtual_pods): (Vec<_>, Vec<_>) = named.partition(|(real, _)| *real);
    let bare = |named: Vec<(bool, String)>| named.into_iter().map(|(_, name)| name).collect();
    (bare(pods), bare(virtual_pods))
}

/// The price of the cheapest type, which is the first.
fn cheapest(launch: &Launch) -> Price {
    launch.types.first().map_or(Price(0), |one| one.price)
}

fn type_names(offer: &PoolOffer, launch: &Launch) -> Arc<[Str]> {
    launch.types.iter().map(|one| Str::clone(offer.types[one.type_at].name.as_shared())).collect()
}

fn new_claim(world: &World, launch: &Launch, instance_types: Arc<[Str]>) -> NewNodeClaim {
    let offer = &world.pools[launch.pool];
    let pool = &offer.pool;
    let mut labels: BTreeMap<String, String> =
        pool.template.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    labels.insert(label::NODEPOOL.to_owned(), pool.name.to_string());
    let price = cheapest(launch);
    let (pods, buffer_pods) = names(world, &launch.pods);
    NewNodeClaim {
        node_pool: pool.name.to_string(),
        requirements: launch_requirements(offer, launch)
            .iter()
            .flat_map(|(key, one)| expressions(key, one))
            .collect(),
        resources: launch
            .requests
            .iter()
            .map(|(name, amount)| (name.to_owned(), quantity(name, amount)))
            .collect(),
        taints: pool.template.taints.iter().map(taint).collect(),
        labels,
        pods,
        buffer_pods,
        cheapest_instance_type: instance_types.first().map(ToString::to_string).unwrap_or_default(),
        instance_types,
        cheapest_price: usd(price),
    }
}

/// What the node's labels satisfy, the zones and ways to buy of its types included.
pub(super) fn launch_requirements(offer: &PoolOffer, launch: &Launch) -> Requirements {
    let mut all = launch.requirements.clone();
    let offerings = || {
        launch.types.iter().flat_map(|one| {
            one.offerings.iter().map(|at| &offer.types[one.type_at].offerings[*at].requirements)
        })
    };
    for key in [label::ZONE, label::CAPACITY_TYPE] {
        let named = offerings().filter_map(|of| of.get(key)).filter(|one| !one.is_complement());
        let values: Vec<Str> = named.flat_map(|one| one.values().iter().cloned()).collect();
        if !values.is_empty() {
            let least = all.get(key).and_then(|one| one.min_values);
            let mut only = Requirement::one_of(values);
            only.min_values = least;
            all.add(key, only);
        }
    }
    all
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

fn printed(node_pool: Option<String>, reason: &Reason, nearest_miss: bool) -> PodReason {
    let params = reason.params.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    PodReason { node_pool, reason_id: reason.id.to_string(), params: params.collect(), nearest_miss }
}
