//! A full list of the world against the log: what is not listed is gone.
//!
//! **Invariant:** an object is taken for gone only if its kind was listed, which a full list is by definition, and an instance only if
//! it is old enough for the cloud to list it.

use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

use super::intake;
use crate::model::{ClaimName, InstanceId, Span, Time};
use crate::port::{Input, InstanceFacts, Observation};
use crate::state::{Claim, State};

/// For so long after its launch an instance may be missing from the cloud's list.
pub const LISTED_WITHIN: Span = Span::mins(2);

/// Which of what is listed is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// What may be news. Almost nothing is, and to find that out here, object by object next to what is known, is quick.
    News,
    /// All: what was seen before it is not in State yet.
    All,
}

/// The list, with what it lacks said too, and an observation at the end that it was a full list.
pub(super) fn with_absences(state: &State, now: Time, world: Vec<Observation>, pass: Pass) -> Vec<Input> {
    let mut pods = FxHashMap::with_capacity_and_hasher(state.pods.len(), Default::default());
    let mut nodes = FxHashMap::with_capacity_and_hasher(state.nodes.len(), Default::default());
    let mut types = FxHashMap::default();
    let mut pools = FxHashSet::default();
    let mut overlays = FxHashSet::default();
    let mut daemon_sets = FxHashSet::default();
    let mut budgets = FxHashSet::default();
    let mut namespaces = FxHashSet::default();
    let mut volume_claims = FxHashSet::default();
    let mut volume_limits = FxHashSet::default();
    let mut attachments = FxHashSet::default();
    let mut buffers = FxHashSet::default();
    let mut resource_claims = FxHashSet::default();
    let mut claim_templates = FxHashSet::default();
    let mut device_pools = FxHashSet::default();
    let mut wide_selectors_are_listed = false;
    let mut instances = FxHashSet::default();
    let mut claims = FxHashSet::default();
    let mut claims_are_listed = false;
    let mut news = vec![true; world.len()];
    for (at, observation) in world.iter().enumerate() {
        match observation {
            // Of one that is listed twice, the last counts.
            Observation::Pod(pod) => {
                if let Some((before, _)) = pods.insert(&pod.key, (at, pod)) {
                    news[before] = false;
                }
            }
            Observation::Node(node) => {
                if let Some((before, _)) = nodes.insert(&node.name, (at, node)) {
                    news[before] = false;
                }
            }
            Observation::InstanceType(offer) => {
                types.insert(&offer.name, (at, offer));
            }
            Observation::NodePool(pool) => {
                pools.insert(&pool.name);
            }
            Observation::NodeOverlay(name, _) => {
                overlays.insert(name);
            }
            Observation::DaemonSet(name, _) => {
                daemon_sets.insert(name);
            }
            Observation::DisruptionBudget { budget, .. } => {
                budgets.insert(budget);
            }
            Observation::Namespace(name, _) => {
                namespaces.insert(name);
            }
            Observation::VolumeClaim(key, _) => {
                volume_claims.insert(key);
            }
            Observation::VolumeLimits { node, .. } => {
                volume_limits.insert(node);
            }
            Observation::VolumeAttachment(name, _) => {
                attachments.insert(name);
            }
            Observation::CapacityBuffer(key, _) => {
                buffers.insert(key);
            }
            Observation::ResourceClaim(key, _) => {
                resource_claims.insert(key);
            }
            Observation::ClaimTemplate(key, _) => {
                claim_templates.insert(key);
            }
            Observation::DevicePool { key, .. } => {
                device_pools.insert(key);
            }
            Observation::WideSelectors { .. } => wide_selectors_are_listed = true,
            Observation::NodeClaim(claim) => {
                claims.insert(&claim.name);
            }
            Observation::NodeClaimsListed => claims_are_listed = true,
            Observation::Instance(instance) => {
                instances.insert(&instance.instance);
                news[at] = !intake::is_no_news(state, instance, now);
            }
            _ => {}
        }
    }
    let mut absent: Vec<Observation> = Vec::new();
    for (key, known) in &state.pods {
        match pods.get(key) {
            None => absent.push(Observation::NoPod(key.clone())),
            Some((at, listed)) => news[*at] = !intake::is_as_known(state, known, listed),
        }
    }
    for (name, known) in &state.nodes {
        match nodes.get(name) {
            None => absent.push(Observation::NoNode(name.clone())),
            Some((at, listed)) => news[*at] = known.facts != **listed,
        }
    }
    absent.extend(lacking(state.pools.keys(), &pools, Observation::NoNodePool));
    absent.extend(lacking(state.overlays.keys(), &overlays, Observation::NoNodeOverlay));
    absent.extend(lacking(state.daemon_sets.keys(), &daemon_sets, Observation::NoDaemonSet));
    absent.extend(lacking(state.disruption_budgets.keys(), &budgets, Observation::NoDisruptionBudget));
    absent.extend(lacking(state.namespaces.keys(), &namespaces, Observation::NoNamespace));
    absent.extend(lacking(state.volume_claims.keys(), &volume_claims, Observation::NoVolumeClaim));
    absent.extend(lacking(state.volume_limits.keys(), &volume_limits, Observation::NoVolumeLimits));
    absent.extend(lacking(state.volume_attachments.keys(), &attachments, Observation::NoVolumeAttachment));
    absent.extend(lacking(state.buffers.keys(), &buffers, Observation::NoCapacityBuffer));
    absent.extend(lacking(state.resource_claims.keys(), &resource_claims, Observation::NoResourceClaim));
    absent.extend(lacking(state.claim_templates.keys(), &claim_templates, Observation::NoClaimTemplate));
    absent.extend(lacking(state.device_pools.keys(), &device_pools, Observation::NoDevicePool));
    absent.extend((!wide_selectors_are_listed).then_some(Observation::NoWideSelectors));
    for (name, known) in &state.types {
        match types.get(name) {
            None => absent.push(Observation::NoInstanceType(name.clone())),
            Some((at, listed)) => news[*at] = known != *listed,
        }
    }
    if claims_are_listed {
        absent.extend(lacking(claims_with_objects(state), &claims, Observation::NoNodeClaim));
    }
    absent.extend(absent_instances(state, now, &instances));
    let listed = world.len() as u64;
    let passed = world.into_iter().zip(news).filter(|(_, news)| *news || pass == Pass::All);
    let mut inputs: Vec<Input> =
        passed.map(|(observation, _)| observation).chain(absent).map(Input::from).collect();
    inputs.push(Observation::Relisted(listed).into());
    inputs
}

