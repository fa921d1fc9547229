//! The audit log: entries are written beside the change that they are about, and sealed soon after.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::executions::unreadable;
use super::{Db, Page, Result};
use crate::audit::{Action, Actor, Entry, Head, time};
use crate::crash;
use crate::execution::hex;

/// How many entries one transaction seals: for so long a crash may make it begin anew.
pub const SEAL_MAX: i64 = 500;

/// What to do while somebody else seals the log of the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    Wait,
    LeaveItTo,
}

/// Which entries a list shows.
#[derive(Debug, Default)]
pub struct Filter {
    pub action: Option<Action>,
    pub since: Option<DateTime<Utc>>,
    /// The last one of the page before.
    pub after: i64,
}

/// An entry that is not sealed, as its row has it.
#[derive(Debug, sqlx::FromRow)]
struct Unsealed {
    entry_id: i64,
    at: DateTime<Utc>,
    actor: String,
    actor_name: Option<String>,
    source: Option<String>,
    action: String,
    subject: String,
    details: String,
}

#[derive(Debug, sqlx::FromRow)]
struct Sealed {
    seq: i64,
    sealed_at: DateTime<Utc>,
    sha256: Vec<u8>,
    #[sqlx(flatten)]
    entry: Unsealed,
}

impl Unsealed {
    fn seal(self, tenant: &str, seq: i64, sealed_at: DateTime<Utc>) -> Result<Entry> {
        Ok(Entry {
            tenant: tenant.to_owned(),
            seq: seq.unsigned_abs(),
            at: time(self.at),
            sealed_at: time(sealed_at),
            actor: self.actor,
            actor_name: self.actor_name,
            source: self.source,
            action: self.action,
            subject: self.subject,
            details: RawValue::from_string(self.details).map_err(|why| unreadable("the details of an entry", &why))?,
            sha256: String::new(),
        })
    }
}

/// Writes an entry, to be committed with the change that it is about.
pub(super) async fn write(
    tx: &mut PgConnection,
    tenant: &str,
    actor: &Actor<'_>,
    action: Action,
    subject: &str,
    details: &str,
) -> Result<()> {
    sqlx::query(
        "insert into audit_unsealed (tenant_id, actor, actor_name, source, action, subject, details)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(tenant)
    .bind(actor.who.to_string())
    .bind(actor.name)
    .bind(actor.source())
    .bind(action.as_str())
    .bind(subject)
    .bind(details)
    .execute(tx)
    .await?;
    Ok(())
}

impl Db {
    /// Records what changes nothing else in the database.
    pub async fn record(
        &self,
        tenant: &str,
        actor: &Actor<'_>,
        action: Action,
        subject: &str,
        details: &str,
    ) -> Result<()> {
        let mut connection = self.of(tenant).await?;
        write(&mut connection, tenant, actor, action, subject, details).await?;
        self.bell.ring();
        Ok(())
    }

    /// The first tenant after this one that has entries to be sealed.
    pub async fn next_unsealed(&self, tenant: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar(
            "select tenant_id from audit_unsealed where tenant_id > $1 order by tenant_id, entry_id limit 1",
        )
        .bind(tenant)
        .fetch_optional(&self.host)
        .await?)
    }

    /// Appends the oldest unsealed entries of a tenant to its chain, at most `SEAL_MAX`. Returns how many; none if
    /// somebody else is at it.
    ///
    /// Waits for the disk: what was sealed, and shown to somebody, must not be sealed with another hash later.
    pub async fn seal(&self, tenant: &str, others: Others) -> Result<Option<i64>> {
        let mut tx = self.begin(tenant).await?;
        if !lock(&mut tx, tenant, others).await? {
            return Ok(None);
        }
        let entries: Vec<Unsealed> = sqlx::query_as(
            "select entry_id, at, actor, actor_name, source, action, subject, details from audit_unsealed
             where tenant_id = $1 order by entry_id limit $2",
        )
        .bind(tenant)
        .bind(SEAL_MAX)
        .fetch_all(&mut *tx)
        .await?;
        if entries.is_empty() {
            return Ok(Some(0));
        }
        let ids: Vec<i64> = entries.iter().map(|entry| entry.entry_id).collect();
        append(&mut tx, tenant, entries).await?;
        sqlx::query("delete from audit_unsealed where tenant_id = $1 and entry_id = any($2)")
            .bind(tenant)
            .bind(&ids)
            .execute(&mut *tx)
            .await?;
        crash::point("before_seal");
        tx.commit().await?;
        crash::point("after_seal");
        Ok(Some(ids.len() as i64))
    }

    /// Sealed entries, oldest first.
    pub async fn list_audit(&self, tenant: &str, filter: &Filter, limit: i64) -> Result<Page<Entry>> {
        // Each with the condition that its index needs. An entry is never sealed before it was written, and the times of
        // sealing only grow, so `since` leaves out a beginning of the log at a glance.
        let action = if filter.action.is_some() { "action = $3" } else { "$3::text is null" };
        let since = if filter.since.is_some() {
            "seq >= (select seq from audit_entry where tenant_id = $1 and sealed_at >= $4
                     order by sealed_at, seq limit 1)
             and at >= $4"
        } else {
            "$4::timestamptz is null"
        };
        let text = format!(
            "select seq, sealed_at, sha256, entry_id, at, actor, actor_name, source, action, subject, details
             from audit_entry where tenant_id = $1 and seq > $2 and {action} and {since} order by seq limit $5 + 1"
        );
        let rows: Vec<Sealed> = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(filter.after)
            .bind(filter.action.map(Action::as_str))
            .bind(filter.since)
            .bind(limit)
            .fetch_all(&mut *self.of(tenant).await?)
            .await?;
        let entry = |row: Sealed| {
            let entry = row.entry.seal(tenant, row.seq, row.sealed_at)?;
            Ok(Entry { sha256: hex(&row.sha256), ..entry })
        };
        let entries = rows.into_iter().map(entry).collect::<Result<_>>()?;
        Ok(Page::cut(entries, limit, |last: &Entry| last.seq.to_string()))
    }

    /// How many entries of a tenant are sealed: the `seq` of the last.
    pub async fn sealed(&self, tenant: &str) -> Result<i64> {
        let seq = sqlx::query_scalar("select seq from audit_entry where tenant_id = $1 order by seq desc limit 1");
        Ok(seq.bind(tenant).fetch_optional(&mut *self.of(tenant).await?).await?.unwrap_or(0))
    }
}

