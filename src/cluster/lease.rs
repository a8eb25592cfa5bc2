//! Leader election by a Lease, with a fencing term and the last checkpoint of the leader's log.
//!
//! Crates for this exist (`kube-leader-election`, `kube-coordinate` and others). They say who leads, and that is all: the term that must be
//! in the log, the annotations that have to be written in the very request that takes or renews the Lease, and a gate that closes by
//! itself when renewals stop are not theirs, and to add them means to write the Lease beside them, which two writers must not do.
//! What is left is small, and the rules are those of client-go, so that a replica of Karpenter and one of this program
//! exclude each other.
//!
//! **Invariant:** the term of each holder is greater than that of the one before, and each request that changes the Lease names the
//! version that it changes.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::ClusterError;
use crate::gate::Gate;
use crate::{Now, timestamp};

/// The annotation with the fencing term of the holder.
pub const TERM: &str = "purser.dev/term";

/// The annotation with the last checkpoint of the holder's log, a signed note.
pub const CHECKPOINT: &str = "purser.dev/checkpoint";

/// Which Lease, who wants it, and how long things take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are: no two replicas say the same, nor one twice.
    pub identity: String,
    /// A Lease that was not renewed for so long may be taken.
    pub duration: Duration,
    /// A holder that could not renew for so long holds it no more.
    pub renew_deadline: Duration,
    /// How often to look, and to renew.
    pub retry_period: Duration,
}

/// What is known of a Lease, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Record {
    holder: String,
    transitions: i32,
    term: u64,
    renewed: Option<MicroTime>,
    version: Option<String>,
}

impl Record {
    fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let transitions = spec.lease_transitions.unwrap_or(0);
        let annotations = lease.metadata.annotations.as_ref();
        let term = annotations.and_then(|all| all.get(TERM)).and_then(|term| term.parse().ok());
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            transitions,
            // Where somebody else wrote it, the count of its holders is the best that there is.
            term: term.unwrap_or(0).max(u64::try_from(transitions).unwrap_or(0)),
            renewed: spec.renew_time,
            version: lease.metadata.resource_version.clone(),
        }
    }
}

/// What a replica that waits has seen.
#[derive(Debug, Default)]
struct Sight {
    last: Option<(Record, Instant)>,
}

impl Sight {
    /// Whether a Lease may be taken: nobody holds it, or its holder has not renewed it for too long. Times in it are of another's clock;
    /// what counts is how long we have seen it unchanged.
    fn may_take(&mut self, record: &Record, duration: Duration, now: Instant) -> bool {
        if record.holder.is_empty() {
            return true;
        }
        match &self.last {
            Some((last, since)) if last == record => now.saturating_duration_since(*since) >= duration,
            _ => {
                self.last = Some((record.clone(), now));
                false
            }
        }
    }
}

/// A replica that wants the Lease.
pub struct Election {
    leases: Api<Lease>,
    settings: LeaseSettings,
    now: Now,
    gate: Gate,
}

/// What came with the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Won {
    /// The fencing term.
    pub term: u64,
    /// The last checkpoint of the log of the one before.
    pub checkpoint: Option<String>,
}

/// What is to be in the Lease beside its holder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The fencing term.
    pub term: u64,
    /// The last checkpoint of our log.
    pub checkpoint: Option<String>,
}

impl Election {
    /// A replica with a client whose writes pass no gate, and the gate that it opens.
    pub fn new(client: Client, settings: LeaseSettings, gate: Gate, now: Now) -> Self {
        Self { leases: Api::namespaced(client, &settings.namespace), settings, now, gate }
    }

