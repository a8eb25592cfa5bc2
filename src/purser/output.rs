//! Writing results for people and for programs.

use std::io::{self, BufWriter, Write};

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;

/// A table in the one style that all commands have.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header.to_vec());
    table
}

/// Writes text and a line end to stdout.
///
/// # Errors
/// If stdout cannot be written.
pub fn print(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes a JSON document to stdout.
///
/// # Errors
/// If stdout cannot be written.
pub fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    // It may be large: its text is never there as a whole.
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}
