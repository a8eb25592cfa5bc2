//! Where pods can go without a launch: nodes, and claims that are on their way.
//!
//! **Invariant:** a target that takes a pod here also takes it by kube-scheduler's filters once the node is there; what cannot be
//! told yet of a claim without an instance counts against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use super::Pass;
use crate::event::{Place, SpecId, Target};
use crate::model::{
    Labels, NodeName, PodSpec, Requirements, Resources, Str, Taint, Time, Unsatisfiable, first_untolerated,
    label,
};
use crate::reason::{Reason, ReasonId};
use crate::state::{Claim, Node, State};

/// All targets, in the order in which pods are sent to them, and by when room was last made.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    by_rank: BTreeMap<Rank, Host>,
    by_change: BTreeSet<(u64, Rank)>,
    ranks: BTreeMap<Target, Rank>,
    /// The records up to which this is so; `None` before the first evaluation.
    size: Option<u64>,
}

/// Initialized nodes first, then by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    starting: bool,
    target: Target,
}

/// A target with what is left of it.
#[derive(Debug)]
pub(super) struct Host {
    pub target: Target,
    /// What is left for pods, plans and daemon pods yet to come taken off.
    pub free: Resources,
    /// The number of records folded when room was last made here.
    changed: u64,
    /// Labels of an instance without a node: those of its type, its place and its pool.
    labels: Option<Labels>,
    /// When it is given up as a place for pods unless it is initialized.
    due: Option<Time>,
    /// Specs of the pods that this evaluation sent here.
    sent: Vec<SpecId>,
    /// Specs of the pods that were here or expected before, once somebody asked: only constraints between pods need them.
    before: OnceLock<Vec<SpecId>>,
}

/// How a target looks to pods.
enum Site<'a> {
    Node(&'a Node, Option<&'a Claim>),
    /// An instance, no node yet.
    Launched(&'a Claim, &'a Labels),
    /// No instance yet: any of the options.
    Launching(&'a Claim),
}

