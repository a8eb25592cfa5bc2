//! Pods in classes of equal ones, and what is left of their wishes when preferences are given up.
//!
//! **Invariant:** pods of a class differ in nothing that could send them to different places; labels that nobody selects by do not count.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::problem::{Gang, PodVolume, Problem};
use crate::event::SpecId;
use crate::model::{
    DeviceReach, HostPort, PodAffinity, PodClaim, PodSpec, PreferredTerm, Requirements, Resources, Str,
    Taint, Toleration, TopologySpread, Unsatisfiable, first_untolerated,
};
use crate::reason::Reason;
use crate::settings::PreferencePolicy;

/// Pods that are equal for all that scheduling knows.
#[derive(Debug)]
pub(super) struct Class<'a> {
    /// The spec of the first of them.
    pub spec: &'a PodSpec,
    pub namespace: &'a Str,
    pub volumes: &'a [PodVolume],
    pub claims: Claims<'a>,
    /// Indices into the problem's pods, by age.
    pub pods: Vec<usize>,
}

/// The resource claims of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Claims<'a> {
    /// These, if there are any.
    Known(&'a [PodClaim]),
    /// They cannot be had.
    Refused(&'a Reason),
    /// The problem does not say what they ask for.
    NotEvaluated(&'a Str),
}

impl<'a> Claims<'a> {
    fn of(problem: &Problem<'a>, pod: usize, spec: &'a PodSpec) -> Self {
        let of_pod = problem.devices.and_then(|devices| devices.pods.get(pod));
        match (of_pod, spec.resource_claims.first()) {
            (Some(Ok(claims)), _) => Self::Known(claims),
            (Some(Err(reason)), _) => Self::Refused(reason),
            (None, Some(claim)) => Self::NotEvaluated(claim),
            (None, None) => Self::Known(&[]),
        }
    }

    /// The claims, if they can be had.
    pub(super) fn known(self) -> Option<&'a [PodClaim]> {
        match self {
            Self::Known(claims) => Some(claims),
            Self::Refused(_) | Self::NotEvaluated(_) => None,
        }
    }

    /// Whether any of them is used by other pods too.
    pub(super) fn any_shared(self) -> bool {
        self.known().unwrap_or_default().iter().any(|claim| matches!(claim, PodClaim::Shared(..)))
    }
}

/// By what pods are put into one class.
#[derive(PartialEq, Eq, Hash)]
struct ClassKey<'a> {
    requests: &'a Resources,
    node_selector: &'a crate::model::Labels,
    required_terms: &'a [Requirements],
    preferred_terms: &'a [PreferredTerm],
    tolerations: &'a [Toleration],
    spread: &'a [TopologySpread],
    affinity: &'a [PodAffinity],
    host_ports: &'a [HostPort],
    claims: Claims<'a>,
    priority: i32,
    group: Option<&'a Gang>,
    volumes: &'a [PodVolume],
    /// Labels that somebody selects by, and the namespace, if anybody selects at all.
    selectable: Vec<(&'a Str, &'a Str)>,
    namespace: Option<&'a Str>,
}

