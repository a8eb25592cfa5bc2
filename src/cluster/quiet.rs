//! The condition `Consolidatable` of claims: nothing has happened to the pods of their node for as long as their pool asks.
//!
//! It is for people to see. What is decided rests on the same facts, by the log.
//!
//! Source: Karpenter, pkg/controllers/nodeclaim/{podevents,disruption}.
//!
//! **Invariant:** a claim is written only where it would say something else, so pods that come and go write nothing while the pool asks for
//! no quiet.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Client, ResourceExt};
use purser_engine::model::{NodePool, OwnerKind, PodFacts, PodKey, PodPhase, Span, Time, label};

use crate::Now;
use crate::claim::{Claims, Shown};
use crate::shared::Shared;

/// So often it is looked at who has been quiet for long enough.
const TICK: Duration = Duration::from_secs(1);

const CONSOLIDATABLE: &str = "Consolidatable";

/// Takes note of when something happened on nodes.
#[derive(Clone, Default)]
pub struct Quiet(Shared<Known>);

#[derive(Default)]
struct Known {
    nodes: BTreeMap<String, Seat>,
    pods: HashMap<PodKey, (String, PodPhase)>,
    /// How long pools ask for; `None` for never.
    asked: BTreeMap<String, Option<Span>>,
}

/// A node of a claim.
#[derive(Debug)]
struct Seat {
    claim: String,
    pool: String,
    since: Time,
    /// What the claim says, as far as is known.
    shown: Option<bool>,
}

impl Quiet {
    pub(crate) fn saw_pool(&self, pool: &NodePool) {
        let asked = pool.disruption.consolidate_after.filter(|_| pool.replicas.is_none());
        self.0.lock().asked.insert(pool.name.to_string(), asked);
    }

    pub(crate) fn saw_node(&self, node: &Node, now: Time) {
        let labels = node.labels();
        let owner = node.owner_references().iter().find(|owner| owner.kind == "NodeClaim");
        let (Some(pool), Some(owner)) = (labels.get(label::NODEPOOL), owner) else { return };
        if labels.contains_key(label::INITIALIZED) {
            let seat = Seat { claim: owner.name.clone(), pool: pool.clone(), since: now, shown: None };
            self.0.lock().nodes.entry(node.name_any()).or_insert(seat);
        } else {
            self.lost_node(&node.name_any());
        }
    }

    pub(crate) fn lost_node(&self, name: &str) {
        self.0.lock().nodes.remove(name);
    }

    /// A pod was bound, ended, or is being deleted. Daemons do not count.
    pub(crate) fn saw_pod(&self, pod: &Pod, facts: &PodFacts, now: Time) {
        let Some(node) = &facts.node else { return };
        if matches!(facts.spec.owner, OwnerKind::DaemonSet | OwnerKind::Node) {
            return;
        }
        let mut known = self.0.lock();
        let before = known.pods.insert(facts.key.clone(), (node.to_string(), facts.phase));
        let happened = match before {
            Some((_, phase)) => (phase != facts.phase).then_some(now),
            // It may have been there for long.
            None => pod.status.as_ref().map(|status| status.start_time.as_ref().map_or(now, crate::time)),
        };
        if let Some(at) = happened {
            known.happened(node.as_str(), at);
        }
    }

    pub(crate) fn lost_pod(&self, key: &PodKey, now: Time) {
        let mut known = self.0.lock();
        if let Some((node, phase)) = known.pods.remove(key)
            && phase != PodPhase::Ended
        {
            known.happened(&node, now);
        }
    }

    /// Keeps the conditions up to date, for ever.
    pub async fn run(self, client: Client, now: Now) {
        let claims = Claims::new(client);
        loop {
            tokio::time::sleep(TICK).await;
            let due = self.0.lock().due(now());
            for (node, claim, holds) in due {
                let shown = match holds {
                    true => Shown::holds(CONSOLIDATABLE),
                    false => Shown::gone(CONSOLIDATABLE),
                };
                match claims.show(&claim, now(), &[shown]).await {
                    Ok(()) => {
                        if let Some(seat) = self.0.lock().nodes.get_mut(&node) {
                            seat.shown = Some(holds);
                        }
                    }
                    Err(error) => tracing::warn!(claim, "a condition is not up to date: {error}"),
                }
            }
        }
    }
}

impl Known {
    fn happened(&mut self, node: &str, at: Time) {
        if let Some(seat) = self.nodes.get_mut(node) {
            seat.since = seat.since.max(at);
        }
    }

    /// The nodes whose claims say something else than they should.
    fn due(&self, now: Time) -> Vec<(String, String, bool)> {
        let due = self.nodes.iter().filter_map(|(node, seat)| {
            let asked = self.asked.get(&seat.pool).copied().flatten();
            let holds = asked.is_some_and(|asked| seat.since + asked <= now);
            (seat.shown != Some(holds)).then(|| (node.clone(), seat.claim.clone(), holds))
        });
        due.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use purser_engine::model::{Disruption, PodSpec, Uid};
    use serde_json::json;

    use super::*;

    fn secs(seconds: i64) -> Time {
        Time(seconds * 1_000_000)
    }

    fn due(quiet: &Quiet, at: i64) -> Vec<bool> {
        let mut known = quiet.0.lock();
        let due = known.due(secs(at));
        for (node, _, holds) in &due {
            known.nodes.get_mut(node).expect("it is known").shown = Some(*holds);
        }
        due.into_iter().map(|(_, _, holds)| holds).collect()
    }

    #[test]
    fn a_node_on_which_nothing_happened_for_long_enough_is_consolidatable() {
        let quiet = Quiet::default();
        let disruption = Disruption { consolidate_after: Some(Span::secs(10)), ..Disruption::default() };
        let pool = NodePool {
            name: "a".into(),
            weight: 0,
            template: Default::default(),
            disruption,
            limits: Default::default(),
            replicas: None,
            hash: "1".into(),
            ready: true,
        };
        quiet.saw_pool(&pool);
        let node = json!({"metadata": {
            "name": "n",
            "labels": {"karpenter.sh/nodepool": "a", "karpenter.sh/initialized": "true"},
            "ownerReferences": [{"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "c", "uid": "1"}],
        }});
        let node: Node = serde_json::from_value(node).expect("it is a node");
        quiet.saw_node(&node, secs(0));
        assert_eq!(due(&quiet, 9), [false]);
        assert_eq!(due(&quiet, 10), [true]);
        let facts = PodFacts {
            key: PodKey::new("default", "p"),
            uid: Uid(1),
            spec: Arc::new(PodSpec::default()),
            created: secs(0),
            phase: PodPhase::Bound,
            node: Some("n".into()),
            started: None,
            deletion_grace: None,
            claims: Vec::new(),
        };
        let pod = Pod { status: Some(Default::default()), ..Pod::default() };
        quiet.saw_pod(&pod, &facts, secs(11));
        assert_eq!(due(&quiet, 11), [false]);
        quiet.saw_pod(&pod, &facts, secs(20));
        assert_eq!(due(&quiet, 21), [true], "nothing happened by that");
        quiet.lost_pod(&facts.key, secs(30));
        assert_eq!(due(&quiet, 31), [false]);
        quiet.saw_pool(&NodePool { disruption: Disruption::default(), ..pool });
        assert_eq!(due(&quiet, 32).len(), usize::from(Disruption::default().consolidate_after.is_some()));
    }
}
