//! Decisions: the first one wins, whatever else happens at the same moment.

use std::sync::LazyLock;
use std::time::Instant;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, PgConnection, Row as _};

use super::answers::Arrived;
use super::asked::NotAsked;
use super::claims::Claim;
use super::executions::wake;
use super::handover::{self, CLAIMED, Offer, Terms, bind_offer, unbroken};
use super::pauses::{Pause, check, find};
use super::recall;
use super::session::Tx;
use super::votes::{Ballot, Vote, Voted, cast};
use super::{Db, Result, audit, retry};
use crate::approval::is_same_person;
use crate::audit::{self as log, Action, Actor};
use crate::crash;
use crate::decision::Unfit;
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
    /// Whether `reviewer` is only what the sender of a signed webhook said.
    pub claimed: bool,
    /// `key:{key_id}`, `webhook:{webhook_id}` or `link:{link_id}`.
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

/// A decision that was taken at once.
struct Accepted {
    pause: Pause,
    /// Whether this host drives the execution already.
    is_handed_over: bool,
}

/// Decides a pause at once: see `Db::decide_at_once`.
///
/// What was recalled is what there was when the statement began. It is given on if nobody has driven the execution since
/// then, nor brought it an answer, while this statement waited for the row.
static DECIDE: LazyLock<String> = LazyLock::new(|| {
    let Terms { bid, worker, lease_until, .. } = handover::terms(17);
    let recall = recall::columns("woken.next_seq", "woken.is_recalled");
    let claimed = &*CLAIMED;
    format!(
        "with {bid}, woken as (
             update execution e
             set answers = answers + 1,
                 status = case when status <> 'waiting' then status when token is null then 'pending' else 'running' end,
                 wake_at = case when status <> 'waiting' then wake_at when token is null then now() end,
                 claim_token = case when status = 'waiting' and token is not null then token else claim_token end,
                 worker = case when status = 'waiting' and token is not null then {worker} else worker end,
                 lease_until = case when status = 'waiting' and token is not null then {lease_until} else lease_until end,
                 attempts = attempts + (status = 'waiting' and token is not null)::int
             from bid
             where tenant_id = $1 and execution_id = $2 and finished_at is null
               and exists (select from pause p
                           where p.tenant_id = $1 and p.execution_id = $2 and p.approval_request_id = $3
                             and p.status = 'open' and p.is_plain and $4 = any(p.choices)
                             and (p.expires_at is null or p.expires_at > clock_timestamp()))
               and not exists (select from webhook_delivery where tenant_id = $1 and webhook_id = $9)
             returning {claimed}, token is not null and claim_token = token as is_claimed,
                       token is not null and claim_token = token
                       and (select old.answers + 1 = e.answers and old.attempts + 1 = e.attempts from execution old
                            where old.tenant_id = $1 and old.execution_id = $2) as is_recalled
         ), decided as (
             update pause p
             set status = 'decided', decision = $4, feedback = $5, response = $6, reviewer = $7, via = $8,
                 decided_at = clock_timestamp(), claimed = $16
             from woken
             where p.tenant_id = $1 and p.execution_id = $2 and p.approval_request_id = $3
               and p.status = 'open' and p.is_plain and $4 = any(p.choices)
               and (p.expires_at is null or p.expires_at > clock_timestamp())
             returning p.*, true as is_decided
         ), delivered as (
             insert into webhook_delivery (tenant_id, webhook_id, body_sha256, execution_id, approval_request_id)
             select $1, $9, $10, $2, $3 from decided where $9 is not null
         ), noted as (
             insert into audit_unsealed (tenant_id, actor, actor_name, source, action, subject, details)
             select $1, $11, $12, $13, $14, $2 || ':' || $3, $15 from decided
         )
         select decided.*, recalled.*, woken.*, coalesce(decided.is_decided, false) as is_decided
         from woken left join decided on true cross join lateral ({recall}) recalled"
    )
});

