//! The groups of a problem: which there are, which pods they count, and which domains their labels have.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{Domain, GroupId, GroupKey, KeyId, Kind, NodeFilter, namespaces};
use crate::event::SpecId;
use crate::model::{
    LabelOperator, LabelSelector, Labels, PodSpec, Requirement, Requirements, Str, Unsatisfiable,
    first_untolerated, label,
};
use crate::schedule::class::{Class, Wishes};
use crate::schedule::problem::{Host, HostLabels, PoolOffer, Problem, TypeOffer};
use crate::schedule::supply::template;

/// All groups of a problem.
#[derive(Debug, Default)]
pub(in crate::schedule) struct Groups {
    all: Vec<Group>,
    ids: FxHashMap<GroupKey, GroupId>,
    filters: FxHashMap<NodeFilter, usize>,
    /// Groups by a label that their selector asks for, and the rest.
    by_label: FxHashMap<(Str, Str), Vec<GroupId>>,
    general: Vec<GroupId>,
    keys: Vec<Key>,
    key_ids: FxHashMap<Str, KeyId>,
}

/// The groups that count pods with labels, as [`Groups::ties`] found them; those of anti-affinity the other way round apart.
pub(in crate::schedule) type Selecting = FxHashMap<(Str, Labels), (Vec<GroupId>, Vec<GroupId>)>;

/// A group.
#[derive(Debug)]
pub(in crate::schedule) struct Group {
    pub of: GroupKey,
    pub key: KeyId,
    /// Groups that look at the same nodes have the same number.
    pub filter: usize,
    /// Domains that count though nothing may be there; none for host names.
    pub registered: BTreeSet<Domain>,
}

/// A topology key and its values.
#[derive(Debug, Default)]
pub(in crate::schedule) struct Key {
    pub label: Option<Str>,
    pub values: Vec<Str>,
    ids: FxHashMap<Str, Domain>,
    /// The domains in which nodes of a pool can be.
    pub of_pool: Vec<Vec<Domain>>,
    /// The domain of a host, if it is certain.
    pub of_host: Vec<Option<Domain>>,
    /// By host, the domains in one of which it will be, where that is open.
    pub open_hosts: FxHashMap<usize, Vec<Domain>>,
}

/// How a class with certain wishes is tied to groups.
#[derive(Debug, Clone, Default)]
pub(in crate::schedule) struct Ties {
    /// Constraints of its own.
    pub owned: Vec<Owned>,
    /// Groups that count it.
    pub counted_by: Vec<GroupId>,
    /// Groups whose pods do not want it beside them.
    pub unwanted_by: Vec<GroupId>,
    /// Groups that count it for whom it does not want beside it.
    pub wards_off: Vec<GroupId>,
    /// The labels, host name aside, of all of these: a node that takes the pod must be in one domain of each.
    pub keys: Vec<KeyId>,
}

/// A constraint of a class.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct Owned {
    pub group: GroupId,
    /// Whether it counts the pod itself.
    pub counts_itself: bool,
    /// For spread: the domains among which it balances.
    pub eligible: Vec<Domain>,
}

impl Ties {
    /// All groups that it has to do with.
    pub(in crate::schedule) fn all(&self) -> impl Iterator<Item = GroupId> {
        let owned = self.owned.iter().map(|owned| owned.group);
        let others = [&self.counted_by, &self.unwanted_by, &self.wards_off].into_iter().flatten();
        owned.chain(others.copied())
    }
}

impl Groups {
    pub(in crate::schedule) fn new() -> Self {
        let mut groups = Self::default();
        groups.keys.push(Key { label: Some(label::HOSTNAME.into()), ..Key::default() });
        groups.key_ids.insert(label::HOSTNAME.into(), KeyId::HOSTNAME);
        groups
    }

    pub(in crate::schedule) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(in crate::schedule) fn len(&self) -> usize {
        self.all.len()
    }

    pub(in crate::schedule) fn group(&self, id: GroupId) -> &Group {
        &self.all[id.0 as usize]
    }

