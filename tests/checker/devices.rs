//! Devices that pods' resource claims get, as Kubernetes documents `resource.k8s.io/v1`.
//!
//! What a result says a claim gets is judged for each node that its pods may come to: the one that exists, or one for each instance type of a claim.
//! Claims of daemon pods are not looked at.
//!
//! Invariant: a device is taken for what its ResourceSlice says, or the slice of the instance type; nothing is taken on trust from the result.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::demand::Demand;
use crate::host::Host;
use crate::model::{Allocation, Outcome};
use crate::objects::{NodeSelector, Objects};
use crate::plan::Plan;
use crate::pod::Pod;
use crate::quantity::Quantity;
use crate::selection::takes;
use crate::sets::{Allowed, INSTANCE_TYPE, NODE_POOL};
use crate::violation::{Rule, Violation};
use crate::world::World;

/// The most devices of one claim.
const MOST: usize = 32;

/// Driver, pool and name.
type Name = (String, String, String);

/// Driver, pool, counter set and counter.
type Counter = (String, String, String, String);

/// What a pod's claim is.
enum Claim<'a> {
    /// Nothing is asked for.
    Nothing,
    /// The object is not there.
    Missing(String),
    /// Allocated already: where the devices can be reached.
    Allocated(Option<&'a Value>),
    /// To be allocated; by its name if it is one that several pods may use.
    Open(&'a Value, Option<String>),
}

/// The devices that are on a node.
#[derive(Default)]
struct There<'a> {
    devices: BTreeMap<Name, &'a Value>,
    counters: BTreeMap<Counter, Quantity>,
}

pub(crate) fn check(plan: &Plan<'_, '_>, outcome: &Outcome, world: &World<'_>, found: &mut Vec<Violation>) {
    if world.scenario.settings.ignore_dra_requests != Some(false) {
        return;
    }
    for (index, host) in plan.hosts.iter().enumerate() {
        let pods: Vec<&Pod<'_>> = plan.new_pods(index).map(|pod| &world.pods[pod]).collect();
        if pods.iter().all(|pod| !pod.wants_devices) {
            continue;
        }
        let claim = plan.claims.iter().position(|claim| claim.host == index);
        let mut problems = Vec::new();
        match claim {
            None => {
                let given = outcome.device_allocations.iter().filter(|one| {
                    let node = one.node.as_deref();
                    node.is_some_and(|node| host.is_called(node))
                });
                let there = on_node(host, world);
                problems.extend(judge(&pods, index, plan, &given.collect::<Vec<_>>(), &there, world));
            }
            Some(claim) => {
                for option in &plan.claims[claim].options {
                    let name = &option.kind.name;
                    let given = outcome
                        .device_allocations
                        .iter()
                        .filter(|one| one.new_node_claim == Some(claim) && one.instance_types.contains(name));
                    let there = of_slices(option.kind.resource_slices.iter());
                    let given: Vec<_> = given.collect();
                    let of_type = judge(&pods, index, plan, &given, &there, world);
                    problems.extend(of_type.into_iter().map(|(pod, what)| (pod, format!("{name}: {what}"))));
                }
            }
        }
        let told = problems
            .into_iter()
            .map(|(pod, what)| Violation::new(Rule::DynamicResources, what).pod(&pod).host(&host.name));
        found.extend(told);
    }
}

/// The devices of slices.
fn of_slices<'a>(slices: impl Iterator<Item = &'a Value>) -> There<'a> {
    let mut there = There::default();
    for slice in slices {
        let (driver, pool) = (text(slice, "/driver"), text(slice, "/pool/name"));
        for device in list(slice, "/devices") {
            let name = (driver.to_owned(), pool.to_owned(), text(device, "/name").to_owned());
            there.devices.insert(name, device);
        }
        for set in list(slice, "/sharedCounters") {
            for (counter, value) in entries(set, "/counters") {
                let key =
                    (driver.to_owned(), pool.to_owned(), text(set, "/name").to_owned(), counter.clone());
                there.counters.insert(key, quantity(&value["value"]));
            }
        }
    }
    there
}

