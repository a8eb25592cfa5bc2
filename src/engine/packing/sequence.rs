//! Packing bin after bin, each around the dearest item that is left: unlike items fill bins without a gap, as long as what is hard to place comes
//! first and what is small is still there to complete it.
//!
//! Source: the heuristic MBS' of Fleszar and Hindi, New heuristics for one-dimensional bin-packing, 2002; here with several resources, and with bins
//! of several sizes, of which the one is taken whose filling is worth most for its price.
//!
//! **Invariant:** every item is packed, or nothing is.

use std::cmp::Reverse;

use super::knapsack::{self, Choice};
use super::parts::{Parts, cost};
use super::{Bin, Filled, Item, Pattern, VALUE_PLACES, cheapest, fits, has_room, price, values};

/// How hard it is tried to fill one bin.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Steps of a search.
    steps: u64,
    /// Kinds of items to choose from.
    kinds: usize,
    /// A filling is good enough if it is worth less than the bin costs by no more than this part.
    gap: f64,
}

/// One after the other, as long as there is budget: what fills the first bins best may leave what fills the last ones badly, so that those who try
/// less hard find the better packing at times.
const EFFORTS: [Effort; 4] = [
    Effort { steps: 300, kinds: 40, gap: 0.05 },
    Effort { steps: 1_000, kinds: 60, gap: 0.025 },
    Effort { steps: 3_000, kinds: 60, gap: 0.012 },
    Effort { steps: 10_000, kinds: 80, gap: 0.005 },
];

/// The next effort costs at least so many times what the last one did.
const DEARER: u64 = 2;

/// So many kinds of items are packed at a time: more take too long, and fill bins no better.
const MOST_KINDS: usize = 1_000;

/// How well an item goes with a bin: what it is worth for what it takes there, in so many parts. Those that go this well go well.
const FITNESS: f64 = 16.0;
const GOOD: u32 = 15;

/// Once so few items are left, bins are tried that the dearest of them does not go well with.
const FEW_LEFT: u64 = 40;

/// Packs items, for so much work at most; and the work that it took. None if that is not enough, or one fits nowhere.
pub(super) fn pack(bins: &[Bin], items: &[Item], parts: &Parts, budget: u64) -> (Option<Vec<Filled>>, u64) {
    let mut sequence = Sequence::new(bins, items, parts);
    let mut best: Option<(i128, Vec<Filled>)> = None;
    let mut work = 0;
    for effort in EFFORTS {
        let found = sequence.run(effort, budget - work);
        let took = sequence.work.min(budget - work);
        work += took;
        let Some(found) = found else { break };
        let price = price(bins, &found);
        if best.as_ref().is_none_or(|(least, _)| price < *least) {
            best = Some((price, found));
        }
        if took * DEARER > budget - work {
            break;
        }
    }
    (best.map(|(_, found)| found), work)
}

struct Sequence<'a> {
    bins: &'a [Bin],
    items: &'a [Item],
    /// What one of each item is worth.
    values: Vec<i64>,
    /// What a unit of each resource of each bin is worth.
    prices: Vec<Vec<i128>>,
    /// How well each item goes with each bin; none for those that it does not fit into.
    fitness: Vec<Vec<u32>>,
    dearest_first: Vec<usize>,
    /// Of this run: how many of each item are left, how hard it tries, the work that it took, and what it may take.
    left: Vec<u64>,
    effort: Effort,
    work: u64,
    budget: u64,
}

impl<'a> Sequence<'a> {
    fn new(bins: &'a [Bin], items: &'a [Item], parts: &Parts) -> Self {
        let fitness = |(bin, units): (&Bin, &Vec<f64>)| {
            let of_item = |(item, worth): (&Item, &f64)| match fits(item, bin) {
                true => (worth / cost(item, units).max(f64::MIN_POSITIVE) * FITNESS + 0.5) as u32,
                false => 0,
            };
            items.iter().zip(&parts.worth).map(of_item).collect()
        };
        let scale = (1u64 << VALUE_PLACES) as f64 * (1u64 << knapsack::PLACES) as f64;
        let price = |units: &Vec<f64>| units.iter().map(|unit| (unit * scale) as i128).collect();
        let values = values(&parts.worth);
        let mut dearest_first: Vec<usize> = (0..items.len()).collect();
        dearest_first.sort_by_key(|item| Reverse((values[*item], *item)));
        Self {
            bins,
            items,
            values,
            prices: parts.units.iter().map(price).collect(),
            fitness: bins.iter().zip(&parts.units).map(fitness).collect(),
            dearest_first,
            left: Vec::new(),
            effort: EFFORTS[0],
            work: 0,
            budget: 0,
        }
    }

