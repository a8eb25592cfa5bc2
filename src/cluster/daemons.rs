//! DaemonSets, with what their pods will ask for.
//!
//! A pod may get more on its way in than its template says: from LimitRanges, and from whatever else changes pods. So a set is told as
//! its newest pod is, and as its template with the defaults of its namespace while there is none of this template.
//!
//! Source: Karpenter, `GetDaemonSetPod` of pkg/controllers/state/cluster.go. Unlike there, a pod of an older template does not count,
//! and LimitRanges count before there is a pod.
//!
//! **Invariant:** of pods no more is kept than one spec for each set.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Container, LimitRange, Pod, PodTemplateSpec};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::ResourceExt;
use purser_api::{ContainerDefaults, FieldError, Priorities, container_defaults, pod_spec, with_defaults};
use purser_engine::model::{OwnerKind, PodFacts, PodKey, PodPhase, PodSpec, Time};
use purser_engine::port::Observation;

use crate::shared::Shared;
use crate::tell::Told;
use crate::watching::{Key, Reader};

/// The number of a template's version, in a set's annotations and in the labels of its pods.
const GENERATION_OF_SET: &str = "deprecated.daemonset.template.generation";
const GENERATION_OF_POD: &str = "pod-template-generation";

/// What is known of DaemonSets, shared between the watches that have to do with them.
#[derive(Clone, Default)]
pub(crate) struct Daemons(Shared<Known>);

#[derive(Default)]
struct Known {
    sets: BTreeMap<PodKey, Set>,
    newest: BTreeMap<PodKey, Newest>,
    classes: BTreeMap<String, purser_api::PriorityClass>,
    ranges: BTreeMap<PodKey, ContainerDefaults>,
}

struct Set {
    uid: Option<String>,
    generation: Option<String>,
    template: PodTemplateSpec,
}

/// The newest pod of a set.
struct Newest {
    set: String,
    generation: Option<String>,
    created: Time,
    spec: Arc<PodSpec>,
}

impl Daemons {
    /// Takes note of a pod; if it is the newest of a set, that may be told anew.
    pub(crate) fn saw_pod(&self, pod: &Pod, facts: &PodFacts) -> Option<Observation> {
        if matches!(facts.phase, PodPhase::Ended | PodPhase::Terminating) {
            return None;
        }
        let owner = pod
            .owner_references()
            .iter()
            .find(|one| one.kind == "DaemonSet" && one.controller == Some(true))?;
        let key = PodKey::new(facts.key.namespace.clone(), owner.name.as_str());
        let mut known = self.0.lock();
        if known.newest.get(&key).is_some_and(|newest| newest.created > facts.created) {
            return None;
        }
        let newest = Newest {
            set: owner.uid.clone(),
            generation: pod.labels().get(GENERATION_OF_POD).cloned(),
            created: facts.created,
            spec: Arc::clone(&facts.spec),
        };
        known.newest.insert(key.clone(), newest);
        known.tell(&key)?.ok()
    }
}

impl Known {
    /// A set as it is known now.
    fn tell(&self, key: &PodKey) -> Option<Result<Observation, FieldError>> {
        let set = self.sets.get(key)?;
        Some(self.spec(key, set).map(|spec| Observation::DaemonSet(key.clone(), spec)))
    }

    fn spec(&self, key: &PodKey, set: &Set) -> Result<Arc<PodSpec>, FieldError> {
        let mut priorities = Priorities::default();
        self.classes.values().for_each(|class| priorities.insert(class));
        let mut template = set.template.clone();
        for (range, defaults) in &self.ranges {
            if range.namespace == key.namespace {
                with_defaults(&mut template, defaults);
            }
        }
        let spec = pod_spec(&template, "spec.template", OwnerKind::DaemonSet, &priorities)?;
        let of_set = |newest: &&Newest| {
            let generations = newest.generation.as_ref().zip(set.generation.as_ref());
            Some(&newest.set) == set.uid.as_ref() && generations.is_none_or(|(pod, set)| pod == set)
        };
        Ok(Arc::new(match self.newest.get(key).filter(of_set) {
            // A pod is made for one node, which its set is not.
            Some(newest) => PodSpec { required_terms: spec.required_terms, ..(*newest.spec).clone() },
            None => spec,
        }))
    }

    /// All sets that something may have changed for; those that it did not are no news.
    fn tell_all(&self, namespace: Option<&str>) -> Vec<Observation> {
        let keys = self.sets.keys().filter(|key| namespace.is_none_or(|own| *key.namespace == *own));
        keys.filter_map(|key| self.tell(key)?.ok()).collect()
    }
}

impl Reader<DaemonSet> for Daemons {
    fn saw(&self, object: &DaemonSet) -> Told {
        let key = Key::of(object).in_namespace();
        let template = object.spec.as_ref().map(|spec| slim(&spec.template)).unwrap_or_default();
        let generation = object.annotations().get(GENERATION_OF_SET).cloned();
        let mut known = self.0.lock();
        known.sets.insert(key.clone(), Set { uid: object.uid(), generation, template });
        known.tell(&key).transpose().map(|told| told.into_iter().collect())
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let key = key.in_namespace();
        let mut known = self.0.lock();
        known.sets.remove(&key);
        known.newest.remove(&key);
        vec![Observation::NoDaemonSet(key)]
    }
}

