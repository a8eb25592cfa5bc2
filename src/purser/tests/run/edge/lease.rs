//! One replica acts, under a term that only grows.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use purser_engine::event::{Control, Event, Seq};
use purser_events::journal::Reader;
use purser_events::wire::{Events, Purser};
use serde_json::{Value, json};

use super::{Replica, any, deployment, deployments, get, plane, pool, running, until};
use crate::every_decision_is_right_and_no_claim_is_launched_twice;

const NAME: &str = "karpenter-leader-election";

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), "kube-system")
}

async fn lease(client: &Client) -> Lease {
    leases(client).get_opt(NAME).await.unwrap().unwrap_or_default()
}

fn holder(lease: &Lease) -> String {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default()
}

fn term(lease: &Lease) -> u64 {
    lease.annotations().get("purser.dev/term").map_or(0, |term| term.parse().unwrap())
}

async fn is_held(client: &Client, host: &str) -> bool {
    holder(&lease(client).await).starts_with(&format!("{host}_"))
}

#[tokio::test]
async fn one_of_two_replicas_acts_and_the_other_takes_over() {
    let (plane, client) = plane(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pool(&client).await;
    let first = Replica::start(&plane, folder, "first", "journal");
    until("a leader", &[&first], async || is_held(&client, "first").await).await;
    let second = Replica::start(&plane, folder, "second", "journal");
    until("a replica that waits and is ready", &[&second], async || {
        second.said().contains("another replica leads")
            && get(second.health, "/readyz").is_some_and(|(status, _)| status == 200)
    })
    .await;
    deployment(&client, "web", 8, json!({})).await;
    let claims = any(&client, "karpenter.sh", "v1", "NodeClaim");
    until("a first NodeClaim", &[&first], async || {
        !claims.list(&ListParams::default()).await.unwrap().items.is_empty()
    })
    .await;
    until("a checkpoint in the lease", &[&first], async || {
        let lease = lease(&client).await;
        lease
            .annotations()
            .get("purser.dev/checkpoint")
            .is_some_and(|note| note.starts_with("purser.dev/cluster/"))
    })
    .await;
    let before = lease(&client).await;
    first.kill();

    until("the other to lead", &[&second], async || is_held(&client, "second").await).await;
    let after = lease(&client).await;
    assert!(term(&after) > term(&before), "{} follows {}", term(&after), term(&before));
    until("pods that all run", &[&second], async || running(&client, "web").await == 8).await;
    assert!(second.stop().success());
    let given_back = lease(&client).await;
    assert_eq!(holder(&given_back), "", "who stops in good order gives the lease back");

    let made = claims.list(&ListParams::default()).await.unwrap().items.len();
    let launched = every_decision_is_right_and_no_claim_is_launched_twice(&folder.join("journal"));
    assert_eq!(launched.len(), made, "no claim was launched by both");
    let terms = terms(&folder.join("journal"));
    assert!(terms.is_sorted_by(|a, b| a < b) && terms.last() == Some(&term(&after)), "{terms:?}");

    // On another volume the log is out of reach: a new one names its last checkpoint.
    let third = Replica::start(&plane, folder, "third", "elsewhere");
    until("a third to lead", &[&third], async || is_held(&client, "third").await).await;
    until("a new log", &[&third], async || folder.join("elsewhere/identity.json").exists()).await;
    let identity = std::fs::read_to_string(folder.join("elsewhere/identity.json")).unwrap();
    let identity: Value = serde_json::from_str(&identity).unwrap();
    assert_eq!(identity["predecessor"], given_back.annotations()["purser.dev/checkpoint"].as_str());
    assert!(term(&lease(&client).await) > term(&given_back));
    third.kill();
}

/// The terms under which leadership was acquired, in the order of the log.
fn terms(journal: &std::path::Path) -> Vec<u64> {
    let reader = Reader::open(journal, Arc::new(Purser)).unwrap();
    let acquired = |event: &Event| match event {
        Event::Control(Control::LeadershipAcquired { term, .. }) => Some(*term),
        _ => None,
    };
    Events::read(&reader, Seq(0)).filter_map(|record| acquired(&record.unwrap().event)).collect()
}

#[tokio::test]
async fn a_lost_lease_stops_everything() {
    let (plane, client) = plane(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    pool(&client).await;
    let mut replica = Replica::start(&plane, folder, "only", "journal");
    until("a leader that is ready", &[&replica], async || {
        is_held(&client, "only").await
            && get(replica.health, "/readyz").is_some_and(|(status, _)| status == 200)
    })
    .await;
    let theirs = json!({"spec": {"holderIdentity": "other_1"}});
    leases(&client).patch(NAME, &PatchParams::default(), &Patch::Merge(&theirs)).await.unwrap();
    deployment(&client, "late", 3, json!({})).await;
    let mut ended = None;
    for _ in 0..100 {
        ended = replica.child.try_wait().unwrap();
        if ended.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "{}", replica.said());
    let reader = Reader::open(&folder.join("journal"), Arc::new(Purser)).unwrap();
    let lost = Events::read(&reader, Seq(0)).map(|record| record.unwrap()).filter(|record| {
        matches!(&record.event, Event::Control(Control::LeadershipLost { reason, .. }) if &**reason == "another replica holds it")
    });
    assert_eq!(lost.count(), 1);
    assert_eq!(holder(&lease(&client).await), "other_1", "it is not given back by one who does not hold it");
    let scaled = json!({"spec": {"replicas": 6}});
    deployments(&client).patch("late", &PatchParams::default(), &Patch::Merge(&scaled)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(running(&client, "late").await, 0, "nobody acts");
}