    /// Packs all items with this effort, for so much work.
    fn run(&mut self, effort: Effort, budget: u64) -> Option<Vec<Filled>> {
        self.left = self.items.iter().map(|item| item.count as u64).collect();
        (self.effort, self.budget) = (effort, budget);
        // For each bin all items are put in order.
        self.work = (self.bins.len() * self.items.len()) as u64;
        let lots = self.items.len().div_ceil(MOST_KINDS);
        let mut packed = Vec::new();
        for lot in 0..lots {
            // Some of each size.
            let among: Vec<usize> = self.dearest_first.iter().skip(lot).step_by(lots).copied().collect();
            self.pack_among(&among, &mut packed)?;
        }
        Some(packed)
    }

    /// Packs these items, which come with the dearest in front.
    fn pack_among(&mut self, among: &[usize], packed: &mut Vec<Filled>) -> Option<()> {
        let orders: Vec<Vec<usize>> = self.fitness.iter().map(|fitness| best_first(among, fitness)).collect();
        let mut left: u64 = among.iter().map(|item| self.left[*item]).sum();
        for dearest in among {
            while self.left[*dearest] > 0 {
                let filled = self.best_around(*dearest, &orders, left <= FEW_LEFT)?;
                // The same again, as long as the mix of what is left stays much the same.
                let most =
                    filled.pattern.iter().map(|(item, count)| self.left[*item] / *count as u64).min()?;
                for _ in 0..(most / 4).max(1) {
                    for (item, count) in &filled.pattern {
                        self.left[*item] -= *count as u64;
                        left -= *count as u64;
                    }
                    packed.push(filled.clone());
                }
            }
        }
        Some(())
    }

    /// The bin with this item in it whose filling is worth most for its price, or the first that is good enough.
    fn best_around(&mut self, item: usize, orders: &[Vec<usize>], few_left: bool) -> Option<Filled> {
        self.left[item] -= 1;
        let mut best: Option<(i128, usize, Pattern)> = None;
        for (at, bin) in self.bins.iter().enumerate() {
            if !(few_left || self.fitness[at][item] >= GOOD) || !fits(&self.items[item], bin) {
                continue;
            }
            let rest = bin.supply.iter().zip(&self.items[item].demand);
            let rest: Vec<i64> = rest.map(|(supply, demand)| supply - demand).collect();
            let choices = self.choices(&rest, &orders[at], &self.fitness[at]);
            let enough = (bin.cost() as f64 * (1.0 - self.effort.gap)) as i64 - self.values[item];
            let filling =
                knapsack::fill_in_order(&rest, &choices, &self.prices[at], self.effort.steps, enough);
            self.work += filling.steps + orders[at].len() as u64 / 8;
            let worth = i128::from(filling.value) + i128::from(self.values[item]);
            let is_better =
                |(most, of, _): &(i128, usize, Pattern)| worth * self.bins[*of].cost() > most * bin.cost();
            if best.as_ref().is_none_or(is_better) {
                best = Some((worth, at, filling.pattern));
            }
            if filling.value >= enough {
                break;
            }
        }
        self.left[item] += 1;
        let (_, _, mut pattern) = best.filter(|_| self.work <= self.budget)?;
        match pattern.binary_search_by_key(&item, |(item, _)| *item) {
            Ok(at) => pattern[at].1 += 1,
            Err(at) => pattern.insert(at, (item, 1)),
        }
        cheapest(self.bins, self.items, pattern)
    }

    /// Items to choose from for the rest of a bin: evenly from those that go well with it, so that there are some of each size.
    fn choices(&self, rest: &[i64], order: &[usize], fitness: &[u32]) -> Vec<Choice<'a>> {
        let is_left = |item: &&usize| self.left[**item] > 0 && has_room(&self.items[**item], rest);
        let fitting: Vec<usize> = order.iter().filter(is_left).copied().collect();
        let good = fitting.partition_point(|item| fitness[*item] >= GOOD);
        let good = good.max(self.effort.kinds).min(fitting.len());
        let many = good.min(self.effort.kinds);
        let chosen = (0..many).map(|number| fitting[number * good / many]);
        knapsack::choices(self.items, chosen, &self.values, &self.left)
    }
}

/// Those of these items that fit into a bin, the ones that go best with it in front.
fn best_first(among: &[usize], fitness: &[u32]) -> Vec<usize> {
    let mut order: Vec<usize> = among.iter().filter(|item| fitness[**item] > 0).copied().collect();
    order.sort_by_key(|item| Reverse(fitness[*item]));
    order
}
