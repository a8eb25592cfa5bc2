//! Packing a few bins at a time anew, drawn by lot: for many unlike items, which are too many for one linear program, and for what such a
//! program leaves to be saved.
//!
//! **Invariant:** it never becomes dearer, and the lots are the same each time.

use super::{Bin, Filled, Item, columns, price};

/// So many bins, or kinds of items in them, are put together anew at a time.
const BINS: usize = 24;
const ITEMS: usize = 24;

/// Rounds in which columns are generated for them.
const ROUNDS: usize = 15;

/// So often every bin is drawn, at most.
const SWEEPS: u64 = 40;

/// A sweep is of use if it saves at least one part in so many.
const LEAST_SAVED: i128 = 1_000;

/// So many sweeps of no use in a row are the end: other lots may do better.
const USELESS: u64 = 4;

/// Makes what is packed cheaper where it can, for so much work at most; and the work that it took.
pub(super) fn improve(bins: &[Bin], items: &[Item], filled: &mut Vec<Filled>, budget: u64) -> u64 {
    let (mut work, mut useless) = (0, 0);
    for sweep in 0..SWEEPS {
        let before = price(bins, filled);
        let mut lots: Vec<(u64, Filled)> =
            filled.drain(..).enumerate().map(|(at, one)| (lot(sweep, at as u64), one)).collect();
        lots.sort_by_key(|(lot, _)| *lot);
        let mut few: Vec<Filled> = Vec::new();
        let mut known: Vec<usize> = Vec::new();
        let mut lots = lots.into_iter().map(|(_, one)| one).peekable();
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
        let after = price(bins, filled);
        useless = if (before - after) * LEAST_SAVED < before { useless + 1 } else { 0 };
        if work >= budget || useless == USELESS {
            break;
        }
    }
    work
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
