//! Uploaded components, and the agents that they are versions of.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::limits::Terms;
use super::{Db, Page, Result, audit, page_of};
use crate::audit::{Action, Actor, details};
use crate::execution::hex;

/// A component's SHA-256.
pub type Digest = [u8; 32];

/// One deployed component of an agent.
#[derive(Debug, sqlx::FromRow)]
pub struct Version {
    pub agent: String,
    pub version: i32,
    pub active: bool,
    pub digest: Vec<u8>,
    pub size_bytes: i32,
    /// JSON text.
    pub manifest: String,
    pub created_at: DateTime<Utc>,
    /// Only of a version that was looked for by itself.
    #[sqlx(flatten)]
    pub terms: Terms,
}

/// What a deployment did.
#[derive(Debug)]
pub enum Deployed {
    Created(Version),
    /// The active version is already this component.
    Unchanged(Version),
}

/// A component that passed all checks.
#[derive(Debug)]
pub struct Deployment<'a> {
    pub tenant: &'a str,
    pub agent: &'a str,
    pub digest: Digest,
    /// None: the tenant has a grant of it already.
    pub wasm: Option<&'a [u8]>,
    /// JSON text.
    pub manifest: &'a str,
    /// Who uploaded it.
    pub actor: Actor<'a>,
}