/// Claims of which there has to be an object. One that is being launched may have none yet, and one that ends none any more.
fn claims_with_objects(state: &State) -> impl Iterator<Item = &ClaimName> {
    let has = |claim: &&Claim| {
        let is_ending = claim.disrupting.as_ref().is_some_and(|removal| removal.terminated.is_some());
        (claim.instance.is_some() || claim.adopted.is_some()) && !is_ending
    };
    state.claims.values().filter(has).map(|claim| &claim.name).chain(state.strangers.keys())
}

/// What State has and the list has not.
fn lacking<'a, K: Clone + Eq + Hash + 'a>(
    known: impl Iterator<Item = &'a K>,
    listed: &FxHashSet<&K>,
    absence: impl Fn(K) -> Observation,
) -> impl Iterator<Item = Observation> {
    known.filter(|key| !listed.contains(key)).cloned().map(absence)
}

/// The cloud's list of instances, with what it lacks said too.
pub(super) fn instances_with_absences<'a>(
    state: &State,
    now: Time,
    listed: impl IntoIterator<Item = &'a InstanceFacts>,
    pass: Pass,
) -> Vec<Input> {
    let mut there: FxHashSet<&InstanceId> =
        FxHashSet::with_capacity_and_hasher(state.claims.len(), Default::default());
    let mut inputs: Vec<Input> = Vec::new();
    for instance in listed {
        there.insert(&instance.instance);
        if pass == Pass::All || !intake::is_no_news(state, instance, now) {
            inputs.push(Observation::Instance(instance.clone()).into());
        }
    }
    inputs.extend(absent_instances(state, now, &there).map(Input::from));
    inputs
}

