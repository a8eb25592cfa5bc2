//! Volumes made facts: claims, volumes, classes, what drivers take on a node, and what is attached; and from them, where a claim's
//! volume can be reached.
//!
//! Source: Karpenter, pkg/controllers/provisioning/scheduling/volumetopology.go and pkg/scheduling/volumeusage.go.
//!
//! **Invariant:** a driver is named as CSI names it: those that used to be part of Kubernetes by what replaced them. Whoever asks where a
//! claim can be used asks [`Storage`], so that all get the same answer.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    NodeSelectorTerm, PersistentVolume as WrittenVolume, PersistentVolumeClaim as WrittenClaim,
};
use k8s_openapi::api::storage::v1;
use purser_engine::model::{
    Labels, NodeName, PodKey, Requirement, Requirements, Str, Time, VolumeClaim, VolumeLimits, label,
};

use crate::error::{At, FieldError};
use crate::pod::node_term;
use crate::quantity::{annotation, labels, object_key, object_name, time};

/// A PersistentVolumeClaim, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeClaimFacts {
    /// Its namespace and name.
    pub key: PodKey,
    /// Its labels.
    pub labels: Labels,
    /// The volume that it is bound to.
    pub volume: Option<Str>,
    /// Its StorageClass; `None` if it names none, which is not the same as an empty name.
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
    /// The PersistentVolumeClaim that it is bound to, or kept for.
    pub claim: Option<PodKey>,
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
    /// When it was created.
    pub created: Time,
}

/// A CSINode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsiNode {
    /// The node.
    pub node: NodeName,
    /// How many volumes each driver attaches there.
    pub drivers: VolumeLimits,
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

/// PersistentVolumes and StorageClasses: what it takes, beside a claim, to say where the claim can be used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Storage {
    /// PersistentVolumes, by name.
    pub volumes: BTreeMap<Str, Volume>,
    /// StorageClasses, by name.
    pub classes: BTreeMap<Str, StorageClass>,
    /// What nodes cannot have.
    pub unsupported: Unsupported,
}

/// Volumes that no node can have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsupported {
    /// Those of these CSI drivers.
    pub drivers: BTreeSet<Str>,
    /// Those yet to be made of a StorageClass that uses one of these topology keys.
    pub topology_keys: BTreeSet<Str>,
}

/// From where the volume of a claim can be reached, and its driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// From one of these, or from anywhere if there are none.
    pub topologies: Vec<Requirements>,
    /// The CSI driver, if somebody says which.
    pub driver: Option<Str>,
}

impl Storage {
    /// From where the volume of a claim can be reached.
    ///
    /// # Errors
    /// Why no pod can use it, to follow its name in a sentence.
    pub fn reach(&self, claim: &VolumeClaimFacts) -> Result<Reach, String> {
        match claim.status {
            ClaimStatus::Deleting => return Err("is being deleted".to_owned()),
            ClaimStatus::Lost => return Err("has lost its volume".to_owned()),
            ClaimStatus::Pending | ClaimStatus::Bound => {}
        }
        if let Some(name) = &claim.volume {
            let Some(volume) = self.volumes.get(name) else {
                return Err(format!("is bound to PersistentVolume {name}, which does not exist"));
            };
            if volume.deleting {
                return Err(format!("is bound to PersistentVolume {name}, which is being deleted"));
            }
            if claim.status != ClaimStatus::Bound {
                return Err("is bound by half".to_owned());
            }
            let driver = self.supported(self.driver(claim))?;
            return Ok(Reach { topologies: volume.topologies.clone(), driver });
        }
        let Some(class) = self.class(claim) else {
            let name = claim.class.as_deref().unwrap_or_default();
            return Err(format!("has StorageClass {name:?}, which does not exist"));
        };
        if !class.waits_for_consumer {
            return Err(format!("is not bound, and StorageClass {} binds at once", class.name));
        }
        let unsupported = |key: &&Str| self.unsupported.topology_keys.contains(*key);
        if let Some(key) = class.topology_keys.iter().find(unsupported) {
            return Err(format!(
                "has StorageClass {}, whose topology key {key} is not supported",
                class.name
            ));
        }
        let driver = self.supported(self.driver(claim))?;
        Ok(Reach { topologies: class.topologies.clone(), driver })
    }

    /// The CSI driver of a claim's volume, whether or not the claim can be used.
    pub fn driver(&self, claim: &VolumeClaimFacts) -> Option<&Str> {
        let of_volume = claim.volume.as_ref().and_then(|name| self.volumes.get(name)?.driver.as_ref());
        of_volume.or_else(|| self.class(claim).map(|class| &class.driver))
    }

    /// A claim as decisions have it.
    pub fn resolve(&self, claim: &VolumeClaimFacts) -> VolumeClaim {
        let driver = self.driver(claim).cloned().unwrap_or_default();
        match self.reach(claim) {
            Ok(reach) => VolumeClaim { topologies: reach.topologies, driver, problem: None },
            Err(problem) => VolumeClaim { topologies: Vec::new(), driver, problem: Some(problem.into()) },
        }
    }

