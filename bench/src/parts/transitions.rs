//! What one run of the workload asks of Postgres and of the processors.
//!
//! Statements are told apart where the server has loaded `pg_stat_statements`.

use std::time::Duration;

use countersign_tests::Database;

use crate::flow::stretch;
use crate::report;
use crate::subject::Subject;

/// How many runs are in flight, unless `IN_FLIGHT` says otherwise.
const IN_FLIGHT: usize = 16;
const TIME: Duration = Duration::from_secs(6);

/// How many statements are shown, those first that take most time in all.
const SHOWN: i64 = 40;

pub(crate) async fn measure() {
    let subject = Subject::countersign().await;
    let in_flight = std::env::var("IN_FLIGHT").map_or(IN_FLIGHT, |count| count.parse().expect("a number"));
    stretch(&subject, in_flight, TIME / 3).await;
    let extended = sqlx::raw_sql("create extension pg_stat_statements; select pg_stat_statements_reset()")
        .execute(&subject.database.pool)
        .await;
    let (cpu, commits) = (subject.host().cpu(), commits(&subject.database).await);
    let stretch = stretch(&subject, in_flight, TIME).await;
    let runs = stretch.resumes.len() as f64;
    let used = (subject.host().cpu() - cpu).as_secs_f64();
    report("runs", &format!("{runs}, {:.0}/s", stretch.rate), "");
    report("processor time of the host, a run", &format!("{:.2} ms", used * 1_000.0 / runs), "");
    let commits = self::commits(&subject.database).await - commits;
    report("transactions, a run", &format!("{:.1}", commits / runs), "");
    if let Err(why) = extended {
        println!("  statements are not told apart: {why}");
        return;
    }
    let rows: Vec<(String, i64, f64, f64)> = sqlx::query_as(
        "select regexp_replace(left(query, 400), '\\s+', ' ', 'g'), calls, total_exec_time, total_plan_time
         from pg_stat_statements s join pg_database d on d.oid = s.dbid where d.datname = current_database()
         order by total_exec_time desc limit $1",
    )
    .bind(SHOWN)
    .fetch_all(&subject.database.pool)
    .await
    .expect("statistics");
    let whole: f64 = rows.iter().map(|(_, _, time, _)| time).sum();
    report("execution of statements, a run", &format!("{:.2} ms", whole / runs), "");
    println!("  {:>8} {:>9} {:>9}", "a run", "µs each", "ms a run");
    for (query, calls, time, _) in rows {
        let (calls, start): (f64, String) = (calls as f64, query.chars().take(150).collect());
        println!("  {:>8.2} {:>9.1} {:>9.3}  {start}", calls / runs, time * 1_000.0 / calls, time / runs);
    }
}

async fn commits(database: &Database) -> f64 {
    let sum = "select (xact_commit + xact_rollback)::bigint from pg_stat_database where datname = current_database()";
    // Backends tell now and then what they did.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    database.number(sum).await as f64
}
