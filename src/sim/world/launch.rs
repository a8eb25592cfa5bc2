//! Launches: which offering a request gets, what is answered, and the labels of the node that comes of it.
//!
//! **Invariant:** a claim never has more than one instance: the outcome of its first request that came
//! through is its outcome for ever, whatever was answered.

use std::sync::Arc;

use purser_engine::event::{LaunchFailure, Seq};
use purser_engine::model::{
    CapacityType, ClaimName, InstanceId, InstanceType, Labels, NodePool, OfferingKey, Price, Requirements,
    Span, Str, Time, TypeName, Zone, label,
};
use purser_engine::port::{InstanceFacts, LaunchRequest, Observation};

use super::machine::{Life, Machine};
use super::outbox::Subject;
use super::{Happening, World};
use crate::check::Violation;
use crate::keyed::{Draw, Rate};

/// How a call to launch ends, for the caller.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// The outcome itself.
    Outcome,
    /// Nobody knows.
    Unknown,
    /// No, though an instance may start.
    Rejected,
}

/// What became of a claim's request.
#[derive(Debug)]
pub(super) enum Outcome {
    Machine(u32),
    Failed(LaunchFailure),
}

#[derive(Debug, Default)]
pub(super) struct Launch {
    pub(super) outcome: Option<Outcome>,
    /// Decisions whose calls are being answered.
    pub(super) answering: Vec<Seq>,
    /// Decisions for which it was ever asked for, in order.
    decisions: Vec<Seq>,
    /// Whether the controller has reason to think that there is none.
    pub(super) disowned: bool,
}

impl World {
    /// A request to launch arrives.
    pub(super) fn launch(&mut self, request: &LaunchRequest, decision: Seq) {
        let claim = &request.claim;
        let launch = self.machines.launches.entry(claim.clone()).or_default();
        if launch.answering.contains(&decision) {
            return;
        }
        launch.answering.push(decision);
        // A call that is made again for the same decision fares as it did, and how it fares does not depend on what else is in the
        // log: so a run that was interrupted goes on as one that was not.
        let number = launch.decisions.iter().position(|known| *known == decision).unwrap_or_else(|| {
            launch.decisions.push(decision);
            launch.decisions.len() - 1
        });
        let draw = self.seed.draw("launch").with(claim.as_str());
        let attempt = draw.with_number(number as u64);
        let latency = self.faults.launch.sample(&mut attempt.with("latency"));
        let mut answer_at = self.now + latency;
        let first = launch.outcome.is_none();
        let mut answer = Answer::Outcome;
        if first && attempt.with("throttled").chance(self.faults.throttled) {
            answer = Answer::Unknown;
        } else if first {
            let mut starts = self.now + Span(latency.0 / 2_000 * 1_000);
            let outcome = self.choose(request);
            if outcome.is_ok() {
                let late = self.faults.late_start.sample(&mut draw.with("late start"));
                if draw.with("late success").chance(self.faults.late_success) {
                    answer = Answer::Unknown;
                    starts = starts + late;
                } else if draw.with("false failure").chance(self.faults.false_failure) {
                    answer = Answer::Rejected;
                    starts = starts + late;
                    self.machines.disown(claim);
                }
            }
            let outcome = match outcome {
                Ok((instance_type, zone, capacity_type, price)) => Outcome::Machine(self.order_machine(
                    request,
                    instance_type,
                    zone,
                    capacity_type,
                    price,
                    starts,
                )),
                Err(failure) => {
                    if matches!(failure, LaunchFailure::InsufficientCapacity { .. }) {
                        self.meter.dry_answers += 1;
                    }
                    Outcome::Failed(failure)
                }
            };
            let launch = self.machines.launches.entry(claim.clone()).or_default();
            launch.outcome = Some(outcome);
        } else if let Some(Outcome::Machine(machine)) = &launch.outcome {
            // The same request again: the same instance, as soon as it is there.
            answer_at = answer_at.max(self.machines.all[*machine as usize].facts.launched);
        }
        self.machines.calls += 1;
        self.queue.push(answer_at, Happening::LaunchAnswer(claim.clone(), decision, answer, self.caller));
    }

