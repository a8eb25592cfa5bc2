//! The options of `run`, checked and made into what the parts of it take.
//!
//! **Invariant:** what cannot be meant is an error that names the flag and the remedy; what has no effect is said.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use hyper::header::{HeaderValue, USER_AGENT};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use purser_api::scheduler_config;
use purser_cluster::{LeaseSettings, Rate, own_namespace};
use purser_engine::model::Span;
use purser_engine::settings::Settings;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::cli::{Election, LogFormat, Logging, RunOptions};
use crate::gates;

/// Who a replica is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The name of its pod, or of its machine.
    pub(super) instance: String,
    /// The same with something that no other start has.
    holder: String,
}

impl Identity {
    pub(super) fn own() -> anyhow::Result<Self> {
        let instance = std::env::var("HOSTNAME").ok().filter(|name| !name.is_empty());
        let instance = instance
            .or_else(|| rustix::system::uname().nodename().to_str().ok().map(str::to_owned))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "purser".to_owned());
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|error| anyhow!("there are no random numbers: {error}"))?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let holder =
            format!("{instance}_{}", [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-"));
        Ok(Self { instance, holder })
    }
}

/// What decisions depend on.
pub(super) fn settings(options: &RunOptions) -> anyhow::Result<Settings> {
    for (flag, variable, why) in options.ignored.set() {
        tracing::warn!("--{flag} ({variable}) has no effect: {why}");
    }
    let (feature_gates, warnings) = gates::read(&options.gates)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if options.batch_idle_duration > options.batch_max_duration {
        bail!(
            "--batch-idle-duration {} is longer than --batch-max-duration {}: it would never end a batch; lower it, or raise the other",
            options.batch_idle_duration,
            options.batch_max_duration
        );
    }
    let [metrics, health] = [options.metrics_port, options.health_probe_port];
    if metrics == health && metrics != 0 {
        bail!(
            "--metrics-port and --health-probe-port are both {metrics}: give one of them another port, or 0 for none"
        );
    }
    if options.kube_client_qps.is_nan() || options.kube_client_qps < 0.0 || options.kube_client_burst.is_nan()
    {
        bail!("--kube-client-qps and --kube-client-burst are numbers of zero or more");
    }
    if options.kube_client_qps > 0.0 && options.kube_client_burst < 1.0 {
        bail!("--kube-client-burst {}: no request could go out; give 1 or more", options.kube_client_burst);
    }
    let default_spread = scheduler_config(&options.scheduler_config)
        .map_err(|error| anyhow!("--scheduler-config (SCHEDULER_CONFIG): {error}"))?;
    Ok(Settings {
        default_spread,
        batch_idle: options.batch_idle_duration,
        batch_max: options.batch_max_duration,
        garbage_collect_after: options.garbage_collect_after,
        feature_gates,
        ..options.policies.settings()
    })
}

/// The Lease.
pub(super) fn lease(options: &Election, identity: &Identity) -> anyhow::Result<LeaseSettings> {
    let [duration, deadline, period] = [
        options.leader_election_lease_duration,
        options.leader_election_renew_deadline,
        options.leader_election_retry_period,
    ];
    if deadline >= duration {
        bail!(
            "--leader-election-renew-deadline {deadline} is not shorter than --leader-election-lease-duration {duration}: two replicas could act at once; lower it, or raise the other"
        );
    }
    if period >= deadline || period <= Span::ZERO {
        bail!(
            "--leader-election-retry-period {period} is not between 0 and --leader-election-renew-deadline {deadline}: the Lease would not be renewed in time"
        );
    }
    if duration < Span::secs(1) {
        bail!(
            "--leader-election-lease-duration {duration}: a Lease counts in whole seconds; give 1s or more"
        );
    }
    let given = Some(options.leader_election_namespace.clone()).filter(|namespace| !namespace.is_empty());
    let exact = |span: Span| Duration::from_micros(span.0.unsigned_abs());
    Ok(LeaseSettings {
        namespace: given.or_else(own_namespace).unwrap_or_else(|| "kube-system".to_owned()),
        name: options.leader_election_name.clone(),
        identity: identity.holder.clone(),
        duration: exact(duration),
        renew_deadline: exact(deadline),
        retry_period: exact(period),
    })
}

