//! What the pools can launch: instance types with their offerings, by pool and by kind of pod.
//!
//! **Invariant:** types are in name order, and a place's number is its index in the pool's list, at most 31.

use std::sync::Arc;

use super::memo::Memo;
use crate::event::{Place, SpecId};
use crate::model::{
    InstanceType, NodePool, Price, Requirement, Requirements, Resources, Str, Time, first_untolerated, label,
};
use crate::reason::{Reason, ReasonId};
use crate::state::State;

/// What a pool can launch.
#[derive(Debug)]
pub(super) struct PoolSupply {
    pub pool: Arc<NodePool>,
    /// Requirements and labels of the template.
    pub requirements: Requirements,
    pub places: Vec<Place>,
    pub types: Vec<TypeSupply>,
}

/// An instance type that a pool can launch.
#[derive(Debug)]
pub(super) struct TypeSupply {
    pub instance_type: Arc<InstanceType>,
    /// What is left for pods beside the daemon pods.
    pub free: Resources,
    /// What the daemon pods ask for.
    pub daemons: Resources,
    /// Prices by place; `None` where it is not offered.
    pub prices: Vec<Option<Price>>,
}

/// What a pool can launch for pods of one spec.
#[derive(Debug)]
pub(super) enum ClassSupply {
    /// These types, by index, in these places each; and what that asks of the node's labels.
    /// `cheapest` is what a node for one such pod costs at least.
    Types { requirements: Requirements, types: Vec<(usize, u32)>, cheapest: Option<Price> },
    /// Nothing.
    None(Reason),
}

impl TypeSupply {
    /// The lowest price among places.
    pub(super) fn cheapest(&self, places: u32) -> Option<Price> {
        self.prices
            .iter()
            .enumerate()
            .filter(|(i, _)| places & (1 << i) != 0)
            .filter_map(|(_, price)| *price)
            .min()
    }
}

impl PoolSupply {
    /// The lowest price among types in their places.
    pub(super) fn cheapest(&self, types: &[(usize, u32)]) -> Option<Price> {
        types.iter().filter_map(|(at, places)| self.types[*at].cheapest(*places)).min()
    }

    /// The places in which a type has capacity at the moment, as far as is known.
    pub(super) fn available(&self, state: &State, at: usize, now: Time) -> u32 {
        let supply = &self.types[at];
        let mut places = 0;
        for (i, place) in self.places.iter().enumerate() {
            if supply.prices[i].is_none() {
                continue;
            }
            // Almost always empty, so the look-up is not worth a better key.
            let blocked = !state.unavailable.is_empty()
                && state.unavailable.iter().any(|(key, until)| {
                    *until > now
                        && key.instance_type == supply.instance_type.name
                        && key.zone == place.zone
                        && key.capacity_type == place.capacity_type
                });
            if !blocked {
                places |= 1 << i;
            }
        }
        places
    }
}

impl Memo {
    /// What the pools can launch, heaviest pool first; recomputed where something it depends on has changed.
    pub(super) fn refresh(&mut self, state: &State) -> Vec<Arc<PoolSupply>> {
        if self.supply_at != Some(state.offers_changed) {
            self.supply_at = Some(state.offers_changed);
            self.classes.clear();
            self.hopeless.clear();
            self.refused.clear();
            self.hosts.clear();
            let mut pools: Vec<&Arc<NodePool>> = state
                .pools
                .values()
                .map(|pool| &pool.facts)
                .filter(|pool| pool.ready && pool.replicas.is_none())
                .collect();
            // Karpenter's order: weight, then name, both descending.
            pools.sort_by(|a, b| (b.weight, &b.name).cmp(&(a.weight, &a.name)));
            self.pools = pools.into_iter().map(|pool| Arc::new(pool_supply(state, pool))).collect();
        }
        self.pools.clone()
    }

    /// What a pool can launch for pods of a spec.
    pub(super) fn class(&mut self, state: &State, pool: &Arc<PoolSupply>, spec: SpecId) -> Arc<ClassSupply> {
        let key = (pool.pool.name.clone(), spec);
        let class = self.classes.entry(key).or_insert_with(|| Arc::new(class_supply(state, pool, spec)));
        Arc::clone(class)
    }
}

