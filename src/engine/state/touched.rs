//! Which nodes and claims a record touched: for those who remember what room there was and want to look only at what is new.
//!
//! **Invariant:** whatever of a target was touched since [`Touched::complete_from`] is listed. Nothing of State depends on the list.

use std::collections::VecDeque;

use crate::event::{Seq, Target};

/// Longer lists are cut: whoever has not looked for so long starts over.
const MOST: usize = 1 << 16;

/// Nodes and claims by the record that touched them, in order.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    complete_from: u64,
    list: VecDeque<(u64, Target)>,
}

/// What was remembered makes no State differ from another.
impl PartialEq for Touched {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Touched {}

impl Touched {
    /// A list that begins with the record of this number.
    pub(super) fn from(complete_from: u64) -> Self {
        Self { complete_from, list: VecDeque::new() }
    }

    pub(super) fn push(&mut self, seq: Seq, target: Target) {
        debug_assert!(self.list.back().is_none_or(|(last, _)| *last <= seq.0), "records come in order");
        match self.list.back_mut() {
            Some((last, same)) if *same == target => *last = seq.0,
            _ => self.list.push_back((seq.0, target)),
        }
        if self.list.len() > MOST {
            self.list.drain(..MOST / 2);
            self.complete_from = self.list.front().map_or(0, |(first, _)| first + 1);
        }
    }

    /// What the records from this number on touched; `None` if that is not known any more.
    pub fn since(&self, size: u64) -> Option<impl Iterator<Item = &Target>> {
        let first = self.list.partition_point(|(seq, _)| *seq < size);
        (size >= self.complete_from).then(|| self.list.range(first..).map(|(_, target)| target))
    }
}
