use std::fmt;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};

use crate::{Ask, host};

/// The id of this execution. The same on every replay.
///
/// `{execution_id}:{approval_request_id}` is the id of a pause for those who decide it, known before it is opened; that
/// of the second pause under a name ends in `#2`.
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

/// Waits for a future, but no longer than `limit`: a race against a [`sleep`].
///
/// When the time is over, the future is dropped, and with it what it has asked: its pauses are closed, its calls
/// cancelled. Pass `&mut` of it to keep it. If both are ready, the future wins.
///
/// ```no_run
/// # use std::time::Duration;
/// # use countersign_sdk::{Error, ai, timeout};
/// # async fn example() -> Result<(), Error> {
/// let haiku = timeout(Duration::from_secs(30), ai().user("A haiku.").text()).await??;
/// # Ok(())
/// # }
/// ```
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), sleep(limit)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(((), _)) => Err(Elapsed(limit)),
    }
}

/// What [`timeout`] waited for did not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it took longer than {:?}", self.0)
    }
}

impl std::error::Error for Elapsed {}

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
