//! What pools can launch, under which requirements, at what price.
//!
//! A *shape* is an instance type of a pool with one of its allocatable amounts: what a node would offer to pods. Most types have one.
//!
//! **Invariant:** shapes of a pool are in order of type name, and [`Fit`] lists in order of shape.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::bits::Bits;
use super::fits::{Fit, FitList, Room};
use super::problem::{BuyOption, PoolOffer, Rules, TypeOffer};
use super::requirements::{Interner, ReqId};
use super::terms::Terms;
use crate::model::{HostPort, PodSpec, Requirement, Requirements, Resources, Str, first_untolerated, label};

/// What can be launched, ready for look-ups.
#[derive(Debug)]
pub(super) struct Supply {
    pub pools: Vec<Pool>,
    lists: FxHashMap<(usize, ReqId), Arc<FitList>>,
    /// Sets of shapes by number.
    sets: FxHashMap<Bits, u32>,
    /// Shapes that requirements allow though wider ones did not, by pool; none but for odd combinations.
    regained: FxHashMap<(usize, ReqId, ReqId), Option<Arc<Bits>>>,
}

/// A pool.
#[derive(Debug)]
pub(super) struct Pool {
    /// What its nodes' labels satisfy before any pod asks for more.
    pub requirements: ReqId,
    pub shapes: Vec<Shape>,
    /// The room of each shape.
    pub rooms: Arc<[Room]>,
    /// How its types are sold.
    pub terms: Arc<Terms>,
    /// Reservations that its types can draw on.
    pub reservations: BTreeSet<Str>,
}

/// What a node of a type would offer.
#[derive(Debug)]
pub(super) struct Shape {
    /// Index into the pool's types.
    pub type_at: usize,
    /// Index into the type's allocatable amounts.
    pub allocatable_at: usize,
    /// What is left beside daemon pods.
    pub free: Resources,
    /// What daemon pods ask for.
    pub daemons: Resources,
    /// Host ports of daemon pods.
    pub ports: Vec<HostPort>,
}

impl Supply {
    pub(super) fn new(rules: &Rules, offers: &[PoolOffer], interner: &mut Interner) -> Self {
        // Pools often offer the very same types.
        let mut known: FxHashMap<*const Vec<Arc<TypeOffer>>, Arc<Terms>> = FxHashMap::default();
        let mut terms = |offer: &PoolOffer| {
            let of_types = known.entry(Arc::as_ptr(&offer.types));
            Arc::clone(of_types.or_insert_with(|| Arc::new(Terms::of(&offer.types))))
        };
        let pools = offers.iter().map(|offer| pool(rules, offer, terms(offer), interner)).collect();
        Self {
            pools,
            lists: FxHashMap::default(),
            sets: FxHashMap::default(),
            regained: FxHashMap::default(),
        }
    }

    /// The shapes that a pool can launch under requirements, by shape.
    pub(super) fn fits(
        &mut self,
        rules: &Rules,
        offers: &[PoolOffer],
        interner: &Interner,
        pool: usize,
        requirements: ReqId,
    ) -> Arc<FitList> {
        if let Some(known) = self.lists.get(&(pool, requirements)) {
            return Arc::clone(known);
        }
        let wanted = interner.get(requirements);
        let of_pool = &self.pools[pool];
        let types = &offers[pool].types;
        let allowed = of_pool.terms.each(types, |buy| allows(rules, wanted, buy));
        // What the pool itself asks for, all its shapes have.
        let own = interner.get(of_pool.requirements);
        let asked: Vec<_> = wanted.iter().filter(|(key, one)| own.get(key) != Some(one)).collect();
        let fits = of_pool.shapes.iter().enumerate().filter_map(|(at, shape)| {
            let one = &types[shape.type_at];
            let buys = of_pool.terms.sold(types, shape.type_at, &allowed).map(|at| &one.offerings[at]);
            let price =
                buys.filter(|buy| buy.allocatable == shape.allocatable_at).map(|buy| buy.price).min()?;
            let conflict = first_type_conflict(rules, one, asked.iter().copied());
            conflict.is_none().then_some(Fit { shape: at as u32, price })
        });
        let fits: Vec<Fit> = fits.collect();
        let mut shapes = Bits::default();
        fits.iter().for_each(|fit| shapes.insert(fit.shape as usize));
        let next = self.sets.len() as u32;
        let set = *self.sets.entry(shapes).or_insert(next);
        let list = Arc::new(FitList::new(fits, set, allowed, of_pool, &offers[pool]));
        self.lists.insert((pool, requirements), Arc::clone(&list));
        list
    }

    /// The shapes of one list that are not in another.
    pub(super) fn regained(
        &mut self,
        pool: usize,
        (before, wider): (ReqId, &FitList),
        (now, narrower): (ReqId, &FitList),
    ) -> Option<Arc<Bits>> {
        let new = || {
            let mut lost = Bits::default();
            let known = |fit: &&Fit| wider.fits.binary_search_by_key(&fit.shape, |fit| fit.shape).is_err();
            narrower.fits.iter().filter(known).for_each(|fit| lost.insert(fit.shape as usize));
            (lost.words() > 0).then(|| Arc::new(lost))
        };
        self.regained.entry((pool, before, now)).or_insert_with(new).clone()
    }
}

