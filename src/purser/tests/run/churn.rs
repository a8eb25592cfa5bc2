//! Churn: pods, claims and nodes come and go at random while the controller is killed and the API server fails.
//!
//! `PURSER_CHURN_SECONDS` says for how long (15 if not), `PURSER_CHURN_SEED` what happens. What fails says its seed, which is then
//! kept in the list of its case.
//!
//! **Invariant:** whatever happens, no launch has two instances, budgets of pods are kept, and in the end nothing is left and the journal
//! is right.

use std::collections::BTreeSet;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::SignedDuration;
use kube::api::DeleteParams;
use purser_plane::{Component, Snapshot};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::case::{Case, deployment, is_running, pool};
use super::faults::Faults;
use super::*;

/// What goes wrong besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The controller is killed.
    Kills,
    /// The API server is too.
    Outages,
    /// What is stored goes back to what it was a while ago.
    Past,
    /// Requests are refused, late or lost, watches break, and others write too.
    Faults,
    /// The API server's clock is ahead, or behind.
    Skew,
    /// There are two controllers, each with a journal of its own, and the Lease changes hands.
    Replicas,
}

/// Pods of the workload whose budget is watched, and how many of them may be missing.
const KEPT: usize = 6;
const MISSING: usize = 1;

const WORKLOADS: usize = 5;

const REPLICAS: [&str; 2] = ["left", "right"];

#[tokio::test]
async fn a_controller_that_is_killed_again_and_again_launches_nothing_twice_and_leaves_nothing() {
    churn(Trouble::Kills, &[7]).await;
}

#[tokio::test]
async fn an_api_server_that_comes_and_goes_costs_nothing_but_time() {
    churn(Trouble::Outages, &[7]).await;
}

#[tokio::test]
async fn a_cluster_that_goes_back_in_time_is_taken_as_it_is() {
    churn(Trouble::Past, &[7]).await;
}

#[tokio::test]
async fn requests_that_fail_and_others_who_write_cost_nothing_but_time() {
    churn(Trouble::Faults, &[7]).await;
}

#[tokio::test]
async fn a_clock_that_is_off_costs_nothing() {
    churn(Trouble::Skew, &[7]).await;
}

#[tokio::test]
async fn two_controllers_that_take_turns_launch_nothing_twice_and_leave_nothing() {
    churn(Trouble::Replicas, &[7]).await;
}

async fn churn(trouble: Trouble, seeds: &[u64]) {
    let given = number("PURSER_CHURN_SEED");
    for seed in given.as_ref().map_or(seeds, std::slice::from_ref) {
        churn_once(trouble, *seed).await;
    }
}

/// Says which seed it was, if it fails.
struct Seed(Trouble, u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:?} fails with PURSER_CHURN_SEED={}", self.0, self.1);
        }
    }
}

