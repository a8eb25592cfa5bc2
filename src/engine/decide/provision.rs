//! Places for pods that wait: nodes that are there, claims on their way, and launches.
//!
//! State becomes the scheduler's problem, and its plan becomes decisions.
//!
//! **Invariant:** what a launch sets aside of a pool's limits is what the scheduler set aside for it, so one evaluation cannot exceed a
//! limit any more than two can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::devices::{Wanted, by_claims, claims, devices};
use super::memo::{Hopeless, Memo};
use super::record;
use super::trace::{Note, Tracer};
use super::{Pass, batch};
use crate::controller::limits::requirements_bytes;
use crate::event::{Decision, LaunchOption, Place, SpecId, Target};
use crate::model::{
    CapacityType, ClaimName, PodGroup, PodKey, PodPhase, PodSpec, Requirements, Resources, Time, Toleration,
    TolerationOperator, TypeName, Uid, Zone, label,
};
use crate::reason::{Reason, ReasonId};
use crate::schedule::{
    self, Attachable, Gang, Launch, Looked, PendingPod, Plan, PodVolume, PoolOffer, Problem, Rules,
};
use crate::settings::Settings;
use crate::state::{Claim, Plan as Decided, Pod, State, VolumeClaim};

/// Decides where pods that wait should go.
pub(super) fn decide<T: Tracer>(pass: &mut Pass<'_>, memo: &mut Memo, tracer: &mut T) {
    let pending = pending(pass);
    if pending.is_empty() || !batch::is_complete(pass, &pending, tracer) {
        return;
    }
    memo.refresh(pass);
    memo.hosts.refresh(pass, &memo.overlaid);
    for conflict in &memo.overlay_conflicts {
        tracer.note(|| Note::OverlayNotApplied(conflict.clone()));
    }
    let mut pods = Vec::new();
    let mut unusable: BTreeMap<Reason, Vec<PodKey>> = BTreeMap::new();
    let mut running = Running::default();
    for (spec, keys) in pending {
        for (wanted, keys) in by_claims(pass.state, spec, keys) {
            if memo.is_hopeless(pass, (spec, wanted)) {
                continue;
            }
            for key in keys {
                match pending_pod(pass.state, &mut running, key) {
                    Ok(pod) => pods.push(pod),
                    Err((key, reason)) => unusable.entry(reason).or_default().push(key),
                }
            }
        }
    }
    for (reason, pods) in unusable {
        refuse(pass, pods, &reason);
    }
    if pods.is_empty() {
        return;
    }
    let is_expendable = |pod: &PendingPod| {
        let cutoff = pass.state.settings.expendable_below;
        cutoff.is_some_and(|cutoff| pass.state.spec(pod.spec).priority < cutoff)
    };
    let (expendable, pods): (Vec<PendingPod>, Vec<PendingPod>) = pods.into_iter().partition(is_expendable);
    if !pods.is_empty() {
        let plan = solve(pass, memo, &pods, tracer);
        conclude(pass, memo, &pods, plan, tracer);
    }
    // What the others leave shows once what is decided for them is in State, which is soon.
    if !expendable.is_empty() && !pass.places_pods() {
        use_what_is_there(pass, memo, &expendable, tracer);
    }
}

/// Finds places for pods for which nothing is launched.
fn use_what_is_there<T: Tracer>(pass: &mut Pass<'_>, memo: &mut Memo, pods: &[PendingPod], tracer: &mut T) {
    let full: Vec<PoolOffer> = memo.offers.iter().map(PoolOffer::full).collect();
    let devices = devices(pass.state, &memo.hosts, pods);
    let problem = Problem {
        rules: &rules(&pass.state.settings),
        pools: &full,
        hosts: memo.hosts.all(),
        specs: pass.state.specs(),
        pods,
        namespaces: &pass.state.namespaces,
        wary: &memo.wary,
        devices: devices.as_ref(),
        // Nothing is launched.
        attachable: &Attachable::default(),
    };
    let mut plan = schedule::solve(&problem);
    for unplaced in &mut plan.unplaced {
        unplaced.reasons = vec![(None, Reason::new(ReasonId::Expendable, []))];
    }
    conclude(pass, memo, pods, plan, tracer);
}

/// Finds places for pods, with what is remembered of hosts and offers.
pub(super) fn solve<T: Tracer>(
    pass: &Pass<'_>,
    memo: &mut Memo,
    pods: &[PendingPod],
    tracer: &mut T,
) -> Plan {
    let state = pass.state;
    let rules = rules(&state.settings);
    let devices = devices(state, &memo.hosts, pods);
    let problem = Problem {
        rules: &rules,
        pools: &memo.offers,
        hosts: memo.hosts.all(),
        specs: state.specs(),
        pods,
        namespaces: &state.namespaces,
        wary: &memo.wary,
        devices: devices.as_ref(),
        attachable: &attachable(state, pods),
    };
    if !T::ON {
        return schedule::solve_prepared(&problem, &mut memo.prepared);
    }
    let (plan, looked) = schedule::solve_explained(&problem, &mut memo.prepared);
    tell(memo, looked, tracer);
    plan
}

