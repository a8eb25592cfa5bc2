//! The claims by name, and the sets of them that decisions ask for.
//!
//! **Invariant:** a claim is in a set exactly if its own fields say so. Claims change only through [`Claims::change`], which moves
//! them from set to set, so that an evaluation need not look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use rustc_hash::FxHashMap;

use super::Claim;
use crate::model::{ClaimName, InstanceId, NodeName, PoolName, Resources, Time};

/// All claims. To be read as a map by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    all: BTreeMap<ClaimName, Claim>,
    restless: BTreeSet<ClaimName>,
    by_expiry: BTreeSet<(Time, ClaimName)>,
    idle: BTreeSet<ClaimName>,
    awaited: BTreeSet<ClaimName>,
    by_instance: FxHashMap<InstanceId, ClaimName>,
    by_node: FxHashMap<NodeName, ClaimName>,
    usage: BTreeMap<PoolName, Usage>,
}

/// What the claims of a pool count for against its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) resources: Resources,
    pub(super) nodes: usize,
}

impl Deref for Claims {
    type Target = BTreeMap<ClaimName, Claim>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl FromIterator<Claim> for Claims {
    fn from_iter<I: IntoIterator<Item = Claim>>(all: I) -> Self {
        let mut claims = Self::default();
        all.into_iter().for_each(|claim| claims.insert(claim));
        claims
    }
}

/// The sets that a claim belongs to.
#[derive(PartialEq, Eq)]
struct Marks {
    restless: bool,
    expiry: Option<Time>,
    idle: bool,
    awaited: bool,
    instance: Option<InstanceId>,
    node: Option<NodeName>,
    counted: Resources,
}

impl Marks {
    fn of(claim: &Claim) -> Self {
        let expiry = claim.template.template.expire_after.map(|after| claim.created + after);
        Self {
            restless: !claim.calm,
            expiry: expiry.filter(|_| claim.calm),
            idle: claim.initialized.is_some()
                && claim.workload_pods == 0
                && claim.planned.pods.is_empty()
                && claim.disrupting.is_none(),
            awaited: !claim.planned.pods.is_empty(),
            instance: claim.instance.as_ref().map(|instance| instance.id.clone()),
            node: claim.node.clone(),
            counted: claim.counted.clone(),
        }
    }
}

impl Claims {
    pub(super) fn insert(&mut self, claim: Claim) {
        self.remove(&claim.name);
        self.mark(&claim.name, claim.pool.as_ref(), &Marks::of(&claim));
        self.all.insert(claim.name.clone(), claim);
    }

    pub(super) fn remove(&mut self, name: &ClaimName) -> Option<Claim> {
        let claim = self.all.remove(name)?;
        self.unmark(name, claim.pool.as_ref(), &Marks::of(&claim));
        Some(claim)
    }

    /// Changes a claim, if there is one of this name.
    pub(super) fn change<R>(&mut self, name: &ClaimName, change: impl FnOnce(&mut Claim) -> R) -> Option<R> {
        let claim = self.all.get_mut(name)?;
        let before = Marks::of(claim);
        let result = change(claim);
        let after = Marks::of(claim);
        if before != after {
            let pool = claim.pool.clone();
            self.unmark(name, pool.as_ref(), &before);
            self.mark(name, pool.as_ref(), &after);
        }
        Some(result)
    }

    fn mark(&mut self, name: &ClaimName, pool: Option<&PoolName>, marks: &Marks) {
        let put = |set: &mut BTreeSet<ClaimName>, is: bool| is.then(|| set.insert(name.clone()));
        put(&mut self.restless, marks.restless);
        put(&mut self.idle, marks.idle);
        put(&mut self.awaited, marks.awaited);
        if let Some(at) = marks.expiry {
            self.by_expiry.insert((at, name.clone()));
        }
        if let Some(instance) = &marks.instance {
            self.by_instance.insert(instance.clone(), name.clone());
        }
        if let Some(node) = &marks.node {
            self.by_node.insert(node.clone(), name.clone());
        }
        if let Some(pool) = pool {
            let usage = self.usage.entry(pool.clone()).or_default();
            usage.resources.add(&marks.counted);
            usage.nodes += 1;
        }
    }

    fn unmark(&mut self, name: &ClaimName, pool: Option<&PoolName>, marks: &Marks) {
        let take = |set: &mut BTreeSet<ClaimName>, is: bool| is.then(|| set.remove(name));
        take(&mut self.restless, marks.restless);
        take(&mut self.idle, marks.idle);
        take(&mut self.awaited, marks.awaited);
        if let Some(at) = marks.expiry {
            self.by_expiry.remove(&(at, name.clone()));
        }
        if let Some(instance) = &marks.instance {
            self.by_instance.remove(instance);
        }
        if let Some(node) = &marks.node {
            self.by_node.remove(node);
        }
        if let Some(pool) = pool
            && let Some(usage) = self.usage.get_mut(pool)
        {
            usage.resources.subtract(&marks.counted);
            usage.nodes -= 1;
            if usage.nodes == 0 {
                self.usage.remove(pool);
            }
        }
    }

    fn named<'a>(&'a self, names: &'a BTreeSet<ClaimName>) -> impl Iterator<Item = &'a Claim> {
        names.iter().filter_map(|name| self.all.get(name))
    }

    /// Claims of which more than their age is to be watched, in name order.
    pub fn restless(&self) -> impl Iterator<Item = &Claim> {
        self.named(&self.restless)
    }

    /// Claims of which only their age is to be watched, the one that expires first before the others.
    pub fn by_expiry(&self) -> impl Iterator<Item = (Time, &Claim)> {
        self.by_expiry.iter().filter_map(|(at, name)| Some((*at, self.all.get(name)?)))
    }

    /// Initialized claims that are to stay, on which nothing but daemon pods runs or is expected, in name order.
    pub fn idle(&self) -> impl Iterator<Item = &Claim> {
        self.named(&self.idle)
    }

    /// Claims on which pods are expected, in name order.
    pub fn awaited(&self) -> impl Iterator<Item = &Claim> {
        self.named(&self.awaited)
    }

    /// The name of an instance's claim.
    pub(super) fn of_instance(&self, instance: &InstanceId) -> Option<&ClaimName> {
        self.by_instance.get(instance)
    }

    /// The name of a node's claim.
    pub(super) fn of_node(&self, node: &NodeName) -> Option<&ClaimName> {
        self.by_node.get(node)
    }

    pub(super) fn usage(&self, pool: &PoolName) -> Usage {
        self.usage.get(pool).cloned().unwrap_or_default()
    }
}