async fn churn_once(trouble: Trouble, seed: u64) {
    let _seed = Seed(trouble, seed);
    let lasting = Duration::from_secs(number("PURSER_CHURN_SECONDS").unwrap_or(15));
    let sizes = json!([{"key": "karpenter.kwok.sh/instance-size", "operator": "In", "values": ["2", "4", "8"]},
        {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]);
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "kept"},
        "spec": {"maxUnavailable": MISSING, "selector": {"matchLabels": {"app": "kept"}}}});
    let mut world = World::start(Case::prepare(&[], "", &[pool(sizes), budget]).await, trouble, seed).await;
    world.case.make(deployment("kept", KEPT as u32, "900m", json!({}))).await;
    for number in 0..WORKLOADS {
        let cpu = ["250m", "500m", "900m", "1500m", "3"][number % 5];
        world.case.make(deployment(&format!("load-{number}"), 0, cpu, json!({}))).await;
    }
    world.case.runs("app=kept", KEPT).await;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let watching = tokio::spawn(watch(world.case.client.clone(), Arc::clone(&seen), trouble));
    let start = Instant::now();
    while start.elapsed() < lasting {
        tokio::time::sleep(Duration::from_millis(200 + world.chance.below(600))).await;
        world.happen().await;
    }
    world.calm_down().await;
    // What is asked for now comes about, and nothing else.
    for number in 0..WORKLOADS {
        scale(&world.case, &format!("load-{number}"), 2).await;
    }
    for number in 0..WORKLOADS {
        world.case.runs(&format!("app=load-{number}"), 2).await;
    }
    world.case.runs("app=kept", KEPT).await;
    watching.abort();
    world.case.delete("policy/v1", "PodDisruptionBudget", "kept").await;
    for name in (0..WORKLOADS).map(|number| format!("load-{number}")).chain(["kept".to_owned()]) {
        scale(&world.case, &name, 0).await;
    }
    world.case.has_nodes(0).await;
    if trouble == Trouble::Replicas {
        // One that could not renew its Lease in time has left the rest to the other.
        world.case.forget_ended();
    }
    let folder = world.case.stop();
    let seen = seen.lock().await;
    // A claim that is there again, as it was before its launch, is launched again: its instance is gone.
    let check: fn(&Path) -> Launches =
        if trouble == Trouble::Past { decided_again } else { every_decision_is_right };
    let launches: Vec<Launches> = journals(&folder).iter().map(|path| check(path)).collect();
    // While there is no API server, the scheduler hears no more of marks than anybody.
    let lost = launches.iter().flat_map(|log| &log.lost).filter(|pod| pod.name.starts_with("kept-")).count();
    assert!(
        seen.least >= KEPT - MISSING || trouble == Trouble::Outages && lost > 0,
        "only {} of {KEPT} pods were left by their budget",
        seen.least
    );
    let mut decided: BTreeSet<&ClaimName> = BTreeSet::new();
    for claim in launches.iter().flat_map(|log| &log.decided) {
        assert!(decided.insert(claim), "{claim} was decided upon in two logs");
    }
    for node in &seen.nodes {
        assert!(decided.contains(&ClaimName::new(node.as_str())), "nobody decided to launch {node}");
    }
    println!("{trouble:?} with seed {seed}: {} launches, {}", decided.len(), world.happened());
}

/// The journals in a folder, those that were set aside among them.
fn journals(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("identity.json").exists()).collect()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// A case, and what goes wrong in it.
struct World {
    case: Case,
    trouble: Trouble,
    chance: Chance,
    past: Option<Snapshot>,
    faults: Option<Faults>,
    others: Option<tokio::task::JoinHandle<()>>,
    happened: BTreeMap<&'static str, usize>,
}

impl World {
    async fn start(mut case: Case, trouble: Trouble, seed: u64) -> Self {
        let (mut faults, mut others) = (None, None);
        match trouble {
            Trouble::Faults => {
                let server = Faults::before(case.client.clone(), seed, SignedDuration::ZERO).await;
                case.kubeconfig = server.kubeconfig(case.folder());
                faults = Some(server);
                others = Some(tokio::spawn(write_too(case.client.clone(), seed)));
            }
            Trouble::Skew => {
                // Up to an hour, ahead with an even seed.
                let minutes = 1 + Chance(seed).below(60) as i64;
                let skew = SignedDuration::from_mins(if seed.is_multiple_of(2) { minutes } else { -minutes });
                let server = Faults::before(case.client.clone(), seed, skew).await;
                case.kubeconfig = server.kubeconfig(case.folder());
                faults = Some(server);
            }
            Trouble::Replicas => case.arguments.extend(
                [
                    "--leader-election-lease-duration=3s",
                    "--leader-election-renew-deadline=2s",
                    "--leader-election-retry-period=300ms",
                ]
                .map(str::to_owned),
            ),
            _ => {}
        }
        let mut world = Self {
            case,
            trouble,
            chance: Chance(seed),
            past: None,
            faults,
            others,
            happened: BTreeMap::new(),
        };
        if trouble == Trouble::Replicas {
            REPLICAS.into_iter().for_each(|one| world.case.restart_on(one));
        } else {
            world.case.arguments.push("--disable-leader-election".to_owned());
            world.case.restart();
        }
        if let (Trouble::Faults, Some(faults)) = (trouble, &world.faults) {
            faults.strike(true);
        }
        world
    }