    /// Waits until the Lease is ours. `waits` is told each time that the Lease was seen with another holder.
    pub async fn win(&self, mut waits: impl FnMut(&str)) -> Won {
        let mut sight = Sight::default();
        let mut said = String::new();
        loop {
            let asked = tokio::time::timeout(self.settings.renew_deadline, self.try_once(&mut sight)).await;
            match asked {
                Ok(Ok(Attempt::Won(won))) => return won,
                Ok(Ok(Attempt::Held(holder))) => {
                    if said != holder {
                        tracing::info!(
                            holder,
                            lease = self.name(),
                            "another replica leads; waiting for its lease"
                        );
                        said = holder;
                    }
                    waits(&said);
                }
                Ok(Err(error)) => self.complain(&mut said, error.to_string()),
                Err(_) => self.complain(&mut said, "the API server does not answer".to_owned()),
            }
            tokio::time::sleep(self.settings.retry_period).await;
        }
    }

    /// Renews the Lease for as long as that can be done, with what is to be in it; says why it cannot any more. The gate is closed then.
    pub async fn keep(&self, said: watch::Receiver<Said>) -> String {
        let mut renewed = Instant::now();
        loop {
            let deadline = renewed + self.settings.renew_deadline;
            tokio::time::sleep(self.settings.retry_period).await;
            let began = Instant::now();
            let what = said.borrow().clone();
            match tokio::time::timeout_at(deadline, self.renew(&what)).await {
                Ok(Ok(true)) => {
                    renewed = began;
                    self.gate.open_until(began + self.settings.renew_deadline);
                }
                Ok(Ok(false)) => {
                    self.gate.close();
                    return "another replica holds it".to_owned();
                }
                Ok(Err(error)) if Instant::now() < deadline => {
                    tracing::warn!(
                        lease = self.name(),
                        "the lease could not be renewed, and is tried again: {error}"
                    );
                }
                _ => {
                    self.gate.close();
                    return format!(
                        "it could not be renewed for {} s",
                        self.settings.renew_deadline.as_secs_f64()
                    );
                }
            }
        }
    }

    /// Gives the Lease back, so that the next replica need not wait.
    pub async fn release(&self, said: &Said) {
        self.gate.close();
        let given = async {
            let Some(mut lease) = self.read().await? else { return Ok(()) };
            if Record::of(&lease).holder == self.settings.identity {
                self.write(&mut lease, said, false)?;
                self.replace(&lease).await?;
            }
            Ok::<_, ClusterError>(())
        };
        match tokio::time::timeout(self.settings.renew_deadline, given).await {
            Ok(Ok(())) => tracing::info!(lease = self.name(), "the lease is given back"),
            Ok(Err(error)) => {
                tracing::warn!(lease = self.name(), "the lease could not be given back: {error}")
            }
            Err(_) => tracing::warn!(lease = self.name(), "the lease could not be given back in time"),
        }
    }

    async fn try_once(&self, sight: &mut Sight) -> Result<Attempt, ClusterError> {
        let Some(mut lease) = self.read().await? else {
            let won = Won { term: 1, checkpoint: None };
            return self.take(&mut Lease::default(), won, 0).await;
        };
        let record = Record::of(&lease);
        let now = Instant::now();
        if record.holder != self.settings.identity && !sight.may_take(&record, self.settings.duration, now) {
            return Ok(Attempt::Held(record.holder));
        }
        let annotations = lease.metadata.annotations.as_ref();
        let checkpoint = annotations.and_then(|all| all.get(CHECKPOINT)).cloned();
        let won = Won { term: record.term + 1, checkpoint };
        self.take(&mut lease, won, record.transitions.saturating_add(1)).await
    }

    async fn take(&self, lease: &mut Lease, won: Won, transitions: i32) -> Result<Attempt, ClusterError> {
        let began = Instant::now();
        self.write(lease, &Said { term: won.term, checkpoint: won.checkpoint.clone() }, true)?;
        let spec = lease.spec.get_or_insert_default();
        spec.acquire_time.clone_from(&spec.renew_time);
        spec.lease_transitions = Some(transitions);
        let taken = match lease.metadata.resource_version {
            Some(_) => self.replace(lease).await,
            None => self.create(lease).await,
        };
        match taken {
            Ok(()) => {
                self.gate.open_until(began + self.settings.renew_deadline);
                Ok(Attempt::Won(won))
            }
            // Somebody was quicker.
            Err(error) if error.code() == Some(409) => Ok(Attempt::Held(String::new())),
            Err(error) => Err(error),
        }
    }

