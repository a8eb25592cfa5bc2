//! The binary form of each type that State is made of.
//!
//! **Invariant:** every field is listed once; the compiler refuses a struct with one missing, since it is built from the list.

use std::sync::Arc;

use super::SnapshotError;
use super::codec::{Persist, Reader};
use crate::event::{Divergence, LabelSetId, LaunchOption, Place, Seq, SpecId, Target};
use crate::model::*;
use crate::reason::{Reason, ReasonId};
use crate::settings::{FeatureGate, FeatureGates, MinValuesPolicy, PreferencePolicy, Settings};
use crate::state::*;

macro_rules! structs {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl Persist for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                Ok(Self { $($field: Persist::get(from)?),* })
            }
        }
    )*};
}

macro_rules! wrappers {
    ($($name:ident),*) => {$(
        impl Persist for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                Persist::get(from).map(Self)
            }
        }
    )*};
}

macro_rules! names {
    ($($name:ident),*) => {$(
        impl Persist for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.as_shared().put(out);
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                Str::get(from).map(Self::new)
            }
        }
    )*};
}

macro_rules! plain_enums {
    ($($name:ident { $($variant:ident = $number:literal),* $(,)? })*) => {$(
        impl Persist for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.push(match self { $(Self::$variant => $number),* });
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                match u8::get(from)? { $($number => Ok(Self::$variant),)* _ => from.damaged(stringify!($name)) }
            }
        }
    )*};
}

names!(NodeName, ClaimName, PoolName, ClassName, InstanceId, TypeName, Zone);
wrappers!(
    Time,
    Span,
    Price,
    Uid,
    Seq,
    SpecId,
    LabelSetId,
    LabelSelector,
    FeatureGates,
    SelectorId,
    KindId,
    DeviceAmount
);

plain_enums! {
    PodPhase { Pending = 0, Held = 1, Bound = 2, Terminating = 3, Ended = 4, Untried = 5 }
    Divergence { OtherNode = 0, EqualPod = 1, NoPlace = 2 }
    OwnerKind { None = 0, DaemonSet = 1, Node = 2, StatefulSet = 3, Controller = 4 }
    CapacityType { Reserved = 0, Spot = 1, OnDemand = 2 }
    TaintEffect { NoSchedule = 0, PreferNoSchedule = 1, NoExecute = 2 }
    TolerationOperator { Exists = 0, Equal = 1, Gt = 2, Lt = 3 }
    LabelOperator { In = 0, NotIn = 1, Exists = 2, DoesNotExist = 3 }
    Unsatisfiable { DoNotSchedule = 0, ScheduleAnyway = 1 }
    SpreadPolicy { Honor = 0, Ignore = 1 }
    Protocol { Tcp = 0, Udp = 1, Sctp = 2 }
    PreferencePolicy { Respect = 0, Ignore = 1 }
    MinValuesPolicy { Strict = 0, BestEffort = 1 }
    FeatureGate {
        NodeRepair = 0, ReservedCapacity = 1, SpotToSpotConsolidation = 2, NodeOverlay = 3, StaticCapacity = 4,
        CapacityBuffer = 5,
    }
    ConsolidationPolicy { WhenEmpty = 0, WhenEmptyOrUnderutilized = 1, Balanced = 2 }
    DisruptionReason {
        Empty = 0, Underutilized = 1, Drifted = 2, Expired = 3, Interrupted = 4, LaunchTimeout = 5, RegistrationTimeout = 6,
        Unhealthy = 7, Deleted = 8, Overprovisioned = 9, InsufficientCapacity = 10, GarbageCollected = 11,
    }
}

