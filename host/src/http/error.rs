//! What a client is told when something is wrong: a status, a stable code, and a sentence that says what to do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::extract::Json;
use crate::db;
use crate::execution::Blame;

/// Every way in which a request can fail.
#[derive(Debug)]
pub(super) enum Error {
    /// 400. The code says whether it is not JSON, or not the right JSON.
    BadRequest(&'static str, String),
    /// 401.
    Unauthenticated,
    /// 401, one shape for all bad signatures.
    InvalidSignature,
    /// 403: the role may not.
    Forbidden(&'static str),
    /// 403, whatever the role.
    Denied(&'static str, &'static str),
    /// 404.
    NotFound(&'static str, String),
    /// 405.
    MethodNotAllowed,
    /// 408.
    RequestTimeout,
    /// 409, with what it conflicts with.
    Conflict(&'static str, String, Option<Box<With>>),
    /// 410.
    PauseClosed,
    /// 413.
    TooLarge(usize),
    /// 415.
    UnsupportedMediaType(&'static str),
    /// 422.
    Unprocessable(&'static str, String, Blame),
    /// 500. The cause has been logged, and is not shown.
    Internal,
    /// 503. The database cannot be reached.
    Unavailable,
}

/// What stands beside an error in its body: a name and a value.
pub(super) type With = (&'static str, Value);

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

/// The one shape of all errors.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ErrorDetail {
    /// Stable, for programs.
    code: String,
    /// For people: what is wrong, and what to do.
    message: String,
    blame: Blame,
}

impl From<db::Error> for Error {
    fn from(error: db::Error) -> Self {
        match error {
            db::Error::Unavailable(error) => {
                tracing::warn!(%error, "the database is not available");
                Self::Unavailable
            }
            error => {
                tracing::error!(%error, "a request failed");
                Self::Internal
            }
        }
    }
}

impl Error {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::BadRequest("invalid_request", message.into())
    }

    pub(super) fn no_execution() -> Self {
        Self::NotFound("execution_not_found", "there is no execution of this id".into())
    }

    pub(super) fn no_pause() -> Self {
        let why = "there is no pause of this id; a pause's id is {execution id}:{approval_request_id}";
        Self::NotFound("pause_not_found", why.into())
    }

    pub(super) fn no_tenant() -> Self {
        Self::NotFound("tenant_not_found", "there is no tenant of this name; GET /v1/tenants lists them".into())
    }

    pub(super) fn suspended() -> Self {
        Self::Denied(
            "tenant_suspended",
            "the tenant is suspended: ask whoever runs the host; until it is resumed, nothing of it is served, and \
                               nothing of it runs",
        )
    }

    pub(super) fn no_agent(agent: &str) -> Self {
        Self::NotFound("agent_not_found", format!("there is no agent {agent:?}; GET /v1/agents lists yours"))
    }

    pub(super) fn endpoint_disabled() -> Self {
        let why = "this endpoint is disabled, or was removed; enable it first: PATCH {\"disabled\":false}";
        Self::Conflict("endpoint_disabled", why.into(), None)
    }

    fn parts(self) -> (StatusCode, &'static str, String, Blame, Option<Box<With>>) {
        let client = |status, code, message: String| (status, code, message, Blame::Client, None);
        match self {
            Self::BadRequest(code, message) => client(StatusCode::BAD_REQUEST, code, message),
            Self::Unauthenticated => {
                let message = "send `Authorization: Bearer cs_…` with a key that is in force";
                client(StatusCode::UNAUTHORIZED, "unauthenticated", message.into())
            }
            Self::InvalidSignature => {
                let message = "the signature is missing, stale or wrong; sign `{webhook-id}.{webhook-timestamp}.{body}` \
                               as Standard Webhooks says, with a secret of this tenant";
                client(StatusCode::UNAUTHORIZED, "invalid_signature", message.into())
            }
            Self::Forbidden(role) => {
                let message = format!("a key of the role `{role}` may not do this; see the table in docs/api.md");
                client(StatusCode::FORBIDDEN, "forbidden", message)
            }
            Self::Denied(code, message) => client(StatusCode::FORBIDDEN, code, message.into()),
            Self::NotFound(code, message) => client(StatusCode::NOT_FOUND, code, message),
            Self::MethodNotAllowed => {
                let message = "this route does not take this method; see /openapi.json";
                client(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message.into())
            }
            Self::RequestTimeout => {
                client(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not arrive in time".into())
            }
            Self::Conflict(code, message, with) => (StatusCode::CONFLICT, code, message, Blame::Client, with),
            Self::PauseClosed => {
                let message = "this pause takes no decision any more: it has expired, was withdrawn, or its execution \
                               has finished";
                client(StatusCode::GONE, "pause_closed", message.into())
            }
            Self::TooLarge(bytes_max) => {
                let message = format!("the body is too large; at most {bytes_max} bytes are taken here");
                client(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
            }
            Self::UnsupportedMediaType(wanted) => {
                let message = format!("send the body as `Content-Type: {wanted}`, without a content encoding");
                client(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
            }
            Self::Unprocessable(code, message, blame) => (StatusCode::UNPROCESSABLE_ENTITY, code, message, blame, None),
            Self::Internal => {
                let message = "internal error; the cause is in the host's log";
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", message.into(), Blame::Host, None)
            }
            Self::Unavailable => {
                let message = "the database cannot be reached at the moment; try again";
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable", message.into(), Blame::Host, None)
            }
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        respond(self, |code, message, blame| json!({ "error": { "code": code, "message": message, "blame": blame } }))
    }
}

/// The answer to a request that failed, its body in any shape.
pub(super) fn respond(error: Error, shape: impl FnOnce(&'static str, String, Blame) -> Value) -> Response {
    let (status, code, message, blame, with) = error.parts();
    let mut body = shape(code, message, blame);
    if let Some(with) = with {
        body[with.0] = with.1;
    }
    let mut response = (status, Json(body)).into_response();
    match status {
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::SERVICE_UNAVAILABLE => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response
}