    /// The number of topology keys.
    pub(in crate::schedule) fn keys(&self) -> u16 {
        self.keys.len() as u16
    }

    pub(in crate::schedule) fn key(&self, id: KeyId) -> &Key {
        &self.keys[usize::from(id.0)]
    }

    /// Adds the constraints that a class with certain wishes has; [`Groups::ties`] asks for them again.
    pub(in crate::schedule) fn add(
        &mut self,
        problem: &Problem<'_>,
        class: &Class<'_>,
        wishes: &Wishes<'_>,
    ) -> Vec<GroupId> {
        own_groups(problem, class, wishes).into_iter().map(|of| self.intern(of)).collect()
    }

    /// Adds the anti-affinity of pods that are there.
    pub(in crate::schedule) fn add_placed(&mut self, problem: &Problem<'_>) {
        if problem.wary.is_empty() {
            return;
        }
        let mut seen: BTreeSet<(SpecId, &Str)> = BTreeSet::new();
        for pod in problem.hosts.iter().flat_map(|host| &host.pods) {
            if problem.wary.contains(&pod.spec) && seen.insert((pod.spec, &pod.namespace)) {
                for of in inverse(problem, &problem.specs[pod.spec.0 as usize], &pod.namespace) {
                    self.intern(of);
                }
            }
        }
    }

    fn intern(&mut self, of: GroupKey) -> GroupId {
        if let Some(id) = self.ids.get(&of) {
            return *id;
        }
        let id = GroupId(self.all.len() as u32);
        let key = self.key_ids.get(&of.key).copied().unwrap_or_else(|| {
            let key = KeyId(u16::try_from(self.keys.len()).expect("problems have fewer topology keys"));
            self.keys.push(Key { label: Some(of.key.clone()), ..Key::default() });
            self.key_ids.insert(of.key.clone(), key);
            key
        });
        let asked = of.selector.0.iter().find(|one| one.operator == LabelOperator::In);
        match asked {
            Some(one) => {
                for value in &one.values {
                    self.by_label.entry((one.key.clone(), value.clone())).or_default().push(id);
                }
            }
            None => self.general.push(id),
        }
        let next = self.filters.len();
        let filter = *self.filters.entry(of.nodes.clone()).or_insert(next);
        self.ids.insert(of.clone(), id);
        self.all.push(Group { of, key, filter, registered: BTreeSet::new() });
        id
    }

    /// Finds the domains, once all groups are known.
    pub(in crate::schedule) fn find_domains(&mut self, problem: &Problem<'_>) {
        for key in self.keys.iter_mut().skip(1) {
            let label = key.label.clone().expect("every key has a label");
            for offer in problem.pools {
                let mut domains: Vec<Domain> =
                    pool_values(offer, &label).into_iter().map(|value| key.domain(&value)).collect();
                domains.sort_unstable();
                key.of_pool.push(domains);
            }
            for host in problem.hosts {
                let domain = host.labels.value(&label).map(|value| key.domain(value));
                key.of_host.push(domain);
            }
            for (at, host) in problem.hosts.iter().enumerate().filter(|(at, _)| key.of_host[*at].is_none()) {
                let HostLabels::Possible(possible) = &*host.labels else { continue };
                let Some(own) = possible.get(&label) else { continue };
                // What nobody else has a name for counts nowhere.
                let domains =
                    (0..key.values.len() as Domain).filter(|one| own.has(&key.values[*one as usize]));
                key.open_hosts.insert(at, domains.collect());
            }
        }
        for group in self.all.iter_mut().filter(|group| group.key != KeyId::HOSTNAME) {
            let key = &self.keys[usize::from(group.key.0)];
            let tolerations = group.of.nodes.tolerations.as_deref();
            for (offer, domains) in problem.pools.iter().zip(&key.of_pool) {
                let taints = &offer.pool.template.taints;
                if tolerations.is_none_or(|tolerations| first_untolerated(taints, tolerations).is_none()) {
                    group.registered.extend(domains);
                }
            }
            for (host, domain) in problem.hosts.iter().zip(&key.of_host) {
                if let Some(domain) = domain
                    && group.of.nodes.allows_host(host)
                {
                    group.registered.insert(*domain);
                }
            }
        }
    }

