//! Ways to buy instance types that look alike to requirements, by number: types are many, and are sold in few ways.
//!
//! **Invariant:** whatever requirements say of one offering holds for all with its number, but for price, capacity and allocatable amounts.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::problem::{BuyOption, TypeOffer};
use crate::model::{Requirements, Str};

/// The ways in which a list of types is sold.
#[derive(Debug)]
pub(super) struct Terms {
    /// The number of each offering, those of one type after those of another.
    numbers: Vec<u32>,
    /// Where the offerings of each type begin.
    starts: Vec<usize>,
    /// The first type and offering with each number.
    firsts: Vec<(usize, usize)>,
}

impl Terms {
    pub(super) fn of(types: &[Arc<TypeOffer>]) -> Self {
        let mut known: FxHashMap<(&Requirements, Option<&Str>), u32> = FxHashMap::default();
        let mut terms = Self { numbers: Vec::new(), starts: Vec::new(), firsts: Vec::new() };
        for (type_at, one) in types.iter().enumerate() {
            let before = terms.starts.last().copied();
            terms.starts.push(terms.numbers.len());
            for (at, buy) in one.offerings.iter().enumerate() {
                let key = key(buy);
                // Most types are sold as the one before.
                let same =
                    before.and_then(|before| terms.numbers.get(before + at).copied()).filter(|number| {
                        let (type_at, at) = terms.firsts[*number as usize];
                        key == self::key(&types[type_at].offerings[at])
                    });
                if let Some(number) = same {
                    terms.numbers.push(number);
                    continue;
                }
                let number = *known.entry(key).or_insert_with(|| {
                    terms.firsts.push((type_at, at));
                    terms.firsts.len() as u32 - 1
                });
                terms.numbers.push(number);
            }
        }
        terms
    }

    /// What something says of each number.
    pub(super) fn each(&self, types: &[Arc<TypeOffer>], says: impl Fn(&BuyOption) -> bool) -> Vec<bool> {
        self.firsts.iter().map(|(type_at, at)| says(&types[*type_at].offerings[*at])).collect()
    }

    /// The offerings of a type that have capacity and an allowed number.
    pub(super) fn sold<'t>(
        &'t self,
        types: &'t [Arc<TypeOffer>],
        type_at: usize,
        allowed: &'t [bool],
    ) -> impl Iterator<Item = usize> + 't {
        let all = types[type_at].offerings.iter().zip(&self.numbers[self.starts[type_at]..]).enumerate();
        all.filter(|(_, (buy, number))| buy.available && allowed[**number as usize]).map(|(at, _)| at)
    }
}

/// All that requirements look at.
fn key(buy: &BuyOption) -> (&Requirements, Option<&Str>) {
    (&buy.requirements, buy.reservation.as_ref().map(|(id, _)| id))
}
