//! Times as people say them. Pure but for `now`.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The milliseconds since 1970 of an RFC 3339 time, if it is one.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let zone = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone);
    let [year, month, day] = numbers(date, '-')?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = numbers(clock, ':')?;
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let clock = hour * HOUR + minute * MINUTE + second * SECOND + millis;
    Some(days_since_1970(year, month, day) * DAY + clock - offset(zone)?)
}

fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let parsed: Vec<i64> = text.split(separator).map(str::parse).collect::<Result<_, _>>().ok()?;
    let parsed: [i64; N] = parsed.try_into().ok()?;
    parsed.iter().all(|number| (0..=9_999).contains(number)).then_some(parsed)
}

/// The milliseconds that a zone is ahead of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = numbers(zone.get(1..)?, ':')?;
    Some(sign * (hours * HOUR + minutes * MINUTE))
}

/// Days from 1970-01-01 in the Gregorian calendar, by Howard Hinnant's `days_from_civil`.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// How `text` lies to `now`: `3m ago`, `in 23h`, `now`. A text that is no time stays as it is.
pub(crate) fn relative(text: &str, now: i64) -> String {
    let Some(at) = parse(text) else { return text.to_owned() };
    let distance = now - at;
    match distance.abs() {
        0..SECOND => "now".to_owned(),
        away if distance > 0 => format!("{} ago", rough(away)),
        away => format!("in {}", rough(away)),
    }
}

/// The milliseconds of a span such as `90m`, `24h` or `7d`.
pub(crate) fn span(text: &str) -> Option<i64> {
    let units = [("s", SECOND), ("m", MINUTE), ("h", HOUR), ("d", DAY)];
    let (number, unit) = units.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { number.parse::<i64>().ok()?.checked_mul(unit) } else { None }
}

/// One unit is enough to judge by.
fn rough(millis: i64) -> String {
    match millis {
        ..MINUTE => format!("{}s", millis / SECOND),
        MINUTE..HOUR => format!("{}m", millis / MINUTE),
        HOUR..DAY => format!("{}h", millis / HOUR),
        _ => format!("{}d", millis / DAY),
    }
}

/// The time from `start` to `at`, as a column of a timeline.
pub(crate) fn offset_column(start: i64, at: i64) -> String {
    let millis = (at - start).max(0);
    match millis {
        ..MINUTE => format!("+{}.{:02}s", millis / SECOND, millis % SECOND / 10),
        MINUTE..HOUR => format!("+{}m{:02}s", millis / MINUTE, millis % MINUTE / SECOND),
        HOUR..DAY => format!("+{}h{:02}m", millis / HOUR, millis % HOUR / MINUTE),
        _ => format!("+{}d{:02}h", millis / DAY, millis % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("2026-01-01T00:00:00Z"), Some(1_767_225_600_000));
        assert_eq!(parse("2026-01-01T00:00:00.123456Z"), Some(1_767_225_600_123));
        assert_eq!(parse("2026-01-01T01:30:00.5+01:30"), Some(1_767_225_600_500));
        assert_eq!(parse("2024-02-29T23:59:59Z"), Some(1_709_251_199_000));
        assert_eq!(parse("2000-03-01T00:00:00-00:00"), Some(951_868_800_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "yesterday", "2026-01-01", "2026-01-01T00:00Z", "2026-01-01T00:00:00", "9999999999-1-1T0:0:0Z"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = 1_767_225_600_000;
        assert_eq!(relative("2026-01-01T00:00:00Z", now), "now");
        assert_eq!(relative("2025-12-31T23:59:18Z", now), "42s ago");
        assert_eq!(relative("2025-12-31T23:56:30Z", now), "3m ago");
        assert_eq!(relative("2026-01-01T23:10:00Z", now), "in 23h");
        assert_eq!(relative("2025-12-30T00:00:00Z", now), "2d ago");
        assert_eq!(relative("soon", now), "soon");
    }

    #[test]
    fn spans_are_read() {
        assert_eq!(
            [span("90m"), span("24h"), span("7d"), span("1s")],
            [Some(90 * MINUTE), Some(DAY), Some(7 * DAY), Some(SECOND)]
        );
        for bad in ["", "h", "-1h", "+1h", "1.5h", "1 h", "1w", "24", "9999999999999999999d", "999999999999999d"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_timeline_has_offsets() {
        assert_eq!(offset_column(1_000, 1_035), "+0.03s");
        assert_eq!(offset_column(0, 252_000), "+4m12s");
        assert_eq!(offset_column(0, 2 * HOUR + 3 * MINUTE), "+2h03m");
        assert_eq!(offset_column(0, 76 * HOUR), "+3d04h");
        assert_eq!(offset_column(5, 0), "+0.00s");
    }
}
