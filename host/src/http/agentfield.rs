//! AgentField's protocol, for its reviewer tools and API clients: its routes and its shapes, our decisions.
//! docs/agentfield.md says where the two differ, and why.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Caller;
use super::error::{self, Error};
use super::extract::Json;
use super::pauses::{Checked, Outcome, check, outcome};
use super::{App, JSON_BODY_BYTES_MAX, extract};
use crate::audit::Actor;
use crate::db::decisions::{Delivery, NewDecision};
use crate::execution::Blame;

mod approvals;
mod executions;
mod webhook;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(webhook::decide))
        .routes(routes!(webhook::decide_for_tenant))
        .routes(routes!(executions::execute_async))
        .routes(routes!(executions::execute))
        .routes(routes!(executions::show))
        .routes(routes!(executions::cancel))
        .routes(routes!(approvals::show))
        .routes(routes!(approvals::show_for_agent))
        .routes(routes!(approvals::decide))
}

type Result<T, E = Refusal> = std::result::Result<T, E>;

/// An error in the shape that AgentField's clients read.
#[derive(Debug)]
struct Refusal(Error);

/// The shape of its errors. What a 409 conflicts with stands beside them.
#[derive(Serialize, utoipa::ToSchema)]
struct AgentFieldError {
    /// Stable, for programs: a code of ours.
    error: String,
    /// For people: what is wrong, and what to do.
    message: String,
    blame: Blame,
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let instead = match &self.0 {
            Error::Unauthenticated => {
                Some("send `X-API-Key: cs_…` or `Authorization: Bearer cs_…` with a key in force")
            }
            Error::InvalidSignature => Some(
                "the signature is missing, stale or wrong; send `X-Hax-Signature: t=<unix>,v1=<hex>`, HMAC-SHA256 over \
                 `{t}.{body}`, with the text of a webhook secret of this tenant as the key",
            ),
            _ => None,
        };
        error::respond(
            self.0,
            |code, message, blame| json!({ "error": code, "message": instead.map_or(message, Into::into), "blame": blame }),
        )
    }
}

/// Another extractor, with errors in this shape.
struct In<T>(T);

impl<T: FromRequestParts<App, Rejection = Error>> FromRequestParts<App> for In<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        Ok(Self(T::from_request_parts(parts, app).await?))
    }
}

/// Who asks, by `X-API-Key`, or else as everywhere.
struct Bearer(Caller);

impl FromRequestParts<App> for Bearer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let mut keys = parts.headers.get_all("x-api-key").iter();
        let caller = match (keys.next(), keys.next()) {
            (None, _) => Caller::from_request_parts(parts, app).await?,
            (Some(key), None) => {
                let key = key.to_str().map_err(|_| Error::Unauthenticated)?;
                Caller::of_key(app, key, parts).await?
            }
            _ => return Err(Error::Unauthenticated.into()),
        };
        Ok(Self(caller))
    }
}

/// A JSON body, whatever its content type says: its clients are not all careful.
async fn body<T: DeserializeOwned>(request: Request) -> Result<T> {
    Ok(extract::parse(&extract::bytes(request, extract::JSON, JSON_BODY_BYTES_MAX).await?)?)
}

/// A time as its clients read it: without fractions of a second.
fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The word that a reviewer is understood to mean: its tools have several for each.
fn canonical(decision: &str) -> &str {
    match decision {
        "approve" | "continue" | "confirm" => "approved",
        "reject" | "deny" | "abort" | "cancel" => "rejected",
        other => other,
    }
}

/// A decision, whichever way it came.
struct Decision<'a> {
    tenant: &'a str,
    execution: &'a str,
    approval_request_id: &'a str,
    word: &'a str,
    feedback: Option<&'a str>,
    response: Option<&'a RawValue>,
    reviewer: Option<&'a str>,
    actor: Actor<'a>,
    delivery: Option<Delivery<'a>>,
}

impl Decision<'_> {
    /// Decides the pause.
    async fn take(&self, app: &App) -> Result<Json<Processed>, Error> {
        let Checked { decision, feedback, response } = check(self.choice(app).await?, self.feedback, self.response)?;
        let via = self.actor.who.to_string();
        let new = NewDecision {
            tenant: self.tenant,
            execution: self.execution,
            approval_request_id: self.approval_request_id,
            decision,
            feedback,
            response,
            reviewer: self.reviewer,
            // Who has a key is who the key says.
            claimed: self.delivery.is_some() && self.reviewer.is_some(),
            via: &via,
            actor: self.actor,
            delivery: self.delivery,
        };
        let Json(outcome) = outcome(app.db.decide(&new).await?)?;
        processed(app, self.tenant, &outcome).await
    }

    /// The choice that its word means on this pause: the word itself, if it is one.
    async fn choice(&self, app: &App) -> Result<&str, Error> {
        let canonical = canonical(self.word);
        if canonical == self.word {
            return Ok(canonical);
        }
        let pause = app.db.find_pause(self.tenant, self.execution, self.approval_request_id).await?;
        let is_choice = pause.is_some_and(|pause| pause.choices.iter().any(|choice| choice == self.word));
        Ok(if is_choice { self.word } else { canonical })
    }
}

/// What became of a decision.
#[derive(Serialize, utoipa::ToSchema)]
struct Processed {
    /// `processed`, or `already_processed` if it had been decided just so before.
    status: &'static str,
    execution_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    /// Of what was processed: `running`, whatever was decided, since what a rejection means is for the agent to say; or
    /// `waiting`, if it is a vote and the pause needs more.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_status: Option<&'static str>,
    /// Of what had been processed: the execution's status now, and what was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_status: Option<String>,
}

/// The answer to a decision: the table in docs/agentfield.md.
async fn processed(app: &App, tenant: &str, outcome: &Outcome) -> Result<Json<Processed>, Error> {
    let (execution_id, decision) = (outcome.pause.execution().to_owned(), outcome.pause.decided().map(Into::into));
    let (status, new_status) = match outcome.outcome {
        "duplicate" => {
            let row = app.db.find_execution(tenant, &execution_id).await?.ok_or_else(Error::no_execution)?;
            return Ok(Json(Processed {
                status: "already_processed",
                execution_id,
                decision: None,
                new_status: None,
                current_status: Some(row.status.0.as_str()),
                approval_status: decision,
            }));
        }
        "recorded" if outcome.pause.is_open() => ("processed", "waiting"),
        _ => ("processed", "running"),
    };
    let new_status = Some(new_status);
    Ok(Json(Processed { status, execution_id, decision, new_status, current_status: None, approval_status: None }))
}
