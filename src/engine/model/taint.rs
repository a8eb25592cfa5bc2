//! Taints and tolerations.

use super::Str;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaintEffect {
    /// Keeps new pods away.
    NoSchedule,
    /// Keeps new pods away where there is another place.
    PreferNoSchedule,
    /// Keeps new pods away and evicts those that run.
    NoExecute,
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// The key.
    pub key: Str,
    /// The value; empty if there is none.
    pub value: Str,
    /// The effect.
    pub effect: TaintEffect,
}

/// How a toleration compares its value with a taint's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TolerationOperator {
    /// Any value.
    Exists,
    /// The same value.
    Equal,
    /// The taint's value, as an integer, is greater.
    Gt,
    /// The taint's value, as an integer, is less.
    Lt,
}

/// A toleration of a pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Toleration {
    /// The key; `None` with [`TolerationOperator::Exists`] tolerates every taint.
    pub key: Option<Str>,
    /// How values compare.
    pub operator: TolerationOperator,
    /// The value to compare with.
    pub value: Str,
    /// The effect tolerated; `None` for all.
    pub effect: Option<TaintEffect>,
}

impl Taint {
    /// Karpenter's mark on a node that is being removed.
    pub fn disrupted() -> Self {
        Self { key: "karpenter.sh/disrupted".into(), value: "".into(), effect: TaintEffect::NoSchedule }
    }

    /// Karpenter's mark on a node that has not been registered yet.
    pub fn unregistered() -> Self {
        Self { key: "karpenter.sh/unregistered".into(), value: "".into(), effect: TaintEffect::NoExecute }
    }

    /// What a cordoned node is as a taint.
    pub fn unschedulable() -> Self {
        Self {
            key: "node.kubernetes.io/unschedulable".into(),
            value: "".into(),
            effect: TaintEffect::NoSchedule,
        }
    }

    /// Whether the taint goes away by itself while a node starts, so that pods need not tolerate it.
    ///
    /// Source: Karpenter's `KnownEphemeralTaints` (pkg/scheduling/taints.go).
    pub fn is_ephemeral(&self) -> bool {
        match (&*self.key, self.effect) {
            ("node.kubernetes.io/not-ready", TaintEffect::NoSchedule | TaintEffect::NoExecute)
            | ("node.kubernetes.io/unreachable", TaintEffect::NoSchedule)
            | ("node.cloudprovider.kubernetes.io/uninitialized", TaintEffect::NoSchedule)
            | ("karpenter.sh/unregistered", TaintEffect::NoExecute) => true,
            (key, _) => key.starts_with("readiness.k8s.io/"),
        }
    }

    /// Whether one of the tolerations covers this taint.
    pub fn is_tolerated_by(&self, tolerations: &[Toleration]) -> bool {
        tolerations.iter().any(|toleration| toleration.tolerates(self))
    }
}

impl Toleration {
    /// Whether this covers the taint.
    ///
    /// Source: `Toleration.ToleratesTaint` (k8s.io/component-helpers), comparison operators on.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|effect| effect != taint.effect) {
            return false;
        }
        match &self.key {
            Some(key) if **key != *taint.key => return false,
            None if self.operator != TolerationOperator::Exists => return false,
            _ => {}
        }
        let integers = || Some((taint.value.parse::<i64>().ok()?, self.value.parse::<i64>().ok()?));
        match self.operator {
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => taint.value == self.value,
            TolerationOperator::Gt => integers().is_some_and(|(of_taint, own)| of_taint > own),
            TolerationOperator::Lt => integers().is_some_and(|(of_taint, own)| of_taint < own),
        }
    }
}

/// The first taint that would keep a pod with these tolerations away; preferences do not.
pub fn first_untolerated<'a>(
    taints: impl IntoIterator<Item = &'a Taint>,
    tolerations: &[Toleration],
) -> Option<&'a Taint> {
    taints
        .into_iter()
        .find(|taint| taint.effect != TaintEffect::PreferNoSchedule && !taint.is_tolerated_by(tolerations))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str) -> Taint {
        Taint { key: key.into(), value: value.into(), effect: TaintEffect::NoSchedule }
    }

    fn toleration(key: Option<&str>, operator: TolerationOperator, value: &str) -> Toleration {
        Toleration { key: key.map(Into::into), operator, value: value.into(), effect: None }
    }

    #[test]
    fn tolerations_compare_as_kubernetes_does() {
        use TolerationOperator::{Equal, Exists, Gt, Lt};
        assert!(toleration(None, Exists, "").tolerates(&taint("a", "1")));
        assert!(!toleration(None, Equal, "1").tolerates(&taint("a", "1")));
        assert!(toleration(Some("a"), Equal, "1").tolerates(&taint("a", "1")));
        assert!(!toleration(Some("a"), Equal, "2").tolerates(&taint("a", "1")));
        assert!(toleration(Some("a"), Gt, "5").tolerates(&taint("a", "6")));
        assert!(!toleration(Some("a"), Gt, "6").tolerates(&taint("a", "6")));
        assert!(toleration(Some("a"), Lt, "6").tolerates(&taint("a", "5")));
        assert!(!toleration(Some("a"), Lt, "6").tolerates(&taint("a", "five")));
        let other_effect =
            Toleration { effect: Some(TaintEffect::NoExecute), ..toleration(Some("a"), Exists, "") };
        assert!(!other_effect.tolerates(&taint("a", "1")));
    }
}
