//! Pods with everything that decides where they can go, worked out once.
//!
//! Invariant: only what is required is kept; preferences never reach a rule.

use std::collections::BTreeSet;

use crate::demand::Demand;
use crate::model::Scenario;
use crate::objects::{self, Labels, PodAffinityTerm, Toleration};
use crate::quantity::Resources;
use crate::resources::{HostPort, host_ports, pod_requests};
use crate::selector::Selector;
use crate::sets::Dialect;
use crate::spread::{Spread, spreads_of};
use crate::volumes::{Volumes, volumes_of};

/// A pod as the rules see it.
#[derive(Clone, Debug)]
pub(crate) struct Pod<'a> {
    /// `namespace/name`.
    pub(crate) key: String,
    pub(crate) namespace: &'a str,
    pub(crate) labels: &'a Labels,
    pub(crate) tolerations: &'a [Toleration],
    pub(crate) requests: Resources,
    pub(crate) ports: Vec<HostPort>,
    /// `spec.nodeSelector`.
    pub(crate) selector: Demand,
    /// Required node affinity.
    pub(crate) affinity: Demand,
    pub(crate) volumes: Volumes,
    pub(crate) spreads: Vec<Spread>,
    pub(crate) with: Vec<Term>,
    pub(crate) without: Vec<Term>,
    /// Deleted or finished: such a pod counts for no topology.
    pub(crate) leaving: bool,
    /// Succeeded or failed: such a pod holds no resources.
    pub(crate) finished: bool,
    pub(crate) wants_devices: bool,
    pub(crate) object: &'a objects::Pod,
}

impl<'a> Pod<'a> {
    pub(crate) fn new(object: &'a objects::Pod, scenario: &Scenario, dialect: &Dialect) -> Self {
        let (meta, spec) = (&object.metadata, &object.spec);
        let finished = matches!(object.status.phase.as_str(), "Succeeded" | "Failed");
        let affinity = spec.affinity.node_affinity.required.as_ref();
        let terms = |terms: &[PodAffinityTerm]| -> Vec<Term> {
            terms.iter().map(|term| Term::new(term, meta, scenario, dialect)).collect()
        };
        let containers = spec.containers.iter().chain(&spec.init_containers);
        Self {
            key: format!("{}/{}", meta.namespace, meta.name),
            namespace: &meta.namespace,
            labels: &meta.labels,
            tolerations: &spec.tolerations,
            requests: pod_requests(spec, &object.status),
            ports: host_ports(spec),
            selector: Demand::of_labels(&spec.node_selector, dialect),
            affinity: affinity.map(|selector| Demand::of_selector(selector, dialect)).unwrap_or_default(),
            volumes: volumes_of(object, scenario, dialect),
            spreads: spreads_of(object, scenario, dialect),
            with: terms(&spec.affinity.pod_affinity.required),
            without: terms(&spec.affinity.pod_anti_affinity.required),
            leaving: finished || meta.deletion_timestamp.is_some(),
            finished,
            wants_devices: !spec.resource_claims.is_empty()
                || containers.into_iter().any(|container| !container.resources.claims.is_empty()),
            object,
        }
    }

    /// Node selector and required node affinity together.
    pub(crate) fn node_demand(&self) -> Demand {
        self.selector.clone().and(self.affinity.clone())
    }

    /// All that the pod demands of a node's labels, its volumes included.
    pub(crate) fn whole_demand(&self) -> Demand {
        self.node_demand().and(self.volumes.demand.clone())
    }

    /// Each label key of nodes that some rule for this pod looks at.
    pub(crate) fn keys(&self) -> BTreeSet<String> {
        let mut keys: BTreeSet<String> = self.whole_demand().keys().map(str::to_owned).collect();
        keys.extend(self.spreads.iter().map(|spread| spread.key.clone()));
        keys.extend(self.with.iter().chain(&self.without).map(|term| term.key.clone()));
        keys
    }
}

/// A required term of pod affinity or anti-affinity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// The topology key.
    pub(crate) key: String,
    namespaces: BTreeSet<String>,
    selector: Selector,
}

impl Term {
    fn new(term: &PodAffinityTerm, own: &objects::Meta, scenario: &Scenario, dialect: &Dialect) -> Self {
        let mut namespaces: BTreeSet<String> = term.namespaces.iter().cloned().collect();
        match &term.namespace_selector {
            None if namespaces.is_empty() => {
                namespaces.insert(own.namespace.clone());
            }
            None => {}
            Some(selector) => {
                let selector = Selector::new(Some(selector));
                let all = scenario.objects.namespaces.iter().map(|namespace| &namespace.metadata);
                let selected =
                    all.filter(|meta| selector.matches(&meta.labels)).map(|meta| meta.name.clone());
                namespaces.extend(selected);
                // A scenario need not list the namespace of the pod for the selector of all namespaces.
                if selector.matches(&Labels::new()) && selector.is_trivial() {
                    let pods = scenario.objects.pods.iter();
                    namespaces.extend(pods.map(|pod| pod.metadata.namespace.clone()));
                }
            }
        }
        let mut selector = Selector::new(term.label_selector.as_ref());
        selector.narrow(&term.match_label_keys, &own.labels, true);
        selector.narrow(&term.mismatch_label_keys, &own.labels, false);
        Self { key: dialect.key(&term.topology_key), namespaces, selector }
    }

    pub(crate) fn matches(&self, pod: &Pod<'_>) -> bool {
        self.namespaces.contains(pod.namespace) && self.selector.matches(pod.labels)
    }
}
