//! EC2NodeClass, `karpenter.k8s.aws/v1`.
//!
//! Source: aws/karpenter-provider-aws, pkg/apis/v1/ec2nodeclass.go and ec2nodeclass_status.go.
//!
//! **Invariant:** fields that are not listed are passed over: a newer Karpenter may have more.

mod devices;
mod kubelet;
mod selectors;
mod status;

pub use devices::{
    BlockDevice, BlockDeviceMapping, ConnectionTracking, CpuOptions, HttpTokens, InterfaceType,
    MetadataOptions, NetworkInterface, Toggle, VolumeType,
};
pub use kubelet::KubeletConfiguration;
pub use selectors::{
    AmiSelectorTerm, CapacityReservationSelectorTerm, InstanceMatchCriteria, PlacementGroupSelector,
    SecurityGroupSelectorTerm, SubnetSelectorTerm,
};
pub use status::{
    Ami, AmiRequirement, CapacityReservation, Ec2NodeClassStatus, ReservationState, ReservationType,
    SecurityGroup, Subnet,
};

use std::collections::BTreeMap;

use k8s_openapi::ClusterResourceScope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{Column, ColumnKind, Custom, Definition, Kind};
use super::schema::rules;

/// An EC2NodeClass.
pub type Ec2NodeClass = Custom<Ec2NodeClassSpec>;

impl Kind for Ec2NodeClassSpec {
    type Status = Ec2NodeClassStatus;
    type Scope = ClusterResourceScope;
    const DEFINITION: Definition = Definition {
        group: "karpenter.k8s.aws",
        version: "v1",
        api_version: "karpenter.k8s.aws/v1",
        kind: "EC2NodeClass",
        plural: "ec2nodeclasses",
        short_names: &["ec2nc", "ec2ncs"],
        categories: &["karpenter"],
        columns: &[Column::READY, Column::AGE, Column::wide("Role", ColumnKind::Text, ".spec.role")],
        scale: None,
    };

    // The API server takes a class without a spec, since only the spec says which of its fields are needed.
    fn unwritten() -> Option<Self> {
        Some(Self::default())
    }
}

