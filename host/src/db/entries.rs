//! The journal: appended to, one answer at a time, and read by the page for people. The worker reads it in `recall`.

use sqlx::PgConnection;

use super::claims::{Claim, Fenced, FencedResult};
use super::executions::unreadable;
use super::{Db, Page, Result, page_of, retry};
use crate::journal::Millis;

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

/// A journal entry that is to be written.
#[derive(Debug, Clone)]
pub struct NewEntry {
    pub op: u64,
    /// JSON text, as is `answer`.
    pub ask: String,
    pub answer: String,
    pub at: Millis,
    /// Whether nobody could give the answer again: what a model has said.
    pub is_only_here: bool,
}

impl NewEntry {
    /// How much of the journal it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.ask.len() + self.answer.len()
    }
}

/// Entries that follow each other, of which the first has the `seq` `from`.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewEntries<'a> {
    pub from: usize,
    pub entries: &'a [NewEntry],
}

/// Entries column by column, as a statement takes them however many they are.
pub(super) struct Columns<'a> {
    pub(super) from: i32,
    pub(super) ops: Vec<i64>,
    pub(super) asks: Vec<&'a str>,
    pub(super) answers: Vec<&'a str>,
    pub(super) times: Vec<i64>,
    pub(super) bytes: i64,
}

impl Columns<'_> {
    pub(super) fn count(&self) -> i32 {
        i32::try_from(self.ops.len()).unwrap_or(i32::MAX)
    }
}

impl<'a> NewEntries<'a> {
    pub(super) fn columns(self) -> Result<Columns<'a>> {
        Ok(Columns {
            from: i32::try_from(self.from).map_err(|why| unreadable("a position in the journal", &why))?,
            ops: self.entries.iter().map(|entry| entry.op as i64).collect(),
            asks: self.entries.iter().map(|entry| &*entry.ask).collect(),
            answers: self.entries.iter().map(|entry| &*entry.answer).collect(),
            times: self.entries.iter().map(|entry| entry.at as i64).collect(),
            bytes: self.entries.iter().map(NewEntry::bytes).sum::<usize>() as i64,
        })
    }
}

/// Binds the six values of `Columns`: the first position, the four columns, how many bytes they have.
macro_rules! bind_entries {
    ($query:expr, $columns:expr) => {
        $query
            .bind($columns.from)
            .bind(&$columns.ops)
            .bind(&$columns.asks)
            .bind(&$columns.answers)
            .bind(&$columns.times)
            .bind($columns.bytes)
    };
}
pub(super) use bind_entries;

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

    /// Appends these entries. Once this returns, the answers may be given to the guest.
    ///
    /// One statement checks the claim, the position and that the tenant is not suspended, and writes. If its
    /// acknowledgement is lost, it is asked again and recognises its own entries.
    ///
    /// What a model has said is nowhere else, and waits for the disk. Every other answer is: if Postgres crashes and
    /// forgets that it was given, nothing that came of it was kept either, since the log is written in order, and it is
    /// given again.
    pub async fn append(&self, claim: &Claim, new: NewEntries<'_>) -> FencedResult<()> {
        let columns = new.columns()?;
        let is_only_here = new.entries.iter().any(|entry| entry.is_only_here);
        retry(|| async {
            let mut session = match is_only_here {
                true => self.of(&claim.tenant).await?,
                false => self.relaxed_of(&claim.tenant).await?,
            };
            let query = sqlx::query(
                "with held as (
                     update execution
                     set next_seq = next_seq + cardinality($5), failures = 0, journal_bytes = journal_bytes + $9
                     where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'
                       and next_seq = $4
                       and exists (select from tenant where tenant_id = $1 and suspended_at is null)
                     returning 1
                 )
                 insert into journal_entry (tenant_id, execution_id, seq, op, ask, answer, at_ms)
                 select $1, $2, $4 + place::int - 1, op, ask, answer, at_ms
                 from held cross join unnest($5::bigint[], $6::text[], $7::text[], $8::bigint[]) with ordinality
                      as entry (op, ask, answer, at_ms, place)",
            )
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(claim.token);
            let done = bind_entries!(query, columns).execute(&mut *session).await?;
            drop(session);
            if done.rows_affected() > 0 || self.is_appended(claim, &columns).await? {
                Ok(Ok(()))
            } else {
                Ok(Err(Fenced))
            }
        })
        .await
    }

    /// Whether the last of these is an entry; then all are, which one statement writes.
    async fn is_appended(&self, claim: &Claim, columns: &Columns<'_>) -> Result<bool> {
        let (Some(op), Some(answer)) = (columns.ops.last(), columns.answers.last()) else { return Ok(false) };
        let last = columns.from + columns.count() - 1;
        Ok(sqlx::query_scalar(
            "select exists (
                 select from journal_entry j join execution e using (tenant_id, execution_id)
                 where tenant_id = $1 and execution_id = $2 and e.claim_token = $3 and e.status = 'running'
                   and j.seq = $4 and j.op = $5 and j.answer = $6)",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(last)
        .bind(op)
        .bind(answer)
        .fetch_one(&mut *self.of(&claim.tenant).await?)
        .await?)
    }
}

/// Writes entries of an execution, whose row the caller has updated: they are counted there.
pub(super) async fn write_entries(tx: &mut PgConnection, claim: &Claim, columns: &Columns<'_>) -> Result<()> {
    if columns.ops.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into journal_entry (tenant_id, execution_id, seq, op, ask, answer, at_ms)
         select $1, $2, $3 + place::int - 1, op, ask, answer, at_ms
         from unnest($4::bigint[], $5::text[], $6::text[], $7::bigint[]) with ordinality
              as entry (op, ask, answer, at_ms, place)",
    )
    .bind(&claim.tenant)
    .bind(&claim.execution)
    .bind(columns.from)
    .bind(&columns.ops)
    .bind(&columns.asks)
    .bind(&columns.answers)
    .bind(&columns.times)
    .execute(tx)
    .await?;
    Ok(())
}
