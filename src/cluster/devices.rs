//! Devices and claims on them: ResourceClaims and ResourceClaimTemplates, with the DeviceClasses that they rest on, and what drivers publish in
//! ResourceSlices, with the answers to what those claims ask.
//!
//! What is asked is kept as long as an open claim or a template asks it: claims that have their devices ask nothing. A question that is new is put
//! to all devices, once, and a slice that changes is asked all questions; so what there is to do follows what changes.
//!
//! **Invariant:** all is told once all four kinds were listed, and devices before the claims that ask for them: so whoever hears of a claim knows
//! already which devices would do for it.

mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceClaimSpec, ResourceSliceSpec};
use purser_api::devices::{Answering, Asking, Question, claim_refs, holding};
use purser_engine::model::{
    self, AskedKind, ClaimSource, DevicePool, DevicePoolKey, DeviceSelector, NodeName, PodKey, Questions, Str,
};
use purser_engine::port::Observation;
use purser_engine::reason::Reason;

use crate::shared::Shared;

/// What is known of devices and claims, shared between the watches of the four kinds and that of pods.
#[derive(Clone, Default)]
pub(crate) struct Devices {
    /// Nothing, where claims are not looked at.
    known: Option<Shared<Known>>,
}

impl Devices {
    /// Claims are looked at.
    pub(crate) fn looked_at() -> Self {
        Self { known: Some(Shared::default()) }
    }

    /// Where the claims of a pod come from.
    pub(crate) fn claims_of(&self, pod: &Pod) -> Vec<ClaimSource> {
        let refs = self.known.is_some().then(|| claim_refs(pod));
        refs.into_iter().flatten().map(|claim| claim.source).collect()
    }

    /// Changes what is known, and tells what follows from it.
    fn change(&self, change: impl FnOnce(&mut Known) -> Vec<Observation>) -> Vec<Observation> {
        self.known.as_ref().map(|known| change(&mut known.lock())).unwrap_or_default()
    }
}

#[derive(Default)]
struct Known {
    asking: Asking,
    classes: BTreeMap<Str, DeviceClass>,
    claims: BTreeMap<PodKey, Claim>,
    templates: BTreeMap<PodKey, Template>,
    slices: BTreeMap<Str, ResourceSliceSpec>,
    pools: BTreeMap<PoolName, Pool>,
    /// Selectors, with how many claims and templates ask them.
    selectors: BTreeMap<Arc<DeviceSelector>, (usize, Question)>,
    /// Attributes by which devices have to be alike, likewise.
    attributes: BTreeMap<Str, usize>,
    /// All of that, as it is told.
    asked: Arc<Questions>,
    /// Selectors that may take devices which are not of one node alone.
    wide: BTreeSet<Arc<DeviceSelector>>,
    listed: BTreeSet<Kind>,
}

/// A pool of devices by driver and name.
type PoolName = (Str, Str);

type Published = DevicePool<Arc<DeviceSelector>>;

type Wanted = Result<Arc<AskedKind>, Reason>;

struct Claim {
    spec: ResourceClaimSpec,
    is: model::ResourceClaim<Arc<AskedKind>>,
}

struct Template {
    spec: ResourceClaimSpec,
    wanted: Wanted,
}

#[derive(Default)]
struct Pool {
    /// Its slices by name.
    slices: BTreeSet<Str>,
    /// What of it is on which node.
    on_nodes: BTreeMap<NodeName, Arc<Published>>,
    /// Selectors that may take devices of it which are not of one node alone.
    wide: BTreeSet<Arc<DeviceSelector>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Class,
    Claim,
    Template,
    Slice,
}

const KINDS: usize = 4;

/// What is asked, as it is put to devices.
#[derive(Default)]
struct Asked {
    selectors: Vec<(Arc<DeviceSelector>, Question)>,
    attributes: BTreeSet<Str>,
}

impl Asked {
    fn is_nothing(&self) -> bool {
        self.selectors.is_empty() && self.attributes.is_empty()
    }

    fn answering(&self) -> Answering<'_, Arc<DeviceSelector>> {
        Answering { questions: &self.selectors, attributes: &self.attributes }
    }
}

impl Known {
    fn is_complete(&self) -> bool {
        self.listed.len() == KINDS
    }

