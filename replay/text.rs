//! Words and numbers for people.
//!
//! **Invariant:** only what is shown is rounded.

use purser_engine::model::{PodKey, Price, Resources, Span, Time};

/// A moment to the millisecond.
pub fn time(time: Time) -> String {
    match chrono::DateTime::from_timestamp_micros(time.0) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        None => format!("{}us", time.0),
    }
}

/// A moment as JSON has it.
pub fn exact_time(time: Time) -> String {
    match chrono::DateTime::from_timestamp_micros(time.0) {
        Some(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        None => format!("{}us", time.0),
    }
}

/// A length of time, in the two units that matter.
pub fn span(span: Span) -> String {
    let sign = if span.0 < 0 { "-" } else { "" };
    let micros = span.0.unsigned_abs();
    let (millis, seconds) = (micros / 1_000, micros / 1_000_000);
    match seconds {
        0 => format!("{sign}{millis}ms"),
        1..60 if millis % 1_000 >= 100 => format!("{sign}{seconds}.{}s", millis % 1_000 / 100),
        1..60 => format!("{sign}{seconds}s"),
        60..3_600 => two(sign, seconds / 60, "m", seconds % 60, "s"),
        3_600..172_800 => two(sign, seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(sign, seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn two(sign: &str, large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{sign}{large}{large_unit}"),
        _ => format!("{sign}{large}{large_unit}{small}{small_unit}"),
    }
}

/// A price: two digits of the cent, four where it is less than ten cents.
pub fn price(price: Price) -> String {
    if price.0 % 10_000 == 0 || price.0.abs() >= 1_000_000 {
        format!("${:.2}/h", price.as_usd())
    } else {
        price.to_string()
    }
}

/// A number of things: `1 pod`, `2 pods`.
pub fn count(number: usize, what: &str) -> String {
    match (number, what) {
        (1, what) => format!("1 {what}"),
        (number, "class") => format!("{number} classes"),
        (number, what) => format!("{number} {what}s"),
    }
}

/// The first few names, and how many more there are.
pub fn few<T: ToString>(names: impl IntoIterator<Item = T>, most: usize) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let more = names.len().saturating_sub(most);
    let shown = names[..names.len() - more].join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// Pods: their number and the first few names.
pub fn pods(pods: &[PodKey]) -> String {
    match pods {
        [one] => one.to_string(),
        several => format!("{} ({})", count(several.len(), "pod"), few(several, 2)),
    }
}

/// CPU in cores.
pub fn cpu(millis: i64) -> String {
    let text = format!("{:.2}", millis as f64 / 1_000.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Bytes in binary units.
pub fn bytes(bytes: i64) -> String {
    let units = ["B", "Ki", "Mi", "Gi", "Ti", "Pi"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{}{}", text.strip_suffix(".0").unwrap_or(&text), units[unit])
}

/// An amount of one resource in its unit.
pub fn amount(resource: &str, amount: i64) -> String {
    match resource {
        "cpu" => cpu(amount),
        "memory" | "ephemeral-storage" => bytes(amount),
        _ => amount.to_string(),
    }
}

/// Amounts of several resources: `cpu 1.5, memory 2Gi`.
pub fn resources(resources: &Resources) -> String {
    let all: Vec<String> =
        resources.iter().map(|(name, number)| format!("{name} {}", amount(name, number))).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// A share of a whole, in percent.
pub fn percent(part: i64, whole: i64) -> String {
    if whole <= 0 { "-".to_owned() } else { format!("{}%", (part as f64 * 100.0 / whole as f64).round()) }
}

/// JSON on lines: what fits on one line stays on it.
pub fn pretty(json: &str, indent: usize) -> String {
    const WIDTH: usize = 90;
    let pad = |depth: usize| " ".repeat(indent + 2 * depth);
    let mut out = pad(0);
    let mut depth = 0;
    let mut at = 0;
    while let Some(c) = json[at..].chars().next() {
        match c {
            '"' => {
                let end = at + string_len(&json[at..]);
                out.push_str(&json[at..end]);
                at = end;
                continue;
            }
            '{' | '[' => {
                let len = value_len(&json[at..]);
                if len <= WIDTH {
                    out.push_str(&json[at..at + len]);
                    at += len;
                    continue;
                }
                depth += 1;
                out.push(c);
                out.push('\n');
                out.push_str(&pad(depth));
            }
            '}' | ']' => {
                depth -= 1;
                out.push('\n');
                out.push_str(&pad(depth));
                out.push(c);
            }
            ',' => {
                out.push_str(",\n");
                out.push_str(&pad(depth));
            }
            ':' => out.push_str(": "),
            other => out.push(other),
        }
        at += c.len_utf8();
    }
    out
}

/// The length of the string that a text begins with, quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the object or array that a text begins with.
fn value_len(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at += string_len(&text[at..]) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short() {
        for (of, text) in [
            (Span(0), "0ms"),
            (Span::millis(250), "250ms"),
            (Span::millis(12_340), "12.3s"),
            (Span::secs(90), "1m30s"),
            (Span::mins(125), "2h5m"),
            (Span::hours(51), "2d3h"),
            (Span(-Span::mins(5).0), "-5m"),
        ] {
            assert_eq!(span(of), text);
        }
    }

    #[test]
    fn amounts_are_in_units_of_people() {
        assert_eq!(
            resources(&[("cpu", 1_500), ("memory", 3 << 29)].into_iter().collect()),
            "cpu 1.5, memory 1.5Gi"
        );
        assert_eq!(price(Price(160_000)), "$0.16/h");
        assert_eq!(price(Price(40_800)), "$0.0408/h");
        assert_eq!(few(["a", "b", "c"], 2), "a, b and 1 more");
        assert_eq!(percent(1, 3), "33%");
    }

    #[test]
    fn json_breaks_only_where_it_is_long() {
        assert_eq!(pretty(r#"{"a":"x, y","b":[1,2]}"#, 0), r#"{"a":"x, y","b":[1,2]}"#);
        let long = format!(r#"{{"a":"{}","b":[1,2],"c":{{"d\"":":"}}}}"#, "x".repeat(90));
        let text = pretty(&long, 2);
        assert_eq!(text.lines().count(), 5, "{text}");
        assert!(text.ends_with("    \"c\": {\"d\\\"\":\":\"}\n  }"), "{text}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            serde_json::from_str::<serde_json::Value>(&long).unwrap()
        );
    }
}
