//! Why a pod has no place: what each pool lacked for it once all its preferences were given up.
//!
//! **Invariant:** a reason names the last hurdle that a pool's best try did not take, so the nearest miss is the one that got furthest.

use std::collections::BTreeMap;

use super::class::{Claims, Class};
use super::devices::{Ledger, Shortage};
use super::pass::{Placement, conflict, too_many_for_type, too_many_volumes};
use super::problem::HostLabels;
use super::setup::{Setup, first_unmet};
use super::topology::{Kind, Site};
use crate::event::SpecId;
use crate::model::{DeviceReach, InventoryId, PodClaim, first_untolerated};
use crate::reason::{Reason, ReasonId};

/// What each pool lacked for a class, the one that came nearest in front.
pub(super) fn reasons(
    setup: &mut Setup<'_>,
    placement: &Placement,
    class: usize,
) -> Vec<(Option<usize>, Reason)> {
    if let Some(reason) = of_claims(setup, placement, class) {
        return vec![(None, reason)];
    }
    let group = setup.classes[class].pods.iter().find_map(|pod| {
        let left_out = placement.target[*pod].is_none() && placement.left_out[*pod];
        setup.problem.pods[*pod].group.as_ref().filter(|_| left_out)
    });
    if let Some(group) = group {
        let params = [("group", group.name.to_string())];
        return vec![(None, Reason::new(ReasonId::GroupIncomplete, params))];
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

/// What is in the way of a class's claims wherever it goes.
fn of_claims(setup: &Setup<'_>, placement: &Placement, class: usize) -> Option<Reason> {
    let of_class = &setup.classes[class];
    let claims = match of_class.claims {
        Claims::Known(claims) => claims,
        Claims::Refused(reason) => return Some(reason.clone()),
        Claims::NotEvaluated(claim) => {
            let field = [("field", format!("resourceClaims: {claim}"))];
            return Some(Reason::new(ReasonId::ConstraintNotEvaluated, field));
        }
    };
    let elsewhere = |claim: &PodClaim| match claim {
        PodClaim::Shared(id, _) => placement.shared.contains_key(id),
        PodClaim::Allocated(DeviceReach::Nodes(_)) => true,
        PodClaim::Allocated(DeviceReach::Labels(_) | DeviceReach::Anywhere) | PodClaim::Own(_) => false,
    };
    let at = claims.iter().position(elsewhere)?;
    Some(Reason::new(ReasonId::ClaimElsewhere, [("claim", name_of_claim(of_class, at))]))
}

/// What a pod calls one of its claims.
fn name_of_claim(class: &Class<'_>, at: usize) -> String {
    class.spec.resource_claims.get(at).map(ToString::to_string).unwrap_or_default()
}

/// The first of a class's claims for which too little is left of a node's devices.
fn shortage(
    setup: &Setup<'_>,
    class: usize,
    on: Option<(InventoryId, &Ledger)>,
) -> Option<(ReasonId, String)> {
    let devices = setup.problem.devices?;
    let of_class = &setup.classes[class];
    let mut wanted = Vec::new();
    for (at, claim) in of_class.claims.known().unwrap_or_default().iter().enumerate() {
        let (PodClaim::Own(kind) | PodClaim::Shared(_, kind)) = claim else { continue };
        wanted.push(*kind);
        let found = on.map(|(id, left)| left.with(devices, devices.inventory(id), &wanted).0);
        let id = match found {
            Some(Ok(_)) => continue,
            Some(Err(Shortage::Unknown)) => ReasonId::DeviceSearchTooLong,
            Some(Err(Shortage::None)) | None => ReasonId::DevicesUnavailable,
        };
        return Some((id, name_of_claim(of_class, at)));
    }
    None
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
    if let Some(taint) = first_untolerated(&offer.pool.template.taints, &spec.tolerations) {
        return (1, named(ReasonId::TaintNotTolerated, &[("taint", taint.key.to_string())]));
    }
    let mut best: (u8, Reason) = (0, named(ReasonId::NoCapacity, &[]));
    let mut reached = |progress: u8, reason: &dyn Fn() -> Reason| {
        if progress > best.0 {
            best = (progress, reason());
        }
    };
    let own = setup.interner.get(setup.supply.pools[pool].requirements).clone();
    let mut short_of = BTreeMap::new();
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
            let volumes = setup.classes[class].volumes;
            if let Some(driver) = too_many_for_type(setup, pool, shape.type_at, volumes) {
                reached(4, &|| named(ReasonId::VolumeLimit, &[("driver", driver.to_string())]));
                continue;
            }
            let stock = setup.stocks.of(pool, shape.type_at);
            let short = short_of.entry(stock).or_insert_with(|| {
                let stock = stock.map(|id| setup.stocks.get(id));
                shortage(setup, class, stock.map(|stock| (stock.inventory, &stock.start)))
            });
            if let Some((id, claim)) = short {
                reached(4, &|| named(*id, &[("claim", claim.clone())]));
                continue;
            }
            if !hurdle.can_be_bought {
                reached(5, &|| named(ReasonId::NoCapacity, &[]));
                continue;
            }
            let (used, nodes) = &placement.ledger[pool];
            let with = used.plus(&one.capacity);
            if let Some((limit, _, _)) = offer.limits().first_exceeded(&with, *nodes as usize + 1) {
                reached(6, &|| named(ReasonId::LimitReached, &[("limit", limit.to_owned())]));
                continue;
            }
            let constraint = constraint(setup, placement, class);
            let (id, params) = constraint.unwrap_or((ReasonId::MinValuesUnmet, Vec::new()));
            reached(7, &|| named(id, &params));
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
    let of_group = |id| {
        let group = groups.group(id);
        (reason_of(group.of.kind), groups.key(group.key).label.as_deref().unwrap_or_default().to_owned())
    };
    let mut kinds: Vec<(ReasonId, String)> = ties
        .owned
        .iter()
        .filter(|owned| {
            let key = groups.key(groups.group(owned.group).key);
            !(0..key.values.len() as u32).any(|domain| placement.counts.allows(groups, owned, domain))
        })
        .map(|owned| of_group(owned.group))
        .collect();
    kinds.sort_unstable();
    let present = ties.unwanted_by.iter().filter(|id| placement.counts.has_any(**id));
    let blocked = present.map(|id| of_group(*id)).min();
    let owned = ties.owned.first().map(|owned| of_group(owned.group));
    let (id, label) = kinds.into_iter().next().or(blocked).or(owned)?;
    Some((id, vec![("label", label)]))
}

/// What was looked at for the pods of a class and did not do, once all pods are placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The specs of its pods.
    pub specs: Vec<SpecId>,
    /// Hosts by index that have no room for one more, with what is in the way; those behind the last that took one are left out.
    pub hosts: Vec<(usize, ReasonId, String)>,
    /// What each pool lacked: those in front of the one that launches for them, or all if none does.
    pub pools: Vec<(Option<usize>, Reason)>,
}

/// What was looked at for each class.
pub(super) fn looked(setup: &mut Setup<'_>, placement: &Placement) -> Vec<Looked> {
    let hosts = setup.problem.hosts.len();
    let mut all = Vec::new();
    for class in 0..setup.classes.len() {
        let pods = setup.classes[class].pods.clone();
        let targets: Vec<Option<u32>> = pods.iter().map(|pod| placement.target[*pod]).collect();
        let last_host = targets
            .iter()
            .map(|target| target.map_or(hosts, |target| (target as usize).min(hosts)))
            .max()
            .unwrap_or(hosts);
        let mut specs: Vec<SpecId> = pods.iter().map(|pod| setup.problem.pods[*pod].spec).collect();
        specs.sort_unstable();
        specs.dedup();
        let refused = (0..last_host)
            .filter(|host| !targets.contains(&Some(*host as u32)))
            .filter_map(|host| {
                let (id, detail) = of_host(setup, placement, class, host)?;
                Some((host, id, detail))
            })
            .collect();
        let launching = targets.iter().flatten().filter_map(|target| (*target as usize).checked_sub(hosts));
        let before = launching.map(|at| placement.planned[at].pool).max();
        let pools = if targets.contains(&None) {
            reasons(setup, placement, class)
        } else {
            (0..before.unwrap_or(0))
                .map(|pool| (Some(pool), of_pool(setup, placement, class, pool).1))
                .collect()
        };
        all.push(Looked { specs, hosts: refused, pools });
    }
    all
}

/// Why a host takes no more pods of a class; `None` if it would.
fn of_host(setup: &Setup<'_>, placement: &Placement, class: usize, at: usize) -> Option<(ReasonId, String)> {
    let host = &setup.problem.hosts[at];
    let of_class = &setup.classes[class];
    let spec = of_class.spec;
    let used = placement.used.get(&(at as u32));
    if !host.open {
        return None;
    }
    let free = used.map_or_else(|| host.free.clone(), |used| host.free.minus(&used.requests));
    if let Some((resource, asked, free)) = spec.requests.first_excess(&free) {
        return Some((ReasonId::TooLarge, format!("{resource}: asked {asked}, free {free}")));
    }
    if let Some(taint) = first_untolerated(&host.taints, &spec.tolerations) {
        return Some((ReasonId::TaintNotTolerated, taint.key.to_string()));
    }
    let least = setup.levels[class].last()?;
    let unmet: Vec<Option<&str>> =
        least.alternatives.iter().map(|wanted| first_unmet(host, setup.interner.get(*wanted))).collect();
    if unmet.iter().all(Option::is_some) {
        let label = unmet.into_iter().flatten().next().unwrap_or_default();
        let detail = match &*host.labels {
            HostLabels::Known(_) => label.to_owned(),
            HostLabels::Possible(_) => format!("{label}: instance type not settled yet"),
        };
        return Some((ReasonId::RequirementsConflict, detail));
    }
    let taken = used.map(|used| used.ports.as_slice()).unwrap_or_default();
    let port = conflict(&spec.host_ports, &host.ports).or_else(|| conflict(&spec.host_ports, taken));
    if let Some(port) = port {
        return Some((ReasonId::HostPortTaken, port.port.to_string()));
    }
    if let Some(driver) = too_many_volumes(host, used, of_class.volumes) {
        return Some((ReasonId::VolumeLimit, driver.to_string()));
    }
    if let Some(reason) = of_claims(setup, placement, class) {
        return Some((reason.id, reason.to_string()));
    }
    if let Some(devices) = setup.problem.devices {
        let expected = || setup.expected.ledgers.get(&(at as u32)).cloned();
        let fresh = || Some(Ledger::new(devices.inventory(devices.hosts[at]?)));
        let left = used.and_then(|used| used.devices.clone()).or_else(expected).or_else(fresh);
        if let Some((id, claim)) = shortage(setup, class, devices.hosts[at].zip(left.as_ref())) {
            return Some((id, format!("claim {claim}")));
        }
    }
    let groups = &setup.groups;
    let site = Site::new(groups, setup.problem.hosts, at);
    let group = groups.group(placement.counts.first_conflict(&least.ties, site)?);
    let label = groups.key(group.key).label.as_deref().unwrap_or_default();
    let detail = match group.of.kind {
        Kind::Spread { max_skew, .. } => format!("maxSkew {max_skew} on {label}"),
        _ => label.to_owned(),
    };
    Some((reason_of(group.of.kind), detail))
}

/// What a constraint of a kind that is in the way is called.
fn reason_of(kind: Kind) -> ReasonId {
    match kind {
        Kind::Spread { .. } => ReasonId::SpreadExceeded,
        Kind::Affinity => ReasonId::AffinityUnmet,
        Kind::Anti | Kind::Inverse => ReasonId::AntiAffinity,
    }
}
