//! `purser run`: the controller in a cluster.
//!
//! **Invariant:** the cluster's side and the controller share nothing but channels; the controller has a thread to itself, since it
//! blocks while its journal syncs.

mod clock;
mod log;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::Namespace;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use purser_cluster::kwok::{self, Instances, Kubelet, Kwok};
use purser_cluster::{Executor, Now, Pools, Watches};
use purser_engine::controller::{Controller, Start};
use purser_engine::port::{InstanceFacts, Observation};
use purser_engine::settings::Settings;
use purser_engine::state::State;
use tokio::sync::mpsc;

use self::clock::WallClock;
use crate::cli::RunOptions;
use crate::gates::feature_gates;
use crate::runtime::{Clock, Message};
use crate::tending::{self, Tending};

/// Room in the channels.
const CHANNEL: usize = 1_024;

/// Instances are listed so often, to find those that are gone and those that are nobody's.
const INSTANCES_EVERY: Duration = Duration::from_secs(10);

/// Runs until it is told to stop.
///
/// # Errors
/// If the cluster or the journal cannot be used.
pub fn run(options: &RunOptions) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_in_cluster(options))
}

async fn run_in_cluster(options: &RunOptions) -> anyhow::Result<()> {
    let (feature_gates, warnings) = feature_gates(&options.feature_gates)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let settings = Settings {
        feature_gates,
        batch_idle: options.batch_idle_duration,
        batch_max: options.batch_max_duration,
        preference_policy: options.policies.preference_policy.into(),
        min_values_policy: options.policies.min_values_policy.into(),
        garbage_collect_after: options.garbage_collect_after,
        ..Settings::default()
    };
    let client = client(options).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces.get("kube-system").await.context("the cluster cannot be asked who it is")?;
    let cluster = system.metadata.uid.ok_or_else(|| anyhow!("the namespace kube-system has no UID"))?;
    let clock = WallClock;
    let log = log::open(&options.journal, &cluster, clock.now())?;
    let now: Now = Arc::new(move || clock.now());
    let pools = Pools::default();
    let (kubelet, kubelet_work) = Kubelet::new();
    tokio::spawn(kubelet_work.run(client.clone(), Arc::clone(&now)));
    let instances = Instances::default();
    let gates = &settings.feature_gates;
    let (mut watches, listed) =
        Watches::begin(&client, &pools, &kubelet, &instances, gates, Arc::clone(&now)).await?;
    // Before the log is compared with the world: an instance whose Node is still to come is not lost.
    tokio::spawn(pools.status().clone().run(client.clone(), Arc::clone(&now)));
    let provider = Kwok::new(client.clone(), pools, kubelet, instances.clone(), Arc::clone(&now));
    provider.resume();
    tracing::info!(objects = listed.len(), records = log.state.size, "the cluster is listed");

    let start = Start {
        version: env!("CARGO_PKG_VERSION").into(),
        instance: log.instance.as_str().into(),
        term: log.term,
        origin: log.origin.as_str().into(),
        predecessor: None,
        recovered: log.recovered,
        settings,
    };
    let at = clock.now().max(log.state.now);
    let world = world(&log.state, &instances, listed);
    let (controller, first) = Controller::start(log.journal, log.state, at, start, world)?;

    let (messages, inbox) = mpsc::channel(CHANNEL);
    let (orders, outbox) = mpsc::channel(CHANNEL);
    let executor = Executor::new(client, provider, watches.answers(), watches.statuses(), now);
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
    tokio::spawn(async move {
        let reason = signal().await;
        // A controller that is gone has stopped already.
        let _ = stop.send(Message::Stop(reason.to_owned())).await;
    });
    let thread = std::thread::spawn(move || {
        let report = |error: &anyhow::Error| tracing::error!("the journal cannot be tended: {error:#}");
        tending::drive(controller, first, clock, inbox, orders, Tending::new(None), report)
    });
    // Ends with the controller: nobody gives orders any more. What is under way is ordered again by the next start.
    executor.run(outbox).await;
    let controller = thread.join().map_err(|_| anyhow!("the controller's thread panicked"))??;
    log::close(controller)
}

async fn client(options: &RunOptions) -> anyhow::Result<Client> {
    let config = match &options.kubeconfig {
        Some(path) => {
            let kubeconfig =
                Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await.context("no cluster is configured: give --kubeconfig FILE")?,
    };
    Ok(Client::try_from(config)?)
}

/// The list of the world, with the instances of the log that are still there, or still to come.
///
/// Those that the log does not know come with the next list of instances, when it is known whose they are.
fn world(state: &State, instances: &Instances, listed: Vec<Observation>) -> Vec<Observation> {
    let is_known = |facts: &InstanceFacts| {
        let claim = facts.claim.as_ref().is_some_and(|claim| state.claims.contains_key(claim));
        claim || state.is_claimed(&facts.instance)
    };
    let known = instances.list().into_iter().filter(is_known).map(Observation::Instance);
    kwok::catalogue().into_iter().chain(known).chain(listed).collect()
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
