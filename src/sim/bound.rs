//! A lower bound on what any set of nodes costs that holds given pods: the yardstick for how good decisions were.
//!
//! The bound is the linear relaxation of packing: nodes may be bought in fractions, and pods cut into pieces. Its dual
//! puts a price on each resource of each instance type such that no node's resources together are worth more than the
//! node costs; a pod is then worth at least what it takes of the type where that is cheapest, and the pods together are
//! a lower bound. Any such prices give one, good prices a high one.
//!
//! So floats only propose resource prices, found by climbing and by column generation. `Reduced::proven_worth` rounds them down to
//! integers, checks in integers that they fit each node's price, and adds up in integers. A numerical mishap
//! can lower the bound but never make it wrong.
//!
//! **Invariant:** a [`Price`] or [`Money`] that leaves this module follows from integer arithmetic alone.

use std::collections::BTreeMap;

use purser_engine::model::{Money, Price, Resources, Time};
use purser_engine::packing::master::{Column, Master, pivot};
use purser_engine::packing::{Bin, Item, Parts};

/// Pods that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodClass {
    /// What one of them asks for, the pod itself (`pods: 1`) included.
    pub requests: Resources,
    /// Whether it may be on a node of each type, in the order of the types; false where the list is too short.
    pub allowed: Vec<bool>,
}

/// An instance type, as far as the bound goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundType {
    /// What pods can use, less what daemons take on each node.
    pub allocatable: Resources,
    /// The least that a node of this type costs. One that is not above zero makes the pods that fit on it free.
    pub price: Price,
}

/// A lower bound at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LowerBound {
    /// No set of nodes that holds the pods costs less.
    pub price: Price,
    /// Pods that fit on no type, and are not in the price.
    pub unplaced: u64,
}

/// The time for which a pod runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Its class, by place in the list of classes.
    pub class: usize,
    /// When it starts.
    pub start: Time,
    /// When it ends.
    pub end: Time,
}

/// A lower bound over some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBound {
    /// No nodes that held the pods while they ran cost less.
    pub cost: Money,
    /// Linear programs solved.
    pub programs: usize,
    /// Runs whose pod fits on no type, and that are not in the cost.
    pub unplaced: u64,
}

/// A lower bound on the price of any set of nodes that holds so many pods of these classes at the same moment.
pub fn lower_bound(pods: &[(PodClass, u64)], types: &[BoundType]) -> LowerBound {
    let reduced = Reduced::new(pods.iter().map(|(class, _)| class), types);
    let mut counts = vec![0; reduced.demands.len()];
    let mut unplaced: u64 = 0;
    for ((_, count), fate) in pods.iter().zip(&reduced.fates) {
        match fate {
            Fate::Group(group) => counts[*group] = u64::saturating_add(counts[*group], *count),
            Fate::Free => {}
            Fate::Unplaced => unplaced = unplaced.saturating_add(*count),
        }
    }
    let worth = Search::new(&reduced).best_worth(&counts);
    LowerBound { price: total(&worth, &counts), unplaced }
}

/// A lower bound on the cost from the first of these instants to the last of any nodes that hold each pod while it runs.
///
/// Between two instants only the pods count that run all the while. The worth of pods found for one multiset of them
/// holds for every other, so at most `most_programs` programs (but at least one) are solved, spread over the distinct
/// multisets in order of time, and each interval takes the highest of the bounds that these give it.
pub fn bound_over_time(
    classes: &[PodClass],
    runs: &[Run],
    types: &[BoundType],
    instants: &[Time],
    most_programs: usize,
) -> TimeBound {
    let reduced = Reduced::new(classes, types);
    let mut instants = instants.to_vec();
    instants.sort_unstable();
    instants.dedup();
    let (changes, unplaced) = changes(&reduced, runs, &instants);
    let mut counts: Vec<i64> = vec![0; reduced.demands.len()];
    let mut multisets: Vec<Vec<u64>> = Vec::new();
    let mut numbers: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
    let mut intervals = Vec::new();
    for (pair, changes) in instants.windows(2).zip(changes) {
        for (group, by) in changes {
            counts[group] += by;
        }
        let multiset: Vec<u64> = counts.iter().map(|count| count.unsigned_abs()).collect();
        let number = *numbers.entry(multiset).or_insert_with_key(|multiset| {
            multisets.push(multiset.clone());
            multisets.len() - 1
        });
        intervals.push((number, pair[1].since(pair[0])));
    }
    let programs = most_programs.max(1).min(multisets.len());
    let mut search = Search::new(&reduced);
    let worths: Vec<Vec<i128>> = (0..programs)
        .map(|at| search.best_worth(&multisets[(2 * at + 1) * multisets.len() / (2 * programs)]))
        .collect();
    let prices: Vec<Price> = multisets
        .iter()
        .map(|counts| worths.iter().map(|worth| total(worth, counts)).max().unwrap_or_default())
        .collect();
    let mut cost = Money::default();
    for (number, span) in intervals {
        cost += prices[number].over(span);
    }
    TimeBound { cost, programs, unplaced }
}

