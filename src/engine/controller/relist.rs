//! A full list of the world against the log: what is not listed is gone.
//!
//! **Invariant:** an object is taken for gone only if its kind was listed, which a full list is by definition, and an instance only if
//! it is old enough for the cloud to list it.

use std::hash::Hash;

use rustc_hash::FxHashSet;

use crate::model::{InstanceId, Span, Time};
use crate::port::{Input, InstanceFacts, Observation};
use crate::state::State;

/// For so long after its launch an instance may be missing from the cloud's list.
const LISTED_WITHIN: Span = Span::mins(2);

/// The list, with what it lacks said too, and an observation at the end that it was a full list.
pub(super) fn with_absences(state: &State, now: Time, world: Vec<Observation>) -> Vec<Input> {
    let mut pods = FxHashSet::default();
    let mut nodes = FxHashSet::default();
    let mut pools = FxHashSet::default();
    let mut daemon_sets = FxHashSet::default();
    let mut budgets = FxHashSet::default();
    let mut namespaces = FxHashSet::default();
    let mut volume_claims = FxHashSet::default();
    let mut volume_limits = FxHashSet::default();
    let mut types = FxHashSet::default();
    let mut instances = FxHashSet::default();
    for observation in &world {
        match observation {
            Observation::Pod(pod) => drop(pods.insert(&pod.key)),
            Observation::Node(node) => drop(nodes.insert(&node.name)),
            Observation::NodePool(pool) => drop(pools.insert(&pool.name)),
            Observation::DaemonSet(name, _) => drop(daemon_sets.insert(name)),
            Observation::DisruptionBudget { budget, .. } => drop(budgets.insert(budget)),
            Observation::Namespace(name, _) => drop(namespaces.insert(name)),
            Observation::VolumeClaim(key, _) => drop(volume_claims.insert(key)),
            Observation::VolumeLimits { node, .. } => drop(volume_limits.insert(node)),
            Observation::InstanceType(instance_type) => drop(types.insert(&instance_type.name)),
            Observation::Instance(instance) => drop(instances.insert(&instance.instance)),
            _ => {}
        }
    }
    let mut absent: Vec<Observation> = Vec::new();
    absent.extend(lacking(state.pods.keys(), &pods, Observation::NoPod));
    absent.extend(lacking(state.nodes.keys(), &nodes, Observation::NoNode));
    absent.extend(lacking(state.pools.keys(), &pools, Observation::NoNodePool));
    absent.extend(lacking(state.daemon_sets.keys(), &daemon_sets, Observation::NoDaemonSet));
    absent.extend(lacking(state.disruption_budgets.keys(), &budgets, Observation::NoDisruptionBudget));
    absent.extend(lacking(state.namespaces.keys(), &namespaces, Observation::NoNamespace));
    absent.extend(lacking(state.volume_claims.keys(), &volume_claims, Observation::NoVolumeClaim));
    absent.extend(lacking(state.volume_limits.keys(), &volume_limits, Observation::NoVolumeLimits));
    absent.extend(lacking(state.types.keys(), &types, Observation::NoInstanceType));
    absent.extend(absent_instances(state, now, &instances));
    let listed = world.len() as u64;
    let mut inputs: Vec<Input> = world.into_iter().chain(absent).map(Input::from).collect();
    inputs.push(Observation::Relisted(listed).into());
    inputs
}

/// What State has and the list has not.
fn lacking<'a, K: Clone + Eq + Hash + 'a>(
    known: impl Iterator<Item = &'a K>,
    listed: &FxHashSet<&K>,
    absence: impl Fn(K) -> Observation,
) -> impl Iterator<Item = Observation> {
    known.filter(|key| !listed.contains(key)).cloned().map(absence)
}

/// The cloud's list of instances, with what it lacks said too.
pub(super) fn instances_with_absences(state: &State, now: Time, listed: Vec<InstanceFacts>) -> Vec<Input> {
    let there: FxHashSet<&InstanceId> = listed.iter().map(|instance| &instance.instance).collect();
    let absent: Vec<Observation> = absent_instances(state, now, &there).collect();
    listed.into_iter().map(Observation::Instance).chain(absent).map(Input::from).collect()
}

fn absent_instances<'a>(
    state: &'a State,
    now: Time,
    listed: &'a FxHashSet<&InstanceId>,
) -> impl Iterator<Item = Observation> + 'a {
    let launched = state.claims.values().filter_map(|claim| claim.instance.as_ref());
    launched
        .filter(move |instance| now.since(instance.launched) >= LISTED_WITHIN)
        .map(|instance| &instance.id)
        .chain(state.orphans.keys())
        .filter(|id| !listed.contains(id))
        .cloned()
        .map(Observation::NoInstance)
}
