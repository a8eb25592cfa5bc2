//! `purser run` at scale, against a real API server: how soon pods run, what a launch waits for, what it costs in requests, memory and time.
//!
//! `cargo bench -p purser --features cluster --bench cluster`; `PURSER_BENCH_PODS` and `PURSER_BENCH_NODES` say how large (20,000 and 2,000
//! if not), `PURSER_BENCH=quick` is a hundredth of that. With `-- scale` or `-- windows` it is one part only. The control plane and the stand-in for kubelets take their part of the same machine.
//!
//! **Invariant:** what is measured is the program as it is installed: it is started with its command line and looked at from outside.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench measures time, prints, and may stop at any surprise"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use purser_plane::{Component, Plane};
use serde_json::{Value, json};

/// Sizes of the bursts of pods for which nodes are counted.
const BURSTS: [usize; 3] = [12, 100, 500];

/// Pods of one kind, of which each needs a node of its own: what a launch waits for.
const PROBES: usize = 50;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let parts: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|one| one == part);
    if wants("scale") {
        scale().await;
    }
    if wants("windows") {
        windows().await;
    }
}

/// Many pods at once, with what single ones wait for before and after.
async fn scale() {
    let quick = std::env::var("PURSER_BENCH").is_ok_and(|how| how == "quick");
    let size = |name: &str, full: usize| {
        let given = std::env::var(name).ok().map(|text| text.parse().unwrap());
        given.unwrap_or(if quick { full / 100 } else { full })
    };
    let (pods, nodes) = (size("PURSER_BENCH_PODS", 20_000), size("PURSER_BENCH_NODES", 2_000));
    // As quick as the machine allows: by default they make 20 pods a second, and bind 50.
    let fast = ["--kube-api-qps=2000", "--kube-api-burst=4000"];
    let of = |program| fast.map(|argument| (program, argument));
    let extra: Vec<_> =
        of(Component::ControllerManager).into_iter().chain(of(Component::Scheduler)).collect();
    let mut plane = Plane::start_with(&extra).await.unwrap_or_else(|error| panic!("{error}"));
    plane.install(purser_api::crd::definitions().into_iter().map(|one| one.object)).await.unwrap();
    let client = plane.client().await.unwrap();
    prepare(&client, "Never").await;
    let folder = tempfile::tempdir().unwrap();
    let purser = Purser::start(&plane, folder.path(), &[]);

    println!("one pod after the other, each on a node of its own ({PROBES}):");
    latency(&client).await;
    purser.report("then");

    println!("{pods} pods, room for {nodes} nodes of ten:");
    let before = requests(&client).await;
    let start = Instant::now();
    let each = pods / 20;
    for number in 0..20 {
        create(&client, "apps", "Deployment", Some("default"), deployment(number, each)).await;
    }
    wait(&client, each * 20, start).await;
    let there = node_types(&client).await.values().sum::<usize>();
    println!("  all run after {:.1} s, on {there} nodes", start.elapsed().as_secs_f64());
    let after = requests(&client).await;
    let made: u64 = after.values().sum::<u64>() - before.values().sum::<u64>();
    println!("  requests to the API server, of all programs: {made}, {:.1} a pod", made as f64 / pods as f64);
    purser.report("at scale");

    println!("one pod after the other again:");
    latency(&client).await;

    let (cpu, kubelets) = (purser.cpu(), purser.cpu_of_kubelets());
    let idle = Duration::from_secs(60);
    tokio::time::sleep(idle).await;
    let share = |used: Duration| used.as_secs_f64() / idle.as_secs_f64() * 100.0;
    let (all, kubelets) = (share(purser.cpu() - cpu), share(purser.cpu_of_kubelets() - kubelets));
    println!(
        "idle for a minute: {:.2} % of a core, and {kubelets:.2} % for the stand-in for {there} kubelets",
        all - kubelets
    );
    purser.report("in the end");
}

