//! NodeClaim objects: made once for each launch, kept up to date by patches, and let go.
//!
//! **Invariant:** a claim's object is named by its decision, so it is made once however often its launch is asked for; what the first
//! request chose is in its labels. Only fields that are ours are written, by patch, so that unknown ones survive.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use purser_api::{DEADLINE_ANNOTATION, crd};
use purser_engine::event::Seq;
use purser_engine::model::{
    ClaimName, NodeTemplate, Requirement, Requirements, Resources, Span, Taint, TaintEffect, Time, label,
};
use purser_engine::port::LaunchRequest;
use serde_json::{Value, json};

use crate::error::{ClusterError, code};
use crate::pools::Pool;
use crate::recorder::DECISION;
use crate::{FINALIZER, condition, hash, moment};

/// The most characters of a message in a condition.
const LONGEST_MESSAGE: usize = 300;

/// Conflicts in a row before somebody else gets a turn.
const TRIES: u32 = 5;

/// The condition of a claim whose node is empty.
pub(crate) const DRAINED: &str = "Drained";

/// The conditions of a claim, of which `Ready` is the sum.
const STEPS: [&str; 3] = ["Launched", "Registered", "Initialized"];

/// The claims of a cluster.
#[derive(Clone)]
pub(crate) struct Claims {
    typed: Api<crd::NodeClaim>,
    any: Api<DynamicObject>,
}

/// A condition to set, or to take away.
pub(crate) struct Shown {
    pub(crate) kind: &'static str,
    /// Its status and its reason.
    pub(crate) says: Option<(&'static str, &'static str)>,
}

impl Shown {
    pub(crate) const fn holds(kind: &'static str) -> Self {
        Self { kind, says: Some(("True", kind)) }
    }

    pub(crate) const fn gone(kind: &'static str) -> Self {
        Self { kind, says: None }
    }

    fn write(&self, conditions: &mut Vec<Value>, moment: &str) {
        match self.says {
            Some((status, reason)) => {
                condition::write(conditions, self.kind, status, reason, "", None, moment);
            }
            None => conditions.retain(|one| one["type"] != self.kind),
        }
    }
}

/// What happened to a claim, for its status.
pub(crate) enum Progress<'a> {
    /// An instance was started.
    Launched {
        /// The instance.
        provider_id: &'a str,
        /// What the machine has.
        capacity: &'a Resources,
        /// What pods can use.
        allocatable: &'a Resources,
    },
    /// No instance was started yet, and why.
    NotLaunched {
        /// What went wrong.
        message: &'a str,
    },
    /// Its node joined.
    Registered {
        /// The node.
        node: &'a str,
    },
    /// Its node is set up.
    Initialized,
}