/// What would be launched for one pod that asks for so much and minds nothing, if nothing else were there.
pub(super) fn launch_alone(pass: &Pass<'_>, offer: &PoolOffer, requests: Resources) -> Option<Launch> {
    let any = Toleration { key: None, operator: TolerationOperator::Exists, value: "".into(), effect: None };
    let spec = PodSpec { requests, tolerations: vec![any], ..PodSpec::default() };
    let pod = PendingPod {
        key: PodKey::new("", ""),
        spec: SpecId(0),
        created: Time(0),
        uid: Uid(0),
        volumes: Vec::new(),
        group: None,
    };
    let problem = Problem {
        rules: &rules(&pass.state.settings),
        pools: std::slice::from_ref(offer),
        hosts: &[],
        specs: &[Arc::new(spec)],
        pods: &[pod],
        namespaces: &BTreeMap::new(),
        wary: &BTreeSet::new(),
        devices: None,
        attachable: &Attachable::default(),
    };
    schedule::solve(&problem).launches.pop()
}

/// What nodes attach, as far as those say that are there; looked for only where a pod asks.
pub(super) fn attachable(state: &State, pods: &[PendingPod]) -> Attachable {
    let mut all = Attachable::default();
    if pods.iter().all(|pod| pod.volumes.is_empty()) {
        return all;
    }
    for (name, limits) in &state.volume_limits {
        let of_node = state.nodes.get(name).and_then(|node| node.facts.labels.get(label::INSTANCE_TYPE));
        if let Some(instance_type) = of_node {
            all.learn(&TypeName::from(&**instance_type), limits);
        }
    }
    all
}

/// The rules that settings make.
pub(super) fn rules(settings: &Settings) -> Rules {
    Rules {
        max_types: settings.max_instance_types as usize,
        preferences: settings.preference_policy,
        min_values: settings.min_values_policy,
        ..Rules::default()
    }
}

/// A pod as the scheduler sees it, or why it cannot be placed whatever there is.
pub(super) fn pending_pod(
    state: &State,
    running: &mut Running,
    key: PodKey,
) -> Result<PendingPod, (PodKey, Reason)> {
    let Some(pod) = state.pods.get(&key) else { unreachable!("pods that wait are known") };
    let spec = state.spec(pod.spec);
    let mut volumes = Vec::new();
    for volume in &spec.volumes {
        let claim = PodKey::new(key.namespace.clone(), volume.claim.clone());
        let problem = match state.volume_claims.get(&claim) {
            None => "is not there".into(),
            Some(VolumeClaim { problem: Some(problem), .. }) => problem.clone(),
            Some(VolumeClaim { driver, topologies, .. }) => {
                let (driver, topologies) = (driver.clone(), topologies.clone());
                volumes.push(PodVolume { claim, driver, topologies });
                continue;
            }
        };
        let params = [("claim", claim.to_string()), ("problem", problem.to_string())];
        return Err((key, Reason::new(ReasonId::VolumeUnusable, params)));
    }
    let group = spec.group.as_ref().and_then(|group| Gang::new(&key, group, running.of(state, &key, group)));
    Ok(PendingPod { spec: pod.spec, created: pod.created, uid: pod.uid, volumes, group, key })
}

/// How many pods of groups run, counted once for each group that is asked for.
#[derive(Default)]
pub(super) struct Running(BTreeMap<PodKey, usize>);

impl Running {
    fn of(&mut self, state: &State, pod: &PodKey, group: &PodGroup) -> usize {
        let name = PodKey::new(pod.namespace.clone(), group.name.clone());
        *self.0.entry(name).or_insert_with(|| {
            let is_of = |key: &PodKey, other: &Pod| {
                key.namespace == pod.namespace
                    && other.phase == PodPhase::Bound
                    && state.spec(other.spec).group.as_ref().is_some_and(|of| of.name == group.name)
            };
            state.pods.iter().filter(|(key, other)| is_of(key, other)).count()
        })
    }
}

/// The pods that wait and for which nothing is decided that still stands, by spec.
fn pending(pass: &mut Pass<'_>) -> BTreeMap<SpecId, Vec<PodKey>> {
    let state = pass.state;
    let mut by_spec: BTreeMap<SpecId, Vec<PodKey>> = BTreeMap::new();
    let mut take = |key: &PodKey, pod: &Pod| by_spec.entry(pod.spec).or_default().push(key.clone());
    for (key, pod) in state.unplanned() {
        take(key, pod);
    }
    for key in lapsed(pass) {
        if let Some(pod) = state.pods.get(key) {
            take(key, pod);
        }
    }
    by_spec
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
            if let Some(Decided::Nominated { since, .. }) = state.pods.get(key).map(|pod| &pod.plan)
                && pass.is_due(ready_since.max(*since) + window)
            {
                lapsed.push(key);
            }
        }
    }
    lapsed
}

