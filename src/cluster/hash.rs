//! The hash of a NodePool's template, as pools and claims carry it.
//!
//! Source: Karpenter, pkg/controllers/nodepool/hash.
//!
//! **Invariant:** a hash of another version says nothing about drift, so it is replaced wherever it is found, but on a claim that
//! has drifted already: that one's would then say that it has not.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::DynamicObject;
use purser_api::{HASH_ANNOTATION, HASH_VERSION_ANNOTATION, NODE_POOL_HASH_VERSION};
use purser_engine::model::label;
use serde_json::Value;

/// The annotations that say this hash.
pub(crate) fn stamps(hash: &str) -> BTreeMap<String, String> {
    [(HASH_ANNOTATION, hash), (HASH_VERSION_ANNOTATION, NODE_POOL_HASH_VERSION)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Whether the hash that an object carries is of the version that we make.
pub(crate) fn is_current(object: &DynamicObject) -> bool {
    object.annotations().get(HASH_VERSION_ANNOTATION).is_some_and(|version| version == NODE_POOL_HASH_VERSION)
}

/// What a pool lacks of the annotations that say its hash; `None` for nothing.
pub(crate) fn for_pool(pool: &DynamicObject, hash: &str) -> Option<BTreeMap<String, String>> {
    let stamps = stamps(hash);
    let has = pool.annotations();
    stamps.iter().any(|(key, value)| has.get(key) != Some(value)).then_some(stamps)
}

/// What a claim gets instead of a hash of another version; `None` for nothing, as for a claim of no pool.
pub(crate) fn for_claim(claim: &DynamicObject, hash: &str) -> Option<BTreeMap<String, String>> {
    if is_current(claim) || !claim.labels().contains_key(label::NODEPOOL) {
        return None;
    }
    let mut stamps = stamps(hash);
    let conditions = claim.data.pointer("/status/conditions").and_then(Value::as_array);
    if conditions.into_iter().flatten().any(|one| one["type"] == "Drifted") {
        stamps.remove(HASH_ANNOTATION);
    }
    Some(stamps)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(annotations: Value, condition: &str) -> DynamicObject {
        let object = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": {"name": "a", "labels": {"karpenter.sh/nodepool": "p"}, "annotations": annotations},
            "status": {"conditions": [{"type": condition, "status": "True"}]},
        });
        serde_json::from_value(object).expect("it is an object")
    }

    #[test]
    fn a_hash_of_another_version_is_replaced_but_not_that_of_a_claim_that_drifted() {
        assert_eq!(
            for_claim(&claim(json!({HASH_ANNOTATION: "1", HASH_VERSION_ANNOTATION: "v3"}), "Ready"), "2"),
            None
        );
        let old = json!({HASH_ANNOTATION: "1", HASH_VERSION_ANNOTATION: "v2"});
        assert_eq!(for_claim(&claim(old.clone(), "Ready"), "2"), Some(stamps("2")));
        let drifted = for_claim(&claim(old, "Drifted"), "2").expect("its version is another");
        assert_eq!(drifted.into_keys().collect::<Vec<_>>(), [HASH_VERSION_ANNOTATION]);
        assert_eq!(for_pool(&claim(json!(stamps("2")), "Ready"), "2"), None);
        assert_eq!(for_pool(&claim(json!(stamps("1")), "Ready"), "2"), Some(stamps("2")));
    }
}
