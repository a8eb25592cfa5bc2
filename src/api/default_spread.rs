//! The cluster's default spread constraints, which pods without any of their own have: what is configured, and over which pods it spreads.
//!
//! kube-scheduler has them in its configuration and deduces for each pod which others count: those that its Services and its controller select.
//!
//! Source: k8s.io/kubernetes, `DefaultSelector` of pkg/scheduler/framework/plugins/helper/spread.go; Karpenter, `ParseSchedulerConfiguration` of
//! pkg/operator/options.
//!
//! **Invariant:** a pod that has a constraint of its own, or whose selector comes to nothing, stays as it is.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ReplicationController, Service, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector as WrittenSelector, ObjectMeta};
use purser_engine::model::{LabelSelector, Labels, PodKey, PodSpec, Str, TopologySpread};
use serde::Deserialize;
use serde_json::Value;

use crate::decode::decode;
use crate::error::{At, FieldError};
use crate::names;
use crate::pod::spread_constraint;
use crate::quantity::{labels, object_key};
use crate::selector::selector;
use crate::text::documents;

/// What selects pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SelectorKind {
    /// A Service.
    Service,
    /// A ReplicationController.
    ReplicationController,
    /// A ReplicaSet.
    ReplicaSet,
    /// A StatefulSet.
    StatefulSet,
}

/// Which pods a Service or controller selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodSelector {
    /// What selects them.
    pub kind: SelectorKind,
    /// Its namespace and name.
    pub key: PodKey,
    /// Which pods; empty selects none.
    pub selector: LabelSelector,
}

impl PodSelector {
    fn of_labels(
        kind: SelectorKind,
        metadata: &ObjectMeta,
        selected: Option<Labels>,
    ) -> Result<Self, FieldError> {
        let selector = selected.map(|selected| LabelSelector::from(&selected)).unwrap_or_default();
        Ok(Self { kind, key: object_key(metadata)?, selector })
    }

    fn of_expressions(
        kind: SelectorKind,
        metadata: &ObjectMeta,
        written: Option<&WrittenSelector>,
    ) -> Result<Self, FieldError> {
        let at = At::ROOT.field("spec");
        Ok(Self { kind, key: object_key(metadata)?, selector: selector(&at.field("selector"), written)? })
    }
}

impl TryFrom<&Service> for PodSelector {
    type Error = FieldError;

    fn try_from(service: &Service) -> Result<Self, FieldError> {
        let selected = service.spec.as_ref().map(|spec| labels(spec.selector.as_ref()));
        Self::of_labels(SelectorKind::Service, &service.metadata, selected)
    }
}

impl TryFrom<&ReplicationController> for PodSelector {
    type Error = FieldError;

    fn try_from(controller: &ReplicationController) -> Result<Self, FieldError> {
        let selected = controller.spec.as_ref().map(|spec| labels(spec.selector.as_ref()));
        Self::of_labels(SelectorKind::ReplicationController, &controller.metadata, selected)
    }
}

impl TryFrom<&ReplicaSet> for PodSelector {
    type Error = FieldError;

    fn try_from(set: &ReplicaSet) -> Result<Self, FieldError> {
        let written = set.spec.as_ref().map(|spec| &spec.selector);
        Self::of_expressions(SelectorKind::ReplicaSet, &set.metadata, written)
    }
}

impl TryFrom<&StatefulSet> for PodSelector {
    type Error = FieldError;

    fn try_from(set: &StatefulSet) -> Result<Self, FieldError> {
        let written = set.spec.as_ref().map(|spec| &spec.selector);
        Self::of_expressions(SelectorKind::StatefulSet, &set.metadata, written)
    }
}

/// The controller of a pod, if its selector counts: kind and name.
pub fn selecting_controller(pod: &ObjectMeta) -> Option<(SelectorKind, Str)> {
    let owner = pod.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let kind = match (owner.api_version.as_str(), owner.kind.as_str()) {
        ("v1", "ReplicationController") => SelectorKind::ReplicationController,
        ("apps/v1", "ReplicaSet") => SelectorKind::ReplicaSet,
        ("apps/v1", "StatefulSet") => SelectorKind::StatefulSet,
        _ => return None,
    };
    Some((kind, owner.name.as_str().into()))
}

