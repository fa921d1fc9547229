//! The times of pauses: what is due is done for many of them at once, and by whichever host comes first.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::asked::{people, with_escalated};
use super::executions::timestamp;
use super::executions::wake;
use super::pauses::Pause;
use super::votes::give_up_if_spent;
use super::{Db, Result, retry};
use crate::audit::Action;
use crate::crash;

/// For how many tenants one look finds what is due.
const TENANTS_MAX: i64 = 10_000;

/// Of how many pauses of one tenant the steps are taken before those of the next tenant.
const OF_ONE_TENANT_MAX: i64 = 20;

/// What was done of a batch of pauses.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    pub count: u64,
    /// Whether there may be more that is due.
    pub is_full: bool,
}

/// A pause with a reminder or an escalation that is due.
#[derive(Debug, sqlx::FromRow)]
struct Due {
    tenant_id: String,
    execution_id: String,
    approval_request_id: String,
}

impl Db {
    /// How long until a pause expires, or something is to be done while it waits; none if nothing ever is.
    pub async fn next_pause_due(&self) -> Result<Option<Duration>> {
        let seconds: Option<f64> = sqlx::query_scalar(
            "select extract(epoch from min(next_at) - clock_timestamp())::float8 from pause
             where status = 'open' and next_at is not null",
        )
        .fetch_one(&self.host)
        .await?;
        Ok(seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 1e9))))
    }

    /// Lets up to `limit` pauses expire whose time is over, and makes the executions claimable that wait for them.
    ///
    /// One whose execution another transaction holds is left for the next time.
    pub async fn expire_due(&self, limit: i64) -> Result<Done> {
        let count: i64 = sqlx::query_scalar(
            "with due as materialized (
                 select tenant_id, execution_id, approval_request_id from pause
                 where status = 'open' and next_at <= statement_timestamp() and expires_at <= statement_timestamp()
                 order by next_at limit $1
             ), held as materialized (
                 select e.tenant_id, e.execution_id from execution e
                 where (e.tenant_id, e.execution_id) in (select tenant_id, execution_id from due)
                   and e.finished_at is null
                 for no key update skip locked
             ), expired as (
                 update pause p
                 set status = 'expired', decision = default_decision, response = default_response,
                     decided_at = expires_at, next_at = null
                 from due join held using (tenant_id, execution_id)
                 where p.tenant_id = due.tenant_id and p.execution_id = due.execution_id
                   and p.approval_request_id = due.approval_request_id
                   and p.status = 'open' and p.expires_at <= clock_timestamp()
                 returning p.tenant_id, p.execution_id, p.approval_request_id, p.decision
             ), noted as (
                 insert into audit_unsealed (tenant_id, actor, action, subject, details)
                 select tenant_id, 'host', $2, execution_id || ':' || approval_request_id,
                        '{\"decision\":' || to_json(decision)::text || '}'
                 from expired where decision is not null
             ), woken as (
                 update execution e
                 set answers = answers + 1,
                     status = case status when 'waiting' then 'pending' else status end,
                     wake_at = case status when 'waiting' then now() else wake_at end
                 from (select distinct tenant_id, execution_id from expired) x
                 where e.tenant_id = x.tenant_id and e.execution_id = x.execution_id
             )
             select count(*) from expired",
        )
        .bind(limit)
        .bind(Action::PauseExpired.as_str())
        .fetch_one(&self.host)
        .await?;
        if count > 0 {
            crash::point("after_expire_due");
            self.bell.ring();
        }
        Ok(Done { count: count.unsigned_abs(), is_full: count >= limit })
    }

    /// Takes the steps that are due of up to `limit` pauses: reminders and escalations.
    ///
    /// Of several that are due at once, because no host was there, the reminders are one.
    pub async fn take_due_steps(&self, limit: i64) -> Result<Done> {
        let due: Vec<Due> = sqlx::query_as(
            "with recursive tenants (tenant_id, place) as (
                 (select tenant_id, 1::bigint from pause
                  where status = 'open' and timetable is not null order by tenant_id limit 1)
                 union all
                 select (select p.tenant_id from pause p
                         where p.status = 'open' and p.timetable is not null and p.tenant_id > t.tenant_id
                         order by p.tenant_id limit 1), place + 1
                 from tenants t where t.tenant_id is not null and place < $3
             )
             select p.tenant_id, p.execution_id, p.approval_request_id
             from tenants t cross join lateral (
                 select tenant_id, execution_id, approval_request_id from pause
                 where tenant_id = t.tenant_id and status = 'open' and timetable is not null
                   and next_at <= statement_timestamp() and (expires_at is null or expires_at > statement_timestamp())
                 order by next_at limit $2
             ) p limit $1",
        )
        .bind(limit)
        .bind(OF_ONE_TENANT_MAX)
        .bind(TENANTS_MAX)
        .fetch_all(&self.host)
        .await?;
        let (is_full, mut count) = (due.len() as i64 >= limit, 0);
        for due in due {
            match retry(|| self.take_steps(&due)).await {
                Ok(taken) => count += u64::from(taken),
                // One that cannot be read must not hold up the others.
                Err(error) => tracing::warn!(
                    tenant.id = due.tenant_id, execution.id = due.execution_id, %error,
                    "the steps of a pause could not be taken"
                ),
            }
        }
        if count > 0 {
            self.bell.ring();
        }
        Ok(Done { count, is_full: is_full && count > 0 })
    }

    /// False if another host was first, or is at it.
    async fn take_steps(&self, due: &Due) -> Result<bool> {
        let mut tx = self.begin(&due.tenant_id).await?;
        let held = sqlx::query(
            "select from execution where tenant_id = $1 and execution_id = $2 and finished_at is null
             for no key update skip locked",
        )
        .bind(&due.tenant_id)
        .bind(&due.execution_id)
        .fetch_optional(&mut *tx)
        .await?;
        if held.is_none() {
            return Ok(false);
        }
        let pause = super::pauses::find(&mut tx, &due.tenant_id, &due.execution_id, &due.approval_request_id).await?;
        let now: DateTime<Utc> = sqlx::query_scalar("select clock_timestamp()").fetch_one(&mut *tx).await?;
        let Some((pause, opened)) = pause.filter(|pause| pause.status == "open").and_then(|pause| {
            let opened = pause.opened_at?;
            Some((pause, opened.timestamp_millis().unsigned_abs()))
        }) else {
            return Ok(false);
        };
        crash::point("during_step");
        let steps = pause.timetable()?;
        let at = |place: usize| steps.get(place).map(|step| timestamp(opened.saturating_add(step.after_ms)));
        let begin = pause.steps_done.unsigned_abs() as usize;
        let end = (begin..steps.len()).find(|&place| at(place).is_some_and(|at| at > now)).unwrap_or(steps.len());
        if begin == end {
            return Ok(false);
        }
        let taken = &steps[begin..end];
        let escalations: Vec<_> = taken.iter().filter_map(|step| step.escalation.as_ref()).collect();
        let asked =
            match pause.policy()?.and_then(|policy| policy.stages.into_iter().nth(pause.stage.unsigned_abs() as usize))
            {
                Some(stage) => with_escalated(&stage.reviewers, &steps, end as i32),
                None => vec![],
            };
        let notify: Vec<&String> = escalations.iter().flat_map(|escalation| &escalation.notify).collect();
        crash::point("before_step");
        sqlx::query(
            "update pause
             set steps_done = $4, asked = $5, asked_people = $10,
                 notify = (select coalesce(array_agg(distinct name), '{}') from unnest(notify || $6::text[]) as name),
                 reminders_sent = reminders_sent + $7, escalations_done = escalations_done + $8,
                 next_at = least($9, expires_at)
             where tenant_id = $1 and execution_id = $2 and approval_request_id = $3",
        )
        .bind(&due.tenant_id)
        .bind(&due.execution_id)
        .bind(&due.approval_request_id)
        .bind(end as i32)
        .bind(&asked)
        .bind(notify)
        .bind(i32::from(escalations.len() < taken.len()))
        .bind(escalations.len() as i32)
        .bind(at(end))
        .bind(people(&asked))
        .execute(&mut *tx)
        .await?;
        if !escalations.is_empty() && !steps[end..].iter().any(|step| step.escalation.is_some()) {
            let pause = Pause { asked: asked.clone(), ..pause };
            if give_up_if_spent(&mut tx, &due.tenant_id, &pause).await? {
                wake(&mut tx, &due.tenant_id, &due.execution_id).await?;
            }
        }
        tx.commit().await?;
        crash::point("after_step");
        Ok(true)
    }
}
