//! Endpoints: whom a tenant tells.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::asked::is_open;
use super::claims::Claim;
use super::pauses::NewPause;
use super::secrets::Encrypted;
use super::{Db, Result, audit};
use crate::approval::person;
use crate::audit::{Action, Actor, details};
use crate::master_key::KeyId;

/// An endpoint, with its address as it is kept.
#[derive(Debug, sqlx::FromRow)]
pub struct Endpoint {
    pub name: String,
    pub kind: String,
    pub events: Option<Vec<String>>,
    pub disabled_at: Option<DateTime<Utc>>,
    pub disabled_reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub address_id: String,
    pub address: Vec<u8>,
    /// How many signing secrets are in force.
    pub secrets: i64,
}

/// Something encrypted, under an id of its own.
#[derive(Debug, Clone, Copy)]
pub struct Sealed<'a> {
    pub id: &'a str,
    pub encrypted: &'a [u8],
}

#[derive(Debug)]
pub struct NewEndpoint<'a> {
    pub tenant: &'a str,
    pub name: &'a str,
    pub kind: &'a str,
    pub events: Option<&'a [String]>,
    pub address: Sealed<'a>,
    pub signing: Option<Sealed<'a>>,
    pub actor: Actor<'a>,
}

/// What is changed of an endpoint; what is none stays as it is.
#[derive(Debug, Default)]
pub struct Change<'a> {
    /// On, or off with a reason.
    pub switch: Option<Result<(), &'a str>>,
    /// All, or these.
    pub events: Option<Option<&'a [String]>>,
}

