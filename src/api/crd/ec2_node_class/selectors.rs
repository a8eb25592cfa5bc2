//! What an EC2NodeClass selects by: subnets, security groups, machine images, reservations, placement groups.
//!
//! The terms of a list are alternatives; the fields of a term must all hold.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crd::schema::rules;

/// Tags to select by; the value `*` is any.
fn tags(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 20,
        "additionalProperties": {"type": "string"},
        "x-kubernetes-validations":
            rules(&[("empty tag keys or values aren't supported", "self.all(k, k != '' && self[k] != '')")]),
    })
}

/// Which subnets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SubnetSelectorTerm {
    /// By tags; the value `*` is any.
    #[schemars(schema_with = "tags")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// By id.
    #[schemars(extend("pattern" = "subnet-[0-9a-z]+"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

// Karpenter writes that not all terms are wrong where it means that none is. A list with one wrong term among good ones
// is therefore accepted, here as there; of its fields the id then counts.
pub(super) fn subnet_rules() -> Value {
    rules(&[
        ("subnetSelectorTerms cannot be empty", "self.size() != 0"),
        ("expected at least one, got none, ['tags', 'id']", "self.all(x, has(x.tags) || has(x.id))"),
        (
            "'id' is mutually exclusive, cannot be set with a combination of other fields in a subnet selector term",
            "!self.all(x, has(x.id) && has(x.tags))",
        ),
    ])
}

/// Which security groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityGroupSelectorTerm {
    /// By tags; the value `*` is any.
    #[schemars(schema_with = "tags")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// By id.
    #[schemars(extend("pattern" = "sg-[0-9a-z]+"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// By the name of the group, which is not its tag `Name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

pub(super) fn security_group_rules() -> Value {
    rules(&[
        ("securityGroupSelectorTerms cannot be empty", "self.size() != 0"),
        (
            "expected at least one, got none, ['tags', 'id', 'name']",
            "self.all(x, has(x.tags) || has(x.id) || has(x.name))",
        ),
        (
            "'id' is mutually exclusive, cannot be set with a combination of other fields in a security group selector term",
            "!self.all(x, has(x.id) && (has(x.tags) || has(x.name)))",
        ),
        (
            "'name' is mutually exclusive, cannot be set with a combination of other fields in a security group selector term",
            "!self.all(x, has(x.name) && (has(x.tags) || has(x.id)))",
        ),
    ])
}

/// Which capacity reservations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CapacityReservationSelectorTerm {
    /// By tags; the value `*` is any.
    #[schemars(schema_with = "tags")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// By id.
    #[schemars(extend("pattern" = "^cr-[0-9a-z]+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// By the account that owns them.
    #[schemars(extend("pattern" = "^[0-9]{12}$"))]
    #[serde(rename = "ownerID", skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    /// By which instances they take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_match_criteria: Option<InstanceMatchCriteria>,
}

/// Which instances a capacity reservation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum InstanceMatchCriteria {
    /// Any that fits.
    Open,
    /// Only those that name it.
    Targeted,
}

pub(super) fn reservation_rules() -> Value {
    rules(&[
        (
            "expected at least one, got none, ['tags', 'id', 'instanceMatchCriteria']",
            "self.all(x, has(x.tags) || has(x.id) || has(x.instanceMatchCriteria))",
        ),
        (
            "'id' is mutually exclusive, cannot be set along with other fields in a capacity reservation selector term",
            "!self.all(x, has(x.id) && (has(x.tags) || has(x.ownerID) || has(x.instanceMatchCriteria)))",
        ),
    ])
}

/// Which placement group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("expected at least one, got none, ['name', 'id']", "has(self.name) || has(self.id)"),
    ("'name' and 'id' are mutually exclusive", "!(has(self.name) && has(self.id))"),
])))]
pub struct PlacementGroupSelector {
    /// By name.
    #[schemars(extend("minLength" = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// By id.
    #[schemars(extend("pattern" = "^pg-[0-9a-z]+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Which machine images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AmiSelectorTerm {
    /// Family and version, such as `al2023@latest`.
    #[schemars(extend("maxLength" = 30, "x-kubernetes-validations" = alias_rules()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// By tags; the value `*` is any.
    #[schemars(schema_with = "tags")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// By id.
    #[schemars(extend("pattern" = "ami-[0-9a-z]+"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// By the name of the image, which is not its tag `Name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// By owner: the id of an account, `self`, `amazon` or `aws-marketplace`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The name or ARN of a parameter of Systems Manager that holds the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssm_parameter: Option<String>,
}

fn alias_rules() -> Value {
    rules(&[
        (
            "'alias' is improperly formatted, must match the format 'family@version'",
            "self.matches('^[a-zA-Z0-9]+@.+$')",
        ),
        (
            "family is not supported, must be one of the following: 'al2', 'al2023', 'bottlerocket', 'windows2019', 'windows2022', 'windows2025'",
            "self.split('@')[0] in ['al2', 'al2023', 'bottlerocket', 'windows2019', 'windows2022', 'windows2025']",
        ),
        (
            "windows families may only specify version 'latest'",
            "self.split('@')[0] in ['windows2019', 'windows2022', 'windows2025'] ? self.split('@')[1] == 'latest' : true",
        ),
    ])
}

pub(super) fn ami_rules() -> Value {
    rules(&[
        (
            "expected at least one, got none, ['tags', 'id', 'name', 'alias', 'ssmParameter']",
            "self.all(x, has(x.tags) || has(x.id) || has(x.name) || has(x.alias) || has(x.ssmParameter))",
        ),
        (
            "'id' is mutually exclusive, cannot be set with a combination of other fields in amiSelectorTerms",
            "!self.exists(x, has(x.id) && (has(x.alias) || has(x.tags) || has(x.name) || has(x.owner)))",
        ),
        (
            "'alias' is mutually exclusive, cannot be set with a combination of other fields in amiSelectorTerms",
            "!self.exists(x, has(x.alias) && (has(x.id) || has(x.tags) || has(x.name) || has(x.owner)))",
        ),
        (
            "'alias' is mutually exclusive, cannot be set with a combination of other amiSelectorTerms",
            "!(self.exists(x, has(x.alias)) && self.size() != 1)",
        ),
    ])
}
