//! What the pools can launch, as the scheduler sees it.
//!
//! **Invariant:** the heaviest pool is in front, and the types of all pools are the same list, in name order.

use std::sync::Arc;

use super::Pass;
use super::memo::Memo;
use crate::model::{InstanceType, NodePool, OfferingKey, PodSpec};
use crate::schedule::{BuyOption, PoolOffer, Prepared, TypeOffer};
use crate::state::State;

impl Memo {
    /// Brings what the pools can launch up to date.
    pub(super) fn refresh(&mut self, pass: &Pass<'_>) {
        let state = pass.state;
        let blocked: Vec<OfferingKey> = state
            .unavailable
            .iter()
            .filter(|(_, until)| **until > pass.now)
            .map(|(offering, _)| offering.clone())
            .collect();
        let changed = self.supply_at != Some(state.offers_changed);
        if changed {
            self.supply_at = Some(state.offers_changed);
            self.hopeless.clear();
            self.hosts.clear();
        }
        if changed || self.blocked != blocked {
            self.blocked = blocked;
            self.offers = offers(state, &self.blocked);
            self.prepared = Prepared::default();
        }
        for offer in &mut self.offers {
            let (used, nodes) = state.pool_usage(&offer.pool.name);
            offer.used = (used, nodes as u32);
        }
        let specs = state.specs();
        for (spec, at) in specs[self.wary_to..].iter().zip(self.wary_to..) {
            if spec.has_required_anti_affinity() {
                self.wary.insert(crate::event::SpecId(at as u32));
            }
        }
        self.wary_to = specs.len();
    }
}

fn offers(state: &State, blocked: &[OfferingKey]) -> Vec<PoolOffer> {
    let types: Arc<Vec<Arc<TypeOffer>>> =
        Arc::new(state.types.values().map(|one| Arc::new(type_offer(one, blocked))).collect());
    let daemons: Arc<Vec<Arc<PodSpec>>> =
        Arc::new(state.daemon_sets.values().map(|id| Arc::clone(state.spec(*id))).collect());
    let mut pools: Vec<&Arc<NodePool>> = state
        .pools
        .values()
        .map(|pool| &pool.facts)
        .filter(|pool| pool.ready && pool.replicas.is_none())
        .collect();
    // Karpenter's order: weight, then name, both descending.
    pools.sort_by(|a, b| (b.weight, &b.name).cmp(&(a.weight, &a.name)));
    pools
        .into_iter()
        .map(|pool| PoolOffer {
            pool: Arc::clone(pool),
            types: Arc::clone(&types),
            used: Default::default(),
            daemons: Arc::clone(&daemons),
        })
        .collect()
}

fn type_offer(one: &InstanceType, blocked: &[OfferingKey]) -> TypeOffer {
    let offerings = one.offerings.iter().map(|offering| BuyOption {
        requirements: InstanceType::offering_requirements(offering),
        price: offering.price,
        available: !blocked.iter().any(|key| {
            key.instance_type == one.name
                && key.zone == offering.zone
                && key.capacity_type == offering.capacity_type
        }),
        allocatable: 0,
        reservation: None,
    });
    TypeOffer {
        name: one.name.clone(),
        requirements: one.requirements.clone(),
        capacity: one.capacity.clone(),
        allocatable: vec![one.allocatable()],
        offerings: offerings.collect(),
    }
}
