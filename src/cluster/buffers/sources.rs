//! What CapacityBuffers name: PodTemplates, and workloads that can be scaled.
//!
//! **Invariant:** of an object no more is kept than what its pods ask for, how many it keeps, and its generation.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PodTemplate, ReplicationController};
use k8s_openapi::{Metadata, NamespaceResourceScope};
use kube::{Api, Client, Resource, ResourceExt};
use purser_api::{
    FieldError, Priorities, Workload, WorkloadKind, deployment, pod_template, replica_set,
    replication_controller, stateful_set,
};
use purser_engine::model::{PodSpec, Str};
use purser_engine::port::Observation;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;

use super::{Buffers, Objects};
use crate::tell::Told;
use crate::watching::{Key, Reader, Watching};

/// The objects of a kind in a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) kind: SourceKind,
    pub(super) namespace: Str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SourceKind {
    Template,
    Workload(WorkloadKind),
}

/// What a buffer may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) template: Arc<PodSpec>,
    /// How many pods it keeps; `None` for a PodTemplate.
    pub(super) replicas: Option<u32>,
    /// The generation of a PodTemplate.
    pub(super) generation: Option<i64>,
}

/// Begins to watch a source.
pub(super) fn watch(buffers: &Buffers, client: &Client, watching: &Watching, source: Source) -> AbortHandle {
    match source.kind {
        SourceKind::Template => {
            begin::<PodTemplate>("PodTemplate", of_template, buffers, client, watching, source)
        }
        SourceKind::Workload(kind) => match kind {
            WorkloadKind::ReplicaSet => {
                begin("ReplicaSet", of(replica_set), buffers, client, watching, source)
            }
            WorkloadKind::StatefulSet => {
                begin("StatefulSet", of(stateful_set), buffers, client, watching, source)
            }
            WorkloadKind::ReplicationController => {
                let read = of::<ReplicationController>(replication_controller);
                begin("ReplicationController", read, buffers, client, watching, source)
            }
            // Nothing can be read that names a Job.
            WorkloadKind::Deployment | WorkloadKind::Job | WorkloadKind::CronJob => {
                begin("Deployment", of(deployment), buffers, client, watching, source)
            }
        },
    }
}

fn begin<K>(
    kind: &'static str,
    read: impl Fn(&K) -> Result<Found, FieldError> + Send + Sync + 'static,
    buffers: &Buffers,
    client: &Client,
    watching: &Watching,
    source: Source,
) -> AbortHandle
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + Sync
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), &source.namespace);
    let reader = SourceReader { buffers: buffers.clone(), source, read };
    tokio::spawn(watching.watch(kind, api, reader)).abort_handle()
}

fn of_template(object: &PodTemplate) -> Result<Found, FieldError> {
    // Virtual pods have a priority of their own.
    let (_, template) = pod_template(object, &Priorities::default())?;
    Ok(Found { template, replicas: None, generation: Some(object.metadata().generation.unwrap_or_default()) })
}

fn of<K>(
    read: fn(&K, &Priorities) -> Result<Workload, FieldError>,
) -> impl Fn(&K) -> Result<Found, FieldError> + Send + Sync + 'static
where
    K: 'static,
{
    move |object| {
        let workload = read(object, &Priorities::default())?;
        Ok(Found { template: workload.template, replicas: Some(workload.replicas), generation: None })
    }
}

/// Reads the objects of a source.
struct SourceReader<R> {
    buffers: Buffers,
    source: Source,
    read: R,
}

impl<K, R> Reader<K> for SourceReader<R>
where
    K: Resource<DynamicType = ()> + 'static,
    R: Fn(&K) -> Result<Found, FieldError> + Send + Sync + 'static,
{
    fn saw(&self, object: &K) -> Told {
        let name = Str::from(object.name_any());
        let found = (self.read)(object)
            .map_err(|error| format!("{} {}/{name}: {error}", K::kind(&()), self.source.namespace));
        let change = |objects: &mut Objects| drop(objects.found.insert(name.clone(), found));
        Ok(self.buffers.change(&self.source, Some(&name), change))
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let name = key.name.as_str();
        self.buffers.change(&self.source, Some(name), |objects| drop(objects.found.remove(name)))
    }

    fn listed(&self) -> Vec<Observation> {
        self.buffers.change(&self.source, None, |objects| objects.listed = true)
    }
}
