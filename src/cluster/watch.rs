//! Watches: one for each kind, all told through one channel.
//!
//! A watch that has to begin anew lists again and says what is gone since, so that nothing that happened meanwhile is lost.
//!
//! **Invariant:** of what was seen only the names are kept, which is what a new list is compared with.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use purser_engine::model::PodKey;
use purser_engine::port::{Input, Observation};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{ClusterError, code};
use crate::kwok::{Instances, Kubelet};
use crate::pools::Pools;
use crate::tell::{self, Told};

/// Room for what was seen and not yet taken in. Whoever watches waits when it is full.
const CHANNEL: usize = 4_096;

/// The most objects in a page of a list.
const PAGE: u32 = 500;

/// From this minor version of Kubernetes on lists can come as a stream (WatchList is on by default).
const STREAMING_LISTS_SINCE: u32 = 34;

/// The first lists have to be there after so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Namespace and name of an object; the namespace is empty for one that is in none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    fn of(object: &impl ResourceExt) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }

    pub(crate) fn in_namespace(&self) -> PodKey {
        PodKey::new(self.namespace.as_str(), self.name.as_str())
    }
}

/// What watches and effects say.
enum Word {
    Seen(Input),
    /// A kind was listed for the first time, or cannot be.
    Listed,
}

/// A way to tell what came of an effect.
#[derive(Clone)]
pub struct Answers(mpsc::Sender<Word>);

impl Answers {
    pub(crate) async fn tell(&self, input: Input) {
        // With nobody left to hear it, the next start sees how things are.
        let _ = self.0.send(Word::Seen(input)).await;
    }
}

