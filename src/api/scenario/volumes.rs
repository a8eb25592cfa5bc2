//! Volumes of a scenario: claims, volumes, classes, what drivers take on a node, and what is attached.
//!
//! Source: Karpenter, pkg/controllers/provisioning/scheduling/volumetopology.go and pkg/scheduling/volumeusage.go.
//!
//! **Invariant:** a driver is named as CSI names it: those that used to be part of Kubernetes by what replaced them.

use k8s_openapi::api::core::v1::{NodeSelectorTerm, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1;
use purser_engine::model::{Labels, NodeName, PodKey, Requirement, Requirements, Str, label};
use serde_json::Value;

use super::lenient::{Reading, decode_noting};
use crate::error::{At, FieldError};
use crate::pod::node_term;
use crate::quantity::{annotation, labels, namespace, object_name};

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeClaim {
    /// Its namespace and name.
    pub key: PodKey,
    /// Its labels.
    pub labels: Labels,
    /// The volume that it is bound to.
    pub volume: Option<Str>,
    /// Its StorageClass.
    pub class: Option<Str>,
    /// How far its binding has come.
    pub status: ClaimStatus,
}

/// How far the binding of a PersistentVolumeClaim has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimStatus {
    /// It waits, or its volume is only half bound.
    Pending,
    /// Bound from both sides.
    Bound,
    /// Its volume is lost.
    Lost,
    /// It is being deleted.
    Deleting,
}

/// A PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: Str,
    /// The CSI driver, if it says which.
    pub driver: Option<Str>,
    /// From where it can be reached: one of these, or anywhere if there are none. The host name of a local volume is left out, since a
    /// node that is yet to come has another.
    pub topologies: Vec<Requirements>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

/// A StorageClass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageClass {
    /// Its name.
    pub name: Str,
    /// The CSI driver.
    pub driver: Str,
    /// Whether volumes wait for a pod before they are made.
    pub waits_for_consumer: bool,
    /// Where volumes may be: one of these, or anywhere if there are none.
    pub topologies: Vec<Requirements>,
    /// The keys of these as they were written.
    pub topology_keys: Vec<Str>,
    /// Whether claims that name no class have it.
    pub default: bool,
}

/// A CSINode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiNode {
    /// The node.
    pub node: NodeName,
    /// Drivers, and how many volumes each attaches there, if that is limited.
    pub drivers: Vec<(Str, Option<u32>)>,
}

/// A VolumeAttachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The node.
    pub node: NodeName,
    /// The volume.
    pub volume: Option<Str>,
    /// The CSI driver.
    pub driver: Str,
}

/// Reads a PersistentVolumeClaim.
pub(super) fn volume_claim(reading: &mut Reading<'_>, value: &Value) -> Result<VolumeClaim, FieldError> {
    let claim: PersistentVolumeClaim = decode_noting(reading, value)?;
    let metadata = &claim.metadata;
    let name = object_name(metadata)?;
    let spec = claim.spec.unwrap_or_default();
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let some = |text: Option<String>| text.filter(|text| !text.is_empty()).map(Str::from);
    let status = if metadata.deletion_timestamp.is_some() {
        ClaimStatus::Deleting
    } else if phase == Some("Lost") {
        ClaimStatus::Lost
    } else if annotation(metadata, "pv.kubernetes.io/bind-completed").is_some() {
        ClaimStatus::Bound
    } else {
        ClaimStatus::Pending
    };
    Ok(VolumeClaim {
        key: PodKey::new(namespace(metadata), name),
        labels: labels(metadata.labels.as_ref()),
        volume: some(spec.volume_name),
        class: some(spec.storage_class_name),
        status,
    })
}

