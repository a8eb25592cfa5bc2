//! When a pod that is told to stop has ended.
//!
//! Containers that nobody runs end at once on the signal to stop; what comes before it takes its time: a `preStop` hook that sleeps, or the
//! delay that the kwok controller knows.
//!
//! **Invariant:** a pod ends no later than it has to, and no later than it would of itself, however the API server's clock is set.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Lifecycle, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use purser_api::parse_duration;
use purser_engine::model::Time;

/// For so long the kwok controller leaves a pod that is deleted. Source: sigs.k8s.io/kwok, the stage `pod-delete`.
const DELAY: &str = "pod-delete.stage.kwok.x-k8s.io/delay";

/// How a pod ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    /// When, by the API server's clock.
    pub(super) at: Timestamp,
    /// How long it takes at most from when that is known.
    pub(super) takes: SignedDuration,
}

impl Ending {
    /// How long it is until then.
    pub(super) fn left(self, now: Time) -> Duration {
        let left = self.at.as_microsecond().saturating_sub(now.0);
        let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
        left.min(self.takes.unsigned_abs())
    }
}

/// How a pod that is being deleted ends.
pub(super) fn ending(pod: &Pod) -> Option<Ending> {
    let deadline = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
    let told = deadline.saturating_sub(grace).unwrap_or(deadline);
    let hooks = pod.spec.iter().flat_map(|spec| &spec.containers).filter_map(|one| one.lifecycle.as_ref());
    let delay = pod.metadata.annotations.as_ref().and_then(|all| parse_duration(all.get(DELAY)?));
    let delay = delay.map(|delay| delay.0 / 1_000_000);
    let longest = hooks.filter_map(sleep).chain(delay).max().unwrap_or(0);
    let takes = SignedDuration::from_secs(longest.max(0)).min(grace);
    Some(Ending { at: told.saturating_add(takes).unwrap_or(deadline), takes })
}

/// For how many seconds a `preStop` hook sleeps. One that does anything else is over at once.
fn sleep(lifecycle: &Lifecycle) -> Option<i64> {
    let hook = lifecycle.pre_stop.as_ref()?;
    if let Some(sleep) = &hook.sleep {
        return Some(sleep.seconds);
    }
    let command = hook.exec.as_ref()?.command.as_ref()?.join(" ");
    let mut words = command.split_whitespace().skip_while(|word| !word.ends_with("sleep"));
    words.next()?;
    seconds(words.next()?)
}

/// A whole number of seconds, with its unit or without.
fn seconds(text: &str) -> Option<i64> {
    text.strip_suffix('s').unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GRACE: i64 = 30;

    /// After how many seconds a pod ends that is told to stop.
    fn ends_after(annotations: Value, hook: Value) -> i64 {
        let pod = json!({
            "metadata": {
                "name": "a", "annotations": annotations,
                "deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": GRACE,
            },
            "spec": {"containers": [
                {"name": "quick"},
                {"name": "slow", "lifecycle": {"preStop": hook}},
            ]},
        });
        let pod: Pod = serde_json::from_value(pod).expect("it is a pod");
        let told: Timestamp = "2026-01-01T00:00:00Z".parse().expect("it is a moment");
        let ending = ending(&pod).expect("it is being deleted");
        assert_eq!(ending.at.duration_since(told), ending.takes);
        ending.takes.as_secs()
    }

    #[test]
    fn nobody_waits_longer_than_it_takes_because_a_clock_is_ahead() {
        let at: Timestamp = "2026-01-01T00:10:00Z".parse().expect("it is a moment");
        let ending = Ending { at, takes: SignedDuration::from_secs(7) };
        let before = |seconds: i64| Time(at.as_microsecond() - seconds * 1_000_000);
        assert_eq!(ending.left(before(600)), Duration::from_secs(7));
        assert_eq!(ending.left(before(3)), Duration::from_secs(3));
        assert_eq!(ending.left(before(-600)), Duration::ZERO);
    }

    #[test]
    fn a_pod_ends_at_once_but_for_what_it_sleeps_and_never_late() {
        let shell = |script: &str| json!({"exec": {"command": ["/bin/sh", "-c", script]}});
        for (annotations, hook, seconds) in [
            (json!({}), json!(null), 0),
            (json!({}), json!({"httpGet": {"port": 80}}), 0),
            (json!({}), json!({"sleep": {"seconds": 7}}), 7),
            (json!({}), shell("sleep 5"), 5),
            (json!({}), shell("sleep 300"), GRACE),
            (json!({}), shell("echo bye"), 0),
            (json!({DELAY: "10s"}), json!(null), 10),
            (json!({DELAY: "60s"}), shell("sleep 5"), GRACE),
        ] {
            assert_eq!(ends_after(annotations.clone(), hook.clone()), seconds, "{annotations} {hook}");
        }
    }
}
