//! What can go wrong in the simulated world, and how long things take when nothing does.
//!
//! **Invariant:** every knob works through keyed draws ([`crate::keyed`]), so that a fault strikes the same
//! claim, instance, pod or offering in every run with the same seed, whatever the controller does in between.

use purser_engine::model::Span;

use crate::keyed::{Delay, Rate};

/// Delays and faults. Begin with a preset and change what matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// From an order to the API server or the cloud until it takes effect there.
    pub api_latency: Span,
    /// From a change in the cluster until the scheduler has bound the pods that it helps.
    pub scheduler_latency: Span,
    /// From the request to launch until its answer. The instance starts half-way.
    pub launch: Delay,
    /// From the start of an instance until kubelet registers its Node.
    pub registration: Delay,
    /// From the Node until it is ready.
    pub readiness: Delay,
    /// From a ready node until something removes its startup taints.
    pub startup_taints: Delay,
    /// From the request to terminate until the instance is gone.
    pub shutdown: Delay,
    /// From the binding of a pod until it is ready.
    pub pod_start: Delay,
    /// From the deletion of a running pod until it is gone, where its grace period does not end sooner.
    pub pod_stop: Delay,

    /// Instances that never become a Node.
    pub never_registers: Rate,
    /// Nodes that never become ready.
    pub never_ready: Rate,
    /// Instances whose registration and readiness take [`Faults::late_factor`] times as long.
    pub late: Rate,
    /// How much later the late ones are.
    pub late_factor: u32,

    /// The share of the time in which a spot offering has no capacity.
    pub dry_spot: Rate,
    /// The share of the time in which an on-demand or reserved offering has no capacity.
    pub dry_on_demand: Rate,
    /// The share of the time in which nothing at all is to be had of a capacity type, wherever.
    pub drought: Rate,
    /// Capacity comes and goes in steps of so long, at moments that differ from offering to offering.
    pub dry_for: Span,

    /// Spot instances taken back in an hour, beyond [`crate::Scenario::spot_reclaims`], with two minutes'
    /// notice.
    pub reclaims: Rate,
    /// Instances of any kind that die in an hour, without notice: the Node goes not ready, then away.
    pub sudden_deaths: Rate,

    /// Launches answered with [`purser_engine::event::LaunchFailure::Unknown`], with nothing started.
    pub throttled: Rate,
    /// Launches answered with `Unknown` though the instance starts all the same, after
    /// [`Faults::late_start`].
    pub late_success: Rate,
    /// Launches answered with `Rejected` though the instance starts all the same, after
    /// [`Faults::late_start`].
    pub false_failure: Rate,
    /// From the request until the instance that nobody was told of starts.
    pub late_start: Delay,

    /// How long an instance is missing from lists after it started.
    pub unlisted: Delay,
    /// How long an instance is still listed after it is gone.
    pub lingering: Delay,

    /// Notifications about objects that are lost; the next list of the world repairs that.
    pub lost: Rate,
    /// Notifications that come a second time, after [`Faults::notification_delay`].
    pub duplicated: Rate,
    /// Notifications that come only after [`Faults::notification_delay`].
    pub delayed: Rate,
    /// How late notifications can be.
    pub notification_delay: Delay,

    /// Whether new nodes get names of nodes that are gone.
    pub reused_names: bool,
}

impl Faults {
    /// Nothing goes wrong; delays are those of a good day.
    pub fn none() -> Self {
        Self {
            api_latency: Span::millis(50),
            scheduler_latency: Span::millis(100),
            launch: Delay::millis([900, 1_600, 2_500, 4_000, 6_000]),
            registration: Delay::millis([18_000, 26_000, 36_000, 50_000, 60_000]),
            readiness: Delay::millis([3_000, 8_000, 14_000, 20_000, 30_000]),
            startup_taints: Delay::millis([1_000, 3_000, 6_000, 10_000, 15_000]),
            shutdown: Delay::millis([3_000, 12_000, 30_000, 60_000, 90_000]),
            pod_start: Delay::millis([1_000, 4_000, 12_000, 25_000, 40_000]),
            pod_stop: Delay::millis([500, 2_000, 10_000, 25_000, 60_000]),
            never_registers: Rate::NEVER,
            never_ready: Rate::NEVER,
            late: Rate::NEVER,
            late_factor: 8,
            dry_spot: Rate::NEVER,
            dry_on_demand: Rate::NEVER,
            drought: Rate::NEVER,
            dry_for: Span::mins(25),
            reclaims: Rate::NEVER,
            sudden_deaths: Rate::NEVER,
            throttled: Rate::NEVER,
            late_success: Rate::NEVER,
            false_failure: Rate::NEVER,
            late_start: Delay::millis([1_000, 15_000, 60_000, 200_000, 400_000]),
            unlisted: Delay::fixed(Span::ZERO),
            lingering: Delay::fixed(Span::ZERO),
            lost: Rate::NEVER,
            duplicated: Rate::NEVER,
            delayed: Rate::NEVER,
            notification_delay: Delay::millis([50, 500, 3_000, 15_000, 60_000]),
            reused_names: false,
        }
    }

    /// What a cluster of some size meets in an ordinary week.
    pub fn typical() -> Self {
        Self {
            never_registers: Rate(2_000),
            never_ready: Rate(1_000),
            late: Rate::percent(1),
            dry_spot: Rate::percent(6),
            dry_on_demand: Rate(3_000),
            drought: Rate(2_000),
            reclaims: Rate::percent(1),
            sudden_deaths: Rate(50),
            throttled: Rate::percent(1),
            late_success: Rate(1_000),
            unlisted: Delay::millis([0, 300, 1_500, 4_000, 10_000]),
            lingering: Delay::millis([0, 2_000, 20_000, 60_000, 120_000]),
            lost: Rate(100),
            duplicated: Rate(2_000),
            delayed: Rate(5_000),
            ..Self::none()
        }
    }

    /// Everything at once, and often: for finding what breaks, not for measuring.
    pub fn hostile() -> Self {
        Self {
            launch: Delay::millis([900, 3_000, 20_000, 90_000, 240_000]),
            never_registers: Rate::percent(4),
            never_ready: Rate::percent(3),
            late: Rate::percent(8),
            dry_spot: Rate::percent(35),
            dry_on_demand: Rate::percent(8),
            drought: Rate::percent(3),
            reclaims: Rate::percent(12),
            sudden_deaths: Rate::percent(2),
            throttled: Rate::percent(15),
            late_success: Rate::percent(5),
            false_failure: Rate::percent(3),
            unlisted: Delay::millis([0, 2_000, 10_000, 30_000, 60_000]),
            lingering: Delay::millis([0, 20_000, 60_000, 300_000, 600_000]),
            lost: Rate::percent(2),
            duplicated: Rate::percent(5),
            delayed: Rate::percent(10),
            reused_names: true,
            ..Self::none()
        }
    }

    /// A preset by its name: `none`, `typical` or `hostile`.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::none()),
            "typical" => Some(Self::typical()),
            "hostile" => Some(Self::hostile()),
            _ => None,
        }
    }
}
