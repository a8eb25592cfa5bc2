//! What an evaluation may remember from the ones before, to spare work.
//!
//! **Invariant:** everything here can be computed from State again, and is used only while nothing it was computed from has
//! changed. Dropping it changes no decision. It takes what the last evaluation decided for done: where that did not come to pass,
//! because a controller died or had no space, it has to be dropped.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::devices::Wanted;
use super::hosts::Hosts;
use crate::event::{Seq, SpecId, Target};
use crate::model::{OfferingKey, PodKey, PoolName, Resources, Time, TypeName};
use crate::notice::Room;
use crate::overlay::Conflict;
use crate::schedule::{PoolOffer, Prepared};

/// What pods can use of types, by pool and type.
pub(super) type Overlaid = BTreeMap<(PoolName, TypeName), Resources>;

/// Remembered between evaluations.
#[derive(Debug, Default)]
pub struct Memo {
    /// The record up to which the offers below were computed, and the offerings that had no capacity then.
    pub(super) supply_at: Option<Seq>,
    pub(super) blocked: Vec<OfferingKey>,
    /// What each pool can launch for pods.
    pub(super) offers: Vec<PoolOffer>,
    /// The same, ready for the scheduler's look-ups.
    pub(super) prepared: Prepared,
    /// What static pools can launch.
    pub(super) statics: Vec<PoolOffer>,
    /// What pods can use of types, where overlays say otherwise than the types.
    pub(super) overlaid: Overlaid,
    /// Overlays that are not applied.
    pub(super) overlay_conflicts: Vec<Conflict>,
    /// Where pods can go without a launch.
    pub(super) hosts: Hosts,
    /// Where room for buffers was found, with these offers.
    pub(super) buffered: Option<Buffered>,
    /// Specs of pods that do not want others beside them, among the first so many.
    pub(super) wary: BTreeSet<SpecId>,
    pub(super) wary_to: usize,
    /// Specs for which no place was found, with what the claims of their pods came to, and what was looked at.
    pub(super) hopeless: FxHashMap<(SpecId, Option<Wanted>), Hopeless>,
}

/// Where room for buffers was found.
#[derive(Debug)]
pub(super) struct Buffered {
    /// The version of the hosts, and the last record that changed what may be launched, that it was found by.
    pub seen: (u64, Seq),
    /// The nodes and claims.
    pub holding: BTreeSet<Target>,
    /// When to look for more, where there was no capacity.
    pub retry: Option<Time>,
    /// How much room each buffer has.
    pub rooms: BTreeMap<PodKey, Room>,
}

/// A spec was found to have no place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hopeless {
    /// The number of records folded then: later ones may have made room.
    pub size: u64,
    /// When an offering without capacity is asked for again.
    pub until: Option<Time>,
}
