//! The controllers that make pods, and make them again when they are lost.
//!
//! **Invariant:** after every happening each service has as many pods as it wants, and each run that is due
//! and not done has a pod or waits for its turn.

use std::collections::VecDeque;
use std::sync::Arc;

use purser_engine::model::{PodKey, PodPhase, Span, Str};

use super::pod::Owner;
use super::{Happening, World};
use crate::scenario::{Workload, WorkloadKind};

/// A workload on its way.
#[derive(Debug)]
pub(super) struct WorkloadState {
    namespace: Str,
    name: Str,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Service(Service),
    Batch(Batch),
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) desired: u32,
    pub(super) class: u32,
    ordinals: bool,
    pods: Vec<u32>,
    made: u64,
}

#[derive(Debug)]
pub(super) struct Batch {
    class: u32,
    pub(super) runs: Vec<RunState>,
    due: VecDeque<u32>,
    live: u32,
    parallelism: u32,
    linger: Span,
}

#[derive(Debug)]
pub(super) struct RunState {
    name: Str,
    pub(super) duration: Option<Span>,
    attempts: u32,
    pod: Option<u32>,
    pub(super) done: bool,
}

impl World {
    /// Takes the scenario's workloads in.
    pub(super) fn open_workloads(&mut self, workloads: Vec<Workload>) {
        for workload in workloads {
            let number = self.workloads.len() as u32;
            let class = self.classes.number(&workload.namespace, &workload.spec);
            let kind = match workload.kind {
                WorkloadKind::Service { replicas, rollouts, ordinals } => {
                    for (at, (time, count)) in replicas.iter().enumerate() {
                        // Of what was set before the start only the last counts.
                        if replicas.get(at + 1).is_none_or(|(next, _)| *next > self.start) {
                            self.queue.push((*time).max(self.start), Happening::Replicas(number, *count));
                        }
                    }
                    for (time, spec) in &rollouts {
                        let class = self.classes.number(&workload.namespace, spec);
                        self.queue.push((*time).max(self.start), Happening::Rollout(number, class));
                    }
                    Kind::Service(Service { desired: 0, class, ordinals, pods: Vec::new(), made: 0 })
                }
                WorkloadKind::Batch { runs, parallelism, linger } => {
                    let mut states = Vec::with_capacity(runs.len());
                    for (at, run) in runs.into_iter().enumerate() {
                        self.queue.push(run.at.max(self.start), Happening::RunDue(number, at as u32));
                        states.push(RunState {
                            name: run.name,
                            duration: run.duration,
                            attempts: 0,
                            pod: None,
                            done: false,
                        });
                    }
                    Kind::Batch(Batch {
                        class,
                        runs: states,
                        due: VecDeque::new(),
                        live: 0,
                        parallelism: parallelism.unwrap_or(u32::MAX).max(1),
                        linger,
                    })
                }
            };
            self.workloads.push(WorkloadState { namespace: workload.namespace, name: workload.name, kind });
        }
    }

    /// A service is scaled.
    pub(super) fn set_replicas(&mut self, workload: u32, replicas: u32) {
        if let Kind::Service(service) = &mut self.workloads[workload as usize].kind {
            service.desired = replicas;
            self.unsettled_workloads.insert(workload);
            self.recount_wanted();
        }
    }

    /// A service gets pods of another template.
    pub(super) fn roll_out(&mut self, workload: u32, class: u32) {
        if let Kind::Service(service) = &mut self.workloads[workload as usize].kind {
            service.class = class;
            self.unsettled_workloads.insert(workload);
            self.recount_wanted();
        }
    }

    /// A run is wanted from now on.
    pub(super) fn run_due(&mut self, workload: u32, run: u32) {
        if let Kind::Batch(batch) = &mut self.workloads[workload as usize].kind {
            batch.due.push_back(run);
            self.unsettled_workloads.insert(workload);
        }
    }

    /// A run came to its end. Returns how long its pod stays listed.
    pub(super) fn run_done(&mut self, workload: u32, run: u32) -> Span {
        let Kind::Batch(batch) = &mut self.workloads[workload as usize].kind else { return Span::ZERO };
        let state = &mut batch.runs[run as usize];
        state.done = true;
        state.pod = None;
        batch.live -= 1;
        self.unsettled_workloads.insert(workload);
        batch.linger
    }

