//! What claims ask for.
//!
//! **Invariant:** a claim that comes out is understood in full: whatever of it is wrong or not supported is a reason instead.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use k8s_openapi::api::core::v1::NodeSelector;
use k8s_openapi::api::resource::v1::{
    CapacityRequirements, DeviceConstraint, DeviceRequest as WrittenRequest, DeviceSelector, ResourceClaim,
    ResourceClaimSpec,
};
use purser_engine::model::{
    ClaimKind, DeviceAmount, DeviceAsk, DeviceCount, DeviceReach, DeviceRequest, Inventory, InventoryId,
    KindId, PodClaim, PodKey, SameAttribute, SelectorId, SharedId, Str,
};
use purser_engine::reason::{Reason, ReasonId};

use super::inventory::Allocated;
use super::selector::Selector;
use super::{ClaimRef, ClaimSource, DeviceObjects};
use crate::error::At;
use crate::pod::node_term;

/// What is known of claims and devices, as numbers; see the module.
pub struct Book<'o> {
    pub(super) objects: &'o DeviceObjects,
    /// Pods that give up the claims reserved for them.
    leaving: BTreeSet<PodKey>,
    compiled: BTreeMap<&'o str, Result<Rc<Selector>, String>>,
    /// What is asked of devices, by number.
    pub(super) asked: Vec<Asked>,
    asked_ids: BTreeMap<AskedKey<'o>, SelectorId>,
    /// Attributes that constraints are about, by number.
    pub(super) attributes: BTreeMap<Str, u32>,
    /// Values of attributes, by number.
    pub(super) values: BTreeMap<(Kind, Str), u32>,
    kinds: BTreeMap<ClaimKind, KindId>,
    shared: BTreeMap<PodKey, SharedId>,
    pub(super) inventories: BTreeMap<Inventory, InventoryId>,
    /// Selectors that may take devices which are not of one node alone, once somebody asked.
    pub(super) reaching_out: Option<BTreeSet<SelectorId>>,
    /// What is in use.
    pub(super) allocated: Allocated<'o>,
}

/// What kind of value an attribute has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Text,
    Number,
    Bool,
    Version,
}

/// What is asked of a device.
pub(super) struct Asked {
    /// All of these must take it, the class's in front.
    pub selectors: Vec<Rc<Selector>>,
    /// At least so much of its capacities.
    pub capacity: BTreeMap<String, DeviceAmount>,
}

type AskedKey<'o> = (Vec<&'o str>, BTreeMap<String, DeviceAmount>);

/// An object that claims rest on, by what it is called and where in it one is.
#[derive(Clone, Copy)]
struct Place<'a> {
    object: &'a str,
    at: At<'a>,
}

impl Place<'_> {
    fn unsupported(&self, feature: &str) -> Reason {
        let field = format!("{}: {feature}", self.at);
        let params = [("object", self.object.to_owned()), ("field", field)];
        Reason::new(ReasonId::DeviceFeatureUnsupported, params)
    }
}

fn missing(kind: &str, name: &dyn std::fmt::Display) -> Reason {
    Reason::new(ReasonId::DeviceObjectMissing, [("object", format!("{kind} {name}"))])
}

impl<'o> Book<'o> {
    /// A book about these objects; pods that leave their node give up what is reserved for them alone.
    pub fn new(objects: &'o DeviceObjects, leaving: BTreeSet<PodKey>) -> Self {
        let mut book = Self {
            objects,
            leaving,
            compiled: BTreeMap::new(),
            asked: Vec::new(),
            asked_ids: BTreeMap::new(),
            attributes: BTreeMap::new(),
            values: BTreeMap::new(),
            kinds: BTreeMap::new(),
            shared: BTreeMap::new(),
            inventories: BTreeMap::new(),
            reaching_out: None,
            allocated: Allocated::default(),
        };
        for (key, claim) in &objects.claims {
            if !book.is_given_up(key, claim) {
                book.allocated.add(claim);
            }
        }
        book
    }

