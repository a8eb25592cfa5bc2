//! How long pods take from their creation until they are ready: told to whoever measures it.
//!
//! Source: Karpenter, `recordPodStartupMetric` in pkg/controllers/metrics/pod/controller.go.
//!
//! **Invariant:** no decision looks at it, so it is not in the log. Only pods that were seen waiting count, each once: one that was ready when
//! the watch began was told of before, or was there before.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use purser_engine::model::{PodKey, Time};

use crate::shared::Shared;
use crate::time;
use crate::watching::Key;

/// Watches pods become ready.
#[derive(Clone)]
pub struct Startups {
    /// Pods that are not ready yet, and when they were created.
    unready: Shared<BTreeMap<PodKey, Time>>,
    /// Is told how many seconds a pod took.
    took: Arc<dyn Fn(f64) + Send + Sync>,
}

impl Startups {
    /// Tells how many seconds each pod took.
    pub fn new(took: impl Fn(f64) + Send + Sync + 'static) -> Self {
        Self { unready: Shared::default(), took: Arc::new(took) }
    }

    /// Pods that are not ready yet, and for how many seconds they have not been.
    pub fn unready(&self, now: Time) -> Vec<(PodKey, f64)> {
        let waits = |(pod, created): (&PodKey, &Time)| (pod.clone(), seconds(*created, now));
        self.unready.lock().iter().map(waits).collect()
    }

    pub(crate) fn saw(&self, pod: &Pod) {
        let (Some(status), Some(created)) = (&pod.status, &pod.metadata.creation_timestamp) else { return };
        let created = time(created);
        let key = Key::of(pod).in_namespace();
        let mut unready = self.unready.lock();
        match status.phase.as_deref() {
            Some("Pending") => {
                unready.insert(key, created);
            }
            Some("Succeeded" | "Failed") => {
                unready.remove(&key);
            }
            _ => {
                let mut conditions = status.conditions.iter().flatten();
                let ready = conditions.find(|one| one.type_ == "Ready" && one.status == "True");
                let since = ready.and_then(|ready| ready.last_transition_time.as_ref()).map(time);
                if let Some(since) = since.filter(|_| unready.remove(&key).is_some()) {
                    (self.took)(seconds(created, since));
                }
            }
        }
    }

    pub(crate) fn lost(&self, pod: &PodKey) {
        self.unready.lock().remove(pod);
    }
}

/// From one moment to another. Several clocks wrote them, which may differ.
fn seconds(from: Time, to: Time) -> f64 {
    to.since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "default", "name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn pods_that_were_seen_waiting_are_told_of_once() {
        let told: Shared<Vec<f64>> = Shared::default();
        let startups = Startups::new({
            let told = told.clone();
            move |seconds| told.lock().push(seconds)
        });
        let ready = |status: &str| {
            pod(&json!({"phase": "Running", "conditions": [
                {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:07Z"}]}))
        };
        startups.saw(&ready("True"));
        assert!(told.lock().is_empty(), "it was ready before");
        startups.saw(&pod(&json!({"phase": "Pending"})));
        startups.saw(&ready("False"));
        assert_eq!(startups.unready(Time(0)).len(), 1, "one that runs may not be ready yet");
        startups.saw(&ready("True"));
        startups.saw(&ready("False"));
        startups.saw(&ready("True"));
        assert_eq!(*told.lock(), [7.0]);
        startups.saw(&pod(&json!({"phase": "Pending"})));
        startups.saw(&pod(&json!({"phase": "Failed"})));
        startups.saw(&pod(&json!({"phase": "Pending"})));
        startups.lost(&PodKey::new("default", "a"));
        startups.saw(&ready("True"));
        assert_eq!((told.lock().len(), startups.unready(Time(0)).len()), (1, 0));
    }
}
