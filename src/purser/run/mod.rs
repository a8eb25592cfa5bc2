//! `purser run`: the controller in a cluster.
//!
//! **Invariant:** the cluster's side and the controller share nothing but channels; the controller has a thread to itself, since it
//! blocks while its journal syncs. Nothing is written into the cluster but by the holder of the Lease, its Lease aside.

mod clock;
mod http;
mod lines;
mod log;
mod metrics;
mod notices;
mod observer;
mod options;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, Config};
use purser_cluster::kwok::{self, Instances, Kubelet, KubeletWork, Kwok};
use purser_cluster::{
    Election, Executor, Gate, Now, Outbox, Pools, Rate, Recorder, Said, Scope, Watches, Won,
};
use purser_engine::controller::{Controller, Start};
use purser_engine::model::{Span, Time};
use purser_engine::port::{InstanceFacts, Observation};
use purser_engine::state::State;
use purser_events::wire::EventLog;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::clock::WallClock;
use self::http::{Desk, Stage};
use self::metrics::{Detail, Metrics};
use self::observer::Observer;
use crate::cli::RunOptions;
use crate::runtime::{Channels, Clock, Message};
use crate::tending::{self, Tending};

/// Room in the channels.
const CHANNEL: usize = 1_024;

/// Instances are listed so often, to find those that are gone and those that are nobody's.
const INSTANCES_EVERY: Duration = Duration::from_secs(10);

/// The thread of the stand-in for kubelets.
const KUBELETS: &str = "kubelets";

/// How often the checkpoint in the Lease is brought up to date at most.
const CHECKPOINT_EVERY: Span = Span::secs(5);

/// How long a controller may take to end once its lease is lost.
const LAST_MOMENTS: Duration = Duration::from_secs(10);

/// The Lease was lost: another replica may act, and this one has to begin anew.
#[derive(Debug, thiserror::Error)]
#[error("the lease was lost: {0}")]
pub struct LeaseLost(String);

