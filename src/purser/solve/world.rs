//! A scenario as the scheduler's problem.
//!
//! Prices are billionths of a dollar here, not millionths: the scheduler only compares them, and catalogues have prices that millionths would make
//! equal.
//!
//! **Invariant:** nothing is decided here: every pod to place, every host and every offering of the scenario is in the problem.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use purser_api::DaemonSetFacts;
use purser_api::scenario::{
    FeatureGate, Overhead, Scenario, ScenarioClaim, ScenarioNode, ScenarioOffering, ScenarioPod,
    ScenarioSettings, ScenarioType,
};
use purser_engine::event::SpecId;
use purser_engine::model::{
    CapacityBuffer, CapacityType, InstanceId, InstanceType, LabelSelector, Labels, NodeName, OwnerKind,
    PodKey, PodPhase, PodSpec, PoolName, Price, Resources, Str, Taint, TopologySpread, TypeName, Uid,
    VolumeClaim, first_untolerated, label,
};
use purser_engine::overlay;
use purser_engine::schedule::{
    Attachable, BuyOption, Devices, Gang, Host, HostDriver, HostLabels, PendingPod, PlacedPod, PodVolume,
    PoolOffer, Problem, Rules, TypeOffer,
};

use super::devices::devices;
use super::eligible::{leaving_instances, leaving_nodes};

/// Prices here count in billionths of a dollar.
const NANOS: i64 = 1_000_000_000;

/// A scenario made ready.
pub(super) struct World {
    rules: Rules,
    pub(super) pools: Vec<PoolOffer>,
    pub(super) hosts: Vec<Host>,
    specs: Vec<Arc<PodSpec>>,
    pub(super) pods: Vec<PendingPod>,
    namespaces: BTreeMap<Str, Labels>,
    wary: BTreeSet<SpecId>,
    pub(super) devices: Option<Devices>,
    attachable: Attachable,
    /// From this one on the pods are virtual ones, of CapacityBuffers.
    first_virtual: usize,
    /// From this one on they are expendable ones, for which nothing is launched.
    pub(super) first_expendable: usize,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

impl World {
    /// With these pods to be placed.
    pub(super) fn new(scenario: &Scenario, waiting: &[PodKey]) -> Self {
        let mut specs = Specs::default();
        let mut warnings = Vec::new();
        let cutoff = scenario.settings.expendable_below;
        let is_expendable =
            |specs: &Specs, pod: &PendingPod| cutoff.is_some_and(|cutoff| specs.of(pod).priority < cutoff);
        let all = pending(scenario, waiting, &mut specs);
        let (expendable, mut pods): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|pod| is_expendable(&specs, pod));
        let first_virtual = pods.len();
        pods.extend(buffers(scenario, &mut specs, &mut warnings));
        let first_expendable = pods.len();
        pods.extend(expendable);
        let daemons: Vec<Arc<PodSpec>> =
            scenario.daemon_sets.iter().map(|set| daemon_spec(scenario, set)).collect();
        let hosts = hosts(scenario, &waiting.iter().collect(), &daemons, &mut specs);
        let wary = specs.all.iter().zip(0..).filter(|(spec, _)| spec.has_required_anti_affinity());
        let wary = wary.map(|(_, at)| SpecId(at));
        let wary = wary.collect();
        let mut pools = pools(scenario, daemons);
        let gates = &scenario.settings.feature_gates;
        if gates.has(FeatureGate::NodeOverlay) {
            let conflicts = overlay::apply(scenario.overlays.clone(), &mut pools, NANOS);
            warnings.extend(conflicts.iter().map(ToString::to_string));
        } else if !scenario.overlays.is_empty() {
            warnings.push("NodeOverlays are not applied: the feature gate NodeOverlay is closed".to_owned());
        }
        // Overlays conflict over pools that may not launch, too.
        pools.retain(|offer| offer.pool.ready && offer.pool.replicas.is_none());
        Self {
            devices: devices(scenario, &pods, &hosts, &pools),
            attachable: attachable(scenario),
            wary,
            first_virtual,
            first_expendable,
            warnings,
            rules: rules(scenario),
            pools,
            hosts,
            pods,
            specs: specs.all,
            namespaces: scenario.namespaces.clone(),
        }
    }

    /// Whether a pod is a virtual one, of a CapacityBuffer.
    pub(super) fn is_virtual(&self, pod: usize) -> bool {
        (self.first_virtual..self.first_expendable).contains(&pod)
    }

