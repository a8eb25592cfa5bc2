//! Instances: their start, their Nodes, interruptions, their end, and their bills.
//!
//! **Invariant:** an instance runs, and is paid, from its start until it is gone, and its Node never outlives
//! it for more than two minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use purser_engine::event::{Interruption, Seq};
use purser_engine::model::{
    CapacityType, ClaimName, InstanceId, InstanceType, Labels, NodeFacts, NodeName, NodePool, OfferingKey,
    Price, Span, Taint, TaintEffect, Time, TypeName,
};
use purser_engine::port::{InstanceFacts, Observation};

use rustc_hash::FxHashMap;

use super::launch::{Launch, Outcome};
use super::outbox::Subject;
use super::{Happening, World};
use crate::check::Violation;
use crate::keyed::{Draw, Rate};

/// Instances are told two minutes ahead that they will be taken back.
const NOTICE: Span = Span::mins(2);

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Will start.
    Ahead,
    Running,
    Stopping,
    Gone,
}

/// An instance.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) facts: InstanceFacts,
    pub(super) claim: ClaimName,
    pub(super) template: Arc<NodePool>,
    pub(super) instance_type: Arc<InstanceType>,
    labels: Labels,
    pub(super) life: Life,
    pub(super) node: Option<u32>,
    gone_at: Time,
    stop_cause: Option<Seq>,
    /// Steps of its start that are still to come.
    steps: u8,
    price: Price,
    paid_until: Time,
    cost: i128,
}

/// All instances and launches.
#[derive(Debug, Default)]
pub(super) struct Machines {
    pub(super) all: Vec<Machine>,
    pub(super) live: BTreeSet<u32>,
    pub(super) launches: BTreeMap<ClaimName, Launch>,
    pub(super) by_instance: BTreeMap<InstanceId, u32>,
    /// Those that have started, in that order, by the claim in their tags.
    by_claim: FxHashMap<ClaimName, Vec<u32>>,
    pub(super) calls: usize,
    pub(super) orders: usize,
    /// From when and until when each is listed.
    pub(super) listed: Vec<(Time, Time)>,
    /// When what is listed changes, or changed.
    list_changes: BTreeSet<Time>,
    /// Those that have started, in that order.
    pub(super) started: Vec<u32>,
}

impl Machines {
    /// The answers to calls are for nobody any more.
    pub(super) fn forget_calls(&mut self) {
        self.calls = 0;
        self.launches.values_mut().for_each(|launch| launch.answering.clear());
    }

    /// Whether nothing is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.calls == 0
            && self.orders == 0
            && self.live.iter().all(|machine| {
                let machine = &self.all[*machine as usize];
                machine.life == Life::Running && machine.steps == 0
            })
    }

    /// Instances as the cloud lists them.
    pub(super) fn listed(&self, now: Time) -> impl Iterator<Item = &InstanceFacts> {
        self.all
            .iter()
            .zip(&self.listed)
            .filter(move |(machine, (from, until))| {
                machine.life != Life::Ahead && *from <= now && (machine.life != Life::Gone || now < *until)
            })
            .map(|(machine, _)| &machine.facts)
    }

    /// Whether the list at one moment may differ from the list at an earlier one.
    pub(super) fn list_changed(&self, after: Time, now: Time) -> bool {
        self.list_changes.range((Bound::Excluded(after), Bound::Included(now))).next().is_some()
    }

    /// When an instance was first listed.
    pub(super) fn first_listed(&self, machine: u32) -> Time {
        self.listed[machine as usize].0
    }

    /// The instance of an id.
    pub(super) fn find(&self, instance: &InstanceId) -> Option<u32> {
        self.by_instance.get(instance).copied()
    }

    /// The instance that carries a claim in its tags, if it has started.
    pub(super) fn of_claim(&self, claim: &ClaimName) -> Option<u32> {
        match self.launches.get(claim)?.outcome.as_ref()? {
            Outcome::Machine(machine) => {
                (self.all[*machine as usize].life != Life::Ahead).then_some(*machine)
            }
            Outcome::Failed(_) => None,
        }
    }

    /// The controller no longer counts on an instance for the claim.
    pub(super) fn disown(&mut self, claim: &ClaimName) {
        if let Some(launch) = self.launches.get_mut(claim) {
            launch.disowned = true;
        }
    }

    pub(super) fn is_disowned(&self, machine: u32) -> bool {
        self.launches.get(&self.all[machine as usize].claim).is_some_and(|launch| launch.disowned)
    }
}

