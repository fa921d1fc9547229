//! What an attempt begins with: the journal, and the answers that are in no entry of it yet.

use std::sync::LazyLock;

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
    /// How many bytes of asks and answers that is.
    pub journal_bytes: usize,
    /// The answers that are already there and in no entry.
    pub unread: Vec<Arrived>,
}

/// The rows of both, column by column: one row to send, however many there are.
#[derive(sqlx::FromRow)]
pub(super) struct Columns {
    ops: Vec<i64>,
    asks: Vec<String>,
    told: Vec<String>,
    times: Vec<i64>,
    unread_names: Vec<String>,
    unread_decisions: Vec<Option<String>>,
    unread_feedbacks: Vec<Option<String>>,
    unread_responses: Vec<Option<String>>,
    unread_reviewers: Vec<Option<String>>,
    unread_decided: Vec<DateTime<Utc>>,
    unread_have_votes: Vec<bool>,
}

/// A query for one row of these, of the execution `$2` of the tenant `$1`. They are empty unless it is so `when` it is asked.
pub(super) fn columns(when: &str) -> String {
    format!(
        "select j.*, p.* from (
             select coalesce(array_agg(op), '{{}}') as ops,
                    coalesce(array_agg(ask), '{{}}') as asks,
                    coalesce(array_agg(answer), '{{}}') as told,
                    coalesce(array_agg(at_ms), '{{}}') as times
             from (
                 select op, ask, answer, at_ms from journal_entry
                 where tenant_id = $1 and execution_id = $2 and {when} order by seq
             ) entry
         ) j cross join (
             select coalesce(array_agg(approval_request_id), '{{}}') as unread_names,
                    coalesce(array_agg(decision), '{{}}') as unread_decisions,
                    coalesce(array_agg(feedback), '{{}}') as unread_feedbacks,
                    coalesce(array_agg(response), '{{}}') as unread_responses,
                    coalesce(array_agg(reviewer), '{{}}') as unread_reviewers,
                    coalesce(array_agg(decided_at), '{{}}') as unread_decided,
                    coalesce(array_agg(policy is not null), '{{}}') as unread_have_votes
             from (
                 select * from pause p
                 where tenant_id = $1 and execution_id = $2 and status in ('decided', 'expired') and {when}
                   and not exists (select from journal_entry e
                                   where e.tenant_id = $1 and e.execution_id = $2 and e.op = p.op)
                 order by decided_at limit {BATCH}
             ) unread
         ) p"
    )
}

static RECALL: LazyLock<String> = LazyLock::new(|| columns("true"));

impl Db {
    /// Reads what an attempt begins with. Of one that is the first, and has been brought no answer, that is nothing.
    pub async fn recall(&self, claim: &Claim) -> Result<Recalled> {
        if claim.attempts == 1 && claim.answers == 0 {
            return Ok(Recalled::default());
        }
        retry(|| async {
            let columns: Columns = sqlx::query_as(sqlx::AssertSqlSafe(RECALL.as_str()))
                .bind(&claim.tenant)
                .bind(&claim.execution)
                .fetch_one(&mut *self.of(&claim.tenant).await?)
                .await?;
            self.recalled(claim, columns).await
        })
        .await
    }

    pub(super) async fn recalled(&self, claim: &Claim, columns: Columns) -> Result<Recalled> {
        let journal_bytes = columns.asks.iter().chain(&columns.told).map(String::len).sum();
        let (journal, rows) = columns.rows()?;
        Ok(Recalled { journal, journal_bytes, unread: self.reviews(claim, rows).await? })
    }
}

impl Columns {
    fn rows(self) -> Result<(Vec<Entry>, Vec<ReviewRow>)> {
        let asked = self.ops.into_iter().zip(self.asks);
        let told = self.told.into_iter().zip(self.times);
        let journal = asked.zip(told).map(|((op, ask), (answer, at))| {
            let answer = serde_json::from_str(&answer).map_err(|why| unreadable("a journal entry", &why))?;
            Ok(Entry { op: op.unsigned_abs(), ask, answer, at: at.unsigned_abs() })
        });
        let journal = journal.collect::<Result<Vec<_>>>()?;
        let said = self
            .unread_names
            .into_iter()
            .zip(self.unread_decisions)
            .zip(self.unread_feedbacks.into_iter().zip(self.unread_responses));
        let by = self.unread_reviewers.into_iter().zip(self.unread_decided.into_iter().zip(self.unread_have_votes));
        let rows =
            said.zip(by).map(|(((name, decision), (feedback, response)), (reviewer, (decided_at, has_votes)))| {
                ReviewRow { approval_request_id: name, decision, feedback, response, reviewer, decided_at, has_votes }
            });
        Ok((journal, rows.collect()))
    }
}
