//! Prices: decimal text to millionths of a dollar and back, and the estimate of spot prices.
//!
//! **Invariant:** no float. A price that the catalogue was not given is an estimate, and is called one wherever it is shown.

use purser_engine::model::{Price, Zone};

use crate::facts::TypeNameParts;

/// An estimate of spot prices, for want of data: on-demand less a discount that depends on family and zone alone.
///
/// The discount lies between two bounds (55 % and 75 % by default, about what AWS grants most families most of the
/// time) at a place chosen by a stable hash of family and zone. So zones and families differ as they do on the market,
/// sizes of one family in one zone do not, and the same type has the same estimate on every machine for ever. It
/// says nothing about today's market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpotModel {
    /// The smallest discount, in thousandths.
    pub least_discount: u32,
    /// The largest discount, in thousandths; at most 1,000.
    pub most_discount: u32,
}

impl Default for SpotModel {
    fn default() -> Self {
        Self { least_discount: 550, most_discount: 750 }
    }
}

impl SpotModel {
    /// The discount in a zone, in thousandths; `None` for families that are not sold as spot.
    pub fn discount(&self, type_name: &str, zone: &Zone) -> Option<u32> {
        let parts = TypeNameParts::of(type_name);
        if parts.is_some_and(|parts| matches!(parts.category(), "u" | "mac" | "hpc" | "dl" | "trn")) {
            return None;
        }
        let family = parts.map_or(type_name, |parts| parts.family);
        let hash = fnv1a(family.bytes().chain([0]).chain(zone.as_str().bytes()));
        let span = u64::from(self.most_discount.saturating_sub(self.least_discount)) + 1;
        let above = u32::try_from(hash % span).unwrap_or(0);
        Some(self.least_discount.saturating_add(above).min(1_000))
    }

    /// The estimated spot price in a zone, rounded up; `None` for families that are not sold as spot.
    pub fn estimate(&self, type_name: &str, zone: &Zone, on_demand: Price) -> Option<Price> {
        let kept = i128::from(1_000 - self.discount(type_name, zone)?);
        let micros = (i128::from(on_demand.0) * kept + 999) / 1_000;
        Some(Price(i64::try_from(micros).unwrap_or(i64::MAX)))
    }
}

/// 64-bit FNV-1a.
fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A price in dollars as exact decimal text without trailing zeros, such as `0.096`.
pub fn price_text(price: Price) -> String {
    let micros = price.0.unsigned_abs();
    let sign = if price.0 < 0 { "-" } else { "" };
    let (dollars, rest) = (micros / 1_000_000, micros % 1_000_000);
    if rest == 0 {
        return format!("{sign}{dollars}");
    }
    let fraction = format!("{rest:06}");
    format!("{sign}{dollars}.{}", fraction.trim_end_matches('0'))
}

/// Why a text is no price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PriceProblem {
    /// Not a decimal number.
    NotANumber,
    /// Below zero.
    Negative,
    /// More than can be counted.
    TooLarge,
}

/// Reads dollars as JSON writes numbers, digit by digit. Beyond a millionth of a dollar it rounds to the nearest, up
/// from the middle.
pub(crate) fn parse_dollars(text: &str) -> Result<Price, PriceProblem> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (number, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => {
            (&unsigned[..at], unsigned[at + 1..].parse::<i32>().map_err(|_| PriceProblem::NotANumber)?)
        }
        None => (unsigned, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if whole.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(PriceProblem::NotANumber);
    }
    if digits.iter().all(|digit| *digit == b'0') {
        return Ok(Price(0));
    }
    if negative {
        return Err(PriceProblem::Negative);
    }
    // Where the decimal point is once dollars are millionths: so many digits are before it.
    let before =
        i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(i64::from(exponent)).saturating_add(6);
    let digit = |at: i64| {
        usize::try_from(at).ok().and_then(|at| digits.get(at)).map_or(0, |digit| i64::from(digit - b'0'))
    };
    let mut micros: i64 = 0;
    for at in 0..before {
        if micros == 0 && usize::try_from(at).is_ok_and(|at| at >= digits.len()) {
            break;
        }
        micros = micros
            .checked_mul(10)
            .and_then(|micros| micros.checked_add(digit(at)))
            .ok_or(PriceProblem::TooLarge)?;
    }
    micros.checked_add(i64::from(digit(before) >= 5)).map(Price).ok_or(PriceProblem::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dollars_are_read_digit_by_digit() {
        for (text, micros) in [
            ("0", 0),
            ("-0.0", 0),
            ("0.096", 96_000),
            ("1.258993459", 1_258_993),
            ("0.0000005", 1),
            ("0.00000049", 0),
            ("0.00000001", 0),
            ("12", 12_000_000),
            ("5e-3", 5_000),
            ("1.5E2", 150_000_000),
            ("1e-999999999", 0),
            ("0e999999999", 0),
        ] {
            assert_eq!(parse_dollars(text), Ok(Price(micros)), "{text}");
        }
        assert_eq!(parse_dollars("-0.1"), Err(PriceProblem::Negative));
        assert_eq!(parse_dollars("1e30"), Err(PriceProblem::TooLarge));
        assert_eq!(parse_dollars("1e2147483647"), Err(PriceProblem::TooLarge));
        for text in ["", "1.x", "\"1\"", "1e", ".5", "true"] {
            assert_eq!(parse_dollars(text), Err(PriceProblem::NotANumber), "{text}");
        }
    }

    #[test]
    fn the_estimate_never_changes() {
        let zone = Zone::from("us-east-1a");
        let model = SpotModel::default();
        assert_eq!(fnv1a(b"a".iter().copied()), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(model.discount("m5.large", &zone), model.discount("m5.24xlarge", &zone));
        for name in [
            "u-6tb1.112xlarge",
            "u7in-24tb.224xlarge",
            "mac2.metal",
            "hpc7a.96xlarge",
            "trn1.2xlarge",
            "dl2q.24xlarge",
        ] {
            assert_eq!(model.estimate(name, &zone, Price(1_000_000)), None, "{name}");
        }
        assert!(model.estimate("m5.metal", &zone, Price(1_000_000)).is_some());
    }

    proptest! {
        #[test]
        fn a_price_survives_its_text(micros in 0i64..i64::MAX) {
            prop_assert_eq!(parse_dollars(&price_text(Price(micros))), Ok(Price(micros)));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[-0-9.eE+]{0,40}") {
            let _ = parse_dollars(&text);
        }

        #[test]
        fn an_estimate_is_within_the_discounts(
            family in "[a-tv-z][0-9][a-z]{0,3}", zone in "[a-z0-9-]{1,12}", micros in 1i64..1_000_000_000,
        ) {
            let (name, zone, model) = (format!("{family}.large"), Zone::from(zone.as_str()), SpotModel::default());
            prop_assert!((550..=750).contains(&model.discount(&name, &zone).unwrap()));
            let price = model.estimate(&name, &zone, Price(micros)).unwrap();
            prop_assert!(price.0 >= micros / 4 && price.0 <= micros * 45 / 100 + 1);
        }
    }
}
