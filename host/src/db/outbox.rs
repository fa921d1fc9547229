//! The outbox, as the host that empties it sees it: what is due, and what came of a try. Triggers fill it
//! (`migrations/0006_notifications.sql`), in the transaction of whatever happened.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Db, Result};

/// How many lanes one look finds, so that it ends soon.
pub const LANES_MAX: usize = 1_000;

/// How many deliveries of one lane, and of all, one claim takes. They stand in the statement, so that it is planned for
/// few.
pub const LANE_MAX: usize = 2;
pub const CLAIM_MAX: usize = 64;

/// How many deliveries are forgotten in one transaction.
pub const FORGET_MAX: u64 = 1_000;

/// Deliveries that wait for each other: those to one endpoint, or to all reviewers, of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Lane {
    pub tenant_id: String,
    /// The endpoint's name; empty for the reviewers.
    pub recipient: String,
}

impl Lane {
    pub fn is_reviewers(&self) -> bool {
        self.recipient.is_empty()
    }
}

/// A lane in which deliveries wait.
#[derive(Debug, sqlx::FromRow)]
pub struct Waiting {
    #[sqlx(flatten)]
    pub lane: Lane,
    /// When its next is due.
    pub next_at: DateTime<Utc>,
    /// How long until then; none while its tenant is suspended.
    pub due_in_seconds: Option<f64>,
}

impl Waiting {
    pub fn is_due(&self) -> bool {
        self.due_in_seconds.is_some_and(|seconds| seconds <= 0.0)
    }
}

/// A delivery that this host is to try now, and all that it takes.
#[derive(Debug, sqlx::FromRow)]
pub struct Due {
    pub tenant_id: String,
    pub delivery_id: String,
    pub notification_id: String,
    pub claim: Uuid,
    /// How often it was tried in all, this time among it.
    pub attempts: i32,
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
}

