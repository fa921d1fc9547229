//! Whether the host is alive, and what it counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::Json;
use crate::metrics;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(scrape))
}

/// The same counters, for whoever asks.
pub(super) fn open_router() -> Router<App> {
    OpenApiRouter::new().routes(routes!(scrape_openly)).into()
}

/// How long it is believed whether the database could be reached. Anybody may ask, as often as he likes.
const BELIEVED: Duration = Duration::from_millis(200);

/// Whether the database could be reached just now.
#[derive(Clone, Default)]
pub(super) struct Readiness(Arc<tokio::sync::Mutex<Option<(Instant, bool)>>>);

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
    // Who comes meanwhile waits, and is told the same.
    let mut known = app.readiness.0.lock().await;
    let is_ready = match *known {
        Some((at, is_ready)) if at.elapsed() < BELIEVED => is_ready,
        _ => {
            let is_ready = app.db.is_reachable().await;
            *known = Some((Instant::now(), is_ready));
            is_ready
        }
    };
    if is_ready { Ok(Json(Health { status: "ok" })) } else { Err(Error::Unavailable) }
}

/// Counters since the start of this host, and the pauses and the outbox of all tenants, as Prometheus text. For a key of
/// the role `host`.
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, content_type = "application/openmetrics-text", body = String), (status = "4XX", body = ErrorBody),
              (status = 503, body = ErrorBody)))]
async fn scrape(State(app): State<App>, _caller: Caller) -> Result<impl IntoResponse> {
    counted(&app).await
}

/// The same, where nobody is asked for a key.
#[utoipa::path(get, path = "/metrics", security(()),
    responses((status = 200, content_type = "application/openmetrics-text", body = String), (status = 503, body = ErrorBody)))]
async fn scrape_openly(State(app): State<App>) -> Result<impl IntoResponse> {
    counted(&app).await
}

async fn counted(app: &App) -> Result<impl IntoResponse + use<>> {
    let (waiting, outbox) = (app.db.open_pauses().await?, app.db.delivery_backlog().await?);
    Ok((
        [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")],
        metrics::text(&waiting, &outbox),
    ))
}
