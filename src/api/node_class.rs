//! Node classes: what they say about the shape of nodes.
//!
//! **Invariant:** a field that is `None` leaves the provider's default in force.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use purser_engine::model::{ClassName, Quantity, Rounding, Span, Str};

use crate::error::{At, FieldError};
use crate::quantity::{object_name, unfit};
use crate::{crd, duration};

/// A node class, as far as the shape of nodes depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeClass {
    /// Its kind.
    pub kind: Str,
    /// Its name.
    pub name: ClassName,
    /// The family of machine images, such as `AL2023`; `None` for kinds that have none.
    pub image_family: Option<Str>,
    /// How many pods a node takes.
    pub max_pods: Option<u32>,
    /// How many pods a node takes for each of its cores.
    pub pods_per_core: Option<u32>,
    /// The size in bytes of the volume that holds pods' ephemeral storage.
    pub root_volume: Option<i64>,
    /// Whether the instance's own disks hold it instead, where it has any.
    pub instance_store_raid0: bool,
    /// How long after its launch a node shows up.
    pub registration_delay: Option<Span>,
    /// Whether it may be used.
    pub ready: bool,
}

/// Makes an EC2NodeClass a fact.
///
/// # Errors
/// If a field is invalid.
pub fn ec2_node_class(class: &crd::Ec2NodeClass) -> Result<NodeClass, FieldError> {
    let at = At::ROOT.field("spec");
    let spec = &class.spec;
    let family = image_family(spec);
    let instance_store_raid0 = match spec.instance_store_policy.as_deref() {
        None => false,
        Some("RAID0") => true,
        Some(other) => {
            let problem = format!("{other:?} is not known");
            return Err(at.field("instanceStorePolicy").error(problem, "write RAID0, or leave it out"));
        }
    };
    let kubelet = spec.kubelet.as_ref();
    let kubelet_at = at.field("kubelet");
    let positive = |field, value: i32| {
        let error = || kubelet_at.field(field).error(format!("{value} is negative"), "write 0 or more");
        u32::try_from(value).map_err(|_| error())
    };
    let max_pods = match kubelet.and_then(|kubelet| kubelet.max_pods.as_ref()) {
        None => None,
        Some(IntOrString::Int(value)) => Some(positive("maxPods", *value)?),
        Some(IntOrString::String(text)) => {
            let problem = format!("expression {text:?} cannot be evaluated");
            return Err(kubelet_at.field("maxPods").error(problem, "write a number, without quotes"));
        }
    };
    let pods_per_core = kubelet.and_then(|kubelet| kubelet.pods_per_core);
    let mappings = spec.block_device_mappings.as_deref().unwrap_or_default();
    Ok(NodeClass {
        max_pods,
        pods_per_core: pods_per_core.map(|value| positive("podsPerCore", value)).transpose()?,
        root_volume: root_volume(&at.field("blockDeviceMappings"), mappings, &family)?,
        image_family: Some(family.into()),
        instance_store_raid0,
        ..bare("EC2NodeClass", &class.metadata, class.status.as_ref().map(|status| &*status.conditions))?
    })
}

/// Makes a KWOKNodeClass a fact.
///
/// # Errors
/// If a field is invalid.
pub fn kwok_node_class(class: &crd::KwokNodeClass) -> Result<NodeClass, FieldError> {
    let at = At::ROOT.field("spec");
    let at = at.field("nodeRegistrationDelay");
    let delay = class.spec.node_registration_delay.as_deref();
    Ok(NodeClass {
        registration_delay: delay.map(|delay| duration::plain(&at, delay)).transpose()?,
        ..bare("KWOKNodeClass", &class.metadata, class.status.as_ref().map(|status| &*status.conditions))?
    })
}

/// A class that says nothing but its name. It is ready unless it is being deleted or its status says otherwise.
fn bare(
    kind: &str,
    metadata: &ObjectMeta,
    conditions: Option<&[crd::Condition]>,
) -> Result<NodeClass, FieldError> {
    let ready = crd::Condition::status_of(conditions.unwrap_or_default(), "Ready")
        .is_none_or(|status| status == "True");
    Ok(NodeClass {
        kind: kind.into(),
        name: ClassName::new(object_name(metadata)?),
        image_family: None,
        max_pods: None,
        pods_per_core: None,
        root_volume: None,
        instance_store_raid0: false,
        registration_delay: None,
        ready: ready && metadata.deletion_timestamp.is_none(),
    })
}

/// The family written, or that of the alias, or `Custom`.
///
/// Source: `EC2NodeClass.AMIFamily` of aws/karpenter-provider-aws (pkg/apis/v1/ec2nodeclass.go).
fn image_family(spec: &crd::Ec2NodeClassSpec) -> String {
    const FAMILIES: [&str; 6] =
        ["AL2", "AL2023", "Bottlerocket", "Windows2019", "Windows2022", "Windows2025"];
    if let Some(family) = &spec.ami_family {
        return family.clone();
    }
    let aliases =
        spec.ami_selector_terms.iter().flatten().filter_map(|term| term.alias.as_deref()?.split('@').next());
    let known = |alias: &str| FAMILIES.into_iter().find(|family| family.eq_ignore_ascii_case(alias));
    aliases.filter_map(known).next().unwrap_or("Custom").to_owned()
}

/// The size of the volume that holds ephemeral storage, if it is written.
///
/// Source: `ephemeralStorage` of aws/karpenter-provider-aws (pkg/providers/instancetype/types.go) and the ephemeral
/// devices of its families (pkg/providers/amifamily).
fn root_volume(
    at: &At<'_>,
    mappings: &[crd::BlockDeviceMapping],
    family: &str,
) -> Result<Option<i64>, FieldError> {
    let roots = mappings.iter().filter(|mapping| mapping.root_volume == Some(true)).count();
    if roots > 1 {
        return Err(at.error("more than one is the root volume", "set rootVolume on one of them"));
    }
    let device = match family {
        "Bottlerocket" => "/dev/xvdb",
        family if family.starts_with("Windows") => "/dev/sda1",
        _ => "/dev/xvda",
    };
    let sized =
        |mapping: &crd::BlockDeviceMapping| mapping.ebs.as_ref().and_then(|ebs| ebs.volume_size.clone());
    let find = |wanted: &dyn Fn(&crd::BlockDeviceMapping) -> bool| {
        mappings.iter().position(|mapping| wanted(mapping) && sized(mapping).is_some())
    };
    let root = find(&|mapping| mapping.root_volume == Some(true)).or_else(|| match family {
        "Custom" => mappings.iter().rposition(|_| true),
        _ => find(&|mapping| mapping.device_name.as_deref() == Some(device)),
    });
    let Some((index, size)) = root.and_then(|index| Some((index, sized(mappings.get(index)?)?))) else {
        return Ok(None);
    };
    let at = at.index(index);
    let at = at.field("ebs");
    let size =
        Quantity::parse(&size.0, Rounding::Down).map_err(|error| unfit(&at.field("volumeSize"), &error))?;
    Ok(Some(size.0))
}

#[cfg(test)]
mod tests;
