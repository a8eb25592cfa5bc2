//! Quantities, times, names and label maps of Kubernetes objects in the engine's terms.
//!
//! **Invariant:** what is asked is rounded up and what is offered is rounded down, and a quantity that is none is an error
//! that names its field.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time as WrittenTime};
use purser_engine::model::{Labels, PodKey, QuantityError, Resources, Rounding, Time};

use crate::error::{At, FieldError};
use crate::names;

/// Sets one resource from its quantity.
pub(crate) fn set(
    at: &At<'_>,
    resources: &mut Resources,
    name: &str,
    amount: &Written,
    rounding: Rounding,
) -> Result<(), FieldError> {
    resources.set_quantity(name, &amount.0, rounding).map_err(|error| unfit(at, &error))
}

/// What the engine says of a quantity, put on the field that is wrong.
pub(crate) fn unfit(at: &At<'_>, error: &QuantityError) -> FieldError {
    match error {
        QuantityError::Malformed(text) => at.error(
            format!("{text:?} is not a Kubernetes quantity"),
            "write a number with an optional suffix, such as 500m, 2, 1.5Gi or 100M",
        ),
        QuantityError::Negative(text) => at.error(format!("{text:?} is negative"), "write zero or more"),
        QuantityError::TooLarge(text) => at.error(
            format!("{text:?} is too large to count"),
            "write at most 9223372036854775807 of the unit",
        ),
    }
}

/// A list of resources.
pub(crate) fn resources(
    at: &At<'_>,
    list: Option<&BTreeMap<String, Written>>,
    rounding: Rounding,
) -> Result<Resources, FieldError> {
    let mut resources = Resources::default();
    for (name, amount) in list.into_iter().flatten() {
        set(&at.key(name), &mut resources, name, amount, rounding)?;
    }
    Ok(resources)
}

/// A moment; the epoch if there is none, as for an object that was never created.
pub(crate) fn time(time: Option<&WrittenTime>) -> Time {
    Time(time.map_or(0, |time| time.0.as_microsecond()))
}

/// Labels or a node selector.
pub(crate) fn labels(map: Option<&BTreeMap<String, String>>) -> Labels {
    map.into_iter().flatten().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

/// The name of an object, which it must have.
pub(crate) fn object_name(metadata: &ObjectMeta) -> Result<&str, FieldError> {
    let at = At::ROOT.field("metadata");
    let at = at.field("name");
    match metadata.name.as_deref() {
        Some(name) if !name.is_empty() => names::object(&at, name).map(|()| name),
        _ => Err(at.error("is missing", "give the object a name")),
    }
}

/// The namespace of an object that has one: `default` if none is written, as kubectl has it.
pub(crate) fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
}

/// The namespace and name of an object, which it must have.
pub(crate) fn object_key(metadata: &ObjectMeta) -> Result<PodKey, FieldError> {
    Ok(PodKey::new(namespace(metadata), object_name(metadata)?))
}

/// An annotation.
pub(crate) fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}