    /// All kinds of claims and all inventories, by number.
    pub fn finish(self) -> (Vec<ClaimKind>, Vec<Inventory>) {
        let mut kinds: Vec<(ClaimKind, KindId)> = self.kinds.into_iter().collect();
        kinds.sort_by_key(|(_, id)| *id);
        let mut inventories: Vec<(Inventory, InventoryId)> = self.inventories.into_iter().collect();
        inventories.sort_by_key(|(_, id)| *id);
        let kinds = kinds.into_iter().map(|(kind, _)| kind).collect();
        (kinds, inventories.into_iter().map(|(inventory, _)| inventory).collect())
    }

    /// The claims that a pod names, in its order; or why they cannot be had.
    ///
    /// # Errors
    /// What is missing, wrong or not supported.
    pub fn claims(&mut self, namespace: &Str, refs: &[ClaimRef]) -> Result<Vec<PodClaim>, Reason> {
        let mut seen = BTreeSet::new();
        refs.iter().map(|claim| self.claim(namespace, claim, &mut seen)).collect()
    }

    fn claim(
        &mut self,
        namespace: &Str,
        claim: &ClaimRef,
        seen: &mut BTreeSet<PodKey>,
    ) -> Result<PodClaim, Reason> {
        let key = |name: &Str| PodKey::new(namespace.clone(), name.clone());
        let nothing = PodClaim::Allocated(DeviceReach::Anywhere);
        let objects = self.objects;
        match &claim.source {
            ClaimSource::NotNeeded => Ok(nothing),
            ClaimSource::Template(name) => {
                let key = key(name);
                let template = objects.templates.get(&key);
                let template = template.ok_or_else(|| missing("ResourceClaimTemplate", &key))?;
                let root = At::ROOT.field("spec");
                let at = root.field("spec");
                let object = format!("ResourceClaimTemplate {key}");
                let place = Place { object: &object, at };
                self.kind(place, &template.spec.spec).map(PodClaim::Own)
            }
            ClaimSource::Named(name) | ClaimSource::Made(name) => {
                let key = key(name);
                let found = objects.claims.get(&key).ok_or_else(|| missing("ResourceClaim", &key))?;
                if !seen.insert(key.clone()) {
                    return Ok(nothing);
                }
                let object = format!("ResourceClaim {key}");
                if let Some(allocation) = allocation(found).filter(|_| !self.is_given_up(&key, found)) {
                    let status = At::ROOT.field("status");
                    let at = status.field("allocation");
                    let reach = reach(Place { object: &object, at }, allocation.node_selector.as_ref());
                    return reach.map(PodClaim::Allocated);
                }
                let kind = self.kind(Place { object: &object, at: At::ROOT.field("spec") }, &found.spec)?;
                if matches!(claim.source, ClaimSource::Made(_)) {
                    return Ok(PodClaim::Own(kind));
                }
                let next = SharedId(self.shared.len() as u32);
                Ok(PodClaim::Shared(*self.shared.entry(key).or_insert(next), kind))
            }
        }
    }

    /// Whether all for whom a claim is reserved are pods that leave.
    fn is_given_up(&self, key: &PodKey, claim: &ResourceClaim) -> bool {
        let reserved = claim.status.as_ref().and_then(|status| status.reserved_for.as_ref());
        let mut reserved = reserved.into_iter().flatten().peekable();
        let any = reserved.peek().is_some();
        any && reserved.all(|one| {
            let pod = PodKey::new(key.namespace.clone(), one.name.as_str());
            one.resource == "pods" && self.leaving.contains(&pod)
        })
    }