structs! {
    PodKey { namespace, name }
    Diverged { pod, node, how, planned }
    Taint { key, value, effect }
    Toleration { key, operator, value, effect }
    HostPort { ip, port, protocol }
    LabelExpression { key, operator, values }
    TopologySpread {
        topology_key, max_skew, min_domains, when_unsatisfiable, selector, node_affinity_policy, node_taints_policy,
    }
    PodAffinity { topology_key, selector, namespaces, anti, weight }
    PreferredTerm { weight, requirements }
    VolumeRef { claim }
    PodSpec {
        labels, requests, node_selector, required_terms, preferred_terms, tolerations, spread, affinity, host_ports, volumes,
        resource_claims, priority, owner, termination_grace, do_not_disrupt, deletion_cost, group,
    }
    PodGroup { name, min_members }
    Offering { zone, capacity_type, price }
    OfferingKey { instance_type, zone, capacity_type }
    InstanceType { name, requirements, capacity, overhead, offerings }
    NodeFacts {
        name, instance, labels, taints, allocatable, ready, unschedulable, do_not_disrupt, created, deleting,
    }
    NodeTemplate { labels, taints, startup_taints, requirements, class, termination_grace, expire_after }
    Budget { reasons, nodes, schedule }
    Disruption { policy, consolidate_after, budgets }
    Limits { resources, nodes }
    NodePool { name, weight, template, disruption, limits, replicas, hash, ready }
    Place { zone, capacity_type }
    LaunchOption { instance_type, places, price }
    Reason { id, params }
    Settings {
        batch_idle, batch_max, max_instance_types, launch_timeout, registration_timeout, insufficient_capacity_ttl,
        launch_retry, eviction_retry, nomination_window, garbage_collect_after, preference_policy, min_values_policy,
        default_spread, feature_gates, expendable_below,
    }
    Pod { uid, spec, created, phase, node, started, ends, waiting_since, plan, claims }
    Planned { pods, requests }
    Node { facts, changed, conditions, planned }
    Pool { facts, changed }
    NodeClass { hash, ready, message }
    NodeOverlay { weight, requirements, price, price_adjustment, capacity }
    Buffer { spec, replicas }
    DisruptionBudget { selector, disruptions_allowed, always_allow_unhealthy }
    VolumeClaim { topologies, driver, problem }
    VolumeAttachment { node, volume, claim }
    Orphan { claim, seen, collected }
    DeviceSelector { expressions, capacity }
    ClaimKind { requests, constraints }
    DeviceRequest { name, alternatives }
    DeviceAsk { name, selector, count }
    SameAttribute { attribute, asks }
    DevicePoolKey { node, driver, pool }
    DevicePool { complete, counters, devices, undecided }
    PublishedDevice { name, usable, attributes, counters, capacity, takers }
    DeviceName { driver, pool, device }
    AllocatedDevice { name, consumed }
    Holding { devices, reach }
    Occupancy { pods, used, used_by_daemons, workload_pods, last_pod_event, freed }
    Instance { id, instance_type, zone, capacity_type, price, launched, interruption, is_gone }
    Eviction { attempts, asked, blocked, forced }
    Disrupting { reason, since, decision, taint_asked, tainted, draining, evictions, attached, terminated }
    Claim {
        name, pool, adopted, template, launch, created, asked, deleted, deadline, requirements, requests, places, options, daemons,
        floor, counted, changed, planned, attempts, retry_at, instance, node, registered, initialized, disrupting,
        workload_pods, calm,
    }
    ClaimFacts {
        name, uid, pool, template, requests, instance, node, registered, initialized, drifted, hash, hash_version, created,
        deleted, deadline,
    }
}

impl Persist for Requirement {
    fn put(&self, out: &mut Vec<u8>) {
        let (lower, upper) = self.bounds();
        self.is_complement().put(out);
        self.values().to_vec().put(out);
        lower.put(out);
        upper.put(out);
        self.min_values.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let complement = bool::get(from)?;
        let values = Vec::<Str>::get(from)?;
        Ok(Self::from_parts(
            complement,
            values,
            Persist::get(from)?,
            Persist::get(from)?,
            Persist::get(from)?,
        ))
    }
}

impl Persist for Requirements {
    fn put(&self, out: &mut Vec<u8>) {
        let all: Vec<(Str, Requirement)> =
            self.iter().map(|(key, requirement)| (key.clone(), requirement.clone())).collect();
        all.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(Vec::<(Str, Requirement)>::get(from)?.into_iter().collect())
    }
}

impl Persist for Resources {
    fn put(&self, out: &mut Vec<u8>) {
        let all: Vec<(Str, i64)> = self.iter().map(|(name, amount)| (name.into(), amount)).collect();
        all.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let all = Vec::<(Str, i64)>::get(from)?;
        Ok(all.iter().map(|(name, amount)| (&**name, *amount)).collect())
    }
}

