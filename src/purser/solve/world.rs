//! A problem as State: the records that a log would hold had it seen all this happen.
//!
//! Prices in this State are billionths of a dollar, not millionths: decisions only compare them, and catalogues have prices that
//! millionths would make equal.
//!
//! **Invariant:** what the engine has no form for is left out such that a launch can do less, never more: offerings without capacity, those with
//! resources of their own, and those of reservations, of which it could promise more than there is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use purser_api::scenario::{Overhead, Scenario, ScenarioClaim, ScenarioOffering, ScenarioPod, ScenarioType};
use purser_api::{DaemonSetFacts, NodeClaimFacts};
use purser_engine::event::{Control, Decision, Event, Fact, LabelSetId, LaunchOption, Place, SpecId};
use purser_engine::model::{
    CapacityType, ClaimName, Disruption, DisruptionReason, InstanceId, InstanceType, Labels, Limits,
    NodeFacts, NodePool, NodeTemplate, Offering, PodFacts, PodKey, PodPhase, PodSpec, PoolName, Price,
    Requirement, Requirements, Resources, Str, Taint, TypeName, Zone, first_untolerated, label,
};
use purser_engine::settings::Settings;
use purser_engine::state::State;

use super::eligible::{leaving_instances, leaving_nodes, reach};

/// Zones and ways to buy among the offerings that can be launched.
pub(super) fn places(scenario: &Scenario) -> usize {
    let types = scenario.types_by_pool.values().chain([&scenario.types]).flat_map(|types| types.iter());
    let offerings = types.flat_map(|known| known.offerings.iter().filter_map(launchable));
    offerings.map(|offering| (offering.zone, offering.capacity_type)).collect::<BTreeSet<_>>().len()
}

/// An offering as the engine has it; `None` for one that it cannot launch. An offering with resources of its own may have less than the type.
fn launchable(offering: &ScenarioOffering) -> Option<Offering> {
    let capacity_type = offering.capacity_type()?;
    let as_the_type_is = offering.capacity_override == Resources::default()
        && offering.overhead_override == Overhead::default();
    (offering.available && as_the_type_is && capacity_type != CapacityType::Reserved).then_some(())?;
    Some(Offering { zone: offering.zone()?, capacity_type, price: Price(offering.price_nano_usd) })
}

/// Folds a problem into State, with these pods waiting.
pub(super) fn fold(scenario: &Scenario, settings: Settings, waiting: &[PodKey]) -> State {
    let mut folding = Folding { scenario, state: State::default() };
    folding.apply(Control::SettingsChanged { settings });
    let by_pool = folding.types();
    folding.claims();
    folding.nodes();
    folding.pools(&by_pool);
    folding.others();
    folding.pods(&waiting.iter().collect());
    folding.state
}

struct Folding<'a> {
    scenario: &'a Scenario,
    state: State,
}

