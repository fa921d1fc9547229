//! Deliveries, as their tenant sees them: look, ask for another, send a test.

use chrono::{DateTime, Utc};

use super::{Db, Page, Result};

/// A delivery, as its row has it.
#[derive(Debug, sqlx::FromRow)]
pub struct Delivery {
    pub delivery_id: String,
    pub notification_id: String,
    pub r#type: String,
    pub execution_id: Option<String>,
    pub approval_request_id: Option<String>,
    pub endpoint: Option<String>,
    pub reviewer: Option<String>,
    pub state: String,
    pub attempts: i32,
    pub next_at: Option<DateTime<Utc>>,
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub settled_at: Option<DateTime<Utc>>,
}

/// One try.
#[derive(Debug, sqlx::FromRow)]
pub struct Attempt {
    pub attempt: i32,
    pub at: DateTime<Utc>,
    pub status: Option<i32>,
    pub error: Option<String>,
    pub duration_ms: i32,
    pub response: Option<String>,
}

/// Which deliveries a list shows.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    pub endpoint: Option<&'a str>,
    pub state: Option<&'a str>,
    /// The id of the last one of the page before.
    pub after: Option<&'a str>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Redelivered {
    Done,
    NotFound,
    /// It has not been settled yet.
    Pending,
    /// Its endpoint is gone, or off.
    Off,
    /// Its log is full.
    TooOften,
}

const COLUMNS: &str = "d.delivery_id, d.notification_id, n.type, n.execution_id, n.approval_request_id, d.endpoint, \
    d.reviewer, d.state, d.attempts, d.next_at, d.last_status, d.last_error, d.created_at, d.settled_at";

impl Db {
    /// Newest first.
    pub async fn list_deliveries(&self, tenant: &str, filter: &Filter<'_>, limit: i64) -> Result<Page<Delivery>> {
        // Each with the condition that its index needs; that of the states is partial, and needs the very word.
        let endpoint = if filter.endpoint.is_some() { "d.endpoint = $2" } else { "$2::text is null" };
        let state = match filter.state {
            Some("pending") => "d.state = 'pending'",
            Some("failed") => "d.state = 'failed'",
            Some(_) => "d.state = 'delivered'",
            None => "true",
        };
        let after = if filter.after.is_some() { "d.delivery_id < $3" } else { "$3::text is null" };
        let text = format!(
            "select {COLUMNS} from delivery d join notification n using (tenant_id, notification_id)
             where d.tenant_id = $1 and {endpoint} and {state} and {after}
             order by d.delivery_id desc limit $4 + 1"
        );
        let items = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(filter.endpoint)
            .bind(filter.after)
            .bind(limit)
            .fetch_all(&mut *self.of(tenant).await?)
            .await?;
        Ok(Page::cut(items, limit, |last: &Delivery| last.delivery_id.clone()))
    }

    pub async fn find_delivery(&self, tenant: &str, id: &str) -> Result<Option<Delivery>> {
        let text = format!(
            "select {COLUMNS} from delivery d join notification n using (tenant_id, notification_id)
             where d.tenant_id = $1 and d.delivery_id = $2"
        );
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(id)
            .fetch_optional(&mut *self.of(tenant).await?)
            .await?)
    }

    /// What is sent, as JSON text.
    pub async fn notification_body(&self, tenant: &str, id: &str) -> Result<Option<String>> {
        Ok(sqlx::query_scalar("select body from notification where tenant_id = $1 and notification_id = $2")
            .bind(tenant)
            .bind(id)
            .fetch_optional(&mut *self.of(tenant).await?)
            .await?)
    }

    /// The tries of a delivery, oldest first.
    pub async fn delivery_attempts(&self, tenant: &str, id: &str) -> Result<Vec<Attempt>> {
        Ok(sqlx::query_as(
            "select attempt, at, status, error, duration_ms, response from delivery_attempt
             where tenant_id = $1 and delivery_id = $2 order by attempt",
        )
        .bind(tenant)
        .bind(id)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?)
    }

    /// Makes a settled delivery once more, from the beginning of the schedule, if it was tried less than `max` times.
    pub async fn redeliver(&self, tenant: &str, id: &str, max: i32) -> Result<Redelivered> {
        let found: Option<(String, i32, bool)> = sqlx::query_as(
            "with again as (
                 update delivery d
                 set state = 'pending', next_at = clock_timestamp(), tries = 0, settled_at = null
                 where tenant_id = $1 and delivery_id = $2 and state <> 'pending' and attempts < $3
                   and (endpoint is null or exists (select from endpoint e
                                                    where e.tenant_id = $1 and e.name = d.endpoint
                                                      and e.disabled_at is null))
                 returning delivery_id
             )
             select state, attempts, exists (select from again) from delivery
             where tenant_id = $1 and delivery_id = $2",
        )
        .bind(tenant)
        .bind(id)
        .bind(max)
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?;
        let redelivered = match found {
            None => Redelivered::NotFound,
            Some((_, _, true)) => Redelivered::Done,
            Some((state, _, _)) if state == "pending" => Redelivered::Pending,
            Some((_, attempts, _)) if attempts >= max => Redelivered::TooOften,
            Some(_) => Redelivered::Off,
        };
        if redelivered == Redelivered::Done {
            self.bell.ring();
        }
        Ok(redelivered)
    }

    /// The same for all that failed of an endpoint since a time, at most `limit`; how many they are. None if the endpoint
    /// is gone, or off.
    pub async fn redeliver_failed(
        &self,
        tenant: &str,
        endpoint: &str,
        since: DateTime<Utc>,
        max: i32,
        limit: i64,
    ) -> Result<Option<u64>> {
        let on: Option<bool> =
            sqlx::query_scalar("select disabled_at is null from endpoint where tenant_id = $1 and name = $2")
                .bind(tenant)
                .bind(endpoint)
                .fetch_optional(&mut *self.of(tenant).await?)
                .await?;
        if on != Some(true) {
            return Ok(None);
        }
        let done = sqlx::query(
            "update delivery set state = 'pending', next_at = clock_timestamp(), tries = 0, settled_at = null
             where (tenant_id, delivery_id) in (
                 select tenant_id, delivery_id from delivery
                 where tenant_id = $1 and endpoint = $2 and state = 'failed' and created_at >= $3 and attempts < $4
                 order by delivery_id limit $5 for update skip locked)",
        )
        .bind(tenant)
        .bind(endpoint)
        .bind(since)
        .bind(max)
        .bind(limit)
        .execute(&mut *self.of(tenant).await?)
        .await?;
        self.bell.ring();
        Ok(Some(done.rows_affected()))
    }

    /// Puts a test for one endpoint into the outbox; the delivery's id, or none if the endpoint is gone or off.
    pub async fn test_endpoint(&self, tenant: &str, name: &str) -> Result<Option<String>> {
        let id = sqlx::query_scalar(
            "with notified as (
                 insert into notification (tenant_id, notification_id, type, body)
                 select $1, fresh_id('msg_'), 'endpoint.test',
                        json_build_object('type', 'endpoint.test', 'timestamp', rfc3339(clock_timestamp()),
                                          'data', json_build_object('endpoint', $2::text))::text
                 from endpoint where tenant_id = $1 and name = $2 and disabled_at is null
                 returning notification_id
             )
             insert into delivery (tenant_id, delivery_id, notification_id, endpoint, next_at)
             select $1, fresh_id('dlv_'), notification_id, $2, clock_timestamp() from notified
             returning delivery_id",
        )
        .bind(tenant)
        .bind(name)
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?;
        self.bell.ring();
        Ok(id)
    }
}
