//! Maps from text: pairs in order in binary, an object in JSON.
//!
//! Invariant: the keys ascend, each once; bytes in which they do not are refused.

use std::fmt;
use std::marker::PhantomData;

use purser_engine::model::{Labels, VolumeLimits};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::convert::{Reject, Wire};

/// Pairs by key. (bincode writes a map as it writes a list of pairs.)
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MapV1<V>(pub(crate) Vec<(String, V)>);

/// Labels.
pub(crate) type LabelsV1 = MapV1<String>;

/// So many pairs are made room for before they are seen, whatever the length says.
const ROOM: usize = 64;

impl<V: Serialize> Serialize for MapV1<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for MapV1<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Ascending<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for Ascending<V> {
            type Value = MapV1<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map with ascending keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MapV1<V>, A::Error> {
                let mut pairs: Vec<(String, V)> = Vec::with_capacity(map.size_hint().unwrap_or(0).min(ROOM));
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if pairs.last().is_some_and(|(before, _)| *before >= key) {
                        return Err(A::Error::custom(format_args!("the key {key:?} is not in order")));
                    }
                    pairs.push((key, value));
                }
                Ok(MapV1(pairs))
            }
        }

        deserializer.deserialize_map(Ascending(PhantomData))
    }
}

impl Wire<Labels> for LabelsV1 {
    fn from_domain(domain: &Labels) -> Self {
        Self(domain.iter().map(|(key, value)| (key.as_ref().to_owned(), value.as_ref().to_owned())).collect())
    }

    fn into_domain(self) -> Result<Labels, Reject> {
        Ok(self.0.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl Wire<VolumeLimits> for MapV1<Option<u32>> {
    fn from_domain(domain: &VolumeLimits) -> Self {
        Self(domain.iter().map(|(driver, limit)| (driver.as_ref().to_owned(), *limit)).collect())
    }

    fn into_domain(self) -> Result<VolumeLimits, Reject> {
        Ok(self.0.into_iter().map(|(driver, limit)| (driver.into(), limit)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn the_binary_form_is_that_of_a_list_of_pairs() {
        let pairs = vec![("a".to_owned(), 1i64), ("b".to_owned(), -1)];
        let map = MapV1(pairs.clone());
        let bytes = codec::encode(&map).unwrap();
        assert_eq!(bytes, codec::encode(&pairs).unwrap());
        assert_eq!(codec::decode::<MapV1<i64>>(&bytes).unwrap(), map);
        assert_eq!(serde_json::to_string(&map).unwrap(), r#"{"a":1,"b":-1}"#);
        assert_eq!(serde_json::from_str::<MapV1<i64>>(r#"{"a":1,"b":-1}"#).unwrap(), map);
    }

    #[test]
    fn keys_out_of_order_are_refused() {
        for keys in [["b", "a"], ["a", "a"]] {
            let bytes = codec::encode(&keys.map(|key| (key, 0i64)).to_vec()).unwrap();
            assert!(codec::decode::<MapV1<i64>>(&bytes).unwrap_err().reason.contains("not in order"));
        }
    }
}