/// The classes of a problem's pods; and all pods with their classes in the order in which they are placed: by CPU, memory, age.
///
/// Source: Karpenter, pkg/controllers/provisioning/scheduling/queue.go.
pub(super) fn classes<'a>(problem: &Problem<'a>) -> (Vec<Class<'a>>, Vec<(usize, usize)>) {
    let selecting = selecting_keys(problem);
    let mut classes: Vec<Class<'a>> = Vec::new();
    let mut known: FxHashMap<ClassKey<'a>, usize> = FxHashMap::default();
    // Most pods share their spec with others, so that its fields are hashed once.
    let mut by_spec: FxHashMap<(SpecId, &'a Str), usize> = FxHashMap::default();
    for (at, pod) in problem.pods.iter().enumerate() {
        let spec: &'a PodSpec = &problem.specs[pod.spec.0 as usize];
        let claims = Claims::of(problem, at, spec);
        let unclaimed = claims == Claims::Known(&[]);
        let plain = pod.volumes.is_empty() && pod.group.is_none() && unclaimed;
        if let (true, Some(class)) = (plain, by_spec.get(&(pod.spec, &pod.key.namespace))) {
            classes[*class].pods.push(at);
            continue;
        }
        let key = ClassKey {
            requests: &spec.requests,
            node_selector: &spec.node_selector,
            required_terms: &spec.required_terms,
            preferred_terms: &spec.preferred_terms,
            tolerations: &spec.tolerations,
            spread: &spec.spread,
            affinity: &spec.affinity,
            host_ports: &spec.host_ports,
            claims,
            priority: spec.priority,
            group: pod.group.as_ref(),
            volumes: &pod.volumes,
            selectable: spec.labels.iter().filter(|(key, _)| selecting.contains(*key)).collect(),
            namespace: (!selecting.is_empty() || !spec.affinity.is_empty() || !spec.spread.is_empty())
                .then_some(&pod.key.namespace),
        };
        let class = *known.entry(key).or_insert_with(|| {
            classes.push(Class {
                spec,
                namespace: &pod.key.namespace,
                volumes: &pod.volumes,
                claims,
                pods: Vec::new(),
            });
            classes.len() - 1
        });
        classes[class].pods.push(at);
        if plain {
            by_spec.insert((pod.spec, &pod.key.namespace), class);
        }
    }
    let mut order: Vec<(usize, usize)> = classes
        .iter()
        .enumerate()
        .flat_map(|(class, of)| of.pods.iter().map(move |pod| (class, *pod)))
        .collect();
    order.sort_unstable_by_key(|(class, at)| {
        let (requests, pod) = (&classes[*class].spec.requests, &problem.pods[*at]);
        (-requests.cpu_millis, -requests.memory_bytes, pod.created, pod.uid, &pod.key)
    });
    // Numbered in that order, so that nothing depends on the order in which the pods were given.
    let mut numbers: Vec<Option<usize>> = vec![None; classes.len()];
    let mut next = 0;
    for (class, _) in &mut order {
        *class = *numbers[*class].get_or_insert_with(|| {
            next += 1;
            next - 1
        });
    }
    let mut numbered: Vec<(Option<usize>, Class<'a>)> = numbers.into_iter().zip(classes).collect();
    numbered.sort_unstable_by_key(|(number, _)| *number);
    let mut classes: Vec<Class<'a>> = numbered.into_iter().map(|(_, class)| class).collect();
    for class in &mut classes {
        class.pods.clear();
    }
    for (class, pod) in &order {
        classes[*class].pods.push(*pod);
    }
    (classes, order)
}

/// Labels of pods by which anybody selects.
fn selecting_keys<'a>(problem: &Problem<'a>) -> BTreeSet<&'a Str> {
    let mut seen = vec![false; problem.specs.len()];
    // Of pods that are there, only those that do not want others beside them select any.
    let placed = problem.wary.iter().copied();
    let pending = problem.pods.iter().map(|pod| pod.spec);
    let mut keys = BTreeSet::new();
    for spec in placed.chain(pending) {
        if std::mem::replace(&mut seen[spec.0 as usize], true) {
            continue;
        }
        let spec = &problem.specs[spec.0 as usize];
        let spread = spec.spread.iter().map(|spread| &spread.selector);
        let affinity = spec.affinity.iter().map(|term| &term.selector);
        keys.extend(spread.chain(affinity).flat_map(|selector| selector.0.iter().map(|one| &one.key)));
    }
    keys
}

/// A class with some of its preferences given up: what is left counts as required.
#[derive(Debug, Clone)]
pub(super) struct Wishes<'a> {
    /// What the node's labels must satisfy: one of these.
    pub alternatives: Vec<Requirements>,
    pub spread: Vec<&'a TopologySpread>,
    pub affinity: Vec<&'a PodAffinity>,
    /// Whether taints that only ask to keep away do so.
    pub respects_prefer_no_schedule: bool,
}

