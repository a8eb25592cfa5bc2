//! Who selects pods: Services and controllers, by whose selectors Kubernetes counts pods for the cluster's default spread constraints.
//!
//! **Invariant:** a selector that is empty selects nothing here, as for a Service without one.

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ReplicationController, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use purser_engine::model::{LabelSelector, Str};
use serde_json::Value;

use super::lenient::{Reading, decode_noting};
use crate::error::{At, FieldError};
use crate::quantity::{labels, namespace, object_name};
use crate::selector::selector;

/// What selects pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSelector {
    /// The kind of the object: `Service`, `ReplicationController`, `ReplicaSet` or `StatefulSet`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: Str,
    /// Its name.
    pub name: Str,
    /// Which pods.
    pub selector: LabelSelector,
}

/// Reads a Service.
pub(super) fn service(reading: &mut Reading<'_>, value: &Value) -> Result<PodSelector, FieldError> {
    let service: Service = decode_noting(reading, value)?;
    let selector = service.spec.and_then(|spec| spec.selector);
    of("Service", &service.metadata, LabelSelector::from(&labels(selector.as_ref())))
}

/// Reads what a controller selects; `None` for a kind by which nothing is counted.
pub(super) fn of_controller(
    reading: &mut Reading<'_>,
    kind: &str,
    value: &Value,
) -> Result<Option<PodSelector>, FieldError> {
    let at = At::ROOT.field("spec");
    let at = at.field("selector");
    Ok(Some(match kind {
        "ReplicationController" => {
            let read: ReplicationController = decode_noting(reading, value)?;
            let own = read.spec.and_then(|spec| spec.selector);
            of("ReplicationController", &read.metadata, LabelSelector::from(&labels(own.as_ref())))?
        }
        "ReplicaSet" => {
            let read: ReplicaSet = decode_noting(reading, value)?;
            let own = read.spec.map(|spec| spec.selector);
            of("ReplicaSet", &read.metadata, selector(&at, own.as_ref())?)?
        }
        "StatefulSet" => {
            let read: StatefulSet = decode_noting(reading, value)?;
            let own = read.spec.map(|spec| spec.selector);
            of("StatefulSet", &read.metadata, selector(&at, own.as_ref())?)?
        }
        _ => return Ok(None),
    }))
}

fn of(kind: &'static str, metadata: &ObjectMeta, selector: LabelSelector) -> Result<PodSelector, FieldError> {
    Ok(PodSelector {
        kind,
        namespace: namespace(metadata).into(),
        name: object_name(metadata)?.into(),
        selector,
    })
}
