use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn own() -> Labels {
    Labels::from([("app".into(), "web".into()), ("hash".into(), "h1".into())])
}

fn affinity(value: Value) -> Affinity {
    decode(&value).unwrap()
}

fn nodes(value: Value) -> Result<(Vec<Requirements>, Vec<PreferredTerm>), FieldError> {
    of_nodes(&At::ROOT.field("spec"), Some(&affinity(json!({"nodeAffinity": value}))))
}

fn required(terms: Value) -> Result<Vec<Requirements>, FieldError> {
    nodes(json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}))
        .map(|(all, _)| all)
}

fn pods(value: Value) -> Vec<PodAffinity> {
    of_pods(&At::ROOT.field("spec"), Some(&affinity(value)), &own()).unwrap()
}

#[test]
fn required_terms_are_alternatives() {
    let terms = required(json!([
        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}, {"key": "b", "operator": "Exists"}]},
        {},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]},
    ]))
    .unwrap();
    let terms: Vec<String> = terms.iter().map(ToString::to_string).collect();
    assert_eq!(terms, ["a In [1, 2], b Exists", "kubernetes.io/hostname In [node-1]"]);
}

#[test]
fn a_lone_term_without_expressions_matches_no_node() {
    let terms = required(json!([{}, {"matchExpressions": []}])).unwrap();
    assert_eq!(terms.len(), 1);
    for labels in [Labels::new(), Labels::from([(label::OS.into(), "linux".into())])] {
        assert!(terms[0].first_unmet(&labels).is_some());
    }
    assert!(
        Requirements::from_labels(&Labels::from([(label::OS.into(), "linux".into())]))
            .first_conflict(&terms[0], |_| false)
            .is_some()
    );
}

#[test]
fn preferred_terms_have_weights() {
    let preferred = |weight: i32| {
        json!({"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": weight, "preference": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["4"]}]}},
            {"weight": 1, "preference": {}},
        ]})
    };
    let (_, terms) = nodes(preferred(50)).unwrap();
    assert_eq!(terms.len(), 1);
    assert_eq!((terms[0].weight, terms[0].requirements.to_string()), (50, "a >= 5".to_owned()));
    assert_eq!(
        nodes(preferred(101)).unwrap_err().to_string(),
        "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: 101 is not from 1 to 100: \
         write 1 to 100"
    );
}

#[test]
fn errors_of_node_affinity_name_the_expression() {
    let terms = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let expression = |value: Value| json!([{"matchExpressions": [value]}]);
    for (value, line) in [
        (json!([]), ": needs at least one term: add one, or remove the required node affinity"),
        (
            json!([{"matchFields": [{"key": "spec.x", "operator": "In", "values": ["a"]}]}]),
            "[0].matchFields[0].key: field \"spec.x\" cannot be selected by: use metadata.name, or matchExpressions on a \
             label",
        ),
        (
            expression(json!({"key": "a", "operator": "Gte", "values": ["1"]})),
            "[0].matchExpressions[0].operator: \"Gte\" is not an operator of node affinity: did you mean \"Gt\"?",
        ),
        (
            expression(json!({"key": "a", "operator": "NotIn"})),
            "[0].matchExpressions[0].values: operator NotIn needs at least one value: add one, or remove the expression",
        ),
        (
            expression(json!({"key": "a", "operator": "Lt", "values": ["x"]})),
            "[0].matchExpressions[0].values: operator Lt needs exactly one value, an integer of at least 0, not [x]: write \
             one integer, in quotes",
        ),
    ] {
        assert_eq!(required(value).unwrap_err().to_string(), format!("{terms}{line}"));
    }
}

#[test]
fn pod_affinity_knows_its_namespaces() {
    let term = |more: Value| {
        let mut term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}});
        term.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    };
    let other = |names: &[&str], selector| NamespaceSelector::Other {
        names: names.iter().map(|name| Str::from(*name)).collect(),
        selector,
    };
    for (more, namespaces) in [
        (json!({}), NamespaceSelector::Own),
        (json!({"namespaces": []}), NamespaceSelector::Own),
        (json!({"namespaces": ["b", "a", "b"]}), other(&["a", "b"], None)),
        (json!({"namespaceSelector": {}}), other(&[], Some(Default::default()))),
    ] {
        let terms = pods(term(more));
        assert_eq!(terms[0].namespaces, namespaces);
        assert!(terms[0].anti && terms[0].weight.is_none());
    }
    let narrowed = pods(term(json!({"matchLabelKeys": ["hash"], "mismatchLabelKeys": ["app", "absent"]})));
    let text: Vec<String> =
        narrowed[0].selector.0.iter().map(|e| format!("{} {:?} {:?}", e.key, e.operator, e.values)).collect();
    assert_eq!(text, [r#"app In ["web"]"#, r#"app NotIn ["web"]"#, r#"hash In ["h1"]"#]);
    let preferred = json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 7, "podAffinityTerm": {"topologyKey": "zone"}}
    ]}});
    let preferred = pods(preferred);
    assert_eq!((preferred[0].anti, preferred[0].weight), (false, Some(7)));
    assert!(!preferred[0].selector.matches(&own()), "no selector selects nothing");
}

#[test]
fn spread_constraints_have_kubernetes_defaults() {
    let read = |value: Value| {
        let constraint: TopologySpreadConstraint = decode(&value).unwrap();
        spread(&At::ROOT.field("spec"), Some(&[constraint]), &own()).map(|mut all| all.remove(0))
    };
    let minimal = json!({"topologyKey": "topology.kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["hash", "absent"]});
    let constraint = read(minimal.clone()).unwrap();
    assert_eq!(constraint.node_affinity_policy, SpreadPolicy::Honor);
    assert_eq!(constraint.node_taints_policy, SpreadPolicy::Ignore);
    assert_eq!((constraint.max_skew, constraint.min_domains, constraint.selector.0.len()), (1, None, 2));
    let with = |field: &str, value: Value| {
        let mut changed = minimal.clone();
        changed[field] = value;
        read(changed)
    };
    assert_eq!(with("nodeTaintsPolicy", json!("Honor")).unwrap().node_taints_policy, SpreadPolicy::Honor);
    for (field, value, line) in [
        ("maxSkew", json!(0), "spec.topologySpreadConstraints[0].maxSkew: 0 is not above 0: write 1 or more"),
        (
            "minDomains",
            json!(-2),
            "spec.topologySpreadConstraints[0].minDomains: -2 is not above 0: write 1 or more",
        ),
        (
            "whenUnsatisfiable",
            json!("Never"),
            "spec.topologySpreadConstraints[0].whenUnsatisfiable: \"Never\" is not known: write DoNotSchedule or \
             ScheduleAnyway",
        ),
        (
            "topologyKey",
            json!(""),
            "spec.topologySpreadConstraints[0].topologyKey: is missing: write a node label, such as kubernetes.io/hostname",
        ),
        (
            "nodeAffinityPolicy",
            json!("honor"),
            "spec.topologySpreadConstraints[0].nodeAffinityPolicy: \"honor\" is not known: write Honor or Ignore",
        ),
    ] {
        assert_eq!(with(field, value).unwrap_err().to_string(), line);
    }
}