impl World {
    fn draw_for(&self, machine: u32, about: &str) -> Draw {
        self.seed.draw(about).with(self.machines.all[machine as usize].facts.instance.as_str())
    }

    /// An instance starts.
    pub(super) fn machine_up(&mut self, machine: u32) {
        let now = self.now;
        let own = &mut self.machines.all[machine as usize];
        own.life = Life::Running;
        own.paid_until = now;
        self.meter.machine_up(own);
        self.machines.started.push(machine);
        self.machines.list_changes.insert(self.machines.listed[machine as usize].0.max(now));
        let Machines { all, live, by_claim, .. } = &mut self.machines;
        let started = by_claim.entry(all[machine as usize].claim.clone()).or_default();
        let twin = started.iter().find(|other| **other != machine && live.contains(*other)).copied();
        started.push(machine);
        if let Some(twin) = twin {
            self.violations.push(Violation::TwoInstances {
                claim: self.machines.all[machine as usize].claim.clone(),
                first: self.machines.all[twin as usize].facts.instance.clone(),
                second: self.machines.all[machine as usize].facts.instance.clone(),
            });
        }
        if self.draw_for(machine, "never registers").chance(self.faults.never_registers) {
            self.machines.all[machine as usize].steps = 0;
        } else {
            let late = self.lateness(machine);
            let delay = self.faults.registration.sample(&mut self.draw_for(machine, "registration"));
            self.queue.push(now + Span(delay.0 * late), Happening::NodeJoins(machine));
        }
        let own = &self.machines.all[machine as usize];
        if own.facts.capacity_type == CapacityType::Spot {
            for (about, rate) in [("reclaims", self.spot_reclaims), ("more reclaims", self.faults.reclaims)] {
                if let Some(after) = hours_until(self.draw_for(machine, about), rate) {
                    // Nothing is taken back before it had its two minutes.
                    let notice = now + Span(after.0.max(NOTICE.0));
                    self.queue.push(notice, Happening::Notice(machine, Interruption::SpotReclaim));
                }
            }
        }
        if let Some(after) = hours_until(self.draw_for(machine, "sudden death"), self.faults.sudden_deaths) {
            self.queue.push(now + after, Happening::SuddenDeath(machine));
        }
    }

    fn lateness(&self, machine: u32) -> i64 {
        let late = self.draw_for(machine, "late").chance(self.faults.late);
        if late { i64::from(self.faults.late_factor.max(1)) } else { 1 }
    }

    /// Kubelet registers a Node for an instance.
    pub(super) fn node_joins(&mut self, machine: u32) {
        let own = &self.machines.all[machine as usize];
        if own.life != Life::Running {
            return;
        }
        let mut taints = own.template.template.taints.clone();
        taints.extend(own.template.template.startup_taints.iter().cloned());
        taints.push(Taint::unregistered());
        taints.push(not_ready());
        let facts = NodeFacts {
            name: self.node_name(machine),
            instance: Some(own.facts.instance.clone()),
            labels: Arc::new(own.labels.clone()),
            taints,
            allocatable: self.objects.allocatable(&own.template, &own.instance_type),
            ready: false,
            unschedulable: false,
            do_not_disrupt: false,
            created: self.now,
            deleting: false,
        };
        let node = self.nodes.add(&mut self.classes, facts, Some(machine));
        self.machines.all[machine as usize].node = Some(node);
        self.meter.node_joined();
        if self.draw_for(machine, "never ready").chance(self.faults.never_ready) {
            self.machines.all[machine as usize].steps = 0;
        } else {
            let late = self.lateness(machine);
            let delay = self.faults.readiness.sample(&mut self.draw_for(machine, "readiness"));
            self.queue.push(self.now + Span(delay.0 * late), Happening::NodeReady(machine));
        }
        self.tell(Subject::Node(node), None);
        self.place_daemons(node);
    }

