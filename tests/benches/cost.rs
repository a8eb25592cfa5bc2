//! What the nodes cost that the scheduler launches: against a proven lower bound, and against Karpenter's own answers.
//!
//! `cargo bench -p purser-tests --bench cost` runs all; words after `--` only the sets whose names contain one of them. The corpus is skipped where
//! it is not there.
//!
//! A gap is how much dearer an answer is than its bound, in percent; of the corpus only entries without nodes have one. The bound leaves out of account what is free on nodes that are there, and all constraints
//! between pods; so the gap of a mix without these says how good the packing is, and that of another also what the constraints cost.
//!
//! **Invariant:** nothing here depends on time or chance but the seconds that it prints.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench measures time, prints, and may stop at any surprise"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use purser_api::scenario::{Scenario, ScenarioType, Written, of_manifests, read_scenario};
use purser_engine::schedule::{self, Problem, Rules};
use purser_instances::{Catalogue, Site};
use serde_json::{Value, json};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    println!(
        "{:<34}{:>7}{:>9}{:>10}{:>12}{:>12}{:>8}",
        "mix, 709 types of EC2", "nodes", "USD/h", "bound", "first pass", "gap, %", "s"
    );
    for (name, pods, draw) in MIXES {
        if is_wanted(name) {
            mix(name, *pods, *draw);
        }
    }
    if is_wanted("corpus") {
        corpus();
    }
}

/// A mix: its name, how many pods, and what the next asks for, in thousandths of a core and MiB.
type Mix = (&'static str, usize, fn(&mut Chance) -> (usize, usize));

const MIXES: &[Mix] = &[
    ("Karpenter's sizes, 300 pods", 300, sizes_of_karpenter),
    ("Karpenter's sizes, 1,000 pods", 1_000, sizes_of_karpenter),
    ("Karpenter's sizes, 10,000 pods", 10_000, sizes_of_karpenter),
    ("20 workloads, 1,000 pods", 1_000, |chance| workload(chance, 20)),
    ("20 workloads, 5,000 pods", 5_000, |chance| workload(chance, 20)),
    ("cores or memory, 1,000 pods", 1_000, cores_or_memory),
    ("all different, 200 pods", 200, all_different),
    ("all different, 1,000 pods", 1_000, all_different),
    ("large, 200 pods", 200, |chance| (4_000 + chance.below(80) * 250, 8_192 + chance.below(120) * 1_024)),
];

/// The sizes that Karpenter's benchmark draws from.
fn sizes_of_karpenter(chance: &mut Chance) -> (usize, usize) {
    let cores = [100, 250, 500, 1_000, 1_500][chance.below(5)];
    (cores, [100, 256, 512, 1_024, 2_048, 4_096][chance.below(6)])
}

/// The size of one of so many workloads, which is a function of its number.
fn workload(chance: &mut Chance, many: usize) -> (usize, usize) {
    let mut own = Chance(chance.below(many) as u64 * 7_919);
    (100 + own.below(40) * 50, 128 << own.below(6))
}

fn cores_or_memory(chance: &mut Chance) -> (usize, usize) {
    match chance.below(2) {
        0 => (2_000 + chance.below(8) * 250, 256 + chance.below(4) * 256),
        _ => (100 + chance.below(4) * 100, 4_096 + chance.below(14) * 2_048),
    }
}

fn all_different(chance: &mut Chance) -> (usize, usize) {
    (50 + chance.below(3_950), 64 + chance.below(16_000))
}

/// Numbers that look drawn by lot (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, many: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % many as u64) as usize
    }
}

fn mix(name: &str, pods: usize, draw: fn(&mut Chance) -> (usize, usize)) {
    let scenario = scenario(pods, draw);
    let start = Instant::now();
    let solved = purser::solve::solve(&scenario);
    let seconds = start.elapsed().as_secs_f64();
    assert!(solved.solution.pod_errors.is_empty(), "{name}: every pod has a place");
    let first = purser::solve::with_problem(&scenario, |problem| {
        let rules = Rules { work: 0, ..problem.rules.clone() };
        let plan = schedule::solve(&Problem { rules: &rules, ..*problem });
        plan.launches.iter().map(|launch| launch.types[0].price.0 as f64 / 1e9).sum::<f64>()
    });
    let (price, bound) = (solved.solution.total_price_per_hour, purser::solve::lower_bound(&solved));
    let nodes = solved.solution.new_node_claims.len();
    let gap = gap(price, bound);
    println!("{name:<34}{nodes:>7}{price:>9.2}{bound:>10.2}{first:>12.2}{gap:>12.2}{seconds:>8.2}");
}