    /// As a problem, of the pods for which nodes may be launched.
    pub(super) fn problem(&self) -> Problem<'_> {
        Problem {
            rules: &self.rules,
            pools: &self.pools,
            hosts: &self.hosts,
            specs: &self.specs,
            pods: &self.pods[..self.first_expendable],
            namespaces: &self.namespaces,
            wary: &self.wary,
            devices: self.devices.as_ref(),
            attachable: &self.attachable,
        }
    }
}

/// Specs by number.
#[derive(Default)]
struct Specs {
    all: Vec<Arc<PodSpec>>,
    ids: BTreeMap<Arc<PodSpec>, SpecId>,
}

impl Specs {
    fn of(&self, pod: &PendingPod) -> &PodSpec {
        &self.all[pod.spec.0 as usize]
    }

    fn id(&mut self, spec: &Arc<PodSpec>) -> SpecId {
        if let Some(id) = self.ids.get(spec) {
            return *id;
        }
        let id = SpecId(self.all.len() as u32);
        self.all.push(Arc::clone(spec));
        self.ids.insert(Arc::clone(spec), id);
        id
    }
}

/// How many volumes nodes of a type attach, as those say that are there.
fn attachable(scenario: &Scenario) -> Attachable {
    let mut all = Attachable::default();
    for known in &scenario.csi_nodes {
        let node = scenario.nodes.iter().find(|node| node.facts.name == known.node);
        if let Some(instance_type) = node.and_then(|node| node.facts.labels.get(label::INSTANCE_TYPE)) {
            all.learn(&TypeName::from(&**instance_type), &known.drivers);
        }
    }
    all
}

fn rules(scenario: &Scenario) -> Rules {
    let settings = &scenario.settings;
    let reservation_label = Some(settings.reservation_label.clone()).filter(|label| !label.is_empty());
    Rules {
        preferences: settings.preference_policy,
        min_values: settings.min_values_policy,
        max_types: settings.max_instance_types as usize,
        well_known: settings.well_known_labels.clone(),
        reservation_label,
        ..Rules::default()
    }
}

fn pending(scenario: &Scenario, waiting: &[PodKey], specs: &mut Specs) -> Vec<PendingPod> {
    let by_key: BTreeMap<&PodKey, &ScenarioPod> =
        scenario.pods.iter().map(|pod| (&pod.facts.key, pod)).collect();
    let waiting = waiting.iter().filter_map(|key| by_key.get(key));
    waiting
        .map(|pod| PendingPod {
            key: pod.facts.key.clone(),
            spec: specs.id(&with_default_spread(scenario, pod)),
            created: pod.facts.created,
            uid: pod.facts.uid,
            volumes: volumes(scenario, &pod.facts.key, &pod.facts.spec),
            group: gang(scenario, pod),
        })
        .collect()
}

/// The virtual pods of CapacityBuffers, if those count.
fn buffers(scenario: &Scenario, specs: &mut Specs, warnings: &mut Vec<String>) -> Vec<PendingPod> {
    if !scenario.settings.feature_gates.has(FeatureGate::CapacityBuffer) {
        let closed = "CapacityBuffers do not count: the feature gate CapacityBuffer is closed";
        warnings.extend((!scenario.buffers.is_empty()).then(|| closed.to_owned()));
        return Vec::new();
    }
    let mut buffers: Vec<_> = scenario.buffers.iter().collect();
    buffers.sort_by_key(|buffer| &buffer.key);
    let mut pods = Vec::new();
    for written in buffers {
        let buffer = match written.resolve(&scenario.templates, &scenario.workloads) {
            Ok(buffer) => buffer,
            Err(why) => {
                warnings.push(why);
                continue;
            }
        };
        let spec = specs.id(&buffer.spec);
        pods.extend((0..buffer.replicas).map(|number| PendingPod {
            key: CapacityBuffer::pod(&written.key, number),
            spec,
            created: scenario.now,
            uid: Uid(u128::from(number)),
            volumes: Vec::new(),
            group: None,
        }));
    }
    pods
}

/// The group of a pod, with how many of it still need a place.
fn gang(scenario: &Scenario, pod: &ScenarioPod) -> Option<Gang> {
    let group = pod.facts.spec.group.as_ref()?;
    let runs = |other: &&ScenarioPod| {
        other.facts.phase == PodPhase::Bound
            && other.facts.key.namespace == pod.facts.key.namespace
            && other.facts.spec.group.as_ref().is_some_and(|of| of.name == group.name)
    };
    let running = scenario.pods.iter().filter(runs).count();
    Gang::new(&pod.facts.key, group, running)
}

