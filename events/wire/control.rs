//! The kinds of control records: numbers from 1.
//!
//! Invariant: an entry with a released schema is never edited (see [`wire`](super)).

use purser_engine::event::Control;

use super::scalar::TimeV1;
use super::settings::{SettingsV1, SettingsV2, SettingsV3};

/// These settings are in force, of those that there were first.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SettingsChangedV1 {
    pub(crate) settings: SettingsV1,
}

impl From<SettingsChangedV1> for SettingsChangedV2 {
    fn from(SettingsChangedV1 { settings }: SettingsChangedV1) -> Self {
        Self { settings: settings.into() }
    }
}

/// These settings are in force, of those that there were before feature gates.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct SettingsChangedV2 {
    pub(crate) settings: SettingsV2,
}

impl From<SettingsChangedV2> for SettingsChangedV3 {
    fn from(SettingsChangedV2 { settings }: SettingsChangedV2) -> Self {
        Self { settings: settings.into() }
    }
}

kinds! { Control as Control;
    /// A log began; the first record of every log.
    1 "log-started" LogStarted => LogStartedV1 @ 1 { origin: String, predecessor: Option<String>, reason: String }

    /// A controller took up its work.
    2 "controller-started" ControllerStarted => ControllerStartedV1 @ 1 { version: String, instance: String, term: u64 }

    /// A controller ended in good order.
    3 "controller-stopped" ControllerStopped => ControllerStoppedV1 @ 1 { reason: String }

    /// A replica became the one that acts.
    4 "leadership-acquired" LeadershipAcquired => LeadershipAcquiredV1 @ 1 { term: u64, holder: String }

    /// A replica is no longer the one that acts.
    5 "leadership-lost" LeadershipLost => LeadershipLostV1 @ 1 { term: u64, reason: String }

    /// The end of the log was damaged; what was lost is named.
    6 "journal-recovered" JournalRecovered => JournalRecoveredV1 @ 1 { kept: u64, acknowledged: u64, detail: String }

    /// Records could not be written for a while; what was seen meanwhile follows.
    7 "journal-resumed" JournalResumed => JournalResumedV1 @ 1 { stalled_since: TimeV1, waiting: u64 }

    /// Old records were let go.
    8 "retention-applied" RetentionApplied => RetentionAppliedV1 @ 1 { first_kept: u64, archived: bool }

    /// Nothing happened, and the log was there to see it.
    9 "heartbeat" Heartbeat => HeartbeatV1 @ 1 {}

    /// These settings are in force from now on.
    10 "settings-changed" SettingsChanged
        => SettingsChangedV3 @ 3,
        older [SettingsChangedV1 @ 1 => SettingsChangedV2, SettingsChangedV2 @ 2 => SettingsChangedV3] {
            settings: SettingsV3,
        }

    /// Somebody told the controller to do something.
    11 "operator-command" OperatorCommand => OperatorCommandV1 @ 1 { actor: String, command: String, reason: String }

    /// The world was listed in full; what differed from the log is in the records before.
    12 "relisted" Relisted => RelistedV1 @ 1 { listed: u64, changed: u64 }

    /// A moment came for which something waited.
    13 "time-passed" TimePassed => TimePassedV1 @ 1 {}
}
