//! What NodePools show: conditions, the count and the capacity of their nodes, and the hash of their template.
//!
//! Source: Karpenter, pkg/controllers/nodepool/{counter,hash,readiness,registrationhealth,validation}.
//!
//! **Invariant:** a pool is written only where it would say something else, and what comes within [`MERGE`] at once; what is written
//! follows from objects that were seen, so nothing has to be remembered but how the last registrations ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use purser_engine::model::{Resources, Rounding, label};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::Now;
use crate::claim::quantities;
use crate::condition::{self, Finding};
use crate::error::{ClusterError, code};
use crate::registrations::{HEALTHY, Registrations};
use crate::shared::Shared;
use crate::{hash, moment};

/// What happens within this time is written at once.
const MERGE: Duration = Duration::from_millis(250);

/// The pause before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// What is counted though there is none of it.
const BASE: [&str; 4] = ["cpu", "memory", "pods", "ephemeral-storage"];

/// Takes note of pools, classes and nodes, and of which pools have to be written.
#[derive(Clone, Default)]
pub struct PoolStatus {
    known: Shared<Known>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Known {
    pools: BTreeMap<String, Pool>,
    classes: BTreeMap<String, Class>,
    nodes: BTreeMap<String, Member>,
    registrations: BTreeMap<String, Registrations>,
    unwritten: BTreeSet<String>,
}

/// A pool as it was seen.
#[derive(Clone)]
struct Pool {
    object: DynamicObject,
    /// Its hash, or what is wrong with it.
    read: Result<String, String>,
}

/// A class as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Class {
    ready: Finding,
    generation: Option<i64>,
}

/// A node of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    pool: String,
    capacity: Resources,
    registered: bool,
}

impl PoolStatus {
    /// Changes what is known, and names the pools that may say something else now.
    fn learn(&self, change: impl FnOnce(&mut Known) -> Vec<String>) {
        let mut known = self.known.lock();
        let pools = change(&mut known);
        if !pools.is_empty() {
            known.unwritten.extend(pools);
            self.changed.notify_one();
        }
    }

    pub(crate) fn saw_pool(&self, object: &DynamicObject, read: Result<String, String>) {
        let pool = Pool { object: object.clone(), read };
        self.learn(|known| {
            known.pools.insert(object.name_any(), pool);
            vec![object.name_any()]
        });
    }

    pub(crate) fn lost_pool(&self, name: &str) {
        let mut known = self.known.lock();
        known.pools.remove(name);
        known.registrations.remove(name);
    }

    /// A node of a pool registered, or did not in time, for a reason and with a message.
    pub fn registration_ended(&self, pool: &str, how: Result<(), (String, String)>) {
        self.learn(|known| {
            let Some(object) = known.pools.get(pool).map(|pool| &pool.object) else { return Vec::new() };
            let of = known.generations(object);
            let status = object.data.get("status").unwrap_or(&Value::Null);
            let before = known.registrations.remove(pool);
            let mut registrations = before.unwrap_or_else(|| Registrations::shown(of, status));
            registrations.ended(of, how);
            known.registrations.insert(pool.to_owned(), registrations);
            vec![pool.to_owned()]
        });
    }

    pub(crate) fn saw_class(&self, object: &DynamicObject) {
        let class = Class { ready: readiness(object), generation: object.metadata.generation };
        self.learn(|known| {
            let before = known.classes.insert(object.name_any(), class.clone());
            if before == Some(class) { Vec::new() } else { known.pools_of(&object.name_any()) }
        });
    }

    pub(crate) fn lost_class(&self, name: &str) {
        self.learn(|known| {
            known.classes.remove(name);
            known.pools_of(name)
        });
    }

    pub(crate) fn saw_node(&self, node: &Node) {
        let Some(pool) = node.labels().get(label::NODEPOOL) else { return self.lost_node(&node.name_any()) };
        let member = Member {
            pool: pool.clone(),
            capacity: capacity(node),
            registered: node.labels().contains_key(label::REGISTERED),
        };
        self.learn(|known| {
            let before = known.nodes.insert(node.name_any(), member.clone());
            if before.as_ref() == Some(&member) {
                return Vec::new();
            }
            before.map(|before| before.pool).into_iter().chain([member.pool]).collect()
        });
    }

    pub(crate) fn lost_node(&self, name: &str) {
        self.learn(|known| known.nodes.remove(name).map(|member| member.pool).into_iter().collect());
    }

