//! What a tenant has switched on.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{ErrorBody, Result};
use super::extract::{Body, Json};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(show_agentfield, change_agentfield))
}

/// How a tenant takes AgentField's approval webhooks.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct AgentFieldSettings {
    /// Whether it takes those that are signed without a time, which can be sent again for ever.
    bare_signatures: bool,
}

/// The settings for AgentField's approval webhooks.
#[utoipa::path(get, path = "/v1/settings/agentfield",
    responses((status = 200, body = AgentFieldSettings), (status = "4XX", body = ErrorBody)))]
async fn show_agentfield(State(app): State<App>, caller: Caller) -> Result<Json<AgentFieldSettings>> {
    let bare_signatures = app.db.takes_bare_signatures(&caller.tenant).await?;
    Ok(Json(AgentFieldSettings { bare_signatures }))
}

/// Changes the settings for AgentField's approval webhooks. They hold on all hosts at once.
#[utoipa::path(put, path = "/v1/settings/agentfield", request_body = AgentFieldSettings,
    responses((status = 200, body = AgentFieldSettings), (status = "4XX", body = ErrorBody)))]
async fn change_agentfield(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<AgentFieldSettings>,
) -> Result<Json<AgentFieldSettings>> {
    app.db.take_bare_signatures(&caller.tenant, new.bare_signatures, &caller.actor()).await?;
    Ok(Json(new))
}
