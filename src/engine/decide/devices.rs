//! Devices and claims as State has them, for the scheduler.
//!
//! **Invariant:** pods that are expected on a host have what their claims ask for before others get anything of it: so two evaluations give a device
//! away no more often than one does.

use std::collections::{BTreeMap, BTreeSet};

use super::hosts::Hosts;
use crate::event::{SpecId, Target};
use crate::model::{
    ClaimSource, DevicePool, DeviceReach, Inventory, InventoryId, KindId, NodeName, PodClaim, PodKey,
    ResourceClaim, SelectorId, SharedId, claims_of_pod,
};
use crate::reason::{Reason, ReasonId};
use crate::schedule::{Devices, PendingPod};
use crate::state::{Planned, Pod, State};

/// What a pod's claims come to, or why they cannot be had. Pods of one spec may differ in it.
pub(super) type Wanted = Result<Vec<PodClaim<PodKey>>, Reason>;

/// What a pod's claims come to; nothing where claims are not looked at.
fn wanted(state: &State, key: &PodKey, pod: &Pod) -> Option<Wanted> {
    let names = &state.spec(pod.spec).resource_claims;
    if pod.claims.len() != names.len() {
        return None;
    }
    let find = |source: &ClaimSource, key: &PodKey| match source {
        ClaimSource::Template(_) => Some(match state.claim_templates.get(key)? {
            Ok(kind) => ResourceClaim::Open(*kind),
            Err(reason) => ResourceClaim::Refused(reason.clone()),
        }),
        _ => state.resource_claims.get(key).cloned(),
    };
    let claims = claims_of_pod(&key.namespace, &pod.claims, find);
    Some(claims.map(|claims| claims.into_iter().map(|claim| by_hosts(state, claim)).collect()))
}

/// What the claims of a pod come to, if it has any and they are looked at.
pub(super) fn claims(state: &State, spec: SpecId, key: &PodKey) -> Option<Wanted> {
    if state.spec(spec).resource_claims.is_empty() {
        return None;
    }
    wanted(state, key, state.pods.get(key)?)
}

/// Pods of a spec by what their claims come to: those of one template are alike until theirs are made, and their own afterwards.
pub(super) fn by_claims(
    state: &State,
    spec: SpecId,
    keys: Vec<PodKey>,
) -> BTreeMap<Option<Wanted>, Vec<PodKey>> {
    let mut all: BTreeMap<Option<Wanted>, Vec<PodKey>> = BTreeMap::new();
    if state.spec(spec).resource_claims.is_empty() {
        all.insert(None, keys);
        return all;
    }
    for key in keys {
        all.entry(claims(state, spec, &key)).or_default().push(key);
    }
    all
}

/// A claim whose devices can be reached from certain nodes, with those as hosts are called.
fn by_hosts(state: &State, claim: PodClaim<PodKey>) -> PodClaim<PodKey> {
    let PodClaim::Allocated(DeviceReach::Nodes(nodes)) = claim else { return claim };
    // A host is called as its claim, if it has one.
    let host = |node: NodeName| match state.claim_of_node(&node) {
        Some(claim) => NodeName::new(claim.name.as_shared().clone()),
        None => node,
    };
    PodClaim::Allocated(DeviceReach::Nodes(nodes.into_iter().map(host).collect()))
}

/// What there is for the claims of these pods; nothing if none of them has any, or claims are not looked at.
pub(super) fn devices(state: &State, hosts: &Hosts, pods: &[PendingPod]) -> Option<Devices> {
    let asks = |pod: &&PendingPod| !state.spec(pod.spec).resource_claims.is_empty();
    let known = |pod: &PendingPod| state.pods.get(&pod.key).is_some_and(|known| !known.claims.is_empty());
    if !pods.iter().filter(asks).any(known) {
        return None;
    }
    let mut shared: BTreeMap<PodKey, SharedId> = BTreeMap::new();
    let mut asked: BTreeSet<KindId> = BTreeSet::new();
    let mut number = |wanted: Wanted| -> Result<Vec<PodClaim>, Reason> {
        let numbered = wanted?.into_iter().map(|claim| {
            if let PodClaim::Own(kind) | PodClaim::Shared(_, kind) = &claim {
                asked.insert(*kind);
            }
            claim.numbered(&mut shared)
        });
        Ok(numbered.collect())
    };
    let of_pod = |pod: &PendingPod| {
        let found = state.pods.get(&pod.key).and_then(|known| wanted(state, &pod.key, known));
        number(found.unwrap_or_else(|| Err(not_evaluated(state, pod))))
    };
    let pods: Vec<Result<Vec<PodClaim>, Reason>> = pods.iter().map(of_pod).collect();
    let mut expected: BTreeMap<usize, Vec<Vec<PodClaim>>> = BTreeMap::new();
    for at in 0..hosts.all().len() {
        let planned = planned(state, hosts.target(at)).into_iter().flat_map(|planned| &planned.pods);
        for key in planned {
            let pod = state.pods.get(key).filter(|pod| !pod.claims.is_empty());
            let claims = pod.and_then(|pod| wanted(state, key, pod)).and_then(|wanted| number(wanted).ok());
            if let Some(claims) = claims {
                expected.entry(at).or_default().push(claims);
            }
        }
    }
    let kind = |id: &KindId| state.claim_kinds().get(id.0 as usize);
    let selectors = asked.iter().filter_map(kind).flat_map(|kind| kind.selectors()).copied();
    let selectors: BTreeSet<SelectorId> = selectors.collect();
    let mut inventories = Vec::new();
    let of_host = |at: usize| {
        let node = node_of(state, hosts.target(at))?;
        // Where nothing is that anybody asks for, it need not be looked at what is in use.
        if !state.devices_of(node).any(|(_, pool)| has_any(pool, &selectors)) {
            return None;
        }
        let pools = state.devices_of(node).map(|(key, pool)| (key, &**pool));
        inventories.push(Inventory::of(pools, |device| state.uses_of(device)));
        Some(InventoryId(inventories.len() as u32 - 1))
    };
    let of_hosts = (0..hosts.all().len()).map(of_host).collect();
    Some(Devices {
        kinds: state.claim_kinds().to_vec(),
        inventories,
        wide: state.wide_selectors.clone(),
        pods,
        hosts: of_hosts,
        // What nodes that are launched will have is not known.
        types: Vec::new(),
        daemons: Vec::new(),
        expected,
    })
}

/// Whether a pool has a device that one of these takes.
fn has_any(pool: &DevicePool, selectors: &BTreeSet<SelectorId>) -> bool {
    pool.devices.iter().any(|device| device.takers.keys().any(|selector| selectors.contains(selector)))
}

/// The node of a host, once it is there.
fn node_of<'a>(state: &'a State, target: &'a Target) -> Option<&'a NodeName> {
    match target {
        Target::Node(node) => Some(node),
        Target::Claim(claim) => state.claims.get(claim)?.node.as_ref(),
    }
}

/// The pods that are expected on a host.
fn planned<'a>(state: &'a State, target: &Target) -> Option<&'a Planned> {
    match target {
        Target::Node(node) => state.nodes.get(node).map(|node| &node.planned),
        Target::Claim(claim) => state.claims.get(claim).map(|claim| &claim.planned),
    }
}

/// Why a pod gets no place whose claims are not looked at.
fn not_evaluated(state: &State, pod: &PendingPod) -> Reason {
    let names = &state.spec(pod.spec).resource_claims;
    let first = names.first().map(ToString::to_string).unwrap_or_default();
    Reason::new(ReasonId::ConstraintNotEvaluated, [("field", format!("resourceClaims: {first}"))])
}