/// The wishes of a class, from all of them down to what is required.
///
/// Source: Karpenter, pkg/controllers/provisioning/scheduling/preferences.go. Alternatives of required node affinity are all tried each time, where
/// Karpenter gives them up one by one as it does preferences.
pub(super) fn wishes<'a>(
    policy: PreferencePolicy,
    class: &Class<'a>,
    prefer_no_schedule: bool,
) -> Vec<Wishes<'a>> {
    let spec = class.spec;
    let required = alternatives(class);
    let hard: Vec<&TopologySpread> =
        spec.spread.iter().filter(|s| s.when_unsatisfiable == Unsatisfiable::DoNotSchedule).collect();
    let terms = |anti: bool| {
        let mut preferred: Vec<&PodAffinity> =
            spec.affinity.iter().filter(|term| term.anti == anti && term.weight.is_some()).collect();
        preferred.sort_by_key(|term| std::cmp::Reverse(term.weight));
        preferred
    };
    let needed: Vec<&PodAffinity> = spec.affinity.iter().filter(|term| term.weight.is_none()).collect();
    let least = Wishes {
        alternatives: required.clone(),
        spread: hard.clone(),
        affinity: needed.clone(),
        respects_prefer_no_schedule: false,
    };
    let strict = Wishes { respects_prefer_no_schedule: prefer_no_schedule, ..least.clone() };
    if policy == PreferencePolicy::Ignore {
        return if prefer_no_schedule { vec![strict, least] } else { vec![least] };
    }
    let (mut to, mut away) = (terms(false), terms(true));
    let mut nodes: Vec<&PreferredTerm> = spec.preferred_terms.iter().collect();
    nodes.sort_by_key(|term| std::cmp::Reverse(term.weight));
    let mut soft: Vec<&TopologySpread> =
        spec.spread.iter().filter(|s| s.when_unsatisfiable == Unsatisfiable::ScheduleAnyway).collect();
    let mut all = Vec::new();
    loop {
        let with = |requirements: &Requirements| {
            let mut both = requirements.clone();
            if let Some(preferred) = nodes.first() {
                both.add_all(&preferred.requirements);
            }
            both
        };
        all.push(Wishes {
            alternatives: required.iter().map(with).collect(),
            spread: hard.iter().chain(&soft).copied().collect(),
            affinity: needed.iter().chain(&to).chain(&away).copied().collect(),
            respects_prefer_no_schedule: prefer_no_schedule,
        });
        if !to.is_empty() {
            to.remove(0);
        } else if !away.is_empty() {
            away.remove(0);
        } else if !nodes.is_empty() {
            nodes.remove(0);
        } else if !soft.is_empty() {
            soft.swap_remove(0);
        } else {
            break;
        }
    }
    if prefer_no_schedule {
        all.push(least);
    }
    all
}

/// Node selector with each required term, each with each combination of places from which the volumes, and devices that are allocated, can be
/// reached together.
///
/// Source: Karpenter, pkg/controllers/provisioning/scheduling/volumetopology.go.
fn alternatives(class: &Class<'_>) -> Vec<Requirements> {
    let mut all = class.spec.node_alternatives();
    let volumes = class.volumes.iter().map(|volume| &volume.topologies);
    let devices = class.claims.known().unwrap_or_default().iter().filter_map(|claim| match claim {
        PodClaim::Allocated(DeviceReach::Labels(places)) => Some(places),
        _ => None,
    });
    for places in volumes.chain(devices).filter(|places| !places.is_empty()) {
        let combine = |wanted: &Requirements, place: &Requirements| {
            let mut combined = wanted.clone();
            combined.add_all(place);
            let possible = !combined.iter().any(|(_, one)| one.is_impossible());
            (combined, possible)
        };
        let both: Vec<(Requirements, bool)> =
            all.iter().flat_map(|wanted| places.iter().map(|place| combine(wanted, place))).collect();
        // Combinations that cannot be are of use only to say what is in the way.
        let any = both.iter().any(|(_, possible)| *possible);
        all = both.into_iter().filter(|(_, possible)| *possible || !any).map(|(both, _)| both).collect();
    }
    all
}

/// Whether a pod with these tolerations may go where these taints are.
pub(super) fn first_refused<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    respects_preferences: bool,
) -> Option<&'a Taint> {
    if respects_preferences {
        taints.iter().find(|taint| !taint.is_tolerated_by(tolerations))
    } else {
        first_untolerated(taints, tolerations)
    }
}
