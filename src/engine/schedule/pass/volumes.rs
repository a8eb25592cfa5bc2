//! Volumes of planned nodes: which types attach as many as a node's pods use.
//!
//! **Invariant:** the claims of a node only become more, so a type that attaches too few of them once does so for good.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{NodeDevices, Pass};
use crate::model::{PodKey, Str};
use crate::schedule::bits::Bits;
use crate::schedule::problem::PodVolume;
use crate::schedule::setup::Setup;

/// The claims of a planned node's pods, and what cannot attach them.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct NodeVolumes {
    /// Claims, with the driver that attaches them.
    claims: BTreeSet<(Str, PodKey)>,
    /// Shapes that attach too few volumes.
    struck: Bits,
}

impl Pass<'_, '_> {
    /// The volumes of a planned node, or else of a new one of a pool, with a pod of a class there; nothing while no type has a limit.
    pub(super) fn volumes_of(
        &self,
        class: usize,
        pool: usize,
        node: Option<usize>,
    ) -> Option<Arc<NodeVolumes>> {
        let there = node.and_then(|at| self.at.planned[at].volumes.as_ref());
        let wanted = self.setup.classes[class].volumes;
        if wanted.is_empty() || self.setup.problem.attachable.is_empty() {
            return there.cloned();
        }
        let mut claims = there.map(|there| there.claims.clone()).unwrap_or_default();
        claims.extend(wanted.iter().map(|volume| (volume.driver.clone(), volume.claim.clone())));
        let mut struck = Bits::default();
        for (at, shape) in self.setup.supply.pools[pool].shapes.iter().enumerate() {
            if too_many(self.setup, pool, shape.type_at, &claims).is_some() {
                struck.insert(at);
            }
        }
        Some(Arc::new(NodeVolumes { claims, struck }))
    }
}

/// The first driver that would have to attach more volumes of a class than it does on a new node of a type.
pub(in crate::schedule) fn too_many_for_type(
    setup: &Setup<'_>,
    pool: usize,
    type_at: usize,
    volumes: &[PodVolume],
) -> Option<Str> {
    if volumes.is_empty() || setup.problem.attachable.is_empty() {
        return None;
    }
    let claims = volumes.iter().map(|volume| (volume.driver.clone(), volume.claim.clone())).collect();
    too_many(setup, pool, type_at, &claims)
}

fn too_many(setup: &Setup<'_>, pool: usize, type_at: usize, claims: &BTreeSet<(Str, PodKey)>) -> Option<Str> {
    let limits = setup.problem.attachable.of(&setup.problem.pools[pool].types[type_at].name)?;
    let mut counts: BTreeMap<&Str, usize> = BTreeMap::new();
    claims.iter().for_each(|(driver, _)| *counts.entry(driver).or_default() += 1);
    let exceeded =
        |(driver, count): &(&Str, usize)| limits.get(*driver).is_some_and(|limit| *count > *limit as usize);
    counts.into_iter().find(exceeded).map(|(driver, _)| driver.clone())
}

/// The shapes that a node cannot become, for want of devices or of volumes that they attach.
pub(super) fn struck<'n>(
    devices: Option<&'n NodeDevices>,
    volumes: Option<&'n NodeVolumes>,
) -> Option<Cow<'n, Bits>> {
    match (devices.map(NodeDevices::struck), volumes.map(|volumes| &volumes.struck)) {
        (Some(devices), Some(volumes)) => {
            let mut both = devices.clone();
            both.insert_all(volumes);
            Some(Cow::Owned(both))
        }
        (one, other) => one.or(other).map(Cow::Borrowed),
    }
}
