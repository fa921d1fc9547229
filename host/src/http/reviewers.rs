//! Reviewers who get mail.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Json, Paging, Path, Query, bad_cursor, limit};
use crate::approval::{REVIEWER_BYTES_MAX, is_reviewer};
use crate::db::reviewers;
use crate::notification::{REVIEWERS_MAX, is_email};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put, show, remove))
}

/// Somebody who is written to when a pause asks them.
#[derive(Serialize, utoipa::ToSchema)]
struct Reviewer {
    name: String,
    email: Option<String>,
    created_at: DateTime<Utc>,
}

impl From<reviewers::Reviewer> for Reviewer {
    fn from(row: reviewers::Reviewer) -> Self {
        Self { name: row.reviewer, email: row.email, created_at: row.created_at }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct Reviewers {
    items: Vec<Reviewer>,
    next: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReviewer {
    email: String,
}

/// The reviewers who have an address, by name.
#[utoipa::path(get, path = "/v1/reviewers", params(Paging),
    responses((status = 200, body = Reviewers), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, caller: Caller, Query(paging): Query<Paging>) -> Result<Json<Reviewers>> {
    let after = paging.after.as_deref();
    if after.is_some_and(|after| !is_reviewer(after)) {
        return Err(bad_cursor());
    }
    let page = app.db.list_reviewers(&caller.tenant, after, limit(paging.limit)?).await?;
    Ok(Json(Reviewers { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// Keeps the address of a reviewer. Whoever is asked and has none is not written to.
#[utoipa::path(put, path = "/v1/reviewers/{name}", params(("name" = String, Path)), request_body = NewReviewer,
    responses((status = 200, body = Reviewer), (status = "4XX", body = ErrorBody)))]
async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<NewReviewer>,
) -> Result<Json<Reviewer>> {
    check_reviewer(&name)?;
    if !is_email(&new.email) {
        return Err(Error::invalid("`email` is one mail address without a name: ada@example.com"));
    }
    if !app.db.may_keep_reviewer(&caller.tenant, &name, REVIEWERS_MAX).await? {
        return Err(Error::invalid(format!("a tenant keeps at most {REVIEWERS_MAX} reviewers' addresses; remove one")));
    }
    Ok(Json(app.db.put_reviewer(&caller.tenant, &name, &new.email, &caller.actor()).await?.into()))
}

/// A reviewer.
#[utoipa::path(get, path = "/v1/reviewers/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Reviewer), (status = "4XX", body = ErrorBody)))]
async fn show(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<Reviewer>> {
    check_reviewer(&name)?;
    let found = app.db.find_reviewer(&caller.tenant, &name).await?;
    Ok(Json(found.ok_or_else(no_reviewer)?.into()))
}

/// Forgets the address of a reviewer, who may still be asked.
#[utoipa::path(delete, path = "/v1/reviewers/{name}", params(("name" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn remove(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<StatusCode> {
    check_reviewer(&name)?;
    if app.db.remove_reviewer(&caller.tenant, &name, &caller.actor()).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_reviewer())
    }
}

fn no_reviewer() -> Error {
    Error::NotFound("reviewer_not_found", "there is no address of a reviewer of this name".into())
}

pub(super) fn check_reviewer(name: &str) -> Result<()> {
    if is_reviewer(name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "a reviewer's name is 1 to {REVIEWER_BYTES_MAX} bytes, no `@` first, no control characters, no space at either end"
    )))
}
