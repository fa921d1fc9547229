//! Server-sent events of one execution, until it has finished.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::stream::{self, Stream};
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{ErrorBody, Result};
use super::executions::{Execution, find};
use super::extract::{Json, Path};
use super::journal::{Entry, LogLine};
use crate::db::bell::Ear;
use crate::execution::Status;

/// How often to look by itself whether there is something new.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many entries and lines are read at once.
const BATCH: i64 = 100;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// What has been sent: the next entry, the last log line, the status.
struct Follower {
    app: App,
    caller: Caller,
    id: String,
    bell: Ear,
    entry: Option<i32>,
    line: Option<(i32, i32)>,
    status: Option<(Status, i32)>,
    ready: VecDeque<Event>,
    finished: bool,
}

/// One event.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described")]
struct Happening {
    /// What the next connection sends as `Last-Event-ID`.
    id: String,
    /// `status`, `entry` or `log`.
    event: String,
    /// JSON: the execution, the entry of its journal, or the line of its log.
    data: String,
}

/// Events `status`, `entry` and `log` as they happen, until the execution has finished or the key is not in force any
/// more.
#[utoipa::path(get, path = "/v1/executions/{id}/events",
    params(("id" = String, Path), ("Last-Event-ID" = Option<String>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = inline(Happening)), (status = "4XX", body = ErrorBody)))]
async fn events(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    find(&app, &caller.tenant, &id).await?;
    let (entry, line) = headers.get("last-event-id").and_then(|id| parse_id(id.to_str().ok()?)).unwrap_or_default();
    let follower = Follower {
        bell: app.db.bell().listen(),
        app,
        caller,
        id,
        entry,
        line,
        status: None,
        ready: VecDeque::new(),
        finished: false,
    };
    Ok(Sse::new(stream::unfold(follower, Follower::next)).keep_alive(KeepAlive::default()))
}

impl Follower {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((Ok(event), self));
            }
            if self.finished {
                return None;
            }
            if self.look().await.is_err() {
                // The client comes back with Last-Event-ID.
                return None;
            }
            if self.ready.is_empty() {
                self.bell.wait(LOOK_EVERY).await;
            }
        }
    }

    /// Reads what is new. The status is read first, so that nothing comes after the last one.
    async fn look(&mut self) -> Result<()> {
        self.caller.look_again(&self.app).await?;
        let tenant = &self.caller.tenant;
        let execution = find(&self.app, tenant, &self.id).await?;
        let mut full = false;
        let lines = self.app.db.logs(tenant, &self.id, self.line, BATCH).await?;
        full |= lines.next.is_some();
        for line in lines.items {
            self.line = Some((line.slice, line.line));
            self.push("log", &LogLine::from(line));
        }
        let entries = self.app.db.entries(&self.caller.tenant, &self.id, self.entry, BATCH).await?;
        full |= entries.next.is_some();
        for entry in entries.items {
            self.entry = Some(entry.seq);
            self.push("entry", &Entry::from(entry));
        }
        if !full {
            self.push_status(&execution);
        }
        Ok(())
    }

    fn push_status(&mut self, execution: &Execution) {
        let status = (execution.status, execution.attempts());
        if self.status != Some(status) {
            self.status = Some(status);
            self.push("status", execution);
        }
        self.finished = execution.status.is_finished();
    }

    fn push(&mut self, name: &str, data: &impl serde::Serialize) {
        let (slice, line) = self.line.unwrap_or((-1, -1));
        let id = format!("{}.{slice}.{line}", self.entry.unwrap_or(-1));
        let redacted = Json(data).redacted().and_then(RawValue::from_string);
        let event =
            redacted.map_err(axum::Error::new).and_then(|data| Event::default().event(name).id(id).json_data(data));
        match event {
            Ok(event) => self.ready.push_back(event),
            Err(error) => tracing::error!(%error, "an event could not be written"),
        }
    }
}

type Place = (Option<i32>, Option<(i32, i32)>);

fn parse_id(id: &str) -> Option<Place> {
    let mut numbers = id.split('.').map(str::parse::<i32>);
    let (entry, slice, line) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(((entry >= 0).then_some(entry), (slice >= 0).then_some((slice, line))))
}
