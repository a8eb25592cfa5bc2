//! What a decision looked at, told for those whom it was about.
//!
//! **Invariant:** the notes are those of the decision itself, taken on the State and at the time at which it was taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use purser_engine::decide::{Memo, Note, Notes, decide};
use purser_engine::event::{Decision, Event, Fact, SpecId};
use purser_engine::model::{
    ClaimName, Limits, NodePool, Offering, PoolName, Price, Requirement, Time, label,
};
use purser_engine::reason::{Reason, ReasonId};
use purser_engine::state::State;
use serde::Serialize;

use super::Telling;
use crate::index::Author;
use crate::output::Out;
use crate::source::{Item, Ref};
use crate::text;

/// How many types of a launch are told, unless all are.
const TYPES: usize = 5;

/// A rule that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Rule {
    pub id: &'static str,
    pub params: BTreeMap<String, String>,
    pub meaning: &'static str,
    pub remedy: &'static str,
}

/// A decision that a story is about.
#[derive(Debug, Serialize)]
pub(super) struct Decided {
    #[serde(flatten)]
    pub record: Ref,
    pub by: Author,
    /// The records that led to it.
    pub on: Vec<Ref>,
    pub rule: Option<Rule>,
    #[serde(flatten)]
    pub looked: Looked,
}

/// What an evaluation looked at for a pod.
#[derive(Debug, Default, Serialize)]
pub(super) struct Looked {
    /// NodePools that could launch nothing for the pod, heaviest first.
    pub pools: Vec<PoolMiss>,
    /// Nodes that could not take the pod.
    pub passed_over: Vec<Passed>,
    /// The launch that the pod is part of.
    pub launch: Option<Launch>,
    /// More pods were waited for until then.
    pub batching_until: Option<String>,
}

/// A NodePool that could launch nothing, and by how little it missed.
#[derive(Debug, Serialize)]
pub(super) struct PoolMiss {
    pub nodepool: String,
    /// The record that shows the NodePool as it was.
    pub nodepool_record: u64,
    pub rule: Rule,
    /// What is used of its limits.
    pub limits_used: Option<String>,
    /// What would have been launched without the limit, and what it needs.
    pub without_limit: Option<String>,
    /// Which zone or capacity type was asked for that none of its instance types is offered in, at any time.
    pub not_offered: Option<String>,
}

/// Nodes passed over for one reason.
#[derive(Debug, Serialize)]
pub(super) struct Passed {
    pub reason: &'static str,
    pub meaning: &'static str,
    pub count: usize,
    pub nodes: Vec<PassedNode>,
}

/// A node passed over.
#[derive(Debug, Serialize)]
pub(super) struct PassedNode {
    pub node: String,
    pub detail: String,
}

/// A launch as it was decided.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Launch {
    pub nodeclaim: String,
    pub nodepool: String,
    /// The record that shows the NodePool as it was.
    pub nodepool_record: Option<u64>,
    pub pods: Vec<String>,
    pub requests: String,
    /// Instance types of the pool.
    pub considered: u32,
    /// Types that could hold the pods, cheapest first.
    pub ranked: Vec<Ranked>,
    /// How many of them were asked for.
    pub kept: usize,
    /// Where they were asked for.
    pub places: Vec<String>,
}

/// An instance type with its lowest price.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ranked {
    pub instance_type: String,
    pub price_microusd_per_hour: i64,
}

impl Rule {
    pub(super) fn of(reason: &Reason) -> Self {
        Self {
            id: reason.id.as_str(),
            params: reason.params.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            meaning: reason.id.meaning().trim(),
            remedy: reason.id.remedy(),
        }
    }

    /// The id with what it is about.
    pub(super) fn text(&self) -> String {
        let params: Vec<String> = self.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if params.is_empty() { self.id.to_owned() } else { format!("{} ({})", self.id, params.join(", ")) }
    }
}

/// Takes the decision at this moment again, listening.
pub(super) fn notes(state: &State, now: Time) -> Vec<Note> {
    let mut notes = Notes::default();
    decide(state, now, &mut Memo::default(), &mut notes);
    notes.0
}

