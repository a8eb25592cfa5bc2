//! The simulated world: a cluster and a cloud on one virtual clock.
//!
//! **Invariant:** the world is a function of scenario, seed, faults and the orders given to it with their
//! moments. Happenings are taken in order of time, then of insertion; nothing iterates a hash map on its way
//! to an output.

mod audit;
mod bind;
mod budget;
mod class;
mod effect;
mod launch;
mod machine;
mod meter;
mod node;
mod objects;
mod outbox;
mod pod;
mod workload;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use purser_engine::event::{Interruption, Seq};
use purser_engine::model::{
    ClaimName, InstanceId, InstanceType, NodePool, OfferingKey, PodKey, PoolName, Price, Span, Time,
    TypeName, Uid,
};
use purser_engine::port::{Input, InstanceFacts, Observation, Order};
use rustc_hash::FxHashMap;

use crate::check::Violation;
use crate::faults::Faults;
use crate::keyed::Seed;
use crate::scenario::{Change, Outage, Scenario};
use bind::Waiting;
use budget::BudgetState;
use class::Classes;
use machine::Machines;
use meter::Meter;
use node::Nodes;
use objects::Objects;
use outbox::{Outbox, Subject};
use pod::{Owner, Pod};
use workload::WorkloadState;

/// Whether the controller has a claim, and how long it lets an instance without one live.
#[derive(Clone, Copy)]
pub struct KnownClaims<'a> {
    /// Whether it has this claim for this instance, or has it and waits for an instance.
    pub known: &'a dyn Fn(&ClaimName, &InstanceId) -> bool,
    /// How long it lets an instance without a claim live.
    pub collect_after: Span,
    /// How many of its claims are gone: an instance that it knew it knows until then.
    pub gone: u64,
}

/// How things were when instances and claims were compared.
#[derive(Debug, Clone, Copy)]
struct Compared {
    /// Instances started so far.
    started: usize,
    /// Claims gone so far.
    gone: u64,
    /// Which controller it was.
    caller: u32,
}

/// A simulated cluster and cloud.
#[derive(Debug)]
pub struct World {
    name: Arc<str>,
    start: Time,
    end: Option<Time>,
    now: Time,
    seed: Seed,
    faults: Faults,
    queue: Queue,
    outbox: Outbox,
    types: BTreeMap<TypeName, Arc<InstanceType>>,
    pools: BTreeMap<PoolName, Arc<NodePool>>,
    /// The pools as the controller was last told of them.
    told_pools: BTreeMap<PoolName, Arc<NodePool>>,
    daemon_sets: Vec<DaemonSetState>,
    budgets: Vec<BudgetState>,
    objects: Objects,
    classes: Classes,
    nodes: Nodes,
    pods: Vec<Pod>,
    pod_names: FxHashMap<PodKey, u32>,
    workloads: Vec<WorkloadState>,
    unsettled_workloads: BTreeSet<u32>,
    waiting: Waiting,
    machines: Machines,
    changes: Vec<(Time, Change)>,
    outages: Vec<Outage>,
    spot_reclaims: crate::keyed::Rate,
    meter: Meter,
    violations: Vec<Violation>,
    settings: Option<purser_engine::settings::Settings>,
    /// Claims that the controller did not know of when last asked, and since when.
    unknown_claims: BTreeMap<u32, Time>,
    /// When instances and claims were compared last.
    compared: Option<Compared>,
    unknown_checked: Option<Time>,
    /// Orphans that were named as violations already.
    orphans_named: BTreeSet<u32>,
    /// Raised when the controller died: answers to its calls are for nobody.
    caller: u32,
}

#[derive(Debug)]
struct DaemonSetState {
    key: PodKey,
    class: u32,
    live: bool,
}

/// Something that happens by itself.
#[derive(Debug, Clone)]
enum Happening {
    Change(u32),
    Replicas(u32, u32),
    Rollout(u32, u32),
    RunDue(u32, u32),
    BarePod(u32),
    Round,
    PodReady(u32),
    PodEnds(u32),
    PodForgotten(u32),
    PodStopped(u32),
    Effect(Box<Order>),
    MachineUp(u32),
    LaunchAnswer(ClaimName, Seq, launch::Answer, u32),
    NodeJoins(u32),
    NodeReady(u32),
    NodeNotReady(u32),
    NodeSetUp(u32),
    NodeLost(u32),
    Notice(u32, Interruption),
    Reclaim(u32),
    SuddenDeath(u32),
    MachineGone(u32),
    Deliver(Subject, Option<Seq>),
}

/// What is to happen, by time and then by insertion.
#[derive(Debug, Default)]
struct Queue {
    heap: BinaryHeap<Entry>,
    inserted: u64,
}