impl Memo {
    /// Whether a spec was found to have no place and nothing has changed since that could give it one.
    fn is_hopeless(&self, pass: &mut Pass<'_>, of: (SpecId, Option<Wanted>)) -> bool {
        let Some(known) = self.hopeless.get(&of).copied() else { return false };
        let (spec, _) = of;
        if pass.state.supply_changed.0 >= known.size || known.until.is_some_and(|until| until <= pass.now) {
            return false;
        }
        if self.hosts.changed_since(known.size) {
            return false;
        }
        // Whoever looks at other pods may find a place when they come or go, wherever that is.
        let spec_of = pass.state.spec(spec);
        let looks_at_others = !spec_of.spread.is_empty() || !spec_of.affinity.is_empty();
        // How many volumes types attach, nodes say, those that go away too.
        let rests_on_nodes = !spec_of.volumes.is_empty() && !pass.state.volume_limits.is_empty();
        let touched =
            pass.state.touched().since(known.size).is_none_or(|mut touched| touched.next().is_some());
        if (looks_at_others || rests_on_nodes) && touched {
            return false;
        }
        if let Some(until) = known.until {
            pass.wake(until);
        }
        true
    }
}

/// Of more it is not remembered: claims that pods share have names, and so no two may be alike.
const MOST_HOPELESS: usize = 1 << 16;

/// What a solved problem comes to as decisions.
fn conclude<T: Tracer>(
    pass: &mut Pass<'_>,
    memo: &mut Memo,
    pods: &[PendingPod],
    plan: Plan,
    tracer: &mut T,
) {
    let keys = |of: &[usize]| -> Vec<PodKey> { of.iter().map(|pod| pods[*pod].key.clone()).collect() };
    let mut nominated: BTreeMap<Target, Vec<PodKey>> = BTreeMap::new();
    for (host, of) in &plan.hosts {
        let target = memo.hosts.target(*host).clone();
        tracer_chosen(tracer, pods, of, &target);
        nominated.insert(target, keys(of));
    }
    for (target, of) in nominated {
        pass.chosen.insert(target.clone());
        nominate(pass, &target, &of);
    }
    self::launch(pass, memo, pods, &plan.launches, Purpose::Pods, tracer);
    if memo.hopeless.len() > MOST_HOPELESS {
        memo.hopeless.clear();
    }
    for unplaced in &plan.unplaced {
        let Some((_, reason)) = unplaced.reasons.first() else { continue };
        let until = next_retry(pass);
        for pod in &unplaced.pods {
            let pod = &pods[*pod];
            let of = (pod.spec, claims(pass.state, pod.spec, &pod.key));
            memo.hopeless.insert(of, Hopeless { size: pass.state.size, until });
        }
        refuse(pass, keys(&unplaced.pods), reason);
    }
    if let Some(until) = next_retry(pass)
        && pass.state.unplanned().next().is_some()
    {
        pass.wake(until);
    }
}

/// What nodes are launched for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// These pods, which are expected there.
    Pods,
    /// Virtual pods, of which nobody hears.
    Buffers,
    /// No pods: the replicas of a static pool.
    Replicas,
}

/// Decides launches.
pub(super) fn launch<T: Tracer>(
    pass: &mut Pass<'_>,
    memo: &Memo,
    pods: &[PendingPod],
    launches: &[Launch],
    purpose: Purpose,
    tracer: &mut T,
) {
    for (number, launch) in launches.iter().enumerate() {
        let offer = &memo.offers[launch.pool];
        let claim = pass.state.next_claim_name(offer.pool.name.as_str(), number as u64);
        decide_launch(pass, pods, offer, claim, launch, purpose, tracer);
    }
}

/// Says why pods have no place, where that is news.
fn refuse(pass: &mut Pass<'_>, pods: Vec<PodKey>, reason: &Reason) {
    let is_news = |key: &PodKey| match pass.state.pods.get(key).map(|pod| &pod.plan) {
        Some(Decided::Unschedulable { reason: known, .. }) => known != reason,
        _ => true,
    };
    let news: Vec<PodKey> = pods.into_iter().filter(is_news).collect();
    for pods in record::pods(&news) {
        pass.decisions.push(Decision::Unschedulable { pods: pods.to_vec(), reason: reason.clone() });
    }
}

fn nominate(pass: &mut Pass<'_>, target: &Target, pods: &[PodKey]) {
    for pods in record::pods(pods) {
        pass.decisions.push(Decision::Nominate { target: target.clone(), pods: pods.to_vec() });
    }
}