    /// Takes note of a list, and tells all once there are all.
    fn has_listed(&mut self, kind: Kind) -> Vec<Observation> {
        if self.listed.contains(&kind) {
            return Vec::new();
        }
        if self.listed.len() + 1 < KINDS {
            self.listed.insert(kind);
            return Vec::new();
        }
        // Claims may have come before their classes.
        self.read_again(|_| true);
        self.listed.insert(kind);
        let pools: Vec<PoolName> = self.pools.keys().cloned().collect();
        let mut told: Vec<Observation> = pools.iter().flat_map(|pool| self.publish(pool)).collect();
        self.wide_may_have_changed();
        // Also where there are none: what is not listed is not looked at.
        told.push(self.tell_wide());
        told.extend(self.claims.iter().map(|(key, claim)| tell_claim(key, claim)));
        told.extend(self.templates.iter().map(|(key, template)| tell_template(key, template)));
        told
    }

    // === what is asked ===

    /// A claim or template asks for this in place of that. What is new is put to all devices.
    fn ask(&mut self, now: Option<&AskedKind>, before: Option<&AskedKind>) -> Vec<Observation> {
        let mut fresh = Asked::default();
        let mut ended = BTreeSet::new();
        for selector in now.into_iter().flat_map(|kind| kind.selectors()) {
            if let Some((users, _)) = self.selectors.get_mut(selector) {
                *users += 1;
                continue;
            }
            let question = self.asking.question(selector);
            fresh.selectors.push((Arc::clone(selector), question.clone()));
            self.selectors.insert(Arc::clone(selector), (1, question));
        }
        for one in now.into_iter().flat_map(|kind| &kind.constraints) {
            let users = self.attributes.entry(one.attribute.clone()).or_default();
            *users += 1;
            if *users == 1 {
                fresh.attributes.insert(one.attribute.clone());
            }
        }
        for selector in before.into_iter().flat_map(|kind| kind.selectors()) {
            let Some((users, _)) = self.selectors.get_mut(selector) else { continue };
            *users -= 1;
            if *users == 0 {
                self.selectors.remove(selector);
                ended.insert(Arc::clone(selector));
            }
        }
        let mut attributes_end = false;
        for one in before.into_iter().flat_map(|kind| &kind.constraints) {
            let Some(users) = self.attributes.get_mut(&one.attribute) else { continue };
            *users -= 1;
            if *users == 0 {
                self.attributes.remove(&one.attribute);
                attributes_end = true;
            }
        }
        if !fresh.is_nothing() || !ended.is_empty() || attributes_end {
            self.asked = Arc::new(Questions {
                selectors: self.selectors.keys().cloned().collect(),
                attributes: self.attributes.keys().cloned().collect(),
            });
        }
        if !ended.is_empty() || attributes_end {
            self.forget(&ended);
            self.asking.tidy(self.selectors.keys().map(|selector| &**selector));
        }
        if fresh.is_nothing() || !self.is_complete() { Vec::new() } else { self.put(&fresh) }
    }

    /// Puts new questions to all devices, and tells those that have something to answer.
    fn put(&mut self, fresh: &Asked) -> Vec<Observation> {
        let mut told = Vec::new();
        for (name, pool) in &mut self.pools {
            let slices: Vec<&ResourceSliceSpec> =
                pool.slices.iter().filter_map(|slice| self.slices.get(slice)).collect();
            pool.wide.extend(fresh.answering().wide(slices.iter().copied()));
            for (node, more) in fresh.answering().on_nodes(slices) {
                let answers = !more.undecided.is_empty()
                    || more.devices.iter().any(|one| !one.takers.is_empty() || !one.attributes.is_empty());
                let Some(shared) = pool.on_nodes.get_mut(&node).filter(|_| answers) else { continue };
                let known = Arc::make_mut(shared);
                known.undecided.extend(more.undecided);
                // They are of the same slices, and so in the same order.
                for (device, more) in known.devices.iter_mut().zip(more.devices) {
                    device.takers.extend(more.takers);
                    device.attributes.extend(more.attributes);
                }
                told.push((pool_key(node, name), Arc::clone(shared)));
            }
        }
        let asked = Arc::clone(&self.asked);
        let tell = |(key, pool)| Observation::DevicePool { key, pool, asked: Arc::clone(&asked) };
        let mut told: Vec<Observation> = told.into_iter().map(tell).collect();
        told.extend(self.wide_may_have_changed());
        told
    }

    /// Leaves out what nobody asks any more. It is not told: nobody minds.
    fn forget(&mut self, ended: &BTreeSet<Arc<DeviceSelector>>) {
        let attributes = &self.asked.attributes;
        for pool in self.pools.values_mut() {
            pool.wide.retain(|selector| !ended.contains(selector));
            for known in pool.on_nodes.values_mut() {
                let known = Arc::make_mut(known);
                known.undecided.retain(|selector| !ended.contains(selector));
                for device in &mut known.devices {
                    ended.iter().for_each(|selector| drop(device.takers.remove(selector)));
                    device.attributes.retain(|name, _| attributes.contains(name));
                }
            }
        }
        self.wide.retain(|selector| !ended.contains(selector));
    }