    /// A launch is answered.
    pub(super) fn launch_answered(&mut self, claim: &ClaimName, decision: Seq, answer: Answer, caller: u32) {
        if caller != self.caller {
            return;
        }
        self.machines.calls -= 1;
        let Some(launch) = self.machines.launches.get_mut(claim) else { return };
        launch.answering.retain(|other| *other != decision);
        let observation = match (answer, &launch.outcome) {
            (Answer::Unknown, _) | (Answer::Outcome, None) => {
                let message = "RequestLimitExceeded: Request limit exceeded.".into();
                Observation::LaunchFailed(claim.clone(), LaunchFailure::Unknown { message })
            }
            (Answer::Rejected, _) => {
                let message = "InternalError: An internal error has occurred.".into();
                Observation::LaunchFailed(claim.clone(), LaunchFailure::Rejected { message })
            }
            (Answer::Outcome, Some(Outcome::Failed(failure))) => {
                Observation::LaunchFailed(claim.clone(), failure.clone())
            }
            (Answer::Outcome, Some(Outcome::Machine(machine))) => {
                let own = &self.machines.all[*machine as usize];
                if own.life == Life::Gone {
                    let machine = *machine;
                    let facts = own.facts.clone();
                    self.answer(Observation::Instance(facts), Some(decision));
                    return self.tell(Subject::Machine(machine), None);
                }
                Observation::Instance(own.facts.clone())
            }
        };
        self.answer(observation, Some(decision));
    }

    /// The cheapest offering with capacity among those of a request.
    fn choose(
        &self,
        request: &LaunchRequest,
    ) -> Result<(Arc<InstanceType>, Zone, CapacityType, Price), LaunchFailure> {
        let mut offers = Vec::new();
        for (rank, option) in request.options.iter().enumerate() {
            let Some(instance_type) = self.types.get(&option.instance_type) else { continue };
            let wanted = |bit: usize| bit < 32 && option.places & (1 << bit) != 0;
            for (bit, place) in request.places.iter().enumerate().filter(|(bit, _)| wanted(*bit)) {
                let offered = instance_type.offerings.iter();
                let same = |o: &&purser_engine::model::Offering| {
                    o.zone == place.zone && o.capacity_type == place.capacity_type
                };
                if let Some(offering) = offered.into_iter().find(same) {
                    offers.push((offering.price, rank, bit, instance_type, place));
                }
            }
        }
        if offers.is_empty() {
            let message =
                "InvalidFleetConfiguration: none of the instance types is offered in these places.".into();
            return Err(LaunchFailure::Rejected { message });
        }
        offers.sort_unstable_by_key(|(price, rank, bit, ..)| (*price, *rank, *bit));
        let free = offers.iter().find(|(.., instance_type, place)| {
            self.has_capacity(&instance_type.name, &place.zone, place.capacity_type, self.now)
        });
        match free {
            Some((price, _, _, instance_type, place)) => {
                Ok((Arc::clone(instance_type), place.zone.clone(), place.capacity_type, *price))
            }
            None => {
                let tried = offers.iter().map(|(.., instance_type, place)| OfferingKey {
                    instance_type: instance_type.name.clone(),
                    zone: place.zone.clone(),
                    capacity_type: place.capacity_type,
                });
                Err(LaunchFailure::InsufficientCapacity { offerings: tried.collect() })
            }
        }
    }

    /// Whether an offering has capacity at a moment.
    pub fn has_capacity(
        &self,
        instance_type: &TypeName,
        zone: &Zone,
        capacity_type: CapacityType,
        at: Time,
    ) -> bool {
        if self.outages.iter().any(|outage| outage.covers(instance_type, zone, capacity_type, at)) {
            return false;
        }
        let rate = match capacity_type {
            CapacityType::Spot => self.faults.dry_spot,
            CapacityType::OnDemand | CapacityType::Reserved => self.faults.dry_on_demand,
        };
        let all = self.seed.draw("drought").with(capacity_type.as_str());
        let own = self
            .seed
            .draw("capacity")
            .with(instance_type.as_str())
            .with(zone.as_str())
            .with(capacity_type.as_str());
        !self.is_dry(all, self.faults.drought, at) && !self.is_dry(own, rate, at)
    }

    /// Whether a moment lies in a dry window of those that a draw gives. Windows of different draws begin at
    /// different moments.
    fn is_dry(&self, draw: Draw, rate: Rate, at: Time) -> bool {
        if rate == Rate::NEVER {
            return false;
        }
        let step = self.faults.dry_for.0.max(1);
        let phase = draw.with("phase").below(step.cast_unsigned()).cast_signed();
        let window = (at.0 - phase).div_euclid(step);
        draw.with_number(window.cast_unsigned()).chance(rate)
    }

