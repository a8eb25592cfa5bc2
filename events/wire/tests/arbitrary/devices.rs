//! Arbitrary facts about devices and claims on them.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use purser_engine::event::Fact;
use purser_engine::model::{
    AllocatedDevice, ClaimKind, ClaimSource, DeviceAmount, DeviceAsk, DeviceCount, DeviceName, DevicePool,
    DevicePoolKey, DeviceReach, DeviceRequest, DeviceSelector, Holding, KindId, PublishedDevice,
    ResourceClaim, SameAttribute, SelectorId, Str,
};

use super::{labels, named, pod, reason, requirements, text};

fn amount() -> BoxedStrategy<DeviceAmount> {
    prop_oneof![(0..99i128).prop_map(|units| units * 1_000_000_000), any::<i128>()]
        .prop_map(DeviceAmount)
        .boxed()
}

fn amounts() -> BoxedStrategy<BTreeMap<Str, DeviceAmount>> {
    btree_map(text(), amount(), 0..3).boxed()
}

fn claim_kind() -> BoxedStrategy<ClaimKind> {
    let count = prop_oneof![(0usize..40).prop_map(DeviceCount::Exactly), Just(DeviceCount::All)];
    let ask = (option::of(text()), any::<u32>(), count);
    let ask = ask.prop_map(|(name, id, count)| DeviceAsk { name, selector: SelectorId(id), count });
    let request = (text(), vec(ask, 0..3));
    let request = request.prop_map(|(name, alternatives)| DeviceRequest { name, alternatives });
    let same = (text(), btree_set((0usize..9, 0usize..9), 0..4));
    let same = same.prop_map(|(attribute, asks)| SameAttribute { attribute, asks });
    (vec(request, 0..3), vec(same, 0..2))
        .prop_map(|(requests, constraints)| ClaimKind { requests, constraints })
        .boxed()
}

fn pool_key() -> BoxedStrategy<DevicePoolKey> {
    (named(), text(), text()).prop_map(|(node, driver, pool)| DevicePoolKey { node, driver, pool }).boxed()
}

fn device_pool() -> BoxedStrategy<DevicePool> {
    let takers = btree_map(any::<u32>().prop_map(SelectorId), vec(amount(), 0..2), 0..3);
    let counters = vec((0usize..9, amount()), 0..3);
    let one = (text(), any::<bool>(), labels(), counters, option::of(amounts()), takers);
    let one = one.prop_map(|(name, usable, attributes, counters, capacity, takers)| PublishedDevice {
        name,
        usable,
        attributes,
        counters,
        capacity,
        takers,
    });
    let undecided = btree_set(any::<u32>().prop_map(SelectorId), 0..3);
    (any::<bool>(), vec(amount(), 0..3), vec(one, 0..3), undecided)
        .prop_map(|(complete, counters, devices, undecided)| DevicePool {
            complete,
            counters,
            devices,
            undecided,
        })
        .boxed()
}

fn resource_claim() -> BoxedStrategy<ResourceClaim> {
    let name = (text(), text(), text());
    let name = name.prop_map(|(driver, pool, device)| DeviceName { driver, pool, device });
    let device = (name, amounts()).prop_map(|(name, consumed)| AllocatedDevice { name, consumed });
    let reach = prop_oneof![
        btree_set(named(), 0..3).prop_map(DeviceReach::Nodes),
        vec(requirements(), 0..3).prop_map(DeviceReach::Labels),
        Just(DeviceReach::Anywhere),
    ];
    let reach = prop_oneof![3 => reach.prop_map(Ok), 1 => reason().prop_map(Err)];
    let holding = (vec(device, 0..3), reach).prop_map(|(devices, reach)| Holding { devices, reach });
    prop_oneof![
        any::<u32>().prop_map(|id| ResourceClaim::Open(KindId(id))),
        reason().prop_map(ResourceClaim::Refused),
        holding.prop_map(ResourceClaim::Allocated),
    ]
    .boxed()
}

/// Any of them.
pub(super) fn fact() -> BoxedStrategy<Fact> {
    let source = prop_oneof![
        text().prop_map(ClaimSource::Named),
        text().prop_map(ClaimSource::Made),
        text().prop_map(ClaimSource::Template),
        Just(ClaimSource::NotNeeded),
    ];
    let wanted = prop_oneof![any::<u32>().prop_map(|id| Ok(KindId(id))), reason().prop_map(Err)];
    prop_oneof![
        (any::<u32>(), vec(text(), 0..3), amounts()).prop_map(|(id, expressions, capacity)| {
            let selector = Arc::new(DeviceSelector { expressions, capacity });
            Fact::DeviceSelectorDefined { id: SelectorId(id), selector }
        }),
        (any::<u32>(), claim_kind())
            .prop_map(|(id, kind)| Fact::ClaimKindDefined { id: KindId(id), kind: Arc::new(kind) }),
        (pod(), resource_claim()).prop_map(|(claim, facts)| Fact::ResourceClaimObserved { claim, facts }),
        (pod(), wanted).prop_map(|(template, kind)| Fact::ClaimTemplateObserved { template, kind }),
        (pod(), vec(source, 0..3)).prop_map(|(pod, claims)| Fact::PodClaimsObserved { pod, claims }),
        (pool_key(), device_pool())
            .prop_map(|(key, pool)| Fact::DevicePoolObserved { key, pool: Arc::new(pool) }),
        btree_set(any::<u32>().prop_map(SelectorId), 0..4)
            .prop_map(|selectors| Fact::WideSelectorsObserved { selectors }),
    ]
    .boxed()
}
