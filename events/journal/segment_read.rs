//! Reading a sealed segment: its header alone, its footer alone, one block, or all of it.
//!
//! Invariant: nothing that is read from a segment is used before its checksum was compared.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::block;
use super::bytes::{Cursor, Malformed};
use super::disk::{At as _, FileError};
use super::error::ReadError;
use super::merkle::Hash;
use super::record::Record;
use super::segment::{BlockEntry, Footer, MAGIC, MAX_PART_LEN, PREFIX_LEN, SUFFIX_LEN, SegmentHeader};

/// An open segment whose header is read and checked.
#[derive(Debug)]
pub(super) struct SegmentFile {
    path: PathBuf,
    file: File,
    len: u64,
    header: SegmentHeader,
    header_end: u64,
}

impl SegmentFile {
    pub(super) fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).at(path)?;
        let len = file.metadata().at(path)?.len();
        let read = |offset: u64, len: usize| read_at(&file, path, offset, len);
        let prefix = read(0, PREFIX_LEN)?;
        let mut cursor = Cursor::new(&prefix);
        let parse = |cursor: &mut Cursor<'_>| -> Result<usize, Malformed> {
            if cursor.array::<8>()? != *MAGIC {
                return Err(Malformed("it does not begin like a segment"));
            }
            Ok(cursor.u32()? as usize)
        };
        let header_len = parse(&mut cursor).map_err(|error| damaged(path, None, error))?;
        if header_len > MAX_PART_LEN {
            return Err(damaged(path, None, Malformed("the length of the header is impossible")));
        }
        let with_crc = read(PREFIX_LEN as u64, header_len + 4)?;
        let (bytes, crc) = with_crc.split_at(header_len);
        if crc != crc32fast::hash(bytes).to_le_bytes() {
            return Err(damaged(path, None, Malformed("the checksum of the header is wrong")));
        }
        let header = SegmentHeader::decode(bytes).map_err(|error| damaged(path, None, error))?;
        let header_end = (PREFIX_LEN + header_len + 4) as u64;
        Ok(Self { path: path.to_owned(), file, len, header, header_end })
    }

    pub(super) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes before the blocks.
    pub(super) fn header_len(&self) -> u64 {
        self.header_end
    }

    pub(super) fn footer(&self) -> Result<Footer, ReadError> {
        let bad = |reason| damaged(&self.path, None, Malformed(reason));
        let suffix_at =
            self.len.checked_sub(SUFFIX_LEN as u64).ok_or_else(|| bad("it is too short to be a segment"))?;
        let suffix = self.read(suffix_at, SUFFIX_LEN)?;
        let mut cursor = Cursor::new(&suffix);
        let mut next = || cursor.u32().map_err(|error| damaged(&self.path, None, error));
        let (footer_len, crc) = (next()? as usize, next()?);
        let footer_at = suffix_at.checked_sub(footer_len as u64).filter(|_| footer_len <= MAX_PART_LEN);
        let footer_at = footer_at
            .ok_or_else(|| bad("the length of the footer is impossible: the file is cut or damaged"))?;
        let bytes = self.read(footer_at, footer_len)?;
        if crc32fast::hash(&bytes) != crc {
            return Err(bad("the checksum of the footer is wrong: the file is cut or damaged"));
        }
        Footer::decode(&bytes, &self.header, self.header_end, footer_at)
            .map_err(|error| damaged(&self.path, None, error))
    }

    pub(super) fn block(&self, entry: &BlockEntry) -> Result<Vec<Record>, ReadError> {
        let bad = |error| damaged(&self.path, Some(entry.first_seq), error);
        let packed = self.read(entry.offset, entry.len as usize)?;
        if crc32fast::hash(&packed) != entry.crc {
            return Err(bad(Malformed("the checksum of a block is wrong")));
        }
        let raw = zstd::bulk::decompress(&packed, entry.raw_len as usize)
            .map_err(|_| bad(Malformed("a block cannot be decompressed")))?;
        let records = block::decode(&raw).map_err(bad)?;
        let fits = records.first().is_some_and(|record| record.seq == entry.first_seq)
            && records.len() as u64 == entry.count
            && raw.len() == entry.raw_len as usize;
        if fits { Ok(records) } else { Err(bad(Malformed("a block does not hold the records it should"))) }
    }

    /// The stored leaf hashes.
    pub(super) fn leaves(&self, footer: &Footer) -> Result<Vec<Hash>, ReadError> {
        let bytes = self.read(footer.leaves_offset, self.header.count as usize * 32)?;
        let mut cursor = Cursor::new(&bytes);
        let leaves = (0..self.header.count).map(|_| cursor.hash()).collect::<Result<_, _>>();
        leaves.map_err(|error| damaged(&self.path, None, error))
    }

    /// The digest that the file ends with, not compared with its content.
    pub(super) fn stated_digest(&self) -> Result<Hash, ReadError> {
        let at = self.len.saturating_sub(32);
        let bytes = self.read(at, 32)?;
        Cursor::new(&bytes).hash().map_err(|error| damaged(&self.path, None, error))
    }

    /// Reads all of the file and compares its digest, which is returned.
    pub(super) fn check_digest(&self) -> Result<Hash, ReadError> {
        let stated = self.stated_digest()?;
        let mut hasher = Sha256::new();
        let mut at = 0;
        let end = self.len.saturating_sub(32);
        while at < end {
            let len = (end - at).min(1 << 20);
            hasher.update(self.read(at, len as usize)?);
            at += len;
        }
        if Hash(hasher.finalize().into()) != stated {
            return Err(damaged(
                &self.path,
                None,
                Malformed("the SHA-256 of the file is wrong: some byte of it was changed"),
            ));
        }
        Ok(stated)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
        read_at(&self.file, &self.path, offset, len)
    }
}

fn read_at(file: &File, path: &Path, offset: u64, len: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; len];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(damaged(path, None, Malformed("the file is cut short")))
        }
        Err(source) => Err(ReadError::Io(FileError { file: path.to_owned(), source })),
    }
}

pub(super) fn damaged(path: &Path, seq: Option<u64>, reason: Malformed) -> ReadError {
    ReadError::Damaged { file: path.to_owned(), seq, reason: reason.0.to_owned() }
}
