use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn claim(spec: Value, metadata: Value, status: Value) -> VolumeClaimFacts {
    let mut all = json!({"name": "data", "namespace": "shop"});
    all.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
    volume_claim(&decode(&json!({"metadata": all, "spec": spec, "status": status})).unwrap()).unwrap()
}

fn waiting(spec: Value) -> VolumeClaimFacts {
    claim(spec, json!({}), json!({"phase": "Pending"}))
}

fn bound(name: &str) -> VolumeClaimFacts {
    let metadata = json!({"annotations": {"pv.kubernetes.io/bind-completed": "yes"}});
    claim(json!({"volumeName": name, "storageClassName": "gp3"}), metadata, json!({"phase": "Bound"}))
}

fn storage() -> Storage {
    let zone = |key: &str, zone: &str| json!({"key": key, "operator": "In", "values": [zone]});
    let terms =
        |expressions: Value| json!({"required": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}});
    let volumes = [
        json!({"metadata": {"name": "csi"}, "spec": {"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "v"},
            "nodeAffinity": terms(json!([zone("topology.ebs.csi.aws.com/zone", "z1")]))}}),
        json!({"metadata": {"name": "old"}, "spec": {"awsElasticBlockStore": {"volumeID": "v"},
            "nodeAffinity": terms(json!([zone("failure-domain.beta.kubernetes.io/zone", "z2")]))}}),
        json!({"metadata": {"name": "local"}, "spec": {"local": {"path": "/mnt"},
            "nodeAffinity": terms(json!([zone("kubernetes.io/hostname", "n1"), zone("topology.kubernetes.io/zone", "z1")]))}}),
        json!({"metadata": {"name": "going", "deletionTimestamp": "2026-01-02T03:04:05Z"}, "spec": {}}),
    ];
    let classes = [
        json!({"metadata": {"name": "gp3"}, "provisioner": "ebs.csi.aws.com", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["z1", "z2"]}]}]}),
        json!({"metadata": {"name": "gp2"}, "provisioner": "kubernetes.io/aws-ebs", "volumeBindingMode": "Immediate"}),
        json!({"metadata": {"name": "racks"}, "provisioner": "ebs.csi.aws.com", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "example.com/rack", "values": ["r1"]}]}]}),
    ];
    let mut storage = Storage::default();
    for value in &volumes {
        let volume = volume(&decode(value).unwrap()).unwrap();
        storage.volumes.insert(volume.name.clone(), volume);
    }
    for value in &classes {
        let class = storage_class(&decode(value).unwrap()).unwrap();
        storage.classes.insert(class.name.clone(), class);
    }
    storage
}

fn told(resolved: &VolumeClaim) -> (Vec<String>, &str, Option<&str>) {
    let topologies = resolved.topologies.iter().map(ToString::to_string).collect();
    (topologies, &resolved.driver, resolved.problem.as_deref())
}

#[test]
fn a_claim_is_where_its_volume_is_or_may_be() {
    let storage = storage();
    let zones = |zones: &str| vec![format!("topology.kubernetes.io/zone In [{zones}]")];
    let ebs = "ebs.csi.aws.com";
    for (claim, topologies, driver) in [
        (bound("csi"), zones("z1"), ebs),
        // A volume of Kubernetes' own plugin is attached by the driver that replaced it.
        (bound("old"), zones("z2"), ebs),
        // Another node has another name. The driver is the class's where the volume names none.
        (bound("local"), zones("z1"), ebs),
        (waiting(json!({"storageClassName": "gp3"})), zones("z1, z2"), ebs),
    ] {
        assert_eq!(told(&storage.resolve(&claim)), (topologies, driver, None), "{claim:?}");
    }
}

#[test]
fn a_claim_that_cannot_be_used_says_why_and_has_its_driver_still() {
    let mut storage = storage();
    storage.unsupported.topology_keys.insert("example.com/rack".into());
    let ebs = "ebs.csi.aws.com";
    let gp3 = json!({"storageClassName": "gp3"});
    let deleting = json!({"deletionTimestamp": "2026-01-02T03:04:05Z"});
    let half = json!({"volumeName": "csi", "storageClassName": "gp3"});
    for (claim, driver, problem) in [
        (claim(gp3.clone(), deleting, json!({})), ebs, "is being deleted"),
        (claim(gp3, json!({}), json!({"phase": "Lost"})), ebs, "has lost its volume"),
        (bound("absent"), ebs, "is bound to PersistentVolume absent, which does not exist"),
        (bound("going"), ebs, "is bound to PersistentVolume going, which is being deleted"),
        (claim(half, json!({}), json!({})), ebs, "is bound by half"),
        (waiting(json!({"storageClassName": "x"})), "", "has StorageClass \"x\", which does not exist"),
        (waiting(json!({"storageClassName": ""})), "", "has StorageClass \"\", which does not exist"),
        (waiting(json!({})), "", "has StorageClass \"\", which does not exist"),
        (
            waiting(json!({"storageClassName": "gp2"})),
            ebs,
            "is not bound, and StorageClass gp2 binds at once",
        ),
        (
            waiting(json!({"storageClassName": "racks"})),
            ebs,
            "has StorageClass racks, whose topology key example.com/rack is not supported",
        ),
    ] {
        assert_eq!(told(&storage.resolve(&claim)), (Vec::new(), driver, Some(problem)));
    }
    storage.unsupported.drivers.insert(ebs.into());
    let problem = "has driver ebs.csi.aws.com, which is not supported";
    for claim in [bound("csi"), waiting(json!({"storageClassName": "gp3"}))] {
        assert_eq!(told(&storage.resolve(&claim)), (Vec::new(), ebs, Some(problem)));
        assert_eq!(storage.reach(&claim).unwrap_err(), problem);
    }
}

#[test]
fn the_newest_default_class_is_the_default() {
    let mut storage = storage();
    assert_eq!(storage.default_class(), None);
    for (name, created) in [("b", 5), ("a", 5), ("c", 1)] {
        let class = StorageClass {
            name: name.into(),
            driver: "d".into(),
            waits_for_consumer: true,
            topologies: Vec::new(),
            topology_keys: Vec::new(),
            default: true,
            created: Time(created),
        };
        storage.classes.insert(class.name.clone(), class);
    }
    assert_eq!(storage.default_class().map(|name| &**name), Some("a"));
}

#[test]
fn limits_of_a_node_are_by_driver() {
    let node = csi_node(
        &decode(&json!({"metadata": {"name": "n"}, "spec": {"drivers": [
            {"name": "efs.csi.aws.com", "nodeID": "i"},
            {"name": "ebs.csi.aws.com", "nodeID": "i", "allocatable": {"count": 26}},
        ]}}))
        .unwrap(),
    )
    .unwrap();
    let limits = [("ebs.csi.aws.com".into(), Some(26)), ("efs.csi.aws.com".into(), None)];
    assert_eq!(node, CsiNode { node: "n".into(), drivers: limits.into() });
}
