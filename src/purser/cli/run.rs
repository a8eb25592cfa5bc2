//! The options of `run`. Flags and names of the environment are Karpenter's where the setting is.
//!
//! **Invariant:** what Karpenter accepts is accepted, and what has no effect here is said.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use purser_engine::model::Span;

use super::{Gates, Policies};

/// Where instances come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Provider {
    /// Instances that are nothing but Node objects, with a stand-in for their kubelets.
    Kwok,
}

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Where instances come from.
    #[arg(long, value_enum, env = "PROVIDER")]
    pub provider: Provider,
    /// The folder of the journal: gone on with, or begun if there is none.
    #[arg(long, value_name = "DIR", env = "JOURNAL")]
    pub journal: PathBuf,
    /// The cluster; without it $KUBECONFIG, ~/.kube/config, or the cluster that this runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Nodes are launched once no pending pod came for so long.
    #[arg(
        long,
        env = "BATCH_IDLE_DURATION",
        value_name = "DURATION",
        default_value = "50ms",
        value_parser = positive
    )]
    pub batch_idle_duration: Span,
    /// ... or once the first of them has waited for so long.
    #[arg(
        long,
        env = "BATCH_MAX_DURATION",
        value_name = "DURATION",
        default_value = "1s",
        value_parser = positive
    )]
    pub batch_max_duration: Span,
    /// An instance without a NodeClaim is removed when it was seen for so long.
    #[arg(
        long,
        env = "GARBAGE_COLLECT_AFTER",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = positive
    )]
    pub garbage_collect_after: Span,
    /// How strictly pods and NodePools are taken at their word.
    #[command(flatten)]
    pub policies: Policies,
    /// What is switched on or off.
    #[command(flatten)]
    pub gates: Gates,
    /// Pods with resource claims are left alone; with `false` devices and claims on them are looked at, and such pods go where their devices are.
    #[arg(long, env = "IGNORE_DRA_REQUESTS", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value = "true", action = ArgAction::Set, value_enum)]
    pub ignore_dra_requests: Boolean,
    /// What is configured of the scheduler that counts here, as YAML or JSON: `podTopologySpread.defaultConstraints`.
    #[arg(
        long,
        env = "SCHEDULER_CONFIG",
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub scheduler_config: String,
    /// The port of /metrics; 0 for none.
    #[arg(long, env = "METRICS_PORT", value_name = "PORT", default_value_t = 8080)]
    pub metrics_port: u16,
    /// The port of /healthz and /readyz; 0 for none.
    #[arg(long, env = "HEALTH_PROBE_PORT", value_name = "PORT", default_value_t = 8081)]
    pub health_probe_port: u16,
    /// The most requests to the API server a second in the long run; 0 for no limit.
    #[arg(long, env = "KUBE_CLIENT_QPS", value_name = "NUMBER", default_value_t = 200.0)]
    pub kube_client_qps: f64,
    /// The most requests to the API server at once after a pause.
    #[arg(long, env = "KUBE_CLIENT_BURST", value_name = "NUMBER", default_value_t = 300.0)]
    pub kube_client_burst: f64,
    /// No metrics of single nodes.
    #[arg(long, env = "DISABLE_CLUSTER_STATE_OBSERVABILITY", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value_t, action = ArgAction::Set, value_enum)]
    pub disable_cluster_state_observability: Boolean,
    /// Metrics of single pods too (karpenter_pods_state): one series for each pod.
    #[arg(long, env = "POD_METRICS", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value_t, action = ArgAction::Set, value_enum)]
    pub pod_metrics: Boolean,
    /// Which of several replicas acts.
    #[command(flatten)]
    pub election: Election,
    /// What is logged, and how.
    #[command(flatten)]
    pub logging: Logging,
    /// What Karpenter has settings for, and this has no use for.
    #[command(flatten)]
    pub ignored: Ignored,
}

