//! Carries orders out.
//!
//! **Invariant:** orders about one claim are carried out one after the other, in the order in which they were given. An order that
//! can still succeed is tried until it does; the controller asks for nothing twice but launches and evictions.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use purser_engine::event::{LaunchFailure, Seq};
use purser_engine::model::{ClaimName, InstanceId};
use purser_engine::port::{Effect, Input, Observation, Order};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Now;
use crate::claim::{Claims, Progress};
use crate::error::ClusterError;
use crate::evict::{Way, evict};
use crate::kwok::Kwok;
use crate::node::Nodes;
use crate::watch::Answers;

/// The pause before an order is tried again, doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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
    now: Now,
}

impl Executor {
    /// An executor that tells what comes of its effects.
    pub fn new(client: Client, provider: Kwok, answers: Answers, now: Now) -> Self {
        Self {
            claims: Claims::new(client.clone()),
            nodes: Nodes::new(client.clone()),
            client,
            provider: Arc::new(provider),
            answers,
            now,
        }
    }

    /// Takes orders until there will be no more.
    pub async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let mut lanes: HashMap<ClaimName, JoinHandle<()>> = HashMap::new();
        let mut sweep_at = LANES;
        while let Some(order) = orders.recv().await {
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
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    tracing::warn!(decision = order.decision.0, "cannot be carried out: {error}");
                    if let Some(claim) = claim_of(&order.effect).cloned() {
                        let message = error.to_string();
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

    async fn answer(&self, decision: Seq, observation: Observation) {
        // Orders that go out again after a restart may name no record.
        let cause = Some(decision).filter(|decision| *decision != Seq(0));
        self.answers.tell(Input { observation, cause }).await;
    }

    async fn attempt(&self, order: &Order) -> Result<Vec<Observation>, ClusterError> {
        match &order.effect {
            Effect::Launch(request) => Ok(vec![self.provider.launch(request).await?]),
            Effect::Register { claim, node } => {
                let Some(object) = self.claims.get(claim.as_str()).await? else { return Ok(Vec::new()) };
                if self.nodes.register(node.as_str(), &object).await? {
                    let progress = Progress::Registered { node: node.as_str() };
                    self.claims.progress(claim, (self.now)(), &progress).await?;
                }
                Ok(Vec::new())
            }
            Effect::Initialize { claim, node } => {
                if self.nodes.initialize(node.as_str()).await? {
                    self.claims.progress(claim, (self.now)(), &Progress::Initialized).await?;
                }
                Ok(Vec::new())
            }
            Effect::Taint { claim, node } => {
                let done = self.nodes.mark(node.as_str(), true).await?;
                Ok(done.then(|| Observation::Tainted(claim.clone())).into_iter().collect())
            }
            Effect::Untaint { node, .. } => {
                self.nodes.mark(node.as_str(), false).await?;
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
                let node = node.as_ref().map_or(claim.as_str(), |node| node.as_str());
                self.nodes.remove(node).await?;
                self.claims.remove(claim.as_str()).await?;
                Ok(instance.iter().cloned().map(Observation::NoInstance).collect())
            }
            Effect::Collect { instance } => {
                if let Some(name) = Kwok::node_of(instance) {
                    self.nodes.remove(name).await?;
                }
                Ok(vec![Observation::NoInstance(InstanceId::new(instance.as_str()))])
            }
        }
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
        | Effect::Terminate { claim, .. } => Some(claim),
        Effect::Evict { .. } | Effect::Collect { .. } => None,
    }
}
