//! What items are worth where parts of them go into parts of bins.
//!
//! Let the price of each bin be shared out among its resources. Then an item is worth what it takes of the bin where that is cheapest, and all
//! items together are worth no more than any bins cost that hold them. How to share prices out so that they are worth most is found by climbing:
//! more of a bin's price is put on the resources of which those items take most that are cheapest there.
//!
//! **Invariant:** its results only propose. Whoever needs a proof works it out in integers.

use super::{Bin, Item};

/// Steps of the climb.
const STEPS: u32 = 120;

/// How long the first is, as a part of a share; after so many steps they are half as long.
const FIRST_STEP: f64 = 0.5;
const HALF_AFTER: f64 = 10.0;

/// What is left of a share after one step at least, as a part of it.
const LEAST_LEFT: f64 = 0.05;

/// Of a resource other than the first two, what its share is at first where theirs are one.
const OTHERS: f64 = 0.03;

/// The best that the climb came to.
#[derive(Debug)]
pub struct Parts {
    /// What one of each item is worth, in units of prices; nothing for one that no bin takes.
    pub worth: Vec<f64>,
    /// What a unit of each resource of each bin is worth.
    pub units: Vec<Vec<f64>>,
    /// What all items are worth.
    pub total: f64,
}

impl Parts {
    /// Of these items, of which each may go into these of the bins.
    pub fn of(bins: &[Bin], items: &[Item], homes: &[Vec<usize>]) -> Self {
        let mut best = Self { worth: vec![0.0; items.len()], units: Vec::new(), total: -1.0 };
        let mut shares: Vec<Vec<f64>> = bins.iter().map(first_shares).collect();
        for step in 0..STEPS {
            let units = bins.iter().zip(&shares).map(|(bin, shares)| units(bin, shares)).collect();
            let (now, taken) = look(bins, items, homes, units);
            let length = FIRST_STEP / (1.0 + f64::from(step) / HALF_AFTER);
            for (shares, taken) in shares.iter_mut().zip(&taken) {
                climb(shares, taken, length);
            }
            if now.total > best.total {
                best = now;
            }
        }
        best
    }

    /// The work that this takes, where each item may go into these of the bins: a unit is sixteen of them looked at.
    pub(super) fn work(homes: &[Vec<usize>]) -> u64 {
        let looks: usize = homes.iter().map(Vec::len).sum();
        looks as u64 * u64::from(STEPS) / 16
    }
}

/// What items are worth where units of resources are worth so much, and what those take of each bin that are cheapest there, as parts of it.
fn look(bins: &[Bin], items: &[Item], homes: &[Vec<usize>], units: Vec<Vec<f64>>) -> (Parts, Vec<Vec<f64>>) {
    let mut taken: Vec<Vec<f64>> = bins.iter().map(|bin| vec![0.0; bin.supply.len()]).collect();
    let mut parts = Parts { worth: vec![0.0; items.len()], units, total: 0.0 };
    for ((item, homes), worth) in items.iter().zip(homes).zip(&mut parts.worth) {
        let costs = homes.iter().map(|bin| (cost(item, &parts.units[*bin]), *bin));
        let Some((least, bin)) = costs.reduce(|a, b| if b.0 < a.0 { b } else { a }) else { continue };
        let count = item.count as f64;
        *worth = least;
        parts.total += least * count;
        for ((taken, demand), supply) in taken[bin].iter_mut().zip(&item.demand).zip(&bins[bin].supply) {
            *taken += *demand as f64 / (*supply).max(1) as f64 * count;
        }
    }
    (parts, taken)
}

/// What an item takes of a bin, where units of its resources are worth so much.
pub(super) fn cost(item: &Item, units: &[f64]) -> f64 {
    item.demand.iter().zip(units).map(|(demand, unit)| *demand as f64 * unit).sum()
}

fn first_shares(bin: &Bin) -> Vec<f64> {
    let mut shares: Vec<f64> =
        (0..bin.supply.len()).map(|resource| if resource < 2 { 1.0 } else { OTHERS }).collect();
    make_whole(&mut shares);
    shares
}

/// What a unit of each resource is worth where a bin's price is shared out so.
fn units(bin: &Bin, shares: &[f64]) -> Vec<f64> {
    let unit = |(share, supply): (&f64, &i64)| share * bin.price as f64 / (*supply).max(1) as f64;
    shares.iter().zip(&bin.supply).map(unit).collect()
}

/// Puts more of a price on what is taken more of than the rest.
fn climb(shares: &mut [f64], taken: &[f64], length: f64) {
    let mean: f64 = shares.iter().zip(taken).map(|(share, taken)| share * taken).sum();
    if mean > 0.0 {
        for (share, taken) in shares.iter_mut().zip(taken) {
            *share *= (1.0 + length * (taken / mean - 1.0)).max(LEAST_LEFT);
        }
        make_whole(shares);
    }
}

/// Makes shares add up to one.
fn make_whole(shares: &mut [f64]) {
    let all: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= all);
}
