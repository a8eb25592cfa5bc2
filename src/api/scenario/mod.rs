//! Scheduling problems in one JSON document: a cluster, its instance types and settings, as `purser solve` takes them.
//!
//! Start at [`Written`] and [`read_scenario`] for the document, or [`of_manifests`] for ordinary manifests. What the engine has a type for comes out in
//! it; what it has none for yet keeps a form of its own here, so that nothing that was written is lost.
//!
//! **Invariant:** a field or kind that is not known is a warning that names the object and the field; a value that makes no sense is
//! an error that says which. Nothing here touches the file system: catalogues come through a function.

mod instance_types;
mod lenient;
mod nodes;
mod objects;
mod pods;
mod settings;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use purser_engine::model::{InstanceId, Labels, NodePool, PoolName, Str, Time};
use purser_engine::overlay::Overlay;
use serde::Deserialize;
use serde_json::Value;

pub use instance_types::{Overhead, Override, ScenarioOffering, ScenarioType};
pub use nodes::{ScenarioClaim, ScenarioNode};
pub use pods::{Ignored, ScenarioPod};
pub use settings::{FeatureGate, MinValuesPolicy, NO_SUCH_GATE, PreferencePolicy, ScenarioSettings};
pub use written::Written;

use crate::buffer::{CapacityBufferFacts, PodTemplates};
use crate::default_spread::PodSelector;
use crate::devices::DeviceObjects;
use crate::error::{ApiError, At, FieldError};
use crate::pod::Origin;
use crate::text::documents;
use crate::volume::{Attachment, CsiNode, Storage, VolumeClaimFacts};
use crate::workload::{DaemonSetFacts, DisruptionBudget, Workload};
use lenient::{Reading, decode_leniently};
use written::value;

/// A scheduling problem.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scenario {
    /// What it is called.
    pub name: Str,
    /// Where it comes from.
    pub source: Str,
    /// When the decision is taken.
    pub now: Time,
    /// The settings.
    pub settings: ScenarioSettings,
    /// Instance types for all pools that have no list of their own.
    pub types: Arc<Vec<ScenarioType>>,
    /// Instance types of single pools.
    pub types_by_pool: BTreeMap<PoolName, Arc<Vec<ScenarioType>>>,
    /// Pools whose instance types could not be had, and why: they launch nothing.
    pub type_errors: BTreeMap<PoolName, Str>,
    /// NodePools.
    pub pools: Vec<NodePool>,
    /// NodeClaims.
    pub claims: Vec<ScenarioClaim>,
    /// Nodes.
    pub nodes: Vec<ScenarioNode>,
    /// Pods, in the order written.
    pub pods: Vec<ScenarioPod>,
    /// DaemonSets.
    pub daemon_sets: Vec<DaemonSetFacts>,
    /// Whatever else makes pods.
    pub workloads: Vec<Workload>,
    /// Services and controllers, by whom they select.
    pub selectors: Vec<PodSelector>,
    /// PodDisruptionBudgets.
    pub budgets: Vec<DisruptionBudget>,
    /// Namespaces and their labels.
    pub namespaces: BTreeMap<Str, Labels>,
    /// PersistentVolumeClaims.
    pub volume_claims: Vec<VolumeClaimFacts>,
    /// PersistentVolumes and StorageClasses.
    pub storage: Storage,
    /// CSINodes.
    pub csi_nodes: Vec<CsiNode>,
    /// VolumeAttachments.
    pub attachments: Vec<Attachment>,
    /// CapacityBuffers.
    pub buffers: Vec<CapacityBufferFacts>,
    /// PodTemplates.
    pub templates: PodTemplates,
    /// NodeOverlays.
    pub overlays: Vec<Overlay>,
    /// Objects of dynamic resource allocation.
    pub devices: DeviceObjects,
    /// What was known of nodes beyond the objects.
    pub state: Vec<StateNode>,
}

/// What was known of a node beyond the objects.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct StateNode {
    /// The instance, as the cloud names it.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// Its Node.
    pub node: String,
    /// Its NodeClaim.
    pub node_claim: String,
    /// Whether it was about to be removed.
    pub marked_for_deletion: bool,
    /// Whether pods were expected there.
    pub nominated: bool,
    /// Pods that stand for a buffer of capacity, as written.
    pub buffer_pods: Vec<Value>,
    /// Pods that were known to be there, as written.
    pub pods: Vec<Value>,
}

impl StateNode {
    /// The instance behind it.
    pub fn instance(&self) -> Option<InstanceId> {
        crate::node::instance_id(&self.provider_id)
    }
}

/// Finds a catalogue by its name.
pub type Catalogues<'a> = dyn Fn(&str) -> Result<Arc<Value>, ApiError> + 'a;

