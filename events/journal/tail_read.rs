//! Reading a tail: from a copy, behind a guard, and if sled refuses it, by searching its file for our own frames.
//!
//! Invariant: what is returned is an unbroken run of records from the tail's first, each with a right checksum, ending with
//! a whole batch.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::bytes::Cursor;
use super::layout::Layout;
use super::merkle::{Frontier, Hash};
use super::record::Record;
use super::tail::{PIECE_MAGIC, Piece, copy_dir, guarded, is_sled_snapshot, open_sled, remove_dir};

/// What a tail holds.
#[derive(Debug, Default)]
pub(super) struct TailContents {
    /// Whole batches, in order.
    pub(super) records: Vec<(Record, Hash)>,
    /// How many records of an unfinished batch come after them.
    pub(super) unfinished: u64,
    /// What is wrong with it, if anything.
    pub(super) damage: Option<TailDamage>,
}

/// What is wrong with a tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TailDamage {
    /// The first record that is missing or wrong, when records are.
    pub(super) seq: Option<u64>,
    pub(super) reason: String,
}

impl TailContents {
    /// The root of the tree at `size`, given the frontier at the tail's first record.
    pub(super) fn root_at(&self, before: &Frontier, size: u64) -> Option<Hash> {
        let count = usize::try_from(size.checked_sub(before.size())?).ok()?;
        let mut frontier = before.clone();
        frontier.extend(self.records.get(..count)?.iter().map(|(_, leaf)| *leaf));
        Some(frontier.root())
    }
}

/// The pieces found so far, by record and part.
#[derive(Default)]
struct Pieces {
    found: BTreeMap<(u64, u64), Piece>,
    /// The first thing that was wrong, with the last record that was read before it.
    bad: Option<(Option<u64>, String)>,
}

impl Pieces {
    fn add(&mut self, piece: Piece) {
        self.found.entry((piece.seq, piece.part)).or_insert(piece);
    }

    /// Takes a value as sled gives it: nothing but pieces.
    fn add_value(&mut self, mut value: &[u8]) {
        while !value.is_empty() {
            match Piece::decode(value) {
                Ok((piece, len)) => {
                    self.add(piece);
                    value = &value[len..];
                }
                Err(error) => {
                    let last = self.found.keys().next_back().map(|(seq, _)| *seq);
                    self.bad.get_or_insert((last, error.to_string()));
                    return;
                }
            }
        }
    }

    /// Takes whatever whole pieces are anywhere in a file.
    fn salvage(&mut self, file: &[u8]) {
        let mut at = 0;
        while let Some(found) = file[at..].windows(4).position(|window| window == PIECE_MAGIC) {
            at += found;
            match Piece::decode(&file[at..]) {
                Ok((piece, len)) => {
                    self.add(piece);
                    at += len;
                }
                Err(_) => at += 1,
            }
        }
    }

    /// The record `seq`, if all its parts are there.
    fn record(&self, seq: u64, before: Option<&Record>) -> Result<Option<(Record, Hash)>, String> {
        let Some(first) = self.found.get(&(seq, 0)) else { return Ok(None) };
        let mut body = Vec::new();
        for part in 0..first.parts {
            let Some(piece) = self.found.get(&(seq, part)) else { return Ok(None) };
            if piece.parts != first.parts || piece.leaf != first.leaf {
                return Err("the parts of the record do not belong together".to_owned());
            }
            body.extend_from_slice(&piece.data);
        }
        let mut cursor = Cursor::new(&body);
        let record = Record::decode(&mut cursor, before.map(|record| &record.instance));
        let record =
            record.and_then(|record| cursor.finish().map(|()| record)).map_err(|error| error.to_string())?;
        if record.seq != seq {
            return Err(format!("the record says that it is number {}", record.seq));
        }
        Ok(Some((record, first.leaf)))
    }

