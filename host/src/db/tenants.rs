//! Tenants, their API keys, and the secrets of their webhooks.

use chrono::{DateTime, Utc};

use super::{Db, Result, audit};
use crate::audit::{Action, Actor, details, time};
use crate::master_key::KeyId;

/// An API key, without its secret.
#[derive(Debug, sqlx::FromRow)]
pub struct Key {
    pub key_id: String,
    pub name: String,
    pub role: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// What is needed to check an API key that somebody presents.
#[derive(Debug, sqlx::FromRow)]
pub struct KeyCheck {
    pub name: String,
    pub role: String,
    pub secret_sha256: Vec<u8>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// A webhook secret, encrypted: see `master_key`.
#[derive(Debug, sqlx::FromRow)]
pub struct Secret {
    pub secret_id: String,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub encrypted: Vec<u8>,
}

/// What is needed to decrypt one.
#[derive(Debug, sqlx::FromRow)]
pub struct Encrypted {
    pub tenant_id: String,
    pub secret_id: String,
    pub encrypted: Vec<u8>,
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
    /// Creates the tenant. False if it exists already.
    pub async fn create_tenant(&self, tenant: &str, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.host.begin().await?;
        let done = sqlx::query("insert into tenant (tenant_id) values ($1) on conflict do nothing")
            .bind(tenant)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        audit::write(&mut tx, tenant, actor, Action::TenantCreated, tenant, &details([])).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub async fn create_key(&self, new: &NewKey<'_>) -> Result<Key> {
        let mut tx = self.begin(new.tenant).await?;
        let key: Key = sqlx::query_as(
            "insert into api_key (tenant_id, key_id, name, role, secret_sha256, expires_at)
             values ($1, $2, $3, $4, $5, now() + make_interval(days => $6))
             returning key_id, name, role, created_at, expires_at",
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
            "select name, role, secret_sha256, expires_at from api_key
             where tenant_id = $1 and key_id = $2
               and revoked_at is null and (expires_at is null or expires_at > now())",
        )
        .bind(tenant)
        .bind(key_id)
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?)
    }

    /// The keys in force, oldest first.
    pub async fn list_keys(&self, tenant: &str, limit: i64) -> Result<Vec<Key>> {
        Ok(sqlx::query_as(
            "select key_id, name, role, created_at, expires_at from api_key
             where tenant_id = $1 and revoked_at is null order by created_at, key_id limit $2",
        )
        .bind(tenant)
        .bind(limit)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?)
    }

