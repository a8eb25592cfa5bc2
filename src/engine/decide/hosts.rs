//! Where pods can go without a launch, as the scheduler sees it: nodes, and claims that are on their way.
//!
//! **Invariant:** what a host offers here it offers by kube-scheduler's filters once its node is there; what cannot be told yet of a
//! claim without an instance is a set of possible values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::Pass;
use super::memo::Overlaid;
use crate::event::{SpecId, Target};
use crate::model::{
    InstanceType, Labels, PodKey, Requirement, Requirements, Resources, Str, Taint, Time, VolumeLimits, label,
};
use crate::schedule::{Host, HostDriver, HostLabels, PlacedPod};
use crate::state::{Claim, Node, State};

/// All hosts, in the order in which pods are sent to them.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    ranks: Vec<Rank>,
    hosts: Vec<Host>,
    /// When each was last given room, by number of record.
    changed: BTreeSet<(u64, Target)>,
    /// Nodes that are given up as places for pods at a moment, unless they are set up before.
    dues: BTreeSet<(Time, Target)>,
    /// Where each is in the two sets above.
    listed: BTreeMap<Target, (u64, Option<Time>)>,
    /// Labels, each set once: hosts with equal ones look the same to the scheduler, which it sees at a glance if they are the same.
    labels: FxHashSet<Arc<HostLabels>>,
    /// Differs where anything may.
    version: u64,
    /// The records up to which this is so; `None` before the first evaluation.
    size: Option<u64>,
}

/// Initialized nodes first, then by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    starting: bool,
    target: Target,
}

/// A host with what is known of it beside.
struct Made {
    host: Host,
    /// The number of records folded when room was last made here.
    changed: u64,
    due: Option<Time>,
}

