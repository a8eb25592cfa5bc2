//! The settings of a scenario, under Karpenter's names.
//!
//! **Invariant:** a setting that is not there has Karpenter's default.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use purser_engine::model::{Labels, Str, TopologySpread};
use purser_engine::settings::FeatureGates;
pub use purser_engine::settings::{FeatureGate, MinValuesPolicy, PreferencePolicy};
use serde::Deserialize;
use serde_json::Value;

use super::lenient::{Reading, decode_leniently};
use crate::error::{At, FieldError};
use crate::pod::spread_constraints;
use crate::volume::Unsupported;

/// The settings of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioSettings {
    /// Whether preferences of pods count.
    pub preference_policy: PreferencePolicy,
    /// Whether `minValues` can be let go.
    pub min_values_policy: MinValuesPolicy,
    /// Whether pods with resource claims are left alone.
    pub ignore_dra_requests: bool,
    /// What is switched on.
    pub feature_gates: FeatureGates,
    /// Pods of a lower priority use what is there, and nothing is launched for them.
    pub expendable_below: Option<i32>,
    /// The most instance types in one launch.
    pub max_instance_types: u32,
    /// For pods that have no topology spread constraints of their own.
    pub default_spread: Vec<TopologySpread>,
    /// Labels that the provider declares well known.
    pub well_known_labels: BTreeSet<Str>,
    /// The stable key for each alias.
    pub normalized_labels: BTreeMap<Str, Str>,
    /// The label that names a capacity reservation; empty if there is none.
    pub reservation_label: Str,
}

impl Default for ScenarioSettings {
    fn default() -> Self {
        Self {
            preference_policy: PreferencePolicy::default(),
            min_values_policy: MinValuesPolicy::default(),
            ignore_dra_requests: true,
            feature_gates: FeatureGates::default(),
            expendable_below: None,
            max_instance_types: purser_engine::settings::Settings::default().max_instance_types,
            default_spread: Vec::new(),
            well_known_labels: BTreeSet::new(),
            normalized_labels: BTreeMap::new(),
            reservation_label: "".into(),
        }
    }
}

#[derive(Deserialize)]
enum WrittenPreference {
    Respect,
    Ignore,
}

#[derive(Deserialize)]
enum WrittenMinValues {
    Strict,
    BestEffort,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    preference_policy: Option<WrittenPreference>,
    min_values_policy: Option<WrittenMinValues>,
    #[serde(rename = "ignoreDRARequests")]
    ignore_dra_requests: Option<bool>,
    #[serde(default)]
    feature_gates: BTreeMap<String, bool>,
    #[serde(rename = "expendablePodsPriorityCutoff")]
    expendable_below: Option<i32>,
    max_instance_types: Option<u32>,
    #[serde(default)]
    default_topology_spread_constraints: Vec<TopologySpreadConstraint>,
    #[serde(default)]
    well_known_labels: Vec<String>,
    #[serde(default)]
    normalized_labels: BTreeMap<String, String>,
    #[serde(rename = "reservationIDLabel")]
    reservation_label: Option<String>,
    #[serde(default)]
    unsupported_provisioners: Vec<String>,
    #[serde(default)]
    unsupported_topology_keys: Vec<String>,
}

/// What is said of the name of a gate that is none.
pub const NO_SUCH_GATE: &str = "there is no such feature gate, so it was passed over";

/// Reads the settings, and with them which volumes no node can have.
pub(super) fn read(
    reading: &mut Reading<'_>,
    value: &Value,
) -> Result<(ScenarioSettings, Unsupported), FieldError> {
    let at = At::ROOT.field("settings");
    let written: Written = decode_leniently(reading, value).map_err(|error| below(&at, error))?;
    let default = ScenarioSettings::default();
    let max_instance_types = written.max_instance_types.unwrap_or(default.max_instance_types);
    if max_instance_types == 0 {
        return Err(at.field("maxInstanceTypes").error("0 types are none to launch", "write 1 or more"));
    }
    let all = |texts: Vec<String>| texts.into_iter().map(Str::from).collect::<BTreeSet<Str>>();
    let unsupported = Unsupported {
        drivers: all(written.unsupported_provisioners),
        topology_keys: all(written.unsupported_topology_keys),
    };
    let mut feature_gates = default.feature_gates;
    for (name, open) in &written.feature_gates {
        match FeatureGate::parse(name) {
            Some(gate) => feature_gates.set(gate, *open),
            None => reading.warn(&format!("{at}.featureGates.{name}: {NO_SUCH_GATE}")),
        }
    }
    let settings = ScenarioSettings {
        preference_policy: written.preference_policy.map_or(default.preference_policy, Into::into),
        min_values_policy: written.min_values_policy.map_or(default.min_values_policy, Into::into),
        ignore_dra_requests: written.ignore_dra_requests.unwrap_or(default.ignore_dra_requests),
        feature_gates,
        expendable_below: written.expendable_below,
        max_instance_types,
        default_spread: spread_constraints(
            &at,
            &written.default_topology_spread_constraints,
            &Labels::new(),
        )?,
        well_known_labels: all(written.well_known_labels),
        normalized_labels: written
            .normalized_labels
            .into_iter()
            .map(|(alias, key)| (alias.into(), key.into()))
            .collect(),
        reservation_label: written.reservation_label.unwrap_or_default().into(),
    };
    Ok((settings, unsupported))
}

impl From<WrittenPreference> for PreferencePolicy {
    fn from(written: WrittenPreference) -> Self {
        match written {
            WrittenPreference::Respect => Self::Respect,
            WrittenPreference::Ignore => Self::Ignore,
        }
    }
}

impl From<WrittenMinValues> for MinValuesPolicy {
    fn from(written: WrittenMinValues) -> Self {
        match written {
            WrittenMinValues::Strict => Self::Strict,
            WrittenMinValues::BestEffort => Self::BestEffort,
        }
    }
}

/// An error about a part, as one about the whole.
pub(super) fn below(at: &At<'_>, error: FieldError) -> FieldError {
    let path = match error.path.as_str() {
        "" => at.to_string(),
        bracketed if bracketed.starts_with('[') => format!("{at}{bracketed}"),
        path => format!("{at}.{path}"),
    };
    FieldError { path, ..error }
}
