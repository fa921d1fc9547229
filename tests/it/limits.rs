//! What one execution may use: each limit by its name, recorded with the execution, set for tenants and lowered for agents.

mod pages;
mod quotas;
mod settings;

use countersign_tests::build::guest;
use countersign_tests::{Api, Database, Host, Model};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

/// A host with the testbed, and a key that may say what tenants may use.
struct Bench {
    host: Host,
    api: Api,
    hosts_key: Api,
    database: Database,
    _model: Model,
}

impl Bench {
    async fn new() -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start(&database, &model).await;
        let api = host.api();
        let hosts_key = host.host_api();
        api.deploy("testbed", guest("testbed")).await;
        Self { host, api, hosts_key, database, _model: model }
    }

    /// Sets what the tenant `default` may use; what is not named has its default.
    async fn limit(&self, overrides: &Value) {
        put(&self.hosts_key, "/v1/tenants/default/limits", overrides).await.expect(200);
    }

    async fn start(&self, function: &str, input: &Value) -> String {
        self.api.start(&format!("testbed.{function}"), input).await
    }

    /// Starts an execution, waits until it has succeeded, and returns its result.
    async fn result(&self, function: &str, input: &Value) -> Value {
        let id = self.start(function, input).await;
        let execution = self.api.finished(&id).await;
        assert_eq!(execution["status"], "succeeded", "{function}: {}", execution["error"]);
        execution["result"].clone()
    }
}

async fn put(api: &Api, path: &str, body: &Value) -> countersign_tests::Reply {
    countersign_tests::api::send(api.request(Method::PUT, path).json(body)).await
}

