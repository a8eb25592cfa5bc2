//! The story of a machine: a NodeClaim, its instance and its node.
//!
//! **Invariant:** the three names stand for one machine, and its story is the same under each.

use anyhow::Result;
use purser_engine::event::{Decision, Event, Fact, LaunchFailure};
use purser_engine::model::{ClaimName, DisruptionReason, InstanceId, NodeName, PodKey, Price, Span, Time};
use purser_engine::state::{Pod, State};
use serde::Serialize;

use super::looked::{self, Decided, Launch};
use super::removal::{self, Grounds};
use super::{Step, Telling, Timeline, Visitor, walk, write_timeline};
use crate::index::Machine;
use crate::output::Out;
use crate::source::{Item, Ref};
use crate::subjects;
use crate::text;

/// The story of a machine.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    nodeclaim: Option<String>,
    node: Option<String>,
    instance: Option<String>,
    nodepool: Option<String>,
    /// What became of it, in a sentence.
    answer: String,
    /// Earlier machines of this name.
    earlier: Vec<String>,
    /// Why it was launched.
    launched: Option<Decided>,
    /// What it became.
    got: Option<Got>,
    pods_bound: usize,
    /// Those pods, in the order in which they came.
    pods: Vec<String>,
    /// From the launch of the instance to its end, or to the end of the story.
    life_us: Option<i64>,
    cost_microusd: Option<i64>,
    /// Decisions to remove it, and what they were taken on.
    removals: Vec<Removal>,
    /// Why it is still there at the end of the story.
    still_there: Option<Grounds>,
    timeline: Vec<Step>,
}

/// The instance that a launch got.
#[derive(Debug, Clone, Serialize)]
struct Got {
    #[serde(flatten)]
    record: Ref,
    instance_type: String,
    zone: String,
    capacity_type: &'static str,
    price_microusd_per_hour: i64,
    /// Its place among the types asked for, the cheapest being the first.
    rank: Option<usize>,
    #[serde(skip)]
    time: Time,
}

/// A decision to remove it.
#[derive(Debug, Serialize)]
struct Removal {
    #[serde(flatten)]
    decided: Decided,
    reason: &'static str,
    grounds: Grounds,
}

struct Gathered<'a> {
    telling: &'a Telling<'a>,
    machine: &'a Machine,
    timeline: Timeline,
    launched: Option<Decided>,
    got: Option<Got>,
    /// The pods that came, daemon pods aside.
    pods: Vec<PodKey>,
    /// The record of the last that came, if it is not the first.
    last_bound: Option<Item>,
    /// The last record of a pod that came or went.
    last_pod: Option<Ref>,
    removals: Vec<Removal>,
    /// When it ended.
    gone: Option<Time>,
    /// An instance with our tags that no claim stood for: as it was found.
    found: Option<Found>,
    /// When its instance was stopped as nobody's, by which record.
    collected: Option<(Time, u64)>,
    /// When its instance was gone.
    instance_gone: Option<Time>,
    /// Why the last request got no instance.
    failure: Option<LaunchFailure>,
}

/// An instance with our tags that no claim stood for.
struct Found {
    instance: InstanceId,
    /// The claim in its tags.
    tag: Option<ClaimName>,
    time: Time,
}

/// Tells the story of a machine.
pub(super) fn tell(telling: &Telling<'_>, machine: &Machine, earlier: &[&Machine]) -> Result<Story> {
    let mut story = Gathered {
        telling,
        machine,
        timeline: Timeline::default(),
        launched: None,
        got: None,
        pods: Vec::new(),
        last_bound: None,
        last_pod: None,
        removals: Vec::new(),
        gone: None,
        found: None,
        collected: None,
        instance_gone: None,
        failure: None,
    };
    let state = walk(telling, machine.first, &mut story)?;
    // Those between are named together.
    if let Some(last) = story.last_bound.take() {
        story.timeline.push(&last);
    }
    let now = telling.now(&state);
    let claim = machine.claim.as_ref().and_then(|claim| state.claims.get(claim));
    let still_there =
        claim.map(|claim| removal::still_there(telling, &state, now, claim, story.last_pod.as_ref()));
    let life = story.got.as_ref().map(|got| story.gone.unwrap_or(now).since(got.time));
    let cost = story.got.as_ref().zip(life).map(|(got, life)| Price(got.price_microusd_per_hour).over(life));
    Ok(Story {
        nodeclaim: machine.claim.as_ref().map(ToString::to_string),
        node: machine.node.as_ref().map(ToString::to_string),
        instance: machine.instance.as_ref().map(ToString::to_string),
        nodepool: machine.pool.as_ref().map(ToString::to_string),
        answer: story.answer(&state, now),
        earlier: earlier.iter().map(|machine| machine.name()).collect(),
        launched: story.launched,
        got: story.got,
        pods_bound: story.pods.len(),
        pods: story.pods.iter().map(ToString::to_string).collect(),
        life_us: life.map(|life| life.0),
        cost_microusd: cost.map(|cost| cost.0),
        removals: story.removals,
        still_there,
        timeline: story.timeline.finish(),
    })
}

