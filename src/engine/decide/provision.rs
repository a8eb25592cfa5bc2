//! Places for pods that wait: nodes that are there, claims on their way, and launches.
//!
//! First-fit-decreasing over classes of equal pods: the largest pods first, each to the first target that takes it, in the order
//! nodes, claims on their way, launches of this evaluation, a new launch from the heaviest pool that can.
//!
//! **Invariant:** what a launch sets aside of a pool's limits is taken off before the next is opened, so one evaluation cannot
//! exceed a limit any more than two can.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pass;
use super::hosts::{self, Refused};
use super::memo::{Hopeless, Memo};
use super::record;
use super::supply::{ClassSupply, PoolSupply};
use super::trace::{Note, Tracer};
use crate::controller::limits::requirements_bytes;
use crate::event::{Decision, LaunchOption, Place, SpecId, Target};
use crate::model::{ClaimName, PodKey, PoolName, Price, Requirements, Resources, Time};
use crate::reason::{Reason, ReasonId};
use crate::state::{Claim, Plan, Pod};

/// Decides where pods that wait should go.
pub(super) fn decide<T: Tracer>(pass: &mut Pass<'_>, memo: &mut Memo, tracer: &mut T) {
    let pending = pending(pass);
    if pending.is_empty() || !batch_is_complete(pass, &pending, tracer) {
        return;
    }
    let pools = memo.refresh(pass.state);
    memo.hosts.refresh(pass);
    let mut packing = Packing::new(pass, pools);
    for class in pending {
        if !memo.is_hopeless(pass, class.spec) {
            packing.place_class(pass, memo, &class, tracer);
        }
    }
    packing.conclude(pass, tracer);
}

/// Pods of one spec that wait and for which nothing is decided that still stands.
struct Class {
    spec: SpecId,
    /// By creation, then name.
    pods: Vec<PodKey>,
}

/// The pods to find a place for, by class, largest first.
fn pending(pass: &mut Pass<'_>) -> Vec<Class> {
    let state = pass.state;
    let mut by_spec: BTreeMap<SpecId, Vec<(Time, PodKey)>> = BTreeMap::new();
    let mut take =
        |key: &PodKey, pod: &Pod| by_spec.entry(pod.spec).or_default().push((pod.created, key.clone()));
    for (key, pod) in state.unplanned() {
        take(key, pod);
    }
    for key in lapsed(pass) {
        if let Some(pod) = state.pods.get(key) {
            take(key, pod);
        }
    }
    let mut classes: Vec<Class> = by_spec
        .into_iter()
        .map(|(spec, mut pods)| {
            pods.sort_unstable();
            Class { spec, pods: pods.into_iter().map(|(_, key)| key).collect() }
        })
        .collect();
    // First-fit-decreasing by CPU, then memory (Karpenter, pkg/controllers/provisioning/scheduling/queue.go).
    classes.sort_by_key(|class| {
        let requests = &state.spec(class.spec).requests;
        (-requests.cpu_millis, -requests.memory_bytes, class.spec)
    });
    classes
}

/// Pods that were expected somewhere and did not come, though their node could have taken them for a while.
fn lapsed<'a>(pass: &mut Pass<'a>) -> Vec<&'a PodKey> {
    let state = pass.state;
    let window = state.settings.nomination_window;
    let stays = |claim: &&Claim| claim.disrupting.is_none() && !pass.leaving.contains(&claim.name);
    let of_claims: Vec<_> = state
        .claims
        .awaited()
        .filter(stays)
        .filter_map(|claim| Some((&claim.planned, claim.initialized.or_else(|| state.set_up_due(claim))?)))
        .collect();
    let of_nodes = state.awaited_nodes().map(|node| (&node.planned, Time(i64::MIN)));
    // What was to run on a claim that leaves needs another place at once.
    let leaving = pass.leaving.iter().filter_map(|name| state.claims.get(name));
    let mut lapsed: Vec<&PodKey> = leaving.flat_map(|claim| &claim.planned.pods).collect();
    for (planned, ready_since) in of_claims.into_iter().chain(of_nodes) {
        for key in &planned.pods {
            if let Some(Plan::Nominated { since, .. }) = state.pods.get(key).map(|pod| &pod.plan)
                && pass.is_due(ready_since.max(*since) + window)
            {
                lapsed.push(key);
            }
        }
    }
    lapsed
}

