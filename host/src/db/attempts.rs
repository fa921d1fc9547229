//! What one worker does to one execution, from claim to outcome. Every write carries the claim token.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::agents::Digest;
use super::executions::{cancel_tree, close_pauses, lock, timestamp, unreadable, wake};
use super::pauses::{NewPause, open_pauses};
use super::{Db, Result, retry};
use crate::execution::Failure;
use crate::journal::{Answer, CallError, Millis, Review};

/// The right of one worker to drive an execution, and all that is needed to do it.
#[derive(Debug, Clone)]
pub struct Claim {
    pub tenant: String,
    pub execution: String,
    /// The fence: random, so that a claim lost in a crash of Postgres can never be mistaken for a later one.
    pub token: Uuid,
    pub agent: String,
    pub version: i32,
    pub function: String,
    pub digest: Digest,
    /// JSON text.
    pub input: String,
    pub seed: [u8; 32],
    pub started: Millis,
    pub depth: i32,
    /// The execution that called this one.
    pub parent: Option<String>,
    /// How many attempts in a row ended without progress.
    pub failures: i32,
    /// Postgres' time at the claim, and ours when we learned of it: the only clock that an attempt reads.
    clock: (Millis, Instant),
}

impl Claim {
    /// The time by Postgres' clock; at most a round trip late, never early.
    pub fn now(&self) -> Millis {
        let (then, since) = self.clock;
        then + u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The claim is not ours any more: the lease ran out, or the execution was cancelled. Nothing was written; stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claim was lost")]
pub struct Fenced;

/// Result of a fenced write.
pub type FencedResult<T> = Result<Result<T, Fenced>>;

/// How an execution ends.
#[derive(Debug)]
pub enum Outcome {
    /// JSON text.
    Succeeded(String),
    Failed(Failure),
}

/// What an execution that suspends waits for, and what it leaves behind.
#[derive(Debug, Default)]
pub struct Suspension<'a> {
    /// Pauses that are not yet open.
    pub open: &'a [NewPause],
    /// `approval_request_id`s of the pauses that it waits for, `open` included.
    pub pauses: &'a [String],
    /// Ids of the executions that it waits for.
    pub calls: &'a [String],
    /// `approval_request_id`s of the pauses that it no longer waits for.
    pub closed_pauses: &'a [String],
    /// Ids of the executions that it no longer waits for.
    pub closed_calls: &'a [String],
    /// The earliest time that it waits for.
    pub until: Option<Millis>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Suspended {
    /// It is `waiting`; whoever brings an answer, or the time, makes it claimable again.
    Waiting,
    /// An answer is already there. It is still ours and still `running`; everything else was done.
    Answered,
}

/// An answer that is in the rows, for an ask that is still open.
#[derive(Debug)]
pub struct Arrived {
    pub for_whom: ForWhom,
    pub answer: Answer,
    pub at: Millis,
}

#[derive(Debug, PartialEq, Eq)]
pub enum ForWhom {
    /// Every ask that waits for the pause of this `approval_request_id`.
    Pause(String),
    /// The call of this `op`.
    Call(u64),
}

impl Db {
    /// Claims up to `limit` executions that are due, for `lease`. The longest due come first.
    ///
    /// Not waiting for the disk: a claim lost in a crash of Postgres costs one attempt, whose writes are then refused.
    pub async fn claim(&self, worker: &str, limit: i64, lease: Duration) -> Result<Vec<Claim>> {
        let rows = sqlx::query(
            "with due as (
                 select tenant_id, execution_id from execution
                 where wake_at <= now() order by wake_at limit $2
                 for no key update skip locked
             )
             update execution e
             set status = 'running', wake_at = null, claim_token = gen_random_uuid(), worker = $1,
                 lease_until = now() + make_interval(secs => $3), attempts = attempts + 1
             from due, agent_version v
             where e.tenant_id = due.tenant_id and e.execution_id = due.execution_id
               and v.tenant_id = e.tenant_id and v.agent = e.agent and v.version = e.version
             returning e.tenant_id, e.execution_id, e.claim_token, e.agent, e.version, e.function, v.digest, e.input,
                       e.seed, e.started_ms, e.depth, e.parent_id, e.failures,
                       (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms",
        )
        .bind(worker)
        .bind(limit)
        .bind(lease.as_secs_f64())
        .fetch_all(&self.relaxed)
        .await?;
        let since = Instant::now();
        rows.iter()
            .map(|row| {
                Ok(Claim {
                    tenant: row.try_get("tenant_id")?,
                    execution: row.try_get("execution_id")?,
                    token: row.try_get("claim_token")?,
                    agent: row.try_get("agent")?,
                    version: row.try_get("version")?,
                    function: row.try_get("function")?,
                    digest: bytes32(row.try_get("digest")?)?,
                    input: row.try_get("input")?,
                    seed: bytes32(row.try_get("seed")?)?,
                    started: row.try_get::<i64, _>("started_ms")?.unsigned_abs(),
                    depth: row.try_get("depth")?,
                    parent: row.try_get("parent_id")?,
                    failures: row.try_get("failures")?,
                    clock: (row.try_get::<i64, _>("now_ms")?.unsigned_abs(), since),
                })
            })
            .collect()
    }

    /// How long until the next execution becomes due; none if none ever does by itself.
    pub async fn next_due(&self) -> Result<Option<Duration>> {
        let seconds: Option<f64> = sqlx::query_scalar(
            "select extract(epoch from min(wake_at) - clock_timestamp())::float8 from execution where wake_at is not null",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e9))))
    }

    /// Extends the lease. Not waiting for the disk, as `claim`.
    pub async fn renew(&self, claim: &Claim, lease: Duration) -> FencedResult<()> {
        let done = sqlx::query(
            "update execution set lease_until = now() + make_interval(secs => $4)
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(lease.as_secs_f64())
        .execute(&self.relaxed)
        .await?;
        Ok(if done.rows_affected() == 1 { Ok(()) } else { Err(Fenced) })
    }

    /// Makes claimable again whatever was driven by a worker that vanished: whose lease ran out, or which bears the
    /// name of one that is known to be dead. Returns how many.
    pub async fn rescue(&self, dead_worker: Option<&str>) -> Result<u64> {
        let done = sqlx::query(
            "with lost as (
                 select tenant_id, execution_id from execution
                 where status = 'running' and (lease_until < now() or worker = $1)
                 for no key update skip locked
             )
             update execution e
             set status = 'pending', wake_at = now(), claim_token = null, lease_until = null, failures = failures + 1
             from lost where e.tenant_id = lost.tenant_id and e.execution_id = lost.execution_id",
        )
        .bind(dead_worker)
        .execute(&self.pool)
        .await?;
        if done.rows_affected() > 0 {
            self.bell.ring();
        }
        Ok(done.rows_affected())
    }

    /// Gives the execution back after a failure of the host, to be claimed again after `backoff`.
    pub async fn release(&self, claim: &Claim, backoff: Duration) -> FencedResult<()> {
        let done = sqlx::query(
            "update execution
             set status = 'pending', wake_at = now() + make_interval(secs => $4), claim_token = null,
                 lease_until = null, failures = failures + 1
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(backoff.as_secs_f64())
        .execute(&self.pool)
        .await?;
        Ok(if done.rows_affected() == 1 { Ok(()) } else { Err(Fenced) })
    }

    /// The answers that are already there for these pauses (by `approval_request_id`) and calls (by `op`).
    pub async fn arrived(&self, claim: &Claim, pauses: &[String], calls: &[u64]) -> Result<Vec<Arrived>> {
        retry(|| async {
            let mut arrived = vec![];
            if !pauses.is_empty() {
                arrived.extend(self.arrived_reviews(claim, pauses).await?);
            }
            if !calls.is_empty() {
                arrived.extend(self.arrived_results(claim, calls).await?);
            }
            Ok(arrived)
        })
        .await
    }

    async fn arrived_reviews(&self, claim: &Claim, pauses: &[String]) -> Result<Vec<Arrived>> {
        type Row = (String, Option<String>, Option<String>, Option<String>, Option<String>, DateTime<Utc>);
        let rows: Vec<Row> = sqlx::query_as(
            "select approval_request_id, decision, feedback, response, reviewer, decided_at from pause
             where tenant_id = $1 and execution_id = $2 and approval_request_id = any($3)
               and status in ('decided', 'expired')",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(pauses)
        .fetch_all(&self.pool)
        .await?;
        let review = |(name, decision, feedback, response, reviewer, decided_at): Row| {
            let at = decided_at.timestamp_millis().unsigned_abs();
            let review = match decision {
                Some(decision) => Review { decision, feedback, response, reviewer, decided_at_ms: at },
                None => Review::expired(at),
            };
            Arrived { for_whom: ForWhom::Pause(name), answer: Answer::Review(Ok(review)), at }
        };
        Ok(rows.into_iter().map(review).collect())
    }

    async fn arrived_results(&self, claim: &Claim, calls: &[u64]) -> Result<Vec<Arrived>> {
        let ops: Vec<i64> = calls.iter().map(|&op| op as i64).collect();
        let rows: Vec<(i64, Option<String>, Option<String>, DateTime<Utc>)> = sqlx::query_as(
            "select parent_op, result, error, finished_at from execution
             where tenant_id = $1 and parent_id = $2 and parent_op = any($3) and finished_at is not null",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(&ops)
        .fetch_all(&self.pool)
        .await?;
        let result = |(op, result, error, finished_at): (i64, Option<String>, Option<String>, DateTime<Utc>)| Arrived {
            for_whom: ForWhom::Call(op.unsigned_abs()),
            answer: Answer::Call(match (result, error) {
                (Some(result), _) => Ok(result),
                (None, Some(error)) => Err(CallError::Failed(Failure::public_text(&error))),
                (None, None) => Err(CallError::Cancelled),
            }),
            at: finished_at.timestamp_millis().unsigned_abs(),
        };
        Ok(rows.into_iter().map(result).collect())
    }

    /// Opens pauses while the execution goes on. Safe to repeat.
    pub async fn open(&self, claim: &Claim, pauses: &[NewPause]) -> FencedResult<()> {
        retry(|| async {
            let mut tx = self.pool.begin().await?;
            if !holds(&mut tx, claim).await? {
                return Ok(Err(Fenced));
            }
            open_pauses(&mut tx, claim, pauses).await?;
            tx.commit().await?;
            Ok(Ok(()))
        })
        .await
    }

    /// Marks a pause expired whose time has come, unless somebody decided it first; `arrived` then tells which.
    pub async fn expire(&self, claim: &Claim, approval_request_id: &str) -> Result<()> {
        retry(|| async {
            sqlx::query(
                "update pause set status = 'expired', decided_at = expires_at
                 where tenant_id = $1 and execution_id = $2 and approval_request_id = $3 and status = 'open'
                   and expires_at <= clock_timestamp()",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(approval_request_id)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }

    /// Gives the instance up: the execution is `waiting`, unless an answer came meanwhile.
    ///
    /// Takes the row lock first and looks then, so that an answer is either seen here or sees us waiting.
    pub async fn suspend(&self, claim: &Claim, suspension: &Suspension<'_>) -> FencedResult<Suspended> {
        retry(|| self.try_suspend(claim, suspension)).await
    }

    async fn try_suspend(&self, claim: &Claim, suspension: &Suspension<'_>) -> FencedResult<Suspended> {
        let mut tx = self.pool.begin().await?;
        let held = sqlx::query(
            "update execution set status = 'waiting', wake_at = $4, lease_until = null, failures = 0
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(suspension.until.map(timestamp))
        .execute(&mut *tx)
        .await?;
        if held.rows_affected() == 0 {
            drop(tx);
            return self.is_suspended(claim).await;
        }
        open_pauses(&mut tx, claim, suspension.open).await?;
        if !suspension.closed_pauses.is_empty() {
            sqlx::query(
                "update pause set status = 'cancelled'
                 where tenant_id = $1 and execution_id = $2 and approval_request_id = any($3) and status = 'open'",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(suspension.closed_pauses)
            .execute(&mut *tx)
            .await?;
        }
        if !suspension.closed_calls.is_empty() {
            cancel_tree(&mut tx, &claim.tenant, suspension.closed_calls).await?;
        }
        if is_answered(&mut tx, claim, suspension).await? {
            sqlx::query(
                "update execution set status = 'running', wake_at = null, lease_until = now() + interval '15 seconds'
                 where tenant_id = $1 and execution_id = $2",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            return Ok(Ok(Suspended::Answered));
        }
        tx.commit().await?;
        Ok(Ok(Suspended::Waiting))
    }

    /// Whether a suspend whose acknowledgement was lost took effect.
    async fn is_suspended(&self, claim: &Claim) -> FencedResult<Suspended> {
        let ours: bool = sqlx::query_scalar(
            "select exists (select from execution where tenant_id = $1 and execution_id = $2 and claim_token = $3
                            and status in ('waiting', 'pending'))",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .fetch_one(&self.pool)
        .await?;
        Ok(if ours { Ok(Suspended::Waiting) } else { Err(Fenced) })
    }

    /// Writes the outcome of an execution, closes its pauses, cancels the children that it left running, and wakes the
    /// one who called it.
    pub async fn settle(&self, claim: &Claim, outcome: &Outcome) -> FencedResult<()> {
        let settled = retry(|| self.try_settle(claim, outcome)).await?;
        self.bell.ring();
        Ok(settled)
    }

    async fn try_settle(&self, claim: &Claim, outcome: &Outcome) -> FencedResult<()> {
        let (status, result, error) = match outcome {
            Outcome::Succeeded(result) => ("succeeded", Some(result.as_str()), None),
            Outcome::Failed(failure) => {
                let text = serde_json::to_string(failure).map_err(|why| unreadable("a failure", &why))?;
                ("failed", None, Some(text))
            }
        };
        let mut tx = self.pool.begin().await?;
        if let Some(parent) = &claim.parent {
            lock(&mut tx, &claim.tenant, parent).await?;
        }
        let held = sqlx::query(
            "update execution
             set status = $4, result = $5, error = $6, finished_at = now(), wake_at = null, lease_until = null
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(status)
        .bind(result)
        .bind(error)
        .execute(&mut *tx)
        .await?;
        if held.rows_affected() == 0 {
            drop(tx);
            return self.is_settled(claim, status).await;
        }
        close_pauses(&mut tx, &claim.tenant, std::slice::from_ref(&claim.execution)).await?;
        let children: Vec<String> = sqlx::query_scalar(
            "select execution_id from execution where tenant_id = $1 and parent_id = $2 and finished_at is null",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .fetch_all(&mut *tx)
        .await?;
        if !children.is_empty() {
            cancel_tree(&mut tx, &claim.tenant, &children).await?;
        }
        if let Some(parent) = &claim.parent {
            wake(&mut tx, &claim.tenant, parent).await?;
        }
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// Whether a settle whose acknowledgement was lost took effect.
    async fn is_settled(&self, claim: &Claim, status: &str) -> FencedResult<()> {
        let ours: bool = sqlx::query_scalar(
            "select exists (select from execution where tenant_id = $1 and execution_id = $2 and claim_token = $3
                            and status = $4)",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(status)
        .fetch_one(&self.pool)
        .await?;
        Ok(if ours { Ok(()) } else { Err(Fenced) })
    }
}

/// Takes the row lock, if the claim still stands.
async fn holds(tx: &mut PgConnection, claim: &Claim) -> Result<bool> {
    let held = sqlx::query(
        "select from execution where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'
         for no key update",
    )
    .bind(&claim.tenant)
    .bind(&claim.execution)
    .bind(claim.token)
    .fetch_optional(tx)
    .await?;
    Ok(held.is_some())
}

/// Whether one of the things that the execution is about to wait for is there. The caller holds its row lock.
async fn is_answered(tx: &mut PgConnection, claim: &Claim, suspension: &Suspension<'_>) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "select exists (select from pause where tenant_id = $1 and execution_id = $2 and approval_request_id = any($3)
                        and status in ('decided', 'expired'))
             or exists (select from execution where tenant_id = $1 and execution_id = any($4)
                        and finished_at is not null)",
    )
    .bind(&claim.tenant)
    .bind(&claim.execution)
    .bind(suspension.pauses)
    .bind(suspension.calls)
    .fetch_one(tx)
    .await?)
}

fn bytes32(bytes: Vec<u8>) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|bytes: Vec<u8>| unreadable("a hash or seed", &format!("{} bytes", bytes.len())))
}
