//! Pods asked to leave.
//!
//! **Invariant:** a pod leaves only if it is still the one that was meant, by its UID.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::Eviction;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta, Preconditions};
use kube::api::{DeleteParams, PostParams, Preconditions as Same};
use kube::{Api, Client};
use purser_engine::model::{PodKey, Span, Uid};
use purser_engine::port::Observation;
use serde_json::Value;

use crate::error::{ClusterError, code};

/// The words of the API server about a pod that several budgets select, which it never evicts.
///
/// Source: Kubernetes, pkg/registry/core/pod/storage/eviction.go.
const SEVERAL_BUDGETS: &str = "more than one PodDisruptionBudget";

/// How a pod is made to leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// By the Eviction API, which keeps budgets.
    Asked,
    /// By deletion, budgets or not: with its own grace period, or with what is left of the time.
    By(Option<Span>),
}

/// Makes a pod leave; says what stands against it.
pub(crate) async fn evict(
    client: &Client,
    key: &PodKey,
    uid: Uid,
    way: Way,
) -> Result<Option<Observation>, ClusterError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &key.namespace);
    let uid = hyphenated(uid);
    let asked = match way {
        Way::By(left) => {
            let same = Same { uid: Some(uid), resource_version: None };
            // None at all would mean that it need not be seen to have ended.
            let grace = left.map(|left| u32::try_from(left.0 / 1_000_000).unwrap_or(0).max(1));
            let params = DeleteParams {
                preconditions: Some(same),
                grace_period_seconds: grace,
                ..DeleteParams::default()
            };
            pods.delete(&key.name, &params).await.map(drop)
        }
        Way::Asked => {
            let same = Preconditions { uid: Some(uid), resource_version: None };
            let eviction = Eviction {
                metadata: ObjectMeta {
                    name: Some(key.name.to_string()),
                    namespace: Some(key.namespace.to_string()),
                    ..ObjectMeta::default()
                },
                delete_options: Some(DeleteOptions { preconditions: Some(same), ..DeleteOptions::default() }),
            };
            let params = PostParams::default();
            let asked: Result<Value, _> =
                pods.create_subresource("eviction", &key.name, &params, &eviction).await;
            asked.map(drop)
        }
    };
    match asked {
        Ok(()) => Ok(None),
        Err(error) => match (code(&error), error) {
            (Some(429), kube::Error::Api(status)) => {
                let by = budget(&status.message);
                Ok(Some(Observation::EvictionBlocked(key.clone(), by.into())))
            }
            (Some(500), kube::Error::Api(status)) if status.message.contains(SEVERAL_BUDGETS) => {
                Ok(Some(Observation::EvictionBlocked(key.clone(), budget(&status.message).into())))
            }
            (Some(404), _) => Ok(Some(Observation::NoPod(key.clone()))),
            // Another pod of this name; the watch tells of it.
            (Some(409), _) => Ok(None),
            (_, error) => Err(ClusterError::api(format!("evicting pod {key}"))(error)),
        },
    }
}

/// What the API server says stands against an eviction, in short.
fn budget(message: &str) -> &str {
    let end = message.char_indices().nth(200).map_or(message.len(), |(end, _)| end);
    &message[..end]
}

fn hyphenated(uid: Uid) -> String {
    let digits = format!("{:032x}", uid.0);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
