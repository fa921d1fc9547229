//! What an attempt begins with: the journal, and the answers that are in no entry of it yet.

use chrono::{DateTime, Utc};

use super::answers::{Arrived, BATCH, ReviewRow};
use super::claims::Claim;
use super::executions::unreadable;
use super::{Db, Result, retry};
use crate::journal::Entry;

/// What an execution has been told so far, as of one moment.
#[derive(Debug, Default)]
pub struct Recalled {
    /// In the order of delivery.
    pub journal: Vec<Entry>,
    /// The answers that are already there and in no entry.
    pub unread: Vec<Arrived>,
}

/// The rows of both, column by column: one row to send, however many there are.
#[derive(sqlx::FromRow)]
struct Columns {
    ops: Vec<i64>,
    asks: Vec<String>,
    answers: Vec<String>,
    times: Vec<i64>,
    names: Vec<String>,
    decisions: Vec<Option<String>>,
    feedbacks: Vec<Option<String>>,
    responses: Vec<Option<String>>,
    reviewers: Vec<Option<String>>,
    decided: Vec<DateTime<Utc>>,
    have_votes: Vec<bool>,
}

impl Db {
    /// Reads what an attempt begins with. Of one that is the first, and has been brought no answer, that is nothing.
    pub async fn recall(&self, claim: &Claim) -> Result<Recalled> {
        if claim.attempts == 1 && claim.answers == 0 {
            return Ok(Recalled::default());
        }
        retry(|| async {
            let columns: Columns = sqlx::query_as(
                "select j.*, p.* from (
                     select coalesce(array_agg(op), '{}') as ops,
                            coalesce(array_agg(ask), '{}') as asks,
                            coalesce(array_agg(answer), '{}') as answers,
                            coalesce(array_agg(at_ms), '{}') as times
                     from (
                         select op, ask, answer, at_ms from journal_entry
                         where tenant_id = $1 and execution_id = $2 order by seq
                     ) entry
                 ) j cross join (
                     select coalesce(array_agg(approval_request_id), '{}') as names,
                            coalesce(array_agg(decision), '{}') as decisions,
                            coalesce(array_agg(feedback), '{}') as feedbacks,
                            coalesce(array_agg(response), '{}') as responses,
                            coalesce(array_agg(reviewer), '{}') as reviewers,
                            coalesce(array_agg(decided_at), '{}') as decided,
                            coalesce(array_agg(policy is not null), '{}') as have_votes
                     from (
                         select * from pause p
                         where tenant_id = $1 and execution_id = $2 and status in ('decided', 'expired')
                           and not exists (select from journal_entry e
                                           where e.tenant_id = $1 and e.execution_id = $2 and e.op = p.op)
                         order by decided_at limit $3
                     ) unread
                 ) p",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(BATCH as i64)
            .fetch_one(&mut *self.of(&claim.tenant).await?)
            .await?;
            let (journal, rows) = columns.rows()?;
            Ok(Recalled { journal, unread: self.reviews(claim, rows).await? })
        })
        .await
    }
}

impl Columns {
    fn rows(self) -> Result<(Vec<Entry>, Vec<ReviewRow>)> {
        let asked = self.ops.into_iter().zip(self.asks);
        let told = self.answers.into_iter().zip(self.times);
        let journal = asked.zip(told).map(|((op, ask), (answer, at))| {
            let answer = serde_json::from_str(&answer).map_err(|why| unreadable("a journal entry", &why))?;
            Ok(Entry { op: op.unsigned_abs(), ask, answer, at: at.unsigned_abs() })
        });
        let journal = journal.collect::<Result<Vec<_>>>()?;
        let said = self.names.into_iter().zip(self.decisions).zip(self.feedbacks.into_iter().zip(self.responses));
        let by = self.reviewers.into_iter().zip(self.decided.into_iter().zip(self.have_votes));
        let rows =
            said.zip(by).map(|(((name, decision), (feedback, response)), (reviewer, (decided_at, has_votes)))| {
                ReviewRow { approval_request_id: name, decision, feedback, response, reviewer, decided_at, has_votes }
            });
        Ok((journal, rows.collect()))
    }
}