impl Db {
    /// Keeps the component and makes it the agent's next and active version, all at once.
    ///
    /// Executions that have started stay on the version that they started on.
    pub async fn deploy(&self, new: &Deployment<'_>) -> Result<Deployed> {
        let mut tx = self.begin(new.tenant).await?;
        if let Some(wasm) = new.wasm {
            sqlx::query("select keep_component($1, $2, $3)")
                .bind(&new.digest[..])
                .bind(wasm)
                .bind(new.manifest)
                .execute(&mut *tx)
                .await?;
        }
        // Creates the agent or locks it, so that two uploads count one after the other.
        let active: i32 = sqlx::query_scalar(
            "insert into agent (tenant_id, agent, active_version) values ($1, $2, 1)
             on conflict (tenant_id, agent) do update set active_version = agent.active_version
             returning active_version",
        )
        .bind(new.tenant)
        .bind(new.agent)
        .fetch_one(&mut *tx)
        .await?;
        let unchanged: bool = sqlx::query_scalar(
            "select exists (select from agent_version
                            where tenant_id = $1 and agent = $2 and version = $3 and digest = $4)",
        )
        .bind(new.tenant)
        .bind(new.agent)
        .bind(active)
        .bind(&new.digest[..])
        .fetch_one(&mut *tx)
        .await?;
        if unchanged {
            tx.rollback().await?;
            let version = self.find_version(new.tenant, new.agent, None).await?.ok_or(sqlx::Error::RowNotFound)?;
            return Ok(Deployed::Unchanged(version));
        }
        let version: i32 = sqlx::query_scalar(
            "with next as (
                 select coalesce(max(version), 0) + 1 as version from agent_version where tenant_id = $1 and agent = $2
             ), activated as (
                 update agent set active_version = next.version from next where tenant_id = $1 and agent = $2
             )
             insert into agent_version (tenant_id, agent, version, digest, created_by)
             select $1, $2, version, $3, $4 from next returning version",
        )
        .bind(new.tenant)
        .bind(new.agent)
        .bind(&new.digest[..])
        .bind(new.actor.who.to_string())
        .fetch_one(&mut *tx)
        .await?;
        let details = details([("digest", format!("sha256:{}", hex(&new.digest)).into()), ("version", version.into())]);
        audit::write(&mut tx, new.tenant, &new.actor, Action::AgentDeployed, new.agent, &details).await?;
        tx.commit().await?;
        self.active.forget();
        let version = self.find_version(new.tenant, new.agent, Some(version)).await?.ok_or(sqlx::Error::RowNotFound)?;
        Ok(Deployed::Created(version))
    }

    /// The version that executions of an agent start on, as it was a moment ago: `trust::TRUST` says how long. Whoever starts
    /// one has it checked by the statement that does.
    pub async fn active_version(&self, tenant: &str, agent: &str) -> Result<Option<Arc<Version>>> {
        let key = (tenant.to_owned(), agent.to_owned());
        if let Some(version) = self.active.get(&key) {
            return Ok(Some(version));
        }
        let asked = self.active.ask();
        let version = self.find_version(tenant, agent, None).await?.map(Arc::new);
        if let Some(version) = &version {
            self.active.put(asked, key, version.clone());
        }
        Ok(version)
    }

    /// A version of an agent; the active one if none is named.
    pub async fn find_version(&self, tenant: &str, agent: &str, version: Option<i32>) -> Result<Option<Version>> {
        Ok(sqlx::query_as(
            "select v.agent, v.version, v.version = a.active_version as active, v.digest,
                    g.size_bytes, g.manifest, v.created_at,
                    t.limits::text as tenant_limits, a.limits::text as agent_limits, u.unfinished, u.stored_bytes
             from agent_version v
             join agent a on a.tenant_id = v.tenant_id and a.agent = v.agent
             join component_grant g on g.tenant_id = v.tenant_id and g.digest = v.digest
             join tenant t on t.tenant_id = v.tenant_id
             left join tenant_usage u on u.tenant_id = v.tenant_id
             where v.tenant_id = $1 and v.agent = $2 and v.version = coalesce($3, a.active_version)",
        )
        .bind(tenant)
        .bind(agent)
        .bind(version)
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?)
    }

    /// The active version of every agent, by name.
    pub async fn list_agents(&self, tenant: &str, after: Option<&str>, limit: i64) -> Result<Page<Version>> {
        let text = page_of(
            "select v.agent, v.version, true as active, v.digest, g.size_bytes, g.manifest, v.created_at,
                    octet_length(g.manifest) as bytes
             from agent a
             join agent_version v on v.tenant_id = a.tenant_id and v.agent = a.agent and v.version = a.active_version
             join component_grant g on g.tenant_id = v.tenant_id and g.digest = v.digest
             where a.tenant_id = $1 and ($2::text is null or a.agent > $2)
             order by a.agent limit $3 + 1",
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(tenant).bind(after).bind(limit);
        let items = query.fetch_all(&mut *self.of(tenant).await?).await?;
        Ok(Page::cut_by_bytes(items, limit, |version: &Version| version.agent.clone()))
    }

    /// All versions of an agent, newest first. None if there is no such agent.
    pub async fn list_versions(
        &self,
        tenant: &str,
        agent: &str,
        before: Option<i32>,
        limit: i64,
    ) -> Result<Page<Version>> {
        let text = page_of(
            "select v.agent, v.version, v.version = a.active_version as active, v.digest,
                    g.size_bytes, g.manifest, v.created_at, octet_length(g.manifest) as bytes
             from agent_version v
             join agent a on a.tenant_id = v.tenant_id and a.agent = v.agent
             join component_grant g on g.tenant_id = v.tenant_id and g.digest = v.digest
             where v.tenant_id = $1 and v.agent = $2 and ($3::int is null or v.version < $3)
             order by v.version desc limit $4 + 1",
        );
        let query = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(tenant).bind(agent).bind(before).bind(limit);
        let items = query.fetch_all(&mut *self.of(tenant).await?).await?;
        Ok(Page::cut_by_bytes(items, limit, |version: &Version| version.version.to_string()))
    }

    /// Makes `version` the one that new executions start on. False if there is no such version.
    pub async fn activate(&self, tenant: &str, agent: &str, version: i32, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.begin(tenant).await?;
        let active: Option<i32> = sqlx::query_scalar(
            "select active_version from agent where tenant_id = $1 and agent = $2
             and exists (select from agent_version where tenant_id = $1 and agent = $2 and version = $3)
             for no key update",
        )
        .bind(tenant)
        .bind(agent)
        .bind(version)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(active) = active else { return Ok(false) };
        if active == version {
            return Ok(true);
        }
        sqlx::query("update agent set active_version = $3 where tenant_id = $1 and agent = $2")
            .bind(tenant)
            .bind(agent)
            .bind(version)
            .execute(&mut *tx)
            .await?;
        let details = details([("before", active.into()), ("version", version.into())]);
        audit::write(&mut tx, tenant, actor, Action::AgentActivated, agent, &details).await?;
        tx.commit().await?;
        self.active.forget();
        Ok(true)
    }

    /// What a component says of itself, if the tenant has uploaded it before.
    pub async fn granted_manifest(&self, tenant: &str, digest: &Digest) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("select manifest from component_grant where tenant_id = $1 and digest = $2")
            .bind(tenant)
            .bind(&digest[..])
            .fetch_optional(&mut *self.of(tenant).await?)
            .await?)
    }

    /// The bytes of a component that the tenant has uploaded.
    pub async fn component_bytes(&self, tenant: &str, digest: &Digest) -> Result<Option<Vec<u8>>> {
        Ok(sqlx::query_scalar("select granted_component($1)")
            .bind(&digest[..])
            .fetch_one(&mut *self.of(tenant).await?)
            .await?)
    }
}
