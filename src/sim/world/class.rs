//! Pod classes: what the scheduler needs to know about all pods of one template in one namespace, worked out
//! once.
//!
//! **Invariant:** classes, groups and their links are fixed when the world is made; only counts and verdicts
//! change. A verdict is a pure function of a class and a node class, so remembering it changes nothing but
//! time.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_engine::model::{
    HostPort, LabelSelector, Labels, NamespaceSelector, OwnerKind, PodAffinity, PodSpec, Requirements,
    ResourceName, Resources, SpreadPolicy, Str, Taint, Toleration, TolerationOperator, TopologySpread,
    Unsatisfiable, first_untolerated, label,
};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::scenario::DisruptionBudget;

/// The four amounts of every node, in the order cpu, memory, ephemeral storage, pods.
pub(super) type Basic = [i64; 4];

/// The four amounts that every node has.
pub(super) fn basic(resources: &Resources) -> Basic {
    [resources.cpu_millis, resources.memory_bytes, resources.ephemeral_bytes, resources.pods]
}

/// All pods of one template in one namespace.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) namespace: Str,
    pub(super) spec: Arc<PodSpec>,
    pub(super) tolerations: Vec<Toleration>,
    pub(super) alternatives: Vec<Requirements>,
    /// Whether the requirements look at the host name, so that nodes of one class differ.
    pub(super) by_host: bool,
    pub(super) request: Basic,
    /// Extended resources: their numbers and amounts.
    pub(super) other: Vec<(u16, i64)>,
    /// Budgets that select its pods.
    pub(super) budgets: Vec<u32>,
    /// Groups in which its pods count.
    pub(super) counted: Vec<u32>,
    /// What the place of a pod among others must satisfy.
    pub(super) rules: Vec<Rule>,
    /// Whether something that happens on one node can make another feasible.
    pub(super) global: bool,
    /// Remembered verdicts by node class.
    verdicts: Vec<Option<Verdict>>,
}

/// What a node class is for a pod class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Labels match the selector and the required affinity.
    pub(super) matches: bool,
    /// Taints and cordon are tolerated.
    pub(super) tolerated: bool,
}

/// A constraint on where a pod may be in relation to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// Topology spread.
    Spread {
        group: u32,
        max_skew: u32,
        min_domains: Option<u32>,
        /// Whether the pod itself counts.
        own: bool,
        honor_affinity: bool,
        honor_taints: bool,
    },
    /// No pod of the group in the domain.
    Away { group: u32 },
    /// Some pod of the group in the domain, or none anywhere and the pod is of the group itself.
    Towards { group: u32, own: bool },
}

/// Which pods a group counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Counts {
    /// Those selected that are not being deleted.
    Live,
    /// Those selected.
    All,
    /// Those that themselves have the anti-affinity term.
    Owners,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct GroupKey {
    counts: Counts,
    topology_key: Str,
    own_namespace: Option<Str>,
    names: Vec<Str>,
    namespace_selector: Option<LabelSelector>,
    selector: LabelSelector,
}

/// A number of pods by topology domain.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) counts: Counts,
    key: GroupKey,
    by_host: FxHashMap<u32, u32>,
    by_value: FxHashMap<Str, u32>,
    pub(super) total: u32,
}

impl Group {
    fn is_by_host(&self) -> bool {
        &*self.key.topology_key == label::HOSTNAME
    }

    /// The number in the domain of a node; `None` if the node is in none.
    pub(super) fn count(&self, node: u32, labels: &Labels) -> Option<u32> {
        if self.is_by_host() {
            return Some(self.by_host.get(&node).copied().unwrap_or(0));
        }
        labels.get(&self.key.topology_key).map(|value| self.by_value.get(value).copied().unwrap_or(0))
    }

    /// The domain of a node, for counting domains; `None` if the node is in none.
    pub(super) fn domain<'a>(&self, labels: &'a Labels) -> Option<Option<&'a Str>> {
        if self.is_by_host() { Some(None) } else { labels.get(&self.key.topology_key).map(Some) }
    }

    /// One pod more or less in the domain of a node.
    pub(super) fn change(&mut self, node: u32, labels: &Labels, more: bool) {
        let slot = if self.is_by_host() {
            self.by_host.entry(node).or_insert(0)
        } else {
            let Some(value) = labels.get(&self.key.topology_key) else { return };
            self.by_value.entry(value.clone()).or_insert(0)
        };
        if more {
            *slot += 1;
            self.total += 1;
        } else {
            *slot = slot.saturating_sub(1);
            self.total = self.total.saturating_sub(1);
        }
    }
}

impl GroupKey {
    fn selects(&self, namespace: &Str, labels: &Labels) -> bool {
        let in_namespace = self.own_namespace.as_ref() == Some(namespace)
            || self.names.contains(namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                // The API server gives every namespace this label; others are not in the model.
                selector.matches(&Labels::from([("kubernetes.io/metadata.name".into(), namespace.clone())]))
            });
        in_namespace && self.selector.matches(labels)
    }
}

