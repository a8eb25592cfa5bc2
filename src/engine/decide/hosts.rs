//! Where pods can go without a launch: nodes, and claims that are on their way.
//!
//! **Invariant:** a target that takes a pod here also takes it by kube-scheduler's filters once the node is there; what cannot be
//! told yet of a claim without an instance counts against it.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::event::{Place, SpecId, Target};
use crate::model::{
    ClaimName, Labels, PodSpec, Requirements, Resources, Str, Taint, Unsatisfiable, first_untolerated, label,
};
use crate::reason::{Reason, ReasonId};
use crate::state::{Claim, Node, State};

/// A target with what is left of it.
pub(super) struct Host<'a> {
    pub target: Target,
    /// What is left for pods, plans and daemon pods yet to come taken off.
    pub free: Resources,
    /// The number of records folded when room was last made here.
    pub changed: u64,
    shape: Shape<'a>,
    /// Specs of the pods that this evaluation sent here.
    sent: Vec<SpecId>,
    /// Specs of the pods that were here or expected before, once somebody asked: only constraints between pods need them.
    before: OnceCell<Vec<SpecId>>,
}

enum Shape<'a> {
    Node(&'a Node, Option<&'a Claim>),
    /// An instance, no node yet: labels of its type, its place and its pool.
    Launched {
        claim: &'a Claim,
        labels: Labels,
        taints: &'a [Taint],
    },
    /// No instance yet: any of the options.
    Launching {
        claim: &'a Claim,
        taints: &'a [Taint],
    },
}

/// All targets: initialized nodes first, then by name.
pub(super) fn all<'a>(state: &'a State, leaving: &BTreeSet<ClaimName>) -> Vec<Host<'a>> {
    let mut hosts = Vec::new();
    for claim in state.claims.values() {
        if claim.disrupting.is_some() || leaving.contains(&claim.name) {
            continue;
        }
        if let Some(host) = of_claim(state, claim) {
            hosts.push((claim.initialized.is_none(), host));
        }
    }
    for (name, node) in &state.nodes {
        if state.claim_of_node(name).is_none() && !is_ours(node) && node.facts.ready {
            hosts.push((false, of_node(state, node, None)));
        }
    }
    hosts.sort_by(|(a_new, a), (b_new, b)| (a_new, &a.target).cmp(&(b_new, &b.target)));
    hosts.into_iter().map(|(_, host)| host).collect()
}

/// Whether a node came of a NodePool: without a claim it is on its way out.
fn is_ours(node: &Node) -> bool {
    node.facts.labels.contains_key(label::NODEPOOL)
}

fn of_claim<'a>(state: &'a State, claim: &'a Claim) -> Option<Host<'a>> {
    if let Some(node) = claim.node.as_ref().and_then(|node| state.nodes.get(node)) {
        return Some(of_node(state, node, Some(claim)));
    }
    let template = &claim.template.template;
    let (offered, shape) = match &claim.instance {
        Some(instance) => {
            let instance_type = state.types.get(&instance.instance_type)?;
            let mut labels = template.labels.clone();
            for (key, requirement) in instance_type.requirements.iter() {
                if let (false, Some(value)) = (requirement.is_complement(), requirement.values().first()) {
                    labels.insert(key.clone(), value.clone());
                }
            }
            labels.insert(label::NODEPOOL.into(), claim.pool.as_shared().clone());
            labels.insert(label::ZONE.into(), instance.zone.as_shared().clone());
            labels.insert(label::CAPACITY_TYPE.into(), instance.capacity_type.as_str().into());
            (instance_type.allocatable(), Shape::Launched { claim, labels, taints: &template.taints })
        }
        None => (claim.floor.clone(), Shape::Launching { claim, taints: &template.taints }),
    };
    let mut free = offered.minus(&claim.planned.requests);
    free = free.minus(&claim.daemons);
    let target = Target::Claim(claim.name.clone());
    Some(Host { target, free, changed: claim.changed.0, shape, sent: Vec::new(), before: OnceCell::new() })
}