    /// A pod goes, or is gone: its owner sees to it that there is another where one is wanted.
    pub(super) fn owner_lost(&mut self, pod: u32) {
        match self.pods[pod as usize].owner {
            Owner::Bare(_) | Owner::Daemon(_) => {}
            Owner::Service(workload, _) => {
                self.unsettled_workloads.insert(workload);
            }
            Owner::Run(workload, run) => {
                let Kind::Batch(batch) = &mut self.workloads[workload as usize].kind else { return };
                let state = &mut batch.runs[run as usize];
                // A pod that was deleted has been replaced when its deletion began.
                if state.pod == Some(pod) {
                    state.pod = None;
                    batch.live -= 1;
                    batch.due.push_back(run);
                    self.unsettled_workloads.insert(workload);
                }
            }
        }
    }

    /// Brings a workload's pods in line with what it wants.
    pub(super) fn reconcile(&mut self, workload: u32) {
        match &mut self.workloads[workload as usize].kind {
            Kind::Service(service) => {
                service.pods.retain(|pod| !self.pods[*pod as usize].gone);
                if service.ordinals {
                    self.reconcile_ordinals(workload)
                } else {
                    self.reconcile_replicas(workload)
                }
            }
            Kind::Batch(_) => self.reconcile_runs(workload),
        }
    }

    fn service(&self, workload: u32) -> &Service {
        match &self.workloads[workload as usize].kind {
            Kind::Service(service) => service,
            Kind::Batch(_) => unreachable!("invariant: only services are reconciled as such"),
        }
    }

    fn reconcile_replicas(&mut self, workload: u32) {
        let service = self.service(workload);
        let (desired, class) = (service.desired as usize, service.class);
        let active = |pod: &&u32| self.pods[**pod as usize].phase != PodPhase::Terminating;
        let (new, old): (Vec<u32>, Vec<u32>) =
            service.pods.iter().filter(active).partition(|pod| self.pods[**pod as usize].class == class);
        let ready = new.iter().chain(&old).filter(|pod| self.pods[**pod as usize].ready).count();
        // A quarter more than wanted while old ones are replaced, and never fewer ready ones than wanted.
        let most = if old.is_empty() { desired } else { desired + desired.div_ceil(4) };
        let missing = desired.saturating_sub(new.len()).min(most.saturating_sub(new.len() + old.len()));
        let mut leaving = self.first_to_go(&new, new.len().saturating_sub(desired));
        let mut spare = ready.saturating_sub(desired);
        for pod in &old {
            if !self.pods[*pod as usize].ready {
                leaving.push(*pod);
            } else if spare > 0 {
                spare -= 1;
                leaving.push(*pod);
            }
        }
        for _ in 0..missing {
            self.create_replica(workload, class);
        }
        leaving.into_iter().for_each(|pod| self.delete_pod(pod, None));
    }

    /// Which pods go first on scaling down: those without a node, then those not ready, then the newest.
    fn first_to_go(&self, pods: &[u32], count: usize) -> Vec<u32> {
        if count == 0 {
            return Vec::new();
        }
        let mut order = pods.to_vec();
        order.sort_by_key(|number| {
            let pod = &self.pods[*number as usize];
            (pod.node.is_some(), pod.ready, std::cmp::Reverse((pod.created, *number)))
        });
        order.truncate(count);
        order
    }

    fn create_replica(&mut self, workload: u32, class: u32) {
        let (namespace, name) = {
            let own = &self.workloads[workload as usize];
            (Arc::clone(&own.namespace), Arc::clone(&own.name))
        };
        let template =
            self.seed.draw("template").with(&namespace).with(&name).with_number(u64::from(class)).suffix(9);
        let key = loop {
            let Kind::Service(service) = &mut self.workloads[workload as usize].kind else { return };
            service.made += 1;
            let mut draw = self.seed.draw("replica").with(&namespace).with(&name).with_number(service.made);
            let key = PodKey::new(Arc::clone(&namespace), format!("{name}-{template}-{}", draw.suffix(5)));
            if !self.pod_names.contains_key(&key) {
                break key;
            }
        };
        self.create_service_pod(workload, key, class, 0);
    }

