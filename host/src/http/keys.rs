//! API keys: a tenant's own, and, for a key of the role `host`, those of that role.

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
use crate::api_key::Role;

/// How many keys of a tenant are in force at once.
const KEYS_MAX: i64 = 1_000;

/// Longest name of a key or a secret, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

const OTHERS_ROLE: &str = "keys of the role `host` are made with such a key, and no others are: to make an operator of a \
                           tenant with it, POST /v1/tenants/{tenant}/keys";

/// Ten years.
pub(super) const EXPIRES_IN_DAYS_MAX: i32 = 3_653;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(create_key, list_keys)).routes(routes!(revoke_key))
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
pub(super) struct Key {
    id: String,
    name: String,
    role: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// To the minute or so; null if it was never used.
    last_used_at: Option<DateTime<Utc>>,
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
    fn new(row: crate::db::keys::Key, key: Option<String>) -> Self {
        let crate::db::keys::Key { key_id, name, role, created_at, expires_at, last_used_at } = row;
        Self { id: key_id, name, role, created_at, expires_at, last_used_at, key }
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
    if (new.role == Role::Host) != (caller.role == Role::Host) {
        return Err(Error::Denied("forbidden", OTHERS_ROLE));
    }
    let key = make(&app, &caller, &caller.tenant, &new.name, new.role, new.expires_in_days).await?;
    Ok((StatusCode::CREATED, Json(key)))
}

/// Makes a key of a tenant, which need not be the caller's.
pub(super) async fn make(
    app: &App,
    caller: &Caller,
    tenant: &str,
    name: &str,
    role: Role,
    expires_in_days: Option<i64>,
) -> Result<Key> {
    let name = check_name(name)?;
    let days = expires_in_days.map(|days| i32::try_from(days).unwrap_or(0));
    if days.is_some_and(|days| !(1..=EXPIRES_IN_DAYS_MAX).contains(&days)) {
        return Err(Error::invalid(format!("`expires_in_days` is 1 to {EXPIRES_IN_DAYS_MAX}")));
    }
    if app.db.list_keys(tenant, KEYS_MAX).await?.len() as i64 >= KEYS_MAX {
        return Err(Error::invalid(format!("a tenant has at most {KEYS_MAX} keys in force; revoke one")));
    }
    let (row, key) = auth::new_key(&app.db, tenant, name, role, days, caller.actor()).await?;
    Ok(Key::new(row, Some(key)))
}

/// The keys in force, without the keys themselves.
#[utoipa::path(get, path = "/v1/keys", responses((status = 200, body = Keys), (status = "4XX", body = ErrorBody)))]
async fn list_keys(State(app): State<App>, caller: Caller) -> Result<Json<Keys>> {
    let rows = app.db.list_keys(&caller.tenant, KEYS_MAX).await?;
    Ok(Json(Keys { items: rows.into_iter().map(|row| Key::new(row, None)).collect(), next: None }))
}

/// Revokes a key. From now on this host takes it no more, and no other after half a second.
#[utoipa::path(delete, path = "/v1/keys/{id}", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
async fn revoke_key(State(app): State<App>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode> {
    if id.contains('\0') || !app.db.revoke_key(&caller.tenant, &id, &caller.actor()).await? {
        return Err(Error::NotFound("key_not_found", "there is no key of this id in force".into()));
    }
    app.good_keys.forget();
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn check_name(name: &str) -> Result<&str> {
    let name = text("name", name, NAME_BYTES_MAX)?;
    if name.trim().is_empty() || name.contains(char::is_control) {
        return Err(Error::invalid("`name` is text that can be shown on one line, and not empty"));
    }
    Ok(name)
}
