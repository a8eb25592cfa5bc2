//! The witness of the log in a cluster: metrics, Kubernetes Events and log lines.
//!
//! **Invariant:** it keeps nobody waiting: it counts, and puts what is to be sent where others take it from.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use purser_cluster::{Outbox, PoolStatus};
use purser_engine::event::{Decision, Event, Seq};
use purser_engine::model::{ClaimName, DisruptionReason, Time};
use purser_engine::state::State;
use purser_engine::witness::Witness;

use super::clock::Stopwatch;
use super::lines::Lines;
use super::metrics::{GoneClaim, Metrics, may_end};
use super::notices;

/// Tells of what the log gets.
pub(super) struct Observer {
    metrics: Arc<Metrics>,
    outbox: Outbox,
    pools: PoolStatus,
    lines: Lines,
    /// Claims that this batch may end.
    ending: BTreeMap<ClaimName, GoneClaim>,
    /// Since the last batch was folded: what comes next was decided meanwhile.
    deciding: Option<Stopwatch>,
    decided_in: Option<Duration>,
    appending: Option<Stopwatch>,
}

impl Observer {
    pub(super) fn new(metrics: Arc<Metrics>, outbox: Outbox, pools: PoolStatus) -> Self {
        Self {
            metrics,
            outbox,
            pools,
            lines: Lines::default(),
            ending: BTreeMap::new(),
            deciding: None,
            decided_in: None,
            appending: None,
        }
    }
}

impl Witness for Observer {
    fn begins(&mut self, _records: usize) {
        self.decided_in = self.deciding.take().map(|watch| watch.elapsed());
        self.appending = Some(Stopwatch::start());
    }

    fn ends(&mut self, acknowledged: bool) {
        if let Some(took) = self.appending.take().filter(|_| acknowledged) {
            self.metrics.appended(took.elapsed().as_secs_f64());
        }
    }

    fn record(&mut self, state: &State, seq: Seq, time: Time, event: &Event) {
        if let Some(claim) = may_end(state, event) {
            self.ending.insert(claim.name.clone(), GoneClaim::of(claim));
        }
        let of_pods = |decision: &Decision| {
            matches!(
                decision,
                Decision::Launch { .. } | Decision::Nominate { .. } | Decision::Unschedulable { .. }
            )
        };
        if matches!(event, Event::Decision(decision) if of_pods(decision))
            && let Some(took) = self.decided_in.take()
        {
            self.metrics.scheduled(took.as_secs_f64());
        }
        self.metrics.observe(state, time, event);
        self.lines.record(state, seq, event);
        if let Event::Decision(decision) = event {
            self.registrations(state, decision);
        }
        let told = notices::told(state, seq, event);
        told.withdrawn.iter().for_each(|about| self.outbox.withdraw(about));
        told.notices.into_iter().for_each(|notice| self.outbox.put(time, notice));
    }

    fn folded(&mut self, state: &State, time: Time) {
        for (name, gone) in std::mem::take(&mut self.ending) {
            if !state.claims.contains_key(&name) {
                self.metrics.claim_gone(&gone, time);
            }
        }
        self.lines.batch();
        self.deciding = Some(Stopwatch::start());
    }
}

impl Observer {
    /// Tells pools how the registration of their nodes ended.
    fn registrations(&self, state: &State, decision: &Decision) {
        let (claims, failure) = match decision {
            Decision::Register { claim, .. } => (std::slice::from_ref(claim), None),
            Decision::Disrupt { reason, candidates, .. } => match reason {
                DisruptionReason::RegistrationTimeout => {
                    (candidates.as_slice(), Some(("RegistrationFailed", "a node did not register in time")))
                }
                DisruptionReason::LaunchTimeout => {
                    (candidates.as_slice(), Some(("LaunchFailed", "an instance was not started in time")))
                }
                _ => return,
            },
            _ => return,
        };
        for pool in claims.iter().filter_map(|claim| state.claims.get(claim)?.pool.as_ref()) {
            let how =
                failure.map_or(Ok(()), |(reason, message)| Err((reason.to_owned(), message.to_owned())));
            self.pools.registration_ended(pool.as_str(), how);
        }
    }
}
