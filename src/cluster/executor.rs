//! Carries orders out.
//!
//! **Invariant:** orders about one claim are carried out one after the other, in the order in which they were given. An order is tried until it
//! succeeds, and only a launch is given up that is refused; one that is refused lets the next about its claim pass.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Client;
use purser_engine::event::{LaunchFailure, Seq};
use purser_engine::model::{ClaimName, DisruptionReason, InstanceId, NodeName};
use purser_engine::port::{Effect, Input, Observation, Order};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::Now;
use crate::claim::{Claims, DRAINED, Progress, Shown};
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

/// The condition of a claim whose node has no volumes any more that others wait for.
const DETACHED: &str = "VolumesDetached";

/// Lanes are looked through for those that are done when there are so many more.
const LANES: usize = 256;

/// The orders about one claim that are not done yet.
#[derive(Default)]
struct Lane {
    turns: Vec<Arc<Turn>>,
    last: Option<JoinHandle<()>>,
}

/// One of them.
struct Turn {
    effect: Effect,
    /// Whether it was done, or given up.
    is_over: AtomicBool,
    /// Somebody is behind.
    next: Notify,
}

impl Lane {
    /// Whether an order changes nothing, since what it says is about to be done: the controller orders these again as long as it does
    /// not see them done.
    fn has(&mut self, effect: &Effect) -> bool {
        self.turns.retain(|turn| !turn.is_over.load(Ordering::Acquire));
        matches!(effect, Effect::Register { .. } | Effect::Initialize { .. })
            && self.turns.iter().any(|turn| turn.effect == *effect)
    }

    fn push(&mut self, executor: Executor, order: Order) {
        let turn = Arc::new(Turn {
            effect: order.effect.clone(),
            is_over: AtomicBool::new(false),
            next: Notify::new(),
        });
        if let Some(before) = self.turns.last() {
            before.next.notify_one();
        }
        self.turns.push(Arc::clone(&turn));
        let before = self.last.take();
        self.last = Some(tokio::spawn(async move {
            if let Some(before) = before {
                // However it ended, it is this one's turn.
                let _ = before.await;
            }
            executor.carry_out(order, &turn.next).await;
            turn.is_over.store(true, Ordering::Release);
        }));
    }

    fn is_done(&self) -> bool {
        self.last.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

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
        let mut lanes: HashMap<ClaimName, Lane> = HashMap::new();
        let mut sweep_at = LANES;
        while let Some(order) = orders.recv().await {
            if let Effect::Notice(notice) = &order.effect {
                // In the order in which they come, and at once.
                self.statuses.take(notice);
                continue;
            }
            let executor = self.clone();
            let Some(claim) = claim_of(&order.effect).cloned() else {
                tokio::spawn(async move { executor.carry_out(order, &Notify::new()).await });
                continue;
            };
            let lane = lanes.entry(claim).or_default();
            if !lane.has(&order.effect) {
                lane.push(executor, order);
            }
            if lanes.len() > sweep_at {
                lanes.retain(|_, lane| !lane.is_done());
                sweep_at = lanes.len() + LANES;
            }
        }
    }

    async fn carry_out(&self, order: Order, next: &Notify) {
        let (mut pause, mut is_told) = (PAUSE, false);
        loop {
            let error = match self.attempt(&order).await {
                Ok(observations) => {
                    for observation in observations {
                        self.answer(order.decision, observation).await;
                    }
                    return;
                }
                Err(error) => error,
            };
            let lasts = !error.may_pass();
            match &order.effect {
                Effect::Launch(request) if lasts => {
                    return self.refused(&request.claim, order.decision, &error).await;
                }
                _ => tracing::warn!(decision = order.decision.0, "is tried again: {error}"),
            }
            self.tell_of_delay(&order, &error).await;
            if lasts
                && !std::mem::replace(&mut is_told, true)
                && let Some(claim) = claim_of(&order.effect).cloned()
            {
                let failed = Observation::EffectFailed(claim, error.to_string().into());
                self.answer(order.decision, failed).await;
            }
            // Whoever may not do it yet may be allowed to later. What comes after it does not wait for that.
            tokio::select! {
                () = next.notified(), if lasts && !is_final(&order.effect) => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// A launch that cannot be had.
    async fn refused(&self, claim: &ClaimName, decision: Seq, error: &ClusterError) {
        tracing::warn!(decision = decision.0, "cannot be launched: {error}");
        // Should that fail too, the claim is taken over by the next start, and runs into its time-out.
        let _ = self.claims.remove(claim.as_str()).await;
        let failure = LaunchFailure::Rejected { message: error.to_string().into() };
        self.answer(decision, Observation::LaunchFailed(claim.clone(), failure)).await;
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
            Effect::AwaitDetachment { claim } => {
                let waits = Shown { kind: DETACHED, says: Some(("Unknown", "AwaitingVolumeDetachment")) };
                self.claims.show(claim.as_str(), (self.now)(), &[Shown::holds(DRAINED), waits]).await?;
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
            Effect::Terminate { claim, instance, node, attached } => {
                let of_instance = instance.as_ref().and_then(node_of);
                let own = node.as_ref().map(NodeName::as_str).or(of_instance);
                let names: BTreeSet<&str> = own.into_iter().chain([claim.as_str()]).collect();
                let names: Vec<&str> = names.into_iter().collect();
                self.provider.give_up(&names);
                let detached = match attached {
                    0 => Shown::holds(DETACHED),
                    _ => Shown { kind: DETACHED, says: Some(("False", "TerminationGracePeriodElapsed")) },
                };
                let done = [Shown::holds(DRAINED), detached, Shown::holds("InstanceTerminating")];
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
        | Effect::AwaitDetachment { claim }
        | Effect::Terminate { claim, .. } => Some(claim),
        Effect::Evict { .. } | Effect::Collect { .. } | Effect::Notice(_) => None,
    }
}
