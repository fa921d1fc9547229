//! The right of one worker to drive an execution: taken, kept, lost, given back.

use std::time::{Duration, Instant};

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::agents::Digest;
use super::executions::unreadable;
use super::{Db, Result};
use crate::journal::Millis;
use crate::limits::Quotas;

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
    /// The one that a client started, from which it was called, directly or not.
    pub root: Option<String>,
    /// Under which id its limits are recorded: see `Db::limits`.
    pub limit_set: Option<i32>,
    /// How many pauses its tenant had open a second ago, and how many it may have.
    pub open_pauses: (i64, u64),
    /// How many attempts there have been, this one included.
    pub attempts: i32,
    /// How many attempts in a row ended without progress.
    pub failures: i32,
    /// How many answers had been brought at the claim. All of them are there to be looked at.
    pub answers: i32,
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
                       e.seed, e.started_ms, e.depth, e.parent_id, e.root_id, e.limit_set_id, e.attempts, e.failures,
                       e.answers,
                       (select u.open_pauses from tenant_usage u where u.tenant_id = e.tenant_id) as open_pauses,
                       (select (t.limits -> 'open_pauses')::bigint from tenant t where t.tenant_id = e.tenant_id)
                       as open_pauses_max,
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
                    root: row.try_get("root_id")?,
                    limit_set: row.try_get("limit_set_id")?,
                    open_pauses: (
                        row.try_get::<Option<i64>, _>("open_pauses")?.unwrap_or(0),
                        row.try_get::<Option<i64>, _>("open_pauses_max")?
                            .map_or(Quotas::default().open_pauses, i64::unsigned_abs),
                    ),
                    attempts: row.try_get("attempts")?,
                    failures: row.try_get("failures")?,
                    answers: row.try_get("answers")?,
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

    /// Gives back whatever a worker drives that stops now. No fault of anybody's.
    pub async fn give_back(&self, worker: &str) -> Result<()> {
        sqlx::query(
            "update execution
             set status = 'pending', wake_at = now(), claim_token = null, lease_until = null
             where status = 'running' and worker = $1",
        )
        .bind(worker)
        .execute(&self.pool)
        .await?;
        self.bell.ring();
        Ok(())
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
}

/// Takes the row lock, if the claim still stands.
pub(super) async fn holds(tx: &mut PgConnection, claim: &Claim) -> Result<bool> {
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

fn bytes32(bytes: Vec<u8>) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|bytes: Vec<u8>| unreadable("a hash or seed", &format!("{} bytes", bytes.len())))
}
