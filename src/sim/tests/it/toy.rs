//! A controller that launches a node for each pod that waits, and helps it along: enough to see the world at
//! work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use purser_engine::event::{LaunchFailure, LaunchOption, Place, Seq};
use purser_engine::model::*;
use purser_engine::port::{Effect, LaunchRequest, Observation, Order};
use purser_sim::{Faults, Report, Scenario, World, builtin_day};

use crate::common::*;

struct Toy {
    types: Vec<Arc<InstanceType>>,
    pools: Vec<Arc<NodePool>>,
    claims: BTreeMap<InstanceId, ClaimName>,
    live: BTreeSet<ClaimName>,
    helped: BTreeSet<(NodeName, bool)>,
    asked: BTreeSet<Uid>,
    requests: BTreeMap<Arc<PodSpec>, Option<LaunchRequest>>,
    seq: u64,
    twice: bool,
}

impl Toy {
    fn run(
        scenario: Scenario,
        faults: Faults,
        until: Span,
        twice: bool,
    ) -> (Vec<String>, Report, Vec<Observation>) {
        let (start, end) = (scenario.start, scenario.start + until);
        let mut toy = Self {
            types: scenario.types.clone(),
            pools: scenario.pools.clone(),
            claims: BTreeMap::new(),
            live: BTreeSet::new(),
            helped: BTreeSet::new(),
            asked: BTreeSet::new(),
            requests: BTreeMap::new(),
            seq: 0,
            twice,
        };
        let mut world = World::new(scenario, 3, faults);
        let mut told = Vec::new();
        let mut now = start;
        let mut next_list = start;
        while let Some(next) = world.next_time().filter(|next| *next <= end) {
            now = now.max(next);
            let mut seen: Vec<Observation> =
                world.advance(now).into_iter().map(|input| input.observation).collect();
            told.extend(seen.iter().map(|observation| format!("{now} {observation:?}")));
            if next_list <= now {
                next_list = now + Span::mins(1);
                seen.extend(world.list_instances(now).into_iter().map(Observation::Instance));
            }
            for observation in &seen {
                for effect in toy.react(observation) {
                    toy.seq += 1;
                    let order = Order { decision: Seq(toy.seq), effect };
                    (0..=usize::from(toy.twice)).for_each(|_| world.execute(now, &order));
                }
            }
            let known = |claim: &ClaimName, _: &InstanceId| toy.live.contains(claim);
            assert_eq!(world.check(now, Some(known_claims(&known, Span::mins(1), now))), Ok(()));
        }
        world.advance(end);
        assert_eq!(world.audit(), Ok(()));
        let list = world.list(end);
        (told, world.report(end), list)
    }

    fn react(&mut self, observation: &Observation) -> Vec<Effect> {
        match observation {
            Observation::Pod(pod) if pod.phase == PodPhase::Pending && self.asked.insert(pod.uid) => {
                self.request(&pod.spec, &pod.key).map(Effect::Launch).into_iter().collect()
            }
            Observation::Instance(facts) => match &facts.claim {
                Some(claim) if self.live.contains(claim) => {
                    self.claims.insert(facts.instance.clone(), claim.clone());
                    Vec::new()
                }
                _ => vec![Effect::Collect { instance: facts.instance.clone() }],
            },
            Observation::LaunchFailed(
                claim,
                LaunchFailure::Unknown { .. }
                | LaunchFailure::Rejected { .. }
                | LaunchFailure::InsufficientCapacity { .. },
            ) => {
                self.live.remove(claim);
                Vec::new()
            }
            Observation::NoInstance(instance) => {
                if let Some(claim) = self.claims.remove(instance) {
                    self.live.remove(&claim);
                }
                Vec::new()
            }
            Observation::Node(node) => {
                let Some(claim) =
                    node.instance.as_ref().and_then(|instance| self.claims.get(instance)).cloned()
                else {
                    return Vec::new();
                };
                let mut effects = Vec::new();
                if self.helped.insert((node.name.clone(), false)) {
                    effects.push(Effect::Register { claim: claim.clone(), node: node.name.clone() });
                }
                if node.ready && self.helped.insert((node.name.clone(), true)) {
                    effects.push(Effect::Initialize { claim, node: node.name.clone() });
                }
                effects
            }
            _ => Vec::new(),
        }
    }

