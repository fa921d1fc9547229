//! API keys, and the secrets of webhooks.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::auth::{self, Caller};
use super::error::{Error, ErrorBody, Result};
use super::extract::{Body, Json, Path, text, whole};
use crate::api_key::{Action, Role};
use crate::master_key::{KeyId, MasterKeys};
use crate::random;
use crate::signature;

/// How many keys and secrets of a tenant are in force at once.
const KEYS_MAX: i64 = 1_000;
const SECRETS_MAX: usize = 10;

const NAME_BYTES_MAX: usize = 128;

/// Ten years.
pub(super) const EXPIRES_IN_DAYS_MAX: i32 = 3_653;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create_key, list_keys))
        .routes(routes!(revoke_key))
        .routes(routes!(create_secret, list_secrets))
        .routes(routes!(revoke_secret))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    /// Whose it is, or what for; shown beside what was done with it.
    name: String,
    role: Role,
    #[serde(default, deserialize_with = "whole")]
    #[schema(value_type = Option<i32>)]
    expires_in_days: Option<i64>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Key {
    id: String,
    name: String,
    role: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// The key itself; only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Keys {
    items: Vec<Key>,
    next: Option<String>,
}

impl Key {
    fn new(row: crate::db::tenants::Key, key: Option<String>) -> Self {
        let crate::db::tenants::Key { key_id, name, role, created_at, expires_at } = row;
        Self { id: key_id, name, role, created_at, expires_at, key }
    }
}

/// Makes an API key. It is shown once, here.
#[utoipa::path(post, path = "/v1/keys", request_body = NewKey,
    responses((status = 201, body = Key), (status = "4XX", body = ErrorBody)))]
async fn create_key(
    State(app): State<App>,
    caller: Caller,
    Body(new): Body<NewKey>,
) -> Result<(StatusCode, Json<Key>)> {
    caller.may(Action::Administer)?;
    let name = check_name(&new.name)?;
    let days = new.expires_in_days.map(|days| i32::try_from(days).unwrap_or(0));
    if days.is_some_and(|days| !(1..=EXPIRES_IN_DAYS_MAX).contains(&days)) {
        return Err(Error::invalid(format!("`expires_in_days` is 1 to {EXPIRES_IN_DAYS_MAX}")));
    }
    if app.db.list_keys(&caller.tenant, KEYS_MAX).await?.len() as i64 >= KEYS_MAX {
        return Err(Error::invalid(format!("a tenant has at most {KEYS_MAX} keys in force; revoke one")));
    }
    let actor = caller.actor();
    let (row, key) = auth::new_key(&app.db, &caller.tenant, name, new.role, days, actor).await?;
    Ok((StatusCode::CREATED, Json(Key::new(row, Some(key)))))
}

/// The keys in force, without the keys themselves.
#[utoipa::path(get, path = "/v1/keys", responses((status = 200, body = Keys), (status = "4XX", body = ErrorBody)))]
async fn list_keys(State(app): State<App>, caller: Caller) -> Result<Json<Keys>> {
    caller.may(Action::Administer)?;
    let rows = app.db.list_keys(&caller.tenant, KEYS_MAX).await?;
    Ok(Json(Keys { items: rows.into_iter().map(|row| Key::new(row, None)).collect(), next: None }))
}

/// Revokes a key. From now on this host takes it no more, and no other after half a second.
#[utoipa::path(delete, path = "/v1/keys/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn revoke_key(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode> {
    caller.may(Action::Administer)?;
    if id.contains('\0') || !app.db.revoke_key(&caller.tenant, &id, &caller.actor()).await? {
        return Err(Error::NotFound("key_not_found", "there is no key of this id in force".into()));
    }
    app.good_keys.forget();
    Ok(StatusCode::NO_CONTENT)
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
    fn new(tenant: &str, row: crate::db::tenants::Secret, keys: &MasterKeys, secret: Option<String>) -> Self {
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
    caller.may(Action::Administer)?;
    let name = check_name(new.name.as_deref().unwrap_or("webhook"))?;
    if app.db.list_secrets(&caller.tenant).await?.len() >= SECRETS_MAX {
        return Err(Error::invalid(format!("a tenant has at most {SECRETS_MAX} secrets in force; revoke one")));
    }
    let secret = signature::Secret::from_bytes(random::bytes32());
    let id = format!("sec_{}", uuid::Uuid::now_v7().simple());
    let encrypted = app.master_keys.encrypt(&caller.tenant, &id, &secret, random::nonce());
    let row = app.db.create_secret(&caller.tenant, &id, name, &encrypted, &caller.actor()).await?;
    let made = Secret::new(&caller.tenant, row, &app.master_keys, Some(secret.expose()));
    Ok((StatusCode::CREATED, Json(made)))
}

/// The secrets in force, without the secrets themselves.
#[utoipa::path(get, path = "/v1/secrets",
    responses((status = 200, body = Secrets), (status = "4XX", body = ErrorBody)))]
async fn list_secrets(State(app): State<App>, caller: Caller) -> Result<Json<Secrets>> {
    caller.may(Action::Administer)?;
    let rows = app.db.list_secrets(&caller.tenant).await?;
    let items = rows.into_iter().map(|row| Secret::new(&caller.tenant, row, &app.master_keys, None)).collect();
    Ok(Json(Secrets { items, next: None }))
}

/// Revokes a secret. From now on no host takes a signature by it.
#[utoipa::path(delete, path = "/v1/secrets/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn revoke_secret(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode> {
    caller.may(Action::Administer)?;
    if id.contains('\0') || !app.db.revoke_secret(&caller.tenant, &id, &caller.actor()).await? {
        return Err(Error::NotFound("secret_not_found", "there is no secret of this id in force".into()));
    }
    Ok(StatusCode::NO_CONTENT)
}

fn check_name(name: &str) -> Result<&str> {
    let name = text("name", name, NAME_BYTES_MAX)?;
    if name.trim().is_empty() { Err(Error::invalid("`name` is empty")) } else { Ok(name) }
}
