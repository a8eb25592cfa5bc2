//! The anchor: outside every database, how many records were acknowledged and under which root.
//!
//! Invariant: the two slots are written in turn, so that a torn write spoils at most the newer of them, and an append is
//! acknowledged only after its slot is synced.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;

use super::bytes::Cursor;
use super::disk::{At as _, Disk, FileError, read_optional};
use super::faults::Point;
use super::layout::Layout;
use super::merkle::Hash;
use super::record::LogId;

const MAGIC: &[u8; 8] = b"PURSANCH";
/// Each slot has a page of its own, so no device writes both at once.
const SLOT_LEN: usize = 4096;
const USED_LEN: usize = 84;
/// Where a slot has the log's id: before the checksum.
const LOG_AT: usize = USED_LEN - 4 - 16;

/// What was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Anchor {
    /// Grows by one with each write.
    pub generation: u64,
    /// The number of records acknowledged.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
    /// The time of the last of them.
    pub last_time_us: i64,
}

/// One of the two slots as it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Slot {
    /// Never written: nothing but zeros.
    Empty,
    /// Whole.
    Valid(Anchor),
    /// Neither.
    Damaged,
}

/// Both slots, read and judged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AnchorSlots {
    /// The slots in the order of the file.
    pub slots: [Slot; 2],
    /// What is wrong with the file, if anything.
    pub problem: Option<String>,
}

impl AnchorSlots {
    /// The newest whole slot.
    pub fn newest(&self) -> Option<Anchor> {
        let valid = |slot: &Slot| if let Slot::Valid(anchor) = slot { Some(*anchor) } else { None };
        self.slots.iter().filter_map(valid).max_by_key(|anchor| anchor.generation)
    }

    fn judge(len: usize, slots: [Slot; 2]) -> Option<String> {
        if len != 2 * SLOT_LEN {
            return Some(format!("it has {len} bytes instead of {}", 2 * SLOT_LEN));
        }
        let place =
            |slot: &Slot, at: u64| !matches!(slot, Slot::Valid(anchor) if anchor.generation % 2 != at);
        match slots {
            [Slot::Damaged, Slot::Damaged] => Some("both slots are damaged".to_owned()),
            [Slot::Damaged, _] => Some("slot 0 is damaged".to_owned()),
            [_, Slot::Damaged] => Some("slot 1 is damaged".to_owned()),
            [Slot::Empty, Slot::Valid(one)] if one.generation == 1 => None,
            [Slot::Empty, _] | [_, Slot::Empty] => Some("a slot that was written is empty".to_owned()),
            [Slot::Valid(a), Slot::Valid(b)] => {
                let in_place = place(&slots[0], 0) && place(&slots[1], 1);
                let fits = in_place && a.generation.abs_diff(b.generation) == 1;
                (!fits).then(|| "the generations of the two slots do not fit each other".to_owned())
            }
        }
    }
}

fn encode(anchor: &Anchor, log: LogId) -> [u8; USED_LEN] {
    let mut out = Vec::with_capacity(USED_LEN);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&anchor.generation.to_le_bytes());
    out.extend_from_slice(&anchor.size.to_le_bytes());
    out.extend_from_slice(&anchor.last_time_us.to_le_bytes());
    out.extend_from_slice(&anchor.root.0);
    out.extend_from_slice(&log.0);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out.try_into().expect("invariant: the fields of a slot add up to its length")
}

fn decode(slot: &[u8], log: LogId) -> Slot {
    if slot.iter().all(|byte| *byte == 0) {
        return Slot::Empty;
    }
    let parse = || {
        let (used, padding) = slot.split_at_checked(USED_LEN)?;
        let mut cursor = Cursor::new(used);
        let magic: [u8; 8] = cursor.array().ok()?;
        let generation = cursor.u64().ok()?;
        let size = cursor.u64().ok()?;
        let last_time_us = cursor.u64().ok()? as i64;
        let root = cursor.hash().ok()?;
        let id: [u8; 16] = cursor.array().ok()?;
        let crc = cursor.u32().ok()?;
        let whole = magic == *MAGIC
            && id == log.0
            && generation > 0
            && crc == crc32fast::hash(&used[..USED_LEN - 4])
            && padding.iter().all(|byte| *byte == 0);
        whole.then_some(Anchor { generation, size, root, last_time_us })
    };
    parse().map_or(Slot::Damaged, Slot::Valid)
}

