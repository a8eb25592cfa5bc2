//! From observations to records: only what is news, in normal form.
//!
//! **Invariant:** an observation that State already has makes no record, and each record that is made fits the journal.

mod claims;
mod devices;
mod latest;

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

pub(super) use self::claims::is_no_news;
use self::claims::{claim_fact, instance_fact, is_ended_news, is_missed};
pub(super) use self::latest::coalesce;
use super::limits;
use crate::event::{Control, Event, Fact, LabelSetId, SpecId};
use crate::model::{
    ClaimKind, ClaimName, DeviceSelector, KindId, Labels, NodeFacts, NodeOverlay, PodFacts, PodPhase,
    PodSpec, SelectorId, Time, VolumeAttachment, VolumeClaim,
};
use crate::port::{Entry, Input, Observation};
use crate::state::{Buffer, Pod, State};

/// How things come to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// One by one, and maybe late.
    Live,
    /// By a list of everything, made at a start.
    Afresh,
}

/// The records that inputs of this moment make, in order.
pub(super) fn entries(state: &State, inputs: &[Input], told: Told, now: Time) -> Vec<Entry> {
    let mut intake = Intake {
        state,
        told,
        now,
        entries: Vec::new(),
        specs: FxHashMap::default(),
        label_sets: FxHashMap::default(),
        selectors: FxHashMap::default(),
        kinds: FxHashMap::default(),
        launched: FxHashSet::default(),
    };
    for (input, counts) in inputs.iter().zip(latest::counting(inputs)) {
        if counts {
            intake.take(input);
        }
    }
    // A list in which nothing is news is no news either.
    if intake.entries.iter().all(|entry| matches!(entry.event, Event::Control(Control::Relisted { .. }))) {
        intake.entries.clear();
    }
    intake.entries
}

struct Intake<'a> {
    state: &'a State,
    told: Told,
    now: Time,
    entries: Vec<Entry>,
    /// Defined in this batch.
    specs: FxHashMap<Arc<PodSpec>, SpecId>,
    label_sets: FxHashMap<Arc<Labels>, LabelSetId>,
    selectors: FxHashMap<Arc<DeviceSelector>, SelectorId>,
    kinds: FxHashMap<Arc<ClaimKind>, KindId>,
    /// Claims whose instance is news of this batch: the cloud's list, the launch's answer and the claim's status all tell of it.
    launched: FxHashSet<ClaimName>,
}

