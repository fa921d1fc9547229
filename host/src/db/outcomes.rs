//! How an attempt ends: the execution waits, or has its outcome.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::claims::{Claim, Fenced, FencedResult};
use super::entries::{NewEntries, bind_entries, write_entries};
use super::executions::{cancel_tree, close_pauses, timestamp, unreadable, wake};
use super::pauses::{NEW_COLUMNS, NewPause, bind_new, new_parameters, open_pauses, withdraw_pauses};
use super::{Db, Result, retry};
use crate::execution::Failure;
use crate::journal::Millis;

/// A time that is nearer than this comes before workers and timekeepers look by themselves, so they are told.
const SOON_MS: Millis = 2_000;

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
    /// What it was told and is not yet in its journal.
    pub told: NewEntries<'a>,
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

/// What else a settle has done.
#[derive(Debug, Clone, Copy)]
struct Settled {
    /// Whether it made the execution claimable that called this one, or may have.
    parent_is_due: bool,
    /// When, if that is known.
    at: Option<DateTime<Utc>>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Suspended {
    /// It is `waiting`; whoever brings an answer, or the time, makes it claimable again.
    Waiting,
    /// An answer is already there. It is still ours and still `running`; everything else was done.
    Answered,
}

/// Suspends an execution, with one new pause or none.
static SUSPEND: LazyLock<String> = LazyLock::new(|| {
    format!(
        "with held as (
             update execution
             set status = 'waiting', wake_at = $4, failures = 0, next_seq = next_seq + cardinality($8),
                 journal_bytes = journal_bytes + $12
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'
               and answers = $5 and (cardinality($8) = 0 or next_seq = $7)
               and not exists (select from pause
                               where tenant_id = $1 and execution_id = $2 and approval_request_id = $6)
             returning 1
         ), opened as (
             insert into pause (tenant_id, execution_id, approval_request_id, status, {NEW_COLUMNS})
             select $1, $2, $6, 'open', {} from held where $6 is not null
         ), told as (
             insert into journal_entry (tenant_id, execution_id, seq, op, ask, answer, at_ms)
             select $1, $2, $7 + place::int - 1, op, ask, answer, at_ms
             from held cross join unnest($8::bigint[], $9::text[], $10::text[], $11::bigint[]) with ordinality
                  as entry (op, ask, answer, at_ms, place)
         )
         select exists (select from held)",
        new_parameters(13)
    )
});

impl Db {
    /// Gives the instance up: the execution is `waiting`, unless an answer came meanwhile.
    pub async fn suspend(&self, claim: &Claim, suspension: &Suspension<'_>) -> FencedResult<Suspended> {
        let suspended = retry(|| async {
            if self.suspend_at_once(claim, suspension).await? {
                return Ok(Ok(Suspended::Waiting));
            }
            self.try_suspend(claim, suspension).await
        })
        .await?;
        let soon = claim.now().saturating_add(SOON_MS);
        if suspension.until.is_some_and(|until| until < soon) {
            self.bell.ring_for_time();
        }
        self.keep_time_of(claim, suspension.open);
        Ok(suspended)
    }

    /// Tells the timekeeper of pauses that were opened, if something is to be done about one before it looks by itself.
    pub(super) fn keep_time_of(&self, claim: &Claim, opened: &[NewPause]) {
        let soon = claim.now().saturating_add(SOON_MS);
        if opened.iter().any(|pause| pause.next().is_some_and(|next| next < soon)) {
            self.bell.ring_for_pause();
        }
    }

