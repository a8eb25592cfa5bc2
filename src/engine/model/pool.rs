//! NodePools: which nodes may be launched, how many, and how they may be removed.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Utc};
use croner::Cron;
use smallvec::SmallVec;

use super::{ClassName, Labels, PoolName, Requirements, Resources, Span, Str, Taint, Time};

/// A NodePool, as far as decisions depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePool {
    /// Its name.
    pub name: PoolName,
    /// Heavier pools are tried first.
    pub weight: u32,
    /// What its nodes are like.
    pub template: NodeTemplate,
    /// How its nodes may be removed.
    pub disruption: Disruption,
    /// What its nodes may sum up to.
    pub limits: Limits,
    /// A fixed number of nodes, for a static pool.
    pub replicas: Option<u32>,
    /// Karpenter's hash of the template, carried by its claims.
    pub hash: Str,
    /// Whether it may be used.
    pub ready: bool,
}

/// What the nodes of a pool are like.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NodeTemplate {
    /// Labels of the nodes.
    pub labels: Labels,
    /// Taints of the nodes.
    pub taints: Vec<Taint>,
    /// Taints that something removes once a node is set up.
    pub startup_taints: Vec<Taint>,
    /// Requirements on the instance types and offerings.
    pub requirements: Requirements,
    /// The node class: kind and name.
    pub class: Option<(Str, ClassName)>,
    /// How long a node may take to drain before its pods are deleted; `None` for ever.
    pub termination_grace: Option<Span>,
    /// The age at which a node is replaced; `None` for never.
    pub expire_after: Option<Span>,
}

/// When nodes are worth removing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConsolidationPolicy {
    /// Only when they are empty.
    WhenEmpty,
    /// When they are empty or cost more than they need.
    WhenEmptyOrUnderutilized,
    /// As above, if the saving is worth the disruption.
    Balanced,
}

/// Why a node is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DisruptionReason {
    /// Nothing but daemon pods runs on it.
    Empty,
    /// Its pods fit elsewhere, or on something cheaper.
    Underutilized,
    /// It no longer is what its pool asks for.
    Drifted,
    /// It has reached the age set by `expireAfter`.
    Expired,
    /// The cloud takes it back or will stop it.
    Interrupted,
    /// The cloud gave no instance in time.
    LaunchTimeout,
    /// The instance did not become a node in time.
    RegistrationTimeout,
    /// It is unhealthy.
    Unhealthy,
    /// Somebody deleted its Node or NodeClaim.
    Deleted,
    /// Its pool is static and has more nodes than replicas.
    Overprovisioned,
    /// No instance type that is offered meets what it asks for.
    InsufficientCapacity,
    /// Its instance is gone.
    GarbageCollected,
}

impl DisruptionReason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Empty,
        Self::Underutilized,
        Self::Drifted,
        Self::Expired,
        Self::Interrupted,
        Self::LaunchTimeout,
        Self::RegistrationTimeout,
        Self::Unhealthy,
        Self::Deleted,
        Self::Overprovisioned,
        Self::InsufficientCapacity,
        Self::GarbageCollected,
    ];

    /// As Karpenter's metrics and manifests name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Underutilized => "underutilized",
            Self::Drifted => "drifted",
            Self::Expired => "expired",
            Self::Interrupted => "interrupted",
            Self::LaunchTimeout => "launch_timeout",
            Self::RegistrationTimeout => "registration_timeout",
            Self::Unhealthy => "unhealthy",
            Self::Deleted => "deleted",
            Self::Overprovisioned => "overprovisioned",
            Self::InsufficientCapacity => "insufficient_capacity",
            Self::GarbageCollected => "garbage_collected",
        }
    }
}

impl fmt::Display for DisruptionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How nodes of a pool may be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disruption {
    /// When they are worth removing.
    pub policy: ConsolidationPolicy,
    /// How long a node must be left alone by pods first; `None` for never.
    pub consolidate_after: Option<Span>,
    /// How many at once.
    pub budgets: Vec<Budget>,
}

impl Default for Disruption {
    /// Karpenter's: at once, a tenth of the nodes at a time.
    fn default() -> Self {
        Self {
            policy: ConsolidationPolicy::WhenEmptyOrUnderutilized,
            consolidate_after: Some(Span::ZERO),
            budgets: vec![Budget { reasons: None, nodes: BudgetNodes::Percent(10), schedule: None }],
        }
    }
}

/// The number of nodes that a budget allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BudgetNodes {
    /// So many.
    Count(u32),
    /// Of the pool's nodes, rounded up.
    Percent(u32),
}

/// How many nodes may be disrupted at once, for which reasons, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// For these reasons; `None` for all.
    pub reasons: Option<BTreeSet<DisruptionReason>>,
    /// So many.
    pub nodes: BudgetNodes,
    /// Only at these times; `None` for always.
    pub schedule: Option<BudgetSchedule>,
}

/// The times at which a budget holds: for `duration` from each moment at which `cron` fires, in UTC.
#[derive(Debug, Clone)]
pub struct BudgetSchedule {
    /// As it was written.
    pub text: Str,
    /// How long it holds each time.
    pub duration: Span,
    cron: Cron,
}

impl PartialEq for BudgetSchedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.duration == other.duration
    }
}

impl Eq for BudgetSchedule {}

impl BudgetSchedule {
    /// Reads a cron expression of five fields, or a macro such as `@daily`.
    ///
    /// # Errors
    /// If the text is no cron expression; the message says where.
    pub fn parse(text: &str, duration: Span) -> Result<Self, String> {
        // Karpenter's macros; croner knows the rest.
        let expression = match text {
            "@midnight" => "@daily",
            "@annually" => "@yearly",
            other => other,
        };
        let cron = croner::parser::CronParser::builder()
            .seconds(croner::parser::Seconds::Disallowed)
            .build()
            .parse(expression)
            .map_err(|error| format!("{text:?} is not a cron schedule of five fields or a macro: {error}"))?;
        Ok(Self { text: text.into(), duration, cron })
    }

