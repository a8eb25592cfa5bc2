//! The pods of a scenario that wait, real and virtual.
//!
//! **Invariant:** each has what the scheduler is to know of it: volumes resolved, constraints that the cluster adds included.

use super::Specs;
use purser_api::scenario::{FeatureGate, Scenario, ScenarioPod};
use purser_engine::model::{
    CapacityBuffer, LabelSelector, PodKey, PodPhase, PodSpec, TopologySpread, Uid, VolumeClaim,
};
use purser_engine::schedule::{Gang, PendingPod, PodVolume};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn pending(scenario: &Scenario, waiting: &[PodKey], specs: &mut Specs) -> Vec<PendingPod> {
    let by_key: BTreeMap<&PodKey, &ScenarioPod> =
        scenario.pods.iter().map(|pod| (&pod.facts.key, pod)).collect();
    let waiting = waiting.iter().filter_map(|key| by_key.get(key));
    waiting
        .map(|pod| PendingPod {
            key: pod.facts.key.clone(),
            spec: specs.id(&with_default_spread(scenario, pod)),
            created: pod.facts.created,
            uid: pod.facts.uid,
            volumes: volumes(scenario, &pod.facts.key, &pod.facts.spec),
            group: gang(scenario, pod),
        })
        .collect()
}

/// The virtual pods of CapacityBuffers, if those count.
pub(super) fn buffers(scenario: &Scenario, specs: &mut Specs, warnings: &mut Vec<String>) -> Vec<PendingPod> {
    if !scenario.settings.feature_gates.has(FeatureGate::CapacityBuffer) {
        let closed = "CapacityBuffers do not count: the feature gate CapacityBuffer is closed";
        warnings.extend((!scenario.buffers.is_empty()).then(|| closed.to_owned()));
        return Vec::new();
    }
    let mut buffers: Vec<_> = scenario.buffers.iter().collect();
    buffers.sort_by_key(|buffer| &buffer.key);
    let mut pods = Vec::new();
    for written in buffers {
        let buffer = match written.resolve(&scenario.templates, &scenario.workloads) {
            Ok(buffer) => buffer,
            Err(why) => {
                warnings.push(why.to_string());
                continue;
            }
        };
        let spec = specs.id(&buffer.spec);
        pods.extend((0..buffer.replicas).map(|number| PendingPod {
            key: CapacityBuffer::pod(&written.key, number),
            spec,
            created: scenario.now,
            uid: Uid(u128::from(number)),
            volumes: Vec::new(),
            group: None,
        }));
    }
    pods
}

/// The group of a pod, with how many of it still need a place.
fn gang(scenario: &Scenario, pod: &ScenarioPod) -> Option<Gang> {
    let group = pod.facts.spec.group.as_ref()?;
    let runs = |other: &&ScenarioPod| {
        other.facts.phase == PodPhase::Bound
            && other.facts.key.namespace == pod.facts.key.namespace
            && other.facts.spec.group.as_ref().is_some_and(|of| of.name == group.name)
    };
    let running = scenario.pods.iter().filter(runs).count();
    Gang::new(&pod.facts.key, group, running)
}

/// A pod without spread constraints has those of the cluster, over the pods that its Services and its controller select.
///
/// Source: k8s.io/kubernetes, pkg/scheduler/framework/plugins/helper/spread.go.
fn with_default_spread(scenario: &Scenario, pod: &ScenarioPod) -> Arc<PodSpec> {
    let spec = &pod.facts.spec;
    let default = &scenario.settings.default_spread;
    if default.is_empty() || !spec.spread.is_empty() {
        return Arc::clone(spec);
    }
    let mut labels = LabelSelector::default();
    let mut expressions = Vec::new();
    for known in scenario.selectors.iter().filter(|known| known.namespace == pod.facts.key.namespace) {
        let controls =
            pod.controller.as_ref().is_some_and(|(kind, name)| **kind == *known.kind && *name == known.name);
        match known.kind {
            "Service" if !known.selector.0.is_empty() && known.selector.matches(&spec.labels) => {
                merge(&mut labels, &known.selector);
            }
            "ReplicationController" if controls => merge(&mut labels, &known.selector),
            "ReplicaSet" | "StatefulSet" if controls => expressions.extend(known.selector.0.iter().cloned()),
            _ => {}
        }
    }
    let mut selector = labels;
    selector.0.extend(expressions);
    selector.0.sort();
    selector.0.dedup();
    if selector.0.is_empty() {
        return Arc::clone(spec);
    }
    let spread = default.iter().map(|one| TopologySpread { selector: selector.clone(), ..one.clone() });
    Arc::new(PodSpec { spread: spread.collect(), ..(**spec).clone() })
}

/// Adds labels to labels; of two values of one label the later counts.
fn merge(into: &mut LabelSelector, labels: &LabelSelector) {
    into.0.retain(|known| labels.0.iter().all(|one| one.key != known.key));
    into.0.extend(labels.0.iter().cloned());
}

pub(super) fn volumes(scenario: &Scenario, pod: &PodKey, spec: &PodSpec) -> Vec<PodVolume> {
    let claims = spec.volumes.iter().map(|volume| PodKey::new(pod.namespace.clone(), volume.claim.clone()));
    claims
        .filter_map(|key| {
            let claim = scenario.volume_claims.iter().find(|claim| claim.key == key)?;
            // One that cannot be reached any more is attached all the same where a pod runs that has it.
            let VolumeClaim { driver, topologies, .. } = scenario.storage.resolve(claim);
            Some(PodVolume { claim: key, driver, topologies })
        })
        .collect()
}