/// Whether no more pods need be waited for.
fn batch_is_complete<T: Tracer>(pass: &mut Pass<'_>, pending: &[Class], tracer: &mut T) -> bool {
    let state = pass.state;
    let fresh = pending
        .iter()
        .flat_map(|class| &class.pods)
        .filter_map(|key| state.pods.get(key))
        .filter(|pod| pod.plan == Plan::None)
        .map(|pod| pod.waiting_since);
    let Some((first, last)) = fresh.fold(None, |range, since| match range {
        None => Some((since, since)),
        Some((first, last)) => Some((since.min(first), since.max(last))),
    }) else {
        return true;
    };
    let until = (last + state.settings.batch_idle).min(first + state.settings.batch_max);
    if pass.is_due(until) {
        return true;
    }
    tracer.note(|| Note::Batching { until });
    false
}

impl Memo {
    /// Whether a spec was found to have no place and nothing has changed since that could give it one.
    fn is_hopeless(&self, pass: &mut Pass<'_>, spec: SpecId) -> bool {
        let Some(known) = self.hopeless.get(&spec).copied() else { return false };
        if pass.state.supply_changed.0 >= known.size || known.until.is_some_and(|until| until <= pass.now) {
            return false;
        }
        if self.hosts.changed_since(known.size) {
            return false;
        }
        if let Some(until) = known.until {
            pass.wake(until);
        }
        true
    }
}

/// A launch as it is being filled.
struct Planned {
    claim: ClaimName,
    pool: usize,
    requirements: Requirements,
    /// Indices of types that can hold all pods so far, with their places.
    types: Vec<(usize, u32)>,
    pods: Vec<PodKey>,
    /// What requirements and pods take in the launch's record.
    requirement_bytes: usize,
    pod_bytes: usize,
    requests: Resources,
    specs: Vec<SpecId>,
    /// What is set aside for the types, once somebody asked.
    reserved: OnceCell<Resources>,
}

/// One evaluation's packing.
struct Packing {
    pools: Vec<Arc<PoolSupply>>,
    planned: Vec<Planned>,
    usage: BTreeMap<PoolName, (Resources, usize)>,
    nominated: BTreeMap<Target, Vec<PodKey>>,
    unschedulable: Vec<(Vec<PodKey>, Reason)>,
}

impl Packing {
    fn new(pass: &Pass<'_>, pools: Vec<Arc<PoolSupply>>) -> Self {
        let usage = pools
            .iter()
            .map(|pool| (pool.pool.name.clone(), pass.state.pool_usage(&pool.pool.name)))
            .collect();
        Self { pools, planned: Vec::new(), usage, nominated: BTreeMap::new(), unschedulable: Vec::new() }
    }

    fn place_class<T: Tracer>(
        &mut self,
        pass: &mut Pass<'_>,
        memo: &mut Memo,
        class: &Class,
        tracer: &mut T,
    ) {
        let state = pass.state;
        let spec = class.spec;
        if let Some(field) = hosts::not_evaluated(state.spec(spec)) {
            let reason = Reason::new(ReasonId::ConstraintNotEvaluated, [("field", field)]);
            self.unschedulable.push((class.pods.clone(), reason));
            return;
        }
        let placed = self.fill_hosts(pass, memo, class, tracer);
        let mut next_planned = 0;
        for (done, pod) in class.pods.iter().enumerate().skip(placed) {
            if self.join_planned(pass, memo, spec, pod, &mut next_planned, tracer) {
                continue;
            }
            match self.open(pass, memo, spec, pod, tracer) {
                Ok(()) => {}
                Err(reason) => {
                    memo.hopeless.insert(spec, Hopeless { size: state.size, until: next_retry(pass) });
                    self.unschedulable.push((class.pods[done..].to_vec(), reason));
                    return;
                }
            }
        }
    }