/// A decision with who took it and on what; what it looked at is added by who knows whom it is about.
pub(super) fn decided(telling: &Telling<'_>, item: &Item) -> Result<Decided> {
    let here = item.record.causes.iter().filter(|cause| **cause >= telling.log.first());
    Ok(Decided {
        record: item.to_ref(),
        by: telling.index.author(item),
        on: here.map(|cause| Ok(telling.log.item(*cause)?.to_ref())).collect::<Result<_>>()?,
        rule: crate::subjects::reason(item.event()).map(Rule::of),
        looked: Looked::default(),
    })
}

/// What was looked at for pods of a spec.
pub(super) fn for_spec(
    telling: &Telling<'_>,
    state: &State,
    now: Time,
    notes: &[Note],
    spec: SpecId,
) -> Looked {
    let mut looked = Looked::default();
    let mut passed: BTreeMap<ReasonId, Vec<PassedNode>> = BTreeMap::new();
    for note in notes {
        match note {
            Note::Batching { until } => looked.batching_until = Some(text::exact_time(*until)),
            Note::TargetRejected { spec: of, target, reason } if *of == spec => {
                let detail = reason.params.iter().find(|(name, _)| &**name == "detail");
                let detail = detail.map(|(_, value)| value.to_string()).unwrap_or_default();
                passed.entry(reason.id).or_default().push(PassedNode { node: target.to_string(), detail });
            }
            Note::PoolRejected { spec: of, pool, reason } if *of == spec => {
                looked.pools.retain(|miss| miss.nodepool != pool.as_str());
                looked.pools.push(pool_miss(state, now, pool, reason, spec));
            }
            _ => {}
        }
    }
    looked.passed_over = passed
        .into_iter()
        .map(|(id, mut nodes)| {
            let count = nodes.len();
            nodes.truncate(telling.few);
            Passed { reason: id.as_str(), meaning: id.meaning().trim(), count, nodes }
        })
        .collect();
    looked.passed_over.sort_by_key(|passed| std::cmp::Reverse(passed.count));
    looked
}

/// A launch decision with what was noted of its prices.
pub(super) fn launch(
    telling: &Telling<'_>,
    state: &State,
    notes: &[Note],
    decision: &Decision,
) -> Option<Launch> {
    let Decision::Launch { claim, pool, pods, places, options, requests, considered, .. } = decision else {
        return None;
    };
    let ranked_by = |claim: &ClaimName| {
        notes.iter().find_map(|note| match note {
            Note::LaunchPriced { claim: of, ranked, kept, .. } if of == claim => {
                Some((ranked.clone(), *kept))
            }
            _ => None,
        })
    };
    // Where the log was changed, what was noted may be of another launch; the decision itself says the cheapest.
    let (ranked, kept) = ranked_by(claim).unwrap_or_else(|| {
        (options.iter().map(|option| (option.instance_type.clone(), option.price)).collect(), options.len())
    });
    let most = if telling.few == usize::MAX { usize::MAX } else { ranked.len() };
    let used = places
        .iter()
        .enumerate()
        .filter(|(at, _)| options.iter().any(|option| option.places & (1 << at) != 0));
    Some(Launch {
        nodeclaim: claim.to_string(),
        nodepool: pool.to_string(),
        nodepool_record: state.pools.get(pool).map(|pool| pool.changed.0),
        pods: pods.iter().map(ToString::to_string).collect(),
        requests: text::resources(requests),
        considered: *considered,
        ranked: ranked
            .into_iter()
            .take(most)
            .map(|(instance_type, price)| Ranked {
                instance_type: instance_type.to_string(),
                price_microusd_per_hour: price.0,
            })
            .collect(),
        kept,
        places: used.map(|(_, place)| format!("{} {}", place.zone, place.capacity_type)).collect(),
    })
}

fn pool_miss(state: &State, now: Time, pool: &PoolName, reason: &Reason, spec: SpecId) -> PoolMiss {
    let facts = state.pools.get(pool);
    let limited =
        facts.filter(|pool| reason.id == ReasonId::LimitReached && pool.facts.limits != Limits::default());
    PoolMiss {
        nodepool: pool.to_string(),
        nodepool_record: facts.map_or(0, |pool| pool.changed.0),
        rule: Rule::of(reason),
        limits_used: limited.map(|pool| limits_used(state, &pool.facts)),
        without_limit: limited.and_then(|pool| without_limit(state, now, &pool.facts, spec)),
        not_offered: facts
            .filter(|_| reason.id == ReasonId::NoCapacity)
            .and_then(|pool| not_offered(state, &pool.facts, spec)),
    }
}

