//! What the definitions do beyond accepting and refusing.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use purser_api::crd::{KwokNodeClass, NodePool};
use serde_json::{Value, json};

use super::{api_of, claims, client, ec2, merge, pools};

/// Creates an object and gives it as the API server keeps it.
async fn kept(manifest: Value) -> Value {
    let api = api_of(&client().await, &manifest);
    let object =
        api.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await.unwrap();
    let name = object.metadata.name.clone().unwrap();
    let read = api.get(&name).await.unwrap();
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    serde_json::to_value(read).unwrap()
}

fn named(mut manifest: Value, name: &str) -> Value {
    manifest["metadata"]["name"] = json!(name);
    manifest
}

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_filled_in() {
    let pool = kept(named(pools::pool(), "defaults")).await;
    assert_eq!(pool["spec"]["template"]["spec"]["expireAfter"], json!("720h"));
    let disruption = json!({
        "consolidateAfter": "0s", "consolidationPolicy": "WhenEmptyOrUnderutilized", "budgets": [{"nodes": "10%"}],
    });
    assert_eq!(pool["spec"]["disruption"], disruption);
    let mut pool = named(pools::pool(), "defaults-2");
    pool["spec"]["disruption"] = json!({"consolidateAfter": null, "budgets": [{"reasons": ["Empty"]}]});
    let pool = kept(pool).await;
    assert_eq!(pool["spec"]["disruption"]["consolidateAfter"], json!("0s"));
    assert_eq!(pool["spec"]["disruption"]["budgets"], json!([{"nodes": "10%", "reasons": ["Empty"]}]));

    let claim = kept(named(claims::claim(), "defaults")).await;
    assert_eq!(claim["spec"]["expireAfter"], json!("720h"));

    let class = kept(named(ec2::class(), "defaults")).await;
    let options = json!({
        "httpEndpoint": "enabled", "httpProtocolIPv6": "disabled", "httpPutResponseHopLimit": 1, "httpTokens": "required",
    });
    assert_eq!(class["spec"]["metadataOptions"], options);
    let mut class = named(ec2::class(), "defaults-2");
    class["spec"]["metadataOptions"] = json!({"httpTokens": "optional"});
    let mut expected = options;
    expected["httpTokens"] = json!("optional");
    assert_eq!(kept(class).await["spec"]["metadataOptions"], expected);

    let buffer = kept(json!({
        "apiVersion": "autoscaling.x-k8s.io/v1beta1", "kind": "CapacityBuffer",
        "metadata": {"name": "defaults", "namespace": "default"}, "spec": {},
    }));
    assert_eq!(buffer.await["spec"]["provisioningStrategy"], json!("buffer.x-k8s.io/active-capacity"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kwok_class_is_ready_from_the_start() {
    let api: Api<KwokNodeClass> = Api::all(client().await);
    let class = json!({"metadata": {"name": "ready"}});
    let class = api.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    let conditions = class.status.unwrap().conditions;
    assert_eq!(conditions.len(), 1);
    assert_eq!(
        (&*conditions[0].kind, &*conditions[0].status, &*conditions[0].reason),
        ("Ready", "True", "Ready")
    );
    api.delete("ready", &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_nobody_knows_are_dropped_and_those_of_kubelet_kept() {
    let mut pool = named(pools::pool(), "unknown");
    pool["spec"]["colour"] = json!("red");
    assert_eq!(kept(pool).await["spec"].get("colour"), None);
    let mut class = named(ec2::class(), "unknown");
    let kubelet = json!({"clusterDNS": ["10.0.0.10"], "someGate": {"deep": [1]}});
    class["spec"]["kubelet"] = kubelet.clone();
    assert_eq!(kept(class).await["spec"]["kubelet"], kubelet);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_types_are_what_is_read_and_written() {
    let api: Api<NodePool> = Api::all(client().await);
    let mut written: NodePool = serde_json::from_value(named(pools::pool(), "typed")).unwrap();
    written.spec.template.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    let created = api.create(&PostParams::default(), &written).await.unwrap();
    assert_eq!(created.spec.template.metadata, written.spec.template.metadata);
    let status = json!({"status": {"nodes": 2, "resources": {"cpu": "8"}, "conditions": [{
        "type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z",
    }]}});
    api.patch_status("typed", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let read = api.get("typed").await.unwrap();
    let status = read.status.clone().unwrap();
    assert_eq!((status.nodes, status.conditions.len()), (Some(2), 1));
    // What was read can be sent back.
    api.replace_status("typed", &PostParams::default(), &read).await.unwrap();
    api.delete("typed", &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn static_pools_are_scaled() {
    let mut pool = named(pools::pool(), "scaled");
    pool["spec"]["replicas"] = json!(3);
    let api: Api<NodePool> = Api::all(client().await);
    api.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let params = PatchParams::default();
    api.patch_status("scaled", &params, &Patch::Merge(json!({"status": {"nodes": 2}}))).await.unwrap();
    let scale = api.get_scale("scaled").await.unwrap();
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(3));
    assert_eq!(scale.status.map(|status| status.replicas), Some(2));
    api.patch_scale("scaled", &params, &Patch::Merge(json!({"spec": {"replicas": 5}}))).await.unwrap();
    assert_eq!(api.get("scaled").await.unwrap().spec.replicas, Some(5));
    api.delete("scaled", &DeleteParams::default()).await.unwrap();
}

/// The columns that `kubectl get` shows, and those that it shows with `-o wide`.
async fn columns(path: &str) -> (Vec<String>, Vec<String>) {
    let request = http::Request::get(path)
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let table: Value = client().await.request(request).await.unwrap();
    let (mut always, mut wide) = (Vec::new(), Vec::new());
    for column in table["columnDefinitions"].as_array().unwrap() {
        let name = column["name"].as_str().unwrap().to_owned();
        if column["priority"] == json!(0) { always.push(name) } else { wide.push(name) }
    }
    (always, wide)
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_the_columns_that_people_know() {
    for (path, always, wide) in [
        ("/apis/karpenter.sh/v1/nodepools", "Name NodeClass Nodes Ready Age", "Weight CPU Memory"),
        (
            "/apis/karpenter.sh/v1/nodeclaims",
            "Name Type Capacity Zone Node Ready Age",
            "ImageID ID NodePool NodeClass Drifted",
        ),
        ("/apis/karpenter.sh/v1alpha1/nodeoverlays", "Name Ready Age", "Weight"),
        (
            "/apis/autoscaling.x-k8s.io/v1beta1/capacitybuffers",
            "Name Strategy PodTemplate Replicas ConditionsType ConditionsStatus ConditionsReason Age",
            "",
        ),
        ("/apis/karpenter.k8s.aws/v1/ec2nodeclasses", "Name Ready Age", "Role"),
        ("/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses", "Name Age", ""),
    ] {
        let (shown, shown_wide) = columns(path).await;
        assert_eq!((shown.join(" "), shown_wide.join(" ")), (always.to_owned(), wide.to_owned()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_says_what_is() {
    let api: Api<NodePool> = Api::all(client().await);
    let mut pool = named(pools::pool(), "row");
    merge(&mut pool, &json!({"spec": {"weight": 7}}));
    api.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let status = json!({"status": {"nodes": 4, "resources": {"cpu": "8", "memory": "16Gi"}}});
    api.patch_status("row", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let request = http::Request::get("/apis/karpenter.sh/v1/nodepools?fieldSelector=metadata.name%3Drow")
        .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
        .body(Vec::new())
        .unwrap();
    let table: Value = client().await.request(request).await.unwrap();
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!((&cells[0], &cells[1], &cells[2]), (&json!("row"), &json!("default"), &json!("4")));
    assert_eq!(cells[5..], [json!(7), json!("8"), json!("16Gi")]);
    api.delete("row", &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_those_that_people_type() {
    let client = client().await;
    for (version, plural, kind, short_names, category, namespaced) in [
        ("karpenter.sh/v1", "nodepools", "NodePool", &[][..], "karpenter", false),
        ("karpenter.sh/v1", "nodeclaims", "NodeClaim", &[], "karpenter", false),
        ("karpenter.sh/v1alpha1", "nodeoverlays", "NodeOverlay", &["overlays"], "karpenter", false),
        ("autoscaling.x-k8s.io/v1beta1", "capacitybuffers", "CapacityBuffer", &["cb"], "autoscaling", true),
        ("karpenter.k8s.aws/v1", "ec2nodeclasses", "EC2NodeClass", &["ec2nc", "ec2ncs"], "karpenter", false),
        (
            "karpenter.kwok.sh/v1alpha1",
            "kwoknodeclasses",
            "KWOKNodeClass",
            &["kwoknc", "kwokncs"],
            "karpenter",
            false,
        ),
    ] {
        let resources = client.list_api_group_resources(version).await.unwrap().resources;
        let named = |name: &str| resources.iter().find(|resource: &&APIResource| resource.name == name);
        let resource = named(plural).unwrap();
        assert_eq!((&*resource.kind, resource.namespaced), (kind, namespaced));
        assert_eq!(resource.singular_name, kind.to_lowercase());
        assert_eq!(resource.short_names.clone().unwrap_or_default(), short_names);
        assert_eq!(resource.categories.clone().unwrap_or_default(), [category]);
        assert!(named(&format!("{plural}/status")).is_some(), "{plural} has a status of its own");
        assert_eq!(named(&format!("{plural}/scale")).is_some(), plural == "nodepools");
    }
}
