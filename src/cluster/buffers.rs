//! CapacityBuffers: resolved with the PodTemplates and workloads that they name, told, and their status written.
//!
//! Source: Karpenter, pkg/controllers/capacitybuffer and pkg/controllers/provisioning/buffers.go.
//!
//! **Invariant:** what buffers may name is watched only in namespaces where a buffer names something of that kind, and a buffer is told
//! only once that was listed: so a start finds each buffer as it is, or not at all.

mod sources;

use std::collections::{BTreeMap, BTreeSet};

use kube::api::DynamicObject;
use kube::{Api, Client, ResourceExt};
use purser_api::crd::{CapacityBufferStatus, Condition, PodTemplateReference};
use purser_api::{ACTIVE_CAPACITY, BufferSource, CapacityBufferFacts, Object, Unresolved};
use purser_engine::model::{CapacityBuffer, PodKey, Str, Time};
use purser_engine::notice::Room;
use purser_engine::port::Observation;
use serde_json::{Value, json};

use self::sources::{Found, Source, SourceKind};
use crate::condition;
use crate::shared::Shared;
use crate::status::{Stale, Subject, Writing};
use crate::tell::{Told, custom, resource};
use crate::watching::{Key, Reader, Watching};

/// What is known of CapacityBuffers, shared between those who watch and those who write.
#[derive(Clone)]
pub(crate) struct Buffers {
    known: Shared<Known>,
    client: Client,
    watching: Watching,
    stale: Stale,
}

#[derive(Default)]
struct Known {
    buffers: BTreeMap<PodKey, Buffer>,
    /// What the controller said last. It hears of an object that goes and comes as of one that stayed, so this outlives the object.
    rooms: BTreeMap<PodKey, Room>,
    /// What buffers name, where it is watched.
    sources: BTreeMap<Source, Objects>,
}

struct Buffer {
    version: Option<String>,
    generation: Option<i64>,
    strategy: Option<String>,
    status: CapacityBufferStatus,
    written: Result<CapacityBufferFacts, Unresolved>,
}

/// The objects of a kind in a namespace, by name.
#[derive(Default)]
struct Objects {
    listed: bool,
    found: BTreeMap<Str, Result<Found, String>>,
    watch: Option<tokio::task::AbortHandle>,
}

/// What a buffer comes to.
enum Outcome {
    /// What it names was not listed yet.
    Waits,
    Resolved {
        buffer: CapacityBuffer,
        /// The PodTemplate and its generation, if it is one.
        template: Option<(Str, i64)>,
    },
    Unresolved(Unresolved),
}

impl Buffers {
    pub(crate) fn new(client: Client, watching: Watching, stale: Stale) -> Self {
        Self { known: Shared::default(), client, watching, stale }
    }