/// Reads a scenario; `catalogues` finds the lists of instance types that it only names. The second part of what comes out are
/// warnings, one line each.
///
/// # Errors
/// The first value that makes no sense.
pub fn read_scenario(
    source: &str,
    written: &Written<'_>,
    catalogues: &Catalogues<'_>,
) -> Result<(Scenario, Vec<String>), ApiError> {
    let mut reading = Reading::new(source, Origin::Cluster);
    let scenario = reading.object("scenario", |reading| {
        let mut scenario = Scenario::default();
        for (field, text) in written.fields() {
            let at = At::ROOT.field(field);
            match field.as_str() {
                "name" => scenario.name = self::text(&at, &value(&at, text)?)?.into(),
                "source" => scenario.source = self::text(&at, &value(&at, text)?)?.into(),
                "now" => scenario.now = moment(&at, &value(&at, text)?)?,
                "settings" => {
                    (scenario.settings, scenario.storage.unsupported) =
                        settings::read(reading, &value(&at, text)?)?;
                }
                "instanceTypeErrors" => {
                    for (pool, why) in written::entries(&at, text)? {
                        let why = value(&at.field(&pool), why)?;
                        let why = why.as_str().map_or_else(|| why.to_string(), str::to_owned);
                        scenario.type_errors.insert(PoolName::from(pool.as_str()), why.into());
                    }
                }
                "state" => {
                    let state = value(&at, text)?;
                    for node in list(&at.field("nodes"), state.get("nodes").unwrap_or(&Value::Null))? {
                        scenario.state.push(decode_leniently(reading, node)?);
                    }
                }
                // Read below, or for `purser solve --disrupt` alone.
                "instanceTypes" | "instanceTypesRef" | "instanceTypesByNodePool" => {}
                "instanceTypesByNodePoolRef" | "disruption" => {}
                _ => reading.unknown_field(field),
            }
        }
        Ok(scenario)
    });
    let mut scenario = scenario?;
    instance_types::read(&mut reading, &mut scenario, written.fields(), catalogues)?;
    reading.priorities = written.priorities();
    objects::read(&mut reading, &mut scenario, written.objects().map(|object| (0, object)))?;
    if !written.fields().contains_key("now") {
        scenario.now = last_creation(&scenario);
    }
    Ok((scenario, reading.warnings))
}

/// Makes a scenario of manifests, of each of which the name and the text is given. A pod without a node is pending, whether a scheduler has
/// looked at it or not. There are no instance types in it yet.
///
/// # Errors
/// The first thing that is wrong.
pub fn of_manifests(texts: &[(Str, String)]) -> Result<(Scenario, Vec<String>), ApiError> {
    let mut scenario = Scenario::default();
    let mut warnings = Vec::new();
    let mut found = Vec::new();
    for (source, text) in texts {
        let read = documents(text).map_err(|(line, field)| ApiError {
            source_name: source.to_string(),
            line,
            object: String::new(),
            field: Box::new(field),
        })?;
        found.push((source, read));
    }
    // Priorities are known before the pods that have them, whichever file they are in.
    let priorities = objects::priorities(
        found.iter().flat_map(|(_, documents)| documents.iter().map(|document| &document.value)),
    );
    let mut seen = BTreeSet::new();
    for (source, documents) in &found {
        let mut reading = Reading::new(source, Origin::Manifest);
        reading.priorities.clone_from(&priorities);
        reading.seen = seen;
        let objects = documents.iter().map(|document| (document.line, Ok(&document.value)));
        objects::read(&mut reading, &mut scenario, objects)?;
        warnings.extend(reading.warnings);
        seen = reading.seen;
    }
    scenario.now = last_creation(&scenario);
    Ok((scenario, warnings))
}

/// When the last object was created: the least that `now` can be.
fn last_creation(scenario: &Scenario) -> Time {
    let pods = scenario.pods.iter().map(|pod| pod.facts.created);
    let nodes = scenario.nodes.iter().map(|node| node.facts.created);
    let claims = scenario.claims.iter().map(|claim| claim.facts.created);
    pods.chain(nodes).chain(claims).max().unwrap_or_default()
}

fn text<'a>(at: &At<'_>, value: &'a Value) -> Result<&'a str, FieldError> {
    value.as_str().ok_or_else(|| at.error("is not a text", "put it in quotes"))
}

fn list<'a>(at: &At<'_>, value: &'a Value) -> Result<&'a [Value], FieldError> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        _ => Err(at.error("is not a list", "write a list")),
    }
}

/// A moment in RFC 3339.
fn moment(at: &At<'_>, value: &Value) -> Result<Time, FieldError> {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as Written;
    let written = text(at, value)?;
    let read: Result<Written, _> = serde_json::from_value(Value::String(written.to_owned()));
    let remedy = "write RFC 3339, such as 2026-07-20T06:00:00Z";
    let read = read.map_err(|_| at.error(format!("{written:?} is not a moment"), remedy))?;
    Ok(crate::quantity::time(Some(&read)))
}

#[cfg(test)]
mod tests;