    /// The unbroken run from `first`.
    fn run(&self, first: u64) -> TailContents {
        let mut contents = TailContents::default();
        let mut whole = 0;
        let mut next = first;
        loop {
            match self.record(next, contents.records.last().map(|(record, _)| record)) {
                Ok(Some((record, leaf))) => {
                    let commit = record.commit;
                    contents.records.push((record, leaf));
                    next += 1;
                    if commit {
                        whole = contents.records.len();
                    }
                }
                Ok(None) => break,
                Err(reason) => {
                    contents.damage = Some(TailDamage { seq: Some(next), reason });
                    break;
                }
            }
        }
        contents.unfinished = (contents.records.len() - whole) as u64;
        contents.records.truncate(whole);
        if contents.damage.is_none()
            && let Some(((seq, _), _)) = self.found.range((next + 1, 0)..).next()
        {
            let reason = format!("record {next} is missing or damaged, and record {seq} is there");
            contents.damage = Some(TailDamage { seq: Some(next), reason });
        }
        if contents.damage.is_none()
            && let Some((last, reason)) = &self.bad
        {
            let seq = last.map_or(first, |last| last + 1);
            contents.damage = Some(TailDamage { seq: Some(seq), reason: reason.clone() });
        }
        contents
    }
}

/// Puts together what sled gave as values.
pub(super) fn contents_of(values: &[Vec<u8>], first: u64) -> TailContents {
    let mut pieces = Pieces::default();
    values.iter().for_each(|value| pieces.add_value(value));
    pieces.run(first)
}

/// Reads the tail that begins with `first` from a copy in `scratch`, which is removed again. `expected` is the number of
/// records in the log that were acknowledged: with fewer, the file itself is searched.
pub(super) fn load(layout: &Layout, first: u64, scratch: &Path, expected: u64) -> io::Result<TailContents> {
    let dir = layout.tail(first);
    let result = load_copy(&dir, first, scratch, expected);
    remove_dir(scratch)?;
    result
}

