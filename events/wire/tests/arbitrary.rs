//! Arbitrary events: those with structure, and one of each shape of the others.

mod devices;

use std::sync::Arc;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use purser_engine::event::{
    Control, Decision, Event, Fact, LabelSetId, LaunchFailure, LaunchOption, Place, SpecId, Target,
};
use purser_engine::model::{
    Budget, BudgetNodes, BudgetSchedule, CapacityType, ConsolidationPolicy, Disruption, DisruptionReason,
    DoNotDisrupt, HostPort, InstanceType, LabelExpression, LabelOperator, LabelSelector, Labels, Limits,
    NamespaceSelector, NodePool, NodeTemplate, Offering, OfferingKey, OwnerKind, PodAffinity, PodGroup,
    PodKey, PodPhase, PodSpec, PreferredTerm, Price, Protocol, Requirement, Requirements, Resources, Span,
    SpreadPolicy, Str, Taint, TaintEffect, Time, Toleration, TolerationOperator, TopologySpread, Uid,
    Unsatisfiable, VolumeRef,
};
use purser_engine::reason::{Reason, ReasonId};
use purser_engine::settings::{FeatureGate, FeatureGates, MinValuesPolicy, PreferencePolicy, Settings};

fn text() -> BoxedStrategy<Str> {
    prop_oneof!["[a-z0-9.-]{0,24}", ".{0,8}"].prop_map(Str::from).boxed()
}

fn named<N: From<AnyText> + std::fmt::Debug>() -> BoxedStrategy<N> {
    text().prop_map(|text| N::from(AnyText(text))).boxed()
}

/// A text on its way to one of the name types.
struct AnyText(Str);

macro_rules! from_text {
    ($($name:ident),*) => {$(
        impl From<AnyText> for purser_engine::model::$name {
            fn from(text: AnyText) -> Self {
                Self::new(text.0)
            }
        }
    )*};
}

from_text!(NodeName, ClaimName, PoolName, ClassName, TypeName, Zone, InstanceId);

fn micros() -> BoxedStrategy<i64> {
    prop_oneof![4 => 0..4_000_000_000_000_000i64, 1 => any::<i64>()].boxed()
}

fn time() -> BoxedStrategy<Time> {
    micros().prop_map(Time).boxed()
}

fn span() -> BoxedStrategy<Span> {
    micros().prop_map(Span).boxed()
}

fn price() -> BoxedStrategy<Price> {
    any::<i64>().prop_map(Price).boxed()
}

fn pod() -> BoxedStrategy<PodKey> {
    ("[ab]", text()).prop_map(|(namespace, name)| PodKey::new(namespace, name)).boxed()
}

fn pods() -> BoxedStrategy<Vec<PodKey>> {
    vec(pod(), 0..6).boxed()
}

fn labels() -> BoxedStrategy<Labels> {
    btree_map(text(), text(), 0..4).boxed()
}

fn requirement() -> BoxedStrategy<Requirement> {
    let values = btree_set(prop_oneof![text(), "[0-9]{1,3}".prop_map(Str::from)], 0..4);
    (any::<bool>(), values, option::of(-5..300i64), option::of(-5..300i64), option::of(any::<u32>()))
        .prop_map(|(complement, values, lower, upper, least)| {
            Requirement::from_parts(complement, values, lower, upper, least)
        })
        .boxed()
}

fn requirements() -> BoxedStrategy<Requirements> {
    let key = prop_oneof![
        text(),
        Just(Str::from("beta.kubernetes.io/arch")),
        Just(Str::from("kubernetes.io/arch"))
    ];
    vec((key, requirement()), 0..4).prop_map(|all| all.into_iter().collect()).boxed()
}

fn resources() -> BoxedStrategy<Resources> {
    let name =
        prop_oneof![select(vec!["cpu", "memory", "ephemeral-storage", "pods"]).prop_map(Str::from), text()];
    vec((name, any::<i64>()), 0..7)
        .prop_map(|amounts| amounts.iter().map(|(name, amount)| (&**name, *amount)).collect())
        .boxed()
}

