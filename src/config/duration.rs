//! Lengths of time: a whole number and one of the units `ms`, `s`, `m`, `h`.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest duration that is accepted: a year. What is longer is a slip of the keyboard, and so
/// no sum of a few durations and a time can overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Units and their milliseconds, the largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Reads `200ms`, `5s`, `2m`, `1h`; the error is a cause without a subject, as clap wants it.
///
/// Zero is a duration; who can't use it asks [`parse_duration_within`].
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let (false, Some((_, unit_ms))) = (number.is_empty(), unit) else {
        return Err("not a whole number and a unit, as in 200ms, 5s, 2m or 1h".to_owned());
    };
    // All digits: what does not fit in 64 bits is too long as well.
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_ms));
    match ms.map(Duration::from_millis) {
        Some(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err("more than 366 days".to_owned()),
    }
}

/// Reads a duration that must be in `range`.
pub fn parse_duration_within(
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    Err(format!("not from {} to {}", emit_duration(*range.start()), emit_duration(*range.end())))
}

/// The shortest text that [`parse_duration`] reads as this duration.
///
/// No duration that was parsed has a part of a millisecond; in another such a part is dropped.
pub fn emit_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    // The largest unit that divides it takes the fewest digits; 1 ms divides all.
    let (unit, unit_ms) =
        UNITS.iter().find(|(_, u)| ms.is_multiple_of(u128::from(*u))).unwrap_or(&UNITS[3]);
    format!("{}{unit}", ms / u128::from(*unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        assert_eq!(parse_duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        for text in
            ["", "5", "s", "5 s", " 5s", "5s ", "+5s", "-5s", "1.5s", "5S", "1d", "1h5m", "5µs"]
        {
            assert!(parse_duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_duration_is_no_longer_than_a_year() {
        assert_eq!(parse_duration("8784h"), Ok(DURATION_MAX));
        for text in ["8785h", "18446744073709551615h", "18446744073709551616ms", "31622400001ms"] {
            assert_eq!(parse_duration(text), Err("more than 366 days".to_owned()), "{text:?}");
        }
    }

    #[test]
    fn a_duration_out_of_its_range_is_told_the_range() {
        let range = Duration::from_secs(1)..=Duration::from_secs(3600);
        assert_eq!(parse_duration_within("1s", range.clone()), Ok(Duration::from_secs(1)));
        assert_eq!(parse_duration_within("0s", range), Err("not from 1s to 1h".to_owned()));
    }

    #[test]
    fn a_duration_is_written_in_its_shortest_form() {
        for (text, short) in [
            ("60s", "1m"),
            ("90s", "90s"),
            ("3600000ms", "1h"),
            ("1500ms", "1500ms"),
            ("0ms", "0s"),
            ("8784h", "8784h"),
        ] {
            assert_eq!(emit_duration(parse_duration(text).unwrap()), short);
        }
    }
}
