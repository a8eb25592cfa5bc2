//! What is too large for a record, and what is recorded in its place.
//!
//! A record holds at most [`MAX_EVENT_BYTES`], and Kubernetes takes objects of more than a megabyte. An object whose parts
//! that matter here take more than [`MAX_OBJECT_BYTES`] is refused: a stand-in is recorded for it, which lacks the largest
//! of these parts, says so under the label [`REFUSED`], and takes no part in decisions:
//!
//! - a pod without a node is held back, so that nothing is launched for it. On a node it counts for what it asks, and
//!   nothing disrupts it of its own accord;
//! - a DaemonSet's pods are taken to run on every node;
//! - a NodePool is not ready, and its nodes are left alone;
//! - a node gets no pods and is left alone;
//! - an instance type is not offered;
//! - a NodeOverlay changes nothing;
//! - a CapacityBuffer has no pods;
//! - a PodDisruptionBudget selects nothing (the API server, which grants evictions, still knows all of it);
//! - a Namespace has no labels;
//! - a PersistentVolumeClaim can be used by no pod;
//! - a ResourceClaim, or one that a ResourceClaimTemplate makes, cannot be had, unless it is allocated;
//! - a pool of devices has none that could be given to anybody.
//!
//! Settings that are too large are not taken, and those before stay in force.
//! Of a CSINode the drivers that are too many are passed over, as if the node did not say how many volumes of theirs it attaches.
//!
//! **Invariant:** whatever is observed, each record that is made of it fits; and of an object that fits nothing is changed.

mod devices;
mod parts;
mod size;

use std::borrow::Cow;
use std::sync::Arc;

use parts::{
    CLAIM_PARTS, NAMESPACE_PARTS, NODE_PARTS, OVERLAY_PARTS, POD_PARTS, POOL_PARTS, Part, SELECTOR_PARTS,
    TYPE_PARTS,
};

use crate::event::LaunchFailure;
use crate::model::{
    Budget, BudgetNodes, CapacityBuffer, ClaimFacts, DoNotDisrupt, InstanceType, LabelExpression,
    LabelOperator, LabelSelector, Labels, NodeFacts, NodeOverlay, NodePool, PodFacts, PodPhase, PodSpec,
    Requirement, Requirements, Str, Toleration, TolerationOperator, VolumeAttachment, VolumeClaim,
    VolumeLimits,
};
use crate::port::{MAX_EVENT_BYTES, Observation};
use crate::state::State;

/// The most that one object may take in a record, in bytes. A launch is made of two, a NodePool and a pod; the rest of a
/// record is for the launch's own.
pub const MAX_OBJECT_BYTES: usize = 24 * 1024;

const _: () = assert!(2 * MAX_OBJECT_BYTES + 8 * 1024 <= MAX_EVENT_BYTES, "a launch has room for its own");

/// The label of a stand-in. Its value says what was refused and what to do. No label of Kubernetes begins so.
pub const REFUSED: &str = "!refused";

/// Room in a stand-in for the text under [`REFUSED`].
const MARK_BYTES: usize = 1024;

/// What others say, such as the cloud about a launch that failed, is cut to this length.
const MAX_TEXT_BYTES: usize = 4 * 1024;

/// The longest name that Kubernetes gives an object.
const MAX_NAME_BYTES: usize = 253;

/// The objects that are refused at the moment, each with the field and the remedy.
pub fn refusals(state: &State) -> Vec<String> {
    let of = |kind: &str, name: &dyn std::fmt::Display, text: &str| format!("{kind} {name}: {text}");
    let mut all = Vec::new();
    for (name, pool) in &state.pools {
        all.extend(refused(&pool.facts.template.labels).map(|text| of("NodePool", name, text)));
    }
    for (name, spec) in &state.daemon_sets {
        all.extend(refused(&state.spec(*spec).labels).map(|text| of("DaemonSet", name, text)));
    }
    for (name, buffer) in &state.buffers {
        all.extend(refused(&state.spec(buffer.spec).labels).map(|text| of("CapacityBuffer", name, text)));
    }
    for (name, node) in &state.nodes {
        all.extend(refused(&node.facts.labels).map(|text| of("Node", name, text)));
    }
    for (name, budget) in &state.disruption_budgets {
        all.extend(refused_selector(&budget.selector).map(|text| of("PodDisruptionBudget", name, text)));
    }
    for (name, labels) in &state.namespaces {
        all.extend(refused(labels).map(|text| of("Namespace", name, text)));
    }
    for (name, claim) in &state.volume_claims {
        let text = claim.problem.as_deref().and_then(refused_problem);
        all.extend(text.map(|text| of("PersistentVolumeClaim", name, text)));
    }
    for (name, offer) in &state.types {
        all.extend(refused_requirements(&offer.requirements).map(|text| of("instance type", name, text)));
    }
    for (name, overlay) in &state.overlays {
        all.extend(refused_requirements(&overlay.requirements).map(|text| of("NodeOverlay", name, text)));
    }
    for (name, pod) in &state.pods {
        all.extend(refused(&state.spec(pod.spec).labels).map(|text| of("Pod", name, text)));
    }
    all
}

