//! The inbox: pauses, and decisions by API key.

use std::time::{Duration, Instant};

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Json, Path, Query, bad_cursor, cursor_time, document, limit, raw, text};
use crate::approval::{Policy, is_reviewer};
use crate::db::asked::NotAsked;
use crate::db::decisions::{Decided, NewDecision};
use crate::db::pauses::{self, Filter};
use crate::db::votes::{self};
use crate::decision::{CHOICE_BYTES_MAX, FEEDBACK_BYTES_MAX};
use crate::execution::{Blame, is_approval_request_id, is_execution_id, pause_id, split_pause_id};
use crate::metrics;

/// The longest that a request waits for a decision, and how often it looks by itself.
const WAIT_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(decide))
}

/// An ask for a human decision.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Pause {
    /// `{execution}:{approval_request_id}`
    id: String,
    execution: String,
    agent: String,
    function: String,
    approval_request_id: String,
    approval_request_url: Option<String>,
    title: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Box<RawValue>>,
    #[schema(value_type = Option<serde_json::Value>)]
    response_schema: Option<Box<RawValue>>,
    choices: Vec<String>,
    /// The choices that need feedback.
    feedback_required: Vec<String>,
    /// Whether the reviewer may change the payload, and send it as the response.
    editable: bool,
    /// What is decided if nobody decides in time; if there is none, the agent is told `expired`.
    default_decision: Option<String>,
    /// Who decides, and what it takes; if there is none, the first decision of whoever may decide.
    policy: Option<Policy>,
    /// The stage of the policy that it is at, from 0.
    stage: i32,
    /// Who may decide at this stage: reviewers by name, groups with an `@` before it. Empty: whoever may decide.
    asked: Vec<String>,
    /// What each reviewer decided, oldest first, if there is a policy.
    votes: Vec<Vote>,
    /// `early`, `open`, `decided`, `expired` or `cancelled`.
    status: String,
    decision: Option<Decision>,
    opened_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
}

/// What was decided, and by whom.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Decision {
    decision: String,
    feedback: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    response: Option<Box<RawValue>>,
    reviewer: Option<String>,
    /// Whether `reviewer` is only what the sender of a signed webhook said.
    claimed: bool,
    /// `key:{id}`, `webhook:{webhook-id}` or `link:{id}`; none if the time was over.
    via: Option<String>,
    decided_at: Option<DateTime<Utc>>,
}

/// What one reviewer decided, of several who are asked.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Vote {
    reviewer: String,
    /// Whether `reviewer` is only what the sender of a signed webhook said.
    claimed: bool,
    /// The stage at which it counted, from 0.
    stage: i32,
    decision: String,
    feedback: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    response: Option<Box<RawValue>>,
    /// As in a decision.
    via: String,
    voted_at: DateTime<Utc>,
}

impl From<votes::Vote> for Vote {
    fn from(row: votes::Vote) -> Self {
        Self {
            reviewer: row.reviewer,
            claimed: row.claimed,
            stage: row.stage,
            decision: row.decision,
            feedback: row.feedback,
            response: row.response.map(raw),
            via: row.via,
            voted_at: row.voted_at,
        }
    }
}

impl Pause {
    pub(super) fn execution(&self) -> &str {
        &self.execution
    }

    /// Whether it still takes decisions.
    pub(super) fn is_open(&self) -> bool {
        self.status == "open"
    }

    /// What was decided, if it is.
    pub(super) fn decided(&self) -> Option<&str> {
        self.decision.as_ref().map(|decision| decision.decision.as_str())
    }
}

