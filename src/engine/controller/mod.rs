//! The controller: observations in, records in the journal, orders out.
//!
//! It is a state machine without I/O of its own besides the journal, driven by tokio in a cluster and by the simulator in
//! tests: there is no other way in, so what is tested is what runs.
//!
//! **Invariant:** State is the fold of what the journal has acknowledged, and an order goes out only when its decision is acknowledged.
//! Decisions are taken once after each batch of observations, at the time of that batch; a replay relies on it.

mod intake;
mod late;
pub mod limits;
mod orders;
mod relist;

pub use orders::order;
pub use relist::LISTED_WITHIN;

use self::intake::Told;
use self::late::Returned;
use self::relist::Pass;
use crate::decide::{Evaluation, Memo, NoTrace, decide};
use crate::event::{Control, Decision, Event, Seq};
use crate::model::{Str, Time};
use crate::notice::Notices;
use crate::port::{Effect, Entry, Input, InstanceFacts, Journal, JournalError, Observation, Order};
use crate::settings::Settings;
use crate::state::State;
use crate::witness::{Nobody, Witness};

/// Who starts, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The program's version.
    pub version: Str,
    /// Which replica.
    pub instance: Str,
    /// The fencing term.
    pub term: u64,
    /// Whose log it is, for a new log.
    pub origin: Str,
    /// The last checkpoint of the log before a new one, if known.
    pub predecessor: Option<Str>,
    /// What was found wrong with the journal, to be said in it.
    pub recovered: Option<Control>,
    /// Who holds the lease under which it acts, where one had to be won.
    pub elected: Option<Str>,
    /// The settings in force.
    pub settings: Settings,
}

/// What a step led to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// What to do in the world, in order.
    pub orders: Vec<Order>,
    /// Whether anything was decided upon. If not, what an earlier step said about waking still holds.
    pub evaluated: bool,
    /// When to wake the controller though nothing was seen meanwhile.
    pub wake_at: Option<Time>,
    /// Since when the journal has had no space; nothing is decided meanwhile.
    pub stalled_since: Option<Time>,
}

/// Observes, records, decides.
pub struct Controller<J> {
    state: State,
    memo: Memo,
    journal: J,
    stall: Option<Stall>,
    /// What is to be said with the next batch.
    announced: Vec<Control>,
    witness: Box<dyn Witness>,
    /// What was said of buffers and overlays.
    told: Notices,
    returned: Returned,
}

/// What waits while the journal has no space.
struct Stall {
    since: Time,
    inputs: Vec<Input>,
}

impl<J: Journal> Controller<J> {
    /// Takes up work with the State folded from a journal, and a full list of the world.
    ///
    /// Orders whose outcome is not in the log go out again.
    ///
    /// # Errors
    /// If the journal cannot be written.
    ///
    /// # Panics
    /// If the State is not that of the journal.
    pub fn start(
        journal: J,
        state: State,
        now: Time,
        start: Start,
        world: Vec<Observation>,
    ) -> Result<(Self, Step), JournalError> {
        Self::start_before(Box::new(Nobody), journal, state, now, start, world)
    }

    /// Takes up work before a witness.
    ///
    /// # Errors
    /// As [`Controller::start`].
    ///
    /// # Panics
    /// As [`Controller::start`].
    pub fn start_before(
        witness: Box<dyn Witness>,
        journal: J,
        state: State,
        now: Time,
        start: Start,
        world: Vec<Observation>,
    ) -> Result<(Self, Step), JournalError> {
        assert_eq!(state.size, journal.size(), "State must be the fold of the journal it goes on with");
        let mut preamble: Vec<Control> = Vec::new();
        if state.size == 0 {
            let reason = Str::from(if start.predecessor.is_some() {
                "the log before it is out of reach"
            } else {
                "new"
            });
            preamble.push(Control::LogStarted {
                origin: start.origin,
                predecessor: start.predecessor,
                reason,
            });
        }
        preamble.extend(start.recovered);
        preamble.push(Control::ControllerStarted {
            version: start.version,
            instance: start.instance,
            term: start.term,
        });
        preamble.extend(start.elected.map(|holder| Control::LeadershipAcquired { term: start.term, holder }));
        if start.settings != state.settings || state.size == 0 {
            preamble.push(Control::SettingsChanged { settings: start.settings });
        }
        let mut controller = Self {
            state,
            memo: Memo::default(),
            journal,
            stall: None,
            announced: Vec::new(),
            witness,
            told: Notices::default(),
            returned: Returned::default(),
        };
        let inputs = relist::with_absences(&controller.state, now, world, Pass::News);
        // The settings among the preamble do not matter to what is news.
        let mut entries: Vec<Entry> =
            preamble.into_iter().map(|control| Entry { event: control.into(), causes: Vec::new() }).collect();
        entries.extend(intake::entries(&controller.state, &inputs, Told::Afresh, now));
        let unwritten = orders::unwritten(&controller.state, &inputs);
        let mut step = controller.record_and_decide(now, entries, inputs)?;
        if step.stalled_since.is_none() {
            let mut orders = orders::outstanding(&controller.state);
            orders.extend(unwritten);
            let fresh: Vec<Order> = std::mem::take(&mut step.orders);
            // Decided a moment ago, it goes out once.
            orders.retain(|order| fresh.iter().all(|own| own.effect != order.effect));
            orders.extend(fresh);
            step.orders = orders;
        }
        Ok((controller, step))
    }

