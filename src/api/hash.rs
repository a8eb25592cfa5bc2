//! Karpenter's hash of a NodePool's template, as it stands in the annotation `karpenter.sh/nodepool-hash`.
//!
//! Karpenter hashes the Go structs of the template with github.com/mitchellh/hashstructure, format 2, slices as sets,
//! zero values ignored (`NodePool.Hash` in pkg/apis/v1/nodepool.go). What is hashed are therefore the *Go* names of types
//! and fields, and an empty list or map that was written out differs from an absent one. The hash below it is FNV-1 (not
//! 1a), 64 bits.
//!
//! **Invariant:** the value is Karpenter's, bit for bit: a cluster taken over from Karpenter shows no drift.

use std::collections::BTreeMap;

use crate::crd::{NodeTemplate, Taint};
use crate::duration::nanoseconds;

/// The version of the hash that [`node_pool_hash`] computes, as in `karpenter.sh/nodepool-hash-version`.
pub const NODE_POOL_HASH_VERSION: &str = purser_engine::model::ClaimFacts::HASH_VERSION;

/// The age at which nodes are replaced if nothing is said: the API server fills it in before Karpenter hashes.
pub(crate) const DEFAULT_EXPIRE_AFTER: &str = "720h";

/// The hash of a NodePool's template, in decimal.
///
/// Durations that cannot be read count as absent; [`crate::node_pool`] refuses them.
pub fn node_pool_hash(template: &NodeTemplate) -> String {
    let metadata = &template.metadata;
    let (labels, annotations) =
        (metadata.labels.as_ref().map(of_map), metadata.annotations.as_ref().map(of_map));
    let spec = &template.spec;
    let class = &spec.node_class_ref;
    let grace = spec.termination_grace_period.as_deref().and_then(nanoseconds).map(|nanos| {
        let inner = (nanos != 0).then(|| of_integer(nanos));
        of_struct("Duration", [("Duration", inner)])
    });
    let expire_after = nanoseconds(spec.expire_after.as_deref().unwrap_or(DEFAULT_EXPIRE_AFTER))
        .map(|nanos| of_struct("NillableDuration", [("Duration", Some(of_integer(nanos)))]));
    let spec = of_struct(
        "NodeClaimTemplateSpec",
        [
            ("Taints", spec.taints.as_deref().map(of_taints)),
            ("StartupTaints", spec.startup_taints.as_deref().map(of_taints)),
            (
                "NodeClassRef",
                Some(of_struct(
                    "NodeClassReference",
                    [
                        ("Kind", of_text(&class.kind)),
                        ("Name", of_text(&class.name)),
                        ("Group", of_text(&class.group)),
                    ],
                )),
            ),
            ("TerminationGracePeriod", grace),
            ("ExpireAfter", expire_after),
        ],
    );
    let metadata = (labels.is_some() || annotations.is_some())
        .then(|| of_struct("ObjectMeta", [("Labels", labels), ("Annotations", annotations)]));
    of_struct("NodeClaimTemplate", [("ObjectMeta", metadata), ("Spec", Some(spec))]).to_string()
}

fn of_taints(taints: &[Taint]) -> u64 {
    // As sets: the order is of no matter, and there is no finishing step.
    taints.iter().fold(0, |hash, taint| {
        let added = taint
            .time_added
            .as_ref()
            .map(|time| of_struct("Time", [("Time", Some(of_time(time.0.as_second())))]));
        hash ^ of_struct(
            "Taint",
            [
                ("Key", of_text(&taint.key)),
                ("Value", of_text(taint.value.as_deref().unwrap_or_default())),
                ("Effect", of_text(taint.effect.as_str())),
                ("TimeAdded", added),
            ],
        )
    })
}

/// A struct: its name, then each field that is not zero.
fn of_struct<const N: usize>(name: &str, fields: [(&str, Option<u64>); N]) -> u64 {
    let present = fields.into_iter().filter_map(|(field, value)| Some((field, value?)));
    present.fold(fnv1(name.as_bytes()), |hash, (field, value)| {
        finish(hash ^ pair(fnv1(field.as_bytes()), value))
    })
}

fn of_map(map: &BTreeMap<String, String>) -> u64 {
    finish(map.iter().fold(0, |hash, (key, value)| hash ^ pair(fnv1(key.as_bytes()), fnv1(value.as_bytes()))))
}

/// A text, unless it is empty.
fn of_text(text: &str) -> Option<u64> {
    (!text.is_empty()).then(|| fnv1(text.as_bytes()))
}

fn of_integer(value: i128) -> u64 {
    fnv1(&(value as i64).to_le_bytes())
}

/// A time as Go's `time.Time.MarshalBinary` writes it: version, seconds since year 1, nanoseconds, minutes east of UTC.
fn of_time(unix_seconds: i64) -> u64 {
    const YEAR_1_TO_1970: i64 = 62_135_596_800;
    let mut bytes = vec![1];
    bytes.extend((unix_seconds + YEAR_1_TO_1970).to_be_bytes());
    bytes.extend([0; 6]);
    fnv1(&bytes)
}

fn pair(a: u64, b: u64) -> u64 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a.to_le_bytes());
    bytes[8..].copy_from_slice(&b.to_le_bytes());
    fnv1(&bytes)
}

fn finish(hash: u64) -> u64 {
    fnv1(&hash.to_le_bytes())
}

fn fnv1(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        hash.wrapping_mul(0x0000_0100_0000_01b3) ^ u64::from(*byte)
    })
}

#[cfg(test)]
mod tests;