    fn order_machine(
        &mut self,
        request: &LaunchRequest,
        instance_type: Arc<InstanceType>,
        zone: Zone,
        capacity_type: CapacityType,
        price: Price,
        starts: Time,
    ) -> u32 {
        let number = self.machines.all.len() as u32;
        let claim = request.claim.clone();
        let id = format!("i-{:017x}", self.seed.draw("instance").with(claim.as_str()).bits() >> 4);
        let instance = InstanceId::from(&*id);
        let template =
            request.pool.as_ref().and_then(|pool| self.pools.get(pool)).unwrap_or(&request.template).clone();
        let labels = labels(&instance_type, &zone, capacity_type, &template, &request.requirements);
        let appears = self.faults.unlisted.sample(&mut self.seed.draw("unlisted").with(&id));
        self.machines.by_instance.insert(instance.clone(), number);
        self.machines.listed.push((starts + appears, starts));
        self.machines.live.insert(number);
        let facts = InstanceFacts {
            instance,
            claim: Some(claim.clone()),
            instance_type: instance_type.name.clone(),
            zone,
            capacity_type,
            price,
            launched: starts,
        };
        self.machines.all.push(Machine::new(facts, claim, template, instance_type, labels));
        self.check_limits(number);
        self.queue.push(starts, Happening::MachineUp(number));
        number
    }

    /// Whether the pool's limits hold with this instance, as the controller was last told of them.
    fn check_limits(&mut self, machine: u32) {
        let own = &self.machines.all[machine as usize];
        let pool = &own.template.name;
        let limits = &self.told_pools.get(pool).unwrap_or(&own.template).limits;
        if limits.resources.is_empty() && limits.nodes.is_none() {
            return;
        }
        let mut used = purser_engine::model::Resources::default();
        let mut nodes = 0;
        for other in &self.machines.live {
            let of_pool = &self.machines.all[*other as usize];
            if of_pool.template.name == own.template.name && !self.machines.is_disowned(*other) {
                used.add(&of_pool.instance_type.capacity);
                nodes += 1;
            }
        }
        if let Some((resource, limit, used)) = limits.first_exceeded(&used, nodes) {
            self.violations.push(Violation::LimitExceeded {
                pool: own.template.name.clone(),
                resource: resource.into(),
                limit,
                used,
                claim: own.claim.clone(),
            });
        }
    }
}

/// The labels of a node of this type in this place, as kubelet and the controller's launch set them.
fn labels(
    instance_type: &InstanceType,
    zone: &Zone,
    capacity_type: CapacityType,
    pool: &NodePool,
    wanted: &Requirements,
) -> Labels {
    let single = |requirements: &Requirements| -> Vec<(Str, Str)> {
        requirements
            .iter()
            .filter(|(_, requirement)| !requirement.is_complement())
            .filter_map(|(key, requirement)| Some((key.clone(), requirement.values().first()?.clone())))
            .collect()
    };
    // A custom label for which the launch leaves a choice gets one of the values, the first.
    let custom = single(wanted).into_iter().filter(|(key, _)| !label::is_well_known(key));
    let mut labels: Labels = custom.collect();
    labels.extend(pool.template.labels.iter().map(|(key, value)| (key.clone(), value.clone())));
    for (key, requirement) in instance_type.requirements.iter().filter(|(_, own)| !own.is_complement()) {
        // Of several values of a type, such as tenancies, the plain one is had unless the launch says otherwise.
        let allowed = |value: &&Str| wanted.get(key).is_none_or(|wanted| wanted.has(value));
        let mut values = requirement.values().iter().filter(allowed);
        let plain = requirement.values().iter().find(|value| &***value == "default").filter(allowed);
        if let Some(value) = plain.or_else(|| values.next().filter(|_| values.next().is_none())) {
            labels.insert(key.clone(), value.clone());
        }
    }
    let region = zone.as_str().trim_end_matches(|c: char| c.is_ascii_lowercase());
    for (key, value) in [
        (label::INSTANCE_TYPE, instance_type.name.as_str()),
        (label::ZONE, zone.as_str()),
        (label::REGION, region),
        (label::CAPACITY_TYPE, capacity_type.as_str()),
        (label::NODEPOOL, pool.name.as_str()),
    ] {
        labels.insert(key.into(), value.into());
    }
    labels.remove(label::HOSTNAME);
    labels
}