impl Persist for ReasonId {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u16).put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        match Self::from_number(u16::get(from)?) {
            Some(id) => Ok(id),
            None => from.damaged("a reason of the registry"),
        }
    }
}

impl Persist for BudgetSchedule {
    fn put(&self, out: &mut Vec<u8>) {
        self.text.put(out);
        self.duration.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let text = Str::get(from)?;
        match Self::parse(&text, Persist::get(from)?) {
            Ok(schedule) => Ok(schedule),
            Err(_) => from.damaged("a cron schedule"),
        }
    }
}

/// Enums with content: a number, then what it holds.
macro_rules! enums {
    ($($name:ident { $($number:literal => $pattern:pat => [$($field:expr),*] => $build:expr),* $(,)? })*) => {$(
        impl Persist for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self { $($pattern => { out.push($number); $($field.put(out);)* })* }
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                match u8::get(from)? {
                    $($number => { #[allow(clippy::redundant_closure_call)] ($build)(from) })*
                    _ => from.damaged(stringify!($name)),
                }
            }
        }
    )*};
}

enums! {
    DoNotDisrupt {
        0 => Self::Always => [] => |_: &mut Reader<'_>| Ok(Self::Always),
        1 => Self::For(span) => [span] => |from: &mut Reader<'_>| Ok(Self::For(Persist::get(from)?)),
    }
    BudgetNodes {
        0 => Self::Count(count) => [count] => |from: &mut Reader<'_>| Ok(Self::Count(Persist::get(from)?)),
        1 => Self::Percent(percent) => [percent] => |from: &mut Reader<'_>| Ok(Self::Percent(Persist::get(from)?)),
    }
    NamespaceSelector {
        0 => Self::Own => [] => |_: &mut Reader<'_>| Ok(Self::Own),
        1 => Self::Other { names, selector } => [names, selector] => |from: &mut Reader<'_>| {
            Ok(Self::Other { names: Persist::get(from)?, selector: Persist::get(from)? })
        },
    }
    ClaimSource {
        0 => Self::Named(name) => [name] => |from: &mut Reader<'_>| Ok(Self::Named(Persist::get(from)?)),
        1 => Self::Made(name) => [name] => |from: &mut Reader<'_>| Ok(Self::Made(Persist::get(from)?)),
        2 => Self::Template(name) => [name] => |from: &mut Reader<'_>| Ok(Self::Template(Persist::get(from)?)),
        3 => Self::NotNeeded => [] => |_: &mut Reader<'_>| Ok(Self::NotNeeded),
    }
    DeviceCount {
        0 => Self::Exactly(count) => [count] => |from: &mut Reader<'_>| Ok(Self::Exactly(Persist::get(from)?)),
        1 => Self::All => [] => |_: &mut Reader<'_>| Ok(Self::All),
    }
    DeviceReach {
        0 => Self::Nodes(names) => [names] => |from: &mut Reader<'_>| Ok(Self::Nodes(Persist::get(from)?)),
        1 => Self::Labels(places) => [places] => |from: &mut Reader<'_>| Ok(Self::Labels(Persist::get(from)?)),
        2 => Self::Anywhere => [] => |_: &mut Reader<'_>| Ok(Self::Anywhere),
    }
    ResourceClaim {
        0 => Self::Open(kind) => [kind] => |from: &mut Reader<'_>| Ok(Self::Open(Persist::get(from)?)),
        1 => Self::Refused(reason) => [reason] => |from: &mut Reader<'_>| Ok(Self::Refused(Persist::get(from)?)),
        2 => Self::Allocated(holding) => [holding] => |from: &mut Reader<'_>| Ok(Self::Allocated(Persist::get(from)?)),
    }
    Target {
        0 => Self::Node(node) => [node] => |from: &mut Reader<'_>| Ok(Self::Node(Persist::get(from)?)),
        1 => Self::Claim(claim) => [claim] => |from: &mut Reader<'_>| Ok(Self::Claim(Persist::get(from)?)),
    }
    Plan {
        0 => Self::None => [] => |_: &mut Reader<'_>| Ok(Self::None),
        1 => Self::Nominated { target, since, decision } => [target, since, decision] => |from: &mut Reader<'_>| {
            Ok(Self::Nominated { target: Persist::get(from)?, since: Persist::get(from)?, decision: Persist::get(from)? })
        },
        2 => Self::Unschedulable { reason, decision } => [reason, decision] => |from: &mut Reader<'_>| {
            Ok(Self::Unschedulable { reason: Persist::get(from)?, decision: Persist::get(from)? })
        },
    }
}

