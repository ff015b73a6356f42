//! What time is it? The one place that asks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, for durations.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the task layer of the benchmark")]
pub fn now() -> Instant {
    Instant::now()
}

/// Waits a little, where another process gives no signal: while a port is not open yet, for example.
pub fn pause(how_long: Duration) {
    std::thread::park_timeout(how_long);
}

/// Today, as `2026-01-31`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the date of a result is the date of the wall")]
pub fn today() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = civil(i64::try_from(since.as_secs() / 86_400).unwrap_or_default());
    format!("{year}-{month:02}-{day:02}")
}

/// Days since 1970 as a date of the Gregorian calendar (Howard Hinnant's `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_are_dates() {
        let dates = [(0, (1970, 1, 1)), (11_016, (2000, 2, 29)), (20_454, (2026, 1, 1))];
        for (days, date) in dates {
            assert_eq!(super::civil(days), date);
        }
    }
}
