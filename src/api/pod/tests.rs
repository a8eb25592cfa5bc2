use purser_engine::model::{
    DoNotDisrupt, HostPort, PodGroup, Protocol, Span, TaintEffect, Time, TolerationOperator,
};
use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn read_as(value: Value, origin: Origin) -> Result<PodFacts, FieldError> {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"containers": []}});
    for part in ["metadata", "spec", "status"] {
        if let Some(Value::Object(fields)) = value.get(part) {
            for (key, field) in fields {
                pod[part][key] = field.clone();
            }
        }
    }
    let mut priorities = Priorities::default();
    priorities.insert(&PriorityClass { name: "high".to_owned(), value: 100, global_default: false });
    priorities.insert(&PriorityClass { name: "usual".to_owned(), value: 5, global_default: true });
    pod_facts(&decode(&pod).unwrap(), &priorities, origin)
}

fn read(value: Value) -> PodFacts {
    read_as(value, Origin::Manifest).unwrap()
}

#[test]
fn phases() {
    let unschedulable = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]);
    let gated = json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]);
    let deleted = "2026-01-02T03:04:05Z";
    for (value, manifest, cluster) in [
        (json!({}), PodPhase::Pending, PodPhase::Untried),
        (json!({"status": {"conditions": unschedulable}}), PodPhase::Pending, PodPhase::Pending),
        (
            json!({"spec": {"schedulingGates": [{"name": "g"}]}, "status": {"conditions": gated}}),
            PodPhase::Held,
            PodPhase::Held,
        ),
        (
            json!({"status": {"conditions": unschedulable, "nominatedNodeName": "a"}}),
            PodPhase::Held,
            PodPhase::Held,
        ),
        (
            json!({"metadata": {"deletionTimestamp": deleted}, "status": {"conditions": unschedulable}}),
            PodPhase::Held,
            PodPhase::Held,
        ),
        (json!({"spec": {"nodeName": "a"}}), PodPhase::Bound, PodPhase::Bound),
        (
            json!({"spec": {"nodeName": "a"}, "metadata": {"deletionTimestamp": deleted}}),
            PodPhase::Terminating,
            PodPhase::Terminating,
        ),
        (json!({"spec": {"nodeName": "a"}, "status": {"phase": "Failed"}}), PodPhase::Ended, PodPhase::Ended),
        (json!({"status": {"phase": "Succeeded"}}), PodPhase::Ended, PodPhase::Ended),
    ] {
        assert_eq!(read_as(value.clone(), Origin::Manifest).unwrap().phase, manifest, "{value}");
        assert_eq!(read_as(value.clone(), Origin::Cluster).unwrap().phase, cluster, "{value}");
    }
}

#[test]
fn who_a_pod_is() {
    let pod = read(json!({
        "metadata": {"uid": "00000000-0000-0000-0000-0000000000ff", "creationTimestamp": "1970-01-01T00:00:01Z"},
        "spec": {"nodeName": "a"},
    }));
    assert_eq!((pod.uid, pod.created, pod.node), (Uid(255), Time(1_000_000), Some(NodeName::new("a"))));
    let (a, b) = (read(json!({})), read(json!({"metadata": {"name": "q"}})));
    assert_ne!(a.uid, b.uid);
    assert_eq!(a.uid, read(json!({})).uid);
    assert_eq!(read(json!({"metadata": {"namespace": ""}})).key.to_string(), "default/p");
}

#[test]
fn owners() {
    let owner = |version: &str, kind: &str, controller: bool| {
        json!({"metadata": {"ownerReferences": [
            {"apiVersion": version, "kind": kind, "name": "o", "uid": "u", "controller": controller}
        ]}})
    };
    for (value, kind) in [
        (json!({}), OwnerKind::None),
        (owner("apps/v1", "DaemonSet", false), OwnerKind::DaemonSet),
        (owner("v1", "Node", true), OwnerKind::Node),
        (owner("apps/v1", "StatefulSet", true), OwnerKind::StatefulSet),
        (owner("apps/v1", "ReplicaSet", true), OwnerKind::Controller),
        (owner("example.com/v1", "StatefulSet", true), OwnerKind::Controller),
        (owner("v1", "ConfigMap", false), OwnerKind::None),
    ] {
        assert_eq!(read(value.clone()).spec.owner, kind, "{value}");
    }
}

#[test]
fn priorities() {
    for (spec, priority) in [
        (json!({}), 5),
        (json!({"priorityClassName": "high"}), 100),
        (json!({"priorityClassName": "unknown"}), 5),
        (json!({"priorityClassName": "high", "priority": 7}), 7),
        (json!({"priorityClassName": "system-cluster-critical"}), 2_000_000_000),
        (json!({"priorityClassName": "system-node-critical"}), 2_000_001_000),
    ] {
        assert_eq!(read(json!({"spec": spec})).spec.priority, priority, "{spec}");
    }
}