    /// A name as EC2 gives private DNS names. Never that of a node that is there.
    fn node_name(&self, machine: u32) -> NodeName {
        let mut draw = self.draw_for(machine, "address");
        let hosts = if self.faults.reused_names { 1 << 10 } else { 1 << 24 };
        let mut host = draw.below(hosts);
        loop {
            let name = format!("ip-10-{}-{}-{}.ec2.internal", host >> 16, (host >> 8) & 255, host & 255);
            let name = NodeName::from(&*name);
            if self.nodes.find(&name).is_none() {
                return name;
            }
            // With few names and many nodes the next one up is as good; a full range goes on beyond it.
            host += 1;
        }
    }

    /// A node is ready.
    pub(super) fn node_ready(&mut self, machine: u32) {
        let Some(node) = self.running_node(machine) else { return };
        let facts = &mut self.nodes.get_mut(node).facts;
        facts.ready = true;
        facts.taints.retain(|taint| *taint != not_ready());
        let delay = self.faults.startup_taints.sample(&mut self.draw_for(machine, "startup taints"));
        if self.machines.all[machine as usize].template.template.startup_taints.is_empty() {
            self.machines.all[machine as usize].steps = 0;
        } else {
            self.queue.push(self.now + delay, Happening::NodeSetUp(machine));
        }
        self.node_facts_changed(node, None);
    }

    /// Something removes a node's startup taints.
    pub(super) fn node_set_up(&mut self, machine: u32) {
        let Some(node) = self.running_node(machine) else { return };
        let startup = &self.machines.all[machine as usize].template.template.startup_taints;
        self.nodes.get_mut(node).facts.taints.retain(|taint| !startup.contains(taint));
        self.machines.all[machine as usize].steps = 0;
        self.node_facts_changed(node, None);
    }

    fn running_node(&self, machine: u32) -> Option<u32> {
        let own = &self.machines.all[machine as usize];
        own.node.filter(|_| own.life == Life::Running)
    }

    /// Kubelet was not heard of for too long.
    pub(super) fn node_not_ready(&mut self, node: u32) {
        if self.nodes.get(node).gone {
            return;
        }
        let facts = &mut self.nodes.get_mut(node).facts;
        facts.ready = false;
        if !facts.taints.contains(&not_ready()) {
            facts.taints.push(not_ready());
        }
        self.node_facts_changed(node, None);
    }

    /// A node's labels, taints or readiness changed.
    pub(super) fn node_facts_changed(&mut self, node: u32, cause: Option<Seq>) {
        self.nodes.reclassify(&mut self.classes, node);
        self.tell(Subject::Node(node), cause);
        self.place_daemons(node);
        self.node_changed(node);
    }

    /// The cloud says that it will take an instance back.
    pub(super) fn notice(&mut self, machine: u32, kind: Interruption) {
        let own = &self.machines.all[machine as usize];
        if own.life != Life::Running {
            return;
        }
        let instance = own.facts.instance.clone();
        let at = self.now + NOTICE;
        self.queue.push(at, Happening::Reclaim(machine));
        self.meter.interruptions += 1;
        // It comes through a queue, and what comes through a queue can be lost or come twice.
        let draw = self.draw_for(machine, "interruption notice");
        if draw.with("lost").chance(self.faults.lost) {
            return;
        }
        let notice = Observation::Interruption { instance, kind, at };
        if draw.with("duplicated").chance(self.faults.duplicated) {
            self.answer(notice.clone(), None);
        }
        self.answer(notice, None);
    }

