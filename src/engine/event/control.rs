//! What the log says of itself and of the controller that writes it.
//!
//! **Invariant:** none of it is about the world.

use crate::model::{Str, Time};
use crate::settings::Settings;

/// About the log and the controller themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// The first record of every log.
    LogStarted {
        /// Whose log it is.
        origin: Str,
        /// The last checkpoint of the log before this one, if one is known.
        predecessor: Option<Str>,
        /// Why a log was begun.
        reason: Str,
    },
    /// A controller took up its work; what it knows of the world is to be listed anew.
    ControllerStarted {
        /// The program's version.
        version: Str,
        /// Which replica.
        instance: Str,
        /// The fencing term.
        term: u64,
    },
    /// A controller ended in good order.
    ControllerStopped {
        /// Why.
        reason: Str,
    },
    /// A replica became the one that acts.
    LeadershipAcquired {
        /// The fencing term.
        term: u64,
        /// Which replica.
        holder: Str,
    },
    /// A replica is no longer the one that acts.
    LeadershipLost {
        /// The fencing term that ended.
        term: u64,
        /// Why.
        reason: Str,
    },
    /// The end of the log was damaged; what was lost is named.
    JournalRecovered {
        /// Records kept.
        kept: u64,
        /// Records acknowledged before the damage.
        acknowledged: u64,
        /// What was found.
        detail: Str,
    },
    /// Records could not be written for a while; what was seen meanwhile follows.
    JournalResumed {
        /// Since when.
        stalled_since: Time,
        /// Observations that waited.
        waiting: u64,
    },
    /// Old records were let go.
    RetentionApplied {
        /// The first record kept.
        first_kept: u64,
        /// Whether the others are in an archive.
        archived: bool,
    },
    /// Nothing happened, and the log was there to see it.
    Heartbeat,
    /// The settings in force from now on.
    SettingsChanged {
        /// All of them.
        settings: Settings,
    },
    /// Somebody told the controller to do something.
    OperatorCommand {
        /// Who.
        actor: Str,
        /// What.
        command: Str,
        /// Why.
        reason: Str,
    },
    /// The world was listed in full; what differed from the log is in the records before.
    Relisted {
        /// Objects and instances listed.
        listed: u64,
        /// Of which were news.
        changed: u64,
    },
    /// A moment came for which something waited.
    TimePassed,
}
