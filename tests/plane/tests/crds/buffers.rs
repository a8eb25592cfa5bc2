//! CapacityBuffer.

use serde_json::{Value, json};

use super::{Accepted, Refused, try_all};

#[tokio::test(flavor = "multi_thread")]
async fn specs() {
    let base = json!({
        "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer",
        "metadata": {"name": "buffer", "namespace": "default"}, "spec": {},
    });
    let spec = |fields: Value| json!({"spec": fields});
    let template = json!({"name": "t"});
    let scalable = json!({"apiGroup": "apps", "kind": "Deployment", "name": "web"});
    let needs = "If podTemplateRef is set, replicas or limits must also be set";
    let cases = vec![
        (json!({"spec": null}), Refused("spec: Required value")),
        (spec(json!({"podTemplateRef": template, "replicas": 0})), Accepted),
        (spec(json!({"podTemplateRef": template, "limits": {"cpu": "4"}})), Accepted),
        (spec(json!({"podTemplateRef": template})), Refused(needs)),
        (spec(json!({"podTemplateRef": template, "percentage": 10})), Refused(needs)),
        (spec(json!({"podTemplateRef": {"name": ""}, "replicas": 1})), Refused("at least 1 chars long")),
        (spec(json!({"podTemplateRef": {}, "replicas": 1})), Refused("name: Required value")),
        (spec(json!({"scalableRef": scalable, "percentage": 10})), Accepted),
        (
            spec(json!({"scalableRef": {"kind": "ReplicationController", "name": "a"}, "replicas": 1})),
            Accepted,
        ),
        (spec(json!({"scalableRef": {"name": "a"}})), Refused("kind: Required value")),
        (spec(json!({"scalableRef": {"kind": "A"}})), Refused("name: Required value")),
        (spec(json!({"scalableRef": {"kind": "", "name": "a"}})), Refused("at least 1 chars long")),
        (spec(json!({"scalableRef": {"kind": "A", "name": ""}})), Refused("at least 1 chars long")),
        (
            spec(json!({"podTemplateRef": template, "scalableRef": scalable, "replicas": 1})),
            Refused("either PodTemplateRef or ScalableRef, but not both"),
        ),
        (spec(json!({"replicas": -1})), Refused("greater than or equal to 0")),
        (spec(json!({"percentage": 200})), Accepted),
        (spec(json!({"percentage": -1})), Refused("greater than or equal to 0")),
        (spec(json!({"limits": {"cpu": "some"}})), Refused("should match")),
        (spec(json!({"provisioningStrategy": "anything"})), Accepted),
    ];
    try_all(base, cases).await;
}
