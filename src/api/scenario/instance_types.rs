//! Instance types as a scenario writes them: what the machine has, what is kept of it, and every offering, those without capacity too.
//!
//! **Invariant:** prices are exact: billionths of a dollar an hour, since catalogues have prices that millionths would make equal.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use purser_engine::model::{
    CapacityType, InstanceType, PoolName, Requirement, Requirements, Resources, Rounding, Str, TypeName,
    Ways, Zone, label,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::lenient::{Reading, decode_leniently};
use super::written::{Fields, entries, items, value};
use super::{Catalogues, Scenario, list, text};
use crate::crd;
use crate::devices::SliceTemplate;
use crate::error::{ApiError, At, FieldError};
use crate::quantity::resources;
use crate::requirement::requirements;

/// An instance type of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioType {
    /// The name.
    pub name: TypeName,
    /// The labels that nodes of this type have, those of its offerings as written.
    pub requirements: Requirements,
    /// What the machine has.
    pub capacity: Resources,
    /// What is kept of it.
    pub overhead: Overhead,
    /// How it can be bought, in the order written.
    pub offerings: Vec<ScenarioOffering>,
    /// The devices of its nodes.
    pub slices: Vec<SliceTemplate>,
}

/// What is kept of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overhead {
    /// For kubelet and the container runtime.
    pub kube_reserved: Resources,
    /// For the system.
    pub system_reserved: Resources,
    /// Below this kubelet evicts.
    pub eviction_threshold: Resources,
}

impl Overhead {
    /// All of it.
    pub fn total(&self) -> Resources {
        self.kube_reserved.plus(&self.system_reserved).plus(&self.eviction_threshold)
    }
}

/// One way to buy an instance type.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioOffering {
    /// The labels that nodes bought this way have; shared by all that are bought alike.
    pub requirements: Arc<Requirements>,
    /// In billionths of a dollar per hour.
    pub price_nano_usd: i64,
    /// Whether there is capacity.
    pub available: bool,
    /// How many instances a reservation still holds.
    pub reservation_capacity: Option<u32>,
    /// What is other than the type says, if anything is.
    pub overridden: Option<Box<Override>>,
}

/// What a node has that is bought in one way, other than its type says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Override {
    /// What the machine has.
    pub capacity: Resources,
    /// What is kept of it.
    pub overhead: Overhead,
}

impl ScenarioOffering {
    /// The one value that a label has.
    pub fn label(&self, key: &str) -> Option<&Str> {
        self.requirements.get(key)?.sole()
    }

    /// The zone, if it is one.
    pub fn zone(&self) -> Option<Zone> {
        self.label(label::ZONE).map(|zone| Zone::new(zone.clone()))
    }

    /// How it is bought, if that is one way.
    pub fn capacity_type(&self) -> Option<CapacityType> {
        self.label(label::CAPACITY_TYPE).and_then(|text| CapacityType::parse(text))
    }
}

impl ScenarioType {
    /// The types of a catalogue: all their offerings have capacity.
    pub fn all(catalogue: &[InstanceType]) -> Vec<Self> {
        let mut ways = Ways::default();
        let known = catalogue.iter().map(|known| {
            let offerings = known.offerings.iter().map(|offering| ScenarioOffering {
                requirements: ways.requirements(offering),
                price_nano_usd: offering.price.0.saturating_mul(1_000),
                available: true,
                reservation_capacity: None,
                overridden: None,
            });
            Self {
                name: known.name.clone(),
                requirements: known.requirements.clone(),
                capacity: known.capacity.clone(),
                overhead: Overhead { kube_reserved: known.overhead.clone(), ..Overhead::default() },
                offerings: offerings.collect(),
                slices: Vec::new(),
            }
        });
        known.collect()
    }
}

