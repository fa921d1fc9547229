//! Executions that others call into being.

use std::sync::LazyLock;

use super::claims::{Claim, Fenced, FencedResult};
use super::entries::{NewEntries, bind_entries};
use super::handover::{self, MADE, NEW_COLUMNS, Terms, bind_offer, unbroken};
use super::{Db, retry};
use crate::execution::{Target, child_id};
use crate::limits::Limits;

/// An execution that ask `op` of a claimed one calls for.
#[derive(Debug)]
pub struct NewCall<'a> {
    pub op: u64,
    pub target: &'a Target,
    pub version: i32,
    /// JSON text.
    pub input: &'a str,
    pub seed: [u8; 32],
    /// Under which id its limits are recorded.
    pub limit_set: i32,
    /// What the calling execution was told and is not yet in its journal. Written if the call is made.
    pub told: NewEntries<'a>,
}

/// What became of a call to another agent.
#[derive(Debug, PartialEq, Eq)]
pub enum Called {
    /// Now, and what was told is written.
    Made,
    /// It exists: perhaps by this call, whose acknowledgement was lost, or by the same one before a crash. What was told may
    /// be written or not.
    Exists,
    /// All executions below the root together are as many as that may call.
    TooMany,
    /// Executions of this agent start on another version by now. Nothing was made.
    Outdated,
}

/// A call by the root itself: its row is locked by being counted on.
static BY_ROOT: LazyLock<String> = LazyLock::new(|| {
    ending(
        "held as (
             update execution
             set children = children + 1, next_seq = next_seq + cardinality($19), journal_bytes = journal_bytes + $23,
                 failures = case cardinality($19) when 0 then failures else 0 end
             where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running' and execution_id = $12
               and (cardinality($19) = 0 or next_seq = $18)
               and not exists (select from execution c where c.tenant_id = $1 and c.execution_id = $4)
               and exists (select from agent where tenant_id = $1 and agent = $5 and active_version = $6)
               and children < coalesce((select (s.limits -> 'children')::bigint from limit_set s
                                        where s.tenant_id = $1 and s.limit_set_id = execution.limit_set_id), $13)
             returning depth
         )",
    )
});

/// A call from further down: the root's row is counted on first, then the calling one's is written. If the claim is lost in
/// between, the root has counted one too many.
static BELOW_ROOT: LazyLock<String> = LazyLock::new(|| {
    ending(
        "counted as (
             update execution r set children = children + 1
             where r.tenant_id = $1 and r.execution_id = $12
               and not exists (select from execution c where c.tenant_id = $1 and c.execution_id = $4)
               and exists (select from agent where tenant_id = $1 and agent = $5 and active_version = $6)
               and exists (select from execution e where e.tenant_id = $1 and e.execution_id = $2 and e.claim_token = $3
                           and e.status = 'running')
               and r.children < coalesce((select (s.limits -> 'children')::bigint from limit_set s
                                          where s.tenant_id = $1 and s.limit_set_id = r.limit_set_id), $13)
             returning 1
         ), held as (
             update execution e
             set next_seq = next_seq + cardinality($19), journal_bytes = journal_bytes + $23,
                 failures = case cardinality($19) when 0 then failures else 0 end
             from counted
             where e.tenant_id = $1 and e.execution_id = $2 and e.claim_token = $3 and e.status = 'running'
               and (cardinality($19) = 0 or next_seq = $18)
             returning e.depth
         )",
    )
});

/// What both statements end with: what the calling one was told, and the called execution, from the calling one's row in
/// `held`.
fn ending(held: &str) -> String {
    let Terms { bid, new_values, .. } = handover::terms(14);
    let made = &*MADE;
    format!(
        "with {bid}, {held}, told as (
             insert into journal_entry (tenant_id, execution_id, seq, op, ask, answer, at_ms)
             select $1, $2, $18 + place::int - 1, op, ask, answer, at_ms
             from held cross join unnest($19::bigint[], $20::text[], $21::text[], $22::bigint[]) with ordinality
                  as entry (op, ask, answer, at_ms, place)
         ), made as (
             insert into execution as e (tenant_id, execution_id, agent, version, function, input, seed, started_ms,
                                         parent_id, parent_op, depth, created_by, limit_set_id, root_id, {NEW_COLUMNS})
             select $1, $4, $5, $6, $7, $8, $9, (extract(epoch from now()) * 1000)::bigint, $2, $10, held.depth + 1,
                    'execution:' || $2, $11, $12, {new_values}
             from held, bid
             on conflict do nothing
             returning {made}
         )
         select * from made"
    )
}

impl Db {
    /// Creates the execution that ask `op` of the claimed one calls for, unless it exists already or there are too many.
    pub async fn call_execution(&self, claim: &Claim, new: &NewCall<'_>) -> FencedResult<Called> {
        retry(|| self.try_call(claim, new)).await
    }

    async fn try_call(&self, claim: &Claim, new: &NewCall<'_>) -> FencedResult<Called> {
        let child = child_id(&claim.tenant, &claim.execution, new.op);
        let (root, text) = match &claim.root {
            Some(root) => (root, &*BELOW_ROOT),
            None => (&claim.execution, &*BY_ROOT),
        };
        let (offer, told) = (self.offer(&claim.tenant), new.told.columns()?);
        let query = sqlx::query(sqlx::AssertSqlSafe(text.as_str()))
            .bind(&claim.tenant)
            .bind(&claim.execution)
            .bind(claim.token)
            .bind(&child)
            .bind(&new.target.agent)
            .bind(new.version)
            .bind(&new.target.function)
            .bind(new.input)
            .bind(&new.seed[..])
            .bind(new.op as i64)
            .bind(new.limit_set)
            .bind(root)
            // Of a root that was started before limits were recorded.
            .bind(i64::try_from(Limits::default().children).unwrap_or(i64::MAX));
        let query = bind_offer!(query, offer);
        let query = bind_entries!(query, told);
        let (db, tenant, id) = (self.clone(), claim.tenant.clone(), child.clone());
        let made = unbroken(async move { db.made(&tenant, &id, query, offer).await }).await?.is_some();
        if made { Ok(Ok(Called::Made)) } else { self.why_not_called(claim, new, &child).await }
    }

    async fn why_not_called(&self, claim: &Claim, new: &NewCall<'_>, child: &str) -> FencedResult<Called> {
        let told = new.told.columns()?;
        let (held, exists, follows, is_active): (bool, bool, bool, bool) = sqlx::query_as(
            "select exists (select from execution where tenant_id = $1 and execution_id = $2 and claim_token = $3
                            and status = 'running'),
                    exists (select from execution where tenant_id = $1 and execution_id = $4),
                    exists (select from execution where tenant_id = $1 and execution_id = $2
                            and ($8 = 0 or next_seq = $7)),
                    exists (select from agent where tenant_id = $1 and agent = $5 and active_version = $6)",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(child)
        .bind(&new.target.agent)
        .bind(new.version)
        .bind(told.from)
        .bind(told.count())
        .fetch_one(&mut *self.of(&claim.tenant).await?)
        .await?;
        Ok(match (held, exists, follows, is_active) {
            (false, ..) => Err(Fenced),
            (_, true, ..) => Ok(Called::Exists),
            // Somebody else has written under our token, which nobody can.
            (_, _, false, _) => Err(Fenced),
            (.., true) => Ok(Called::TooMany),
            (.., false) => {
                self.active.forget();
                Ok(Called::Outdated)
            }
        })
    }
}
