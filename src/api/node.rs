//! Nodes made facts.
//!
//! **Invariant:** what a node offers is never more than it says: amounts are rounded down.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use purser_engine::model::{InstanceId, NodeFacts, NodeName, Rounding, Taint, TaintEffect, label};

use crate::error::{At, FieldError};
use crate::quantity::{annotation, labels, object_name, resources, time};

/// Makes a Node a fact.
///
/// # Errors
/// If a field is invalid.
pub fn node_facts(node: &Node) -> Result<NodeFacts, FieldError> {
    let metadata = &node.metadata;
    let mut own = labels(metadata.labels.as_ref());
    own.remove(label::HOSTNAME);
    let (spec, status) = (node.spec.as_ref(), node.status.as_ref());
    let at = At::ROOT.field("status");
    // The API server lets capacity stand in (`SetDefaults_NodeStatus` in pkg/apis/core/v1/defaults.go).
    let (field, list) = match status.and_then(|status| status.allocatable.as_ref()) {
        Some(list) => ("allocatable", Some(list)),
        None => ("capacity", status.and_then(|status| status.capacity.as_ref())),
    };
    let allocatable = resources(&at.field(field), list, Rounding::Down)?;
    let ready = status.and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    Ok(NodeFacts {
        name: NodeName::new(object_name(metadata)?),
        instance: spec.and_then(|spec| spec.provider_id.as_deref()).and_then(instance_id),
        labels: Arc::new(own),
        taints: spec.map(taints).transpose()?.unwrap_or_default(),
        allocatable,
        ready,
        unschedulable: spec.is_some_and(|spec| spec.unschedulable == Some(true)),
        // Unlike on a pod, a duration means nothing here: Karpenter compares with "true" alone.
        do_not_disrupt: annotation(metadata, "karpenter.sh/do-not-disrupt") == Some("true"),
        created: time(metadata.creation_timestamp.as_ref()),
        deleting: metadata.deletion_timestamp.is_some(),
    })
}

/// The instance behind a provider id: `i-…` of `aws:///zone/i-…`, and the whole text of any other.
pub fn instance_id(provider_id: &str) -> Option<InstanceId> {
    let id = match provider_id.strip_prefix("aws:///") {
        Some(path) => path.rsplit('/').next().unwrap_or(path),
        None => provider_id,
    };
    (!id.is_empty()).then(|| InstanceId::new(id))
}

fn taints(spec: &k8s_openapi::api::core::v1::NodeSpec) -> Result<Vec<Taint>, FieldError> {
    let at = At::ROOT.field("spec");
    let list = at.field("taints");
    let read = |(index, written): (usize, &k8s_openapi::api::core::v1::Taint)| {
        let at = list.index(index);
        Ok(Taint {
            key: written.key.as_str().into(),
            value: written.value.as_deref().unwrap_or_default().into(),
            effect: effect(&at.field("effect"), &written.effect)?,
        })
    };
    spec.taints.iter().flatten().enumerate().map(read).collect()
}

/// The effect of a taint or toleration.
pub(crate) fn effect(at: &At<'_>, text: &str) -> Result<TaintEffect, FieldError> {
    match text {
        "NoSchedule" => Ok(TaintEffect::NoSchedule),
        "PreferNoSchedule" => Ok(TaintEffect::PreferNoSchedule),
        "NoExecute" => Ok(TaintEffect::NoExecute),
        other => {
            let problem = format!("{other:?} is not the effect of a taint");
            Err(at.error(problem, "write NoSchedule, PreferNoSchedule or NoExecute"))
        }
    }
}

#[cfg(test)]
mod tests {
    use purser_engine::model::Time;
    use serde_json::{Value, json};

    use super::*;
    use crate::decode::decode;

    fn read(value: Value) -> Result<NodeFacts, FieldError> {
        node_facts(&decode(&value).unwrap())
    }

    #[test]
    fn a_node_is_read() {
        let node = read(json!({
            "metadata": {"name": "n", "creationTimestamp": "2026-01-02T03:04:05Z",
                "annotations": {"karpenter.sh/do-not-disrupt": "true"},
                "labels": {"kubernetes.io/hostname": "n", "kubernetes.io/arch": "arm64"}},
            "spec": {"providerID": "aws:///us-east-1a/i-0abc", "unschedulable": true,
                "taints": [{"key": "a", "effect": "NoExecute"}]},
            "status": {"allocatable": {"cpu": "1930500u", "memory": "3055Mi", "pods": "29"},
                "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap();
        assert_eq!(node.instance, Some(InstanceId::new("i-0abc")));
        assert_eq!(node.labels.len(), 1);
        assert_eq!(node.allocatable.to_string(), "cpu=1930m memory=3055Mi pods=29");
        assert_eq!(
            node.taints,
            [Taint { key: "a".into(), value: "".into(), effect: TaintEffect::NoExecute }]
        );
        assert!(node.ready && node.unschedulable && node.do_not_disrupt && !node.deleting);
        assert_eq!(node.created, Time(1_767_323_045_000_000));
    }

    #[test]
    fn a_bare_node_is_read_and_capacity_stands_in() {
        let node = read(json!({"metadata": {"name": "n"}})).unwrap();
        assert!(!node.ready && node.instance.is_none() && node.allocatable.iter().next().is_none());
        let node = read(json!({"metadata": {"name": "n"}, "status": {"capacity": {"cpu": 4}}})).unwrap();
        assert_eq!(node.allocatable.cpu_millis, 4_000);
    }

    #[test]
    fn provider_ids_give_instances() {
        for (text, id) in [("aws:///us-east-1a/i-1", "i-1"), ("kwok://n", "kwok://n"), ("i-2", "i-2")] {
            assert_eq!(instance_id(text), Some(InstanceId::new(id)));
        }
        assert_eq!(instance_id(""), None);
    }

    #[test]
    fn errors_name_the_field() {
        for (value, text) in [
            (json!({}), "metadata.name: is missing: give the object a name"),
            (
                json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": "Never"}]}}),
                "spec.taints[0].effect: \"Never\" is not the effect of a taint: write NoSchedule, PreferNoSchedule or \
                 NoExecute",
            ),
            (
                json!({"metadata": {"name": "n"}, "status": {"allocatable": {"memory": "-1"}}}),
                "status.allocatable[memory]: \"-1\" is negative: write zero or more",
            ),
        ] {
            assert_eq!(read(value).unwrap_err().to_string(), text);
        }
    }
}
