//! Claims and devices of a scenario, by number.
//!
//! **Invariant:** claims come first: which devices there are is told with the answers to all selectors that they have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::resource::v1::ResourceClaim as WrittenClaim;
use purser_engine::model::{
    AskedKind, ClaimKind, ClaimSource, DeviceAmount, DeviceName, DevicePool, DevicePoolKey, DeviceSelector,
    Inventory, InventoryId, KindId, NodeName, PodClaim, PodKey, ResourceClaim, SelectorId, SharedId, Str,
    claims_of_pod,
};
use purser_engine::reason::Reason;

use super::asking::{Asking, Question, holding};
use super::inventory::{Answering, of_templates, pools};
use super::{ClaimRef, DeviceObjects, SliceTemplate};

/// What is known of claims and devices, as numbers; see the module.
pub struct Book<'o> {
    objects: &'o DeviceObjects,
    /// Pods that give up the claims reserved for them.
    leaving: BTreeSet<PodKey>,
    asking: Asking,
    /// What is asked of devices, by number.
    questions: Vec<(SelectorId, Question)>,
    selectors: BTreeMap<Arc<DeviceSelector>, SelectorId>,
    /// Attributes that constraints are about.
    attributes: BTreeSet<Str>,
    kinds: BTreeMap<ClaimKind, KindId>,
    shared: BTreeMap<PodKey, SharedId>,
    inventories: BTreeMap<Inventory, InventoryId>,
    /// The pools of nodes, once somebody asked.
    pools: Option<BTreeMap<DevicePoolKey, DevicePool>>,
    /// How much of the capacities of each device is in use, by each who has it.
    in_use: BTreeMap<DeviceName, Vec<BTreeMap<Str, DeviceAmount>>>,
}

impl<'o> Book<'o> {
    /// A book about these objects; pods that leave their node give up what is reserved for them alone.
    pub fn new(objects: &'o DeviceObjects, leaving: BTreeSet<PodKey>) -> Self {
        let mut book = Self {
            objects,
            leaving,
            asking: Asking::default(),
            questions: Vec::new(),
            selectors: BTreeMap::new(),
            attributes: BTreeSet::new(),
            kinds: BTreeMap::new(),
            shared: BTreeMap::new(),
            inventories: BTreeMap::new(),
            pools: None,
            in_use: BTreeMap::new(),
        };
        for (key, claim) in &objects.claims {
            let held = holding(key, claim).filter(|_| !book.is_given_up(key, claim));
            for device in held.into_iter().flat_map(|held| held.devices) {
                book.in_use.entry(device.name).or_default().push(device.consumed);
            }
        }
        book
    }

    /// All kinds of claims and all inventories, by number, and the selectors that may take devices which are not of one node alone.
    pub fn finish(self) -> (Vec<Arc<ClaimKind>>, Vec<Inventory>, BTreeSet<SelectorId>) {
        let wide = self.answering().wide(self.objects.slices.values().map(|slice| &slice.spec));
        let mut kinds: Vec<(ClaimKind, KindId)> = self.kinds.into_iter().collect();
        kinds.sort_by_key(|(_, id)| *id);
        let mut inventories: Vec<(Inventory, InventoryId)> = self.inventories.into_iter().collect();
        inventories.sort_by_key(|(_, id)| *id);
        let kinds = kinds.into_iter().map(|(kind, _)| Arc::new(kind)).collect();
        (kinds, inventories.into_iter().map(|(inventory, _)| inventory).collect(), wide)
    }

    /// The claims that a pod names, in its order; or why they cannot be had.
    ///
    /// # Errors
    /// What is missing, wrong or not supported.
    pub fn claims(&mut self, namespace: &Str, refs: &[ClaimRef]) -> Result<Vec<PodClaim>, Reason> {
        let sources: Vec<ClaimSource> = refs.iter().map(|one| one.source.clone()).collect();
        let claims = claims_of_pod(namespace, &sources, |source, key| self.find(source, key))?;
        Ok(claims.into_iter().map(|claim| claim.numbered(&mut self.shared)).collect())
    }

