//! Topology domains: in which one a node is, and which ones there could be.
//!
//! Invariant: a planned node is in a domain for sure only if no node that it may become is anywhere else.

use std::collections::{BTreeMap, BTreeSet};

use crate::host::Host;
use crate::pod::Pod;
use crate::sets::HOSTNAME;
use crate::spread::Spread;
use crate::taints::repelled_by;
use crate::world::World;

/// Where a node may be, for one topology key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Domains {
    pub(crate) values: BTreeSet<String>,
    /// It may be without the label.
    pub(crate) absent: bool,
    /// It may be anywhere.
    pub(crate) open: bool,
}

impl Domains {
    fn of(host: &Host, key: &str) -> Self {
        let mut domains = Self::default();
        for profile in &host.profiles {
            match profile.get(key) {
                None => domains.absent = true,
                Some(allowed) => {
                    domains.absent |= allowed.absent;
                    match allowed.listed() {
                        Some(values) => domains.values.extend(values.iter().cloned()),
                        None => domains.open = true,
                    }
                }
            }
        }
        domains.absent |= host.profiles.is_empty();
        domains
    }

    /// The domain, if it is certain.
    pub(crate) fn certain(&self) -> Option<&str> {
        match self.values.first() {
            Some(value) if self.values.len() == 1 && !self.absent && !self.open => Some(value),
            _ => None,
        }
    }

    pub(crate) fn may_be(&self, value: &str) -> bool {
        self.open || self.values.contains(value)
    }

    pub(crate) fn may_meet(&self, other: &Self) -> bool {
        let somewhere = |domains: &Self| domains.open || !domains.values.is_empty();
        self.open && somewhere(other)
            || other.open && somewhere(self)
            || self.values.intersection(&other.values).next().is_some()
    }
}

/// The domains of each host, by topology key.
#[derive(Debug)]
pub(crate) struct DomainMap(Vec<BTreeMap<String, Domains>>);

impl DomainMap {
    pub(crate) fn new(hosts: &[Host], world: &World<'_>) -> Self {
        let mut keys = BTreeSet::new();
        for pod in &world.pods {
            keys.extend(pod.spreads.iter().map(|spread| spread.key.clone()));
            keys.extend(pod.with.iter().chain(&pod.without).map(|term| term.key.clone()));
        }
        let of_host = |host: &Host| keys.iter().map(|key| (key.clone(), Domains::of(host, key))).collect();
        Self(hosts.iter().map(of_host).collect())
    }

    pub(crate) fn of(&self, host: usize, key: &str) -> &Domains {
        &self.0[host][key]
    }
}

/// How far to go in counting domains that no node is in yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those that a NodePool could provide now, to a node that suits the pod.
    Available,
    /// Each that Karpenter might count. Fewer placements pass.
    Widest,
}

/// Domains in which a NodePool could open a node, so that a constraint counts them although they are empty.
///
/// kube-scheduler sees only nodes that exist; but a spread over zones would mean nothing if it were enough never to
/// open a node in the second one.
pub(crate) fn provided(pod: &Pod<'_>, spread: &Spread, reach: Reach, world: &World<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let widest = reach == Reach::Widest;
    let choices = pod.node_demand().choices();
    if widest && spread.key == HOSTNAME {
        found.insert("a new node".to_owned());
    }
    for pool in world.pools.iter().filter(|pool| pool.unusable.is_none()) {
        if spread.honor_taints && repelled_by(pod.tolerations, pool.taints).is_some() {
            continue;
        }
        for look in if widest { &pool.all_looks } else { &pool.available_looks } {
            for choice in &choices {
                // Without `Honor`, the pod's own demand for the topology key still says where it can go at all.
                let whole = spread.honor_affinity && !widest;
                let suits = choice.iter().all(|(key, wanted)| {
                    let relevant = whole || key == &spread.key && (spread.honor_affinity || !widest);
                    !relevant || !crate::demand::look(look, key).intersect(wanted).is_empty()
                });
                if !suits {
                    continue;
                }
                if spread.key == HOSTNAME {
                    found.insert("a new node".to_owned());
                    continue;
                }
                let mut here = crate::demand::look(look, &spread.key);
                if let Some(wanted) = choice.get(&spread.key).filter(|_| spread.honor_affinity || !widest) {
                    here = here.intersect(wanted);
                }
                found.extend(here.listed().into_iter().flatten().cloned());
            }
        }
    }
    found
}
