//! The story of a pod: why it is where it is, or why it waits.
//!
//! **Invariant:** pods of one name are told apart by their UID; a story is about one of them.

use std::collections::BTreeSet;

use anyhow::Result;
use purser_engine::controller::limits::refused;
use purser_engine::event::{Decision, Event, Fact, SpecId, Target};
use purser_engine::model::{ClaimName, PodKey, PodPhase, Span, Time};
use purser_engine::state::{Plan, State};
use serde::Serialize;

use super::looked::{self, Decided, Looked};
use super::{Step, Telling, Timeline, Visitor, walk, write_timeline};
use crate::output::Out;
use crate::source::{Item, Ref};
use crate::subjects::{self, Subject};
use crate::{sentence, text};

/// The story of a pod.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    pod: String,
    /// What became of it, in a sentence.
    answer: String,
    asks_for: String,
    /// How many pods of this name there were before it.
    earlier_pods_of_this_name: usize,
    first_seen: Option<String>,
    bound: Option<String>,
    /// From when it was seen first to when it was bound or gone, or to the end of the story.
    pending_us: i64,
    /// How long more pods were waited for at the beginning.
    batching_us: i64,
    /// How often it was looked at while it waited.
    evaluations: u64,
    /// How often it was expected somewhere and did not come there.
    expected_in_vain: usize,
    decisions: Vec<Decided>,
    /// What a decision at the end of the story looks at, if it waits.
    now: Option<Looked>,
    /// That no controller is at work at the end of the story, if it waits.
    idle: Option<String>,
    timeline: Vec<Step>,
}

/// Gathers the story.
struct Gathered<'a> {
    telling: &'a Telling<'a>,
    key: &'a PodKey,
    first: u64,
    timeline: Timeline,
    decisions: Vec<Decided>,
    /// Claims that the pod was sent to.
    claims: BTreeSet<ClaimName>,
    /// How often it was sent somewhere.
    expected: usize,
    seen: Option<Time>,
    bound: Option<Time>,
    /// When it was gone.
    gone: Option<Time>,
    batching: Span,
    evaluations: u64,
    spec: Option<SpecId>,
    /// The last record that showed the pod itself.
    observed: Option<Ref>,
}

/// Tells the story of the last pod of a name.
pub(super) fn tell(telling: &Telling<'_>, name: &str) -> Result<Story> {
    let (key, lives) = telling.index.pod(name)?;
    let first = lives.last().map_or(0, |life| life.first);
    let mut story = Gathered {
        telling,
        key,
        first,
        timeline: Timeline::default(),
        decisions: Vec::new(),
        claims: BTreeSet::new(),
        expected: 0,
        seen: None,
        bound: None,
        gone: None,
        batching: Span::ZERO,
        evaluations: 0,
        spec: None,
        observed: None,
    };
    let state = walk(telling, first, &mut story)?;
    let now = telling.now(&state);
    let pod = state.pods.get(key);
    // A pod that is expected somewhere is not looked at again as long as that stands.
    let waiting = pod.filter(|pod| pod.phase == PodPhase::Pending && pod.node.is_none());
    let idle = waiting.and_then(|_| telling.idle(&state));
    // Nor is one looked at while nobody decides.
    let looks = waiting
        .filter(|_| !state.stopped)
        .filter(|pod| !matches!(pod.plan, Plan::Nominated { .. }))
        .map(|pod| looked::for_spec(telling, &state, now, &looked::notes(&state, now), pod.spec));
    // The last of them came true, or still may.
    let stands = story.bound.is_some() || pod.is_some_and(|pod| matches!(pod.plan, Plan::Nominated { .. }));
    let pending = story.seen.map_or(Span::ZERO, |seen| story.bound.or(story.gone).unwrap_or(now).since(seen));
    Ok(Story {
        pod: key.to_string(),
        answer: story.answer(&state, pending),
        asks_for: story.spec.map(|spec| text::resources(&state.spec(spec).requests)).unwrap_or_default(),
        earlier_pods_of_this_name: lives.len().saturating_sub(1),
        first_seen: story.seen.map(text::exact_time),
        bound: story.bound.map(text::exact_time),
        pending_us: pending.0,
        batching_us: story.batching.0,
        evaluations: story.evaluations,
        expected_in_vain: story.expected.saturating_sub(usize::from(stands)),
        decisions: story.decisions,
        now: looks,
        idle,
        timeline: story.timeline.finish(),
    })
}