/// Why the object with these labels is refused, if it is: the field and the remedy.
pub fn refused(labels: &Labels) -> Option<&str> {
    labels.get(REFUSED).map(|text| &**text)
}

/// As [`refused`], of what has a selector instead of labels.
pub fn refused_selector(selector: &LabelSelector) -> Option<&str> {
    let mark = selector.0.iter().find(|expression| &*expression.key == REFUSED)?;
    mark.values.first().map(|text| &**text)
}

/// As [`refused`], of what has requirements instead of labels.
pub fn refused_requirements(requirements: &Requirements) -> Option<&str> {
    requirements.get(REFUSED)?.values().first().map(|text| &**text)
}

/// As [`refused`], of what has a problem in words.
pub fn refused_problem(problem: &str) -> Option<&str> {
    problem.strip_prefix(REFUSED)?.strip_prefix(": ")
}

/// What requirements take in a record, at most.
pub(crate) fn requirements_bytes(requirements: &Requirements) -> usize {
    size::requirements(requirements)
}

/// What is recorded of an observation: itself, a stand-in, or nothing where not even its name fits.
pub(super) fn fitting(observation: &Observation) -> Option<Cow<'_, Observation>> {
    if names(observation).iter().flatten().any(|name| name.len() > MAX_NAME_BYTES) {
        return None;
    }
    if let Observation::Settings(settings) = observation
        && size::list(&settings.default_spread, size::spread) > MAX_OBJECT_BYTES
    {
        return None;
    }
    // Without a part of it, a claim would ask for something else: it is not taken over.
    if let Observation::NodeClaim(claim) = observation
        && claim_bytes(claim) > MAX_OBJECT_BYTES
    {
        return None;
    }
    let stand_in = match observation {
        Observation::Pod(pod) => pod_stand_in(pod).map(Observation::Pod),
        Observation::Node(node) => node_stand_in(node).map(Observation::Node),
        Observation::NodePool(pool) => pool_stand_in(pool).map(|pool| Observation::NodePool(Arc::new(pool))),
        Observation::DaemonSet(name, spec) => {
            daemon_stand_in(spec).map(|spec| Observation::DaemonSet(name.clone(), Arc::new(spec)))
        }
        Observation::CapacityBuffer(key, buffer) => {
            buffer_stand_in(buffer).map(|buffer| Observation::CapacityBuffer(key.clone(), buffer))
        }
        Observation::InstanceType(offer) => {
            type_stand_in(offer).map(|offer| Observation::InstanceType(Arc::new(offer)))
        }
        Observation::NodeOverlay(name, overlay) => {
            overlay_stand_in(overlay).map(|overlay| Observation::NodeOverlay(name.clone(), overlay))
        }
        Observation::DisruptionBudget { budget, selector, disruptions_allowed, always_allow_unhealthy } => {
            selector_stand_in(selector).map(|selector| Observation::DisruptionBudget {
                budget: budget.clone(),
                selector,
                disruptions_allowed: *disruptions_allowed,
                always_allow_unhealthy: *always_allow_unhealthy,
            })
        }
        Observation::Namespace(name, labels) => {
            labels_stand_in(labels).map(|labels| Observation::Namespace(name.clone(), labels))
        }
        Observation::VolumeClaim(key, claim) => {
            claim_stand_in(claim).map(|claim| Observation::VolumeClaim(key.clone(), claim))
        }
        Observation::VolumeLimits { node, limits } => {
            fewer_limits(limits).map(|limits| Observation::VolumeLimits { node: node.clone(), limits })
        }
        Observation::VolumeAttachment(name, attachment) => without_odd_claim(attachment)
            .map(|attachment| Observation::VolumeAttachment(name.clone(), attachment)),
        Observation::ResourceClaim(key, claim) => {
            devices::claim(key, claim).map(|claim| Observation::ResourceClaim(key.clone(), claim))
        }
        Observation::ClaimTemplate(key, kind) => {
            devices::template(key, kind).map(|kind| Observation::ClaimTemplate(key.clone(), kind))
        }
        Observation::DevicePool { key, pool, asked } => devices::pool(pool).map(|pool| {
            let pool = Arc::new(pool);
            Observation::DevicePool { key: key.clone(), pool, asked: Arc::clone(asked) }
        }),
        Observation::WideSelectors { selectors, asked } => devices::wide(selectors)
            .map(|selectors| Observation::WideSelectors { selectors, asked: Arc::clone(asked) }),
        Observation::LaunchFailed(claim, failure) => {
            shorter_failure(failure).map(|failure| Observation::LaunchFailed(claim.clone(), failure))
        }
        Observation::EvictionBlocked(pod, by) => {
            shorter_text(by).map(|by| Observation::EvictionBlocked(pod.clone(), by))
        }
        Observation::EffectFailed(claim, message) => {
            shorter_text(message).map(|message| Observation::EffectFailed(claim.clone(), message))
        }
        _ => None,
    };
    Some(stand_in.map_or(Cow::Borrowed(observation), Cow::Owned))
}