/// A pod without spread constraints has those of the cluster, over the pods that its Services and its controller select.
///
/// Source: k8s.io/kubernetes, pkg/scheduler/framework/plugins/helper/spread.go.
fn with_default_spread(scenario: &Scenario, pod: &ScenarioPod) -> Arc<PodSpec> {
    let spec = &pod.facts.spec;
    let default = &scenario.settings.default_spread;
    if default.is_empty() || !spec.spread.is_empty() {
        return Arc::clone(spec);
    }
    let mut labels = LabelSelector::default();
    let mut expressions = Vec::new();
    for known in scenario.selectors.iter().filter(|known| known.namespace == pod.facts.key.namespace) {
        let controls =
            pod.controller.as_ref().is_some_and(|(kind, name)| **kind == *known.kind && *name == known.name);
        match known.kind {
            "Service" if !known.selector.0.is_empty() && known.selector.matches(&spec.labels) => {
                merge(&mut labels, &known.selector);
            }
            "ReplicationController" if controls => merge(&mut labels, &known.selector),
            "ReplicaSet" | "StatefulSet" if controls => expressions.extend(known.selector.0.iter().cloned()),
            _ => {}
        }
    }
    let mut selector = labels;
    selector.0.extend(expressions);
    selector.0.sort();
    selector.0.dedup();
    if selector.0.is_empty() {
        return Arc::clone(spec);
    }
    let spread = default.iter().map(|one| TopologySpread { selector: selector.clone(), ..one.clone() });
    Arc::new(PodSpec { spread: spread.collect(), ..(**spec).clone() })
}

/// Adds labels to labels; of two values of one label the later counts.
fn merge(into: &mut LabelSelector, labels: &LabelSelector) {
    into.0.retain(|known| labels.0.iter().all(|one| one.key != known.key));
    into.0.extend(labels.0.iter().cloned());
}

fn volumes(scenario: &Scenario, pod: &PodKey, spec: &PodSpec) -> Vec<PodVolume> {
    let claims = spec.volumes.iter().map(|volume| PodKey::new(pod.namespace.clone(), volume.claim.clone()));
    claims
        .filter_map(|key| {
            let claim = scenario.volume_claims.iter().find(|claim| claim.key == key)?;
            // One that cannot be reached any more is attached all the same where a pod runs that has it.
            let VolumeClaim { driver, topologies, .. } = scenario.storage.resolve(claim);
            Some(PodVolume { claim: key, driver, topologies })
        })
        .collect()
}

/// NodePools with what they can launch, heaviest first.
fn pools(scenario: &Scenario, daemons: Vec<Arc<PodSpec>>) -> Vec<PoolOffer> {
    let leaving = leaving_instances(scenario);
    let mut lists: BTreeMap<*const Vec<ScenarioType>, Arc<Vec<Arc<TypeOffer>>>> = BTreeMap::new();
    let daemons = Arc::new(daemons.into_iter().filter(|spec| counts(scenario, spec)).collect::<Vec<_>>());
    let machines: BTreeMap<&InstanceId, &Resources> = scenario
        .nodes
        .iter()
        .filter_map(|node| Some((node.facts.instance.as_ref()?, &node.capacity)))
        .collect();
    let mut pools: Vec<PoolOffer> = Vec::new();
    for pool in &scenario.pools {
        let list = scenario.types_by_pool.get(&pool.name).unwrap_or(&scenario.types);
        if scenario.type_errors.contains_key(&pool.name) || list.is_empty() {
            continue;
        }
        let types = lists.entry(Arc::as_ptr(list)).or_insert_with(|| {
            let mut types: Vec<Arc<TypeOffer>> =
                list.iter().map(|one| Arc::new(type_offer(&scenario.settings, one))).collect();
            // Of two of one name the first counts.
            types.sort_by(|a, b| a.name.cmp(&b.name));
            types.dedup_by(|b, a| a.name == b.name);
            Arc::new(types)
        });
        pools.push(PoolOffer {
            types: Arc::clone(types),
            used: used(scenario, &pool.name, &leaving, &machines),
            daemons: Arc::clone(&daemons),
            pool: Arc::new(pool.clone()),
        });
    }
    // Karpenter's order: weight, then name, both descending.
    pools.sort_by(|a, b| (b.pool.weight, &b.pool.name).cmp(&(a.pool.weight, &a.pool.name)));
    pools
}