/// Reads a PersistentVolume.
pub(super) fn volume(reading: &mut Reading<'_>, value: &Value) -> Result<Volume, FieldError> {
    let volume: PersistentVolume = decode_noting(reading, value)?;
    let name = object_name(&volume.metadata)?.into();
    let spec = volume.spec.unwrap_or_default();
    let local = spec.local.is_some() || spec.host_path.is_some();
    let required = spec.node_affinity.and_then(|affinity| affinity.required);
    let root = At::ROOT.field("spec");
    let at = root.field("nodeAffinity");
    let at = at.field("required");
    let list = at.field("nodeSelectorTerms");
    let mut topologies = Vec::new();
    for (index, term) in required.into_iter().flat_map(|required| required.node_selector_terms).enumerate() {
        let term = if local { without_host(term) } else { term };
        topologies.push(node_term(&list.index(index), &term)?.unwrap_or_default());
    }
    let driver = match (spec.csi, spec.aws_elastic_block_store) {
        (Some(csi), _) => Some(Str::from(csi.driver)),
        (None, Some(_)) => Some("ebs.csi.aws.com".into()),
        (None, None) => None,
    };
    Ok(Volume { name, driver, topologies, deleting: volume.metadata.deletion_timestamp.is_some() })
}

fn without_host(mut term: NodeSelectorTerm) -> NodeSelectorTerm {
    if let Some(expressions) = &mut term.match_expressions {
        expressions.retain(|expression| expression.key != label::HOSTNAME);
    }
    term
}

/// Reads a StorageClass.
pub(super) fn storage_class(reading: &mut Reading<'_>, value: &Value) -> Result<StorageClass, FieldError> {
    let class: v1::StorageClass = decode_noting(reading, value)?;
    let mut topologies = Vec::new();
    let mut topology_keys = Vec::new();
    for term in class.allowed_topologies.iter().flatten() {
        let mut requirements = Requirements::new();
        for expression in term.match_label_expressions.iter().flatten() {
            topology_keys.push(Str::from(expression.key.as_str()));
            let values = expression.values.iter().map(|value| Str::from(value.as_str()));
            requirements.add(expression.key.as_str(), Requirement::one_of(values));
        }
        topologies.push(requirements);
    }
    let is_default = annotation(&class.metadata, "storageclass.kubernetes.io/is-default-class");
    Ok(StorageClass {
        name: object_name(&class.metadata)?.into(),
        driver: csi_driver(&class.provisioner).into(),
        waits_for_consumer: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
        topologies,
        topology_keys,
        default: is_default == Some("true"),
    })
}

/// The CSI driver that replaced a volume plugin of Kubernetes' own.
///
/// Source: k8s.io/csi-translation-lib/plugins.
fn csi_driver(provisioner: &str) -> &str {
    match provisioner {
        "kubernetes.io/aws-ebs" => "ebs.csi.aws.com",
        "kubernetes.io/gce-pd" => "pd.csi.storage.gke.io",
        "kubernetes.io/azure-disk" => "disk.csi.azure.com",
        "kubernetes.io/azure-file" => "file.csi.azure.com",
        "kubernetes.io/cinder" => "cinder.csi.openstack.org",
        "kubernetes.io/vsphere-volume" => "csi.vsphere.vmware.com",
        "kubernetes.io/portworx-volume" => "pxd.portworx.com",
        other => other,
    }
}

/// Reads a CSINode.
pub(super) fn csi_node(reading: &mut Reading<'_>, value: &Value) -> Result<CsiNode, FieldError> {
    let node: v1::CSINode = decode_noting(reading, value)?;
    let drivers = node.spec.drivers.iter().map(|driver| {
        let count = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count);
        (Str::from(driver.name.as_str()), count.and_then(|count| u32::try_from(count).ok()))
    });
    Ok(CsiNode { node: NodeName::from(object_name(&node.metadata)?), drivers: drivers.collect() })
}

/// Reads a VolumeAttachment.
pub(super) fn attachment(reading: &mut Reading<'_>, value: &Value) -> Result<Attachment, FieldError> {
    let attachment: v1::VolumeAttachment = decode_noting(reading, value)?;
    let spec = attachment.spec;
    Ok(Attachment {
        node: NodeName::from(spec.node_name.as_str()),
        volume: spec.source.persistent_volume_name.map(Str::from),
        driver: spec.attacher.into(),
    })
}
