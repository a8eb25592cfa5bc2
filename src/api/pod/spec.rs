//! The specification of a pod: all that a decision about it can depend on.
//!
//! **Invariant:** nothing is read but what the engine's [`PodSpec`] holds, so that pods that differ in their command or
//! image alone stay equal.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    Container, PodSpec as Written, PodStatus, Toleration as WrittenToleration, Volume,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use purser_engine::model::{
    DoNotDisrupt, HostPort, OwnerKind, PodGroup, PodSpec, Protocol, Span, Str, Toleration,
    TolerationOperator, VolumeRef,
};

use super::{Priorities, affinity, requests};
use crate::decode::suggestion;
use crate::duration::nanoseconds;
use crate::error::{At, FieldError};
use crate::node::effect;
use crate::quantity::{annotation, labels};

/// The label that names a pod's group, of the scheduler plugin Coscheduling (kubernetes-sigs/scheduler-plugins).
const POD_GROUP: &str = "scheduling.x-k8s.io/pod-group";

/// The annotation or label that says how many pods of the group must have a place.
const MIN_MEMBERS: &str = "purser.sh/pod-group-min-members";

/// A pod or template, and where its specification is.
pub(super) struct Reader<'a> {
    pub(super) at: At<'a>,
    pub(super) metadata: &'a ObjectMeta,
    pub(super) spec: &'a Written,
    pub(super) status: Option<&'a PodStatus>,
}

impl Reader<'_> {
    /// Reads it; `name` is the pod's, if it is one.
    pub(super) fn read(
        &self,
        name: Option<&str>,
        owner: OwnerKind,
        priorities: &Priorities,
    ) -> Result<PodSpec, FieldError> {
        let (at, spec, metadata) = (&self.at, self.spec, self.metadata);
        let own = labels(metadata.labels.as_ref());
        let (required_terms, preferred_terms) = affinity::of_nodes(at, spec.affinity.as_ref())?;
        let cost = annotation(metadata, "controller.kubernetes.io/pod-deletion-cost");
        Ok(PodSpec {
            requests: requests::requests(at, spec, self.status)?,
            node_selector: labels(spec.node_selector.as_ref()),
            required_terms,
            preferred_terms,
            tolerations: tolerations(at, spec.tolerations.as_deref())?,
            spread: affinity::spread(at, spec.topology_spread_constraints.as_deref(), &own)?,
            affinity: affinity::of_pods(at, spec.affinity.as_ref(), &own)?,
            host_ports: host_ports(at, spec)?,
            volumes: volumes(spec.volumes.as_deref(), name),
            resource_claims: spec
                .resource_claims
                .iter()
                .flatten()
                .map(|claim| claim.name.as_str().into())
                .collect(),
            priority: spec.priority.unwrap_or_else(|| {
                priorities.of(spec.priority_class_name.as_deref().filter(|name| !name.is_empty()))
            }),
            owner,
            termination_grace: grace(at, spec.termination_grace_period_seconds)?,
            do_not_disrupt: annotation(metadata, "karpenter.sh/do-not-disrupt").and_then(do_not_disrupt),
            deletion_cost: cost.and_then(|cost| cost.parse().ok()).unwrap_or(0),
            group: group(metadata),
            labels: own,
        })
    }
}

fn grace(at: &At<'_>, seconds: Option<i64>) -> Result<Option<Span>, FieldError> {
    match seconds {
        None => Ok(None),
        // Beyond what a span holds, but for ever all the same.
        Some(seconds @ 0..) => Ok(Some(Span(seconds.saturating_mul(1_000_000)))),
        Some(seconds) => {
            let problem = format!("{seconds} is negative");
            Err(at.field("terminationGracePeriodSeconds").error(problem, "write 0 or more"))
        }
    }
}

/// `true`, or a positive duration; anything else counts as absent. Source: Karpenter's `pkg/utils/pod/scheduling.go`.
fn do_not_disrupt(text: &str) -> Option<DoNotDisrupt> {
    match text {
        "true" => Some(DoNotDisrupt::Always),
        text => {
            let nanos = nanoseconds(text).filter(|nanos| *nanos > 0)?;
            // Rounded up, so that a positive duration stays positive.
            Some(DoNotDisrupt::For(Span(((nanos + 999) / 1_000) as i64)))
        }
    }
}

/// The group that a pod is placed with. A number that is none, or 0, counts as absent.
fn group(metadata: &ObjectMeta) -> Option<PodGroup> {
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let name = label(POD_GROUP).filter(|name| !name.is_empty())?;
    let count = |text: &str| text.parse::<u32>().ok().filter(|count| *count > 0);
    let said =
        annotation(metadata, MIN_MEMBERS).and_then(count).or_else(|| label(MIN_MEMBERS).and_then(count));
    Some(PodGroup { name: name.into(), min_members: said.unwrap_or(1) })
}