    /// Writes what pools are to show, for ever. To be begun when all there is was seen once: before that, nodes are missing.
    pub async fn run(self, client: Client, now: Now) {
        let writer = Writer::new(client, now);
        loop {
            self.changed.notified().await;
            tokio::time::sleep(MERGE).await;
            let names = std::mem::take(&mut self.known.lock().unwritten);
            let mut failed = Vec::new();
            for name in names {
                let Some((pool, wanted)) = self.known.lock().wanted(&name) else { continue };
                if let Err(error) = writer.write(&pool, &wanted).await {
                    tracing::warn!(nodepool = name, "its status is not up to date: {error}");
                    failed.push(name);
                }
            }
            if !failed.is_empty() {
                tokio::time::sleep(PAUSE).await;
                self.learn(|_| failed);
            }
        }
    }
}

/// What a pool is to show.
struct Wanted {
    /// `None` for a pool that cannot be read.
    hash: Option<String>,
    valid: Finding,
    class_ready: Finding,
    class_generation: Option<i64>,
    registers: bool,
    /// What the last registrations come to.
    registration: Option<Finding>,
    resources: BTreeMap<String, Value>,
    nodes: u64,
}

impl Known {
    fn pools_of(&self, class: &str) -> Vec<String> {
        let of_class = |(_, pool): &(&String, &Pool)| class_of(&pool.object) == Some(class);
        self.pools.iter().filter(of_class).map(|(name, _)| name.clone()).collect()
    }

    fn class_of(&self, pool: &DynamicObject) -> Option<&Class> {
        class_of(pool).and_then(|class| self.classes.get(class))
    }

    fn generations(&self, pool: &DynamicObject) -> (Option<i64>, Option<i64>) {
        (pool.metadata.generation, self.class_of(pool).and_then(|class| class.generation))
    }

    fn wanted(&self, name: &str) -> Option<(Pool, Wanted)> {
        let pool = self.pools.get(name)?;
        let class = self.class_of(&pool.object);
        let of = self.generations(&pool.object);
        let missing = || Finding::False("NodeClassNotFound".into(), "NodeClass not found on cluster".into());
        let members: Vec<&Member> = self.nodes.values().filter(|member| member.pool == name).collect();
        let mut sum = Resources::default();
        members.iter().for_each(|member| sum.add(&member.capacity));
        let zero = BASE.map(|base| (base.to_owned(), json!("0")));
        let counted = quantities(&sum).into_iter().map(|(name, amount)| (name, json!(amount.0)));
        let mut resources: BTreeMap<String, Value> = zero.into_iter().chain(counted).collect();
        resources.insert("nodes".to_owned(), json!(members.len().to_string()));
        let wanted = Wanted {
            hash: pool.read.as_ref().ok().cloned(),
            valid: match &pool.read {
                Ok(_) => Finding::True,
                Err(problem) => Finding::False("NodePoolValidationFailed".into(), problem.clone()),
            },
            class_ready: class.map_or_else(missing, |class| class.ready.clone()),
            class_generation: class.and_then(|class| class.generation),
            registration: self.registrations.get(name).and_then(|all| all.finding(of)),
            registers: members.iter().any(|member| member.registered),
            resources,
            nodes: members.len() as u64,
        };
        Some((pool.clone(), wanted))
    }
}

impl Wanted {
    /// The status that a pool is to have instead of the one it has; `None` if it is the same.
    fn status(&self, before: Option<&Value>, generation: Option<i64>, moment: &str) -> Option<Value> {
        let empty = json!({});
        let before = before.unwrap_or(&empty);
        let old: Vec<Value> = before["conditions"].as_array().cloned().unwrap_or_default();
        let mut conditions = old.clone();
        let mut set = |kind: &str, finding: &Finding| {
            condition::set(&mut conditions, kind, finding, generation, moment)
        };
        set("ValidationSucceeded", &self.valid);
        set("NodeClassReady", &self.class_ready);
        if let Some(finding) = self.registration(before, &old, generation) {
            set(HEALTHY, &finding);
        }
        let parts = [("ValidationSucceeded", &self.valid), ("NodeClassReady", &self.class_ready)];
        condition::sum_up(&mut conditions, &parts, generation, moment);
        let mut resources = json!(self.resources);
        // What is no longer there has to be taken away by name.
        for gone in before["resources"].as_object().into_iter().flat_map(|all| all.keys()) {
            if !self.resources.contains_key(gone) {
                resources[gone] = Value::Null;
            }
        }
        let mut status = json!({"conditions": conditions, "resources": resources, "nodes": self.nodes});
        if let Some(generation) = self.class_generation {
            status["nodeClassObservedGeneration"] = generation.into();
        }
        let same = status.as_object().into_iter().flatten().all(|(field, value)| before[field] == *value);
        (!same).then_some(status)
    }

