//! The life of a pod.
//!
//! **Invariant:** a bound pod goes only by its completion, its deletion (an eviction is one), or the end of
//! its node.

use std::sync::Arc;

use purser_engine::event::Seq;
use purser_engine::model::{OwnerKind, PodFacts, PodKey, PodPhase, Span, Time, Uid};

use super::class::Counts;
use super::outbox::Subject;
use super::workload::Kind;
use super::{Happening, World};
use crate::report::Ran;
use crate::scenario::BarePod;

/// Kubernetes' default of `terminationGracePeriodSeconds`.
const DEFAULT_GRACE: Span = Span::secs(30);

/// What made a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nothing; it runs for so long.
    Bare(Option<Span>),
    /// A service, and the pod's number in it.
    Service(u32, u32),
    /// A run of a batch workload.
    Run(u32, u32),
    /// A DaemonSet.
    Daemon(u32),
}

/// A pod. Numbers are never used again.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) key: PodKey,
    pub(super) uid: Uid,
    pub(super) class: u32,
    pub(super) owner: Owner,
    pub(super) created: Time,
    pub(super) phase: PodPhase,
    pub(super) node: Option<u32>,
    pub(super) bound: Option<Time>,
    pub(super) ready: bool,
    pub(super) gone: bool,
    /// Whether the controller was told where it runs.
    pub(super) told_bound: bool,
    cause: Option<Seq>,
}

impl World {
    /// Takes the scenario's bare pods in.
    pub(super) fn open_bare_pods(&mut self, pods: Vec<BarePod>) {
        for pod in pods {
            let class = self.classes.number(&pod.key.namespace, &pod.spec);
            let number = self.pods.len() as u32;
            let uid = self.uid(&pod.key, 0);
            self.pods.push(Pod {
                key: pod.key,
                uid,
                class,
                owner: Owner::Bare(pod.duration),
                created: pod.at,
                phase: PodPhase::Untried,
                node: None,
                bound: None,
                ready: false,
                // Until it is created.
                gone: true,
                told_bound: false,
                cause: None,
            });
            match pod.node.as_ref().and_then(|name| self.nodes.find(name)) {
                Some(node) if pod.at <= self.start => {
                    self.born(number);
                    // It is there already, even on a node that has no room for it.
                    self.occupy_as_found(number, node);
                    self.pod_bound(number, node);
                }
                _ => self.queue.push(pod.at.max(self.start), Happening::BarePod(number)),
            }
        }
    }

    /// A bare pod is created.
    pub(super) fn create_bare(&mut self, pod: u32) {
        self.born(pod);
        self.enqueue(pod);
    }

    fn born(&mut self, pod: u32) {
        let own = &mut self.pods[pod as usize];
        own.gone = false;
        self.pod_names.insert(own.key.clone(), pod);
        self.meter.created += 1;
        self.other_member(pod, true);
    }

    /// Makes a pod that waits for a node.
    pub(super) fn create_pod(&mut self, key: PodKey, class: u32, owner: Owner) -> u32 {
        let number = self.push_pod(key, class, owner);
        self.meter.created += 1;
        self.other_member(number, true);
        self.enqueue(number);
        number
    }

    fn push_pod(&mut self, key: PodKey, class: u32, owner: Owner) -> u32 {
        let number = self.pods.len() as u32;
        let uid = self.uid(&key, self.now.0.cast_unsigned());
        self.pod_names.insert(key.clone(), number);
        self.pods.push(Pod {
            key,
            uid,
            class,
            owner,
            created: self.now,
            phase: PodPhase::Untried,
            node: None,
            bound: None,
            ready: false,
            gone: false,
            told_bound: false,
            cause: None,
        });
        number
    }

    /// Gives a node the daemon pods that belong there and have room.
    pub(super) fn place_daemons(&mut self, node: u32) {
        for set in 0..self.daemon_sets.len() {
            let own = &self.daemon_sets[set];
            let there = &self.nodes.get(node).daemons;
            if !own.live
                || self.nodes.get(node).facts.deleting
                || there.iter().any(|(other, _)| *other == set as u32)
            {
                continue;
            }
            let class = own.class;
            let hot = self.nodes.hot(node);
            let host = self.nodes.get(node).facts.name.as_shared().clone();
            let verdict = self.classes.verdict(class, hot.class, &host);
            if !(verdict.matches
                && verdict.tolerated
                && self.nodes.has_room(&hot, &self.classes.all[class as usize]))
            {
                continue;
            }
            let set_key = &self.daemon_sets[set].key;
            let suffix = self.seed.draw("daemon").with(&set_key.name).with(&host).at(self.now).suffix(5);
            let key = PodKey::new(set_key.namespace.clone(), format!("{}-{suffix}", set_key.name));
            if self.pod_names.contains_key(&key) {
                continue;
            }
            let pod = self.push_pod(key, class, Owner::Daemon(set as u32));
            self.nodes.get_mut(node).daemons.push((set as u32, pod));
            self.occupy(pod, node);
            self.pod_bound(pod, node);
        }
    }

