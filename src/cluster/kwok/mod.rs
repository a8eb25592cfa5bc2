//! The provider `kwok`: instances that are nothing but Node objects, so that anybody can try the controller on any cluster.
//!
//! Source: kubernetes-sigs/karpenter, kwok/cloudprovider.
//!
//! **Invariant:** a Node bears the name of its claim, and the claim's labels say which offering it got: to launch again is to find both.

mod instances;
mod kubelet;
mod machine;
mod stopping;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use purser_api::NodeClass;
use purser_engine::event::{LaunchFailure, Seq};
use purser_engine::model::{
    CapacityType, ClaimFacts, InstanceId, InstanceType, Offering, Price, Span, Time, TypeName, Zone, label,
};
use purser_engine::port::{InstanceFacts, LaunchRequest, Observation};
use tokio::sync::Semaphore;

pub use instances::Instances;
pub use kubelet::{Kubelet, KubeletWork};
pub use types::{catalogue, instance_types};

use crate::Now;
use crate::claim::{self, Claims, Progress};
use crate::error::{ClusterError, code};
use crate::pools::Pools;
use crate::tell;

/// Launches that are made at a time.
const AT_ONCE: usize = 32;

/// The pause before a Node is tried again, doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The id of the instance that a node is.
pub(crate) fn provider_id(node: &str) -> String {
    format!("kwok://{node}")
}

/// Launches Nodes.
pub struct Kwok {
    client: Client,
    claims: Claims,
    pools: Pools,
    types: BTreeMap<TypeName, Arc<InstanceType>>,
    kubelet: Kubelet,
    instances: Instances,
    turns: Arc<Semaphore>,
    now: Now,
}

/// An offering that a launch got.
struct Choice<'a> {
    instance_type: &'a InstanceType,
    offering: &'a Offering,
}

impl Kwok {
    /// A provider of the built-in instance types.
    pub fn new(client: Client, pools: Pools, kubelet: Kubelet, instances: Instances, now: Now) -> Self {
        let types = instance_types().into_iter().map(|one| (one.name.clone(), one)).collect();
        let claims = Claims::new(client.clone());
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        Self { client, claims, pools, types, kubelet, instances, turns, now }
    }

    /// Goes on with launches that an earlier process told of and whose Nodes it did not make. To be called once, when claims and Nodes
    /// are listed.
    pub fn resume(&self) {
        for (node, claim) in self.instances.take_unfinished() {
            if let Some(choice) = self.chosen(&claim) {
                let delay = self.class_of(&claim).and_then(|class| class.registration_delay);
                self.bring_up(&node, &claim, &choice, claim.created + delay.unwrap_or(Span::ZERO));
            }
        }
    }

    /// No Node of these names is made any more.
    pub(crate) fn give_up(&self, nodes: &[&str]) {
        nodes.iter().for_each(|node| self.instances.forget(node));
    }

    /// Makes a claim, or takes the one that is there, and has its Node made after the delay of its class.
    ///
    /// The launch is over when the claim tells of it. Should the process end before its Node is there, [`Kwok::resume`] sees to that.
    pub(crate) async fn launch(
        &self,
        request: &LaunchRequest,
        decision: Seq,
    ) -> Result<Observation, ClusterError> {
        let failed = |failure| Ok(Observation::LaunchFailed(request.claim.clone(), failure));
        let rejected = |message: String| failed(LaunchFailure::Rejected { message: message.into() });
        let Some(class) = self.find_class(request).await? else {
            // No capacity, as Karpenter's provider says of a class that is missing.
            return failed(LaunchFailure::InsufficientCapacity { offerings: Vec::new() });
        };
        if !class.ready {
            return rejected(format!("NodeClassNotReady: {} {} is not ready", class.kind, class.name));
        }
        let Some(choice) = self.choose(request) else {
            return rejected("none of the instance types is offered in these places".to_owned());
        };
        let made = {
            // Never closed.
            let _turn = self.turns.acquire().await;
            let labels = machine::labels(&choice, request);
            if request.is_adopted {
                self.claims.label(request.claim.as_str(), &labels, decision).await?
            } else {
                let pool = request.pool.as_ref().and_then(|pool| self.pools.pool(pool));
                let Some(pool) = pool else { return rejected("its NodePool is gone".to_owned()) };
                Some(self.claims.create(&claim::claim(request, &pool, labels, decision)).await?)
            }
        };
        let made = made.filter(|made| made.metadata.deletion_timestamp.is_none());
        let Some(made) = made.as_ref().map(tell::claim_facts).transpose()?.flatten() else {
            return rejected("its NodeClaim is gone, or is being deleted".to_owned());
        };
        let Some(choice) = self.chosen(&made) else {
            return rejected("its NodeClaim names no offering that there is".to_owned());
        };
        let id = provider_id(request.claim.as_str());
        let now = (self.now)();
        let due = now + class.registration_delay.unwrap_or(Span::ZERO);
        let launched = Progress::Launched {
            provider_id: &id,
            capacity: &choice.instance_type.capacity,
            allocatable: &choice.instance_type.allocatable(),
        };
        {
            let _turn = self.turns.acquire().await;
            // Before there is a Node, so that whoever finds the Node finds this said too.
            self.claims.progress(&request.claim, now, &launched).await?;
        }
        Ok(Observation::Instance(self.bring_up(request.claim.as_str(), &made, &choice, due)))
    }

