//! Pauses and their decisions.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::claims::Claim;
use super::executions::timestamp;
use super::{Db, Page, Result, audit};
use crate::audit::{Action, Actor, details};
use crate::decision::{Form, Unfit};
use crate::execution::pause_id;
use crate::journal::Millis;

/// An ask for a human decision, as its row has it, with the agent that asks.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Pause {
    pub execution_id: String,
    pub approval_request_id: String,
    pub agent: String,
    pub function: String,
    pub status: String,
    pub approval_request_url: Option<String>,
    pub title: Option<String>,
    /// JSON text, as is `response_schema`.
    pub payload: Option<String>,
    pub response_schema: Option<String>,
    pub choices: Vec<String>,
    pub opened_at: Option<DateTime<Utc>>,
    pub expires_at: Option<DateTime<Utc>>,
    pub decision: Option<String>,
    pub feedback: Option<String>,
    /// JSON text.
    pub response: Option<String>,
    pub reviewer: Option<String>,
    pub via: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// A pause to be opened. Its fields are within the bounds of the contract.
#[derive(Debug, Clone)]
pub struct NewPause {
    pub op: u64,
    pub approval_request_id: String,
    pub approval_request_url: Option<String>,
    pub title: Option<String>,
    pub payload: Option<String>,
    pub form: Form,
    /// Whether it takes a pause that is open already as it is, instead of giving it its own form.
    pub reconnects: bool,
    pub opened: Millis,
    pub expires: Option<Millis>,
}

/// The pauses that wait.
#[derive(Debug, sqlx::FromRow)]
pub struct Open {
    pub count: i64,
    pub oldest_seconds: f64,
}

/// Which pauses a list shows.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    pub status: Option<&'a str>,
    pub execution: Option<&'a str>,
    pub approval_request_id: Option<&'a str>,
    /// The last one of the page before: when it was opened, and its ids.
    pub after: Option<(DateTime<Utc>, &'a str, &'a str)>,
}

const COLUMNS: &str = "p.execution_id, p.approval_request_id, e.agent, e.function, p.status, p.approval_request_url, \
    p.title, p.payload, p.response_schema, p.choices, p.opened_at, p.expires_at, p.decision, p.feedback, p.response, \
    p.reviewer, p.via, p.decided_at";

