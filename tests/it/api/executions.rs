//! Executions: start, wait, repeat, cancel.

use std::time::{Duration, Instant};

use countersign_tests::Reply;
use countersign_tests::api::send;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::Bench;

impl Bench {
    /// Starts an execution, with one header besides.
    async fn start_with(&self, header: &str, value: &str, body: &Value) -> Reply {
        send(self.api.request(Method::POST, "/v1/executions").header(header, value).json(body)).await
    }
}

#[tokio::test]
async fn a_start_is_accepted_with_its_address_and_runs_to_its_result() {
    let bench = Bench::new().await;
    for input in [json!({"a": [1, 2.50, null, "\u{0}„ü“🦀"]}), json!("text"), json!(17), json!([]), Value::Null]
    {
        let body = json!({"target": "testbed.echo", "input": input});
        let reply = send(bench.api.request(Method::POST, "/v1/executions").json(&body)).await;
        let location = reply.headers["location"].to_str().unwrap().to_owned();
        let started = reply.expect(202);
        assert_eq!(location, format!("/v1/executions/{}", started["id"].as_str().unwrap()));
        assert_eq!((&started["agent"], &started["function"]), (&json!("testbed"), &json!("echo")));
        assert_eq!((&started["input"], &started["parent"]), (&input, &Value::Null));
        assert!(started["created_by"].as_str().unwrap().starts_with("key:"));

        let execution = bench.api.finished(started["id"].as_str().unwrap()).await;
        assert_eq!((&execution["status"], &execution["result"]), (&json!("succeeded"), &input));
        assert_eq!((&execution["error"], &execution["entries"]), (&Value::Null, &json!(0)));
        assert_eq!(execution["created_at"], started["created_at"]);
        assert_eq!(bench.api.get(&location).await.expect(200), execution, "it stays so");
    }
    let without = bench.api.post("/v1/executions", &json!({"target": "testbed.echo"})).await.expect(202);
    assert_eq!(bench.api.finished(without["id"].as_str().unwrap()).await["result"], Value::Null);
}