impl From<pauses::Pause> for Pause {
    fn from(row: pauses::Pause) -> Self {
        let decision = row.decision.map(|decision| Decision {
            decision,
            feedback: row.feedback,
            response: row.response.map(raw),
            reviewer: row.reviewer,
            claimed: row.claimed,
            via: row.via,
            decided_at: row.decided_at,
        });
        // What it cannot be read as is no policy: the database holds what this host or an older one has written.
        let policy = row.policy.and_then(|policy| serde_json::from_str(&policy).ok());
        Self {
            id: pause_id(&row.execution_id, &row.approval_request_id),
            execution: row.execution_id,
            agent: row.agent,
            function: row.function,
            approval_request_id: row.approval_request_id,
            approval_request_url: row.approval_request_url,
            title: row.title,
            payload: row.payload.map(raw),
            response_schema: row.response_schema.map(raw),
            choices: row.choices,
            feedback_required: row.feedback_required,
            editable: row.editable,
            default_decision: row.default_decision,
            policy,
            stage: row.stage,
            asked: row.asked,
            votes: row.votes.into_iter().map(Into::into).collect(),
            status: row.status,
            decision,
            opened_at: row.opened_at,
            expires_at: row.expires_at,
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct Pauses {
    items: Vec<Pause>,
    next: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum PauseStatus {
    Early,
    Open,
    Decided,
    Expired,
    Cancelled,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[param(inline)]
    status: Option<PauseStatus>,
    execution: Option<String>,
    /// Only those at which this reviewer is asked, by name or as one of a group, or whoever may decide.
    reviewer: Option<String>,
    /// 1 to 100; 50 if absent.
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Pauses, oldest first.
#[utoipa::path(get, path = "/v1/pauses", params(ListQuery),
    responses((status = 200, body = Pauses), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, caller: Caller, Query(query): Query<ListQuery>) -> Result<Json<Pauses>> {
    if query.execution.as_deref().is_some_and(|id| !is_execution_id(id)) {
        return Err(Error::no_execution());
    }
    let status = query.status.map(|status| match status {
        PauseStatus::Early => "early",
        PauseStatus::Open => "open",
        PauseStatus::Decided => "decided",
        PauseStatus::Expired => "expired",
        PauseStatus::Cancelled => "cancelled",
    });
    let after = query.after.as_deref().map(|after| {
        let (micros, rest) = after.split_once('.').ok_or_else(bad_cursor)?;
        let (execution, name) = rest.split_once('.').ok_or_else(bad_cursor)?;
        let is_pause = is_execution_id(execution) && is_approval_request_id(name);
        if is_pause { Ok((cursor_time(micros)?, execution, name)) } else { Err(bad_cursor()) }
    });
    let reviewer = query.reviewer.as_deref();
    if reviewer.is_some_and(|reviewer| !is_reviewer(reviewer)) {
        return Err(Error::invalid("`reviewer` is no name of a reviewer"));
    }
    let execution = query.execution.as_deref();
    let filter = Filter { status, execution, reviewer, after: after.transpose()? };
    let page = app.db.list_pauses(&caller.tenant, &filter, limit(query.limit)?).await?;
    Ok(Json(Pauses { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    /// Answer when it is no longer open, or after so many seconds; cut to 60.
    wait: Option<u64>,
}

/// A pause.
#[utoipa::path(get, path = "/v1/pauses/{id}", params(("id" = String, Path), ShowQuery),
    responses((status = 200, body = Pause), (status = "4XX", body = ErrorBody)))]
async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Json<Pause>> {
    let (execution, name) = split_pause_id(&id).ok_or_else(Error::no_pause)?;
    let until = Instant::now() + query.wait.map_or(Duration::ZERO, Duration::from_secs).min(WAIT_MAX);
    let mut bell = app.db.bell().listen();
    loop {
        let row = app.db.find_pause(&caller.tenant, execution, name).await?.ok_or_else(Error::no_pause)?;
        let left = until.saturating_duration_since(Instant::now());
        if row.status != "open" || left.is_zero() {
            return Ok(Json(row.into()));
        }
        bell.wait(left.min(LOOK_EVERY)).await;
    }
}

/// What a reviewer decides.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = NewDecision)]
#[serde(deny_unknown_fields)]
struct NewBody {
    /// One of the pause's choices.
    decision: String,
    feedback: Option<String>,
    /// What the pause's `response_schema` asks for.
    #[schema(value_type = Option<serde_json::Value>)]
    response: Option<Box<RawValue>>,
}

/// What became of a decision.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Outcome {
    /// `accepted`; `recorded` if it is a vote, and does not decide the pause; or `duplicate` if it had been decided, or
    /// voted, just so before.
    pub(super) outcome: &'static str,
    pub(super) pause: Pause,
}

/// Decides a pause. The decision is durable before the answer; the first one wins.
#[utoipa::path(post, path = "/v1/pauses/{id}/decision", params(("id" = String, Path)), request_body = NewBody,
    responses((status = 200, body = Outcome), (status = "4XX", body = ErrorBody)))]
async fn decide(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(new): Body<NewBody>,
) -> Result<Json<Outcome>> {
    let (execution, approval_request_id) = split_pause_id(&id).ok_or_else(Error::no_pause)?;
    let Checked { decision, feedback, response } =
        check(&new.decision, new.feedback.as_deref(), new.response.as_deref())?;
    let actor = caller.actor();
    let via = actor.who.to_string();
    let new = NewDecision {
        tenant: &caller.tenant,
        execution,
        approval_request_id,
        decision,
        feedback,
        response,
        reviewer: Some(&caller.name),
        claimed: false,
        via: &via,
        actor,
        delivery: None,
    };
    outcome(app.db.decide(&new).await?)
}

/// A decision whose parts are within their bounds.
pub(super) struct Checked<'a> {
    pub(super) decision: &'a str,
    pub(super) feedback: Option<&'a str>,
    pub(super) response: Option<&'a str>,
}

pub(super) fn check<'a>(
    decision: &'a str,
    feedback: Option<&'a str>,
    response: Option<&'a RawValue>,
) -> Result<Checked<'a>> {
    Ok(Checked {
        decision: text("decision", decision, CHOICE_BYTES_MAX)?,
        feedback: feedback.map(|feedback| text("feedback", feedback, FEEDBACK_BYTES_MAX)).transpose()?,
        response: response.map(|response| document("response", response)).transpose()?,
    })
}

