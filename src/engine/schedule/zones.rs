//! Zones that are left to pods by what they ask for: of use to whoever wants to know where pods wait for capacity.
//!
//! Source: Karpenter, `computeEffectiveZoneFromPod` in pkg/controllers/provisioning/scheduling/scheduler.go.
//!
//! **Invariant:** only what is required counts, and nothing is placed: whether a zone has room is not asked.

use super::class::{Class, Wishes, classes, wishes};
use super::problem::Problem;
use super::topology::{Counts, Groups, KeyId, Selecting, Ties};
use crate::model::{Requirement, Str, label};
use crate::settings::PreferencePolicy;

/// The zones that are left to a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EffectiveZone {
    /// None: its constraints exclude each other.
    None,
    /// Only this one.
    Only(Str),
    /// Several, or any.
    Flexible,
}

impl EffectiveZone {
    /// As the label `zone` of Karpenter's metric has it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Only(zone) => zone,
            Self::Flexible => "flexible",
        }
    }
}

/// The zones that node affinity, volumes, and constraints between pods leave to a problem's pods, with the number of pods.
pub fn effective_zones(problem: &Problem<'_>) -> Vec<(EffectiveZone, usize)> {
    let (classes, _) = classes(problem);
    let required: Vec<Wishes<'_>> = classes.iter().map(required).collect();
    let mut groups = Groups::new();
    groups.add_placed(problem);
    let own: Vec<_> =
        classes.iter().zip(&required).map(|(class, wishes)| groups.add(problem, class, wishes)).collect();
    groups.find_domains(problem);
    let counts = Counts::new(problem, &groups);
    let mut selecting = Selecting::default();
    let of_class = classes.iter().zip(&required).zip(&own);
    of_class
        .map(|((class, wishes), own)| {
            let ties = groups.ties(class, own, &mut selecting);
            (effective_zone(wishes, &groups, &counts, &ties), class.pods.len())
        })
        .collect()
}

/// What is left of a class's wishes once all preferences are given up.
fn required<'a>(class: &Class<'a>) -> Wishes<'a> {
    let all = wishes(PreferencePolicy::Ignore, class, false);
    all.into_iter().next_back().expect("a class has its least wishes at the end")
}

fn effective_zone<'w>(
    wishes: &'w Wishes<'_>,
    groups: &Groups,
    counts: &Counts,
    ties: &Ties,
) -> EffectiveZone {
    let key = ties.keys.iter().copied().find(|key| groups.key(*key).label.as_deref() == Some(label::ZONE));
    let possible = || {
        let of_zones = wishes.alternatives.iter().map(|one| one.get(label::ZONE));
        of_zones.filter(|zones| zones.is_none_or(|zones| !zones.is_impossible()))
    };
    // Where each alternative names zones, it is these, and else those of which constraints between pods know.
    let named = |zones: Option<&'w Requirement>| {
        zones.filter(|zones| !zones.is_complement()).map(Requirement::values)
    };
    let named: Option<Vec<&[Str]>> = possible().map(named).collect();
    let mut candidates = match (named, key) {
        (Some(named), _) => named.into_iter().flatten().collect::<Vec<_>>(),
        (None, Some(key)) => groups.key(key).values.iter().collect(),
        (None, None) => return EffectiveZone::Flexible,
    };
    candidates.sort_unstable();
    candidates.dedup();
    let mut left = candidates.into_iter().filter(|zone| {
        possible().any(|zones| zones.is_none_or(|zones| zones.has(zone)))
            && key.is_none_or(|key| is_open(groups, counts, ties, key, zone))
    });
    match (left.next(), left.next()) {
        (None, _) => EffectiveZone::None,
        (Some(only), None) => EffectiveZone::Only(only.clone()),
        (Some(_), Some(_)) => EffectiveZone::Flexible,
    }
}

/// Whether constraints between pods leave a zone open; one in which no node can be is one that they say nothing of.
fn is_open(groups: &Groups, counts: &Counts, ties: &Ties, key: KeyId, zone: &str) -> bool {
    groups.key(key).find(zone).is_none_or(|domain| counts.is_open(groups, ties, key, domain))
}
