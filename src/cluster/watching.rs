//! The watch of one kind, whichever it is.
//!
//! A watch that has to begin anew lists again and says what is gone since, so that nothing that happened meanwhile is lost. It
//! begins anew too when the API server was out of reach.
//!
//! **Invariant:** a watch itself keeps only the names of what it saw, which is what a new list is compared with. A kind that the API
//! server does not have is a kind of which there are none, until it has it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use purser_engine::model::PodKey;
use purser_engine::port::{Input, Observation};
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, mpsc};

use crate::error::code;
use crate::tell::Told;

/// The pause before a watch begins anew, doubled up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Namespace and name of an object; the namespace is empty for one that is in none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn of(object: &impl ResourceExt) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }

    pub(crate) fn in_namespace(&self) -> PodKey {
        PodKey::new(self.namespace.as_str(), self.name.as_str())
    }
}

/// What watches and effects say.
pub(crate) enum Word {
    Seen(Input),
    /// A kind was listed for the first time, or cannot be.
    Listed,
}

/// What a watch makes of what it sees.
pub(crate) trait Reader<K>: Send + Sync + 'static {
    /// An object is so.
    fn saw(&self, object: &K) -> Told;

    /// An object is gone.
    fn lost(&self, key: &Key) -> Vec<Observation>;

    /// All that there are were seen.
    fn listed(&self) -> Vec<Observation> {
        Vec::new()
    }
}

/// A reader of two functions.
pub(crate) struct By<S, L>(pub(crate) S, pub(crate) L);

impl<K, S, L> Reader<K> for By<S, L>
where
    S: Fn(&K) -> Told + Send + Sync + 'static,
    L: Fn(&Key) -> Vec<Observation> + Send + Sync + 'static,
{
    fn saw(&self, object: &K) -> Told {
        (self.0)(object)
    }

    fn lost(&self, key: &Key) -> Vec<Observation> {
        (self.1)(key)
    }
}

/// What it takes to begin a watch.
#[derive(Clone)]
pub(crate) struct Watching {
    words: mpsc::Sender<Word>,
    config: watcher::Config,
    /// Watches that have not listed yet.
    awaited: Arc<AtomicUsize>,
    /// Held by the watch that reads and tells: what several tell of one object is told in the order in which they came to know it.
    turn: Arc<Mutex<()>>,
}

impl Watching {
    pub(crate) fn new(words: mpsc::Sender<Word>, config: watcher::Config) -> Self {
        Self { words, config, awaited: Arc::default(), turn: Arc::default() }
    }

    pub(crate) fn words(&self) -> mpsc::Sender<Word> {
        self.words.clone()
    }

    /// Whether some watch that was begun has not listed yet.
    pub(crate) fn is_listing(&self) -> bool {
        self.awaited.load(Ordering::SeqCst) > 0
    }

    /// Another watch has listed.
    pub(crate) fn has_listed(&self) {
        self.awaited.fetch_sub(1, Ordering::SeqCst);
    }

    /// A watch, to be run by whoever begins it. It is awaited from now on: so one that is begun by another before that has listed
    /// is among those whose lists are waited for.
    pub(crate) fn watch<K, R>(
        &self,
        kind: &'static str,
        api: Api<K>,
        reader: R,
    ) -> impl Future<Output = ()> + Send + use<K, R>
    where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        R: Reader<K>,
    {
        self.awaited.fetch_add(1, Ordering::SeqCst);
        let words = self.words.clone();
        let turn = Arc::clone(&self.turn);
        let watch = Watch { kind, reader, words, turn, listed: false, said: None, of: PhantomData };
        watch.run(api, self.config.clone())
    }
}

struct Watch<K, R> {
    kind: &'static str,
    reader: R,
    words: mpsc::Sender<Word>,
    turn: Arc<Mutex<()>>,
    listed: bool,
    /// The last thing that went wrong, so that it is said once.
    said: Option<String>,
    of: PhantomData<fn(&K)>,
}

impl<K, R> Watch<K, R>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    R: Reader<K>,
{
    async fn run(mut self, api: Api<K>, config: watcher::Config) {
        let mut known: BTreeSet<Key> = BTreeSet::new();
        let mut again: BTreeSet<Key> = BTreeSet::new();
        let mut pause = PAUSE;
        let mut events = Box::pin(watcher(api.clone(), config.clone()).default_backoff());
        while let Some(event) = events.next().await {
            if self.words.is_closed() {
                return;
            }
            match event {
                Ok(Event::Init) => again.clear(),
                Ok(Event::InitApply(object)) => {
                    again.insert(Key::of(&object));
                    self.saw(&object).await;
                }
                Ok(Event::InitDone) => {
                    if self.said.take().is_some() {
                        tracing::info!(kind = self.kind, "is watched now");
                    }
                    self.lost(known.difference(&again)).await;
                    known = std::mem::take(&mut again);
                    pause = PAUSE;
                    self.is_listed().await;
                }
                Ok(Event::Apply(object)) => {
                    known.insert(Key::of(&object));
                    self.saw(&object).await;
                }
                Ok(Event::Delete(object)) => {
                    let key = Key::of(&object);
                    known.remove(&key);
                    self.lost([&key]).await;
                }
                Err(error) => {
                    let missing = is_missing(&error);
                    self.failed(&error, missing);
                    if missing {
                        self.lost(&std::mem::take(&mut known)).await;
                        self.is_listed().await;
                    } else if is_out_of_reach(&error) {
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                        events = Box::pin(watcher(api.clone(), config.clone()).default_backoff());
                    }
                }
            }
        }
    }

    async fn saw(&self, object: &K) {
        let _turn = self.turn.lock().await;
        match self.reader.saw(object) {
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

    async fn lost(&self, keys: impl IntoIterator<Item = &Key>) {
        for key in keys {
            let _turn = self.turn.lock().await;
            self.tell(self.reader.lost(key)).await;
        }
    }

    async fn tell(&self, observations: Vec<Observation>) {
        for observation in observations {
            // With nobody left to hear it, this task is about to end.
            let _ = self.words.send(Word::Seen(observation.into())).await;
        }
    }

    async fn is_listed(&mut self) {
        let _turn = self.turn.lock().await;
        self.tell(self.reader.listed()).await;
        if !std::mem::replace(&mut self.listed, true) {
            let _ = self.words.send(Word::Listed).await;
        }
    }

    /// Says what is wrong, once.
    fn failed(&mut self, error: &watcher::Error, missing: bool) {
        let text = error.to_string();
        if self.said.as_ref() == Some(&text) {
            return;
        }
        match missing {
            true => tracing::warn!(
                kind = self.kind,
                "the cluster has no such kind, so there are none until it has: `purser crds` prints those of Karpenter"
            ),
            false => tracing::warn!(kind = self.kind, "cannot be watched, and is tried again: {text}"),
        }
        self.said = Some(text);
    }
}

/// Whether there was no answer at all. The API server that answers next may be one whose store was put back to an earlier time, which
/// never tells a watch that goes on from a later version what it missed: such a watch has to begin anew. A server that is
/// there and busy is not asked for more.
fn is_out_of_reach(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(source)
        | watcher::Error::WatchStartFailed(source)
        | watcher::Error::WatchFailed(source) => code(source).is_none(),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => false,
    }
}

/// Whether the API server does not have the kind.
fn is_missing(error: &watcher::Error) -> bool {
    matches!(error,
        watcher::Error::InitialListFailed(source) | watcher::Error::WatchStartFailed(source)
            if code(source) == Some(404))
}
