//! What tenants use of what their quotas bound, and whether there is room for more.

use super::asked::is_open;
use super::claims::Claim;
use super::pauses::NewPause;
use super::{Db, Result};
use crate::limits::Quotas;

/// How many deltas one statement adds up.
const FOLD_MAX: i64 = 5_000;

/// So far from a quota, a sum of a second and a half ago is good enough; nearer than that, what was added since is counted,
/// too.
const NEAR: i64 = 2_000;
const NEAR_BYTES: i64 = 64 << 20;

/// What one tenant uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Usage {
    /// Executions that have not ended.
    pub unfinished: i64,
    /// Pauses that are open.
    pub open_pauses: i64,
    /// Components, inputs, journals, results and logs.
    pub stored_bytes: i64,
}

/// The quota that leaves no room, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tenant's quota `{quota}` of {max} is used up")]
pub struct Full {
    pub quota: &'static str,
    pub max: u64,
}

impl Full {
    /// Too many were started just now.
    pub fn too_fast(quotas: &Quotas) -> Self {
        Self { quota: "starts_per_second", max: quotas.starts_per_second }
    }
}

impl Usage {
    /// Whether one more execution is within the quotas, if so many more have been started, and bytes written, as are
    /// within `near`.
    fn has_room(&self, quotas: &Quotas, near: i64, near_bytes: i64) -> Result<(), Full> {
        let within =
            |used: i64, near: i64, max: u64| used.saturating_add(near) < i64::try_from(max).unwrap_or(i64::MAX);
        if !within(self.unfinished, near, quotas.unfinished) {
            return Err(Full { quota: "unfinished", max: quotas.unfinished });
        }
        if !within(self.stored_bytes, near_bytes, quotas.stored_bytes) {
            return Err(Full { quota: "stored_bytes", max: quotas.stored_bytes });
        }
        Ok(())
    }
}

impl Db {
    /// Adds up what was counted since the last time, and returns whether there is more of it. Any host may, at any time.
    ///
    /// Not waiting for the disk: if Postgres crashes and forgets it, it is as if nobody had added up.
    pub async fn fold_usage(&self) -> Result<bool> {
        // Of all tenants. In the order of their names, so that two hosts do not wait for each other in a circle.
        let folded: i64 = sqlx::query_scalar(
            "with due as (
                 select tenant_id, delta_id from usage_delta order by tenant_id, delta_id limit $1
                 for update skip locked
             ), taken as (
                 delete from usage_delta d using due
                 where d.tenant_id = due.tenant_id and d.delta_id = due.delta_id
                 returning d.tenant_id, d.unfinished, d.open_pauses, d.bytes
             ), added as (
                 insert into tenant_usage as u (tenant_id, unfinished, open_pauses, stored_bytes)
                 select tenant_id, sum(unfinished), sum(open_pauses), sum(bytes)
                 from taken group by tenant_id order by tenant_id
                 on conflict (tenant_id) do update
                 set unfinished = u.unfinished + excluded.unfinished,
                     open_pauses = u.open_pauses + excluded.open_pauses,
                     stored_bytes = u.stored_bytes + excluded.stored_bytes
             )
             select count(*) from taken",
        )
        .bind(FOLD_MAX)
        .fetch_one(&self.host_relaxed)
        .await?;
        Ok(folded == FOLD_MAX)
    }

    /// What a tenant uses at this moment.
    pub async fn usage(&self, tenant: &str) -> Result<Usage> {
        Ok(sqlx::query_as(
            "select coalesce(sum(unfinished), 0)::bigint as unfinished,
                    coalesce(sum(open_pauses), 0)::bigint as open_pauses,
                    coalesce(sum(bytes), 0)::bigint as stored_bytes
             from (select unfinished, open_pauses, stored_bytes as bytes from tenant_usage where tenant_id = $1
                   union all
                   select unfinished, open_pauses, bytes from usage_delta where tenant_id = $1) as counted",
        )
        .bind(tenant)
        .fetch_one(&mut *self.of(tenant).await?)
        .await?)
    }

    /// How many executions of a tenant are driven at this moment, on all hosts.
    pub async fn running(&self, tenant: &str) -> Result<i64> {
        let query = sqlx::query_scalar("select count(*) from execution where tenant_id = $1 and status = 'running'");
        Ok(query.bind(tenant).fetch_one(&mut *self.of(tenant).await?).await?)
    }

    /// Whether one more execution may be started. `sampled` is what the tenant used a second ago; nothing is asked of
    /// the database unless that is near a quota.
    pub async fn room_to_start(&self, tenant: &str, sampled: &Usage, quotas: &Quotas) -> Result<Result<(), Full>> {
        if sampled.has_room(quotas, NEAR, NEAR_BYTES).is_ok() {
            return Ok(Ok(()));
        }
        Ok(self.usage(tenant).await?.has_room(quotas, 0, 0))
    }

    /// Whether so many bytes more may be kept.
    pub async fn room_to_store(&self, tenant: &str, bytes: usize, quotas: &Quotas) -> Result<Result<(), Full>> {
        let stored = self.usage(tenant).await?.stored_bytes.unsigned_abs();
        if stored.saturating_add(bytes as u64) > quotas.stored_bytes {
            return Ok(Err(Full { quota: "stored_bytes", max: quotas.stored_bytes }));
        }
        Ok(Ok(()))
    }

    /// Whether a pause may be opened beside `planned` others, or was before.
    pub async fn room_to_pause(&self, claim: &Claim, planned: usize, pause: &NewPause) -> Result<Result<(), Full>> {
        let (sampled, max) = claim.open_pauses;
        let planned = i64::try_from(planned).unwrap_or(i64::MAX);
        let within = |open: i64| open.saturating_add(planned) < i64::try_from(max).unwrap_or(i64::MAX);
        if within(sampled.saturating_add(NEAR)) || within(self.usage(&claim.tenant).await?.open_pauses) {
            return Ok(Ok(()));
        }
        let mut connection = self.of(&claim.tenant).await?;
        let is_open = is_open(&mut connection, claim, pause).await?;
        Ok(if is_open { Ok(()) } else { Err(Full { quota: "open_pauses", max }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_place_is_taken_and_none_beyond_it() {
        let quotas = Quotas { unfinished: 10, stored_bytes: 100, ..Quotas::default() };
        let using = |unfinished, stored_bytes| Usage { unfinished, open_pauses: 0, stored_bytes };
        assert_eq!(using(9, 99).has_room(&quotas, 0, 0), Ok(()));
        assert_eq!(using(10, 99).has_room(&quotas, 0, 0), Err(Full { quota: "unfinished", max: 10 }));
        assert_eq!(using(9, 100).has_room(&quotas, 0, 0), Err(Full { quota: "stored_bytes", max: 100 }));
        assert!(using(8, 0).has_room(&quotas, 2, 0).is_err(), "near");
    }
}