impl Folding<'_> {
    fn apply(&mut self, event: impl Into<Event>) {
        self.state.apply(self.scenario.now, &event.into());
    }

    /// Instance types of all pools. Returns the names that each pool with a list of its own may use.
    ///
    /// The engine has one list for all pools; of two types of one name the first counts, and the other pool goes without.
    fn types(&mut self) -> BTreeMap<PoolName, BTreeSet<Str>> {
        let scenario = self.scenario;
        let mut known: BTreeMap<TypeName, &ScenarioType> = BTreeMap::new();
        let mut by_pool = BTreeMap::new();
        for one in scenario.types.iter() {
            known.entry(one.name.clone()).or_insert(one);
        }
        for (pool, types) in &scenario.types_by_pool {
            let mut names = BTreeSet::new();
            for one in types.iter() {
                if *known.entry(one.name.clone()).or_insert(one) == one {
                    names.insert(one.name.as_shared().clone());
                }
            }
            by_pool.insert(pool.clone(), names);
        }
        for one in known.values() {
            self.apply(Fact::InstanceTypeObserved { instance_type: Arc::new(instance_type(one)) });
        }
        let of_claims: Vec<InstanceType> = scenario.claims.iter().filter_map(type_of_claim).collect();
        for made in of_claims {
            if !self.state.types.contains_key(&made.name) {
                self.apply(Fact::InstanceTypeObserved { instance_type: Arc::new(made) });
            }
        }
        by_pool
    }

    /// NodeClaims, as if they had been launched from here.
    fn claims(&mut self) {
        for ScenarioClaim { facts } in &self.scenario.claims {
            let Some(instance) = &facts.instance else { continue };
            let pool = facts.pool.clone().unwrap_or_else(|| PoolName::from(""));
            let taints: Vec<Taint> = facts.taints.clone();
            // The claim was made from the pool as it was then.
            let template = NodeTemplate {
                labels: facts.labels.clone(),
                taints,
                startup_taints: facts.startup_taints.clone(),
                requirements: facts.requirements.clone(),
                class: Some(facts.class.clone()),
                termination_grace: facts.termination_grace,
                expire_after: None,
            };
            let pool_then = node_pool(pool.clone(), template);
            self.apply(Fact::NodePoolObserved { pool: Arc::new(pool_then) });
            let label = |key: &str| facts.labels.get(key).cloned().unwrap_or_default();
            let place = Place {
                zone: Zone::new(label(label::ZONE)),
                capacity_type: CapacityType::parse(&label(label::CAPACITY_TYPE))
                    .unwrap_or(CapacityType::OnDemand),
            };
            let instance_type = type_name(facts);
            self.apply(Decision::Launch {
                claim: facts.name.clone(),
                pool,
                hash: "".into(),
                requirements: facts.requirements.clone(),
                requests: self.daemons(instance),
                pods: Vec::new(),
                places: vec![place.clone()],
                options: vec![LaunchOption {
                    instance_type: instance_type.clone(),
                    places: 1,
                    price: Price(0),
                }],
                reserved: facts.capacity.clone(),
                considered: 1,
            });
            self.apply(Fact::InstanceLaunched {
                claim: facts.name.clone(),
                instance: instance.clone(),
                instance_type,
                zone: place.zone,
                capacity_type: place.capacity_type,
                price: Price(0),
            });
        }
    }

    /// What the daemon pods of a claim's node ask for, those that are there already included.
    fn daemons(&self, instance: &InstanceId) -> Resources {
        let claim = self.scenario.claims.iter().find(|claim| claim.facts.instance.as_ref() == Some(instance));
        let node = self.scenario.nodes.iter().find(|node| node.facts.instance.as_ref() == Some(instance));
        let (labels, taints): (Labels, Vec<Taint>) = match (node, claim) {
            (Some(node), _) => ((*node.facts.labels).clone(), node.facts.taints.clone()),
            (None, Some(claim)) => (claim.facts.labels.clone(), claim.facts.taints.clone()),
            (None, None) => return Resources::default(),
        };
        let startup = claim.map(|claim| claim.facts.startup_taints.as_slice()).unwrap_or_default();
        let starting = labels.get(label::INITIALIZED).is_none_or(|value| &**value != "true");
        let lasting: Vec<&Taint> = taints
            .iter()
            .filter(|taint| !(starting && (taint.is_ephemeral() || startup.contains(taint))))
            .collect();
        let mut requests = Resources::default();
        for set in &self.scenario.daemon_sets {
            let spec = daemon_spec(self.scenario, set);
            let runs = first_untolerated(lasting.iter().copied(), &spec.tolerations).is_none()
                && spec.node_alternatives().iter().any(|wanted| wanted.first_unmet(&labels).is_none());
            if runs {
                requests.add(&spec.requests);
            }
        }
        requests
    }

    /// Nodes; and of claims, how far they have come.
    fn nodes(&mut self) {
        let scenario = self.scenario;
        let leaving = leaving_nodes(scenario);
        let of_instance: BTreeMap<&InstanceId, &ScenarioClaim> = scenario
            .claims
            .iter()
            .filter_map(|claim| Some((claim.facts.instance.as_ref()?, claim)))
            .collect();
        for node in &scenario.nodes {
            let claim = node.facts.instance.as_ref().and_then(|instance| of_instance.get(instance));
            // A node of which nobody has the claim can only go, and the engine has no record for that.
            if claim.is_none() && leaving.contains(&node.facts.name) {
                continue;
            }
            let mut facts = node.facts.clone();
            let says = |key: &str| facts.labels.get(key).is_some_and(|value| &**value == "true");
            let (registered, initialized) = (says(label::REGISTERED), says(label::INITIALIZED));
            if let (Some(claim), false) = (claim, initialized) {
                // What a node does not say while it starts, its claim does.
                for (name, amount) in claim.facts.allocatable.iter() {
                    if facts.allocatable.get(name) == 0 {
                        facts.allocatable.set(name, amount);
                    }
                }
            }
            let name = facts.name.clone();
            self.node(&facts);
            let Some(claim) = claim.map(|claim| claim.facts.name.clone()) else { continue };
            if registered {
                self.apply(Decision::Register { claim: claim.clone(), node: name.clone() });
            }
            if initialized {
                self.apply(Decision::Initialize { claim, node: name });
            }
        }
        let instances = leaving_instances(scenario);
        let leaves = |claim: &&ScenarioClaim| {
            claim.facts.instance.as_ref().is_some_and(|instance| instances.contains(instance))
        };
        let candidates: Vec<ClaimName> =
            scenario.claims.iter().filter(leaves).map(|claim| claim.facts.name.clone()).collect();
        self.apply(Decision::Disrupt {
            reason: DisruptionReason::Deleted,
            candidates,
            replacements: Vec::new(),
            savings: Price(0),
            allowed: None,
            used: 0,
        });
    }

    fn node(&mut self, facts: &NodeFacts) {
        let labels = self.state.label_set_id(&facts.labels).unwrap_or_else(|| {
            let id = LabelSetId(self.state.label_sets().len() as u32);
            self.apply(Fact::LabelSetDefined { id, labels: Arc::clone(&facts.labels) });
            id
        });
        self.apply(Fact::NodeObserved {
            node: facts.name.clone(),
            instance: facts.instance.clone(),
            labels,
            taints: facts.taints.clone(),
            allocatable: facts.allocatable.clone(),
            ready: facts.ready,
            unschedulable: facts.unschedulable,
            do_not_disrupt: facts.do_not_disrupt,
            created: facts.created,
            deleting: facts.deleting,
        });
    }

    /// NodePools as they are now, in place of those that claims were made from.
    fn pools(&mut self, by_pool: &BTreeMap<PoolName, BTreeSet<Str>>) {
        let then: Vec<PoolName> = self.state.pools.keys().cloned().collect();
        for pool in then {
            self.apply(Fact::NodePoolDeleted { pool });
        }
        for pool in &self.scenario.pools {
            let mut pool = pool.clone();
            pool.ready &= !self.scenario.type_errors.contains_key(&pool.name);
            if let Some(names) = by_pool.get(&pool.name) {
                pool.ready &= !names.is_empty();
                let types = Requirement::one_of(names.iter().cloned());
                pool.template.requirements.add(label::INSTANCE_TYPE, types);
            } else if self.scenario.types.is_empty() {
                // Only other pools have instance types.
                pool.ready = false;
            }
            self.apply(Fact::NodePoolObserved { pool: Arc::new(pool) });
        }
    }

    /// DaemonSets, budgets and volumes.
    fn others(&mut self) {
        for set in &self.scenario.daemon_sets {
            let spec = self.spec(&daemon_spec(self.scenario, set));
            let daemon_set = PodKey::new(set.namespace.clone(), set.name.clone());
            self.apply(Fact::DaemonSetObserved { daemon_set, spec });
        }
        for budget in &self.scenario.budgets {
            self.apply(Fact::DisruptionBudgetObserved {
                budget: PodKey::new(budget.namespace.clone(), budget.name.clone()),
                selector: budget.selector.clone(),
                disruptions_allowed: budget.disruptions_allowed.unwrap_or(0),
                always_allow_unhealthy: false,
            });
        }
        for claim in &self.scenario.volume_claims {
            let (topologies, driver, problem) = match reach(self.scenario, claim) {
                Ok(reach) => (reach.topologies, reach.driver.unwrap_or_default(), None),
                Err(problem) => (Vec::new(), "".into(), Some(problem.into())),
            };
            self.apply(Fact::VolumeClaimObserved { claim: claim.key.clone(), topologies, driver, problem });
        }
    }

    fn pods(&mut self, waiting: &BTreeSet<&PodKey>) {
        for pod in &self.scenario.pods {
            let facts = &pod.facts;
            let (phase, node) = match facts.phase {
                _ if waiting.contains(&facts.key) => (PodPhase::Pending, None),
                PodPhase::Pending => (PodPhase::Held, None),
                phase => (phase, facts.node.clone()),
            };
            self.pod(&PodFacts { phase, node, ..facts.clone() });
        }
    }

    fn pod(&mut self, facts: &PodFacts) {
        let spec = self.spec(&facts.spec);
        self.apply(Fact::PodObserved {
            pod: facts.key.clone(),
            uid: facts.uid,
            spec,
            created: facts.created,
            phase: facts.phase,
            node: facts.node.clone(),
        });
    }

    fn spec(&mut self, spec: &Arc<PodSpec>) -> SpecId {
        self.state.spec_id(spec).unwrap_or_else(|| {
            let id = SpecId(self.state.specs().len() as u32);
            self.apply(Fact::PodSpecDefined { id, spec: Arc::clone(spec) });
            id
        })
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

/// An instance type with the offerings that can be launched.
fn instance_type(known: &ScenarioType) -> InstanceType {
    let of_offerings = [label::ZONE, label::CAPACITY_TYPE];
    let own = known.requirements.iter().filter(|(key, _)| !of_offerings.contains(&&***key));
    let mut offerings: Vec<Offering> = known.offerings.iter().filter_map(launchable).collect();
    offerings.sort_by(|a, b| (&a.zone, a.capacity_type, a.price).cmp(&(&b.zone, b.capacity_type, b.price)));
    offerings.dedup_by(|b, a| a.zone == b.zone && a.capacity_type == b.capacity_type);
    InstanceType {
        name: known.name.clone(),
        requirements: own.map(|(key, requirement)| (key.clone(), requirement.clone())).collect(),
        capacity: known.capacity.clone(),
        overhead: known.overhead.total(),
        offerings,
    }
}

/// The type of a claim's instance; one of its own if nobody says which it is.
fn type_name(facts: &NodeClaimFacts) -> TypeName {
    let known = facts.labels.get(label::INSTANCE_TYPE);
    TypeName::new(known.unwrap_or_else(|| facts.name.as_shared()).clone())
}

/// The type of a claim's instance as the claim itself tells it, for one that is in no catalogue.
fn type_of_claim(claim: &ScenarioClaim) -> Option<InstanceType> {
    claim.facts.instance.as_ref()?;
    Some(InstanceType {
        name: type_name(&claim.facts),
        requirements: Requirements::from_labels(&claim.facts.labels),
        capacity: claim.facts.capacity.elementwise_max(&claim.facts.allocatable),
        overhead: claim.facts.capacity.minus(&claim.facts.allocatable).elementwise_max(&Resources::default()),
        offerings: Vec::new(),
    })
}

fn node_pool(name: PoolName, template: NodeTemplate) -> NodePool {
    NodePool {
        name,
        weight: 0,
        template,
        disruption: Disruption::default(),
        limits: Limits::default(),
        replicas: None,
        hash: "".into(),
        ready: false,
    }
}
