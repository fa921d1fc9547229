//! Agents that misbehave while they run: their own execution fails, or is held to its limits; nothing else happens.

use futures::future::join_all;
use serde_json::{Value, json};

use super::Victim;

/// A function of the testbed, its input, what it must fail with, and a part of the message.
type Case = (&'static str, Value, &'static str, &'static str);

fn failing() -> Vec<Case> {
    vec![
        ("fail", Value::Null, "agent_error", "always fails"),
        ("trap", Value::Null, "trap", "told to panic"),
        ("trap_after_ai", Value::Null, "trap", "told to panic after the answer"),
        ("recurse_stack", Value::Null, "stack_limit", "stack"),
        ("loop_forever", Value::Null, "cpu_limit", "between two answers"),
        ("big_result", json!({"bytes": (1 << 20) + 1}), "too_large", "bytes"),
        ("big_result", json!({"bytes": 16 << 20}), "too_large", ""),
        ("big_result", json!({"bytes": 300 << 20}), "memory_limit", "memory"),
        ("big_ask", json!({"bytes": 16 << 20}), "too_large", ""),
        ("big_ask", json!({"bytes": 300 << 20}), "memory_limit", "memory"),
        ("fan_out", json!({"target": "testbed.echo", "inputs": vec![0; 1_001]}), "ask_limit", "1000"),
    ]
}

#[tokio::test]
async fn a_guest_that_misbehaves_fails_by_its_own_fault_and_others_go_on() {
    let victim = Victim::new().await;
    let memory = victim.host.memory();
    let cases = failing();
    let started = join_all(cases.iter().map(async |(function, input, ..)| {
        let id = victim.api.start(&format!("testbed.{function}"), input).await;
        victim.api.finished(&id).await
    }));
    let others = async {
        for _ in 0..20 {
            let id = victim.api.start("testbed.many_ai", &json!({"n": 1})).await;
            assert_eq!(victim.api.finished(&id).await["status"], "succeeded", "others go on meanwhile");
        }
    };
    let (executions, ()) = tokio::join!(started, others);
    for ((function, input, code, why), execution) in cases.iter().zip(&executions) {
        let (what, error) = (format!("{function} {:.60}", input.to_string()), &execution["error"]);
        assert_eq!((&execution["status"], &execution["result"]), (&json!("failed"), &Value::Null), "{what}");
        assert_eq!((&error["code"], &error["blame"]), (&json!(code), &json!("guest")), "{what}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(why) && message.len() < 10_000, "{what}: {message}");
        assert_eq!(error["detail"].is_null(), *code != "agent_error", "{what}: {error}");
        assert_eq!(execution["attempts"], 1, "{what}: what fails by itself is not tried again");
    }
    victim.assert_unharmed().await;
    let grown = victim.host.memory().saturating_sub(memory) >> 20;
    assert!(grown < 1_024, "the host has grown by {grown} MiB");
}

#[tokio::test]
async fn a_guest_that_asks_for_too_much_is_told_so_and_may_go_on() {
    let victim = Victim::new().await;
    let run = async |function: &str, input: Value| {
        let id = victim.api.start(&format!("testbed.{function}"), &input).await;
        let execution = victim.api.finished(&id).await;
        assert_eq!(execution["status"], "succeeded", "{function}: {:.500}", execution["error"].to_string());
        (id, execution["result"].clone())
    };
    // `memory.grow` returns -1 at the limit.
    let (_, grown) = run("grow", Value::Null).await;
    assert!((100..=128).contains(&grown["mib"].as_u64().unwrap()), "{grown}");

    let (id, flood) = run("log_flood", json!({"bytes": 4 << 20})).await;
    assert_eq!(flood["lines"], 4 << 13);
    let kept = victim.api.all(&format!("/v1/executions/{id}/logs?limit=100")).await;
    let bytes: usize = kept.iter().map(|line| line["text"].as_str().unwrap().len()).sum();
    assert!((100 << 10..1 << 20).contains(&bytes), "{bytes} bytes are kept");
    assert!(kept.last().unwrap()["text"].as_str().unwrap().contains("dropped"), "{:?}", kept.last());

    // The ninth of them is one too deep.
    let (_, deep) =
        run("call", json!({"target": "testbed.recurse", "input": {"depth": 7, "self": "testbed.recurse"}})).await;
    assert_eq!(deep["ok"], json!({"levels": 7}));
    let too_deep = json!({"target": "testbed.recurse", "input": {"depth": 8, "self": "testbed.recurse"}});
    let (_, refused) = run("call", too_deep).await;
    assert_eq!(refused["error"]["code"], "call_failed", "{refused}");
    assert!(refused.to_string().contains("deep"), "{refused}");

    for (function, input, code) in [
        ("call", json!({"target": "nobody.nothing", "input": 1}), "call_not_found"),
        ("call", json!({"target": "testbed.nothing", "input": 1}), "call_not_found"),
        ("call", json!({"target": "no target", "input": 1}), "call_not_found"),
        ("call", json!({"target": "http://127.0.0.1/", "input": 1}), "call_not_found"),
        ("pause_once", json!({"id": "a b"}), "invalid_request"),
        ("pause_once", json!({"id": ""}), "invalid_request"),
        ("pause_once", json!({"id": "x".repeat(129)}), "invalid_request"),
        ("pause_once", json!({"title": "a\u{0}b"}), "invalid_request"),
        ("pause_once", json!({"choices": ["expired"]}), "invalid_request"),
        ("pause_once", json!({"choices": [""]}), "invalid_request"),
        ("pause_once", json!({"choices": vec!["c"; 33]}), "invalid_request"),
        ("pause_once", json!({"response_schema": {"type": "nothing"}}), "invalid_request"),
        ("pause_once", json!({"response_schema": {"$ref": "file:///etc/passwd"}}), "invalid_request"),
        ("pause_once", json!({"response_schema": 17}), "invalid_request"),
        ("wait", json!({"id": "a\nb"}), "invalid_request"),
    ] {
        let (_, result) = run(function, input.clone()).await;
        let said = result["error"]["code"].as_str().unwrap_or_default();
        assert!(said.ends_with(code), "{function} {input}: {result}");
    }
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn what_a_guest_prints_cannot_break_out_of_its_log() {
    let victim = Victim::new().await;
    let nasty = "\u{1b}[2J\r\n{\"level\":\"ERROR\"} \u{0} panicked \u{202e}";
    let id = victim.api.start("testbed.echo", &json!(nasty)).await;
    assert_eq!(victim.api.finished(&id).await["result"], nasty);
    let input = json!({"id": "only", "title": "\u{202e}x", "payload": nasty});
    let id = victim.api.start("testbed.pause_once", &input).await;
    let pause = victim.api.paused(&id, "only").await;
    assert_eq!(victim.api.get(&format!("/v1/pauses/{pause}")).await.expect(200)["payload"], nasty);
    let decision = json!({"decision": "approved", "feedback": "\u{1b}[2J\r\n panicked ERROR", "response": nasty});
    victim.api.decide(&pause, &decision).await.expect(200);
    assert_eq!(victim.api.finished(&id).await["result"]["response"], nasty);
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn a_pause_under_an_impossible_name_that_is_given_up_harms_nothing_later() {
    let victim = Victim::new().await;
    let id = victim.api.start("testbed.impossible_names", &Value::Null).await;
    let pause = victim.api.paused(&id, "z").await;
    victim.api.decide(&pause, &json!({"decision": "approved"})).await.expect(200);
    let execution = victim.api.finished(&id).await;
    assert_eq!(execution["result"], "approved", "{execution}");
    victim.host.assert_unharmed();
}