impl Due {
    pub fn lane(&self) -> Lane {
        Lane { tenant_id: self.tenant_id.clone(), recipient: self.endpoint.clone().unwrap_or_default() }
    }
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
    /// The lanes after this one in which deliveries wait, at most `LANES_MAX`, by tenant.
    ///
    /// Goes from one to the next by an index, so that what waits for its time in a long one is not read.
    pub async fn lanes(&self, after: Option<&Lane>) -> Result<Vec<Waiting>> {
        Ok(sqlx::query_as(
            "with recursive lane (tenant_id, recipient, next_at, place) as (
                 (select tenant_id, coalesce(endpoint, ''), next_at, 1::bigint from delivery
                  where state = 'pending' and (tenant_id, coalesce(endpoint, '')) > ($1, $2)
                  order by tenant_id, coalesce(endpoint, ''), next_at limit 1)
                 union all
                 select next.*, lane.place + 1 from lane cross join lateral (
                     select d.tenant_id, coalesce(d.endpoint, ''), d.next_at from delivery d
                     where d.state = 'pending'
                       and (d.tenant_id, coalesce(d.endpoint, '')) > (lane.tenant_id, lane.recipient)
                     order by d.tenant_id, coalesce(d.endpoint, ''), d.next_at limit 1
                 ) next
                 where lane.place < $3
             )
             select tenant_id, recipient, next_at,
                    case when t.suspended_at is null
                         then extract(epoch from next_at - statement_timestamp())::float8 end as due_in_seconds
             from lane join tenant t using (tenant_id) order by place",
        )
        .bind(after.map_or("", |lane| &lane.tenant_id))
        .bind(after.map_or("", |lane| &lane.recipient))
        .bind(LANES_MAX as i64)
        .fetch_all(&self.pool)
        .await?)
    }

    /// Takes so many deliveries of each of these lanes that are due, at most `LANE_MAX` and `CLAIM_MAX` in all, so that no other host tries them for the time of the
    /// lease. That is counted: one that kills its host must not be tried for ever.
    ///
    /// Not over the connections that do not wait for the disk: a suspend, which opens a pause, may still be lost in a
    /// crash of Postgres when this reads what it has written. The commit of this statement waits for the disk, and so
    /// for all that came before it: nothing is told to anybody that may turn out not to have happened.
    pub async fn claim_deliveries(&self, host: &str, shares: &[(&Lane, usize)], lease: Duration) -> Result<Vec<Due>> {
        let tenants: Vec<&str> = shares.iter().map(|(lane, _)| lane.tenant_id.as_str()).collect();
        let recipients: Vec<&str> = shares.iter().map(|(lane, _)| lane.recipient.as_str()).collect();
        let counts: Vec<i64> = shares.iter().map(|(_, count)| *count as i64).collect();
        // Compared as rows, so that the index of all that is due does not serve it: while the table is small it looks as
        // good, and the plan would stay when others have much that is due.
        let text = format!(
            "with due as materialized (
                 select d.tenant_id, d.delivery_id
                 from unnest($1::text[], $2::text[], $3::bigint[]) as lane (tenant_id, recipient, count)
                 cross join lateral (
                     select first.*, row_number() over () as place from (
                         select d.tenant_id, d.delivery_id from delivery d
                         where d.state = 'pending'
                           and (d.tenant_id, coalesce(d.endpoint, ''), d.next_at)
                               >= (lane.tenant_id, lane.recipient, '-infinity'::timestamptz)
                           and (d.tenant_id, coalesce(d.endpoint, ''), d.next_at)
                               <= (lane.tenant_id, lane.recipient, statement_timestamp())
                         order by d.tenant_id, coalesce(d.endpoint, ''), d.next_at limit {LANE_MAX}
                         for update skip locked
                     ) first
                 ) d
                 where d.place <= lane.count
                 limit {CLAIM_MAX}
             ), claimed as (
                 update delivery d
                 set next_at = clock_timestamp() + make_interval(secs => $4), host = $5, claim = gen_random_uuid(),
                     attempts = attempts + 1
                 from due where d.tenant_id = due.tenant_id and d.delivery_id = due.delivery_id
                 returning d.*
             )
             select d.tenant_id, d.delivery_id, d.notification_id, d.claim, d.attempts, d.tries, n.type, n.body, n.execution_id,
                    n.approval_request_id, d.endpoint, e.kind, a.secret_id as address_id, a.encrypted as address,
                    coalesce(s.ids, '{{}}') as secret_ids, coalesce(s.secrets, '{{}}') as secrets, d.reviewer, r.email,
                    p.status as pause_status
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
             left join reviewer r on r.tenant_id = d.tenant_id and lower(r.reviewer) = lower(d.reviewer)
             left join pause p on p.tenant_id = n.tenant_id and p.execution_id = n.execution_id
                 and p.approval_request_id = n.approval_request_id
             order by d.tenant_id, d.delivery_id"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenants)
            .bind(recipients)
            .bind(counts)
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
                     tries = tries + 1, last_status = $7, last_error = $8,
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

    /// How many deliveries of all tenants are due, and for how long the oldest has been.
    pub async fn delivery_backlog(&self) -> Result<Backlog> {
        Ok(sqlx::query_as(
            "select count(*) as due,
                    coalesce(extract(epoch from clock_timestamp() - min(next_at)), 0)::float8 as oldest_seconds
             from delivery where state = 'pending' and next_at <= statement_timestamp()",
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Forgets deliveries of all tenants that were settled so long ago, and the notifications that nobody is left to be
    /// told of; at most `FORGET_MAX`. How many they were.
    pub async fn forget_deliveries(&self, age: Duration) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        let gone: Vec<(String, String)> = sqlx::query_as(
            "delete from delivery where (tenant_id, delivery_id) in (
                 select tenant_id, delivery_id from delivery
                 where state <> 'pending' and settled_at < statement_timestamp() - make_interval(secs => $1)
                 order by settled_at limit $2 for update skip locked)
             returning tenant_id, notification_id",
        )
        .bind(age.as_secs_f64())
        .bind(FORGET_MAX as i64)
        .fetch_all(&mut *tx)
        .await?;
        let (tenants, ids): (Vec<&str>, Vec<&str>) = gone.iter().map(|(t, id)| (t.as_str(), id.as_str())).unzip();
        // Of two hosts that forget the last deliveries of one notification, each would still see the other's, and leave
        // the notification behind. So the second waits here, and sees what the first has done.
        sqlx::query(
            "select from notification n
             join (select distinct * from unnest($1::text[], $2::text[]) as gone (tenant_id, notification_id)) gone
                 using (tenant_id, notification_id)
             order by tenant_id, notification_id for update of n",
        )
        .bind(&tenants)
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
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
