//! What all custom resources have in common: metadata, a spec and a status, under a group, a version and a kind.
//!
//! A spec says what it is the spec of by [`Kind`]; [`Custom`] is then the whole object. It implements the traits of
//! `k8s_openapi`, for which any Kubernetes client can read and write it, though none is known here.
//!
//! **Invariant:** an object is written with its `apiVersion` and `kind`, so that what was read can be sent back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ClusterResourceScope, Metadata, NamespaceResourceScope, Resource, ResourceScope};
use serde::de::{self, DeserializeOwned};
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The spec of a kind of custom resource.
pub trait Kind: Sized {
    /// What the status of such an object holds.
    type Status;
    /// Whether such objects are in namespaces.
    type Scope: Scope;
    /// Names, columns and the like.
    const DEFINITION: Definition;

    /// The spec of an object that has none, if it may have none.
    fn unwritten() -> Option<Self> {
        None
    }
}

/// Whether objects are in namespaces.
pub trait Scope: ResourceScope {
    /// As a CustomResourceDefinition has it.
    const NAME: &'static str;
}

impl Scope for ClusterResourceScope {
    const NAME: &'static str = "Cluster";
}

impl Scope for NamespaceResourceScope {
    const NAME: &'static str = "Namespaced";
}

/// What the CustomResourceDefinition of a kind says beside its schema.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// The API group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// Group and version, as in a manifest.
    pub api_version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The name in URLs; the singular is the kind in lower case.
    pub plural: &'static str,
    /// What may be written for it with kubectl.
    pub short_names: &'static [&'static str],
    /// The groups of kinds that it is listed with, as by `kubectl get karpenter`.
    pub categories: &'static [&'static str],
    /// What `kubectl get` shows.
    pub columns: &'static [Column],
    /// Where `kubectl scale` reads and writes, if it can.
    pub scale: Option<Scale>,
}

/// A column of `kubectl get`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its title.
    pub name: &'static str,
    /// What kind of value it holds.
    pub kind: ColumnKind,
    /// Where the value is.
    pub path: &'static str,
    /// Whether it shows with `-o wide` only.
    pub wide: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// An integer.
    Integer,
    /// A time, shown as an age.
    Age,
}

/// Where the scale sub-resource reads and writes.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// The number that is wanted.
    pub spec: &'static str,
    /// The number that there is.
    pub status: &'static str,
}

impl Column {
    /// When the object was made.
    pub(super) const AGE: Self = Self::always("Age", ColumnKind::Age, ".metadata.creationTimestamp");
    /// Whether the object is ready.
    pub(super) const READY: Self =
        Self::always("Ready", ColumnKind::Text, r#".status.conditions[?(@.type=="Ready")].status"#);

    /// A column that always shows.
    pub(super) const fn always(name: &'static str, kind: ColumnKind, path: &'static str) -> Self {
        Self { name, kind, path, wide: false }
    }

    /// A column that shows with `-o wide`.
    pub(super) const fn wide(name: &'static str, kind: ColumnKind, path: &'static str) -> Self {
        Self { name, kind, path, wide: true }
    }
}

/// A custom resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Custom<S: Kind> {
    /// Name, labels and so on.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: S,
    /// What is.
    pub status: Option<S::Status>,
}

impl<S: Kind> Resource for Custom<S> {
    const API_VERSION: &'static str = S::DEFINITION.api_version;
    const GROUP: &'static str = S::DEFINITION.group;
    const KIND: &'static str = S::DEFINITION.kind;
    const VERSION: &'static str = S::DEFINITION.version;
    const URL_PATH_SEGMENT: &'static str = S::DEFINITION.plural;
    type Scope = S::Scope;
}

impl<S: Kind> Metadata for Custom<S> {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<S> Serialize for Custom<S>
where
    S: Kind + Serialize,
    S::Status: Serialize,
{
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        let mut object = serializer.serialize_struct(S::DEFINITION.kind, 5)?;
        object.serialize_field("apiVersion", S::DEFINITION.api_version)?;
        object.serialize_field("kind", S::DEFINITION.kind)?;
        object.serialize_field("metadata", &self.metadata)?;
        object.serialize_field("spec", &self.spec)?;
        match &self.status {
            Some(status) => object.serialize_field("status", status)?,
            None => object.skip_field("status")?,
        }
        object.end()
    }
}

impl<'de, S> Deserialize<'de> for Custom<S>
where
    S: Kind + DeserializeOwned,
    S::Status: DeserializeOwned,
{
    fn deserialize<T: Deserializer<'de>>(deserializer: T) -> Result<Self, T::Error> {
        #[derive(Deserialize)]
        #[serde(bound = "S: DeserializeOwned, T: DeserializeOwned")]
        struct Written<S, T> {
            #[serde(default)]
            metadata: ObjectMeta,
            spec: Option<S>,
            status: Option<T>,
        }
        let Written { metadata, spec, status } = Written::<S, S::Status>::deserialize(deserializer)?;
        let spec = spec.or_else(S::unwritten).ok_or_else(|| de::Error::missing_field("spec"))?;
        Ok(Self { metadata, spec, status })
    }
}
