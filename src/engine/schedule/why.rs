//! Why a pod has no place: what each pool lacked for it once all its preferences were given up.
//!
//! **Invariant:** a reason names the last hurdle that a pool's best try did not take, so the nearest miss is the one that got furthest.

use super::class::first_refused;
use super::pass::{Placement, conflict};
use super::setup::Setup;
use super::topology::Kind;
use crate::model::Str;
use crate::reason::{Reason, ReasonId};

/// What each pool lacked for a class, the one that came nearest in front.
pub(super) fn reasons(
    setup: &mut Setup<'_>,
    placement: &Placement,
    class: usize,
) -> Vec<(Option<usize>, Reason)> {
    if let Some(claim) = setup.classes[class].spec.resource_claims.first() {
        let field = [("field", format!("resourceClaims: {claim}"))];
        return vec![(None, Reason::new(ReasonId::ConstraintNotEvaluated, field))];
    }
    let pools = setup.problem.pools.len();
    let mut all: Vec<(u8, Option<usize>, Reason)> = (0..pools)
        .map(|pool| {
            let (progress, reason) = of_pool(setup, placement, class, pool);
            (progress, Some(pool), reason)
        })
        .collect();
    if all.is_empty() {
        all.push((0, None, Reason::new(ReasonId::NoNodePool, [])));
    }
    all.sort_by_key(|(progress, _, _)| std::cmp::Reverse(*progress));
    all.into_iter().map(|(_, pool, reason)| (pool, reason)).collect()
}

fn of_pool(setup: &mut Setup<'_>, placement: &Placement, class: usize, pool: usize) -> (u8, Reason) {
    let problem = setup.problem;
    let offer = &problem.pools[pool];
    let spec = setup.classes[class].spec;
    let named = |id: ReasonId, params: &[(&'static str, String)]| {
        let pool = [("nodepool", offer.pool.name.to_string())];
        Reason::new(id, pool.into_iter().chain(params.iter().cloned()))
    };
    let least =
        setup.levels[class].last().expect("a class has its least wishes at the end").alternatives.clone();
    if let Some(taint) = first_refused(&offer.pool.template.taints, &spec.tolerations, false) {
        return (1, named(ReasonId::TaintNotTolerated, &[("taint", taint.key.to_string())]));
    }
    let mut best: (u8, Reason) = (0, named(ReasonId::NoCapacity, &[]));
    let mut reached = |progress: u8, reason: &dyn Fn() -> Reason| {
        if progress > best.0 {
            best = (progress, reason());
        }
    };
    let own = setup.interner.get(setup.supply.pools[pool].requirements).clone();
    for alternative in least {
        let wanted = setup.interner.get(alternative);
        if let Some(key) = own.first_conflict(wanted, |key| problem.rules.is_well_known(key)) {
            reached(2, &|| named(ReasonId::RequirementsConflict, &[("label", key.to_owned())]));
            continue;
        }
        let hurdles = setup.hurdles(pool, alternative);
        for (shape, hurdle) in setup.supply.pools[pool].shapes.iter().zip(hurdles.iter()) {
            let one = &offer.types[shape.type_at];
            if let Some(key) = &hurdle.conflict {
                reached(2, &|| named(ReasonId::RequirementsConflict, &[("label", key.to_string())]));
                continue;
            }
            if !spec.requests.fits(&shape.free) {
                reached(3, &|| {
                    let (resource, asked, _) = spec.requests.first_excess(&shape.free).unwrap_or_default();
                    named(ReasonId::TooLarge, &[("resource", resource), ("asked", asked.to_string())])
                });
                continue;
            }
            if let Some(port) = conflict(&spec.host_ports, &shape.ports) {
                reached(3, &|| named(ReasonId::HostPortTaken, &[("port", port.port.to_string())]));
                continue;
            }
            if !hurdle.can_be_bought {
                reached(4, &|| named(ReasonId::NoCapacity, &[]));
                continue;
            }
            let (used, nodes) = &placement.ledger[pool];
            let with = used.plus(&one.capacity);
            if let Some((limit, _, _)) = offer.limits().first_exceeded(&with, *nodes as usize + 1) {
                reached(5, &|| named(ReasonId::LimitReached, &[("limit", limit.to_owned())]));
                continue;
            }
            let constraint = constraint(setup, placement, class);
            let (id, params) = constraint.unwrap_or((ReasonId::MinValuesUnmet, Vec::new()));
            reached(6, &|| named(id, &params));
            // Nothing comes nearer.
            break;
        }
    }
    best
}

/// The constraint between pods that is in the way on a new node.
fn constraint(
    setup: &Setup<'_>,
    placement: &Placement,
    class: usize,
) -> Option<(ReasonId, Vec<(&'static str, String)>)> {
    let ties = &setup.levels[class].last()?.ties;
    let groups = &setup.groups;
    let label = |key: &Option<Str>| key.as_deref().unwrap_or_default().to_owned();
    let mut kinds: Vec<(ReasonId, String)> = ties
        .owned
        .iter()
        .filter(|owned| {
            let key = groups.key(groups.group(owned.group).key);
            !(0..key.values.len() as u32).any(|domain| placement.counts.allows(groups, owned, domain))
        })
        .map(|owned| {
            let group = groups.group(owned.group);
            let id = match group.of.kind {
                Kind::Spread { .. } => ReasonId::SpreadExceeded,
                Kind::Affinity => ReasonId::AffinityUnmet,
                Kind::Anti | Kind::Inverse => ReasonId::AntiAffinity,
            };
            (id, label(&groups.key(group.key).label))
        })
        .collect();
    kinds.sort_unstable();
    let blocked = ties
        .unwanted_by
        .first()
        .map(|id| (ReasonId::AntiAffinity, label(&groups.key(groups.group(*id).key).label)));
    let owned = ties.owned.first().map(|owned| {
        let group = groups.group(owned.group);
        let id = match group.of.kind {
            Kind::Spread { .. } => ReasonId::SpreadExceeded,
            Kind::Affinity => ReasonId::AffinityUnmet,
            Kind::Anti | Kind::Inverse => ReasonId::AntiAffinity,
        };
        (id, label(&groups.key(group.key).label))
    });
    let (id, label) = kinds.into_iter().next().or(blocked).or(owned)?;
    Some((id, vec![("label", label)]))
}
