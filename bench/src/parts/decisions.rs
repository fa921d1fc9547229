//! How many decisions a host takes while 10,000 pauses are open, beside bare commits of the same rows on the same Postgres.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model, until};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use serde_json::json;

use crate::{percentiles, report};

const OPEN: usize = 10_000;
const FOR: Duration = Duration::from_secs(60);
const BARE_FOR: Duration = Duration::from_secs(15);
const AT_ONCE: usize = 16;

pub(crate) async fn measure() {
    let (database, model) = (Database::new().await, Model::start().await);
    let host = Host::start_with(&database, &model, &[("COUNTERSIGN_LOG", "info")]).await;
    crate::lift_quotas(&database).await;
    let api = host.api();
    api.deploy("testbed", guest("testbed")).await;
    let ids = open(&api, &database, OPEN).await;

    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let times: Vec<Duration> = join_all((0..AT_ONCE).map(|_| decide(&api, &ids, &next, began))).await.concat();
    let per_second = |count: f64| count / began.elapsed().as_secs_f64();
    let rate = per_second(times.len() as f64);
    let gone_on = per_second(database.number("select count(*) from journal_entry").await as f64);
    let (median, late) = percentiles(times);
    report("decisions taken", &format!("{rate:.0}/s"), "for 60 s; those that come before their pause included");
    report("one decision", &format!("p50 {median:.2?}, p95 {late:.2?}"), "");
    report("agents that went on meanwhile", &format!("{gone_on:.0}/s"), "each to its next pause");
    let bare = bare_commits(&database).await;
    report("bare commits of the decision's rows", &format!("{bare:.0}/s"), "");
    report("bare commits for each decision", &format!("{:.2}", bare / rate), "");
}

/// Starts executions, each of which pauses again and again, and returns their ids when all wait.
pub(crate) async fn open(api: &Api, database: &Database, count: usize) -> Vec<String> {
    let input = json!({"n": 1_000});
    let ids: Vec<String> =
        stream::iter(0..count).map(|_| api.start("testbed.pauses", &input)).buffer_unordered(AT_ONCE).collect().await;
    until("all are paused", async || {
        let open = database.number("select count(*) from pause where status = 'open'").await;
        (usize::try_from(open) == Ok(count)).then_some(())
    })
    .await;
    ids
}

/// Decides pauses in turn until the time is over; how long each took.
async fn decide(api: &Api, ids: &[String], next: &AtomicUsize, began: Instant) -> Vec<Duration> {
    let mut times = vec![];
    while began.elapsed() < FOR {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let pause = format!("{}:p{}", ids[number % ids.len()], number / ids.len());
        let sent = Instant::now();
        let reply = api.decide(&pause, &json!({"decision": "approved", "feedback": "Shorter."})).await;
        assert_eq!(reply.expect(200)["outcome"], "accepted");
        times.push(sent.elapsed());
    }
    times
}

/// The rows that a decision changes, with nothing around them: how many of them a second, from as many connections.
async fn bare_commits(database: &Database) -> f64 {
    let table = "create table bare (id int primary key, status text, answers int, body text);
                 insert into bare select n, 'open', 0, '' from generate_series(0, 19999) as n";
    sqlx::raw_sql(table).execute(&database.pool).await.expect("a table");
    let (next, began) = (AtomicUsize::new(0), Instant::now());
    let commit = async || {
        while began.elapsed() < BARE_FOR {
            let id = (next.fetch_add(1, Ordering::Relaxed) % 10_000) as i32;
            let changed = sqlx::query(
                "with execution as (update bare set answers = answers + 1, status = 'pending' where id = $1 returning 1)
                 update bare set status = 'decided', body = $3 from execution where id = $2",
            );
            let changed = changed.bind(id).bind(id + 10_000).bind("x".repeat(200)).execute(&database.pool).await;
            changed.expect("two rows");
        }
    };
    join_all((0..AT_ONCE).map(|_| commit())).await;
    next.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}
