//! Nodes as the scheduler and the API server see them.
//!
//! **Invariant:** a node's free amounts are its allocatable less the requests of the pods in its list,
//! always.

use purser_engine::model::{HostPort, NodeFacts, NodeName, Time};
use rustc_hash::FxHashMap;

use super::class::{Basic, Class, Classes, NodeClass, basic, ports_conflict};

/// A Node object. Numbers are never used again.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) facts: NodeFacts,
    /// The machine behind it, if it has one.
    pub(super) machine: Option<u32>,
    /// Extended resources that are free: their numbers and amounts.
    pub(super) free_other: Vec<(u16, i64)>,
    pub(super) pods: Vec<u32>,
    ports: Vec<(u32, HostPort)>,
    /// Which DaemonSets have a pod here.
    pub(super) daemons: Vec<(u32, u32)>,
    /// Since when it has been marked for removal.
    pub(super) marked: Option<Time>,
    hot: usize,
    pub(super) gone: bool,
}

/// What a search looks at, side by side in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hot {
    pub(super) node: u32,
    pub(super) class: u32,
    pub(super) free: Basic,
    pub(super) cpu: i64,
    pub(super) memory: i64,
}

/// All nodes.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    pub(super) hot: Vec<Hot>,
    names: FxHashMap<NodeName, u32>,
}

impl Nodes {
    /// The live node of a name.
    pub(super) fn find(&self, name: &NodeName) -> Option<u32> {
        self.names.get(name).copied()
    }

    /// A node of this number.
    pub(super) fn get(&self, node: u32) -> &Node {
        &self.all[node as usize]
    }

    /// A node of this number, to be changed.
    pub(super) fn get_mut(&mut self, node: u32) -> &mut Node {
        &mut self.all[node as usize]
    }

    /// Adds a node.
    pub(super) fn add(&mut self, classes: &mut Classes, mut facts: NodeFacts, machine: Option<u32>) -> u32 {
        facts.labels = classes.shared(&facts.labels);
        let number = self.all.len() as u32;
        let free_other =
            facts.allocatable.other().map(|(name, amount)| (classes.resource(name), amount)).collect();
        let class = classes.node_class(NodeClass {
            labels: facts.labels.clone(),
            taints: facts.taints.clone(),
            unschedulable: facts.unschedulable,
        });
        self.names.insert(facts.name.clone(), number);
        self.hot.push(Hot {
            node: number,
            class,
            free: basic(&facts.allocatable),
            cpu: facts.allocatable.cpu_millis,
            memory: facts.allocatable.memory_bytes,
        });
        self.all.push(Node {
            facts,
            machine,
            free_other,
            pods: Vec::new(),
            ports: Vec::new(),
            daemons: Vec::new(),
            marked: None,
            hot: self.hot.len() - 1,
            gone: false,
        });
        number
    }

    /// Removes a node, which must be without pods.
    pub(super) fn remove(&mut self, node: u32) {
        let own = &mut self.all[node as usize];
        own.gone = true;
        let at = own.hot;
        self.names.remove(&own.facts.name);
        self.hot.swap_remove(at);
        if let Some(moved) = self.hot.get(at) {
            self.all[moved.node as usize].hot = at;
        }
    }

    /// Brings the node's class in line with its facts.
    pub(super) fn reclassify(&mut self, classes: &mut Classes, node: u32) {
        let own = &mut self.all[node as usize];
        own.facts.labels = classes.shared(&own.facts.labels);
        self.hot[own.hot].class = classes.node_class(NodeClass {
            labels: own.facts.labels.clone(),
            taints: own.facts.taints.clone(),
            unschedulable: own.facts.unschedulable,
        });
    }

    /// What a search looks at.
    pub(super) fn hot(&self, node: u32) -> Hot {
        self.hot[self.all[node as usize].hot]
    }

    /// Whether a pod of the class has room and ports there.
    pub(super) fn has_room(&self, hot: &Hot, class: &Class) -> bool {
        let wanted = &class.request;
        let free = &hot.free;
        // What a pod does not ask for does not keep it away, even from a node that is over-committed.
        let basics = (0..4).all(|i| wanted[i] == 0 || wanted[i] <= free[i]);
        if !basics {
            return false;
        }
        if class.other.is_empty() && class.spec.host_ports.is_empty() {
            return true;
        }
        let node = &self.all[hot.node as usize];
        class.other.iter().all(|(resource, amount)| {
            node.free_other
                .iter()
                .find(|(known, _)| known == resource)
                .is_some_and(|(_, free)| amount <= free)
        }) && class
            .spec
            .host_ports
            .iter()
            .all(|port| !node.ports.iter().any(|(_, taken)| ports_conflict(port, taken)))
    }

    /// Puts a pod on a node. False if that is more than the node has.
    pub(super) fn place(&mut self, node: u32, pod: u32, class: &Class) -> bool {
        let own = &mut self.all[node as usize];
        own.pods.push(pod);
        own.ports.extend(class.spec.host_ports.iter().map(|port| (pod, port.clone())));
        let hot = &mut self.hot[own.hot];
        let mut within = true;
        for (free, wanted) in hot.free.iter_mut().zip(&class.request) {
            *free -= wanted;
            within &= *free >= 0 || *wanted == 0;
        }
        for (resource, amount) in &class.other {
            match own.free_other.iter_mut().find(|(known, _)| known == resource) {
                Some((_, free)) => {
                    *free -= amount;
                    within &= *free >= 0;
                }
                None => {
                    own.free_other.push((*resource, -amount));
                    within = false;
                }
            }
        }
        within
    }

    /// Takes a pod off a node.
    pub(super) fn displace(&mut self, node: u32, pod: u32, class: &Class) {
        let own = &mut self.all[node as usize];
        own.pods.retain(|other| *other != pod);
        own.ports.retain(|(other, _)| *other != pod);
        own.daemons.retain(|(_, other)| *other != pod);
        let hot = &mut self.hot[own.hot];
        for (free, wanted) in hot.free.iter_mut().zip(&class.request) {
            *free += wanted;
        }
        for (resource, amount) in &class.other {
            if let Some((_, free)) = own.free_other.iter_mut().find(|(known, _)| known == resource) {
                *free += amount;
            }
        }
    }

    /// Numbers of the nodes that are there, in order.
    pub(super) fn live(&self) -> impl Iterator<Item = u32> {
        self.all.iter().enumerate().filter(|(_, node)| !node.gone).map(|(number, _)| number as u32)
    }
}