impl Hosts {
    /// Brings them up to date and closes those that this evaluation removes.
    pub(super) fn refresh(&mut self, pass: &Pass<'_>, overlaid: &Overlaid) {
        let state = pass.state;
        match self.size.and_then(|size| state.touched().since(size)) {
            Some(touched) => {
                // The same target comes up again and again.
                let touched: BTreeSet<&Target> = touched.collect();
                touched.into_iter().for_each(|target| self.look_at(state, overlaid, target));
            }
            None => self.look_at_all(state, overlaid),
        }
        self.size = Some(state.size);
        for claim in &pass.leaving {
            self.close(&Target::Claim(claim.clone()));
        }
        while let Some((due, target)) = self.dues.first().cloned()
            && due <= pass.now
        {
            self.close(&target);
            self.dues.remove(&(due, target));
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        *self = Self { version: self.version + 1, ..Self::default() };
    }

    /// A number that differs where anything may differ here.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The hosts, in order.
    pub(super) fn all(&self) -> &[Host] {
        &self.hosts
    }

    /// What a host is in State.
    pub(super) fn target(&self, at: usize) -> &Target {
        &self.ranks[at].target
    }

    /// Whether room was made anywhere since the record of this number.
    pub(super) fn changed_since(&self, size: u64) -> bool {
        self.changed.last().is_some_and(|(changed, _)| *changed >= size)
    }

    fn look_at_all(&mut self, state: &State, overlaid: &Overlaid) {
        self.clear();
        for name in state.claims.keys() {
            self.look_at(state, overlaid, &Target::Claim(name.clone()));
        }
        for name in state.nodes.keys() {
            self.look_at(state, overlaid, &Target::Node(name.clone()));
        }
    }

    fn look_at(&mut self, state: &State, overlaid: &Overlaid, target: &Target) {
        self.version += 1;
        self.remove(target);
        let (starting, made) = match target {
            Target::Claim(name) => {
                let Some(claim) = state.claims.get(name) else { return };
                (claim.initialized.is_none(), of_claim(state, overlaid, claim))
            }
            Target::Node(name) => {
                let Some(node) = state.nodes.get(name) else { return };
                let own = state.claim_of_node(name).is_none().then(|| of_node(state, node, None));
                // Without a claim, a node that came of a NodePool is on its way out.
                let open = node.facts.ready && !node.facts.labels.contains_key(label::NODEPOOL);
                (false, own.map(|made| Made { host: Host { open, ..made.host }, ..made }))
            }
        };
        let Some(mut made) = made else { return };
        match self.labels.get(&made.host.labels) {
            Some(known) => made.host.labels = Arc::clone(known),
            None => drop(self.labels.insert(Arc::clone(&made.host.labels))),
        }
        let rank = Rank { starting, target: target.clone() };
        let at = self.ranks.binary_search(&rank).unwrap_or_else(|at| at);
        self.ranks.insert(at, rank);
        self.hosts.insert(at, made.host);
        self.changed.insert((made.changed, target.clone()));
        self.dues.extend(made.due.map(|due| (due, target.clone())));
        self.listed.insert(target.clone(), (made.changed, made.due));
    }

    fn find(&self, target: &Target) -> Option<usize> {
        [false, true]
            .into_iter()
            .find_map(|starting| self.ranks.binary_search(&Rank { starting, target: target.clone() }).ok())
    }

    /// Takes no more pods; until it is looked at again.
    fn close(&mut self, target: &Target) {
        if let Some(at) = self.find(target).filter(|at| self.hosts[*at].open) {
            self.hosts[at].open = false;
            self.version += 1;
        }
    }

    fn remove(&mut self, target: &Target) {
        if let Some(at) = self.find(target) {
            self.ranks.remove(at);
            self.hosts.remove(at);
        }
        if let Some((changed, due)) = self.listed.remove(target) {
            self.changed.remove(&(changed, target.clone()));
            if let Some(due) = due {
                self.dues.remove(&(due, target.clone()));
            }
        }
    }
}

fn of_claim(state: &State, overlaid: &Overlaid, claim: &Claim) -> Option<Made> {
    if let Some(node) = claim.node.as_ref().and_then(|node| state.nodes.get(node)) {
        return Some(of_node(state, node, Some(claim)));
    }
    let template = &claim.template.template;
    let (offered, labels) = match &claim.instance {
        Some(instance) => {
            let instance_type = state.types.get(&instance.instance_type)?;
            let mut labels = template.labels.clone();
            for (key, requirement) in instance_type.requirements.iter() {
                if let (false, Some(value)) = (requirement.is_complement(), requirement.values().first()) {
                    labels.insert(key.clone(), value.clone());
                }
            }
            labels.extend(claim.pool.iter().map(|pool| (label::NODEPOOL.into(), pool.as_shared().clone())));
            labels.insert(label::ZONE.into(), instance.zone.as_shared().clone());
            labels.insert(label::CAPACITY_TYPE.into(), instance.capacity_type.as_str().into());
            (allocatable(overlaid, claim, instance_type), HostLabels::Known(labels))
        }
        None => (floor(state, overlaid, claim), HostLabels::Possible(possible_labels(state, claim))),
    };
    let mut free = offered.minus(&claim.planned.requests);
    free.subtract(&claim.daemons);
    let name = claim.name.as_shared().clone();
    let mut host = Host {
        name: name.clone(),
        labels: Arc::new(labels),
        hostname: name,
        taints: template.taints.clone(),
        free,
        pods: Vec::new(),
        ports: Vec::new(),
        drivers: Vec::new(),
        open: claim.disrupting.is_none(),
    };
    add_pods(state, &mut host, claim.planned.pods.iter());
    Some(Made { host, changed: claim.changed.0, due: None })
}

/// What a type offers to pods on a claim's node.
fn allocatable(overlaid: &Overlaid, claim: &Claim, instance_type: &InstanceType) -> Resources {
    let key = claim.pool.clone().map(|pool| (pool, instance_type.name.clone()));
    key.and_then(|key| overlaid.get(&key).cloned()).unwrap_or_else(|| instance_type.allocatable())
}

/// What any of a claim's options offers to pods at least.
fn floor(state: &State, overlaid: &Overlaid, claim: &Claim) -> Resources {
    if overlaid.is_empty() {
        return claim.floor.clone();
    }
    let options = claim.options.iter().filter_map(|option| state.types.get(&option.instance_type));
    options
        .map(|one| allocatable(overlaid, claim, one))
        .reduce(|a, b| a.elementwise_min(&b))
        .unwrap_or_default()
}

/// What the labels of a claim's node may be, whichever of the options comes.
fn possible_labels(state: &State, claim: &Claim) -> Requirements {
    let options: Vec<_> =
        claim.options.iter().filter_map(|option| state.types.get(&option.instance_type)).collect();
    let mut possible = Requirements::from_labels(&claim.template.template.labels);
    let keys: BTreeSet<&Str> = options
        .iter()
        .flat_map(|one| one.requirements.iter().map(|(key, _)| key))
        .chain(claim.requirements.iter().map(|(key, _)| key))
        .collect();
    for key in keys {
        let own = claim.requirements.get(key);
        let mut values: BTreeSet<Str> = BTreeSet::new();
        let mut open = false;
        for one in &options {
            match one.requirements.get(key).or(own).filter(|one| !one.is_complement() && !one.is_absent()) {
                Some(one) => values.extend(one.values().iter().cloned()),
                None => open = true,
            }
        }
        let all = if open { Requirement::any() } else { Requirement::one_of(values) };
        if possible.get(key).is_none() {
            possible.add(key.clone(), all);
        }
    }
    let of_places =
        |value: fn(&crate::event::Place) -> Str| Requirement::one_of(claim.places.iter().map(value));
    let mut with_places: Requirements = possible
        .iter()
        .filter(|(key, _)| !matches!(&***key, label::ZONE | label::CAPACITY_TYPE | label::NODEPOOL))
        .map(|(key, one)| (key.clone(), one.clone()))
        .collect();
    with_places.add(label::ZONE, of_places(|place| place.zone.as_shared().clone()));
    with_places.add(label::CAPACITY_TYPE, of_places(|place| place.capacity_type.as_str().into()));
    let pool = claim.pool.as_ref().map(|pool| Requirement::one_of([pool.as_shared().clone()]));
    with_places.add(label::NODEPOOL, pool.unwrap_or_else(Requirement::absent));
    with_places
}

fn of_node(state: &State, node: &Node, claim: Option<&Claim>) -> Made {
    let planned = claim.map_or(&node.planned, |claim| &claim.planned);
    let mut free = node.facts.allocatable.minus(&planned.requests);
    let mut changed = node.changed.max(claim.map_or(node.changed, |claim| claim.changed));
    let mut daemons = claim.map(|claim| claim.daemons.clone()).unwrap_or_default();
    let occupancy = state.occupancy(&node.facts.name);
    if let Some(occupancy) = occupancy {
        free.subtract(&occupancy.used);
        daemons = daemons.minus(&occupancy.used_by_daemons).elementwise_max(&Resources::default());
        changed = changed.max(occupancy.freed);
    }
    // Daemon pods that are still to come.
    free.subtract(&daemons);
    let name = match claim {
        Some(claim) => claim.name.as_shared().clone(),
        None => node.facts.name.as_shared().clone(),
    };
    let mut host = Host {
        name,
        labels: Arc::new(HostLabels::Known(Labels::clone(&node.facts.labels))),
        hostname: node.facts.name.as_shared().clone(),
        taints: taints(node, claim),
        free,
        pods: Vec::new(),
        ports: Vec::new(),
        drivers: Vec::new(),
        open: claim.is_none_or(|claim| claim.disrupting.is_none()),
    };
    let there = occupancy.into_iter().flat_map(|occupancy| &occupancy.pods);
    add_pods(state, &mut host, planned.pods.iter().chain(there));
    if let Some(limits) = state.volume_limits.get(&node.facts.name) {
        let there = occupancy.into_iter().flat_map(|occupancy| &occupancy.pods);
        host.drivers = drivers(state, limits, planned.pods.iter().chain(there));
    }
    Made { host, changed: changed.0, due: claim.and_then(|claim| state.set_up_due(claim)) }
}

/// The taints that a pod has to tolerate: what goes away by itself while a node starts does not count before it is initialized.
fn taints(node: &Node, claim: Option<&Claim>) -> Vec<Taint> {
    let starting = claim.is_some_and(|claim| claim.initialized.is_none());
    let is_startup = |taint: &Taint| {
        claim.is_some_and(|claim| {
            let own = &claim.template.template.startup_taints;
            own.iter().any(|own| own.key == taint.key && own.effect == taint.effect)
        })
    };
    let goes = |taint: &Taint| starting && (taint.is_ephemeral() || is_startup(taint));
    let mut taints: Vec<Taint> = node.facts.taints.iter().filter(|taint| !goes(taint)).cloned().collect();
    if node.facts.unschedulable && !starting {
        taints.push(Taint::unschedulable());
    }
    taints
}

/// Pods that are on a host or expected there.
fn add_pods<'a>(state: &State, host: &mut Host, pods: impl Iterator<Item = &'a PodKey>) {
    for key in pods {
        let Some(pod) = state.pods.get(key) else { continue };
        let spec: SpecId = pod.spec;
        host.pods.push(PlacedPod { namespace: key.namespace.clone(), spec });
        host.ports.extend(state.spec(spec).host_ports.iter().cloned());
    }
}

/// The drivers that attach volumes to a node, with those that its pods use.
fn drivers<'a>(
    state: &State,
    limits: &VolumeLimits,
    pods: impl Iterator<Item = &'a PodKey>,
) -> Vec<HostDriver> {
    let mut drivers: Vec<HostDriver> = limits
        .iter()
        .map(|(driver, limit)| HostDriver { driver: driver.clone(), limit: *limit, claims: BTreeSet::new() })
        .collect();
    for key in pods {
        let Some(pod) = state.pods.get(key) else { continue };
        for volume in &state.spec(pod.spec).volumes {
            let claim = PodKey::new(key.namespace.clone(), volume.claim.clone());
            let of = state.volume_claims.get(&claim).map(|known| &known.driver);
            if let Some(known) = drivers.iter_mut().find(|known| Some(&known.driver) == of) {
                known.claims.insert(claim);
            }
        }
    }
    drivers
}