fn selector() -> BoxedStrategy<LabelSelector> {
    use LabelOperator::{DoesNotExist, Exists, In, NotIn};
    let operator = select(vec![In, NotIn, Exists, DoesNotExist]);
    let expression = (text(), operator, vec(text(), 0..3));
    let expression = expression.prop_map(|(key, operator, values)| LabelExpression { key, operator, values });
    vec(expression, 0..3).prop_map(LabelSelector).boxed()
}

fn effect() -> BoxedStrategy<TaintEffect> {
    select(vec![TaintEffect::NoSchedule, TaintEffect::PreferNoSchedule, TaintEffect::NoExecute]).boxed()
}

fn taints() -> BoxedStrategy<Vec<Taint>> {
    vec((text(), text(), effect()).prop_map(|(key, value, effect)| Taint { key, value, effect }), 0..3)
        .boxed()
}

fn toleration() -> BoxedStrategy<Toleration> {
    use TolerationOperator::{Equal, Exists, Gt, Lt};
    (option::of(text()), select(vec![Exists, Equal, Gt, Lt]), text(), option::of(effect()))
        .prop_map(|(key, operator, value, effect)| Toleration { key, operator, value, effect })
        .boxed()
}

fn spread() -> BoxedStrategy<TopologySpread> {
    let policy = || select(vec![SpreadPolicy::Honor, SpreadPolicy::Ignore]);
    let unsatisfiable = select(vec![Unsatisfiable::DoNotSchedule, Unsatisfiable::ScheduleAnyway]);
    (text(), any::<u32>(), option::of(any::<u32>()), unsatisfiable, selector(), policy(), policy())
        .prop_map(|(topology_key, max_skew, min_domains, when_unsatisfiable, selector, affinity, taints)| {
            TopologySpread {
                topology_key,
                max_skew,
                min_domains,
                when_unsatisfiable,
                selector,
                node_affinity_policy: affinity,
                node_taints_policy: taints,
            }
        })
        .boxed()
}

fn affinity() -> BoxedStrategy<PodAffinity> {
    let other = (vec(text(), 0..3), option::of(selector()));
    let other = other.prop_map(|(names, selector)| NamespaceSelector::Other { names, selector });
    let namespaces = prop_oneof![Just(NamespaceSelector::Own), other];
    (text(), selector(), namespaces, any::<bool>(), option::of(any::<u8>()))
        .prop_map(|(topology_key, selector, namespaces, anti, weight)| PodAffinity {
            topology_key,
            selector,
            namespaces,
            anti,
            weight,
        })
        .boxed()
}

prop_compose! {
    fn pod_spec()(
        (labels, requests, node_selector) in (labels(), resources(), labels()),
        required_terms in vec(requirements(), 0..3),
        preferred in vec((any::<u8>(), requirements()), 0..2),
        tolerations in vec(toleration(), 0..3),
        spread in vec(spread(), 0..2),
        affinity in vec(affinity(), 0..2),
        host_ports in vec((text(), any::<u16>(), select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp])), 0..2),
        volumes in vec(text(), 0..2),
        resource_claims in vec(text(), 0..2),
        (priority, deletion_cost) in any::<(i32, i32)>(),
        owner in select(vec![OwnerKind::None, OwnerKind::DaemonSet, OwnerKind::Node, OwnerKind::StatefulSet, OwnerKind::Controller]),
        termination_grace in option::of(span()),
        do_not_disrupt in option::of(prop_oneof![Just(DoNotDisrupt::Always), span().prop_map(DoNotDisrupt::For)]),
        group in option::of((text(), any::<u32>())),
    ) -> PodSpec {
        PodSpec {
            labels, requests, node_selector, required_terms,
            preferred_terms: preferred.into_iter().map(|(weight, requirements)| PreferredTerm { weight, requirements }).collect(),
            tolerations, spread, affinity,
            host_ports: host_ports.into_iter().map(|(ip, port, protocol)| HostPort { ip, port, protocol }).collect(),
            volumes: volumes.into_iter().map(|claim| VolumeRef { claim }).collect(),
            resource_claims, priority, owner, termination_grace, do_not_disrupt, deletion_cost,
            group: group.map(|(name, min_members)| PodGroup { name, min_members }),
        }
    }
}

