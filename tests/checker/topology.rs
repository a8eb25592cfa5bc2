//! Topology spread, pod affinity and pod anti-affinity, at the moment when one more pod is bound.
//!
//! Invariant: a rule holds only if it holds wherever planned nodes turn out to be. Pods on a node that may be in
//! several domains are counted in each when they do harm, and in none when they help.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::domains::{DomainMap, Domains, Reach, provided};
use crate::host::Host;
use crate::pod::{Pod, Term};
use crate::spread::Spread;
use crate::taints::repelled_by;
use crate::violation::Rule;
use crate::world::World;

/// The pods that are bound so far, and the rules for the next.
#[derive(Debug)]
pub(crate) struct Topology<'t, 'a> {
    world: &'t World<'a>,
    hosts: &'t [Host],
    domains: &'t DomainMap,
    views: &'t Views,
    bound: Vec<(usize, usize)>,
}

/// What a pod's spread constraints see of nodes and pools; it does not change while pods are bound.
#[derive(Debug)]
pub(crate) struct Views {
    reach: Reach,
    by_pod: Vec<OnceCell<View>>,
}

#[derive(Debug)]
struct View {
    /// For each host: whether its labels suit the pod for sure, or perhaps, and whether its taints do.
    hosts: Vec<(bool, bool, bool)>,
    /// For each constraint: domains that a NodePool could provide.
    provided: Vec<BTreeSet<String>>,
}

impl Views {
    pub(crate) fn new(reach: Reach, world: &World<'_>) -> Self {
        Self { reach, by_pod: world.pods.iter().map(|_| OnceCell::new()).collect() }
    }

    fn of(&self, pod: usize, hosts: &[Host], world: &World<'_>) -> &View {
        self.by_pod[pod].get_or_init(|| {
            let pod = &world.pods[pod];
            let demand = pod.node_demand();
            let of_host = |host: &Host| {
                let sure = host.profiles.iter().all(|profile| demand.holds_on(profile));
                let perhaps = host.profiles.iter().any(|profile| demand.may_hold_on(profile));
                (sure, perhaps, repelled_by(pod.tolerations, &host.taints).is_none())
            };
            let of_spread = |spread| provided(pod, spread, self.reach, world);
            View {
                hosts: hosts.iter().map(of_host).collect(),
                provided: pod.spreads.iter().map(of_spread).collect(),
            }
        })
    }
}

impl<'t, 'a> Topology<'t, 'a> {
    /// Starts with the pods that stay where they are.
    pub(crate) fn new(
        world: &'t World<'a>,
        hosts: &'t [Host],
        domains: &'t DomainMap,
        views: &'t Views,
    ) -> Self {
        let staying = world.staying.iter().filter(|(pod, _)| !world.pods[*pod].leaving);
        Self { world, hosts, domains, views, bound: staying.copied().collect() }
    }

    pub(crate) fn bind(&mut self, pod: usize, host: usize) {
        self.bound.push((pod, host));
    }

    /// Why kube-scheduler might refuse to bind the pod there now.
    pub(crate) fn problem(&self, pod: usize, host: usize) -> Option<(Rule, String)> {
        let of = &self.world.pods[pod];
        let spreads = of.spreads.iter().enumerate();
        let spread = spreads.into_iter().find_map(|(number, spread)| self.spread(pod, host, number, spread));
        spread
            .map(|why| (Rule::TopologySpread, why))
            .or_else(|| self.affinity(of, host).map(|why| (Rule::PodAffinity, why)))
            .or_else(|| self.anti_affinity(of, host).map(|why| (Rule::PodAntiAffinity, why)))
            .or_else(|| self.inverse(of, host).map(|why| (Rule::InverseAntiAffinity, why)))
    }

