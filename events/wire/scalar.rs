//! Values that are one thing in binary and another for people: moments, UIDs, reasons.
//!
//! Invariant: two values that differ have readable forms that differ, for the log's tree commits to the readable form.

use chrono::{DateTime, Datelike as _, SecondsFormat};
use purser_engine::model::{Time, Uid};
use purser_engine::reason::ReasonId;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::code::unknown;
use super::convert::{Reject, Wire};

/// A moment: microseconds since 1970 in binary; RFC 3339 in UTC with six digits of the second in JSON.
///
/// A moment outside the years 0 to 9999, for which RFC 3339 has no form, is its microseconds with `us` behind them.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimeV1(pub(crate) i64);

/// A UID: its 16 bytes in binary; with hyphens in JSON.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UidV1(pub(crate) [u8; 16]);

/// A reason: its number in binary; its text from the registry in JSON.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReasonCode(pub(crate) ReasonId);

// === impl TimeV1 ===

impl TimeV1 {
    fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix("us") {
            Some(micros) => micros.parse().ok().map(Self),
            None => Some(Self(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())),
        }
    }
}

impl Serialize for TimeV1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i64(self.0);
        }
        match DateTime::from_timestamp_micros(self.0).filter(|time| (0..=9999).contains(&time.year())) {
            Some(time) => serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => serializer.collect_str(&format_args!("{}us", self.0)),
        }
    }
}

impl<'de> Deserialize<'de> for TimeV1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format_args!("{text:?} is no time")))
    }
}

impl Wire<Time> for TimeV1 {
    fn from_domain(domain: &Time) -> Self {
        Self(domain.0)
    }

    fn into_domain(self) -> Result<Time, Reject> {
        Ok(Time(self.0))
    }
}

// === impl UidV1 ===

impl Serialize for UidV1 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        serializer.collect_str(Uuid::from_bytes_ref(&self.0).as_hyphenated())
    }
}

impl<'de> Deserialize<'de> for UidV1 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 16]>::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        let uid = Uuid::try_parse(&text).map_err(D::Error::custom)?;
        Ok(Self(uid.into_bytes()))
    }
}

impl Wire<Uid> for UidV1 {
    fn from_domain(domain: &Uid) -> Self {
        Self(domain.0.to_be_bytes())
    }

    fn into_domain(self) -> Result<Uid, Reject> {
        Ok(Uid(u128::from_be_bytes(self.0)))
    }
}

// === impl ReasonCode ===

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_u16(self.0 as u16);
        }
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for ReasonCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let number = u16::deserialize(deserializer)?;
            return ReasonId::from_number(number)
                .map(Self)
                .ok_or_else(|| D::Error::custom(unknown("reason", number)));
        }
        let text = String::deserialize(deserializer)?;
        let known = ReasonId::ALL.iter().find(|id| id.as_str() == text);
        known.map(|id| Self(*id)).ok_or_else(|| D::Error::custom(unknown("reason", text)))
    }
}

impl Wire<ReasonId> for ReasonCode {
    fn from_domain(domain: &ReasonId) -> Self {
        Self(*domain)
    }

    fn into_domain(self) -> Result<ReasonId, Reject> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[track_caller]
    fn check<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        value: T,
        bytes: &[u8],
        json: &str,
    ) {
        assert_eq!(codec::encode(&value).unwrap(), bytes);
        assert_eq!(codec::decode::<T>(bytes).unwrap(), value);
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
        assert_eq!(serde_json::from_str::<T>(json).unwrap(), value);
    }

    #[test]
    fn each_has_two_forms() {
        check(TimeV1(0), &[0], r#""1970-01-01T00:00:00.000000Z""#);
        let now = 1_784_538_000_000_001;
        let bytes = [&[253][..], &(2 * now as u64).to_le_bytes()].concat();
        check(TimeV1(now), &bytes, r#""2026-07-20T09:00:00.000001Z""#);
        check(TimeV1(i64::MAX), &[&[253, 254][..], &[255; 7]].concat(), r#""9223372036854775807us""#);
        check(TimeV1(i64::MIN), &[&[253][..], &[255; 8]].concat(), r#""-9223372036854775808us""#);
        let uid: [u8; 16] = std::array::from_fn(|i| i as u8);
        check(UidV1(uid), &uid, r#""00010203-0405-0607-0809-0a0b0c0d0e0f""#);
        check(ReasonCode(ReasonId::LimitReached), &[6], r#""limit-reached""#);
    }

    #[test]
    fn the_first_and_the_last_moment_of_rfc_3339() {
        for (text, outside) in [("0000-01-01T00:00:00.000000Z", -1), ("9999-12-31T23:59:59.999999Z", 1)] {
            let edge = TimeV1::parse(text).unwrap();
            assert_eq!(serde_json::to_string(&edge).unwrap(), format!("{text:?}"));
            let beyond = edge.0 + outside;
            assert_eq!(serde_json::to_string(&TimeV1(beyond)).unwrap(), format!("\"{beyond}us\""));
        }
    }

    #[test]
    fn what_is_unknown_is_an_error() {
        let error = codec::decode::<ReasonCode>(&[251, 0xff, 0xff]).unwrap_err();
        assert!(error.reason.contains("reason") && error.reason.contains("65535"), "{error}");
        assert!(serde_json::from_str::<ReasonCode>("\"none\"").is_err());
        assert!(serde_json::from_str::<TimeV1>("\"now\"").is_err());
    }
}