impl Gathered<'_> {
    fn is_about(&self, item: &Item) -> bool {
        item.seq() >= self.first && subjects::of(item.event()).contains(&Subject::Pod(self.key))
    }

    /// Whether a record is a step of a claim that the pod was sent to.
    fn is_of_its_claim(&self, item: &Item) -> bool {
        let claim = match item.event() {
            Event::Fact(Fact::InstanceLaunched { claim, .. } | Fact::LaunchFailed { claim, .. }) => claim,
            Event::Decision(
                Decision::Register { claim, .. }
                | Decision::Initialize { claim, .. }
                | Decision::LaunchAdopted { claim, .. }
                | Decision::Relaunch { claim, .. },
            ) => claim,
            Event::Decision(Decision::Disrupt { candidates, .. }) => {
                return candidates.iter().any(|claim| self.claims.contains(claim));
            }
            _ => return false,
        };
        self.claims.contains(claim)
    }

    fn answer(&self, state: &State, pending: Span) -> String {
        let pending = text::span(pending);
        let Some(pod) = state.pods.get(self.key) else {
            return match self.bound {
                Some(_) => format!("it is gone; it had waited {pending} and then run"),
                None => format!("it is gone, and never ran; it had waited {pending}"),
            };
        };
        match (&pod.node, &pod.plan) {
            (Some(node), _) => {
                format!("it is {} on {node}; it waited {pending}", sentence::of_phase(pod.phase))
            }
            (None, _) if pod.phase != PodPhase::Pending => {
                let refused = refused(&state.spec(pod.spec).labels);
                let why = refused.map(|text| format!(", as it was refused: {text}")).unwrap_or_default();
                format!("it is {}{why}", sentence::of_phase(pod.phase))
            }
            (None, Plan::None) => format!("it has waited {pending} and nothing is decided about it yet"),
            (None, Plan::Nominated { target, .. }) => {
                format!("it has waited {pending} and is expected on {}", sentence::target(target))
            }
            (None, Plan::Unschedulable { reason, .. }) => format!("it has waited {pending}: {reason}"),
        }
    }
}

