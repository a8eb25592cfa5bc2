//! A control plane that runs.
//!
//! **Invariant:** the guard knows of every program that runs, and of none that has ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::PlaneError;
use crate::binaries::{Binaries, Component, tail};
use crate::guard::Guard;
use crate::pki::{Pki, TOKEN};

/// Far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The ports of a control plane.
#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: u16,
    peers: u16,
    api: u16,
}

/// A control plane that runs; it ends when this is dropped.
pub struct Plane {
    binaries: Binaries,
    folder: PathBuf,
    ports: Ports,
    pki: Pki,
    /// Further arguments, which win over those given here.
    extra: Vec<(Component, String)>,
    running: BTreeMap<Component, Child>,
    guard: Guard,
}

/// What was stored at some moment. It takes a hundred megabytes, until it is dropped.
pub struct Snapshot {
    data: tempfile::TempDir,
}

impl Plane {
    /// Starts a control plane and waits until it takes pods.
    ///
    /// # Errors
    /// If the programs are not there, or do not start.
    pub async fn start() -> Result<Self, PlaneError> {
        Self::start_with(&[]).await
    }

    /// Starts a control plane with further arguments for its programs.
    ///
    /// # Errors
    /// If the programs are not there, or do not start.
    pub async fn start_with(extra: &[(Component, &str)]) -> Result<Self, PlaneError> {
        let found = tokio::task::spawn_blocking(Binaries::find).await;
        let binaries = found.map_err(|error| PlaneError::Build(error.to_string()))??;
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Self::start_once(binaries.clone(), extra).await {
                // Somebody may have taken one of the ports in between.
                Err(PlaneError::Ended { .. }) if attempts < 3 => {}
                done => return done,
            }
        }
    }

    async fn start_once(binaries: Binaries, extra: &[(Component, &str)]) -> Result<Self, PlaneError> {
        let folder = tempfile::Builder::new()
            .prefix("purser-plane-")
            .tempdir()
            .map_err(PlaneError::io("making a folder for the control plane"))?
            // The guard removes it.
            .keep();
        let guard = Guard::start(&folder)?;
        let mut plane = Self {
            pki: Pki::make(&folder)?,
            binaries,
            ports: Ports::free()?,
            extra: extra.iter().map(|(program, argument)| (*program, (*argument).to_owned())).collect(),
            running: BTreeMap::new(),
            guard,
            folder,
        };
        let path = plane.kubeconfig();
        fs::write(&path, plane.kubeconfig_json().to_string())
            .map_err(PlaneError::io("writing the kubeconfig"))?;
        plane.spawn_all().await?;
        plane.wait_until_pods_are_taken().await?;
        Ok(plane)
    }

    /// The path of a kubeconfig of somebody who may do everything.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// A client of somebody who may do everything. It belongs to the runtime that it is made in.
    ///
    /// # Errors
    /// If the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client, PlaneError> {
        let kubeconfig: Kubeconfig =
            serde_json::from_value(self.kubeconfig_json()).map_err(PlaneError::client)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        Client::try_from(config.map_err(PlaneError::client)?).map_err(PlaneError::client)
    }

    /// Installs CustomResourceDefinitions and waits until they are served.
    ///
    /// # Errors
    /// If one of them is refused, or is not structural.
    pub async fn install(&mut self, definitions: impl IntoIterator<Item = Value>) -> Result<(), PlaneError> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client().await?);
        for definition in definitions {
            let definition = serde_json::from_value(definition).map_err(PlaneError::client)?;
            let created =
                api.create(&PostParams::default(), &definition).await.map_err(PlaneError::client)?;
            let name = created.metadata.name.unwrap_or_default();
            let is = |definition: &CustomResourceDefinition, kind: &str| {
                let conditions =
                    definition.status.iter().flat_map(|status| status.conditions.iter().flatten());
                conditions.filter(|one| one.status == "True").any(|one| one.type_ == kind)
            };
            let served = async || api.get(&name).await.is_ok_and(|definition| is(&definition, "Established"));
            self.wait("a CustomResourceDefinition that is served", served).await?;
            let definition = api.get(&name).await.map_err(PlaneError::client)?;
            if is(&definition, "NonStructuralSchema") {
                return Err(PlaneError::client(format!("the schema of {name} is not structural")));
            }
        }
        Ok(())
    }

    /// Ends a program at once, as a machine that fails does.
    ///
    /// # Errors
    /// If it cannot be ended.
    pub fn kill(&mut self, program: Component) -> Result<(), PlaneError> {
        let Some(mut process) = self.running.remove(&program) else { return Ok(()) };
        let what = format!("ending {}", program.name());
        process.kill().and_then(|()| process.wait()).map_err(PlaneError::io(what))?;
        self.guard.forget(process.id())
    }

    /// Gives a program another argument, from its next start on.
    pub fn add_argument(&mut self, program: Component, argument: impl Into<String>) {
        self.extra.push((program, argument.into()));
    }

    /// Runs a program that was ended, and waits until the API server answers if it is one that this takes.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn run(&mut self, program: Component) -> Result<(), PlaneError> {
        if !self.running.contains_key(&program) {
            self.spawn(program)?;
        }
        let stored = [Component::Etcd, Component::ApiServer];
        match stored.contains(&program) && stored.iter().all(|program| self.running.contains_key(program)) {
            true => self.wait_until_serving().await,
            false => Ok(()),
        }
    }

    /// Keeps what is stored now. Etcd is away while it is copied.
    ///
    /// # Errors
    /// If it cannot be copied, or etcd does not come back.
    pub async fn snapshot(&mut self) -> Result<Snapshot, PlaneError> {
        self.kill(Component::Etcd)?;
        let kept = tempfile::Builder::new().prefix("snapshot-").tempdir_in(&self.folder);
        let data = kept.map_err(PlaneError::io("making a folder for a snapshot"))?;
        copy(&self.data(), data.path()).map_err(PlaneError::io("copying what is stored"))?;
        self.run(Component::Etcd).await?;
        Ok(Snapshot { data })
    }

    /// Goes back to what was stored then, as after a loss of etcd: revisions are given out anew.
    ///
    /// All programs start again, since those of Kubernetes do not expect time to go back.
    ///
    /// # Errors
    /// If it cannot be copied, or the programs do not come back.
    pub async fn restore(&mut self, snapshot: &Snapshot) -> Result<(), PlaneError> {
        for program in Component::ALL.into_iter().rev() {
            self.kill(program)?;
        }
        let data = self.data();
        fs::remove_dir_all(&data)
            .and_then(|()| copy(snapshot.data.path(), &data))
            .map_err(PlaneError::io("restoring what was stored"))?;
        self.spawn_all().await
    }

    /// The process ids of the programs that run.
    pub fn pids(&self) -> Vec<u32> {
        self.running.values().map(Child::id).collect()
    }

    /// The end of a program's log.
    pub fn log(&self, program: Component) -> String {
        let bytes = fs::read(self.log_path(program)).unwrap_or_default();
        tail(&String::from_utf8_lossy(&bytes))
    }

    fn log_path(&self, program: Component) -> PathBuf {
        self.folder.join(format!("{}.log", program.name()))
    }

    fn data(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    fn kubeconfig_json(&self) -> Value {
        let server = format!("https://127.0.0.1:{}", self.ports.api);
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "plane",
            "clusters": [{"name": "plane", "cluster": {
                "server": server, "certificate-authority": self.pki.authority(),
            }}],
            "users": [{"name": "plane", "user": {"token": TOKEN}}],
            "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": "plane"}}],
        })
    }

    async fn spawn_all(&mut self) -> Result<(), PlaneError> {
        self.spawn(Component::Etcd)?;
        self.spawn(Component::ApiServer)?;
        // The controller manager gives up if the API server takes long, as it does on a busy machine.
        self.wait_until_serving().await?;
        self.spawn(Component::ControllerManager)?;
        self.spawn(Component::Scheduler)
    }

    fn spawn(&mut self, program: Component) -> Result<(), PlaneError> {
        let what = || format!("starting {}", program.name());
        let log = File::options().create(true).append(true).open(self.log_path(program));
        let log = log.map_err(PlaneError::io(what()))?;
        let extra = self.extra.iter().filter(|(of, _)| *of == program).map(|(_, argument)| argument.clone());
        let process = Command::new(self.binaries.path(program))
            .args(self.arguments(program))
            .args(extra)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(PlaneError::io(what()))?)
            .stderr(log)
            // What ends a test run from the terminal leaves the ending of these to the guard.
            .process_group(0)
            .spawn()
            .map_err(PlaneError::io(what()))?;
        self.guard.add(process.id())?;
        self.running.insert(program, process);
        Ok(())
    }

    fn arguments(&self, program: Component) -> Vec<String> {
        let Ports { etcd, peers, api } = self.ports;
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let key = self.pki.accounts_key();
        let argument = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        let kubeconfig = argument("kubeconfig", &self.kubeconfig().display());
        let one_of_its_kind = ["--leader-elect=false", "--secure-port=0"].map(str::to_owned);
        match program {
            Component::Etcd => vec![
                argument("name", &"plane"),
                argument("data-dir", &self.data().display()),
                argument("listen-client-urls", &at(etcd)),
                argument("advertise-client-urls", &at(etcd)),
                argument("listen-peer-urls", &at(peers)),
                argument("initial-advertise-peer-urls", &at(peers)),
                argument("initial-cluster", &format!("plane={}", at(peers))),
                argument("log-level", &"warn"),
                // What is lost with the machine is of no use to a test.
                "--unsafe-no-fsync".to_owned(),
            ],
            Component::ApiServer => vec![
                argument("etcd-servers", &at(etcd)),
                argument("bind-address", &"127.0.0.1"),
                argument("advertise-address", &"127.0.0.1"),
                argument("secure-port", &api),
                argument("tls-cert-file", &self.pki.server().display()),
                argument("tls-private-key-file", &self.pki.server_key().display()),
                argument("token-auth-file", &self.pki.tokens().display()),
                argument("authorization-mode", &"Node,RBAC"),
                argument("service-account-issuer", &"https://kubernetes.default.svc"),
                argument("service-account-key-file", &self.pki.accounts_public_key().display()),
                argument("service-account-signing-key-file", &key.display()),
                argument("service-cluster-ip-range", &"10.0.0.0/24"),
                // It would refuse to make endpoints of a loopback address.
                argument("endpoint-reconciler-type", &"none"),
                "--allow-privileged".to_owned(),
            ],
            Component::ControllerManager => [
                kubeconfig,
                argument("service-account-private-key-file", &key.display()),
                argument("root-ca-file", &self.pki.authority().display()),
                // Nobody sends heartbeats for the nodes, and they are to stay ready all the same.
                argument("node-monitor-grace-period", &"1h"),
            ]
            .into_iter()
            .chain(one_of_its_kind)
            .collect(),
            Component::Scheduler => [kubeconfig].into_iter().chain(one_of_its_kind).collect(),
        }
    }

    async fn wait_until_serving(&mut self) -> Result<(), PlaneError> {
        let client = self.client().await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        // What starts next waits ten seconds for it to be healthy, which on a busy machine it may not be for longer.
        let is_healthy = async || {
            let mut asked = http::Request::new(Vec::new());
            *asked.uri_mut() = http::Uri::from_static("/healthz");
            client.request_text(asked).await.is_ok()
        };
        self.wait("an API server that answers", async || {
            is_healthy().await && namespaces.get("default").await.is_ok()
        })
        .await
    }

    /// Pods are refused until their namespace has its service account.
    async fn wait_until_pods_are_taken(&mut self) -> Result<(), PlaneError> {
        let client = self.client().await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, "default");
        self.wait("the default service account", async || accounts.get("default").await.is_ok()).await
    }

    async fn wait(&mut self, what: &'static str, done: impl AsyncFn() -> bool) -> Result<(), PlaneError> {
        const PAUSE: Duration = Duration::from_millis(100);
        /// A request hangs for as long as etcd is away.
        const REQUEST: Duration = Duration::from_secs(5);
        let mut waited = Duration::ZERO;
        while waited < PATIENCE {
            match tokio::time::timeout(REQUEST, done()).await {
                Ok(true) => return Ok(()),
                Ok(false) => waited += PAUSE,
                Err(_) => waited += REQUEST,
            }
            for (program, process) in &mut self.running {
                if let Ok(Some(_)) = process.try_wait() {
                    let program = *program;
                    return Err(PlaneError::Ended { program, log: self.log(program) });
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(PlaneError::TooLate { what, waited, log: self.log(Component::ApiServer) })
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        for process in self.running.values_mut() {
            // If it has ended already, so much the better.
            let _ = process.kill().and_then(|()| process.wait());
        }
        self.guard.end();
    }
}

impl Ports {
    /// Ports that nobody has at this moment.
    fn free() -> Result<Self, PlaneError> {
        let listen = || TcpListener::bind("127.0.0.1:0");
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        // All at once, for a port that was given back may be given out again.
        let find = || {
            let (etcd, peers, api) = (listen()?, listen()?, listen()?);
            Ok(Self { etcd: port(&etcd)?, peers: port(&peers)?, api: port(&api)? })
        };
        find().map_err(PlaneError::io("looking for free ports"))
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => fs::copy(entry.path(), target).map(|_| ())?,
        }
    }
    Ok(())
}
