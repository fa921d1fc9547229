//! The secrets that sign webhooks.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::Caller;
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Json, Path};
use super::keys::check_name;
use crate::master_key::{KeyId, MasterKeys};
use crate::random;
use crate::signature;

/// How many secrets of a tenant are in force at once.
const SECRETS_MAX: usize = 10;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_secret, list_secrets)).routes(routes!(revoke_secret))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSecret {
    name: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Secret {
    id: String,
    name: String,
    created_at: DateTime<Utc>,
    /// The id of the key that it is encrypted under in the database.
    master_key: Option<String>,
    /// Whether the host that answers can decrypt it. Webhooks that are signed with one that it cannot are refused.
    usable: bool,
    /// The secret itself; only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Secrets {
    items: Vec<Secret>,
    next: Option<String>,
}

impl Secret {
    fn new(tenant: &str, row: crate::db::secrets::Secret, keys: &MasterKeys, secret: Option<String>) -> Self {
        let usable = keys.decrypt(tenant, &row.secret_id, &row.encrypted).is_ok();
        let master_key = KeyId::of(&row.encrypted).map(|id| id.to_string());
        Self { id: row.secret_id, name: row.name, created_at: row.created_at, master_key, usable, secret }
    }
}

/// Makes a webhook secret. It is shown once, here. Several may be in force: that is how one is rotated.
#[utoipa::path(post, path = "/v1/secrets", request_body = NewSecret,
    responses((status = 201, body = Secret), (status = "4XX", body = ErrorBody)))]
async fn create_secret(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewSecret>,
) -> Result<(StatusCode, Json<Secret>)> {
    let name = check_name(new.name.as_deref().unwrap_or("webhook"))?;
    if app.db.list_secrets(&caller.tenant).await?.len() >= SECRETS_MAX {
        return Err(Error::invalid(format!("a tenant has at most {SECRETS_MAX} secrets in force; revoke one")));
    }
    let secret = signature::Secret::from_bytes(random::bytes32());
    let id = format!("sec_{}", uuid::Uuid::now_v7().simple());
    let encrypted = app.master_keys.encrypt(&caller.tenant, &id, &secret, random::nonce());
    let row = app.db.create_secret(&caller.tenant, &id, name, &encrypted, &caller.actor()).await?;
    app.signing.forget();
    let made = Secret::new(&caller.tenant, row, &app.master_keys, Some(secret.expose()));
    Ok((StatusCode::CREATED, Json(made)))
}

/// The secrets in force, without the secrets themselves.
#[utoipa::path(get, path = "/v1/secrets",
    responses((status = 200, body = Secrets), (status = "4XX", body = ErrorBody)))]
async fn list_secrets(State(app): State<App>, caller: Caller) -> Result<Json<Secrets>> {
    let rows = app.db.list_secrets(&caller.tenant).await?;
    let items = rows.into_iter().map(|row| Secret::new(&caller.tenant, row, &app.master_keys, None)).collect();
    Ok(Json(Secrets { items, next: None }))
}

/// Revokes a secret. From now on this host takes no signature by it, and no other after half a second.
#[utoipa::path(delete, path = "/v1/secrets/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn revoke_secret(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode> {
    if id.contains('\0') || !app.db.revoke_secret(&caller.tenant, &id, &caller.actor()).await? {
        return Err(Error::NotFound("secret_not_found", "there is no secret of this id in force".into()));
    }
    app.signing.forget();
    Ok(StatusCode::NO_CONTENT)
}
