//! Scenario and result as they are on disk: the question and the answer to judge.
//!
//! Invariant: reading loses nothing that a rule needs, and fails loudly on what it cannot read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::buffers;
use crate::objects::{Expression, NodePool, Objects, SpreadConstraint, Taint};
use crate::overlays;
use crate::quantity::{Resources, add_to, amount};
use crate::sets::{CAPACITY_TYPE, Dialect};

/// Why a scenario or a result could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file is missing or unreadable.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// JSON that is not what the format says.
    #[error("cannot understand the {what}: {source}")]
    Format {
        /// Which document.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A catalogue is named that is not there.
    #[error("there is no catalogue `{0}`: put it into `catalogues/` beside the scenario or one folder up")]
    Catalogue(String),
}

/// A scheduling problem.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(crate) now: String,
    pub(crate) settings: Settings,
    pub(crate) instance_types: Vec<InstanceType>,
    pub(crate) instance_types_by_pool: BTreeMap<String, Vec<InstanceType>>,
    pub(crate) broken_pools: BTreeSet<String>,
    pub(crate) marked_for_deletion: BTreeSet<String>,
    pub(crate) objects: Objects,
}

/// An answer to a scheduling problem.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcome {
    pub(crate) new_node_claims: Vec<PlannedClaim>,
    pub(crate) existing_nodes: Vec<UsedNode>,
    pub(crate) pod_errors: BTreeMap<String, Value>,
    buffer_errors: BTreeMap<String, Value>,
    pub(crate) ignored_pods: Vec<String>,
    pub(crate) total_price_per_hour: Option<f64>,
    pub(crate) order: Option<Vec<String>>,
    pub(crate) device_allocations: Vec<Allocation>,
}

