//! Sets of small numbers, as bits.
//!
//! **Invariant:** a number beyond what was ever put in is not in the set; asking for it is no error.

/// A set of small numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn insert(&mut self, at: usize) {
        if self.0.len() <= at / 64 {
            self.0.resize(at / 64 + 1, 0);
        }
        self.0[at / 64] |= 1 << (at % 64);
    }

    /// Puts a number in or takes it out.
    pub(super) fn set(&mut self, at: usize, within: bool) {
        if within { self.insert(at) } else { self.remove(at) }
    }

    pub(super) fn remove(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    pub(super) fn contains(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    /// The set of all numbers below this.
    pub(super) fn fill(&mut self, below: usize) {
        self.0.clear();
        self.0.resize(below / 64, u64::MAX);
        if !below.is_multiple_of(64) {
            self.0.push((1 << (below % 64)) - 1);
        }
    }

    /// Takes out what is in another set.
    pub(super) fn remove_all(&mut self, others: &Self) {
        for (own, other) in self.0.iter_mut().zip(&others.0) {
            *own &= !other;
        }
    }

    /// Leaves only what is in another set as well.
    pub(super) fn keep_all(&mut self, others: &Self) {
        self.0.truncate(others.0.len());
        for (own, other) in self.0.iter_mut().zip(&others.0) {
            *own &= other;
        }
    }

    /// Puts in what is in another set.
    pub(super) fn insert_all(&mut self, others: &Self) {
        if self.0.len() < others.0.len() {
            self.0.resize(others.0.len(), 0);
        }
        for (own, other) in self.0.iter_mut().zip(&others.0) {
            *own |= other;
        }
    }

    /// The first number that is not below `from`.
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let mut at = from / 64;
        let mut word = self.0.get(at)? & (u64::MAX << (from % 64));
        while word == 0 {
            at += 1;
            word = *self.0.get(at)?;
        }
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    pub(super) fn words(&self) -> usize {
        self.0.len()
    }
}