/// By how many percent a price is above another.
fn gap(price: f64, bound: f64) -> f64 {
    (price / bound - 1.0) * 100.0
}

fn scenario(pods: usize, draw: fn(&mut Chance) -> (usize, usize)) -> Scenario {
    let requirement = |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
    let requirements =
        [requirement("karpenter.sh/capacity-type", "on-demand"), requirement("kubernetes.io/arch", "amd64")];
    let class = json!({"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"});
    let template = json!({"spec": {"nodeClassRef": class, "requirements": requirements}});
    let mut items = vec![json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "default"}, "spec": {"template": template},
    })];
    let mut chance = Chance(7);
    for number in 0..pods {
        let (cores, memory) = draw(&mut chance);
        let requests = json!({"cpu": format!("{cores}m"), "memory": format!("{memory}Mi")});
        items.push(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("p{number}"), "namespace": "d"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
        }));
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    let (mut scenario, _) = of_manifests(&[("mix".into(), list)]).unwrap();
    let catalogue = Catalogue::from_facts(&purser_instances::built_in_facts(), &Site::default());
    scenario.types = Arc::new(ScenarioType::all(&catalogue.into_types()));
    scenario
}

/// All entries of a folder of the corpus, against Karpenter's answers to them.
fn corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/scheduling");
    if !folder.is_dir() {
        println!("\nSKIPPED: there is no corpus at {}", folder.display());
        return;
    }
    println!(
        "\n{:<22}{:>9}{:>12}{:>12}{:>10}{:>10}{:>11}{:>11}{:>11}",
        "corpus", "entries", "mean ratio", "worst", "equal", "cheaper", "within 2 %", "median gap", "9 of 10"
    );
    for name in ["suite", "generated"] {
        let mut ratios = Vec::new();
        let mut gaps = Vec::new();
        for path in files(&folder.join(name)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let entry: Value = serde_json::from_str(&text).unwrap();
            let find = |name: &str| {
                let file = folder.join("catalogues").join(format!("{name}.json"));
                Ok(Arc::new(serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()))
            };
            let (scenario, _) = read_scenario("corpus", &Written::find(&text).unwrap(), &find).unwrap();
            let solved = purser::solve::solve(&scenario);
            let price = solved.solution.total_price_per_hour;
            let bound = purser::solve::lower_bound(&solved);
            // What is free on nodes that are there makes a bound of next to nothing.
            if bound > 0.0 && scenario.nodes.is_empty() && scenario.claims.is_empty() {
                gaps.push(gap(price, bound));
            }
            let theirs = entry["expected"]["totalPricePerHour"].as_f64().unwrap_or_default();
            let left = entry["expected"]["podErrors"].as_object().map_or(0, serde_json::Map::len);
            if theirs > 0.0 && left == solved.solution.pod_errors.len() {
                ratios.push(price / theirs);
            }
        }
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let worst = |of: &[f64]| of.iter().copied().fold(f64::MIN, f64::max);
        gaps.sort_by(f64::total_cmp);
        let count = |is: fn(&f64) -> bool| ratios.iter().filter(|ratio| is(ratio)).count();
        println!(
            "{name:<22}{:>9}{:>12.4}{:>12.4}{:>10}{:>10}{:>10.0}%{:>10.1}%{:>10.1}%",
            ratios.len(),
            mean(&ratios),
            worst(&ratios),
            count(|ratio| (ratio - 1.0).abs() < 1e-9),
            count(|ratio| *ratio < 1.0 - 1e-9),
            gaps.iter().filter(|gap| **gap <= 2.0).count() as f64 / gaps.len() as f64 * 100.0,
            gaps[gaps.len() / 2],
            gaps[gaps.len() * 9 / 10],
        );
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    all.sort();
    all
}
