//! Times and places in the log as people type them.
//!
//! **Invariant:** a relative time counts back from the end of the log, never from a clock: an answer does not depend on when it is
//! asked for.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime};
use purser_engine::model::{Span, Time};

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// This one.
    At(Time),
    /// A day, UTC: from the first of these up to, without, the second.
    Day(Time, Time),
    /// So long before the end of the log.
    Before(Span),
}

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// After this record.
    Seq(u64),
    /// After all that happened up to this moment.
    Moment(Moment),
    /// The end of the log.
    End,
}

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time: write 2026-07-20T09:00:00Z, 2026-07-20, or 2h, 30m, 3d for so long before the end of the log"
)]
pub struct NoTime(String);

impl Moment {
    /// As the beginning of a range, in a log that ends then.
    pub fn start(self, end: Time) -> Time {
        match self {
            Self::At(time) | Self::Day(time, _) => time,
            Self::Before(span) => end - span,
        }
    }

    /// As the end of a range that it belongs to, in a log that ends then.
    pub fn finish(self, end: Time) -> Time {
        match self {
            Self::At(time) => time,
            Self::Day(_, next) => Time(next.0 - 1),
            Self::Before(span) => end - span,
        }
    }
}

impl Point {
    /// The moment that was asked for in a log that ends then, which may be later than the last record before it. A day, a record and
    /// the end stand for what was recorded until then.
    pub fn moment(self, end: Time) -> Option<Time> {
        match self {
            Self::Moment(moment @ (Moment::At(_) | Moment::Before(_))) => Some(moment.finish(end)),
            Self::Moment(Moment::Day(..)) | Self::Seq(_) | Self::End => None,
        }
    }
}

impl FromStr for Moment {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        let no_time = || NoTime(text.to_owned());
        if let Some(span) = span(text) {
            return Ok(Self::Before(span));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(Time(time.timestamp_micros())));
        }
        if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            let midnight =
                |day: NaiveDate| Some(Time(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros()));
            let next = day.checked_add_days(Days::new(1)).and_then(midnight).ok_or_else(no_time)?;
            return Ok(Self::Day(midnight(day).ok_or_else(no_time)?, next));
        }
        let local = text.replace(' ', "T");
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(&local, form).ok())
            .map(|time| Self::At(Time(time.and_utc().timestamp_micros())))
            .ok_or_else(no_time)
    }
}

impl FromStr for Point {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        if text == "end" {
            return Ok(Self::End);
        }
        match text.parse() {
            Ok(seq) => Ok(Self::Seq(seq)),
            Err(_) => text.parse().map(Self::Moment),
        }
    }
}

/// A length of time such as `90s`, `1h30m` or `3d`.
fn span(text: &str) -> Option<Span> {
    let mut rest = text;
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let seconds = match &rest[digits..unit] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            "w" => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(seconds)?.checked_mul(1_000_000)?)?;
        rest = &rest[unit..];
    }
    (!text.is_empty()).then_some(Span(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Time = Time(1_784_548_800_000_000);

    #[test]
    fn moments_are_absolute_days_or_before_the_end() {
        assert_eq!("2026-07-20T12:00:00Z".parse(), Ok(Moment::At(NOON)));
        assert_eq!("2026-07-20T14:00:00+02:00".parse(), Ok(Moment::At(NOON)));
        assert_eq!("2026-07-20 12:00".parse(), Ok(Moment::At(NOON)));
        assert_eq!("2026-07-20T12:00:00.5".parse(), Ok(Moment::At(NOON + Span::millis(500))));
        assert_eq!("2h".parse(), Ok(Moment::Before(Span::hours(2))));
        assert_eq!("1h30m".parse(), Ok(Moment::Before(Span::mins(90))));
        assert_eq!("3d".parse(), Ok(Moment::Before(Span::hours(72))));
        let day: Moment = "2026-07-20".parse().unwrap();
        assert_eq!(day.start(Time(0)), NOON - Span::hours(12));
        assert_eq!(day.finish(Time(0)), Time((NOON + Span::hours(12)).0 - 1));
        let back: Moment = "30m".parse().unwrap();
        assert_eq!((back.start(NOON), back.finish(NOON)), (NOON - Span::mins(30), NOON - Span::mins(30)));
    }

    #[test]
    fn a_place_is_a_record_a_moment_or_the_end() {
        assert_eq!("42".parse(), Ok(Point::Seq(42)));
        assert_eq!("end".parse(), Ok(Point::End));
        assert_eq!("42m".parse(), Ok(Point::Moment(Moment::Before(Span::mins(42)))));
    }

    #[test]
    fn what_is_no_time_says_what_is_one() {
        for text in [
            "",
            "yesterday",
            "h",
            "2x",
            "2h3",
            "2026-13-01",
            "2026-07-20T25:00:00Z",
            "-2h",
            "99999999999999999w",
        ] {
            let error = text.parse::<Moment>().unwrap_err().to_string();
            assert!(error.contains("is no time: write 2026-"), "{error}");
        }
    }
}
