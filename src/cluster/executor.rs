//! Carries orders out.
//!
//! **Invariant:** orders about one claim are carried out one after the other, in the order in which they were given. An order that
//! can still succeed is tried until it does; the controller asks for nothing twice but launches and evictions.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use purser_engine::event::{LaunchFailure, Seq};
use purser_engine::model::{ClaimName, DisruptionReason, InstanceId, NodeName};
use purser_engine::port::{Effect, Input, Observation, Order};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Now;
use crate::claim::{Claims, Progress, Shown};
use crate::error::ClusterError;
use crate::evict::{Way, evict};
use crate::kwok::{Kwok, node_of};
use crate::node::Nodes;
use crate::status::Statuses;
use crate::watch::Answers;

/// The pause before an order is tried again, doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The condition of a claim that is removed of our own accord.
const DISRUPTION_REASON: &str = "DisruptionReason";

/// Lanes are looked through for those that are done when there are so many more.
const LANES: usize = 256;

/// Carries orders out in a cluster, with a provider for the instances.
#[derive(Clone)]
pub struct Executor {
    client: Client,
    claims: Claims,
    nodes: Nodes,
    provider: Arc<Kwok>,
    answers: Answers,
    statuses: Statuses,
    now: Now,
}

impl Executor {
    /// An executor that tells what comes of its effects.
    pub fn new(client: Client, provider: Kwok, answers: Answers, statuses: Statuses, now: Now) -> Self {
        Self {
            claims: Claims::new(client.clone()),
            nodes: Nodes::new(client.clone()),
            client,
            provider: Arc::new(provider),
            answers,
            statuses,
            now,
        }
    }