/// Per interval, by how much the count of each group changes at its start; and the runs that fit nowhere.
fn changes(reduced: &Reduced, runs: &[Run], instants: &[Time]) -> (Vec<Vec<(usize, i64)>>, u64) {
    let mut changes = vec![Vec::new(); instants.len()];
    let mut unplaced = 0;
    for run in runs {
        match reduced.fates.get(run.class) {
            Some(Fate::Group(group)) => {
                let first = instants.partition_point(|instant| *instant < run.start);
                let end = instants.partition_point(|instant| *instant <= run.end).saturating_sub(1);
                if first < end {
                    changes[first].push((*group, 1));
                    changes[end].push((*group, -1));
                }
            }
            Some(Fate::Free) => {}
            Some(Fate::Unplaced) | None => unplaced += 1,
        }
    }
    (changes, unplaced)
}

/// Worths are counted in this part of a millionth of a dollar per hour.
const SCALE_BITS: u32 = 48;

/// What so many pods are worth together, rounded down.
fn total(worth: &[i128], counts: &[u64]) -> Price {
    let scaled = worth
        .iter()
        .zip(counts)
        .fold(0i128, |sum, (worth, count)| sum.saturating_add(worth.saturating_mul(i128::from(*count))));
    Price(i64::try_from(scaled >> SCALE_BITS).unwrap_or(i64::MAX))
}

/// What becomes of a class.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It is in this group.
    Group(usize),
    /// It fits on a type that costs nothing.
    Free,
    /// It fits on no type.
    Unplaced,
}

/// A type, reduced to what groups ask for.
#[derive(Debug)]
struct Machine {
    /// Amounts of each resource.
    supply: Vec<i64>,
    /// Above zero.
    price: i64,
    /// The groups of which at least one pod fits.
    holds: Vec<usize>,
}

/// Classes and types with what makes no difference taken out.
///
/// Classes that ask for the same and fit on the same types are one group. A type goes if another has no less of each
/// resource for its money and holds the same groups at least: then resource prices that fit the other fit it too, and
/// each of its groups is priced on the other already. So prices of the types that stay are enough.
#[derive(Debug)]
struct Reduced {
    fates: Vec<Fate>,
    demands: Vec<Vec<i64>>,
    machines: Vec<Machine>,
}

impl Reduced {
    fn new<'a>(classes: impl IntoIterator<Item = &'a PodClass>, types: &[BoundType]) -> Self {
        let classes: Vec<&PodClass> = classes.into_iter().collect();
        let mut groups: BTreeMap<(&Resources, Vec<usize>), usize> = BTreeMap::new();
        let mut fates = Vec::with_capacity(classes.len());
        for class in &classes {
            let fits = |at: &usize| {
                class.allowed.get(*at).is_some_and(|allowed| *allowed)
                    && class.requests.fits(&types[*at].allocatable)
            };
            let homes: Vec<usize> = (0..types.len()).filter(fits).collect();
            fates.push(if homes.is_empty() {
                Fate::Unplaced
            } else if homes.iter().any(|home| types[*home].price.0 <= 0) {
                Fate::Free
            } else {
                let next = groups.len();
                Fate::Group(*groups.entry((&class.requests, homes)).or_insert(next))
            });
        }
        let mut names: Vec<&str> =
            groups.keys().flat_map(|(requests, _)| requests.iter().map(|(name, _)| name)).collect();
        names.sort_unstable();
        names.dedup();
        let amounts = |of: &Resources| names.iter().map(|name| of.get(name).max(0)).collect::<Vec<i64>>();
        let mut demands = vec![Vec::new(); groups.len()];
        let mut holds = vec![Vec::new(); types.len()];
        for ((requests, homes), group) in &groups {
            demands[*group] = amounts(requests);
            homes.iter().for_each(|home| holds[*home].push(*group));
        }
        let mut machines: Vec<Machine> = types
            .iter()
            .zip(holds)
            .filter(|(one, holds)| one.price.0 > 0 && !holds.is_empty())
            .map(|(one, mut holds)| {
                holds.sort_unstable();
                Machine { supply: amounts(&one.allocatable), price: one.price.0, holds }
            })
            .collect();
        let stays: Vec<bool> = (0..machines.len())
            .map(|at| {
                !machines.iter().enumerate().any(|(other, machine)| {
                    other != at
                        && machine.dominates(&machines[at])
                        && (other < at || !machines[at].dominates(machine))
                })
            })
            .collect();
        let mut stays = stays.into_iter();
        machines.retain(|_| stays.next().unwrap_or(true));
        Self { fates, demands, machines }
    }

    /// Weights of the resources of each machine by which so many pods of each group are worth much.
    fn climbed_weights(&self, counts: &[u64]) -> Vec<Vec<f64>> {
        let bins: Vec<Bin> = self
            .machines
            .iter()
            .map(|machine| Bin { supply: machine.supply.clone(), price: machine.price })
            .collect();
        let count = |count: &u64| usize::try_from(*count).unwrap_or(usize::MAX);
        let items: Vec<Item> = self
            .demands
            .iter()
            .zip(counts)
            .map(|(demand, of)| Item { demand: demand.clone(), count: count(of) })
            .collect();
        let mut homes = vec![Vec::new(); items.len()];
        for (at, machine) in self.machines.iter().enumerate() {
            machine.holds.iter().for_each(|group| homes[*group].push(at));
        }
        let units = Parts::of(&bins, &items, &homes).units;
        let weights = |(units, machine): (Vec<f64>, &Machine)| {
            units.iter().zip(&machine.supply).map(|(unit, supply)| unit * *supply as f64).collect()
        };
        units.into_iter().zip(&self.machines).map(weights).collect()
    }

    /// The worth of a pod of each group that these weights of the resources of each machine prove.
    ///
    /// The weights of a machine are brought to the largest multiple of them whose sum over its resources is its price.
    fn proven_worth(&self, weights: &[Vec<f64>]) -> Vec<i128> {
        let mut worth = vec![i128::MAX; self.demands.len()];
        for (machine, weights) in self.machines.iter().zip(weights) {
            let unit_prices = machine.unit_prices(weights);
            for group in &machine.holds {
                worth[*group] = worth[*group].min(dot(&self.demands[*group], &unit_prices));
            }
        }
        worth
    }
}

