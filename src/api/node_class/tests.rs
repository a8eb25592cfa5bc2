use serde_json::{Value, json};

use super::*;
use crate::decode::decode;

fn ec2(spec: Value) -> Result<NodeClass, FieldError> {
    ec2_node_class(&decode(&json!({"metadata": {"name": "c"}, "spec": spec}))?)
}

#[test]
fn the_root_volume_is_found_as_karpenter_finds_it() {
    let mapping = |device: &str, size: &str| json!({"deviceName": device, "ebs": {"volumeSize": size}});
    let mut root = mapping("/dev/xvdc", "30Gi");
    root["rootVolume"] = json!(true);
    for (family, mappings, size) in [
        ("AL2023", json!([]), None),
        ("AL2023", json!([mapping("/dev/xvdb", "10Gi"), mapping("/dev/xvda", "50Gi")]), Some(50 << 30)),
        ("Bottlerocket", json!([mapping("/dev/xvdb", "10Gi"), mapping("/dev/xvda", "50Gi")]), Some(10 << 30)),
        ("Windows2022", json!([mapping("/dev/sda1", "60G")]), Some(60_000_000_000)),
        ("Custom", json!([mapping("/dev/a", "1Gi"), mapping("/dev/b", "2Gi")]), Some(2 << 30)),
        ("AL2023", json!([mapping("/dev/xvda", "50Gi"), root]), Some(30 << 30)),
        ("AL2023", json!([{"deviceName": "/dev/xvda", "ebs": {"snapshotID": "s"}}]), None),
        ("AL2023", json!([{"deviceName": "/dev/xvda"}]), None),
    ] {
        let class = ec2(json!({"amiFamily": family, "blockDeviceMappings": mappings})).unwrap();
        assert_eq!(class.root_volume, size, "{family} {mappings}");
    }
}

#[test]
fn classes_are_read() {
    let class = ec2(json!({
        "amiSelectorTerms": [{"alias": "bottlerocket@latest"}], "role": "r", "instanceStorePolicy": "RAID0",
        "kubelet": {"maxPods": 42, "podsPerCore": 5, "clusterDNS": ["10.0.0.10"]},
    }))
    .unwrap();
    assert_eq!((class.max_pods, class.pods_per_core, class.instance_store_raid0), (Some(42), Some(5), true));
    assert_eq!((&*class.kind, class.image_family.as_deref()), ("EC2NodeClass", Some("Bottlerocket")));
    assert!(class.ready);
    assert_eq!(ec2(json!({})).unwrap().image_family.as_deref(), Some("Custom"));
    let kwok = json!({"metadata": {"name": "k"}, "spec": {"nodeRegistrationDelay": "30s"},
        "status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let class = kwok_node_class(&decode(&kwok).unwrap()).unwrap();
    assert_eq!((class.registration_delay, class.ready), (Some(Span::secs(30)), false));
}

#[test]
fn errors_name_the_field() {
    for (spec, line) in [
        (
            json!({"instanceStorePolicy": "RAID1"}),
            "spec.instanceStorePolicy: \"RAID1\" is not known: write RAID0, or leave it out",
        ),
        (json!({"kubelet": {"maxPods": -1}}), "spec.kubelet.maxPods: -1 is negative: write 0 or more"),
        (
            json!({"kubelet": {"maxPods": "vcpus * 10"}}),
            "spec.kubelet.maxPods: expression \"vcpus * 10\" cannot be evaluated: write a number, without quotes",
        ),
        (
            json!({"blockDeviceMappings": [{"rootVolume": true}, {"rootVolume": true}]}),
            "spec.blockDeviceMappings: more than one is the root volume: set rootVolume on one of them",
        ),
    ] {
        assert_eq!(ec2(spec).unwrap_err().to_string(), line);
    }
}