/// The names that go into records as they are.
fn names(observation: &Observation) -> [Option<&str>; 3] {
    match observation {
        Observation::Pod(pod) => {
            [Some(&*pod.key.namespace), Some(&*pod.key.name), pod.node.as_ref().map(|node| node.as_str())]
        }
        Observation::VolumeClaim(key, claim) => {
            [Some(&*key.namespace), Some(&*key.name), Some(&*claim.driver)]
        }
        Observation::NodeOverlay(name, overlay) => [Some(&**name), overlay.price_adjustment.as_deref(), None],
        Observation::Namespace(name, _) => [Some(&**name), None, None],
        Observation::VolumeLimits { node, .. } => [Some(node.as_str()), None, None],
        Observation::VolumeAttachment(name, attachment) => {
            [Some(&**name), Some(attachment.node.as_str()), Some(&*attachment.volume)]
        }
        Observation::DevicePool { key, .. } => {
            [Some(key.node.as_str()), Some(&*key.driver), Some(&*key.pool)]
        }
        Observation::DaemonSet(key, _)
        | Observation::CapacityBuffer(key, _)
        | Observation::ResourceClaim(key, _)
        | Observation::ClaimTemplate(key, _)
        | Observation::DisruptionBudget { budget: key, .. }
        | Observation::EvictionBlocked(key, _) => [Some(&*key.namespace), Some(&*key.name), None],
        Observation::Node(node) => {
            [Some(node.name.as_str()), node.instance.as_ref().map(|instance| instance.as_str()), None]
        }
        Observation::NodePool(pool) => {
            [Some(pool.name.as_str()), pool.template.class.as_ref().map(|(_, name)| name.as_str()), None]
        }
        Observation::InstanceType(offer) => [Some(offer.name.as_str()), None, None],
        Observation::Instance(instance) => [
            Some(instance.instance.as_str()),
            Some(instance.instance_type.as_str()),
            Some(instance.zone.as_str()),
        ],
        Observation::EffectFailed(claim, _) => [Some(claim.as_str()), None, None],
        Observation::NodeClaim(claim) => [
            Some(claim.name.as_str()),
            claim.instance.as_ref().map(|instance| instance.as_str()),
            claim.node.as_ref().map(|node| node.as_str()),
        ],
        Observation::NoNodeClaim(claim) => [Some(claim.as_str()), None, None],
        _ => [None, None, None],
    }
}

/// What a claim takes in a record, at most.
fn claim_bytes(claim: &ClaimFacts) -> usize {
    let template = &claim.template;
    FIXED_BYTES
        + size::labels(&template.labels)
        + size::list(&template.taints, size::taint)
        + size::list(&template.startup_taints, size::taint)
        + size::requirements(&template.requirements)
        + size::resources(&claim.requests)
        + size::text(&claim.hash)
        + size::text(&claim.hash_version)
}