/// Whether daemon pods are reckoned with: not those with claims, while claims are ignored.
fn counts(scenario: &Scenario, spec: &PodSpec) -> bool {
    !scenario.settings.ignore_dra_requests || spec.resource_claims.is_empty()
}

/// What the nodes of a pool sum up to, those that leave apart.
fn used(
    scenario: &Scenario,
    pool: &PoolName,
    leaving: &BTreeSet<InstanceId>,
    machines: &BTreeMap<&InstanceId, &Resources>,
) -> (Resources, u32) {
    let mut sum = (Resources::default(), 0);
    let stays = |instance: &Option<InstanceId>| instance.as_ref().is_none_or(|one| !leaving.contains(one));
    let mut claimed: BTreeSet<&InstanceId> = BTreeSet::new();
    for ScenarioClaim { facts } in &scenario.claims {
        claimed.extend(&facts.instance);
        if facts.pool.as_ref() == Some(pool) && stays(&facts.instance) {
            let machine = facts.instance.as_ref().and_then(|instance| machines.get(instance));
            // What the machine says of itself goes before what was expected of it.
            let mut capacity = machine.map(|&capacity| capacity.clone()).unwrap_or_default();
            for (name, amount) in facts.capacity.iter() {
                if capacity.get(name) == 0 {
                    capacity.set(name, amount);
                }
            }
            sum.0.add(&capacity);
            sum.1 += 1;
        }
    }
    for node in &scenario.nodes {
        let of_pool = node.facts.labels.get(label::NODEPOOL) == Some(pool.as_shared());
        let known = node.facts.instance.as_ref().is_some_and(|instance| claimed.contains(instance));
        if of_pool && !known && stays(&node.facts.instance) {
            sum.0.add(&node.capacity);
            sum.1 += 1;
        }
    }
    sum
}

/// An instance type, with an amount of allocatable resources for each kind of offering.
fn type_offer(settings: &ScenarioSettings, one: &ScenarioType) -> TypeOffer {
    let label = &settings.reservation_label;
    let usable = |offering: &ScenarioOffering| {
        offering.capacity_type() != Some(CapacityType::Reserved)
            || settings.feature_gates.has(FeatureGate::ReservedCapacity)
    };
    let mut allocatable = vec![allocatable(&one.capacity, &one.overhead)];
    let offerings = one.offerings.iter().map(|offering| BuyOption {
        requirements: offering.requirements.clone(),
        price: Price(offering.price_nano_usd),
        available: offering.available && usable(offering),
        allocatable: allocatable_of(one, offering, &mut allocatable),
        reservation: reservation(label, offering),
    });
    let offerings = offerings.collect();
    TypeOffer {
        name: one.name.clone(),
        requirements: one.requirements.clone(),
        capacity: one.capacity.clone(),
        allocatable,
        offerings,
    }
}

/// The reservation that an offering draws on, and how many instances it has left.
fn reservation(label: &str, offering: &ScenarioOffering) -> Option<(Str, u32)> {
    let reserved = offering.capacity_type() == Some(CapacityType::Reserved);
    let id = offering.label(label).filter(|_| reserved)?;
    Some((id.clone(), offering.reservation_capacity.unwrap_or(0)))
}

/// Which of a type's allocatable amounts an offering has; one that is not among them is added.
fn allocatable_of(one: &ScenarioType, offering: &ScenarioOffering, known: &mut Vec<Resources>) -> usize {
    if offering.capacity_override == Resources::default() && offering.overhead_override == Overhead::default()
    {
        return 0;
    }
    let over = |base: &Resources, other: &Resources| {
        let mut all = base.clone();
        other.iter().for_each(|(name, amount)| all.set(name, amount));
        all
    };
    let capacity = over(&one.capacity, &offering.capacity_override);
    let overhead = Overhead {
        kube_reserved: over(&one.overhead.kube_reserved, &offering.overhead_override.kube_reserved),
        system_reserved: over(&one.overhead.system_reserved, &offering.overhead_override.system_reserved),
        eviction_threshold: over(
            &one.overhead.eviction_threshold,
            &offering.overhead_override.eviction_threshold,
        ),
    };
    let own = allocatable(&capacity, &overhead);
    known.iter().position(|other| *other == own).unwrap_or_else(|| {
        known.push(own);
        known.len() - 1
    })
}

