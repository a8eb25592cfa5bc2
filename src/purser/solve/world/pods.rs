//! The pods of a scenario that wait, real and virtual.
//!
//! **Invariant:** each has what the scheduler is to know of it: volumes resolved, constraints that the cluster adds included.

use super::Specs;
use purser_api::scenario::{FeatureGate, Scenario, ScenarioPod};
use purser_api::{SelectorKind, with_default_spread};
use purser_engine::model::{CapacityBuffer, PodKey, PodPhase, PodSpec, Uid, VolumeClaim};
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
            spec: specs.id(&spec(scenario, pod)),
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

/// A pod with the cluster's default spread constraints, where it has none of its own.
fn spec(scenario: &Scenario, pod: &ScenarioPod) -> Arc<PodSpec> {
    let near = scenario.selectors.iter().filter(|one| one.key.namespace == pod.facts.key.namespace);
    let services = near.clone().filter(|one| one.kind == SelectorKind::Service);
    let controller = pod
        .controller
        .as_ref()
        .and_then(|(kind, name)| near.clone().find(|one| one.kind == *kind && one.key.name == *name));
    with_default_spread(&pod.facts.spec, &scenario.settings.default_spread, services, controller)
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
