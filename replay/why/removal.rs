//! Why a node was removed, or why it is still there.
//!
//! **Invariant:** a rule is told with the record that set it; a number is told with those that it was made of.

use purser_engine::decide::Note;
use purser_engine::model::{Budget, BudgetNodes, DisruptionReason, NodePool, PoolName, Time};
use purser_engine::reason::ReasonId;
use purser_engine::state::{Claim, State};
use serde::Serialize;

use super::{Telling, looked};
use crate::index::PoolRecord;
use crate::source::Ref;
use crate::text;

/// A setting that a decision was taken by, and who set it.
#[derive(Debug, Serialize)]
pub(super) struct SetBy {
    pub nodepool: String,
    pub field: &'static str,
    pub value: String,
    /// The record that set it so.
    pub record: u64,
    pub time: String,
}

/// The arithmetic of budgets.
#[derive(Debug, Serialize)]
pub(super) struct BudgetUse {
    /// Nodes that count.
    pub nodes: usize,
    /// Of these, on their way out or not ready.
    pub used: usize,
    /// How many may be.
    pub allowed: Option<usize>,
    /// Each budget, and what it allows.
    pub budgets: Vec<String>,
}

/// What was found, in sentences, and by which rules.
#[derive(Debug, Default, Serialize)]
pub(super) struct Grounds {
    pub facts: Vec<String>,
    pub set_by: Vec<SetBy>,
    pub budget: Option<BudgetUse>,
}

impl Grounds {
    fn rule<T: PartialEq>(
        &mut self,
        telling: &Telling<'_>,
        pool: &PoolName,
        size: u64,
        field: &'static str,
        part: impl Fn(&NodePool) -> T,
        value: impl Fn(&NodePool) -> String,
    ) {
        if let Some((PoolRecord { pool: facts, .. }, since)) = telling.index.pool_rule(pool, size, part) {
            self.set_by.push(SetBy {
                nodepool: pool.to_string(),
                field,
                value: value(facts),
                record: since.seq,
                time: text::exact_time(since.time),
            });
        }
    }

    fn consolidate_after(&mut self, telling: &Telling<'_>, pool: &PoolName, size: u64) {
        let value = |pool: &NodePool| {
            pool.disruption.consolidate_after.map_or_else(|| "Never".to_owned(), |after| after.to_string())
        };
        self.rule(
            telling,
            pool,
            size,
            "spec.disruption.consolidateAfter",
            |pool| pool.disruption.consolidate_after,
            value,
        );
    }

    fn budgets(&mut self, telling: &Telling<'_>, pool: &PoolName, size: u64) {
        let value = |pool: &NodePool| {
            let all: Vec<String> = pool.disruption.budgets.iter().map(budget).collect();
            if all.is_empty() { "none: no limit".to_owned() } else { all.join("; ") }
        };
        self.rule(
            telling,
            pool,
            size,
            "spec.disruption.budgets",
            |pool| pool.disruption.budgets.clone(),
            value,
        );
    }
}

/// Why this decision to remove a node was taken. State is the one that it was taken on.
pub(super) fn grounds(
    telling: &Telling<'_>,
    state: &State,
    now: Time,
    claim: &Claim,
    reason: DisruptionReason,
    last_pod: Option<&Ref>,
) -> Grounds {
    let mut grounds = Grounds::default();
    let size = state.size;
    let settings = &state.settings;
    let age = text::span(now.since(claim.created));
    let none = PoolName::new("");
    let pool = claim.pool.as_ref().unwrap_or(&none);
    match reason {
        DisruptionReason::Empty => {
            quiet(&mut grounds, state, now, claim, last_pod);
            grounds.consolidate_after(telling, pool, size);
            grounds.budgets(telling, pool, size);
            grounds.budget = Some(budget_use(state, now, pool, reason));
        }
        DisruptionReason::Expired => {
            let after =
                claim.template.template.expire_after.map(|after| after.to_string()).unwrap_or_default();
            grounds.facts.push(format!("it was {age} old, and expireAfter was {after} when it was launched"));
            let at_launch = claim.launch.0;
            let value = |pool: &NodePool| {
                pool.template.expire_after.map_or_else(|| "Never".to_owned(), |after| after.to_string())
            };
            grounds.rule(
                telling,
                pool,
                at_launch,
                "spec.template.spec.expireAfter",
                |pool| pool.template.expire_after,
                value,
            );
        }
        DisruptionReason::Interrupted => {
            let at = claim.instance.as_ref().and_then(|instance| instance.interruption);
            let at = at.map(text::exact_time).unwrap_or_default();
            grounds.facts.push(format!("the cloud gave notice that it takes the instance at {at}"));
        }
        DisruptionReason::LaunchTimeout => {
            let limit = text::span(settings.launch_timeout);
            grounds
                .facts
                .push(format!("there was no instance {age} after the launch; {limit} is the time-out"));
        }
        DisruptionReason::RegistrationTimeout => {
            let limit = text::span(settings.registration_timeout);
            grounds.facts.push(format!("there was no node {age} after the launch; {limit} is the time-out"));
        }
        DisruptionReason::Deleted => {
            grounds.facts.push(match claim.deleted {
                Some(_) => "its NodeClaim was deleted by somebody else".to_owned(),
                None => "its Node was deleted, or is being deleted, by somebody else".to_owned(),
            });
        }
        DisruptionReason::Overprovisioned => {
            grounds.facts.push(format!("NodePool {pool} had more nodes than spec.replicas says"));
        }
        DisruptionReason::InsufficientCapacity => {
            grounds.facts.push("no instance type that is offered meets what it asks for".to_owned());
        }
        DisruptionReason::GarbageCollected => grounds.facts.push("its instance is gone".to_owned()),
        DisruptionReason::Underutilized | DisruptionReason::Drifted | DisruptionReason::Unhealthy => {
            grounds.facts.push(format!("it was {age} old"));
        }
    }
    grounds
}