fn dot(amounts: &[i64], unit_prices: &[i128]) -> i128 {
    let products =
        amounts.iter().zip(unit_prices).map(|(amount, price)| i128::from(*amount).saturating_mul(*price));
    products.fold(0, i128::saturating_add)
}

impl Machine {
    /// Whether it has no less of anything for its money and holds at least the same groups.
    fn dominates(&self, other: &Self) -> bool {
        let per_money = |a: i64, b: i64| i128::from(a) * i128::from(b);
        let mut held = self.holds.iter();
        self.supply
            .iter()
            .zip(&other.supply)
            .all(|(own, others)| per_money(*own, other.price) >= per_money(*others, self.price))
            && other.holds.iter().all(|group| held.any(|own| own == group))
    }

    /// The scaled price of a unit of each resource, rounded down so that all that the machine has costs no more than it.
    fn unit_prices(&self, weights: &[f64]) -> Vec<i128> {
        let weighed = |weight: &dyn Fn(usize) -> f64| -> Vec<f64> {
            self.supply
                .iter()
                .enumerate()
                .map(|(at, supply)| if *supply > 0 { weight(at) } else { 0.0 })
                .collect()
        };
        let mut weights = weighed(&|at| weights[at]);
        if weights.iter().all(|weight| *weight <= 0.0) {
            weights = weighed(&|_| 1.0);
        }
        let whole: f64 = weights.iter().sum();
        let scaled = self.price as f64 * (1u64 << SCALE_BITS) as f64;
        let mut prices: Vec<i128> = weights
            .iter()
            .zip(&self.supply)
            .map(|(weight, supply)| {
                if *supply > 0 && whole > 0.0 {
                    (weight / whole * scaled / *supply as f64) as i128
                } else {
                    0
                }
            })
            .collect();
        let budget = i128::from(self.price) << SCALE_BITS;
        while dot(&self.supply, &prices) > budget {
            prices.iter_mut().for_each(|price| *price = (*price - (*price >> 40) - 1).max(0));
        }
        prices
    }
}

/// Column generation. Columns stay for the next multiset of pods, for which they are as good.
struct Search<'a> {
    reduced: &'a Reduced,
    /// Per group, the least price of one pod if nodes held nothing but its like.
    alone: Vec<f64>,
    columns: Vec<Column>,
}

/// How near the bound must come to the optimum of the relaxation.
const GAP: f64 = 1e-7;
/// Rounds of column generation after which the best bound so far is good enough.
const MOST_ROUNDS: usize = 300;
/// Columns that one round adds: those that promise most.
const COLUMNS_A_ROUND: usize = 100;
/// What counts as zero in a pivot.
const TINY: f64 = 1e-11;

impl<'a> Search<'a> {
    fn new(reduced: &'a Reduced) -> Self {
        let mut alone = vec![f64::INFINITY; reduced.demands.len()];
        for machine in &reduced.machines {
            for group in &machine.holds {
                alone[*group] =
                    alone[*group].min(machine.price as f64 * machine.share(&reduced.demands[*group]));
            }
        }
        Self { reduced, alone, columns: Vec::new() }
    }

