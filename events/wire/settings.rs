//! The controller's settings.
//!
//! Invariant: none beyond that of frozen structs.

use purser_engine::settings::Settings;
use serde::{Deserialize, Serialize};

use super::code::{MinValuesCode, PreferenceCode};
use super::pod::TopologySpreadV1;

frozen! {
    /// All settings on which decisions depend.
    SettingsV2 = Settings {
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
