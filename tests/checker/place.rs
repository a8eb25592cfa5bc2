//! Whether a pod that a result leaves pending could be placed after all.
//!
//! Invariant: the answer is yes only if a place is found that breaks no rule, counted as strictly as Karpenter might.

use std::collections::{BTreeMap, BTreeSet};

use crate::demand::look;
use crate::domains::{DomainMap, Reach};
use crate::eligible::reason_to_ignore;
use crate::existing;
use crate::fit::{check_pod, misfit};
use crate::host::Host;
use crate::limits::{in_use, one_node, planned};
use crate::model::{InstanceType, Outcome};
use crate::plan::{Plan, TypeOption, option};
use crate::pod::Pod;
use crate::pool::Pool;
use crate::quantity::{add_to, amount, raise_to};
use crate::sets::{Allowed, CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, Requirements, ZONE, combine, demand};
use crate::topology::{Topology, Views};
use crate::world::World;

/// A place for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// An existing node, or claim on its way, with what the result leaves of it.
    Node(String),
    /// A new node by itself.
    NewNode {
        /// The NodePool.
        node_pool: String,
        /// The instance types: one, or as many as the pool's `minValues` demand.
        instance_types: Vec<String>,
        /// The zone.
        zone: String,
        /// The capacity type.
        capacity_type: String,
    },
}

/// How many combinations of label values are tried for one offering.
const MOST_VARIANTS: usize = 64;

pub(crate) fn find(world: &World<'_>, outcome: &Outcome, pod: &str) -> Option<Where> {
    let plan = Plan::new(world, outcome, &mut Vec::new());
    let index = *world.pod_index.get(pod)?;
    let own = &world.pods[index];
    if !world.pending.contains(&index) || reason_to_ignore(own, &world.dialect).is_some() {
        return None;
    }
    let search = Search { world, plan: &plan, index, own };
    search.existing().or_else(|| world.pools.iter().find_map(|pool| search.new_node(pool)))
}

struct Search<'s, 'a> {
    world: &'s World<'a>,
    plan: &'s Plan<'a, 's>,
    index: usize,
    own: &'s Pod<'a>,
}

/// A choice that all types of one claim have to share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pin {
    zone: String,
    capacity_type: String,
    requirements: Requirements,
}

