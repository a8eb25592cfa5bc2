//! Churn: pods, claims and nodes come and go at random while the controller is killed and the API server fails.
//!
//! `PURSER_CHURN_SECONDS` says for how long (15 if not), `PURSER_CHURN_SEED` what happens.
//!
//! **Invariant:** whatever happens, no launch has two instances, budgets of pods are kept, and in the end nothing is left and the journal
//! is right.

use std::collections::BTreeSet;
use std::time::Instant;

use kube::api::DeleteParams;
use purser_plane::Component;
use tokio::sync::Mutex;

use super::case::{Case, deployment, is_running, pool};
use super::*;

/// What goes wrong besides.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The controller is killed.
    Kills,
    /// The API server is too.
    Outages,
    /// What is stored goes back to what it was a while ago.
    Past,
}

/// Pods of the workload whose budget is watched, and how many of them may be missing.
const KEPT: usize = 6;
const MISSING: usize = 1;

const WORKLOADS: usize = 5;

#[tokio::test]
async fn a_controller_that_is_killed_again_and_again_launches_nothing_twice_and_leaves_nothing() {
    churn(Trouble::Kills).await;
}

#[tokio::test]
async fn an_api_server_that_comes_and_goes_costs_nothing_but_time() {
    churn(Trouble::Outages).await;
}

#[tokio::test]
async fn a_cluster_that_goes_back_in_time_is_taken_as_it_is() {
    churn(Trouble::Past).await;
}

async fn churn(trouble: Trouble) {
    let seed = number("PURSER_CHURN_SEED").unwrap_or(7);
    let lasting = Duration::from_secs(number("PURSER_CHURN_SECONDS").unwrap_or(15));
    let sizes = json!([{"key": "karpenter.kwok.sh/instance-size", "operator": "In", "values": ["2", "4", "8"]},
        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "kept"},
        "spec": {"maxUnavailable": MISSING, "selector": {"matchLabels": {"app": "kept"}}}});
    let mut case = Case::start("", &[pool(sizes), budget]).await;
    case.make(deployment("kept", KEPT as u32, "900m", json!({}))).await;
    for number in 0..WORKLOADS {
        let cpu = ["250m", "500m", "900m", "1500m", "3"][number % 5];
        case.make(deployment(&format!("load-{number}"), 0, cpu, json!({}))).await;
    }
    case.runs("app=kept", KEPT).await;
    let past = match trouble {
        Trouble::Past => Some(case.plane().snapshot().await.unwrap()),
        _ => None,
    };
    let seen = Arc::new(Mutex::new(Seen::default()));
    let watching = tokio::spawn(watch(case.client.clone(), Arc::clone(&seen), trouble));
    let mut chance = Chance(seed);
    let start = Instant::now();
    let mut gone_back = false;
    while start.elapsed() < lasting {
        tokio::time::sleep(Duration::from_millis(200 + chance.below(600))).await;
        match chance.below(12) {
            0 | 1 => any_of(&case, "karpenter.sh/v1", "NodeClaim", &mut chance).await,
            2 => any_of(&case, "v1", "Node", &mut chance).await,
            3 | 4 => case.restart(),
            5 if trouble == Trouble::Outages => {
                case.plane().kill(Component::ApiServer).unwrap();
                tokio::time::sleep(Duration::from_millis(500 + chance.below(2_500))).await;
                case.plane().run(Component::ApiServer).await.unwrap();
            }
            _ => scale(&case, &format!("load-{}", chance.below(WORKLOADS as u64)), chance.below(16)).await,
        }
        if let Some(past) = past.as_ref().filter(|_| !gone_back && start.elapsed() > lasting / 2) {
            case.plane().restore(past).await.unwrap();
            gone_back = true;
        }
    }
    // What is asked for now comes about, and nothing else.
    for number in 0..WORKLOADS {
        scale(&case, &format!("load-{number}"), 2).await;
        case.runs(&format!("app=load-{number}"), 2).await;
    }
    case.runs("app=kept", KEPT).await;
    watching.abort();
    case.delete("policy/v1", "PodDisruptionBudget", "kept").await;
    for name in (0..WORKLOADS).map(|number| format!("load-{number}")).chain(["kept".to_owned()]) {
        scale(&case, &name, 0).await;
    }
    case.has_nodes(0).await;
    let seen = seen.lock().await;
    assert!(seen.least >= KEPT - MISSING, "only {} of {KEPT} pods were left by their budget", seen.least);
    let launched = every_decision_is_right_and_no_claim_is_launched_twice(&case.stop());
    let known: BTreeSet<&str> = launched.values().map(InstanceId::as_str).collect();
    for node in &seen.nodes {
        assert!(known.contains(format!("kwok://{node}").as_str()), "nobody decided to launch {node}");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// What was seen while it lasted.
struct Seen {
    /// The fewest pods of those that have a budget.
    least: usize,
    nodes: BTreeSet<String>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { least: KEPT, nodes: BTreeSet::new() }
    }
}

async fn watch(client: Client, seen: Arc<Mutex<Seen>>, trouble: Trouble) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let nodes: Api<Node> = Api::all(client);
    loop {
        let kept = pods.list(&ListParams::default().labels("app=kept")).await;
        let there = nodes.list(&ListParams::default()).await;
        if let (Ok(kept), Ok(there)) = (kept, there) {
            let left = |pod: &&Pod| is_running(pod) && pod.metadata.deletion_timestamp.is_none();
            let mut seen = seen.lock().await;
            // In a cluster that goes back pods are gone that nobody evicted.
            if trouble != Trouble::Past {
                seen.least = seen.least.min(kept.items.iter().filter(left).count());
            }
            seen.nodes.extend(there.items.iter().map(ResourceExt::name_any));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn scale(case: &Case, name: &str, replicas: u64) {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    case.api("apps/v1", "Deployment").patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// Deletes any one object of a kind by hand, if there is one.
async fn any_of(case: &Case, api_version: &str, kind: &str, chance: &mut Chance) {
    let api = case.api(api_version, kind);
    let all = api.list_metadata(&ListParams::default()).await.unwrap().items;
    if !all.is_empty() {
        let one = all[chance.below(all.len() as u64) as usize].name_any();
        // It may have gone meanwhile.
        let _ = api.delete(&one, &DeleteParams::default()).await;
    }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
