//! The date of a run, in UTC, as ISO 8601 writes it.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400;
/// Days of 400 years: the calendar repeats itself after them.
const ERA: i64 = 146_097;
/// Days of a century, but for the leap day that the last one of an era has.
const CENTURY: i64 = 36_524;
const FOUR_YEARS: i64 = 1461;
const YEAR: i64 = 365;
/// Days of the months, but February, which is what is left.
const FROM_MARCH: [i64; 11] = [31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31];
/// Days from 1 March of the year 0 to 1 January 1970.
const EPOCH: i64 = 719_468;

/// Now, such as `2025-06-30T12:00:00Z`.
#[must_use]
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    utc(since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }))
}

/// A moment, in seconds since 1970.
#[must_use]
pub fn utc(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a day since 1 January 1970, in the Gregorian calendar.
///
/// Years are counted from March on, so that a leap day is the last day of its year, century and era.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH;
    let (era, mut day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let mut take = |length: i64, most: i64| {
        let whole = (day / length).min(most);
        day -= whole * length;
        whole
    };
    let (centuries, leaps, years) = (take(CENTURY, 3), take(FOUR_YEARS, 24), take(YEAR, 3));
    let mut year = 400 * era + 100 * centuries + 4 * leaps + years;
    let mut month = 3;
    for length in FROM_MARCH {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    if month > 12 {
        (year, month) = (year + 1, month - 12);
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_moments() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_000_000_000, "2001-09-09T01:46:40Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (2_147_483_647, "2038-01-19T03:14:07Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), date);
        }
    }

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let (mut year, mut month, mut day) = (1600, 1, 1);
        for days in -135_140.. {
            assert_eq!(civil(days), (year, month, day), "day {days}");
            if year == 2400 {
                break;
            }
            let length = match month {
                2 => 28 + i64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn now_is_after_this_was_written() {
        let now = now();
        assert!(
            now.as_str() > "2025-01-01" && now.ends_with('Z') && now.len() == 20,
            "{now}"
        );
    }
}
