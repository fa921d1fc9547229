//! The answers that others bring to an execution: decisions, results of calls; and times that come.

use chrono::{DateTime, Utc};

use super::claims::{Claim, Fenced, FencedResult, holds};
use super::pauses::{NewPause, Pause, open_pauses, withdraw_pauses};
use super::votes::{self, votes_of};
use super::{Db, Result, retry};
use crate::audit::Action;
use crate::execution::Failure;
use crate::journal::{Answer, CallError, EXPIRED, Millis, Review, Vote};

/// An answer that is in the rows, for an ask that is still open.
#[derive(Debug)]
pub struct Arrived {
    pub for_whom: ForWhom,
    pub answer: Answer,
    pub at: Millis,
}

impl Arrived {
    /// What the execution is told of a pause without votes, if it is decided.
    pub(super) fn of_decision(pause: &Pause) -> Option<Self> {
        let pause = pause.clone();
        let row = ReviewRow {
            approval_request_id: pause.approval_request_id,
            decision: pause.decision,
            feedback: pause.feedback,
            response: pause.response,
            reviewer: pause.reviewer,
            decided_at: pause.decided_at?,
            has_votes: false,
        };
        Some(row.review(vec![]))
    }

    /// What the execution is told of a call that succeeded.
    pub fn of_result(op: u64, json: &str, at: DateTime<Utc>) -> Self {
        Self { for_whom: ForWhom::Call(op), answer: Answer::Call(Ok(json.to_owned())), at: milliseconds(at) }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum ForWhom {
    /// Every ask that waits for the pause of this `approval_request_id`.
    Pause(String),
    /// The call of this `op`.
    Call(u64),
}

/// How many answers of a kind are read at once; each may have a megabyte. Who gets so many has to look again.
pub const BATCH: usize = 64;

impl Db {
    /// The answers that are already there for these pauses (by `approval_request_id`) and calls (by `op`).
    pub async fn arrived(&self, claim: &Claim, pauses: &[String], calls: &[u64]) -> Result<Vec<Arrived>> {
        retry(|| async {
            let mut arrived = vec![];
            if !pauses.is_empty() {
                arrived.extend(self.arrived_reviews(claim, pauses).await?);
            }
            if !calls.is_empty() {
                arrived.extend(self.arrived_results(claim, calls).await?);
            }
            Ok(arrived)
        })
        .await
    }

    async fn arrived_reviews(&self, claim: &Claim, pauses: &[String]) -> Result<Vec<Arrived>> {
        let rows: Vec<ReviewRow> = sqlx::query_as(
            "select approval_request_id, decision, feedback, response, reviewer, decided_at,
                    policy is not null as has_votes
             from pause
             where tenant_id = $1 and execution_id = $2 and approval_request_id = any($3)
               and status in ('decided', 'expired')
             order by decided_at limit $4",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(pauses)
        .bind(BATCH as i64)
        .fetch_all(&mut *self.of(&claim.tenant).await?)
        .await?;
        self.reviews(claim, rows).await
    }

    /// The answers that decided and expired pauses give, each with the votes on it.
    pub(super) async fn reviews(&self, claim: &Claim, rows: Vec<ReviewRow>) -> Result<Vec<Arrived>> {
        let names: Vec<String> =
            rows.iter().filter(|row| row.has_votes).map(|row| row.approval_request_id.clone()).collect();
        if names.is_empty() {
            return Ok(rows.into_iter().map(|row| row.review(vec![])).collect());
        }
        let mut connection = self.of(&claim.tenant).await?;
        let mut votes = votes_of(&mut connection, &claim.tenant, &claim.execution, &names).await?;
        let mut of = |name: &str| votes.extract_if(.., |vote| vote.approval_request_id == name).collect();
        let review = |row: ReviewRow| {
            let votes = of(&row.approval_request_id);
            row.review(votes)
        };
        Ok(rows.into_iter().map(review).collect())
    }

    async fn arrived_results(&self, claim: &Claim, calls: &[u64]) -> Result<Vec<Arrived>> {
        let ops: Vec<i64> = calls.iter().map(|&op| op as i64).collect();
        type Row = (i64, Option<String>, Option<String>, DateTime<Utc>);
        let rows: Vec<Row> = sqlx::query_as(
            "select parent_op, result, error, finished_at from execution
             where tenant_id = $1 and parent_id = $2 and parent_op = any($3) and finished_at is not null
             order by finished_at limit $4",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(&ops)
        .bind(BATCH as i64)
        .fetch_all(&mut *self.of(&claim.tenant).await?)
        .await?;
        let result = |(op, result, error, finished_at): Row| Arrived {
            for_whom: ForWhom::Call(op.unsigned_abs()),
            answer: Answer::Call(match (result, error) {
                (Some(result), _) => Ok(result),
                (None, Some(error)) => Err(CallError::Failed(Failure::public_text(&error))),
                (None, None) => Err(CallError::Cancelled),
            }),
            at: milliseconds(finished_at),
        };
        Ok(rows.into_iter().map(result).collect())
    }

    /// Opens pauses, and closes those of these `approval_request_id`s, while the execution goes on. Safe to repeat.
    pub async fn open(&self, claim: &Claim, pauses: &[NewPause], closed: &[String]) -> FencedResult<()> {
        let opened = retry(|| async {
            let mut tx = self.begin(&claim.tenant).await?;
            if !holds(&mut tx, claim).await? {
                return Ok(Err(Fenced));
            }
            open_pauses(&mut tx, claim, pauses).await?;
            withdraw_pauses(&mut tx, claim, closed).await?;
            tx.commit().await?;
            Ok(Ok(()))
        })
        .await?;
        self.keep_time_of(claim, pauses);
        Ok(opened)
    }

    /// Marks a pause expired whose time has come by the claim's clock, unless somebody decided it first; `arrived` then
    /// tells which. Does nothing if the claim is lost.
    pub async fn expire(&self, claim: &Claim, approval_request_id: &str) -> Result<()> {
        retry(|| async {
            sqlx::query(
                "with expired as (
                     update pause set status = 'expired', decided_at = expires_at, decision = default_decision,
                                      response = default_response
                     where tenant_id = $1 and execution_id = $2 and approval_request_id = $3 and status = 'open'
                       and expires_at is not null
                       and exists (select from execution where tenant_id = $1 and execution_id = $2
                                   and claim_token = $4 and status = 'running')
                     returning decision
                 )
                 insert into audit_unsealed (tenant_id, actor, action, subject, details)
                 select $1, 'host', $5, $2 || ':' || $3, '{\"decision\":' || to_json(decision)::text || '}'
                 from expired where decision is not null",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(approval_request_id)
            .bind(claim.token)
            .bind(Action::PauseExpired.as_str())
            .execute(&mut *self.of(&claim.tenant).await?)
            .await?;
            Ok(())
        })
        .await
    }
}

/// A decided or expired pause.
#[derive(sqlx::FromRow)]
pub(super) struct ReviewRow {
    pub(super) approval_request_id: String,
    pub(super) decision: Option<String>,
    pub(super) feedback: Option<String>,
    pub(super) response: Option<String>,
    pub(super) reviewer: Option<String>,
    pub(super) decided_at: DateTime<Utc>,
    pub(super) has_votes: bool,
}

impl ReviewRow {
    /// The answer that it gives. Without a decision, its time was over.
    fn review(self, votes: Vec<votes::Vote>) -> Arrived {
        let at = milliseconds(self.decided_at);
        let vote = |vote: votes::Vote| Vote {
            reviewer: vote.reviewer,
            claimed: vote.claimed,
            stage: vote.stage.unsigned_abs(),
            decision: vote.decision,
            feedback: vote.feedback,
            response: vote.response,
            voted_at_ms: milliseconds(vote.voted_at),
        };
        let review = Review {
            decision: self.decision.unwrap_or_else(|| EXPIRED.into()),
            feedback: self.feedback,
            response: self.response,
            reviewer: self.reviewer,
            decided_at_ms: at,
            votes: votes.into_iter().map(vote).collect(),
        };
        Arrived { for_whom: ForWhom::Pause(self.approval_request_id), answer: Answer::Review(Ok(review)), at }
    }
}

fn milliseconds(time: DateTime<Utc>) -> Millis {
    time.timestamp_millis().unsigned_abs()
}