impl Claims {
    pub(crate) fn new(client: Client) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("karpenter.sh", "v1", "NodeClaim"));
        Self { typed: Api::all(client.clone()), any: Api::all_with(client, &resource) }
    }

    /// Makes a claim, or gives the one that is there.
    pub(crate) async fn create(&self, claim: &crd::NodeClaim) -> Result<DynamicObject, ClusterError> {
        let name = claim.metadata.name.clone().unwrap_or_default();
        match self.typed.create(&PostParams::default(), claim).await {
            Ok(_) => {}
            Err(error) if code(&error) == Some(409) => {}
            Err(error) => return Err(ClusterError::api(format!("creating NodeClaim {name}"))(error)),
        }
        self.any.get(&name).await.map_err(ClusterError::api(format!("reading NodeClaim {name}")))
    }

    /// A claim as it is; `None` if it is not.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<DynamicObject>, ClusterError> {
        self.any.get_opt(name).await.map_err(ClusterError::api(format!("reading NodeClaim {name}")))
    }

    /// Writes what happened into a claim's status. A claim that is gone has none.
    pub(crate) async fn progress(
        &self,
        name: &ClaimName,
        now: Time,
        progress: &Progress<'_>,
    ) -> Result<(), ClusterError> {
        let written = |claim: &DynamicObject| status(claim.data.get("status"), now, progress);
        self.restate(name.as_str(), written).await
    }

    /// Changes the status of a claim. A claim that is gone has none.
    async fn restate(
        &self,
        name: &str,
        change: impl Fn(&DynamicObject) -> Result<Option<Value>, ClusterError>,
    ) -> Result<(), ClusterError> {
        let mut tries = 0;
        loop {
            let Some(claim) = self.get(name).await? else { return Ok(()) };
            let Some(status) = change(&claim)? else { return Ok(()) };
            let patch =
                json!({"metadata": {"resourceVersion": claim.metadata.resource_version}, "status": status});
            let patched = self.any.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            tries += 1;
            match patched {
                Ok(_) => return Ok(()),
                Err(error) if code(&error) == Some(404) => return Ok(()),
                Err(error) if code(&error) == Some(409) && tries < TRIES => {}
                Err(error) => {
                    return Err(ClusterError::api(format!("writing the status of NodeClaim {name}"))(error));
                }
            }
        }
    }

    /// Gives a claim that was there the labels of what was chosen for it, unless something was chosen before; gives the claim as it
    /// is then, `None` if it is not.
    pub(crate) async fn label(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        decision: Seq,
    ) -> Result<Option<DynamicObject>, ClusterError> {
        let change = |claim: &DynamicObject| {
            let own = claim.metadata.labels.clone().unwrap_or_default();
            let is_chosen = own.contains_key(label::INSTANCE_TYPE) && own.contains_key(label::ZONE);
            let missing: BTreeMap<&String, &String> =
                labels.iter().filter(|(key, _)| !own.contains_key(*key)).collect();
            let annotations = || json!({DECISION: decision.0.to_string()});
            (!is_chosen && !missing.is_empty())
                .then(|| json!({"labels": missing, "annotations": annotations()}))
        };
        self.change(name, change).await
    }

    /// Holds a claim until its removal is done, and replaces a hash of another version.
    pub(crate) async fn adopt(&self, name: &str, hash: &str) -> Result<(), ClusterError> {
        let change = |claim: &DynamicObject| {
            let metadata = &claim.metadata;
            let mut change = serde_json::Map::new();
            let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
            if metadata.deletion_timestamp.is_none() && !finalizers.iter().any(|own| own == FINALIZER) {
                finalizers.push(FINALIZER.to_owned());
                change.insert("finalizers".to_owned(), json!(finalizers));
            }
            if let Some(stamps) = hash::for_claim(claim, hash) {
                change.insert("annotations".to_owned(), json!(stamps));
            }
            (!change.is_empty()).then_some(Value::Object(change))
        };
        self.change(name, change).await.map(drop)
    }

    /// Changes the metadata of a claim; gives the claim as it is then, `None` if it is not.
    async fn change(
        &self,
        name: &str,
        change: impl Fn(&DynamicObject) -> Option<Value>,
    ) -> Result<Option<DynamicObject>, ClusterError> {
        let mut tries = 0;
        loop {
            let Some(claim) = self.get(name).await? else { return Ok(None) };
            let Some(mut metadata) = change(&claim) else { return Ok(Some(claim)) };
            metadata["resourceVersion"] = json!(claim.metadata.resource_version);
            let patch = json!({"metadata": metadata});
            let patched = self.any.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            tries += 1;
            match patched {
                Ok(claim) => return Ok(Some(claim)),
                Err(error) if code(&error) == Some(404) => return Ok(None),
                Err(error) if code(&error) == Some(409) && tries < TRIES => {}
                Err(error) => return Err(ClusterError::api(format!("changing NodeClaim {name}"))(error)),
            }
        }
    }

    /// Sets conditions of a claim, or takes them away. A claim that is gone has none.
    pub(crate) async fn show(&self, name: &str, now: Time, shown: &[Shown]) -> Result<(), ClusterError> {
        let moment = moment(now)?;
        let written = |claim: &DynamicObject| {
            let before = conditions(claim);
            let mut after = before.to_vec();
            shown.iter().for_each(|one| one.write(&mut after, &moment));
            Ok((after != before).then(|| json!({"conditions": after})))
        };
        self.restate(name, written).await
    }

    /// Begins the removal of a claim for all to see: when what is left on its node is deleted, and that it is being deleted. Its finalizer
    /// keeps it until the instance is gone. Gives the name of its node.
    pub(crate) async fn begin_removal(
        &self,
        name: &str,
        deadline: Option<Time>,
        now: Time,
    ) -> Result<Option<String>, ClusterError> {
        let Some(claim) = self.get(name).await? else { return Ok(None) };
        let node = claim.data.pointer("/status/nodeName").and_then(Value::as_str).map(ToOwned::to_owned);
        let says_when =
            claim.metadata.annotations.iter().flatten().any(|(key, _)| key == DEADLINE_ANNOTATION);
        if let Some(deadline) = deadline.filter(|_| !says_when) {
            let patch = json!({"metadata": {"uid": claim.metadata.uid,
                "annotations": {DEADLINE_ANNOTATION: moment(deadline)?}}});
            let patched =
                self.any.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop);
            unless_gone(patched).map_err(ClusterError::api(format!("annotating NodeClaim {name}")))?;
        }
        // After a restart this is asked for again, however far it has come since.
        if !condition::is_true(conditions(&claim), DRAINED) {
            let draining = Shown { kind: DRAINED, says: Some(("Unknown", "Draining")) };
            self.show(name, now, &[draining]).await?;
        }
        if claim.metadata.deletion_timestamp.is_none() {
            let same = Preconditions { uid: claim.metadata.uid, resource_version: None };
            let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
            let deleted = self.any.delete(name, &params).await.map(drop);
            unless_gone(deleted).map_err(ClusterError::api(format!("deleting NodeClaim {name}")))?;
        }
        Ok(node)
    }

    /// Deletes a claim, and lets it go.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ClusterError> {
        let Some(claim) = self.get(name).await? else { return Ok(()) };
        if claim.metadata.deletion_timestamp.is_none() {
            let deleted = self.any.delete(name, &DeleteParams::default()).await.map(drop);
            unless_gone(deleted).map_err(ClusterError::api(format!("deleting NodeClaim {name}")))?;
        }
        // Only the object that was read: one of the same name that came after it is another. And only as it is: who else lets it go, as
        // the garbage collector does, changes the same list.
        let release = |now: &DynamicObject| {
            let finalizers = now.metadata.finalizers.as_deref().unwrap_or_default();
            let is_ours = now.metadata.uid == claim.metadata.uid;
            (is_ours && finalizers.iter().any(|own| own == FINALIZER)).then(|| {
                let rest: Vec<&String> = finalizers.iter().filter(|own| *own != FINALIZER).collect();
                json!({"finalizers": rest})
            })
        };
        self.change(name, release).await.map(drop)
    }
}