fn tolerations(at: &At<'_>, written: Option<&[WrittenToleration]>) -> Result<Vec<Toleration>, FieldError> {
    let list = at.field("tolerations");
    written
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, written)| toleration(&list.index(index), written))
        .collect()
}

/// Source: `ValidateTolerations` of the API server (pkg/apis/core/validation/validation.go).
fn toleration(at: &At<'_>, written: &WrittenToleration) -> Result<Toleration, FieldError> {
    let operator = match written.operator.as_deref() {
        None | Some("" | "Equal") => TolerationOperator::Equal,
        Some("Exists") => TolerationOperator::Exists,
        Some("Gt") => TolerationOperator::Gt,
        Some("Lt") => TolerationOperator::Lt,
        Some(other) => {
            let problem = format!("{other:?} is not an operator of a toleration");
            let remedy = suggestion(other, &["Exists", "Equal", "Gt", "Lt"]);
            return Err(at.field("operator").error(problem, remedy));
        }
    };
    let key = written.key.as_deref().filter(|key| !key.is_empty());
    let value = written.value.as_deref().unwrap_or_default();
    if key.is_none() && operator != TolerationOperator::Exists {
        let remedy = "write a key, or operator: Exists to tolerate every taint";
        return Err(at.field("operator").error("only Exists goes without a key", remedy));
    }
    if operator == TolerationOperator::Exists && !value.is_empty() {
        return Err(at
            .field("value")
            .error("operator Exists takes no value", "remove it, or write operator: Equal"));
    }
    if matches!(operator, TolerationOperator::Gt | TolerationOperator::Lt) && value.parse::<i64>().is_err() {
        let problem = format!("{value:?} is not an integer");
        return Err(at
            .field("value")
            .error(problem, "operators Gt and Lt compare integers: write one, in quotes"));
    }
    let tolerated = match written.effect.as_deref() {
        None | Some("") => None,
        Some(text) => Some(effect(&at.field("effect"), text)?),
    };
    Ok(Toleration { key: key.map(Str::from), operator, value: value.into(), effect: tolerated })
}

/// Ports of the node that containers and sidecars take, each once.
///
/// Source: `GetHostPorts` of kube-scheduler (pkg/scheduler/util/utils.go); with `hostNetwork`, the API server makes host
/// ports of container ports (pkg/apis/core/v1/defaults.go).
fn host_ports(at: &At<'_>, spec: &Written) -> Result<Vec<HostPort>, FieldError> {
    let on_host = spec.host_network == Some(true);
    let mut ports = BTreeSet::new();
    let list = at.field("containers");
    for (index, container) in spec.containers.iter().enumerate() {
        container_ports(&list.index(index), container, on_host, &mut ports)?;
    }
    let list = at.field("initContainers");
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        if container.restart_policy.as_deref() == Some("Always") {
            container_ports(&list.index(index), container, on_host, &mut ports)?;
        }
    }
    Ok(ports.into_iter().collect())
}

fn container_ports(
    at: &At<'_>,
    container: &Container,
    on_host: bool,
    ports: &mut BTreeSet<HostPort>,
) -> Result<(), FieldError> {
    let list = at.field("ports");
    for (index, written) in container.ports.iter().flatten().enumerate() {
        let at = list.index(index);
        let port = match written.host_port {
            None | Some(0) if on_host => written.container_port,
            None | Some(0) => continue,
            Some(port) => port,
        };
        let port = match u16::try_from(port) {
            Ok(port) if port > 0 => port,
            _ => return Err(at.field("hostPort").error(format!("{port} is not a port"), "write 1 to 65535")),
        };
        let protocol = match written.protocol.as_deref() {
            None | Some("" | "TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some("SCTP") => Protocol::Sctp,
            Some(other) => {
                let problem = format!("{other:?} is not a protocol");
                return Err(at.field("protocol").error(problem, "write TCP, UDP or SCTP"));
            }
        };
        // Every address is written in three ways.
        let ip = written.host_ip.as_deref().filter(|ip| !matches!(*ip, "0.0.0.0" | "::")).unwrap_or_default();
        ports.insert(HostPort { ip: ip.into(), port, protocol });
    }
    Ok(())
}

/// Volumes by claim. The claim of an ephemeral volume is named after pod and volume.
///
/// Source: `VolumeClaimName` of k8s.io/component-helpers/storage/ephemeral.
fn volumes(written: Option<&[Volume]>, pod: Option<&str>) -> Vec<VolumeRef> {
    let claim = |volume: &Volume| match (&volume.persistent_volume_claim, &volume.ephemeral, pod) {
        (Some(claim), _, _) => Some(Str::from(claim.claim_name.as_str())),
        (None, Some(_), Some(pod)) => Some(format!("{pod}-{}", volume.name).into()),
        _ => None,
    };
    written.unwrap_or_default().iter().filter_map(claim).map(|claim| VolumeRef { claim }).collect()
}
