//! The journal: appended to, one answer at a time, and read by the page for people. The worker reads it in `recall`.

use super::claims::{Claim, Fenced, FencedResult};
use super::executions::unreadable;
use super::{Db, Page, Result, page_of, retry};
use crate::journal::{Answer, Entry};

/// A journal entry, as its row has it.
#[derive(Debug, sqlx::FromRow)]
pub struct EntryRow {
    pub seq: i32,
    pub op: i64,
    /// JSON text, as is `answer`.
    pub ask: String,
    pub answer: String,
    pub at_ms: i64,
}

impl Db {
    /// A page of the journal, in the order of delivery.
    pub async fn entries(
        &self,
        tenant: &str,
        execution: &str,
        after: Option<i32>,
        limit: i64,
    ) -> Result<Page<EntryRow>> {
        let text = page_of(
            "select seq, op, ask, answer, at_ms, octet_length(ask) + octet_length(answer) as bytes from journal_entry
             where tenant_id = $1 and execution_id = $2 and seq > $3 order by seq limit $4 + 1",
        );
        let items = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .bind(tenant)
            .bind(execution)
            .bind(after.unwrap_or(-1))
            .bind(limit)
            .fetch_all(&mut *self.of(tenant).await?)
            .await?;
        Ok(Page::cut_by_bytes(items, limit, |entry: &EntryRow| entry.seq.to_string()))
    }

    /// Where an execution's random numbers come from.
    pub async fn seed(&self, tenant: &str, execution: &str) -> Result<Option<Vec<u8>>> {
        let query = sqlx::query_scalar("select seed from execution where tenant_id = $1 and execution_id = $2");
        Ok(query.bind(tenant).bind(execution).fetch_optional(&mut *self.of(tenant).await?).await?)
    }

    /// Appends the answer as entry `seq`. Once this returns, the answer may be given to the guest.
    ///
    /// One statement checks the claim, the position and that the tenant is not suspended, and writes. If its
    /// acknowledgement is lost, it is asked again and recognises its own entry.
    ///
    /// What a model has said is nowhere else, and waits for the disk. Every other answer is: if Postgres crashes and
    /// forgets that it was given, nothing that came of it was kept either, since the log is written in order, and it is
    /// given again.
    pub async fn append(&self, claim: &Claim, seq: usize, entry: &Entry) -> FencedResult<()> {
        let seq = i32::try_from(seq).map_err(|why| unreadable("a position in the journal", &why))?;
        let answer = entry.answer.to_text();
        let is_only_here = matches!(entry.answer, Answer::Ai(_));
        retry(|| async {
            let mut session = match is_only_here {
                true => self.of(&claim.tenant).await?,
                false => self.relaxed_of(&claim.tenant).await?,
            };
            let done = sqlx::query(
                "with held as (
                     update execution
                     set next_seq = next_seq + 1, failures = 0,
                         journal_bytes = journal_bytes + octet_length($6) + octet_length($7)
                     where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'
                       and next_seq = $4
                       and exists (select from tenant where tenant_id = $1 and suspended_at is null)
                     returning 1
                 )
                 insert into journal_entry (tenant_id, execution_id, seq, op, ask, answer, at_ms)
                 select $1, $2, $4, $5, $6, $7, $8 from held",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(claim.token)
            .bind(seq)
            .bind(entry.op as i64)
            .bind(&entry.ask)
            .bind(&answer)
            .bind(entry.at as i64)
            .execute(&mut *session)
            .await?;
            drop(session);
            if done.rows_affected() == 1 || self.is_appended(claim, seq, entry, &answer).await? {
                Ok(Ok(()))
            } else {
                Ok(Err(Fenced))
            }
        })
        .await
    }

    async fn is_appended(&self, claim: &Claim, seq: i32, entry: &Entry, answer: &str) -> Result<bool> {
        Ok(sqlx::query_scalar(
            "select exists (
                 select from journal_entry j join execution e using (tenant_id, execution_id)
                 where tenant_id = $1 and execution_id = $2 and e.claim_token = $3 and e.status = 'running'
                   and j.seq = $4 and j.op = $5 and j.answer = $6)",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(seq)
        .bind(entry.op as i64)
        .bind(answer)
        .fetch_one(&mut *self.of(&claim.tenant).await?)
        .await?)
    }
}
