//! What is wrong with a catalogue, where, and what to do about it.
//!
//! **Invariant:** every error says which file, which field, and a remedy; and a line, an object or both.

use std::fmt;

/// Why a catalogue cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CatalogueError {
    /// The file, or whatever the text came from.
    pub file: Box<str>,
    /// The line in it, from 1.
    pub line: Option<u64>,
    /// What the error is about, such as `type m7g.large`; empty if it is the file as a whole.
    pub object: Box<str>,
    /// The column, or the path of the field within the object; empty if it is the object as a whole.
    pub field: Box<str>,
    /// What is wrong.
    pub problem: Box<str>,
    /// What to do.
    pub remedy: Box<str>,
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        for part in [&self.object, &self.field] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        write!(f, ": {}; {}", self.problem, self.remedy)
    }
}
