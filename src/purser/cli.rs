//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use purser_engine::settings::{self, Settings};

#[cfg(feature = "cluster")]
mod run;

#[cfg(feature = "cluster")]
pub use run::{Boolean, Election, Ignored, LogFormat, LogLevel, Logging, Provider, RunOptions};

/// A node autoscaler for Kubernetes on AWS that keeps a ship's log.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller on a simulated cluster and cloud.
    Simulate(SimulateOptions),
    /// Say where the pods of one scheduling problem go, and what the new nodes cost.
    Solve(SolveOptions),
    /// Show the instance types that there are: labels, capacity, overhead, allocatable, offerings with prices.
    Catalogue(CatalogueOptions),
    /// Print the CustomResourceDefinitions to install in a cluster, as YAML documents.
    Crds(CrdsOptions),
    /// Run the controller in a cluster.
    #[cfg(feature = "cluster")]
    Run(Box<RunOptions>),
}

/// How strictly pods and NodePools are taken at their word.
#[derive(Debug, Clone, Copy, Args)]
pub struct Policies {
    /// Whether the preferences of pods count.
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        env = "PREFERENCE_POLICY",
        value_name = "POLICY",
        default_value_t
    )]
    pub preference_policy: PreferencePolicy,
    /// Whether `minValues` of NodePools can be let go.
    #[arg(
        long,
        value_enum,
        ignore_case = true,
        env = "MIN_VALUES_POLICY",
        value_name = "POLICY",
        default_value_t
    )]
    pub min_values_policy: MinValuesPolicy,
    /// Pods of a lower priority use what is there, and nothing is launched for them.
    #[arg(
        long,
        env = "EXPENDABLE_PODS_PRIORITY_CUTOFF",
        value_name = "PRIORITY",
        allow_hyphen_values = true
    )]
    pub expendable_pods_priority_cutoff: Option<i32>,
}

impl Policies {
    /// The settings with these policies, and with nothing else said.
    pub fn settings(&self) -> Settings {
        Settings {
            preference_policy: self.preference_policy.into(),
            min_values_policy: self.min_values_policy.into(),
            expendable_below: self.expendable_pods_priority_cutoff,
            ..Settings::default()
        }
    }
}

/// What is switched on or off.
#[derive(Debug, Clone, Args)]
pub struct Gates {
    /// What is switched on or off, such as NodeOverlay=true,CapacityBuffer=true. The gates are Karpenter's.
    #[arg(long, env = "FEATURE_GATES", value_name = "GATE=BOOL,...", default_value = "")]
    pub feature_gates: String,
}

/// Which CustomResourceDefinitions.
#[derive(Debug, Args)]
pub struct CrdsOptions {
    /// Only this one, such as `nodepools.karpenter.sh` or `nodepools`.
    pub name: Option<String>,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// How much goes wrong in a simulated world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FaultLevel {
    /// Nothing but what the scenario itself has.
    None,
    /// What a good week brings.
    #[default]
    Typical,
    /// What a bad one brings.
    Hostile,
}

impl FaultLevel {
    /// As on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Typical => "typical",
            Self::Hostile => "hostile",
        }
    }
}

/// Whether the preferences of pods count. The values are Karpenter's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PreferencePolicy {
    /// As requirements, until they cannot be met.
    #[default]
    #[value(name = "Respect")]
    Respect,
    /// Not at all.
    #[value(name = "Ignore")]
    Ignore,
}

impl From<PreferencePolicy> for settings::PreferencePolicy {
    fn from(policy: PreferencePolicy) -> Self {
        match policy {
            PreferencePolicy::Respect => Self::Respect,
            PreferencePolicy::Ignore => Self::Ignore,
        }
    }
}

/// Whether `minValues` can be let go. The values are Karpenter's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum MinValuesPolicy {
    /// Never.
    #[default]
    #[value(name = "Strict")]
    Strict,
    /// Where nothing can be launched otherwise.
    #[value(name = "BestEffort")]
    BestEffort,
}

impl From<MinValuesPolicy> for settings::MinValuesPolicy {
    fn from(policy: MinValuesPolicy) -> Self {
        match policy {
            MinValuesPolicy::Strict => Self::Strict,
            MinValuesPolicy::BestEffort => Self::BestEffort,
        }
    }
}

/// Options of `simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateOptions {
    /// What happens: `day` (the built-in day), a CSV file in the layout of the openb or dlrm traces, or a file or folder of
    /// Kubernetes manifests, such as the output of
    /// `kubectl get nodes,pods,deployments,statefulsets,daemonsets,jobs,pdb,nodepools,ns,pvc,pv,storageclasses,csinodes -A -o json`.
    #[arg(long, default_value = "day", value_name = "TRACE")]
    pub trace: PathBuf,
    /// NodePools to use: ordinary karpenter.sh/v1 manifests, in place of the trace's own.
    #[arg(long, value_name = "FILE")]
    pub nodepools: Option<PathBuf>,
    /// Instance types to use: a CSV or JSON file, in place of the built-in catalogue.
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// Everything that is left to chance follows from it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// When to stop: a duration from the start such as 6h, or a moment such as 2026-07-20T06:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// How much goes wrong.
    #[arg(long, value_enum, default_value_t)]
    pub faults: FaultLevel,
    /// How strictly pods and NodePools are taken at their word.
    #[command(flatten)]
    pub policies: Policies,
    /// What is switched on or off.
    #[command(flatten)]
    pub gates: Gates,
    /// Where the journal goes; a new folder below ./purser-journal if not given.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// Where sealed segments of the journal are copied to: a folder of their own.
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// How much of the journal to keep, in simulated time such as 12h or in records such as 100000; older segments are deleted,
    /// with --archive once their copies are there.
    #[arg(long, value_name = "AGE|RECORDS")]
    pub keep: Option<String>,
    /// Go on with the journal of a run that was stopped.
    #[arg(long, requires = "journal")]
    pub resume: bool,
    /// Write and sync the journal with each batch, as in a cluster. Without it a run that is killed goes on from some steps before.
    #[arg(long)]
    pub durable: bool,
    /// Run against the wall clock, so many simulated seconds a second.
    #[arg(long, value_name = "SPEED", value_parser = clap::value_parser!(u32).range(1..))]
    pub pace: Option<u32>,
    /// How the summary is shown.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Options of `catalogue`.
#[derive(Debug, Clone, Args)]
pub struct CatalogueOptions {
    /// Instance types to show: a CSV or JSON file, in place of the built-in catalogue.
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// Only types whose name begins so.
    #[arg(long, value_name = "PREFIX")]
    pub name: Option<String>,
    /// How it is shown.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Options of `solve`.
#[derive(Debug, Clone, Args)]
pub struct SolveOptions {
    /// The problem: a scenario in JSON, or a file or folder of Kubernetes manifests, such as the output of
    /// `kubectl get -A -o json`.
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,
    /// Instance types to use: a CSV or JSON file, in place of the scenario's own; manifests have the built-in catalogue without it.
    #[arg(long, value_name = "FILE")]
    pub catalogue: Option<PathBuf>,
    /// Say what was looked at for one pod, as NAMESPACE/NAME, in place of the result.
    #[arg(long, value_name = "POD")]
    pub explain: Option<String>,
    /// Work out what any result that places these pods costs at least.
    #[arg(long)]
    pub bound: bool,
    /// How the result is shown.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}
