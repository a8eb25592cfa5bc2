//! The scenario, worked out: pods, nodes, pools, and who is where before the result.
//!
//! Invariant: nothing in here depends on a result.

use std::collections::{BTreeMap, BTreeSet};

use crate::buffers::VIRTUAL;
use crate::daemon::Daemon;
use crate::eligible::{is_moving, is_pending};
use crate::host::{Host, hosts_of};
use crate::model::Scenario;
use crate::pod::Pod;
use crate::pool::Pool;
use crate::sets::{Dialect, HOSTNAME, INSTANCE_TYPE, ZONE};

/// Everything about a scenario that the rules ask for.
#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) dialect: Dialect,
    pub(crate) pods: Vec<Pod<'a>>,
    pub(crate) pod_index: BTreeMap<String, usize>,
    /// Pods that a result has to account for.
    pub(crate) pending: BTreeSet<usize>,
    pub(crate) hosts: Vec<Host>,
    /// Pods that stay where they are, and where.
    pub(crate) staying: Vec<(usize, usize)>,
    pub(crate) pools: Vec<Pool<'a>>,
    pub(crate) daemons: Vec<Daemon<'a>>,
    /// Label keys of nodes that some rule looks at.
    pub(crate) keys: BTreeSet<String>,
    /// The most volumes that a driver attaches to a node of an instance type: the lowest that any such node says.
    pub(crate) attachable: BTreeMap<(String, String), usize>,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        let settings = &scenario.settings;
        let dialect = Dialect::new(&settings.normalized_labels, &settings.well_known_labels);
        let objects = &scenario.objects;
        let pods: Vec<Pod<'a>> = objects.pods.iter().map(|pod| Pod::new(pod, scenario, &dialect)).collect();
        let daemons: Vec<Daemon<'a>> = objects
            .daemon_sets
            .iter()
            .map(|set| Daemon::new(set, scenario, &dialect))
            // While claims are ignored, so are daemon pods that have some.
            .filter(|daemon| !daemon.wants_devices || settings.ignore_dra_requests == Some(false))
            .collect();
        let mut keys: BTreeSet<String> = pods.iter().flat_map(Pod::keys).collect();
        keys.extend(daemons.iter().flat_map(|daemon| daemon.keys().map(str::to_owned)));
        keys.extend([HOSTNAME, ZONE].map(str::to_owned));

        let mut pools: Vec<Pool<'a>> =
            objects.node_pools.iter().map(|pool| Pool::new(pool, scenario, &dialect)).collect();
        for pool in pools.iter_mut().filter(|pool| pool.unusable.is_none()) {
            pool.find_looks(&keys, &dialect);
        }

        let hosts = hosts_of(scenario, &dialect);
        let mut pending = BTreeSet::new();
        let mut staying = Vec::new();
        for (index, pod) in pods.iter().enumerate() {
            if is_pending(pod.object) {
                pending.insert(index);
                continue;
            }
            let node = &pod.object.spec.node_name;
            let host = hosts.iter().position(|host| !node.is_empty() && host.is_called(node));
            match host {
                Some(host)
                    if hosts[host].leaving && hosts[host].tracked && is_moving(pod.object, scenario) =>
                {
                    pending.insert(index);
                }
                Some(host) => staying.push((index, host)),
                None => {}
            }
        }
        let pod_index = pods.iter().enumerate().map(|(index, pod)| (pod.key.clone(), index)).collect();
        let attachable = attachable(scenario);
        Self { scenario, dialect, pods, pod_index, pending, hosts, staying, pools, daemons, keys, attachable }
    }

    pub(crate) fn pool(&self, name: &str) -> Option<&Pool<'a>> {
        self.pools.iter().find(|pool| pool.name == name)
    }

    /// Whether nothing may be launched for a pod.
    pub(crate) fn is_expendable(&self, pod: &Pod<'_>) -> bool {
        let cutoff = self.scenario.settings.expendable_pods_priority_cutoff;
        let is_virtual = pod.object.metadata.annotations.contains_key(VIRTUAL);
        !is_virtual && cutoff.is_some_and(|cutoff| pod.object.spec.priority < cutoff)
    }

    pub(crate) fn minimum_values_are_strict(&self) -> bool {
        self.scenario.settings.min_values_policy != "BestEffort"
    }
}

fn attachable(scenario: &Scenario) -> BTreeMap<(String, String), usize> {
    let mut least = BTreeMap::new();
    for csi in &scenario.objects.csi_nodes {
        let node = scenario.objects.nodes.iter().find(|node| node.metadata.name == csi.metadata.name);
        let Some(kind) = node.and_then(|node| node.metadata.labels.get(INSTANCE_TYPE)) else { continue };
        for driver in &csi.spec.drivers {
            if let Some(count) = driver.allocatable.count {
                let known = least.entry((kind.clone(), driver.name.clone())).or_insert(count);
                *known = count.min(*known);
            }
        }
    }
    least
}
