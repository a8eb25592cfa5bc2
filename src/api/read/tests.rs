use proptest::prelude::*;

use super::*;

fn error(text: &str) -> String {
    read("a.yaml", text).unwrap_err().to_string()
}

#[test]
fn errors_are_one_line_with_source_line_object_and_field() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  \
                namespace: ns\nspec:\n  containers:\n  - name: a\n    resources: {requests: {cpu: -1}}\n";
    let line = "a.yaml:5: Pod ns/p: spec.containers[0].resources.requests[cpu]: \"-1\" is negative: write zero or more";
    assert_eq!(error(text), line);
    for (text, line) in [
        (
            "apiVersion: karpenter.sh/v1beta1\nkind: NodePool\nmetadata: {name: p}\n",
            "a.yaml:1: NodePool p: apiVersion: \"karpenter.sh/v1beta1\" is not the version of NodePool that is read: convert \
             the object to karpenter.sh/v1",
        ),
        ("a: b\n", "a.yaml:1: apiVersion: is missing: every Kubernetes object has it: add it"),
        ("apiVersion: v1\n", "a.yaml:1: kind: is missing: every Kubernetes object has it: add it"),
        (
            "just text\n",
            "a.yaml:1: this is not a Kubernetes object: write an object with apiVersion, kind and metadata",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {on: yes}}\n",
            "a.yaml:1: Pod p: metadata.labels[on]: true where a string is expected: put it in quotes",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n",
            "a.yaml:1: Pod p: spec: is missing: it is required: add it",
        ),
    ] {
        assert_eq!(error(text), line);
    }
}

#[test]
fn the_output_of_kubectl_is_read() {
    let json = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}, "spec": {}, "status": {}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "labels": {"a": "b"}}},
        {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "gp3"}, "provisioner": "ebs.csi.aws.com"},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}}
    ]}"#;
    let yaml = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata:\n    name: node-1\n- apiVersion: v1\n  \
                kind: Namespace\n  metadata: {name: ns, labels: {a: b}}\n- apiVersion: storage.k8s.io/v1\n  kind: \
                StorageClass\n  metadata: {name: gp3}\n  provisioner: ebs.csi.aws.com\n- apiVersion: v1\n  kind: Service\n  \
                metadata: {name: s}\n";
    let (from_json, from_yaml) = (read("x", json).unwrap(), read("x", yaml).unwrap());
    assert_eq!(from_json, from_yaml);
    assert!(matches!(&from_json[0].value, Object::Node(_)));
    assert!(matches!(&from_json[1].value, Object::Namespace { labels, .. } if labels.len() == 2));
    assert!(matches!(&from_json[2].value, Object::StorageClass(class) if &*class.name == "gp3"));
    assert!(
        matches!(&from_json[3].value, Object::Other { kind, name, .. } if &**kind == "Service" && &**name == "s")
    );
}

#[test]
fn a_claim_is_read() {
    let text = "
apiVersion: karpenter.sh/v1
kind: NodeClaim
metadata:
  name: c
  labels: {karpenter.sh/nodepool: p}
  annotations:
    karpenter.sh/nodepool-hash: '1'
    karpenter.sh/nodepool-hash-version: v3
    karpenter.sh/nodeclaim-termination-timestamp: '1970-01-01T01:00:02+01:00'
spec:
  nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
  requirements:
  - {key: karpenter.sh/nodepool, operator: In, values: [p]}
  resources: {requests: {cpu: 1500m}}
status:
  providerID: aws:///us-east-1a/i-1
  nodeName: node-1
  capacity: {cpu: 2}
  conditions:
  - {type: Launched, status: 'True'}
  - {type: Registered, status: Unknown, reason: ''}
";
    let objects = read("x", text).unwrap();
    let Object::NodeClaim(claim) = &objects[0].value else { panic!("{objects:?}") };
    assert!(claim.is("Launched") && !claim.is("Registered"));
    assert_eq!(claim.pool.as_ref().unwrap().as_str(), "p");
    assert_eq!(claim.hash, Some(("1".into(), "v3".into())));
    assert_eq!(claim.deadline, Some(purser_engine::model::Time(2_000_000)));
    assert_eq!((claim.requests.cpu_millis, claim.capacity.cpu_millis), (1_500, 2_000));
    assert_eq!(
        (claim.instance.as_ref().unwrap().as_str(), claim.node.as_ref().unwrap().as_str()),
        ("i-1", "node-1")
    );
    assert_eq!(objects[0].line, 2);
    let bad = text.replace("requirements:", "requirement:");
    assert_eq!(
        error(&bad),
        "a.yaml:2: NodeClaim c: spec.requirement: there is no such field: did you mean \"requirements\"?"
    );
}

/// Texts that are near to manifests: known keys and values, at random places and of random shapes.
fn value() -> impl Strategy<Value = Value> {
    let word = || {
        prop::sample::select(vec![
            "v1",
            "Pod",
            "Node",
            "NodePool",
            "NodeClaim",
            "karpenter.sh/v1",
            "List",
            "apps/v1",
            "DaemonSet",
            "In",
            "Gt",
            "-1",
            "1e3",
            "10%",
            "Never",
            "720h",
            "@daily",
            "a",
            "",
            "9999999999999999999Ei",
        ])
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
        "\\PC*".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "labels",
        "spec",
        "status",
        "items",
        "template",
        "containers",
        "resources",
        "requests",
        "cpu",
        "memory",
        "tolerations",
        "key",
        "operator",
        "values",
        "requirements",
        "limits",
        "disruption",
        "budgets",
        "nodes",
        "schedule",
        "duration",
        "taints",
        "nodeClassRef",
        "conditions",
        "expireAfter",
        "affinity",
        "nodeAffinity",
        "topologySpreadConstraints",
        "volumes",
        "ports",
        "hostPort",
        "weight",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

/// An object of a known kind with anything as its parts.
fn nearly() -> impl Strategy<Value = Value> {
    let kinds = prop::sample::select(vec![
        ("v1", "Pod"),
        ("v1", "Node"),
        ("karpenter.sh/v1", "NodePool"),
        ("karpenter.sh/v1", "NodeClaim"),
        ("karpenter.k8s.aws/v1", "EC2NodeClass"),
        ("apps/v1", "DaemonSet"),
        ("batch/v1", "CronJob"),
        ("policy/v1", "PodDisruptionBudget"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "PersistentVolume"),
        ("storage.k8s.io/v1", "StorageClass"),
        ("storage.k8s.io/v1", "CSINode"),
    ]);
    (kinds, value(), value(), value()).prop_map(|((version, kind), mut metadata, spec, status)| {
        if let Value::Object(fields) = &mut metadata {
            fields.insert("name".to_owned(), "n".into());
        }
        serde_json::json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec, "status": status})
    })
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).*") {
        let _ = read("x", &text);
    }

    #[test]
    fn no_text_of_yaml_marks_panics(text in "[-:{}\\[\\],&*!|>'\"%@`#?~ \\na0.\t]{0,60}") {
        if let Err(error) = read("x", &text) {
            prop_assert!(!error.to_string().contains('\n'));
        }
    }

    #[test]
    fn no_object_panics(value in prop_oneof![value(), nearly()]) {
        let text = value.to_string();
        if let Err(error) = read("x", &text) {
            prop_assert!(!error.to_string().contains('\n'), "{}", error);
        }
        if let Ok(yaml) = serde_saphyr::to_string(&value) {
            let _ = read("x", &yaml);
        }
    }
}
