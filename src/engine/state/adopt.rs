//! Claims that others made: what they are to State once they are taken over, and what of claims may change by hand.
//!
//! **Invariant:** what a claim becomes depends on State and on what was seen of it alone, so that it can be decided upon before the
//! record which takes it over is folded in.

use std::sync::Arc;

use super::{Claim, Instance, Planned, State};
use crate::event::{Seq, Target};
use crate::model::{
    CapacityType, ClaimFacts, ClaimName, Disruption, InstanceId, Limits, NodeName, NodePool, PoolName, Price,
    Resources, Time, TypeName, Zone, label,
};

impl State {
    /// The instance of a claim that is not taken over yet: the one in its status, or one that carries its name.
    pub fn instance_of_stranger(&self, facts: &ClaimFacts) -> Option<InstanceId> {
        let tagged = || {
            let mut orphans = self.orphans.iter();
            orphans.find(|(_, orphan)| orphan.claim.as_ref() == Some(&facts.name)).map(|(id, _)| id.clone())
        };
        facts.instance.clone().or_else(tagged)
    }

    /// What a claim that was seen is once it is taken over.
    pub fn taken_over(
        &self,
        seq: Seq,
        time: Time,
        facts: &ClaimFacts,
        instance: Option<&InstanceId>,
    ) -> Claim {
        let instance = instance.map(|id| self.instance_by_labels(time, facts, id));
        let of_type = instance.as_ref().and_then(|instance| self.types.get(&instance.instance_type));
        let counted = of_type.map(|found| found.capacity.clone()).unwrap_or_default();
        let node = self.node_of_stranger(facts, instance.as_ref().map(|instance| &instance.id));
        let occupancy = node.as_ref().and_then(|node| self.occupancy.get(node));
        let initialized = (facts.registered && facts.initialized).then_some(time);
        Claim {
            name: facts.name.clone(),
            pool: facts.pool.clone(),
            adopted: Some(facts.uid),
            template: Arc::new(self.template_of_stranger(facts)),
            launch: seq,
            created: facts.created,
            asked: time,
            deleted: facts.deleted,
            deadline: facts.deadline,
            requirements: facts.template.requirements.clone(),
            requests: facts.requests.clone(),
            places: Vec::new(),
            options: Vec::new(),
            // They are on its node, or will be before anybody sees what is left there.
            daemons: Resources::default(),
            floor: Resources::default(),
            counted,
            changed: seq,
            planned: Planned::default(),
            attempts: 1,
            retry_at: None,
            calm: initialized.is_some() && node.is_some() && facts.deleted.is_none(),
            workload_pods: occupancy.map_or(0, |occupancy| occupancy.workload_pods),
            instance,
            node,
            registered: facts.registered.then_some(time),
            initialized,
            disrupting: None,
        }
    }

    pub(super) fn take_over(
        &mut self,
        seq: Seq,
        time: Time,
        name: &ClaimName,
        instance: Option<&InstanceId>,
    ) {
        let Some(facts) = self.strangers.remove(name) else { return };
        let claim = self.taken_over(seq, time, &facts, instance);
        if let Some(instance) = instance {
            self.orphans.remove(instance);
        }
        self.touched.push(seq, Target::Claim(name.clone()));
        if let Some(node) = &claim.node {
            self.touched.push(seq, Target::Node(node.clone()));
        }
        self.supply_changed = seq;
        self.claims.insert(claim);
    }

    /// A claim was seen: one to be taken over, or one that is no longer as it was.
    pub(super) fn observe_claim(&mut self, seq: Seq, facts: &Arc<ClaimFacts>) {
        let differs = self.change_claim(seq, &facts.name, |claim| {
            claim.deleted = claim.deleted.or(facts.deleted);
            claim.deadline = facts.deadline;
            if let (Some(known), Some(seen)) = (&mut claim.instance, &facts.instance)
                && known.id != *seen
            {
                known.id = seen.clone();
                known.is_gone = false;
            }
            claim.calm = false;
        });
        if differs.is_none() {
            self.strangers.insert(facts.name.clone(), Arc::clone(facts));
        }
    }

    /// A claim's object is no more. What it had is removed as for any other that goes.
    pub(super) fn claim_vanished(&mut self, seq: Seq, time: Time, name: &ClaimName) {
        self.strangers.remove(name);
        let Some(claim) = self.claims.get(name) else { return };
        let is_ending = claim.disrupting.as_ref().is_some_and(|removal| removal.terminated.is_some());
        if is_ending || claim.instance.as_ref().is_none_or(|instance| instance.is_gone) {
            return self.remove_claim(seq, time, name);
        }
        self.change_claim(seq, name, |claim| {
            claim.deleted = claim.deleted.or(Some(time));
            claim.calm = false;
        });
    }

    /// The instance of a claim, as the claim's labels describe it.
    fn instance_by_labels(&self, time: Time, facts: &ClaimFacts, id: &InstanceId) -> Instance {
        let (instance_type, zone, capacity_type) = described(facts);
        let offers = self.types.get(&instance_type).map(|found| found.offerings.as_slice());
        let price = offers
            .unwrap_or_default()
            .iter()
            .find(|offering| offering.zone == zone && offering.capacity_type == capacity_type);
        Instance {
            id: id.clone(),
            price: price.map_or(Price(0), |offering| offering.price),
            instance_type,
            zone,
            capacity_type,
            // By another's clock, which may be ahead.
            launched: facts.created.min(time),
            interruption: None,
            is_gone: false,
        }
    }

    fn node_of_stranger(&self, facts: &ClaimFacts, instance: Option<&InstanceId>) -> Option<NodeName> {
        let is_its = |name: &&NodeName| {
            self.nodes.get(*name).is_some_and(|node| node.facts.instance.as_ref() == instance)
        };
        let instance = instance?;
        let named = facts.node.as_ref().filter(is_its);
        let found = || self.nodes.values().find(|node| node.facts.instance.as_ref() == Some(instance));
        named.cloned().or_else(|| found().map(|node| node.facts.name.clone()))
    }

    /// What a claim has of its pool. Of the hash it is the claim's own that counts, or else a claim would seem to have drifted: one
    /// of another version is no measure, and the pool's takes its place.
    fn template_of_stranger(&self, facts: &ClaimFacts) -> NodePool {
        let pool = facts.pool.as_ref().and_then(|pool| self.pools.get(pool));
        let hash = match pool {
            Some(pool) if !facts.has_current_hash() && !facts.drifted => pool.facts.hash.clone(),
            _ => facts.hash.clone(),
        };
        NodePool {
            name: facts.pool.clone().unwrap_or_else(|| PoolName::new("")),
            weight: 0,
            template: facts.template.clone(),
            disruption: Disruption::default(),
            limits: Limits::default(),
            replicas: None,
            hash,
            ready: true,
        }
    }
}

/// What the labels of a launched claim say of its instance. What they do not say is empty, which no type and no zone is.
pub(crate) fn described(facts: &ClaimFacts) -> (TypeName, Zone, CapacityType) {
    let label = |key: &str| facts.template.labels.get(key).map_or("", |value| &**value);
    (
        TypeName::new(label(label::INSTANCE_TYPE)),
        Zone::new(label(label::ZONE)),
        CapacityType::parse(label(label::CAPACITY_TYPE)).unwrap_or(CapacityType::OnDemand),
    )
}
