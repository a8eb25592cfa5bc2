//! What the controller is told, and when.
//!
//! **Invariant:** a notification about an object carries the object's state at the moment of delivery, never
//! an older one; of several about one object only the last is delivered. What is lost stays lost until the
//! world is listed.

use purser_engine::event::Seq;
use purser_engine::model::{InstanceId, NodeName, OfferingKey, PodKey, PoolName, Str, TypeName};
use purser_engine::port::{Input, Observation};
use rustc_hash::FxHashMap;

use super::{Happening, World};
use crate::keyed::{Draw, Rate};

/// What a notification is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Pod(u32),
    Node(u32),
    Machine(u32),
    Pool(PoolName),
    DaemonSet(PodKey),
    Budget(u32),
    Overlay(Str),
    Buffer(PodKey),
    Namespace(Str),
    VolumeClaim(PodKey),
    Type(TypeName),
    Price(OfferingKey),
}

/// What is ready to be delivered.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    order: u64,
    subjects: FxHashMap<Subject, (u64, Option<Seq>)>,
    answers: Vec<(u64, Input)>,
}

impl Outbox {
    fn mark(&mut self, subject: Subject, cause: Option<Seq>) {
        self.order += 1;
        let entry = self.subjects.entry(subject).or_insert((0, None));
        *entry = (self.order, cause.or(entry.1));
    }

    /// Whether there is nothing to deliver.
    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty() && self.answers.is_empty()
    }

    /// Forgets everything that was on its way.
    pub(super) fn clear(&mut self) {
        self.subjects.clear();
        self.answers.clear();
    }
}

impl World {
    /// Notes that something changed. The notification may be lost, late or doubled.
    pub(super) fn tell(&mut self, subject: Subject, cause: Option<Seq>) {
        let faults = &self.faults;
        if faults.lost == Rate::NEVER && faults.duplicated == Rate::NEVER && faults.delayed == Rate::NEVER {
            self.outbox.mark(subject, cause);
            return;
        }
        let draw = self.key_of(&subject).at(self.now);
        if draw.with("lost").chance(faults.lost) {
            return;
        }
        let late = self.now + faults.notification_delay.sample(&mut draw.with("delay"));
        if draw.with("delayed").chance(faults.delayed) {
            self.queue.push(late, Happening::Deliver(subject, cause));
            return;
        }
        if draw.with("duplicated").chance(faults.duplicated) {
            self.queue.push(late, Happening::Deliver(subject.clone(), None));
        }
        self.outbox.mark(subject, cause);
    }

    /// A notification that was late comes out.
    pub(super) fn deliver(&mut self, subject: Subject, cause: Option<Seq>) {
        self.outbox.mark(subject, cause);
    }

    /// Answers a call. Answers are lost only with the caller.
    pub(super) fn answer(&mut self, observation: Observation, cause: Option<Seq>) {
        self.outbox.order += 1;
        self.outbox.answers.push((self.outbox.order, Input { observation, cause }));
    }

    fn key_of(&self, subject: &Subject) -> Draw {
        let draw = self.seed.draw("notification");
        match subject {
            Subject::Pod(pod) => {
                let key = &self.pods[*pod as usize].key;
                draw.with("pod").with(&key.namespace).with(&key.name)
            }
            Subject::Node(node) => draw.with("node").with(self.nodes.get(*node).facts.name.as_str()),
            Subject::Machine(machine) => draw.with("instance").with(self.machine_id(*machine).as_str()),
            Subject::Pool(pool) => draw.with("pool").with(pool.as_str()),
            Subject::DaemonSet(key) => draw.with("daemonset").with(&key.namespace).with(&key.name),
            Subject::Budget(budget) => draw.with("budget").with_number(u64::from(*budget)),
            Subject::Overlay(name) => draw.with("nodeoverlay").with(name),
            Subject::Buffer(key) => draw.with("buffer").with(&key.namespace).with(&key.name),
            Subject::Namespace(name) => draw.with("namespace").with(name),
            Subject::VolumeClaim(key) => draw.with("volumeclaim").with(&key.namespace).with(&key.name),
            Subject::Type(name) => draw.with("type").with(name.as_str()),
            Subject::Price(offering) => draw.with("price").with(&offering.to_string()),
        }
    }

    fn machine_id(&self, machine: u32) -> &InstanceId {
        &self.machines.all[machine as usize].facts.instance
    }

    /// Takes out everything that is to be delivered, in order.
    pub(super) fn take_inputs(&mut self) -> Vec<Input> {
        let outbox = &mut self.outbox;
        let mut inputs: Vec<(u64, Input)> = std::mem::take(&mut outbox.answers);
        let subjects = std::mem::take(&mut outbox.subjects);
        let mut subjects: Vec<(u64, Subject, Option<Seq>)> =
            subjects.into_iter().map(|(subject, (order, cause))| (order, subject, cause)).collect();
        subjects.sort_unstable_by_key(|(order, ..)| *order);
        for (order, subject, cause) in subjects {
            if let Some(observation) = self.state_of(&subject) {
                inputs.push((order, Input { observation, cause }));
            }
        }
        inputs.sort_by_key(|(order, _)| *order);
        inputs.into_iter().map(|(_, input)| input).collect()
    }

    /// How something is now. `None` if there is nothing to say: its name is another's by now.
    fn state_of(&mut self, subject: &Subject) -> Option<Observation> {
        Some(match subject {
            Subject::Pod(number) => {
                let pod = &mut self.pods[*number as usize];
                pod.told_bound |= pod.node.is_some();
                let pod = &self.pods[*number as usize];
                match self.pod_names.get(&pod.key) {
                    Some(current) if current == number => Observation::Pod(self.pod_facts(*number)),
                    Some(_) => return None,
                    None => Observation::NoPod(pod.key.clone()),
                }
            }
            Subject::Node(number) => {
                let name: &NodeName = &self.nodes.get(*number).facts.name;
                match self.nodes.find(name) {
                    Some(current) if current == *number => {
                        Observation::Node(self.nodes.get(*number).facts.clone())
                    }
                    Some(_) => return None,
                    None => Observation::NoNode(name.clone()),
                }
            }
            Subject::Machine(machine) => Observation::NoInstance(self.machine_id(*machine).clone()),
            Subject::Pool(name) => match self.pools.get(name) {
                Some(pool) => {
                    self.told_pools.insert(name.clone(), pool.clone());
                    Observation::NodePool(pool.clone())
                }
                None => Observation::NoNodePool(name.clone()),
            },
            Subject::DaemonSet(key) => {
                match self.daemon_sets.iter().find(|set| set.live && set.key == *key) {
                    Some(set) => {
                        Observation::DaemonSet(key.clone(), self.classes.all[set.class as usize].spec.clone())
                    }
                    None => Observation::NoDaemonSet(key.clone()),
                }
            }
            Subject::Budget(budget) => self.budget_observation(*budget),
            Subject::Overlay(name) => self.objects.overlay(name),
            Subject::Buffer(key) => self.objects.buffer(key),
            Subject::Namespace(name) => self.objects.namespace(name),
            Subject::VolumeClaim(key) => self.objects.volume_claim(key),
            Subject::Type(name) => match self.types.get(name) {
                Some(instance_type) => Observation::InstanceType(instance_type.clone()),
                None => Observation::NoInstanceType(name.clone()),
            },
            Subject::Price(offering) => {
                let price = self.price_of(offering)?;
                Observation::Price(offering.clone(), price)
            }
        })
    }
}
