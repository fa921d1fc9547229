//! When a delivery that failed is tried again. Pure: no I/O, no clock.

use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// How long after the try before each one comes, in seconds: the schedule of Standard Webhooks. Its length is how often
/// a delivery is tried.
const SCHEDULE: [u64; 10] =
    [0, 5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// The most that a receiver can put off the next try.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * HOUR);

/// By how much of it each wait is drawn out at the most, so that what failed together does not come back together.
const JITTER: f64 = 0.1;

/// How long to wait after so many failures, the last one included; none if it was the last try. `chance` is a random
/// number from 0 to 1, `haste` what the times of the schedule are divided by.
pub(super) fn next(failures: usize, retry_after: Option<Duration>, chance: f64, haste: f64) -> Option<Duration> {
    let seconds = *SCHEDULE.get(failures)? as f64;
    let wait = Duration::from_secs_f64(seconds * (1.0 + JITTER * chance.clamp(0.0, 1.0)) / haste);
    Some(wait.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_tried_ten_times_over_three_days() {
        let waits: Vec<u64> = (1..).map_while(|failures| next(failures, None, 0.0, 1.0)).map(|w| w.as_secs()).collect();
        assert_eq!(waits, [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(next(10, Some(Duration::from_secs(1)), 0.5, 1.0), None);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_more_than_a_day() {
        assert_eq!(next(1, Some(Duration::from_secs(60)), 0.0, 1.0), Some(Duration::from_secs(60)));
        assert_eq!(next(2, Some(Duration::from_secs(60)), 0.0, 1.0), Some(Duration::from_secs(300)));
        assert_eq!(next(1, Some(Duration::MAX), 0.0, 1.0), Some(RETRY_AFTER_MAX));
    }

    #[test]
    fn chance_only_adds_and_little() {
        for (chance, seconds) in [(0.0, 300.0), (0.5, 315.0), (1.0, 330.0), (7.0, 330.0)] {
            assert_eq!(next(2, None, chance, 1.0), Some(Duration::from_secs_f64(seconds)));
        }
    }
}