    /// The kind of a claim.
    fn kind(&mut self, place: Place<'_>, spec: &'o ResourceClaimSpec) -> Result<KindId, Reason> {
        let devices = spec.devices.as_ref();
        let at = place.at.field("devices");
        let list = at.field("requests");
        let mut requests = Vec::new();
        for (index, written) in devices.and_then(|d| d.requests.as_ref()).into_iter().flatten().enumerate() {
            requests.push(self.request(Place { at: list.index(index), ..place }, written)?);
        }
        let list = at.field("constraints");
        let mut constraints = Vec::new();
        for (index, written) in devices.and_then(|d| d.constraints.as_ref()).into_iter().flatten().enumerate()
        {
            let place = Place { at: list.index(index), ..place };
            constraints.push(self.constraint(place, written, &requests)?);
        }
        let next = KindId(self.kinds.len() as u32);
        Ok(*self.kinds.entry(ClaimKind { requests, constraints }).or_insert(next))
    }

    fn request(&mut self, place: Place<'_>, written: &'o WrittenRequest) -> Result<DeviceRequest, Reason> {
        let mut alternatives = Vec::new();
        if let Some(exactly) = &written.exactly {
            let place = Place { at: place.at.field("exactly"), ..place };
            if exactly.admin_access == Some(true) {
                return Err(place.unsupported("adminAccess"));
            }
            alternatives.push(DeviceAsk {
                name: None,
                selector: self.selector(
                    place,
                    &exactly.device_class_name,
                    exactly.selectors.as_deref(),
                    exactly.capacity.as_ref(),
                )?,
                count: count(place, exactly.allocation_mode.as_deref(), exactly.count)?,
            });
        }
        let list = place.at.field("firstAvailable");
        for (index, one) in written.first_available.iter().flatten().enumerate() {
            let place = Place { at: list.index(index), ..place };
            let (class, selectors) = (&one.device_class_name, one.selectors.as_deref());
            alternatives.push(DeviceAsk {
                name: Some(one.name.as_str().into()),
                selector: self.selector(place, class, selectors, one.capacity.as_ref())?,
                count: count(place, one.allocation_mode.as_deref(), one.count)?,
            });
        }
        if alternatives.is_empty() {
            return Err(place.unsupported("neither exactly nor firstAvailable"));
        }
        Ok(DeviceRequest { name: written.name.as_str().into(), alternatives })
    }

    /// What is asked of single devices.
    fn selector(
        &mut self,
        place: Place<'_>,
        class: &'o str,
        own: Option<&'o [DeviceSelector]>,
        capacity: Option<&'o CapacityRequirements>,
    ) -> Result<SelectorId, Reason> {
        let of_class = self.objects.classes.get(class).ok_or_else(|| missing("DeviceClass", &class))?;
        let object = format!("DeviceClass {class}");
        let of_class = of_class.spec.selectors.as_deref().unwrap_or_default();
        let spec = At::ROOT.field("spec");
        let class_place = Place { object: &object, at: spec.field("selectors") };
        let own_at = place.at.field("selectors");
        let own_place = Place { at: own_at, ..place };
        let all = of_class.iter().enumerate().map(|one| (class_place, one));
        let all = all.chain(own.unwrap_or_default().iter().enumerate().map(|one| (own_place, one)));
        let (mut texts, mut selectors) = (Vec::new(), Vec::new());
        for (place, (index, selector)) in all {
            let at = place.at.index(index);
            let cel = selector.cel.as_ref();
            let cel = cel.ok_or_else(|| Place { at, ..place }.unsupported("no cel"))?;
            let text = cel.expression.as_str();
            match self.compiled.entry(text).or_insert_with(|| Selector::new(text).map(Rc::new)) {
                Ok(selector) => selectors.push(Rc::clone(selector)),
                Err(problem) => {
                    let at = at.field("cel");
                    let problem: String =
                        problem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                    let params = [
                        ("object", place.object.to_owned()),
                        ("field", at.field("expression").to_string()),
                        ("problem", problem),
                    ];
                    return Err(Reason::new(ReasonId::DeviceSelectorInvalid, params));
                }
            }
            texts.push(text);
        }
        let mut wanted = BTreeMap::new();
        for (name, quantity) in capacity.and_then(|capacity| capacity.requests.as_ref()).into_iter().flatten()
        {
            let read = DeviceAmount::parse(&quantity.0);
            let amount = read.map_err(|error| place.unsupported(&format!("capacity {name}: {error}")))?;
            wanted.insert(name.clone(), amount);
        }
        let key = (texts, wanted);
        let next = SelectorId(self.asked.len() as u32);
        let id = *self.asked_ids.entry(key.clone()).or_insert(next);
        if id == next {
            self.asked.push(Asked { selectors, capacity: key.1 });
        }
        Ok(id)
    }

