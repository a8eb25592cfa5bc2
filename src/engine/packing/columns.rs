//! Packing by column generation: the linear program over filled bins, bins added to it as long as one is worth more than it costs, and its
//! solution made whole by diving: what it buys whole is bought, and the program is asked again about the rest.
//!
//! **Invariant:** what comes out costs no more than what went in.

use super::knapsack;
use super::master::{Column, Master};
use super::{Bin, Filled, Item, Pattern, cheapest, fits, greedy, price, values};

/// Linear programs have a row for each item; more take too long.
pub(super) const MOST_ITEMS: usize = 64;

/// So many fillings one round of generation adds.
const A_ROUND: usize = 4;

/// So many rounds there are after each step of the dive.
const LATER_ROUNDS: usize = 4;

/// Steps of the search for one filling: many that are good are worth more than a few that are best, as long as there are any.
pub(super) const STEPS: u64 = 100;

/// So many searches in vain may cost what is left of the budget before longer ones are tried.
const SEARCHES: u64 = 64;

/// What costs at most this part more than the linear program is good enough.
const NEAR: f64 = 0.001;

/// The rest is packed bin after bin too once it is worth no more than this part of all.
const FEW_LEFT: f64 = 0.5;

/// What is bought of one column in the dive if it is at least this near to a whole bin.
const NEARLY_WHOLE: f64 = 0.7;

/// Packs what these bins hold into bins that cost less, or leaves it as it is, with so many rounds in which columns are generated at first and
/// so many steps of a search for one at most; and the work that it took.
pub(super) fn pack(
    bins: &[Bin],
    items: &[Item],
    start: &[Filled],
    effort: (usize, u64),
    budget: u64,
) -> (Vec<Filled>, u64) {
    let mut dive = Dive::new(bins, items, start, budget);
    dive.run(effort);
    (dive.best, dive.work)
}

struct Dive<'a> {
    bins: &'a [Bin],
    items: &'a [Item],
    /// The last prices of the resources of each bin.
    prices: Vec<Option<Vec<i128>>>,
    /// Fillings as the linear program sees them, and as they are.
    columns: Vec<Column>,
    fillings: Vec<Filled>,
    /// What is still to be packed.
    left: Vec<u64>,
    /// What was bought.
    bought: Vec<Filled>,
    best: Vec<Filled>,
    best_price: i128,
    work: u64,
    budget: u64,
}

impl<'a> Dive<'a> {
    fn new(bins: &'a [Bin], items: &'a [Item], start: &[Filled], budget: u64) -> Self {
        let mut dive = Self {
            bins,
            items,
            prices: vec![None; bins.len()],
            columns: Vec::new(),
            fillings: Vec::new(),
            left: items.iter().map(|item| item.count as u64).collect(),
            bought: Vec::new(),
            best: start.to_vec(),
            best_price: price(bins, start),
            work: 0,
            budget,
        };
        let mut known = start.to_vec();
        known.sort_by(|a, b| (a.bin, &a.pattern).cmp(&(b.bin, &b.pattern)));
        known.dedup();
        known.into_iter().for_each(|filled| dive.add(filled));
        dive
    }

    fn run(&mut self, first: (usize, u64)) {
        let alone = self.add_alone();
        let mut effort = first;
        while self.left.iter().any(|count| *count > 0) && self.work < self.budget {
            let left = self.left.clone();
            let mut master = Master::new(&left, &alone);
            let (optimum, worth) = self.generate(&mut master, effort);
            let spent = price(self.bins, &self.bought) as f64;
            if spent + optimum * (1.0 + NEAR) >= self.best_price as f64 {
                return;
            }
            effort = (LATER_ROUNDS, STEPS);
            let mut solution = master.bought();
            solution.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            self.buy(&solution);
            // Bin after bin is slow, and good where few are left.
            let is_done = self.left.iter().all(|count| *count == 0);
            if is_done || worth_left(&self.left, &worth) <= FEW_LEFT * (spent + optimum) {
                self.complete(&worth);
            }
        }
    }

    /// Asks the linear program, and adds fillings that are worth more than they cost, until there is none; where there seems to be none, longer
    /// searches follow.
    fn generate(&mut self, master: &mut Master<'_>, (rounds, most_steps): (usize, u64)) -> (f64, Vec<f64>) {
        let mut result = master.optimise(&self.columns);
        let mut steps = STEPS;
        for _ in 0..rounds {
            let rows = self.left.iter().filter(|count| **count > 0).count() as u64;
            self.work += (master.take_pivots() + 1) * (rows * rows + self.columns.len() as u64 * 16) / 64;
            if self.work > self.budget {
                break;
            }
            if !self.add_better(&result.1, steps) {
                steps *= 10;
                if steps > most_steps || steps * SEARCHES > self.budget - self.work.min(self.budget) {
                    break;
                }
                continue;
            }
            result = master.optimise(&self.columns);
        }
        result
    }

