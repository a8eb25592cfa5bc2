//! The controller on a virtual clock: the world tells, the controller decides, the world carries out.
//!
//! **Invariant:** time moves to the next thing that happens, in the world or for the controller, and the order of what happens in one
//! moment is fixed: the world first, then the controller, then the orders. So a run is a function of scenario, seed and faults.

use purser_engine::controller::{Controller, LISTED_WITHIN, Start, Step, order};
use purser_engine::event::{Decision, Event, Seq};
use purser_engine::model::{ClaimName, InstanceId, Span, Time};
use purser_engine::port::{Input, Journal, JournalError};
use purser_engine::state::State;

use crate::{KnownClaims, Violation, World};

/// The world is listed in full so often, to repair what notifications lost.
pub const RELIST_EVERY: Span = Span::hours(1);

/// The cloud's instances are listed so often, to find those that nobody claims (Karpenter's provider: every two minutes).
pub const LIST_INSTANCES_EVERY: Span = Span::mins(2);

/// What is seen within so long goes into one step, as it does in a cluster while a batch is on its way to the disk.
const REACTION: Span = Span::millis(50);

/// A world and its controller.
pub struct Simulation<J> {
    /// The world.
    pub world: World,
    controller: Controller<J>,
    now: Time,
    wake_at: Option<Time>,
    relist_at: Time,
    list_instances_at: Time,
    last_listing: Option<Listing>,
    stalled_since: Option<Time>,
    orders_to_live: Option<u64>,
    orders_carried_out: u64,
    died: bool,
}

/// A list of instances that told the controller nothing new. The next one that is like it need not be looked at, if nothing about
/// it was too young to be told: in a large world that is most of the work.
#[derive(Clone, Copy)]
struct Listing {
    at: Time,
    /// The controller's claims at the time.
    supply: Seq,
    /// Whether every instance was so old that its absence would have been told.
    nothing_young: bool,
}

/// Why a run ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The controller died, as it was told to by [`Simulation::die_after_orders`].
    #[error("the controller died")]
    Died,
    /// Something happened that must never happen.
    #[error("an invariant is broken: {0}")]
    Violation(#[from] Violation),
}

/// A controller that has just started in a world, and what starting led to.
pub struct Beginning<J> {
    /// The world.
    pub world: World,
    /// The controller.
    pub controller: Controller<J>,
    /// What its start led to; its orders have not been carried out.
    pub first: Step,
    /// When it started.
    pub now: Time,
}

impl<J: Journal> Beginning<J> {
    /// Starts, or starts again, a controller in a world at a moment.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn new(
        mut world: World,
        journal: J,
        state: State,
        now: Time,
        start: Start,
    ) -> Result<Self, JournalError> {
        // What the world would have told a controller that was not there is in the list.
        world.advance(now);
        let listed = world.list(now);
        let (controller, first) = Controller::start(journal, state, now, start, listed)?;
        Ok(Self { world, controller, first, now })
    }
}

impl<J: Journal> Simulation<J> {
    /// Goes on from a beginning on the virtual clock.
    pub fn new(beginning: Beginning<J>) -> Self {
        let Beginning { world, controller, first, now } = beginning;
        let mut simulation = Self {
            world,
            controller,
            now,
            wake_at: None,
            relist_at: now + RELIST_EVERY,
            list_instances_at: now + LIST_INSTANCES_EVERY,
            last_listing: None,
            stalled_since: None,
            orders_to_live: None,
            orders_carried_out: 0,
            died: false,
        };
        simulation.carry_out(first);
        simulation
    }

    /// The next moment at which something happens; `None` when all is still and nothing is waited for.
    pub fn next_time(&self) -> Option<Time> {
        let next = match (self.world.next_time(), self.wake_at) {
            (Some(world), Some(controller)) => world.min(controller),
            (world, controller) => world.or(controller)?,
        };
        Some(next.min(self.relist_at).min(self.list_instances_at).max(self.now))
    }

    /// Lets the next moment happen. False when nothing is left to happen by `end`.
    ///
    /// # Errors
    /// If the journal cannot be written or an invariant is broken.
    pub fn step(&mut self, end: Time) -> Result<bool, SimulationError> {
        let Some(next) = self.next_time().filter(|next| *next <= end) else { return Ok(false) };
        let told = self.world.next_time().is_some_and(|world| world <= next);
        let now = if told { (next + REACTION).min(end) } else { next };
        self.now = now;
        let inputs = self.world.advance(now);
        self.see(now, inputs)?;
        if self.relist_at <= now {
            self.relist_at = now + RELIST_EVERY;
            let listed = self.world.list(now);
            let step = self.controller.relist(now, listed)?;
            self.carry_out(step);
        } else if self.list_instances_at <= now {
            self.list_instances_at = now + LIST_INSTANCES_EVERY;
            self.list_instances(now)?;
        }
        if self.wake_at.is_some_and(|at| at <= now) {
            let step = self.controller.wake(now)?;
            self.carry_out(step);
        }
        self.check()?;
        if self.died { Err(SimulationError::Died) } else { Ok(true) }
    }