/// The devices of a node that exists; of drivers that have not come up yet, while it starts, what its instance type says.
fn on_node<'a>(host: &Host, world: &World<'a>) -> There<'a> {
    let node = host.name.as_str();
    let objects: &'a Objects = &world.scenario.objects;
    let slices = || objects.slices.iter().map(|slice| &slice["spec"]);
    let pool = |slice: &Value| (text(slice, "/driver").to_owned(), text(slice, "/pool/name").to_owned());
    let generation = |slice: &Value| slice["pool"]["generation"].as_i64().unwrap_or(0);
    let newest = |slice: &Value| {
        slices()
            .filter(|other| pool(other) == pool(slice))
            .all(|other| generation(other) <= generation(slice))
    };
    let whole = |slice: &Value| {
        let all =
            slices().filter(|other| pool(other) == pool(slice) && generation(other) == generation(slice));
        all.count() as i64 >= slice["pool"]["resourceSliceCount"].as_i64().unwrap_or(1)
    };
    let here: Vec<&Value> =
        slices().filter(|slice| text(slice, "/nodeName") == node && newest(slice)).collect();
    let label =
        |key: &str| host.profiles.first().and_then(|profile| profile.get(key).and_then(Allowed::single));
    let starting = label("karpenter.sh/initialized") != Some("true");
    let pool_of_node = label(NODE_POOL).and_then(|pool| world.pool(pool)).filter(|_| starting);
    let kind = pool_of_node
        .and_then(|pool| pool.types.iter().find(|kind| Some(kind.name.as_str()) == label(INSTANCE_TYPE)));
    let expected = kind.into_iter().flat_map(|kind| &kind.resource_slices);
    let is_new = |slice: &&Value| here.iter().all(|one| text(one, "/driver") != text(slice, "/driver"));
    of_slices(here.iter().copied().filter(|slice| whole(slice)).chain(expected.filter(is_new)))
}

fn text<'a>(value: &'a Value, at: &str) -> &'a str {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    value.pointer(at).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn entries<'a>(value: &'a Value, at: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.pointer(at).and_then(Value::as_object).into_iter().flatten()
}

pub(crate) fn quantity(value: &Value) -> Quantity {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Quantity::parse(&text).unwrap_or_default()
}

/// A claim of a pod.
fn resolve<'a>(pod: &Pod<'a>, written: &Value, world: &World<'a>) -> Claim<'a> {
    let objects: &'a Objects = &world.scenario.objects;
    let named = written["resourceClaimName"].as_str();
    let status = pod.object.status.resource_claim_statuses.iter().find(|one| one["name"] == written["name"]);
    let made = status.and_then(|status| status["resourceClaimName"].as_str());
    if let Some(name) = named.or(made) {
        let key = format!("{}/{name}", pod.namespace);
        let Some(claim) = objects.resource_claims.get(&key) else {
            return Claim::Missing(format!("ResourceClaim {key}"));
        };
        let allocation = claim.pointer("/status/allocation").filter(|_| !is_given_up(claim, world));
        return match allocation {
            Some(allocation) => Claim::Allocated(allocation.get("nodeSelector")),
            None => Claim::Open(&claim["spec"], Some(key)),
        };
    }
    let Some(template) = written["resourceClaimTemplateName"].as_str().filter(|_| status.is_none()) else {
        return Claim::Nothing;
    };
    let key = format!("{}/{template}", pod.namespace);
    match objects.resource_claim_templates.get(&key) {
        Some(template) => Claim::Open(&template["spec"]["spec"], None),
        None => Claim::Missing(format!("ResourceClaimTemplate {key}")),
    }
}

/// Whether all who use a claim are pods that the result puts elsewhere.
fn is_given_up(claim: &Value, world: &World<'_>) -> bool {
    let users = list(claim, "/status/reservedFor");
    let moves = |user: &Value| {
        let key = format!("{}/{}", text(claim, "/metadata/namespace"), text(user, "/name"));
        world.pod_index.get(&key).is_some_and(|pod| world.pending.contains(pod))
    };
    let bound = |user: &Value| {
        let key = format!("{}/{}", text(claim, "/metadata/namespace"), text(user, "/name"));
        let pod = world.pod_index.get(&key).map(|pod| &world.pods[*pod]);
        pod.is_some_and(|pod| !pod.object.spec.node_name.is_empty())
    };
    !users.is_empty() && users.iter().all(|user| moves(user) && bound(user))
}