    /// Sends pods to targets that are there. Returns how many have a place.
    ///
    /// A target that refused one pod of the class refuses the next: targets only fill up.
    fn fill_hosts<T: Tracer>(
        &mut self,
        pass: &Pass<'_>,
        memo: &mut Memo,
        class: &Class,
        tracer: &mut T,
    ) -> usize {
        let (state, spec) = (pass.state, class.spec);
        let known = memo.refused.get(&spec).filter(|_| !T::ON).cloned();
        let mut placed = 0;
        let end = memo.hosts.visit(known.as_ref(), |host| {
            let before = placed;
            while placed < class.pods.len() && host.accepts(state, spec, pass.now) {
                host.take(state, spec);
                tracer.note(|| Note::TargetChosen { spec, target: host.target.clone() });
                placed += 1;
            }
            if placed > before {
                let pods = class.pods[before..placed].iter().cloned();
                self.nominated.entry(host.target.clone()).or_default().extend(pods);
            }
            let enough = placed == class.pods.len();
            if T::ON
                && !enough
                && let Some(reason) = host.reason(state, spec, pass.now)
            {
                tracer.note(|| Note::TargetRejected { spec, target: host.target.clone(), reason });
            }
            enough
        });
        memo.refused.insert(spec, Refused::after(known.as_ref(), end, state.size));
        placed
    }

    fn join_planned<T: Tracer>(
        &mut self,
        pass: &Pass<'_>,
        memo: &mut Memo,
        spec: SpecId,
        pod: &PodKey,
        next: &mut usize,
        tracer: &mut T,
    ) -> bool {
        let state = pass.state;
        let asked = &state.spec(spec).requests;
        while let Some(planned) = self.planned.get_mut(*next) {
            let pool = &self.pools[planned.pool];
            let class = memo.class(state, pool, spec);
            if let ClassSupply::Types { requirements, types, cheapest: alone } = &*class
                && planned.requirements.first_conflict(requirements, |_| true).is_none()
                && hosts::beside_others(state, state.spec(spec), &planned.specs).is_none()
            {
                let requests = planned.requests.plus(asked);
                let mut both = requirements.clone();
                both.add_all(&planned.requirements);
                let same = both == planned.requirements;
                let types = narrow(pool, &planned.types, types, &requests, (!same).then_some(&both));
                let requirement_bytes =
                    if same { planned.requirement_bytes } else { requirements_bytes(&both) };
                let pod_bytes = planned.pod_bytes + record::pod_bytes(pod);
                if !types.is_empty()
                    && requirement_bytes + pod_bytes <= record::MAX_LIST_BYTES
                    && worth_joining(pool, &planned.types, &types, *alone)
                {
                    planned.requirement_bytes = requirement_bytes;
                    planned.pod_bytes = pod_bytes;
                    planned.types = types;
                    planned.reserved = OnceCell::new();
                    planned.requests = requests;
                    planned.requirements = both;
                    planned.pods.push(pod.clone());
                    planned.specs.push(spec);
                    tracer.note(|| Note::JoinsLaunch { spec, claim: planned.claim.clone() });
                    return true;
                }
            }
            *next += 1;
        }
        false
    }

    /// Opens a launch for a pod in the heaviest pool that can, or says what came nearest.
    fn open<T: Tracer>(
        &mut self,
        pass: &Pass<'_>,
        memo: &mut Memo,
        spec: SpecId,
        pod: &PodKey,
        tracer: &mut T,
    ) -> Result<(), Reason> {
        let state = pass.state;
        let mut nearest: Option<(u8, Reason)> = None;
        for (at, pool) in self.pools.iter().enumerate() {
            let class = memo.class(state, pool, spec);
            match self.candidates(pass, at, &class) {
                Ok((requirements, types)) => {
                    let claim = state.next_claim_name(pool.pool.name.as_str(), self.planned.len() as u64);
                    tracer.note(|| Note::JoinsLaunch { spec, claim: claim.clone() });
                    self.planned.push(Planned {
                        claim,
                        pool: at,
                        requirement_bytes: requirements_bytes(&requirements),
                        pod_bytes: record::pod_bytes(pod),
                        requirements,
                        types,
                        pods: vec![pod.clone()],
                        requests: state.spec(spec).requests.clone(),
                        specs: vec![spec],
                        reserved: OnceCell::new(),
                    });
                    return Ok(());
                }
                Err(reason) => {
                    tracer.note(|| Note::PoolRejected {
                        spec,
                        pool: pool.pool.name.clone(),
                        reason: reason.clone(),
                    });
                    let reached = progress(reason.id);
                    if nearest.as_ref().is_none_or(|(best, _)| reached > *best) {
                        nearest = Some((reached, reason));
                    }
                }
            }
        }
        Err(nearest.map_or_else(|| Reason::new(ReasonId::NoNodePool, []), |(_, reason)| reason))
    }