fn pool_supply(state: &State, pool: &Arc<NodePool>) -> PoolSupply {
    let mut requirements = pool.template.requirements.clone();
    requirements.add_all(&Requirements::from_labels(&pool.template.labels));
    requirements.add(label::NODEPOOL, Requirement::one_of([pool.name.as_shared().clone()]));
    let mut places: Vec<Place> = Vec::new();
    let mut types = Vec::new();
    for instance_type in state.types.values() {
        if type_conflict(instance_type, &requirements).is_some() {
            continue;
        }
        let mut prices = vec![None; places.len()];
        for offering in &instance_type.offerings {
            if requirements.first_conflict(&InstanceType::offering_requirements(offering), |_| true).is_some()
            {
                continue;
            }
            let place = Place { zone: offering.zone.clone(), capacity_type: offering.capacity_type };
            let at = places.iter().position(|known| *known == place).unwrap_or_else(|| {
                places.push(place);
                places.len() - 1
            });
            prices.resize(places.len().max(prices.len()), None);
            prices[at] = Some(offering.price);
        }
        let daemons = daemon_requests(state, pool, instance_type);
        let free = instance_type.allocatable().minus(&daemons);
        types.push(TypeSupply { instance_type: Arc::clone(instance_type), free, daemons, prices });
    }
    assert!(
        places.len() <= 32,
        "a launch's places are bits of 32; {} zones and capacity types are more",
        places.len()
    );
    for supply in &mut types {
        supply.prices.resize(places.len(), None);
    }
    PoolSupply { pool: Arc::clone(pool), requirements, places, types }
}

/// What the daemon pods of a node of this pool and type ask for.
fn daemon_requests(state: &State, pool: &NodePool, instance_type: &InstanceType) -> Resources {
    let mut requests = Resources::default();
    for spec in state.daemon_sets.values().map(|id| state.spec(*id)) {
        if first_untolerated(&pool.template.taints, &spec.tolerations).is_some() {
            continue;
        }
        let mut node = pool.template.requirements.clone();
        node.add_all(&Requirements::from_labels(&pool.template.labels));
        node.add_all(&instance_type.requirements);
        let matches = spec.node_alternatives().iter().any(|wanted| {
            node.first_conflict(wanted, |key| label::is_well_known(key) && !is_of_type(key)).is_none()
        });
        if matches {
            requests.add(&spec.requests);
        }
    }
    requests
}

fn class_supply(state: &State, pool: &PoolSupply, spec: SpecId) -> ClassSupply {
    let spec = state.spec(spec);
    let named = |id, params: &[(&'static str, String)]| {
        let pool = [("nodepool", pool.pool.name.to_string())];
        Reason::new(id, pool.into_iter().chain(params.iter().cloned()))
    };
    if let Some(taint) = first_untolerated(&pool.pool.template.taints, &spec.tolerations) {
        return ClassSupply::None(named(ReasonId::TaintNotTolerated, &[("taint", taint.key.to_string())]));
    }
    let mut conflict: Option<Str> = None;
    let mut excess: Option<String> = None;
    for wanted in spec.node_alternatives() {
        if let Some(key) = pool.requirements.first_conflict(&wanted, label::is_well_known) {
            conflict.get_or_insert_with(|| key.into());
            continue;
        }
        let mut requirements = pool.requirements.clone();
        requirements.add_all(&wanted);
        let mut types = Vec::new();
        for (at, supply) in pool.types.iter().enumerate() {
            if let Some(key) = type_conflict(&supply.instance_type, &requirements) {
                conflict.get_or_insert_with(|| key.into());
                continue;
            }
            // Its daemon pods alone may be too much for a type, whatever the pod asks for.
            let excess_of_daemons = supply.free.iter().find(|(_, free)| *free < 0);
            if let Some((resource, _)) = excess_of_daemons {
                excess.get_or_insert(resource.to_owned());
                continue;
            }
            if let Some((resource, _, _)) = spec.requests.first_excess(&supply.free) {
                excess.get_or_insert(resource);
                continue;
            }
            let mut places = 0u32;
            for (i, place) in pool.places.iter().enumerate() {
                let allowed = |key: &str, value: &str| requirements.get(key).is_none_or(|r| r.has(value));
                if supply.prices[i].is_some()
                    && allowed(label::ZONE, place.zone.as_str())
                    && allowed(label::CAPACITY_TYPE, place.capacity_type.as_str())
                {
                    places |= 1 << i;
                }
            }
            if places != 0 {
                types.push((at, places));
            }
        }
        if !types.is_empty() {
            let cheapest = pool.cheapest(&types);
            return ClassSupply::Types { requirements, types, cheapest };
        }
    }
    ClassSupply::None(match (excess, conflict) {
        (Some(resource), _) => {
            let asked = spec.requests.get(&resource).to_string();
            named(ReasonId::TooLarge, &[("resource", resource), ("asked", asked)])
        }
        (None, Some(key)) => named(ReasonId::RequirementsConflict, &[("label", key.to_string())]),
        (None, None) => named(ReasonId::NoCapacity, &[]),
    })
}

/// The first label by which an instance type does not satisfy requirements. Labels that are not the type's are the pool's or the
/// offering's business.
pub(super) fn type_conflict<'a>(instance_type: &InstanceType, wanted: &'a Requirements) -> Option<&'a str> {
    instance_type.requirements.first_conflict(wanted, |key| !is_of_type(key))
}

/// Whether a label's value comes from the instance type rather than from the pool or the offering.
fn is_of_type(key: &str) -> bool {
    label::is_well_known(key)
        && !matches!(key, label::ZONE | label::CAPACITY_TYPE | label::NODEPOOL | label::REGION)
        && key != "topology.k8s.aws/zone-id"
}
