//! Reading State: look-ups that decisions, the controller and `replay` share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Claim, Node, Occupancy, Plan, Pod, State, Touched, VolumeAttachment};
use crate::event::{LabelSetId, SpecId};
use crate::model::{
    ClaimKind, ClaimName, DeviceSelector, InstanceId, KindId, Labels, NodeName, PodKey, PodPhase, PodSpec,
    Price, ResourceClaim, Resources, SelectorId, Span, Taint, Time,
};

impl State {
    /// A pod spec by its number.
    ///
    /// # Panics
    /// If the number was not defined by a record: numbers are only taken from State and from records checked on reading.
    pub fn spec(&self, id: SpecId) -> &Arc<PodSpec> {
        &self.specs[id.0 as usize]
    }

    /// The number of a pod spec, if it has one.
    pub fn spec_id(&self, spec: &Arc<PodSpec>) -> Option<SpecId> {
        self.spec_ids.get(spec).copied()
    }

    /// All pod specs, by number.
    pub fn specs(&self) -> &[Arc<PodSpec>] {
        &self.specs
    }

    /// The number of a set of node labels, if it has one.
    pub fn label_set_id(&self, labels: &Arc<Labels>) -> Option<LabelSetId> {
        self.label_set_ids.get(labels).copied()
    }

    /// All sets of node labels, by number.
    pub fn label_sets(&self) -> &[Arc<Labels>] {
        &self.label_sets
    }

    /// Pods that wait for a node, in name order.
    pub fn waiting(&self) -> impl Iterator<Item = (&PodKey, &Pod)> {
        self.waiting.iter().filter_map(|key| Some((key, self.pods.get(key)?)))
    }

    /// Pods that wait for a node and are not expected on any, in name order.
    pub fn unplanned(&self) -> impl Iterator<Item = (&PodKey, &Pod)> {
        self.unplanned.iter().filter_map(|key| Some((key, self.pods.get(key)?)))
    }

    /// When the newest pod was seen that the scheduler has still to try.
    pub fn last_untried(&self) -> Option<Time> {
        self.untried.last().map(|(seen, _)| *seen)
    }

    /// Nodes without a claim on which pods are expected, in name order.
    pub fn awaited_nodes(&self) -> impl Iterator<Item = &Node> {
        self.awaited_nodes.iter().filter_map(|name| self.nodes.get(name))
    }

    /// Which nodes and claims records touched.
    pub fn touched(&self) -> &Touched {
        &self.touched
    }

    /// The pods bound to a node.
    pub fn occupancy(&self, node: &NodeName) -> Option<&Occupancy> {
        self.occupancy.get(node)
    }

    /// The volumes that are attached to a node, in the order of the names of their attachments.
    pub fn attachments(&self, node: &NodeName) -> impl Iterator<Item = &VolumeAttachment> {
        let names = self.attached.get(node).into_iter().flatten();
        names.filter_map(|name| self.volume_attachments.get(name))
    }

    /// The claim of an instance.
    pub fn claim_of_instance(&self, instance: &InstanceId) -> Option<&Claim> {
        self.claims.of_instance(instance).and_then(|claim| self.claims.get(claim))
    }

    /// Whether an instance has a claim.
    pub fn is_claimed(&self, instance: &InstanceId) -> bool {
        self.claims.of_instance(instance).is_some()
    }

    /// Nodes that are not ready, in name order.
    pub fn unready(&self) -> impl Iterator<Item = &NodeName> {
        self.unready.iter()
    }

    /// The claim of a node.
    pub fn claim_of_node(&self, node: &NodeName) -> Option<&Claim> {
        self.claims.of_node(node).and_then(|claim| self.claims.get(claim))
    }

    /// When a node that is registered but not initialized is no longer waited for. An instance that cannot become a node would
    /// otherwise hold the pods that are sent to it for ever.
    pub fn set_up_due(&self, claim: &Claim) -> Option<Time> {
        let starting = claim.registered.filter(|_| claim.initialized.is_none());
        // Karpenter's repair waits half an hour for a node that is not ready, twice as long as it waits for a registration.
        starting.map(|registered| registered + Span(2 * self.settings.registration_timeout.0))
    }

    /// Whether a node carries the mark that keeps new pods away while it is being removed.
    pub fn is_marked(&self, node: &NodeName) -> bool {
        let mark = Taint::disrupted();
        let marked = |taint: &Taint| taint.key == mark.key && taint.effect == mark.effect;
        self.nodes.get(node).is_some_and(|node| node.facts.taints.iter().any(marked))
    }

    /// What all instances cost an hour.
    pub fn price_per_hour(&self) -> Price {
        self.claims.values().filter_map(|claim| claim.instance.as_ref()).map(|instance| instance.price).sum()
    }

    /// What pods could use of all nodes with claims, and what they do use.
    pub fn utilisation(&self) -> (Resources, Resources) {
        let mut offered = Resources::default();
        let mut used = Resources::default();
        for node in self.claims.values().filter_map(|claim| claim.node.as_ref()) {
            if let Some(node) = self.nodes.get(node) {
                offered.add(&node.facts.allocatable);
            }
            if let Some(occupancy) = self.occupancy.get(node) {
                used.add(&occupancy.used);
            }
        }
        (offered, used)
    }