/// What became of a decision.
#[derive(Debug)]
pub enum Decided {
    /// It is durable, and the agent will be given it.
    Accepted(Pause),
    /// It is durable, as a vote on a pause that asks several people, and does not decide it.
    Recorded(Pause),
    /// The pause had been decided just like that.
    Duplicate(Pause),
    /// The pause had been decided otherwise.
    AlreadyDecided(Pause),
    /// This reviewer had voted otherwise.
    AlreadyVoted(Box<Vote>),
    /// The pause asks others.
    NotAsked(NotAsked),
    /// The decision of somebody else is kept for a pause that is not open yet; another has to come when it is.
    KeptForAnother,
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
        retry(|| {
            let again = std::mem::replace(&mut in_doubt, true);
            async move {
                let decided = self.try_decide(new).await?;
                // The try before may have been the one that decided it: then this is its acknowledgement.
                Ok(match decided {
                    Decided::Duplicate(pause) if again && pause.via.as_deref() == Some(new.via) => {
                        Decided::Accepted(pause)
                    }
                    Decided::Duplicate(pause) if again && pause.votes.iter().any(|vote| vote.via == new.via) => {
                        Decided::Recorded(pause)
                    }
                    decided => decided,
                })
            }
        })
        .await
    }

    async fn try_decide(&self, new: &NewDecision<'_>) -> Result<Decided> {
        if let Some(Accepted { pause, is_handed_over }) = self.decide_at_once(new).await? {
            if is_handed_over {
                self.bell.ring_for_news()
            } else {
                self.bell.ring()
            }
            return Ok(Decided::Accepted(pause));
        }
        let decided = self.decide_step_by_step(new).await?;
        if matches!(decided, Decided::Accepted(_) | Decided::Recorded(_)) {
            self.bell.ring();
        }
        Ok(decided)
    }

    /// Decides, in one statement, an open pause without form and policy whose choices hold the decision, and hands the
    /// execution over if it waits and this host's worker has a place for it. None if it is another case, or somebody else
    /// decided it at the same moment.
    async fn decide_at_once(&self, new: &NewDecision<'_>) -> Result<Option<Accepted>> {
        let offer = self.offer(new.tenant);
        let query = sqlx::query(sqlx::AssertSqlSafe(DECIDE.as_str()))
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
            .bind(new.claimed);
        let query = bind_offer!(query, offer);
        let (db, tenant, execution) = (self.clone(), new.tenant.to_owned(), new.execution.to_owned());
        unbroken(async move {
            crash::point("before_decide_commit");
            let row = query.fetch_optional(&mut *db.of(&tenant).await?).await;
            crash::point("after_decide_commit");
            match row {
                Ok(Some(row)) => db.accepted(&row, offer).await,
                Ok(None) => Ok(None),
                // The same webhook-id came twice at the same moment; all of this statement is undone.
                Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(None),
                Err(error) => {
                    offer.withdraw(&db, &tenant, &execution);
                    Err(error.into())
                }
            }
        })
        .await
    }

    /// What a row of `DECIDE` says; and hands the execution over, if that has claimed it.
    async fn accepted(&self, row: &PgRow, offer: Offer) -> Result<Option<Accepted>> {
        let is_decided: bool = row.try_get("is_decided")?;
        let pause = is_decided.then(|| Pause::from_row(row)).transpose()?;
        let is_handed_over = if row.try_get("is_claimed")? {
            let claim = Claim::of_row(row, Instant::now())?;
            let recalled = if row.try_get("is_recalled")? {
                let mut recalled = self.recalled(&claim, recall::Columns::from_row(row)?).await?;
                // The statement has read what there was before it.
                recalled.unread.extend(pause.as_ref().and_then(Arrived::of_decision));
                Some(recalled)
            } else {
                None
            };
            offer.hand_over(claim, recalled)
        } else {
            false
        };
        Ok(pause.map(|pause| Accepted { pause, is_handed_over }))
    }

    async fn decide_step_by_step(&self, new: &NewDecision<'_>) -> Result<Decided> {
        let mut tx = self.begin(new.tenant).await?;
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
        crash::point("during_decide");
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
        let mut ballot = new.ballot();
        if pause.status == "early" && is_of_another(&pause, &ballot) {
            return Ok(Decided::KeptForAnother);
        }
        // The vote that a pause has expired with was taken, too.
        if pause.status == "expired" && !pause.votes.is_empty() && is_repeated(&pause, &ballot).await {
            return Ok(Decided::Duplicate(pause));
        }
        if matches!(pause.status.as_str(), "decided" | "early") {
            return Ok(if is_repeated(&pause, &ballot).await {
                Decided::Duplicate(pause)
            } else {
                Decided::AlreadyDecided(pause)
            });
        }
        if pause.status != "open" || finished || is_over(&mut tx, &pause).await? {
            return Ok(Decided::Closed);
        }
        let voted = cast(&mut tx, new.tenant, &pause, &ballot).await?;
        crash::point("during_decide");
        match voted {
            Voted::Decides(response) => {
                ballot.response = response.as_deref();
                if !mark_decided(&mut tx, new.tenant, &pause, &ballot, None).await? {
                    return Ok(Decided::Closed);
                }
                self.finish_decision(tx, new, true).await
            }
            Voted::GivenUp => self.finish_decision(tx, new, true).await,
            Voted::Recorded => self.finish_decision(tx, new, false).await,
            Voted::Duplicate => Ok(Decided::Duplicate(pause)),
            Voted::Otherwise(vote) => Ok(Decided::AlreadyVoted(vote)),
            Voted::NotAsked(why) => Ok(Decided::NotAsked(why)),
            Voted::Unfit(unfit) => Ok(Decided::Unfit(unfit)),
        }
    }

    /// Keeps a decision for a pause that the agent has not opened yet.
    async fn keep_early(&self, mut tx: Tx, new: &NewDecision<'_>) -> Result<Decided> {
        let kept = sqlx::query(
            "insert into pause (tenant_id, execution_id, approval_request_id, status, decision, feedback, response,
                                reviewer, via, claimed, decided_at)
             select $1, $2, $3, 'early', $4, $5, $6, $7, $8, $10, clock_timestamp()
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
        .bind(new.claimed)
        .execute(&mut *tx)
        .await?;
        if kept.rows_affected() == 0 {
            return Ok(Decided::Unfit(Unfit::TooManyEarly));
        }
        self.finish_decision(tx, new, true).await
    }

    /// Remembers the delivery, wakes the execution if there is an answer for it, notes who decided, commits.
    async fn finish_decision(&self, mut tx: Tx, new: &NewDecision<'_>, is_answer: bool) -> Result<Decided> {
        crash::point("during_decide");
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
        crash::point("during_decide");
        if is_answer {
            wake(&mut tx, new.tenant, new.execution).await?;
        }
        let pause = find(&mut tx, new.tenant, new.execution, new.approval_request_id).await?;
        let is_early = pause.as_ref().is_some_and(|pause| pause.status == "early");
        let details = log::decision(new.decision, is_early, &new.actor);
        let subject = pause_id(new.execution, new.approval_request_id);
        let decides = is_early || pause.as_ref().is_some_and(|pause| pause.status == "decided");
        let action = if decides { Action::PauseDecided } else { Action::PauseVoted };
        audit::write(&mut tx, new.tenant, &new.actor, action, &subject, &details).await?;
        crash::point("before_decide_commit");
        tx.commit().await?;
        crash::point("after_decide_commit");
        Ok(match pause {
            None => Decided::NotFound,
            Some(pause) if matches!(pause.status.as_str(), "decided" | "early") => Decided::Accepted(pause),
            Some(pause) => Decided::Recorded(pause),
        })
    }

    /// The execution and the `approval_request_id` that a signed delivery was taken for, if it was.
    pub async fn delivered_to(&self, tenant: &str, webhook_id: &str) -> Result<Option<(String, String)>> {
        Ok(sqlx::query_as(
            "select execution_id, approval_request_id from webhook_delivery where tenant_id = $1 and webhook_id = $2",
        )
        .bind(tenant)
        .bind(webhook_id)
        .fetch_optional(&mut *self.of(tenant).await?)
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

/// Decides an open pause: now, or, if its decision was early, as of then. False if its time was over.
pub(super) async fn mark_decided(
    tx: &mut PgConnection,
    tenant: &str,
    pause: &Pause,
    ballot: &Ballot<'_>,
    early_at: Option<DateTime<Utc>>,
) -> Result<bool> {
    let done = sqlx::query(
        "update pause
         set status = 'decided', decision = $4, feedback = $5, response = $6, reviewer = $7, via = $8, claimed = $9,
             decided_at = coalesce($10, clock_timestamp())
         where tenant_id = $1 and execution_id = $2 and approval_request_id = $3 and status = 'open'
           and (expires_at is null or expires_at > coalesce($10, clock_timestamp()))",
    )
    .bind(tenant)
    .bind(&pause.execution_id)
    .bind(&pause.approval_request_id)
    .bind(ballot.decision)
    .bind(ballot.feedback)
    .bind(ballot.response)
    .bind(ballot.reviewer)
    .bind(ballot.via)
    .bind(ballot.claimed)
    .bind(early_at)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

impl<'a> NewDecision<'a> {
    fn ballot(&self) -> Ballot<'a> {
        Ballot {
            decision: self.decision,
            feedback: self.feedback,
            response: self.response,
            reviewer: self.reviewer,
            claimed: self.claimed,
            via: self.via,
        }
    }
}

/// Whether an early decision is known to be somebody else's.
fn is_of_another(early: &Pause, ballot: &Ballot<'_>) -> bool {
    match (&early.reviewer, ballot.reviewer) {
        (Some(one), Some(other)) => !is_same_person(one, other),
        _ => false,
    }
}

/// Whether a pause was decided just like this, or, if it asked several, this reviewer has voted just like this.
async fn is_repeated(pause: &Pause, ballot: &Ballot<'_>) -> bool {
    let completed = check(&pause.form(), ballot.decision, ballot.feedback, ballot.response).await.ok().flatten();
    let same = |decision: Option<&str>, feedback: Option<&str>, response: Option<&str>| {
        let responses = [ballot.response, completed.as_deref()];
        decision == Some(ballot.decision)
            && feedback == ballot.feedback
            && responses.into_iter().any(|other| is_same_json(response, other))
    };
    if pause.policy.is_none() {
        return same(pause.decision.as_deref(), pause.feedback.as_deref(), pause.response.as_deref());
    }
    let Some(reviewer) = ballot.reviewer else { return false };
    let vote = pause.votes.iter().find(|vote| is_same_person(&vote.reviewer, reviewer));
    vote.is_some_and(|vote| same(Some(&vote.decision), vote.feedback.as_deref(), vote.response.as_deref()))
}

/// Whether two JSON texts say the same.
pub(super) fn is_same_json(one: Option<&str>, other: Option<&str>) -> bool {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    match (one, other) {
        (Some(one), Some(other)) => one == other || (json(one).is_some() && json(one) == json(other)),
        (one, other) => one == other,
    }
}

/// Whether the time of a pause is over, by Postgres' clock.
async fn is_over(tx: &mut PgConnection, pause: &Pause) -> Result<bool> {
    let Some(expires_at) = pause.expires_at else { return Ok(false) };
    Ok(sqlx::query_scalar("select $1 <= clock_timestamp()").bind(expires_at).fetch_one(tx).await?)
}
