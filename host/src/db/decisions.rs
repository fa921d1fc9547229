//! Decisions: the first one wins, whatever else happens at the same moment.

use sqlx::PgConnection;

use super::executions::wake;
use super::pauses::{Pause, check, find};
use super::{Db, Result, audit, retry};
use crate::audit::{self as log, Action, Actor};
use crate::crash;
use crate::decision::{Form, Unfit};
use crate::execution::pause_id;

/// How many early decisions an execution keeps for pauses that it has not opened.
const EARLY_MAX: i64 = 100;

/// A decision that somebody with the right to decide has sent.
#[derive(Debug)]
pub struct NewDecision<'a> {
    pub tenant: &'a str,
    pub execution: &'a str,
    pub approval_request_id: &'a str,
    pub decision: &'a str,
    pub feedback: Option<&'a str>,
    /// JSON text.
    pub response: Option<&'a str>,
    pub reviewer: Option<&'a str>,
    /// `key:{key_id}` or `webhook:{webhook_id}`.
    pub via: &'a str,
    pub actor: Actor<'a>,
    /// The signed delivery that brought it.
    pub delivery: Option<Delivery<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    pub webhook_id: &'a str,
    pub body_sha256: &'a [u8],
}

/// What became of a decision.
#[derive(Debug)]
pub enum Decided {
    /// It is durable, and the agent will be given it.
    Accepted(Pause),
    /// The pause had been decided just like that.
    Duplicate(Pause),
    /// The pause had been decided otherwise.
    AlreadyDecided(Pause),
    /// Too late: expired, withdrawn, or the execution has finished.
    Closed,
    NotFound,
    Unfit(Unfit),
    /// The same webhook-id had come with another body.
    WebhookIdReused,
}

impl Db {
    /// Decides a pause, first come first served.
    ///
    /// Once this returns `Accepted`, the decision survives any crash, and the execution that waits for it is claimable.
    pub async fn decide(&self, new: &NewDecision<'_>) -> Result<Decided> {
        let mut in_doubt = false;
        let decided = retry(|| {
            let again = std::mem::replace(&mut in_doubt, true);
            async move {
                let decided = self.try_decide(new).await?;
                // The try before may have been the one that decided it: then this is its acknowledgement.
                Ok(match decided {
                    Decided::Duplicate(pause) if again && pause.via.as_deref() == Some(new.via) => {
                        Decided::Accepted(pause)
                    }
                    decided => decided,
                })
            }
        })
        .await?;
        if matches!(decided, Decided::Accepted(_)) {
            self.bell.ring();
        }
        Ok(decided)
    }

    async fn try_decide(&self, new: &NewDecision<'_>) -> Result<Decided> {
        if let Some(pause) = self.decide_at_once(new).await? {
            return Ok(Decided::Accepted(pause));
        }
        self.decide_step_by_step(new).await
    }