type Amounts = BTreeMap<String, Quantity>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenType {
    name: String,
    #[serde(default)]
    capacity: Amounts,
    #[serde(default)]
    overhead: WrittenOverhead,
    #[serde(default)]
    requirements: Vec<crd::Requirement>,
    #[serde(default)]
    offerings: Vec<WrittenOffering>,
    #[serde(default)]
    resource_slices: Vec<SliceTemplate>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenOverhead {
    kube_reserved: Amounts,
    system_reserved: Amounts,
    eviction_threshold: Amounts,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenOffering {
    zone: Option<String>,
    capacity_type: Option<String>,
    #[serde(default)]
    requirements: Vec<crd::Requirement>,
    price: f64,
    available: Option<bool>,
    reservation_capacity: Option<u32>,
    #[serde(default)]
    capacity_override: Amounts,
    #[serde(default)]
    overhead_override: WrittenOverhead,
}

/// Reads all lists of instance types of a scenario.
pub(super) fn read(
    reading: &mut Reading<'_>,
    scenario: &mut Scenario,
    fields: &Fields<'_>,
    catalogues: &Catalogues<'_>,
) -> Result<(), ApiError> {
    let mut named: BTreeMap<String, Arc<Vec<ScenarioType>>> = BTreeMap::new();
    let mut named_list = |reading: &mut Reading<'_>, at: &At<'_>, name: &RawValue| {
        let name = reading.object("scenario", |_| Ok(text(at, &value(at, name)?)?.to_owned()))?;
        if let Some(known) = named.get(&name) {
            return Ok(Arc::clone(known));
        }
        let catalogue = catalogues(&name)?;
        let written = reading.object("scenario", |_| list(at, &catalogue))?;
        let types = Arc::new(types(reading, at, written.iter().map(Ok))?);
        named.insert(name, Arc::clone(&types));
        Ok::<_, ApiError>(types)
    };
    if let Some(text) = fields.get("instanceTypes") {
        scenario.types = Arc::new(types_in(reading, &At::ROOT.field("instanceTypes"), text)?);
    }
    if let Some(name) = fields.get("instanceTypesRef") {
        scenario.types = named_list(reading, &At::ROOT.field("instanceTypesRef"), name)?;
    }
    if let Some(by_pool) = fields.get("instanceTypesByNodePool") {
        let at = At::ROOT.field("instanceTypesByNodePool");
        for (pool, text) in reading.object("scenario", |_| entries(&at, by_pool))? {
            let types = Arc::new(types_in(reading, &at.field(&pool), text)?);
            scenario.types_by_pool.insert(PoolName::from(pool.as_str()), types);
        }
    }
    if let Some(by_pool) = fields.get("instanceTypesByNodePoolRef") {
        let at = At::ROOT.field("instanceTypesByNodePoolRef");
        for (pool, name) in reading.object("scenario", |_| entries(&at, by_pool))? {
            let types = named_list(reading, &at.field(&pool), name)?;
            scenario.types_by_pool.insert(PoolName::from(pool.as_str()), types);
        }
    }
    Ok(())
}

fn types_in(reading: &mut Reading<'_>, at: &At<'_>, text: &RawValue) -> Result<Vec<ScenarioType>, ApiError> {
    let written = reading.object("scenario", |_| items(at, text))?;
    types(reading, at, written.into_iter().map(|text| value(at, text)))
}

fn types(
    reading: &mut Reading<'_>,
    at: &At<'_>,
    written: impl ExactSizeIterator<Item = Result<impl Borrow<Value>, FieldError>>,
) -> Result<Vec<ScenarioType>, ApiError> {
    let mut types = Vec::with_capacity(written.len());
    for (index, written) in written.enumerate() {
        let written = reading.object("scenario", |_| written)?;
        let written = written.borrow();
        let name = match written.get("name").and_then(Value::as_str) {
            Some(name) => format!("instance type {name}"),
            None => format!("instance type {}", at.index(index)),
        };
        types.push(reading.object(name, |reading| instance_type(reading, written))?);
    }
    Ok(types)
}

fn instance_type(reading: &mut Reading<'_>, written: &Value) -> Result<ScenarioType, FieldError> {
    let written: WrittenType = decode_leniently(reading, written)?;
    if written.name.is_empty() {
        return Err(At::ROOT.field("name").error("is empty", "give the instance type a name"));
    }
    let root = At::ROOT;
    let at = root.field("offerings");
    let mut offerings = Vec::with_capacity(written.offerings.len());
    for (index, one) in written.offerings.iter().enumerate() {
        offerings.push(offering(reading, &at.index(index), one)?);
    }
    Ok(ScenarioType {
        name: TypeName::from(written.name.as_str()),
        requirements: requirements(&root.field("requirements"), &written.requirements)?,
        capacity: resources(&root.field("capacity"), Some(&written.capacity), Rounding::Down)?,
        overhead: overhead(&root.field("overhead"), &written.overhead)?,
        offerings,
        slices: written.resource_slices,
    })
}

fn overhead(at: &At<'_>, written: &WrittenOverhead) -> Result<Overhead, FieldError> {
    let read = |field, amounts| resources(&at.field(field), Some(amounts), Rounding::Up);
    Ok(Overhead {
        kube_reserved: read("kubeReserved", &written.kube_reserved)?,
        system_reserved: read("systemReserved", &written.system_reserved)?,
        eviction_threshold: read("evictionThreshold", &written.eviction_threshold)?,
    })
}

fn offering(
    reading: &mut Reading<'_>,
    at: &At<'_>,
    written: &WrittenOffering,
) -> Result<ScenarioOffering, FieldError> {
    let mut all = requirements(&at.field("requirements"), &written.requirements)?;
    for (key, value) in [(label::ZONE, &written.zone), (label::CAPACITY_TYPE, &written.capacity_type)] {
        if let Some(value) = value {
            all.add(key, Requirement::one_of([Str::from(value.as_str())]));
        }
    }
    let nano = written.price * 1e9;
    if !(0.0..9e18).contains(&nano) {
        let problem = format!("{} is not a price", written.price);
        return Err(at.field("price").error(problem, "write dollars per hour, 0 or more"));
    }
    let capacity_at = at.field("capacityOverride");
    let own = Override {
        capacity: resources(&capacity_at, Some(&written.capacity_override), Rounding::Down)?,
        overhead: overhead(&at.field("overheadOverride"), &written.overhead_override)?,
    };
    Ok(ScenarioOffering {
        requirements: reading.requirements.shared(all),
        price_nano_usd: nano.round() as i64,
        available: written.available.unwrap_or(true),
        reservation_capacity: written.reservation_capacity,
        overridden: (own != Override::default()).then(|| Box::new(own)),
    })
}
