//! What surrounds the controller: its Lease, its ports, the Events that it writes.

mod deploy;
mod lease;
mod metrics;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use purser_plane::Plane;
use serde_json::{Value, json};

use crate::{any, create, plane, purser_run};

/// A replica of the controller; killed with the test, if it does not end before.
struct Replica {
    child: Child,
    metrics: u16,
    health: u16,
    log: PathBuf,
}

impl Replica {
    /// Starts one of this host name, with a journal of this name in the folder.
    fn start(plane: &Plane, folder: &Path, host: &str, journal: &str) -> Self {
        Self::start_with(&plane.kubeconfig(), folder, host, journal)
    }

    fn start_with(kubeconfig: &Path, folder: &Path, host: &str, journal: &str) -> Self {
        let [metrics, health] = free_ports();
        let log = folder.join(format!("{host}.log"));
        let mut command = purser_run(kubeconfig, &folder.join(journal), [metrics, health]);
        // With all that it can watch.
        command.env("HOSTNAME", host).env("IGNORE_DRA_REQUESTS", "false").env("POD_METRICS", "true");
        command.args(["--leader-election-lease-duration", "3s", "--leader-election-renew-deadline", "2s"]);
        command.args(["--leader-election-retry-period", "300ms"]);
        let child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        Self { child, metrics, health, log }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    fn stop(mut self) -> ExitStatus {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap()
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two ports that nobody has at the moment.
fn free_ports() -> [u16; 2] {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = [listen(), listen()];
    taken.each_ref().map(|listener| listener.local_addr().unwrap().port())
}

/// The status and the body of what is at a path; nothing if nobody answers.
fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}

fn deployments(client: &Client) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    Api::default_namespaced_with(client.clone(), &resource)
}

/// A class, and a pool of it.
async fn pool(client: &Client) {
    let class = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
        "metadata": {"name": "default"}, "spec": {}});
    create(&any(client, "karpenter.kwok.sh", "v1alpha1", "KWOKNodeClass"), class).await;
    let pool = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "general"},
        "spec": {
            "limits": {"cpu": "100"},
            "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "1s"},
            "template": {"spec": {
                "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
                "requirements": [
                    {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                    {"key": "karpenter.kwok.sh/instance-size", "operator": "Lt", "values": ["5"]},
                ],
            }},
        },
    });
    create(&any(client, "karpenter.sh", "v1", "NodePool"), pool).await;
}

/// A deployment of pods that each want a CPU.
async fn deployment(client: &Client, name: &str, replicas: u32, more: Value) {
    let mut spec = json!({"containers": [
        {"name": "c", "image": "none", "resources": {"requests": {"cpu": "1"}}}]});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    create(
        &deployments(client),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
        }),
    )
    .await;
}

/// How many pods of a deployment run.
async fn running(client: &Client, name: &str) -> usize {
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::default_namespaced(client.clone());
    let own = ListParams::default().labels(&format!("app={name}"));
    let runs = |phase: Option<String>| phase.as_deref() == Some("Running");
    let pods = pods.list(&own).await.unwrap().items;
    pods.into_iter().filter(|pod| runs(pod.status.as_ref().and_then(|status| status.phase.clone()))).count()
}

/// Waits until something holds; if it does not come about, shows what the replicas said.
async fn until(what: &str, replicas: &[&Replica], holds: impl AsyncFn() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said: Vec<String> = replicas.iter().map(|replica| replica.said()).collect();
    panic!("{what} did not come about; the replicas said:\n{}", said.join("\n----\n"));
}
