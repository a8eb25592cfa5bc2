//! The hot tail: one sled database for what was appended since the last seal, written once and then thrown away.
//!
//! Invariant: a tail is only ever written by the process that created it. Recovery reads a copy and seals what it finds, so
//! neither sled's garbage collection nor its recovery can touch an acknowledged record.

use std::any::Any;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::bytes::{Cursor, Malformed, put_bytes, put_varint};
use super::disk::{At as _, Disk, FileError};
use super::faults::Point;
use super::layout::Layout;
use super::merkle::Hash;
use super::record::Record;

/// Marks the beginning of a piece, so that pieces can be found in a file that sled refuses.
pub(super) const PIECE_MAGIC: [u8; 4] = [0xf5, b'P', b'c', 0x1e];
/// Data in one piece. A sled node holds up to some 27 values; larger values could make it spill into files that sled
/// does not sync (measured: none at 4000 bytes and segments of 512 KiB).
const PIECE_DATA_LEN: usize = 3840;
/// Several small pieces share a value up to this length, which makes large batches cheap.
const VALUE_LEN: usize = 4000;
pub(super) const SLED_SEGMENT_LEN: usize = 512 * 1024;
const SLED_CACHE_LEN: u64 = 16 * 1024 * 1024;

/// A part of a record as it is framed in the tail: most records are one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) seq: u64,
    pub(super) part: u64,
    pub(super) parts: u64,
    pub(super) leaf: Hash,
    pub(super) data: Vec<u8>,
}

impl Piece {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(self.data.len() + 64);
        put_varint(&mut body, self.seq);
        put_varint(&mut body, self.part);
        put_varint(&mut body, self.parts);
        body.extend_from_slice(&self.leaf.0);
        put_bytes(&mut body, &self.data);
        out.extend_from_slice(&PIECE_MAGIC);
        out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        out.extend_from_slice(&body);
    }

    /// Reads the piece at the beginning of `bytes`, and how long it is.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, usize), Malformed> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array::<4>()? != PIECE_MAGIC {
            return Err(Malformed("no piece of a record where one should begin"));
        }
        let crc = cursor.u32()?;
        let body = &bytes[8..];
        let seq = cursor.varint()?;
        let part = cursor.varint()?;
        let parts = cursor.varint()?;
        let leaf = cursor.hash()?;
        let data = cursor.bytes()?;
        let len = bytes.len() - cursor.remaining();
        if crc32fast::hash(&body[..len - 8]) != crc {
            return Err(Malformed("the checksum of a piece of a record is wrong"));
        }
        if part >= parts {
            return Err(Malformed("a piece of a record has an impossible number"));
        }
        Ok((Self { seq, part, parts, leaf, data: data.to_vec() }, len))
    }
}

/// Splits a record into its pieces.
pub(super) fn pieces(record: &Record, leaf: Hash) -> Vec<Piece> {
    let mut body = Vec::with_capacity(record.payload.len() + 64);
    record.encode(&mut body);
    let parts = body.len().div_ceil(PIECE_DATA_LEN) as u64;
    let piece = |(part, data): (usize, &[u8])| {
        let part = part as u64;
        Piece { seq: record.seq, part, parts, leaf, data: data.to_vec() }
    };
    body.chunks(PIECE_DATA_LEN).enumerate().map(piece).collect()
}

pub(super) fn key(piece: &Piece) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&piece.seq.to_be_bytes());
    key[8..].copy_from_slice(&piece.part.to_be_bytes());
    key
}

