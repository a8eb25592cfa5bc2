//! The CustomResourceDefinitions of the kinds of [`crate::crd`], made from their types.
//!
//! The derived JSON schemas become what Kubernetes calls structural schemas; what a derived schema cannot say (rules in
//! CEL, list types) stands in attributes beside the fields.
//!
//! **Invariant:** the definitions accept what Karpenter's accept, fill in what they fill in and refuse what they refuse. Where
//! its providers install different copies, the rules of all of them hold.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::object::{Column, ColumnKind, Kind, Scale, Scope};
use super::{
    CapacityBufferSpec, Ec2NodeClassSpec, KwokNodeClassSpec, NodeClaimSpec, NodeOverlaySpec, NodePoolSpec,
};

/// A CustomResourceDefinition.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomResourceDefinition {
    /// Its name, such as `nodepools.karpenter.sh`.
    pub name: String,
    /// The plural name of the resource, such as `nodepools`.
    pub plural: &'static str,
    /// The object, as the API server takes it.
    pub object: Value,
}

impl CustomResourceDefinition {
    /// As a YAML document, its beginning marked.
    pub fn yaml(&self) -> String {
        // A JSON value that holds no map with other keys than text, and no float, can always be written.
        format!("---\n{}", serde_saphyr::to_string(&self.object).unwrap_or_default())
    }
}

/// The CustomResourceDefinitions of all kinds.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<NodePoolSpec>(),
        definition::<NodeClaimSpec>(),
        definition::<NodeOverlaySpec>(),
        definition::<CapacityBufferSpec>(),
        definition::<Ec2NodeClassSpec>(),
        definition::<KwokNodeClassSpec>(),
    ]
}

fn definition<S>() -> CustomResourceDefinition
where
    S: Kind + JsonSchema,
    S::Status: JsonSchema,
{
    let about = S::DEFINITION;
    let name = format!("{}.{}", about.plural, about.group);
    let mut names = json!({
        "kind": about.kind,
        "listKind": format!("{}List", about.kind),
        "plural": about.plural,
        "singular": about.kind.to_lowercase(),
        "categories": about.categories,
    });
    if !about.short_names.is_empty() {
        names["shortNames"] = json!(about.short_names);
    }
    let mut version = json!({
        "name": about.version,
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": object_schema::<S>()},
        "subresources": {"status": {}},
    });
    if !about.columns.is_empty() {
        version["additionalPrinterColumns"] = about.columns.iter().map(column).collect();
    }
    if let Some(Scale { spec, status }) = about.scale {
        version["subresources"]["scale"] = json!({"specReplicasPath": spec, "statusReplicasPath": status});
    }
    let object = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {"group": about.group, "names": names, "scope": S::Scope::NAME, "versions": [version]},
    });
    CustomResourceDefinition { name, plural: about.plural, object }
}

fn column(column: &Column) -> Value {
    let kind = match column.kind {
        ColumnKind::Text => "string",
        ColumnKind::Integer => "integer",
        ColumnKind::Age => "date",
    };
    let mut written = json!({"name": column.name, "type": kind, "jsonPath": column.path});
    if column.wide {
        written["priority"] = json!(1);
    }
    written
}

fn object_schema<S>() -> Value
where
    S: Kind + JsonSchema,
    S::Status: JsonSchema,
{
    let mut spec = schema_of::<S>();
    spec["description"] = json!("What is wanted.");
    let mut status = schema_of::<S::Status>();
    status["description"] = json!("What is.");
    let mut schema = json!({
        "type": "object",
        "description": format!("{} of {}.", S::DEFINITION.kind, S::DEFINITION.api_version),
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version of the API."},
            "kind": {"type": "string", "description": "The kind of the object."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    });
    if S::unwritten().is_none() {
        schema["required"] = json!(["spec"]);
    }
    schema
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        // A definition has one schema, all in one piece.
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    make_structural(&mut schema);
    schema
}

/// Makes a derived schema structural.
///
/// Fields that are null count as absent to the API server, so there is no null; unknown fields are dropped, so none is
/// forbidden.
fn make_structural(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    schema.remove("title");
    without_null(schema);
    one_enum(schema);
    if schema.get("additionalProperties") == Some(&json!(false)) {
        schema.remove("additionalProperties");
    }
    // What reading fills in where nothing is written; the defaults of the API server are never empty.
    if schema.get("default").is_some_and(is_empty) {
        schema.remove("default");
    }
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace('\n', " ").replace("  ", " ");
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(make_structural);
    }
    for below in ["items", "additionalProperties"] {
        schema.get_mut(below).map(make_structural);
    }
}

/// A value that may be absent is derived as one that may be null, an enum as an alternative to null.
fn without_null(schema: &mut Map<String, Value>) {
    schema.remove("nullable");
    let Some(Value::Array(alternatives)) = schema.get_mut("anyOf") else { return };
    alternatives.retain(|one| one["nullable"] != json!(true));
    if let [Value::Object(only)] = &mut alternatives[..] {
        let only = std::mem::take(only);
        schema.remove("anyOf");
        for (name, value) in only {
            schema.entry(name).or_insert(value);
        }
    }
}

/// An enum whose variants are documented is derived as one alternative each.
fn one_enum(schema: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = schema.remove("oneOf") else { return };
    let values = alternatives.iter().filter_map(|one| one["enum"].as_array()).flatten().cloned().collect();
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(values));
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