/// Why a node is still there at this moment.
pub(super) fn still_there(
    telling: &Telling<'_>,
    state: &State,
    now: Time,
    claim: &Claim,
    last_pod: Option<&Ref>,
) -> Grounds {
    let mut grounds = Grounds::default();
    let size = state.size;
    if let Some(disrupting) = &claim.disrupting {
        let since = text::span(now.since(disrupting.since));
        grounds.facts.push(format!("it is being removed ({}) since {since}", disrupting.reason));
        let blocked: Vec<String> = disrupting
            .evictions
            .iter()
            .filter(|(_, eviction)| eviction.blocked)
            .map(|(pod, eviction)| format!("{pod} ({})", text::count(eviction.attempts as usize, "attempt")))
            .collect();
        if !blocked.is_empty() {
            let blocked = text::few(blocked, telling.few);
            grounds.facts.push(format!("evictions are refused by a PodDisruptionBudget: {blocked}"));
        }
        return grounds;
    }
    grounds.facts.extend(telling.idle(state));
    let waits = grounds.facts.len();
    let none = PoolName::new("");
    let pool = claim.pool.as_ref().unwrap_or(&none);
    for note in looked::notes(state, now) {
        match note {
            Note::CandidateWaits { claim: of, until } if of == claim.name => {
                quiet(&mut grounds, state, now, claim, last_pod);
                let left = text::span(until.since(now));
                grounds.facts.push(format!("it may be removed at {}, in {left}", text::exact_time(until)));
                grounds.consolidate_after(telling, pool, size);
            }
            Note::CandidateRejected { claim: of, reason } if of == claim.name => {
                quiet(&mut grounds, state, now, claim, last_pod);
                let rule = looked::Rule::of(&reason);
                grounds.facts.push(format!("it may not be removed now, {}: {}", rule.text(), rule.meaning));
                grounds.facts.push(format!("remedy: {}", rule.remedy));
                grounds.budgets(telling, pool, size);
                grounds.budget = Some(budget_use(state, now, pool, DisruptionReason::Empty));
            }
            _ => {}
        }
    }
    if grounds.facts.len() == waits {
        not_a_candidate(&mut grounds, telling, state, now, claim);
    }
    if let Some(expire_after) = claim.template.template.expire_after {
        let at = claim.created + expire_after;
        grounds.facts.push(format!(
            "it expires at {}, in {}",
            text::exact_time(at),
            text::span(at.since(now))
        ));
    }
    grounds
}

/// Why nobody thinks of removing it.
fn not_a_candidate(grounds: &mut Grounds, telling: &Telling<'_>, state: &State, now: Time, claim: &Claim) {
    let size = state.size;
    match (claim.initialized, claim.registered) {
        (Some(_), _) => {}
        (None, None) => grounds.facts.push(format!("it is not set up yet: {}", claim.phase().as_str())),
        (None, Some(registered)) => not_set_up(grounds, state, now, claim, registered),
    }
    let occupancy = claim.node.as_ref().and_then(|node| state.occupancy(node));
    if let Some(occupancy) = occupancy.filter(|occupancy| occupancy.workload_pods > 0) {
        let is_work = |pod: &&purser_engine::model::PodKey| {
            state.pods.get(*pod).is_some_and(|pod| !state.spec(pod.spec).is_daemon())
        };
        let pods = text::few(occupancy.pods.iter().filter(is_work), telling.few);
        let count = text::count(occupancy.workload_pods, "pod");
        grounds.facts.push(format!("it is in use: {count} other than daemon pods: {pods}"));
    }
    if !claim.planned.pods.is_empty() {
        let pods = text::few(&claim.planned.pods, telling.few);
        grounds
            .facts
            .push(format!("{} expected on it: {pods}", text::count(claim.planned.pods.len(), "pod")));
    }
    let Some(name) = &claim.pool else {
        return grounds.facts.push("it belongs to no nodepool, so nothing allows to remove it".to_owned());
    };
    match state.pools.get(name) {
        None => grounds.facts.push(format!("its nodepool {name} is gone, so nothing allows to remove it")),
        Some(pool) if pool.facts.replicas.is_some() => {
            grounds.facts.push(format!("its nodepool {name} keeps a fixed number of nodes"));
        }
        Some(pool) if pool.facts.disruption.consolidate_after.is_none() => {
            grounds.facts.push("its nodepool never removes empty nodes".to_owned());
            grounds.consolidate_after(telling, name, size);
        }
        Some(_) => {}
    }
}