    /// The cloud takes an instance back.
    pub(super) fn reclaim(&mut self, machine: u32) {
        if self.machines.all[machine as usize].life == Life::Running {
            self.stop_machine(machine, None);
        }
    }

    /// An instance dies without notice. Its Node is seen to by the cloud's controller a little later.
    pub(super) fn sudden_death(&mut self, machine: u32) {
        let own = &self.machines.all[machine as usize];
        if own.life != Life::Running {
            return;
        }
        let node = own.node;
        self.meter.sudden_deaths += 1;
        self.end_machine(machine, None);
        if let Some(node) = node {
            self.queue.push(self.now + Span::secs(40), Happening::NodeNotReady(node));
            let more = self.draw_for(machine, "node lost").span(Span::ZERO, Span::secs(40));
            self.queue.push(self.now + Span::secs(60) + more, Happening::NodeLost(node));
        }
    }

    /// Begins to stop an instance; doing so again changes nothing.
    pub(super) fn stop_machine(&mut self, machine: u32, cause: Option<Seq>) {
        let own = &mut self.machines.all[machine as usize];
        match own.life {
            Life::Gone => self.tell(Subject::Machine(machine), cause),
            Life::Stopping => own.stop_cause = cause.or(own.stop_cause),
            Life::Ahead => {}
            Life::Running => {
                own.life = Life::Stopping;
                own.stop_cause = cause;
                let node = own.node;
                let delay = self.faults.shutdown.sample(&mut self.draw_for(machine, "shutdown"));
                self.queue.push(self.now + delay, Happening::MachineGone(machine));
                if let Some(node) = node {
                    self.nodes.get_mut(node).facts.deleting = true;
                    self.node_not_ready(node);
                }
            }
        }
    }

    /// An instance has stopped, and its Node goes with it.
    pub(super) fn machine_gone(&mut self, machine: u32) {
        let own = &self.machines.all[machine as usize];
        let (node, cause) = (own.node, own.stop_cause);
        if own.life == Life::Gone {
            return;
        }
        if let Some(node) = node {
            self.remove_node(node, cause);
        }
        self.end_machine(machine, cause);
    }

    fn end_machine(&mut self, machine: u32, cause: Option<Seq>) {
        let now = self.now;
        let lingers = self.faults.lingering.sample(&mut self.draw_for(machine, "lingering"));
        self.machines.listed[machine as usize].1 = now + lingers;
        self.machines.list_changes.extend([now, now + lingers]);
        self.machines.live.remove(&machine);
        let own = &mut self.machines.all[machine as usize];
        own.life = Life::Gone;
        own.gone_at = now;
        own.steps = 0;
        own.pay_until(now);
        // Paid by the second, the last one in full.
        let lived = now.since(own.facts.launched).0;
        own.cost += i128::from(own.price.0) * i128::from((-lived).rem_euclid(1_000_000));
        let own = &self.machines.all[machine as usize];
        self.meter.machine_gone(own);
        if let Some(node) = own.node.filter(|node| !self.nodes.get(*node).gone) {
            // The machine's share ends though its Node is still shown.
            self.meter.orphan_node(&self.nodes.get(node).pods, &self.pods, &self.classes);
            self.nodes.get_mut(node).machine = None;
        }
        self.tell(Subject::Machine(machine), cause);
    }

    /// A Node object is removed, and the pods on it with it.
    pub(super) fn remove_node(&mut self, node: u32, cause: Option<Seq>) {
        if self.nodes.get(node).gone {
            return;
        }
        self.nodes.get_mut(node).facts.deleting = true;
        for pod in self.nodes.get(node).pods.clone() {
            self.pod_lost(pod, cause);
        }
        self.nodes.remove(node);
        self.meter.nodes -= 1;
        self.tell(Subject::Node(node), cause);
    }