impl<'a> Search<'_, 'a> {
    fn existing(&self) -> Option<Where> {
        let fits = |index: usize, host: &Host| {
            let mut pods: Vec<&Pod<'_>> =
                self.plan.new_pods(index).map(|pod| &self.world.pods[pod]).collect();
            pods.push(self.own);
            self.suits(host) && existing::problems(index, host, &pods, Reach::Widest, self.world).is_empty()
        };
        let mut hosts = self.world.hosts.iter().enumerate();
        let (_, host) =
            hosts.find(|(index, host)| fits(*index, host) && self.keeps_topology(*index, None))?;
        Some(Where::Node(host.name.clone()))
    }

    fn suits(&self, host: &Host) -> bool {
        let mut found = Vec::new();
        check_pod(self.own, host, self.world, &mut found);
        found.is_empty()
    }

    /// Whether the pod can be bound last, to a host of the plan or to one more.
    fn keeps_topology(&self, at: usize, more: Option<&Host>) -> bool {
        let mut hosts = self.plan.hosts.clone();
        hosts.extend(more.cloned());
        let domains = DomainMap::new(&hosts, self.world);
        let views = Views::new(Reach::Widest, self.world);
        let mut topology = Topology::new(self.world, &hosts, &domains, &views);
        for &(pod, host) in &self.plan.placed {
            topology.bind(pod, host);
        }
        topology.problem(self.index, at).is_none()
    }

    fn new_node(&self, pool: &Pool<'a>) -> Option<Where> {
        if pool.unusable.is_some() {
            return None;
        }
        let choices = self.own.whole_demand().choices();
        let mut workable: BTreeMap<Pin, Vec<&'a InstanceType>> = BTreeMap::new();
        for choice in choices {
            let defined = |(key, wanted): (&String, &Allowed)| {
                wanted.absent || self.world.dialect.is_well_known(key) || pool.requirements.contains_key(key)
            };
            if !choice.iter().all(defined) {
                continue;
            }
            let requirements = combine(&pool.requirements, &choice);
            for kind in pool.types.iter().filter(|kind| self.within_limits(pool, &[kind])) {
                for pin in self.pins(kind, &requirements) {
                    if self.works(pool, &[kind], &pin) {
                        workable.entry(pin).or_default().push(kind);
                    }
                }
            }
        }
        workable.into_iter().find_map(|(pin, kinds)| {
            let kinds = self.enough(pool, &kinds)?;
            (self.within_limits(pool, &kinds) && self.works(pool, &kinds, &pin)).then(|| Where::NewNode {
                node_pool: pool.name.to_owned(),
                instance_types: kinds.iter().map(|kind| kind.name.clone()).collect(),
                zone: pin.zone,
                capacity_type: pin.capacity_type,
            })
        })
    }

    /// One pin for each offering, and for each value of other labels on which the pod's topology depends. Reserved
    /// capacity is left out: what is left of it depends on what the provider makes of other claims.
    fn pins(&self, kind: &InstanceType, requirements: &Requirements) -> Vec<Pin> {
        let mut pins = Vec::new();
        let keys = self.own.spreads.iter().map(|spread| &spread.key);
        let keys: BTreeSet<&String> =
            keys.chain(self.own.with.iter().chain(&self.own.without).map(|term| &term.key)).collect();
        for (_, profile) in option(kind, requirements, requirements, "", self.world).offerings {
            let requirements_here = |key: &str| look(&profile, key).single().map(str::to_owned);
            let (Some(zone), Some(capacity_type)) =
                (requirements_here(ZONE), requirements_here(CAPACITY_TYPE))
            else {
                continue;
            };
            if capacity_type == "reserved" {
                continue;
            }
            let mut variants = vec![requirements.clone()];
            for variant in &mut variants {
                demand(variant, ZONE, &Allowed::exactly(&zone));
                demand(variant, CAPACITY_TYPE, &Allowed::exactly(&capacity_type));
            }
            for key in &keys {
                let values = look(&profile, key).listed().cloned().unwrap_or_default();
                // Types may differ in their own name, or else no two could share a claim.
                if values.len() < 2 || *key == HOSTNAME || *key == INSTANCE_TYPE {
                    continue;
                }
                let pinned = |variant: &Requirements, value: &String| {
                    let mut variant = variant.clone();
                    demand(&mut variant, key, &Allowed::exactly(value));
                    variant
                };
                let each = variants.iter().flat_map(|one| values.iter().map(|value| pinned(one, value)));
                variants = each.take(MOST_VARIANTS).collect();
            }
            let pin =
                |requirements| Pin { zone: zone.clone(), capacity_type: capacity_type.clone(), requirements };
            pins.extend(variants.into_iter().map(pin));
        }
        pins
    }

    /// Whether the pod can be alone on a new node that becomes any of these types.
    fn works(&self, pool: &Pool<'a>, kinds: &[&'a InstanceType], pin: &Pin) -> bool {
        let name = "a new node of the pool";
        let options: Vec<TypeOption<'_>> = kinds
            .iter()
            .map(|kind| option(kind, &pin.requirements, &pool.requirements, name, self.world))
            .collect();
        let each = |option: &TypeOption<'_>| {
            !option.offerings.is_empty() && misfit(option, &[self.own], pool.taints, self.world).is_none()
        };
        let profiles: BTreeSet<_> = options
            .iter()
            .flat_map(|option| option.offerings.iter().map(|(_, profile)| profile.clone()))
            .collect();
        let host = Host {
            name: name.to_owned(),
            aliases: Vec::new(),
            profiles: profiles.into_iter().collect(),
            taints: pool.taints.to_vec(),
            leaving: false,
            tracked: true,
            existing: None,
        };
        options.iter().all(each)
            && self.suits(&host)
            && self.keeps_topology(self.plan.hosts.len(), Some(&host))
    }

    fn within_limits(&self, pool: &Pool<'_>, kinds: &[&InstanceType]) -> bool {
        let mut total = in_use(pool, self.world);
        add_to(&mut total, &planned(pool, self.plan));
        let mut most = one_node();
        for kind in kinds {
            raise_to(&mut most, &kind.capacity);
        }
        add_to(&mut total, &most);
        pool.limits.iter().all(|(name, &limit)| amount(&total, name) <= limit)
    }

    /// A single type, or as few of them as `minValues` allow; none if they do not suffice.
    fn enough(&self, pool: &Pool<'_>, kinds: &[&'a InstanceType]) -> Option<Vec<&'a InstanceType>> {
        let strict = self.world.minimum_values_are_strict();
        let mut missing: BTreeMap<&String, (u64, BTreeSet<String>)> = BTreeMap::new();
        for (key, &least) in pool.min_values.iter().filter(|_| strict) {
            missing.insert(key, (least, BTreeSet::new()));
        }
        let mut chosen: Vec<&'a InstanceType> = Vec::new();
        for kind in kinds {
            let done = missing.values().all(|(least, values)| values.len() as u64 >= *least);
            if done && !chosen.is_empty() {
                break;
            }
            let of_type = self.world.dialect.requirements(&kind.requirements);
            let mut helps = missing.is_empty();
            for (key, (least, values)) in &mut missing {
                let before = values.len();
                let short = (before as u64) < *least;
                values.extend(look(&of_type, key).listed().into_iter().flatten().cloned());
                helps |= short && values.len() > before;
            }
            if helps || chosen.is_empty() {
                chosen.push(kind);
            }
        }
        let done = missing.values().all(|(least, values)| values.len() as u64 >= *least);
        let few = self.world.scenario.settings.max_instance_types.is_none_or(|most| chosen.len() <= most);
        (done && few && !chosen.is_empty()).then_some(chosen)
    }
}
