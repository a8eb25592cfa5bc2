//! The best filling of one bin: items with values, of which those are taken that together are worth most.
//!
//! A linear program, in which parts of items may be taken, gives each resource of the bin a price; a depth-first search over whole items then
//! leaves out whatever, with the rest of the bin sold at these prices, could not beat what was found already.
//!
//! **Invariant:** [`Filling::most`] follows from integer arithmetic, whatever prices the linear program came up with: no filling is worth more.

use super::{Item, Pattern};

/// An item that may be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice<'a> {
    /// Which of all items it is.
    pub item: usize,
    pub demand: &'a [i64],
    /// Above zero.
    pub value: i64,
    /// So many of it at most.
    pub count: usize,
}

/// What may be put into a bin: of these items those that are left and are worth anything.
pub(super) fn choices<'a>(
    items: &'a [Item],
    among: impl Iterator<Item = usize>,
    values: &[i64],
    left: &[u64],
) -> Vec<Choice<'a>> {
    among
        .filter(|item| values[*item] > 0 && left[*item] > 0)
        .map(|item| Choice {
            item,
            demand: &items[item].demand,
            value: values[item],
            count: usize::try_from(left[item]).unwrap_or(usize::MAX),
        })
        .collect()
}

/// What a bin is filled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filling {
    pub value: i64,
    pub pattern: Pattern,
    /// No filling is worth more.
    pub most: i128,
    /// Steps that the search took.
    pub steps: u64,
}

/// Prices of a bin's resources are in this many binary places of a value.
pub(super) const PLACES: u32 = 40;

/// What counts as zero in a linear program whose amounts are of the order of one.
const TINY: f64 = 1e-9;

