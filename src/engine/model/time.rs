//! Time and money as integers: whatever is logged or compared is never a float.

use std::fmt;
use std::ops::{Add, AddAssign, Neg, Sub};

/// A moment, in microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

/// A length of time, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub i64);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of whole milliseconds.
    pub const fn millis(millis: i64) -> Self {
        Self(millis * 1_000)
    }

    /// A span of whole seconds.
    pub const fn secs(secs: i64) -> Self {
        Self(secs * 1_000_000)
    }

    /// A span of whole minutes.
    pub const fn mins(mins: i64) -> Self {
        Self::secs(mins * 60)
    }

    /// A span of whole hours.
    pub const fn hours(hours: i64) -> Self {
        Self::mins(hours * 60)
    }

    /// In seconds, for people.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Span {
    /// As Go and Kubernetes write durations: `1h5m`, `90s` as `1m30s`, `250ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let mut text = String::new();
        if self.0 < 0 {
            text.push('-');
        }
        let mut rest = self.0.unsigned_abs();
        for (unit, micros) in
            [("h", 3_600_000_000u64), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)]
        {
            if rest >= micros {
                text.push_str(&format!("{}{unit}", rest / micros));
                rest %= micros;
            }
        }
        f.pad(&text)
    }
}

impl Time {
    /// The time so much later; stays at the end of time rather than wrap.
    pub fn saturating_add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// How long since an earlier moment; negative if it is later.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Time {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        self.saturating_add(span)
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub<Span> for Time {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_micros(self.0) {
            Some(time) => f.pad(&time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)),
            None => write!(f, "{}us", self.0),
        }
    }
}

/// Money, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(pub i64);

impl Money {
    /// In dollars, for people.
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        f.pad(&format!("{sign}${}.{:02}", micros / 1_000_000, micros % 1_000_000 / 10_000))
    }
}

/// A price, in millionths of a US dollar per hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Price(pub i64);

impl Price {
    /// What it costs for so long, rounded down to a millionth of a dollar.
    pub fn over(self, span: Span) -> Money {
        let micros = i128::from(self.0) * i128::from(span.0) / 3_600_000_000;
        Money(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// In dollars an hour, for people.
    pub fn as_usd(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Add for Price {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Price {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Neg for Price {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl std::iter::Sum for Price {
    fn sum<I: Iterator<Item = Self>>(prices: I) -> Self {
        prices.fold(Self(0), Add::add)
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}${}.{:04}/h", micros / 1_000_000, micros % 1_000_000 / 100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_kubernetes_durations() {
        for (span, text) in [
            (Span::ZERO, "0s"),
            (Span::secs(90), "1m30s"),
            (Span::hours(720), "720h"),
            (Span::millis(250), "250ms"),
            (Span(-Span::mins(5).0), "-5m"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn a_price_over_an_hour_is_that_price() {
        assert_eq!(Price(96_000).over(Span::hours(1)), Money(96_000));
        assert_eq!(Price(96_000).over(Span::mins(90)), Money(144_000));
        assert_eq!(Price(96_000).to_string(), "$0.0960/h");
        assert_eq!(Money(12_345_678).to_string(), "$12.34");
    }
}
