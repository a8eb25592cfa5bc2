//! The catalogue as JSON: the `instanceTypes` list of a scenario.
//!
//! **Invariant:** a number is read from its digits, and a field that is not understood is an error, never ignored. What
//! is offered is rounded down and what is kept is rounded up.

use std::collections::BTreeMap;

use purser_engine::model::{
    CapacityType, InstanceType, Offering, Operator, Requirement, Requirements, Resources, Rounding, Str,
    TypeName, Zone, label,
};
use serde_json::value::RawValue;

use self::value::{Document, Fields, Value};
use crate::error::CatalogueError;
use crate::price::{PriceProblem, parse_dollars};

mod value;

/// Reads a list of instance types, or an object whose one field `instanceTypes` is such a list, in the order of the
/// list.
///
/// The requirements of a type on zone and capacity type only say where it can be offered; they are checked against its
/// offerings and not kept. Offerings that are not available are left out. A name may occur twice, as it does in
/// scenarios; [`Catalogue::read`](crate::Catalogue::read) refuses that.
///
/// # Errors
/// If the text is not JSON, or a field is unknown, missing, malformed, impossible, or of a feature that is not
/// supported.
pub fn parse_instance_types(source_name: &str, text: &str) -> Result<Vec<InstanceType>, CatalogueError> {
    let document = Document { file: source_name, text };
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| document.malformed(&error))?;
    let root = Value::root(document, raw);
    let list = if raw.get().starts_with('{') {
        let mut fields = root.fields(&["instanceTypes"])?;
        fields.needed("instanceTypes")?
    } else {
        root
    };
    list.items()?.into_iter().enumerate().map(|(at, item)| read_type(item, at)).collect()
}

fn read_type(item: Value<'_>, at: usize) -> Result<InstanceType, CatalogueError> {
    let item = item.named(&format!("type number {}", at + 1));
    let mut fields =
        item.fields(&["name", "capacity", "overhead", "requirements", "offerings", "hasDynamicResources"])?;
    let name = fields.needed("name")?;
    let name_text = name.text()?;
    if name_text.is_empty() {
        return Err(name.error("the name is empty", "give the type a name, such as m7g.large"));
    }
    fields.rename(&format!("type {name_text}"));
    if let Some(value) = fields.take("hasDynamicResources") {
        return Err(value.unsupported("dynamic resources"));
    }
    let capacity = read_capacity(&fields.needed("capacity")?)?;
    let overhead = match fields.take("overhead") {
        Some(value) => read_overhead(&value, &capacity)?,
        None => Resources::default(),
    };
    let mut wanted = match fields.take("requirements") {
        Some(value) => read_requirements(&value, &name_text)?,
        None => Requirements::new(),
    };
    if wanted.get(label::INSTANCE_TYPE).is_none() {
        wanted.add(label::INSTANCE_TYPE, Requirement::one_of([Str::from(&*name_text)]));
    }
    let offerings = match fields.take("offerings") {
        Some(value) => read_offerings(&value, &wanted)?,
        None => Vec::new(),
    };
    let requirements = wanted
        .iter()
        .filter(|(key, _)| !matches!(&***key, label::ZONE | label::CAPACITY_TYPE))
        .map(|(key, requirement)| (key.clone(), requirement.clone()))
        .collect();
    Ok(InstanceType { name: TypeName::from(&*name_text), requirements, capacity, overhead, offerings })
}

fn read_capacity(value: &Value<'_>) -> Result<Resources, CatalogueError> {
    let capacity = read_resources(value, Rounding::Down)?;
    match ["cpu", "memory", "pods"].into_iter().find(|name| capacity.get(name) == 0) {
        Some(missing) => Err(value.at(missing).error(
            "a type without any of it can hold no pod",
            format!("give the capacity an amount of {missing}"),
        )),
        None => Ok(capacity),
    }
}

fn read_resources(value: &Value<'_>, rounding: Rounding) -> Result<Resources, CatalogueError> {
    let mut resources = Resources::default();
    for (name, amount) in value.entries()? {
        if name.is_empty() {
            return Err(amount.error("a resource without a name", "name it, or remove it"));
        }
        let text = amount.text_or_number()?;
        resources
            .set_quantity(&name, &text, rounding)
            .map_err(|error| amount.error(error.to_string(), "write a quantity such as 4, 500m or 16Gi"))?;
    }
    Ok(resources)
}

fn read_overhead(value: &Value<'_>, capacity: &Resources) -> Result<Resources, CatalogueError> {
    let mut fields = value.fields(&["kubeReserved", "systemReserved", "evictionThreshold"])?;
    let mut overhead = Resources::default();
    for part in ["kubeReserved", "systemReserved", "evictionThreshold"] {
        if let Some(part) = fields.take(part) {
            overhead.add(&read_resources(&part, Rounding::Up)?);
        }
    }
    match overhead.first_excess(capacity) {
        Some((name, kept, had)) => Err(value.error(
            format!("{kept} units of {name} are kept of a capacity of {had}"),
            "keep no more than there is, or correct the capacity",
        )),
        None => Ok(overhead),
    }
}

fn read_requirements(value: &Value<'_>, name: &str) -> Result<Requirements, CatalogueError> {
    let mut requirements = Requirements::new();
    for item in value.items()? {
        let (key, requirement) = read_requirement(&item)?;
        if label::normalized(&key) == label::INSTANCE_TYPE && !requirement.has(name) {
            return Err(item.error(
                format!("{key} does not allow the type's own name"),
                format!("write operator In with values [{name:?}], or remove the requirement"),
            ));
        }
        requirements.add(key, requirement);
    }
    Ok(requirements)
}