fn absent_instances<'a>(
    state: &'a State,
    now: Time,
    listed: &'a FxHashSet<&InstanceId>,
) -> impl Iterator<Item = Observation> + 'a {
    let launched = state.claims.values().filter_map(|claim| claim.instance.as_ref());
    launched
        .filter(move |instance| now.since(instance.launched) >= LISTED_WITHIN)
        .map(|instance| &instance.id)
        .chain(state.orphans.keys())
        .filter(|id| !listed.contains(id))
        .cloned()
        .map(Observation::NoInstance)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::intake::Told;
    use super::*;
    use crate::event::{Event, Fact};
    use crate::model::{
        CapacityType, ClaimKind, ClaimSource, DeviceAsk, DeviceCount, DevicePool, DevicePoolKey,
        DeviceRequest, DeviceSelector, InstanceType, Labels, NodeFacts, Offering, PodFacts, PodKey, PodPhase,
        PodSpec, Price, PublishedDevice, Questions, Requirements, ResourceClaim, Resources, Str, Uid,
    };

    /// The smallest generator that does (xorshift).
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }
    }

    /// Some object in one of a few states, so that lists are like each other and yet differ.
    fn any(random: &mut Random) -> Observation {
        let (number, variant) = (random.below(8), random.below(3));
        let labels = Labels::from([("v".into(), Str::from(variant.to_string()))]);
        match random.below(5) {
            4 => about_devices(random.below(4), number, variant),
            0 | 1 => Observation::Pod(PodFacts {
                key: PodKey::new("default", format!("pod-{number}")),
                uid: Uid(u128::from(random.below(2))),
                spec: Arc::new(PodSpec { labels, ..PodSpec::default() }),
                created: Time(0),
                phase: if variant == 0 { PodPhase::Pending } else { PodPhase::Bound },
                node: (variant > 0).then(|| format!("node-{variant}").as_str().into()),
                started: None,
                deletion_grace: None,
                claims: vec![ClaimSource::Named("shared".into()); (variant / 2) as usize],
            }),
            2 => Observation::Node(NodeFacts {
                name: format!("node-{number}").as_str().into(),
                instance: None,
                labels: Arc::new(labels),
                taints: Vec::new(),
                allocatable: Resources::default(),
                ready: random.below(2) == 0,
                unschedulable: false,
                do_not_disrupt: false,
                created: Time(0),
                deleting: false,
            }),
            _ if number < 4 => Observation::Instance(InstanceFacts {
                instance: InstanceId::new(format!("i-{number}")),
                claim: None,
                instance_type: "m7g.large".into(),
                zone: "z1".into(),
                capacity_type: CapacityType::Spot,
                price: Price(1),
                launched: Time(0),
            }),
            _ => Observation::InstanceType(Arc::new(InstanceType {
                name: format!("type-{number}").as_str().into(),
                requirements: Requirements::from_labels(&labels),
                capacity: Resources::default(),
                overhead: Resources::default(),
                offerings: Vec::<Offering>::new(),
            })),
        }
    }

    /// Some claim, template or pool of devices, likewise.
    fn about_devices(which: u64, number: u64, variant: u64) -> Observation {
        let selector = |variant: u64| {
            let expressions = vec![format!("device.driver == '{variant}'").into()];
            Arc::new(DeviceSelector { expressions, ..DeviceSelector::default() })
        };
        let key = PodKey::new("default", format!("claim-{number}"));
        let ask = DeviceAsk { name: None, selector: selector(variant), count: DeviceCount::All };
        let requests = vec![DeviceRequest { name: "r".into(), alternatives: vec![ask] }];
        let kind = Arc::new(ClaimKind { requests, constraints: Vec::new() });
        let asked =
            Arc::new(Questions { selectors: [selector(variant)].into(), attributes: BTreeSet::new() });
        match which {
            0 => Observation::ResourceClaim(key, ResourceClaim::Open(kind)),
            1 => Observation::ClaimTemplate(key, Ok(kind)),
            2 => Observation::WideSelectors { selectors: asked.selectors.clone(), asked },
            _ => {
                let node = format!("node-{number}").as_str().into();
                let key = DevicePoolKey { node, driver: "d".into(), pool: "p".into() };
                let device = PublishedDevice {
                    name: "gpu".into(),
                    usable: number.is_multiple_of(2),
                    attributes: Default::default(),
                    counters: Vec::new(),
                    capacity: None,
                    takers: [(selector(variant), Vec::new())].into(),
                };
                let pool = DevicePool {
                    complete: true,
                    counters: Vec::new(),
                    devices: vec![device],
                    undecided: BTreeSet::new(),
                };
                Observation::DevicePool { key, pool: Arc::new(pool), asked }
            }
        }
    }

    #[test]
    fn what_is_not_passed_on_would_have_made_no_record() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut state = State::default();
        let (mut records, mut spared) = (0, 0);
        for round in 0..800 {
            let now = Time(round * 60_000_000);
            let count = random.below(30);
            let world: Vec<Observation> = (0..count).map(|_| any(&mut random)).collect();
            let few = with_absences(&state, now, world.clone(), Pass::News);
            let all = with_absences(&state, now, world.clone(), Pass::All);
            spared += all.len() - few.len();
            let (few, all) = (
                intake::entries(&state, &few, Told::Live, now),
                intake::entries(&state, &all, Told::Live, now),
            );
            assert_eq!(few, all, "round {round}");
            let instances: Vec<InstanceFacts> = world
                .into_iter()
                .filter_map(|o| if let Observation::Instance(facts) = o { Some(facts) } else { None })
                .collect();
            let of = |pass| {
                let inputs = instances_with_absences(&state, now, &instances, pass);
                intake::entries(&state, &inputs, Told::Live, now)
            };
            assert_eq!(of(Pass::News), of(Pass::All), "round {round}");
            records += few.len();
            few.iter().for_each(|entry| state.apply(now, &entry.event));
            // Some went without the list saying so.
            if round % 7 == 0 {
                let gone = InstanceId::new(format!("i-{}", random.below(4)));
                state.apply(now, &Event::from(Fact::InstanceGone { instance: gone }));
            }
        }
        assert!(records > 2_000 && spared > 2_000, "{records} records, {spared} spared");
    }
}
