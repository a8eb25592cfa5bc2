//! What to simulate: the options of the command line, read and checked.
//!
//! **Invariant:** a value of [`Input`] is complete and valid. Nothing was written while it was read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use purser_api::{Located, Object};
use purser_engine::model::{NodeOverlay, NodePool, Span, Str, Time};
use purser_engine::overlay::{self, Overlay};
use purser_engine::settings::{FeatureGate, Settings};
use purser_instances::{NodeSettings, Site};
use purser_sim::manifests::read_manifests;
use purser_sim::{Faults, Scenario, day, trace};
use sha2::{Digest, Sha256};

use crate::cli::{FaultLevel, SimulateOptions};
use crate::tending::Keep;
use crate::{catalogue, gates};

/// The root volume of the nodes that run a trace, in bytes: the largest that EBS has, so that what the pods of a trace want of
/// local disk can be had on any type.
const TRACE_ROOT_VOLUME_BYTES: i64 = 16 << 40;

/// What to simulate.
pub(super) struct Input {
    /// A short name, for folders.
    pub(super) name: String,
    /// The log's origin; another input has another.
    pub(super) origin: String,
    /// From which the identity of the log is derived, so that the same input and seed give the same log.
    pub(super) identity: [u8; 32],
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) faults: Faults,
    pub(super) fault_level: FaultLevel,
    /// The controller's settings.
    pub(super) settings: Settings,
    /// Whether the journal is synced to disk with each batch, as in a cluster.
    pub(super) durable: bool,
    /// Where sealed segments are copied to.
    pub(super) archive: Option<PathBuf>,
    /// How much of the journal to keep.
    pub(super) keep: Option<Keep>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
    until: Option<Time>,
}

impl Input {
    /// Reads all that the options name.
    ///
    /// # Errors
    /// If a file cannot be read or something in it is not right; one line that says where.
    pub(super) fn read(options: &SimulateOptions) -> anyhow::Result<Self> {
        let kind = TraceKind::of(&options.trace)?;
        let site = match kind {
            TraceKind::Day | TraceKind::Manifests => Site::default(),
            TraceKind::Csv(_) => Site {
                settings: NodeSettings {
                    root_volume_bytes: TRACE_ROOT_VOLUME_BYTES,
                    ..NodeSettings::default()
                },
                ..Site::default()
            },
        };
        let types = catalogue::load(options.catalogue.as_deref(), &site)?
            .into_types()
            .into_iter()
            .map(Arc::new)
            .collect();
        let source = options.trace.display().to_string();
        let mut scenario = match &kind {
            TraceKind::Day => day::builtin_day_with(options.seed, types),
            TraceKind::Csv(text) => trace::csv(&source, text, types)?,
            TraceKind::Manifests => read_manifests(&options.trace, types, trace::EPOCH, options.seed)?,
        };
        if let Some(file) = &options.nodepools {
            (scenario.pools, scenario.overlays) = node_pools(file, scenario.overlays)?;
        }
        if scenario.pools.is_empty() {
            bail!("--trace {source}: there is no NodePool in it; give some with --nodepools FILE");
        }
        if let Some(archive) =
            options.archive.as_ref().filter(|archive| archive.exists() && !archive.is_dir())
        {
            bail!("--archive {}: this is a file: give a folder", archive.display());
        }
        let until = options.until.as_deref().map(|text| moment(text, scenario.start)).transpose()?;
        let faults = match options.faults {
            FaultLevel::None => Faults::none(),
            FaultLevel::Typical => Faults::typical(),
            FaultLevel::Hostile => Faults::hostile(),
        };
        let name = format!(
            "{}-seed{}",
            options.trace.file_stem().unwrap_or_default().to_string_lossy(),
            options.seed
        );
        let (feature_gates, mut warnings) = gates::read(&options.gates)?;
        if !feature_gates.has(FeatureGate::StaticCapacity)
            && let Some(pool) = scenario.pools.iter().find(|pool| pool.replicas.is_some())
        {
            bail!(
                "NodePool {}: spec.replicas: static NodePools are simulated with --feature-gates StaticCapacity=true: add it, or \
                 remove the field",
                pool.name
            );
        }
        let settings = Settings { feature_gates, ..options.policies.settings() };
        if settings.feature_gates.has(FeatureGate::NodeOverlay) {
            let overlays =
                scenario.overlays.iter().map(|(name, overlay)| Overlay::new(name, overlay)).collect();
            let conflicts = overlay::conflicts(overlays, &scenario.pools, &scenario.types);
            warnings.extend(conflicts.iter().map(ToString::to_string));
        }
        if settings.feature_gates.has(FeatureGate::CapacityBuffer) {
            warnings.append(&mut scenario.without_room);
        }
        let digest = digest(&scenario, &settings, options)?;
        let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            origin: format!("purser.dev/simulation/{short}"),
            name: name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_', "-"),
            identity: digest,
            scenario,
            seed: options.seed,
            faults,
            fault_level: options.faults,
            settings,
            durable: options.durable,
            archive: options.archive.clone(),
            warnings,
            keep: options.keep.as_deref().map(keep).transpose()?,
            until,
        })
    }

    /// When the run ends at the latest; at the end of time if only stillness ends it.
    pub(super) fn end(&self) -> Time {
        self.until.or(self.scenario.end).unwrap_or(Time(i64::MAX))
    }

    /// How long the run will be, as far as that is known.
    pub(super) fn length(&self) -> Option<Span> {
        let end = match self.end() {
            Time(i64::MAX) => self.scenario.last_arrival()?,
            end => end,
        };
        Some(end.since(self.scenario.start))
    }
}