    /// The best worth of pods found for a multiset of them.
    fn best_worth(&mut self, counts: &[u64]) -> Vec<i128> {
        let mut best = self.reduced.proven_worth(&self.reduced.climbed_weights(counts));
        let mut best_total = total(&best, counts);
        let mut master = Master::new(counts, &self.alone);
        for _ in 0..MOST_ROUNDS {
            let (optimum, worth) = master.optimise(&self.columns);
            let fillings: Vec<Filling> = self
                .reduced
                .machines
                .iter()
                .map(|machine| machine.fill(&self.reduced.demands, &worth))
                .collect();
            let weights: Vec<Vec<f64>> = fillings.iter().map(|filling| filling.weights.clone()).collect();
            let proven = self.reduced.proven_worth(&weights);
            let proven_total = total(&proven, counts);
            if proven_total >= best_total {
                (best, best_total) = (proven, proven_total);
            }
            if best_total.0 as f64 >= optimum * (1.0 - GAP) - 1.0 {
                break;
            }
            let mut promising: Vec<(f64, Column)> = fillings
                .into_iter()
                .zip(&self.reduced.machines)
                .filter(|(filling, _)| filling.value > 1.0 + GAP / 10.0)
                .map(|(filling, machine)| {
                    (filling.value, Column { price: machine.price as f64, amounts: filling.amounts })
                })
                .collect();
            if promising.is_empty() {
                break;
            }
            promising.sort_by(|(a, _), (b, _)| b.total_cmp(a));
            self.columns.extend(promising.into_iter().take(COLUMNS_A_ROUND).map(|(_, column)| column));
        }
        best
    }
}

/// How a machine is best filled at some worth of pods, relative to its price.
struct Filling {
    /// Above one if the pods are worth more than the machine.
    value: f64,
    amounts: Vec<(usize, f64)>,
    /// Which part of the value is due to each resource.
    weights: Vec<f64>,
}

impl Machine {
    /// The part of the machine that a pod takes: that of the resource of which it takes most.
    fn share(&self, demand: &[i64]) -> f64 {
        let shares = demand.iter().zip(&self.supply).filter(|(demand, _)| **demand > 0);
        shares.map(|(demand, supply)| *demand as f64 / *supply as f64).fold(0.0, f64::max)
    }

    /// Fills the machine with parts of pods: the simplex method on a table with a row a resource.
    fn fill(&self, demands: &[Vec<i64>], worth: &[f64]) -> Filling {
        let rows = self.supply.len();
        // Groups that ask for nothing, or are worth nothing, say nothing about the worth of resources.
        let groups: Vec<(usize, f64)> = self
            .holds
            .iter()
            .map(|group| (*group, self.share(&demands[*group])))
            .filter(|(group, share)| worth[*group] > 0.0 && *share > 0.0)
            .collect();
        let width = groups.len() + rows + 1;
        let mut table = vec![vec![0.0; width]; rows + 1];
        for (at, (group, share)) in groups.iter().enumerate() {
            // One unit of a column is as many pods as fit if there is nothing else.
            for ((row, demand), supply) in table.iter_mut().zip(&demands[*group]).zip(&self.supply) {
                row[at] = if *demand > 0 { *demand as f64 / *supply as f64 / share } else { 0.0 };
            }
            table[rows][at] = worth[*group] / share / self.price as f64;
        }
        for (row, line) in table.iter_mut().enumerate().take(rows) {
            line[groups.len() + row] = 1.0;
            line[width - 1] = 1.0;
        }
        let mut basis: Vec<usize> = (groups.len()..groups.len() + rows).collect();
        for _ in 0..20 * (rows + 1) {
            let gains = table[rows][..width - 1].iter().enumerate();
            let Some((entering, _)) =
                gains.filter(|(_, gain)| **gain > TINY).max_by(|a, b| a.1.total_cmp(b.1))
            else {
                break;
            };
            let ratios = (0..rows).filter(|row| table[*row][entering] > TINY);
            let ratio = |row: &usize| table[*row][width - 1] / table[*row][entering];
            let Some(leaving) = ratios.min_by(|a, b| ratio(a).total_cmp(&ratio(b))) else { break };
            pivot(&mut table, leaving, entering);
            basis[leaving] = entering;
        }
        let filled = basis
            .iter()
            .zip(&table)
            .filter(|(column, line)| **column < groups.len() && line[width - 1] > TINY);
        Filling {
            value: -table[rows][width - 1],
            amounts: filled
                .map(|(column, line)| (groups[*column].0, line[width - 1] / groups[*column].1))
                .collect(),
            weights: table[rows][groups.len()..width - 1].iter().map(|price| (-price).max(0.0)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