    fn constraint(
        &mut self,
        place: Place<'_>,
        written: &DeviceConstraint,
        requests: &[DeviceRequest],
    ) -> Result<SameAttribute, Reason> {
        if written.distinct_attribute.is_some() {
            return Err(place.unsupported("distinctAttribute"));
        }
        let attribute =
            written.match_attribute.as_deref().ok_or_else(|| place.unsupported("no matchAttribute"))?;
        let named = written.requests.as_deref().unwrap_or_default();
        let is_meant = |request: &DeviceRequest, ask: &DeviceAsk| {
            let full = ask.name.as_ref().map(|sub| format!("{}/{sub}", request.name));
            let is_it = |name: &String| **name == *request.name || Some(name) == full.as_ref();
            named.is_empty() || named.iter().any(is_it)
        };
        let mut asks = BTreeSet::new();
        for (number, request) in requests.iter().enumerate() {
            let meant = request.alternatives.iter().enumerate().filter(|(_, ask)| is_meant(request, ask));
            asks.extend(meant.map(|(alternative, _)| (number, alternative)));
        }
        let next = self.attributes.len() as u32;
        let attribute = *self.attributes.entry(attribute.into()).or_insert(next);
        Ok(SameAttribute { attribute, asks })
    }
}

fn count(place: Place<'_>, mode: Option<&str>, count: Option<i64>) -> Result<DeviceCount, Reason> {
    match (mode, count.unwrap_or(1)) {
        (Some("All"), _) => Ok(DeviceCount::All),
        (None | Some("" | "ExactCount"), count @ 1..) => Ok(DeviceCount::Exactly(count as usize)),
        (None | Some("" | "ExactCount"), count) => Err(place.unsupported(&format!("count {count}"))),
        (Some(other), _) => Err(place.unsupported(&format!("allocationMode {other}"))),
    }
}

/// What a claim was given.
pub(super) fn allocation(claim: &ResourceClaim) -> Option<&k8s_openapi::api::resource::v1::AllocationResult> {
    claim.status.as_ref()?.allocation.as_ref()
}

/// From where allocated devices can be reached.
fn reach(place: Place<'_>, selector: Option<&NodeSelector>) -> Result<DeviceReach, Reason> {
    let Some(selector) = selector else { return Ok(DeviceReach::Anywhere) };
    let at = place.at.field("nodeSelector");
    let list = at.field("nodeSelectorTerms");
    let (mut nodes, mut labels) = (BTreeSet::new(), Vec::new());
    for (index, term) in selector.node_selector_terms.iter().enumerate() {
        let place = Place { at: list.index(index), ..place };
        let fields = term.match_fields.as_deref().unwrap_or_default();
        let expressions = term.match_expressions.as_deref().unwrap_or_default();
        match fields {
            [] => {
                let term = node_term(&place.at, term);
                labels.extend(term.map_err(|error| place.unsupported(&error.to_string()))?);
            }
            [field] if field.key == "metadata.name" && field.operator == "In" && expressions.is_empty() => {
                nodes.extend(field.values.iter().flatten().map(|name| Str::from(name.as_str())));
            }
            _ => return Err(place.unsupported("matchFields")),
        }
    }
    match labels.is_empty() {
        true => Ok(DeviceReach::Nodes(nodes)),
        false if nodes.is_empty() => Ok(DeviceReach::Labels(labels)),
        false => Err(Place { at, ..place }.unsupported("nodes by name and by labels")),
    }
}