/// What is wrong with what the claims of pods get on a node, with the pod that it is about.
fn judge(
    pods: &[&Pod<'_>],
    host: usize,
    plan: &Plan<'_, '_>,
    given: &[&Allocation],
    there: &There<'_>,
    world: &World<'_>,
) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut used: BTreeMap<&Name, Vec<&Value>> = BTreeMap::new();
    let mut names: Vec<(Name, Value)> = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for pod in pods {
        for written in &pod.object.spec.resource_claims {
            let mut report = |what: String| problems.push((pod.key.clone(), what));
            let (spec, shared) = match resolve(pod, written, world) {
                Claim::Nothing => continue,
                Claim::Missing(what) => {
                    report(format!("{what} is not there"));
                    continue;
                }
                Claim::Allocated(selector) => {
                    let selector =
                        selector.and_then(|one| serde_json::from_value::<NodeSelector>(one.clone()).ok());
                    let demand = selector.map(|one| Demand::of_selector(&one, &world.dialect));
                    let reached = demand.is_none_or(|demand| {
                        plan.hosts[host].profiles.iter().all(|profile| demand.holds_on(profile))
                    });
                    if !reached {
                        report(format!("claim {} has its devices elsewhere", written["name"]));
                    }
                    continue;
                }
                Claim::Open(spec, shared) => (spec, shared),
            };
            if let Some(shared) = &shared {
                let apart = plan.placed.iter().filter(|(_, at)| *at != host).any(|(other, _)| {
                    let other = &world.pods[*other];
                    other.object.spec.resource_claims.iter().any(|one| {
                        matches!(resolve(other, one, world), Claim::Open(_, Some(name)) if name == *shared)
                    })
                });
                if apart {
                    report(format!("claim {shared} is used on another node too"));
                }
            }
            let is_it = |one: &&&Allocation| match &shared {
                Some(name) => one.resource_claim.as_ref() == Some(name),
                None => one.pod == pod.key && written["name"] == one.claim.as_str(),
            };
            let mut of_claim = given.iter().filter(is_it);
            let (Some(allocation), None) = (of_claim.next(), of_claim.next()) else {
                report(format!("claim {} is not allocated just once", written["name"]));
                continue;
            };
            if !seen.insert(shared.unwrap_or_else(|| format!("{} {}", pod.key, written["name"]))) {
                continue;
            }
            match asked(spec, allocation, there, world) {
                Ok(devices) => names.extend(devices),
                Err(what) => report(format!("claim {}: {what}", written["name"])),
            }
        }
    }
    for (name, ask) in &names {
        used.entry(name).or_default().push(ask);
    }
    problems.extend(overuse(&used, there, world).map(|what| (pods[0].key.clone(), what)));
    problems
}

/// The devices that a claim gets, each with what asks for it, if that is what it wants.
fn asked(
    spec: &Value,
    allocation: &Allocation,
    there: &There<'_>,
    world: &World<'_>,
) -> Result<Vec<(Name, Value)>, String> {
    let mut devices = Vec::new();
    let mut chosen: BTreeMap<String, &str> = BTreeMap::new();
    if allocation.devices.len() > MOST {
        return Err(format!("{} devices are more than a claim can have", allocation.devices.len()));
    }
    for request in list(spec, "/devices/requests") {
        let name = text(request, "/name");
        let of_request = allocation.devices.iter().filter(|one| one.request.split('/').next() == Some(name));
        let of_request: Vec<_> = of_request.collect();
        let Some(first) = of_request.first() else { return Err(format!("nothing for request {name}")) };
        if of_request.iter().any(|one| one.request != first.request) {
            return Err(format!("two alternatives of request {name} at once"));
        }
        let ask = match first.request.split_once('/') {
            None => &request["exactly"],
            Some((_, alternative)) => {
                let found = list(request, "/firstAvailable").iter().find(|one| one["name"] == alternative);
                found.ok_or_else(|| format!("request {name} has no alternative {alternative}"))?
            }
        };
        chosen.insert(name.to_owned(), &first.request);
        let wanted = |name: &Name, device: &Value| matches_ask(ask, name, device, world);
        for one in &of_request {
            let key = (one.driver.clone(), one.pool.clone(), one.device.clone());
            let device = there.devices.get(&key);
            let device = device.ok_or_else(|| format!("there is no device {}", one.device))?;
            if !wanted(&key, device)? {
                return Err(format!("device {} is not what request {} asks for", one.device, one.request));
            }
            devices.push((key, ask.clone()));
        }
        let count = match ask["allocationMode"].as_str() {
            Some("All") => {
                let all: Result<Vec<bool>, String> =
                    there.devices.iter().map(|(name, device)| wanted(name, device)).collect();
                all?.into_iter().filter(|wanted| *wanted).count()
            }
            _ => ask["count"].as_u64().unwrap_or(1) as usize,
        };
        if of_request.len() != count {
            return Err(format!("{} devices for request {name}, {count} are asked for", of_request.len()));
        }
    }
    for constraint in list(spec, "/devices/constraints") {
        let attribute = constraint["matchAttribute"].as_str().ok_or("a constraint that is not supported")?;
        let about = list(constraint, "/requests");
        let concerned = allocation.devices.iter().filter(|one| {
            let main = one.request.split('/').next().unwrap_or_default();
            about.is_empty() || about.iter().any(|name| name == main || name == one.request.as_str())
        });
        let values: BTreeSet<Option<String>> = concerned
            .map(|one| {
                let key = (one.driver.clone(), one.pool.clone(), one.device.clone());
                value_of(there.devices.get(&key)?, &one.driver, attribute)
            })
            .collect();
        if values.len() > 1 || values.contains(&None) {
            return Err(format!("the devices do not have the same {attribute}"));
        }
    }
    Ok(devices)
}

