//! Taints and tolerations.
//!
//! Invariant: none beyond that of frozen structs.

use purser_engine::model::{Taint, Toleration};

use super::code::{TaintEffectCode, TolerationOperatorCode};

frozen! {
    /// A taint of a node.
    TaintV1 = Taint { key: String, value: String, effect: TaintEffectCode }

    /// A toleration of a pod.
    TolerationV1 = Toleration {
        key: Option<String>,
        operator: TolerationOperatorCode,
        value: String,
        effect: Option<TaintEffectCode>,
    }
}
