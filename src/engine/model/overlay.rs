//! NodeOverlays: what the operator knows better than the cloud about prices and resources.
//!
//! **Invariant:** a [`PriceChange`] is exact to the billionth of a dollar, and no price that comes of one is below zero.

use super::{Price, Requirements, Resources, Str};

/// A NodeOverlay, as far as decisions depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeOverlay {
    /// Heavier overlays come first.
    pub weight: u32,
    /// On which offerings.
    pub requirements: Requirements,
    /// A price in place of the offering's.
    pub price: Option<Price>,
    /// A change of the offering's price, as written: `-10%` or `+0.05`.
    pub price_adjustment: Option<Str>,
    /// Resources beyond the type's own.
    pub capacity: Resources,
}

/// What an overlay makes of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriceChange {
    /// This, in billionths of a dollar, whatever it was.
    To(i64),
    /// So much more or less, in billionths of a dollar.
    By(i64),
    /// This share of it, in billionths.
    Times(i64),
}

/// Billionths in one.
const BILLION: i64 = 1_000_000_000;

impl PriceChange {
    /// Reads a price as manifests have it, such as `0.05`.
    pub fn parse_price(text: &str) -> Option<Self> {
        decimal(text).map(Self::To)
    }

    /// Reads an adjustment as manifests have it, such as `+0.05`, `-0.05`, `+10%` or `-10%`: the sign has to be there, and nothing
    /// costs less than nothing.
    pub fn parse_adjustment(text: &str) -> Option<Self> {
        let (sign, amount) = match text.split_at_checked(1)? {
            ("+", amount) => (1, amount),
            ("-", amount) => (-1, amount),
            _ => return None,
        };
        match amount.strip_suffix('%') {
            None => decimal(amount).map(|amount| Self::By(sign * amount)),
            Some(percent) => {
                let share = BILLION.checked_add(sign * (decimal(percent)? / 100))?;
                (share >= 0).then_some(Self::Times(share))
            }
        }
    }

    /// The price that comes of one that counts in these parts of a dollar: a million of them, or a billion.
    pub fn apply(self, price: Price, parts: i64) -> Price {
        let parts = i128::from(parts);
        let in_parts = |nano: i64| rounded(i128::from(nano) * parts);
        let new = match self {
            Self::To(nano) => in_parts(nano),
            Self::By(nano) => i128::from(price.0) + in_parts(nano),
            Self::Times(share) => rounded(i128::from(price.0) * i128::from(share)),
        };
        Price(i64::try_from(new.max(0)).unwrap_or(i64::MAX))
    }
}

/// Billionths as ones, the half of one upwards.
fn rounded(billionths: i128) -> i128 {
    (billionths + i128::from(BILLION / 2)).div_euclid(i128::from(BILLION))
}

/// A decimal number without a sign in billionths; what is finer is cut off.
fn decimal(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let has_point = text.contains('.');
    if !digits(whole) || !digits(part) || (has_point && part.is_empty()) || (whole.is_empty() && !has_point) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut billionths = 0;
    for digit in part.bytes().chain(std::iter::repeat(b'0')).take(9) {
        billionths = 10 * billionths + i64::from(digit - b'0');
    }
    whole.checked_mul(BILLION)?.checked_add(billionths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adjusted(text: &str, price: i64) -> Option<i64> {
        PriceChange::parse_adjustment(text).map(|change| change.apply(Price(price), 1_000_000).0)
    }

    #[test]
    fn prices_are_replaced_and_adjusted_exactly() {
        assert_eq!(adjusted("+0.05", 100_000), Some(150_000));
        assert_eq!(adjusted("-0.05", 100_000), Some(50_000));
        assert_eq!(adjusted("-.5", 100_000), Some(0));
        assert_eq!(adjusted("+10%", 100_000), Some(110_000));
        assert_eq!(adjusted("-12.5%", 100_000), Some(87_500));
        assert_eq!(adjusted("-100%", 100_000), Some(0));
        assert_eq!(adjusted("+300%", 100_000), Some(400_000));
        let price = PriceChange::parse_price("1.25").unwrap();
        assert_eq!(price.apply(Price(7), 1_000_000), Price(1_250_000));
        assert_eq!(price.apply(Price(7), 1_000_000_000), Price(1_250_000_000));
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for text in ["", "+", "-", "10%", "0.5", "+1.", "+x", "-101%", "+-1", "%", "+%", "+.", "+99999999999"]
        {
            assert_eq!(PriceChange::parse_adjustment(text), None, "{text}");
        }
        for text in ["", ".", "1.", "-1", "+1", "1e3", "1,5"] {
            assert_eq!(PriceChange::parse_price(text), None, "{text}");
        }
    }
}
