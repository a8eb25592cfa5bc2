//! The nodes of a scenario, and its NodeClaims that have none yet.
//!
//! **Invariant:** what a host has left is what pods that wait can have: what runs there, and daemon pods still to come, are taken off.

use super::super::eligible::{leaving_instances, leaving_nodes};
use super::Specs;
use super::pods::volumes;
use super::pools::counts;
use purser_api::scenario::{Scenario, ScenarioClaim, ScenarioNode, ScenarioPod};
use purser_api::{CsiNode, DaemonSetFacts};
use purser_engine::model::{
    InstanceId, Labels, NodeName, OwnerKind, PodFacts, PodKey, PodPhase, PodSpec, Resources, Str, Taint,
    first_untolerated, label,
};
use purser_engine::schedule::{Host, HostDriver, HostLabels, PlacedPod, PodVolume};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Nodes, and claims without one, initialized nodes first, then by name.
pub(super) fn hosts(
    scenario: &Scenario,
    waiting: &BTreeSet<&PodKey>,
    daemons: &[Arc<PodSpec>],
    specs: &mut Specs,
) -> Vec<Host> {
    let leaving_instances = leaving_instances(scenario);
    let leaving = leaving_nodes(scenario);
    let mut on_node: BTreeMap<&NodeName, Vec<&ScenarioPod>> = BTreeMap::new();
    for pod in scenario.pods.iter().filter(|pod| pod.facts.phase != PodPhase::Ended) {
        if let Some(node) = &pod.facts.node {
            on_node.entry(node).or_default().push(pod);
        }
    }
    // Of two of one name the first counts.
    let csi_nodes: BTreeMap<&NodeName, &CsiNode> =
        scenario.csi_nodes.iter().rev().map(|known| (&known.node, known)).collect();
    let mut building = Building { scenario, waiting, daemons, csi_nodes: &csi_nodes, specs };
    let mut all: Vec<(bool, Host)> = Vec::new();
    let mut seen: BTreeSet<&InstanceId> = BTreeSet::new();
    let claim_of: BTreeMap<&InstanceId, &ScenarioClaim> =
        scenario.claims.iter().filter_map(|claim| Some((claim.facts.instance.as_ref()?, claim))).collect();
    for node in &scenario.nodes {
        let claim = node.facts.instance.as_ref().and_then(|instance| claim_of.get(instance).copied());
        seen.extend(&node.facts.instance);
        let here = on_node.get(&node.facts.name).map(Vec::as_slice).unwrap_or_default();
        let mut host = building.of_node(node, claim, here);
        let says = |key: &str| node.facts.labels.get(key).is_some_and(|value| &**value == "true");
        let leaves = leaving.contains(&node.facts.name)
            || claim.is_some_and(|claim| {
                claim.facts.instance.as_ref().is_some_and(|one| leaving_instances.contains(one))
            });
        // A node that came of a pool and has no claim is on its way out.
        let orphaned = claim.is_none() && node.facts.labels.contains_key(label::NODEPOOL);
        host.open = !leaves && !orphaned;
        all.push((claim.is_some() && !says(label::INITIALIZED), host));
    }
    for claim in &scenario.claims {
        let Some(instance) = &claim.facts.instance else { continue };
        if !seen.contains(instance) {
            let mut host = building.of_claim(claim);
            host.open = !leaving_instances.contains(instance);
            all.push((true, host));
        }
    }
    all.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    all.into_iter().map(|(_, host)| host).collect()
}

struct Building<'a> {
    scenario: &'a Scenario,
    waiting: &'a BTreeSet<&'a PodKey>,
    /// What the pods of each DaemonSet ask for.
    daemons: &'a [Arc<PodSpec>],
    csi_nodes: &'a BTreeMap<&'a NodeName, &'a CsiNode>,
    specs: &'a mut Specs,
}

