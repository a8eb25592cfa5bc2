//! Which instances there are: Nodes that a provider of fake ones made, and those whose Node is still to come.
//!
//! **Invariant:** an instance is listed from the moment its claim is told of it until its Node is gone, so that none is ever taken
//! for lost between the two.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use purser_engine::model::{
    CapacityType, ClaimFacts, ClaimName, InstanceId, InstanceType, Offering, Price, Time, TypeName, Zone,
    label,
};
use purser_engine::port::InstanceFacts;

use super::machine::FAKE;
use super::{instance_types, node_of, offering, provider_id};

use crate::shared::Shared;

/// The instances of a cluster, shared between those who watch and those who launch.
#[derive(Clone)]
pub struct Instances(Shared<Known>);

struct Known {
    types: BTreeMap<TypeName, Arc<InstanceType>>,
    /// By the name of the Node.
    there: BTreeMap<String, InstanceFacts>,
    coming: BTreeMap<String, InstanceFacts>,
    /// Claims that were launched and have no Node yet, as found at the start; `None` once somebody has seen to them.
    unfinished: Option<BTreeMap<String, ClaimFacts>>,
}

impl Default for Instances {
    fn default() -> Self {
        let types = instance_types().into_iter().map(|one| (one.name.clone(), one)).collect();
        let (there, coming) = (BTreeMap::new(), BTreeMap::new());
        Self(Shared::new(Known { types, there, coming, unfinished: Some(BTreeMap::new()) }))
    }
}

impl Instances {
    /// All that there are.
    pub fn list(&self) -> Vec<InstanceFacts> {
        let known = self.0.lock();
        known.there.values().chain(known.coming.values()).cloned().collect()
    }

    pub(crate) fn saw_node(&self, node: &Node) {
        let name = node.name_any();
        let mut known = self.0.lock();
        if let Some(facts) = known.of_node(node) {
            known.coming.remove(&name);
            known.there.insert(name, facts);
        }
    }

    pub(crate) fn lost_node(&self, name: &str) {
        self.0.lock().there.remove(name);
    }

    /// A claim was seen. One that was launched before this process began, and whose Node did not come, is remembered until
    /// [`Instances::take_unfinished`].
    pub(crate) fn saw_claim(&self, claim: &ClaimFacts) {
        let Some(node) = claim.instance.as_ref().and_then(node_of) else { return };
        let waits = !claim.registered && claim.deleted.is_none();
        if let Some(unfinished) = self.0.lock().unfinished.as_mut().filter(|_| waits) {
            unfinished.insert(node.to_owned(), claim.clone());
        }
    }

    /// Claims that were launched before and have no Node, with the names that their Nodes are to have. To be asked once, when claims
    /// and Nodes are listed.
    pub(super) fn take_unfinished(&self) -> BTreeMap<String, ClaimFacts> {
        let mut known = self.0.lock();
        let mut unfinished = known.unfinished.take().unwrap_or_default();
        unfinished.retain(|node, _| !known.there.contains_key(node));
        unfinished
    }

    /// A Node of this name is going to be made.
    pub(super) fn expect(&self, node: &str, facts: InstanceFacts) {
        let mut known = self.0.lock();
        if !known.there.contains_key(node) {
            known.coming.insert(node.to_owned(), facts);
        }
    }

    /// Whether a Node of this name is still to be made.
    pub(super) fn is_coming(&self, node: &str) -> bool {
        self.0.lock().coming.contains_key(node)
    }

    /// No Node of this name is to be made any more.
    pub(crate) fn forget(&self, node: &str) {
        self.0.lock().coming.remove(node);
    }
}

impl Known {
    /// The instance that a Node is; `None` for a Node of somebody else.
    fn of_node(&self, node: &Node) -> Option<InstanceFacts> {
        let owner = node.owner_references().iter().find(|owner| owner.kind == "NodeClaim");
        let labels = node.labels();
        let is_fake = labels.get(FAKE.0).is_some_and(|value| value == FAKE.1);
        if !is_fake || (owner.is_none() && !labels.contains_key(label::NODEPOOL)) {
            return None;
        }
        let name = node.name_any();
        let id = node.spec.as_ref().and_then(|spec| spec.provider_id.clone());
        let of = |label: &str| labels.get(label).map_or("", String::as_str);
        let instance_type = TypeName::new(of(label::INSTANCE_TYPE));
        let zone = Zone::new(of(label::ZONE));
        let capacity_type = CapacityType::parse(of(label::CAPACITY_TYPE)).unwrap_or(CapacityType::OnDemand);
        let created = node.metadata.creation_timestamp.as_ref();
        Some(InstanceFacts {
            instance: InstanceId::new(id.unwrap_or_else(|| provider_id(&name))),
            // One that has not registered yet bears the name of its claim.
            claim: Some(ClaimName::new(owner.map_or(name, |owner| owner.name.clone()))),
            price: self.offering(&instance_type, &zone, capacity_type).map_or(Price(0), |one| one.price),
            instance_type,
            zone,
            capacity_type,
            launched: created.map_or(Time(0), crate::time),
        })
    }

    fn offering(&self, of: &TypeName, zone: &Zone, capacity_type: CapacityType) -> Option<&Offering> {
        offering(self.types.get(of)?, zone, capacity_type)
    }
}