    /// The name of the next claim for a pool: the pool's name and five characters that depend on the log and the number of launches.
    ///
    /// `ahead` is the number of launches decided but not folded yet.
    pub fn next_claim_name(&self, pool: &str, ahead: u64) -> ClaimName {
        // Kubernetes' alphabet for generated names: no vowels, no look-alikes.
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let number = self.launches + ahead;
        for attempt in 0u64.. {
            let mut hash = fnv(
                fnv(fnv(0xcbf2_9ce4_8422_2325, self.origin.as_bytes()), &number.to_le_bytes()),
                &attempt.to_le_bytes(),
            );
            // FNV leaves the high bits poorly mixed for short input.
            hash ^= hash >> 32;
            hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 29;
            let mut suffix = String::with_capacity(5);
            for _ in 0..5 {
                suffix.push(char::from(ALPHABET[(hash % 27) as usize]));
                hash /= 27;
            }
            let name = ClaimName::new(format!("{pool}-{suffix}"));
            if !self.claims.contains_key(&name) {
                return name;
            }
        }
        unreachable!("fewer claims than names")
    }
}

/// The parts of State that only the fold may change, to be written down.
pub(crate) struct Parts<'a> {
    pub(crate) specs: &'a [Arc<PodSpec>],
    pub(crate) label_sets: &'a [Arc<Labels>],
    pub(crate) occupancy: &'a BTreeMap<NodeName, Occupancy>,
    pub(crate) selectors: &'a [Arc<DeviceSelector>],
    pub(crate) claim_kinds: &'a [Arc<ClaimKind>],
}

impl State {
    pub(crate) fn parts(&self) -> Parts<'_> {
        Parts {
            specs: &self.specs,
            label_sets: &self.label_sets,
            occupancy: &self.occupancy,
            selectors: &self.selectors,
            claim_kinds: &self.claim_kinds,
        }
    }

    /// A State with these tables and nothing else; to be filled, then indexed.
    pub(crate) fn from_tables(
        specs: Vec<Arc<PodSpec>>,
        label_sets: Vec<Arc<Labels>>,
        occupancy: BTreeMap<NodeName, Occupancy>,
        selectors: Vec<Arc<DeviceSelector>>,
        claim_kinds: Vec<Arc<ClaimKind>>,
    ) -> Self {
        let numbered = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let of_selectors = selectors.iter().enumerate();
        let of_kinds = claim_kinds.iter().enumerate();
        Self {
            selector_ids: of_selectors.map(|(at, one)| (Arc::clone(one), SelectorId(numbered(at)))).collect(),
            claim_kind_ids: of_kinds.map(|(at, one)| (Arc::clone(one), KindId(numbered(at)))).collect(),
            spec_ids: specs
                .iter()
                .enumerate()
                .map(|(at, spec)| (Arc::clone(spec), SpecId(numbered(at))))
                .collect(),
            label_set_ids: label_sets
                .iter()
                .enumerate()
                .map(|(at, set)| (Arc::clone(set), LabelSetId(numbered(at))))
                .collect(),
            specs,
            label_sets,
            occupancy,
            selectors,
            claim_kinds,
            ..Self::default()
        }
    }

    /// Whether every spec, selector and kind of claims that is named is defined.
    pub(crate) fn refers_only_to_what_it_has(&self) -> bool {
        let known = |id: SpecId| (id.0 as usize) < self.specs.len();
        let is_selector = |id: &SelectorId| (id.0 as usize) < self.selectors.len();
        let is_kind = |id: &KindId| (id.0 as usize) < self.claim_kinds.len();
        let claim_is_known = |claim: &ResourceClaim| match claim {
            ResourceClaim::Open(kind) => is_kind(kind),
            ResourceClaim::Refused(_) | ResourceClaim::Allocated(_) => true,
        };
        self.claim_kinds.iter().flat_map(|kind| kind.selectors()).all(is_selector)
            && self.resource_claims.values().all(claim_is_known)
            && self.claim_templates.values().flatten().all(is_kind)
            && self.pods.values().all(|pod| known(pod.spec))
            && self.daemon_sets.values().all(|id| known(*id))
            && self.buffers.values().all(|buffer| known(buffer.spec))
    }

    /// Rebuilds the look-ups that follow from the rest.
    pub(crate) fn index(&mut self) {
        let without_node = |pod: &Pod| pod.node.is_none() && !self.spec(pod.spec).is_daemon();
        let pods_in =
            |phase| self.pods.iter().filter(move |(_, pod)| pod.phase == phase && without_node(pod));
        let waiting = pods_in(PodPhase::Pending).map(|(key, _)| key.clone()).collect();
        let untried = pods_in(PodPhase::Untried).map(|(key, pod)| (pod.waiting_since, key.clone())).collect();
        (self.waiting, self.untried) = (waiting, untried);
        let nominated =
            |key: &PodKey| matches!(self.pods.get(key).map(|pod| &pod.plan), Some(Plan::Nominated { .. }));
        self.unplanned = self.waiting.iter().filter(|key| !nominated(key)).cloned().collect();
        let awaited = self.nodes.iter().filter(|(_, node)| !node.planned.pods.is_empty());
        self.awaited_nodes = awaited.map(|(name, _)| name.clone()).collect();
        let unready = self.nodes.iter().filter(|(_, node)| !node.facts.ready);
        self.unready = unready.map(|(name, _)| name.clone()).collect();
        self.attached.clear();
        for (name, attachment) in &self.volume_attachments {
            self.attached.entry(attachment.node.clone()).or_default().insert(name.clone());
        }
        self.index_devices();
        self.touched = Touched::from(self.size);
    }
}

/// FNV-1a over bytes, continued from a hash.
fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
