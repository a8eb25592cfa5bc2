//! What fits into one record: long lists are cut into several decisions.
//!
//! **Invariant:** the cuts depend on the list alone, so a decision that is taken again is cut at the same places.

use crate::model::{ClaimName, PodKey};
use crate::port::MAX_EVENT_BYTES;

/// The most pods in one record.
const MAX_PODS: usize = 500;

/// The most that a list may take in a record; the rest is for what else the decision says.
const MAX_LIST_BYTES: usize = MAX_EVENT_BYTES - 12 * 1024;

/// The most that a pod's name takes in a list: a namespace and a name with their lengths, in a group of its own.
fn pod_bytes(pod: &PodKey) -> usize {
    pod.namespace.len() + pod.name.len() + 15
}

/// Pods in lists that fit, in order.
pub(super) fn pods(all: &[PodKey]) -> impl Iterator<Item = &[PodKey]> {
    cut(all, MAX_PODS, pod_bytes)
}

/// How many of the pods, in order, fit beside something that takes so much.
pub(super) fn beside(bytes: usize, all: &[PodKey]) -> usize {
    let mut taken = bytes;
    let fits = |pod: &&PodKey| {
        taken += pod_bytes(pod);
        taken <= MAX_LIST_BYTES
    };
    all.iter().take(MAX_PODS).take_while(fits).count()
}

/// Claims in lists that fit, in order.
pub(super) fn claims(all: &[ClaimName]) -> impl Iterator<Item = &[ClaimName]> {
    cut(all, usize::MAX, |claim| claim.as_str().len() + 5)
}

fn cut<T>(all: &[T], most: usize, bytes: fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let mut taken = 0;
        let fits = |item: &&T| {
            taken += bytes(item);
            taken <= MAX_LIST_BYTES
        };
        let count = rest.iter().take(most).take_while(fits).count();
        // Kubernetes has no name that would not fit by itself.
        let (list, behind) = rest.split_at(count.max(1).min(rest.len()));
        rest = behind;
        (!list.is_empty()).then_some(list)
    })
}