    pub(crate) fn api(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &kind())
    }

    pub(crate) fn has_room(&self, buffer: &PodKey, room: Option<Room>) {
        let mut known = self.known.lock();
        match room {
            Some(room) => drop(known.rooms.insert(buffer.clone(), room)),
            None => drop(known.rooms.remove(buffer)),
        }
        self.is_stale(buffer);
    }

    /// The status that has to be written, if it is another than there is.
    pub(crate) fn wanted(&self, key: &PodKey, now: Time) -> Option<Writing> {
        let known = self.known.lock();
        let buffer = known.buffers.get(key)?;
        let status = buffer.status(&known.outcome(buffer)?, known.rooms.get(key), now);
        (status != buffer.status).then(|| Writing {
            api: Api::namespaced_with(self.client.clone(), &key.namespace, &kind()),
            name: key.name.to_string(),
            version: buffer.version.clone(),
            status: patch(&status),
        })
    }

    fn is_stale(&self, buffer: &PodKey) {
        // With nobody left to write it, the process is ending.
        let _ = self.stale.send(Subject::Buffer(buffer.clone()));
    }

    /// Begins the watches that buffers need, and ends those that none does.
    fn watch_sources(&self, known: &mut Known) {
        let needed: BTreeSet<Source> = known.buffers.values().filter_map(Buffer::source).collect();
        for source in &needed {
            if !known.sources.contains_key(source) {
                let watch = sources::watch(self, &self.client, &self.watching, source.clone());
                known.sources.insert(source.clone(), Objects { watch: Some(watch), ..Objects::default() });
            }
        }
        // One that has not listed yet may be waited for.
        known.sources.retain(|source, objects| {
            let keep = needed.contains(source) || !objects.listed;
            if let Some(watch) = objects.watch.as_ref().filter(|_| !keep) {
                watch.abort();
            }
            keep
        });
    }

    /// Changes what is known of a source, and tells the buffers that it is about: those that name an object, or all.
    fn change(
        &self,
        source: &Source,
        name: Option<&str>,
        change: impl FnOnce(&mut Objects),
    ) -> Vec<Observation> {
        let mut known = self.known.lock();
        let Some(objects) = known.sources.get_mut(source) else { return Vec::new() };
        change(objects);
        let is_about = |buffer: &Buffer| {
            buffer.source().as_ref() == Some(source)
                && name.is_none_or(|name| buffer.names().is_some_and(|own| **own == *name))
        };
        let buffers = known.buffers.iter().filter(|(_, buffer)| is_about(buffer));
        let mut told = Vec::new();
        for (key, buffer) in buffers {
            self.is_stale(key);
            told.extend(known.tell(key, buffer));
        }
        told
    }
}

fn kind() -> kube::core::ApiResource {
    resource("autoscaling.x-k8s.io", "v1beta1", "CapacityBuffer")
}

impl Reader<DynamicObject> for Buffers {
    fn saw(&self, object: &DynamicObject) -> Told {
        let key = Key::of(object).in_namespace();
        let text = |pointer| object.data.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let strategy = text("/spec/provisioningStrategy");
        if strategy.as_deref().is_some_and(|strategy| strategy != ACTIVE_CAPACITY) {
            // Somebody else's.
            return Ok(self.lost(&Key::of(object)));
        }
        let written = match custom(object) {
            Ok(Object::CapacityBuffer(facts)) => Ok(*facts),
            Ok(_) => return Ok(Vec::new()),
            Err(error) => Err(Unresolved::failed(format!("CapacityBuffer {key}: {error}"))),
        };
        let status =
            object.data.get("status").cloned().and_then(|status| serde_json::from_value(status).ok());
        let buffer = Buffer {
            version: object.resource_version(),
            generation: object.metadata.generation,
            strategy,
            status: status.unwrap_or_default(),
            written,
        };
        let mut known = self.known.lock();
        known.buffers.insert(key.clone(), buffer);
        self.watch_sources(&mut known);
        self.is_stale(&key);
        Ok(known.buffers.get(&key).and_then(|buffer| known.tell(&key, buffer)).into_iter().collect())
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let key = key.in_namespace();
        let mut known = self.known.lock();
        known.buffers.remove(&key);
        self.watch_sources(&mut known);
        vec![Observation::NoCapacityBuffer(key)]
    }
}

impl Known {
    fn tell(&self, key: &PodKey, buffer: &Buffer) -> Option<Observation> {
        match self.outcome(buffer)? {
            Outcome::Waits => None,
            Outcome::Resolved { buffer, .. } => Some(Observation::CapacityBuffer(key.clone(), buffer)),
            Outcome::Unresolved(_) => Some(Observation::NoCapacityBuffer(key.clone())),
        }
    }