fn value_of(device: &Value, driver: &str, attribute: &str) -> Option<String> {
    let attributes = device.get("attributes")?;
    let own = attribute.strip_prefix(driver).and_then(|rest| rest.strip_prefix('/'));
    let value = attributes.get(attribute).or_else(|| attributes.get(own?))?;
    Some(value.to_string())
}

/// Whether a device is what is asked for, capacity included.
fn matches_ask(ask: &Value, name: &Name, device: &Value, world: &World<'_>) -> Result<bool, String> {
    let class = text(ask, "/deviceClassName");
    let class = world.scenario.objects.device_classes.get(class);
    let class = class.ok_or_else(|| "there is no such DeviceClass".to_owned())?;
    for selector in list(class, "/spec/selectors").iter().chain(list(ask, "/selectors")) {
        if !takes(text(selector, "/cel/expression"), &name.0, device)? {
            return Ok(false);
        }
    }
    Ok(entries(ask, "/capacity/requests").all(|(capacity, wanted)| {
        let has = device.get("capacity").and_then(|all| all.get(capacity));
        has.is_some_and(|has| quantity(wanted) <= quantity(&has["value"]))
    }))
}

/// How much of a capacity of a shared device an ask takes at least.
fn taken(ask: &Value, name: &str, capacity: &Value) -> Quantity {
    let policy = &capacity["requestPolicy"];
    let wanted = ask.pointer("/capacity/requests").and_then(|all| all.get(name)).map(quantity);
    let default = policy.get("default").map(quantity);
    let wanted = wanted.or(default).unwrap_or_else(|| quantity(&capacity["value"]));
    let least = policy.pointer("/validRange/min").map(quantity).unwrap_or_default().max(wanted);
    let valid = list(policy, "/validValues").iter().map(quantity).filter(|value| *value >= wanted).min();
    if let Some(step) = policy.pointer("/validRange/step").map(quantity).filter(|step| *step > Quantity::ZERO)
    {
        let mut stepped = policy.pointer("/validRange/min").map(quantity).unwrap_or_default();
        while stepped < least {
            stepped = stepped + step;
        }
        return stepped;
    }
    valid.unwrap_or(least)
}

/// What is used more than there is.
fn overuse<'a>(
    used: &'a BTreeMap<&'a Name, Vec<&'a Value>>,
    there: &'a There<'_>,
    world: &'a World<'_>,
) -> impl Iterator<Item = String> {
    let mut problems = Vec::new();
    // Devices that claims have already, with what they take of them.
    let mut before: BTreeMap<Name, Vec<&Value>> = BTreeMap::new();
    for claim in world.scenario.objects.resource_claims.values().filter(|claim| !is_given_up(claim, world)) {
        for one in list(claim, "/status/allocation/devices/results") {
            let name = [text(one, "/driver"), text(one, "/pool"), text(one, "/device")].map(str::to_owned);
            before.entry(name.into()).or_default().push(one);
        }
    }
    let mut counters = there.counters.clone();
    for (name, device) in &there.devices {
        let (new, old) = (used.get(name), before.get(name));
        let uses = new.map_or(0, Vec::len) + old.map_or(0, Vec::len);
        if uses > 0 {
            for of in list(device, "/consumesCounters") {
                for (counter, amount) in entries(of, "/counters") {
                    let key =
                        (name.0.clone(), name.1.clone(), text(of, "/counterSet").to_owned(), counter.clone());
                    let left = counters.entry(key).or_default();
                    *left = *left - quantity(&amount["value"]);
                }
            }
        }
        let Some(new) = new else { continue };
        if list(device, "/taints").iter().any(|taint| taint["effect"] != "None") {
            problems.push(format!("device {} is tainted", name.2));
        }
        if device["allowMultipleAllocations"] != true {
            if uses > 1 {
                problems.push(format!("device {} is used by {uses} claims", name.2));
            }
            continue;
        }
        for (capacity, has) in entries(device, "/capacity") {
            let old = old.into_iter().flatten();
            let old = old.map(|one| one["consumedCapacity"].get(capacity).map(quantity).unwrap_or_default());
            let all: Quantity = old.chain(new.iter().map(|ask| taken(ask, capacity, has))).sum();
            if all > quantity(&has["value"]) {
                problems.push(format!("of {capacity} of device {} {all} are used", name.2));
            }
        }
    }
    let short = counters.into_iter().filter(|(_, left)| *left < Quantity::ZERO);
    problems.extend(short.map(|(key, left)| format!("counter {} is exceeded by {left}", key.3)));
    problems.into_iter()
}
