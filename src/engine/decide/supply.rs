//! What the pools can launch, as the scheduler sees it.
//!
//! **Invariant:** the heaviest pool is in front, and the types of all pools are in name order, of one list unless overlays change it.

use std::sync::Arc;

use super::Pass;
use super::memo::{Memo, Overlaid};
use crate::model::{CapacityType, InstanceType, NodePool, OfferingKey, PodSpec, Str};
use crate::notice::OverlayFate;
use crate::overlay::{self, Conflict, Overlay};
use crate::schedule::{PoolOffer, Prepared, TypeOffer};
use crate::settings::FeatureGate;
use crate::state::State;

impl Memo {
    /// Brings what the pools can launch up to date.
    pub(super) fn refresh(&mut self, pass: &Pass<'_>) {
        let state = pass.state;
        let blocked = blocked(pass);
        let changed = self.supply_at != Some(state.offers_changed);
        if changed {
            self.supply_at = Some(state.offers_changed);
            self.hopeless.clear();
            self.hosts.clear();
        }
        if changed || self.blocked != blocked {
            self.blocked = blocked;
            let made = offers(state, &self.blocked);
            self.offers = made.pools;
            self.statics = made.statics;
            self.overlaid = made.overlaid;
            self.overlay_conflicts = made.conflicts;
            self.prepared = Prepared::default();
            self.buffered = None;
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

/// Says which overlays count.
pub(super) fn look_at_overlays(pass: &mut Pass<'_>, memo: &mut Memo) {
    let state = pass.state;
    if !state.settings.feature_gates.has(FeatureGate::NodeOverlay) {
        return;
    }
    if !state.overlays.is_empty() {
        memo.refresh(pass);
    }
    let fate = |name: &Str| match memo.overlay_conflicts.iter().find(|one| one.overlay == *name) {
        Some(conflict) => OverlayFate::Conflict(conflict.to_string().into()),
        None => OverlayFate::Applied,
    };
    pass.notices.overlays = Some(state.overlays.keys().map(|name| (name.clone(), fate(name))).collect());
}

/// What pools that may launch by themselves offer; without overlays they share one list of types.
struct Offers {
    pools: Vec<PoolOffer>,
    /// Those of static pools.
    statics: Vec<PoolOffer>,
    /// What pods can use of types, where overlays say otherwise than the types.
    overlaid: Overlaid,
    conflicts: Vec<Conflict>,
}

fn offers(state: &State, blocked: &[OfferingKey]) -> Offers {
    let gates = &state.settings.feature_gates;
    let types = types(state, blocked);
    let daemons: Arc<Vec<Arc<PodSpec>>> =
        Arc::new(state.daemon_sets.values().map(|id| Arc::clone(state.spec(*id))).collect());
    let mut pools: Vec<&Arc<NodePool>> = state.pools.values().map(|pool| &pool.facts).collect();
    // Karpenter's order: weight, then name, both descending.
    pools.sort_by(|a, b| (b.weight, &b.name).cmp(&(a.weight, &a.name)));
    let offer = |pool: &Arc<NodePool>| PoolOffer {
        pool: Arc::clone(pool),
        types: Arc::clone(&types),
        used: Default::default(),
        daemons: Arc::clone(&daemons),
    };
    let mut pools: Vec<PoolOffer> = pools.into_iter().map(offer).collect();
    let mut conflicts = Vec::new();
    // Over all pools, whether they may launch or not: which overlays conflict does not depend on that.
    if gates.has(FeatureGate::NodeOverlay) && !state.overlays.is_empty() {
        conflicts = overlay::apply(Overlay::all_of(state), &mut pools, overlay::MICROS);
    }
    let overlaid = overlay::changed_allocatable(&types, &pools);
    pools.retain(|offer| offer.pool.ready);
    let (statics, pools) = pools.into_iter().partition(|offer| offer.pool.replicas.is_some());
    Offers { pools, statics, overlaid, conflicts }
}

/// All instance types as they can be launched, in order of name.
pub(super) fn types(state: &State, blocked: &[OfferingKey]) -> Arc<Vec<Arc<TypeOffer>>> {
    let reserved = state.settings.feature_gates.has(FeatureGate::ReservedCapacity);
    let types = || state.types.values().map(|one| &**one);
    let offers = TypeOffer::all(types()).zip(types());
    Arc::new(offers.map(|(offer, one)| Arc::new(restricted(offer, one, blocked, reserved))).collect())
}

/// Offerings that are not asked for at the moment.
pub(super) fn blocked(pass: &Pass<'_>) -> Vec<OfferingKey> {
    let blocked = pass.state.unavailable.iter().filter(|(_, until)| **until > pass.now);
    blocked.map(|(offering, _)| offering.clone()).collect()
}

/// The offer of a type, less what is not asked for.
fn restricted(
    mut offer: TypeOffer,
    one: &InstanceType,
    blocked: &[OfferingKey],
    reserved: bool,
) -> TypeOffer {
    for (buy, offering) in offer.offerings.iter_mut().zip(&one.offerings) {
        let is_blocked = blocked.iter().any(|key| {
            key.instance_type == one.name
                && key.zone == offering.zone
                && key.capacity_type == offering.capacity_type
        });
        buy.available = !is_blocked && (reserved || offering.capacity_type != CapacityType::Reserved);
    }
    offer
}
