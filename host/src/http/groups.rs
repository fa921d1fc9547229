//! Groups of reviewers.

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
use super::reviewers::check_reviewer;
use crate::approval::{NAME_BYTES_MAX, is_group};
use crate::db::reviewers;
use crate::notification::{GROUPS_MAX, MEMBERS_MAX};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(put, show, remove))
}

/// Reviewers who are asked by one name, with an `@` before it.
#[derive(Serialize, utoipa::ToSchema)]
struct Group {
    name: String,
    members: Vec<String>,
    created_at: DateTime<Utc>,
}

impl From<reviewers::Group> for Group {
    fn from(row: reviewers::Group) -> Self {
        Self { name: row.name, members: row.members, created_at: row.created_at }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct Groups {
    items: Vec<Group>,
    next: Option<String>,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewGroup {
    /// Names of reviewers, at most 256. They need not be known by anything else.
    members: Vec<String>,
}

/// The groups, by name.
#[utoipa::path(get, path = "/v1/groups", params(Paging),
    responses((status = 200, body = Groups), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, caller: Caller, Query(paging): Query<Paging>) -> Result<Json<Groups>> {
    let after = paging.after.as_deref();
    if after.is_some_and(|after| !is_group(after)) {
        return Err(bad_cursor());
    }
    let page = app.db.list_groups(&caller.tenant, None, after, limit(paging.limit)?).await?;
    Ok(Json(Groups { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// Makes a group, or gives it other members. Pauses that are open ask whoever is in it when they vote.
#[utoipa::path(put, path = "/v1/groups/{name}", params(("name" = String, Path)), request_body = NewGroup,
    responses((status = 200, body = Group), (status = "4XX", body = ErrorBody)))]
async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    Body(new): Body<NewGroup>,
) -> Result<Json<Group>> {
    check_group(&name)?;
    if new.members.len() > MEMBERS_MAX {
        return Err(Error::invalid(format!("`members`: at most {MEMBERS_MAX}")));
    }
    new.members.iter().try_for_each(|member| check_reviewer(member))?;
    if !app.db.may_keep_group(&caller.tenant, &name, GROUPS_MAX).await? {
        return Err(Error::invalid(format!("a tenant has at most {GROUPS_MAX} groups; remove one")));
    }
    let mut members = new.members;
    // Neither capitals nor a repetition make another member.
    members.sort_by_key(|member| member.to_lowercase());
    members.dedup_by_key(|member| member.to_lowercase());
    app.db.put_group(&caller.tenant, &name, &members, &caller.actor()).await?;
    find(&app, &caller.tenant, &name).await
}

/// A group.
#[utoipa::path(get, path = "/v1/groups/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Group), (status = "4XX", body = ErrorBody)))]
async fn show(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<Json<Group>> {
    find(&app, &caller.tenant, &name).await
}

/// Removes a group. A pause that is open and asks it asks nobody by it from now on.
#[utoipa::path(delete, path = "/v1/groups/{name}", params(("name" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn remove(State(app): State<App>, caller: Caller, Path(name): Path<String>) -> Result<StatusCode> {
    if is_group(&name) && app.db.remove_group(&caller.tenant, &name, &caller.actor()).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(no_group())
}

async fn find(app: &App, tenant: &str, name: &str) -> Result<Json<Group>> {
    let name = Some(name).filter(|name| is_group(name)).ok_or_else(no_group)?;
    let page = app.db.list_groups(tenant, Some(name), None, 1).await?;
    Ok(Json(page.items.into_iter().next().ok_or_else(no_group)?.into()))
}

fn no_group() -> Error {
    Error::NotFound("group_not_found", "there is no group of this name; it stands here without its `@`".into())
}

fn check_group(name: &str) -> Result<()> {
    if is_group(name) {
        return Ok(());
    }
    let why =
        format!("a group's name is 1 to {NAME_BYTES_MAX} of a-z 0-9 _ -, a letter or digit first, without the `@`");
    Err(Error::invalid(why))
}
