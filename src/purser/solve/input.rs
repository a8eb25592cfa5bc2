//! What to solve: a scenario in JSON, or Kubernetes manifests with a catalogue.
//!
//! **Invariant:** what comes out is complete: instance types are there, or there is an error that says how to give them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use purser_api::scenario::{
    Catalogues, Scenario, ScenarioPod, ScenarioType, Written, of_manifests, read_scenario,
};
use purser_api::{ApiError, FieldError, WorkloadKind, read_texts};
use purser_engine::model::{PodFacts, PodKey, PodPhase, Uid};
use purser_instances::Site;
use serde_json::Value;

use super::catalogue_files;
use crate::catalogue;
use crate::cli::SolveOptions;

/// Reads the problem, with warnings about what was passed over.
pub(super) fn read(options: &SolveOptions) -> anyhow::Result<(Scenario, Vec<String>)> {
    let path = &options.scenario;
    if !path.exists() {
        bail!("{}: there is no such file or folder; give a scenario or Kubernetes manifests", path.display());
    }
    let mut is_scenario = true;
    let text = text(path)?;
    let (mut scenario, warnings, has_types) = match text.as_deref().and_then(Written::find) {
        Some(written) => {
            let find = |name: &str| catalogue_of(path, name);
            let find: &Catalogues<'_> = &find;
            let (scenario, warnings) = read_scenario(&path.display().to_string(), &written, find)?;
            (scenario, warnings, options.catalogue.is_some() || written.names_types())
        }
        None => {
            let (mut scenario, warnings) = of_manifests(&read_texts(path)?)?;
            expand_workloads(&mut scenario);
            scenario.name = path.display().to_string().into();
            is_scenario = false;
            (scenario, warnings, true)
        }
    };
    if options.catalogue.is_some() || !is_scenario {
        let types = catalogue::load(options.catalogue.as_deref(), &Site::default())?.into_types();
        scenario.types = Arc::new(ScenarioType::all(&types));
        scenario.types_by_pool.clear();
    }
    if !has_types {
        bail!(
            "{}: there are no instance types in it; add instanceTypes or instanceTypesRef, or give --catalogue FILE",
            path.display()
        );
    }
    Ok((scenario, warnings))
}

/// The text of a file that may be a scenario.
fn text(path: &Path) -> anyhow::Result<Option<String>> {
    if path.is_dir() {
        return Ok(None);
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    Ok(text.trim_start().starts_with('{').then_some(text))
}

/// Reads a catalogue that a scenario names.
fn catalogue_of(scenario: &Path, name: &str) -> Result<Arc<Value>, ApiError> {
    let wrong = |file: &Path, problem: String, remedy: &str| ApiError {
        source_name: file.display().to_string(),
        line: 0,
        object: String::new(),
        field: Box::new(FieldError { path: String::new(), problem, remedy: remedy.to_owned() }),
    };
    let files = catalogue_files(scenario, name);
    let Some(file) = files.iter().find(|file| file.exists()) else {
        let problem = format!("there is no catalogue {name:?}");
        let remedy = format!("put it at {}", files[0].display());
        return Err(wrong(scenario, problem, &remedy));
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong(file, format!("cannot be read: {error}"), "check its permissions"))?;
    let value = serde_json::from_str(&text)
        .map_err(|error| wrong(file, format!("this is not JSON: {error}"), "correct the text"))?;
    Ok(Arc::new(value))
}

/// Adds the pods that workloads make and that are not there yet. What another controller made is that one's to scale.
fn expand_workloads(scenario: &mut Scenario) {
    let there: BTreeSet<PodKey> = scenario.pods.iter().map(|pod| pod.facts.key.clone()).collect();
    let mut made = Vec::new();
    for workload in &scenario.workloads {
        if workload.kind == WorkloadKind::CronJob || workload.owned {
            continue;
        }
        let of_template = |pod: &&ScenarioPod| {
            let labels = &workload.template.labels;
            pod.facts.key.namespace == workload.namespace
                && !labels.is_empty()
                && labels.iter().all(|(key, value)| pod.facts.spec.labels.get(key) == Some(value))
        };
        let running = scenario.pods.iter().filter(of_template).count();
        for number in running..workload.replicas as usize {
            let key = PodKey::new(workload.namespace.clone(), format!("{}-{number}", workload.name));
            if there.contains(&key) {
                continue;
            }
            made.push(ScenarioPod {
                controller: None,
                facts: PodFacts {
                    key,
                    uid: Uid(0),
                    spec: Arc::clone(&workload.template),
                    created: scenario.now,
                    phase: PodPhase::Pending,
                    node: None,
                    started: None,
                    deletion_grace: None,
                    claims: Vec::new(),
                },
                provisionable: true,
                ignored: None,
                deleting: false,
                started: None,
                daemon_set: None,
                claims: workload.claims.clone(),
            });
        }
    }
    scenario.pods.extend(made);
}