    /// Takes in what was seen since the last step, and decides.
    ///
    /// With nothing new and no moment come that was waited for, nothing is recorded and nothing decided.
    ///
    /// # Errors
    /// If the journal cannot be written, other than for want of space.
    pub fn step(&mut self, now: Time, inputs: Vec<Input>) -> Result<Step, JournalError> {
        assert!(now >= self.state.now, "time went back from {} to {now}", self.state.now);
        self.returned.look(&self.state, now, &inputs);
        match self.stall.take() {
            None => {
                let entries = intake::entries(&self.state, &inputs, Told::Live, now);
                let mut orders = orders::unwritten(&self.state, &inputs);
                if entries.is_empty() {
                    return Ok(Step { orders, ..Step::default() });
                }
                let step = self.record_and_decide(now, entries, inputs)?;
                // What is decided now comes after what was decided before.
                orders.extend(step.orders);
                Ok(Step { orders, ..step })
            }
            Some(mut stall) => {
                stall.inputs.extend(inputs);
                let waiting = stall.inputs.len() as u64;
                let resumed = Control::JournalResumed { stalled_since: stall.since, waiting };
                let mut entries = vec![Entry { event: resumed.into(), causes: Vec::new() }];
                entries.extend(intake::entries(&self.state, &stall.inputs, Told::Live, now));
                let since = stall.since;
                let step = self.record_and_decide(now, entries, stall.inputs)?;
                if let Some(stall) = &mut self.stall {
                    stall.since = since;
                }
                Ok(Step { stalled_since: step.stalled_since.map(|_| since), ..step })
            }
        }
    }

    /// Decides anew because a moment came that was waited for.
    ///
    /// # Errors
    /// As [`Controller::step`].
    pub fn wake(&mut self, now: Time) -> Result<Step, JournalError> {
        if self.stall.is_some() {
            return self.step(now, Vec::new());
        }
        self.record_and_decide(
            now,
            vec![Entry { event: Control::TimePassed.into(), causes: Vec::new() }],
            Vec::new(),
        )
    }

    /// Takes in a full list of the world: what the log has and the list has not is gone.
    ///
    /// # Errors
    /// As [`Controller::step`].
    pub fn relist(&mut self, now: Time, world: Vec<Observation>) -> Result<Step, JournalError> {
        let inputs = relist::with_absences(&self.state, now, world, self.pass());
        self.step(now, inputs)
    }

