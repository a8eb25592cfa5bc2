//! The controller's settings.
//!
//! Invariant: none beyond that of frozen structs.

use purser_engine::settings::Settings;

frozen! {
    /// All settings on which decisions depend.
    SettingsV1 = Settings {
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
    }
}