    /// Suspends in one statement what nearly every execution is: one that opens at most one pause, closes none, and has
    /// been brought no answer since the claim. False if it is another.
    ///
    /// Not waiting for the disk: it says nothing that a replay would not say again. If Postgres crashes and forgets it,
    /// the execution is `running` again, without a worker, and is rescued. Whoever decides the pause that it opened does
    /// wait for the disk, and what was written before reaches it first.
    async fn suspend_at_once(&self, claim: &Claim, suspension: &Suspension<'_>) -> Result<bool> {
        if suspension.open.len() > 1 || !suspension.closed_pauses.is_empty() || !suspension.closed_calls.is_empty() {
            return Ok(false);
        }
        let (pause, told) = (suspension.open.first(), suspension.told.columns()?);
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(SUSPEND.as_str()))
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(claim.token)
            .bind(suspension.until.map(timestamp))
            .bind(claim.answers)
            .bind(pause.map(|pause| &pause.approval_request_id));
        let query = bind_entries!(query, told);
        Ok(bind_new!(query, pause).fetch_one(&mut *self.relaxed_of(&claim.tenant).await?).await?)
    }

    /// Suspends step by step: takes the row lock first and looks then.
    async fn try_suspend(&self, claim: &Claim, suspension: &Suspension<'_>) -> FencedResult<Suspended> {
        let told = suspension.told.columns()?;
        let mut tx = self.begin(&claim.tenant).await?;
        let held = sqlx::query(
            "update execution
             set status = 'waiting', wake_at = $4, failures = 0, next_seq = next_seq + $5,
                 journal_bytes = journal_bytes + $6
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(suspension.until.map(timestamp))
        .bind(told.count())
        .bind(told.bytes)
        .execute(&mut *tx)
        .await?;
        if held.rows_affected() == 0 {
            drop(tx);
            return self.is_suspended(claim).await;
        }
        write_entries(&mut tx, claim, &told).await?;
        open_pauses(&mut tx, claim, suspension.open).await?;
        withdraw_pauses(&mut tx, claim, suspension.closed_pauses).await?;
        if !suspension.closed_calls.is_empty() {
            cancel_tree(&mut tx, &claim.tenant, suspension.closed_calls).await?;
        }
        if is_answered(&mut tx, claim, suspension).await? {
            sqlx::query(
                "update execution set status = 'running', wake_at = null where tenant_id = $1 and execution_id = $2",
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
        .fetch_one(&mut *self.of(&claim.tenant).await?)
        .await?;
        Ok(if ours { Ok(Suspended::Waiting) } else { Err(Fenced) })
    }

    /// Writes the outcome of an execution, and what it was `told` that is not yet in its journal; closes its pauses, cancels
    /// the children that it left running, and wakes the one who called it.
    pub async fn settle(&self, claim: &Claim, told: NewEntries<'_>, outcome: &Outcome) -> FencedResult<()> {
        let settled = retry(|| self.try_settle(claim, told, outcome)).await?;
        match settled {
            Ok(Settled { parent_is_due: false, .. }) => self.bell.ring_for_news(),
            _ => self.bell.ring(),
        }
        let result = match (outcome, settled) {
            (Outcome::Succeeded(json), Ok(Settled { at: Some(at), .. })) => Some((json.as_str(), at)),
            _ => None,
        };
        self.bell.tell_end(&claim.execution, result);
        Ok(settled.map(|_| ()))
    }

    async fn try_settle(&self, claim: &Claim, told: NewEntries<'_>, outcome: &Outcome) -> FencedResult<Settled> {
        let (status, result, error) = match outcome {
            Outcome::Succeeded(result) => ("succeeded", Some(result.as_str()), None),
            Outcome::Failed(failure) => {
                let text = serde_json::to_string(failure).map_err(|why| unreadable("a failure", &why))?;
                ("failed", None, Some(text))
            }
        };
        if let Some(settled) = self.settle_at_once(claim, told, status, result, error.as_deref()).await? {
            return Ok(Ok(settled));
        }
        let settled = self.settle_step_by_step(claim, told, status, result, error.as_deref()).await?;
        Ok(settled.map(|()| Settled { parent_is_due: true, at: None }))
    }

    /// Settles in one statement what nearly every execution is: one that leaves neither an open pause nor an unfinished
    /// child, both of which only it could make. None if it is another, or not ours; its parent may have been woken for
    /// nothing then.
    async fn settle_at_once(
        &self,
        claim: &Claim,
        told: NewEntries<'_>,
        status: &str,
        result: Option<&str>,
        error: Option<&str>,
    ) -> Result<Option<Settled>> {
        let told = told.columns()?;
        let query = sqlx::query_as(
            "with woken as (
                 update execution
                 set answers = answers + 1,
                     status = case status when 'waiting' then 'pending' else status end,
                     wake_at = case status when 'waiting' then now() else wake_at end
                 where tenant_id = $1 and execution_id = $7
                   and exists (select from execution where tenant_id = $1 and execution_id = $2 and claim_token = $3
                               and status = 'running')
                 returning status
             ), settled as (
                 update execution e
                 set status = $4, result = $5, error = $6, finished_at = now(), wake_at = null, lease_until = null,
                     next_seq = next_seq + cardinality($9), journal_bytes = journal_bytes + $13
                 where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'
                   and (cardinality($9) = 0 or next_seq = $8) and ($7 is null or exists (select from woken))
                   and not exists (select from pause p
                                   where p.tenant_id = $1 and p.execution_id = $2 and p.status = 'open')
                   and not exists (select from execution c
                                   where c.tenant_id = $1 and c.parent_id = $2 and c.finished_at is null)
                 returning finished_at
             ), told as (
                 insert into journal_entry (tenant_id, execution_id, seq, op, ask, answer, at_ms)
                 select $1, $2, $8 + place::int - 1, op, ask, answer, at_ms
                 from settled
                 cross join unnest($9::bigint[], $10::text[], $11::text[], $12::bigint[]) with ordinality
                      as entry (op, ask, answer, at_ms, place)
             )
             select exists (select from woken where status = 'pending'), finished_at from settled",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(status)
        .bind(result)
        .bind(error)
        .bind(claim.parent.as_deref());
        let settled: Option<(bool, DateTime<Utc>)> =
            bind_entries!(query, told).fetch_optional(&mut *self.of(&claim.tenant).await?).await?;
        Ok(settled.map(|(parent_is_due, at)| Settled { parent_is_due, at: Some(at) }))
    }

    async fn settle_step_by_step(
        &self,
        claim: &Claim,
        told: NewEntries<'_>,
        status: &str,
        result: Option<&str>,
        error: Option<&str>,
    ) -> FencedResult<()> {
        let told = told.columns()?;
        let mut tx = self.begin(&claim.tenant).await?;
        if let Some(parent) = &claim.parent {
            wake(&mut tx, &claim.tenant, parent).await?;
        }
        let held = sqlx::query(
            "update execution
             set status = $4, result = $5, error = $6, finished_at = now(), wake_at = null, lease_until = null,
                 next_seq = next_seq + $7, journal_bytes = journal_bytes + $8
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(status)
        .bind(result)
        .bind(error)
        .bind(told.count())
        .bind(told.bytes)
        .execute(&mut *tx)
        .await?;
        if held.rows_affected() == 0 {
            drop(tx);
            return self.is_settled(claim, status).await;
        }
        write_entries(&mut tx, claim, &told).await?;
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
        .fetch_one(&mut *self.of(&claim.tenant).await?)
        .await?;
        Ok(if ours { Ok(()) } else { Err(Fenced) })
    }
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
