//! Which records a list shows.
//!
//! **Invariant:** all that is asked for must hold; a kind, a reason or a name that is not known is an error, not an empty list.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use purser_engine::model::{PodKey, PoolName, Time};
use purser_engine::reason::ReasonId;
use purser_events::wire::{Class, Kind};

use crate::cli::ListArgs;
use crate::index::{Index, Machine};
use crate::source::{Item, Log};
use crate::subjects::{self, Subject};

/// A pool and the machines that were ever launched for it.
#[derive(Debug)]
struct Pool {
    name: PoolName,
    machines: Vec<Machine>,
}

/// A filter with its arguments understood.
#[derive(Debug)]
pub struct Filter {
    kinds: Option<BTreeSet<u16>>,
    /// For each machine that was named, all that the name stood for.
    machines: Vec<Vec<Machine>>,
    pod: Option<PodKey>,
    pool: Option<Pool>,
    reason: Option<ReasonId>,
    since: Time,
    until: Time,
    /// The first record that can match.
    pub from: u64,
    /// The last record that can match.
    pub to: u64,
    /// Records that follow from the one that was named, as far as the list has come.
    followed: Option<BTreeSet<u64>>,
}

impl Filter {
    /// Understands arguments.
    ///
    /// # Errors
    /// If one of them cannot match anything.
    pub fn new(log: &Log, arguments: &ListArgs) -> Result<Self> {
        let end = log.end()?;
        let since = arguments.since.map_or(Time(i64::MIN), |moment| moment.start(end));
        let mut from = arguments.from.unwrap_or(0);
        if arguments.since.is_some() {
            from = from.max(log.reader().seek(since.0)?);
        }
        let followed = match &arguments.decision {
            None => None,
            Some(name) => {
                let seq = log.find(name)?;
                // What follows from a record comes after it, and all of it has to be looked at to follow on.
                from = from.max(seq);
                Some(BTreeSet::from([seq]))
            }
        };
        let asked = [
            ("node", &arguments.node),
            ("nodeclaim", &arguments.nodeclaim),
            ("instance", &arguments.instance),
        ];
        let mut machines = Vec::new();
        let mut pod = None;
        let mut pool = None;
        let others = [&arguments.pod, &arguments.nodepool];
        if asked.iter().map(|(_, name)| *name).chain(others).any(Option::is_some) {
            let index = Index::build(log, log.size())?;
            for (what, name) in asked {
                let Some(name) = name else { continue };
                machines.push(index.machines(what, name)?.into_iter().cloned().collect());
            }
            if let Some(name) = &arguments.pod {
                pod = Some(index.pod(name)?.0.clone());
            }
            if let Some(name) = arguments.nodepool.as_deref().map(PoolName::from) {
                let machines = index.machines_of_pool(&name)?.into_iter().cloned().collect();
                pool = Some(Pool { name, machines });
            }
        }
        Ok(Self {
            kinds: kinds(&arguments.kind)?,
            machines,
            pod,
            pool,
            reason: arguments.reason.as_deref().map(reason).transpose()?,
            since,
            until: arguments.until.map_or(Time(i64::MAX), |moment| moment.finish(end)),
            from,
            to: arguments.to.unwrap_or(u64::MAX),
            followed,
        })
    }

    /// Whether a record is asked for. Records are shown to it in order.
    pub fn takes(&mut self, item: &Item) -> bool {
        if let Some(followed) = &mut self.followed {
            let follows = item.record.causes.iter().any(|cause| followed.contains(cause));
            if follows {
                followed.insert(item.seq());
            }
            if !follows && !followed.contains(&item.seq()) {
                return false;
            }
        }
        if item.logged.time < self.since
            || self.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&item.record.kind))
        {
            return false;
        }
        if self
            .reason
            .is_some_and(|wanted| subjects::reason(item.event()).is_none_or(|reason| reason.id != wanted))
        {
            return false;
        }
        if self.machines.is_empty() && self.pod.is_none() && self.pool.is_none() {
            return true;
        }
        let subjects = subjects::of(item.event());
        let about = |wanted: Option<Subject<'_>>| wanted.is_none_or(|wanted| subjects.contains(&wanted));
        about(self.pod.as_ref().map(Subject::Pod))
            && self.pool.as_ref().is_none_or(|pool| pool.has(item, &subjects))
            && self.machines.iter().all(|named| is_of(named, item.seq(), &subjects))
    }

    /// Whether no later record can be asked for.
    pub fn is_past(&self, item: &Item) -> bool {
        item.seq() > self.to || item.logged.time > self.until
    }
}

impl Pool {
    /// Whether a record is about the pool or one of its machines, or says that the pool is why something is not done.
    fn has(&self, item: &Item, subjects: &[Subject<'_>]) -> bool {
        let named = || {
            let reason = subjects::reason(item.event());
            reason.is_some_and(|reason| {
                reason.params.iter().any(|(name, of)| &**name == "nodepool" && &**of == self.name.as_str())
            })
        };
        subjects.contains(&Subject::Pool(&self.name))
            || is_of(&self.machines, item.seq(), subjects)
            || named()
    }
}

/// Whether a record is about one of these machines.
fn is_of(machines: &[Machine], seq: u64, subjects: &[Subject<'_>]) -> bool {
    machines.iter().any(|machine| subjects.iter().any(|subject| machine.has(seq, subject)))
}

/// The numbers of the kinds that patterns stand for.
fn kinds(patterns: &[String]) -> Result<Option<BTreeSet<u16>>> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut numbers = BTreeSet::new();
    for pattern in patterns {
        let class =
            [Class::Control, Class::Observation, Class::Decision].into_iter().find(|c| c.as_str() == pattern);
        let matches = |kind: &&'static Kind| match class {
            Some(class) => kind.class == class,
            None => glob(pattern, kind.name),
        };
        let before = numbers.len();
        numbers.extend(Kind::all().filter(matches).map(|kind| kind.number));
        if numbers.len() == before && !Kind::all().any(|kind| matches(&kind)) {
            let near: Vec<&str> = Kind::all()
                .map(|kind| kind.name)
                .filter(|name| name.contains(pattern.trim_matches('*')))
                .collect();
            let hint = if near.is_empty() {
                "a class is observation, decision or control".to_owned()
            } else {
                format!("there is {}", near.join(", "))
            };
            bail!("--kind {pattern}: no kind of record has this name; {hint}");
        }
    }
    Ok(Some(numbers))
}

/// Whether a name matches a pattern in which `*` stands for anything.
fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => name.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| glob(rest, &tail[at..]))
        }),
    }
}

fn reason(id: &str) -> Result<ReasonId> {
    match ReasonId::ALL.iter().find(|reason| reason.as_str() == id) {
        Some(reason) => Ok(*reason),
        None => bail!("--reason {id}: no reason has this id; see replay reasons"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        assert!(
            glob("pod-*", "pod-bound")
                && glob("*", "x")
                && glob("*-bound", "pod-bound")
                && glob("launch", "launch")
        );
        assert!(!glob("pod-*", "node-deleted") && !glob("launch", "launch-failed") && !glob("a*b", "ac"));
        assert!(kinds(&["pod-*".into(), "decision".into()]).unwrap().unwrap().len() > 20);
        let error = kinds(&["pod".into()]).unwrap_err().to_string();
        assert!(error.contains("pod-bound"), "{error}");
    }
}