/// What is wanted of an EC2NodeClass.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend(
    "required" = json!(["amiSelectorTerms", "securityGroupSelectorTerms", "subnetSelectorTerms"]),
    "x-kubernetes-validations" = spec_rules(),
))]
pub struct Ec2NodeClassSpec {
    /// The subnets of instances.
    #[schemars(extend("maxItems" = 30, "x-kubernetes-validations" = selectors::subnet_rules()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_selector_terms: Option<Vec<SubnetSelectorTerm>>,
    /// The security groups of instances.
    #[schemars(extend("maxItems" = 30, "x-kubernetes-validations" = selectors::security_group_rules()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_selector_terms: Option<Vec<SecurityGroupSelectorTerm>>,
    /// The capacity reservations that instances may be launched into.
    #[schemars(extend("maxItems" = 30, "x-kubernetes-validations" = selectors::reservation_rules()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_selector_terms: Option<Vec<CapacityReservationSelectorTerm>>,
    /// The placement group of instances.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_group_selector: Option<PlacementGroupSelector>,
    /// Whether instances have public addresses; absent leaves it to the subnet.
    #[serde(rename = "associatePublicIPAddress", skip_serializing_if = "Option::is_none")]
    pub associate_public_ip_address: Option<bool>,
    /// How many address prefixes the first network interface has.
    #[schemars(extend("minimum" = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_prefix_count: Option<i32>,
    /// The machine images.
    #[schemars(extend("minItems" = 1, "maxItems" = 30, "x-kubernetes-validations" = selectors::ami_rules()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ami_selector_terms: Option<Vec<AmiSelectorTerm>>,
    /// The family of machine images, which decides on user data and defaults.
    #[schemars(extend("enum" = FAMILIES))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ami_family: Option<String>,
    /// What an instance runs as it starts; how it is merged with what is generated depends on the family.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// The IAM role of instances, for which an instance profile is made.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("role cannot be empty", "self != ''")])))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The instance profile of instances, made by somebody else.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("instanceProfile cannot be empty", "self != ''")])))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// Tags of instances and of all that comes with them.
    #[schemars(extend("x-kubernetes-validations" = tag_rules()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Settings of kubelet: any that it has.
    #[schemars(schema_with = "kubelet::open")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet: Option<KubeletConfiguration>,
    /// Volumes.
    #[schemars(extend("maxItems" = 50, "x-kubernetes-validations" = rules(&[(
        "must have only one blockDeviceMappings with rootVolume",
        "self.filter(x, has(x.rootVolume)?x.rootVolume==true:false).size() <= 1",
    )])))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_device_mappings: Option<Vec<BlockDeviceMapping>>,
    /// What to do with the instance's own disks: `RAID0` makes one of them, for pods' ephemeral storage.
    #[schemars(extend("enum" = ["RAID0"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_store_policy: Option<String>,
    /// Network interfaces, the first of them that of the node.
    #[schemars(extend("maxItems" = 150, "x-kubernetes-validations" = devices::network_rules()))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interfaces: Option<Vec<NetworkInterface>>,
    /// Whether instances are monitored in detail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detailed_monitoring: Option<bool>,
    /// How instances get at their metadata.
    #[schemars(extend("default" = json!({
        "httpEndpoint": "enabled", "httpProtocolIPv6": "disabled", "httpPutResponseHopLimit": 1, "httpTokens": "required",
    })))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_options: Option<MetadataOptions>,
    /// How long security groups remember idle connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_tracking: Option<ConnectionTracking>,
    /// Handed to EC2 with each launch, for those whom EC2 has told what to write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Options of the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_options: Option<CpuOptions>,
}

const FAMILIES: [&str; 7] =
    ["AL2", "AL2023", "Bottlerocket", "Custom", "Windows2019", "Windows2022", "Windows2025"];

fn spec_rules() -> Value {
    let mut all = vec![(
        "must specify exactly one of ['role', 'instanceProfile']".to_owned(),
        "has(self.role) != has(self.instanceProfile)".to_owned(),
    )];
    for family in FAMILIES.into_iter().filter(|family| *family != "Custom") {
        let alias = family.to_lowercase();
        let message = format!(
            "if set, amiFamily must be '{family}' or 'Custom' when using {} alias",
            with_article(family)
        );
        let aliased =
            format!("self.amiSelectorTerms.exists(x, has(x.alias) && x.alias.find('^[^@]+') == '{alias}')");
        let rule = format!("!has(self.amiFamily) || !{aliased} || self.amiFamily in ['Custom', '{family}']");
        all.push((message, rule));
    }
    all.push((
        "must specify amiFamily if amiSelectorTerms does not contain an alias".to_owned(),
        "self.amiSelectorTerms.exists(x, has(x.alias)) || has(self.amiFamily)".to_owned(),
    ));
    rules(&all)
}

fn with_article(family: &str) -> String {
    let article = if family.starts_with('A') { "an" } else { "a" };
    format!("{article} {family}")
}

fn tag_rules() -> Value {
    let restricted = |tag: &str| format!("tag contains a restricted tag matching {tag}");
    let mut all = vec![
        ("empty tag keys aren't supported".to_owned(), "self.all(k, k != '')".to_owned()),
        (
            restricted("kubernetes.io/cluster/"),
            "self.all(k, !k.startsWith('kubernetes.io/cluster'))".to_owned(),
        ),
    ];
    for tag in [
        "eks:eks-cluster-name",
        "karpenter.sh/nodepool",
        "karpenter.sh/nodeclaim",
        "karpenter.k8s.aws/ec2nodeclass",
    ] {
        all.push((restricted(tag), format!("self.all(k, k != '{tag}')")));
    }
    rules(&all)
}
