//! The provider `kwok`: instances that are nothing but Node objects, so that anybody can try the controller on any cluster.
//!
//! Source: kubernetes-sigs/karpenter, kwok/cloudprovider.
//!
//! **Invariant:** a Node bears the name of its claim, and the claim's labels say which offering it got: to launch again is to find both.

mod kubelet;
mod machine;
mod stopping;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};
use purser_engine::event::LaunchFailure;
use purser_engine::model::{
    CapacityType, InstanceId, InstanceType, Offering, OfferingKey, Price, Span, TypeName, Zone, label,
};
use purser_engine::port::{InstanceFacts, LaunchRequest, Observation};
use tokio::sync::Semaphore;

pub use kubelet::{Kubelet, KubeletWork};
pub use types::{catalogue, instance_types};

use crate::Now;
use crate::claim::{self, Claims, Progress};
use crate::error::{ClusterError, code};
use crate::pools::Pools;

/// Launches that are made at a time.
const AT_ONCE: usize = 32;

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
    turns: Semaphore,
    now: Now,
}

/// An offering that a launch got.
struct Choice<'a> {
    instance_type: &'a InstanceType,
    offering: &'a Offering,
}

impl Kwok {
    /// A provider of the built-in instance types.
    pub fn new(client: Client, pools: Pools, kubelet: Kubelet, now: Now) -> Self {
        let types = instance_types().into_iter().map(|one| (one.name.clone(), one)).collect();
        let claims = Claims::new(client.clone());
        Self { client, claims, pools, types, kubelet, turns: Semaphore::new(AT_ONCE), now }
    }

    /// The Node that an instance is.
    pub(crate) fn node_of(instance: &InstanceId) -> Option<&str> {
        instance.as_str().strip_prefix("kwok://")
    }

    /// Makes a claim and its Node, after the delay of its class.
    ///
    /// The launch is over when the Node is there. Should the process end before, it is asked for again and finds the claim.
    pub(crate) async fn launch(&self, request: &LaunchRequest) -> Result<Observation, ClusterError> {
        let rejected = |message: String| {
            let failure = LaunchFailure::Rejected { message: message.into() };
            Ok(Observation::LaunchFailed(request.claim.clone(), failure))
        };
        let Some(pool) = self.pools.pool(&request.pool) else {
            return rejected(format!("NodePool {} is gone", request.pool));
        };
        let class_name = request.template.template.class.as_ref().map(|(_, name)| name.clone());
        let Some(class) = class_name.and_then(|name| self.pools.class(&name)).filter(|class| class.ready)
        else {
            // No capacity, as Karpenter's provider says of a class that is missing.
            let failure = LaunchFailure::InsufficientCapacity { offerings: Vec::new() };
            return Ok(Observation::LaunchFailed(request.claim.clone(), failure));
        };
        let Some(choice) = self.choose(request) else {
            return rejected("none of the instance types is offered in these places".to_owned());
        };
        let made = {
            // Never closed.
            let _turn = self.turns.acquire().await;
            let labels = machine::labels(&choice, request);
            self.claims.create(&claim::claim(request, &pool, labels)).await?
        };
        if made.metadata.deletion_timestamp.is_some() {
            return rejected("its NodeClaim is being deleted".to_owned());
        }
        let Some(choice) = self.chosen(&made) else {
            return rejected("its NodeClaim names no offering that there is".to_owned());
        };
        let id = provider_id(request.claim.as_str());
        let launched = Progress::Launched {
            provider_id: &id,
            capacity: &choice.instance_type.capacity,
            allocatable: &choice.instance_type.allocatable(),
        };
        let delay = class.registration_delay.unwrap_or(Span::ZERO);
        if delay > Span::ZERO {
            self.claims.progress(&request.claim, (self.now)(), &launched).await?;
            tokio::time::sleep(std::time::Duration::from_micros(delay.0.unsigned_abs())).await;
        }
        let node = machine::node(&made, &request.template.template, &choice, (self.now)())?;
        self.kubelet.owns(request.claim.as_str());
        {
            let _turn = self.turns.acquire().await;
            let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
            match nodes.create(&PostParams::default(), &node).await {
                Ok(_) => {}
                Err(error) if code(&error) == Some(409) => {}
                Err(error) => {
                    return Err(ClusterError::api(format!("creating Node {}", request.claim))(error));
                }
            }
            self.claims.progress(&request.claim, (self.now)(), &launched).await?;
        }
        Ok(Observation::Instance(InstanceFacts {
            instance: InstanceId::new(id),
            claim: Some(request.claim.clone()),
            instance_type: choice.instance_type.name.clone(),
            zone: choice.offering.zone.clone(),
            capacity_type: choice.offering.capacity_type,
            price: choice.offering.price,
            launched: (self.now)(),
        }))
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
    fn chosen(&self, claim: &DynamicObject) -> Option<Choice<'_>> {
        let labels = claim.metadata.labels.as_ref()?;
        let instance_type = self.types.get(&TypeName::new(labels.get(label::INSTANCE_TYPE)?.as_str()))?;
        let key = OfferingKey {
            instance_type: instance_type.name.clone(),
            zone: Zone::new(labels.get(label::ZONE)?.as_str()),
            capacity_type: CapacityType::parse(labels.get(label::CAPACITY_TYPE)?)?,
        };
        let offering = offering(instance_type, &key.zone, key.capacity_type)?;
        Some(Choice { instance_type, offering })
    }
}

fn offering<'a>(
    instance_type: &'a InstanceType,
    zone: &Zone,
    capacity_type: CapacityType,
) -> Option<&'a Offering> {
    let same = |offering: &&Offering| offering.zone == *zone && offering.capacity_type == capacity_type;
    instance_type.offerings.iter().find(same)
}
