//! API keys.

use chrono::{DateTime, Utc};

use super::{Db, Result, audit};
use crate::audit::{Action, Actor, details, time};

/// An API key, without its secret.
#[derive(Debug, sqlx::FromRow)]
pub struct Key {
    pub key_id: String,
    pub name: String,
    pub role: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute or so.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What is needed to check an API key that somebody presents, and what its tenant may do.
#[derive(Debug, sqlx::FromRow)]
pub struct KeyCheck {
    pub name: String,
    pub role: String,
    pub secret_sha256: Vec<u8>,
    pub expires_at: Option<DateTime<Utc>>,
    pub is_suspended: bool,
    /// The text of what is set for the tenant: `limits::Settings`.
    pub limits: String,
}

/// A key to be made.
#[derive(Debug)]
pub struct NewKey<'a> {
    pub tenant: &'a str,
    pub key_id: &'a str,
    pub name: &'a str,
    pub role: &'a str,
    pub secret_sha256: &'a [u8],
    pub expires_in_days: Option<i32>,
    pub actor: Actor<'a>,
}

impl Db {
    pub async fn create_key(&self, new: &NewKey<'_>) -> Result<Key> {
        let mut tx = self.pool.begin().await?;
        let key: Key = sqlx::query_as(
            "insert into api_key (tenant_id, key_id, name, role, secret_sha256, expires_at)
             values ($1, $2, $3, $4, $5, now() + make_interval(days => $6))
             returning key_id, name, role, created_at, expires_at, last_used_at",
        )
        .bind(new.tenant)
        .bind(new.key_id)
        .bind(new.name)
        .bind(new.role)
        .bind(new.secret_sha256)
        .bind(new.expires_in_days)
        .fetch_one(&mut *tx)
        .await?;
        let details = details([
            ("name", new.name.into()),
            ("role", new.role.into()),
            ("expires_at", key.expires_at.map(time).into()),
        ]);
        audit::write(&mut tx, new.tenant, &new.actor, Action::KeyCreated, new.key_id, &details).await?;
        tx.commit().await?;
        Ok(key)
    }

    /// A key that is neither revoked nor expired.
    pub async fn find_key(&self, tenant: &str, key_id: &str) -> Result<Option<KeyCheck>> {
        Ok(sqlx::query_as(
            "select k.name, k.role, k.secret_sha256, k.expires_at, t.suspended_at is not null as is_suspended,
                    t.limits::text as limits
             from api_key k join tenant t on t.tenant_id = k.tenant_id
             where k.tenant_id = $1 and k.key_id = $2
               and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())",
        )
        .bind(tenant)
        .bind(key_id)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Keeps that these keys, each of a tenant, were used just now; not that of one for which it was kept less than a
    /// minute ago. Of all tenants at once, and not waiting for the disk: it is to cost nobody anything.
    pub async fn note_uses(&self, uses: &[(String, String)]) -> Result<()> {
        let (tenants, keys): (Vec<&str>, Vec<&str>) = uses.iter().map(|(t, key)| (t.as_str(), key.as_str())).unzip();
        sqlx::query(
            "with stale as materialized (
                 select tenant_id, key_id from api_key
                 join unnest($1::text[], $2::text[]) as used (tenant_id, key_id) using (tenant_id, key_id)
                 where last_used_at is null or last_used_at < now() - interval '1 minute'
                 for no key update of api_key skip locked
             )
             update api_key k set last_used_at = now() from stale
             where k.tenant_id = stale.tenant_id and k.key_id = stale.key_id",
        )
        .bind(tenants)
        .bind(keys)
        .execute(&self.relaxed)
        .await?;
        Ok(())
    }

    /// The keys in force, oldest first.
    pub async fn list_keys(&self, tenant: &str, limit: i64) -> Result<Vec<Key>> {
        Ok(sqlx::query_as(
            "select key_id, name, role, created_at, expires_at, last_used_at from api_key
             where tenant_id = $1 and revoked_at is null order by created_at, key_id limit $2",
        )
        .bind(tenant)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Once this returns true, the key is found no more. False if there is no such key in force.
    pub async fn revoke_key(&self, tenant: &str, key_id: &str, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let name: Option<String> = sqlx::query_scalar(
            "update api_key set revoked_at = now() where tenant_id = $1 and key_id = $2 and revoked_at is null
             returning name",
        )
        .bind(tenant)
        .bind(key_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(name) = name else { return Ok(false) };
        let details = details([("name", name.into())]);
        audit::write(&mut tx, tenant, actor, Action::KeyRevoked, key_id, &details).await?;
        tx.commit().await?;
        Ok(true)
    }
}