/// Whether short windows for gathering pods cost nodes: bursts of pods that come at the pace of an ordinary control plane, with the windows as
/// they are and with Karpenter's.
async fn windows() {
    let karpenter: &[&str] = &["--batch-idle-duration=1s", "--batch-max-duration=10s"];
    for (whose, arguments) in [("our windows", [].as_slice()), ("Karpenter's windows", karpenter)] {
        println!("{whose}:");
        let mut plane = Plane::start().await.unwrap_or_else(|error| panic!("{error}"));
        plane.install(purser_api::crd::definitions().into_iter().map(|one| one.object)).await.unwrap();
        let client = plane.client().await.unwrap();
        prepare(&client, "0s").await;
        let folder = tempfile::tempdir().unwrap();
        let _purser = Purser::start(&plane, folder.path(), arguments);
        for (number, pods) in BURSTS.into_iter().enumerate() {
            let start = Instant::now();
            create(&client, "apps", "Deployment", Some("default"), deployment(number, pods)).await;
            wait(&client, pods, start).await;
            let took = start.elapsed().as_secs_f64();
            let types = node_types(&client).await;
            println!(
                "  {pods} pods: {} nodes {types:?}, all run after {took:.1} s",
                types.values().sum::<usize>()
            );
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
            let deployments: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
            deployments.delete(&format!("load-{number}"), &DeleteParams::background()).await.unwrap();
            while !node_types(&client).await.is_empty() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

/// How many nodes there are of each instance type.
async fn node_types(client: &Client) -> BTreeMap<String, usize> {
    let mut types = BTreeMap::new();
    for node in Api::<Node>::all(client.clone()).list_metadata(&ListParams::default()).await.unwrap().items {
        let name = node.labels().get("node.kubernetes.io/instance-type").cloned().unwrap_or_default();
        *types.entry(name).or_default() += 1;
    }
    types
}

/// The controller.
struct Purser(Child);

impl Purser {
    fn start(plane: &Plane, folder: &Path, arguments: &[&str]) -> Self {
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_purser"));
        command.args(["run", "--provider", "kwok", "--journal"]).arg(folder.join("journal"));
        command.args(arguments).arg("--kubeconfig").arg(plane.kubeconfig()).stdout(Stdio::null()).stderr(log);
        Self(command.spawn().unwrap())
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
    }

    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()));
        Self::time_in(&stat.unwrap_or_default())
    }

    /// What the thread that stands in for kubelets used of it.
    fn cpu_of_kubelets(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let stats =
            threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
        stats.filter(|stat| stat.contains("(kubelets)")).map(|stat| Self::time_in(&stat)).sum()
    }

    fn time_in(stat: &str) -> Duration {
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect();
        // utime and stime, in hundredths of a second.
        Duration::from_millis((fields[11] + fields[12]) * 10)
    }

    fn report(&self, when: &str) {
        let (now, most) = (self.status("VmRSS") / 1_024, self.status("VmHWM") / 1_024);
        println!(
            "  {when}: {now} MiB of memory, {most} at most; {:.1} s of a core",
            self.cpu().as_secs_f64()
        );
    }
}

impl Drop for Purser {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A class, and a pool of which empty nodes go after so long.
async fn prepare(client: &Client, consolidate_after: &str) {
    let class = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
        "metadata": {"name": "default"}, "spec": {}});
    create(client, "karpenter.kwok.sh", "KWOKNodeClass", None, class).await;
    let pool = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "general"},
        "spec": {
            "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": consolidate_after,
                "budgets": [{"nodes": "100%"}]},
            "template": {"spec": {
                "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
                "requirements": [
                    {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                    {"key": "karpenter.kwok.sh/instance-size", "operator": "In", "values": ["4", "8"]},
                ],
            }},
        },
    });
    create(client, "karpenter.sh", "NodePool", None, pool).await;
}

