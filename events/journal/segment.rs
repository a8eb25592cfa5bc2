//! Sealed segments: the immutable, compressed, self-checking files that hold the history.
//!
//! ```text
//! magic(8) | header length u32 | header | crc u32 | blocks (zstd) | leaf hashes, 32 bytes each | footer
//!          | footer length u32 | footer crc u32 | SHA-256 of all before
//! ```
//!
//! Invariant: header and footer can each be read and checked alone, and the SHA-256 at the end covers every other byte.

use std::collections::BTreeMap;

use super::block;
use super::bytes::{Cursor, Malformed, put_bytes, put_hashes, put_signed, put_varint};
use super::merkle::{Frontier, Hash};
use super::note::{Checkpoint, SigningKey};
use super::record::{LogId, Record};

pub(super) const MAGIC: &[u8; 8] = b"PURSERSG";
pub(super) const VERSION: u64 = 1;
/// What precedes the header.
pub(super) const PREFIX_LEN: usize = 12;
/// What follows the footer.
pub(super) const SUFFIX_LEN: usize = 40;
/// No header or footer is longer; larger claims are damage.
pub(super) const MAX_PART_LEN: usize = 4 * 1024 * 1024;
/// Measured on journal-like payloads: levels above cost more time than they save space.
const LEVEL: i32 = 9;

/// What a segment's header says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SegmentHeader {
    /// The log that it belongs to.
    pub log: LogId,
    /// The log's name.
    pub origin: String,
    /// The sequence number of its first record.
    pub first_seq: u64,
    /// How many records it has.
    pub count: u64,
    /// The time of its first record.
    pub first_time_us: i64,
    /// The time of its last record.
    pub last_time_us: i64,
    /// How many records there are of each kind and schema.
    pub kinds: Vec<KindCount>,
    /// The tree before its first record.
    pub before: Frontier,
    /// The digest of the segment before it; zeros for the first.
    pub previous: Hash,
}

/// How many records of a kind and schema a segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct KindCount {
    /// The kind's number.
    pub kind: u16,
    /// The schema.
    pub schema: u16,
    /// The number of records.
    pub records: u64,
}

impl SegmentHeader {
    /// The sequence number after its last record.
    pub fn end(&self) -> u64 {
        self.first_seq + self.count
    }
}

/// Where a block is and what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockEntry {
    pub(super) offset: u64,
    pub(super) len: u32,
    pub(super) raw_len: u32,
    pub(super) crc: u32,
    pub(super) first_seq: u64,
    pub(super) count: u64,
    pub(super) first_time_us: i64,
}

/// What a segment's footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) blocks: Vec<BlockEntry>,
    pub(super) leaves_offset: u64,
    pub(super) after: Frontier,
    pub(super) checkpoint: String,
}

fn put_frontier(out: &mut Vec<u8>, frontier: &Frontier) {
    put_varint(out, frontier.size());
    put_hashes(out, frontier.peaks());
}

fn read_frontier(cursor: &mut Cursor<'_>) -> Result<Frontier, Malformed> {
    let size = cursor.varint()?;
    Frontier::from_parts(size, cursor.hashes()?).ok_or(Malformed("the peaks of a tree do not fit its size"))
}

impl SegmentHeader {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, VERSION);
        out.extend_from_slice(&self.log.0);
        put_bytes(&mut out, self.origin.as_bytes());
        put_varint(&mut out, self.first_seq);
        put_varint(&mut out, self.count);
        put_signed(&mut out, self.first_time_us);
        put_signed(&mut out, self.last_time_us);
        put_varint(&mut out, self.kinds.len() as u64);
        for kind in &self.kinds {
            put_varint(&mut out, u64::from(kind.kind));
            put_varint(&mut out, u64::from(kind.schema));
            put_varint(&mut out, kind.records);
        }
        put_frontier(&mut out, &self.before);
        out.extend_from_slice(&self.previous.0);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        if cursor.varint()? != VERSION {
            return Err(Malformed("a segment of another version"));
        }
        let log = LogId(cursor.array()?);
        let origin = cursor.text()?.to_owned();
        let first_seq = cursor.varint()?;
        let count = cursor.varint()?;
        let first_time_us = cursor.signed()?;
        let last_time_us = cursor.signed()?;
        let kinds = (0..cursor.count(3)?)
            .map(|_| {
                let (kind, schema) = (cursor.varint16()?, cursor.varint16()?);
                Ok(KindCount { kind, schema, records: cursor.varint()? })
            })
            .collect::<Result<_, Malformed>>()?;
        let before = read_frontier(&mut cursor)?;
        let previous = cursor.hash()?;
        cursor.finish()?;
        if count == 0 || first_seq.checked_add(count).is_none() || before.size() != first_seq {
            return Err(Malformed("the header's sequence numbers contradict each other"));
        }
        Ok(Self { log, origin, first_seq, count, first_time_us, last_time_us, kinds, before, previous })
    }
}