impl Building<'_> {
    fn of_node(&mut self, node: &ScenarioNode, claim: Option<&ScenarioClaim>, here: &[&ScenarioPod]) -> Host {
        let facts = &node.facts;
        let says = |key: &str| facts.labels.get(key).is_some_and(|value| &**value == "true");
        let starting = claim.is_some() && !says(label::INITIALIZED);
        let mut labels = (*facts.labels).clone();
        let mut taints = facts.taints.clone();
        let mut allocatable = facts.allocatable.clone();
        if let Some(ScenarioClaim { facts: claim }) = claim {
            if !says(label::REGISTERED) {
                // It will have them once it is registered.
                labels.extend(claim.labels.iter().map(|(key, value)| (key.clone(), value.clone())));
                taints.clone_from(&claim.taints);
            }
            if starting {
                taints.retain(|taint| {
                    let startup = |own: &Taint| own.key == taint.key && own.effect == taint.effect;
                    !taint.is_ephemeral() && !claim.startup_taints.iter().any(startup)
                });
                for (name, amount) in claim.allocatable.iter() {
                    if allocatable.get(name) == 0 {
                        allocatable.set(name, amount);
                    }
                }
            }
        }
        if facts.unschedulable {
            taints.push(Taint::unschedulable());
        }
        let hostname = node.hostname.clone().unwrap_or_else(|| facts.name.as_shared().clone());
        let mut host = self.empty(facts.name.as_shared().clone(), hostname, labels, taints);
        let mut free = allocatable;
        for pod in here {
            free.subtract(&pod.facts.spec.requests);
            host.ports.extend(pod.facts.spec.host_ports.iter().cloned());
            let counts = pod.facts.phase == PodPhase::Bound && !pod.deleting;
            if counts && !self.waiting.contains(&pod.facts.key) {
                let spec = self.specs.id(&pod.facts.spec);
                host.pods.push(PlacedPod { namespace: pod.facts.key.namespace.clone(), spec });
            }
        }
        host.free = free;
        self.set_daemons_aside(&mut host, here);
        self.attach(&mut host, &facts.name, here);
        host
    }

    fn of_claim(&mut self, claim: &ScenarioClaim) -> Host {
        let facts = &claim.facts;
        let mut taints = facts.taints.clone();
        taints.retain(|taint| !taint.is_ephemeral() && !facts.startup_taints.contains(taint));
        let name = facts.name.as_shared().clone();
        let mut host = self.empty(name.clone(), name, facts.labels.clone(), taints);
        host.free = facts.allocatable.clone();
        self.set_daemons_aside(&mut host, &[]);
        host
    }

    fn empty(&self, name: Str, hostname: Str, mut labels: Labels, taints: Vec<Taint>) -> Host {
        labels.remove(label::HOSTNAME);
        Host {
            name,
            labels: Arc::new(HostLabels::Known(labels)),
            hostname,
            taints,
            free: Resources::default(),
            pods: Vec::new(),
            ports: Vec::new(),
            drivers: Vec::new(),
            open: true,
        }
    }

    /// Takes off what daemon pods that are still to come will ask for.
    fn set_daemons_aside(&self, host: &mut Host, here: &[&ScenarioPod]) {
        let mut expected = Resources::default();
        for (set, spec) in self.scenario.daemon_sets.iter().zip(self.daemons) {
            let runs = first_untolerated(&host.taints, &spec.tolerations).is_none()
                && spec.node_alternatives().iter().any(|wanted| host.labels.first_unmet(wanted).is_none());
            if !runs || !counts(self.scenario, spec) {
                continue;
            }
            expected.add(&spec.requests);
            let is_here = here.iter().any(|pod| {
                pod.facts.key.namespace == set.namespace && pod.daemon_set.as_ref() == Some(&set.name)
            });
            if !is_here {
                host.ports.extend(spec.host_ports.iter().cloned());
            }
        }
        let mut running = Resources::default();
        for pod in here.iter().filter(|pod| pod.facts.spec.owner == OwnerKind::DaemonSet) {
            running.add(&pod.facts.spec.requests);
        }
        host.free.subtract(&expected.minus(&running).elementwise_max(&Resources::default()));
    }

    /// Which volumes are attached, and how many may be.
    fn attach(&self, host: &mut Host, node: &NodeName, here: &[&ScenarioPod]) {
        let Some(known) = self.csi_nodes.get(node) else { return };
        let attached: Vec<PodVolume> =
            here.iter().flat_map(|pod| volumes(self.scenario, &pod.facts.key, &pod.facts.spec)).collect();
        host.drivers = known
            .drivers
            .iter()
            .map(|(driver, limit)| HostDriver {
                driver: driver.clone(),
                limit: *limit,
                claims: attached
                    .iter()
                    .filter(|volume| volume.driver == *driver)
                    .map(|volume| volume.claim.clone())
                    .collect(),
            })
            .collect();
    }
}

/// What the pods of each DaemonSet ask for: as the newest of them does, since others may have changed it on its way in, but where the
/// template sends them.
///
/// Source: Karpenter, `GetDaemonSetPod` of pkg/controllers/state/cluster.go.
pub(super) fn daemon_specs(scenario: &Scenario) -> Vec<Arc<PodSpec>> {
    let mut newest: BTreeMap<(&str, &str), &PodFacts> = BTreeMap::new();
    for pod in &scenario.pods {
        let Some(set) = &pod.daemon_set else { continue };
        let newest = newest.entry((&pod.facts.key.namespace, set)).or_insert(&pod.facts);
        if pod.facts.created >= newest.created {
            *newest = &pod.facts;
        }
    }
    let spec = |set: &DaemonSetFacts| match newest.get(&(&*set.namespace, &*set.name)) {
        Some(pod) => {
            let required_terms = set.spec.required_terms.clone();
            Arc::new(PodSpec { required_terms, ..(*pod.spec).clone() })
        }
        None => Arc::clone(&set.spec),
    };
    scenario.daemon_sets.iter().map(spec).collect()
}
