//! Kubernetes manifests as a scenario: a folder of them, or a dump such as `kubectl get ... -A -o json`
//! prints.
//!
//! - Deployments, ReplicaSets, ReplicationControllers and StatefulSets keep their replicas. Those that
//!   another makes, as a Deployment makes ReplicaSets, are left to that one.
//! - A Job runs its completions, as many at once as its parallelism says; each run takes some minutes, drawn
//!   by its name. CronJobs run nothing by themselves.
//! - Pods of a workload, Job or DaemonSet that is there too are left out: it makes its own. All others are
//!   taken as they are, and nothing makes them again. Pods that have ended, are being deleted, or are held
//!   back by scheduling gates are left out.
//! - Nodes with the label `karpenter.sh/nodepool` are left out, since the controller launches its own, and
//!   pods bound to them begin without a node. Other nodes are there from the start, with the pods bound to
//!   them.
//! - Namespaces are those of the manifests and those that something is in. PersistentVolumeClaims are resolved with the
//!   PersistentVolumes and StorageClasses that are there too; one that names no class has the default one. The claims that a
//!   StatefulSet makes of its templates are left out, and so are CSINodes of nodes that are.
//! - NodeClaims, node classes and kinds that do not matter here are passed over.
//!
//! **Invariant:** no two objects of a kind have the same name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use purser_api::{
    ApiError, CountOrPercent, Located, Object, PodTemplates, Storage, VolumeClaimFacts, WorkloadKind as Made,
    default_namespace_labels, read_path,
};
use purser_engine::model::{
    InstanceType, Labels, NodeName, OwnerKind, PodFacts, PodKey, PodPhase, Span, Str, Time, label,
};

use crate::keyed::Seed;
use crate::scenario::{
    Amount, BarePod, DaemonSet, DisruptionBudget, Run, Scenario, Threshold, Workload, WorkloadKind,
};

/// Why manifests make no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A manifest is wrong.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// An object is there twice.
    #[error(
        "{file}:{line}: {object}: is there already, at {before}; remove one of the two or give it another name"
    )]
    Twice {
        /// The file.
        file: Str,
        /// The line of the second.
        line: usize,
        /// Kind and name.
        object: String,
        /// File and line of the first.
        before: String,
    },
    /// There is nothing to run.
    #[error("{file}: there is no pod and nothing that makes pods; name a file or folder with workloads")]
    Nothing {
        /// The file or folder.
        file: String,
    },
}

/// Reads a file or folder of manifests as a scenario that begins at a moment, on these instance types. The
/// seed decides how long Jobs run.
///
/// # Errors
/// If a manifest is wrong, an object is there twice, or there is nothing to run.
pub fn read_manifests(
    path: &Path,
    types: Vec<Arc<InstanceType>>,
    start: Time,
    seed: u64,
) -> Result<Scenario, ManifestError> {
    let file = path.display().to_string();
    let scenario = from_objects(&file, &read_path(path)?, types, start, seed)?;
    if scenario.workloads.is_empty() && scenario.pods.is_empty() {
        return Err(ManifestError::Nothing { file });
    }
    Ok(scenario)
}

/// A scenario of objects that were read already.
///
/// # Errors
/// If an object is there twice.
pub fn from_objects(
    name: &str,
    objects: &[Located<Object>],
    types: Vec<Arc<InstanceType>>,
    start: Time,
    seed: u64,
) -> Result<Scenario, ManifestError> {
    refuse_twins(objects)?;
    let mut scenario = Scenario::new(name, start);
    scenario.types = types;
    scenario.sample_every = Span::mins(1);
    let mut makers: Vec<(Str, Labels)> = Vec::new();
    for object in objects {
        match &object.value {
            Object::NodePool(pool) => scenario.pools.push(Arc::new(pool.clone())),
            Object::NodeOverlay(facts) => {
                scenario.overlays.insert(facts.name.clone(), facts.overlay.clone());
            }
            Object::Node(node) if !node.labels.contains_key(label::NODEPOOL) => {
                scenario.nodes.push(node.clone())
            }
            Object::DaemonSet(set) => {
                makers.push((set.namespace.clone(), set.spec.labels.clone()));
                let key = PodKey::new(set.namespace.clone(), set.name.clone());
                scenario.daemon_sets.push(DaemonSet { key, spec: Arc::clone(&set.spec) });
            }
            Object::Budget(budget) => scenario.budgets.push(DisruptionBudget {
                key: PodKey::new(budget.namespace.clone(), budget.name.clone()),
                selector: budget.selector.clone(),
                threshold: match (budget.min_available, budget.max_unavailable) {
                    (Some(least), _) => Threshold::MinAvailable(amount(least)),
                    (None, Some(most)) => Threshold::MaxUnavailable(amount(most)),
                    // Kubernetes' default for a budget that says neither.
                    (None, None) => Threshold::MinAvailable(Amount::Count(1)),
                },
                always_allow_unhealthy: false,
            }),
            Object::Workload(made) if is_maker(made) => {
                makers.push((made.namespace.clone(), made.template.labels.clone()));
                scenario.workloads.push(workload(made, start, Seed(seed)));
            }
            _ => {}
        }
    }
    let nodes: Vec<NodeName> = scenario.nodes.iter().map(|node| node.name.clone()).collect();
    for object in objects {
        if let Object::Pod(pod) = &object.value
            && matches!(pod.phase, PodPhase::Pending | PodPhase::Bound)
            && !is_made(pod, &makers)
        {
            let node = pod.node.clone().filter(|node| nodes.contains(node));
            // Daemon pods and static pods are of their node, and go with it.
            if node.is_some() || !pod.spec.is_daemon() {
                let (key, spec) = (pod.key.clone(), Arc::clone(&pod.spec));
                scenario.pods.push(BarePod { key, spec, at: start, node, duration: None });
            }
        }
    }
    buffers(&mut scenario, objects);
    namespaces(&mut scenario, objects);
    volumes(&mut scenario, objects);
    scenario.end = Some(start + RUN);
    Ok(scenario)
}

