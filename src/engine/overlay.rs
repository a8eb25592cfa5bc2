//! What NodeOverlays make of the instance types that pools can launch.
//!
//! Source: Karpenter, pkg/controllers/nodeoverlay. Unlike there, an offering's own capacity stays what it is when its price changes, and
//! two overlays conflict over a resource whichever others are in between.
//!
//! **Invariant:** an overlay is applied to all pools or to none, and of what overlays say of one thing the first in order counts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{
    InstanceType, NodeOverlay, NodePool, PoolName, PriceChange, Requirement, Requirements, Resources, Str,
    TypeName, label,
};
use crate::schedule::{BuyOption, PoolOffer, TypeOffer};
use crate::state::State;

/// A NodeOverlay made ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Its name.
    pub name: Str,
    /// Heavier overlays come first, and of equal ones the last by name.
    pub weight: u32,
    /// On which offerings.
    pub requirements: Requirements,
    /// What it makes of their prices.
    pub price: Option<PriceChange>,
    /// What it makes of their types' capacity.
    pub capacity: Resources,
}

/// An overlay that is not applied, since another of equal weight says something of the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The overlay that is not applied.
    pub overlay: Str,
    /// The one that is.
    pub with: Str,
    /// Over what: a resource, or the price.
    pub over: Str,
    /// Of which instance type.
    pub instance_type: TypeName,
    /// In which pool.
    pub pool: PoolName,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { overlay, with, over, instance_type, pool } = self;
        write!(
            f,
            "NodeOverlay {overlay}: spec.weight: is that of NodeOverlay {with}, which says something of the {over} of \
             {instance_type} in NodePool {pool} too, so this one is not applied: give it another weight"
        )
    }
}

impl Overlay {
    /// From what is known of it; a price or an adjustment that is none changes nothing.
    pub fn new(name: &Str, overlay: &NodeOverlay) -> Self {
        let price = overlay.price.map(|price| PriceChange::To(price.0.saturating_mul(1_000)));
        let adjustment = || PriceChange::parse_adjustment(overlay.price_adjustment.as_ref()?);
        Self {
            name: name.clone(),
            weight: overlay.weight,
            requirements: overlay.requirements.clone(),
            price: price.or_else(adjustment),
            capacity: overlay.capacity.clone(),
        }
    }

    /// Those of State, if they count.
    pub(crate) fn all_of(state: &State) -> Vec<Self> {
        state.overlays.iter().map(|(name, overlay)| Self::new(name, overlay)).collect()
    }

    /// Whether it is about a node with all these requirements.
    fn selects(&self, node: &[&Requirements]) -> bool {
        self.requirements.iter().all(|(key, wanted)| {
            let mut sides = node.iter().filter_map(|side| side.get(key)).peekable();
            let compatible = |own: &Requirement| {
                own.intersects(wanted) || (own.tolerates_absence() && wanted.tolerates_absence())
            };
            if sides.peek().is_none() { wanted.tolerates_absence() } else { sides.all(compatible) }
        })
    }
}

/// Applies overlays to what pools offer, at prices that count in these parts of a dollar, and says which could not be.
pub fn apply(mut overlays: Vec<Overlay>, offers: &mut [PoolOffer], parts: i64) -> Vec<Conflict> {
    overlays.sort_by(|a, b| (b.weight, &b.name).cmp(&(a.weight, &a.name)));
    let labels: Vec<Requirements> = offers.iter().map(|offer| labels(&offer.pool)).collect();
    let mut changes = Changes::default();
    let mut conflicts = Vec::new();
    for (number, overlay) in overlays.iter().enumerate() {
        let mut found = Vec::new();
        for (pool, offer) in offers.iter().enumerate() {
            for (type_at, one) in offer.types.iter().enumerate() {
                let of =
                    |buy: &BuyOption| overlay.selects(&[&labels[pool], &one.requirements, &buy.requirements]);
                let buys: Vec<usize> =
                    (0..one.offerings.len()).filter(|at| of(&one.offerings[*at])).collect();
                if !buys.is_empty() {
                    found.push(Selected { pool, type_at, buys });
                }
            }
        }
        let conflict = found.iter().find_map(|one| changes.conflict(&overlays, overlay, one));
        match conflict {
            None => found.iter().for_each(|one| changes.note(number, overlay, one)),
            Some((with, over, Selected { pool, type_at, .. })) => conflicts.push(Conflict {
                overlay: overlay.name.clone(),
                with: overlays[with].name.clone(),
                over,
                instance_type: offers[*pool].types[*type_at].name.clone(),
                pool: offers[*pool].pool.name.clone(),
            }),
        }
    }
    for (pool, offer) in offers.iter_mut().enumerate() {
        changes.apply(&overlays, pool, offer, parts);
    }
    conflicts
}