/// The conditions of a claim, as they are written.
fn conditions(claim: &DynamicObject) -> &[Value] {
    let written = claim.data.pointer("/status/conditions").and_then(Value::as_array);
    written.map_or(&[], Vec::as_slice)
}

/// What is gone already is as it should be.
pub(crate) fn unless_gone(done: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match done {
        Err(error) if code(&error) == Some(404) => Ok(()),
        done => done,
    }
}

/// The claim of a request, with the labels of what was chosen for it and the record that decided it, which its node gets from it.
pub(crate) fn claim(
    request: &LaunchRequest,
    pool: &Pool,
    labels: BTreeMap<String, String>,
    decision: Seq,
) -> crd::NodeClaim {
    let template: &NodeTemplate = &request.template.template;
    let mut annotations = pool.annotations.clone();
    annotations.extend(hash::stamps(&request.template.hash));
    annotations.insert(DECISION.to_owned(), decision.0.to_string());
    let (kind, class) = match &template.class {
        Some((kind, name)) => (kind.to_string(), name.to_string()),
        None => Default::default(),
    };
    let requests = quantities(&request.requests);
    crd::NodeClaim {
        metadata: ObjectMeta {
            name: Some(request.claim.to_string()),
            labels: Some(labels),
            annotations: Some(annotations),
            finalizers: Some(vec![FINALIZER.to_owned()]),
            owner_references: Some(vec![OwnerReference {
                api_version: "karpenter.sh/v1".to_owned(),
                kind: "NodePool".to_owned(),
                name: pool.facts.name.to_string(),
                uid: pool.uid.clone(),
                block_owner_deletion: Some(true),
                controller: None,
            }]),
            ..ObjectMeta::default()
        },
        spec: crd::NodeClaimSpec {
            taints: taints(&template.taints),
            startup_taints: taints(&template.startup_taints),
            requirements: requirements(request),
            resources: Some(crd::NodeClaimResources { requests: Some(requests) }),
            node_class_ref: crd::NodeClassReference {
                group: "karpenter.kwok.sh".to_owned(),
                kind,
                name: class,
            },
            termination_grace_period: template.termination_grace.map(duration),
            expire_after: Some(template.expire_after.map_or_else(|| "Never".to_owned(), duration)),
        },
        status: None,
    }
}

/// Seconds, which the schema takes whatever else it takes.
fn duration(span: Span) -> String {
    format!("{}s", span.0 / 1_000_000)
}

fn taints(taints: &[Taint]) -> Option<Vec<crd::Taint>> {
    let written = |taint: &Taint| crd::Taint {
        key: taint.key.to_string(),
        value: Some(taint.value.to_string()).filter(|value| !value.is_empty()),
        effect: effect(taint.effect),
        time_added: None,
    };
    (!taints.is_empty()).then(|| taints.iter().map(written).collect())
}