    /// The end of the window that is open at this moment, if one is.
    pub fn open_until(&self, now: Time) -> Option<Time> {
        let fired = self.next_after(now - self.duration)?;
        (fired <= now).then(|| fired + self.duration)
    }

    /// The first moment after this one at which a window opens.
    pub fn next_after(&self, moment: Time) -> Option<Time> {
        let moment: DateTime<Utc> = DateTime::from_timestamp_micros(moment.0)?;
        let next = self.cron.find_next_occurrence(&moment, false).ok()?;
        Some(Time(next.timestamp_micros()))
    }
}

impl Budget {
    /// Whether it speaks about this reason at this moment.
    pub fn applies(&self, reason: DisruptionReason, now: Time) -> bool {
        self.reasons.as_ref().is_none_or(|reasons| reasons.contains(&reason))
            && self.schedule.as_ref().is_none_or(|schedule| schedule.open_until(now).is_some())
    }

    /// How many of so many nodes it allows.
    pub fn allowed(&self, nodes: usize) -> usize {
        match self.nodes {
            BudgetNodes::Count(count) => count as usize,
            BudgetNodes::Percent(percent) => (nodes * percent as usize).div_ceil(100),
        }
    }

    /// The next moment at which it starts or stops to hold.
    pub fn next_change(&self, now: Time) -> Option<Time> {
        let schedule = self.schedule.as_ref()?;
        schedule.open_until(now).or_else(|| schedule.next_after(now))
    }
}

impl Disruption {
    /// How many of so many nodes may be disrupted for this reason at this moment.
    pub fn allowed(&self, reason: DisruptionReason, nodes: usize, now: Time) -> usize {
        self.budgets
            .iter()
            .filter(|budget| budget.applies(reason, now))
            .map(|budget| budget.allowed(nodes))
            .min()
            .unwrap_or(usize::MAX)
    }
}

/// What the nodes of a pool may sum up to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Limits {
    /// By resource name, in the unit of the resource; only those listed are limited.
    pub resources: Vec<(Str, i64)>,
    /// Number of nodes.
    pub nodes: Option<u32>,
}

/// By resource name, so much more and no limit is exceeded; below zero where one is.
pub type Headroom<'l> = SmallVec<[(&'l str, i64); 4]>;

impl Limits {
    /// Whether nothing is limited.
    pub fn is_none(&self) -> bool {
        self.nodes.is_none() && self.resources.is_empty()
    }

    /// What is left of each limited resource for a node that is one of so many; nothing if those are too many.
    pub fn headroom(&self, used: &Resources, nodes: usize) -> Option<Headroom<'_>> {
        let left = |(name, limit): &'_ (Str, i64)| limit.saturating_sub(used.get(name));
        let fits = self.nodes.is_none_or(|limit| nodes <= limit as usize);
        fits.then(|| self.resources.iter().map(|one| (&*one.0, left(one))).collect())
    }

    /// The first limit that a usage would exceed: its name, the limit, the usage.
    pub fn first_exceeded(&self, used: &Resources, nodes: usize) -> Option<(&str, i64, i64)> {
        let by_nodes = self
            .nodes
            .filter(|limit| nodes > *limit as usize)
            .map(|limit| ("nodes", i64::from(limit), i64::try_from(nodes).unwrap_or(i64::MAX)));
        by_nodes.or_else(|| {
            self.resources
                .iter()
                .map(|(name, limit)| (&**name, *limit, used.get(name)))
                .find(|(_, limit, used)| used > limit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time(DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros())
    }

    #[test]
    fn a_schedule_is_open_for_its_duration() {
        let schedule = BudgetSchedule::parse("0 9 * * mon-fri", Span::hours(8)).unwrap();
        assert_eq!(schedule.open_until(at("2026-07-20T08:59:59Z")), None);
        assert_eq!(schedule.open_until(at("2026-07-20T09:00:00Z")), Some(at("2026-07-20T17:00:00Z")));
        assert_eq!(schedule.open_until(at("2026-07-20T16:59:59Z")), Some(at("2026-07-20T17:00:00Z")));
        assert_eq!(schedule.open_until(at("2026-07-20T17:00:00Z")), None);
        assert_eq!(schedule.next_after(at("2026-07-24T10:00:00Z")), Some(at("2026-07-27T09:00:00Z")));
        for text in ["@daily", "@midnight", "@hourly", "@weekly", "@monthly", "@yearly", "@annually"] {
            assert!(BudgetSchedule::parse(text, Span::hours(1)).is_ok(), "{text}");
        }
        assert!(BudgetSchedule::parse("0 0 9 * * mon", Span::hours(1)).is_err());
    }

    #[test]
    fn the_strictest_budget_counts() {
        let mut disruption = Disruption::default();
        assert_eq!(disruption.allowed(DisruptionReason::Empty, 11, Time(0)), 2);
        let none_empty = BTreeSet::from([DisruptionReason::Empty]);
        disruption.budgets.push(Budget {
            reasons: Some(none_empty),
            nodes: BudgetNodes::Count(0),
            schedule: None,
        });
        assert_eq!(disruption.allowed(DisruptionReason::Empty, 11, Time(0)), 0);
        assert_eq!(disruption.allowed(DisruptionReason::Drifted, 11, Time(0)), 2);
        disruption.budgets.clear();
        assert_eq!(disruption.allowed(DisruptionReason::Empty, 11, Time(0)), usize::MAX);
    }
}
