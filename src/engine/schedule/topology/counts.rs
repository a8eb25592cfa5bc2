//! How many pods each group has in each domain, while pods are being placed.

use super::{Domain, GroupId, KeyId, Kind};
use crate::event::SpecId;
use crate::model::Str;
use crate::schedule::bits::Bits;
use crate::schedule::problem::{Host, Problem};
use crate::schedule::topology::build::{Groups, Owned, Ties};
use rustc_hash::FxHashMap;

/// Counts by group and domain.
#[derive(Debug, Clone, Default)]
pub(in crate::schedule) struct Counts {
    by_domain: Vec<Vec<Count>>,
    /// Pods of a group anywhere.
    total: Vec<u32>,
    /// Of constraints on host names: the targets at which the group has reached its number, and those with one more.
    reached: Vec<[Bits; 2]>,
}

/// Pods of a group in a domain. A planned node may turn out to be elsewhere, or to be one that the group does not look at.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// Those that may be there.
    most: u32,
    /// Those that are there for sure.
    least: u32,
}

/// A host as topology sees it.
#[derive(Debug, Clone, Copy)]
pub(in crate::schedule) struct Site<'a> {
    pub groups: &'a Groups,
    /// Its index.
    pub at: usize,
    pub host: &'a Host,
}

impl<'a> Site<'a> {
    pub(in crate::schedule) fn new(groups: &'a Groups, hosts: &'a [Host], at: usize) -> Self {
        Self { groups, at, host: &hosts[at] }
    }

    /// Its domain of a label, if that is certain.
    fn of(&self, key: KeyId) -> Option<Domain> {
        if key == KeyId::HOSTNAME { Some(self.at as Domain) } else { self.groups.key(key).of_host[self.at] }
    }

    /// The domains in one of which it will be, if it is not certain in which.
    fn open(&self, key: KeyId) -> &'a [Domain] {
        self.groups.key(key).open_hosts.get(&self.at).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The groups that count a pod, and those that keep others away from it.
type CountedBy = (Vec<GroupId>, Vec<GroupId>);

impl Counts {
    /// The pods that are there.
    pub(in crate::schedule) fn new(problem: &Problem<'_>, groups: &Groups) -> Self {
        let mut counts = Self {
            by_domain: vec![Vec::new(); groups.len()],
            total: vec![0; groups.len()],
            reached: vec![Default::default(); groups.len()],
        };
        if groups.is_empty() {
            return counts;
        }
        let mut known: FxHashMap<(SpecId, &Str), CountedBy> = FxHashMap::default();
        for (target, host) in problem.hosts.iter().enumerate() {
            let site = Site::new(groups, problem.hosts, target);
            for pod in &host.pods {
                let (counted_by, wards_off) = known.entry((pod.spec, &pod.namespace)).or_insert_with(|| {
                    groups.placed(problem, &problem.specs[pod.spec.0 as usize], &pod.namespace)
                });
                for id in counted_by.iter().chain(wards_off.iter()) {
                    counts.add(*id, site);
                }
            }
        }
        counts
    }

    /// Counts a pod on a host, if the group may look there: as possible wherever the host may come to be.
    pub(in crate::schedule) fn add(&mut self, id: GroupId, site: Site<'_>) {
        let groups = site.groups;
        let group = groups.group(id);
        let looks = group.of.nodes.allows_host(site.host);
        if !looks && !group.of.nodes.may_allow_host(site.host) {
            return;
        }
        self.add_anywhere(id);
        let sure = site.of(group.key);
        for domain in sure.iter().chain(site.open(group.key)) {
            self.change_possible(groups, id, *domain, 1);
        }
        if let Some(domain) = sure.filter(|_| looks) {
            self.change_certain(groups, id, domain, 1);
        }
    }

    /// Counts a pod of a group, wherever it is.
    pub(in crate::schedule) fn add_anywhere(&mut self, id: GroupId) {
        self.total[id.0 as usize] += 1;
    }

    /// Whether a group counts a pod anywhere.
    pub(in crate::schedule) fn has_any(&self, id: GroupId) -> bool {
        self.total[id.0 as usize] > 0
    }

    /// So many pods more may be in a domain.
    pub(in crate::schedule) fn change_possible(
        &mut self,
        groups: &Groups,
        id: GroupId,
        domain: Domain,
        by: i64,
    ) {
        let count = self.at(id, domain);
        count.most = (i64::from(count.most) + by) as u32;
        let there = count.most;
        let group = groups.group(id);
        let number = match group.of.kind {
            _ if group.key != KeyId::HOSTNAME => return,
            Kind::Spread { max_skew, .. } => max_skew,
            Kind::Anti | Kind::Inverse => 1,
            Kind::Affinity => return,
        };
        let reached = &mut self.reached[id.0 as usize];
        reached[0].set(domain as usize, there >= number);
        reached[1].set(domain as usize, there > number);
    }

    /// So many pods more are in a domain for sure.
    pub(in crate::schedule) fn change_certain(
        &mut self,
        groups: &Groups,
        id: GroupId,
        domain: Domain,
        by: i64,
    ) {
        let count = self.at(id, domain);
        count.least = (i64::from(count.least) + by) as u32;
        let there = count.least;
        let group = groups.group(id);
        if group.key == KeyId::HOSTNAME && group.of.kind == Kind::Affinity {
            self.reached[id.0 as usize][0].set(domain as usize, there > 0);
        }
    }

