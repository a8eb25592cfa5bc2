//! Checks the bytes of a tail's files that hold no record: what sled has superseded, padded with or never written.
//!
//! Sled reads what it needs and passes over the rest, so a damaged byte there changes nothing that is read. It still says that
//! the disk, or somebody, changed a file after it was written. The layout is that of sled 0.34: segments of one length, each
//! with a header and messages, each of these with a checksum.
//!
//! Invariant: a file that sled wrote, and whose writer was killed at any moment, is found right.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::tail::{SLED_SEGMENT_LEN, is_sled_snapshot};

const SEGMENT_HEADER_LEN: usize = 20;
/// Closer to the end of a segment than this no message begins.
const LONGEST_MESSAGE_HEADER: usize = 32;
/// The kind of no message: nothing was written there yet.
const NONE: u8 = 0;
/// The kind of a message that pads a segment, followed by zeros.
const CAP: u8 = 2;
const LAST_KIND: u8 = 11;

/// Which file in a tail's folder is damaged, if one is, and what is wrong with it.
pub(super) fn damage(dir: &Path) -> io::Result<Option<(PathBuf, String)>> {
    let database = dir.join("db");
    if let Some(wrong) = damage_of_database(&fs::read(&database)?) {
        return Ok(Some((database, wrong)));
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_right = match &*name {
            "conf" => ends_with_checksum(&fs::read(&path)?, 0),
            name if is_sled_snapshot(name) => ends_with_checksum(&fs::read(&path)?, 8),
            _ => true,
        };
        if !is_right {
            return Ok(Some((path, "no record is affected, but its checksum is wrong".to_owned())));
        }
    }
    Ok(None)
}

/// Whether bytes that sled wrote in one go end with their length, in so many bytes, and their checksum.
fn ends_with_checksum(bytes: &[u8], length_len: usize) -> bool {
    let Some((rest, crc)) = bytes.split_last_chunk::<4>() else { return false };
    let Some((body, length)) = rest.split_at_checked(rest.len().saturating_sub(length_len)) else {
        return false;
    };
    let is_length = length.is_empty() || *length == (body.len() as u64).to_le_bytes();
    is_length && crc32fast::hash(body) == u32::from_le_bytes(*crc)
}

fn damage_of_database(bytes: &[u8]) -> Option<String> {
    let segments: Vec<Segment<'_>> = bytes.chunks(SLED_SEGMENT_LEN).map(Segment).collect();
    let newest = segments.iter().filter_map(Segment::number).max();
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        // A segment that was freed and taken again keeps what it held before behind what is newest.
        let is_taken_again = segment.number().is_some_and(|number| number != index as u64);
        let tolerance = Tolerance { cut: is_last, remains: is_taken_again && segment.number() == newest };
        if let Err((at, what)) = segment.check(tolerance) {
            let offset = index * SLED_SEGMENT_LEN + at;
            return Some(format!("no record is affected, but at byte {offset} {what}"));
        }
    }
    None
}

/// What a writer that was killed may leave in a segment.
#[derive(Clone, Copy)]
struct Tolerance {
    /// A message that the file ends in.
    cut: bool,
    /// Something older behind the last message.
    remains: bool,
}

struct Segment<'a>(&'a [u8]);

type Wrong = (usize, &'static str);

impl Segment<'_> {
    /// The place of the segment in sled's log, if its header is right.
    fn number(&self) -> Option<u64> {
        let header = self.0.get(..SEGMENT_HEADER_LEN)?;
        let crc = u32::from_le_bytes(header[..4].try_into().ok()?);
        let lsn = i64::from_le_bytes(header[4..12].try_into().ok()?) ^ i64::MAX;
        let is_right = !crc32fast::hash(&header[4..]) == crc;
        u64::try_from(lsn).ok().filter(|_| is_right).map(|lsn| lsn / SLED_SEGMENT_LEN as u64)
    }

    fn check(&self, tolerance: Tolerance) -> Result<(), Wrong> {
        let Some(number) = self.number() else {
            return match self.is_zero_from(0) || tolerance.cut && self.0.len() < SEGMENT_HEADER_LEN {
                true => Ok(()),
                false => Err((0, "the header of a segment is damaged")),
            };
        };
        let mut at = SEGMENT_HEADER_LEN;
        while at + LONGEST_MESSAGE_HEADER <= SLED_SEGMENT_LEN && at < self.0.len() {
            let message = Message::read(&self.0[at..], number);
            match message {
                Some(Message { kind: NONE, .. }) => break,
                Some(Message { kind, end, is_right: true }) => {
                    at += end;
                    if kind == CAP {
                        break;
                    }
                }
                _ if tolerance.remains => return self.check_remains(at, number),
                None if tolerance.cut => return Ok(()),
                Some(Message { end, .. }) if tolerance.cut && at + end > self.0.len() => return Ok(()),
                _ => return Err((at, "what sled wrote does not have its checksum")),
            }
        }
        match tolerance.remains || self.is_zero_from(at) {
            true => Ok(()),
            false => Err((at, "or behind it something is written where sled left zeros")),
        }
    }

    /// Where older messages begin there is none of the newer ones any more.
    fn check_remains(&self, at: usize, number: u64) -> Result<(), Wrong> {
        let is_newer = |at: usize| Message::read(&self.0[at..], number).is_some_and(|found| found.is_right);
        match (at + 1..self.0.len()).any(is_newer) {
            true => Err((at, "what sled wrote does not have its checksum")),
            false => Ok(()),
        }
    }

    fn is_zero_from(&self, at: usize) -> bool {
        self.0.get(at..).unwrap_or_default().iter().all(|byte| *byte == 0)
    }
}

