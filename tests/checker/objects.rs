//! The Kubernetes objects, cut down to the fields that decide where a pod can go.
//!
//! Invariant: nothing is interpreted here; a field holds what the manifest says, or its zero value.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::quantity::Resources;

pub(crate) type Labels = BTreeMap<String, String>;

/// Declares plain data that reads from camelCase JSON, every field optional.
macro_rules! data {
    ($($(#[$about:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* })*) => {
        $(
            $(#[$about])*
            #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
            #[serde(rename_all = "camelCase", default)]
            pub(crate) struct $name {
                $($(#[$attribute])* pub(crate) $field: $kind,)*
            }
        )*
    };
}

data! {
    Meta {
        name: String,
        namespace: String,
        uid: String,
        labels: Labels,
        annotations: Labels,
        creation_timestamp: String,
        deletion_timestamp: Option<String>,
        owner_references: Vec<OwnerReference>,
    }
    OwnerReference { api_version: String, kind: String, name: String, uid: String, controller: bool, }
    Condition { #[serde(rename = "type")] kind: String, status: String, reason: String, }

    /// Node selectors, label selectors and NodePool requirements share this shape.
    Expression { key: String, operator: String, values: Vec<String>, min_values: Option<u64>, }
    LabelSelector { match_labels: Labels, match_expressions: Vec<Expression>, }
    NodeSelectorTerm { match_expressions: Vec<Expression>, match_fields: Vec<Expression>, }
    NodeSelector { node_selector_terms: Vec<NodeSelectorTerm>, }
    Taint { key: String, value: String, effect: String, }
    Toleration { key: String, operator: String, value: String, effect: String, }

    Pod { metadata: Meta, spec: PodSpec, status: PodStatus, }
    PodSpec {
        node_name: String,
        node_selector: Labels,
        affinity: Affinity,
        tolerations: Vec<Toleration>,
        topology_spread_constraints: Vec<SpreadConstraint>,
        containers: Vec<Container>,
        init_containers: Vec<Container>,
        overhead: Resources,
        resources: ContainerResources,
        volumes: Vec<Volume>,
        priority: i64,
        host_network: bool,
        resource_claims: Vec<Value>,
    }
    PodStatus {
        phase: String,
        conditions: Vec<Condition>,
        nominated_node_name: String,
        start_time: Option<String>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
        resource_claim_statuses: Vec<Value>,
    }
    ContainerStatus { name: String, allocated_resources: Resources, resources: ContainerResources, }
    Affinity { node_affinity: NodeAffinity, pod_affinity: PodAffinity, pod_anti_affinity: PodAffinity, }
    NodeAffinity {
        #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
        required: Option<NodeSelector>,
    }
    PodAffinity {
        #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
        required: Vec<PodAffinityTerm>,
    }
    PodAffinityTerm {
        topology_key: String,
        label_selector: Option<LabelSelector>,
        namespaces: Vec<String>,
        namespace_selector: Option<LabelSelector>,
        match_label_keys: Vec<String>,
        mismatch_label_keys: Vec<String>,
    }
    SpreadConstraint {
        topology_key: String,
        max_skew: i64,
        min_domains: Option<usize>,
        when_unsatisfiable: String,
        label_selector: Option<LabelSelector>,
        match_label_keys: Vec<String>,
        node_affinity_policy: Option<String>,
        node_taints_policy: Option<String>,
    }
    Container {
        name: String,
        resources: ContainerResources,
        ports: Vec<ContainerPort>,
        restart_policy: String,
    }
    ContainerResources { requests: Resources, limits: Resources, claims: Vec<Value>, }
    ContainerPort {
        host_port: u16,
        container_port: u16,
        protocol: String,
        #[serde(rename = "hostIP")]
        host_ip: String,
    }
    Volume { name: String, persistent_volume_claim: Option<ClaimSource>, ephemeral: Option<Value>, }
    ClaimSource { claim_name: String, }

    Node { metadata: Meta, spec: NodeSpec, status: NodeStatus, }
    NodeSpec {
        #[serde(rename = "providerID")]
        provider_id: String,
        taints: Vec<Taint>,
        unschedulable: bool,
    }
    NodeStatus { capacity: Resources, allocatable: Resources, }
    NodeClaim { metadata: Meta, spec: NodeClaimSpec, status: NodeClaimStatus, }
    NodeClaimSpec { taints: Vec<Taint>, startup_taints: Vec<Taint>, requirements: Vec<Expression>, }
    NodeClaimStatus {
        #[serde(rename = "providerID")]
        provider_id: String,
        node_name: String,
        capacity: Resources,
        allocatable: Resources,
        conditions: Vec<Condition>,
    }
    NodePool { metadata: Meta, spec: NodePoolSpec, status: NodePoolStatus, }
    NodePoolSpec { template: NodePoolTemplate, limits: Resources, replicas: Option<i64>, }
    NodePoolTemplate { metadata: Meta, spec: NodePoolTemplateSpec, }
    NodePoolTemplateSpec {
        taints: Vec<Taint>,
        startup_taints: Vec<Taint>,
        requirements: Vec<Expression>,
        node_class_ref: NodeClassRef,
    }
    NodeClassRef { group: String, kind: String, name: String, }
    NodePoolStatus { conditions: Vec<Condition>, }

    NodeOverlay { metadata: Meta, spec: NodeOverlaySpec, }
    NodeOverlaySpec {
        requirements: Vec<Expression>,
        price: Option<String>,
        price_adjustment: Option<String>,
        capacity: Resources,
        weight: Option<i64>,
    }

    DaemonSet { metadata: Meta, spec: DaemonSetSpec, }
    DaemonSetSpec { template: PodTemplate, }
    PodTemplate { metadata: Meta, spec: PodSpec, }
    Namespace { metadata: Meta, }
    Service { metadata: Meta, spec: ServiceSpec, }
    ServiceSpec { selector: Labels, }
    /// ReplicaSets and StatefulSets, of which only the selector matters.
    Workload { metadata: Meta, spec: WorkloadSpec, }
    WorkloadSpec { selector: LabelSelector, }
    ReplicationController { metadata: Meta, spec: ServiceSpec, }
    PodDisruptionBudget { metadata: Meta, spec: BudgetSpec, }
    BudgetSpec {
        selector: Option<LabelSelector>,
        min_available: Option<Value>,
        max_unavailable: Option<Value>,
    }
    PersistentVolumeClaim { metadata: Meta, spec: VolumeClaimSpec, status: VolumeClaimStatus, }
    VolumeClaimSpec { volume_name: String, storage_class_name: Option<String>, }
    VolumeClaimStatus { phase: String, }
    PersistentVolume { metadata: Meta, spec: PersistentVolumeSpec, }
    PersistentVolumeSpec {
        csi: Option<CsiSource>,
        local: Option<Value>,
        host_path: Option<Value>,
        aws_elastic_block_store: Option<Value>,
        node_affinity: VolumeNodeAffinity,
    }
    CsiSource { driver: String, }
    VolumeNodeAffinity { required: Option<NodeSelector>, }
    StorageClass {
        metadata: Meta,
        provisioner: String,
        volume_binding_mode: Option<String>,
        allowed_topologies: Vec<TopologyTerm>,
    }
    TopologyTerm { match_label_expressions: Vec<Expression>, }
    CsiNode { metadata: Meta, spec: CsiNodeSpec, }
    CsiNodeSpec { drivers: Vec<CsiNodeDriver>, }
    CsiNodeDriver { name: String, allocatable: CsiAllocatable, }
    CsiAllocatable { count: Option<usize>, }
}

/// All objects of a scenario, by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) pods: Vec<Pod>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) node_claims: Vec<NodeClaim>,
    pub(crate) node_pools: Vec<NodePool>,
    pub(crate) overlays: Vec<NodeOverlay>,
    pub(crate) daemon_sets: Vec<DaemonSet>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) services: Vec<Service>,
    pub(crate) replication_controllers: Vec<ReplicationController>,
    pub(crate) replica_sets: Vec<Workload>,
    pub(crate) stateful_sets: Vec<Workload>,
    pub(crate) budgets: Vec<PodDisruptionBudget>,
    pub(crate) volume_claims: Vec<PersistentVolumeClaim>,
    pub(crate) volumes: Vec<PersistentVolume>,
    pub(crate) storage_classes: Vec<StorageClass>,
    pub(crate) csi_nodes: Vec<CsiNode>,
    /// As `namespace/name`.
    pub(crate) resource_claims: BTreeMap<String, Value>,
    /// As `namespace/name`.
    pub(crate) resource_claim_templates: BTreeMap<String, Value>,
    pub(crate) device_classes: BTreeMap<String, Value>,
    pub(crate) slices: Vec<Value>,
}

impl Objects {
    /// Sorts manifests by kind; kinds that decide nothing are passed over.
    pub(crate) fn read(manifests: Vec<Value>) -> Result<Self, serde_json::Error> {
        let mut all = Self::default();
        for manifest in manifests {
            let kind = manifest.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            match kind.as_str() {
                "Pod" => all.pods.push(serde_json::from_value(manifest)?),
                "Node" => all.nodes.push(serde_json::from_value(manifest)?),
                "NodeClaim" => all.node_claims.push(serde_json::from_value(manifest)?),
                "NodePool" => all.node_pools.push(serde_json::from_value(manifest)?),
                "NodeOverlay" => all.overlays.push(serde_json::from_value(manifest)?),
                "DaemonSet" => all.daemon_sets.push(serde_json::from_value(manifest)?),
                "Namespace" => all.namespaces.push(serde_json::from_value(manifest)?),
                "Service" => all.services.push(serde_json::from_value(manifest)?),
                "ReplicationController" => {
                    all.replication_controllers.push(serde_json::from_value(manifest)?);
                }
                "ReplicaSet" => all.replica_sets.push(serde_json::from_value(manifest)?),
                "StatefulSet" => all.stateful_sets.push(serde_json::from_value(manifest)?),
                "PodDisruptionBudget" => all.budgets.push(serde_json::from_value(manifest)?),
                "PersistentVolumeClaim" => all.volume_claims.push(serde_json::from_value(manifest)?),
                "PersistentVolume" => all.volumes.push(serde_json::from_value(manifest)?),
                "StorageClass" => all.storage_classes.push(serde_json::from_value(manifest)?),
                "ResourceClaim" => drop(all.resource_claims.insert(full_name(&manifest), manifest)),
                "ResourceClaimTemplate" => {
                    all.resource_claim_templates.insert(full_name(&manifest), manifest);
                }
                "DeviceClass" => {
                    let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                    all.device_classes.insert(name, manifest);
                }
                "ResourceSlice" => all.slices.push(manifest),
                "CSINode" => all.csi_nodes.push(serde_json::from_value(manifest)?),
                _ => {}
            }
        }
        Ok(all)
    }
}

/// `namespace/name`.
fn full_name(manifest: &Value) -> String {
    let text = |field: &str| manifest["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}
