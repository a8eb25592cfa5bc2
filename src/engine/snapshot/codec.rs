//! A plain binary form for the types of State: variable-length integers, lengths before sequences.
//!
//! **Invariant:** reading allocates no more than the bytes that are there can fill.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::SnapshotError;
use crate::model::Str;

/// Has a binary form.
pub(super) trait Persist: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError>;
}

/// Reads a binary form from its start on.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn damaged<T>(&self, what: &'static str) -> Result<T, SnapshotError> {
        Err(SnapshotError::Damaged { at: self.at, what })
    }

    pub(super) fn finish(self) -> Result<(), SnapshotError> {
        if self.at == self.bytes.len() { Ok(()) } else { self.damaged("the end") }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], SnapshotError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..len)) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => self.damaged("more bytes"),
        }
    }

    /// A length that the bytes left can fill with things of at least one byte.
    fn len(&mut self) -> Result<usize, SnapshotError> {
        let len = u64::get(self)?;
        let left = (self.bytes.len() - self.at) as u64;
        if len <= left { Ok(len as usize) } else { self.damaged("a length within bounds") }
    }
}

impl Persist for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = u64::from(from.take(1)?[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                return if shift == 63 && byte > 1 {
                    from.damaged("an integer of 64 bits")
                } else {
                    Ok(value)
                };
            }
        }
        from.damaged("an integer of 64 bits")
    }
}

macro_rules! through_u64 {
    ($($integer:ty),*) => {$(
        impl Persist for $integer {
            fn put(&self, out: &mut Vec<u8>) {
                (*self as u64).put(out);
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
                match <$integer>::try_from(u64::get(from)?) {
                    Ok(value) => Ok(value),
                    Err(_) => from.damaged("a smaller integer"),
                }
            }
        }
    )*};
}
through_u64!(u8, u16, u32, usize);

impl Persist for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        (((*self << 1) ^ (*self >> 63)) as u64).put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let zigzag = u64::get(from)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }
}

impl Persist for i32 {
    fn put(&self, out: &mut Vec<u8>) {
        i64::from(*self).put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        match Self::try_from(i64::get(from)?) {
            Ok(value) => Ok(value),
            Err(_) => from.damaged("a smaller integer"),
        }
    }
}

impl Persist for u128 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(from.take(16)?);
        Ok(Self::from_le_bytes(bytes))
    }
}

impl Persist for i128 {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u128).put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok(u128::get(from)? as Self)
    }
}

impl Persist for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        match from.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => from.damaged("0 or 1"),
        }
    }
}

impl Persist for Str {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        out.extend(self.as_bytes());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        let len = from.len()?;
        match std::str::from_utf8(from.take(len)?) {
            Ok(text) => Ok(text.into()),
            Err(_) => from.damaged("text"),
        }
    }
}

impl<T: Persist> Persist for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        if bool::get(from)? { T::get(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Persist, E: Persist> Persist for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        if bool::get(from)? { T::get(from).map(Ok) } else { E::get(from).map(Err) }
    }
}

impl<T: Persist> Persist for Arc<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        T::get(from).map(Self::new)
    }
}

impl<A: Persist, B: Persist> Persist for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl<T: Persist> Persist for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        (0..from.len()?).map(|_| T::get(from)).collect()
    }
}

impl<T: Persist + Ord> Persist for BTreeSet<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        (0..from.len()?).map(|_| T::get(from)).collect()
    }
}

impl<K: Persist + Ord, V: Persist> Persist for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, SnapshotError> {
        (0..from.len()?).map(|_| Ok((K::get(from)?, V::get(from)?))).collect()
    }
}
