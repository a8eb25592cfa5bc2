//! A table with a header: columns by name, values checked.
//!
//! **Invariant:** every value that is given out is within its bounds; the error of any other names where it
//! stands.

use std::collections::BTreeMap;

use purser_engine::model::{Span, Time};

use super::{EPOCH, TraceError};

/// A table, read from text.
pub(super) struct Table<'a> {
    file: &'a str,
    columns: BTreeMap<&'static str, usize>,
    rows: Vec<(u64, csv::StringRecord)>,
}

/// A row of a table.
pub(super) struct Row<'a> {
    table: &'a Table<'a>,
    line: u64,
    record: &'a csv::StringRecord,
}

impl<'a> Table<'a> {
    /// Reads a table that has these columns, and may have those.
    pub(super) fn read(
        file: &'a str,
        text: &str,
        required: &[&'static str],
        optional: &[&'static str],
    ) -> Result<Self, TraceError> {
        let header_error = |column: &str, problem, remedy| TraceError::Header {
            file: file.to_owned(),
            column: column.to_owned(),
            problem,
            remedy,
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let row_error = |error: csv::Error| TraceError::Row {
            file: file.to_owned(),
            line: error.position().map_or(1, csv::Position::line),
            problem: match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("the row has {len} values for {expected_len} columns")
                }
                other => format!("{other:?}"),
            },
        };
        let header = reader.headers().map_err(row_error)?.clone();
        let mut columns = BTreeMap::new();
        for (at, name) in header.iter().enumerate() {
            let Some(known) = required.iter().chain(optional).find(|known| **known == name) else {
                let remedy = "remove it, or name it as the trace's documentation does";
                return Err(header_error(name, "is not a column of this trace", remedy));
            };
            if columns.insert(*known, at).is_some() {
                return Err(header_error(name, "is there twice", "remove one of the two"));
            }
        }
        if let Some(missing) = required.iter().find(|name| !columns.contains_key(**name)) {
            return Err(header_error(missing, "is missing", "add it to the header and to every row"));
        }
        let mut rows = Vec::new();
        for record in reader.into_records() {
            let record = record.map_err(row_error)?;
            rows.push((record.position().map_or(0, csv::Position::line), record));
        }
        Ok(Self { file, columns, rows })
    }

    /// The rows, in order.
    pub(super) fn rows(&'a self) -> impl Iterator<Item = Row<'a>> {
        self.rows.iter().map(|(line, record)| Row { table: self, line: *line, record })
    }
}

impl Row<'_> {
    /// The text of a column; empty if there is no such column.
    pub(super) fn text(&self, column: &str) -> &str {
        self.table.columns.get(column).and_then(|at| self.record.get(*at)).unwrap_or_default()
    }

    /// An error about a value of this row.
    pub(super) fn error(&self, column: &str, problem: impl Into<String>, remedy: &'static str) -> TraceError {
        TraceError::Value {
            file: self.table.file.to_owned(),
            line: self.line,
            column: column.to_owned(),
            value: self.text(column).to_owned(),
            problem: problem.into(),
            remedy,
        }
    }

    /// The row's name, which no row before may have.
    pub(super) fn name(&self, column: &str, seen: &mut BTreeMap<String, u64>) -> Result<String, TraceError> {
        let name = self.text(column);
        if name.is_empty() {
            return Err(self.error(column, "which names nothing", "give every row a name"));
        }
        let of_dns = |c: char| if c == '_' { '-' } else { c.to_ascii_lowercase() };
        let shown: String = name.chars().map(of_dns).collect();
        if !shown.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.') {
            return Err(self.error(
                column,
                "which no pod can be named",
                "use letters, digits, '-', '_' and '.' only",
            ));
        }
        if shown.len() > 253 {
            return Err(self.error(
                column,
                "which is longer than a pod's name",
                "use at most 253 characters",
            ));
        }
        match seen.insert(shown.clone(), self.line) {
            None => Ok(shown),
            Some(line) => Err(self.error(
                column,
                format!("which line {line} has already"),
                "give every row a name of its own",
            )),
        }
    }

    /// A decimal number of at most so many, in units of which `scale` are one; a fraction of a unit is
    /// rounded up.
    pub(super) fn number(&self, column: &str, scale: i64, most: i64) -> Result<i64, TraceError> {
        let text = self.text(column);
        let remedy = "write a number of zero or more";
        if text.starts_with('-') {
            return Err(self.error(column, "which is negative", remedy));
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 || !digits(whole) || !digits(fraction) {
            return Err(self.error(column, "which is not a number", remedy));
        }
        // Recorded floats carry noise in the last places; a billionth is enough.
        let fraction = &fraction[..fraction.len().min(9)];
        let tens = 10i128.pow(fraction.len() as u32);
        let written: i128 = format!("{whole}{fraction}")
            .parse()
            .map_err(|_| self.error(column, "which is not a number", remedy))?;
        let units = written * i128::from(scale);
        let units = units / tens + i128::from(units % tens != 0);
        match i64::try_from(units) {
            Ok(units) if units <= most.saturating_mul(scale) => Ok(units),
            _ => Err(self.error(
                column,
                format!("which is more than {most}, the most that is taken for real"),
                "check the unit",
            )),
        }
    }

    /// A moment; `None` if the column is empty.
    pub(super) fn time(&self, column: &str) -> Result<Option<Time>, TraceError> {
        if self.text(column).is_empty() {
            return Ok(None);
        }
        // A hundred years.
        let micros = self.number(column, 1_000_000, 3_153_600_000)?;
        Ok(Some(EPOCH + Span(micros)))
    }
}
