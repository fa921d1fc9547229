//! What a resume costs beside two bare commits of the same rows on the same Postgres.

use std::time::{Duration, Instant, SystemTime};

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::{percentiles, report};

/// Each execution pauses this often in a row.
const PAUSES: usize = 10;
const EXECUTIONS: usize = 30;

/// Longer than nearly every resume: until then nobody asks the host anything else.
const LEAVE_ALONE: Duration = Duration::from_millis(15);

pub(crate) async fn measure() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_LOG", "info")]).await;
    crate::lift_quotas(&database).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    note_commits(&mut connection).await;
    let (mut resumes, mut bare) = (vec![], vec![]);
    for _ in 0..EXECUTIONS {
        let id = api.start("testbed.pauses", &json!({"n": PAUSES})).await;
        api.paused(&id, "p0").await;
        for number in 0..PAUSES - 1 {
            resumes.push(resume(&api, &mut connection, &id, number).await);
            bare.push(two_commits(&mut connection, &format!("bare-{id}-{number}")).await);
        }
    }
    let ((resume, resume_95), (bare, bare_95)) = (percentiles(resumes), percentiles(bare));
    report("resume", &format!("p50 {resume:.2?}, p95 {resume_95:.2?}"), "");
    report("two bare commits of the same rows", &format!("p50 {bare:.2?}, p95 {bare_95:.2?}"), "");
    let ratio = resume.as_secs_f64() / bare.as_secs_f64();
    report("resume, in units of two bare commits", &format!("{ratio:.2}"), "goal: at most 3");
}

/// Has Postgres note when each pause is committed. To look for it instead would take the host's and the server's place
/// on a small machine.
async fn note_commits(connection: &mut PgConnection) {
    sqlx::raw_sql(
        "create table committed (execution_id text, approval_request_id text, at timestamptz);
         -- Whoever the host asks as.
         grant insert on committed to public;
         create function note_commit() returns trigger language plpgsql as $$
         begin
             insert into committed values (new.execution_id, new.approval_request_id, clock_timestamp());
             return null;
         end $$;
         -- Deferred: it runs when the transaction commits.
         create constraint trigger note_commit after insert on pause deferrable initially deferred
             for each row execute function note_commit()",
    )
    .execute(connection)
    .await
    .expect("a trigger");
}

/// From sending the decision of pause `number` until the next one is committed, by this machine's clock.
async fn resume(api: &Api, connection: &mut PgConnection, id: &str, number: usize) -> Duration {
    let decision = json!({"decision": "approved", "feedback": "Shorter."});
    let began = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    api.decide(&format!("{id}:p{number}"), &decision).await.expect(200);
    let next = format!("p{}", number + 1);
    tokio::time::sleep(LEAVE_ALONE).await;
    api.paused(id, &next).await;
    let committed: f64 = sqlx::query_scalar(
        "select extract(epoch from at)::float8 from committed where execution_id = $1 and approval_request_id = $2",
    )
    .bind(id)
    .bind(&next)
    .fetch_one(connection)
    .await
    .expect("it was noted");
    Duration::from_secs_f64(committed).saturating_sub(began)
}

/// The rows that a resume must make durable, with nothing around them: the decision; then the answer and the next pause.
async fn two_commits(connection: &mut PgConnection, id: &str) -> Duration {
    sqlx::query("create table if not exists bare (id text, kind text, body text, primary key (id, kind))")
        .execute(&mut *connection)
        .await
        .expect("a table");
    let body = "x".repeat(200);
    let began = Instant::now();
    for kinds in [vec!["decision", "execution"], vec!["entry", "pause", "suspended"]] {
        let mut tx = connection.begin().await.expect("a transaction");
        for kind in kinds {
            sqlx::query("insert into bare values ($1, $2, $3)")
                .bind(id)
                .bind(kind)
                .bind(&body)
                .execute(&mut *tx)
                .await
                .expect("a row");
        }
        tx.commit().await.expect("a commit");
    }
    began.elapsed()
}
