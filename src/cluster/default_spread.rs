//! Pods with the cluster's default spread constraints: as the scheduler sees them, which is how they are told.
//!
//! Which pods such a constraint counts follows from Services and controllers, so a pod is told again when those change what is deduced for it.
//!
//! **Invariant:** whoever was told of a pod knows it as what is known now makes it: in which order pods, Services and controllers come
//! makes no difference in the end.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use purser_api::{FieldError, PodSelector, SelectorKind, selecting_controller, with_default_spread};
use purser_engine::model::{OwnerKind, PodFacts, PodKey, PodPhase, PodSpec, Str, TopologySpread};
use purser_engine::port::Observation;

use crate::shared::Shared;
use crate::tell::Told;
use crate::watching::Key;

/// What default constraints come to for each pod, shared between the watches of pods, Services and controllers. Without any, nothing is kept.
#[derive(Clone, Default)]
pub(crate) struct DefaultSpread(Shared<Known>);

#[derive(Default)]
struct Known {
    defaults: Vec<TopologySpread>,
    /// By namespace, the selectors that are not empty.
    selectors: BTreeMap<Str, BTreeMap<(SelectorKind, Str), PodSelector>>,
    /// Pods that may have default constraints.
    pods: BTreeMap<PodKey, Kept>,
    /// Specs of pods, each once: pods of one template have the same.
    specs: HashSet<Arc<PodSpec>>,
}

struct Kept {
    /// The pod as it was written.
    facts: PodFacts,
    controller: Option<(SelectorKind, Str)>,
    /// Its spec as it was told last.
    told: Arc<PodSpec>,
}

impl DefaultSpread {
    pub(crate) fn new(defaults: &[TopologySpread]) -> Self {
        Self(Shared::new(Known { defaults: defaults.to_vec(), ..Known::default() }))
    }

    /// A pod with the default constraints that it has.
    pub(crate) fn saw_pod(&self, pod: &Pod, mut facts: PodFacts) -> PodFacts {
        let mut known = self.0.lock();
        if known.defaults.is_empty() {
            return facts;
        }
        let places_itself = matches!(facts.spec.owner, OwnerKind::DaemonSet | OwnerKind::Node);
        if places_itself || !facts.spec.spread.is_empty() || facts.phase == PodPhase::Ended {
            known.pods.remove(&facts.key);
            return facts;
        }
        facts.spec = known.shared(facts.spec);
        let controller = selecting_controller(&pod.metadata);
        let told = known.deduced(&facts, controller.as_ref());
        let told = known.shared(told);
        let kept = Kept { facts: facts.clone(), controller, told: Arc::clone(&told) };
        known.pods.insert(facts.key.clone(), kept);
        facts.spec = told;
        facts
    }

    pub(crate) fn lost_pod(&self, key: &PodKey) {
        let mut known = self.0.lock();
        known.pods.remove(key);
        known.tidy();
    }

    /// A Service or controller selects pods so.
    pub(crate) fn saw<K>(&self, object: &K) -> Told
    where
        PodSelector: for<'k> TryFrom<&'k K, Error = FieldError>,
    {
        let selector = PodSelector::try_from(object)?;
        Ok(self.changes(selector.kind, selector.key.clone(), Some(selector)))
    }

    /// A Service or controller is gone.
    pub(crate) fn lost(&self, kind: SelectorKind, key: &Key) -> Vec<Observation> {
        self.changes(kind, key.in_namespace(), None)
    }

    fn changes(&self, kind: SelectorKind, key: PodKey, after: Option<PodSelector>) -> Vec<Observation> {
        let mut known = self.0.lock();
        let after = after.filter(|after| !after.selector.0.is_empty());
        let of = known.selectors.entry(key.namespace.clone()).or_default();
        let id = (kind, key.name);
        let before = match &after {
            Some(after) => of.insert(id.clone(), after.clone()),
            None => of.remove(&id),
        };
        if of.is_empty() {
            known.selectors.remove(&key.namespace);
        }
        match before == after {
            true => Vec::new(),
            false => known.tell(&key.namespace, &id, [before, after]),
        }
    }
}

impl Known {
    /// The pods of a namespace for which a Service or controller changes what is deduced.
    fn tell(
        &mut self,
        namespace: &Str,
        changed: &(SelectorKind, Str),
        selectors: [Option<PodSelector>; 2],
    ) -> Vec<Observation> {
        let is_concerned = |kept: &Kept| match changed.0 {
            SelectorKind::Service => {
                selectors.iter().flatten().any(|one| one.selector.matches(&kept.facts.spec.labels))
            }
            _ => kept.controller.as_ref() == Some(changed),
        };
        let first = PodKey::new(namespace.clone(), "");
        let of = self.pods.range(first..).take_while(|(key, _)| key.namespace == *namespace);
        let news = of.filter(|(_, kept)| is_concerned(kept)).filter_map(|(key, kept)| {
            let spec = self.deduced(&kept.facts, kept.controller.as_ref());
            (spec != kept.told).then(|| (key.clone(), spec))
        });
        let news: Vec<(PodKey, Arc<PodSpec>)> = news.collect();
        let mut told = Vec::new();
        for (key, spec) in news {
            let spec = self.shared(spec);
            let Some(kept) = self.pods.get_mut(&key) else { continue };
            kept.told = Arc::clone(&spec);
            told.push(Observation::Pod(PodFacts { spec, ..kept.facts.clone() }));
        }
        told
    }

    /// A pod's spec with what the constraints come to for it.
    fn deduced(&self, facts: &PodFacts, controller: Option<&(SelectorKind, Str)>) -> Arc<PodSpec> {
        let Some(of) = self.selectors.get(&facts.key.namespace) else { return Arc::clone(&facts.spec) };
        let services = of.values().filter(|one| one.kind == SelectorKind::Service);
        let controller = controller.and_then(|id| of.get(id));
        with_default_spread(&facts.spec, &self.defaults, services, controller)
    }

    /// The same spec, of which there is one only.
    fn shared(&mut self, spec: Arc<PodSpec>) -> Arc<PodSpec> {
        if let Some(known) = self.specs.get(&spec) {
            return Arc::clone(known);
        }
        self.specs.insert(Arc::clone(&spec));
        spec
    }

    /// Forgets specs of pods that are gone, once they are many.
    fn tidy(&mut self) {
        if self.specs.len() > 2 * self.pods.len() + SPARE {
            self.specs.retain(|spec| Arc::strong_count(spec) > 1);
        }
    }
}

/// So many specs more than there may be in use are kept before those that are not are looked for.
const SPARE: usize = 1024;

#[cfg(test)]
mod tests;
