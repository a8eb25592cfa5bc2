//! What claims ask for and what they were given.
//!
//! **Invariant:** a claim that comes out is understood in full: whatever of it is wrong or not supported is a reason instead.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::NodeSelector;
use k8s_openapi::api::resource::v1::{
    CapacityRequirements, DeviceClass, DeviceConstraint, DeviceRequest as WrittenRequest,
    DeviceSelector as WrittenSelector, ResourceClaim, ResourceClaimSpec,
};
use purser_engine::model::{
    AllocatedDevice, AskedKind, ClaimKind, DeviceAmount, DeviceAsk, DeviceCount, DeviceName, DeviceReach,
    DeviceRequest, DeviceSelector, Holding, NodeName, PodKey, SameAttribute, Str,
};
use purser_engine::reason::{Reason, ReasonId};

use super::capacity::amount;
use super::selector::Selector;
use crate::error::At;
use crate::pod::node_term;

/// Reads what claims ask for. Expressions are compiled once.
#[derive(Default)]
pub struct Asking {
    compiled: BTreeMap<Str, Result<Arc<Selector>, String>>,
}

/// A selector, ready to be asked about devices.
#[derive(Clone)]
pub struct Question {
    /// All of these must take a device; nothing if one of them cannot be asked.
    pub(super) selectors: Option<Vec<Arc<Selector>>>,
    /// At least so much of its capacities.
    pub(super) capacity: BTreeMap<Str, DeviceAmount>,
}

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

impl Asking {
    /// What a ResourceClaim asks for.
    ///
    /// # Errors
    /// What is missing, wrong or not supported.
    pub fn of_claim(
        &mut self,
        classes: &BTreeMap<Str, DeviceClass>,
        key: &PodKey,
        spec: &ResourceClaimSpec,
    ) -> Result<AskedKind, Reason> {
        let object = format!("ResourceClaim {key}");
        self.kind(classes, Place { object: &object, at: At::ROOT.field("spec") }, spec)
    }

    /// What claims that are made of a ResourceClaimTemplate ask for.
    ///
    /// # Errors
    /// What is missing, wrong or not supported.
    pub fn of_template(
        &mut self,
        classes: &BTreeMap<Str, DeviceClass>,
        key: &PodKey,
        spec: &ResourceClaimSpec,
    ) -> Result<AskedKind, Reason> {
        let object = format!("ResourceClaimTemplate {key}");
        let root = At::ROOT.field("spec");
        self.kind(classes, Place { object: &object, at: root.field("spec") }, spec)
    }

    /// A selector, ready to be asked.
    pub fn question(&mut self, selector: &DeviceSelector) -> Question {
        let compiled = |text: &Str| self.compiled(text).clone().ok();
        Question {
            selectors: selector.expressions.iter().map(compiled).collect(),
            capacity: selector.capacity.clone(),
        }
    }