/// The ways to buy a type that have capacity and satisfy requirements.
pub(super) fn buys<'a>(
    rules: &'a Rules,
    offer: &'a TypeOffer,
    wanted: &'a Requirements,
) -> impl Iterator<Item = &'a BuyOption> {
    offer.offerings.iter().filter(|buy| buy.available && allows(rules, wanted, buy))
}

/// Whether a node with these requirements can be bought so.
pub(super) fn allows(rules: &Rules, node: &Requirements, buy: &BuyOption) -> bool {
    let own = rules.reservation_label.as_deref();
    let draws_on_what_it_may = match (own.and_then(|label| node.get(label)), &buy.reservation) {
        (None, _) => true,
        (Some(wanted), Some((id, _))) => wanted.has(id),
        (Some(wanted), None) => wanted.tolerates_absence(),
    };
    draws_on_what_it_may
        && node
            .first_conflict(&buy.requirements, |key| rules.is_well_known(key) || own == Some(key))
            .is_none()
}

/// The first label by which nodes of a type do not satisfy requirements. What neither type nor offering defines of a provider's labels, a node
/// does not have.
///
/// Source: Karpenter, `compatible` in pkg/controllers/provisioning/scheduling/nodeclaim.go.
pub(super) fn type_conflict<'a>(
    rules: &Rules,
    offer: &TypeOffer,
    wanted: &'a Requirements,
) -> Option<&'a str> {
    first_type_conflict(rules, offer, wanted.iter())
}

fn first_type_conflict<'a>(
    rules: &Rules,
    offer: &TypeOffer,
    mut wanted: impl Iterator<Item = (&'a Str, &'a Requirement)>,
) -> Option<&'a str> {
    wanted.find_map(|(key, wanted)| {
        let compatible = match offer.requirements.get(key) {
            Some(own) => own.intersects(wanted) || (own.tolerates_absence() && wanted.tolerates_absence()),
            None => {
                wanted.tolerates_absence()
                    || !rules.is_well_known(key)
                    || matches!(&**key, label::ZONE | label::CAPACITY_TYPE | label::NODEPOOL | label::REGION)
                    || offer.offerings.iter().any(|buy| buy.requirements.get(key).is_some())
            }
        };
        (!compatible).then_some(&**key)
    })
}

fn pool(rules: &Rules, offer: &PoolOffer, terms: Arc<Terms>, interner: &mut Interner) -> Pool {
    let requirements = template(offer);
    let mut shapes = Vec::new();
    for (type_at, one) in offer.types.iter().enumerate() {
        if type_conflict(rules, one, &requirements).is_some() {
            continue;
        }
        let (daemons, ports) = daemons(rules, offer, one);
        for (allocatable_at, allocatable) in one.allocatable.iter().enumerate() {
            shapes.push(Shape {
                type_at,
                allocatable_at,
                free: allocatable.minus(&daemons),
                daemons: daemons.clone(),
                ports: ports.clone(),
            });
        }
    }
    let reservations = offer
        .types
        .iter()
        .flat_map(|one| &one.offerings)
        .filter(|buy| buy.available)
        .filter_map(|buy| Some(buy.reservation.as_ref()?.0.clone()))
        .collect();
    let rooms = shapes.iter().map(|shape| Room::of(&shape.free)).collect();
    Pool { requirements: interner.id(&requirements), shapes, rooms, terms, reservations }
}

/// What the labels of a pool's nodes satisfy.
pub(super) fn template(offer: &PoolOffer) -> Requirements {
    let template = &offer.pool.template;
    let mut requirements = template.requirements.clone();
    requirements.add_all(&Requirements::from_labels(&template.labels));
    requirements.add(label::NODEPOOL, Requirement::one_of([offer.pool.name.as_shared().clone()]));
    requirements
}

/// What the daemon pods on a node of a type ask for, and their host ports.
fn daemons(rules: &Rules, offer: &PoolOffer, one: &TypeOffer) -> (Resources, Vec<HostPort>) {
    let mut requests = Resources::default();
    let mut ports = Vec::new();
    for at in daemons_on(rules, offer, one, |_| true) {
        let spec = &offer.daemons[at];
        requests.add(&spec.requests);
        ports.extend(spec.host_ports.iter().cloned());
    }
    (requests, ports)
}

/// Indices of the DaemonSets whose pods run on nodes of a type, of those that are asked for.
pub(super) fn daemons_on(
    rules: &Rules,
    offer: &PoolOffer,
    one: &TypeOffer,
    asked: impl Fn(&usize) -> bool,
) -> Vec<usize> {
    let sets: Vec<usize> = (0..offer.daemons.len()).filter(asked).collect();
    if sets.is_empty() {
        return sets;
    }
    let mut node = template(offer);
    // By the time that daemon pods come, a node carries these.
    for ready in [label::REGISTERED, label::INITIALIZED] {
        node.add(ready, Requirement::one_of(["true".into()]));
    }
    sets.into_iter().filter(|at| runs(rules, offer, &node, one, &offer.daemons[*at])).collect()
}

fn runs(rules: &Rules, offer: &PoolOffer, node: &Requirements, one: &TypeOffer, spec: &Arc<PodSpec>) -> bool {
    if first_untolerated(&offer.pool.template.taints, &spec.tolerations).is_some() {
        return false;
    }
    spec.node_alternatives().iter().any(|wanted| {
        node.first_conflict(wanted, |key| rules.is_well_known(key)).is_none()
            && type_conflict(rules, one, wanted).is_none()
    })
}