    /// The types with which a launch from a pool could be opened.
    fn candidates(
        &self,
        pass: &Pass<'_>,
        at: usize,
        class: &ClassSupply,
    ) -> Result<(Requirements, Vec<(usize, u32)>), Reason> {
        let pool = &self.pools[at];
        let (requirements, types) = match class {
            ClassSupply::None(reason) => return Err(reason.clone()),
            ClassSupply::Types { requirements, types, .. } => (requirements, types),
        };
        let name = || [("nodepool", pool.pool.name.to_string())];
        let available: Vec<(usize, u32)> = types
            .iter()
            .map(|(i, places)| (*i, places & pool.available(pass.state, *i, pass.now)))
            .filter(|(_, places)| *places != 0)
            .collect();
        if available.is_empty() {
            return Err(Reason::new(ReasonId::NoCapacity, name()));
        }
        let limits = &pool.pool.limits;
        if limits.is_none() {
            return Ok((requirements.clone(), available));
        }
        let (used, nodes) = self.usage_of(at);
        let mut exceeded = None;
        let within: Vec<(usize, u32)> = available
            .into_iter()
            .filter(|(i, _)| {
                let with = used.plus(&pool.types[*i].instance_type.capacity);
                match limits.first_exceeded(&with, nodes + 1) {
                    None => true,
                    Some((limit, _, _)) => {
                        exceeded.get_or_insert_with(|| limit.to_owned());
                        false
                    }
                }
            })
            .collect();
        if within.is_empty() {
            let limit = exceeded.unwrap_or_default();
            return Err(Reason::new(ReasonId::LimitReached, name().into_iter().chain([("limit", limit)])));
        }
        Ok((requirements.clone(), within))
    }

    /// What a pool's claims and this evaluation's launches count for.
    fn usage_of(&self, at: usize) -> (Resources, usize) {
        let pool = &self.pools[at];
        let (mut used, mut nodes) = self.usage.get(&pool.pool.name).cloned().unwrap_or_default();
        for planned in self.planned.iter().filter(|planned| planned.pool == at) {
            used.add(planned.reserved.get_or_init(|| reserve(pool, &planned.types)));
            nodes += 1;
        }
        (used, nodes)
    }

    fn conclude<T: Tracer>(self, pass: &mut Pass<'_>, tracer: &mut T) {
        for (target, pods) in self.nominated {
            pass.chosen.insert(target.clone());
            for pods in record::pods(&pods) {
                pass.decisions.push(Decision::Nominate { target: target.clone(), pods: pods.to_vec() });
            }
        }
        let most = pass.state.settings.max_instance_types as usize;
        for planned in self.planned {
            let decision = planned.into_decision(&self.pools, most, tracer);
            pass.decisions.push(decision);
        }
        for (pods, reason) in self.unschedulable {
            let news: Vec<PodKey> = pods
                .into_iter()
                .filter(|key| match pass.state.pods.get(key).map(|pod| &pod.plan) {
                    Some(Plan::Unschedulable { reason: known, .. }) => *known != reason,
                    _ => true,
                })
                .collect();
            for pods in record::pods(&news) {
                pass.decisions.push(Decision::Unschedulable { pods: pods.to_vec(), reason: reason.clone() });
            }
        }
        if let Some(until) = next_retry(pass)
            && pass.state.unplanned().next().is_some()
        {
            pass.wake(until);
        }
    }
}