    /// The class that a claim has that names none: the default one, of several the newest.
    ///
    /// An API server has filled it in, so this is for claims that none has seen.
    ///
    /// Source: `GetDefaultClass` of Kubernetes (pkg/volume/util/storageclass.go).
    pub fn default_class(&self) -> Option<&Str> {
        let defaults = self.classes.values().filter(|class| class.default);
        let newest = defaults.min_by_key(|class| (std::cmp::Reverse(class.created), &class.name));
        newest.map(|class| &class.name)
    }

    fn class(&self, claim: &VolumeClaimFacts) -> Option<&StorageClass> {
        self.classes.get(claim.class.as_ref()?)
    }

    fn supported(&self, driver: Option<&Str>) -> Result<Option<Str>, String> {
        match driver {
            Some(driver) if self.unsupported.drivers.contains(driver) => {
                Err(format!("has driver {driver}, which is not supported"))
            }
            driver => Ok(driver.cloned()),
        }
    }
}

/// Makes a PersistentVolumeClaim a fact.
///
/// # Errors
/// If a field is invalid.
pub fn volume_claim(claim: &WrittenClaim) -> Result<VolumeClaimFacts, FieldError> {
    let metadata = &claim.metadata;
    let key = object_key(metadata)?;
    let spec = claim.spec.as_ref();
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let volume = spec.and_then(|spec| spec.volume_name.as_deref()).filter(|name| !name.is_empty());
    let status = if metadata.deletion_timestamp.is_some() {
        ClaimStatus::Deleting
    } else if phase == Some("Lost") {
        ClaimStatus::Lost
    } else if annotation(metadata, "pv.kubernetes.io/bind-completed").is_some() {
        ClaimStatus::Bound
    } else {
        ClaimStatus::Pending
    };
    Ok(VolumeClaimFacts {
        key,
        labels: labels(metadata.labels.as_ref()),
        volume: volume.map(Str::from),
        class: spec.and_then(|spec| spec.storage_class_name.as_deref()).map(Str::from),
        status,
    })
}

/// Makes a PersistentVolume a fact.
///
/// # Errors
/// If a field is invalid.
pub fn volume(volume: &WrittenVolume) -> Result<Volume, FieldError> {
    let name = object_name(&volume.metadata)?.into();
    let spec = volume.spec.as_ref();
    let local = spec.is_some_and(|spec| spec.local.is_some() || spec.host_path.is_some());
    let affinity = spec.and_then(|spec| spec.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required.as_ref());
    let root = At::ROOT.field("spec");
    let at = root.field("nodeAffinity");
    let at = at.field("required");
    let list = at.field("nodeSelectorTerms");
    let mut topologies = Vec::new();
    let terms = required.map(|required| required.node_selector_terms.as_slice()).unwrap_or_default();
    for (index, term) in terms.iter().enumerate() {
        let term = if local { without_host(term.clone()) } else { term.clone() };
        topologies.push(node_term(&list.index(index), &term)?.unwrap_or_default());
    }
    let csi = spec.and_then(|spec| spec.csi.as_ref()).map(|csi| csi.driver.as_str());
    let is_ebs = spec.is_some_and(|spec| spec.aws_elastic_block_store.is_some());
    let driver = csi.or(is_ebs.then_some("ebs.csi.aws.com")).map(Str::from);
    let claim = spec.and_then(|spec| spec.claim_ref.as_ref());
    let claim =
        claim.and_then(|claim| Some(PodKey::new(claim.namespace.as_deref()?, claim.name.as_deref()?)));
    let deleting = volume.metadata.deletion_timestamp.is_some();
    Ok(Volume { name, driver, topologies, claim, deleting })
}

fn without_host(mut term: NodeSelectorTerm) -> NodeSelectorTerm {
    if let Some(expressions) = &mut term.match_expressions {
        expressions.retain(|expression| expression.key != label::HOSTNAME);
    }
    term
}

/// Makes a StorageClass a fact.
///
/// # Errors
/// If a field is invalid.
pub fn storage_class(class: &v1::StorageClass) -> Result<StorageClass, FieldError> {
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
        created: time(class.metadata.creation_timestamp.as_ref()),
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

/// Makes a CSINode a fact.
///
/// # Errors
/// If a field is invalid.
pub fn csi_node(node: &v1::CSINode) -> Result<CsiNode, FieldError> {
    let drivers = node.spec.drivers.iter().map(|driver| {
        let count = driver.allocatable.as_ref().and_then(|allocatable| allocatable.count);
        (Str::from(driver.name.as_str()), count.and_then(|count| u32::try_from(count).ok()))
    });
    Ok(CsiNode { node: NodeName::from(object_name(&node.metadata)?), drivers: drivers.collect() })
}

/// Makes a VolumeAttachment a fact.
pub fn attachment(attachment: &v1::VolumeAttachment) -> Attachment {
    let spec = &attachment.spec;
    Attachment {
        node: NodeName::from(spec.node_name.as_str()),
        volume: spec.source.persistent_volume_name.as_deref().map(Str::from),
        driver: spec.attacher.as_str().into(),
    }
}

#[cfg(test)]
mod tests;
