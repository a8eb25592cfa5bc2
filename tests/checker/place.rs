//! Whether a pod that a result leaves pending could be placed after all.
//!
//! Invariant: the answer is yes only if a place is found that breaks no rule, counted as strictly as Karpenter might.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::demand::{Profile, look};
use crate::domains::{DomainMap, Reach};
use crate::eligible::reason_to_ignore;
use crate::existing;
use crate::fit::{check_pod, misfit};
use crate::host::Host;
use crate::limits::{in_use, one_node, planned};
use crate::model::InstanceType;
use crate::objects::Taint;
use crate::plan::{Plan, TypeOption, option};
use crate::pod::Pod;
use crate::pool::{Pool, look_of, offering_requirements};
use crate::quantity::{add_to, amount, raise_to};
use crate::sets::{Allowed, CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, Requirements, ZONE, combine, demand};
use crate::taints::repelled_by;
use crate::topology::{Topology, Views};
use crate::world::World;

/// A place for a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// An existing node, or claim on its way, with what the result leaves of it.
    Node(String),
    /// A new node by itself.
    NewNode {
        /// The claim, as a result would print it in `newNodeClaims`, with one instance type, or as many as the
        /// pool's `minValues` demand.
        claim: Value,
    },
}

/// How many combinations of label values are tried for one offering.
const MOST_VARIANTS: usize = 64;

pub(crate) fn find(world: &World<'_>, plan: &Plan<'_, '_>, pod: &str) -> Option<Where> {
    let index = *world.pod_index.get(pod)?;
    let own = &world.pods[index];
    if !world.pending.contains(&index) || reason_to_ignore(own, &world.dialect).is_some() {
        return None;
    }
    // Where there would be devices for it is not looked for.
    if own.wants_devices {
        return None;
    }
    let search = Search { world, plan, index, own, verdicts: RefCell::default() };
    if let Some(found) = search.existing() {
        return Some(found);
    }
    if world.is_expendable(own) {
        return None;
    }
    // A pod that may get reserved capacity may rightly wait for it rather than take a dearer node.
    if world.pools.iter().any(|pool| search.may_wait_for_reservation(pool)) {
        return None;
    }
    world.pools.iter().find_map(|pool| search.new_node(pool))
}