    /// Adds fillings that at this worth of items are worth more than they cost; false if none was found.
    fn add_better(&mut self, worth: &[f64], steps: u64) -> bool {
        let values = values(worth);
        let mut promising = Vec::new();
        for (at, bin) in self.bins.iter().enumerate() {
            let fitting = (0..self.items.len()).filter(|item| fits(&self.items[*item], bin));
            let choices = knapsack::choices(self.items, fitting, &values, &self.left);
            self.work += choices.len() as u64 / 2;
            let cost = bin.cost();
            let is_too_dear =
                |prices: &Vec<i128>| knapsack::most(&bin.supply, &choices, prices) <= cost + (cost >> 16);
            if self.prices[at].as_ref().is_some_and(is_too_dear) {
                continue;
            }
            let prices = knapsack::resource_prices(&bin.supply, &choices);
            self.work += choices.len() as u64;
            let most = knapsack::most(&bin.supply, &choices, &prices);
            self.prices[at] = Some(prices);
            if most > cost + (cost >> 16) {
                promising.push((((most - cost) << 20) / cost, at, choices));
            }
        }
        promising.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut added = 0;
        for (_, at, choices) in promising {
            let bin = &self.bins[at];
            let prices = self.prices[at].as_deref().unwrap_or_default();
            let filling = knapsack::fill(&bin.supply, &choices, prices, steps);
            self.work += choices.len() as u64 + filling.steps;
            let cost = bin.cost();
            if i128::from(filling.value) > cost + (cost >> 16) {
                self.add(Filled { bin: at, pattern: filling.pattern });
                added += 1;
            }
            if added == A_ROUND || self.work > self.budget {
                break;
            }
        }
        added > 0
    }

    fn add(&mut self, filled: Filled) {
        self.columns.push(self.bins[filled.bin].column(&filled.pattern));
        self.fillings.push(filled);
    }

    /// Adds bins that hold nothing but one item, for each the one that costs least, and says what a little more than that is.
    fn add_alone(&mut self) -> Vec<f64> {
        let items = self.items;
        let mut alone = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let of_bin = |(number, bin): (usize, &Bin)| {
                let fit = bin.holds_alone(item);
                (fit > 0).then(|| (bin.price as f64 / fit as f64, number, fit as usize))
            };
            let all = self.bins.iter().enumerate().filter_map(of_bin);
            let best = all.min_by(|a, b| a.0.total_cmp(&b.0));
            alone.push(best.map_or(f64::INFINITY, |(price, ..)| price * (1.0 + NEAR)));
            if let Some((_, bin, fit)) = best {
                self.add(Filled { bin, pattern: vec![(at, fit)] });
            }
        }
        self.work += (items.len() * self.bins.len()) as u64;
        alone
    }

    /// Buys what the linear program buys whole; and if that is nothing, what it nearly does, but one bin at least.
    fn buy(&mut self, solution: &[(usize, f64)]) {
        let before = self.bought.len();
        for (column, count) in solution {
            // Sums of fractions that would be whole are a little less at times.
            for _ in 0..(count + 1e-6) as usize {
                self.buy_one(*column, true);
            }
        }
        if self.bought.len() > before {
            return;
        }
        for (number, (column, count)) in solution.iter().enumerate() {
            if number == 0 || *count >= NEARLY_WHOLE {
                self.buy_one(*column, number > 0);
            }
        }
        if self.bought.len() == before {
            // The program may still stand on items alone in their bins.
            let Some(item) = (0..self.left.len()).find(|item| self.left[*item] > 0) else { return };
            let filled = cheapest(self.bins, self.items, vec![(item, 1)]);
            self.put(filled);
        }
    }

    /// Buys a bin filled as in a column; with less, in a cheaper bin, where less is left, unless it must be whole.
    fn buy_one(&mut self, column: usize, whole: bool) {
        let filled = &self.fillings[column];
        let left = |item: usize, count: usize| count.min(usize::try_from(self.left[item]).unwrap_or(count));
        let pattern: Pattern = filled
            .pattern
            .iter()
            .map(|(item, count)| (*item, left(*item, *count)))
            .filter(|(_, count)| *count > 0)
            .collect();
        if pattern == filled.pattern {
            self.put(Some(filled.clone()));
        } else if !whole && !pattern.is_empty() {
            let filled = cheapest(self.bins, self.items, pattern);
            self.put(filled);
        }
    }

    fn put(&mut self, filled: Option<Filled>) {
        let Some(filled) = filled else { return };
        for (item, count) in &filled.pattern {
            self.left[*item] -= *count as u64;
        }
        self.bought.push(filled);
    }

    /// Packs what is left bin after bin, and keeps what came of it if nothing was cheaper.
    fn complete(&mut self, worth: &[f64]) {
        let left = self.left.iter().map(|count| *count as usize).collect();
        let worth = worth.iter().map(|worth| ((worth * (1u64 << 20) as f64) as i128).max(1)).collect();
        let (rest, work) = greedy::pack(self.bins, self.items, left, worth);
        self.work += work;
        let rest = if self.left.iter().all(|count| *count == 0) { Some(Vec::new()) } else { rest };
        let Some(rest) = rest else { return };
        let rest: Vec<Filled> =
            rest.into_iter().filter_map(|filled| cheapest(self.bins, self.items, filled.pattern)).collect();
        let all = price(self.bins, &self.bought) + price(self.bins, &rest);
        if all < self.best_price {
            self.best = self.bought.iter().cloned().chain(rest).collect();
            self.best_price = all;
        }
    }
}

/// What so many of each item are worth.
fn worth_left(left: &[u64], worth: &[f64]) -> f64 {
    left.iter().zip(worth).map(|(count, worth)| *count as f64 * worth).sum()
}
