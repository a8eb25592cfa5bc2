//! A price below which no bins hold all items: the linear program over filled bins, proven.
//!
//! At any worth of the items such that no filling of a bin is worth more than the bin costs, nothing that holds all items costs less than they
//! are worth together. Column generation finds a worth at which that nearly is so; by how much a filling could be worth more than its bin is
//! then found by search, and the worth cut by as much.
//!
//! **Invariant:** the bound follows from integer arithmetic: a mishap of floats or a search cut short can lower it and never make it wrong.

use super::knapsack::{self, Choice};
use super::master::{Column, Master};
use super::{Bin, Item, VALUE_PLACES, fits, values};

/// Linear programs with more rows take too long.
const MOST_ITEMS: usize = 120;

/// Rounds of column generation, and what each adds at most.
const ROUNDS: usize = 400;
const A_ROUND: usize = 24;

/// Steps of a search for a filling, at first and at most: where one finds nothing, ten times as many follow.
const STEPS: u64 = 2_000;
const MOST_STEPS: u64 = 2_000_000;

/// How near to the best worth of items so far the next is looked for.
const NEARNESS: f64 = 0.7;

/// It is near enough to the optimum of the program if this part is missing.
const NEAR: f64 = 2e-4;

/// A price that no bins which hold all these items undercut. `allowed` says of each item whether it may go into each bin; an item that fits into
/// none is left out of account, as is everything where there are too many kinds of items to find out.
pub fn lower_bound(bins: &[Bin], items: &[Item], allowed: impl Fn(usize, usize) -> bool) -> i128 {
    if items.len() > MOST_ITEMS || bins.iter().any(|bin| bin.price <= 0 || bin.price > super::MOST_PRICE) {
        return 0;
    }
    let takes: Vec<Vec<usize>> = bins
        .iter()
        .enumerate()
        .map(|(bin, of)| {
            (0..items.len()).filter(|item| allowed(*item, bin) && fits(&items[*item], of)).collect()
        })
        .collect();
    let mut counts: Vec<u64> = items.iter().map(|item| item.count as u64).collect();
    let alone: Vec<f64> = (0..items.len()).map(|item| alone(bins, items, &takes, item)).collect();
    for (count, alone) in counts.iter_mut().zip(&alone) {
        if !alone.is_finite() {
            *count = 0;
        }
    }
    let mut search = Search { bins, items, takes, counts: &counts, columns: Vec::new() };
    let mut master = Master::new(&counts, &alone);
    let mut best: (i128, Vec<f64>) = (0, vec![0.0; items.len()]);
    let mut steps = STEPS;
    let mut last = f64::INFINITY;
    for _ in 0..ROUNDS {
        let (optimum, worth) = master.optimise(&search.columns);
        // Worths swing from one round to the next; near the best so far lie better ones.
        let near: Vec<f64> =
            worth.iter().zip(&best.1).map(|(new, best)| NEARNESS * best + (1.0 - NEARNESS) * new).collect();
        // What was found there may be no news where the program stands.
        let has_moved = optimum < last;
        last = optimum;
        let mut added = false;
        for (worth, of_use) in [(&near, has_moved), (&worth, true)] {
            if of_use && !added {
                let (bound, found) = search.round(&values(worth), steps);
                added = found;
                if bound > best.0 {
                    best = (bound, worth.clone());
                }
            }
        }
        if best.0 as f64 >= optimum * (1.0 - NEAR) {
            break;
        }
        if !added {
            // A longer search may find more, and proves more.
            if steps >= MOST_STEPS {
                break;
            }
            steps *= 10;
        }
    }
    best.0
}

/// What one of an item costs at least if bins hold nothing else.
fn alone(bins: &[Bin], items: &[Item], takes: &[Vec<usize>], item: usize) -> f64 {
    let homes = bins.iter().zip(takes).filter(|(_, takes)| takes.binary_search(&item).is_ok());
    let price = |bin: &Bin| bin.price as f64 / bin.holds_alone(&items[item]) as f64;
    homes.map(|(bin, _)| price(bin)).fold(f64::INFINITY, f64::min)
}

struct Search<'a> {
    bins: &'a [Bin],
    items: &'a [Item],
    /// The items that each bin takes.
    takes: Vec<Vec<usize>>,
    counts: &'a [u64],
    columns: Vec<Column>,
}

impl Search<'_> {
    /// The bound that these values of items prove, and whether fillings were found that are worth more than they cost, which become columns.
    fn round(&mut self, values: &[i64], steps: u64) -> (i128, bool) {
        // The largest part of its price that a filling may be worth: a fraction.
        let mut worst: (i128, i128) = (1, 1);
        let mut promising = Vec::new();
        for (at, bin) in self.bins.iter().enumerate() {
            let choices = self.choices(at, values);
            let prices = knapsack::resource_prices(&bin.supply, &choices);
            let most = knapsack::most(&bin.supply, &choices, &prices);
            if most > bin.cost() {
                promising.push(((most << 20) / bin.cost(), at, prices));
            }
        }
        promising.sort_by_key(|one| std::cmp::Reverse((one.0, one.1)));
        let mut better: Vec<(i128, Column)> = Vec::new();
        for (ratio, at, prices) in promising {
            if better.len() >= A_ROUND && worst.0 << 20 >= (ratio + 1) * worst.1 {
                // Whatever comes now is worth no more for its price, and there are columns enough.
                break;
            }
            let bin = &self.bins[at];
            let choices = self.choices(at, values);
            let filling = knapsack::fill(&bin.supply, &choices, &prices, steps);
            let cost = bin.cost();
            if filling.most * worst.1 > worst.0 * cost {
                worst = (filling.most, cost);
            }
            if i128::from(filling.value) > cost + (cost >> 20) {
                let gain = (i128::from(filling.value) << 20) / cost;
                better.push((gain, bin.column(&filling.pattern)));
            }
        }
        better.sort_by(|(a, _), (b, _)| b.cmp(a));
        let added = !better.is_empty();
        self.columns.extend(better.into_iter().take(A_ROUND).map(|(_, column)| column));
        let all: i128 = values
            .iter()
            .zip(self.counts)
            .map(|(value, count)| i128::from(*value) * i128::from(*count))
            .sum();
        ((all * worst.1 / worst.0) >> VALUE_PLACES, added)
    }

    fn choices(&self, bin: usize, values: &[i64]) -> Vec<Choice<'_>> {
        knapsack::choices(self.items, self.takes[bin].iter().copied(), values, self.counts)
    }
}