    /// The groups that count a pod with these labels; those of anti-affinity the other way round apart.
    fn selecting(&self, namespace: &Str, labels: &Labels) -> (Vec<GroupId>, Vec<GroupId>) {
        let asked = labels.iter().filter_map(|(key, value)| self.by_label.get(&(key.clone(), value.clone())));
        let mut found: Vec<GroupId> = asked
            .flatten()
            .chain(&self.general)
            .copied()
            .filter(|id| {
                let of = &self.group(*id).of;
                let selects = |namespaces: &Option<BTreeSet<Str>>, selector: &LabelSelector| {
                    namespaces.as_ref().is_none_or(|all| all.contains(namespace)) && selector.matches(labels)
                };
                selects(&of.namespaces, &of.selector)
                    && of.also.iter().all(|(namespaces, selector)| selects(namespaces, selector))
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().partition(|id| self.group(*id).of.kind != Kind::Inverse)
    }

    /// How a class is tied to groups.
    pub(in crate::schedule) fn ties(
        &self,
        class: &Class<'_>,
        own: &[GroupId],
        known: &mut Selecting,
    ) -> Ties {
        if self.is_empty() {
            return Ties::default();
        }
        let selecting = || self.selecting(class.namespace, &class.spec.labels);
        let labels = (class.namespace.clone(), class.spec.labels.clone());
        let (counted_by, unwanted_by) = known.entry(labels).or_insert_with(selecting).clone();
        let strict = class.spec.node_alternatives();
        let mut ties = Ties { counted_by, unwanted_by, ..Ties::default() };
        for id in own.iter().copied() {
            let of = &self.group(id).of;
            if of.kind == Kind::Inverse {
                ties.wards_off.push(id);
                continue;
            }
            let group = self.group(id);
            let key = self.key(group.key);
            let allowed = |domain: &Domain| {
                let value = &key.values[*domain as usize];
                strict.iter().any(|wanted| wanted.get(&of.key).is_none_or(|one| one.has(value)))
            };
            let eligible = match of.kind {
                Kind::Spread { .. } if group.key != KeyId::HOSTNAME => {
                    // Where affinity is ignored, domains that the pod cannot reach count as well, should a node come to be there.
                    let counts = |domain: &Domain| !of.nodes.honors_affinity || allowed(domain);
                    group.registered.iter().copied().filter(counts).collect()
                }
                _ => Vec::new(),
            };
            let counts_itself = ties.counted_by.binary_search(&id).is_ok();
            ties.owned.push(Owned { group: id, counts_itself, eligible });
        }
        let owned = ties.owned.iter().map(|owned| &owned.group);
        let all = owned.chain(&ties.counted_by).chain(&ties.unwanted_by).chain(&ties.wards_off);
        let keys: BTreeSet<KeyId> = all.map(|id| self.group(*id).key).collect();
        ties.keys = keys.into_iter().filter(|key| *key != KeyId::HOSTNAME).collect();
        // Numbers follow the order of the pods that are there.
        ties.keys.sort_by_key(|key| &self.key(*key).label);
        ties
    }

    /// How pods that are there count.
    pub(super) fn placed(
        &self,
        problem: &Problem<'_>,
        spec: &PodSpec,
        namespace: &Str,
    ) -> (Vec<GroupId>, Vec<GroupId>) {
        let (counted_by, _) = self.selecting(namespace, &spec.labels);
        let wards_off = if spec.has_required_anti_affinity() {
            inverse(problem, spec, namespace).filter_map(|of| self.ids.get(&of).copied()).collect()
        } else {
            Vec::new()
        };
        (counted_by, wards_off)
    }
}

impl Key {
    fn domain(&mut self, value: &Str) -> Domain {
        if let Some(known) = self.ids.get(value) {
            return *known;
        }
        let domain = self.values.len() as Domain;
        self.values.push(value.clone());
        self.ids.insert(value.clone(), domain);
        domain
    }

    pub(in crate::schedule) fn find(&self, value: &str) -> Option<Domain> {
        self.ids.get(value).copied()
    }
}

impl NodeFilter {
    pub(in crate::schedule) fn allows_host(&self, host: &Host) -> bool {
        let by_labels = self.alternatives.is_empty()
            || self.alternatives.iter().any(|wanted| host.labels.first_unmet(wanted).is_none());
        by_labels
            && host.labels.first_unmet(&self.keys).is_none()
            && self
                .tolerations
                .as_ref()
                .is_none_or(|tolerations| first_untolerated(&host.taints, tolerations).is_none())
    }

    /// Whether it may turn out to allow a host whose labels are not settled yet.
    pub(in crate::schedule) fn may_allow_host(&self, host: &Host) -> bool {
        let HostLabels::Possible(possible) = &*host.labels else { return self.allows_host(host) };
        let could_meet = |wanted: &Requirements| {
            wanted.iter().all(|(key, wanted)| match possible.get(key) {
                Some(own) => own.intersects(wanted),
                None => wanted.tolerates_absence(),
            })
        };
        (self.alternatives.is_empty() || self.alternatives.iter().any(could_meet))
            && could_meet(&self.keys)
            && self
                .tolerations
                .as_ref()
                .is_none_or(|tolerations| first_untolerated(&host.taints, tolerations).is_none())
    }

    /// Whether a planned node will pass, whichever of the types it becomes; its taints are not looked at.
    pub(in crate::schedule) fn surely_allows<'t>(
        &self,
        node: &Requirements,
        mut types: impl Iterator<Item = &'t TypeOffer>,
    ) -> bool {
        types.all(|one| {
            surely_satisfies(node, one, &self.keys)
                && (self.alternatives.is_empty()
                    || self.alternatives.iter().any(|wanted| surely_satisfies(node, one, wanted)))
        })
    }

    pub(in crate::schedule) fn allows_planned(
        &self,
        problem: &Problem<'_>,
        offer: &PoolOffer,
        node: &Requirements,
    ) -> bool {
        let compatible = |wanted: &Requirements| {
            node.first_conflict(wanted, |key| problem.rules.is_well_known(key)).is_none()
        };
        let by_labels = self.alternatives.is_empty() || self.alternatives.iter().any(compatible);
        by_labels
            && self.tolerations.as_ref().is_none_or(|tolerations| {
                first_untolerated(&offer.pool.template.taints, tolerations).is_none()
            })
    }
}

/// Whether labels of a node of a type will be such as wanted, whichever values they come to have.
fn surely_satisfies(node: &Requirements, one: &TypeOffer, wanted: &Requirements) -> bool {
    wanted.iter().all(|(key, wanted)| {
        let within = |own: Option<&Requirement>| own.is_some_and(|own| implies(own, wanted));
        let of_type = one.requirements.get(key);
        let both = node.get(key).zip(of_type).map(|(node, of_type)| node.intersection(of_type));
        let absent = |own: Option<&Requirement>| own.is_none_or(Requirement::is_absent);
        within(node.get(key))
            || within(of_type)
            || within(both.as_ref())
            || one.offerings.iter().all(|buy| within(buy.requirements.get(key)))
            || (wanted.tolerates_absence()
                && absent(node.get(key))
                && absent(of_type)
                && one.offerings.iter().all(|buy| absent(buy.requirements.get(key))))
    })
}

/// Whether each label that the one allows is one that the other wants; a label that may be missing is missing.
fn implies(own: &Requirement, wanted: &Requirement) -> bool {
    let unbounded = wanted.bounds() == (None, None) || wanted.bounds() == own.bounds();
    (wanted.tolerates_absence() || !own.tolerates_absence())
        && if own.is_complement() {
            wanted.is_complement() && unbounded && wanted.values().iter().all(|value| own.lists(value))
        } else {
            own.values().iter().all(|value| wanted.has(value))
        }
}

/// The groups of a class's own constraints.
fn own_groups(problem: &Problem<'_>, class: &Class<'_>, wishes: &Wishes<'_>) -> Vec<GroupKey> {
    let strict = class.spec.node_alternatives();
    let mut all = Vec::new();
    let hard =
        class.spec.spread.iter().filter(|spread| spread.when_unsatisfiable == Unsatisfiable::DoNotSchedule);
    let keys: BTreeSet<Str> = hard.map(|spread| spread.topology_key.clone()).collect();
    for spread in &wishes.spread {
        let of = GroupKey {
            key: spread.topology_key.clone(),
            kind: Kind::Spread { max_skew: spread.max_skew, min_domains: spread.min_domains },
            namespaces: Some([class.namespace.clone()].into()),
            selector: spread.selector.clone(),
            also: Vec::new(),
            nodes: NodeFilter::of(spread, strict.clone(), &class.spec.tolerations, &keys),
        };
        all.push(of);
    }
    let required: Vec<(Option<BTreeSet<Str>>, LabelSelector)> = class
        .spec
        .affinity
        .iter()
        .filter(|term| !term.anti && term.weight.is_none())
        .map(|term| (namespaces(term, class.namespace, problem.namespaces), term.selector.clone()))
        .collect();
    for term in &wishes.affinity {
        let of = GroupKey {
            key: term.topology_key.clone(),
            kind: if term.anti { Kind::Anti } else { Kind::Affinity },
            namespaces: namespaces(term, class.namespace, problem.namespaces),
            selector: term.selector.clone(),
            also: if !term.anti && term.weight.is_none() && required.len() > 1 {
                required.clone()
            } else {
                Vec::new()
            },
            nodes: NodeFilter::default(),
        };
        all.push(of);
    }
    all.extend(inverse(problem, class.spec, class.namespace));
    all
}

/// The groups that count those who have the required anti-affinity of a spec.
fn inverse<'a>(
    problem: &'a Problem<'_>,
    spec: &'a PodSpec,
    namespace: &'a Str,
) -> impl Iterator<Item = GroupKey> {
    spec.affinity.iter().filter(|term| term.is_required_anti()).map(|term| GroupKey {
        key: term.topology_key.clone(),
        kind: Kind::Inverse,
        namespaces: namespaces(term, namespace, problem.namespaces),
        selector: term.selector.clone(),
        also: Vec::new(),
        nodes: NodeFilter::default(),
    })
}