#[tokio::test]
async fn an_execution_that_reaches_a_limit_fails_by_the_name_of_that_limit() {
    let bench = Bench::new().await;
    let fan_out = json!({"target": "testbed.echo", "inputs": vec![0; 100]});
    let cases = [
        (json!({"memory_bytes": 8 << 20}), "big_result", json!({"bytes": 12 << 20}), "memory_limit", "memory_bytes"),
        (json!({"table_elements": 0}), "echo", json!(1), "memory_limit", "table_elements"),
        (json!({"host_call_bytes": 64 << 10}), "big_ask", json!({"bytes": 100_000}), "too_large", "host_call_bytes"),
        (json!({"handles": 10, "open_asks": 1}), "fan_out", fan_out.clone(), "handle_limit", "handles"),
        (json!({"slice_cpu_ms": 50}), "loop_forever", Value::Null, "cpu_limit", "slice_cpu_ms"),
        (json!({"attempt_cpu_ms": 50}), "loop_forever", Value::Null, "cpu_limit", "attempt_cpu_ms"),
        (json!({"asks": 5}), "many_ai", json!({"n": 10}), "ask_limit", "asks"),
        (json!({"open_asks": 99}), "fan_out", fan_out, "ask_limit", "open_asks"),
        (json!({"entry_bytes": 2_000}), "big_ask", json!({"bytes": 1_500}), "journal_limit", "entry_bytes"),
        (json!({"entry_bytes": 2_000}), "big_ask", json!({"bytes": 2_001}), "journal_limit", "entry_bytes"),
        (json!({"journal_bytes": 65_536}), "many_ai", json!({"n": 1_000}), "journal_limit", "journal_bytes"),
        (json!({}), "recurse_stack", Value::Null, "stack_limit", "stack"),
    ];
    let mut started = vec![];
    for (limits, function, input, ..) in &cases {
        bench.limit(limits).await;
        started.push(bench.start(function, input).await);
    }
    let executions = join_all(started.iter().map(|id| bench.api.finished(id))).await;
    for ((limits, function, _, code, name), execution) in cases.iter().zip(executions) {
        let error = &execution["error"];
        assert_eq!((&error["code"], &error["blame"]), (&json!(code), &json!("guest")), "{limits} {function}: {error}");
        assert!(error["message"].as_str().unwrap().contains(name), "{limits} {function}: {error}");
    }
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn what_is_refused_by_a_limit_is_told_to_the_agent_which_goes_on() {
    let bench = Bench::new().await;
    bench.limit(&json!({"pauses": 0})).await;
    let refused = bench.result("pause_once", &json!({})).await;
    assert_eq!(refused["error"]["code"], "pause_invalid_request", "{refused}");
    assert!(refused.to_string().contains("`pauses`"), "{refused}");
    let refused = bench.result("wait", &json!({"id": "x"})).await;
    assert!(refused.to_string().contains("`pauses`"), "{refused}");

    bench.limit(&json!({"pauses": 2})).await;
    let id = bench.start("rounds", &json!({"n": 3})).await;
    for name in ["round", "round%232"] {
        let pause = bench.api.paused(&id, &name.replace("%23", "#")).await.replace('#', "%23");
        bench.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    }
    let execution = bench.api.finished(&id).await;
    assert_eq!((&execution["error"]["code"], &execution["entries"]), (&json!("agent_error"), &json!(3)));
    assert!(execution["error"].to_string().contains("`pauses`"), "{execution}");

    bench.limit(&json!({"call_depth": 1})).await;
    let inner = json!({"target": "testbed.echo", "input": 7});
    let called = bench.result("call", &json!({"target": "testbed.call", "input": inner})).await;
    assert_eq!(called["ok"]["error"]["code"], "call_denied", "{called}");
    assert!(called.to_string().contains("`call_depth`"), "{called}");

    bench.limit(&json!({"log_bytes": 1_000})).await;
    let id = bench.start("log_flood", &json!({"bytes": 100_000})).await;
    assert_eq!(bench.api.finished(&id).await["status"], "succeeded");
    let kept = bench.api.all(&format!("/v1/executions/{id}/logs?limit=100")).await;
    let bytes: usize = kept.iter().map(|line| line["text"].as_str().unwrap().len()).sum();
    assert!((800..=1_000).contains(&bytes), "{bytes} bytes are kept");
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn all_executions_below_a_root_are_counted_together() {
    let bench = Bench::new().await;
    bench.limit(&json!({"children": 3})).await;
    let flat = bench.result("fan_out", &json!({"target": "testbed.echo", "inputs": [1, 2, 3, 4, 5]})).await;
    let called = flat.as_array().unwrap().iter().filter(|call| !call["ok"].is_null()).count();
    assert_eq!(called, 3, "{flat}");
    assert!(flat.to_string().contains("`children`"), "{flat}");
    let line = |depth: u64| json!({"target": "testbed.recurse", "input": {"depth": depth, "self": "testbed.recurse"}});
    assert_eq!(bench.result("call", &line(2)).await["ok"], json!({"levels": 2}));
    let refused = bench.result("call", &line(3)).await;
    assert!(refused.to_string().contains("`children`"), "{refused}");
    // Those that the root called call each one more.
    let one_each = json!({"target": "testbed.call", "inputs": vec![json!({"target": "testbed.echo", "input": 1}); 2]});
    let tree = bench.result("fan_out", &one_each).await;
    let inner = tree.as_array().unwrap().iter().filter(|call| !call["ok"]["ok"].is_null()).count();
    assert_eq!(inner, 1, "two below the root, and one of the two below them: {tree}");
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn an_execution_keeps_the_limits_that_it_started_with_through_changes_and_replays() {
    let mut bench = Bench::new().await;
    bench.limit(&json!({"asks": 2, "log_bytes": 0})).await;
    let tight = bench.start("pause_then_ai", &Value::Null).await;
    bench.limit(&json!({})).await;
    let loose = bench.start("pause_then_ai", &Value::Null).await;
    let gates = [bench.api.paused(&tight, "gate").await, bench.api.paused(&loose, "gate").await];
    bench.limit(&json!({"asks": 1, "pauses": 0, "memory_bytes": 1 << 20, "attempt_cpu_ms": 10})).await;
    bench.host.kill();
    bench.host.restart(&[]).await;
    let api = bench.host.api();
    for gate in &gates {
        api.decide(gate, &json!({"decision": "approved"})).await.expect(200);
    }
    let failed = api.finished(&tight).await;
    assert_eq!((&failed["error"]["code"], &failed["entries"]), (&json!("ask_limit"), &json!(2)), "{failed}");
    let end = api.paused(&loose, "end").await;
    api.decide(&end, &json!({"decision": "approved"})).await.expect(200);
    assert_eq!(api.finished(&loose).await["result"]["end"], "approved");
    let after = api.start("testbed.pause_then_ai", &Value::Null).await;
    assert_eq!(api.finished(&after).await["status"], "failed", "those that start now have the new ones");
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn what_a_limit_refused_stays_refused_on_replay_when_there_is_room() {
    let mut bench = Bench::new().await;
    bench.limit(&json!({"children": 0})).await;
    let body = json!({"target": "testbed.echo", "input": 1, "then": "gate"});
    let id = bench.start("call_then_pause", &body).await;
    let gate = bench.api.paused(&id, "gate").await;
    bench.limit(&json!({})).await;
    bench.host.kill();
    bench.host.restart(&[]).await;
    let api = bench.host.api();
    api.decide(&gate, &json!({"decision": "approved"})).await.expect(200);
    let execution = api.finished(&id).await;
    assert_eq!(execution["status"], "succeeded", "{execution}");
    assert!(execution["result"]["call"].to_string().contains("`children`"), "{execution}");
    bench.host.assert_unharmed();
}

#[tokio::test]
async fn an_agent_has_lower_limits_than_its_tenant_and_so_has_what_it_is_called_as() {
    let bench = Bench::new().await;
    bench.api.deploy("small", guest("testbed")).await;
    let deployer = bench.api.role("deployer").await;
    bench.limit(&json!({"asks": 4})).await;
    let path = "/v1/agents/small/limits";
    let set = put(&deployer, path, &json!({"asks": 2, "pauses": 200_000})).await.expect(200);
    assert_eq!(set["set"], json!({"asks": 2, "pauses": 200_000}));
    assert_eq!((&set["effective"]["asks"], &set["effective"]["pauses"]), (&json!(2), &json!(1_000)), "never higher");
    assert_eq!(bench.api.get(path).await.expect(200), set);
    let asks = async |target: &str, n: u64| {
        let id = bench.api.start(target, &json!({"n": n})).await;
        bench.api.finished(&id).await
    };
    assert_eq!(asks("small.many_ai", 2).await["status"], "succeeded");
    assert_eq!(asks("small.many_ai", 3).await["error"]["code"], "ask_limit");
    assert_eq!(asks("testbed.many_ai", 4).await["status"], "succeeded");
    assert_eq!(asks("testbed.many_ai", 5).await["error"]["code"], "ask_limit");
    let called = bench.result("call", &json!({"target": "small.many_ai", "input": {"n": 3}})).await;
    assert_eq!((&called["error"]["code"], &called["failed"]["code"]), (&json!("call_failed"), &json!("ask_limit")));
    let called = bench.result("call", &json!({"target": "testbed.many_ai", "input": {"n": 4}})).await;
    assert_eq!(called["ok"]["n"], 4, "{called}");
    bench.host.assert_unharmed();
}
