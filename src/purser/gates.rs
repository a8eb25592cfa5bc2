//! Feature gates as they are written on the command line.
//!
//! **Invariant:** a gate that is not known is said and changes nothing; one that is neither opened nor closed is an error.

use anyhow::bail;
use purser_api::scenario::NO_SUCH_GATE;
use purser_engine::settings::{FeatureGate, FeatureGates};

/// Which gates are open, with warnings about names that are none.
pub(crate) fn feature_gates(text: &str) -> anyhow::Result<(FeatureGates, Vec<String>)> {
    let (mut gates, mut warnings) = (FeatureGates::default(), Vec::new());
    for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
        let (name, open) = one.split_once('=').map_or((one, ""), |(name, open)| (name.trim(), open.trim()));
        let Ok(open) = open.to_ascii_lowercase().parse::<bool>() else {
            bail!("--feature-gates {one:?}: is neither on nor off; write {name}=true or {name}=false");
        };
        match FeatureGate::parse(name) {
            Some(gate) => gates.set(gate, open),
            None => warnings.push(format!("--feature-gates {name}: {NO_SUCH_GATE}")),
        }
    }
    Ok((gates, warnings))
}
