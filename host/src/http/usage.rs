//! What a tenant uses, beside what it may use.

use axum::extract::State;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{ErrorBody, Result};
use super::extract::{Json, Path};
use super::limits::no_tenant;
use crate::execution::is_tenant;
use crate::limits::{Bound, Limits, Quotas};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(own)).routes(routes!(of_tenant))
}

/// One limit of each execution, or one quota of the tenant.
#[derive(Serialize, utoipa::ToSchema)]
struct Row {
    name: &'static str,
    unit: &'static str,
    limit: u64,
    default: u64,
    /// What the tenant uses of a quota at this moment; null for what is counted for each execution, request or second.
    used: Option<u64>,
    about: &'static str,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Rows {
    items: Vec<Row>,
    /// Always null: all are on one page.
    next: Option<String>,
}

/// Every limit and quota of the tenant, with what it uses.
#[utoipa::path(get, path = "/v1/usage", responses((status = 200, body = Rows), (status = "4XX", body = ErrorBody)))]
async fn own(State(app): State<App>, caller: Caller) -> Result<Json<Rows>> {
    rows(&app, &caller.tenant).await
}

/// Every limit and quota of a tenant, with what it uses.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/usage", params(("tenant" = String, Path)),
    responses((status = 200, body = Rows), (status = "4XX", body = ErrorBody)))]
async fn of_tenant(State(app): State<App>, _: Caller, Path(tenant): Path<String>) -> Result<Json<Rows>> {
    rows(&app, &tenant).await
}

async fn rows(app: &App, tenant: &str) -> Result<Json<Rows>> {
    let terms = if is_tenant(tenant) { app.db.upload_terms(tenant).await? } else { None };
    let terms = terms.ok_or_else(|| no_tenant(tenant))?;
    let (usage, running) = (app.db.usage(tenant).await?, app.db.running(tenant).await?);
    // Whole seconds: what was begun counts.
    let compiled = terms.compile_seconds_used.ceil() as i64;
    let used = |name: &str| match name {
        "running" => Some(running),
        "unfinished" => Some(usage.unfinished),
        "open_pauses" => Some(usage.open_pauses),
        "stored_bytes" => Some(usage.stored_bytes),
        "compile_seconds_per_hour" => Some(compiled),
        _ => None,
    };
    let row = |bound: &Bound, limit: Option<u64>, used: Option<i64>| Row {
        name: bound.name,
        unit: bound.unit,
        limit: limit.unwrap_or(bound.default),
        default: bound.default,
        used: used.map(|used| used.max(0).unsigned_abs()),
        about: bound.about,
    };
    let limits = Limits::ALL.iter().map(|bound| row(bound, terms.settings.limits.get(bound.name), None));
    let quotas = Quotas::ALL.iter().map(|bound| row(bound, terms.settings.quotas.get(bound.name), used(bound.name)));
    Ok(Json(Rows { items: limits.chain(quotas).collect(), next: None }))
}
