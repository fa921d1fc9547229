//! How often something may happen in a second, over a few seconds, for each tenant on this host.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bucket::{Buckets, Rate, Wait};

/// For how many seconds' worth a tenant that was idle may come at once.
const BURST_SECONDS: u64 = 3;

/// How many tenants are remembered that have come just now.
const TENANTS_MAX: usize = 65_536;

/// A bucket for each tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rates {
    buckets: Arc<Mutex<Buckets<String>>>,
    began: Instant,
}

impl Default for Rates {
    fn default() -> Self {
        Self { buckets: Arc::new(Mutex::new(Buckets::new(TENANTS_MAX))), began: Instant::now() }
    }
}

impl Rates {
    /// Counts one more for a tenant that may have so many in a second; or says how long to wait for it.
    pub fn take(&self, tenant: &str, per_second: u64, now: Instant) -> Result<(), Duration> {
        let rate = Rate { per_second, burst_seconds: BURST_SECONDS };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = buckets.take(tenant.to_owned(), rate, now.saturating_duration_since(self.began));
        taken.map_err(|Wait(time)| time)
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_no_more_than_the_rate() {
        let (rates, start) = (Rates::default(), Instant::now());
        let taken = |at: Duration| (0..1_000).take_while(|_| rates.take("a", 10, start + at).is_ok()).count();
        assert_eq!(taken(Duration::ZERO), 30);
        assert_eq!(rates.take("a", 10, start), Err(Duration::from_millis(100)));
        assert!(rates.take("b", 10, start).is_ok(), "another tenant has a bucket of its own");
        assert_eq!(taken(Duration::from_secs(1)), 10);
        assert_eq!(taken(Duration::from_secs(60)), 30);
    }
}
