//! How often something may happen in a second, over a few seconds, for each tenant on this host.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// For how many seconds' worth a tenant that was idle may come at once.
const BURST: Duration = Duration::from_secs(3);

/// How many tenants are remembered.
const TENANTS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(65_536).expect("65,536 is not 0");

/// A leaky bucket for each tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rates(Arc<Mutex<LruCache<String, Instant>>>);

impl Default for Rates {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(TENANTS_REMEMBERED))))
    }
}

impl Rates {
    /// Counts one more for a tenant that may have so many in a second; or says how long to wait for it.
    ///
    /// What is kept is the time at which the bucket will be empty.
    pub fn take(&self, tenant: &str, per_second: u64, now: Instant) -> Result<(), Duration> {
        let each = Duration::from_secs(1) / u32::try_from(per_second.max(1)).unwrap_or(u32::MAX);
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = buckets.get(tenant).copied().unwrap_or(now).max(now);
        let wait = (empty + each).saturating_duration_since(now + BURST.max(each));
        if !wait.is_zero() {
            return Err(wait);
        }
        buckets.put(tenant.to_owned(), empty + each);
        Ok(())
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
