//! Watches: one for each kind, all told through one channel.
//!
//! **Invariant:** which kinds are watched is decided here, and what else is kept of them is with whoever reads them. What only an open
//! feature gate or a setting makes count is watched only then.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::{CSINode, StorageClass, VolumeAttachment};
use kube::api::DynamicObject;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use purser_api::{FieldError, PodSelector, SelectorKind};
use purser_engine::model::{NodeName, TopologySpread};
use purser_engine::port::{Input, Observation};
use purser_engine::settings::{FeatureGate, FeatureGates};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Now;
use crate::buffers::Buffers;
use crate::daemons::Daemons;
use crate::default_spread::DefaultSpread;
use crate::devices::Devices;
use crate::error::ClusterError;
use crate::kwok::{Instances, Kubelet};
use crate::overlays::Overlays;
use crate::pools::Pools;
use crate::startups::Startups;
use crate::status::Statuses;
use crate::tell;
use crate::volumes::Volumes;
use crate::watching::{By, Key, Reader, Watching, Word};

/// Room for what was seen and not yet taken in. Whoever watches waits when it is full.
const CHANNEL: usize = 4_096;

/// The most objects in a page of a list.
const PAGE: u32 = 500;

/// From this minor version of Kubernetes on lists can come as a stream (WatchList is on by default).
const STREAMING_LISTS_SINCE: u32 = 34;

/// The first lists have to be there after so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// A way to tell what came of an effect.
#[derive(Clone)]
pub struct Answers(mpsc::Sender<Word>);

impl Answers {
    pub(crate) async fn tell(&self, input: Input) {
        // With nobody left to hear it, the next start sees how things are.
        let _ = self.0.send(Word::Seen(input)).await;
    }
}

/// What is watched beside what always is.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Feature gates.
    pub gates: &'a FeatureGates,
    /// The spread constraints of pods without any of their own: with some, what they spread over is.
    pub default_spread: &'a [TopologySpread],
    /// Whether devices are, and claims on them.
    pub devices: bool,
}

/// The watches of a cluster. They end when this is dropped.
pub struct Watches {
    words: mpsc::Receiver<Word>,
    watching: Watching,
    tasks: JoinSet<()>,
    statuses: Statuses,
}

