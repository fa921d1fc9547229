//! Executions as AgentField's clients see them: start, wait, look, cancel.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::JSON_BODY_BYTES_MAX;
use super::super::auth::Caller;
use super::super::executions::{WAIT_MAX, begin, end, idempotency_key, preferred_wait, wait_until_finished};
use super::super::extract::{self, Json, Path, document, raw};
use super::approvals::status;
use super::{AgentFieldError, App, Bearer, Error, In, Result, body, time};
use crate::api_key::Action;
use crate::db::executions;
use crate::execution::{Failure, Target, is_execution_id};

/// What its clients call every function of ours.
const KIND: &str = "reasoner";

/// What to run it with. Fields that are not named here are passed over.
#[derive(Deserialize, utoipa::ToSchema)]
struct ExecuteRequest {
    /// Any JSON; an empty object if absent.
    #[schema(value_type = Option<serde_json::Value>)]
    input: Option<Box<RawValue>>,
    /// Where to send the result. Not taken: the answer says so.
    #[schema(value_type = Option<serde_json::Value>)]
    webhook: Option<IgnoredAny>,
}

/// An execution that has been accepted.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Accepted {
    execution_id: String,
    /// The execution that a client started, of all that followed from it. Here: the same.
    run_id: String,
    workflow_id: String,
    /// `queued`; or where it stands, if the same request came before.
    status: &'static str,
    target: String,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: String,
    enqueued_at: String,
    webhook_registered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_error: Option<&'static str>,
}

/// Where an execution stands.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ExecutionStatus {
    execution_id: String,
    run_id: String,
    /// `pending`, `running`, `waiting`, `succeeded`, `failed` or `cancelled`.
    status: &'static str,
    target: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    result: Option<Box<RawValue>>,
    /// Why it failed, for people; `error_message` is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    /// Why it failed, for programs: an `error.code` of an execution in docs/api.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_category: Option<String>,
    /// What the agent returned as its error, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    error_details: Option<Box<RawValue>>,
    started_at: String,
    /// When it finished; `finished_at` is the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    webhook_registered: bool,
    /// The open pause; the oldest, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_request_url: Option<String>,
}

impl ExecutionStatus {
    fn new(row: executions::Execution, run_id: String) -> Self {
        let failure = row.error.map(|text| {
            serde_json::from_str::<Failure>(&text)
                .unwrap_or_else(|why| Failure::host("host_failure", format!("the failure cannot be read: {why}")))
        });
        let message = failure.as_ref().map(|failure| failure.message.clone());
        let finished = row.finished_at.map(time);
        Self {
            execution_id: row.execution_id,
            run_id,
            status: row.status.0.as_str(),
            target: format!("{}.{}", row.agent, row.function),
            kind: KIND,
            result: row.result.map(raw),
            error: message.clone(),
            error_message: message,
            error_category: failure.as_ref().map(|failure| failure.code.clone()),
            error_details: failure.and_then(|failure| failure.detail).map(raw),
            started_at: time(row.created_at),
            completed_at: finished.clone(),
            finished_at: finished,
            duration_ms: row.finished_at.map(|finished| (finished - row.created_at).num_milliseconds()),
            webhook_registered: false,
            approval_request_id: None,
            approval_status: None,
            approval_request_url: None,
        }
    }
}

/// Starts an execution.
#[utoipa::path(post, path = "/api/v1/execute/async/{target}", tag = "agentfield",
    params(("target" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = ExecuteRequest,
    responses((status = 202, body = Accepted), (status = "4XX", body = AgentFieldError)))]
pub(super) async fn execute_async(
    State(app): State<App>,
    Bearer(caller): Bearer,
    In(Path(target)): In<Path<String>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response> {
    let request: ExecuteRequest = body(request).await?;
    let (id, found) = start(&app, &caller, &target, &headers, &request).await?;
    let row = app.db.find_execution(&caller.tenant, &id).await?.ok_or_else(Error::no_execution)?;
    let created_at = time(row.created_at);
    let accepted = Accepted {
        execution_id: id.clone(),
        run_id: id.clone(),
        workflow_id: id.clone(),
        status: if found { row.status.0.as_str() } else { "queued" },
        target,
        kind: KIND,
        created_at: created_at.clone(),
        enqueued_at: created_at,
        webhook_registered: false,
        webhook_error: request.webhook.map(|_| "no webhooks are sent here; ask GET /api/v1/executions/{execution_id}"),
    };
    Ok(respond(StatusCode::ACCEPTED, &id, &id, Json(accepted)))
}

/// Starts an execution and waits until it has finished, for a minute at the most.
#[utoipa::path(post, path = "/api/v1/execute/{target}", tag = "agentfield",
    params(("target" = String, Path), ("Idempotency-Key" = Option<String>, Header),
           ("Prefer" = Option<String>, Header, description = "wait=N: for N seconds at the most, not 60")),
    request_body = ExecuteRequest,
    responses((status = 200, body = ExecutionStatus, description = "It has succeeded or was cancelled"),
              (status = 202, body = ExecutionStatus, description = "It goes on, or waits for somebody"),
              (status = 502, body = ExecutionStatus, description = "It has failed"),
              (status = "4XX", body = AgentFieldError)))]