#[tokio::test]
async fn a_start_may_wait_for_the_end() {
    let bench = Bench::new().await;
    let echo = json!({"target": "testbed.echo", "input": 1});
    for prefer in ["wait=60", "wait=100000", "respond-async, wait=60", "handling=lenient,wait=60"] {
        let execution = bench.start_with("prefer", prefer, &echo).await.expect(200);
        assert_eq!((&execution["status"], &execution["result"]), (&json!("succeeded"), &json!(1)), "{prefer}");
    }
    let failing = json!({"target": "testbed.fail"});
    let failed = bench.start_with("prefer", "wait=60", &failing).await.expect(200);
    assert_eq!(failed["error"]["code"], "agent_error");
    assert_eq!(failed["error"]["detail"], json!({"code": "refused", "message": "this function always fails"}));

    let pausing = json!({"target": "testbed.pause_once", "input": {}});
    let began = Instant::now();
    let waiting = bench.start_with("prefer", "wait=1", &pausing).await.expect(202);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(waiting["status"], "waiting");
    let began = Instant::now();
    bench.start_with("prefer", "wait=0", &pausing).await.expect(202);
    bench.start_with("prefer", "respond-async", &pausing).await.expect(202);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_start_with_an_idempotency_key_happens_once() {
    let bench = Bench::new().await;
    let body = json!({"target": "testbed.echo", "input": {"n": 1}});
    let longest = "k".repeat(128);
    for key in ["a", "!~{}\"", &longest] {
        let first = bench.start_with("idempotency-key", key, &body).await.expect(202);
        let id = first["id"].as_str().unwrap();
        for _ in 0..2 {
            let again = bench.start_with("idempotency-key", key, &body).await;
            assert_eq!(again.headers["location"], format!("/v1/executions/{id}"));
            assert_eq!(again.expect(200)["id"], first["id"]);
            bench.api.finished(id).await;
        }
        for other in [
            json!({"target": "testbed.echo", "input": {"n": 2}}),
            json!({"target": "testbed.echo"}),
            json!({"target": "testbed.fail", "input": {"n": 1}}),
        ] {
            let reply = bench.start_with("idempotency-key", key, &other).await;
            assert_eq!((reply.status, reply.code()), (409, "idempotency_key_reused"), "{key} {other}");
        }
    }
    let at_once = (0..16).map(|_| bench.start_with("idempotency-key", "at-once", &body));
    let replies = join_all(at_once).await;
    let created = replies.iter().filter(|reply| reply.status == 202).count();
    assert_eq!(created, 1, "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
    assert!(replies.iter().all(|reply| reply.body["id"] == replies[0].body["id"]));
    assert_eq!(bench.api.all("/v1/executions?limit=100").await.len(), 4, "and no more executions than keys");

    let elsewhere = bench.host.tenant("other");
    let reply = elsewhere.request(Method::POST, "/v1/executions").header("idempotency-key", "a").json(&body);
    assert_eq!(send(reply).await.code(), "agent_not_found", "another tenant's key is another key");
}

#[tokio::test]
async fn an_idempotency_key_may_wait_for_the_same_end() {
    let bench = Bench::new().await;
    bench.model.hold();
    let body = json!({"target": "testbed.many_ai", "input": {"n": 1}});
    let first = bench.start_with("idempotency-key", "one", &body).await.expect(202);
    let waiting = bench.api.request(Method::POST, "/v1/executions").header("prefer", "wait=60").json(&body);
    let waiting = send(waiting.header("idempotency-key", "one"));
    let (again, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        bench.model.release();
    });
    let again = again.expect(200);
    assert_eq!((&again["id"], &again["status"]), (&first["id"], &json!("succeeded")));
    assert_eq!(bench.model.calls(), 1);
}

#[tokio::test]
async fn a_cancelled_execution_stops_for_good_and_so_do_those_that_it_called() {
    let bench = Bench::new().await;
    let input = json!({"target": "testbed.pause_once", "inputs": [{}, {"id": "other"}]});
    let parent = bench.api.start("testbed.fan_out", &input).await;
    let children: Vec<String> = countersign_tests::until("both calls wait", async || {
        let calls = bench.api.execution(&parent).await["waiting_for"]["calls"].clone();
        let calls: Vec<String> = calls.as_array()?.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        (calls.len() == 2).then_some(calls)
    })
    .await;
    for (child, name) in children.iter().zip(["only", "other"]) {
        bench.api.paused(child, name).await;
        let child = bench.api.execution(child).await;
        assert_eq!((&child["parent"], &child["created_by"]), (&json!(parent), &json!(format!("execution:{parent}"))));
    }

    let path = format!("/v1/executions/{parent}/cancel");
    let cancelled = bench.api.post(&path, &Value::Null).await.expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert!(cancelled["finished_at"].is_string() && cancelled["result"].is_null(), "{cancelled}");
    assert_eq!(bench.api.post(&path, &Value::Null).await.expect(200), cancelled, "again changes nothing");
    for child in &children {
        assert_eq!(bench.api.execution(child).await["status"], "cancelled");
    }
    assert_eq!(bench.api.get("/v1/pauses?status=open").await.expect(200)["items"], json!([]));

    let finished = bench.api.start("testbed.echo", &Value::Null).await;
    bench.api.finished(&finished).await;
    let reply = bench.api.post(&format!("/v1/executions/{finished}/cancel"), &Value::Null).await;
    assert_eq!((reply.status, reply.code()), (409, "already_finished"));
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn a_cancelled_call_is_told_to_the_one_who_called() {
    let bench = Bench::new().await;
    let input = json!({"target": "testbed.pause_once", "input": {}});
    let parent = bench.api.start("testbed.call", &input).await;
    let child = countersign_tests::until("the call waits", async || {
        bench.api.execution(&parent).await["waiting_for"]["calls"][0].as_str().map(ToOwned::to_owned)
    })
    .await;
    bench.api.post(&format!("/v1/executions/{child}/cancel"), &Value::Null).await.expect(200);
    let execution = bench.api.finished(&parent).await;
    assert_eq!(execution["result"]["error"]["code"], "call_cancelled", "{execution}");
}