    /// Decides, in one statement, an open pause without a schema whose choices hold the decision. None if it is another
    /// case, or somebody else decided it at the same moment.
    async fn decide_at_once(&self, new: &NewDecision<'_>) -> Result<Option<Pause>> {
        crash::point("before_decide_commit");
        let decided = sqlx::query_as(
            "with woken as (
                 update execution
                 set answers = answers + 1,
                     status = case status when 'waiting' then 'pending' else status end,
                     wake_at = case status when 'waiting' then now() else wake_at end
                 where tenant_id = $1 and execution_id = $2 and finished_at is null
                   and exists (select from pause p
                               where p.tenant_id = $1 and p.execution_id = $2 and p.approval_request_id = $3
                                 and p.status = 'open' and p.response_schema is null and $4 = any(p.choices)
                                 and (p.expires_at is null or p.expires_at > clock_timestamp()))
                   and not exists (select from webhook_delivery where tenant_id = $1 and webhook_id = $9)
                 returning agent, function
             ), decided as (
                 update pause p
                 set status = 'decided', decision = $4, feedback = $5, response = $6, reviewer = $7, via = $8,
                     decided_at = clock_timestamp()
                 from woken
                 where p.tenant_id = $1 and p.execution_id = $2 and p.approval_request_id = $3
                   and p.status = 'open' and p.response_schema is null and $4 = any(p.choices)
                   and (p.expires_at is null or p.expires_at > clock_timestamp())
                 returning p.*, woken.agent, woken.function
             ), delivered as (
                 insert into webhook_delivery (tenant_id, webhook_id, body_sha256, execution_id, approval_request_id)
                 select $1, $9, $10, $2, $3 from decided where $9 is not null
             ), noted as (
                 insert into audit_unsealed (tenant_id, actor, actor_name, source, action, subject, details)
                 select $1, $11, $12, $13, $14, $2 || ':' || $3, $15 from decided
             )
             select execution_id, approval_request_id, agent, function, status, approval_request_url, title, payload,
                    response_schema, choices, opened_at, expires_at, decision, feedback, response, reviewer, via,
                    decided_at
             from decided",
        )
        .bind(new.tenant)
        .bind(new.execution)
        .bind(new.approval_request_id)
        .bind(new.decision)
        .bind(new.feedback)
        .bind(new.response)
        .bind(new.reviewer)
        .bind(new.via)
        .bind(new.delivery.map(|delivery| delivery.webhook_id))
        .bind(new.delivery.map(|delivery| delivery.body_sha256))
        .bind(new.actor.who.to_string())
        .bind(new.actor.name)
        .bind(new.actor.source())
        .bind(Action::PauseDecided.as_str())
        .bind(log::decision(new.decision, false, &new.actor))
        .fetch_optional(&self.pool)
        .await;
        crash::point("after_decide_commit");
        match decided {
            // The same webhook-id came twice at the same moment; all of this statement is undone.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
            decided => Ok(decided?),
        }
    }

    async fn decide_step_by_step(&self, new: &NewDecision<'_>) -> Result<Decided> {
        let mut tx = self.pool.begin().await?;
        // The lock comes first: see the first rule in `db`.
        let finished: Option<bool> = sqlx::query_scalar(
            "select finished_at is not null from execution where tenant_id = $1 and execution_id = $2
             for no key update",
        )
        .bind(new.tenant)
        .bind(new.execution)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(finished) = finished else { return Ok(Decided::NotFound) };
        let pause = find(&mut tx, new.tenant, new.execution, new.approval_request_id).await?;
        if let Some(delivery) = new.delivery
            && let Some(same) = delivered(&mut tx, new.tenant, &delivery).await?
        {
            return Ok(match pause {
                Some(pause) if same => Decided::Duplicate(pause),
                _ => Decided::WebhookIdReused,
            });
        }
        let Some(pause) = pause else {
            if finished {
                return Ok(Decided::Closed);
            }
            return self.keep_early(tx, new).await;
        };
        if pause.decision.is_some() {
            return Ok(if is_same(&pause, new) { Decided::Duplicate(pause) } else { Decided::AlreadyDecided(pause) });
        }
        if pause.status != "open" || finished || is_over(&mut tx, &pause).await? {
            return Ok(Decided::Closed);
        }
        let form = Form { choices: pause.choices.clone(), response_schema: pause.response_schema.clone() };
        if let Err(unfit) = check(&form, new.decision, new.response).await {
            return Ok(Decided::Unfit(unfit));
        }
        if !mark_decided(&mut tx, new).await? {
            return Ok(Decided::Closed);
        }
        self.finish_decision(tx, new).await
    }

    /// Keeps a decision for a pause that the agent has not opened yet.
    async fn keep_early(
        &self,
        mut tx: sqlx::Transaction<'_, sqlx::Postgres>,
        new: &NewDecision<'_>,
    ) -> Result<Decided> {
        let kept = sqlx::query(
            "insert into pause (tenant_id, execution_id, approval_request_id, status, decision, feedback, response,
                                reviewer, via, decided_at)
             select $1, $2, $3, 'early', $4, $5, $6, $7, $8, clock_timestamp()
             where (select count(*) from pause where tenant_id = $1 and execution_id = $2 and status = 'early') < $9",
        )
        .bind(new.tenant)
        .bind(new.execution)
        .bind(new.approval_request_id)
        .bind(new.decision)
        .bind(new.feedback)
        .bind(new.response)
        .bind(new.reviewer)
        .bind(new.via)
        .bind(EARLY_MAX)
        .execute(&mut *tx)
        .await?;
        if kept.rows_affected() == 0 {
            return Ok(Decided::Unfit(Unfit::TooManyEarly));
        }
        self.finish_decision(tx, new).await
    }

    /// Remembers the delivery, wakes the execution, notes who decided, commits.
    async fn finish_decision(
        &self,
        mut tx: sqlx::Transaction<'_, sqlx::Postgres>,
        new: &NewDecision<'_>,
    ) -> Result<Decided> {
        if let Some(delivery) = new.delivery {
            let first = sqlx::query(
                "insert into webhook_delivery (tenant_id, webhook_id, body_sha256, execution_id, approval_request_id)
                 values ($1, $2, $3, $4, $5) on conflict do nothing",
            )
            .bind(new.tenant)
            .bind(delivery.webhook_id)
            .bind(delivery.body_sha256)
            .bind(new.execution)
            .bind(new.approval_request_id)
            .execute(&mut *tx)
            .await?;
            if first.rows_affected() == 0 {
                // The same id, at the same time, for another pause.
                return Ok(Decided::WebhookIdReused);
            }
        }
        wake(&mut tx, new.tenant, new.execution).await?;
        let pause = find(&mut tx, new.tenant, new.execution, new.approval_request_id).await?;
        let is_early = pause.as_ref().is_some_and(|pause| pause.status == "early");
        let details = log::decision(new.decision, is_early, &new.actor);
        let subject = pause_id(new.execution, new.approval_request_id);
        audit::write(&mut tx, new.tenant, &new.actor, Action::PauseDecided, &subject, &details).await?;
        crash::point("before_decide_commit");
        tx.commit().await?;
        crash::point("after_decide_commit");
        Ok(pause.map_or(Decided::NotFound, Decided::Accepted))
    }

    /// The execution and the `approval_request_id` that a signed delivery was taken for, if it was.
    pub async fn delivered_to(&self, tenant: &str, webhook_id: &str) -> Result<Option<(String, String)>> {
        Ok(sqlx::query_as(
            "select execution_id, approval_request_id from webhook_delivery where tenant_id = $1 and webhook_id = $2",
        )
        .bind(tenant)
        .bind(webhook_id)
        .fetch_optional(&self.pool)
        .await?)
    }
}

