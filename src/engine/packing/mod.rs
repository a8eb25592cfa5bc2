//! Bin packing with bins of several sizes and prices: which bins to buy and what goes into each, so that all of it costs little; and a price
//! below which nothing does.
//!
//! [`pack`] starts from bins that somebody filled. What items are worth is known well from how parts of them share bins (`parts`), and by that
//! bin after bin is filled with what completes it best (`sequence`). Where there are few kinds of items everything is put together anew by column
//! generation (`columns`): a linear program (`master`) says what each item is worth in the best mix of filled bins, a search (`knapsack`) which
//! bin filled with what is worth more than it costs; what is left over is packed bin after bin (`greedy`). Then a few bins at a time are packed
//! anew (`neighbours`). [`lower_bound`] proves with program and search how much better it could be.
//!
//! Linear programs reckon with floats, in a fixed order and with nothing but the four operations, which are the same on every machine.
//!
//! **Invariant:** what is packed fits and holds every item once; what it costs, and the bound, follow from integer arithmetic.

mod bound;
mod columns;
mod greedy;
mod knapsack;
pub mod master;
mod neighbours;
mod parts;
mod sequence;

pub use bound::lower_bound;
pub use parts::Parts;

use std::collections::BTreeSet;

use crate::model::Resources;
use master::Column;

/// Resources by which amounts become demands and supplies: all that any of some amounts has, those that matter most in front.
#[derive(Debug)]
pub struct Axes<'a>(Vec<&'a str>);

impl<'a> Axes<'a> {
    /// Those of these amounts.
    pub fn of(all: impl IntoIterator<Item = &'a Resources>) -> Self {
        let mut names = vec!["cpu", "memory"];
        let others: BTreeSet<&str> =
            all.into_iter().flat_map(|amounts| amounts.iter().map(|(name, _)| name)).collect();
        names.extend(others.into_iter().filter(|name| !["cpu", "memory"].contains(name)));
        Self(names)
    }

    /// How much there is of each, none if less.
    pub fn amounts(&self, of: &Resources) -> Vec<i64> {
        self.0.iter().map(|name| of.get(name).max(0)).collect()
    }
}

/// Things of which each takes as much of a bin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What one takes of each resource.
    pub demand: Vec<i64>,
    /// How many there are.
    pub count: usize,
}

/// A size of bin, of which there are as many as are paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bin {
    /// How much it has of each resource.
    pub supply: Vec<i64>,
    /// What one costs; above zero.
    pub price: i64,
}

/// Items and how many of each.
pub type Pattern = Vec<(usize, usize)>;

/// A bin with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Which size of bin.
    pub bin: usize,
    /// What is in it.
    pub pattern: Pattern,
}

/// Rounds in which columns are generated for all items at once.
const ROUNDS: usize = 200;

/// Steps of the search for one filling at most, where shorter ones find nothing any more.
const MOST_STEPS: u64 = 100_000;

/// What costs above what parts of items in parts of bins do by no more than this part is good enough.
const NEAR: f64 = 1.0 / 128.0;

/// How many sixteenths of the work packing bin after bin may take where kinds of items are few enough for a linear program, and where they are many.
const FEW_IN_SEQUENCE: u64 = 2;
const MANY_IN_SEQUENCE: u64 = 12;

/// Values are prices with so many binary places more.
const VALUE_PLACES: u32 = 10;

/// Above this the arithmetic might overflow, and nothing is tried.
const MOST_PRICE: i64 = 1 << 50;

/// Packs items at less than what these fillings cost, or at as much; for so much work at most, and the work that it took. None if a filling
/// fits into no bin, or prices are too high or too low to reckon with.
///
/// A unit of work is a size of bin or an item looked at, or a step of a search.
pub fn pack(bins: &[Bin], items: &[Item], start: Vec<Pattern>, budget: u64) -> (Option<Vec<Filled>>, u64) {
    if bins.iter().any(|bin| bin.price <= 0 || bin.price > MOST_PRICE) {
        return (None, 0);
    }
    let sizes = undominated(bins, items);
    let mut work = (bins.len() + sizes.len() * sizes.len()) as u64;
    let all_bins = bins;
    let bins: &[Bin] = &sizes.iter().map(|at| bins[*at].clone()).collect::<Vec<Bin>>();
    let filled = |pattern| cheapest(bins, items, pattern);
    let Some(mut best) = start.into_iter().map(filled).collect::<Option<Vec<Filled>>>() else {
        return (None, work);
    };
    let homes = homes(bins, items);
    let parts = Parts::of(bins, items, &homes);
    work += Parts::work(&homes);
    let near = (parts.total * (1.0 + NEAR)) as i128;
    let are_few = items.len() <= columns::MOST_ITEMS;
    if price(bins, &best) > near {
        let share = if are_few { FEW_IN_SEQUENCE } else { MANY_IN_SEQUENCE };
        let (found, took) = sequence::pack(bins, items, &parts, budget.saturating_sub(work) / 16 * share);
        work += took;
        if let Some(found) = found.filter(|found| price(bins, found) < price(bins, &best)) {
            best = found;
        }
    }
    if are_few && price(bins, &best) > near {
        let (found, took) =
            columns::pack(bins, items, &best, (ROUNDS, MOST_STEPS), budget.saturating_sub(work));
        work += took;
        best = found;
    }
    if price(bins, &best) > near {
        work += neighbours::improve(bins, items, &parts.worth, &mut best, budget.saturating_sub(work));
    }
    best.iter_mut().for_each(|filled| filled.bin = sizes[filled.bin]);
    debug_assert!(holds_all(all_bins, items, &best), "what is packed fits and is complete");
    (Some(best), work)
}

