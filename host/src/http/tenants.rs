//! Tenants, for who runs the host: made, listed, suspended and resumed with a key of the role `host`.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::{self, Caller};
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Json, Paging, Path, Query, bad_cursor, limit, whole};
use super::keys::{self, Key};
use crate::api_key::{HOST_TENANT, Role};
use crate::execution::{NAME_BYTES_MAX, is_tenant};

/// What a tenant's first key is called.
const FIRST_KEY: &str = "first operator";

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(create_operator))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTenant {
    /// 1 to 64 of `a-z 0-9 -`, a letter or a digit first; not `host`.
    tenant: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Tenant {
    tenant: String,
    created_at: DateTime<Utc>,
    /// Since when nothing of it is served, and nothing of it runs.
    suspended_at: Option<DateTime<Utc>>,
    /// Its first key, an operator's; only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Tenants {
    items: Vec<Tenant>,
    next: Option<String>,
}

impl From<crate::db::tenants::Tenant> for Tenant {
    fn from(row: crate::db::tenants::Tenant) -> Self {
        Self { tenant: row.tenant_id, created_at: row.created_at, suspended_at: row.suspended_at, key: None }
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewOperator {
    /// Whose the key is, or what for.
    name: String,
    #[serde(default, deserialize_with = "whole")]
    #[schema(value_type = Option<i32>)]
    expires_in_days: Option<i64>,
}

/// Makes a tenant and its first key, an operator's, which is shown once, here.
#[utoipa::path(post, path = "/v1/tenants", request_body = NewTenant,
    responses((status = 201, body = Tenant), (status = "4XX", body = ErrorBody)))]
async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewTenant>,
) -> Result<(StatusCode, Json<Tenant>)> {
    let name = new.tenant;
    if !is_tenant(&name) || name == HOST_TENANT {
        let why =
            format!("`tenant` is 1 to {NAME_BYTES_MAX} of a-z 0-9 -, a letter or digit first, and not `{HOST_TENANT}`");
        return Err(Error::invalid(why));
    }
    if !app.db.create_tenant(&name, &caller.actor()).await? {
        let why = "there is a tenant of this name; POST /v1/tenants/{tenant}/keys makes another operator's key for it";
        return Err(Error::Conflict("tenant_exists", why.into(), None));
    }
    let (_, key) = auth::new_key(&app.db, &name, FIRST_KEY, Role::Operator, None, caller.actor()).await?;
    let made = Tenant { key: Some(key), ..find(&app, &name).await? };
    Ok((StatusCode::CREATED, Json(made)))
}

/// The tenants, by name.
#[utoipa::path(get, path = "/v1/tenants", params(Paging),
    responses((status = 200, body = Tenants), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, _caller: Caller, Query(paging): Query<Paging>) -> Result<Json<Tenants>> {
    let after = paging.after.as_deref();
    if after.is_some_and(|after| !is_tenant(after)) {
        return Err(bad_cursor());
    }
    let page = app.db.list_tenants(None, after, limit(paging.limit)?).await?;
    Ok(Json(Tenants { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// A tenant.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", params(("tenant" = String, Path)),
    responses((status = 200, body = Tenant), (status = "4XX", body = ErrorBody)))]
async fn show(State(app): State<App>, _caller: Caller, Path(tenant): Path<String>) -> Result<Json<Tenant>> {
    Ok(Json(find(&app, &tenant).await?))
}

/// Suspends a tenant: nothing of it is served any more, by this host at once, by the others after half a second, and
/// nothing of it runs. One that is suspended stays so.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/suspend", params(("tenant" = String, Path)),
    responses((status = 200, body = Tenant), (status = "4XX", body = ErrorBody)))]
async fn suspend(State(app): State<App>, caller: Caller, Path(tenant): Path<String>) -> Result<Json<Tenant>> {
    switch(&app, &caller, &tenant, true).await
}

/// Lets a suspended tenant go on. One that is not suspended goes on as before.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/resume", params(("tenant" = String, Path)),
    responses((status = 200, body = Tenant), (status = "4XX", body = ErrorBody)))]
async fn resume(State(app): State<App>, caller: Caller, Path(tenant): Path<String>) -> Result<Json<Tenant>> {
    switch(&app, &caller, &tenant, false).await
}

/// Makes a further operator's key for a tenant, such as one that has lost its own. It is shown once, here.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/keys", params(("tenant" = String, Path)), request_body = NewOperator,
    responses((status = 201, body = Key), (status = "4XX", body = ErrorBody)))]
async fn create_operator(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Body(new): Body<NewOperator>,
) -> Result<(StatusCode, Json<Key>)> {
    let _ = find(&app, &tenant).await?;
    let key = keys::make(&app, &caller, &tenant, &new.name, Role::Operator, new.expires_in_days).await?;
    Ok((StatusCode::CREATED, Json(key)))
}

async fn switch(app: &App, caller: &Caller, tenant: &str, suspended: bool) -> Result<Json<Tenant>> {
    if !is_tenant(tenant) || !app.db.suspend_tenant(tenant, suspended, &caller.actor()).await? {
        return Err(Error::no_tenant());
    }
    app.good_keys.forget();
    app.signing.forget();
    Ok(Json(find(app, tenant).await?))
}

async fn find(app: &App, tenant: &str) -> Result<Tenant> {
    let tenant = Some(tenant).filter(|name| is_tenant(name)).ok_or_else(Error::no_tenant)?;
    let page = app.db.list_tenants(Some(tenant), None, 1).await?;
    Ok(page.items.into_iter().next().ok_or_else(Error::no_tenant)?.into())
}
