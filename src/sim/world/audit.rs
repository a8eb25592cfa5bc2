//! Looking the world over: orphaned instances, the world's own books, and the report.
//!
//! **Invariant:** nothing here changes what will happen.

use std::collections::BTreeMap;

use purser_engine::model::{Labels, Money, PodPhase, Requirements, Resources, Span, Time, first_untolerated};

use super::class::basic;
use super::machine::Life;
use super::pod::Owner;
use super::{Compared, KnownClaims, World};
use crate::check::Violation;
use crate::report::Report;

/// So long an instance may be unknown, beyond what the controller waits by itself.
const ORPHAN_GRACE: Span = Span::mins(3);

/// Claims are compared no more often than this.
const CLAIMS_EVERY: Span = Span::secs(10);

impl World {
    /// Looks for instances that the controller has no claim for.
    pub(super) fn check_claims(&mut self, now: Time, known: KnownClaims<'_>) {
        if self.unknown_checked.is_some_and(|last| now.since(last) < CLAIMS_EVERY) {
            return;
        }
        let started = self.machines.started.len();
        let same = |last: &Compared| (last.gone, last.caller) == (known.gone, self.caller);
        // As long as the controller lost no claim, those that had one have it still.
        let since = self.compared.filter(|last| self.unknown_claims.is_empty() && same(last));
        if since.is_some_and(|last| last.started == started) {
            return;
        }
        self.unknown_checked = Some(now);
        self.compared = Some(Compared { started, gone: known.gone, caller: self.caller });
        let before = std::mem::take(&mut self.unknown_claims);
        let numbers: Vec<u32> = match since {
            Some(last) => self.machines.started[last.started..].to_vec(),
            None => self.machines.live.iter().copied().collect(),
        };
        for number in &numbers {
            let machine = &self.machines.all[*number as usize];
            if machine.life != Life::Running || (known.known)(&machine.claim, &machine.facts.instance) {
                continue;
            }
            let listed = self.machines.first_listed(*number);
            let since = before.get(number).copied().unwrap_or(now.max(listed));
            self.unknown_claims.insert(*number, since);
            if now > since + ORPHAN_GRACE + known.collect_after && self.orphans_named.insert(*number) {
                self.violations.push(Violation::Orphan {
                    instance: machine.facts.instance.clone(),
                    claim: machine.claim.clone(),
                    since,
                    now,
                });
            }
        }
    }

