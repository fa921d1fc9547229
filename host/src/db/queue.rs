//! The queue by tenant: who has executions that are due, and may run them.

use std::sync::LazyLock;
use std::time::Duration;

use super::{Db, Result};
use crate::limits::Quotas;

/// How many tenants one look finds, so that it ends soon.
pub const LINES_MAX: usize = 1_000;

/// How many executions of a tenant `t` may run at once on one host. What is no number was set by a foreign hand, and must
/// not keep everybody else's from being claimed.
pub(super) static RUNNING_MAX: LazyLock<String> = LazyLock::new(|| {
    let default = Quotas::default().running;
    format!(
        "case when jsonb_typeof(t.limits -> 'running') = 'number'
              then least((t.limits ->> 'running')::numeric, 2147483647)::bigint else {default} end"
    )
});

/// A tenant with executions that are due, or will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub tenant: String,
    /// None if one is due.
    pub due_in: Option<Duration>,
    pub is_suspended: bool,
    /// How many of its executions may run at once on one host.
    pub running_max: usize,
}

/// What a look by tenant has found.
#[derive(Debug, Default)]
pub struct Lines {
    /// In the order of their tenants.
    pub lines: Vec<Line>,
    /// Whether the installation has another tenant whose executions might come.
    pub has_others: bool,
}

static LINES: LazyLock<String> = LazyLock::new(|| {
    let running_max = &*RUNNING_MAX;
    format!(
        "with recursive line (tenant_id, wake_at, place) as (
             (select tenant_id, wake_at, 1::bigint from execution
              where wake_at is not null and tenant_id > $1
              order by tenant_id, wake_at limit 1)
             union all
             select next.*, line.place + 1 from line cross join lateral (
                 select e.tenant_id, e.wake_at from execution e
                 where e.wake_at is not null and e.tenant_id > line.tenant_id
                 order by e.tenant_id, e.wake_at limit 1
             ) next
             where line.place < $2
         ), other as (
             select tenant_id from tenant
             where tenant_id > '' and tenant_id <> 'host' and suspended_at is null limit 2
         )
         select line.tenant_id, extract(epoch from line.wake_at - now())::float8 as due_in,
                t.suspended_at is not null as is_suspended, {running_max} as running_max,
                (select count(*) from other) > 1 as has_others
         from line join tenant t on t.tenant_id = line.tenant_id
         order by line.place"
    )
});

impl Db {
    /// The tenants after this one that have executions which are due, or will be; at most `LINES_MAX`.
    ///
    /// Goes from one to the next by an index, so that the backlog of one is not read.
    pub async fn lines(&self, after: Option<&str>) -> Result<Lines> {
        let rows: Vec<(String, f64, bool, i64, bool)> = sqlx::query_as(sqlx::AssertSqlSafe(LINES.as_str()))
            .bind(after.unwrap_or_default())
            .bind(LINES_MAX as i64)
            .fetch_all(&self.host_relaxed)
            .await?;
        let has_others = rows.iter().any(|(.., has_others)| *has_others);
        let line = |(tenant, due_in, is_suspended, running_max, _)| Line {
            tenant,
            due_in: (due_in > 0.0).then(|| Duration::from_secs_f64(f64::min(due_in, 1e9))),
            is_suspended,
            running_max: usize::try_from(running_max).unwrap_or(0),
        };
        Ok(Lines { lines: rows.into_iter().map(line).collect(), has_others })
    }
}