    /// Forgets expressions that none of these has, once they are many.
    pub fn tidy<'s>(&mut self, used: impl Iterator<Item = &'s DeviceSelector>) {
        let used: BTreeSet<&Str> = used.flat_map(|selector| &selector.expressions).collect();
        if self.compiled.len() > 2 * used.len() + SPARE {
            self.compiled.retain(|text, _| used.contains(text));
        }
    }

    fn compiled(&mut self, text: &Str) -> &Result<Arc<Selector>, String> {
        self.compiled.entry(text.clone()).or_insert_with(|| Selector::new(text).map(Arc::new))
    }

    fn kind(
        &mut self,
        classes: &BTreeMap<Str, DeviceClass>,
        place: Place<'_>,
        spec: &ResourceClaimSpec,
    ) -> Result<AskedKind, Reason> {
        let devices = spec.devices.as_ref();
        let at = place.at.field("devices");
        let list = at.field("requests");
        let mut requests = Vec::new();
        for (index, written) in devices.and_then(|d| d.requests.as_ref()).into_iter().flatten().enumerate() {
            requests.push(self.request(classes, Place { at: list.index(index), ..place }, written)?);
        }
        let list = at.field("constraints");
        let mut constraints = Vec::new();
        for (index, written) in devices.and_then(|d| d.constraints.as_ref()).into_iter().flatten().enumerate()
        {
            constraints.push(constraint(Place { at: list.index(index), ..place }, written, &requests)?);
        }
        Ok(ClaimKind { requests, constraints })
    }

    fn request(
        &mut self,
        classes: &BTreeMap<Str, DeviceClass>,
        place: Place<'_>,
        written: &WrittenRequest,
    ) -> Result<DeviceRequest<Arc<DeviceSelector>>, Reason> {
        let mut alternatives = Vec::new();
        if let Some(exactly) = &written.exactly {
            let place = Place { at: place.at.field("exactly"), ..place };
            if exactly.admin_access == Some(true) {
                return Err(place.unsupported("adminAccess"));
            }
            let (class, selectors) = (&exactly.device_class_name, exactly.selectors.as_deref());
            alternatives.push(DeviceAsk {
                name: None,
                selector: self.selector(classes, place, class, selectors, exactly.capacity.as_ref())?,
                count: count(place, exactly.allocation_mode.as_deref(), exactly.count)?,
            });
        }
        let list = place.at.field("firstAvailable");
        for (index, one) in written.first_available.iter().flatten().enumerate() {
            let place = Place { at: list.index(index), ..place };
            let (class, selectors) = (&one.device_class_name, one.selectors.as_deref());
            alternatives.push(DeviceAsk {
                name: Some(one.name.as_str().into()),
                selector: self.selector(classes, place, class, selectors, one.capacity.as_ref())?,
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
        classes: &BTreeMap<Str, DeviceClass>,
        place: Place<'_>,
        class: &str,
        own: Option<&[WrittenSelector]>,
        capacity: Option<&CapacityRequirements>,
    ) -> Result<Arc<DeviceSelector>, Reason> {
        let object = format!("DeviceClass {class}");
        let missing = || Reason::new(ReasonId::DeviceObjectMissing, [("object", object.clone())]);
        let of_class = classes.get(class).ok_or_else(missing)?;
        let of_class = of_class.spec.selectors.as_deref().unwrap_or_default();
        let spec = At::ROOT.field("spec");
        let class_place = Place { object: &object, at: spec.field("selectors") };
        let own_at = place.at.field("selectors");
        let own_place = Place { at: own_at, ..place };
        let all = of_class.iter().enumerate().map(|one| (class_place, one));
        let all = all.chain(own.unwrap_or_default().iter().enumerate().map(|one| (own_place, one)));
        let mut expressions = Vec::new();
        for (place, (index, selector)) in all {
            let at = place.at.index(index);
            let cel = selector.cel.as_ref();
            let cel = cel.ok_or_else(|| Place { at, ..place }.unsupported("no cel"))?;
            let text = Str::from(cel.expression.as_str());
            if let Err(problem) = self.compiled(&text) {
                let at = at.field("cel");
                let problem: String = problem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                let params = [
                    ("object", place.object.to_owned()),
                    ("field", at.field("expression").to_string()),
                    ("problem", problem),
                ];
                return Err(Reason::new(ReasonId::DeviceSelectorInvalid, params));
            }
            expressions.push(text);
        }
        let mut wanted = BTreeMap::new();
        for (name, quantity) in capacity.and_then(|capacity| capacity.requests.as_ref()).into_iter().flatten()
        {
            let read = DeviceAmount::parse(&quantity.0);
            let amount = read.map_err(|error| place.unsupported(&format!("capacity {name}: {error}")))?;
            wanted.insert(Str::from(name.as_str()), amount);
        }
        Ok(Arc::new(DeviceSelector { expressions, capacity: wanted }))
    }
}

/// So many expressions that nobody uses are kept: claims come and go, and ask for the same again.
const SPARE: usize = 256;

fn constraint<S>(
    place: Place<'_>,
    written: &DeviceConstraint,
    requests: &[DeviceRequest<S>],
) -> Result<SameAttribute, Reason> {
    if written.distinct_attribute.is_some() {
        return Err(place.unsupported("distinctAttribute"));
    }
    let attribute =
        written.match_attribute.as_deref().ok_or_else(|| place.unsupported("no matchAttribute"))?;
    let named = written.requests.as_deref().unwrap_or_default();
    let is_meant = |request: &DeviceRequest<S>, ask: &DeviceAsk<S>| {
        let full = ask.name.as_ref().map(|sub| format!("{}/{sub}", request.name));
        let is_it = |name: &String| **name == *request.name || Some(name) == full.as_ref();
        named.is_empty() || named.iter().any(is_it)
    };
    let mut asks = BTreeSet::new();
    for (number, request) in requests.iter().enumerate() {
        let meant = request.alternatives.iter().enumerate().filter(|(_, ask)| is_meant(request, ask));
        asks.extend(meant.map(|(alternative, _)| (number, alternative)));
    }
    Ok(SameAttribute { attribute: attribute.into(), asks })
}

fn count(place: Place<'_>, mode: Option<&str>, count: Option<i64>) -> Result<DeviceCount, Reason> {
    match (mode, count.unwrap_or(1)) {
        (Some("All"), _) => Ok(DeviceCount::All),
        (None | Some("" | "ExactCount"), count @ 1..) => Ok(DeviceCount::Exactly(count as usize)),
        (None | Some("" | "ExactCount"), count) => Err(place.unsupported(&format!("count {count}"))),
        (Some(other), _) => Err(place.unsupported(&format!("allocationMode {other}"))),
    }
}

/// What a claim was given; `None` if it was given nothing yet.
pub fn holding(key: &PodKey, claim: &ResourceClaim) -> Option<Holding> {
    let allocation = claim.status.as_ref()?.allocation.as_ref()?;
    let results = allocation.devices.as_ref().and_then(|devices| devices.results.as_ref());
    // Access for administrators takes nothing away from others.
    let devices = results.into_iter().flatten().filter(|one| one.admin_access != Some(true)).map(|one| {
        let (driver, pool) = (one.driver.as_str().into(), one.pool.as_str().into());
        let consumed = one.consumed_capacity.iter().flatten();
        let consumed = consumed.filter_map(|(name, used)| Some((name.as_str().into(), amount(used)?)));
        AllocatedDevice {
            name: DeviceName { driver, pool, device: one.device.as_str().into() },
            consumed: consumed.collect(),
        }
    });
    let object = format!("ResourceClaim {key}");
    let status = At::ROOT.field("status");
    let place = Place { object: &object, at: status.field("allocation") };
    Some(Holding { devices: devices.collect(), reach: reach(place, allocation.node_selector.as_ref()) })
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
                nodes.extend(field.values.iter().flatten().map(|name| NodeName::new(name.as_str())));
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
