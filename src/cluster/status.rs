//! Statuses of objects that others own, written as often as it takes until they are as they should be.
//!
//! **Invariant:** a status is written over the version of the object that it was made from. Whoever was quicker wins, and what they wrote
//! is seen, which is when it is looked at again.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Moment;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use purser_api::crd::Condition;
use purser_engine::model::{PodKey, Str};
use purser_engine::notice::Notice;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::buffers::Buffers;
use crate::error::{ClusterError, code};
use crate::overlays::Overlays;
use crate::{Now, timestamp};

/// A status that could not be written is tried again after so long.
const PAUSE: Duration = Duration::from_secs(2);

/// An object whose status may have to be written.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Buffer(PodKey),
    Overlay(Str),
}

/// Where it is said that a status may have to be written.
pub(crate) type Stale = mpsc::UnboundedSender<Subject>;

/// A status as it should be.
pub(crate) struct Writing {
    pub(crate) api: Api<DynamicObject>,
    pub(crate) name: String,
    /// The version of the object that it was made from.
    pub(crate) version: Option<String>,
    pub(crate) status: Value,
}

/// The objects whose statuses are ours to write.
#[derive(Clone)]
pub struct Statuses {
    pub(crate) buffers: Buffers,
    pub(crate) overlays: Overlays,
}

impl Statuses {
    /// Takes note of what the controller says of an object.
    pub(crate) fn take(&self, notice: &Notice) {
        match notice {
            Notice::Room { buffer, room } => self.buffers.has_room(buffer, *room),
            Notice::Overlay { overlay, fate } => self.overlays.has_fate(overlay, fate.clone()),
        }
    }

    /// Writes statuses until nobody is left to say which.
    pub(crate) async fn write(self, again: Stale, mut stale: mpsc::UnboundedReceiver<Subject>, now: Now) {
        while let Some(subject) = stale.recv().await {
            let wanted = match &subject {
                Subject::Buffer(key) => self.buffers.wanted(key, now()),
                Subject::Overlay(name) => self.overlays.wanted(name, now()),
            };
            let Some(writing) = wanted else { continue };
            if let Err(error) = writing.write().await {
                tracing::warn!("a status is tried again: {error}");
                let again = again.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(PAUSE).await;
                    let _ = again.send(subject);
                });
            }
        }
    }
}

impl Writing {
    async fn write(&self) -> Result<(), ClusterError> {
        let patch = json!({"metadata": {"resourceVersion": self.version}, "status": self.status});
        match self.api.patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            // It is gone, or what it is now will be seen.
            Err(error) if matches!(code(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(ClusterError::api(format!("writing the status of {}", self.name))(error)),
        }
    }
}

/// Sets a condition among others, which has the moment of its last change.
pub(crate) fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: purser_engine::model::Time,
) {
    let status = if status { "True" } else { "False" };
    let before = conditions.iter().position(|one| one.kind == kind);
    let since = before.map(|at| &conditions[at]).filter(|one| one.status == status);
    let changed = || {
        let seconds = timestamp(now).map(|now| now.as_second()).unwrap_or_default();
        // A whole second of a moment that there is.
        Timestamp::from_second(seconds).ok().map(Moment)
    };
    let condition = Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: since.and_then(|one| one.last_transition_time.clone()).or_else(changed),
        observed_generation: generation,
    };
    match before {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests {
    use purser_engine::model::Time;

    use super::*;

    #[test]
    fn a_condition_keeps_its_moment_until_its_status_changes() {
        let mut all = vec![Condition { kind: "Other".to_owned(), ..Condition::default() }];
        let at = |seconds: i64| Time(seconds * 1_000_000);
        let moment = |all: &[Condition]| all[1].last_transition_time.clone().unwrap().0.as_second();
        set(&mut all, "Ready", true, "A", "", Some(1), at(5));
        set(&mut all, "Ready", true, "B", "b", Some(2), at(9));
        assert_eq!((all.len(), moment(&all), all[1].reason.as_str()), (2, 5, "B"));
        set(&mut all, "Ready", false, "C", "", Some(2), at(11));
        assert_eq!((all.len(), moment(&all), all[1].status.as_str()), (2, 11, "False"));
    }
}