    /// What is known of the registration of its nodes. That begins anew when pool or class change; a node that registered since shows that
    /// it goes well.
    fn registration(&self, before: &Value, old: &[Value], generation: Option<i64>) -> Option<Finding> {
        if let Some(finding) = &self.registration {
            return Some(finding.clone());
        }
        let last = old.iter().find(|one| one["type"] == HEALTHY);
        let of_this = last.is_some_and(|last| last["observedGeneration"].as_i64() == generation)
            && before["nodeClassObservedGeneration"].as_i64() == self.class_generation;
        match last {
            Some(last) if of_this && last["status"] != "Unknown" => None,
            _ if self.registers => Some(Finding::True),
            _ if of_this => None,
            _ => Some(Finding::Unknown),
        }
    }
}

/// Writes pools, and the hash of their claims.
struct Writer {
    pools: Api<DynamicObject>,
    claims: Api<DynamicObject>,
    now: Now,
}

impl Writer {
    fn new(client: Client, now: Now) -> Self {
        let all = |kind: &str| {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("karpenter.sh", "v1", kind));
            Api::all_with(client.clone(), &resource)
        };
        Self { pools: all("NodePool"), claims: all("NodeClaim"), now }
    }

    async fn write(&self, pool: &Pool, wanted: &Wanted) -> Result<(), ClusterError> {
        let object = &pool.object;
        let name = object.name_any();
        if let Some(hash) = &wanted.hash {
            self.stamp(object, hash).await?;
        }
        let moment = moment((self.now)())?;
        let Some(status) = wanted.status(object.data.get("status"), object.metadata.generation, &moment)
        else {
            return Ok(());
        };
        // Of the pool that was seen: the list of conditions is written as a whole. What changed since is seen, and leads here again.
        let patch = json!({"metadata": {"uid": object.metadata.uid}, "status": status});
        let patched = self.pools.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        passed_by(patched.map(drop))
            .map_err(ClusterError::api(format!("writing the status of NodePool {name}")))
    }

    /// Gives a pool its hash; its claims too, where that of the pool was of another version.
    async fn stamp(&self, pool: &DynamicObject, hash: &str) -> Result<(), ClusterError> {
        let name = pool.name_any();
        let Some(stamps) = hash::for_pool(pool, hash) else { return Ok(()) };
        if !hash::is_current(pool) {
            self.stamp_claims(&name, hash).await?;
        }
        let patch = json!({"metadata": {"uid": pool.metadata.uid, "annotations": stamps}});
        let patched = self.pools.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        passed_by(patched.map(drop)).map_err(ClusterError::api(format!("stamping NodePool {name}")))
    }

    async fn stamp_claims(&self, pool: &str, hash: &str) -> Result<(), ClusterError> {
        let of_pool = ListParams::default().labels(&format!("{}={pool}", label::NODEPOOL));
        let claims = self.claims.list(&of_pool).await.map_err(ClusterError::api("listing NodeClaims"))?;
        for claim in claims {
            let Some(annotations) = hash::for_claim(&claim, hash) else { continue };
            let name = claim.name_any();
            let patch = json!({"metadata": {"uid": claim.metadata.uid, "annotations": annotations}});
            let patched = self.claims.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            passed_by(patched.map(drop)).map_err(ClusterError::api(format!("stamping NodeClaim {name}")))?;
        }
        Ok(())
    }
}

/// An object that is gone, or another one of its name, needs nothing.
fn passed_by(done: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match done {
        Err(error) if matches!(code(&error), Some(404 | 409)) => Ok(()),
        done => done,
    }
}

fn class_of(pool: &DynamicObject) -> Option<&str> {
    pool.data.pointer("/spec/template/spec/nodeClassRef/name").and_then(Value::as_str)
}

/// Whether a class can be used. One without the condition can.
fn readiness(class: &DynamicObject) -> Finding {
    if class.metadata.deletion_timestamp.is_some() {
        return Finding::False("NodeClassTerminating".into(), "NodeClass is Terminating".into());
    }
    let conditions = class.data.pointer("/status/conditions").and_then(Value::as_array);
    let ready = conditions.into_iter().flatten().find(|one| one["type"] == "Ready");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match ready {
        Some(ready) if ready["status"] == "False" => {
            Finding::False(text(&ready["reason"]), text(&ready["message"]))
        }
        Some(ready) if ready["status"] != "True" => {
            Finding::False("NodeClassReadinessUnknown".into(), "Node Class Readiness Unknown".into())
        }
        _ => Finding::True,
    }
}

