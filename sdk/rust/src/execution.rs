use std::time::Duration;

use crate::Ask;
use crate::bindings::countersign::agent::host;

/// The id of this execution. The same on every replay.
///
/// `{execution_id}:{approval_request_id}` is the id of a pause, known before the pause is opened.
pub fn execution_id() -> String {
    host::execution_id()
}

/// Waits, at most 366 days; longer waits are cut to that. Parts of a millisecond count as a whole one.
///
/// While nothing but pauses, sleeps and calls is open, no instance of the agent exists. `std::thread::sleep` waits as
/// long, but holds up everything else in the agent.
pub fn sleep(duration: Duration) -> Ask<()> {
    Ask::new(host::sleep(whole_millis(duration)))
}

/// The milliseconds in a duration, rounded up, so that no wait ends before its time.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millis_are_rounded_up_and_bounded() {
        assert_eq!(whole_millis(Duration::ZERO), 0);
        assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
        assert_eq!(whole_millis(Duration::from_millis(20)), 20);
        assert_eq!(whole_millis(Duration::MAX), u64::MAX);
    }
}
