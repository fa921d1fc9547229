//! The audit log: page by page, and whole.

use std::io;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::stream;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::{Query, bad_cursor, limit};
use crate::audit::{Action, Entry};
use crate::db;
use crate::db::audit::{Filter, Others, SEAL_MAX};

/// How often one request seals what is not sealed yet, at the most: 10,000 entries. What is left is sealed soon after.
const SEALS_MAX: usize = 20;

/// How many entries of an export are held at once.
const EXPORT_PAGE: i64 = 500;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Entries {
    items: Vec<Entry>,
    next: Option<String>,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only this: `pause.decided`, `key.created` …
    action: Option<String>,
    /// Only what happened at this time or later.
    since: Option<DateTime<Utc>>,
    /// 1 to 100; 50 if absent.
    limit: Option<i64>,
    /// The `next` of the page before, or the `seq` of any entry.
    after: Option<String>,
}

/// Who did what, oldest first.
#[utoipa::path(get, path = "/v1/audit", params(ListQuery),
    responses((status = 200, body = Entries), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, caller: Caller, Query(query): Query<ListQuery>) -> Result<Json<Entries>> {
    let action = query.action.as_deref().map(|name| Action::from_name(name).ok_or_else(no_action)).transpose()?;
    if query.since.is_some_and(|since| since < DateTime::UNIX_EPOCH) {
        return Err(Error::invalid("`since` is a time after 1970"));
    }
    let after = query.after.as_deref().map(|after| {
        let seq = Some(after).filter(|seq| seq.len() <= 18 && seq.bytes().all(|b| b.is_ascii_digit()));
        seq.and_then(|seq| seq.parse().ok()).ok_or_else(bad_cursor)
    });
    let after = after.transpose()?.unwrap_or(0);
    let (filter, limit) = (Filter { action, since: query.since, after }, limit(query.limit)?);
    seal(&app, &caller.tenant).await?;
    let page = app.db.list_audit(&caller.tenant, &filter, limit).await?;
    Ok(Json(Entries { items: page.items, next: page.next }))
}

/// The whole log, one entry a line, oldest first: what `countersign audit verify` reads.
#[utoipa::path(get, path = "/v1/audit/export",
    responses((status = 200, content_type = "application/x-ndjson", body = String), (status = "4XX", body = ErrorBody)))]
async fn export(State(app): State<App>, caller: Caller) -> Result<Response> {
    seal(&app, &caller.tenant).await?;
    // What is sealed meanwhile is left out, or an export from a busy host would never end.
    let until = app.db.sealed(&caller.tenant).await?;
    let lines = stream::try_unfold(0, move |after| {
        let (db, tenant) = (app.db.clone(), caller.tenant.clone());
        async move { lines(&db, &tenant, after, until).await }
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

/// The entries after `after`, as lines, and the last of them. An error ends the connection before the body is whole, so
/// that nobody takes a part of the log for all of it.
async fn lines(db: &db::Db, tenant: &str, after: i64, until: i64) -> io::Result<Option<(Bytes, i64)>> {
    let limit = (until - after).min(EXPORT_PAGE);
    if limit <= 0 {
        return Ok(None);
    }
    let filter = Filter { after, ..Filter::default() };
    let page = db.list_audit(tenant, &filter, limit).await.map_err(|error| {
        tracing::warn!(%error, "an export of the audit log was broken off");
        io::Error::other(error)
    })?;
    let mut text = Vec::new();
    for entry in &page.items {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    Ok(page.items.last().map(|last| (text.into(), last.seq.cast_signed())))
}

/// Seals what was done before this request, so that it sees all of it.
async fn seal(app: &App, tenant: &str) -> Result<()> {
    for _ in 0..SEALS_MAX {
        if app.db.seal(tenant, Others::Wait).await?.is_none_or(|count| count < SEAL_MAX) {
            break;
        }
    }
    Ok(())
}

fn no_action() -> Error {
    let names: Vec<&str> = Action::ALL.into_iter().map(Action::as_str).collect();
    Error::invalid(format!("`action` is one of {}", names.join(", ")))
}
