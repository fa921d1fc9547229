//! The outbox, as the host that empties it sees it: what is due, and what came of a try. Triggers fill it
//! (`migrations/0006_notifications.sql`), in the transaction of whatever happened.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Db, Result};

/// For how many tenants one look finds what is due.
const TENANTS_MAX: i64 = 1_000;

/// How many deliveries are forgotten in one transaction.
const FORGET_MAX: i64 = 1_000;

/// A delivery that this host is to try now, and all that it takes.
#[derive(Debug, sqlx::FromRow)]
pub struct Due {
    pub tenant_id: String,
    pub delivery_id: String,
    pub notification_id: String,
    pub claim: Uuid,
    /// Its place in the schedule, from 0.
    pub tries: i32,
    pub r#type: String,
    pub body: String,
    pub execution_id: Option<String>,
    pub approval_request_id: Option<String>,
    pub endpoint: Option<String>,
    /// None if the endpoint is gone or off.
    pub kind: Option<String>,
    pub address_id: Option<String>,
    pub address: Option<Vec<u8>>,
    /// The signing secrets in force, the newest first, by their ids.
    pub secret_ids: Vec<String>,
    pub secrets: Vec<Vec<u8>>,
    pub reviewer: Option<String>,
    pub email: Option<String>,
    /// Of the pause that it is about, as it is now.
    pub pause_status: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// What came of a try.
#[derive(Debug, Default)]
pub struct Tried {
    pub at: DateTime<Utc>,
    pub duration_ms: i32,
    pub status: Option<i32>,
    pub error: Option<String>,
    pub response: Option<String>,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Delivered,
    After(Duration),
    Failed,
}

/// What is due for all tenants.
#[derive(Debug, sqlx::FromRow)]
pub struct Backlog {
    pub due: i64,
    pub oldest_seconds: f64,
}

impl Db {
    /// Takes up to `limit` deliveries that are due, so that no other host tries them for the time of the lease; of each
    /// tenant no more than `per_tenant`, less what `busy` says is under way, beginning with the tenant after `after`.
    ///
    /// Not over the connections that do not wait for the disk: a suspend, which opens a pause, may still be lost in a
    /// crash of Postgres when this reads what it has written. The commit of this statement waits for the disk, and so
    /// for all that came before it: nothing is told to anybody that may turn out not to have happened.
    pub async fn claim_deliveries(
        &self,
        host: &str,
        after: &str,
        busy: &[(String, i64)],
        per_tenant: i64,
        limit: i64,
        lease: Duration,
    ) -> Result<Vec<Due>> {
        let (tenants, counts): (Vec<&str>, Vec<i64>) = busy.iter().map(|(tenant, n)| (tenant.as_str(), *n)).unzip();
        Ok(sqlx::query_as(
            "with recursive waits (tenant_id, place) as (
                 (select tenant_id, 1::bigint from delivery where state = 'pending' and tenant_id > $1
                  order by tenant_id limit 1)
                 union all
                 select (select d.tenant_id from delivery d where d.state = 'pending' and d.tenant_id > w.tenant_id
                         order by d.tenant_id limit 1), place + 1
                 from waits w where w.tenant_id is not null and place < $2
             ), due as materialized (
                 select d.tenant_id, d.delivery_id
                 from waits w
                 left join unnest($3::text[], $4::bigint[]) as busy (tenant_id, count) on busy.tenant_id = w.tenant_id
                 cross join lateral (
                     select d.tenant_id, d.delivery_id from delivery d
                     where d.tenant_id = w.tenant_id and d.state = 'pending' and d.next_at <= clock_timestamp()
                     order by d.next_at limit greatest($5 - coalesce(busy.count, 0), 0)
                     for update skip locked
                 ) d
                 limit $6
             ), claimed as (
                 update delivery d
                 set next_at = clock_timestamp() + make_interval(secs => $7), host = $8, claim = gen_random_uuid()
                 from due where d.tenant_id = due.tenant_id and d.delivery_id = due.delivery_id
                 returning d.*
             )
             select d.tenant_id, d.delivery_id, d.notification_id, d.claim, d.tries, n.type, n.body, n.execution_id,
                    n.approval_request_id, d.endpoint, e.kind, a.secret_id as address_id, a.encrypted as address,
                    coalesce(s.ids, '{}') as secret_ids, coalesce(s.secrets, '{}') as secrets, d.reviewer, r.email,
                    p.status as pause_status, p.expires_at
             from claimed d
             join notification n on n.tenant_id = d.tenant_id and n.notification_id = d.notification_id
             left join endpoint e on e.tenant_id = d.tenant_id and e.name = d.endpoint and e.disabled_at is null
             left join endpoint_secret a
                 on a.tenant_id = e.tenant_id and a.endpoint = e.name and a.purpose = 'address'
             left join lateral (
                 select array_agg(secret_id order by created_at desc) as ids,
                        array_agg(encrypted order by created_at desc) as secrets
                 from endpoint_secret s
                 where s.tenant_id = e.tenant_id and s.endpoint = e.name and s.purpose = 'signing'
                   and (s.expires_at is null or s.expires_at > clock_timestamp())
             ) s on true
             left join reviewer r on r.tenant_id = d.tenant_id and r.reviewer = d.reviewer
             left join pause p on p.tenant_id = n.tenant_id and p.execution_id = n.execution_id
                 and p.approval_request_id = n.approval_request_id
             order by d.tenant_id, d.delivery_id",
        )
        .bind(after)
        .bind(TENANTS_MAX)
        .bind(tenants)
        .bind(counts)
        .bind(per_tenant)
        .bind(limit)
        .bind(lease.as_secs_f64())
        .bind(host)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Keeps what came of a try, and what becomes of the delivery. False if it is no longer this host's: its lease ran
    /// out.
    ///
    /// Not waiting for the disk: if it is forgotten, the delivery is made again, under the same `webhook-id`.
    pub async fn record_delivery(&self, due: &Due, tried: &Tried, next: Next) -> Result<bool> {
        let (state, wait) = match next {
            Next::Delivered => ("delivered", None),
            Next::After(wait) => ("pending", Some(wait.as_secs_f64())),
            Next::Failed => ("failed", None),
        };
        let settled: i64 = sqlx::query_scalar(
            "with settled as (
                 update delivery
                 set state = $4, next_at = clock_timestamp() + make_interval(secs => $5), host = null, claim = null,
                     attempts = attempts + 1, tries = tries + 1, last_status = $7, last_error = $8,
                     settled_at = case when $4 = 'pending' then null else clock_timestamp() end
                 where tenant_id = $1 and delivery_id = $2 and claim = $3
                 returning attempts
             ), logged as (
                 insert into delivery_attempt (tenant_id, delivery_id, attempt, at, status, error, duration_ms, response)
                 select $1, $2, attempts, $6, $7, $8, $9, $10 from settled
             )
             select count(*) from settled",
        )
        .bind(&due.tenant_id)
        .bind(&due.delivery_id)
        .bind(due.claim)
        .bind(state)
        .bind(wait)
        .bind(tried.at)
        .bind(tried.status)
        .bind(&tried.error)
        .bind(tried.duration_ms)
        .bind(&tried.response)
        .fetch_one(&self.relaxed)
        .await?;
        Ok(settled == 1)
    }