    fn create_service_pod(&mut self, workload: u32, key: PodKey, class: u32, ordinal: u32) {
        let pod = self.create_pod(key, class, Owner::Service(workload, ordinal));
        if let Kind::Service(service) = &mut self.workloads[workload as usize].kind {
            service.pods.push(pod);
        }
    }

    fn reconcile_ordinals(&mut self, workload: u32) {
        let service = self.service(workload);
        let (desired, class) = (service.desired, service.class);
        let ordinal = |pod: u32| match self.pods[pod as usize].owner {
            Owner::Service(_, ordinal) => ordinal,
            _ => u32::MAX,
        };
        let pods = service.pods.clone();
        let mut present = vec![false; desired as usize];
        let mut surplus = Vec::new();
        for pod in &pods {
            match present.get_mut(ordinal(*pod) as usize) {
                Some(slot) => *slot = true,
                None => surplus.push(*pod),
            }
        }
        // One at a time, the highest first, and only when all others are there.
        let settled =
            pods.iter().all(|pod| self.pods[*pod as usize].ready) && present.iter().all(|there| *there);
        if settled {
            let old = pods.iter().copied().filter(|pod| self.pods[*pod as usize].class != class);
            surplus.extend(old.max_by_key(|pod| ordinal(*pod)));
        }
        let own = &self.workloads[workload as usize];
        let (namespace, name) = (Arc::clone(&own.namespace), Arc::clone(&own.name));
        for (ordinal, _) in present.iter().enumerate().filter(|(_, there)| !**there) {
            let key = PodKey::new(Arc::clone(&namespace), format!("{name}-{ordinal}"));
            self.create_service_pod(workload, key, class, ordinal as u32);
        }
        surplus.into_iter().for_each(|pod| self.delete_pod(pod, None));
    }

    fn reconcile_runs(&mut self, workload: u32) {
        loop {
            let own = &mut self.workloads[workload as usize];
            let Kind::Batch(batch) = &mut own.kind else { return };
            if batch.live >= batch.parallelism {
                return;
            }
            let Some(run) = batch.due.pop_front() else { return };
            let (namespace, class) = (Arc::clone(&own.namespace), batch.class);
            let state = &mut batch.runs[run as usize];
            let key = loop {
                let name = if state.attempts == 0 {
                    Arc::clone(&state.name)
                } else {
                    let mut draw = self.seed.draw("run").with(&namespace).with(&state.name);
                    draw = draw.with_number(u64::from(state.attempts));
                    format!("{}-{}", state.name, draw.suffix(5)).into()
                };
                state.attempts += 1;
                let key = PodKey::new(Arc::clone(&namespace), name);
                if !self.pod_names.contains_key(&key) {
                    break key;
                }
            };
            batch.live += 1;
            let pod = self.create_pod(key, class, Owner::Run(workload, run));
            if let Kind::Batch(batch) = &mut self.workloads[workload as usize].kind {
                batch.runs[run as usize].pod = Some(pod);
            }
        }
    }

    /// Pods that should be there and are not: none, unless the world itself is at fault.
    pub(super) fn shortfall(&self) -> u64 {
        let missing = self.workloads.iter().map(|workload| match &workload.kind {
            Kind::Service(service) => {
                let live = service.pods.iter().map(|pod| &self.pods[*pod as usize]);
                let live =
                    live.filter(|pod| !pod.gone && (service.ordinals || pod.phase != PodPhase::Terminating));
                (service.desired as usize).saturating_sub(live.count())
            }
            Kind::Batch(batch) => {
                let lost = |(number, run): &(usize, &RunState)| {
                    run.attempts > 0
                        && !run.done
                        && run.pod.is_none()
                        && !batch.due.contains(&(*number as u32))
                };
                batch.runs.iter().enumerate().filter(lost).count()
            }
        });
        missing.sum::<usize>() as u64
    }
}