    /// Whether it is still ours.
    async fn renew(&self, said: &Said) -> Result<bool, ClusterError> {
        let mut lease = match self.read().await? {
            Some(lease) if Record::of(&lease).holder != self.settings.identity => return Ok(false),
            Some(lease) => lease,
            // Somebody deleted it. Until there is another, it is ours.
            None => Lease::default(),
        };
        self.write(&mut lease, said, true)?;
        match lease.metadata.resource_version {
            Some(_) => self.replace(&lease).await?,
            None => self.create(&lease).await?,
        }
        Ok(true)
    }

    /// Fills a Lease in.
    fn write(&self, lease: &mut Lease, said: &Said, held: bool) -> Result<(), ClusterError> {
        let now = MicroTime(timestamp((self.now)())?);
        let metadata = &mut lease.metadata;
        metadata.name = Some(self.settings.name.clone());
        metadata.namespace = Some(self.settings.namespace.clone());
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(TERM.to_owned(), said.term.to_string());
        if let Some(checkpoint) = &said.checkpoint {
            annotations.insert(CHECKPOINT.to_owned(), checkpoint.clone());
        }
        let spec: &mut LeaseSpec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(if held { self.settings.identity.clone() } else { String::new() });
        let seconds = if held { self.settings.duration.as_secs().max(1) } else { 1 };
        spec.lease_duration_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        Ok(())
    }

    async fn read(&self) -> Result<Option<Lease>, ClusterError> {
        self.leases
            .get_opt(&self.settings.name)
            .await
            .map_err(ClusterError::api(format!("reading {}", self.name())))
    }

    async fn replace(&self, lease: &Lease) -> Result<(), ClusterError> {
        let replaced = self.leases.replace(&self.settings.name, &PostParams::default(), lease).await;
        replaced.map(drop).map_err(ClusterError::api(format!("writing {}", self.name())))
    }

    async fn create(&self, lease: &Lease) -> Result<(), ClusterError> {
        let fresh =
            Lease { metadata: ObjectMeta { uid: None, ..lease.metadata.clone() }, spec: lease.spec.clone() };
        let created = self.leases.create(&PostParams::default(), &fresh).await;
        created.map(drop).map_err(ClusterError::api(format!("creating {}", self.name())))
    }

    fn name(&self) -> String {
        format!("Lease {}/{}", self.settings.namespace, self.settings.name)
    }

    fn complain(&self, said: &mut String, error: String) {
        if *said != error {
            tracing::warn!(lease = self.name(), "the lease cannot be had, and is tried again: {error}");
            *said = error;
        }
    }
}

enum Attempt {
    Won(Won),
    Held(String),
}

/// The namespace that a pod runs in, as Kubernetes tells it.
pub fn own_namespace() -> Option<String> {
    let text = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace").ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(holder: &str, version: &str) -> Record {
        Record { holder: holder.into(), version: Some(version.into()), ..Record::default() }
    }

    #[test]
    fn a_lease_is_taken_once_it_was_seen_unchanged_for_long_enough() {
        let (mut sight, start) = (Sight::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let long = Duration::from_secs(15);
        assert!(sight.may_take(&record("", "1"), long, start), "nobody holds it");
        assert!(!sight.may_take(&record("a", "1"), long, start));
        assert!(!sight.may_take(&record("a", "1"), long, after(14)));
        assert!(!sight.may_take(&record("a", "2"), long, after(16)), "it was renewed");
        assert!(!sight.may_take(&record("a", "2"), long, after(30)));
        assert!(sight.may_take(&record("a", "2"), long, after(31)));
    }

    #[test]
    fn a_term_is_never_below_the_count_of_holders() {
        let mut lease = Lease::default();
        lease.spec.get_or_insert_default().lease_transitions = Some(7);
        assert_eq!(Record::of(&lease).term, 7);
        lease.metadata.annotations.get_or_insert_default().insert(TERM.into(), "9".into());
        assert_eq!(Record::of(&lease).term, 9);
    }
}