/// What is used of each limit of a pool.
pub(super) fn limits_used(state: &State, pool: &NodePool) -> String {
    let (used, nodes) = state.pool_usage(&pool.name);
    let by_nodes = pool.limits.nodes.map(|limit| format!("nodes {nodes} of {limit}"));
    let amount = |name: &str, number| text::amount(name, number);
    let by_resource =
        pool.limits.resources.iter().map(|(name, limit)| {
            format!("{name} {} of {}", amount(name, used.get(name)), amount(name, *limit))
        });
    by_nodes.into_iter().chain(by_resource).collect::<Vec<_>>().join(", ")
}

/// What keeps a pod waiting for capacity that will never come: a place in which no type of the pool is offered at all.
fn not_offered(state: &State, pool: &NodePool, spec: SpecId) -> Option<String> {
    let of_pool = &pool.template.requirements;
    let types = state.types.values().filter(|of| of.requirements.first_conflict(of_pool, |_| true).is_none());
    let offerings: Vec<_> = types.flat_map(|of| &of.offerings).collect();
    let alternatives = state.spec(spec).node_alternatives();
    [label::ZONE, label::CAPACITY_TYPE].into_iter().find_map(|key| {
        let value = |offering: &Offering| match key {
            label::ZONE => offering.zone.as_str().to_owned(),
            _ => offering.capacity_type.as_str().to_owned(),
        };
        let offered: BTreeSet<String> = offerings.iter().map(|offering| value(offering)).collect();
        let wanted: Vec<Requirement> = alternatives
            .iter()
            .map(|own| {
                let of_both = [own.get(key), of_pool.get(key)].into_iter().flatten();
                of_both.fold(Requirement::any(), |all, one| all.intersection(one))
            })
            .collect();
        if wanted.iter().any(|wanted| offered.iter().any(|value| wanted.has(value))) {
            return None;
        }
        let named: BTreeSet<&str> = wanted.iter().flat_map(|wanted| wanted.values()).map(|v| &**v).collect();
        let asked = text::few(named, 3);
        let offered = if offered.is_empty() { "nothing".to_owned() } else { text::few(offered, 5) };
        Some(format!("{key} {asked}: no instance type of the pool is offered there, only in {offered}"))
    })
}

/// What the pool would launch for pods of a spec if it had no limits, found by deciding on a State in which it has none.
fn without_limit(state: &State, now: Time, pool: &Arc<NodePool>, spec: SpecId) -> Option<String> {
    let mut other = state.clone();
    let unlimited = NodePool { limits: Limits::default(), ..NodePool::clone(pool) };
    other.apply(state.now, &Event::Fact(Fact::NodePoolObserved { pool: Arc::new(unlimited) }));
    let notes = notes(&other, now);
    let claims = notes.iter().filter_map(|note| match note {
        Note::JoinsLaunch { spec: of, claim } if *of == spec => Some(claim),
        _ => None,
    });
    let launches: Vec<&ClaimName> = claims.collect();
    let (instance_type, price) = notes.iter().find_map(|note| match note {
        Note::LaunchPriced { claim, pool: of, ranked, .. }
            if *of == pool.name && launches.contains(&claim) =>
        {
            ranked.first().cloned()
        }
        _ => None,
    })?;
    let capacity = &state.types.get(&instance_type)?.capacity;
    let (used, nodes) = state.pool_usage(&pool.name);
    let by_nodes =
        pool.limits.nodes.filter(|limit| nodes + 1 > *limit as usize).map(|_| format!("nodes {}", nodes + 1));
    let with = used.plus(capacity);
    let by_resource = pool
        .limits
        .resources
        .iter()
        .filter(|(name, limit)| with.get(name) > *limit)
        .map(|(name, _)| format!("{name} {}", text::amount(name, with.get(name))));
    let needed: Vec<String> = by_nodes.into_iter().chain(by_resource).collect();
    Some(format!(
        "{instance_type} at {} would be launched, if the limit were at least {}",
        text::price(price),
        needed.join(", ")
    ))
}

