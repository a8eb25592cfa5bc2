//! Scheduling: which pods go where, and what has to be launched for them.
//!
//! Start at [`solve`]. It is a pure function of a [`Problem`]: pods are put in classes of equal ones (`class`), requirements and instance types are
//! made ready for look-ups (`requirements`, `supply`), pods that are there are counted by domain (`topology`), and then classes are placed one
//! after the other, largest first (`pass`), in several ways of which the best counts, and without the
//! groups that would be split (`gangs`). What is left free then is put together anew where that is cheaper (`improve`).
//!
//! Source of the rules: Karpenter, pkg/controllers/provisioning/scheduling, and Kubernetes' scheduler plugins.
//!
//! **Invariant:** what [`solve`] says depends on the problem alone, and not on the order in which its pods were given.

mod attach;
mod bits;
mod class;
mod devices;
mod fits;
mod gangs;
mod improve;
mod pass;
mod problem;
mod relaxed;
mod requirements;
mod setup;
mod stock;
mod supply;
mod terms;
mod topology;
mod why;
mod zones;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use attach::Attachable;
pub use devices::Given;
pub use problem::{
    BuyOption, Devices, Gang, Host, HostDriver, HostLabels, PendingPod, PlacedPod, PodVolume, PoolOffer,
    Problem, Rules, TypeOffer,
};
pub use relaxed::{Kind, Size, relaxed};
pub use why::Looked;
pub use zones::{EffectiveZone, effective_zones};

use crate::model::{Price, Requirement, Requirements, Resources, Str};
use crate::reason::{Reason, ReasonId};
use crate::settings::MinValuesPolicy;
use bits::Bits;
use pass::{Pass, Placement, Planned, Style};
use requirements::{Interner, ReqId};
use setup::Setup;
use supply::Supply;

/// Where the pods of a problem go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Hosts by index, with the indices of the pods that go there.
    pub hosts: Vec<(usize, Vec<usize>)>,
    /// Nodes to launch.
    pub launches: Vec<Launch>,
    /// Pods without a place.
    pub unplaced: Vec<Unplaced>,
    /// Indices of the pods that have a place, in an order in which each finds the constraints between pods satisfied.
    pub order: Vec<usize>,
    /// What the claims of pods get.
    pub devices: Vec<PodDevices>,
    /// Targets and shapes looked at.
    pub work: u64,
}

/// What a claim of a pod gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodDevices {
    /// Index of the pod for which it was allocated.
    pub pod: usize,
    /// Index of the claim among the pod's.
    pub claim: usize,
    /// Where.
    pub place: DevicePlace,
    /// The devices.
    pub devices: Vec<Given>,
}

/// Where devices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DevicePlace {
    /// On a host, by index.
    Host(usize),
    /// On a node to launch, should it be of a type.
    Launch {
        /// Index of the launch.
        launch: usize,
        /// Index into the types of its pool.
        type_at: usize,
    },
}

/// A node to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Index of the pool.
    pub pool: usize,
    /// What its labels satisfy.
    pub requirements: Requirements,
    /// Types that hold its pods, cheapest first.
    pub types: Arc<[LaunchType]>,
    /// How many types of the pool were looked at.
    pub considered: usize,
    /// Indices of its pods.
    pub pods: Vec<usize>,
    /// What its pods ask for, and its daemon pods at least.
    pub requests: Resources,
    /// What is to be set aside of the pool's limits, whichever type comes.
    pub reserved: Resources,
    /// Whether `minValues` was let go.
    pub min_values_relaxed: bool,
}

/// A type of a launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchType {
    /// Index into the pool's types.
    pub type_at: usize,
    /// Indices of its offerings that may be bought.
    pub offerings: Arc<[usize]>,
    /// The lowest price among them.
    pub price: Price,
}

/// Pods of a class without a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unplaced {
    /// Indices of the pods.
    pub pods: Vec<usize>,
    /// What each pool lacked, by index of the pool, the one that came nearest in front; one without a pool if there is none.
    pub reasons: Vec<(Option<usize>, Reason)>,
}