    /// Something happens.
    async fn happen(&mut self) {
        let what = match (self.chance.below(12), self.trouble) {
            (0 | 1, _) => self.any_of("karpenter.sh/v1", "NodeClaim").await,
            (2, _) => self.any_of("v1", "Node").await,
            (3, Trouble::Replicas) => {
                let one = REPLICAS[self.chance.below(2) as usize];
                self.case.restart_on(one);
                "kills"
            }
            (4 | 5, Trouble::Replicas) => {
                let leases: Api<Lease> = Api::namespaced(self.case.client.clone(), "kube-system");
                let theirs = Patch::Merge(json!({"spec": {"holderIdentity": "somebody_else"}}));
                // There may be none yet.
                let _ = leases.patch("karpenter-leader-election", &PatchParams::default(), &theirs).await;
                "leases taken away"
            }
            (3 | 4, _) => {
                self.case.restart();
                "kills"
            }
            (5, Trouble::Outages) => {
                self.case.plane().kill(Component::ApiServer).unwrap();
                tokio::time::sleep(Duration::from_millis(500 + self.chance.below(2_500))).await;
                self.case.plane().run(Component::ApiServer).await.unwrap();
                "outages"
            }
            (5 | 6, Trouble::Past) => match self.past.take() {
                Some(past) => {
                    self.case.plane().restore(&past).await.unwrap();
                    "ways back"
                }
                None => {
                    self.past = Some(self.case.plane().snapshot().await.unwrap());
                    "snapshots"
                }
            },
            _ => {
                let name = format!("load-{}", self.chance.below(WORKLOADS as u64));
                scale(&self.case, &name, self.chance.below(16)).await;
                "changes of scale"
            }
        };
        *self.happened.entry(what).or_default() += 1;
        self.revive();
    }

    /// Starts controllers again that have ended, as Kubernetes does: they lost their Lease, or found no API server.
    fn revive(&mut self) {
        let all: &[&'static str] = if self.trouble == Trouble::Replicas { &REPLICAS } else { &["journal"] };
        for one in all {
            if !self.case.is_running(one) {
                self.case.restart_on(one);
            }
        }
    }

    /// Nothing goes wrong any more.
    async fn calm_down(&mut self) {
        if let Some(past) = self.past.take() {
            self.case.plane().restore(&past).await.unwrap();
            *self.happened.entry("ways back").or_default() += 1;
        }
        if let Some(faults) = &self.faults {
            faults.strike(false);
        }
        if let Some(others) = self.others.take() {
            others.abort();
        }
        if matches!(self.trouble, Trouble::Outages | Trouble::Past) {
            // After many failures it tries again only after up to a quarter of an hour.
            self.case.plane().kill(Component::ControllerManager).unwrap();
            self.case.plane().run(Component::ControllerManager).await.unwrap();
        }
        if self.trouble == Trouble::Replicas {
            // Nobody starts them again from now on: they get the times that a busy machine keeps.
            self.case.arguments.retain(|argument| !argument.starts_with("--leader-election-"));
            REPLICAS.into_iter().for_each(|one| self.case.restart_on(one));
        }
        // The one that loses its Lease last may not have ended yet.
        tokio::time::sleep(Duration::from_secs(3)).await;
        self.revive();
    }

    /// Deletes any one object of a kind by hand, if there is one.
    async fn any_of(&mut self, api_version: &str, kind: &str) -> &'static str {
        let api = self.case.api(api_version, kind);
        let all = api.list_metadata(&ListParams::default()).await.unwrap().items;
        if !all.is_empty() {
            let one = all[self.chance.below(all.len() as u64) as usize].name_any();
            // It may have gone meanwhile.
            let _ = api.delete(&one, &DeleteParams::default()).await;
        }
        "deletions by hand"
    }

    fn happened(&self) -> String {
        let struck = self.faults.as_ref().map_or(0, Faults::struck);
        format!("{:?}, {struck} requests that failed", self.happened)
    }
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

/// Somebody who changes nodes and claims all the time, so that others who change them find them changed.
async fn write_too(client: Client, seed: u64) {
    let mut chance = Chance(seed ^ 1);
    let nodes = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::erase::<Node>(&()));
    let claims = any(&client, "karpenter.sh", "v1", "NodeClaim");
    loop {
        for api in [&nodes, &claims] {
            let all =
                api.list_metadata(&ListParams::default()).await.map_or_else(|_| Vec::new(), |all| all.items);
            for one in all {
                let value = chance.below(1_000).to_string();
                let change =
                    json!({"metadata": {"labels": {"churn": value}, "annotations": {"churn": value}}});
                let _ = api.patch(&one.name_any(), &PatchParams::default(), &Patch::Merge(change)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(chance.below(100))).await;
    }
}

async fn scale(case: &Case, name: &str, replicas: u64) {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    case.api("apps/v1", "Deployment").patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// SplitMix64.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