/// Takes the lock under which the log of a tenant grows. False if somebody else has it, and we leave it to them.
async fn lock(tx: &mut PgConnection, tenant: &str, others: Others) -> Result<bool> {
    // Who writes a row of the tenant's does not wait for it: foreign keys ask for a weaker one.
    let text = match others {
        Others::Wait => "select 1 from tenant where tenant_id = $1 for no key update",
        Others::LeaveItTo => "select 1 from tenant where tenant_id = $1 for no key update skip locked",
    };
    Ok(sqlx::query(text).bind(tenant).fetch_optional(tx).await?.is_some())
}

/// Appends entries to the chain of a tenant whose lock the caller holds.
async fn append(tx: &mut PgConnection, tenant: &str, entries: Vec<Unsealed>) -> Result<()> {
    let last: Option<(i64, Vec<u8>, DateTime<Utc>)> =
        sqlx::query_as("select seq, sha256, sealed_at from audit_entry where tenant_id = $1 order by seq desc limit 1")
            .bind(tenant)
            .fetch_optional(&mut *tx)
            .await?;
    let now: DateTime<Utc> = sqlx::query_scalar("select clock_timestamp()").fetch_one(&mut *tx).await?;
    let (mut seq, mut hash, mut sealed_at) = match last {
        // A clock may be set back, the log's time is not.
        Some((seq, sha256, sealed_at)) => (seq, hex(&sha256), sealed_at.max(now)),
        None => (0, Head::none().sha256, now),
    };
    let (mut ids, mut hashes, mut times) = (vec![], vec![], vec![]);
    for unsealed in entries {
        seq += 1;
        sealed_at = sealed_at.max(unsealed.at);
        ids.push(unsealed.entry_id);
        times.push(sealed_at);
        hash = unsealed.seal(tenant, seq, sealed_at)?.hash_after(&hash);
        hashes.push(hash.clone());
    }
    sqlx::query(
        "insert into audit_entry (tenant_id, entry_id, at, actor, actor_name, source, action, subject, details, seq,
                                  sealed_at, sha256)
         select tenant_id, entry_id, at, actor, actor_name, source, action, subject, details, $2 + place, new.sealed_at,
                decode(new.sha256, 'hex')
         from unnest($3::bigint[], $4::timestamptz[], $5::text[]) with ordinality
              as new (entry_id, sealed_at, sha256, place)
         join audit_unsealed using (entry_id) where tenant_id = $1",
    )
    .bind(tenant)
    .bind(seq - ids.len() as i64)
    .bind(&ids)
    .bind(&times)
    .bind(&hashes)
    .execute(tx)
    .await?;
    Ok(())
}