fn budget() -> BoxedStrategy<Budget> {
    let reasons = option::of(btree_set(select(DisruptionReason::ALL.to_vec()), 0..5));
    let nodes =
        prop_oneof![any::<u32>().prop_map(BudgetNodes::Count), any::<u32>().prop_map(BudgetNodes::Percent)];
    let cron = select(vec!["@daily", "0 9 * * mon-fri", "*/5 0-6 1,15 * *"]);
    let schedule = (cron, span()).prop_map(|(cron, duration)| BudgetSchedule::parse(cron, duration).unwrap());
    (reasons, nodes, option::of(schedule))
        .prop_map(|(reasons, nodes, schedule)| Budget { reasons, nodes, schedule })
        .boxed()
}

prop_compose! {
    fn pool()(
        (labels, taints, startup_taints, requirements) in (labels(), taints(), taints(), requirements()),
        class in option::of((text(), named())),
        (termination_grace, expire_after, consolidate_after) in (option::of(span()), option::of(span()), option::of(span())),
        policy in select(vec![
            ConsolidationPolicy::WhenEmpty, ConsolidationPolicy::WhenEmptyOrUnderutilized, ConsolidationPolicy::Balanced,
        ]),
        budgets in vec(budget(), 0..3),
        resources in vec((text(), any::<i64>()), 0..3),
        (weight, nodes, replicas, ready) in any::<(u32, Option<u32>, Option<u32>, bool)>(),
        (name, hash) in (named(), text()),
    ) -> NodePool {
        let template = NodeTemplate { labels, taints, startup_taints, requirements, class, termination_grace, expire_after };
        let disruption = Disruption { policy, consolidate_after, budgets };
        NodePool { name, weight, template, disruption, limits: Limits { resources, nodes }, replicas, hash, ready }
    }
}

fn capacity_type() -> BoxedStrategy<CapacityType> {
    select(vec![CapacityType::Reserved, CapacityType::Spot, CapacityType::OnDemand]).boxed()
}

fn offering_key() -> BoxedStrategy<OfferingKey> {
    (named(), named(), capacity_type())
        .prop_map(|(instance_type, zone, capacity_type)| OfferingKey { instance_type, zone, capacity_type })
        .boxed()
}

fn instance_type() -> BoxedStrategy<InstanceType> {
    let offering = (named(), capacity_type(), price());
    let offering = offering.prop_map(|(zone, capacity_type, price)| Offering { zone, capacity_type, price });
    (named(), requirements(), resources(), resources(), vec(offering, 0..4))
        .prop_map(|(name, requirements, capacity, overhead, offerings)| InstanceType {
            name,
            requirements,
            capacity,
            overhead,
            offerings,
        })
        .boxed()
}

fn reason() -> BoxedStrategy<Reason> {
    (select(ReasonId::ALL.to_vec()), vec((text(), text()), 0..3))
        .prop_map(|(id, params)| Reason { id, params })
        .boxed()
}

fn phase() -> BoxedStrategy<PodPhase> {
    select(vec![
        PodPhase::Pending,
        PodPhase::Untried,
        PodPhase::Held,
        PodPhase::Bound,
        PodPhase::Terminating,
        PodPhase::Ended,
    ])
    .boxed()
}

fn launch() -> BoxedStrategy<Decision> {
    let place = (named(), capacity_type()).prop_map(|(zone, capacity_type)| Place { zone, capacity_type });
    let option = (named(), any::<u32>(), price());
    let option =
        option.prop_map(|(instance_type, places, price)| LaunchOption { instance_type, places, price });
    let amounts = (requirements(), resources(), resources(), any::<u32>());
    (named(), named(), text(), pods(), vec(place, 0..4), vec(option, 0..6), amounts)
        .prop_map(
            |(claim, pool, hash, pods, places, options, (requirements, requests, reserved, considered))| {
                Decision::Launch {
                    claim,
                    pool,
                    hash,
                    requirements,
                    requests,
                    pods,
                    places,
                    options,
                    reserved,
                    considered,
                }
            },
        )
        .boxed()
}

