//! A control plane with a class and a controller, and short words for what cases do with them.

use std::path::PathBuf;

use super::*;

/// What a case runs on; all of it ends with it.
pub(super) struct Case {
    pub(super) client: Client,
    folder: tempfile::TempDir,
    gates: String,
    /// By the name of its journal's folder.
    controllers: BTreeMap<&'static str, Controller>,
    /// Further arguments of controllers.
    pub(super) arguments: Vec<String>,
    /// How controllers reach the API server.
    pub(super) kubeconfig: PathBuf,
    plane: Plane,
}

impl Case {
    /// A control plane with these objects besides the class `default`, and a controller with these gates open.
    pub(super) async fn start(gates: &str, objects: &[Value]) -> Self {
        Self::start_without(&[], gates, objects).await
    }

    /// The same, but these definitions are not there.
    pub(super) async fn start_without(missing: &[&str], gates: &str, objects: &[Value]) -> Self {
        let mut case = Self::prepare(missing, gates, objects).await;
        // Cases run side by side, and one that is killed leaves its lease behind.
        case.arguments.push("--disable-leader-election".to_owned());
        case.restart();
        case
    }

    /// The same, before there is a controller.
    pub(super) async fn prepare(missing: &[&str], gates: &str, objects: &[Value]) -> Self {
        let (plane, client) = plane(missing).await;
        let folder = tempfile::tempdir().unwrap();
        let class = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
            "metadata": {"name": "default"}, "spec": {}});
        for object in [&class].into_iter().chain(objects) {
            make(&client, object.clone()).await;
        }
        let (kubeconfig, gates) = (plane.kubeconfig(), gates.to_owned());
        Self { client, folder, gates, controllers: BTreeMap::new(), arguments: Vec::new(), kubeconfig, plane }
    }

    /// Starts the controller, or kills it and starts another.
    pub(super) fn restart(&mut self) {
        self.restart_on("journal");
    }

    /// The same with the controller that has a journal of this name.
    pub(super) fn restart_on(&mut self, journal: &'static str) {
        if let Some(before) = self.controllers.remove(journal) {
            before.kill();
        }
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = purser_run(&self.kubeconfig, &self.folder.path().join(journal), [0, 0]);
        command.args(["--feature-gates", &self.gates]).args(&self.arguments);
        command.env("HOSTNAME", journal).stderr(log);
        self.controllers.insert(journal, Controller(command.spawn().unwrap()));
    }

    /// Whether the controller that has a journal of this name runs.
    pub(super) fn is_running(&mut self, journal: &str) -> bool {
        self.controllers.get_mut(journal).is_some_and(Controller::is_running)
    }

    /// Leaves out of account the controllers that have ended by themselves.
    pub(super) fn forget_ended(&mut self) {
        self.controllers.retain(|_, one| one.is_running());
    }

    /// Stops the controllers in good order; gives the folder with their journals.
    pub(super) fn stop(&mut self) -> PathBuf {
        std::mem::take(&mut self.controllers).into_values().for_each(Controller::stop);
        self.folder.path().to_owned()
    }

    /// The control plane.
    pub(super) fn plane(&mut self) -> &mut Plane {
        &mut self.plane
    }

    /// Where journals and logs are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Installs definitions that were missing.
    pub(super) async fn install(&mut self, names: &[&str]) {
        self.plane.install(definitions().filter(|one| names.contains(&name_of(one)))).await.unwrap();
    }

    /// How many lines of what the controller said have this in them.
    pub(super) fn says(&self, text: &str) -> usize {
        let said = std::fs::read_to_string(self.log()).unwrap();
        said.lines().filter(|line| line.contains(text)).count()
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("log-1")
    }

    pub(super) async fn make(&self, object: Value) {
        make(&self.client, object).await;
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        until(what, self.folder.path(), holds).await;
    }

    pub(super) fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        api(&self.client, api_version, kind)
    }

    /// Deletes an object, with all that it owns.
    pub(super) async fn delete(&self, api_version: &str, kind: &str, name: &str) {
        let deletion = kube::api::DeleteParams::background();
        self.api(api_version, kind).delete(name, &deletion).await.unwrap();
    }

    pub(super) async fn nodes(&self) -> Vec<Node> {
        Api::all(self.client.clone()).list(&ListParams::default()).await.unwrap().items
    }

    pub(super) async fn pods(&self, label: &str) -> Vec<Pod> {
        let pods: Api<Pod> = Api::default_namespaced(self.client.clone());
        pods.list(&ListParams::default().labels(label)).await.unwrap().items
    }

    /// Waits until so many pods with a label run.
    pub(super) async fn runs(&self, label: &str, count: usize) {
        self.until(&format!("{count} running pods of {label}"), async || {
            let pods = self.pods(label).await;
            pods.len() == count && pods.iter().all(is_running)
        })
        .await;
    }

    /// Waits until there are so many nodes, and as many claims, all of them set up.
    pub(super) async fn has_nodes(&self, count: usize) {
        let claims = self.api("karpenter.sh/v1", "NodeClaim");
        self.until(&format!("{count} nodes"), async || {
            let claims = claims.list(&ListParams::default()).await.unwrap().items;
            claims.len() == count
                && claims.iter().all(|claim| is_true(claim, "Initialized"))
                && self.nodes().await.len() == count
        })
        .await;
    }

    /// The nodes on which pods with a label are.
    pub(super) async fn nodes_of(&self, label: &str) -> Vec<Node> {
        let nodes = self.nodes().await;
        let find = |pod: Pod| {
            let name = pod.spec.unwrap().node_name.unwrap();
            nodes.iter().find(|node| node.name_any() == name).cloned().unwrap()
        };
        self.pods(label).await.into_iter().map(find).collect()
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            println!("the journal and the log of the controller are in {}", self.folder.path().display());
        }
    }
}

pub(super) fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
        && pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

pub(super) fn label_of<'a>(node: &'a Node, label: &str) -> &'a str {
    node.labels().get(label).map(String::as_str).unwrap_or_default()
}

/// A pool of the class `default` of which empty nodes go at once.
pub(super) fn pool(requirements: Value) -> Value {
    json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "general"},
        "spec": {
            "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "0s", "budgets": [{"nodes": "100%"}]},
            "template": {"spec": {
                "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"},
                "requirements": requirements,
            }},
        },
    })
}

/// A Deployment whose pods have its name under `app`, with more in their spec.
pub(super) fn deployment(name: &str, replicas: u32, cpu: &str, more: Value) -> Value {
    let mut spec = json!({"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": "none", "resources": {"requests": {"cpu": cpu, "memory": "256Mi"}}}]});
    spec.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
    })
}

/// Keeps pods of an app apart, or together.
pub(super) fn with_pods(how: &str, app: &str, key: &str) -> Value {
    json!({how: {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}]}})
}

fn api(client: &Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let of_cluster = matches!(
        kind,
        "Node"
            | "NodePool"
            | "NodeClaim"
            | "NodeOverlay"
            | "KWOKNodeClass"
            | "PriorityClass"
            | "PersistentVolume"
            | "StorageClass"
            | "VolumeAttachment"
            | "CustomResourceDefinition"
            | "DeviceClass"
            | "ResourceSlice"
    );
    match of_cluster {
        true => Api::all_with(client.clone(), &resource),
        false => Api::default_namespaced_with(client.clone(), &resource),
    }
}

async fn make(client: &Client, object: Value) {
    let text = |field: &str| object[field].as_str().unwrap().to_owned();
    create(&api(client, &text("apiVersion"), &text("kind")), object).await;
}
