//! Writing files so that they are either there and whole, or not there.
//!
//! Invariant: a file has its final name only after its bytes are durable, and is relied on only after its folder is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::faults::{Artifact, Faults, Point, Step, is_crash};

/// The suffix of files that are not finished.
pub(super) const TEMPORARY: &str = ".tmp";

/// A failed file operation, with the file it was about.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", file.display())]
pub struct FileError {
    /// The file or folder.
    pub file: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// How a writer has to take a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// No space: nothing is lost, try again when there is.
    Full,
    /// A simulated crash: not one more write.
    Crash,
    /// Anything else: what is on disk is unknown, stop for good.
    Fatal,
}

impl FileError {
    pub(super) fn severity(&self) -> Severity {
        if is_crash(&self.source) {
            return Severity::Crash;
        }
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Severity::Full,
            _ => Severity::Fatal,
        }
    }
}

/// Attaches the file to an I/O error.
pub(super) trait At<T> {
    fn at(self, file: &Path) -> Result<T, FileError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, file: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError { file: file.to_owned(), source })
    }
}

/// How to treat the disk: whether to sync, and which faults to inject.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) sync: bool,
    pub(super) faults: Option<Arc<dyn Faults>>,
}

impl Disk {
    pub(super) fn pass(&self, point: Point) -> io::Result<()> {
        match &self.faults {
            None => Ok(()),
            Some(faults) => faults.at(point),
        }
    }

    pub(super) fn sync_data(&self, file: &File) -> io::Result<()> {
        if self.sync { file.sync_data() } else { Ok(()) }
    }

    pub(super) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        if self.sync { File::open(folder)?.sync_all() } else { Ok(()) }
    }

    /// Writes a file under a temporary name, syncs it, renames it and syncs its folder. On an error, other than a
    /// simulated crash, neither name is left behind.
    pub(super) fn write(&self, artifact: Artifact, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let result = self.try_write(artifact, path, bytes);
        if let Err(error) = &result
            && !is_crash(error)
        {
            // Whatever fails here is found and removed when the journal is opened.
            let _ = fs::remove_file(temporary(path));
            let _ = fs::remove_file(path);
        }
        result.at(path)
    }

    /// Like [`Disk::write`] for a file that may exist already: after an error the old one may still be there.
    pub(super) fn write_over(&self, artifact: Artifact, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.try_write(artifact, path, bytes).at(path)
    }

    fn try_write(&self, artifact: Artifact, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = temporary(path);
        let folder = path.parent().unwrap_or(Path::new("."));
        self.pass(Point::File(artifact, Step::Create))?;
        let mut file = File::create(&temporary)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.pass(Point::File(artifact, Step::Half))?;
        file.write_all(second)?;
        self.pass(Point::File(artifact, Step::Sync))?;
        if self.sync {
            file.sync_all()?;
        }
        self.pass(Point::File(artifact, Step::Rename))?;
        fs::rename(&temporary, path)?;
        self.pass(Point::File(artifact, Step::SyncFolder))?;
        self.sync_folder(folder)?;
        self.pass(Point::File(artifact, Step::Done))
    }

    /// Writes one of the small files that are made once, when the journal is created.
    pub(super) fn write_once(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        let temporary = temporary(path);
        let write = || {
            let _ = fs::remove_file(&temporary);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
            file.write_all(bytes)?;
            if self.sync {
                file.sync_all()?;
            }
            fs::rename(&temporary, path)
        };
        write().at(path)
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    PathBuf::from(name)
}

/// The bytes that a writer without privileges can still use on the file system of `path`.
pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The names in a folder, sorted; a folder that is not there has none.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, FileError> {
    let list = || {
        let mut names = Vec::new();
        match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(entries) => {
                for entry in entries {
                    names.push(entry?.file_name().to_string_lossy().into_owned());
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    };
    list().at(folder)
}

/// Reads a file that may be absent.
pub(super) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).at(path),
    }
}
