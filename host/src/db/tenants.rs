//! Tenants, and what they have switched on.

use chrono::{DateTime, Utc};

use super::{Db, Page, Result, audit};
use crate::api_key::HOST_TENANT;
use crate::audit::{Action, Actor, details};

/// A tenant.
#[derive(Debug, sqlx::FromRow)]
pub struct Tenant {
    pub tenant_id: String,
    pub created_at: DateTime<Utc>,
    pub suspended_at: Option<DateTime<Utc>>,
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

    /// The tenants, by name; or the one of this name. That of the host's own keys is none.
    pub async fn list_tenants(&self, tenant: Option<&str>, after: Option<&str>, limit: i64) -> Result<Page<Tenant>> {
        let items = sqlx::query_as(
            "select tenant_id, created_at, suspended_at from tenant
             where tenant_id <> $1 and ($2::text is null or tenant_id = $2) and tenant_id > coalesce($3::text, '')
             order by tenant_id limit $4 + 1",
        )
        .bind(HOST_TENANT)
        .bind(tenant)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.host)
        .await?;
        Ok(Page::cut(items, limit, |last: &Tenant| last.tenant_id.clone()))
    }

    /// Suspends a tenant, or lets it go on. What it was already stays as it was. False if there is no such tenant.
    pub async fn suspend_tenant(&self, tenant: &str, suspended: bool, actor: &Actor<'_>) -> Result<bool> {
        if tenant == HOST_TENANT {
            return Ok(false);
        }
        let mut tx = self.host.begin().await?;
        let changed = sqlx::query(
            "update tenant set suspended_at = case when $2 then clock_timestamp() end
             where tenant_id = $1 and (suspended_at is not null) <> $2",
        )
        .bind(tenant)
        .bind(suspended)
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            let found = sqlx::query("select from tenant where tenant_id = $1").bind(tenant);
            return Ok(found.fetch_optional(&mut *tx).await?.is_some());
        }
        let action = if suspended { Action::TenantSuspended } else { Action::TenantResumed };
        audit::write(&mut tx, tenant, actor, action, tenant, &details([])).await?;
        tx.commit().await?;
        self.bell.ring();
        Ok(true)
    }

    /// Whether the installation has no other tenant.
    pub async fn is_only_tenant(&self, tenant: &str) -> Result<bool> {
        let others = "select exists (select from tenant where tenant_id not in ($1, $2))";
        let others: bool = sqlx::query_scalar(others).bind(tenant).bind(HOST_TENANT).fetch_one(&self.host).await?;
        Ok(!others)
    }

    /// Whether nothing of the tenant is served at the moment.
    pub async fn is_tenant_suspended(&self, tenant: &str) -> Result<bool> {
        let suspended: Option<bool> =
            sqlx::query_scalar("select suspended_at is not null from tenant where tenant_id = $1")
                .bind(tenant)
                .fetch_optional(&mut *self.of(tenant).await?)
                .await?;
        Ok(suspended.unwrap_or(false))
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
}