impl Change<'_> {
    /// What the audit log says of it; none if it changes nothing.
    fn details(&self) -> Option<String> {
        let off = self.switch.map(|switch| switch.is_err());
        let events = self.events.map(|events| json!(events.unwrap_or_default()));
        Some(match (off, events) {
            (None, None) => return None,
            (Some(off), None) => details([("disabled", off.into())]),
            (None, Some(events)) => details([("events", events)]),
            (Some(off), Some(events)) => details([("disabled", off.into()), ("events", events)]),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    Added,
    Exists,
    TooMany,
}

/// What deliveries that were given up because their endpoint was say.
const OFF: &str = "the endpoint was disabled or removed";

impl Db {
    /// Adds an endpoint, if the tenant has fewer than `max`.
    pub async fn add_endpoint(&self, new: &NewEndpoint<'_>, max: i64) -> Result<Added> {
        let mut tx = self.pool.begin().await?;
        // Two that come at once are counted one after the other.
        sqlx::query("select from tenant where tenant_id = $1 for no key update")
            .bind(new.tenant)
            .execute(&mut *tx)
            .await?;
        let (count, exists): (i64, bool) =
            sqlx::query_as("select count(*), coalesce(bool_or(name = $2), false) from endpoint where tenant_id = $1")
                .bind(new.tenant)
                .bind(new.name)
                .fetch_one(&mut *tx)
                .await?;
        if exists {
            return Ok(Added::Exists);
        }
        if count >= max {
            return Ok(Added::TooMany);
        }
        sqlx::query("insert into endpoint (tenant_id, name, kind, events) values ($1, $2, $3, $4)")
            .bind(new.tenant)
            .bind(new.name)
            .bind(new.kind)
            .bind(new.events)
            .execute(&mut *tx)
            .await?;
        for (purpose, sealed) in [("address", Some(new.address)), ("signing", new.signing)] {
            let Some(sealed) = sealed else { continue };
            sqlx::query(
                "insert into endpoint_secret (tenant_id, endpoint, secret_id, purpose, encrypted)
                 values ($1, $2, $3, $4, $5)",
            )
            .bind(new.tenant)
            .bind(new.name)
            .bind(sealed.id)
            .bind(purpose)
            .bind(sealed.encrypted)
            .execute(&mut *tx)
            .await?;
        }
        let details = details([("kind", new.kind.into()), ("events", json!(new.events))]);
        audit::write(&mut tx, new.tenant, &new.actor, Action::EndpointCreated, new.name, &details).await?;
        tx.commit().await?;
        Ok(Added::Added)
    }

    /// All of a tenant's, or the one of this name, by name.
    pub async fn endpoints(&self, tenant: &str, name: Option<&str>) -> Result<Vec<Endpoint>> {
        Ok(sqlx::query_as(
            "select e.name, e.kind, e.events, e.disabled_at, e.disabled_reason, e.created_at, a.secret_id as address_id,
                    a.encrypted as address,
                    (select count(*) from endpoint_secret s
                     where s.tenant_id = $1 and s.endpoint = e.name and s.purpose = 'signing'
                       and (s.expires_at is null or s.expires_at > clock_timestamp())) as secrets
             from endpoint e
             join endpoint_secret a on a.tenant_id = $1 and a.endpoint = e.name and a.purpose = 'address'
             where e.tenant_id = $1 and ($2::text is null or e.name = $2) order by e.name",
        )
        .bind(tenant)
        .bind(name)
        .fetch_all(&self.pool)
        .await?)
    }

    /// False if there is no such endpoint. What is under way to one that is switched off is given up.
    pub async fn change_endpoint(
        &self,
        tenant: &str,
        name: &str,
        change: &Change<'_>,
        actor: &Actor<'_>,
    ) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let off = change.switch.and_then(Result::err);
        let done = sqlx::query(
            "update endpoint
             set disabled_at = case when $3 then case when $4::text is not null then coalesce(disabled_at, now()) end
                                    else disabled_at end,
                 disabled_reason = case when $3 then $4 else disabled_reason end,
                 events = case when $5 then $6 else events end
             where tenant_id = $1 and name = $2",
        )
        .bind(tenant)
        .bind(name)
        .bind(change.switch.is_some())
        .bind(off)
        .bind(change.events.is_some())
        .bind(change.events.flatten())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        if off.is_some() {
            give_up(&mut tx, tenant, name).await?;
        }
        if let Some(details) = change.details() {
            audit::write(&mut tx, tenant, actor, Action::EndpointChanged, name, &details).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// False if there is no such endpoint. What is under way to it is given up.
    pub async fn remove_endpoint(&self, tenant: &str, name: &str, actor: &Actor<'_>) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query("delete from endpoint where tenant_id = $1 and name = $2")
            .bind(tenant)
            .bind(name)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        give_up(&mut tx, tenant, name).await?;
        audit::write(&mut tx, tenant, actor, Action::EndpointRemoved, name, &details([])).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Signs with another secret from now on, and for `overlap` with the one before, too; with those before that no
    /// more. False if there is no such endpoint, or it is none that is signed for.
    pub async fn rotate_endpoint_secret(
        &self,
        tenant: &str,
        name: &str,
        new: Sealed<'_>,
        overlap: Duration,
        actor: &Actor<'_>,
    ) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let held = sqlx::query(
            "select from endpoint where tenant_id = $1 and name = $2 and kind = 'webhook' for no key update",
        )
        .bind(tenant)
        .bind(name)
        .fetch_optional(&mut *tx)
        .await?;
        if held.is_none() {
            return Ok(false);
        }
        sqlx::query(
            "delete from endpoint_secret
             where tenant_id = $1 and endpoint = $2 and purpose = 'signing' and expires_at is not null",
        )
        .bind(tenant)
        .bind(name)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "update endpoint_secret set expires_at = clock_timestamp() + make_interval(secs => $3)
             where tenant_id = $1 and endpoint = $2 and purpose = 'signing'",
        )
        .bind(tenant)
        .bind(name)
        .bind(overlap.as_secs_f64())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into endpoint_secret (tenant_id, endpoint, secret_id, purpose, encrypted)
             values ($1, $2, $3, 'signing', $4)",
        )
        .bind(tenant)
        .bind(name)
        .bind(new.id)
        .bind(new.encrypted)
        .execute(&mut *tx)
        .await?;
        audit::write(&mut tx, tenant, actor, Action::EndpointSecretRotated, name, &details([])).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The secrets of all tenants' endpoints after this one, in the order of tenant and id, each with its purpose.
    pub async fn endpoint_secrets_after(
        &self,
        tenant: &str,
        secret_id: &str,
        limit: i64,
    ) -> Result<Vec<(Encrypted, bool)>> {
        let rows: Vec<(String, String, Vec<u8>, bool)> = sqlx::query_as(
            "select tenant_id, secret_id, encrypted, purpose = 'address' from endpoint_secret
             where (tenant_id, secret_id) > ($1, $2) order by tenant_id, secret_id limit $3",
        )
        .bind(tenant)
        .bind(secret_id)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let row =
            |(tenant_id, secret_id, encrypted, is_address)| (Encrypted { tenant_id, secret_id, encrypted }, is_address);
        Ok(rows.into_iter().map(row).collect())
    }

    /// Keeps one of them in another encryption. False if it was removed or encrypted anew meanwhile.
    pub async fn reencrypt_endpoint_secret(
        &self,
        old: &Encrypted,
        encrypted: &[u8],
        actor: &Actor<'_>,
    ) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let done = sqlx::query(
            "update endpoint_secret set encrypted = $4 where tenant_id = $1 and secret_id = $2 and encrypted = $3",
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

    /// Whether a reviewer's address may be kept: it already is, or less than `max` are. What comes at the same moment is
    /// not counted, so that nobody waits for anybody.
    pub async fn may_keep_reviewer(&self, tenant: &str, reviewer: &str, max: i64) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "select exists (select from reviewer where tenant_id = $1 and person = $2)
                 or (select count(*) from reviewer where tenant_id = $1) < $3",
        )
        .bind(tenant)
        .bind(person(reviewer))
        .bind(max)
        .fetch_one(&self.pool)
        .await?)
    }

    /// The same of a group.
    pub async fn may_keep_group(&self, tenant: &str, name: &str, max: i64) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "select exists (select from review_group where tenant_id = $1 and name = $2)
                 or (select count(*) from review_group where tenant_id = $1) < $3",
        )
        .bind(tenant)
        .bind(name)
        .bind(max)
        .fetch_one(&self.pool)
        .await?)
    }

    /// The endpoints that a new pause names and that do not exist, as a sentence; none if all do, or it was opened.
    pub(super) async fn missing_endpoints(&self, claim: &Claim, pause: &NewPause) -> Result<Option<String>> {
        let names: Vec<&str> = pause.notify.iter().map(String::as_str).chain(pause.plan.endpoints()).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let mut connection = self.pool.acquire().await?;
        let missing: Vec<String> = sqlx::query_scalar(
            "select distinct wanted from unnest($2::text[]) as wanted
             where not exists (select from endpoint e where e.tenant_id = $1 and e.name = wanted) order by wanted",
        )
        .bind(&claim.tenant)
        .bind(names)
        .fetch_all(&mut *connection)
        .await?;
        if missing.is_empty() || is_open(&mut connection, claim, pause).await? {
            return Ok(None);
        }
        Ok(Some(format!("notify, escalations: there is no endpoint {}", missing.join(", "))))
    }
}

/// Gives up what is under way to an endpoint.
async fn give_up(tx: &mut sqlx::PgConnection, tenant: &str, name: &str) -> Result<()> {
    sqlx::query(
        "update delivery
         set state = 'failed', next_at = null, host = null, claim = null, last_error = $3,
             settled_at = clock_timestamp()
         where tenant_id = $1 and endpoint = $2 and state = 'pending'",
    )
    .bind(tenant)
    .bind(name)
    .bind(OFF)
    .execute(tx)
    .await?;
    Ok(())
}