/// What makes a node differ from another for the static filters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct NodeClass {
    pub(super) labels: Arc<Labels>,
    pub(super) taints: Vec<Taint>,
    pub(super) unschedulable: bool,
}

/// All classes, groups and node classes.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) all: Vec<Class>,
    pub(super) groups: Vec<Group>,
    pub(super) node_classes: Vec<NodeClass>,
    label_sets: FxHashSet<Arc<Labels>>,
    known: BTreeMap<(Str, Arc<PodSpec>), u32>,
    node_class_numbers: FxHashMap<NodeClass, u32>,
    resources: Vec<ResourceName>,
}

impl Classes {
    /// The number of a class, new or known. Only before [`Classes::link`].
    pub(super) fn define(&mut self, namespace: &Str, spec: &Arc<PodSpec>) -> u32 {
        let key = (namespace.clone(), Arc::clone(spec));
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let number = self.all.len() as u32;
        let alternatives = spec.node_alternatives();
        let by_host = alternatives.iter().any(|alternative| alternative.get(label::HOSTNAME).is_some());
        let other = spec.requests.other().map(|(name, amount)| (self.resource(name), amount)).collect();
        let mut request = basic(&spec.requests);
        request[3] = request[3].max(1);
        self.all.push(Class {
            namespace: namespace.clone(),
            spec: Arc::clone(spec),
            tolerations: tolerations(spec),
            alternatives,
            by_host,
            request,
            other,
            budgets: Vec::new(),
            counted: Vec::new(),
            rules: Vec::new(),
            global: false,
            verdicts: Vec::new(),
        });
        self.known.insert(key, number);
        number
    }

    /// The number of a class that was defined.
    pub(super) fn number(&self, namespace: &Str, spec: &Arc<PodSpec>) -> u32 {
        *self
            .known
            .get(&(namespace.clone(), Arc::clone(spec)))
            .expect("invariant: every spec of the scenario is defined first")
    }

    /// The number of an extended resource.
    pub(super) fn resource(&mut self, name: &ResourceName) -> u16 {
        if let Some(at) = self.resources.iter().position(|known| known == name) {
            return at as u16;
        }
        self.resources.push(name.clone());
        (self.resources.len() - 1) as u16
    }

    /// Works out which classes count in which groups, and which budgets select them.
    pub(super) fn link(&mut self, budgets: &[DisruptionBudget]) {
        let mut numbers: BTreeMap<GroupKey, u32> = BTreeMap::new();
        let mut owners: Vec<(u32, u32)> = Vec::new();
        for class in 0..self.all.len() {
            let spec = Arc::clone(&self.all[class].spec);
            let namespace = self.all[class].namespace.clone();
            let mut rules = Vec::new();
            for spread in spec.spread.iter().filter(|s| s.when_unsatisfiable == Unsatisfiable::DoNotSchedule)
            {
                let key = spread_key(&namespace, spread);
                let own = key.selects(&namespace, &spec.labels);
                let group = self.group(&mut numbers, key);
                rules.push(Rule::Spread {
                    group,
                    max_skew: spread.max_skew,
                    min_domains: spread.min_domains,
                    own,
                    honor_affinity: spread.node_affinity_policy == SpreadPolicy::Honor,
                    honor_taints: spread.node_taints_policy == SpreadPolicy::Honor,
                });
            }
            for term in spec.affinity.iter().filter(|term| term.weight.is_none()) {
                let key = affinity_key(&namespace, term, Counts::All);
                let own = key.selects(&namespace, &spec.labels);
                let group = self.group(&mut numbers, key);
                if term.anti {
                    rules.push(Rule::Away { group });
                    let of_owners = self.group(&mut numbers, affinity_key(&namespace, term, Counts::Owners));
                    owners.push((class as u32, of_owners));
                } else {
                    rules.push(Rule::Towards { group, own });
                }
            }
            self.all[class].rules = rules;
        }
        let Self { all, groups, .. } = self;
        for class in all.iter_mut() {
            for (number, group) in groups.iter().enumerate() {
                if group.key.selects(&class.namespace, &class.spec.labels) {
                    match group.counts {
                        Counts::Live | Counts::All => class.counted.push(number as u32),
                        // Others keep it away from where they are.
                        Counts::Owners => class.rules.push(Rule::Away { group: number as u32 }),
                    }
                }
            }
            for (number, budget) in budgets.iter().enumerate() {
                if budget.key.namespace == class.namespace && budget.selector.matches(&class.spec.labels) {
                    class.budgets.push(number as u32);
                }
            }
        }
        for (class, group) in owners {
            self.all[class as usize].counted.push(group);
        }
        for class in &mut self.all {
            class.global = class.rules.iter().any(|rule| match rule {
                // With more domains asked for than there can be, the minimum is zero whatever happens
                // elsewhere.
                Rule::Spread { group, min_domains, .. } => {
                    !(self.groups[*group as usize].is_by_host()
                        && min_domains.is_some_and(|least| least > 1_000_000))
                }
                Rule::Away { group } => !self.groups[*group as usize].is_by_host(),
                Rule::Towards { .. } => true,
            });
        }
    }

