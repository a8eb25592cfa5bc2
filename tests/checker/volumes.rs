//! Volumes: whether they can be bound at all, from which nodes they can be reached, and which driver attaches them.
//!
//! Invariant: a volume is named by its claim, so a claim that several pods share counts once per node.

use std::collections::BTreeSet;

use crate::demand::Demand;
use crate::model::Scenario;
use crate::objects::{PersistentVolume, PersistentVolumeClaim, Pod, StorageClass};
use crate::sets::{Dialect, HOSTNAME, Requirements};

/// What a pod's volumes mean for its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    /// From which nodes all volumes can be reached.
    pub(crate) demand: Demand,
    /// Why the pod cannot be bound anywhere.
    pub(crate) problems: Vec<String>,
    /// Attachments: the CSI driver and the claim.
    pub(crate) attachments: BTreeSet<(String, String)>,
}

pub(crate) fn volumes_of(pod: &Pod, scenario: &Scenario, dialect: &Dialect) -> Volumes {
    let mut volumes = Volumes::default();
    for volume in &pod.spec.volumes {
        let name = match (&volume.persistent_volume_claim, &volume.ephemeral) {
            (Some(source), _) => source.claim_name.clone(),
            (None, Some(_)) => format!("{}-{}", pod.metadata.name, volume.name),
            (None, None) => continue,
        };
        let namespace = &pod.metadata.namespace;
        let mut claims = scenario.objects.volume_claims.iter();
        let found =
            claims.find(|claim| claim.metadata.name == name && claim.metadata.namespace == *namespace);
        let Some(claim) = found else {
            volumes.problems.push(format!("there is no PersistentVolumeClaim {namespace}/{name}"));
            continue;
        };
        match one_volume(claim, scenario, dialect) {
            Ok((terms, driver)) => {
                if !terms.is_empty() {
                    volumes.demand.groups.push(terms);
                }
                if let Some(driver) = driver {
                    volumes.attachments.insert((driver, format!("{namespace}/{name}")));
                }
            }
            Err(problem) => {
                volumes.problems.push(format!("PersistentVolumeClaim {namespace}/{name}: {problem}"));
            }
        }
    }
    volumes
}

/// The alternatives for the node (none: any node) and the driver of one claim.
fn one_volume(
    claim: &PersistentVolumeClaim,
    scenario: &Scenario,
    dialect: &Dialect,
) -> Result<(Vec<Requirements>, Option<String>), String> {
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("is being deleted".to_owned());
    }
    if claim.status.phase == "Lost" {
        return Err("has lost its volume".to_owned());
    }
    let class_name = claim.spec.storage_class_name.as_deref().unwrap_or_default();
    let class = scenario.objects.storage_classes.iter().find(|class| class.metadata.name == class_name);
    let settings = &scenario.settings;
    let volume_name = &claim.spec.volume_name;
    if !volume_name.is_empty() {
        let mut volumes = scenario.objects.volumes.iter();
        let volume = volumes
            .find(|volume| volume.metadata.name == *volume_name)
            .ok_or_else(|| format!("its PersistentVolume {volume_name} does not exist"))?;
        if volume.metadata.deletion_timestamp.is_some() {
            return Err(format!("its PersistentVolume {volume_name} is being deleted"));
        }
        if !claim.metadata.annotations.contains_key("pv.kubernetes.io/bind-completed") {
            return Err("is bound only by half".to_owned());
        }
        let driver = volume_driver(volume).or_else(|| class.map(class_driver));
        refuse_unsupported(driver.as_deref(), scenario)?;
        return Ok((volume_terms(volume, dialect), driver));
    }
    let class = class.ok_or_else(|| format!("its StorageClass `{class_name}` does not exist"))?;
    if class.volume_binding_mode.as_deref().unwrap_or("Immediate") == "Immediate" {
        return Err("is not bound, and its StorageClass binds at once".to_owned());
    }
    let driver = class_driver(class);
    refuse_unsupported(Some(&driver), scenario)?;
    let mut terms = Vec::new();
    for term in &class.allowed_topologies {
        let mut expressions = term.match_label_expressions.clone();
        for expression in &mut expressions {
            if settings.unsupported_topology_keys.contains(&expression.key) {
                return Err(format!("its StorageClass uses the unsupported key {}", expression.key));
            }
            // The format has no operator here: it is always a list of values.
            expression.operator = "In".to_owned();
        }
        terms.push(dialect.requirements(&expressions));
    }
    Ok((terms, Some(driver)))
}

fn refuse_unsupported(driver: Option<&str>, scenario: &Scenario) -> Result<(), String> {
    match driver {
        Some(driver) if scenario.settings.unsupported_provisioners.contains(driver) => {
            Err(format!("the driver {driver} is not supported"))
        }
        _ => Ok(()),
    }
}

/// A local volume's data stays behind with its node, so what it says about the hostname does not bind its successor:
/// Karpenter documents that it provisions for such pods nevertheless.
fn volume_terms(volume: &PersistentVolume, dialect: &Dialect) -> Vec<Requirements> {
    let Some(selector) = &volume.spec.node_affinity.required else { return Vec::new() };
    let local = volume.spec.local.is_some() || volume.spec.host_path.is_some();
    let mut terms = Vec::new();
    for term in &selector.node_selector_terms {
        let mut expressions = term.match_expressions.clone();
        expressions.retain(|expression| !(local && dialect.key(&expression.key) == HOSTNAME));
        terms.push(dialect.requirements(&expressions));
    }
    terms
}

fn volume_driver(volume: &PersistentVolume) -> Option<String> {
    let csi = volume.spec.csi.as_ref().map(|csi| csi.driver.clone());
    csi.or_else(|| volume.spec.aws_elastic_block_store.is_some().then(|| "ebs.csi.aws.com".to_owned()))
}

/// Provisioners that used to be part of Kubernetes stand for the CSI drivers that replaced them.
fn class_driver(class: &StorageClass) -> String {
    let driver = match class.provisioner.as_str() {
        "kubernetes.io/aws-ebs" => "ebs.csi.aws.com",
        "kubernetes.io/gce-pd" => "pd.csi.storage.gke.io",
        "kubernetes.io/azure-disk" => "disk.csi.azure.com",
        "kubernetes.io/azure-file" => "file.csi.azure.com",
        "kubernetes.io/cinder" => "cinder.csi.openstack.org",
        "kubernetes.io/vsphere-volume" => "csi.vsphere.vmware.com",
        "kubernetes.io/portworx-volume" => "pxd.portworx.com",
        other => other,
    };
    driver.to_owned()
}
