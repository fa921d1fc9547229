//! Whether the host is alive, and what it counts.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::error::{Error, ErrorBody, Result};
use super::extract::Json;
use crate::metrics;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(scrape))
}

#[derive(Serialize, utoipa::ToSchema)]
struct Health {
    status: &'static str,
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", security(()), responses((status = 200, body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The host reaches its database.
#[utoipa::path(get, path = "/readyz", security(()),
    responses((status = 200, body = Health), (status = 503, body = ErrorBody)))]
async fn readyz(State(app): State<App>) -> Result<Json<Health>> {
    if app.db.is_reachable().await { Ok(Json(Health { status: "ok" })) } else { Err(Error::Unavailable) }
}

/// Counters since the start of this host, and the pauses and the outbox of all tenants, as Prometheus text.
#[utoipa::path(get, path = "/metrics", security(()),
    responses((status = 200, content_type = "application/openmetrics-text", body = String), (status = 503, body = ErrorBody)))]
async fn scrape(State(app): State<App>) -> Result<impl IntoResponse> {
    let (waiting, outbox) = (app.db.open_pauses().await?, app.db.delivery_backlog().await?);
    Ok((
        [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
        metrics::text(&waiting, &outbox),
    ))
}