/// Whether this delivery was taken before: with the same body, or another one.
async fn delivered(tx: &mut PgConnection, tenant: &str, delivery: &Delivery<'_>) -> Result<Option<bool>> {
    Ok(sqlx::query_scalar("select body_sha256 = $3 from webhook_delivery where tenant_id = $1 and webhook_id = $2")
        .bind(tenant)
        .bind(delivery.webhook_id)
        .bind(delivery.body_sha256)
        .fetch_optional(tx)
        .await?)
}

/// False if its time was over.
async fn mark_decided(tx: &mut PgConnection, new: &NewDecision<'_>) -> Result<bool> {
    let done = sqlx::query(
        "update pause
         set status = 'decided', decision = $4, feedback = $5, response = $6, reviewer = $7, via = $8,
             decided_at = clock_timestamp()
         where tenant_id = $1 and execution_id = $2 and approval_request_id = $3 and status = 'open'
           and (expires_at is null or expires_at > clock_timestamp())",
    )
    .bind(new.tenant)
    .bind(new.execution)
    .bind(new.approval_request_id)
    .bind(new.decision)
    .bind(new.feedback)
    .bind(new.response)
    .bind(new.reviewer)
    .bind(new.via)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a pause was decided just like this. Its response may be written in another way.
fn is_same(pause: &Pause, new: &NewDecision<'_>) -> bool {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let same_response = match (pause.response.as_deref(), new.response) {
        (Some(one), Some(other)) => one == other || (json(one).is_some() && json(one) == json(other)),
        (one, other) => one == other,
    };
    pause.decision.as_deref() == Some(new.decision) && pause.feedback.as_deref() == new.feedback && same_response
}

/// Whether the time of a pause is over, by Postgres' clock.
async fn is_over(tx: &mut PgConnection, pause: &Pause) -> Result<bool> {
    let Some(expires_at) = pause.expires_at else { return Ok(false) };
    Ok(sqlx::query_scalar("select $1 <= clock_timestamp()").bind(expires_at).fetch_one(tx).await?)
}
