//! Devices in a pass: what claims of a pod get where it goes.
//!
//! A planned node may turn out to be one of several types, each with devices of its own. So what its pods get is found out for each type that has
//! devices, and types that have not enough are struck off.
//!
//! **Invariant:** a claim that several pods use is allocated once, where the first of them went; the others go there or nowhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Pass};
use crate::model::{DeviceReach, KindId, PodClaim};
use crate::schedule::bits::Bits;
use crate::schedule::devices::Ledger;
use crate::schedule::problem::Devices;
use crate::schedule::setup::Setup;
use crate::schedule::stock::StockId;

/// So many devices looked at count as one target looked at.
const STEPS_FOR_WORK: u64 = 16;

/// Where in a ledger it is what a pod was given.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct GivenAt {
    pub entry: usize,
    /// Indices of those of its claims that were allocated for it.
    pub claims: Vec<usize>,
}

/// What is left of a planned node's devices, whichever type it becomes.
#[derive(Debug, Clone)]
pub(in crate::schedule) struct NodeDevices(Arc<Left>);

#[derive(Debug)]
struct Left {
    ledgers: BTreeMap<StockId, Arc<Ledger>>,
    /// Shapes that do not have enough.
    struck: Bits,
}

impl NodeDevices {
    /// What is left of each stock; `None` if nothing is.
    fn new(setup: &Setup<'_>, pool: usize, ledgers: BTreeMap<StockId, Arc<Ledger>>) -> Option<Self> {
        let mut struck = Bits::default();
        for (at, shape) in setup.supply.pools[pool].shapes.iter().enumerate() {
            let enough = setup.stocks.of(pool, shape.type_at).is_some_and(|id| ledgers.contains_key(&id));
            if !enough {
                struck.insert(at);
            }
        }
        (!ledgers.is_empty()).then(|| Self(Arc::new(Left { ledgers, struck })))
    }

    /// Shapes that do not have enough.
    pub(in crate::schedule) fn struck(&self) -> &Bits {
        &self.0.struck
    }

    /// Who got what on a type with these devices.
    pub(in crate::schedule) fn ledger(&self, stock: StockId) -> Option<&Ledger> {
        self.0.ledgers.get(&stock).map(AsRef::as_ref)
    }
}

impl Pass<'_, '_> {
    /// The claims of a class that are still to be allocated for a pod on a target; `None` if one is elsewhere.
    fn unallocated(&self, class: usize, target: u32) -> Option<Vec<KindId>> {
        let mut wanted = Vec::new();
        for claim in self.setup.classes[class].claims.known()? {
            match claim {
                PodClaim::Own(kind) => wanted.push(*kind),
                PodClaim::Shared(id, kind) => match self.at.shared.get(id) {
                    None => wanted.push(*kind),
                    Some(there) if *there == target => {}
                    Some(_) => return None,
                },
                PodClaim::Allocated(DeviceReach::Nodes(names)) => {
                    let host = self.setup.problem.hosts.get(target as usize)?;
                    names.iter().find(|name| *name.as_shared() == host.name)?;
                }
                PodClaim::Allocated(DeviceReach::Labels(_) | DeviceReach::Anywhere) => {}
            }
        }
        Some(wanted)
    }

    /// What to say where there are no devices now: others may yet make a claim theirs that the pod shares.
    fn lacking(&self, class: usize) -> Answer {
        if self.setup.classes[class].claims.any_shared() { Answer::NotNow } else { Answer::Never }
    }

    /// What is left of a host's devices with a pod of a class there; nothing if it takes none.
    pub(super) fn devices_of_host(&mut self, class: usize, target: u32) -> Result<Option<Ledger>, Answer> {
        let claims = self.setup.classes[class].claims.known().unwrap_or_default();
        let Some(devices) = self.setup.problem.devices.filter(|_| !claims.is_empty()) else {
            return Ok(None);
        };
        let wanted = self.unallocated(class, target).ok_or(Answer::Never)?;
        let used = self.at.used.get(&target).and_then(|used| used.devices.as_ref());
        let known = used.or_else(|| self.setup.expected.ledgers.get(&target));
        if wanted.is_empty() {
            return Ok(known.map(Ledger::with_none));
        }
        let inventory = devices.hosts[target as usize].map(|id| devices.inventory(id));
        let inventory = inventory.ok_or(Answer::Never)?;
        let (found, steps) = match known {
            Some(ledger) => ledger.with(devices, inventory, &wanted),
            None => Ledger::new(inventory).with(devices, inventory, &wanted),
        };
        self.at.work += u64::from(steps) / STEPS_FOR_WORK;
        found.map(Some).map_err(|_| self.lacking(class))
    }

