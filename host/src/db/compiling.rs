//! What a tenant may still have compiled, and what has been.

use std::time::Duration;

use super::executions::unreadable;
use super::{Db, Result};
use crate::limits::{Quotas, Settings};

/// What an upload is measured by.
#[derive(Debug)]
pub struct UploadTerms {
    pub settings: Settings,
    /// CPU time that is used up of the quota, in seconds.
    pub compile_seconds_used: f64,
}

impl UploadTerms {
    /// How long until the tenant may have something compiled again; none: it may.
    pub fn wait(&self) -> Option<Duration> {
        const HOUR: f64 = 3_600.0;
        #[expect(clippy::cast_precision_loss, reason = "at most 3,600,000")]
        let quota = self.settings.quotas.compile_seconds_per_hour as f64;
        let over = self.compile_seconds_used - quota;
        (over >= 0.0).then(|| Duration::from_secs_f64((over * HOUR / quota).ceil().max(1.0)))
    }
}

/// What is left of what was spent, `$2` being the quota where none is set.
macro_rules! used {
    () => {
        "greatest(0, b.spent - extract(epoch from now() - b.as_of) / 3600
                  * coalesce((t.limits ->> 'compile_seconds_per_hour')::float8, $2))"
    };
}

impl Db {
    /// The limits and quotas of a tenant, and how much of its time for compiling is used up. None if there is no such
    /// tenant.
    pub async fn upload_terms(&self, tenant: &str) -> Result<Option<UploadTerms>> {
        let row: Option<(String, f64)> = sqlx::query_as(concat!(
            "select t.limits::text, coalesce(",
            used!(),
            ", 0)
             from tenant t left join compile_budget b on b.tenant_id = t.tenant_id where t.tenant_id = $1"
        ))
        .bind(tenant)
        .bind(default_quota())
        .fetch_optional(&mut *self.of(tenant).await?)
        .await?;
        let Some((limits, compile_seconds_used)) = row else { return Ok(None) };
        let settings = Settings::read(&limits).map_err(|why| unreadable("the limits of a tenant", &why))?;
        Ok(Some(UploadTerms { settings, compile_seconds_used }))
    }

    /// Charges a tenant what a compilation took.
    pub async fn charge_compiling(&self, tenant: &str, took: Duration) -> Result<()> {
        sqlx::query(concat!(
            "insert into compile_budget as b (tenant_id, spent, as_of) values ($1, $3, now())
             on conflict (tenant_id) do update
             set as_of = now(), spent = excluded.spent + (
                 select ",
            used!(),
            " from tenant t where t.tenant_id = b.tenant_id)"
        ))
        .bind(tenant)
        .bind(default_quota())
        .bind(took.as_secs_f64())
        .execute(&mut *self.of(tenant).await?)
        .await?;
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
fn default_quota() -> f64 {
    Quotas::default().compile_seconds_per_hour as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_has_used_up_the_quota_waits_until_it_is_no_longer() {
        let wait = |used| {
            let settings = Settings::parse(&json!({"compile_seconds_per_hour": 36})).unwrap();
            UploadTerms { settings, compile_seconds_used: used }.wait().map(|wait| wait.as_secs())
        };
        // It becomes less by one second in 100.
        assert_eq!([0.0, 35.9, 36.0, 36.5, 40.0].map(wait), [None, None, Some(1), Some(50), Some(400)]);
    }
}