/// What overlays make of the allocatable resources of types, by pool and type; only what they change.
pub fn allocatable<'a>(
    overlays: Vec<Overlay>,
    pools: impl IntoIterator<Item = &'a Arc<NodePool>>,
    types: impl IntoIterator<Item = &'a Arc<InstanceType>>,
) -> BTreeMap<(PoolName, TypeName), Resources> {
    if overlays.is_empty() {
        return BTreeMap::new();
    }
    let (bare, mut offers) = bare_offers(pools, types);
    apply(overlays, &mut offers, MICROS);
    changed_allocatable(&bare, &offers)
}

/// Which overlays cannot be applied to these pools and types.
pub fn conflicts<'a>(
    overlays: Vec<Overlay>,
    pools: impl IntoIterator<Item = &'a Arc<NodePool>>,
    types: impl IntoIterator<Item = &'a Arc<InstanceType>>,
) -> Vec<Conflict> {
    let (_, mut offers) = bare_offers(pools, types);
    apply(overlays, &mut offers, MICROS)
}

/// Pools that can all launch these types.
fn bare_offers<'a>(
    pools: impl IntoIterator<Item = &'a Arc<NodePool>>,
    types: impl IntoIterator<Item = &'a Arc<InstanceType>>,
) -> (Arc<Vec<Arc<TypeOffer>>>, Vec<PoolOffer>) {
    let bare: Arc<Vec<Arc<TypeOffer>>> =
        Arc::new(TypeOffer::all(types.into_iter().map(|one| &**one)).map(Arc::new).collect());
    let offer = |pool: &Arc<NodePool>| PoolOffer {
        pool: Arc::clone(pool),
        types: Arc::clone(&bare),
        used: Default::default(),
        daemons: Default::default(),
    };
    let offers = pools.into_iter().map(offer).collect();
    (bare, offers)
}

/// Prices in records and State count in millionths of a dollar.
pub(crate) const MICROS: i64 = 1_000_000;

/// The allocatable resources of types that differ from those of a list in the same order.
pub(crate) fn changed_allocatable(
    bare: &[Arc<TypeOffer>],
    offers: &[PoolOffer],
) -> BTreeMap<(PoolName, TypeName), Resources> {
    let mut all = BTreeMap::new();
    for offer in offers {
        let pairs = bare.iter().zip(offer.types.iter());
        for (before, after) in pairs.filter(|(before, after)| before.allocatable != after.allocatable) {
            let key = (offer.pool.name.clone(), before.name.clone());
            all.extend(after.allocatable.first().map(|allocatable| (key, allocatable.clone())));
        }
    }
    all
}

/// The labels that all nodes of a pool have.
fn labels(pool: &NodePool) -> Requirements {
    let mut labels = Requirements::from_labels(&pool.template.labels);
    labels.add(label::NODEPOOL, Requirement::one_of([pool.name.as_shared().clone()]));
    labels
}

/// Offerings of a type that an overlay is about.
struct Selected {
    pool: usize,
    type_at: usize,
    buys: Vec<usize>,
}

/// What overlays change so far: by pool and type, and then by offering or resource, the overlay that counts and the last that would.
#[derive(Default)]
struct Changes {
    prices: FxHashMap<(usize, usize), BTreeMap<usize, Said>>,
    capacity: FxHashMap<(usize, usize), BTreeMap<Str, Said>>,
}

