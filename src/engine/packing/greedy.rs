//! Packing bin after bin: each time the bin whose filling is worth most for its price, until nothing is left.
//!
//! Which bins are tried follows from shadow prices of the first two resources, the highest at which no bin is worth more than it costs.
//!
//! **Invariant:** every item is packed.

use super::{Bin, Filled, Item, Pattern, fits, has_room};

/// So many bins are tried for a filling: of those that are worth their price, and of the cheapest.
const BINS_TRIED: usize = 16;

/// Steps between the ratios of shadow prices that are tried; each is a quarter more than the one before.
const RATIOS: i32 = 40;

/// Packs so many of each item, of which each is worth so much, in 2^-20 of the unit of prices; and the work that it took. None if one fits nowhere.
pub(super) fn pack(
    bins: &[Bin],
    items: &[Item],
    left: Vec<usize>,
    worth: Vec<i128>,
) -> (Option<Vec<Filled>>, u64) {
    let mut greedy = Greedy { worth, ..Greedy::new(bins, items) };
    let found = greedy.shadow(&left).and_then(|shadow| greedy.run(shadow, left));
    (found, greedy.work)
}

struct Greedy<'a> {
    bins: &'a [Bin],
    items: &'a [Item],
    /// What one of each item is worth, in 2^-20 of the unit of prices.
    worth: Vec<i128>,
    /// Binary places by which amounts of each resource are cut, so that products of them stay small.
    cut: Vec<u32>,
    work: u64,
}

/// What so many of each item take together.
fn all(items: &[Item], left: &[usize], resources: usize) -> Vec<i64> {
    let mut all = vec![0i64; resources];
    for (item, count) in items.iter().zip(left) {
        for (all, demand) in all.iter_mut().zip(&item.demand) {
            *all = all.saturating_add(demand.saturating_mul(*count as i64));
        }
    }
    all
}

/// The worth of a unit of the first two resources.
#[derive(Debug, Clone, Copy)]
struct Shadow([i128; 2]);

impl<'a> Greedy<'a> {
    fn new(bins: &'a [Bin], items: &'a [Item]) -> Self {
        let resources = bins.first().map_or(0, |bin| bin.supply.len());
        let most = |resource: usize| bins.iter().map(|bin| bin.supply[resource]).max().unwrap_or(0).max(1);
        let cut = (0..resources).map(|resource| most(resource).ilog2().saturating_sub(24)).collect();
        Self { bins, items, worth: vec![0; items.len()], cut, work: 0 }
    }

    /// Puts all that is left into bins.
    fn run(&mut self, shadow: Shadow, mut left: Vec<usize>) -> Option<Vec<Filled>> {
        let mut packed = Vec::new();
        while left.iter().any(|count| *count > 0) {
            let filled = self.best(shadow, &left)?;
            // The same again, as long as the mix of what is left stays much the same.
            let most = filled.pattern.iter().map(|(item, count)| left[*item] / count).min()?;
            for _ in 0..(most / 4).max(1) {
                for (item, count) in &filled.pattern {
                    left[*item] -= count;
                }
                packed.push(filled.clone());
            }
        }
        Some(packed)
    }

    fn worth_of(&self, shadow: Shadow, amounts: &[i64]) -> i128 {
        let units = amounts.iter().zip(&self.cut).map(|(amount, cut)| i128::from((*amount).max(0) >> cut));
        units.zip(shadow.0).map(|(units, price)| units * price).sum()
    }

    /// The shadow prices at which what is left is worth most while no bin is worth more than it costs.
    fn shadow(&mut self, left: &[usize]) -> Option<Shadow> {
        let all = all(self.items, left, self.cut.len());
        let mut best: Option<(i128, Shadow)> = None;
        let mut ratio = (1i128 << 20, 1i128 << 8);
        for _ in 0..RATIOS {
            self.work += self.bins.len() as u64;
            let unit = Shadow([ratio.1, ratio.0]);
            // The scale at which the bin that is worth most is worth just its price.
            let scale = self
                .bins
                .iter()
                .filter_map(|bin| {
                    let worth = self.worth_of(unit, &bin.supply);
                    (worth > 0).then(|| (i128::from(bin.price) << 60) / worth)
                })
                .min()?;
            let shadow = Shadow(unit.0.map(|price| (price * scale) >> 40));
            let worth = self.worth_of(shadow, &all);
            if best.is_none_or(|(most, _)| worth > most) {
                best = Some((worth, shadow));
            }
            ratio = (ratio.0 * 4 / 5, ratio.1 * 5 / 4);
        }
        best.map(|(_, shadow)| shadow)
    }