#[derive(Debug)]
struct Entry {
    time: Time,
    inserted: u64,
    happening: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, as the heap gives out the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.time, other.inserted).cmp(&(self.time, self.inserted))
    }
}

impl Queue {
    fn push(&mut self, time: Time, happening: Happening) {
        self.inserted += 1;
        self.heap.push(Entry { time, inserted: self.inserted, happening });
    }
}

impl World {
    /// The world at the scenario's start. Nothing has happened yet; what is there already is seen through
    /// [`World::list`].
    pub fn new(scenario: Scenario, seed: u64, faults: Faults) -> Self {
        let seed = Seed(seed);
        let classes = Self::define_classes(&scenario);
        let objects = Objects::of(&scenario);
        let mut world = Self {
            name: scenario.name,
            start: scenario.start,
            end: scenario.end,
            now: scenario.start,
            seed,
            faults,
            queue: Queue::default(),
            outbox: Outbox::default(),
            types: scenario.types.iter().map(|t| (t.name.clone(), t.clone())).collect(),
            pools: scenario.pools.iter().map(|pool| (pool.name.clone(), pool.clone())).collect(),
            told_pools: BTreeMap::new(),
            daemon_sets: Vec::new(),
            objects,
            budgets: scenario.budgets.into_iter().map(BudgetState::new).collect(),
            waiting: Waiting::new(classes.all.len()),
            classes,
            nodes: Nodes::default(),
            pods: Vec::new(),
            pod_names: FxHashMap::default(),
            workloads: Vec::new(),
            unsettled_workloads: BTreeSet::new(),
            machines: Machines::default(),
            changes: scenario.changes,
            outages: scenario.outages,
            spot_reclaims: scenario.spot_reclaims,
            meter: Meter::new(scenario.start, scenario.end, scenario.sample_every),
            violations: Vec::new(),
            settings: None,
            unknown_claims: BTreeMap::new(),
            compared: None,
            unknown_checked: None,
            orphans_named: BTreeSet::new(),
            caller: 0,
        };
        for set in &scenario.daemon_sets {
            let class = world.classes.number(&set.key.namespace, &set.spec);
            world.daemon_sets.push(DaemonSetState { key: set.key.clone(), class, live: true });
        }
        for facts in scenario.nodes {
            let node = world.nodes.add(&mut world.classes, facts, None);
            world.meter.nodes += 1;
            world.place_daemons(node);
        }
        for (number, (at, _)) in world.changes.iter().enumerate() {
            world.queue.push((*at).max(world.start), Happening::Change(number as u32));
        }
        world.open_bare_pods(scenario.pods);
        world.open_workloads(scenario.workloads);
        world
    }

    fn define_classes(scenario: &Scenario) -> Classes {
        let mut classes = Classes::default();
        for set in &scenario.daemon_sets {
            classes.define(&set.key.namespace, &set.spec);
        }
        for (_, change) in &scenario.changes {
            if let Change::DaemonSet(set) = change {
                classes.define(&set.key.namespace, &set.spec);
            }
        }
        for workload in &scenario.workloads {
            classes.define(&workload.namespace, &workload.spec);
            if let crate::scenario::WorkloadKind::Service { rollouts, .. } = &workload.kind {
                for (_, spec) in rollouts {
                    classes.define(&workload.namespace, spec);
                }
            }
        }
        for pod in &scenario.pods {
            classes.define(&pod.key.namespace, &pod.spec);
        }
        classes.link(&scenario.budgets);
        classes
    }

    /// The moment that the world has come to.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The scenario's end, if it has one.
    pub fn end(&self) -> Option<Time> {
        self.end
    }

    /// When the next thing happens by itself. `None` if nothing more does, or not before the scenario's end.
    pub fn next_time(&self) -> Option<Time> {
        if !self.outbox.is_empty() {
            return Some(self.now);
        }
        let next = self.queue.heap.peek()?.time;
        (self.end.is_none_or(|end| next <= end)).then_some(next.max(self.now))
    }

    /// Lets everything up to and including a moment happen. Returns what the controller is told of it, in
    /// order, with only the last state of each object.
    pub fn advance(&mut self, to: Time) -> Vec<Input> {
        while let Some(entry) = self.queue.heap.peek()
            && entry.time <= to
        {
            let entry = self.queue.heap.pop().expect("invariant: the heap was just seen to have an entry");
            self.pass_time(entry.time.max(self.now));
            self.happen(entry.happening);
            while let Some(workload) = self.unsettled_workloads.pop_first() {
                self.reconcile(workload);
            }
        }
        self.pass_time(to.max(self.now));
        self.take_inputs()
    }