// === stand-ins ===

/// What an object takes beside its parts, at most.
const FIXED_BYTES: usize = 1024;

/// An object that is too large, without its largest parts, and what is to be said about it. `None` for one that fits.
fn without_largest<T: Clone>(whole: &T, parts: &[Part<T>], consequence: &str) -> Option<(T, Str)> {
    let mut by_size: Vec<(usize, &Part<T>)> = parts.iter().map(|part| ((part.bytes)(whole), part)).collect();
    let total: usize = FIXED_BYTES + by_size.iter().map(|(bytes, _)| bytes).sum::<usize>();
    if total <= MAX_OBJECT_BYTES {
        return None;
    }
    // Largest first; those of one size in the order of the list.
    by_size.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let (mut rest, mut left, mut fields) = (whole.clone(), total, Vec::new());
    for (bytes, part) in by_size {
        if left <= MAX_OBJECT_BYTES - MARK_BYTES {
            break;
        }
        (part.leave_out)(&mut rest);
        left = left - bytes + (part.bytes)(&rest);
        fields.push(part.field);
    }
    let text = format!(
        "{}: too large to record: the object takes {total} bytes and may take {MAX_OBJECT_BYTES}: use fewer or shorter \
         entries; until then {consequence}",
        fields.join(", ")
    );
    Some((rest, text.into()))
}

fn pod_stand_in(pod: &PodFacts) -> Option<PodFacts> {
    if size::list(&pod.claims, size::source) > MAX_OBJECT_BYTES {
        // As where claims are not looked at: nothing is launched for it.
        let without = PodFacts { claims: Vec::new(), ..pod.clone() };
        return Some(pod_stand_in(&without).unwrap_or(without));
    }
    let consequence = "nothing is launched for it, and nothing disrupts it of its own accord";
    let (mut spec, text) = without_largest(&*pod.spec, &POD_PARTS, consequence)?;
    spec.labels.insert(REFUSED.into(), text);
    spec.do_not_disrupt = Some(DoNotDisrupt::Always);
    let waits = matches!(pod.phase, PodPhase::Pending | PodPhase::Untried);
    let phase = if waits { PodPhase::Held } else { pod.phase };
    Some(PodFacts { spec: Arc::new(spec), phase, ..pod.clone() })
}

fn daemon_stand_in(spec: &PodSpec) -> Option<PodSpec> {
    let (mut spec, text) = without_largest(spec, &POD_PARTS, "its pods are taken to run on every node")?;
    spec.labels.insert(REFUSED.into(), text);
    // To reserve too much on some node wastes a little; to reserve too little launches nodes that are too small, again and
    // again.
    spec.node_selector.clear();
    spec.required_terms.clear();
    spec.tolerations = vec![tolerates_all()];
    Some(spec)
}

fn buffer_stand_in(buffer: &CapacityBuffer) -> Option<CapacityBuffer> {
    let (mut spec, text) = without_largest(&*buffer.spec, &POD_PARTS, "no room is kept free for it")?;
    spec.labels.insert(REFUSED.into(), text);
    Some(CapacityBuffer { spec: Arc::new(spec), replicas: 0 })
}

fn node_stand_in(node: &NodeFacts) -> Option<NodeFacts> {
    let consequence = "no pods are sent to it, and it is not disrupted";
    let (mut node, text) = without_largest(node, &NODE_PARTS, consequence)?;
    Arc::make_mut(&mut node.labels).insert(REFUSED.into(), text);
    Some(NodeFacts { unschedulable: true, do_not_disrupt: true, ..node })
}

fn pool_stand_in(pool: &NodePool) -> Option<NodePool> {
    let consequence = "nothing is launched from it, and its nodes are not disrupted";
    let (mut pool, text) = without_largest(pool, &POOL_PARTS, consequence)?;
    pool.template.labels.insert(REFUSED.into(), text);
    pool.disruption.consolidate_after = None;
    pool.disruption.budgets = vec![Budget { reasons: None, nodes: BudgetNodes::Count(0), schedule: None }];
    Some(NodePool { ready: false, ..pool })
}

fn type_stand_in(offer: &InstanceType) -> Option<InstanceType> {
    let (mut offer, text) = without_largest(offer, &TYPE_PARTS, "it is not offered")?;
    offer.requirements.add(REFUSED, Requirement::one_of([text]));
    offer.offerings.clear();
    Some(offer)
}

