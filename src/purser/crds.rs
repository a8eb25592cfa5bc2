//! `purser crds`: the CustomResourceDefinitions to install in a cluster.

use anyhow::bail;
use purser_api::crd;

use crate::cli::CrdsOptions;
use crate::output;

/// Prints them as YAML documents.
///
/// # Errors
/// If there is none of the name asked for, or stdout cannot be written.
pub fn run(options: &CrdsOptions) -> anyhow::Result<()> {
    let all = crd::definitions();
    let wanted = |definition: &&crd::CustomResourceDefinition| {
        options
            .name
            .as_ref()
            .is_none_or(|name| [definition.name.as_str(), definition.plural].contains(&name.as_str()))
    };
    let chosen: Vec<_> = all.iter().filter(wanted).collect();
    if let (Some(name), true) = (&options.name, chosen.is_empty()) {
        let names: Vec<_> = all.iter().map(|definition| definition.name.as_str()).collect();
        bail!("there is no CustomResourceDefinition {name:?}: use one of {}", names.join(", "));
    }
    let documents: Vec<String> = chosen.into_iter().map(|definition| definition.yaml()).collect();
    output::print(documents.join("\n").trim_end())?;
    Ok(())
}
