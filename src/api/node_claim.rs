//! NodeClaims, checked and made facts.
//!
//! **Invariant:** a claim that comes out has passed what the API server checks by Karpenter's schema.
//!
//! Source: kubernetes-sigs/karpenter, pkg/apis/v1/nodeclaim.go.

use k8s_openapi::jiff::Timestamp;
use purser_engine::model::{
    ClaimFacts, ClaimName, ClassName, InstanceId, Labels, NodeName, NodeTemplate, PodKey, PoolName,
    Requirements, Resources, Rounding, Span, Str, Taint, Time, Uid, label,
};

use crate::error::{At, FieldError};
use crate::hash::DEFAULT_EXPIRE_AFTER;
use crate::node::instance_id;
use crate::quantity::{annotation, labels, object_name, resources, time};
use crate::{crd, duration, requirement};

/// The annotation with the hash of the NodePool's template that a claim was made of.
pub const HASH_ANNOTATION: &str = "karpenter.sh/nodepool-hash";

/// The annotation with the version of that hash.
pub const HASH_VERSION_ANNOTATION: &str = "karpenter.sh/nodepool-hash-version";

/// The annotation with the moment when what is left on a node that leaves is deleted.
pub const DEADLINE_ANNOTATION: &str = "karpenter.sh/nodeclaim-termination-timestamp";

/// What is known of a NodeClaim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeClaimFacts {
    /// Its name.
    pub name: ClaimName,
    /// Its UID; zero if the object has none.
    pub uid: Uid,
    /// The pool that it belongs to; `None` for a claim that somebody made by hand.
    pub pool: Option<PoolName>,
    /// Its labels.
    pub labels: Labels,
    /// The hash of the template that it was made from, with the version of the hash.
    pub hash: Option<(Str, Str)>,
    /// Requirements on instance type and offering.
    pub requirements: Requirements,
    /// Taints of the node.
    pub taints: Vec<Taint>,
    /// Taints that something removes once the node is set up.
    pub startup_taints: Vec<Taint>,
    /// What the pods that it was made for ask for.
    pub requests: Resources,
    /// The node class: kind and name.
    pub class: (Str, ClassName),
    /// How long the node may take to drain; `None` for ever.
    pub termination_grace: Option<Span>,
    /// The age at which the node is replaced; `None` for never.
    pub expire_after: Option<Span>,
    /// The instance, once launched.
    pub instance: Option<InstanceId>,
    /// The Node, once registered.
    pub node: Option<NodeName>,
    /// What the machine has.
    pub capacity: Resources,
    /// What pods can use.
    pub allocatable: Resources,
    /// Conditions that are true, in the order written.
    pub conditions: Vec<Str>,
    /// When a pod came or went last.
    pub last_pod_event: Option<Time>,
    /// When it was created.
    pub created: Time,
    /// Since when it is being deleted.
    pub deleted: Option<Time>,
    /// When its node has to be gone, as an annotation of it says. One that is no moment says nothing.
    pub deadline: Option<Time>,
}

impl NodeClaimFacts {
    /// Whether a condition, such as `Registered`, is true.
    pub fn is(&self, condition: &str) -> bool {
        self.conditions.iter().any(|name| &**name == condition)
    }

    /// What decisions depend on.
    pub fn observed(&self) -> ClaimFacts {
        let (hash, hash_version) = self.hash.clone().unwrap_or_else(|| ("".into(), "".into()));
        ClaimFacts {
            name: self.name.clone(),
            uid: self.uid,
            pool: self.pool.clone(),
            template: NodeTemplate {
                labels: self.labels.clone(),
                taints: self.taints.clone(),
                startup_taints: self.startup_taints.clone(),
                requirements: self.requirements.clone(),
                class: Some(self.class.clone()),
                termination_grace: self.termination_grace,
                expire_after: self.expire_after,
            },
            requests: self.requests.clone(),
            instance: self.instance.clone(),
            node: self.node.clone(),
            registered: self.is("Registered"),
            initialized: self.is("Initialized"),
            drifted: self.is("Drifted"),
            hash,
            hash_version,
            created: self.created,
            deleted: self.deleted,
            deadline: self.deadline,
        }
    }
}

/// Checks a NodeClaim and makes it a fact.
///
/// # Errors
/// If a field is invalid.
pub fn node_claim(claim: &crd::NodeClaim) -> Result<NodeClaimFacts, FieldError> {
    let (metadata, spec) = (&claim.metadata, &claim.spec);
    let no_status = crd::NodeClaimStatus::default();
    let status = claim.status.as_ref().unwrap_or(&no_status);
    let name = ClaimName::new(object_name(metadata)?);
    let at = At::ROOT.field("spec");
    let (taints, startup_taints) =
        requirement::taints(&at, spec.taints.as_deref(), spec.startup_taints.as_deref())?;
    let grace = spec.termination_grace_period.as_deref();
    let grace_at = at.field("terminationGracePeriod");
    let expire_after = spec.expire_after.as_deref().unwrap_or(DEFAULT_EXPIRE_AFTER);
    let requests_at = at.field("resources");
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let status_at = At::ROOT.field("status");
    let own = labels(metadata.labels.as_ref());
    let hash = annotation(metadata, HASH_ANNOTATION);
    let version = annotation(metadata, HASH_VERSION_ANNOTATION);
    let deadline = annotation(metadata, DEADLINE_ANNOTATION);
    let deadline = deadline.and_then(|text| text.parse::<Timestamp>().ok());
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(NodeName::from);
    Ok(NodeClaimFacts {
        uid: crate::pod::uid(metadata.uid.as_deref(), &PodKey::new("", name.as_shared().clone())),
        name,
        pool: own.get(label::NODEPOOL).map(|name| PoolName::new(name.clone())),
        labels: own,
        hash: hash.map(|hash| (hash.into(), version.unwrap_or_default().into())),
        requirements: requirement::requirements(&at.field("requirements"), &spec.requirements)?,
        taints,
        startup_taints,
        requests: resources(&requests_at.field("requests"), requests, Rounding::Up)?,
        class: requirement::class(&at.field("nodeClassRef"), &spec.node_class_ref)?,
        termination_grace: grace.map(|grace| duration::plain(&grace_at, grace)).transpose()?,
        expire_after: duration::nillable(&at.field("expireAfter"), expire_after)?,
        instance: status.provider_id.as_deref().and_then(instance_id),
        node: text(status.node_name.as_deref()),
        capacity: resources(&status_at.field("capacity"), status.capacity.as_ref(), Rounding::Down)?,
        allocatable: resources(&status_at.field("allocatable"), status.allocatable.as_ref(), Rounding::Down)?,
        conditions: status
            .conditions
            .iter()
            .filter(|condition| condition.status == "True")
            .map(|condition| condition.kind.as_str().into())
            .collect(),
        last_pod_event: status.last_pod_event_time.as_ref().map(|moment| time(Some(moment))),
        created: time(metadata.creation_timestamp.as_ref()),
        deleted: metadata.deletion_timestamp.as_ref().map(|moment| time(Some(moment))),
        deadline: deadline.map(|moment| Time(moment.as_microsecond())),
    })
}
