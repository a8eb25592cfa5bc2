//! The manifests in deploy/kwok: the API server takes them, and what they allow is enough.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use purser::cli::Cli;
use purser_plane::Plane;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Replica, any, deployment, deployments, plane, pool, running, until};

/// All objects of a file.
fn manifests(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kwok").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

async fn apply(client: &Client, manifest: &Value, dry_run: bool) {
    let text = |at: &str| manifest.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("/kind")));
    let api: Api<DynamicObject> = match text("/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    };
    let object = serde_json::from_value(manifest.clone()).unwrap();
    let params = PostParams { dry_run, ..PostParams::default() };
    api.create(&params, &object).await.unwrap_or_else(|error| panic!("{manifest}: {error}"));
}

#[test]
fn the_settings_of_the_manifest_are_settings() {
    let statefulset = &manifests("statefulset.yaml")[0];
    let container = &statefulset["spec"]["template"]["spec"]["containers"][0];
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let known: BTreeSet<&str> =
        run.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    for variable in container["env"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(known.contains(name), "{name} is no setting");
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/run.md");
    let page = std::fs::read_to_string(page).unwrap();
    let without_effect = |argument: &clap::Arg| argument.is_hide_env_set();
    for argument in run.get_arguments().filter(|argument| !without_effect(argument)) {
        let (Some(flag), Some(name)) = (argument.get_long(), argument.get_env()) else { continue };
        let row = format!("| `--{flag}` | `{}` |", name.to_str().unwrap());
        assert!(page.contains(&row), "docs/run.md has no row {row}");
    }
}

/// A plane with the manifests installed, a folder, and a kubeconfig in it by which one may do what they allow.
async fn installed() -> (Plane, Client, TempDir, PathBuf) {
    let (plane, client) = plane(&[]).await;
    for file in ["namespace.yaml", "rbac.yaml", "service.yaml"] {
        for manifest in manifests(file) {
            apply(&client, &manifest, false).await;
        }
    }
    let mut kubeconfig: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(plane.kubeconfig()).unwrap()).unwrap();
    kubeconfig["users"][0]["user"]["as"] = json!("system:serviceaccount:purser:purser");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig.to_string()).unwrap();
    (plane, client, folder, file)
}

#[tokio::test]
async fn what_is_forbidden_is_done_once_it_is_allowed() {
    let (_plane, client, folder, file) = installed().await;
    let roles = Api::<DynamicObject>::all_with(
        client.clone(),
        &ApiResource::from_gvk(&GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", "ClusterRole")),
    );
    let role = roles.get("purser").await.unwrap();
    let rules = role.data["rules"].clone();
    let mut without = rules.clone();
    let of_nodes = |rule: &&mut Value| rule["resources"].as_array().unwrap().contains(&json!("nodes"));
    for rule in without.as_array_mut().unwrap().iter_mut().filter(of_nodes) {
        rule["verbs"].as_array_mut().unwrap().retain(|verb| verb != "patch");
    }
    assert_ne!(rules, without);
    let set = async |rules: &Value| {
        let patch = Patch::Merge(json!({"rules": rules}));
        roles.patch("purser", &PatchParams::default(), &patch).await.unwrap();
    };
    set(&without).await;

    pool(&client).await;
    let replica = Replica::start_with(&file, folder.path(), "only", "journal");
    deployment(&client, "web", 1, json!({})).await;
    until("an order that is refused", &[&replica], async || replica.said().contains("cannot patch resource"))
        .await;
    set(&rules).await;
    until("a pod that runs", &[&replica], async || running(&client, "web").await == 1).await;
    assert!(replica.stop().success());
}

#[tokio::test]
async fn the_controller_needs_no_more_than_the_manifests_allow() {
    let (_plane, client, folder, file) = installed().await;
    // Its pods would be pods without a place.
    apply(&client, &manifests("statefulset.yaml")[0], true).await;

    pool(&client).await;
    let replica = Replica::start_with(&file, folder.path(), "only", "journal");
    deployment(&client, "web", 3, json!({})).await;
    until("pods that run", &[&replica], async || running(&client, "web").await == 3).await;
    let claims = any(&client, "karpenter.sh", "v1", "NodeClaim");
    let made = claims.list(&ListParams::default()).await.unwrap().items;
    // A claim that is deleted while pods run has them evicted.
    claims
        .delete(made[0].metadata.name.as_deref().unwrap(), &kube::api::DeleteParams::default())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let none = json!({"spec": {"replicas": 0}});
    deployments(&client).patch("web", &PatchParams::default(), &Patch::Merge(&none)).await.unwrap();
    until("a cluster without claims", &[&replica], async || {
        claims.list(&ListParams::default()).await.unwrap().items.is_empty()
    })
    .await;
    let said = replica.said();
    assert!(replica.stop().success());
    // The status 403 alone would also be found in a time or in a number of bytes.
    assert!(!said.to_lowercase().contains("forbidden"), "{said}");
}
