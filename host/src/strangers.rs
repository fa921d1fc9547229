//! Who has not proved who he is: how often an address may fail to.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::bucket::{Buckets, Rate, Wait};
use crate::peer::counted_as;

/// How many failures may come at once, in seconds of the rate.
const BURST_SECONDS: u64 = 10;

/// How many addresses are remembered: some MiB. One whose failures were long enough ago takes no place.
const ADDRESSES_MAX: usize = 65_536;

/// The failures of each address: bad keys, bad signatures, bad links. What is to be verified costs a look into the
/// database, so who has failed too often is refused before it.
#[derive(Clone)]
pub struct Strangers(Arc<Inner>);

struct Inner {
    failures: Mutex<Buckets<IpAddr>>,
    rate: Rate,
    began: Instant,
}

impl Strangers {
    pub fn new(failures_per_second: u32) -> Self {
        let rate = Rate { per_second: failures_per_second.into(), burst_seconds: BURST_SECONDS };
        Self(Arc::new(Inner { failures: Mutex::new(Buckets::new(ADDRESSES_MAX)), rate, began: Instant::now() }))
    }

    /// Whether what this address sends is worth a look.
    pub fn admit(&self, from: Option<IpAddr>) -> Result<(), Wait> {
        let failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.look(&key(from), self.0.rate, self.now())
    }

    /// Counts a failure of this address.
    pub fn failed(&self, from: Option<IpAddr>) {
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        // One that came at the same time as others and finds the bucket empty is not counted.
        let _ = failures.take(key(from), self.0.rate, self.now());
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }
}

/// All of whom nothing is known count as one.
fn key(from: Option<IpAddr>) -> IpAddr {
    from.map_or(Ipv4Addr::UNSPECIFIED.into(), counted_as)
}
