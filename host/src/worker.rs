//! Claims executions that are due, drives each until it has to wait or has ended, and settles it.
//!
//! Knows nothing of HTTP: they meet in Postgres.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::db::Db;
use crate::db::claims::Claim;
use crate::db::recall::Recalled;
use crate::effects::ai::Models;
use crate::guest::Cache;
use crate::link::Links;
use crate::metrics;
use crate::rate::Rates;

mod attempt;
mod counter;
mod live;
mod queue;
mod record;
mod room;
mod share;
mod slots;
mod wait;

pub use room::Room;

use attempt::{End, Error};
use counter::Counter;
use queue::{Look, POLL, Queue};
use slots::Slots;

/// How long to leave the bell alone after a look that has left something where it is: whoever fills the queue rings it,
/// and nothing may come of looking again.
const PACE: Duration = Duration::from_millis(2);

/// How often to look for executions whose worker has vanished.
const RESCUE_EVERY: Duration = Duration::from_secs(2);

/// After how many attempts in a row without progress an execution fails.
const FAILURES_MAX: i32 = 12;

/// The pause after the first failure, which then doubles, up to the second.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// What a worker needs to drive executions. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    pub db: Db,
    pub cache: Cache,
    pub models: Arc<Models>,
    /// Makes the links that agents ask for.
    pub links: Links,
    /// How many executions each tenant starts on this host.
    pub starts: Rates,
    /// This host's name in the rows.
    pub name: String,
    /// How long a claim holds without being renewed.
    pub lease: Duration,
    /// How many executions this host drives at once.
    pub concurrency: usize,
    /// The memory that their instances share.
    pub room: Room,
}

impl Worker {
    /// Drives executions until `stop`; then gives back what it holds.
    pub async fn run(self, stop: CancellationToken) {
        let (mut queue, slots) = (Queue::default(), Slots::new(self.concurrency));
        let (attempts, room) = (TaskTracker::new(), self.room.clone());
        let counter = Counter::new(self.clone(), slots.clone(), attempts.clone(), stop.clone());
        self.db.hand_over_to(Some(Arc::new(counter.clone())));
        let watching = tokio::spawn(async move { room.watch().await });
        let mut bell = self.db.bell().listen_for_due();
        let mut rescued = Instant::now();
        while !stop.is_cancelled() {
            if rescued.elapsed() >= RESCUE_EVERY {
                rescued = Instant::now();
                self.rescue().await;
            }
            let mut look = queue.look(&self, &slots).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "no executions could be claimed; trying again");
                Look { wait: POLL, ..Look::default() }
            });
            for claim in std::mem::take(&mut look.claims) {
                let slot = slots.take(&claim.tenant);
                counter.drive(claim, None, slot);
            }
            counter.is_behind(look.is_left || look.wait.is_zero());
            let rung = async {
                if look.is_left && !look.wait.is_zero() {
                    tokio::time::sleep(PACE).await;
                }
                bell.wait(look.wait).await;
            };
            tokio::select! {
                () = rung => {}
                () = slots.ended(), if look.is_left => {}
                () = stop.cancelled() => {}
            }
        }
        self.db.hand_over_to(None);
        attempts.close();
        attempts.wait().await;
        watching.abort();
        if let Err(error) = self.db.give_back(&self.name).await {
            tracing::warn!(%error, "what this host was driving could not be given back; its leases will run out");
        }
    }

    async fn rescue(&self) {
        match self.db.rescue(None).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(count, "took back executions whose worker had vanished"),
            Err(error) => tracing::warn!(%error, "could not look for executions whose worker has vanished"),
        }
    }

    /// Drives one execution, and never lets a failure of its own get lost.
    async fn attempt(&self, claim: Claim, recalled: Option<Recalled>, stop: &CancellationToken) {
        let began = Instant::now();
        if claim.failures >= FAILURES_MAX {
            // Whoever drove it died of it, again and again.
            return self.fail(&claim, &Error::Vanished).await;
        }
        let driven = tokio::select! {
            driven = attempt::drive(self, &claim, recalled) => driven,
            () = self.hold(&claim) => Ok(End::Lost),
            () = stop.cancelled() => return,
        };
        let duration_ms = began.elapsed().as_millis() as u64;
        metrics::attempt(driven.as_ref().map_or("failed", End::as_str));
        if let Ok(End::Lost | End::Evicted) = driven {
            self.hand_back(&claim).await;
        }
        match driven {
            Ok(end) => tracing::debug!(
                tenant.id = claim.tenant,
                execution.id = claim.execution,
                end = end.as_str(),
                duration_ms,
                "attempt"
            ),
            Err(error) => self.fail(&claim, &error).await,
        }
    }

    /// Renews the lease for as long as it is polled. Returns when the claim is lost.
    async fn hold(&self, claim: &Claim) {
        let every = self.lease / 3;
        let mut held_until = Instant::now() + self.lease;
        loop {
            tokio::time::sleep(every).await;
            // Counted from before the request, so that we never believe to hold longer than Postgres does.
            let asked = Instant::now();
            match self.db.renew(claim, self.lease).await {
                Ok(Ok(())) => held_until = asked + self.lease,
                Ok(Err(_fenced)) => return,
                Err(error) => tracing::warn!(execution.id = claim.execution, %error, "a lease could not be renewed"),
            }
            if Instant::now() + every >= held_until {
                return;
            }
        }
    }

    /// Gives an execution back that is not to be driven now, if it is still ours.
    async fn hand_back(&self, claim: &Claim) {
        if let Err(error) = self.db.hand_back(claim).await {
            tracing::warn!(execution.id = claim.execution, %error, "it could not be given back; its lease will run out");
        }
    }

    /// Gives an execution back for another attempt, or up, if the host failed at it too often.
    async fn fail(&self, claim: &Claim, error: &Error) {
        tracing::error!(
            tenant.id = claim.tenant, execution.id = claim.execution, failures = claim.failures, %error,
            "the host failed at an execution"
        );
        let given_back = if claim.failures + 1 >= FAILURES_MAX {
            attempt::give_up(self, claim, error).await
        } else {
            let backoff = BACKOFF.saturating_mul(1 << claim.failures.clamp(0, 10)).min(BACKOFF_MAX);
            self.db.release(claim, backoff).await.map(|_| ())
        };
        if let Err(error) = given_back {
            tracing::warn!(execution.id = claim.execution, %error, "it could not be given back; its lease will run out");
        }
    }
}