fn tracer_chosen<T: Tracer>(tracer: &mut T, pods: &[PendingPod], of: &[usize], target: &Target) {
    if !T::ON {
        return;
    }
    let specs: BTreeSet<SpecId> = of.iter().map(|pod| pods[*pod].spec).collect();
    for spec in specs {
        tracer.note(|| Note::TargetChosen { spec, target: target.clone() });
    }
}

/// The places of a launch are bits of a number.
const MOST_PLACES: usize = 32;

/// Decides a launch. Pods for which its record has no room are sent after it.
pub(super) fn decide_launch<T: Tracer>(
    pass: &mut Pass<'_>,
    pods: &[PendingPod],
    offer: &PoolOffer,
    claim: ClaimName,
    launch: &Launch,
    purpose: Purpose,
    tracer: &mut T,
) {
    let state = pass.state;
    if T::ON {
        let specs: BTreeSet<SpecId> = launch.pods.iter().map(|pod| pods[*pod].spec).collect();
        for spec in specs {
            tracer.note(|| Note::JoinsLaunch { spec, claim: claim.clone() });
        }
        tracer.note(|| Note::LaunchPriced {
            claim: claim.clone(),
            pool: offer.pool.name.clone(),
            ranked: launch
                .types
                .iter()
                .map(|one| (offer.types[one.type_at].name.clone(), one.price))
                .collect(),
            kept: launch.types.len(),
        });
    }
    let (places, options) = options(offer, launch);
    let expected = launch.pods.iter().filter(|_| purpose == Purpose::Pods);
    let all: Vec<PodKey> = expected.map(|pod| pods[*pod].key.clone()).collect();
    let first = record::beside(requirements_bytes(&launch.requirements), &all);
    // What those ask for that follow is set aside as they do, and what virtual pods ask for stays free.
    let following = launch.pods[first..].iter().map(|pod| &state.spec(pods[*pod].spec).requests);
    let requests = following.fold(launch.requests.clone(), |rest, pod| rest.minus(pod));
    pass.decisions.push(Decision::Launch {
        claim: claim.clone(),
        pool: offer.pool.name.clone(),
        hash: offer.pool.hash.clone(),
        requirements: launch.requirements.clone(),
        requests,
        pods: all[..first].to_vec(),
        places,
        options,
        reserved: launch.reserved.clone(),
        considered: launch.considered as u32,
    });
    nominate(pass, &Target::Claim(claim), &all[first..]);
}

/// The instance types of a launch with the places where they are offered, cheapest first.
pub(super) fn options(offer: &PoolOffer, launch: &Launch) -> (Vec<Place>, Vec<LaunchOption>) {
    let mut places: Vec<Place> = Vec::new();
    let mut options = Vec::new();
    for one in launch.types.iter() {
        let of_type = &offer.types[one.type_at];
        let mut bits = 0u32;
        for at in one.offerings.iter() {
            let Some(place) = place(&of_type.offerings[*at].requirements) else { continue };
            let at = places.iter().position(|known| *known == place).unwrap_or(places.len());
            // Dearer types do without the places for which there is no number.
            if at < MOST_PLACES {
                if at == places.len() {
                    places.push(place);
                }
                bits |= 1 << at;
            }
        }
        if bits != 0 {
            let instance_type = of_type.name.clone();
            options.push(LaunchOption { instance_type, places: bits, price: one.price });
        }
    }
    (places, options)
}

/// The place of an offering.
fn place(of: &Requirements) -> Option<Place> {
    let capacity_type = CapacityType::parse(of.get(label::CAPACITY_TYPE)?.sole()?)?;
    Some(Place { zone: Zone::new(of.get(label::ZONE)?.sole()?.clone()), capacity_type })
}

/// When the next offering without capacity is asked for again.
pub(super) fn next_retry(pass: &Pass<'_>) -> Option<Time> {
    pass.state.unavailable.values().filter(|until| **until > pass.now).min().copied()
}

/// Tells what was looked at and did not do.
fn tell<T: Tracer>(memo: &Memo, looked: Vec<Looked>, tracer: &mut T) {
    for class in looked {
        for spec in class.specs {
            for (host, id, detail) in &class.hosts {
                let target = memo.hosts.target(*host).clone();
                let params = [("target", target.to_string()), ("detail", detail.clone())];
                tracer.note(|| Note::TargetRejected { spec, target, reason: Reason::new(*id, params) });
            }
            for (pool, reason) in &class.pools {
                if let Some(pool) = pool {
                    let pool = memo.offers[*pool].pool.name.clone();
                    tracer.note(|| Note::PoolRejected { spec, pool, reason: reason.clone() });
                }
            }
        }
    }
}