/// The answer to a decision: the table in docs/api.md.
pub(super) fn outcome(decided: Decided) -> Result<Json<Outcome>> {
    metrics::decision(&decided);
    match decided {
        Decided::Accepted(pause) => Ok(Json(Outcome { outcome: "accepted", pause: pause.into() })),
        Decided::Recorded(pause) => Ok(Json(Outcome { outcome: "recorded", pause: pause.into() })),
        Decided::Duplicate(pause) => Ok(Json(Outcome { outcome: "duplicate", pause: pause.into() })),
        Decided::AlreadyDecided(pause) => Err(already_decided(pause)),
        Decided::AlreadyVoted(vote) => {
            let voted = serde_json::to_value(Vote::from(*vote)).unwrap_or_default();
            let why = "this reviewer has voted otherwise on this pause before; the first vote stands";
            Err(Error::Conflict("already_voted", why.into(), Some(Box::new(("voted", voted)))))
        }
        Decided::KeptForAnother => {
            let why =
                "this pause is not open yet, and holds the decision of another reviewer; send this one when it is";
            Err(Error::Conflict("not_open_yet", why.into(), None))
        }
        Decided::NotAsked(NotAsked::Others) => {
            let why = "this pause asks others to decide at this stage; its `asked` says whom";
            Err(Error::Denied("not_asked", why))
        }
        Decided::NotAsked(NotAsked::Starter) => {
            let why = "who started the execution may not decide this pause; somebody else must";
            Err(Error::Denied("self_approval", why))
        }
        Decided::Closed => Err(Error::PauseClosed),
        Decided::NotFound => Err(Error::no_pause()),
        Decided::Unfit(unfit) => Err(Error::Unprocessable("invalid_decision", unfit.to_string(), Blame::Client)),
        Decided::WebhookIdReused => {
            let why = "this webhook-id came before with another body; choose a fresh one for each message";
            Err(Error::Conflict("webhook_id_reused", why.into(), None))
        }
    }
}

/// The error for who would decide what has been decided, with the first decision.
pub(super) fn already_decided(pause: pauses::Pause) -> Error {
    let decided = serde_json::to_value(Pause::from(pause).decision).unwrap_or_default();
    let why = "this pause was decided otherwise before; the first decision stands";
    Error::Conflict("already_decided", why.into(), Some(Box::new(("decided", decided))))
}