fn overlay_stand_in(overlay: &NodeOverlay) -> Option<NodeOverlay> {
    let (overlay, text) = without_largest(overlay, &OVERLAY_PARTS, "it changes nothing")?;
    // No offering has such a label.
    let mut requirements = Requirements::new();
    requirements.add(REFUSED, Requirement::one_of([text]));
    Some(NodeOverlay { requirements, ..overlay })
}

fn selector_stand_in(selector: &LabelSelector) -> Option<LabelSelector> {
    let consequence = "evictions are left to the API server to refuse";
    let (_, text) = without_largest(selector, &SELECTOR_PARTS, consequence)?;
    let mark = LabelExpression { key: REFUSED.into(), operator: LabelOperator::In, values: vec![text] };
    Some(LabelSelector(vec![mark]))
}

fn labels_stand_in(labels: &Labels) -> Option<Labels> {
    let consequence = "pod affinity that selects namespaces sees none of its labels";
    let (mut labels, text) = without_largest(labels, &NAMESPACE_PARTS, consequence)?;
    labels.insert(REFUSED.into(), text);
    Some(labels)
}

fn claim_stand_in(claim: &VolumeClaim) -> Option<VolumeClaim> {
    let consequence = "no node is launched for a pod that uses it";
    if let Some((claim, text)) = without_largest(claim, &CLAIM_PARTS, consequence) {
        // Why else it cannot be used matters no more.
        return Some(VolumeClaim { problem: Some(format!("{REFUSED}: {text}").into()), ..claim });
    }
    let problem = shorter_text(claim.problem.as_ref()?)?;
    Some(VolumeClaim { problem: Some(problem), ..claim.clone() })
}

/// The limits that fit, if not all do. Nobody has so many drivers that this would matter.
fn fewer_limits(limits: &VolumeLimits) -> Option<VolumeLimits> {
    let mut room = MAX_OBJECT_BYTES;
    let fit = |(driver, _): &(&Str, &Option<u32>)| {
        let rest = room.checked_sub(size::limit(driver));
        room = rest.unwrap_or(room);
        rest.is_some()
    };
    let kept: VolumeLimits =
        limits.iter().take_while(fit).map(|(driver, limit)| (driver.clone(), *limit)).collect();
    (kept.len() < limits.len()).then_some(kept)
}

/// The attachment of a volume whose claim has no name of Kubernetes, and so is not there: it is nobody's. `None` for any other.
fn without_odd_claim(attachment: &VolumeAttachment) -> Option<VolumeAttachment> {
    let claim = attachment.claim.as_ref()?;
    let is_odd = claim.namespace.len().max(claim.name.len()) > MAX_NAME_BYTES;
    is_odd.then(|| VolumeAttachment { claim: None, ..attachment.clone() })
}

/// Tolerates every taint.
fn tolerates_all() -> Toleration {
    Toleration { key: None, operator: TolerationOperator::Exists, value: "".into(), effect: None }
}

// === texts ===

/// A text that is too long, cut. `None` for one that fits.
fn shorter_text(text: &Str) -> Option<Str> {
    if text.len() <= MAX_TEXT_BYTES {
        return None;
    }
    let cut = text.floor_char_boundary(MAX_TEXT_BYTES);
    Some(format!("{}... ({} bytes in all)", &text[..cut], text.len()).into())
}

fn shorter_failure(failure: &LaunchFailure) -> Option<LaunchFailure> {
    match failure {
        LaunchFailure::Rejected { message } => {
            shorter_text(message).map(|message| LaunchFailure::Rejected { message })
        }
        LaunchFailure::Unknown { message } => {
            shorter_text(message).map(|message| LaunchFailure::Unknown { message })
        }
        // Those that are left out are found without capacity when they are asked for again.
        LaunchFailure::InsufficientCapacity { offerings } => {
            let mut room = MAX_OBJECT_BYTES;
            let fit = |offering: &_| {
                let rest = room.checked_sub(size::offering_key(offering));
                room = rest.unwrap_or(room);
                rest.is_some()
            };
            let kept: Vec<_> = offerings.iter().cloned().take_while(fit).collect();
            (kept.len() < offerings.len()).then_some(LaunchFailure::InsufficientCapacity { offerings: kept })
        }
    }
}
