//! Durations as Go and Karpenter write them.
//!
//! **Invariant:** reading is exact to the microsecond; what does not fit is an error, never a wrapped number.

use purser_engine::model::Span;

use crate::error::{At, FieldError};

/// Reads a Go duration such as `1h30m`, `1.5h`, `-250ms`; `None` if it is none. Parts of a microsecond are dropped.
///
/// Source: time.ParseDuration of Go's standard library.
fn parse_go_duration(text: &str) -> Option<Span> {
    nanoseconds(text).map(|nanos| Span((nanos / 1_000) as i64))
}

/// Reads a duration as people give it on a command line: Go's form, with days before it if they like (`20d`, `1d12h`).
pub fn parse_duration(text: &str) -> Option<Span> {
    let Some((days, rest)) = text.split_once('d') else { return parse_go_duration(text) };
    let days = Span(days.parse::<u32>().ok().and_then(|days| Span::hours(24).0.checked_mul(days.into()))?);
    let rest = if rest.is_empty() { Span::ZERO } else { parse_go_duration(rest)? };
    (rest >= Span::ZERO).then(|| Span(days.0 + rest.0))
}

/// A Go duration in nanoseconds, within the range of Go's int64.
pub(crate) fn nanoseconds(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
            return None;
        }
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        // Beyond eighteen digits a fraction changes no nanosecond of an hour.
        let fraction = &fraction[..fraction.len().min(18)];
        let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
        total += whole * unit + part * unit / 10i128.pow(fraction.len() as u32);
        if total > i128::from(i64::MAX) {
            return None;
        }
        rest = tail;
    }
    Some(sign * total)
}

/// Reads `^([0-9]+(s|m|h))+$`, the form that NodePools take.
pub(crate) fn plain(at: &At<'_>, text: &str) -> Result<Span, FieldError> {
    let remedy = "write whole hours, minutes or seconds, such as 720h, 1h30m or 30s";
    // A digit before each unit: `ms` is a unit of Go's, but not one of these.
    let plain = text.ends_with(['s', 'm', 'h'])
        && text.split_inclusive(['s', 'm', 'h']).all(|part| {
            let digits = &part[..part.len() - 1];
            !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
        });
    match nanoseconds(text).filter(|_| plain) {
        Some(nanos) => Ok(Span((nanos / 1_000) as i64)),
        None => Err(at.error(format!("{text:?} is not a duration"), remedy)),
    }
}

/// As [`plain`], or `Never` for none.
pub(crate) fn nillable(at: &At<'_>, text: &str) -> Result<Option<Span>, FieldError> {
    if text == "Never" {
        return Ok(None);
    }
    plain(at, text).map(Some).map_err(|mut error| {
        error.remedy.push_str(", or Never");
        error
    })
}

/// Reads the duration of a budget: `^((([0-9]+(h|m))|([0-9]+h[0-9]+m))(0s)?)$`.
pub(crate) fn of_budget(at: &At<'_>, text: &str) -> Result<Span, FieldError> {
    let coarse = text.strip_suffix("0s").filter(|coarse| coarse.ends_with(['h', 'm'])).unwrap_or(text);
    let units: String = coarse.chars().filter(|c| !c.is_ascii_digit()).collect();
    match (units.as_str(), plain(at, text)) {
        ("h" | "m" | "hm", Ok(span)) => Ok(span),
        _ => Err(at.error(
            format!("{text:?} is not a duration of whole minutes"),
            "write hours and minutes, such as 8h, 90m or 1h30m",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_as_go_reads_them() {
        for (text, micros) in [
            ("0", 0),
            ("0s", 0),
            ("1h30m", 5_400_000_000),
            ("1.5h", 5_400_000_000),
            ("-250ms", -250_000),
            ("+5us", 5),
            (".5s", 500_000),
            ("1h0m0s", 3_600_000_000),
            ("999ns", 0),
        ] {
            assert_eq!(parse_go_duration(text), Some(Span(micros)), "{text}");
        }
        for text in ["", "-", "5", "1d", "h", "1h 5m", "1..5h", "9999999999h", "s1", "5.", "true"] {
            assert_eq!(parse_go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn days_may_come_first() {
        assert_eq!(parse_duration("20d"), Some(Span::hours(480)));
        assert_eq!(parse_duration("1d12h"), Some(Span::hours(36)));
        assert_eq!(parse_duration("90m"), Some(Span::mins(90)));
        for text in ["d", "-1d", "1.5d", "1d-2h", "1h1d", "1d1d", "99999999999d", ""] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn each_field_takes_its_own_form() {
        let at = At::ROOT.field("x");
        assert_eq!(nillable(&at, "Never"), Ok(None));
        assert_eq!(nillable(&at, "720h"), Ok(Some(Span::hours(720))));
        assert_eq!(
            nillable(&at, "30d").unwrap_err().to_string(),
            "x: \"30d\" is not a duration: write whole hours, minutes or seconds, such as 720h, 1h30m or 30s, or Never"
        );
        for text in ["-5m", "1.5h", "500ms", "", "h", "5"] {
            assert!(plain(&at, text).is_err(), "{text}");
        }
        for (text, span) in [("8h", Span::hours(8)), ("1h30m", Span::mins(90)), ("90m0s", Span::mins(90))] {
            assert_eq!(of_budget(&at, text), Ok(span), "{text}");
        }
        for text in ["30s", "1h30m5s", "1m1h", "1h1h", "1h00s", "Never"] {
            assert!(of_budget(&at, text).is_err(), "{text}");
        }
    }
}