    /// Gives back what a host of this name had claimed and does not try any more.
    pub async fn free_deliveries(&self, host: &str) -> Result<u64> {
        let done = sqlx::query(
            "update delivery set next_at = clock_timestamp(), host = null, claim = null
             where state = 'pending' and host = $1",
        )
        .bind(host)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }

    /// How long until a delivery is due; none if nothing is left.
    pub async fn next_delivery_due(&self) -> Result<Option<Duration>> {
        let seconds: Option<f64> = sqlx::query_scalar(
            "select extract(epoch from min(next_at) - clock_timestamp())::float8 from delivery where state = 'pending'",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e9))))
    }

    /// How many deliveries of all tenants are due, and for how long the oldest has been.
    pub async fn delivery_backlog(&self) -> Result<Backlog> {
        Ok(sqlx::query_as(
            "select count(*) as due,
                    coalesce(extract(epoch from clock_timestamp() - min(next_at)), 0)::float8 as oldest_seconds
             from delivery where state = 'pending' and next_at <= clock_timestamp()",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Forgets deliveries of all tenants that were settled so long ago, and the notifications that nobody is left to be
    /// told of. How many they were.
    pub async fn forget_deliveries(&self, age: Duration) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        let gone: Vec<(String, String)> = sqlx::query_as(
            "delete from delivery where (tenant_id, delivery_id) in (
                 select tenant_id, delivery_id from delivery
                 where state <> 'pending' and settled_at < clock_timestamp() - make_interval(secs => $1)
                 order by settled_at limit $2 for update skip locked)
             returning tenant_id, notification_id",
        )
        .bind(age.as_secs_f64())
        .bind(FORGET_MAX)
        .fetch_all(&mut *tx)
        .await?;
        let (tenants, ids): (Vec<&str>, Vec<&str>) = gone.iter().map(|(t, id)| (t.as_str(), id.as_str())).unzip();
        sqlx::query(
            "delete from notification n using unnest($1::text[], $2::text[]) as gone (tenant_id, notification_id)
             where n.tenant_id = gone.tenant_id and n.notification_id = gone.notification_id
               and not exists (select from delivery d
                               where d.tenant_id = n.tenant_id and d.notification_id = n.notification_id)",
        )
        .bind(tenants)
        .bind(ids)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(gone.len() as u64)
    }
}
