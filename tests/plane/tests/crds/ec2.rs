//! EC2NodeClass and KWOKNodeClass.

use serde_json::{Map, Value, json};

use super::{Accepted, Outcome, Refused, many, try_all};

pub(crate) fn class() -> Value {
    json!({
        "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": {"name": "class"},
        "spec": {
            "role": "nodes",
            "amiSelectorTerms": [{"alias": "al2023@latest"}],
            "subnetSelectorTerms": [{"tags": {"a": "b"}}],
            "securityGroupSelectorTerms": [{"tags": {"a": "b"}}],
        },
    })
}

fn spec(fields: Value) -> Value {
    json!({"spec": fields})
}

/// The cases of a field, each of them a value of it.
fn field(name: &str, cases: Vec<(Value, Outcome)>) -> Vec<(Value, Outcome)> {
    cases.into_iter().map(|(value, outcome)| (spec(json!({name: value})), outcome)).collect()
}

fn tags(count: usize) -> Value {
    Value::Object(many(count, |n| (format!("t{n}"), json!("*"))).into_iter().collect::<Map<_, _>>())
}

/// What holds for the tags and the number of all kinds of terms.
fn terms(name: &str) -> Vec<(Value, Outcome)> {
    let mut cases = field(
        name,
        vec![
            (json!(many(30, |_| json!({"tags": {"a": "*"}}))), Accepted),
            (json!(many(31, |_| json!({"tags": {"a": "*"}}))), Refused("must have at most 30 items")),
            (json!([{"tags": tags(20)}]), Accepted),
            (json!([{"tags": tags(21)}]), Refused("must have at most 20 items")),
            (json!([{"tags": {"": "a"}}]), Refused("empty tag keys or values aren't supported")),
            (json!([{"tags": {"a": ""}}]), Refused("empty tag keys or values aren't supported")),
            (json!([{}]), Refused("expected at least one, got none")),
        ],
    );
    if name == "amiSelectorTerms" {
        // Without an alias the family has to be named.
        cases.iter_mut().for_each(|(change, _)| change["spec"]["amiFamily"] = json!("AL2023"));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors() {
    let alone = "'id' is mutually exclusive";
    let mut cases = Vec::new();
    for list in [
        "subnetSelectorTerms",
        "securityGroupSelectorTerms",
        "capacityReservationSelectorTerms",
        "amiSelectorTerms",
    ] {
        cases.extend(terms(list));
    }
    for list in ["subnetSelectorTerms", "securityGroupSelectorTerms", "amiSelectorTerms"] {
        cases.push((spec(json!({list: null})), Refused("Required value")));
    }
    cases.extend(field(
        "subnetSelectorTerms",
        vec![
            (json!([]), Refused("subnetSelectorTerms cannot be empty")),
            (json!([{"id": "subnet-12ab"}]), Accepted),
            (json!([{"id": "sub-12ab"}]), Refused("should match")),
            (json!([{"id": "subnet-1", "tags": {"a": "b"}}]), Refused(alone)),
            // One bad term among good ones passes, as with Karpenter.
            (json!([{"id": "subnet-1", "tags": {"a": "b"}}, {"id": "subnet-2"}]), Accepted),
        ],
    ));
    cases.extend(field(
        "securityGroupSelectorTerms",
        vec![
            (json!([]), Refused("securityGroupSelectorTerms cannot be empty")),
            (json!([{"id": "sg-12ab"}, {"name": "n"}]), Accepted),
            (json!([{"id": "12ab"}]), Refused("should match")),
            (json!([{"id": "sg-1", "name": "n"}]), Refused(alone)),
            (json!([{"name": "n", "tags": {"a": "b"}}]), Refused("'name' is mutually exclusive")),
        ],
    ));
    cases.extend(field(
        "capacityReservationSelectorTerms",
        vec![
            // What holds for all terms holds for none, as with Karpenter.
            (json!([]), Refused(alone)),
            (
                json!([{"id": "cr-12ab"}, {"instanceMatchCriteria": "open", "ownerID": "012345678901"}]),
                Accepted,
            ),
            (json!([{"id": "xcr-1"}]), Refused("should match")),
            (json!([{"tags": {"a": "b"}, "ownerID": "1"}]), Refused("should match")),
            (json!([{"instanceMatchCriteria": "closed"}]), Refused("Unsupported value")),
            (json!([{"ownerID": "012345678901"}]), Refused("expected at least one")),
            (json!([{"id": "cr-1", "ownerID": "012345678901"}]), Refused(alone)),
        ],
    ));
    cases.extend(field(
        "placementGroupSelector",
        vec![
            (json!({"name": "n"}), Accepted),
            (json!({"id": "pg-1"}), Accepted),
            (json!({}), Refused("expected at least one, got none, ['name', 'id']")),
            (json!({"name": "n", "id": "pg-1"}), Refused("'name' and 'id' are mutually exclusive")),
            (json!({"name": ""}), Refused("at least 1 chars long")),
            (json!({"id": "x-pg-1"}), Refused("should match")),
        ],
    ));
    try_all(class(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images() {
    let alias = |alias: &str| spec(json!({"amiSelectorTerms": [{"alias": alias}]}));
    let images = |terms: Value| spec(json!({"amiFamily": "AL2023", "amiSelectorTerms": terms}));
    let mut cases = vec![
        (alias("al2023@v20260101"), Accepted),
        (alias("windows2022@latest"), Accepted),
        (alias("windows2022@v1"), Refused("windows families may only specify version 'latest'")),
        (alias("al2023"), Refused("'alias' is improperly formatted")),
        (alias("ubuntu@latest"), Refused("family is not supported")),
        (alias(&format!("al2023@{}", "v".repeat(24))), Refused("Too long")),
        (spec(json!({"amiSelectorTerms": []})), Refused("at least 1 items")),
        (
            images(json!([{"id": "ami-12ab"}, {"name": "n", "owner": "self"}, {"ssmParameter": "/a/b"}])),
            Accepted,
        ),
        (images(json!([{"id": "12ab"}])), Refused("should match")),
        (images(json!([{"owner": "self"}])), Refused("expected at least one")),
        (images(json!([{"id": "ami-1", "name": "n"}])), Refused("'id' is mutually exclusive")),
        (
            images(json!([{"id": "ami-1", "owner": "self"}, {"name": "n"}])),
            Refused("'id' is mutually exclusive"),
        ),
        (images(json!([{"alias": "al2023@latest", "name": "n"}])), Refused("'alias' is mutually exclusive")),
        (
            images(json!([{"alias": "al2023@latest"}, {"name": "n"}])),
            Refused("cannot be set with a combination of other amiSelectorTerms"),
        ),
        (spec(json!({"amiSelectorTerms": [{"id": "ami-1"}]})), Refused("must specify amiFamily")),
        (spec(json!({"amiFamily": "Ubuntu"})), Refused("Unsupported value")),
        (spec(json!({"role": null})), Refused("must specify exactly one of ['role', 'instanceProfile']")),
        (
            spec(json!({"instanceProfile": "p"})),
            Refused("must specify exactly one of ['role', 'instanceProfile']"),
        ),
        (spec(json!({"role": null, "instanceProfile": "p"})), Accepted),
        (spec(json!({"role": ""})), Refused("role cannot be empty")),
        (spec(json!({"role": null, "instanceProfile": ""})), Refused("instanceProfile cannot be empty")),
    ];
    for family in ["AL2", "AL2023", "Bottlerocket", "Windows2019", "Windows2022", "Windows2025"] {
        let with = |chosen: &str| {
            let alias = format!("{}@latest", family.to_lowercase());
            spec(json!({"amiFamily": chosen, "amiSelectorTerms": [{"alias": alias}]}))
        };
        let other = if family == "AL2" { "AL2023" } else { "AL2" };
        cases.extend([
            (with(family), Accepted),
            (with("Custom"), Accepted),
            (with(other), Refused("if set, amiFamily must be")),
        ]);
    }
    try_all(class(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_and_interfaces() {
    let mapping = |ebs: Value| json!([{"deviceName": "/dev/xvda", "ebs": ebs}]);
    let mut cases = field(
        "blockDeviceMappings",
        vec![
            (
                mapping(json!({
                    "volumeSize": "100Gi", "volumeType": "gp3", "iops": 3000, "throughput": 125, "encrypted": true,
                    "deleteOnTermination": true, "kmsKeyID": "k", "snapshotID": "s", "volumeInitializationRate": 300,
                })),
                Accepted,
            ),
            (json!([{"rootVolume": true}, {"rootVolume": false}, {}]), Accepted),
            (
                json!([{"rootVolume": true}, {"rootVolume": true}]),
                Refused("only one blockDeviceMappings with rootVolume"),
            ),
            (json!(many(51, |_| json!({}))), Refused("must have at most 50 items")),
            (mapping(json!({})), Refused("snapshotID or volumeSize must be defined")),
            (mapping(json!({"snapshotID": "s"})), Accepted),
            (
                mapping(json!({"volumeSize": "1Gi", "volumeInitializationRate": 100})),
                Refused("snapshotID must be set when volumeInitializationRate is set"),
            ),
            (
                mapping(json!({"volumeSize": "1Gi", "snapshotID": "", "volumeInitializationRate": 100})),
                Refused("snapshotID must be set when volumeInitializationRate is set"),
            ),
            (
                mapping(json!({"snapshotID": "s", "volumeInitializationRate": 99})),
                Refused("greater than or equal to 100"),
            ),
            (
                mapping(json!({"snapshotID": "s", "volumeInitializationRate": 301})),
                Refused("less than or equal to 300"),
            ),
            (mapping(json!({"volumeSize": "1Gi", "volumeType": "gp4"})), Refused("Unsupported value")),
        ],
    );
    for size in ["1Gi", "59000Gi", "64000G", "9Ti", "57Ti", "58Ti", "64T", "Ti"] {
        cases.extend(field("blockDeviceMappings", vec![(mapping(json!({"volumeSize": size})), Accepted)]));
    }
    for size in ["0Gi", "59001Gi", "64001G", "18Ti", "59Ti", "65T", "100", "1Mi"] {
        cases.extend(field(
            "blockDeviceMappings",
            vec![(mapping(json!({"volumeSize": size})), Refused("should match"))],
        ));
    }
    let interface = |card: i32, device: i32, kind: &str| json!({"networkCardIndex": card, "deviceIndex": device, "interfaceType": kind});
    let first = || interface(0, 0, "interface");
    let twice = "must not have duplicate networkCardIndex and deviceIndex pairs";
    cases.extend(field(
        "networkInterfaces",
        vec![
            (json!([]), Accepted),
            (json!([first(), interface(0, 1, "efa-only"), interface(1, 1, "efa-only")]), Accepted),
            (json!([interface(0, 0, "efa-only")]), Refused("must include a primary interface")),
            (json!([interface(1, 0, "interface")]), Refused("must include a primary interface")),
            (json!([first(), interface(1, 1, "interface"), interface(1, 1, "interface")]), Refused(twice)),
            (json!([first(), interface(0, 1, "efa-only"), interface(0, 2, "efa-only")]), Refused(twice)),
            (json!([first(), interface(-1, 0, "interface")]), Refused("greater than or equal to 0")),
            (json!([first(), interface(0, -1, "interface")]), Refused("greater than or equal to 0")),
            (json!([interface(0, 0, "efa")]), Refused("Unsupported value")),
            (json!([{"networkCardIndex": 0, "deviceIndex": 0}]), Refused("interfaceType: Required value")),
            (
                json!([{"networkCardIndex": 0, "interfaceType": "interface"}]),
                Refused("deviceIndex: Required value"),
            ),
            (
                json!([{"deviceIndex": 0, "interfaceType": "interface"}]),
                Refused("networkCardIndex: Required value"),
            ),
            (json!(many(151, |_| first())), Refused("must have at most 150 items")),
        ],
    ));
    try_all(class(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_else() {
    let mut cases = Vec::new();
    for (tag, outcome) in [
        ("team", Accepted),
        ("", Refused("empty tag keys aren't supported")),
        ("eks:eks-cluster-name", Refused("restricted tag matching eks:eks-cluster-name")),
        ("kubernetes.io/cluster/c", Refused("restricted tag matching kubernetes.io/cluster/")),
        ("karpenter.sh/nodepool", Refused("restricted tag matching karpenter.sh/nodepool")),
        ("karpenter.sh/nodeclaim", Refused("restricted tag matching karpenter.sh/nodeclaim")),
        ("karpenter.k8s.aws/ec2nodeclass", Refused("restricted tag matching karpenter.k8s.aws/ec2nodeclass")),
    ] {
        cases.push((spec(json!({"tags": {tag: ""}})), outcome));
    }
    cases.extend(field(
        "metadataOptions",
        vec![
            (
                json!({"httpEndpoint": "disabled", "httpProtocolIPv6": "enabled", "httpTokens": "optional"}),
                Accepted,
            ),
            (json!({"httpEndpoint": "on"}), Refused("Unsupported value")),
            (json!({"httpProtocolIPv6": "on"}), Refused("Unsupported value")),
            (json!({"httpTokens": "no"}), Refused("Unsupported value")),
            (json!({"httpPutResponseHopLimit": 64}), Accepted),
            (json!({"httpPutResponseHopLimit": 65}), Refused("less than or equal to 64")),
            (json!({"httpPutResponseHopLimit": 0}), Refused("greater than or equal to 1")),
        ],
    ));
    cases.extend(field(
        "connectionTracking",
        vec![(json!({}), Refused("at least one of tcpEstablishedTimeout"))],
    ));
    for (timeout, least, most) in
        [("tcpEstablishedTimeout", 60, 432_000), ("udpStreamTimeout", 60, 180), ("udpTimeout", 30, 60)]
    {
        cases.extend(field(
            "connectionTracking",
            vec![
                (json!({timeout: least}), Accepted),
                (json!({timeout: most}), Accepted),
                (json!({timeout: least - 1}), Refused("greater than or equal to")),
                (json!({timeout: most + 1}), Refused("less than or equal to")),
            ],
        ));
    }
    cases.extend([
        (json!({"spec": null}), Accepted),
        (
            spec(json!({"associatePublicIPAddress": false, "detailedMonitoring": true, "context": "c"})),
            Accepted,
        ),
        (spec(json!({"associatePublicIPAddress": "no"})), Refused("must be of type boolean")),
        (spec(json!({"userData": "#!/bin/sh\ntrue\n"})), Accepted),
        (spec(json!({"ipPrefixCount": 0})), Accepted),
        (spec(json!({"ipPrefixCount": -1})), Refused("greater than or equal to 0")),
        (spec(json!({"instanceStorePolicy": "RAID0"})), Accepted),
        (spec(json!({"instanceStorePolicy": "RAID1"})), Refused("Unsupported value")),
        (spec(json!({"cpuOptions": {"nestedVirtualization": "enabled"}})), Accepted),
        (spec(json!({"cpuOptions": {"nestedVirtualization": "yes"}})), Refused("Unsupported value")),
        (spec(json!({"kubelet": {"maxPods": "max_pods - 1", "anything": {"goes": [1, "2"]}}})), Accepted),
        (spec(json!({"kubelet": []})), Refused("must be of type object")),
    ]);
    try_all(class(), cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kwok() {
    let base = json!({"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": "k"}});
    let delay = |delay: &str| spec(json!({"nodeRegistrationDelay": delay}));
    let cases = vec![
        (spec(json!({})), Accepted),
        (delay("1m30s"), Accepted),
        (delay("1.5s"), Refused("should match")),
        (delay("soon"), Refused("should match")),
    ];
    try_all(base, cases).await;
}
