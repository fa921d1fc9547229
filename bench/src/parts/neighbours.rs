//! What a tenant's executions cost in time beside another tenant that does its worst.

use std::time::{Duration, Instant};

use countersign_tests::api::send;
use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::report;

/// Of the good one: start, pause, decision, end.
const EXECUTIONS: usize = 300;

/// How many of the good one's are under way at once.
const AT_ONCE: usize = 2;

/// How long the bad one is at it before the good one is measured.
const RUN_UP: Duration = Duration::from_secs(2);

/// What the bad one has its guests do, again and again: a function of the testbed, its input, and how many at once. What
/// does not end by itself is cancelled after a while. Of what is mostly work for Postgres it does as much as the good one:
/// Postgres serves whoever asks.
const KINDS: [(&str, &str, &str, usize); 6] = [
    ("spins", "testbed.loop_forever", "null", 8),
    ("computes in short slices", "testbed.toil", r#"{"rounds": 20, "steps": 4000000}"#, 8),
    ("takes all the memory that it gets", "testbed.hold_memory", r#"{"mib": 100000}"#, 8),
    ("starts as many", "testbed.echo", r#""x""#, AT_ONCE),
    ("starts as many, and asks 50 times", "testbed.many_ai", r#"{"n": 50}"#, AT_ONCE),
    ("floods starts", "testbed.echo", r#""x""#, 8),
];

/// In seconds.
const SPINS_FOR: u64 = 2;

pub(crate) async fn measure() {
    for (kind, target, input, at_once) in KINDS {
        let (database, model) = (Database::new().await, Model::start().await);
        let environment = [("COUNTERSIGN_LOG", "info"), ("COUNTERSIGN_INSTANCE_MEMORY", "1GiB")];
        let host = Host::start_with(&database, &model, &environment).await;
        let (good, bad) = (host.tenant("good"), host.tenant("bad"));
        good.deploy("testbed", guest("testbed")).await;
        bad.deploy("testbed", guest("testbed")).await;
        run(&good, 20).await;
        let alone = run(&good, EXECUTIONS).await;
        let (stop, stopped) = watch::channel(false);
        let hostile = tokio::spawn(misbehave(bad, target, input.parse().expect("JSON"), at_once, stopped));
        tokio::time::sleep(RUN_UP).await;
        let cpu = host.cpu();
        let began = Instant::now();
        let beside = run(&good, EXECUTIONS).await;
        let cores = (host.cpu() - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        stop.send_replace(true);
        let done = hostile.await.expect("no panic");
        show(kind, &alone, &beside, &format!("{done} of its own ended, the host used {cores:.1} cores"));
    }
}

/// p50, p95 and p99 of start → pause → decision → end.
async fn run(good: &Api, count: usize) -> [Duration; 3] {
    let one = async |_| {
        let began = Instant::now();
        let id = good.start("testbed.pause_once", &json!({"id": "only"})).await;
        let pause = good.paused(&id, "only").await;
        good.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
        assert_eq!(good.finished(&id).await["status"], "succeeded");
        began.elapsed()
    };
    let mut times: Vec<_> = stream::iter(0..count).map(one).buffer_unordered(AT_ONCE).collect().await;
    times.sort_unstable();
    [50, 95, 99].map(|percent| times[(times.len() * percent / 100).min(times.len() - 1)])
}

/// Keeps so many executions under way until it is stopped; how many ended.
async fn misbehave(
    bad: Api,
    target: &'static str,
    input: Value,
    at_once: usize,
    stopped: watch::Receiver<bool>,
) -> usize {
    let one = async |_| {
        let mut ended = 0;
        while !*stopped.borrow() {
            let start = bad.request(Method::POST, "/v1/executions").header("prefer", format!("wait={SPINS_FOR}"));
            let reply = send(start.json(&json!({"target": target, "input": input}))).await;
            // 429: it is told to wait, and may be. 200: it has ended in time.
            if reply.status == 202 {
                let id = reply.body["id"].as_str().expect("an id");
                bad.post(&format!("/v1/executions/{id}/cancel"), &json!({})).await;
            }
            ended += usize::from(reply.status == 200);
        }
        ended
    };
    join_all((0..at_once).map(one)).await.into_iter().sum()
}

fn show(kind: &str, alone: &[Duration; 3], beside: &[Duration; 3], besides: &str) {
    let times = |[p50, p95, p99]: &[Duration; 3]| format!("p50 {p50:.1?}, p95 {p95:.1?}, p99 {p99:.1?}");
    report(&format!("alone, before the neighbour {kind}"), &times(alone), "");
    report("beside it", &times(beside), besides);
    let ratio = |place: usize| beside[place].as_secs_f64() / alone[place].as_secs_f64();
    let ratios = format!("p50 {:.2}, p95 {:.2}, p99 {:.2}", ratio(0), ratio(1), ratio(2));
    report("ratio", &ratios, "goal: p99 at most 2");
}
