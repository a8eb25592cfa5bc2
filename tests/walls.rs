//! The walls between the crates, held against what cargo resolves.
//!
//! A crate here is worth its wall since it keeps a dependency out. Dev-dependencies do not count: they ship with nobody.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// For each package, the packages that it depends on in a normal or build way, all features on.
struct Graph {
    names: BTreeMap<String, String>,
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn load() -> Self {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--all-features",
                "--manifest-path",
                manifest,
            ])
            .output()
            .unwrap();
        assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let names = metadata["packages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| (text(&p["id"]), text(&p["name"])))
            .collect();
        let mut edges = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().unwrap() {
            let shipped = |dependency: &&Value| {
                dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"] != "dev")
            };
            let to = node["deps"]
                .as_array()
                .unwrap()
                .iter()
                .filter(shipped)
                .map(|dep| text(&dep["pkg"]))
                .collect();
            edges.insert(text(&node["id"]), to);
        }
        Self { names, edges }
    }

    fn direct(&self, package: &str) -> BTreeSet<&str> {
        let (id, _) = self
            .names
            .iter()
            .find(|(_, name)| *name == package)
            .unwrap_or_else(|| panic!("no package {package}"));
        self.edges[id].iter().map(|to| self.names[to].as_str()).collect()
    }

    fn all(&self, package: &str) -> BTreeSet<&str> {
        let (id, _) = self
            .names
            .iter()
            .find(|(_, name)| *name == package)
            .unwrap_or_else(|| panic!("no package {package}"));
        let mut seen = BTreeSet::from([id.as_str()]);
        let mut queue = vec![id.as_str()];
        while let Some(next) = queue.pop() {
            queue.extend(self.edges[next].iter().map(String::as_str).filter(|to| seen.insert(to)));
        }
        seen.remove(id.as_str());
        seen.into_iter().map(|id| self.names[id].as_str()).collect()
    }
}

fn outside_world(name: &str) -> bool {
    ["kube", "aws-", "tokio", "hyper", "reqwest", "axum"].iter().any(|prefix| name.starts_with(prefix))
}

#[test]
fn only_adapters_and_binaries_know_the_outside_world() {
    let graph = Graph::load();
    for package in
        ["purser-engine", "purser-events", "purser-instances", "purser-api", "purser-sim", "purser-replay"]
    {
        let found: Vec<_> = graph.all(package).into_iter().filter(|name| outside_world(name)).collect();
        assert!(found.is_empty(), "{package} must not depend on {found:?}");
    }
}

#[test]
fn what_ships_needs_no_test_control_plane() {
    let graph = Graph::load();
    for package in graph.names.values().filter(|name| name.starts_with("purser") && *name != "purser-plane") {
        assert!(!graph.all(package).contains("purser-plane"), "{package} must not ship purser-plane");
    }
}

#[test]
fn the_engine_depends_on_nothing_of_ours_and_does_no_io() {
    let graph = Graph::load();
    let found: Vec<_> = graph
        .all("purser-engine")
        .into_iter()
        .filter(|name| {
            name.starts_with("purser")
                || ["serde", "serde_json", "sled", "uuid", "rand", "getrandom", "tracing"].contains(name)
        })
        .collect();
    assert!(found.is_empty(), "purser-engine must not depend on {found:?}");
}

#[test]
fn arrows_point_one_way() {
    let graph = Graph::load();
    let allowed: [(&str, &[&str]); 6] = [
        ("purser-events", &["purser-engine"]),
        ("purser-instances", &["purser-engine"]),
        ("purser-api", &["purser-engine"]),
        ("purser-cluster", &["purser-engine", "purser-api"]),
        ("purser-sim", &["purser-engine", "purser-instances", "purser-api"]),
        ("purser-replay", &["purser-engine", "purser-events"]),
    ];
    for (package, allowed) in allowed {
        for ours in graph.direct(package).into_iter().filter(|name| name.starts_with("purser")) {
            assert!(allowed.contains(&ours), "{package} must not depend on {ours}");
        }
    }
}

#[test]
fn device_selectors_are_read_at_the_border_alone() {
    let graph = Graph::load();
    let packages: Vec<&str> =
        graph.names.values().map(String::as_str).filter(|name| name.starts_with("purser")).collect();
    for package in packages.into_iter().filter(|name| !["purser-api", "purser-checker"].contains(name)) {
        assert!(!graph.direct(package).contains("cel"), "{package} must not name cel");
    }
}

#[test]
fn one_crate_knows_the_storage_and_the_wire() {
    let graph = Graph::load();
    let packages: Vec<&str> =
        graph.names.values().map(String::as_str).filter(|name| name.starts_with("purser")).collect();
    for package in packages.into_iter().filter(|name| *name != "purser-events") {
        for secret in ["sled", "bincode"] {
            assert!(!graph.direct(package).contains(secret), "{package} must not name {secret}");
        }
    }
}