fn failure() -> BoxedStrategy<LaunchFailure> {
    prop_oneof![
        vec(offering_key(), 0..3).prop_map(|offerings| LaunchFailure::InsufficientCapacity { offerings }),
        text().prop_map(|message| LaunchFailure::Rejected { message }),
        text().prop_map(|message| LaunchFailure::Unknown { message }),
    ]
    .boxed()
}

fn fact() -> BoxedStrategy<Fact> {
    let node =
        (named(), option::of(named()), any::<u32>(), taints(), resources(), any::<[bool; 4]>(), time());
    let node =
        node.prop_map(|(node, instance, labels, taints, allocatable, flags, created)| Fact::NodeObserved {
            node,
            instance,
            labels: LabelSetId(labels),
            taints,
            allocatable,
            ready: flags[0],
            unschedulable: flags[1],
            do_not_disrupt: flags[2],
            created,
            deleting: flags[3],
        });
    let pod_observed = (pod(), any::<u128>(), any::<u32>(), time(), phase(), option::of(named()));
    let pod_observed = pod_observed.prop_map(|(pod, uid, spec, created, phase, node)| Fact::PodObserved {
        pod,
        uid: Uid(uid),
        spec: SpecId(spec),
        created,
        phase,
        node,
    });
    let overlay =
        (text(), any::<u32>(), requirements(), option::of(price()), option::of(text()), resources());
    let overlay = overlay.prop_map(|(name, weight, requirements, price, price_adjustment, capacity)| {
        Fact::NodeOverlayObserved { name, weight, requirements, price, price_adjustment, capacity }
    });
    let volume = (pod(), vec(requirements(), 0..3), text(), option::of(text()));
    prop_oneof![
        3 => (any::<u32>(), pod_spec()).prop_map(|(id, spec)| Fact::PodSpecDefined { id: SpecId(id), spec: Arc::new(spec) }),
        2 => pool().prop_map(|pool| Fact::NodePoolObserved { pool: Arc::new(pool) }),
        2 => instance_type().prop_map(|instance_type| Fact::InstanceTypeObserved { instance_type: Arc::new(instance_type) }),
        1 => (any::<u32>(), labels()).prop_map(|(id, l)| Fact::LabelSetDefined { id: LabelSetId(id), labels: Arc::new(l) }),
        1 => pod_observed,
        1 => node,
        1 => overlay,
        1 => volume.prop_map(|(claim, topologies, driver, problem)| {
            Fact::VolumeClaimObserved { claim, topologies, driver, problem }
        }),
        1 => (text(), labels()).prop_map(|(namespace, labels)| Fact::NamespaceObserved { namespace, labels }),
        1 => (named(), btree_map(text(), any::<Option<u32>>(), 0..4)).prop_map(|(node, limits)| {
            Fact::VolumeLimitsObserved { node, limits }
        }),
        1 => (text(), named(), text(), option::of(pod())).prop_map(|(attachment, node, volume, claim)| {
            Fact::VolumeAttachmentObserved { attachment, node, volume, claim }
        }),
        1 => (pod(), any::<(u32, u32)>()).prop_map(|(buffer, (spec, replicas))| {
            Fact::CapacityBufferObserved { buffer, spec: SpecId(spec), replicas }
        }),
        1 => (pod(), named()).prop_map(|(pod, node)| Fact::PodBound { pod, node }),
        1 => (pod(), phase(), option::of(time()), option::of(time())).prop_map(|(pod, phase, started, ends)| {
            Fact::PodPhaseChanged { pod, phase, started, ends }
        }),
        1 => (pod(), selector(), any::<(u32, bool)>()).prop_map(|(budget, selector, (allowed, always))| {
            Fact::DisruptionBudgetObserved { budget, selector, disruptions_allowed: allowed, always_allow_unhealthy: always }
        }),
        1 => (offering_key(), price()).prop_map(|(offering, price)| Fact::PriceChanged { offering, price }),
        1 => (offering_key(), time()).prop_map(|(offering, until)| Fact::OfferingUnavailable { offering, until }),
        1 => (named(), failure()).prop_map(|(claim, failure)| Fact::LaunchFailed { claim, failure }),
        5 => devices::fact(),
    ]
    .boxed()
}