/// Overlays by their place in order.
#[derive(Clone, Copy)]
struct Said {
    first: usize,
    last: usize,
}

impl Changes {
    /// The overlay of equal weight that says something of the same thing, and of which.
    fn conflict<'a>(
        &self,
        overlays: &[Overlay],
        overlay: &Overlay,
        selected: &'a Selected,
    ) -> Option<(usize, Str, &'a Selected)> {
        let at = (selected.pool, selected.type_at);
        let equal = |said: &Said| (overlays[said.last].weight == overlay.weight).then_some(said.last);
        let prices = self.prices.get(&at).filter(|_| overlay.price.is_some());
        let price = || selected.buys.iter().find_map(|buy| equal(prices?.get(buy)?));
        let of_type = self.capacity.get(&at);
        let capacity = || {
            overlay.capacity.iter().find_map(|(name, _)| Some((equal(of_type?.get(name)?)?, Str::from(name))))
        };
        let (with, over) = price().map(|with| (with, "price".into())).or_else(capacity)?;
        Some((with, over, selected))
    }

    fn note(&mut self, number: usize, overlay: &Overlay, selected: &Selected) {
        let at = (selected.pool, selected.type_at);
        let new = Said { first: number, last: number };
        if overlay.price.is_some() {
            let of_type = self.prices.entry(at).or_default();
            for buy in &selected.buys {
                of_type.entry(*buy).or_insert(new).last = number;
            }
        }
        for (name, _) in overlay.capacity.iter() {
            self.capacity.entry(at).or_default().entry(name.into()).or_insert(new).last = number;
        }
    }

    fn apply(&self, overlays: &[Overlay], pool: usize, offer: &mut PoolOffer, parts: i64) {
        for type_at in 0..offer.types.len() {
            let (prices, capacity) = (self.prices.get(&(pool, type_at)), self.capacity.get(&(pool, type_at)));
            if prices.is_none() && capacity.is_none() {
                continue;
            }
            let one = Arc::make_mut(&mut Arc::make_mut(&mut offer.types)[type_at]);
            for (buy, said) in prices.into_iter().flatten() {
                if let Some(change) = overlays[said.first].price {
                    one.offerings[*buy].price = change.apply(one.offerings[*buy].price, parts);
                }
            }
            for (name, said) in capacity.into_iter().flatten() {
                set_capacity(one, name, overlays[said.first].capacity.get(name));
            }
        }
    }
}

