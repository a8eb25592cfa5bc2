//! Who is who in a log: which node, NodeClaim and instance are one machine, which pods there were, who set which rule.
//!
//! **Invariant:** names are taken from records alone, in one pass, so that what is long gone is found as well as what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, bail};
use purser_engine::event::{Control, Decision, Event, Fact, LabelSetId};
use purser_engine::model::{
    ClaimFacts, ClaimName, InstanceId, NodeName, NodePool, PodKey, PoolName, Time, Uid, label,
};
use serde::Serialize;

use crate::source::{Item, Log};
use crate::subjects::{self, Subject};
use crate::text;

/// A machine: a claim, and the instance and node that it became.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// The claim, where there is one.
    pub claim: Option<ClaimName>,
    /// The pool of the claim.
    pub pool: Option<PoolName>,
    /// The instance, once there was one.
    pub instance: Option<InstanceId>,
    /// The node, once there was one.
    pub node: Option<NodeName>,
    /// The records in which the node's name means this machine: clouds give the name of a node that is gone to another.
    pub named: Range<u64>,
    /// The first record about it.
    pub first: u64,
}

impl Machine {
    /// Whether a name in this record means this machine.
    pub fn has(&self, seq: u64, subject: &Subject<'_>) -> bool {
        match subject {
            Subject::Claim(claim) => self.claim.as_ref() == Some(*claim),
            Subject::Instance(instance) => self.instance.as_ref() == Some(*instance),
            Subject::Node(node) => self.has_node(seq, node),
            Subject::Pod(_) | Subject::Pool(_) => false,
        }
    }

    /// Whether this name of a node means this machine in this record.
    pub fn has_node(&self, seq: u64, node: &NodeName) -> bool {
        self.node.as_ref() == Some(node) && self.named.contains(&seq)
    }

    /// Its most telling name.
    pub fn name(&self) -> String {
        let claim = self.claim.as_ref().map(ToString::to_string);
        let instance = || self.instance.as_ref().map(ToString::to_string);
        claim.or_else(instance).or_else(|| self.node.as_ref().map(ToString::to_string)).unwrap_or_default()
    }
}

/// A pod: one of a name and a UID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodLife {
    /// Its UID.
    pub uid: Uid,
    /// Its first record.
    pub first: u64,
}

/// A NodePool as a record shows it.
#[derive(Debug, Clone)]
pub struct PoolRecord {
    /// The record.
    pub seq: u64,
    /// When it was appended.
    pub time: Time,
    /// The pool.
    pub pool: Arc<NodePool>,
}

/// Who wrote a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Author {
    /// The controller instance.
    pub instance: String,
    /// Its term.
    pub term: u64,
    /// Its version, if its start is in the log.
    pub version: Option<String>,
}

/// Who is who.
#[derive(Debug, Default)]
pub struct Index {
    machines: Vec<Machine>,
    by_claim: BTreeMap<ClaimName, usize>,
    by_instance: BTreeMap<InstanceId, usize>,
    /// A node's name can be used again: its machines, the last one last.
    by_node: BTreeMap<NodeName, Vec<usize>>,
    pods: BTreeMap<PodKey, Vec<PodLife>>,
    pools: BTreeMap<PoolName, Vec<PoolRecord>>,
    /// All pools that records name, also where no record shows the pool itself.
    pool_names: BTreeSet<PoolName>,
    /// The pool that nodes with these labels are of.
    pool_of_labels: BTreeMap<LabelSetId, PoolName>,
    starts: Vec<(u64, String)>,
    /// When the controller that wrote last stopped or lost its leadership, if none began since.
    stopped: Option<Time>,
}

