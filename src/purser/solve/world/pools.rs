//! The NodePools of a scenario with what they can launch.
//!
//! **Invariant:** of several instance types of one name the first counts, and what leaves counts against no limit.

use super::super::eligible::leaving_instances;
use purser_api::scenario::{
    FeatureGate, Overhead, Scenario, ScenarioClaim, ScenarioOffering, ScenarioSettings, ScenarioType,
};
use purser_engine::model::{
    CapacityType, InstanceId, InstanceType, PodSpec, PoolName, Price, Resources, Str, TypeName, label,
};
use purser_engine::schedule::{BuyOption, PoolOffer, TypeOffer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// NodePools with what they can launch, heaviest first.
pub(super) fn pools(scenario: &Scenario, daemons: Vec<Arc<PodSpec>>) -> Vec<PoolOffer> {
    let leaving = leaving_instances(scenario);
    let mut lists: BTreeMap<*const Vec<ScenarioType>, Arc<Vec<Arc<TypeOffer>>>> = BTreeMap::new();
    let daemons = Arc::new(daemons.into_iter().filter(|spec| counts(scenario, spec)).collect::<Vec<_>>());
    let machines: BTreeMap<&InstanceId, &Resources> = scenario
        .nodes
        .iter()
        .filter_map(|node| Some((node.facts.instance.as_ref()?, &node.capacity)))
        .collect();
    let mut pools: Vec<PoolOffer> = Vec::new();
    for pool in &scenario.pools {
        let list = scenario.types_by_pool.get(&pool.name).unwrap_or(&scenario.types);
        if scenario.type_errors.contains_key(&pool.name) || list.is_empty() {
            continue;
        }
        let types = lists.entry(Arc::as_ptr(list)).or_insert_with(|| {
            let mut types: Vec<Arc<TypeOffer>> =
                list.iter().map(|one| Arc::new(type_offer(&scenario.settings, one))).collect();
            // Of two of one name the first counts.
            types.sort_by(|a, b| a.name.cmp(&b.name));
            types.dedup_by(|b, a| a.name == b.name);
            Arc::new(types)
        });
        pools.push(PoolOffer {
            types: Arc::clone(types),
            used: used(scenario, &pool.name, &leaving, &machines),
            daemons: Arc::clone(&daemons),
            pool: Arc::new(pool.clone()),
        });
    }
    // Karpenter's order: weight, then name, both descending.
    pools.sort_by(|a, b| (b.pool.weight, &b.pool.name).cmp(&(a.pool.weight, &a.pool.name)));
    pools
}

/// Whether daemon pods are reckoned with: not those with claims, while claims are ignored.
pub(super) fn counts(scenario: &Scenario, spec: &PodSpec) -> bool {
    !scenario.settings.ignore_dra_requests || spec.resource_claims.is_empty()
}

/// What the nodes of a pool sum up to, those that leave apart.
fn used(
    scenario: &Scenario,
    pool: &PoolName,
    leaving: &BTreeSet<InstanceId>,
    machines: &BTreeMap<&InstanceId, &Resources>,
) -> (Resources, u32) {
    let mut sum = (Resources::default(), 0);
    let stays = |instance: &Option<InstanceId>| instance.as_ref().is_none_or(|one| !leaving.contains(one));
    let mut claimed: BTreeSet<&InstanceId> = BTreeSet::new();
    for ScenarioClaim { facts } in &scenario.claims {
        claimed.extend(&facts.instance);
        if facts.pool.as_ref() == Some(pool) && stays(&facts.instance) {
            let machine = facts.instance.as_ref().and_then(|instance| machines.get(instance));
            // What the machine says of itself goes before what was expected of it.
            let mut capacity = machine.map(|&capacity| capacity.clone()).unwrap_or_default();
            for (name, amount) in facts.capacity.iter() {
                if capacity.get(name) == 0 {
                    capacity.set(name, amount);
                }
            }
            sum.0.add(&capacity);
            sum.1 += 1;
        }
    }
    for node in &scenario.nodes {
        let of_pool = node.facts.labels.get(label::NODEPOOL) == Some(pool.as_shared());
        let known = node.facts.instance.as_ref().is_some_and(|instance| claimed.contains(instance));
        if of_pool && !known && stays(&node.facts.instance) {
            sum.0.add(&node.capacity);
            sum.1 += 1;
        }
    }
    sum
}

/// An instance type, with an amount of allocatable resources for each kind of offering.
fn type_offer(settings: &ScenarioSettings, one: &ScenarioType) -> TypeOffer {
    let label = &settings.reservation_label;
    let usable = |offering: &ScenarioOffering| {
        offering.capacity_type() != Some(CapacityType::Reserved)
            || settings.feature_gates.has(FeatureGate::ReservedCapacity)
    };
    let mut allocatable = vec![allocatable(&one.capacity, &one.overhead)];
    let offerings = one.offerings.iter().map(|offering| BuyOption {
        requirements: Arc::clone(&offering.requirements),
        price: Price(offering.price_nano_usd),
        available: offering.available && usable(offering),
        allocatable: allocatable_of(one, offering, &mut allocatable),
        reservation: reservation(label, offering),
    });
    let offerings = offerings.collect();
    TypeOffer {
        name: one.name.clone(),
        requirements: one.requirements.clone(),
        capacity: one.capacity.clone(),
        allocatable,
        offerings,
    }
}

/// The reservation that an offering draws on, and how many instances it has left.
fn reservation(label: &str, offering: &ScenarioOffering) -> Option<(Str, u32)> {
    let reserved = offering.capacity_type() == Some(CapacityType::Reserved);
    let id = offering.label(label).filter(|_| reserved)?;
    Some((id.clone(), offering.reservation_capacity.unwrap_or(0)))
}

/// Which of a type's allocatable amounts an offering has; one that is not among them is added.
fn allocatable_of(one: &ScenarioType, offering: &ScenarioOffering, known: &mut Vec<Resources>) -> usize {
    let Some(own) = &offering.overridden else { return 0 };
    let over = |base: &Resources, other: &Resources| {
        let mut all = base.clone();
        other.iter().for_each(|(name, amount)| all.set(name, amount));
        all
    };
    let capacity = over(&one.capacity, &own.capacity);
    let overhead = Overhead {
        kube_reserved: over(&one.overhead.kube_reserved, &own.overhead.kube_reserved),
        system_reserved: over(&one.overhead.system_reserved, &own.overhead.system_reserved),
        eviction_threshold: over(&one.overhead.eviction_threshold, &own.overhead.eviction_threshold),
    };
    let own = allocatable(&capacity, &overhead);
    known.iter().position(|other| *other == own).unwrap_or_else(|| {
        known.push(own);
        known.len() - 1
    })
}

fn allocatable(capacity: &Resources, overhead: &Overhead) -> Resources {
    let (capacity, overhead) = (capacity.clone(), overhead.total());
    let name = TypeName::from("");
    let bare =
        InstanceType { name, requirements: Default::default(), capacity, overhead, offerings: Vec::new() };
    bare.allocatable()
}
