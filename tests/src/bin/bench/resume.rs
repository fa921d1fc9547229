//! What a resume costs beside two bare commits of the same rows on the same Postgres.

use std::time::{Duration, Instant};

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::{percentiles, report};

/// Each execution pauses this often in a row.
const PAUSES: usize = 10;
const EXECUTIONS: usize = 30;

/// How exactly the end of a resume is seen.
const LOOK_EVERY: Duration = Duration::from_micros(200);

pub(crate) async fn measure() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_LOG", "info")]).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    let mut connection = PgConnection::connect(&database.url).await.expect("a connection");
    let (mut resumes, mut bare) = (vec![], vec![]);
    for _ in 0..EXECUTIONS {
        let id = api.start("testbed.pauses", &json!({"n": PAUSES})).await;
        api.paused(&id, "p0").await;
        for number in 0..PAUSES - 1 {
            let expected = resumes.last().copied().unwrap_or_default();
            resumes.push(resume(&api, &mut connection, &id, number, expected).await);
            bare.push(two_commits(&mut connection, &format!("bare-{id}-{number}")).await);
        }
    }
    let ((resume, resume_95), (bare, bare_95)) = (percentiles(resumes), percentiles(bare));
    report("resume", &format!("p50 {resume:.2?}, p95 {resume_95:.2?}"), "");
    report("two bare commits of the same rows", &format!("p50 {bare:.2?}, p95 {bare_95:.2?}"), "");
    let ratio = resume.as_secs_f64() / bare.as_secs_f64();
    report("resume, in units of two bare commits", &format!("{ratio:.2}"), "goal: at most 3");
}

/// From sending the decision of pause `number` until the next one can be seen in the database by anybody.
///
/// Does not look before half of the `expected` time is over: looking takes the host's and the server's place on a small
/// machine.
async fn resume(api: &Api, connection: &mut PgConnection, id: &str, number: usize, expected: Duration) -> Duration {
    let decision = json!({"decision": "approved", "feedback": "Shorter."});
    let pause = format!("{id}:p{number}");
    let began = Instant::now();
    let decided = tokio::spawn({
        let api = api.clone();
        async move { api.decide(&pause, &decision).await }
    });
    let next = format!("p{}", number + 1);
    tokio::task::block_in_place(|| std::thread::sleep(expected / 2));
    loop {
        let open: bool = sqlx::query_scalar(
            "select exists (select from pause where tenant_id = 'default' and execution_id = $1
                            and approval_request_id = $2 and status = 'open')",
        )
        .bind(id)
        .bind(&next)
        .fetch_one(&mut *connection)
        .await
        .expect("a look");
        if open {
            break;
        }
        // Not by tokio's timer, which is exact to a millisecond only.
        tokio::task::block_in_place(|| std::thread::sleep(LOOK_EVERY));
    }
    let took = began.elapsed();
    decided.await.expect("no panic").expect(200);
    took
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