fn decision() -> BoxedStrategy<Decision> {
    let target = prop_oneof![named().prop_map(Target::Node), named().prop_map(Target::Claim)];
    let names = || vec(named(), 0..3);
    let why = select(DisruptionReason::ALL.to_vec());
    prop_oneof![
        4 => launch(),
        1 => (target, pods()).prop_map(|(target, pods)| Decision::Nominate { target, pods }),
        1 => (pods(), reason()).prop_map(|(pods, reason)| Decision::Unschedulable { pods, reason }),
        1 => (why, names(), names(), price(), any::<(Option<u32>, u32)>()).prop_map(
            |(reason, candidates, replacements, savings, (allowed, used))| {
                Decision::Disrupt { reason, candidates, replacements, savings, allowed, used }
            }
        ),
        1 => (named(), option::of(time())).prop_map(|(claim, deadline)| Decision::Drain { claim, deadline }),
        1 => (named(), pod(), any::<(u128, bool)>()).prop_map(|(claim, pod, (uid, force))| {
            Decision::Evict { claim, pod, uid: Uid(uid), force }
        }),
        1 => (named(), span()).prop_map(|(claim, age)| Decision::Expire { claim, age }),
        1 => (named(), option::of(named()), any::<u32>()).prop_map(|(claim, instance, attached)| {
            Decision::Terminate { claim, instance, attached }
        }),
        1 => (named(), any::<u32>()).prop_map(|(claim, attached)| Decision::AwaitDetachment { claim, attached }),
    ]
    .boxed()
}

prop_compose! {
    fn settings()(
        spans in proptest::array::uniform9(span()),
        max_instance_types in any::<u32>(),
        preference_policy in select(vec![PreferencePolicy::Respect, PreferencePolicy::Ignore]),
        min_values_policy in select(vec![MinValuesPolicy::Strict, MinValuesPolicy::BestEffort]),
        default_spread in vec(spread(), 0..2),
        gates in btree_set(select(FeatureGate::ALL.to_vec()), 0..6),
        expendable_below in any::<Option<i32>>(),
    ) -> Settings {
        let [
            batch_idle, batch_max, launch_timeout, registration_timeout, insufficient_capacity_ttl, launch_retry,
            eviction_retry, nomination_window, garbage_collect_after,
        ] = spans;
        Settings {
            batch_idle, batch_max, max_instance_types, launch_timeout, registration_timeout, insufficient_capacity_ttl,
            launch_retry, eviction_retry, nomination_window, garbage_collect_after, preference_policy,
            min_values_policy, default_spread, feature_gates: FeatureGates(gates), expendable_below,
        }
    }
}

fn control() -> BoxedStrategy<Control> {
    prop_oneof![
        (text(), option::of(text()), text()).prop_map(|(origin, predecessor, reason)| Control::LogStarted {
            origin,
            predecessor,
            reason
        }),
        (time(), any::<u64>())
            .prop_map(|(stalled_since, waiting)| Control::JournalResumed { stalled_since, waiting }),
        any::<(u64, bool)>()
            .prop_map(|(first_kept, archived)| Control::RetentionApplied { first_kept, archived }),
        settings().prop_map(|settings| Control::SettingsChanged { settings }),
        Just(Control::TimePassed),
    ]
    .boxed()
}

/// Any event.
pub(super) fn event() -> BoxedStrategy<Event> {
    prop_oneof![
        1 => control().prop_map(Event::from),
        6 => fact().prop_map(Event::from),
        3 => decision().prop_map(Event::from),
    ]
    .boxed()
}
