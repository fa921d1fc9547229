//! What an execution asked, was told, and printed.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::executions::find;
use super::extract::{Json, Paging, Path, Query, bad_cursor, cursor_number, limit, raw};
use crate::db;
use crate::execution::hex;
use crate::limits::Limits;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(journal)).routes(routes!(logs))
}

/// One answered ask.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = JournalEntry)]
pub(super) struct Entry {
    pub(super) seq: i32,
    /// Which ask this answers, in the order of asking.
    op: i64,
    #[schema(value_type = serde_json::Value)]
    ask: Box<RawValue>,
    #[schema(value_type = serde_json::Value)]
    answer: Box<RawValue>,
    /// What the agent's clocks show from this answer on.
    at: Option<DateTime<Utc>>,
}

impl From<db::entries::EntryRow> for Entry {
    fn from(row: db::entries::EntryRow) -> Self {
        Self {
            seq: row.seq,
            op: row.op,
            ask: raw(row.ask),
            answer: raw(row.answer),
            at: DateTime::from_timestamp_millis(row.at_ms),
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct Journal {
    /// Where the agent's random numbers come from: 64 hexadecimal digits. Only here, for who replays the journal.
    seed: String,
    /// What the execution was started with, by the names of docs/limits.md.
    #[schema(value_type = Object)]
    limits: Limits,
    items: Vec<Entry>,
    next: Option<String>,
}

/// What an execution asked and was told, in the order of the answers.
#[utoipa::path(get, path = "/v1/executions/{id}/journal", params(("id" = String, Path), Paging),
    responses((status = 200, body = Journal), (status = "4XX", body = ErrorBody)))]
async fn journal(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Journal>> {
    find(&app, &caller.tenant, &id).await?;
    let after = paging.after.as_deref().map(cursor_number).transpose()?;
    let page = app.db.entries(&caller.tenant, &id, after, limit(paging.limit)?).await?;
    let seed = app.db.seed(&caller.tenant, &id).await?.ok_or_else(Error::no_execution)?;
    let limits = app.db.limits_of(&caller.tenant, &id).await?.ok_or_else(Error::no_execution)?;
    let items = page.items.into_iter().map(Into::into).collect();
    Ok(Json(Journal { seed: hex(&seed), limits, items, next: page.next }))
}

/// A line that an agent printed.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct LogLine {
    /// How many answers it had been given before.
    pub(super) slice: i32,
    pub(super) line: i32,
    /// `stdout` or `stderr`.
    stream: String,
    text: String,
}

impl From<db::logs::LogLine> for LogLine {
    fn from(row: db::logs::LogLine) -> Self {
        Self { slice: row.slice, line: row.line, stream: row.stream, text: row.text }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct Logs {
    items: Vec<LogLine>,
    next: Option<String>,
}

/// What an execution printed.
#[utoipa::path(get, path = "/v1/executions/{id}/logs", params(("id" = String, Path), Paging),
    responses((status = 200, body = Logs), (status = "4XX", body = ErrorBody)))]
async fn logs(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Logs>> {
    find(&app, &caller.tenant, &id).await?;
    let after = paging.after.as_deref().map(|after| -> Result<_> {
        let (slice, line) = after.split_once('.').ok_or_else(bad_cursor)?;
        Ok((cursor_number(slice)?, cursor_number(line)?))
    });
    let page = app.db.logs(&caller.tenant, &id, after.transpose()?, limit(paging.limit)?).await?;
    Ok(Json(Logs { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}
