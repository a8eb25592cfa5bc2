//! How long pods that wait are left to wait for others, so that they share nodes.
//!
//! Whoever makes many pods makes them one after the other: a ReplicaSet doubles its batches from one pod on, and its client is held to 20
//! requests a second. One window for all would be too long for a single pod, or too short for five hundred. So the window grows with what
//! comes: it ends when nothing came for `batch_idle`, or for a few times the mean pause between pods if that is longer; and at the latest after
//! `batch_max`, or after [`LONGEST`] while pods keep coming in quick succession. With Karpenter's own settings of 1 s and 10 s that is Karpenter's
//! window, which is never exceeded.
//!
//! Pods are counted from when they were seen, where the scheduler tries them at once, so that its time is not added to the window; and while it
//! has pods before it that have just come, what it says of them is waited for.
//!
//! Source: Karpenter, pkg/controllers/provisioning/batcher.go; Kubernetes, `slowStartBatch` in pkg/controller/replicaset.
//!
//! **Invariant:** no pod waits for others longer than for `batch_max` or [`LONGEST`], whichever is longer.

use std::collections::BTreeMap;

use super::Pass;
use super::trace::{Note, Tracer};
use crate::event::SpecId;
use crate::model::{PodKey, Span, Time};
use crate::state::{Plan, TRIED_WITHIN};

/// The longest pause that is waited for, unless `batch_idle` says more.
const LONGEST_PAUSE: Span = Span::secs(1);

/// The longest wait while pods keep coming, unless `batch_max` says more.
const LONGEST: Span = Span::secs(10);

/// A pause of so many times the mean one is the end.
const PAUSES: i64 = 4;

/// So many pods in quick succession are held for the work of one who makes more.
const MANY: i64 = 10;

/// Pods follow each other quickly if the mean pause is no longer, or no longer than `batch_idle`.
const QUICK: Span = Span(100_000);

/// Whether no more pods need be waited for.
pub(super) fn is_complete<T: Tracer>(
    pass: &mut Pass<'_>,
    pending: &BTreeMap<SpecId, Vec<PodKey>>,
    tracer: &mut T,
) -> bool {
    let state = pass.state;
    let fresh = pending
        .values()
        .flatten()
        .filter_map(|key| state.pods.get(key))
        .filter(|pod| pod.plan == Plan::None)
        .map(|pod| pod.waiting_since);
    let Some(arrivals) = Arrivals::of(fresh) else { return true };
    let tried_by = state.last_untried().map(|seen| seen + TRIED_WITHIN);
    let until = arrivals.until(tried_by, state.settings.batch_idle, state.settings.batch_max);
    if pass.is_due(until) {
        return true;
    }
    tracer.note(|| Note::Batching { until });
    pass.batching_until = Some(until);
    false
}

/// When pods came that nothing was decided about yet.
struct Arrivals {
    count: i64,
    first: Time,
    last: Time,
}

impl Arrivals {
    fn of(moments: impl Iterator<Item = Time>) -> Option<Self> {
        moments.fold(None, |all: Option<Self>, moment| {
            let all = all.unwrap_or(Self { count: 0, first: moment, last: moment });
            let (first, last) = (all.first.min(moment), all.last.max(moment));
            Some(Self { count: all.count + 1, first, last })
        })
    }

    /// When the window ends if nothing more comes, and until when it is waited for what the scheduler says of others.
    fn until(&self, tried_by: Option<Time>, idle: Span, most: Span) -> Time {
        let pause = Span(self.last.since(self.first).0 / (self.count - 1).max(1));
        let longest_pause = Span(idle.0.saturating_mul(10)).min(LONGEST_PAUSE).max(idle);
        let quiet = Span(pause.0 * PAUSES).max(idle).min(longest_pause);
        let keep_coming = self.count >= MANY && pause <= QUICK.max(idle);
        let longest = Span(most.0.saturating_mul(10)).min(LONGEST).max(most);
        let quiet_at = (self.last + quiet).max(tried_by.unwrap_or(self.last));
        quiet_at.min(self.first + if keep_coming { longest } else { most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Span = Span(50_000);
    const MAX: Span = Span::secs(1);

    /// When the window ends, in milliseconds, for pods that come at these milliseconds and then no more.
    fn end(idle: Span, most: Span, arrivals: &[i64]) -> i64 {
        let arrivals = Arrivals::of(arrivals.iter().map(|at| Time(at * 1_000))).expect("there are some");
        arrivals.until(None, idle, most).0 / 1_000
    }

    fn every(pause: i64, count: i64) -> Vec<i64> {
        (0..count).map(|n| n * pause).collect()
    }

    #[test]
    fn a_window_grows_with_what_comes() {
        assert_eq!(end(IDLE, MAX, &[0]), 50, "one pod waits as short as it is set");
        assert_eq!(end(IDLE, MAX, &every(0, 500)), 50, "and so do many that come at once");
        assert_eq!(
            end(IDLE, MAX, &every(50, 5)),
            400,
            "the next may take a few times as long as the others did"
        );
        assert_eq!(
            end(IDLE, MAX, &every(300, 3)),
            1_000,
            "pods that drop in are not waited for longer than is set"
        );
        assert_eq!(end(IDLE, MAX, &every(50, 100)), 5_150, "those that keep coming are");
        assert_eq!(end(IDLE, MAX, &every(50, 500)), 10_000, "but not for ever");
    }

    #[test]
    fn what_the_scheduler_has_just_got_is_waited_for() {
        let arrivals =
            |at: &[i64]| Arrivals::of(at.iter().map(|at| Time(at * 1_000))).expect("there are some");
        let end =
            |at: &[i64], tried_by: i64| arrivals(at).until(Some(Time(tried_by * 1_000)), IDLE, MAX).0 / 1_000;
        assert_eq!(end(&[0], 120), 120);
        assert_eq!(end(&[0], 40), 50, "no longer than without");
        assert_eq!(end(&[0], 5_000), 1_000, "and no longer than is set");
    }

    #[test]
    fn karpenters_windows_are_karpenters() {
        let (idle, most) = (Span::secs(1), Span::secs(10));
        for (pause, count, ends) in [(0, 1, 1_000), (50, 100, 5_950), (50, 500, 10_000), (900, 50, 10_000)] {
            assert_eq!(end(idle, most, &every(pause, count)), ends, "{count} pods every {pause} ms");
        }
    }
}
