//! The settings of tenants and agents, and the limits that executions were started with.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serde_json::{Value, json};

use super::executions::unreadable;
use super::usage::Usage;
use super::{Db, Result, audit};
use crate::audit::{Action, Actor};
use crate::limits::{Limits, Settings};

/// How many sets of limits a host remembers.
const SETS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("4,096 is not 0");

/// What an execution that starts now may use, and what its tenant does: read beside the version that it starts on.
#[derive(Debug, Default, sqlx::FromRow)]
#[sqlx(default)]
pub struct Terms {
    /// JSON text of what was set for the tenant, and for the agent.
    tenant_limits: Option<String>,
    agent_limits: Option<String>,
    unfinished: Option<i64>,
    stored_bytes: Option<i64>,
}

impl Terms {
    /// The settings of the tenant.
    pub fn settings(&self) -> Result<Settings> {
        Ok(Settings::kept(&overrides(self.tenant_limits.as_deref())?))
    }

    /// The limits of an execution: those of the tenant, lowered for the agent.
    pub fn limits(&self) -> Result<Limits> {
        Ok(self.settings()?.limits.lowered_as_kept(&overrides(self.agent_limits.as_deref())?))
    }

    /// What the tenant used a second ago.
    pub fn usage(&self) -> Usage {
        let (unfinished, stored_bytes) = (self.unfinished.unwrap_or(0), self.stored_bytes.unwrap_or(0));
        Usage { unfinished, open_pauses: 0, stored_bytes }
    }
}

fn overrides(text: Option<&str>) -> Result<Value> {
    serde_json::from_str(text.unwrap_or("{}")).map_err(|why| unreadable("a setting of limits", &why))
}

/// The sets of limits that this host has come across: they never change. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Sets(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    ids: LruCache<(String, Limits), i32>,
    limits: LruCache<(String, i32), Limits>,
}