/// A pod's spec with default constraints, where it has none of its own, given the Services of its namespace and its controller.
pub fn with_default_spread<'s>(
    spec: &Arc<PodSpec>,
    defaults: &[TopologySpread],
    services: impl Iterator<Item = &'s PodSelector>,
    controller: Option<&PodSelector>,
) -> Arc<PodSpec> {
    if defaults.is_empty() || !spec.spread.is_empty() {
        return Arc::clone(spec);
    }
    let selector = selector_of_pod(&spec.labels, services, controller);
    if selector.0.is_empty() {
        return Arc::clone(spec);
    }
    let spread = defaults.iter().map(|one| TopologySpread { selector: selector.clone(), ..one.clone() });
    Arc::new(PodSpec { spread: spread.collect(), ..(**spec).clone() })
}

/// Which pods are a pod's kin.
fn selector_of_pod<'s>(
    own: &Labels,
    services: impl Iterator<Item = &'s PodSelector>,
    controller: Option<&PodSelector>,
) -> LabelSelector {
    let mut selected = LabelSelector::default();
    let of_pod = |one: &&PodSelector| !one.selector.0.is_empty() && one.selector.matches(own);
    for service in services.filter(of_pod) {
        merge(&mut selected, &service.selector);
    }
    match controller {
        Some(one) if one.kind == SelectorKind::ReplicationController => merge(&mut selected, &one.selector),
        Some(one) => selected.0.extend(one.selector.0.iter().cloned()),
        None => {}
    }
    selected.0.sort();
    selected.0.dedup();
    selected
}

