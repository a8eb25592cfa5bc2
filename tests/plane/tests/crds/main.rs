//! The CustomResourceDefinitions in a real API server: what they accept, refuse and fill in.
//!
//! A case is a change (a JSON merge patch) to a manifest that is accepted, and what comes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod buffers;
mod claims;
mod ec2;
mod installed;
mod overlays;
mod pools;

use kube::api::{DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use purser_api::crd;
use purser_plane::Plane;
use serde_json::Value;
use tokio::sync::OnceCell;

/// One for all tests; its guard ends it with this process.
static PLANE: OnceCell<Plane> = OnceCell::const_new();

/// A client of the API server, the definitions installed and established.
async fn client() -> Client {
    let start = async || {
        let mut plane = Plane::start().await.unwrap_or_else(|error| panic!("{error}"));
        let definitions = crd::definitions().into_iter().map(|definition| definition.object);
        plane.install(definitions).await.unwrap_or_else(|error| panic!("{error}"));
        plane
    };
    PLANE.get_or_init(start).await.client().await.unwrap()
}

/// What comes of a manifest.
#[derive(Clone, Copy)]
enum Outcome {
    Accepted,
    /// With these words in what the API server says.
    Refused(&'static str),
}

use Outcome::{Accepted, Refused};

/// Tries each change to a manifest, without a trace in the cluster.
async fn try_all(base: Value, cases: Vec<(Value, Outcome)>) {
    let api = api_of(&client().await, &base);
    let mut wrong = Vec::new();
    let unchanged = (Value::Object(Default::default()), Accepted);
    for (change, expected) in std::iter::once(unchanged).chain(cases) {
        let mut manifest = base.clone();
        merge(&mut manifest, &change);
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let said = api
            .create(&dry, &serde_json::from_value(manifest).unwrap())
            .await
            .map_err(|error| error.to_string());
        match (expected, said) {
            (Accepted, Ok(_)) => {}
            (Accepted, Err(said)) => wrong.push(format!("{change}\n  is refused: {said}")),
            (Refused(_), Ok(_)) => wrong.push(format!("{change}\n  is accepted")),
            (Refused(words), Err(said)) if said.contains(words) => {}
            (Refused(words), Err(said)) => {
                wrong.push(format!("{change}\n  is refused, but not by {words:?}: {said}"))
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Creates an object, tries a change to it, and removes it.
async fn try_update(manifest: Value, change: Value, expected: Outcome) {
    let api = api_of(&client().await, &manifest);
    let created =
        api.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await.unwrap();
    let name = created.metadata.name.clone().unwrap();
    let mut changed = serde_json::to_value(created).unwrap();
    merge(&mut changed, &change);
    let changed = serde_json::from_value(changed).unwrap();
    let said = api.replace(&name, &PostParams::default(), &changed).await.map_err(|error| error.to_string());
    api.delete(&name, &Default::default()).await.unwrap();
    match (expected, said) {
        (Accepted, Ok(_)) => {}
        (Refused(words), Err(said)) => assert!(said.contains(words), "{change}: {said}"),
        (Accepted, Err(said)) => panic!("{change} is refused: {said}"),
        (Refused(_), Ok(_)) => panic!("{change} is accepted"),
    }
}

/// The API of a manifest's kind, in the default namespace if it is in one.
fn api_of(client: &Client, manifest: &Value) -> Api<DynamicObject> {
    let text = |field: &str| manifest[field].as_str().unwrap().to_owned();
    let (group, version) =
        text("apiVersion").split_once('/').map(|(g, v)| (g.to_owned(), v.to_owned())).unwrap();
    let kind = text("kind");
    // The plural, as Kubernetes forms it.
    let resource = ApiResource::from_gvk(&GroupVersionKind { group, version, kind });
    match manifest["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// A JSON merge patch.
fn merge(target: &mut Value, change: &Value) {
    let Value::Object(changes) = change else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    let fields = target.as_object_mut().unwrap();
    for (name, change) in changes {
        match change {
            Value::Null => drop(fields.remove(name)),
            change => merge(fields.entry(name).or_insert(Value::Null), change),
        }
    }
}

fn many<T>(count: usize, one: impl Fn(usize) -> T) -> Vec<T> {
    (0..count).map(one).collect()
}
