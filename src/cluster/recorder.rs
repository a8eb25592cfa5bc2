//! Kubernetes Events: what people see when they describe a pod, a node or a claim.
//!
//! Events are core/v1, written as Karpenter writes them (the recorder of kube writes events.k8s.io/v1, which leaves the source's component
//! empty, and that is what users filter by). The decision that an Event tells of is in its annotation.
//!
//! **Invariant:** whoever has something to tell never waits: what finds no room is dropped and counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time as MetaTime};
use kube::api::{PartialObjectMeta, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use purser_engine::event::Seq;
use purser_engine::model::{Span, Time, Uid};
use tokio::sync::Notify;

use crate::error::ClusterError;
use crate::shared::Shared;
use crate::{Now, timestamp};

/// The annotation with the record of the decision that an object or an Event is about.
pub const DECISION: &str = "purser.dev/decision";

/// Who tells, as Karpenter calls itself.
const COMPONENT: &str = "karpenter";

/// Room for what is to be sent.
const QUEUE: usize = 4_096;

/// The most that is remembered of what was told already.
const TOLD: usize = 32_768;

/// The longest message that the API server takes.
const MESSAGE: usize = 1_024;

/// What an Event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A pod.
    Pod,
    /// A node.
    Node,
    /// A NodeClaim.
    NodeClaim,
    /// A NodePool.
    NodePool,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::NodeClaim => "NodeClaim",
            Self::NodePool => "NodePool",
        }
    }

    const fn api_version(self) -> &'static str {
        match self {
            Self::Pod | Self::Node => "v1",
            Self::NodeClaim | Self::NodePool => "karpenter.sh/v1",
        }
    }
}

/// Which object an Event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct About {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace, if it is in one.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, where it is known; otherwise it is looked up.
    pub uid: Option<Uid>,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// About what.
    pub about: About,
    /// Whether it is a warning.
    pub warning: bool,
    /// Why, in one word.
    pub reason: &'static str,
    /// What.
    pub message: String,
    /// The record that it tells of.
    pub decision: Seq,
    /// For so long it is not told again of the same object.
    pub once_in: Span,
    /// Only if it still holds after so long.
    pub hold: Span,
}

/// What is to be told, in order; told once where it repeats itself, and no more of some than is good.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    inner: Shared<Inner>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    ready: VecDeque<Notice>,
    held: BTreeMap<About, (Time, Notice)>,
    told: HashMap<(About, &'static str), Time>,
    nominations: Allowance,
    dropped: u64,
    sent: u64,
}

/// How many nominations may be told of: five a second, ten at once, as with Karpenter.
#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Time,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: 10.0, at: Time(0) }
    }
}

impl Allowance {
    fn take(&mut self, now: Time) -> bool {
        let since = now.since(self.at).as_secs_f64().max(0.0);
        self.at = self.at.max(now);
        self.left = (self.left + since * 5.0).min(10.0);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

impl Outbox {
    /// Takes something to tell.
    pub fn put(&self, now: Time, notice: Notice) {
        let mut inner = self.inner.lock();
        if notice.hold > Span::ZERO {
            let due = now + notice.hold;
            if inner.held.len() < QUEUE || inner.held.contains_key(&notice.about) {
                // What was said first about it is as old as it is.
                let since = inner.held.get(&notice.about).map_or(due, |(since, _)| *since);
                inner.held.insert(notice.about.clone(), (since, notice));
            } else {
                inner.dropped += 1;
            }
            return;
        }
        inner.push(now, notice);
        drop(inner);
        self.wake.notify_one();
    }

    /// What was held back about an object does not hold any more.
    pub fn withdraw(&self, about: &About) {
        self.inner.lock().held.remove(about);
    }

    /// How many were sent, and how many dropped.
    pub fn counts(&self) -> (u64, u64) {
        let inner = self.inner.lock();
        (inner.sent, inner.dropped)
    }

    fn next(&self, now: Time) -> Option<Notice> {
        let mut inner = self.inner.lock();
        let due: Vec<About> =
            inner.held.iter().filter(|(_, (due, _))| *due <= now).map(|(about, _)| about.clone()).collect();
        for about in due {
            if let Some((_, notice)) = inner.held.remove(&about) {
                inner.push(now, notice);
            }
        }
        inner.ready.pop_front()
    }

    fn done(&self, sent: bool) {
        let mut inner = self.inner.lock();
        match sent {
            true => inner.sent += 1,
            false => inner.dropped += 1,
        }
    }
}

impl Inner {
    fn push(&mut self, now: Time, notice: Notice) {
        let key = (notice.about.clone(), notice.reason);
        if self.told.get(&key).is_some_and(|until| *until > now) {
            return;
        }
        if notice.reason == "Nominated" && !self.nominations.take(now) {
            return;
        }
        if self.ready.len() >= QUEUE {
            self.dropped += 1;
            return;
        }
        if self.told.len() >= TOLD {
            self.told.retain(|_, until| *until > now);
        }
        if self.told.len() < TOLD {
            self.told.insert(key, now + notice.once_in);
        }
        self.ready.push_back(notice);
    }
}

/// Sends what is in an outbox.
pub struct Recorder {
    client: Client,
    outbox: Outbox,
    now: Now,
    instance: String,
    uids: HashMap<About, String>,
    number: u64,
}

impl Recorder {
    /// A recorder of this replica.
    pub fn new(client: Client, outbox: Outbox, instance: &str, now: Now) -> Self {
        Self { client, outbox, now, instance: instance.to_owned(), uids: HashMap::new(), number: 0 }
    }

    /// Sends for as long as it is awaited.
    pub async fn run(mut self) {
        loop {
            let Some(notice) = self.outbox.next((self.now)()) else {
                // What is held back becomes due by time alone.
                let _ = tokio::time::timeout(Duration::from_secs(1), self.outbox.wake.notified()).await;
                continue;
            };
            let sent = self.send(&notice).await;
            if let Err(error) = &sent {
                tracing::debug!(
                    name = notice.about.name,
                    reason = notice.reason,
                    "an Event was not written: {error}"
                );
            }
            self.outbox.done(sent.is_ok());
        }
    }

    async fn send(&mut self, notice: &Notice) -> Result<(), ClusterError> {
        let now = (self.now)();
        let uid = self.uid(&notice.about).await;
        self.number += 1;
        let event = event(notice, uid, now, self.number, &self.instance)?;
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let events: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let created = events.create(&PostParams::default(), &event).await;
        created.map(drop).map_err(ClusterError::api("writing an Event"))
    }

    /// The UID by which the Event is found when its object is described.
    async fn uid(&mut self, about: &About) -> Option<String> {
        if let Some(uid) = about.uid {
            return Some(hyphenated(uid));
        }
        if let Some(uid) = self.uids.get(about) {
            return Some(uid.clone());
        }
        let (group, version) = about.kind.api_version().split_once('/').unwrap_or(("", "v1"));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, about.kind.as_str()));
        let api: Api<kube::api::DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let found: Option<PartialObjectMeta<_>> = api.get_metadata_opt(&about.name).await.ok()?;
        let uid = found?.metadata.uid?;
        if self.uids.len() >= QUEUE {
            self.uids.clear();
        }
        self.uids.insert(about.clone(), uid.clone());
        Some(uid)
    }
}