    /// A pod has its node from now on.
    pub(super) fn pod_bound(&mut self, pod: u32, node: u32) {
        let now = self.now;
        let own = &mut self.pods[pod as usize];
        own.phase = PodPhase::Bound;
        own.node = Some(node);
        own.bound = Some(now);
        let start = self
            .faults
            .pod_start
            .sample(&mut self.seed.draw("pod-start").with(&own.key.name).with_number(own.uid.0 as u64));
        self.queue.push(now + start, Happening::PodReady(pod));
        let duration = match own.owner {
            Owner::Bare(duration) => duration,
            Owner::Run(workload, run) => match &self.workloads[workload as usize].kind {
                Kind::Batch(batch) => batch.runs[run as usize].duration,
                Kind::Service(_) => None,
            },
            Owner::Service(..) | Owner::Daemon(_) => None,
        };
        if let Some(duration) = duration {
            self.queue.push(now + duration, Happening::PodEnds(pod));
        }
        if !matches!(own.owner, Owner::Daemon(_)) {
            let waited = now.since(own.created);
            self.meter.waited.push(waited);
        }
        self.tell(Subject::Pod(pod), None);
    }

    /// A pod has started.
    pub(super) fn pod_ready(&mut self, pod: u32) {
        let own = &mut self.pods[pod as usize];
        if own.gone || own.phase != PodPhase::Bound {
            return;
        }
        own.ready = true;
        let (class, owner) = (own.class, own.owner);
        self.health_changed(class, true);
        if let Owner::Service(workload, _) = owner {
            self.unsettled_workloads.insert(workload);
        }
    }

    fn no_longer_ready(&mut self, pod: u32) {
        let own = &mut self.pods[pod as usize];
        if std::mem::take(&mut own.ready) {
            let class = own.class;
            self.health_changed(class, false);
        }
    }

    /// A pod's work is done.
    pub(super) fn pod_ends(&mut self, pod: u32) {
        if self.pods[pod as usize].gone || self.pods[pod as usize].phase != PodPhase::Bound {
            return;
        }
        self.no_longer_ready(pod);
        self.release(pod);
        self.pods[pod as usize].phase = PodPhase::Ended;
        self.meter.completed += 1;
        self.other_member(pod, false);
        let mut linger = Span::ZERO;
        if let Owner::Run(workload, run) = self.pods[pod as usize].owner {
            linger = self.run_done(workload, run);
        }
        if linger > Span::ZERO {
            self.queue.push(self.now + linger, Happening::PodForgotten(pod));
            self.tell(Subject::Pod(pod), None);
        } else {
            self.pod_forgotten(pod);
        }
    }

    /// A pod that has ended is no longer listed.
    pub(super) fn pod_forgotten(&mut self, pod: u32) {
        if !self.pods[pod as usize].gone {
            self.vanish(pod, None);
        }
    }

    /// Deletes a pod, with its grace period if it runs. What made it may make another.
    pub(super) fn delete_pod(&mut self, pod: u32, cause: Option<Seq>) {
        let own = &self.pods[pod as usize];
        if own.gone {
            return;
        }
        match own.phase {
            PodPhase::Terminating => {}
            PodPhase::Ended => self.vanish(pod, cause),
            PodPhase::Pending | PodPhase::Untried | PodPhase::Held => {
                self.dequeue(pod);
                self.other_member(pod, false);
                self.vanish(pod, cause);
                self.owner_lost(pod);
            }
            PodPhase::Bound => {
                let grace =
                    self.classes.all[own.class as usize].spec.termination_grace.unwrap_or(DEFAULT_GRACE);
                let mut draw = self.seed.draw("pod-stop").with(&own.key.name).with_number(own.uid.0 as u64);
                let stop = self.faults.pod_stop.sample(&mut draw).min(grace);
                self.no_longer_ready(pod);
                self.count(pod, Counts::Live, false);
                self.other_member(pod, false);
                let own = &mut self.pods[pod as usize];
                own.phase = PodPhase::Terminating;
                own.cause = cause;
                self.meter.pods_stopping += 1;
                self.queue.push(self.now + stop, Happening::PodStopped(pod));
                self.tell(Subject::Pod(pod), cause);
                self.owner_lost(pod);
            }
        }
    }

