//! Objects of the cluster made observations, kind by kind.
//!
//! **Invariant:** an object that cannot be read is said, with its field and what to do about it, and stops nothing else.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::CSINode;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use purser_api::crd::Condition;
use purser_api::{
    FieldError, NodeClass, Object, Origin, Priorities, csi_node, disruption_budget, lenient_object,
    namespace_labels, node_facts, pod_facts,
};
use purser_engine::model::{ClaimFacts, ClaimName, InstanceId, NodeName, PodKey, Time};
use purser_engine::port::Observation;

use crate::Now;
use crate::daemons::Daemons;
use crate::default_spread::DefaultSpread;
use crate::devices::Devices;
use crate::kwok::{Instances, Kubelet};
use crate::pools::{Pool, Pools};
use crate::startups::Startups;
use crate::watching::{Key, Reader};

pub(crate) type Told = Result<Vec<Observation>, FieldError>;

/// Reads pods, for all who have to do with them.
pub(crate) struct Pods {
    pub(crate) kubelet: Kubelet,
    pub(crate) daemons: Daemons,
    pub(crate) devices: Devices,
    pub(crate) default_spread: DefaultSpread,
    pub(crate) pools: Pools,
    pub(crate) startups: Startups,
    pub(crate) now: Now,
}

impl Reader<Pod> for Pods {
    fn saw(&self, pod: &Pod) -> Told {
        self.kubelet.saw(pod);
        self.startups.saw(pod);
        // The API server has given it its priority.
        let mut facts = pod_facts(pod, &Priorities::default(), Origin::Cluster)?;
        facts.claims = self.devices.claims_of(pod);
        self.pools.quiet().saw_pod(pod, &facts, (self.now)());
        let of_daemons = self.daemons.saw_pod(pod, &facts);
        let facts = self.default_spread.saw_pod(pod, facts);
        Ok(of_daemons.into_iter().chain([Observation::Pod(facts)]).collect())
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        let key = key.in_namespace();
        self.pools.quiet().lost_pod(&key, (self.now)());
        self.default_spread.lost_pod(&key);
        self.startups.lost(&key);
        vec![Observation::NoPod(key)]
    }
}

pub(crate) fn node(node: &Node, kubelet: &Kubelet, instances: &Instances, pools: &Pools, now: Time) -> Told {
    kubelet.saw_node(node);
    instances.saw_node(node);
    pools.status().saw_node(node);
    pools.quiet().saw_node(node, now);
    Ok(vec![Observation::Node(node_facts(node)?)])
}

/// A Node that is gone. Where it was the instance too, as with kwok, that is gone with it.
pub(crate) fn no_node(
    key: &Key,
    kubelet: &Kubelet,
    instances: &Instances,
    pools: &Pools,
) -> Vec<Observation> {
    instances.lost_node(&key.name);
    pools.status().lost_node(&key.name);
    pools.quiet().lost_node(&key.name);
    let mut gone = vec![Observation::NoNode(NodeName::new(key.name.as_str()))];
    if kubelet.lost_node(&key.name) {
        gone.push(Observation::NoInstance(InstanceId::new(crate::kwok::provider_id(&key.name))));
    }
    gone
}

pub(crate) fn namespace(namespace: &Namespace) -> Told {
    let (name, labels) = namespace_labels(namespace)?;
    Ok(vec![Observation::Namespace(name, labels)])
}

pub(crate) fn volume_limits(node: &CSINode) -> Told {
    let facts = csi_node(node)?;
    Ok(vec![Observation::VolumeLimits { node: facts.node, limits: facts.drivers }])
}

pub(crate) fn budget(budget: &PodDisruptionBudget) -> Told {
    let facts = disruption_budget(budget)?;
    let policy = budget.spec.as_ref().and_then(|spec| spec.unhealthy_pod_eviction_policy.as_deref());
    Ok(vec![Observation::DisruptionBudget {
        budget: PodKey::new(facts.namespace, facts.name),
        selector: facts.selector,
        // Until its controller has said so, none may go.
        disruptions_allowed: facts.disruptions_allowed.unwrap_or(0),
        always_allow_unhealthy: policy == Some("AlwaysAllow"),
    }])
}

/// A kind of custom resource.
pub(crate) fn resource(group: &str, version: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// The conditions of a custom resource, as far as they can be read.
pub(crate) fn conditions(object: &DynamicObject) -> Vec<Condition> {
    let written = object.data.pointer("/status/conditions").cloned();
    written.and_then(|written| serde_json::from_value(written).ok()).unwrap_or_default()
}

/// A custom resource, read without the fields that a newer version may have added.
pub(crate) fn custom(object: &DynamicObject) -> Result<Object, FieldError> {
    // An object that came as JSON can be written as JSON.
    let value = serde_json::to_value(object).unwrap_or_default();
    let read = lenient_object(value, &Priorities::default())?;
    if !read.unknown.is_empty() {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        tracing::debug!(name, fields = read.unknown.join(", "), "fields that are not known were passed over");
    }
    Ok(read.object)
}

/// A pool. One that cannot be read is not used until it can, and shows why.
pub(crate) fn pool(object: &DynamicObject, pools: &Pools) -> Told {
    let mut own = object.clone();
    // What it shows follows from what is known here, and not the other way round.
    if let Some(data) = own.data.as_object_mut() {
        data.remove("status");
    }
    let facts = match custom(&own) {
        Ok(Object::NodePool(facts)) => facts,
        Ok(_) => return Ok(Vec::new()),
        Err(problem) => {
            pools.status().saw_pool(object, Err(problem.to_string()));
            return Ok(pools.saw_invalid_pool(object.metadata.name.as_deref().unwrap_or_default()));
        }
    };
    pools.status().saw_pool(object, Ok(facts.hash.to_string()));
    pools.quiet().saw_pool(&facts);
    let annotations = object.data.pointer("/spec/template/metadata/annotations");
    let annotations = annotations.and_then(|value| serde_json::from_value(value.clone()).ok());
    let uid = object.metadata.uid.clone().unwrap_or_default();
    Ok(vec![pools.saw_pool(Pool { facts, uid, annotations: annotations.unwrap_or_default() })])
}

pub(crate) fn class(object: &DynamicObject, pools: &Pools) -> Told {
    let Object::NodeClass(class) = custom(object)? else { return Ok(Vec::new()) };
    pools.status().saw_class(object);
    Ok(pools.saw_class(class))
}

/// The facts of a claim; `None` for one whose instance is another provider's business.
pub(crate) fn claim_facts(object: &DynamicObject) -> Result<Option<ClaimFacts>, FieldError> {
    let Object::NodeClaim(facts) = custom(object)? else { return Ok(None) };
    Ok((&*facts.class.0 == "KWOKNodeClass").then(|| facts.observed()))
}

/// The facts of a class.
pub(crate) fn class_facts(object: &DynamicObject) -> Result<Option<NodeClass>, FieldError> {
    let Object::NodeClass(class) = custom(object)? else { return Ok(None) };
    Ok(Some(class))
}

pub(crate) fn claim(object: &DynamicObject, instances: &Instances) -> Told {
    let Some(facts) = claim_facts(object)? else { return Ok(Vec::new()) };
    instances.saw_claim(&facts);
    Ok(vec![Observation::NodeClaim(Arc::new(facts))])
}

pub(crate) fn no_claim(key: &Key) -> Vec<Observation> {
    vec![Observation::NoNodeClaim(ClaimName::new(key.name.as_str()))]
}
