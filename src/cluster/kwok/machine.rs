//! What a launched machine looks like: the labels that it gives its claim, and its Node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time as Moment};
use purser_engine::model::{ClaimFacts, Requirement, Time, label};
use purser_engine::port::LaunchRequest;

use super::{Choice, provider_id};
use crate::claim::{effect, quantities};
use crate::error::ClusterError;
use crate::timestamp;

/// What says that nobody but a stand-in runs this node.
pub(super) const FAKE: (&str, &str) = ("kwok.x-k8s.io/node", "fake");

/// The labels of a claim and of its node: the template's, the machine's, and the first value that is allowed of any other.
pub(super) fn labels(choice: &Choice<'_>, request: &LaunchRequest) -> BTreeMap<String, String> {
    let listed = |requirement: &Requirement| match requirement.is_complement() {
        true => None,
        false => requirement.values().first().map(ToString::to_string),
    };
    let mut labels: BTreeMap<String, String> = request
        .requirements
        .iter()
        .filter(|(key, _)| !label::is_well_known(key) && &***key != label::HOSTNAME)
        .filter_map(|(key, requirement)| Some((key.to_string(), listed(requirement)?)))
        .collect();
    let template = &request.template.template;
    labels.extend(template.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    let own = choice.instance_type.requirements.iter();
    labels.extend(
        own.filter_map(|(key, requirement)| Some((key.to_string(), requirement.sole()?.to_string()))),
    );
    if let Some((kind, class)) = &template.class {
        labels.insert(format!("karpenter.kwok.sh/{}", kind.to_lowercase()), class.to_string());
    }
    for (key, value) in [
        (label::ZONE, choice.offering.zone.as_str()),
        (label::CAPACITY_TYPE, choice.offering.capacity_type.as_str()),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    if let Some(pool) = &request.pool {
        labels.insert(label::NODEPOOL.to_owned(), pool.to_string());
    }
    labels
}

/// The Node of a claim, as its kubelet would make it: ready, and marked as not registered.
pub(super) fn node(
    name: &str,
    claim: &ClaimFacts,
    choice: &Choice<'_>,
    now: Time,
) -> Result<Node, ClusterError> {
    let (name, template) = (name.to_owned(), &claim.template);
    let own = template.labels.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    let mut labels: BTreeMap<String, String> = own.collect();
    let price = choice.offering.price.as_usd().to_string();
    for (key, value) in [
        (label::HOSTNAME, name.as_str()),
        (FAKE.0, FAKE.1),
        ("kwok-partition", "a"),
        ("eks-node-viewer/instance-price", price.as_str()),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    let of = |label: &str| labels.get(label).cloned().unwrap_or_default();
    let info = NodeSystemInfo {
        architecture: of(label::ARCH),
        operating_system: of(label::OS),
        kubelet_version: "fake".to_owned(),
        ..NodeSystemInfo::default()
    };
    let unregistered = Taint {
        key: "karpenter.sh/unregistered".to_owned(),
        effect: "NoExecute".to_owned(),
        ..Taint::default()
    };
    let own = template.taints.iter().chain(&template.startup_taints).map(|taint| Taint {
        key: taint.key.to_string(),
        value: Some(taint.value.to_string()).filter(|value| !value.is_empty()),
        effect: effect(taint.effect).as_str().to_owned(),
        time_added: None,
    });
    let since = Moment(timestamp(now)?);
    let condition = |kind: &str, status: &str, reason: &str| NodeCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(String::new()),
        last_heartbeat_time: Some(since.clone()),
        last_transition_time: Some(since.clone()),
    };
    Ok(Node {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            annotations: Some([(FAKE.0.to_owned(), FAKE.1.to_owned())].into()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            provider_id: Some(provider_id(&name)),
            taints: Some(std::iter::once(unregistered).chain(own).collect()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            capacity: Some(quantities(&choice.instance_type.capacity)),
            allocatable: Some(quantities(&choice.instance_type.allocatable())),
            addresses: Some(vec![NodeAddress { address: name, type_: "Hostname".to_owned() }]),
            conditions: Some(vec![
                condition("Ready", "True", "KubeletReady"),
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            ]),
            node_info: Some(info),
            ..NodeStatus::default()
        }),
    })
}
