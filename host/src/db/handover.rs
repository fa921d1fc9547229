//! Executions that become due on a host, and are driven there at once.
//!
//! What makes one due (a start, a call, a decision) is a statement that this host sends. If its worker has a place free,
//! the same statement claims the execution for it: no ring, no look at the queue, no second round trip. If it has none,
//! the execution is queued, as one that another host, or a time, has made due.

use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::task::JoinError;
use uuid::Uuid;

use super::claims::{CLAIM_COLUMNS, Claim};
use super::queue::RUNNING_MAX;
use super::recall::Recalled;
use super::{Db, Result};

/// A worker that takes executions which are handed over.
pub trait Taker: Send + Sync {
    /// Keeps a place for one execution of this tenant, if one is free and nobody waits for it.
    fn place(&self, tenant: &str) -> Option<Bid>;
}

/// The place that a worker keeps for an execution; free again when it is dropped.
pub trait Place: Send + Sync {
    /// Drives the execution from here on.
    fn drive(self: Box<Self>, claim: Claim, recalled: Option<Recalled>);
}

/// Who would drive an execution at once.
pub struct Bid {
    /// The worker's name in the rows.
    pub worker: Arc<str>,
    pub lease: Duration,
    /// How many of its tenant's executions the worker would drive then, this one included.
    pub running: usize,
    pub place: Box<dyn Place>,
}

/// The worker of this host, as soon as there is one. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Handover(Arc<RwLock<Option<Arc<dyn Taker>>>>);

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handover")
    }
}

/// A bid that is sent with a statement, under a token that is the fence if it is taken.
pub(super) struct Offer {
    pub(super) bid: Option<Bid>,
    pub(super) token: Option<Uuid>,
}

/// Binds the four values of an offer: the token, the worker, its lease in seconds, how many it drives.
macro_rules! bind_offer {
    ($query:expr, $offer:expr) => {
        $query
            .bind($offer.token)
            .bind($offer.bid.as_ref().map(|bid| bid.worker.to_string()))
            .bind($offer.bid.as_ref().map(|bid| bid.lease.as_secs_f64()))
            .bind($offer.bid.as_ref().map(|bid| bid.running as i64))
    };
}
pub(super) use bind_offer;

/// A part of a statement that names the execution's row `e`, and whose parameters for the offer begin at `first`.
pub(super) struct Terms {
    /// A table expression `bid` of one row: `token` is null if nobody may drive the execution at once.
    pub(super) bid: String,
    pub(super) worker: String,
    pub(super) lease_until: String,
    /// What a new row has in `NEW_COLUMNS`.
    pub(super) new_values: String,
}

/// The columns of a new execution that the offer decides.
pub(super) const NEW_COLUMNS: &str = "status, wake_at, claim_token, worker, lease_until, attempts";

pub(super) fn terms(first: usize) -> Terms {
    let [token, worker, lease, running] = [0, 1, 2, 3].map(|place| first + place);
    let running_max = &*RUNNING_MAX;
    let (worker, lease_until) =
        (format!("${worker}::text"), format!("now() + make_interval(secs => ${lease}::float8)"));
    Terms {
        bid: format!(
            "bid as materialized (
                 select (select ${token}::uuid from tenant t
                         where t.tenant_id = $1 and ${token} is not null and t.suspended_at is null
                           and {running_max} >= ${running}::bigint) as token
             )"
        ),
        new_values: format!(
            "case when token is null then 'pending' else 'running' end, case when token is null then now() end, token,
             case when token is not null then {worker} end, case when token is not null then {lease_until} end,
             (token is not null)::int"
        ),
        worker,
        lease_until,
    }
}

/// What a statement returns of a row `e`, from which `Offer::hand_over` makes a claim.
pub(super) static CLAIMED: LazyLock<String> = LazyLock::new(|| {
    format!("{CLAIM_COLUMNS}, e.next_seq, (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms")
});

/// The same of a row that was just made; and when.
pub(super) static MADE: LazyLock<String> =
    LazyLock::new(|| format!("{}, e.created_at, e.claim_token is not null as is_claimed", *CLAIMED));

impl Db {
    /// From now on this worker is offered what becomes due here; none, if there is none any more.
    pub fn hand_over_to(&self, taker: Option<Arc<dyn Taker>>) {
        *self.handover.0.write().unwrap_or_else(PoisonError::into_inner) = taker;
    }

    /// Asks this host's worker whether it would drive an execution of this tenant.
    pub(super) fn offer(&self, tenant: &str) -> Offer {
        let taker = self.handover.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let bid = taker.and_then(|taker| taker.place(tenant));
        Offer { token: bid.as_ref().map(|_| Uuid::new_v4()), bid }
    }
}

impl Offer {
    /// Hands the execution over if this offer was taken. False if it was not, and the execution is queued or driven.
    pub(super) fn hand_over(self, claim: Claim, recalled: Option<Recalled>) -> bool {
        match self.bid {
            Some(bid) if self.token == Some(claim.token) => {
                bid.place.drive(claim, recalled);
                true
            }
            _ => false,
        }
    }

    /// Gives back what this offer may have claimed: nobody knows whether the statement was carried out.
    pub(super) fn withdraw(self, db: &Db, tenant: &str, execution: &str) {
        let Some(token) = self.token else { return };
        let (db, tenant, execution) = (db.clone(), tenant.to_owned(), execution.to_owned());
        tokio::spawn(async move {
            if let Err(error) = super::retry(|| db.hand_back_of(&tenant, &execution, token)).await {
                tracing::warn!(execution.id = execution, %error, "it could not be given back; its lease will run out");
            }
        });
    }
}

/// Asks in a task of its own: whoever waits for the answer may go away, and what was claimed must be driven.
pub(super) async fn unbroken<T: Send + 'static>(asking: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    joined(tokio::spawn(asking)).await
}

/// What has come of a task that asks, and that nobody has aborted. Panics if the task has.
pub(super) async fn joined<T>(task: impl Future<Output = Result<Result<T>, JoinError>>) -> Result<T> {
    task.await.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()))
}