#[test]
fn annotations() {
    for (text, value) in [
        ("true", Some(DoNotDisrupt::Always)),
        ("1h30m", Some(DoNotDisrupt::For(Span::mins(90)))),
        ("1ns", Some(DoNotDisrupt::For(Span(1)))),
        ("false", None),
        ("0s", None),
        ("-5m", None),
        ("True", None),
        ("1d", None),
    ] {
        let pod = read(json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": text}}}));
        assert_eq!(pod.spec.do_not_disrupt, value, "{text}");
    }
    for (text, cost) in [("-7", -7), ("12", 12), ("high", 0), ("99999999999", 0)] {
        let pod =
            read(json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": text}}}));
        assert_eq!(pod.spec.deletion_cost, cost, "{text}");
    }
}

#[test]
fn tolerations_are_checked() {
    let one = |value: Value| {
        let pod = read_as(json!({"spec": {"tolerations": [value]}}), Origin::Manifest)?;
        Ok::<_, FieldError>(pod.spec.tolerations[0].clone())
    };
    let all = one(json!({"operator": "Exists"})).unwrap();
    assert_eq!((all.key, all.operator, all.effect), (None, TolerationOperator::Exists, None));
    let equal = one(json!({"key": "a", "value": "1", "effect": "NoExecute"})).unwrap();
    assert_eq!((equal.operator, equal.effect), (TolerationOperator::Equal, Some(TaintEffect::NoExecute)));
    assert_eq!(
        one(json!({"key": "a", "operator": "Gt", "value": "5"})).unwrap().operator,
        TolerationOperator::Gt
    );
    for (value, line) in [
        (
            json!({"value": "1"}),
            "spec.tolerations[0].operator: only Exists goes without a key: write a key, or operator: Exists to tolerate \
             every taint",
        ),
        (
            json!({"key": "a", "operator": "Exist"}),
            "spec.tolerations[0].operator: \"Exist\" is not an operator of a toleration: did you mean \"Exists\"?",
        ),
        (
            json!({"key": "a", "operator": "Exists", "value": "x"}),
            "spec.tolerations[0].value: operator Exists takes no value: remove it, or write operator: Equal",
        ),
        (
            json!({"key": "a", "operator": "Lt", "value": "x"}),
            "spec.tolerations[0].value: \"x\" is not an integer: operators Gt and Lt compare integers: write one, in quotes",
        ),
        (
            json!({"key": "a", "effect": "NoRun"}),
            "spec.tolerations[0].effect: \"NoRun\" is not the effect of a taint: write NoSchedule, PreferNoSchedule or \
             NoExecute",
        ),
    ] {
        assert_eq!(one(value).unwrap_err().to_string(), line);
    }
}

#[test]
fn ports_volumes_and_claims() {
    let ports = json!([{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081, "hostIP": "0.0.0.0"},
        {"containerPort": 81, "hostPort": 8081}, {"containerPort": 53, "hostPort": 53, "protocol": "UDP", "hostIP": "10.0.0.1"}]);
    let spec = json!({
        "containers": [{"name": "c", "ports": ports}],
        "initContainers": [{"name": "i", "ports": [{"containerPort": 1, "hostPort": 1}]}],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "pvc"}}, {"name": "tmp", "ephemeral": {}},
            {"name": "conf", "configMap": {"name": "c"}}],
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "t"}],
        "terminationGracePeriodSeconds": 45, "nodeSelector": {"a": "b"},
    });
    let pod = read(json!({"spec": spec.clone()})).spec;
    let port = |ip: &str, port, protocol| HostPort { ip: ip.into(), port, protocol };
    assert_eq!(pod.host_ports, [port("", 8081, Protocol::Tcp), port("10.0.0.1", 53, Protocol::Udp)]);
    let claims: Vec<&str> = pod.volumes.iter().map(|volume| &*volume.claim).collect();
    assert_eq!(claims, ["pvc", "p-tmp"]);
    assert_eq!((&*pod.resource_claims[0], pod.termination_grace), ("gpu", Some(Span::secs(45))));
    assert_eq!(pod.node_selector.len(), 1);
    let mut on_host = spec;
    on_host["hostNetwork"] = json!(true);
    assert_eq!(read(json!({"spec": on_host})).spec.host_ports.len(), 3);
    let bad =
        json!({"spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 70000}]}]}});
    assert_eq!(
        read_as(bad, Origin::Manifest).unwrap_err().to_string(),
        "spec.containers[0].ports[0].hostPort: 70000 is not a port: write 1 to 65535"
    );
}

#[test]
fn a_template_and_its_pods_are_equal() {
    let template = json!({"metadata": {"labels": {"app": "web"}}, "spec": {
        "containers": [{"name": "c", "image": "a", "resources": {"requests": {"cpu": 1}}}], "nodeSelector": {"a": "b"}
    }});
    let owners =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "o", "uid": "u", "controller": true}]);
    let mut pod = template.clone();
    pod["metadata"]["ownerReferences"] = owners;
    pod["spec"]["containers"][0]["image"] = json!("another");
    let template = decode(&template).unwrap();
    let priorities = Priorities { default: 5, ..Priorities::default() };
    let made = pod_spec(&template, "spec.template", OwnerKind::Controller, &priorities).unwrap();
    assert_eq!(made, *read(pod).spec);
}

