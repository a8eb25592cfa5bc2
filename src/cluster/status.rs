//! Statuses of objects that others own, written as often as it takes until they are as they should be.
//!
//! **Invariant:** a status is written over the version of the object that it was made from. Whoever was quicker wins, and what they wrote
//! is seen, which is when it is looked at again.

use std::time::Duration;

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use purser_engine::model::{PodKey, Str};
use purser_engine::notice::Notice;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::Now;
use crate::buffers::Buffers;
use crate::error::{ClusterError, code};
use crate::overlays::Overlays;

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
