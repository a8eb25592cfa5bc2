//! What a replica tells: metrics, probes, Events.

use std::time::Duration;

use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{Replica, deployment, get, plane, pool, running, until};

/// The value of the first sample whose name and labels begin so.
fn sample(text: &str, begin: &str) -> Option<f64> {
    text.lines().find(|line| line.starts_with(begin)).and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

#[tokio::test]
async fn what_happens_is_told() {
    let (plane, client) = plane(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let replica = Replica::start(&plane, folder.path(), "only", "journal");
    let ready = || get(replica.health, "/readyz").is_some_and(|(status, _)| status == 200);
    until("readiness", &[&replica], async || ready()).await;
    assert_eq!(get(replica.health, "/healthz").unwrap().0, 200);
    assert_eq!(get(replica.metrics, "/healthz").unwrap().0, 200);
    assert_eq!(get(replica.metrics, "/").unwrap().0, 404);

    // Pods come before there is a pool: they have no place at first, and get one.
    deployment(&client, "web", 5, json!({})).await;
    until("pods without a place", &[&replica], async || replica.said().contains("have no place")).await;
    deployment(
        &client,
        "never",
        1,
        json!({"nodeSelector": {"no": "such", "topology.kubernetes.io/zone": "test-zone-a"}}),
    )
    .await;
    pool(&client).await;
    until("pods that run", &[&replica], async || running(&client, "web").await == 5).await;

    let scraped = || get(replica.metrics, "/metrics").unwrap().1;
    until("all pods bound in the log", &[&replica], async || {
        let text = scraped();
        sample(&text, "purser_pods{phase=\"bound\"}") == Some(5.0)
            && sample(&text, "karpenter_pods_startup_duration_seconds_count ") == Some(5.0)
    })
    .await;
    let text = scraped();
    let created = "karpenter_nodeclaims_created_total{min_values_relaxed=\"false\",nodepool=\"general\",reason=\"provisioned\"}";
    let claims = sample(&text, created).unwrap_or_else(|| panic!("{text}"));
    assert!(claims >= 1.0);
    for (begin, wanted) in [
        ("purser_decisions_total{kind=\"launch\"}", claims),
        ("karpenter_cluster_state_node_count ", claims),
        ("karpenter_cluster_state_synced ", 1.0),
        ("karpenter_pods_bound_duration_seconds_count ", 5.0),
        (
            "karpenter_cloudprovider_duration_seconds_count{controller=\"nodeclaim.lifecycle\",method=\"Create\",provider=\"kwok\"}",
            claims,
        ),
        ("karpenter_nodepools_limit{nodepool=\"general\",resource_type=\"cpu\"}", 100.0),
        ("karpenter_scheduler_unschedulable_pods_count{controller=\"provisioner\"}", 1.0),
        (
            "karpenter_scheduler_pending_pods_by_effective_zone_count{controller=\"provisioner\",zone=\"test-zone-a\"}",
            1.0,
        ),
        // The scheduler may send a pod to any node with room; it never found room where there was held to be none.
        ("purser_binding_divergence_total{reason=\"no_place\"}", 0.0),
        ("purser_leader ", 1.0),
    ] {
        assert_eq!(sample(&text, begin), Some(wanted), "{begin} in\n{text}");
    }
    for begin in [
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "karpenter_build_info{",
        "karpenter_nodes_created_total{nodepool=\"general\",zone=\"test-zone-",
        "karpenter_nodes_allocatable{",
        "karpenter_pods_startup_duration_seconds_sum ",
        "karpenter_pods_unstarted_time_seconds{name=\"never-",
        "karpenter_pods_unbound_time_seconds{name=\"never-",
        "karpenter_nodepools_usage{nodepool=\"general\",resource_type=\"nodes\"}",
        "karpenter_scheduler_scheduling_duration_seconds_count{controller=\"provisioner\"}",
        "purser_journal_records ",
        "purser_journal_append_duration_seconds_count ",
        "purser_term ",
    ] {
        assert!(sample(&text, begin).is_some_and(|value| value > 0.0), "{begin} in\n{text}");
    }
    assert!(text.contains("# TYPE process_cpu_seconds_total counter"));

    let events: Api<Event> = Api::default_namespaced(client.clone());
    let told = async |reason: &str| {
        let all = events.list(&ListParams::default()).await.unwrap().items;
        let ours = |event: &Event| {
            event.source.as_ref().and_then(|source| source.component.as_deref()) == Some("karpenter")
                && event.reason.as_deref() == Some(reason)
        };
        all.into_iter().filter(ours).collect::<Vec<Event>>()
    };
    until("a warning of the pod that has no place", &[&replica], async || {
        !told("FailedScheduling").await.is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for warning in told("FailedScheduling").await {
        let name = warning.involved_object.name.unwrap();
        assert!(name.starts_with("never-"), "{name} has its node");
        assert!(warning.message.unwrap().starts_with("Failed to schedule pod, "));
    }
    let nominated = told("Nominated").await;
    assert_eq!(nominated.len(), 5);
    for event in nominated {
        assert!(event.annotations()["purser.dev/decision"].parse::<u64>().unwrap() > 0);
        assert!(event.message.unwrap().starts_with("Pod should schedule on: nodeclaim/general-"));
        assert!(event.involved_object.uid.is_some());
    }
    let launched = told("Launched").await;
    assert_eq!(launched.len() as f64, claims);
    assert!(launched.iter().all(|event| event.involved_object.uid.is_some()));
    assert!(replica.stop().success());
}
