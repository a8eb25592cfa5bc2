//! Records: what a caller hands in, what the journal keeps, and the compact bytes of one record in the hot tail.
//!
//! Invariant: a record's causes are earlier than the record itself, and its encoding has exactly one form.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::bytes::{Cursor, Malformed, hex, put_bytes, put_signed, put_varint, unhex};

/// The largest payload of a record, in bytes.
pub const MAX_PAYLOAD_LEN: usize = 64 * 1024;

/// The largest instance name and origin, in bytes.
pub const MAX_NAME_LEN: usize = 255;

/// A record to be appended; the journal adds the sequence number, the time, the term and the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What the payload is, as the vocabulary knows it.
    pub kind: u16,
    /// The version of the payload's form.
    pub schema: u16,
    /// The sequence numbers of the records that led to this one; all of them earlier.
    pub causes: Vec<u64>,
    /// The encoded payload, opaque to the journal.
    pub payload: Vec<u8>,
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log, from zero.
    pub seq: u64,
    /// When it was appended: microseconds of UTC since 1970.
    pub time_us: i64,
    /// What the payload is, as the vocabulary knows it.
    pub kind: u16,
    /// The version of the payload's form.
    pub schema: u16,
    /// The leader's term under which it was written.
    pub term: u64,
    /// The controller instance that wrote it.
    pub instance: Arc<str>,
    /// The sequence numbers of the records that led to this one.
    pub causes: Vec<u64>,
    /// Whether it is the last record of its append batch.
    pub commit: bool,
    /// The encoded payload, opaque to the journal.
    pub payload: Vec<u8>,
}

/// The identity of a log: 16 bytes, random or derived from a seed, shown as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for LogId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl LogId {
    /// Reads the 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// The UUIDv7 of a record. It is derived: 48 bits of its time in milliseconds, 74 bits of SHA-256 over the log id and
    /// the sequence number. So it costs no storage, and the same run gives the same ids.
    pub fn record_id(&self, seq: u64, time_us: i64) -> uuid::Uuid {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(seq.to_be_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let mut random = [0; 10];
        random.copy_from_slice(&digest[..10]);
        let millis = u64::try_from(time_us.div_euclid(1000)).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

// === impl Record ===

impl Record {
    /// The compact form: varints, and causes as distances back from the record.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.seq);
        put_signed(out, self.time_us);
        put_varint(out, u64::from(self.kind));
        put_varint(out, u64::from(self.schema));
        put_varint(out, self.term);
        put_bytes(out, self.instance.as_bytes());
        put_varint(out, self.causes.len() as u64);
        for cause in &self.causes {
            put_varint(out, self.seq - cause);
        }
        out.push(u8::from(self.commit));
        put_bytes(out, &self.payload);
    }

    /// The inverse of [`Record::encode`]. `instance` is the previous record's, which is shared when it is the same.
    pub(super) fn decode(cursor: &mut Cursor<'_>, instance: Option<&Arc<str>>) -> Result<Self, Malformed> {
        let seq = cursor.varint()?;
        let time_us = cursor.signed()?;
        let kind = cursor.varint16()?;
        let schema = cursor.varint16()?;
        let term = cursor.varint()?;
        let name = cursor.text()?;
        if name.len() > MAX_NAME_LEN {
            return Err(Malformed("instance name too long"));
        }
        let instance = match instance {
            Some(known) if **known == *name => Arc::clone(known),
            _ => Arc::from(name),
        };
        let causes = (0..cursor.count(1)?).map(|_| read_cause(cursor, seq)).collect::<Result<_, _>>()?;
        let commit = match cursor.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed("commit flag is neither 0 nor 1")),
        };
        let payload = cursor.bytes()?;
        if payload.len() > MAX_PAYLOAD_LEN {
            return Err(Malformed("payload too long"));
        }
        Ok(Self { seq, time_us, kind, schema, term, instance, causes, commit, payload: payload.to_vec() })
    }
}

pub(super) fn read_cause(cursor: &mut Cursor<'_>, seq: u64) -> Result<u64, Malformed> {
    match cursor.varint()? {
        0 => Err(Malformed("a record cannot be its own cause")),
        back => seq.checked_sub(back).ok_or(Malformed("cause before the beginning of the log")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        pub(in super::super) fn any_record(seq: u64)(
            time_us in 0i64..4_000_000_000_000_000,
            kind: u16, schema: u16, term: u64, commit: bool,
            instance in "[a-z0-9-]{0,20}",
            back in proptest::collection::vec(any::<u64>(), 0..4),
            payload in proptest::collection::vec(any::<u8>(), 0..200),
        ) -> Record {
            let causes = if seq == 0 { Vec::new() } else { back.iter().map(|b| b % seq).collect() };
            Record { seq, time_us, kind, schema, term, instance: instance.into(), causes, commit, payload }
        }
    }

    proptest! {
        #[test]
        fn the_round_trip_is_exact(record in (0..u64::MAX).prop_flat_map(any_record)) {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let mut cursor = Cursor::new(&bytes);
            prop_assert_eq!(Record::decode(&mut cursor, Some(&record.instance)), Ok(record));
            prop_assert!(cursor.finish().is_ok());
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::decode(&mut Cursor::new(&bytes), None);
        }

        #[test]
        fn a_truncated_record_is_an_error(record in (0..1_000_000u64).prop_flat_map(any_record), at in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            let cut = at.index(bytes.len());
            prop_assert!(Record::decode(&mut Cursor::new(&bytes[..cut]), None).is_err());
        }
    }

    #[test]
    fn a_record_id_is_a_uuid_v7_of_its_time() {
        let id = LogId([1; 16]).record_id(5, 1_700_000_000_123_456);
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.as_bytes()[..6], 1_700_000_000_123u64.to_be_bytes()[2..]);
        assert_eq!(id, LogId([1; 16]).record_id(5, 1_700_000_000_123_456));
        assert_ne!(id, LogId([2; 16]).record_id(5, 1_700_000_000_123_456));
        assert_ne!(id, LogId([1; 16]).record_id(6, 1_700_000_000_123_456));
    }
}
