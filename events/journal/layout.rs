//! The names of files and folders in a journal.
//!
//! Invariant: every name that the journal writes is made here, and every name in the folder is understood here.

use std::path::{Path, PathBuf};

use super::bytes::{digits20, parse_digits20};
use super::disk::{FileError, names};

/// The paths in one journal folder, or in an archive folder, which has the same shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn identity(&self) -> PathBuf {
        self.root.join("identity.json")
    }

    pub(super) fn secret(&self) -> PathBuf {
        self.root.join("secret")
    }

    pub(super) fn vkey(&self) -> PathBuf {
        self.root.join("vkey")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(super) fn anchor(&self) -> PathBuf {
        self.root.join("anchor")
    }

    pub(super) fn retained(&self) -> PathBuf {
        self.root.join("retained")
    }

    pub(super) fn segments(&self) -> PathBuf {
        self.root.join("segments")
    }

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Where the writer opens a copy of a tail; it never opens the original a second time.
    pub(super) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    pub(super) fn segment(&self, first: u64) -> PathBuf {
        self.segments().join(format!("{}.seg", digits20(first)))
    }

    pub(super) fn checkpoint(&self, size: u64) -> PathBuf {
        self.checkpoints().join(digits20(size))
    }

    pub(super) fn snapshot(&self, size: u64) -> PathBuf {
        self.snapshots().join(format!("{}.snap", digits20(size)))
    }

    pub(super) fn tail(&self, first: u64) -> PathBuf {
        self.root.join(format!("tail-{}", digits20(first)))
    }

    pub(super) fn damaged(&self, number: u64) -> PathBuf {
        self.root.join(format!("damaged-{number}"))
    }

    /// The first sequence numbers of the tails, ascending.
    pub(super) fn list_tails(&self) -> Result<Vec<u64>, FileError> {
        Ok(names(&self.root)?.iter().filter_map(|name| parse_tail(name)).collect())
    }

    pub(super) fn list_damaged(&self) -> Result<Vec<u64>, FileError> {
        let mut numbers: Vec<u64> =
            names(&self.root)?.iter().filter_map(|name| parse_damaged(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(super) fn list_segments(&self) -> Result<Vec<u64>, FileError> {
        Ok(names(&self.segments())?.iter().filter_map(|name| parse_segment(name)).collect())
    }

    pub(super) fn list_checkpoints(&self) -> Result<Vec<u64>, FileError> {
        Ok(names(&self.checkpoints())?.iter().filter_map(|name| parse_digits20(name)).collect())
    }

    pub(super) fn list_snapshots(&self) -> Result<Vec<u64>, FileError> {
        Ok(names(&self.snapshots())?.iter().filter_map(|name| parse_snapshot(name)).collect())
    }

    /// The path of `file` as findings name it: relative to the journal.
    pub(super) fn relative(&self, file: &Path) -> String {
        file.strip_prefix(&self.root).unwrap_or(file).display().to_string()
    }
}

pub(super) fn parse_tail(name: &str) -> Option<u64> {
    name.strip_prefix("tail-").and_then(parse_digits20)
}

pub(super) fn parse_damaged(name: &str) -> Option<u64> {
    let number = name.strip_prefix("damaged-")?.parse().ok()?;
    (format!("damaged-{number}") == name).then_some(number)
}

pub(super) fn parse_segment(name: &str) -> Option<u64> {
    name.strip_suffix(".seg").and_then(parse_digits20)
}

pub(super) fn parse_snapshot(name: &str) -> Option<u64> {
    name.strip_suffix(".snap").and_then(parse_digits20)
}