impl Hosts {
    /// Brings them up to date and leaves out what this evaluation removes.
    pub(super) fn refresh(&mut self, pass: &Pass<'_>) {
        let state = pass.state;
        match self.size.and_then(|size| state.touched().since(size)) {
            Some(touched) => {
                // The same target comes up again and again.
                let touched: BTreeSet<&Target> = touched.collect();
                touched.into_iter().for_each(|target| self.look_at(state, target));
            }
            None => self.look_at_all(state),
        }
        self.size = Some(state.size);
        for claim in &pass.leaving {
            self.remove(&Target::Claim(claim.clone()));
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn look_at_all(&mut self, state: &State) {
        self.clear();
        for name in state.claims.keys() {
            self.look_at(state, &Target::Claim(name.clone()));
        }
        for name in state.nodes.keys() {
            self.look_at(state, &Target::Node(name.clone()));
        }
    }

    fn look_at(&mut self, state: &State, target: &Target) {
        self.remove(target);
        let (starting, host) = match target {
            Target::Claim(name) => {
                let Some(claim) = state.claims.get(name).filter(|claim| claim.disrupting.is_none()) else {
                    return;
                };
                (claim.initialized.is_none(), of_claim(state, claim))
            }
            Target::Node(name) => {
                let takes = |node: &&Node| node.facts.ready && !is_ours(node);
                let Some(node) = state.nodes.get(name).filter(takes) else { return };
                (false, state.claim_of_node(name).is_none().then(|| of_node(state, node, None)))
            }
        };
        if let Some(host) = host {
            let rank = Rank { starting, target: target.clone() };
            self.by_change.insert((host.changed, rank.clone()));
            self.ranks.insert(target.clone(), rank.clone());
            self.by_rank.insert(rank, host);
        }
    }

    fn remove(&mut self, target: &Target) {
        if let Some(rank) = self.ranks.remove(target)
            && let Some(host) = self.by_rank.remove(&rank)
        {
            self.by_change.remove(&(host.changed, rank));
        }
    }

    /// Whether room was made anywhere since the record of this number.
    pub(super) fn changed_since(&self, size: u64) -> bool {
        self.by_change.last().is_some_and(|(changed, _)| *changed >= size)
    }

    /// Goes through the targets in their order, without those that are known to refuse, until `visit` has had enough. Returns
    /// where it had.
    pub(super) fn visit(
        &mut self,
        known: Option<&Refused>,
        mut visit: impl FnMut(&mut Host) -> bool,
    ) -> Option<Rank> {
        let first = Rank { starting: false, target: Target::Node(NodeName::from("")) };
        let ahead = match known {
            None => first,
            Some(known) => {
                let start = (known.size, first);
                let mut news: Vec<Rank> = self
                    .by_change
                    .range(start..)
                    .map(|(_, rank)| rank)
                    .filter(|rank| known.before.as_ref().is_none_or(|before| *rank < before))
                    .cloned()
                    .collect();
                news.sort_unstable();
                for rank in news {
                    if let Some(host) = self.by_rank.get_mut(&rank)
                        && visit(host)
                    {
                        return Some(rank);
                    }
                }
                known.before.clone()?
            }
        };
        for (rank, host) in self.by_rank.range_mut(ahead..) {
            if visit(host) {
                return Some(rank.clone());
            }
        }
        None
    }
}

/// Targets that are known to refuse pods of a spec, unless room was made there since.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// Those before this one; `None` for all.
    pub before: Option<Rank>,
    /// The number of records folded then.
    pub size: u64,
}

impl Refused {
    /// What is known after a visit that ended at `end`, with what was known before.
    pub(super) fn after(known: Option<&Self>, end: Option<Rank>, size: u64) -> Self {
        match (known, &end) {
            // It ended among those that were asked again for being new: of the others nothing new is known.
            (Some(known), Some(end)) if known.before.as_ref().is_none_or(|before| end < before) => {
                known.clone()
            }
            _ => Self { before: end, size },
        }
    }
}

/// Whether a node came of a NodePool: without a claim it is on its way out.
fn is_ours(node: &Node) -> bool {
    node.facts.labels.contains_key(label::NODEPOOL)
}

fn of_claim(state: &State, claim: &Claim) -> Option<Host> {
    if let Some(node) = claim.node.as_ref().and_then(|node| state.nodes.get(node)) {
        return Some(of_node(state, node, Some(claim)));
    }
    let (offered, labels) = match &claim.instance {
        Some(instance) => {
            let instance_type = state.types.get(&instance.instance_type)?;
            let mut labels = claim.template.template.labels.clone();
            for (key, requirement) in instance_type.requirements.iter() {
                if let (false, Some(value)) = (requirement.is_complement(), requirement.values().first()) {
                    labels.insert(key.clone(), value.clone());
                }
            }
            labels.insert(label::NODEPOOL.into(), claim.pool.as_shared().clone());
            labels.insert(label::ZONE.into(), instance.zone.as_shared().clone());
            labels.insert(label::CAPACITY_TYPE.into(), instance.capacity_type.as_str().into());
            (instance_type.allocatable(), Some(labels))
        }
        None => (claim.floor.clone(), None),
    };
    let mut free = offered.minus(&claim.planned.requests);
    free.subtract(&claim.daemons);
    let target = Target::Claim(claim.name.clone());
    let changed = claim.changed.0;
    Some(Host { target, free, changed, labels, due: None, sent: Vec::new(), before: OnceLock::new() })
}

fn of_node(state: &State, node: &Node, claim: Option<&Claim>) -> Host {
    let planned = claim.map_or(&node.planned, |claim| &claim.planned);
    let mut free = node.facts.allocatable.minus(&planned.requests);
    let mut changed = node.changed.max(claim.map_or(node.changed, |claim| claim.changed));
    let mut daemons = claim.map(|claim| claim.daemons.clone()).unwrap_or_default();
    if let Some(occupancy) = state.occupancy(&node.facts.name) {
        free.subtract(&occupancy.used);
        daemons = daemons.minus(&occupancy.used_by_daemons).elementwise_max(&Resources::default());
        changed = changed.max(occupancy.freed);
    }
    // Daemon pods that are still to come.
    free.subtract(&daemons);
    let target = match claim {
        Some(claim) => Target::Claim(claim.name.clone()),
        None => Target::Node(node.facts.name.clone()),
    };
    let due = claim.and_then(|claim| state.set_up_due(claim));
    let changed = changed.0;
    Host { target, free, changed, labels: None, due, sent: Vec::new(), before: OnceLock::new() }
}

impl Host {
    /// Whether a pod can go here.
    pub(super) fn accepts(&self, state: &State, spec: SpecId, now: Time) -> bool {
        state.spec(spec).requests.fits(&self.free) && self.rejects(state, spec, now).is_none()
    }

