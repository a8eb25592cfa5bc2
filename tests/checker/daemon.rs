//! Daemon sets: the pods that come with a node before any pending pod does.
//!
//! Invariant: a daemon set's own pods are never placed by a result; they only take their share of the node.

use crate::demand::{Demand, Profile};
use crate::model::Scenario;
use crate::objects::{self, Taint, Toleration};
use crate::quantity::Resources;
use crate::resources::{HostPort, host_ports, pod_requests};
use crate::sets::Dialect;
use crate::taints::repelled_by;

/// What one daemon set runs on each node that suits it.
#[derive(Clone, Debug)]
pub(crate) struct Daemon<'a> {
    pub(crate) name: String,
    object: &'a objects::DaemonSet,
    demand: Demand,
    tolerations: &'a [Toleration],
    pub(crate) requests: Resources,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) wants_devices: bool,
}

impl<'a> Daemon<'a> {
    pub(crate) fn new(object: &'a objects::DaemonSet, scenario: &'a Scenario, dialect: &Dialect) -> Self {
        let template = &object.spec.template.spec;
        // Admission may have changed what the template says (limit ranges, overhead), so a pod that exists knows better.
        let pods = scenario.objects.pods.iter().filter(|pod| is_owned(pod, object));
        let newest = pods.max_by_key(|pod| &pod.metadata.creation_timestamp);
        let none = objects::PodStatus::default();
        let (spec, status) = newest.map_or((template, &none), |pod| (&pod.spec, &pod.status));
        let affinity = template.affinity.node_affinity.required.as_ref();
        let affinity = affinity.map(|selector| Demand::of_selector(selector, dialect)).unwrap_or_default();
        Self {
            name: format!("{}/{}", object.metadata.namespace, object.metadata.name),
            object,
            demand: Demand::of_labels(&spec.node_selector, dialect).and(affinity),
            tolerations: &spec.tolerations,
            requests: pod_requests(spec, status),
            ports: host_ports(spec),
            wants_devices: !spec.resource_claims.is_empty(),
        }
    }

    pub(crate) fn owns(&self, pod: &objects::Pod) -> bool {
        is_owned(pod, self.object)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.demand.keys()
    }

    /// Whether a node with these looks would get a pod of the daemon set.
    pub(crate) fn may_run_on(&self, profile: &Profile, taints: &[Taint]) -> bool {
        repelled_by(self.tolerations, taints).is_none() && self.demand.may_hold_on(profile)
    }

    /// Whether a node with these looks gets one however it turns out.
    pub(crate) fn runs_on(&self, profile: &Profile, taints: &[Taint]) -> bool {
        repelled_by(self.tolerations, taints).is_none() && self.demand.holds_on(profile)
    }
}

fn is_owned(pod: &objects::Pod, set: &objects::DaemonSet) -> bool {
    pod.metadata.namespace == set.metadata.namespace
        && pod.metadata.owner_references.iter().any(|owner| {
            owner.kind == "DaemonSet"
                && owner.name == set.metadata.name
                && (owner.uid.is_empty() || set.metadata.uid.is_empty() || owner.uid == set.metadata.uid)
        })
}
