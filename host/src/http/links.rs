//! Links for reviewers, made by operators. Agents ask for theirs.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Path, whole};
use super::pauses::already_decided;
use crate::approval::{REVIEWER_BYTES_MAX, is_reviewer};
use crate::audit;
use crate::execution::split_pause_id;
use crate::link::LIFE_SECONDS_MAX;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Whom a link is for.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = NewLink)]
#[serde(deny_unknown_fields)]
struct NewBody {
    /// What the decision will bear as its reviewer.
    reviewer: String,
    /// 1 to 2,678,400, which is 31 days, and what it is if absent. Cut to what the pause has left.
    #[serde(default, deserialize_with = "whole")]
    expires_in_seconds: Option<i64>,
}

/// A link for one reviewer to one pause.
#[derive(Serialize, utoipa::ToSchema)]
struct Link {
    /// Who has it can look at the pause, and decide it once, as this reviewer.
    url: String,
    reviewer: String,
    expires_at: DateTime<Utc>,
}

/// Makes a link by which somebody without a key can decide a pause. The pause need not be open yet.
#[utoipa::path(post, path = "/v1/pauses/{id}/links", params(("id" = String, Path)), request_body = NewBody,
    responses((status = 201, body = Link), (status = "4XX", body = ErrorBody)))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Body(new): Body<NewBody>,
) -> Result<(StatusCode, axum::Json<Link>)> {
    let (execution, approval_request_id) = split_pause_id(&id).ok_or_else(Error::no_pause)?;
    if !is_reviewer(&new.reviewer) {
        let why = format!("`reviewer` is 1 to {REVIEWER_BYTES_MAX} bytes, no `@` first, no control characters");
        return Err(Error::invalid(why));
    }
    let seconds = new.expires_in_seconds.map_or(LIFE_SECONDS_MAX, |seconds| u64::try_from(seconds).unwrap_or(0));
    if !(1..=LIFE_SECONDS_MAX).contains(&seconds) {
        return Err(Error::invalid(format!("`expires_in_seconds` is 1 to {LIFE_SECONDS_MAX}")));
    }
    let pause_expires_at = until(&app, &caller.tenant, execution, approval_request_id).await?;
    let expires_at = Utc::now() + std::time::Duration::from_secs(seconds);
    let expires_at = pause_expires_at.map_or(expires_at, |pause| pause.min(expires_at));
    let expires = expires_at.timestamp_millis().unsigned_abs();
    let url = app.links.review_link(&caller.tenant, execution, approval_request_id, &new.reviewer, expires);
    let token = url.rsplit_once("/r/").map(|(_, token)| token).unwrap_or_default();
    let link = app.links.read(token, 0).map_err(|_| Error::Internal)?;
    let details =
        [("expires_at", audit::time(expires_at).into()), ("link", link.id.into()), ("reviewer", link.reviewer.into())];
    let details = audit::details(details);
    // First: nobody has a link that is not recorded.
    app.db.record(&caller.tenant, &caller.actor(), audit::Action::LinkCreated, &id, &details).await?;
    // Not our own `Json`: this is the one answer that a link is given in.
    Ok((StatusCode::CREATED, axum::Json(Link { url, reviewer: new.reviewer, expires_at })))
}

/// When the pause expires, if it ever does. Fails if it takes no decision any more, or its execution does not exist.
async fn until(app: &App, tenant: &str, execution: &str, approval_request_id: &str) -> Result<Option<DateTime<Utc>>> {
    let Some(pause) = app.db.find_pause(tenant, execution, approval_request_id).await? else {
        let execution = app.db.find_execution(tenant, execution).await?.ok_or_else(Error::no_pause)?;
        return if execution.finished_at.is_some() { Err(Error::PauseClosed) } else { Ok(None) };
    };
    match pause.status.as_str() {
        "open" if pause.expires_at.is_some_and(|at| at <= Utc::now()) => Err(Error::PauseClosed),
        "open" | "early" => Ok(pause.expires_at),
        "decided" => Err(already_decided(pause)),
        _ => Err(Error::PauseClosed),
    }
}
