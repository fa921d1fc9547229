//! What guests printed.

use super::claims::{Claim, Fenced};
use super::{Db, Page, Result, retry};

/// One line that a guest printed.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LogLine {
    /// How many answers had been delivered before.
    pub slice: i32,
    pub line: i32,
    pub stream: String,
    pub text: String,
}

impl Db {
    /// Keeps what the guest printed in the slices since the last time. Safe to repeat: a line is kept once.
    ///
    /// From the first line on that would make it more than `bytes_max` bytes of the execution, all are dropped.
    pub async fn append_logs(&self, claim: &Claim, lines: &[LogLine], bytes_max: u64) -> Result<Result<(), Fenced>> {
        retry(|| self.try_append_logs(claim, lines, bytes_max)).await
    }

    async fn try_append_logs(&self, claim: &Claim, lines: &[LogLine], bytes_max: u64) -> Result<Result<(), Fenced>> {
        let slices: Vec<i32> = lines.iter().map(|line| line.slice).collect();
        let numbers: Vec<i32> = lines.iter().map(|line| line.line).collect();
        let streams: Vec<&str> = lines.iter().map(|line| line.stream.as_str()).collect();
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        let held: bool = sqlx::query_scalar(
            "with printed as (
                 select * from unnest($5::int[], $6::int[], $7::text[], $8::text[]) as line (slice, line, stream, text)
             ), new as (
                 -- A slice that ran before, in an attempt that was lost, has printed the same.
                 select *, sum(octet_length(text)) over (order by slice, line) as bytes from printed p
                 where not exists (select from log_line l where l.tenant_id = $1 and l.execution_id = $2
                                   and l.slice = p.slice and l.line = p.line)
             ), claimed as (
                 select log_bytes from execution
                 where tenant_id = $1 and execution_id = $2 and claim_token = $3 and status = 'running'
                 for no key update
             ), held as (
                 -- One more than may be kept: something was dropped.
                 update execution e
                 set log_bytes = least(c.log_bytes + (select coalesce(max(bytes), 0) from new), $4 + 1)
                 from claimed c where e.tenant_id = $1 and e.execution_id = $2
                 returning c.log_bytes as before
             ), kept as (
                 insert into log_line (tenant_id, execution_id, slice, line, stream, text)
                 select $1, $2, slice, line, stream, text from new, held where held.before + new.bytes <= $4
                 on conflict do nothing
             )
             select exists (select from held)",
        )
        .bind(&claim.tenant)
        .bind(&claim.execution)
        .bind(claim.token)
        .bind(i64::try_from(bytes_max).unwrap_or(i64::MAX))
        .bind(&slices)
        .bind(&numbers)
        .bind(&streams)
        .bind(&texts)
        .fetch_one(&mut *self.of(&claim.tenant).await?)
        .await?;
        Ok(if held { Ok(()) } else { Err(Fenced) })
    }

    /// A page of an execution's log, in the order in which it was printed.
    pub async fn logs(
        &self,
        tenant: &str,
        execution: &str,
        after: Option<(i32, i32)>,
        limit: i64,
    ) -> Result<Page<LogLine>> {
        let (slice, line) = after.unwrap_or((-1, -1));
        let items = sqlx::query_as(
            "select slice, line, stream, text from log_line
             where tenant_id = $1 and execution_id = $2 and (slice, line) > ($3, $4)
             order by slice, line limit $5 + 1",
        )
        .bind(tenant)
        .bind(execution)
        .bind(slice)
        .bind(line)
        .bind(limit)
        .fetch_all(&mut *self.of(tenant).await?)
        .await?;
        Ok(Page::cut(items, limit, |line: &LogLine| format!("{}.{}", line.slice, line.line)))
    }
}
