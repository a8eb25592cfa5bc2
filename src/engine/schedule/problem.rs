//! What is to be scheduled, and onto what.
//!
//! **Invariant:** a problem is complete: the answer depends on nothing else. What cannot be told yet of a host (the zone of a claim that is being
//! launched) is a set of possible values, and counts only as far as it holds for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attach::Attachable;
use crate::event::SpecId;
use crate::model::{
    ClaimKind, HostPort, InstanceType, Inventory, InventoryId, KindId, Labels, Limits, NodePool, PodClaim,
    PodGroup, PodKey, PodSpec, Price, Requirements, Resources, SelectorId, Str, Taint, Time, TypeName, Uid,
    Ways, label,
};
use crate::reason::Reason;
use crate::settings::{MinValuesPolicy, PreferencePolicy};

/// One scheduling problem.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The rules under which it is solved.
    pub rules: &'a Rules,
    /// What can be launched, the pool to be tried first in front.
    pub pools: &'a [PoolOffer],
    /// Nodes and claims that are there, the one to be filled first in front.
    pub hosts: &'a [Host],
    /// Pod specs by number.
    pub specs: &'a [Arc<PodSpec>],
    /// Pods that need a place.
    pub pods: &'a [PendingPod],
    /// Labels of the namespaces.
    pub namespaces: &'a BTreeMap<Str, Labels>,
    /// Specs with a required anti-affinity: those that may be on hosts, at least.
    pub wary: &'a BTreeSet<SpecId>,
    /// Devices and claims on them; without them a pod that has claims gets no place.
    pub devices: Option<&'a Devices>,
    /// How many volumes nodes attach that are yet to be launched.
    pub attachable: &'a Attachable,
}

/// Devices, and who claims them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Devices {
    /// Kinds of claims, by number.
    pub kinds: Vec<Arc<ClaimKind>>,
    /// Inventories, by number.
    pub inventories: Vec<Inventory>,
    /// Selectors that may take devices which are not of one node alone.
    pub wide: BTreeSet<SelectorId>,
    /// The claims of each pod of the problem, or why none of them can be had.
    pub pods: Vec<Result<Vec<PodClaim>, Reason>>,
    /// The devices of each host.
    pub hosts: Vec<Option<InventoryId>>,
    /// The devices of each type of each pool.
    pub types: Vec<Vec<Option<InventoryId>>>,
    /// The claims of each DaemonSet of the pools.
    pub daemons: Vec<Vec<KindId>>,
    /// The claims of pods that are expected on a host, by the host's place; pod by pod.
    pub expected: BTreeMap<usize, Vec<Vec<PodClaim>>>,
}

impl Devices {
    /// What claims of a kind ask for.
    pub fn kind(&self, kind: KindId) -> &ClaimKind {
        &self.kinds[kind.0 as usize]
    }

    /// The devices with this number.
    pub fn inventory(&self, id: InventoryId) -> &Inventory {
        &self.inventories[id.0 as usize]
    }
}

/// What is up to the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether preferences of pods count.
    pub preferences: PreferencePolicy,
    /// Whether `minValues` can be let go.
    pub min_values: MinValuesPolicy,
    /// The most instance types in one launch.
    pub max_types: usize,
    /// Labels that the provider gives its nodes, beyond those of [`label::is_well_known`].
    pub well_known: BTreeSet<Str>,
    /// The label that names a capacity reservation, if there are any.
    pub reservation_label: Option<Str>,
    /// What improvement may cost; the first pass is not counted.
    pub work: u64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            preferences: PreferencePolicy::Respect,
            min_values: MinValuesPolicy::Strict,
            max_types: 60,
            well_known: BTreeSet::new(),
            reservation_label: None,
            work: 50_000_000,
        }
    }
}

impl Rules {
    /// Whether a node gets this label from its provider, so that a pod may ask for it though no NodePool names it.
    pub fn is_well_known(&self, key: &str) -> bool {
        label::is_well_known(key) || self.well_known.contains(key)
    }
}

/// A pod that needs a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingPod {
    /// Its name.
    pub key: PodKey,
    /// What it asks for.
    pub spec: SpecId,
    /// When it was created.
    pub created: Time,
    /// Its UID, by which pods of one age are told apart.
    pub uid: Uid,
    /// What its volumes ask for.
    pub volumes: Vec<PodVolume>,
    /// The group that it is of, if it is launched for only together with others.
    pub group: Option<Gang>,
}

/// Pods of which so many get a place, or none does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gang {
    /// Its namespace and name.
    pub name: PodKey,
    /// So many of those that need a place; 0 for all.
    pub least: usize,
}

impl Gang {
    /// The group of a pod, of which so many run already; `None` if those are enough.
    pub fn new(pod: &PodKey, group: &PodGroup, running: usize) -> Option<Self> {
        let name = PodKey::new(pod.namespace.clone(), group.name.clone());
        let least = match group.min_members as usize {
            0 | 1 => 0,
            least if least <= running => return None,
            least => least - running,
        };
        Some(Self { name, least })
    }
}