    /// The bin whose filling is worth most for its price, with that.
    fn best(&mut self, shadow: Shadow, left: &[usize]) -> Option<Filled> {
        let mut best: Option<(i128, Filled)> = None;
        for bin in self.promising(shadow, left) {
            for dearest_first in [false, true] {
                let pattern = self.fill(&self.bins[bin].supply, left, dearest_first);
                let taken: usize = pattern.iter().map(|(_, count)| count).sum();
                self.work += (self.items.len() * (1 + taken)) as u64 / 16;
                let worth: i128 =
                    pattern.iter().map(|(item, count)| self.worth[*item] * *count as i128).sum();
                let price = i128::from(self.bins[bin].price);
                let better = best
                    .as_ref()
                    .is_none_or(|(most, of)| worth * i128::from(self.bins[of.bin].price) > most * price);
                if worth > 0 && better {
                    best = Some((worth, Filled { bin, pattern }));
                }
            }
        }
        best.map(|(_, filled)| filled)
    }

    /// The bins to try: those that are worth most for their price, and the cheapest that hold anything.
    fn promising(&self, shadow: Shadow, left: &[usize]) -> Vec<usize> {
        let holds_any = |bin: &Bin| {
            let mut items = self.items.iter().zip(left);
            items.any(|(item, left)| *left > 0 && fits(item, bin))
        };
        let mut bins: Vec<(usize, i128, i128)> = self
            .bins
            .iter()
            .enumerate()
            .filter(|(_, bin)| holds_any(bin))
            .map(|(at, bin)| (at, self.worth_of(shadow, &bin.supply), i128::from(bin.price)))
            .collect();
        bins.sort_by(|a, b| (a.2 * b.1, a.2, a.0).cmp(&(b.2 * a.1, b.2, b.0)));
        let mut tried: Vec<usize> = bins.iter().take(BINS_TRIED).map(|(at, ..)| *at).collect();
        bins.sort_by_key(|(at, _, price)| (*price, *at));
        tried.extend(bins.into_iter().take(BINS_TRIED).map(|(at, ..)| at));
        tried
    }

    /// How many of each item to put into a bin: again and again the one that is worth most, or that goes best with what is left of the bin.
    fn fill(&self, supply: &[i64], left: &[usize], dearest_first: bool) -> Pattern {
        let mut room = supply.to_vec();
        let mut counts = vec![0usize; self.items.len()];
        // The part of the bin that something takes of each of the first two resources.
        let share = |resource: usize, amount: i64| {
            let cut = self.cut[resource];
            ((amount >> cut) << 20) / (supply[resource] >> cut).max(1)
        };
        let mut choices: Vec<(usize, [i64; 2])> = (0..self.items.len())
            .filter(|at| left[*at] > 0 && has_room(&self.items[*at], &room))
            .map(|at| (at, [0, 1].map(|resource| share(resource, self.items[at].demand[resource]))))
            .collect();
        while !choices.is_empty() {
            let rest = [0, 1].map(|resource| share(resource, room[resource]));
            // What takes most of what there is most of, or what is dearest elsewhere.
            let score = |(at, takes): &(usize, [i64; 2])| {
                if dearest_first {
                    self.worth[*at]
                } else {
                    i128::from(takes[0] * rest[0] + takes[1] * rest[1])
                }
            };
            let Some((at, _)) = choices.iter().rev().max_by_key(|choice| score(choice)).copied() else {
                break;
            };
            counts[at] += 1;
            room.iter_mut().zip(&self.items[at].demand).for_each(|(room, demand)| *room -= demand);
            choices.retain(|(at, _)| counts[*at] < left[*at] && has_room(&self.items[*at], &room));
        }
        counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect()
    }
}