/// The values of a label that nodes of a pool can have.
fn pool_values(offer: &PoolOffer, key: &str) -> BTreeSet<Str> {
    let template = template(offer);
    let own = template.get(key);
    let conflicts = |of: &Requirements| {
        let mut own = template.iter();
        own.any(|(key, own)| of.get(key).is_some_and(|one| !own.intersects(one) && !one.is_absent()))
    };
    let mut values = BTreeSet::new();
    let mut of_types = false;
    for one in offer.types.iter() {
        // A type may name more than it can be bought with.
        let of_type = listed(&one.requirements, key);
        for buy in &one.offerings {
            let Some(of) = listed(&buy.requirements, key).or(of_type) else { continue };
            of_types = true;
            let is_new = |value: &&Str| !values.contains(*value) && own.is_none_or(|own| own.has(value));
            let new: Vec<&Str> = of.values().iter().filter(is_new).collect();
            if !new.is_empty() && !conflicts(&one.requirements) && !conflicts(&buy.requirements) {
                values.extend(new.into_iter().cloned());
            }
        }
    }
    if let Some(own) = own.filter(|own| !own.is_complement() && !of_types) {
        values.extend(own.values().iter().cloned());
    }
    values
}

/// What is said of a label, if it names the values.
fn listed<'r>(of: &'r Requirements, key: &str) -> Option<&'r Requirement> {
    of.get(key).filter(|one| !one.is_complement())
}
