//! What was set for a tenant, by whoever runs the hosts, and for an agent, by its tenant.

use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Json, Path};
use crate::execution::{is_name, is_tenant};
use crate::limits::{Limits, Quotas, Settings};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show_tenant, change_tenant)).routes(routes!(show_agent, change_agent))
}

/// What was set, and what therefore holds.
#[derive(Serialize, utoipa::ToSchema)]
struct Settled {
    /// Names and numbers, as they were set.
    #[schema(value_type = Object)]
    set: Value,
    /// Every name with the number that holds.
    #[schema(value_type = Object)]
    effective: Map<String, Value>,
}

/// The limits and quotas of a tenant.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/limits", params(("tenant" = String, Path)),
    responses((status = 200, body = Settled), (status = "4XX", body = ErrorBody)))]
async fn show_tenant(State(app): State<App>, _: Caller, Path(tenant): Path<String>) -> Result<Json<Settled>> {
    of_tenant(&app, &tenant).await
}

/// Sets the limits and quotas of a tenant, all of them: what is not named has its default. Quotas hold at once, limits for
/// executions that start from now on.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/limits", params(("tenant" = String, Path)),
    request_body(content = Object, description = "Names and numbers"),
    responses((status = 200, body = Settled), (status = "4XX", body = ErrorBody)))]
async fn change_tenant(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    Body(overrides): Body<Value>,
) -> Result<Json<Settled>> {
    Settings::parse(&overrides).map_err(|why| Error::invalid(why.to_string()))?;
    if !is_tenant(&tenant) || !app.db.set_tenant_limits(&tenant, &overrides, &caller.actor()).await? {
        return Err(no_tenant(&tenant));
    }
    of_tenant(&app, &tenant).await
}

async fn of_tenant(app: &App, tenant: &str) -> Result<Json<Settled>> {
    let set = if is_tenant(tenant) { app.db.tenant_limits(tenant).await? } else { None };
    let set = set.ok_or_else(|| no_tenant(tenant))?;
    let settings = Settings::kept(&set);
    let value = |name| settings.limits.get(name).or_else(|| settings.quotas.get(name)).unwrap_or_default();
    let all = Limits::ALL.iter().chain(Quotas::ALL);
    Ok(Json(Settled { effective: all.map(|bound| (bound.name.into(), value(bound.name).into())).collect(), set }))
}

pub(super) fn no_tenant(tenant: &str) -> Error {
    Error::NotFound("tenant_not_found", format!("there is no tenant {tenant:?}; GET /v1/tenants lists them"))
}

/// The limits of an agent's executions.
#[utoipa::path(get, path = "/v1/agents/{agent}/limits", params(("agent" = String, Path)),
    responses((status = 200, body = Settled), (status = "4XX", body = ErrorBody)))]
async fn show_agent(State(app): State<App>, caller: Caller, Path(agent): Path<String>) -> Result<Json<Settled>> {
    of_agent(&app, &caller, &agent).await
}

/// Lowers the limits of an agent's executions, all of them: what is not named is as the tenant has it, and so is what would
/// be higher. Holds for executions that start from now on.
#[utoipa::path(put, path = "/v1/agents/{agent}/limits", params(("agent" = String, Path)),
    request_body(content = Object, description = "Names and numbers"),
    responses((status = 200, body = Settled), (status = "4XX", body = ErrorBody)))]
async fn change_agent(
    State(app): State<App>,
    caller: Caller,
    Path(agent): Path<String>,
    Body(overrides): Body<Value>,
) -> Result<Json<Settled>> {
    Limits::default().lowered(&overrides).map_err(|why| Error::invalid(why.to_string()))?;
    if !is_name(&agent) || !app.db.set_agent_limits(&caller.tenant, &agent, &overrides, &caller.actor()).await? {
        return Err(Error::no_agent(&agent));
    }
    of_agent(&app, &caller, &agent).await
}

async fn of_agent(app: &App, caller: &Caller, agent: &str) -> Result<Json<Settled>> {
    if !is_name(agent) {
        return Err(Error::no_agent(agent));
    }
    let found = app.db.agent_limits(&caller.tenant, agent).await?;
    let (tenants, set) = found.ok_or_else(|| Error::no_agent(agent))?;
    let limits = Settings::kept(&tenants).limits.lowered_as_kept(&set);
    let value = |name| limits.get(name).unwrap_or_default();
    Ok(Json(Settled {
        effective: Limits::ALL.iter().map(|bound| (bound.name.into(), value(bound.name).into())).collect(),
        set,
    }))
}
