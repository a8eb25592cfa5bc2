//! What holds for all events and all bytes.

use proptest::prelude::*;
use proptest::sample::Index;

use super::{arbitrary, samples};
use crate::codec::MAX_LEN;
use crate::wire::{self, Kind};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_event_is_read_as_it_was_written(event in arbitrary::event()) {
        let encoded = wire::encode(&event).unwrap();
        let read = wire::decode(encoded.kind, encoded.schema, &encoded.payload);
        prop_assert_eq!(read, Ok(event));
    }

    /// The tree commits to the readable form, so nothing of the payload may be missing from it.
    #[test]
    fn the_readable_form_says_all(event in arbitrary::event()) {
        let encoded = wire::encode(&event).unwrap();
        let json = wire::render(encoded.kind, encoded.schema, &encoded.payload).unwrap();
        prop_assert!(json[0] == b'{' && !json.contains(&b'\n'), "one object on one line");
        let schema = Kind::of(encoded.kind).unwrap().schemas.last().unwrap();
        prop_assert_eq!((schema.parse)(&json), Ok(encoded.payload));
    }

    #[test]
    fn a_cut_payload_is_an_error(event in arbitrary::event(), at: Index) {
        let encoded = wire::encode(&event).unwrap();
        prop_assume!(!encoded.payload.is_empty());
        let cut = &encoded.payload[..at.index(encoded.payload.len())];
        prop_assert!(wire::decode(encoded.kind, encoded.schema, cut).is_err());
        prop_assert!(wire::render(encoded.kind, encoded.schema, cut).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read_for_good(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for kind in Kind::all() {
            read_for_good(kind, &bytes)?;
        }
    }

    /// Nearly right bytes get further than arbitrary ones.
    #[test]
    fn damaged_bytes_are_refused_or_read_for_good(which: Index, damage in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4)) {
        let samples = samples::all();
        let encoded = wire::encode(&which.get(&samples).event).unwrap();
        let mut bytes = encoded.payload;
        for (at, byte) in damage {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        read_for_good(Kind::of(encoded.kind).unwrap(), &bytes)?;
    }
}

/// Bytes that are an event are one that is written and read again as the same.
fn read_for_good(kind: &Kind, bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(event) = kind.decode(kind.newest(), bytes) {
        let again = wire::encode(&event).unwrap();
        prop_assert!(again.payload.len() <= bytes.len(), "the bytes written are the shortest");
        prop_assert_eq!(wire::decode(again.kind, again.schema, &again.payload), Ok(event));
        prop_assert_eq!(
            wire::render(again.kind, again.schema, &again.payload),
            kind.render(kind.newest(), bytes)
        );
    }
    Ok(())
}

#[test]
fn every_sample_cut_anywhere_is_an_error() {
    for sample in samples::all() {
        let encoded = wire::encode(&sample.event).unwrap();
        for end in 0..encoded.payload.len() {
            let cut = &encoded.payload[..end];
            assert!(wire::decode(encoded.kind, encoded.schema, cut).is_err(), "{} at {end}", encoded.kind);
        }
        let longer = [&encoded.payload[..], &[0]].concat();
        assert!(
            wire::decode(encoded.kind, encoded.schema, &longer).is_err(),
            "{} with a byte more",
            encoded.kind
        );
    }
}

/// Wherever a kind has a length or a number first, the largest is there; what counts is that nothing is allocated for it.
#[test]
fn the_largest_numbers_do_no_harm() {
    let largest = [&[253][..], &u64::MAX.to_le_bytes()].concat();
    for kind in Kind::all() {
        for lead in 0..8 {
            let bytes = [&vec![0; lead][..], &largest].concat();
            read_for_good(kind, &bytes).unwrap();
        }
        assert!(kind.decode(1, &vec![0; MAX_LEN + 1]).is_err(), "{}", kind.name);
    }
}