/// What a node has. What cannot be read counts for nothing.
fn capacity(node: &Node) -> Resources {
    let mut capacity = Resources::default();
    let written = node.status.iter().flat_map(|status| status.capacity.iter().flatten());
    for (name, amount) in written {
        let _ = capacity.set_quantity(name, &amount.0, Rounding::Down);
    }
    capacity
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).expect("it is an object")
    }

    fn pool() -> DynamicObject {
        object(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool",
            "metadata": {"name": "a", "generation": 3},
            "spec": {"template": {"spec": {"nodeClassRef": {"name": "default"}}}},
        }))
    }

    fn class(status: &str) -> DynamicObject {
        object(json!({
            "apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
            "metadata": {"name": "default", "generation": 1},
            "status": {"conditions": [
                {"type": "Ready", "status": status, "reason": "Because", "message": "of that"}]},
        }))
    }

    fn node(registered: bool) -> Node {
        let mut labels = json!({"karpenter.sh/nodepool": "a"});
        if registered {
            labels["karpenter.sh/registered"] = "true".into();
        }
        serde_json::from_value(json!({
            "metadata": {"name": "n", "labels": labels},
            "status": {"capacity": {"cpu": "16", "memory": "32Gi", "pods": "110"}},
        }))
        .expect("it is a node")
    }

    /// The status that the pool of these tests is to have instead of this one.
    fn written(seen: &PoolStatus, before: Option<&Value>) -> Option<Value> {
        let (_, wanted) = seen.known.lock().wanted("a").expect("it was seen");
        wanted.status(before, Some(3), "now")
    }

    fn condition<'a>(status: &'a Value, kind: &str) -> (&'a str, &'a str) {
        let all = status["conditions"].as_array().expect("there are some");
        let one = all.iter().find(|one| one["type"] == kind).expect("it is there");
        assert_eq!(one["observedGeneration"], 3);
        (one["status"].as_str().unwrap_or_default(), one["reason"].as_str().unwrap_or_default())
    }

    #[test]
    fn a_pool_shows_its_class_and_what_is_wrong_with_it() {
        let seen = PoolStatus::default();
        seen.saw_pool(&pool(), Ok("1".to_owned()));
        let status = written(&seen, None).expect("it has none yet");
        assert_eq!(condition(&status, "NodeClassReady"), ("False", "NodeClassNotFound"));
        assert_eq!(condition(&status, "ValidationSucceeded"), ("True", "ValidationSucceeded"));
        assert_eq!(condition(&status, "Ready"), ("False", "UnhealthyDependents"));
        seen.saw_class(&class("False"));
        let status = written(&seen, Some(&status)).expect("it changed");
        assert_eq!(condition(&status, "NodeClassReady"), ("False", "Because"));
        seen.saw_class(&class("True"));
        let status = written(&seen, Some(&status)).expect("it changed");
        assert_eq!(condition(&status, "Ready"), ("True", "Ready"));
        seen.saw_pool(&pool(), Err("a taint is there twice".to_owned()));
        let status = written(&seen, Some(&status)).expect("it changed");
        assert_eq!(condition(&status, "ValidationSucceeded"), ("False", "NodePoolValidationFailed"));
        assert_eq!(condition(&status, "Ready"), ("False", "UnhealthyDependents"));
    }

    #[test]
    fn a_pool_counts_its_nodes_and_is_written_only_when_it_changes() {
        let seen = PoolStatus::default();
        seen.saw_class(&class("True"));
        seen.saw_pool(&pool(), Ok("1".to_owned()));
        let status = written(&seen, None).expect("it has none yet");
        let none = json!({"cpu": "0", "memory": "0", "pods": "0", "ephemeral-storage": "0", "nodes": "0"});
        assert_eq!((&status["nodes"], &status["resources"]), (&json!(0), &none));
        assert_eq!(condition(&status, "NodeRegistrationHealthy").0, "Unknown");
        assert_eq!(written(&seen, Some(&status)), None);
        seen.known.lock().unwritten.clear();
        seen.saw_node(&node(false));
        assert_eq!(seen.known.lock().unwritten.len(), 1);
        let status = written(&seen, Some(&status)).expect("there is a node");
        assert_eq!((&status["nodes"], &status["resources"]["cpu"]), (&json!(1), &json!("16")));
        assert_eq!(condition(&status, "NodeRegistrationHealthy").0, "Unknown");
        seen.saw_node(&node(true));
        let status = written(&seen, Some(&status)).expect("it registered");
        assert_eq!(condition(&status, "NodeRegistrationHealthy").0, "True");
        seen.known.lock().unwritten.clear();
        seen.saw_node(&node(true));
        assert!(seen.known.lock().unwritten.is_empty(), "nothing is new");
        seen.lost_node("n");
        let status = written(&seen, Some(&status)).expect("it is gone");
        assert_eq!(status["nodes"], 0);
        assert_eq!(condition(&status, "NodeRegistrationHealthy").0, "True");
    }
}