impl Watches {
    /// Begins to watch, and gives what there is.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn begin(
        client: &Client,
        pools: &Pools,
        kubelet: &Kubelet,
        instances: &Instances,
        startups: &Startups,
        scope: Scope<'_>,
        now: Now,
    ) -> Result<(Self, Vec<Observation>), ClusterError> {
        let version =
            client.apiserver_version().await.map_err(ClusterError::api("asking for its version"))?;
        let minor = version.minor.trim_end_matches('+').parse().unwrap_or(0);
        let config = match minor >= STREAMING_LISTS_SINCE {
            true => watcher::Config::default().streaming_lists(),
            false => watcher::Config::default().page_size(PAGE),
        };
        let (answers, words) = mpsc::channel(CHANNEL);
        let watching = Watching::new(answers, config);
        let (stale, stale_ones) = mpsc::unbounded_channel();
        let statuses = Statuses {
            buffers: Buffers::new(client.clone(), watching.clone(), stale.clone()),
            overlays: Overlays::new(client.clone(), stale.clone()),
        };
        let mut watches = Self { words, watching, tasks: JoinSet::new(), statuses: statuses.clone() };
        watches.tasks.spawn(statuses.clone().write(stale, stale_ones, Arc::clone(&now)));
        let all = |gvk: [&str; 3]| Api::all_with(client.clone(), &tell::resource(gvk[0], gvk[1], gvk[2]));
        let classes: Api<DynamicObject> = all(["karpenter.kwok.sh", "v1alpha1", "KWOKNodeClass"]);
        let (of_pools, of_lost) = (pools.clone(), pools.clone());
        watches.add(
            "KWOKNodeClass",
            classes,
            move |class| tell::class(class, &of_pools),
            move |key| of_lost.lost_class(&key.name),
        );
        let (of_pools, of_lost) = (pools.clone(), pools.clone());
        let node_pools: Api<DynamicObject> = all(["karpenter.sh", "v1", "NodePool"]);
        watches.add(
            "NodePool",
            node_pools,
            move |pool| tell::pool(pool, &of_pools),
            move |key| vec![of_lost.lost_pool(&key.name)],
        );
        let (mine, theirs) = (kubelet.clone(), kubelet.clone());
        let (seen, lost) = (instances.clone(), instances.clone());
        let (of_members, of_lost, at) = (pools.clone(), pools.clone(), Arc::clone(&now));
        let nodes: Api<Node> = Api::all(client.clone());
        watches.add(
            "Node",
            nodes,
            move |node| tell::node(node, &mine, &seen, &of_members, at()),
            move |key| tell::no_node(key, &theirs, &lost, &of_lost),
        );
        let claims: Api<DynamicObject> = all(["karpenter.sh", "v1", "NodeClaim"]);
        let launched = instances.clone();
        watches.add("NodeClaim", claims, move |claim| tell::claim(claim, &launched), tell::no_claim);
        let (daemons, default_spread) = (Daemons::default(), DefaultSpread::new(scope.default_spread));
        let devices = if scope.devices { Devices::looked_at() } else { Devices::default() };
        let all_pods = tell::Pods {
            kubelet: kubelet.clone(),
            daemons: daemons.clone(),
            devices: devices.clone(),
            default_spread: default_spread.clone(),
            pools: pools.clone(),
            startups: startups.clone(),
            now: Arc::clone(&now),
        };
        watches.begin_one::<Pod, _>("Pod", client, all_pods);
        watches.begin_one::<DaemonSet, _>("DaemonSet", client, daemons.clone());
        watches.begin_one::<PriorityClass, _>("PriorityClass", client, daemons.clone());
        watches.begin_one::<LimitRange, _>("LimitRange", client, daemons);
        let volumes = Volumes::default();
        watches.begin_one::<PersistentVolumeClaim, _>("PersistentVolumeClaim", client, volumes.clone());
        watches.begin_one::<PersistentVolume, _>("PersistentVolume", client, volumes.clone());
        watches.begin_one::<StorageClass, _>("StorageClass", client, volumes.clone());
        watches.begin_one::<VolumeAttachment, _>("VolumeAttachment", client, volumes);
        if scope.devices {
            watches.begin_one::<DeviceClass, _>("DeviceClass", client, devices.clone());
            watches.begin_one::<ResourceClaim, _>("ResourceClaim", client, devices.clone());
            watches.begin_one::<ResourceClaimTemplate, _>("ResourceClaimTemplate", client, devices.clone());
            watches.begin_one::<ResourceSlice, _>("ResourceSlice", client, devices);
        }
        if !scope.default_spread.is_empty() {
            let of = &default_spread;
            watches.begin_selecting::<Service>(SelectorKind::Service, client, of);
            watches.begin_selecting::<ReplicationController>(SelectorKind::ReplicationController, client, of);
            watches.begin_selecting::<ReplicaSet>(SelectorKind::ReplicaSet, client, of);
            watches.begin_selecting::<StatefulSet>(SelectorKind::StatefulSet, client, of);
        }
        let csi_nodes: Api<CSINode> = Api::all(client.clone());
        watches.add("CSINode", csi_nodes, tell::volume_limits, |key| {
            vec![Observation::NoVolumeLimits(NodeName::new(key.name.as_str()))]
        });
        if scope.gates.has(FeatureGate::NodeOverlay) {
            watches.begin_with("NodeOverlay", statuses.overlays.api(), statuses.overlays.clone());
        }
        if scope.gates.has(FeatureGate::CapacityBuffer) {
            watches.begin_with("CapacityBuffer", statuses.buffers.api(), statuses.buffers.clone());
        }
        let namespaces: Api<Namespace> = Api::all(client.clone());
        watches.add("Namespace", namespaces, tell::namespace, |key| {
            vec![Observation::NoNamespace(key.name.as_str().into())]
        });
        let budgets: Api<PodDisruptionBudget> = Api::all(client.clone());
        watches.add("PodDisruptionBudget", budgets, tell::budget, |key| {
            vec![Observation::NoDisruptionBudget(key.in_namespace())]
        });
        let listed = tokio::time::timeout(PATIENCE, watches.first_lists()).await;
        let mut listed = listed.map_err(|_| {
            ClusterError::Invalid(format!(
                "the cluster could not be listed within {} s: see the warnings before this",
                PATIENCE.as_secs()
            ))
        })?;
        listed.push(Observation::NodeClaimsListed);
        kubelet.nodes_are_listed();
        Ok((watches, listed))
    }

    /// A way to tell what came of effects.
    pub fn answers(&self) -> Answers {
        Answers(self.watching.words())
    }

    /// The objects whose statuses are written here.
    pub fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    /// What was seen next: all that is there, once there is something.
    pub async fn next(&mut self) -> Vec<Input> {
        let mut words = Vec::new();
        // The channel stays open: a sender is kept here.
        self.words.recv_many(&mut words, CHANNEL).await;
        words.into_iter().filter_map(seen).collect()
    }

    async fn first_lists(&mut self) -> Vec<Observation> {
        let mut seen = Vec::new();
        while self.watching.is_listing() {
            match self.words.recv().await {
                Some(Word::Listed) => self.watching.has_listed(),
                Some(Word::Seen(input)) => seen.push(input.observation),
                None => break,
            }
        }
        seen
    }

    fn add<K>(
        &mut self,
        kind: &'static str,
        api: Api<K>,
        read: impl Fn(&K) -> tell::Told + Send + Sync + 'static,
        absent: impl Fn(&Key) -> Vec<Observation> + Send + Sync + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        self.begin_with(kind, api, By(read, absent));
    }

    /// Watches all objects of a kind that selects pods.
    fn begin_selecting<K>(&mut self, kind: SelectorKind, client: &Client, spread: &DefaultSpread)
    where
        K: k8s_openapi::Resource + Resource<DynamicType = ()>,
        K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        PodSelector: for<'k> TryFrom<&'k K, Error = FieldError>,
    {
        let (seen, lost) = (spread.clone(), spread.clone());
        let objects: Api<K> = Api::all(client.clone());
        self.add(K::KIND, objects, move |object| seen.saw(object), move |key| lost.lost(kind, key));
    }

    /// Watches all objects of a kind that Kubernetes has.
    fn begin_one<K, R>(&mut self, kind: &'static str, client: &Client, reader: R)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        R: Reader<K>,
    {
        self.begin_with::<K, R>(kind, Api::all(client.clone()), reader);
    }

    fn begin_with<K, R>(&mut self, kind: &'static str, api: Api<K>, reader: R)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        R: Reader<K>,
    {
        self.tasks.spawn(self.watching.watch(kind, api, reader));
    }
}

fn seen(word: Word) -> Option<Input> {
    match word {
        Word::Seen(input) => Some(input),
        Word::Listed => None,
    }
}
