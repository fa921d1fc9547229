//! Executions: start, look, cancel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Json, Path, Query, bad_cursor, cursor_time, document, limit, raw};
use crate::db::agents::Version;
use crate::db::executions;
use crate::db::executions::{Cancelled, Filter, Idempotency, NewExecution, Started, StatusText};
use crate::db::limits::Terms;
use crate::db::usage::Full;
use crate::execution::{Blame, Failure, Status, Target, is_execution_id, is_name};
use crate::random;

/// Longest `Idempotency-Key`, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// The longest that a request with `Prefer: wait=N` waits.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// When to try again what a quota has no room for: something may have ended by then.
pub(super) const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How often such a request looks by itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(start, list)).routes(routes!(show)).routes(routes!(cancel))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = NewExecution)]
#[serde(deny_unknown_fields)]
struct NewBody {
    /// `agent.function`
    target: String,
    /// Any JSON; null if absent.
    #[schema(value_type = serde_json::Value, required = false)]
    input: Option<Box<RawValue>>,
}

/// One durable invocation of a function.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Execution {
    id: String,
    agent: String,
    function: String,
    version: i32,
    pub(super) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    input: Option<Box<RawValue>>,
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<Box<RawValue>>,
    error: Option<Fault>,
    /// Only of a single execution that is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_for: Option<WaitingFor>,
    /// The execution that called this one.
    parent: Option<String>,
    attempts: i32,
    /// How many journal entries it has.
    entries: i32,
    created_by: String,
    created_at: DateTime<Utc>,
    /// What its clocks show before the first answer.
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

/// Why an execution failed.
#[derive(Serialize, utoipa::ToSchema)]
struct Fault {
    code: String,
    message: String,
    blame: Blame,
    /// What the agent returned as its error, if it did.
    #[schema(value_type = Option<serde_json::Value>)]
    detail: Option<Box<RawValue>>,
}

/// What an execution waits for.
#[derive(Serialize, utoipa::ToSchema)]
struct WaitingFor {
    pauses: Vec<String>,
    /// Ids of executions that it called.
    calls: Vec<String>,
    /// The earliest time that it waits for.
    until: Option<DateTime<Utc>>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Executions {
    items: Vec<Execution>,
    next: Option<String>,
}

impl Execution {
    pub(super) fn attempts(&self) -> i32 {
        self.attempts
    }

    /// One that is not finished, with what it waits for.
    fn waiting(row: executions::Execution, pauses: Vec<String>, calls: Vec<String>) -> Self {
        let until = row.wake_at.filter(|_| row.status.0 == Status::Waiting);
        Self { waiting_for: Some(WaitingFor { pauses, calls, until }), ..Self::new(row) }
    }

    /// As it is in a list, without what is large.
    pub(super) fn new(row: executions::Execution) -> Self {
        let fault = |text: String| {
            let failure: Failure = serde_json::from_str(&text)
                .unwrap_or_else(|why| Failure::host("host_failure", format!("the failure cannot be read: {why}")));
            let Failure { code, message, blame, detail } = failure;
            Fault { code, message, blame, detail: detail.map(raw) }
        };
        Self {
            id: row.execution_id,
            agent: row.agent,
            function: row.function,
            version: row.version,
            status: row.status.0,
            input: (!row.input.is_empty()).then(|| raw(row.input)),
            result: row.result.map(raw),
            error: row.error.map(fault),
            waiting_for: None,
            parent: row.parent_id,
            attempts: row.attempts,
            entries: row.next_seq,
            created_by: row.created_by,
            created_at: row.created_at,
            started_at: DateTime::from_timestamp_millis(row.started_ms),
            finished_at: row.finished_at,
        }
    }
}

/// An execution in full.
pub(super) async fn find(app: &App, tenant: &str, id: &str) -> Result<Execution> {
    if !is_execution_id(id) {
        return Err(Error::no_execution());
    }
    let row = app.db.find_execution(tenant, id).await?.ok_or_else(Error::no_execution)?;
    if row.status.0.is_finished() {
        return Ok(Execution::new(row));
    }
    let (pauses, calls) = app.db.waits_of(tenant, id).await?;
    Ok(Execution::waiting(row, pauses, calls))
}

/// Starts an execution. It survives any crash from the moment of the answer.
#[utoipa::path(post, path = "/v1/executions", request_body = NewBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 128 visible ASCII characters"),
           ("Prefer" = Option<String>, Header, description = "wait=N: answer when it has finished, or after N seconds")),
    responses((status = 200, body = Execution, description = "It has finished, or the same request came before"),
              (status = 202, body = Execution), (status = "4XX", body = ErrorBody)))]
