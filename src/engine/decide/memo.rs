//! What an evaluation may remember from the ones before, to spare work.
//!
//! **Invariant:** everything here can be computed from State again, and is used only while nothing it was computed from has
//! changed. Dropping it changes no decision. It takes what the last evaluation decided for done: where that did not come to pass,
//! because a controller died or had no space, it has to be dropped.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::hosts::{Hosts, Refused};
use super::supply::{ClassSupply, PoolSupply};
use crate::event::{Seq, SpecId};
use crate::model::{PoolName, Time};

/// Remembered between evaluations.
#[derive(Debug, Default)]
pub struct Memo {
    /// The record up to which the supplies below were computed.
    pub(super) supply_at: Option<Seq>,
    /// What each pool can launch.
    pub(super) pools: Vec<Arc<PoolSupply>>,
    /// What each pool can launch for a spec.
    pub(super) classes: FxHashMap<(PoolName, SpecId), Arc<ClassSupply>>,
    /// Where pods can go without a launch.
    pub(super) hosts: Hosts,
    /// Which of them are known to refuse a spec.
    pub(super) refused: FxHashMap<SpecId, Refused>,
    /// Specs for which no place was found, and what was looked at.
    pub(super) hopeless: FxHashMap<SpecId, Hopeless>,
}

/// A spec was found to have no place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hopeless {
    /// The number of records folded then: later ones may have made room.
    pub size: u64,
    /// When an offering without capacity is asked for again.
    pub until: Option<Time>,
}