impl Gathered<'_> {
    fn is_about(&self, item: &Item) -> bool {
        item.seq() >= self.machine.first
            && subjects::of(item.event()).iter().any(|subject| self.machine.has(item.seq(), subject))
    }

    /// A pod that came to its node, or one of those there that changed or went.
    fn pod_event(&mut self, state: &State, batch: &[Item], item: &Item) -> bool {
        let (pod, came) = match item.event() {
            Event::Fact(Fact::PodBound { pod, node }) => (pod, Some(node)),
            Event::Fact(Fact::PodObserved { pod, node, .. }) => (pod, node.as_ref()),
            Event::Fact(Fact::PodPhaseChanged { pod, .. } | Fact::PodDeleted { pod }) => (pod, None),
            _ => return false,
        };
        let here = |node: Option<&NodeName>| node.is_some_and(|node| self.machine.has_node(item.seq(), node));
        let known = state.pods.get(pod);
        let was_here = known.is_some_and(|pod| here(pod.node.as_ref()));
        if !was_here && !here(came) {
            return false;
        }
        if is_daemon(state, batch, item, known) {
            return true;
        }
        self.last_pod = Some(item.to_ref());
        if !was_here {
            match self.pods.is_empty() {
                true => self.timeline.push(item),
                false => self.last_bound = Some(item.clone()),
            }
            self.pods.push(pod.clone());
        }
        true
    }

    fn decision(&mut self, state: &State, item: &Item, decision: &Decision) -> Result<()> {
        let now = item.logged.time;
        match decision {
            Decision::Launch { .. } => {
                let mut decided = looked::decided(self.telling, item)?;
                decided.looked.launch =
                    looked::launch(self.telling, state, &looked::notes(state, now), decision);
                self.launched = Some(decided);
            }
            Decision::Disrupt { reason, .. } => {
                let claim = self.machine.claim.as_ref().and_then(|claim| state.claims.get(claim));
                let last_pod = self.last_pod.as_ref();
                let grounds = claim
                    .map(|claim| removal::grounds(self.telling, state, now, claim, *reason, last_pod))
                    .unwrap_or_default();
                let decided = looked::decided(self.telling, item)?;
                self.removals.push(Removal { decided, reason: reason.as_str(), grounds });
            }
            Decision::GarbageCollect { .. } => self.collected = Some((now, item.seq())),
            _ => {}
        }
        Ok(())
    }

    fn answer(&self, state: &State, now: Time) -> String {
        let Some(name) = &self.machine.claim else { return self.claimless() };
        if let Some(at) = self.gone
            && self.machine.instance.is_none()
            && self.launched.is_some()
        {
            return self.without_instance(state, at);
        }
        let removed = self.removals.last().map(|removal| removal.reason);
        match (self.gone, state.claims.get(name), removed) {
            (Some(at), _, Some(reason)) => {
                format!("it was removed ({reason}); gone since {}", text::exact_time(at))
            }
            (Some(at), _, None) => {
                format!("it is gone since {}, and not by a decision of Purser's", text::exact_time(at))
            }
            (None, Some(claim), _) => {
                let age = text::span(now.since(claim.created));
                format!("it is there, {}, {age} after its launch was decided", claim.phase().as_str())
            }
            (None, None, _) => "it is gone".to_owned(),
        }
    }
}