    /// A pod that was deleted has come to its end.
    pub(super) fn pod_stopped(&mut self, pod: u32) {
        if self.pods[pod as usize].gone {
            return;
        }
        let cause = self.pods[pod as usize].cause;
        self.meter.pods_stopping -= 1;
        self.release(pod);
        self.vanish(pod, cause);
        self.owner_lost(pod);
    }

    /// The node of a pod is no more, and so is the pod.
    pub(super) fn pod_lost(&mut self, pod: u32, cause: Option<Seq>) {
        if self.pods[pod as usize].phase == PodPhase::Terminating {
            self.meter.pods_stopping -= 1;
        } else {
            self.no_longer_ready(pod);
            self.other_member(pod, false);
            if !matches!(self.pods[pod as usize].owner, Owner::Daemon(_)) {
                self.meter.lost_with_node += 1;
            }
        }
        self.release(pod);
        self.vanish(pod, cause);
        self.owner_lost(pod);
    }

    /// The share of the node that a pod has is free again.
    fn release(&mut self, pod: u32) {
        let own = &self.pods[pod as usize];
        let Some(node) = own.node else { return };
        let class = &self.classes.all[own.class as usize];
        if let Some(start) = own.bound
            && !matches!(own.owner, Owner::Daemon(_))
        {
            self.meter.ran.push(Ran { class: own.class, start, end: self.now });
        }
        if self.nodes.get(node).machine.is_some() {
            self.meter.requested(&class.spec.requests, false);
        }
        self.nodes.displace(node, pod, class);
        let terminating = own.phase == PodPhase::Terminating;
        self.count(pod, Counts::All, false);
        self.count(pod, Counts::Owners, false);
        if !terminating {
            self.count(pod, Counts::Live, false);
        }
        self.place_daemons(node);
        self.node_changed(node);
    }

    /// Counts a pod in or out of the groups of a kind.
    fn count(&mut self, pod: u32, counts: Counts, more: bool) {
        let own = &self.pods[pod as usize];
        let Some(node) = own.node else { return };
        let labels = Arc::clone(&self.nodes.get(node).facts.labels);
        let mut changed = false;
        for group in &self.classes.all[own.class as usize].counted {
            let group = &mut self.classes.groups[*group as usize];
            if group.counts == counts {
                group.change(node, &labels, more);
                changed = true;
            }
        }
        if changed && !more {
            self.node_changed(node);
        }
    }

    fn vanish(&mut self, pod: u32, cause: Option<Seq>) {
        let own = &mut self.pods[pod as usize];
        own.gone = true;
        if self.pod_names.get(&own.key) == Some(&pod) {
            self.pod_names.remove(&own.key);
        }
        self.tell(Subject::Pod(pod), cause);
    }

    /// What the cluster shows of a pod.
    pub(super) fn pod_facts(&self, pod: u32) -> PodFacts {
        let own = &self.pods[pod as usize];
        let spec = &self.classes.all[own.class as usize].spec;
        PodFacts {
            key: own.key.clone(),
            uid: own.uid,
            spec: Arc::clone(spec),
            created: own.created,
            phase: own.phase,
            node: own.node.map(|node| self.nodes.get(node).facts.name.clone()),
            started: own.bound.filter(|_| spec.is_held_for_a_time()),
            deletion_grace: None,
            claims: Vec::new(),
        }
    }

    /// Pods that wait for a node.
    pub(super) fn waiting_pods(&self) -> impl Iterator<Item = u32> {
        self.pods
            .iter()
            .enumerate()
            .filter(|(_, pod)| !pod.gone && matches!(pod.phase, PodPhase::Pending | PodPhase::Untried))
            .map(|(number, _)| number as u32)
    }

    /// Whether a class is of pods that hold no node.
    pub(super) fn is_daemon_class(&self, class: u32) -> bool {
        matches!(self.classes.all[class as usize].spec.owner, OwnerKind::DaemonSet | OwnerKind::Node)
    }
}
