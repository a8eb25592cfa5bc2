//! The settings on which decisions depend. They are in the log, so that a replay decides under those of the time.

use std::collections::BTreeSet;

use crate::model::{Span, TopologySpread};

/// Whether the preferences of pods count: preferred node affinity, preferred pod affinity, and spread with `ScheduleAnyway`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PreferencePolicy {
    /// As requirements, until they cannot be met.
    #[default]
    Respect,
    /// Not at all.
    Ignore,
}

/// Whether the `minValues` of requirements can be let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum MinValuesPolicy {
    /// Never.
    #[default]
    Strict,
    /// Where nothing can be launched otherwise.
    BestEffort,
}

/// Something that is switched on or off as a whole. The names are Karpenter's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeatureGate {
    /// Nodes that are unhealthy are replaced.
    NodeRepair,
    /// Capacity that was reserved is used.
    ReservedCapacity,
    /// Spot instances are replaced by cheaper spot instances.
    SpotToSpotConsolidation,
    /// NodeOverlays count.
    NodeOverlay,
    /// NodePools with replicas have their nodes.
    StaticCapacity,
    /// CapacityBuffers are kept free.
    CapacityBuffer,
}

impl FeatureGate {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::NodeRepair,
        Self::ReservedCapacity,
        Self::SpotToSpotConsolidation,
        Self::NodeOverlay,
        Self::StaticCapacity,
        Self::CapacityBuffer,
    ];

    /// As Karpenter's settings name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NodeRepair => "NodeRepair",
            Self::ReservedCapacity => "ReservedCapacity",
            Self::SpotToSpotConsolidation => "SpotToSpotConsolidation",
            Self::NodeOverlay => "NodeOverlay",
            Self::StaticCapacity => "StaticCapacity",
            Self::CapacityBuffer => "CapacityBuffer",
        }
    }

    /// The gate of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gate| gate.as_str() == name)
    }
}

/// Which gates are open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureGates(pub BTreeSet<FeatureGate>);

impl Default for FeatureGates {
    /// Karpenter's.
    fn default() -> Self {
        Self(BTreeSet::from([FeatureGate::ReservedCapacity]))
    }
}

impl FeatureGates {
    /// Whether a gate is open.
    pub fn has(&self, gate: FeatureGate) -> bool {
        self.0.contains(&gate)
    }

    /// Opens or closes a gate.
    pub fn set(&mut self, gate: FeatureGate, open: bool) {
        if open {
            self.0.insert(gate);
        } else {
            self.0.remove(&gate);
        }
    }
}

/// Settings of the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Pending pods are looked at when none came for so long (Karpenter: `BATCH_IDLE_DURATION`).
    pub batch_idle: Span,
    /// ... or when the first has waited for so long (Karpenter: `BATCH_MAX_DURATION`).
    pub batch_max: Span,
    /// The most instance types in one launch.
    pub max_instance_types: u32,
    /// A claim without an instance after so long is given up.
    pub launch_timeout: Span,
    /// A claim without a node after so long is given up; a node that is not set up twice as long after it registered is passed over, and
    /// given up once nothing runs on it.
    pub registration_timeout: Span,
    /// An offering without capacity is not asked for again for so long.
    pub insufficient_capacity_ttl: Span,
    /// A launch of which nobody knows how it went is asked for again after so long, doubled each time.
    pub launch_retry: Span,
    /// A blocked eviction is tried again after so long, doubled each time up to a minute.
    pub eviction_retry: Span,
    /// A pod that was expected on a ready node and is still pending after so long is looked at again.
    pub nomination_window: Span,
    /// An instance without a claim is removed when it is so old.
    pub garbage_collect_after: Span,
    /// Whether the preferences of pods count (Karpenter: `PREFERENCE_POLICY`).
    pub preference_policy: PreferencePolicy,
    /// Whether `minValues` can be let go (Karpenter: `MIN_VALUES_POLICY`).
    pub min_values_policy: MinValuesPolicy,
    /// For pods that have no topology spread constraints of their own: the scheduler's `defaultConstraints`. Their selectors say
    /// nothing, since whoever applies them derives which pods are meant from what made the pod.
    pub default_spread: Vec<TopologySpread>,
    /// Which gates are open (Karpenter: `FEATURE_GATES`).
    pub feature_gates: FeatureGates,
    /// Pods of a lower priority use what is there, and nothing is launched for them (Cluster Autoscaler:
    /// `--expendable-pods-priority-cutoff`); `None` if none are so.
    pub expendable_below: Option<i32>,
}

impl Default for Settings {
    /// Karpenter's values where it has the setting.
    fn default() -> Self {
        Self {
            batch_idle: Span::secs(1),
            batch_max: Span::secs(10),
            max_instance_types: 60,
            launch_timeout: Span::mins(5),
            registration_timeout: Span::mins(15),
            insufficient_capacity_ttl: Span::mins(3),
            launch_retry: Span::secs(2),
            eviction_retry: Span::secs(1),
            nomination_window: Span::secs(20),
            garbage_collect_after: Span::secs(60),
            preference_policy: PreferencePolicy::Respect,
            min_values_policy: MinValuesPolicy::Strict,
            default_spread: Vec::new(),
            feature_gates: FeatureGates::default(),
            expendable_below: None,
        }
    }
}
