//! Packing a few bins at a time anew, drawn by lot: for many unlike items, which are too many for one linear program, and for what such a
//! program leaves to be saved.
//!
//! Bins whose filling is worth least for what they cost are where something is to be saved, so a sweep looks at these, and at all once that is
//! of no use. Those that have too much of one resource are put together with those that have too much of the other.
//!
//! **Invariant:** it never becomes dearer, and the lots are the same each time.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::{Bin, Filled, Item, columns, price};

/// So many bins, or kinds of items in them, are put together anew at a time.
const BINS: usize = 24;
const ITEMS: usize = 24;

/// Rounds in which columns are generated for them.
const ROUNDS: usize = 15;

/// So many sweeps there are at most.
const SWEEPS: u64 = 200;

/// One in so many bins is among those whose filling is worth least.
const WASTEFUL: usize = 3;

/// Among so many bins that were drawn one after the other it is looked for those that go together.
const TOGETHER: usize = 64;

/// A sweep is of use if it saves at least one part in so many.
const LEAST_SAVED: i128 = 1_000;

/// So many sweeps over all bins of no use in a row are the end: other lots may do better.
const USELESS: u64 = 4;

/// Makes what is packed cheaper where it can, for so much work at most; and the work that it took.
///
/// An item is worth so much.
pub(super) fn improve(
    bins: &[Bin],
    items: &[Item],
    worth: &[f64],
    filled: &mut Vec<Filled>,
    budget: u64,
) -> u64 {
    let worth: Vec<i128> = worth.iter().map(|worth| (worth * (1u64 << 20) as f64) as i128).collect();
    let (mut work, mut useless, mut of_all) = (0, 0, false);
    for sweep in 0..SWEEPS {
        let before = price(bins, filled);
        let drawn = draw(bins, &worth, filled, if of_all { 1 } else { WASTEFUL });
        let mut few: Vec<Filled> = Vec::new();
        let mut known: Vec<usize> = Vec::new();
        let mut lots = in_turn(bins, items, drawn, sweep).into_iter().peekable();
        while let Some(next) = lots.next() {
            known.extend(next.pattern.iter().map(|(item, _)| *item));
            few.push(next);
            known.sort_unstable();
            known.dedup();
            if known.len() >= ITEMS || few.len() >= BINS || lots.peek().is_none() {
                if work < budget {
                    work += again(bins, items, &known, &mut few, budget - work);
                }
                filled.append(&mut few);
                known.clear();
            }
        }
        let is_of_use = (before - price(bins, filled)) * LEAST_SAVED >= before;
        useless = if is_of_use { 0 } else { useless + u64::from(of_all) };
        of_all = !is_of_use;
        if work >= budget || useless == USELESS {
            break;
        }
    }
    work
}

/// Takes out one in so many bins: those whose filling is worth least for what they cost.
fn draw(bins: &[Bin], worth: &[i128], filled: &mut Vec<Filled>, one_in: usize) -> Vec<Filled> {
    let waste = |one: &Filled| {
        let all: i128 = one.pattern.iter().map(|(item, count)| worth[*item] * *count as i128).sum();
        let cost = i128::from(bins[one.bin].price) << 20;
        ((cost - all) << 20) / cost
    };
    filled.sort_by_cached_key(|one| Reverse(waste(one)));
    let rest = filled.split_off((filled.len() / one_in).max(2).min(filled.len()));
    std::mem::replace(filled, rest)
}

/// Bins in an order drawn by lot, in which those that lean to one resource follow those that lean to the other.
fn in_turn(bins: &[Bin], items: &[Item], drawn: Vec<Filled>, sweep: u64) -> Vec<Filled> {
    let numbered = drawn.into_iter().enumerate();
    let mut lots: Vec<(u64, Filled)> = numbered.map(|(at, one)| (lot(sweep, at as u64), one)).collect();
    lots.sort_by_key(|(lot, _)| *lot);
    let mut lots = lots.into_iter().map(|(_, one)| one);
    let mut all = Vec::new();
    loop {
        let mut few: Vec<Filled> = lots.by_ref().take(TOGETHER).collect();
        if few.is_empty() {
            return all;
        }
        few.sort_by_cached_key(|one| lean(bins, items, one));
        let mut few = VecDeque::from(few);
        while let Some(first) = few.pop_front() {
            all.push(first);
            all.extend(few.pop_back());
        }
    }
}

/// By how much more of its first resource than of its second a bin has left, as parts of it.
fn lean(bins: &[Bin], items: &[Item], one: &Filled) -> i128 {
    let left = |resource: usize| {
        let supply = i128::from(bins[one.bin].supply[resource]);
        let taken =
            |(item, count): &(usize, usize)| i128::from(items[*item].demand[resource]) * *count as i128;
        let left = supply - one.pattern.iter().map(taken).sum::<i128>();
        (left << 20) / supply.max(1)
    };
    left(0) - left(1)
}

/// Puts together anew what is in a few bins, which hold these items.
fn again(bins: &[Bin], items: &[Item], known: &[usize], few: &mut Vec<Filled>, budget: u64) -> u64 {
    if few.len() < 2 {
        return 0;
    }
    let mut own: Vec<Item> =
        known.iter().map(|item| Item { demand: items[*item].demand.clone(), count: 0 }).collect();
    for (item, count) in few.iter_mut().flat_map(|one| &mut one.pattern) {
        // Whatever is in the bins is among the known.
        *item = known.binary_search(item).unwrap_or_else(|at| at);
        own[*item].count += *count;
    }
    let (found, work) = columns::pack(bins, &own, few, (ROUNDS, columns::STEPS), budget);
    *few = found;
    few.iter_mut().flat_map(|one| &mut one.pattern).for_each(|(item, _)| *item = known[*item]);
    work
}

/// A number that looks drawn by lot (splitmix64).
fn lot(sweep: u64, number: u64) -> u64 {
    let mut mixed = (sweep << 32 | number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