    /// Strikes off targets at which constraints on host names do not allow one more pod.
    pub(in crate::schedule) fn strike_off(&self, groups: &Groups, ties: &Ties, targets: &mut Bits) {
        for id in ties.unwanted_by.iter().filter(|id| groups.group(**id).key == KeyId::HOSTNAME) {
            targets.remove_all(&self.reached[id.0 as usize][0]);
        }
        for owned in &ties.owned {
            let group = groups.group(owned.group);
            let reached = &self.reached[owned.group.0 as usize];
            match group.of.kind {
                _ if group.key != KeyId::HOSTNAME => {}
                Kind::Spread { .. } => targets.remove_all(&reached[usize::from(!owned.counts_itself)]),
                Kind::Anti | Kind::Inverse => targets.remove_all(&reached[0]),
                Kind::Affinity if owned.counts_itself && self.total[owned.group.0 as usize] == 0 => {}
                Kind::Affinity => targets.keep_all(&reached[0]),
            }
        }
    }

    fn at(&mut self, id: GroupId, domain: Domain) -> &mut Count {
        let counts = &mut self.by_domain[id.0 as usize];
        if counts.len() <= domain as usize {
            counts.resize(domain as usize + 1, Count::default());
        }
        &mut counts[domain as usize]
    }

    /// The pods that may be in a domain.
    pub(in crate::schedule) fn of(&self, id: GroupId, domain: Domain) -> u32 {
        self.by_domain[id.0 as usize].get(domain as usize).map_or(0, |count| count.most)
    }

    /// The pods that are in a domain for sure.
    fn sure(&self, id: GroupId, domain: Domain) -> u32 {
        self.by_domain[id.0 as usize].get(domain as usize).map_or(0, |count| count.least)
    }

    /// Whether a constraint allows one more pod of its class in a domain.
    pub(in crate::schedule) fn allows(&self, groups: &Groups, owned: &Owned, domain: Domain) -> bool {
        let group = groups.group(owned.group);
        let there = self.of(owned.group, domain);
        match group.of.kind {
            Kind::Spread { max_skew, min_domains } => {
                let least = if group.key == KeyId::HOSTNAME {
                    // A new node can always be launched.
                    0
                } else {
                    if owned.eligible.binary_search(&domain).is_err() {
                        return false;
                    }
                    let enough = min_domains.is_none_or(|most| owned.eligible.len() >= most as usize);
                    let least = owned.eligible.iter().map(|domain| self.sure(owned.group, *domain)).min();
                    least.filter(|_| enough).unwrap_or(0)
                };
                there + u32::from(owned.counts_itself) <= least + max_skew
            }
            Kind::Affinity => {
                self.sure(owned.group, domain) > 0
                    || (owned.counts_itself && self.total[owned.group.0 as usize] == 0)
            }
            Kind::Anti | Kind::Inverse => there == 0,
        }
    }

    /// The first group that keeps a class away from a site.
    pub(in crate::schedule) fn first_conflict(&self, ties: &Ties, site: Site<'_>) -> Option<GroupId> {
        let groups = site.groups;
        let own = ties.owned.iter().find(|owned| {
            let group = groups.group(owned.group);
            match site.of(group.key) {
                Some(domain) => !self.allows(groups, owned, domain),
                // Without the label there is nobody to be away from, and nothing to be near to or balanced with. Where it is open, nobody
                // may be in any of the domains.
                None if group.of.kind == Kind::Anti => {
                    site.open(group.key).iter().any(|domain| !self.allows(groups, owned, *domain))
                }
                None => true,
            }
        });
        let unwanted = || {
            ties.unwanted_by.iter().find(|id| {
                let key = groups.group(**id).key;
                site.of(key).iter().chain(site.open(key)).any(|domain| self.of(**id, *domain) > 0)
            })
        };
        own.map(|owned| owned.group).or_else(|| unwanted().copied())
    }

    /// Whether a domain of a label is open to a class, as far as the constraints on that label go.
    pub(in crate::schedule) fn is_open(
        &self,
        groups: &Groups,
        ties: &Ties,
        key: KeyId,
        domain: Domain,
    ) -> bool {
        ties.owned
            .iter()
            .filter(|owned| groups.group(owned.group).key == key)
            .all(|owned| self.allows(groups, owned, domain))
            && ties
                .unwanted_by
                .iter()
                .filter(|id| groups.group(**id).key == key)
                .all(|id| self.of(*id, domain) == 0)
    }

    /// How full a domain is, for those who spread.
    pub(in crate::schedule) fn load(&self, groups: &Groups, ties: &Ties, key: KeyId, domain: Domain) -> u32 {
        ties.owned
            .iter()
            .filter(|owned| {
                let group = groups.group(owned.group);
                group.key == key && matches!(group.of.kind, Kind::Spread { .. })
            })
            .map(|owned| self.of(owned.group, domain))
            .sum()
    }
}
