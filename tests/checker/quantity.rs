//! Kubernetes quantities: `100m`, `1.5Gi`, `2e3`.
//!
//! Invariant: a quantity is an exact whole number of billionths, so sums and comparisons never round.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer};

/// Billionths in one unit: the finest step that Kubernetes itself keeps.
const NANOS: i128 = 1_000_000_000;

/// An exact amount of some resource, in billionths of its unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(i128);

/// Amounts by resource name. A resource that is not named is zero.
pub(crate) type Resources = BTreeMap<String, Quantity>;

impl Quantity {
    pub(crate) const ZERO: Self = Self(0);

    pub(crate) fn whole(number: u64) -> Self {
        Self(i128::from(number) * NANOS)
    }

    /// Reads what Kubernetes documents: digits with an optional fraction, then a suffix or an exponent.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text
            .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '+' || c == '-'))
            .unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (multiplier, divisor) = scale(suffix)?;
        let (negative, digits) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let unsigned = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        if !unsigned || whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut value: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut parts: i128 = 1;
        for digit in fraction.chars().take(15) {
            value = value.checked_mul(10)?.checked_add(i128::from(digit.to_digit(10)?))?;
            parts *= 10;
        }
        let scaled = value.checked_mul(NANOS)?.checked_mul(multiplier)?;
        let below = parts.checked_mul(divisor)?;
        // Kubernetes rounds what is finer than it can hold upwards.
        let nanos = scaled.div_euclid(below) + i128::from(scaled.rem_euclid(below) != 0);
        Some(Self(if negative { -nanos } else { nanos }))
    }
}

/// The factor that a suffix stands for, as a fraction.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1024_i128.pow(power), 1));
    let decimal = |power: u32| Some((1000_i128.pow(power), 1));
    match suffix {
        "n" => Some((1, NANOS)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "" => decimal(0),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0.div_euclid(NANOS), self.0.rem_euclid(NANOS));
        if rest == 0 {
            write!(f, "{whole}")
        } else {
            let digits = format!("{rest:09}");
            write!(f, "{whole}.{}", digits.trim_end_matches('0'))
        }
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Text(String),
            Number(serde_json::Number),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Text(text) => text,
            Written::Number(number) => number.to_string(),
        };
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a quantity")))
    }
}

/// How much of a resource a list names.
pub(crate) fn amount(resources: &Resources, name: &str) -> Quantity {
    resources.get(name).copied().unwrap_or_default()
}

/// Adds `more` to `total`, resource by resource.
pub(crate) fn add_to(total: &mut Resources, more: &Resources) {
    for (name, &quantity) in more {
        let sum = amount(total, name) + quantity;
        total.insert(name.clone(), sum);
    }
}

/// Raises `total` to `other` wherever that is more.
pub(crate) fn raise_to(total: &mut Resources, other: &Resources) {
    for (name, &quantity) in other {
        let most = amount(total, name).max(quantity);
        total.insert(name.clone(), most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> i128 {
        Quantity::parse(text).unwrap().0
    }

    #[test]
    fn suffixes_mean_what_kubernetes_documents() {
        assert_eq!(nanos("100m"), 100_000_000);
        assert_eq!(nanos("1.5"), 1_500_000_000);
        assert_eq!(nanos("1Gi"), (1 << 30) * NANOS);
        assert_eq!(nanos("2k"), 2000 * NANOS);
        assert_eq!(nanos("2e3"), 2000 * NANOS);
        assert_eq!(nanos("5E"), 5 * 10_i128.pow(18) * NANOS);
        assert_eq!(nanos("966367641600m"), 966_367_641_600_000_000);
        assert_eq!(nanos("-1"), -NANOS);
        assert_eq!(nanos(".5"), 500_000_000);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "Gi", "1X", "1.2.3", "--1", "e3"] {
            assert!(Quantity::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn numbers_print_without_needless_zeros() {
        assert_eq!(Quantity::parse("1500m").unwrap().to_string(), "1.5");
        assert_eq!(Quantity::parse("2").unwrap().to_string(), "2");
    }
}
