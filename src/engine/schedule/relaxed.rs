//! A problem without all that makes it hard: which sizes of nodes could hold which pods alone, for those who compute a lower bound.
//!
//! **Invariant:** whatever a plan may do is allowed here: constraints between pods, limits, ports and volumes are left out.

use super::problem::Problem;
use super::setup::Setup;
use crate::model::{Price, Resources, first_untolerated};

/// A size of node that can be launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// What it offers beside its daemon pods.
    pub free: Resources,
    /// What it costs at least, per hour.
    pub price: Price,
}

/// Pods that ask for the same and could go to the same sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// What each asks for.
    pub requests: Resources,
    /// Whether each size could hold one.
    pub allowed: Vec<bool>,
    /// Indices of the pods.
    pub pods: Vec<usize>,
}

/// The sizes that can be launched and the pods by kind.
pub fn relaxed(problem: &Problem<'_>) -> (Vec<Size>, Vec<Kind>) {
    let mut setup = Setup::new(*problem, None);
    let mut sizes = Vec::new();
    let mut first_of_pool = Vec::new();
    for pool in 0..problem.pools.len() {
        first_of_pool.push(sizes.len());
        let own = setup.supply.pools[pool].requirements;
        let fits = setup.supply.fits(problem.rules, problem.pools, &setup.interner, pool, own);
        for (at, shape) in setup.supply.pools[pool].shapes.iter().enumerate() {
            let price = fits.fits.iter().find(|fit| fit.shape as usize == at).map(|fit| fit.price);
            sizes.push(Size { free: shape.free.clone(), price: price.unwrap_or(Price(i64::MAX)) });
        }
    }
    let mut kinds = Vec::new();
    for class in 0..setup.classes.len() {
        let spec = setup.classes[class].spec;
        let mut allowed = vec![false; sizes.len()];
        let least = setup.levels[class].last().expect("a class has its least wishes at the end");
        let alternatives = least.alternatives.clone();
        for (pool, first) in first_of_pool.iter().enumerate() {
            let taints = &problem.pools[pool].pool.template.taints;
            if first_untolerated(taints, &spec.tolerations).is_some() {
                continue;
            }
            let own = setup.supply.pools[pool].requirements;
            for wanted in &alternatives {
                let Some(both) = setup.interner.meet(problem.rules, own, *wanted) else { continue };
                let fits = setup.supply.fits(problem.rules, problem.pools, &setup.interner, pool, both);
                for fit in &fits.fits {
                    let at = first + fit.shape as usize;
                    allowed[at] |= spec.requests.fits(&sizes[at].free);
                }
            }
        }
        let pods = setup.classes[class].pods.clone();
        kinds.push(Kind { requests: spec.requests.clone(), allowed, pods });
    }
    (sizes, kinds)
}