/// The logs that whole slots are of, whichever they are.
pub(super) fn logs(layout: &Layout) -> Result<Vec<LogId>, FileError> {
    let bytes = read_optional(&layout.anchor())?.unwrap_or_default();
    let log = |slot: &[u8]| {
        let id = LogId(slot.get(LOG_AT..LOG_AT + 16)?.try_into().ok()?);
        matches!(decode(slot, id), Slot::Valid(_)).then_some(id)
    };
    Ok(bytes.chunks(SLOT_LEN).filter_map(log).collect())
}

/// Reads the anchor; a missing file is one with a problem, not an error.
pub(super) fn read(layout: &Layout, log: LogId) -> Result<AnchorSlots, FileError> {
    let bytes = read_optional(&layout.anchor())?.unwrap_or_default();
    let slot = |at: usize| {
        bytes.get(at * SLOT_LEN..(at + 1) * SLOT_LEN).map_or(Slot::Damaged, |slot| decode(slot, log))
    };
    let slots = [slot(0), slot(1)];
    Ok(AnchorSlots { slots, problem: AnchorSlots::judge(bytes.len(), slots) })
}

/// The anchor, open for writing.
pub(super) struct AnchorWriter {
    file: File,
    log: LogId,
    generation: u64,
}

impl AnchorWriter {
    /// Opens the file, and gives it its proper length. `generation` is the newest one in it.
    pub(super) fn open(disk: &Disk, layout: &Layout, log: LogId, generation: u64) -> Result<Self, FileError> {
        let path = layout.anchor();
        let open = || {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            if file.metadata()?.len() != 2 * SLOT_LEN as u64 {
                let len = file.metadata()?.len().min(2 * SLOT_LEN as u64);
                file.set_len(len)?;
                // Written, not only extended: later writes then need no new blocks and cannot run out of space.
                file.write_all_at(&vec![0; 2 * SLOT_LEN - len as usize], len)?;
                if disk.sync {
                    file.sync_all()?;
                }
            }
            Ok(file)
        };
        Ok(Self { file: open().at(&path)?, log, generation })
    }

    /// Writes the older slot and syncs it. After a failure the same slot is written again: the other one still holds what
    /// was acknowledged last.
    pub(super) fn write(
        &mut self,
        disk: &Disk,
        size: u64,
        root: Hash,
        last_time_us: i64,
    ) -> std::io::Result<()> {
        let anchor = Anchor { generation: self.generation + 1, size, root, last_time_us };
        let mut slot = [0; SLOT_LEN];
        slot[..USED_LEN].copy_from_slice(&encode(&anchor, self.log));
        disk.pass(Point::AnchorWrite)?;
        self.file.write_all_at(&slot, (anchor.generation % 2) * SLOT_LEN as u64)?;
        disk.pass(Point::AnchorSync)?;
        disk.sync_data(&self.file)?;
        disk.pass(Point::Acknowledge)?;
        self.generation = anchor.generation;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_take_turns_and_every_flip_shows() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        let disk = Disk { sync: false, faults: None };
        let log = LogId([3; 16]);
        let mut writer = AnchorWriter::open(&disk, &layout, log, 0).unwrap();
        for size in 1..=3u64 {
            writer.write(&disk, size, Hash::of(&[size as u8]), 5).unwrap();
            let read = read(&layout, log).unwrap();
            assert_eq!(read.problem, None);
            assert_eq!(read.newest().map(|anchor| (anchor.generation, anchor.size)), Some((size, size)));
        }
        let good = std::fs::read(layout.anchor()).unwrap();
        let used = |at: &usize| at % SLOT_LEN < USED_LEN || at.is_multiple_of(61);
        for at in (0..good.len()).filter(used) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(layout.anchor(), &bad).unwrap();
            let read = read(&layout, log).unwrap();
            assert!(read.problem.is_some(), "byte {at}");
            assert!(read.newest().is_some(), "byte {at}");
        }
        std::fs::write(layout.anchor(), &good[..100]).unwrap();
        assert!(read(&layout, log).unwrap().problem.is_some());
        assert!(read(&layout, LogId([4; 16])).unwrap().problem.is_some());
    }
}