impl Gathered<'_> {
    /// What became of a machine that no claim of this log stands for.
    fn claimless(&self) -> String {
        let Some(Found { tag, time, .. }) = &self.found else {
            return "it has no NodeClaim of this log: Purser did not launch it and does not remove it"
                .to_owned();
        };
        let tagged = match tag {
            Some(tag) => format!("it is tagged for nodeclaim {tag}, which was no longer there"),
            None => "it has Purser's tags but names no nodeclaim".to_owned(),
        };
        let collected = match self.collected {
            Some((at, seq)) => format!("stopped as nobody's {} by record {seq}", text::exact_time(at)),
            None => "not stopped yet".to_owned(),
        };
        let gone = self.instance_gone.map(|at| format!("; gone since {}", text::exact_time(at)));
        format!("{tagged}; found {}, {collected}{}", text::exact_time(*time), gone.unwrap_or_default())
    }

    /// Why a claim that is gone never had an instance.
    fn without_instance(&self, state: &State, gone: Time) -> String {
        let removed = self.removals.last().map(|removal| removal.reason);
        let timed_out = removed == Some(DisruptionReason::LaunchTimeout.as_str());
        let limit = text::span(state.settings.launch_timeout);
        let mut why = match &self.failure {
            Some(LaunchFailure::InsufficientCapacity { offerings }) => {
                format!(": no capacity in {}", text::count(offerings.len(), "offering"))
            }
            Some(LaunchFailure::Rejected { message }) => {
                format!(": the request was rejected: {}", message.trim_end_matches('.'))
            }
            Some(LaunchFailure::Unknown { message }) if timed_out => {
                format!(": it timed out after {limit}; the last answer was: {message}")
            }
            _ if timed_out => format!(": it timed out after {limit}"),
            _ => removed.map(|reason| format!("; it was removed ({reason})")).unwrap_or_default(),
        };
        why.push_str(&format!("; gone since {}", text::exact_time(gone)));
        if let Some(Found { instance, time, .. }) = &self.found {
            let time = text::exact_time(*time);
            why.push_str(&format!("; {instance}, which is tagged for it, was found {time}"));
        }
        format!("it never got an instance{why}")
    }
}

impl Visitor for Gathered<'_> {
    fn before(&mut self, state: &State, batch: &[Item]) -> Result<()> {
        for item in batch {
            if self.pod_event(state, batch, item) || !self.is_about(item) {
                continue;
            }
            match item.event() {
                // Pods that are sent here are not steps of the machine's life.
                Event::Decision(Decision::Nominate { .. }) => continue,
                Event::Decision(decision) => self.decision(state, item, decision)?,
                Event::Fact(Fact::InstanceLaunched { instance_type, zone, capacity_type, price, .. }) => {
                    let launch = self.launched.as_ref().and_then(|decided| decided.looked.launch.as_ref());
                    let rank = launch.and_then(|launch| {
                        launch.ranked.iter().position(|ranked| ranked.instance_type == instance_type.as_str())
                    });
                    self.got = Some(Got {
                        record: item.to_ref(),
                        instance_type: instance_type.to_string(),
                        zone: zone.to_string(),
                        capacity_type: capacity_type.as_str(),
                        price_microusd_per_hour: price.0,
                        rank: rank.map(|rank| rank + 1),
                        time: item.logged.time,
                    });
                }
                Event::Fact(Fact::LaunchFailed { failure, .. }) => self.failure = Some(failure.clone()),
                Event::Fact(Fact::InstanceObserved { instance, claim, .. }) => {
                    let (instance, tag) = (instance.clone(), claim.clone());
                    self.found = Some(Found { instance, tag, time: item.logged.time });
                }
                Event::Fact(Fact::InstanceGone { .. }) => self.instance_gone = Some(item.logged.time),
                _ => {}
            }
            self.timeline.push(item);
        }
        Ok(())
    }

    fn after(&mut self, state: &State, batch: &[Item]) -> Result<()> {
        let was = |name: &ClaimName| !state.claims.contains_key(name);
        let begun = self.launched.is_some() || self.got.is_some();
        if begun && self.gone.is_none() && self.machine.claim.as_ref().is_some_and(was) {
            self.gone = batch.last().map(|last| last.logged.time);
        }
        Ok(())
    }
}

/// Whether a record is about a daemon pod, whose spec may be defined in the same batch.
fn is_daemon(state: &State, batch: &[Item], item: &Item, known: Option<&Pod>) -> bool {
    if let Some(pod) = known {
        return state.spec(pod.spec).is_daemon();
    }
    let Event::Fact(Fact::PodObserved { spec, .. }) = item.event() else { return false };
    let defined = batch.iter().find_map(|item| match item.event() {
        Event::Fact(Fact::PodSpecDefined { id, spec: defined }) if id == spec => Some(defined),
        _ => None,
    });
    state.specs().get(spec.0 as usize).or(defined).is_some_and(|spec| spec.is_daemon())
}

