//! What the tests on larger journals are made of: cheap records, repeatable noise, and a look at the frames in a tail.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use purser_events::journal::*;

/// A vocabulary that costs little, since it renders records by the hundred thousand.
pub(crate) struct Quick;

impl Vocabulary for Quick {
    fn render(&self, kind: u16, _: u16, payload: &[u8]) -> Result<Rendered, VocabularyError> {
        let mut json = format!("{{\"kind\":{kind},\"hex\":\"").into_bytes();
        json.extend(payload.iter().flat_map(|byte| [b'a' + (byte >> 4), b'a' + (byte & 15)]));
        json.extend_from_slice(b"\"}");
        Ok(Rendered { class: "observation", name: "pod-bound", json })
    }
}

/// Numbers that look random, and are the same in each run (SplitMix64).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A record of some 40 bytes, a third of them noise.
pub(crate) fn fact(n: u64) -> Draft {
    let noise = Noise(n).next();
    let mut payload = b"default/web-".to_vec();
    payload.extend_from_slice(&noise.to_le_bytes());
    payload.extend_from_slice(&(n / 7).to_le_bytes());
    payload.extend_from_slice(&b"node-eu-1a"[..(noise % 11) as usize]);
    let causes = if n > 8 { vec![n - 1 - noise % 7] } else { Vec::new() };
    Draft { kind: (noise % 9) as u16, schema: 1, causes, payload }
}

const FRAME: [u8; 4] = [0xf5, b'P', b'c', 0x1e];

/// The whole frames in a file of a tail, or in one value of it: the record, and where its frame is.
pub(crate) fn frames(file: &[u8]) -> Vec<(u64, Range<usize>)> {
    let starts = (0..file.len().saturating_sub(8)).filter(|at| file[*at..].starts_with(&FRAME));
    starts
        .filter_map(|at| Some((at, frame(&file[at..])?)))
        .map(|(at, (seq, len))| (seq, at..at + len))
        .collect()
}

/// The record of the frame at the beginning of these bytes, and its length, if it is whole.
fn frame(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut rest = bytes.get(8..)?;
    let seq = varint(&mut rest)?;
    // Part and number of parts, then the leaf.
    varint(&mut rest)?;
    varint(&mut rest)?;
    rest = rest.get(32..)?;
    let data = usize::try_from(varint(&mut rest)?).ok()?;
    let len = bytes.len() - rest.get(data..)?.len();
    let crc = u32::from_le_bytes(bytes[4..8].try_into().ok()?);
    (crc32fast::hash(&bytes[8..len]) == crc).then_some((seq, len))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The records from this one on, as far as they can be read.
pub(crate) fn records(dir: &Path, from: u64) -> Vec<Record> {
    let reader = Reader::open(dir, Arc::new(Quick)).unwrap();
    reader.records(from).map_while(Result::ok).collect()
}

/// Changes the values of a tail as whoever knows sled, but not the secret, could.
pub(crate) fn tamper(tail: &Path, change: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>)) {
    let config = sled::Config::new().path(tail).segment_size(512 * 1024).flush_every_ms(None);
    let db = config.open().unwrap();
    let mut values: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for value in db.iter() {
        let (key, value) = value.unwrap();
        values.insert(key.to_vec(), value.to_vec());
    }
    let before: Vec<Vec<u8>> = values.keys().cloned().collect();
    change(&mut values);
    for key in before.iter().filter(|key| !values.contains_key(*key)) {
        db.remove(key).unwrap();
    }
    for (key, value) in values {
        db.insert(key, value).unwrap();
    }
    db.flush().unwrap();
}

/// Two frames that have exchanged their numbers, which take equally many bytes, and have the right checksums again.
pub(crate) fn exchanged(frames: [&[u8]; 2]) -> [Vec<u8>; 2] {
    let number = |frame: &[u8]| {
        let mut rest = &frame[8..];
        varint(&mut rest).unwrap();
        8..frame.len() - rest.len()
    };
    let [a, b] = frames;
    assert_eq!(number(a), number(b));
    [(a, b), (b, a)].map(|(frame, other)| {
        let mut frame = frame.to_vec();
        frame[number(a)].copy_from_slice(&other[number(b)]);
        let crc = crc32fast::hash(&frame[8..]);
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
        frame
    })
}