    /// An instance type is offered so from now on.
    pub(super) fn offer(&mut self, instance_type: Arc<InstanceType>) {
        let name = instance_type.name.clone();
        self.types.insert(name.clone(), instance_type);
        self.reprice(&name);
        self.tell(Subject::Type(name), None);
    }

    /// An offering has another price from now on.
    pub(super) fn set_price(&mut self, offering: &OfferingKey, price: Price) {
        let Some(known) = self.types.get_mut(&offering.instance_type) else { return };
        let same = |o: &&mut purser_engine::model::Offering| {
            o.zone == offering.zone && o.capacity_type == offering.capacity_type
        };
        let known = Arc::make_mut(known);
        if let Some(offered) = known.offerings.iter_mut().find(same) {
            offered.price = price;
            self.reprice(&offering.instance_type);
            self.tell(Subject::Price(offering.clone()), None);
        }
    }

    /// What runs is paid at the new prices from now on.
    fn reprice(&mut self, name: &TypeName) {
        let live: Vec<u32> = self.machines.live.iter().copied().collect();
        for machine in live {
            let facts = &self.machines.all[machine as usize].facts;
            if facts.instance_type != *name {
                continue;
            }
            let offering = OfferingKey {
                instance_type: name.clone(),
                zone: facts.zone.clone(),
                capacity_type: facts.capacity_type,
            };
            let Some(price) = self.price_of(&offering) else { continue };
            let own = &mut self.machines.all[machine as usize];
            if own.life != Life::Ahead {
                own.pay_until(self.now);
                self.meter.repriced(own.price, price);
            }
            own.price = price;
        }
    }
}

impl Machine {
    /// An instance that will start.
    pub(super) fn new(
        facts: InstanceFacts,
        claim: ClaimName,
        template: Arc<NodePool>,
        instance_type: Arc<InstanceType>,
        labels: Labels,
    ) -> Self {
        let (price, starts) = (facts.price, facts.launched);
        Self {
            facts,
            claim,
            template,
            instance_type,
            labels,
            life: Life::Ahead,
            node: None,
            gone_at: starts,
            stop_cause: None,
            steps: 1,
            price,
            paid_until: starts,
            cost: 0,
        }
    }

    fn pay_until(&mut self, now: Time) {
        self.cost += i128::from(self.price.0) * i128::from(now.since(self.paid_until).0);
        self.paid_until = now;
    }

    /// What it has cost until a moment, in millionths of a dollar an hour times microseconds.
    pub(super) fn cost_at(&self, now: Time) -> i128 {
        match self.life {
            Life::Ahead => 0,
            Life::Gone => self.cost,
            Life::Running | Life::Stopping => {
                self.cost + i128::from(self.price.0) * i128::from(now.since(self.paid_until).0)
            }
        }
    }

    /// What it costs at the moment.
    pub(super) fn price(&self) -> Price {
        self.price
    }

    /// How long it has run until a moment.
    pub(super) fn lived_at(&self, now: Time) -> Span {
        match self.life {
            Life::Ahead => Span::ZERO,
            Life::Gone => self.gone_at.since(self.facts.launched),
            Life::Running | Life::Stopping => now.since(self.facts.launched),
        }
    }
}

/// The taint of a node that is not ready.
fn not_ready() -> Taint {
    Taint { key: "node.kubernetes.io/not-ready".into(), value: "".into(), effect: TaintEffect::NoSchedule }
}

/// The hours until something of this rate an hour happens, if it does within a year: a draw for each hour,
/// and a moment within it.
fn hours_until(mut draw: Draw, rate: Rate) -> Option<Span> {
    if rate == Rate::NEVER {
        return None;
    }
    let hour = (0..24 * 366).find(|_| draw.chance(rate))?;
    Some(Span(Span::hours(hour).0 + draw.span(Span::ZERO, Span::hours(1)).0))
}
