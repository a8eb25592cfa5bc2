//! How answers are written: for people, as one JSON document, or as JSON lines.
//!
//! **Invariant:** every command answers in every format; in JSON, times are RFC 3339 with microseconds, prices are millionths of a
//! dollar an hour and lengths of time are microseconds, all of them integers.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde::Serialize;

/// A form of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// One line of JSON for each item.
    Jsonl,
}

/// Where answers go, and how.
pub struct Out<'a> {
    to: &'a mut dyn Write,
    /// The form asked for.
    pub format: Format,
    /// Items written of the list that is open.
    items: u64,
}

impl<'a> Out<'a> {
    /// Answers in this form go there.
    pub fn new(to: &'a mut dyn Write, format: Format) -> Self {
        Self { to, format, items: 0 }
    }

    /// Writes text with a line end.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.to, "{}", text.trim_end())
    }

    /// Writes bytes as they are, with a line end.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.write_all(b"\n")
    }

    /// Writes one value: indented as a document, or on one line.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn document(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.format == Format::Jsonl {
            serde_json::to_writer(&mut *self.to, value).map_err(io::Error::from)?;
        } else {
            serde_json::to_writer_pretty(&mut *self.to, value).map_err(io::Error::from)?;
        }
        Ok(writeln!(self.to)?)
    }

    /// Writes the next item of a list: a line, or a member of an array that [`Out::end_items`] ends.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn item(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.format == Format::Json {
            self.to.write_all(if self.items == 0 { b"[\n" } else { b",\n" })?;
        }
        self.items += 1;
        serde_json::to_writer(&mut *self.to, value).map_err(io::Error::from)?;
        if self.format == Format::Jsonl {
            writeln!(self.to)?;
        }
        Ok(())
    }

    /// Ends a list of items.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end_items(&mut self) -> io::Result<()> {
        let none = std::mem::take(&mut self.items) == 0;
        if self.format != Format::Json {
            return Ok(());
        }
        writeln!(self.to, "{}", if none { "[]" } else { "\n]" })
    }

    /// Writes a table; nothing if it has no rows.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn table<R>(&mut self, header: &[&str], rows: R) -> io::Result<()>
    where
        R: IntoIterator<Item = Vec<String>>,
    {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(header.to_vec());
        for row in rows {
            table.add_row(row);
        }
        if table.row_count() == 0 {
            return Ok(());
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            writeln!(self.to, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Hands on what is buffered.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