fn allocatable(capacity: &Resources, overhead: &Overhead) -> Resources {
    let (capacity, overhead) = (capacity.clone(), overhead.total());
    let name = TypeName::from("");
    let bare =
        InstanceType { name, requirements: Default::default(), capacity, overhead, offerings: Vec::new() };
    bare.allocatable()
}

/// Nodes, and claims without one, initialized nodes first, then by name.
fn hosts(
    scenario: &Scenario,
    waiting: &BTreeSet<&PodKey>,
    daemons: &[Arc<PodSpec>],
    specs: &mut Specs,
) -> Vec<Host> {
    let leaving_instances = leaving_instances(scenario);
    let leaving = leaving_nodes(scenario);
    let mut on_node: BTreeMap<&NodeName, Vec<&ScenarioPod>> = BTreeMap::new();
    for pod in scenario.pods.iter().filter(|pod| pod.facts.phase != PodPhase::Ended) {
        if let Some(node) = &pod.facts.node {
            on_node.entry(node).or_default().push(pod);
        }
    }
    let mut all: Vec<(bool, Host)> = Vec::new();
    let mut seen: BTreeSet<&InstanceId> = BTreeSet::new();
    let claim_of: BTreeMap<&InstanceId, &ScenarioClaim> =
        scenario.claims.iter().filter_map(|claim| Some((claim.facts.instance.as_ref()?, claim))).collect();
    for node in &scenario.nodes {
        let claim = node.facts.instance.as_ref().and_then(|instance| claim_of.get(instance).copied());
        seen.extend(&node.facts.instance);
        let here = on_node.get(&node.facts.name).map(Vec::as_slice).unwrap_or_default();
        let mut building = Building { scenario, waiting, daemons, specs };
        let mut host = building.of_node(node, claim, here);
        let says = |key: &str| node.facts.labels.get(key).is_some_and(|value| &**value == "true");
        let leaves = leaving.contains(&node.facts.name)
            || claim.is_some_and(|claim| {
                claim.facts.instance.as_ref().is_some_and(|one| leaving_instances.contains(one))
            });
        // A node that came of a pool and has no claim is on its way out.
        let orphaned = claim.is_none() && node.facts.labels.contains_key(label::NODEPOOL);
        host.open = !leaves && !orphaned;
        all.push((claim.is_some() && !says(label::INITIALIZED), host));
    }
    for claim in &scenario.claims {
        let Some(instance) = &claim.facts.instance else { continue };
        if !seen.contains(instance) {
            let mut building = Building { scenario, waiting, daemons, specs };
            let mut host = building.of_claim(claim);
            host.open = !leaving_instances.contains(instance);
            all.push((true, host));
        }
    }
    all.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    all.into_iter().map(|(_, host)| host).collect()
}

struct Building<'a> {
    scenario: &'a Scenario,
    waiting: &'a BTreeSet<&'a PodKey>,
    /// What the pods of each DaemonSet ask for.
    daemons: &'a [Arc<PodSpec>],
    specs: &'a mut Specs,
}