async fn start(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Body(new): Body<NewBody>,
) -> Result<Response> {
    let wait = preferred_wait(&headers)?;
    let key = idempotency_key(&headers)?;
    let target: Target = new.target.parse().map_err(|why| Error::invalid(format!("`target`: {why}")))?;
    let input = new.input.as_deref().map_or(Ok("null"), |input| document("input", input))?;
    let Begun { id, found, pending } = begin(&app, &caller, &target, input, key).await?;
    let execution = match pending.filter(|_| wait.is_zero()) {
        Some(pending) => *pending,
        None => wait_until_finished(&app, &caller.tenant, &id, wait).await?,
    };
    // Who does not ask to wait is always told the same, however fast the execution is.
    let waited = !wait.is_zero() && execution.status.is_finished();
    let status = if found || waited { StatusCode::OK } else { StatusCode::ACCEPTED };
    let mut response = (status, Json(execution)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/executions/{id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// An execution that was asked for.
pub(super) struct Begun {
    pub(super) id: String,
    /// Whether the same request had come before.
    pub(super) found: bool,
    /// It as it was the moment it was made.
    pending: Option<Box<Execution>>,
}

/// Starts an execution, or finds the one that the same request had started.
pub(super) async fn begin(
    app: &App,
    caller: &Caller,
    target: &Target,
    input: &str,
    key: Option<&str>,
) -> Result<Begun> {
    let request = Sha256::digest(format!("{target}\0{input}"));
    let idempotency = key.map(|key| Idempotency { key, request_sha256: &request });
    loop {
        let row = startable(app, caller, target, input).await?;
        if let Err(full) = room_to_start(app, caller, &row.terms).await? {
            // A request that came before started nothing now.
            let Some(same) = idempotency else { return Err(full) };
            return found(app.db.find_started(&caller.tenant, &same).await?.ok_or(full)?);
        }
        let id = random::execution_id();
        let new = NewExecution {
            tenant: &caller.tenant,
            id: &id,
            target,
            version: row.version,
            input,
            seed: random::bytes32(),
            limit_set: app.db.limit_set(&caller.tenant, &row.terms.limits()?).await?,
            idempotency,
            actor: caller.actor(),
        };
        match app.db.start_execution(&new).await? {
            Started::Created(made) => {
                let pending = made.map(|made| Box::new(Execution::waiting(just_made(&new, made), vec![], vec![])));
                return Ok(Begun { id, found: false, pending });
            }
            // Somebody has just deployed another version.
            Started::Outdated => {}
            before => return found(before),
        }
    }
}

/// An execution as it is the moment it is made.
fn just_made(new: &NewExecution<'_>, (created_at, started_ms): (DateTime<Utc>, i64)) -> executions::Execution {
    executions::Execution {
        execution_id: new.id.to_owned(),
        agent: new.target.agent.clone(),
        version: new.version,
        function: new.target.function.clone(),
        status: StatusText(Status::Pending),
        input: new.input.to_owned(),
        result: None,
        error: None,
        wake_at: None,
        parent_id: None,
        attempts: 0,
        next_seq: 0,
        created_by: new.actor.who.to_string(),
        created_at,
        started_ms,
        finished_at: None,
    }
}

/// What is answered to a start that came before.
fn found(before: Started) -> Result<Begun> {
    match before {
        Started::Found(id) => Ok(Begun { id, found: true, pending: None }),
        Started::Created(_) | Started::KeyReused | Started::Outdated => {
            let why = "this Idempotency-Key was used for another request; choose a fresh one";
            Err(Error::Conflict("idempotency_key_reused", why.into(), None))
        }
    }
}

/// Whether the quotas leave room for one more execution. If so, it is counted as started now.
async fn room_to_start(app: &App, caller: &Caller, terms: &Terms) -> Result<Result<(), Error>> {
    let quotas = terms.settings()?.quotas;
    if let Err(full) = app.db.room_to_start(&caller.tenant, &terms.usage(), &quotas).await? {
        return Ok(Err(Error::full(&full, FULL_RETRY_AFTER)));
    }
    let taken = app.starts.take(&caller.tenant, quotas.starts_per_second, Instant::now());
    Ok(taken.map_err(|wait| Error::full(&Full::too_fast(&quotas), wait)))
}

/// The version that an execution of `target` starts on, if the function takes this input.
async fn startable(app: &App, caller: &Caller, target: &Target, input: &str) -> Result<Arc<Version>> {
    let row = app.db.active_version(&caller.tenant, &target.agent).await?;
    let row = row.ok_or_else(|| Error::no_agent(&target.agent))?;
    let functions = app.functions.of(&caller.tenant, &row)?;
    let Some(place) = functions.iter().position(|function| function.name == target.function) else {
        let names: Vec<&str> = functions.iter().map(|function| function.name.as_str()).collect();
        let why =
            format!("agent {:?} has no function {:?}; it has {}", target.agent, target.function, names.join(", "));
        return Err(Error::NotFound("function_not_found", why));
    };
    if functions[place].has_schema() {
        let input = input.to_owned();
        // This may take a second, which no other request must wait.
        let checked = tokio::task::spawn_blocking(move || functions[place].check(&input)).await;
        let checked = checked.map_err(|_| Error::Internal)?;
        checked.map_err(|why| Error::Unprocessable("invalid_input", format!("`input`: {why}"), Blame::Client))?;
    }
    Ok(row)
}

pub(super) fn preferred_wait(headers: &HeaderMap) -> Result<Duration> {
    let mut wait = Duration::ZERO;
    for value in headers.get_all("prefer") {
        let preferences = value.to_str().unwrap_or_default().split(',');
        for seconds in preferences.filter_map(|preference| preference.trim().strip_prefix("wait=")) {
            let seconds = seconds.parse().map_err(|_| Error::invalid("`Prefer: wait=N`: N is a number of seconds"))?;
            wait = Duration::from_secs(seconds).min(WAIT_MAX);
        }
    }
    Ok(wait)
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let (Some(key), more) = (keys.next(), keys.next()) else { return Ok(None) };
    let key = key.to_str().unwrap_or_default();
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    if fits && more.is_none() {
        return Ok(Some(key));
    }
    let bound = IDEMPOTENCY_KEY_BYTES_MAX;
    Err(Error::invalid(format!("`Idempotency-Key`: one, 1 to {bound} visible ASCII characters")))
}

pub(super) async fn wait_until_finished(app: &App, tenant: &str, id: &str, wait: Duration) -> Result<Execution> {
    let deadline = tokio::time::Instant::now() + wait;
    let mut bell = app.db.bell().listen();
    loop {
        let execution = find(app, tenant, id).await?;
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if execution.status.is_finished() || left.is_zero() {
            return Ok(execution);
        }
        bell.wait(left.min(LOOK_EVERY)).await;
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    status: Option<Status>,
    agent: Option<String>,
    /// 1 to 100; 50 if absent.
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Executions, newest first, without input.
#[utoipa::path(get, path = "/v1/executions", params(ListQuery),
    responses((status = 200, body = Executions), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, caller: Caller, Query(query): Query<ListQuery>) -> Result<Json<Executions>> {
    if query.agent.as_deref().is_some_and(|agent| !is_name(agent)) {
        return Err(Error::invalid("`agent`: not the name of an agent"));
    }
    let after = query.after.as_deref().map(|after| {
        let (micros, id) = after.split_once('.').ok_or_else(bad_cursor)?;
        if is_execution_id(id) { Ok((cursor_time(micros)?, id)) } else { Err(bad_cursor()) }
    });
    let filter = Filter { status: query.status, agent: query.agent.as_deref(), after: after.transpose()? };
    let page = app.db.list_executions(&caller.tenant, &filter, limit(query.limit)?).await?;
    Ok(Json(Executions { items: page.items.into_iter().map(Execution::new).collect(), next: page.next }))
}

/// An execution.
#[utoipa::path(get, path = "/v1/executions/{id}", params(("id" = String, Path)),
    responses((status = 200, body = Execution), (status = "4XX", body = ErrorBody)))]
async fn show(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<Execution>> {
    Ok(Json(find(&app, &caller.tenant, &id).await?))
}

/// Stops an execution and its unfinished children for good.
#[utoipa::path(post, path = "/v1/executions/{id}/cancel", params(("id" = String, Path)),
    responses((status = 200, body = Execution), (status = "4XX", body = ErrorBody)))]
async fn cancel(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<Execution>> {
    end(&app, &caller, &id).await?;
    Ok(Json(find(&app, &caller.tenant, &id).await?))
}

/// Cancels an execution.
pub(super) async fn end(app: &App, caller: &Caller, id: &str) -> Result<()> {
    if !is_execution_id(id) {
        return Err(Error::no_execution());
    }
    match app.db.cancel_execution(&caller.tenant, id, &caller.actor()).await? {
        Cancelled::Done => Ok(()),
        Cancelled::NotFound => Err(Error::no_execution()),
        Cancelled::AlreadyFinished => {
            let why = "this execution has finished; there is nothing to cancel";
            Err(Error::Conflict("already_finished", why.into(), None))
        }
    }
}