/// Runs sled code, which panics on damage and on some failed writes.
pub(super) fn guarded<T>(run: impl FnOnce() -> sled::Result<T>) -> io::Result<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(error),
        Ok(Err(error)) => Err(io::Error::other(format!("sled: {error}"))),
        Err(panic) => Err(io::Error::other(format!("sled panicked: {}", panic_text(panic.as_ref())))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

pub(super) fn open_sled(dir: &Path) -> io::Result<sled::Db> {
    let config = sled::Config::new()
        .path(dir)
        .segment_size(SLED_SEGMENT_LEN)
        .cache_capacity(SLED_CACHE_LEN)
        .flush_every_ms(None);
    guarded(|| config.open())
}

/// The tail that is being written.
pub(super) struct Tail {
    dir: PathBuf,
    db: sled::Db,
    /// A second handle on sled's file: sled hands its writes to the page cache, and this makes them durable.
    file: File,
    first: u64,
    first_time_us: i64,
    records: u64,
    bytes: u64,
}

impl Tail {
    pub(super) fn create(
        disk: &Disk,
        layout: &Layout,
        first: u64,
        first_time_us: i64,
    ) -> Result<Self, FileError> {
        let dir = layout.tail(first);
        let create = || {
            disk.pass(Point::TailCreate)?;
            // Without acknowledged records, what a failed attempt left under this name is worth nothing.
            remove_dir(&dir)?;
            let db = open_sled(&dir)?;
            let file = File::open(dir.join("db"))?;
            disk.pass(Point::TailSyncFolder)?;
            if disk.sync {
                File::open(dir.join("conf"))?.sync_all()?;
                file.sync_all()?;
            }
            disk.sync_folder(&dir)?;
            disk.sync_folder(layout.root())?;
            Ok((db, file))
        };
        let (db, file) = create().at(&dir)?;
        Ok(Self { dir, db, file, first, first_time_us, records: 0, bytes: 0 })
    }

    /// Adds a batch and makes it durable. On an error the tail's content is unknown and must not be appended to.
    pub(super) fn append(&mut self, disk: &Disk, batch: &[(Record, Hash)]) -> Result<(), FileError> {
        let mut values = sled::Batch::default();
        let mut value = Vec::new();
        let mut value_key = [0; 16];
        let mut bytes = 0;
        for piece in batch.iter().flat_map(|(record, leaf)| pieces(record, *leaf)) {
            let at = value.len();
            piece.encode(&mut value);
            bytes += piece.data.len() as u64;
            if at == 0 {
                value_key = key(&piece);
            } else if value.len() > VALUE_LEN {
                let next = value.split_off(at);
                let full = std::mem::replace(&mut value, next);
                values.insert(&value_key[..], full);
                value_key = key(&piece);
            }
        }
        if !value.is_empty() {
            values.insert(&value_key[..], value);
        }
        let write = || {
            disk.pass(Point::TailApply)?;
            guarded(|| self.db.apply_batch(values))?;
            disk.pass(Point::TailFlush)?;
            guarded(|| self.db.flush())?;
            disk.pass(Point::TailSync)?;
            disk.sync_data(&self.file)
        };
        write().at(&self.dir)?;
        self.records += batch.len() as u64;
        self.bytes += bytes;
        Ok(())
    }

    /// Everything in the tail, from sled itself.
    pub(super) fn values(&self) -> Result<Vec<Vec<u8>>, FileError> {
        let read = || self.db.iter().values().map(|value| value.map(|value| value.to_vec())).collect();
        guarded(read).at(&self.dir)
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn first_time_us(&self) -> i64 {
        self.first_time_us
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The encoded length of the records in it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What it takes on disk.
    pub(super) fn file_len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Drops sled as a crash would: what it still holds in memory must not reach the disk, so its files are put back to
    /// what they are now.
    pub(super) fn crash(self) {
        let aside = self.dir.with_extension("crash");
        let Self { dir, db, file, .. } = self;
        let restore = || {
            remove_dir(&aside)?;
            copy_dir(&dir, &aside)?;
            drop((db, file));
            remove_dir(&dir)?;
            fs::rename(&aside, &dir)
        };
        // A simulation on a disk that also fails for real has no meaning left to keep.
        let _ = restore();
    }
}

pub(super) fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether a file in a tail's folder is one of sled's snapshots.
pub(super) fn is_sled_snapshot(name: &str) -> bool {
    name.starts_with("snap.")
}

/// Copies the plain files of a tail's folder.
pub(super) fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
