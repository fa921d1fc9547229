//! Executions as clients and parents see them: start, look, cancel.

use std::sync::LazyLock;
use std::time::Instant;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};

use super::claims::Claim;
use super::handover::{self, MADE, NEW_COLUMNS, Offer, Terms, bind_offer, unbroken};
use super::{Db, Error, Page, Result, audit, page_of, retry};
use crate::audit::{Action, Actor, details};
use crate::execution::{Status, Target};
use crate::journal::Millis;

/// One durable invocation, as its row has it.
#[derive(Debug, sqlx::FromRow)]
pub struct Execution {
    pub execution_id: String,
    pub agent: String,
    pub version: i32,
    pub function: String,
    #[sqlx(try_from = "String")]
    pub status: StatusText,
    /// JSON text. Empty in lists.
    pub input: String,
    pub result: Option<String>,
    /// JSON text of an `execution::Failure`.
    pub error: Option<String>,
    pub wake_at: Option<DateTime<Utc>>,
    pub parent_id: Option<String>,
    pub attempts: i32,
    pub next_seq: i32,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub started_ms: i64,
    pub finished_at: Option<DateTime<Utc>>,
}

/// A status read from a row, whose check constraint knows the same six words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusText(pub Status);

impl TryFrom<String> for StatusText {
    type Error = crate::execution::NotAStatus;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        word.parse().map(Self)
    }
}

/// An execution to be started by a client.
#[derive(Debug)]
pub struct NewExecution<'a> {
    pub tenant: &'a str,
    /// A fresh id, chosen before the first try, so that a try whose acknowledgement was lost finds itself.
    pub id: &'a str,
    pub target: &'a Target,
    pub version: i32,
    /// JSON text.
    pub input: &'a str,
    pub seed: [u8; 32],
    /// Under which id its limits are recorded: see `Db::limit_set`.
    pub limit_set: i32,
    pub idempotency: Option<Idempotency<'a>>,
    pub actor: Actor<'a>,
}

/// What makes a repeated start the same start.
#[derive(Debug, Clone, Copy)]
pub struct Idempotency<'a> {
    pub key: &'a str,
    pub request_sha256: &'a [u8],
}

#[derive(Debug, PartialEq, Eq)]
pub enum Started {
    /// When it was made, and what its clocks show at first, in milliseconds; none if an acknowledgement was lost.
    Created(Option<(DateTime<Utc>, i64)>),
    /// The same request had come before, and made this execution.
    Found(String),
    /// The key was used for another request.
    KeyReused,
    /// Executions of this agent start on another version by now. Nothing was started.
    Outdated,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is cancelled now, with its unfinished children; or was before.
    Done,
    AlreadyFinished,
    NotFound,
}

/// Makes an execution, unless it was made before.
static START: LazyLock<String> = LazyLock::new(|| {
    let Terms { bid, new_values, .. } = handover::terms(16);
    let made = &*MADE;
    format!(
        "with {bid}, made as (
             insert into execution as e (tenant_id, execution_id, agent, version, function, input, seed, started_ms,
                                         idempotency_key, request_sha256, created_by, limit_set_id, {NEW_COLUMNS})
             select $1, $2, $3, $4, $5, $6, $7, (extract(epoch from now()) * 1000)::bigint, $8, $9, $10, $15, {new_values}
             from bid
             where exists (select from agent where tenant_id = $1 and agent = $3 and active_version = $4)
             on conflict do nothing
             returning {made}
         ), noted as (
             insert into audit_unsealed (tenant_id, actor, actor_name, source, action, subject, details)
             select $1, $10, $11, $12, $13, $2, $14 from made
         )
         select * from made"
    )
});

/// Which executions a list shows.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    pub status: Option<Status>,
    pub agent: Option<&'a str>,
    /// The last one of the page before: its creation time and id.
    pub after: Option<(DateTime<Utc>, &'a str)>,
}

impl Db {
    /// Starts an execution. Once this returns `Created`, it survives any crash and some worker will drive it.
    pub async fn start_execution(&self, new: &NewExecution<'_>) -> Result<Started> {
        retry(|| self.try_start(new)).await
    }