impl Visitor for Gathered<'_> {
    fn before(&mut self, state: &State, batch: &[Item]) -> Result<()> {
        let mut notes = None;
        for item in batch {
            let about = self.is_about(item);
            if about
                || (self.seen.is_some()
                    && self.gone.is_none()
                    && self.bound.is_none()
                    && self.is_of_its_claim(item))
            {
                self.timeline.push(item);
            }
            if !about {
                continue;
            }
            let Event::Decision(decision) = item.event() else {
                self.observed = Some(item.to_ref());
                continue;
            };
            let mut decided = looked::decided(self.telling, item)?;
            let observed = self.observed.iter().filter(|observed| !decided.on.contains(observed)).cloned();
            decided.on = observed.chain(decided.on.iter().cloned()).collect();
            if let Some(pod) = state.pods.get(self.key)
                && !matches!(decision, Decision::Evict { .. })
            {
                let notes = notes.get_or_insert_with(|| looked::notes(state, item.logged.time));
                decided.looked = looked::for_spec(self.telling, state, item.logged.time, notes, pod.spec);
                decided.looked.launch = looked::launch(self.telling, state, notes, decision);
            }
            self.expected +=
                usize::from(matches!(decision, Decision::Launch { .. } | Decision::Nominate { .. }));
            match decision {
                Decision::Launch { claim, .. } | Decision::Nominate { target: Target::Claim(claim), .. } => {
                    self.claims.insert(claim.clone());
                }
                _ => {}
            }
            self.decisions.push(decided);
        }
        Ok(())
    }

    fn after(&mut self, state: &State, batch: &[Item]) -> Result<()> {
        let pod = state.pods.get(self.key);
        self.spec = pod.map(|pod| pod.spec).or(self.spec);
        let mine = batch.iter().rfind(|item| self.is_about(item)).map(|item| item.logged.time);
        let waits = pod.is_some_and(|pod| pod.phase == PodPhase::Pending && pod.node.is_none());
        let decided = batch.last().is_some_and(|last| matches!(last.event(), Event::Decision(_)));
        self.evaluations += u64::from(waits && !decided);
        let Some(time) = mine else { return Ok(()) };
        if self.seen.is_none() {
            self.seen = Some(time);
            if waits {
                let notes = looked::notes(state, time);
                let until = notes.iter().find_map(|note| match note {
                    purser_engine::decide::Note::Batching { until } => Some(*until),
                    _ => None,
                });
                self.batching = until.map_or(Span::ZERO, |until| until.since(time));
            }
        }
        if pod.is_some_and(|pod| pod.node.is_some()) && self.bound.is_none() {
            self.bound = Some(time);
        }
        self.gone = pod.is_none().then_some(time);
        Ok(())
    }
}

impl Story {
    pub(super) fn write(&self, telling: &Telling<'_>, out: &mut Out<'_>) -> Result<()> {
        out.line(&format!("pod {}: {}", self.pod, self.answer))?;
        out.line(&format!("  asks for {}", self.asks_for))?;
        if let Some(seen) = &self.first_seen {
            let until = self.bound.as_ref().map(|bound| format!(", bound {bound}")).unwrap_or_default();
            out.line(&format!("  seen {seen}{until}; pending {}", text::span(Span(self.pending_us))))?;
        }
        if self.batching_us > 0 {
            let batching = text::span(Span(self.batching_us));
            out.line(&format!("  of that {batching} more pods were waited for, to place them together"))?;
        }
        out.line(&format!(
            "  looked at {} while it waited, {} about it",
            text::count(self.evaluations as usize, "time"),
            text::count(self.decisions.len(), "decision")
        ))?;
        if self.expected_in_vain > 0 {
            let times = text::count(self.expected_in_vain, "time");
            out.line(&format!("  expected somewhere {times} without coming there"))?;
        }
        if self.earlier_pods_of_this_name > 0 {
            let earlier = text::count(self.earlier_pods_of_this_name, "earlier pod");
            out.line(&format!("  {earlier} of this name: --at a time or record tells their story"))?;
        }
        if !self.decisions.is_empty() {
            out.line("\ndecisions")?;
        }
        let before = earlier(self.decisions.len(), MOST_DECISIONS, telling);
        if before > 0 {
            out.line(&format!("  {before} earlier ones (--all tells of each); the last are"))?;
        }
        for decided in &self.decisions[before..] {
            decided.write(telling, out)?;
        }
        if let Some(idle) = &self.idle {
            out.line(&format!("\n{idle}"))?;
        }
        if let Some(now) = self.now.as_ref().filter(|now| !now.is_empty()) {
            out.line("\nat the end, a decision looks at")?;
            now.write(telling, out)?;
        }
        let before = earlier(self.timeline.len(), MOST_STEPS, telling);
        write_timeline(&self.timeline[before..], before, out)
    }
}

/// So many decisions, and so many steps, are told of without being asked for all.
const MOST_DECISIONS: usize = 5;
const MOST_STEPS: usize = 16;

/// How many of so many are only counted: a pod that waits for days has more than anybody reads.
fn earlier(all: usize, most: usize, telling: &Telling<'_>) -> usize {
    if telling.few == usize::MAX { 0 } else { all.saturating_sub(most) }
}
