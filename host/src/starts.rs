//! How often each tenant starts executions on this host: by clients, and by agents that call others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::rate::{Buckets, Rate, Wait};

/// How many may be started at once, in seconds of the rate.
const BURST_SECONDS: u64 = 3;

/// How many tenants are remembered that have started one just now.
const TENANTS_MAX: usize = 65_536;

/// What the tenants have started just now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Starts {
    started: Arc<Mutex<Buckets<String>>>,
    began: Instant,
}

impl Default for Starts {
    fn default() -> Self {
        Self { started: Arc::new(Mutex::new(Buckets::new(TENANTS_MAX))), began: Instant::now() }
    }
}

impl Starts {
    /// Counts one more for a tenant that may start so many in a second; or says how long to wait for it.
    pub fn take(&self, tenant: &str, per_second: u64) -> Result<(), Duration> {
        let rate = Rate { per_second, burst_seconds: BURST_SECONDS };
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        started.take(tenant.to_owned(), rate, self.began.elapsed()).map_err(|Wait(time)| time)
    }
}