    async fn try_start(&self, new: &NewExecution<'_>) -> Result<Started> {
        let offer = self.offer(new.tenant);
        let query = sqlx::query(sqlx::AssertSqlSafe(START.as_str()))
            .bind(new.tenant)
            .bind(new.id)
            .bind(&new.target.agent)
            .bind(new.version)
            .bind(&new.target.function)
            .bind(new.input)
            .bind(&new.seed[..])
            .bind(new.idempotency.map(|same| same.key))
            .bind(new.idempotency.map(|same| same.request_sha256))
            .bind(new.actor.who.to_string())
            .bind(new.actor.name)
            .bind(new.actor.source())
            .bind(Action::ExecutionStarted.as_str())
            .bind(details([("target", new.target.to_string().into()), ("version", new.version.into())]))
            .bind(new.limit_set);
        let query = bind_offer!(query, offer);
        let (db, tenant, id) = (self.clone(), new.tenant.to_owned(), new.id.to_owned());
        let made = unbroken(async move { db.made(&tenant, &id, query, offer).await }).await?;
        if made.is_some() {
            return Ok(Started::Created(made));
        }
        let before = match &new.idempotency {
            Some(same) => self.find_started(new.tenant, same).await?,
            None => self.find_execution(new.tenant, new.id).await?.map(|made| Started::Found(made.execution_id)),
        };
        Ok(match before {
            Some(Started::Found(id)) if id == new.id => Started::Created(None),
            Some(before) => before,
            None => {
                self.active.forget();
                Started::Outdated
            }
        })
    }

    /// Makes an execution by a statement that says when it was made and may have claimed it; then it is handed over. None
    /// if there was one.
    pub(super) async fn made(
        &self,
        tenant: &str,
        id: &str,
        query: Query<'static, Postgres, PgArguments>,
        offer: Offer,
    ) -> Result<Option<(DateTime<Utc>, i64)>> {
        let row = match query.fetch_optional(&mut *self.of(tenant).await?).await {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(error) => {
                offer.withdraw(self, tenant, id);
                return Err(error.into());
            }
        };
        let made = (row.try_get("created_at")?, row.try_get("started_ms")?);
        let is_handed_over = row.try_get("is_claimed")? && offer.hand_over(Claim::of_row(&row, Instant::now())?, None);
        if is_handed_over {
            self.bell.ring_for_news()
        } else {
            self.bell.ring()
        }
        Ok(Some(made))
    }

    /// The execution that a start with this `Idempotency-Key` has made, if one has.
    pub async fn find_started(&self, tenant: &str, same: &Idempotency<'_>) -> Result<Option<Started>> {
        let found: Option<(String, Vec<u8>)> = sqlx::query_as(
            "select execution_id, request_sha256 from execution where tenant_id = $1 and idempotency_key = $2",
        )
        .bind(tenant)
        .bind(same.key)
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?;
        let started =
            |(id, request)| if request == same.request_sha256 { Started::Found(id) } else { Started::KeyReused };
        Ok(found.map(started))
    }

    pub async fn find_execution(&self, tenant: &str, id: &str) -> Result<Option<Execution>> {
        Ok(sqlx::query_as(
            "select execution_id, agent, version, function, status, input, result, error, wake_at, parent_id, attempts,
                    next_seq, created_by, created_at, started_ms, finished_at
             from execution where tenant_id = $1 and execution_id = $2",
        )
        .bind(tenant)
        .bind(id)
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?)
    }