    /// A claim, or a template as the claim that will be made of it.
    fn find(&mut self, source: &ClaimSource, key: &PodKey) -> Option<ResourceClaim> {
        let objects = self.objects;
        let kind = if let ClaimSource::Template(_) = source {
            let template = objects.templates.get(key)?;
            self.asking.of_template(&objects.classes, key, &template.spec.spec)
        } else {
            let found = objects.claims.get(key)?;
            if let Some(held) = holding(key, found).filter(|_| !self.is_given_up(key, found)) {
                return Some(ResourceClaim::Allocated(held));
            }
            self.asking.of_claim(&objects.classes, key, &found.spec)
        };
        Some(match kind {
            Ok(kind) => ResourceClaim::Open(self.number(&kind)),
            Err(reason) => ResourceClaim::Refused(reason),
        })
    }

    fn number(&mut self, kind: &AskedKind) -> KindId {
        let (selectors, questions, asking) = (&mut self.selectors, &mut self.questions, &mut self.asking);
        let kind = kind.renamed(|selector| {
            let next = SelectorId(questions.len() as u32);
            let id = *selectors.entry(Arc::clone(selector)).or_insert(next);
            if id == next {
                questions.push((id, asking.question(selector)));
            }
            id
        });
        self.attributes.extend(kind.constraints.iter().map(|one| one.attribute.clone()));
        let next = KindId(self.kinds.len() as u32);
        *self.kinds.entry(kind).or_insert(next)
    }

    /// Whether all for whom a claim is reserved are pods that leave.
    fn is_given_up(&self, key: &PodKey, claim: &WrittenClaim) -> bool {
        let reserved = claim.status.as_ref().and_then(|status| status.reserved_for.as_ref());
        let mut reserved = reserved.into_iter().flatten().peekable();
        let any = reserved.peek().is_some();
        any && reserved.all(|one| {
            let pod = PodKey::new(key.namespace.clone(), one.name.as_str());
            one.resource == "pods" && self.leaving.contains(&pod)
        })
    }

    fn answering(&self) -> Answering<'_, SelectorId> {
        Answering { questions: &self.questions, attributes: &self.attributes }
    }

    /// The devices of a node, if there are any. Of drivers that have not published any yet, if the node is still starting, those that its type
    /// will have.
    pub fn of_node(&mut self, node: &NodeName, expected: &[SliceTemplate]) -> Option<InventoryId> {
        let all = self.pools.take().unwrap_or_else(|| self.all_pools());
        let first = DevicePoolKey { node: node.clone(), driver: "".into(), pool: "".into() };
        let mut here: Vec<(DevicePoolKey, DevicePool)> = all
            .range(first..)
            .take_while(|(key, _)| key.node == *node)
            .map(|(key, pool)| (key.clone(), pool.clone()))
            .collect();
        let published: BTreeSet<Str> = here.iter().map(|(key, _)| key.driver.clone()).collect();
        let expected = of_templates(self.answering(), node, expected);
        here.extend(expected.into_iter().filter(|(key, _)| !published.contains(&key.driver)));
        self.pools = Some(all);
        self.inventory(&here)
    }

    /// The devices of each node of an instance type, if there are any.
    pub fn of_type(&mut self, templates: &[SliceTemplate]) -> Option<InventoryId> {
        let pools = of_templates(self.answering(), &NodeName::from(""), templates);
        self.inventory(&pools)
    }

    fn all_pools(&self) -> BTreeMap<DevicePoolKey, DevicePool> {
        let mut all = BTreeMap::new();
        for ((driver, pool), slices) in pools(self.objects.slices.values().map(|slice| &slice.spec)) {
            for (node, found) in self.answering().on_nodes(slices) {
                all.insert(DevicePoolKey { node, driver: driver.clone(), pool: pool.clone() }, found);
            }
        }
        all
    }

    fn inventory(&mut self, pools: &[(DevicePoolKey, DevicePool)]) -> Option<InventoryId> {
        if pools.is_empty() {
            return None;
        }
        let in_use = |name: &DeviceName| self.in_use.get(name).into_iter().flatten();
        let inventory = Inventory::of(pools.iter().map(|(key, pool)| (key, pool)), in_use);
        let next = InventoryId(self.inventories.len() as u32);
        Some(*self.inventories.entry(inventory).or_insert(next))
    }
}