    /// What is left of a planned node's devices with a pod of a class there; nothing if none of its pods takes any.
    pub(super) fn devices_of_planned(
        &mut self,
        class: usize,
        at: usize,
    ) -> Result<Option<NodeDevices>, Answer> {
        let planned = &self.at.planned[at];
        let claims = self.setup.classes[class].claims.known().unwrap_or_default();
        let Some(devices) = self.setup.problem.devices.filter(|_| !claims.is_empty()) else {
            return Ok(planned.devices.clone());
        };
        let target = (self.setup.problem.hosts.len() + at) as u32;
        let wanted = self.unallocated(class, target).ok_or(Answer::Never)?;
        let Some(known) = planned.devices.clone() else {
            if wanted.is_empty() {
                return Ok(None);
            }
            return self.fresh(devices, wanted, planned.pool).map(Some).ok_or(self.lacking(class));
        };
        let pool = planned.pool;
        let mut ledgers = BTreeMap::new();
        for (id, ledger) in &known.0.ledgers {
            if wanted.is_empty() {
                ledgers.insert(*id, Arc::new(ledger.with_none()));
                continue;
            }
            let inventory = devices.inventory(self.setup.stocks.get(*id).inventory);
            let (found, steps) = ledger.with(devices, inventory, &wanted);
            self.at.work += u64::from(steps) / STEPS_FOR_WORK;
            ledgers.extend(found.ok().map(|left| (*id, Arc::new(left))));
        }
        NodeDevices::new(self.setup, pool, ledgers).map(Some).ok_or(self.lacking(class))
    }

    /// The devices of a new node of a pool with a pod of a class there; nothing if it takes none.
    pub(super) fn devices_of_new(
        &mut self,
        class: usize,
        pool: usize,
    ) -> Result<Option<NodeDevices>, Answer> {
        let claims = self.setup.classes[class].claims.known().unwrap_or_default();
        let Some(devices) = self.setup.problem.devices.filter(|_| !claims.is_empty()) else {
            return Ok(None);
        };
        let target = (self.setup.problem.hosts.len() + self.at.planned.len()) as u32;
        let wanted = self.unallocated(class, target).ok_or(Answer::Never)?;
        if wanted.is_empty() {
            return Ok(None);
        }
        self.fresh(devices, wanted, pool).map(Some).ok_or(self.lacking(class))
    }

    /// The devices of a new node of a pool once claims got theirs; `None` if no type has enough.
    fn fresh(&mut self, devices: &Devices, wanted: Vec<KindId>, pool: usize) -> Option<NodeDevices> {
        let key = (pool, wanted);
        if let Some(known) = self.setup.fresh.get(&key) {
            return known.clone();
        }
        let mut found: BTreeMap<StockId, Option<Arc<Ledger>>> = BTreeMap::new();
        for shape in &self.setup.supply.pools[pool].shapes {
            let Some(id) = self.setup.stocks.of(pool, shape.type_at) else { continue };
            if found.contains_key(&id) {
                continue;
            }
            let stock = self.setup.stocks.get(id);
            let (left, steps) = stock.start.with(devices, devices.inventory(stock.inventory), &key.1);
            self.at.work += u64::from(steps) / STEPS_FOR_WORK;
            found.insert(id, left.ok().map(Arc::new));
        }
        let ledgers = found.into_iter().filter_map(|(id, left)| Some((id, left?))).collect();
        let new = NodeDevices::new(self.setup, pool, ledgers);
        self.setup.fresh.insert(key, new.clone());
        new
    }

    /// A pod of a class went to a target: so did the claims that it shares.
    pub(super) fn settle_claims(&mut self, class: usize, pod: usize, target: u32) {
        let mut claims = Vec::new();
        for (number, claim) in self.setup.classes[class].claims.known().unwrap_or_default().iter().enumerate()
        {
            let allocated = match claim {
                PodClaim::Own(_) => true,
                PodClaim::Shared(id, _) => self.at.shared.insert(*id, target).is_none(),
                PodClaim::Allocated(_) => false,
            };
            claims.extend(allocated.then_some(number));
        }
        if claims.is_empty() {
            return;
        }
        let hosts = self.setup.problem.hosts.len();
        let entries = match (target as usize).checked_sub(hosts) {
            None => self.at.used.get(&target).and_then(|used| used.devices.as_ref()),
            Some(at) => {
                let left = self.at.planned[at].devices.as_ref();
                left.and_then(|left| left.0.ledgers.values().next().map(AsRef::as_ref))
            }
        };
        // All ledgers of a node have an entry for each of its pods that came since the first was given anything.
        let entry = entries.and_then(|ledger| ledger.given.len().checked_sub(1));
        if let Some(entry) = entry {
            self.at.given.insert(pod, GivenAt { entry, claims });
        }
    }
}