/// What CapacityBuffers come to with the PodTemplates and workloads that are there from the start.
fn buffers(scenario: &mut Scenario, objects: &[Located<Object>]) {
    let mut templates = PodTemplates::new();
    let mut workloads = Vec::new();
    for object in objects {
        match &object.value {
            Object::PodTemplate(key, spec) => drop(templates.insert(key.clone(), Arc::clone(spec))),
            Object::Workload(workload) => workloads.push(workload.clone()),
            _ => {}
        }
    }
    for object in objects {
        if let Object::CapacityBuffer(buffer) = &object.value {
            match buffer.resolve(&templates, &workloads) {
                Ok(resolved) => drop(scenario.buffers.insert(buffer.key.clone(), resolved)),
                Err(why) => scenario.without_room.push(why.to_string()),
            }
        }
    }
}

/// The Namespaces that are written, and those that anything is in.
fn namespaces(scenario: &mut Scenario, objects: &[Located<Object>]) {
    for object in objects {
        if let Object::Namespace { name, labels } = &object.value {
            scenario.namespaces.insert(name.clone(), labels.clone());
        }
    }
    let used = scenario
        .workloads
        .iter()
        .map(|workload| &workload.namespace)
        .chain(scenario.pods.iter().map(|pod| &pod.key.namespace))
        .chain(scenario.daemon_sets.iter().map(|set| &set.key.namespace));
    for name in used {
        if !scenario.namespaces.contains_key(name) {
            scenario.namespaces.insert(name.clone(), default_namespace_labels(name));
        }
    }
}

/// Claims with what their volumes and classes say, and how many volumes nodes attach.
fn volumes(scenario: &mut Scenario, objects: &[Located<Object>]) {
    let mut storage = Storage::default();
    for object in objects {
        match &object.value {
            Object::Volume(volume) => drop(storage.volumes.insert(volume.name.clone(), volume.clone())),
            Object::StorageClass(class) => drop(storage.classes.insert(class.name.clone(), class.clone())),
            _ => {}
        }
    }
    for object in objects {
        match &object.value {
            Object::VolumeClaim(claim) => {
                let class = claim.class.as_ref().or_else(|| storage.default_class()).cloned();
                let claim = VolumeClaimFacts { class, ..claim.clone() };
                scenario.volume_claims.insert(claim.key.clone(), storage.resolve(&claim));
            }
            Object::CsiNode(csi) if scenario.nodes.iter().any(|node| node.name == csi.node) => {
                scenario.volume_limits.insert(csi.node.clone(), csi.drivers.clone());
            }
            _ => {}
        }
    }
}

/// Manifests say nothing about when it is over.
const RUN: Span = Span::hours(24);

fn amount(written: CountOrPercent) -> Amount {
    match written {
        CountOrPercent::Count(count) => Amount::Count(count),
        CountOrPercent::Percent(percent) => Amount::Percent(percent),
    }
}

/// Whether a workload makes pods here. A Job that a CronJob made is one like any other.
fn is_maker(made: &purser_api::Workload) -> bool {
    match made.kind {
        Made::CronJob => false,
        Made::Job => true,
        Made::Deployment | Made::ReplicaSet | Made::ReplicationController | Made::StatefulSet => !made.owned,
    }
}

