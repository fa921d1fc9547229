//! How many requests each tenant may send.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::error::Error;
use crate::limits::Quotas;
use crate::rate::{Buckets, Rate, Wait};

/// How many requests may come at once, in seconds of the rate.
const BURST_SECONDS: u64 = 2;

/// How many tenants are remembered that have sent one just now.
const TENANTS_MAX: usize = 65_536;

/// What the tenants have sent to this host just now. Cheap to clone.
#[derive(Clone)]
pub(super) struct Requests {
    sent: Arc<Mutex<Buckets<String>>>,
    began: Instant,
}

impl Requests {
    pub(super) fn new() -> Self {
        Self { sent: Arc::new(Mutex::new(Buckets::new(TENANTS_MAX))), began: Instant::now() }
    }

    /// Counts a request of this tenant. Fails with 429 if it sends more than its quota.
    pub(super) fn count(&self, tenant: &str, quotas: &Quotas) -> Result<(), Error> {
        let rate = Rate { per_second: quotas.requests_per_second, burst_seconds: BURST_SECONDS };
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.take(tenant.to_owned(), rate, self.began.elapsed()).map_err(|Wait(retry_after)| {
            let message = format!(
                "this tenant sends more than {} requests a second, its quota `requests_per_second`; try again after as \
                 many seconds as `Retry-After` says",
                quotas.requests_per_second
            );
            Error::TooManyRequests { code: "rate_limited", message, retry_after }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_sends_more_than_its_quota_waits_and_no_other_does() {
        let (requests, quotas) = (Requests::new(), Quotas { requests_per_second: 5, ..Quotas::default() });
        for _ in 0..10 {
            requests.count("busy", &quotas).unwrap();
        }
        let Err(Error::TooManyRequests { code, message, retry_after }) = requests.count("busy", &quotas) else {
            panic!("it may have no more than two seconds' worth at once");
        };
        assert_eq!(code, "rate_limited");
        assert!(message.contains("requests_per_second") && message.contains("Retry-After"), "{message}");
        assert!(retry_after.as_millis() <= 200, "{retry_after:?}");
        requests.count("idle", &quotas).unwrap();
    }
}
