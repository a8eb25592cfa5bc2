//! What a new node has to give: the devices of its type, less those that daemon pods will claim.
//!
//! **Invariant:** types with equal devices and equal daemon claims have one stock, so that what is found out for one holds for all of them.

use rustc_hash::FxHashMap;

use super::devices::Ledger;
use super::problem::Problem;
use super::supply::daemons_on;
use crate::model::{InventoryId, KindId};

/// A stock, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StockId(u32);

/// Devices of new nodes.
#[derive(Debug)]
pub(super) struct Stock {
    pub inventory: InventoryId,
    /// What is left beside daemon pods.
    pub start: Ledger,
}

/// The stocks of all types of all pools.
#[derive(Debug, Default)]
pub(super) struct Stocks {
    all: Vec<Stock>,
    of_types: Vec<Vec<Option<StockId>>>,
}

impl Stocks {
    pub(super) fn new(problem: &Problem<'_>) -> Self {
        let Some(devices) = problem.devices else { return Self::default() };
        let mut all: Vec<Stock> = Vec::new();
        let mut known: FxHashMap<(InventoryId, Vec<KindId>), StockId> = FxHashMap::default();
        let mut of_types = Vec::with_capacity(problem.pools.len());
        for (offer, inventories) in problem.pools.iter().zip(&devices.types) {
            let of_type = offer.types.iter().zip(inventories).map(|(one, inventory)| {
                let id = (*inventory)?;
                let claiming = |at: &usize| devices.daemons.get(*at).is_some_and(|kinds| !kinds.is_empty());
                let daemons: Vec<KindId> = daemons_on(problem.rules, offer, one, claiming)
                    .into_iter()
                    .flat_map(|at| devices.daemons[at].iter().copied())
                    .collect();
                Some(*known.entry((id, daemons)).or_insert_with_key(|(_, daemons)| {
                    let inventory = devices.inventory(id);
                    let mut start = Ledger::new(inventory);
                    for kind in daemons {
                        // A daemon pod for which there is no device does not run.
                        if let (Ok(left), _) = start.with(devices, inventory, &[*kind]) {
                            start = left;
                        }
                    }
                    start.given.clear();
                    all.push(Stock { inventory: id, start });
                    StockId(all.len() as u32 - 1)
                }))
            });
            of_types.push(of_type.collect());
        }
        Self { all, of_types }
    }

    /// The stock of a type of a pool, if it has devices.
    pub(super) fn of(&self, pool: usize, type_at: usize) -> Option<StockId> {
        *self.of_types.get(pool)?.get(type_at)?
    }

    pub(super) fn get(&self, id: StockId) -> &Stock {
        &self.all[id.0 as usize]
    }
}