impl Db {
    /// How many pauses of all tenants wait for a decision, and how long the oldest has.
    pub async fn open_pauses(&self) -> Result<Open> {
        Ok(sqlx::query_as(
            "select count(*) as count, coalesce(extract(epoch from now() - min(opened_at)), 0)::float8 as oldest_seconds
             from pause where status = 'open'",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    pub async fn find_pause(&self, tenant: &str, execution: &str, approval_request_id: &str) -> Result<Option<Pause>> {
        let mut connection = self.pool.acquire().await?;
        find(&mut connection, tenant, execution, approval_request_id).await
    }

    /// Oldest first; without a status, of every status.
    pub async fn list_pauses(&self, tenant: &str, filter: &Filter<'_>, limit: i64) -> Result<Page<Pause>> {
        let text = format!(
            "select {COLUMNS} from pause p join execution e using (tenant_id, execution_id)
             where tenant_id = $1 and ($2::text is null or p.status = $2) and ($3::text is null or execution_id = $3)
               and ($4::text is null or p.approval_request_id = $4)
               and ($5::timestamptz is null
                    or (coalesce(p.opened_at, p.decided_at), execution_id, p.approval_request_id) > ($5, $6, $7))
             order by coalesce(p.opened_at, p.decided_at), execution_id, p.approval_request_id limit $8 + 1"
        );
        let items = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(filter.status)
            .bind(filter.execution)
            .bind(filter.approval_request_id)
            .bind(filter.after.map(|(time, _, _)| time))
            .bind(filter.after.map(|(_, execution, _)| execution))
            .bind(filter.after.map(|(_, _, name)| name))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        Ok(Page::cut(items, limit, |last: &Pause| {
            let at = last.opened_at.or(last.decided_at).unwrap_or_default();
            format!("{}.{}.{}", at.timestamp_micros(), last.execution_id, last.approval_request_id)
        }))
    }
}

pub(super) async fn find(
    connection: &mut PgConnection,
    tenant: &str,
    execution: &str,
    approval_request_id: &str,
) -> Result<Option<Pause>> {
    let text = format!(
        "select {COLUMNS} from pause p join execution e using (tenant_id, execution_id)
         where tenant_id = $1 and execution_id = $2 and p.approval_request_id = $3"
    );
    Ok(sqlx::query_as(sqlx::AssertSqlSafe(text))
        .bind(tenant)
        .bind(execution)
        .bind(approval_request_id)
        .fetch_optional(connection)
        .await?)
}

/// Opens pauses of an execution whose row lock the caller holds. Safe to repeat.
///
/// A decision that came early decides its pause now, if it fits; if not, it is dropped and the pause is open. A pause
/// that was withdrawn and is asked for again is open again. One that a mere wait has opened gets the form of the pause.
pub(super) async fn open_pauses(tx: &mut PgConnection, claim: &Claim, pauses: &[NewPause]) -> Result<()> {
    // A pause before a mere wait for it, so that an early decision is held against the form of the pause.
    let (waits, pauses): (Vec<_>, Vec<_>) = pauses.iter().partition(|pause| pause.reconnects);
    for pause in pauses.into_iter().chain(waits) {
        let early: Option<(String, Option<String>)> = sqlx::query_as(
            "insert into pause as p (tenant_id, execution_id, approval_request_id, op, status, approval_request_url,
                                     title, payload, response_schema, choices, opened_at, expires_at)
             values ($1, $2, $3, $4, 'open', $5, $6, $7, $8, $9, $10, $11)
             on conflict (tenant_id, execution_id, approval_request_id) do update
             set op = excluded.op, status = case p.status when 'early' then 'decided' when 'cancelled' then 'open'
                                                          else p.status end,
                 approval_request_url = excluded.approval_request_url, title = excluded.title,
                 payload = excluded.payload, response_schema = excluded.response_schema, choices = excluded.choices,
                 opened_at = excluded.opened_at, expires_at = excluded.expires_at
             where p.status in ('early', 'cancelled') or (p.status = 'open' and p.op <> excluded.op and not $12)
             returning p.decision, p.response",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(&pause.approval_request_id)
        .bind(pause.op as i64)
        .bind(&pause.approval_request_url)
        .bind(&pause.title)
        .bind(&pause.payload)
        .bind(&pause.form.response_schema)
        .bind(&pause.form.choices)
        .bind(timestamp(pause.opened))
        .bind(pause.expires.map(timestamp))
        .bind(pause.reconnects)
        .fetch_optional(&mut *tx)
        .await?
        .and_then(|(decision, response): (Option<String>, Option<String>)| Some((decision?, response)));
        if let Some((decision, response)) = early
            && check(&pause.form, &decision, response.as_deref()).await.is_err()
        {
            drop_early(tx, claim, &pause.approval_request_id, &decision).await?;
        }
    }
    Ok(())
}

/// Holds a decision against its form. Reading a schema and checking a response may take a second, in which nobody else
/// should have to wait.
pub(super) async fn check(form: &Form, decision: &str, response: Option<&str>) -> Result<(), Unfit> {
    if form.response_schema.is_none() {
        return form.check(decision, response);
    }
    let (form, decision, response) = (form.clone(), decision.to_owned(), response.map(ToOwned::to_owned));
    let checked = tokio::task::spawn_blocking(move || form.check(&decision, response.as_deref()));
    checked.await.unwrap_or_else(|_| Err(Unfit::BadResponse("it could not be checked".into())))
}

/// Opens a pause whose early decision does not fit it, and forgets the delivery, so that its sender, who sends it again,
/// is told why.
async fn drop_early(tx: &mut PgConnection, claim: &Claim, approval_request_id: &str, decision: &str) -> Result<()> {
    sqlx::query(
        "with forgotten as (
             delete from webhook_delivery
             where tenant_id = $1 and execution_id = $2 and approval_request_id = $3
         )
         update pause set status = 'open', decision = null, feedback = null, response = null, reviewer = null,
                          via = null, decided_at = null
         where tenant_id = $1 and execution_id = $2 and approval_request_id = $3",
    )
    .bind(&claim.tenant)
    .bind(&claim.execution)
    .bind(approval_request_id)
    .execute(&mut *tx)
    .await?;
    let (actor, subject) = (Actor::execution(&claim.execution), pause_id(&claim.execution, approval_request_id));
    let details = details([("decision", decision.into())]);
    audit::write(tx, &claim.tenant, &actor, Action::PauseDecisionDropped, &subject, &details).await
}

/// Closes pauses that the guest has given up, unless they are decided.
pub(super) async fn withdraw_pauses(tx: &mut PgConnection, claim: &Claim, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update pause set status = 'cancelled'
         where tenant_id = $1 and execution_id = $2 and approval_request_id = any($3) and status = 'open'",
    )
    .bind(&claim.tenant)
    .bind(&claim.execution)
    .bind(names)
    .execute(tx)
    .await?;
    Ok(())
}
