//! Who asks: the bearer of an API key.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, header};
use chrono::{DateTime, Utc};
use lru::LruCache;
use sha2::{Digest as _, Sha256};

use super::App;
use super::error::{Error, Result};
use crate::api_key::{self, Action, ApiKey, Role};
use crate::audit::{Actor, Who};
use crate::db::tenants::{Key, NewKey};
use crate::db::{self, Db};
use crate::random;

/// How long a key that was found good is taken to be good without a look. A key that is revoked on another host is
/// refused here after this time.
const TRUST: Duration = Duration::from_millis(500);

/// How many keys are remembered.
const KEYS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("4,096 is not 0");

/// The keys that were found good just now, by the SHA-256 of their text.
#[derive(Clone)]
pub(super) struct GoodKeys(Arc<Mutex<Known>>);

/// When each was looked up, and what was found.
type Known = LruCache<[u8; 32], (Instant, Caller)>;

impl GoodKeys {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(KEYS_REMEMBERED))))
    }

    /// Looks each key up again. Call it when one was revoked.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenant, the key and the role behind a request. Which action it may do is for the handler to ask.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) tenant: String,
    pub(super) key_id: String,
    /// The name of the key.
    pub(super) name: String,
    /// Where this request comes from.
    from: Option<IpAddr>,
    role: Role,
    expires_at: Option<DateTime<Utc>>,
}

impl Caller {
    /// Fails with 403 unless the role may do this.
    pub(super) fn may(&self, action: Action) -> Result<()> {
        if self.role.may(action) { Ok(()) } else { Err(Error::Forbidden(self.role.as_str())) }
    }

    /// How the audit log and the rows name who does something.
    pub(super) fn actor(&self) -> Actor<'_> {
        Actor { who: Who::Key(&self.key_id), name: Some(&self.name), from: self.from }
    }

    /// The bearer of this key, at the other end of this connection.
    pub(super) async fn of_key(app: &App, text: &str, from: Option<IpAddr>) -> Result<Self> {
        let (digest, asked) = (Sha256::digest(text).into(), Instant::now());
        if let Some((found, caller)) = app.good_keys.lock().get(&digest)
            && found.elapsed() < TRUST
            && caller.expires_at.is_none_or(|expires_at| expires_at > Utc::now())
        {
            return Ok(Self { from, ..caller.clone() });
        }
        let key = ApiKey::parse(text).ok_or(Error::Unauthenticated)?;
        let check = app.db.find_key(key.tenant, key.id).await?.ok_or(Error::Unauthenticated)?;
        if !key.has_secret(&check.secret_sha256) {
            return Err(Error::Unauthenticated);
        }
        let role = Role::from_name(&check.role).ok_or(Error::Internal)?;
        let (tenant, key_id) = (key.tenant.into(), key.id.into());
        let caller = Self { tenant, key_id, name: check.name, from, role, expires_at: check.expires_at };
        // As old as the question, not as the answer: a key may have been revoked in between.
        app.good_keys.lock().put(digest, (asked, caller.clone()));
        Ok(caller)
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(header), None) = (headers.next(), headers.next()) else { return Err(Error::Unauthenticated) };
        let key = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
        Self::of_key(app, key.ok_or(Error::Unauthenticated)?, peer(&parts.extensions)).await
    }
}

/// The other end of the connection that a request came over.
pub(super) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
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
