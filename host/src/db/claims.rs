//! The right of one worker to drive an execution: taken, kept, lost, given back.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::agents::Digest;
use super::executions::unreadable;
use super::queue::RUNNING_MAX;
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
    /// From a row of `CLAIM_COLUMNS` and `now_ms`, of which we learned just now.
    pub(super) fn of_row(row: &PgRow, since: Instant) -> Result<Self> {
        Ok(Self {
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
    }

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

/// What a claim took.
#[derive(Debug, Default)]
pub struct Claimed {
    pub claims: Vec<Claim>,
    /// How many were due of those that it looked at, also where their tenants may not run more now.
    pub found: usize,
    /// How long until another becomes due by itself; none if none does.
    pub next_due: Option<Duration>,
}

/// How many executions one claim takes at the most.
pub const CLAIM_MAX: usize = 16;

/// Result of a fenced write.
pub type FencedResult<T> = Result<Result<T, Fenced>>;

/// What a claim has of the execution's row `e`.
pub(super) const CLAIM_COLUMNS: &str = "e.tenant_id, e.execution_id, e.claim_token, e.agent, e.version, e.function, \
    (select v.digest from agent_version v \
     where v.tenant_id = e.tenant_id and v.agent = e.agent and v.version = e.version) as digest, \
    e.input, e.seed, e.started_ms, e.depth, e.parent_id, e.root_id, e.limit_set_id, e.attempts, e.failures, e.answers, \
    (select u.open_pauses from tenant_usage u where u.tenant_id = e.tenant_id) as open_pauses, \
    (select (t.limits -> 'open_pauses')::bigint from tenant t where t.tenant_id = e.tenant_id) as open_pauses_max";

/// Claims what `due` has found, if its tenant may: `$1` is the worker, `$2` the lease in seconds.
fn claim_due(due: &str, may: &str) -> String {
    format!(
        "with due as materialized ({due}), claimed as (
             update execution e
             set status = 'running', wake_at = null, claim_token = gen_random_uuid(), worker = $1,
                 lease_until = now() + make_interval(secs => $2), attempts = attempts + 1
             from due
             where e.tenant_id = due.tenant_id and e.execution_id = due.execution_id
               and (select t.suspended_at is null and {may} from tenant t where t.tenant_id = e.tenant_id)
             returning {CLAIM_COLUMNS}
         )
         select claimed.*, found.count as found, (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms,
                (select extract(epoch from min(wake_at) - clock_timestamp())::float8 from execution
                 where wake_at > now()) as next_due
         from (select count(*) from due) found left join claimed on true"
    )
}

/// Serves all tenants at once, in the order of the queue. The constant has what follows planned for few.
static CLAIM: LazyLock<String> = LazyLock::new(|| {
    let due = format!(
        "select first.* from (
             select tenant_id, execution_id from execution
             where wake_at <= now() order by wake_at limit $3
             for no key update skip locked
         ) first
         limit {CLAIM_MAX}"
    );
    claim_due(&due, &format!("{} >= $4", *RUNNING_MAX))
});

/// Goes from tenant to tenant. Compared as rows, so that the index of all that is due does not serve it, in which a
/// backlog of another tenant may come first. The constants have it planned for few, or all of a backlog would be sorted.
static CLAIM_OF: LazyLock<String> = LazyLock::new(|| {
    let due = format!(
        "select first.tenant_id, first.execution_id
         from unnest($3::text[], $4::bigint[]) as share (tenant_id, count)
         cross join lateral (
             select numbered.* from (
                 select due.*, row_number() over () as place from (
                     select e.tenant_id, e.execution_id from execution e
                     where e.wake_at is not null
                       and (e.tenant_id, e.wake_at) >= (share.tenant_id, '-infinity'::timestamptz)
                       and (e.tenant_id, e.wake_at) <= (share.tenant_id, now())
                     order by e.tenant_id, e.wake_at limit {CLAIM_MAX}
                     for no key update skip locked
                 ) due
             ) numbered
             where numbered.place <= share.count
         ) first
         limit {CLAIM_MAX}"
    );
    claim_due(&due, "true")
});

impl Db {
    /// Claims up to `limit` executions that are due, for `lease`. The longest due come first, whosever they are; but none
    /// of a tenant that is suspended, or may not run `at_least` so many at once on this host.
    ///
    /// Not waiting for the disk: a claim lost in a crash of Postgres costs one attempt, whose writes are then refused.
    pub async fn claim(&self, worker: &str, limit: usize, lease: Duration, at_least: usize) -> Result<Claimed> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(CLAIM.as_str()))
            .bind(worker)
            .bind(lease.as_secs_f64())
            .bind(limit as i64)
            .bind(at_least as i64)
            .fetch_all(&self.host_relaxed)
            .await?;
        claimed(&rows)
    }

    /// Claims so many executions of each of these tenants, at most `CLAIM_MAX`. Otherwise as `claim`.
    pub async fn claim_of(&self, worker: &str, shares: &[(&str, usize)], lease: Duration) -> Result<Claimed> {
        let tenants: Vec<&str> = shares.iter().map(|(tenant, _)| *tenant).collect();
        let counts: Vec<i64> = shares.iter().map(|(_, count)| *count as i64).collect();
        let rows = sqlx::query(sqlx::AssertSqlSafe(CLAIM_OF.as_str()))
            .bind(worker)
            .bind(lease.as_secs_f64())
            .bind(tenants)
            .bind(counts)
            .fetch_all(&self.host_relaxed)
            .await?;
        claimed(&rows)
    }

    /// Extends the lease, unless the tenant is suspended. Not waiting for the disk, as `claim`.
    pub async fn renew(&self, claim: &Claim, lease: Duration) -> FencedResult<()> {
        let done = sqlx::query(
            "update execution set lease_until = now() + make_interval(secs => $4)
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'
               and exists (select from tenant where tenant_id = $1 and suspended_at is null)",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(lease.as_secs_f64())
        .execute(&mut *self.relaxed_of(&claim.tenant).await?)
        .await?;
        Ok(if done.rows_affected() == 1 { Ok(()) } else { Err(Fenced) })
    }

    /// Gives one execution back that this worker drives no longer, if the claim still stands: its tenant is suspended, or
    /// there is no room for it. No fault of anybody's.
    pub async fn hand_back(&self, claim: &Claim) -> Result<()> {
        self.hand_back_of(&claim.tenant, &claim.execution, claim.token).await
    }

    pub(super) async fn hand_back_of(&self, tenant: &str, execution: &str, token: Uuid) -> Result<()> {
        sqlx::query(
            "update execution
             set status = 'pending', wake_at = now(), claim_token = null, lease_until = null
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'",
        )
        .bind(tenant)
        .bind(execution)
        .bind(token)
        .execute(&mut *self.of(tenant).await?)
        .await?;
        Ok(())
    }

    /// Gives back whatever a worker drives that stops now. No fault of anybody's.
    pub async fn give_back(&self, worker: &str) -> Result<()> {
        sqlx::query(
            "update execution
             set status = 'pending', wake_at = now(), claim_token = null, lease_until = null
             where status = 'running' and worker = $1",
        )
        .bind(worker)
        .execute(&self.host)
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
        .execute(&self.host)
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
        .execute(&mut *self.of(&claim.tenant).await?)
        .await?;
        Ok(if done.rows_affected() == 1 { Ok(()) } else { Err(Fenced) })
    }
}

fn claimed(rows: &[PgRow]) -> Result<Claimed> {
    let since = Instant::now();
    let mut claimed = Claimed::default();
    for row in rows {
        claimed.found = usize::try_from(row.try_get::<i64, _>("found")?).unwrap_or(0);
        let next_due: Option<f64> = row.try_get("next_due")?;
        claimed.next_due = next_due.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e9)));
        // One row says that there was nothing to claim.
        if row.try_get::<Option<&str>, _>("tenant_id")?.is_some() {
            claimed.claims.push(Claim::of_row(row, since)?);
        }
    }
    Ok(claimed)
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