    // === what there is ===

    /// Reads what is published of a pool, and tells what changed of it.
    fn publish(&mut self, name: &PoolName) -> Vec<Observation> {
        if !self.is_complete() {
            return Vec::new();
        }
        let Some(pool) = self.pools.get_mut(name) else { return Vec::new() };
        let all = Asked {
            selectors: self
                .selectors
                .iter()
                .map(|(one, (_, question))| (one.clone(), question.clone()))
                .collect(),
            attributes: self.asked.attributes.clone(),
        };
        let slices: Vec<&ResourceSliceSpec> =
            pool.slices.iter().filter_map(|slice| self.slices.get(slice)).collect();
        pool.wide = all.answering().wide(slices.iter().copied());
        let found = all.answering().on_nodes(slices);
        let found: BTreeMap<NodeName, Arc<Published>> =
            found.into_iter().map(|(node, pool)| (node, Arc::new(pool))).collect();
        let before = std::mem::replace(&mut pool.on_nodes, found);
        let mut told = Vec::new();
        for (node, known) in &pool.on_nodes {
            if before.get(node) != Some(known) {
                told.push(Observation::DevicePool {
                    key: pool_key(node.clone(), name),
                    pool: Arc::clone(known),
                    asked: Arc::clone(&self.asked),
                });
            }
        }
        for node in before.into_keys().filter(|node| !pool.on_nodes.contains_key(node)) {
            told.push(Observation::NoDevicePool(pool_key(node, name)));
        }
        if pool.slices.is_empty() {
            self.pools.remove(name);
        }
        told
    }

    fn wide_may_have_changed(&mut self) -> Option<Observation> {
        let wide = self.pools.values().flat_map(|pool| &pool.wide).cloned().collect();
        (std::mem::replace(&mut self.wide, wide) != self.wide).then(|| self.tell_wide())
    }

    fn tell_wide(&self) -> Observation {
        Observation::WideSelectors { selectors: self.wide.clone(), asked: Arc::clone(&self.asked) }
    }

    /// A slice is so, or gone.
    fn slice(&mut self, name: Str, spec: Option<ResourceSliceSpec>) -> Vec<Observation> {
        let of = |spec: &ResourceSliceSpec| (spec.driver.as_str().into(), spec.pool.name.as_str().into());
        let mut pools: BTreeSet<PoolName> = BTreeSet::new();
        if let Some(spec) = &spec {
            self.pools.entry(of(spec)).or_default().slices.insert(name.clone());
            pools.insert(of(spec));
        }
        let now = pools.first().cloned();
        let before = match spec {
            Some(spec) => self.slices.insert(name.clone(), spec),
            None => self.slices.remove(&name),
        };
        if let Some(before) = before.as_ref().map(of).filter(|before| Some(before) != now.as_ref()) {
            if let Some(pool) = self.pools.get_mut(&before) {
                pool.slices.remove(&name);
            }
            pools.insert(before);
        }
        let mut told: Vec<Observation> = pools.iter().flat_map(|pool| self.publish(pool)).collect();
        told.extend(self.wide_may_have_changed().filter(|_| self.is_complete()));
        told
    }

    // === claims and templates ===

    /// A claim is so, or gone.
    fn claim(&mut self, key: &PodKey, object: Option<&ResourceClaim>) -> Vec<Observation> {
        let claim = object.map(|object| {
            let is = match holding(key, object) {
                Some(holding) => model::ResourceClaim::Allocated(holding),
                None => self.wanted_by_claim(key, &object.spec),
            };
            Claim { spec: object.spec.clone(), is }
        });
        let mut told = self.set_claim(key, claim);
        match self.claims.get(key) {
            Some(claim) if self.is_complete() => told.push(tell_claim(key, claim)),
            Some(_) => {}
            None => told.push(Observation::NoResourceClaim(key.clone())),
        }
        told
    }

    fn set_claim(&mut self, key: &PodKey, claim: Option<Claim>) -> Vec<Observation> {
        let kind = |claim: &Claim| match &claim.is {
            model::ResourceClaim::Open(kind) => Some(Arc::clone(kind)),
            model::ResourceClaim::Refused(_) | model::ResourceClaim::Allocated(_) => None,
        };
        let now = claim.as_ref().and_then(kind);
        let before = match claim {
            Some(claim) => self.claims.insert(key.clone(), claim),
            None => self.claims.remove(key),
        };
        self.ask(now.as_deref(), before.as_ref().and_then(kind).as_deref())
    }