struct Search<'s, 'a> {
    world: &'s World<'a>,
    plan: &'s Plan<'a, 's>,
    index: usize,
    own: &'s Pod<'a>,
    verdicts: RefCell<BTreeMap<(usize, Vec<Profile>), bool>>,
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
        // New nodes that look the same are the same to topology.
        let look = more.map(|host| host.profiles.clone()).unwrap_or_default();
        let known = self.verdicts.borrow().get(&(at, look.clone())).copied();
        known.unwrap_or_else(|| {
            let verdict = self.judge_topology(at, more);
            self.verdicts.borrow_mut().insert((at, look), verdict);
            verdict
        })
    }

    fn judge_topology(&self, at: usize, more: Option<&Host>) -> bool {
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
        if pool.unusable.is_some() || repelled_by(self.own.tolerations, pool.taints).is_some() {
            return None;
        }
        let choices = self.own.whole_demand().choices();
        let one_is_enough = self.enough(pool, &[]).is_some();
        let mut workable: BTreeMap<Requirements, Vec<&'a InstanceType>> = BTreeMap::new();
        for choice in choices {
            let defined = |(key, wanted): (&String, &Allowed)| {
                wanted.absent || self.world.dialect.is_well_known(key) || pool.requirements.contains_key(key)
            };
            if !choice.iter().all(defined) {
                continue;
            }
            let requirements = combine(&pool.requirements, &choice);
            for kind in pool.types.iter().filter(|kind| self.within_limits(pool, &[kind])) {
                for pin in self.claims(kind, &requirements) {
                    if self.works(pool, &[kind], &pin) {
                        if one_is_enough {
                            return Some(Where::NewNode { claim: self.print(pool, &[kind], &pin) });
                        }
                        workable.entry(pin).or_default().push(kind);
                    }
                }
            }
        }
        workable.into_iter().find_map(|(pin, kinds)| {
            let kinds = self.enough(pool, &kinds).filter(|kinds| !kinds.is_empty())?;
            (self.within_limits(pool, &kinds) && self.works(pool, &kinds, &pin))
                .then(|| Where::NewNode { claim: self.print(pool, &kinds, &pin) })
        })
    }

    fn may_wait_for_reservation(&self, pool: &Pool<'a>) -> bool {
        let dialect = &self.world.dialect;
        let reserved = |offering: &Requirements| {
            offering.get(CAPACITY_TYPE).is_some_and(|allowed| allowed.contains(Some("reserved")))
        };
        pool.unusable.is_none()
            && pool.types.iter().any(|kind| {
                let of_type = dialect.requirements(&kind.requirements);
                kind.offerings.iter().filter(|offering| offering.available).any(|offering| {
                    let offered = offering_requirements(offering, dialect);
                    reserved(&offered)
                        && look_of(&[&pool.requirements, &of_type, &offered], &pool.requirements, dialect)
                            .is_some_and(|look| self.own.whole_demand().may_hold_on(&look))
                })
            })
    }

    fn print(&self, pool: &Pool<'a>, kinds: &[&'a InstanceType], pin: &Requirements) -> Value {
        let price = |kind: &InstanceType| {
            let options = option(kind, pin, &pool.requirements, "", self.world);
            let prices = options.offerings.iter().map(|(offering, _)| offering.price);
            prices.min_by(f64::total_cmp).unwrap_or(f64::MAX)
        };
        let mut kinds = kinds.to_vec();
        kinds.sort_by(|one, other| price(one).total_cmp(&price(other)));
        let taint = |taint: &Taint| json!({"key": taint.key, "value": taint.value, "effect": taint.effect});
        json!({
            "nodePool": pool.name,
            "requirements":
                pin.iter().flat_map(|(key, allowed)| allowed.expressions(key)).collect::<Vec<_>>(),
            "instanceTypes": kinds.iter().map(|kind| kind.name.as_str()).collect::<Vec<_>>(),
            "taints": pool.taints.iter().map(taint).collect::<Vec<_>>(),
            "pods": [self.own.key],
        })
    }

    /// The requirements of one claim for each offering, and for each value of other labels on which the pod's topology
    /// depends. Reserved capacity is left out: what is left of it depends on what the provider makes of other claims.
    fn claims(&self, kind: &InstanceType, requirements: &Requirements) -> Vec<Requirements> {
        let mut claims = Vec::new();
        let keys = self.own.spreads.iter().map(|spread| &spread.key);
        let keys: BTreeSet<&String> =
            keys.chain(self.own.with.iter().chain(&self.own.without).map(|term| &term.key)).collect();
        for (offering, profile) in option(kind, requirements, requirements, "", self.world).offerings {
            let mut offered = offering_requirements(offering, &self.world.dialect);
            if offered.get(CAPACITY_TYPE).is_none_or(|allowed| allowed.contains(Some("reserved"))) {
                continue;
            }
            offered.retain(|key, _| key == ZONE || key == CAPACITY_TYPE);
            let mut variants = vec![combine(requirements, &offered)];
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
            claims.extend(variants);
        }
        claims
    }

    /// Whether the pod can be alone on a new node that becomes any of these types.
    fn works(&self, pool: &Pool<'a>, kinds: &[&'a InstanceType], pin: &Requirements) -> bool {
        let name = "a new node of the pool";
        let options: Vec<TypeOption<'_>> =
            kinds.iter().map(|kind| option(kind, pin, &pool.requirements, name, self.world)).collect();
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

    /// Types that together have the values that `minValues` demand, nothing more; none if they do not suffice.
    fn enough(&self, pool: &Pool<'_>, kinds: &[&'a InstanceType]) -> Option<Vec<&'a InstanceType>> {
        let strict = self.world.minimum_values_are_strict();
        let mut missing: BTreeMap<&String, (u64, BTreeSet<String>)> = BTreeMap::new();
        for (key, &least) in pool.min_values.iter().filter(|_| strict) {
            missing.insert(key, (least, BTreeSet::new()));
        }
        let mut chosen: Vec<&'a InstanceType> = Vec::new();
        for kind in kinds {
            let of_type = self.world.dialect.requirements(&kind.requirements);
            let mut helps = false;
            for (key, (least, values)) in &mut missing {
                let before = values.len();
                let short = (before as u64) < *least;
                values.extend(look(&of_type, key).listed().into_iter().flatten().cloned());
                helps |= short && values.len() > before;
            }
            if helps {
                chosen.push(kind);
            }
        }
        let done = missing.values().all(|(least, values)| values.len() as u64 >= *least);
        let few = self.world.scenario.settings.max_instance_types.is_none_or(|most| chosen.len() <= most);
        (done && few).then_some(chosen)
    }
}