#[test]
fn pods_of_a_group_say_how_many_must_have_a_place() {
    let group = "scheduling.x-k8s.io/pod-group";
    let least = "purser.sh/pod-group-min-members";
    let of = |labels: Value, annotations: Value| {
        read(json!({"metadata": {"labels": labels, "annotations": annotations}})).spec.group.clone()
    };
    let some = |min_members| Some(PodGroup { name: "training".into(), min_members });
    for (labels, annotations, wanted) in [
        (json!({}), json!({least: "4"}), None),
        (json!({group: ""}), json!({}), None),
        (json!({}), json!({group: "training"}), None),
        (json!({group: "training"}), json!({}), some(1)),
        (json!({group: "training"}), json!({least: "4"}), some(4)),
        (json!({group: "training", least: "4"}), json!({}), some(4)),
        (json!({group: "training", least: "4"}), json!({least: "8"}), some(8)),
        (json!({group: "training", least: "4"}), json!({least: "many"}), some(4)),
        (json!({group: "training"}), json!({least: "0"}), some(1)),
        (json!({group: "training"}), json!({least: "-2"}), some(1)),
        (json!({group: "training"}), json!({least: "5000000000"}), some(1)),
    ] {
        assert_eq!(of(labels.clone(), annotations.clone()), wanted, "{labels} {annotations}");
    }
}

/// As the API server does with pod affinity, and kube-scheduler with spread: `applyMatchLabelKeysAndMismatchLabelKeys` of
/// pkg/registry/core/pod/strategy.go, and pkg/scheduler/framework/plugins/podtopologyspread/common.go.
#[test]
fn match_label_keys_are_resolved_by_the_pods_own_labels() {
    let read = |selector: Value, keys: Value, mismatch: Value| {
        let term = json!({"topologyKey": "zone", "labelSelector": selector, "matchLabelKeys": keys,
            "mismatchLabelKeys": mismatch});
        let constraint = json!({"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": selector, "matchLabelKeys": keys});
        let preferred = json!([{"weight": 1, "podAffinityTerm": term}]);
        let spec = read(json!({
            "metadata": {"labels": {"app": "web", "pod-template-hash": "h1", "tenant": "t1"}},
            "spec": {
                "affinity": {
                    "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
                    "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred},
                },
                "topologySpreadConstraints": [constraint],
            },
        }))
        .spec;
        assert_eq!(spec.affinity[0].selector, spec.affinity[1].selector, "required and preferred alike");
        (spec.affinity[0].selector.clone(), spec.spread[0].selector.clone())
    };
    let labels = |pairs: &[(&str, &str)]| -> Labels {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    let web = json!({"matchLabels": {"app": "web"}});
    let hash = json!(["pod-template-hash"]);
    let (affinity, spread) = read(web.clone(), hash.clone(), json!(["tenant"]));
    for (pod, by_affinity, by_spread) in [
        (labels(&[("app", "web"), ("pod-template-hash", "h1"), ("tenant", "t2")]), true, true),
        (labels(&[("app", "web"), ("pod-template-hash", "h1")]), true, true),
        (labels(&[("app", "web"), ("pod-template-hash", "h1"), ("tenant", "t1")]), false, true),
        (labels(&[("app", "web"), ("pod-template-hash", "h2"), ("tenant", "t2")]), false, false),
        (labels(&[("app", "web"), ("tenant", "t2")]), false, false),
        (labels(&[("app", "db"), ("pod-template-hash", "h1"), ("tenant", "t2")]), false, false),
    ] {
        assert_eq!((affinity.matches(&pod), spread.matches(&pod)), (by_affinity, by_spread), "{pod:?}");
    }
    // A key that the pod has not narrows nothing.
    let plain = read(web.clone(), json!([]), json!([]));
    assert_eq!(read(web, json!(["absent"]), json!(["missing"])), plain);
    // An API server has written the values into the selector, beside the keys.
    let merged = json!({"matchLabels": {"app": "web"}, "matchExpressions": [
        {"key": "pod-template-hash", "operator": "In", "values": ["h1"]}]});
    assert_eq!(read(merged, hash.clone(), json!([])).0, spread);
    // Without a selector no pod is meant, whatever the keys are.
    let (affinity, spread) = read(Value::Null, hash, json!(["tenant"]));
    let own = labels(&[("app", "web"), ("pod-template-hash", "h1")]);
    assert!(!affinity.matches(&own) && !spread.matches(&own));
}

/// Volumes of a claim of their own are found by its name, as those of a claim that somebody wrote.
#[test]
fn the_claim_of_an_ephemeral_volume_is_named_after_the_pod() {
    let volume = json!({"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}});
    let pod = read(json!({"spec": {"nodeName": "n", "volumes": [volume]}}));
    assert_eq!(&*pod.spec.volumes[0].claim, "p-scratch");
}