/// Whether something else makes this pod: an owner of whose template it has all labels.
fn is_made(pod: &PodFacts, makers: &[(Str, Labels)]) -> bool {
    pod.spec.owner != OwnerKind::None
        && pod.spec.owner != OwnerKind::Node
        && makers.iter().any(|(namespace, labels)| {
            *namespace == pod.key.namespace
                && labels.iter().all(|(key, value)| pod.spec.labels.get(key) == Some(value))
        })
}

fn workload(made: &purser_api::Workload, start: Time, seed: Seed) -> Workload {
    let kind = match made.kind {
        Made::Job | Made::CronJob => {
            let draw = seed.draw("job").with(&made.namespace).with(&made.name);
            let runs =
                (0..made.completions.unwrap_or(made.replicas)).filter(|_| made.replicas > 0).map(|run| Run {
                    name: format!(
                        "{}-{}",
                        made.name,
                        draw.with("name").with_number(u64::from(run)).suffix(5)
                    )
                    .into(),
                    at: start,
                    duration: Some(draw.with_number(u64::from(run)).span(Span::mins(2), Span::mins(15))),
                });
            WorkloadKind::Batch {
                runs: runs.collect(),
                parallelism: Some(made.replicas),
                linger: Span::secs(60),
            }
        }
        kind => WorkloadKind::Service {
            replicas: vec![(start, made.replicas)],
            rollouts: Vec::new(),
            ordinals: kind == Made::StatefulSet,
        },
    };
    Workload {
        namespace: made.namespace.clone(),
        name: made.name.clone(),
        spec: Arc::clone(&made.template),
        kind,
    }
}

fn refuse_twins(objects: &[Located<Object>]) -> Result<(), ManifestError> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for object in objects {
        let described = match &object.value {
            Object::NodePool(pool) => format!("NodePool {}", pool.name),
            Object::CapacityBuffer(buffer) => format!("CapacityBuffer {}", buffer.key),
            Object::PodTemplate(key, _) => format!("PodTemplate {key}"),
            Object::NodeOverlay(overlay) => format!("NodeOverlay {}", overlay.name),
            Object::Node(node) => format!("Node {}", node.name),
            Object::Pod(pod) => format!("Pod {}", pod.key),
            Object::DaemonSet(set) => format!("DaemonSet {}/{}", set.namespace, set.name),
            Object::Budget(budget) => format!("PodDisruptionBudget {}/{}", budget.namespace, budget.name),
            Object::Workload(made) => format!("{:?} {}/{}", made.kind, made.namespace, made.name),
            Object::Namespace { name, .. } => format!("Namespace {name}"),
            Object::VolumeClaim(claim) => format!("PersistentVolumeClaim {}", claim.key),
            Object::Volume(volume) => format!("PersistentVolume {}", volume.name),
            Object::StorageClass(class) => format!("StorageClass {}", class.name),
            Object::CsiNode(csi) => format!("CSINode {}", csi.node),
            _ => continue,
        };
        let here = format!("{}:{}", object.source, object.line);
        if let Some(before) = seen.insert(described.clone(), here) {
            return Err(ManifestError::Twice {
                file: object.source.clone(),
                line: object.line,
                object: described,
                before,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use purser_engine::port::Observation;

    use super::*;

    const MANIFESTS: &str = r"
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: default}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
      requirements: [{key: kubernetes.io/os, operator: In, values: [linux]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: i, resources: {requests: {cpu: 500m}}}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: shop}
spec:
  completions: 4
  parallelism: 2
  template:
    metadata: {labels: {app: once}}
    spec: {restartPolicy: Never, containers: [{name: c, image: i}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: shop}
spec: {maxUnavailable: 50%, selector: {matchLabels: {app: web}}}
---
apiVersion: v1
kind: Node
metadata: {name: old}
status: {allocatable: {cpu: '4', memory: 8Gi, pods: '20'}}
---
apiVersion: v1
kind: Node
metadata: {name: ours, labels: {karpenter.sh/nodepool: default}}
status: {allocatable: {cpu: '4', memory: 8Gi, pods: '20'}}
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1-a
  namespace: shop
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: u, controller: true}]
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: shop}
spec: {nodeName: old, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: moved, namespace: shop}
spec: {nodeName: ours, containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: data, labels: {team: db}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: gp3, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}
provisioner: ebs.csi.aws.com
volumeBindingMode: WaitForFirstConsumer
allowedTopologies: [{matchLabelExpressions: [{key: topology.kubernetes.io/zone, values: [z1]}]}]
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: pv-1}
spec:
  csi: {driver: ebs.csi.aws.com, volumeHandle: vol-1}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: topology.kubernetes.io/zone, operator: In, values: [z2]}]}]}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: bound, namespace: data, annotations: {pv.kubernetes.io/bind-completed: 'yes'}}