    /// Takes in the cloud's list of instances: those without a claim are found, and those that are gone; and claims that are there again.
    ///
    /// # Errors
    /// As [`Controller::step`].
    pub fn relist_instances<'a>(
        &mut self,
        now: Time,
        listed: impl IntoIterator<Item = &'a InstanceFacts>,
    ) -> Result<Step, JournalError> {
        let mut inputs = relist::instances_with_absences(&self.state, now, listed, self.pass());
        inputs.extend(self.returned.take(&self.state, now));
        self.step(now, inputs)
    }

    /// Which of what is listed matters: while something waits, State is behind what was seen.
    fn pass(&self) -> Pass {
        if self.stall.is_some() { Pass::All } else { Pass::News }
    }

    /// Records something about the log or the controller, and decides.
    ///
    /// # Errors
    /// As [`Controller::step`].
    pub fn record(&mut self, now: Time, control: Control) -> Result<Step, JournalError> {
        self.record_and_decide(now, vec![Entry { event: control.into(), causes: Vec::new() }], Vec::new())
    }

    /// Says something about the log with the next batch that there is for another reason. It leads to no decision of its own, and
    /// so to no order that somebody would have to carry out.
    pub fn announce(&mut self, control: Control) {
        self.announced.push(control);
    }

    /// Whether all that was announced is in the journal.
    pub fn has_announced_all(&self) -> bool {
        self.announced.is_empty()
    }

    /// Since when the journal has had no space, if it has none.
    pub fn stalled_since(&self) -> Option<Time> {
        self.stall.as_ref().map(|stall| stall.since)
    }

    /// What is known.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The journal.
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// The journal, to tend it between steps: seal, snapshot, archive. Records are appended by the controller alone.
    pub fn journal_mut(&mut self) -> &mut J {
        &mut self.journal
    }

    /// Gives the journal and the State back.
    pub fn into_parts(self) -> (J, State) {
        (self.journal, self.state)
    }

    fn record_and_decide(
        &mut self,
        now: Time,
        mut entries: Vec<Entry>,
        inputs: Vec<Input>,
    ) -> Result<Step, JournalError> {
        // Behind the record that says why decisions may be missing before it, which has to come first.
        let resumes = |entry: &Entry| matches!(entry.event, Event::Control(Control::JournalResumed { .. }));
        let at = usize::from(entries.first().is_some_and(resumes));
        let announced =
            self.announced.iter().map(|control| Entry { event: control.clone().into(), causes: Vec::new() });
        entries.splice(at..at, announced);
        if self.append(now, &entries)?.is_none() {
            self.stall = Some(Stall { since: now, inputs: intake::coalesce(inputs) });
            return Ok(Step { stalled_since: Some(now), ..Step::default() });
        }
        self.announced.clear();
        let trigger = Seq(self.state.size - 1);
        let Evaluation { decisions, wake_at, notices } =
            decide(&self.state, now, &mut self.memo, &mut NoTrace);
        let said = |notice| Order { decision: trigger, effect: Effect::Notice(notice) };
        let mut orders: Vec<Order> = self.told.take(notices).into_iter().map(said).collect();
        if decisions.is_empty() {
            return Ok(Step { orders, evaluated: true, wake_at, ..Step::default() });
        }
        let entries: Vec<Entry> = decisions
            .iter()
            .map(|decision| Entry {
                event: Event::Decision(decision.clone()),
                causes: self.causes(trigger, decision),
            })
            .collect();
        let Some(first) = self.append(now, &entries)? else {
            // What was seen is recorded; it is decided upon when there is space again.
            self.memo = Memo::default();
            self.stall = Some(Stall { since: now, inputs: Vec::new() });
            return Ok(Step { orders, stalled_since: Some(now), ..Step::default() });
        };
        let decided = decisions.iter().zip(first..);
        orders.extend(decided.filter_map(|(decision, seq)| orders::order(&self.state, Seq(seq), decision)));
        Ok(Step { orders, evaluated: true, wake_at, stalled_since: None })
    }

    /// Appends, and once that is durable folds. `None` if there is no space.
    fn append(&mut self, now: Time, entries: &[Entry]) -> Result<Option<u64>, JournalError> {
        self.witness.begins(entries.len());
        let appended = self.journal.append(now, entries);
        self.witness.ends(appended.is_ok());
        match appended {
            Ok(range) => {
                assert_eq!(range.start, self.state.size, "the journal and State count alike");
                assert_eq!(range.end - range.start, entries.len() as u64, "a batch is appended whole");
                for (entry, seq) in entries.iter().zip(range.clone()) {
                    self.witness.record(&self.state, Seq(seq), now, &entry.event);
                    self.state.apply(now, &entry.event);
                }
                self.witness.folded(&self.state, now);
                Ok(Some(range.start))
            }
            Err(JournalError::Full(_)) => Ok(None),
            Err(fatal) => Err(fatal),
        }
    }

    /// The records that led to a decision: the last one seen before it, and the decision that it carries on.
    fn causes(&self, trigger: Seq, decision: &Decision) -> Vec<Seq> {
        let claim = match decision {
            Decision::Relaunch { claim, .. }
            | Decision::LaunchAdopted { claim, .. }
            | Decision::Register { claim, .. }
            | Decision::Initialize { claim, .. }
            | Decision::AbandonDisruption { claim, .. }
            | Decision::Taint { claim }
            | Decision::Untaint { claim }
            | Decision::Drain { claim, .. }
            | Decision::Evict { claim, .. }
            | Decision::AwaitDetachment { claim, .. }
            | Decision::Terminate { claim, .. } => self.state.claims.get(claim),
            _ => None,
        };
        let before = claim
            .map(|claim| claim.disrupting.as_ref().map_or(claim.launch, |disrupting| disrupting.decision));
        before.into_iter().chain([trigger]).collect()
    }
}
