//! The answers that others bring to an execution: decisions, results of calls; and times that come.

use chrono::{DateTime, Utc};

use super::claims::{Claim, Fenced, FencedResult, holds};
use super::pauses::{NewPause, open_pauses, withdraw_pauses};
use super::{Db, Result, retry};
use crate::execution::Failure;
use crate::journal::{Answer, CallError, Millis, Review};

/// An answer that is in the rows, for an ask that is still open.
#[derive(Debug)]
pub struct Arrived {
    pub for_whom: ForWhom,
    pub answer: Answer,
    pub at: Millis,
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
    /// The answers that are already there and in no journal entry: what an attempt needs first.
    pub async fn unread(&self, claim: &Claim) -> Result<Vec<Arrived>> {
        retry(|| async {
            let rows = sqlx::query_as(
                "select approval_request_id, decision, feedback, response, reviewer, decided_at from pause p
                 where tenant_id = $1 and execution_id = $2 and status in ('decided', 'expired')
                   and not exists (select from journal_entry j
                                   where j.tenant_id = $1 and j.execution_id = $2 and j.op = p.op)
                 order by decided_at limit $3",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(BATCH as i64)
            .fetch_all(&self.pool)
            .await?;
            Ok(rows.into_iter().map(review).collect())
        })
        .await
    }

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
        let rows = sqlx::query_as(
            "select approval_request_id, decision, feedback, response, reviewer, decided_at from pause
             where tenant_id = $1 and execution_id = $2 and approval_request_id = any($3)
               and status in ('decided', 'expired')
             order by decided_at limit $4",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(pauses)
        .bind(BATCH as i64)
        .fetch_all(&self.pool)
        .await?;
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
        .fetch_all(&self.pool)
        .await?;
        let result = |(op, result, error, finished_at): Row| Arrived {
            for_whom: ForWhom::Call(op.unsigned_abs()),
            answer: Answer::Call(match (result, error) {
                (Some(result), _) => Ok(result),
                (None, Some(error)) => Err(CallError::Failed(Failure::public_text(&error))),
                (None, None) => Err(CallError::Cancelled),
            }),
            at: finished_at.timestamp_millis().unsigned_abs(),
        };
        Ok(rows.into_iter().map(result).collect())
    }

    /// Opens pauses, and closes those of these `approval_request_id`s, while the execution goes on. Safe to repeat.
    pub async fn open(&self, claim: &Claim, pauses: &[NewPause], closed: &[String]) -> FencedResult<()> {
        retry(|| async {
            let mut tx = self.pool.begin().await?;
            if !holds(&mut tx, claim).await? {
                return Ok(Err(Fenced));
            }
            open_pauses(&mut tx, claim, pauses).await?;
            withdraw_pauses(&mut tx, claim, closed).await?;
            tx.commit().await?;
            Ok(Ok(()))
        })
        .await
    }

    /// Marks a pause expired whose time has come by the claim's clock, unless somebody decided it first; `arrived` then
    /// tells which. Does nothing if the claim is lost.
    pub async fn expire(&self, claim: &Claim, approval_request_id: &str) -> Result<()> {
        retry(|| async {
            sqlx::query(
                "update pause set status = 'expired', decided_at = expires_at
                 where tenant_id = $1 and execution_id = $2 and approval_request_id = $3 and status = 'open'
                   and expires_at is not null
                   and exists (select from execution where tenant_id = $1 and execution_id = $2
                               and claim_token = $4 and status = 'running')",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(approval_request_id)
            .bind(claim.token)
            .execute(&self.pool)
            .await?;
            Ok(())
        })
        .await
    }
}

type ReviewRow = (String, Option<String>, Option<String>, Option<String>, Option<String>, DateTime<Utc>);

/// The answer that a decided or expired pause gives.
fn review((name, decision, feedback, response, reviewer, decided_at): ReviewRow) -> Arrived {
    let at = decided_at.timestamp_millis().unsigned_abs();
    let review = match decision {
        Some(decision) => Review { decision, feedback, response, reviewer, decided_at_ms: at },
        None => Review::expired(at),
    };
    Arrived { for_whom: ForWhom::Pause(name), answer: Answer::Review(Ok(review)), at }
}
