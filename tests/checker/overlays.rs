//! NodeOverlays: what they make of the instance types that each NodePool has.
//!
//! Invariant: an overlay is applied to all NodePools or to none.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::model::{InstanceType, Offering};
use crate::objects::{NodeOverlay, NodePool};
use crate::pool::offering_requirements;
use crate::quantity::Quantity;
use crate::sets::{Allowed, Dialect, NODE_POOL, Requirements, combine, contradiction, demand};

/// What an overlay touches: the price of an offering, or a resource of a type.
type Thing = (usize, usize, What);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Price(usize),
    Resource(String),
}

/// Applies the overlays to the lists of the pools, which are in the same order.
pub(crate) fn apply(
    overlays: &[NodeOverlay],
    pools: &[NodePool],
    lists: &mut [Vec<InstanceType>],
    dialect: &Dialect,
) {
    let mut ordered: Vec<&NodeOverlay> = overlays.iter().collect();
    ordered.sort_by(|one, other| {
        let key = |overlay: &NodeOverlay| (overlay.spec.weight.unwrap_or(0), overlay.metadata.name.clone());
        key(other).cmp(&key(one))
    });
    let mut winners: BTreeMap<Thing, &NodeOverlay> = BTreeMap::new();
    let mut said: BTreeMap<Thing, Vec<i64>> = BTreeMap::new();
    for overlay in ordered {
        let touched = touched(overlay, pools, lists, dialect);
        let weight = overlay.spec.weight.unwrap_or(0);
        let conflicts =
            |thing: &Thing| said.get(thing).is_some_and(|weights: &Vec<i64>| weights.contains(&weight));
        if touched.iter().any(conflicts) {
            continue;
        }
        for thing in touched {
            winners.entry(thing.clone()).or_insert(overlay);
            said.entry(thing).or_default().push(weight);
        }
    }
    for ((pool, kind, what), overlay) in winners {
        let kind = &mut lists[pool][kind];
        match what {
            What::Price(offering) => {
                let offering = &mut kind.offerings[offering];
                offering.price = price(offering.price, overlay);
            }
            What::Resource(name) => {
                let amount = overlay.spec.capacity.get(&name).copied().unwrap_or(Quantity::ZERO);
                for offering in &mut kind.offerings {
                    offering.capacity_override.remove(&name);
                }
                kind.capacity.insert(name, amount);
            }
        }
    }
}

fn touched(
    overlay: &NodeOverlay,
    pools: &[NodePool],
    lists: &[Vec<InstanceType>],
    dialect: &Dialect,
) -> Vec<Thing> {
    let wanted = dialect.requirements(&overlay.spec.requirements);
    let has_price = overlay.spec.price.is_some() || overlay.spec.price_adjustment.is_some();
    let mut all = Vec::new();
    for (at, pool) in pools.iter().enumerate() {
        let mut labels = dialect.labels(&pool.spec.template.metadata.labels);
        demand(&mut labels, NODE_POOL, &Allowed::exactly(&pool.metadata.name));
        for (number, kind) in lists[at].iter().enumerate() {
            let of_type = combine(&labels, &dialect.requirements(&kind.requirements));
            let selected = |offering: &Offering| {
                let node = combine(&of_type, &offering_requirements(offering, dialect));
                selects(&wanted, &node)
            };
            let offerings: Vec<usize> =
                (0..kind.offerings.len()).filter(|one| selected(&kind.offerings[*one])).collect();
            if offerings.is_empty() {
                continue;
            }
            if has_price {
                all.extend(offerings.iter().map(|offering| (at, number, What::Price(*offering))));
            }
            let named = overlay.spec.capacity.keys();
            all.extend(named.map(|name| (at, number, What::Resource(name.clone()))));
        }
    }
    all
}

/// Whether nodes on which `node` holds are meant. A label that nothing defines is missing.
fn selects(wanted: &Requirements, node: &Requirements) -> bool {
    wanted.iter().all(|(key, wanted)| {
        let own = node.get(key).cloned().unwrap_or_else(Allowed::missing);
        let mut both = Requirements::new();
        demand(&mut both, key, &own);
        demand(&mut both, key, wanted);
        contradiction(&both).is_none()
    })
}

/// Dollars to the billionth.
fn price(before: f64, overlay: &NodeOverlay) -> f64 {
    let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    let spec = &overlay.spec;
    let after = match (&spec.price, &spec.price_adjustment) {
        (Some(price), _) => number(price),
        (None, Some(change)) => match change.strip_suffix('%') {
            Some(percent) => before * (1.0 + number(percent) / 100.0),
            None => before + number(change),
        },
        (None, None) => before,
    };
    (after.max(0.0) * 1e9).round() / 1e9
}

/// Whether a gate is open that is closed unless somebody opens it.
pub(crate) fn is_open(gates: &BTreeMap<String, Value>, gate: &str) -> bool {
    gates.get(gate).and_then(Value::as_bool).unwrap_or(false)
}