    /// Why a pod cannot go here; `None` if it can.
    fn rejects(&self, state: &State, spec_id: SpecId, now: Time) -> Option<(ReasonId, String)> {
        let spec = state.spec(spec_id);
        // By far the most frequent answer, so it comes first.
        if let Some((resource, asked, free)) = spec.requests.first_excess(&self.free) {
            return Some((ReasonId::TooLarge, format!("{resource}: asked {asked}, free {free}")));
        }
        if let Some(due) = self.due.filter(|due| *due <= now) {
            return Some((ReasonId::SetUpOverdue, due.to_string()));
        }
        let site = self.site(state).expect("targets are brought up to date before they are asked");
        if let Some(taint) = site.untolerated(spec) {
            return Some((ReasonId::TaintNotTolerated, taint.key.to_string()));
        }
        if let Some(label) = self.conflict(state, &site, spec, spec_id) {
            return Some((ReasonId::RequirementsConflict, label));
        }
        if spec.spread.is_empty() && spec.host_ports.is_empty() {
            return None;
        }
        let others: Vec<SpecId> = self.before(state, &site).iter().chain(&self.sent).copied().collect();
        beside_others(state, spec, &others)
    }

    fn site<'a>(&'a self, state: &'a State) -> Option<Site<'a>> {
        let claim = match &self.target {
            Target::Node(name) => return state.nodes.get(name).map(|node| Site::Node(node, None)),
            Target::Claim(name) => state.claims.get(name)?,
        };
        let node = claim.node.as_ref().and_then(|node| state.nodes.get(node));
        Some(match (node, &self.labels) {
            (Some(node), _) => Site::Node(node, Some(claim)),
            (None, Some(labels)) => Site::Launched(claim, labels),
            (None, None) => Site::Launching(claim),
        })
    }

    /// Specs of the pods that were here or expected before this evaluation.
    fn before(&self, state: &State, site: &Site<'_>) -> &[SpecId] {
        self.before.get_or_init(|| {
            let (planned, node) = match site {
                Site::Node(node, claim) => {
                    (claim.map_or(&node.planned, |claim| &claim.planned), Some(&node.facts.name))
                }
                Site::Launched(claim, _) | Site::Launching(claim) => (&claim.planned, None),
            };
            let there =
                node.and_then(|node| state.occupancy(node)).into_iter().flat_map(|occupancy| &occupancy.pods);
            planned.pods.iter().chain(there).filter_map(|pod| Some(state.pods.get(pod)?.spec)).collect()
        })
    }

    /// The same, as a reason.
    pub(super) fn reason(&self, state: &State, spec: SpecId, now: Time) -> Option<Reason> {
        let (id, detail) = self.rejects(state, spec, now)?;
        Some(Reason::new(id, [("target", self.target.to_string()), ("detail", detail)]))
    }

    /// Sets aside what a pod asks for.
    pub(super) fn take(&mut self, state: &State, spec: SpecId) {
        self.free.subtract(&state.spec(spec).requests);
        self.sent.push(spec);
    }

    /// The label by which a pod cannot go here.
    fn conflict(&self, state: &State, site: &Site<'_>, spec: &PodSpec, spec_id: SpecId) -> Option<String> {
        let wanted = spec.node_alternatives();
        let unmet = |labels: &Labels| {
            let first: Vec<Option<&str>> = wanted.iter().map(|wanted| wanted.first_unmet(labels)).collect();
            if first.iter().any(Option::is_none) {
                None
            } else {
                first.into_iter().flatten().next().map(str::to_owned)
            }
        };
        match site {
            Site::Node(node, _) => unmet(&node.facts.labels),
            Site::Launched(_, labels) => unmet(labels),
            Site::Launching(claim) => {
                let free_to_choose = wanted.iter().any(Requirements::is_empty)
                    || (self.sent.contains(&spec_id) || self.before(state, site).contains(&spec_id));
                let settled = || wanted.iter().any(|wanted| all_options_satisfy(state, claim, wanted));
                (!free_to_choose && !settled()).then(|| "instance type not settled yet".to_owned())
            }
        }
    }
}

impl<'a> Site<'a> {
    fn untolerated(&self, spec: &PodSpec) -> Option<&'a Taint> {
        match self {
            Self::Launched(claim, _) | Self::Launching(claim) => {
                first_untolerated(&claim.template.template.taints, &spec.tolerations)
            }
            Self::Node(node, claim) => {
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