/// Since when a node is registered without being set up, and until when pods are sent there nevertheless.
fn not_set_up(grounds: &mut Grounds, state: &State, now: Time, claim: &Claim, registered: Time) {
    let Some(due) = state.set_up_due(claim) else { return };
    let (since, age) = (text::exact_time(registered), text::span(now.since(registered)));
    let phase = claim.phase().as_str();
    grounds.facts.push(format!("it is not set up yet: {phase} since {since}, {age} ago"));
    let limit = text::span(due.since(registered));
    let (at, overdue) = (text::exact_time(due), ReasonId::SetUpOverdue);
    if due <= now {
        grounds.facts.push(format!("no pod is sent there since {at}, {limit} after that: {overdue}"));
        grounds.facts.push(format!("remedy: {}", overdue.remedy()));
    } else {
        grounds
            .facts
            .push(format!("if it is not set up at {at}, no pod is sent there from then on: {overdue}"));
    }
}

/// Since when nothing happened on an empty node.
fn quiet(grounds: &mut Grounds, state: &State, now: Time, claim: &Claim, last_pod: Option<&Ref>) {
    let Some(initialized) = claim.initialized else { return };
    let occupancy = claim.node.as_ref().and_then(|node| state.occupancy(node));
    let since = occupancy.map_or(initialized, |occupancy| occupancy.last_pod_event.max(initialized));
    let length = text::span(now.since(since));
    grounds.facts.push(format!(
        "nothing but daemon pods ran on it, and no pod came or went for {length}, since {}",
        text::exact_time(since)
    ));
    match last_pod {
        Some(last) if since > initialized => {
            grounds.facts.push(format!("the last that did: record {}, {}", last.seq, last.says));
        }
        _ => grounds.facts.push("no pod ever ran on it".to_owned()),
    }
}

/// What budgets allow of a pool, as the decision reckons.
fn budget_use(state: &State, now: Time, pool: &PoolName, reason: DisruptionReason) -> BudgetUse {
    let counts = |claim: &&Claim| {
        claim.pool.as_ref() == Some(pool)
            && claim.initialized.is_some()
            && claim.disrupting.as_ref().is_none_or(|disrupting| disrupting.terminated.is_none())
    };
    let ready = |claim: &Claim| {
        let node = claim.node.as_ref().and_then(|node| state.nodes.get(node));
        node.is_some_and(|node| node.facts.ready)
    };
    let of_pool: Vec<&Claim> = state.claims.values().filter(counts).collect();
    let nodes = of_pool.len();
    let used = of_pool.iter().filter(|claim| claim.disrupting.is_some() || !ready(claim)).count();
    let budgets = state.pools.get(pool).map(|pool| pool.facts.disruption.budgets.clone()).unwrap_or_default();
    let allowed = state.pools.get(pool).map(|pool| pool.facts.disruption.allowed(reason, nodes, now));
    let tell = |of: &Budget| match of.applies(reason, now) {
        true => format!("{}: {} of {nodes}", budget(of), of.allowed(nodes)),
        false => format!("{}: does not apply", budget(of)),
    };
    BudgetUse {
        nodes,
        used,
        allowed: allowed.filter(|allowed| *allowed != usize::MAX),
        budgets: budgets.iter().map(tell).collect(),
    }
}

/// A budget in words.
fn budget(budget: &Budget) -> String {
    let mut text = match budget.nodes {
        BudgetNodes::Count(count) => format!("nodes {count}"),
        BudgetNodes::Percent(percent) => format!("nodes {percent}%"),
    };
    if let Some(reasons) = &budget.reasons {
        text.push_str(&format!(" for {}", text::few(reasons, usize::MAX)));
    }
    if let Some(schedule) = &budget.schedule {
        text.push_str(&format!(" at {} for {}", schedule.text, schedule.duration));
    }
    text
}
