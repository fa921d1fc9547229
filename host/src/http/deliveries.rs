//! Deliveries: what was told to whom, and what came of it.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::{Json, Path, Query, bad_cursor, limit, raw};
use crate::approval::is_group;
use crate::db::deliveries::{self, Filter, Redelivered};
use crate::execution::pause_id;
use crate::notification::{ATTEMPTS_MAX, is_delivery_id};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(redeliver))
}

/// One notification for one endpoint, or by mail for one reviewer.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Delivery {
    id: String,
    /// The notification's id: the same for everyone who is told, and each time that it is sent.
    webhook_id: String,
    r#type: String,
    execution: Option<String>,
    pause: Option<String>,
    endpoint: Option<String>,
    reviewer: Option<String>,
    /// `pending`, `delivered` or `failed`.
    state: String,
    attempts: i32,
    /// When it is tried next; while it is being tried, when another host would.
    next_at: Option<DateTime<Utc>>,
    last_status: Option<i32>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    /// When it was delivered, or given up.
    settled_at: Option<DateTime<Utc>>,
}

impl From<deliveries::Delivery> for Delivery {
    fn from(row: deliveries::Delivery) -> Self {
        let pause = row.execution_id.as_ref().zip(row.approval_request_id.as_ref());
        Self {
            id: row.delivery_id,
            webhook_id: row.notification_id,
            r#type: row.r#type,
            pause: pause.map(|(execution, name)| pause_id(execution, name)),
            execution: row.execution_id,
            endpoint: row.endpoint,
            reviewer: row.reviewer,
            state: row.state,
            attempts: row.attempts,
            next_at: row.next_at,
            last_status: row.last_status,
            last_error: row.last_error,
            created_at: row.created_at,
            settled_at: row.settled_at,
        }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
struct Deliveries {
    items: Vec<Delivery>,
    next: Option<String>,
}

/// A delivery with its tries, oldest first, and what is sent.
#[derive(Serialize, utoipa::ToSchema)]
struct DeliveryDetail {
    #[serde(flatten)]
    delivery: Delivery,
    log: Vec<DeliveryAttempt>,
    #[schema(value_type = Option<serde_json::Value>)]
    body: Option<Box<RawValue>>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct DeliveryAttempt {
    attempt: i32,
    at: DateTime<Utc>,
    /// Of HTTP, or SMTP.
    status: Option<i32>,
    error: Option<String>,
    duration_ms: i32,
    /// The beginning of the answer's body, at most 1 KiB.
    response: Option<String>,
}

impl From<deliveries::Attempt> for DeliveryAttempt {
    fn from(row: deliveries::Attempt) -> Self {
        let deliveries::Attempt { attempt, at, status, error, duration_ms, response } = row;
        Self { attempt, at, status, error, duration_ms, response }
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum DeliveryState {
    Pending,
    Delivered,
    Failed,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    endpoint: Option<String>,
    #[param(inline)]
    state: Option<DeliveryState>,
    /// 1 to 100; 50 if absent.
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// Deliveries, newest first.
#[utoipa::path(get, path = "/v1/deliveries", params(ListQuery),
    responses((status = 200, body = Deliveries), (status = "4XX", body = ErrorBody)))]
async fn list(State(app): State<App>, caller: Caller, Query(query): Query<ListQuery>) -> Result<Json<Deliveries>> {
    if query.endpoint.as_deref().is_some_and(|name| !is_group(name)) {
        return Err(Error::invalid("`endpoint` is no name of an endpoint"));
    }
    if query.after.as_deref().is_some_and(|after| !is_delivery_id(after)) {
        return Err(bad_cursor());
    }
    let state = query.state.map(|state| match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Failed => "failed",
    });
    let filter = Filter { endpoint: query.endpoint.as_deref(), state, after: query.after.as_deref() };
    let page = app.db.list_deliveries(&caller.tenant, &filter, limit(query.limit)?).await?;
    Ok(Json(Deliveries { items: page.items.into_iter().map(Into::into).collect(), next: page.next }))
}

/// A delivery, what came of each try, and what is sent.
#[utoipa::path(get, path = "/v1/deliveries/{id}", params(("id" = String, Path)),
    responses((status = 200, body = DeliveryDetail), (status = "4XX", body = ErrorBody)))]
async fn show(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<Json<DeliveryDetail>> {
    let delivery = find(&app, &caller.tenant, &id).await?;
    let log = app.db.delivery_attempts(&caller.tenant, &id).await?.into_iter().map(Into::into).collect();
    let body = app.db.notification_body(&caller.tenant, &delivery.webhook_id).await?.map(raw);
    Ok(Json(DeliveryDetail { delivery, log, body }))
}

/// Makes a delivery again that was made, or given up, under the same `webhook-id`.
#[utoipa::path(post, path = "/v1/deliveries/{id}/redeliver", params(("id" = String, Path)),
    responses((status = 202, body = Delivery), (status = "4XX", body = ErrorBody)))]
async fn redeliver(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Delivery>)> {
    if !is_delivery_id(&id) {
        return Err(no_delivery());
    }
    let conflict = |code, why: &str| Err(Error::Conflict(code, why.into(), None));
    match app.db.redeliver(&caller.tenant, &id, ATTEMPTS_MAX).await? {
        Redelivered::Done => Ok((StatusCode::ACCEPTED, Json(find(&app, &caller.tenant, &id).await?))),
        Redelivered::NotFound => Err(no_delivery()),
        Redelivered::Pending => {
            conflict("delivery_pending", "this delivery is still being tried; its `next_at` says when")
        }
        Redelivered::Off => Err(Error::endpoint_disabled()),
        Redelivered::TooOften => {
            conflict("delivery_exhausted", "this delivery was tried 100 times, which is the most; look at its log")
        }
    }
}

pub(super) async fn find(app: &App, tenant: &str, id: &str) -> Result<Delivery> {
    if !is_delivery_id(id) {
        return Err(no_delivery());
    }
    Ok(app.db.find_delivery(tenant, id).await?.ok_or_else(no_delivery)?.into())
}

fn no_delivery() -> Error {
    Error::NotFound("delivery_not_found", "there is no delivery of this id, or it was forgotten after 30 days".into())
}
