//! `purser catalogue`: the instance types that there are.

use std::path::Path;

use anyhow::{Context, bail};
use purser_instances::{Catalogue, CatalogueRow, Site};

use crate::cli::{CatalogueOptions, OutputFormat};
use crate::output;

/// Shows the catalogue.
///
/// # Errors
/// If a file cannot be read or stdout cannot be written.
pub fn run(options: &CatalogueOptions) -> anyhow::Result<()> {
    let catalogue = load(options.catalogue.as_deref(), &Site::default())?;
    let wanted =
        |row: &CatalogueRow| options.name.as_ref().is_none_or(|prefix| row.name.starts_with(prefix.as_str()));
    let rows: Vec<CatalogueRow> = catalogue.rows().into_iter().filter(wanted).collect();
    if let (Some(prefix), true) = (&options.name, rows.is_empty()) {
        bail!("--name: no instance type begins with {prefix:?}; `purser catalogue` lists all");
    }
    match options.output {
        OutputFormat::Json => output::print_json(&rows),
        OutputFormat::Table => print_table(&rows),
    }
}

/// The catalogue of a file, or the built-in one.
///
/// # Errors
/// If the file cannot be read.
pub fn load(file: Option<&Path>, site: &Site) -> anyhow::Result<Catalogue> {
    let Some(file) = file else {
        return Ok(Catalogue::from_facts(&purser_instances::built_in_facts(), site));
    };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--catalogue {}: cannot be read", file.display()))?;
    Ok(Catalogue::read(&file.display().to_string(), &text, site)?)
}

fn print_table(rows: &[CatalogueRow]) -> anyhow::Result<()> {
    let mut table = output::table(&[
        "TYPE",
        "ARCH",
        "CPU",
        "MEMORY",
        "PODS",
        "GPU",
        "ALLOCATABLE CPU",
        "ALLOCATABLE MEMORY",
        "ON-DEMAND $/H",
        "SPOT $/H",
    ]);
    for row in rows {
        let of = |amounts: &std::collections::BTreeMap<String, String>, name: &str| {
            amounts.get(name).cloned().unwrap_or_default()
        };
        let cheapest = |capacity_type: &str| {
            let offers = row.offerings.iter().filter(|offering| offering.capacity_type == capacity_type);
            // Decimal text without an exponent: the shorter whole part is the smaller, and equal lengths compare as text.
            let cheapest = offers.min_by_key(|offering| {
                let whole = offering.price_per_hour.find('.').unwrap_or(offering.price_per_hour.len());
                (whole, offering.price_per_hour.clone())
            });
            cheapest.map_or_else(String::new, |offering| {
                format!("{}{}", if offering.estimated { "~" } else { "" }, offering.price_per_hour)
            })
        };
        table.add_row([
            row.name.clone(),
            of(&row.labels, "kubernetes.io/arch"),
            of(&row.capacity, "cpu"),
            of(&row.capacity, "memory"),
            of(&row.capacity, "pods"),
            of(&row.capacity, "nvidia.com/gpu"),
            of(&row.allocatable, "cpu"),
            of(&row.allocatable, "memory"),
            cheapest("on-demand"),
            cheapest("spot"),
        ]);
    }
    output::print(table)?;
    output::print(format_args!("{} instance types. A price with ~ is an estimate.", rows.len()))?;
    Ok(())
}
