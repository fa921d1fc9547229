//! What an attempt begins with: the journal, and the answers that are in no entry of it yet.
//!
//! Of a long journal only the beginning comes at once. The rest is read page by page, one ahead of what is being replayed:
//! it cannot change, since only who has the claim appends to it.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use tokio_util::task::AbortOnDropHandle;

use super::answers::{Arrived, BATCH, ReviewRow};
use super::claims::Claim;
use super::executions::unreadable;
use super::handover::joined;
use super::{Db, Result, retry};
use crate::journal::Entry;

/// How many entries come at once. Whoever decides a pause waits for them, too.
const FIRST: usize = 256;

/// How many entries are read after these at a time: the replay of so many takes longer than to read them.
const PAGE: usize = 1_000;

/// What an execution has been told so far, as of one moment.
pub struct Recalled {
    pub journal: Pages,
    /// The answers that are already there and in no entry.
    pub unread: Vec<Arrived>,
}

/// Entries that follow each other, in the order of delivery.
#[derive(Debug, Default)]
pub struct Page {
    pub entries: Vec<Entry>,
    /// How many bytes of asks and answers that is.
    pub bytes: usize,
}

/// A journal, page by page.
pub struct Pages {
    db: Db,
    tenant: String,
    execution: String,
    /// How many entries there are.
    entries: usize,
    /// How many of them are in pages that were read.
    read: usize,
    first: Option<Page>,
    ahead: Option<AbortOnDropHandle<Result<Page>>>,
}

/// The rows of entries, column by column: one row to send, however many there are.
#[derive(sqlx::FromRow)]
struct EntryColumns {
    ops: Vec<i64>,
    asks: Vec<String>,
    told: Vec<String>,
    times: Vec<i64>,
}

/// The same of all that is recalled.
#[derive(sqlx::FromRow)]
pub(super) struct Columns {
    #[sqlx(flatten)]
    first: EntryColumns,
    entries: i32,
    unread_names: Vec<String>,
    unread_decisions: Vec<Option<String>>,
    unread_feedbacks: Vec<Option<String>>,
    unread_responses: Vec<Option<String>>,
    unread_reviewers: Vec<Option<String>>,
    unread_decided: Vec<DateTime<Utc>>,
    unread_have_votes: Vec<bool>,
}

/// A query for one row of `EntryColumns`, of the execution `$2` of the tenant `$1`.
fn rows(which: &str) -> String {
    format!(
        "select coalesce(array_agg(op), '{{}}') as ops,
                coalesce(array_agg(ask), '{{}}') as asks,
                coalesce(array_agg(answer), '{{}}') as told,
                coalesce(array_agg(at_ms), '{{}}') as times
         from (
             select op, ask, answer, at_ms from journal_entry
             where tenant_id = $1 and execution_id = $2 and {which} order by seq
         ) entry"
    )
}

/// A query for one row of `Columns`, of the execution `$2` of the tenant `$1`, whose journal has so many `entries`. They are
/// empty unless it is so `when` it is asked.
pub(super) fn columns(entries: &str, when: &str) -> String {
    let first = rows(&format!("{when} and seq < {FIRST}"));
    format!(
        "select j.*, p.*, {entries} as entries from (
             {first}
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
                   -- One by one, by the index on `op`: `offset` keeps it from being a join with the whole journal.
                   and not exists (select from journal_entry e
                                   where e.tenant_id = $1 and e.execution_id = $2 and e.op = p.op offset 0)
                 order by decided_at limit {BATCH}
             ) unread
         ) p"
    )
}

static RECALL: LazyLock<String> =
    LazyLock::new(|| columns("(select next_seq from execution where tenant_id = $1 and execution_id = $2)", "true"));
static READ: LazyLock<String> = LazyLock::new(|| rows("seq >= $3 and seq < $4"));

impl Db {
    /// Reads what an attempt begins with. Of one that is the first, and has been brought no answer, that is nothing.
    pub async fn recall(&self, claim: &Claim) -> Result<Recalled> {
        if claim.attempts == 1 && claim.answers == 0 {
            return Ok(Recalled { journal: self.pages(claim, Page::default(), 0), unread: vec![] });
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
        let entries = usize::try_from(columns.entries).map_err(|why| unreadable("the length of a journal", &why))?;
        let (first, rows) = columns.rows()?;
        let journal = self.pages(claim, first, entries);
        Ok(Recalled { journal, unread: self.reviews(claim, rows).await? })
    }

    /// The journal of a claimed execution that has so many entries, from the first page on. The next is being read.
    fn pages(&self, claim: &Claim, first: Page, entries: usize) -> Pages {
        let mut pages = Pages {
            db: self.clone(),
            tenant: claim.tenant.clone(),
            execution: claim.execution.clone(),
            entries,
            read: first.entries.len(),
            first: Some(first),
            ahead: None,
        };
        pages.ahead = pages.read_ahead();
        pages
    }

    async fn page(&self, tenant: &str, execution: &str, from: usize, to: usize) -> Result<Page> {
        let columns: EntryColumns = sqlx::query_as(sqlx::AssertSqlSafe(READ.as_str()))
            .bind(tenant)
            .bind(execution)
            .bind(from as i64)
            .bind(to as i64)
            .fetch_one(&mut *self.of(tenant).await?)
            .await?;
        columns.page()
    }
}

impl Pages {
    /// How many entries the journal has.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The next entries; none if there are no more. What comes after them is being read then.
    pub async fn next(&mut self) -> Result<Option<Page>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(ahead) = self.ahead.take() else { return Ok(None) };
        let page = joined(ahead).await?;
        if page.entries.is_empty() {
            return Err(unreadable(
                "a journal",
                &format_args!("it ends after {} of {} entries", self.read, self.entries),
            ));
        }
        self.read += page.entries.len();
        self.ahead = self.read_ahead();
        Ok(Some(page))
    }

    /// Begins to read the next page, if there is one, in a task of its own: whoever replays is busy.
    fn read_ahead(&self) -> Option<AbortOnDropHandle<Result<Page>>> {
        if self.read >= self.entries {
            return None;
        }
        let (from, to) = (self.read, self.entries.min(self.read + PAGE));
        let (db, tenant, execution) = (self.db.clone(), self.tenant.clone(), self.execution.clone());
        let reading = async move { retry(|| db.page(&tenant, &execution, from, to)).await };
        Some(AbortOnDropHandle::new(tokio::spawn(reading)))
    }
}

impl EntryColumns {
    fn page(self) -> Result<Page> {
        let bytes = self.asks.iter().chain(&self.told).map(String::len).sum();
        let asked = self.ops.into_iter().zip(self.asks);
        let told = self.told.into_iter().zip(self.times);
        let entries = asked.zip(told).map(|((op, ask), (answer, at))| {
            let answer = serde_json::from_str(&answer).map_err(|why| unreadable("a journal entry", &why))?;
            Ok(Entry { op: op.unsigned_abs(), ask, answer, at: at.unsigned_abs() })
        });
        Ok(Page { entries: entries.collect::<Result<_>>()?, bytes })
    }
}

impl Columns {
    fn rows(self) -> Result<(Page, Vec<ReviewRow>)> {
        let first = self.first.page()?;
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
        Ok((first, rows.collect()))
    }
}
