//! Sealing: by any host, by several at once, once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign_tests::{Api, Host, until};
use futures::future::join_all;
use serde_json::{Value, json};

use super::{Bench, verified};

/// How many clients start executions side by side, and how many each.
const CLIENTS: usize = 8;
const STARTS: usize = 40;

/// How many executions are started and decided while connections break, and how often those do.
const CHANGES: usize = 40;
const BREAK_EVERY: Duration = Duration::from_millis(50);

async fn start_many(apis: &[Api]) -> Vec<String> {
    let client = async |number: usize| {
        let (mut ids, input) = (vec![], json!({}));
        for _ in 0..STARTS {
            ids.push(apis[number % apis.len()].start("testbed.echo", &input).await);
        }
        ids
    };
    join_all((0..CLIENTS).map(client)).await.concat()
}

/// How often each subject stands in the log with this action.
async fn recorded(api: &Api, action: &str) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for entry in api.all(&format!("/v1/audit?limit=100&action={action}")).await {
        *counts.entry(entry["subject"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn what_is_done_is_sealed_soon_without_anybody_asking() {
    let bench = Bench::new().await;
    let id = bench.api.start("testbed.echo", &json!(1)).await;
    let sealed = until("the start is sealed", async || {
        let row = "select seq, extract(epoch from sealed_at - at)::float8 from audit_entry
                   where action = 'execution.started'";
        sqlx::query_as::<_, (i64, f64)>(row).fetch_optional(&bench.database.pool).await.unwrap()
    });
    let (seq, seconds) = sealed.await;
    assert!(seq == 4 && (0.0..10.0).contains(&seconds), "{seq} {seconds}");
    assert_eq!(bench.database.number("select count(*) from audit_unsealed").await, 0);
    assert_eq!(recorded(&bench.api, "execution.started").await, HashMap::from([(id, 1)]));
}

#[tokio::test]
async fn two_hosts_that_seal_at_once_make_one_chain() {
    let bench = Bench::new().await;
    let second = Host::start(&bench.database, &bench.model).await;
    let apis = [bench.api.clone(), second.api()];
    let done = AtomicBool::new(false);
    // Whoever asks seals, too.
    let reader = async |api: &Api| {
        let mut seen = 0;
        while !done.load(Ordering::Relaxed) {
            let head = verified(api).await;
            assert!(head.seq >= seen, "the log never shrinks");
            seen = head.seq;
        }
    };
    let starts = async {
        let ids = start_many(&apis).await;
        done.store(true, Ordering::Relaxed);
        ids
    };
    let (ids, (), ()) = futures::join!(starts, reader(&apis[0]), reader(&apis[1]));
    assert_eq!(recorded(&bench.api, "execution.started").await, ids.into_iter().map(|id| (id, 1)).collect());
    assert_eq!(verified(&apis[1]).await.seq, 4 + (CLIENTS * STARTS) as u64, "tenant, two keys, agent, and the starts");
    bench.host.assert_unharmed();
    second.assert_unharmed();
}

#[tokio::test]
async fn a_change_whose_connection_breaks_is_recorded_once_if_it_happened() {
    let bench = Bench::new().await;
    let done = AtomicBool::new(false);
    let breaking = async {
        let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                   where datname = current_database() and application_name = 'countersign'";
        let mut times = 0;
        while !done.load(Ordering::Relaxed) {
            sqlx::query_scalar::<_, i64>(cut).fetch_one(&bench.database.pool).await.unwrap();
            times += 1;
            tokio::time::sleep(BREAK_EVERY).await;
        }
        times
    };
    let changes = async {
        for number in 0..CHANGES {
            let body = json!({"target": "testbed.pause_once", "input": {}});
            let key = format!("start-{number}");
            let started = until("an execution is started", async || {
                let request = bench.api.request(reqwest::Method::POST, "/v1/executions");
                let reply = countersign_tests::api::send(request.header("idempotency-key", &key).json(&body)).await;
                matches!(reply.status, 200 | 202).then_some(reply.body)
            });
            let pause = format!("{}:only", started.await["id"].as_str().unwrap());
            until("its pause is decided", async || {
                let reply = bench.api.decide(&pause, &json!({"decision": "approved"})).await;
                (reply.status == 200).then_some(())
            })
            .await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let (times, ()) = futures::join!(breaking, changes);
    assert!(times > 10, "{times}");
    let all = |rows: Vec<String>| -> HashMap<String, usize> { rows.into_iter().map(|id| (id, 1)).collect() };
    let rows = async |query: &'static str| sqlx::query_scalar(query).fetch_all(&bench.database.pool).await.unwrap();
    // A connection may have been broken just before.
    until("the host is well again", async || (bench.api.get("/v1/audit").await.status == 200).then_some(())).await;
    let executions = all(rows("select execution_id from execution").await);
    assert_eq!(recorded(&bench.api, "execution.started").await, executions);
    assert_eq!(executions.len(), CHANGES);
    let decided = all(rows("select execution_id || ':only' from pause where decision is not null").await);
    assert_eq!(recorded(&bench.api, "pause.decided").await, decided);
    assert_eq!(decided.len(), CHANGES);
    verified(&bench.api).await;
}

#[tokio::test]
async fn a_log_that_nobody_sealed_for_long_is_sealed_by_the_next_host() {
    let mut bench = Bench::new().await;
    verified(&bench.api).await;
    bench.host.stop().await;
    let many = "insert into audit_unsealed (tenant_id, actor, action, subject, details)
                select 'default', 'host', 'key.created', n::text, '{}' from generate_series(1, 3000) n";
    sqlx::query(many).execute(&bench.database.pool).await.unwrap();
    bench.host.restart(&[]).await;
    until("all is sealed", async || {
        let left = bench.database.number("select count(*) from audit_unsealed").await;
        (left == 0).then_some(())
    })
    .await;
    let api = bench.host.api();
    assert_eq!(verified(&api).await.seq, 3003);
    let last: Vec<Value> = api.all("/v1/audit?limit=100&after=2903").await;
    let subjects: Vec<Value> = (2901..=3000).map(|n: u32| n.to_string().into()).collect();
    assert_eq!(super::column(&last, "subject"), subjects, "in the order in which they were written");
}