/// The worth of a unit of each resource of a bin, for these choices: the optimal dual solution of the linear program.
///
/// Any others are valid too, and give higher bounds.
pub(super) fn resource_prices(supply: &[i64], choices: &[Choice<'_>]) -> Vec<i128> {
    let scale = choices.iter().map(|choice| choice.value).max().unwrap_or(1).max(1) as f64;
    let rows = supply.len();
    let width = choices.len() + rows;
    let mut table = vec![vec![0.0; width]; rows];
    let mut gains = vec![0.0; width];
    for (at, choice) in choices.iter().enumerate() {
        for ((line, demand), supply) in table.iter_mut().zip(choice.demand).zip(supply) {
            line[at] = if *supply > 0 { *demand as f64 / *supply as f64 } else { 0.0 };
        }
        gains[at] = choice.value as f64 / scale;
    }
    for (row, line) in table.iter_mut().enumerate() {
        line[choices.len() + row] = 1.0;
    }
    let upper = |column: usize| choices.get(column).map_or(f64::INFINITY, |choice| choice.count as f64);
    let mut basis: Vec<usize> = (choices.len()..width).collect();
    let mut amounts = vec![1.0; rows];
    let mut is_full = vec![false; width];
    for _ in 0..20 * (rows + 1) {
        let promise = |column: usize| if is_full[column] { -gains[column] } else { gains[column] };
        let Some(entering) = (0..width)
            .filter(|column| promise(*column) > TINY)
            .max_by(|a, b| promise(*a).total_cmp(&promise(*b)).then(b.cmp(a)))
        else {
            break;
        };
        // An amount that is full comes down, any other goes up; until it, or an amount of the basis, meets a limit.
        let way = if is_full[entering] { -1.0 } else { 1.0 };
        let mut step = upper(entering);
        let mut leaving = None;
        for (row, line) in table.iter().enumerate() {
            let change = way * line[entering];
            let room = if change > TINY {
                amounts[row] / change
            } else if change < -TINY {
                (amounts[row] - upper(basis[row])) / change
            } else {
                continue;
            };
            if room < step {
                (step, leaving) = (room.max(0.0), Some((row, change < 0.0)));
            }
        }
        for (amount, line) in amounts.iter_mut().zip(&table) {
            *amount -= step * way * line[entering];
        }
        let Some((row, at_its_most)) = leaving else {
            is_full[entering] = !is_full[entering];
            continue;
        };
        let start = if is_full[entering] { upper(entering) } else { 0.0 };
        is_full[basis[row]] = at_its_most;
        is_full[entering] = false;
        amounts[row] = start + way * step;
        basis[row] = entering;
        let divisor = table[row][entering];
        table[row].iter_mut().for_each(|cell| *cell /= divisor);
        let line = std::mem::take(&mut table[row]);
        for other in table.iter_mut().filter(|other| !other.is_empty()).chain([&mut gains]) {
            let factor = other[entering];
            if factor != 0.0 {
                other.iter_mut().zip(&line).for_each(|(cell, by)| *cell -= factor * by);
            }
        }
        table[row] = line;
    }
    let unit = scale * (1u64 << PLACES) as f64;
    let price = |(row, supply): (usize, &i64)| {
        let price = (-gains[choices.len() + row]).max(0.0);
        if *supply > 0 { (price * unit / *supply as f64) as i128 } else { 0 }
    };
    supply.iter().enumerate().map(price).collect()
}

/// A value above which, at these prices of its resources, no filling of a bin is.
pub(super) fn most(supply: &[i64], choices: &[Choice<'_>], prices: &[i128]) -> i128 {
    let gains = choices.iter().map(|choice| gain(choice, prices).max(0) * choice.count as i128);
    (dot(supply, prices) + gains.sum::<i128>()) >> PLACES
}

/// What a choice is worth above the resources that it takes.
fn gain(choice: &Choice<'_>, prices: &[i128]) -> i128 {
    (i128::from(choice.value) << PLACES) - dot(choice.demand, prices)
}

fn dot(amounts: &[i64], prices: &[i128]) -> i128 {
    amounts.iter().zip(prices).map(|(amount, price)| i128::from(*amount) * price).sum()
}

/// Fills a bin, in so many steps at most; with the prices of its resources at hand.
pub(super) fn fill(supply: &[i64], choices: &[Choice<'_>], prices: &[i128], steps: u64) -> Filling {
    let mut order: Vec<(i128, Choice<'_>)> =
        choices.iter().map(|choice| (dot(choice.demand, prices), *choice)).collect();
    // What is worth most for what it takes comes first: then the first way down the tree is a good one.
    order.sort_by(|(takes, a), (other_takes, b)| {
        let (left, right) = (i128::from(b.value) * (takes >> 20), i128::from(a.value) * (other_takes >> 20));
        (left, a.item).cmp(&(right, b.item))
    });
    let order: Vec<Choice<'_>> = order.into_iter().map(|(_, choice)| choice).collect();
    fill_in_order(supply, &order, prices, steps, i64::MAX)
}

/// The same with choices that are tried in this order, and no further than to a filling that is worth enough.
pub(super) fn fill_in_order(
    supply: &[i64],
    choices: &[Choice<'_>],
    prices: &[i128],
    steps: u64,
    enough: i64,
) -> Filling {
    let order: Vec<(i128, i128, &Choice<'_>)> =
        choices.iter().map(|choice| (gain(choice, prices), dot(choice.demand, prices), choice)).collect();
    let mut rest = vec![0i128; order.len() + 1];
    for (at, (gain, _, choice)) in order.iter().enumerate().rev() {
        rest[at] = rest[at + 1] + (*gain).max(0) * choice.count as i128;
    }
    let mut search = Search {
        order: &order,
        rest: &rest,
        room: supply.to_vec(),
        counts: vec![0; order.len()],
        best: 0,
        best_counts: vec![0; order.len()],
        open: 0,
        enough,
        steps,
        taken: 0,
    };
    search.descend(0, 0, dot(supply, prices));
    let pattern = search.best_counts.iter().zip(&order).filter(|(count, _)| **count > 0);
    let mut pattern: Pattern = pattern.map(|(count, (_, _, choice))| (choice.item, *count)).collect();
    pattern.sort_unstable();
    let most = i128::from(search.best).max(search.open >> PLACES);
    Filling { value: search.best, pattern, most, steps: search.taken }
}

struct Search<'s, 'a> {
    /// Choices with what each is worth above what it takes, and what it takes.
    order: &'s [(i128, i128, &'s Choice<'a>)],
    /// What all from here on could add above what they take.
    rest: &'s [i128],
    room: Vec<i64>,
    counts: Vec<usize>,
    best: i64,
    best_counts: Vec<usize>,
    /// The most that what was not looked at could have been worth.
    open: i128,
    /// Nothing better is looked for.
    enough: i64,
    /// Steps left, and taken.
    steps: u64,
    taken: u64,
}

impl Search<'_, '_> {
    /// Looks for better fillings in which the choices before this one are settled; `credit` is what is left of the bin, at its prices. False
    /// if there can be none, nor with less of the bin's worth.
    fn descend(&mut self, from: usize, value: i64, credit: i128) -> bool {
        let mut at = from;
        let most = loop {
            let bound = (i128::from(value) << PLACES) + credit + self.rest[at];
            if bound >> PLACES <= i128::from(self.best) {
                // Further on it is for lack of room, of which there would be more.
                return at > from;
            }
            if at == self.order.len() {
                if value > self.best {
                    self.best = value;
                    self.best_counts.clone_from(&self.counts);
                    if value >= self.enough {
                        self.steps = 0;
                    }
                }
                return true;
            }
            if self.steps == 0 {
                self.open = self.open.max(bound);
                return true;
            }
            self.steps -= 1;
            self.taken += 1;
            let choice = self.order[at].2;
            let fits = |(room, demand): (&i64, &i64)| if *demand > 0 { room / demand } else { i64::MAX };
            let most = self.room.iter().zip(choice.demand).map(fits).min().unwrap_or(0).max(0);
            let most = choice.count.min(usize::try_from(most).unwrap_or(usize::MAX));
            if most > 0 {
                break most;
            }
            at += 1;
        };
        let (gain, takes, choice) = self.order[at];
        for count in (0..=most).rev() {
            self.take(choice.demand, count as i64);
            self.counts[at] = count;
            let value = value + choice.value * count as i64;
            let was_out_of_steps = self.steps == 0;
            let of_use = self.descend(at + 1, value, credit - takes * count as i128);
            self.take(choice.demand, -(count as i64));
            // With fewer of what is worth more than it takes the bound only falls. Without steps all that is looked at is the bound.
            if gain >= 0 && (!of_use || was_out_of_steps) {
                break;
            }
        }
        self.counts[at] = 0;
        true
    }

    fn take(&mut self, demand: &[i64], count: i64) {
        self.room.iter_mut().zip(demand).for_each(|(room, demand)| *room -= demand * count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The highest value, by trying everything.
    fn brute_force(room: &[i64], choices: &[Choice<'_>]) -> i64 {
        let Some((choice, others)) = choices.split_first() else { return 0 };
        let mut best = 0;
        for count in 0..=choice.count as i64 {
            let left: Vec<i64> =
                room.iter().zip(choice.demand).map(|(room, demand)| room - demand * count).collect();
            if left.iter().any(|left| *left < 0) {
                break;
            }
            best = best.max(choice.value * count + brute_force(&left, others));
        }
        best
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

        #[test]
        fn no_filling_is_better(
            supply in proptest::collection::vec(0i64..40, 3),
            items in proptest::collection::vec((proptest::collection::vec(0i64..12, 3), 1i64..1_000, 1usize..4), 0..6),
            few in 0u64..30,
        ) {
            let choices: Vec<Choice<'_>> = items
                .iter()
                .enumerate()
                .map(|(item, (demand, value, count))| Choice { item, demand, value: *value, count: *count })
                .collect();
            let prices = resource_prices(&supply, &choices);
            let optimum = brute_force(&supply, &choices);
            let found = fill(&supply, &choices, &prices, u64::MAX);
            prop_assert_eq!(found.value, optimum);
            prop_assert_eq!(found.most, i128::from(optimum));
            prop_assert!(most(&supply, &choices, &prices) >= i128::from(optimum));
            let worth: i64 = found.pattern.iter().map(|(item, count)| items[*item].1 * *count as i64).sum();
            prop_assert_eq!(worth, optimum);
            for (resource, supply) in supply.iter().enumerate() {
                let used: i64 = found.pattern.iter().map(|(item, count)| items[*item].0[resource] * *count as i64).sum();
                prop_assert!(used <= *supply);
            }
            // Cut short it may find less, but says no less.
            let cut = fill(&supply, &choices, &prices, few);
            prop_assert!(cut.value <= optimum && cut.most >= i128::from(optimum) && cut.steps <= few);
        }

        #[test]
        fn prices_bound_what_parts_of_items_are_worth(
            items in proptest::collection::vec((proptest::collection::vec(1i64..1_000, 2), 1i64..1_000), 1..20),
        ) {
            // With as many of each as there is room for, the best is all of the one that is worth most for what it takes of some mix.
            let supply = [1_000_000i64, 1_000_000];
            let choices: Vec<Choice<'_>> = items
                .iter()
                .enumerate()
                .map(|(item, (demand, value))| Choice { item, demand, value: *value, count: 10_000_000 })
                .collect();
            let prices = resource_prices(&supply, &choices);
            let greedy = choices.iter().map(|choice| {
                let most = choice.demand.iter().map(|demand| 1_000_000 / demand).min().unwrap();
                i128::from(most * choice.value)
            });
            let bound = most(&supply, &choices, &prices);
            prop_assert!(bound >= greedy.max().unwrap());
            let dual = dot(&supply, &prices) >> PLACES;
            prop_assert!(bound - dual <= 10_000_000, "the prices leave {} unsold of {bound}", bound - dual);
        }
    }
}
