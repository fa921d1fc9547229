//! What one tenant may use: 429 with the name of the quota, until there is room again; and what it does use.

use countersign::limits::{Limits, Quotas};
use countersign_tests::api::send;
use countersign_tests::build::guest;
use countersign_tests::{Reply, until};
use reqwest::Method;
use serde_json::{Value, json};

use super::Bench;

impl Bench {
    async fn try_start(&self, function: &str, input: &Value) -> Reply {
        self.api.post("/v1/executions", &json!({"target": format!("testbed.{function}"), "input": input})).await
    }

    /// What `usage` says of a quota.
    async fn used(&self, name: &str) -> u64 {
        let rows = self.api.get("/v1/usage").await.expect(200);
        let row = rows["items"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
        row["used"].as_u64().unwrap_or_else(|| panic!("{row}"))
    }
}

/// Fails unless it is refused for this quota.
#[track_caller]
fn assert_full(reply: &Reply, quota: &str) {
    assert_eq!((reply.status, reply.code(), reply.blame()), (429, "quota_exceeded", "client"), "{}", reply.body);
    assert!(reply.message().contains(&format!("`{quota}`")), "{}", reply.body);
    let seconds: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
}

#[tokio::test]
async fn a_tenant_with_too_many_unfinished_executions_is_told_so_until_one_ends() {
    let bench = Bench::new().await;
    bench.limit(&json!({"unfinished": 2})).await;
    let with_key = async |key: &str, n: u64| {
        let body = json!({"target": "testbed.pause_once", "input": {"title": n.to_string()}});
        send(bench.api.request(Method::POST, "/v1/executions").header("idempotency-key", key).json(&body)).await
    };
    let first = with_key("first", 1).await.expect(202)["id"].as_str().unwrap().to_owned();
    let caller = bench.start("call_then_pause", &json!({"target": "testbed.echo", "input": 1, "then": "gate"})).await;
    assert_full(&bench.try_start("echo", &json!(1)).await, "unfinished");
    assert_full(&with_key("third", 1).await, "unfinished");
    let again = with_key("first", 1).await;
    assert_eq!(again.expect(200)["id"], first.as_str(), "a repeated start starts nothing");
    assert_eq!(with_key("first", 2).await.code(), "idempotency_key_reused");

    // What is refused to an agent is an answer, in its journal.
    let gate = bench.api.paused(&caller, "gate").await;
    bench.api.decide(&gate, &json!({"decision": "approved"})).await.expect(200);
    let execution = bench.api.finished(&caller).await;
    let refused = &execution["result"]["call"];
    assert_eq!(refused["error"]["code"], "call_unavailable", "{execution}");
    assert!(refused.to_string().contains("`unfinished`"), "{refused}");

    assert_eq!(bench.try_start("echo", &json!(1)).await.status, 202, "one has ended");
    bench.api.post(&format!("/v1/executions/{first}/cancel"), &Value::Null).await.expect(200);
    until("there is room again", async || (bench.used("unfinished").await == 0).then_some(())).await;
    bench.result("echo", &json!(1)).await;
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn a_pause_beyond_the_quota_is_refused_to_the_agent_and_one_that_is_open_stays_open() {
    let mut bench = Bench::new().await;
    bench.limit(&json!({"open_pauses": 1})).await;
    let first = bench.start("race", &json!({"timeout_ms": 3_600_000})).await;
    let pause = bench.api.paused(&first, "race").await;
    let refused = bench.result("pause_once", &json!({})).await;
    assert_eq!(refused["error"]["code"], "pause_invalid_request", "{refused}");
    assert!(refused.to_string().contains("`open_pauses`"), "{refused}");
    let refused = bench.result("wait", &json!({"id": "x"})).await;
    assert!(refused.to_string().contains("`open_pauses`"), "{refused}");

    bench.host.kill();
    bench.host.restart(&[]).await;
    bench.api = bench.host.api();
    bench.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    assert_eq!(bench.api.finished(&first).await["result"]["winner"], "pause");
    let second = bench.start("pause_once", &json!({})).await;
    bench.api.paused(&second, "only").await;
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn starts_that_come_too_fast_are_told_when_to_come_again() {
    let bench = Bench::new().await;
    bench.limit(&json!({"starts_per_second": 2})).await;
    let mut refused = None;
    for _ in 0..200 {
        let reply = bench.try_start("echo", &json!(1)).await;
        if reply.status != 202 {
            refused = Some(reply);
            break;
        }
    }
    let refused = refused.expect("it is refused at some time");
    assert_full(&refused, "starts_per_second");
    assert_eq!(refused.headers["retry-after"], "1");
    let other = bench.host.tenant("other");
    other.deploy("testbed", guest("testbed")).await;
    other.start("testbed.echo", &json!(1)).await;
    until("there is room again", async || (bench.try_start("echo", &json!(1)).await.status == 202).then_some(())).await;
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn a_tenant_that_keeps_too_much_can_neither_start_nor_upload_until_it_may_keep_more() {
    let bench = Bench::new().await;
    let used = bench.used("stored_bytes").await;
    let max = (used + 300_000).max(1 << 20);
    bench.limit(&json!({"stored_bytes": max})).await;
    let mut refused = None;
    for _ in 0..100 {
        let reply = bench.try_start("echo", &json!("x".repeat(100_000))).await;
        if reply.status != 202 {
            refused = Some(reply);
            break;
        }
    }
    assert_full(&refused.expect("it is refused at some time"), "stored_bytes");
    let upload = bench.api.request(Method::PUT, "/v1/agents/publisher").body(guest("publisher"));
    assert_full(&send(upload).await, "stored_bytes");
    bench.limit(&json!({})).await;
    bench.api.deploy("publisher", guest("publisher")).await;
    bench.result("echo", &json!(1)).await;
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn usage_has_a_row_for_every_limit_and_quota_and_says_what_is_used() {
    let bench = Bench::new().await;
    bench.limit(&json!({"asks": 77, "unfinished": 50})).await;
    let paused = [bench.start("pause_once", &json!({})).await, bench.start("pause_once", &json!({})).await];
    for id in &paused {
        bench.api.paused(id, "only").await;
    }
    let rows = bench.api.get("/v1/usage").await.expect(200);
    let expected: Vec<&str> = Limits::ALL.iter().chain(Quotas::ALL).map(|bound| bound.name).collect();
    let column = |name: &str| rows["items"].as_array().unwrap().iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("name"), expected.iter().map(|name| json!(name)).collect::<Vec<_>>());
    let row = |name: &str| rows["items"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    assert_eq!((&row("asks")["limit"], &row("asks")["default"]), (&json!(77), &json!(10_000)));
    assert_eq!((&row("asks")["used"], &row("asks")["unit"]), (&Value::Null, &json!("asks")));
    assert_eq!((&row("unfinished")["used"], &row("unfinished")["limit"]), (&json!(2), &json!(50)));
    assert_eq!((&row("open_pauses")["used"], &row("running")["used"]), (&json!(2), &json!(0)));
    assert!(!row("open_pauses")["about"].as_str().unwrap().is_empty());
    let of_host = bench.hosts_key.get("/v1/tenants/default/usage").await.expect(200);
    assert_eq!(of_host, rows);
    let other = bench.hosts_key.get("/v1/tenants/nobody/usage").await;
    assert_eq!((other.status, other.code()), (404, "tenant_not_found"));
    for role in ["deployer", "runner", "reviewer"] {
        assert_eq!(bench.api.role(role).await.get("/v1/usage").await.code(), "forbidden", "{role}");
    }
}

#[tokio::test]
async fn what_is_counted_is_what_is_there_whatever_became_of_it() {
    let mut bench = Bench::new().await;
    let start = async |function: &str, input: Value| bench.start(function, &input).await;
    let mut ended = vec![
        start("log", json!({"lines": 10})).await,
        start("fail", Value::Null).await,
        start("fan_out", json!({"target": "testbed.echo", "inputs": [1, 2, 3]})).await,
        start("pause_once", json!({"expires_in_ms": 1})).await,
        start("race_call", json!({"target": "testbed.pause_once", "input": {}, "timeout_ms": 200})).await,
    ];
    let tree = start("call", json!({"target": "testbed.pause_once", "input": {"payload": "x".repeat(10_000)}})).await;
    let below = until("it has called", async || {
        let execution = bench.api.execution(&tree).await;
        execution["waiting_for"]["calls"][0].as_str().map(ToOwned::to_owned)
    });
    let below = below.await;
    bench.api.paused(&below, "only").await;
    bench.api.post(&format!("/v1/executions/{tree}/cancel"), &Value::Null).await.expect(200);
    let waits = start("pause_then_ai", Value::Null).await;
    let gate = bench.api.paused(&waits, "gate").await;
    bench.host.kill();
    bench.host.restart(&[]).await;
    bench.api = bench.host.api();
    bench.api.decide(&gate, &json!({"decision": "approved"})).await.expect(200);
    bench.api.paused(&waits, "end").await;
    ended.extend([tree, below]);
    for id in &ended {
        bench.api.finished(id).await;
    }
    let counted = [bench.used("unfinished").await, bench.used("open_pauses").await, bench.used("stored_bytes").await];
    let there = [
        bench.database.number("select count(*) from execution where finished_at is null").await,
        bench.database.number("select count(*) from pause where status = 'open'").await,
        bench
            .database
            .number(
                "select ((select sum(octet_length(input) + octet_length(coalesce(result, error, ''))) from execution)
                         + (select sum(octet_length(ask) + octet_length(answer)) from journal_entry)
                         + (select sum(octet_length(text)) from log_line)
                         + (select sum(octet_length(wasm)) from component))::bigint",
            )
            .await,
    ];
    assert_eq!(counted.map(|count| count as i64), there);
    assert_eq!(counted[..2], [1, 1]);
    until("it is added up", async || {
        let left = bench.database.number("select count(*) from usage_delta").await;
        (left == 0).then_some(())
    })
    .await;
    assert_eq!(bench.used("stored_bytes").await as i64, there[2], "adding up changes nothing");
    bench.host.assert_unharmed();
}