struct Message {
    kind: u8,
    /// Whether it is of its segment, and as it was written.
    is_right: bool,
    /// How long it says that it is, with its header.
    end: usize,
}

impl Message {
    /// Reads the message at the beginning of `bytes` in the segment of this number; `None` if its header is cut.
    fn read(bytes: &[u8], number: u64) -> Option<Self> {
        let crc = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
        let kind = *bytes.get(4)?;
        let (len, after_len) = number_at(bytes, 5)?;
        let (segment, after_segment) = number_at(bytes, after_len)?;
        let (_page, head) = number_at(bytes, after_segment)?;
        let end = usize::try_from(len).unwrap_or(usize::MAX).saturating_add(head);
        let is_right = (1..=LAST_KIND).contains(&kind)
            && segment == number
            && bytes.get(head..end).is_some_and(|body| {
                let mut hasher = crc32fast::Hasher::new();
                hasher.update(body);
                hasher.update(&bytes[4..head]);
                !hasher.finalize() == crc
            });
        Some(Self { kind, is_right, end })
    }
}

/// A number of sled's at `at`, and where it ends; `None` if it is cut.
fn number_at(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let first = *bytes.get(at)?;
    let long = |len: usize| -> Option<(u64, usize)> {
        let mut whole = [0; 8];
        whole[..len].copy_from_slice(bytes.get(at + 1..at + 1 + len)?);
        Some((u64::from_le_bytes(whole), at + 1 + len))
    };
    match first {
        0..=240 => Some((u64::from(first), at + 1)),
        241..=248 => {
            let low = u64::from(*bytes.get(at + 1)?);
            Some((240 + 256 * (u64::from(first) - 241) + low, at + 2))
        }
        249 => {
            let (high, low) = (u64::from(*bytes.get(at + 1)?), u64::from(*bytes.get(at + 2)?));
            Some((2288 + 256 * high + low, at + 3))
        }
        250..=255 => long(usize::from(first) - 247),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::disk::Disk;
    use super::super::layout::Layout;
    use super::super::merkle::Hash;
    use super::super::record::Record;
    use super::super::tail::{Tail, copy_dir};
    use super::*;

    fn batch(first: u64, count: u64) -> Vec<(Record, Hash)> {
        let record = |seq: u64| Record {
            seq,
            time_us: 1,
            kind: 1,
            schema: 1,
            term: 1,
            instance: "a".into(),
            causes: Vec::new(),
            commit: seq + 1 == first + count,
            payload: vec![seq as u8; (seq * 37 % 900) as usize],
        };
        (first..first + count).map(record).map(|record| (record, Hash::of(b"leaf"))).collect()
    }

    #[test]
    fn what_a_kill_leaves_is_right_and_what_is_changed_or_cut_out_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (layout, copied) = (Layout::new(folder.path()), folder.path().join("killed"));
        let disk = Disk { sync: false, faults: None };
        let mut tail = Tail::create(&disk, &layout, 0, 1).unwrap();
        let (mut next, mut seen) = (0, 0);
        for count in (1..400).cycle() {
            tail.append(&disk, &batch(next, count)).unwrap();
            next += count;
            if tail.file_len() > seen + 700_000 {
                seen = tail.file_len();
                copy_dir(&layout.tail(0), &copied).unwrap();
                assert_eq!(damage(&copied).unwrap(), None, "{next} records in {seen} bytes");
            }
            if seen > 20_000_000 {
                break;
            }
        }
        let good = fs::read(copied.join("db")).unwrap();
        let numbered = good.chunks(SLED_SEGMENT_LEN).map(Segment).enumerate();
        let (_, newest) = numbered.filter_map(|(at, one)| Some((one.number()?, at))).max().unwrap();
        let mut unseen = BTreeSet::new();
        for at in (7..good.len()).step_by(good.len() / 300) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            if damage_of_database(&bad).is_none() {
                unseen.insert(at / SLED_SEGMENT_LEN);
            }
        }
        // The last message may look like one that is cut, and what is older behind it, in the same segment, has no checksums to go by.
        assert!(unseen.len() <= 1, "{unseen:?}");
        let last = (good.len() - 1) / SLED_SEGMENT_LEN;
        assert!(unseen.is_subset(&[newest, last].into()), "{unseen:?}, not {newest} or {last}");
        // A kill may leave the last write half done, and no other.
        for cut in [1, 30, 1_000] {
            assert_eq!(damage_of_database(&good[..good.len() - cut]), None, "{cut}");
        }
        let mut hole = good.clone();
        hole[SLED_SEGMENT_LEN * 3..][..4096].fill(0);
        assert_ne!(damage_of_database(&hole), None);
    }
}