fn read_requirement(item: &Value<'_>) -> Result<(String, Requirement), CatalogueError> {
    let mut fields = item.fields(&["key", "operator", "values", "minValues"])?;
    let key = fields.needed("key")?;
    let key_text = key.text()?;
    if key_text.is_empty() {
        return Err(key.error("the key is empty", "name a label"));
    }
    let operator = read_operator(&fields.needed("operator")?)?;
    let mut values = Vec::new();
    if let Some(list) = fields.take("values") {
        for value in list.items()? {
            values.push(Str::from(value.text()?));
        }
    }
    let min_values = match fields.take("minValues") {
        Some(value) => Some(value.number()?),
        None => None,
    };
    let requirement = Requirement::new(operator, values, min_values).map_err(|error| {
        item.error(format!("{key_text}: {error}"), "give the operator the values that it takes")
    })?;
    Ok((key_text, requirement))
}

fn read_operator(value: &Value<'_>) -> Result<Operator, CatalogueError> {
    Ok(match &*value.text()? {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::Gt,
        "Lt" => Operator::Lt,
        "Gte" => Operator::Gte,
        "Lte" => Operator::Lte,
        other => {
            return Err(value.error(
                format!("there is no operator {other:?}"),
                "write In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte",
            ));
        }
    })
}

/// The available offerings, sorted.
fn read_offerings(value: &Value<'_>, wanted: &Requirements) -> Result<Vec<Offering>, CatalogueError> {
    let mut offerings: BTreeMap<(Zone, CapacityType), Offering> = BTreeMap::new();
    for item in value.items()? {
        let Some(offering) = read_offering(&item)? else { continue };
        if let Some(key) = wanted.first_conflict(&InstanceType::offering_requirements(&offering), |_| true) {
            return Err(item.error(
                format!("the requirements of the type do not allow this {key}"),
                "correct the offering, or the requirement of the type",
            ));
        }
        let place = (offering.zone.clone(), offering.capacity_type);
        if offerings.insert(place, offering).is_some() {
            return Err(item.error(
                "the type has another offering with this zone and capacity type",
                "keep one of the two",
            ));
        }
    }
    Ok(offerings.into_values().collect())
}

fn read_offering(item: &Value<'_>) -> Result<Option<Offering>, CatalogueError> {
    let mut fields = item.fields(&[
        "zone",
        "capacityType",
        "requirements",
        "price",
        "available",
        "reservationCapacity",
        "capacityOverride",
        "overheadOverride",
    ])?;
    for later in ["reservationCapacity", "capacityOverride", "overheadOverride"] {
        if let Some(value) = fields.take(later) {
            return Err(value.unsupported("reservations and overrides of capacity or overhead by offering"));
        }
    }
    let (zone, capacity_type) = read_place(item, &mut fields)?;
    let price = fields.needed("price")?;
    let price = parse_dollars(price.raw_text()).map_err(|problem| {
        price.error(
            match problem {
                PriceProblem::NotANumber => format!("{} is not a number", price.raw_text()),
                PriceProblem::Negative => "a price cannot be negative".to_owned(),
                PriceProblem::TooLarge => {
                    "the price is too large to be counted in millionths of a dollar".to_owned()
                }
            },
            "write dollars an hour as a JSON number, such as 0.096",
        )
    })?;
    let available = match fields.take("available") {
        Some(value) => value.truth()?,
        None => true,
    };
    Ok(available.then_some(Offering { zone, capacity_type, price }))
}

/// Zone and capacity type, from the two fields or from requirements.
fn read_place(item: &Value<'_>, fields: &mut Fields<'_>) -> Result<(Zone, CapacityType), CatalogueError> {
    let (zone, capacity_type) =
        match (fields.take("zone"), fields.take("capacityType"), fields.take("requirements")) {
            (Some(zone), Some(capacity_type), None) => {
                ((zone.text()?, zone), (capacity_type.text()?, capacity_type))
            }
            (None, None, Some(list)) => read_place_requirements(&list)?,
            _ => {
                return Err(item.error(
                    "an offering has either zone and capacityType, or requirements",
                    "write the first two, or the third",
                ));
            }
        };
    let (zone, of_zone) = zone;
    if zone.is_empty() {
        return Err(of_zone.error("the zone is empty", "name a zone, such as us-east-1a"));
    }
    let (text, of_capacity_type) = capacity_type;
    let capacity_type = CapacityType::parse(&text).ok_or_else(|| {
        of_capacity_type
            .error(format!("there is no capacity type {text:?}"), "write on-demand, spot or reserved")
    })?;
    Ok((Zone::from(&*zone), capacity_type))
}

type Located<'a> = (String, Value<'a>);

fn read_place_requirements<'a>(list: &Value<'a>) -> Result<(Located<'a>, Located<'a>), CatalogueError> {
    let (mut zone, mut capacity_type) = (None, None);
    for item in list.items()? {
        let (key, requirement) = read_requirement(&item)?;
        let slot = match label::normalized(&key) {
            label::ZONE => &mut zone,
            label::CAPACITY_TYPE => &mut capacity_type,
            _ => return Err(item.unsupported("labels of an offering beyond zone and capacity type")),
        };
        let mut values = requirement.values().iter();
        match (values.next(), values.next(), requirement.is_complement()) {
            (Some(value), None, false) if slot.is_none() => *slot = Some((value.to_string(), item)),
            _ => {
                return Err(
                    item.error(format!("{key} must be one value, once"), "write operator In with one value")
                );
            }
        }
    }
    zone.zip(capacity_type).ok_or_else(|| {
        list.error(
            "the offering does not say both its zone and its capacity type",
            format!("require one {} and one {}", label::ZONE, label::CAPACITY_TYPE),
        )
    })
}

#[cfg(test)]
mod tests;