impl Intake<'_> {
    fn take(&mut self, input: &Input) {
        let state = self.state;
        let Some(observation) = limits::fitting(&input.observation) else { return };
        let event: Event = match &*observation {
            Observation::Pod(pod) => return self.pod(input, pod),
            Observation::NoPod(pod) if state.pods.contains_key(pod) => {
                Fact::PodDeleted { pod: pod.clone() }.into()
            }
            Observation::Node(node) => return self.node(input, node),
            Observation::NoNode(node) if state.nodes.contains_key(node) => {
                Fact::NodeDeleted { node: node.clone() }.into()
            }
            Observation::NodePool(pool)
                if state.pools.get(&pool.name).is_none_or(|known| known.facts != *pool) =>
            {
                Fact::NodePoolObserved { pool: Arc::clone(pool) }.into()
            }
            Observation::NoNodePool(pool) if state.pools.contains_key(pool) => {
                Fact::NodePoolDeleted { pool: pool.clone() }.into()
            }
            Observation::NodeOverlay(name, overlay) if state.overlays.get(name) != Some(overlay) => {
                let NodeOverlay { weight, requirements, price, price_adjustment, capacity } = overlay.clone();
                let name = name.clone();
                Fact::NodeOverlayObserved { name, weight, requirements, price, price_adjustment, capacity }
                    .into()
            }
            Observation::NoNodeOverlay(name) if state.overlays.contains_key(name) => {
                Fact::NodeOverlayDeleted { name: name.clone() }.into()
            }
            Observation::NodeClaim(facts) => match claim_fact(state, facts, self.told, self.now) {
                Some(fact) => fact.into(),
                None => return,
            },
            Observation::NoNodeClaim(claim) if is_missed(state, claim) => {
                Fact::NodeClaimDeleted { claim: claim.clone() }.into()
            }
            Observation::DaemonSet(daemon_set, spec) => {
                let known = state.daemon_sets.get(daemon_set).map(|id| state.spec(*id));
                if known == Some(spec) {
                    return;
                }
                let spec = self.spec(spec);
                Fact::DaemonSetObserved { daemon_set: daemon_set.clone(), spec }.into()
            }
            Observation::NoDaemonSet(daemon_set) if state.daemon_sets.contains_key(daemon_set) => {
                Fact::DaemonSetDeleted { daemon_set: daemon_set.clone() }.into()
            }
            Observation::DisruptionBudget {
                budget,
                selector,
                disruptions_allowed,
                always_allow_unhealthy,
            } => {
                let same = state.disruption_budgets.get(budget).is_some_and(|known| {
                    known.selector == *selector
                        && known.disruptions_allowed == *disruptions_allowed
                        && known.always_allow_unhealthy == *always_allow_unhealthy
                });
                if same {
                    return;
                }
                Fact::DisruptionBudgetObserved {
                    budget: budget.clone(),
                    selector: selector.clone(),
                    disruptions_allowed: *disruptions_allowed,
                    always_allow_unhealthy: *always_allow_unhealthy,
                }
                .into()
            }
            Observation::NoDisruptionBudget(budget) if state.disruption_budgets.contains_key(budget) => {
                Fact::DisruptionBudgetDeleted { budget: budget.clone() }.into()
            }
            Observation::Namespace(namespace, labels) if state.namespaces.get(namespace) != Some(labels) => {
                Fact::NamespaceObserved { namespace: namespace.clone(), labels: labels.clone() }.into()
            }
            Observation::NoNamespace(namespace) if state.namespaces.contains_key(namespace) => {
                Fact::NamespaceDeleted { namespace: namespace.clone() }.into()
            }
            Observation::VolumeClaim(claim, facts) if state.volume_claims.get(claim) != Some(facts) => {
                let VolumeClaim { topologies, driver, problem } = facts.clone();
                Fact::VolumeClaimObserved { claim: claim.clone(), topologies, driver, problem }.into()
            }
            Observation::NoVolumeClaim(claim) if state.volume_claims.contains_key(claim) => {
                Fact::VolumeClaimDeleted { claim: claim.clone() }.into()
            }
            Observation::VolumeLimits { node, limits } if state.volume_limits.get(node) != Some(limits) => {
                Fact::VolumeLimitsObserved { node: node.clone(), limits: limits.clone() }.into()
            }
            Observation::NoVolumeLimits(node) if state.volume_limits.contains_key(node) => {
                Fact::VolumeLimitsDeleted { node: node.clone() }.into()
            }
            Observation::VolumeAttachment(attachment, facts)
                if state.volume_attachments.get(attachment) != Some(facts) =>
            {
                let VolumeAttachment { node, volume, claim } = facts.clone();
                Fact::VolumeAttachmentObserved { attachment: attachment.clone(), node, volume, claim }.into()
            }
            Observation::NoVolumeAttachment(attachment) => {
                let Some(known) = state.volume_attachments.get(attachment) else { return };
                let node = known.node.clone();
                Fact::VolumeAttachmentDeleted { attachment: attachment.clone(), node }.into()
            }
            Observation::CapacityBuffer(buffer, facts) => {
                let known = state.buffers.get(buffer);
                let same = |known: &Buffer| {
                    known.replicas == facts.replicas && *state.spec(known.spec) == facts.spec
                };
                if known.is_some_and(same) {
                    return;
                }
                let spec = self.spec(&facts.spec);
                let (buffer, replicas) = (buffer.clone(), facts.replicas);
                Fact::CapacityBufferObserved { buffer, spec, replicas }.into()
            }
            Observation::NoCapacityBuffer(buffer) if state.buffers.contains_key(buffer) => {
                Fact::CapacityBufferDeleted { buffer: buffer.clone() }.into()
            }
            Observation::InstanceType(offer) if state.types.get(&offer.name) != Some(offer) => {
                Fact::InstanceTypeObserved { instance_type: Arc::clone(offer) }.into()
            }
            Observation::NoInstanceType(name) if state.types.contains_key(name) => {
                Fact::InstanceTypeRemoved { instance_type: name.clone() }.into()
            }
            Observation::Catalogue(digest, types) if state.catalogue != *digest => {
                Fact::CatalogueObserved { digest: digest.clone(), types: *types }.into()
            }
            Observation::Price(offering, price) => {
                let known = state.types.get(&offering.instance_type).and_then(|known| {
                    let same = |o: &&crate::model::Offering| {
                        o.zone == offering.zone && o.capacity_type == offering.capacity_type
                    };
                    known.offerings.iter().find(same)
                });
                if known.is_none_or(|known| known.price == *price) {
                    return;
                }
                Fact::PriceChanged { offering: offering.clone(), price: *price }.into()
            }
            Observation::Instance(instance) => match instance_fact(state, instance, self.now) {
                Some(fact) => fact.into(),
                None => return,
            },
            Observation::NoInstance(instance)
                if is_ended_news(state, instance) || state.orphans.contains_key(instance) =>
            {
                Fact::InstanceGone { instance: instance.clone() }.into()
            }
            Observation::LaunchFailed(claim, failure)
                if state.claims.get(claim).is_some_and(|claim| claim.instance.is_none()) =>
            {
                Fact::LaunchFailed { claim: claim.clone(), failure: failure.clone() }.into()
            }
            Observation::Interruption { instance, kind, at } => {
                let known = state.claim_of_instance(instance).and_then(|claim| claim.instance.as_ref());
                if known.is_none_or(|known| known.interruption == Some(*at)) {
                    return;
                }
                Fact::InterruptionNotice { instance: instance.clone(), kind: *kind, at: *at }.into()
            }
            Observation::Tainted(claim)
                if state
                    .claims
                    .get(claim)
                    .and_then(|c| c.disrupting.as_ref())
                    .is_some_and(|d| d.tainted.is_none()) =>
            {
                Fact::NodeTainted { claim: claim.clone() }.into()
            }
            Observation::EvictionBlocked(pod, by) if state.pods.contains_key(pod) => {
                Fact::EvictionBlocked { pod: pod.clone(), by: by.clone() }.into()
            }
            Observation::EffectFailed(claim, message) => {
                Fact::EffectFailed { claim: claim.clone(), message: message.clone() }.into()
            }
            Observation::Settings(settings) if state.settings != *settings => {
                Control::SettingsChanged { settings: settings.clone() }.into()
            }
            Observation::Relisted(listed) => {
                Control::Relisted { listed: *listed, changed: self.entries.len() as u64 }.into()
            }
            // All that is left is about devices, or known already.
            other => match self.device_fact(other) {
                Some(fact) => fact.into(),
                None => return,
            },
        };
        self.push(input, event);
    }

    fn push(&mut self, input: &Input, event: Event) {
        if let Event::Fact(Fact::InstanceLaunched { claim, .. }) = &event
            && !self.launched.insert(claim.clone())
        {
            return;
        }
        self.entries.push(Entry { event, causes: input.cause.into_iter().collect() });
    }

    fn pod(&mut self, input: &Input, facts: &PodFacts) {
        if let Some(known) = self.state.pods.get(&facts.key)
            && known.uid == facts.uid
            && known.created == facts.created
            && *self.state.spec(known.spec) == facts.spec
        {
            let pod = facts.key.clone();
            match (&known.node, &facts.node) {
                (before, after) if before == after => {
                    if known.phase != facts.phase || (known.started, known.ends) != self.times(facts) {
                        self.pod_moved(input, facts);
                    }
                    self.pod_claims(input, facts, true);
                }
                (None, Some(node)) if facts.phase == PodPhase::Bound => {
                    self.push(input, Fact::PodBound { pod, node: node.clone() }.into());
                    if facts.started.is_some() {
                        self.pod_moved(input, facts);
                    }
                    self.pod_claims(input, facts, true);
                }
                _ => self.observed(input, facts),
            }
            return;
        }
        self.observed(input, facts);
    }

    fn observed(&mut self, input: &Input, facts: &PodFacts) {
        let spec = self.spec(&facts.spec);
        let fact = Fact::PodObserved {
            pod: facts.key.clone(),
            uid: facts.uid,
            spec,
            created: facts.created,
            phase: facts.phase,
            node: facts.node.clone(),
        };
        self.push(input, fact.into());
        if facts.started.is_some() || facts.deletion_grace.is_some() {
            self.pod_moved(input, facts);
        }
        self.pod_claims(input, facts, false);
    }

    fn pod_moved(&mut self, input: &Input, facts: &PodFacts) {
        let (started, ends) = self.times(facts);
        let fact = Fact::PodPhaseChanged { pod: facts.key.clone(), phase: facts.phase, started, ends };
        self.push(input, fact.into());
    }

    /// When a pod started, and when it has to be gone, by our clock: those of API servers and kubelets may be ahead of it or behind. What is
    /// known of the same pod stays, but for a shorter time to end in.
    fn times(&self, facts: &PodFacts) -> (Option<Time>, Option<Time>) {
        let known = self.state.pods.get(&facts.key).filter(|known| known.uid == facts.uid);
        let started = facts.started.map(|at| known.and_then(|pod| pod.started).unwrap_or(at.min(self.now)));
        let ends = facts.deletion_grace.map(|grace| {
            let latest = self.now + grace;
            known.and_then(|pod| pod.ends).map_or(latest, |ends| ends.min(latest))
        });
        (started, ends)
    }

    fn node(&mut self, input: &Input, facts: &NodeFacts) {
        if let Some(known) = self.state.nodes.get(&facts.name) {
            if known.facts == *facts {
                return;
            }
            let only_readiness = NodeFacts { ready: known.facts.ready, ..facts.clone() } == known.facts;
            if only_readiness {
                let fact = Fact::NodeReadinessChanged { node: facts.name.clone(), ready: facts.ready };
                return self.push(input, fact.into());
            }
        }
        let labels = self.label_set(&facts.labels);
        let fact = Fact::NodeObserved {
            node: facts.name.clone(),
            instance: facts.instance.clone(),
            labels,
            taints: facts.taints.clone(),
            allocatable: facts.allocatable.clone(),
            ready: facts.ready,
            unschedulable: facts.unschedulable,
            do_not_disrupt: facts.do_not_disrupt,
            created: facts.created,
            deleting: facts.deleting,
        };
        self.push(input, fact.into());
    }

    /// The number of a pod spec, which is defined first if it has none.
    fn spec(&mut self, spec: &Arc<PodSpec>) -> SpecId {
        if let Some(id) = self.state.spec_id(spec).or_else(|| self.specs.get(spec).copied()) {
            return id;
        }
        let id = SpecId((self.state.specs().len() + self.specs.len()) as u32);
        self.specs.insert(Arc::clone(spec), id);
        let event = Fact::PodSpecDefined { id, spec: Arc::clone(spec) }.into();
        self.entries.push(Entry { event, causes: Vec::new() });
        id
    }

    fn label_set(&mut self, labels: &Arc<Labels>) -> LabelSetId {
        if let Some(id) = self.state.label_set_id(labels).or_else(|| self.label_sets.get(labels).copied()) {
            return id;
        }
        let id = LabelSetId((self.state.label_sets().len() + self.label_sets.len()) as u32);
        self.label_sets.insert(Arc::clone(labels), id);
        let event = Fact::LabelSetDefined { id, labels: Arc::clone(labels) }.into();
        self.entries.push(Entry { event, causes: Vec::new() });
        id
    }
}

/// Whether a pod is as State has it.
pub(super) fn is_as_known(state: &State, known: &Pod, facts: &PodFacts) -> bool {
    known.uid == facts.uid
        && known.created == facts.created
        && known.phase == facts.phase
        && known.node == facts.node
        && known.started.is_some() == facts.started.is_some()
        // It may have been given less time.
        && facts.deletion_grace.is_none()
        && known.claims == facts.claims
        && *state.spec(known.spec) == facts.spec
}