/// The effect of a taint as it is written.
pub(crate) const fn effect(effect: TaintEffect) -> crd::TaintEffect {
    match effect {
        TaintEffect::NoSchedule => crd::TaintEffect::NoSchedule,
        TaintEffect::PreferNoSchedule => crd::TaintEffect::PreferNoSchedule,
        TaintEffect::NoExecute => crd::TaintEffect::NoExecute,
    }
}

/// What the request allows, its instance types among it: those it may become are what is asked of the cloud.
fn requirements(request: &LaunchRequest) -> Vec<crd::Requirement> {
    let mut all: Requirements = request.requirements.clone();
    let types = request.options.iter().map(|option| option.instance_type.as_str().into());
    all.add(purser_engine::model::label::INSTANCE_TYPE, Requirement::one_of(types));
    all.iter().flat_map(|(key, requirement)| written(key, requirement)).collect()
}

fn written(key: &str, requirement: &Requirement) -> Vec<crd::Requirement> {
    use crd::RequirementOperator::{DoesNotExist, Exists, Gte, In, Lte, NotIn};
    let one = |operator, values: Vec<String>| crd::Requirement {
        key: key.to_owned(),
        operator,
        values,
        min_values: None,
    };
    let values: Vec<String> = requirement.values().iter().map(ToString::to_string).collect();
    let (lower, upper) = requirement.bounds();
    let mut all = Vec::new();
    match (requirement.is_complement(), values.is_empty()) {
        (false, false) => all.push(one(In, values)),
        (false, true) => all.push(one(DoesNotExist, values)),
        (true, false) => all.push(one(NotIn, values)),
        (true, true) if lower.is_none() && upper.is_none() => all.push(one(Exists, values)),
        (true, true) => {}
    }
    all.extend(lower.map(|bound| one(Gte, vec![bound.to_string()])));
    all.extend(upper.map(|bound| one(Lte, vec![bound.to_string()])));
    all
}

/// Amounts as Kubernetes writes them.
pub(crate) fn quantities(amounts: &Resources) -> BTreeMap<String, Quantity> {
    let text = |name: &str, amount: i64| match name {
        "cpu" if amount % 1_000 == 0 => (amount / 1_000).to_string(),
        "cpu" => format!("{amount}m"),
        "memory" | "ephemeral-storage" if amount % (1 << 20) == 0 => format!("{}Mi", amount >> 20),
        _ => amount.to_string(),
    };
    amounts.iter().map(|(name, amount)| (name.to_owned(), Quantity(text(name, amount)))).collect()
}

/// The part of a status that has to be written; `None` if it says so already.
fn status(before: Option<&Value>, now: Time, progress: &Progress<'_>) -> Result<Option<Value>, ClusterError> {
    let mut conditions: Vec<Value> = before
        .and_then(|status| status.get("conditions"))
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let (step, mut fields) = match progress {
        Progress::Launched { provider_id, capacity, allocatable } => (
            "Launched",
            json!({"providerID": provider_id, "capacity": quantities(capacity),
                "allocatable": quantities(allocatable)}),
        ),
        Progress::NotLaunched { .. } => ("Launched", json!({})),
        Progress::Registered { node } => ("Registered", json!({"nodeName": node})),
        Progress::Initialized => ("Initialized", json!({})),
    };
    if condition::is_true(&conditions, step) {
        return Ok(None);
    }
    let moment = moment(now)?;
    let mut tell = |kind: &str, status: &str, reason: &str, message: &str| {
        condition::write(&mut conditions, kind, status, reason, message, None, &moment);
    };
    if let Progress::NotLaunched { message } = progress {
        let end = message.char_indices().nth(LONGEST_MESSAGE).map_or(message.len(), |(end, _)| end);
        tell(step, "Unknown", "LaunchFailed", &message[..end]);
    } else {
        tell(step, "True", step, "");
    }
    let mut set = |kind: &str, status: &str, reason: &str| tell(kind, status, reason, "");
    let later = STEPS.iter().skip_while(|own| **own != step).skip(1);
    // What has not come about yet is unknown, so that whoever waits for it sees it.
    later.for_each(|later| set(later, "Unknown", "AwaitingReconciliation"));
    match step {
        "Initialized" => set("Ready", "True", "Ready"),
        _ => set("Ready", "Unknown", "ReconcilingDependents"),
    }
    fields["conditions"] = Value::Array(conditions);
    Ok(Some(fields))
}