    fn group(&mut self, numbers: &mut BTreeMap<GroupKey, u32>, key: GroupKey) -> u32 {
        if let Some(known) = numbers.get(&key) {
            return *known;
        }
        let number = self.groups.len() as u32;
        numbers.insert(key.clone(), number);
        self.groups.push(Group {
            counts: key.counts,
            key,
            by_host: FxHashMap::default(),
            by_value: FxHashMap::default(),
            total: 0,
        });
        number
    }

    /// The one copy of a set of node labels, which nodes share: equal sets are then compared at a glance.
    pub(super) fn shared(&mut self, labels: &Arc<Labels>) -> Arc<Labels> {
        match self.label_sets.get(labels) {
            Some(known) => Arc::clone(known),
            None => {
                self.label_sets.insert(Arc::clone(labels));
                Arc::clone(labels)
            }
        }
    }

    /// The number of a node class, new or known.
    pub(super) fn node_class(&mut self, class: NodeClass) -> u32 {
        if let Some(known) = self.node_class_numbers.get(&class) {
            return *known;
        }
        let number = self.node_classes.len() as u32;
        self.node_classes.push(class.clone());
        self.node_class_numbers.insert(class, number);
        number
    }

    /// What a node class is for a class; `host` is the node's name.
    pub(super) fn verdict(&mut self, class: u32, node_class: u32, host: &Str) -> Verdict {
        let own = &mut self.all[class as usize];
        let at = node_class as usize;
        if let Some(Some(known)) = own.verdicts.get(at)
            && !own.by_host
        {
            return *known;
        }
        let verdict = judge(own, &self.node_classes[at], host);
        if own.verdicts.len() <= at {
            own.verdicts.resize(at + 1, None);
        }
        own.verdicts[at] = Some(verdict);
        verdict
    }
}

fn judge(class: &Class, node: &NodeClass, host: &Str) -> Verdict {
    let unmet = |alternative: &Requirements| {
        if class.by_host {
            let mut labels = (*node.labels).clone();
            labels.insert(label::HOSTNAME.into(), host.clone());
            alternative.first_unmet(&labels).is_none()
        } else {
            alternative.first_unmet(&node.labels).is_none()
        }
    };
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        value: "".into(),
        effect: purser_engine::model::TaintEffect::NoSchedule,
    };
    Verdict {
        matches: class.alternatives.iter().any(unmet),
        tolerated: first_untolerated(&node.taints, &class.tolerations).is_none()
            && (!node.unschedulable || cordon.is_tolerated_by(&class.tolerations)),
    }
}

/// A pod's tolerations, with those that the DaemonSet controller adds.
fn tolerations(spec: &PodSpec) -> Vec<Toleration> {
    use purser_engine::model::TaintEffect::{NoExecute, NoSchedule};
    let mut all = spec.tolerations.clone();
    if spec.owner == OwnerKind::DaemonSet {
        // Source: AddOrUpdateDaemonPodTolerations (k8s.io/kubernetes, pkg/controller/daemon/util).
        for (condition, effect) in [
            ("not-ready", NoExecute),
            ("unreachable", NoExecute),
            ("disk-pressure", NoSchedule),
            ("memory-pressure", NoSchedule),
            ("pid-pressure", NoSchedule),
            ("unschedulable", NoSchedule),
        ] {
            all.push(Toleration {
                key: Some(format!("node.kubernetes.io/{condition}").into()),
                operator: TolerationOperator::Exists,
                value: "".into(),
                effect: Some(effect),
            });
        }
    }
    all
}

fn spread_key(namespace: &Str, spread: &TopologySpread) -> GroupKey {
    GroupKey {
        counts: Counts::Live,
        topology_key: spread.topology_key.clone(),
        own_namespace: Some(namespace.clone()),
        names: Vec::new(),
        namespace_selector: None,
        selector: spread.selector.clone(),
    }
}

fn affinity_key(namespace: &Str, term: &PodAffinity, counts: Counts) -> GroupKey {
    let (own_namespace, names, namespace_selector) = match &term.namespaces {
        NamespaceSelector::Own => (Some(namespace.clone()), Vec::new(), None),
        NamespaceSelector::Other { names, selector } => (None, names.clone(), selector.clone()),
    };
    GroupKey {
        counts,
        topology_key: term.topology_key.clone(),
        own_namespace,
        names,
        namespace_selector,
        selector: term.selector.clone(),
    }
}

/// Whether two host ports cannot be on one node.
pub(super) fn ports_conflict(a: &HostPort, b: &HostPort) -> bool {
    let any = |ip: &str| ip.is_empty() || ip == "0.0.0.0" || ip == "::";
    a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || any(&a.ip) || any(&b.ip))
}