async fn create(client: &Client, group: &str, kind: &str, namespace: Option<&str>, manifest: Value) {
    let version = if kind == "KWOKNodeClass" { "v1alpha1" } else { "v1" };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await.unwrap();
}

/// Ten such pods fill a node of 4 or of 8 cores.
fn deployment(number: usize, replicas: usize) -> Value {
    let (cpu, memory) = if number.is_multiple_of(2) { ("380m", "700Mi") } else { ("780m", "1500Mi") };
    let name = format!("load-{number}");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "none",
                    "resources": {"requests": {"cpu": cpu, "memory": memory}}}]},
            },
        },
    })
}

/// How long it takes until a pod is there, and from then until its NodeClaim is, and until the pod runs.
async fn latency(client: &Client) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("karpenter.sh", "v1", "NodeClaim"));
    let claims: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let (mut made, mut launched, mut running) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..PROBES {
        let listed = claims.list_metadata(&ListParams::default()).await.unwrap();
        let version = listed.metadata.resource_version.unwrap();
        let mut seen = std::pin::pin!(claims.watch(&WatchParams::default(), &version).await.unwrap());
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": format!("probe-{number}-"), "labels": {"app": "probe"}},
            "spec": {
                "containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": "1"}}}],
                "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"labelSelector": {"matchLabels": {"app": "probe"}}, "topologyKey": "kubernetes.io/hostname"}]}},
            },
        }))
        .unwrap();
        let asked = Instant::now();
        let pod = pods.create(&PostParams::default(), &pod).await.unwrap();
        made.push(asked.elapsed());
        let start = Instant::now();
        // A node with room may be there already: then nothing is launched for it.
        let launch = async {
            while let Some(event) = seen.next().await {
                if matches!(event, Ok(WatchEvent::Added(_))) {
                    return start.elapsed();
                }
            }
            panic!("the watch of NodeClaims ended");
        };
        let runs = async {
            loop {
                let pod = pods.get(&pod.name_any()).await.unwrap();
                if pod.status.and_then(|status| status.phase).as_deref() == Some("Running") {
                    return start.elapsed();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let (launch, ran) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), launch), runs);
        launched.extend(launch.ok());
        running.push(ran);
    }
    for (what, mut times) in [
        ("from the request for a pod until it is there", made),
        ("from then until its NodeClaim is", launched),
        ("... until it runs", running),
    ] {
        times.sort();
        let at =
            |part: usize| times.get((times.len() * part / 100).min(times.len() - 1)).unwrap().as_millis();
        println!("  {what}: p50 {} ms, p99 {} ms ({})", at(50), at(99), times.len());
    }
}

/// Waits until so many pods run.
async fn wait(client: &Client, wanted: usize, start: Instant) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let mut said = Instant::now();
    loop {
        let mut running = 0;
        let mut params = ListParams::default().fields("status.phase=Running").limit(2_000);
        loop {
            let page = pods.list_metadata(&params).await.unwrap();
            running += page.items.iter().filter(|pod| pod.name_any().starts_with("load-")).count();
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
        if running >= wanted {
            return;
        }
        if said.elapsed() > Duration::from_secs(15) {
            println!("  {running} run after {:.0} s", start.elapsed().as_secs_f64());
            said = Instant::now();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The API server's own count of requests, by verb and resource.
async fn requests(client: &Client) -> BTreeMap<String, u64> {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = client.request_text(request).await.unwrap();
    let mut counts = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
        let (labels, value) = line.rsplit_once(' ').unwrap();
        let label = |name: &str| {
            let start = labels.find(&format!("{name}=\"")).map(|at| at + name.len() + 2)?;
            labels[start..].split('"').next()
        };
        let key = format!("{} {}", label("verb").unwrap_or_default(), label("resource").unwrap_or_default());
        *counts.entry(key).or_default() += value.parse::<f64>().unwrap() as u64;
    }
    counts
}
