//! Snapshots of the caller's state: caches that shorten a restart.
//!
//! Invariant: a snapshot is given out only when its digest is right and the tree it was made at is a prefix of this one;
//! without any snapshot the journal is complete.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use super::bytes::{Cursor, Malformed, put_bytes, put_varint};
use super::disk::{FileError, Severity, read_optional};
use super::faults::Artifact;
use super::layout::Layout;
use super::merkle::Hash;
use super::record::LogId;
use super::writer::Journal;

const MAGIC: &[u8; 8] = b"PURSERSN";
const LEVEL: i32 = 3;
/// How many snapshots are kept.
const KEPT: usize = 2;

/// A snapshot of the caller's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The number of records that it includes.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
    /// The version of the code that made it.
    pub engine_version: String,
    /// The caller's bytes.
    pub bytes: Vec<u8>,
}

impl Snapshot {
    fn encode(&self, log: LogId) -> std::io::Result<Vec<u8>> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&log.0);
        put_varint(&mut out, self.size);
        out.extend_from_slice(&self.root.0);
        put_bytes(&mut out, self.engine_version.as_bytes());
        put_varint(&mut out, self.bytes.len() as u64);
        put_bytes(&mut out, &zstd::bulk::compress(&self.bytes, LEVEL)?);
        let digest = Hash::of(&out);
        out.extend_from_slice(&digest.0);
        Ok(out)
    }

    pub(super) fn decode(file: &[u8], log: LogId) -> Result<Self, Malformed> {
        let (body, digest) =
            file.split_last_chunk::<32>().ok_or(Malformed("it is too short to be a snapshot"))?;
        if Hash::of(body).0 != *digest {
            return Err(Malformed("its SHA-256 is wrong"));
        }
        let mut cursor = Cursor::new(body);
        if cursor.array::<8>()? != *MAGIC {
            return Err(Malformed("it does not begin like a snapshot"));
        }
        if cursor.array::<16>()? != log.0 {
            return Err(Malformed("it belongs to another log"));
        }
        let size = cursor.varint()?;
        let root = cursor.hash()?;
        let engine_version = cursor.text()?.to_owned();
        let len = cursor.varint()?;
        let packed = cursor.bytes()?;
        cursor.finish()?;
        let mut bytes = Vec::new();
        let reader =
            zstd::stream::read::Decoder::new(packed).map_err(|_| Malformed("it cannot be decompressed"))?;
        let read = reader.take(len.saturating_add(1)).read_to_end(&mut bytes);
        if read.is_err() || bytes.len() as u64 != len {
            return Err(Malformed("it cannot be decompressed to its length"));
        }
        Ok(Self { size, root, engine_version, bytes })
    }
}

/// Reads one snapshot file; `None` when it is not there.
pub(super) fn read(path: &Path, log: LogId) -> Result<Option<Result<Snapshot, Malformed>>, FileError> {
    Ok(read_optional(path)?.map(|file| Snapshot::decode(&file, log)))
}

/// The newest good snapshot of this version that includes at most `at_most` records and whose root `is_prefix` confirms.
pub(super) fn latest(
    layout: &Layout,
    log: LogId,
    engine_version: &str,
    at_most: u64,
    is_prefix: impl Fn(u64, Hash) -> bool,
) -> Result<Option<Snapshot>, FileError> {
    for size in layout.list_snapshots()?.into_iter().rev().filter(|size| *size <= at_most) {
        if let Some(Ok(snapshot)) = read(&layout.snapshot(size), log)?
            && snapshot.engine_version == engine_version
            && snapshot.size == size
            && is_prefix(size, snapshot.root)
        {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}

impl Journal {
    /// Keeps a snapshot at the current size, and the one before it. A failure harms nothing but the next restart's speed.
    pub fn put_snapshot(&mut self, engine_version: &str, bytes: &[u8]) -> Result<(), FileError> {
        self.write_snapshot(self.size(), self.root(), engine_version, bytes)?;
        self.prune_snapshots(engine_version)
    }

    /// Keeps a snapshot of the first `size` records, which are about to go: with it the records from there on can be folded.
    /// It stays until another stands in for more.
    pub fn put_stand_in(&mut self, size: u64, engine_version: &str, bytes: &[u8]) -> Result<(), FileError> {
        let path = self.layout.snapshot(size);
        let usable = |snapshot: Snapshot| snapshot.engine_version == engine_version && snapshot.size == size;
        if !read(&path, self.identity.log)?.is_some_and(|read| read.is_ok_and(usable)) {
            let gone = || std::io::Error::other("its records are not here");
            let root = self.root_at(size).ok_or_else(|| FileError { file: path.clone(), source: gone() })?;
            self.write_snapshot(size, root, engine_version, bytes)?;
        }
        self.stand_in = Some(size);
        Ok(())
    }

    fn write_snapshot(
        &mut self,
        size: u64,
        root: Hash,
        engine_version: &str,
        bytes: &[u8],
    ) -> Result<(), FileError> {
        let engine_version = engine_version.to_owned();
        let snapshot = Snapshot { size, root, engine_version, bytes: bytes.to_vec() };
        let path = self.layout.snapshot(size);
        let encoded =
            snapshot.encode(self.identity.log).map_err(|source| FileError { file: path.clone(), source })?;
        if let Err(error) = self.disk.write(Artifact::Snapshot, &path, &encoded) {
            if error.severity() == Severity::Crash {
                let file = error.file.clone();
                let stopped = self.stop(error);
                return Err(FileError { file, source: std::io::Error::other(stopped.to_string()) });
            }
            return Err(error);
        }
        Ok(())
    }

    /// Deletes all but the newest snapshots, and the one that the kept records are folded from when older ones are gone.
    fn prune_snapshots(&self, engine_version: &str) -> Result<(), FileError> {
        let sizes = self.layout.list_snapshots()?;
        let older = &sizes[..sizes.len().saturating_sub(KEPT)];
        let begins = self.layout.list_segments()?.first().copied().unwrap_or(0);
        let stands_in = if begins > 0 { self.standing_in(&sizes, begins, engine_version)? } else { None };
        for size in older.iter().filter(|size| ![self.stand_in, stands_in].contains(&Some(**size))) {
            // Deleting is only tidiness.
            let _ = fs::remove_file(self.layout.snapshot(*size));
        }
        Ok(())
    }

    /// The newest snapshot of this version that does not reach into the kept records. If all do, as after a new version, it is the
    /// oldest: one day the kept records begin behind it.
    fn standing_in(
        &self,
        sizes: &[u64],
        begins: u64,
        engine_version: &str,
    ) -> Result<Option<u64>, FileError> {
        let mut usable = Vec::new();
        for size in sizes {
            if let Some(Ok(snapshot)) = read(&self.layout.snapshot(*size), self.identity.log)?
                && snapshot.engine_version == engine_version
            {
                usable.push(*size);
            }
        }
        Ok(usable.iter().rev().find(|size| **size <= begins).or(usable.first()).copied())
    }

    /// The newest good snapshot of this version that includes at most `at_most` records.
    pub fn latest_snapshot(&self, engine_version: &str, at_most: u64) -> Result<Option<Snapshot>, FileError> {
        let at_most = at_most.min(self.size());
        let is_prefix = |size, root| self.root_at(size).is_some_and(|found| found == root);
        latest(&self.layout, self.identity.log, engine_version, at_most, is_prefix)
    }
}