fn event(
    notice: &Notice,
    uid: Option<String>,
    now: Time,
    number: u64,
    instance: &str,
) -> Result<Event, ClusterError> {
    let About { kind, namespace, name, .. } = &notice.about;
    let moment = timestamp(now)?;
    // Events about what is in no namespace are in this one.
    let own = if namespace.is_empty() { "default".to_owned() } else { namespace.clone() };
    let end = notice.message.char_indices().nth(MESSAGE - 1).map_or(notice.message.len(), |(end, _)| end);
    Ok(Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{:x}{number:04x}", now.0)),
            namespace: Some(own),
            annotations: Some(BTreeMap::from([(DECISION.to_owned(), notice.decision.0.to_string())])),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(kind.api_version().to_owned()),
            kind: Some(kind.as_str().to_owned()),
            name: Some(name.clone()),
            namespace: Some(namespace.clone()).filter(|namespace| !namespace.is_empty()),
            uid,
            ..ObjectReference::default()
        },
        type_: Some(if notice.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(notice.reason.to_owned()),
        message: Some(notice.message[..end].to_owned()),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: None }),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        first_timestamp: Some(MetaTime(moment)),
        last_timestamp: Some(MetaTime(moment)),
        count: Some(1),
        ..Event::default()
    })
}

fn hyphenated(uid: Uid) -> String {
    let digits = format!("{:032x}", uid.0);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(name: &str, reason: &'static str, hold: Span) -> Notice {
        Notice {
            about: About { kind: Kind::Pod, namespace: "a".into(), name: name.into(), uid: Some(Uid(1)) },
            warning: hold > Span::ZERO,
            reason,
            message: "said".into(),
            decision: Seq(7),
            once_in: Span::mins(2),
            hold,
        }
    }

    #[test]
    fn what_repeats_itself_is_told_once_in_a_while() {
        let (outbox, start) = (Outbox::default(), Time(0));
        outbox.put(start, notice("p", "Evicted", Span::ZERO));
        outbox.put(start, notice("p", "Evicted", Span::ZERO));
        assert!(outbox.next(start).is_some());
        assert!(outbox.next(start).is_none());
        outbox.put(start + Span::mins(2), notice("p", "Evicted", Span::ZERO));
        assert!(outbox.next(start + Span::mins(2)).is_some());
    }

    #[test]
    fn a_warning_that_no_longer_holds_is_not_told() {
        let (outbox, start) = (Outbox::default(), Time(0));
        let held = Span::secs(10);
        outbox.put(start, notice("p", "FailedScheduling", held));
        outbox.put(start, notice("q", "FailedScheduling", held));
        outbox.put(start + Span::secs(9), notice("q", "FailedScheduling", held));
        assert!(outbox.next(start + Span::secs(9)).is_none());
        outbox.withdraw(&notice("p", "FailedScheduling", held).about);
        assert_eq!(outbox.next(start + held).map(|told| told.about.name), Some("q".into()));
        assert!(outbox.next(start + Span::mins(1)).is_none());
    }

    #[test]
    fn nominations_are_told_of_at_a_rate_and_a_full_queue_drops() {
        let (outbox, start) = (Outbox::default(), Time(0));
        (0..100).for_each(|n| outbox.put(start, notice(&format!("p{n}"), "Nominated", Span::ZERO)));
        assert_eq!(std::iter::from_fn(|| outbox.next(start)).count(), 10);
        (0..=QUEUE).for_each(|n| outbox.put(start, notice(&format!("p{n}"), "Evicted", Span::ZERO)));
        assert_eq!(outbox.counts(), (0, 1));
    }

    #[test]
    fn an_event_names_its_source_and_its_decision() {
        let written = event(&notice("p", "Evicted", Span::ZERO), None, Time(5), 1, "host").unwrap();
        assert_eq!(written.source.unwrap().component.as_deref(), Some("karpenter"));
        assert_eq!(written.metadata.annotations.unwrap()[DECISION], "7");
    }
}