    fn spread(&self, pod: usize, host: usize, number: usize, spread: &Spread) -> Option<String> {
        let own = &self.world.pods[pod];
        let key = &spread.key;
        let here = self.domains.of(host, key);
        if here.absent || here.values.is_empty() {
            return Some(format!("the node may have no {key}"));
        }
        if here.open {
            return Some(format!("{key} of the node can be anything"));
        }
        let view = self.views.of(pod, self.hosts, self.world);
        // A node counts if it has the keys of all the pod's constraints and passes the policies of this one.
        let counts = |other: usize, surely: bool| {
            let (sure, perhaps, tolerated) = view.hosts[other];
            let suits = if surely { sure } else { perhaps };
            let keyed = own.spreads.iter().map(|spread| self.domains.of(other, &spread.key)).all(|domains| {
                if surely { !domains.absent } else { domains.open || !domains.values.is_empty() }
            });
            keyed && (!spread.honor_affinity || suits) && (!spread.honor_taints || tolerated)
        };
        let matching: Vec<usize> = self
            .bound
            .iter()
            .filter(|(pod, _)| {
                let other = &self.world.pods[*pod];
                other.namespace == own.namespace && spread.selector.matches(other.labels)
            })
            .map(|(_, host)| *host)
            .collect();
        // Domains that are there for sure, with the pods that are in them for sure.
        let mut present: BTreeMap<&str, i64> = BTreeMap::new();
        for other in 0..self.hosts.len() {
            if let Some(domain) = self.domains.of(other, key).certain().filter(|_| counts(other, true)) {
                let pods = matching.iter().filter(|&&at| at == other).count();
                // Pods on a leaving node count as long as they are there; the node itself makes no domain.
                if !self.hosts[other].leaving || pods > 0 {
                    *present.entry(domain).or_default() += pods as i64;
                }
            }
        }
        let itself = i64::from(spread.selector.matches(own.labels));
        for domain in &here.values {
            let may_be_here = |at: &&usize| {
                **at == host || self.domains.of(**at, key).may_be(domain) && counts(**at, false)
            };
            let most = matching.iter().filter(may_be_here).count() as i64;
            let mut counted = present.clone();
            counted.insert(domain, most);
            let enough = counted.len() >= spread.min_domains;
            for empty in &view.provided[number] {
                counted.entry(empty).or_insert(0);
            }
            let (emptiest, least) = counted.iter().min_by_key(|(_, count)| **count)?;
            let least = if enough { *least } else { 0 };
            if most + itself - least > spread.max_skew {
                return Some(format!(
                    "{domain} would have {} of the pods, {emptiest} has {least}, maxSkew is {} ({key})",
                    most + itself,
                    spread.max_skew,
                ));
            }
        }
        None
    }

    fn affinity(&self, own: &Pod<'_>, host: usize) -> Option<String> {
        if own.with.is_empty() {
            return None;
        }
        for term in &own.with {
            let here = self.domains.of(host, &term.key);
            if here.absent || here.values.is_empty() && !here.open {
                return Some(format!("the node may have no {}", term.key));
            }
        }
        // kube-scheduler looks for pods that match all terms at once.
        let matches_all = |pod: &Pod<'_>| own.with.iter().all(|term| term.matches(pod));
        let matching: Vec<usize> = self
            .bound
            .iter()
            .filter(|(pod, _)| matches_all(&self.world.pods[*pod]))
            .map(|(_, host)| *host)
            .collect();
        if matching.is_empty() && matches_all(own) {
            return None; // the first of its group
        }
        let unmet = own.with.iter().find(|term| {
            let here = self.domains.of(host, &term.key).certain();
            let together = |at: &usize| {
                *at == host || here.is_some() && self.domains.of(*at, &term.key).certain() == here
            };
            !matching.iter().any(together)
        })?;
        Some(format!(
            "none of the {} pods that it wants to be with is in its {} for sure",
            matching.len(),
            unmet.key
        ))
    }

    fn meets(&self, term: &Term, host: usize, other: usize) -> bool {
        let (here, there) = (self.domains.of(host, &term.key), self.domains.of(other, &term.key));
        let somewhere = |domains: &Domains| domains.open || !domains.values.is_empty();
        if host == other { somewhere(here) } else { here.may_meet(there) }
    }

    fn anti_affinity(&self, own: &Pod<'_>, host: usize) -> Option<String> {
        own.without.iter().find_map(|term| {
            let mut bound = self.bound.iter();
            let (other, at) = bound
                .find(|(other, at)| term.matches(&self.world.pods[*other]) && self.meets(term, host, *at))?;
            let (other, at) = (&self.world.pods[*other].key, &self.hosts[*at].name);
            Some(format!("{other} on {at} may be in the same {}", term.key))
        })
    }

    fn inverse(&self, own: &Pod<'_>, host: usize) -> Option<String> {
        self.bound.iter().find_map(|(other, at)| {
            let mut terms = self.world.pods[*other].without.iter();
            let term = terms.find(|term| term.matches(own) && self.meets(term, host, *at))?;
            let (other, at) = (&self.world.pods[*other].key, &self.hosts[*at].name);
            Some(format!("{other} on {at} does not want it in the same {}", term.key))
        })
    }
}
