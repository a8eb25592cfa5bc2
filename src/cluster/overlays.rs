//! NodeOverlays: read, told, and their validation written into their status.
//!
//! Source: Karpenter, pkg/controllers/nodeoverlay/controller.go.
//!
//! **Invariant:** an overlay that cannot be read does not count, and its status says why; whether it conflicts with another is for the
//! controller to say, which knows all pools and instance types.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use kube::{Api, Client, ResourceExt};
use purser_api::Object;
use purser_api::crd::Condition;
use purser_engine::model::{Str, Time};
use purser_engine::notice::OverlayFate;
use purser_engine::port::Observation;
use serde_json::json;

use crate::condition;
use crate::shared::Shared;
use crate::status::{Stale, Subject, Writing};
use crate::tell::{Told, conditions, custom, resource};
use crate::watching::{Key, Reader};

/// What is known of NodeOverlays, shared between those who watch and those who write.
#[derive(Clone)]
pub(crate) struct Overlays {
    known: Shared<Known>,
    api: Api<DynamicObject>,
    stale: Stale,
}

#[derive(Default)]
struct Known {
    overlays: BTreeMap<Str, Overlay>,
    /// What the controller said last. It hears of an object that goes and comes as of one that stayed, so this outlives the object.
    fates: BTreeMap<Str, OverlayFate>,
}

struct Overlay {
    version: Option<String>,
    generation: Option<i64>,
    conditions: Vec<Condition>,
    /// What is wrong with it in itself.
    problem: Option<String>,
}

impl Overlays {
    pub(crate) fn new(client: Client, stale: Stale) -> Self {
        let api = Api::all_with(client, &resource("karpenter.sh", "v1alpha1", "NodeOverlay"));
        Self { known: Shared::default(), api, stale }
    }

    pub(crate) fn api(&self) -> Api<DynamicObject> {
        self.api.clone()
    }

    pub(crate) fn has_fate(&self, name: &Str, fate: Option<OverlayFate>) {
        let mut known = self.known.lock();
        match fate {
            Some(fate) => drop(known.fates.insert(name.clone(), fate)),
            None => drop(known.fates.remove(name)),
        }
        // With nobody left to write it, the process is ending.
        let _ = self.stale.send(Subject::Overlay(name.clone()));
    }

    /// The status that has to be written, if it is another than there is.
    pub(crate) fn wanted(&self, name: &Str, now: Time) -> Option<Writing> {
        let known = self.known.lock();
        let overlay = known.overlays.get(name)?;
        let (valid, reason, message) = match (&overlay.problem, known.fates.get(name)) {
            (Some(problem), _) => (false, "RuntimeValidation", problem.as_str()),
            (None, Some(OverlayFate::Conflict(message))) => (false, "Conflict", &**message),
            (None, Some(OverlayFate::Applied)) => (true, "ValidationSucceeded", ""),
            (None, None) => return None,
        };
        let mut conditions = overlay.conditions.clone();
        let generation = overlay.generation;
        condition::hold(&mut conditions, "ValidationSucceeded", valid, reason, message, generation, now);
        let (reason, message) = match valid {
            true => ("Ready", ""),
            false => ("UnhealthyDependents", "ValidationSucceeded=False"),
        };
        condition::hold(&mut conditions, "Ready", valid, reason, message, generation, now);
        (conditions != overlay.conditions).then(|| Writing {
            api: self.api.clone(),
            name: name.to_string(),
            version: overlay.version.clone(),
            status: json!({"conditions": conditions}),
        })
    }
}

impl Reader<DynamicObject> for Overlays {
    fn saw(&self, object: &DynamicObject) -> Told {
        let name = Str::from(object.name_any());
        let (problem, told) = match custom(object) {
            Ok(Object::NodeOverlay(facts)) => {
                (None, Observation::NodeOverlay(facts.name.clone(), facts.overlay))
            }
            Ok(_) => return Ok(Vec::new()),
            Err(error) => (Some(error.to_string()), Observation::NoNodeOverlay(name.clone())),
        };
        let overlay = Overlay {
            version: object.resource_version(),
            generation: object.metadata.generation,
            conditions: conditions(object),
            problem,
        };
        self.known.lock().overlays.insert(name.clone(), overlay);
        let _ = self.stale.send(Subject::Overlay(name));
        Ok(vec![told])
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let name = Str::from(key.name.as_str());
        self.known.lock().overlays.remove(&name);
        vec![Observation::NoNodeOverlay(name)]
    }
}
