//! Binary form of values: bincode 1.3.3 in the one configuration that the log uses.
//!
//! Integers are variable in length (and zigzag where they are signed), little endian; a struct is its fields in order, with
//! nothing between them; text and lists have their length first; an option is a byte 0, or a byte 1 and the value. Nothing
//! describes itself, so bytes are only ever read as the type that wrote them.
//!
//! Invariant: no other bincode configuration is used in this crate, bytes that are left over are an error, and no value
//! is longer than [`MAX_LEN`].

use bincode::{DefaultOptions, ErrorKind, Options as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal;

/// The longest encoding of a value, in bytes: the largest payload that the journal takes.
pub const MAX_LEN: usize = purser_engine::port::MAX_EVENT_BYTES;

const _: () = assert!(MAX_LEN == journal::MAX_PAYLOAD_LEN, "what can be encoded can be appended");

/// Why a value cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It is too long: split it.
    #[error("{len} bytes are more than {MAX_LEN}")]
    TooLarge {
        /// How long it would be.
        len: u64,
    },
    /// Its type has a part that has no binary form, which is a mistake in the type.
    #[error("{reason}")]
    Unsupported {
        /// What bincode says.
        reason: String,
    },
}

/// Why bytes are no value of a type: they are damaged, or those of another type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct DecodeError {
    /// What is wrong.
    pub reason: String,
}

/// The configuration. Each setting is spelled out, whether or not it is bincode's default.
fn options() -> impl bincode::Options {
    DefaultOptions::new()
        .with_varint_encoding()
        .with_little_endian()
        .with_limit(MAX_LEN as u64)
        .reject_trailing_bytes()
}

/// Encodes a value.
///
/// # Errors
/// If the value is longer than [`MAX_LEN`], or has a part that bincode cannot write.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodeError> {
    options().serialize(value).map_err(|error| match *error {
        ErrorKind::SizeLimit => match options().with_no_limit().serialized_size(value) {
            Ok(len) => EncodeError::TooLarge { len },
            Err(error) => EncodeError::Unsupported { reason: error.to_string() },
        },
        other => EncodeError::Unsupported { reason: other.to_string() },
    })
}

/// Decodes a value that takes up all of the bytes.
///
/// # Errors
/// If the bytes are not exactly one value of the type, or more than [`MAX_LEN`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX_LEN {
        return Err(DecodeError { reason: format!("{} bytes are more than {MAX_LEN}", bytes.len()) });
    }
    options().deserialize(bytes).map_err(|error| {
        let reason = match *error {
            ErrorKind::Io(_) | ErrorKind::SizeLimit => "the bytes end too early".to_owned(),
            ErrorKind::Custom(message) => message,
            other => other.to_string(),
        };
        DecodeError { reason }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_the_documented_one() {
        let value = (1u64, 300u32, -1i64, i64::MAX, "ab", Some(7u8), None::<u8>, vec![true, false], [9u8; 2]);
        let bytes: &[&[u8]] = &[
            &[1],
            &[251, 0x2c, 0x01],
            &[1],
            &[253, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[2, b'a', b'b'],
            &[1, 7],
            &[0],
            &[2, 1, 0],
            &[9, 9],
        ];
        assert_eq!(encode(&value), Ok(bytes.concat()));
    }

    #[test]
    fn bytes_are_exactly_one_value() {
        assert_eq!(decode::<(u8, u8)>(&[1, 2]), Ok((1, 2)));
        assert_eq!(decode::<(u8, u8)>(&[1]).map_err(|e| e.reason), Err("the bytes end too early".to_owned()));
        assert!(decode::<(u8, u8)>(&[1, 2, 3]).is_err(), "bytes are left over");
        assert!(decode::<bool>(&[2]).is_err());
        assert!(decode::<Option<u8>>(&[2, 0]).is_err());
        assert!(decode::<String>(&[1, 0xff]).is_err());
    }

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_allocated() {
        let lie = [&[253][..], &u64::MAX.to_le_bytes()].concat();
        assert!(decode::<String>(&lie).is_err());
        assert!(decode::<Vec<u64>>(&lie).is_err());
        assert!(decode::<Vec<Vec<String>>>(&lie).is_err());
    }

    #[test]
    fn the_limit_holds_both_ways() {
        let text = |len: usize| "x".repeat(len);
        let most = encode(&text(MAX_LEN - 3)).unwrap();
        assert_eq!(most.len(), MAX_LEN);
        assert_eq!(decode(&most), Ok(text(MAX_LEN - 3)));
        assert_eq!(encode(&text(MAX_LEN)), Err(EncodeError::TooLarge { len: MAX_LEN as u64 + 5 }));
        assert!(decode::<Vec<u8>>(&vec![0; MAX_LEN + 1]).is_err());
    }
}