    /// Once this returns true, the key is found no more. False if there is no such key in force.
    pub async fn revoke_key(&self, tenant: &str, key_id: &str, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.begin(tenant).await?;
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

    /// Keeps an encrypted webhook secret. How many are in force is for the caller to bound, by `list_secrets`.
    pub async fn create_secret(
        &self,
        tenant: &str,
        id: &str,
        name: &str,
        encrypted: &[u8],
        actor: &Actor<'_>,
    ) -> Result<Secret> {
        let mut tx = self.begin(tenant).await?;
        let secret = sqlx::query_as(
            "insert into webhook_secret (tenant_id, secret_id, name, encrypted) values ($1, $2, $3, $4)
             returning secret_id, name, created_at, encrypted",
        )
        .bind(tenant)
        .bind(id)
        .bind(name)
        .bind(encrypted)
        .fetch_one(&mut *tx)
        .await?;
        let details = details([("name", name.into())]);
        audit::write(&mut tx, tenant, actor, Action::SecretCreated, id, &details).await?;
        tx.commit().await?;
        Ok(secret)
    }

    /// The secrets in force: what a signature may have been made with.
    pub async fn webhook_secrets(&self, tenant: &str) -> Result<Vec<Encrypted>> {
        Ok(sqlx::query_as(
            "select tenant_id, secret_id, encrypted from webhook_secret
             where tenant_id = $1 and revoked_at is null order by created_at desc",
        )
        .bind(tenant)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?)
    }

    /// Whether the tenant takes AgentField's webhooks that are signed without a time. False if there is no such tenant.
    pub async fn takes_bare_signatures(&self, tenant: &str) -> Result<bool> {
        let takes: Option<bool> =
            sqlx::query_scalar("select agentfield_bare_signatures from tenant where tenant_id = $1")
                .bind(tenant)
                .fetch_optional(&mut *self.of(tenant).await?)
                .await?;
        Ok(takes.unwrap_or(false))
    }

    /// Once this returns, no host takes them any more, or every host does.
    pub async fn take_bare_signatures(&self, tenant: &str, takes: bool, actor: &Actor<'_>) -> Result<()> {
        let mut tx = self.begin(tenant).await?;
        let changed = sqlx::query(
            "update tenant set agentfield_bare_signatures = $2
             where tenant_id = $1 and agentfield_bare_signatures <> $2",
        )
        .bind(tenant)
        .bind(takes)
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 1 {
            let details = details([("value", takes.into())]);
            let subject = "agentfield.bare_signatures";
            audit::write(&mut tx, tenant, actor, Action::SettingChanged, subject, &details).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The secrets in force, oldest first.
    pub async fn list_secrets(&self, tenant: &str) -> Result<Vec<Secret>> {
        Ok(sqlx::query_as(
            "select secret_id, name, created_at, encrypted from webhook_secret
             where tenant_id = $1 and revoked_at is null order by created_at, secret_id",
        )
        .bind(tenant)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?)
    }

    /// Once this returns true, no host takes a signature by it any more, and the secret is gone. False if there is no
    /// such secret in force.
    pub async fn revoke_secret(&self, tenant: &str, secret_id: &str, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.begin(tenant).await?;
        let name: Option<String> = sqlx::query_scalar(
            "update webhook_secret set revoked_at = now(), encrypted = null
             where tenant_id = $1 and secret_id = $2 and revoked_at is null returning name",
        )
        .bind(tenant)
        .bind(secret_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(name) = name else { return Ok(false) };
        let details = details([("name", name.into())]);
        audit::write(&mut tx, tenant, actor, Action::SecretRevoked, secret_id, &details).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// How many secrets of all tenants and their endpoints are in force, by their version and master key: the first five bytes.
    pub async fn count_secrets(&self) -> Result<Vec<(Vec<u8>, i64)>> {
        Ok(sqlx::query_as(
            "select substring(encrypted from 1 for 5) as master_key, count(*)
             from (select encrypted from webhook_secret where revoked_at is null
                   union all select encrypted from endpoint_secret) as kept
             group by master_key order by master_key",
        )
        .fetch_all(&self.host)
        .await?)
    }

    /// The secrets of all tenants in force, after this one, in the order of tenant and id.
    pub async fn secrets_after(&self, tenant: &str, secret_id: &str, limit: i64) -> Result<Vec<Encrypted>> {
        Ok(sqlx::query_as(
            "select tenant_id, secret_id, encrypted from webhook_secret
             where (tenant_id, secret_id) > ($1, $2) and revoked_at is null order by tenant_id, secret_id limit $3",
        )
        .bind(tenant)
        .bind(secret_id)
        .bind(limit)
        .fetch_all(&self.host)
        .await?)
    }

    /// Keeps a secret in another encryption. False if it was revoked or encrypted anew meanwhile.
    pub async fn reencrypt_secret(&self, old: &Encrypted, encrypted: &[u8], actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.begin(&old.tenant_id).await?;
        let done = sqlx::query(
            "update webhook_secret set encrypted = $4 where tenant_id = $1 and secret_id = $2 and encrypted = $3",
        )
        .bind(&old.tenant_id)
        .bind(&old.secret_id)
        .bind(&old.encrypted)
        .bind(encrypted)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let details = details([("master_key", KeyId::of(encrypted).map(|id| id.to_string()).into())]);
        audit::write(&mut tx, &old.tenant_id, actor, Action::SecretReencrypted, &old.secret_id, &details).await?;
        tx.commit().await?;
        Ok(true)
    }
}