fn of_node<'a>(state: &'a State, node: &'a Node, claim: Option<&'a Claim>) -> Host<'a> {
    let planned = claim.map_or(&node.planned, |claim| &claim.planned);
    let mut free = node.facts.allocatable.minus(&planned.requests);
    let mut changed = node.changed.max(claim.map_or(node.changed, |claim| claim.changed));
    let mut daemons = claim.map(|claim| claim.daemons.clone()).unwrap_or_default();
    if let Some(occupancy) = state.occupancy(&node.facts.name) {
        free = free.minus(&occupancy.used);
        daemons = daemons.minus(&occupancy.used_by_daemons).elementwise_max(&Resources::default());
        changed = changed.max(occupancy.freed);
    }
    // Daemon pods that are still to come.
    free = free.minus(&daemons);
    let target = match claim {
        Some(claim) => Target::Claim(claim.name.clone()),
        None => Target::Node(node.facts.name.clone()),
    };
    Host {
        target,
        free,
        changed: changed.0,
        shape: Shape::Node(node, claim),
        sent: Vec::new(),
        before: OnceCell::new(),
    }
}

impl Host<'_> {
    /// Why a pod cannot go here; `None` if it can.
    pub(super) fn rejects(&self, state: &State, spec_id: SpecId) -> Option<(ReasonId, String)> {
        let spec = state.spec(spec_id);
        if let Some((resource, asked, free)) = spec.requests.first_excess(&self.free) {
            return Some((ReasonId::TooLarge, format!("{resource}: asked {asked}, free {free}")));
        }
        if let Some(taint) = self.untolerated(spec) {
            return Some((ReasonId::TaintNotTolerated, taint.key.to_string()));
        }
        if let Some(label) = self.conflict(state, spec, spec_id) {
            return Some((ReasonId::RequirementsConflict, label));
        }
        if spec.spread.is_empty() && spec.host_ports.is_empty() {
            return None;
        }
        let others: Vec<SpecId> = self.before(state).iter().chain(&self.sent).copied().collect();
        beside_others(state, spec, &others)
    }

    /// Specs of the pods that were here or expected before this evaluation.
    fn before(&self, state: &State) -> &[SpecId] {
        self.before.get_or_init(|| {
            let (planned, node) = match &self.shape {
                Shape::Node(node, claim) => {
                    (claim.map_or(&node.planned, |claim| &claim.planned), Some(&node.facts.name))
                }
                Shape::Launched { claim, .. } | Shape::Launching { claim, .. } => (&claim.planned, None),
            };
            let there =
                node.and_then(|node| state.occupancy(node)).into_iter().flat_map(|occupancy| &occupancy.pods);
            planned.pods.iter().chain(there).filter_map(|pod| Some(state.pods.get(pod)?.spec)).collect()
        })
    }

    /// The same, as a reason.
    pub(super) fn reason(&self, state: &State, spec: SpecId) -> Option<Reason> {
        let (id, detail) = self.rejects(state, spec)?;
        Some(Reason::new(id, [("target", self.target.to_string()), ("detail", detail)]))
    }

    /// Sets aside what a pod asks for.
    pub(super) fn take(&mut self, state: &State, spec: SpecId) {
        self.free.subtract(&state.spec(spec).requests);
        self.sent.push(spec);
    }

    fn untolerated(&self, spec: &PodSpec) -> Option<&Taint> {
        match &self.shape {
            Shape::Launched { taints, .. } | Shape::Launching { taints, .. } => {
                first_untolerated(*taints, &spec.tolerations)
            }
            Shape::Node(node, claim) => {
                // What goes away by itself while a node starts does not count before it is initialized.
                let starting = claim.is_some_and(|claim| claim.initialized.is_none());
                let cordoned = node.facts.unschedulable && !starting;
                let taints = node.facts.taints.iter();
                first_untolerated(
                    taints.filter(|taint| !(starting && (taint.is_ephemeral() || is_startup(claim, taint)))),
                    &spec.tolerations,
                )
                .or_else(|| {
                    cordoned.then_some(&*CORDONED).filter(|taint| !taint.is_tolerated_by(&spec.tolerations))
                })
            }
        }
    }

    /// The label by which a pod cannot go here.
    fn conflict(&self, state: &State, spec: &PodSpec, spec_id: SpecId) -> Option<String> {
        let wanted = spec.node_alternatives();
        let unmet = |labels: &Labels| {
            let first: Vec<Option<&str>> = wanted.iter().map(|wanted| wanted.first_unmet(labels)).collect();
            if first.iter().any(Option::is_none) {
                None
            } else {
                first.into_iter().flatten().next().map(str::to_owned)
            }
        };
        match &self.shape {
            Shape::Node(node, _) => unmet(&node.facts.labels),
            Shape::Launched { labels, .. } => unmet(labels),
            Shape::Launching { claim, .. } => {
                let free_to_choose = wanted.iter().any(Requirements::is_empty)
                    || (self.sent.contains(&spec_id) || self.before(state).contains(&spec_id));
                let settled = || wanted.iter().any(|wanted| all_options_satisfy(state, claim, wanted));
                (!free_to_choose && !settled()).then(|| "instance type not settled yet".to_owned())
            }
        }
    }
}