impl Reader<PriorityClass> for Daemons {
    fn saw(&self, object: &PriorityClass) -> Told {
        let name = object.name_any();
        let class = purser_api::PriorityClass {
            name: name.clone(),
            value: object.value.unwrap_or_default(),
            global_default: object.global_default == Some(true),
        };
        let mut known = self.0.lock();
        known.classes.insert(name, class);
        Ok(known.tell_all(None))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let mut known = self.0.lock();
        known.classes.remove(&key.name);
        known.tell_all(None)
    }
}

impl Reader<LimitRange> for Daemons {
    fn saw(&self, object: &LimitRange) -> Told {
        let key = Key::of(object).in_namespace();
        let mut known = self.0.lock();
        known.ranges.insert(key.clone(), container_defaults(object));
        Ok(known.tell_all(Some(&key.namespace)))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let mut known = self.0.lock();
        known.ranges.remove(&key.in_namespace());
        known.tell_all(Some(&key.namespace))
    }
}

/// A template without what says nothing about where its pods can run.
fn slim(template: &PodTemplateSpec) -> PodTemplateSpec {
    let container = |container: &Container| Container {
        name: container.name.clone(),
        ports: container.ports.clone(),
        resources: container.resources.clone(),
        restart_policy: container.restart_policy.clone(),
        ..Container::default()
    };
    let mut template = template.clone();
    if let Some(spec) = &mut template.spec {
        spec.containers = spec.containers.iter().map(container).collect();
        spec.init_containers = spec.init_containers.as_ref().map(|all| all.iter().map(container).collect());
    }
    template
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use purser_api::{Origin, pod_facts};
    use serde_json::{Value, json};

    use super::*;

    fn set(generation: &str, cpu: &str) -> DaemonSet {
        let annotations = json!({GENERATION_OF_SET: generation});
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "logs", "uid": "u", "annotations": annotations},
            "spec": {"selector": {}, "template": {"spec": {
                "priorityClassName": "high",
                "containers": [{"name": "c", "command": ["x"], "resources": {"requests": {"cpu": cpu}}}]}}},
        }))
        .unwrap()
    }

    fn pod(generation: &str, created: &str, cpu: &str) -> Pod {
        let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "logs", "uid": "u", "controller": true});
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}});
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "one", "creationTimestamp": created,
                "labels": {GENERATION_OF_POD: generation}, "ownerReferences": [owner]},
            "spec": {"affinity": affinity, "priority": 9, "containers": [
                {"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
        }))
        .unwrap()
    }

    fn saw_pod(daemons: &Daemons, pod: &Pod) -> Option<Observation> {
        let facts = pod_facts(pod, &Priorities::default(), Origin::Cluster).unwrap();
        daemons.saw_pod(pod, &facts)
    }

    fn asks(told: &[Observation]) -> (i64, i64, i32) {
        let [Observation::DaemonSet(_, spec)] = told else { panic!("{told:?}") };
        assert!(spec.required_terms.is_empty());
        (spec.requests.get("cpu"), spec.requests.get("memory") >> 20, spec.priority)
    }

    fn range(request: Value) -> LimitRange {
        serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": "r"},
            "spec": {"limits": [{"type": "Container", "defaultRequest": request}]}}))
        .unwrap()
    }

    #[test]
    fn a_set_asks_for_what_its_newest_pod_does_or_for_what_the_next_will() {
        let daemons = Daemons::default();
        assert_eq!(asks(&Reader::saw(&daemons, &set("1", "100m")).unwrap()), (100, 0, 0));
        let with_memory = range(json!({"cpu": "2", "memory": "1Gi"}));
        assert_eq!(asks(&Reader::saw(&daemons, &with_memory).unwrap()), (100, 1_024, 0));
        let class = json!({"metadata": {"name": "high"}, "value": 5});
        let class: PriorityClass = serde_json::from_value(class).unwrap();
        assert_eq!(asks(&Reader::saw(&daemons, &class).unwrap()), (100, 1_024, 5));

        let told = |pod: Pod| asks(&[saw_pod(&daemons, &pod).unwrap()]);
        assert_eq!(told(pod("1", "2026-01-01T00:00:05Z", "300m")), (300, 0, 9));
        assert_eq!(saw_pod(&daemons, &pod("1", "2026-01-01T00:00:01Z", "400m")), None, "an older pod");
        assert_eq!(told(pod("1", "2026-01-01T00:00:06Z", "500m")), (500, 0, 9));
        let next = Reader::saw(&daemons, &set("2", "200m")).unwrap();
        assert_eq!(asks(&next), (200, 1_024, 5), "no pod of the new template is there");
        assert_eq!(told(pod("2", "2026-01-01T00:00:07Z", "600m")), (600, 0, 9));
        Reader::<DaemonSet>::lost(&daemons, &Key { namespace: "shop".to_owned(), name: "logs".to_owned() });
        assert!(daemons.0.lock().newest.is_empty());
    }
}
