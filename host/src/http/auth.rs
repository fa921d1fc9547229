//! Who asks: the bearer of an API key.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, header};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::error::{Error, Result};
use super::{App, access};
use crate::api_key::{self, Action, ApiKey, Role};
use crate::audit::{Actor, Who};
use crate::db::keys::{Key, KeyCheck, NewKey};
use crate::db::{self, Db};
use crate::limits::Settings;
use crate::peer::Address;
use crate::random;
use crate::trust::Trusted;

/// The keys that were found good just now, by the SHA-256 of their text. A key that is revoked, or whose tenant is suspended,
/// on another host is refused here once that is trusted no more.
pub(super) type GoodKeys = Trusted<[u8; 32], Caller>;

/// What is known of a key, if it has not expired meanwhile.
fn known_good(keys: &GoodKeys, digest: &[u8; 32]) -> Option<Caller> {
    let caller = keys.get(digest)?;
    let expired = caller.expires_at.is_some_and(|expires_at| expires_at <= Utc::now());
    (!expired).then_some(caller)
}

/// The tenant, the key and the role behind a request. That the role may do what the route is for has been checked.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) tenant: String,
    pub(super) key_id: String,
    /// The name of the key.
    pub(super) name: String,
    /// What is set for the tenant: its limits and quotas.
    pub(super) settings: Arc<Settings>,
    pub(super) role: Role,
    is_suspended: bool,
    /// Where this request comes from.
    from: Option<IpAddr>,
    expires_at: Option<DateTime<Utc>>,
    /// SHA-256 of the key's text.
    digest: [u8; 32],
}

impl Caller {
    /// Fails with 403 unless the role may do this.
    pub(super) fn may(&self, action: Action) -> Result<()> {
        if self.role.may(action) { Ok(()) } else { Err(Error::Forbidden(self.role.as_str())) }
    }

    /// How the audit log and the rows name who does something.
    pub(super) fn actor(&self) -> Actor<'_> {
        let who = match self.role {
            Role::Host => Who::HostKey(&self.key_id),
            _ => Who::Key(&self.key_id),
        };
        Actor { who, name: Some(&self.name), from: self.from }
    }

    /// The bearer of this key, who may do what the request is for.
    pub(super) async fn of_key(app: &App, text: &str, parts: &Parts) -> Result<Self> {
        let (digest, from) = (Sha256::digest(text).into(), peer(&parts.extensions));
        let caller = match known_good(&app.good_keys, &digest) {
            Some(caller) => caller,
            None => {
                // Whose key was good before is looked at, however often others fail at the same address.
                if !app.good_keys.knows(&digest) {
                    app.strangers.admit(from)?;
                }
                failures_of(app, from, prove(app, text, digest).await)?
            }
        };
        count(app, &caller)?;
        let caller = Self { from, ..caller.served()? };
        caller.may(access::action(parts)?)?;
        Ok(caller)
    }

    /// Fails unless the key is in force still, and its tenant served. For requests that last.
    pub(super) async fn look_again(&self, app: &App) -> Result<()> {
        let caller = match known_good(&app.good_keys, &self.digest) {
            Some(caller) => caller,
            // Its secret was the right one, and is the same for ever.
            None => look_up(app, (&self.tenant, &self.key_id), self.digest, |_| true).await?,
        };
        caller.served().map(drop)
    }

    fn served(self) -> Result<Self> {
        if self.is_suspended { Err(Error::suspended()) } else { Ok(self) }
    }
}

/// The bearer of this key, if it is one and in force.
async fn prove(app: &App, text: &str, digest: [u8; 32]) -> Result<Caller> {
    let key = ApiKey::parse(text).ok_or(Error::Unauthenticated)?;
    look_up(app, (key.tenant, key.id), digest, |check| key.has_secret(&check.secret_sha256)).await
}

/// Counts a request. Fails with 429 if its tenant sends more than its quota.
fn count(app: &App, caller: &Caller) -> Result<()> {
    let per_second = caller.settings.quotas.requests_per_second;
    app.requests.take(&caller.tenant, per_second, Instant::now()).map_err(|retry_after| {
        let message = format!(
            "this tenant sends more than {per_second} requests a second, its quota `requests_per_second`; try again after \
             as many seconds as `Retry-After` says"
        );
        Error::TooManyRequests { code: "rate_limited", message, retry_after }
    })
}

/// Finds the key of this tenant and id in the database, and remembers it if it is in force and `fits`.
async fn look_up(
    app: &App,
    (tenant, key_id): (&str, &str),
    digest: [u8; 32],
    fits: impl FnOnce(&KeyCheck) -> bool,
) -> Result<Caller> {
    // As old as the question, not as the answer: a key may have been revoked in between.
    let asked = app.good_keys.ask();
    let check = app.db.find_key(tenant, key_id).await?.filter(fits).ok_or(Error::Unauthenticated)?;
    let caller = Caller {
        tenant: tenant.into(),
        key_id: key_id.into(),
        settings: Arc::new(settings(tenant, &check.limits)),
        role: Role::from_name(&check.role).ok_or(Error::Internal)?,
        is_suspended: check.is_suspended,
        name: check.name,
        from: None,
        expires_at: check.expires_at,
        digest,
    };
    app.key_uses.note(tenant, key_id);
    app.good_keys.put(asked, digest, caller.clone());
    Ok(caller)
}

/// What is set for a tenant. A row that this version cannot read must not keep it from being served.
fn settings(tenant: &str, limits: &str) -> Settings {
    Settings::read(limits).unwrap_or_else(|why| {
        tracing::error!(tenant.id = tenant, %why, "the limits of a tenant cannot be read; it has the defaults");
        Settings::default()
    })
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(header), None) = (headers.next(), headers.next()) else { return Err(Error::Unauthenticated) };
        let key = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        Self::of_key(app, key.ok_or(Error::Unauthenticated)?, parts).await
    }
}

/// Where a request comes from: the other end of its connection, or what a trusted proxy there says.
pub(super) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Address>().map(|address| address.0)
}

/// Counts it against this address if what it sent did not prove who sent it.
pub(super) fn failures_of<T>(app: &App, from: Option<IpAddr>, result: Result<T>) -> Result<T> {
    if matches!(result, Err(Error::Unauthenticated | Error::InvalidSignature)) {
        app.strangers.failed(from);
    }
    result
}

/// Makes a key and returns its text, which is kept nowhere.
pub async fn new_key(
    db: &Db,
    tenant: &str,
    name: &str,
    role: Role,
    expires_in_days: Option<i32>,
    actor: Actor<'_>,
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
        actor,
    };
    Ok((db.create_key(&row).await?, text))
}
