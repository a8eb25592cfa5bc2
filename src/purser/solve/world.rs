//! A scenario as the scheduler's problem.
//!
//! Prices are billionths of a dollar here, not millionths: the scheduler only compares them, and catalogues have prices that millionths would make
//! equal.
//!
//! **Invariant:** nothing is decided here: every pod to place, every host and every offering of the scenario is in the problem.

mod hosts;
mod pods;
mod pools;

use super::devices::devices;
use hosts::{daemon_specs, hosts};
use pods::{buffers, pending};
use pools::pools;
use purser_api::scenario::{FeatureGate, Scenario};
use purser_engine::event::SpecId;
use purser_engine::model::{Labels, NodeName, PodKey, PodSpec, Str, TypeName, label};
use purser_engine::overlay;
use purser_engine::schedule::{Attachable, Devices, Host, PendingPod, PoolOffer, Problem, Rules};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Prices here count in billionths of a dollar.
const NANOS: i64 = 1_000_000_000;

/// A scenario made ready.
pub(super) struct World {
    rules: Rules,
    pub(super) pools: Vec<PoolOffer>,
    pub(super) hosts: Vec<Host>,
    specs: Vec<Arc<PodSpec>>,
    pub(super) pods: Vec<PendingPod>,
    namespaces: BTreeMap<Str, Labels>,
    wary: BTreeSet<SpecId>,
    pub(super) devices: Option<Devices>,
    attachable: Attachable,
    /// From this one on the pods are virtual ones, of CapacityBuffers.
    first_virtual: usize,
    /// From this one on they are expendable ones, for which nothing is launched.
    pub(super) first_expendable: usize,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

impl World {
    /// With these pods to be placed.
    pub(super) fn new(scenario: &Scenario, waiting: &[PodKey]) -> Self {
        let mut specs = Specs::default();
        let mut warnings = Vec::new();
        let cutoff = scenario.settings.expendable_below;
        let is_expendable =
            |specs: &Specs, pod: &PendingPod| cutoff.is_some_and(|cutoff| specs.of(pod).priority < cutoff);
        let all = pending(scenario, waiting, &mut specs);
        let (expendable, mut pods): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|pod| is_expendable(&specs, pod));
        let first_virtual = pods.len();
        pods.extend(buffers(scenario, &mut specs, &mut warnings));
        let first_expendable = pods.len();
        pods.extend(expendable);
        let daemons = daemon_specs(scenario);
        let hosts = hosts(scenario, &waiting.iter().collect(), &daemons, &mut specs);
        let wary = specs.all.iter().zip(0..).filter(|(spec, _)| spec.has_required_anti_affinity());
        let wary = wary.map(|(_, at)| SpecId(at));
        let wary = wary.collect();
        let mut pools = pools(scenario, daemons);
        let gates = &scenario.settings.feature_gates;
        if gates.has(FeatureGate::NodeOverlay) {
            let conflicts = overlay::apply(scenario.overlays.clone(), &mut pools, NANOS);
            warnings.extend(conflicts.iter().map(ToString::to_string));
        } else if !scenario.overlays.is_empty() {
            warnings.push("NodeOverlays are not applied: the feature gate NodeOverlay is closed".to_owned());
        }
        // Overlays conflict over pools that may not launch, too.
        pools.retain(|offer| offer.pool.ready && offer.pool.replicas.is_none());
        Self {
            devices: devices(scenario, &pods, &hosts, &pools),
            attachable: attachable(scenario),
            wary,
            first_virtual,
            first_expendable,
            warnings,
            rules: rules(scenario),
            pools,
            hosts,
            pods,
            specs: specs.all,
            namespaces: scenario.namespaces.clone(),
        }
    }

    /// Whether a pod is a virtual one, of a CapacityBuffer.
    pub(super) fn is_virtual(&self, pod: usize) -> bool {
        (self.first_virtual..self.first_expendable).contains(&pod)
    }

    /// As a problem, of the pods for which nodes may be launched.
    pub(super) fn problem(&self) -> Problem<'_> {
        Problem {
            rules: &self.rules,
            pools: &self.pools,
            hosts: &self.hosts,
            specs: &self.specs,
            pods: &self.pods[..self.first_expendable],
            namespaces: &self.namespaces,
            wary: &self.wary,
            devices: self.devices.as_ref(),
            attachable: &self.attachable,
        }
    }
}

/// Specs by number.
#[derive(Default)]
struct Specs {
    all: Vec<Arc<PodSpec>>,
    ids: BTreeMap<Arc<PodSpec>, SpecId>,
}

impl Specs {
    fn of(&self, pod: &PendingPod) -> &PodSpec {
        &self.all[pod.spec.0 as usize]
    }

    fn id(&mut self, spec: &Arc<PodSpec>) -> SpecId {
        if let Some(id) = self.ids.get(spec) {
            return *id;
        }
        let id = SpecId(self.all.len() as u32);
        self.all.push(Arc::clone(spec));
        self.ids.insert(Arc::clone(spec), id);
        id
    }
}

/// How many volumes nodes of a type attach, as those say that are there.
fn attachable(scenario: &Scenario) -> Attachable {
    let labels: BTreeMap<&NodeName, &Labels> =
        scenario.nodes.iter().map(|node| (&node.facts.name, &*node.facts.labels)).collect();
    let mut all = Attachable::default();
    for known in &scenario.csi_nodes {
        let instance_type = labels.get(&known.node).and_then(|labels| labels.get(label::INSTANCE_TYPE));
        if let Some(instance_type) = instance_type {
            all.learn(&TypeName::from(&**instance_type), &known.drivers);
        }
    }
    all
}

fn rules(scenario: &Scenario) -> Rules {
    let settings = &scenario.settings;
    let reservation_label = Some(settings.reservation_label.clone()).filter(|label| !label.is_empty());
    Rules {
        preferences: settings.preference_policy,
        min_values: settings.min_values_policy,
        max_types: settings.max_instance_types as usize,
        well_known: settings.well_known_labels.clone(),
        reservation_label,
        ..Rules::default()
    }
}