// === in words ===

impl Story {
    pub(super) fn write(&self, telling: &Telling<'_>, out: &mut Out<'_>) -> Result<()> {
        let known = [("nodeclaim", &self.nodeclaim), ("node", &self.node), ("instance", &self.instance)];
        let names: Vec<String> =
            known.iter().filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?))).collect();
        out.line(&format!("{}: {}", names.join(", "), self.answer))?;
        if let Some(got) = &self.got {
            let price = Price(got.price_microusd_per_hour);
            out.line(&format!(
                "  {} {} in {} at {}",
                got.instance_type,
                got.capacity_type,
                got.zone,
                text::price(price)
            ))?;
        }
        if let (Some(life), Some(cost)) = (self.life_us, self.cost_microusd) {
            let life = text::span(Span(life));
            let pods = text::count(self.pods_bound, "pod");
            let names = match self.pods_bound {
                0 => String::new(),
                _ => format!(": {}", text::few(&self.pods, telling.few)),
            };
            out.line(&format!("  cost {} over {life}; {pods} ran on it{names}", usd(cost)))?;
        }
        if !self.earlier.is_empty() {
            let others = text::count(self.earlier.len(), "other machine");
            let names = text::few(&self.earlier, telling.few);
            out.line(&format!(
                "  the name stood for {others} before: {names}; why node with one of these names tells of it"
            ))?;
        }
        if let Some(launched) = &self.launched {
            out.line("\nwhy it was launched")?;
            launched.write(telling, out)?;
            if let (Some(got), Some(launch)) = (&self.got, &launched.looked.launch) {
                out.line(&format!("    {}", otherwise(got, launch)))?;
            }
        }
        for removal in &self.removals {
            out.line(&format!("\nwhy it was to be removed: {}", removal.reason))?;
            removal.decided.write(telling, out)?;
            removal.grounds.write(out)?;
        }
        if let Some(grounds) = &self.still_there {
            out.line("\nwhy it is still there")?;
            grounds.write(out)?;
        }
        write_timeline(&self.timeline, 0, out)
    }
}

/// What was got against what else there was.
fn otherwise(got: &Got, launch: &Launch) -> String {
    let price = Price(got.price_microusd_per_hour);
    let mut text = format!("got {} in {} at {}", got.instance_type, got.zone, text::price(price));
    match got.rank {
        Some(rank) => text.push_str(&format!(", choice {rank} of {}", launch.kept)),
        None => text.push_str(", which was not among those asked for"),
    }
    let other = |ranked: &looked::Ranked| {
        let other = Price(ranked.price_microusd_per_hour);
        format!("{} {}", ranked.instance_type, text::price(other))
    };
    let cheapest = launch.ranked.first().filter(|first| first.instance_type != got.instance_type);
    if let Some(cheapest) = cheapest {
        text.push_str(&format!("; the cheapest was {}", other(cheapest)));
    }
    let next =
        launch.ranked.iter().find(|ranked| ranked.instance_type != got.instance_type && cheapest.is_none());
    if let Some(next) = next {
        text.push_str(&format!("; the next would have been {}", other(next)));
    }
    if let Some(dearest) = launch.ranked.last().filter(|_| launch.ranked.len() > 2) {
        text.push_str(&format!("; the dearest that fits {}", other(dearest)));
    }
    text
}

/// Money, with the cents of a cent that a short life costs.
fn usd(micros: i64) -> String {
    format!("${:.4}", micros as f64 / 1e6)
}

impl Grounds {
    fn write(&self, out: &mut Out<'_>) -> Result<()> {
        for fact in &self.facts {
            out.line(&format!("    {fact}"))?;
        }
        for set in &self.set_by {
            let removal::SetBy { nodepool, field, value, record, time } = set;
            out.line(&format!(
                "    nodepool {nodepool} says {field}: {value}; so since record {record} of {time}"
            ))?;
        }
        if let Some(budget) = &self.budget {
            let allowed =
                budget.allowed.map_or_else(|| "any number".to_owned(), |allowed| allowed.to_string());
            let (used, nodes) = (budget.used, budget.nodes);
            out.line(&format!(
                "    budget: {allowed} of {nodes} nodes may be on their way out or not ready, {used} were"
            ))?;
            for line in &budget.budgets {
                out.line(&format!("      {line}"))?;
            }
        }
        Ok(())
    }
}
