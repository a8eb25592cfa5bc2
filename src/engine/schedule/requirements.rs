//! Requirements by number, and what two of them ask for together, computed once.
//!
//! Pods and nodes of a cluster ask for few different things, many times over: so the algebra itself, which is exact and slow, is asked once for
//! each pair.
//!
//! **Invariant:** equal requirements have equal numbers.

use rustc_hash::FxHashMap;

use super::problem::Rules;
use super::topology::{Domain, KeyId};
use crate::controller::limits::requirements_bytes;
use crate::model::{Requirement, Requirements, Str};

/// The most that the requirements of a node may take in a record, so that the names of some pods go beside them.
const MOST_BYTES: usize = 50 * 1024;

/// The number of a set of requirements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ReqId(u32);

/// Requirements by number.
#[derive(Debug, Default)]
pub(super) struct Interner {
    all: Vec<Requirements>,
    ids: FxHashMap<Requirements, ReqId>,
    /// What a node's requirements (first) become when a pod's (second) are added; `None` if they cannot hold together.
    met: FxHashMap<(ReqId, ReqId), Option<ReqId>>,
    pinned: FxHashMap<(ReqId, Str, Requirement), ReqId>,
    /// The same for single domains, without a look at the values.
    held: FxHashMap<(ReqId, KeyId, Domain), ReqId>,
    /// Whether `minValues` is among them.
    counted: Vec<bool>,
}

impl Interner {
    pub(super) fn id(&mut self, requirements: &Requirements) -> ReqId {
        if let Some(id) = self.ids.get(requirements) {
            return *id;
        }
        let id = ReqId(self.all.len() as u32);
        self.counted.push(requirements.iter().any(|(_, one)| one.min_values.is_some()));
        self.all.push(requirements.clone());
        self.ids.insert(requirements.clone(), id);
        id
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, id: ReqId) -> &Requirements {
        &self.all[id.0 as usize]
    }

    /// Whether any of the requirements has `minValues`.
    pub(super) fn has_min_values(&self, id: ReqId) -> bool {
        self.counted[id.0 as usize]
    }

    /// Requirements with a label held to the value of one domain, which they allow.
    pub(super) fn hold(&mut self, node: ReqId, id: KeyId, label: &Str, domain: Domain, value: &Str) -> ReqId {
        if let Some(known) = self.held.get(&(node, id, domain)) {
            return *known;
        }
        let held = self.pin(node, label, Requirement::one_of([value.clone()]));
        self.held.insert((node, id, domain), held);
        held
    }

    /// A node's requirements with a pod's, or `None` if they cannot hold together.
    pub(super) fn meet(&mut self, rules: &Rules, node: ReqId, pod: ReqId) -> Option<ReqId> {
        if let Some(known) = self.met.get(&(node, pod)) {
            return *known;
        }
        let (own, wanted) = (self.get(node), self.get(pod));
        let both = own.first_conflict(wanted, |key| rules.is_well_known(key)).is_none().then(|| {
            let mut both = own.clone();
            both.add_all(wanted);
            both
        });
        // What is longer has no room in the record of a launch.
        let id = both.filter(|both| requirements_bytes(both) <= MOST_BYTES).map(|both| self.id(&both));
        self.met.insert((node, pod), id);
        id
    }

    /// Requirements with one more on a label, which they allow.
    pub(super) fn pin(&mut self, node: ReqId, key: &Str, to: Requirement) -> ReqId {
        let memo = (node, key.clone(), to);
        if let Some(known) = self.pinned.get(&memo) {
            return *known;
        }
        let mut both = self.get(node).clone();
        both.add(key.clone(), memo.2.clone());
        let id = self.id(&both);
        self.pinned.insert(memo, id);
        id
    }
}
