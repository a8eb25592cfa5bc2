//! Devices and the claims on them: how records change them, and how they are looked up.
//!
//! **Invariant:** which claims have a device follows from the claims alone, and on which nodes a pool is from the pools alone: so a claim and the
//! devices that it has may come in either order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::State;
use crate::event::{Fact, Seq};
use crate::model::{
    ClaimKind, DeviceAmount, DeviceName, DevicePool, DevicePoolKey, DeviceSelector, KindId, NodeName, PodKey,
    ResourceClaim, SelectorId, Str,
};

impl State {
    /// A device selector by its number, if that was defined.
    pub fn device_selector(&self, id: SelectorId) -> Option<&Arc<DeviceSelector>> {
        self.selectors.get(id.0 as usize)
    }

    /// The number of a device selector, if it has one.
    pub fn device_selector_id(&self, selector: &DeviceSelector) -> Option<SelectorId> {
        self.selector_ids.get(selector).copied()
    }

    /// All device selectors, by number.
    pub fn device_selectors(&self) -> &[Arc<DeviceSelector>] {
        &self.selectors
    }

    /// The number of a kind of claims, if it has one.
    pub fn claim_kind_id(&self, kind: &ClaimKind) -> Option<KindId> {
        self.claim_kind_ids.get(kind).copied()
    }

    /// All kinds of claims, by number.
    pub fn claim_kinds(&self) -> &[Arc<ClaimKind>] {
        &self.claim_kinds
    }

    /// The devices that drivers published of a node.
    pub fn devices_of(&self, node: &NodeName) -> impl Iterator<Item = (&DevicePoolKey, &Arc<DevicePool>)> {
        let first = DevicePoolKey { node: node.clone(), driver: "".into(), pool: "".into() };
        let node = node.clone();
        self.device_pools.range(first..).take_while(move |(key, _)| key.node == node)
    }

    /// For each use of a device, how much it takes of its capacities.
    pub fn uses_of<'a>(
        &'a self,
        device: &DeviceName,
    ) -> impl Iterator<Item = &'a BTreeMap<Str, DeviceAmount>> + use<'a> {
        let device = device.clone();
        let claims = self.in_use.get(&device).into_iter().flatten();
        let held = claims.filter_map(|claim| match self.resource_claims.get(claim)? {
            ResourceClaim::Allocated(holding) => Some(&holding.devices),
            ResourceClaim::Open(_) | ResourceClaim::Refused(_) => None,
        });
        held.flatten().filter(move |one| one.name == device).map(|one| &one.consumed)
    }

    pub(super) fn apply_device_fact(&mut self, seq: Seq, fact: &Fact) {
        match fact {
            Fact::DeviceSelectorDefined { id, selector } => {
                debug_assert_eq!(id.0 as usize, self.selectors.len(), "selector numbers are dense");
                self.selectors.push(Arc::clone(selector));
                self.selector_ids.insert(Arc::clone(selector), *id);
            }
            Fact::ClaimKindDefined { id, kind } => {
                debug_assert_eq!(id.0 as usize, self.claim_kinds.len(), "numbers of kinds are dense");
                self.claim_kinds.push(Arc::clone(kind));
                self.claim_kind_ids.insert(Arc::clone(kind), *id);
            }
            Fact::ResourceClaimObserved { claim, facts } => {
                self.claim_changes(seq, claim, Some(facts.clone()));
            }
            Fact::ResourceClaimDeleted { claim } => self.claim_changes(seq, claim, None),
            Fact::ClaimTemplateObserved { template, kind } => {
                self.claim_templates.insert(template.clone(), kind.clone());
            }
            Fact::ClaimTemplateDeleted { template } => {
                self.claim_templates.remove(template);
            }
            Fact::PodClaimsObserved { pod, claims } => {
                if let Some(pod) = self.pods.get_mut(pod) {
                    pod.claims.clone_from(claims);
                }
            }
            Fact::DevicePoolObserved { key, pool } => {
                self.device_pools.insert(key.clone(), Arc::clone(pool));
                let nodes = self.pool_nodes.entry((key.driver.clone(), key.pool.clone())).or_default();
                nodes.insert(key.node.clone());
                self.devices_change(seq, &key.node, true);
            }
            Fact::DevicePoolDeleted { key } => {
                self.device_pools.remove(key);
                let of = (key.driver.clone(), key.pool.clone());
                if let Some(nodes) = self.pool_nodes.get_mut(&of) {
                    nodes.remove(&key.node);
                    if nodes.is_empty() {
                        self.pool_nodes.remove(&of);
                    }
                }
                self.devices_change(seq, &key.node, false);
            }
            Fact::WideSelectorsObserved { selectors } => {
                self.wide_selectors.clone_from(selectors);
                // Whoever wants all devices of a node may have them now.
                self.supply_changed = seq;
            }
            _ => unreachable!("the others are not about devices"),
        }
    }

    /// A claim is another than before, or gone.
    fn claim_changes(&mut self, seq: Seq, key: &PodKey, after: Option<ResourceClaim>) {
        let before = match &after {
            Some(after) => self.resource_claims.insert(key.clone(), after.clone()),
            None => self.resource_claims.remove(key),
        };
        for (claim, makes_room) in [(before, true), (after, false)] {
            let Some(ResourceClaim::Allocated(holding)) = claim else { continue };
            for device in holding.devices {
                let of = (device.name.driver.clone(), device.name.pool.clone());
                let users = self.in_use.entry(device.name.clone()).or_default();
                match makes_room {
                    true => users.remove(key),
                    false => users.insert(key.clone()),
                };
                if users.is_empty() {
                    self.in_use.remove(&device.name);
                }
                for node in self.pool_nodes.get(&of).cloned().unwrap_or_default() {
                    self.devices_change(seq, &node, makes_room);
                }
            }
        }
    }

    /// What claims can get on a node is not what it was.
    fn devices_change(&mut self, seq: Seq, name: &NodeName, makes_room: bool) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        if makes_room {
            node.changed = seq;
        }
        self.touch_node(seq, name);
    }

    /// Rebuilds the look-ups about devices that follow from the rest.
    pub(super) fn index_devices(&mut self) {
        self.in_use.clear();
        for (key, claim) in &self.resource_claims {
            let ResourceClaim::Allocated(holding) = claim else { continue };
            for device in &holding.devices {
                self.in_use.entry(device.name.clone()).or_default().insert(key.clone());
            }
        }
        self.pool_nodes.clear();
        for key in self.device_pools.keys() {
            let nodes = self.pool_nodes.entry((key.driver.clone(), key.pool.clone())).or_default();
            nodes.insert(key.node.clone());
        }
    }
}
