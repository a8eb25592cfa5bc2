//! Devices and claims on them, made records: selectors and kinds of claims get their numbers here.
//!
//! **Invariant:** what is told of a pool answers certain questions, and is news only if it answers one of them otherwise than State does: that a
//! question is asked no more changes nothing, and so a controller that has just started, and knows no questions of the past, makes no records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Intake;
use crate::event::Fact;
use crate::model::{
    AskedKind, ClaimKind, DevicePool, DevicePoolKey, DeviceSelector, KindId, PodFacts, PodKey, Questions,
    ResourceClaim, SelectorId,
};
use crate::port::{Entry, Input, Observation};
use crate::reason::Reason;

impl Intake<'_> {
    /// The record that what is told of devices makes, if it is news.
    pub(super) fn device_fact(&mut self, told: &Observation) -> Option<Fact> {
        let state = self.state;
        match told {
            Observation::ResourceClaim(claim, facts) => self.resource_claim(claim, facts),
            Observation::ClaimTemplate(template, kind) => self.claim_template(template, kind),
            Observation::DevicePool { key, pool, asked } => self.device_pool(key, pool, asked),
            Observation::WideSelectors { selectors, asked } => self.wide_selectors(selectors, asked),
            Observation::NoResourceClaim(claim) if state.resource_claims.contains_key(claim) => {
                Some(Fact::ResourceClaimDeleted { claim: claim.clone() })
            }
            Observation::NoClaimTemplate(template) if state.claim_templates.contains_key(template) => {
                Some(Fact::ClaimTemplateDeleted { template: template.clone() })
            }
            Observation::NoDevicePool(key) if state.device_pools.contains_key(key) => {
                Some(Fact::DevicePoolDeleted { key: key.clone() })
            }
            Observation::NoWideSelectors if !state.wide_selectors.is_empty() => {
                Some(Fact::WideSelectorsObserved { selectors: BTreeSet::new() })
            }
            _ => None,
        }
    }

    fn resource_claim(&mut self, key: &PodKey, told: &ResourceClaim<Arc<AskedKind>>) -> Option<Fact> {
        let facts = match told {
            ResourceClaim::Open(kind) => ResourceClaim::Open(self.kind(kind)),
            ResourceClaim::Refused(reason) => ResourceClaim::Refused(reason.clone()),
            ResourceClaim::Allocated(holding) => ResourceClaim::Allocated(holding.clone()),
        };
        let is_known = self.state.resource_claims.get(key) == Some(&facts);
        (!is_known).then(|| Fact::ResourceClaimObserved { claim: key.clone(), facts })
    }

    fn claim_template(&mut self, key: &PodKey, told: &Result<Arc<AskedKind>, Reason>) -> Option<Fact> {
        let kind = told.as_ref().map(|kind| self.kind(kind)).map_err(Reason::clone);
        let is_known = self.state.claim_templates.get(key) == Some(&kind);
        (!is_known).then(|| Fact::ClaimTemplateObserved { template: key.clone(), kind })
    }

    fn device_pool(
        &mut self,
        key: &DevicePoolKey,
        told: &DevicePool<Arc<DeviceSelector>>,
        asked: &Questions,
    ) -> Option<Fact> {
        if let Some(known) = self.state.device_pools.get(key) {
            let mut known = known.renamed(|id| self.asked(*id, asked));
            known.keep_attributes(&asked.attributes);
            if known == *told {
                return None;
            }
        }
        let numbered = told.selectors().into_iter().map(|selector| (selector, self.selector(selector)));
        let numbered: BTreeMap<_, _> = numbered.collect();
        let pool = Arc::new(told.renamed(|selector| numbered.get(selector).copied()));
        Some(Fact::DevicePoolObserved { key: key.clone(), pool })
    }

    fn wide_selectors(&mut self, told: &BTreeSet<Arc<DeviceSelector>>, asked: &Questions) -> Option<Fact> {
        let known = self.state.wide_selectors.iter().filter_map(|id| self.asked(*id, asked));
        if known.collect::<BTreeSet<_>>() == *told {
            return None;
        }
        let selectors = told.iter().map(|selector| self.selector(selector)).collect();
        Some(Fact::WideSelectorsObserved { selectors })
    }

    /// Where a pod's claims come from, if that is news; `known` if the pod is as State has it but for them.
    pub(super) fn pod_claims(&mut self, input: &Input, facts: &PodFacts, known: bool) {
        let before = self.state.pods.get(&facts.key).filter(|_| known);
        if before.map_or(&[][..], |pod| &pod.claims) != facts.claims {
            let fact = Fact::PodClaimsObserved { pod: facts.key.clone(), claims: facts.claims.clone() };
            self.push(input, fact.into());
        }
    }

    /// A selector of State, if it is among those that are asked.
    fn asked(&self, id: SelectorId, asked: &Questions) -> Option<Arc<DeviceSelector>> {
        let selector = self.state.device_selector(id)?;
        asked.selectors.contains(selector).then(|| Arc::clone(selector))
    }

    /// The number of a kind of claims, which is defined first if it has none.
    fn kind(&mut self, kind: &AskedKind) -> KindId {
        let kind: ClaimKind = kind.renamed(|selector| self.selector(selector));
        if let Some(id) = self.state.claim_kind_id(&kind).or_else(|| self.kinds.get(&kind).copied()) {
            return id;
        }
        let id = KindId((self.state.claim_kinds().len() + self.kinds.len()) as u32);
        let kind = Arc::new(kind);
        self.kinds.insert(Arc::clone(&kind), id);
        let event = Fact::ClaimKindDefined { id, kind }.into();
        self.entries.push(Entry { event, causes: Vec::new() });
        id
    }

    /// The number of a selector, which is defined first if it has none.
    fn selector(&mut self, selector: &Arc<DeviceSelector>) -> SelectorId {
        let known = self.state.device_selector_id(selector);
        if let Some(id) = known.or_else(|| self.selectors.get(selector).copied()) {
            return id;
        }
        let id = SelectorId((self.state.device_selectors().len() + self.selectors.len()) as u32);
        self.selectors.insert(Arc::clone(selector), id);
        let event = Fact::DeviceSelectorDefined { id, selector: Arc::clone(selector) }.into();
        self.entries.push(Entry { event, causes: Vec::new() });
        id
    }
}