/// Whether any option in any of its places satisfies requirements.
fn all_options_satisfy(state: &State, claim: &Claim, wanted: &Requirements) -> bool {
    let place_satisfies = |place: &Place| {
        wanted.get(label::ZONE).is_none_or(|r| r.has(place.zone.as_str()))
            && wanted.get(label::CAPACITY_TYPE).is_none_or(|r| r.has(place.capacity_type.as_str()))
    };
    claim.places.iter().all(place_satisfies)
        && wanted.iter().all(|(key, wanted)| match &**key {
            label::ZONE | label::CAPACITY_TYPE => true,
            _ => claim.options.iter().all(|option| {
                let of_type = state.types.get(&option.instance_type).and_then(|t| t.requirements.get(key));
                match of_type.or_else(|| claim.requirements.get(key)) {
                    Some(own) => !own.is_complement() && own.values().iter().all(|value| wanted.has(value)),
                    None => wanted.tolerates_absence(),
                }
            }),
        })
}

fn is_startup(claim: &Option<&Claim>, taint: &Taint) -> bool {
    claim.is_some_and(|claim| {
        claim
            .template
            .template
            .startup_taints
            .iter()
            .any(|own| own.key == taint.key && own.effect == taint.effect)
    })
}

/// What a cordoned node is as a taint.
static CORDONED: std::sync::LazyLock<Taint> = std::sync::LazyLock::new(|| Taint {
    key: Str::from("node.kubernetes.io/unschedulable"),
    value: Str::from(""),
    effect: crate::model::TaintEffect::NoSchedule,
});

/// Why a pod of this spec cannot be beside the others on one node; `None` if it can.
///
/// A new node can always be launched, so the emptiest node counts as having none, as in Karpenter.
pub(super) fn beside_others(state: &State, spec: &PodSpec, others: &[SpecId]) -> Option<(ReasonId, String)> {
    for spread in &spec.spread {
        if &*spread.topology_key != label::HOSTNAME
            || spread.when_unsatisfiable != Unsatisfiable::DoNotSchedule
        {
            continue;
        }
        let own = usize::from(spread.selector.matches(&spec.labels));
        let there = others.iter().filter(|id| spread.selector.matches(&state.spec(**id).labels)).count();
        if there + own > spread.max_skew as usize {
            return Some((
                ReasonId::SpreadExceeded,
                format!("maxSkew {} on {}", spread.max_skew, label::HOSTNAME),
            ));
        }
    }
    for port in &spec.host_ports {
        let taken = others.iter().flat_map(|id| &state.spec(*id).host_ports).any(|other| {
            other.port == port.port
                && other.protocol == port.protocol
                && (other.ip == port.ip || is_unspecified(&other.ip) || is_unspecified(&port.ip))
        });
        if taken {
            return Some((ReasonId::HostPortTaken, port.port.to_string()));
        }
    }
    None
}

fn is_unspecified(ip: &str) -> bool {
    matches!(ip, "" | "0.0.0.0" | "::")
}

/// The first required constraint of a spec that is not evaluated, by its field.
pub(super) fn not_evaluated(spec: &PodSpec) -> Option<String> {
    let spread = spec
        .spread
        .iter()
        .find(|s| s.when_unsatisfiable == Unsatisfiable::DoNotSchedule && &*s.topology_key != label::HOSTNAME)
        .map(|s| format!("topologySpreadConstraints on {}", s.topology_key));
    let affinity =
        spec.affinity.iter().find(|term| term.weight.is_none()).map(|term| {
            format!("pod{}Affinity on {}", if term.anti { "Anti" } else { "" }, term.topology_key)
        });
    let claims = spec.resource_claims.first().map(|claim| format!("resourceClaims: {claim}"));
    spread.or(affinity).or(claims)
}