    fn wanted_by_claim(
        &mut self,
        key: &PodKey,
        spec: &ResourceClaimSpec,
    ) -> model::ResourceClaim<Arc<AskedKind>> {
        match self.asking.of_claim(&self.classes, key, spec) {
            Ok(kind) => model::ResourceClaim::Open(Arc::new(kind)),
            Err(reason) => model::ResourceClaim::Refused(reason),
        }
    }

    /// A template is so, or gone.
    fn template(&mut self, key: &PodKey, spec: Option<&ResourceClaimSpec>) -> Vec<Observation> {
        let template = spec.map(|spec| {
            let wanted = self.asking.of_template(&self.classes, key, spec).map(Arc::new);
            Template { spec: spec.clone(), wanted }
        });
        let mut told = self.set_template(key, template);
        match self.templates.get(key) {
            Some(template) if self.is_complete() => told.push(tell_template(key, template)),
            Some(_) => {}
            None => told.push(Observation::NoClaimTemplate(key.clone())),
        }
        told
    }

    fn set_template(&mut self, key: &PodKey, template: Option<Template>) -> Vec<Observation> {
        let now = template.as_ref().and_then(|template| template.wanted.clone().ok());
        let before = match template {
            Some(template) => self.templates.insert(key.clone(), template),
            None => self.templates.remove(key),
        };
        let before = before.and_then(|before| before.wanted.ok());
        self.ask(now.as_deref(), before.as_deref())
    }

    /// A class is so, or gone.
    fn class(&mut self, name: &str, class: Option<DeviceClass>) -> Vec<Observation> {
        let selectors = |class: &DeviceClass| class.spec.selectors.clone();
        let before = self.classes.get(name).map(selectors);
        if before == class.as_ref().map(selectors) {
            return Vec::new();
        }
        match class {
            Some(class) => drop(self.classes.insert(name.into(), class)),
            None => drop(self.classes.remove(name)),
        }
        if self.is_complete() { self.read_again(|spec| names_class(spec, name)) } else { Vec::new() }
    }

    /// Reads claims and templates again that may ask for something else now, and tells those that do, behind the devices.
    fn read_again(&mut self, concerns: impl Fn(&ResourceClaimSpec) -> bool) -> Vec<Observation> {
        let (mut of_devices, mut told) = (Vec::new(), Vec::new());
        let is_open = |claim: &Claim| !matches!(claim.is, model::ResourceClaim::Allocated(_));
        let claims = self.claims.iter().filter(|(_, claim)| is_open(claim) && concerns(&claim.spec));
        let claims: Vec<(PodKey, ResourceClaimSpec)> =
            claims.map(|(key, claim)| (key.clone(), claim.spec.clone())).collect();
        for (key, spec) in claims {
            let claim = Claim { is: self.wanted_by_claim(&key, &spec), spec };
            if self.claims.get(&key).is_none_or(|known| known.is != claim.is) {
                told.push(tell_claim(&key, &claim));
                of_devices.extend(self.set_claim(&key, Some(claim)));
            }
        }
        let templates = self.templates.iter().filter(|(_, template)| concerns(&template.spec));
        let templates: Vec<(PodKey, ResourceClaimSpec)> =
            templates.map(|(key, template)| (key.clone(), template.spec.clone())).collect();
        for (key, spec) in templates {
            let wanted = self.asking.of_template(&self.classes, &key, &spec).map(Arc::new);
            if self.templates.get(&key).is_none_or(|known| known.wanted != wanted) {
                let template = Template { spec, wanted };
                told.push(tell_template(&key, &template));
                of_devices.extend(self.set_template(&key, Some(template)));
            }
        }
        of_devices.extend(told);
        of_devices
    }
}

fn pool_key(node: NodeName, (driver, pool): &PoolName) -> DevicePoolKey {
    DevicePoolKey { node, driver: driver.clone(), pool: pool.clone() }
}

fn tell_claim(key: &PodKey, claim: &Claim) -> Observation {
    Observation::ResourceClaim(key.clone(), claim.is.clone())
}

fn tell_template(key: &PodKey, template: &Template) -> Observation {
    Observation::ClaimTemplate(key.clone(), template.wanted.clone())
}

/// Whether a claim asks for devices of a class.
fn names_class(spec: &ResourceClaimSpec, class: &str) -> bool {
    let requests = spec.devices.iter().filter_map(|devices| devices.requests.as_ref()).flatten();
    requests.into_iter().any(|request| {
        let exactly = request.exactly.iter().map(|one| &one.device_class_name);
        let others = request.first_available.iter().flatten().map(|one| &one.device_class_name);
        exactly.chain(others).any(|name| name == class)
    })
}

#[cfg(test)]
mod tests;