/// The engine's `memory: asked 1073741824, free 0` in the units of people; anything else as it is.
fn in_units(detail: &str) -> String {
    let parts = || {
        let (resource, rest) = detail.split_once(": asked ")?;
        let (asked, free) = rest.split_once(", free ")?;
        let amount = |number: &str| Some(text::amount(resource, number.parse().ok()?));
        Some(format!("{resource}: asked {}, free {}", amount(asked)?, amount(free)?))
    };
    parts().unwrap_or_else(|| detail.to_owned())
}

// === in words ===

impl Decided {
    pub(super) fn write(&self, telling: &Telling<'_>, out: &mut Out<'_>) -> Result<()> {
        out.line(&format!("  record {}  {}  {}", self.record.seq, self.record.time, self.record.says))?;
        let Author { instance, term, version } = &self.by;
        let version = version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
        out.line(&format!("    by     {instance}, term {term}{version}"))?;
        for on in &self.on {
            out.line(&format!("    on     record {}: {}", on.seq, on.says))?;
        }
        if let Some(rule) = &self.rule {
            out.line(&format!("    rule   {}: {}", rule.id, rule.meaning))?;
            out.line(&format!("    remedy {}", rule.remedy))?;
        }
        self.looked.write(telling, out)
    }
}

impl Looked {
    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        let Self { pools, passed_over, launch, batching_until } = self;
        pools.is_empty() && passed_over.is_empty() && launch.is_none() && batching_until.is_none()
    }

    pub(super) fn write(&self, telling: &Telling<'_>, out: &mut Out<'_>) -> Result<()> {
        for miss in &self.pools {
            let PoolMiss { nodepool, nodepool_record, rule, .. } = miss;
            out.line(&format!("    nodepool {nodepool} (record {nodepool_record}): {}", rule.text()))?;
            if let Some(used) = &miss.limits_used {
                out.line(&format!("      used: {used}"))?;
            }
            if let Some(without) = &miss.without_limit {
                out.line(&format!("      nearest: {without}"))?;
            }
            if let Some(not_offered) = &miss.not_offered {
                out.line(&format!("      never: {not_offered}"))?;
            }
        }
        for passed in &self.passed_over {
            let node = |node: &PassedNode| format!("{} ({})", node.node, in_units(&node.detail));
            let more = passed.count - passed.nodes.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more (--all names them)") };
            let nodes: Vec<String> = passed.nodes.iter().map(node).collect();
            let count = text::count(passed.count, "node");
            out.line(&format!("    {count} passed over, {}: {}{more}", passed.reason, nodes.join(", ")))?;
        }
        if let Some(launch) = &self.launch {
            launch.write(telling, out)?;
        }
        if let Some(until) = &self.batching_until {
            out.line(&format!("    more pods are waited for, until {until}"))?;
        }
        Ok(())
    }
}

impl Launch {
    pub(super) fn write(&self, telling: &Telling<'_>, out: &mut Out<'_>) -> Result<()> {
        let record = self.nodepool_record.map(|seq| format!(" (record {seq})")).unwrap_or_default();
        let pods = text::few(&self.pods, telling.few);
        let asked = &self.requests;
        out.line(&format!(
            "    nodepool {}{record}, for {}: {pods}",
            self.nodepool,
            text::count(self.pods.len(), "pod")
        ))?;
        out.line(&format!("    they and the daemon pods ask for {asked}"))?;
        let fitting = self.ranked.len();
        out.line(&format!(
            "    {} of the pool: {fitting} can hold them, the cheapest {} were asked for, in {}",
            text::count(self.considered as usize, "instance type"),
            self.kept,
            text::few(&self.places, telling.few)
        ))?;
        let most = if telling.few == usize::MAX { usize::MAX } else { TYPES };
        let price = |ranked: &Ranked| {
            format!("{} {}", ranked.instance_type, text::price(Price(ranked.price_microusd_per_hour)))
        };
        Ok(out.line(&format!("    prices: {}", text::few(self.ranked.iter().map(price), most)))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_in_units_of_people() {
        assert_eq!(in_units("memory: asked 1073741824, free 1048576"), "memory: asked 1Gi, free 1Mi");
        assert_eq!(in_units("cpu: asked 7000, free -200"), "cpu: asked 7, free -0.2");
        assert_eq!(in_units("example.com/work"), "example.com/work");
    }
}