impl Index {
    /// Reads the first `size` records of a log.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn build(log: &Log, size: u64) -> Result<Self> {
        let mut index = Self::default();
        for item in log.items(0) {
            let item = item?;
            if item.seq() >= size {
                break;
            }
            index.take(&item);
        }
        Ok(index)
    }

    fn take(&mut self, item: &Item) {
        let seq = item.seq();
        match item.event() {
            Event::Control(control) => self.take_control(seq, item.logged.time, control),
            Event::Fact(fact) => self.take_fact(seq, item.logged.time, fact),
            Event::Decision(Decision::Launch { claim, pool, .. }) => {
                let at = self.machine_of_claim(seq, claim);
                self.machines[at].pool = Some(pool.clone());
            }
            Event::Decision(Decision::LaunchAdopted { claim, .. }) => {
                self.machine_of_claim(seq, claim);
            }
            Event::Decision(Decision::Register { claim, node }) => {
                let at = self.machine_of_claim(seq, claim);
                self.link_node(seq, at, node);
            }
            Event::Decision(Decision::Adopt { claim, instance: Some(instance) }) => {
                let at = self.machine_of_claim(seq, claim);
                self.link_instance(seq, at, instance);
            }
            _ => {}
        }
        for subject in subjects::of(item.event()) {
            match subject {
                // Its observation is in a part of the log that is gone.
                Subject::Pod(pod) if !self.pods.contains_key(pod) => {
                    self.pods.insert(pod.clone(), vec![PodLife { uid: Uid::default(), first: seq }]);
                }
                Subject::Pool(pool) if !self.pool_names.contains(pool) => {
                    self.pool_names.insert(pool.clone());
                }
                _ => {}
            }
        }
    }

    fn take_control(&mut self, seq: u64, time: Time, control: &Control) {
        match control {
            Control::ControllerStarted { version, .. } => {
                self.starts.push((seq, version.to_string()));
                self.stopped = None;
            }
            Control::LeadershipAcquired { .. } => self.stopped = None,
            Control::ControllerStopped { .. } | Control::LeadershipLost { .. } => {
                self.stopped = self.stopped.or(Some(time));
            }
            _ => {}
        }
    }

    fn take_fact(&mut self, seq: u64, time: Time, fact: &Fact) {
        match fact {
            Fact::PodObserved { pod, uid, .. } => {
                let lives = self.pods.entry(pod.clone()).or_default();
                if lives.last().is_none_or(|life| life.uid != *uid) {
                    lives.push(PodLife { uid: *uid, first: seq });
                }
            }
            Fact::NodePoolObserved { pool } => {
                let records = self.pools.entry(pool.name.clone()).or_default();
                records.push(PoolRecord { seq, time, pool: Arc::clone(pool) });
            }
            Fact::InstanceLaunched { claim, instance, .. } => {
                let at = self.machine_of_claim(seq, claim);
                self.link_instance(seq, at, instance);
            }
            Fact::NodeClaimObserved { claim } => {
                let ClaimFacts { name, pool, instance, node, .. } = &**claim;
                let at = self.machine_of_claim(seq, name);
                self.machines[at].pool = pool.clone();
                if let Some(instance) = instance {
                    self.link_instance(seq, at, instance);
                }
                if let Some(node) = node {
                    self.link_node(seq, at, node);
                }
            }
            Fact::InstanceObserved { instance, .. } if !self.by_instance.contains_key(instance) => {
                self.machines.push(Machine { first: seq, ..Machine::default() });
                self.link_instance(seq, self.machines.len() - 1, instance);
            }
            Fact::LabelSetDefined { id, labels } => {
                if let Some(pool) = labels.get(label::NODEPOOL) {
                    self.pool_of_labels.insert(*id, PoolName::from(&**pool));
                }
            }
            Fact::NodeObserved { node, instance, labels, .. } => {
                let known = instance.as_ref().and_then(|instance| self.by_instance.get(instance)).copied();
                let at = known.or_else(|| self.holder(node, instance.as_ref())).unwrap_or_else(|| {
                    self.machines.push(Machine { first: seq, ..Machine::default() });
                    self.machines.len() - 1
                });
                self.link_node(seq, at, node);
                if let Some(instance) = instance {
                    self.link_instance(seq, at, instance);
                }
                if self.machines[at].pool.is_none() {
                    self.machines[at].pool = self.pool_of_labels.get(labels).cloned();
                }
            }
            Fact::NodeDeleted { node } => {
                if let Some(at) = self.by_node.get(node).and_then(|known| known.last()) {
                    let named = &mut self.machines[*at].named;
                    named.end = named.end.min(seq + 1);
                }
            }
            _ => {}
        }
    }

    fn machine_of_claim(&mut self, seq: u64, claim: &ClaimName) -> usize {
        if let Some(at) = self.by_claim.get(claim) {
            return *at;
        }
        self.machines.push(Machine { claim: Some(claim.clone()), first: seq, ..Machine::default() });
        self.by_claim.insert(claim.clone(), self.machines.len() - 1);
        self.machines.len() - 1
    }

    /// The machine that a node's name means now, unless it is known to be another instance.
    fn holder(&self, node: &NodeName, instance: Option<&InstanceId>) -> Option<usize> {
        let at = *self.by_node.get(node)?.last()?;
        let Machine { instance: of, named, .. } = &self.machines[at];
        let other = of.as_ref().zip(instance).is_some_and(|(of, instance)| of != instance);
        (named.end == u64::MAX && !other).then_some(at)
    }

    fn link_instance(&mut self, seq: u64, at: usize, instance: &InstanceId) {
        self.machines[at].instance = Some(instance.clone());
        // A node that came before its instance was known to be the claim's is the same machine.
        if let Some(before) = self.by_instance.insert(instance.clone(), at).filter(|before| *before != at)
            && let Some(node) = self.machines[before].node.clone()
        {
            self.link_node(seq, at, &node);
        }
    }

    fn link_node(&mut self, seq: u64, at: usize, node: &NodeName) {
        let known = self.by_node.entry(node.clone()).or_default();
        let mut from = 0;
        match known.last().copied() {
            Some(last) if last == at => from = self.machines[at].named.start,
            Some(last) => {
                let instance = self.machines[at].instance.clone();
                let other = &mut self.machines[last];
                // What was known of this machine by the node's name alone, before its claim was.
                let same = match &other.instance {
                    Some(of) => instance.as_ref() == Some(of),
                    None => other.named.end == u64::MAX,
                };
                if other.claim.is_none() && same {
                    from = other.named.start;
                    other.node = None;
                    let first = other.first;
                    known.pop();
                    self.machines[at].first = self.machines[at].first.min(first);
                } else {
                    other.named.end = other.named.end.min(seq);
                    from = other.named.end;
                }
            }
            None => {}
        }
        known.retain(|known| *known != at);
        known.push(at);
        self.machines[at].node = Some(node.clone());
        self.machines[at].named = from..u64::MAX;
    }

    /// The machines that a node name, a claim name or an instance id stands for, the last one last.
    ///
    /// # Errors
    /// If there is none; the nearest names are told.
    pub fn machines(&self, what: &str, name: &str) -> Result<Vec<&Machine>> {
        let by_claim = self.by_claim.get(&ClaimName::from(name)).copied();
        let by_instance = self.by_instance.get(&InstanceId::from(name)).copied();
        let by_node = self.by_node.get(&NodeName::from(name)).into_iter().flatten().copied();
        let mut found: Vec<usize> = match what {
            "nodeclaim" => by_claim.into_iter().collect(),
            _ => by_node.chain(by_claim).chain(by_instance).collect(),
        };
        found.dedup();
        if found.is_empty() {
            let claims = self.by_claim.keys().map(ToString::to_string);
            let names: Vec<String> = match what {
                "nodeclaim" => claims.collect(),
                _ => {
                    let nodes = self.by_node.keys().map(ToString::to_string);
                    nodes.chain(claims).chain(self.by_instance.keys().map(ToString::to_string)).collect()
                }
            };
            return unknown(what, name, names);
        }
        Ok(found.into_iter().map(|at| &self.machines[at]).collect())
    }

    /// The machines of a NodePool.
    ///
    /// # Errors
    /// If no record names the pool; the nearest names are told.
    pub fn machines_of_pool(&self, name: &PoolName) -> Result<Vec<&Machine>> {
        let of_pool = || self.machines.iter().filter(|machine| machine.pool.as_ref() == Some(name));
        if !self.pool_names.contains(name) && of_pool().next().is_none() {
            return unknown(
                "nodepool",
                name.as_str(),
                self.pool_names.iter().map(ToString::to_string).collect(),
            );
        }
        Ok(of_pool().collect())
    }

    /// The lives of the pods of a name, the last one last.
    ///
    /// # Errors
    /// If there is none; the nearest names are told.
    pub fn pod(&self, name: &str) -> Result<(&PodKey, &[PodLife])> {
        match self.pods.get_key_value(&PodKey::parse(name)) {
            Some((key, lives)) => Ok((key, lives)),
            None => unknown("pod", name, self.pods.keys().map(ToString::to_string).collect()),
        }
    }

    /// The NodePool as it was when so many records were there, and the first record since which a part of it is as it was then.
    pub fn pool_rule<T: PartialEq>(
        &self,
        pool: &PoolName,
        size: u64,
        part: impl Fn(&NodePool) -> T,
    ) -> Option<(&PoolRecord, &PoolRecord)> {
        let records = self.pools.get(pool)?;
        let before = &records[..records.partition_point(|record| record.seq < size)];
        let now = before.last()?;
        let rule = part(&now.pool);
        let since = before.iter().rev().take_while(|record| part(&record.pool) == rule).last()?;
        Some((now, since))
    }

    /// Since when no controller is at work, if the records here say so.
    pub fn stopped(&self) -> Option<Time> {
        self.stopped
    }

    /// Who wrote a record.
    pub fn author(&self, item: &Item) -> Author {
        let start = self.starts.iter().rev().find(|(seq, _)| *seq <= item.seq());
        Author {
            instance: item.record.instance.to_string(),
            term: item.record.term,
            version: start.map(|(_, version)| version.clone()),
        }
    }
}

fn unknown<T>(what: &str, name: &str, mut names: Vec<String>) -> Result<T> {
    names.sort_by_cached_key(|other| distance(name, other));
    names.dedup();
    names.truncate(3);
    if names.is_empty() {
        bail!("{what} {name:?} is not in the log, nor is any other {what}");
    }
    bail!("{what} {name:?} is not in the log; the nearest names are {}", text::few(names, 3));
}

/// How far two names are apart: Levenshtein's distance, nothing where one is a part of the other.
fn distance(a: &str, b: &str) -> usize {
    if b.contains(a) {
        return 0;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_mistyped_are_near() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("x7k2p", "default-x7k2p"), 0);
        let error =
            unknown::<()>("pod", "default/web-1", vec!["a/b".into(), "default/web-11".into()]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pod \"default/web-1\" is not in the log; the nearest names are default/web-11, a/b"
        );
    }
}
