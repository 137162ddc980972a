//! Spans of time as bodies have them: a whole number and its unit.

/// The milliseconds of a span: `0`, or a whole number and s, m, h or d, as in 24h.
pub fn milliseconds(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(['s', 'm', 'h', 'd']);
    let unit: i64 = match text.strip_prefix(digits)? {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "" if digits == "0" => 1,
        _ => return None,
    };
    digits.parse::<i64>().ok()?.checked_mul(unit)?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_its_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("90s", Some(90_000)),
            ("15m", Some(900_000)),
            ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)),
            ("15", None),
            ("15mm", None),
            ("m", None),
            ("1w", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