/// What was made ready of the pools of a problem, for the next problem with the same rules and pools; only what the pools use of their limits may
/// differ.
#[derive(Debug, Default)]
pub struct Prepared(Option<(Interner, Supply)>);

/// Finds places for the pods of a problem.
pub fn solve(problem: &Problem<'_>) -> Plan {
    solve_prepared(problem, &mut Prepared::default())
}

/// Finds places for the pods of a problem, with what was made ready of its pools before.
pub fn solve_prepared(problem: &Problem<'_>, prepared: &mut Prepared) -> Plan {
    run(problem, prepared, |_, _| ()).0
}

/// The same, with what was looked at for each class of pods and did not do.
pub fn solve_explained(problem: &Problem<'_>, prepared: &mut Prepared) -> (Plan, Vec<Looked>) {
    run(problem, prepared, why::looked)
}

fn run<R>(
    problem: &Problem<'_>,
    prepared: &mut Prepared,
    look: impl FnOnce(&mut Setup<'_>, &Placement) -> R,
) -> (Plan, R) {
    let known = prepared.0.take().filter(|(interner, _)| interner.len() < MOST_REMEMBERED);
    let mut setup = Setup::new(*problem, known);
    let best = whole(&mut setup);
    let looked = look(&mut setup, &best);
    let plan = plan(&mut setup, best);
    prepared.0 = Some((setup.interner, setup.supply));
    (plan, looked)
}

/// So many different requirements are remembered; then it starts over.
const MOST_REMEMBERED: usize = 50_000;

/// The best placement in which no group is split.
fn whole(setup: &mut Setup<'_>) -> Placement {
    let mut left_out = vec![false; setup.problem.pods.len()];
    let mut work = 0;
    loop {
        let mut best = best(setup, &left_out);
        work += best.work;
        best.work = work;
        let short = gangs::short(setup.problem.pods, &best.target, &left_out);
        if short.is_empty() {
            improve::improve(setup, &mut best, setup.problem.rules.work);
            return best;
        }
        for pod in short {
            left_out[pod] = true;
        }
    }
}

/// The best of several passes: the one that leaves the fewest pods, then the cheapest.
fn best(setup: &mut Setup<'_>, left_out: &[bool]) -> Placement {
    let first = Pass::run(setup, Style::default(), left_out, u64::MAX);
    let mut best = first.map(|first| (score(setup, &first), first)).unwrap_or_default();
    // What large problems may cost is in proportion to what one pass does; small ones are tried in every way.
    let pods = setup.problem.pods.len() as u64;
    let share = MOST_WORK.max(WORK_PER_POD * pods).max(PASSES * best.1.work);
    let mut budget = setup.problem.rules.work.min(share);
    let leaves_some = best.0.0.iter().any(|(_, count)| *count > 0);
    let reserves = best.1.planned.iter().any(|planned| !planned.draws_on.is_empty());
    let held_back = leaves_some && best.1.held_back;
    let has_limits = setup.problem.pools.iter().any(|offer| !offer.limits().is_none());
    let mut work = best.1.work;
    let limit = LEAST_LIMIT.max(LIMIT * best.1.work);
    // Where domains are left open pods may have to be asked again and again: in one of such passes as in the others.
    let mut lazy_is_slow = false;
    let by_price = Style { dearest_first: true, frugal: true, ..Style::default() };
    let styles = [
        Style { tight: true, ..Style::default() },
        Style { by_priority: true, tight: has_limits, ..Style::default() },
        by_price,
        Style { frugal: true, ..Style::default() },
        Style { lazy: true, ..Style::default() },
        Style { lazy: true, frugal: true, ..Style::default() },
        Style { fewest_first: true, ..Style::default() },
        Style { lazy: true, fewest_first: true, ..Style::default() },
        Style { dearest_first: true, lazy: true, frugal: true, ..Style::default() },
        Style { tight: true, frugal: true, ..Style::default() },
        Style { unreserved: true, frugal: true, ..Style::default() },
    ];
    for style in styles {
        let of_use = match style {
            Style { by_priority: true, .. } => leaves_some && has_priorities(setup),
            Style { unreserved: true, .. } => leaves_some && reserves,
            Style { tight: true, .. } => held_back,
            Style { lazy: true, .. } if setup.groups.is_empty() => false,
            Style { fewest_first: true, .. } => best.1.planned.len() <= 64,
            _ => best.1.planned.len() > 1 || best.1.planned.iter().any(|planned| planned.pods.len() > 1),
        };
        // What may find places for more pods, or for more important ones, runs whole as the first does; and so does one that looks at
        // prices: where pods join whatever takes them, one that needs an accelerator ends up on the dearest machine there is.
        let runs_whole = style == by_price || (!style.frugal && (style.tight || style.by_priority));
        let most = if runs_whole { u64::MAX } else { budget.min(limit) };
        if !of_use || most == 0 || (style.lazy && lazy_is_slow) {
            continue;
        }
        let Some(other) = Pass::run(setup, style, left_out, most) else {
            work += most;
            budget -= most;
            lazy_is_slow |= style.lazy;
            continue;
        };
        if !runs_whole {
            budget = budget.saturating_sub(other.work);
        }
        work += other.work;
        let score = score(setup, &other);
        if score < best.0 {
            best = (score, other);
        }
    }
    best.1.work = work;
    best.1
}

/// What all passes that need not run whole may cost together: so much, or so much for each pod, or so many times the first pass, whichever is most.
const PASSES: u64 = 2;
const MOST_WORK: u64 = 30_000;
/// What one of them may cost: so much, or so many times the first pass. One that takes longer does not end soon after.
const LEAST_LIMIT: u64 = 5_000;
const LIMIT: u64 = 3;
const WORK_PER_POD: u64 = 15;

fn has_priorities(setup: &Setup<'_>) -> bool {
    let mut priorities = setup.classes.iter().map(|class| class.spec.priority);
    let first = priorities.next();
    priorities.any(|priority| Some(priority) != first)
}

/// How bad a placement is: pods left without a place, the most important first; price; nodes.
fn score(setup: &Setup<'_>, placement: &Placement) -> (Vec<(Reverse<i32>, usize)>, i128, usize) {
    let lost = lost(setup, placement);
    let mut left: BTreeMap<Reverse<i32>, usize> = BTreeMap::new();
    for class in &setup.classes {
        // Every priority is named, so that the lists compare place by place.
        let is_left = |pod: &&usize| placement.target[**pod].is_none() || lost.contains(pod);
        let count = class.pods.iter().filter(is_left).count();
        *left.entry(Reverse(class.spec.priority)).or_default() += count;
    }
    let price = placement.planned.iter().map(|planned| i128::from(planned.price.0)).sum();
    (left.into_iter().collect(), price, placement.planned.len())
}

/// Pods on planned nodes that cannot be launched: of the types that may be named, or that reservations leave, too few have different values.
fn lost(setup: &Setup<'_>, placement: &Placement) -> BTreeSet<usize> {
    if setup.problem.rules.min_values != MinValuesPolicy::Strict {
        return BTreeSet::new();
    }
    let asks = |pool: usize| setup.interner.has_min_values(setup.supply.pools[pool].requirements);
    let mut known = Offered::default();
    let of_use = placement.planned.iter().filter(|planned| asks(planned.pool));
    of_use
        .filter(|planned| launch(setup, planned, &mut known).is_none())
        .flat_map(|planned| &planned.pods)
        .copied()
        .collect()
}

/// What a placement says to the outside.
fn plan(setup: &mut Setup<'_>, placement: Placement) -> Plan {
    let hosts = setup.problem.hosts.len() as u32;
    let mut of_hosts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut unplaced = Vec::new();
    for class in 0..setup.classes.len() {
        let pods = setup.classes[class].pods.clone();
        for pod in &pods {
            if let Some(target) = placement.target[*pod].filter(|target| *target < hosts) {
                of_hosts.entry(target as usize).or_default().push(*pod);
            }
        }
        let left: Vec<usize> = pods.into_iter().filter(|pod| placement.target[*pod].is_none()).collect();
        if !left.is_empty() {
            let reasons = why::reasons(setup, &placement, class);
            unplaced.push(Unplaced { pods: left, reasons });
        }
    }
    let mut order = placement.order.clone();
    let mut launches = Vec::new();
    let mut launched = Vec::with_capacity(placement.planned.len());
    let mut known = Offered::default();
    for planned in &placement.planned {
        let launch = launch(setup, planned, &mut known);
        launched.push(launch.is_some().then_some(launches.len()));
        match launch {
            Some(launch) => launches.push(launch),
            None => {
                let name = setup.problem.pools[planned.pool].pool.name.to_string();
                let reason = Reason::new(ReasonId::MinValuesUnmet, [("nodepool", name)]);
                order.retain(|pod| !planned.pods.contains(pod));
                unplaced.push(Unplaced {
                    pods: planned.pods.clone(),
                    reasons: vec![(Some(planned.pool), reason)],
                });
            }
        }
    }
    let launched: Vec<_> = launched.into_iter().map(|at| at.map(|at| (at, &launches[at]))).collect();
    let devices = devices::given(setup, &placement, &launched);
    Plan { hosts: of_hosts.into_iter().collect(), launches, unplaced, order, devices, work: placement.work }
}

/// What launches offer: by pool, requirements, whether `minValues` was let go, reservations and shapes that are left.
type Offered = FxHashMap<(usize, ReqId, bool, BTreeSet<Str>, Bits), Option<Offer>>;

/// What a launch offers, whichever pods it is for.
#[derive(Debug, Clone)]
struct Offer {
    requirements: Requirements,
    types: Arc<[LaunchType]>,
    daemons: Resources,
    reserved: Resources,
    relaxed: bool,
}

/// A planned node as a launch; `None` if so few types may be named that `minValues` does not hold.
fn launch(setup: &Setup<'_>, planned: &Planned, known: &mut Offered) -> Option<Launch> {
    let shapes = &setup.supply.pools[planned.pool].shapes;
    let mut left = Bits::default();
    planned.asked(shapes).left().for_each(|fit| left.insert(fit.shape as usize));
    let key =
        (planned.pool, planned.requirements, planned.min_values_relaxed, planned.draws_on.clone(), left);
    if !known.contains_key(&key) {
        let new = offer(setup, planned, &key.4);
        known.insert(key.clone(), new);
    }
    let offer = known[&key].as_ref()?;
    Some(Launch {
        pool: planned.pool,
        requirements: offer.requirements.clone(),
        considered: setup.problem.pools[planned.pool].types.len(),
        pods: planned.pods.clone(),
        requests: planned.requests.plus(&offer.daemons),
        types: Arc::clone(&offer.types),
        reserved: offer.reserved.clone(),
        min_values_relaxed: planned.min_values_relaxed || offer.relaxed,
    })
}

fn offer(setup: &Setup<'_>, planned: &Planned, left: &Bits) -> Option<Offer> {
    let problem = &setup.problem;
    let offer = &problem.pools[planned.pool];
    let pool = &setup.supply.pools[planned.pool];
    let list = planned.asked(&pool.shapes).list;
    let mut requirements = setup.interner.get(planned.requirements).clone();
    // Of each type the offerings that it may be bought by: those with room, and of reservations those that it holds.
    let mut ranked: Vec<(Price, usize)> = Vec::new();
    let mut offerings: Vec<Option<Arc<[usize]>>> = vec![None; offer.types.len()];
    let mut others: BTreeSet<Str> = BTreeSet::new();
    for (fit, buys) in list.cheapest_first(pool, offer).filter(|(fit, _)| left.contains(fit.shape as usize)) {
        let type_at = pool.shapes[fit.shape as usize].type_at;
        let (mut price, mut of_shape) = (Some(fit.price), Arc::clone(buys()));
        if !pool.reservations.is_empty() {
            let all = &offer.types[type_at].offerings;
            let other =
                |at: &usize| all[*at].reservation.as_ref().filter(|(id, _)| !planned.draws_on.contains(id));
            others.extend(of_shape.iter().filter_map(other).map(|(id, _)| id.clone()));
            let own = of_shape.iter().filter(|at| other(at).is_none()).copied();
            of_shape = list.share(&own.collect::<Vec<_>>());
            price = of_shape.iter().map(|at| all[*at].price).min();
        }
        let Some(price) = price else { continue };
        let known = &mut offerings[type_at];
        match known {
            None => ranked.push((price, type_at)),
            // Another shape of a type of which a cheaper one came before.
            Some(known) => {
                let mut both: Vec<usize> = known.iter().chain(&*of_shape).copied().collect();
                both.sort_unstable_by_key(|at| (offer.types[type_at].offerings[*at].allocatable, *at));
                of_shape = list.share(&both);
                ranked.iter_mut().filter(|one| one.1 == type_at).for_each(|one| one.0 = one.0.min(price));
            }
        }
        *known = Some(of_shape);
    }
    if let (Some(label), false) = (&problem.rules.reservation_label, others.is_empty()) {
        requirements.add(label.clone(), Requirement::none_of(others));
    }
    ranked.sort_unstable();
    let (kept, relaxed) = truncated(setup, planned, &ranked)?;
    let of_type = |(price, type_at): (Price, usize)| {
        Some(LaunchType { type_at, offerings: offerings[type_at].take()?, price })
    };
    let types: Arc<[LaunchType]> = kept.into_iter().filter_map(of_type).collect();
    let mut named = Bits::default();
    types.iter().for_each(|one| named.insert(one.type_at));
    let of_named = pool
        .shapes
        .iter()
        .enumerate()
        .filter(|(at, shape)| left.contains(*at) && named.contains(shape.type_at));
    let daemons = if offer.daemons.is_empty() {
        Resources::default()
    } else {
        let daemons = of_named.map(|(_, shape)| shape.daemons.clone());
        daemons.reduce(|a, b| a.elementwise_min(&b)).unwrap_or_default()
    };
    let capacities = types.iter().map(|one| &offer.types[one.type_at].capacity);
    let reserved = fits::largest(capacities).unwrap_or_default();
    Some(Offer { requirements, types, daemons, reserved, relaxed })
}

/// The cheapest types, as many as a launch may name, such that `minValues` holds among them, or whether it was let go.
fn truncated(
    setup: &Setup<'_>,
    planned: &Planned,
    ranked: &[(Price, usize)],
) -> Option<(Vec<(Price, usize)>, bool)> {
    let most = setup.problem.rules.max_types;
    if !setup.interner.has_min_values(planned.requirements) {
        return Some((ranked[..most.min(ranked.len())].to_vec(), false));
    }
    let offer = &setup.problem.pools[planned.pool];
    let wanted = setup.interner.get(planned.requirements);
    let mut needed: Vec<_> =
        wanted.iter().filter_map(|(key, one)| Some((key, one, one.min_values? as usize))).collect();
    if planned.min_values_relaxed {
        needed.clear();
    }
    // Those that bring values which are still asked for come first, whatever they cost.
    let mut found: Vec<BTreeSet<&Str>> = vec![Default::default(); needed.len()];
    let mut kept: Vec<(Price, usize)> = Vec::new();
    for one in ranked {
        if kept.len() == most {
            break;
        }
        let mut brings = false;
        for ((key, allowed, least), found) in needed.iter().zip(&mut found) {
            let values = offer.types[one.1].requirements.get(key).filter(|own| !own.is_complement());
            for value in values.into_iter().flat_map(|own| own.values()).filter(|value| allowed.has(value)) {
                brings |= found.len() < *least && found.insert(value);
            }
        }
        if brings {
            kept.push(*one);
        }
    }
    let already: BTreeSet<(Price, usize)> = kept.iter().copied().collect();
    kept.extend(ranked.iter().filter(|one| !already.contains(one)).take(most - kept.len()));
    kept.sort_unstable();
    let holds = needed.iter().zip(&found).all(|((_, _, least), found)| found.len() >= *least);
    (holds || setup.problem.rules.min_values == MinValuesPolicy::BestEffort).then_some((kept, !holds))
}