/// Adds labels to labels; of two values of one label the later counts.
fn merge(into: &mut LabelSelector, labels: &LabelSelector) {
    into.0.retain(|known| labels.0.iter().all(|one| one.key != known.key));
    into.0.extend(labels.0.iter().cloned());
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenConfig {
    pod_topology_spread: Option<WrittenSpread>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenSpread {
    default_constraints: Option<Vec<WrittenConstraint>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WrittenConstraint {
    max_skew: i32,
    min_domains: Option<i32>,
    topology_key: String,
    when_unsatisfiable: String,
    node_affinity_policy: Option<String>,
    node_taints_policy: Option<String>,
    label_selector: Option<Value>,
    match_label_keys: Option<Vec<String>>,
}

/// The default constraints of a scheduler configuration as Karpenter's `SCHEDULER_CONFIG` has it: YAML or JSON. None if it is empty.
///
/// # Errors
/// The first field that is wrong, or not known.
pub fn scheduler_config(text: &str) -> Result<Vec<TopologySpread>, FieldError> {
    let written = documents(text).map_err(|(_, error)| error)?;
    let config: WrittenConfig = match &written[..] {
        [] => return Ok(Vec::new()),
        [one] => decode(&one.value)?,
        _ => return Err(FieldError::whole("there are several documents", "write one")),
    };
    let list = config.pod_topology_spread.unwrap_or_default().default_constraints.unwrap_or_default();
    let at = At::ROOT.field("podTopologySpread");
    let at = at.field("defaultConstraints");
    let mut all: Vec<TopologySpread> = Vec::new();
    for (index, written) in list.into_iter().enumerate() {
        let at = at.index(index);
        let one = default_constraint(&at, written)?;
        let same = |known: &TopologySpread| {
            (&known.topology_key, known.when_unsatisfiable) == (&one.topology_key, one.when_unsatisfiable)
        };
        if let Some(known) = all.iter().position(same) {
            let problem = format!("has the topologyKey and whenUnsatisfiable of [{known}]");
            return Err(at.error(problem, "leave one of them out"));
        }
        all.push(one);
    }
    Ok(all)
}

fn default_constraint(at: &At<'_>, written: WrittenConstraint) -> Result<TopologySpread, FieldError> {
    if written.label_selector.is_some() {
        let problem = "is not for default constraints, whose selectors are deduced for each pod";
        return Err(at.field("labelSelector").error(problem, "remove it"));
    }
    if written.match_label_keys.as_ref().is_some_and(|keys| !keys.is_empty()) {
        return Err(at.field("matchLabelKeys").error("has no effect on default constraints", "remove it"));
    }
    let constraint = TopologySpreadConstraint {
        max_skew: written.max_skew,
        min_domains: written.min_domains,
        topology_key: written.topology_key,
        when_unsatisfiable: written.when_unsatisfiable,
        node_affinity_policy: written.node_affinity_policy,
        node_taints_policy: written.node_taints_policy,
        label_selector: None,
        match_label_keys: None,
    };
    let one = spread_constraint(at, &constraint, &Labels::new())?;
    names::qualified(&at.field("topologyKey"), &one.topology_key)?;
    Ok(one)
}

#[cfg(test)]
mod tests {
    use purser_engine::model::{Unsatisfiable, label};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scheduler_configuration_is_read_strictly() {
        let text = "podTopologySpread:\n  defaultConstraints:\n  - {maxSkew: 2, topologyKey: topology.kubernetes.io/zone, \
                    whenUnsatisfiable: ScheduleAnyway}\n  - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, minDomains: 3}\n";
        let all = scheduler_config(text).unwrap();
        let said = |one: &TopologySpread| (one.max_skew, one.when_unsatisfiable, one.min_domains);
        assert_eq!(said(&all[0]), (2, Unsatisfiable::ScheduleAnyway, None));
        assert_eq!(said(&all[1]), (1, Unsatisfiable::DoNotSchedule, Some(3)));
        assert_eq!(&*all[0].topology_key, label::ZONE);
        for nothing in ["", "{}", "podTopologySpread: {}", "podTopologySpread: {defaultConstraints: []}"] {
            assert_eq!(scheduler_config(nothing).unwrap(), [], "{nothing}");
        }
        let one = |more: Value| {
            let mut one = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"});
            one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"podTopologySpread": {"defaultConstraints": [one]}}).to_string()
        };
        let first = "podTopologySpread.defaultConstraints[0]";
        for (text, line) in [
            (
                "profiles: []".to_owned(),
                "profiles: there is no such field: use one of podTopologySpread".to_owned(),
            ),
            ("a: [".to_owned(), "this is not YAML: ".to_owned()),
            ("--- {}\n--- {}".to_owned(), "there are several documents: write one".to_owned()),
            (one(json!({"maxSkew": 0})), format!("{first}.maxSkew: 0 is not above 0: write 1 or more")),
            (one(json!({"topologyKey": ""})), format!("{first}.topologyKey: is missing: ")),
            (one(json!({"topologyKey": "a b"})), format!("{first}.topologyKey: ")),
            (
                one(json!({"whenUnsatisfiable": "Maybe"})),
                format!("{first}.whenUnsatisfiable: \"Maybe\" is not known"),
            ),
            (
                one(json!({"labelSelector": {}})),
                format!("{first}.labelSelector: is not for default constraints"),
            ),
            (one(json!({"matchLabelKeys": ["a"]})), format!("{first}.matchLabelKeys: has no effect")),
            (one(json!({"skew": 1})), format!("{first}.skew: there is no such field")),
        ] {
            let error = scheduler_config(&text).unwrap_err().to_string();
            assert!(error.starts_with(&line), "{text}: {error}");
        }
        let twice = text
            .replace("kubernetes.io/hostname", label::ZONE)
            .replace("DoNotSchedule, minDomains: 3", "ScheduleAnyway");
        assert_eq!(
            scheduler_config(&twice).unwrap_err().to_string(),
            "podTopologySpread.defaultConstraints[1]: has the topologyKey and whenUnsatisfiable of [0]: leave one of them out"
        );
    }

    #[test]
    fn the_kin_of_a_pod_are_those_that_its_services_and_its_controller_select() {
        let labels = |all: &[(&str, &str)]| {
            all.iter().map(|(k, v)| (Str::from(*k), Str::from(*v))).collect::<Labels>()
        };
        let of = |kind, all: &[(&str, &str)]| PodSelector {
            kind,
            key: PodKey::new("shop", "x"),
            selector: LabelSelector::from(&labels(all)),
        };
        let own = labels(&[("app", "web"), ("tier", "front"), ("hash", "1")]);
        let services = [
            of(SelectorKind::Service, &[("app", "web")]),
            of(SelectorKind::Service, &[("app", "db")]),
            of(SelectorKind::Service, &[]),
            of(SelectorKind::Service, &[("tier", "front")]),
        ];
        let all = |controller: Option<&PodSelector>| {
            let all = selector_of_pod(&own, services.iter(), controller).0;
            all.iter().map(|one| format!("{}={}", one.key, one.values[0])).collect::<Vec<_>>().join(",")
        };
        assert_eq!(all(None), "app=web,tier=front");
        assert_eq!(
            all(Some(&of(SelectorKind::ReplicaSet, &[("app", "web"), ("hash", "1")]))),
            "app=web,hash=1,tier=front"
        );
        // Where they contradict each other, both count but for a ReplicationController, whose labels take the place of the others.
        assert_eq!(
            all(Some(&of(SelectorKind::StatefulSet, &[("app", "old")]))),
            "app=old,app=web,tier=front"
        );
        assert_eq!(
            all(Some(&of(SelectorKind::ReplicationController, &[("app", "old")]))),
            "app=old,tier=front"
        );
    }
}
