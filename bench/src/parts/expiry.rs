//! 100,000 pauses that are due in the same minute: how late each expires, what it costs the host, and what the same
//! updates cost with nothing around them.

use std::time::{Duration, Instant};

use countersign_tests::build::guest;
use countersign_tests::{Database, Host, Model, PATIENCE};
use serde_json::json;

use crate::report;

const PAUSES: i64 = 100_000;
const BATCH: i64 = 500;

pub(crate) async fn measure() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_LOG", "info")]).await;
    crate::lift_quotas(&database).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    let id = api.start("testbed.pause_once", &json!({"expires_in_ms": 24 * 3_600 * 1_000})).await;
    api.paused(&id, "only").await;
    note_expiries(&database).await;
    // From half a minute from now on, for a minute.
    multiply(&database, &id).await;
    let (cpu, began) = (host.cpu(), Instant::now());
    let open = "select count(*) from pause where status = 'open' and execution_id <> $1";
    loop {
        let left: i64 = sqlx::query_scalar(open).bind(&id).fetch_one(&database.pool).await.expect("a count");
        if left == 0 {
            break;
        }
        assert!(began.elapsed() < PATIENCE * 10, "{left} pauses have not expired");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let cpu_expired = host.cpu() - cpu;
    let late = async |query: &'static str| -> (f64, f64) {
        sqlx::query_as(query).fetch_one(&database.pool).await.expect("they were noted")
    };
    let (median, last) = late(
        "select percentile_cont(0.5) within group (order by late)::float8, percentile_cont(0.99) within group (order by late)::float8
         from expiry_noted",
    )
    .await;
    report(
        "lateness of 100,000 expiries in one minute",
        &format!("p50 {median:.2} s, p99 {last:.2} s"),
        "to the second",
    );
    report("the host's CPU until then", &format!("{cpu_expired:.1?}"), "resuming agents included");
    let unfinished = "select count(*) from execution where finished_at is null";
    while database.number(unfinished).await > 1 {
        assert!(began.elapsed() < PATIENCE * 60, "agents have not gone on");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (median, last) = late(
        "select percentile_cont(0.5) within group (order by late)::float8, percentile_cont(0.99) within group (order by late)::float8
         from (select extract(epoch from e.finished_at - p.expires_at) as late
               from execution e join pause p using (tenant_id, execution_id) where e.finished_at is not null) x",
    )
    .await;
    report("until the agent had gone on and ended", &format!("p50 {median:.1} s, p99 {last:.1} s"), "");
    report("the host's CPU in all", &format!("{:.1?}", host.cpu() - cpu), "");
    let bare = bare_updates(&database).await;
    report("the same updates, bare", &format!("{bare:.1?}"), "in batches of 500");
}

/// Has Postgres note how late each pause expires.
async fn note_expiries(database: &Database) {
    sqlx::raw_sql(
        "create table expiry_noted (late double precision);
         create function note_expiry() returns trigger language plpgsql as $$
         begin
             insert into expiry_noted values (extract(epoch from clock_timestamp() - new.expires_at));
             return null;
         end $$;
         create trigger note_expiry after update on pause for each row
             when (new.status = 'expired' and old.status = 'open') execute function note_expiry()",
    )
    .execute(&database.pool)
    .await
    .expect("a trigger");
}

/// Makes 100,000 of one paused execution, in the database: to start so many would take the minutes that are not measured.
async fn multiply(database: &Database, id: &str) {
    let columns = async |table: &str| -> String {
        let text = "select string_agg(column_name, ', ' order by ordinal_position) from information_schema.columns
                    where table_name = $1 and is_generated = 'NEVER'";
        sqlx::query_scalar(text).bind(table).fetch_one(&database.pool).await.expect("columns")
    };
    for table in ["execution", "pause"] {
        let columns = columns(table).await;
        let values = columns
            .replace("execution_id", "'exec_' || lpad(to_hex(n), 32, '0')")
            .replace("expires_at", "now() + interval '30 seconds' + n * interval '0.6 milliseconds'")
            .replace("next_at", "now() + interval '30 seconds' + n * interval '0.6 milliseconds'")
            .replace("wake_at", "now() + interval '30 seconds' + n * interval '0.6 milliseconds'");
        let text = format!(
            "insert into {table} ({columns}) select {values} from {table}, generate_series(1, {PAUSES}) as n
             where execution_id = '{id}'"
        );
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(&database.pool).await.expect("rows");
    }
    sqlx::query("analyze execution, pause").execute(&database.pool).await.expect("statistics");
}

async fn bare_updates(database: &Database) -> Duration {
    let table = "create table bare_due as select n as id, 'open' as status, now() as due, repeat('x', 200) as body
                 from generate_series(1, 100000) as n; create index on bare_due (id) where status = 'open'";
    sqlx::raw_sql(table).execute(&database.pool).await.expect("a table");
    let began = Instant::now();
    for from in (0..PAUSES).step_by(BATCH as usize) {
        let update = "update bare_due set status = 'expired' where id > $1 and id <= $1 + $2 and status = 'open'";
        sqlx::query(update).bind(from).bind(BATCH).execute(&database.pool).await.expect("rows");
    }
    began.elapsed()
}