    /// The execution that a client started, from which this one was called, directly or not; itself, if it was not.
    pub async fn root_of(&self, tenant: &str, id: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(
            "with recursive line (id, parent) as (
                 select execution_id, parent_id from execution where tenant_id = $1 and execution_id = $2
                 union all
                 select e.execution_id, e.parent_id
                 from execution e join line on e.tenant_id = $1 and e.execution_id = line.parent
             )
             select id from line where parent is null",
        )
        .bind(tenant)
        .bind(id)
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?)
    }

    /// Newest first, without inputs and results.
    pub async fn list_executions(&self, tenant: &str, filter: &Filter<'_>, limit: i64) -> Result<Page<Execution>> {
        let text = page_of(
            "select execution_id, agent, version, function, status, '' as input, null as result, error, wake_at,
                    parent_id, attempts, next_seq, created_by, created_at, started_ms, finished_at,
                    coalesce(octet_length(error), 0) as bytes
             from execution
             where tenant_id = $1 and tenant_id <> '' and ($2::text is null or status = $2) and ($3::text is null or agent = $3)
               and ($4::timestamptz is null or (created_at, execution_id) < ($4, $5))
             order by created_at desc, execution_id desc limit $6 + 1",
        );
        let items = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(filter.status.map(Status::as_str))
            .bind(filter.agent)
            .bind(filter.after.map(|(time, _)| time))
            .bind(filter.after.map(|(_, id)| id))
            .bind(limit)
            .fetch_all(&mut *self.of(tenant).await?)
            .await?;
        Ok(Page::cut_by_bytes(items, limit, |last: &Execution| {
            format!("{}.{}", last.created_at.timestamp_micros(), last.execution_id)
        }))
    }

    /// The open pauses and the unfinished calls of an execution: what it waits for, by id.
    pub async fn waits_of(&self, tenant: &str, id: &str) -> Result<(Vec<String>, Vec<String>)> {
        let pauses = sqlx::query_scalar(
            "select execution_id || ':' || approval_request_id from pause
             where tenant_id = $1 and execution_id = $2 and status = 'open' order by op",
        )
        .bind(tenant)
        .bind(id)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?;
        let calls = sqlx::query_scalar(
            "select execution_id from execution
             where tenant_id = $1 and parent_id = $2 and finished_at is null order by parent_op",
        )
        .bind(tenant)
        .bind(id)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?;
        Ok((pauses, calls))
    }

    /// Stops an execution and its unfinished children for good. Its worker, if any, can write no more.
    pub async fn cancel_execution(&self, tenant: &str, id: &str, actor: &Actor<'_>) -> Result<Cancelled> {
        let done = retry(|| self.try_cancel(tenant, id, actor)).await?;
        self.bell.ring();
        Ok(done)
    }

    async fn try_cancel(&self, tenant: &str, id: &str, actor: &Actor<'_>) -> Result<Cancelled> {
        let mut tx = self.begin(tenant).await?;
        let parent: Option<Option<String>> =
            sqlx::query_scalar("select parent_id from execution where tenant_id = $1 and execution_id = $2")
                .bind(tenant)
                .bind(id)
                .fetch_optional(&mut *tx)
                .await?;
        let Some(parent) = parent else { return Ok(Cancelled::NotFound) };
        if let Some(parent) = &parent {
            wake(&mut tx, tenant, parent).await?;
        }
        let status: String = sqlx::query_scalar(
            "select status from execution where tenant_id = $1 and execution_id = $2 for no key update",
        )
        .bind(tenant)
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
        match status.parse().map_err(|why| unreadable("status", &why))? {
            Status::Cancelled => return Ok(Cancelled::Done),
            Status::Succeeded | Status::Failed => return Ok(Cancelled::AlreadyFinished),
            Status::Pending | Status::Running | Status::Waiting => {}
        }
        cancel_tree(&mut tx, tenant, &[id.to_owned()]).await?;
        audit::write(&mut tx, tenant, actor, Action::ExecutionCancelled, id, &details([])).await?;
        tx.commit().await?;
        Ok(Cancelled::Done)
    }
}

/// Counts an answer that the caller is about to bring to an execution, and makes it claimable if it waits.
///
/// Takes the row lock, and comes before the answer is written: see the first rule in `db`. The update has no condition
/// on the status, because one that did not match would not lock.
pub(super) async fn wake(tx: &mut PgConnection, tenant: &str, id: &str) -> Result<()> {
    sqlx::query(
        "update execution
         set answers = answers + 1,
             status = case status when 'waiting' then 'pending' else status end,
             wake_at = case status when 'waiting' then now() else wake_at end
         where tenant_id = $1 and execution_id = $2",
    )
    .bind(tenant)
    .bind(id)
    .execute(tx)
    .await?;
    Ok(())
}

/// Cancels these executions and everything below them that has not finished, and closes their pauses.
///
/// Looks again until nothing is left: an execution further down may have made another call before it was locked.
pub(super) async fn cancel_tree(tx: &mut PgConnection, tenant: &str, roots: &[String]) -> Result<()> {
    loop {
        let cancelled: Vec<String> = sqlx::query_scalar(
            "with recursive tree (id) as (
                 select unnest($2::text[])
                 union
                 select e.execution_id from execution e join tree on e.tenant_id = $1 and e.parent_id = tree.id
             )
             update execution
             set status = 'cancelled', wake_at = null, finished_at = now()
             where tenant_id = $1 and execution_id in (select id from tree) and finished_at is null
             returning execution_id",
        )
        .bind(tenant)
        .bind(roots)
        .fetch_all(&mut *tx)
        .await?;
        if cancelled.is_empty() {
            return Ok(());
        }
        close_pauses(tx, tenant, &cancelled).await?;
    }
}

/// Closes the open pauses of executions that will never take a decision any more.
pub(super) async fn close_pauses(tx: &mut PgConnection, tenant: &str, executions: &[String]) -> Result<()> {
    sqlx::query(
        "update pause set status = 'cancelled'
         where tenant_id = $1 and execution_id = any($2) and status = 'open'",
    )
    .bind(tenant)
    .bind(executions)
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) fn unreadable(what: &'static str, why: &impl std::fmt::Display) -> Error {
    Error::Unreadable { what, why: why.to_string() }
}

/// A time in milliseconds, as Postgres wants it.
pub(super) fn timestamp(ms: Millis) -> DateTime<Utc> {
    i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