/// Runs until it is told to stop.
///
/// # Errors
/// If the cluster or the journal cannot be used, or the Lease was lost ([`LeaseLost`]).
pub fn run(options: &RunOptions) -> anyhow::Result<()> {
    options::start_logging(&options.logging)?;
    // Two threads, so that however much there is to watch and to write, the Lease is renewed in time.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(run_in_cluster(options));
    // What is still under way is ordered again by the next start.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

/// What all parts of a replica share.
struct Replica {
    options: RunOptions,
    identity: options::Identity,
    clock: WallClock,
    now: Now,
    gate: Gate,
    metrics: Arc<Metrics>,
    outbox: Outbox,
    desk: Arc<Desk>,
    stop: watch::Receiver<Option<String>>,
}

async fn run_in_cluster(options: &RunOptions) -> anyhow::Result<()> {
    let settings = options::settings(options)?;
    let metrics = http::listen(options.metrics_port, "--metrics-port").await?;
    let health = http::listen(options.health_probe_port, "--health-probe-port").await?;
    let clock = WallClock::start();
    let detail = Detail {
        nodes: !options.disable_cluster_state_observability.is_true(),
        pods: options.pod_metrics.is_true(),
    };
    let own = Arc::new(Metrics::new("kwok", detail)?);
    let outbox = Outbox::default();
    let desk = Arc::new(Desk::new(clock.clone(), Arc::clone(&own), outbox.clone()));
    for listener in [metrics, health].into_iter().flatten() {
        tokio::spawn(http::serve(listener, Arc::clone(&desk)));
    }
    let gate =
        if options.election.disable_leader_election.is_true() { Gate::always() } else { Gate::closed() };
    let mut replica = Replica {
        options: options.clone(),
        identity: options::Identity::own()?,
        now: Arc::new({
            let clock = clock.clone();
            move || clock.now()
        }),
        clock,
        gate,
        metrics: own,
        outbox,
        desk,
        stop: stopping(),
    };
    let config = options::config(options).await?;
    let Some(mut leadership) = replica.lead(&config).await? else { return Ok(()) };
    let ended = replica.act(config, settings, &mut leadership).await;
    replica.desk.ends();
    match &ended {
        Err(error) if error.is::<LeaseLost>() => {}
        _ => leadership.release().await,
    }
    ended
}

/// The Lease, held.
struct Leadership {
    won: Won,
    holder: Option<String>,
    election: Option<Arc<Election>>,
    /// Says why it ended.
    keeping: JoinHandle<String>,
    said: watch::Sender<Said>,
}

impl Leadership {
    /// Acting without a Lease.
    fn without() -> Self {
        Self {
            won: Won { term: 0, checkpoint: None },
            holder: None,
            election: None,
            keeping: tokio::spawn(std::future::pending()),
            said: watch::Sender::default(),
        }
    }

    async fn release(&mut self) {
        self.keeping.abort();
        if let Some(election) = self.election.take() {
            let said = self.said.borrow().clone();
            election.release(&said).await;
        }
    }
}

impl Replica {
    /// Waits for the Lease; nothing if it is told to stop before.
    async fn lead(&mut self, config: &Config) -> anyhow::Result<Option<Leadership>> {
        if self.options.election.disable_leader_election.is_true() {
            tracing::warn!("there is no leader election: nothing keeps another replica from acting too");
            return Ok(Some(Leadership::without()));
        }
        let settings = options::lease(&self.options.election, &self.identity)?;
        let holder = settings.identity.clone();
        // Its requests wait behind no others.
        let client = Client::try_from(config.clone())?;
        let election = Arc::new(Election::new(client, settings, self.gate.clone(), Arc::clone(&self.now)));
        let won = tokio::select! {
            won = election.win(|_| self.desk.stage(Stage::Waiting)) => won,
            _ = self.stop.wait_for(Option::is_some) => return Ok(None),
        };
        self.desk.stage(Stage::Starting);
        tracing::info!(term = won.term, holder, "became the leader");
        let said = Said { term: won.term, checkpoint: won.checkpoint.clone() };
        let (said, reads) = watch::channel(said);
        let keeping = tokio::spawn({
            let election = Arc::clone(&election);
            async move { election.keep(reads).await }
        });
        Ok(Some(Leadership { won, holder: Some(holder), election: Some(election), keeping, said }))
    }

    /// Lists the cluster, and runs the controller until it is told to stop or the Lease is lost.
    async fn act(
        &mut self,
        config: Config,
        settings: purser_engine::settings::Settings,
        leadership: &mut Leadership,
    ) -> anyhow::Result<()> {
        let clock = self.clock.clone();
        let now = Arc::clone(&self.now);
        let rate = options::rate(&self.options);
        let client = purser_cluster::client(config.clone(), &self.gate, rate)?;
        let log = self.open_log(&client, &leadership.won).await?;
        self.metrics.leads(Some(log.term));
        leadership.said.send_modify(|said| {
            said.term = log.term;
            said.checkpoint =
                (log.state.size > 0).then(|| log.journal.journal().checkpoint()).or(said.checkpoint.take());
        });
        clock.is_past(log.state.now);
        let pools = Pools::default();
        let (kubelet, kubelet_work) = Kubelet::new();
        stand_in_for_kubelets(kubelet_work, config, &self.gate, Arc::clone(&now))?;
        let instances = Instances::default();
        let devices = !self.options.ignore_dra_requests.is_true();
        let scope =
            Scope { gates: &settings.feature_gates, default_spread: &settings.default_spread, devices };
        let startups = self.metrics.startups();
        let begun = Watches::begin(&client, &pools, &kubelet, &instances, startups, scope, Arc::clone(&now));
        let (mut watches, listed) = tokio::select! {
            begun = begun => begun?,
            why = &mut leadership.keeping => return Err(LeaseLost(why?).into()),
            _ = self.stop.wait_for(Option::is_some) => return Ok(()),
        };
        // Before the log is compared with the world: an instance whose Node is still to come is not lost.
        tokio::spawn(pools.status().clone().run(client.clone(), Arc::clone(&now)));
        tokio::spawn(pools.quiet().clone().run(client.clone(), Arc::clone(&now)));
        let status = pools.status().clone();
        let provider = Kwok::new(client.clone(), pools, kubelet, instances.clone(), Arc::clone(&now));
        provider.resume();
        tracing::info!(objects = listed.len(), records = log.state.size, "the cluster is listed");

        let term = log.term;
        let start = Start {
            version: env!("CARGO_PKG_VERSION").into(),
            instance: self.identity.instance.as_str().into(),
            term,
            origin: log.origin.as_str().into(),
            predecessor: log.predecessor.as_deref().map(Into::into),
            recovered: log.recovered,
            elected: leadership.holder.as_deref().map(Into::into),
            settings,
        };
        let at = clock.now();
        let world = world(&log.state, &instances, listed);
        let witness = Box::new(Observer::new(Arc::clone(&self.metrics), self.outbox.clone(), status));
        let (controller, first) =
            Controller::start_before(witness, log.journal, log.state, at, start, world)?;

        let (messages, inbox) = mpsc::channel(CHANNEL);
        let (orders, outbox) = mpsc::channel(CHANNEL);
        let channels = Channels { messages: inbox, orders };
        let executor =
            Executor::new(client.clone(), provider, watches.answers(), watches.statuses(), Arc::clone(&now));
        let recorder = Recorder::new(client, self.outbox.clone(), &self.identity.instance, now);
        let telling = tokio::spawn(recorder.run());
        self.desk.controller(messages.clone());
        let stop = messages.clone();
        let listing = messages.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(INSTANCES_EVERY).await;
                if listing.send(Message::InstancesListed(instances.list())).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(async move {
            loop {
                let seen = watches.next().await;
                if messages.send(Message::Seen(seen)).await.is_err() {
                    return;
                }
            }
        });
        let after = self.after_each_step(leadership.said.clone());
        let (ended, mut thread_ends) = watch::channel(false);
        let thread = std::thread::spawn(move || {
            let report = |error: &anyhow::Error| tracing::error!("the journal cannot be tended: {error:#}");
            let driven =
                tending::drive(controller, first, clock, channels, Tending::new(None), report, after);
            ended.send_replace(true);
            driven
        });
        let executing = tokio::spawn(executor.run(outbox));
        let lost = self.until_the_end(leadership, &stop, term, &mut thread_ends).await;
        telling.abort();
        executing.abort();
        let controller = thread.join().map_err(|_| anyhow!("the controller's thread panicked"))??;
        let checkpoint = log::close(controller)?;
        leadership.said.send_modify(|said| said.checkpoint = Some(checkpoint));
        lost.map_or(Ok(()), |why| Err(LeaseLost(why).into()))
    }

    /// Waits until the controller has ended; says why the Lease was lost, if that is what ended it.
    async fn until_the_end(
        &mut self,
        leadership: &mut Leadership,
        messages: &mpsc::Sender<Message>,
        term: u64,
        thread_ends: &mut watch::Receiver<bool>,
    ) -> Option<String> {
        let lost = tokio::select! {
            why = &mut leadership.keeping => {
                Some(why.unwrap_or_else(|_| "nobody renews it any more".to_owned()))
            }
            _ = self.stop.wait_for(Option::is_some) => None,
            _ = thread_ends.wait_for(|ended| *ended) => return None,
        };
        self.desk.ends();
        self.metrics.leads(None);
        let message = match &lost {
            Some(reason) => {
                tracing::error!(term, "the lease was lost: {reason}");
                Message::Lost { term, reason: reason.clone() }
            }
            None => Message::Stop(self.stop.borrow().clone().unwrap_or_default()),
        };
        // A controller that is gone has stopped already.
        let ending = async {
            let _ = messages.send(message).await;
            let _ = thread_ends.wait_for(|ended| *ended).await;
        };
        match lost {
            None => ending.await,
            Some(_) if tokio::time::timeout(LAST_MOMENTS, ending).await.is_err() => {
                // Its journal may hang. Nothing that it orders goes out, and the next leader waits for the journal's lock.
                tracing::error!("the controller does not end in time");
                std::process::exit(1);
            }
            Some(_) => {}
        }
        lost
    }

    /// Opens the journal. The leader before may have it for a moment still.
    async fn open_log(&self, client: &Client, won: &Won) -> anyhow::Result<log::Log> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let system = namespaces.get("kube-system").await.context("the cluster cannot be asked who it is")?;
        let cluster = system.metadata.uid.ok_or_else(|| anyhow!("the namespace kube-system has no UID"))?;
        let claim = log::Claim {
            folder: &self.options.journal,
            cluster: &cluster,
            instance: &self.identity.instance,
            term: won.term,
            checkpoint: won.checkpoint.as_deref(),
        };
        let patience = if self.options.election.disable_leader_election.is_true() { 0 } else { 20 };
        for _ in 0..patience {
            match log::open(&claim, (self.now)()) {
                Err(error) if log::is_in_use(&error) => {
                    tracing::info!("waiting for the journal: {error:#}");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                opened => return opened,
            }
        }
        log::open(&claim, (self.now)())
    }

    /// What is told after each step: how the journal is, and its checkpoint to the Lease.
    fn after_each_step(
        &self,
        said: watch::Sender<Said>,
    ) -> impl FnMut(&Controller<EventLog>, Time) + Send + use<> {
        let (metrics, desk) = (Arc::clone(&self.metrics), Arc::clone(&self.desk));
        let (mut sealed_before, mut told, mut size_told) = (None, None::<Time>, 0);
        move |controller, now| {
            let journal = controller.journal().journal();
            let stalled = controller.stalled_since();
            let (size, sealed) = (journal.size(), journal.sealed_size());
            desk.stalled(stalled.is_some());
            metrics.journal(size, sealed, stalled.map_or(0.0, |since| now.since(since).as_secs_f64()));
            let newly = sealed_before != Some(sealed);
            if newly {
                sealed_before = Some(sealed);
                metrics.sealed(now.0 as f64 / 1_000_000.0, options::bytes_in(journal.dir()));
            }
            let due = told.is_none_or(|told| now.since(told) >= CHECKPOINT_EVERY);
            if size > size_told && (newly || due) {
                (told, size_told) = (Some(now), size);
                let checkpoint = journal.checkpoint();
                said.send_modify(|said| said.checkpoint = Some(checkpoint));
            }
        }
    }
}

/// Does the work of the kubelets. They would have machines and clients of their own: so what they do has a thread to itself, which does not
/// hold up the controller, and whose share of the time can be told from the controller's.
fn stand_in_for_kubelets(work: KubeletWork, config: Config, gate: &Gate, now: Now) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = {
        let _within = runtime.enter();
        purser_cluster::client(config, gate, Rate::UNLIMITED)?
    };
    let thread = std::thread::Builder::new().name(KUBELETS.into());
    // It ends with its work or with the process.
    thread.spawn(move || runtime.block_on(work.run(client, now)))?;
    Ok(())
}

/// The list of the world, with the instances of the log that are still there, or still to come.
///
/// Those that the log does not know come with the next list of instances, when it is known whose they are, and launches that
/// are asked for anew have been answered.
fn world(state: &State, instances: &Instances, listed: Vec<Observation>) -> Vec<Observation> {
    let is_known = |facts: &InstanceFacts| state.is_claimed(&facts.instance);
    let known = instances.list().into_iter().filter(is_known).map(Observation::Instance);
    kwok::catalogue().into_iter().chain(known).chain(listed).collect()
}

/// Says why to stop, once a signal came.
fn stopping() -> watch::Receiver<Option<String>> {
    let (says, stop) = watch::channel(None);
    tokio::spawn(async move {
        let reason = signal().await;
        says.send_replace(Some(reason.to_owned()));
        // A second one ends it at once.
        signal().await;
        std::process::exit(1);
    });
    stop
}

/// Waits for a signal to end.
async fn signal() -> &'static str {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = tokio::signal::ctrl_c() => "interrupted",
            };
        }
    }
    // Where signals cannot be waited for, there are none.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    "interrupted"
}
