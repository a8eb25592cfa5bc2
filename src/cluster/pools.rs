//! NodePools and the classes that they name: a pool can be used only while its class is there and ready.
//!
//! **Invariant:** the controller is told anew of each pool whose class came, went or changed, so that launches wait for a class rather
//! than fail for want of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use purser_api::NodeClass;
use purser_engine::model::{ClassName, NodePool, PoolName};
use purser_engine::port::Observation;

use crate::pool_status::PoolStatus;
use crate::quiet::Quiet;
use crate::shared::Shared;

/// A pool, and what of its object only its claims need.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) facts: NodePool,
    pub(crate) uid: String,
    /// What its claims are annotated with.
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What is known of pools and classes, shared between those who watch and those who launch.
#[derive(Clone, Default)]
pub struct Pools {
    known: Shared<Known>,
    status: PoolStatus,
    quiet: Quiet,
}

#[derive(Debug, Default)]
struct Known {
    pools: BTreeMap<PoolName, Pool>,
    classes: BTreeMap<ClassName, NodeClass>,
}

impl Pools {
    /// What pools are to show, which follows from the same objects.
    pub fn status(&self) -> &PoolStatus {
        &self.status
    }

    /// Which of their nodes have been quiet for as long as they ask.
    pub fn quiet(&self) -> &Quiet {
        &self.quiet
    }

    pub(crate) fn pool(&self, name: &PoolName) -> Option<Pool> {
        self.known.lock().pools.get(name).cloned()
    }

    pub(crate) fn class(&self, name: &ClassName) -> Option<NodeClass> {
        self.known.lock().classes.get(name).cloned()
    }

    pub(crate) fn saw_pool(&self, pool: Pool) -> Observation {
        let mut known = self.known.lock();
        let seen = Observation::NodePool(Arc::new(known.as_usable(&pool.facts)));
        known.pools.insert(pool.facts.name.clone(), pool);
        seen
    }

    /// A pool that says what cannot be: what it said before holds for the nodes that it has, and it gets no other.
    pub(crate) fn saw_invalid_pool(&self, name: &str) -> Vec<Observation> {
        let mut known = self.known.lock();
        let Some(pool) = known.pools.get_mut(&PoolName::new(name)) else { return Vec::new() };
        pool.facts.ready = false;
        vec![Observation::NodePool(Arc::new(pool.facts.clone()))]
    }

    pub(crate) fn lost_pool(&self, name: &str) -> Observation {
        self.status.lost_pool(name);
        let name = PoolName::new(name);
        self.known.lock().pools.remove(&name);
        Observation::NoNodePool(name)
    }

    pub(crate) fn saw_class(&self, class: NodeClass) -> Vec<Observation> {
        let mut known = self.known.lock();
        let name = class.name.clone();
        known.classes.insert(name.clone(), class);
        known.pools_of(&name)
    }

    pub(crate) fn lost_class(&self, name: &str) -> Vec<Observation> {
        self.status.lost_class(name);
        let mut known = self.known.lock();
        let name = ClassName::new(name);
        known.classes.remove(&name);
        known.pools_of(&name)
    }
}

impl Known {
    fn pools_of(&self, class: &ClassName) -> Vec<Observation> {
        let of_class =
            |pool: &&Pool| pool.facts.template.class.as_ref().is_some_and(|(_, name)| name == class);
        let usable = |pool: &Pool| Observation::NodePool(Arc::new(self.as_usable(&pool.facts)));
        self.pools.values().filter(of_class).map(usable).collect()
    }

    fn as_usable(&self, pool: &NodePool) -> NodePool {
        let class = pool
            .template
            .class
            .as_ref()
            .and_then(|(kind, name)| self.classes.get(name).filter(|class| class.kind == *kind));
        NodePool { ready: pool.ready && class.is_some_and(|class| class.ready), ..pool.clone() }
    }
}