    fn list_instances(&mut self, now: Time) -> Result<(), JournalError> {
        let supply = self.controller.state().supply_changed;
        let is_like = |last: &Listing| last.supply == supply && !self.world.instances_changed(last.at, now);
        let last = self.last_listing.take().filter(is_like);
        if let Some(last) = last.filter(|last| last.nothing_young) {
            self.last_listing = Some(last);
            return Ok(());
        }
        let size = self.controller.state().size;
        let step = self.controller.relist_instances(now, self.world.listed_instances(now))?;
        self.carry_out(step);
        if self.controller.state().size == size && self.stalled_since.is_none() {
            let claims = self.controller.state().claims.values();
            let mut instances = claims.filter_map(|claim| claim.instance.as_ref());
            let nothing_young = instances.all(|instance| now.since(instance.launched) >= LISTED_WITHIN);
            self.last_listing = Some(Listing { at: now, supply, nothing_young });
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Violation> {
        let state = self.controller.state();
        let known = |claim: &ClaimName, instance: &InstanceId| {
            state.is_claimed(instance) || state.claims.contains_key(claim)
        };
        let known = KnownClaims {
            known: &known,
            collect_after: state.settings.garbage_collect_after,
            gone: state.launches - state.claims.len() as u64,
        };
        self.world.check(self.now, Some(known))
    }

    fn see(&mut self, now: Time, inputs: Vec<Input>) -> Result<(), JournalError> {
        if !inputs.is_empty() {
            let step = self.controller.step(now, inputs)?;
            self.carry_out(step);
        }
        Ok(())
    }

    fn carry_out(&mut self, step: Step) {
        if step.evaluated {
            self.wake_at = step.wake_at;
        }
        self.stalled_since = step.stalled_since;
        if step.stalled_since.is_some() {
            // Looked at again soon: space may be back.
            self.wake_at = Some(self.now + Span::secs(1));
        }
        for order in &step.orders {
            if let Some(left) = &mut self.orders_to_live {
                if *left == 0 {
                    self.died = true;
                    return;
                }
                *left -= 1;
            }
            self.orders_carried_out += 1;
            self.world.execute(self.now, order);
        }
    }

    /// Lets the controller die in the middle of a step: when so many more orders were carried out, and before the next is.
    pub fn die_after_orders(&mut self, orders: u64) {
        self.orders_to_live = Some(orders);
    }

    /// How many orders went out so far.
    pub fn orders_carried_out(&self) -> u64 {
        self.orders_carried_out
    }

    /// What the controller knows.
    pub fn state(&self) -> &State {
        self.controller.state()
    }

    /// Since when the journal has had no space.
    pub fn stalled_since(&self) -> Option<Time> {
        self.stalled_since
    }

    /// The controller.
    pub fn controller(&mut self) -> &mut Controller<J> {
        &mut self.controller
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// World and controller, each by itself.
    pub fn into_parts(self) -> (World, Controller<J>) {
        (self.world, self.controller)
    }
}

/// Brings a new world to where the world of a log's controller was, by carrying out the log's decisions at their times.
pub struct Rebuild {
    world: World,
    state: State,
}

impl Rebuild {
    /// From the start of both.
    pub fn new(world: World) -> Self {
        Self { world, state: State::default() }
    }

    /// The next record of the log.
    pub fn feed(&mut self, seq: Seq, time: Time, event: &Event) {
        if let Event::Decision(decision) = event {
            self.world.advance(time);
            self.state.apply(time, event);
            self.execute(seq, time, decision);
        } else {
            self.state.apply(time, event);
        }
    }

    fn execute(&mut self, seq: Seq, time: Time, decision: &Decision) {
        if let Some(order) = order(&self.state, seq, decision) {
            self.world.execute(time, &order);
        }
    }

    /// The world as of the log's last record, and the log's State.
    pub fn finish(mut self) -> (World, State) {
        self.world.advance(self.state.now);
        (self.world, self.state)
    }
}