/// Which of several replicas acts.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Leader election")]
pub struct Election {
    /// Act without a Lease: only where nobody else does.
    #[arg(long, env = "DISABLE_LEADER_ELECTION", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", default_value_t, action = ArgAction::Set, value_enum)]
    pub disable_leader_election: Boolean,
    /// The name of the Lease.
    #[arg(
        long,
        env = "LEADER_ELECTION_NAME",
        value_name = "NAME",
        default_value = "karpenter-leader-election"
    )]
    pub leader_election_name: String,
    /// The namespace of the Lease; without it the pod's own, and outside of a cluster kube-system.
    #[arg(long, env = "LEADER_ELECTION_NAMESPACE", value_name = "NAMESPACE", default_value = "")]
    pub leader_election_namespace: String,
    /// Another replica may take a Lease that was not renewed for so long.
    #[arg(
        long,
        env = "LEADER_ELECTION_LEASE_DURATION",
        value_name = "DURATION",
        default_value = "15s",
        value_parser = positive
    )]
    pub leader_election_lease_duration: Span,
    /// A replica that could not renew its Lease for so long stops.
    #[arg(
        long,
        env = "LEADER_ELECTION_RENEW_DEADLINE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = positive
    )]
    pub leader_election_renew_deadline: Span,
    /// How often the Lease is renewed, and looked at by those that wait for it.
    #[arg(
        long,
        env = "LEADER_ELECTION_RETRY_PERIOD",
        value_name = "DURATION",
        default_value = "2s",
        value_parser = positive
    )]
    pub leader_election_retry_period: Span,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct Logging {
    /// How much is logged. $RUST_LOG, where it is set, says it in more detail.
    #[arg(
        long,
        value_enum,
        env = "LOG_LEVEL",
        value_name = "LEVEL",
        ignore_case = true,
        default_value = "info"
    )]
    pub log_level: LogLevel,
    /// Lines for people, or one JSON object each.
    #[arg(long, value_enum, env = "LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Where logs go: stdout or stderr.
    #[arg(long, env = "LOG_OUTPUT_PATHS", value_name = "PATH", default_value = "stderr",
        value_parser = ["stdout", "stderr"])]
    pub log_output_paths: String,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What is decided and what comes of it.
    Info,
    /// What ought to be looked at.
    Warn,
    /// What went wrong.
    Error,
}

impl LogLevel {
    /// As filters write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// On or off, as Karpenter writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Boolean {
    /// Off.
    #[default]
    #[value(name = "false")]
    False,
    /// On.
    #[value(name = "true")]
    True,
}

impl Boolean {
    /// Whether it is on.
    pub fn is_true(self) -> bool {
        self == Self::True
    }
}

macro_rules! ignored {
    ($($field:ident, $flag:literal, $env:literal, $why:literal;)*) => {
        /// Karpenter's settings without a meaning here: accepted, and said to have no effect, so that a deployment need not change.
        #[derive(Debug, Clone, Default, Args)]
        #[command(next_help_heading = "Accepted from Karpenter, without effect")]
        pub struct Ignored {
            $(
                #[doc = $why]
                #[arg(long = $flag, env = $env, value_name = "VALUE", num_args = 0..=1, default_missing_value = "",
                    allow_hyphen_values = true, hide_env = true)]
                pub $field: Option<String>,
            )*
        }

        impl Ignored {
            /// What was set: the flag, the name in the environment, and why it has no effect.
            pub fn set(&self) -> Vec<(&'static str, &'static str, &'static str)> {
                [$((&self.$field, $flag, $env, $why)),*]
                    .into_iter()
                    .filter(|(value, ..)| value.as_ref().is_some_and(|value| !value.is_empty()))
                    .map(|(_, flag, env, why)| (flag, env, why))
                    .collect()
            }
        }
    };
}

ignored! {
    karpenter_service, "karpenter-service", "KARPENTER_SERVICE", "There is no webhook.";
    enable_profiling, "enable-profiling", "ENABLE_PROFILING", "There is no profiler on the metrics port.";
    disable_controller_warmup, "disable-controller-warmup", "DISABLE_CONTROLLER_WARMUP", "The cluster is listed once the Lease is held.";
    memory_limit, "memory-limit", "MEMORY_LIMIT", "There is no garbage collector to tell.";
    cpu_requests, "cpu-requests", "CPU_REQUESTS", "One thread decides, whatever there is.";
    log_error_output_paths, "log-error-output-paths", "LOG_ERROR_OUTPUT_PATHS", "Errors go where the other lines go.";
    cluster_name, "cluster-name", "CLUSTER_NAME", "The cluster is known by the UID of its namespace kube-system.";
    cluster_endpoint, "cluster-endpoint", "CLUSTER_ENDPOINT", "It is of use on AWS only.";
    interruption_queue, "interruption-queue", "INTERRUPTION_QUEUE", "It is of use on AWS only.";
    isolated_vpc, "isolated-vpc", "ISOLATED_VPC", "It is of use on AWS only.";
    reserved_enis, "reserved-enis", "RESERVED_ENIS", "It is of use on AWS only.";
    vm_memory_overhead_percent, "vm-memory-overhead-percent", "VM_MEMORY_OVERHEAD_PERCENT", "It is of use on AWS only.";
    eks_control_plane, "eks-control-plane", "EKS_CONTROL_PLANE", "It is of use on AWS only.";
}

/// Reads a duration of zero or more.
fn positive(text: &str) -> Result<Span, String> {
    purser_api::parse_duration(text)
        .filter(|span| *span >= Span::ZERO)
        .ok_or_else(|| format!("{text:?} is no duration: write one such as 50ms or 1s"))
}