    /// Has the Node of a claim made at a moment, unless it is given up before.
    fn bring_up(&self, node: &str, claim: &ClaimFacts, choice: &Choice<'_>, due: Time) -> InstanceFacts {
        let now = (self.now)();
        let facts = InstanceFacts {
            instance: InstanceId::new(provider_id(node)),
            claim: Some(claim.name.clone()),
            instance_type: choice.instance_type.name.clone(),
            zone: choice.offering.zone.clone(),
            capacity_type: choice.offering.capacity_type,
            price: choice.offering.price,
            launched: now,
        };
        if !self.instances.is_coming(node) {
            self.instances.expect(node, facts.clone());
            let pause = Duration::from_micros(due.since(now).0.max(0).unsigned_abs());
            match machine::node(node, claim, choice, due.max(now)) {
                Ok(machine) => drop(tokio::spawn(make(self.maker(), machine, pause))),
                Err(error) => tracing::warn!(node, "cannot be made: {error}"),
            }
        }
        facts
    }

    fn maker(&self) -> Maker {
        Maker {
            nodes: Api::all(self.client.clone()),
            instances: self.instances.clone(),
            kubelet: self.kubelet.clone(),
            turns: Arc::clone(&self.turns),
        }
    }

    fn class_of(&self, claim: &ClaimFacts) -> Option<NodeClass> {
        self.pools.class(&claim.template.class.as_ref()?.1)
    }

    /// The class of a request. What the watch has not shown yet, or shows as not ready, may be there and ready.
    async fn find_class(&self, request: &LaunchRequest) -> Result<Option<NodeClass>, ClusterError> {
        let Some((_, name)) = &request.template.template.class else { return Ok(None) };
        if let Some(class) = self.pools.class(name).filter(|class| class.ready) {
            return Ok(Some(class));
        }
        let kind = GroupVersionKind::gvk("karpenter.kwok.sh", "v1alpha1", "KWOKNodeClass");
        let classes: Api<DynamicObject> = Api::all_with(self.client.clone(), &ApiResource::from_gvk(&kind));
        let found = classes.get_opt(name.as_str()).await;
        let found = found.map_err(ClusterError::api(format!("reading KWOKNodeClass {name}")))?;
        Ok(found.as_ref().map(tell::class_facts).transpose()?.flatten())
    }

    /// The cheapest offering of a request; of equal ones the first.
    fn choose(&self, request: &LaunchRequest) -> Option<Choice<'_>> {
        let mut best: Option<(Price, Choice<'_>)> = None;
        for option in &request.options {
            let Some(instance_type) = self.types.get(&option.instance_type) else { continue };
            for (bit, place) in request.places.iter().enumerate().take(32) {
                if option.places & (1 << bit) == 0 {
                    continue;
                }
                let Some(offering) = offering(instance_type, &place.zone, place.capacity_type) else {
                    continue;
                };
                if best.as_ref().is_none_or(|(price, _)| offering.price < *price) {
                    best = Some((offering.price, Choice { instance_type, offering }));
                }
            }
        }
        best.map(|(_, choice)| choice)
    }

    /// What the first request for a claim chose.
    fn chosen(&self, claim: &ClaimFacts) -> Option<Choice<'_>> {
        let label = |key: &str| claim.template.labels.get(key).cloned();
        let instance_type = self.types.get(&TypeName::new(label(label::INSTANCE_TYPE)?))?;
        let zone = Zone::new(label(label::ZONE)?);
        let capacity_type = CapacityType::parse(&label(label::CAPACITY_TYPE)?)?;
        let offering = offering(instance_type, &zone, capacity_type)?;
        Some(Choice { instance_type, offering })
    }
}

/// What making a Node takes.
struct Maker {
    nodes: Api<Node>,
    instances: Instances,
    kubelet: Kubelet,
    turns: Arc<Semaphore>,
}

/// Makes a Node, as often as it takes: where one is refused, as by an admission policy, its claim runs into its time-out.
async fn make(maker: Maker, node: Node, mut pause: Duration) {
    let name = node.name_any();
    let mut retry = PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        if !maker.instances.is_coming(&name) {
            return;
        }
        maker.kubelet.owns(&name);
        let made = {
            // Never closed.
            let _turn = maker.turns.acquire().await;
            maker.nodes.create(&PostParams::default(), &node).await
        };
        match made {
            Ok(_) => return,
            Err(error) if code(&error) == Some(409) => return,
            Err(error) => {
                tracing::warn!(node = name, "cannot be made, and is tried again: {error}");
                pause = retry;
                retry = (retry * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// The Node that an instance is.
pub(crate) fn node_of(instance: &InstanceId) -> Option<&str> {
    instance.as_str().strip_prefix("kwok://")
}

fn offering<'a>(
    instance_type: &'a InstanceType,
    zone: &Zone,
    capacity_type: CapacityType,
) -> Option<&'a Offering> {
    let same = |offering: &&Offering| offering.zone == *zone && offering.capacity_type == capacity_type;
    instance_type.offerings.iter().find(same)
}