/// The devices that a claim gets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Allocation {
    pub(crate) pod: String,
    pub(crate) claim: String,
    pub(crate) resource_claim: Option<String>,
    pub(crate) node: Option<String>,
    pub(crate) new_node_claim: Option<usize>,
    pub(crate) instance_types: Vec<String>,
    pub(crate) devices: Vec<GivenDevice>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GivenDevice {
    pub(crate) request: String,
    pub(crate) driver: String,
    pub(crate) pool: String,
    pub(crate) device: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PlannedClaim {
    pub(crate) node_pool: String,
    pub(crate) requirements: Vec<Expression>,
    pub(crate) instance_types: Vec<String>,
    pub(crate) resources: Resources,
    pub(crate) taints: Vec<Taint>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) pods: Vec<String>,
    buffer_pods: Vec<String>,
    pub(crate) cheapest_instance_type: Option<String>,
    pub(crate) cheapest_price: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UsedNode {
    pub(crate) node: String,
    pub(crate) pods: Vec<String>,
    buffer_pods: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    pub(crate) min_values_policy: String,
    #[serde(rename = "ignoreDRARequests")]
    pub(crate) ignore_dra_requests: Option<bool>,
    pub(crate) max_instance_types: Option<usize>,
    pub(crate) expendable_pods_priority_cutoff: Option<i64>,
    pub(crate) feature_gates: BTreeMap<String, Value>,
    pub(crate) default_topology_spread_constraints: Vec<SpreadConstraint>,
    pub(crate) well_known_labels: BTreeSet<String>,
    pub(crate) normalized_labels: BTreeMap<String, String>,
    #[serde(rename = "reservationIDLabel")]
    pub(crate) reservation_id_label: String,
    pub(crate) unsupported_provisioners: BTreeSet<String>,
    pub(crate) unsupported_topology_keys: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct InstanceType {
    pub(crate) name: String,
    pub(crate) capacity: Resources,
    pub(crate) overhead: Overhead,
    pub(crate) requirements: Vec<Expression>,
    pub(crate) offerings: Vec<Offering>,
    pub(crate) resource_slices: Vec<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Overhead {
    kube_reserved: Resources,
    system_reserved: Resources,
    eviction_threshold: Resources,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Offering {
    pub(crate) zone: String,
    pub(crate) capacity_type: String,
    pub(crate) requirements: Vec<Expression>,
    pub(crate) price: f64,
    pub(crate) available: bool,
    pub(crate) reservation_capacity: Option<usize>,
    pub(crate) capacity_override: Resources,
    pub(crate) overhead_override: Overhead,
}

impl Offering {
    fn is_reserved(&self) -> bool {
        let says =
            |one: &Expression| one.key == CAPACITY_TYPE && one.values.iter().any(|value| value == "reserved");
        self.capacity_type == "reserved" || self.requirements.iter().any(says)
    }
}

impl InstanceType {
    /// What pods can have of an instance bought through this offering.
    pub(crate) fn allocatable(&self, offering: &Offering) -> Resources {
        let mut capacity = self.capacity.clone();
        capacity.extend(offering.capacity_override.clone());
        let with = |base: &Resources, over: &Resources| {
            let mut merged = base.clone();
            merged.extend(over.clone());
            merged
        };
        let over = &offering.overhead_override;
        let mut overhead = with(&self.overhead.kube_reserved, &over.kube_reserved);
        add_to(&mut overhead, &with(&self.overhead.system_reserved, &over.system_reserved));
        add_to(&mut overhead, &with(&self.overhead.eviction_threshold, &over.eviction_threshold));
        let mut left = Resources::new();
        for (name, &quantity) in &capacity {
            left.insert(name.clone(), quantity - amount(&overhead, name));
        }
        // Huge pages are cut out of ordinary memory.
        let huge = capacity.iter().filter(|(name, _)| name.starts_with("hugepages-")).map(|(_, &q)| q).sum();
        if let Some(memory) = left.get_mut("memory") {
            *memory = *memory - huge;
        }
        left
    }
}

impl Scenario {
    /// Reads a scenario; `catalogue` finds the lists of instance types that it only names.
    pub fn from_value(
        value: Value,
        catalogue: &dyn Fn(&str) -> Result<Value, ReadError>,
    ) -> Result<Self, ReadError> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Raw {
            now: String,
            settings: Settings,
            instance_types: Vec<InstanceType>,
            instance_types_ref: String,
            instance_types_by_node_pool: BTreeMap<String, Vec<InstanceType>>,
            instance_types_by_node_pool_ref: BTreeMap<String, String>,
            instance_type_errors: BTreeMap<String, Value>,
            objects: Vec<Value>,
            state: State,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct State {
            nodes: Vec<StateNode>,
        }
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct StateNode {
            #[serde(rename = "providerID")]
            provider_id: String,
            marked_for_deletion: bool,
        }
        let load = |name: &str| -> Result<Vec<InstanceType>, ReadError> {
            let types = without_nulls(catalogue(name)?);
            serde_json::from_value(types)
                .map_err(|source| ReadError::Format { what: format!("catalogue {name}"), source })
        };
        let format = |source| ReadError::Format { what: "scenario".to_owned(), source };
        let raw: Raw = serde_json::from_value(without_nulls(value)).map_err(format)?;
        let mut instance_types = raw.instance_types;
        if !raw.instance_types_ref.is_empty() {
            instance_types = load(&raw.instance_types_ref)?;
        }
        let mut instance_types_by_pool = raw.instance_types_by_node_pool;
        for (pool, name) in raw.instance_types_by_node_pool_ref {
            instance_types_by_pool.insert(pool, load(&name)?);
        }
        let mut manifests = raw.objects;
        if overlays::is_open(&raw.settings.feature_gates, "CapacityBuffer") {
            let pods = buffers::virtual_pods(&manifests);
            manifests.extend(pods);
        }
        let objects = Objects::read(manifests).map_err(format)?;
        if overlays::is_open(&raw.settings.feature_gates, "NodeOverlay") && !objects.overlays.is_empty() {
            let dialect = Dialect::new(&raw.settings.normalized_labels, &raw.settings.well_known_labels);
            let list = |pool: &NodePool| {
                instance_types_by_pool.get(&pool.metadata.name).unwrap_or(&instance_types).clone()
            };
            // Where there are no types to be had, no overlay counts.
            let failed = |pool: &&NodePool| !raw.instance_type_errors.contains_key(&pool.metadata.name);
            let pools: Vec<NodePool> = objects.node_pools.iter().filter(failed).cloned().collect();
            let mut lists: Vec<Vec<InstanceType>> = pools.iter().map(list).collect();
            overlays::apply(&objects.overlays, &pools, &mut lists, &dialect);
            for (pool, list) in pools.into_iter().zip(lists) {
                instance_types_by_pool.insert(pool.metadata.name, list);
            }
        }
        if raw.settings.feature_gates.get("ReservedCapacity") == Some(&Value::Bool(false)) {
            let lists = instance_types_by_pool.values_mut().chain(std::iter::once(&mut instance_types));
            for offering in lists.flatten().flat_map(|kind| &mut kind.offerings) {
                offering.available &= !offering.is_reserved();
            }
        }
        let marked = raw.state.nodes.into_iter().filter(|node| node.marked_for_deletion);
        Ok(Self {
            now: raw.now,
            settings: raw.settings,
            instance_types,
            instance_types_by_pool,
            broken_pools: raw.instance_type_errors.into_keys().collect(),
            marked_for_deletion: marked.map(|node| node.provider_id).collect(),
            objects,
        })
    }

    /// Reads a scenario from a file, with its catalogues from `catalogues/` beside it or one folder up.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        Self::from_value(read_json(path)?, &catalogues_near(path))
    }
}

impl Outcome {
    /// Reads a result.
    pub fn from_value(value: Value) -> Result<Self, ReadError> {
        let mut read: Self = serde_json::from_value(without_nulls(value))
            .map_err(|source| ReadError::Format { what: "result".to_owned(), source })?;
        // To the rules virtual pods are pods like others.
        for claim in &mut read.new_node_claims {
            claim.pods.append(&mut claim.buffer_pods);
        }
        for node in &mut read.existing_nodes {
            node.pods.append(&mut node.buffer_pods);
        }
        read.pod_errors.append(&mut read.buffer_errors);
        Ok(read)
    }

    /// The pods that the result leaves pending, as `namespace/name`.
    pub fn pending(&self) -> impl Iterator<Item = &str> {
        self.pod_errors.keys().map(String::as_str)
    }
}

/// Finds catalogues by name for a scenario in this file.
pub fn catalogues_near(path: &Path) -> impl Fn(&str) -> Result<Value, ReadError> {
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    move |name| {
        let file = Path::new("catalogues").join(format!("{name}.json"));
        let places = [folder.join(&file), folder.join("..").join(&file)];
        let found = places.iter().find(|place| place.exists());
        read_json(found.ok_or_else(|| ReadError::Catalogue(name.to_owned()))?)
    }
}

fn read_json(path: &Path) -> Result<Value, ReadError> {
    let text =
        fs::read_to_string(path).map_err(|source| ReadError::File { path: path.to_owned(), source })?;
    serde_json::from_str(&text)
        .map_err(|source| ReadError::Format { what: path.display().to_string(), source })
}

/// In Kubernetes' JSON a null is as good as a field left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