    fn pass_time(&mut self, to: Time) {
        self.meter.pass(to, self.waiting.pods);
        self.now = to;
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Change(number) => self.change(number),
            Happening::Replicas(workload, replicas) => self.set_replicas(workload, replicas),
            Happening::Rollout(workload, class) => self.roll_out(workload, class),
            Happening::RunDue(workload, run) => self.run_due(workload, run),
            Happening::BarePod(number) => self.create_bare(number),
            Happening::Round => self.round(),
            Happening::PodReady(pod) => self.pod_ready(pod),
            Happening::PodEnds(pod) => self.pod_ends(pod),
            Happening::PodForgotten(pod) => self.pod_forgotten(pod),
            Happening::PodStopped(pod) => self.pod_stopped(pod),
            Happening::Effect(order) => self.apply(*order),
            Happening::MachineUp(machine) => self.machine_up(machine),
            Happening::LaunchAnswer(claim, decision, answer, caller) => {
                self.launch_answered(&claim, decision, answer, caller);
            }
            Happening::NodeJoins(machine) => self.node_joins(machine),
            Happening::NodeReady(machine) => self.node_ready(machine),
            Happening::NodeNotReady(node) => self.node_not_ready(node),
            Happening::NodeSetUp(machine) => self.node_set_up(machine),
            Happening::NodeLost(node) => self.remove_node(node, None),
            Happening::Notice(machine, kind) => self.notice(machine, kind),
            Happening::Reclaim(machine) => self.reclaim(machine),
            Happening::SuddenDeath(machine) => self.sudden_death(machine),
            Happening::MachineGone(machine) => self.machine_gone(machine),
            Happening::Deliver(subject, cause) => self.deliver(subject, cause),
        }
    }

    /// The controller died: what was on its way to it is lost. What it had ordered goes on. The next one
    /// begins with [`World::list`].
    pub fn controller_died(&mut self) {
        self.caller += 1;
        self.outbox.clear();
        self.machines.forget_calls();
    }

    /// Everything that exists, in a fixed order: types, pools, DaemonSets, budgets, objects that only the
    /// controller looks at, nodes, pods, instances.
    /// For start-up and for lists from time to time; what is missing from it is not.
    pub fn list(&mut self, now: Time) -> Vec<Observation> {
        let mut all: Vec<Observation> = Vec::with_capacity(self.types.len() + self.pods.len());
        all.extend(self.settings.clone().map(Observation::Settings));
        all.extend(self.types.values().cloned().map(Observation::InstanceType));
        all.extend(self.pools.values().cloned().map(Observation::NodePool));
        self.told_pools.clone_from(&self.pools);
        self.pods.iter_mut().for_each(|pod| pod.told_bound |= pod.node.is_some());
        for set in self.daemon_sets.iter().filter(|set| set.live) {
            let spec = self.classes.all[set.class as usize].spec.clone();
            all.push(Observation::DaemonSet(set.key.clone(), spec));
        }
        let budgets = (0..self.budgets.len()).filter(|number| self.budgets[*number].live);
        all.extend(budgets.map(|number| self.budget_observation(number as u32)));
        all.extend(self.objects.list());
        all.extend(self.nodes.live().map(|node| Observation::Node(self.nodes.get(node).facts.clone())));
        let pods = (0..self.pods.len()).filter(|number| !self.pods[*number].gone);
        all.extend(pods.map(|number| Observation::Pod(self.pod_facts(number as u32))));
        all.extend(self.machines.listed(now).cloned().map(Observation::Instance));
        all
    }

    /// Instances as the cloud lists them, subject to eventual consistency.
    pub fn list_instances(&self, now: Time) -> Vec<InstanceFacts> {
        self.listed_instances(now).cloned().collect()
    }

    /// The same, to be looked at where they are.
    pub fn listed_instances(&self, now: Time) -> impl Iterator<Item = &InstanceFacts> {
        self.machines.listed(now)
    }

    /// Whether [`World::list_instances`] may answer differently than it did at an earlier moment.
    pub fn instances_changed(&self, after: Time, now: Time) -> bool {
        self.machines.list_changed(after, now)
    }

    /// Whether nothing is on its way: no notification, no call, no instance starting or stopping, no pod that
    /// goes, and no pod that waits though some instance type would take it.
    pub fn is_settled(&self) -> bool {
        self.outbox.is_empty()
            && !self.waiting.is_round_due()
            && self.machines.is_quiet()
            && self.meter.pods_stopping == 0
            && self.waiting_pods().all(|pod| self.why_never(self.pods[pod as usize].class).is_some())
    }

    /// What is wrong with the world since the last time, if anything is.
    ///
    /// Without `known`, instances without claims are not looked for.
    ///
    /// # Errors
    /// The first [`Violation`] since the last call.
    pub fn check(&mut self, now: Time, known: Option<KnownClaims<'_>>) -> Result<(), Violation> {
        if let Some(known) = known {
            self.check_claims(now, known);
        }
        if self.violations.is_empty() { Ok(()) } else { Err(self.violations.remove(0)) }
    }

    /// The price of an offering at the moment.
    fn price_of(&self, offering: &OfferingKey) -> Option<Price> {
        let offered = self.types.get(&offering.instance_type)?.offerings.iter();
        offered
            .into_iter()
            .find(|o| o.zone == offering.zone && o.capacity_type == offering.capacity_type)
            .map(|o| o.price)
    }

    /// A UID for the how many-th pod of a name.
    fn uid(&self, key: &PodKey, generation: u64) -> Uid {
        let mut draw = self.seed.draw("uid").with(&key.namespace).with(&key.name).with_number(generation);
        Uid((u128::from(draw.bits()) << 64) | u128::from(draw.bits()))
    }

    /// Something is changed by hand.
    fn change(&mut self, number: u32) {
        match self.changes[number as usize].1.clone() {
            Change::NodePool(pool) => {
                let name = pool.name.clone();
                self.pools.insert(name.clone(), pool);
                self.tell(Subject::Pool(name), None);
            }
            Change::NoNodePool(name) => {
                self.pools.remove(&name);
                self.tell(Subject::Pool(name), None);
            }
            Change::NodeOverlay(name, overlay) => {
                self.objects.overlays.insert(name.clone(), overlay);
                self.tell(Subject::Overlay(name), None);
            }
            Change::NoNodeOverlay(name) => {
                self.objects.overlays.remove(&name);
                self.tell(Subject::Overlay(name), None);
            }
            Change::CapacityBuffer(key, buffer) => {
                self.objects.buffers.insert(key.clone(), buffer);
                self.tell(Subject::Buffer(key), None);
            }
            Change::NoCapacityBuffer(key) => {
                self.objects.buffers.remove(&key);
                self.tell(Subject::Buffer(key), None);
            }
            Change::InstanceType(instance_type) => self.offer(instance_type),
            Change::NoInstanceType(name) => {
                self.types.remove(&name);
                self.tell(Subject::Type(name), None);
            }
            Change::Price(offering, price) => self.set_price(&offering, price),
            Change::DaemonSet(set) => {
                self.end_daemon_set(&set.key);
                let class = self.classes.number(&set.key.namespace, &set.spec);
                self.daemon_sets.push(DaemonSetState { key: set.key.clone(), class, live: true });
                self.tell(Subject::DaemonSet(set.key), None);
                let nodes: Vec<u32> = self.nodes.live().collect();
                nodes.into_iter().for_each(|node| self.place_daemons(node));
            }
            Change::NoDaemonSet(key) => {
                self.end_daemon_set(&key);
                self.tell(Subject::DaemonSet(key), None);
            }
            Change::NoDisruptionBudget(key) => {
                if let Some(budget) =
                    self.budgets.iter().position(|budget| budget.live && budget.facts.key == key)
                {
                    self.budgets[budget].live = false;
                    self.tell(Subject::Budget(budget as u32), None);
                }
            }
            Change::Namespace(name, labels) => {
                self.objects.namespaces.insert(name.clone(), labels);
                self.tell(Subject::Namespace(name), None);
            }
            Change::NoNamespace(name) => {
                self.objects.namespaces.remove(&name);
                self.tell(Subject::Namespace(name), None);
            }
            Change::VolumeClaim(key, claim) => {
                self.objects.volume_claims.insert(key.clone(), claim);
                self.tell(Subject::VolumeClaim(key), None);
            }
            Change::NoVolumeClaim(key) => {
                self.objects.volume_claims.remove(&key);
                self.tell(Subject::VolumeClaim(key), None);
            }
            Change::Cordon(name, unschedulable) => {
                if let Some(node) = self.nodes.find(&name) {
                    self.nodes.get_mut(node).facts.unschedulable = unschedulable;
                    self.node_facts_changed(node, None);
                }
            }
            Change::DeletePod(key) => {
                if let Some(pod) = self.pod_names.get(&key).copied() {
                    self.delete_pod(pod, None);
                }
            }
            Change::Settings(settings) => {
                self.settings = Some(settings.clone());
                self.answer(Observation::Settings(settings), None);
            }
        }
    }

    fn end_daemon_set(&mut self, key: &PodKey) {
        let Some(number) = self.daemon_sets.iter().position(|set| set.live && set.key == *key) else {
            return;
        };
        self.daemon_sets[number].live = false;
        let owned =
            |pod: &Pod| !pod.gone && matches!(pod.owner, Owner::Daemon(set) if set as usize == number);
        let pods: Vec<u32> =
            (0..self.pods.len()).filter(|pod| owned(&self.pods[*pod])).map(|pod| pod as u32).collect();
        pods.into_iter().for_each(|pod| self.delete_pod(pod, None));
    }
}