spec: {volumeName: pv-1, storageClassName: gp3}
status: {phase: Bound}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: fresh, namespace: data}
spec: {accessModes: [ReadWriteOnce]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: by-hand, namespace: data}
spec: {storageClassName: ''}
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: old}
spec: {drivers: [{name: ebs.csi.aws.com, nodeID: i-1, allocatable: {count: 26}}]}
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: ours}
spec: {drivers: [{name: ebs.csi.aws.com, nodeID: i-2, allocatable: {count: 26}}]}
";

    #[test]
    fn manifests_make_a_scenario() {
        let objects = purser_api::read("m.yaml", MANIFESTS).unwrap();
        let scenario = from_objects("m.yaml", &objects, Vec::new(), Time(0), 1).unwrap();
        assert_eq!((scenario.pools.len(), scenario.nodes.len(), scenario.budgets.len()), (1, 1, 1));
        assert_eq!(scenario.workloads.len(), 2);
        let WorkloadKind::Batch { runs, parallelism, .. } = &scenario.workloads[1].kind else {
            panic!("a Job is batch")
        };
        assert_eq!((runs.len(), *parallelism), (4, Some(2)));
        let pods: Vec<_> = scenario.pods.iter().map(|pod| (pod.key.to_string(), pod.node.clone())).collect();
        assert_eq!(pods, [("shop/alone".into(), Some("old".into())), ("shop/moved".into(), None)]);
    }

    #[test]
    fn namespaces_and_volumes_are_there_from_the_start() {
        let objects = purser_api::read("m.yaml", MANIFESTS).unwrap();
        let scenario = from_objects("m.yaml", &objects, Vec::new(), Time(0), 1).unwrap();
        let told: Vec<String> =
            scenario.namespaces.iter().map(|(name, labels)| format!("{name} {labels:?}")).collect();
        assert_eq!(
            told,
            [
                r#"data {"kubernetes.io/metadata.name": "data", "team": "db"}"#,
                r#"shop {"kubernetes.io/metadata.name": "shop"}"#,
            ]
        );
        let told: Vec<_> = scenario
            .volume_claims
            .iter()
            .map(|(key, claim)| {
                let topologies: Vec<String> = claim.topologies.iter().map(ToString::to_string).collect();
                (key.to_string(), topologies.join(" or "), &*claim.driver, claim.problem.as_deref())
            })
            .collect();
        let zone = |zone: &str| format!("topology.kubernetes.io/zone In [{zone}]");
        assert_eq!(
            told,
            [
                ("data/bound".to_owned(), zone("z2"), "ebs.csi.aws.com", None),
                (
                    "data/by-hand".to_owned(),
                    String::new(),
                    "",
                    Some("has StorageClass \"\", which does not exist")
                ),
                ("data/fresh".to_owned(), zone("z1"), "ebs.csi.aws.com", None),
            ]
        );
        assert_eq!(
            scenario.volume_limits,
            [("old".into(), [("ebs.csi.aws.com".into(), Some(26))].into())].into()
        );
        // The controller is told of all of them.
        let mut world = crate::World::new(scenario, 1, crate::Faults::none());
        let listed = world.list(Time(0));
        let count = |is: fn(&Observation) -> bool| listed.iter().filter(|one| is(one)).count();
        assert_eq!(count(|one| matches!(one, Observation::Namespace(..))), 2);
        assert_eq!(count(|one| matches!(one, Observation::VolumeClaim(..))), 3);
        assert_eq!(count(|one| matches!(one, Observation::VolumeLimits { .. })), 1);
    }

    #[test]
    fn an_object_that_is_there_twice_is_refused() {
        let text = format!(
            "{MANIFESTS}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: alone, namespace: shop}}\nspec: {{containers: [{{name: c, image: i}}]}}\n"
        );
        let objects = purser_api::read("m.yaml", &text).unwrap();
        let error =
            from_objects("m.yaml", &objects, Vec::new(), Time(0), 1).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.starts_with("m.yaml:") && error.contains("Pod shop/alone: is there already, at m.yaml:"),
            "{error}"
        );
        let nothing = read_manifests(Path::new("/nowhere"), Vec::new(), Time(0), 1).map(|_| ()).unwrap_err();
        assert!(nothing.to_string().starts_with("/nowhere"), "{nothing}");
    }
}