pub(super) fn rate(options: &RunOptions) -> Rate {
    Rate { qps: options.kube_client_qps, burst: options.kube_client_burst }
}

/// How the cluster is reached.
pub(super) async fn config(options: &RunOptions) -> anyhow::Result<Config> {
    let mut config = match &options.kubeconfig {
        Some(path) => {
            let kubeconfig =
                Kubeconfig::read_from(path).with_context(|| format!("--kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await.context("no cluster is configured: give --kubeconfig FILE")?,
    };
    // What managed fields and audit logs name as the one who wrote.
    let agent = HeaderValue::from_static(concat!("purser/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    Ok(config)
}

/// Begins to log.
pub(super) fn start_logging(options: &Logging) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => {
            EnvFilter::try_new(&filter).with_context(|| format!("RUST_LOG {filter:?}"))?
        }
        _ => EnvFilter::new(options.log_level.as_str()),
    };
    let writer = match options.log_output_paths.as_str() {
        "stdout" => BoxMakeWriter::new(std::io::stdout),
        _ => BoxMakeWriter::new(std::io::stderr),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let begun = match options.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
        }
    };
    begun.map_err(|error| anyhow!("{error}"))
}

/// How many bytes the files of a folder have.
pub(super) fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(more: &[&str]) -> RunOptions {
        let arguments = ["purser", "run", "--provider", "kwok", "--journal", "j"].iter().chain(more);
        let Command::Run(options) = Cli::parse_from(arguments).command else { panic!() };
        *options
    }

    #[test]
    fn the_settings_of_karpenter_are_taken() {
        let own = options(&["--feature-gates", "StaticCapacity=true", "--disable-leader-election"]);
        assert!(own.election.disable_leader_election.is_true());
        let settings = settings(&own).unwrap();
        assert!(settings.feature_gates.has(purser_engine::settings::FeatureGate::StaticCapacity));
        let without = options(&["--memory-limit", "-1", "--enable-profiling"]);
        let said: Vec<&str> = without.ignored.set().into_iter().map(|(flag, ..)| flag).collect();
        assert_eq!(said, ["memory-limit"]);
        assert!(own.ignore_dra_requests.is_true(), "as with Karpenter");
        assert!(!options(&["--ignore-dra-requests=false"]).ignore_dra_requests.is_true());
        let spread = "podTopologySpread: {defaultConstraints: [{maxSkew: 2, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}";
        let spread = super::settings(&options(&["--scheduler-config", spread])).unwrap().default_spread;
        assert_eq!((spread.len(), spread[0].max_skew), (1, 2));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let identity = Identity::own().unwrap();
        assert!(identity.holder.starts_with(&format!("{}_", identity.instance)));
        let refused = |more: &[&str]| {
            let options = options(more);
            settings(&options)
                .map(drop)
                .and(lease(&options.election, &identity).map(drop))
                .unwrap_err()
                .to_string()
        };
        assert!(
            refused(&["--metrics-port", "9000", "--health-probe-port", "9000"]).contains("--metrics-port")
        );
        assert!(refused(&["--batch-idle-duration", "5s"]).contains("--batch-max-duration"));
        assert!(refused(&["--leader-election-renew-deadline", "15s"]).contains("two replicas"));
        assert!(refused(&["--leader-election-retry-period", "10s"]).contains("in time"));
        assert!(refused(&["--kube-client-burst", "0"]).contains("--kube-client-burst"));
        assert!(
            refused(&["--scheduler-config", "{profiles: []}"])
                .contains("SCHEDULER_CONFIG): profiles: there is no")
        );
        assert!(settings(&options(&["--metrics-port", "0", "--health-probe-port", "0"])).is_ok());
    }
}