/// The watches of a cluster. They end when this is dropped.
pub struct Watches {
    words: mpsc::Receiver<Word>,
    answers: mpsc::Sender<Word>,
    tasks: JoinSet<()>,
    /// Kinds that were not listed yet.
    awaited: usize,
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
    ) -> Result<(Self, Vec<Observation>), ClusterError> {
        let version =
            client.apiserver_version().await.map_err(ClusterError::api("asking for its version"))?;
        let minor = version.minor.trim_end_matches('+').parse().unwrap_or(0);
        let (answers, words) = mpsc::channel(CHANNEL);
        let mut watches = Self { words, answers, tasks: JoinSet::new(), awaited: 0 };
        let config = match minor >= STREAMING_LISTS_SINCE {
            true => watcher::Config::default().streaming_lists(),
            false => watcher::Config::default().page_size(PAGE),
        };
        let all = |gvk: [&str; 3]| {
            Api::all_with(
                client.clone(),
                &ApiResource::from_gvk(&GroupVersionKind::gvk(gvk[0], gvk[1], gvk[2])),
            )
        };
        let classes: Api<DynamicObject> = all(["karpenter.kwok.sh", "v1alpha1", "KWOKNodeClass"]);
        let (of_pools, of_lost) = (pools.clone(), pools.clone());
        watches.add(
            "KWOKNodeClass",
            classes,
            &config,
            move |class| tell::class(class, &of_pools),
            move |key| of_lost.lost_class(&key.name),
        );
        let (of_pools, of_lost) = (pools.clone(), pools.clone());
        let node_pools: Api<DynamicObject> = all(["karpenter.sh", "v1", "NodePool"]);
        watches.add(
            "NodePool",
            node_pools,
            &config,
            move |pool| tell::pool(pool, &of_pools),
            move |key| vec![of_lost.lost_pool(&key.name)],
        );
        let (mine, theirs) = (kubelet.clone(), kubelet.clone());
        let (seen, lost) = (instances.clone(), instances.clone());
        let (of_members, of_lost) = (pools.status().clone(), pools.status().clone());
        let nodes: Api<Node> = Api::all(client.clone());
        watches.add(
            "Node",
            nodes,
            &config,
            move |node| tell::node(node, &mine, &seen, &of_members),
            move |key| tell::no_node(key, &theirs, &lost, &of_lost),
        );
        let claims: Api<DynamicObject> = all(["karpenter.sh", "v1", "NodeClaim"]);
        let launched = instances.clone();
        watches.add("NodeClaim", claims, &config, move |claim| tell::claim(claim, &launched), tell::no_claim);
        let mine = kubelet.clone();
        let pods: Api<Pod> = Api::all(client.clone());
        watches.add("Pod", pods, &config, move |pod| tell::pod(pod, &mine), tell::no_pod);
        let daemons: Api<DaemonSet> = Api::all(client.clone());
        watches.add("DaemonSet", daemons, &config, tell::daemons, |key| {
            vec![Observation::NoDaemonSet(key.in_namespace())]
        });
        let namespaces: Api<Namespace> = Api::all(client.clone());
        watches.add("Namespace", namespaces, &config, tell::namespace, |key| {
            vec![Observation::NoNamespace(key.name.as_str().into())]
        });
        let budgets: Api<PodDisruptionBudget> = Api::all(client.clone());
        watches.add("PodDisruptionBudget", budgets, &config, tell::budget, |key| {
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
        Answers(self.answers.clone())
    }

    /// What was seen next: all that is there, once there is something.
    pub async fn next(&mut self) -> Vec<Input> {
        let mut words = Vec::new();
        // The channel stays open: a sender is kept here.
        self.words.recv_many(&mut words, CHANNEL).await;
        words.into_iter().filter_map(Word::into_input).collect()
    }

    async fn first_lists(&mut self) -> Vec<Observation> {
        let mut seen = Vec::new();
        while self.awaited > 0 {
            match self.words.recv().await {
                Some(Word::Listed) => self.awaited -= 1,
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
        config: &watcher::Config,
        read: impl Fn(&K) -> Told + Send + Sync + 'static,
        absent: impl Fn(&Key) -> Vec<Observation> + Send + Sync + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    {
        self.awaited += 1;
        let watch = Watch { kind, read, absent, words: self.answers.clone(), listed: false, said: None };
        self.tasks.spawn(watch.run(api, config.clone()));
    }
}

impl Word {
    fn into_input(self) -> Option<Input> {
        match self {
            Self::Seen(input) => Some(input),
            Self::Listed => None,
        }
    }
}

/// The watch of one kind.
struct Watch<R, A> {
    kind: &'static str,
    read: R,
    absent: A,
    words: mpsc::Sender<Word>,
    listed: bool,
    /// The last thing that went wrong, so that it is said once.
    said: Option<String>,
}

impl<R, A> Watch<R, A>
where
    A: Fn(&Key) -> Vec<Observation>,
{
    async fn run<K>(mut self, api: Api<K>, config: watcher::Config)
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        R: Fn(&K) -> Told,
    {
        let mut known: BTreeSet<Key> = BTreeSet::new();
        let mut again: BTreeSet<Key> = BTreeSet::new();
        let mut events = std::pin::pin!(watcher(api, config).default_backoff());
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => again.clear(),
                Ok(Event::InitApply(object)) => {
                    again.insert(Key::of(&object));
                    self.saw(&object).await;
                }
                Ok(Event::InitDone) => {
                    self.said = None;
                    for gone in known.difference(&again) {
                        self.lost(gone).await;
                    }
                    known = std::mem::take(&mut again);
                    self.is_listed().await;
                }
                Ok(Event::Apply(object)) => {
                    known.insert(Key::of(&object));
                    self.saw(&object).await;
                }
                Ok(Event::Delete(object)) => {
                    let key = Key::of(&object);
                    known.remove(&key);
                    self.lost(&key).await;
                }
                Err(error) => self.failed(&error).await,
            }
        }
    }

    async fn saw<K: ResourceExt>(&self, object: &K)
    where
        R: Fn(&K) -> Told,
    {
        match (self.read)(object) {
            Ok(observations) => self.tell(observations).await,
            Err(error) => {
                let key = Key::of(object);
                tracing::warn!(
                    kind = self.kind,
                    namespace = key.namespace,
                    name = key.name,
                    "is passed over: {error}"
                );
            }
        }
    }

    async fn lost(&self, key: &Key) {
        self.tell((self.absent)(key)).await;
    }

    async fn tell(&self, observations: Vec<Observation>) {
        for observation in observations {
            // With nobody left to hear it, this task is about to end.
            let _ = self.words.send(Word::Seen(observation.into())).await;
        }
    }

    async fn is_listed(&mut self) {
        if !std::mem::replace(&mut self.listed, true) {
            let _ = self.words.send(Word::Listed).await;
        }
    }

    /// A kind that the API server does not have is lived without; anything else is tried again.
    async fn failed(&mut self, error: &watcher::Error) {
        let missing = matches!(error,
            watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source)
                if code(source) == Some(404));
        let text = error.to_string();
        if self.said.as_ref() != Some(&text) {
            match missing {
                true => tracing::warn!(
                    kind = self.kind,
                    "the cluster has no such kind, so there are none: for those of Karpenter, apply what `purser crds` prints"
                ),
                false => tracing::warn!(kind = self.kind, "cannot be watched, and is tried again: {text}"),
            }
            self.said = Some(text);
        }
        if missing {
            self.is_listed().await;
        }
    }
}