    /// Takes orders until there will be no more.
    pub async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut lanes: HashMap<ClaimName, JoinHandle<()>> = HashMap::new();
        let mut sweep_at = LANES;
        while let Some(order) = orders.recv().await {
            if let Effect::Notice(notice) = &order.effect {
                // In the order in which they come, and at once.
                self.statuses.take(notice);
                continue;
            }
            let executor = self.clone();
            let Some(claim) = claim_of(&order.effect).cloned() else {
                tokio::spawn(async move { executor.carry_out(order).await });
                continue;
            };
            let before = lanes.remove(&claim);
            let lane = tokio::spawn(async move {
                if let Some(before) = before {
                    // However it ended, it is this one's turn.
                    let _ = before.await;
                }
                executor.carry_out(order).await;
            });
            lanes.insert(claim, lane);
            if lanes.len() > sweep_at {
                lanes.retain(|_, lane| !lane.is_finished());
                sweep_at = lanes.len() + LANES;
            }
        }
    }

    async fn carry_out(&self, order: Order) {
        let mut pause = PAUSE;
        loop {
            match self.attempt(&order).await {
                Ok(observations) => {
                    for observation in observations {
                        self.answer(order.decision, observation).await;
                    }
                    return;
                }
                Err(error) if error.may_pass() || is_final(&order.effect) => {
                    tracing::warn!(decision = order.decision.0, "is tried again: {error}");
                    self.tell_of_delay(&order, &error).await;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    tracing::warn!(decision = order.decision.0, "cannot be carried out: {error}");
                    if let Some(claim) = claim_of(&order.effect).cloned() {
                        let message = error.to_string();
                        if matches!(&order.effect, Effect::Launch(_)) {
                            // Should that fail too, the claim is taken over by the next start, and runs into its time-out.
                            let _ = self.claims.remove(claim.as_str()).await;
                        }
                        let failed = match &order.effect {
                            Effect::Launch(_) => Observation::LaunchFailed(
                                claim,
                                LaunchFailure::Rejected { message: message.into() },
                            ),
                            _ => Observation::EffectFailed(claim, message.into()),
                        };
                        self.answer(order.decision, failed).await;
                    }
                    return;
                }
            }
        }
    }

    /// Says of a launch that does not come about why, where people look for it.
    async fn tell_of_delay(&self, order: &Order, error: &ClusterError) {
        let Effect::Launch(request) = &order.effect else { return };
        let progress = Progress::NotLaunched { message: &error.to_string() };
        // What cannot be written now is in the log of this process.
        let _ = self.claims.progress(&request.claim, (self.now)(), &progress).await;
    }

    async fn answer(&self, decision: Seq, observation: Observation) {
        // Orders that go out again after a restart may name no record.
        let cause = Some(decision).filter(|decision| *decision != Seq(0));
        self.answers.tell(Input { observation, cause }).await;
    }

    async fn attempt(&self, order: &Order) -> Result<Vec<Observation>, ClusterError> {
        match &order.effect {
            Effect::Adopt { claim, hash } => {
                self.claims.adopt(claim.as_str(), hash).await?;
                Ok(Vec::new())
            }
            Effect::Launch(request) => {
                let answer = self.provider.launch(request, order.decision).await?;
                if let Observation::LaunchFailed(claim, failure) = &answer
                    && !matches!(failure, LaunchFailure::Unknown { .. })
                {
                    // Whoever made it sees that it cannot be had.
                    self.claims.remove(claim.as_str()).await?;
                }
                Ok(vec![answer])
            }
            Effect::Register { claim, node } => {
                let Some(object) = self.claims.get(claim.as_str()).await? else { return Ok(Vec::new()) };
                // The mark that is taken from the node at last says to the next start that all of it is done.
                let progress = Progress::Registered { node: node.as_str() };
                self.claims.progress(claim, (self.now)(), &progress).await?;
                self.nodes.register(node.as_str(), &object).await?;
                Ok(Vec::new())
            }
            Effect::Initialize { claim, node } => {
                // The node first: whoever waits for the claim to be ready looks at the node next.
                if self.nodes.initialize(node.as_str()).await? {
                    self.claims.progress(claim, (self.now)(), &Progress::Initialized).await?;
                }
                Ok(Vec::new())
            }
            Effect::Taint { claim, node, reason } => {
                let done = self.nodes.mark(node.as_str(), true).await?;
                if let Some(reason) = voluntary(*reason) {
                    let shown = Shown { kind: DISRUPTION_REASON, says: Some(("True", reason)) };
                    self.claims.show(claim.as_str(), (self.now)(), &[shown]).await?;
                }
                Ok(done.then(|| Observation::Tainted(claim.clone())).into_iter().collect())
            }
            Effect::Drain { claim, deadline } => {
                let node = self.claims.begin_removal(claim.as_str(), *deadline, (self.now)()).await?;
                if let Some(node) = node.filter(|node| !node.is_empty()) {
                    self.nodes.unbalance(&node).await?;
                }
                Ok(Vec::new())
            }
            Effect::Untaint { claim, node } => {
                self.nodes.mark(node.as_str(), false).await?;
                let gone = [Shown::gone(DISRUPTION_REASON)];
                self.claims.show(claim.as_str(), (self.now)(), &gone).await?;
                Ok(Vec::new())
            }
            Effect::Evict { pod, uid, force, deadline } => {
                let way = match force {
                    true => Way::By(deadline.map(|deadline| deadline.since((self.now)()))),
                    false => Way::Asked,
                };
                Ok(evict(&self.client, pod, *uid, way).await?.into_iter().collect())
            }
            Effect::Terminate { claim, instance, node } => {
                let of_instance = instance.as_ref().and_then(node_of);
                let own = node.as_ref().map(NodeName::as_str).or(of_instance);
                let names: BTreeSet<&str> = own.into_iter().chain([claim.as_str()]).collect();
                let names: Vec<&str> = names.into_iter().collect();
                self.provider.give_up(&names);
                let done = ["Drained", "VolumesDetached", "InstanceTerminating"].map(Shown::holds);
                self.claims.show(claim.as_str(), (self.now)(), &done).await?;
                for name in names {
                    self.nodes.remove(name).await?;
                }
                self.claims.remove(claim.as_str()).await?;
                Ok(instance.iter().cloned().map(Observation::NoInstance).collect())
            }
            Effect::Collect { instance } => {
                if let Some(name) = node_of(instance) {
                    self.provider.give_up(&[name]);
                    self.nodes.remove(name).await?;
                }
                Ok(vec![Observation::NoInstance(InstanceId::new(instance.as_str()))])
            }
            Effect::Notice(notice) => {
                self.statuses.take(notice);
                Ok(Vec::new())
            }
        }
    }
}

/// Why a node is disrupted, where it is so of our own accord.
fn voluntary(reason: DisruptionReason) -> Option<&'static str> {
    match reason {
        DisruptionReason::Empty => Some("Empty"),
        DisruptionReason::Underutilized => Some("Underutilized"),
        DisruptionReason::Drifted => Some("Drifted"),
        _ => None,
    }
}

/// Whether nobody would see to it if this were given up.
fn is_final(effect: &Effect) -> bool {
    matches!(effect, Effect::Terminate { .. } | Effect::Collect { .. })
}

fn claim_of(effect: &Effect) -> Option<&ClaimName> {
    match effect {
        Effect::Launch(request) => Some(&request.claim),
        Effect::Register { claim, .. }
        | Effect::Initialize { claim, .. }
        | Effect::Taint { claim, .. }
        | Effect::Untaint { claim, .. }
        | Effect::Adopt { claim, .. }
        | Effect::Drain { claim, .. }
        | Effect::Terminate { claim, .. } => Some(claim),
        Effect::Evict { .. } | Effect::Collect { .. } | Effect::Notice(_) => None,
    }
}