impl Sets {
    pub(super) fn new() -> Self {
        let known = Known { ids: LruCache::new(SETS_REMEMBERED), limits: LruCache::new(SETS_REMEMBERED) };
        Self(Arc::new(Mutex::new(known)))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// The id under which these limits are recorded.
    pub async fn limit_set(&self, tenant: &str, limits: &Limits) -> Result<i32> {
        let key = (tenant.to_owned(), limits.clone());
        if let Some(id) = self.sets.lock().ids.get(&key) {
            return Ok(*id);
        }
        let text = serde_json::to_string(limits).map_err(|why| unreadable("limits", &why))?;
        // Twice: the row of somebody who records the same at the same moment is only there for the next statement.
        sqlx::query("insert into limit_set (tenant_id, limits) values ($1, $2::jsonb) on conflict do nothing")
            .bind(tenant)
            .bind(&text)
            .execute(&mut *self.of(tenant).await?)
            .await?;
        let id = sqlx::query_scalar("select limit_set_id from limit_set where tenant_id = $1 and limits = $2::jsonb")
            .bind(tenant)
            .bind(&text)
            .fetch_one(&mut *self.of(tenant).await?)
            .await?;
        self.sets.lock().ids.put(key, id);
        Ok(id)
    }

    /// The limits that are recorded under this id; without one, the defaults.
    pub async fn limits(&self, tenant: &str, id: Option<i32>) -> Result<Limits> {
        let Some(id) = id else { return Ok(Limits::default()) };
        let key = (tenant.to_owned(), id);
        if let Some(limits) = self.sets.lock().limits.get(&key) {
            return Ok(limits.clone());
        }
        let query = sqlx::query_scalar("select limits::text from limit_set where tenant_id = $1 and limit_set_id = $2");
        let text: String = query.bind(tenant).bind(id).fetch_one(&mut *self.of(tenant).await?).await?;
        let limits: Limits = serde_json::from_str(&text).map_err(|why| unreadable("limits", &why))?;
        self.sets.lock().limits.put(key, limits.clone());
        Ok(limits)
    }

    /// The limits that an execution was started with. None if there is no such execution.
    pub async fn limits_of(&self, tenant: &str, execution: &str) -> Result<Option<Limits>> {
        let query = sqlx::query_scalar("select limit_set_id from execution where tenant_id = $1 and execution_id = $2");
        let Some(id) = query.bind(tenant).bind(execution).fetch_optional(&mut *self.of(tenant).await?).await? else {
            return Ok(None);
        };
        Ok(Some(self.limits(tenant, id).await?))
    }

    /// What was set for a tenant, a JSON object. None if there is no such tenant.
    pub async fn tenant_limits(&self, tenant: &str) -> Result<Option<Value>> {
        let query = sqlx::query_scalar("select limits::text from tenant where tenant_id = $1");
        let text: Option<String> = query.bind(tenant).fetch_optional(&mut *self.of(tenant).await?).await?;
        text.map(|text| overrides(Some(&text))).transpose()
    }

    /// What was set for a tenant and for one of its agents. None if there is no such agent.
    pub async fn agent_limits(&self, tenant: &str, agent: &str) -> Result<Option<(Value, Value)>> {
        let texts: Option<(String, String)> = sqlx::query_as(
            "select t.limits::text, a.limits::text from agent a join tenant t using (tenant_id)
             where tenant_id = $1 and a.agent = $2",
        )
        .bind(tenant)
        .bind(agent)
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?;
        let Some((tenant, agent)) = texts else { return Ok(None) };
        Ok(Some((overrides(Some(&tenant))?, overrides(Some(&agent))?)))
    }

    /// Replaces what was set for a tenant. Executions that have started keep their limits. False if there is no such
    /// tenant.
    pub async fn set_tenant_limits(&self, tenant: &str, overrides: &Value, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.begin(tenant).await?;
        let query = sqlx::query_scalar("select limits::text from tenant where tenant_id = $1 for no key update");
        let before: Option<String> = query.bind(tenant).fetch_optional(&mut *tx).await?;
        let Some(before) = before else { return Ok(false) };
        if let Some(details) = change(&before, overrides)? {
            sqlx::query("update tenant set limits = $2::jsonb where tenant_id = $1")
                .bind(tenant)
                .bind(overrides.to_string())
                .execute(&mut *tx)
                .await?;
            audit::write(&mut tx, tenant, actor, Action::TenantLimitsChanged, tenant, &details).await?;
        }
        tx.commit().await?;
        self.active.forget();
        Ok(true)
    }

    /// Replaces what was set for an agent. Executions that have started keep their limits. False if there is no such
    /// agent.
    pub async fn set_agent_limits(
        &self,
        tenant: &str,
        agent: &str,
        overrides: &Value,
        actor: &Actor<'_>,
    ) -> Result<bool> {
        let mut tx = self.begin(tenant).await?;
        let query =
            sqlx::query_scalar("select limits::text from agent where tenant_id = $1 and agent = $2 for no key update");
        let before: Option<String> = query.bind(tenant).bind(agent).fetch_optional(&mut *tx).await?;
        let Some(before) = before else { return Ok(false) };
        if let Some(details) = change(&before, overrides)? {
            sqlx::query("update agent set limits = $3::jsonb where tenant_id = $1 and agent = $2")
                .bind(tenant)
                .bind(agent)
                .bind(overrides.to_string())
                .execute(&mut *tx)
                .await?;
            audit::write(&mut tx, tenant, actor, Action::AgentLimitsChanged, agent, &details).await?;
        }
        tx.commit().await?;
        self.active.forget();
        Ok(true)
    }
}

/// What an audit entry says of a change, given JSON text of what was set before. None if it changes nothing.
fn change(before: &str, after: &Value) -> Result<Option<String>> {
    let before = overrides(Some(before))?;
    Ok((before != *after).then(|| json!({"after": after, "before": before}).to_string()))
}