/// Gives a type so much of a resource. Pods can use as much less of it as before, and huge pages are memory.
fn set_capacity(one: &mut TypeOffer, name: &str, amount: i64) {
    let before = one.capacity.get(name);
    let kept = before - one.allocatable.first().map_or(before, |allocatable| allocatable.get(name));
    one.capacity.set(name, amount);
    for allocatable in &mut one.allocatable {
        if name.starts_with("hugepages-") {
            let more = amount - allocatable.get(name);
            allocatable.memory_bytes = (allocatable.memory_bytes - more).max(0);
        }
        allocatable.set(name, (amount - kept).max(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CapacityType, Labels, Limits, NodeTemplate, Offering, Price};

    fn offers() -> Vec<PoolOffer> {
        let offering = |zone: &str, price| Offering {
            zone: zone.into(),
            capacity_type: CapacityType::OnDemand,
            price: Price(price),
        };
        let one = |name: &str, price| InstanceType {
            name: name.into(),
            requirements: Requirements::from_labels(&Labels::from([(
                label::INSTANCE_TYPE.into(),
                name.into(),
            )])),
            capacity: [("cpu", 4_000), ("memory", 8 << 30), ("pods", 10)].into_iter().collect(),
            overhead: Resources::default(),
            offerings: vec![offering("a", price), offering("b", price)],
        };
        let types = [one("large", 200), one("small", 100)];
        let types = Arc::new(TypeOffer::all(&types).map(Arc::new).collect::<Vec<_>>());
        let pool = |name: &str| NodePool {
            name: name.into(),
            weight: 0,
            template: NodeTemplate {
                labels: Labels::from([("team".into(), name.into())]),
                ..Default::default()
            },
            disruption: Default::default(),
            limits: Limits::default(),
            replicas: None,
            hash: "".into(),
            ready: true,
        };
        let offer = |name: &str| PoolOffer {
            pool: Arc::new(pool(name)),
            types: Arc::clone(&types),
            used: Default::default(),
            daemons: Default::default(),
        };
        vec![offer("x"), offer("y")]
    }

    fn overlay(name: &str, weight: u32, on: &[(&str, &str)], price: Option<&str>, gpus: i64) -> Overlay {
        let labels: Labels = on.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Overlay {
            name: name.into(),
            weight,
            requirements: Requirements::from_labels(&labels),
            price: price.map(|text| PriceChange::parse_adjustment(text).unwrap()),
            capacity: [("a.b/gpu", gpus)].into_iter().collect(),
        }
    }

    fn prices(offers: &[PoolOffer]) -> Vec<Vec<i64>> {
        let of = |offer: &PoolOffer| {
            offer.types.iter().flat_map(|one| &one.offerings).map(|buy| buy.price.0).collect()
        };
        offers.iter().map(of).collect()
    }

    #[test]
    fn the_heaviest_overlay_counts_for_each_offering() {
        let mut offers = offers();
        let all = vec![
            overlay("light", 1, &[], Some("+100%"), 0),
            overlay("heavy", 2, &[("topology.kubernetes.io/zone", "a"), ("team", "y")], Some("-50%"), 0),
        ];
        assert_eq!(apply(all, &mut offers, MICROS), []);
        assert_eq!(prices(&offers), [[400, 400, 200, 200], [100, 400, 50, 200]]);
    }

    #[test]
    fn an_overlay_that_conflicts_anywhere_is_applied_nowhere() {
        let mut offers = offers();
        let all = vec![
            overlay("b", 0, &[("team", "x"), ("node.kubernetes.io/instance-type", "small")], Some("+10%"), 0),
            overlay("a", 0, &[], Some("+20%"), 2),
        ];
        let conflicts = apply(all, &mut offers, MICROS);
        assert_eq!(prices(&offers), [[200, 200, 110, 110], [200, 200, 100, 100]]);
        assert!(offers[1].types.iter().all(|one| one.capacity.get("a.b/gpu") == 0));
        assert_eq!(
            conflicts[0].to_string(),
            "NodeOverlay a: spec.weight: is that of NodeOverlay b, which says something of the price of small in NodePool x \
             too, so this one is not applied: give it another weight"
        );
    }

    #[test]
    fn one_that_is_outweighed_conflicts_with_its_equals_all_the_same() {
        let mut offers = offers();
        let all = vec![
            overlay("top", 9, &[], None, 4),
            overlay("p", 1, &[], None, 2),
            overlay("o", 1, &[], None, 3),
        ];
        let conflicts = apply(all, &mut offers, MICROS);
        assert_eq!(conflicts.len(), 1);
        assert_eq!((&*conflicts[0].overlay, &*conflicts[0].with, &*conflicts[0].over), ("o", "p", "a.b/gpu"));
        assert!(offers[0].types.iter().all(|one| one.allocatable[0].get("a.b/gpu") == 4));
    }

    #[test]
    fn capacity_is_of_the_whole_type_if_one_offering_is_selected() {
        let mut offers = offers();
        let on = [("topology.kubernetes.io/zone", "b"), ("node.kubernetes.io/instance-type", "large")];
        apply(vec![overlay("gpus", 0, &on, None, 2)], &mut offers, MICROS);
        let gpus: Vec<i64> = offers[0].types.iter().map(|one| one.allocatable[0].get("a.b/gpu")).collect();
        assert_eq!(gpus, [2, 0]);
    }

    #[test]
    fn a_label_that_nothing_defines_selects_nothing() {
        let mut offers = offers();
        apply(vec![overlay("o", 0, &[("no/such", "label")], Some("-100%"), 1)], &mut offers, MICROS);
        assert_eq!(offers, super::tests::offers());
    }
}
