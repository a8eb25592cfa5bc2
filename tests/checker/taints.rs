//! Taints and tolerations.
//!
//! Invariant: only `NoSchedule` and `NoExecute` keep a pod away; `PreferNoSchedule` is a preference.

use crate::objects::{Taint, Toleration};

pub(crate) fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| {
        (toleration.effect.is_empty() || toleration.effect == taint.effect)
            && (toleration.key.is_empty() && toleration.operator == "Exists" || toleration.key == taint.key)
            && value_matches(toleration, taint)
    })
}

fn value_matches(toleration: &Toleration, taint: &Taint) -> bool {
    let numbers = || Some((taint.value.parse::<i64>().ok()?, toleration.value.parse::<i64>().ok()?));
    match toleration.operator.as_str() {
        "" | "Equal" => toleration.value == taint.value,
        "Exists" => true,
        "Gt" => numbers().is_some_and(|(taint, bound)| taint > bound),
        "Lt" => numbers().is_some_and(|(taint, bound)| taint < bound),
        _ => false,
    }
}

/// The first taint that keeps a pod with these tolerations away.
pub(crate) fn repelled_by<'t>(tolerations: &[Toleration], taints: &'t [Taint]) -> Option<&'t Taint> {
    taints
        .iter()
        .filter(|taint| taint.effect != "PreferNoSchedule")
        .find(|taint| !tolerates(tolerations, taint))
}

/// Taints that nodes carry only until they are up: Karpenter does not hold them against a node that is starting.
pub(crate) fn is_ephemeral(taint: &Taint) -> bool {
    let one = |key: &str, effect: &str| taint.key == key && taint.effect == effect;
    one("node.kubernetes.io/not-ready", "NoSchedule")
        || one("node.kubernetes.io/not-ready", "NoExecute")
        || one("node.kubernetes.io/unreachable", "NoSchedule")
        || one("node.cloudprovider.kubernetes.io/uninitialized", "NoSchedule")
        || one("karpenter.sh/unregistered", "NoExecute")
        || taint.key.starts_with("readiness.k8s.io/")
}

pub(crate) fn describe(taint: &Taint) -> String {
    format!("{}={}:{}", taint.key, taint.value, taint.effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: &str) -> Taint {
        Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() }
    }

    fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Toleration {
        Toleration {
            key: key.to_owned(),
            operator: operator.to_owned(),
            value: value.to_owned(),
            effect: effect.to_owned(),
        }
    }

    #[test]
    fn a_toleration_has_to_match_key_value_and_effect() {
        let gpu = taint("gpu", "yes", "NoSchedule");
        for (toleration, fits) in [
            (toleration("gpu", "Equal", "yes", "NoSchedule"), true),
            (toleration("gpu", "", "yes", ""), true),
            (toleration("gpu", "Exists", "", "NoSchedule"), true),
            (toleration("", "Exists", "", ""), true),
            (toleration("gpu", "Equal", "no", ""), false),
            (toleration("gpu", "Equal", "yes", "NoExecute"), false),
            (toleration("other", "Exists", "", ""), false),
        ] {
            assert_eq!(tolerates(std::slice::from_ref(&toleration), &gpu), fits, "{toleration:?}");
        }
    }

    #[test]
    fn preferences_repel_nobody() {
        assert!(repelled_by(&[], &[taint("a", "", "PreferNoSchedule")]).is_none());
        assert!(repelled_by(&[], &[taint("a", "", "NoExecute")]).is_some());
    }
}
