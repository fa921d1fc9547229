//! Who asks: the bearer of an API key.

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use super::App;
use super::error::{Error, Result};
use crate::api_key::{self, Action, ApiKey, Role};
use crate::db::tenants::{Key, NewKey};
use crate::db::{self, Db};
use crate::random;

/// The tenant, the key and the role behind a request. Which action it may do is for the handler to ask.
pub(super) struct Caller {
    pub(super) tenant: String,
    pub(super) key_id: String,
    /// The name of the key.
    pub(super) name: String,
    role: Role,
}

impl Caller {
    /// Fails with 403 unless the role may do this.
    pub(super) fn may(&self, action: Action) -> Result<()> {
        if self.role.may(action) { Ok(()) } else { Err(Error::Forbidden(self.role.as_str())) }
    }

    /// How rows name who did something.
    pub(super) fn via(&self) -> String {
        format!("key:{}", self.key_id)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(header), None) = (headers.next(), headers.next()) else { return Err(Error::Unauthenticated) };
        let key = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        let key = key.and_then(ApiKey::parse).ok_or(Error::Unauthenticated)?;
        let check = app.db.find_key(key.tenant, key.id).await?.ok_or(Error::Unauthenticated)?;
        if !key.has_secret(&check.secret_sha256) {
            return Err(Error::Unauthenticated);
        }
        let role = Role::from_name(&check.role).ok_or(Error::Internal)?;
        Ok(Self { tenant: key.tenant.into(), key_id: key.id.into(), name: check.name, role })
    }
}

/// Makes a key and returns its text, which is kept nowhere.
pub async fn new_key(
    db: &Db,
    tenant: &str,
    name: &str,
    role: Role,
    expires_in_days: Option<i32>,
) -> db::Result<(Key, String)> {
    let text = api_key::generate(tenant, random::bytes32());
    let key = ApiKey::parse(&text).expect("a key that was just made is a key");
    let row = NewKey {
        tenant,
        key_id: key.id,
        name,
        role: role.as_str(),
        secret_sha256: &key.secret_sha256(),
        expires_in_days,
    };
    Ok((db.create_key(&row).await?, text))
}
