//! Device selectors, evaluated with another's implementation of CEL.
//!
//! Invariant: what cannot be evaluated is an error, never an answer.

use std::collections::HashMap;
use std::sync::Arc;

use cel::extractors::This;
use cel::objects::Opaque;
use cel::{Context, Env, ExecutionError, Value as Cel, extensions};
use serde_json::Value;

use crate::devices::quantity as quantity_of;
use crate::quantity::Quantity;

/// What compares by more than its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Exact {
    Quantity(Quantity),
    Version(Vec<u64>),
}

impl Opaque for Exact {
    fn runtime_type_name(&self) -> &str {
        "exact"
    }
}

fn version(text: &str) -> Exact {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    Exact::Version(core.split('.').filter_map(|part| part.parse().ok()).collect())
}

fn opaque(exact: Exact) -> Cel {
    Cel::Opaque(Arc::new(exact))
}

fn order(this: &Cel, other: &Cel) -> Result<i64, ExecutionError> {
    let exact = |value: &Cel| match value {
        Cel::Opaque(value) => value.downcast_ref::<Exact>().cloned(),
        _ => None,
    };
    match (exact(this), exact(other)) {
        (Some(this), Some(other)) => Ok(this.cmp(&other) as i64),
        _ => Err(ExecutionError::function_error("compareTo", "not two quantities or versions")),
    }
}

/// Whether an expression takes a device of a driver.
pub(crate) fn takes(expression: &str, driver: &str, device: &Value) -> Result<bool, String> {
    let add = |error: cel::DeclarationError| error.to_string();
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).map_err(add)?;
    let program = env.compile(expression).map_err(|error| error.to_string())?;
    let mut context = Context::with_env(Arc::new(env));
    context
        .add_function("quantity", |text: Arc<String>| {
            opaque(Exact::Quantity(quantity_of(&Value::from(text.as_str()))))
        })
        .map_err(add)?;
    context.add_function("semver", |text: Arc<String>| opaque(version(&text))).map_err(add)?;
    context
        .add_function("compareTo", |This(this): This<Cel>, other: Cel| order(&this, &other))
        .map_err(add)?;
    context
        .add_function("isGreaterThan", |This(this): This<Cel>, other: Cel| {
            order(&this, &other).map(|order| order > 0)
        })
        .map_err(add)?;
    context
        .add_function("isLessThan", |This(this): This<Cel>, other: Cel| {
            order(&this, &other).map(|order| order < 0)
        })
        .map_err(add)?;
    // A domain of which there is nothing is as good as an empty one.
    let quoted: Vec<&str> = expression.split(['\'', '"']).skip(1).step_by(2).collect();
    let grouped = |field: &str, convert: &dyn Fn(&Value) -> Cel| {
        let mut domains: HashMap<String, HashMap<String, Cel>> =
            quoted.iter().map(|domain| ((*domain).to_owned(), HashMap::new())).collect();
        for (name, value) in device[field].as_object().into_iter().flatten() {
            let (domain, own) = name.split_once('/').unwrap_or((driver, name));
            domains.entry(domain.to_owned()).or_default().insert(own.to_owned(), convert(value));
        }
        Cel::from(domains)
    };
    let attribute = |value: &Value| match (&value["string"], &value["int"], &value["bool"], &value["version"])
    {
        (Value::String(text), ..) => Cel::from(text.as_str()),
        (_, Value::Number(number), ..) => Cel::Int(number.as_i64().unwrap_or_default()),
        (_, _, Value::Bool(is), _) => Cel::Bool(*is),
        (_, _, _, Value::String(text)) => opaque(version(text)),
        _ => Cel::Null,
    };
    let capacity = |value: &Value| opaque(Exact::Quantity(quantity_of(&value["value"])));
    let fields = HashMap::from([
        ("driver".to_owned(), Cel::from(driver)),
        ("attributes".to_owned(), grouped("attributes", &attribute)),
        ("capacity".to_owned(), grouped("capacity", &capacity)),
        ("allowMultipleAllocations".to_owned(), Cel::Bool(device["allowMultipleAllocations"] == true)),
    ]);
    context.add_variable_from_value("device", fields);
    match program.execute(&context) {
        Ok(Cel::Bool(takes)) => Ok(takes),
        Ok(other) => Err(format!("{expression} says {other:?}")),
        Err(error) => Err(format!("{expression}: {error}")),
    }
}