/// Bins that hold something, of which no other has as much of everything for no more; the cheapest first.
fn undominated(bins: &[Bin], items: &[Item]) -> Vec<usize> {
    let of_use = |bin: &Bin| items.iter().any(|item| fits(item, bin));
    let mut order: Vec<usize> = (0..bins.len()).filter(|at| of_use(&bins[*at])).collect();
    order.sort_by_key(|at| (bins[*at].price, *at));
    let has_all = |a: &Bin, b: &Bin| a.supply.iter().zip(&b.supply).all(|(a, b)| a >= b);
    let mut kept: Vec<usize> = Vec::new();
    for at in order {
        if !kept.iter().any(|other| has_all(&bins[*other], &bins[at])) {
            // Of equal price the larger may come later.
            kept.retain(|other| bins[*other].price < bins[at].price || !has_all(&bins[at], &bins[*other]));
            kept.push(at);
        }
    }
    kept
}

/// The cheapest bin that holds so much.
fn cheapest(bins: &[Bin], items: &[Item], pattern: Pattern) -> Option<Filled> {
    let mut all = vec![0i64; bins.first()?.supply.len()];
    for (item, count) in &pattern {
        all.iter_mut()
            .zip(&items[*item].demand)
            .for_each(|(all, demand)| *all = all.saturating_add(demand.saturating_mul(*count as i64)));
    }
    let holds = |bin: &Bin| all.iter().zip(&bin.supply).all(|(all, supply)| all <= supply);
    let bin = bins.iter().position(holds)?;
    Some(Filled { bin, pattern })
}

/// What bins cost.
pub fn price(bins: &[Bin], filled: &[Filled]) -> i128 {
    filled.iter().map(|one| i128::from(bins[one.bin].price)).sum()
}

fn holds_all(bins: &[Bin], items: &[Item], filled: &[Filled]) -> bool {
    let mut counts = vec![0; items.len()];
    let mut fits = true;
    for one in filled {
        let mut room = bins[one.bin].supply.clone();
        for (item, count) in &one.pattern {
            counts[*item] += count;
            room.iter_mut()
                .zip(&items[*item].demand)
                .for_each(|(room, demand)| *room -= demand * *count as i64);
        }
        fits &= room.iter().all(|room| *room >= 0);
    }
    fits && counts.iter().zip(items).all(|(count, item)| *count == item.count)
}

impl Bin {
    /// What it costs, as a value.
    fn cost(&self) -> i128 {
        i128::from(self.price) << VALUE_PLACES
    }

    /// How many of an item it holds, of those there are, if it holds nothing else.
    fn holds_alone(&self, item: &Item) -> i64 {
        let amounts = item.demand.iter().zip(&self.supply).filter(|(demand, _)| **demand > 0);
        let most = amounts.map(|(demand, supply)| supply / demand).min().unwrap_or(i64::MAX);
        most.min(item.count as i64)
    }

    /// As the linear program sees it, filled with so much.
    fn column(&self, pattern: &Pattern) -> Column {
        let amounts = pattern.iter().map(|(item, count)| (*item, *count as f64)).collect();
        Column { price: self.price as f64, amounts }
    }
}

/// What a linear program says that items are worth, as values.
fn values(worth: &[f64]) -> Vec<i64> {
    let scale = (1u64 << VALUE_PLACES) as f64;
    worth.iter().map(|worth| (worth * scale) as i64).collect()
}

/// Whether one of an item fits into a bin.
fn fits(item: &Item, bin: &Bin) -> bool {
    has_room(item, &bin.supply)
}

/// Whether there is room for one of an item.
fn has_room(item: &Item, room: &[i64]) -> bool {
    item.demand.iter().zip(room).all(|(demand, room)| demand <= room)
}

/// The bins that each item fits into.
fn homes(bins: &[Bin], items: &[Item]) -> Vec<Vec<usize>> {
    items.iter().map(|item| (0..bins.len()).filter(|bin| fits(item, &bins[*bin])).collect()).collect()
}

#[cfg(test)]
mod tests;