    fn outcome(&self, buffer: &Buffer) -> Option<Outcome> {
        let facts = match &buffer.written {
            Ok(facts) => facts,
            Err(why) => return Some(Outcome::Unresolved(why.clone())),
        };
        let objects = self.sources.get(&buffer.source()?)?;
        let found = match objects.found.get(buffer.names()?) {
            None if !objects.listed => return Some(Outcome::Waits),
            None => return Some(Outcome::Unresolved(facts.not_found())),
            Some(Err(problem)) => return Some(Outcome::Unresolved(Unresolved::failed(problem.as_str()))),
            Some(Ok(found)) => found,
        };
        Some(match facts.of_template(&found.template, found.replicas) {
            Err(why) => Outcome::Unresolved(why),
            Ok(resolved) => {
                let template = found.generation.map(|generation| (buffer.names().cloned(), generation));
                let template = template.and_then(|(name, generation)| Some((name?, generation)));
                Outcome::Resolved { buffer: resolved, template }
            }
        })
    }
}

impl Buffer {
    /// Where to look for what it names.
    fn source(&self) -> Option<Source> {
        let facts = self.written.as_ref().ok()?;
        let kind = match &facts.of {
            BufferSource::Template(_) => SourceKind::Template,
            BufferSource::Workload(kind, _) => SourceKind::Workload(*kind),
        };
        Some(Source { kind, namespace: facts.key.namespace.clone() })
    }

    fn names(&self) -> Option<&Str> {
        match &self.written.as_ref().ok()?.of {
            BufferSource::Template(name) | BufferSource::Workload(_, name) => Some(name),
        }
    }

    /// The status that says what it comes to, and where its room is.
    fn status(&self, outcome: &Outcome, room: Option<&Room>, now: Time) -> CapacityBufferStatus {
        let mut status = self.status.clone();
        status.provisioning_strategy.clone_from(&self.strategy);
        let set = |conditions: &mut Vec<Condition>, kind: &str, holds: bool, reason: &str, message: &str| {
            condition::hold(conditions, kind, holds, reason, message, self.generation, now);
        };
        let (buffer, template) = match outcome {
            Outcome::Waits => return self.status.clone(),
            Outcome::Unresolved(why) => {
                let conditions = &mut status.conditions;
                set(conditions, READY, false, why.reason.as_str(), &why.message);
                set(
                    conditions,
                    PROVISIONING,
                    false,
                    "NotReadyForProvisioning",
                    "what it asks for is not known",
                );
                return status;
            }
            Outcome::Resolved { buffer, template } => (buffer, template),
        };
        status.replicas = i32::try_from(buffer.replicas).ok();
        status.pod_template_ref =
            template.as_ref().map(|(name, _)| PodTemplateReference { name: name.to_string() });
        status.pod_template_generation = template.as_ref().map(|(_, generation)| *generation);
        let conditions = &mut status.conditions;
        set(conditions, READY, true, "Resolved", "what it asks for is known");
        let wanted = buffer.replicas;
        match room {
            _ if wanted == 0 => {
                set(conditions, PROVISIONING, false, "BufferEmpty", "it asks for room for no pods");
            }
            // What the controller said was about another number of pods.
            Some(room) if room.there + room.coming + room.missing != wanted => {}
            None => {}
            Some(room) if room.there == wanted => {
                let message = format!("there is room for all {wanted} pods");
                set(conditions, PROVISIONING, true, "FitsExistingCapacity", &message);
            }
            Some(Room { there, coming, missing }) => {
                let message = format!(
                    "of {wanted} pods {there} have room, {coming} will have it on nodes on their way, {missing} have none"
                );
                set(conditions, PROVISIONING, false, "RequiresNewCapacity", &message);
            }
        }
        status
    }
}

const READY: &str = "ReadyForProvisioning";
const PROVISIONING: &str = "Provisioning";

/// A status in full: what is not in it is taken out.
fn patch(status: &CapacityBufferStatus) -> Value {
    let CapacityBufferStatus {
        pod_template_ref,
        replicas,
        pod_template_generation,
        conditions,
        provisioning_strategy,
    } = status;
    json!({
        "podTemplateRef": pod_template_ref,
        "replicas": replicas,
        "podTemplateGeneration": pod_template_generation,
        "conditions": conditions,
        "provisioningStrategy": provisioning_strategy,
    })
}

#[cfg(test)]
mod tests;
