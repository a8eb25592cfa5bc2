//! The controller's settings.
//!
//! Invariant: the open gates are in the order of their codes, each once.

use std::collections::BTreeSet;

use purser_engine::settings::{FeatureGate, FeatureGates, Settings};
use serde::{Deserialize, Serialize};

use super::code::{FeatureGateCode, MinValuesCode, PreferenceCode};
use super::convert::{Reject, Wire, strictly_ascending};
use super::pod::TopologySpreadV1;

frozen! {
    /// All settings on which decisions depend.
    SettingsV3 = Settings {
        batch_idle_us: i64 = batch_idle,
        batch_max_us: i64 = batch_max,
        max_instance_types: u32,
        launch_timeout_us: i64 = launch_timeout,
        registration_timeout_us: i64 = registration_timeout,
        insufficient_capacity_ttl_us: i64 = insufficient_capacity_ttl,
        launch_retry_us: i64 = launch_retry,
        eviction_retry_us: i64 = eviction_retry,
        nomination_window_us: i64 = nomination_window,
        garbage_collect_after_us: i64 = garbage_collect_after,
        preference_policy: PreferenceCode,
        min_values_policy: MinValuesCode,
        default_spread: Vec<TopologySpreadV1>,
        feature_gates: FeatureGatesV1,
        expendable_below: Option<i32>,
    }
}

/// The gates that are open.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FeatureGatesV1(pub(crate) Vec<FeatureGateCode>);

impl Wire<FeatureGates> for FeatureGatesV1 {
    fn from_domain(domain: &FeatureGates) -> Self {
        let mut codes: Vec<FeatureGateCode> = domain.0.iter().map(Wire::from_domain).collect();
        codes.sort_unstable();
        Self(codes)
    }

    fn into_domain(self) -> Result<FeatureGates, Reject> {
        if !strictly_ascending(&self.0) {
            return Err(Reject::new("the gates are not in order"));
        }
        let gates: Result<BTreeSet<FeatureGate>, Reject> =
            self.0.into_iter().map(Wire::into_domain).collect();
        gates.map(FeatureGates)
    }
}

/// All settings on which decisions depended when there were no feature gates.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SettingsV2 {
    pub(crate) batch_idle_us: i64,
    pub(crate) batch_max_us: i64,
    pub(crate) max_instance_types: u32,
    pub(crate) launch_timeout_us: i64,
    pub(crate) registration_timeout_us: i64,
    pub(crate) insufficient_capacity_ttl_us: i64,
    pub(crate) launch_retry_us: i64,
    pub(crate) eviction_retry_us: i64,
    pub(crate) nomination_window_us: i64,
    pub(crate) garbage_collect_after_us: i64,
    pub(crate) preference_policy: PreferenceCode,
    pub(crate) min_values_policy: MinValuesCode,
    pub(crate) default_spread: Vec<TopologySpreadV1>,
}

/// Karpenter's defaults for what is new.
impl From<SettingsV2> for SettingsV3 {
    fn from(old: SettingsV2) -> Self {
        Self {
            batch_idle_us: old.batch_idle_us,
            batch_max_us: old.batch_max_us,
            max_instance_types: old.max_instance_types,
            launch_timeout_us: old.launch_timeout_us,
            registration_timeout_us: old.registration_timeout_us,
            insufficient_capacity_ttl_us: old.insufficient_capacity_ttl_us,
            launch_retry_us: old.launch_retry_us,
            eviction_retry_us: old.eviction_retry_us,
            nomination_window_us: old.nomination_window_us,
            garbage_collect_after_us: old.garbage_collect_after_us,
            preference_policy: old.preference_policy,
            min_values_policy: old.min_values_policy,
            default_spread: old.default_spread,
            feature_gates: FeatureGatesV1(vec![FeatureGateCode::ReservedCapacity]),
            expendable_below: None,
        }
    }
}

/// All settings on which decisions depended when preferences, `minValues` and default spread constraints did not count.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SettingsV1 {
    pub(crate) batch_idle_us: i64,
    pub(crate) batch_max_us: i64,
    pub(crate) max_instance_types: u32,
    pub(crate) launch_timeout_us: i64,
    pub(crate) registration_timeout_us: i64,
    pub(crate) insufficient_capacity_ttl_us: i64,
    pub(crate) launch_retry_us: i64,
    pub(crate) eviction_retry_us: i64,
    pub(crate) nomination_window_us: i64,
    pub(crate) garbage_collect_after_us: i64,
}

/// Karpenter's defaults for what is new.
impl From<SettingsV1> for SettingsV2 {
    fn from(old: SettingsV1) -> Self {
        Self {
            batch_idle_us: old.batch_idle_us,
            batch_max_us: old.batch_max_us,
            max_instance_types: old.max_instance_types,
            launch_timeout_us: old.launch_timeout_us,
            registration_timeout_us: old.registration_timeout_us,
            insufficient_capacity_ttl_us: old.insufficient_capacity_ttl_us,
            launch_retry_us: old.launch_retry_us,
            eviction_retry_us: old.eviction_retry_us,
            nomination_window_us: old.nomination_window_us,
            garbage_collect_after_us: old.garbage_collect_after_us,
            preference_policy: PreferenceCode::Respect,
            min_values_policy: MinValuesCode::Strict,
            default_spread: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_that_are_there_twice_are_refused() {
        let twice = FeatureGatesV1(vec![FeatureGateCode::NodeOverlay; 2]);
        assert!(twice.into_domain().is_err());
        assert_eq!(FeatureGatesV1(Vec::new()).into_domain(), Ok(FeatureGates(BTreeSet::new())));
    }
}