    /// Recounts everything that is otherwise kept up to date on the way. Slow; for tests and for the end of a
    /// run.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn audit(&self) -> Result<(), Violation> {
        let wrong = |what: String| Err(Violation::Inconsistent { what });
        for number in self.nodes.live() {
            let node = self.nodes.get(number);
            let mut used = Resources::default();
            let mut count = 0;
            for pod in &node.pods {
                let own = &self.pods[*pod as usize];
                if own.gone
                    || own.node != Some(number)
                    || !matches!(own.phase, PodPhase::Bound | PodPhase::Terminating)
                {
                    return wrong(format!(
                        "pod {} is in the books of node {} but not on it",
                        own.key, node.facts.name
                    ));
                }
                used.add(&self.classes.all[own.class as usize].spec.requests);
                count += self.classes.all[own.class as usize].request[3];
            }
            let mut left = basic(&node.facts.allocatable.minus(&used));
            left[3] = node.facts.allocatable.pods - count;
            if left != self.nodes.hot(number).free {
                return wrong(format!(
                    "node {} has {left:?} left, not {:?}",
                    node.facts.name,
                    self.nodes.hot(number).free
                ));
            }
        }
        for pod in self.pods.iter().filter(|pod| !pod.gone && pod.phase != PodPhase::Ended) {
            match pod.node {
                Some(node) if self.nodes.get(node).gone => {
                    return wrong(format!(
                        "pod {} is on node {}, which is gone",
                        pod.key,
                        self.nodes.get(node).facts.name
                    ));
                }
                Some(node)
                    if !self.nodes.get(node).pods.iter().any(|n| self.pods[*n as usize].uid == pod.uid) =>
                {
                    return wrong(format!("pod {} is not in the books of its node", pod.key));
                }
                _ => {}
            }
        }
        for (number, budget) in self.budgets.iter().enumerate() {
            let healthy = self.pods.iter().filter(|pod| {
                !pod.gone
                    && pod.ready
                    && self.classes.all[pod.class as usize].budgets.contains(&(number as u32))
            });
            let healthy = healthy.count();
            if healthy != budget.healthy as usize {
                return wrong(format!(
                    "budget {} counts {} healthy pods, not {healthy}",
                    budget.facts.key, budget.healthy
                ));
            }
        }
        match self.shortfall() {
            0 => Ok(()),
            missing => wrong(format!("{missing} pods were lost and not made again")),
        }
    }

    /// Why no pod of a class can ever run on a new node, if none can.
    pub(super) fn why_never(&self, class: u32) -> Option<&'static str> {
        let own = &self.classes.all[class as usize];
        let mut tolerated = false;
        let mut matched = false;
        for pool in self.pools.values().filter(|pool| pool.ready) {
            if first_untolerated(&pool.template.taints, &own.tolerations).is_some() {
                continue;
            }
            tolerated = true;
            let mut of_pool = Requirements::from_labels(&pool.template.labels);
            of_pool.add_all(&pool.template.requirements);
            of_pool.add_all(&Requirements::from_labels(&Labels::from([(
                purser_engine::model::label::NODEPOOL.into(),
                pool.name.as_shared().clone(),
            )])));
            for instance_type in self.types.values() {
                let of_type = &instance_type.requirements;
                let compatible = own.alternatives.iter().any(|wanted| {
                    let defined = |key: &str| purser_engine::model::label::is_well_known(key);
                    of_pool.first_conflict(wanted, defined).is_none()
                        && of_pool.first_conflict(of_type, |_| true).is_none()
                        && of_type.first_conflict(wanted, |_| true).is_none()
                });
                if !compatible || instance_type.offerings.is_empty() {
                    continue;
                }
                matched = true;
                if own.spec.requests.fits(&self.objects.allocatable(pool, instance_type)) {
                    return None;
                }
            }
        }
        Some(match (tolerated, matched) {
            (true, true) => "fits no instance type",
            (true, false) => "no NodePool and instance type meet its requirements",
            (false, _) => "tolerates the taints of no NodePool",
        })
    }

    /// The figures up to a moment.
    pub fn report(&self, now: Time) -> Report {
        let mut meter = self.meter.clone();
        meter.pass(now.max(self.now), self.waiting.pods);
        for machine in &self.machines.live {
            let machine = &self.machines.all[*machine as usize];
            if machine.life != Life::Ahead {
                meter.lived(machine, now);
            }
        }
        for pod in self.pods.iter().filter(|pod| !pod.gone && pod.phase != PodPhase::Ended) {
            if let Some(start) = pod.bound
                && !matches!(pod.owner, Owner::Daemon(_))
            {
                meter.ran.push(crate::report::Ran { class: pod.class, start, end: now });
            }
        }
        let mut never_ran: BTreeMap<String, u64> = BTreeMap::new();
        let mut waiting = Vec::new();
        for pod in self.waiting_pods().map(|pod| &self.pods[pod as usize]) {
            match self.why_never(pod.class) {
                Some(why) => *never_ran.entry(why.to_owned()).or_default() += 1,
                None => waiting.push(pod.key.clone()),
            }
        }
        let mut waited = std::mem::take(&mut meter.waited);
        waited.sort_unstable();
        let quantile = |thousandths: usize| {
            let rank = (waited.len() * thousandths).div_ceil(1_000).max(1) - 1;
            waited.get(rank).copied().unwrap_or_default()
        };
        let share = |i: usize| match meter.allocatable_time[i] {
            0 => 0,
            all => u32::try_from(meter.requested_time[i] * 1_000 / all).unwrap_or(u32::MAX),
        };
        Report {
            scenario: self.name.clone(),
            seed: self.seed.0,
            start: self.start,
            end: now,
            cost: Money(i64::try_from(meter.cost / 3_600_000_000).unwrap_or(i64::MAX)),
            node_hours_by_capacity_type: meter.by_capacity_type,
            node_hours_by_pool: meter.by_pool,
            cpu_utilisation: share(0),
            memory_utilisation: share(1),
            pending_median: quantile(500),
            pending_p99: quantile(990),
            pending_max: waited.last().copied().unwrap_or_default(),
            pods_created: meter.created,
            pods_bound: waited.len() as u64,
            pods_completed: meter.completed,
            pods_lost_with_node: meter.lost_with_node,
            never_ran,
            waiting,
            pods_lost: self.shortfall(),
            launches: meter.launches,
            removals: meter.terminations,
            evictions: meter.evictions,
            refused_evictions: meter.refused_evictions,
            interruptions: meter.interruptions,
            sudden_deaths: meter.sudden_deaths,
            insufficient_capacity: meter.dry_answers,
            peak_nodes: meter.peak_nodes,
            samples: meter.samples,
            specs: self.classes.all.iter().map(|class| class.spec.clone()).collect(),
            ran: meter.ran,
        }
    }
}