/// Whether this names the built-in day, whatever lies in the folder.
fn is_built_in(trace: &Path) -> bool {
    trace.as_os_str() == "day"
}

enum TraceKind {
    Day,
    Csv(String),
    Manifests,
}

impl TraceKind {
    fn of(trace: &Path) -> anyhow::Result<Self> {
        if is_built_in(trace) {
            return Ok(Self::Day);
        }
        if !trace.exists() {
            bail!(
                "--trace {}: there is no such file or folder; give `day`, a CSV file or Kubernetes manifests",
                trace.display()
            );
        }
        if trace.extension().is_some_and(|extension| extension == "csv") {
            let text = std::fs::read_to_string(trace)
                .with_context(|| format!("--trace {}: cannot be read", trace.display()))?;
            return Ok(Self::Csv(text));
        }
        Ok(Self::Manifests)
    }
}

/// The NodePools of a file, and the NodeOverlays there are with those of it.
fn node_pools(file: &Path, mut overlays: Overlays) -> anyhow::Result<(Vec<Arc<NodePool>>, Overlays)> {
    if !file.exists() {
        bail!("--nodepools {}: there is no such file or folder", file.display());
    }
    let mut pools: Vec<Arc<NodePool>> = Vec::new();
    for Located { source, line, value } in purser_api::read_path(file)? {
        let twice = |object: String| {
            anyhow!("{source}: line {line}: {object}: there is another of this name: rename one of them")
        };
        match value {
            Object::NodePool(pool) => {
                if pools.iter().any(|other| other.name == pool.name) {
                    return Err(twice(format!("NodePool {}", pool.name)));
                }
                pools.push(Arc::new(pool));
            }
            Object::NodeOverlay(facts) => {
                let before = overlays.insert(facts.name.clone(), facts.overlay);
                if before.is_some() {
                    return Err(twice(format!("NodeOverlay {}", facts.name)));
                }
            }
            _ => {}
        }
    }
    if pools.is_empty() {
        bail!("--nodepools {}: there is no karpenter.sh/v1 NodePool in it", file.display());
    }
    Ok((pools, overlays))
}

/// NodeOverlays by name.
type Overlays = BTreeMap<Str, NodeOverlay>;

fn keep(text: &str) -> anyhow::Result<Keep> {
    match Keep::parse(text) {
        Some(keep) => Ok(keep),
        None => bail!("--keep {text:?}: neither an age such as 12h nor a number of records such as 100000"),
    }
}

/// A moment: RFC 3339, or so long after the start.
fn moment(text: &str, start: Time) -> anyhow::Result<Time> {
    let moment = match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(moment) => Time(moment.timestamp_micros()),
        Err(_) => match purser_api::parse_duration(text) {
            Some(span) => start + span,
            None => bail!(
                "--until {text:?}: neither a duration such as 6h30m or 20d nor a moment such as 2026-07-20T06:00:00Z"
            ),
        },
    };
    if moment <= start {
        bail!("--until {text:?}: {moment} is not after the start at {start}");
    }
    Ok(moment)
}

/// SHA-256 of everything that the run is a function of, but for when it ends.
fn digest(scenario: &Scenario, settings: &Settings, options: &SimulateOptions) -> anyhow::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut part = |name: &str, bytes: &[u8]| {
        hash.update(name.as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part("seed", &options.seed.to_le_bytes());
    part("faults", options.faults.as_str().as_bytes());
    part(
        "scenario",
        format!("{:?} {:?} {:?}", scenario.name, scenario.pools, scenario.types.len()).as_bytes(),
    );
    // A run with the settings that everybody has is the run that it always was.
    if *settings != Settings::default() {
        part("settings", format!("{settings:?}").as_bytes());
    }
    let trace = Some(&options.trace).filter(|trace| !is_built_in(trace));
    for path in [trace, options.nodepools.as_ref(), options.catalogue.as_ref()].into_iter().flatten() {
        let files = if path.is_dir() { purser_api::manifest_files(path)? } else { vec![path.clone()] };
        for file in files {
            let bytes =
                std::fs::read(&file).with_context(|| format!("{}: cannot be read", file.display()))?;
            part("file", &bytes);
        }
    }
    Ok(hash.finalize().into())
}