impl Planned {
    fn into_decision<T: Tracer>(self, pools: &[Arc<PoolSupply>], most: usize, tracer: &mut T) -> Decision {
        let pool = &pools[self.pool];
        let considered = pool.types.len() as u32;
        let mut ranked: Vec<(Price, usize, u32)> = self
            .types
            .iter()
            .filter_map(|(at, places)| Some((pool.types[*at].cheapest(*places)?, *at, *places)))
            .collect();
        // Types are in name order, so equal prices go by name.
        ranked.sort_unstable();
        tracer.note(|| Note::LaunchPriced {
            claim: self.claim.clone(),
            pool: pool.pool.name.clone(),
            ranked: ranked
                .iter()
                .map(|(price, at, _)| (pool.types[*at].instance_type.name.clone(), *price))
                .collect(),
            kept: ranked.len().min(most),
        });
        ranked.truncate(most);
        let types: Vec<(usize, u32)> = ranked.iter().map(|(_, at, places)| (*at, *places)).collect();
        let daemons =
            types.iter().map(|(at, _)| pool.types[*at].daemons.clone()).reduce(|a, b| a.elementwise_min(&b));
        let options = ranked
            .iter()
            .map(|(price, at, places)| LaunchOption {
                instance_type: pool.types[*at].instance_type.name.clone(),
                places: *places,
                price: *price,
            })
            .collect();
        let places: Vec<Place> = pool.places.clone();
        Decision::Launch {
            claim: self.claim,
            pool: pool.pool.name.clone(),
            hash: pool.pool.hash.clone(),
            requirements: self.requirements,
            requests: self.requests.plus(&daemons.unwrap_or_default()),
            pods: self.pods,
            places,
            options,
            reserved: reserve(pool, &types),
            considered,
        }
    }
}

/// The types in both lists that can hold this much, in the places of both; where the requirements became narrower, in those that
/// satisfy them.
fn narrow(
    pool: &PoolSupply,
    of_launch: &[(usize, u32)],
    of_class: &[(usize, u32)],
    requests: &Resources,
    narrower: Option<&Requirements>,
) -> Vec<(usize, u32)> {
    let mut class = of_class.iter().peekable();
    let mut types = Vec::with_capacity(of_launch.len());
    for (at, places) in of_launch {
        while class.next_if(|(other, _)| other < at).is_some() {}
        let Some((_, other_places)) = class.next_if(|(other, _)| other == at) else { continue };
        let supply = &pool.types[*at];
        let places = places & other_places;
        if places != 0
            && requests.fits(&supply.free)
            && narrower.is_none_or(|narrower| {
                super::supply::type_conflict(&supply.instance_type, narrower).is_none()
            })
        {
            types.push((*at, places));
        }
    }
    types
}

/// Whether a pod makes a launch dearer by no more than a node of its own would cost. A pod that needs a GPU does not join one
/// that is large for the sake of its CPU, only because some type has both.
fn worth_joining(
    pool: &PoolSupply,
    before: &[(usize, u32)],
    after: &[(usize, u32)],
    alone: Option<Price>,
) -> bool {
    match (pool.cheapest(before), pool.cheapest(after), alone) {
        (Some(before), Some(after), Some(alone)) => after <= before + alone,
        _ => true,
    }
}

/// What has to be set aside of a pool's limits while any of these types may come.
fn reserve(pool: &PoolSupply, types: &[(usize, u32)]) -> Resources {
    types
        .iter()
        .map(|(at, _)| &pool.types[*at].instance_type.capacity)
        .fold(Resources::default(), |most, capacity| most.elementwise_max(capacity))
}

/// When the next offering without capacity is asked for again.
fn next_retry(pass: &Pass<'_>) -> Option<Time> {
    pass.state.unavailable.values().filter(|until| **until > pass.now).min().copied()
}

/// How near a pool came to launching: the nearest miss is the one to tell.
fn progress(reason: ReasonId) -> u8 {
    match reason {
        ReasonId::TaintNotTolerated => 1,
        ReasonId::RequirementsConflict => 2,
        ReasonId::TooLarge => 3,
        ReasonId::NoCapacity => 4,
        ReasonId::LimitReached => 5,
        _ => 0,
    }
}