/// A volume that a pod uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodVolume {
    /// The PersistentVolumeClaim.
    pub claim: PodKey,
    /// The CSI driver; empty if nobody says.
    pub driver: Str,
    /// From where it can be reached: one of these, or anywhere if there are none.
    pub topologies: Vec<Requirements>,
}

/// A place that is there already, or on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// What it is called.
    pub name: Str,
    /// Its labels, the host name aside.
    pub labels: Arc<HostLabels>,
    /// The value of its label `kubernetes.io/hostname`.
    pub hostname: Str,
    /// Taints that a pod has to tolerate.
    pub taints: Vec<Taint>,
    /// What is left for pods, with daemon pods that are still to come taken off.
    pub free: Resources,
    /// Pods that are here or expected.
    pub pods: Vec<PlacedPod>,
    /// Host ports that are taken, those of daemon pods to come included.
    pub ports: Vec<HostPort>,
    /// CSI drivers with the most volumes they attach here and the claims that are attached or will be.
    pub drivers: Vec<HostDriver>,
    /// Whether it takes pods; one that does not still counts where pods are counted.
    pub open: bool,
}

/// Labels of a host: known, or for a machine that is yet to come, what they may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostLabels {
    /// These.
    Known(Labels),
    /// One of the values each; labels that are not named will not be there.
    Possible(Requirements),
}

impl HostLabels {
    /// The value of a label, if it is certain.
    pub fn value(&self, key: &str) -> Option<&Str> {
        match self {
            Self::Known(labels) => labels.get(key),
            Self::Possible(requirements) => requirements.get(key)?.sole(),
        }
    }

    /// The first label by which a pod may not come here, whichever values the labels turn out to have.
    pub fn first_unmet<'a>(&self, wanted: &'a Requirements) -> Option<&'a str> {
        match self {
            Self::Known(labels) => wanted.first_unmet(labels),
            Self::Possible(possible) => wanted.iter().find_map(|(key, wanted)| {
                let met = match possible.get(key) {
                    Some(own) => !own.is_complement() && own.values().iter().all(|value| wanted.has(value)),
                    None => wanted.tolerates_absence(),
                };
                (!met).then_some(&**key)
            }),
        }
    }
}

/// A pod on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPod {
    /// Its namespace.
    pub namespace: Str,
    /// What it asked for.
    pub spec: SpecId,
}

/// A CSI driver on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDriver {
    /// Its name.
    pub driver: Str,
    /// The most volumes that it attaches here.
    pub limit: Option<u32>,
    /// The claims of those that it attaches.
    pub claims: BTreeSet<PodKey>,
}

/// A pool with what it can launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolOffer {
    /// The pool.
    pub pool: Arc<NodePool>,
    /// The instance types, in order of name.
    pub types: Arc<Vec<Arc<TypeOffer>>>,
    /// What its nodes take of its limits now, and how many they are.
    pub used: (Resources, u32),
    /// DaemonSets whose pods may run on its nodes.
    pub daemons: Arc<Vec<Arc<PodSpec>>>,
}

impl PoolOffer {
    /// The same pool with no room for nodes: nothing is launched, and what its nodes might be is known all the same.
    pub fn full(&self) -> Self {
        let mut pool = NodePool::clone(&self.pool);
        pool.limits.nodes = Some(0);
        Self { pool: Arc::new(pool), ..self.clone() }
    }

    /// The limits of the pool.
    pub fn limits(&self) -> &Limits {
        &self.pool.limits
    }
}

/// An instance type as it can be launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeOffer {
    /// The name.
    pub name: TypeName,
    /// Labels of its nodes.
    pub requirements: Requirements,
    /// What counts against limits.
    pub capacity: Resources,
    /// What pods can use: one entry, and more where offerings differ.
    pub allocatable: Vec<Resources>,
    /// Where and how it can be bought.
    pub offerings: Vec<BuyOption>,
}

impl TypeOffer {
    /// Types as they are offered, all of them to be had.
    pub fn all<'a>(types: impl IntoIterator<Item = &'a InstanceType>) -> impl Iterator<Item = Self> {
        let mut ways = Ways::default();
        types.into_iter().map(move |one| {
            let offerings = one.offerings.iter().map(|offering| BuyOption {
                requirements: ways.requirements(offering),
                price: offering.price,
                available: true,
                allocatable: 0,
                reservation: None,
            });
            Self {
                name: one.name.clone(),
                requirements: one.requirements.clone(),
                capacity: one.capacity.clone(),
                allocatable: vec![one.allocatable()],
                offerings: offerings.collect(),
            }
        })
    }
}

/// One way to buy an instance type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuyOption {
    /// Labels that a node bought so has; shared by all that is bought alike.
    pub requirements: Arc<Requirements>,
    /// Per hour.
    pub price: Price,
    /// Whether there is capacity, as far as is known.
    pub available: bool,
    /// Which of the type's allocatable amounts.
    pub allocatable: usize,
    /// The reservation that it draws on, and how many it has left.
    pub reservation: Option<(Str, u32)>,
}
