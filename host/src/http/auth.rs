//! Who asks: the bearer of an API key.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
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
use crate::limits::Settings;
use crate::peer::Address;
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
    /// Of its tenant.
    settings: Arc<Settings>,
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

    /// The bearer of this key, who sends a request from this address.
    pub(super) async fn of_key(app: &App, text: &str, from: Option<IpAddr>) -> Result<Self> {
        let digest = Sha256::digest(text).into();
        let known = app.good_keys.lock().get(&digest).cloned();
        if known.is_none() {
            // Whose key was good before is looked at, however often others fail at the same address.
            app.strangers.admit(from)?;
        }
        let caller = match known {
            Some((found, caller)) if found.elapsed() < TRUST && caller.is_in_force() => Self { from, ..caller },
            _ => failures_of(app, from, Self::look_up(app, text, digest, from).await)?,
        };
        app.requests.count(&caller.tenant, &caller.settings.quotas)?;
        Ok(caller)
    }

    fn is_in_force(&self) -> bool {
        self.expires_at.is_none_or(|expires_at| expires_at > Utc::now())
    }

    async fn look_up(app: &App, text: &str, digest: [u8; 32], from: Option<IpAddr>) -> Result<Self> {
        let asked = Instant::now();
        let key = ApiKey::parse(text).ok_or(Error::Unauthenticated)?;
        let check = app.db.find_key(key.tenant, key.id).await?.ok_or(Error::Unauthenticated)?;
        if !key.has_secret(&check.secret_sha256) {
            return Err(Error::Unauthenticated);
        }
        let role = Role::from_name(&check.role).ok_or(Error::Internal)?;
        let (tenant, key_id) = (key.tenant.into(), key.id.into());
        let (name, expires_at, settings) = (check.name, check.expires_at, Arc::default());
        let caller = Self { tenant, key_id, name, from, role, expires_at, settings };
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