pub(super) async fn execute(
    State(app): State<App>,
    Bearer(caller): Bearer,
    In(Path(target)): In<Path<String>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response> {
    let wait = if headers.contains_key("prefer") { preferred_wait(&headers)? } else { WAIT_MAX };
    let (id, _) = start(&app, &caller, &target, &headers, &body(request).await?).await?;
    wait_until_finished(&app, &caller.tenant, &id, wait).await?;
    let found = find(&app, &caller, &id).await?;
    let code = match found.status {
        "failed" => StatusCode::BAD_GATEWAY,
        "succeeded" | "cancelled" => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    let run_id = found.run_id.clone();
    Ok(respond(code, &id, &run_id, Json(found)))
}

/// An execution.
#[utoipa::path(get, path = "/api/v1/executions/{execution_id}", tag = "agentfield",
    params(("execution_id" = String, Path)),
    responses((status = 200, body = ExecutionStatus), (status = "4XX", body = AgentFieldError)))]
pub(super) async fn show(
    State(app): State<App>,
    Bearer(caller): Bearer,
    In(Path(id)): In<Path<String>>,
) -> Result<Json<ExecutionStatus>> {
    Ok(Json(find(&app, &caller, &id).await?))
}

/// An execution that was stopped.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Stopped {
    execution_id: String,
    previous_status: &'static str,
    /// `cancelled`
    status: &'static str,
    cancelled_at: Option<String>,
}

/// Stops an execution and its unfinished children for good.
#[utoipa::path(post, path = "/api/v1/executions/{execution_id}/cancel", tag = "agentfield",
    params(("execution_id" = String, Path)),
    responses((status = 200, body = Stopped), (status = "4XX", body = AgentFieldError)))]
pub(super) async fn cancel(
    State(app): State<App>,
    Bearer(caller): Bearer,
    In(Path(id)): In<Path<String>>,
    request: Request,
) -> Result<Json<Stopped>> {
    let reason = extract::bytes(request, extract::JSON, JSON_BODY_BYTES_MAX).await?;
    if !reason.is_empty() {
        extract::parse_any::<IgnoredAny>(&reason)?;
    }
    let before = row(&app, &caller, &id).await?;
    end(&app, &caller, &id).await?;
    let after = row(&app, &caller, &id).await?;
    Ok(Json(Stopped {
        execution_id: id,
        previous_status: before.status.0.as_str(),
        status: after.status.0.as_str(),
        cancelled_at: after.finished_at.map(time),
    }))
}

/// The id of the execution, and whether the same request had come before.
async fn start(
    app: &App,
    caller: &Caller,
    target: &str,
    headers: &HeaderMap,
    request: &ExecuteRequest,
) -> Result<(String, bool), Error> {
    let target: Target = target.parse().map_err(|why| Error::invalid(format!("the target: {why}")))?;
    let input = request.input.as_deref().map_or(Ok("{}"), |input| document("input", input))?;
    let begun = begin(app, caller, &target, input, idempotency_key(headers)?).await?;
    Ok((begun.id, begun.found))
}

async fn row(app: &App, caller: &Caller, id: &str) -> Result<executions::Execution, Error> {
    if !is_execution_id(id) {
        return Err(Error::no_execution());
    }
    app.db.find_execution(&caller.tenant, id).await?.ok_or_else(Error::no_execution)
}

async fn find(app: &App, caller: &Caller, id: &str) -> Result<ExecutionStatus, Error> {
    let row = row(app, caller, id).await?;
    let run_id = match row.parent_id {
        None => row.execution_id.clone(),
        Some(_) => app.db.root_of(&caller.tenant, id).await?.ok_or_else(Error::no_execution)?,
    };
    let may_pause = !row.status.0.is_finished() && caller.may(Action::SeePauses).is_ok();
    let mut found = ExecutionStatus::new(row, run_id);
    if may_pause && let Some(pause) = first_open(app, &caller.tenant, id).await? {
        found.approval_status = Some(status(&pause).to_owned());
        found.approval_request_id = Some(pause.approval_request_id);
        found.approval_request_url = pause.approval_request_url;
    }
    Ok(found)
}

/// An answer with the headers that some of its clients look at instead.
fn respond(code: StatusCode, id: &str, run_id: &str, body: impl IntoResponse) -> Response {
    let mut response = (code, body).into_response();
    for (name, value) in [("x-execution-id", id), ("x-run-id", run_id)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The first of an execution's open pauses, in the order of asking.
async fn first_open(app: &App, tenant: &str, execution: &str) -> Result<Option<crate::db::pauses::Pause>, Error> {
    let open = app.db.open_of(tenant, execution, 1).await?;
    let Some(name) = open.first() else { return Ok(None) };
    Ok(app.db.find_pause(tenant, execution, name).await?)
}