impl Footer {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.leaves_offset);
        put_varint(&mut out, self.blocks.len() as u64);
        for block in &self.blocks {
            put_varint(&mut out, u64::from(block.len));
            put_varint(&mut out, u64::from(block.raw_len));
            out.extend_from_slice(&block.crc.to_le_bytes());
            put_varint(&mut out, block.count);
            put_signed(&mut out, block.first_time_us);
        }
        put_frontier(&mut out, &self.after);
        put_bytes(&mut out, self.checkpoint.as_bytes());
        out
    }

    /// Decodes, and checks against the header and the file's length that the parts fill the file exactly.
    pub(super) fn decode(
        bytes: &[u8],
        header: &SegmentHeader,
        header_end: u64,
        footer_at: u64,
    ) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let leaves_offset = cursor.varint()?;
        let (mut offset, mut first_seq) = (header_end, header.first_seq);
        let mut blocks = Vec::new();
        for _ in 0..cursor.count(8)? {
            let u32_of = |value: u64| u32::try_from(value).map_err(|_| Malformed("a block too long"));
            let len = u32_of(cursor.varint()?)?;
            let raw_len = u32_of(cursor.varint()?)?;
            let crc = cursor.u32()?;
            let count = cursor.varint()?;
            let first_time_us = cursor.signed()?;
            if raw_len as usize > block::MAX_LEN || count == 0 || count > block::MAX_RECORDS as u64 {
                return Err(Malformed("a block too long"));
            }
            blocks.push(BlockEntry { offset, len, raw_len, crc, first_seq, count, first_time_us });
            offset += u64::from(len);
            first_seq = first_seq.checked_add(count).ok_or(Malformed("sequence numbers beyond 64 bits"))?;
        }
        let after = read_frontier(&mut cursor)?;
        let checkpoint = cursor.text()?.to_owned();
        cursor.finish()?;
        let leaves_end = header.count.checked_mul(32).and_then(|len| len.checked_add(leaves_offset));
        if offset != leaves_offset
            || first_seq != header.end()
            || after.size() != header.end()
            || leaves_end != Some(footer_at)
        {
            return Err(Malformed("the footer does not fit the header and the length of the file"));
        }
        Ok(Self { blocks, leaves_offset, after, checkpoint })
    }
}

/// A segment ready to be written.
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    pub(super) after: Frontier,
    pub(super) checkpoint: String,
    pub(super) digest: Hash,
}

/// What all segments of a log have in common.
pub(super) struct Sealer<'a> {
    pub(super) log: LogId,
    pub(super) origin: &'a str,
    pub(super) key: &'a SigningKey,
}

impl Sealer<'_> {
    /// Makes a segment of records that follow `before`; at least one.
    pub(super) fn seal(
        &self,
        before: &Frontier,
        previous: Hash,
        records: &[(Record, Hash)],
    ) -> std::io::Result<Sealed> {
        let mut kinds = BTreeMap::new();
        for (record, _) in records {
            *kinds.entry((record.kind, record.schema)).or_insert(0) += 1;
        }
        let header = SegmentHeader {
            log: self.log,
            origin: self.origin.to_owned(),
            first_seq: before.size(),
            count: records.len() as u64,
            first_time_us: records.first().map_or(0, |(record, _)| record.time_us),
            last_time_us: records.last().map_or(0, |(record, _)| record.time_us),
            kinds: kinds
                .into_iter()
                .map(|((kind, schema), records)| KindCount { kind, schema, records })
                .collect(),
            before: before.clone(),
            previous,
        }
        .encode();
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(header.len() as u32).to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());

        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        let mut blocks = Vec::new();
        for part in cut_into_blocks(records) {
            let refs: Vec<&Record> = part.iter().map(|(record, _)| record).collect();
            let raw = block::encode(&refs);
            let packed = compressor.compress(&raw)?;
            blocks.push(BlockEntry {
                offset: out.len() as u64,
                len: packed.len() as u32,
                raw_len: raw.len() as u32,
                crc: crc32fast::hash(&packed),
                first_seq: refs[0].seq,
                count: refs.len() as u64,
                first_time_us: refs[0].time_us,
            });
            out.extend_from_slice(&packed);
        }
        let leaves_offset = out.len() as u64;
        let mut after = before.clone();
        for (_, leaf) in records {
            out.extend_from_slice(&leaf.0);
            after.push(*leaf);
        }
        let root = after.root();
        let checkpoint =
            self.key.sign(&Checkpoint { origin: self.origin.to_owned(), size: after.size(), root });
        let footer =
            Footer { blocks, leaves_offset, after: after.clone(), checkpoint: checkpoint.clone() }.encode();
        out.extend_from_slice(&footer);
        out.extend_from_slice(&(footer.len() as u32).to_le_bytes());
        out.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
        let digest = Hash::of(&out);
        out.extend_from_slice(&digest.0);
        Ok(Sealed { bytes: out, after, checkpoint, digest })
    }
}

fn cut_into_blocks(records: &[(Record, Hash)]) -> Vec<&[(Record, Hash)]> {
    let mut blocks = Vec::new();
    let (mut start, mut len) = (0, 0);
    for (at, (record, _)) in records.iter().enumerate() {
        len += record.payload.len() + 10 * record.causes.len();
        if at + 1 - start == block::MAX_RECORDS || len >= block::TARGET_LEN || at + 1 == records.len() {
            blocks.push(&records[start..=at]);
            (start, len) = (at + 1, 0);
        }
    }
    blocks
}
