//! The columns of a block of records, as they are compressed together in a sealed segment.
//!
//! Invariant: `decode(encode(records))` gives the records back exactly, and no input makes decoding panic or allocate more
//! than a small multiple of its length.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bytes::{Cursor, Malformed, put_bytes, put_signed, put_varint};
use super::record::{MAX_NAME_LEN, MAX_PAYLOAD_LEN, Record, read_cause};

/// The most records in a block.
pub(super) const MAX_RECORDS: usize = 4096;
/// A block is ended when its payloads and causes reach this length.
pub(super) const TARGET_LEN: usize = 1024 * 1024;
/// No block is longer than this before compression; larger claims are damage.
pub(super) const MAX_LEN: usize = 8 * 1024 * 1024;

/// Encodes records with consecutive sequence numbers; at least one.
///
/// Payloads are grouped by kind and schema, since equal kinds look alike and so compress better side by side.
pub(super) fn encode(records: &[&Record]) -> Vec<u8> {
    let mut kinds: BTreeMap<(u16, u16), u64> = records.iter().map(|r| ((r.kind, r.schema), 0)).collect();
    for (number, index) in kinds.values_mut().enumerate() {
        *index = number as u64;
    }
    let mut out = Vec::new();
    put_varint(&mut out, records.first().map_or(0, |record| record.seq));
    put_varint(&mut out, records.len() as u64);
    put_varint(&mut out, kinds.len() as u64);
    for (kind, schema) in kinds.keys() {
        put_varint(&mut out, u64::from(*kind));
        put_varint(&mut out, u64::from(*schema));
    }
    for record in records {
        put_varint(&mut out, kinds[&(record.kind, record.schema)]);
    }
    let mut time = 0;
    for record in records {
        put_signed(&mut out, record.time_us.wrapping_sub(time));
        time = record.time_us;
    }
    let writers = records.chunk_by(|a, b| a.term == b.term && a.instance == b.instance);
    for run in writers {
        put_varint(&mut out, run.len() as u64);
        put_varint(&mut out, run[0].term);
        put_bytes(&mut out, run[0].instance.as_bytes());
    }
    for flags in records.chunks(8) {
        out.push(
            flags.iter().enumerate().fold(0, |byte, (bit, record)| byte | u8::from(record.commit) << bit),
        );
    }
    for record in records {
        put_varint(&mut out, record.causes.len() as u64);
    }
    for record in records {
        for cause in &record.causes {
            put_varint(&mut out, record.seq - cause);
        }
    }
    for record in records {
        put_varint(&mut out, record.payload.len() as u64);
    }
    for key in kinds.keys() {
        for record in records.iter().filter(|record| (record.kind, record.schema) == *key) {
            out.extend_from_slice(&record.payload);
        }
    }
    out
}

/// Decodes a block.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Record>, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let first = cursor.varint()?;
    let count = cursor.count(5)?;
    if count > MAX_RECORDS {
        return Err(Malformed("a block with too many records"));
    }
    first.checked_add(count as u64).ok_or(Malformed("sequence numbers beyond 64 bits"))?;
    let kinds = (0..cursor.count(2)?)
        .map(|_| Ok((cursor.varint16()?, cursor.varint16()?)))
        .collect::<Result<Vec<_>, Malformed>>()?;
    let blank: Arc<str> = Arc::from("");
    let mut records = Vec::with_capacity(count);
    let mut kind_of = Vec::with_capacity(count);
    for seq in first..first + count as u64 {
        let index = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX);
        let (kind, schema) =
            *kinds.get(index).ok_or(Malformed("a record of a kind that the block does not list"))?;
        kind_of.push(index);
        let instance = Arc::clone(&blank);
        let (causes, payload) = (Vec::new(), Vec::new());
        records.push(Record {
            seq,
            time_us: 0,
            kind,
            schema,
            term: 0,
            instance,
            causes,
            commit: false,
            payload,
        });
    }
    let mut time = 0i64;
    for record in &mut records {
        time = time.wrapping_add(cursor.signed()?);
        record.time_us = time;
    }
    let mut at = 0;
    while at < count {
        let run = usize::try_from(cursor.varint()?).unwrap_or(usize::MAX);
        let term = cursor.varint()?;
        let name = cursor.text()?;
        let end = at.checked_add(run).filter(|end| run > 0 && *end <= count && name.len() <= MAX_NAME_LEN);
        let end = end.ok_or(Malformed("a run of writers that does not fit the block"))?;
        let instance: Arc<str> = Arc::from(name);
        for record in &mut records[at..end] {
            record.term = term;
            record.instance = Arc::clone(&instance);
        }
        at = end;
    }
    for run in records.chunks_mut(8) {
        let flags = cursor.u8()?;
        if run.len() < 8 && flags >> run.len() != 0 {
            return Err(Malformed("commit flags of records that are not there"));
        }
        for (bit, record) in run.iter_mut().enumerate() {
            record.commit = flags >> bit & 1 == 1;
        }
    }
    let counts = (0..count).map(|_| cursor.varint()).collect::<Result<Vec<_>, _>>()?;
    for (record, causes) in records.iter_mut().zip(counts) {
        let causes = usize::try_from(causes).unwrap_or(usize::MAX);
        if causes > cursor.remaining() {
            return Err(Malformed("more causes than the block has bytes"));
        }
        record.causes = (0..causes).map(|_| read_cause(&mut cursor, record.seq)).collect::<Result<_, _>>()?;
    }
    let lens = (0..count).map(|_| cursor.varint()).collect::<Result<Vec<_>, _>>()?;
    for index in 0..kinds.len() {
        for (at, record) in records.iter_mut().enumerate() {
            if kind_of[at] != index {
                continue;
            }
            let len = usize::try_from(lens[at]).unwrap_or(usize::MAX);
            if len > MAX_PAYLOAD_LEN {
                return Err(Malformed("payload too long"));
            }
            record.payload = cursor.take(len)?.to_vec();
        }
    }
    cursor.finish()?;
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::tests::any_record;
    use proptest::prelude::*;

    fn any_block() -> impl Strategy<Value = Vec<Record>> {
        (0..1u64 << 40, 1usize..40).prop_flat_map(|(first, count)| {
            (0..count as u64).map(|n| any_record(first + n)).collect::<Vec<_>>()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_round_trip_is_exact(records in any_block(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&records.iter().collect::<Vec<_>>());
            prop_assert_eq!(decode(&bytes), Ok(records));
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn damaged_bytes_never_panic(records in any_block(), at in any::<prop::sample::Index>(), with: u8) {
            let mut bytes = encode(&records.iter().collect::<Vec<_>>());
            let at = at.index(bytes.len());
            bytes[at] = with;
            let _ = decode(&bytes);
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }
    }
}
