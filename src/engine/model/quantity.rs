//! Kubernetes quantities as integers.
//!
//! **Invariant:** a [`Quantity`] is exact in its unit. CPU is counted in thousandths of a core, everything else in
//! whole units (bytes, devices); what a pod asks for is rounded up and what a node offers is rounded down, so rounding never
//! makes a pod fit that does not.

use std::fmt;

/// An amount of one resource: millicores for `cpu`, whole units (bytes, devices, pods) for all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity(pub i64);

/// Which way a fraction of the unit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// For what is asked.
    Up,
    /// For what is offered.
    Down,
}

/// Why a text is no quantity that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form that Kubernetes takes.
    #[error(
        "{0:?} is not a Kubernetes quantity: write a number with an optional suffix, such as 500m, 2, 1.5Gi or 100M"
    )]
    Malformed(String),
    /// Below zero.
    #[error("{0:?} is negative: a quantity must be zero or more")]
    Negative(String),
    /// More than can be counted (2^63 - 1 units).
    #[error("{0:?} is too large: at most 9223372036854775807 of the resource's unit can be counted")]
    TooLarge(String),
}

impl Quantity {
    /// Reads a quantity in whole units.
    ///
    /// # Errors
    /// If the text is malformed, negative or too large.
    pub fn parse(text: &str, rounding: Rounding) -> Result<Self, QuantityError> {
        Self::parse_scaled(text, 1, rounding)
    }

    /// Reads a quantity in thousandths, as `cpu` is counted.
    ///
    /// # Errors
    /// If the text is malformed, negative or too large.
    pub fn parse_milli(text: &str, rounding: Rounding) -> Result<Self, QuantityError> {
        Self::parse_scaled(text, 1_000, rounding)
    }

    fn parse_scaled(text: &str, scale: u128, rounding: Rounding) -> Result<Self, QuantityError> {
        let units = units(text, scale, rounding)?;
        i64::try_from(units).map(Self).map_err(|_| QuantityError::TooLarge(text.to_owned()))
    }
}

/// A quantity in so many parts of its unit.
///
/// Syntax as in k8s.io/apimachinery/pkg/api/resource: a decimal number, then a binary suffix, a decimal suffix or
/// an exponent.
pub(super) fn units(text: &str, scale: u128, rounding: Rounding) -> Result<u128, QuantityError> {
    let malformed = || QuantityError::Malformed(text.to_owned());
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(malformed());
    }
    // More digits than these cannot change an i64 count; the limit keeps the arithmetic below within u128.
    if whole.trim_start_matches('0').len() > 20 {
        return Err(QuantityError::TooLarge(text.to_owned()));
    }
    let fraction = fraction.trim_end_matches('0');
    let (kept, dropped) = fraction.split_at(fraction.len().min(9));
    let mut mantissa: u128 = 0;
    for digit in whole.bytes().chain(kept.bytes()) {
        mantissa = mantissa * 10 + u128::from(digit - b'0');
    }
    let (multiplier, divisor) = suffix_ratio(suffix).ok_or_else(malformed)?;
    let denominator = divisor * 10u128.pow(kept.len() as u32);
    let numerator = mantissa
        .checked_mul(multiplier)
        .and_then(|n| n.checked_mul(scale))
        .ok_or_else(|| QuantityError::TooLarge(text.to_owned()))?;
    let inexact = numerator % denominator != 0 || !dropped.is_empty();
    let units = numerator / denominator + u128::from(inexact && rounding == Rounding::Up);
    if negative && (units > 0 || inexact) {
        return Err(QuantityError::Negative(text.to_owned()));
    }
    Ok(units)
}

/// What a suffix multiplies and divides by.
fn suffix_ratio(suffix: &str) -> Option<(u128, u128)> {
    const K: u128 = 1_000;
    const KI: u128 = 1 << 10;
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, K.pow(3)),
        "u" => (1, K.pow(2)),
        "m" => (1, K),
        "k" => (K, 1),
        "M" => (K.pow(2), 1),
        "G" => (K.pow(3), 1),
        "T" => (K.pow(4), 1),
        "P" => (K.pow(5), 1),
        "E" => (K.pow(6), 1),
        "Ki" => (KI, 1),
        "Mi" => (KI.pow(2), 1),
        "Gi" => (KI.pow(3), 1),
        "Ti" => (KI.pow(4), 1),
        "Pi" => (KI.pow(5), 1),
        "Ei" => (KI.pow(6), 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            match power {
                0..=18 => (10u128.pow(power.unsigned_abs()), 1),
                -18..=-1 => (1, 10u128.pow(power.unsigned_abs())),
                _ => return None,
            }
        }
    })
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_count_exactly() {
        for (text, up, down) in [
            ("0", 0, 0),
            ("1.5Gi", 1_610_612_736, 1_610_612_736),
            ("100m", 1, 0),
            (".5", 1, 0),
            ("5.", 5, 5),
            ("1e3", 1_000, 1_000),
            ("1E3", 1_000, 1_000),
            ("2E", 2_000_000_000_000_000_000, 2_000_000_000_000_000_000),
            ("+3k", 3_000, 3_000),
            ("0.0000000001", 1, 0),
            ("-0", 0, 0),
        ] {
            assert_eq!(Quantity::parse(text, Rounding::Up), Ok(Quantity(up)), "{text} up");
            assert_eq!(Quantity::parse(text, Rounding::Down), Ok(Quantity(down)), "{text} down");
        }
        assert_eq!(Quantity::parse_milli("2", Rounding::Up), Ok(Quantity(2_000)));
        assert_eq!(Quantity::parse_milli("100u", Rounding::Up), Ok(Quantity(1)));
    }

    #[test]
    fn what_is_no_quantity_says_why() {
        for text in ["", ".", "m", "1.2.3", "1 Gi", "1Kb", "ten", "1e", "1e99"] {
            assert!(
                matches!(Quantity::parse(text, Rounding::Up), Err(QuantityError::Malformed(_))),
                "{text}"
            );
        }
        assert!(matches!(Quantity::parse("-1", Rounding::Up), Err(QuantityError::Negative(_))));
        assert!(matches!(Quantity::parse("-1m", Rounding::Down), Err(QuantityError::Negative(_))));
        assert!(matches!(
            Quantity::parse("99999999999999999999999", Rounding::Up),
            Err(QuantityError::TooLarge(_))
        ));
        assert!(matches!(Quantity::parse("16Ei", Rounding::Up), Err(QuantityError::TooLarge(_))));
    }
}