impl Building<'_> {
    fn of_node(&mut self, node: &ScenarioNode, claim: Option<&ScenarioClaim>, here: &[&ScenarioPod]) -> Host {
        let facts = &node.facts;
        let says = |key: &str| facts.labels.get(key).is_some_and(|value| &**value == "true");
        let starting = claim.is_some() && !says(label::INITIALIZED);
        let mut labels = (*facts.labels).clone();
        let mut taints = facts.taints.clone();
        let mut allocatable = facts.allocatable.clone();
        if let Some(ScenarioClaim { facts: claim }) = claim {
            if !says(label::REGISTERED) {
                // It will have them once it is registered.
                labels.extend(claim.labels.iter().map(|(key, value)| (key.clone(), value.clone())));
                taints.clone_from(&claim.taints);
            }
            if starting {
                taints.retain(|taint| {
                    let startup = |own: &Taint| own.key == taint.key && own.effect == taint.effect;
                    !taint.is_ephemeral() && !claim.startup_taints.iter().any(startup)
                });
                for (name, amount) in claim.allocatable.iter() {
                    if allocatable.get(name) == 0 {
                        allocatable.set(name, amount);
                    }
                }
            }
        }
        if facts.unschedulable {
            taints.push(Taint::unschedulable());
        }
        let hostname = node.hostname.clone().unwrap_or_else(|| facts.name.as_shared().clone());
        let mut host = self.empty(facts.name.as_shared().clone(), hostname, labels, taints);
        let mut free = allocatable;
        for pod in here {
            free.subtract(&pod.facts.spec.requests);
            host.ports.extend(pod.facts.spec.host_ports.iter().cloned());
            let counts = pod.facts.phase == PodPhase::Bound && !pod.deleting;
            if counts && !self.waiting.contains(&pod.facts.key) {
                let spec = self.specs.id(&pod.facts.spec);
                host.pods.push(PlacedPod { namespace: pod.facts.key.namespace.clone(), spec });
            }
        }
        host.free = free;
        self.set_daemons_aside(&mut host, here);
        self.attach(&mut host, &facts.name, here);
        host
    }

    fn of_claim(&mut self, claim: &ScenarioClaim) -> Host {
        let facts = &claim.facts;
        let mut taints = facts.taints.clone();
        taints.retain(|taint| !taint.is_ephemeral() && !facts.startup_taints.contains(taint));
        let name = facts.name.as_shared().clone();
        let mut host = self.empty(name.clone(), name, facts.labels.clone(), taints);
        host.free = facts.allocatable.clone();
        self.set_daemons_aside(&mut host, &[]);
        host
    }

    fn empty(&self, name: Str, hostname: Str, mut labels: Labels, taints: Vec<Taint>) -> Host {
        labels.remove(label::HOSTNAME);
        Host {
            name,
            labels: Arc::new(HostLabels::Known(labels)),
            hostname,
            taints,
            free: Resources::default(),
            pods: Vec::new(),
            ports: Vec::new(),
            drivers: Vec::new(),
            open: true,
        }
    }

    /// Takes off what daemon pods that are still to come will ask for.
    fn set_daemons_aside(&self, host: &mut Host, here: &[&ScenarioPod]) {
        let mut expected = Resources::default();
        for (set, spec) in self.scenario.daemon_sets.iter().zip(self.daemons) {
            let runs = first_untolerated(&host.taints, &spec.tolerations).is_none()
                && spec.node_alternatives().iter().any(|wanted| host.labels.first_unmet(wanted).is_none());
            if !runs || !counts(self.scenario, spec) {
                continue;
            }
            expected.add(&spec.requests);
            let is_here = here.iter().any(|pod| {
                pod.facts.key.namespace == set.namespace && pod.daemon_set.as_ref() == Some(&set.name)
            });
            if !is_here {
                host.ports.extend(spec.host_ports.iter().cloned());
            }
        }
        let mut running = Resources::default();
        for pod in here.iter().filter(|pod| pod.facts.spec.owner == OwnerKind::DaemonSet) {
            running.add(&pod.facts.spec.requests);
        }
        host.free.subtract(&expected.minus(&running).elementwise_max(&Resources::default()));
    }

    /// Which volumes are attached, and how many may be.
    fn attach(&self, host: &mut Host, node: &NodeName, here: &[&ScenarioPod]) {
        let Some(known) = self.scenario.csi_nodes.iter().find(|known| known.node == *node) else { return };
        let attached: Vec<PodVolume> =
            here.iter().flat_map(|pod| volumes(self.scenario, &pod.facts.key, &pod.facts.spec)).collect();
        host.drivers = known
            .drivers
            .iter()
            .map(|(driver, limit)| HostDriver {
                driver: driver.clone(),
                limit: *limit,
                claims: attached
                    .iter()
                    .filter(|volume| volume.driver == *driver)
                    .map(|volume| volume.claim.clone())
                    .collect(),
            })
            .collect();
    }
}

/// What the pods of a DaemonSet ask for: as the newest of them does, since others may have changed it on its way in, but where the template
/// sends them.
///
/// Source: Karpenter, `GetDaemonSetPod` of pkg/controllers/state/cluster.go.
fn daemon_spec(scenario: &Scenario, set: &DaemonSetFacts) -> Arc<PodSpec> {
    let made = |pod: &&ScenarioPod| {
        pod.facts.key.namespace == set.namespace && pod.daemon_set.as_ref() == Some(&set.name)
    };
    let newest = scenario.pods.iter().filter(made).max_by_key(|pod| pod.facts.created);
    newest.map_or_else(
        || Arc::clone(&set.spec),
        |pod| {
            let required_terms = set.spec.required_terms.clone();
            Arc::new(PodSpec { required_terms, ..(*pod.facts.spec).clone() })
        },
    )
}