    fn request(&mut self, spec: &Arc<PodSpec>, pod: &PodKey) -> Option<LaunchRequest> {
        if !self.requests.contains_key(spec) {
            self.requests.insert(Arc::clone(spec), self.request_for(spec));
        }
        let template = self.requests[spec].clone()?;
        let claim = ClaimName::from(&*format!("{}-{}", template.template.name, pod.name));
        self.live.insert(claim.clone());
        Some(LaunchRequest { claim, ..template })
    }

    fn request_for(&self, spec: &PodSpec) -> Option<LaunchRequest> {
        let wanted = &spec.node_alternatives()[0];
        let zones = ["us-east-1a", "us-east-1b"].map(Zone::from);
        let room = spec.requests.plus(&resources(500, 1));
        self.pools.iter().find_map(|pool| {
            let mut requirements = Requirements::from_labels(&pool.template.labels);
            requirements.add_all(&pool.template.requirements);
            first_untolerated(&pool.template.taints, &spec.tolerations).is_none().then_some(())?;
            requirements.first_conflict(wanted, label::is_well_known).is_none().then_some(())?;
            requirements.add_all(wanted);
            let places: Vec<Place> = zones
                .iter()
                .flat_map(|zone| {
                    [CapacityType::Spot, CapacityType::OnDemand]
                        .map(|capacity_type| Place { zone: zone.clone(), capacity_type })
                })
                .filter(|place| {
                    requirements
                        .get(label::CAPACITY_TYPE)
                        .is_none_or(|own| own.has(place.capacity_type.as_str()))
                })
                .collect();
            let mut options: Vec<LaunchOption> = self
                .types
                .iter()
                .filter(|one| {
                    requirements.first_conflict(&one.requirements, |_| true).is_none()
                        && room.fits(&one.allocatable())
                })
                .filter_map(|one| {
                    let price = one.offerings.iter().map(|offering| offering.price).min()?;
                    Some(LaunchOption {
                        instance_type: one.name.clone(),
                        places: (1 << places.len()) - 1,
                        price,
                    })
                })
                .collect();
            options.sort_by_key(|option| option.price);
            options.truncate(10);
            Some(LaunchRequest {
                claim: "template".into(),
                pool: Some(pool.name.clone()),
                is_adopted: false,
                template: Arc::clone(pool),
                requests: room.clone(),
                requirements,
                places,
                options,
            })
        })
    }
}

/// The built-in day with fewer services, and without limits: this controller heeds none.
fn day() -> Scenario {
    let mut day = builtin_day(5);
    let unlimited =
        |pool: &Arc<NodePool>| Arc::new(NodePool { limits: Limits::default(), ..(**pool).clone() });
    day.pools = day.pools.iter().map(unlimited).collect();
    day
}

#[test]
fn the_first_hour_of_the_day_passes_without_violations() {
    let (told, report, _) = Toy::run(day(), Faults::none(), Span::hours(1), false);
    assert!(told.len() > 5_000, "{}", told.len());
    assert!(report.pods_bound > 1_000 && report.pods_completed > 50, "{report}");
    assert_eq!(report.pods_lost, 0);
    assert_eq!(report.samples.len(), 12);
    assert!(report.cpu_utilisation > 50 && report.cpu_utilisation < 1_000, "{report}");
}

#[test]
fn equal_runs_are_equal_byte_for_byte() {
    let run = || Toy::run(day(), Faults::hostile(), Span::mins(15), false);
    let (first, second) = (run(), run());
    assert_eq!(first.0.join("\n"), second.0.join("\n"));
    assert_eq!(first.1, second.1);
    assert_eq!(first.2, second.2);
}

#[test]
fn doing_everything_twice_changes_nothing() {
    let faults = Faults {
        lost: purser_sim::keyed::Rate::NEVER,
        delayed: purser_sim::keyed::Rate::NEVER,
        duplicated: purser_sim::keyed::Rate::NEVER,
        ..Faults::hostile()
    };
    let once = Toy::run(day(), faults.clone(), Span::mins(15), false);
    let twice = Toy::run(day(), faults, Span::mins(15), true);
    assert_eq!(once.1, twice.1);
    assert_eq!(once.2, twice.2);
}
