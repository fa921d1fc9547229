//! The secrets of webhooks.

use chrono::{DateTime, Utc};

use super::{Db, Result, audit};
use crate::audit::{Action, Actor, details};
use crate::master_key::KeyId;

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

/// A secret that a webhook may be signed with, and whether its tenant is served.
#[derive(Debug, sqlx::FromRow)]
pub struct Signing {
    #[sqlx(flatten)]
    pub secret: Encrypted,
    pub is_suspended: bool,
}

impl Db {
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
    pub async fn webhook_secrets(&self, tenant: &str) -> Result<Vec<Signing>> {
        Ok(sqlx::query_as(
            "select s.tenant_id, s.secret_id, s.encrypted, t.suspended_at is not null as is_suspended
             from webhook_secret s join tenant t on t.tenant_id = s.tenant_id
             where s.tenant_id = $1 and s.revoked_at is null order by s.created_at desc",
        )
        .bind(tenant)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?)
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

    /// Once this returns true, no host that looks takes a signature by it any more, and the secret is gone. False if there
    /// is no such secret in force.
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