impl Persist for State {
    fn put(&self, out: &mut Vec<u8>) {
        let parts = self.parts();
        parts.specs.len().put(out);
        parts.specs.iter().for_each(|spec| spec.put(out));
        parts.label_sets.len().put(out);
        parts.label_sets.iter().for_each(|labels| labels.put(out));
        parts.occupancy.put(out);
        parts.selectors.len().put(out);
        parts.selectors.iter().for_each(|selector| selector.put(out));
        parts.claim_kinds.len().put(out);
        parts.claim_kinds.iter().for_each(|kind| kind.put(out));
        self.size.put(out);
        self.now.put(out);
        self.origin.put(out);
        self.term.put(out);
        self.stopped.put(out);
        self.settings.put(out);
        self.pods.put(out);
        self.nodes.put(out);
        self.claims.len().put(out);
        self.claims.values().for_each(|claim| claim.put(out));
        self.strangers.put(out);
        self.departed.put(out);
        self.pools.put(out);
        self.classes.put(out);
        self.overlays.put(out);
        self.daemon_sets.put(out);
        self.buffers.put(out);
        self.disruption_budgets.put(out);
        self.namespaces.put(out);
        self.volume_claims.put(out);
        self.volume_limits.put(out);
        self.volume_attachments.put(out);
        self.resource_claims.put(out);
        self.claim_templates.put(out);
        self.device_pools.put(out);
        self.wide_selectors.put(out);
        self.types.put(out);
        self.catalogue.put(out);
        self.unavailable.put(out);
        self.orphans.put(out);
        self.gone.put(out);
        self.diverged.put(out);
        self.launches.put(out);
        self.offers_changed.put(out);
        self.supply_changed.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let specs: Vec<Arc<PodSpec>> = Persist::get(from)?;
        let label_sets: Vec<Arc<Labels>> = Persist::get(from)?;
        let occupancy = Persist::get(from)?;
        let selectors = Persist::get(from)?;
        let mut state = Self::from_tables(specs, label_sets, occupancy, selectors, Persist::get(from)?);
        state.size = Persist::get(from)?;
        state.now = Persist::get(from)?;
        state.origin = Persist::get(from)?;
        state.term = Persist::get(from)?;
        state.stopped = Persist::get(from)?;
        state.settings = Persist::get(from)?;
        state.pods = Persist::get(from)?;
        state.nodes = Persist::get(from)?;
        state.claims = Vec::<Claim>::get(from)?.into_iter().collect();
        state.strangers = Persist::get(from)?;
        state.departed = Persist::get(from)?;
        state.pools = Persist::get(from)?;
        state.classes = Persist::get(from)?;
        state.overlays = Persist::get(from)?;
        state.daemon_sets = Persist::get(from)?;
        state.buffers = Persist::get(from)?;
        state.disruption_budgets = Persist::get(from)?;
        state.namespaces = Persist::get(from)?;
        state.volume_claims = Persist::get(from)?;
        state.volume_limits = Persist::get(from)?;
        state.volume_attachments = Persist::get(from)?;
        state.resource_claims = Persist::get(from)?;
        state.claim_templates = Persist::get(from)?;
        state.device_pools = Persist::get(from)?;
        state.wide_selectors = Persist::get(from)?;
        state.types = Persist::get(from)?;
        state.catalogue = Persist::get(from)?;
        state.unavailable = Persist::get(from)?;
        state.orphans = Persist::get(from)?;
        state.gone = Persist::get(from)?;
        state.diverged = Persist::get(from)?;
        state.launches = Persist::get(from)?;
        state.offers_changed = Persist::get(from)?;
        state.supply_changed = Persist::get(from)?;
        if !state.refers_only_to_what_it_has() {
            return from.damaged("references to specs that are there");
        }
        state.index();
        Ok(state)
    }
}