fn load_copy(dir: &Path, first: u64, scratch: &Path, expected: u64) -> io::Result<TailContents> {
    let mut refused = None;
    for without_snapshot in [false, true] {
        remove_dir(scratch)?;
        copy_dir(dir, scratch)?;
        if without_snapshot && !remove_sled_snapshots(scratch)? {
            break;
        }
        match read_values(scratch) {
            Ok(values) => {
                let contents = contents_of(&values, first);
                if contents.damage.is_none() && first + contents.records.len() as u64 >= expected {
                    return Ok(contents);
                }
                let damage = contents.damage.map(|damage| damage.reason);
                refused.get_or_insert(
                    damage.unwrap_or_else(|| "sled gives fewer records than were acknowledged".to_owned()),
                );
            }
            Err(error) => refused = refused.or(Some(error.to_string())),
        }
    }
    let mut pieces = Pieces::default();
    if let Ok(values) = read_values(scratch) {
        values.iter().for_each(|value| pieces.add_value(value));
    }
    match fs::read(dir.join("db")) {
        Ok(file) => pieces.salvage(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Found by other means, or not at all: either way the tail is not what it should be.
    pieces.bad = None;
    let mut contents = pieces.run(first);
    let have = first + contents.records.len() as u64;
    let missing =
        contents.damage.as_ref().and_then(|damage| damage.seq).or((have < expected).then_some(have));
    let reason = refused.unwrap_or_else(|| "sled refuses it".to_owned());
    // A tail that failed to come into being holds nothing that anybody relies on.
    let never_used = pieces.found.is_empty() && expected <= first;
    contents.damage = (!never_used).then_some(TailDamage { seq: missing, reason });
    Ok(contents)
}

fn read_values(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let db = open_sled(dir)?;
    let values = guarded(|| db.iter().values().map(|value| value.map(|value| value.to_vec())).collect());
    // Closing flushes, which can panic like everything else.
    guarded(|| {
        drop(db);
        Ok(())
    })?;
    values
}

/// Sled's snapshot files only shorten its recovery, and are the part of it that breaks most.
fn remove_sled_snapshots(dir: &Path) -> io::Result<bool> {
    let mut removed = false;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if is_sled_snapshot(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path())?;
            removed = true;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::super::disk::Disk;
    use super::super::leaf::{LeafWriter, Rendered, Vocabulary, VocabularyError};
    use super::super::options::{IdentitySource, Options};
    use super::super::record::Draft;
    use super::super::recovery::TailRecovery;
    use super::super::tail::{Tail, pieces};
    use super::super::writer::Journal;
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn record(seq: u64, len: usize, commit: bool) -> (Record, Hash) {
        let (causes, payload) = (Vec::new(), vec![seq as u8; len]);
        let instance = "a".into();
        let record =
            Record { seq, time_us: 1, kind: 1, schema: 1, term: 1, instance, causes, commit, payload };
        (record, Hash::of(&seq.to_le_bytes()))
    }

    fn values(records: &[(Record, Hash)]) -> Vec<Vec<u8>> {
        let encode = |piece: Piece| {
            let mut out = Vec::new();
            piece.encode(&mut out);
            out
        };
        records.iter().flat_map(|(record, leaf)| pieces(record, *leaf)).map(encode).collect()
    }

    #[test]
    fn an_unfinished_batch_is_cut_and_a_gap_is_named() {
        let records =
            [record(5, 10, true), record(6, 9000, false), record(7, 10, true), record(8, 10, false)];
        let whole = values(&records);
        let contents = contents_of(&whole, 5);
        assert_eq!((contents.records.len(), contents.unfinished, contents.damage), (3, 1, None));
        assert_eq!(whole.len(), 6);
        for missing in 1..=3 {
            let mut gap = whole.clone();
            gap.remove(missing);
            let contents = contents_of(&gap, 5);
            assert_eq!(contents.records.len(), 1);
            assert_eq!(contents.damage.and_then(|damage| damage.seq), Some(6));
        }
        let mut spoilt = whole.clone();
        spoilt[4][10] ^= 1;
        let contents = contents_of(&spoilt, 5);
        assert_eq!(contents.records.len(), 1);
        assert_eq!(contents.damage.and_then(|damage| damage.seq), Some(7));
    }

    #[test]
    fn pieces_are_found_in_any_surroundings() {
        let records = [record(0, 10, true), record(1, 5000, true)];
        let mut file = b"noise\xf5Pc\x1e and more".to_vec();
        for value in values(&records).iter().rev() {
            file.extend_from_slice(value);
            file.extend_from_slice(b"between\xf5Pc");
        }
        let mut pieces = Pieces::default();
        pieces.salvage(&file);
        assert_eq!(pieces.run(0).records, records);
    }

    struct Plain;

    impl Vocabulary for Plain {
        fn render(&self, _: u16, _: u16, _: &[u8]) -> Result<Rendered, VocabularyError> {
            Ok(Rendered { class: "control", name: "plain", json: b"{}".to_vec() })
        }
    }

    #[test]
    fn a_torn_batch_is_cut_when_the_journal_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new("origin", "a", 1, Arc::new(Plain));
        options.identity = IdentitySource::Derived { seed: [1; 32] };
        (options.sync, options.min_free_bytes) = (false, 0);
        let mut journal = Journal::create(folder.path(), options.clone(), 0).unwrap();
        journal.append(1, &[Draft { kind: 1, schema: 1, causes: vec![], payload: vec![0] }]).unwrap();
        let leaf: LeafWriter = journal.leaf_writer().clone();
        journal.close().unwrap();
        let disk = Disk { sync: false, faults: None };
        let layout = Layout::new(folder.path());
        let mut tail = Tail::create(&disk, &layout, 1, 1).unwrap();
        let sign = |(record, _): (Record, Hash)| {
            let hash = leaf.lines(&record).unwrap().leaf;
            (record, hash)
        };
        tail.append(&disk, &[record(1, 3, true), record(2, 3, false), record(3, 3, false)].map(sign))
            .unwrap();
        drop(tail);
        let (journal, recovery) = Journal::open(folder.path(), options.clone()).unwrap();
        assert_eq!((recovery.tail, journal.size()), (TailRecovery::Torn { cut: 2..4 }, 2));
        journal.close().unwrap();

        // A record that is whole, but not the one that its leaf was made of.
        let mut tail = Tail::create(&disk, &layout, 2, 1).unwrap();
        tail.append(&disk, &[sign(record(2, 3, true)), record(3, 3, true)]).unwrap();
        drop(tail);
        let (journal, recovery) = Journal::open(folder.path(), options).unwrap();
        assert!(matches!(recovery.tail, TailRecovery::Damaged { kept_size: 3, .. }), "{recovery:?}");
        assert_eq!(journal.size(), 3);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Piece::decode(&bytes);
            let mut pieces = Pieces::default();
            pieces.salvage(&bytes);
            pieces.add_value(&bytes);
        }
    }
}
